/* The control server's socket: its file, who may connect, and how many. */
#include "control-bench.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- the socket's file --- */

static bool start_at(struct bench *bench, const char *path, struct control_server **ret_server, struct error *err)
{
    return control_server_new(&bench->table, path, bench_methods, bench, ret_server, err);
}

static void test_socket_is_only_ours(void **state)
{
    struct bench *bench = *state;
    struct error err = ERROR_INIT;
    char path[128];
    snprintf(path, sizeof path, "%s/open", bench->directory);
    mode_t old = umask(0);
    struct control_server *server = NULL;
    assert_true(start_at(bench, path, &server, &err));
    umask(old);
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode, S_IFSOCK | 0600);
    control_server_free(server);
    assert_int_equal(stat(path, &status), -1);
    assert_int_equal(errno, ENOENT);
}

static void test_stale_socket_is_replaced(void **state)
{
    struct bench *bench = *state;
    struct error err = ERROR_INIT;
    char path[128];
    snprintf(path, sizeof path, "%s/stale", bench->directory);
    close(peer_listen(path, true)); /* its file stays, as after kill -9 */
    struct control_server *server = NULL;
    assert_true(start_at(bench, path, &server, &err));
    int fd = peer_open(path);
    peer_say(bench, fd, "{\"method\":\"io.llmhook.Mark\"}");
    check_heard(bench, fd, "{\"parameters\":{}}");
    close(fd);
    control_server_free(server);
}

