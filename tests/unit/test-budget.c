/* budget.c: days, months, what counts of them, and how far it can go too far. */
#include "check.h"

#include "lifecycle/budget.h"

#include <stdio.h>
#include <string.h>

#define DAY INT64_C(86400000)
#define HOUR INT64_C(3600000)
#define DOLLAR INT64_C(1000000)
enum { FEBRUARY = 19754, MARCH = 19783 }; /* 2024: 02-01 and 03-01 */

static void test_sums_stay_in_bounds(void **state)
{
    (void)state;
    assert_int_equal(budget_add(1, 2), 3);
    assert_int_equal(budget_add(-5, 2), 2);
    assert_int_equal(budget_add(INT64_MAX, INT64_MAX), BUDGET_MOST);
    assert_int_equal(budget_add(BUDGET_MOST, 1), BUDGET_MOST);
}

/* Each day from 1970 to 2400 against a calendar that is counted by hand. */
static void test_months(void **state)
{
    (void)state;
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t first = 0;
    for (int year = 1970; year <= 2400; year++)
        for (int month = 0; month < 12; month++) {
            bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
            int64_t next = first + lengths[month] + (month == 1 && leap);
            for (int64_t day = first; day < next; day++) {
                assert_int_equal(budget_month(day), first);
                assert_int_equal(budget_next_month(day), next);
            }
            first = next;
        }
    assert_int_equal(budget_month(FEBRUARY + 28), FEBRUARY); /* the leap day */
    assert_int_equal(budget_day(0), 0);
    assert_int_equal(budget_day(-1), 0);
    assert_int_equal(budget_day(DAY - 1), 0);
    assert_int_equal(budget_day(DAY), 1);
}

static void test_the_months_clock(void **state)
{
    (void)state;
    struct budget_clock clock = {0, -1};
    assert_int_equal(budget_clock_month(&clock, MARCH * DAY - 1, 0), FEBRUARY);
    assert_int_equal(budget_clock_month(&clock, MARCH * DAY, 1), MARCH); /* forwards at once */
    /* Put back a day for a while, and right again: it was March all the time. */
    assert_int_equal(budget_clock_month(&clock, MARCH * DAY - 1, 1000), MARCH);
    assert_int_equal(budget_clock_month(&clock, MARCH * DAY - 1, 1000 + BUDGET_BACK_MS - 1), MARCH);
    assert_int_equal(budget_clock_month(&clock, MARCH * DAY, 1000 + BUDGET_BACK_MS), MARCH);
    /* For good: it is believed when the hour is over, and the hour begins anew each time. */
    assert_int_equal(budget_clock_month(&clock, MARCH * DAY - 1, 9 * HOUR), MARCH);
    assert_int_equal(budget_clock_month(&clock, MARCH * DAY - 1, 10 * HOUR), FEBRUARY);
    assert_int_equal(budget_clock_month(&clock, MARCH * DAY - 1, 10 * HOUR + 1), FEBRUARY);
}

static struct budget february(void)
{
    struct budget budget = {.month = 0};
    budget_enter(&budget, FEBRUARY);
    return budget;
}

static void test_a_bill_replaces_the_estimate_of_its_day(void **state)
{
    (void)state;
    struct budget budget = february();
    int64_t lag = 24 * HOUR, during = (FEBRUARY + 3) * DAY + HOUR, settled = (FEBRUARY + 4) * DAY + lag;
    budget_estimate(&budget, FEBRUARY + 3, 5 * DOLLAR);
    assert_int_equal(budget_spent(&budget, during, lag), 5 * DOLLAR);
    budget_bill(&budget, FEBRUARY + 3, 2 * DOLLAR); /* as far as it has come */
    assert_int_equal(budget_spent(&budget, during, lag), 5 * DOLLAR);
    assert_int_equal(budget_spent(&budget, settled - 1, lag), 5 * DOLLAR);
    budget_bill(&budget, FEBRUARY + 3, 6 * DOLLAR); /* what no token tells of */
    assert_int_equal(budget_spent(&budget, during, lag), 6 * DOLLAR);
    budget_bill(&budget, FEBRUARY + 3, 4 * DOLLAR); /* and its revision */
    assert_int_equal(budget_spent(&budget, settled, lag), 4 * DOLLAR);
    assert_int_equal(budget_estimated(&budget), 5 * DOLLAR);
    assert_int_equal(budget_billed(&budget), 4 * DOLLAR);
    /* A day that is billed with nothing was free; one without a bill is not believed to be. */
    budget_estimate(&budget, FEBRUARY + 4, 7 * DOLLAR);
    assert_int_equal(budget_spent_on(&budget, FEBRUARY + 4, MARCH * DAY, lag), 7 * DOLLAR);
    budget_bill(&budget, FEBRUARY + 4, 0);
    assert_int_equal(budget_spent_on(&budget, FEBRUARY + 4, MARCH * DAY, lag), 0);
}

