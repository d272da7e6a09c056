/* Tokens that this host signs: their form, what a verifier that is not ours makes of them, and what is no key. */
#include "check.h"

#include "base/buffer.h"
#include "base/json.h"
#include "providers/jwt.h"

#include <json-c/json.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <string.h>

/* RFC 7515, A.3: a key that everybody knows. Its thumbprint was reckoned by another program. */
#define KNOWN_X "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
#define KNOWN_Y "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
#define KNOWN_D "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"
#define KNOWN_THUMBPRINT "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U"

/* Returns how many bytes. */
static size_t decode(const char *text, size_t length, unsigned char *ret_bytes, size_t size)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    size_t count = 0;
    unsigned bits = 0, have = 0;
    for (size_t i = 0; i < length; i++) {
        const char *at = strchr(letters, text[i]);
        assert_true(text[i] && at);
        bits = bits << 6 | (unsigned)(at - letters);
        have += 6;
        if (have >= 8) {
            have -= 8;
            assert_true(count < size);
            ret_bytes[count++] = (unsigned char)(bits >> have);
        }
    }
    assert_int_equal(bits & ((1u << have) - 1), 0);
    return count;
}

static struct secret *pem_of(EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;
    assert_true(PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL));
    long length = BIO_get_mem_data(bio, &text);
    struct secret *secret = secret_new(text, (size_t)length);
    assert_non_null(secret);
    BIO_free(bio);
    return secret;
}

static EVP_PKEY *key_of(const char *x, const char *y, const char *d)
{
    unsigned char point[65] = {4}, number[32];
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    EVP_PKEY *key = NULL;
    BIGNUM *private = NULL;
    assert_int_equal(decode(x, strlen(x), point + 1, 32), 32);
    assert_int_equal(decode(y, strlen(y), point + 33, 32), 32);
    OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0);
    OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point);
    if (d) {
        private = BN_bin2bn(number, (int)decode(d, strlen(d), number, sizeof number), NULL);
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_PRIV_KEY, private);
    }
    OSSL_PARAM *parameters = OSSL_PARAM_BLD_to_param(builder);
    assert_int_equal(EVP_PKEY_fromdata_init(context), 1);
    assert_int_equal(EVP_PKEY_fromdata(context, &key, d ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, parameters), 1);
    OSSL_PARAM_free(parameters);
    OSSL_PARAM_BLD_free(builder);
    EVP_PKEY_CTX_free(context);
    BN_free(private);
    return key;
}

static struct secret *known_key(void)
{
    EVP_PKEY *key = key_of(KNOWN_X, KNOWN_Y, KNOWN_D);
    struct secret *secret = pem_of(key);
    EVP_PKEY_free(key);
    return secret;
}

static const char *field(struct json_object *object, const char *name)
{
    static char text[8][1024];
    static unsigned next;
    char *at = text[next++ % 8];
    struct error err = ERROR_INIT;
    if (!json_get_string(object, name, at, sizeof text[0], &err))
        fail_msg("%s", err.text);
    return at;
}

static struct json_object *public_of(const struct secret *key)
{
    struct error err = ERROR_INIT;
    struct json_object *jwk = NULL;
    if (!jwt_public_key(key, &jwk, &err))
        fail_msg("%s", err.text);
    return jwk;
}

/* The part of TOKEN with that number, read as JSON. */
static struct json_object *part(const char *token, unsigned number)
{
    unsigned char bytes[JWT_MAX];
    struct json_object *object = NULL;
    struct error err = ERROR_INIT;
    for (; number; number--)
        token = strchr(token, '.') + 1;
    size_t length = decode(token, strcspn(token, "."), bytes, sizeof bytes);
    if (!json_parse((const char *)bytes, length, &object, &err))
        fail_msg("%s", err.text);
    return object;
}

/* As somebody else does it, who knows the public key alone. */
static bool verifies(const char *token, struct json_object *jwk)
{
    unsigned char raw[128], der[128], *end = der;
    const char *dot = strrchr(token, '.');
    if (decode(dot + 1, strlen(dot + 1), raw, sizeof raw) != 64)
        return false;
    ECDSA_SIG *signature = ECDSA_SIG_new();
    ECDSA_SIG_set0(signature, BN_bin2bn(raw, 32, NULL), BN_bin2bn(raw + 32, 32, NULL));
    int length = i2d_ECDSA_SIG(signature, &end);
    EVP_PKEY *key = key_of(field(jwk, "x"), field(jwk, "y"), NULL);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool ok = EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
              EVP_DigestVerify(context, der, (size_t)length, (const unsigned char *)token, (size_t)(dot - token)) == 1;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    ECDSA_SIG_free(signature);
    return ok;
}

static struct secret *sign(const struct secret *key, struct json_object *claims)
{
    struct error err = ERROR_INIT;
    struct secret *token = NULL;
    if (!jwt_sign(key, claims, &token, &err))
        fail_msg("%s", err.text);
    return token;
}

static void known_key_has_its_thumbprint(void **state)
{
    (void)state;
    struct secret *key = known_key();
    struct json_object *jwk = public_of(key);
    assert_string_equal(field(jwk, "x"), KNOWN_X);
    assert_string_equal(field(jwk, "y"), KNOWN_Y);
    assert_string_equal(field(jwk, "kid"), KNOWN_THUMBPRINT);
    assert_string_equal(field(jwk, "kty"), "EC");
    assert_string_equal(field(jwk, "crv"), "P-256");
    assert_string_equal(field(jwk, "alg"), "ES256");
    assert_string_equal(field(jwk, "use"), "sig");
    /* Nothing of the private half. */
    assert_int_equal(json_object_object_length(jwk), 7);
    json_object_put(jwk);
    secret_free(key);
}

