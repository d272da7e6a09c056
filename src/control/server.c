/* Theory of operation: a connection is a buffer of what came, at most one call in progress, and a buffer of what is to
 * go. Calls are begun one after the other, so the replies are in order; while one is in progress no more is read than
 * it takes to see the peer go away. What a peer does not read stays here up to a bound, and above a lower bound no
 * further call of that peer is begun. A oneway call has no reply to put in order: it leaves its connection at once.
 *
 * Only the loop's callbacks close connections. control_reply() and its sisters are called from anywhere in the
 * daemon, so all they do is send what the socket takes and ask for another turn. */
#include "control/control.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "control/codec.h"
#include "control/listener.h"
#include "control/service.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    READ_CHUNK = 64 * 1024,              /* bytes a turn */
    OUTPUT_PAUSE = 1024 * 1024,          /* unsent bytes above which a connection's next call waits */
    OUTPUT_MAX = OUTPUT_PAUSE + CONTROL_MESSAGE_MAX + 64 * 1024,
    IDLE_MS = 60 * 1000,
    ACCEPT_AGAIN_MS = 1000,
    COMPLAIN_EVERY_MS = 10 * 1000,
};

/* Lets one line through in a while, and counts the others. */
struct complaint {
    int64_t next;
    unsigned swallowed;
};

struct control_call {
    struct control_server *server;
    struct connection *connection;            /* NULL: oneway, or its connection is closed */
    struct control_call *previous, *following; /* the server's oneway calls */
    bool more;
    void (*cancelled)(void *context);
    void *context;
};

struct connection {
    struct control_server *server;
    struct connection *previous, *following;
    int fd, watch, timer;
    unsigned watched;
    struct buffer in, out;
    struct control_frame frame;
    struct control_call *call; /* in progress */
    bool dispatching;          /* a method of ours is on the stack: what it sends goes out in one piece afterwards */
    bool turn_asked;           /* the timer is set to take a turn, not to end an idle connection */
    bool ended;                /* the peer sends no more */
    bool broken;               /* to be closed at the next turn */
    pid_t peer;
};

struct control_server {
    struct loop *loop;
    const struct control_method *methods;
    void *context;
    struct control_listener listener;
    int watch, accept_timer;
    bool accepting;
    unsigned count;
    struct connection *connections;
    struct control_call *oneways;
    struct complaint refused, malformed, crowded;
};

static bool may_complain(struct complaint *complaint, char *ret_more, size_t size)
{
    int64_t now = clock_monotonic_ms();
    if (now < complaint->next) {
        complaint->swallowed++;
        return false;
    }
    ret_more[0] = '\0';
    if (complaint->swallowed)
        snprintf(ret_more, size, " (and %u more like it)", complaint->swallowed);
    complaint->next = now + COMPLAIN_EVERY_MS;
    complaint->swallowed = 0;
    return true;
}

/* --- connections --- */

static void watch_for(struct connection *connection, unsigned events)
{
    if (events == connection->watched)
        return;
    connection->watched = events;
    connection->server->loop->watch_update(connection->server->loop, connection->watch, events);
}

static void set_timer(struct connection *connection, int64_t delay_ms)
{
    connection->server->loop->timer_set(connection->server->loop, connection->timer, delay_ms);
}

static void ask_turn(struct connection *connection)
{
    if (connection->turn_asked)
        return;
    connection->turn_asked = true;
    set_timer(connection, 0);
}

/* Something happened: the peer has its full time again. With a call in progress and nothing unsent it is we who are
 * waited for, and there is no hurry. */
static void rest_timer(struct connection *connection)
{
    if (!connection->turn_asked)
        set_timer(connection, connection->call && !connection->out.length ? -1 : IDLE_MS);
}

static void accept_more(struct control_server *server, bool on)
{
    server->accepting = on;
    server->loop->watch_update(server->loop, server->watch, on ? LOOP_READ : 0);
}

static void connection_close(struct connection *connection)
{
    struct control_server *server = connection->server;
    server->loop->watch_remove(server->loop, connection->watch);
    server->loop->timer_remove(server->loop, connection->timer);
    close(connection->fd);
    buffer_clear(&connection->in);
    buffer_clear(&connection->out);
    if (connection->previous)
        connection->previous->following = connection->following;
    else
        server->connections = connection->following;
    if (connection->following)
        connection->following->previous = connection->previous;
    server->count--;
    struct control_call *call = connection->call;
    free(connection);
    if (!server->accepting)
        accept_more(server, true);
    if (call) {
        if (call->cancelled)
            call->cancelled(call->context);
        free(call);
    }
}

