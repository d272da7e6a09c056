/* Every kind of row: what is saved comes back, and what must never be is refused. */
#include "../ledger/fixture.h"

#include "base/cleanup.h"

#include <stdio.h>

/* --- texts --- */

static void test_texts(void **state)
{
    struct ledger *ledger = open_ledger(*state);
    char text[8] = "before";
    must_fail(ledger_get_text(ledger, "host-id", text, sizeof text, &err), ERROR_NOT_FOUND,
              "=get text: there is no 'host-id'");
    assert_string_equal(text, "before");
    must(ledger_set_text(ledger, "host-id", "1234567", &err));
    must(ledger_get_text(ledger, "host-id", text, sizeof text, &err));
    assert_string_equal(text, "1234567");
    must(ledger_set_text(ledger, "host-id", "", &err));
    must(ledger_get_text(ledger, "host-id", text, sizeof text, &err));
    assert_string_equal(text, "");
    must(ledger_set_text(ledger, "host-id", "12345678", &err));
    must_fail(ledger_get_text(ledger, "host-id", text, sizeof text, &err), ERROR_IO,
              "=get text: column text holds what was never written there");
    must_fail(ledger_set_text(ledger, "", "x", &err), ERROR_INVALID, "=set text: CHECK constraint failed: name <> ''");
    ledger_close(ledger);
}

/* --- rows --- */

/* Field by field, so that the padding between them does not count. */
static void check_same_domain(const struct domain_record *got, const struct domain_record *wanted)
{
    assert_string_equal(got->uuid, wanted->uuid);
    assert_string_equal(got->name, wanted->name);
    assert_int_equal(got->stop, wanted->stop);
    assert_int_equal(got->transient, wanted->transient);
    assert_int_equal(got->delivered, wanted->delivered);
    assert_int_equal(got->seen_at, wanted->seen_at);
    assert_int_equal(got->undefined_at, wanted->undefined_at);
    assert_string_equal(got->policy.owner, wanted->policy.owner);
    assert_string_equal(got->policy.readers, wanted->policy.readers);
    assert_int_equal(got->policy.required, wanted->policy.required);
    assert_int_equal(got->policy.boot_credential, wanted->policy.boot_credential);
    assert_string_equal(got->booted, wanted->booted);
    assert_int_equal(got->policy.count, wanted->policy.count);
    for (unsigned i = 0; i < wanted->policy.count; i++) {
        const struct policy_key *one = &got->policy.keys[i], *other = &wanted->policy.keys[i];
        assert_string_equal(one->provider, other->provider);
        assert_string_equal(one->environment, other->environment);
        assert_int_equal(one->monthly_limit, other->monthly_limit);
        assert_int_equal(one->rotate_ms, other->rotate_ms);
        assert_int_equal(one->overlap_ms, other->overlap_ms);
        assert_int_equal(one->on_stop, other->on_stop);
        assert_int_equal(one->on_save, other->on_save);
        assert_int_equal(one->over_budget, other->over_budget);
    }
}

static void test_domains(void **state)
{
    struct place *place = *state;
    struct ledger *ledger = open_ledger(place);
    struct domain_record second = a_domain(UUID_2), first = a_domain(UUID_1);
    must(ledger_save_domain(ledger, &second, &err));
    must(ledger_save_domain(ledger, &first, &err));
    first.transient = first.delivered = false;
    first.policy.required = POLICY_FLAG_YES;
    first.policy.boot_credential = POLICY_FLAG_DEFAULT;
    first.booted[0] = '\0';
    first.policy.count = 2;
    first.policy.owner[0] = first.policy.readers[0] = '\0';
    must(ledger_save_domain(ledger, &first, &err));
    ledger_close(ledger);

    ledger = open_ledger(place);
    struct domains got = {.count = 0};
    must(ledger_each_domain(ledger, gather_domain, &got, &err));
    assert_int_equal(got.count, 2);
    check_same_domain(&got.all[0], &first);
    check_same_domain(&got.all[1], &second);

    for (enum stop_reason reason = STOP_NONE; reason <= STOP_DAEMON; reason++) {
        first.stop = reason;
        first.policy.required = (enum policy_flag)(reason % 3);
        first.policy.count = reason % 2;
        must(ledger_save_domain(ledger, &first, &err));
        got.count = 0;
        must(ledger_each_domain(ledger, gather_domain, &got, &err));
        check_same_domain(&got.all[0], &first);
    }
    ledger_close(ledger);
}

