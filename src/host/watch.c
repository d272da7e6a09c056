/* The connection on which events arrive.
 *
 * Theory of operation: a thread of its own opens the connection (that can block for long), registers the events and
 * waits until the connection breaks; then it does so again. libvirt calls the event callbacks in the loop's thread;
 * what the thread itself has to say is posted there. Nothing is replayed after a break, so `connected` means: ask. */
#include "host/host.h"

#include "base/clock.h"
#include "lifecycle/schedule.h"

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RECONNECT_FIRST_MS = 100, RECONNECT_CAP_MS = 2000, EVENT_KINDS = 4 };

struct host_watch {
    struct loop *loop;
    struct host_watcher watcher;
    char *uri;
    virConnectPtr connection; /* the thread's */
    int callbacks[EVENT_KINDS];
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool broken, stop;
    char why[256];
};

static void fill(struct host_event *event, enum host_event_kind kind, virDomainPtr domain)
{
    memset(event, 0, sizeof *event);
    event->kind = kind;
    virDomainGetUUIDString(domain, event->uuid);
    const char *name = virDomainGetName(domain);
    snprintf(event->name, sizeof event->name, "%s", name ? name : "");
}

static enum stop_reason stop_of(int detail)
{
    switch (detail) {
    case VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN:
        return STOP_SHUTDOWN;
    case VIR_DOMAIN_EVENT_STOPPED_DESTROYED:
        return STOP_DESTROYED;
    case VIR_DOMAIN_EVENT_STOPPED_CRASHED:
        return STOP_CRASHED;
    case VIR_DOMAIN_EVENT_STOPPED_MIGRATED:
        return STOP_MIGRATED;
    case VIR_DOMAIN_EVENT_STOPPED_SAVED:
        return STOP_SAVED;
    case VIR_DOMAIN_EVENT_STOPPED_FAILED:
        return STOP_FAILED;
    case VIR_DOMAIN_EVENT_STOPPED_FROM_SNAPSHOT:
        return STOP_FROM_SNAPSHOT;
    default:
        return STOP_UNKNOWN;
    }
}

static enum host_event_kind kind_of(int happened, int detail)
{
    switch (happened) {
    case VIR_DOMAIN_EVENT_STARTED:
        /* A guest that slept in its memory and wakes: libvirt calls that a start, without any hook, and it is no boot. */
        return detail == VIR_DOMAIN_EVENT_STARTED_WAKEUP ? HOST_CHANGED : HOST_STARTED;
    case VIR_DOMAIN_EVENT_STOPPED:
        return HOST_STOPPED;
    case VIR_DOMAIN_EVENT_UNDEFINED:
        return HOST_UNDEFINED;
    default:
        return HOST_CHANGED;
    }
}

static int on_lifecycle(virConnectPtr connection, virDomainPtr domain, int happened, int detail, void *context)
{
    struct host_watch *watch = context;
    struct host_event event;
    (void)connection;
    enum host_event_kind kind = kind_of(happened, detail);
    fill(&event, kind, domain);
    if (kind == HOST_STOPPED)
        event.stopped = stop_of(detail);
    event.from_snapshot = (happened == VIR_DOMAIN_EVENT_STARTED && detail == VIR_DOMAIN_EVENT_STARTED_FROM_SNAPSHOT) ||
                          (happened == VIR_DOMAIN_EVENT_RESUMED && detail == VIR_DOMAIN_EVENT_RESUMED_FROM_SNAPSHOT);
    watch->watcher.event(watch->watcher.context, &event);
    return 0;
}

static void on_agent(virConnectPtr connection, virDomainPtr domain, int state, int reason, void *context)
{
    struct host_watch *watch = context;
    struct host_event event;
    (void)connection;
    (void)reason;
    fill(&event,
         state == VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_CONNECTED ? HOST_AGENT_CONNECTED
                                                                           : HOST_AGENT_DISCONNECTED,
         domain);
    watch->watcher.event(watch->watcher.context, &event);
}

static void on_metadata(virConnectPtr connection, virDomainPtr domain, int type, const char *uri, void *context)
{
    struct host_watch *watch = context;
    struct host_event event;
    (void)connection;
    if (type != VIR_DOMAIN_METADATA_ELEMENT || (uri && !domain_xml_is_ours(uri)))
        return;
    fill(&event, HOST_METADATA_CHANGED, domain);
    watch->watcher.event(watch->watcher.context, &event);
}

static void on_reboot(virConnectPtr connection, virDomainPtr domain, void *context)
{
    struct host_watch *watch = context;
    struct host_event event;
    (void)connection;
    fill(&event, HOST_CHANGED, domain);
    watch->watcher.event(watch->watcher.context, &event);
}

static void on_close(virConnectPtr connection, int reason, void *context)
{
    struct host_watch *watch = context;
    (void)connection;
    static const char *const words[] = {
        [VIR_CONNECT_CLOSE_REASON_ERROR] = "an error on the connection",
        [VIR_CONNECT_CLOSE_REASON_EOF] = "libvirtd closed the connection",
        [VIR_CONNECT_CLOSE_REASON_KEEPALIVE] = "libvirtd does not answer",
        [VIR_CONNECT_CLOSE_REASON_CLIENT] = "closed",
    };
    pthread_mutex_lock(&watch->lock);
    watch->broken = true;
    snprintf(watch->why, sizeof watch->why, "%s",
             reason >= 0 && reason < (int)(sizeof words / sizeof words[0]) ? words[reason] : "unknown");
    pthread_cond_signal(&watch->changed);
    pthread_mutex_unlock(&watch->lock);
}

