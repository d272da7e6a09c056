/* Handles are indices into tables that only grow; an entry without a callback is free. Callbacks may add and remove
 * entries, so nothing is kept across a call but an index. */
#include "base/poll-loop.h"

#include "base/clock.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct watch {
    int fd;
    unsigned events;
    uint64_t birth; /* an fd and a slot can both be used anew within one turn */
    loop_fd_fn *callback;
    void *context;
};

struct timer {
    int64_t due; /* clock_monotonic_ms(), -1: disarmed */
    loop_timer_fn *callback;
    void *context;
};

struct posted {
    struct posted *next;
    loop_timer_fn *callback;
    void *context;
};

struct poll_loop {
    struct loop base; /* first: struct loop * is struct poll_loop * */
    struct watch *watches;
    size_t watches_count;
    struct timer *timers;
    size_t timers_count;
    uint64_t births;
    int wake; /* eventfd */
    pthread_mutex_t lock; /* guards what follows */
    struct posted *first, **last;
};

static struct poll_loop *of(struct loop *loop)
{
    return (struct poll_loop *)loop;
}

static int watch(struct loop *loop, int fd, unsigned events, loop_fd_fn *callback, void *context)
{
    struct poll_loop *self = of(loop);
    size_t at = 0;
    while (at < self->watches_count && self->watches[at].callback)
        at++;
    if (at == self->watches_count) {
        struct watch *more = realloc(self->watches, (at + 1) * sizeof *more);
        if (!more)
            return -1;
        self->watches = more;
        self->watches_count++;
    }
    self->watches[at] = (struct watch){fd, events, ++self->births, callback, context};
    return (int)at;
}

static void watch_update(struct loop *loop, int handle, unsigned events)
{
    of(loop)->watches[handle].events = events;
}

static void watch_remove(struct loop *loop, int handle)
{
    of(loop)->watches[handle].callback = NULL;
}

static int timer(struct loop *loop, loop_timer_fn *callback, void *context)
{
    struct poll_loop *self = of(loop);
    size_t at = 0;
    while (at < self->timers_count && self->timers[at].callback)
        at++;
    if (at == self->timers_count) {
        struct timer *more = realloc(self->timers, (at + 1) * sizeof *more);
        if (!more)
            return -1;
        self->timers = more;
        self->timers_count++;
    }
    self->timers[at] = (struct timer){-1, callback, context};
    return (int)at;
}

static void timer_set(struct loop *loop, int handle, int64_t delay_ms)
{
    of(loop)->timers[handle].due = delay_ms < 0 ? -1 : clock_monotonic_ms() + delay_ms;
}

static void timer_remove(struct loop *loop, int handle)
{
    of(loop)->timers[handle] = (struct timer){-1, NULL, NULL};
}

static void post(struct loop *loop, loop_timer_fn *callback, void *context)
{
    struct poll_loop *self = of(loop);
    struct posted *posted = malloc(sizeof *posted);
    if (!posted)
        abort();
    *posted = (struct posted){NULL, callback, context};
    pthread_mutex_lock(&self->lock);
    *self->last = posted;
    self->last = &posted->next;
    pthread_mutex_unlock(&self->lock);
    eventfd_write(self->wake, 1);
}

static void run_posted(struct poll_loop *self)
{
    pthread_mutex_lock(&self->lock);
    struct posted *posted = self->first;
    self->first = NULL;
    self->last = &self->first;
    pthread_mutex_unlock(&self->lock);
    while (posted) {
        struct posted *next = posted->next;
        posted->callback(posted->context);
        free(posted);
        posted = next;
    }
}

static void on_wake(void *context, int fd, unsigned events)
{
    eventfd_t count;
    (void)events;
    eventfd_read(fd, &count);
    run_posted(context);
}

struct poll_loop *poll_loop_new(void)
{
    struct poll_loop *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->base = (struct loop){watch, watch_update, watch_remove, timer, timer_set, timer_remove, post};
    self->last = &self->first;
    pthread_mutex_init(&self->lock, NULL);
    self->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (self->wake < 0 || watch(&self->base, self->wake, LOOP_READ, on_wake, self) < 0) {
        poll_loop_free(self);
        return NULL;
    }
    return self;
}

void poll_loop_free(struct poll_loop *self)
{
    while (self->first) {
        struct posted *next = self->first->next;
        free(self->first);
        self->first = next;
    }
    if (self->wake >= 0)
        close(self->wake);
    pthread_mutex_destroy(&self->lock);
    free(self->watches);
    free(self->timers);
    free(self);
}

struct loop *poll_loop_base(struct poll_loop *self)
{
    return &self->base;
}

static int64_t until_next_timer(const struct poll_loop *self, int64_t wait)
{
    int64_t now = clock_monotonic_ms();
    for (size_t i = 0; i < self->timers_count; i++) {
        const struct timer *at = &self->timers[i];
        if (at->callback && at->due >= 0 && at->due - now < wait)
            wait = at->due > now ? at->due - now : 0;
    }
    return wait;
}

static unsigned events_of(short revents)
{
    return (revents & POLLIN ? LOOP_READ : 0u) | (revents & POLLOUT ? LOOP_WRITE : 0u) |
           (revents & POLLHUP ? LOOP_HANGUP : 0u) | (revents & (POLLERR | POLLNVAL) ? LOOP_ERROR : 0u);
}

void poll_loop_turn(struct poll_loop *self, int64_t max_wait_ms)
{
    size_t count = self->watches_count;
    struct pollfd *fds = calloc(count, sizeof *fds);
    uint64_t *births = calloc(count, sizeof *births);
    if (!fds || !births)
        abort();
    for (size_t i = 0; i < count; i++) {
        const struct watch *at = &self->watches[i];
        short events = (short)((at->events & LOOP_READ ? POLLIN : 0) | (at->events & LOOP_WRITE ? POLLOUT : 0));
        fds[i] = (struct pollfd){.fd = at->callback ? at->fd : -1, .events = events};
        births[i] = at->birth;
    }
    int ready = poll(fds, count, (int)until_next_timer(self, max_wait_ms));
    for (size_t i = 0; ready > 0 && i < count; i++) {
        struct watch at = self->watches[i];
        if (fds[i].revents && at.callback && at.birth == births[i])
            at.callback(at.context, at.fd, events_of(fds[i].revents));
    }
    free(fds);
    free(births);
    int64_t now = clock_monotonic_ms();
    for (size_t i = 0; i < self->timers_count; i++) {
        struct timer at = self->timers[i];
        if (!at.callback || at.due < 0 || at.due > now)
            continue;
        self->timers[i].due = -1;
        at.callback(at.context);
    }
}

bool poll_loop_until(struct poll_loop *self, const bool *flag, int64_t deadline_ms)
{
    int64_t end = clock_monotonic_ms() + deadline_ms, left;
    while (!*flag && (left = end - clock_monotonic_ms()) > 0)
        poll_loop_turn(self, left);
    return *flag;
}

unsigned poll_loop_watches(const struct poll_loop *self)
{
    unsigned count = 0;
    for (size_t i = 0; i < self->watches_count; i++)
        count += self->watches[i].callback != NULL && self->watches[i].fd != self->wake;
    return count;
}

unsigned poll_loop_armed(const struct poll_loop *self)
{
    unsigned count = 0;
    for (size_t i = 0; i < self->timers_count; i++)
        count += self->timers[i].callback != NULL && self->timers[i].due >= 0;
    return count;
}