static void send_output(struct connection *connection)
{
    size_t sent = 0;
    while (sent < connection->out.length && !connection->broken) {
        ssize_t count =
            send(connection->fd, connection->out.data + sent, connection->out.length - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count >= 0)
            sent += (size_t)count;
        else if (errno == EAGAIN)
            break;
        else if (errno != EINTR)
            connection->broken = true;
    }
    if (!sent)
        return;
    if (sent == connection->out.length)
        buffer_clear(&connection->out);
    else
        buffer_consume(&connection->out, sent);
    rest_timer(connection);
}

static void complain_malformed(struct connection *connection, const char *reason)
{
    char more[48];
    if (may_complain(&connection->server->malformed, more, sizeof more))
        log_warning("control: closing the connection of process %ld: %s%s", (long)connection->peer, reason, more);
    connection->broken = true;
}

/* Reads one chunk, or with TO_THE_END (the peer is gone and sends no more) up to the end of the next message. */
static void receive_input(struct connection *connection, bool to_the_end)
{
    char chunk[READ_CHUNK];
    const char *text;
    size_t length;
    do {
        /* One whole message waiting is enough: it bounds the buffer to a message and a chunk. */
        enum control_frame_result have =
            control_frame_next(&connection->frame, &connection->in, true, &text, &length);
        if (connection->ended || have != CONTROL_FRAME_NONE)
            return;
        ssize_t count = recv(connection->fd, chunk, sizeof chunk, MSG_DONTWAIT);
        if (count == 0 || (count < 0 && errno == EAGAIN && to_the_end))
            connection->ended = true;
        else if (count < 0 && errno != EAGAIN && errno != EINTR)
            connection->broken = true;
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return;
        bool kept = buffer_append(&connection->in, chunk, (size_t)count);
        explicit_bzero(chunk, (size_t)count);
        if (!kept) {
            complain_malformed(connection, "no memory for its message");
            return;
        }
    } while (to_the_end);
}

/* --- calls --- */

static void run_method(struct control_server *server, struct control_call *call, struct control_request *request)
{
    char *dot = strrchr(request->method, '.');
    *dot = '\0';
    const char *method = dot + 1;
    if (!strcmp(request->method, CONTROL_SERVICE_INTERFACE)) {
        control_service_run(call, method, request->parameters);
        return;
    }
    struct json_object *unknown = json_object_new_object();
    if (strcmp(request->method, CONTROL_INTERFACE) != 0) {
        json_put_string(unknown, "interface", request->method);
        control_error(call, CONTROL_SERVICE_INTERFACE ".InterfaceNotFound", unknown);
        return;
    }
    for (const struct control_method *known = server->methods; known->name; known++) {
        if (!strcmp(known->name, method)) {
            json_object_put(unknown);
            /* What is passed over is not done: one key would be revoked as it is not meant, or all in place of one. */
            const char *surplus = control_service_surplus(method, request->parameters);
            if (surplus)
                control_invalid_parameter(call, surplus);
            else
                known->run(server->context, call, request->parameters);
            return;
        }
    }
    json_put_string(unknown, "method", method);
    control_error(call, CONTROL_SERVICE_INTERFACE ".MethodNotFound", unknown);
}

static void begin_call(struct connection *connection, struct control_request *request)
{
    struct control_server *server = connection->server;
    struct control_call *call = calloc(1, sizeof *call);
    if (!call) {
        complain_malformed(connection, "no memory for its call");
        return;
    }
    call->server = server;
    if (request->oneway) {
        call->following = server->oneways;
        if (call->following)
            call->following->previous = call;
        server->oneways = call;
    } else {
        call->connection = connection;
        call->more = request->more;
        connection->call = call;
    }
    if (request->upgrade)
        control_invalid_parameter(call, "upgrade");
    else
        run_method(server, call, request);
}

static void begin_calls(struct connection *connection)
{
    const char *text;
    size_t length;
    connection->dispatching = true;
    while (!connection->broken && !connection->call && connection->out.length <= OUTPUT_PAUSE) {
        enum control_frame_result result =
            control_frame_next(&connection->frame, &connection->in, false, &text, &length);
        if (result == CONTROL_FRAME_TOO_LONG)
            complain_malformed(connection, "its message is longer than 16 MiB");
        if (result != CONTROL_FRAME_MESSAGE)
            break;
        struct error err = ERROR_INIT;
        struct control_request request;
        if (!control_request_decode(text, length, &request, &err)) {
            complain_malformed(connection, err.text);
            break;
        }
        begin_call(connection, &request);
        control_request_clear(&request);
        rest_timer(connection);
    }
    connection->dispatching = false;
    control_frame_compact(&connection->frame, &connection->in);
}

