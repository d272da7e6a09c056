/* Secrets, transactions and the journal. What only a failing disk shows is in test-ledger-faults.c. */
#include "../ledger/fixture.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <unistd.h>

/* --- secrets --- */

static void check_secret(struct ledger *ledger, int64_t key, const void *wanted, size_t length)
{
    cleanup_free unsigned char *got = NULL;
    size_t got_length = 0;
    must(ledger_get_secret(ledger, key, &got, &got_length, &err));
    assert_int_equal(got_length, length);
    assert_memory_equal(got, wanted, length);
}

static void test_secrets(void **state)
{
    struct place *place = *state;
    struct ledger *ledger = open_ledger(place);
    struct family family = save_family(ledger, UUID_1);
    static const unsigned char one[] = {1, 0, 2, 0}, two[] = {9, 9, 0, 9, 9, 9};
    unsigned char *none = NULL;
    size_t length = 42;
    must_fail(ledger_get_secret(ledger, family.key.id, &none, &length, &err), ERROR_NOT_FOUND,
              "=get secret: there is none of key 1");
    assert_null(none);
    must(ledger_put_secret(ledger, family.key.id, one, sizeof one, &err));
    check_secret(ledger, family.key.id, one, sizeof one);
    must(ledger_put_secret(ledger, family.key.id, two, sizeof two, &err));
    check_secret(ledger, family.key.id, two, sizeof two);
    must_fail(ledger_put_secret(ledger, 99, one, sizeof one, &err), ERROR_NOT_FOUND,
              "=put secret: FOREIGN KEY constraint failed");
    must_fail(ledger_put_secret(ledger, family.key.id, one, 0, &err), ERROR_INVALID,
              "=put secret: CHECK constraint failed: length(bytes) > 0");
    check_secret(ledger, family.key.id, two, sizeof two);
    must(ledger_erase_secret(ledger, family.key.id, &err));
    must(ledger_erase_secret(ledger, family.key.id, &err));
    must_fail(ledger_get_secret(ledger, family.key.id, &none, &length, &err), ERROR_NOT_FOUND, "there is none of key 1");
    ledger_close(ledger);
}

enum { MANY = 600, SEALED_MAX = 4500, STEPS = 4000 };

/* Secrets that come and go. Each is one word over and over, of which any two neighbours give it away. */
struct word {
    unsigned char mark[4];
    uint16_t key, turn; /* the how many-th secret of that key */
};

struct crowd {
    struct {
        size_t length; /* 0: it has none */
        uint16_t turn;
    } keys[MANY];
    uint64_t random;
};

static uint64_t next_random(struct crowd *crowd)
{
    crowd->random ^= crowd->random << 13;
    crowd->random ^= crowd->random >> 7;
    crowd->random ^= crowd->random << 17;
    return crowd->random >> 16;
}

static struct word word_of(const struct crowd *crowd, unsigned key)
{
    return (struct word){.mark = {0xf7, 0xe5, 0xd3, 0xc1}, .key = (uint16_t)key, .turn = crowd->keys[key].turn};
}

static void fill(const struct crowd *crowd, unsigned key, unsigned char bytes[SEALED_MAX])
{
    struct word word = word_of(crowd, key);
    for (size_t i = 0; i < crowd->keys[key].length; i++)
        bytes[i] = ((unsigned char *)&word)[i % sizeof word];
}

static void put_or_erase(struct ledger *ledger, struct crowd *crowd, unsigned key)
{
    unsigned char bytes[SEALED_MAX];
    if (crowd->keys[key].length) {
        must(ledger_erase_secret(ledger, key + 1, &err));
        crowd->keys[key].length = 0;
        return;
    }
    /* Most are of a few lengths, as keys are; some of any; some need pages of their own. */
    uint64_t kind = next_random(crowd) % 20;
    crowd->keys[key].length = kind < 8    ? 60 + 50 * (kind % 3)
                              : kind < 19 ? 40 + next_random(crowd) % 400
                                          : 1000 + next_random(crowd) % 3500;
    crowd->keys[key].turn++;
    fill(crowd, key, bytes);
    must(ledger_put_secret(ledger, key + 1, bytes, crowd->keys[key].length, &err));
}

