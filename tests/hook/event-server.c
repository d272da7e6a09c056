#include "event-server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
    CONNECTIONS_MAX = 64,
    NAG_MAX_MS = 2000,
};

struct connection {
    int fd; /* -1: not in use */
    char *received;
    size_t length;
    size_t capacity;
    const char *script; /* what is left of it; NULL until the message is whole */
    const char *whole_script;
    int64_t paused_until;
};

struct event_server {
    struct sockaddr_un address;
    struct event_behaviour behaviour;
    int listener;
    int filler; /* a connection of our own that fills the queue */
    int stop[2];
    pthread_t thread;
    struct connection connections[CONNECTIONS_MAX];
    size_t accepted;
    size_t heard;
    char *last;
    size_t last_length;
};

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "event-server: %s: %s\n", what, strerror(errno));
    abort();
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void listen_at(struct event_server *server)
{
    const struct sockaddr *address = (const struct sockaddr *)&server->address;
    server->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (server->listener < 0 || bind(server->listener, address, sizeof server->address) < 0
        || listen(server->listener, server->behaviour.deaf == 2 ? 0 : 16) < 0)
        die(server->address.sun_path);
    if (server->behaviour.deaf == 2) {
        server->filler = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (server->filler < 0 || connect(server->filler, address, sizeof server->address) < 0)
            die("fill the queue");
    }
}

static void drop(struct connection *connection)
{
    close(connection->fd);
    free(connection->received);
    *connection = (struct connection){.fd = -1};
}

static void welcome(struct event_server *server)
{
    int fd = accept4(server->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    const char *const *script = server->behaviour.scripts;
    for (size_t i = 0; i < server->accepted && script[0] && script[1]; i++)
        script++;
    server->accepted++;
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        if (server->connections[i].fd < 0) {
            server->connections[i] = (struct connection){.fd = fd, .whole_script = script[0] ? script[0] : ""};
            return;
        }
    }
    die("connections");
}

static void fill(const char *path)
{
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    if (fd < 0 || write(fd, "KEY=x", 5) != 5)
        die(path);
    close(fd);
}

static void keep_message(struct event_server *server, struct connection *connection)
{
    server->heard++;
    if (server->behaviour.fills)
        fill(server->behaviour.fills);
    free(server->last);
    server->last = connection->received;
    server->last_length = connection->length - 1;
    connection->received = NULL;
    connection->length = connection->capacity = 0;
    connection->script = connection->whole_script;
}

static void listen_to(struct event_server *server, struct connection *connection)
{
    if (connection->capacity - connection->length < 65536) {
        connection->capacity = connection->capacity * 2 + 65536;
        connection->received = realloc(connection->received, connection->capacity);
        if (!connection->received)
            die("memory");
    }
    ssize_t count = recv(connection->fd, connection->received + connection->length,
                         connection->capacity - connection->length, 0);
    if (count < 0 && errno == EAGAIN)
        return;
    if (count <= 0) {
        drop(connection);
        return;
    }
    connection->length += (size_t)count;
    if (connection->received[connection->length - 1] == '\0')
        keep_message(server, connection);
}

/* Sends for as long as there is room. */
static void flood(struct connection *connection)
{
    char noise[4096];
    memset(noise, ' ', sizeof noise);
    while (send(connection->fd, noise, sizeof noise, MSG_NOSIGNAL) > 0)
        continue;
    if (errno != EAGAIN)
        drop(connection);
}

/* Without a pause, so that the peer always has something to read; until it goes. */
static void nag(struct connection *connection, const char *text)
{
    size_t length = strlen(text) + 1;
    int64_t until = now_ms() + NAG_MAX_MS;
    while (send(connection->fd, text, length, MSG_NOSIGNAL) > 0 || errno == EAGAIN) {
        if (now_ms() > until)
            break;
    }
    drop(connection);
}

