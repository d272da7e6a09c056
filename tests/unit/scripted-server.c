#include "scripted-server.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 512, REQUESTS_KEPT = 64 };

struct connection {
    int fd;
    bool hanging;
    char *bytes; /* of a request that is not whole yet; NUL behind it */
    size_t length;
};

struct scripted_server {
    struct script_step *steps;
    size_t steps_count;
    int listener;
    int stop[2]; /* a pipe: closing its writing end ends the thread */
    uint16_t port;
    pthread_t thread;
    struct connection connections[CONNECTIONS_MAX]; /* the thread's own */
    size_t connections_count;
    pthread_mutex_t lock; /* guards what follows */
    unsigned accepted, requests;
    size_t received;
    char *kept[REQUESTS_KEPT];
};

static void forget(struct scripted_server *server, size_t at)
{
    close(server->connections[at].fd);
    free(server->connections[at].bytes);
    server->connections[at] = server->connections[--server->connections_count];
}

static bool send_all(int fd, const char *bytes, size_t length)
{
    while (length) {
        ssize_t count = send(fd, bytes, length, MSG_NOSIGNAL);
        if (count <= 0)
            return false;
        bytes += count;
        length -= (size_t)count;
    }
    return true;
}

/* The length of the whole request at the front of what came, 0 while it is not whole. */
static size_t whole_request(const struct connection *connection)
{
    const char *end = connection->bytes ? strstr(connection->bytes, "\r\n\r\n") : NULL;
    if (!end)
        return 0;
    const char *header = strcasestr(connection->bytes, "\r\nContent-Length:");
    size_t body = header && header < end ? (size_t)strtoul(header + 17, NULL, 10) : 0;
    size_t length = (size_t)(end + 4 - connection->bytes) + body;
    return length <= connection->length ? length : 0;
}

static const struct script_step *take_step(struct scripted_server *server, const char *request, size_t length)
{
    pthread_mutex_lock(&server->lock);
    unsigned index = server->requests++;
    if (index < REQUESTS_KEPT)
        server->kept[index] = strndup(request, length);
    pthread_mutex_unlock(&server->lock);
    return &server->steps[index < server->steps_count ? index : server->steps_count - 1];
}

/* False: the connection is over. */
static bool answer(struct scripted_server *server, struct connection *connection, size_t length)
{
    const struct script_step *step = take_step(server, connection->bytes, length);
    connection->length -= length;
    memmove(connection->bytes, connection->bytes + length, connection->length + 1);
    if (step->bytes && !send_all(connection->fd, step->bytes, strlen(step->bytes)))
        return false;
    static const char filler[4096] = {[0 ... 4095] = 'x'};
    for (size_t sent = 0; sent < step->flood; sent += sizeof filler)
        if (!send_all(connection->fd, filler, sizeof filler))
            return false;
    if (step->then == SCRIPT_RESET) {
        struct linger abort_it = {1, 0};
        setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &abort_it, sizeof abort_it);
    }
    connection->hanging = step->then == SCRIPT_HANG;
    return step->then == SCRIPT_KEEP || step->then == SCRIPT_HANG;
}

static bool receive(struct scripted_server *server, struct connection *connection)
{
    char block[8192];
    ssize_t count = recv(connection->fd, block, sizeof block, 0);
    if (count <= 0)
        return false;
    pthread_mutex_lock(&server->lock);
    server->received += (size_t)count;
    pthread_mutex_unlock(&server->lock);
    connection->bytes = realloc(connection->bytes, connection->length + (size_t)count + 1);
    if (!connection->bytes)
        abort();
    memcpy(connection->bytes + connection->length, block, (size_t)count);
    connection->length += (size_t)count;
    connection->bytes[connection->length] = '\0';
    size_t length;
    while (!connection->hanging && (length = whole_request(connection)))
        if (!answer(server, connection, length))
            return false;
    return true;
}

