#include "base/secret.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

struct secret {
    size_t length;
    char bytes[]; /* and a NUL */
};

bool secret_init(struct error *err)
{
    if (sodium_init() < 0)
        return error_set(err, ERROR_IO, "libsodium could not be started: the system gives no randomness");
    return true;
}

/* sodium_allocarray's guard pages cost four pages a secret, and it aligns the end, not the start, of a block;
 * sodium_malloc on an 8-byte multiple keeps the length field aligned. */
static struct secret *allocate(size_t length)
{
    size_t size = (sizeof(struct secret) + length + 1 + 15) & ~(size_t)15;
    struct secret *secret = sodium_malloc(size);
    if (secret)
        secret->length = length;
    return secret;
}

struct secret *secret_new(const char *bytes, size_t length)
{
    if (length > SECRET_MAX || memchr(bytes, '\0', length))
        return NULL;
    struct secret *secret = allocate(length);
    if (secret) {
        memcpy(secret->bytes, bytes, length);
        secret->bytes[length] = '\0';
    }
    return secret;
}

struct secret *secret_generate(const char *prefix)
{
    unsigned char random[32];
    char text[128], *end;
    size_t length = strlen(prefix);
    if (length + sodium_base64_encoded_len(sizeof random, sodium_base64_VARIANT_URLSAFE_NO_PADDING) > sizeof text)
        return NULL;
    memcpy(text, prefix, length);
    randombytes_buf(random, sizeof random);
    end = sodium_bin2base64(text + length, sizeof text - length, random, sizeof random,
                            sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    struct secret *secret = end ? secret_new(text, strlen(text)) : NULL;
    sodium_memzero(random, sizeof random);
    sodium_memzero(text, sizeof text);
    return secret;
}

struct secret *secret_copy(const struct secret *secret)
{
    return secret ? secret_new(secret->bytes, secret->length) : NULL;
}

void secret_free(struct secret *secret)
{
    sodium_free(secret); /* wipes */
}

const char *secret_reveal(const struct secret *secret)
{
    return secret->bytes;
}

size_t secret_length(const struct secret *secret)
{
    return secret->length;
}

void secret_fingerprint(const struct secret *secret, char fingerprint[SECRET_FINGERPRINT_SIZE])
{
    secret_fingerprint_bytes(secret->bytes, secret->length, fingerprint);
}

void secret_fingerprint_bytes(const void *bytes, size_t length, char fingerprint[SECRET_FINGERPRINT_SIZE])
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    crypto_hash_sha256(hash, bytes, length);
    sodium_bin2hex(fingerprint, SECRET_FINGERPRINT_SIZE, hash, sizeof hash);
}

void secret_sign(const struct secret *key, const void *bytes, size_t length, char signature[SECRET_FINGERPRINT_SIZE])
{
    unsigned char mac[crypto_auth_hmacsha256_BYTES];
    crypto_auth_hmacsha256_state state;
    crypto_auth_hmacsha256_init(&state, (const unsigned char *)key->bytes, key->length);
    crypto_auth_hmacsha256_update(&state, bytes, length);
    crypto_auth_hmacsha256_final(&state, mac);
    sodium_memzero(&state, sizeof state);
    sodium_bin2hex(signature, SECRET_FINGERPRINT_SIZE, mac, sizeof mac);
}
