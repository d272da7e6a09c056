/* Provider actions: the intent is committed, the request goes out, its outcome is committed.
 *
 * A failure that is the provider's (unreachable, throttled, not authorized) closes the provider's gate for everybody;
 * one that is this request's own (refused) delays this row. */
#include "daemon/engine.h"

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "credentials/credential.h"
#include "daemon/usage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REFUSED_FIRST_MS = 5000, REFUSED_CAP_MS = 600000, REPEAT_FIRST_MS = 500, REPEAT_CAP_MS = 30000, RENEW_LEAST_MS = 5000 };

/* One request under way. Rows are named by id: they may have changed, or gone, when the answer comes. */
struct request {
    struct engine *engine;
    struct provider_slot *slot;
    enum plan_kind kind;
    char uuid[RECORD_UUID_SIZE];
    int64_t key_id, container_id, limit;
    int64_t started_at;
    struct secret *chosen; /* owned; what the key is to be, or is. NULL: the provider chooses, or need not know */
};

static void request_free(struct request *request)
{
    secret_free(request->chosen);
    free(request);
}

static uint64_t seed_of(const char *text)
{
    uint64_t hash = UINT64_C(1469598103934665603);
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * UINT64_C(1099511628211);
    return hash;
}

static bool fetch_admin_key(void *context, const struct provider_settings *settings, struct secret **ret_secret,
                            struct error *err)
{
    if ((provider_type_capabilities(settings->type) & PROVIDER_EXPIRES) && !settings->admin_key[0])
        return issuer_signing_key(context, ret_secret, err);
    return credential_fetch(settings->admin_key, ret_secret, err);
}

/* --- how long a lease lasts, of which the ledger keeps the longest: what nobody renews has ended after that --- */

static void name_lease(const struct provider_slot *slot, char name[64])
{
    snprintf(name, 64, "lease of %s", slot->settings->name);
}

static void recall_lease(struct engine *engine, struct provider_slot *slot)
{
    char name[64], text[32];
    name_lease(slot, name);
    if ((provider_capabilities(slot->provider) & PROVIDER_LEASES) &&
        ledger_get_text(engine->ledger, name, text, sizeof text, NULL))
        slot->lease_ms = strtoll(text, NULL, 10);
}

static void note_lease(struct engine *engine, struct provider_slot *slot, int64_t lease_ms)
{
    char name[64], text[32];
    struct error err = ERROR_INIT;
    if (lease_ms <= slot->lease_ms)
        return;
    slot->lease_ms = lease_ms;
    name_lease(slot, name);
    snprintf(text, sizeof text, "%lld", (long long)lease_ms);
    FAILPOINT("lease-noted", "committing");
    if (!ledger_set_text(engine->ledger, name, text, &err)) /* then the most that there is holds after a restart */
        log_warning("ledger: %s: how long leases of %s last is not noted", err.text, slot->settings->name);
    FAILPOINT("lease-noted", "committed");
}

bool requests_open_provider(struct engine *engine, const struct provider_settings *settings, struct error *err)
{
    struct provider_slot *slot = calloc(1, sizeof *slot);
    if (!slot)
        return error_set(err, ERROR_IO, "out of memory");
    if (!provider_new(engine->http, settings, fetch_admin_key, engine, &slot->provider, err)) {
        free(slot);
        return error_prefix(err, "provider %s", settings->name);
    }
    slot->settings = provider_settings(slot->provider);
    recall_lease(engine, slot);
    struct buffer text = BUFFER_INIT(64 * 1024);
    for (unsigned i = 0; i < settings->rates_count; i++)
        buffer_printf(&text, "%s %lld %lld\n", settings->rates[i].model,
                      (long long)settings->rates[i].requests_per_minute,
                      (long long)settings->rates[i].tokens_per_minute);
    if (text.length)
        secret_fingerprint_bytes(text.data, text.length, slot->rates);
    buffer_clear(&text);
    slot->next = engine->providers;
    engine->providers = slot;
    return true;
}

bool requests_open_providers(struct engine *engine, struct error *err)
{
    for (size_t i = 0; i < engine->config->providers_count; i++)
        if (!requests_open_provider(engine, &engine->config->providers[i], err))
            return false;
    return true;
}

