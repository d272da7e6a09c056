/* For the programs that ask a server by our own drivers, through provider_start() as the daemon does: a loop, what came of a
 * call, and TAP without a plan at its head. Whatever does not end is a "Bail out!", and the program's. */
#ifndef LLMHOOK_TESTS_CONTRACT_CLIENT_H
#define LLMHOOK_TESTS_CONTRACT_CLIENT_H

#include "base/poll-loop.h"
#include "providers/http.h"
#include "providers/provider.h"

enum { CLIENT_PATIENCE_MS = 60000 };

struct poll_loop *client_loop(void);

void client_begin(void);
/* Says the plan. The exit status: 1 if anything failed. */
int client_end(void);

/* One line; WHY is told where it is not OK. */
void check(bool ok, const char *name, const char *why);

/* What a call came to; all that the result holds is its own. */
struct ended {
    bool done;
    struct provider_result result;
};
void forget(struct ended *ended);
/* For provider_start(), with a struct ended: for several calls at once. */
void on_done(void *context, struct provider_result *result);
void run(struct provider *provider, const struct provider_call *call, struct ended *ended);
/* Runs it and wants this outcome, with PIECE in its sentence. */
void expect(struct provider *provider, const struct provider_call *call, struct ended *ended, enum outcome outcome,
            const char *piece, const char *name);

/* Its credential is what its reference says. The caller frees it. */
struct provider *client_provider(const struct provider_settings *settings);

/* A file with a key, true or not. Its path, which the caller removes before it makes another. */
const char *client_key_file(const char *key);

/* What URL says to KEY, with the status alone; BODY: a POST of it. -1: no answer. */
long status_of(const char *url, const struct secret *key, const char *body);

/* --- with the sandbox, as with-prism.sh names it in the environment --- */

/* Where it is itself, without Prism before it. */
const char *direct_url(void);
/* One request to its control socket. */
void control(const char *method, const char *path, const char *body);

#endif
