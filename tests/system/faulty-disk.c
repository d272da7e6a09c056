/* Loaded into the daemon in front of the C library: while the file named by FAULTY_DISK is there, whatever is written
 * or synced below the folder in FAULTY_FOLDER fails with EIO, as on a disk that has gone bad. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static bool bad(int fd)
{
    char link[64], path[512];
    const char *flag = getenv("FAULTY_DISK"), *folder = getenv("FAULTY_FOLDER");
    if (!flag || !folder || access(flag, F_OK) != 0)
        return false;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return false;
    path[length] = '\0';
    if (strncmp(path, folder, strlen(folder)) != 0)
        return false;
    errno = EIO;
    return true;
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at)
{
    return bad(fd) ? -1 : syscall(SYS_pwrite64, fd, bytes, length, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at)
{
    return bad(fd) ? -1 : syscall(SYS_pwrite64, fd, bytes, length, at);
}

ssize_t write(int fd, const void *bytes, size_t length)
{
    return bad(fd) ? -1 : syscall(SYS_write, fd, bytes, length);
}

int fdatasync(int fd)
{
    return bad(fd) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
    return bad(fd) ? -1 : (int)syscall(SYS_fsync, fd);
}
