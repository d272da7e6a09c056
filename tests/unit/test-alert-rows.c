/* Alerts over time (alerts.c), by a clock that the test sets: how long the rows of those that are over are kept, and what
 * waits for what. */
#include "../ledger/fixture.h"

#include "base/clock.h"
#include "config-fixture.h"
#include "daemon/alerts.h"
#include "daemon/usage.h"
#include "poll-loop.h"
#include "scripted-server.h"

#include "providers/http.h"

#include <json-c/json.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { HOUR_MS = 3600 * 1000, DAYS_REMEMBERED = 100 };

/* As the daemon's own they end with the process, and are never freed. */
static struct engine engines[8], *engine;
static unsigned engines_count;
static int64_t hours_ahead;
static struct timespec stands_at; /* monotonic; 0: it goes on */

/* In place of the C library's: all clocks are so far ahead. */
int clock_gettime(clockid_t clock, struct timespec *ret_time)
{
    long status = syscall(SYS_clock_gettime, clock, ret_time);
    ret_time->tv_sec += hours_ahead * 3600;
    if (clock == CLOCK_MONOTONIC && stands_at.tv_sec)
        *ret_time = stands_at;
    return (int)status;
}

static void begin(struct poll_loop *loop, const char *configuration, const struct place *place)
{
    assert_true(engines_count < COUNT(engines));
    engine = &engines[engines_count++];
    *engine = (struct engine){.loop = poll_loop_base(loop), .config = parse(configuration), .ledger = open_ledger(place)};
}

/* Told to everybody, and over. */
static void save_ended(struct ledger *ledger, const char *cause, int64_t ended_at)
{
    struct alert_record record = {.kind = ALERT_STUCK, .raised_at = 1, .ended_at = ended_at};
    snprintf(record.cause, sizeof record.cause, "%s", cause);
    must(ledger_save_alert(ledger, &record, &err));
}

static bool is_kept(const char *cause)
{
    bool raised = false;
    must(ledger_alert_was_raised(engine->ledger, cause, &raised, &err));
    return raised;
}

static void test_a_daemon_that_runs_for_years_forgets(void **state)
{
    struct poll_loop *loop = poll_loop_new();
    int64_t oldest = clock_wall_ms() - INT64_C(24) * DAYS_REMEMBERED * HOUR_MS;
    begin(loop, "", *state);
    save_ended(engine->ledger, "too old", oldest - 1);
    save_ended(engine->ledger, "too old in half an hour", oldest + HOUR_MS / 2);
    save_ended(engine->ledger, "too old in two days", oldest + INT64_C(48) * HOUR_MS);
    must(alerts_prepare(engine, &err));
    assert_false(is_kept("too old"));
    assert_true(is_kept("too old in half an hour"));
    hours_ahead = 1;
    poll_loop_turn(loop, 0);
    assert_true(is_kept("too old in half an hour")); /* it is looked for once a day */
    hours_ahead = 24;
    poll_loop_turn(loop, 0);
    assert_false(is_kept("too old in half an hour"));
    assert_true(is_kept("too old in two days"));
    hours_ahead = 49;
    poll_loop_turn(loop, 0);
    assert_false(is_kept("too old in two days"));
    ledger_close(engine->ledger);
}

static bool waits(const char *cause)
{
    struct json_object *all = alerts_all(engine);
    bool any = false;
    for (size_t i = 0; i < json_object_array_length(all); i++) {
        struct json_object *alert = json_object_array_get_idx(all, i);
        any = any || (strcmp(json_object_get_string(json_object_object_get(alert, "text")), cause) == 0 &&
                      json_object_array_length(json_object_object_get(alert, "waiting")) > 0);
    }
    json_object_put(all);
    return any;
}

static void raise_alert(const char *text)
{
    alerts_raise(engine, &(struct alert_condition){.kind = ALERT_CAP, .cause = text, .text = text});
}

