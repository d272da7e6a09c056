/* For tests of provider.c over real HTTP on the loopback: a loop, a server that does what a script says, and a provider that
 * asks it with the keys that it is given. */
#ifndef LLMHOOK_TESTS_UNIT_PROVIDER_FIXTURE_H
#define LLMHOOK_TESTS_UNIT_PROVIDER_FIXTURE_H

#include "check.h"

#include "poll-loop.h"
#include "providers/http.h"
#include "providers/provider.h"
#include "scripted-server.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { PATIENCE_MS = 60000 };

#define OLD_KEY "sk-admin-old-0123456789"
#define NEW_KEY "sk-admin-new-0123456789"

struct fixture {
    struct poll_loop *loop;
    struct http *http;
    struct scripted_server *server;
    struct provider *provider;
    const char *keys[4]; /* what the n-th fetch gives; NULL: a failure; the last is repeated */
    unsigned keys_count;
    atomic_uint fetches;
};

static const char *next_key(struct fixture *f)
{
    unsigned fetch = f->fetches++;
    return f->keys[fetch < f->keys_count ? fetch : f->keys_count - 1];
}

/* Without a provider. */
static void open_server(struct fixture *f, const struct script_step *steps, size_t count)
{
    struct error err = ERROR_INIT;
    memset(f, 0, sizeof *f);
    f->keys[0] = OLD_KEY;
    f->keys_count = 1;
    assert_true(secret_init(&err));
    f->loop = poll_loop_new();
    assert_true(http_new(poll_loop_base(f->loop), &f->http, &err));
    f->server = scripted_server_new(steps, count);
}

static void open_provider(struct fixture *f, const struct provider_settings *settings, provider_credential_fn *fetch_key)
{
    struct error err = ERROR_INIT;
    if (!provider_new(f->http, settings, fetch_key, f, &f->provider, &err))
        fail_msg("%s", err.text);
}

static void close_fixture(struct fixture *f)
{
    provider_free(f->provider);
    http_free(f->http);
    assert_int_equal(poll_loop_watches(f->loop), 0);
    assert_int_equal(poll_loop_armed(f->loop), 0);
    poll_loop_free(f->loop);
    scripted_server_free(f->server);
}

#endif
