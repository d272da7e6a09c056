/* What a domain is to get. Plain data: made from the configuration and refined by the domain's own metadata. */
#ifndef LLMHOOK_LIFECYCLE_POLICY_H
#define LLMHOOK_LIFECYCLE_POLICY_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    POLICY_KEYS_MAX = 16,      /* keys per domain */
    POLICY_PROVIDER_SIZE = 33, /* a provider section's name and a NUL */
    POLICY_OWNER_SIZE = 65,
    POLICY_READERS_SIZE = 65,
    POLICY_ENVIRONMENT_SIZE = 65,
};

/* What becomes of a key that is not to be used for now. Each setting knows two of them; which one holds where none is
 * written depends on what the provider can, so DEFAULT stays until a plan is made. */
enum policy_fate {
    POLICY_FATE_DEFAULT,
    POLICY_FATE_KEEP,    /* it goes on working */
    POLICY_FATE_SUSPEND, /* the provider refuses it until it is resumed */
    POLICY_FATE_REVOKE,  /* it ends; the next one is of a new generation */
};
/* "default", "keep", "suspend", "revoke": also the ledger's words. */
const char *policy_fate_name(enum policy_fate fate);
/* False when NAME is none of them. */
bool policy_fate_parse(const char *name, enum policy_fate *ret_fate);

#define POLICY_DEFAULT_MONTHLY_LIMIT INT64_C(100000000) /* 100 USD, in micro-dollars */

/* One <llmhook:key> or one name of `providers =`. Fields marked "0: default" are filled in by policy_resolve(). */
struct policy_key {
    char provider[POLICY_PROVIDER_SIZE];
    char environment[POLICY_ENVIRONMENT_SIZE]; /* variable name in the guest; empty: the provider's usual one */
    int64_t monthly_limit;                     /* micro-dollars per UTC month; 0: default */
    int64_t rotate_ms;                         /* 0: default; POLICY_NEVER: never */
    int64_t overlap_ms;                        /* 0: default; POLICY_NO_OVERLAP: none */
    enum policy_fate on_stop;                  /* suspend or revoke; default: revoke, suspend where keys are claimed */
    enum policy_fate on_save;                  /* keep or suspend; default: keep */
    enum policy_fate over_budget;              /* suspend or revoke; default: suspend where the provider can */
};
#define POLICY_NEVER INT64_C(-1)
#define POLICY_NO_OVERLAP INT64_C(-1)
#define POLICY_DEFAULT_OVERLAP_MS INT64_C(86400000)

enum policy_flag { POLICY_FLAG_DEFAULT, POLICY_FLAG_YES, POLICY_FLAG_NO };

struct policy {
    char owner[POLICY_OWNER_SIZE];     /* empty: none */
    char readers[POLICY_READERS_SIZE]; /* who may read in the guest; empty: every human login */
    enum policy_flag required;         /* a start without a key fails */
    enum policy_flag boot_credential;  /* the keys are handed over when the domain starts, without an agent */
    unsigned count;
    struct policy_key keys[POLICY_KEYS_MAX];
};

/* Parses "100", "100.50", "$100" or "100 USD" into micro-dollars; more than 0, less than a million dollars. */
bool policy_parse_dollars(const char *text, int64_t *ret_micro_dollars, struct error *err);
/* Parses "30d", "12h", "90min", "10s", "200ms" into milliseconds; "never" is POLICY_NEVER. A bare number is refused. */
bool policy_parse_duration(const char *text, int64_t *ret_ms, struct error *err);
/* The same for a rotation: one hour or longer, or never. */
bool policy_parse_rotation(const char *text, int64_t *ret_ms, struct error *err);
/* How long the earlier key still works after the guest has proven the new one: 30d at most; "0s" is none. */
bool policy_parse_overlap(const char *text, int64_t *ret_ms, struct error *err);
/* What becomes of the key when its domain stops (suspend or revoke), when it is saved (keep or suspend), and when the
 * month's limit is reached (suspend or revoke). */
bool policy_parse_on_stop(const char *text, enum policy_fate *ret_fate, struct error *err);
bool policy_parse_on_save(const char *text, enum policy_fate *ret_fate, struct error *err);
bool policy_parse_over_budget(const char *text, enum policy_fate *ret_fate, struct error *err);
/* "yes/no", "true/false", "on/off", "1/0". */
bool policy_parse_flag(const char *text, enum policy_flag *ret_flag, struct error *err);
/* A provider's name: letters, digits, '-' and '_', beginning with a letter, shorter than POLICY_PROVIDER_SIZE. */
bool policy_provider_valid(const char *name);
/* An owner: letters, digits and ". _ @ + -", beginning with a letter or digit, shorter than POLICY_OWNER_SIZE. It
 * becomes a word of a container's name. */
bool policy_owner_valid(const char *owner);
/* "humans", "root", "everybody" or "group:NAME". */
bool policy_readers_valid(const char *readers);
/* An environment variable's name: [A-Z_][A-Z0-9_]*, and none that a shell or loader acts on (PATH, LD_*, IFS, ENV...). */
bool policy_environment_valid(const char *name);

/* The policy in force. CONFIGURED: from the first matching [policy] section, or NULL. METADATA: from the domain,
 * or NULL when its XML has no llmhook:vm element. Where there is metadata, its list of keys is the whole list (an
 * empty one opts out); what a key leaves open falls back to CONFIGURED's key of that provider, then to the defaults. */
void policy_resolve(const struct policy *configured, const struct policy *metadata, struct policy *ret_policy);

#endif
