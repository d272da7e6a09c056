/*
 * A request is served on the listener's epoll thread. One that has to wait (latency, hang) is
 * suspended and put into `waiting`, ordered by the time it is due; the clock thread or a release
 * takes it out, and whoever takes it out finishes it. So every waiting request has one owner.
 */
#include "server.h"

#include "clock.h"
#include "faults.h"
#include "http.h"
#include "provider.h"
#include "traffic.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

struct waiting {
    struct exchange *exchange;
    struct fault fault;
    int64_t seq;
    int64_t due; /* monotonic milliseconds, INT64_MAX = until released */
    TAILQ_ENTRY(waiting) next;
};

TAILQ_HEAD(waiting_list, waiting);

struct server {
    struct store *store;
    struct http_handler handler;
    struct sockaddr_in address;
    int reserved; /* bound, never listening: keeps the port ours while nobody listens */

    pthread_mutex_t listener_lock; /* http: one change at a time */
    struct http *http;

    pthread_mutex_t lock; /* all below */
    pthread_cond_t changed;
    struct waiting_list waiting;
    int ending;    /* threads that finish waits they took out of the list */
    bool closing;  /* connections are being closed: nothing may begin to wait */
    bool stopping; /* the clock thread is to end */
    pthread_t clock;
};

static void finish(struct exchange *exchange, int64_t seq)
{
    snprintf(exchange->answer.request_id, sizeof(exchange->answer.request_id), "req_%016" PRIx64, seq);
    traffic_end(seq, exchange->answer.status, exchange->answer.size);
}

/* Ends the wait of one that was taken out of the list. */
static void end_wait(struct server *server, struct waiting *waiting, bool may_answer)
{
    struct exchange *exchange = waiting->exchange;

    if (waiting->fault.execute == EXECUTE_AFTER)
        provider_answer(server->store, &exchange->request, &exchange->answer);
    if (may_answer && exchange->answer.status != 0) {
        finish(exchange, waiting->seq);
        http_resume(exchange, HTTP_ANSWER);
    } else {
        traffic_end(waiting->seq, 0, 0);
        http_resume(exchange, HTTP_CLOSE);
    }
    fault_clear(&waiting->fault);
    free(waiting);
}

/* The server is locked before and after, not meanwhile. */
static void end_waits(struct server *server, struct waiting_list *list, bool may_answer)
{
    struct waiting *waiting;

    server->ending++;
    pthread_mutex_unlock(&server->lock);
    while ((waiting = TAILQ_FIRST(list)) != NULL) {
        TAILQ_REMOVE(list, waiting, next);
        end_wait(server, waiting, may_answer);
    }
    pthread_mutex_lock(&server->lock);
    server->ending--;
    pthread_cond_broadcast(&server->changed);
}

static void *clock_thread(void *cls)
{
    struct server *server = cls;
    struct waiting_list due;
    struct waiting *first;

    TAILQ_INIT(&due);
    pthread_mutex_lock(&server->lock);
    while (!server->stopping) {
        first = TAILQ_FIRST(&server->waiting);
        if (first == NULL || first->due == INT64_MAX) {
            pthread_cond_wait(&server->changed, &server->lock);
        } else if (first->due > mono_ms()) {
            struct timespec until = {.tv_sec = first->due / 1000,
                                     .tv_nsec = first->due % 1000 * 1000000};

            pthread_cond_timedwait(&server->changed, &server->lock, &until);
        } else {
            TAILQ_REMOVE(&server->waiting, first, next);
            TAILQ_INSERT_TAIL(&due, first, next);
            end_waits(server, &due, true);
        }
    }
    pthread_mutex_unlock(&server->lock);
    return NULL;
}

static enum http_next begin_wait(struct server *server, struct exchange *exchange,
                                 struct fault *fault, int64_t seq)
{
    struct waiting *waiting = calloc(1, sizeof(*waiting));
    struct waiting *before;

