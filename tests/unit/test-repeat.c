/* A minting whose secret was ours to choose: its answer may be lost, and the same key asked for again. */
#include "plan-fixture.h"

/* A domain that runs, and a key that was being made when the daemon ended. */
static int setup(void **state)
{
    (void)state;
    world_begin(DOMAIN_RUNNING, PLAN_CAN_REPEAT, KEY_MINTING);
    w.container.kind = CONTAINER_GIVEN;
    w.facts.agent = AGENT_CONNECTED;
    w.records[0] = (struct key_record){.id = 1, .generation = 1, .state = KEY_MINTING};
    return 0;
}

static void it_is_asked_for_again(void **state)
{
    (void)state;
    check_plan("mint key 0", PLAN_STATUS_MINTING);
    w.keys[0].busy = true;
    check_plan("", PLAN_STATUS_MINTING);
    w.keys[0].busy = false;
    w.keys[0].next_attempt = NOW + 5;
    check_plan("", PLAN_STATUS_WAITING_RETRY);
    assert_true(w.plan.next_look == NOW + 5);
}

/* Where the provider chooses, nobody can ask twice; and what nobody wants any more is looked for and removed. */
static void else_it_is_in_doubt(void **state)
{
    (void)state;
    w.grant_facts.abilities = 0;
    check_plan("doubt key 0", PLAN_STATUS_OFF);
    setup(state);
    w.facts.state = DOMAIN_OFF;
    check_plan("doubt key 0", PLAN_STATUS_OFF);
    setup(state);
    w.facts.state = DOMAIN_SAVED;
    check_plan("doubt key 0", PLAN_STATUS_OFF);
    setup(state);
    w.facts.policy_known = false;
    check_plan("doubt key 0", PLAN_STATUS_OFF);
    setup(state);
    w.grant_facts.wanted = false;
    check_plan("doubt key 0", PLAN_STATUS_OFF);
    setup(state);
    w.facts.state = DOMAIN_UNKNOWN;
    w.grant_facts.wanted = false;
    check_plan("doubt key 0", PLAN_STATUS_OFF);
    setup(state);
    w.grant_facts.over_budget = true;
    w.grant_facts.abilities |= PLAN_CAN_SUSPEND;
    check_plan("doubt key 0", PLAN_STATUS_OVER_BUDGET);
}

static void it_stays_in_doubt_until_it_is_gone(void **state)
{
    (void)state;
    struct key_record *key = &w.records[0];
    assert_null(transition_key_unanswered(key, "no answer came"));
    assert_int_equal(key->state, KEY_MINTING);
    assert_int_equal(key->attempts, 1);
    assert_string_equal(key->last_error, "no answer came");
    assert_true(key->unknown);
    /* Refused now: an earlier request may have made it all the same. */
    assert_null(transition_key_minted(key, OUTCOME_REFUSED, NULL, NULL, "no more keys", 7));
    assert_int_equal(key->state, KEY_MINTING);
    assert_string_equal(transition_key_minted(key, OUTCOME_OK, "hash", "fingerprint", "", 8), "key minted");
    assert_int_equal(key->state, KEY_MINTED);
    transition_key_end(key, 9);
    /* The first request may be carried out yet, so its name is looked for once more. */
    assert_string_equal(transition_key_revoked(key, OUTCOME_OK, "", 10), "key found and removed");
    assert_int_equal(key->state, KEY_REVOKING);
    assert_string_equal(key->remote_id, "");
}

/* It was in a guest once, and a request that is late can bring it back: then it must not live beside another. */
static void one_that_was_minted_goes_before_another_comes(void **state)
{
    (void)state;
    w.records[0].state = KEY_REVOKING;
    w.records[0].unknown = true;
    w.keys[0].doubted_at = NOW - 10;
    w.keys[0].looked_at = NOW - 5;
    w.records[0].minted_at = 5;
    check_plan("", PLAN_STATUS_WAITING_OLD);
    w.records[0].minted_at = 0;
    w.keys[0].doubted_at = NOW - 1000;
    w.keys[0].looked_at = NOW - 500;
    check_plan("plan key 0", PLAN_STATUS_OPENING);
}

static void what_vanished_may_come_back_while_it_is_in_doubt(void **state)
{
    (void)state;
    struct key_record *key = &w.records[0];
    for (int resumes = 0; resumes < 2; resumes++) {
        *key = (struct key_record){.id = 1, .generation = 1, .state = KEY_SUSPENDED, .unknown = true, .remote_id = "hash"};
        assert_string_equal(resumes ? transition_key_resumed(key, OUTCOME_GONE, "", 7)
                                    : transition_key_suspended(key, OUTCOME_GONE, true, "", 7), "key vanished");
        assert_int_equal(key->state, KEY_REVOKING);
        assert_int_equal(key->revoking_at, 7);
        assert_string_equal(key->remote_id, "");
        assert_true(key->unknown);
        *key = (struct key_record){.id = 1, .generation = 1, .state = KEY_SUSPENDED, .remote_id = "hash"};
        assert_string_equal(resumes ? transition_key_resumed(key, OUTCOME_GONE, "", 7)
                                    : transition_key_suspended(key, OUTCOME_GONE, true, "", 7), "key vanished");
        assert_int_equal(key->state, KEY_REVOKED);
    }
}

static void a_request_that_follows_another_knows_it(void **state)
{
    (void)state;
    w.records[0].state = KEY_PLANNED;
    transition_key_mint(&w.records[0]);
    assert_false(w.records[0].unknown);
    transition_key_mint(&w.records[0]);
    assert_true(w.records[0].unknown);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(it_is_asked_for_again, setup),
        cmocka_unit_test_setup(else_it_is_in_doubt, setup),
        cmocka_unit_test_setup(it_stays_in_doubt_until_it_is_gone, setup),
        cmocka_unit_test_setup(one_that_was_minted_goes_before_another_comes, setup),
        cmocka_unit_test_setup(what_vanished_may_come_back_while_it_is_in_doubt, setup),
        cmocka_unit_test_setup(a_request_that_follows_another_knows_it, setup),
    };
    return check_run(tests);
}
