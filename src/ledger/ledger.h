/* The durable record: domains, grants, keys, containers and every transition. The only user of SQL.
 *
 * SQLite in WAL mode with synchronous=FULL: when ledger_commit() returns true, it is on the disk. One process owns
 * the file; a second is refused. Used from the loop's thread alone. Statements keep to what SQLite and PostgreSQL
 * share ($1 placeholders, ON CONFLICT, RETURNING). */
#ifndef LLMHOOK_LEDGER_LEDGER_H
#define LLMHOOK_LEDGER_LEDGER_H

#include "base/error.h"
#include "lifecycle/alert.h"
#include "lifecycle/budget.h"
#include "lifecycle/records.h"

#include <stdbool.h>
#include <stddef.h>

enum { LEDGER_SCHEMA = 14 };

struct ledger;

/* Opens or makes the file (0600; its folder is made 0700, or must be) and brings an older schema up to LEDGER_SCHEMA
 * in one transaction. `ledger.lock` beside `ledger.sqlite` is held until the close. ERROR_BUSY: another process has it
 * open. ERROR_INVALID: a newer schema than this program's, or not a ledger. ERROR_DENIED: the folder or a file is
 * another user's, or open to others. ERROR_IO: damaged (integrity_check) or the disk. Nothing damaged is ever written over.
 * Owner: the caller. */
bool ledger_open(const char *path, struct ledger **ret_ledger, struct error *err);
/* Rolls back what is open. NULL is fine. */
void ledger_close(struct ledger *ledger);

/* Everything between begin and commit is durable together or not at all. A save outside of a transaction is one of
 * its own. Once a save in it has failed, a transaction takes no more and its commit fails: half of what was meant is
 * never written. A failed commit has rolled back; ids that were set in it mean nothing (put them back to 0). The
 * ledger stays usable: a later try may succeed. Transactions do not nest.
 * If the disk failed at the very end of a commit and the process dies before the next one, the whole transaction may
 * be there at the next open, as after a commit whose answer was not heard. */
bool ledger_begin(struct ledger *ledger, struct error *err);
bool ledger_commit(struct ledger *ledger, struct error *err);
/* Nothing happens when no transaction is open. */
void ledger_rollback(struct ledger *ledger);

/* Moves the write-ahead log into the file and empties it; what was erased is then in neither. For quiet moments, say a
 * minute after a commit; free of charge when nothing was committed since the last. ERROR_BUSY: somebody reads; later. */
bool ledger_checkpoint(struct ledger *ledger, struct error *err);

/* Small named texts: "host-id". ERROR_NOT_FOUND when there is none. */
bool ledger_get_text(struct ledger *ledger, const char *name, char *ret_text, size_t size, struct error *err);
bool ledger_set_text(struct ledger *ledger, const char *name, const char *text, struct error *err);

/* Inserts when the record's id is 0 (and sets it), else updates that row; a row that is not there is ERROR_NOT_FOUND.
 * So is one of another identity: a grant's domain and provider, a container's provider, kind and subject, a key's grant,
 * generation and name never change. What the schema forbids is ERROR_INVALID, a duplicate ERROR_EXISTS, a grant or
 * container that is not there ERROR_NOT_FOUND. A domain is inserted or updated by its UUID (lower case). */
bool ledger_save_domain(struct ledger *ledger, const struct domain_record *record, struct error *err);
bool ledger_save_grant(struct ledger *ledger, struct grant_record *record, struct error *err);
bool ledger_save_container(struct ledger *ledger, struct container_record *record, struct error *err);
bool ledger_save_key(struct ledger *ledger, struct key_record *record, struct error *err);

/* A domain's row ends when nothing of it is alive any more; its grants, keys and journal stay as history.
 * ERROR_BUSY while a key of it is not revoked (revoke before forget holds here too), a container per domain of it is
 * not archived, or a grant of it has not ended; the text says which. */
bool ledger_forget_domain(struct ledger *ledger, const char *uuid, struct error *err);

/* The sealed secret of a key. Putting replaces. Erasing overwrites its bytes, and none is fine; an older copy is in the
 * write-ahead log until ledger_checkpoint() or the close. */
bool ledger_put_secret(struct ledger *ledger, int64_t key_id, const unsigned char *sealed, size_t length, struct error *err);
/* Allocates *RET_SEALED (free). ERROR_NOT_FOUND when there is none. */
bool ledger_get_secret(struct ledger *ledger, int64_t key_id, unsigned char **ret_sealed, size_t *ret_length, struct error *err);
bool ledger_erase_secret(struct ledger *ledger, int64_t key_id, struct error *err);

