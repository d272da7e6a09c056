/* How rows change; and the audit's verdicts. */
#include "check.h"

#include "lifecycle/transition.h"

#include <string.h>

static const enum outcome outcomes[] = {OUTCOME_OK,          OUTCOME_GONE,      OUTCOME_REFUSED,     OUTCOME_UNAUTHORIZED,
                                        OUTCOME_UNREACHABLE, OUTCOME_THROTTLED, OUTCOME_UNSUPPORTED, OUTCOME_UNKNOWN};
enum { OUTCOMES = sizeof outcomes / sizeof outcomes[0] };

static struct grant_record grant = {.id = 7, .domain = "0b1ed4dc-5f0c-4a8e-9b1c-3f1e5f6f7a80", .provider = "openai"};

static struct key_record key_in(enum key_state state)
{
    struct key_record key;
    transition_key_new(&key, &grant, 3, 2, "h0st", 1000);
    key.state = state;
    key.attempts = 2;
    strcpy(key.last_error, "earlier");
    return key;
}

static void names_are_deterministic(void **state)
{
    struct key_record key;
    struct container_record container;
    char prefix[64];
    (void)state;
    transition_key_new(&key, &grant, 3, 2, "h0st", 1000);
    assert_string_equal(key.name, "llmhook:h0st:0b1ed4dc-5f0c-4a8e-9b1c-3f1e5f6f7a80:openai:g3");
    assert_int_equal(key.state, KEY_PLANNED);
    assert_int_equal(key.generation, 3);
    assert_int_equal(key.grant_id, 7);
    assert_int_equal(key.predecessor, 2);
    assert_int_equal(key.created_at, 1000);
    transition_container_new(&container, "openai", CONTAINER_PER_DOMAIN, grant.domain, "vm one", "h0st", 5);
    assert_string_equal(container.name, "llmhook:h0st:0b1ed4dc-5f0c-4a8e-9b1c-3f1e5f6f7a80:openai vm one");
    assert_int_equal(container.state, CONTAINER_PLANNED);
    transition_container_new(&container, "openai", CONTAINER_PER_OWNER, "alice", "", "h0st", 5);
    assert_string_equal(container.name, "llmhook:h0st:owner=alice:openai");
    transition_container_new(&container, "openai", CONTAINER_GIVEN, "proj_1", "vm", "h0st", 5);
    assert_string_equal(container.remote_id, "proj_1");
    assert_int_equal(container.state, CONTAINER_OPEN);
    transition_name_prefix("h0st", prefix, sizeof prefix);
    assert_string_equal(prefix, "llmhook:h0st:");
}

static void a_long_name_loses_its_label_not_its_identity(void **state)
{
    struct container_record container;
    char subject[RECORD_NAME_SIZE], label[200];
    (void)state;
    memset(subject, 's', sizeof subject - 1);
    subject[sizeof subject - 1] = '\0';
    memset(label, 'l', sizeof label - 1);
    label[sizeof label - 1] = '\0';
    transition_container_new(&container, "openai", CONTAINER_PER_DOMAIN, "u", label, "h", 0);
    assert_int_equal(strlen(container.name), strlen("llmhook:h:u:openai ") + 60);
    subject[RECORD_NAME_SIZE - 18] = '\0';
    transition_container_new(&container, "openai", CONTAINER_PER_DOMAIN, subject, label, "h", 0);
    assert_null(strchr(container.name, ' '));
}

static void every_outcome_of_a_minting(void **state)
{
    (void)state;
    for (int i = 0; i < OUTCOMES; i++) {
        struct key_record key = key_in(KEY_PLANNED);
        assert_string_equal(transition_key_mint(&key), "key minting");
        assert_int_equal(key.state, KEY_MINTING);
        const char *event = transition_key_minted(&key, outcomes[i], "sa_1", "abc", "went wrong", 2000);
        if (outcomes[i] == OUTCOME_OK) {
            assert_string_equal(event, "key minted");
            assert_int_equal(key.state, KEY_MINTED);
            assert_string_equal(key.remote_id, "sa_1");
            assert_string_equal(key.fingerprint, "abc");
            assert_int_equal(key.minted_at, 2000);
            assert_int_equal(key.attempts, 0);
            assert_string_equal(key.last_error, "");
        } else if (outcomes[i] == OUTCOME_UNKNOWN) {
            /* It may have happened: never asked for again under this name. */
            assert_string_equal(event, "key doubted");
            assert_int_equal(key.state, KEY_REVOKING);
            assert_true(key.unknown);
            assert_int_equal(key.revoking_at, 2000);
            assert_string_equal(key.last_error, "went wrong");
            assert_string_equal(key.remote_id, "");
        } else {
            assert_null(event);
            assert_int_equal(key.state, KEY_PLANNED);
            assert_int_equal(key.attempts, 3);
            assert_string_equal(key.last_error, "went wrong");
        }
    }
}

