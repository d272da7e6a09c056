/* Rows: what is in memory is what is in the ledger. A change is made to a copy, committed with its journal line, and
 * only then taken over; so a ledger that refuses leaves memory as it was, and the next look tries again. */
#include "daemon/engine.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Says it once per sentence, not once per try. */
static bool refused(struct engine *engine, const char *what, const struct error *err)
{
    char text[sizeof engine->ledger_problem];
    snprintf(text, sizeof text, "%s: %.200s", what, err->text);
    /* Several rows that wait have several sentences, each tried every second: a disk that is full for a night must not
     * be filled by what is said about it. */
    if (schedule_is_news(engine->ledger_told, sizeof engine->ledger_told, text, &engine->ledger_words, clock_monotonic_ms(),
                         60000, 4))
        log_error("ledger: %s; trying again", text);
    memcpy(engine->ledger_problem, text, sizeof text);
    return false;
}

static void accepted(struct engine *engine)
{
    if (engine->ledger_problem[0])
        log_notice("ledger: works again");
    engine->ledger_problem[0] = engine->ledger_told[0] = '\0';
}

/* What a journal line is about: all optional, but the domain's UUID. */
struct about {
    const char *domain, *provider;
    int64_t key_id, container_id, generation;
};

static bool journal(struct engine *engine, const struct about *about, const char *event, const char *cause,
                    const char *actor, struct error *err)
{
    if (!event)
        return true;
    struct journal_record record = {.at = clock_wall_ms(), .key_id = about->key_id,
                                    .container_id = about->container_id, .generation = about->generation};
    snprintf(record.domain, sizeof record.domain, "%s", about->domain);
    snprintf(record.provider, sizeof record.provider, "%s", about->provider ? about->provider : "");
    snprintf(record.event, sizeof record.event, "%s", event);
    snprintf(record.cause, sizeof record.cause, "%.*s", (int)sizeof record.cause - 1, cause);
    snprintf(record.actor, sizeof record.actor, "%s", actor);
    return ledger_journal_append(engine->ledger, &record, err);
}

/* Ends the transaction that DONE says went well or not. STEP: its name among the failpoints. */
static bool finish(struct engine *engine, bool done, const char *what, const char *step, struct error *err)
{
    (void)step;
    FAILPOINT(step, "committing");
    if (!done)
        ledger_rollback(engine->ledger);
    else
        done = ledger_commit(engine->ledger, err);
    if (!done)
        return refused(engine, what, err);
    FAILPOINT(step, "committed");
    accepted(engine);
    return true;
}

static void forget_key(struct vm *vm, struct vm_key *key)
{
    for (size_t g = 0; g < vm->grants_count; g++) {
        struct vm_grant *grant = vm->grants[g];
        for (size_t k = 0; k < grant->keys_count; k++)
            if (grant->keys[k] == key) {
                memmove(grant->keys + k, grant->keys + k + 1, (grant->keys_count - k - 1) * sizeof *grant->keys);
                grant->keys_count--;
                free(key);
                return;
            }
    }
}

static const char *provider_of(const struct vm *vm, const struct vm_key *key)
{
    for (size_t g = 0; g < vm->grants_count; g++)
        if (vm->grants[g]->record.id == key->record.grant_id)
            return vm->grants[g]->record.provider;
    return "?";
}

static bool save_key(struct engine *engine, struct vm *vm, struct vm_key *key, struct key_record *changed,
                     const struct secret *secret, const char *event, const char *cause, const char *actor)
{
    struct error err = ERROR_INIT;
    unsigned char *sealed = NULL;
    size_t length = 0;
    bool done = !secret || seal_wrap(engine->seal, changed->name, secret, &sealed, &length, &err);
    if (!done || !ledger_begin(engine->ledger, &err)) {
        free(sealed);
        return refused(engine, "save a key", &err);
    }
    done = ledger_save_key(engine->ledger, changed, &err) &&
           (!sealed || ledger_put_secret(engine->ledger, changed->id, sealed, length, &err)) &&
           (changed->state != KEY_REVOKED || (ledger_erase_secret(engine->ledger, changed->id, &err) &&
                                               ledger_pool_spend(engine->ledger, changed->id, &err))) &&
           journal(engine, &(struct about){.domain = vm->record.uuid, .provider = provider_of(vm, key),
                                           .key_id = changed->id, .generation = changed->generation},
                   event, cause, actor, &err);
    free(sealed);
    key->row_doubted = !finish(engine, done, "save a key", event ? event : "key noted", &err);
    if (key->row_doubted)
        return false;
    if (event)
        log_info("%s: %s %s%s%s", vm->record.name, event, changed->name, cause[0] ? ": " : "", cause);
    key->record = *changed;
    if (changed->state == KEY_REVOKED)
        forget_key(vm, key);
    return true;
}

