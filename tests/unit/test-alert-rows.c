/* How long the rows of alerts that are over are kept (alerts.c), by a clock that the test sets. */
#include "../ledger/fixture.h"

#include "base/clock.h"
#include "config-fixture.h"
#include "daemon/alerts.h"
#include "poll-loop.h"

#include <sys/syscall.h>
#include <unistd.h>

enum { HOUR_MS = 3600 * 1000, DAYS_REMEMBERED = 100 };

static struct engine engine; /* as the daemon's own it ends with the process, and is never freed */
static int64_t hours_ahead;

/* In place of the C library's: all clocks are so far ahead. */
int clock_gettime(clockid_t clock, struct timespec *ret_time)
{
    long status = syscall(SYS_clock_gettime, clock, ret_time);
    ret_time->tv_sec += hours_ahead * 3600;
    return (int)status;
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
    must(ledger_alert_was_raised(engine.ledger, cause, &raised, &err));
    return raised;
}

static void test_a_daemon_that_runs_for_years_forgets(void **state)
{
    struct poll_loop *loop = poll_loop_new();
    int64_t oldest = clock_wall_ms() - INT64_C(24) * DAYS_REMEMBERED * HOUR_MS;
    engine = (struct engine){.loop = poll_loop_base(loop), .config = parse(""), .ledger = open_ledger(*state)};
    save_ended(engine.ledger, "too old", oldest - 1);
    save_ended(engine.ledger, "too old in half an hour", oldest + HOUR_MS / 2);
    save_ended(engine.ledger, "too old in two days", oldest + INT64_C(48) * HOUR_MS);
    must(alerts_prepare(&engine, &err));
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
    ledger_close(engine.ledger);
}

int main(void)
{
    must(secret_init(&err));
    const struct CMUnitTest tests[] = {
        case_of(test_a_daemon_that_runs_for_years_forgets),
    };
    return check_run(tests);
}
