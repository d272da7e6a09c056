/* What the hook has to say, as one Varlink call: io.llmhook.HookEvent. */
#ifndef LLMHOOK_HOOKS_MESSAGE_H
#define LLMHOOK_HOOKS_MESSAGE_H

#include "room.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    MESSAGE_XML_MAX = 8 * 1024 * 1024, /* bytes of domain XML that we are willing to read */
    MESSAGE_MAX = 16 * 1024 * 1024,    /* bytes that the daemon takes, with the NUL */
};

/* libvirt's four arguments, which live as long as argv, and when they came. */
struct hook_call {
    const char *domain;
    const char *operation;
    const char *suboperation;
    const char *extra;
    int64_t at;       /* clock_boot_ms(): a call that is read late must not pass for a new one */
    const char *boot; /* which boot of the host AT belongs to; empty where it can only be this one */
};

/* Puts the call into the empty MESSAGE, and the NUL that ends it: valid JSON in valid UTF-8 whatever the bytes are
 * (those that are not UTF-8 become U+FFFD). XML may be empty. False when it does not fit below MESSAGE's maximum or
 * memory is short; MESSAGE is empty then. */
bool message_compose(const struct hook_call *call, const char *xml, size_t xml_length, struct room *message);

#endif
