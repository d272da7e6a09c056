/* The sealing key at the daemon's start (sealing.c), with a ledger of its own: which ledger gets a key, and which none. */
#include "../ledger/fixture.h"

#include "daemon/engine.h"
#include "daemon/sealing.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *key_path(const struct place *place)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/seal.key", place->root);
    return path;
}

static void open_and_free(const struct place *place, struct ledger *ledger)
{
    struct seal *seal = NULL;
    must(sealing_open(ledger, key_path(place), &seal, &err));
    seal_free(seal);
}

/* A key of a domain, with a secret that is sealed under the key that is there. */
static void seal_one(const struct place *place, struct ledger *ledger, const char *uuid)
{
    struct family family = save_family(ledger, uuid);
    struct secret *secret = secret_new("sk-one", 6);
    struct seal *seal = NULL;
    unsigned char *sealed = NULL;
    size_t length = 0;
    must(seal_open_file(key_path(place), &seal, &err));
    must(seal_wrap(seal, family.key.name, secret, &sealed, &length, &err));
    must(ledger_put_secret(ledger, family.key.id, sealed, length, &err));
    free(sealed);
    secret_free(secret);
    seal_free(seal);
}

static void pool_one(const struct place *place, struct ledger *ledger)
{
    struct pool_record record = {.provider = "anthropic", .remote_id = "apikey_1", .fingerprint = HASH, .added_at = 1};
    struct secret *secret = secret_new("sk-two", 6);
    struct seal *seal = NULL;
    unsigned char *sealed = NULL;
    size_t length = 0;
    must(seal_open_file(key_path(place), &seal, &err));
    must(seal_wrap(seal, "pool:anthropic:apikey_1", secret, &sealed, &length, &err));
    must(ledger_pool_add(ledger, &record, sealed, length, &err));
    free(sealed);
    secret_free(secret);
    seal_free(seal);
}

/* As a ledger of an earlier version is. */
static void forget_which(const struct place *place)
{
    by_hand(place, "DELETE FROM texts WHERE name = 'seal-key'");
}

static void replace_key(const struct place *place)
{
    must(seal_make_file(key_path(place), &err));
}

#define MISSING "the ledger's secrets were sealed under one"
#define ANOTHER "is another one than the ledger's secrets were sealed under"

static void check_refused(const struct place *place, struct ledger *ledger, enum error_code code, const char *piece)
{
    struct seal *seal = NULL;
    must_fail(sealing_open(ledger, key_path(place), &seal, &err), code, piece);
    assert_null(seal);
}