static void free_retired(struct engine *engine)
{
    for (struct provider_slot **at = &engine->providers; *at;) {
        struct provider_slot *slot = *at;
        if (slot->retired && !slot->in_flight) {
            *at = slot->next;
            provider_free(slot->provider);
            free(slot);
        } else {
            at = &slot->next;
        }
    }
}

static void collect_retired(void *context)
{
    free_retired(context);
}

void requests_collect_retired(struct engine *engine)
{
    engine->loop->post(engine->loop, collect_retired, engine);
}

/* What the provider may yet do it does whatever the configuration says. */
static void keep_doubts(struct engine *engine)
{
    for (struct provider_slot *old = engine->providers; old; old = old->next) {
        struct provider_slot *slot = old->retired ? engine_provider(engine, old->settings->name) : NULL;
        if (slot && old->stock_doubted_at > slot->stock_doubted_at)
            slot->stock_doubted_at = old->stock_doubted_at;
    }
}

void requests_reopen_providers(struct engine *engine)
{
    /* What is under way ends with the old settings; what begins uses the new ones. */
    for (struct provider_slot *slot = engine->providers; slot; slot = slot->next)
        slot->retired = true;
    struct error err = ERROR_INIT;
    if (!requests_open_providers(engine, &err))
        log_error("%s", err.text);
    keep_doubts(engine);
    free_retired(engine);
    /* What was refused may be taken with the new settings: that is tried now, not in ten minutes. */
    for (size_t i = 0; i < engine->vms_count; i++)
        for (size_t g = 0; g < engine->vms[i]->grants_count; g++) {
            struct vm_grant *grant = engine->vms[i]->grants[g];
            for (size_t k = 0; k < grant->keys_count; k++)
                grant->keys[k]->next_attempt = grant->keys[k]->limit_next_attempt = 0;
            if (grant->container)
                grant->container->next_attempt = 0;
        }
}

struct gate *requests_gate(struct provider_slot *slot, enum provider_verb verb)
{
    bool local = verb == PROVIDER_MINT_KEY || verb == PROVIDER_FIND_KEYS || verb == PROVIDER_REVOKE_KEY;
    return (provider_capabilities(slot->provider) & PROVIDER_EXPIRES) && !local ? &slot->admin_gate : &slot->gate;
}

void requests_gate_ended(struct engine *engine, struct provider_slot *slot, struct gate *gate,
                         const struct provider_result *result, int64_t started_at)
{
    int64_t now = clock_monotonic_ms(), failures = gate->failures;
    bool opened = gate_end(gate, result->outcome, result->retry_after_ms, started_at, now, seed_of(slot->settings->name));
    slot->answered = slot->answered || result->outcome == OUTCOME_OK || result->outcome == OUTCOME_REFUSED ||
                     result->outcome == OUTCOME_GONE;
    if (gate->failures > 0 && result->outcome != OUTCOME_OK) {
        slot->no_credential = result->no_credential;
        bool news = failures == 0 || strcmp(slot->last_error, result->error.text) != 0;
        snprintf(slot->last_error, sizeof slot->last_error, "%.*s", (int)sizeof slot->last_error - 1,
                 result->error.text);
        if (news)
            log_warning("provider %s: %s: %s", slot->settings->name, outcome_name(result->outcome), slot->last_error);
    }
    if (opened) {
        log_notice("provider %s: answers again", slot->settings->name);
        slot->last_error[0] = '\0';
    }
    /* Those that waited at the gate learn that it opened, or when it is due. */
    if (opened || gate->failures != failures)
        engine_mark_provider(engine, slot->settings->name);
}

static enum provider_verb verb_of(enum plan_kind kind)
{
    switch (kind) {
    case PLAN_FIND_CONTAINER:
        return PROVIDER_FIND_CONTAINER;
    case PLAN_CREATE_CONTAINER:
        return PROVIDER_CREATE_CONTAINER;
    case PLAN_LIMIT_CONTAINER:
        return PROVIDER_LIMIT_CONTAINER;
    case PLAN_RATE_CONTAINER:
        return PROVIDER_RATE_LIMIT_CONTAINER;
    case PLAN_ARCHIVE_CONTAINER:
        return PROVIDER_ARCHIVE_CONTAINER;
    case PLAN_MINT_KEY:
        return PROVIDER_MINT_KEY;
    case PLAN_FIND_KEY:
        return PROVIDER_FIND_KEYS;
    case PLAN_RENEW_KEY:
        return PROVIDER_RENEW_KEY;
    case PLAN_LIMIT_KEY:
        return PROVIDER_LIMIT_KEY;
    case PLAN_SUSPEND_KEY:
        return PROVIDER_SUSPEND_KEY;
    case PLAN_RESUME_KEY:
        return PROVIDER_RESUME_KEY;
    default:
        return PROVIDER_REVOKE_KEY;
    }
}

