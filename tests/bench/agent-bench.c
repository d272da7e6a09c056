/* What a delivery costs beside the least that any delivery through the agent could cost: one hand-made guest-exec of
 * a shell that writes its standard input to a file, and its status. Both go through the same libvirt calls.
 *
 *   agent-bench URI UUID ROUNDS      in a guest that is idle, turn by turn: medians and their ratio
 *   agent-bench URI UUID --first     waits for the guest's agent to connect, then does the hand-made one at once:
 *                                    milliseconds from the event to its end
 */
#include "base/clock.h"
#include "base/secret.h"
#include "host/host.h"
#include "qemu-guest-agent/agent.h"
#include "qemu-guest-agent/delivery.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct {
    struct host_link *link;
    const char *uuid;
    unsigned calls;
} bench;

static _Noreturn void die(const char *what, const struct error *err)
{
    fprintf(stderr, "agent-bench: %s: %s\n", what, err->text);
    exit(1);
}

static bool command(void *context, const struct buffer *text, unsigned timeout_s, struct buffer *ret_reply,
                    struct error *err)
{
    (void)context;
    bench.calls++;
    return host_agent_command(bench.link, bench.uuid, text, timeout_s, ret_reply, err);
}

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void pause_ms(int64_t milliseconds)
{
    const struct timespec wait = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    nanosleep(&wait, NULL);
}

/* Polls as the delivery does, so that only the work differs. */
static void by_hand(const char *value)
{
    static const char *const arguments[] = {"-c", "umask 077; cat >/run/agent-bench", NULL};
    static const char *const environment[] = {NULL};
    struct buffer text = BUFFER_INIT(AGENT_COMMAND_MAX), input = BUFFER_INIT(4096), reply = BUFFER_INIT(AGENT_REPLY_MAX);
    struct error err = ERROR_INIT;
    int64_t pid = 0;
    buffer_append_text(&input, value);
    agent_build_exec(&text, "/bin/sh", arguments, environment, &input);
    if (!command(NULL, &text, 10, &reply, &err) || !agent_parse_exec(&reply, &pid, &err))
        die("guest-exec", &err);
    double begun = now_ms();
    for (;;) {
        double wait = (now_ms() - begun) / 4;
        pause_ms(wait < 6 ? 6 : wait > 50 ? 50 : (int64_t)wait);
        struct agent_status status = AGENT_STATUS_INIT;
        buffer_clear(&text);
        buffer_clear(&reply);
        agent_build_exec_status(&text, pid);
        if (!command(NULL, &text, 10, &reply, &err) || !agent_parse_exec_status(&reply, &status, &err))
            die("guest-exec-status", &err);
        bool exited = status.exited, ok = status.code == 0;
        agent_status_clear(&status);
        if (exited && !ok)
            die("guest-exec", &(struct error){ERROR_IO, "the guest's shell failed"});
        if (exited)
            break;
    }
    buffer_clear(&text);
    buffer_clear(&input);
    buffer_clear(&reply);
}

static void by_delivery(unsigned round)
{
    char value[64];
    struct delivery_result result;
    snprintf(value, sizeof value, "sk-bench-%024u-%u", round, (unsigned)getpid());
    struct delivery_entry entry = {.environment = "AGENT_BENCH_KEY"};
    struct secret *secret = secret_new(value, strlen(value));
    entry.secret = secret;
    delivery_run(command, NULL, &entry, 1, (int64_t)round, "", &result);
    secret_free(secret);
    if (result.outcome != DELIVERY_PROVEN || !result.written)
        die("delivery", &result.error);
}

static int compare(const void *one, const void *other)
{
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

static double median(double *values, unsigned count)
{
    qsort(values, count, sizeof *values, compare);
    return values[count / 2];
}

static int steady(unsigned rounds)
{
    double *floors = calloc(rounds, sizeof *floors), *ours = calloc(rounds, sizeof *ours);
    if (!rounds || !floors || !ours)
        return 1;
    for (unsigned i = 0; i < rounds; i++) {
        char value[64];
        snprintf(value, sizeof value, "sk-bench-%024u-%u", i, (unsigned)getpid());
        double start = now_ms();
        by_hand(value);
        floors[i] = now_ms() - start;
        start = now_ms();
        by_delivery(i);
        ours[i] = now_ms() - start;
    }
    double floor = median(floors, rounds), value = median(ours, rounds);
    printf("floor_ms %.2f\nvalue_ms %.2f\nratio %.2f\n", floor, value, value / floor);
    free(floors);
    free(ours);
    return 0;
}

/* --- the first one of a boot --- */

static double connected_at;

static void on_event(void *context, const struct host_event *event)
{
    if (event->kind != HOST_AGENT_CONNECTED || strcmp(event->uuid, bench.uuid) != 0)
        return;
    connected_at = now_ms();
    host_loop_stop(context);
}

static void on_connected(void *context)
{
    (void)context;
    puts("watching");
    fflush(stdout);
}

static void on_disconnected(void *context, const char *why)
{
    (void)context;
    die("libvirt", &(struct error){ERROR_LOST, ""});
    (void)why;
}

static int first(const char *uri)
{
    struct loop *loop;
    struct host_watch *watch;
    struct error err = ERROR_INIT;
    if (!host_loop_new(&loop, &err))
        die("loop", &err);
    const struct host_watcher watcher = {on_connected, on_disconnected, on_event, loop};
    if (!host_watch_new(loop, uri, &watcher, &watch, &err))
        die("watch", &err);
    host_loop_run(loop);
    by_hand("sk-bench-first-of-a-boot");
    printf("first_ms %.2f\n", now_ms() - connected_at);
    return 0;
}

int main(int argc, char **argv)
{
    struct error err = ERROR_INIT;
    if (argc != 4) {
        fputs("usage: agent-bench URI UUID ROUNDS|--first\n", stderr);
        return 64;
    }
    if (!secret_init(&err))
        die("start", &err);
    bench.uuid = argv[2];
    bench.link = host_link_new(argv[1]);
    return strcmp(argv[3], "--first") == 0 ? first(argv[1]) : steady((unsigned)atoi(argv[3]));
}
