/* Backoff and the provider's gate. */
#include "check.h"

#include "lifecycle/schedule.h"

#include <stdio.h>

static void backoff_doubles_to_its_cap(void **state)
{
    (void)state;
    for (int64_t failures = 1; failures < 80; failures++) {
        int64_t full = failures < 6 ? INT64_C(100) << (failures - 1) : 3000;
        for (uint64_t seed = 0; seed < 200; seed++) {
            int64_t delay = schedule_backoff(failures, 100, 3000, seed);
            if (delay > full || delay < full - full / 4)
                fail_msg("failures %d seed %d: %d ms, wanted %d to %d", (int)failures, (int)seed, (int)delay,
                         (int)(full - full / 4), (int)full);
        }
    }
}

static void backoff_never_is_zero(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 100; seed++)
        assert_true(schedule_backoff(1, 1, 1, seed) >= 1);
}

static void backoff_spreads_its_seeds(void **state)
{
    int seen[26] = {0};
    (void)state;
    for (uint64_t seed = 0; seed < 2000; seed++)
        seen[100 - schedule_backoff(1, 100, 100, seed)]++;
    for (int i = 0; i <= 25; i++)
        if (!seen[i])
            fail_msg("no seed of 2000 gave %d ms", 100 - i);
}

static void what_is_awaited_is_looked_at_ever_more_rarely(void **state)
{
    int64_t looked_at = 3000; /* for something else, before */
    (void)state;
    for (int64_t wait = 10000; wait < 10000 * 1000; wait *= 2) {
        int64_t next = schedule_look_again(5000, looked_at, 10000);
        assert_int_equal(next, 5000 + wait);
        looked_at = next;
    }
    assert_int_equal(schedule_look_again(5000, 5000, 10000), 15000);
    assert_int_equal(schedule_look_again(5000, 12000, 10000), 22000); /* one that came early */
}

static void gate_is_open_at_first(void **state)
{
    struct gate gate = {0};
    (void)state;
    assert_true(gate_ready(&gate, 0));
    gate_begin(&gate);
    assert_true(gate_ready(&gate, 0)); /* thousands may be under way */
    assert_false(gate_end(&gate, OUTCOME_OK, -1, 0, 10, 1));
}

static void gate_closes_lets_one_probe_through_and_opens(void **state)
{
    struct gate gate = {0};
    (void)state;
    assert_false(gate_end(&gate, OUTCOME_UNREACHABLE, -1, 0, 1000, 7));
    assert_int_equal(gate.why, OUTCOME_UNREACHABLE);
    assert_false(gate_ready(&gate, 1000));
    assert_false(gate_ready(&gate, gate.closed_until - 1));
    assert_true(gate_ready(&gate, gate.closed_until));
    gate_begin(&gate);
    assert_false(gate_ready(&gate, gate.closed_until + 1000000)); /* the probe is out */
    assert_true(gate_end(&gate, OUTCOME_OK, -1, 2000, 2100, 7));
    assert_int_equal(gate.failures, 0);
    assert_int_equal(gate.why, OUTCOME_OK);
    assert_true(gate_ready(&gate, 2100));
}

static void gate_counts_calls_that_failed_together_once(void **state)
{
    struct gate gate = {0};
    (void)state;
    for (int i = 0; i < 50; i++)
        gate_end(&gate, OUTCOME_UNREACHABLE, -1, 500, 1000 + i, 7);
    assert_int_equal(gate.failures, 1);
    assert_int_equal(gate.closed_at, 1000);
}

static void gate_of_an_outage_never_stays_closed_over_three_seconds(void **state)
{
    struct gate gate = {0};
    int64_t now = 1000;
    (void)state;
    for (int i = 0; i < 100; i++) {
        gate_begin(&gate);
        gate_end(&gate, i % 2 ? OUTCOME_UNKNOWN : OUTCOME_UNREACHABLE, -1, now, now, 3);
        assert_true(gate.closed_until - now <= 3000);
        now = gate.closed_until;
    }
    assert_int_equal(gate.failures, 100);
}

static void gate_honours_retry_after(void **state)
{
    struct gate gate = {0};
    (void)state;
    gate_end(&gate, OUTCOME_THROTTLED, 7000, 0, 1000, 3);
    assert_int_equal(gate.closed_until, 8000);
    gate_end(&gate, OUTCOME_THROTTLED, INT64_C(86400000), 9000, 9000, 3);
    assert_int_equal(gate.closed_until, 9000 + 3600000); /* an hour at most */
    /* Who asks for no time at all is not asked again at once. */
    gate_end(&gate, OUTCOME_THROTTLED, 0, 3700000, 3700000, 3);
    assert_in_range(gate.closed_until, 3700000 + 750, 3700000 + 1000);
    gate_end(&gate, OUTCOME_THROTTLED, 800, 3800000, 3800000, 3);
    assert_in_range(gate.closed_until, 3800000 + 1500, 3800000 + 2000);
}

