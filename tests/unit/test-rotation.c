/* plan(): one key replaces another in a domain that runs. */
#include "plan-fixture.h"

static const int64_t day = INT64_C(24) * HOUR;

/* A running domain with one active key, which its guest has proven. */
static int setup(void **state)
{
    (void)state;
    world_begin(DOMAIN_RUNNING, PLAN_CAN_CONTAIN | PLAN_CAN_LIMIT_CONTAINER, KEY_ACTIVE);
    guest_has_proven();
    w.grant.rotate_ms = 30 * day;
    w.grant.overlap_ms = day;
    w.facts.settled_at = -INT64_C(10) * HOUR;
    return 0;
}

static int64_t due(void)
{
    return wall + schedule_spread(w.grant.rotate_ms, 1);
}

static void it_begins_when_its_time_has_come(void **state)
{
    (void)state;
    w.facts.wall = due() - 1;
    check_plan("", PLAN_STATUS_OK);
    assert_int_equal(w.plan.next_look, NOW + 1);
    w.facts.wall = due();
    check_plan("plan key 0", PLAN_STATUS_OK);
    w.facts.wall = wall;
    check_plan("", PLAN_STATUS_OK);
    /* Far away; but the clock may be set meanwhile. */
    assert_int_equal(w.plan.next_look, NOW + PLAN_DATE_LOOK_MS);
}

/* When the rotation of key ID begins, looked at as the plan asks, from NOW on. */
static int64_t begins_at(int64_t id)
{
    w.records[0].id = id;
    for (int64_t now = NOW, looks = 0;; looks++) {
        w.facts.wall = wall + 400 * day + (now - NOW);
        plan_domain(&w.facts, now, &w.plan, &w.status);
        if (w.plan.count) {
            assert_int_equal(w.plan.actions[0].kind, PLAN_NEW_KEY);
            return now;
        }
        assert_true(w.plan.next_look > now && looks < 10);
        now = w.plan.next_look;
    }
}

/* A daemon that comes back after a long time, or an interval that was made shorter: all at once would be too many. */
static void what_is_overdue_is_spread(void **state)
{
    (void)state;
    int minutes[61] = {0}, most = 0;
    w.facts.settled_at = NOW;
    for (int64_t id = 1; id <= 1000; id++)
        minutes[(begins_at(id) - NOW) / 60000]++;
    for (int i = 0; i < 60; i++) {
        assert_in_range(minutes[i], 1, 40); /* 17 each, if chance were fair */
        most = minutes[i] > most ? minutes[i] : most;
    }
    printf("# 1000 rotations overdue at once: %d in the minute with most\n", most);
    w.grant.rotate_ms = HOUR; /* a tenth of it */
    for (int64_t id = 1; id <= 1000; id++)
        assert_in_range(begins_at(id) - NOW, 0, HOUR / 10);
    w.facts.settled_at = NOW - HOUR / 10; /* which is over */
    for (int64_t id = 1; id <= 1000; id++)
        assert_int_equal(begins_at(id), NOW);
}

/* Who has it has none any more: that waits for nobody. */
static void one_that_has_ended_is_not_spread(void **state)
{
    (void)state;
    w.facts.settled_at = NOW;
    w.records[0].expires_at = wall + 400 * day + 1;
    int waited = 0;
    for (int64_t id = 1; id <= 100; id++)
        waited += begins_at(id) > NOW;
    assert_in_range(waited, 90, 100);
    w.records[0].expires_at = wall + 400 * day;
    for (int64_t id = 1; id <= 100; id++)
        assert_int_equal(begins_at(id), NOW);
}

/* What was not due when the daemon began is not late. A clock that was set makes nobody wait longer than that. */
static void what_comes_due_is_not_put_off(void **state)
{
    (void)state;
    w.facts.settled_at = NOW - 5000;
    w.facts.wall = due() + 5000;
    check_plan("plan key 0", PLAN_STATUS_OK);
    w.facts.wall = due() + 5001;
    check_plan("", PLAN_STATUS_OK);
    assert_in_range(w.plan.next_look, NOW + 1, NOW + PLAN_OVERDUE_MS);
    w.facts.settled_at = NOW - PLAN_OVERDUE_MS;
    check_plan("plan key 0", PLAN_STATUS_OK);
    w.facts.wall = due() + 4000 * day;
    check_plan("plan key 0", PLAN_STATUS_OK);
}

