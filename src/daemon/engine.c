/* The loop around plan(): mark, look, act.
 *
 * Theory of operation: whatever happens only marks a domain. In the next turn of the loop each marked domain is
 * looked at: its state is concluded, plan() is asked, and what it says is done; ledger actions at once and asked
 * again, requests and deliveries started. A look that finds nothing to do costs nothing and changes nothing. */
#include "daemon/engine.h"

#include "base/clock.h"
#include "base/log.h"
#include "lifecycle/budget.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LOOK_ROUNDS_MAX = 64,       /* ledger actions in one look; more would be a cycle in the plan */
    TURN_MS = 50,
    AGENT_LOOK_MS = 10000,      /* most guests' agents are there by then */
    GRANTS_MAX = POLICY_KEYS_MAX * 4,
};
/* Of a lease whose length was never told: what Vault allows if nobody has set it otherwise, 32 days. */
static const int64_t LEASE_MOST_MS = INT64_C(768) * 3600 * 1000;

static int compare_uuid(const void *uuid, const void *at)
{
    return strcmp(uuid, (*(struct vm *const *)at)->record.uuid);
}

struct vm *engine_find_vm(struct engine *engine, const char *uuid)
{
    if (!engine->vms_count)
        return NULL;
    struct vm **at = bsearch(uuid, engine->vms, engine->vms_count, sizeof *engine->vms, compare_uuid);
    return at ? *at : NULL;
}

size_t engine_vms_called(struct engine *engine, const char *name, struct vm **ret_vm)
{
    *ret_vm = engine_find_vm(engine, name);
    return *ret_vm ? 1 : engine_vms_named(engine, name, ret_vm);
}

size_t engine_vms_named(struct engine *engine, const char *name, struct vm **ret_vm)
{
    size_t there = 0, gone = 0;
    *ret_vm = NULL;
    for (size_t i = 0; i < engine->vms_count; i++) {
        struct vm *vm = engine->vms[i];
        if (strcmp(vm->record.name, name) != 0)
            continue;
        /* libvirt cannot be asked about one that it is just preparing. */
        bool is_there = vm->sighting.exists || vm->state == DOMAIN_STARTING;
        if (there == 0 && (is_there || gone == 0))
            *ret_vm = vm;
        there += is_there;
        gone += !is_there;
    }
    return there ? there : gone;
}

struct vm *engine_vm(struct engine *engine, const char *uuid, const char *name)
{
    struct vm *vm = engine_find_vm(engine, uuid);
    if (!vm) {
        struct vm **vms = realloc(engine->vms, (engine->vms_count + 1) * sizeof *vms);
        vm = calloc(1, sizeof *vm);
        if (!vms || !vm)
            abort();
        engine->vms = vms;
        size_t at = 0;
        while (at < engine->vms_count && strcmp(vms[at]->record.uuid, uuid) < 0)
            at++;
        memmove(vms + at + 1, vms + at, (engine->vms_count - at) * sizeof *vms);
        vms[at] = vm;
        engine->vms_count++;
        snprintf(vm->record.uuid, sizeof vm->record.uuid, "%s", uuid);
        vm->next_look = SCHEDULE_NEVER;
        vm->engine = engine;
    }
    if (name[0])
        snprintf(vm->record.name, sizeof vm->record.name, "%s", name);
    return vm;
}

void engine_forget(struct engine *engine, struct vm *vm)
{
    for (size_t i = 0; i < engine->vms_count; i++)
        if (engine->vms[i] == vm) {
            memmove(engine->vms + i, engine->vms + i + 1, (engine->vms_count - i - 1) * sizeof *engine->vms);
            engine->vms_count--;
            break;
        }
    for (size_t i = 0; i < vm->grants_count; i++) {
        for (size_t k = 0; k < vm->grants[i]->keys_count; k++)
            free(vm->grants[i]->keys[k]);
        free(vm->grants[i]->keys);
        free(vm->grants[i]);
    }
    free(vm->grants);
    free(vm);
}

struct provider_slot *engine_provider(struct engine *engine, const char *name)
{
    for (struct provider_slot *slot = engine->providers; slot; slot = slot->next)
        if (!slot->retired && strcmp(slot->settings->name, name) == 0)
            return slot;
    return NULL;
}

