/* prices.c: which price a model has, and what tokens come to. */
#include "check.h"

#include "lifecycle/budget.h"
#include "lifecycle/prices.h"

#include <string.h>

static const struct price table[] = {
    {.model = "gpt-4o-mini", .input = 150000, .cached = 75000, .output = 600000},
    {.model = "gpt-4o", .input = 2500000, .cached = 1250000, .output = 10000000},
    {.model = "gpt-4", .input = 30000000, .cached = 30000000, .output = 60000000},
    {.model = "gpt-4o-audio", .input = 40000000, .cached = 2500000, .output = 5000000},
};
static const struct prices prices = {table, 4}, none = {NULL, 0};

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *model, *found;
    } wanted[] = {
        {"gpt-4o", "gpt-4o"},
        {"gpt-4o-2024-08-06", "gpt-4o"},
        {"gpt-4o-mini-2024-07-18", "gpt-4o-mini"},
        {"gpt-4-0613", "gpt-4"},
        {"openai/gpt-4o-mini", "gpt-4o-mini"},
        {"gpt-4o:tuned::x", "gpt-4o"},
        {"ft:gpt-4o-mini-2024-07-18:org:name:id", "gpt-4o-mini"},
        {"openai/ft:gpt-4o:org", "gpt-4o"},
        {"ft:", NULL},
        {"gpt-4-1", NULL}, /* another version, not a date */
        {"gpt-4-125", NULL},
        {"gpt-4o-", NULL},
        {"gpt-4o-search", NULL},
        {"gpt-4o-2024-08-06-x", NULL},
        {"gpt-4om", NULL},
        {"gpt", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        const struct price *price = prices_find(&prices, wanted[i].model);
        if ((price == NULL) != (wanted[i].found == NULL) || (price && strcmp(price->model, wanted[i].found) != 0))
            fail_msg("%s has the price of %s", wanted[i].model, price ? price->model : "none");
    }
    /* The longest name counts, wherever it stands. */
    static const struct price two[] = {{.model = "m"}, {.model = "m-2025"}, {.model = "m"}};
    assert_ptr_equal(prices_find(&(struct prices){two, 3}, "m-2025"), &two[1]);
}

static void test_costs(void **state)
{
    (void)state;
    bool unknown = true;
    assert_int_equal(prices_estimate(&prices, "gpt-4o", 1000000, 0, 0, &unknown), 2500000);
    assert_false(unknown);
    assert_int_equal(prices_estimate(&prices, "gpt-4o", 1000000, 400000, 100000, &unknown), 1500000 + 500000 + 1000000);
    assert_int_equal(prices_estimate(&prices, "gpt-4o", 1, 0, 0, &unknown), 3); /* rounded up */
    assert_int_equal(prices_estimate(&prices, "gpt-4o", 0, 0, 0, &unknown), 0);
    assert_int_equal(prices_estimate(&prices, "gpt-4", INT64_C(1000000000000000), 0, 0, &unknown), BUDGET_MOST);
    assert_int_equal(prices_estimate(&prices, "gpt-4", INT64_MAX, 0, 0, &unknown), BUDGET_MOST);
}

/* An unknown model costs the dearest of each column, so that it is never cheaper than what it may be. */
static void test_unknown_models(void **state)
{
    (void)state;
    bool unknown = false;
    assert_int_equal(prices_estimate(&prices, "new", 2000000, 1000000, 1000000, &unknown), 40000000 + 30000000 + 60000000);
    assert_true(unknown);
    unknown = false;
    assert_int_equal(prices_estimate(&none, "new", 2000000, 0, 1000000, &unknown), 0);
    assert_true(unknown);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_costs),
        cmocka_unit_test(test_unknown_models),
    };
    return check_run(tests);
}
