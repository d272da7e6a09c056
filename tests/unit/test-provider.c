/* provider.c over real HTTP on loopback: the order of things, credentials, ends, and what a failure is called. */
#include "provider-fixture.h"

#include "base/clock.h"
#include "heap-search.h"

/* As long as real ones: what allocators write into freed memory must not hide it. */
#define MINTED_END "wA5rPq0ZtYx8Jm3VbKd7Uc1Hs6Nf9Lg2Eo4Ti"
#define MINTED_KEY "sk-svcacct-dGhpcyBpcyBtYWRlIHVwIGZvciBhIHRlc3QgYW5kIG9wZW5zIG5vdGhpbmc-" MINTED_END

static const char minted[] = "{\"id\":\"user-new\",\"name\":\"n\",\"api_key\":{\"value\":\"" MINTED_KEY "\"}}";
static const char empty_list[] = "{\"data\":[],\"has_more\":false}";
static const char not_found[] = "{\"error\":{\"message\":\"No such thing.\",\"code\":\"not_found\"}}";
static const char unauthorized[] = "{\"error\":{\"message\":\"Incorrect API key provided: sk-admin-***\"}}";

static bool fetch_key(void *context, const struct provider_settings *settings, struct secret **ret_secret,
                      struct error *err)
{
    struct fixture *f = context;
    assert_string_equal(settings->name, "main");
    const char *key = next_key(f);
    if (!key)
        return error_set(err, ERROR_NOT_FOUND, "file:/x: there is no such file");
    *ret_secret = secret_new(key, strlen(key));
    return true;
}

static struct provider_settings settings_for(const struct fixture *f)
{
    struct provider_settings settings = {.name = "main", .type = "openai", .project = "per-domain",
                                         .timeout_ms = PATIENCE_MS};
    if (f->server)
        snprintf(settings.base_url, sizeof settings.base_url, "http://127.0.0.1:%u/v1//",
                 scripted_server_port(f->server));
    return settings;
}

static void open_fixture(struct fixture *f, const struct script_step *steps, size_t count)
{
    open_server(f, steps, count);
    struct provider_settings settings = settings_for(f);
    open_provider(f, &settings, fetch_key);
}

struct seen {
    bool done;
    unsigned calls;
    enum outcome outcome;
    struct error error;
    int64_t retry_after_ms;
    size_t items_count, usage_count;
    int64_t cost; /* of the first row of usage */
    char first_id[RECORD_REMOTE_ID_SIZE];
    char key_id[RECORD_REMOTE_ID_SIZE];
    struct secret *secret;     /* taken */
    struct provider **to_free; /* by whoever comes first, from inside the callback */
};

static void on_done(void *context, struct provider_result *result)
{
    struct seen *seen = context;
    seen->done = true;
    seen->calls++;
    seen->outcome = result->outcome;
    seen->error = result->error;
    seen->retry_after_ms = result->retry_after_ms;
    seen->items_count = result->items_count;
    if (result->items_count)
        memcpy(seen->first_id, result->items[0].id, sizeof seen->first_id);
    seen->usage_count = result->usage_count;
    seen->cost = result->usage_count ? result->usage[0].micro_dollars : 0;
    memcpy(seen->key_id, result->key_id, sizeof seen->key_id);
    seen->secret = result->secret;
    result->secret = NULL;
    if (seen->to_free) {
        struct provider *provider = *seen->to_free;
        *seen->to_free = NULL;
        provider_free(provider);
    }
}

static struct provider_call call_for(enum provider_verb verb)
{
    static const struct provider_scope scope = {"proj_abc", 1};
    return (struct provider_call){.verb = verb, .scopes = &scope, .scopes_count = 1, .until = 86400000,
                                  .container_name = "llmhook:h1:u1", .container_id = "proj_abc",
                                  .key_name = "llmhook:h1:u1:openai:1", .key_id = "user-xyz",
                                  .name_prefix = "llmhook:h1:", .monthly_limit = 1000000};
}

static void finish(const struct fixture *f, enum provider_verb verb, struct seen *seen)
{
    struct provider_call call = call_for(verb);
    memset(seen, 0, sizeof *seen);
    provider_start(f->provider, &call, on_done, seen);
    assert_int_equal(seen->calls, 0); /* never from inside */
    assert_true(poll_loop_until(f->loop, &seen->done, PATIENCE_MS));
    assert_int_equal(seen->calls, 1);
}

/* One step, one call, and what it is called. */
static void becomes(struct script_step step, enum provider_verb verb, enum outcome outcome, const char *piece)
{
    struct fixture f;
    struct seen seen;
    open_fixture(&f, &step, 1);
    finish(&f, verb, &seen);
    if (seen.outcome != outcome || !strstr(seen.error.text, piece))
        fail_msg("%s is %s '%s', wanted %s with '%s'", provider_verb_name(verb), outcome_name(seen.outcome),
                 seen.error.text, outcome_name(outcome), piece);
    close_fixture(&f);
}

