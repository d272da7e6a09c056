/* plan(): a key is not to be used for a while, and then is the same key again. */
#include "plan-fixture.h"

/* A domain in STATE with one key that was suspended, of a provider that can. */
static void world(enum domain_state state)
{
    world_begin(state, PLAN_CAN_CONTAIN | PLAN_CAN_LIMIT_CONTAINER | PLAN_CAN_SUSPEND, KEY_SUSPENDED);
    w.grant.overlap_ms = 1000;
    w.grant.on_stop = w.grant.on_save = POLICY_FATE_SUSPEND;
    w.facts.wall = 1000;
    for (size_t i = 0; i < KEYS_MAX; i++) {
        w.records[i].minted_at = 1;
        w.records[i].suspended_at = 2;
    }
}

static void key_is(size_t index, enum key_state state)
{
    w.records[index].state = state;
    w.records[index].suspended_at = 0;
    if (w.grant_facts.keys_count <= index)
        w.grant_facts.keys_count = index + 1;
}

static void a_start_takes_it_up_again(void **state)
{
    (void)state;
    world(DOMAIN_OFF);
    check_plan("", PLAN_STATUS_SUSPENDED);
    assert_true(w.plan.next_look == SCHEDULE_NEVER);
    w.facts.state = DOMAIN_STARTING;
    check_plan("resume key 0", PLAN_STATUS_RESUMING);
    assert_int_equal(plan_required(&w.facts), PLAN_VERDICT_WAIT);
    w.keys[0].busy = true;
    check_plan("", PLAN_STATUS_RESUMING);
    assert_string_equal(transition_key_resume(&w.records[0]), "key resuming");
    assert_null(transition_key_resume(&w.records[0]));
    assert_string_equal(transition_key_resumed(&w.records[0], OUTCOME_OK, "", 5), "key resumed");
    w.keys[0].busy = false;
    /* The guest has to prove it again. */
    check_plan("", PLAN_STATUS_DELIVERING);
    assert_int_equal(w.records[0].state, KEY_MINTED);
    assert_int_equal(plan_required(&w.facts), PLAN_VERDICT_READY);
}

static void its_budget_stands_before(void **state)
{
    (void)state;
    world(DOMAIN_RUNNING);
    w.container.limit_set = 100;
    check_plan("limit container 0", PLAN_STATUS_OPENING);
    w.container.limit_set = 7;
    check_plan("resume key 0", PLAN_STATUS_RESUMING);
    /* The provider's container went, and the key with it. */
    w.container.state = CONTAINER_PLANNED;
    check_plan("end key 0", PLAN_STATUS_OFF);
    w.keys[0].busy = true;
    check_plan("find container 0", PLAN_STATUS_OPENING);
}

static void one_that_is_not_certain(void **state)
{
    (void)state;
    /* A suspension without an answer may be carried out late: what is resumed too soon would not stay it. */
    world(DOMAIN_RUNNING);
    key_is(0, KEY_SUSPENDED);
    w.keys[0].suspend_doubted_at = NOW - PLAN_SETTLE_MS + 1;
    check_plan("", PLAN_STATUS_SETTLING);
    assert_int_equal(w.plan.next_look, NOW + 1);
    w.keys[0].suspend_doubted_at = NOW - PLAN_SETTLE_MS;
    check_plan("resume key 0", PLAN_STATUS_RESUMING);
    w.keys[0].resume_doubted_at = NOW - 1; /* a second resumption does no harm */
    check_plan("resume key 0", PLAN_STATUS_RESUMING);

    /* And a suspension counts when nothing else can be carried out any more; until then it is asked for once. */
    world(DOMAIN_OFF);
    key_is(0, KEY_SUSPENDED);
    w.keys[0].resume_doubted_at = NOW - 10;
    check_plan("suspend key 0", PLAN_STATUS_SUSPENDING);
    w.keys[0].suspend_heard_at = NOW - 5;
    check_plan("", PLAN_STATUS_SUSPENDING);
    assert_int_equal(w.plan.next_look, NOW - 10 + PLAN_SETTLE_MS);
    w.keys[0].suspend_doubted_at = NOW - 4;
    check_plan("suspend key 0", PLAN_STATUS_SUSPENDING);
    w.keys[0].resume_doubted_at = w.keys[0].suspend_doubted_at = NOW - PLAN_SETTLE_MS;
    check_plan("suspend key 0", PLAN_STATUS_SUSPENDING);
    w.keys[0].busy = true;
    check_plan("", PLAN_STATUS_SUSPENDING);
}