/* All that can be done now; afterwards CONNECTION may be gone. */
static void take_turn(struct connection *connection)
{
    const char *text;
    size_t length;
    size_t unsent;
    do {
        begin_calls(connection);
        send_output(connection);
        unsent = connection->out.length;
        /* Output was above the bound and has drained: more calls may begin. */
    } while (!connection->broken && !connection->call && unsent <= OUTPUT_PAUSE &&
             control_frame_next(&connection->frame, &connection->in, true, &text, &length) == CONTROL_FRAME_MESSAGE);
    if (connection->broken || (connection->ended && !connection->call && !unsent)) {
        connection_close(connection);
        return;
    }
    bool waiting = control_frame_next(&connection->frame, &connection->in, true, &text, &length) != CONTROL_FRAME_NONE;
    watch_for(connection, LOOP_HANGUP | (connection->ended || waiting ? 0 : LOOP_READ) | (unsent ? LOOP_WRITE : 0));
}

/* What was sent before the peer went away counts: a hook that was killed while it waited has still told us something. */
static void take_last_turn(struct connection *connection)
{
    while (!connection->ended && !connection->broken && !connection->call) {
        receive_input(connection, true);
        begin_calls(connection);
        buffer_clear(&connection->out);
    }
    connection_close(connection);
}

static void on_ready(void *context, int fd, unsigned events)
{
    (void)fd;
    struct connection *connection = context;
    if (events & (LOOP_HANGUP | LOOP_ERROR)) {
        take_last_turn(connection);
        return;
    }
    if (events & LOOP_READ)
        receive_input(connection, false);
    take_turn(connection);
}

static void on_timer(void *context)
{
    struct connection *connection = context;
    if (connection->turn_asked) {
        connection->turn_asked = false;
        rest_timer(connection);
        take_turn(connection);
        return;
    }
    if (connection->out.length)
        log_warning("control: process %ld has not read its reply for %d s: closing its connection",
                    (long)connection->peer, IDLE_MS / 1000);
    connection_close(connection);
}

/* --- what methods answer with --- */

bool control_call_more(const struct control_call *call)
{
    return call->more;
}

void control_call_on_cancel(struct control_call *call, void (*cancelled)(void *context), void *context)
{
    call->cancelled = cancelled;
    call->context = context;
}

static void put_message(struct connection *connection, const char *error, bool continues,
                        struct json_object *parameters)
{
    struct json_object *message = json_object_new_object();
    if (error)
        json_put_string(message, "error", error);
    if (continues)
        json_put_boolean(message, "continues", true);
    json_put(message, "parameters", parameters ? parameters : json_object_new_object());
    struct error err = ERROR_INIT;
    bool fits = control_encode(message, &connection->out, &err);
    json_object_put(message);
    if (fits)
        return;
    if (!continues && connection->out.length <= OUTPUT_PAUSE) {
        struct json_object *reason = json_object_new_object();
        json_put_string(reason, "reason", err.text);
        message = json_object_new_object();
        json_put_string(message, "error", CONTROL_INTERFACE ".Failed");
        json_put(message, "parameters", reason);
        fits = control_encode(message, &connection->out, &err);
        json_object_put(message);
    }
    if (!fits) {
        log_warning("control: closing the connection of process %ld: %s", (long)connection->peer, err.text);
        connection->broken = true;
    }
}

static void send_message(struct control_call *call, const char *error, bool continues, struct json_object *parameters)
{
    struct connection *connection = call->connection;
    if (!connection) {
        json_object_put(parameters);
        return;
    }
    put_message(connection, error, continues, parameters);
    if (!connection->dispatching) {
        send_output(connection);
        ask_turn(connection);
    }
}

static void end_call(struct control_call *call)
{
    if (call->connection) {
        call->connection->call = NULL;
    } else {
        if (call->previous)
            call->previous->following = call->following;
        else
            call->server->oneways = call->following;
        if (call->following)
            call->following->previous = call->previous;
    }
    free(call);
}

void control_continue(struct control_call *call, struct json_object *parameters)
{
    if (call->more)
        send_message(call, NULL, true, parameters);
    else
        json_object_put(parameters);
}

void control_reply(struct control_call *call, struct json_object *parameters)
{
    send_message(call, NULL, false, parameters);
    end_call(call);
}

void control_error(struct control_call *call, const char *name, struct json_object *parameters)
{
    char full[CONTROL_METHOD_SIZE];
    snprintf(full, sizeof full, "%s%s", strchr(name, '.') ? "" : CONTROL_INTERFACE ".", name);
    send_message(call, full, false, parameters);
    end_call(call);
}

