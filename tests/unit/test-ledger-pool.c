/* The pool: every key in it is claimed once, whatever dies when. */
#include "../ledger/fixture.h"

#include "base/cleanup.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { INTERLEAVINGS = 10000, DAEMONS = 2, POOLED = 6 };

static struct pool_record pooled(const char *provider, unsigned number)
{
    struct pool_record record = {.added_at = number};
    snprintf(record.provider, sizeof record.provider, "%s", provider);
    snprintf(record.remote_id, sizeof record.remote_id, "apikey_%u", number);
    snprintf(record.hint, sizeof record.hint, "sk-...%u", number);
    snprintf(record.fingerprint, sizeof record.fingerprint, "%064u", number);
    return record;
}

static struct pool_record add(struct ledger *ledger, const char *provider, unsigned number)
{
    struct pool_record record = pooled(provider, number);
    unsigned char sealed[40];
    memset(sealed, (int)number, sizeof sealed);
    must(ledger_pool_add(ledger, &record, sealed, sizeof sealed, &err));
    return record;
}

static void check_secret(struct ledger *ledger, int64_t id, int number)
{
    unsigned char *sealed = NULL;
    size_t length;
    must(ledger_pool_secret(ledger, id, &sealed, &length, &err));
    assert_int_equal(length, 40);
    assert_int_equal(sealed[39], number);
    free(sealed);
}

struct rows {
    struct pool_record all[16];
    unsigned count;
};

static bool gather(void *context, const struct pool_record *record, struct error *err)
{
    struct rows *rows = context;
    (void)err;
    rows->all[rows->count++] = *record;
    return true;
}

/* Keys that a claim can be for. */
static int64_t a_planned_key(struct ledger *ledger, int64_t grant, int64_t generation)
{
    char name[64];
    snprintf(name, sizeof name, "key-%lld", (long long)generation);
    struct key_record key = a_key(grant, generation, name);
    key.state = KEY_PLANNED;
    must(ledger_save_key(ledger, &key, &err));
    return key.id;
}

static void test_what_is_added_is_there(void **state)
{
    struct ledger *ledger = open_ledger(*state);
    struct rows rows = {.count = 0};
    int64_t count;
    add(ledger, "anthropic", 1);
    add(ledger, "other", 2);
    struct pool_record third = add(ledger, "anthropic", 3), again = pooled("anthropic", 1);
    must_fail(ledger_pool_add(ledger, &again, (const unsigned char *)"x", 1, &err), ERROR_EXISTS, "add to the pool");
    again = pooled("anthropic", 4);
    memcpy(again.fingerprint, third.fingerprint, sizeof again.fingerprint);
    must_fail(ledger_pool_add(ledger, &again, (const unsigned char *)"x", 1, &err), ERROR_EXISTS, "add to the pool");
    again = pooled("other", 1); /* another provider may call one of its keys the same */
    memset(again.fingerprint, 'a', 64);
    must(ledger_pool_add(ledger, &again, (const unsigned char *)"x", 1, &err));
    ledger_close(ledger);

    ledger = open_ledger(*state);
    must(ledger_pool_each(ledger, NULL, gather, &rows, &err));
    assert_int_equal(rows.count, 4);
    rows.count = 0;
    must(ledger_pool_each(ledger, "anthropic", gather, &rows, &err));
    assert_int_equal(rows.count, 2);
    assert_string_equal(rows.all[1].remote_id, "apikey_3");
    assert_string_equal(rows.all[1].hint, "sk-...3");
    assert_string_equal(rows.all[1].fingerprint, third.fingerprint);
    assert_int_equal(rows.all[1].state, POOL_FREE);
    assert_int_equal(rows.all[1].added_at, 3);
    must(ledger_pool_count_free(ledger, "anthropic", &count, &err));
    assert_int_equal(count, 2);
    check_secret(ledger, third.id, 3);
    ledger_close(ledger);
}

