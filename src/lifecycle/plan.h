/* What to do next for one domain. Pure: facts and a time in, actions out; no I/O, no clock, no memory of its own.
 *
 * plan() is asked again after every action, so each answer is one step. Ledger actions change rows only and are
 * carried out at once; provider and guest actions are started and end later. plan() never starts a second action on
 * a row that is busy. */
#ifndef LLMHOOK_LIFECYCLE_PLAN_H
#define LLMHOOK_LIFECYCLE_PLAN_H

#include "lifecycle/domain.h"
#include "lifecycle/records.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The crash matrix waits for it hundreds of times, and is built with less. */
#ifndef LLMHOOK_SETTLE_MS
#define LLMHOOK_SETTLE_MS 30000
#endif

enum {
    PLAN_ACTIONS_MAX = 64, /* more than this wait for the next look */
    /* How long something that may have been created can stay hidden from a list: until then an empty list proves
     * nothing. Milliseconds. */
    PLAN_SETTLE_MS = LLMHOOK_SETTLE_MS,
    /* A date is looked at again after this, however far away it is: the wall clock may be set. Milliseconds. */
    PLAN_DATE_LOOK_MS = 600000,
    /* What is due already when the daemon begins, or when its configuration has changed, begins within this, or within a
     * tenth of its interval if that is less. Milliseconds. */
    PLAN_OVERDUE_MS = 3600000,
};

enum plan_ability {
    PLAN_CAN_CONTAIN = 1,
    PLAN_CAN_LIMIT_CONTAINER = 2,
    PLAN_CAN_RATE_LIMIT = 4,
    PLAN_CAN_ARCHIVE = 8,
    PLAN_CAN_SUSPEND = 16, /* a key can be refused for a while and taken again */
    PLAN_CLAIMS = 32,      /* keys exist already: minting is claiming one from the ledger's pool */
    PLAN_CAN_REPEAT = 64,  /* minting the same key again makes no second one */
    PLAN_LEASES = 128,     /* a key ends by itself unless it is renewed, and one that was never answered has no name to be
                              found by: it ends */
    PLAN_CAN_LIMIT_KEY = 256, /* the limit is on the key itself, and can be changed while it lives */
};

enum agent_state { AGENT_UNKNOWN, AGENT_NO_CHANNEL, AGENT_DISCONNECTED, AGENT_CONNECTED };
const char *agent_state_name(enum agent_state state);

/* Times are monotonic milliseconds, 0: never. Pointers are borrowed. */
struct plan_key {
    const struct key_record *record;
    bool busy;            /* a request about it is under way */
    int64_t next_attempt; /* not before */
    int64_t doubted_at;   /* since when it is unknown whether it exists */
    int64_t looked_at;    /* when a list without it was last asked for */
    /* Since when no trustworthy answer has come to a suspension, to a resumption: it may be carried out until
     * PLAN_SETTLE_MS later, and undo what was asked for since. */
    int64_t suspend_doubted_at, resume_doubted_at;
    int64_t suspend_heard_at; /* when the last suspension that was answered had been asked for */
    /* With PLAN_LEASES: when it is to be renewed, or, where that helps no more, when it ends; 0: how long it lasts is not
     * known (any more), SCHEDULE_NEVER: not at all. */
    int64_t renew_at;
    bool last_life; /* renewing it helps no more: it is to have a successor before it ends */
    int64_t wanted_limit;       /* micro-dollars a month on the key itself, with PLAN_CAN_LIMIT_KEY */
    int64_t limit_next_attempt; /* at setting it, not before: what else is to become of the key does not wait for it */
};

struct plan_container {
    const struct container_record *record;
    bool busy;
    int64_t next_attempt;
    int64_t doubted_at;
    int64_t looked_at;
    int64_t wanted_limit;     /* micro-dollars a month over all that use it */
    const char *wanted_rates; /* fingerprint of the rate limits to be applied, empty: none */
};

struct plan_grant {
    const struct grant_record *record;
    bool wanted;      /* the policy asks for it */
    bool provider_ok; /* it can be asked */
    bool provider_leaves; /* it is not configured any more: what is there ends, and nothing is made */
    bool gate_ready;  /* calls may start now */
    int64_t gate_opens_at;
    unsigned abilities;
    bool pool_empty;  /* with PLAN_CLAIMS: no key is free to be claimed */
    bool over_budget; /* what was spent in this UTC month has reached the limit: nothing of the grant may work */
    int64_t lease_ms; /* with PLAN_LEASES: so long after its minting a key that nobody renews has ended */
    const struct plan_container *container; /* NULL: none */
    const struct plan_key *keys;            /* all that are not revoked, oldest generation first */
    size_t keys_count;
};

struct plan_facts {
    enum domain_state state;
    bool only_heard;   /* that it stopped: by an event, which may come late, when it runs again. It keeps, and takes nothing */
    bool policy_known; /* its policy could be read; else nothing is begun and nothing is taken away */
    enum agent_state agent;
    bool delivery_unknown; /* what the guest is to have: as long as it is, nothing goes in and nothing comes out */
    bool delivery_busy;
    bool delivery_proven; /* the guest has proven exactly what it should have, since its agent last connected */
    int64_t delivery_next_attempt;
    bool delivered; /* something of ours is in this boot's guest */
    int64_t wall;   /* wall-clock milliseconds, for what is dated in the ledger: rotation and overlap */
    int64_t settled_at; /* monotonic: the daemon began, or its configuration changed, then */
    const struct plan_grant *grants;
    size_t grants_count;
};