static void a_saved_rotation_goes_on(void **state)
{
    (void)state;
    /* Both are suspended: programs in the saved memory may still have the earlier one. */
    world(DOMAIN_SAVED);
    key_is(0, KEY_RETIRING);
    w.records[0].retiring_at = 500;
    key_is(1, KEY_ACTIVE);
    w.facts.only_heard = true; /* it may have been restored since */
    check_plan("", PLAN_STATUS_KEPT);
    w.facts.only_heard = false;
    check_plan("suspend key 0,suspend key 1", PLAN_STATUS_SUSPENDING);
    for (size_t i = 0; i < 2; i++) {
        transition_key_suspend(&w.records[i]);
        transition_key_suspended(&w.records[i], OUTCOME_OK, true, "", 600);
    }
    check_plan("", PLAN_STATUS_SUSPENDED);
    w.facts.state = DOMAIN_RUNNING;
    check_plan("resume key 0,resume key 1", PLAN_STATUS_RESUMING);
    transition_key_resumed(&w.records[0], OUTCOME_OK, "", 700);
    transition_key_resumed(&w.records[1], OUTCOME_OK, "", 700);
    assert_int_equal(w.records[0].state, KEY_RETIRING);
    w.facts.delivery_proven = true;
    check_plan("prove key 1", PLAN_STATUS_DELIVERING);
    transition_key_proven(&w.records[1], 800);
    check_plan("", PLAN_STATUS_OK);
    w.facts.wall = 1500;
    check_plan("end key 0", PLAN_STATUS_OK);

    /* The one that works is taken up again while its successor is being made. */
    world(DOMAIN_RUNNING);
    key_is(1, KEY_MINTING);
    w.keys[1].busy = true;
    check_plan("resume key 0", PLAN_STATUS_MINTING);
    w.keys[0].suspend_doubted_at = NOW - 1;
    check_plan("", PLAN_STATUS_MINTING);

    /* One whose successor has ended makes room for another, as it does when it was never suspended. */
    world(DOMAIN_RUNNING);
    w.records[0].retiring_at = 500;
    check_plan("resume key 0,plan key 0", PLAN_STATUS_OPENING);
}

static void it_goes_with_its_container(void **state)
{
    (void)state;
    world(DOMAIN_OFF);
    key_is(0, KEY_ACTIVE);
    w.container.state = CONTAINER_PLANNED;
    check_plan("end key 0", PLAN_STATUS_OFF);
    key_is(0, KEY_SUSPENDED);
    w.keys[0].busy = true;
    check_plan("", PLAN_STATUS_SUSPENDING);
}

/* Nobody has the earlier one after a stop: there is one key to go on with. */
static void a_stop_ends_what_was_replaced(void **state)
{
    (void)state;
    world(DOMAIN_OFF);
    key_is(0, KEY_ACTIVE);
    key_is(1, KEY_MINTED);
    check_plan("end key 0,suspend key 1", PLAN_STATUS_SUSPENDING);
    key_is(0, KEY_RETIRING);
    w.records[0].retiring_at = 500;
    key_is(1, KEY_REVOKING);
    check_plan("end key 0,revoke key 1", PLAN_STATUS_REVOKING);
    world(DOMAIN_OFF);
    key_is(1, KEY_SUSPENDED);
    check_plan("end key 0,suspend key 1", PLAN_STATUS_SUSPENDING);
    /* Its successor was not made yet: that is not, and this one stays. */
    world(DOMAIN_OFF);
    key_is(0, KEY_ACTIVE);
    key_is(1, KEY_PLANNED);
    check_plan("suspend key 0,drop key 1", PLAN_STATUS_SUSPENDING);
    key_is(1, KEY_MINTING);
    w.keys[1].busy = true;
    check_plan("suspend key 0", PLAN_STATUS_SUSPENDING);
}