bool rows_save_key(struct engine *engine, struct vm *vm, struct vm_key *key, struct key_record *changed,
                   const char *event, const char *cause, const char *actor)
{
    return save_key(engine, vm, key, changed, NULL, event, cause, actor);
}

bool rows_save_minting(struct engine *engine, struct vm *vm, struct vm_key *key, struct key_record *changed,
                       const struct secret *chosen, const char *event)
{
    return save_key(engine, vm, key, changed, chosen, event, "", "llmhookd");
}

bool rows_get_secret(struct engine *engine, const struct vm_key *key, struct secret **ret_secret, struct error *err)
{
    unsigned char *sealed = NULL;
    size_t length = 0;
    if (!ledger_get_secret(engine->ledger, key->record.id, &sealed, &length, err))
        return false;
    bool ok = seal_unwrap(engine->seal, key->record.name, sealed, length, ret_secret, err);
    free(sealed);
    return ok;
}

bool rows_save_minted(struct engine *engine, struct vm *vm, struct vm_key *key, struct key_record *changed,
                      const struct secret *secret, const char *cause)
{
    return save_key(engine, vm, key, changed, secret, "key minted", cause, "llmhookd");
}

void rows_pool_context(const struct pool_record *record, char *ret_context, size_t size)
{
    snprintf(ret_context, size, "pool:%s:%s", record->provider, record->remote_id);
}

bool rows_can_claim(struct engine *engine, const char *provider)
{
    int64_t count = 0;
    return ledger_pool_count_free(engine->ledger, provider, &count, NULL) && count > 0;
}

/* Its secret goes from its place in the pool to KEY's, inside of the caller's transaction. */
static bool move_secret(struct engine *engine, const struct pool_record *record, const struct key_record *key, struct error *err)
{
    char name[RECORD_NAME_SIZE];
    cleanup_free unsigned char *pooled = NULL, *sealed = NULL;
    cleanup_secret struct secret *secret = NULL;
    size_t length;
    rows_pool_context(record, name, sizeof name);
    return ledger_pool_secret(engine->ledger, record->id, &pooled, &length, err) &&
           seal_unwrap(engine->seal, name, pooled, length, &secret, err) &&
           seal_wrap(engine->seal, key->name, secret, &sealed, &length, err) &&
           ledger_put_secret(engine->ledger, key->id, sealed, length, err) &&
           ledger_pool_erase_secret(engine->ledger, record->id, err);
}

bool rows_claim_key(struct engine *engine, struct vm *vm, struct vm_grant *grant, struct vm_key *key)
{
    struct error err = ERROR_INIT;
    struct key_record changed = key->record;
    struct pool_record claimed;
    if (!ledger_begin(engine->ledger, &err))
        return refused(engine, "claim a key", &err);
    bool done = ledger_pool_claim(engine->ledger, grant->record.provider, changed.id, clock_wall_ms(), &claimed, &err);
    const char *event = done ? transition_key_claim(&changed, claimed.remote_id, claimed.fingerprint) : "";
    done = done && ledger_save_key(engine->ledger, &changed, &err) && move_secret(engine, &claimed, &changed, &err) &&
           journal(engine, &(struct about){.domain = vm->record.uuid, .provider = grant->record.provider, .key_id = changed.id,
                                           .generation = changed.generation},
                   event, claimed.hint, "llmhookd", &err);
    if (!finish(engine, done, "claim a key", "key claimed", &err))
        return false;
    log_info("%s: key claimed %s: %s", vm->record.name, changed.name, claimed.hint);
    key->record = changed;
    /* Others of this provider may have nothing to claim any more. */
    engine_mark_provider(engine, grant->record.provider);
    return true;
}