/* A day forward and back, the ends of months and years, a leap day, the nights when clocks change: dates are counted from
 * 1970, so nothing but the clock itself matters. Back: nothing begins, and what has begun goes on. */
static void jumps_of_the_clock(void **state)
{
    (void)state;
    static const int64_t instants[] = {
        INT64_C(1709164799999) /* the last of February 28 2024 */, INT64_C(1709251199999) /* and of the leap day */,
        INT64_C(1711846799999) /* summer time */, INT64_C(1729990799999) /* its end */, INT64_C(1735689599999) /* a year's */,
    };
    for (size_t i = 0; i < sizeof instants / sizeof instants[0]; i++) {
        int64_t made = instants[i] + 1 - schedule_spread(w.grant.rotate_ms, 1);
        w.grant_facts.keys_count = 1;
        w.records[0].minted_at = made;
        w.facts.wall = instants[i];
        check_plan("", PLAN_STATUS_OK);
        w.facts.wall = instants[i] - day;
        check_plan("", PLAN_STATUS_OK);
        w.facts.wall = instants[i] + day;
        check_plan("plan key 0", PLAN_STATUS_OK);
        w.facts.wall = instants[i] + 1;
        check_plan("plan key 0", PLAN_STATUS_OK);
        /* It has been carried out: the successor is as young as the clock says, and none is planned beside it. */
        two_keys(KEY_RETIRING, KEY_ACTIVE);
        w.records[0].retiring_at = w.records[1].minted_at = instants[i] + 1;
        w.facts.wall = instants[i] + 2;
        check_plan("", PLAN_STATUS_OK);
        w.facts.wall = instants[i] - day; /* put back: the overlap lasts longer, and nothing is lost */
        check_plan("", PLAN_STATUS_OK);
        w.facts.wall = instants[i] + 1 + day;
        check_plan("end key 0", PLAN_STATUS_OK);
        w.records[0].state = KEY_ACTIVE;
        w.records[0].retiring_at = 0;
    }
}

static void never_means_never(void **state)
{
    (void)state;
    w.grant.rotate_ms = POLICY_NEVER;
    w.facts.wall = wall + 10000 * day;
    check_plan("", PLAN_STATUS_OK);
    assert_true(w.plan.next_look == SCHEDULE_NEVER);
}

/* What the key was made with counts for it, whether or not the policy rotates, and whatever is configured by now. */
static void one_that_ends_by_itself_is_replaced_before(void **state)
{
    (void)state;
    const int64_t life = 40 * day;
    w.records[0].expires_at = w.records[0].minted_at + life; /* 30 days are less than three quarters of it, or as much */
    w.facts.wall = due() - 1;
    check_plan("", PLAN_STATUS_OK);
    w.facts.wall = due();
    check_plan("plan key 0", PLAN_STATUS_OK);
    w.grant.rotate_ms = 90 * day;
    check_plan("plan key 0", PLAN_STATUS_OK);
    w.facts.wall--;
    check_plan("", PLAN_STATUS_OK);
    w.grant.rotate_ms = POLICY_NEVER;
    check_plan("", PLAN_STATUS_OK);
    w.facts.wall++;
    check_plan("plan key 0", PLAN_STATUS_OK);
    w.grant.rotate_ms = 29 * day;
    w.facts.wall = due() - 1;
    check_plan("", PLAN_STATUS_OK);
    w.facts.wall++;
    check_plan("plan key 0", PLAN_STATUS_OK);
    w.facts.wall = w.records[0].minted_at - PLAN_SETTLE_MS; /* the clock was set back: its end is not */
    check_plan("", PLAN_STATUS_OK);
    w.facts.wall--;
    check_plan("plan key 0", PLAN_STATUS_OK);
    w.records[0].expires_at = 0;
    w.grant.rotate_ms = POLICY_NEVER;
    check_plan("", PLAN_STATUS_OK);
}

static void an_operator_need_not_wait_for_it(void **state)
{
    (void)state;
    w.grant.rotate_ms = POLICY_NEVER;
    w.records[0].generation = 4;
    w.grant.replace_through = 3; /* asked for, and done, before */
    check_plan("", PLAN_STATUS_OK);
    w.grant.replace_through = 4;
    check_plan("plan key 0", PLAN_STATUS_OK);
}

