/*
 * What a provider is to the server: a table of routes. A provider is one file (or a few) that
 * fills in one of these; the server knows no provider by name. Later ones go into providers[].
 */
#ifndef SANDBOX_PROVIDER_H
#define SANDBOX_PROVIDER_H

#include "exchange.h"
#include "store.h"

enum { ROUTE_ARGS = 4 };

enum access {
    ACCESS_ADMIN, /* an organisation's admin key */
    ACCESS_MODEL, /* a live minted key */
};

struct route;

/* One request being answered. The store is locked. */
struct call {
    struct store *store;
    const struct request *request;
    const struct route *route;
    char arg[ROUTE_ARGS][ID_SIZE * 2]; /* the path segments that stood for '*' */
    const struct organisation *organisation; /* ACCESS_ADMIN: whose call it is */
    struct key *key;                   /* ACCESS_MODEL: whose call it is, at OpenAI */
    void *own;                         /* the same where a provider has records of its own */
    struct answer *answer;
};

struct route {
    const char *method;
    const char *pattern; /* '*' stands for one segment of the path */
    enum access access;
    void (*handle)(struct call *call);
};

struct provider {
    const char *name;
    const char *const *prefixes; /* NULL-ended; unknown paths below get this provider's kind of 404 */
    const struct route *routes;
    size_t n_routes;
    bool (*admit)(struct call *call); /* false: the answer says why not */
    /* type, code and message may be NULL: then what the provider says with that status */
    void (*error)(struct answer *answer, int status, const char *type, const char *code,
                  const char *message);
    /* Adds to what /state shows; NULL: nothing. The store is locked. */
    void (*state)(struct store *store, bool live_only, struct json_object *state);
};

/* NULL-ended. */
extern const struct provider *const providers[];

/* Carries the request out and fills the answer. Takes the store's lock. */
void provider_answer(struct store *store, const struct request *request, struct answer *answer);
/* The error a provider would give on that path. */
void provider_error(const char *path, struct answer *answer, int status, const char *type,
                    const char *code, const char *message);
/* The pattern that the request fits, for counting; "other" when there is none. */
const char *provider_pattern(const struct request *request);
/* "METHOD pattern" of every route there is, or of one provider's. */
struct json_object *provider_routes(const char *name_only);

#endif