static void test_mint(void **state)
{
    (void)state;
    struct script_step step = {script_answer("200", "", minted), SCRIPT_KEEP, 0};
    struct fixture f;
    struct seen seen;
    open_fixture(&f, &step, 1);
    finish(&f, PROVIDER_MINT_KEY, &seen);
    assert_int_equal(seen.outcome, OUTCOME_OK);
    assert_int_equal(seen.error.code, ERROR_NONE);
    assert_string_equal(seen.key_id, "user-new");
    assert_string_equal(secret_reveal(seen.secret), MINTED_KEY);
    secret_free(seen.secret);
    const char *request = scripted_server_request(f.server, 0);
    static const char line[] = "POST /v1/organization/projects/proj_abc/service_accounts HTTP/1.1\r\n";
    assert_memory_equal(request, line, sizeof line - 1); /* the base URL's last slashes are gone */
    assert_non_null(strstr(request, "\r\nAuthorization: Bearer " OLD_KEY "\r\n"));
    assert_non_null(strstr(request, "\r\n\r\n{\"name\":\"llmhook:h1:u1:openai:1\"}"));
    close_fixture(&f);
}

/* The answer, the parsed document and the request are wiped; only the taken secret, in its own memory, has the key. */
static void test_a_minted_key_stays_in_its_secret(void **state)
{
    (void)state;
    struct script_step step = {script_answer("200", "", minted), SCRIPT_KEEP, 0};
    struct fixture f;
    struct seen seen;
    if (heap_search("nothing") < 0)
        return; /* the run without sanitizer and valgrind looks */
    open_fixture(&f, &step, 1);
    finish(&f, PROVIDER_MINT_KEY, &seen);
    assert_int_equal(seen.outcome, OUTCOME_OK);
    assert_int_equal(heap_search(MINTED_END), 0);
    assert_int_equal(heap_search(OLD_KEY), 0);
    secret_free(seen.secret);
    close_fixture(&f);
}

static void test_pages_are_joined(void **state)
{
    (void)state;
    struct script_step steps[] = {
        {script_answer("200", "", "{\"data\":[{\"id\":\"user-2\",\"name\":\"llmhook:h1:u1:openai:1\",\"created_at\":2}],"
                           "\"has_more\":true,\"last_id\":\"user-2\"}"), SCRIPT_KEEP, 0},
        {script_answer("200", "", "{\"data\":[{\"id\":\"user-1\",\"name\":\"llmhook:h1:u1:openai:1\",\"created_at\":1}],"
                           "\"has_more\":false}"), SCRIPT_CLOSE, 0},
    };
    struct fixture f;
    struct seen seen;
    open_fixture(&f, steps, 2);
    finish(&f, PROVIDER_FIND_KEYS, &seen);
    assert_int_equal(seen.outcome, OUTCOME_OK);
    assert_int_equal(seen.items_count, 2);
    assert_string_equal(seen.first_id, "user-1");
    assert_int_equal(f.fetches, 1); /* one for the whole call */
    close_fixture(&f);
}

static void test_half_a_list_is_no_list(void **state)
{
    (void)state;
    struct script_step steps[] = {
        {script_answer("200", "", "{\"data\":[{\"id\":\"user-2\",\"name\":\"llmhook:h1:u1:openai:1\",\"created_at\":2}],"
                           "\"has_more\":true,\"last_id\":\"user-2\"}"), SCRIPT_KEEP, 0},
        {script_answer("500", "", ""), SCRIPT_KEEP, 0},
    };
    struct fixture f;
    struct seen seen;
    open_fixture(&f, steps, 2);
    finish(&f, PROVIDER_FIND_KEYS, &seen);
    assert_int_equal(seen.outcome, OUTCOME_UNREACHABLE);
    assert_int_equal(seen.items_count, 0);
    close_fixture(&f);
}

static void open_openrouter(struct fixture *f, const struct script_step *steps, size_t count)
{
    open_server(f, steps, count);
    struct provider_settings settings = settings_for(f);
    snprintf(settings.type, sizeof settings.type, "openrouter");
    open_provider(f, &settings, fetch_key);
}

