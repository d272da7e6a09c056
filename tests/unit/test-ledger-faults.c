/* The ledger on a disk that fails, under kill -9, and when the power goes: at every step of a story that does
 * everything a key's life does. After it the ledger holds the story up to a point between two transactions, never one
 * within; what was said to be committed is there; and it goes on from that point to the same end. */
#include "../ledger/faulty-vfs.h"
#include "../ledger/fixture.h"

#include "base/buffer.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- the story --- */

struct story {
    struct domain_record domain;
    struct container_record container;
    struct grant_record grant;
    struct key_record first, second;
};

static struct story new_story(void)
{
    struct story story = {.domain = a_domain(UUID_1), .container = a_container(UUID_1), .grant = a_grant(UUID_1, 0)};
    story.first = a_key(0, 1, "first");
    story.second = a_key(0, 2, "second");
    story.container.state = CONTAINER_PLANNED;
    story.grant.last_generation = 1;
    return story;
}

static bool note(struct ledger *ledger, const char *event, struct error *err)
{
    struct journal_record line = {.at = 1, .domain = UUID_1, .cause = "the story", .actor = "llmhookd"};
    snprintf(line.event, sizeof line.event, "%s", event);
    return ledger_journal_append(ledger, &line, err);
}

/* Commits what went well, rolls the rest back. */
static bool end(struct ledger *ledger, bool ok, struct error *err)
{
    if (ok)
        return ledger_commit(ledger, err);
    ledger_rollback(ledger);
    return false;
}

static bool name_host(struct ledger *ledger, struct story *story, struct error *err)
{
    (void)story;
    return ledger_set_text(ledger, "host-id", "a-host", err);
}

static bool plan(struct ledger *ledger, struct story *story, struct error *err)
{
    if (!ledger_begin(ledger, err))
        return false;
    bool ok = ledger_save_domain(ledger, &story->domain, err) && ledger_save_container(ledger, &story->container, err);
    story->grant.container_id = story->container.id;
    ok = ok && ledger_save_grant(ledger, &story->grant, err);
    story->first.grant_id = story->second.grant_id = story->grant.id;
    story->first.state = KEY_PLANNED;
    return end(ledger, ok && ledger_save_key(ledger, &story->first, err) && note(ledger, "key planned", err), err);
}

static bool set_first(struct ledger *ledger, struct story *story, enum key_state state, struct error *err)
{
    if (!ledger_begin(ledger, err))
        return false;
    story->first.state = state;
    return end(ledger, ledger_save_key(ledger, &story->first, err) && note(ledger, key_state_name(state), err), err);
}

static bool ask(struct ledger *ledger, struct story *story, struct error *err)
{
    return set_first(ledger, story, KEY_MINTING, err);
}

static bool open_container(struct ledger *ledger, struct story *story, struct error *err)
{
    story->container.state = CONTAINER_OPEN; /* a save that is a transaction of its own */
    return ledger_save_container(ledger, &story->container, err);
}

static bool mint(struct ledger *ledger, struct story *story, struct error *err)
{
    static const unsigned char sealed[] = "not really sealed";
    if (!ledger_begin(ledger, err))
        return false;
    story->first.state = KEY_MINTED;
    return end(ledger,
               ledger_put_secret(ledger, story->first.id, sealed, sizeof sealed, err) &&
                   ledger_save_key(ledger, &story->first, err) && note(ledger, "key minted", err),
               err);
}

static bool prove(struct ledger *ledger, struct story *story, struct error *err)
{
    return set_first(ledger, story, KEY_ACTIVE, err);
}

static bool tidy(struct ledger *ledger, struct story *story, struct error *err)
{
    (void)story;
    return ledger_checkpoint(ledger, err);
}

static bool rotate(struct ledger *ledger, struct story *story, struct error *err)
{
    unsigned char sealed[9000]; /* more than one page */
    memset(sealed, 0x5a, sizeof sealed);
    if (!ledger_begin(ledger, err))
        return false;
    story->grant.last_generation = 2;
    story->second.predecessor = story->first.id;
    bool ok = ledger_save_grant(ledger, &story->grant, err) && ledger_save_key(ledger, &story->second, err);
    return end(ledger,
               ok && ledger_put_secret(ledger, story->second.id, sealed, sizeof sealed, err) &&
                   note(ledger, "key rotated", err),
               err);
}

static bool see_again(struct ledger *ledger, struct story *story, struct error *err)
{
    story->domain.policy.count = 5; /* many statements, and no transaction around them but the save's own */
    return ledger_save_domain(ledger, &story->domain, err);
}

