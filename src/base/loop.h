/* The event loop as everything but its owner sees it.
 *
 * libvirt has an event loop of its own that must run wherever libvirt's events are wanted; the daemon lets it
 * host everything else as well. Only src/host/ may use libvirt, so sockets, timers and HTTP reach the loop
 * through this table. All callbacks run in the loop's thread. */
#ifndef LLMHOOK_BASE_LOOP_H
#define LLMHOOK_BASE_LOOP_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

enum loop_events { LOOP_READ = 1, LOOP_WRITE = 2, LOOP_HANGUP = 4, LOOP_ERROR = 8 };

typedef void loop_fd_fn(void *context, int fd, unsigned events);
typedef void loop_timer_fn(void *context);

struct loop {
    /* Watches FD for EVENTS. Returns a handle >= 0, or -1. The loop does not own FD. */
    int (*watch)(struct loop *loop, int fd, unsigned events, loop_fd_fn *callback, void *context);
    void (*watch_update)(struct loop *loop, int handle, unsigned events);
    void (*watch_remove)(struct loop *loop, int handle);
    /* A timer, disarmed. Returns a handle >= 0, or -1. */
    int (*timer)(struct loop *loop, loop_timer_fn *callback, void *context);
    /* Fires once in DELAY_MS milliseconds (0: at the next turn), or in a day if that is less; a negative delay disarms. */
    void (*timer_set)(struct loop *loop, int handle, int64_t delay_ms);
    void (*timer_remove)(struct loop *loop, int handle);
    /* From any thread: calls CALLBACK(CONTEXT) once in the loop's thread, in the order of posting. */
    void (*post)(struct loop *loop, loop_timer_fn *callback, void *context);
};

#endif
