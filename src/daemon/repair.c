/* Mending what an audit found. Nothing here asks a provider for anything: a row is written that says what is, and what is
 * to become of it, and the plan does the rest. So a crash in between loses nothing, and doing it twice does no harm. */
#include "daemon/audit.h"

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int phase(const struct finding *finding)
{
    switch (finding->judgement.fix) {
    case AUDIT_FIX_CHECK:
    case AUDIT_FIX_END:
    case AUDIT_FIX_SWITCH:
    case AUDIT_FIX_LIMIT:
    case AUDIT_FIX_RETRY:
    case AUDIT_FIX_DELIVER:
        return 0;
    case AUDIT_FIX_ADOPT:
    case AUDIT_FIX_CLEAR:
        return 1;
    case AUDIT_FIX_REMOVE:
    case AUDIT_FIX_NONE:
        break;
    }
    return 2;
}

int repair_order(const void *a, const void *b)
{
    const struct finding *const *left = a, *const *right = b;
    return phase(*left) - phase(*right);
}

/* --- what is known is tried again --- */

static bool ledger_refused(struct engine *engine, struct error *err)
{
    return error_set(err, ERROR_IO, "the ledger refused: %.200s", engine->ledger_problem);
}

static bool end_key(struct engine *engine, const struct finding *finding, struct error *err)
{
    struct key_record changed = finding->key->record;
    const char *event = transition_key_end(&changed, clock_wall_ms());
    finding->key->next_attempt = 0;
    if (!rows_save_key(engine, finding->vm, finding->key, &changed, event, "an audit did not find it at the provider",
                       "operator"))
        return ledger_refused(engine, err);
    engine_mark(engine, finding->vm);
    return true;
}

static bool switch_key(struct engine *engine, const struct finding *finding, struct error *err)
{
    struct key_record changed = finding->key->record;
    const char *event = transition_key_suspend(&changed);
    finding->key->next_attempt = 0;
    if (!rows_save_key(engine, finding->vm, finding->key, &changed, event, "an audit found it otherwise at the provider",
                       "operator"))
        return ledger_refused(engine, err);
    engine_mark(engine, finding->vm);
    return true;
}

/* The plan sets it, as where it never was. */
static bool limit_key(struct engine *engine, const struct finding *finding, struct error *err)
{
    struct key_record changed = finding->key->record;
    changed.limit_set = 0;
    finding->key->limit_next_attempt = 0;
    if (!rows_save_key(engine, finding->vm, finding->key, &changed, "key to be limited", "an audit found its limit changed",
                       "operator"))
        return ledger_refused(engine, err);
    engine_mark(engine, finding->vm);
    return true;
}

/* Any that uses it, NULL: none does. *RET_HOLDS: a key of ours is in it, or may be. */
static struct vm *user_of(struct engine *engine, const struct vm_container *container, bool *ret_holds)
{
    struct vm *user = NULL;
    *ret_holds = false;
    for (size_t i = 0; i < engine->vms_count; i++)
        for (size_t g = 0; g < engine->vms[i]->grants_count; g++) {
            if (engine->vms[i]->grants[g]->container != container)
                continue;
            user = engine->vms[i];
            *ret_holds = *ret_holds || engine->vms[i]->grants[g]->keys_count;
        }
    return user;
}

/* Setting the limit is the question whose answer counts: the limit, or the proof that the container is gone. Where there are
 * no limits, and where nobody would ask since no key is in it, only the list can tell, which has not got it: what is lost by a
 * mistake is found again by its name. */
static bool check_container(struct engine *engine, const struct finding *finding, struct error *err)
{
    struct vm_container *container = finding->container;
    bool holds;
    struct vm *vm = user_of(engine, container, &holds);
    struct container_record changed = container->record;
    const struct provider_slot *slot = engine_provider(engine, changed.provider);
    const char *event = "container to be checked";
    changed.limit_set = 0;
    container->next_attempt = 0;
    if ((slot && !(provider_capabilities(slot->provider) & PROVIDER_CAN_LIMIT_CONTAINER)) ||
        (finding->judgement.verdict == AUDIT_MISSING && !holds))
        event = transition_container_vanished(&changed, clock_wall_ms());
    if (!rows_save_container(engine, vm, container, &changed, event, "an audit found it changed, or gone"))
        return ledger_refused(engine, err);
    engine_mark_provider(engine, changed.provider);
    return true;
}