/* A key is switched off and then deleted. Of the deletion nothing is heard, or that there is no such key. */
static void test_what_a_key_cost_is_told_however_its_revocation_ends(void **state)
{
    (void)state;
    static const char disabled[] = "{\"data\":{\"hash\":\"user-xyz\",\"disabled\":true,\"usage_monthly\":1.5}}";
    static const char nothing[] = "{\"error\":{\"code\":404,\"message\":\"Resource not found\"}}";
    const struct script_step lost[] = {{script_answer("200", "", disabled), SCRIPT_KEEP, 0}, {NULL, SCRIPT_CLOSE, 0}};
    const struct script_step gone[] = {{script_answer("200", "", disabled), SCRIPT_KEEP, 0},
                                       {script_answer("404", "", nothing), SCRIPT_KEEP, 0},
                                       {script_answer("200", "", empty_list), SCRIPT_KEEP, 0}};
    const struct {
        const struct script_step *steps;
        size_t count;
        enum outcome outcome;
    } ends[] = {{lost, COUNT(lost), OUTCOME_UNKNOWN}, {gone, COUNT(gone), OUTCOME_GONE}};
    for (size_t i = 0; i < COUNT(ends); i++) {
        struct fixture f;
        struct seen seen;
        open_openrouter(&f, ends[i].steps, ends[i].count);
        finish(&f, PROVIDER_REVOKE_KEY, &seen);
        assert_int_equal(seen.outcome, ends[i].outcome);
        assert_int_equal(seen.usage_count, 1);
        assert_int_equal(seen.cost, 1500000);
        close_fixture(&f);
    }
}

static void test_half_a_report_is_no_report(void **state)
{
    (void)state;
    static const char page[] = "{\"data\":[{\"hash\":\"h-1\",\"name\":\"llmhook:h1:u1:or:g1\",\"usage_monthly\":1.5},"
                               "{\"hash\":\"h-2\",\"name\":\"x\"}]}";
    const struct script_step steps[] = {{script_answer("200", "", page), SCRIPT_KEEP, 0},
                                        {script_answer("500", "", not_found), SCRIPT_KEEP, 0}};
    struct fixture f;
    struct seen seen;
    open_openrouter(&f, steps, 2);
    finish(&f, PROVIDER_USAGE, &seen);
    assert_int_equal(seen.outcome, OUTCOME_UNREACHABLE);
    assert_int_equal(scripted_server_requests(f.server), 2);
    assert_int_equal(seen.usage_count, 0);
    close_fixture(&f);
}

static void test_a_credential_is_fetched_for_every_call(void **state)
{
    (void)state;
    struct script_step step = {script_answer("200", "", empty_list), SCRIPT_KEEP, 0};
    struct fixture f;
    struct seen seen;
    open_fixture(&f, &step, 1);
    f.keys[1] = NEW_KEY;
    f.keys_count = 2;
    finish(&f, PROVIDER_CHECK, &seen);
    finish(&f, PROVIDER_CHECK, &seen);
    assert_int_equal(f.fetches, 2);
    assert_non_null(strstr(scripted_server_request(f.server, 0), OLD_KEY));
    assert_non_null(strstr(scripted_server_request(f.server, 1), NEW_KEY));
    close_fixture(&f);
}

static void test_no_credential_sends_nothing(void **state)
{
    (void)state;
    struct script_step step = {script_answer("200", "", empty_list), SCRIPT_KEEP, 0};
    struct fixture f;
    struct seen seen;
    open_fixture(&f, &step, 1);
    f.keys[0] = NULL;
    finish(&f, PROVIDER_MINT_KEY, &seen);
    assert_int_equal(seen.outcome, OUTCOME_UNAUTHORIZED);
    check_error(seen.error, ERROR_NOT_FOUND, "the admin key cannot be had: file:/x: there is no such file");
    assert_int_equal(scripted_server_connections(f.server), 0);
    close_fixture(&f);
}

static void test_unbuildable_calls_send_nothing(void **state)
{
    (void)state;
    struct script_step step = {script_answer("200", "", empty_list), SCRIPT_KEEP, 0};
    struct fixture f;
    struct seen seen = {.calls = 0};
    open_fixture(&f, &step, 1);
    struct provider_call call = call_for(PROVIDER_REVOKE_KEY);
    snprintf(call.key_id, sizeof call.key_id, "../../x");
    provider_start(f.provider, &call, on_done, &seen);
    assert_int_equal(seen.calls, 0);
    assert_true(poll_loop_until(f.loop, &seen.done, PATIENCE_MS));
    assert_int_equal(seen.outcome, OUTCOME_REFUSED);
    check_error(seen.error, ERROR_INVALID, "the key's id is empty or holds");
    assert_int_equal(scripted_server_connections(f.server), 0);
    close_fixture(&f);
}

/* FETCHES keys are asked for, REQUESTS requests are made. */
static void after_401(const char *second_key, const char *second_answer, enum outcome outcome, unsigned fetches,
                      unsigned requests)
{
    struct script_step steps[] = {{script_answer("401", "", unauthorized), SCRIPT_KEEP, 0}, {second_answer, SCRIPT_KEEP, 0}};
    struct fixture f;
    struct seen seen;
    open_fixture(&f, steps, 2);
    f.keys[1] = second_key;
    f.keys_count = 2;
    finish(&f, PROVIDER_MINT_KEY, &seen);
    assert_int_equal(seen.outcome, outcome);
    assert_int_equal(f.fetches, fetches);
    assert_int_equal(scripted_server_requests(f.server), requests);
    if (outcome != OUTCOME_OK)
        check_error(seen.error, ERROR_DENIED, "does not accept the admin key (401)");
    else
        assert_int_equal(seen.error.code, ERROR_NONE);
    secret_free(seen.secret);
    close_fixture(&f);
}

