/*
 * What the sandbox knows: one or two organisations' projects, service accounts, keys and charges.
 *
 * Everything lives in memory, in creation order, and nothing is ever freed before the end: a
 * deleted object keeps its record with the time of its death, so that a test can ask what once
 * existed. One mutex covers all of it; the caller holds it around every call below.
 */
#ifndef SANDBOX_STORE_H
#define SANDBOX_STORE_H

#include <json-c/json.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

enum {
    ID_SIZE = 48,
    SECRET_SIZE = 96,
    SHA256_HEX_SIZE = 65,
    RATE_LIMIT_MODELS = 3,
    RATE_LIMIT_FIELDS = 6,
    ORGANISATIONS_MAX = 2,
};

struct admin_key {
    char id[ID_SIZE];
    char *name;
    char sha256[SHA256_HEX_SIZE];
    char redacted[24];
    int64_t created;    /* unix seconds */
    int64_t expires_at; /* the same, 0 = never; it is shown, and ends nothing */
    int64_t deleted_ms; /* unix milliseconds, 0 = not deleted */
    TAILQ_ENTRY(admin_key) next;
};

/* Who may administrate what: to one organisation's keys another's projects do not exist. */
struct organisation {
    int number; /* from 1 */
    TAILQ_HEAD(admin_key_list, admin_key) admin_keys;
};

struct project;
struct service_account;
struct anthropic;
struct gateways;

struct key {
    char id[ID_SIZE];
    char *name;
    char sha256[SHA256_HEX_SIZE]; /* of the secret; the secret itself is not kept */
    char redacted[24];
    struct project *project;
    struct service_account *account;
    int64_t created;      /* unix seconds */
    int64_t created_ms;   /* unix milliseconds */
    int64_t visible_mono; /* monotonic milliseconds from which lists show it */
    int64_t expires_at;   /* unix seconds, 0 = never */
    int64_t last_used;    /* unix seconds, 0 = never */
    int64_t deleted_ms;   /* unix milliseconds, 0 = not deleted */
    TAILQ_ENTRY(key) next;
};

struct service_account {
    char id[ID_SIZE];
    char *name;
    const char *role; /* "owner", "member" or "none" */
    struct project *project;
    int64_t created;
    int64_t created_ms;
    int64_t visible_mono;
    int64_t deleted_ms;
    TAILQ_ENTRY(service_account) next;
};

struct spend_limit {
    bool set;
    bool switched_on;     /* the reported spend-alert bug switches it off */
    int64_t cents;
    int64_t enforce_mono; /* monotonic milliseconds from which it can enforce */
};

struct spend_alert {
    char id[ID_SIZE];
    int64_t cents;
    struct json_object *channel; /* as sent */
    bool deleted;
    TAILQ_ENTRY(spend_alert) next;
};

struct project {
    char id[ID_SIZE];
    char *name;
    const struct organisation *organisation;
    char *external_key_id; /* NULL when none */
    char *residency;       /* NULL when none */
    bool is_default;
    int64_t created;
    int64_t created_ms;
    int64_t visible_mono;
    int64_t archived_ms; /* unix milliseconds, 0 = active */
    int64_t rate_limits[RATE_LIMIT_MODELS][RATE_LIMIT_FIELDS];
    struct spend_limit limit;
    int64_t spend_month;     /* the month, as the unix time of its start, of the next */
    int64_t spend_micro_usd; /* kept beside the charges, so that each call need not add them up */
    TAILQ_HEAD(account_list, service_account) accounts;
    TAILQ_HEAD(key_list, key) keys;
    TAILQ_HEAD(alert_list, spend_alert) alerts;
    TAILQ_ENTRY(project) next;
};

/* One use of a model, or a correction of a project's spend (then key and model are NULL). */
struct charge {
    int64_t at; /* unix seconds */
    struct project *project;
    struct key *key;
    const char *model;
    int64_t input_tokens, output_tokens;
    int64_t micro_usd;
};

