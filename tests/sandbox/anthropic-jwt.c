#include "anthropic-federation.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <stdlib.h>
#include <string.h>

enum { TOKEN_MAX = 16 * 1024, HALF = 32 };

/* Base64url without padding. The number of bytes, or -1. */
static int decode(const char *text, size_t length, unsigned char *out, size_t size)
{
    char padded[TOKEN_MAX + 8];
    int decoded;

    if (length % 4 == 1 || length + 4 > sizeof(padded) || length / 4 * 3 + 3 > size)
        return -1;
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '+' || text[i] == '/' || text[i] == '=')
            return -1;
        padded[i] = text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i];
    }
    memset(padded + length, '=', 4);
    decoded = EVP_DecodeBlock(out, (const unsigned char *)padded, (int)((length + 3) / 4 * 4));
    return decoded < 0 ? -1 : decoded - (int)((4 - length % 4) % 4);
}

static struct json_object *decode_object(const char *text, size_t length)
{
    unsigned char bytes[TOKEN_MAX];
    int count = decode(text, length, bytes, sizeof(bytes) - 1);

    if (count < 0)
        return NULL;
    bytes[count] = '\0';
    return parse_object((const char *)bytes, (size_t)count);
}

static struct json_object *key_of(struct json_object *keys, const char *kid)
{
    for (size_t i = 0; i < json_object_array_length(keys); i++) {
        struct json_object *key = json_object_array_get_idx(keys, i);

        if (json_object_is_type(key, json_type_object) && strcmp(get_string(key, "kid", ""), kid) == 0)
            return key;
    }
    return NULL;
}

static EVP_PKEY *open_key(struct json_object *jwk)
{
    const char *x = get_string(jwk, "x", ""), *y = get_string(jwk, "y", "");
    unsigned char point[1 + 2 * HALF + 3] = {4};
    EVP_PKEY_CTX *context;
    OSSL_PARAM_BLD *builder;
    OSSL_PARAM *parameters;
    EVP_PKEY *key = NULL;

    if (strcmp(get_string(jwk, "kty", ""), "EC") != 0 || strcmp(get_string(jwk, "crv", ""), "P-256") != 0 ||
        decode(x, strlen(x), point + 1, HALF + 3) != HALF || decode(y, strlen(y), point + 1 + HALF, HALF + 3) != HALF)
        return NULL;
    context = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    builder = OSSL_PARAM_BLD_new();
    OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0);
    OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * HALF);
    parameters = OSSL_PARAM_BLD_to_param(builder);
    if (EVP_PKEY_fromdata_init(context) != 1 ||
        EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, parameters) != 1)
        key = NULL;
    OSSL_PARAM_free(parameters);
    OSSL_PARAM_BLD_free(builder);
    EVP_PKEY_CTX_free(context);
    return key;
}

static bool signature_holds(const char *token, size_t signed_length, const char *signature, EVP_PKEY *key)
{
    unsigned char raw[2 * HALF + 3], der[128], *end = der;
    ECDSA_SIG *numbers;
    EVP_MD_CTX *context;
    int length;
    bool ok;

    if (decode(signature, strlen(signature), raw, sizeof(raw)) != 2 * HALF)
        return false;
    numbers = ECDSA_SIG_new();
    ECDSA_SIG_set0(numbers, BN_bin2bn(raw, HALF, NULL), BN_bin2bn(raw + HALF, HALF, NULL));
    length = i2d_ECDSA_SIG(numbers, &end);
    ECDSA_SIG_free(numbers);
    context = EVP_MD_CTX_new();
    ok = EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
         EVP_DigestVerify(context, der, (size_t)length, (const unsigned char *)token, signed_length) == 1;
    EVP_MD_CTX_free(context);
    return ok;
}

const char *jwt_verify(const char *token, struct json_object *keys, struct json_object **out)
{
    const char *first = strchr(token, '.'), *second = first != NULL ? strchr(first + 1, '.') : NULL;
    struct json_object *header, *jwk = NULL;
    const char *reason = NULL;
    EVP_PKEY *key = NULL;

    if (strlen(token) > TOKEN_MAX)
        return "longer than 16 KiB";
    if (second == NULL || strchr(second + 1, '.') != NULL)
        return "not of three parts";
    header = decode_object(token, (size_t)(first - token));
    if (header == NULL)
        return "its header is no JSON";
    if (strcmp(get_string(header, "alg", ""), "ES256") != 0)
        reason = "not signed with ES256, the only one that the sandbox knows";
    else if ((jwk = key_of(keys, get_string(header, "kid", ""))) == NULL)
        reason = "its kid is none of the issuer's";
    else if ((key = open_key(jwk)) == NULL)
        reason = "the issuer's key cannot be used";
    else if (!signature_holds(token, (size_t)(second - token), second + 1, key))
        reason = "the signature is wrong";
    EVP_PKEY_free(key);
    json_object_put(header);
    if (reason != NULL)
        return reason;
    *out = decode_object(first + 1, (size_t)(second - first - 1));
    return *out != NULL ? NULL : "its claims are no JSON";
}
