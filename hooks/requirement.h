/* Whether a domain must not start without a key, as far as that can be known without the daemon. */
#ifndef LLMHOOK_HOOKS_REQUIREMENT_H
#define LLMHOOK_HOOKS_REQUIREMENT_H

#include "domain-xml.h"

#include <stdbool.h>
#include <stdint.h>

struct requirement {
    bool gives_keys;     /* the policy for the name requires the keys that it gives */
    bool of_own;         /* and those that the domain asks for itself, unless that says otherwise */
    int64_t deadline_ms; /* how long a start may be held up to get the key */
};

/* Reads /var/lib/llmhook/required, which the daemon writes from its configuration: `deadline MS`, and a line for each
 * policy, of which the first that matches counts: `name GLOB` gives keys and requires them, `own GLOB` gives none, `free
 * GLOB` requires nothing. Other lines mean nothing here. No file: no patterns, 10 s. */
struct requirement requirement_read(const char *name);

/* Whether this domain does. Without a vm element in its XML, or without any XML, its name alone decides. */
bool requirement_holds(const struct requirement *requirement, const struct domain_xml *domain);

#endif
