/*
 * Anthropic's administration API and the little of its model API that shows whether a key works. There is no official
 * specification: it is held to the types of the official SDK; where they are silent, README.md says what was chosen.
 *
 * Keys are made in the Console, by a person: here by the control socket. The API lists, renames and switches them.
 */
#ifndef SANDBOX_ANTHROPIC_H
#define SANDBOX_ANTHROPIC_H

#include "fields.h"
#include "id-page.h"
#include "provider.h"

enum { ANTHROPIC_GROUPS = 3, ANTHROPIC_LIMITERS = 3, ANTHROPIC_MODELS = 2, HINT_SIZE = 32 };

extern const struct provider anthropic_provider;

enum key_status { KEY_ACTIVE, KEY_INACTIVE, KEY_ARCHIVED, KEY_STATUSES };

struct workspace {
    char id[ID_SIZE];
    char *name;
    const struct organisation *organisation;
    bool is_default;
    struct json_object *tags;
    int64_t created_ms, archived_ms; /* unix; 0 = active */
    int64_t visible_mono;            /* lists show it from then on */
    int64_t overrides[ANTHROPIC_GROUPS][ANTHROPIC_LIMITERS]; /* -1 = none */
    struct {
        char id[ID_SIZE]; /* empty = none */
        int64_t cents, created_ms, updated_ms;
        int64_t enforce_mono;
    } limit;
    int64_t spend_month; /* the month that the next one is of, as the unix time of its start */
    int64_t spend_micro_usd;
    TAILQ_ENTRY(workspace) next;
};

struct console_key {
    char id[ID_SIZE];
    char *name;
    char sha256[SHA256_HEX_SIZE];
    char hint[HINT_SIZE]; /* what is shown of the secret */
    struct workspace *workspace;
    enum key_status status;
    bool of_organisation; /* somebody's own, and in no workspace, whatever WORKSPACE says */
    int64_t created_ms, expires_ms; /* unix; 0 = never */
    int64_t archived_ms, last_used; /* 0 = never */
    int64_t visible_mono;
    TAILQ_ENTRY(console_key) next;
};

/* One use of a model, or a correction of a workspace's spend (then key and model are NULL). */
struct console_charge {
    int64_t at; /* unix seconds */
    struct workspace *workspace;
    struct console_key *key;
    const char *account; /* the service account's id that a token acted as; NULL: a key was used */
    const char *model;
    int64_t input_tokens, output_tokens, micro_usd;
};

struct anthropic {
    TAILQ_HEAD(workspace_list, workspace) workspaces;
    TAILQ_HEAD(console_key_list, console_key) keys;
    struct console_charge *charges;
    size_t n_charges, max_charges;
    struct federation *federation;
};

struct anthropic_model {
    const char *name;
    size_t group;
    int64_t input_micro_usd, output_micro_usd; /* for a million tokens, made up but of the right size */
};
extern const struct anthropic_model anthropic_models[ANTHROPIC_MODELS];

/* anthropic-store.c */
struct anthropic *anthropic_new(void);
void anthropic_free(struct anthropic *anthropic);
/* With its default workspace. */
void anthropic_add_organisation(struct anthropic *anthropic, const struct organisation *organisation);
struct workspace *anthropic_add_workspace(struct store *store, const struct organisation *organisation, const char *name);
/* secret_out receives the only copy of the secret. */
struct console_key *anthropic_add_key(struct store *store, struct workspace *workspace, const char *name,
                                      char secret_out[SECRET_SIZE]);
struct workspace *anthropic_workspace(const struct store *store, const char *id);
struct console_key *anthropic_key(const struct store *store, const char *id);
struct workspace *anthropic_default_workspace(const struct store *store, const struct organisation *organisation);
struct console_key *anthropic_key_of_secret(const struct store *store, const char *secret);
/* Whether the model API takes it now. */
bool anthropic_key_works(const struct console_key *key);
const char *anthropic_key_status(const struct console_key *key);
/* Its keys are archived with it. */
void anthropic_archive(struct store *store, struct workspace *workspace);
void anthropic_set_limit(struct store *store, struct workspace *workspace, int64_t cents);
void anthropic_state(struct store *store, bool live_only, struct json_object *state);
/* An action of /outside. False: it is none of Anthropic's; else error is NULL or a sentence. */
bool anthropic_outside(struct store *store, struct json_object *description, struct json_object *result,
                       const char **error);

/* anthropic-billing.c */
const struct anthropic_model *anthropic_model(const char *name); /* NULL when unknown */
void anthropic_bill(struct store *store, const struct console_charge *charge);
int64_t anthropic_month_spend(const struct workspace *workspace);
bool anthropic_exhausted(const struct workspace *workspace);

/* anthropic.c. All but the status may be NULL: then what Anthropic says with that status. */
void anthropic_error(struct answer *answer, int status, const char *type, const char *code, const char *message);
/* The request's body, checked. NULL when it does not fit: the error is answered already. */
struct json_object *anthropic_body(struct call *call, const struct field *fields);
/* The workspace named by the path's first '*', or NULL after answering 404. */
struct workspace *anthropic_path_workspace(struct call *call);

/* Begins a page of a list by ids. False: an error is answered. */
bool anthropic_page_begin(struct call *call, struct id_page *page);
/* Answers with it. */
void anthropic_page_end(struct id_page *page);
/* Answers with the part of ALL (taken over) that `page` and `limit` name, as {data, next_page}. */
void answer_cursor_page(struct call *call, struct json_object *all);

/* anthropic-workspaces.c */
void anthropic_create_workspace(struct call *call);
void anthropic_list_workspaces(struct call *call);
void anthropic_get_workspace(struct call *call);
void anthropic_update_workspace(struct call *call);
void anthropic_archive_workspace(struct call *call);

/* anthropic-limits.c */
void anthropic_list_organisation_rates(struct call *call);
void anthropic_list_rates(struct call *call);
void anthropic_set_rates(struct call *call);
void anthropic_set_spend_limit(struct call *call);
void anthropic_list_spend_limits(struct call *call);
void anthropic_get_spend_limit(struct call *call);
void anthropic_delete_spend_limit(struct call *call);

/* anthropic-keys.c */
void anthropic_list_keys(struct call *call);
void anthropic_get_key(struct call *call);
void anthropic_update_key(struct call *call);

/* anthropic-messages.c */
void anthropic_message(struct call *call);
void anthropic_count_tokens(struct call *call);

/* anthropic-usage.c */
void anthropic_usage_report(struct call *call);
void anthropic_cost_report(struct call *call);

#endif
