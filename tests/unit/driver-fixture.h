/* For tests of a provider's driver without a network: a call, what it asks, and answers for it to read. DRIVER is defined
 * first, and a CREDENTIAL_HEADER or FIXED_HEADER that is not as usual; CHOSEN, where the secret of a key is known. Inline,
 * because not every test needs all of it. */
#ifndef LLMHOOK_TESTS_UNIT_DRIVER_FIXTURE_H
#define LLMHOOK_TESTS_UNIT_DRIVER_FIXTURE_H

#include "check.h"

#include "providers/http.h"
#include "providers/provider.h"

#include <stdio.h>
#include <string.h>

#ifndef CREDENTIAL_HEADER
#define CREDENTIAL_HEADER "Authorization: Bearer "
#endif

static const struct provider_driver *const driver = &DRIVER;

#ifdef CHOSEN
/* The secret that a key is chosen to have, or is known to have: for the whole of the tests. */
static struct secret *chosen;

static int choose(void **state)
{
    struct error err = ERROR_INIT;
    (void)state;
    assert_true(secret_init(&err));
    chosen = secret_new(CHOSEN, strlen(CHOSEN));
    assert_non_null(chosen);
    return 0;
}

static int forget(void **state)
{
    (void)state;
    secret_free(chosen);
    return 0;
}
#endif

struct fixture {
    struct provider_settings settings;
    struct provider_call call;
    struct provider_progress progress;
    struct provider_result result;
};

static inline void begin(struct fixture *f, enum provider_verb verb)
{
    struct error err = ERROR_INIT;
    assert_true(secret_init(&err));
    static const struct provider_scope scope = {"proj_abc", 1};
    memset(f, 0, sizeof *f);
    provider_result_clear(&f->result);
    f->call = (struct provider_call){.verb = verb,
                                     .container_name = "llmhook:h1:u1",
                                     .container_id = "proj_abc",
                                     .key_name = "llmhook:h1:u1:openai:1",
                                     .key_id = "user-xyz",
                                     .name_prefix = "llmhook:h1:",
                                     .monthly_limit = 100500001,
                                     .scopes = &scope,
                                     .scopes_count = 1,
                                     .since = INT64_C(1709164801000), /* 2024-02-29 00:00:01 */
                                     .until = INT64_C(1709251200000)};
    snprintf(f->settings.project, sizeof f->settings.project, "per-domain");
}

static inline void end(struct fixture *f)
{
    provider_result_clear(&f->result);
}

/* What is asked next is exactly this. BODY NULL: none. */
static inline void asks(const struct fixture *f, enum http_method method, const char *url, const char *body)
{
    struct http_request request = HTTP_REQUEST_INIT;
    struct error err = ERROR_INIT;
    if (!driver->build(&f->settings, &f->call, &f->progress, &f->result, &request, &err))
        fail_msg("%s", err.text);
    assert_int_equal(request.method, method);
    assert_string_equal(request.url, url);
    assert_string_equal(buffer_text(&request.body), body ? body : "");
    assert_string_equal(request.secret_header, CREDENTIAL_HEADER);
#ifdef FIXED_HEADER
    assert_string_equal(request.headers[0], FIXED_HEADER);
#endif
    buffer_clear(&request.body);
}

/* What a fresh call asks first. */
struct first_request {
    enum provider_verb verb;
    enum http_method method;
    const char *url, *body;
};

static inline void asks_first(void (*begin_call)(struct fixture *f, enum provider_verb verb), const struct first_request *wanted,
                              size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct fixture f;
        begin_call(&f, wanted[i].verb);
        asks(&f, wanted[i].method, wanted[i].url, wanted[i].body);
        end(&f);
    }
}

/* Whose secret goes in with what is asked next; NULL: the admin key. */
static inline void asks_with(const struct fixture *f, const struct secret *wanted)
{
    struct http_request request = HTTP_REQUEST_INIT;
    struct error err = ERROR_INIT;
    assert_true(driver->build(&f->settings, &f->call, &f->progress, &f->result, &request, &err));
    assert_ptr_equal(request.secret, wanted); /* provider.c has put the admin key there before */
    buffer_clear(&request.body);
}

static inline void cannot_ask(const struct fixture *f, const char *piece)
{
    struct http_request request = HTTP_REQUEST_INIT;
    struct error err = ERROR_INIT;
    assert_false(driver->build(&f->settings, &f->call, &f->progress, &f->result, &request, &err));
    check_error(err, ERROR_INVALID, piece);
    buffer_clear(&request.body);
}

static inline enum provider_next reads_within(struct fixture *f, long status, const char *body, int64_t retry_after_ms)
{
    struct http_answer answer = {.end = HTTP_ANSWERED, .status = status, .body = BUFFER_INIT(64 * 1024 * 1024),
                                 .retry_after_ms = retry_after_ms};
    assert_true(buffer_append_text(&answer.body, body));
    enum provider_next next = driver->parse(&f->settings, &f->call, &f->progress, &answer, &f->result);
    buffer_clear(&answer.body);
    return next;
}

static inline void reads_on(struct fixture *f, long status, const char *body)
{
    if (reads_within(f, status, body, -1) != PROVIDER_NEXT_REQUEST)
        fail_msg("ended: %s", f->result.error.text);
}

static inline void reads(struct fixture *f, long status, const char *body, enum outcome outcome)
{
    assert_int_equal(reads_within(f, status, body, -1), PROVIDER_NEXT_DONE);
    if (f->result.outcome != outcome)
        fail_msg("%s is %s, wanted %s: %s", provider_verb_name(f->call.verb), outcome_name(f->result.outcome),
                 outcome_name(outcome), f->result.error.text);
}

static inline void says(const struct fixture *f, const char *piece)
{
    if (!strstr(f->result.error.text, piece))
        fail_msg("'%s' does not say '%s'", f->result.error.text, piece);
}

/* One answer to a fresh call. */
static inline void judged(enum provider_verb verb, long status, const char *body, enum outcome outcome, enum error_code code,
                          const char *piece)
{
    struct fixture f;
    begin(&f, verb);
    reads(&f, status, body, outcome);
    check_error(f.result.error, code, piece);
    assert_null(f.result.secret);
    end(&f);
}

#endif
