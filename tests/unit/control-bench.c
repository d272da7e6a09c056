#include "control-bench.h"

#include "base/clock.h"
#include "base/json.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- the loop --- */

enum { TURNS_TO_QUIET = 32 }; /* each deals with all that is ready; no exchange in these tests takes more */

struct bench_timer {
    int64_t due; /* -1: disarmed */
    loop_timer_fn *callback;
    void *context;
};

static int64_t bench_now(const struct bench *bench)
{
    return clock_monotonic_ms() + bench->ahead;
}

static int add_watch(struct loop *loop, int fd, unsigned events, loop_fd_fn *callback, void *context)
{
    struct loop *below = poll_loop_base(((struct bench *)loop)->poller);
    return below->watch(below, fd, events, callback, context);
}

static void update_watch(struct loop *loop, int handle, unsigned events)
{
    struct loop *below = poll_loop_base(((struct bench *)loop)->poller);
    below->watch_update(below, handle, events);
}

static void remove_watch(struct loop *loop, int handle)
{
    struct loop *below = poll_loop_base(((struct bench *)loop)->poller);
    below->watch_remove(below, handle);
}

static int add_timer(struct loop *loop, loop_timer_fn *callback, void *context)
{
    struct bench *bench = (struct bench *)loop;
    int at = 0;
    while (at < bench->timers_count && bench->timers[at].callback)
        at++;
    if (at == bench->timers_count) {
        bench->timers = realloc(bench->timers, (size_t)++bench->timers_count * sizeof *bench->timers);
        assert_non_null(bench->timers);
    }
    bench->timers[at] = (struct bench_timer){-1, callback, context};
    return at;
}

static void set_timer(struct loop *loop, int handle, int64_t delay_ms)
{
    struct bench *bench = (struct bench *)loop;
    bench->timers[handle].due = delay_ms < 0 ? -1 : bench_now(bench) + delay_ms;
}

static void remove_timer(struct loop *loop, int handle)
{
    ((struct bench *)loop)->timers[handle].callback = NULL;
}

void bench_turn(struct bench *bench, int wait_ms)
{
    int64_t now = bench_now(bench);
    for (int i = 0; i < bench->timers_count; i++)
        if (bench->timers[i].callback && bench->timers[i].due >= 0 && bench->timers[i].due - now < wait_ms)
            wait_ms = bench->timers[i].due > now ? (int)(bench->timers[i].due - now) : 0;
    poll_loop_turn(bench->poller, wait_ms);
    now = bench_now(bench);
    for (int i = 0; i < bench->timers_count; i++) {
        struct bench_timer timer = bench->timers[i];
        if (!timer.callback || timer.due < 0 || timer.due > now)
            continue;
        bench->timers[i].due = -1;
        timer.callback(timer.context);
    }
}

void bench_drain(struct bench *bench)
{
    for (int i = 0; i < TURNS_TO_QUIET; i++)
        bench_turn(bench, 0);
}

bool bench_until(struct bench *bench, bool (*done)(void *context), void *context)
{
    int64_t deadline = clock_monotonic_ms() + LIMIT_MS;
    while (!done(context)) {
        if (clock_monotonic_ms() >= deadline)
            return false;
        bench_turn(bench, 20);
    }
    return true;
}

void bench_advance(struct bench *bench, int64_t ms)
{
    bench->ahead += ms;
}

/* --- the service under test --- */

static void on_parked_gone(void *context)
{
    struct bench *bench = context;
    bench->parked = NULL;
    bench->cancels++;
}

static void run_echo(void *context, struct control_call *call, struct json_object *parameters)
{
    struct bench *bench = context;
    struct json_object *text = NULL;
    if (!json_object_object_get_ex(parameters, "text", &text) || !json_object_is_type(text, json_type_string)) {
        control_invalid_parameter(call, "text");
        return;
    }
    bench->echoes++;
    struct json_object *answer = json_object_new_object();
    json_put(answer, "text", json_object_get(text));
    control_reply(call, answer);
}

static void run_park(void *context, struct control_call *call, struct json_object *parameters)
{
    (void)parameters;
    struct bench *bench = context;
    bench->parks++;
    bench->parked = call;
    control_call_on_cancel(call, on_parked_gone, bench);
}

static void run_count(void *context, struct control_call *call, struct json_object *parameters)
{
    (void)context;
    (void)parameters;
    for (int i = 1; i <= 3; i++) {
        struct json_object *answer = json_object_new_object();
        json_put_integer(answer, "n", i);
        if (i < 3)
            control_continue(call, answer);
        else
            control_reply(call, answer);
    }
}

static void run_huge(void *context, struct control_call *call, struct json_object *parameters)
{
    (void)context;
    (void)parameters;
    char *text = malloc(CONTROL_MESSAGE_MAX + 1);
    memset(text, 'x', CONTROL_MESSAGE_MAX);
    text[CONTROL_MESSAGE_MAX] = '\0';
    struct json_object *answer = json_object_new_object();
    json_put_string(answer, "text", text);
    free(text);
    control_reply(call, answer);
}

static void run_bytes(void *context, struct control_call *call, struct json_object *parameters)
{
    (void)context;
    (void)parameters;
    struct json_object *answer = json_object_new_object();
    json_put_string(answer, "text", "cut \xc3\xa9 off \xe2\x82");
    control_reply(call, answer);
}

static void run_refuse(void *context, struct control_call *call, struct json_object *parameters)
{
    (void)context;
    char name[64];
    json_optional_string(parameters, "name", "Failed", name, sizeof name);
    struct json_object *answer = json_object_new_object();
    json_put_string(answer, "reason", "the disk is full");
    json_put_string(answer, "domain", "dev-1");
    json_put_string(answer, "provider", "openai");
    json_put_string(answer, "parameter", "guests");
    json_put_string(answer, "method", "Dance");
    control_error(call, name, answer);
}