#define until(loop, condition)                                          \
    do {                                                                \
        int64_t end = clock_monotonic_ms() + 60000;                     \
        while (!(condition)) {                                          \
            poll_loop_turn(loop, 100);                                  \
            if (clock_monotonic_ms() > end)                             \
                fail_msg("still not after a minute: %s", #condition);   \
        }                                                               \
    } while (0)

static void test_one_that_is_refused_lets_the_others_by(void **state)
{
    static const struct script_step steps[] = {
        {SCRIPT_ANSWER("400", "", "0", ""), SCRIPT_CLOSE, 0}, /* for what it holds, not for when it came */
        {SCRIPT_ANSWER("204", "", "0", ""), SCRIPT_CLOSE, 0},
    };
    struct poll_loop *loop = poll_loop_new();
    struct scripted_server *server = scripted_server_new(steps, COUNT(steps));
    char text[128];
    snprintf(text, sizeof text, "[alerts]\nwebhook = http://127.0.0.1:%u/\n", scripted_server_port(server));
    begin(loop, text, *state);
    must(alerts_prepare(engine, &err));
    raise_alert("refused");
    raise_alert("taken");
    until(loop, scripted_server_requests(server) >= 1);
    assert_non_null(strstr(scripted_server_request(server, 0), "refused"));
    until(loop, scripted_server_requests(server) >= 2);
    assert_non_null(strstr(scripted_server_request(server, 1), "taken"));
    until(loop, !waits("taken"));
    until(loop, !waits("refused")); /* it has its turn again */
    assert_non_null(strstr(scripted_server_request(server, 2), "refused"));
    ledger_close(engine->ledger);
    scripted_server_free(server);
}

/* Where the webhook failed, and has been put right meanwhile, nobody waits for the time at which it was to be tried again: as
 * the clock stands still, that never comes. */
static void test_a_reload_tries_at_once(void **state)
{
    static const struct script_step refuses[] = {{SCRIPT_ANSWER("400", "", "0", ""), SCRIPT_CLOSE, 0}};
    static const struct script_step takes[] = {{SCRIPT_ANSWER("204", "", "0", ""), SCRIPT_CLOSE, 0}};
    struct poll_loop *loop = poll_loop_new();
    struct scripted_server *wrong = scripted_server_new(refuses, 1), *right = scripted_server_new(takes, 1);
    char text[128];
    snprintf(text, sizeof text, "[alerts]\nwebhook = http://127.0.0.1:%u/\n", scripted_server_port(wrong));
    begin(loop, text, *state);
    must(alerts_prepare(engine, &err));
    clock_gettime(CLOCK_MONOTONIC, &stands_at);
    raise_alert("waits");
    for (int i = 0; i < 300 && !scripted_server_requests(wrong); i++)
        poll_loop_turn(loop, 100);
    for (int i = 0; i < 5; i++) /* its answer is read */
        poll_loop_turn(loop, 100);
    assert_int_equal(scripted_server_requests(wrong), 1);
    assert_true(waits("waits"));
    snprintf(text, sizeof text, "[alerts]\nwebhook = http://127.0.0.1:%u/\n", scripted_server_port(right));
    config_free(engine->config);
    engine->config = parse(text);
    alerts_reload(engine);
    for (int i = 0; i < 300 && waits("waits"); i++)
        poll_loop_turn(loop, 100);
    stands_at.tv_sec = 0;
    assert_false(waits("waits"));
    assert_int_equal(scripted_server_requests(right), 1);
    ledger_close(engine->ledger);
    scripted_server_free(wrong);
    scripted_server_free(right);
}

/* So many alerts of KIND, not over yet. */
static unsigned count_alerts(const char *kind)
{
    struct json_object *all = alerts_all(engine);
    unsigned count = 0;
    for (size_t i = 0; i < json_object_array_length(all); i++) {
        struct json_object *alert = json_object_array_get_idx(all, i);
        count += strcmp(json_object_get_string(json_object_object_get(alert, "kind")), kind) == 0 &&
                 !json_object_object_get_ex(alert, "ended_at", NULL);
    }
    json_object_put(all);
    return count;
}

static void test_usage_that_cannot_be_read_is_told(void **state)
{
    struct poll_loop *loop = poll_loop_new();
    begin(loop, "[daemon]\nusage-interval = 10min\n[provider openai]\nadmin-key = env:NOBODYS\n", *state);
    must(http_new(engine->loop, &engine->http, &err));
    must(requests_open_providers(engine, &err));
    must(usage_prepare(engine, &err));
    must(alerts_prepare(engine, &err));
    struct usage_provider *reports = usage_state(engine, "openai");
    *reports = (struct usage_provider){.name = "openai", .next_at = INT64_MAX, .problem = "OpenAI refused"};
    hours_ahead++;
    poll_loop_turn(loop, 0);
    assert_int_equal(count_alerts("usage-unread"), 0);
    reports->failures = 3;
    hours_ahead++;
    poll_loop_turn(loop, 0);
    assert_int_equal(count_alerts("usage-unread"), 1);
    reports->failures = 0; /* a report has come */
    hours_ahead++;
    poll_loop_turn(loop, 0);
    assert_int_equal(count_alerts("usage-unread"), 0);
    ledger_close(engine->ledger);
}

/* A federation has another token for what it administrates: nothing is set up without it. */
static void test_an_admin_token_that_has_ended_is_told(void **state)
{
    struct poll_loop *loop = poll_loop_new();
    begin(loop, "[provider openai]\nadmin-key = env:NOBODYS\n", *state);
    must(http_new(engine->loop, &engine->http, &err));
    must(requests_open_providers(engine, &err));
    must(alerts_prepare(engine, &err));
    engine->providers->admin_gate.failures = 1;
    engine->providers->admin_gate.why = OUTCOME_UNREACHABLE;
    hours_ahead++;
    poll_loop_turn(loop, 0);
    assert_int_equal(count_alerts("admin-key"), 0);
    engine->providers->admin_gate.why = OUTCOME_UNAUTHORIZED;
    hours_ahead++;
    poll_loop_turn(loop, 0);
    assert_int_equal(count_alerts("admin-key"), 1);
    ledger_close(engine->ledger);
}

/* The cause is kept without what a terminal must not see, and found again by it. */
static void test_a_cause_with_a_hidden_character_is_one_alert(void **state)
{
    struct poll_loop *loop = poll_loop_new();
    begin(loop, "", *state);
    must(alerts_prepare(engine, &err));
    static const char cause[] = "drift \xe2\x80\xae key";
    alerts_raise(engine, &(struct alert_condition){.kind = ALERT_DRIFT, .cause = cause, .text = "t"});
    alerts_raise(engine, &(struct alert_condition){.kind = ALERT_DRIFT, .cause = cause, .text = "t"});
    assert_int_equal(count_alerts("drift"), 1);
    alerts_clear(engine, ALERT_DRIFT, cause);
    assert_int_equal(count_alerts("drift"), 0);
    ledger_close(engine->ledger);
}

/* What is to be suspended and is not works on, as what is to be revoked does. */
static void test_a_suspension_that_fails_is_told(void **state)
{
    struct poll_loop *loop = poll_loop_new();
    static struct vm_key key = {.record = {.name = "k1", .last_error = "refused"}};
    static struct vm_key *keys[] = {&key};
    static struct vm_grant grant = {.keys = keys, .keys_count = 1, .record = {.provider = "gateway"}};
    static struct vm_grant *grants[] = {&grant};
    static struct vm vm = {.grants = grants, .grants_count = 1};
    static struct vm *vms[] = {&vm};
    static const struct {
        enum key_state state;
        int64_t suspended_at, attempts;
        unsigned alerts;
    } cases[] = {
        {KEY_SUSPENDED, 0, ALERT_ATTEMPTS - 1, 0},
        {KEY_SUSPENDED, 1, ALERT_ATTEMPTS, 0}, /* it is: what fails is something else */
        {KEY_ACTIVE, 0, ALERT_ATTEMPTS, 0},
        {KEY_SUSPENDED, 0, ALERT_ATTEMPTS, 1},
        {KEY_REVOKING, 0, ALERT_ATTEMPTS, 1},
    };
    begin(loop, "", *state);
    engine->vms = vms;
    engine->vms_count = 1;
    must(alerts_prepare(engine, &err));
    for (size_t i = 0; i < COUNT(cases); i++) {
        key.record.state = cases[i].state;
        key.record.suspended_at = cases[i].suspended_at;
        key.record.attempts = cases[i].attempts;
        hours_ahead++;
        poll_loop_turn(loop, 0);
        assert_int_equal(count_alerts("stuck"), cases[i].alerts);
    }
    ledger_close(engine->ledger);
}

int main(void)
{
    must(secret_init(&err));
    must(http_prepare(&err));
    const struct CMUnitTest tests[] = {
        case_of(test_a_daemon_that_runs_for_years_forgets),
        case_of(test_one_that_is_refused_lets_the_others_by),
        case_of(test_usage_that_cannot_be_read_is_told),
        case_of(test_a_suspension_that_fails_is_told),
        case_of(test_a_reload_tries_at_once),
        case_of(test_an_admin_token_that_has_ended_is_told),
        case_of(test_a_cause_with_a_hidden_character_is_one_alert),
    };
    return check_run(tests);
}