static bool revoke_first(struct ledger *ledger, struct story *story, struct error *err)
{
    if (!ledger_begin(ledger, err))
        return false;
    story->first.state = KEY_REVOKED;
    return end(ledger,
               ledger_save_key(ledger, &story->first, err) && ledger_erase_secret(ledger, story->first.id, err) &&
                   note(ledger, "key revoked", err),
               err);
}

static bool undefine(struct ledger *ledger, struct story *story, struct error *err)
{
    if (!ledger_begin(ledger, err))
        return false;
    story->second.state = KEY_REVOKED;
    story->container.state = CONTAINER_ARCHIVED;
    story->grant.ended_at = 99;
    bool ok = ledger_save_key(ledger, &story->second, err) && ledger_erase_secret(ledger, story->second.id, err) &&
              ledger_save_container(ledger, &story->container, err) && ledger_save_grant(ledger, &story->grant, err);
    return end(ledger, ok && ledger_forget_domain(ledger, UUID_1, err) && note(ledger, "domain forgotten", err), err);
}

/* Every step is tried; under valgrind that takes long, and LEDGER_FAULTS_EVERY=7 tries every seventh. */
static unsigned stride = 1;

typedef bool chapter_fn(struct ledger *ledger, struct story *story, struct error *err);
static chapter_fn *const chapters[] = {name_host, plan,   ask,       open_container, mint,         prove,
                                       tidy,      rotate, see_again, revoke_first,   undefine,     tidy};
enum { CHAPTERS = sizeof chapters / sizeof chapters[0] };

/* A chapter that failed leaves the story as it was: ids that a rollback took back are gone with it. */
static bool tell(struct ledger *ledger, unsigned chapter, struct story *story, struct error *err)
{
    struct story before = *story;
    if (chapters[chapter](ledger, story, err))
        return true;
    *story = before;
    return false;
}

/* --- all that a ledger says, as one hash --- */

static bool put_domain(void *context, const struct domain_record *record, struct error *err)
{
    (void)err;
    buffer_printf(context, "domain %s %s %d %u\n", record->uuid, record->name, (int)record->stop, record->policy.count);
    for (unsigned i = 0; i < record->policy.count; i++)
        buffer_printf(context, " %s %s\n", record->policy.keys[i].provider, record->policy.keys[i].environment);
    return true;
}

static bool put_grant(void *context, const struct grant_record *record, struct error *err)
{
    (void)err;
    return buffer_printf(context, "grant %" PRId64 " %" PRId64 " %" PRId64 "\n", record->id, record->container_id,
                         record->last_generation);
}

static bool put_container(void *context, const struct container_record *record, struct error *err)
{
    (void)err;
    return buffer_printf(context, "container %" PRId64 " %s\n", record->id, container_state_name(record->state));
}

static bool put_key(void *context, const struct key_record *record, struct error *err)
{
    (void)err;
    return buffer_printf(context, "key %" PRId64 " %" PRId64 " %" PRId64 " %s\n", record->id, record->grant_id,
                         record->predecessor, key_state_name(record->state));
}

static bool put_line(void *context, const struct journal_record *record, struct error *err)
{
    (void)err;
    return buffer_printf(context, "journal %" PRId64 " %s\n", record->id, record->event);
}

static void put_secrets(struct ledger *ledger, struct buffer *buffer)
{
    for (int64_t id = 1; id <= 2; id++) {
        unsigned char *sealed = NULL;
        size_t length = 0;
        if (ledger_get_secret(ledger, id, &sealed, &length, NULL)) {
            char hash[SECRET_FINGERPRINT_SIZE];
            secret_fingerprint_bytes(sealed, length, hash);
            buffer_printf(buffer, "secret %" PRId64 " %s\n", id, hash);
            free(sealed);
        }
    }
}

static void put_ended_grant(struct ledger *ledger, struct buffer *buffer)
{
    struct grant_record grant;
    if (ledger_find_grant(ledger, UUID_1, "openai", &grant, NULL))
        buffer_printf(buffer, "ended %" PRId64 "\n", grant.ended_at);
}

struct digest {
    char hash[SECRET_FINGERPRINT_SIZE];
};