static void retry(struct engine *engine, const struct finding *finding)
{
    if (finding->key)
        finding->key->next_attempt = finding->key->limit_next_attempt = 0;
    if (finding->container)
        finding->container->next_attempt = 0;
    if (finding->vm) {
        sightings_look(engine, finding->vm);
        engine_mark(engine, finding->vm);
    }
    engine_mark_provider(engine, finding->provider);
}

/* --- what is not known is taken over --- */

/* One taking over: copies that are written in one transaction, and then become what is in memory. */
struct adoption {
    struct engine *engine;
    const struct finding *finding;
    struct vm *vm;
    struct domain_record domain;
    struct vm_container *container; /* NULL: NEW_CONTAINER becomes it */
    struct container_record new_container;
    bool makes_container;
    struct vm_grant *grant; /* NULL: NEW_GRANT becomes one */
    struct grant_record new_grant;
    struct key_record new_key;
    bool makes_key;
};

static bool write_line(struct adoption *adoption, const char *event, int64_t key_id, int64_t container_id, struct error *err)
{
    struct journal_record line = {.at = clock_wall_ms(), .key_id = key_id, .container_id = container_id,
                                  .generation = key_id ? adoption->new_key.generation : 0};
    memcpy(line.domain, adoption->domain.uuid, sizeof line.domain);
    memcpy(line.provider, adoption->finding->provider, sizeof line.provider);
    snprintf(line.event, sizeof line.event, "%s", event);
    snprintf(line.cause, sizeof line.cause, "an audit found it: %.200s", adoption->finding->judgement.reason);
    snprintf(line.actor, sizeof line.actor, "operator");
    return ledger_journal_append(adoption->engine->ledger, &line, err);
}

/* A container that is no domain's, or not the one that its domain uses, belongs to a domain that never was. The plan
 * then does with it what it does when any domain is gone. */
static void stray_uuid(const char *provider, const char *container_id, char uuid[RECORD_UUID_SIZE])
{
    char text[256], hash[SECRET_FINGERPRINT_SIZE];
    int length = snprintf(text, sizeof text, "llmhook stray %s %s", provider, container_id);
    secret_fingerprint_bytes(text, (size_t)length, hash);
    /* Version 8 and the usual variant: no UUID that libvirt or anybody makes has this version. */
    snprintf(uuid, RECORD_UUID_SIZE, "%.8s-%.4s-8%.3s-8%.3s-%.12s", hash, hash + 8, hash + 12, hash + 15, hash + 18);
}

static struct vm_grant *grant_of(struct vm *vm, const char *provider)
{
    for (size_t g = 0; g < vm->grants_count; g++)
        if (strcmp(vm->grants[g]->record.provider, provider) == 0)
            return vm->grants[g];
    return NULL;
}

static struct vm_container *live_container(struct engine *engine, const char *provider, const char *remote_id)
{
    struct vm_container *container = engine->containers;
    while (container && (container->record.state == CONTAINER_ARCHIVED ||
                         strcmp(container->record.provider, provider) != 0 ||
                         strcmp(container->record.remote_id, remote_id) != 0))
        container = container->next;
    return container;
}

static void describe_container(struct adoption *adoption, enum container_kind kind, const char *subject,
                               const char *remote_id, const char *name)
{
    struct container_record *record = &adoption->new_container;
    transition_container_new(record, adoption->finding->provider, kind, subject, "", adoption->engine->host_id,
                             clock_wall_ms());
    if (kind != CONTAINER_GIVEN) {
        transition_container_created(record, OUTCOME_OK, remote_id, "");
        snprintf(record->name, sizeof record->name, "%s", name);
    }
    adoption->makes_container = true;
}