    if (waiting == NULL)
        abort();
    waiting->exchange = exchange;
    waiting->fault = *fault;
    waiting->seq = seq;
    /* one more, because the clock's reading is cut to whole milliseconds: never too early */
    waiting->due = fault->mode == FAULT_HANG ? INT64_MAX : mono_ms() + fault->delay_ms + 1;
    pthread_mutex_lock(&server->lock);
    if (server->closing) {
        pthread_mutex_unlock(&server->lock);
        free(waiting);
        fault_clear(fault);
        traffic_end(seq, 0, 0);
        return HTTP_CLOSE;
    }
    http_suspend(exchange);
    /* Equal delays are due in the order they come, so the search from the end is short. */
    TAILQ_FOREACH_REVERSE(before, &server->waiting, waiting_list, next) {
        if (before->due <= waiting->due)
            break;
    }
    if (before != NULL)
        TAILQ_INSERT_AFTER(&server->waiting, before, waiting, next);
    else
        TAILQ_INSERT_HEAD(&server->waiting, waiting, next);
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
    return HTTP_WAIT;
}

/* The answer that the provider gave, or none, turned into what the fault wants to be sent. */
static void spoil(struct exchange *exchange, const struct fault *fault)
{
    struct answer *answer = &exchange->answer;

    switch (fault->mode) {
    case FAULT_STATUS:
        answer_clear(answer);
        if (fault->body != NULL)
            answer_text(answer, fault->status, fault->body);
        else
            provider_error(exchange->request.path, answer, fault->status, fault->type, fault->code,
                           fault->message);
        break;
    case FAULT_REDIRECT:
        answer_text(answer, 302, "");
        answer->location = strdup(fault->location);
        break;
    case FAULT_GARBAGE:
        if (fault->body != NULL) {
            answer_text(answer, answer->status, fault->body);
        } else {
            answer->size /= 2;
            answer->body[answer->size] = '\0';
        }
        break;
    case FAULT_HUGE:
        if (answer->status == 0)
            answer->status = 200;
        answer->endless = true;
        break;
    default:
        break;
    }
    answer->retry_after = fault->retry_after;
    answer->retry_after_ms = fault->retry_after_ms;
    answer->should_retry = fault->should_retry;
}

static enum http_next serve_faulty(struct server *server, struct exchange *exchange,
                                   struct fault *fault, int64_t seq)
{
    struct answer second;

    if (fault->execute == EXECUTE_BEFORE)
        provider_answer(server->store, &exchange->request, &exchange->answer);
    if (fault->mode == FAULT_DUPLICATE) {
        answer_init(&second);
        provider_answer(server->store, &exchange->request, &second);
        answer_clear(&second);
    }
    if (fault->mode == FAULT_LATENCY || fault->mode == FAULT_HANG)
        return begin_wait(server, exchange, fault, seq);
    if (fault->mode == FAULT_DROP_BEFORE || fault->mode == FAULT_DROP_AFTER) {
        traffic_end(seq, 0, 0);
        fault_clear(fault);
        return HTTP_CLOSE;
    }
    spoil(exchange, fault);
    finish(exchange, seq);
    fault_clear(fault);
    return HTTP_ANSWER;
}

static enum http_next serve(struct exchange *exchange, void *context)
{
    const struct request *request = &exchange->request;
    struct server *server = context;
    struct fault fault;
    bool faulty = faults_take(request, &fault);
    int64_t seq = traffic_begin(request->method, provider_pattern(request), request->path,
                                faulty ? fault_name(fault.mode) : NULL, request->body_size);

    if (faulty)
        return serve_faulty(server, exchange, &fault, seq);
    provider_answer(server->store, request, &exchange->answer);
    finish(exchange, seq);
    return HTTP_ANSWER;
}

