#include "ledger/place.h"

#include "base/cleanup.h"
#include "base/durable.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

static const char *const companions[] = {"", "-wal", "-shm", "-journal"};

static bool join(char *ret_path, const char *path, int length, const char *ending, struct error *err)
{
    int written = snprintf(ret_path, PATH_MAX, "%.*s%s", length, path, ending);
    if (written < 0 || written >= PATH_MAX)
        return error_set(err, ERROR_INVALID, "path too long: %.80s...", path);
    return true;
}

static bool folder_of(const char *path, char folder[PATH_MAX], struct error *err)
{
    char copy[PATH_MAX];
    if (!join(copy, path, INT_MAX, "", err))
        return false;
    snprintf(folder, PATH_MAX, "%s", dirname(copy));
    return true;
}

bool place_prepare(const char *path, struct error *err)
{
    char folder[PATH_MAX];
    struct stat status;
    if (!folder_of(path, folder, err))
        return false;
    if (stat(folder, &status) < 0)
        return errno == ENOENT ? durable_directory(folder, 0700, err) : error_set_errno(err, errno, "look at %s", folder);
    if (!S_ISDIR(status.st_mode))
        return error_set(err, ERROR_INVALID, "%s is not a directory", folder);
    if (status.st_uid != geteuid())
        return error_set(err, ERROR_DENIED, "%s belongs to another user (uid %u)", folder, (unsigned)status.st_uid);
    if (status.st_mode & 077)
        return error_set(err, ERROR_DENIED, "%s is open to others (mode %03o): chmod 700 it", folder,
                         (unsigned)status.st_mode & 0777);
    return true;
}

static bool lock_name(const char *path, char name[PATH_MAX], struct error *err)
{
    static const char ending[] = ".sqlite";
    size_t length = strlen(path), cut = sizeof ending - 1;
    if (length > cut && strcmp(path + length - cut, ending) == 0)
        length -= cut;
    return join(name, path, length > INT_MAX ? INT_MAX : (int)length, ".lock", err);
}

static long owner_of(int lock)
{
    char text[24] = "";
    ssize_t length = pread(lock, text, sizeof text - 1, 0);
    return length > 0 ? strtol(text, NULL, 10) : 0;
}

bool place_lock(const char *path, int *ret_lock, struct error *err)
{
    char name[PATH_MAX], text[24];
    if (!lock_name(path, name, err))
        return false;
    int lock = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock < 0)
        return error_set_errno(err, errno, "open %s", name);
    if (flock(lock, LOCK_EX | LOCK_NB) < 0) {
        int errnum = errno;
        /* The owner writes its number right behind taking the lock: it can be missing for a moment. */
        long owner = owner_of(lock);
        if (errnum != EWOULDBLOCK)
            error_set_errno(err, errnum, "lock %s", name);
        else if (owner > 0)
            error_set(err, ERROR_BUSY, "ledger %s: another llmhookd (pid %ld) has it open", path, owner);
        else
            error_set(err, ERROR_BUSY, "ledger %s: another llmhookd has it open", path);
        close(lock);
        return false;
    }
    /* The number is only for the sentence above: the lock itself is the truth, so a full disk does not matter here. */
    int length = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (fchmod(lock, 0600) < 0 || ftruncate(lock, 0) < 0 || pwrite(lock, text, (size_t)length, 0) < 0) {
        if (errno != ENOSPC && errno != EDQUOT) {
            error_set_errno(err, errno, "write %s", name);
            close(lock);
            return false;
        }
    }
    *ret_lock = lock;
    return true;
}

void place_unlock(int lock)
{
    /* Explicitly: a child that was just forked and has not yet called exec would keep it otherwise. */
    flock(lock, LOCK_UN);
    close(lock);
}

static bool make_private(const char *path, struct error *err)
{
    struct stat status;
    if (lstat(path, &status) < 0)
        return errno == ENOENT || error_set_errno(err, errno, "look at %s", path);
    if (!S_ISREG(status.st_mode))
        return error_set(err, ERROR_INVALID, "%s is not a regular file", path);
    if (status.st_uid != geteuid())
        return error_set(err, ERROR_DENIED, "%s belongs to another user (uid %u)", path, (unsigned)status.st_uid);
    if ((status.st_mode & 07777) != 0600 && chmod(path, 0600) < 0)
        return error_set_errno(err, errno, "chmod %s", path);
    return true;
}

bool place_look(const char *path, bool *ret_there, struct error *err)
{
    char name[PATH_MAX];
    for (size_t i = 0; i < sizeof companions / sizeof companions[0]; i++) {
        if (!join(name, path, INT_MAX, companions[i], err) || !make_private(name, err))
            return false;
    }
    struct stat status;
    if (stat(path, &status) < 0) {
        if (errno != ENOENT)
            return error_set_errno(err, errno, "look at %s", path);
        /* SQLite would play it into whatever gets that name next. */
        if (join(name, path, INT_MAX, "-wal", err) && stat(name, &status) == 0 && status.st_size > 0)
            return error_set(err, ERROR_IO, "ledger %s is missing, but its write-ahead log %s is there: put the ledger "
                                            "back, or move the log aside as well and run `llmhook audit`", path, name);
        *ret_there = false;
        return true;
    }
    if (status.st_size == 0)
        return error_set(err, ERROR_IO, "ledger %s is damaged (it is empty): restore it, or move it and its -wal file "
                                        "aside and run `llmhook audit`, which finds the keys it knew", path);
    *ret_there = true;
    return true;
}

static bool sync_folder(const char *path, struct error *err)
{
    char folder[PATH_MAX];
    if (!folder_of(path, folder, err))
        return false;
    cleanup_close int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        return error_set_errno(err, errno, "sync directory %s", folder);
    return true;
}

bool place_begin(const char *path, char *ret_new, size_t size, struct error *err)
{
    char name[PATH_MAX];
    /* What an earlier attempt left: we hold the lock, so nobody is at it. */
    for (size_t i = 0; i < sizeof companions / sizeof companions[0]; i++) {
        char ending[32];
        snprintf(ending, sizeof ending, ".new%s", companions[i]);
        if (!join(name, path, INT_MAX, ending, err))
            return false;
        if (unlink(name) < 0 && errno != ENOENT)
            return error_set_errno(err, errno, "remove %s", name);
    }
    if (!join(name, path, INT_MAX, ".new", err))
        return false;
    cleanup_close int fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    /* SQLite gives its WAL and index the mode of the file, whatever the umask. */
    if (fd < 0 || fchmod(fd, 0600) < 0)
        return error_set_errno(err, errno, "create %s", name);
    snprintf(ret_new, size, "%s", name);
    return true;
}

bool place_finish(const char *path, const char *new_path, struct error *err)
{
    cleanup_close int fd = open(new_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fsync(fd) < 0)
        return error_set_errno(err, errno, "sync %s", new_path);
    if (rename(new_path, path) < 0)
        return error_set_errno(err, errno, "rename %s", new_path);
    return sync_folder(path, err);
}
