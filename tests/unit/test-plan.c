/* plan(): one fixture, a running domain that wants one key, changed in one point a test. */
#include "plan-fixture.h"

static int setup(void **state)
{
    (void)state;
    world_begin(DOMAIN_RUNNING, PLAN_CAN_CONTAIN | PLAN_CAN_LIMIT_CONTAINER | PLAN_CAN_RATE_LIMIT | PLAN_CAN_ARCHIVE,
                KEY_PLANNED);
    snprintf(w.grant.domain, sizeof w.grant.domain, "uuid");
    snprintf(w.grant.provider, sizeof w.grant.provider, "openai");
    w.grant.monthly_limit = w.container.limit_set = w.container_facts.wanted_limit = 100000000;
    w.grant_facts.keys_count = 0;
    w.facts.agent = AGENT_CONNECTED;
    w.facts.wall = 0;
    for (size_t i = 0; i < KEYS_MAX; i++)
        w.records[i].minted_at = 0;
    return 0;
}

static void one_key(enum key_state state)
{
    w.grant_facts.keys_count = 1;
    w.records[0].state = state;
    if (state == KEY_PLANNED || state == KEY_MINTING)
        w.records[0].remote_id[0] = '\0';
}

/* WANTED: the names of the actions in order, separated by commas. */
#define check_kinds(wanted, wanted_status)                                                    \
    do {                                                                                     \
        char got[512] = "";                                                                  \
        plan_domain(&w.facts, NOW, &w.plan, &w.status);                                      \
        for (size_t at = 0; at < w.plan.count; at++) {                                       \
            strcat(got, at ? "," : "");                                                      \
            strcat(got, plan_kind_name(w.plan.actions[at].kind));                            \
        }                                                                                    \
        assert_string_equal(got, wanted);                                                    \
        assert_int_equal(w.status.status, wanted_status);                                    \
    } while (0)

/* --- from nothing to a key in the guest --- */

static void a_key_is_planned_in_every_state_that_runs(void **state)
{
    static const enum domain_state runs[] = {DOMAIN_STARTING, DOMAIN_RUNNING, DOMAIN_PAUSED};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        w.facts.state = runs[i];
        check_kinds("plan key", PLAN_STATUS_OPENING);
    }
}

static void none_is_planned_otherwise(void **state)
{
    (void)state;
    w.facts.state = DOMAIN_OFF;
    check_kinds("", PLAN_STATUS_OFF);
    w.facts.state = DOMAIN_SAVED;
    check_kinds("", PLAN_STATUS_OFF);
    w.facts.state = DOMAIN_UNKNOWN;
    check_kinds("", PLAN_STATUS_OFF);
    w.facts.state = DOMAIN_RUNNING;
    w.grant_facts.wanted = false;
    check_kinds("", PLAN_STATUS_NOT_WANTED);
    w.grant_facts.wanted = true;
    w.facts.policy_known = false;
    check_kinds("", PLAN_STATUS_POLICY_UNKNOWN);
    w.facts.policy_known = true;
    w.grant.held_at = 1;
    check_kinds("", PLAN_STATUS_HELD);
    w.grant.held_at = 0;
    w.grant_facts.provider_ok = false;
    check_kinds("", PLAN_STATUS_NO_PROVIDER);
    w.grant_facts.provider_ok = w.grant_facts.provider_leaves = true;
    check_kinds("", PLAN_STATUS_NO_PROVIDER);
}

static void the_container_comes_first(void **state)
{
    (void)state;
    one_key(KEY_PLANNED);
    w.grant_facts.container = NULL;
    check_kinds("plan container", PLAN_STATUS_OFF);
    w.grant_facts.container = &w.container_facts;
    w.container.state = CONTAINER_ARCHIVED;
    check_kinds("plan container", PLAN_STATUS_OFF);
    /* Which kind it has to be only a provider that is configured can say. */
    w.grant_facts.provider_ok = false;
    check_kinds("", PLAN_STATUS_NO_PROVIDER);
    w.grant_facts.provider_ok = w.grant_facts.provider_leaves = true;
    check_kinds("", PLAN_STATUS_NO_PROVIDER);
    w.grant_facts.provider_leaves = false;
    w.container.state = CONTAINER_PLANNED;
    check_kinds("find container", PLAN_STATUS_OPENING);
    w.container_facts.looked_at = NOW - 1;
    check_kinds("create container", PLAN_STATUS_OPENING);
    w.container.state = CONTAINER_CREATING;
    w.container_facts.busy = true;
    check_kinds("", PLAN_STATUS_OPENING);
    w.container_facts.busy = false;
    check_kinds("doubt container", PLAN_STATUS_OPENING);
    w.container.state = CONTAINER_ARCHIVING;
    check_kinds("archive container", PLAN_STATUS_ARCHIVING);
}

