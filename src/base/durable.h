/* Files that are there after a power cut: the file and its directory are both synced. libc only (the hook uses it). */
#ifndef LLMHOOK_BASE_DURABLE_H
#define LLMHOOK_BASE_DURABLE_H

#include "base/buffer.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Replaces PATH atomically: a temporary file beside it (name starting with a dot), fsync, rename, fsync of the
 * directory. MODE is exact, whatever the umask. On failure PATH is as it was. */
bool durable_write(const char *path, mode_t mode, const void *bytes, size_t length, struct error *err);

/* Removes PATH and syncs its directory. A file that is not there is success. */
bool durable_remove(const char *path, struct error *err);

/* Appends the whole file to BUFFER; ERROR_LIMIT when it does not fit below the buffer's maximum. */
bool durable_read(const char *path, struct buffer *buffer, struct error *err);

/* Makes one directory (not its parents), mode exact. One that exists is left as it is: it must be a directory, ours, and
 * not open to anybody to whom MODE is not. */
bool durable_directory(const char *path, mode_t mode, struct error *err);

#endif
