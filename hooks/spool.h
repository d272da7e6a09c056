/* Events that no daemon took. The daemon reads them when it starts.
 *
 * One file a domain, the newest event in it: an event only says where to look, so older ones add nothing, and the
 * spool cannot grow beyond the number of domains. A file is `<uuid>.json`, or `name-<hash>.json` when no XML told the
 * UUID, and holds the message that the socket would have got, with the boot it is from and without its NUL. Files
 * beginning with a dot are unfinished. */
#ifndef LLMHOOK_HOOKS_SPOOL_H
#define LLMHOOK_HOOKS_SPOOL_H

#include "base/error.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

/* The file for the domain. UUID may be empty; it is trusted to be one otherwise. */
void spool_entry(char path[PATH_MAX], const char *name, const char *uuid);

enum { SPOOL_BOOT_SIZE = 37 }; /* 36 characters and the NUL */

/* The kernel's id of this boot of the host: an entry may be read in the next one, when its times mean nothing. "unknown"
 * when the kernel does not say. */
void spool_boot(char boot[SPOOL_BOOT_SIZE]);

/* Keeps the message (LENGTH bytes, no NUL) at PATH, durably. Where /var/lib/llmhook does not exist, llmhook is not set
 * up, no daemon will ever read it, and doing nothing is success. */
bool spool_keep(const char *path, const char *message, size_t length, struct error *err);

#endif