static void test_bad_domains(void **state)
{
    struct ledger *ledger = open_ledger(*state);
    struct domain_record bad = a_domain(UUID_1);
    struct domains got = {.count = 0};
    bad.policy.count = POLICY_KEYS_MAX + 1;
    must_fail(ledger_save_domain(ledger, &bad, &err), ERROR_LIMIT,
              "=save domain: its policy has 17 keys, at most 16 are possible");
    bad = a_domain("AAAAAAAA-1111-4111-8111-111111111111");
    must_fail(ledger_save_domain(ledger, &bad, &err), ERROR_INVALID, "save domain: CHECK constraint failed: length(uuid) = 36");
    bad = a_domain(UUID_1);
    bad.stop = (enum stop_reason)99;
    must_fail(ledger_save_domain(ledger, &bad, &err), ERROR_INVALID, "save domain: CHECK constraint failed: stop IN");
    bad = a_domain(UUID_1);
    bad.policy.required = (enum policy_flag)9;
    must_fail(ledger_save_domain(ledger, &bad, &err), ERROR_INVALID, "save domain: CHECK constraint failed: required IN");
    bad = a_domain(UUID_1);
    memset(bad.name, 'x', sizeof bad.name); /* no NUL */
    must_fail(ledger_save_domain(ledger, &bad, &err), ERROR_LIMIT, "=save domain: string or blob too big");
    /* The last key is refused: nothing of the domain may stay. */
    bad = a_domain(UUID_1);
    bad.policy.keys[15].rotate_ms = -2;
    must_fail(ledger_save_domain(ledger, &bad, &err), ERROR_INVALID, "=save domain: CHECK constraint failed: rotate_ms >= -1");
    must(ledger_each_domain(ledger, gather_domain, &got, &err));
    assert_int_equal(got.count, 0);
    ledger_close(ledger);
}

static void test_grants(void **state)
{
    struct ledger *ledger = open_ledger(*state);
    struct container_record container = a_container(UUID_1);
    must(ledger_save_container(ledger, &container, &err));
    struct grant_record first = a_grant(UUID_1, container.id), second = a_grant(UUID_2, 0), found;
    must_fail(ledger_find_grant(ledger, UUID_1, "openai", &found, &err), ERROR_NOT_FOUND,
              "=find grant: " UUID_1 " never had one of openai");
    must(ledger_save_grant(ledger, &first, &err));
    must(ledger_save_grant(ledger, &second, &err));
    assert_int_not_equal(first.id, 0);
    assert_int_not_equal(first.id, second.id);

    struct grants got = {.count = 0};
    must(ledger_each_live_grant(ledger, gather_grant, &got, &err));
    assert_int_equal(got.count, 2);
    check_same_grant(&got.all[0], &first);
    check_same_grant(&got.all[1], &second);

    /* It ends, is no longer among the living, and comes back as what it was. */
    first.ended_at = 77;
    must(ledger_save_grant(ledger, &first, &err));
    got.count = 0;
    must(ledger_each_live_grant(ledger, gather_grant, &got, &err));
    assert_int_equal(got.count, 1);
    check_same_grant(&got.all[0], &second);
    must(ledger_find_grant(ledger, UUID_1, "openai", &found, &err));
    check_same_grant(&found, &first);
    must_fail(ledger_find_grant(ledger, UUID_1, "anthropic", &found, &err), ERROR_NOT_FOUND, "never had one of anthropic");
    found.ended_at = 0;
    found.held_at = 0;
    found.container_id = 0;
    found.last_generation = 5;
    must(ledger_save_grant(ledger, &found, &err));
    got.count = 0;
    must(ledger_each_live_grant(ledger, gather_grant, &got, &err));
    assert_int_equal(got.count, 2);
    check_same_grant(&got.all[0], &found);
    ledger_close(ledger);
}