static void test_a_401_fetches_the_key_once_more(void **state)
{
    (void)state;
    const char *good = script_answer("200", "", minted), *bad = script_answer("401", "", unauthorized);
    after_401(NEW_KEY, good, OUTCOME_OK, 2, 2);
    after_401(NEW_KEY, bad, OUTCOME_UNAUTHORIZED, 2, 2);
    after_401(OLD_KEY, good, OUTCOME_UNAUTHORIZED, 2, 1); /* the same key is not worth a request */
    after_401(NULL, good, OUTCOME_UNAUTHORIZED, 2, 1);
}

/* What the old key was told, of which organisation ever, does not count for the new one. */
static void test_a_401_in_the_middle_begins_the_call_again(void **state)
{
    (void)state;
    struct script_step steps[] = {
        {script_answer("200", "", "{\"data\":[{\"id\":\"user-2\",\"name\":\"llmhook:h1:u1:openai:1\",\"created_at\":2}],"
                           "\"has_more\":true,\"last_id\":\"user-2\"}"), SCRIPT_KEEP, 0},
        {script_answer("401", "", unauthorized), SCRIPT_KEEP, 0},
        {script_answer("200", "", empty_list), SCRIPT_KEEP, 0},
    };
    struct fixture f;
    struct seen seen;
    open_fixture(&f, steps, 3);
    f.keys[1] = NEW_KEY;
    f.keys_count = 2;
    finish(&f, PROVIDER_FIND_KEYS, &seen);
    assert_int_equal(seen.outcome, OUTCOME_OK);
    assert_int_equal(seen.items_count, 0); /* half of the old list is gone */
    assert_int_equal(scripted_server_requests(f.server), 3);
    assert_non_null(strstr(scripted_server_request(f.server, 1), "?limit=100&after=user-2 "));
    assert_non_null(strstr(scripted_server_request(f.server, 2), "?limit=100 "));
    assert_non_null(strstr(scripted_server_request(f.server, 2), NEW_KEY));
    close_fixture(&f);
}

/* The key of another organisation said 404 and was replaced before the look at the project: with the right key the
 * project is there, but so is the service account, and it has to be deleted. */
static void test_a_404_counts_only_with_the_key_that_looks(void **state)
{
    (void)state;
    struct script_step steps[] = {
        {script_answer("404", "", not_found), SCRIPT_KEEP, 0},
        {script_answer("401", "", unauthorized), SCRIPT_KEEP, 0},
        {script_answer("200", "", "{\"id\":\"user-xyz\",\"deleted\":true}"), SCRIPT_KEEP, 0},
    };
    static const char first[] = "DELETE /v1/organization/projects/proj_abc/service_accounts/user-xyz ";
    static const char look[] = "GET /v1/organization/projects/proj_abc ";
    struct fixture f;
    struct seen seen;
    open_fixture(&f, steps, 3);
    f.keys[1] = NEW_KEY;
    f.keys_count = 2;
    finish(&f, PROVIDER_REVOKE_KEY, &seen);
    assert_int_equal(seen.outcome, OUTCOME_OK);
    assert_int_equal(seen.error.code, ERROR_NONE);
    assert_int_equal(scripted_server_requests(f.server), 3);
    assert_memory_equal(scripted_server_request(f.server, 0), first, sizeof first - 1);
    assert_memory_equal(scripted_server_request(f.server, 1), look, sizeof look - 1);
    assert_non_null(strstr(scripted_server_request(f.server, 1), OLD_KEY));
    assert_memory_equal(scripted_server_request(f.server, 2), first, sizeof first - 1);
    assert_non_null(strstr(scripted_server_request(f.server, 2), NEW_KEY));
    close_fixture(&f);
}

static void test_ends_without_an_answer(void **state)
{
    (void)state;
    const struct script_step cut = {NULL, SCRIPT_CLOSE, 0}, half = {"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{",
                                                                    SCRIPT_CLOSE, 0};
    static const enum provider_verb changing[] = {PROVIDER_CREATE_CONTAINER, PROVIDER_LIMIT_CONTAINER,
                                                  PROVIDER_ARCHIVE_CONTAINER, PROVIDER_MINT_KEY, PROVIDER_REVOKE_KEY};
    static const enum provider_verb reading[] = {PROVIDER_FIND_CONTAINER, PROVIDER_FIND_KEYS, PROVIDER_INVENTORY,
                                                 PROVIDER_USAGE, PROVIDER_CHECK};
    for (size_t i = 0; i < COUNT(changing); i++) {
        becomes(cut, changing[i], OUTCOME_UNKNOWN, "the request was sent, but");
        becomes(half, changing[i], OUTCOME_UNKNOWN, "the request was sent, but");
    }
    for (size_t i = 0; i < COUNT(reading); i++) {
        becomes(cut, reading[i], OUTCOME_UNREACHABLE, "the request was sent, but");
        becomes(half, reading[i], OUTCOME_UNREACHABLE, "the request was sent, but");
    }
}