void engine_wake_at(struct engine *engine, int64_t at)
{
    if (at >= engine->timer_at)
        return;
    engine->timer_at = at;
    int64_t now = clock_monotonic_ms();
    engine->loop->timer_set(engine->loop, engine->timer, at > now ? at - now : 0);
}

void engine_mark(struct engine *engine, struct vm *vm)
{
    vm->dirty = true;
    engine_wake_at(engine, 0);
}

void engine_mark_all(struct engine *engine)
{
    for (size_t i = 0; i < engine->vms_count; i++)
        engine_mark(engine, engine->vms[i]);
}

void engine_mark_provider(struct engine *engine, const char *provider)
{
    for (size_t i = 0; i < engine->vms_count; i++)
        for (size_t g = 0; g < engine->vms[i]->grants_count; g++)
            if (strcmp(engine->vms[i]->grants[g]->record.provider, provider) == 0)
                engine_mark(engine, engine->vms[i]);
}

/* --- gathering the facts --- */

/* Room for the facts of one look; the engine has one thread and looks do not nest. */
static struct {
    struct plan_grant grants[GRANTS_MAX];
    struct plan_container containers[GRANTS_MAX];
    struct plan_key *keys;
    size_t keys_room;
} facts_room;

static unsigned abilities_of(const struct provider_slot *slot)
{
    unsigned can = provider_capabilities(slot->provider);
    return ((can & PROVIDER_CAN_CONTAIN) ? PLAN_CAN_CONTAIN : 0u) |
           ((can & PROVIDER_CAN_LIMIT_CONTAINER) ? PLAN_CAN_LIMIT_CONTAINER : 0u) |
           ((can & PROVIDER_CAN_RATE_LIMIT) ? PLAN_CAN_RATE_LIMIT : 0u) |
           ((can & PROVIDER_CAN_ARCHIVE) ? PLAN_CAN_ARCHIVE : 0u) |
           ((can & PROVIDER_CAN_SUSPEND) ? PLAN_CAN_SUSPEND : 0u) | ((can & PROVIDER_CLAIMS) ? PLAN_CLAIMS : 0u) |
           ((can & PROVIDER_CHOOSES_SECRET) ? PLAN_CAN_REPEAT : 0u) | ((can & PROVIDER_LEASES) ? PLAN_LEASES : 0u) |
           ((can & PROVIDER_CAN_CHANGE_LIMIT) ? PLAN_CAN_LIMIT_KEY : 0u);
}

int64_t engine_wanted_limit(struct engine *engine, const struct vm_grant *grant)
{
    const struct vm_container *container = grant->container;
    if (!container || container->record.kind == CONTAINER_PER_DOMAIN)
        return grant->record.monthly_limit;
    int64_t sum = 0;
    for (size_t i = 0; i < engine->vms_count; i++)
        for (size_t g = 0; g < engine->vms[i]->grants_count; g++) {
            const struct vm_grant *sharer = engine->vms[i]->grants[g];
            if (sharer->container == container && sharer->wanted)
                sum += sharer->record.monthly_limit;
        }
    /* Who has gone leaves what it has spent, which the provider counts with what the others spend. */
    return sum && engine->departed ? budget_add(sum, engine->departed(engine, container)) : sum;
}

int64_t engine_wanted_key_limit(struct engine *engine, const struct vm_grant *grant, const struct key_record *key)
{
    int64_t month = key->spent_month;
    if (engine->spent)
        engine->spent(engine, grant, &month);
    return budget_key_limit(grant->record.monthly_limit, key->spent_before, key->spent_month, month);
}

/* One request may be what makes its provider fail, each time. Whoever has tried lets those go first who wait at the same gate
 * and have not tried since: else the others would wait for ever behind it. Not a start that waits: it is told how it went, and
 * does not come again by itself. */
static bool others_go_first(const struct engine *engine, const struct vm *vm, const struct vm_grant *grant)
{
    for (size_t i = 0; grant->turn && !vm->waiter && i < engine->vms_count; i++)
        for (size_t g = 0; g < engine->vms[i]->grants_count; g++) {
            const struct vm_grant *other = engine->vms[i]->grants[g];
            if (other->turn < grant->turn && other->status.status == PLAN_STATUS_WAITING_PROVIDER &&
                strcmp(other->record.provider, grant->record.provider) == 0)
                return true;
        }
    return false;
}

