/* What is written about money: [owner], the daemon's keys, and the price table. */
#include "config-fixture.h"

#include "config/prices.h"

#include <stdlib.h>

static void test_limits(void **state)
{
    static const char text[] = "[daemon]\nusage-interval = 10s\nprices = /etc/llmhook/prices.conf\nhost-monthly-limit = 5000\n"
                               "[owner alice]\nmonthly-limit = 250.50\n[owner bob@x]\n";
    (void)state;
    cleanup_config struct config *config = parse(text);
    assert_int_equal(config->daemon.usage_interval_ms, 10000);
    assert_string_equal(config->daemon.prices, "/etc/llmhook/prices.conf");
    assert_int_equal(config->daemon.monthly_limit, INT64_C(5000000000));
    assert_int_equal(config_owner_limit(config, "alice"), 250500000);
    assert_int_equal(config_owner_limit(config, "bob@x"), 0);
    assert_int_equal(config_owner_limit(config, "carol"), 0);
    cleanup_config struct config *never = parse("[daemon]\nusage-interval = never\n");
    assert_int_equal(never->daemon.usage_interval_ms, 0);
    cleanup_config struct config *fresh = config_new();
    assert_int_equal(fresh->daemon.usage_interval_ms, 300000);
    assert_int_equal(fresh->daemon.monthly_limit, 0);
    assert_string_equal(fresh->daemon.prices, "");
}

static void test_limits_that_are_none(void **state)
{
    static const struct refused bad[] = {
        {"[owner]\n", "f.conf:1: '' is not an owner..."},
        {"[owner a b]\n", "f.conf:1: 'a b' is not an owner: write [owner NAME]..."},
        {"[owner alice]\nmonthly-limit = much\n", "f.conf:2: monthly-limit: ..."},
        {"[owner alice]\nproviders = x\n", "f.conf:2: an owner section has no key 'providers': write monthly-limit"},
        {"[owner a]\n[owner a]\n", "f.conf:2: this section stands in line 1 already..."},
        {"[daemon]\nusage-interval = 1s\n", "f.conf:2: usage-interval: '1s' is out of range..."},
        {"[daemon]\nprices = prices.conf\n", "f.conf:2: prices: 'prices.conf' is not an absolute path..."},
    };
    (void)state;
    check_all_refused(bad, COUNT(bad));
}

#define PRICE "input = 2.50\ncached-input = 0.000001\noutput = 1000\ndate = 2026-11-25\nchecked = "

static void test_prices(void **state)
{
    static const char text[] = "# dollars\n[m-1]\n" PRICE "yes\n[m-2]\n" PRICE "no\n";
    struct price *table = NULL;
    size_t count = 0;
    struct error err = ERROR_INIT;
    (void)state;
    if (!config_prices_parse("p.conf", text, strlen(text), &table, &count, &err))
        fail_msg("%s", err.text);
    assert_int_equal(count, 2);
    assert_string_equal(table[0].model, "m-1");
    assert_int_equal(table[0].input, 2500000);
    assert_int_equal(table[0].cached, 1);
    assert_int_equal(table[0].output, PRICE_MOST);
    assert_string_equal(table[0].date, "2026-11-25");
    assert_false(table[0].unverified);
    assert_true(table[1].unverified);
    free(table);
}

static void test_prices_that_are_none(void **state)
{
    static const struct {
        const char *text, *piece;
    } bad[] = {
        {"input = 1\n", "p.conf:1: 'input' stands before any model"},
        {"[m]\n" PRICE "maybe\n", "p.conf:6: checked: 'maybe' is neither yes nor no"},
        {"[m]\ninput = 1\n", "p.conf:1: m has no cached-input"},
        {"[m]\n" PRICE "yes\n[n]\noutput = 1\n", "p.conf:7: n has no input"},
        {"[m]\ninput = -1\n", "p.conf:2: input: '-1' is no price"},
        {"[m]\ninput = 1.0000001\n", "p.conf:2: input: '1.0000001' is no price"},
        {"[m]\ninput = 1000.01\n", "p.conf:2: input: '1000.01' is no price"},
        {"[m]\ninput = .\n", "p.conf:2: input: '.' is no price"},
        {"[m]\ninput = 1.2.3\n", "p.conf:2: input: '1.2.3' is no price"},
        {"[m]\ndate = 2026-13-01\n", "p.conf:2: date: '2026-13-01' is not a date"},
        {"[m]\ndate = yesterday\n", "p.conf:2: date: 'yesterday' is not a date"},
        {"[m]\ncolour = red\n", "p.conf:2: a price has no 'colour'"},
        {"[m]\ninput = 1\ninput = 2\n", "p.conf:3: input stands there already"},
        {"[m]\n" PRICE "yes\n[m]\n", "p.conf:7: m has a price already"},
        {"[openai/m]\n", "p.conf:1: 'openai/m' is not a model's name"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct price *table = NULL;
        size_t count;
        struct error err = ERROR_INIT;
        if (config_prices_parse("p.conf", bad[i].text, strlen(bad[i].text), &table, &count, &err))
            fail_msg("read, although it should not: %s", bad[i].text);
        check_error(err, ERROR_INVALID, bad[i].piece);
    }
}

/* What is built in is read, and each of its prices is one that somebody could pay. */
static void test_what_is_built_in(void **state)
{
    struct price *table = NULL;
    size_t count = 0;
    struct error err = ERROR_INIT;
    (void)state;
    if (!config_prices_read("", &table, &count, &err))
        fail_msg("%s", err.text);
    assert_true(count >= 10);
    for (size_t i = 0; i < count; i++) {
        if (table[i].input <= 0 || table[i].cached > table[i].input || table[i].output < table[i].input)
            fail_msg("%s: a cache that is dearer than none, or reading dearer than writing", table[i].model);
    }
    free(table);
    assert_false(config_prices_read("/nowhere/prices.conf", &table, &count, &err));
    check_error(err, ERROR_NOT_FOUND, "/nowhere/prices.conf");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits),         cmocka_unit_test(test_limits_that_are_none),
        cmocka_unit_test(test_prices),         cmocka_unit_test(test_prices_that_are_none),
        cmocka_unit_test(test_what_is_built_in),
    };
    return check_run(tests);
}