/* After a 404 nothing has been changed, so that a look without an answer leaves no doubt; after a set there is one. */
static void test_looks_without_an_answer(void **state)
{
    (void)state;
    static const enum provider_verb verbs[] = {PROVIDER_MINT_KEY, PROVIDER_REVOKE_KEY, PROVIDER_FIND_KEYS,
                                               PROVIDER_LIMIT_CONTAINER, PROVIDER_LIMIT_CONTAINER};
    const struct script_step set = {script_answer("200", "", "{}"), SCRIPT_KEEP, 0};
    const struct script_step missing = {script_answer("404", "", not_found), SCRIPT_KEEP, 0};
    const struct script_step half = {"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", SCRIPT_CLOSE, 0};
    for (size_t i = 0; i < COUNT(verbs); i++) {
        const struct script_step steps[] = {set, missing, half};
        bool was_set = i == COUNT(verbs) - 1;
        struct fixture f;
        struct seen seen;
        open_fixture(&f, was_set ? steps : steps + 1, was_set ? 3 : 2);
        finish(&f, verbs[i], &seen);
        assert_int_equal(seen.outcome, was_set ? OUTCOME_UNKNOWN : OUTCOME_UNREACHABLE);
        check_error(seen.error, ERROR_LOST, "the request was sent, but");
        assert_int_equal(scripted_server_requests(f.server), was_set ? 3 : 2);
        close_fixture(&f);
    }
}

static void test_refused_connection_is_unreachable(void **state)
{
    (void)state;
    static const enum provider_verb verbs[] = {PROVIDER_MINT_KEY, PROVIDER_REVOKE_KEY, PROVIDER_FIND_KEYS};
    struct script_step step = {script_answer("200", "", minted), SCRIPT_KEEP, 0};
    for (size_t i = 0; i < 3; i++) {
        struct fixture f;
        struct seen seen;
        open_fixture(&f, &step, 1);
        scripted_server_free(f.server);
        finish(&f, verbs[i], &seen);
        assert_int_equal(seen.outcome, OUTCOME_UNREACHABLE);
        check_error(seen.error, ERROR_IO, "nothing was sent");
        f.server = scripted_server_new(&step, 1);
        close_fixture(&f);
    }
}

static void test_statuses_over_the_wire(void **state)
{
    (void)state;
    becomes((struct script_step){script_answer("500", "", ""), SCRIPT_KEEP, 0}, PROVIDER_MINT_KEY, OUTCOME_UNKNOWN, "(500)");
    becomes((struct script_step){script_answer("500", "", ""), SCRIPT_KEEP, 0},
            PROVIDER_REVOKE_KEY, OUTCOME_UNREACHABLE, "(500)");
    becomes((struct script_step){script_answer("307", "Location: http://127.0.0.1:1/\r\n", ""), SCRIPT_KEEP, 0},
            PROVIDER_MINT_KEY, OUTCOME_REFUSED, "redirect refused");
    becomes((struct script_step){script_answer("200", "", "{\"id\":\"user-1\",\"api_key\":null}"), SCRIPT_KEEP, 0},
            PROVIDER_MINT_KEY, OUTCOME_UNKNOWN, "field 'api_key' is missing");
    struct script_step step = {script_answer("429", "Retry-After: 12\r\n", ""), SCRIPT_KEEP, 0};
    struct fixture f;
    struct seen seen;
    open_fixture(&f, &step, 1);
    finish(&f, PROVIDER_MINT_KEY, &seen);
    assert_int_equal(seen.outcome, OUTCOME_THROTTLED);
    assert_int_equal(seen.retry_after_ms, 12000);
    close_fixture(&f);
}

/* A key of a form that nobody foresaw, repeated by a careless server. */
static void test_an_echoed_key_is_not_shown(void **state)
{
    (void)state;
    struct script_step step = {script_answer("403", "", "{\"error\":{\"message\":\"key odd~admin~key is barred\"}}"),
                               SCRIPT_KEEP, 0};
    struct fixture f;
    struct seen seen;
    open_fixture(&f, &step, 1);
    f.keys[0] = "odd~admin~key";
    finish(&f, PROVIDER_CHECK, &seen);
    assert_int_equal(seen.outcome, OUTCOME_REFUSED);
    check_error(seen.error, ERROR_DENIED, "the provider's answer repeats a key and is not shown");
    close_fixture(&f);
}

