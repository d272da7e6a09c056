/* The program leads a process group of its own, so that what it has started ends with it. All our descriptors are closed
 * on its way, and what we block or ignore is not for it to inherit. */
#include "base/program.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum {
    COMPLAINT_READ_MAX = 4096,
    KEY_SHORTEST = 20, /* letters and digits in a row, with both among them */
    REAP_MS = 20,
    WAY_STEPS_MAX = 1000, /* parts of paths that are looked at for one program; Linux follows 40 links */
};

extern char **environ;

/* --- what it complains of --- */

static bool in_key(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '=' ||
           c == '+' || c == '.' || c == '*';
}

static bool looks_like_key(const char *word, size_t length)
{
    static const char *const marks[] = {"sk-", "hvs.", "s.", "xai-", "AIza"};
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
        if (length > strlen(marks[i]) + 4 && strncmp(word, marks[i], strlen(marks[i])) == 0)
            return true;
    bool digit = false, letter = false;
    for (size_t i = 0; i < length; i++) {
        digit = digit || (word[i] >= '0' && word[i] <= '9');
        letter = letter || (word[i] | 32) >= 'a';
    }
    return length >= KEY_SHORTEST && digit && letter;
}

static void clean(const struct buffer *raw, char complaint[PROGRAM_COMPLAINT_SIZE])
{
    const char *text = buffer_text(raw);
    size_t out = 0;
    for (size_t in = 0; in < raw->length && out + 6 < PROGRAM_COMPLAINT_SIZE;) {
        size_t word = 0;
        while (in + word < raw->length && in_key(text[in + word]))
            word++;
        if (word && looks_like_key(text + in, word)) {
            out += (size_t)snprintf(complaint + out, PROGRAM_COMPLAINT_SIZE - out, "[key]");
            in += word;
            continue;
        }
        for (size_t i = 0; i < (word ? word : 1) && out + 1 < PROGRAM_COMPLAINT_SIZE; i++, in++)
            complaint[out++] = text[in] >= ' ' && text[in] <= '~' ? text[in] : ' ';
    }
    while (out > 0 && complaint[out - 1] == ' ')
        out--;
    complaint[out] = '\0';
}

/* --- its pipes --- */

struct run {
    const struct program *program;
    struct program_result *result;
    pid_t pid;
    int in, out, err; /* our ends; -1: closed */
    size_t written;
    struct buffer complaints;
    bool too_much;
};

static void shut(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void feed(struct run *run)
{
    const struct buffer *input = run->program->input;
    ssize_t sent = 0;
    if (input && run->written < input->length)
        sent = write(run->in, input->data + run->written, input->length - run->written);
    if (sent > 0)
        run->written += (size_t)sent;
    /* It may have ended without reading everything: that is its business. */
    if ((sent < 0 && errno != EAGAIN && errno != EINTR) || !input || run->written >= input->length)
        shut(&run->in);
}

static void drain(struct run *run, int *fd, struct buffer *into, bool keep_all)
{
    char piece[4096];
    ssize_t got = read(*fd, piece, sizeof piece);
    if (got > 0 && !buffer_append(into, piece, (size_t)got) && keep_all)
        run->too_much = true;
    explicit_bzero(piece, sizeof piece);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
        shut(fd);
}

/* Until both outputs are closed, or something is over. */
static enum program_end converse(struct run *run, int64_t deadline)
{
    while (run->out >= 0 || run->err >= 0) {
        struct pollfd fds[] = {{run->in, POLLOUT, 0}, {run->out, POLLIN, 0}, {run->err, POLLIN, 0},
                               {run->program->cancel, POLLIN, 0}};
        int64_t left = deadline - clock_monotonic_ms();
        if (left <= 0)
            return PROGRAM_TIMED_OUT;
        if (poll(fds, 4, left > 60000 ? 60000 : (int)left) < 0 && errno != EINTR)
            return PROGRAM_TIMED_OUT;
        if (fds[3].revents)
            return PROGRAM_CANCELLED;
        if (fds[0].revents)
            feed(run);
        if (fds[1].revents)
            drain(run, &run->out, &run->result->output, true);
        if (fds[2].revents)
            drain(run, &run->err, &run->complaints, false);
        if (run->too_much)
            return PROGRAM_TOO_MUCH;
    }
    return PROGRAM_EXITED;
}

/* It may close its outputs and go on: then it is waited for, as long as it has time. */
static enum program_end reap(struct run *run, enum program_end end, int64_t deadline)
{
    int status = 0;
    pid_t got = 0;
    while (end == PROGRAM_EXITED && (got = waitpid(run->pid, &status, WNOHANG)) == 0) {
        struct pollfd cancel = {run->program->cancel, POLLIN, 0};
        if (clock_monotonic_ms() >= deadline)
            end = PROGRAM_TIMED_OUT;
        else if (poll(&cancel, 1, REAP_MS) > 0)
            end = PROGRAM_CANCELLED;
    }
    kill(-run->pid, SIGKILL); /* and what it has left behind */
    if (got <= 0)
        while (waitpid(run->pid, &status, 0) < 0 && errno == EINTR)
            ;
    if (end != PROGRAM_EXITED)
        return end;
    run->result->status = WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status);
    return WIFEXITED(status) ? PROGRAM_EXITED : PROGRAM_KILLED;
}