static void over_budget_nothing_works(void **state)
{
    (void)state;
    world(DOMAIN_RUNNING);
    w.grant_facts.over_budget = true;
    check_plan("", PLAN_STATUS_OVER_BUDGET);
    key_is(0, KEY_ACTIVE);
    check_plan("suspend key 0", PLAN_STATUS_SUSPENDING);
    w.grant_facts.keys_count = 0;
    check_plan("", PLAN_STATUS_OVER_BUDGET);
    w.facts.state = DOMAIN_OFF;
    check_plan("", PLAN_STATUS_OVER_BUDGET);
    w.grant_facts.wanted = false;
    check_plan("", PLAN_STATUS_NOT_WANTED);
    w.grant.held_at = 1;
    check_plan("", PLAN_STATUS_NOT_WANTED);
    w.facts.state = DOMAIN_ABSENT;
    w.grant.held_at = 0;
    check_plan("end container 0", PLAN_STATUS_OFF);
    /* The next month, or a higher limit. */
    world(DOMAIN_RUNNING);
    w.grant.over_budget = POLICY_FATE_REVOKE;
    check_plan("resume key 0", PLAN_STATUS_RESUMING);
}

/* Each provider can what it can; what a policy asks for beyond that is what comes next to it. */
static void what_cannot_be_suspended(void **state)
{
    (void)state;
    world(DOMAIN_OFF);
    w.grant_facts.abilities = 0;
    assert_int_equal(plan_fate(&w.facts, &w.grant_facts), POLICY_FATE_REVOKE);
    w.facts.state = DOMAIN_SAVED;
    assert_int_equal(plan_fate(&w.facts, &w.grant_facts), POLICY_FATE_KEEP);
    w.grant_facts.over_budget = true;
    assert_int_equal(plan_fate(&w.facts, &w.grant_facts), POLICY_FATE_REVOKE);
    w.grant_facts.over_budget = false;
    /* Suspended when it still could, or by somebody: it stays so until the domain runs. */
    check_plan("", PLAN_STATUS_SUSPENDED);
    w.facts.state = DOMAIN_RUNNING;
    w.facts.policy_known = false;
    check_plan("", PLAN_STATUS_POLICY_UNKNOWN);
    w.facts.state = DOMAIN_MIGRATED;
    check_plan("", PLAN_STATUS_OFF);
    w.facts.policy_known = true;
    check_plan("resume key 0", PLAN_STATUS_RESUMING);
}

/* What will be given again in a moment is not taken out of the guest. */
static void the_guest_keeps_it_meanwhile(void **state)
{
    (void)state;
    world(DOMAIN_RUNNING);
    w.facts.agent = AGENT_CONNECTED;
    w.facts.delivered = true;
    check_plan("resume key 0", PLAN_STATUS_RESUMING);
    w.facts.policy_known = false; /* nobody says that it will be */
    check_plan("deliver 0", PLAN_STATUS_POLICY_UNKNOWN);
    w.facts.policy_known = true;
    w.grant_facts.over_budget = true;
    check_plan("deliver 0", PLAN_STATUS_OVER_BUDGET);
    w.grant_facts.over_budget = false;
    key_is(1, KEY_MINTED);
    w.records[1].state = KEY_MINTED;
    check_plan("resume key 0,deliver 0", PLAN_STATUS_DELIVERING);

    /* Of two grants: one resumes, and the other has nothing to take out or put in; then it has. */
    world(DOMAIN_RUNNING);
    struct plan_grant two[2] = {w.grant_facts, w.grant_facts};
    struct plan_grant_status statuses[2];
    w.facts.agent = AGENT_CONNECTED;
    w.facts.delivered = true;
    w.facts.grants = two;
    w.facts.grants_count = 2;
    two[1].wanted = false;
    two[1].keys_count = 0;
    plan_domain(&w.facts, NOW, &w.plan, statuses);
    assert_int_equal(w.plan.count, 1);
    assert_int_equal(w.plan.actions[0].kind, PLAN_RESUME_KEY);
    struct key_record minted = {.id = 9, .state = KEY_MINTED, .remote_id = "sb"};
    struct plan_key other = {.record = &minted};
    two[1] = two[0];
    two[0].keys = &other;
    plan_domain(&w.facts, NOW, &w.plan, statuses);
    assert_int_equal(w.plan.count, 2);
    assert_int_equal(w.plan.actions[1].kind, PLAN_DELIVER);
}

