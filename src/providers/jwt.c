#include "providers/jwt.h"

#include "base/buffer.h"
#include "base/json.h"

#include <json-c/json.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <string.h>

enum {
    COORDINATE_SIZE = 32, /* bytes of each number of P-256: x, y, and the r and s of a signature */
    SIGNATURE_SIZE = 2 * COORDINATE_SIZE,
    BASE64_COORDINATE_SIZE = 44,
    BASE64_SIGNATURE_SIZE = 89,
    UNIQUE_BITS = 128,
    /* A key in PEM has a few hundred bytes. */
    PEM_LONGEST = 4096,
};

static const char algorithm[] = "ES256", curve[] = "P-256";

static void free_key(EVP_PKEY **key)
{
    EVP_PKEY_free(*key);
}
#define cleanup_key __attribute__((cleanup(free_key)))

static void free_bio(BIO **bio)
{
    BIO_free_all(*bio);
}
#define cleanup_bio __attribute__((cleanup(free_bio)))

/* RET_TEXT: 4 characters for each 3 bytes begun, and a NUL. */
static void base64url(const unsigned char *bytes, size_t length, char *ret_text)
{
    EVP_EncodeBlock((unsigned char *)ret_text, bytes, (int)length);
    for (char *c = ret_text; *c; c++) {
        if (*c == '+')
            *c = '-';
        else if (*c == '/')
            *c = '_';
        else if (*c == '=')
            *c = '\0';
    }
}

static bool append_base64url(struct buffer *buffer, const char *text, size_t length)
{
    char piece[5];
    for (size_t at = 0; at < length; at += 3) {
        base64url((const unsigned char *)text + at, length - at < 3 ? length - at : 3, piece);
        if (!buffer_append_text(buffer, piece))
            return false;
    }
    return true;
}

/* --- keys --- */

bool jwt_key_new(struct secret **ret_key, struct error *err)
{
    cleanup_key EVP_PKEY *key = EVP_EC_gen(curve);
    /* What it holds is wiped with it. */
    cleanup_bio BIO *bio = BIO_new(BIO_s_secmem());
    char *pem;
    if (!key || !bio || !PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL))
        return error_set(err, ERROR_IO, "OpenSSL makes no signing key");
    long length = BIO_get_mem_data(bio, &pem);
    struct secret *made = length > 0 ? secret_new(pem, (size_t)length) : NULL;
    if (!made)
        return error_set(err, ERROR_IO, "out of memory for a signing key");
    *ret_key = made;
    return true;
}

static bool open_key(const struct secret *key, EVP_PKEY **ret_key, struct error *err)
{
    char group[32] = "";
    size_t length = secret_length(key);
    cleanup_bio BIO *bio = length < PEM_LONGEST ? BIO_new_mem_buf(secret_reveal(key), (int)length) : NULL;
    EVP_PKEY *opened = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)"") : NULL;
    if (!opened || !EVP_PKEY_is_a(opened, "EC") || !EVP_PKEY_get_group_name(opened, group, sizeof group, NULL) ||
        strcmp(group, SN_X9_62_prime256v1) != 0) {
        EVP_PKEY_free(opened);
        return error_set(err, ERROR_INVALID, "the signing key is no private key of the curve P-256 in PEM");
    }
    *ret_key = opened;
    return true;
}

static bool get_coordinate(EVP_PKEY *key, const char *name, char ret_text[BASE64_COORDINATE_SIZE + 1])
{
    unsigned char bytes[COORDINATE_SIZE];
    BIGNUM *number = NULL;
    bool ok = EVP_PKEY_get_bn_param(key, name, &number) && BN_bn2binpad(number, bytes, sizeof bytes) == sizeof bytes;
    BN_free(number);
    if (ok)
        base64url(bytes, sizeof bytes, ret_text);
    return ok;
}

/* The required members alone, in the order of their names, without a blank: so says RFC 7638. */
static bool thumbprint(const char *x, const char *y, char ret_text[JWT_THUMBPRINT_SIZE + 1])
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    struct buffer text = BUFFER_INIT(512);
    bool ok = buffer_printf(&text, "{\"crv\":\"%s\",\"kty\":\"EC\",\"x\":\"%s\",\"y\":\"%s\"}", curve, x, y) &&
              EVP_Digest(text.data, text.length, hash, NULL, EVP_sha256(), NULL);
    buffer_clear(&text);
    if (ok)
        base64url(hash, 32, ret_text);
    return ok;
}