bool rows_save_container(struct engine *engine, const struct vm *vm, struct vm_container *container,
                         struct container_record *changed, const char *event, const char *cause)
{
    struct error err = ERROR_INIT;
    if (!ledger_begin(engine->ledger, &err))
        return refused(engine, "save a container", &err);
    bool done = ledger_save_container(engine->ledger, changed, &err) &&
                journal(engine, &(struct about){.domain = vm ? vm->record.uuid : "", .provider = changed->provider,
                                                .container_id = changed->id},
                        event, cause, "llmhookd", &err);
    container->row_doubted = !finish(engine, done, "save a container", event ? event : "container noted", &err);
    if (container->row_doubted)
        return false;
    if (event)
        log_info("%s: %s %s%s%s", vm ? vm->record.name : changed->provider, event, changed->name, cause[0] ? ": " : "", cause);
    container->record = *changed;
    return true;
}

bool rows_save_domain(struct engine *engine, struct vm *vm)
{
    struct error err = ERROR_INIT;
    vm->record.seen_at = clock_wall_ms();
    FAILPOINT("domain-saved", "committing");
    if (!ledger_save_domain(engine->ledger, &vm->record, &err))
        return refused(engine, "save a domain", &err);
    FAILPOINT("domain-saved", "committed");
    vm->recorded = true;
    accepted(engine);
    return true;
}

bool rows_save_grant(struct engine *engine, struct vm *vm, struct vm_grant *grant, struct grant_record *changed,
                     const char *event, const char *cause, const char *actor)
{
    struct error err = ERROR_INIT;
    if (!ledger_begin(engine->ledger, &err))
        return refused(engine, "save a grant", &err);
    bool done = ledger_save_grant(engine->ledger, changed, &err) &&
                journal(engine, &(struct about){.domain = vm->record.uuid, .provider = changed->provider}, event, cause,
                        actor, &err);
    if (!finish(engine, done, "save a grant", event ? event : "grant noted", &err))
        return false;
    grant->record = *changed;
    return true;
}

static bool record_grant(struct engine *engine, struct vm *vm, struct vm_grant *grant)
{
    if (!vm->recorded && !rows_save_domain(engine, vm))
        return false;
    struct error err = ERROR_INIT;
    struct grant_record changed = grant->record, earlier;
    changed.created_at = clock_wall_ms();
    if (ledger_find_grant(engine->ledger, vm->record.uuid, grant->record.provider, &earlier, &err)) {
        /* The same domain and provider again: its generations go on where they ended. */
        changed.id = earlier.id;
        changed.last_generation = earlier.last_generation;
        changed.created_at = earlier.created_at;
    } else if (err.code != ERROR_NOT_FOUND) {
        return refused(engine, "look up a grant", &err);
    }
    return rows_save_grant(engine, vm, grant, &changed, "granted", "its policy asks for it", "policy");
}

bool rows_new_key(struct engine *engine, struct vm *vm, struct vm_grant *grant)
{
    if (!grant->record.id && !record_grant(engine, vm, grant))
        return false;
    struct vm_key *key = calloc(1, sizeof *key);
    struct vm_key **keys = realloc(grant->keys, (grant->keys_count + 1) * sizeof *keys);
    if (!key || !keys)
        abort();
    grant->keys = keys;
    struct error err = ERROR_INIT;
    struct grant_record changed = grant->record;
    changed.last_generation++;
    struct key_record record;
    /* What is on its way out is replaced by nobody: it may be a successor itself that never came to be. */
    size_t before = grant->keys_count;
    while (before > 0 && grant->keys[before - 1]->record.state == KEY_REVOKING)
        before--;
    const struct vm_key *last = before > 0 ? grant->keys[before - 1] : NULL;
    bool replaces = last && (last->record.state == KEY_ACTIVE || last->record.state == KEY_RETIRING ||
                             (last->record.state == KEY_SUSPENDED && last->record.retiring_at));
    transition_key_new(&record, &changed, changed.last_generation, replaces ? last->record.id : 0, engine->host_id,
                       clock_wall_ms());
    /* The number is used up in the same transaction, so that no crash can give it out twice. */
    bool done = ledger_begin(engine->ledger, &err);
    if (!done) {
        free(key);
        return refused(engine, "plan a key", &err);
    }
    done = ledger_save_grant(engine->ledger, &changed, &err) && ledger_save_key(engine->ledger, &record, &err) &&
           journal(engine, &(struct about){.domain = vm->record.uuid, .provider = changed.provider,
                                           .key_id = record.id, .generation = record.generation},
                   "key planned", record.predecessor ? "to replace the one before" : domain_state_name(vm->state),
                   "llmhookd", &err);
    if (!finish(engine, done, "plan a key", "key planned", &err)) {
        free(key);
        return false;
    }
    grant->record = changed;
    key->record = record;
    grant->keys[grant->keys_count++] = key;
    return true;
}