/* --- what came of it --- */

static int64_t next_attempt(const struct provider_result *result, int64_t attempts, const char *name)
{
    if (result->outcome != OUTCOME_REFUSED && result->outcome != OUTCOME_UNSUPPORTED && result->outcome != OUTCOME_GONE)
        return 0; /* the gate decides */
    return clock_monotonic_ms() + schedule_backoff(attempts, REFUSED_FIRST_MS, REFUSED_CAP_MS, seed_of(name));
}

/* What came of a request. Where the ledger refuses it the row is as before, and what it asks for is asked again: not at
 * once, or a full disk would be a flood at the provider. */
static bool save_key(struct engine *engine, struct vm *vm, struct vm_key *key, struct key_record *changed, const char *event,
                     const char *cause)
{
    if (rows_save_key(engine, vm, key, changed, event, cause, "llmhookd"))
        return true;
    key->next_attempt = key->limit_next_attempt = clock_monotonic_ms() + ENGINE_LEDGER_RETRY_MS;
    return false;
}

static void say_failed(const struct vm *vm, const char *what, const char *name, int64_t attempts,
                       const struct provider_result *result)
{
    if (result->outcome == OUTCOME_REFUSED || result->outcome == OUTCOME_UNSUPPORTED || attempts == 1)
        log_warning("%s: %s %s: %s: %s", vm->record.name, what, name, outcome_name(result->outcome),
                    result->error.text);
}

static void vanish(struct engine *engine, struct vm *vm, struct vm_container *container)
{
    struct container_record changed = container->record;
    const char *event = transition_container_vanished(&changed, clock_wall_ms());
    rows_save_container(engine, vm, container, &changed, event, "the provider does not have it any more");
    engine_mark_provider(engine, changed.provider); /* others may have had keys in it */
}

/* It is asked for again, with the same secret. Where the answer names a key that exists all the same, that one is not
 * ours and in the way: then all goes on as where nothing can be repeated. */
static void unanswered(struct engine *engine, struct vm *vm, struct vm_key *key, const struct provider_result *result)
{
    struct key_record changed = key->record;
    int64_t now = clock_monotonic_ms();
    const char *event = transition_key_unanswered(&changed, result->error.text);
    key->doubted_at = now;
    key->looked_at = 0;
    key->next_attempt =
        now + schedule_backoff(changed.attempts, REPEAT_FIRST_MS, REPEAT_CAP_MS, seed_of(changed.name));
    say_failed(vm, "mint", changed.name, changed.attempts, result);
    save_key(engine, vm, key, &changed, event, result->error.text);
}

/* One from the pool, whose secret is here already. It is asked for again until there is an answer. */
static void claimed(struct engine *engine, struct vm *vm, struct vm_key *key, const struct provider_result *result)
{
    struct key_record changed = key->record;
    const char *event = transition_key_claimed(&changed, result->outcome, result->error.text, clock_wall_ms());
    if (event && result->outcome == OUTCOME_OK)
        changed.expires_at = result->expires_at;
    if (result->outcome == OUTCOME_UNKNOWN)
        key->resume_doubted_at = clock_monotonic_ms(); /* what it asked for may be done later than what comes next */
    key->next_attempt = event ? 0 : next_attempt(result, changed.attempts, changed.name);
    if (!event)
        say_failed(vm, "claim", changed.name, changed.attempts, result);
    save_key(engine, vm, key, &changed, event,
             result->outcome == OUTCOME_GONE ? "the provider does not have it any more" : "");
}