static void a_token_is_what_a_verifier_expects(void **state)
{
    (void)state;
    struct secret *key = known_key();
    struct json_object *jwk = public_of(key), *claims = json_object_new_object();
    json_put_string(claims, "sub", "llmhook:h1:\xc3\xa9/?");
    json_put_integer(claims, "exp", INT64_C(1796000000));
    struct secret *token = sign(key, claims), *again = sign(key, claims);
    const char *text = secret_reveal(token);
    assert_null(strpbrk(text, "+/=\n "));
    assert_true(verifies(text, jwk));
    struct json_object *header = part(text, 0), *payload = part(text, 1);
    assert_string_equal(field(header, "alg"), "ES256");
    assert_string_equal(field(header, "typ"), "JWT");
    assert_string_equal(field(header, "kid"), KNOWN_THUMBPRINT);
    assert_true(json_object_equal(payload, claims));
    /* Each signature has a randomness of its own: two tokens are never the same secret. */
    assert_string_not_equal(text, secret_reveal(again));
    assert_true(verifies(secret_reveal(again), jwk));
    /* Another signature of as good a form is none. */
    char changed[1024];
    snprintf(changed, sizeof changed, "%s", text);
    changed[10] = changed[10] == 'A' ? 'B' : 'A';
    assert_false(verifies(changed, jwk));
    json_object_put(header);
    json_object_put(payload);
    json_object_put(claims);
    json_object_put(jwk);
    secret_free(token);
    secret_free(again);
    secret_free(key);
}

/* A number of the signature that begins with zeros still fills its half. One in 128 has such a one. */
static void short_numbers_are_padded(void **state)
{
    (void)state;
    struct secret *key = known_key();
    struct json_object *jwk = public_of(key), *claims = json_object_new_object();
    bool seen = false;
    for (int i = 0; i < 5000 && !seen; i++) {
        unsigned char raw[64];
        struct secret *token = sign(key, claims);
        const char *signature = strrchr(secret_reveal(token), '.') + 1;
        assert_int_equal(strlen(signature), 86);
        decode(signature, 86, raw, sizeof raw);
        seen = raw[0] == 0 || raw[32] == 0;
        if (seen)
            assert_true(verifies(secret_reveal(token), jwk));
        secret_free(token);
    }
    assert_true(seen);
    json_object_put(claims);
    json_object_put(jwk);
    secret_free(key);
}

static void each_new_key_is_another(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct secret *one = NULL, *other = NULL;
    assert_true(jwt_key_new(&one, &err) && jwt_key_new(&other, &err));
    struct json_object *first = public_of(one), *second = public_of(other), *claims = json_object_new_object();
    assert_string_not_equal(field(first, "kid"), field(second, "kid"));
    struct secret *token = sign(one, claims);
    assert_true(verifies(secret_reveal(token), first));
    assert_false(verifies(secret_reveal(token), second));
    json_object_put(first);
    json_object_put(second);
    json_object_put(claims);
    secret_free(token);
    secret_free(one);
    secret_free(other);
}

static void what_is_no_key_is_refused(void **state)
{
    (void)state;
    EVP_PKEY *rsa = EVP_RSA_gen(1024), *other_curve = EVP_EC_gen("P-384");
    struct secret *wrong[] = {secret_new("0123456789", 10), secret_new("", 0), pem_of(rsa), pem_of(other_curve)};
    struct json_object *claims = json_object_new_object();
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct error err = ERROR_INIT;
        struct json_object *jwk = NULL;
        struct secret *token = NULL;
        assert_false(jwt_public_key(wrong[i], &jwk, &err));
        check_error(err, ERROR_INVALID, "no private key of the curve P-256");
        assert_false(jwt_sign(wrong[i], claims, &token, &err));
        assert_null(jwk);
        assert_null(token);
        secret_free(wrong[i]);
    }
    json_object_put(claims);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(other_curve);
}

static void a_token_has_16_kib_at_most(void **state)
{
    (void)state;
    static char text[JWT_MAX];
    struct secret *key = known_key(), *token = NULL;
    size_t longest = 0;
    for (size_t length = 11900; length < 12400; length++) {
        struct error err = ERROR_INIT;
        struct json_object *claims = json_object_new_object();
        memset(text, 'a', length);
        text[length] = '\0';
        json_put_string(claims, "sub", text);
        bool ok = jwt_sign(key, claims, &token, &err);
        json_object_put(claims);
        if (!ok) {
            check_error(err, ERROR_LIMIT, "longer than 16384 bytes");
            break;
        }
        longest = secret_length(token);
        secret_free(token);
        token = NULL;
    }
    assert_in_range(longest, JWT_MAX - 8, JWT_MAX);
    secret_free(key);
}

static void what_is_unique_never_comes_again(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    char one[JWT_UNIQUE_SIZE], other[JWT_UNIQUE_SIZE];
    assert_true(jwt_unique(one, &err) && jwt_unique(other, &err));
    assert_int_equal(strlen(one), JWT_UNIQUE_SIZE - 1);
    assert_string_not_equal(one, other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_key_has_its_thumbprint),
        cmocka_unit_test(a_token_is_what_a_verifier_expects),
        cmocka_unit_test(short_numbers_are_padded),
        cmocka_unit_test(each_new_key_is_another),
        cmocka_unit_test(what_is_no_key_is_refused),
        cmocka_unit_test(a_token_has_16_kib_at_most),
        cmocka_unit_test(what_is_unique_never_comes_again),
    };
    struct error err = ERROR_INIT;
    return secret_init(&err) ? check_run(tests) : 1;
}