static struct vm_container *find_live_container(struct engine *engine, const char *provider, enum container_kind kind,
                                                const char *subject)
{
    struct vm_container *container = engine->containers;
    while (container && (container->record.state == CONTAINER_ARCHIVED || container->record.kind != kind ||
                         strcmp(container->record.provider, provider) != 0 ||
                         strcmp(container->record.subject, subject) != 0))
        container = container->next;
    return container;
}

/* One transaction for the container and whose it is: without its grant nobody would ever archive it. */
static bool make_container(struct engine *engine, struct vm *vm, struct vm_grant *grant, enum container_kind kind,
                           const char *subject)
{
    struct error err = ERROR_INIT;
    struct grant_record changed = grant->record;
    struct vm_container *container = calloc(1, sizeof *container);
    if (!container)
        abort();
    transition_container_new(&container->record, grant->record.provider, kind, subject,
                             kind == CONTAINER_PER_DOMAIN ? vm->record.name : "", engine->host_id, clock_wall_ms());
    if (!ledger_begin(engine->ledger, &err)) {
        free(container);
        return refused(engine, "plan a container", &err);
    }
    bool done = ledger_save_container(engine->ledger, &container->record, &err);
    changed.container_id = container->record.id;
    done = done && ledger_save_grant(engine->ledger, &changed, &err) &&
           journal(engine, &(struct about){.domain = vm->record.uuid, .provider = changed.provider,
                                           .container_id = container->record.id},
                   "container planned", container_kind_name(kind), "llmhookd", &err);
    if (!finish(engine, done, "plan a container", "container planned", &err)) {
        free(container);
        return false;
    }
    log_info("%s: container planned %s", vm->record.name, container->record.name);
    container->next = engine->containers;
    engine->containers = container;
    grant->record = changed;
    grant->container = container;
    return true;
}

enum container_kind rows_place_of_new_keys(struct engine *engine, const struct vm *vm, const struct vm_grant *grant,
                                           const char **ret_subject)
{
    struct provider_slot *slot = engine_provider(engine, grant->record.provider);
    const char *project = slot && slot->settings->project[0] ? slot->settings->project : "per-domain";
    unsigned can = slot ? provider_capabilities(slot->provider) : 0;
    /* A key that exists is where it was made, and stays there: nothing is made for it. */
    bool made_elsewhere = (can & PROVIDER_CLAIMS) && strncmp(project, "per-", 4) == 0;
    if (slot && (!(can & PROVIDER_CAN_CONTAIN) || made_elsewhere))
        project = PROVIDER_ACCOUNT;
    enum container_kind kind = strcmp(project, "per-domain") == 0  ? CONTAINER_PER_DOMAIN
                               : strcmp(project, "per-owner") == 0 ? CONTAINER_PER_OWNER
                                                                   : CONTAINER_GIVEN;
    /* A domain without an owner shares with nobody. */
    if (kind == CONTAINER_PER_OWNER && !vm->policy.owner[0])
        kind = CONTAINER_PER_DOMAIN;
    *ret_subject = kind == CONTAINER_PER_DOMAIN  ? vm->record.uuid
                   : kind == CONTAINER_PER_OWNER ? vm->policy.owner
                                                 : project;
    return kind;
}

bool rows_new_container(struct engine *engine, struct vm *vm, struct vm_grant *grant)
{
    const char *subject;
    enum container_kind kind = rows_place_of_new_keys(engine, vm, grant, &subject);
    struct vm_container *container = find_live_container(engine, grant->record.provider, kind, subject);
    if (!container)
        return make_container(engine, vm, grant, kind, subject);
    struct grant_record changed = grant->record;
    changed.container_id = container->record.id;
    if (!rows_save_grant(engine, vm, grant, &changed, NULL, "", "llmhookd"))
        return false;
    grant->container = container;
    return true;
}

static void drop_grant(struct vm *vm, struct vm_grant *grant)
{
    for (size_t i = 0; i < vm->grants_count; i++)
        if (vm->grants[i] == grant) {
            memmove(vm->grants + i, vm->grants + i + 1, (vm->grants_count - i - 1) * sizeof *vm->grants);
            vm->grants_count--;
            break;
        }
    free(grant->keys);
    free(grant);
}

