/* provider.c where something blocks: a credential that takes its time is fetched in a thread, once for all that wait. */
#include "provider-fixture.h"

#include <pthread.h>

static const char list[] = "HTTP/1.1 200 OK\r\nContent-Length: 28\r\n\r\n{\"data\":[],\"has_more\":false}";
static const char unauthorized[] = "HTTP/1.1 401 No\r\nContent-Length: 30\r\n\r\n{\"error\":{\"message\":\"no key\"}}\n";

static pthread_t loops_thread;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER; /* held: fetching hangs */
static atomic_uint fetches_in_loop;

static bool fetch_key(void *context, const struct provider_settings *settings, struct secret **ret_secret, struct error *err)
{
    struct fixture *f = context;
    (void)settings;
    const char *key = next_key(f);
    fetches_in_loop += pthread_equal(pthread_self(), loops_thread) != 0;
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    if (!key)
        return error_set(err, ERROR_BUSY, "vault:a/b#c: Vault is sealed");
    *ret_secret = secret_new(key, strlen(key));
    return true;
}

static void open_fixture(struct fixture *f, const struct script_step *steps, size_t count)
{
    loops_thread = pthread_self();
    fetches_in_loop = 0;
    open_server(f, steps, count);
    struct provider_settings settings = {.name = "main", .type = "openai", .admin_key = "vault:a/b#c",
                                         .admin_key_blocks = true, .project = "per-domain", .timeout_ms = PATIENCE_MS};
    snprintf(settings.base_url, sizeof settings.base_url, "http://127.0.0.1:%u/v1", scripted_server_port(f->server));
    open_provider(f, &settings, fetch_key);
}

struct seen {
    bool done;
    enum outcome outcome;
    struct error error;
};

static void on_done(void *context, struct provider_result *result)
{
    *(struct seen *)context = (struct seen){true, result->outcome, result->error};
}

static void start(struct fixture *f, struct seen *seen)
{
    struct provider_call call = {.verb = PROVIDER_FIND_KEYS, .container_id = "proj_abc", .key_name = "n"};
    *seen = (struct seen){.done = false};
    provider_start(f->provider, &call, on_done, seen);
    assert_false(seen->done);
}

static void finish(struct fixture *f, struct seen *seen)
{
    assert_true(poll_loop_until(f->loop, &seen->done, PATIENCE_MS));
}

static void test_the_loop_goes_on_and_all_share_one_fetch(void **state)
{
    (void)state;
    const struct script_step step = {list, SCRIPT_KEEP, 0};
    struct fixture f;
    struct seen seen[5];
    open_fixture(&f, &step, 1);
    pthread_mutex_lock(&gate);
    for (unsigned i = 0; i < 4; i++)
        start(&f, &seen[i]);
    while (f.fetches == 0)
        poll_loop_turn(f.loop, 10);
    assert_int_equal(scripted_server_connections(f.server), 0);
    pthread_mutex_unlock(&gate);
    for (unsigned i = 0; i < 4; i++) {
        finish(&f, &seen[i]);
        assert_int_equal(seen[i].outcome, OUTCOME_OK);
    }
    start(&f, &seen[4]); /* soon after: what was fetched is kept */
    finish(&f, &seen[4]);
    assert_int_equal(f.fetches, 1);
    assert_int_equal(fetches_in_loop, 0);
    for (unsigned i = 0; i < 5; i++)
        assert_non_null(strstr(scripted_server_request(f.server, i), OLD_KEY));
    close_fixture(&f);
}

static void test_a_401_ends_what_is_kept(void **state)
{
    (void)state;
    const struct script_step steps[] = {{list, SCRIPT_KEEP, 0}, {unauthorized, SCRIPT_KEEP, 0}, {list, SCRIPT_KEEP, 0}};
    struct fixture f;
    struct seen seen;
    open_fixture(&f, steps, 3);
    f.keys[1] = NEW_KEY;
    f.keys_count = 2;
    start(&f, &seen);
    finish(&f, &seen);
    start(&f, &seen);
    finish(&f, &seen);
    assert_int_equal(seen.outcome, OUTCOME_OK);
    assert_int_equal(f.fetches, 2);
    assert_non_null(strstr(scripted_server_request(f.server, 1), OLD_KEY));
    assert_non_null(strstr(scripted_server_request(f.server, 2), NEW_KEY));
    start(&f, &seen); /* the new one is kept now */
    finish(&f, &seen);
    assert_int_equal(f.fetches, 2);
    close_fixture(&f);
}

static void test_the_same_key_again_is_a_401(void **state)
{
    (void)state;
    const struct script_step step = {unauthorized, SCRIPT_KEEP, 0};
    struct fixture f;
    struct seen seen;
    open_fixture(&f, &step, 1);
    start(&f, &seen);
    finish(&f, &seen);
    assert_int_equal(seen.outcome, OUTCOME_UNAUTHORIZED);
    check_error(seen.error, ERROR_DENIED, "does not accept the admin key (401)");
    assert_int_equal(f.fetches, 2);
    assert_int_equal(scripted_server_requests(f.server), 1);
    close_fixture(&f);
}

static void test_a_failure_is_everybodys_and_not_kept(void **state)
{
    (void)state;
    const struct script_step step = {list, SCRIPT_KEEP, 0};
    struct fixture f;
    struct seen one, other;
    open_fixture(&f, &step, 1);
    f.keys[0] = NULL;
    start(&f, &one);
    start(&f, &other);
    finish(&f, &one);
    finish(&f, &other);
    assert_int_equal(one.outcome, OUTCOME_UNAUTHORIZED);
    check_error(one.error, ERROR_BUSY, "the admin key cannot be had: vault:a/b#c: Vault is sealed");
    check_error(other.error, ERROR_BUSY, "Vault is sealed");
    assert_int_equal(scripted_server_connections(f.server), 0);
    f.keys[0] = OLD_KEY;
    start(&f, &one);
    finish(&f, &one);
    assert_int_equal(one.outcome, OUTCOME_OK);
    close_fixture(&f);
}

/* Closing waits for the fetch, and nothing is sent any more. */
static void test_closing_during_a_fetch(void **state)
{
    (void)state;
    const struct script_step step = {list, SCRIPT_KEEP, 0};
    struct fixture f;
    struct seen seen;
    open_fixture(&f, &step, 1);
    pthread_mutex_lock(&gate);
    start(&f, &seen);
    while (f.fetches == 0)
        poll_loop_turn(f.loop, 10);
    pthread_mutex_unlock(&gate);
    provider_free(f.provider);
    f.provider = NULL;
    assert_true(seen.done);
    assert_int_equal(seen.outcome, OUTCOME_UNREACHABLE);
    check_error(seen.error, ERROR_BUSY, "not sent, the provider is being closed");
    assert_int_equal(scripted_server_connections(f.server), 0);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_loop_goes_on_and_all_share_one_fetch),
        cmocka_unit_test(test_a_401_ends_what_is_kept),
        cmocka_unit_test(test_the_same_key_again_is_a_401),
        cmocka_unit_test(test_a_failure_is_everybodys_and_not_kept),
        cmocka_unit_test(test_closing_during_a_fetch),
    };
    return check_run(tests);
}