static void a_doubted_container_is_made_again_only_when_a_list_can_be_believed(void **state)
{
    (void)state;
    one_key(KEY_PLANNED);
    w.container.state = CONTAINER_PLANNED;
    w.container.unknown = true;
    w.container_facts.doubted_at = NOW - 10;
    check_kinds("find container", PLAN_STATUS_OPENING);
    w.container_facts.looked_at = NOW - 5;
    check_kinds("", PLAN_STATUS_SETTLING);
    assert_int_equal(w.plan.next_look, NOW - 10 + PLAN_SETTLE_MS);
    /* The provider is asked later still, and that is what is waited for. */
    w.container_facts.next_attempt = NOW + PLAN_SETTLE_MS;
    check_kinds("", PLAN_STATUS_WAITING_RETRY);
    w.container_facts.next_attempt = 0;
    w.container_facts.doubted_at = NOW - 10 - PLAN_SETTLE_MS;
    w.container_facts.looked_at = NOW - 11;
    check_kinds("find container", PLAN_STATUS_OPENING);
    w.container_facts.looked_at = NOW - 10;
    check_kinds("create container", PLAN_STATUS_OPENING);
}

static void limits_stand_before_the_first_key(void **state)
{
    (void)state;
    one_key(KEY_PLANNED);
    w.container.limit_set = 0;
    check_kinds("limit container", PLAN_STATUS_OPENING);
    w.container.limit_set = 100000000;
    w.container_facts.wanted_rates = "abc";
    check_kinds("rate-limit container", PLAN_STATUS_OPENING);
    strcpy(w.container.rates_set, "abc");
    check_kinds("mint key", PLAN_STATUS_MINTING);
    /* Who gave the container keeps its limits. */
    w.container.limit_set = 0;
    w.container_facts.wanted_rates = "other";
    w.container.kind = CONTAINER_GIVEN;
    check_kinds("mint key", PLAN_STATUS_MINTING);
    w.container.kind = CONTAINER_PER_OWNER;
    w.grant_facts.abilities = 0;
    check_kinds("mint key", PLAN_STATUS_MINTING);
}

static void a_changed_limit_follows_while_the_key_is_in_use(void **state)
{
    (void)state;
    one_key(KEY_ACTIVE);
    w.facts.delivery_proven = true;
    w.container_facts.wanted_limit = 5000000;
    check_kinds("limit container", PLAN_STATUS_OK);
    w.facts.state = DOMAIN_OFF;
    check_kinds("end key", PLAN_STATUS_OFF);
}

static void a_minting_nobody_waits_for_is_doubted(void **state)
{
    (void)state;
    one_key(KEY_MINTING);
    check_kinds("doubt key", PLAN_STATUS_OFF);
    w.keys[0].busy = true;
    check_kinds("", PLAN_STATUS_MINTING);
    w.facts.state = DOMAIN_OFF; /* its answer is waited for; then it is revoked */
    check_kinds("", PLAN_STATUS_REVOKING);
}

