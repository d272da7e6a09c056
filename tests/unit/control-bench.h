/* A control server with methods made for testing, on a loop of poll(2), and a peer that speaks to it byte by byte
 * without any of the project's code. The timers' clock can be pushed forward: a minute passes in no time. */
#ifndef LLMHOOK_TESTS_UNIT_CONTROL_BENCH_H
#define LLMHOOK_TESTS_UNIT_CONTROL_BENCH_H

#include "check.h"
#include "poll-loop.h"

#include "control/control.h"

#include <sys/un.h>

enum { LIMIT_MS = 20 * 1000, NOBODY = 65534 };

struct bench {
    struct loop table; /* what the server gets: POLLER's watches, and timers of our own. First: it is cast back */
    struct poll_loop *poller;
    struct bench_timer *timers;
    int timers_count;
    int64_t ahead; /* milliseconds by which the timers' clock is before the real one */
    struct control_server *server;
    char directory[64];
    char path[96];
    struct control_call *parked; /* the last call that Park or Flood kept */
    int parks, cancels, marks;
    int echoes;
};

extern const struct control_method bench_methods[];

/* cmocka's fixtures. The teardown fails when the server leaves a watch, a timer or a file behind. */
int bench_setup(void **state);
int bench_teardown(void **state);
#define on_bench(function) cmocka_unit_test_setup_teardown(function, bench_setup, bench_teardown)

/* Waits at most WAIT_MS for something to happen, and runs its callbacks. */
void bench_turn(struct bench *bench, int wait_ms);
/* Turns until all that is there already has been dealt with. For what is on its way, use bench_until(). */
void bench_drain(struct bench *bench);
/* Turns until DONE says so; false when LIMIT_MS have passed. */
bool bench_until(struct bench *bench, bool (*done)(void *context), void *context);
/* For bench_until(): has a call been cancelled? CONTEXT: the bench. */
bool bench_was_cancelled(void *context);
/* Lets MS milliseconds pass for the server's timers. */
void bench_advance(struct bench *bench, int64_t ms);

/* --- the peer --- */
void peer_address(struct sockaddr_un *address, const char *path);
int peer_open(const char *path);
/* Binds PATH, without the server's code. */
int peer_listen(const char *path, bool listening);
/* Sends LENGTH bytes while the server keeps turning; false when the server closed the connection. */
bool peer_send(struct bench *bench, int fd, const char *bytes, size_t length);
/* Sends MESSAGE and its NUL. */
void peer_say(struct bench *bench, int fd, const char *message);
/* The next message, or NULL at the end of the connection. Owner: the caller. */
char *peer_hear(struct bench *bench, int fd);
void check_heard(struct bench *bench, int fd, const char *wanted);
void check_silent(struct bench *bench, int fd);
/* Waits for the end of the connection, and closes FD. */
void check_closed(struct bench *bench, int fd);

/* Standard error goes to a file meanwhile. */
struct listening {
    int saved, file;
};

struct listening log_capture(void);
/* Ends it, and puts what was written into TEXT. */
void log_captured(struct listening listening, char *text, size_t size);

#endif