static void test_live_socket_is_busy(void **state)
{
    struct bench *bench = *state;
    struct error err = ERROR_INIT;
    struct control_server *server = NULL;
    assert_false(start_at(bench, bench->path, &server, &err)); /* one of us */
    check_error(err, ERROR_BUSY, "another llmhookd is running: it holds ");
    assert_null(server);

    char path[128];
    snprintf(path, sizeof path, "%s/foreign", bench->directory);
    int foreign = peer_listen(path, true); /* one without our lock */
    assert_false(start_at(bench, path, &server, &err));
    check_error(err, ERROR_BUSY, "another llmhookd is running: it listens at ");
    int queued[8];
    for (int i = 0; i < 8; i++) { /* and with a full queue */
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        peer_address(&address, path);
        queued[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        connect(queued[i], (struct sockaddr *)&address, sizeof address);
    }
    assert_false(start_at(bench, path, &server, &err));
    check_error(err, ERROR_BUSY, "it listens at ");
    for (int i = 0; i < 8; i++)
        close(queued[i]);
    close(foreign);
    assert_int_equal(unlink(path), 0); /* still there: it was not ours to remove */

    int fd = peer_open(bench->path); /* the first one has not noticed */
    peer_say(bench, fd, "{\"method\":\"io.llmhook.Mark\"}");
    check_heard(bench, fd, "{\"parameters\":{}}");
    close(fd);
}

static void test_what_is_no_socket_is_left_alone(void **state)
{
    struct bench *bench = *state;
    struct error err = ERROR_INIT;
    struct control_server *server = NULL;
    char path[300];
    snprintf(path, sizeof path, "%s/file", bench->directory);
    close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    assert_false(start_at(bench, path, &server, &err));
    check_error(err, ERROR_EXISTS, "is there already and is not a socket");
    assert_int_equal(unlink(path), 0);

    snprintf(path, sizeof path, "%s/none/socket", bench->directory);
    assert_false(start_at(bench, path, &server, &err));
    check_error(err, ERROR_NOT_FOUND, "create ");

    memset(path, 'x', 120);
    path[120] = '\0';
    assert_false(start_at(bench, path, &server, &err));
    check_error(err, ERROR_INVALID, "a socket's path has 1 to 107 bytes, not 120");
}

static void test_successors_socket_survives_our_end(void **state)
{
    struct bench *bench = *state;
    struct error err = ERROR_INIT;
    struct control_server *server = NULL;
    char path[128], other[128];
    snprintf(path, sizeof path, "%s/shared", bench->directory);
    snprintf(other, sizeof other, "%s/other", bench->directory);
    assert_true(start_at(bench, path, &server, &err));
    int fd = peer_listen(other, true);
    assert_int_equal(rename(other, path), 0);
    control_server_free(server);
    assert_int_equal(unlink(path), 0);
    close(fd);
}

static void test_other_users_are_refused(void **state)
{
    struct bench *bench = *state;
    if (geteuid() != 0) {
        print_message("skipped: needs root to become another user\n");
        skip();
    }
    /* The file's mode alone would stop them: it is opened to see the second line of defence. */
    assert_int_equal(chmod(bench->path, 0666), 0);
    assert_int_equal(chmod(bench->directory, 0755), 0);
    pid_t child = fork();
    if (child == 0) {
        /* Twice; the answer must come although nothing was asked. */
        if (setgid(NOBODY) < 0 || setuid(NOBODY) < 0)
            _exit(10);
        for (int i = 0; i < 2; i++) {
            char text[512];
            size_t length = 0;
            struct sockaddr_un address = {.sun_family = AF_UNIX};
            peer_address(&address, bench->path);
            int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
            if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
                _exit(11);
            ssize_t count;
            while ((count = read(fd, text + length, sizeof text - length)) > 0)
                length += (size_t)count;
            if (count < 0 || !length || text[length - 1] != '\0' || !strstr(text, "\"io.llmhook.NotPermitted\""))
                _exit(12);
            close(fd);
        }
        struct control_client *client = NULL;
        struct json_object *reply = NULL;
        struct error err = ERROR_INIT;
        if (!control_client_open(bench->path, &client, &err))
            _exit(13);
        bool ok = control_client_call(client, "Mark", NULL, LIMIT_MS, &reply, &err);
        control_client_free(client);
        _exit(!ok && err.code == ERROR_DENIED && strstr(err.text, "only root and the daemon's own user") ? 0 : 14);
    }
    char log[1024];
    struct listening listening = log_capture();
    int status = 0;
    int64_t deadline = clock_monotonic_ms() + LIMIT_MS;
    while (waitpid(child, &status, WNOHANG) == 0 && clock_monotonic_ms() < deadline)
        bench_turn(bench, 10);
    log_captured(listening, log, sizeof log);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(bench->marks, 0);
    assert_non_null(strstr(log, "control: refused a connection of uid 65534\n"));
    assert_null(strstr(strstr(log, "refused") + 1, "refused")); /* the others were too soon for another line */
}

static void test_too_many_connections_wait_their_turn(void **state)
{
    struct bench *bench = *state;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    struct rlimit wide = {3000, limit.rlim_max};
    if (limit.rlim_max < 3000) {
        print_message("skipped: at most %lu open files here\n", (unsigned long)limit.rlim_max);
        skip();
    }
    setrlimit(RLIMIT_NOFILE, &wide);
    static int peers[CONTROL_CONNECTIONS_MAX];
    for (int i = 0; i < CONTROL_CONNECTIONS_MAX; i++) {
        peers[i] = peer_open(bench->path);
        bench_turn(bench, 0);
    }
    int late = peer_open(bench->path);
    struct listening listening = log_capture();
    peer_say(bench, late, "{\"method\":\"io.llmhook.Mark\"}");
    char log[512];
    log_captured(listening, log, sizeof log);
    assert_non_null(strstr(log, "accepting no connection for a moment: there are too many"));
    check_silent(bench, late);
    close(peers[7]);
    check_heard(bench, late, "{\"parameters\":{}}");
    for (int i = 0; i < CONTROL_CONNECTIONS_MAX; i++)
        if (i != 7)
            close(peers[i]);
    close(late);
    setrlimit(RLIMIT_NOFILE, &limit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_bench(test_socket_is_only_ours),
        on_bench(test_stale_socket_is_replaced),
        on_bench(test_live_socket_is_busy),
        on_bench(test_what_is_no_socket_is_left_alone),
        on_bench(test_successors_socket_survives_our_end),
        on_bench(test_other_users_are_refused),
        on_bench(test_too_many_connections_wait_their_turn),
    };
    return check_run(tests);
}