static void delivery_when_the_agent_is_there(void **state)
{
    (void)state;
    one_key(KEY_MINTED);
    check_kinds("deliver", PLAN_STATUS_DELIVERING);
    w.facts.delivery_busy = true;
    check_kinds("", PLAN_STATUS_DELIVERING);
    w.facts.delivery_busy = false;
    w.facts.delivery_unknown = true; /* who may read it, say */
    check_kinds("", PLAN_STATUS_DELIVERING);
    w.facts.delivery_unknown = false;
    w.facts.delivery_next_attempt = NOW + 5;
    check_kinds("", PLAN_STATUS_DELIVERING);
    assert_int_equal(w.plan.next_look, NOW + 5);
    w.facts.delivery_next_attempt = NOW;
    w.facts.agent = AGENT_DISCONNECTED;
    check_kinds("", PLAN_STATUS_DELIVERING);
    w.facts.agent = AGENT_CONNECTED;
    w.facts.state = DOMAIN_PAUSED;
    check_kinds("", PLAN_STATUS_DELIVERING);
    w.facts.state = DOMAIN_RUNNING;
    w.records[0].state = KEY_ACTIVE; /* a guest that rebooted */
    check_kinds("deliver", PLAN_STATUS_DELIVERING);
    w.facts.delivery_proven = true;
    check_kinds("", PLAN_STATUS_OK);
}

/* I5: only the guest's proof makes a key count; and where the ledger refused to note it, it is noted later. */
static void a_proven_key_becomes_active(void **state)
{
    (void)state;
    one_key(KEY_MINTED);
    w.facts.delivery_proven = true;
    check_kinds("prove key", PLAN_STATUS_DELIVERING);
    w.facts.state = DOMAIN_PAUSED;
    check_kinds("prove key", PLAN_STATUS_DELIVERING);
    w.records[0].state = KEY_ACTIVE;
    check_kinds("", PLAN_STATUS_OK);
    w.facts.delivery_proven = false;
    w.records[0].state = KEY_MINTED;
    check_kinds("", PLAN_STATUS_DELIVERING);
}

static void what_is_not_wanted_any_more_is_taken_out_of_the_guest(void **state)
{
    (void)state;
    w.grant_facts.wanted = false;
    w.facts.delivered = true;
    check_kinds("deliver", PLAN_STATUS_NOT_WANTED);
    w.facts.delivered = false;
    check_kinds("", PLAN_STATUS_NOT_WANTED);
}

/* --- waiting --- */

static void provider_and_row_can_make_it_wait(void **state)
{
    (void)state;
    one_key(KEY_PLANNED);
    w.keys[0].next_attempt = NOW + 77;
    check_kinds("", PLAN_STATUS_WAITING_RETRY);
    assert_int_equal(w.status.next_attempt, NOW + 77);
    w.keys[0].next_attempt = NOW;
    w.grant_facts.gate_ready = false;
    w.grant_facts.gate_opens_at = NOW + 99;
    check_kinds("", PLAN_STATUS_WAITING_PROVIDER);
    assert_int_equal(w.plan.next_look, NOW + 99);
    w.grant_facts.provider_ok = false;
    check_kinds("", PLAN_STATUS_NO_PROVIDER);
    w.keys[0].busy = true;
    check_kinds("", PLAN_STATUS_MINTING);
}

/* --- the end --- */

static void every_live_key_of_a_stopped_domain_ends(void **state)
{
    static const enum key_state live[] = {KEY_MINTED, KEY_ACTIVE, KEY_SUSPENDED, KEY_RETIRING};
    static const enum domain_state stopped[] = {DOMAIN_OFF, DOMAIN_ABSENT};
    (void)state;
    for (size_t s = 0; s < 2; s++)
        for (size_t i = 0; i < 4; i++) {
            one_key(live[i]);
            w.facts.state = stopped[s];
            check_kinds("end key", PLAN_STATUS_OFF);
        }
    one_key(KEY_PLANNED);
    check_kinds("drop key", PLAN_STATUS_OFF);
}

static void a_key_ends_when_the_policy_or_an_operator_says_so(void **state)
{
    (void)state;
    one_key(KEY_ACTIVE);
    w.grant_facts.wanted = false;
    check_kinds("end key,deliver", PLAN_STATUS_OFF);
    w.grant_facts.wanted = true;
    w.grant.held_at = 1;
    check_kinds("end key,deliver", PLAN_STATUS_HELD);
}