/* A socket bound to the address; SO_REUSEADDR lets two be bound as long as one listens at most. */
static int bound_socket(const struct sockaddr_in *address)
{
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
        bind(fd, (const struct sockaddr *)address, sizeof(*address)) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool open_listener(struct server *server)
{
    int fd = bound_socket(&server->address);

    if (fd < 0)
        return false;
    if (listen(fd, SOMAXCONN) != 0) {
        close(fd);
        return false;
    }
    server->http = http_start(fd, &server->handler);
    if (server->http == NULL)
        close(fd);
    return server->http != NULL;
}

/* Everything that waits is dropped first: a suspended connection cannot be closed. */
static void close_listener(struct server *server)
{
    struct waiting_list dropped;

    TAILQ_INIT(&dropped);
    pthread_mutex_lock(&server->lock);
    server->closing = true;
    TAILQ_CONCAT(&dropped, &server->waiting, next);
    end_waits(server, &dropped, false);
    while (server->ending > 0)
        pthread_cond_wait(&server->changed, &server->lock);
    pthread_mutex_unlock(&server->lock);
    http_stop(server->http);
    server->http = NULL;
    pthread_mutex_lock(&server->lock);
    server->closing = false;
    pthread_mutex_unlock(&server->lock);
}

bool server_listen(struct server *server, bool listening)
{
    bool done = true;

    pthread_mutex_lock(&server->listener_lock);
    if (listening && server->http == NULL)
        done = open_listener(server);
    else if (!listening && server->http != NULL)
        close_listener(server);
    pthread_mutex_unlock(&server->listener_lock);
    return done;
}

bool server_listening(struct server *server)
{
    bool listening;

    pthread_mutex_lock(&server->listener_lock);
    listening = server->http != NULL;
    pthread_mutex_unlock(&server->listener_lock);
    return listening;
}

int64_t server_release(struct server *server, int64_t fault_id)
{
    struct waiting *waiting, *following;
    struct waiting_list released;
    int64_t count = 0;

    TAILQ_INIT(&released);
    pthread_mutex_lock(&server->lock);
    for (waiting = TAILQ_FIRST(&server->waiting); waiting != NULL; waiting = following) {
        following = TAILQ_NEXT(waiting, next);
        if (waiting->due != INT64_MAX || (fault_id != 0 && waiting->fault.id != fault_id))
            continue;
        TAILQ_REMOVE(&server->waiting, waiting, next);
        TAILQ_INSERT_TAIL(&released, waiting, next);
        count++;
    }
    end_waits(server, &released, true);
    pthread_mutex_unlock(&server->lock);
    return count;
}

static bool parse_address(const char *text, struct sockaddr_in *address)
{
    const char *colon = strrchr(text, ':');
    char host[64], *end;
    unsigned long port;

    memset(address, 0, sizeof(*address));
    address->sin_family = AF_INET;
    if (colon == NULL || (size_t)(colon - text) >= sizeof(host))
        return false;
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    port = strtoul(colon + 1, &end, 10);
    if (colon[1] == '\0' || *end != '\0' || port > 65535)
        return false;
    address->sin_port = htons((uint16_t)port);
    return inet_pton(AF_INET, host, &address->sin_addr) == 1;
}

static bool reserve(struct server *server, const char *address)
{
    socklen_t size = sizeof(server->address);

    if (!parse_address(address, &server->address)) {
        fprintf(stderr, "llmhook-sandbox: '%s' is not an IPv4 address and a port\n", address);
        return false;
    }
    server->reserved = bound_socket(&server->address);
    if (server->reserved < 0 ||
        getsockname(server->reserved, (struct sockaddr *)&server->address, &size) != 0) {
        fprintf(stderr, "llmhook-sandbox: cannot bind %s: %s\n", address, strerror(errno));
        return false;
    }
    return true;
}

struct server *server_start(struct store *store, const char *address)
{
    struct server *server = calloc(1, sizeof(*server));
    pthread_condattr_t monotonic;

    if (server == NULL)
        abort();
    server->store = store;
    server->reserved = -1;
    server->handler.serve = serve;
    server->handler.connection = traffic_connection;
    server->handler.context = server;
    TAILQ_INIT(&server->waiting);
    pthread_mutex_init(&server->listener_lock, NULL);
    pthread_mutex_init(&server->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&server->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (!reserve(server, address) || !open_listener(server)) {
        fputs("llmhook-sandbox: cannot listen\n", stderr);
        if (server->reserved >= 0)
            close(server->reserved);
        pthread_cond_destroy(&server->changed);
        pthread_mutex_destroy(&server->lock);
        pthread_mutex_destroy(&server->listener_lock);
        free(server);
        return NULL;
    }
    pthread_create(&server->clock, NULL, clock_thread, server);
    return server;
}

int server_port(const struct server *server)
{
    return ntohs(server->address.sin_port);
}

void server_stop(struct server *server)
{
    server_listen(server, false);
    pthread_mutex_lock(&server->lock);
    server->stopping = true;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
    pthread_join(server->clock, NULL);
    close(server->reserved);
    pthread_cond_destroy(&server->changed);
    pthread_mutex_destroy(&server->lock);
    pthread_mutex_destroy(&server->listener_lock);
    free(server);
}