enum plan_kind {
    /* ledger actions */
    PLAN_NEW_KEY,         /* the intent, under the next generation; where an active one lives, to replace it */
    PLAN_DROP_KEY,        /* planned, and not wanted any more or in vain: nothing was ever asked for */
    PLAN_PROVE_KEY,       /* the guest has proven it: from now on it counts as the domain's */
    PLAN_DOUBT_KEY,       /* minting, and nobody waits for an answer: it may exist */
    PLAN_RETIRE_KEY,      /* a newer one has been proven: its overlap begins */
    PLAN_END_KEY,         /* its revocation begins */
    PLAN_KEY_GONE,        /* doubted, looked for long enough and not there */
    PLAN_NEW_CONTAINER,
    PLAN_DOUBT_CONTAINER,
    PLAN_DROP_CONTAINER,  /* planned, never made */
    PLAN_END_CONTAINER,   /* its archiving begins */
    PLAN_END_GRANT,
    PLAN_FORGET_DOMAIN,
    /* provider actions */
    PLAN_FIND_CONTAINER,
    PLAN_CREATE_CONTAINER,
    PLAN_LIMIT_CONTAINER,
    PLAN_RATE_CONTAINER,
    PLAN_ARCHIVE_CONTAINER,
    PLAN_MINT_KEY,
    PLAN_FIND_KEY,
    PLAN_REVOKE_KEY,
    PLAN_RENEW_KEY,
    PLAN_LIMIT_KEY,
    PLAN_SUSPEND_KEY,
    PLAN_RESUME_KEY,
    /* guest action */
    PLAN_DELIVER,
};
const char *plan_kind_name(enum plan_kind kind);
static inline bool plan_kind_is_ledger(enum plan_kind kind)
{
    return kind <= PLAN_FORGET_DOMAIN;
}
static inline bool plan_kind_is_provider(enum plan_kind kind)
{
    return kind >= PLAN_FIND_CONTAINER && kind <= PLAN_RESUME_KEY;
}

struct plan_action {
    enum plan_kind kind;
    size_t grant; /* index into the facts */
    size_t key;   /* index into the grant's keys */
};

/* Where a grant stands, for people. */
enum plan_status {
    PLAN_STATUS_OK,               /* proven in the guest */
    PLAN_STATUS_OFF,              /* the domain does not run; nothing is alive */
    PLAN_STATUS_NOT_WANTED,       /* the policy does not ask for it; nothing is alive */
    PLAN_STATUS_KEPT,             /* saved, migrated or unknown: alive and left alone */
    PLAN_STATUS_HELD,             /* revoked by an operator */
    PLAN_STATUS_POLICY_UNKNOWN,
    PLAN_STATUS_NO_PROVIDER,      /* not in the configuration */
    PLAN_STATUS_OPENING,          /* its container is being found, made or limited */
    PLAN_STATUS_MINTING,
    PLAN_STATUS_WAITING_PROVIDER, /* the provider fails for everybody; next_look says when it is tried */
    PLAN_STATUS_WAITING_RETRY,    /* this one was refused; next_look says when it is tried */
    PLAN_STATUS_SETTLING,         /* an answer was lost; next_look says when the next step is sure, or allowed */
    PLAN_STATUS_POOL_EMPTY,       /* no key is free to be claimed; an operator has to add one */
    PLAN_STATUS_WAITING_OLD,      /* an older generation must be gone first */
    PLAN_STATUS_DELIVERING,       /* minted; the guest has not proven it yet */
    PLAN_STATUS_ROTATING,         /* proven in the guest; a newer one is being made */
    PLAN_STATUS_SUSPENDING,
    PLAN_STATUS_SUSPENDED,        /* until the domain runs (again) */
    PLAN_STATUS_RESUMING,
    PLAN_STATUS_OVER_BUDGET,      /* the month's limit is reached: nothing of it works */
    PLAN_STATUS_REVOKING,
    PLAN_STATUS_LAPSING,          /* what may have been made, and nobody has, ends by itself */
    PLAN_STATUS_ARCHIVING,
};

struct plan_grant_status {
    enum plan_status status;
    int64_t next_attempt; /* SCHEDULE_NEVER: by an event, not by time */
};

struct plan {
    struct plan_action actions[PLAN_ACTIONS_MAX];
    size_t count;
    int64_t next_look; /* when time alone may change the answer; SCHEDULE_NEVER: only an event can */
};

/* STATUSES: room for one per grant. */
void plan_domain(const struct plan_facts *facts, int64_t now, struct plan *ret_plan,
                 struct plan_grant_status *ret_statuses);

/* What a hook that waits for a required key is to be told. */
enum plan_verdict { PLAN_VERDICT_WAIT, PLAN_VERDICT_READY };
enum plan_verdict plan_required(const struct plan_facts *facts);

/* What is to become of what GRANT has: KEEP (used, or left alone), SUSPEND or REVOKE. Where a policy asks for what the
 * provider cannot, it is what comes next: for a saved domain KEEP, else REVOKE. */
enum policy_fate plan_fate(const struct plan_facts *facts, const struct plan_grant *grant);

/* The newest key that a guest may be given, or SIZE_MAX. */
size_t plan_current_key(const struct plan_grant *grant);

#endif