/* The pool: keys that an operator made at a provider that mints none. Adding inserts a free one with its sealed secret and
 * sets its id; a remote id or a secret that was ever added is ERROR_EXISTS: one key is never in it twice, and never
 * again. Each walks over all of PROVIDER (NULL: of all), in order of id. */
typedef bool ledger_pool_fn(void *context, const struct pool_record *record, struct error *err);
bool ledger_pool_add(struct ledger *ledger, struct pool_record *record, const unsigned char *sealed, size_t length,
                     struct error *err);
bool ledger_pool_each(struct ledger *ledger, const char *provider, ledger_pool_fn *callback, void *context, struct error *err);
/* Only a free one can be taken out again; its secret is erased. ERROR_BUSY: it is or was claimed. */
bool ledger_pool_remove(struct ledger *ledger, int64_t id, struct error *err);
bool ledger_pool_count_free(struct ledger *ledger, const char *provider, int64_t *ret_count, struct error *err);
/* The oldest free one of PROVIDER becomes KEY_ID's, for good: in the transaction that commits the intent to mint, so that
 * no crash can give it out twice. ERROR_NOT_FOUND: none is free. ERROR_EXISTS: that key has claimed one already. */
bool ledger_pool_claim(struct ledger *ledger, const char *provider, int64_t key_id, int64_t wall, struct pool_record *ret_record,
                       struct error *err);
/* What KEY_ID has claimed is spent; nothing happens where it has claimed none. */
bool ledger_pool_spend(struct ledger *ledger, int64_t key_id, struct error *err);
/* The sealed secret of one that is in the pool; allocates *RET_SEALED (free). Erasing is for when its key has it. */
bool ledger_pool_secret(struct ledger *ledger, int64_t id, unsigned char **ret_sealed, size_t *ret_length, struct error *err);
bool ledger_pool_erase_secret(struct ledger *ledger, int64_t id, struct error *err);

/* All that is live: domains (every row), grants not ended, containers not archived, keys not revoked. In order of id or UUID.
 * A callback that returns false ends the walk, which then returns false with the callback's error. It may call the
 * ledger; whether the walk then sees what it saved is left open. */
typedef bool ledger_domain_fn(void *context, const struct domain_record *record, struct error *err);
typedef bool ledger_grant_fn(void *context, const struct grant_record *record, struct error *err);
typedef bool ledger_container_fn(void *context, const struct container_record *record, struct error *err);
typedef bool ledger_key_fn(void *context, const struct key_record *record, struct error *err);
bool ledger_each_domain(struct ledger *ledger, ledger_domain_fn *callback, void *context, struct error *err);
bool ledger_each_live_grant(struct ledger *ledger, ledger_grant_fn *callback, void *context, struct error *err);
bool ledger_each_live_container(struct ledger *ledger, ledger_container_fn *callback, void *context, struct error *err);
bool ledger_each_live_key(struct ledger *ledger, ledger_key_fn *callback, void *context, struct error *err);

/* The key of PROVIDER with that remote id, revoked or not, the newest if there are several. ERROR_NOT_FOUND: none. Reads
 * all keys: for rare questions. */
bool ledger_find_key(struct ledger *ledger, const char *provider, const char *remote_id, struct key_record *ret_record,
                     struct error *err);

/* The grant that spent what a report tells of a container and, unless it is empty, a key (by its usage_id or remote id).
 * ERROR_NOT_FOUND: nobody of ours. A container of one domain tells by itself; in a shared one the key does. */
bool ledger_find_spender(struct ledger *ledger, const char *provider, const char *container, const char *key,
                         int64_t *ret_grant, struct error *err);
/* The containers of PROVIDER in which keys of ours may have spent since SINCE (wall-clock milliseconds), archived ones as
 * well, and how many those keys are. */
typedef bool ledger_scope_fn(void *context, const char *container, int64_t keys, struct error *err);
bool ledger_each_scope(struct ledger *ledger, const char *provider, int64_t since, ledger_scope_fn *callback, void *context,
                       struct error *err);
/* Inserts or replaces: never adds. */
bool ledger_save_spending(struct ledger *ledger, const struct spending_record *record, struct error *err);
/* Removes what one source (BILL or estimate) has told of a grant's day, whatever the models were; nothing is fine. For what
 * it tells now of all of that day, in the same transaction. */
bool ledger_clear_spending(struct ledger *ledger, int64_t grant, int64_t day, bool bill, struct error *err);
/* What was spent from day SINCE to before day UNTIL, by grant, day, source (bill first) and model. DOMAIN's name is the
 * last that was known, OWNER what the grant's policy said last, also when its domain is forgotten. */
