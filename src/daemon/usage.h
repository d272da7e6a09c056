/* What was spent: asked of the providers, kept in the ledger, judged against the budgets. Between usage.c (asking,
 * counting, judging), usage-accounts.c (what is known), usage-limits.c (the limits at the providers) and usage-told.c (what
 * the operator is told). */
#ifndef LLMHOOK_DAEMON_USAGE_H
#define LLMHOOK_DAEMON_USAGE_H

#include "daemon/engine.h"
#include "lifecycle/budget.h"
#include "lifecycle/prices.h"

enum { USAGE_CUT_MS = 60 * 1000 }; /* from a verdict to a key that does not work; how late reports are, provider_lag() says */

/* One grant's money: of each that has spent something in the month in force, and of those that live and ever did since the
 * daemon began. */
struct usage_account {
    int64_t grant_id;
    char domain[RECORD_UUID_SIZE], provider[POLICY_PROVIDER_SIZE], owner[POLICY_OWNER_SIZE];
    struct budget budget;
    int64_t seen;     /* of the month's estimates, when the last report was read */
    bool unpriced;    /* some of it is estimated at the dearest prices */
    bool own_container; /* the domain had one of its own there: what it spent is in no project that it shared */
};

/* A key that told what it cost in the end. */
struct usage_told_key {
    struct usage_told_key *next;
    char key[RECORD_REMOTE_ID_SIZE];
};

/* One provider's reports. By name: its slot changes with the configuration. */
struct usage_provider {
    struct usage_provider *next;
    char name[POLICY_PROVIDER_SIZE];
    bool polling;
    struct usage_told_key *told_since; /* while polling: what the report says of these may be older */
    int64_t next_at;      /* monotonic */
    int64_t polled_at;    /* monotonic, of the last report's request; 0: none in this daemon's life */
    int64_t polled_wall;  /* the same by the wall clock, also of an earlier daemon's; 0: never */
    int64_t idle_at;      /* monotonic: when there was nothing to ask about for the last time; 0: never */
    int64_t longest_ms;   /* between two reports of this month, restarts or not */
    int64_t whole_at;     /* monotonic: when all of the month was last asked for */
    int64_t failures;
    int64_t failing_since; /* monotonic, with failures: of the first */
    char prices[SECRET_FINGERPRINT_SIZE]; /* by which the estimates of the last report were made; empty: none yet */
    int64_t limits_after; /* the container whose limit was read last */
    int64_t words;        /* how often it was said that one cannot be read, see schedule_allow() */
    char problem[RECORD_ERROR_SIZE]; /* of the last try; empty: none */
};

struct usage {
    struct usage_account *accounts; /* by grant id */
    size_t accounts_count, accounts_room;
    struct usage_provider *providers;
    struct price *prices;
    size_t prices_count;
    char prices_told[SECRET_FINGERPRINT_SIZE]; /* the table's fingerprint */
    char prices_problem[512]; /* the file cannot be used: what was read before stays in force */
    struct budget_clock clock;
    int64_t month; /* the first day of the one in force */
    int64_t words; /* how often it was said that another cannot begin, see schedule_allow() */
    int timer;
};

/* Reads prices and ledger, and begins to ask. Before the first domain is looked at. */
bool usage_prepare(struct engine *engine, struct error *err);
/* The configuration changed. */
void usage_reload(struct engine *engine);

/* What an answer about one key told beside: see PROVIDER_USAGE_MONTH_TOTAL. Who is over budget by it is judged soon. */
void usage_heard(struct engine *engine, const char *provider, const struct provider_result *result);

/* --- usage-accounts.c --- */

/* Finds or makes. What is made moves the others: no pointer to an account is kept. */
struct usage_account *usage_account_of(struct engine *engine, int64_t grant_id);
/* Finds or makes. Stays where it is. */
struct usage_provider *usage_state(struct engine *engine, const char *name);

/* All accounts anew, as the ledger has them for the month in force. False: they stay as they were, for of what could not be
 * read nobody is to be within his budget. */
bool usage_load(struct engine *engine, struct error *err);

/* The accounts as they are, for the case that what is to take their place comes to nothing: to be freed or put back. */
struct usage_kept {
    struct usage_account *accounts;
    size_t count, room;
};
struct usage_kept usage_keep(const struct usage *usage);
void usage_put_back(struct usage *usage, const struct usage_kept *kept);

/* Also of one that has no row, and whose domain was there before under the same UUID. NULL: nothing was spent. */
struct usage_account *usage_of_grant(struct engine *engine, const struct vm_grant *grant);
/* NULL: nothing was spent. */
struct usage_account *usage_find(struct engine *engine, int64_t grant_id);
int64_t usage_spent(struct engine *engine, const struct usage_account *account);
/* Of all domains of OWNER, or with NULL of the host. */
int64_t usage_spent_together(struct engine *engine, const char *owner);
/* What those have spent this month in CONTAINER who have no share in it any more; micro-dollars, whole cents. At the
 * provider it counts until the month ends. */
int64_t usage_departed(struct engine *engine, const struct vm_container *container);
/* Of a provider that is not configured any more nothing newer is told: its lag is none. */
struct provider_lag usage_lag(struct engine *engine, const char *provider);
const struct usage_provider *usage_provider_state(const struct engine *engine, const char *name);
/* What SLOT's VMs spend has not been read for long, three times as long as it should be at least, although it was tried:
 * nobody is stopped by it. False also where nobody reads it. */
bool usage_is_unread(const struct engine *engine, const struct provider_slot *slot);

/* --- the others --- */

/* usage-limits.c: reads the limits of some of the provider's containers, a request each, for no batch is offered; the others'
 * the next time. */
void usage_read_limits(struct engine *engine, struct provider_slot *slot, struct usage_provider *state, int64_t now);
/* Reads those that are on keys: one list for all of ours, where there are any. */
void usage_read_key_limits(struct engine *engine, struct provider_slot *slot, int64_t now);

/* usage-told.c: answers CALL, the method Usage. */
void usage_run(struct engine *engine, struct control_call *call, struct json_object *parameters);
/* Adds spent, overshoot and the like to a grant of `status`. */
void usage_put(struct engine *engine, const struct vm_grant *grant, struct json_object *object);

#endif
