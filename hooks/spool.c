#include "spool.h"

#include "base/cleanup.h"
#include "base/durable.h"
#include "surroundings.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* FNV-1a. Two names with one hash would share a file: an event lost, which costs time and never a key. */
static uint64_t hash_of(const char *name)
{
    uint64_t hash = 0xCBF29CE484222325u;
    for (const char *at = name; *at; at++)
        hash = (hash ^ (unsigned char)*at) * 0x100000001B3u;
    return hash;
}

void spool_entry(char path[PATH_MAX], const char *name, const char *uuid)
{
    surroundings_path(path, PATH_MAX, SPOOL_PATH);
    size_t used = strlen(path);
    if (uuid[0])
        snprintf(path + used, PATH_MAX - used, "/%s.json", uuid);
    else
        snprintf(path + used, PATH_MAX - used, "/name-%016" PRIx64 ".json", hash_of(name));
}

void spool_boot(char boot[SPOOL_BOOT_SIZE])
{
    char path[PATH_MAX];
    surroundings_path(path, sizeof path, BOOT_PATH);
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? 0 : read(fd, boot, SPOOL_BOOT_SIZE - 1);
    boot[length < 0 ? 0 : length] = '\0';
    if (!boot[0])
        memcpy(boot, "unknown", sizeof "unknown");
}

bool spool_keep(const char *path, const char *message, size_t length, struct error *err)
{
    char directory[PATH_MAX];
    surroundings_path(directory, sizeof directory, STATE_PATH);
    if (access(directory, F_OK) < 0)
        return errno == ENOENT || error_set_errno(err, errno, "look at %s", directory);
    surroundings_path(directory, sizeof directory, SPOOL_PATH);
    if (access(directory, F_OK) < 0 && !durable_directory(directory, 0700, err))
        return false;
    return durable_write(path, 0600, message, length, err);
}
