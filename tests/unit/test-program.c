/* program.c with real programs: what is said of each way to end, and that nothing is left behind. */
#include "check.h"

#include "base/clock.h"
#include "base/program.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const environment[] = {"PATH=/usr/bin:/bin", "GIVEN=yes", NULL};

static bool shell(const char *script, const char *input, size_t most, int64_t timeout_ms, int cancel,
                  struct program_result *result)
{
    const char *const argv[] = {"/bin/sh", "-c", script, NULL};
    struct buffer text = BUFFER_INIT(1 << 20);
    assert_true(buffer_append_text(&text, input));
    const struct program program = {argv, environment, &text, timeout_ms, cancel};
    *result = (struct program_result)PROGRAM_RESULT_INIT(most);
    bool ok = program_run(&program, result);
    buffer_clear(&text);
    return ok;
}

static void test_output_and_input(void **state)
{
    (void)state;
    struct program_result result;
    assert_true(shell("read a; echo \"$a $GIVEN\"; pwd; cat", "one\nrest", 4096, 10000, -1, &result));
    assert_int_equal(result.end, PROGRAM_EXITED);
    assert_string_equal(buffer_text(&result.output), "one yes\n/\nrest");
    assert_string_equal(result.error.text, "");
    buffer_clear(&result.output);
}

/* More than a pipe holds, both ways at once. */
static void test_much(void **state)
{
    (void)state;
    struct program_result result;
    char *text = malloc(300001);
    memset(text, 'x', 300000);
    text[300000] = '\0';
    assert_true(shell("cat", text, 300000, 10000, -1, &result));
    assert_int_equal(result.output.length, 300000);
    buffer_clear(&result.output);
    assert_true(shell("exit 0", text, 10, 10000, -1, &result)); /* it need not read */
    free(text);
}

static void test_nothing_of_ours_is_inherited(void **state)
{
    (void)state;
    struct program_result result;
    int fd = open("/dev/null", O_RDONLY); /* without O_CLOEXEC, as a library might */
    setenv("SECRET_OF_OURS", "sk-test-0123456789", 1);
    assert_true(shell("ls /proc/self/fd | wc -l; env | grep -c SECRET; kill -TERM $$; echo alive", "", 4096, 10000, -1,
                      &result) == false);
    assert_int_equal(result.end, PROGRAM_KILLED); /* so the signal was not blocked */
    assert_int_equal(result.status, SIGTERM);
    assert_string_equal(buffer_text(&result.output), "4\n0\n"); /* 0, 1, 2 and the one that lists */
    check_error(result.error, ERROR_IO, "/bin/sh was ended by signal 15");
    buffer_clear(&result.output);
    close(fd);
}

static void test_failures_are_told(void **state)
{
    (void)state;
    struct program_result result;
    assert_false(shell("echo no access to sk-test-0123456789abcdef: try again >&2; exit 3", "", 4096, 10000, -1, &result));
    assert_int_equal(result.status, 3);
    check_error(result.error, ERROR_IO, "/bin/sh failed (exit code 3): no access to [key]: try again");
    assert_false(shell("printf 'token hvs.CAESIabcd, hash 0123456789abcdef0123 and\\n\\001plain-words-without-digits'"
                       " >&2; exit 1", "", 4096, 10000, -1, &result));
    assert_string_equal(result.complaint, "token [key], hash [key] and  plain-words-without-digits");
    const char *const argv[] = {"/nonexistent/program", NULL};
    const struct program program = {argv, environment, NULL, 1000, -1};
    result = (struct program_result)PROGRAM_RESULT_INIT(10);
    assert_false(program_run(&program, &result));
    assert_int_equal(result.end, PROGRAM_NOT_STARTED);
    check_error(result.error, ERROR_NOT_FOUND, "/nonexistent/program could not be started: No such file or directory");
}

static bool is_gone(const char *pid)
{
    for (unsigned i = 0; i < 100; i++) {
        if (kill(atoi(pid), 0) < 0)
            return true;
        char path[64], state[256] = "";
        snprintf(path, sizeof path, "/proc/%d/stat", atoi(pid));
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0 && read(fd, state, sizeof state - 1) > 0 && strstr(state, ") Z "))
            i = 100; /* nobody has reaped it yet; it runs no more */
        if (fd >= 0)
            close(fd);
        if (i >= 100)
            return true;
        usleep(20000);
    }
    return false;
}

/* What it started ends with it; its number is told by way of a file, since no output is kept. */
static void test_time_is_limited(void **state)
{
    (void)state;
    char path[] = "/tmp/llmhook-program-XXXXXX", script[256], pid[32] = "";
    int fd = mkstemp(path);
    struct program_result result;
    snprintf(script, sizeof script, "sleep 1000 & echo $! >%s; wait", path);
    int64_t began = clock_monotonic_ms();
    assert_false(shell(script, "", 4096, 500, -1, &result));
    assert_true(clock_monotonic_ms() - began < 10000);
    assert_int_equal(result.end, PROGRAM_TIMED_OUT);
    check_error(result.error, ERROR_TIMEOUT, "/bin/sh did not end within 500 ms and was killed");
    assert_true(read(fd, pid, sizeof pid - 1) > 0);
    assert_true(is_gone(pid));
    close(fd);
    unlink(path);
    /* The same when it has closed its outputs. */
    assert_false(shell("exec >&- 2>&-; sleep 1000", "", 4096, 300, -1, &result));
    assert_int_equal(result.end, PROGRAM_TIMED_OUT);
}