/* Whose it becomes, and its grant as it will be. */
static bool find_owner(struct adoption *adoption, const char *uuid, const char *name, struct error *err)
{
    const char *provider = adoption->finding->provider;
    struct vm *vm = engine_find_vm(adoption->engine, uuid);
    adoption->vm = vm;
    if (vm)
        adoption->domain = vm->record;
    else
        adoption->domain = (struct domain_record){.seen_at = clock_wall_ms()};
    snprintf(adoption->domain.uuid, sizeof adoption->domain.uuid, "%s", uuid);
    if (!adoption->domain.name[0])
        snprintf(adoption->domain.name, sizeof adoption->domain.name, "%s", name[0] ? name : uuid);
    adoption->grant = vm ? grant_of(vm, provider) : NULL;
    if (adoption->grant)
        adoption->new_grant = adoption->grant->record;
    struct grant_record *grant = &adoption->new_grant, earlier;
    struct error why = ERROR_INIT;
    if (!grant->id && ledger_find_grant(adoption->engine->ledger, uuid, provider, &earlier, &why)) {
        grant->id = earlier.id;
        grant->last_generation = earlier.last_generation;
        grant->created_at = earlier.created_at;
        memcpy(grant->owner, earlier.owner, sizeof grant->owner);
    } else if (!grant->id && why.code != ERROR_NOT_FOUND) {
        return error_set(err, why.code, "%s", why.text);
    }
    memcpy(grant->domain, adoption->domain.uuid, sizeof grant->domain);
    memcpy(grant->provider, provider, sizeof grant->provider);
    if (!grant->owner[0])
        memcpy(grant->owner, adoption->domain.policy.owner, sizeof grant->owner);
    grant->ended_at = 0;
    if (!grant->created_at)
        grant->created_at = clock_wall_ms();
    return true;
}

/* The provider knows generations that our ledger does not: it was restored from an old copy, or lost. Their names must
 * never be given out again. Where the key itself becomes another's, its own domain's grant is told here. */
static bool pass_generation(struct adoption *adoption, struct error *err)
{
    const struct audit_identity *identity = &adoption->finding->identity;
    struct engine *engine = adoption->engine;
    struct grant_record grant = {.created_at = clock_wall_ms(), .ended_at = clock_wall_ms()}, earlier;
    struct error why = ERROR_INIT;
    if (ledger_find_grant(engine->ledger, identity->subject, adoption->finding->provider, &earlier, &why))
        grant = earlier;
    else if (why.code != ERROR_NOT_FOUND)
        return error_set(err, why.code, "%s", why.text);
    if (grant.last_generation >= identity->generation)
        return true;
    snprintf(grant.domain, sizeof grant.domain, "%.36s", identity->subject);
    memcpy(grant.provider, adoption->finding->provider, sizeof grant.provider);
    grant.last_generation = identity->generation;
    if (!ledger_save_grant(engine->ledger, &grant, err))
        return false;
    struct vm *vm = engine_find_vm(engine, identity->subject);
    struct vm_grant *live = vm ? grant_of(vm, grant.provider) : NULL;
    /* Should the commit fail, a number is skipped: that is all. */
    if (live && live->record.id == grant.id)
        live->record.last_generation = grant.last_generation;
    return true;
}

static void describe_key(struct adoption *adoption, bool stray)
{
    const struct finding *finding = adoption->finding;
    struct grant_record *grant = &adoption->new_grant;
    int64_t wall = clock_wall_ms(), generation = finding->identity.generation;
    /* A number that was given out before has a row already, and so has its name. */
    bool fresh = !stray && generation > grant->last_generation;
    grant->last_generation = fresh ? generation : grant->last_generation + 1;
    transition_key_new(&adoption->new_key, grant, grant->last_generation, 0, adoption->engine->host_id, wall);
    if (fresh)
        snprintf(adoption->new_key.name, sizeof adoption->new_key.name, "%s", finding->name);
    else
        snprintf(adoption->new_key.name, sizeof adoption->new_key.name, "%.120s %s", finding->name, finding->id);
    transition_key_minted(&adoption->new_key, OUTCOME_OK, finding->id, "", "", finding->created_at);
    transition_key_end(&adoption->new_key, wall);
    adoption->makes_key = true;
}

static bool write_all(struct adoption *adoption, struct error *err)
{
    struct ledger *ledger = adoption->engine->ledger;
    if (!ledger_save_domain(ledger, &adoption->domain, err))
        return false;
    if (adoption->makes_container && !ledger_save_container(ledger, &adoption->new_container, err))
        return false;
    adoption->new_grant.container_id = adoption->makes_container ? adoption->new_container.id
                                       : adoption->container     ? adoption->container->record.id
                                                                 : adoption->new_grant.container_id;
    if (!ledger_save_grant(ledger, &adoption->new_grant, err))
        return false;
    if (adoption->makes_container &&
        !write_line(adoption, "container adopted", 0, adoption->new_container.id, err))
        return false;
    if (!adoption->makes_key)
        return true;
    adoption->new_key.grant_id = adoption->new_grant.id;
    return pass_generation(adoption, err) && ledger_save_key(ledger, &adoption->new_key, err) &&
           write_line(adoption, "key adopted", adoption->new_key.id, adoption->new_grant.container_id, err);
}

