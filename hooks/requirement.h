/* Whether a domain must not start without a key, as far as that can be known without the daemon. */
#ifndef LLMHOOK_HOOKS_REQUIREMENT_H
#define LLMHOOK_HOOKS_REQUIREMENT_H

#include <stdbool.h>
#include <stdint.h>

struct requirement {
    bool by_name;        /* a pattern of the daemon's file matches */
    int64_t deadline_ms; /* how long a start may be held up to get the key */
};

/* Reads /var/lib/llmhook/required, which the daemon writes from its configuration: lines `name GLOB` and
 * `deadline MS`; other lines mean nothing here. No file: no patterns, 10 s. */
struct requirement requirement_read(const char *name);

#endif