static struct digest digest_of(struct ledger *ledger)
{
    struct buffer buffer = BUFFER_INIT(1 << 20);
    struct digest digest;
    char host[32] = "";
    ledger_get_text(ledger, "host-id", host, sizeof host, NULL);
    buffer_printf(&buffer, "host %s\n", host);
    must(ledger_each_domain(ledger, put_domain, &buffer, &err));
    must(ledger_each_live_grant(ledger, put_grant, &buffer, &err));
    must(ledger_each_live_container(ledger, put_container, &buffer, &err));
    must(ledger_each_live_key(ledger, put_key, &buffer, &err));
    must(ledger_journal_each(ledger, NULL, 100, put_line, &buffer, &err));
    must(ledger_journal_verify(ledger, &err));
    put_secrets(ledger, &buffer);
    put_ended_grant(ledger, &buffer);
    secret_fingerprint_bytes(buffer_text(&buffer), buffer.length, digest.hash);
    buffer_clear(&buffer);
    return digest;
}

static bool same(struct digest one, struct digest other)
{
    return strcmp(one.hash, other.hash) == 0;
}

/* A new folder. */
static void fresh(void **state)
{
    drop_place(state);
    assert_int_equal(make_place(state), 0);
}

/* What the ledger says, and the story knows, before chapter N; [CHAPTERS]: at the end. From a run without faults. */
static struct digest expected[CHAPTERS + 1];
static struct story bookmarks[CHAPTERS + 1];

static void learn(void **state)
{
    fresh(state);
    struct ledger *ledger = open_ledger(*state);
    struct story story = new_story();
    for (unsigned i = 0; i < CHAPTERS; i++) {
        bookmarks[i] = story;
        expected[i] = digest_of(ledger);
        must(tell(ledger, i, &story, &err));
    }
    bookmarks[CHAPTERS] = story;
    expected[CHAPTERS] = digest_of(ledger);
    ledger_close(ledger);
    /* Only a checkpoint changes nothing that can be read. */
    for (unsigned i = 0; i < CHAPTERS; i++)
        assert_int_equal(same(expected[i], expected[i + 1]), chapters[i] == tidy);
}

/* From FROM to the end, which must be the same end. */
static void finish(struct ledger *ledger, unsigned from)
{
    struct story story = bookmarks[from];
    for (unsigned i = from; i < CHAPTERS; i++)
        must(tell(ledger, i, &story, &err));
    assert_true(same(digest_of(ledger), expected[CHAPTERS]));
}

/* --- failing calls --- */

/* The story with one fault in it; false when it was over before the fault came. */
static bool survive(void **state, const struct faulty_plan *fault, const char *sentence)
{
    struct ledger *ledger = open_ledger(*state);
    struct story story = new_story();
    bool failed = false;
    faulty_vfs_arm(fault);
    for (unsigned i = 0; i < CHAPTERS;) {
        struct error err = ERROR_INIT;
        if (tell(ledger, i, &story, &err)) {
            i++;
            continue;
        }
        if (failed)
            fail_msg("chapter %u failed again at step %u: %s", i, fault->at, err.text);
        check_error(err, ERROR_IO, sentence);
        assert_true(faulty_vfs_disarm() > 0);
        /* Nothing of it is left, to this ledger and to anybody who opens the file beside it. */
        if (!same(digest_of(ledger), expected[i]))
            fail_msg("a failure at step %u left something of chapter %u", fault->at, i);
        failed = true;
    }
    bool struck = faulty_vfs_disarm() > 0;
    assert_true(same(digest_of(ledger), expected[CHAPTERS]));
    ledger_close(ledger);
    ledger = open_ledger(*state);
    assert_true(same(digest_of(ledger), expected[CHAPTERS]));
    ledger_close(ledger);
    return struck;
}

static void check_failing(void **state, unsigned steps, int status, bool lasting, const char *sentence)
{
    struct faulty_plan fault = {.steps = steps, .effect = FAULTY_STATUS, .status = status, .lasting = lasting};
    learn(state);
    fault.at = 1;
    fresh(state);
    while (survive(state, &fault, sentence)) {
        fresh(state);
        fault.at += stride;
    }
    print_message("# %u steps met the fault\n", fault.at - stride);
    assert_true(fault.at > (steps == FAULTY_SYNC ? 10 : 100));
}

static void test_full_disk_once(void **state)
{
    check_failing(state, FAULTY_WRITE, SQLITE_FULL, false, "database or disk is full");
}

static void test_full_disk_until_cleared(void **state)
{
    check_failing(state, FAULTY_WRITE, SQLITE_FULL, true, "database or disk is full");
}