static void test_bad_grants(void **state)
{
    struct ledger *ledger = open_ledger(*state);
    struct grant_record grant = a_grant(UUID_1, 0), other = grant;
    must(ledger_save_grant(ledger, &grant, &err));
    must_fail(ledger_save_grant(ledger, &other, &err), ERROR_EXISTS,
              "=save grant: UNIQUE constraint failed: grants.domain, grants.provider");
    assert_int_equal(other.id, 0);
    other = grant;
    other.last_generation = 3;
    must_fail(ledger_save_grant(ledger, &other, &err), ERROR_INVALID,
              "=save grant: generations of a grant are never used twice");
    other = grant;
    other.id = 4711;
    must_fail(ledger_save_grant(ledger, &other, &err), ERROR_NOT_FOUND,
              "=save grant: there is no 4711 of this domain and provider");
    other = grant;
    snprintf(other.provider, sizeof other.provider, "anthropic");
    must_fail(ledger_save_grant(ledger, &other, &err), ERROR_NOT_FOUND, "=save grant: there is no 1 of this domain and provider");
    other = a_grant(UUID_2, 99);
    must_fail(ledger_save_grant(ledger, &other, &err), ERROR_NOT_FOUND, "=save grant: FOREIGN KEY constraint failed");
    ledger_close(ledger);
}

static void check_same_container(const struct container_record *got, const struct container_record *wanted)
{
    assert_int_equal(got->id, wanted->id);
    assert_string_equal(got->provider, wanted->provider);
    assert_int_equal(got->kind, wanted->kind);
    assert_string_equal(got->subject, wanted->subject);
    assert_int_equal(got->state, wanted->state);
    assert_int_equal(got->unknown, wanted->unknown);
    assert_string_equal(got->name, wanted->name);
    assert_string_equal(got->remote_id, wanted->remote_id);
    assert_int_equal(got->limit_set, wanted->limit_set);
    assert_string_equal(got->rates_set, wanted->rates_set);
    assert_int_equal(got->attempts, wanted->attempts);
    assert_string_equal(got->last_error, wanted->last_error);
    assert_int_equal(got->created_at, wanted->created_at);
    assert_int_equal(got->archived_at, wanted->archived_at);
}

static void test_containers(void **state)
{
    struct ledger *ledger = open_ledger(*state);
    struct containers got;
    int64_t last = 0;
    for (enum container_kind kind = CONTAINER_PER_DOMAIN; kind <= CONTAINER_GIVEN; kind++) {
        struct container_record container = a_container("one");
        container.kind = kind;
        for (enum container_state s = CONTAINER_PLANNED; s <= CONTAINER_ARCHIVED; s++) {
            container.state = s;
            container.unknown = s == CONTAINER_CREATING;
            container.limit_set = 10 * (int64_t)s;
            must(ledger_save_container(ledger, &container, &err));
            got.count = 0;
            must(ledger_each_live_container(ledger, gather_container, &got, &err));
            assert_int_equal(got.count, s == CONTAINER_ARCHIVED ? 0 : 1);
            if (s != CONTAINER_ARCHIVED)
                check_same_container(&got.all[0], &container);
        }
        assert_true(container.id > last);
        last = container.id;
    }
    ledger_close(ledger);
}