static void gather_gate(const struct engine *engine, const struct vm *vm, const struct vm_grant *grant, const struct gate *gate,
                        int64_t now, struct plan_grant *facts)
{
    bool ready = gate_ready(gate, now), yields = ready && gate->failures > 0 && others_go_first(engine, vm, grant);
    facts->gate_ready = ready && !yields;
    /* They may find that they have nothing to ask any more. */
    facts->gate_opens_at = yields ? now + TURN_MS : gate->probing ? SCHEDULE_NEVER : gate->closed_until;
}

static void gather_grant(struct engine *engine, const struct vm *vm, struct vm_grant *grant, size_t index, int64_t now,
                         size_t *keys_used)
{
    struct plan_grant *facts = &facts_room.grants[index];
    struct provider_slot *slot = engine_provider(engine, grant->record.provider);
    *facts = (struct plan_grant){.record = &grant->record, .wanted = grant->wanted, .provider_ok = slot != NULL,
                                  .provider_leaves = slot && slot->removed, .over_budget = grant->over_budget};
    if (slot) {
        gather_gate(engine, vm, grant, &slot->gate, now, facts);
        facts->abilities = abilities_of(slot);
        facts->lease_ms = slot->lease_ms ? slot->lease_ms : LEASE_MOST_MS;
        facts->pool_empty = (facts->abilities & PLAN_CLAIMS) && !rows_can_claim(engine, grant->record.provider);
    }
    struct vm_container *container = grant->container;
    if (container) {
        int64_t limit = engine_wanted_limit(engine, grant);
        facts_room.containers[index] = (struct plan_container){
            &container->record,    container->busy, container->next_attempt,
            container->doubted_at, container->looked_at, limit, slot ? slot->rates : container->record.rates_set,
        };
        facts->container = &facts_room.containers[index];
    }
    facts->keys = facts_room.keys + *keys_used;
    facts->keys_count = grant->keys_count;
    for (size_t k = 0; k < grant->keys_count; k++) {
        const struct vm_key *key = grant->keys[k];
        facts_room.keys[(*keys_used)++] = (struct plan_key){
            &key->record,    key->busy, key->next_attempt, key->doubted_at, key->looked_at, key->suspend_doubted_at,
            key->resume_doubted_at,
            key->suspend_heard_at, key->renew_at, key->last_life, engine_wanted_key_limit(engine, grant, &key->record),
            key->limit_next_attempt,
        };
    }
}

static struct plan_facts gather(struct engine *engine, struct vm *vm, int64_t now)
{
    size_t keys = 0, used = 0;
    size_t grants = vm->grants_count < GRANTS_MAX ? vm->grants_count : GRANTS_MAX;
    for (size_t i = 0; i < grants; i++)
        keys += vm->grants[i]->keys_count;
    if (keys > facts_room.keys_room) {
        free(facts_room.keys);
        facts_room.keys = calloc(keys * 2, sizeof *facts_room.keys);
        if (!facts_room.keys)
            abort();
        facts_room.keys_room = keys * 2;
    }
    for (size_t i = 0; i < grants; i++)
        gather_grant(engine, vm, vm->grants[i], i, now, &used);
    return (struct plan_facts){
        .state = vm->state,
        .only_heard = vm->hints.stopped_at >= vm->sighting.asked_at && !vm->hints.stopped_certain,
        .policy_known = vm->policy_known,
        .agent = vm->agent,
        .delivery_unknown = !vm->delivery_known,
        .delivery_busy = vm->delivery.busy,
        .delivery_proven = deliveries_proven(vm),
        .delivery_next_attempt = vm->delivery.next_attempt,
        .delivered = vm->record.delivered,
        .wall = clock_wall_ms(),
        .settled_at = engine->settled_at,
        .grants = facts_room.grants,
        .grants_count = grants,
    };
}

/* --- the domain's state --- */

static void left_the_guest(struct vm *vm)
{
    deliveries_reset(vm);
    vm->agent = AGENT_UNKNOWN;
    vm->agent_heard_at = 0; /* libvirt's next answer counts, also one that was asked for before that */
    vm->delivery.waiting_since = 0;
}

