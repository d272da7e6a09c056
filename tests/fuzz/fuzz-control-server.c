/* The daemon's socket: the real server, and a peer that sends the input, a part a turn of the loop, and then ends.
 *
 * The server's replies are whole messages, no more than the calls that were made, and when the peer is gone nothing is left
 * of it: no call, no watch, no timer. */
#include "fuzz.h"

#include "base/buffer.h"
#include "base/json.h"
#include "base/log.h"
#include "control/control.h"
#include "tests/unit/poll-loop.h"

#include <errno.h>
#include <json-c/json.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { TURNS_MAX = 1000, REPLIES_MAX = 4 * 1024 * 1024 };

static struct poll_loop *loop;
static struct control_server *server;
static char path[64];
static struct control_call *parked;
static unsigned idle_watches, idle_timers;

static void on_cancel(void *context)
{
    (void)context;
    must(parked);
    parked = NULL;
}

static void run_echo(void *context, struct control_call *call, struct json_object *parameters)
{
    (void)context;
    control_reply(call, json_object_get(parameters));
}

static void run_park(void *context, struct control_call *call, struct json_object *parameters)
{
    (void)context, (void)parameters;
    if (parked) {
        control_error(call, "Failed", NULL);
        return;
    }
    parked = call;
    control_call_on_cancel(call, on_cancel, NULL);
}

static void run_count(void *context, struct control_call *call, struct json_object *parameters)
{
    (void)context, (void)parameters;
    control_continue(call, NULL);
    control_continue(call, json_object_new_object());
    control_reply(call, NULL);
}

static void run_refuse(void *context, struct control_call *call, struct json_object *parameters)
{
    char name[64];
    (void)context;
    json_optional_string(parameters, "name", "Failed", name, sizeof name);
    control_error(call, name, json_object_get(parameters));
}

static const struct control_method methods[] = {
    {"Echo", run_echo}, {"Park", run_park}, {"Count", run_count}, {"Refuse", run_refuse}, {NULL, NULL}};

static void remove_files(void)
{
    control_server_free(server);
    poll_loop_free(loop);
    *strrchr(path, '/') = '\0';
    rmdir(path);
}

static void start(void)
{
    struct error err = ERROR_INIT;
    char directory[] = "/tmp/fuzz-control-XXXXXX";
    log_set_level(LOG_LEVEL_ERROR);
    must(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/socket", directory);
    loop = poll_loop_new();
    must_succeed(loop && control_server_new(poll_loop_base(loop), path, methods, NULL, &server, &err), err);
    atexit(remove_files);
    idle_watches = poll_loop_watches(loop);
    idle_timers = poll_loop_armed(loop);
}

static int connect_peer(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    must(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    return fd;
}

/* Takes what is there; false at the end. */
static bool hear(int fd, struct buffer *heard)
{
    char chunk[16 * 1024];
    ssize_t count;
    while ((count = recv(fd, chunk, sizeof chunk, MSG_DONTWAIT)) > 0)
        must(buffer_append(heard, chunk, (size_t)count));
    return count < 0 && errno == EAGAIN;
}

static bool say(int fd, const char *bytes, size_t length, struct buffer *heard)
{
    for (int turn = 0; length > 0; turn++) {
        must(turn < TURNS_MAX);
        ssize_t count = send(fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count < 0 && errno != EAGAIN)
            return false;
        bytes += count > 0 ? count : 0;
        length -= count > 0 ? (size_t)count : 0;
        poll_loop_turn(loop, 0);
        if (!hear(fd, heard))
            return false;
        if (count < 0 && parked)
            return true; /* it reads no more before its call has ended */
    }
    return true;
}

/* Each reply is one JSON object with its parameters; the last of each call is one that does not go on. */
static void check_replies(const struct buffer *heard, size_t calls)
{
    size_t ended = 0;
    const char *at = buffer_text(heard), *end = at + heard->length;
    while (at < end) {
        const char *stop = memchr(at, '\0', (size_t)(end - at));
        struct json_object *reply = NULL, *parameters;
        struct error err = ERROR_INIT;
        must(stop);
        must_succeed(json_parse(at, (size_t)(stop - at), &reply, &err), err);
        must_succeed(json_get_object(reply, "parameters", &parameters, &err), err);
        must(!json_has(reply, "error") || !json_has(reply, "continues"));
        ended += !json_optional_boolean(reply, "continues", false);
        json_object_put(reply);
        at = stop + 1;
    }
    must(ended <= calls);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = fuzz_input(data, size);
    struct buffer heard = BUFFER_INIT(REPLIES_MAX);
    const char *part;
    size_t length, calls = 0;
    bool open = true;
    if (!server)
        start();
    for (size_t i = 0; i < size; i++)
        calls += data[i] == '\0';
    int fd = connect_peer();
    while (open && fuzz_next(&input, &part, &length))
        open = say(fd, part, length, &heard);
    if (open)
        shutdown(fd, SHUT_WR);
    for (int turn = 0; open && turn < TURNS_MAX; turn++) {
        poll_loop_turn(loop, 0);
        open = hear(fd, &heard);
        if (open && parked && turn > 3 && turn % 4 == 0 && size % 2) { /* else it goes while its call waits */
            struct control_call *call = parked;
            parked = NULL;
            control_reply(call, NULL);
        }
        if (open && parked && turn > 8 && size % 2 == 0)
            break;
    }
    must(!open || parked);
    close(fd);
    for (int turn = 0; poll_loop_watches(loop) > idle_watches; turn++) {
        must(turn < TURNS_MAX);
        poll_loop_turn(loop, 0);
    }
    if (parked) { /* a oneway call has nobody to go away */
        struct control_call *call = parked;
        parked = NULL;
        control_reply(call, NULL);
    }
    must(poll_loop_armed(loop) == idle_timers);
    check_replies(&heard, calls);
    buffer_clear(&heard);
    return 0;
}