static void run_mark(void *context, struct control_call *call, struct json_object *parameters)
{
    (void)parameters;
    ((struct bench *)context)->marks++;
    control_reply(call, NULL);
}

const struct control_method bench_methods[] = {
    {"Echo", run_echo}, {"Park", run_park},   {"Count", run_count}, {"Huge", run_huge},
    {"Bytes", run_bytes}, {"Refuse", run_refuse}, {"Mark", run_mark},
    {"Rotate", run_mark}, /* one that the interface has, with parameters */
    {NULL, NULL},
};

int bench_setup(void **state)
{
    struct bench *bench = calloc(1, sizeof *bench);
    struct error err = ERROR_INIT;
    if (!bench)
        return -1;
    strcpy(bench->directory, "/tmp/control-XXXXXX");
    if (!mkdtemp(bench->directory))
        return -1;
    snprintf(bench->path, sizeof bench->path, "%s/socket", bench->directory);
    bench->table = (struct loop){.watch = add_watch,
                                 .watch_update = update_watch,
                                 .watch_remove = remove_watch,
                                 .timer = add_timer,
                                 .timer_set = set_timer,
                                 .timer_remove = remove_timer};
    bench->poller = poll_loop_new();
    if (!bench->poller || !control_server_new(&bench->table, bench->path, bench_methods, bench, &bench->server, &err)) {
        print_error("%s\n", err.text);
        return -1;
    }
    *state = bench;
    return 0;
}

int bench_teardown(void **state)
{
    struct bench *bench = *state;
    control_server_free(bench->server);
    unsigned left = poll_loop_watches(bench->poller);
    for (int i = 0; i < bench->timers_count; i++)
        left += bench->timers[i].callback != NULL;
    free(bench->timers);
    poll_loop_free(bench->poller);
    int files = rmdir(bench->directory); /* fails when the server left a file behind */
    free(bench);
    return left || files ? -1 : 0;
}

/* --- a peer without any of our code --- */

void peer_address(struct sockaddr_un *address, const char *path)
{
    assert_true(strlen(path) < sizeof address->sun_path);
    strcpy(address->sun_path, path);
}

int peer_open(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    peer_address(&address, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* Sends LENGTH bytes while the server keeps turning; false when the server closed the connection. */
bool peer_send(struct bench *bench, int fd, const char *bytes, size_t length)
{
    int64_t deadline = clock_monotonic_ms() + LIMIT_MS;
    while (length) {
        assert_true(clock_monotonic_ms() < deadline);
        ssize_t count = send(fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (count < 0 && errno != EAGAIN)
            return false;
        if (count > 0) {
            bytes += count;
            length -= (size_t)count;
        }
        bench_turn(bench, 0);
    }
    bench_drain(bench);
    return true;
}

void peer_say(struct bench *bench, int fd, const char *message)
{
    assert_true(peer_send(bench, fd, message, strlen(message) + 1));
}

/* The next message, or NULL at the end of the connection. Owner: the caller. */
char *peer_hear(struct bench *bench, int fd)
{
    size_t length = 0, room = 256;
    char *text = malloc(room);
    int64_t deadline = clock_monotonic_ms() + LIMIT_MS;
    for (;;) {
        if (clock_monotonic_ms() > deadline)
            fail_msg("no message within %d ms", LIMIT_MS);
        /* Looks first, so that nothing of the following message is taken. */
        if (room - length < 65536)
            text = realloc(text, room *= 2);
        ssize_t count = recv(fd, text + length, room - length, MSG_DONTWAIT | MSG_PEEK);
        if (count < 0 && errno == EAGAIN) {
            bench_turn(bench, 10);
            continue;
        }
        if (count <= 0) {
            free(text);
            return NULL;
        }
        char *end = memchr(text + length, '\0', (size_t)count);
        size_t take = end ? (size_t)(end - (text + length)) + 1 : (size_t)count;
        assert_int_equal(recv(fd, text + length, take, 0), take);
        length += take;
        if (end)
            return text;
    }
}

void check_heard(struct bench *bench, int fd, const char *wanted)
{
    char *text = peer_hear(bench, fd);
    assert_non_null(text);
    assert_string_equal(text, wanted);
    free(text);
}

void check_silent(struct bench *bench, int fd)
{
    char byte;
    bench_drain(bench);
    ssize_t count = recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK);
    if (count >= 0)
        fail_msg("heard %s", count ? "a message" : "the end");
    assert_int_equal(errno, EAGAIN);
}

void check_closed(struct bench *bench, int fd)
{
    char *text = peer_hear(bench, fd);
    if (text)
        fail_msg("the connection is open and says %s", text);
    close(fd);
}

struct listening log_capture(void)
{
    struct listening listening = {dup(STDERR_FILENO), memfd_create("log", MFD_CLOEXEC)};
    assert_true(listening.saved >= 0 && listening.file >= 0);
    dup2(listening.file, STDERR_FILENO);
    return listening;
}

void log_captured(struct listening listening, char *text, size_t size)
{
    dup2(listening.saved, STDERR_FILENO);
    close(listening.saved);
    ssize_t count = pread(listening.file, text, size - 1, 0);
    text[count > 0 ? count : 0] = '\0';
    close(listening.file);
}

bool bench_was_cancelled(void *context)
{
    return ((struct bench *)context)->cancels > 0;
}

int peer_listen(const char *path, bool listening)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    peer_address(&address, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    if (listening)
        assert_int_equal(listen(fd, 1), 0);
    return fd;
}
