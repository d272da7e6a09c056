/* Sealing: secrets at rest. See secret.h. */
#include "base/cleanup.h"
#include "base/durable.h"
#include "base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>

enum {
    KEY_SIZE = crypto_aead_xchacha20poly1305_ietf_KEYBYTES,
    NONCE_SIZE = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
    TAG_SIZE = crypto_aead_xchacha20poly1305_ietf_ABYTES,
    MATERIAL_MAX = 4096,
    SEALED_FORMAT = 1, /* first byte of everything sealed, so that the format can change */
};

struct seal {
    unsigned char key[KEY_SIZE];
};

/* Whatever the file holds (raw bytes, hexadecimal, a systemd credential of any length) is hashed into a key. */
static bool seal_from_material(const char *path, const unsigned char *material, size_t length, struct seal **ret_seal,
                               struct error *err)
{
    if (length < KEY_SIZE)
        return error_set(err, ERROR_INVALID, "%s: holds %zu bytes, a sealing key needs at least %d", path, length,
                         KEY_SIZE);
    struct seal *seal = sodium_malloc(sizeof *seal);
    if (!seal)
        return error_set(err, ERROR_IO, "out of memory for the sealing key");
    static const unsigned char purpose[] = "llmhook ledger sealing v1";
    crypto_generichash(seal->key, sizeof seal->key, material, length, purpose, sizeof purpose - 1);
    *ret_seal = seal;
    return true;
}

bool seal_open_file(const char *path, struct seal **ret_seal, struct error *err)
{
    unsigned char material[MATERIAL_MAX];
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return error_set_errno(err, errno, "sealing key %s", path);
    struct stat status;
    if (fstat(fd, &status) < 0)
        return error_set_errno(err, errno, "sealing key %s", path);
    if (status.st_mode & 077)
        return error_set(err, ERROR_DENIED, "sealing key %s can be read by others (mode %03o): chmod 600 it", path,
                         (unsigned)status.st_mode & 0777);
    ssize_t length = read(fd, material, sizeof material);
    if (length < 0)
        return error_set_errno(err, errno, "read sealing key %s", path);
    bool ok = seal_from_material(path, material, (size_t)length, ret_seal, err);
    sodium_memzero(material, sizeof material);
    return ok;
}

bool seal_make_file(const char *path, struct error *err)
{
    unsigned char material[KEY_SIZE];
    randombytes_buf(material, sizeof material);
    bool ok = durable_write(path, 0600, material, sizeof material, err);
    sodium_memzero(material, sizeof material);
    return ok || error_prefix(err, "make a sealing key");
}

void seal_fingerprint(const struct seal *seal, char fingerprint[SECRET_FINGERPRINT_SIZE])
{
    static const unsigned char purpose[] = "llmhook which sealing key v1";
    unsigned char mac[(SECRET_FINGERPRINT_SIZE - 1) / 2];
    crypto_generichash(mac, sizeof mac, purpose, sizeof purpose - 1, seal->key, sizeof seal->key);
    sodium_bin2hex(fingerprint, SECRET_FINGERPRINT_SIZE, mac, sizeof mac);
}

void seal_free(struct seal *seal)
{
    sodium_free(seal);
}

bool seal_wrap(const struct seal *seal, const char *context, const struct secret *secret, unsigned char **ret_sealed,
               size_t *ret_length, struct error *err)
{
    size_t plain = secret_length(secret), length = 1 + NONCE_SIZE + plain + TAG_SIZE;
    unsigned char *sealed = malloc(length);
    if (!sealed)
        return error_set(err, ERROR_IO, "out of memory");
    sealed[0] = SEALED_FORMAT;
    randombytes_buf(sealed + 1, NONCE_SIZE);
    crypto_aead_xchacha20poly1305_ietf_encrypt(sealed + 1 + NONCE_SIZE, NULL,
                                               (const unsigned char *)secret_reveal(secret), plain,
                                               (const unsigned char *)context, strlen(context), NULL, sealed + 1,
                                               seal->key);
    *ret_sealed = sealed;
    *ret_length = length;
    return true;
}

bool seal_unwrap(const struct seal *seal, const char *context, const unsigned char *sealed, size_t length,
                 struct secret **ret_secret, struct error *err)
{
    if (length < 1 + NONCE_SIZE + TAG_SIZE || sealed[0] != SEALED_FORMAT || length > 1 + NONCE_SIZE + TAG_SIZE + SECRET_MAX)
        return error_set(err, ERROR_INVALID, "the sealed secret of %s has a form this program does not know", context);
    unsigned char *plain = sodium_malloc(length);
    if (!plain)
        return error_set(err, ERROR_IO, "out of memory");
    unsigned long long plain_length = 0;
    bool ok = crypto_aead_xchacha20poly1305_ietf_decrypt(plain, &plain_length, NULL, sealed + 1 + NONCE_SIZE,
                                                         length - 1 - NONCE_SIZE, (const unsigned char *)context,
                                                         strlen(context), sealed + 1, seal->key) == 0;
    if (!ok)
        error_set(err, ERROR_DENIED, "the sealed secret of %s does not open: it was sealed under another key, or altered",
                  context);
    else if (!(*ret_secret = secret_new((const char *)plain, (size_t)plain_length)))
        ok = error_set(err, ERROR_IO, "out of memory");
    sodium_free(plain);
    return ok;
}