static void note_life(struct vm_key *key, const struct provider_result *result)
{
    int64_t now = clock_monotonic_ms();
    key->ends_at = result->life_ms ? now + result->life_ms : 0;
    key->renew_at = result->renew_in_ms                    ? now + result->renew_in_ms
                    : result->last_life && result->life_ms ? key->ends_at /* then it is asked whether it is gone */
                                                           : SCHEDULE_NEVER;
    key->last_life = result->last_life;
}

static void minted(struct engine *engine, const struct request *request, struct vm *vm, struct vm_grant *grant,
                   struct vm_key *key, struct provider_result *result)
{
    struct key_record changed = key->record;
    int64_t wall = clock_wall_ms();
    struct provider_slot *slot = request->slot;
    bool leased = provider_capabilities(slot->provider) & PROVIDER_LEASES;
    if (changed.remote_id[0]) {
        claimed(engine, vm, key, result);
        return;
    }
    if (result->outcome == OUTCOME_OK && result->secret) {
        char fingerprint[SECRET_FINGERPRINT_SIZE];
        secret_fingerprint(result->secret, fingerprint);
        transition_key_minted(&changed, OUTCOME_OK, result->key_id, fingerprint, "", wall);
        snprintf(changed.usage_id, sizeof changed.usage_id, "%s", result->usage_id);
        if (leased)
            note_life(key, result);
        else if (result->life_ms)
            changed.expires_at = wall + result->life_ms;
        note_lease(engine, slot, result->lease_ms);
        if (provider_capabilities(slot->provider) & PROVIDER_CAN_CHANGE_LIMIT)
            changed.limit_set = request->limit;
        key->limited_at = clock_monotonic_ms();
        rows_save_minted(engine, vm, key, &changed, result->secret, "");
        return;
    }
    /* Where keys have names it is found by its own, and whatever else has it. */
    const char *event = leased && result->outcome == OUTCOME_UNKNOWN && result->key_id[0]
                            ? transition_key_unusable(&changed, result->key_id, result->error.text, wall)
                            : transition_key_minted(&changed, result->outcome, NULL, NULL, result->error.text, wall);
    if (changed.state == KEY_REVOKING) {
        key->doubted_at = clock_monotonic_ms();
        key->looked_at = 0;
    }
    key->next_attempt = next_attempt(result, changed.attempts, changed.name);
    say_failed(vm, "mint", changed.name, changed.attempts, result);
    if (save_key(engine, vm, key, &changed, event, result->error.text) &&
        result->outcome == OUTCOME_GONE && grant->container)
        vanish(engine, vm, grant->container);
}

/* A renewal. The row may have gone on to its end meanwhile. */
static void renewed(struct engine *engine, struct vm *vm, struct vm_key *key, const struct provider_result *result)
{
    struct key_record changed = key->record;
    bool gone = result->outcome == OUTCOME_GONE, had_failed = changed.attempts > 0;
    if (changed.state != KEY_MINTED && changed.state != KEY_ACTIVE && changed.state != KEY_RETIRING)
        return;
    const char *event = transition_key_renewed(&changed, result->outcome, result->error.text, clock_wall_ms());
    key->next_attempt = result->outcome == OUTCOME_OK || gone ? 0 : next_attempt(result, changed.attempts, changed.name);
    if (result->outcome == OUTCOME_OK)
        note_life(key, result);
    else if (!gone)
        say_failed(vm, "renew", changed.name, changed.attempts, result);
    /* What is put right in time must not be found out too late: the nearer the end, the more often it is tried. */
    int64_t now = clock_monotonic_ms(), left = key->ends_at - now;
    if (key->next_attempt && left > 0 && key->next_attempt > now + left / 4)
        key->next_attempt = now + (left / 4 > RENEW_LEAST_MS ? left / 4 : RENEW_LEAST_MS);
    if (result->outcome != OUTCOME_OK || had_failed)
        save_key(engine, vm, key, &changed, event, gone ? "the provider does not have it any more" : "");
}

