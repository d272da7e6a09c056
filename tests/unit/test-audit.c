/* The audit's verdicts: one fixture for each kind of thing, changed in one point a check. */
#include "check.h"

#include "lifecycle/audit.h"

#include <stdio.h>
#include <string.h>

#define HOST "f00dcafe"
#define UUID "10000000-0000-4000-8000-00000000000a"
enum { NOW = 10 * 60 * 1000 };

/* "verdict/fix number/part of the reason" */
static void check_judgement(struct audit_judgement got, enum audit_verdict verdict, enum audit_fix fix, const char *reason)
{
    if (got.verdict != verdict || got.fix != fix || !strstr(got.reason, reason) || !got.remedy)
        fail_msg("%s, fix %d, '%s'; wanted %s, fix %d, '%s'", audit_verdict_name(got.verdict), (int)got.fix, got.reason,
                 audit_verdict_name(verdict), (int)fix, reason);
    /* Drift says what can be done about it, and nothing but drift is ever acted upon. */
    assert_int_equal(audit_verdict_is_drift(got.verdict), got.remedy[0] != '\0');
    assert_true(audit_verdict_is_drift(got.verdict) || got.fix == AUDIT_FIX_NONE);
    assert_int_equal(got.fix != AUDIT_FIX_NONE, audit_fix_words(got.fix)[0] != '\0');
}