static void explain(const struct program *program, struct program_result *result)
{
    const char *path = program->argv[0];
    struct error *err = &result->error;
    switch (result->end) {
    case PROGRAM_EXITED:
        if (result->status == 0)
            return;
        error_set(err, ERROR_IO, "%s failed (exit code %d)", path, result->status);
        break;
    case PROGRAM_KILLED:
        error_set(err, ERROR_IO, "%s was ended by signal %d", path, result->status);
        break;
    case PROGRAM_TIMED_OUT:
        error_set(err, ERROR_TIMEOUT, "%s did not end within %lld ms and was killed", path, (long long)program->timeout_ms);
        break;
    case PROGRAM_TOO_MUCH:
        error_set(err, ERROR_LIMIT, "%s printed more than %zu bytes and was killed", path, result->output.maximum);
        break;
    case PROGRAM_CANCELLED:
        error_set(err, ERROR_LOST, "%s was killed, nobody waits for it any more", path);
        break;
    case PROGRAM_NOT_STARTED:
        return;
    }
    if (result->complaint[0]) {
        size_t used = strlen(err->text);
        snprintf(err->text + used, sizeof err->text - used, ": %s", result->complaint);
    }
}

/* --- starting it --- */

static bool make_pipe(int *ret_read, int *ret_write)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return false;
    *ret_read = fds[0];
    *ret_write = fds[1];
    return true;
}

static int spawn(struct run *run, int in, int out, int err)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_adddup2(&files, in, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&files, err, STDERR_FILENO);
    posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
    posix_spawn_file_actions_addchdir_np(&files, "/");
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    int failed = posix_spawn(&run->pid, run->program->argv[0], &files, &attributes,
                             (char *const *)(uintptr_t)run->program->argv,
                             (char *const *)(uintptr_t)run->program->environment);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
    return failed;
}

static bool start(struct run *run, struct error *err)
{
    cleanup_close int in = -1;
    cleanup_close int out = -1;
    cleanup_close int complaints = -1;
    /* posix_spawn() tells it too, where the child shares our memory: under valgrind it does not. */
    if (access(run->program->argv[0], X_OK) < 0)
        return error_set_errno(err, errno, "%s could not be started", run->program->argv[0]);
    if (!make_pipe(&in, &run->in) || !make_pipe(&run->out, &out) || !make_pipe(&run->err, &complaints))
        return error_set_errno(err, errno, "%s could not be started", run->program->argv[0]);
    int failed = spawn(run, in, out, complaints);
    if (failed)
        return error_set_errno(err, failed, "%s could not be started", run->program->argv[0]);
    fcntl(run->in, F_SETFL, O_NONBLOCK);
    fcntl(run->out, F_SETFL, O_NONBLOCK);
    fcntl(run->err, F_SETFL, O_NONBLOCK);
    return true;
}

bool program_run(const struct program *program, struct program_result *result)
{
    struct run run = {program, result, 0, -1, -1, -1, 0, BUFFER_INIT(COMPLAINT_READ_MAX), false};
    int64_t deadline = clock_monotonic_ms() + program->timeout_ms;
    result->end = PROGRAM_NOT_STARTED;
    result->status = 0;
    result->error = (struct error)ERROR_INIT;
    result->complaint[0] = '\0';
    if (start(&run, &result->error)) {
        result->end = reap(&run, converse(&run, deadline), deadline);
        clean(&run.complaints, result->complaint);
        explain(program, result);
    }
    if (result->end != PROGRAM_EXITED && result->end != PROGRAM_KILLED)
        buffer_clear(&result->output);
    shut(&run.in);
    shut(&run.out);
    shut(&run.err);
    buffer_clear(&run.complaints);
    return result->end == PROGRAM_EXITED && result->status == 0;
}

/* --- around it --- */

/* Whether only root or we can put something else at a path: its folders are looked at from the root on, and a symbolic
 * link's own as well as those of what it leads to. */