void control_invalid_parameter(struct control_call *call, const char *name)
{
    struct json_object *parameters = json_object_new_object();
    json_put_string(parameters, "parameter", name);
    control_error(call, CONTROL_SERVICE_INTERFACE ".InvalidParameter", parameters);
}

/* --- accepting --- */

/* Whoever is not let in learns why; the message is far shorter than any socket's buffer. */
static void refuse(struct control_server *server, int fd, uid_t uid)
{
    static const char message[] =
        "{\"error\":\"" CONTROL_INTERFACE ".NotPermitted\",\"parameters\":{\"reason\":"
        "\"only root and the daemon's own user may talk to llmhookd\"}}";
    ssize_t ignored = send(fd, message, sizeof message, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)ignored;
    close(fd);
    char more[48];
    if (may_complain(&server->refused, more, sizeof more))
        log_warning("control: refused a connection of uid %lu%s", (unsigned long)uid, more);
}

static bool connection_open(struct control_server *server, int fd, pid_t peer)
{
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection)
        return false;
    struct loop *loop = server->loop;
    connection->server = server;
    connection->fd = fd;
    connection->peer = peer;
    connection->in.maximum = CONTROL_MESSAGE_MAX + READ_CHUNK + 1;
    connection->out.maximum = OUTPUT_MAX;
    connection->watched = LOOP_READ | LOOP_HANGUP;
    connection->timer = loop->timer(loop, on_timer, connection);
    connection->watch = connection->timer < 0 ? -1 : loop->watch(loop, fd, connection->watched, on_ready, connection);
    if (connection->watch < 0) {
        if (connection->timer >= 0)
            loop->timer_remove(loop, connection->timer);
        free(connection);
        return false;
    }
    connection->following = server->connections;
    if (connection->following)
        connection->following->previous = connection;
    server->connections = connection;
    server->count++;
    rest_timer(connection);
    return true;
}

/* Stops accepting until a connection closes or a second has passed: the next in the queue waits instead of spinning. */
static void pause_accepting(struct control_server *server, const char *reason)
{
    char more[48];
    if (may_complain(&server->crowded, more, sizeof more))
        log_warning("control: accepting no connection for a moment: %s%s", reason, more);
    accept_more(server, false);
    server->loop->timer_set(server->loop, server->accept_timer, ACCEPT_AGAIN_MS);
}

static void on_connection(void *context, int listening, unsigned events)
{
    (void)events;
    struct control_server *server = context;
    if (server->count >= CONTROL_CONNECTIONS_MAX) {
        pause_accepting(server, "there are too many");
        return;
    }
    int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
            pause_accepting(server, strerror(errno));
        return;
    }
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
        close(fd);
    else if (peer.uid != 0 && peer.uid != geteuid())
        refuse(server, fd, peer.uid);
    else if (!connection_open(server, fd, peer.pid)) {
        close(fd);
        pause_accepting(server, "out of memory");
    }
}

static void on_accept_timer(void *context)
{
    struct control_server *server = context;
    if (!server->accepting)
        accept_more(server, true);
}

bool control_server_new(struct loop *loop, const char *path, const struct control_method *methods, void *context,
                        struct control_server **ret_server, struct error *err)
{
    struct control_server *server = calloc(1, sizeof *server);
    if (!server)
        return error_set(err, ERROR_IO, "out of memory");
    server->loop = loop;
    server->methods = methods;
    server->context = context;
    server->accepting = true;
    if (!control_listen(path, &server->listener, err)) {
        free(server);
        return false;
    }
    server->accept_timer = loop->timer(loop, on_accept_timer, server);
    server->watch =
        server->accept_timer < 0 ? -1 : loop->watch(loop, server->listener.fd, LOOP_READ, on_connection, server);
    if (server->watch < 0) {
        if (server->accept_timer >= 0)
            loop->timer_remove(loop, server->accept_timer);
        control_listener_close(&server->listener);
        free(server);
        return error_set(err, ERROR_IO, "the event loop takes no more");
    }
    *ret_server = server;
    return true;
}

void control_server_free(struct control_server *server)
{
    if (!server)
        return;
    while (server->connections)
        connection_close(server->connections);
    while (server->oneways) {
        struct control_call *call = server->oneways;
        if (call->cancelled)
            call->cancelled(call->context);
        end_call(call);
    }
    server->loop->watch_remove(server->loop, server->watch);
    server->loop->timer_remove(server->loop, server->accept_timer);
    control_listener_close(&server->listener);
    free(server);
}