/* I3: nothing of a running, saved, migrated or unknown domain ends by itself. */
static void nothing_that_may_be_in_use_ends(void **state)
{
    static const enum domain_state alive[] = {DOMAIN_STARTING, DOMAIN_RUNNING, DOMAIN_PAUSED,
                                              DOMAIN_SAVED,    DOMAIN_MIGRATED, DOMAIN_UNKNOWN};
    (void)state;
    for (size_t s = 0; s < sizeof alive / sizeof alive[0]; s++)
        for (int known = 0; known < 2; known++)
            for (enum key_state k = KEY_MINTED; k <= KEY_RETIRING; k++) {
                one_key(k);
                w.facts.state = alive[s];
                w.facts.policy_known = known;
                w.grant_facts.wanted = known;
                plan_domain(&w.facts, NOW, &w.plan, &w.status);
                for (size_t i = 0; i < w.plan.count; i++)
                    if (w.plan.actions[i].kind == PLAN_END_KEY || w.plan.actions[i].kind == PLAN_REVOKE_KEY)
                        fail_msg("%s of a %s key while %s", plan_kind_name(w.plan.actions[i].kind),
                                 key_state_name(k), domain_state_name(alive[s]));
            }
    one_key(KEY_ACTIVE);
    w.facts.state = DOMAIN_UNKNOWN;
    w.facts.policy_known = true;
    w.grant_facts.wanted = false;
    check_kinds("", PLAN_STATUS_KEPT);
    w.facts.state = DOMAIN_RUNNING;
    w.facts.policy_known = false;
    check_kinds("deliver", PLAN_STATUS_POLICY_UNKNOWN);
}

static void a_revocation_goes_on_whatever_the_domain_does(void **state)
{
    (void)state;
    for (enum domain_state s = DOMAIN_UNKNOWN; s <= DOMAIN_MIGRATED; s++) {
        one_key(KEY_REVOKING);
        w.facts.state = s;
        plan_domain(&w.facts, NOW, &w.plan, &w.status);
        assert_true(w.plan.count >= 1);
        assert_int_equal(w.plan.actions[0].kind, PLAN_REVOKE_KEY);
    }
}

static void a_new_key_waits_until_the_old_one_is_gone(void **state)
{
    (void)state;
    one_key(KEY_REVOKING);
    check_kinds("revoke key", PLAN_STATUS_WAITING_OLD);
    w.keys[0].next_attempt = NOW + 500;
    check_kinds("", PLAN_STATUS_WAITING_OLD);
    assert_int_equal(w.status.next_attempt, NOW + 500);
}

static void a_key_is_gone_with_its_container(void **state)
{
    (void)state;
    one_key(KEY_REVOKING);
    static const enum container_state without[] = {CONTAINER_PLANNED, CONTAINER_CREATING, CONTAINER_ARCHIVED};
    for (size_t i = 0; i < 3; i++) {
        w.container.state = without[i];
        check_kinds("key gone", PLAN_STATUS_OFF);
    }
    w.container.state = CONTAINER_ARCHIVING;
    check_kinds("revoke key", PLAN_STATUS_WAITING_OLD);
    w.grant_facts.container = NULL; /* as after a restart */
    check_kinds("key gone", PLAN_STATUS_OFF);
    w.keys[0].busy = true;
    check_kinds("", PLAN_STATUS_WAITING_OLD);
}

/* Nobody has asked about the key itself: what it was made in is shown to be gone, and the domain needs another. */
static void a_key_that_is_dead_with_its_container_ends(void **state)
{
    static const enum key_state alive[] = {KEY_MINTED, KEY_ACTIVE, KEY_RETIRING};
    (void)state;
    w.grant.container_id = 5;
    for (size_t i = 0; i < sizeof alive / sizeof alive[0]; i++) {
        const char *wanted = alive[i] == KEY_RETIRING ? "end key" : "end key,deliver";
        one_key(alive[i]);
        w.container.state = CONTAINER_ARCHIVED;
        w.grant_facts.container = &w.container_facts;
        check_kinds(wanted, PLAN_STATUS_OFF);
        w.grant_facts.container = NULL; /* as after a restart */
        check_kinds(wanted, PLAN_STATUS_OFF);
    }
    one_key(KEY_ACTIVE);
    w.keys[0].busy = true;
    check_kinds("deliver", PLAN_STATUS_DELIVERING);
    w.keys[0].busy = false;
    /* Not what was made elsewhere, before there was such a thing or while there is another: it works. */
    w.grant.container_id = 0;
    check_kinds("deliver", PLAN_STATUS_DELIVERING);
    w.grant.container_id = 5;
    w.grant_facts.container = &w.container_facts;
    w.container.state = CONTAINER_PLANNED;
    check_kinds("find container,deliver", PLAN_STATUS_DELIVERING);
    w.container.state = CONTAINER_ARCHIVING;
    check_kinds("archive container,deliver", PLAN_STATUS_DELIVERING);
    w.container.state = CONTAINER_ARCHIVED;
    w.grant_facts.abilities = 0;
    check_kinds("deliver", PLAN_STATUS_DELIVERING);
}

