/*
 * One request and its answer, free of any HTTP library: what providers and the control
 * interface work on.
 */
#ifndef SANDBOX_EXCHANGE_H
#define SANDBOX_EXCHANGE_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct parameter {
    char *name;
    char *value;
};

struct request {
    char *method;
    char *path;
    char *bearer;       /* from the Authorization header, NULL when absent or of another kind */
    char *api_key;      /* x-api-key, NULL when absent */
    char *api_version;  /* anthropic-version, NULL when absent */
    char *api_beta;     /* anthropic-beta, NULL when absent */
    char *vault_token, *vault_namespace; /* X-Vault-Token, X-Vault-Namespace; NULL when absent */
    char *content_type; /* NULL when absent */
    struct parameter *query;
    size_t n_query;
    char *body; /* NUL-terminated */
    size_t body_size;
};

struct answer {
    int status;
    char *body; /* owned; NUL-terminated */
    size_t size;
    const char *content_type;
    char request_id[32];     /* x-request-id; empty = no such header */
    char *location;          /* owned; NULL = no such header */
    int64_t retry_after;     /* seconds, -1 = no such header */
    int64_t retry_after_ms;  /* milliseconds, -1 = no such header */
    int should_retry;        /* x-should-retry: 1 true, 0 false, -1 no such header */
    bool endless;            /* the body is followed by filler for ever */
};

void request_clear(struct request *request);
void request_add_query(struct request *request, const char *name, const char *value);
/* The first value of a parameter, or NULL. */
const char *request_query(const struct request *request, const char *name);
/* Arrays come as name=a&name=b (the specifications) and as name[]=a&name[]=b (the SDKs). */
bool parameter_is(const struct parameter *parameter, const char *name);
/* Whether ID is among those that are asked for. No such parameter: everything passes. */
bool request_passes(const struct request *request, const char *name, const char *id);

void answer_init(struct answer *answer);
void answer_clear(struct answer *answer);
void answer_text(struct answer *answer, int status, const char *body);
/* Takes over the object. */
void answer_json(struct answer *answer, int status, struct json_object *object);

#endif