/* One from the pool exists already: nothing about it is in doubt, it is asked for again. */
static void what_is_claimed(void **state)
{
    static const char *const decided[DOMAIN_MIGRATED + 1] = {
        [DOMAIN_UNKNOWN] = "", [DOMAIN_ABSENT] = "end key 0", [DOMAIN_OFF] = "suspend key 0", [DOMAIN_STARTING] = "mint key 0",
        [DOMAIN_RUNNING] = "mint key 0", [DOMAIN_PAUSED] = "mint key 0", [DOMAIN_SAVED] = "suspend key 0",
        [DOMAIN_MIGRATED] = ""};
    (void)state;
    for (enum domain_state s = DOMAIN_UNKNOWN; s <= DOMAIN_MIGRATED; s++) {
        char got[64] = "";
        world(s);
        key_is(0, KEY_MINTING);
        w.grant_facts.abilities |= PLAN_CLAIMS;
        w.grant.on_stop = POLICY_FATE_DEFAULT;
        plan_domain(&w.facts, NOW, &w.plan, &w.status);
        if (w.plan.count)
            snprintf(got, sizeof got, "%s %zu", plan_kind_name(w.plan.actions[0].kind), w.plan.actions[0].key);
        if (w.plan.count > 1 || strcmp(got, decided[s]) != 0)
            fail_msg("%s: '%s', and '%s' was decided", domain_state_name(s), got, decided[s]);
        w.keys[0].busy = true; /* until it is answered */
        plan_domain(&w.facts, NOW, &w.plan, &w.status);
        assert_int_equal(w.plan.count, 0);
    }
    /* It lives on where its container does not, and where nobody can be asked. */
    world(DOMAIN_RUNNING);
    w.grant_facts.abilities |= PLAN_CLAIMS;
    key_is(0, KEY_REVOKING);
    w.container.state = CONTAINER_ARCHIVED;
    check_plan("revoke key 0", PLAN_STATUS_WAITING_OLD);
    w.grant_facts.provider_ok = false;
    w.grant_facts.abilities = 0;
    check_plan("", PLAN_STATUS_WAITING_OLD);
    world(DOMAIN_RUNNING);
    w.grant_facts.abilities |= PLAN_CLAIMS;
    w.container.state = CONTAINER_ARCHIVED;
    check_plan("plan container 0", PLAN_STATUS_OFF);
}

static void an_empty_pool(void **state)
{
    (void)state;
    world(DOMAIN_RUNNING);
    key_is(0, KEY_PLANNED);
    w.records[0].remote_id[0] = '\0';
    w.grant_facts.pool_empty = true; /* means nothing where nothing is claimed */
    check_plan("mint key 0", PLAN_STATUS_MINTING);
    w.grant_facts.abilities |= PLAN_CLAIMS;
    check_plan("", PLAN_STATUS_POOL_EMPTY);
    assert_true(w.plan.next_look == SCHEDULE_NEVER);
    /* Nor is one replaced that could not be. */
    key_is(0, KEY_ACTIVE);
    w.facts.delivery_proven = true;
    w.grant.replace_through = 1;
    check_plan("", PLAN_STATUS_OK);
    w.grant_facts.pool_empty = false;
    check_plan("plan key 0", PLAN_STATUS_OK);
    /* Another domain was quicker than a successor: it is planned again another time, and the earlier one goes on. */
    key_is(1, KEY_PLANNED);
    check_plan("mint key 1", PLAN_STATUS_ROTATING);
    w.grant_facts.pool_empty = true;
    check_plan("drop key 1", PLAN_STATUS_OFF);
    /* Beside one that ends it keeps its place. */
    key_is(0, KEY_RETIRING);
    check_plan("", PLAN_STATUS_POOL_EMPTY);
    /* One that ends between them changes nothing. */
    key_is(0, KEY_ACTIVE);
    key_is(1, KEY_REVOKING);
    key_is(2, KEY_PLANNED);
    w.records[2].remote_id[0] = '\0';
    check_plan("revoke key 1,drop key 2", PLAN_STATUS_REVOKING);
}