static void test_one_live_container(void **state)
{
    struct place *place = *state;
    struct ledger *ledger = open_ledger(place);
    struct container_record first = a_container(UUID_1), second = first, other;
    must(ledger_save_container(ledger, &first, &err));
    must_fail(ledger_save_container(ledger, &second, &err), ERROR_EXISTS,
              "=save container: UNIQUE constraint failed: containers.subject, containers.kind, containers.provider");
    first.state = CONTAINER_ARCHIVED;
    must(ledger_save_container(ledger, &first, &err));
    must(ledger_save_container(ledger, &second, &err));
    /* The archived one cannot come back beside it. */
    first.state = CONTAINER_OPEN;
    must_fail(ledger_save_container(ledger, &first, &err), ERROR_EXISTS, "save container: UNIQUE constraint failed");
    other = second;
    other.kind = CONTAINER_PER_OWNER;
    must_fail(ledger_save_container(ledger, &other, &err), ERROR_NOT_FOUND,
              "=save container: there is no 2 of this provider, kind and subject");
    other = a_container(UUID_2);
    other.remote_id[0] = '\0';
    must_fail(ledger_save_container(ledger, &other, &err), ERROR_INVALID,
              "=save container: CHECK constraint failed: open_has_remote_id");
    ledger_close(ledger);
    by_hand_fails(place, "DELETE FROM containers WHERE id = 2", "a container that is not archived cannot be deleted");
}

static void check_same_key(const struct key_record *got, const struct key_record *wanted)
{
    assert_int_equal(got->id, wanted->id);
    assert_int_equal(got->grant_id, wanted->grant_id);
    assert_int_equal(got->generation, wanted->generation);
    assert_int_equal(got->predecessor, wanted->predecessor);
    assert_int_equal(got->state, wanted->state);
    assert_int_equal(got->unknown, wanted->unknown);
    assert_string_equal(got->name, wanted->name);
    assert_string_equal(got->remote_id, wanted->remote_id);
    assert_string_equal(got->fingerprint, wanted->fingerprint);
    assert_int_equal(got->attempts, wanted->attempts);
    assert_string_equal(got->last_error, wanted->last_error);
    assert_int_equal(got->created_at, wanted->created_at);
    assert_int_equal(got->minted_at, wanted->minted_at);
    assert_int_equal(got->active_at, wanted->active_at);
    assert_int_equal(got->retiring_at, wanted->retiring_at);
    assert_int_equal(got->expires_at, wanted->expires_at);
    assert_int_equal(got->suspended_at, wanted->suspended_at);
    assert_string_equal(got->usage_id, wanted->usage_id);
    assert_int_equal(got->limit_set, wanted->limit_set);
    assert_int_equal(got->spent_before, wanted->spent_before);
    assert_int_equal(got->spent_month, wanted->spent_month);
    assert_int_equal(got->revoking_at, wanted->revoking_at);
    assert_int_equal(got->revoked_at, wanted->revoked_at);
}

static void test_keys(void **state)
{
    struct place *place = *state;
    struct ledger *ledger = open_ledger(place);
    struct grant_record grant = a_grant(UUID_1, 0);
    must(ledger_save_grant(ledger, &grant, &err));
    struct key_record first = a_key(grant.id, 1, "one"), second = a_key(grant.id, 2, "two");
    must(ledger_save_key(ledger, &first, &err));
    second.predecessor = first.id;
    struct keys got;
    for (enum key_state s = KEY_PLANNED; s <= KEY_REVOKED; s++) {
        second.state = s;
        second.unknown = s == KEY_MINTING;
        second.attempts = 20 + (int64_t)s;
        second.expires_at = 40 + (int64_t)s;
        must(ledger_save_key(ledger, &second, &err));
        got.count = 0;
        must(ledger_each_live_key(ledger, gather_key, &got, &err));
        assert_int_equal(got.count, s == KEY_REVOKED ? 1 : 2);
        check_same_key(&got.all[0], &first);
        if (s != KEY_REVOKED)
            check_same_key(&got.all[1], &second);
    }
    ledger_close(ledger);
    ledger = open_ledger(place);
    got.count = 0;
    must(ledger_each_live_key(ledger, gather_key, &got, &err));
    assert_int_equal(got.count, 1);
    check_same_key(&got.all[0], &first);
    ledger_close(ledger);
}