static void test_a_claim_is_for_good(void **state)
{
    struct ledger *ledger = open_ledger(*state);
    struct family family = save_family(ledger, UUID_1);
    struct pool_record first = add(ledger, "anthropic", 1), second = add(ledger, "anthropic", 2), got;
    int64_t one = a_planned_key(ledger, family.grant.id, 2), other = a_planned_key(ledger, family.grant.id, 3), count;
    must_fail(ledger_pool_claim(ledger, "other", one, 5, &got, &err), ERROR_NOT_FOUND, "no key of other is free");
    must(ledger_pool_claim(ledger, "anthropic", one, 5, &got, &err));
    assert_int_equal(got.id, first.id);
    assert_string_equal(got.remote_id, "apikey_1");
    assert_int_equal(got.state, POOL_CLAIMED);
    assert_int_equal(got.key_id, one);
    assert_int_equal(got.claimed_at, 5);
    must_fail(ledger_pool_claim(ledger, "anthropic", one, 6, &got, &err), ERROR_EXISTS, "claim from the pool");
    must_fail(ledger_pool_remove(ledger, first.id, &err), ERROR_BUSY, "is or was a domain's");
    must_fail(ledger_pool_remove(ledger, 99, &err), ERROR_NOT_FOUND, "there is no 99");
    must(ledger_pool_erase_secret(ledger, first.id, &err)); /* its key has it now */
    unsigned char *sealed;
    size_t length;
    must_fail(ledger_pool_secret(ledger, first.id, &sealed, &length, &err), ERROR_NOT_FOUND, "there is none of pool row");
    must(ledger_pool_spend(ledger, one, &err));
    must(ledger_pool_spend(ledger, one, &err));
    must(ledger_pool_spend(ledger, other, &err)); /* has claimed none */
    must_fail(ledger_pool_remove(ledger, first.id, &err), ERROR_BUSY, "is or was a domain's");
    struct pool_record again = pooled("anthropic", 1);
    must_fail(ledger_pool_add(ledger, &again, (const unsigned char *)"x", 1, &err), ERROR_EXISTS, "add to the pool");
    must(ledger_pool_claim(ledger, "anthropic", other, 7, &got, &err));
    assert_int_equal(got.id, second.id);
    check_secret(ledger, second.id, 2);
    must(ledger_pool_count_free(ledger, "anthropic", &count, &err));
    assert_int_equal(count, 0);
    ledger_close(ledger);
    by_hand_fails(*state, "UPDATE pool SET state = 'free', key_id = NULL WHERE id = 1",
                  "a claimed key is never given to another");
    by_hand_fails(*state, "UPDATE pool SET key_id = 1 WHERE id = 2", "a claimed key is never given to another");
    by_hand_fails(*state, "DELETE FROM pool WHERE id = 1", "a claimed key is not forgotten");
}

/* A removed one leaves no byte of its secret, and its place is used again. */
static void test_a_free_one_can_be_removed(void **state)
{
    struct ledger *ledger = open_ledger(*state);
    struct pool_record first = add(ledger, "anthropic", 1);
    must(ledger_pool_remove(ledger, first.id, &err));
    must_fail(ledger_pool_remove(ledger, first.id, &err), ERROR_NOT_FOUND, "there is no");
    struct pool_record again = add(ledger, "anthropic", 1);
    check_secret(ledger, again.id, 1);
    ledger_close(ledger);
    assert_int_equal(number_by_hand(*state, "SELECT count(*) FROM sealed"), 1);
}

/* The same secret may go to its key in the transaction that claims it. */
static void test_an_aborted_claim_leaves_all_as_it_was(void **state)
{
    struct ledger *ledger = open_ledger(*state);
    struct family family = save_family(ledger, UUID_1);
    struct pool_record first = add(ledger, "anthropic", 1), got;
    int64_t key = a_planned_key(ledger, family.grant.id, 2);
    unsigned char *sealed;
    size_t length;
    must(ledger_begin(ledger, &err));
    must(ledger_pool_claim(ledger, "anthropic", key, 5, &got, &err));
    must(ledger_put_secret(ledger, key, (const unsigned char *)"sealed anew", 11, &err));
    must(ledger_pool_erase_secret(ledger, first.id, &err));
    ledger_rollback(ledger);
    check_secret(ledger, first.id, 1);
    must_fail(ledger_get_secret(ledger, key, &sealed, &length, &err), ERROR_NOT_FOUND, "there is none of key");
    must(ledger_begin(ledger, &err));
    must(ledger_pool_claim(ledger, "anthropic", key, 5, &got, &err));
    must(ledger_put_secret(ledger, key, (const unsigned char *)"sealed anew", 11, &err));
    must(ledger_pool_erase_secret(ledger, first.id, &err));
    must(ledger_commit(ledger, &err));
    must(ledger_get_secret(ledger, key, &sealed, &length, &err));
    assert_memory_equal(sealed, "sealed anew", 11);
    free(sealed);
    ledger_close(ledger);
}

/* --- two daemons' worth of claims --- */

static uint64_t dice = 1;
static unsigned roll(unsigned sides)
{
    dice = dice * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(dice >> 33) % sides;
}

/* What one of them believes: which key of its claimed which remote id. It believes only what was committed. */
struct believer {
    int64_t keys[POOLED];
    char claimed[POOLED][RECORD_REMOTE_ID_SIZE];
    unsigned count;
};

/* One claim of DAEMON's, which may die in the middle; only one process can have the ledger open, so the other one comes
 * after it. Returns the ledger, opened anew where it died. */
