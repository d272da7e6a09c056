/* A few threads of a provider's own, for what blocks: fetching a credential, running a program. Nothing of the engine is
 * touched there: a job owns what it needs, and its end is told in the loop's thread. */
#ifndef LLMHOOK_PROVIDERS_WORKERS_H
#define LLMHOOK_PROVIDERS_WORKERS_H

#include "base/error.h"
#include "base/loop.h"

#include <stdbool.h>

struct workers;

/* In a worker's thread. CANCEL becomes readable when it is to end early. */
typedef void workers_run_fn(void *context, int cancel);
/* In the loop's. */
typedef void workers_done_fn(void *context);

/* At most MOST at once; more wait. Owner of *RET: the caller. */
bool workers_new(struct loop *loop, unsigned most, struct workers **ret_workers, struct error *err);

void workers_submit(struct workers *workers, workers_run_fn *run, workers_done_fn *done, void *context);

/* Cancels what runs and waits for it; what has not begun never does. DONE of each is called from inside. Not from a
 * DONE. NULL is fine. */
void workers_free(struct workers *workers);

#endif
