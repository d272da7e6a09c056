#include "cli/doctor.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/durable.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#ifndef SBINDIR
#define SBINDIR "/usr/sbin"
#endif

enum { CHECK_MS = 10 * 1000, SAID_MAX = 4096, CONFIG_MAX = 1024 * 1024 };

extern char **environ;

static const char *trim(char *text)
{
    text += strspn(text, " \t");
    size_t length = strlen(text);
    while (length && strchr(" \t\r", text[length - 1]))
        text[--length] = '\0';
    return text;
}

/* Takes "key = value # comment" apart if it is KEY's. */
static bool read_setting(char *line, const char *key, char value[PATH_MAX])
{
    char *equals = strchr(line, '=');
    if (!equals)
        return false;
    *equals = '\0';
    if (strcmp(trim(line), key) != 0)
        return false;
    for (char *at = equals + 1; *at; at++)
        if ((*at == '#' || *at == ';') && (at[-1] == ' ' || at[-1] == '\t' || at == equals + 1)) {
            *at = '\0';
            break;
        }
    const char *text = trim(equals + 1);
    if (!text[0] || strlen(text) >= PATH_MAX)
        return false;
    memcpy(value, text, strlen(text) + 1);
    return true;
}

void doctor_setting(const struct doctor *doctor, const char *key, const char *fallback, char value[PATH_MAX])
{
    char path[PATH_MAX];
    cleanup_buffer struct buffer text = BUFFER_INIT(CONFIG_MAX);
    bool inside = false;
    snprintf(value, PATH_MAX, "%s", fallback);
    doctor_path(doctor, doctor->config, path);
    if (!durable_read(path, &text, NULL) || !text.length)
        return;
    char *rest = text.data;
    for (char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n")) {
        if (line[0] == '[')
            inside = strncmp(line, "[daemon]", 8) == 0;
        else if (inside && read_setting(line, key, value))
            return;
    }
}

/* Beside us first: a build that was never installed checks with its own daemon. */
static bool find_daemon(const struct doctor *doctor, char path[PATH_MAX])
{
    static const char *const places[] = {SBINDIR, "/usr/sbin", "/usr/local/sbin"};
    char self[PATH_MAX], name[PATH_MAX];
    ssize_t length = doctor->root[0] ? -1 : readlink("/proc/self/exe", self, sizeof self - 1);
    if (length > 0) {
        self[length] = '\0';
        char *slash = strrchr(self, '/');
        snprintf(path, PATH_MAX, "%.*s/llmhookd", slash ? (int)(slash - self) : 0, self);
        if (access(path, X_OK) == 0)
            return true;
    }
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        snprintf(name, sizeof name, "%s/llmhookd", places[i]);
        doctor_path(doctor, name, path);
        if (access(path, X_OK) == 0)
            return true;
    }
    return false;
}

/* Collects what comes from FD until its end; false when that takes too long. */
static bool collect(int fd, struct buffer *said)
{
    int64_t deadline = clock_monotonic_ms() + CHECK_MS;
    char chunk[1024];
    for (;;) {
        struct pollfd poller = {.fd = fd, .events = POLLIN};
        int64_t left = deadline - clock_monotonic_ms();
        if (left <= 0 || poll(&poller, 1, (int)left) == 0)
            return false;
        ssize_t count = read(fd, chunk, sizeof chunk);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return true;
        buffer_append(said, chunk, (size_t)count); /* what is too much is not needed: the first problems are */
    }
}

/* Runs PROGRAM --check --config FILE. False: it could not be run, or took too long. */
static bool run_check(const char *program, const char *file, struct buffer *said, int *ret_status)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return false;
    cleanup_close int from = ends[0];
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
    char *const arguments[] = {(char *)(uintptr_t)program, (char[]){"--check"}, (char[]){"--config"},
                               (char *)(uintptr_t)file, NULL};
    pid_t child;
    int failed = posix_spawn(&child, program, &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (failed)
        return false;
    bool ended = collect(from, said);
    if (!ended)
        kill(child, SIGKILL);
    while (waitpid(child, ret_status, 0) < 0 && errno == EINTR)
        ;
    return ended;
}

/* Each line that the daemon said is one, "configuration: FILE:LINE: what is wrong". Returns how many. */
static unsigned add_lines(struct doctor *doctor, struct buffer *said, const char *result, const char *remedy)
{
    unsigned added = 0;
    char *rest = said->data;
    for (char *line = rest ? strsep(&rest, "\n") : NULL; line; line = strsep(&rest, "\n")) {
        if (!strncmp(line, "configuration: ", 15))
            line += 15;
        if (!line[0])
            continue;
        doctor_add(doctor, "configuration", result, remedy, "%s", line);
        added++;
    }
    return added;
}

static void add_verdict(struct doctor *doctor, struct buffer *said, bool valid, const char *file)
{
    /* One that does not run cannot be reloaded. */
    const char *remedy = doctor->daemon_answers ? "correct it (see llmhook.conf(5)), then systemctl reload llmhookd"
                                                : "correct it (see llmhook.conf(5)), then systemctl start llmhookd";
    if (add_lines(doctor, said, valid ? DOCTOR_WARNING : DOCTOR_FAILED, valid ? "see llmhook.conf(5)" : remedy))
        return;
    if (valid)
        doctor_add(doctor, "configuration", DOCTOR_OK, NULL, "%s is valid", file);
    else
        doctor_add(doctor, "configuration", DOCTOR_FAILED, "see llmhook.conf(5)", "llmhookd does not accept %s", file);
}

void doctor_check_configuration(struct doctor *doctor)
{
    static const char name[] = "configuration";
    char file[PATH_MAX], program[PATH_MAX];
    cleanup_buffer struct buffer said = BUFFER_INIT(SAID_MAX);
    int status = 0;
    doctor_path(doctor, doctor->config, file);
    if (access(file, R_OK) < 0) {
        doctor_add(doctor, name, DOCTOR_FAILED,
                   errno == ENOENT ? "write it: see llmhook.conf(5)" : "make it readable for root", "%s: %s", file,
                   strerror(errno));
        return;
    }
    if (!find_daemon(doctor, program)) {
        doctor_add(doctor, name, DOCTOR_FAILED, "install llmhookd", "%s is there, but no llmhookd to check it", file);
        return;
    }
    if (!run_check(program, file, &said, &status))
        doctor_add(doctor, name, DOCTOR_FAILED, NULL, "%s --check has not ended within %d s", program, CHECK_MS / 1000);
    else
        add_verdict(doctor, &said, WIFEXITED(status) && WEXITSTATUS(status) == 0, file);
}
