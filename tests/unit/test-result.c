/* result.c and outcome.c: what all drivers share. */
#include "check.h"

#include "lifecycle/budget.h"
#include "providers/http.h"
#include "providers/provider.h"

#include <string.h>

static const enum provider_verb all_verbs[] = {
    PROVIDER_FIND_CONTAINER, PROVIDER_CREATE_CONTAINER, PROVIDER_LIMIT_CONTAINER, PROVIDER_RATE_LIMIT_CONTAINER,
    PROVIDER_ARCHIVE_CONTAINER, PROVIDER_FIND_KEYS, PROVIDER_MINT_KEY, PROVIDER_REVOKE_KEY, PROVIDER_INVENTORY,
    PROVIDER_IDENTIFY_KEY, PROVIDER_USAGE, PROVIDER_CHECK, PROVIDER_RENEW_KEY, PROVIDER_SUSPEND_KEY, PROVIDER_RESUME_KEY,
    PROVIDER_LIMIT_KEY, PROVIDER_FIND_ADMIN_KEYS, PROVIDER_CREATE_ADMIN_KEY, PROVIDER_DELETE_ADMIN_KEY,
};
enum { ALL_VERBS = sizeof all_verbs / sizeof all_verbs[0] };

/* What comes from outside is shortened, printable, and holds no key. */
static void test_their_words_are_quoted_with_care(void **state)
{
    (void)state;
    char text[64];
    provider_quote("no sk-admin-a1_b*2. here", 24, text, sizeof text);
    assert_string_equal(text, "no [key] here");
    provider_quote("sk-", 3, text, sizeof text);
    assert_string_equal(text, "sk-");
    provider_quote("risk-free\n\x1b[31m\x7f\xc3\xa4", 18, text, sizeof text);
    assert_string_equal(text, "risk-free??[31m???");
    provider_quote("sk-admin-0123456789", 19, text, 4);
    assert_string_equal(text, "[ke");
    /* Behind the end of another word, as a careless template puts it there. */
    provider_quote("task-force and mysk-svcacct-0123456789abcdef!", 45, text, sizeof text);
    assert_string_equal(text, "task-force and my[key]!");
    provider_quote("bad token eyJhbGciOiJ.eyJzdWI_.c2ln-, hvs.CAESIJ1", 49, text, sizeof text);
    assert_string_equal(text, "bad token [key], [key]");
    provider_quote("theyJust eyJ hvs.", 17, text, sizeof text);
    assert_string_equal(text, "theyJust eyJ hvs.");
    provider_quote("abcdef", 6, text, 4);
    assert_string_equal(text, "abc");
}

static void test_identity_ends_at_the_first_space(void **state)
{
    (void)state;
    assert_true(provider_container_matches("a:b:c", "a:b:c"));
    assert_true(provider_container_matches("a:b:c label", "a:b:c"));
    assert_false(provider_container_matches("a:b:cd", "a:b:c"));
    assert_false(provider_container_matches("a:b:c", "a:b:c label"));
    assert_false(provider_container_matches("a:b", "a:b:c"));
    assert_false(provider_container_matches("anything", ""));
    assert_false(provider_container_matches("", ""));
}

static void test_ids_that_may_stand_in_a_url(void **state)
{
    (void)state;
    char id[RECORD_REMOTE_ID_SIZE + 1];
    memset(id, 'a', sizeof id);
    id[RECORD_REMOTE_ID_SIZE] = '\0';
    assert_false(provider_id_valid(id));
    id[RECORD_REMOTE_ID_SIZE - 1] = '\0';
    assert_true(provider_id_valid(id));
    assert_true(provider_id_valid("proj_A-z_09"));
    assert_false(provider_id_valid(""));
    assert_false(provider_id_valid("a/b"));
}

static void test_words_for_verbs_and_outcomes(void **state)
{
    (void)state;
    for (size_t i = 0; i < ALL_VERBS; i++)
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(provider_verb_name(all_verbs[i]), provider_verb_name(all_verbs[k]));
    assert_string_equal(provider_verb_name(PROVIDER_MINT_KEY), "mint-key");
    assert_string_equal(outcome_name(OUTCOME_OK), "ok");
    assert_string_equal(outcome_name(OUTCOME_UNREACHABLE), "unreachable");
    assert_string_equal(outcome_name(OUTCOME_UNKNOWN), "unknown");
}