/* A suspension or a resumption. The row may have gone on to its end meanwhile. */
static void switched(struct engine *engine, const struct request *request, struct vm *vm, struct vm_key *key,
                     const struct provider_result *result)
{
    struct key_record changed = key->record;
    int64_t now = clock_monotonic_ms(), wall = clock_wall_ms();
    bool suspends = request->kind == PLAN_SUSPEND_KEY;
    int64_t doubted_at = key->suspend_doubted_at > key->resume_doubted_at ? key->suspend_doubted_at : key->resume_doubted_at;
    if (changed.state != KEY_SUSPENDED)
        return;
    if (result->outcome == OUTCOME_UNKNOWN)
        *(suspends ? &key->suspend_doubted_at : &key->resume_doubted_at) = now;
    if (suspends && result->outcome == OUTCOME_OK)
        key->suspend_heard_at = request->started_at;
    bool certain = !doubted_at || request->started_at >= doubted_at + PLAN_SETTLE_MS;
    const char *event = suspends ? transition_key_suspended(&changed, result->outcome, certain, result->error.text, wall)
                                 : transition_key_resumed(&changed, result->outcome, result->error.text, wall);
    if (!suspends && result->outcome == OUTCOME_OK && result->expires_at)
        changed.expires_at = result->expires_at; /* of one whose claim was not answered it is not known yet */
    if (event && changed.state == KEY_REVOKING)
        key->looked_at = 0; /* it may come back: a list from before proves nothing */
    key->next_attempt = event ? 0 : next_attempt(result, changed.attempts, changed.name);
    if (!event && result->outcome != OUTCOME_OK)
        say_failed(vm, plan_kind_name(request->kind), changed.name, changed.attempts, result);
    save_key(engine, vm, key, &changed, event,
             result->outcome == OUTCOME_GONE ? "the provider does not have it any more" : "");
}

/* Its limit. What else is to become of the key does not wait for a limit that was refused. */
static void limited(struct engine *engine, const struct request *request, struct vm *vm, struct vm_key *key,
                    const struct provider_result *result)
{
    struct key_record changed = key->record;
    const char *event = transition_key_limited(&changed, result->outcome, request->limit, result->error.text, clock_wall_ms());
    if (event && changed.state == KEY_REVOKING)
        key->looked_at = 0; /* it may come back: a list from before proves nothing */
    key->limited_at = clock_monotonic_ms();
    key->limit_next_attempt = event ? 0 : next_attempt(result, changed.attempts, changed.name);
    if (!event && result->outcome != OUTCOME_OK)
        say_failed(vm, plan_kind_name(request->kind), changed.name, changed.attempts, result);
    save_key(engine, vm, key, &changed, event,
             result->outcome == OUTCOME_GONE ? "the provider does not have it any more" : "");
}

/* That a key is gone, or cannot be made, because what it would be in is gone: there must be such a thing. An account that
 * says so of itself is wrong, and has the others' keys. */
static bool is_gone_without_a_container(const struct request *request, const struct vm_grant *grant, const struct vm_key *key,
                                        const struct provider_result *result)
{
    bool about_container = request->kind == PLAN_FIND_KEY || (request->kind == PLAN_MINT_KEY && !key->record.remote_id[0]);
    bool may_go = (provider_capabilities(request->slot->provider) & PROVIDER_CAN_CONTAIN) && grant->container &&
                  strcmp(grant->container->record.remote_id, PROVIDER_ACCOUNT) != 0;
    return result->outcome == OUTCOME_GONE && about_container && !may_go;
}

static void key_ended(struct engine *engine, struct request *request, struct vm *vm, struct vm_grant *grant,
                      struct vm_key *key, struct provider_result *result)
{
    struct key_record changed = key->record;
    const char *event = NULL, *what = "revoke";
    int64_t wall = clock_wall_ms();
    key->busy = false;
    if (is_gone_without_a_container(request, grant, key, result))
        result->outcome = OUTCOME_REFUSED;
    if (request->kind == PLAN_MINT_KEY) {
        if (request->chosen && result->outcome == OUTCOME_UNKNOWN && !result->key_id[0])
            unanswered(engine, vm, key, result);
        else
            minted(engine, request, vm, grant, key, result);
        return;
    }
    if (request->kind == PLAN_RENEW_KEY) {
        renewed(engine, vm, key, result);
        return;
    }
    if (request->kind == PLAN_SUSPEND_KEY || request->kind == PLAN_RESUME_KEY) {
        switched(engine, request, vm, key, result);
        return;
    }
    if (request->kind == PLAN_LIMIT_KEY) {
        limited(engine, request, vm, key, result);
        return;
    }
    if (request->kind == PLAN_FIND_KEY) {
        what = "find";
        event = transition_key_found(&changed, result->outcome, result->items_count ? result->items[0].id : "",
                                     result->error.text, wall);
        if (result->outcome == OUTCOME_OK && !result->items_count)
            key->looked_at = request->started_at;
    } else {
        event = transition_key_revoked(&changed, result->outcome, result->error.text, wall);
        if (event && changed.state == KEY_REVOKING)
            key->looked_at = 0; /* one more look before it is believed gone */
    }
    key->next_attempt = event || result->outcome == OUTCOME_OK ? 0 : next_attempt(result, changed.attempts, changed.name);
    if (!event && result->outcome != OUTCOME_OK)
        say_failed(vm, what, changed.name, changed.attempts, result);
    save_key(engine, vm, key, &changed, event, "");
}

