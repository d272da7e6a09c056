/* When to try again. Pure: the same input gives the same answer, jitter included. */
#ifndef LLMHOOK_LIFECYCLE_SCHEDULE_H
#define LLMHOOK_LIFECYCLE_SCHEDULE_H

#include "lifecycle/outcome.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCHEDULE_NEVER INT64_MAX

/* Doubles from FIRST_MS to at most CAP_MS with the number of FAILURES (1: the first), then takes up to a quarter off,
 * chosen by SEED, so that many waiting for the same thing do not come back together. Milliseconds, at least 1. */
int64_t schedule_backoff(int64_t failures, int64_t first_ms, int64_t cap_ms, uint64_t seed);

/* PERIOD_MS with up to a tenth taken off, chosen by SEED, so that what began together does not come due together. */
int64_t schedule_spread(int64_t period_ms, uint64_t seed);

/* From 0 to WINDOW_MS, chosen by SEED: for what would otherwise happen all at once. */
int64_t schedule_within(int64_t window_ms, uint64_t seed);

/* When to look again for what is awaited since SINCE and should be told of, but might not be: FIRST_MS after that, then each
 * time after as long again as it had waited at the look before (LOOKED_AT; before SINCE: none yet). */
int64_t schedule_look_again(int64_t since, int64_t looked_at, int64_t first_ms);

/* Whether something that somebody else can cause as often as he likes may happen now: BURST times at once, and then
 * once in EVERY_MS. *SPENT, 0 at first, keeps the account; it changes only when the answer is yes. */
bool schedule_allow(int64_t *spent, int64_t now, int64_t every_ms, int64_t burst);

/* Whether TEXT, a trouble that is come upon again and again, is to be said now: when it is not what was said last (TOLD, a
 * string of SIZE bytes at most; empty: nothing) and schedule_allow() has room. What there was no room for is asked about
 * again and said later, should it still be so. Changes TOLD when the answer is yes. */
bool schedule_is_news(char *told, size_t size, const char *text, int64_t *spent, int64_t now, int64_t every_ms, int64_t burst);

/* The earlier of two times. */
static inline int64_t schedule_earlier(int64_t one, int64_t other)
{
    return one < other ? one : other;
}

/* A provider's gate: closed for everybody after a failure that is the provider's, not the request's. When it is due
 * one call goes through as a probe; its success opens the gate for all, so that what waited goes on at once. */
struct gate {
    int64_t failures;     /* in a row; 0: open */
    int64_t closed_at;    /* monotonic */
    int64_t closed_until; /* monotonic */
    bool probing;
    enum outcome why;     /* OUTCOME_OK while open */
};

/* Whether a call may start now. */
bool gate_ready(const struct gate *gate, int64_t now);
/* A call starts. */
void gate_begin(struct gate *gate);
/* A call that started at STARTED_AT ended. RETRY_AFTER_MS: as the provider asked, -1: it did not.
 * Returns true when the gate has opened by this. */
bool gate_end(struct gate *gate, enum outcome outcome, int64_t retry_after_ms, int64_t started_at, int64_t now,
              uint64_t seed);

#endif