static void a_key_lives_and_ends(void **state)
{
    struct key_record key = key_in(KEY_MINTED);
    (void)state;
    assert_string_equal(transition_key_proven(&key, 3000), "key active");
    assert_int_equal(key.state, KEY_ACTIVE);
    assert_int_equal(key.active_at, 3000);
    assert_int_equal(key.attempts, 0);
    assert_string_equal(transition_key_retire(&key, 3500), "key retiring");
    assert_int_equal(key.state, KEY_RETIRING);
    assert_int_equal(key.retiring_at, 3500);
    key.attempts = 4;
    assert_string_equal(transition_key_end(&key, 4000), "key revoking");
    assert_int_equal(key.state, KEY_REVOKING);
    assert_int_equal(key.revoking_at, 4000);
    assert_int_equal(key.attempts, 0);
    key = key_in(KEY_PLANNED);
    assert_string_equal(transition_key_drop(&key, 5000), "key dropped");
    assert_int_equal(key.state, KEY_REVOKED);
    assert_int_equal(key.revoked_at, 5000);
    key = key_in(KEY_MINTING);
    assert_string_equal(transition_key_doubt(&key, 6000), "key doubted");
    assert_true(key.unknown);
    assert_string_equal(transition_key_gone(&key, 7000), "key never was");
    assert_int_equal(key.state, KEY_REVOKED);
    assert_false(key.unknown);
}

/* I2: only the provider's word ends a row, and 404 is its word. */
static void every_outcome_of_a_revocation(void **state)
{
    (void)state;
    for (int i = 0; i < OUTCOMES; i++) {
        struct key_record key = key_in(KEY_REVOKING);
        strcpy(key.remote_id, "sa_1");
        const char *event = transition_key_revoked(&key, outcomes[i], "went wrong", 2000);
        if (outcomes[i] == OUTCOME_OK || outcomes[i] == OUTCOME_GONE) {
            assert_string_equal(event, "key revoked");
            assert_int_equal(key.state, KEY_REVOKED);
            assert_int_equal(key.revoked_at, 2000);
        } else {
            assert_null(event);
            assert_int_equal(key.state, KEY_REVOKING);
            assert_int_equal(key.attempts, 3);
        }
    }
}

static void a_container_found_in_doubt_may_be_an_earlier_one(void **state)
{
    struct container_record one = {.state = CONTAINER_PLANNED, .unknown = true};
    (void)state;
    assert_string_equal(transition_container_found(&one, OUTCOME_OK, "old", ""), "container found");
    assert_int_equal(one.state, CONTAINER_OPEN);
    assert_true(one.unknown);
    one.limit_set = 5;
    strcpy(one.rates_set, "r");
    /* It was, and the one that we made may be there all the same. */
    assert_string_equal(transition_container_vanished(&one, 4), "container vanished");
    assert_int_equal(one.state, CONTAINER_PLANNED);
    assert_true(one.unknown);
    assert_string_equal(one.remote_id, "");
    assert_int_equal(one.limit_set, 0);
    assert_string_equal(one.rates_set, "");
    /* One that takes a request is past all doubt. */
    transition_container_found(&one, OUTCOME_OK, "new", "");
    transition_container_limited(&one, OUTCOME_OK, 7, "");
    assert_false(one.unknown);
    one.unknown = true;
    transition_container_rated(&one, OUTCOME_OK, "r", "");
    assert_false(one.unknown);
    transition_container_vanished(&one, 4);
    assert_int_equal(one.state, CONTAINER_ARCHIVED);
}

