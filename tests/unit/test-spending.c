/* spending.c: what was spent is replaced and never added to, and it is found out whose it is. */
#include "../ledger/fixture.h"

#include "base/cleanup.h"

#include <stdio.h>

#define UUID "11111111-1111-4111-8111-111111111111"
#define OTHER "22222222-2222-4222-8222-222222222222"

struct seen {
    unsigned count;
    int64_t sum;
    struct spending_record last;
    struct spending_of of;
};

static bool see(void *context, const struct spending_record *record, const struct spending_of *of, struct error *err)
{
    struct seen *seen = context;
    (void)err;
    seen->count++;
    seen->sum += record->micro_dollars;
    seen->last = *record;
    seen->of = *of;
    return true;
}

static struct seen all(struct ledger *ledger, int64_t since, int64_t until)
{
    struct seen seen = {.count = 0};
    must(ledger_each_spending(ledger, since, until, 0, see, &seen, &err));
    return seen;
}

static void test_rows_are_replaced(void **state)
{
    struct ledger *ledger = open_ledger(*state);
    struct family family = save_family(ledger, UUID);
    struct spending_record row = {.grant_id = family.grant.id, .day = 20000, .model = "gpt-4o", .micro_dollars = 5,
                                  .requests = 1, .input_tokens = 2, .cached_tokens = 1, .output_tokens = 3};
    must(ledger_save_spending(ledger, &row, &err));
    must(ledger_save_spending(ledger, &row, &err)); /* read twice */
    row.micro_dollars = 7;
    must(ledger_save_spending(ledger, &row, &err)); /* and revised */
    struct seen seen = all(ledger, 20000, 20001);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.sum, 7);
    assert_string_equal(seen.last.model, "gpt-4o");
    assert_int_equal(seen.last.output_tokens, 3);
    assert_false(seen.last.bill);
    assert_string_equal(seen.of.domain, UUID);
    assert_string_equal(seen.of.name, family.domain.name);
    assert_string_equal(seen.of.owner, family.grant.owner);
    assert_string_equal(seen.of.provider, family.grant.provider);
    /* The bill of the same day and model stands beside it. */
    row.bill = true;
    row.micro_dollars = 100;
    must(ledger_save_spending(ledger, &row, &err));
    assert_int_equal(all(ledger, 20000, 20001).sum, 107);
    assert_int_equal(all(ledger, 20001, 30000).count, 0); /* from the day on */
    assert_int_equal(all(ledger, 0, 20000).count, 0);     /* to before the day */
    row.micro_dollars = -1;
    must_fail(ledger_save_spending(ledger, &row, &err), ERROR_INVALID, "CHECK constraint failed: micro_dollars >= 0");
    row.micro_dollars = 1;
    row.grant_id = 999;
    must_fail(ledger_save_spending(ledger, &row, &err), ERROR_NOT_FOUND, "save spending");
    ledger_close(ledger);
}

/* Nothing of it is alive any more. */
static void forget(struct ledger *ledger, struct family *family)
{
    family->key.state = KEY_REVOKED;
    must(ledger_save_key(ledger, &family->key, &err));
    family->container.state = CONTAINER_ARCHIVED;
    must(ledger_save_container(ledger, &family->container, &err));
    family->grant.ended_at = 5;
    must(ledger_save_grant(ledger, &family->grant, &err));
    must(ledger_forget_domain(ledger, family->domain.uuid, &err));
}

/* Whoever undefines his domains and defines others gets no fresh budget by it. */
static void test_the_owner_outlives_the_domain(void **state)
{
    struct ledger *ledger = open_ledger(*state);
    struct family family = save_family(ledger, UUID);
    struct spending_record row = {.grant_id = family.grant.id, .day = 20000, .micro_dollars = 5};
    must(ledger_save_spending(ledger, &row, &err));
    snprintf(family.grant.owner, sizeof family.grant.owner, "bob");
    must(ledger_save_grant(ledger, &family.grant, &err));
    forget(ledger, &family);
    ledger_close(ledger);
    ledger = open_ledger(*state);
    struct seen seen = all(ledger, 20000, 20001);
    assert_int_equal(seen.sum, 5);
    assert_string_equal(seen.of.owner, "bob");
    assert_string_equal(seen.of.name, "");
    ledger_close(ledger);
}

static void test_older_grants_have_their_domains_owners(void **state)
{
    struct place *place = *state;
    struct ledger *ledger = open_ledger(place);
    struct family family = save_family(ledger, UUID), gone = save_family(ledger, OTHER);
    struct grant_record got;
    forget(ledger, &gone);
    ledger_close(ledger);
    back_to_schema(place, 11);
    by_hand(place, "UPDATE domains SET owner = 'carol'");
    ledger = open_ledger(place);
    must(ledger_find_grant(ledger, UUID, family.grant.provider, &got, &err));
    assert_string_equal(got.owner, "carol");
    must(ledger_find_grant(ledger, OTHER, gone.grant.provider, &got, &err));
    assert_string_equal(got.owner, ""); /* nobody knows any more */
    ledger_close(ledger);
}