/* What a domain's new state means for its row and for what is known of its guest. */
static void enter_state(struct vm *vm, struct domain_record *changed, int64_t now)
{
    log_info("%s: %s", vm->record.name, domain_state_name(vm->state));
    switch (vm->state) {
    case DOMAIN_SAVED:
        changed->stop = STOP_SAVED;
        break;
    case DOMAIN_MIGRATED:
        changed->stop = STOP_MIGRATED;
        break;
    case DOMAIN_OFF:
    case DOMAIN_ABSENT:
        changed->stop = vm->sighting.exists && vm->sighting.reason != STOP_NONE ? vm->sighting.reason : STOP_UNKNOWN;
        changed->delivered = false;
        changed->booted[0] = '\0';
        break;
    case DOMAIN_RUNNING:
        if (!vm->delivery.waiting_since)
            vm->delivery.waiting_since = now;
        break;
    case DOMAIN_PAUSED:
        /* Its memory is in use again: what it was saved or migrated to before says nothing of its next end. */
        changed->stop = STOP_NONE;
        break;
    case DOMAIN_STARTING:
    case DOMAIN_UNKNOWN:
        break;
    }
    if (vm->state != DOMAIN_RUNNING && vm->state != DOMAIN_PAUSED)
        left_the_guest(vm);
}

/* Saved or migrated, and not in libvirt's list any more: it is remembered for what it may come back to, and of what is none
 * of ours that is nothing. */
static bool may_be_forgotten(const struct vm *vm, const struct domain_timing *timing, int64_t *next)
{
    bool away = vm->state == DOMAIN_MIGRATED || vm->state == DOMAIN_SAVED;
    if (!away || vm->recorded || vm->grants_count || vm->sighting.exists || !vm->hints.missing_since)
        return false;
    int64_t for_good_at = vm->hints.missing_since + timing->undefine_grace_ms;
    if (vm->sighting.asked_at >= for_good_at)
        return true;
    *next = for_good_at;
    return false;
}

static int64_t conclude(struct engine *engine, struct vm *vm, int64_t now)
{
    /* While its hook waits for a required key, QEMU cannot come: that has the whole of its time after that. */
    int64_t waited = vm->waiter_deadline > vm->hints.starting_at ? vm->waiter_deadline - vm->hints.starting_at : 0;
    const struct domain_timing timing = {engine->config->daemon.start_grace_ms + waited,
                                         engine->config->daemon.undefine_grace_ms};
    int64_t next = SCHEDULE_NEVER;
    enum domain_state before = vm->state;
    struct domain_record changed = vm->record;
    vm->state = domain_conclude(&vm->sighting, &vm->hints, vm->record.stop, vm->record.transient, &timing, now, &next);
    if (may_be_forgotten(vm, &timing, &next))
        vm->state = DOMAIN_ABSENT;
    /* What libvirt said is too old to conclude from. Its next answer, or a sweep where there is none, brings us here. */
    if (next <= now) {
        if (!vm->looking)
            sightings_look(engine, vm);
        next = SCHEDULE_NEVER;
    }
    /* It may become transient while it runs (virsh undefine), and that decides what its absence means later. */
    if (vm->sighting.exists)
        changed.transient = !vm->sighting.persistent;
    if (vm->state != before)
        enter_state(vm, &changed, now);
    /* Not only when it is entered: what a hook had left in the spool may be read when the next boot has long been seen. */
    if ((vm->state == DOMAIN_RUNNING || vm->state == DOMAIN_PAUSED) && vm->hints.active_at > vm->spooled_at)
        changed.stop = STOP_NONE;
    if (memcmp(&changed, &vm->record, sizeof changed) != 0) {
        vm->record = changed;
        vm->row_behind = vm->recorded;
    }
    return next;
}

/* Everything waits for the agent, and one event tells of it: should that be lost, libvirt's word is as good. */
static int64_t look_for_agent(struct engine *engine, struct vm *vm, int64_t now)
{
    struct vm_delivery *delivery = &vm->delivery;
    bool awaited = vm->agent == AGENT_DISCONNECTED || vm->agent == AGENT_UNKNOWN;
    if (vm->state != DOMAIN_RUNNING || !awaited || (!vm->record.delivered && !deliveries_any(vm)))
        return SCHEDULE_NEVER;
    int64_t next = schedule_look_again(delivery->waiting_since, delivery->looked_at, AGENT_LOOK_MS);
    if (next > now)
        return next;
    delivery->looked_at = now;
    sightings_look(engine, vm);
    return schedule_look_again(delivery->waiting_since, now, AGENT_LOOK_MS);
}

