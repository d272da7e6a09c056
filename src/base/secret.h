/* A credential in memory: locked, kept out of core dumps, wiped on release, and printable nowhere.
 *
 * The type is opaque so that every place that looks inside calls secret_reveal(), and can be found by that name.
 * Also here: sealing for the ledger. This folder is the only user of libsodium. */
#ifndef LLMHOOK_BASE_SECRET_H
#define LLMHOOK_BASE_SECRET_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    SECRET_MAX = 16 * 1024,         /* bytes; a WIF assertion is the longest we know */
    SECRET_FINGERPRINT_SIZE = 65,   /* SHA-256 in hexadecimal and a NUL */
};

struct secret;

/* Once per process, before anything else here. Fails only when the system has no randomness. */
bool secret_init(struct error *err);

/* Copies LENGTH bytes. NULL when they are too many, contain a NUL, or memory is short. Owner: the caller. */
struct secret *secret_new(const char *bytes, size_t length);
/* PREFIX and 43 random characters of [A-Za-z0-9_-], which are 256 bits. Owner: the caller. NULL: memory is short. */
struct secret *secret_generate(const char *prefix);
/* A second owner's own copy; NULL when memory is short or SECRET is NULL. */
struct secret *secret_copy(const struct secret *secret);
/* Wipes and releases. NULL is fine. */
void secret_free(struct secret *secret);

/* The bytes, NUL-terminated, valid as long as the secret. Never log, print or store what this returns. */
const char *secret_reveal(const struct secret *secret);
size_t secret_length(const struct secret *secret);

/* SHA-256, in lower-case hexadecimal. The keys we handle have far more entropy than could be searched, so
 * their hash may be shown, stored and compared with what a guest reports. */
void secret_fingerprint(const struct secret *secret, char fingerprint[SECRET_FINGERPRINT_SIZE]);
/* The same over any bytes. */
void secret_fingerprint_bytes(const void *bytes, size_t length, char fingerprint[SECRET_FINGERPRINT_SIZE]);

/* HMAC-SHA-256 of BYTES under KEY, in lower-case hexadecimal. */
void secret_sign(const struct secret *key, const void *bytes, size_t length, char signature[SECRET_FINGERPRINT_SIZE]);

static inline void cleanup_secret_pointer(struct secret **secret)
{
    secret_free(*secret);
}
#define cleanup_secret __attribute__((cleanup(cleanup_secret_pointer)))

/* --- sealing: what the ledger keeps of a secret ---
 * XChaCha20-Poly1305 under a key of this host; CONTEXT (the key's name) is authenticated with it, so that a
 * sealed secret cannot be moved to another row. */
struct seal;

/* From a file of at least 32 bytes of key material that only its owner can read. Owner: the caller. */
bool seal_open_file(const char *path, struct seal **ret_seal, struct error *err);
/* Makes such a file (0600, synced to disk), in place of one that may be there. */
bool seal_make_file(const char *path, struct error *err);
/* By which a key is known again, in lower-case hexadecimal: nothing about the key can be had from it. */
void seal_fingerprint(const struct seal *seal, char fingerprint[SECRET_FINGERPRINT_SIZE]);
void seal_free(struct seal *seal);

/* Allocates *RET_SEALED (plain free). */
bool seal_wrap(const struct seal *seal, const char *context, const struct secret *secret, unsigned char **ret_sealed,
               size_t *ret_length, struct error *err);
/* ERROR_DENIED when the bytes were not sealed by this key for this context. */
bool seal_unwrap(const struct seal *seal, const char *context, const unsigned char *sealed, size_t length,
                 struct secret **ret_secret, struct error *err);

#endif