/* Whatever is read twice, or in another order, comes to the same. */
static void test_reports_are_never_added_up(void **state)
{
    (void)state;
    struct budget once = february(), often = february();
    for (int64_t day = 0; day < 29; day++)
        budget_estimate(&once, FEBRUARY + day, day * DOLLAR);
    for (int round = 0; round < 3; round++)
        for (int64_t day = 28; day >= 0; day--) {
            budget_estimate(&often, FEBRUARY + day, round * DOLLAR);
            budget_estimate(&often, FEBRUARY + day, day * DOLLAR);
        }
    assert_memory_equal(&once, &often, sizeof once);
    assert_int_equal(budget_spent(&once, MARCH * DAY, 0), 28 * 29 / 2 * DOLLAR);
}

static void test_other_months_are_not_counted(void **state)
{
    (void)state;
    struct budget budget = february();
    budget_estimate(&budget, FEBRUARY - 1, DOLLAR);
    budget_bill(&budget, MARCH, DOLLAR);
    assert_int_equal(budget_spent(&budget, MARCH * DAY, 0), 0);
    assert_int_equal(budget_spent_on(&budget, FEBRUARY - 1, MARCH * DAY, 0), 0);
    assert_int_equal(budget_spent_on(&budget, MARCH, MARCH * DAY, 0), 0);
    budget_estimate(&budget, MARCH - 1, DOLLAR);
    budget.rates.rate = 77;
    budget_enter(&budget, FEBRUARY);
    assert_int_equal(budget_spent(&budget, MARCH * DAY, 0), DOLLAR);
    budget_enter(&budget, MARCH);
    assert_int_equal(budget_spent(&budget, MARCH * DAY, 0), 0);
    assert_int_equal(budget.rates.rate, 77);
}

static void test_the_highest_rate(void **state)
{
    (void)state;
    struct budget budget = february();
    assert_true(budget_see_rate(&budget, DOLLAR, 2 * DOLLAR, HOUR));
    assert_int_equal(budget.rates.rate, DOLLAR);
    assert_false(budget_see_rate(&budget, DOLLAR, 2 * DOLLAR, 2 * HOUR)); /* slower */
    assert_false(budget_see_rate(&budget, 2 * DOLLAR, DOLLAR, HOUR));     /* a correction */
    assert_false(budget_see_rate(&budget, 0, 9 * DOLLAR, 0));             /* a clock that stands still */
    assert_false(budget_see_rate(&budget, 0, 9 * DOLLAR, -5));
    assert_true(budget_see_rate(&budget, 0, 1, 1)); /* rounded up */
    assert_int_equal(budget.rates.rate, 3600000);
    assert_true(budget_see_rate(&budget, 0, INT64_MAX, 1));
    assert_int_equal(budget.rates.rate, BUDGET_MOST);
    budget.rates.rate = 0; /* more than can be counted, over longer than there is */
    assert_true(budget_see_rate(&budget, 0, INT64_MAX - 1, INT64_MAX));
    assert_int_equal(budget.rates.rate, BUDGET_MOST);
}

/* What bills show beyond the estimates is measured over whole stretches, across restarts. */
static void test_what_is_only_billed(void **state)
{
    (void)state;
    struct budget budget = february();
    int64_t begun = (FEBRUARY + 2) * DAY;
    budget_estimate(&budget, FEBRUARY, 5 * DOLLAR);
    budget_bill(&budget, FEBRUARY, 4 * DOLLAR); /* nothing beyond it */
    assert_true(budget_see_late(&budget, begun, HOUR, DAY));
    assert_int_equal(budget_late(&budget), 0);
    assert_int_equal(budget.rates.late, 0);
    budget_bill(&budget, FEBRUARY + 1, 24 * DOLLAR); /* a day in one lump: no haste, it is a day's */
    assert_false(budget_see_late(&budget, begun + DAY - 1, HOUR, DAY));
    assert_true(budget_see_late(&budget, begun + DAY, HOUR, DAY));
    assert_int_equal(budget_late(&budget), 24 * DOLLAR);
    assert_int_equal(budget.rates.late, DOLLAR);
    assert_int_equal(budget.rates.late_since, begun + DAY);
    budget_bill(&budget, FEBRUARY + 1, 20 * DOLLAR); /* a correction is no speed */
    assert_true(budget_see_late(&budget, begun + 2 * DAY, HOUR, DAY));
    assert_int_equal(budget.rates.late_seen, 20 * DOLLAR);
    budget_bill(&budget, FEBRUARY + 2, 48 * DOLLAR);
    assert_true(budget_see_late(&budget, begun + 3 * DAY, HOUR, DAY));
    assert_int_equal(budget.rates.late, 2 * DOLLAR);
    assert_true(budget_see_late(&budget, begun, HOUR, DAY)); /* a clock that was put back */
    assert_int_equal(budget.rates.late_since, begun);
    assert_int_equal(budget.rates.late, 2 * DOLLAR);
}

