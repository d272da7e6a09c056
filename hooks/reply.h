/* What the daemon answers to HookEvent, read strictly: anything else is no answer. */
#ifndef LLMHOOK_HOOKS_REPLY_H
#define LLMHOOK_HOOKS_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    REPLY_MAX = 64 * 1024,      /* bytes of one answer */
    REPLY_REASON_MAX = 512,     /* bytes kept of its reason */
    REPLY_WAIT_MAX_MS = 600000, /* no start is held up longer, whoever asks for it */
};

enum reply_verdict {
    REPLY_ACCEPTED,
    REPLY_WAIT,
    REPLY_REFUSED,
};

struct reply {
    enum reply_verdict verdict;
    int64_t wait_ms;               /* with REPLY_WAIT: 0 to REPLY_WAIT_MAX_MS */
    char reason[REPLY_REASON_MAX]; /* with REPLY_REFUSED: UTF-8, whole characters, may be empty */
};

/* TEXT is one message without its NUL. False, and *RET untouched, when it is a Varlink error, not JSON, or not one of
 * the three verdicts with what belongs to it. */
bool reply_parse(const char *text, size_t length, struct reply *ret);

#endif
