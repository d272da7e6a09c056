/* Delivers to a real agent from the command line, for tests in shell and for measuring.
 *
 *   agent-drive SOCKET deliver [--label=N] [--readers=R] [--deadline=MS] NAME=FILE...
 *   agent-drive SOCKET repeat TIMES NAME=FILE...
 *                                       as often, each under a label of its own; ends at the first that is not proven
 *   agent-drive SOCKET withdraw
 *   agent-drive SOCKET clean
 *   agent-drive SOCKET probe [--readers=R] [NAME=FILE...]
 *   agent-drive SOCKET measure ROUNDS NAME=FILE...
 *                                       medians of a first, an unchanged and a changed delivery, beside the least
 *                                       that a file in the guest costs: one hand-made guest-exec, and polls
 *   agent-drive - fingerprint [--readers=R] NAME=FILE...
 *
 * Values come from files, one line each; with NAME@FILE the guest's variable holds the path of a file with all of it,
 * with NAME:TEXT the text itself, which is no secret. A probe given the set says whether it is that. Prints
 * `key=value` words on one line, an error on a second. */
#include "agent-socket.h"

#include "base/json.h"
#include "base/secret.h"
#include "qemu-guest-agent/agent.h"
#include "qemu-guest-agent/delivery.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct delivery_entry entries[DELIVERY_ENTRIES_MAX];
static size_t count;
static int64_t label = 1;
static const char *readers;
static unsigned asked; /* of the agent's commands, all but the polls, whose number is a matter of time */
static unsigned deadline_ms = DELIVERY_DEADLINE_MS;

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static int complain(const char *what)
{
    fprintf(stderr, "agent-drive: %s\n", what);
    return 2;
}

static bool read_entry(const char *word)
{
    char value[SECRET_MAX + 1];
    const char *path = strpbrk(word, "=@:");
    if (!path || (size_t)(path - word) >= sizeof entries[0].environment || count == DELIVERY_ENTRIES_MAX)
        return false;
    if (*path == ':') {
        memcpy(entries[count].environment, word, (size_t)(path - word));
        entries[count].kind = DELIVERY_PLAIN;
        entries[count++].text = path + 1;
        return true;
    }
    FILE *file = fopen(path + 1, "r");
    if (!file)
        return false;
    size_t length = fread(value, 1, sizeof value, file);
    fclose(file);
    bool whole = *path == '@';
    entries[count].kind = whole ? DELIVERY_FILE : DELIVERY_VALUE;
    if (!whole && length > 0 && value[length - 1] == '\n')
        length--;
    memcpy(entries[count].environment, word, (size_t)(path - word));
    entries[count].secret = secret_new(value, length);
    return entries[count++].secret != NULL;
}

static bool read_words(char **words)
{
    for (; *words; words++) {
        if (!strncmp(*words, "--label=", 8))
            label = atoll(*words + 8);
        else if (!strncmp(*words, "--readers=", 10))
            readers = *words + 10;
        else if (!strncmp(*words, "--deadline=", 11))
            deadline_ms = (unsigned)atoi(*words + 11);
        else if (!read_entry(*words))
            return false;
    }
    return true;
}

static bool counted(void *context, const struct buffer *command, unsigned timeout_s, struct buffer *ret_reply,
                    struct error *err)
{
    asked += strstr(buffer_text(command), "\"guest-exec-status\"") == NULL;
    return agent_socket_command(context, command, timeout_s, ret_reply, err);
}

static int print_result(const struct delivery_result *result, double took)
{
    printf("outcome=%s written=%s humans=%u shell=%s calls=%u asked=%u ms=%.1f where=%s%s%s\n",
           delivery_outcome_name(result->outcome), result->written ? "yes" : "no", result->humans,
           result->shell_start ? "yes" : "no", result->agent_calls, asked, took, result->shell_text,
           result->hooks[0] ? " also=" : "", result->hooks);
    if (result->outcome != DELIVERY_PROVEN)
        printf("error=%s: %s\n", error_code_name(result->error.code), result->error.text);
    return result->outcome == DELIVERY_PROVEN ? 0 : 1;
}

