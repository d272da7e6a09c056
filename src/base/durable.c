#include "base/durable.h"

#include "base/cleanup.h"
#include "base/failpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static bool sync_directory_of(const char *path, struct error *err)
{
    char copy[PATH_MAX];
    snprintf(copy, sizeof copy, "%s", path);
    const char *directory = dirname(copy);
    cleanup_close int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        return error_set_errno(err, errno, "sync directory %s", directory);
    return true;
}

static bool write_all(int fd, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t written = write(fd, bytes, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return false;
        bytes += written;
        length -= (size_t)written;
    }
    return true;
}

static bool temporary_name(const char *path, char name[PATH_MAX], struct error *err)
{
    const char *slash = strrchr(path, '/');
    int directory = slash ? (int)(slash - path + 1) : 0;
    /* Two writers of one path in one process would be a bug of ours; two processes differ by their id. */
    int length = snprintf(name, PATH_MAX, "%.*s.%s.%ld", directory, path, path + directory, (long)getpid());
    if (length < 0 || length >= PATH_MAX)
        return error_set(err, ERROR_INVALID, "path too long: %.80s...", path);
    return true;
}

bool durable_write(const char *path, mode_t mode, const void *bytes, size_t length, struct error *err)
{
    char temporary[PATH_MAX];
    if (!temporary_name(path, temporary, err))
        return false;
    unlink(temporary); /* left by a process that died with our id */
    cleanup_close int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return error_set_errno(err, errno, "create %s", temporary);
    FAILPOINT("file", "created");
    bool ok = fchmod(fd, mode) == 0 && write_all(fd, bytes, length);
    FAILPOINT("file", "written");
    ok = ok && fsync(fd) == 0;
    FAILPOINT("file", "synced");
    ok = ok && rename(temporary, path) == 0;
    if (!ok) {
        error_set_errno(err, errno, "write %s", path);
        unlink(temporary);
        return false;
    }
    FAILPOINT("file", "renamed");
    ok = sync_directory_of(path, err);
    FAILPOINT("file", "kept");
    return ok;
}

bool durable_remove(const char *path, struct error *err)
{
    FAILPOINT("file", "removing");
    if (unlink(path) < 0) {
        if (errno == ENOENT)
            return true;
        return error_set_errno(err, errno, "remove %s", path);
    }
    FAILPOINT("file", "removed");
    bool ok = sync_directory_of(path, err);
    FAILPOINT("file", "forgotten");
    return ok;
}

bool durable_read(const char *path, struct buffer *buffer, struct error *err)
{
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return error_set_errno(err, errno, "open %s", path);
    char block[4096];
    bool ok = true;
    for (;;) {
        ssize_t count = read(fd, block, sizeof block);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            ok = error_set_errno(err, errno, "read %s", path);
        else if (count > 0 && !buffer_append(buffer, block, (size_t)count))
            ok = error_set(err, ERROR_LIMIT, "%s is larger than %zu bytes", path, buffer->maximum);
        if (count <= 0 || !ok)
            break;
    }
    explicit_bzero(block, sizeof block);
    return ok;
}

bool durable_directory(const char *path, mode_t mode, struct error *err)
{
    bool made = mkdir(path, mode) == 0;
    if (!made && errno != EEXIST)
        return error_set_errno(err, errno, "make directory %s", path);
    struct stat status;
    if (lstat(path, &status) < 0)
        return error_set_errno(err, errno, "look at %s", path);
    if (!S_ISDIR(status.st_mode))
        return error_set(err, ERROR_INVALID, "%s is not a directory", path);
    if (status.st_uid != geteuid())
        return error_set(err, ERROR_DENIED, "%s belongs to another user (uid %u)", path, (unsigned)status.st_uid);
    if (made && (status.st_mode & 07777) != mode && chmod(path, mode) < 0)
        return error_set_errno(err, errno, "chmod %s", path);
    /* It may be in use for something else, as /tmp is. */
    if (!made && (status.st_mode & 0777 & ~mode))
        return error_set(err, ERROR_DENIED, "%s was there and is open to others (mode %04o): chmod %03o it if nothing else "
                         "uses it, or name another", path, (unsigned)status.st_mode & 07777, (unsigned)mode);
    return sync_directory_of(path, err);
}