/* What may have been done is not asked for again any sooner. */
static void gate_honours_retry_after_in_doubt(void **state)
{
    struct gate gate = {0};
    (void)state;
    gate_end(&gate, OUTCOME_UNKNOWN, 7000, 0, 1000, 3);
    assert_int_equal(gate.closed_until, 8000);
    gate_end(&gate, OUTCOME_UNKNOWN, INT64_C(86400000), 9000, 9000, 3);
    assert_int_equal(gate.closed_until, 9000 + 3600000);
    gate_end(&gate, OUTCOME_UNKNOWN, 0, 3700000, 3700000, 3); /* an outage without an end has no rest, were that believed */
    assert_in_range(gate.closed_until, 3700750, 3701000);
}

static void gate_waits_by_itself_when_not_told(void **state)
{
    struct gate gate = {0};
    (void)state;
    gate_end(&gate, OUTCOME_THROTTLED, -1, 0, 1000, 3);
    assert_in_range(gate.closed_until, 1750, 2000);
    gate_end(&gate, OUTCOME_UNAUTHORIZED, -1, 5000, 5000, 3);
    assert_in_range(gate.closed_until, 6500, 7000);
    assert_int_equal(gate.why, OUTCOME_UNAUTHORIZED);
}

static void gate_does_not_care_for_a_refusal(void **state)
{
    static const enum outcome its_own[] = {OUTCOME_REFUSED, OUTCOME_GONE, OUTCOME_UNSUPPORTED};
    (void)state;
    for (size_t i = 0; i < sizeof its_own / sizeof its_own[0]; i++) {
        struct gate gate = {0};
        gate_end(&gate, its_own[i], -1, 0, 1000, 3);
        assert_true(gate_ready(&gate, 1000));
        /* The provider answered, so it is there. */
        gate_end(&gate, OUTCOME_UNREACHABLE, -1, 2000, 2000, 3);
        assert_true(gate_end(&gate, its_own[i], -1, 3000, 3100, 3));
    }
}

static void earlier_is_the_smaller(void **state)
{
    (void)state;
    assert_int_equal(schedule_earlier(1, 2), 1);
    assert_int_equal(schedule_earlier(SCHEDULE_NEVER, 2), 2);
}

static void allowance_is_a_burst_and_then_a_rate(void **state)
{
    int64_t spent = 0;
    unsigned allowed = 0;
    (void)state;
    for (int i = 0; i < 1000; i++)
        allowed += schedule_allow(&spent, 5000, 100, 4);
    assert_int_equal(allowed, 4);
    assert_false(schedule_allow(&spent, 5099, 100, 4));
    assert_true(schedule_allow(&spent, 5100, 100, 4));
    assert_false(schedule_allow(&spent, 5100, 100, 4));
    for (int64_t now = allowed = 0; now < 10000; now++)
        allowed += schedule_allow(&spent, 5200 + now, 100, 4);
    assert_int_equal(allowed, 100);
    /* What was not used is there again, and no more than that. */
    for (int i = allowed = 0; i < 1000; i++)
        allowed += schedule_allow(&spent, 1000000, 100, 4);
    assert_int_equal(allowed, 4);
}

static void what_there_was_no_room_for_is_said_later(void **state)
{
    char told[8] = "";
    int64_t spent = 0;
    (void)state;
    assert_true(schedule_is_news(told, sizeof told, "full", &spent, 1000, 100, 2));
    assert_false(schedule_is_news(told, sizeof told, "full", &spent, 1000, 100, 2));
    assert_true(schedule_is_news(told, sizeof told, "read-only", &spent, 1000, 100, 2));
    assert_string_equal(told, "read-on");
    assert_false(schedule_is_news(told, sizeof told, "corrupt", &spent, 1001, 100, 2));
    assert_string_equal(told, "read-on");
    assert_false(schedule_is_news(told, sizeof told, "read-only", &spent, 2000, 100, 2));
    assert_true(schedule_is_news(told, sizeof told, "corrupt", &spent, 2000, 100, 2));
    assert_false(schedule_is_news(told, sizeof told, "corrupt", &spent, 9000, 100, 2));
    assert_true(schedule_is_news(told, sizeof told, "full", &spent, 9000, 100, 2));
}

