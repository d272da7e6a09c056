/* What came of asking a provider for something. The whole core turns on these words. */
#ifndef LLMHOOK_LIFECYCLE_OUTCOME_H
#define LLMHOOK_LIFECYCLE_OUTCOME_H

enum outcome {
    OUTCOME_OK,           /* done, and the provider said so */
    OUTCOME_GONE,         /* what was to be removed or read is certainly not there: for a removal this is success */
    OUTCOME_REFUSED,      /* the provider understood and will not (400, 403...): trying again soon is useless */
    OUTCOME_UNAUTHORIZED, /* our admin credential is missing or not accepted (401) */
    OUTCOME_UNREACHABLE,  /* not asked (no route, refused connection, TLS, name resolution), or it could not do it (5xx),
                             of what does no harm should it be done yet */
    OUTCOME_THROTTLED,    /* come back later (429; of the same also 503 with Retry-After) */
    OUTCOME_UNSUPPORTED,  /* this provider cannot do that at all; nothing was sent */
    OUTCOME_UNKNOWN,      /* sent, and no trustworthy answer: it may or may not have happened */
};

/* "ok", "gone", "refused", "unauthorized", "unreachable", "throttled", "unsupported", "unknown". */
const char *outcome_name(enum outcome outcome);

#endif