static void test_failing_writes(void **state)
{
    check_failing(state, FAULTY_WRITE, SQLITE_IOERR_WRITE, false, "disk I/O error");
}

static void test_read_only_disk(void **state)
{
    check_failing(state, FAULTY_WRITE, SQLITE_READONLY, true, "attempt to write a readonly database");
}

static void test_failing_syncs(void **state)
{
    check_failing(state, FAULTY_SYNC, SQLITE_IOERR_FSYNC, false, "disk I/O error");
}

static void test_a_failed_save_gives_no_id(void **state)
{
    static const struct faulty_plan fault = {.steps = FAULTY_WRITE, .at = 1, .lasting = true, .effect = FAULTY_STATUS,
                                             .status = SQLITE_FULL};
    struct ledger *ledger = open_ledger(*state);
    struct story story = new_story();
    struct journal_record line = {.event = "x"};
    must(ledger_save_container(ledger, &story.container, &err));
    must(ledger_save_grant(ledger, &story.grant, &err));
    struct container_record container = a_container(UUID_2);
    struct grant_record grant = a_grant(UUID_2, story.container.id);
    struct key_record key = a_key(story.grant.id, 1, "one");
    faulty_vfs_arm(&fault);
    must_fail(ledger_save_container(ledger, &container, &err), ERROR_IO, "=commit: database or disk is full");
    must_fail(ledger_save_grant(ledger, &grant, &err), ERROR_IO, "=commit: database or disk is full");
    must_fail(ledger_save_key(ledger, &key, &err), ERROR_IO, "=commit: database or disk is full");
    must_fail(ledger_journal_append(ledger, &line, &err), ERROR_IO, "=commit: database or disk is full");
    faulty_vfs_disarm();
    /* With an id they would be taken for rows that are there. */
    assert_int_equal(container.id, 0);
    assert_int_equal(grant.id, 0);
    assert_int_equal(key.id, 0);
    assert_int_equal(line.id, 0);
    must(ledger_save_key(ledger, &key, &err));
    must(ledger_save_container(ledger, &container, &err));
    ledger_close(ledger);
}

static void test_a_read_that_fails_spoils_the_transaction(void **state)
{
    static const struct faulty_plan fault = {.steps = FAULTY_READ, .at = 1, .effect = FAULTY_STATUS, .status = SQLITE_IOERR_READ};
    struct ledger *ledger = open_ledger(*state);
    char text[8];
    struct buffer buffer = BUFFER_INIT(1 << 24);
    /* More than the cache holds, so that the walk reads the disk. */
    must(ledger_begin(ledger, &err));
    for (unsigned i = 0; i < 20000; i++)
        must(note(ledger, "one of very many", &err));
    must(ledger_commit(ledger, &err));
    must(ledger_checkpoint(ledger, &err));

    must(ledger_begin(ledger, &err));
    must(ledger_set_text(ledger, "host-id", "x", &err));
    faulty_vfs_arm(&fault);
    must_fail(ledger_journal_each(ledger, NULL, 20000, put_line, &buffer, &err), ERROR_IO, "read journal: disk I/O error");
    assert_int_equal(faulty_vfs_disarm(), 1);
    /* SQLite has rolled back by now: what follows must not be kept on its own. */
    must_fail(ledger_set_text(ledger, "other", "y", &err), ERROR_IO,
              "=set text: an earlier step of this transaction failed: the database has rolled back");
    must_fail(ledger_commit(ledger, &err), ERROR_IO,
              "=commit: rolled back, because an earlier step failed: the database has rolled back");
    must_fail(ledger_get_text(ledger, "host-id", text, sizeof text, &err), ERROR_NOT_FOUND, "get text");
    must_fail(ledger_get_text(ledger, "other", text, sizeof text, &err), ERROR_NOT_FOUND, "get text");
    must(ledger_set_text(ledger, "host-id", "z", &err));
    buffer_clear(&buffer);
    ledger_close(ledger);
}

static void test_a_failed_creation_leaves_no_ledger(void **state)
{
    struct faulty_plan fault = {.steps = FAULTY_WRITE | FAULTY_SYNC, .effect = FAULTY_STATUS, .status = SQLITE_FULL,
                                .lasting = true};
    learn(state);
    for (fault.at = 1;; fault.at += stride) {
        fresh(state);
        struct place *place = *state;
        struct ledger *ledger = NULL;
        struct stat status;
        struct error err = ERROR_INIT;
        faulty_vfs_arm(&fault);
        bool opened = ledger_open(place->path, &ledger, &err);
        bool struck = faulty_vfs_disarm() > 0;
        if (opened && !struck) {
            ledger_close(ledger);
            break;
        }
        if (!opened) {
            check_error(err, ERROR_IO, "database or disk is full");
            assert_int_equal(stat(place->path, &status), -1);
            ledger = open_ledger(place);
        }
        assert_true(same(digest_of(ledger), expected[0]));
        finish(ledger, 0);
        ledger_close(ledger);
    }
    print_message("# %u steps met the fault\n", fault.at - stride);
    assert_true(fault.at > 40);
}

