/* Opening the ledger: who may, what is refused, and that nothing is ever written over. */
#include "../ledger/fixture.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_files_are_private(void **state)
{
    struct place *place = *state;
    static const mode_t masks[] = {0, 0777};
    for (size_t i = 0; i < 2; i++) {
        mode_t before = umask(masks[i]);
        struct ledger *ledger = open_ledger(place);
        must(ledger_set_text(ledger, "host-id", "x", &err));
        umask(before);
        assert_int_equal(mode_of(place->folder, ""), 0700);
        assert_int_equal(mode_of(place->folder, "/ledger.sqlite"), 0600);
        assert_int_equal(mode_of(place->folder, "/ledger.sqlite-wal"), 0600);
        assert_int_equal(mode_of(place->folder, "/ledger.sqlite-shm"), 0600);
        assert_int_equal(mode_of(place->folder, "/ledger.lock"), 0600);
        ledger_close(ledger);
        drop_place(state);
        assert_int_equal(make_place(state), 0);
        place = *state;
    }
}

static void test_restored_file_becomes_private(void **state)
{
    struct place *place = *state;
    ledger_close(open_ledger(place));
    assert_int_equal(chmod(place->path, 0644), 0);
    ledger_close(open_ledger(place));
    assert_int_equal(mode_of(place->folder, "/ledger.sqlite"), 0600);
}

static void test_open_folder_is_refused(void **state)
{
    struct place *place = *state;
    struct ledger *ledger = NULL;
    assert_int_equal(mkdir(place->folder, 0755), 0);
    assert_int_equal(chmod(place->folder, 0750), 0);
    must_fail(ledger_open(place->path, &ledger, &err), ERROR_DENIED, "is open to others (mode 750): chmod 700 it");
    assert_int_equal(mode_of(place->folder, ""), 0750);
    assert_null(ledger);
}

static void test_nothing_is_half_made(void **state)
{
    struct place *place = *state;
    char left[160];
    struct stat status;
    ledger_close(open_ledger(place));
    assert_int_equal(unlink(place->path), 0);
    snprintf(left, sizeof left, "%s.new", place->path);
    FILE *file = fopen(left, "w");
    fputs("what a kill left", file);
    fclose(file);
    ledger_close(open_ledger(place));
    assert_int_equal(stat(left, &status), -1);
    assert_int_equal(number_by_hand(place, "PRAGMA user_version"), LEDGER_SCHEMA);
    assert_int_equal(number_by_hand(place, "PRAGMA application_id"), 0x4c4c4d48);
}

/* What the second process does: waits until the ledger is open, and tries. The exit code says what went wrong. */
static _Noreturn void try_to_open(const char *path, int go)
{
    struct ledger *ledger = NULL;
    struct error err = ERROR_INIT;
    char wanted[256], byte;
    snprintf(wanted, sizeof wanted, "ledger %s: another llmhookd (pid %ld) has it open", path, (long)getppid());
    if (read(go, &byte, 1) != 1)
        _exit(1);
    if (ledger_open(path, &ledger, &err))
        _exit(2);
    _exit(err.code != ERROR_BUSY ? 3 : strcmp(err.text, wanted) != 0 ? 4 : 0);
}

