/* What to think of one thing found at a provider, in the ledger or in a guest, and what can be done about it. Pure. */
#ifndef LLMHOOK_LIFECYCLE_AUDIT_H
#define LLMHOOK_LIFECYCLE_AUDIT_H

#include "lifecycle/domain.h"
#include "lifecycle/plan.h"
#include "lifecycle/records.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    AUDIT_STUCK_ATTEMPTS = 3,      /* failed ones after which a revocation counts as stuck */
    AUDIT_PATIENCE_MS = 60 * 1000, /* a revocation or a delivery that has not begun for so long is drift */
};

enum audit_verdict {
    AUDIT_SILENT,      /* nothing is to be said here: another row says it, or it is too young to tell */
    AUDIT_OK,
    AUDIT_ORPHAN,      /* ours by its name, and no row of ours knows it */
    AUDIT_STALE,       /* the guest holds something else than it should */
    AUDIT_ZOMBIE,      /* alive at the provider though it should not be any more */
    AUDIT_MISSING,     /* a row says it lives; the provider does not have it */
    AUDIT_UNDELIVERED, /* minted, and not proven in a guest that could have proven it */
    AUDIT_OVER_BUDGET, /* its limit at the provider is not what the ledger says */
    AUDIT_STUCK,       /* its end fails again and again */
    AUDIT_OTHER_HOST,  /* another host's: never touched */
    AUDIT_NOT_OURS,    /* made by somebody else: never touched */
};
const char *audit_verdict_name(enum audit_verdict verdict);
/* False for the verdicts that are no drift: ok, another host's, not ours. */
bool audit_verdict_is_drift(enum audit_verdict verdict);

enum audit_fix {
    AUDIT_FIX_NONE,
    AUDIT_FIX_REMOVE,  /* a key: into the ledger as one to be revoked, and revoked */
    AUDIT_FIX_ADOPT,   /* a container: into the ledger as its subject's; archived when its domain is gone */
    AUDIT_FIX_CLEAR,   /* a container beside the one in use: into the ledger as nobody's, and archived */
    AUDIT_FIX_SWITCH,  /* a key: suspended or resumed, whichever its domain needs, as if nothing had been asked yet */
    AUDIT_FIX_LIMIT,   /* a key: its limit is set again */
    AUDIT_FIX_END,     /* a key: revoked; its row ends as soon as the provider says that it is gone */
    AUDIT_FIX_CHECK,   /* a container: its limit is set again, which shows whether it is there */
    AUDIT_FIX_DELIVER,
    AUDIT_FIX_RETRY,   /* what waits for its next attempt is tried at once */
};
/* What would be done, for the plan. Empty for AUDIT_FIX_NONE. */
const char *audit_fix_words(enum audit_fix fix);

struct audit_judgement {
    enum audit_verdict verdict;
    enum audit_fix fix;
    const char *reason, *remedy; /* static, may be empty */
};

/* What a name at a provider says. Only one that is exactly as this host would write it is ours. */
enum audit_whose { AUDIT_NAME_NOT_OURS, AUDIT_NAME_OTHER_HOST, AUDIT_NAME_OURS };
struct audit_identity {
    enum audit_whose whose;
    bool owner;                          /* a container per owner; SUBJECT is the owner */
    char subject[RECORD_NAME_SIZE];      /* else a domain's UUID */
    char provider[POLICY_PROVIDER_SIZE];
    int64_t generation;                  /* of a key; 0: a container */
};
void audit_read_name(const char *name, const char *host_id, struct audit_identity *ret_identity);

/* The provider in a name. */
enum audit_named {
    AUDIT_NAMED_LISTS,   /* it is judged there: it is in that list, or nobody can tell yet */
    AUDIT_NAMED_WITHOUT, /* it is configured, and does not list it */
    AUDIT_NAMED_UNKNOWN, /* it is not configured */
};

/* The container that a listed key is in. */
enum audit_place {
    AUDIT_PLACE_OURS,     /* the ledger has it, or can take it over */
    AUDIT_PLACE_LATER,    /* another of the same name is in the ledger and not in the list: that must be settled before */
    AUDIT_PLACE_SHARED,   /* the ledger does not know it, and keys of others are in it */
    AUDIT_PLACE_FOREIGN,  /* it is not ours */
};

struct audit_listed_key {
    const struct audit_identity *name;
    const char *provider;           /* where it is listed */
    enum audit_named named;
    const struct key_record *record; /* the live row with its id, NULL: none */
    const char *record_provider;    /* that row's provider */
    const struct key_record *namesake; /* the live row with its name and another id, or none yet */
    bool ended_meanwhile;           /* the ledger knows that it was revoked since the list was asked for */
    bool tells_suspended, suspended; /* whether the list says that it is refused for now, and that it is */
    enum domain_state state;        /* of the row's domain */
    bool elsewhere;                 /* the list has a key of another host's for the same domain */
    int64_t limit;                  /* micro-dollars a month on the key itself; 0: none, negative: not told */
    bool limit_unsettled;           /* it was changed since the list was asked for, or is being changed */
    enum audit_place place;
    int64_t wall;                   /* now */
};
struct audit_judgement audit_listed_key(const struct audit_listed_key *facts);

struct audit_listed_container {
    const struct audit_identity *name;
    const char *provider;
    enum audit_named named;
    const struct container_record *record; /* the live row with its id, NULL: none */
    const struct container_record *namesake; /* the live row of its subject, with another id or none yet */
    bool namesake_listed;
    bool ended_meanwhile;
    bool domain_elsewhere; /* its domain uses another one, of another name */
    bool holds_others;    /* keys that are not ours */
    int64_t limit;        /* micro-dollars a month; 0: none, negative: not told */
    bool limit_unsettled; /* it was changed since the list was asked for, or is being changed */
};
struct audit_judgement audit_listed_container(const struct audit_listed_container *facts);

/* A live row that is not in the list. CONTAINER_IN_DOUBT: nor is what it was minted in, and whether that is gone is to be
 * asked first. ASKED_AT: when the list was asked for, wall-clock; a list may lag behind by PLAN_SETTLE_MS. */
struct audit_judgement audit_unlisted_key(const struct key_record *record, bool container_in_doubt, int64_t asked_at);
struct audit_judgement audit_unlisted_container(const struct container_record *record, int64_t asked_at);

enum audit_probe { AUDIT_PROBE_NONE, AUDIT_PROBE_SAME, AUDIT_PROBE_OTHER, AUDIT_PROBE_LOST };
struct audit_guest {
    enum domain_state state;
    enum agent_state agent;
    bool has_keys;     /* something is minted for it */
    bool proven;
    int64_t attempts;  /* of its delivery, failed */
    int64_t waited_ms; /* since its agent connected or its newest key was minted, whichever was later */
    enum audit_probe probe;
};
struct audit_judgement audit_guest(const struct audit_guest *facts);

#endif