static void container_ended(struct engine *engine, const struct request *request, struct vm *vm,
                            struct vm_container *container, const struct provider_result *result)
{
    struct container_record changed = container->record;
    const char *event = NULL;
    container->busy = false;
    if (changed.state == CONTAINER_ARCHIVED)
        return; /* it vanished while this was under way: its row is history */
    switch (request->kind) {
    case PLAN_FIND_CONTAINER:
        event = transition_container_found(&changed, result->outcome, result->items_count ? result->items[0].id : "",
                                           result->error.text);
        if (result->outcome == OUTCOME_OK && !result->items_count)
            container->looked_at = request->started_at;
        if (result->items_count > 1)
            log_warning("%s: the provider has %zu containers called %s; the oldest is used, llmhook audit names the "
                        "others", vm->record.name, result->items_count, changed.name);
        break;
    case PLAN_CREATE_CONTAINER:
        event = transition_container_created(&changed, result->outcome, result->container_id, result->error.text);
        container->looked_at = 0;
        if (changed.unknown)
            container->doubted_at = clock_monotonic_ms();
        break;
    case PLAN_LIMIT_CONTAINER:
        event = transition_container_limited(&changed, result->outcome, request->limit, result->error.text);
        container->limited_at = clock_monotonic_ms();
        break;
    case PLAN_RATE_CONTAINER:
        event = transition_container_rated(&changed, result->outcome, request->slot->rates, result->error.text);
        break;
    default:
        event = transition_container_archived(&changed, result->outcome, result->error.text, clock_wall_ms());
        break;
    }
    bool gone = result->outcome == OUTCOME_GONE && request->kind != PLAN_ARCHIVE_CONTAINER;
    container->next_attempt =
        event || result->outcome == OUTCOME_OK ? 0 : next_attempt(result, changed.attempts, changed.name);
    if (!event && result->outcome != OUTCOME_OK)
        say_failed(vm, plan_kind_name(request->kind), changed.name, changed.attempts, result);
    if (gone)
        vanish(engine, vm, container);
    else if (!rows_save_container(engine, vm, container, &changed, event, ""))
        container->next_attempt = clock_monotonic_ms() + ENGINE_LEDGER_RETRY_MS;
}

static void request_ended(void *context, struct provider_result *result)
{
    struct request *request = context;
    struct engine *engine = request->engine;
    struct provider_slot *slot = request->slot;
    struct vm *vm = NULL;
    struct vm_grant *grant;
    struct vm_key *key;
    FAILPOINT(plan_kind_name(request->kind), "answered");
    slot->in_flight--;
    requests_gate_ended(engine, slot, requests_gate(slot, verb_of(request->kind)), result, request->started_at);
    if (result->usage_count)
        usage_heard(engine, slot->settings->name, result);
    if (request->key_id) {
        if (rows_find_key(engine, request->uuid, request->key_id, &vm, &grant, &key))
            key_ended(engine, request, vm, grant, key, result);
    } else {
        struct vm_container *container = rows_find_container(engine, request->container_id);
        vm = engine_find_vm(engine, request->uuid);
        if (container && vm)
            container_ended(engine, request, vm, container, result);
        else if (container)
            container->busy = false;
    }
    if (vm)
        engine_mark(engine, vm);
    /* A shared container may have others waiting for it. */
    if (request->container_id)
        engine_mark_provider(engine, slot->settings->name);
    if (slot->retired)
        engine->loop->post(engine->loop, collect_retired, engine);
    request_free(request);
}

