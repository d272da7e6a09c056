/* A daemon for the hook's tests: a real Unix socket, served by poll() in a thread, that says what it is told to. */
#ifndef LLMHOOK_TESTS_HOOK_EVENT_SERVER_H
#define LLMHOOK_TESTS_HOOK_EVENT_SERVER_H

#include <stddef.h>

struct event_server;

/* How it behaves. SCRIPTS holds one script a connection, in order, ends with NULL, and its last one serves all further
 * connections. A script is lines, obeyed once a whole message has come in:
 *     {...}      send this and a NUL
 *     raw TEXT   send this without a NUL
 *     pause MS   wait
 *     flood      send spaces, no NUL, as many as the socket takes
 *     nag {...}  send this and a NUL, over and over, until the hook goes or 2 s have passed; then hang up
 *     close      hang up
 * A script that is used up says nothing more, and does not hang up. */
struct event_behaviour {
    const char *const *scripts;
    int appears_after_ms; /* the socket is not there before */
    const char *fills;    /* a file that is there: "KEY=x" is written into it when a message has come; NULL: none */
    int deaf;             /* 1: accepts, but reads nothing; 2: does not even accept, and its queue is full */
};

/* Listens at PATH when it returns (unless it appears later). Exits the test program when that cannot be done. */
struct event_server *event_server_start(const char *path, const struct event_behaviour *behaviour);

/* Ends the thread and unlinks the socket; the messages stay until event_server_free. */
void event_server_stop(struct event_server *server);
void event_server_free(struct event_server *server);

/* After event_server_stop: whole messages, and the last one of them (without its NUL, but NUL-terminated). */
size_t event_server_heard(const struct event_server *server);
const char *event_server_last(const struct event_server *server, size_t *ret_length);
size_t event_server_connections(const struct event_server *server);

#endif