static void welcome(struct scripted_server *server)
{
    int fd = accept(server->listener, NULL, NULL);
    if (fd < 0)
        return;
    if (server->connections_count == CONNECTIONS_MAX)
        abort();
    server->connections[server->connections_count++] = (struct connection){.fd = fd};
    pthread_mutex_lock(&server->lock);
    server->accepted++;
    pthread_mutex_unlock(&server->lock);
}

static void *serve(void *context)
{
    struct scripted_server *server = context;
    struct pollfd fds[CONNECTIONS_MAX + 2];
    for (;;) {
        size_t count = server->connections_count;
        for (size_t i = 0; i < count; i++)
            fds[i] = (struct pollfd){.fd = server->connections[i].hanging ? -1 : server->connections[i].fd,
                                     .events = POLLIN};
        fds[count] = (struct pollfd){.fd = server->listener, .events = POLLIN};
        fds[count + 1] = (struct pollfd){.fd = server->stop[0], .events = POLLIN};
        if (poll(fds, count + 2, -1) < 0)
            continue;
        if (fds[count + 1].revents)
            return NULL;
        for (size_t i = count; i-- > 0;) /* backwards: forget() moves the last one */
            if (fds[i].revents && !receive(server, &server->connections[i]))
                forget(server, i);
        if (fds[count].revents)
            welcome(server);
    }
}

struct scripted_server *scripted_server_new(const struct script_step *steps, size_t count)
{
    struct scripted_server *server = calloc(1, sizeof *server);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY)};
    socklen_t length = sizeof address;
    if (!server || !(server->steps = calloc(count, sizeof *steps)))
        abort();
    memcpy(server->steps, steps, count * sizeof *steps);
    server->steps_count = count;
    pthread_mutex_init(&server->lock, NULL);
    /* On all addresses, so that a test can see that another than 127.0.0.1 is not used. */
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(server->listener, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(server->listener, CONNECTIONS_MAX) < 0 ||
        getsockname(server->listener, (struct sockaddr *)&address, &length) < 0 || pipe(server->stop) < 0)
        abort();
    server->port = ntohs(address.sin_port);
    if (pthread_create(&server->thread, NULL, serve, server) != 0)
        abort();
    return server;
}

void scripted_server_free(struct scripted_server *server)
{
    close(server->stop[1]);
    pthread_join(server->thread, NULL);
    while (server->connections_count)
        forget(server, 0);
    close(server->listener);
    close(server->stop[0]);
    for (size_t i = 0; i < REQUESTS_KEPT; i++)
        free(server->kept[i]);
    pthread_mutex_destroy(&server->lock);
    free(server->steps);
    free(server);
}

uint16_t scripted_server_port(const struct scripted_server *server)
{
    return server->port;
}

unsigned scripted_server_connections(struct scripted_server *server)
{
    pthread_mutex_lock(&server->lock);
    unsigned count = server->accepted;
    pthread_mutex_unlock(&server->lock);
    return count;
}

unsigned scripted_server_requests(struct scripted_server *server)
{
    pthread_mutex_lock(&server->lock);
    unsigned count = server->requests;
    pthread_mutex_unlock(&server->lock);
    return count;
}

size_t scripted_server_bytes(struct scripted_server *server)
{
    pthread_mutex_lock(&server->lock);
    size_t count = server->received;
    pthread_mutex_unlock(&server->lock);
    return count;
}

const char *scripted_server_request(struct scripted_server *server, unsigned index)
{
    pthread_mutex_lock(&server->lock);
    const char *request = index < REQUESTS_KEPT ? server->kept[index] : NULL;
    pthread_mutex_unlock(&server->lock);
    return request;
}

const char *script_answer(const char *status, const char *headers, const char *body)
{
    static char texts[16][1024];
    static unsigned next;
    char *text = texts[next++ % 16];
    if ((size_t)snprintf(text, sizeof texts[0], "HTTP/1.1 %s Reason\r\n%sContent-Length: %zu\r\n\r\n%s", status, headers,
                         strlen(body), body) >= sizeof texts[0])
        abort();
    return text;
}
