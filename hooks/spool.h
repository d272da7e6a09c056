/* Events that no daemon took. The daemon reads them when it starts.
 *
 * One file a domain, the newest event in it: an event only says where to look, so older ones add nothing, and the
 * spool cannot grow beyond the number of domains. A file is `<uuid>.json`, or `name-<hash>.json` when no XML told the
 * UUID, and holds the message that the socket would have got, without its NUL. Files beginning with a dot are
 * unfinished. */
#ifndef LLMHOOK_HOOKS_SPOOL_H
#define LLMHOOK_HOOKS_SPOOL_H

#include "base/error.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

/* The file for the domain. UUID may be empty; it is trusted to be one otherwise. */
void spool_entry(char path[PATH_MAX], const char *name, const char *uuid);

/* Keeps the message (LENGTH bytes, no NUL) at PATH, durably. Where /var/lib/llmhook does not exist, llmhook is not set
 * up, no daemon will ever read it, and doing nothing is success. */
bool spool_keep(const char *path, const char *message, size_t length, struct error *err);

#endif