struct spending_of {
    char domain[RECORD_UUID_SIZE], provider[POLICY_PROVIDER_SIZE];
    char name[RECORD_NAME_SIZE]; /* empty: the domain is forgotten */
    char owner[POLICY_OWNER_SIZE];
    int64_t monthly_limit;
    bool own_container; /* the domain has or had one of its own at that provider */
};
typedef bool ledger_spending_fn(void *context, const struct spending_record *record, const struct spending_of *of,
                                struct error *err);
/* Of the grants with greater ids than AFTER, one after the other. */
bool ledger_each_spending(struct ledger *ledger, int64_t since, int64_t until, int64_t after, ledger_spending_fn *callback,
                          void *context, struct error *err);
/* What KEY (its remote id) of a grant has cost in the month that begins on day MONTH: replaced, and kept when the key has
 * ended. */
bool ledger_save_total(struct ledger *ledger, int64_t grant, int64_t month, const char *key, int64_t micro_dollars,
                       struct error *err);
/* That of all its keys; 0 where nothing is known. */
bool ledger_get_total(struct ledger *ledger, int64_t grant, int64_t month, int64_t *ret_micro_dollars, struct error *err);
/* How fast a grant was seen to spend at most; all 0 where nothing is known. */
bool ledger_get_rates(struct ledger *ledger, int64_t grant, struct budget_rates *ret_rates, struct error *err);
bool ledger_set_rates(struct ledger *ledger, int64_t grant, const struct budget_rates *rates, struct error *err);

/* A grant that ended comes back with its generations (no number is ever used twice). ERROR_NOT_FOUND: never was. */
bool ledger_find_grant(struct ledger *ledger, const char *domain, const char *provider, struct grant_record *ret_record,
                       struct error *err);

/* Alerts that have been raised: inserted or updated as keys are; kind and cause never change. Live ones have not ended, or
 * have not reached all whom they are for. */
typedef bool ledger_alert_fn(void *context, const struct alert_record *record, struct error *err);
bool ledger_save_alert(struct ledger *ledger, struct alert_record *record, struct error *err);
bool ledger_each_live_alert(struct ledger *ledger, ledger_alert_fn *callback, void *context, struct error *err);
/* Whether one of that cause ever was. */
bool ledger_alert_was_raised(struct ledger *ledger, const char *cause, bool *ret_raised, struct error *err);
/* Removes what ended before BEFORE (wall-clock milliseconds) and has reached everybody. */
bool ledger_forget_alerts(struct ledger *ledger, int64_t before, struct error *err);

/* Appends; sets the record's id. Each line holds the hash of the one before it, so that a changed or missing line shows. */
bool ledger_journal_append(struct ledger *ledger, struct journal_record *record, struct error *err);
/* The newest MAXIMUM lines of DOMAIN (NULL: of all), oldest first. Where a line from before schema 2 has no provider and
 * no generation of its own, they are those of its key or container. */
typedef bool ledger_journal_fn(void *context, const struct journal_record *record, struct error *err);
bool ledger_journal_each(struct ledger *ledger, const char *domain, unsigned maximum, ledger_journal_fn *callback, void *context,
                         struct error *err);
/* At most MAXIMUM lines of DOMAIN, oldest first: those behind line AFTER (0: from the first) that are not older than
 * SINCE (wall-clock milliseconds). */
bool ledger_journal_page(struct ledger *ledger, const char *domain, int64_t after, int64_t since, unsigned maximum,
                         ledger_journal_fn *callback, void *context, struct error *err);
/* The UUIDs of domains that were called NAME when they were forgotten, the latest first: calls FOUND for each. */
typedef bool ledger_uuid_fn(void *context, const char *uuid, struct error *err);
bool ledger_journal_forgotten(struct ledger *ledger, const char *name, ledger_uuid_fn *found, void *context,
                              struct error *err);
/* Whether there is any line of that domain. */
bool ledger_journal_knows(struct ledger *ledger, const char *uuid, bool *ret_known, struct error *err);
/* Recomputes the chain. ERROR_INVALID names the first line that does not fit. Some 3 us a line, and the journal only grows:
 * whoever has something else to do goes on in pieces. */
bool ledger_journal_verify(struct ledger *ledger, struct error *err);
/* How far the chain has been recomputed; all 0: not begun. */
struct ledger_chain {
    int64_t id; /* the last line that fits */
    char hash[RECORD_FINGERPRINT_SIZE];
    bool begun, complete; /* complete: ID was the newest line */
};
/* Goes on behind CHAIN for at most MAXIMUM lines. Lines that are appended in between are gone through as well. */
bool ledger_journal_verify_some(struct ledger *ledger, struct ledger_chain *chain, unsigned maximum, struct error *err);

#endif