static void why_a_container_is_in_doubt_is_kept(void **state)
{
    struct container_record one = {.state = CONTAINER_CREATING};
    (void)state;
    transition_container_created(&one, OUTCOME_UNKNOWN, "", "no answer (500)");
    assert_null(transition_container_found(&one, OUTCOME_OK, "", ""));
    assert_string_equal(one.last_error, "no answer (500)");
    assert_int_equal(one.attempts, 0);
    transition_container_found(&one, OUTCOME_OK, "p", "");
    assert_string_equal(one.last_error, "");
}

static void why_a_key_is_in_doubt_is_kept_until_a_look_fails(void **state)
{
    struct key_record key = key_in(KEY_MINTING);
    (void)state;
    transition_key_minted(&key, OUTCOME_UNKNOWN, NULL, NULL, "no answer (500)", 1);
    transition_key_found(&key, OUTCOME_OK, "", "", 2);
    assert_string_equal(key.last_error, "no answer (500)");
    transition_key_found(&key, OUTCOME_UNREACHABLE, "", "no route", 3);
    assert_string_equal(key.last_error, "no route");
    transition_key_found(&key, OUTCOME_OK, "", "", 4);
    assert_string_equal(key.last_error, "");
}

static void every_outcome_of_a_limit(void **state)
{
    static const bool lives[] = {[KEY_MINTED] = true, [KEY_ACTIVE] = true, [KEY_SUSPENDED] = true, [KEY_RETIRING] = true,
                                 [KEY_REVOKED] = false};
    (void)state;
    for (int i = 0; i < OUTCOMES; i++)
        for (enum key_state at = KEY_PLANNED; at <= KEY_REVOKED; at++) {
            struct key_record key = key_in(at), before;
            key.limit_set = 50;
            before = key;
            const char *event = transition_key_limited(&key, outcomes[i], 500, "no", 9);
            if (!lives[at]) {
                assert_null(event);
                assert_memory_equal(&key, &before, sizeof key);
                continue;
            }
            bool ok = outcomes[i] == OUTCOME_OK, gone = outcomes[i] == OUTCOME_GONE;
            assert_string_equal(event ? event : "-", ok ? "key limited" : gone ? "key vanished" : "-");
            assert_int_equal(key.state, gone ? KEY_REVOKED : at);
            assert_int_equal(key.limit_set, ok ? 500 : 50);
            assert_int_equal(key.attempts, ok || gone ? 0 : 3);
            assert_string_equal(key.last_error, ok || gone ? "" : "no");
        }
    struct key_record doubted = key_in(KEY_MINTED);
    doubted.unknown = true; /* an earlier request may be carried out yet: it is looked for */
    assert_string_equal(transition_key_limited(&doubted, OUTCOME_GONE, 500, "", 9), "key vanished");
    assert_int_equal(doubted.state, KEY_REVOKING);
}

static void a_doubted_key_that_was_found_is_looked_for_again(void **state)
{
    struct key_record key = key_in(KEY_REVOKING);
    (void)state;
    key.unknown = true;
    assert_string_equal(transition_key_found(&key, OUTCOME_OK, "sa_9", "", 1), "key found");
    assert_string_equal(key.remote_id, "sa_9");
    assert_string_equal(transition_key_revoked(&key, OUTCOME_OK, "", 2), "key found and removed");
    assert_int_equal(key.state, KEY_REVOKING);
    assert_string_equal(key.remote_id, "");
    assert_null(transition_key_found(&key, OUTCOME_OK, "", "", 3));
    assert_int_equal(key.state, KEY_REVOKING);
    assert_null(transition_key_found(&key, OUTCOME_UNREACHABLE, "", "no route", 4));
    assert_string_equal(key.last_error, "no route");
    assert_int_equal(key.attempts, 1);
    assert_string_equal(transition_key_found(&key, OUTCOME_GONE, "", "", 5), "key revoked");
    assert_int_equal(key.state, KEY_REVOKED);
}

static struct container_record container_in(enum container_state wanted)
{
    struct container_record container;
    transition_container_new(&container, "openai", CONTAINER_PER_DOMAIN, "u", "", "h", 0);
    container.state = wanted;
    container.attempts = 2;
    return container;
}