struct way {
    const char *program;
    unsigned steps; /* so far: links may lead anywhere */
    struct error *err;
};

static bool folder_trusted(struct way *way, const char *folder, const struct stat *status)
{
    if (status->st_uid != 0 && status->st_uid != geteuid())
        return error_set(way->err, ERROR_DENIED,
                         "%s: %s belongs to uid %u, who could put something else there: chown it to root", way->program,
                         folder, (unsigned)status->st_uid);
    /* Where the sticky bit is, others cannot touch what is root's. */
    if ((status->st_mode & 022) && !(status->st_mode & S_ISVTX))
        return error_set(way->err, ERROR_DENIED,
                         "%s: others can write to %s (mode %03o) and put something else there: chmod go-w %s", way->program,
                         folder, (unsigned)status->st_mode & 0777, folder);
    return true;
}

static bool way_trusted(struct way *way, const char *path);

static bool link_trusted(struct way *way, const char *path, size_t folder)
{
    char target[PATH_MAX], whole[2 * PATH_MAX];
    ssize_t length = readlink(path, target, sizeof target - 1);
    if (length < 0)
        return error_set_errno(way->err, errno, "%s", path);
    target[length] = '\0';
    snprintf(whole, sizeof whole, "%.*s/%s", target[0] == '/' ? 0 : (int)folder, path, target);
    return way_trusted(way, whole);
}

static bool way_trusted(struct way *way, const char *path)
{
    struct stat status;
    char at[2 * PATH_MAX];
    size_t length = strlen(path);
    for (size_t end = 0, folder = 0; end < length; folder = end) {
        end += strspn(path + end, "/"); /* that of the root, and doubled ones */
        end += strcspn(path + end, "/");
        snprintf(at, sizeof at, "%.*s", (int)end, path);
        if (++way->steps > WAY_STEPS_MAX)
            return error_set(way->err, ERROR_INVALID, "%s: too many symbolic links lead there", way->program);
        if (lstat(at, &status) < 0)
            return error_set_errno(way->err, errno, "%s", at);
        if (S_ISLNK(status.st_mode) && !link_trusted(way, at, folder))
            return false;
        if (S_ISDIR(status.st_mode) && !folder_trusted(way, at, &status))
            return false;
    }
    return true;
}

bool program_trusted(const char *path, struct error *err)
{
    struct stat status;
    struct way way = {path, 0, err};
    if (path[0] != '/')
        return error_set(err, ERROR_INVALID, "'%s' is not an absolute path: write one that begins with /", path);
    if (stat(path, &status) < 0)
        return error_set_errno(err, errno, "%s", path);
    if (!S_ISREG(status.st_mode) || !(status.st_mode & 0111))
        return error_set(err, ERROR_INVALID, "%s is not a program: chmod +x, or name one that is", path);
    if (status.st_uid != 0 && status.st_uid != geteuid())
        return error_set(err, ERROR_DENIED, "%s belongs to uid %u, who could change it: chown it to root", path,
                         (unsigned)status.st_uid);
    if (status.st_mode & 022)
        return error_set(err, ERROR_DENIED, "%s can be written by others (mode %03o): chmod go-w %s", path,
                         (unsigned)status.st_mode & 0777, path);
    return way_trusted(&way, path);
}

static bool is_wanted(const char *variable, const char *const *prefixes)
{
    static const char *const always[] = {"PATH=", "HOME=", "CREDENTIALS_DIRECTORY="};
    for (size_t i = 0; i < sizeof always / sizeof always[0]; i++)
        if (strncmp(variable, always[i], strlen(always[i])) == 0)
            return true;
    for (size_t i = 0; prefixes && prefixes[i]; i++)
        if (strncmp(variable, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

char **program_environment(const char *const *prefixes)
{
    size_t room = 2, count = 0;
    for (char **at = environ; at && *at; at++)
        room++;
    char **copy = calloc(room, sizeof *copy);
    if (!copy)
        return NULL;
    bool ok = true, path = false;
    for (char **at = environ; ok && at && *at; at++) {
        if (!is_wanted(*at, prefixes))
            continue;
        path = path || strncmp(*at, "PATH=", 5) == 0;
        copy[count] = strdup(*at);
        ok = copy[count++] != NULL;
    }
    if (ok && !path) {
        copy[count] = strdup("PATH=/usr/local/bin:/usr/bin:/bin");
        ok = copy[count++] != NULL;
    }
    if (ok)
        return copy;
    program_environment_free(copy);
    return NULL;
}

void program_environment_free(char **environment)
{
    for (size_t i = 0; environment && environment[i]; i++)
        free(environment[i]);
    free(environment);
}