/* Obeys one line. False when there is nothing more to do for now. */
static bool obey_line(struct connection *connection)
{
    const char *line = connection->script;
    size_t length = line ? strcspn(line, "\n") : 0;
    if (length == 0)
        return false;
    if (strncmp(line, "flood", length) == 0) {
        flood(connection);
        return false;
    }
    if (strncmp(line, "nag ", 4) == 0) {
        nag(connection, line + 4);
        return false;
    }
    connection->script = line[length] ? line + length + 1 : "";
    if (strncmp(line, "close", length) == 0) {
        drop(connection);
        return false;
    }
    if (strncmp(line, "pause ", 6) == 0) {
        connection->paused_until = now_ms() + atoi(line + 6);
        return true;
    }
    bool raw = strncmp(line, "raw ", 4) == 0;
    const char *text = raw ? line + 4 : line;
    size_t text_length = raw ? length - 4 : length;
    /* The peer may be gone: that is its business. */
    if (send(connection->fd, text, text_length, MSG_NOSIGNAL) >= 0 && !raw)
        send(connection->fd, "", 1, MSG_NOSIGNAL);
    return true;
}

static int speak(struct event_server *server)
{
    int64_t next = INT64_MAX;
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        struct connection *connection = &server->connections[i];
        while (connection->fd >= 0 && connection->paused_until <= now_ms() && obey_line(connection))
            continue;
        if (connection->fd >= 0 && connection->paused_until > now_ms() && connection->paused_until < next)
            next = connection->paused_until;
    }
    return next == INT64_MAX ? -1 : (int)(next - now_ms() + 1);
}

static void *serve(void *argument)
{
    struct event_server *server = argument;
    struct pollfd stop = {.fd = server->stop[0], .events = POLLIN};
    if (server->behaviour.appears_after_ms > 0) {
        if (poll(&stop, 1, server->behaviour.appears_after_ms) > 0)
            return NULL;
        listen_at(server);
    }
    for (;;) {
        struct pollfd watched[2 + CONNECTIONS_MAX];
        int timeout = speak(server);
        watched[0] = stop;
        watched[1] = (struct pollfd){.fd = server->behaviour.deaf == 2 ? -1 : server->listener, .events = POLLIN};
        for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
            const struct connection *connection = &server->connections[i];
            bool listens = server->behaviour.deaf == 0;
            watched[2 + i] = (struct pollfd){.fd = listens ? connection->fd : -1, .events = POLLIN};
        }
        if (poll(watched, 2 + CONNECTIONS_MAX, timeout) < 0 && errno != EINTR)
            die("poll");
        if (watched[0].revents)
            return NULL;
        for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
            if (watched[2 + i].revents)
                listen_to(server, &server->connections[i]);
        }
        if (watched[1].revents)
            welcome(server);
    }
}

struct event_server *event_server_start(const char *path, const struct event_behaviour *behaviour)
{
    struct event_server *server = calloc(1, sizeof *server);
    if (!server)
        die("memory");
    server->behaviour = *behaviour;
    server->listener = server->filler = -1;
    server->address.sun_family = AF_UNIX;
    for (size_t i = 0; i < CONNECTIONS_MAX; i++)
        server->connections[i].fd = -1;
    if ((size_t)snprintf(server->address.sun_path, sizeof server->address.sun_path, "%s", path)
            >= sizeof server->address.sun_path
        || pipe2(server->stop, O_CLOEXEC) < 0)
        die(path);
    if (behaviour->appears_after_ms == 0)
        listen_at(server);
    errno = pthread_create(&server->thread, NULL, serve, server);
    if (errno)
        die("thread");
    return server;
}

void event_server_stop(struct event_server *server)
{
    if (write(server->stop[1], "", 1) < 0 || pthread_join(server->thread, NULL))
        die("stop");
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        if (server->connections[i].fd >= 0)
            drop(&server->connections[i]);
    }
    close(server->stop[0]);
    close(server->stop[1]);
    if (server->filler >= 0)
        close(server->filler);
    if (server->listener >= 0) {
        close(server->listener);
        unlink(server->address.sun_path);
    }
}

void event_server_free(struct event_server *server)
{
    free(server->last);
    free(server);
}

size_t event_server_heard(const struct event_server *server)
{
    return server->heard;
}

const char *event_server_last(const struct event_server *server, size_t *ret_length)
{
    *ret_length = server->last_length;
    return server->last ? server->last : "";
}

size_t event_server_connections(const struct event_server *server)
{
    return server->accepted;
}