static void every_outcome_for_a_container(void **state)
{
    (void)state;
    for (int i = 0; i < OUTCOMES; i++) {
        bool ok = outcomes[i] == OUTCOME_OK;
        struct container_record one = container_in(CONTAINER_PLANNED);
        const char *event = transition_container_found(&one, outcomes[i], "p", "e");
        assert_int_equal(one.state, ok ? CONTAINER_OPEN : CONTAINER_PLANNED);
        assert_int_equal(event != NULL, ok);
        one = container_in(CONTAINER_PLANNED);
        assert_string_equal(transition_container_create(&one), "container creating");
        event = transition_container_created(&one, outcomes[i], "p", "e");
        assert_int_equal(one.state, ok ? CONTAINER_OPEN : CONTAINER_PLANNED);
        assert_int_equal(one.unknown, outcomes[i] == OUTCOME_UNKNOWN);
        assert_string_equal(one.remote_id, ok ? "p" : "");
        assert_string_equal(event ? event : "-", ok            ? "container open"
                                                 : one.unknown ? "container doubted"
                                                               : "-");
        one = container_in(CONTAINER_OPEN);
        one.limit_set = 50;
        transition_container_limited(&one, outcomes[i], 500, "e");
        assert_int_equal(one.limit_set, ok ? 500 : 50);
        assert_int_equal(one.attempts, ok ? 0 : 3);
        transition_container_rated(&one, outcomes[i], "f", "e");
        assert_string_equal(one.rates_set, ok ? "f" : "");
        one = container_in(CONTAINER_ARCHIVING);
        transition_container_archived(&one, outcomes[i], "e", 9);
        assert_int_equal(one.state, ok || outcomes[i] == OUTCOME_GONE ? CONTAINER_ARCHIVED : CONTAINER_ARCHIVING);
    }
}

static void a_container_that_is_not_listed_stays_planned(void **state)
{
    struct container_record one = container_in(CONTAINER_PLANNED);
    (void)state;
    assert_null(transition_container_found(&one, OUTCOME_OK, "", ""));
    assert_int_equal(one.state, CONTAINER_PLANNED);
    assert_int_equal(one.attempts, 0);
    assert_string_equal(transition_container_doubt(&one), "container doubted");
    assert_true(one.unknown);
    transition_container_found(&one, OUTCOME_OK, "p", "");
    assert_int_equal(one.state, CONTAINER_OPEN);
    assert_string_equal(transition_container_end(&one), "container archiving");
    assert_int_equal(one.state, CONTAINER_ARCHIVING);
    one = container_in(CONTAINER_PLANNED);
    assert_string_equal(transition_container_drop(&one, 3), "container dropped");
    assert_int_equal(one.archived_at, 3);
    one = container_in(CONTAINER_OPEN);
    assert_string_equal(transition_container_vanished(&one, 4), "container vanished");
    assert_int_equal(one.state, CONTAINER_ARCHIVED);
}

static void long_errors_are_cut(void **state)
{
    struct key_record key = key_in(KEY_REVOKING);
    char text[1000];
    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    transition_key_revoked(&key, OUTCOME_REFUSED, text, 1);
    assert_int_equal(strlen(key.last_error), RECORD_ERROR_SIZE - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_deterministic),
        cmocka_unit_test(a_long_name_loses_its_label_not_its_identity),
        cmocka_unit_test(every_outcome_of_a_minting),
        cmocka_unit_test(a_key_lives_and_ends),
        cmocka_unit_test(every_outcome_of_a_revocation),
        cmocka_unit_test(every_outcome_of_a_limit),
        cmocka_unit_test(a_doubted_key_that_was_found_is_looked_for_again),
        cmocka_unit_test(why_a_key_is_in_doubt_is_kept_until_a_look_fails),
        cmocka_unit_test(a_container_found_in_doubt_may_be_an_earlier_one),
        cmocka_unit_test(why_a_container_is_in_doubt_is_kept),
        cmocka_unit_test(every_outcome_for_a_container),
        cmocka_unit_test(a_container_that_is_not_listed_stays_planned),
        cmocka_unit_test(long_errors_are_cut),
    };
    return check_run(tests);
}
