/* Looks at what deliveries write, as fast as it can, until its standard input ends.
 *
 *   watch STORE LINK UID [NAME...]
 *
 * One process is root and looks at every file below STORE: who owns it and who may read it. One is the user UID and
 * tries to read what is not his: through LINK, and below STORE under the names that the next sets may get. Prints
 * `looks=N tries=N wrong=N`, and on standard error what was wrong. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct tally {
    unsigned long done, wrong;
};

static struct tally tally;

static int stopped(void)
{
    struct pollfd fd = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&fd, 1, 0) > 0;
}

static void complain(const char *path, const char *what)
{
    if (tally.wrong++ < 10)
        fprintf(stderr, "watch: %s: %s\n", path, what);
}

/* --- as root: owners and modes --- */

/* What everybody may read; nothing of it is secret. */
static int public(const char *name)
{
    return strcmp(name, "generation") == 0 || strcmp(name, "profile.sh") == 0 || strcmp(name, "llmhook-run") == 0;
}

/* OWNER: who may own what is below PATH, beside root. */
static void look(const char *path, uid_t owner)
{
    DIR *folder = opendir(path);
    if (!folder)
        return;
    for (struct dirent *entry; (entry = readdir(folder));) {
        char below[512];
        struct stat seen;
        uid_t may = owner;
        if (entry->d_name[0] == '.' && (!entry->d_name[1] || entry->d_name[1] == '.'))
            continue;
        snprintf(below, sizeof below, "%s/%s", path, entry->d_name);
        if (lstat(below, &seen) < 0)
            continue;
        if (strstr(path, "/users"))
            may = (uid_t)atol(strstr(path, "/users/") ? strstr(path, "/users/") + 7 : entry->d_name);
        if (seen.st_uid != 0 && seen.st_uid != may)
            complain(below, "somebody else's");
        if (S_ISDIR(seen.st_mode)) {
            if (seen.st_uid != 0)
                complain(below, "a folder that is not root's");
            if (seen.st_mode & 066)
                complain(below, "a folder that others may list or write to");
            look(below, may);
        } else if (S_ISREG(seen.st_mode) && !public(entry->d_name) && (seen.st_mode & 077)) {
            complain(below, "others may read it");
        }
    }
    closedir(folder);
}

/* --- as somebody --- */

static void try(const char *path)
{
    char byte;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (read(fd, &byte, 1) != 0)
        complain(path, "was read by who may not");
    close(fd);
}

static void try_set(const char *folder, char **names)
{
    static const char *const users[] = {"", "/users/1000"};
    for (size_t i = 0; i < 2; i++)
        for (char **name = names; *name; name++) {
            char path[512];
            snprintf(path, sizeof path, "%s%s/%s", folder, users[i], *name);
            try(path);
        }
}

static void try_all(const char *store, const char *link, char **names)
{
    char target[256] = "";
    ssize_t length = readlink(link, target, sizeof target - 1);
    const char *slash = length > 0 ? strrchr(target, '/') : NULL;
    long number = slash ? atol(slash + 1) : 0;
    try_set(link, names);
    for (long next = number; slash && next < number + 12; next++) {
        char folder[300];
        snprintf(folder, sizeof folder, "%s/%ld", store, next);
        try_set(folder, names);
    }
}

int main(int argc, char **argv)
{
    int pipe_fd[2];
    struct tally other = {0, 0};
    if (argc < 5 || pipe(pipe_fd) < 0)
        return 2;
    pid_t child = fork();
    if (child == 0) {
        uid_t uid = (uid_t)atol(argv[3]);
        if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
            _exit(2);
        for (; !stopped(); tally.done++)
            try_all(argv[1], argv[2], argv + 4);
        _exit(write(pipe_fd[1], &tally, sizeof tally) == sizeof tally ? 0 : 2);
    }
    for (; !stopped(); tally.done++)
        look(argv[1], 0);
    if (read(pipe_fd[0], &other, sizeof other) != sizeof other || waitpid(child, NULL, 0) < 0)
        return 2;
    printf("looks=%lu tries=%lu wrong=%lu\n", tally.done, other.done, tally.wrong + other.wrong);
    return 0;
}