/* How many words in the file are of secrets that were erased. Counts the living ones' too: they show that looking works. */
static unsigned words_left(const char *path, const struct crowd *crowd, unsigned *ret_living)
{
    size_t length;
    cleanup_free char *bytes = bytes_of(path, &length);
    unsigned left = 0;
    *ret_living = 0;
    for (size_t i = 0; bytes && i + 2 * sizeof(struct word) <= length; i++) {
        struct word word, wanted;
        memcpy(&word, bytes + i, sizeof word);
        if (word.mark[0] != 0xf7 || word.mark[1] != 0xe5 || memcmp(bytes + i, bytes + i + sizeof word, sizeof word) != 0)
            continue;
        assert_true(word.key < MANY);
        wanted = word_of(crowd, word.key);
        if (crowd->keys[word.key].length && memcmp(&word, &wanted, sizeof word) == 0)
            ++*ret_living;
        else
            left++;
    }
    return left;
}

static void make_keys(struct ledger *ledger, unsigned count)
{
    struct grant_record grant = a_grant(UUID_1, 0);
    must(ledger_begin(ledger, &err));
    must(ledger_save_grant(ledger, &grant, &err));
    for (unsigned i = 1; i <= count; i++) {
        char name[32];
        snprintf(name, sizeof name, "key %u", i);
        struct key_record key = a_key(grant.id, i, name);
        must(ledger_save_key(ledger, &key, &err));
        assert_int_equal(key.id, i);
    }
    must(ledger_commit(ledger, &err));
}

/* Coming and going in no order makes SQLite split, join and shift pages wherever it can. */
static void test_erased_secrets_leave_no_bytes(void **state)
{
    struct place *place = *state;
    struct ledger *ledger = open_ledger(place);
    struct crowd crowd = {.random = 88172645463325252};
    char log[160];
    unsigned living;
    snprintf(log, sizeof log, "%s-wal", place->path);
    make_keys(ledger, MANY);
    for (unsigned step = 1; step <= STEPS; step++) {
        if (step % 10 == 1)
            must(ledger_begin(ledger, &err));
        put_or_erase(ledger, &crowd, (unsigned)(next_random(&crowd) % MANY));
        if (step % 10 == 0)
            must(ledger_commit(ledger, &err));
        if (step % (STEPS / 20) == 0) {
            assert_true(words_left(log, &crowd, &living) > 0); /* the log still has them */
            must(ledger_checkpoint(ledger, &err));
            assert_int_equal(words_left(place->path, &crowd, &living), 0);
            assert_true(living > 100);
            assert_int_equal(words_left(log, &crowd, &living), 0);
        }
    }
    for (unsigned key = 0; key < MANY; key++) {
        unsigned char bytes[SEALED_MAX];
        fill(&crowd, key, bytes);
        if (crowd.keys[key].length)
            check_secret(ledger, key + 1, bytes, crowd.keys[key].length);
        if (crowd.keys[key].length && key % 8 != 0)
            put_or_erase(ledger, &crowd, key);
    }
    ledger_close(ledger); /* tidies as well */
    assert_int_equal(words_left(place->path, &crowd, &living), 0);
    assert_true(living > 100);
}

/* The places of erased secrets are used again: the file does not grow with every key that ever was. */
static void test_secrets_take_no_new_room(void **state)
{
    struct place *place = *state;
    struct ledger *ledger = open_ledger(place);
    unsigned char bytes[164] = {0};
    make_keys(ledger, 50);
    for (int64_t key = 1; key <= 50; key++) {
        memset(bytes, (int)key, sizeof bytes);
        must(ledger_put_secret(ledger, key, bytes, sizeof bytes, &err));
        must(ledger_put_secret(ledger, key, bytes, sizeof bytes, &err));
        if (key > 2)
            must(ledger_erase_secret(ledger, key - 2, &err));
    }
    check_secret(ledger, 50, bytes, sizeof bytes);
    memset(bytes, 49, sizeof bytes);
    check_secret(ledger, 49, bytes, sizeof bytes);
    ledger_close(ledger);
    assert_int_equal(number_by_hand(place, "SELECT count(*) FROM sealed"), 3);
    by_hand_fails(place, "DELETE FROM sealed", "a sealed secret is overwritten in its place");
    by_hand_fails(place, "UPDATE sealed SET bytes = x'00'", "a sealed secret is overwritten in its place");
}

/* --- transactions --- */