static void test_second_opener(void **state)
{
    struct place *place = *state;
    int go[2], status;
    assert_int_equal(pipe(go), 0);
    pid_t child = fork();
    if (child == 0)
        try_to_open(place->path, go[0]);
    struct ledger *ledger = open_ledger(place), *other = NULL;
    assert_int_equal(write(go[1], "", 1), 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    /* Nor twice in one process, and the first goes on. */
    must_fail(ledger_open(place->path, &other, &err), ERROR_BUSY, "has it open");
    must(ledger_set_text(ledger, "a", "b", &err));
    ledger_close(ledger);
    ledger_close(open_ledger(place));
    close(go[0]);
    close(go[1]);
}

static void test_the_lock_ends_with_its_process(void **state)
{
    struct place *place = *state;
    pid_t child = fork();
    if (child == 0) {
        struct ledger *ledger = NULL;
        if (ledger_open(place->path, &ledger, NULL) && ledger_set_text(ledger, "a", "b", NULL))
            raise(SIGKILL);
        _exit(1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    struct ledger *ledger = open_ledger(place);
    char text[8];
    must(ledger_get_text(ledger, "a", text, sizeof text, &err));
    assert_string_equal(text, "b");
    ledger_close(ledger);
}

static void test_newer_schema(void **state)
{
    struct place *place = *state;
    struct ledger *ledger = NULL;
    ledger_close(open_ledger(place));
    by_hand(place, "PRAGMA user_version = 15");
    must_fail(ledger_open(place->path, &ledger, &err), ERROR_INVALID,
              "has schema 15, and this llmhookd knows up to 14: a newer one wrote it; run that, or restore the copy from "
              "before");
    assert_int_equal(number_by_hand(place, "PRAGMA user_version"), 15);
}

static void test_older_schema_is_brought_up(void **state)
{
    struct place *place = *state;
    assert_int_equal(mkdir(place->folder, 0700), 0);
    by_hand(place, "PRAGMA application_id = 0x4c4c4d48; VACUUM");
    assert_int_equal(number_by_hand(place, "PRAGMA user_version"), 0);
    struct ledger *ledger = open_ledger(place);
    save_family(ledger, UUID_1);
    ledger_close(ledger);
    assert_int_equal(number_by_hand(place, "PRAGMA user_version"), LEDGER_SCHEMA);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* Refused, and every byte is where it was. */
static void check_refused(const struct place *place, enum error_code code, const char *piece)
{
    struct ledger *ledger = NULL;
    char before[SECRET_FINGERPRINT_SIZE], after[SECRET_FINGERPRINT_SIZE];
    fingerprint_file(place->path, before);
    must_fail(ledger_open(place->path, &ledger, &err), code, piece);
    assert_null(ledger);
    fingerprint_file(place->path, after);
    assert_string_equal(after, before);
}

static void test_not_a_ledger(void **state)
{
    struct place *place = *state;
    char name[160];
    assert_int_equal(mkdir(place->folder, 0700), 0);

    write_file(place->path, "This is a letter to a friend, and longer than the hundred bytes that a header would take: "
                            "so it is not taken for one.");
    snprintf(name, sizeof name, "%s is not a ledger: ", place->path);
    check_refused(place, ERROR_INVALID, name);
    check_refused(place, ERROR_INVALID, "file is not a database");

    assert_int_equal(unlink(place->path), 0);
    by_hand(place, "CREATE TABLE cookies (a)");
    check_refused(place, ERROR_INVALID, "is not a ledger: it is a database of another program");
    by_hand(place, "DROP TABLE cookies; PRAGMA user_version = 3");
    check_refused(place, ERROR_INVALID, "is not a ledger: it is a database of another program");
    by_hand(place, "CREATE TABLE cookies (a); PRAGMA application_id = 0x4c4c4d48; PRAGMA user_version = 0");
    check_refused(place, ERROR_INVALID, "is not a ledger: it has schema 0");

    write_file(place->path, "");
    check_refused(place, ERROR_IO, "is damaged (it is empty): restore it, or move it and its -wal file aside");

    assert_int_equal(unlink(place->path), 0);
    assert_int_equal(symlink("elsewhere", place->path), 0);
    struct ledger *ledger = NULL;
    must_fail(ledger_open(place->path, &ledger, &err), ERROR_INVALID, "is not a regular file");
    assert_int_equal(unlink(place->path), 0);
    assert_int_equal(mkdir(place->path, 0700), 0);
    must_fail(ledger_open(place->path, &ledger, &err), ERROR_INVALID, "is not a regular file");
}

static void test_log_without_its_ledger(void **state)
{
    struct place *place = *state;
    char name[160];
    struct ledger *ledger = NULL;
    assert_int_equal(mkdir(place->folder, 0700), 0);
    snprintf(name, sizeof name, "%s-wal", place->path);
    write_file(name, "frames");
    must_fail(ledger_open(place->path, &ledger, &err), ERROR_IO,
              "is missing, but its write-ahead log");
    assert_int_equal(unlink(name), 0);
    ledger_close(open_ledger(place));
}

static void spoil(const char *path, off_t offset, size_t length)
{
    char noise[4096];
    memset(noise, 0xa5, sizeof noise);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, noise, length, offset), (ssize_t)length);
    close(fd);
}

static void test_damaged(void **state)
{
    struct place *place = *state;
    size_t length;
    struct ledger *ledger = open_ledger(place);
    save_family(ledger, UUID_1);
    ledger_close(ledger);
    cleanup_free char *whole = bytes_of(place->path, &length);
    assert_true(length >= 10 * 4096);
    /* Every page but the first, one at a time; pages that hold nothing yet are damaged as well by this. */
    for (size_t page = 1; page < length / 4096; page++) {
        spoil(place->path, (off_t)(page * 4096), 4096);
        check_refused(place, ERROR_IO, "is damaged (");
        check_refused(place, ERROR_IO, "): restore it, or move it and its -wal file aside and run `llmhook audit`, which "
                                       "finds the keys it knew");
        int fd = open(place->path, O_WRONLY | O_CLOEXEC);
        assert_int_equal(pwrite(fd, whole + page * 4096, 4096, (off_t)(page * 4096)), 4096);
        close(fd);
    }
    ledger_close(open_ledger(place));
    /* The end is missing. */
    assert_int_equal(truncate(place->path, (off_t)length - 4096), 0);
    check_refused(place, ERROR_IO, "is damaged (");
    /* The first page, behind the header's magic. */
    int fd = open(place->path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, whole, length, 0), (ssize_t)length);
    close(fd);
    spoil(place->path, 100, 300);
    check_refused(place, ERROR_IO, "is damaged (");
}

static void test_dangling_row_is_damage(void **state)
{
    struct place *place = *state;
    struct ledger *ledger = open_ledger(place);
    save_family(ledger, UUID_1);
    ledger_close(ledger);
    by_hand(place, "PRAGMA foreign_keys = OFF; DELETE FROM grants");
    check_refused(place, ERROR_IO, "is damaged (a row of keys refers to one that is not there)");
}

/* Live keys are read by an index of their own: what is wrong in it is a key that is forgotten, or one that is alive again. */
static void test_index_that_lies_is_damage(void **state)
{
    struct place *place = *state;
    struct ledger *ledger = open_ledger(place);
    save_family(ledger, UUID_1);
    ledger_close(ledger);
    by_hand(place, "PRAGMA writable_schema = ON;"
                   "UPDATE sqlite_schema SET sql = replace(sql, '<> ''revoked''', '= ''no''') WHERE name = 'keys_live'");
    by_hand(place, "UPDATE keys SET state = 'revoked'");
    by_hand(place, "PRAGMA writable_schema = ON;"
                   "UPDATE sqlite_schema SET sql = replace(sql, '= ''no''', '<> ''revoked''') WHERE name = 'keys_live'");
    check_refused(place, ERROR_IO, "is damaged (wrong # of entries in index keys_live)");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        case_of(test_files_are_private),
        case_of(test_restored_file_becomes_private),
        case_of(test_open_folder_is_refused),
        case_of(test_nothing_is_half_made),
        case_of(test_second_opener),
        case_of(test_the_lock_ends_with_its_process),
        case_of(test_newer_schema),
        case_of(test_older_schema_is_brought_up),
        case_of(test_not_a_ledger),
        case_of(test_log_without_its_ledger),
        case_of(test_damaged),
        case_of(test_dangling_row_is_damage),
        case_of(test_index_that_lies_is_damage),
    };
    if (!secret_init(NULL))
        return 1;
    return check_run(tests);
}