static void say_connected(void *context)
{
    struct host_watch *watch = context;
    watch->watcher.connected(watch->watcher.context);
}

static void say_disconnected(void *context)
{
    struct host_watch *watch = context;
    char why[sizeof watch->why];
    pthread_mutex_lock(&watch->lock);
    memcpy(why, watch->why, sizeof why);
    pthread_mutex_unlock(&watch->lock);
    watch->watcher.disconnected(watch->watcher.context, why);
}

static void set_why(struct host_watch *watch, const char *what)
{
    const char *text = virGetLastErrorMessage();
    pthread_mutex_lock(&watch->lock);
    snprintf(watch->why, sizeof watch->why, "%s: %s", what, text ? text : "no reason given");
    pthread_mutex_unlock(&watch->lock);
}

static bool subscribe(struct host_watch *watch)
{
    const struct {
        int id;
        virConnectDomainEventGenericCallback callback;
    } kinds[EVENT_KINDS] = {
        {VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle)},
        {VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(on_agent)},
        {VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, VIR_DOMAIN_EVENT_CALLBACK(on_metadata)},
        {VIR_DOMAIN_EVENT_ID_REBOOT, VIR_DOMAIN_EVENT_CALLBACK(on_reboot)},
    };
    for (size_t i = 0; i < EVENT_KINDS; i++) {
        watch->callbacks[i] =
            virConnectDomainEventRegisterAny(watch->connection, NULL, kinds[i].id, kinds[i].callback, watch, NULL);
        if (watch->callbacks[i] < 0)
            return false;
    }
    return true;
}

static void close_connection(struct host_watch *watch)
{
    if (!watch->connection)
        return;
    for (size_t i = 0; i < EVENT_KINDS; i++)
        if (watch->callbacks[i] >= 0)
            virConnectDomainEventDeregisterAny(watch->connection, watch->callbacks[i]);
    virConnectUnregisterCloseCallback(watch->connection, on_close);
    virConnectClose(watch->connection);
    watch->connection = NULL;
}

static bool open_connection(struct host_watch *watch)
{
    for (size_t i = 0; i < EVENT_KINDS; i++)
        watch->callbacks[i] = -1;
    watch->connection = virConnectOpen(watch->uri);
    if (!watch->connection) {
        set_why(watch, "libvirt cannot be reached");
        return false;
    }
    if (virConnectRegisterCloseCallback(watch->connection, on_close, watch, NULL) < 0 ||
        virConnectSetKeepAlive(watch->connection, 5, 6) < 0 || !subscribe(watch)) {
        set_why(watch, "libvirt's events cannot be had");
        close_connection(watch);
        return false;
    }
    return true;
}

/* Waits for a break, or for DELAY_MS when that is not negative. Returns false when the watch ends. */
static bool wait_changed(struct host_watch *watch, int64_t delay_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += delay_ms / 1000;
    until.tv_nsec += delay_ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&watch->lock);
    int rc = 0;
    while (!watch->stop && !watch->broken && rc == 0)
        rc = delay_ms < 0 ? pthread_cond_wait(&watch->changed, &watch->lock)
                          : pthread_cond_timedwait(&watch->changed, &watch->lock, &until);
    bool go_on = !watch->stop;
    watch->broken = false;
    pthread_mutex_unlock(&watch->lock);
    return go_on;
}

static void *watch_thread(void *context)
{
    struct host_watch *watch = context;
    int64_t failures = 0;
    bool go_on = true;
    while (go_on) {
        if (open_connection(watch)) {
            failures = 0;
            watch->loop->post(watch->loop, say_connected, watch);
            go_on = wait_changed(watch, -1);
            close_connection(watch);
        }
        if (go_on) {
            /* Said once per break; the first failed try of a fresh start counts as one. */
            if (failures == 0)
                watch->loop->post(watch->loop, say_disconnected, watch);
            failures++;
            go_on = wait_changed(watch, schedule_backoff(failures, RECONNECT_FIRST_MS, RECONNECT_CAP_MS, 1));
        }
    }
    return NULL;
}

bool host_watch_new(struct loop *loop, const char *uri, const struct host_watcher *watcher,
                    struct host_watch **ret_watch, struct error *err)
{
    struct host_watch *watch = calloc(1, sizeof *watch);
    char *copy = strdup(uri);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    if (!watch || !copy)
        goto failed;
    watch->loop = loop;
    watch->watcher = *watcher;
    watch->uri = copy;
    pthread_mutex_init(&watch->lock, NULL);
    pthread_cond_init(&watch->changed, &attributes);
    if (pthread_create(&watch->thread, NULL, watch_thread, watch) != 0)
        goto failed;
    pthread_condattr_destroy(&attributes);
    *ret_watch = watch;
    return true;
failed:
    pthread_condattr_destroy(&attributes);
    free(copy);
    free(watch);
    return error_set(err, ERROR_IO, "the thread that watches libvirt could not be started");
}

void host_watch_free(struct host_watch *watch)
{
    if (!watch)
        return;
    pthread_mutex_lock(&watch->lock);
    watch->stop = true;
    pthread_cond_signal(&watch->changed);
    pthread_mutex_unlock(&watch->lock);
    pthread_join(watch->thread, NULL);
    pthread_cond_destroy(&watch->changed);
    pthread_mutex_destroy(&watch->lock);
    free(watch->uri);
    free(watch);
}
