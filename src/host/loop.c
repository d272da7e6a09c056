/* struct loop over libvirt's default event implementation. */
#include "host/host.h"

#include "base/cleanup.h"

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* libvirt hands out handle numbers and wants the callback's opaque freed through a callback of its own, after the
 * loop has let go of it; this is that opaque. */
struct registration {
    loop_fd_fn *on_fd;
    loop_timer_fn *on_timer;
    void *context;
    struct loop *loop;
};

struct posted {
    struct posted *next;
    loop_timer_fn *callback;
    void *context;
};

static struct {
    struct loop loop;
    pthread_mutex_t lock;
    struct posted *first, **last;
    int wake;
    bool stop;
} state = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = -1};

static void ignore_libvirt_error(void *context, virErrorPtr error)
{
    (void)context;
    (void)error; /* every caller reads virGetLastError() itself */
}

static int to_libvirt(unsigned events)
{
    return ((events & LOOP_READ) ? VIR_EVENT_HANDLE_READABLE : 0) |
           ((events & LOOP_WRITE) ? VIR_EVENT_HANDLE_WRITABLE : 0);
}

static void on_handle(int watch, int fd, int events, void *opaque)
{
    struct registration *registration = opaque;
    (void)watch;
    unsigned ours = ((events & VIR_EVENT_HANDLE_READABLE) ? LOOP_READ : 0u) |
                    ((events & VIR_EVENT_HANDLE_WRITABLE) ? LOOP_WRITE : 0u) |
                    ((events & VIR_EVENT_HANDLE_HANGUP) ? LOOP_HANGUP : 0u) |
                    ((events & VIR_EVENT_HANDLE_ERROR) ? LOOP_ERROR : 0u);
    registration->on_fd(registration->context, fd, ours);
}

static void on_timeout(int timer, void *opaque)
{
    struct registration *registration = opaque;
    virEventUpdateTimeout(timer, -1); /* ours fire once; libvirt's repeat */
    registration->on_timer(registration->context);
}

static int watch(struct loop *loop, int fd, unsigned events, loop_fd_fn *callback, void *context)
{
    struct registration *registration = malloc(sizeof *registration);
    if (!registration)
        return -1;
    *registration = (struct registration){.on_fd = callback, .context = context, .loop = loop};
    int handle = virEventAddHandle(fd, to_libvirt(events), on_handle, registration, free);
    if (handle < 0)
        free(registration);
    return handle;
}

static void watch_update(struct loop *loop, int handle, unsigned events)
{
    (void)loop;
    virEventUpdateHandle(handle, to_libvirt(events));
}

static void watch_remove(struct loop *loop, int handle)
{
    (void)loop;
    virEventRemoveHandle(handle);
}

static int timer(struct loop *loop, loop_timer_fn *callback, void *context)
{
    struct registration *registration = malloc(sizeof *registration);
    if (!registration)
        return -1;
    *registration = (struct registration){.on_timer = callback, .context = context, .loop = loop};
    int handle = virEventAddTimeout(-1, on_timeout, registration, free);
    if (handle < 0)
        free(registration);
    return handle;
}

static void timer_set(struct loop *loop, int handle, int64_t delay_ms)
{
    (void)loop;
    const int64_t day = 86400000;
    virEventUpdateTimeout(handle, delay_ms < 0 ? -1 : (int)(delay_ms < day ? delay_ms : day));
}

static void timer_remove(struct loop *loop, int handle)
{
    (void)loop;
    virEventRemoveTimeout(handle);
}

static void post(struct loop *loop, loop_timer_fn *callback, void *context)
{
    (void)loop;
    struct posted *posted = malloc(sizeof *posted);
    if (!posted)
        abort(); /* a result that is lost would leave its row busy for ever */
    *posted = (struct posted){NULL, callback, context};
    pthread_mutex_lock(&state.lock);
    *state.last = posted;
    state.last = &posted->next;
    pthread_mutex_unlock(&state.lock);
    uint64_t one = 1;
    ssize_t written = write(state.wake, &one, sizeof one);
    (void)written; /* full means that the loop is woken anyway */
}

static void run_posted(void *context, int fd, unsigned events)
{
    (void)context;
    (void)events;
    uint64_t count;
    ssize_t got = read(fd, &count, sizeof count);
    (void)got;
    pthread_mutex_lock(&state.lock);
    struct posted *posted = state.first;
    state.first = NULL;
    state.last = &state.first;
    pthread_mutex_unlock(&state.lock);
    while (posted) {
        struct posted *next = posted->next;
        posted->callback(posted->context);
        free(posted);
        posted = next;
    }
}

bool host_loop_new(struct loop **ret_loop, struct error *err)
{
    virSetErrorFunc(NULL, ignore_libvirt_error);
    if (virInitialize() < 0 || virEventRegisterDefaultImpl() < 0)
        return error_set(err, ERROR_IO, "libvirt's event loop could not be started");
    state.last = &state.first;
    state.loop = (struct loop){watch, watch_update, watch_remove, timer, timer_set, timer_remove, post};
    state.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (state.wake < 0 || watch(&state.loop, state.wake, LOOP_READ, run_posted, NULL) < 0)
        return error_set(err, ERROR_IO, "the event loop could not be started");
    *ret_loop = &state.loop;
    return true;
}

void host_loop_run(struct loop *loop)
{
    (void)loop;
    while (!state.stop)
        if (virEventRunDefaultImpl() < 0)
            break;
}

void host_loop_stop(struct loop *loop)
{
    (void)loop;
    state.stop = true;
    uint64_t one = 1;
    ssize_t written = write(state.wake, &one, sizeof one);
    (void)written;
}
