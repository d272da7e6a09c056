/* Theory of operation: "nobody answers there, so the name is free" cannot be decided and acted upon in one step, so two
 * daemons that start together could each remove the other's socket. A lock file beside the socket makes it one step. The
 * probe by connect() remains: it finds a listener that knows nothing of our lock. */
#include "control/listener.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>

static bool lock_name(const char *path, char name[PATH_MAX])
{
    int length = snprintf(name, PATH_MAX, "%s.lock", path);
    return length > 0 && length < PATH_MAX;
}

/* Locks the file that NAME means now: between open() and flock() its last holder may have removed it. */
static bool take_lock(const char *path, int *ret_lock, struct error *err)
{
    char name[PATH_MAX];
    if (!lock_name(path, name))
        return error_set(err, ERROR_INVALID, "path too long: %.80s...", path);
    for (;;) {
        cleanup_close int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
        if (fd < 0)
            return error_set_errno(err, errno, "create %s", name);
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
            if (errno == EWOULDBLOCK)
                return error_set(err, ERROR_BUSY, "another llmhookd is running: it holds %s", name);
            return error_set_errno(err, errno, "lock %s", name);
        }
        struct stat held, named;
        if (fstat(fd, &held) < 0)
            return error_set_errno(err, errno, "look at %s", name);
        if (stat(name, &named) == 0 && named.st_ino == held.st_ino && named.st_dev == held.st_dev) {
            *ret_lock = fd;
            fd = -1;
            return true;
        }
    }
}

/* Leaves PATH without a file, or says who is there. */
static bool make_room(const struct sockaddr_un *address, struct error *err)
{
    struct stat status;
    if (lstat(address->sun_path, &status) < 0) {
        if (errno == ENOENT)
            return true;
        return error_set_errno(err, errno, "look at %s", address->sun_path);
    }
    if (!S_ISSOCK(status.st_mode))
        return error_set(err, ERROR_EXISTS, "%s is there already and is not a socket", address->sun_path);
    cleanup_close int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0)
        return error_set_errno(err, errno, "make a socket");
    /* EAGAIN is a listener whose queue is full. */
    if (connect(probe, (const struct sockaddr *)address, sizeof *address) == 0 || errno == EAGAIN)
        return error_set(err, ERROR_BUSY, "another llmhookd is running: it listens at %s", address->sun_path);
    if (errno != ECONNREFUSED && errno != ENOENT)
        return error_set_errno(err, errno, "connect to %s", address->sun_path);
    if (unlink(address->sun_path) < 0 && errno != ENOENT)
        return error_set_errno(err, errno, "remove the old %s", address->sun_path);
    return true;
}

static bool listen_at(const struct sockaddr_un *address, struct control_listener *listener, struct error *err)
{
    cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_set_errno(err, errno, "make a socket");
    /* bind() gives the file the socket's own mode less the umask, so there is no moment with another mode, and the
     * umask, which all threads share, stays alone. */
    if (fchmod(fd, 0600) < 0 || bind(fd, (const struct sockaddr *)address, sizeof *address) < 0)
        return error_set_errno(err, errno, "make the socket %s", address->sun_path);
    struct stat status;
    if (lstat(address->sun_path, &status) < 0 || listen(fd, SOMAXCONN) < 0) {
        error_set_errno(err, errno, "listen at %s", address->sun_path);
        unlink(address->sun_path);
        return false;
    }
    listener->device = status.st_dev;
    listener->inode = status.st_ino;
    listener->fd = fd;
    fd = -1;
    return true;
}

static void release_lock(const char *path, int lock)
{
    char name[PATH_MAX];
    if (lock_name(path, name))
        unlink(name);
    close(lock);
}

bool control_listen(const char *path, struct control_listener *ret_listener, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    if (!length || length >= sizeof address.sun_path)
        return error_set(err, ERROR_INVALID, "a socket's path has 1 to %zu bytes, not %zu",
                         sizeof address.sun_path - 1, length);
    memcpy(address.sun_path, path, length + 1);
    struct control_listener listener = {.fd = -1, .lock = -1};
    memcpy(listener.path, path, length + 1);
    if (!take_lock(path, &listener.lock, err))
        return false;
    if (!make_room(&address, err) || !listen_at(&address, &listener, err)) {
        release_lock(path, listener.lock);
        return false;
    }
    *ret_listener = listener;
    return true;
}

void control_listener_close(struct control_listener *listener)
{
    struct stat status;
    if (lstat(listener->path, &status) == 0 && status.st_ino == listener->inode && status.st_dev == listener->device)
        unlink(listener->path);
    close(listener->fd);
    release_lock(listener->path, listener->lock);
    listener->fd = listener->lock = -1;
}
