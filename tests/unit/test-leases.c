/* plan(): keys that end by themselves: renewed while they are kept, replaced when that is over, and left to end where nobody
 * knows them. */
#include "plan-fixture.h"

/* A running domain with one active key, which its guest has proven, and which is not to be renewed yet. */
static int setup(void **state)
{
    (void)state;
    world_begin(DOMAIN_RUNNING, PLAN_LEASES, KEY_ACTIVE);
    guest_has_proven();
    w.grant.rotate_ms = POLICY_NEVER;
    w.grant.overlap_ms = HOUR;
    w.grant_facts.lease_ms = HOUR;
    for (size_t i = 0; i < KEYS_MAX; i++)
        w.keys[i].renew_at = NOW + 500;
    return 0;
}

/* One whose minting was never answered. */
static void lost(size_t index)
{
    w.records[index].state = KEY_REVOKING;
    w.records[index].unknown = true;
    w.records[index].remote_id[0] = '\0';
    w.records[index].minted_at = 0;
    w.records[index].revoking_at = wall - 1000;
    w.keys[index].doubted_at = NOW - 1000;
}

static void it_is_renewed_when_half_of_it_is_over(void **state)
{
    (void)state;
    check_plan("", PLAN_STATUS_OK);
    assert_int_equal(w.plan.next_look, NOW + 500);
    w.keys[0].renew_at = NOW;
    check_plan("renew key 0", PLAN_STATUS_OK);
    w.keys[0].renew_at = 0; /* the daemon has begun anew, and knows nothing of it */
    check_plan("renew key 0", PLAN_STATUS_OK);
    w.keys[0].busy = true;
    check_plan("", PLAN_STATUS_OK);
    w.keys[0].busy = false;
    w.keys[0].renew_at = SCHEDULE_NEVER; /* without an end */
    check_plan("", PLAN_STATUS_OK);
    assert_true(w.plan.next_look == SCHEDULE_NEVER);
    w.keys[0].renew_at = 0; /* elsewhere keys have no end */
    w.grant_facts.abilities = 0;
    check_plan("", PLAN_STATUS_OK);
}

/* It still works, so the domain's state is no other. */
static void a_renewal_that_fails_is_tried_again(void **state)
{
    (void)state;
    w.keys[0].renew_at = NOW;
    w.keys[0].next_attempt = NOW + 70;
    check_plan("", PLAN_STATUS_OK);
    assert_int_equal(w.plan.next_look, NOW + 70);
    w.keys[0].next_attempt = 0;
    w.grant_facts.gate_ready = false;
    w.grant_facts.gate_opens_at = NOW + 80;
    check_plan("", PLAN_STATUS_OK);
    assert_int_equal(w.plan.next_look, NOW + 80);
}

static void what_is_kept_is_renewed(void **state)
{
    static const enum domain_state kept[] = {DOMAIN_STARTING, DOMAIN_PAUSED, DOMAIN_SAVED, DOMAIN_MIGRATED, DOMAIN_UNKNOWN};
    (void)state;
    w.keys[0].renew_at = NOW;
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        w.facts.state = kept[i];
        plan_domain(&w.facts, NOW, &w.plan, &w.status);
        assert_int_equal(w.plan.count, 1);
        assert_int_equal(w.plan.actions[0].kind, PLAN_RENEW_KEY);
    }
    w.facts.state = DOMAIN_SAVED;
    check_plan("renew key 0", PLAN_STATUS_KEPT);
    w.facts.state = DOMAIN_RUNNING;
    w.facts.policy_known = false;
    check_plan("renew key 0", PLAN_STATUS_POLICY_UNKNOWN);
    w.facts.policy_known = true;
    two_keys(KEY_RETIRING, KEY_ACTIVE); /* its overlap is not over */
    w.records[0].retiring_at = wall;
    check_plan("renew key 0", PLAN_STATUS_OK);
}

/* There are two at most, and the newer one is about to end: it cannot wait for the overlap of the one before. */
static void an_overlap_does_not_hold_up_who_is_about_to_end(void **state)
{
    (void)state;
    two_keys(KEY_RETIRING, KEY_ACTIVE);
    w.records[0].retiring_at = wall;
    check_plan("", PLAN_STATUS_OK);
    w.keys[1].last_life = true;
    w.keys[1].renew_at = SCHEDULE_NEVER; /* it has no end, but what the token's is */
    check_plan("", PLAN_STATUS_OK);
    w.keys[1].renew_at = 0; /* nobody knows it any more */
    check_plan("renew key 1", PLAN_STATUS_OK);
    w.keys[1].renew_at = NOW + 2 * HOUR + 1; /* half of it is left after the overlap */
    check_plan("", PLAN_STATUS_OK);
    w.keys[1].renew_at = NOW + 2 * HOUR - 2;
    check_plan("end key 0", PLAN_STATUS_OK);
    w.facts.delivery_proven = false;
    check_plan("deliver 0", PLAN_STATUS_DELIVERING);
}

static void what_is_not_to_be_kept_is_not_renewed(void **state)
{
    (void)state;
    w.keys[0].renew_at = NOW;
    w.facts.state = DOMAIN_OFF;
    check_plan("end key 0", PLAN_STATUS_OFF);
    w.records[0].state = KEY_REVOKING;
    check_plan("revoke key 0", PLAN_STATUS_REVOKING);
    w.records[0].state = KEY_ACTIVE;
    w.grant.held_at = 1;
    w.facts.state = DOMAIN_RUNNING;
    check_plan("end key 0", PLAN_STATUS_HELD);
    w.grant.held_at = 0;
    w.grant_facts.provider_ok = false; /* nobody to ask */
    check_plan("", PLAN_STATUS_OK);
}