static void test_endless_paging_ends(void **state)
{
    (void)state;
    enum { STEPS = PROVIDER_REQUESTS_MAX + 10 };
    struct script_step *steps = calloc(STEPS, sizeof *steps);
    struct script_step turn[] = {
        {script_answer("200", "", "{\"data\":[],\"has_more\":true,\"last_id\":\"a\"}"), SCRIPT_KEEP, 0},
        {script_answer("200", "", "{\"data\":[],\"has_more\":true,\"last_id\":\"b\"}"), SCRIPT_KEEP, 0}};
    for (size_t i = 0; i < STEPS; i++)
        steps[i] = turn[i % 2];
    struct fixture f;
    struct seen seen;
    open_fixture(&f, steps, STEPS);
    finish(&f, PROVIDER_FIND_KEYS, &seen);
    assert_int_equal(seen.outcome, OUTCOME_UNREACHABLE);
    check_error(seen.error, ERROR_LIMIT, "no end after 10000 requests");
    assert_int_equal(scripted_server_requests(f.server), PROVIDER_REQUESTS_MAX);
    close_fixture(&f);
    free(steps);
}

static void wait_for_requests(const struct fixture *f, unsigned count)
{
    int64_t end = clock_monotonic_ms() + PATIENCE_MS;
    while (scripted_server_requests(f->server) < count && clock_monotonic_ms() < end)
        poll_loop_turn(f->loop, 10);
    assert_int_equal(scripted_server_requests(f->server), count);
}

static void test_free_ends_what_runs(void **state)
{
    (void)state;
    struct script_step steps[] = {{script_answer("404", "", not_found), SCRIPT_KEEP, 0}, {NULL, SCRIPT_HANG, 0}};
    struct fixture f;
    struct seen sent_mint = {.calls = 0}, sent_find = {.calls = 0}, unsent = {.calls = 0}, deferred = {.calls = 0};
    struct seen refused_mint = {.calls = 0};
    struct provider_call mint = call_for(PROVIDER_MINT_KEY), find = call_for(PROVIDER_FIND_KEYS);
    open_fixture(&f, steps, 2);
    provider_start(f.provider, &mint, on_done, &refused_mint);
    wait_for_requests(&f, 2); /* looks at the project */
    provider_start(f.provider, &mint, on_done, &sent_mint);
    provider_start(f.provider, &find, on_done, &sent_find);
    wait_for_requests(&f, 4);
    provider_start(f.provider, &mint, on_done, &unsent);
    f.keys[0] = NULL;
    provider_start(f.provider, &mint, on_done, &deferred);
    provider_free(f.provider);
    f.provider = NULL;
    assert_int_equal(sent_mint.calls, 1);
    assert_int_equal(sent_mint.outcome, OUTCOME_UNKNOWN);
    check_error(sent_mint.error, ERROR_LOST, "given up without an answer");
    assert_int_equal(refused_mint.calls, 1);
    assert_int_equal(refused_mint.outcome, OUTCOME_UNREACHABLE);
    assert_int_equal(sent_find.calls, 1);
    assert_int_equal(sent_find.outcome, OUTCOME_UNREACHABLE);
    assert_int_equal(unsent.calls, 1);
    assert_int_equal(unsent.outcome, OUTCOME_UNREACHABLE);
    check_error(unsent.error, ERROR_LOST, "given up before anything was sent");
    assert_int_equal(deferred.calls, 1);
    assert_int_equal(deferred.outcome, OUTCOME_UNAUTHORIZED);
    poll_loop_turn(f.loop, 10);
    close_fixture(&f);
}

static void test_free_from_inside_a_callback(void **state)
{
    (void)state;
    struct script_step steps[] = {{script_answer("200", "", minted), SCRIPT_KEEP, 0}, {NULL, SCRIPT_HANG, 0}};
    struct provider_call mint = call_for(PROVIDER_MINT_KEY);
    for (int deferred = 0; deferred < 2; deferred++) {
        struct fixture f;
        open_fixture(&f, steps, 2);
        struct seen first = {.to_free = &f.provider}, second = {.to_free = &f.provider};
        if (deferred)
            f.keys[0] = NULL;
        provider_start(f.provider, &mint, on_done, &first);
        provider_start(f.provider, &mint, on_done, &second);
        while (!first.done && !second.done)
            poll_loop_turn(f.loop, PATIENCE_MS);
        assert_int_equal(first.calls, 1);
        assert_int_equal(second.calls, 1); /* both before the free returned */
        assert_int_equal((first.outcome == OUTCOME_OK) + (second.outcome == OUTCOME_OK), deferred ? 0 : 1);
        secret_free(first.secret);
        secret_free(second.secret);
        close_fixture(&f);
    }
}

static void not_new(struct provider_settings settings, const char *piece)
{
    struct poll_loop *loop = poll_loop_new();
    struct error err = ERROR_INIT;
    struct http *http;
    struct provider *provider = NULL;
    assert_true(http_new(poll_loop_base(loop), &http, &err));
    assert_false(provider_new(http, &settings, fetch_key, NULL, &provider, &err));
    assert_null(provider);
    if (!strstr(err.text, piece))
        fail_msg("'%s' says nothing of '%s'", err.text, piece);
    http_free(http);
    poll_loop_free(loop);
}

