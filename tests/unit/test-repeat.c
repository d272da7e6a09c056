/* A minting whose secret was ours to choose: its answer may be lost, and the same key asked for again. */
#include "check.h"

#include "lifecycle/plan.h"
#include "lifecycle/schedule.h"
#include "lifecycle/transition.h"

#include <stdio.h>
#include <string.h>

enum { NOW = 1000000 };

static struct {
    struct grant_record grant;
    struct container_record container;
    struct key_record record;
    struct plan_container container_facts;
    struct plan_key key;
    struct plan_grant grant_facts;
    struct plan_facts facts;
    struct plan plan;
    struct plan_grant_status status;
} w;

/* A domain that runs, and a key that was being made when the daemon ended. */
static int setup(void **state)
{
    (void)state;
    memset(&w, 0, sizeof w);
    w.grant = (struct grant_record){.id = 1};
    w.container = (struct container_record){.id = 5, .kind = CONTAINER_GIVEN, .state = CONTAINER_OPEN, .remote_id = "account"};
    w.container_facts = (struct plan_container){.record = &w.container, .wanted_rates = ""};
    w.record = (struct key_record){.id = 1, .generation = 1, .state = KEY_MINTING};
    w.key.record = &w.record;
    w.grant_facts = (struct plan_grant){.record = &w.grant, .wanted = true, .provider_ok = true, .gate_ready = true,
                                        .abilities = PLAN_CAN_REPEAT, .container = &w.container_facts, .keys = &w.key,
                                        .keys_count = 1};
    w.facts = (struct plan_facts){.state = DOMAIN_RUNNING, .policy_known = true, .agent = AGENT_CONNECTED,
                                  .grants = &w.grant_facts, .grants_count = 1};
    return 0;
}

static void check_plan(const char *wanted, enum plan_status status)
{
    plan_domain(&w.facts, NOW, &w.plan, &w.status);
    assert_string_equal(w.plan.count ? plan_kind_name(w.plan.actions[0].kind) : "", wanted);
    assert_true(w.plan.count <= 1);
    assert_int_equal(w.status.status, status);
}

static void it_is_asked_for_again(void **state)
{
    (void)state;
    check_plan("mint key", PLAN_STATUS_MINTING);
    w.key.busy = true;
    check_plan("", PLAN_STATUS_MINTING);
    w.key.busy = false;
    w.key.next_attempt = NOW + 5;
    check_plan("", PLAN_STATUS_WAITING_RETRY);
    assert_true(w.plan.next_look == NOW + 5);
}

/* Where the provider chooses, nobody can ask twice; and what nobody wants any more is looked for and removed. */
static void else_it_is_in_doubt(void **state)
{
    (void)state;
    w.grant_facts.abilities = 0;
    check_plan("doubt key", PLAN_STATUS_OFF);
    setup(state);
    w.facts.state = DOMAIN_OFF;
    check_plan("doubt key", PLAN_STATUS_OFF);
    setup(state);
    w.facts.state = DOMAIN_SAVED;
    check_plan("doubt key", PLAN_STATUS_OFF);
    setup(state);
    w.facts.policy_known = false;
    check_plan("doubt key", PLAN_STATUS_OFF);
    setup(state);
    w.grant_facts.wanted = false;
    check_plan("doubt key", PLAN_STATUS_OFF);
    setup(state);
    w.facts.state = DOMAIN_UNKNOWN;
    w.grant_facts.wanted = false;
    check_plan("doubt key", PLAN_STATUS_OFF);
    setup(state);
    w.grant_facts.over_budget = true;
    w.grant_facts.abilities |= PLAN_CAN_SUSPEND;
    check_plan("doubt key", PLAN_STATUS_OVER_BUDGET);
}

static void it_stays_in_doubt_until_it_is_gone(void **state)
{
    (void)state;
    struct key_record *key = &w.record;
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
    w.record.state = KEY_REVOKING;
    w.record.unknown = true;
    w.key.doubted_at = NOW - 10;
    w.key.looked_at = NOW - 5;
    w.record.minted_at = 5;
    check_plan("", PLAN_STATUS_WAITING_OLD);
    w.record.minted_at = 0;
    w.key.doubted_at = NOW - 1000;
    w.key.looked_at = NOW - 500;
    check_plan("plan key", PLAN_STATUS_OPENING);
}

static void what_vanished_may_come_back_while_it_is_in_doubt(void **state)
{
    (void)state;
    struct key_record *key = &w.record;
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
    w.record.state = KEY_PLANNED;
    transition_key_mint(&w.record);
    assert_false(w.record.unknown);
    transition_key_mint(&w.record);
    assert_true(w.record.unknown);
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