static void test_words(void **state)
{
    static const char *const names[] = {"", "ok", "orphan", "stale", "zombie", "missing", "undelivered", "over budget",
                                        "stuck", "another host's", "not ours"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_string_equal(audit_verdict_name((enum audit_verdict)i), names[i]);
    for (enum audit_verdict verdict = AUDIT_SILENT; verdict <= AUDIT_NOT_OURS; verdict++)
        assert_int_equal(audit_verdict_is_drift(verdict), verdict >= AUDIT_ORPHAN && verdict <= AUDIT_STUCK);
}

static void test_names(void **state)
{
    static const struct {
        const char *name;
        enum audit_whose whose;
        bool owner;
        const char *subject;
        int64_t generation;
    } cases[] = {
        {"llmhook:" HOST ":" UUID ":openai:g1", AUDIT_NAME_OURS, false, UUID, 1},
        {"llmhook:" HOST ":" UUID ":openai:g120", AUDIT_NAME_OURS, false, UUID, 120},
        {"llmhook:" HOST ":" UUID ":openai", AUDIT_NAME_OURS, false, UUID, 0},
        {"llmhook:" HOST ":" UUID ":openai dev-1: mine", AUDIT_NAME_OURS, false, UUID, 0},
        {"llmhook:" HOST ":owner=alice@x:openai", AUDIT_NAME_OURS, true, "alice@x", 0},
        {"llmhook:beefbeef:" UUID ":openai:g1", AUDIT_NAME_OTHER_HOST, false, "", 0},
        {"llmhook:beefbeef:", AUDIT_NAME_OTHER_HOST, false, "", 0},
        {"llmhook:" HOST "0:" UUID ":openai:g1", AUDIT_NAME_OTHER_HOST, false, "", 0},
        {"", AUDIT_NAME_NOT_OURS, false, "", 0},
        {"by hand", AUDIT_NAME_NOT_OURS, false, "", 0},
        {"llmhook:", AUDIT_NAME_NOT_OURS, false, "", 0},
        {"llmhook:" HOST, AUDIT_NAME_NOT_OURS, false, "", 0},
        {"llmhook::" UUID ":openai:g1", AUDIT_NAME_NOT_OURS, false, "", 0},
        {"Llmhook:" HOST ":" UUID ":openai:g1", AUDIT_NAME_NOT_OURS, false, "", 0},
        {"llmhook:" HOST ":", AUDIT_NAME_NOT_OURS, false, "", 0},
        {"llmhook:" HOST ":" UUID, AUDIT_NAME_NOT_OURS, false, "", 0},
        {"llmhook:" HOST ":" UUID " x:openai:g1", AUDIT_NAME_NOT_OURS, false, "", 0},
        {"llmhook:" HOST ":" UUID "0:openai:g1", AUDIT_NAME_NOT_OURS, false, "", 0},
        {"llmhook:" HOST ":10000000-0000-4000-8000-00000000000A:openai:g1", AUDIT_NAME_NOT_OURS, false, "", 0},
        {"llmhook:" HOST ":dev-1:openai:g1", AUDIT_NAME_NOT_OURS, false, "", 0},
        {"llmhook:" HOST ":" UUID "::g1", AUDIT_NAME_NOT_OURS, false, "", 0},
        {"llmhook:" HOST ":" UUID ":a-provider-with-a-name-far-too-long:g1", AUDIT_NAME_NOT_OURS, false, "", 0},
        {"llmhook:" HOST ":" UUID ":openai:", AUDIT_NAME_NOT_OURS, false, "", 0},
        {"llmhook:" HOST ":" UUID ":openai:g", AUDIT_NAME_NOT_OURS, false, "", 0},
        {"llmhook:" HOST ":" UUID ":openai:g0", AUDIT_NAME_NOT_OURS, false, "", 0},
        {"llmhook:" HOST ":" UUID ":openai:g01", AUDIT_NAME_NOT_OURS, false, "", 0},
        {"llmhook:" HOST ":" UUID ":openai:ga", AUDIT_NAME_NOT_OURS, false, "", 0},
        {"llmhook:" HOST ":" UUID ":openai:h1", AUDIT_NAME_NOT_OURS, false, "", 0},
        {"llmhook:" HOST ":" UUID ":openai:g1 copy", AUDIT_NAME_NOT_OURS, false, "", 0},
        {"llmhook:" HOST ":" UUID ":openai:g1234567890123456789", AUDIT_NAME_NOT_OURS, false, "", 0},
        {"llmhook:" HOST ":owner=alice:openai:g1", AUDIT_NAME_NOT_OURS, false, "", 0},
        {"llmhook:" HOST ":owner=:openai", AUDIT_NAME_NOT_OURS, false, "", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct audit_identity identity;
        memset(&identity, 0x55, sizeof identity);
        audit_read_name(cases[i].name, HOST, &identity);
        if (identity.whose != cases[i].whose || identity.owner != cases[i].owner ||
            identity.generation != cases[i].generation || strcmp(identity.subject, cases[i].subject) != 0)
            fail_msg("'%s': whose %d, subject '%s', generation %d", cases[i].name, (int)identity.whose, identity.subject,
                     (int)identity.generation);
        assert_string_equal(identity.provider, cases[i].whose == AUDIT_NAME_OURS ? "openai" : "");
    }
}

/* --- keys --- */

static struct {
    struct audit_identity name;
    struct key_record record;
    struct audit_listed_key facts;
} k;

static void a_key(const char *name)
{
    memset(&k, 0, sizeof k);
    audit_read_name(name, HOST, &k.name);
    k.record = (struct key_record){.id = 1, .generation = 1, .state = KEY_ACTIVE, .remote_id = "user-1", .revoking_at = NOW};
    k.facts = (struct audit_listed_key){.name = &k.name, .provider = "openai",
                                        .state = DOMAIN_RUNNING, .place = AUDIT_PLACE_OURS, .wall = NOW};
}

static void a_known_key(void)
{
    a_key("llmhook:" HOST ":" UUID ":openai:g1");
    k.facts.record = &k.record;
    k.facts.record_provider = "openai";
}

#define check_key(verdict, fix, reason) check_judgement(audit_listed_key(&k.facts), verdict, fix, reason)

static void test_known_keys(void **state)
{
    (void)state;
    a_known_key();
    check_key(AUDIT_OK, AUDIT_FIX_NONE, "");
    k.facts.record_provider = "openai-2";
    check_key(AUDIT_SILENT, AUDIT_FIX_NONE, "");
    a_known_key();
    for (enum domain_state domain = DOMAIN_UNKNOWN; domain <= DOMAIN_MIGRATED; domain++) {
        k.facts.state = domain;
        if (domain == DOMAIN_OFF || domain == DOMAIN_ABSENT)
            check_key(AUDIT_ZOMBIE, AUDIT_FIX_RETRY, "alive though its domain does not run");
        else
            check_key(AUDIT_OK, AUDIT_FIX_NONE, domain == DOMAIN_MIGRATED ? "kept: its domain has migrated" : "");
    }
    k.facts.elsewhere = true; /* and that host has given it one */
    check_key(AUDIT_ZOMBIE, AUDIT_FIX_NONE, "its domain has migrated, and has a key of its host there");
    k.facts.state = DOMAIN_RUNNING; /* it came back */
    check_key(AUDIT_OK, AUDIT_FIX_NONE, "");
    k.record.state = KEY_REVOKING;
    check_key(AUDIT_OK, AUDIT_FIX_NONE, "being revoked");
    k.facts.wall = NOW + AUDIT_PATIENCE_MS - 1;
    check_key(AUDIT_OK, AUDIT_FIX_NONE, "being revoked");
    k.facts.wall = NOW + AUDIT_PATIENCE_MS;
    check_key(AUDIT_ZOMBIE, AUDIT_FIX_RETRY, "alive though it is to be revoked");
    k.facts.wall = NOW;
    k.record.attempts = 1;
    check_key(AUDIT_ZOMBIE, AUDIT_FIX_RETRY, "alive though it is to be revoked");
    k.record.attempts = AUDIT_STUCK_ATTEMPTS - 1;
    check_key(AUDIT_ZOMBIE, AUDIT_FIX_RETRY, "alive though it is to be revoked");
    k.record.attempts = AUDIT_STUCK_ATTEMPTS;
    check_key(AUDIT_STUCK, AUDIT_FIX_RETRY, "its revocation keeps failing");
}

static void test_limits_on_keys(void **state)
{
    (void)state;
    a_known_key();
    k.record.limit_set = 9999000;
    k.facts.limit = 10000000; /* rounded up to cents */
    check_key(AUDIT_OK, AUDIT_FIX_NONE, "");
    k.facts.limit = 9990000;
    check_key(AUDIT_OVER_BUDGET, AUDIT_FIX_LIMIT, "its monthly limit at the provider is not the one that was set");
    k.facts.limit = 10009000;
    check_key(AUDIT_OVER_BUDGET, AUDIT_FIX_LIMIT, "is not the one that was set");
    k.facts.limit = 0;
    check_key(AUDIT_OVER_BUDGET, AUDIT_FIX_LIMIT, "it has no monthly limit at the provider any more");
    k.facts.limit_unsettled = true;
    check_key(AUDIT_OK, AUDIT_FIX_NONE, "");
    k.facts.limit_unsettled = false;
    k.record.limit_set = 0; /* it cannot be set there, or has not been yet */
    check_key(AUDIT_OK, AUDIT_FIX_NONE, "");
    k.record.limit_set = 9999000;
    k.facts.limit = -1; /* not told */
    check_key(AUDIT_OK, AUDIT_FIX_NONE, "");
    k.facts.limit = 0;
    k.record.state = KEY_REVOKING; /* it is going anyway */
    check_key(AUDIT_OK, AUDIT_FIX_NONE, "being revoked");
}

static void test_suspended_keys(void **state)
{
    (void)state;
    a_known_key();
    k.record.state = KEY_SUSPENDED;
    k.facts.state = DOMAIN_OFF;
    check_key(AUDIT_OK, AUDIT_FIX_NONE, "being suspended or resumed");
    k.record.attempts = AUDIT_STUCK_ATTEMPTS;
    check_key(AUDIT_STUCK, AUDIT_FIX_RETRY, "its suspension or resumption keeps failing");
    k.record.suspended_at = NOW - AUDIT_PATIENCE_MS;
    check_key(AUDIT_OK, AUDIT_FIX_NONE, "suspended");
    k.facts.tells_suspended = true;
    check_key(AUDIT_ZOMBIE, AUDIT_FIX_SWITCH, "the provider takes it");
    k.facts.suspended = true;
    check_key(AUDIT_OK, AUDIT_FIX_NONE, "suspended");
    k.facts.suspended = false;
    k.record.suspended_at++; /* the list may be older */
    check_key(AUDIT_OK, AUDIT_FIX_NONE, "suspended");
    /* Switched off by somebody else, while its domain runs. */
    a_known_key();
    k.facts.tells_suspended = k.facts.suspended = true;
    k.record.active_at = NOW - AUDIT_PATIENCE_MS;
    check_key(AUDIT_MISSING, AUDIT_FIX_SWITCH, "somebody has suspended it there");
    k.record.state = KEY_MINTED; /* resumed a moment ago, perhaps */
    check_key(AUDIT_OK, AUDIT_FIX_NONE, "");
    k.record.state = KEY_ACTIVE;
    k.record.active_at++;
    check_key(AUDIT_OK, AUDIT_FIX_NONE, "");
    k.facts.suspended = false;
    k.record.active_at = 1;
    check_key(AUDIT_OK, AUDIT_FIX_NONE, "");
    k.facts.tells_suspended = false;
    check_key(AUDIT_OK, AUDIT_FIX_NONE, "");
}

/* What is not provably ours is never touched. */
static void test_keys_of_others(void **state)
{
    (void)state;
    a_key("llmhook:beefbeef:" UUID ":openai:g1");
    check_key(AUDIT_OTHER_HOST, AUDIT_FIX_NONE, "another host");
    a_key("by hand");
    check_key(AUDIT_NOT_OURS, AUDIT_FIX_NONE, "not made by this llmhook");
    a_key("llmhook:" HOST ":" UUID ":openai:g1 copy");
    check_key(AUDIT_NOT_OURS, AUDIT_FIX_NONE, "not made by this llmhook");
    a_key("llmhook:" HOST ":" UUID ":openai"); /* a project's name */
    check_key(AUDIT_NOT_OURS, AUDIT_FIX_NONE, "not made by this llmhook");
    a_key("llmhook:" HOST ":" UUID ":openai-2:g1"); /* judged where that provider is listed */
    check_key(AUDIT_SILENT, AUDIT_FIX_NONE, "");
    k.facts.named = AUDIT_NAMED_WITHOUT;
    check_key(AUDIT_ORPHAN, AUDIT_FIX_NONE, "for another provider, which does not list it");
    k.facts.named = AUDIT_NAMED_UNKNOWN;
    check_key(AUDIT_ORPHAN, AUDIT_FIX_NONE, "not in the configuration");
}

static void test_orphan_keys(void **state)
{
    (void)state;
    a_key("llmhook:" HOST ":" UUID ":openai:g1");
    check_key(AUDIT_ORPHAN, AUDIT_FIX_REMOVE, "the ledger does not know it");
    k.facts.named = AUDIT_NAMED_UNKNOWN; /* the one that was asked, taken out of the configuration since */
    check_key(AUDIT_ORPHAN, AUDIT_FIX_REMOVE, "the ledger does not know it");
    k.facts.ended_meanwhile = true;
    check_key(AUDIT_SILENT, AUDIT_FIX_NONE, "");
    k.facts.ended_meanwhile = false;
    k.facts.place = AUDIT_PLACE_LATER;
    check_key(AUDIT_ORPHAN, AUDIT_FIX_NONE, "not the one in the ledger");
    k.facts.place = AUDIT_PLACE_SHARED;
    check_key(AUDIT_ORPHAN, AUDIT_FIX_NONE, "others use as well");
    k.facts.place = AUDIT_PLACE_FOREIGN;
    check_key(AUDIT_ORPHAN, AUDIT_FIX_NONE, "in a project that is not");
}

static void test_keys_with_a_namesake(void **state)
{
    (void)state;
    a_key("llmhook:" HOST ":" UUID ":openai:g1");
    k.facts.namesake = &k.record;
    check_key(AUDIT_ORPHAN, AUDIT_FIX_REMOVE, "a second one under the name");
    k.record.unknown = true;
    check_key(AUDIT_OK, AUDIT_FIX_NONE, "looked into");
    k.record.unknown = false;
    k.record.remote_id[0] = '\0';
    k.record.state = KEY_MINTING;
    check_key(AUDIT_OK, AUDIT_FIX_NONE, "being minted");
    k.record.state = KEY_PLANNED;
    check_key(AUDIT_ORPHAN, AUDIT_FIX_NONE, "about to be minted");
}

static void test_unlisted_keys(void **state)
{
    (void)state;
    for (enum key_state key = KEY_PLANNED; key <= KEY_REVOKED; key++) {
        struct key_record record = {.state = key, .minted_at = NOW - PLAN_SETTLE_MS};
        bool alive = key == KEY_MINTED || key == KEY_ACTIVE || key == KEY_SUSPENDED || key == KEY_RETIRING;
        check_judgement(audit_unlisted_key(&record, false, NOW), alive ? AUDIT_MISSING : AUDIT_SILENT,
                        alive ? AUDIT_FIX_END : AUDIT_FIX_NONE, "");
        check_judgement(audit_unlisted_key(&record, true, NOW), alive ? AUDIT_MISSING : AUDIT_SILENT,
                        alive ? AUDIT_FIX_CHECK : AUDIT_FIX_NONE, "");
        record.minted_at = 0; /* claimed, and that was never answered: without our name perhaps */
        check_judgement(audit_unlisted_key(&record, false, NOW), AUDIT_SILENT, AUDIT_FIX_NONE, "");
        record.minted_at = NOW - PLAN_SETTLE_MS + 1; /* a list may lag behind */
        check_judgement(audit_unlisted_key(&record, false, NOW), AUDIT_SILENT, AUDIT_FIX_NONE, "");
        record.attempts = AUDIT_STUCK_ATTEMPTS;
        check_judgement(audit_unlisted_key(&record, false, NOW), key == KEY_REVOKING ? AUDIT_STUCK : AUDIT_SILENT,
                        key == KEY_REVOKING ? AUDIT_FIX_RETRY : AUDIT_FIX_NONE, "");
    }
}

/* --- containers --- */

static struct {
    struct audit_identity name;
    struct container_record record;
    struct audit_listed_container facts;
} c;

static void a_container(const char *name)
{
    memset(&c, 0, sizeof c);
    audit_read_name(name, HOST, &c.name);
    c.record = (struct container_record){.id = 5, .provider = "openai", .kind = CONTAINER_PER_DOMAIN,
                                         .state = CONTAINER_OPEN, .remote_id = "proj_1", .limit_set = 25000000};
    c.facts = (struct audit_listed_container){.name = &c.name, .provider = "openai",
                                              .limit = 25000000};
}

#define check_container(verdict, fix, reason) check_judgement(audit_listed_container(&c.facts), verdict, fix, reason)

static void test_known_containers(void **state)
{
    (void)state;
    a_container("llmhook:" HOST ":" UUID ":openai dev-1");
    c.facts.record = &c.record;
    check_container(AUDIT_OK, AUDIT_FIX_NONE, "");
    c.facts.provider = "openai-2";
    check_container(AUDIT_SILENT, AUDIT_FIX_NONE, "");
    c.facts.provider = "openai";
    c.record.state = CONTAINER_ARCHIVING;
    check_container(AUDIT_OK, AUDIT_FIX_NONE, "being archived");
    c.record.attempts = AUDIT_STUCK_ATTEMPTS;
    check_container(AUDIT_STUCK, AUDIT_FIX_RETRY, "its archiving keeps failing");
}

static void test_budgets(void **state)
{
    (void)state;
    a_container("llmhook:" HOST ":" UUID ":openai dev-1");
    c.facts.record = &c.record;
    c.facts.limit = 25010000;
    check_container(AUDIT_OVER_BUDGET, AUDIT_FIX_CHECK, "not the one that was set");
    c.facts.limit = 24990000;
    check_container(AUDIT_OVER_BUDGET, AUDIT_FIX_CHECK, "not the one that was set");
    c.facts.limit = 0;
    check_container(AUDIT_OVER_BUDGET, AUDIT_FIX_CHECK, "no monthly limit at the provider any more");
    c.facts.limit_unsettled = true;
    check_container(AUDIT_OK, AUDIT_FIX_NONE, "");
    c.facts.limit_unsettled = false;
    c.record.kind = CONTAINER_GIVEN; /* its limit is not ours to set, nor is it ours to show */
    check_container(AUDIT_SILENT, AUDIT_FIX_NONE, "");
    c.record.kind = CONTAINER_PER_OWNER;
    check_container(AUDIT_OVER_BUDGET, AUDIT_FIX_CHECK, "no monthly limit");
    c.record.limit_set = 0; /* it has not been set yet */
    check_container(AUDIT_OK, AUDIT_FIX_NONE, "");
    c.record.limit_set = 9999000;
    c.facts.limit = 10000000; /* rounded up to cents */
    check_container(AUDIT_OK, AUDIT_FIX_NONE, "");
    c.facts.limit = -1; /* not told */
    check_container(AUDIT_OK, AUDIT_FIX_NONE, "");
}

static void test_unknown_containers(void **state)
{
    (void)state;
    a_container("llmhook:" HOST ":" UUID ":openai dev-1");
    check_container(AUDIT_ORPHAN, AUDIT_FIX_ADOPT, "the ledger does not know");
    c.facts.holds_others = true;
    check_container(AUDIT_ORPHAN, AUDIT_FIX_NONE, "keys that are not ours are in it");
    c.facts.ended_meanwhile = true;
    check_container(AUDIT_SILENT, AUDIT_FIX_NONE, "");
    c.facts.ended_meanwhile = c.facts.holds_others = false;
    c.facts.domain_elsewhere = true;
    check_container(AUDIT_ORPHAN, AUDIT_FIX_CLEAR, "its domain uses another");
    c.facts.holds_others = true;
    check_container(AUDIT_ORPHAN, AUDIT_FIX_NONE, "keys that are not ours are in it");
    a_container("llmhook:" HOST ":" UUID ":openai dev-1");
    c.facts.namesake = &c.record;
    check_container(AUDIT_ORPHAN, AUDIT_FIX_NONE, "which is missing");
    c.facts.namesake_listed = true;
    check_container(AUDIT_ORPHAN, AUDIT_FIX_CLEAR, "a second project");
    c.facts.holds_others = true;
    check_container(AUDIT_ORPHAN, AUDIT_FIX_NONE, "keys that are not ours are in it");
    c.record.remote_id[0] = '\0';
    check_container(AUDIT_OK, AUDIT_FIX_NONE, "being looked for by its name");
    a_container("llmhook:" HOST ":" UUID ":openai-2");
    check_container(AUDIT_SILENT, AUDIT_FIX_NONE, "");
    c.facts.named = AUDIT_NAMED_WITHOUT;
    check_container(AUDIT_ORPHAN, AUDIT_FIX_NONE, "for another provider, which does not list it");
    c.facts.named = AUDIT_NAMED_UNKNOWN;
    check_container(AUDIT_ORPHAN, AUDIT_FIX_NONE, "not in the configuration");
    a_container("llmhook:beefbeef:" UUID ":openai");
    check_container(AUDIT_OTHER_HOST, AUDIT_FIX_NONE, "another host");
    a_container("llmhook:" HOST ":" UUID ":openai:g1"); /* a key's name */
    check_container(AUDIT_NOT_OURS, AUDIT_FIX_NONE, "not made by this llmhook");
}

static void test_unlisted_containers(void **state)
{
    (void)state;
    for (enum container_state at = CONTAINER_PLANNED; at <= CONTAINER_ARCHIVED; at++) {
        struct container_record record = {.state = at, .created_at = NOW - PLAN_SETTLE_MS};
        bool open = at == CONTAINER_OPEN, archiving = at == CONTAINER_ARCHIVING;
        check_judgement(audit_unlisted_container(&record, NOW), open ? AUDIT_MISSING : AUDIT_SILENT,
                        open ? AUDIT_FIX_CHECK : AUDIT_FIX_NONE, "");
        record.created_at++;
        check_judgement(audit_unlisted_container(&record, NOW), AUDIT_SILENT, AUDIT_FIX_NONE, "");
        record.attempts = AUDIT_STUCK_ATTEMPTS;
        check_judgement(audit_unlisted_container(&record, NOW), archiving ? AUDIT_STUCK : AUDIT_SILENT,
                        archiving ? AUDIT_FIX_RETRY : AUDIT_FIX_NONE, "");
        record.kind = CONTAINER_GIVEN;
        record.created_at = 0;
        check_judgement(audit_unlisted_container(&record, NOW), AUDIT_SILENT, AUDIT_FIX_NONE, "");
    }
}

/* --- guests --- */

static void test_guests(void **state)
{
    (void)state;
    struct audit_guest guest = {.state = DOMAIN_RUNNING, .agent = AGENT_CONNECTED, .has_keys = true};
#define check_guest(verdict, fix, reason) check_judgement(audit_guest(&guest), verdict, fix, reason)
    check_guest(AUDIT_SILENT, AUDIT_FIX_NONE, ""); /* it is being delivered */
    guest.waited_ms = AUDIT_PATIENCE_MS - 1;
    check_guest(AUDIT_SILENT, AUDIT_FIX_NONE, "");
    guest.waited_ms++;
    check_guest(AUDIT_UNDELIVERED, AUDIT_FIX_DELIVER, "not proven in the guest");
    guest.waited_ms = 0;
    guest.attempts = 1;
    check_guest(AUDIT_UNDELIVERED, AUDIT_FIX_DELIVER, "not proven in the guest");
    guest.has_keys = false;
    check_guest(AUDIT_SILENT, AUDIT_FIX_NONE, "");
    guest.has_keys = true;
    guest.agent = AGENT_DISCONNECTED;
    check_guest(AUDIT_SILENT, AUDIT_FIX_NONE, "");
    guest.agent = AGENT_CONNECTED;
    guest.state = DOMAIN_PAUSED;
    check_guest(AUDIT_SILENT, AUDIT_FIX_NONE, "");
    guest.state = DOMAIN_RUNNING;
    guest.proven = true;
    check_guest(AUDIT_SILENT, AUDIT_FIX_NONE, ""); /* nobody asked it */
    guest.probe = AUDIT_PROBE_SAME;
    check_guest(AUDIT_OK, AUDIT_FIX_NONE, "");
    guest.probe = AUDIT_PROBE_OTHER;
    check_guest(AUDIT_STALE, AUDIT_FIX_DELIVER, "other keys than it should");
    guest.probe = AUDIT_PROBE_LOST;
    check_guest(AUDIT_STALE, AUDIT_FIX_DELIVER, "has lost its keys");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_known_keys),
        cmocka_unit_test(test_keys_of_others),
        cmocka_unit_test(test_orphan_keys),
        cmocka_unit_test(test_keys_with_a_namesake),
        cmocka_unit_test(test_unlisted_keys),
        cmocka_unit_test(test_suspended_keys),
        cmocka_unit_test(test_limits_on_keys),
        cmocka_unit_test(test_known_containers),
        cmocka_unit_test(test_budgets),
        cmocka_unit_test(test_unknown_containers),
        cmocka_unit_test(test_unlisted_containers),
        cmocka_unit_test(test_guests),
    };
    return check_run(tests);
}
