/*
 * Anthropic's Workload Identity Federation: issuers, service accounts and rules, which an OAuth token with the scope
 * org:admin manages, and the exchange of an identity token for an access token. Held to the types of the official SDK
 * and to what its reference says of verification.
 */
#ifndef SANDBOX_ANTHROPIC_FEDERATION_H
#define SANDBOX_ANTHROPIC_FEDERATION_H

#include "anthropic.h"

enum { ORGANISATION_ID_SIZE = 37, REFUSALS_MAX = 16 };

extern const struct provider anthropic_federation_provider;

struct issuer {
    char id[ID_SIZE];
    char *name, *url;
    const struct organisation *organisation;
    struct json_object *jwks;
    bool check_jti;
    int64_t max_lifetime; /* seconds */
    int64_t created_ms, archived_ms;
    struct json_object *seen; /* an object: the jti that were used */
    TAILQ_ENTRY(issuer) next;
};

struct machine { /* a service account */
    char id[ID_SIZE];
    char *name, *description;
    const struct organisation *organisation;
    struct json_object *memberships; /* an object: workspace id -> role */
    int64_t created_ms, archived_ms;
    TAILQ_ENTRY(machine) next;
};

struct rule {
    char id[ID_SIZE];
    char *name, *scope;
    struct issuer *issuer;
    struct machine *target;
    struct workspace *workspace;
    struct json_object *match;
    int64_t token_lifetime; /* seconds */
    int64_t created_ms, archived_ms;
    TAILQ_ENTRY(rule) next;
};

/* To the model API it is a key. */
struct access_token {
    struct console_key key; /* in no list */
    const struct organisation *organisation;
    const struct machine *machine; /* as whom it acts; NULL: a person */
    bool admin; /* scope org:admin: somebody has logged in */
    TAILQ_ENTRY(access_token) next;
};

struct federation {
    TAILQ_HEAD(issuer_list, issuer) issuers;
    TAILQ_HEAD(machine_list, machine) machines;
    TAILQ_HEAD(rule_list, rule) rules;
    TAILQ_HEAD(token_list, access_token) tokens;
    int64_t exchanges;
    struct json_object *refusals; /* the latest, with the reason that the answer does not tell */
};

struct federation *federation_new(void);
void federation_free(struct federation *federation);
void federation_organisation_id(const struct organisation *organisation, char out[ORGANISATION_ID_SIZE]);
/* The living token of that secret, or NULL. */
struct access_token *federation_token(const struct store *store, const char *secret);
/* The secret goes into secret_out; LIFETIME in seconds. */
struct access_token *federation_add_token(struct store *store, const struct organisation *organisation,
                                          struct workspace *workspace, bool admin, int64_t lifetime,
                                          char secret_out[SECRET_SIZE]);
/* As which service account calls with that key act; NULL: it is a key, or no account's. */
const char *federation_account(const struct store *store, const struct console_key *key);
/* POST /v1/oauth/token */
void federation_exchange(struct call *call);

/* anthropic-jwt.c: NULL when TOKEN was signed with one of KEYS (ES256 alone), and its claims are put into *out (the caller
 * owns them); else the reason why it was not. */
const char *jwt_verify(const char *token, struct json_object *keys, struct json_object **out);

#endif
