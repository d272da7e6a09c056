/* The host's own keys: when one has become another, each domain that has a copy of the earlier one gets the new one.
 *
 * Nobody tells us, so it is looked at when the daemon starts, at each reload, and every ten minutes. What follows is a
 * rotation like any other: the guest proves the new copy before the old row retires. */
#include "daemon/engine.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

struct question {
    struct engine *engine;
    struct provider_slot *slot;
    int64_t started_at;
};

/* The newest copy that GRANT's domain has or is about to get. A newer row may be one whose minting is in doubt. */
static const struct key_record *copy_in_use(const struct vm_grant *grant)
{
    for (size_t i = grant->keys_count; i > 0; i--) {
        const struct key_record *key = &grant->keys[i - 1]->record;
        if (key->state == KEY_ACTIVE || key->state == KEY_MINTED)
            return key;
    }
    return NULL;
}

static void replace_copies(struct engine *engine, const char *provider, const char *id)
{
    for (size_t i = 0; i < engine->vms_count; i++)
        for (size_t g = 0; g < engine->vms[i]->grants_count; g++) {
            struct vm_grant *grant = engine->vms[i]->grants[g];
            const struct key_record *key = copy_in_use(grant);
            if (strcmp(grant->record.provider, provider) != 0 || !key || strcmp(key->remote_id, id) == 0 ||
                key->generation <= grant->record.replace_through)
                continue;
            struct grant_record changed = grant->record;
            changed.replace_through = key->generation;
            log_notice("%s: the host's key of %s is another now", engine->vms[i]->record.name, provider);
            if (rows_save_grant(engine, engine->vms[i], grant, &changed, "rotation asked for",
                                "the host's key is another now", "llmhookd"))
                engine_mark(engine, engine->vms[i]);
        }
}

static void on_answer(void *context, struct provider_result *result)
{
    struct question *question = context;
    question->slot->in_flight--;
    requests_gate_ended(question->engine, question->slot, &question->slot->gate, result, question->started_at);
    if (result->outcome == OUTCOME_OK && !question->slot->retired)
        replace_copies(question->engine, question->slot->settings->name, result->key_id);
    free(question);
}

void shared_look(struct engine *engine)
{
    const struct provider_call call = {.verb = PROVIDER_CHECK};
    for (struct provider_slot *slot = engine->providers; slot; slot = slot->next) {
        if (slot->retired || !(provider_capabilities(slot->provider) & PROVIDER_SHARED))
            continue;
        struct question *question = calloc(1, sizeof *question);
        if (!question)
            abort();
        *question = (struct question){engine, slot, clock_monotonic_ms()};
        slot->in_flight++;
        provider_start(slot->provider, &call, on_answer, question);
    }
}