static void test_the_first_stretch_and_that_of_another_month(void **state)
{
    (void)state;
    struct budget budget = february();
    budget_bill(&budget, FEBRUARY, 24 * DOLLAR);
    assert_true(budget_see_late(&budget, (FEBRUARY + 1) * DAY, HOUR, DAY));
    assert_int_equal(budget.rates.late, DOLLAR);
    budget.rates = (struct budget_rates){.rate = 0};
    assert_true(budget_see_late(&budget, (FEBRUARY + 1) * DAY, 2 * DAY, DAY)); /* nothing had been read for longer */
    assert_int_equal(budget.rates.late, DOLLAR / 2);
    budget.rates.late = DOLLAR;
    budget_enter(&budget, MARCH);
    budget_bill(&budget, MARCH, 31 * 24 * DOLLAR);
    assert_true(budget_see_late(&budget, (FEBRUARY + 1 + 31) * DAY, HOUR, DAY)); /* none of it is of the 24 dollars */
    assert_int_equal(budget.rates.late, DOLLAR);
    budget_bill(&budget, MARCH, (31 * 24 + 48) * DOLLAR);
    assert_true(budget_see_late(&budget, (FEBRUARY + 1 + 32) * DAY, HOUR, DAY));
    assert_int_equal(budget.rates.late, 2 * DOLLAR);
}

/* A provider that tells the month's total so far comes to the same days. */
static void test_totals(void **state)
{
    (void)state;
    struct budget budget = february();
    budget_total(&budget, FEBRUARY, 5 * DOLLAR);
    budget_total(&budget, FEBRUARY, 5 * DOLLAR); /* read twice */
    budget_total(&budget, FEBRUARY, 6 * DOLLAR);
    budget_total(&budget, FEBRUARY + 1, 9 * DOLLAR);
    assert_int_equal(budget.days[0].bill, 6 * DOLLAR);
    assert_int_equal(budget.days[1].bill, 3 * DOLLAR);
    budget_total(&budget, FEBRUARY + 3, 9 * DOLLAR);
    assert_true(budget.days[3].billed && !budget.days[3].bill && !budget.days[2].billed);
    budget_total(&budget, FEBRUARY + 3, 10 * DOLLAR);
    budget_total(&budget, FEBRUARY + 4, 7 * DOLLAR); /* corrected: from the latest days on */
    assert_int_equal(budget.days[3].bill, 0);
    assert_int_equal(budget.days[1].bill, DOLLAR);
    assert_int_equal(budget.days[0].bill, 6 * DOLLAR);
    budget_total(&budget, MARCH, 99 * DOLLAR); /* not of this month */
    assert_int_equal(budget_billed(&budget), 7 * DOLLAR);
    budget_total(&budget, FEBRUARY + 4, -1);
    assert_int_equal(budget_billed(&budget), 0);
}

static void test_the_bound(void **state)
{
    (void)state;
    static const struct budget_pace pace = {300000, 600000, 2 * 3600000, 60000};
    struct budget_rates rates = {.rate = 10 * DOLLAR}; /* 15 + 20 + 1 minutes */
    assert_int_equal(budget_overshoot(&rates, &pace), 6 * DOLLAR);
    rates.late = 60 * DOLLAR; /* 15 + 480 + 1 minutes */
    assert_int_equal(budget_overshoot(&rates, &pace), (6 + 496) * DOLLAR);
    assert_int_equal(budget_overshoot(&(struct budget_rates){.rate = 1}, &pace), 1);
    assert_int_equal(budget_overshoot(&(struct budget_rates){.rate = 0}, &pace), 0);
    assert_int_equal(budget_overshoot(&(struct budget_rates){.rate = BUDGET_MOST}, &pace), BUDGET_MOST / 5 * 3);
}

static void test_what_is_left(void **state)
{
    (void)state;
    assert_int_equal(budget_left(100, 30), 70);
    assert_int_equal(budget_left(100, 100), 0);
    assert_int_equal(budget_left(100, 170), 0);
}

