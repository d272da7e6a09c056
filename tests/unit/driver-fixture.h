/* For tests of a provider's driver without a network: a call, what it asks, and answers for it to read. DRIVER is defined
 * first, and WHO, as errors name it; a CREDENTIAL_HEADER or FIXED_HEADER that is not as usual; CHOSEN, where the secret of a
 * key is known. Inline, because not every test needs all of it. */
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

/* begin(), or a test's own, which goes on from there. */
typedef void begin_fn(struct fixture *f, enum provider_verb verb);

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

static inline void asks_first(begin_fn *begin_call, const struct first_request *wanted, size_t count)
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

/* An answer of success that is not as it should be, and a piece of what is said of it. */
struct wrong_answer {
    const char *body, *piece;
};

/* To request STEP of a call that changes nothing: then nothing of it is believed. */
static inline void believes_none(begin_fn *begin_call, enum provider_verb verb, unsigned step, const struct wrong_answer *wrong,
                                 size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct fixture f;
        begin_call(&f, verb);
        f.progress.step = step;
        reads(&f, 200, wrong[i].body, OUTCOME_UNREACHABLE);
        check_error(f.result.error, ERROR_PROTOCOL, WHO "'s answer (200) cannot be trusted: ");
        says(&f, wrong[i].piece);
        end(&f);
    }
}

/* The answer to a minting that does not give us what was made; what of it is known all the same. */
struct lost_key {
    const char *body, *key_id, *piece;
};

/* It was made, so it is never a success and never refused: it is looked for and removed. */
static inline void minted_and_lost(begin_fn *begin_call, long status, const struct lost_key *lost, size_t count,
                                   const char *secret)
{
    for (size_t i = 0; i < count; i++) {
        struct fixture f;
        begin_call(&f, PROVIDER_MINT_KEY);
        reads(&f, status, lost[i].body, OUTCOME_UNKNOWN);
        check_error(f.result.error, ERROR_PROTOCOL, lost[i].piece);
        assert_null(strstr(f.result.error.text, secret));
        assert_string_equal(f.result.key_id, lost[i].key_id);
        assert_null(f.result.secret);
        end(&f);
    }
}

/* Every beginning of WHOLE, a good answer to request STEP of a minting. */
static inline void minted_and_cut_off(begin_fn *begin_call, unsigned step, long status, const char *whole)
{
    for (size_t length = 0; length < strlen(whole); length++) {
        char body[1024];
        struct fixture f;
        assert_true(length < sizeof body);
        memcpy(body, whole, length);
        body[length] = '\0';
        begin_call(&f, PROVIDER_MINT_KEY);
        f.progress.step = step;
        reads(&f, status, body, OUTCOME_UNKNOWN);
        assert_null(f.result.secret);
        end(&f);
    }
}

static inline void usage_needs_a_time(begin_fn *begin_call)
{
    struct fixture f;
    begin_call(&f, PROVIDER_USAGE);
    f.call.until = f.call.since;
    cannot_ask(&f, "usage is asked for without a time");
    begin_call(&f, PROVIDER_USAGE);
    f.call.since = -1;
    cannot_ask(&f, "usage is asked for without a time");
    end(&f);
}

#endif
