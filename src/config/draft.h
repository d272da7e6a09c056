/* A configuration while it is being read: what is known of each section, and where it was written. */
#ifndef LLMHOOK_CONFIG_DRAFT_H
#define LLMHOOK_CONFIG_DRAFT_H

#include "config/config.h"

enum draft_kind { DRAFT_DAEMON, DRAFT_PROVIDER, DRAFT_POLICY, DRAFT_VAULT, DRAFT_ALERTS, DRAFT_OWNER, DRAFT_KINDS };

enum { DRAFT_KEYS_MAX = 32 };

struct draft_section {
    enum draft_kind kind;
    char name[CONFIG_GLOB_SIZE];           /* the provider's, the owner's or the pattern; else empty */
    unsigned line;                         /* of its header */
    unsigned key_lines[DRAFT_KEYS_MAX];    /* where each key (by index in draft_keys) stands; 0: not given */
    union {
        struct config_daemon daemon;
        struct credential_vault vault;
        struct config_alerts alerts;
        struct provider_settings provider;
        struct {
            int64_t monthly_limit;
        } owner;
        struct {
            struct policy policy;
            int64_t monthly_limit, rotate_ms, overlap_ms; /* for all its keys, as are the next */
            enum policy_fate on_stop, on_save, over_budget;
        } policy;
    } value;
};

/* Reads VALUE into SECTION. The text of an error names neither file nor key. */
typedef bool draft_key_fn(struct draft_section *section, const char *value, struct error *err);

struct draft_key {
    const char *name; /* NULL ends a table */
    draft_key_fn *read;
    bool repeats;
};

/* The keys that a section of each kind may have. */
extern const struct draft_key *const draft_keys[DRAFT_KINDS];
extern const struct draft_key draft_provider_keys[DRAFT_KEYS_MAX]; /* those of a provider: draft-provider.c */

/* The line of a key that SECTION has, 0: it has not. */
unsigned draft_key_line(const struct draft_section *section, const char *name);

/* What holds where there is no [alerts]. */
extern const struct config_alerts config_alerts_defaults;

/* Sets what holds when no key is given. */
void draft_defaults(struct draft_section *section);
void draft_provider_defaults(struct draft_section *section);

#endif