static void test_settings_that_cannot_work(void **state)
{
    (void)state;
    not_new((struct provider_settings){.type = "openia"}, "'openia' is no type of provider: there is openai");
    not_new((struct provider_settings){.type = "openai", .base_url = "http://api.example.com/v1"},
            "base-url: the URL for api.example.com:80 is http: use https");
    not_new((struct provider_settings){.type = "openai", .base_url = "https://api.example.com/v1?x=1"},
            "base-url goes no further than a path");
    not_new((struct provider_settings){.type = "openai", .base_url = "api.example.com"}, "base-url: not a URL");
}

static void test_what_a_provider_says_of_itself(void **state)
{
    (void)state;
    struct script_step step = {script_answer("200", "", minted), SCRIPT_KEEP, 0};
    struct fixture f;
    struct error err = ERROR_INIT;
    open_fixture(&f, &step, 1);
    assert_string_equal(provider_environment(f.provider), "OPENAI_API_KEY");
    assert_string_equal(provider_settings(f.provider)->name, "main");
    unsigned can = provider_capabilities(f.provider);
    assert_true(can & PROVIDER_CAN_MINT && can & PROVIDER_CAN_LIMIT_CONTAINER && can & PROVIDER_CAN_ARCHIVE);
    assert_false(can & (PROVIDER_CAN_LIMIT_KEY | PROVIDER_CAN_SUSPEND | PROVIDER_CHOOSES_SECRET));
    struct provider_settings settings = settings_for(&f);
    snprintf(settings.environment, sizeof settings.environment, "MY_KEY");
    struct provider *other;
    assert_true(provider_new(f.http, &settings, fetch_key, &f, &other, &err));
    assert_string_equal(provider_environment(other), "MY_KEY");
    provider_free(other);
    close_fixture(&f);
}

/* Expects VALUE under NAME beside a key in ENVIRONMENT; nothing when VALUE is NULL. */
static void has_variable(struct fixture *f, const char *base_url, const char *guest_base_url, const char *environment,
                         const char *name, const char *value)
{
    struct provider_settings settings = settings_for(f);
    struct provider_variable variables[PROVIDER_VARIABLES_MAX];
    struct provider *provider;
    struct error err = ERROR_INIT;
    snprintf(settings.base_url, sizeof settings.base_url, "%s", base_url);
    snprintf(settings.guest_base_url, sizeof settings.guest_base_url, "%s", guest_base_url);
    assert_true(provider_new(f->http, &settings, fetch_key, f, &provider, &err));
    assert_int_equal(provider_variables(provider, environment, "", variables), value ? 1 : 0);
    if (value) {
        assert_string_equal(variables[0].name, name);
        assert_string_equal(variables[0].value, value);
        assert_true(policy_environment_valid(variables[0].name));
    }
    provider_free(provider);
}

static void test_what_a_guest_is_told_beside_the_key(void **state)
{
    (void)state;
    static const char elsewhere[] = "https://eu.example.com/v1";
    struct script_step step = {script_answer("200", "", minted), SCRIPT_KEEP, 0};
    struct fixture f;
    open_fixture(&f, &step, 1);
    has_variable(&f, "", "", "OPENAI_API_KEY", NULL, NULL);
    has_variable(&f, "https://api.openai.com/v1", "", "OPENAI_API_KEY", NULL, NULL);
    has_variable(&f, "https://api.openai.com/v1/", "", "OPENAI_API_KEY", NULL, NULL);
    has_variable(&f, elsewhere, "", "OPENAI_API_KEY", "OPENAI_BASE_URL", elsewhere);
    /* This machine's loopback is not the guest's. */
    has_variable(&f, "http://127.0.0.1:4000/v1", "", "OPENAI_API_KEY", NULL, NULL);
    has_variable(&f, "http://127.0.0.1:4000/v1", "http://10.0.0.1:4000/v1", "OPENAI_API_KEY", "OPENAI_BASE_URL",
                 "http://10.0.0.1:4000/v1");
    has_variable(&f, "", elsewhere, "OPENAI_API_KEY", "OPENAI_BASE_URL", elsewhere);
    close_fixture(&f);
}