static void test_whose_it_is(void **state)
{
    struct ledger *ledger = open_ledger(*state);
    struct family family = save_family(ledger, UUID);
    const char *provider = family.grant.provider;
    int64_t grant = 0;
    must(ledger_find_spender(ledger, provider, family.container.remote_id, "", &grant, &err)); /* by its own project */
    assert_int_equal(grant, family.grant.id);
    grant = 0;
    snprintf(family.key.usage_id, sizeof family.key.usage_id, "key_abc");
    must(ledger_save_key(ledger, &family.key, &err));
    must(ledger_find_spender(ledger, provider, "proj_shared", "key_abc", &grant, &err)); /* by its name in reports */
    assert_int_equal(grant, family.grant.id);
    grant = 0;
    must(ledger_find_spender(ledger, provider, "proj_shared", family.key.remote_id, &grant, &err));
    assert_int_equal(grant, family.grant.id);
    must_fail(ledger_find_spender(ledger, provider, "proj_shared", "key_of_others", &grant, &err), ERROR_NOT_FOUND,
              "find spender: no key of ours");
    must_fail(ledger_find_spender(ledger, provider, "proj_shared", "", &grant, &err), ERROR_NOT_FOUND, "no key of ours");
    must_fail(ledger_find_spender(ledger, "another", family.container.remote_id, "key_abc", &grant, &err), ERROR_NOT_FOUND,
              "no key of ours");
    ledger_close(ledger);
}

static bool count_scope(void *context, const char *container, int64_t keys, struct error *err)
{
    (void)keys, (void)err;
    assert_true(container[0] != '\0');
    ++*(unsigned *)context;
    return true;
}

/* An archived project is asked about for as long as it was alive in the time that is asked about. */
static void test_scopes(void **state)
{
    struct ledger *ledger = open_ledger(*state);
    struct family one = save_family(ledger, UUID), other = save_family(ledger, OTHER);
    unsigned count = 0;
    other.container.state = CONTAINER_ARCHIVED;
    other.container.archived_at = 5000;
    must(ledger_save_container(ledger, &other.container, &err));
    must(ledger_each_scope(ledger, one.grant.provider, 5000, count_scope, &count, &err));
    assert_int_equal(count, 2);
    count = 0;
    must(ledger_each_scope(ledger, one.grant.provider, 5001, count_scope, &count, &err));
    assert_int_equal(count, 1);
    count = 0;
    must(ledger_each_scope(ledger, "another", 0, count_scope, &count, &err));
    assert_int_equal(count, 0);
    ledger_close(ledger);
}

static void test_totals_outlive_their_keys(void **state)
{
    struct ledger *ledger = open_ledger(*state);
    int64_t grant = save_family(ledger, UUID).grant.id, total = -1;
    must(ledger_get_total(ledger, grant, 20000, &total, &err));
    assert_int_equal(total, 0);
    must(ledger_save_total(ledger, grant, 20000, "h-1", 50, &err));
    must(ledger_save_total(ledger, grant, 20000, "h-2", 7, &err));
    must(ledger_save_total(ledger, grant, 20000, "h-2", 8, &err)); /* replaced */
    must(ledger_save_total(ledger, grant, 20031, "h-2", 1, &err)); /* of another month */
    must(ledger_get_total(ledger, grant, 20000, &total, &err));
    assert_int_equal(total, 58);
    must_fail(ledger_save_total(ledger, grant, 20000, "h-2", -1, &err), ERROR_INVALID, "micro_dollars >= 0");
    must_fail(ledger_save_total(ledger, grant, 20000, "", 1, &err), ERROR_INVALID, "key <> ''");
    must_fail(ledger_save_total(ledger, 999, 20000, "h-2", 1, &err), ERROR_NOT_FOUND, "save total");
    ledger_close(ledger);
}

static void test_rates(void **state)
{
    struct ledger *ledger = open_ledger(*state);
    struct family family = save_family(ledger, UUID);
    struct budget_rates rates = {.rate = 5};
    must(ledger_get_rates(ledger, family.grant.id, &rates, &err));
    assert_int_equal(rates.rate, 0);
    must(ledger_set_rates(ledger, family.grant.id, &(struct budget_rates){.rate = 70}, &err));
    must(ledger_set_rates(ledger, family.grant.id, &(struct budget_rates){90, 40, 1700000000000, 33, 19662}, &err));
    must(ledger_get_rates(ledger, family.grant.id, &rates, &err));
    assert_int_equal(rates.rate, 90);
    assert_int_equal(rates.late, 40);
    assert_int_equal(rates.late_since, 1700000000000);
    assert_int_equal(rates.late_seen, 33);
    assert_int_equal(rates.late_month, 19662);
    ledger_close(ledger);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        case_of(test_rows_are_replaced),
        case_of(test_the_owner_outlives_the_domain),
        case_of(test_older_grants_have_their_domains_owners),
        case_of(test_whose_it_is),
        case_of(test_scopes),
        case_of(test_totals_outlive_their_keys),
        case_of(test_rates),
    };
    return check_run(tests);
}