struct public_key {
    char x[BASE64_COORDINATE_SIZE + 1], y[BASE64_COORDINATE_SIZE + 1], kid[JWT_THUMBPRINT_SIZE + 1];
};

static bool describe(EVP_PKEY *key, struct public_key *ret, struct error *err)
{
    if (get_coordinate(key, OSSL_PKEY_PARAM_EC_PUB_X, ret->x) && get_coordinate(key, OSSL_PKEY_PARAM_EC_PUB_Y, ret->y) &&
        thumbprint(ret->x, ret->y, ret->kid))
        return true;
    return error_set(err, ERROR_IO, "OpenSSL does not tell the signing key's public half");
}

bool jwt_public_key(const struct secret *key, struct json_object **ret_jwk, struct error *err)
{
    cleanup_key EVP_PKEY *opened = NULL;
    struct public_key public;
    if (!open_key(key, &opened, err) || !describe(opened, &public, err))
        return false;
    struct json_object *jwk = json_object_new_object();
    json_put_string(jwk, "kty", "EC");
    json_put_string(jwk, "crv", curve);
    json_put_string(jwk, "x", public.x);
    json_put_string(jwk, "y", public.y);
    json_put_string(jwk, "use", "sig");
    json_put_string(jwk, "alg", algorithm);
    json_put_string(jwk, "kid", public.kid);
    *ret_jwk = jwk;
    return true;
}

/* --- tokens --- */

/* OpenSSL signs in DER; a token has the two numbers, each as long as the curve's, one behind the other. */
static bool unpack(const unsigned char *der, size_t length, unsigned char ret_bytes[SIGNATURE_SIZE])
{
    ECDSA_SIG *numbers = d2i_ECDSA_SIG(NULL, &der, (long)length);
    bool ok = numbers &&
              BN_bn2binpad(ECDSA_SIG_get0_r(numbers), ret_bytes, COORDINATE_SIZE) == COORDINATE_SIZE &&
              BN_bn2binpad(ECDSA_SIG_get0_s(numbers), ret_bytes + COORDINATE_SIZE, COORDINATE_SIZE) == COORDINATE_SIZE;
    ECDSA_SIG_free(numbers);
    return ok;
}

static bool append_signature(struct buffer *token, EVP_PKEY *key)
{
    unsigned char der[SIGNATURE_SIZE + 16], bytes[SIGNATURE_SIZE];
    char text[BASE64_SIGNATURE_SIZE];
    size_t length = sizeof der;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool ok = context && EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) &&
              EVP_DigestSign(context, der, &length, (const unsigned char *)token->data, token->length) &&
              unpack(der, length, bytes);
    EVP_MD_CTX_free(context);
    if (ok)
        base64url(bytes, sizeof bytes, text);
    return ok && buffer_append_text(token, ".") && buffer_append_text(token, text);
}

bool jwt_sign(const struct secret *key, struct json_object *claims, struct secret **ret_token, struct error *err)
{
    cleanup_key EVP_PKEY *opened = NULL;
    cleanup_buffer struct buffer token = BUFFER_INIT(JWT_MAX);
    struct public_key public;
    char header[128];
    if (!open_key(key, &opened, err) || !describe(opened, &public, err))
        return false;
    int length = snprintf(header, sizeof header, "{\"alg\":\"%s\",\"typ\":\"JWT\",\"kid\":\"%s\"}", algorithm, public.kid);
    const char *payload = json_object_to_json_string_ext(claims, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
    if (!payload || !append_base64url(&token, header, (size_t)length) || !buffer_append_text(&token, ".") ||
        !append_base64url(&token, payload, strlen(payload)) || token.length + 1 + BASE64_SIGNATURE_SIZE > JWT_MAX)
        return error_set(err, ERROR_LIMIT, "the token would be longer than %d bytes", JWT_MAX);
    if (!append_signature(&token, opened))
        return error_set(err, ERROR_IO, "OpenSSL does not sign the token");
    struct secret *made = secret_new(token.data, token.length);
    if (!made)
        return error_set(err, ERROR_IO, "out of memory for the token");
    *ret_token = made;
    return true;
}

bool jwt_unique(char ret_text[JWT_UNIQUE_SIZE], struct error *err)
{
    unsigned char bytes[UNIQUE_BITS / 8];
    char text[4 * ((sizeof bytes + 2) / 3) + 1];
    if (RAND_bytes(bytes, sizeof bytes) != 1)
        return error_set(err, ERROR_IO, "OpenSSL gives no random bytes");
    base64url(bytes, sizeof bytes, text);
    memcpy(ret_text, text, JWT_UNIQUE_SIZE);
    return true;
}
