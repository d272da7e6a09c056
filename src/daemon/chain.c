#include "daemon/chain.h"

#include <stdlib.h>

struct waiter {
    struct waiter *next;
    chain_fn *done;
    void *context;
};

/* For as long as somebody waits. */
struct chain_run {
    struct engine *engine;
    struct ledger_chain chain;
    struct waiter *present, *next; /* of this one, and of the one after */
};

static void go_on(void *context);

static void tell(struct waiter *waiters, const struct error *result)
{
    for (struct waiter *waiter; (waiter = waiters); free(waiter)) {
        waiters = waiter->next;
        waiter->done(waiter->context, result);
    }
}

/* Whoever is told may ask again, and then finds either the next one under way or none. */
static void end(struct chain_run *run, const struct error *result)
{
    struct engine *engine = run->engine;
    struct waiter *told = run->present;
    if (run->next) {
        *run = (struct chain_run){.engine = engine, .present = run->next};
        engine->loop->post(engine->loop, go_on, run);
    } else {
        engine->chain = NULL;
        free(run);
    }
    tell(told, result);
}

static void go_on(void *context)
{
    struct chain_run *run = context;
    struct error err = ERROR_INIT;
    bool holds = ledger_journal_verify_some(run->engine->ledger, &run->chain, CHAIN_SLICE, &err);
    if (holds && !run->chain.complete)
        run->engine->loop->post(run->engine->loop, go_on, run);
    else
        end(run, &err);
}

void chain_verify(struct engine *engine, chain_fn *done, void *context)
{
    struct chain_run *run = engine->chain;
    struct waiter *waiter = calloc(1, sizeof *waiter);
    if (!waiter || (!run && !(run = calloc(1, sizeof *run))))
        abort();
    *waiter = (struct waiter){.done = done, .context = context};
    if (engine->chain && run->chain.begun) {
        waiter->next = run->next;
        run->next = waiter;
        return;
    }
    waiter->next = run->present;
    run->present = waiter;
    if (engine->chain)
        return;
    run->engine = engine;
    engine->chain = run;
    engine->loop->post(engine->loop, go_on, run);
}