/* There is nothing but an account: it is not gone as long as somebody can be asked there. */
static void a_key_of_an_account_goes_with_nothing(void **state)
{
    (void)state;
    one_key(KEY_REVOKING);
    w.grant_facts.abilities = 0;
    w.container.state = CONTAINER_ARCHIVED;
    check_kinds("revoke key", PLAN_STATUS_WAITING_OLD);
    w.grant_facts.container = NULL;
    check_kinds("revoke key", PLAN_STATUS_WAITING_OLD);
}

static void a_doubted_key_is_found_before_anything_is_believed(void **state)
{
    (void)state;
    one_key(KEY_REVOKING);
    w.records[0].unknown = true;
    w.records[0].remote_id[0] = '\0';
    w.keys[0].doubted_at = NOW - 300;
    check_kinds("find key", PLAN_STATUS_WAITING_OLD);
    /* A list without it: the next generation may be minted, this one is looked for once more, later. */
    w.keys[0].looked_at = NOW - 50;
    check_kinds("plan key", PLAN_STATUS_OPENING);
    assert_int_equal(w.plan.next_look, NOW - 300 + PLAN_SETTLE_MS);
    w.facts.state = DOMAIN_OFF;
    check_kinds("", PLAN_STATUS_REVOKING);
    assert_int_equal(w.status.next_attempt, NOW - 300 + PLAN_SETTLE_MS);
    w.keys[0].next_attempt = NOW + PLAN_SETTLE_MS;
    check_kinds("", PLAN_STATUS_WAITING_RETRY);
    assert_int_equal(w.status.next_attempt, NOW + PLAN_SETTLE_MS);
    w.keys[0].next_attempt = 0;
    w.facts.state = DOMAIN_RUNNING;
    w.keys[0].doubted_at = NOW - PLAN_SETTLE_MS - 10;
    w.keys[0].looked_at = NOW - 11;
    check_kinds("find key,plan key", PLAN_STATUS_OPENING);
    w.keys[0].looked_at = NOW - 10;
    check_kinds("key gone", PLAN_STATUS_OFF);
    w.keys[0].busy = true;
    check_kinds("plan key", PLAN_STATUS_OPENING);
}

static void mintings_in_doubt_follow_each_other_ever_more_slowly(void **state)
{
    int64_t last = 0;
    (void)state;
    for (size_t doubts = 1; doubts <= 4; doubts++) {
        for (size_t i = 0; i < doubts; i++) {
            w.records[i].state = KEY_REVOKING;
            w.records[i].unknown = true;
            w.records[i].remote_id[0] = '\0';
            w.keys[i].doubted_at = w.keys[i].looked_at = NOW - 1;
        }
        w.grant_facts.keys_count = doubts;
        check_kinds("", PLAN_STATUS_SETTLING);
        assert_in_range(w.status.next_attempt - NOW, last + 100, 250 << doubts);
        assert_true(w.plan.next_look == w.status.next_attempt);
        last = w.status.next_attempt - NOW;
    }
    /* The latest doubt counts, not the oldest. */
    for (size_t i = 0; i < 3; i++)
        w.keys[i].doubted_at = NOW - 3000;
    check_kinds("", PLAN_STATUS_SETTLING);
    w.keys[3].doubted_at = NOW - 3000;
    check_kinds("plan key", PLAN_STATUS_OPENING);
}