static struct ledger *claim_once(struct place *place, struct ledger *ledger, struct believer *daemon, int64_t key)
{
    struct pool_record got = {.id = 0};
    struct error refusal = ERROR_INIT;
    enum { DIES_BEFORE, DIES_AFTER, ROLLS_BACK = 8, COMMITS = 16, ENDS = 64 };
    unsigned end = roll(ENDS);
    must(ledger_begin(ledger, &err));
    if (!ledger_pool_claim(ledger, "anthropic", key, 5, &got, &refusal)) {
        assert_true(refusal.code == ERROR_NOT_FOUND || refusal.code == ERROR_EXISTS);
        ledger_rollback(ledger);
        return ledger;
    }
    if (end >= ROLLS_BACK && end < COMMITS) {
        ledger_rollback(ledger);
        return ledger;
    }
    if (end != DIES_BEFORE) {
        must(ledger_commit(ledger, &err));
        daemon->keys[daemon->count] = key;
        memcpy(daemon->claimed[daemon->count++], got.remote_id, sizeof got.remote_id);
    }
    if (end == DIES_BEFORE || end == DIES_AFTER) {
        ledger_close(ledger);
        ledger = open_ledger(place);
    }
    return ledger;
}

static void check_beliefs(struct ledger *ledger, const struct believer daemons[DAEMONS])
{
    struct rows rows = {.count = 0};
    must(ledger_pool_each(ledger, "anthropic", gather, &rows, &err));
    unsigned claimed = 0;
    for (unsigned i = 0; i < rows.count; i++)
        claimed += rows.all[i].state != POOL_FREE;
    assert_int_equal(claimed, daemons[0].count + daemons[1].count);
    for (unsigned d = 0; d < DAEMONS; d++)
        for (unsigned i = 0; i < daemons[d].count; i++) {
            unsigned holders = 0;
            for (unsigned r = 0; r < rows.count; r++)
                if (strcmp(rows.all[r].remote_id, daemons[d].claimed[i]) == 0) {
                    assert_int_equal(rows.all[r].key_id, daemons[d].keys[i]);
                    holders++;
                }
            assert_int_equal(holders, 1);
            for (unsigned e = 0; e < DAEMONS; e++)
                for (unsigned j = 0; j < daemons[e].count; j++)
                    if (e != d || j != i)
                        assert_string_not_equal(daemons[d].claimed[i], daemons[e].claimed[j]);
        }
}

/* Under valgrind they take long: LEDGER_FAULTS_EVERY=7 makes it a seventh of them, as in test-ledger-faults. */
static unsigned interleavings(void)
{
    const char *every = getenv("LEDGER_FAULTS_EVERY");
    return every && atoi(every) > 0 ? INTERLEAVINGS / (unsigned)atoi(every) : INTERLEAVINGS;
}

static void test_ten_thousand_interleavings(void **state)
{
    struct place *place = *state;
    struct ledger *ledger = open_ledger(place);
    struct family family = save_family(ledger, UUID_1);
    int64_t keys[DAEMONS][POOLED], generation = 2;
    unsigned claims = 0, number = 0, runs = interleavings();
    /* The pool is emptied by hand between two runs. */
    by_hand(place, "DROP TRIGGER pool_remembers");
    for (unsigned d = 0; d < DAEMONS; d++)
        for (unsigned i = 0; i < POOLED; i++)
            keys[d][i] = a_planned_key(ledger, family.grant.id, generation++);
    for (unsigned run = 0; run < runs; run++) {
        struct believer daemons[DAEMONS] = {{.count = 0}, {.count = 0}};
        for (unsigned i = 0; i < POOLED / 2; i++)
            add(ledger, "anthropic", ++number);
        for (unsigned step = 0; step < 2 + roll(POOLED); step++) {
            unsigned d = roll(DAEMONS);
            ledger = claim_once(place, ledger, &daemons[d], keys[d][roll(POOLED)]);
        }
        check_beliefs(ledger, daemons);
        claims += daemons[0].count + daemons[1].count;
        by_hand(place, "UPDATE secrets SET pool_id = NULL; DELETE FROM pool");
    }
    ledger_close(ledger);
    print_message("# %u claims in %u interleavings\n", claims, runs);
    assert_true(claims > runs);
}

int main(void)
{
    /* What the disk makes of a commit is tested elsewhere; here it would only take its time. */
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_is_added_is_there, make_place, drop_place),
        cmocka_unit_test_setup_teardown(test_a_claim_is_for_good, make_place, drop_place),
        cmocka_unit_test_setup_teardown(test_a_free_one_can_be_removed, make_place, drop_place),
        cmocka_unit_test_setup_teardown(test_an_aborted_claim_leaves_all_as_it_was, make_place, drop_place),
        cmocka_unit_test_setup_teardown(test_ten_thousand_interleavings, make_place, drop_place),
    };
    return check_run(tests);
}