static void it_waits_until_the_new_one_could_be_proven(void **state)
{
    (void)state;
    w.facts.wall = due();
    w.facts.delivery_proven = false;
    w.facts.delivery_busy = true;
    check_plan("", PLAN_STATUS_DELIVERING);
    w.facts.delivery_proven = true;
    w.facts.state = DOMAIN_PAUSED;
    check_plan("", PLAN_STATUS_OK);
    w.facts.state = DOMAIN_SAVED;
    check_plan("", PLAN_STATUS_KEPT);
    w.facts.state = DOMAIN_RUNNING;
    w.grant_facts.provider_ok = false;
    check_plan("", PLAN_STATUS_OK);
    w.grant_facts.provider_ok = w.grant_facts.provider_leaves = true;
    check_plan("", PLAN_STATUS_OK);
}

static void nothing_begins_while_another_key_lives(void **state)
{
    (void)state;
    w.facts.wall = due();
    two_keys(KEY_ACTIVE, KEY_REVOKING); /* the answer to an earlier try was lost */
    w.records[1].unknown = true;
    w.keys[1].busy = true;
    check_plan("", PLAN_STATUS_OK);
    two_keys(KEY_RETIRING, KEY_ACTIVE);
    w.records[0].retiring_at = w.facts.wall;
    check_plan("", PLAN_STATUS_OK);
    /* Its end is under way, and need not begin again. */
    two_keys(KEY_REVOKING, KEY_ACTIVE);
    w.keys[0].busy = true;
    check_plan("", PLAN_STATUS_OK);
}

static void the_earlier_one_works_while_the_new_one_is_made(void **state)
{
    (void)state;
    two_keys(KEY_ACTIVE, KEY_PLANNED);
    check_plan("mint key 1", PLAN_STATUS_ROTATING);
    w.facts.delivery_proven = false;
    w.facts.delivery_busy = true;
    check_plan("mint key 1", PLAN_STATUS_DELIVERING);
    two_keys(KEY_ACTIVE, KEY_MINTING);
    w.records[1].remote_id[0] = '\0';
    w.facts.delivery_proven = true;
    w.keys[1].busy = true;
    check_plan("", PLAN_STATUS_ROTATING);
    w.keys[1].busy = false;
    check_plan("doubt key 1", PLAN_STATUS_OFF);
}

static void the_earlier_one_retires_only_after_proof(void **state)
{
    (void)state;
    two_keys(KEY_ACTIVE, KEY_MINTED);
    w.facts.delivery_proven = false;
    check_plan("deliver 0", PLAN_STATUS_DELIVERING);
    assert_int_equal(plan_current_key(&w.grant_facts), 1);
    w.facts.delivery_proven = true;
    check_plan("prove key 1", PLAN_STATUS_DELIVERING);
    two_keys(KEY_ACTIVE, KEY_ACTIVE);
    check_plan("retire key 0", PLAN_STATUS_OK);
    two_keys(KEY_MINTED, KEY_ACTIVE); /* the guest had the new one before the earlier one was ever proven */
    check_plan("retire key 0", PLAN_STATUS_OK);
}

static void it_ends_after_the_overlap(void **state)
{
    (void)state;
    two_keys(KEY_RETIRING, KEY_ACTIVE);
    w.records[0].retiring_at = wall - day + 1;
    check_plan("", PLAN_STATUS_OK);
    assert_int_equal(w.plan.next_look, NOW + 1);
    w.records[0].retiring_at = wall - day;
    check_plan("end key 0", PLAN_STATUS_OK);
    w.records[0].retiring_at = wall;
    w.grant.overlap_ms = POLICY_NO_OVERLAP;
    check_plan("end key 0", PLAN_STATUS_OK);
}

static void it_does_not_end_where_the_new_one_may_be_missing(void **state)
{
    (void)state;
    two_keys(KEY_RETIRING, KEY_ACTIVE);
    w.records[0].retiring_at = wall - 2 * day;
    w.facts.delivery_proven = false;
    check_plan("deliver 0", PLAN_STATUS_DELIVERING);
    w.facts.delivery_proven = true;
    w.facts.state = DOMAIN_PAUSED;
    check_plan("", PLAN_STATUS_OK);
    w.facts.state = DOMAIN_SAVED;
    check_plan("", PLAN_STATUS_KEPT);
}