static void test_size_is_limited(void **state)
{
    (void)state;
    struct program_result result;
    assert_false(shell("while :; do echo 0123456789; done", "", 1000, 10000, -1, &result));
    assert_int_equal(result.end, PROGRAM_TOO_MUCH);
    assert_int_equal(result.output.length, 0);
    check_error(result.error, ERROR_LIMIT, "/bin/sh printed more than 1000 bytes and was killed");
    assert_true(shell("i=0; while [ $i -lt 3000 ]; do echo words >&2; i=$((i+1)); done", "", 10, 10000, -1, &result));
}

static void test_it_can_be_given_up(void **state)
{
    (void)state;
    struct program_result result;
    int cancel = eventfd(1, EFD_CLOEXEC);
    assert_false(shell("sleep 1000", "", 10, 60000, cancel, &result));
    assert_int_equal(result.end, PROGRAM_CANCELLED);
    check_error(result.error, ERROR_LOST, "nobody waits for it any more");
    close(cancel);
}

static void test_who_could_change_it(void **state)
{
    (void)state;
    char path[] = "/tmp/llmhook-program-XXXXXX";
    struct error err = ERROR_INIT;
    close(mkstemp(path));
    assert_true(program_trusted("/bin/sh", &err));
    assert_false(program_trusted(path, &err));
    check_error(err, ERROR_INVALID, "is not a program: chmod +x");
    chmod(path, 0777);
    assert_false(program_trusted(path, &err));
    check_error(err, ERROR_DENIED, "can be written by others (mode 777): chmod go-w");
    chmod(path, 0755);
    assert_true(program_trusted(path, &err));
    if (geteuid() == 0) {
        assert_int_equal(chown(path, 12345, 0), 0);
        assert_false(program_trusted(path, &err));
        check_error(err, ERROR_DENIED, "belongs to uid 12345, who could change it");
    }
    assert_false(program_trusted("relative", &err));
    check_error(err, ERROR_INVALID, "not an absolute path");
    unlink(path);
}

/* Who can write to a folder can put another program in the place of root's. */
static void test_who_could_replace_it(void **state)
{
    (void)state;
    char top[] = "/tmp/llmhook-program-XXXXXX", path[96], link[128], outer[64], inner[64];
    struct error err = ERROR_INIT;
    assert_non_null(mkdtemp(top));
    snprintf(outer, sizeof outer, "%s/outer", top);
    snprintf(inner, sizeof inner, "%s/outer/inner", top);
    snprintf(path, sizeof path, "%s/outer/inner/program", top);
    snprintf(link, sizeof link, "%s/link", top);
    assert_int_equal(mkdir(outer, 0755), 0);
    assert_int_equal(mkdir(inner, 0755), 0);
    close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0755));
    assert_int_equal(symlink("outer/inner//program", link), 0);
    assert_true(program_trusted(path, &err)); /* in /tmp, where nobody can touch what is another's */
    assert_true(program_trusted(link, &err));
    const char *const names[] = {path, link};
    for (size_t i = 0; i < 2; i++) {
        chmod(outer, 0777);
        assert_false(program_trusted(names[i], &err));
        check_error(err, ERROR_DENIED, "/outer (mode 777) and put something else there: chmod go-w ");
        chmod(outer, 0775);
        assert_false(program_trusted(names[i], &err));
        check_error(err, ERROR_DENIED, "/outer (mode 775)");
        chmod(outer, 0755);
        if (geteuid() == 0) {
            assert_int_equal(chown(inner, 12345, 0), 0);
            assert_false(program_trusted(names[i], &err));
            check_error(err, ERROR_DENIED, "/outer/inner belongs to uid 12345, who could put something else there");
            assert_int_equal(chown(inner, 0, 0), 0);
        }
        assert_true(program_trusted(names[i], &err));
    }
    /* The link itself is in somebody else's hands, and leads to root's. */
    unlink(link);
    snprintf(link, sizeof link, "%s/link", inner);
    assert_int_equal(symlink("/bin/sh", link), 0);
    assert_true(program_trusted(link, &err));
    chmod(inner, 0777);
    assert_false(program_trusted(link, &err));
    check_error(err, ERROR_DENIED, "/outer/inner (mode 777)");
    unlink(link);
    unlink(path);
    rmdir(inner);
    rmdir(outer);
    rmdir(top);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_output_and_input),
        cmocka_unit_test(test_much),
        cmocka_unit_test(test_nothing_of_ours_is_inherited),
        cmocka_unit_test(test_failures_are_told),
        cmocka_unit_test(test_time_is_limited),
        cmocka_unit_test(test_size_is_limited),
        cmocka_unit_test(test_it_can_be_given_up),
        cmocka_unit_test(test_who_could_change_it),
        cmocka_unit_test(test_who_could_replace_it),
    };
    signal(SIGPIPE, SIG_IGN);
    return check_run(tests);
}