static void take_over_key(struct vm_grant *grant, const struct key_record *record)
{
    struct vm_key *key = calloc(1, sizeof *key);
    struct vm_key **keys = realloc(grant->keys, (grant->keys_count + 1) * sizeof *keys);
    if (!key || !keys)
        abort();
    key->record = *record;
    /* Oldest generation first. One from before is put where it belongs. */
    size_t at = grant->keys_count;
    while (at > 0 && keys[at - 1]->record.generation > record->generation)
        at--;
    memmove(keys + at + 1, keys + at, (grant->keys_count - at) * sizeof *keys);
    keys[at] = key;
    grant->keys = keys;
    grant->keys_count++;
}

static void take_over(struct adoption *adoption)
{
    struct engine *engine = adoption->engine;
    struct vm *vm = adoption->vm ? adoption->vm : engine_vm(engine, adoption->domain.uuid, adoption->domain.name);
    if (!vm->recorded)
        vm->record = adoption->domain;
    vm->recorded = true;
    if (adoption->makes_container) {
        struct vm_container *container = calloc(1, sizeof *container);
        if (!container)
            abort();
        container->record = adoption->new_container;
        container->next = engine->containers;
        engine->containers = adoption->container = container;
    }
    struct vm_grant *grant = adoption->grant;
    if (!grant) {
        struct vm_grant **grants = realloc(vm->grants, (vm->grants_count + 1) * sizeof *grants);
        grant = calloc(1, sizeof *grant);
        if (!grants || !grant)
            abort();
        vm->grants = grants;
        vm->grants[vm->grants_count++] = grant;
    }
    grant->record = adoption->new_grant;
    if (adoption->container)
        grant->container = adoption->container;
    if (adoption->makes_key)
        take_over_key(grant, &adoption->new_key);
    sightings_look(engine, vm);
    engine_mark(engine, vm);
}

static bool carry_out(struct adoption *adoption, struct error *err)
{
    struct ledger *ledger = adoption->engine->ledger;
    if (!ledger_begin(ledger, err))
        return error_prefix(err, "the ledger refused");
    if (!write_all(adoption, err)) {
        ledger_rollback(ledger);
        return error_prefix(err, "the ledger refused");
    }
    FAILPOINT("adoption", "committing");
    if (!ledger_commit(ledger, err))
        return error_prefix(err, "the ledger refused");
    FAILPOINT("adoption", "committed");
    take_over(adoption);
    log_notice("%s: taken over %s %s (%s) after an audit", adoption->domain.name,
               adoption->makes_key ? "key" : "container", adoption->finding->name, adoption->finding->id);
    return true;
}

/* An owner's container has no domain of its own, and needs none: whoever is the owner's next uses it. */
static bool adopt_owners(struct engine *engine, const struct finding *finding, struct error *err)
{
    struct adoption adoption = {.engine = engine, .finding = finding};
    describe_container(&adoption, CONTAINER_PER_OWNER, finding->identity.subject, finding->id, finding->name);
    bool ok = ledger_begin(engine->ledger, err);
    if (ok && ledger_save_container(engine->ledger, &adoption.new_container, err) &&
        write_line(&adoption, "container adopted", 0, adoption.new_container.id, err)) {
        FAILPOINT("adoption", "committing");
        ok = ledger_commit(engine->ledger, err);
        FAILPOINT("adoption", "committed");
    } else if (ok) {
        ledger_rollback(engine->ledger);
        ok = false;
    }
    struct vm_container *container = ok ? calloc(1, sizeof *container) : NULL;
    if (!container)
        return error_prefix(err, "the ledger refused");
    container->record = adoption.new_container;
    container->next = engine->containers;
    engine->containers = container;
    return true;
}

/* The label behind its identity is the domain's name. */
static const char *label_of(const char *name)
{
    const char *space = strchr(name, ' ');
    return space ? space + 1 : "";
}