static void every_outcome_of_a_claim(void **state)
{
    (void)state;
    for (enum outcome outcome = OUTCOME_OK; outcome <= OUTCOME_UNKNOWN; outcome++) {
        struct key_record key = {.state = KEY_PLANNED, .attempts = 2};
        assert_string_equal(transition_key_claim(&key, "apikey_1", "abc"), "key claimed");
        assert_int_equal(key.state, KEY_MINTING);
        assert_string_equal(key.remote_id, "apikey_1");
        assert_string_equal(key.fingerprint, "abc");
        const char *event = transition_key_claimed(&key, outcome, "went wrong", 9);
        if (outcome == OUTCOME_OK) {
            assert_string_equal(event, "key minted");
            assert_int_equal(key.state, KEY_MINTED);
            assert_int_equal(key.minted_at, 9);
            assert_int_equal(key.attempts, 0);
        } else if (outcome == OUTCOME_GONE) {
            assert_string_equal(event, "key vanished");
            assert_int_equal(key.state, KEY_REVOKED);
        } else {
            assert_null(event);
            assert_int_equal(key.state, KEY_MINTING);
            assert_false(key.unknown);
            assert_int_equal(key.attempts, 3);
            /* Suspended before it was answered: it is minted by being resumed. */
            transition_key_suspend(&key);
            transition_key_resumed(&key, OUTCOME_OK, "", 10);
            assert_int_equal(key.state, KEY_MINTED);
            assert_int_equal(key.minted_at, 10);
        }
    }
}

static void an_answer_that_is_not_certain_is_no_news(void **state)
{
    struct key_record key = {.state = KEY_ACTIVE, .attempts = 3, .last_error = "before"};
    (void)state;
    assert_string_equal(transition_key_suspend(&key), "key suspending");
    assert_int_equal(key.attempts, 0);
    assert_null(transition_key_suspended(&key, OUTCOME_UNKNOWN, true, "lost", 5));
    assert_int_equal(key.attempts, 1);
    assert_string_equal(key.last_error, "lost");
    assert_null(transition_key_suspended(&key, OUTCOME_OK, false, "", 5));
    assert_int_equal(key.attempts, 0);
    assert_string_equal(key.last_error, "");
    assert_int_equal(key.suspended_at, 0);
    assert_string_equal(transition_key_suspended(&key, OUTCOME_OK, true, "", 6), "key suspended");
    assert_int_equal(key.suspended_at, 6);
    assert_null(transition_key_resumed(&key, OUTCOME_REFUSED, "no", 7));
    assert_int_equal(key.state, KEY_SUSPENDED);
    assert_string_equal(transition_key_resumed(&key, OUTCOME_GONE, "", 8), "key vanished");
    assert_int_equal(key.state, KEY_REVOKED);
    assert_int_equal(key.revoked_at, 8);
    key.state = KEY_SUSPENDED;
    assert_string_equal(transition_key_suspended(&key, OUTCOME_GONE, false, "", 9), "key vanished");
    assert_int_equal(key.revoked_at, 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_start_takes_it_up_again),
        cmocka_unit_test(its_budget_stands_before),
        cmocka_unit_test(one_that_is_not_certain),
        cmocka_unit_test(a_saved_rotation_goes_on),
        cmocka_unit_test(it_goes_with_its_container),
        cmocka_unit_test(a_stop_ends_what_was_replaced),
        cmocka_unit_test(over_budget_nothing_works),
        cmocka_unit_test(what_cannot_be_suspended),
        cmocka_unit_test(the_guest_keeps_it_meanwhile),
        cmocka_unit_test(what_is_claimed),
        cmocka_unit_test(an_empty_pool),
        cmocka_unit_test(every_outcome_of_a_claim),
        cmocka_unit_test(an_answer_that_is_not_certain_is_no_news),
    };
    return check_run(tests);
}