static void test_bad_keys(void **state)
{
    struct place *place = *state;
    struct ledger *ledger = open_ledger(place);
    struct family family = save_family(ledger, UUID_1);
    struct key_record other = a_key(family.grant.id, 2, UUID_1);
    must_fail(ledger_save_key(ledger, &other, &err), ERROR_EXISTS, "=save key: UNIQUE constraint failed: keys.name");
    assert_int_equal(other.id, 0);
    other = a_key(family.grant.id, 1, "other");
    must_fail(ledger_save_key(ledger, &other, &err), ERROR_EXISTS,
              "=save key: UNIQUE constraint failed: keys.grant_id, keys.generation");
    other = a_key(family.grant.id + 1, 1, "other");
    must_fail(ledger_save_key(ledger, &other, &err), ERROR_NOT_FOUND, "=save key: FOREIGN KEY constraint failed");
    other = a_key(family.grant.id, 2, "other");
    other.predecessor = 99;
    must_fail(ledger_save_key(ledger, &other, &err), ERROR_NOT_FOUND, "=save key: FOREIGN KEY constraint failed");
    other = a_key(family.grant.id, 0, "other");
    must_fail(ledger_save_key(ledger, &other, &err), ERROR_INVALID, "=save key: CHECK constraint failed: generation >= 1");
    other = a_key(family.grant.id, 2, "other");
    other.state = (enum key_state)99;
    must_fail(ledger_save_key(ledger, &other, &err), ERROR_INVALID, "save key: CHECK constraint failed: state IN");
    other.state = KEY_MINTED;
    other.remote_id[0] = '\0';
    must_fail(ledger_save_key(ledger, &other, &err), ERROR_INVALID, "=save key: CHECK constraint failed: minted_has_remote_id");
    other = family.key;
    other.id = 99;
    must_fail(ledger_save_key(ledger, &other, &err), ERROR_NOT_FOUND,
              "=save key: there is no 99 of this grant, generation and name");
    other = family.key;
    other.generation = 2;
    must_fail(ledger_save_key(ledger, &other, &err), ERROR_NOT_FOUND,
              "=save key: there is no 1 of this grant, generation and name");
    other = family.key;
    other.state = KEY_REVOKED;
    must(ledger_save_key(ledger, &other, &err));
    other.state = KEY_ACTIVE;
    must_fail(ledger_save_key(ledger, &other, &err), ERROR_INVALID, "=save key: a revoked key does not come back");
    ledger_close(ledger);
    by_hand_fails(place, "UPDATE keys SET name = 'x'", "what a key is called does not change");
}

static void test_forget(void **state)
{
    struct place *place = *state;
    struct ledger *ledger = open_ledger(place);
    struct family family = save_family(ledger, UUID_1);
    save_family(ledger, UUID_2);
    snprintf(family.domain.policy.owner, sizeof family.domain.policy.owner, "somebody-who-left");
    must(ledger_save_domain(ledger, &family.domain, &err));
    must_fail(ledger_forget_domain(ledger, UUID_1, &err), ERROR_BUSY,
              "=forget domain " UUID_1 ": it has keys that are not revoked (1)");
    family.key.state = KEY_REVOKING;
    must(ledger_save_key(ledger, &family.key, &err));
    must_fail(ledger_forget_domain(ledger, UUID_1, &err), ERROR_BUSY,
              "=forget domain " UUID_1 ": it has keys that are not revoked (1)");
    by_hand_fails(place, "DELETE FROM domains WHERE uuid = '" UUID_1 "'",
                  "a domain with a key that is not revoked cannot be deleted");
    by_hand_fails(place, "DELETE FROM keys", "a key that is not revoked cannot be deleted");
    family.key.state = KEY_REVOKED;
    must(ledger_save_key(ledger, &family.key, &err));
    must_fail(ledger_forget_domain(ledger, UUID_1, &err), ERROR_BUSY,
              "=forget domain " UUID_1 ": it has containers that are not archived (1)");
    family.container.state = CONTAINER_ARCHIVED;
    must(ledger_save_container(ledger, &family.container, &err));
    must_fail(ledger_forget_domain(ledger, UUID_1, &err), ERROR_BUSY,
              "=forget domain " UUID_1 ": it has grants that have not ended (1)");
    family.grant.ended_at = 5;
    must(ledger_save_grant(ledger, &family.grant, &err));
    must(ledger_forget_domain(ledger, UUID_1, &err));
    must_fail(ledger_forget_domain(ledger, UUID_1, &err), ERROR_NOT_FOUND, "=forget domain: there is no " UUID_1);

    struct domains got = {.count = 0};
    must(ledger_each_domain(ledger, gather_domain, &got, &err));
    assert_int_equal(got.count, 1);
    assert_string_equal(got.all[0].uuid, UUID_2);
    struct grant_record found;
    must(ledger_find_grant(ledger, UUID_1, "openai", &found, &err));
    check_same_grant(&found, &family.grant);
    ledger_close(ledger);
    size_t length;
    cleanup_free char *bytes = bytes_of(place->path, &length);
    assert_null(memmem(bytes, length, family.domain.policy.owner, strlen(family.domain.policy.owner)));
    assert_int_equal(number_by_hand(place, "SELECT count(*) FROM keys"), 2);
    assert_int_equal(number_by_hand(place, "SELECT count(*) FROM policy_keys WHERE domain = '" UUID_1 "'"), 0);
}