bool rows_end_grant(struct engine *engine, struct vm *vm, struct vm_grant *grant)
{
    if (grant->record.id) {
        struct grant_record changed = grant->record;
        changed.ended_at = clock_wall_ms();
        changed.container_id = 0;
        changed.held_at = 0;
        if (!rows_save_grant(engine, vm, grant, &changed, "grant ended", "", "llmhookd"))
            return false;
    }
    if (grant->container && grant->container->record.kind != CONTAINER_PER_DOMAIN)
        engine_mark_provider(engine, grant->record.provider); /* those who share it: its budget is less by one */
    drop_grant(vm, grant);
    return true;
}

bool rows_forget_domain(struct engine *engine, struct vm *vm)
{
    struct error err = ERROR_INIT;
    /* Its name goes with its row; the last line of its story keeps it. */
    if (vm->recorded) {
        bool done = ledger_begin(engine->ledger, &err) &&
                    ledger_forget_domain(engine->ledger, vm->record.uuid, &err) &&
                    journal(engine, &(struct about){.domain = vm->record.uuid}, "domain forgotten", vm->record.name,
                            "libvirt", &err);
        if (!finish(engine, done, "forget a domain", "domain forgotten", &err))
            return false;
    }
    vm->recorded = false;
    if (vm->waiter || vm->looking)
        return false; /* somebody still refers to it; the next look is soon */
    engine_forget(engine, vm);
    return true;
}

bool rows_find_key(struct engine *engine, const char *uuid, int64_t key_id, struct vm **ret_vm,
                   struct vm_grant **ret_grant, struct vm_key **ret_key)
{
    struct vm *vm = engine_find_vm(engine, uuid);
    for (size_t g = 0; vm && g < vm->grants_count; g++)
        for (size_t k = 0; k < vm->grants[g]->keys_count; k++)
            if (vm->grants[g]->keys[k]->record.id == key_id) {
                *ret_vm = vm;
                *ret_grant = vm->grants[g];
                *ret_key = vm->grants[g]->keys[k];
                return true;
            }
    return false;
}

struct vm_container *rows_find_container(struct engine *engine, int64_t container_id)
{
    struct vm_container *container = engine->containers;
    while (container && container->record.id != container_id)
        container = container->next;
    return container;
}

struct known {
    size_t count;
    const char **ids; /* NULL: they are only counted */
    char (*texts)[RECORD_REMOTE_ID_SIZE];
};

static void know(struct known *known, const char *id)
{
    if (!id[0])
        return;
    if (known->ids) {
        snprintf(known->texts[known->count], sizeof known->texts[0], "%s", id);
        known->ids[known->count] = known->texts[known->count];
    }
    known->count++;
}

