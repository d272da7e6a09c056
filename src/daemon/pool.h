/* Worker threads for calls that block: libvirt's and, through it, the guests'. Bounded, each with its own link. */
#ifndef LLMHOOK_DAEMON_POOL_H
#define LLMHOOK_DAEMON_POOL_H

#include "base/error.h"
#include "base/loop.h"

#include <stdbool.h>

struct host_link;
struct pool;

/* RUN is called in a worker thread, then DONE in the loop's. CONTEXT is the caller's; it owns what both need. */
typedef void pool_run_fn(void *context, struct host_link *link);
typedef void pool_done_fn(void *context);

/* THREADS workers, 1 to 64, each with a link to libvirt at URI. Owner: the caller. */
bool pool_new(struct loop *loop, const char *uri, unsigned threads, struct pool **ret_pool, struct error *err);

/* Queues a job; jobs start in the order of submitting. */
void pool_submit(struct pool *pool, pool_run_fn *run, pool_done_fn *done, void *context);

/* How many are queued or running. */
unsigned pool_load(struct pool *pool);

#endif