/* How the sandbox behaves where the real provider's behaviour is unknown, varies or is faulty. */
struct knobs {
    int64_t page_max;           /* the largest page a list gives, 0 = as asked */
    int64_t stale_list_ms;      /* a new object is missing from lists for so long */
    int64_t enforcement_lag_ms; /* a new spend limit does not enforce for so long */
    int64_t project_limit;      /* an organisation's active projects, the default one included */
    bool refuse_key_delete;     /* DELETE of a service account's key is 400 */
    bool refuse_expiry;         /* expires_in_seconds is an unknown parameter */
    bool require_expiry;        /* nothing is minted without it */
    bool forbid_minting;        /* creating a key is a 403 by policy */
    bool spend_alert_bug;       /* creating an alert overwrites the limit and switches it off */
    bool enforcing_when_hit;    /* report "enforcing" only once the spend has reached the limit */
    int64_t workspace_limit;    /* an Anthropic organisation's active workspaces, without the default one */
    int64_t workspace_name_max; /* a longer name of a workspace is a 400 */
    bool budget_is_400;         /* LiteLLM: over budget is 400, as it was, not 429 */
    bool federation_archived_names_kept;
    int64_t federation_leeway_s;      /* how far the clocks of issuer and Anthropic may be apart */
    int64_t federation_least_token_s; /* no access token lives for less */
    bool forbid_spend_limits;   /* Anthropic's spend limits answer 403: no early access */
    int64_t usage_lag_s;        /* reports of tokens, and gateways' own dollars, show a charge so much later */
    int64_t cost_lag_s;         /* reports of costs do */
    int64_t cost_draft_percent; /* costs are shown so much too high (or, below 0, too low) until they are final */
    int64_t cost_final_s;       /* a charge's cost is final when it is so old */
    int64_t vault_lease_s;      /* how long a lease of Vault's lasts, and is renewed for */
    int64_t vault_lease_most_s; /* how long in all, 0 = any */
    bool vault_sudo;            /* tokens that are not the root's may list leases */
};

/* How many entries a page of a list has for which so many were asked. */
static inline int64_t knobs_page(const struct knobs *knobs, int64_t asked)
{
    return knobs->page_max > 0 && knobs->page_max < asked ? knobs->page_max : asked;
}

struct store {
    pthread_mutex_t lock;
    struct knobs knobs;
    struct organisation organisations[ORGANISATIONS_MAX];
    size_t n_organisations;
    int64_t started; /* unix seconds */
    TAILQ_HEAD(project_list, project) projects;
    struct lh_table *by_id;     /* id -> project, account or key; ids never collide */
    struct lh_table *by_sha256; /* hex hash of a secret -> key */
    struct charge *charges;
    size_t n_charges, max_charges;
    struct anthropic *anthropic; /* that provider's own records */
    struct gateways *gateways;   /* those of OpenRouter and LiteLLM */
    struct vault *vault;
};

struct store *store_new(void);
void store_free(struct store *store);

/* With a default project in it; up to ORGANISATIONS_MAX. admin_key is hashed, not kept. */
void store_add_organisation(struct store *store, const char *admin_key);
/* One more; secret_out receives the only copy of the secret. */
struct admin_key *store_add_admin_key(struct organisation *organisation, const char *name, int64_t expires_in,
                                      char secret_out[SECRET_SIZE]);
/* The one whose admin key this is, or NULL. */
const struct organisation *store_organisation(const struct store *store, const char *secret);

/* NULL when there is no such id. Whether the asker may see it is not looked at. */
struct project *store_project(const struct store *store, const char *id);
struct service_account *store_account(const struct project *project, const struct store *store,
                                      const char *id); /* deleted ones are not found */
struct key *store_key(const struct project *project, const struct store *store,
                      const char *id); /* deleted ones are not found */
struct key *store_key_of_secret(const struct store *store, const char *secret); /* dead ones too */

struct project *store_add_project(struct store *store, const struct organisation *organisation,
                                  const char *name);
struct service_account *store_add_account(struct store *store, struct project *project,
                                          const char *name, const char *role);
/* secret_out, when not NULL, receives the only copy of the secret. expires_in: seconds, 0 = never. */
struct key *store_add_key(struct store *store, struct service_account *account, const char *name,
                          int64_t expires_in, char secret_out[SECRET_SIZE]);
struct spend_alert *store_add_alert(struct project *project, int64_t cents,
                                    struct json_object *channel);

void store_delete_account(struct service_account *account);
void store_delete_key(struct key *key);
void store_archive(struct project *project);
void store_set_limit(struct store *store, struct project *project, int64_t cents);

/* What the organisation itself has, which no project may exceed; -1 = not for this model. */
int64_t store_organisation_limit(size_t model, size_t field);

bool key_is_live(const struct key *key);
size_t store_active_projects(const struct store *store, const struct organisation *organisation);
bool store_visible(int64_t visible_mono);

/* IDs and secrets: PREFIX and LENGTH random letters and digits. */
void store_new_id(char *out, const char *prefix, size_t length);
/* Hex of the SHA-256, by which secrets are known. */
void store_hash_secret(char out[SHA256_HEX_SIZE], const char *secret);

/* Takes over the text; frees the old one. */
void replace_text(char **field, const char *text);

#endif