static void an_undefined_domain_says_farewell_step_by_step(void **state)
{
    (void)state;
    w.facts.state = DOMAIN_ABSENT;
    check_kinds("end container", PLAN_STATUS_OFF);
    w.container.state = CONTAINER_ARCHIVING;
    check_kinds("archive container", PLAN_STATUS_ARCHIVING);
    w.container.state = CONTAINER_ARCHIVED;
    check_kinds("end grant", PLAN_STATUS_OFF);
    w.facts.grants_count = 0;
    plan_domain(&w.facts, NOW, &w.plan, &w.status);
    assert_int_equal(w.plan.count, 1);
    assert_int_equal(w.plan.actions[0].kind, PLAN_FORGET_DOMAIN);
    w.facts.state = DOMAIN_OFF;
    plan_domain(&w.facts, NOW, &w.plan, &w.status);
    assert_int_equal(w.plan.count, 0);
}

static void nothing_is_archived_while_a_key_is_left(void **state)
{
    (void)state;
    one_key(KEY_REVOKING);
    w.facts.state = DOMAIN_ABSENT;
    w.keys[0].busy = true;
    check_kinds("", PLAN_STATUS_REVOKING);
}

static void a_container_that_was_never_made_is_dropped(void **state)
{
    (void)state;
    w.facts.state = DOMAIN_ABSENT;
    w.container.state = CONTAINER_PLANNED;
    check_kinds("drop container", PLAN_STATUS_OFF);
    w.container_facts.busy = true;
    check_kinds("", PLAN_STATUS_OPENING);
    w.container_facts.busy = false;
    w.container.unknown = true;
    w.container_facts.doubted_at = NOW - 10;
    check_kinds("find container", PLAN_STATUS_OPENING);
    w.container_facts.looked_at = NOW - 10 + PLAN_SETTLE_MS;
    check_kinds("drop container", PLAN_STATUS_OFF);
    w.container.state = CONTAINER_CREATING;
    check_kinds("doubt container", PLAN_STATUS_OPENING);
}

static void a_shared_container_outlives_the_domain(void **state)
{
    (void)state;
    w.facts.state = DOMAIN_ABSENT;
    w.container.kind = CONTAINER_PER_OWNER;
    check_kinds("end grant", PLAN_STATUS_OFF);
    w.grant_facts.container = NULL;
    check_kinds("end grant", PLAN_STATUS_OFF);
}

static void more_actions_than_room_wait(void **state)
{
    static struct plan_grant many[PLAN_ACTIONS_MAX + 5];
    static struct plan_grant_status statuses[PLAN_ACTIONS_MAX + 5];
    (void)state;
    for (size_t i = 0; i < PLAN_ACTIONS_MAX + 5; i++)
        many[i] = w.grant_facts;
    w.facts.grants = many;
    w.facts.grants_count = PLAN_ACTIONS_MAX + 5;
    plan_domain(&w.facts, NOW, &w.plan, statuses);
    assert_int_equal(w.plan.count, PLAN_ACTIONS_MAX);
}

/* --- a required key --- */

static void a_required_start_waits_for_every_key(void **state)
{
    (void)state;
    assert_int_equal(plan_required(&w.facts), PLAN_VERDICT_WAIT);
    one_key(KEY_MINTING);
    assert_int_equal(plan_required(&w.facts), PLAN_VERDICT_WAIT);
    one_key(KEY_MINTED);
    assert_int_equal(plan_required(&w.facts), PLAN_VERDICT_READY);
    w.facts.policy_known = false;
    assert_int_equal(plan_required(&w.facts), PLAN_VERDICT_WAIT);
    w.facts.policy_known = true;
    w.grant_facts.keys_count = 0;
    w.grant_facts.wanted = false;
    assert_int_equal(plan_required(&w.facts), PLAN_VERDICT_READY);
}

static void the_current_key_is_the_newest_that_can_be_given(void **state)
{
    (void)state;
    w.grant_facts.keys_count = 4;
    w.records[0].state = KEY_ACTIVE;
    w.records[1].state = KEY_MINTED;
    w.records[2].state = KEY_REVOKING;
    w.records[3].state = KEY_PLANNED;
    assert_int_equal(plan_current_key(&w.grant_facts), 1);
    w.records[0].state = w.records[1].state = KEY_RETIRING;
    assert_true(plan_current_key(&w.grant_facts) == SIZE_MAX);
}