/* --- starting --- */

static const char *why_switched(const struct vm *vm, const struct vm_grant *grant, enum plan_kind kind)
{
    return kind == PLAN_SUSPEND_KEY && grant->over_budget ? "the limit of this month is reached" : domain_state_name(vm->state);
}

/* Where the secret is ours to choose, it is chosen once for each key, and sealed with the intent. */
static bool commit_minting(struct engine *engine, struct vm *vm, const struct vm_grant *grant, struct vm_key *key,
                           struct request *request)
{
    struct key_record changed = key->record;
    struct error err = ERROR_INIT;
    bool changes_limit = provider_capabilities(request->slot->provider) & PROVIDER_CAN_CHANGE_LIMIT;
    if (engine->spent && changes_limit)
        changed.spent_before = engine->spent(engine, grant, &changed.spent_month);
    bool chooses = provider_capabilities(request->slot->provider) & PROVIDER_CHOOSES_SECRET;
    bool kept = chooses && rows_get_secret(engine, key, &request->chosen, &err);
    if (chooses && !kept) {
        if (err.code != ERROR_NOT_FOUND) {
            log_error("%s: the secret chosen for %s cannot be had: %s", vm->record.name, changed.name, err.text);
            return false;
        }
        if (!(request->chosen = secret_generate("sk-")))
            abort();
    }
    const char *event = transition_key_mint(&changed);
    if (changed.unknown && !key->doubted_at)
        key->doubted_at = clock_monotonic_ms();
    return rows_save_minting(engine, vm, key, &changed, kept ? NULL : request->chosen, event);
}

/* Of a key that is there already. Without it the request is sent all the same, and the list alone is asked. */
static void recall_secret(struct engine *engine, const struct vm *vm, const struct vm_key *key, struct request *request)
{
    struct error err = ERROR_INIT;
    if (!(provider_capabilities(request->slot->provider) & PROVIDER_KEY_IS_ASKED) || request->kind == PLAN_MINT_KEY ||
        request->kind == PLAN_FIND_KEY || rows_get_secret(engine, key, &request->chosen, &err))
        return;
    if (err.code != ERROR_NOT_FOUND)
        log_warning("%s: the secret of %s cannot be had: %s", vm->record.name, key->record.name, err.text);
}

static bool claims(struct engine *engine, const struct vm_grant *grant)
{
    const struct provider_slot *slot = engine_provider(engine, grant->record.provider);
    return slot && (provider_capabilities(slot->provider) & PROVIDER_CLAIMS);
}

/* Commits what is about to be asked, where asking twice would matter, or where not knowing that it was asked would. */
static bool commit_intent(struct engine *engine, struct vm *vm, struct vm_grant *grant, struct vm_key *key,
                          struct request *request)
{
    enum plan_kind kind = request->kind;
    if (kind == PLAN_MINT_KEY && key->record.remote_id[0])
        return true; /* claimed before: it is asked for once more */
    if (kind == PLAN_MINT_KEY && claims(engine, grant))
        return rows_claim_key(engine, vm, grant, key);
    if (kind == PLAN_MINT_KEY)
        return commit_minting(engine, vm, grant, key, request);
    if (kind == PLAN_SUSPEND_KEY || kind == PLAN_RESUME_KEY) {
        struct key_record changed = key->record;
        const char *event = kind == PLAN_RESUME_KEY             ? transition_key_resume(&changed)
                            : changed.state != KEY_SUSPENDED ? transition_key_suspend(&changed)
                                                             : NULL;
        /* Written before, unless it is not certain that the row still says it. */
        return (!event && !key->row_doubted) ||
               rows_save_key(engine, vm, key, &changed, event, why_switched(vm, grant, kind), "llmhookd");
    }
    /* What the provider holds it to is not known until it has answered: should the earlier limit be wanted again by then, it
     * is set again. */
    if (kind == PLAN_LIMIT_KEY && (key->record.limit_set || key->row_doubted)) {
        struct key_record changed = key->record;
        changed.limit_set = 0;
        return rows_save_key(engine, vm, key, &changed, NULL, "", "llmhookd");
    }
    if (kind == PLAN_LIMIT_CONTAINER && (grant->container->record.limit_set || grant->container->row_doubted)) {
        struct container_record changed = grant->container->record;
        changed.limit_set = 0;
        return rows_save_container(engine, vm, grant->container, &changed, NULL, "");
    }
    if (kind == PLAN_CREATE_CONTAINER) {
        struct container_record changed = grant->container->record;
        const char *event = transition_container_create(&changed);
        return rows_save_container(engine, vm, grant->container, &changed, event, "");
    }
    return true;
}