static void test_items_grow(void **state)
{
    (void)state;
    struct provider_result result;
    memset(&result, 0, sizeof result);
    for (int i = 0; i < 1000; i++) {
        struct provider_item item = {.created_at = i};
        assert_true(provider_result_add(&result, &item));
    }
    assert_int_equal(result.items_count, 1000);
    assert_int_equal(result.items[999].created_at, 999);
    assert_int_equal(result.items[511].created_at, 511);
    provider_result_clear(&result);
    assert_null(result.items);
}

static void test_no_usage_is_too_much_to_be_added_up(void **state)
{
    (void)state;
    const int64_t told[] = {-1, 0, BUDGET_MOST, BUDGET_MOST + 1, INT64_MAX};
    const int64_t kept[] = {-1, 0, BUDGET_MOST, BUDGET_MOST, BUDGET_MOST};
    struct provider_result result;
    memset(&result, 0, sizeof result);
    for (size_t i = 0; i < sizeof told / sizeof told[0]; i++) {
        const struct provider_usage usage = {.day = 7, .micro_dollars = told[i]};
        assert_true(provider_usage_add(&result, &usage));
        assert_int_equal(result.usage_count, i + 1);
        assert_int_equal(result.usage[i].micro_dollars, kept[i]);
        assert_int_equal(result.usage[i].day, 7);
    }
    provider_result_clear(&result);
    assert_null(result.usage);
}

static enum outcome judged(enum provider_verb verb, long status, int64_t retry_after_ms)
{
    const struct http_answer answer = {.end = HTTP_ANSWERED, .status = status, .retry_after_ms = retry_after_ms};
    const struct provider_complaint complaint = {.readable = true, .message = "no"};
    struct provider_result result = {.outcome = OUTCOME_OK};
    provider_judge(verb, "somebody", &answer, &complaint, &result);
    assert_int_equal(result.retry_after_ms, retry_after_ms);
    return result.outcome;
}

/* What is done late must not be done twice, nor undo what was asked for since: then it is in doubt, whoever says how long
 * to wait. */
static void test_who_is_in_doubt_after_a_failure(void **state)
{
    (void)state;
    static const long failures[] = {408, 409, 500, 502, 503, 504};
    for (size_t v = 0; v < ALL_VERBS; v++) {
        enum provider_verb verb = all_verbs[v];
        bool doubt = verb == PROVIDER_CREATE_CONTAINER || verb == PROVIDER_MINT_KEY || verb == PROVIDER_CREATE_ADMIN_KEY ||
                     verb == PROVIDER_SUSPEND_KEY || verb == PROVIDER_RESUME_KEY;
        for (size_t i = 0; i < COUNT(failures); i++) {
            enum outcome plain = judged(verb, failures[i], -1), asked = judged(verb, failures[i], 7000);
            if (plain != (doubt ? OUTCOME_UNKNOWN : OUTCOME_UNREACHABLE) ||
                asked != (doubt ? OUTCOME_UNKNOWN : OUTCOME_THROTTLED))
                fail_msg("%s is %s after %ld, and %s with Retry-After", provider_verb_name(verb), outcome_name(plain),
                         failures[i], outcome_name(asked));
        }
        assert_int_equal(judged(verb, 401, -1), OUTCOME_UNAUTHORIZED);
        assert_int_equal(judged(verb, 429, 7000), OUTCOME_THROTTLED);
        assert_int_equal(judged(verb, 307, -1), OUTCOME_REFUSED);
        assert_int_equal(judged(verb, 403, -1), OUTCOME_REFUSED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_their_words_are_quoted_with_care),
        cmocka_unit_test(test_identity_ends_at_the_first_space),
        cmocka_unit_test(test_ids_that_may_stand_in_a_url),
        cmocka_unit_test(test_words_for_verbs_and_outcomes),
        cmocka_unit_test(test_items_grow),
        cmocka_unit_test(test_who_is_in_doubt_after_a_failure),
        cmocka_unit_test(test_no_usage_is_too_much_to_be_added_up),
    };
    return check_run(tests);
}
