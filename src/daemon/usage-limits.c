/* The limit at the provider itself is read as well as what was spent, because others can change it: one that is not what we
 * set counts as not set, and the plan sets it again. Of containers some are read each time; where it is on the keys, their
 * list shows all of them. */
#include "daemon/usage.h"

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "daemon/alerts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIMITS_AT_ONCE = 20, WORDS_MS = 3600 * 1000 };

struct limit_read {
    struct engine *engine;
    struct provider_slot *slot;
    struct usage_provider *state; /* of containers' limits */
    int64_t container_id, started_at;
    void *known; /* see rows_name_known() */
};

static void tell_changed(struct engine *engine, const struct provider_slot *slot, const char *id, const char *name,
                         const char *what)
{
    log_warning("%s: the limit of %s was changed by somebody else, and is set again: %s", slot->settings->name, name, what);
    char cause[ALERT_CAUSE_SIZE], text[ALERT_TEXT_SIZE];
    snprintf(cause, sizeof cause, "%.128s %" PRId64, id, clock_wall_ms());
    snprintf(text, sizeof text, "the limit of %.200s was changed by somebody else, and is set again: %.200s", name, what);
    alerts_raise(engine, &(struct alert_condition){.kind = ALERT_CAP, .cause = cause, .text = text,
                                                   .provider = slot->settings->name});
}

static void limit_was_read(void *context, struct provider_result *result)
{
    struct limit_read *read = context;
    struct engine *engine = read->engine;
    struct provider_slot *slot = read->slot;
    struct vm_container *container = rows_find_container(engine, read->container_id);
    FAILPOINT("read-limit", "answered");
    slot->in_flight--;
    requests_gate_ended(engine, slot, &slot->gate, result, read->started_at);
    if (container && container->record.state == CONTAINER_OPEN && container->record.limit_set > 0 && !container->busy &&
        container->limited_at < read->started_at && result->other_limit) {
        tell_changed(engine, slot, container->record.remote_id, container->record.name, result->error.text);
        container->record.limit_set = 0; /* the plan sets it, and the row is saved then */
        engine_mark_provider(engine, slot->settings->name);
    } else if (result->outcome == OUTCOME_REFUSED && schedule_allow(&read->state->words, clock_monotonic_ms(), WORDS_MS, 1)) {
        log_warning("%s: a limit could not be read: %s", slot->settings->name, result->error.text);
    }
    if (slot->retired)
        requests_collect_retired(engine);
    free(read);
}

void usage_read_limits(struct engine *engine, struct provider_slot *slot, struct usage_provider *state, int64_t now)
{
    int64_t last = state->limits_after;
    for (int i = 0; i < LIMITS_AT_ONCE; i++) {
        struct vm_container *next = NULL;
        for (struct vm_container *at = engine->containers; at; at = at->next)
            if (strcmp(at->record.provider, state->name) == 0 && at->record.state == CONTAINER_OPEN && !at->busy &&
                at->record.limit_set > 0 && at->record.id > last && (!next || at->record.id < next->record.id))
                next = at;
        if (!next) {
            state->limits_after = 0;
            return;
        }
        struct limit_read *read = calloc(1, sizeof *read);
        if (!read)
            abort();
        *read = (struct limit_read){engine, slot, state, next->record.id, now, NULL};
        struct provider_call call = {.verb = PROVIDER_LIMIT_CONTAINER, .only_read = true,
                                     .monthly_limit = next->record.limit_set};
        memcpy(call.container_id, next->record.remote_id, sizeof call.container_id);
        gate_begin(&slot->gate);
        slot->in_flight++;
        last = state->limits_after = next->record.id;
        FAILPOINT("read-limit", "sending");
        provider_start(slot->provider, &call, limit_was_read, read);
    }
}

/* --- on keys --- */

static int by_id(const void *a, const void *b)
{
    const struct provider_item *one = a, *other = b;
    return strcmp(one->id, other->id);
}

/* In a list that was sorted by id. */
static const struct provider_item *find_listed(const struct provider_result *result, const char *id)
{
    struct provider_item wanted;
    snprintf(wanted.id, sizeof wanted.id, "%s", id);
    return bsearch(&wanted, result->items, result->items_count, sizeof *result->items, by_id);
}

static void compare_key(struct engine *engine, const struct limit_read *read, struct vm *vm, struct vm_key *key,
                        const struct provider_result *result)
{
    const struct provider_item *item = key->record.limit_set > 0 && !key->busy && key->limited_at < read->started_at
                                           ? find_listed(result, key->record.remote_id)
                                           : NULL;
    char what[96];
    if (!item || item->monthly_limit < 0 || budget_limit_holds(item->monthly_limit, key->record.limit_set))
        return;
    if (item->monthly_limit)
        snprintf(what, sizeof what, "%.2f USD a month, not %.2f", (double)item->monthly_limit / 1e6,
                 (double)key->record.limit_set / 1e6);
    else
        snprintf(what, sizeof what, "it has none any more");
    tell_changed(engine, read->slot, key->record.remote_id, key->record.name, what);
    key->record.limit_set = 0; /* the plan sets it, and the row is saved then */
    engine_mark(engine, vm);
}

static void key_limits_were_read(void *context, struct provider_result *result)
{
    struct limit_read *read = context;
    struct engine *engine = read->engine;
    struct provider_slot *slot = read->slot;
    FAILPOINT("read-limit", "answered");
    slot->in_flight--;
    requests_gate_ended(engine, slot, &slot->gate, result, read->started_at);
    if (result->items_count)
        qsort(result->items, result->items_count, sizeof *result->items, by_id);
    for (size_t i = 0; result->items_count && i < engine->vms_count; i++)
        for (size_t g = 0; g < engine->vms[i]->grants_count; g++) {
            struct vm_grant *grant = engine->vms[i]->grants[g];
            for (size_t k = 0; strcmp(grant->record.provider, slot->settings->name) == 0 && k < grant->keys_count; k++)
                compare_key(engine, read, engine->vms[i], grant->keys[k], result);
        }
    if (slot->retired)
        requests_collect_retired(engine);
    free(read->known);
    free(read);
}

void usage_read_key_limits(struct engine *engine, struct provider_slot *slot, int64_t now)
{
    bool any = false;
    for (size_t i = 0; i < engine->vms_count; i++)
        for (size_t g = 0; g < engine->vms[i]->grants_count; g++)
            any = any || (strcmp(engine->vms[i]->grants[g]->record.provider, slot->settings->name) == 0 &&
                          engine->vms[i]->grants[g]->keys_count);
    struct limit_read *read = any ? calloc(1, sizeof *read) : NULL;
    if (!read)
        return;
    *read = (struct limit_read){.engine = engine, .slot = slot, .started_at = now};
    struct provider_call call = {.verb = PROVIDER_INVENTORY};
    snprintf(call.name_prefix, sizeof call.name_prefix, "llmhook:%s:", engine->host_id);
    read->known = rows_name_known(engine, slot->settings->name, &call);
    gate_begin(&slot->gate);
    slot->in_flight++;
    FAILPOINT("read-limit", "sending");
    provider_start(slot->provider, &call, key_limits_were_read, read);
}
