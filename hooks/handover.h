/* Handing one event to the daemon, within a time that does not depend on the daemon. */
#ifndef LLMHOOK_HOOKS_HANDOVER_H
#define LLMHOOK_HOOKS_HANDOVER_H

#include "reply.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum handover_result {
    HANDOVER_ACCEPTED, /* the daemon has it, and nothing stands against going on */
    HANDOVER_REFUSED,  /* the daemon has it, and the domain is not to start: see reason */
    HANDOVER_ABSENT,   /* nobody listens at the socket */
    HANDOVER_SILENT,   /* somebody does, but did not answer before the deadline */
    HANDOVER_LOST,     /* the connection ended without an answer */
    HANDOVER_GARBLED,  /* an error, or something that is no answer to our question */
};

struct handover {
    const char *message; /* borrowed */
    size_t length;       /* with the NUL that ends the message */
    int64_t deadline;    /* clock_ms() by which a try ends */
    bool obeys_wait;     /* let the daemon move the deadline, once, to find out about a required key */
    bool waited;         /* it has done so: the domain requires a key */
    char reason[REPLY_REASON_MAX];
};

/* Connects, sends, and reads until there is a verdict. May be called again after anything but ACCEPTED and REFUSED. */
enum handover_result handover_try(struct handover *handover);

#endif