/* Months are their first days. */
static void test_the_limit_on_a_key(void **state)
{
    (void)state;
    assert_int_equal(budget_key_limit(100 * DOLLAR, 0, 600, 600), 100 * DOLLAR);
    assert_int_equal(budget_key_limit(100 * DOLLAR, 30 * DOLLAR, 600, 600), 70 * DOLLAR);
    assert_int_equal(budget_key_limit(100 * DOLLAR, 30 * DOLLAR, 600, 630), 100 * DOLLAR);  /* the month is over */
    assert_int_equal(budget_key_limit(100 * DOLLAR, 30 * DOLLAR, 600, 570), 70 * DOLLAR);   /* a clock that was set back */
    assert_int_equal(budget_key_limit(50 * DOLLAR, 30 * DOLLAR, 600, 600), 20 * DOLLAR);    /* the policy's has changed */
    assert_int_equal(budget_key_limit(100 * DOLLAR, 100 * DOLLAR, 600, 600), BUDGET_CENT);  /* nothing is left */
    assert_int_equal(budget_key_limit(100 * DOLLAR, 170 * DOLLAR, 600, 600), BUDGET_CENT);
    assert_int_equal(budget_key_limit(0, 0, 0, 600), BUDGET_CENT);
    assert_int_equal(budget_key_limit(100 * DOLLAR, 0, 0, 0), 100 * DOLLAR); /* nobody counts */
}

/* Providers count in cents, rounded up. */
static void test_a_limit_that_holds(void **state)
{
    (void)state;
    assert_true(budget_limit_holds(DOLLAR, DOLLAR));
    assert_true(budget_limit_holds(DOLLAR, DOLLAR - BUDGET_CENT + 1));
    assert_false(budget_limit_holds(DOLLAR, DOLLAR - BUDGET_CENT));
    assert_false(budget_limit_holds(DOLLAR - 1, DOLLAR));
}

static void test_the_projection(void **state)
{
    (void)state;
    assert_int_equal(budget_projected(29 * DOLLAR, FEBRUARY, (FEBRUARY + 14) * DAY + DAY / 2), 58 * DOLLAR);
    assert_int_equal(budget_projected(DOLLAR, FEBRUARY, FEBRUARY * DAY + 1), 29 * DOLLAR);
    assert_int_equal(budget_projected(DOLLAR, FEBRUARY, MARCH * DAY), DOLLAR);
    assert_int_equal(budget_projected(DOLLAR, FEBRUARY, (FEBRUARY - 5) * DAY), 29 * DOLLAR);
}

static void test_the_verdict(void **state)
{
    (void)state;
    struct budget_account own = {100, 99}, owner = {200, 199}, host = {0, 5000};
    assert_int_equal(budget_judge(&own, &owner, &host), BUDGET_WITHIN);
    host.limit = 5000;
    assert_int_equal(budget_judge(&own, &owner, &host), BUDGET_OVER_HOST);
    owner.spent = 200;
    assert_int_equal(budget_judge(&own, &owner, &host), BUDGET_OVER_OWNER);
    own.spent = 101;
    assert_int_equal(budget_judge(&own, &owner, &host), BUDGET_OVER_OWN);
    assert_string_equal(budget_verdict_name(BUDGET_WITHIN), "within");
    assert_string_equal(budget_verdict_name(BUDGET_OVER_OWN), "own");
    assert_string_equal(budget_verdict_name(BUDGET_OVER_OWNER), "owner");
    assert_string_equal(budget_verdict_name(BUDGET_OVER_HOST), "host");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums_stay_in_bounds),
        cmocka_unit_test(test_months),
        cmocka_unit_test(test_the_months_clock),
        cmocka_unit_test(test_a_bill_replaces_the_estimate_of_its_day),
        cmocka_unit_test(test_reports_are_never_added_up),
        cmocka_unit_test(test_other_months_are_not_counted),
        cmocka_unit_test(test_the_highest_rate),
        cmocka_unit_test(test_what_is_only_billed),
        cmocka_unit_test(test_the_first_stretch_and_that_of_another_month),
        cmocka_unit_test(test_totals),
        cmocka_unit_test(test_the_bound),
        cmocka_unit_test(test_what_is_left),
        cmocka_unit_test(test_the_limit_on_a_key),
        cmocka_unit_test(test_a_limit_that_holds),
        cmocka_unit_test(test_the_projection),
        cmocka_unit_test(test_the_verdict),
    };
    return check_run(tests);
}