static void test_a_new_ledger_gets_a_key(void **state)
{
    const struct place *place = *state;
    struct ledger *ledger = open_ledger(place);
    struct stat status;
    open_and_free(place, ledger);
    assert_int_equal(stat(key_path(place), &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    open_and_free(place, ledger);
    ledger_close(ledger);
}

static void test_a_key_that_is_gone_is_not_replaced(void **state)
{
    const struct place *place = *state;
    struct ledger *ledger = open_ledger(place);
    open_and_free(place, ledger);
    seal_one(place, ledger, UUID_1);
    assert_int_equal(unlink(key_path(place)), 0);
    check_refused(place, ledger, ERROR_NOT_FOUND, MISSING);
    assert_int_equal(access(key_path(place), F_OK), -1);
    ledger_close(ledger);
}

static void test_nor_in_a_ledger_that_did_not_note_it(void **state)
{
    const struct place *place = *state;
    struct ledger *ledger = open_ledger(place);
    open_and_free(place, ledger);
    seal_one(place, ledger, UUID_1);
    forget_which(place);
    assert_int_equal(unlink(key_path(place)), 0);
    check_refused(place, ledger, ERROR_NOT_FOUND, MISSING);
    assert_int_equal(access(key_path(place), F_OK), -1);
    ledger_close(ledger);
}

static void test_nor_where_only_the_pool_has_secrets(void **state)
{
    const struct place *place = *state;
    struct ledger *ledger = open_ledger(place);
    open_and_free(place, ledger);
    pool_one(place, ledger);
    forget_which(place);
    assert_int_equal(unlink(key_path(place)), 0);
    check_refused(place, ledger, ERROR_NOT_FOUND, MISSING);
    ledger_close(ledger);
}

static void test_another_key_is_refused(void **state)
{
    const struct place *place = *state;
    struct ledger *ledger = open_ledger(place);
    open_and_free(place, ledger);
    seal_one(place, ledger, UUID_1);
    replace_key(place);
    check_refused(place, ledger, ERROR_DENIED, ANOTHER);
    ledger_close(ledger);
}

/* Whoever hardens a host before any domain has a key loses nothing by it, and need not say that something is lost. */
static void test_another_key_is_taken_where_nothing_is_sealed(void **state)
{
    const struct place *place = *state;
    struct ledger *ledger = open_ledger(place);
    open_and_free(place, ledger);
    replace_key(place);
    open_and_free(place, ledger);
    seal_one(place, ledger, UUID_1);
    open_and_free(place, ledger);
    replace_key(place);
    check_refused(place, ledger, ERROR_DENIED, ANOTHER);
    ledger_close(ledger);
}

static void test_another_key_opens_no_secret_of_before(void **state)
{
    const struct place *place = *state;
    struct ledger *ledger = open_ledger(place);
    open_and_free(place, ledger);
    seal_one(place, ledger, UUID_1);
    forget_which(place);
    replace_key(place);
    check_refused(place, ledger, ERROR_DENIED, ANOTHER);
    assert_int_equal(number_by_hand(place, "SELECT count(*) FROM texts WHERE name = 'seal-key'"), 0);
    ledger_close(ledger);
}

/* An earlier version made a key in place of one that was lost, and went on with it: that is the one in use. */
static void test_a_ledger_of_before_learns_the_key_in_use(void **state)
{
    const struct place *place = *state;
    struct ledger *ledger = open_ledger(place);
    open_and_free(place, ledger);
    seal_one(place, ledger, UUID_1);
    forget_which(place);
    replace_key(place);
    seal_one(place, ledger, UUID_2);
    open_and_free(place, ledger);
    assert_int_equal(number_by_hand(place, "SELECT count(*) FROM texts WHERE name = 'seal-key' AND length(text) = 64"), 1);
    ledger_close(ledger);
}

/* --- lost for good --- */

static bool find_first(void *context, const struct key_record *record, struct error *err)
{
    struct key_record *found = context;
    (void)err;
    if (!found->id)
        *found = *record;
    return true;
}

/* What becomes of a key in STATE, with or without a remote id, whose secret is given up. */
static struct key_record given_up(const struct place *place, struct ledger *ledger, enum key_state state, const char *remote_id)
{
    struct key_record key = {.id = 0};
    struct sealing_lost lost;
    open_and_free(place, ledger);
    seal_one(place, ledger, UUID_1);
    must(ledger_each_live_key(ledger, find_first, &key, &err));
    key.state = state;
    key.unknown = false;
    snprintf(key.remote_id, sizeof key.remote_id, "%s", remote_id);
    must(ledger_save_key(ledger, &key, &err));
    assert_int_equal(unlink(key_path(place)), 0);
    must(sealing_give_up(ledger, key_path(place), &lost, &err));
    assert_int_equal(lost.keys, state != KEY_PLANNED);
    assert_int_equal(lost.pooled, 0);
    key.id = 0;
    must(ledger_each_live_key(ledger, find_first, &key, &err));
    assert_int_equal(number_by_hand(place, "SELECT count(*) FROM secrets WHERE key_id IS NOT NULL OR pool_id IS NOT NULL"), 0);
    must(ledger_journal_verify(ledger, &err));
    return key;
}

static void test_a_key_whose_secret_is_lost_is_revoked(void **state)
{
    const struct place *place = *state;
    struct ledger *ledger = open_ledger(place);
    struct key_record key = given_up(place, ledger, KEY_ACTIVE, "key_1");
    assert_int_equal(key.state, KEY_REVOKING);
    assert_string_equal(key.remote_id, "key_1");
    assert_false(key.unknown);
    assert_int_equal(number_by_hand(place, "SELECT count(*) FROM journal WHERE event = 'key revoking' AND domain = '" UUID_1 "'"
                                           " AND provider = 'openai' AND actor = 'operator'"), 1);
    ledger_close(ledger);
}

static void test_one_that_is_minting_is_doubted(void **state)
{
    const struct place *place = *state;
    struct ledger *ledger = open_ledger(place);
    struct key_record key = given_up(place, ledger, KEY_MINTING, "");
    assert_int_equal(key.state, KEY_REVOKING);
    assert_true(key.unknown);
    ledger_close(ledger);
}

static void test_one_that_is_claimed_is_revoked(void **state)
{
    const struct place *place = *state;
    struct ledger *ledger = open_ledger(place);
    struct key_record key = given_up(place, ledger, KEY_MINTING, "apikey_1");
    assert_int_equal(key.state, KEY_REVOKING);
    assert_false(key.unknown);
    ledger_close(ledger);
}

static void test_one_that_is_planned_stays(void **state)
{
    const struct place *place = *state;
    struct ledger *ledger = open_ledger(place);
    struct key_record key = given_up(place, ledger, KEY_PLANNED, "");
    assert_int_equal(key.state, KEY_PLANNED);
    ledger_close(ledger);
}

static void test_the_pool_can_be_filled_again(void **state)
{
    const struct place *place = *state;
    struct ledger *ledger = open_ledger(place);
    struct sealing_lost lost;
    open_and_free(place, ledger);
    pool_one(place, ledger);
    replace_key(place);
    must(sealing_give_up(ledger, key_path(place), &lost, &err));
    assert_int_equal(lost.pooled, 1);
    open_and_free(place, ledger);
    pool_one(place, ledger);
    ledger_close(ledger);
}

static void test_afterwards_there_is_a_new_key(void **state)
{
    const struct place *place = *state;
    struct ledger *ledger = open_ledger(place);
    given_up(place, ledger, KEY_ACTIVE, "key_1");
    open_and_free(place, ledger);
    assert_int_equal(access(key_path(place), F_OK), 0);
    seal_one(place, ledger, UUID_2);
    replace_key(place);
    check_refused(place, ledger, ERROR_DENIED, ANOTHER);
    ledger_close(ledger);
}

static void test_a_key_that_is_there_is_not_lost(void **state)
{
    const struct place *place = *state;
    struct ledger *ledger = open_ledger(place);
    struct sealing_lost lost;
    open_and_free(place, ledger);
    seal_one(place, ledger, UUID_1);
    must_fail(sealing_give_up(ledger, key_path(place), &lost, &err), ERROR_EXISTS, "nothing is lost, and nothing was changed");
    assert_int_equal(number_by_hand(place, "SELECT count(*) FROM secrets WHERE key_id IS NOT NULL"), 1);
    ledger_close(ledger);
}

static void test_what_is_noted_is_not_the_key(void **state)
{
    const struct place *place = *state;
    struct ledger *ledger = open_ledger(place);
    char noted[SECRET_FINGERPRINT_SIZE], file[SECRET_FINGERPRINT_SIZE];
    open_and_free(place, ledger);
    must(ledger_get_text(ledger, "seal-key", noted, sizeof noted, &err));
    fingerprint_file(key_path(place), file);
    assert_string_not_equal(noted, file);
    ledger_close(ledger);
}

int main(void)
{
    must(secret_init(&err));
    const struct CMUnitTest tests[] = {
        case_of(test_a_new_ledger_gets_a_key),
        case_of(test_a_key_that_is_gone_is_not_replaced),
        case_of(test_nor_in_a_ledger_that_did_not_note_it),
        case_of(test_nor_where_only_the_pool_has_secrets),
        case_of(test_another_key_is_refused),
        case_of(test_another_key_is_taken_where_nothing_is_sealed),
        case_of(test_another_key_opens_no_secret_of_before),
        case_of(test_a_ledger_of_before_learns_the_key_in_use),
        case_of(test_what_is_noted_is_not_the_key),
        case_of(test_a_key_whose_secret_is_lost_is_revoked),
        case_of(test_one_that_is_minting_is_doubted),
        case_of(test_one_that_is_claimed_is_revoked),
        case_of(test_one_that_is_planned_stays),
        case_of(test_the_pool_can_be_filled_again),
        case_of(test_afterwards_there_is_a_new_key),
        case_of(test_a_key_that_is_there_is_not_lost),
    };
    return check_run(tests);
}
