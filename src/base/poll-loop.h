/* struct loop on poll(2), for whoever waits for something in a thread of his own, and for tests. One thread turns it;
 * post() may come from any. */
#ifndef LLMHOOK_BASE_POLL_LOOP_H
#define LLMHOOK_BASE_POLL_LOOP_H

#include "base/loop.h"

struct poll_loop;

/* NULL when the system has no memory or descriptors left. */
struct poll_loop *poll_loop_new(void);
void poll_loop_free(struct poll_loop *poll_loop);
struct loop *poll_loop_base(struct poll_loop *poll_loop);

/* Waits for at most MAX_WAIT_MS and calls what is due. */
void poll_loop_turn(struct poll_loop *poll_loop, int64_t max_wait_ms);

/* Turns until *FLAG is true; false when that took longer than DEADLINE_MS. */
bool poll_loop_until(struct poll_loop *poll_loop, const bool *flag, int64_t deadline_ms);

/* How many watches and armed timers there are, to find what was left behind. */
unsigned poll_loop_watches(const struct poll_loop *poll_loop);
unsigned poll_loop_armed(const struct poll_loop *poll_loop);

#endif