static void kinds_are_told_apart(void **state)
{
    (void)state;
    for (enum plan_kind kind = PLAN_NEW_KEY; kind <= PLAN_DELIVER; kind++) {
        assert_int_equal(plan_kind_is_ledger(kind) + plan_kind_is_provider(kind) + (kind == PLAN_DELIVER), 1);
        assert_non_null(plan_kind_name(kind));
    }
    assert_string_equal(agent_state_name(AGENT_NO_CHANNEL), "no-channel");
}

/* --- a limit on the key itself --- */

static void limits_on_keys(enum key_state state)
{
    one_key(state);
    w.grant_facts.abilities = PLAN_CAN_SUSPEND | PLAN_CAN_LIMIT_KEY;
    w.container.kind = CONTAINER_GIVEN;
    w.records[0].limit_set = 100;
    w.keys[0].wanted_limit = 100;
    w.facts.delivery_proven = true;
}

static void a_limit_reaches_the_key_that_lives(void **state)
{
    (void)state;
    limits_on_keys(KEY_ACTIVE);
    check_kinds("", PLAN_STATUS_OK);
    w.keys[0].wanted_limit = 50; /* the policy has changed */
    check_kinds("limit key", PLAN_STATUS_OK);
    w.records[0].limit_set = 0; /* somebody has changed it at the provider, or it was never set */
    w.keys[0].wanted_limit = 100;
    check_kinds("limit key", PLAN_STATUS_OK);
    w.grant_facts.abilities = PLAN_CAN_SUSPEND; /* a limit that is given once */
    check_kinds("", PLAN_STATUS_OK);
    w.grant_facts.abilities |= PLAN_CAN_LIMIT_KEY;
    w.records[0].state = KEY_MINTED;
    w.facts.delivery_proven = false;
    w.facts.delivery_busy = true;
    check_kinds("limit key", PLAN_STATUS_DELIVERING);
    w.facts.state = DOMAIN_SAVED; /* nobody can spend with it */
    check_kinds("", PLAN_STATUS_KEPT);
    w.facts.state = DOMAIN_RUNNING;
    w.facts.policy_known = false; /* nor is it known what it is to be */
    check_kinds("", PLAN_STATUS_POLICY_UNKNOWN);
    w.facts.state = DOMAIN_MIGRATED;
    check_kinds("", PLAN_STATUS_KEPT);
    w.facts.policy_known = true; /* it is spent with elsewhere: there a new month begins, too */
    check_kinds("limit key", PLAN_STATUS_KEPT);
}

static void a_limit_waits_for_its_own_next_attempt(void **state)
{
    (void)state;
    limits_on_keys(KEY_ACTIVE);
    w.keys[0].wanted_limit = 50;
    w.keys[0].limit_next_attempt = NOW + 70;
    check_kinds("", PLAN_STATUS_OK);
    assert_int_equal(w.plan.next_look, NOW + 70);
    w.keys[0].limit_next_attempt = NOW;
    w.keys[0].next_attempt = NOW + 70;
    check_kinds("limit key", PLAN_STATUS_OK);
    w.keys[0].busy = true;
    check_kinds("", PLAN_STATUS_OK);
    w.keys[0].busy = false;
    w.keys[0].limit_next_attempt = NOW + 70;
    w.keys[0].next_attempt = 0;
    w.records[0].state = KEY_REVOKING; /* what ends does not wait for it */
    w.grant.held_at = 1;
    check_kinds("revoke key", PLAN_STATUS_REVOKING);
}

