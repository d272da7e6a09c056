/* Verifying the journal's chain while the loop goes on with all else. */
#ifndef LLMHOOK_DAEMON_CHAIN_H
#define LLMHOOK_DAEMON_CHAIN_H

#include "daemon/engine.h"

enum { CHAIN_SLICE = 2000 }; /* lines in one turn of the loop: some milliseconds, of the 200 that a hook waits */

/* RESULT: no error where the chain holds, else the first line that does not fit, or why the ledger could not be read. */
typedef void chain_fn(void *context, const struct error *result);

/* Goes through all lines there are, from the first, beginning after the call; then calls DONE in a turn of the loop. Who asks
 * while that is under way for another waits for the next one: what is told is of no earlier moment than he asked. */
void chain_verify(struct engine *engine, chain_fn *done, void *context);

#endif