static void test_a_key_and_its_address_are_called_alike(void **state)
{
    (void)state;
    static const char url[] = "https://eu.example.com/v1";
    static const char longest[] = "A123456789B123456789C123456789D123456789E123456789F123456789G123";
    static const char cut[] = "A123456789B123456789C123456789D123456789E123456789F1234_BASE_URL";
    struct script_step step = {script_answer("200", "", minted), SCRIPT_KEEP, 0};
    struct fixture f;
    open_fixture(&f, &step, 1);
    has_variable(&f, url, "", "WORK_API_KEY", "WORK_BASE_URL", url);
    has_variable(&f, url, "", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL", url);
    has_variable(&f, url, "", "WORK_TOKEN", "WORK_BASE_URL", url);
    has_variable(&f, url, "", "WORK_KEY", "WORK_BASE_URL", url);
    has_variable(&f, url, "", "_KEY", "_KEY_BASE_URL", url);
    has_variable(&f, url, "", "MY_MONKEY", "MY_MONKEY_BASE_URL", url);
    has_variable(&f, url, "", longest, cut, url);
    close_fixture(&f);
}

static void test_types_in_words(void **state)
{
    (void)state;
    char text[256], few[6];
    provider_types_told(text, sizeof text);
    assert_non_null(strstr(text, "openai"));
    provider_types_told(few, sizeof few);
    assert_int_equal(strlen(few), 5); /* cut, and ended */
    assert_string_equal(provider_settings_environment(&(struct provider_settings){.type = "openai"}), "OPENAI_API_KEY");
    assert_true(provider_type_capabilities("openai") & PROVIDER_CAN_CONTAIN);
    assert_string_equal(provider_settings_environment(&(struct provider_settings){.type = "openia"}), "");
    assert_int_equal(provider_type_capabilities("openia"), 0);
}

/* A copy of the host's key, with nobody asked. */
static void test_a_static_key_is_copied(void **state)
{
    (void)state;
    struct fixture f;
    struct seen seen, check;
    struct script_step step = {script_answer("200", "", empty_list), SCRIPT_KEEP, 0};
    open_fixture(&f, &step, 1);
    provider_free(f.provider);
    struct provider_settings settings = {.name = "main", .type = "static", .admin_key = "env:HOST_KEY",
                                         .environment = "HOST_KEY"};
    open_provider(&f, &settings, fetch_key);
    assert_true(provider_capabilities(f.provider) & PROVIDER_SHARED);
    finish(&f, PROVIDER_MINT_KEY, &seen);
    assert_int_equal(seen.outcome, OUTCOME_OK);
    assert_string_equal(secret_reveal(seen.secret), OLD_KEY);
    assert_memory_equal(seen.key_id, "shared-", 7);
    secret_free(seen.secret);
    finish(&f, PROVIDER_CHECK, &check);
    assert_string_equal(check.key_id, seen.key_id);
    finish(&f, PROVIDER_REVOKE_KEY, &seen);
    assert_int_equal(seen.outcome, OUTCOME_OK);
    finish(&f, PROVIDER_SUSPEND_KEY, &seen);
    assert_int_equal(seen.outcome, OUTCOME_UNSUPPORTED);
    f.keys[1] = NEW_KEY;
    f.keys_count = 2;
    finish(&f, PROVIDER_CHECK, &seen);
    assert_string_not_equal(check.key_id, seen.key_id); /* so it is noticed that the host has another */
    f.keys[f.keys_count++] = NULL;
    finish(&f, PROVIDER_MINT_KEY, &seen);
    assert_int_equal(seen.outcome, OUTCOME_UNAUTHORIZED);
    check_error(seen.error, ERROR_NOT_FOUND, "the key cannot be had: file:/x: there is no such file");
    finish(&f, PROVIDER_REVOKE_KEY, &seen); /* which needs no key */
    assert_int_equal(seen.outcome, OUTCOME_OK);
    assert_int_equal(scripted_server_connections(f.server), 0);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mint),
        cmocka_unit_test(test_a_static_key_is_copied),
        cmocka_unit_test(test_a_minted_key_stays_in_its_secret),
        cmocka_unit_test(test_pages_are_joined),
        cmocka_unit_test(test_half_a_list_is_no_list),
        cmocka_unit_test(test_what_a_key_cost_is_told_however_its_revocation_ends),
        cmocka_unit_test(test_half_a_report_is_no_report),
        cmocka_unit_test(test_a_credential_is_fetched_for_every_call),
        cmocka_unit_test(test_no_credential_sends_nothing),
        cmocka_unit_test(test_unbuildable_calls_send_nothing),
        cmocka_unit_test(test_a_401_fetches_the_key_once_more),
        cmocka_unit_test(test_a_401_in_the_middle_begins_the_call_again),
        cmocka_unit_test(test_a_404_counts_only_with_the_key_that_looks),
        cmocka_unit_test(test_ends_without_an_answer),
        cmocka_unit_test(test_looks_without_an_answer),
        cmocka_unit_test(test_refused_connection_is_unreachable),
        cmocka_unit_test(test_statuses_over_the_wire),
        cmocka_unit_test(test_an_echoed_key_is_not_shown),
        cmocka_unit_test(test_endless_paging_ends),
        cmocka_unit_test(test_free_ends_what_runs),
        cmocka_unit_test(test_free_from_inside_a_callback),
        cmocka_unit_test(test_settings_that_cannot_work),
        cmocka_unit_test(test_what_a_provider_says_of_itself),
        cmocka_unit_test(test_what_a_guest_is_told_beside_the_key),
        cmocka_unit_test(test_a_key_and_its_address_are_called_alike),
        cmocka_unit_test(test_types_in_words),
    };
    return check_run(tests);
}
