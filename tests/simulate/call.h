/* One request of a daemon to a simulated provider, and what becomes of it: requests.c sends and answers it, remote.c carries
 * it out. */
#ifndef LLMHOOK_TESTS_SIMULATE_CALL_H
#define LLMHOOK_TESTS_SIMULATE_CALL_H

#include "world.h"

enum { CALL_ITEMS_MAX = 8 };

enum fate {
    FATE_UNREACHABLE, FATE_UNAUTHORIZED, FATE_THROTTLED, FATE_THROTTLED_UNTIL, FATE_5XX_BEFORE, FATE_5XX_AFTER,
    FATE_REQUEST_LOST, FATE_ANSWER_LOST, FATE_REFUSED, FATE_LATE, FATE_TWICE, FATE_STALE, FATE_5XX_LATE,
    FATES, FATE_GOOD,
};

struct call {
    bool awaited;        /* the daemon waits for its answer */
    unsigned executions; /* to come */
    int64_t sent_at;
    int64_t cut_off_at;  /* when the daemon that had asked was gone */
    bool told;           /* OUTCOME is what the daemon will be told, whatever is done */
    struct provider_call call;
    int host;
    unsigned remote;
    enum fate fate;
    provider_done_fn *done;
    void *context;
    /* what came of it */
    enum outcome outcome;
    int64_t retry_after_ms;
    char id[24];
    uint64_t chosen; /* what the key is to be, 0: the provider's choice */
    uint64_t secret;
    int64_t life_ms;
    bool last_life;
    unsigned found_count;
    char found[CALL_ITEMS_MAX][24];
};

/* The host's own key, or what it signs: no provider is asked. */
bool remote_is_own(const struct remote *remote);

/* Does at the provider what CALL asks for, now, and notes in it what came of that. TWIN: the second time, unasked. */
void remote_execute(struct call *call, bool twin);

/* Forgets all requests. */
void requests_reset(void);

#endif
