/* The rows of the ledger as plain data. The engine keeps the live ones in memory; the ledger stores them; the
 * pure core reads and changes them. Times are wall-clock milliseconds, 0 when it has not happened. */
#ifndef LLMHOOK_LIFECYCLE_RECORDS_H
#define LLMHOOK_LIFECYCLE_RECORDS_H

#include "lifecycle/policy.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    RECORD_UUID_SIZE = 37,
    RECORD_NAME_SIZE = 256,      /* names of domains, containers and keys */
    RECORD_REMOTE_ID_SIZE = 129, /* a provider's own identifier */
    RECORD_ERROR_SIZE = 256,
    RECORD_FINGERPRINT_SIZE = 65,
    RECORD_HINT_SIZE = 65,
};

enum key_state {
    KEY_PLANNED,   /* intended; nothing was asked of the provider */
    KEY_MINTING,   /* the request was, or is about to be, sent */
    KEY_MINTED,    /* the provider has it, the ledger has its secret; the guest has not proven it */
    KEY_ACTIVE,    /* proven in the guest */
    KEY_SUSPENDED, /* the provider keeps it but refuses it, or is being asked to: see suspended_at */
    KEY_RETIRING,  /* replaced by a newer one; still good until the overlap ends */
    KEY_REVOKING,  /* to be removed at the provider, until it says it is gone */
    KEY_REVOKED,   /* gone: the row is history */
};
const char *key_state_name(enum key_state state);
/* False when NAME is none of them. */
bool key_state_parse(const char *name, enum key_state *ret_state);

struct key_record {
    int64_t id;
    int64_t grant_id;
    int64_t generation;  /* 1, 2, 3... per grant, never used twice */
    int64_t predecessor; /* id of the key that this one replaces, 0: none */
    enum key_state state;
    bool unknown;        /* a mint may have happened: find it by name before believing anything */
    char name[RECORD_NAME_SIZE];
    char remote_id[RECORD_REMOTE_ID_SIZE];     /* empty until minted or found */
    char usage_id[RECORD_REMOTE_ID_SIZE];      /* how the provider's reports name it; empty: by its remote_id */
    char fingerprint[RECORD_FINGERPRINT_SIZE]; /* SHA-256 of the secret; empty until minted */
    int64_t attempts;                          /* failed ones in this state */
    char last_error[RECORD_ERROR_SIZE];
    int64_t created_at, minted_at, active_at, retiring_at, revoking_at, revoked_at;
    int64_t expires_at;   /* when it ends by itself, as the provider was told at its minting; 0: it does not */
    int64_t suspended_at; /* in KEY_SUSPENDED: since when it certainly is; 0: not certain, it may still or again be taken */
    int64_t limit_set;    /* micro-dollars a month on the key itself, as the provider has shown; 0: not yet, or it cannot */
    /* What its grant had spent in that month (its first UTC day) when this one was asked for: see budget_key_limit(). */
    int64_t spent_before, spent_month;
};

enum container_kind {
    CONTAINER_PER_DOMAIN,
    CONTAINER_PER_OWNER,
    CONTAINER_GIVEN, /* named in the configuration: never made, limited or archived by us */
};

enum container_state {
    CONTAINER_PLANNED,   /* to be found by name, or made */
    CONTAINER_CREATING,  /* the request was, or is about to be, sent */
    CONTAINER_OPEN,
    CONTAINER_ARCHIVING, /* to be closed for good, until the provider says so */
    CONTAINER_ARCHIVED,
};
const char *container_kind_name(enum container_kind kind);
bool container_kind_parse(const char *name, enum container_kind *ret_kind);
const char *container_state_name(enum container_state state);
bool container_state_parse(const char *name, enum container_state *ret_state);

struct container_record {
    int64_t id;
    char provider[POLICY_PROVIDER_SIZE];
    enum container_kind kind;
    char subject[RECORD_NAME_SIZE]; /* domain UUID, owner or given id: unique with provider and kind while live */
    enum container_state state;
    bool unknown; /* a creation may have happened */
    char name[RECORD_NAME_SIZE];
    char remote_id[RECORD_REMOTE_ID_SIZE];
    int64_t limit_set; /* micro-dollars a month, read back from the provider; 0: not yet, -1: the provider cannot */
    char rates_set[RECORD_FINGERPRINT_SIZE]; /* hash of the rate limits last applied; empty: none */
    int64_t attempts;
    char last_error[RECORD_ERROR_SIZE];
    int64_t created_at, archived_at;
};