/* --- death --- */

/* What the child that dies has got done, seen by its parent. */
static volatile unsigned *chapters_done;

/* In a child: opens (dying there as well, when DURING_OPEN) and tells the story. True when it died of it. */
static bool die(void **state, const struct faulty_plan *fault, bool during_open)
{
    struct place *place = *state;
    *chapters_done = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct ledger *ledger = NULL;
        struct story story = new_story();
        if (during_open)
            faulty_vfs_arm(fault);
        if (!ledger_open(place->path, &ledger, NULL))
            _exit(2);
        if (!during_open)
            faulty_vfs_arm(fault);
        for (unsigned i = 0; i < CHAPTERS; i++) {
            if (!tell(ledger, i, &story, NULL))
                _exit(3);
            *chapters_done = i + 1;
        }
        ledger_close(ledger); /* can kill, too */
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status)) {
        assert_int_equal(WTERMSIG(status), SIGKILL);
        return true;
    }
    assert_int_equal(status, 0);
    return false;
}

static void check_survived(void **state, const struct faulty_plan *fault)
{
    struct ledger *ledger = open_ledger(*state);
    struct digest digest = digest_of(ledger);
    unsigned at = *chapters_done;
    if (!same(digest, expected[at])) {
        /* The chapter that it died in may be there, whole: it died before it could say so. */
        at++;
        if (at > CHAPTERS || !same(digest, expected[at]))
            fail_msg("death at step %u: after %u chapters the ledger is between two", fault->at, *chapters_done);
    }
    finish(ledger, at);
    ledger_close(ledger);
}

static void check_dying(void **state, struct faulty_plan fault, bool during_open, unsigned wanted)
{
    fault.steps = FAULTY_WRITE | FAULTY_SYNC | FAULTY_DELETE;
    chapters_done = mmap(NULL, sizeof *chapters_done, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(chapters_done != MAP_FAILED);
    learn(state);
    for (fault.at = 1;; fault.at += stride) {
        fresh(state);
        if (!during_open)
            ledger_close(open_ledger(*state));
        if (!die(state, &fault, during_open))
            break;
        check_survived(state, &fault);
    }
    print_message("# died at up to %u steps\n", fault.at - stride);
    assert_true(fault.at > wanted);
    munmap((void *)(uintptr_t)chapters_done, sizeof *chapters_done);
}

static void test_kill(void **state)
{
    check_dying(state, (struct faulty_plan){.effect = FAULTY_KILL}, false, 150);
}

static void test_kill_while_making(void **state)
{
    check_dying(state, (struct faulty_plan){.effect = FAULTY_KILL}, true, 200);
}

static void test_power_cut(void **state)
{
    check_dying(state, (struct faulty_plan){.effect = FAULTY_POWER_CUT}, true, 200);
}

static void test_power_cut_with_torn_writes(void **state)
{
    for (unsigned seed = 1; seed <= 2; seed++)
        check_dying(state, (struct faulty_plan){.effect = FAULTY_POWER_CUT, .seed = seed}, true, 200);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        case_of(test_full_disk_once),
        case_of(test_full_disk_until_cleared),
        case_of(test_failing_writes),
        case_of(test_read_only_disk),
        case_of(test_failing_syncs),
        case_of(test_a_failed_save_gives_no_id),
        case_of(test_a_read_that_fails_spoils_the_transaction),
        case_of(test_a_failed_creation_leaves_no_ledger),
        case_of(test_kill),
        case_of(test_kill_while_making),
        case_of(test_power_cut),
        case_of(test_power_cut_with_torn_writes),
    };
    /* Nothing here rests on what a real disk does, and there are thousands of ledgers to make. */
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 1);
    const char *every = getenv("LEDGER_FAULTS_EVERY");
    if (every && atoi(every) > 0)
        stride = (unsigned)atoi(every);
    if (!secret_init(NULL) || !faulty_vfs_install())
        return 1;
    return check_run(tests);
}
