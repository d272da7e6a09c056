/* The sealing key at the daemon's start.
 *
 * A key that is not there may be on a disk that is not mounted yet, or was forgotten when the rest was restored. One that were
 * made in its place would open nothing of what the ledger has: no guest could be given its key again, what is in the pool
 * would be lost, and all of it without a word. So the ledger has the fingerprint of its key, and goes with no other. */
#include "daemon/sealing.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/failpoint.h"
#include "daemon/engine.h"
#include "lifecycle/transition.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The ledger's text with the fingerprint. */
static const char noted_as[] = "seal-key";

#define LOST_FOR_GOOD "where it is lost for good, see --seal-key-lost in llmhookd(8)"

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
                         "put it back from a backup, or correct seal-key; " LOST_FOR_GOOD, path);
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
    if (!try_all(&trial, err))
        return false;
    if (trial.sealed && (noted[0] || !trial.opened))
        return error_set(err, ERROR_DENIED,
                         "the sealing key %s is another one than the ledger's secrets were sealed under: put that back from a "
                         "backup, or correct seal-key; " LOST_FOR_GOOD, where);
    FAILPOINT("seal-key-noted", "committing");
    bool set = ledger_set_text(ledger, noted_as, fingerprint, err);
    FAILPOINT("seal-key-noted", "committed");
    return set;
}

static bool is_credential(const char *where)
{
    return strncmp(where, "credential:", strlen("credential:")) == 0;
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
    bool given = is_credential(where);
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

/* --- a key that is lost for good --- */

struct giving_up {
    struct ledger *ledger;
    struct grant_record *grants;
    struct key_record *keys;
    struct pool_record *pooled;
    size_t grants_count, keys_count, pooled_count;
};

/* Makes room for one more of SIZE bytes behind COUNT at *ROWS, and copies it there. */
static bool gather(void **rows, size_t *count, const void *row, size_t size, struct error *err)
{
    void *more = realloc(*rows, (*count + 1) * size);
    if (!more)
        return error_set(err, ERROR_IO, "out of memory");
    *rows = more;
    memcpy((char *)more + (*count)++ * size, row, size);
    return true;
}

static bool gather_grant(void *context, const struct grant_record *record, struct error *err)
{
    struct giving_up *all = context;
    void *rows = all->grants;
    bool ok = gather(&rows, &all->grants_count, record, sizeof *record, err);
    all->grants = rows;
    return ok;
}

static bool gather_key(void *context, const struct key_record *record, struct error *err)
{
    struct giving_up *all = context;
    void *rows = all->keys;
    bool ok = gather(&rows, &all->keys_count, record, sizeof *record, err);
    all->keys = rows;
    return ok;
}

static bool gather_pooled(void *context, const struct pool_record *record, struct error *err)
{
    struct giving_up *all = context;
    if (record->state != POOL_FREE)
        return true;
    void *rows = all->pooled;
    bool ok = gather(&rows, &all->pooled_count, record, sizeof *record, err);
    all->pooled = rows;
    return ok;
}

static bool write_line(struct giving_up *all, struct journal_record *line, const char *event, const char *cause,
                       struct error *err)
{
    line->at = clock_wall_ms();
    snprintf(line->event, sizeof line->event, "%s", event);
    snprintf(line->cause, sizeof line->cause, "%s", cause);
    snprintf(line->actor, sizeof line->actor, "operator");
    return ledger_journal_append(all->ledger, line, err);
}

/* What becomes of a key that nobody can be given any more. NULL: nothing; it never was one, or is on its way out. */
static const char *end_key(struct key_record *key, int64_t wall)
{
    switch (key->state) {
    case KEY_MINTING:
        /* One that is claimed is known to be there. Of the others nobody knows, and to repeat a request with another secret
         * would leave two of one name. */
        return key->remote_id[0] ? transition_key_end(key, wall) : transition_key_doubt(key, wall);
    case KEY_MINTED:
    case KEY_ACTIVE:
    case KEY_SUSPENDED:
    case KEY_RETIRING:
        return transition_key_end(key, wall);
    case KEY_PLANNED:
    case KEY_REVOKING:
    case KEY_REVOKED:
        break;
    }
    return NULL;
}

static bool give_up_key(struct giving_up *all, struct key_record *key, size_t *ended, struct error *err)
{
    struct journal_record line = {.key_id = key->id, .generation = key->generation};
    const char *event = end_key(key, clock_wall_ms());
    for (size_t i = 0; i < all->grants_count; i++)
        if (all->grants[i].id == key->grant_id) {
            memcpy(line.domain, all->grants[i].domain, sizeof line.domain);
            memcpy(line.provider, all->grants[i].provider, sizeof line.provider);
        }
    *ended += event != NULL;
    return ledger_erase_secret(all->ledger, key->id, err) &&
           (!event || (ledger_save_key(all->ledger, key, err) &&
                       write_line(all, &line, event, "its secret was lost with the sealing key", err)));
}

static bool give_up_pooled(struct giving_up *all, const struct pool_record *pooled, struct error *err)
{
    struct journal_record line = {.id = 0};
    memcpy(line.provider, pooled->provider, sizeof line.provider);
    return ledger_pool_remove(all->ledger, pooled->id, err) &&
           write_line(all, &line, "pool key removed", pooled->remote_id, err);
}

/* Inside of the caller's transaction. */
static bool give_up_all(struct giving_up *all, size_t *ended, struct error *err)
{
    bool ok = ledger_each_live_grant(all->ledger, gather_grant, all, err) &&
              ledger_each_live_key(all->ledger, gather_key, all, err) &&
              ledger_pool_each(all->ledger, NULL, gather_pooled, all, err);
    for (size_t i = 0; ok && i < all->keys_count; i++)
        ok = give_up_key(all, &all->keys[i], ended, err);
    for (size_t i = 0; ok && i < all->pooled_count; i++)
        ok = give_up_pooled(all, &all->pooled[i], err);
    return ok && ledger_set_text(all->ledger, noted_as, "", err);
}

/* Whether the key can be had. Where it cannot be looked for, as a credential of systemd's, who says that it is lost is
 * believed. */
static bool is_there(struct ledger *ledger, const char *where)
{
    struct seal *seal = NULL;
    struct error why = ERROR_INIT;
    bool there = (is_credential(where) || access(where, F_OK) == 0) && sealing_open(ledger, where, &seal, &why);
    seal_free(seal);
    return there;
}

/* No failpoint: this is one transaction in a program of its own, with no step before it or behind. The next start of the
 * daemon finds a ledger in which nothing is sealed, as a new one's is, and keys that are to be revoked. */
bool sealing_give_up(struct ledger *ledger, const char *where, struct sealing_lost *ret_lost, struct error *err)
{
    struct giving_up all = {.ledger = ledger};
    size_t ended = 0;
    if (is_there(ledger, where))
        return error_set(err, ERROR_EXISTS,
                         "the sealing key %s is the one that the ledger's secrets were sealed under: nothing is lost, and "
                         "nothing was changed", where);
    bool ok = ledger_begin(ledger, err) && give_up_all(&all, &ended, err) && ledger_commit(ledger, err);
    ledger_rollback(ledger);
    *ret_lost = (struct sealing_lost){ended, all.pooled_count};
    free(all.grants);
    free(all.keys);
    free(all.pooled);
    return ok;
}