static void what_cannot_be_renewed_is_replaced(void **state)
{
    (void)state;
    w.keys[0].last_life = true;
    w.keys[0].renew_at = NOW + 500;
    check_plan("plan key 0", PLAN_STATUS_OK);
    w.facts.delivery_proven = false; /* only where it could be proven */
    check_plan("deliver 0", PLAN_STATUS_DELIVERING);
    w.facts.delivery_proven = true;
    w.facts.state = DOMAIN_SAVED;
    check_plan("", PLAN_STATUS_KEPT);
    w.facts.state = DOMAIN_RUNNING;
    two_keys(KEY_ACTIVE, KEY_PLANNED); /* once */
    check_plan("mint key 1", PLAN_STATUS_ROTATING);
    two_keys(KEY_ACTIVE, KEY_ACTIVE);
    check_plan("retire key 0", PLAN_STATUS_OK);
    /* Where it was not in time, somebody must find out. */
    w.grant_facts.keys_count = 1;
    w.keys[0].renew_at = NOW;
    w.facts.delivery_proven = false;
    w.facts.agent = AGENT_DISCONNECTED;
    check_plan("renew key 0", PLAN_STATUS_DELIVERING);
}

/* Nobody has it, nobody renews it, and it has no name: the next one need not wait, and its row waits for its end. */
static void what_was_never_answered_ends_by_itself(void **state)
{
    (void)state;
    lost(0);
    check_plan("plan key 0", PLAN_STATUS_OPENING);
    assert_int_equal(w.plan.next_look, NOW + PLAN_DATE_LOOK_MS);
    w.facts.state = DOMAIN_OFF;
    check_plan("", PLAN_STATUS_LAPSING);
    w.facts.wall = wall - 1000 + PLAN_SETTLE_MS + HOUR - 1; /* it may have been carried out that late */
    check_plan("", PLAN_STATUS_LAPSING);
    assert_int_equal(w.plan.next_look, NOW + 1);
    w.facts.wall = wall - 1000 + PLAN_SETTLE_MS + HOUR;
    check_plan("key gone 0", PLAN_STATUS_OFF);
    w.grant_facts.abilities = 0; /* what has a name is looked for */
    w.facts.wall = wall;
    check_plan("find key 0", PLAN_STATUS_REVOKING);
    w.grant_facts.abilities = PLAN_LEASES;
    snprintf(w.records[0].remote_id, sizeof w.records[0].remote_id, "a/b/c"); /* and what has an id is revoked */
    check_plan("revoke key 0", PLAN_STATUS_REVOKING);
}

/* Should minting fail again and again, no more is asked than elsewhere; and the key there is goes on to be replaced. */
static void what_may_have_been_made_holds_nobody_up(void **state)
{
    (void)state;
    lost(0);
    w.keys[0].doubted_at = NOW;
    check_plan("", PLAN_STATUS_SETTLING);
    w.keys[0].doubted_at = NOW - 1000;
    w.grant_facts.keys_count = 2;
    check_plan("", PLAN_STATUS_OK);
    w.keys[1].last_life = true;
    check_plan("plan key 0", PLAN_STATUS_OK);
    w.keys[0].doubted_at = NOW;
    check_plan("", PLAN_STATUS_OK);
}

static void how_a_row_changes(void **state)
{
    struct key_record key = {.state = KEY_ACTIVE, .remote_id = "a/b/c"};
    (void)state;
    assert_null(transition_key_renewed(&key, OUTCOME_REFUSED, "no", wall));
    assert_int_equal(key.attempts, 1);
    assert_string_equal(key.last_error, "no");
    assert_int_equal(key.state, KEY_ACTIVE);
    assert_null(transition_key_renewed(&key, OUTCOME_OK, "", wall));
    assert_int_equal(key.attempts, 0);
    assert_string_equal(key.last_error, "");
    assert_string_equal(transition_key_renewed(&key, OUTCOME_GONE, "gone", wall), "key vanished");
    assert_int_equal(key.state, KEY_REVOKED);
    assert_int_equal(key.revoked_at, wall);
    /* It was made, its lease is known, and its secret is not: it is revoked by that. */
    key = (struct key_record){.state = KEY_MINTING};
    assert_string_equal(transition_key_unusable(&key, "a/b/d", "unreadable", wall), "key revoking");
    assert_int_equal(key.state, KEY_REVOKING);
    assert_string_equal(key.remote_id, "a/b/d");
    assert_false(key.unknown);
    assert_string_equal(key.last_error, "unreadable");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(it_is_renewed_when_half_of_it_is_over, setup),
        cmocka_unit_test_setup(a_renewal_that_fails_is_tried_again, setup),
        cmocka_unit_test_setup(what_is_kept_is_renewed, setup),
        cmocka_unit_test_setup(an_overlap_does_not_hold_up_who_is_about_to_end, setup),
        cmocka_unit_test_setup(what_is_not_to_be_kept_is_not_renewed, setup),
        cmocka_unit_test_setup(what_cannot_be_renewed_is_replaced, setup),
        cmocka_unit_test_setup(what_was_never_answered_ends_by_itself, setup),
        cmocka_unit_test_setup(what_may_have_been_made_holds_nobody_up, setup),
        cmocka_unit_test(how_a_row_changes),
    };
    return check_run(tests);
}
