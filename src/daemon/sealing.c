/* The sealing key at the daemon's start.
 *
 * A key that is not there may be on a disk that is not mounted yet, or was forgotten when the rest was restored. One that were
 * made in its place would open nothing of what the ledger has: no guest could be given its key again, what is in the pool
 * would be lost, and all of it without a word. So the ledger has the fingerprint of its key, and goes with no other. */
#include "daemon/sealing.h"

#include "base/cleanup.h"
#include "base/failpoint.h"
#include "daemon/engine.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The ledger's text with the fingerprint. */
static const char noted_as[] = "seal-key";

/* --- a ledger from before the fingerprint was noted --- */

/* SEAL: NULL, where it is only asked whether anything is sealed at all. */
struct trial {
    struct ledger *ledger;
    const struct seal *seal;
    bool sealed, opened;
};

/* FETCHED: whether there was a secret to be had; ERR: why not. One that opens is enough: what was lost before stays lost. */
static bool try_secret(struct trial *trial, bool fetched, const char *context, const unsigned char *sealed, size_t length,
                       struct error *err)
{
    cleanup_secret struct secret *secret = NULL;
    if (!fetched && err->code == ERROR_NOT_FOUND) {
        *err = (struct error)ERROR_INIT;
        return true;
    }
    if (!fetched)
        return false;
    trial->sealed = true;
    trial->opened = trial->opened || (trial->seal && seal_unwrap(trial->seal, context, sealed, length, &secret, NULL));
    return true;
}

static bool try_key(void *context, const struct key_record *record, struct error *err)
{
    struct trial *trial = context;
    cleanup_free unsigned char *sealed = NULL;
    size_t length = 0;
    if (trial->opened)
        return true;
    bool fetched = ledger_get_secret(trial->ledger, record->id, &sealed, &length, err);
    return try_secret(trial, fetched, record->name, sealed, length, err);
}

static bool try_pooled(void *context, const struct pool_record *record, struct error *err)
{
    struct trial *trial = context;
    cleanup_free unsigned char *sealed = NULL;
    char name[RECORD_NAME_SIZE];
    size_t length = 0;
    if (trial->opened || record->state != POOL_FREE)
        return true;
    rows_pool_context(record, name, sizeof name);
    bool fetched = ledger_pool_secret(trial->ledger, record->id, &sealed, &length, err);
    return try_secret(trial, fetched, name, sealed, length, err);
}

static bool try_all(struct trial *trial, struct error *err)
{
    return ledger_each_live_key(trial->ledger, try_key, trial, err) &&
           ledger_pool_each(trial->ledger, NULL, try_pooled, trial, err);
}

/* --- which one it is --- */

/* Empty: none was noted yet. */
static bool read_noted(struct ledger *ledger, char ret_noted[SECRET_FINGERPRINT_SIZE], struct error *err)
{
    ret_noted[0] = '\0';
    if (ledger_get_text(ledger, noted_as, ret_noted, SECRET_FINGERPRINT_SIZE, err))
        return true;
    if (err->code != ERROR_NOT_FOUND)
        return false;
    *err = (struct error)ERROR_INIT;
    return true;
}

static bool make_for_new_ledger(struct ledger *ledger, const char *path, const char *noted, struct error *err)
{
    struct trial trial = {.ledger = ledger};
    if (!noted[0] && !try_all(&trial, err))
        return false;
    if (noted[0] || trial.sealed)
        return error_set(err, ERROR_NOT_FOUND,
                         "there is no sealing key %s, and the ledger's secrets were sealed under one: mount what it is on, "
                         "put it back from a backup, or correct seal-key", path);
    return seal_make_file(path, err);
}

/* Whether SEAL is the one that LEDGER knows; a ledger that knows none learns it. */
static bool settle(struct ledger *ledger, const char *where, const struct seal *seal, const char *noted, struct error *err)
{
    struct trial trial = {.ledger = ledger, .seal = seal};
    char fingerprint[SECRET_FINGERPRINT_SIZE];
    seal_fingerprint(seal, fingerprint);
    if (strcmp(noted, fingerprint) == 0)
        return true;
    if (!noted[0] && !try_all(&trial, err))
        return false;
    if (noted[0] || (trial.sealed && !trial.opened))
        return error_set(err, ERROR_DENIED,
                         "the sealing key %s is another one than the ledger's secrets were sealed under: put that back from a "
                         "backup, or correct seal-key", where);
    FAILPOINT("seal-key-noted", "committing");
    bool set = ledger_set_text(ledger, noted_as, fingerprint, err);
    FAILPOINT("seal-key-noted", "committed");
    return set;
}

static bool find_credential(const char *where, char *ret_path, size_t size, struct error *err)
{
    const char *directory = getenv("CREDENTIALS_DIRECTORY");
    if (!directory)
        return error_set(err, ERROR_NOT_FOUND,
                         "seal-key is %s, and systemd passed no credentials: add LoadCredential= to the unit", where);
    snprintf(ret_path, size, "%s/%s", directory, where + strlen("credential:"));
    return true;
}

bool sealing_open(struct ledger *ledger, const char *where, struct seal **ret_seal, struct error *err)
{
    bool given = strncmp(where, "credential:", strlen("credential:")) == 0;
    char path[PATH_MAX], noted[SECRET_FINGERPRINT_SIZE];
    struct seal *seal;
    snprintf(path, sizeof path, "%s", where);
    if ((given && !find_credential(where, path, sizeof path, err)) || !read_noted(ledger, noted, err))
        return false;
    if (!given && access(path, F_OK) < 0 && errno == ENOENT && !make_for_new_ledger(ledger, path, noted, err))
        return false;
    if (!seal_open_file(path, &seal, err))
        return false;
    if (!settle(ledger, where, seal, noted, err)) {
        seal_free(seal);
        return false;
    }
    *ret_seal = seal;
    return true;
}