/* --- acting --- */

static bool leases(struct engine *engine, const struct vm_grant *grant)
{
    const struct provider_slot *slot = engine_provider(engine, grant->record.provider);
    return slot && (provider_capabilities(slot->provider) & PROVIDER_LEASES);
}

static bool is_archived(const struct vm_container *container)
{
    return container && container->record.state == CONTAINER_ARCHIVED;
}

static bool do_key_action(struct engine *engine, struct vm *vm, const struct plan_action *action, int64_t wall)
{
    struct vm_key *key = vm->grants[action->grant]->keys[action->key];
    struct key_record changed = key->record;
    const char *event = NULL, *cause = "";
    switch (action->kind) {
    case PLAN_DROP_KEY:
        event = transition_key_drop(&changed, wall);
        cause = "not wanted any more, or no key is free for it; nothing was asked of the provider";
        break;
    case PLAN_PROVE_KEY:
        event = transition_key_proven(&changed, wall);
        cause = "read back from the guest";
        break;
    case PLAN_DOUBT_KEY:
        event = transition_key_doubt(&changed, wall);
        cause = "the answer to its minting was lost: it may exist";
        break;
    case PLAN_RETIRE_KEY:
        event = transition_key_retire(&changed, wall);
        cause = "the guest has proven a newer one";
        break;
    case PLAN_END_KEY:
        event = transition_key_end(&changed, wall);
        cause = vm->grants[action->grant]->record.held_at ? "an operator revoked it"
                : vm->grants[action->grant]->over_budget ? "the limit of this month is reached"
                : is_archived(vm->grants[action->grant]->container)  ? "what it was made in has been archived"
                : changed.retiring_at && vm->state == DOMAIN_RUNNING ? "its overlap with the newer one is over"
                                                        : domain_state_name(vm->state);
        break;
    default:
        event = transition_key_gone(&changed, wall);
        cause = leases(engine, vm->grants[action->grant]) ? "its lease, if there was one, has ended"
                                                          : "the provider does not list it";
        break;
    }
    if (changed.unknown && !key->record.unknown) {
        key->doubted_at = clock_monotonic_ms();
        key->looked_at = 0;
    }
    key->next_attempt = 0;
    return rows_save_key(engine, vm, key, &changed, event, cause, "llmhookd");
}

static bool do_container_action(struct engine *engine, struct vm *vm, const struct plan_action *action, int64_t wall)
{
    struct vm_container *container = vm->grants[action->grant]->container;
    struct container_record changed = container->record;
    const char *event = NULL, *cause = "";
    if (action->kind == PLAN_DOUBT_CONTAINER) {
        event = transition_container_doubt(&changed);
        cause = "the answer to its creation was lost: it may exist";
        container->doubted_at = clock_monotonic_ms();
        container->looked_at = 0;
    } else if (action->kind == PLAN_DROP_CONTAINER) {
        event = transition_container_drop(&changed, wall);
        cause = "it was never made";
    } else {
        event = transition_container_end(&changed);
        cause = "the domain is undefined";
    }
    container->next_attempt = 0;
    return rows_save_container(engine, vm, container, &changed, event, cause);
}

/* False: the ledger refused. */
static bool do_ledger_action(struct engine *engine, struct vm *vm, const struct plan_action *action)
{
    int64_t wall = clock_wall_ms();
    switch (action->kind) {
    case PLAN_NEW_KEY:
        return rows_new_key(engine, vm, vm->grants[action->grant]);
    case PLAN_NEW_CONTAINER:
        return rows_new_container(engine, vm, vm->grants[action->grant]);
    case PLAN_END_GRANT:
        return rows_end_grant(engine, vm, vm->grants[action->grant]);
    case PLAN_FORGET_DOMAIN:
        return rows_forget_domain(engine, vm);
    case PLAN_DOUBT_CONTAINER:
    case PLAN_DROP_CONTAINER:
    case PLAN_END_CONTAINER:
        return do_container_action(engine, vm, action, wall);
    default:
        return do_key_action(engine, vm, action, wall);
    }
}

/* Does what the plan says. True: a row changed, so the plan must be asked again. *RET_GONE: VM does not exist any
 * more. *RET_FAILED: the ledger refused, so nothing else may be begun. */