static void test_impossible_row(void **state)
{
    struct place *place = *state;
    struct ledger *ledger = open_ledger(place);
    save_family(ledger, UUID_1);
    ledger_close(ledger);
    by_hand(place, "UPDATE keys SET last_error = printf('%.300c', 'x')");
    ledger = open_ledger(place);
    struct keys got = {.count = 0};
    must_fail(ledger_each_live_key(ledger, gather_key, &got, &err), ERROR_IO,
              "=read keys: column last_error holds what was never written there");
    ledger_close(ledger);
}

/* --- walks --- */

struct tour {
    struct ledger *ledger;
    unsigned seen, inner;
};

static bool stop_at_second(void *context, const struct key_record *record, struct error *err)
{
    struct tour *tour = context;
    return ++tour->seen < 2 || error_set(err, ERROR_LIMIT, "enough at %s", record->name);
}

static bool count_inner(void *context, const struct key_record *record, struct error *err)
{
    struct tour *tour = context;
    (void)record;
    (void)err;
    tour->inner++;
    return true;
}

static bool save_and_walk(void *context, const struct key_record *record, struct error *err)
{
    struct tour *tour = context;
    struct key_record key = *record;
    tour->seen++;
    key.state = KEY_REVOKING;
    return ledger_save_key(tour->ledger, &key, err) && ledger_each_live_key(tour->ledger, count_inner, tour, err);
}

static void test_walks(void **state)
{
    struct tour tour = {.ledger = open_ledger(*state)};
    save_family(tour.ledger, UUID_1);
    save_family(tour.ledger, UUID_2);
    save_family(tour.ledger, UUID_3);
    must_fail(ledger_each_live_key(tour.ledger, stop_at_second, &tour, &err), ERROR_LIMIT, "=enough at " UUID_2);
    assert_int_equal(tour.seen, 2);
    tour.seen = 0;
    must(ledger_each_live_key(tour.ledger, save_and_walk, &tour, &err));
    assert_int_equal(tour.seen, 3);
    assert_int_equal(tour.inner, 9);
    struct keys got = {.count = 0};
    must(ledger_each_live_key(tour.ledger, gather_key, &got, &err));
    assert_int_equal(got.all[2].state, KEY_REVOKING);
    ledger_close(tour.ledger);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        case_of(test_texts),
        case_of(test_domains),
        case_of(test_bad_domains),
        case_of(test_grants),
        case_of(test_bad_grants),
        case_of(test_containers),
        case_of(test_one_live_container),
        case_of(test_keys),
        case_of(test_bad_keys),
        case_of(test_forget),
        case_of(test_impossible_row),
        case_of(test_walks),
    };
    if (!secret_init(NULL))
        return 1;
    return check_run(tests);
}