static void test_transactions(void **state)
{
    struct place *place = *state;
    struct ledger *ledger = open_ledger(place);
    char text[8];
    must_fail(ledger_commit(ledger, &err), ERROR_INVALID, "=commit: no transaction is open");
    ledger_rollback(ledger);
    must(ledger_begin(ledger, &err));
    must_fail(ledger_begin(ledger, &err), ERROR_INVALID, "=begin: a transaction is open already");
    must_fail(ledger_checkpoint(ledger, &err), ERROR_INVALID, "=checkpoint: a transaction is open");
    must(ledger_set_text(ledger, "a", "1", &err));
    must(ledger_get_text(ledger, "a", text, sizeof text, &err));
    assert_int_equal(number_by_hand(place, "SELECT count(*) FROM texts"), 0);
    ledger_rollback(ledger);
    must_fail(ledger_get_text(ledger, "a", text, sizeof text, &err), ERROR_NOT_FOUND, "get text");
    must(ledger_begin(ledger, &err));
    must(ledger_set_text(ledger, "a", "2", &err));
    must(ledger_commit(ledger, &err));
    assert_int_equal(number_by_hand(place, "SELECT text FROM texts"), 2);
    must(ledger_begin(ledger, &err));
    must(ledger_set_text(ledger, "a", "3", &err));
    ledger_close(ledger); /* rolls back */
    assert_int_equal(number_by_hand(place, "SELECT text FROM texts"), 2);
}

static void test_a_failed_step_spoils_its_transaction(void **state)
{
    struct ledger *ledger = open_ledger(*state);
    struct family family = save_family(ledger, UUID_1);
    struct key_record twin = a_key(family.grant.id, 2, UUID_1);
    struct journal_record line = {.event = "key planned", .cause = "a test", .actor = "operator"};
    char text[8];
    must(ledger_begin(ledger, &err));
    must(ledger_set_text(ledger, "a", "1", &err));
    must_fail(ledger_save_key(ledger, &twin, &err), ERROR_EXISTS, "=save key: UNIQUE constraint failed: keys.name");
    must_fail(ledger_journal_append(ledger, &line, &err), ERROR_EXISTS,
              "=append to journal: an earlier step of this transaction failed: save key: UNIQUE constraint failed: keys.name");
    assert_int_equal(line.id, 0);
    must_fail(ledger_commit(ledger, &err), ERROR_EXISTS,
              "=commit: rolled back, because an earlier step failed: save key: UNIQUE constraint failed: keys.name");
    must_fail(ledger_get_text(ledger, "a", text, sizeof text, &err), ERROR_NOT_FOUND, "there is no 'a'");
    /* The next one is not spoiled, and a failed read spoils none. */
    must(ledger_begin(ledger, &err));
    must_fail(ledger_get_text(ledger, "a", text, sizeof text, &err), ERROR_NOT_FOUND, "there is no 'a'");
    must(ledger_journal_append(ledger, &line, &err));
    assert_int_equal(line.id, 1);
    must(ledger_commit(ledger, &err));
    must(ledger_journal_verify(ledger, &err));
    ledger_close(ledger);
}