static void the_earlier_key_is_limited_too(void **state)
{
    (void)state;
    limits_on_keys(KEY_RETIRING);
    w.records[0].retiring_at = w.facts.wall = 500;
    w.grant.overlap_ms = 1000;
    w.keys[0].wanted_limit = 50;
    w.grant_facts.keys_count = 2;
    w.records[1].state = KEY_ACTIVE;
    w.records[1].limit_set = w.keys[1].wanted_limit = 20;
    check_kinds("limit key", PLAN_STATUS_OK);
    assert_int_equal(w.plan.actions[0].key, 0);
    w.keys[1].wanted_limit = 10;
    check_kinds("limit key,limit key", PLAN_STATUS_OK);
    w.records[0].state = KEY_ACTIVE; /* its successor is being made */
    w.records[0].retiring_at = 0;
    w.records[1].state = KEY_PLANNED;
    w.records[1].limit_set = 0;
    check_kinds("limit key,mint key", PLAN_STATUS_ROTATING);
    assert_int_equal(w.plan.actions[0].key, 0);
}

static void a_limit_stands_before_a_key_works_again(void **state)
{
    (void)state;
    limits_on_keys(KEY_SUSPENDED);
    w.records[0].suspended_at = 1;
    check_kinds("resume key", PLAN_STATUS_RESUMING);
    w.keys[0].wanted_limit = 150;
    check_kinds("limit key", PLAN_STATUS_RESUMING);
    w.keys[0].suspend_doubted_at = NOW - 1; /* that much is certain of it: what its limit is */
    check_kinds("limit key", PLAN_STATUS_RESUMING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_key_is_planned_in_every_state_that_runs, setup),
        cmocka_unit_test_setup(none_is_planned_otherwise, setup),
        cmocka_unit_test_setup(the_container_comes_first, setup),
        cmocka_unit_test_setup(a_doubted_container_is_made_again_only_when_a_list_can_be_believed, setup),
        cmocka_unit_test_setup(limits_stand_before_the_first_key, setup),
        cmocka_unit_test_setup(a_changed_limit_follows_while_the_key_is_in_use, setup),
        cmocka_unit_test_setup(a_minting_nobody_waits_for_is_doubted, setup),
        cmocka_unit_test_setup(delivery_when_the_agent_is_there, setup),
        cmocka_unit_test_setup(a_proven_key_becomes_active, setup),
        cmocka_unit_test_setup(what_is_not_wanted_any_more_is_taken_out_of_the_guest, setup),
        cmocka_unit_test_setup(provider_and_row_can_make_it_wait, setup),
        cmocka_unit_test_setup(every_live_key_of_a_stopped_domain_ends, setup),
        cmocka_unit_test_setup(a_key_ends_when_the_policy_or_an_operator_says_so, setup),
        cmocka_unit_test_setup(nothing_that_may_be_in_use_ends, setup),
        cmocka_unit_test_setup(a_revocation_goes_on_whatever_the_domain_does, setup),
        cmocka_unit_test_setup(a_new_key_waits_until_the_old_one_is_gone, setup),
        cmocka_unit_test_setup(a_key_is_gone_with_its_container, setup),
        cmocka_unit_test_setup(a_key_that_is_dead_with_its_container_ends, setup),
        cmocka_unit_test_setup(a_key_of_an_account_goes_with_nothing, setup),
        cmocka_unit_test_setup(a_doubted_key_is_found_before_anything_is_believed, setup),
        cmocka_unit_test_setup(mintings_in_doubt_follow_each_other_ever_more_slowly, setup),
        cmocka_unit_test_setup(an_undefined_domain_says_farewell_step_by_step, setup),
        cmocka_unit_test_setup(nothing_is_archived_while_a_key_is_left, setup),
        cmocka_unit_test_setup(a_container_that_was_never_made_is_dropped, setup),
        cmocka_unit_test_setup(a_shared_container_outlives_the_domain, setup),
        cmocka_unit_test_setup(more_actions_than_room_wait, setup),
        cmocka_unit_test_setup(a_required_start_waits_for_every_key, setup),
        cmocka_unit_test_setup(the_current_key_is_the_newest_that_can_be_given, setup),
        cmocka_unit_test_setup(kinds_are_told_apart, setup),
        cmocka_unit_test_setup(a_limit_reaches_the_key_that_lives, setup),
        cmocka_unit_test_setup(a_limit_waits_for_its_own_next_attempt, setup),
        cmocka_unit_test_setup(the_earlier_key_is_limited_too, setup),
        cmocka_unit_test_setup(a_limit_stands_before_a_key_works_again, setup),
    };
    return check_run(tests);
}
