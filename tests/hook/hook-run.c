#include "hook-run.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ARGUMENTS_MAX = 8 };

struct pipes {
    int input[2];
    int out[2];
    int err[2];
};

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "hook-run: %s: %s\n", what, strerror(errno));
    abort();
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static _Noreturn void become_hook(const char *program, const char *root, const char *const arguments[],
                                  const struct hook_setting *setting, const struct pipes *pipes)
{
    char root_variable[PATH_MAX];
    char user_variable[64];
    char *environment[] = {root_variable, setting->user ? user_variable : NULL, NULL};
    char *argv[ARGUMENTS_MAX + 2] = {(char *)program};
    snprintf(root_variable, sizeof root_variable, "LLMHOOK_TEST_ROOT=%s", root);
    snprintf(user_variable, sizeof user_variable, "LLMHOOK_TEST_UID=%s", setting->user ? setting->user : "");
    for (size_t i = 0; i < ARGUMENTS_MAX && arguments[i]; i++)
        argv[i + 1] = (char *)arguments[i];
    dup2(setting->input == INPUT_NONE ? open("/dev/null", O_RDONLY) : pipes->input[0], STDIN_FILENO);
    dup2(pipes->out[1], STDOUT_FILENO);
    dup2(pipes->err[1], STDERR_FILENO);
    if (setting->input == INPUT_CLOSED)
        close(STDIN_FILENO);
    if (setting->streams_closed) {
        close(STDOUT_FILENO);
        close(STDERR_FILENO);
    }
    if (setting->no_file_content) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_FSIZE, &none);
    }
    /* The test program ignores it, and that would be inherited; libvirt's children get the default. */
    signal(SIGPIPE, SIG_DFL);
    execve(program, argv, environment);
    _exit(127);
}

/* Adds to the NUL-terminated TEXT. False at the end. */
static bool collect(int fd, char *text, size_t size)
{
    size_t used = strlen(text);
    char rest[256];
    ssize_t count = used + 1 < size ? read(fd, text + used, size - used - 1) : read(fd, rest, sizeof rest);
    if (count > 0 && used + 1 < size)
        text[used + (size_t)count] = '\0';
    return count > 0 || (count < 0 && errno == EINTR);
}

static void feed(int *fd, const struct hook_setting *setting, size_t *fed)
{
    ssize_t count = write(*fd, setting->xml + *fed, setting->xml_length - *fed);
    if (count > 0)
        *fed += (size_t)count;
    bool over = *fed == setting->xml_length || (count < 0 && errno != EAGAIN);
    if (over && setting->input != INPUT_ENDLESS) {
        close(*fd);
        *fd = -1;
    }
}

/* Feeds and reads until the hook has closed its output. */
static void attend(struct pipes *pipes, const struct hook_setting *setting, struct hook_outcome *outcome)
{
    int64_t feeds_at = now_ms() + setting->late_ms;
    bool out_open = true;
    bool err_open = !setting->stderr_broken;
    size_t fed = 0;
    while (out_open || err_open) {
        bool has_more = pipes->input[1] >= 0 && fed < setting->xml_length;
        int64_t left = feeds_at - now_ms();
        bool feeding = has_more && left <= 0;
        struct pollfd watched[] = {
            {.fd = feeding ? pipes->input[1] : -1, .events = POLLOUT},
            {.fd = out_open ? pipes->out[0] : -1, .events = POLLIN},
            {.fd = err_open ? pipes->err[0] : -1, .events = POLLIN},
        };
        if (poll(watched, 3, has_more && left > 0 ? (int)left : -1) < 0 && errno != EINTR)
            die("poll");
        if (watched[0].revents)
            feed(&pipes->input[1], setting, &fed);
        if (watched[1].revents)
            out_open = collect(pipes->out[0], outcome->out, sizeof outcome->out);
        if (watched[2].revents)
            err_open = collect(pipes->err[0], outcome->err, sizeof outcome->err);
    }
}

static void make_pipes(struct pipes *pipes, const struct hook_setting *setting)
{
    if (pipe2(pipes->input, O_CLOEXEC) < 0 || pipe2(pipes->out, O_CLOEXEC) < 0 || pipe2(pipes->err, O_CLOEXEC) < 0
        || fcntl(pipes->input[1], F_SETFL, O_NONBLOCK) < 0)
        die("pipe");
    if (setting->xml_length == 0 && setting->input != INPUT_ENDLESS) {
        close(pipes->input[1]);
        pipes->input[1] = -1;
    }
}

struct hook_outcome hook_run(const char *program, const char *root, const char *const arguments[],
                             const struct hook_setting *setting)
{
    struct hook_outcome outcome = {.status = -1};
    struct pipes pipes;
    int status;
    int unread = 0;
    signal(SIGPIPE, SIG_IGN);
    make_pipes(&pipes, setting);
    if (setting->stderr_broken)
        close(pipes.err[0]);
    int64_t began = now_ms();
    pid_t child = fork();
    if (child == 0)
        become_hook(program, root, arguments, setting, &pipes);
    if (child < 0)
        die("fork");
    close(pipes.out[1]);
    close(pipes.err[1]);
    attend(&pipes, setting, &outcome);
    if (waitpid(child, &status, 0) != child)
        die("wait");
    outcome.ms = now_ms() - began;
    outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
    if (outcome.status == 127)
        die(program);
    if (ioctl(pipes.input[0], FIONREAD, &unread) == 0)
        outcome.unread = (size_t)unread;
    close(pipes.input[0]);
    if (pipes.input[1] >= 0)
        close(pipes.input[1]);
    close(pipes.out[0]);
    if (!setting->stderr_broken)
        close(pipes.err[0]);
    return outcome;
}