static bool adopt_container(struct engine *engine, const struct finding *finding, struct error *err)
{
    struct adoption adoption = {.engine = engine, .finding = finding};
    bool stray = finding->judgement.fix == AUDIT_FIX_CLEAR;
    char uuid[RECORD_UUID_SIZE], name[RECORD_NAME_SIZE];
    if (!stray && finding->identity.owner)
        return adopt_owners(engine, finding, err);
    snprintf(name, sizeof name, "%s", label_of(finding->name));
    snprintf(uuid, sizeof uuid, "%.36s", finding->identity.subject);
    if (stray) {
        stray_uuid(finding->provider, finding->id, uuid);
        snprintf(name, sizeof name, "stray:%s", finding->id);
    }
    if (!find_owner(&adoption, uuid, name, err))
        return false;
    if (adoption.grant && adoption.grant->container && adoption.grant->container->record.state != CONTAINER_ARCHIVED)
        return error_set(err, ERROR_INVALID, "its domain uses another project");
    describe_container(&adoption, CONTAINER_PER_DOMAIN, uuid, finding->id, finding->name);
    return carry_out(&adoption, err);
}

static bool adopt_key(struct engine *engine, const struct finding *finding, struct error *err)
{
    struct adoption adoption = {.engine = engine, .finding = finding};
    struct provider_slot *slot = engine_provider(engine, finding->provider);
    adoption.container = live_container(engine, finding->provider, finding->container_id);
    /* No key was ever made there by what this ledger knows: it was lost, or is new. */
    if (!adoption.container && slot &&
        (strcmp(slot->settings->project, finding->container_id) == 0 || strcmp(finding->container_id, PROVIDER_ACCOUNT) == 0))
        describe_container(&adoption, CONTAINER_GIVEN, finding->container_id, finding->container_id, "");
    else if (!adoption.container)
        return error_set(err, ERROR_INVALID, "the project it is in is not in the ledger");
    /* Its own domain, unless that has its keys somewhere else. */
    char uuid[RECORD_UUID_SIZE], name[RECORD_NAME_SIZE] = "";
    snprintf(uuid, sizeof uuid, "%.36s", finding->identity.subject);
    struct vm *vm = engine_find_vm(engine, uuid);
    struct vm_grant *grant = vm ? grant_of(vm, finding->provider) : NULL;
    bool elsewhere = grant && grant->container && grant->container != adoption.container;
    bool others = adoption.container && adoption.container->record.kind == CONTAINER_PER_DOMAIN &&
                  strcmp(adoption.container->record.subject, uuid) != 0;
    bool stray = elsewhere || others;
    if (others) { /* the container's own domain, or what stands for one */
        memcpy(uuid, adoption.container->record.subject, RECORD_UUID_SIZE - 1);
    } else if (stray) {
        stray_uuid(finding->provider, finding->container_id, uuid);
        snprintf(name, sizeof name, "stray:%s", finding->container_id);
    } else if (adoption.container && adoption.container->record.kind == CONTAINER_PER_DOMAIN) {
        snprintf(name, sizeof name, "%s", label_of(adoption.container->record.name));
    }
    if (!find_owner(&adoption, uuid, name, err))
        return false;
    describe_key(&adoption, stray);
    return carry_out(&adoption, err);
}

bool repair(struct engine *engine, const struct finding *finding, struct error *err)
{
    switch (finding->judgement.fix) {
    case AUDIT_FIX_REMOVE:
        return adopt_key(engine, finding, err);
    case AUDIT_FIX_ADOPT:
    case AUDIT_FIX_CLEAR:
        return adopt_container(engine, finding, err);
    case AUDIT_FIX_END:
        return end_key(engine, finding, err);
    case AUDIT_FIX_SWITCH:
        return switch_key(engine, finding, err);
    case AUDIT_FIX_LIMIT:
        return limit_key(engine, finding, err);
    case AUDIT_FIX_CHECK:
        return check_container(engine, finding, err);
    case AUDIT_FIX_DELIVER:
        deliveries_reset(finding->vm);
        engine_mark(engine, finding->vm);
        return true;
    case AUDIT_FIX_RETRY:
        retry(engine, finding);
        return true;
    case AUDIT_FIX_NONE:
        break;
    }
    return error_set(err, ERROR_INVALID, "there is nothing to be done about it");
}
