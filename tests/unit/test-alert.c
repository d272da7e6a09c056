#include "check.h"

#include "lifecycle/alert.h"

#include <string.h>

static void each_kind_has_a_name_and_an_id_of_its_own(void **state)
{
    (void)state;
    for (int i = ALERT_BUDGET; i <= ALERT_TEST; i++) {
        enum alert_kind kind = ALERT_TEST;
        assert_true(alert_kind_parse(alert_kind_name((enum alert_kind)i), &kind));
        assert_int_equal(kind, i);
        assert_int_equal(strspn(alert_message_id(kind), "0123456789abcdef"), 32);
        assert_int_equal(strlen(alert_message_id(kind)), 32);
        for (int other = ALERT_BUDGET; other < i; other++)
            assert_string_not_equal(alert_message_id(kind), alert_message_id((enum alert_kind)other));
    }
}

static void an_unknown_name_is_none(void **state)
{
    (void)state;
    enum alert_kind kind = ALERT_POOL;
    assert_false(alert_kind_parse("budgets", &kind));
    assert_int_equal(kind, ALERT_POOL);
}

static void what_is_about_a_month_does_not_pass(void **state)
{
    (void)state;
    assert_false(alert_kind_passes(ALERT_BUDGET));
    assert_false(alert_kind_passes(ALERT_BURN));
    assert_false(alert_kind_passes(ALERT_CAP));
    assert_false(alert_kind_passes(ALERT_TEST));
    assert_true(alert_kind_passes(ALERT_STUCK));
    assert_true(alert_kind_passes(ALERT_ADMIN_KEY));
}

static void the_highest_threshold_that_is_reached_counts(void **state)
{
    (void)state;
    static const unsigned thresholds[] = {80, 50, 100};
    const int64_t limit = 100000000;
    const struct {
        int64_t spent;
        unsigned percent;
    } cases[] = {{0, 0}, {49999999, 0}, {50000000, 50}, {79999999, 50}, {80000000, 80}, {99999999, 80}, {100000000, 100},
                 {INT64_C(1000000000000), 100}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(alert_threshold(cases[i].spent, limit, thresholds, 3), cases[i].percent);
    assert_int_equal(alert_threshold(limit, limit, thresholds, 0), 0);
}

static void small_limits_are_not_rounded_away(void **state)
{
    (void)state;
    static const unsigned thresholds[] = {50};
    assert_int_equal(alert_threshold(4, 9, thresholds, 1), 50);
    assert_int_equal(alert_threshold(3, 9, thresholds, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_has_a_name_and_an_id_of_its_own),
        cmocka_unit_test(an_unknown_name_is_none),
        cmocka_unit_test(what_is_about_a_month_does_not_pass),
        cmocka_unit_test(the_highest_threshold_that_is_reached_counts),
        cmocka_unit_test(small_limits_are_not_rounded_away),
    };
    return check_run(tests);
}