static void wake_for(struct engine *engine, struct vm *vm, int64_t at)
{
    engine_wake_at(engine, at);
    vm->next_look = at;
}

void requests_start(struct engine *engine, struct vm *vm, const struct plan_action *action)
{
    struct vm_grant *grant = vm->grants[action->grant];
    bool about_key = action->kind == PLAN_MINT_KEY || action->kind == PLAN_FIND_KEY || action->kind == PLAN_REVOKE_KEY ||
                     action->kind == PLAN_RENEW_KEY || action->kind == PLAN_SUSPEND_KEY || action->kind == PLAN_RESUME_KEY ||
                     action->kind == PLAN_LIMIT_KEY;
    struct vm_key *key = about_key ? grant->keys[action->key] : NULL;
    struct provider_slot *slot = engine_provider(engine, grant->record.provider);
    /* An earlier action of the same plan may have been the gate's one probe, or taken the shared container. */
    struct gate *gate = slot ? requests_gate(slot, verb_of(action->kind)) : NULL;
    if (!gate || !gate_ready(gate, clock_monotonic_ms()) || (key ? key->busy : grant->container->busy)) {
        if (gate && gate != &slot->gate && !gate->probing) /* of which the plan knows nothing */
            wake_for(engine, vm, gate->closed_until);
        return;
    }
    struct request *request = calloc(1, sizeof *request);
    if (!request)
        abort();
    *request = (struct request){.engine = engine, .slot = slot, .kind = action->kind};
    memcpy(request->uuid, vm->record.uuid, sizeof request->uuid);
    struct provider_call call = {.verb = verb_of(action->kind)};
    if (grant->container) {
        memcpy(call.container_id, grant->container->record.remote_id, sizeof call.container_id);
        memcpy(call.container_name, grant->container->record.name, sizeof call.container_name);
    }
    /* Only the identity is looked for; the label behind it is made with it. */
    if (action->kind == PLAN_FIND_CONTAINER)
        call.container_name[strcspn(call.container_name, " ")] = '\0';
    if (key) {
        request->key_id = key->record.id;
        memcpy(call.key_name, key->record.name, sizeof call.key_name);
    } else {
        request->container_id = grant->container->record.id;
        call.monthly_limit = request->limit = engine_wanted_limit(engine, grant);
    }
    if (!commit_intent(engine, vm, grant, key, request)) {
        request_free(request);
        wake_for(engine, vm, clock_monotonic_ms() + ENGINE_LEDGER_RETRY_MS);
        return;
    }
    if (key)
        recall_secret(engine, vm, key, request);
    call.chosen = request->chosen;
    if (key) {
        /* The intent may have named it, and noted what is left of its budget. Where a limit could not be raised again when
         * the month is over, it is the full one from the beginning. */
        memcpy(call.key_id, key->record.remote_id, sizeof call.key_id);
        bool changes_limit = provider_capabilities(slot->provider) & PROVIDER_CAN_CHANGE_LIMIT;
        call.monthly_limit = request->limit =
            changes_limit ? engine_wanted_key_limit(engine, grant, &key->record) : grant->record.monthly_limit;
        key->busy = true;
    } else {
        grant->container->busy = true;
    }
    request->started_at = clock_monotonic_ms();
    if (gate->failures > 0)
        grant->turn = ++engine->turns;
    gate_begin(gate);
    slot->in_flight++;
    log_debug("%s: %s %s", vm->record.name, plan_kind_name(action->kind),
              key ? key->record.name : grant->container->record.name);
    FAILPOINT(plan_kind_name(action->kind), "sending");
    provider_start(slot->provider, &call, request_ended, request);
}
