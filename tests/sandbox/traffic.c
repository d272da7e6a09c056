#include "traffic.h"

#include "clock.h"
#include "fields.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RING = 16384, PATH_KEPT = 160, MAX_COUNTERS = 128 };

struct entry {
    int64_t seq, begun_ms, took_us; /* took_us -1 = not answered yet */
    struct timespec begun;
    char method[12];
    char path[PATH_KEPT];
    const char *fault;
    int status;
};

struct counter {
    char method[12];
    const char *route;
    int64_t requests, faults, bytes_in, bytes_out;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct entry *ring;
static struct counter counters[MAX_COUNTERS];
static size_t n_counters;
static int64_t last_seq, in_flight, most_in_flight, connections, most_connections, all_connections;
static int64_t bytes_in_all, bytes_out_all;
static bool log_requests;

void traffic_log_to_stderr(bool yes)
{
    log_requests = yes;
}

/* Static routes, few of them: a linear search. The last counter takes what finds no room. */
static struct counter *counter_of(const char *method, const char *route)
{
    for (size_t i = 0; i < n_counters; i++) {
        if (counters[i].route == route && strcmp(counters[i].method, method) == 0)
            return &counters[i];
    }
    if (n_counters == MAX_COUNTERS)
        return &counters[MAX_COUNTERS - 1];
    snprintf(counters[n_counters].method, sizeof(counters[0].method), "%s", method);
    counters[n_counters].route = route;
    return &counters[n_counters++];
}

int64_t traffic_begin(const char *method, const char *route, const char *path, const char *fault,
                      size_t bytes_in)
{
    struct counter *counter;
    struct entry *entry;
    int64_t seq;

    pthread_mutex_lock(&lock);
    if (ring == NULL && (ring = calloc(RING, sizeof(*ring))) == NULL)
        abort();
    seq = ++last_seq;
    entry = &ring[seq % RING];
    entry->seq = seq;
    entry->begun_ms = unix_ms();
    clock_gettime(CLOCK_MONOTONIC, &entry->begun);
    entry->took_us = -1;
    snprintf(entry->method, sizeof(entry->method), "%s", method);
    snprintf(entry->path, sizeof(entry->path), "%s", path);
    entry->fault = fault;
    entry->status = 0;
    counter = counter_of(entry->method, route);
    counter->requests++;
    counter->faults += fault != NULL;
    counter->bytes_in += (int64_t)bytes_in;
    bytes_in_all += (int64_t)bytes_in;
    if (++in_flight > most_in_flight)
        most_in_flight = in_flight;
    pthread_mutex_unlock(&lock);
    return seq;
}

void traffic_end(int64_t seq, int status, size_t bytes_out)
{
    struct entry *entry;
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    pthread_mutex_lock(&lock);
    in_flight--;
    bytes_out_all += (int64_t)bytes_out;
    entry = &ring[seq % RING];
    if (entry->seq == seq) {
        entry->status = status;
        entry->took_us = (now.tv_sec - entry->begun.tv_sec) * 1000000 +
                         (now.tv_nsec - entry->begun.tv_nsec) / 1000;
        if (log_requests)
            fprintf(stderr, "%" PRId64 " %s %s %d %" PRId64 "us%s%s\n", seq, entry->method,
                    entry->path, status, entry->took_us, entry->fault != NULL ? " fault=" : "",
                    entry->fault != NULL ? entry->fault : "");
    }
    pthread_mutex_unlock(&lock);
}

void traffic_connection(bool opened)
{
    pthread_mutex_lock(&lock);
    connections += opened ? 1 : -1;
    all_connections += opened;
    if (connections > most_connections)
        most_connections = connections;
    pthread_mutex_unlock(&lock);
}

struct json_object *traffic_stats(void)
{
    struct json_object *object = json_object_new_object();
    struct json_object *routes = json_object_new_object();
    char name[256];

    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < n_counters; i++) {
        struct json_object *route = json_object_new_object();

        put_int(route, "requests", counters[i].requests);
        put_int(route, "faults", counters[i].faults);
        put_int(route, "bytes_in", counters[i].bytes_in);
        snprintf(name, sizeof(name), "%.11s %.200s", counters[i].method,
                 counters[i].route);
        json_object_object_add(routes, name, route);
    }
    json_object_object_add(object, "routes", routes);
    put_int(object, "requests", last_seq);
    put_int(object, "in_flight", in_flight);
    put_int(object, "max_in_flight", most_in_flight);
    put_int(object, "connections", connections);
    put_int(object, "max_connections", most_connections);
    put_int(object, "connections_made", all_connections);
    put_int(object, "bytes_in", bytes_in_all);
    put_int(object, "bytes_out", bytes_out_all);
    pthread_mutex_unlock(&lock);
    return object;
}

struct json_object *traffic_requests(int64_t since)
{
    struct json_object *object = json_object_new_object();
    struct json_object *list = json_object_new_array();
    int64_t first;

    pthread_mutex_lock(&lock);
    first = last_seq - RING + 1 > since + 1 ? last_seq - RING + 1 : since + 1;
    for (int64_t seq = first < 1 ? 1 : first; seq <= last_seq; seq++) {
        const struct entry *entry = &ring[seq % RING];
        struct json_object *request = json_object_new_object();

        put_int(request, "seq", seq);
        put_int(request, "time_ms", entry->begun_ms);
        put_int(request, "took_us", entry->took_us);
        put_string(request, "method", entry->method);
        put_string(request, "path", entry->path);
        put_int(request, "status", entry->status);
        put_string(request, "fault", entry->fault);
        json_object_array_add(list, request);
    }
    put_int(object, "last_seq", last_seq);
    json_object_object_add(object, "requests", list);
    pthread_mutex_unlock(&lock);
    return object;
}

void traffic_free(void)
{
    free(ring);
    ring = NULL;
}