static void know_all(const struct engine *engine, const char *provider, struct known *known)
{
    known->count = 0;
    for (size_t i = 0; i < engine->vms_count; i++)
        for (size_t g = 0; g < engine->vms[i]->grants_count; g++) {
            const struct vm_grant *grant = engine->vms[i]->grants[g];
            for (size_t k = 0; strcmp(grant->record.provider, provider) == 0 && k < grant->keys_count; k++)
                know(known, grant->keys[k]->record.remote_id);
        }
    for (const struct vm_container *container = engine->containers; container; container = container->next)
        if (container->record.state != CONTAINER_ARCHIVED && strcmp(container->record.provider, provider) == 0)
            know(known, container->record.remote_id);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void *rows_name_known(const struct engine *engine, const char *provider, struct provider_call *call)
{
    struct known known = {0};
    know_all(engine, provider, &known);
    if (!known.count)
        return NULL;
    void *block = malloc(known.count * (sizeof *known.ids + sizeof *known.texts));
    if (!block)
        abort();
    known.ids = block;
    known.texts = (void *)(known.ids + known.count);
    know_all(engine, provider, &known);
    qsort(known.ids, known.count, sizeof *known.ids, by_text);
    call->known_ids = known.ids;
    call->known_count = known.count;
    return block;
}

static bool is_used(const struct engine *engine, const struct vm_container *container)
{
    for (size_t i = 0; i < engine->vms_count; i++)
        for (size_t g = 0; g < engine->vms[i]->grants_count; g++)
            if (engine->vms[i]->grants[g]->container == container)
                return true;
    return false;
}

void rows_drop_archived(struct engine *engine, int64_t before)
{
    for (struct vm_container **at = &engine->containers; *at;) {
        struct vm_container *container = *at;
        if (container->record.state != CONTAINER_ARCHIVED || container->record.archived_at >= before || container->busy ||
            is_used(engine, container)) {
            at = &container->next;
            continue;
        }
        *at = container->next;
        free(container);
    }
}

/* --- loading --- */

static bool load_domain(void *context, const struct domain_record *record, struct error *err)
{
    (void)err;
    struct vm *vm = engine_vm(context, record->uuid, record->name);
    vm->record = *record;
    vm->written_at = record->seen_at;
    vm->recorded = true;
    return true;
}

static bool load_container(void *context, const struct container_record *record, struct error *err)
{
    struct engine *engine = context;
    struct vm_container *container = calloc(1, sizeof *container);
    if (!container)
        return error_set(err, ERROR_IO, "out of memory");
    container->record = *record;
    container->doubted_at = record->unknown ? clock_monotonic_ms() : 0;
    container->next = engine->containers;
    engine->containers = container;
    return true;
}

/* Not later than now, whatever has become of the wall clock since: else no boot would end a hold. */
static int64_t monotonic_of(int64_t wall_ms)
{
    int64_t ago = clock_wall_ms() - wall_ms;
    return clock_monotonic_ms() - (ago > 0 ? ago : 0);
}

static bool load_grant(void *context, const struct grant_record *record, struct error *err)
{
    struct engine *engine = context;
    struct vm *vm = engine_find_vm(engine, record->domain);
    if (!vm)
        return error_set(err, ERROR_INVALID, "grant %lld belongs to domain %s, which has no row", (long long)record->id,
                         record->domain);
    struct vm_grant *grant = calloc(1, sizeof *grant);
    struct vm_grant **grants = realloc(vm->grants, (vm->grants_count + 1) * sizeof *grants);
    if (!grant || !grants)
        return error_set(err, ERROR_IO, "out of memory");
    grant->record = *record;
    if (record->held_at)
        grant->taken_at = monotonic_of(record->held_at);
    grant->container = record->container_id ? rows_find_container(engine, record->container_id) : NULL;
    vm->grants = grants;
    vm->grants[vm->grants_count++] = grant;
    return true;
}

/* What was on its way to the provider when the daemon ended may be carried out yet. */
static void doubt_switching(struct vm_key *key)
{
    enum key_state state = key->record.state;
    if ((state == KEY_MINTING && key->record.remote_id[0]) || state == KEY_MINTED || state == KEY_ACTIVE ||
        state == KEY_RETIRING || (state == KEY_SUSPENDED && !key->record.suspended_at))
        key->resume_doubted_at = clock_monotonic_ms();
    if (state == KEY_SUSPENDED && !key->record.suspended_at)
        key->suspend_doubted_at = key->resume_doubted_at;
}

static bool load_key(void *context, const struct key_record *record, struct error *err)
{
    struct engine *engine = context;
    for (size_t i = 0; i < engine->vms_count; i++)
        for (size_t g = 0; g < engine->vms[i]->grants_count; g++) {
            struct vm_grant *grant = engine->vms[i]->grants[g];
            if (grant->record.id != record->grant_id)
                continue;
            struct vm_key *key = calloc(1, sizeof *key);
            struct vm_key **keys = realloc(grant->keys, (grant->keys_count + 1) * sizeof *keys);
            if (!key || !keys)
                return error_set(err, ERROR_IO, "out of memory");
            key->record = *record;
            key->doubted_at = record->unknown ? clock_monotonic_ms() : 0;
            doubt_switching(key);
            grant->keys = keys;
            grant->keys[grant->keys_count++] = key;
            return true;
        }
    return error_set(err, ERROR_INVALID, "key %s belongs to grant %lld, which has ended", record->name,
                     (long long)record->grant_id);
}

bool rows_load(struct engine *engine, struct error *err)
{
    if (!ledger_each_domain(engine->ledger, load_domain, engine, err) ||
        !ledger_each_live_container(engine->ledger, load_container, engine, err) ||
        !ledger_each_live_grant(engine->ledger, load_grant, engine, err) ||
        !ledger_each_live_key(engine->ledger, load_key, engine, err))
        return false;
    for (size_t i = 0; i < engine->vms_count; i++)
        policy_recall(engine, engine->vms[i]);
    return true;
}
