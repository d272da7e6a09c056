/* Sealed secrets as they may come back from a ledger that somebody has changed. None of the input opens, except what was
 * sealed under the same key for the same row; and a sealed secret with any of its bits changed does not.
 *
 * The input: two bytes (where a real sealed secret is changed) and bytes to be opened. */
#include "fuzz.h"

#include "base/secret.h"

#include <fcntl.h>
#include <unistd.h>

#define KEY "sk-svcacct-0123456789abcdefghijKEY"
#define ROW "llmhook:h1:u1:openai:g1"

static struct seal *the_seal(void)
{
    static struct seal *seal;
    char path[] = "/tmp/fuzz-seal-XXXXXX";
    struct error err = ERROR_INIT;
    if (seal)
        return seal;
    must_succeed(secret_init(&err), err);
    int fd = mkstemp(path);
    must(fd >= 0 && write(fd, "0123456789abcdef0123456789abcdef", 32) == 32);
    close(fd);
    must_succeed(seal_open_file(path, &seal, &err), err);
    unlink(path);
    return seal;
}

static void refused(const unsigned char *sealed, size_t length)
{
    struct secret *secret = NULL;
    struct error err = ERROR_INIT;
    must(!seal_unwrap(the_seal(), ROW, sealed, length, &secret, &err) && !secret);
    must(err.code == ERROR_DENIED || err.code == ERROR_INVALID);
    fuzz_check_error(&err);
    must(!strstr(err.text, KEY));
}

static void check_changed(unsigned at, unsigned char bits)
{
    const struct seal *seal = the_seal();
    struct secret *secret = secret_new(KEY, sizeof KEY - 1), *again = NULL;
    unsigned char *sealed;
    size_t length;
    struct error err = ERROR_INIT;
    must_succeed(seal_wrap(seal, ROW, secret, &sealed, &length, &err), err);
    must(!memmem(sealed, length, KEY, 8));
    must_succeed(seal_unwrap(the_seal(), ROW, sealed, length, &again, &err), err);
    must(strcmp(secret_reveal(again), KEY) == 0);
    must(!seal_unwrap(the_seal(), ROW "0", sealed, length, &again, &err));
    refused(sealed, at % length);
    sealed[at % length] ^= bits ? bits : 1;
    refused(sealed, length);
    secret_free(secret);
    secret_free(again);
    free(sealed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    check_changed(data[0], data[1]);
    refused(data + 2, size - 2);
    return 0;
}