static bool carry_out(struct engine *engine, struct vm *vm, const struct plan *plan, bool *ret_gone, bool *ret_failed)
{
    for (size_t i = 0; i < plan->count; i++) {
        const struct plan_action *action = &plan->actions[i];
        if (!plan_kind_is_ledger(action->kind))
            continue;
        if (!do_ledger_action(engine, vm, action)) {
            *ret_failed = true;
            return false;
        }
        *ret_gone = action->kind == PLAN_FORGET_DOMAIN;
        return true; /* one at a time: the others' indices may be stale now */
    }
    for (size_t i = 0; i < plan->count; i++) {
        if (plan->actions[i].kind == PLAN_DELIVER)
            deliveries_start(engine, vm);
        else
            requests_start(engine, vm, &plan->actions[i]);
    }
    return false;
}

static void look(struct engine *engine, struct vm *vm)
{
    static struct plan plan;
    static struct plan_grant_status statuses[GRANTS_MAX];
    int64_t now = clock_monotonic_ms();
    bool gone = false, failed = vm->boot_began && !sightings_end_holds(engine, vm), again = true;
    vm->dirty = false;
    vm->next_look = SCHEDULE_NEVER;
    int64_t next = schedule_earlier(conclude(engine, vm, now), look_for_agent(engine, vm, now));
    policy_apply(engine, vm);
    failed = failed || vm->policy_behind;
    if (vm->row_behind)
        vm->row_behind = !rows_save_domain(engine, vm);
    if (vm->row_behind)
        next = schedule_earlier(next, now + ENGINE_LEDGER_RETRY_MS);
    struct plan_facts facts = gather(engine, vm, now);
    for (unsigned round = 0; again && round < LOOK_ROUNDS_MAX; round++) {
        plan_domain(&facts, now, &plan, statuses);
        for (size_t i = 0; i < facts.grants_count; i++)
            vm->grants[i]->status = statuses[i];
        again = carry_out(engine, vm, &plan, &gone, &failed);
        if (gone)
            return;
        facts = gather(engine, vm, now);
    }
    if (failed || again)
        next = now + ENGINE_LEDGER_RETRY_MS;
    if (vm->waiter)
        sightings_answer_waiter(engine, vm, &facts);
    if (vm->waiter)
        next = schedule_earlier(next, vm->waiter_deadline);
    vm->next_look = schedule_earlier(schedule_earlier(vm->next_look, next), plan.next_look);
    engine_wake_at(engine, vm->next_look);
}

/* Each look may write, and a slow disk takes its time for that: hooks are served between the turns, and the watchdog. The next
 * turn begins where this one has ended. */
static void look_at_due(struct engine *engine, int64_t now)
{
    for (size_t left = engine->vms_count; left > 0; left--) {
        if (engine->next_vm >= engine->vms_count)
            engine->next_vm = 0;
        struct vm *vm = engine->vms[engine->next_vm];
        bool due = vm->dirty || vm->next_look <= now;
        if (due)
            look(engine, vm);
        /* It may have removed its domain, which moves the ones behind it to the front. */
        if (engine->next_vm < engine->vms_count && engine->vms[engine->next_vm] == vm)
            engine->next_vm++;
        if (due && clock_monotonic_ms() - now >= TURN_MS)
            return;
    }
}

static void on_timer(void *context)
{
    struct engine *engine = context;
    engine->timer_at = SCHEDULE_NEVER;
    int64_t now = clock_monotonic_ms();
    if (engine->sweep_retry_at && now >= engine->sweep_retry_at)
        sightings_sweep(engine);
    look_at_due(engine, now);
    int64_t earliest = engine->sweep_retry_at ? engine->sweep_retry_at : SCHEDULE_NEVER;
    for (size_t i = 0; i < engine->vms_count; i++)
        earliest = schedule_earlier(earliest, engine->vms[i]->dirty ? 0 : engine->vms[i]->next_look);
    engine_wake_at(engine, earliest);
}

bool engine_start(struct engine *engine, struct error *err)
{
    engine->timer_at = SCHEDULE_NEVER;
    engine->settled_at = clock_monotonic_ms();
    engine->timer = engine->loop->timer(engine->loop, on_timer, engine);
    if (engine->timer < 0)
        return error_set(err, ERROR_IO, "the engine's timer could not be made");
    engine_mark_all(engine);
    return true;
}