static void all_end_with_the_domain(void **state)
{
    (void)state;
    two_keys(KEY_RETIRING, KEY_ACTIVE);
    w.facts.state = DOMAIN_OFF;
    check_plan("end key 0,end key 1", PLAN_STATUS_OFF);
    two_keys(KEY_ACTIVE, KEY_PLANNED);
    check_plan("end key 0,drop key 1", PLAN_STATUS_OFF);
}

/* The newer one has ended alone, as when it was found missing at the provider: what a process in the guest may still use
 * stays, and another successor comes. */
static void an_earlier_one_that_is_left_behind_gets_another_successor(void **state)
{
    (void)state;
    two_keys(KEY_RETIRING, KEY_REVOKING);
    w.facts.delivery_proven = false;
    check_plan("revoke key 1", PLAN_STATUS_WAITING_OLD);
    w.grant_facts.keys_count = 1;
    check_plan("plan key 0", PLAN_STATUS_OPENING);
    w.facts.policy_known = false;
    check_plan("", PLAN_STATUS_OFF);
    w.facts.policy_known = true;
    w.facts.state = DOMAIN_SAVED;
    check_plan("", PLAN_STATUS_OFF);
}

static void they_do_not_come_due_together(void **state)
{
    (void)state;
    int64_t least = INT64_MAX, most = 0;
    for (uint64_t seed = 1; seed <= 1000; seed++) {
        int64_t spread = schedule_spread(30 * day, seed);
        least = spread < least ? spread : least;
        most = spread > most ? spread : most;
    }
    assert_true(least >= 27 * day && most <= 30 * day);
    assert_true(most - least > 29 * day / 10);
}

static void it_waits_for_the_time_that_it_was_spread_to(void **state)
{
    (void)state;
    w.grant.rotate_ms = POLICY_NEVER;
    w.grant.replace_through = 1;
    w.grant.replace_at = wall + 5;
    check_plan("", PLAN_STATUS_OK);
    assert_int_equal(w.plan.next_look, NOW + 5);
    w.facts.wall = wall + 5;
    check_plan("plan key 0", PLAN_STATUS_OK);
}

static void who_is_in_a_hurry_has_no_overlap(void **state)
{
    (void)state;
    two_keys(KEY_RETIRING, KEY_ACTIVE);
    w.records[0].retiring_at = wall;
    w.grant.hurry_through = 1;
    check_plan("end key 0", PLAN_STATUS_OK);
    w.facts.delivery_proven = false;
    check_plan("deliver 0", PLAN_STATUS_DELIVERING);
    w.facts.delivery_proven = true;
    w.grant.hurry_through = 0;
    check_plan("", PLAN_STATUS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(it_begins_when_its_time_has_come, setup),
        cmocka_unit_test_setup(what_is_overdue_is_spread, setup),
        cmocka_unit_test_setup(one_that_has_ended_is_not_spread, setup),
        cmocka_unit_test_setup(what_comes_due_is_not_put_off, setup),
        cmocka_unit_test_setup(jumps_of_the_clock, setup),
        cmocka_unit_test_setup(never_means_never, setup),
        cmocka_unit_test_setup(one_that_ends_by_itself_is_replaced_before, setup),
        cmocka_unit_test_setup(an_operator_need_not_wait_for_it, setup),
        cmocka_unit_test_setup(it_waits_until_the_new_one_could_be_proven, setup),
        cmocka_unit_test_setup(nothing_begins_while_another_key_lives, setup),
        cmocka_unit_test_setup(the_earlier_one_works_while_the_new_one_is_made, setup),
        cmocka_unit_test_setup(the_earlier_one_retires_only_after_proof, setup),
        cmocka_unit_test_setup(it_ends_after_the_overlap, setup),
        cmocka_unit_test_setup(it_does_not_end_where_the_new_one_may_be_missing, setup),
        cmocka_unit_test_setup(all_end_with_the_domain, setup),
        cmocka_unit_test_setup(an_earlier_one_that_is_left_behind_gets_another_successor, setup),
        cmocka_unit_test_setup(they_do_not_come_due_together, setup),
        cmocka_unit_test_setup(it_waits_for_the_time_that_it_was_spread_to, setup),
        cmocka_unit_test_setup(who_is_in_a_hurry_has_no_overlap, setup),
    };
    return check_run(tests);
}