static void within_a_window_all_of_it_is_used(void **state)
{
    (void)state;
    int64_t sum = 0;
    for (uint64_t seed = 0; seed < 1000; seed++) {
        int64_t at = schedule_within(600000, seed);
        assert_in_range(at, 0, 600000);
        sum += at;
    }
    assert_in_range(sum / 1000, 280000, 320000);
    assert_int_equal(schedule_within(0, 7), 0);
}

/* A thousand keys are to be minted at once, as `llmhook rotate --all --now` has it, at a provider that takes sixty a minute
 * and says 429 and when to come back to all others. Nothing is asked before that time, but for what was on its way, and
 * everybody gets his key as soon as the provider's patience allows. The clock goes in steps of 100 ms, an answer takes
 * 200, and 64 calls are under way at a time (HTTP_HOST_CONNECTIONS_MAX). */
static void a_thousand_at_once_and_a_provider_that_throttles(void **state)
{
    enum { CALLS = 1000, A_MINUTE = 60, STEP = 100, TAKES = 200, AT_ONCE = 64, MINUTE_MS = 60000 };
    static struct {
        int64_t started_at; /* -1: it is not under way */
        bool done;
    } calls[CALLS];
    struct gate gate = {0};
    int64_t not_before = 0, last_done = 0;
    int taken = 0, under_way = 0, done = 0, asked = 0, refused = 0;
    (void)state;
    for (int i = 0; i < CALLS; i++)
        calls[i].started_at = -1;
    for (int64_t now = 0; done < CALLS; now += STEP) {
        if (now % MINUTE_MS == 0)
            taken = 0;
        for (int i = 0; i < CALLS; i++) {
            if (calls[i].started_at < 0 || now < calls[i].started_at + TAKES)
                continue;
            bool takes = taken < A_MINUTE;
            int64_t wait = MINUTE_MS - now % MINUTE_MS;
            gate_end(&gate, takes ? OUTCOME_OK : OUTCOME_THROTTLED, takes ? -1 : wait, calls[i].started_at, now, 1);
            taken += takes;
            refused += !takes;
            calls[i].done = takes;
            calls[i].started_at = -1;
            under_way--;
            done += takes;
            last_done = takes ? now : last_done;
            not_before = takes ? not_before : now + wait;
        }
        for (int i = 0; i < CALLS && under_way < AT_ONCE; i++) {
            if (calls[i].done || calls[i].started_at >= 0 || !gate_ready(&gate, now))
                continue;
            if (now < not_before)
                fail_msg("asked %d ms before the time that the provider named", (int)(not_before - now));
            gate_begin(&gate);
            calls[i].started_at = now;
            under_way++;
            asked++;
        }
        assert_true(now < 60 * MINUTE_MS);
    }
    printf("# 1000 keys at 60 a minute: the last after %d s, %d requests, %d of them refused\n", (int)(last_done / 1000), asked,
           refused);
    assert_in_range(last_done, 16 * MINUTE_MS, 17 * MINUTE_MS); /* not a minute was wasted */
    assert_in_range(refused, 1, 17 * AT_ONCE);                  /* none but those that were on their way */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backoff_doubles_to_its_cap),
        cmocka_unit_test(backoff_never_is_zero),
        cmocka_unit_test(backoff_spreads_its_seeds),
        cmocka_unit_test(what_is_awaited_is_looked_at_ever_more_rarely),
        cmocka_unit_test(gate_is_open_at_first),
        cmocka_unit_test(gate_closes_lets_one_probe_through_and_opens),
        cmocka_unit_test(gate_counts_calls_that_failed_together_once),
        cmocka_unit_test(gate_of_an_outage_never_stays_closed_over_three_seconds),
        cmocka_unit_test(gate_honours_retry_after),
        cmocka_unit_test(gate_honours_retry_after_in_doubt),
        cmocka_unit_test(gate_waits_by_itself_when_not_told),
        cmocka_unit_test(gate_does_not_care_for_a_refusal),
        cmocka_unit_test(what_there_was_no_room_for_is_said_later),
        cmocka_unit_test(within_a_window_all_of_it_is_used),
        cmocka_unit_test(earlier_is_the_smaller),
        cmocka_unit_test(a_thousand_at_once_and_a_provider_that_throttles),
        cmocka_unit_test(allowance_is_a_burst_and_then_a_rate),
    };
    return check_run(tests);
}