/* Polls as often as it can. Milliseconds, or negative when it failed. */
static double measure_floor(int fd)
{
    static const char *const arguments[] = {"-c", "umask 077; cat >/run/x", NULL};
    static const char *const environment[] = {"PATH=/usr/bin:/bin", NULL};
    struct error err = ERROR_INIT;
    cleanup_buffer struct buffer input = BUFFER_INIT(4096);
    cleanup_buffer struct buffer command = BUFFER_INIT(AGENT_COMMAND_MAX);
    cleanup_buffer struct buffer reply = BUFFER_INIT(AGENT_REPLY_MAX);
    cleanup_agent_status struct agent_status status = AGENT_STATUS_INIT;
    int64_t pid;
    char value[165];
    memset(value, 'k', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    buffer_append_text(&input, value);
    double start = now_ms();
    if (!agent_build_exec(&command, "/bin/sh", arguments, environment, &input) ||
        !agent_socket_command(&fd, &command, 30, &reply, &err) || !agent_parse_exec(&reply, &pid, &err))
        return -1;
    buffer_clear(&command);
    if (!agent_build_exec_status(&command, pid))
        return -1;
    while (!status.exited) {
        buffer_clear(&reply);
        if (!agent_socket_command(&fd, &command, 30, &reply, &err) || !agent_parse_exec_status(&reply, &status, &err))
            return -1;
    }
    return status.code == 0 ? now_ms() - start : -1;
}

static double measure_delivery(int fd, size_t entry_count, bool wanted_written)
{
    struct delivery_result result;
    double start = now_ms();
    delivery_run(agent_socket_command, &fd, entries, entry_count, label, readers, &result);
    double took = now_ms() - start;
    if (result.outcome == DELIVERY_PROVEN && result.written == wanted_written)
        return took;
    print_result(&result, took);
    return -1;
}

static int by_value(const void *a, const void *b)
{
    const double *left = a, *right = b;
    return (*left > *right) - (*left < *right);
}

static int measure(int fd, size_t rounds)
{
    static const char *const names[] = {"floor", "first", "unchanged", "changed"};
    double samples[4][100];
    if (rounds < 1 || rounds > 100)
        return complain("1 to 100 rounds");
    for (size_t i = 0; i < rounds; i++) {
        measure_delivery(fd, 0, true);
        samples[0][i] = measure_floor(fd);
        samples[1][i] = measure_delivery(fd, count, true);
        samples[2][i] = measure_delivery(fd, count, false);
        label++;
        samples[3][i] = measure_delivery(fd, count, true);
        for (size_t j = 0; j < 4; j++)
            if (samples[j][i] < 0)
                return complain(names[j]);
    }
    for (size_t j = 0; j < 4; j++) {
        qsort(samples[j], rounds, sizeof(double), by_value);
        printf("%s: median %.1f ms, least %.1f ms, %.2f times the floor\n", names[j], samples[j][rounds / 2],
               samples[j][0], samples[j][rounds / 2] / samples[0][rounds / 2]);
    }
    return 0;
}

static int repeat(int fd, int times)
{
    for (int i = 0; i < times; i++, label++)
        if (measure_delivery(fd, count, true) < 0)
            return 1;
    printf("proven=%d\n", times);
    return 0;
}

int main(int argc, char **argv)
{
    struct error err = ERROR_INIT;
    struct delivery_result result;
    char fingerprint[DELIVERY_FINGERPRINT_SIZE];
    int fd = -1;
    bool measuring = argc > 3 && (!strcmp(argv[2], "measure") || !strcmp(argv[2], "repeat"));
    if (argc < 3 || !secret_init(&err) || !read_words(argv + (measuring ? 4 : 3)))
        return complain("see the source for its arguments");
    if (!strcmp(argv[2], "fingerprint")) {
        delivery_fingerprint(entries, count, readers, fingerprint);
        printf("fingerprint=%s\n", fingerprint);
        return 0;
    }
    if ((fd = agent_socket_open(argv[1], &err)) < 0)
        return complain(err.text);
    double start = now_ms();
    if (measuring && !strcmp(argv[2], "repeat"))
        return repeat(fd, atoi(argv[3]));
    if (measuring)
        return measure(fd, (size_t)atoi(argv[3]));
    if (!strcmp(argv[2], "probe")) {
        static struct delivery_found found;
        if (delivery_probe(counted, &fd, &found, &result))
            printf("fingerprint=%s ", found.fingerprint);
        if (count > 0)
            printf("same=%s ", delivery_found_is(&found, entries, count, readers) ? "yes" : "no");
    } else if (!strcmp(argv[2], "deliver") || !strcmp(argv[2], "withdraw")) {
        delivery_run_within(deadline_ms, counted, &fd, entries, count, label, readers, &result);
    } else if (!strcmp(argv[2], "clean")) {
        delivery_clean(counted, &fd, &result);
    } else {
        return complain("no such verb");
    }
    return print_result(&result, now_ms() - start);
}