static void test_a_reader_is_no_hindrance(void **state)
{
    struct place *place = *state;
    struct ledger *ledger = open_ledger(place);
    sqlite3 *reader;
    must(ledger_set_text(ledger, "a", "1", &err));
    assert_int_equal(sqlite3_open_v2(place->path, &reader, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(reader, "BEGIN; SELECT * FROM texts", NULL, NULL, NULL), SQLITE_OK);
    must(ledger_set_text(ledger, "a", "2", &err));
    must_fail(ledger_checkpoint(ledger, &err), ERROR_BUSY, "=checkpoint: database is locked");
    assert_int_equal(sqlite3_exec(reader, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    must(ledger_checkpoint(ledger, &err));
    /* A writer by hand is in the way, and is told of at once. */
    sqlite3_close(reader);
    assert_int_equal(sqlite3_open_v2(place->path, &reader, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(reader, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    must_fail(ledger_set_text(ledger, "a", "3", &err), ERROR_BUSY, "=set text: begin: database is locked");
    sqlite3_close(reader);
    must(ledger_set_text(ledger, "a", "4", &err));
    ledger_close(ledger);
}

/* --- the journal --- */

static struct journal_record a_line(unsigned number, const char *domain)
{
    struct journal_record line = {.at = 1000 + number, .key_id = number, .container_id = 2 * number, .actor = "operator"};
    snprintf(line.domain, sizeof line.domain, "%s", domain);
    snprintf(line.event, sizeof line.event, "event %u", number);
    snprintf(line.cause, sizeof line.cause, "because of %u", number);
    if (number == 4 || number == 6) { /* the others are as they were before there were these fields */
        snprintf(line.provider, sizeof line.provider, "provider-%u", number);
        line.generation = 100 + number;
    }
    return line;
}

static void check_same_line(const struct journal_record *got, const struct journal_record *wanted)
{
    assert_int_equal(got->id, wanted->id);
    assert_int_equal(got->at, wanted->at);
    assert_string_equal(got->domain, wanted->domain);
    assert_int_equal(got->key_id, wanted->key_id);
    assert_int_equal(got->container_id, wanted->container_id);
    assert_string_equal(got->event, wanted->event);
    assert_string_equal(got->cause, wanted->cause);
    assert_string_equal(got->actor, wanted->actor);
    assert_string_equal(got->provider, wanted->provider);
    assert_int_equal(got->generation, wanted->generation);
}

/* Six lines: domains 1, 2, none, 1, 2, none. */
static void fill_journal(struct ledger *ledger, struct journal_record lines[6])
{
    static const char *const domains[] = {UUID_1, UUID_2, ""};
    for (unsigned i = 0; i < 6; i++) {
        lines[i] = a_line(i + 1, domains[i % 3]);
        must(ledger_journal_append(ledger, &lines[i], &err));
        assert_int_equal(lines[i].id, i + 1);
    }
}

static void test_journal(void **state)
{
    struct place *place = *state;
    struct ledger *ledger = open_ledger(place);
    struct journal_record lines[6];
    struct journals got = {.count = 0};
    must(ledger_journal_verify(ledger, &err));
    must(ledger_journal_each(ledger, NULL, 10, gather_journal, &got, &err));
    assert_int_equal(got.count, 0);
    fill_journal(ledger, lines);
    must(ledger_journal_verify(ledger, &err));
    must(ledger_journal_each(ledger, NULL, 10, gather_journal, &got, &err));
    assert_int_equal(got.count, 6);
    for (unsigned i = 0; i < 6; i++)
        check_same_line(&got.all[i], &lines[i]);
    got.count = 0;
    must(ledger_journal_each(ledger, NULL, 2, gather_journal, &got, &err));
    assert_int_equal(got.count, 2);
    check_same_line(&got.all[0], &lines[4]);
    check_same_line(&got.all[1], &lines[5]);
    got.count = 0;
    must(ledger_journal_each(ledger, UUID_2, 10, gather_journal, &got, &err));
    assert_int_equal(got.count, 2);
    check_same_line(&got.all[0], &lines[1]);
    check_same_line(&got.all[1], &lines[4]);
    got.count = 0;
    must(ledger_journal_each(ledger, UUID_2, 1, gather_journal, &got, &err));
    assert_int_equal(got.count, 1);
    check_same_line(&got.all[0], &lines[4]);

    /* A line that was rolled back leaves no gap. */
    must(ledger_begin(ledger, &err));
    struct journal_record line = a_line(7, "");
    must(ledger_journal_append(ledger, &line, &err));
    assert_int_equal(line.id, 7);
    ledger_rollback(ledger);
    line = a_line(8, "");
    must(ledger_journal_append(ledger, &line, &err));
    assert_int_equal(line.id, 7);
    line = a_line(9, "");
    line.event[0] = '\0';
    must_fail(ledger_journal_append(ledger, &line, &err), ERROR_INVALID,
              "=append to journal: CHECK constraint failed: event <> ''");
    must(ledger_journal_verify(ledger, &err));
    ledger_close(ledger);
    ledger = open_ledger(place);
    must(ledger_journal_verify(ledger, &err));
    ledger_close(ledger);
}

/* As an llmhookd wrote it that knew neither provider nor generation of a line. The hash is not of our making: it was
 * computed by another program from what the head of journal.c says. */
static void test_an_older_journal_goes_on(void **state)
{
    struct place *place = *state;
    struct ledger *ledger = open_ledger(place);
    struct journal_record line = a_line(1, UUID_1);
    struct family family = save_family(ledger, UUID_1);
    must(ledger_journal_append(ledger, &line, &err));
    ledger_close(ledger);
    assert_int_equal(number_by_hand(place, "SELECT count(*) FROM journal WHERE hash ="
                                           " '2e3a5442dc00d5579c8f9f6f45bb4597cf45626f23978d761cf5dbd7e748c8ee'"), 1);
    back_to_schema(place, 1);
    ledger = open_ledger(place);
    must(ledger_journal_verify(ledger, &err));
    line = a_line(4, UUID_1);
    must(ledger_journal_append(ledger, &line, &err));
    must(ledger_journal_verify(ledger, &err));
    /* What the old line does not say is known of its key. */
    struct journals got = {.count = 0};
    must(ledger_journal_each(ledger, UUID_1, 10, gather_journal, &got, &err));
    assert_int_equal(got.count, 2);
    assert_string_equal(got.all[0].provider, family.grant.provider);
    assert_int_equal(got.all[0].generation, family.key.generation);
    assert_string_equal(got.all[1].provider, "provider-4");
    assert_int_equal(got.all[1].generation, 104);
    ledger_close(ledger);
}

static void test_older_grants_have_no_fates_of_their_own(void **state)
{
    struct place *place = *state;
    struct ledger *ledger = open_ledger(place);
    struct family family = save_family(ledger, UUID_1);
    struct grant_record got;
    ledger_close(ledger);
    back_to_schema(place, 2);
    ledger = open_ledger(place);
    must(ledger_find_grant(ledger, UUID_1, family.grant.provider, &got, &err));
    family.grant.on_stop = family.grant.on_save = family.grant.over_budget = POLICY_FATE_DEFAULT;
    family.grant.replace_at = family.grant.hurry_through = 0;
    family.grant.held_at = family.domain.seen_at; /* held not later than that */
    check_same_grant(&got, &family.grant);
    ledger_close(ledger);
    by_hand_fails(place, "UPDATE grants SET on_stop = 'forget'",
                  "CHECK constraint failed: on_stop IN ('default', 'keep', 'suspend', 'revoke')");
}

static bool note_uuid(void *context, const char *uuid, struct error *error)
{
    (void)error;
    char *all = context; /* of 256 bytes */
    size_t used = strlen(all);
    snprintf(all + used, 256 - used, "%s ", uuid);
    return true;
}

static void test_journal_by_pages(void **state)
{
    struct place *place = *state;
    struct ledger *ledger = open_ledger(place);
    struct journal_record lines[6];
    struct journals got = {.count = 0};
    fill_journal(ledger, lines);
    must(ledger_journal_page(ledger, UUID_1, 0, 0, 1, gather_journal, &got, &err));
    assert_int_equal(got.count, 1);
    check_same_line(&got.all[0], &lines[0]);
    must(ledger_journal_page(ledger, UUID_1, got.all[0].id, 0, 10, gather_journal, &got, &err));
    assert_int_equal(got.count, 2);
    check_same_line(&got.all[1], &lines[3]);
    got.count = 0;
    must(ledger_journal_page(ledger, UUID_1, 0, lines[3].at, 10, gather_journal, &got, &err));
    assert_int_equal(got.count, 1);
    check_same_line(&got.all[0], &lines[3]);
    bool known = false;
    must(ledger_journal_knows(ledger, UUID_2, &known, &err));
    assert_true(known);
    must(ledger_journal_knows(ledger, UUID_3, &known, &err));
    assert_false(known);
    ledger_close(ledger);
}

/* By the name it had last, the latest first. */
static void test_forgotten_names(void **state)
{
    struct place *place = *state;
    struct ledger *ledger = open_ledger(place);
    char found[256] = "";
    struct journal_record line = {.at = 5, .domain = UUID_1, .event = "domain forgotten", .cause = "dev-1", .actor = "libvirt"};
    must(ledger_journal_append(ledger, &line, &err));
    line = (struct journal_record){.at = 7, .domain = UUID_2, .event = "domain forgotten", .cause = "dev-1", .actor = "libvirt"};
    must(ledger_journal_append(ledger, &line, &err));
    line = (struct journal_record){.at = 9, .domain = UUID_3, .event = "key active", .cause = "dev-1", .actor = "libvirt"};
    must(ledger_journal_append(ledger, &line, &err));
    must(ledger_journal_forgotten(ledger, "dev-1", note_uuid, found, &err));
    assert_string_equal(found, UUID_2 " " UUID_1 " ");
    found[0] = '\0';
    /* Before names were kept: from the project's. */
    struct container_record container = {.kind = CONTAINER_PER_DOMAIN, .provider = "openai", .subject = UUID_3,
                                         .name = "llmhook:host:" UUID_3 ":openai dev-3", .state = CONTAINER_ARCHIVED};
    must(ledger_save_container(ledger, &container, &err));
    must(ledger_journal_forgotten(ledger, "dev-3", note_uuid, found, &err));
    assert_string_equal(found, UUID_3 " ");
    found[0] = '\0';
    must(ledger_journal_forgotten(ledger, "openai dev-3", note_uuid, found, &err));
    assert_string_equal(found, "");
    ledger_close(ledger);
}

static void test_find_key(void **state)
{
    struct place *place = *state;
    struct ledger *ledger = open_ledger(place);
    struct family family = save_family(ledger, UUID_1);
    struct key_record found;
    must_fail(ledger_find_key(ledger, family.grant.provider, "svc-9", &found, &err), ERROR_NOT_FOUND,
              "never had one with that id");
    snprintf(family.key.remote_id, sizeof family.key.remote_id, "svc-9");
    family.key.state = KEY_REVOKED;
    must(ledger_save_key(ledger, &family.key, &err));
    must(ledger_find_key(ledger, family.grant.provider, "svc-9", &found, &err));
    assert_int_equal(found.id, family.key.id);
    assert_int_equal(found.state, KEY_REVOKED);
    must_fail(ledger_find_key(ledger, "other", "svc-9", &found, &err), ERROR_NOT_FOUND, "never had one with that id");
    ledger_close(ledger);
}

static void test_journal_is_only_appended_to(void **state)
{
    struct place *place = *state;
    struct ledger *ledger = open_ledger(place);
    struct journal_record lines[6];
    fill_journal(ledger, lines);
    ledger_close(ledger);
    by_hand_fails(place, "UPDATE journal SET cause = 'x' WHERE id = 3", "the journal is only appended to");
    by_hand_fails(place, "DELETE FROM journal WHERE id = 6", "the journal is only appended to");
    by_hand_fails(place, "UPDATE journal_head SET id = 5", "the journal is only appended to");
    by_hand_fails(place, "DELETE FROM journal_head", "the journal is only appended to");
}

#define UNLOCK "DROP TRIGGER journal_is_not_rewritten; DROP TRIGGER journal_is_not_cut; DROP TRIGGER journal_head_goes_on;" \
               "DROP TRIGGER journal_head_stays;"

static void test_journal_tampering(void **state)
{
    static const struct {
        const char *sql, *found;
    } cases[] = {
        {"UPDATE journal SET cause = 'because of 9' WHERE id = 3",
         "=verify journal: line 3 does not fit its hash: it, or one before it, was changed"},
        /* The same with the hash that such a line would have: then the next one does not fit. The hash is not of our
         * code's making, so it holds the format fast as well. */
        {"UPDATE journal SET cause = 'because of 9',"
         " hash = '3539af158f5df4cb83eb93b2d81f3e9266a3786447e0ca716714e219b76daf89' WHERE id = 3",
         "=verify journal: line 4 does not fit its hash: it, or one before it, was changed"},
        {"UPDATE journal SET at = at + 1 WHERE id = 1", "line 1 does not fit its hash"},
        {"UPDATE journal SET domain = '" UUID_3 "' WHERE id = 2", "line 2 does not fit its hash"},
        {"UPDATE journal SET key_id = 9 WHERE id = 4", "line 4 does not fit its hash"},
        {"UPDATE journal SET container_id = 9 WHERE id = 4", "line 4 does not fit its hash"},
        {"UPDATE journal SET actor = 'hook' WHERE id = 6", "line 6 does not fit its hash"},
        {"UPDATE journal SET provider = 'x' WHERE id = 6", "line 6 does not fit its hash"},
        {"UPDATE journal SET generation = 9 WHERE id = 4", "line 4 does not fit its hash"},
        {"UPDATE journal SET provider = '', generation = 0 WHERE id = 4", "line 4 does not fit its hash"},
        {"UPDATE journal SET provider = 'x' WHERE id = 5", "line 5 does not fit its hash"},
        {"UPDATE journal SET generation = 1 WHERE id = 5", "line 5 does not fit its hash"},
        /* Moving a letter from one field to the next. */
        {"UPDATE journal SET event = 'event 5b', cause = 'ecause of 5' WHERE id = 5", "line 5 does not fit its hash"},
        {"UPDATE journal SET hash = (SELECT hash FROM journal WHERE id = 2) WHERE id = 3", "line 3 does not fit its hash"},
        {"UPDATE journal SET cause = printf('%.300c', 'x') WHERE id = 5",
         "=verify journal: line 5 holds what was never written there"},
        {"DELETE FROM journal WHERE id = 3", "=verify journal: line 3 is missing"},
        {"DELETE FROM journal WHERE id = 1", "=verify journal: line 1 is missing"},
        {"DELETE FROM journal WHERE id >= 5",
         "=verify journal: line 5 is missing: the journal ends before its newest line, 6"},
        {"DELETE FROM journal", "=verify journal: line 1 is missing: the journal ends before its newest line, 6"},
        {"UPDATE journal SET id = id + 1 WHERE id = 6", "=verify journal: line 6 is missing"},
        {"UPDATE journal_head SET hash = (SELECT hash FROM journal WHERE id = 2)",
         "=verify journal: line 6 is not the one that was written last"},
        {"UPDATE journal_head SET id = 5", "=verify journal: line 6 was added by somebody else"},
        {"DELETE FROM journal_head", "=verify journal: the row that names the newest line is missing"},
    };
    struct place *place = *state;
    struct ledger *ledger = open_ledger(place);
    struct journal_record lines[6], line = a_line(7, "");
    size_t length;
    char sql[512];
    fill_journal(ledger, lines);
    ledger_close(ledger);
    cleanup_free char *whole = bytes_of(place->path, &length);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int fd = open(place->path, O_WRONLY | O_TRUNC | O_CLOEXEC);
        assert_int_equal(write(fd, whole, length), (ssize_t)length);
        close(fd);
        snprintf(sql, sizeof sql, UNLOCK "%s", cases[i].sql);
        by_hand(place, sql);
        ledger = open_ledger(place);
        must_fail(ledger_journal_verify(ledger, &err), ERROR_INVALID, cases[i].found);
        /* Nor does going on heal it, where that is possible at all. */
        if (!strstr(cases[i].sql, "journal_head") && !strstr(cases[i].sql, "SET id")) {
            line.id = 0;
            must(ledger_journal_append(ledger, &line, &err));
            assert_int_equal(line.id, 7);
            must_fail(ledger_journal_verify(ledger, &err), ERROR_INVALID, "verify journal: line ");
        }
        ledger_close(ledger);
    }
}

/* --- statements --- */

struct walks {
    struct ledger *ledger;
    unsigned deep;
};

static bool walk_deeper(void *context, const struct domain_record *record, struct error *error)
{
    struct walks *walks = context;
    (void)record;
    return ++walks->deep == 200 || ledger_each_domain(walks->ledger, walk_deeper, walks, error);
}

/* A statement that is taken is prepared once more for whoever needs it meanwhile, and all are kept: there is no number of
 * them at which the ledger stops to work. */
static void test_statements_do_not_run_out(void **state)
{
    struct ledger *ledger = open_ledger(*state);
    struct walks walks = {.ledger = ledger};
    struct family family = save_family(ledger, UUID_1);
    must(ledger_each_domain(ledger, walk_deeper, &walks, &err));
    assert_int_equal(walks.deep, 200);
    must(ledger_save_domain(ledger, &family.domain, &err));
    ledger_close(ledger);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        case_of(test_statements_do_not_run_out),
        case_of(test_secrets),
        case_of(test_erased_secrets_leave_no_bytes),
        case_of(test_secrets_take_no_new_room),
        case_of(test_transactions),
        case_of(test_a_failed_step_spoils_its_transaction),
        case_of(test_a_reader_is_no_hindrance),
        case_of(test_journal),
        case_of(test_an_older_journal_goes_on),
        case_of(test_older_grants_have_no_fates_of_their_own),
        case_of(test_journal_by_pages),
        case_of(test_forgotten_names),
        case_of(test_find_key),
        case_of(test_journal_is_only_appended_to),
        case_of(test_journal_tampering),
    };
    if (!secret_init(NULL))
        return 1;
    return check_run(tests);
}