struct grant_record {
    int64_t id;
    char domain[RECORD_UUID_SIZE];
    char provider[POLICY_PROVIDER_SIZE];
    int64_t container_id; /* 0: none yet */
    int64_t monthly_limit, rotate_ms, overlap_ms;
    enum policy_fate on_stop, on_save, over_budget; /* as the policy says */
    char environment[POLICY_ENVIRONMENT_SIZE];
    char owner[POLICY_OWNER_SIZE]; /* whose budget it counts for, as its policy said last: also when its domain is forgotten */
    int64_t last_generation; /* the highest ever given out */
    int64_t replace_through; /* an operator asked for newer keys than this generation; 0: nobody did */
    int64_t replace_at;      /* and not before this, wall-clock; 0: at once */
    int64_t hurry_through;   /* up to this generation a key that is replaced has no overlap; 0: each has */
    int64_t held_at;         /* when an operator revoked it: nothing new before a boot that begins after; 0: nobody did */
    int64_t created_at, ended_at;
};

enum pool_state {
    POOL_FREE,    /* to be claimed */
    POOL_CLAIMED, /* a key of ours is this one */
    POOL_SPENT,   /* it was, and is revoked: never given out again */
};
const char *pool_state_name(enum pool_state state);
bool pool_state_parse(const char *name, enum pool_state *ret_state);

/* A key that an operator made and handed over, for a provider that mints none itself. */
struct pool_record {
    int64_t id;
    char provider[POLICY_PROVIDER_SIZE];
    char remote_id[RECORD_REMOTE_ID_SIZE];
    char hint[RECORD_HINT_SIZE]; /* what the provider shows of it, for people to recognise it by */
    char fingerprint[RECORD_FINGERPRINT_SIZE];
    enum pool_state state;
    int64_t key_id; /* who claimed it, 0: nobody */
    int64_t added_at, claimed_at;
};

/* Why a domain last stopped, as far as libvirt or its hook told. */
enum stop_reason {
    STOP_NONE, /* it runs, or never ran */
    STOP_UNKNOWN,
    STOP_SHUTDOWN,
    STOP_DESTROYED,
    STOP_CRASHED,
    STOP_MIGRATED,
    STOP_SAVED,
    STOP_FAILED,
    STOP_FROM_SNAPSHOT,
    STOP_DAEMON, /* libvirtd lost it */
};
const char *stop_reason_name(enum stop_reason reason);
bool stop_reason_parse(const char *name, enum stop_reason *ret_reason);

struct domain_record {
    char uuid[RECORD_UUID_SIZE];
    char name[RECORD_NAME_SIZE];
    enum stop_reason stop;
    bool transient;       /* no persistent configuration when last seen: it vanishes from libvirt when it stops */
    bool delivered;       /* something of ours was put into this boot's guest, so withdrawing must clean it */
    char booted[RECORD_FINGERPRINT_SIZE]; /* identity of the set that QEMU was given when it last started; empty: none */
    struct policy policy; /* the last one that could be read: what holds while the XML cannot be had */
    int64_t seen_at, undefined_at;
};

/* What a grant spent on one UTC day with one model, as one source says. */
struct spending_record {
    int64_t grant_id;
    int64_t day;      /* since 1970-01-01 */
    char model[65];   /* or what else was charged for; empty: not told */
    bool bill;        /* the provider's own dollars; else an estimate from tokens */
    bool unpriced;    /* estimated at the dearest prices, since the model is not in the table */
    int64_t micro_dollars, requests, input_tokens, cached_tokens, output_tokens;
};

/* One line of the append-only journal. */
struct journal_record {
    int64_t id;
    int64_t at;
    char domain[RECORD_UUID_SIZE]; /* empty: none */
    int64_t key_id, container_id;  /* 0: none */
    char provider[POLICY_PROVIDER_SIZE]; /* empty: none */
    int64_t generation;            /* of the key, 0: none */
    char event[32];                /* "key minted", "container open"... */
    char cause[RECORD_ERROR_SIZE]; /* why, in words */
    char actor[32];                /* "libvirt", "hook", "operator", "llmhookd" */
};

#endif
