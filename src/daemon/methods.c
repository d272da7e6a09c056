/* The control socket's methods, see io.llmhook.varlink. */
#include "daemon/engine.h"

#include "base/clock.h"
#include "daemon/usage.h"
#include "base/json.h"
#include "base/log.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

enum { EVENTS_SHOWN = 50 };

/* As many as a reason has room for. */
static void put_namesakes(const struct engine *engine, const char *name, struct json_object *answer)
{
    char reason[384];
    int used = snprintf(reason, sizeof reason, "several domains are called so, and which is meant is not clear: give its UUID");
    const char *before = ": ";
    for (size_t i = 0; i < engine->vms_count && used + RECORD_UUID_SIZE + 2 < (int)sizeof reason; i++) {
        if (strcmp(engine->vms[i]->record.name, name) != 0)
            continue;
        used += snprintf(reason + used, sizeof reason - (size_t)used, "%s%s", before, engine->vms[i]->record.uuid);
        before = ", ";
    }
    json_put_string(answer, "reason", reason);
}

/* The domain that the call names; NULL when the call has been answered with why not. */
static struct vm *named_vm(struct engine *engine, struct control_call *call, struct json_object *parameters)
{
    char name[RECORD_NAME_SIZE];
    if (!json_get_string(parameters, "domain", name, sizeof name, NULL)) {
        control_invalid_parameter(call, "domain");
        return NULL;
    }
    struct vm *vm;
    size_t count = engine_vms_called(engine, name, &vm);
    if (count == 1)
        return vm;
    struct json_object *answer = json_object_new_object();
    if (count > 1) {
        put_namesakes(engine, name, answer);
        control_error(call, "AmbiguousDomain", answer);
    } else {
        json_put_string(answer, "domain", name);
        control_error(call, "NoSuchDomain", answer);
    }
    return NULL;
}

static void hook_event(void *context, struct control_call *call, struct json_object *parameters)
{
    sightings_hook(context, parameters, call, 0);
}

static void status(void *context, struct control_call *call, struct json_object *parameters)
{
    (void)parameters;
    control_reply(call, status_all(context));
}

static bool add_event(void *context, const struct journal_record *record, struct error *err)
{
    (void)err;
    json_object_array_add(context, history_event(record));
    return true;
}

static void show(void *context, struct control_call *call, struct json_object *parameters)
{
    struct engine *engine = context;
    struct vm *vm = named_vm(engine, call, parameters);
    if (!vm)
        return;
    struct json_object *answer = json_object_new_object(), *events = json_object_new_array();
    struct error err = ERROR_INIT;
    if (!ledger_journal_each(engine->ledger, vm->record.uuid, EVENTS_SHOWN, add_event, events, &err))
        log_warning("journal of %s: %s", vm->record.name, err.text);
    json_put(answer, "domain", status_domain(engine, vm));
    json_put(answer, "events", events);
    control_reply(call, answer);
}

static void clean_guest(void *context, struct control_call *call, struct json_object *parameters)
{
    struct engine *engine = context;
    struct vm *vm = named_vm(engine, call, parameters);
    if (vm)
        guest_clean(engine, vm, call);
}

static void audit(void *context, struct control_call *call, struct json_object *parameters)
{
    audit_run(context, json_optional_boolean(parameters, "guests", false), NULL, call);
}

static void audit_fix(void *context, struct control_call *call, struct json_object *parameters)
{
    struct json_object *rows;
    if (!json_get_array(parameters, "rows", &rows, NULL))
        control_invalid_parameter(call, "rows");
    else
        audit_run(context, json_optional_boolean(parameters, "guests", false), rows, call);
}

static void history(void *context, struct control_call *call, struct json_object *parameters)
{
    history_run(context, call, parameters);
}

static void fail_by_ledger(struct engine *engine, struct control_call *call)
{
    struct json_object *answer = json_object_new_object();
    json_put_string(answer, "reason", engine->ledger_problem);
    control_error(call, "Failed", answer);
}

/* Whether a boot is under way, or may be, that could get a key yet. A domain that is restored counts as booted anew. */
static bool may_get_keys(const struct vm *vm)
{
    return vm->state == DOMAIN_UNKNOWN || vm->state == DOMAIN_STARTING || vm->state == DOMAIN_RUNNING ||
           vm->state == DOMAIN_PAUSED;
}

/* How many keys of GRANT there are, or may be: what is only planned is nobody's yet. */
static int64_t count_keys(const struct vm_grant *grant)
{
    int64_t count = 0;
    for (size_t k = 0; k < grant->keys_count; k++)
        count += grant->keys[k]->record.state > KEY_PLANNED || grant->keys[k]->record.unknown;
    return count;
}

/* No key until the next boot. How many keys end; -1: the ledger refused. */
static int64_t hold(struct engine *engine, struct vm *vm, struct vm_grant *grant)
{
    struct grant_record changed = grant->record;
    changed.held_at = clock_wall_ms();
    if (!rows_save_grant(engine, vm, grant, &changed, "held", "revoked by an operator", "operator"))
        return -1;
    grant->taken_at = clock_monotonic_ms();
    return count_keys(grant);
}

/* Somebody else may have them: they end at once, and since nobody is to be without one, the plan goes on with the next
 * generation. How many end; -1: the ledger refused. */
static int64_t kill_keys(struct engine *engine, struct vm *vm, struct vm_grant *grant)
{
    int64_t ending = 0;
    for (size_t k = 0; k < grant->keys_count; k++) {
        struct vm_key *key = grant->keys[k];
        /* Nobody has what is not minted yet, and what is ending, ends. */
        if (key->record.state < KEY_MINTED || key->record.state >= KEY_REVOKING)
            continue;
        struct key_record changed = key->record;
        const char *event = transition_key_end(&changed, clock_wall_ms());
        key->next_attempt = 0;
        if (!rows_save_key(engine, vm, key, &changed, event, "an operator called it compromised", "operator"))
            return -1;
        ending++;
    }
    return ending;
}

static bool knows_provider(const struct engine *engine, const char *provider)
{
    for (const struct provider_slot *slot = engine->providers; slot; slot = slot->next)
        if (strcmp(slot->settings->name, provider) == 0)
            return true;
    for (size_t i = 0; i < engine->vms_count; i++)
        for (size_t g = 0; g < engine->vms[i]->grants_count; g++)
            if (strcmp(engine->vms[i]->grants[g]->record.provider, provider) == 0)
                return true;
    return false;
}

/* The provider that is named, empty for all. False: what is named is none, and the call has been answered. It must never be
 * taken for all of them, nor for one that has no keys. */
static bool named_provider(struct engine *engine, struct control_call *call, struct json_object *parameters,
                           char provider[POLICY_PROVIDER_SIZE])
{
    provider[0] = '\0';
    if (!json_has(parameters, "provider"))
        return true;
    if (!json_get_string(parameters, "provider", provider, POLICY_PROVIDER_SIZE, NULL) || !provider[0]) {
        control_invalid_parameter(call, "provider");
        return false;
    }
    if (knows_provider(engine, provider))
        return true;
    struct json_object *answer = json_object_new_object();
    json_put_string(answer, "provider", provider);
    control_error(call, "NoSuchProvider", answer);
    return false;
}

static void revoke(void *context, struct control_call *call, struct json_object *parameters)
{
    struct engine *engine = context;
    char provider[POLICY_PROVIDER_SIZE];
    int64_t revoking = 0;
    bool held = false;
    struct vm *vm = named_provider(engine, call, parameters, provider) ? named_vm(engine, call, parameters) : NULL;
    if (!vm)
        return;
    bool compromised = json_optional_boolean(parameters, "compromised", false);
    for (size_t g = 0; g < vm->grants_count; g++) {
        struct vm_grant *grant = vm->grants[g];
        if (!grant->record.id || (provider[0] && strcmp(provider, grant->record.provider) != 0))
            continue;
        /* Where nothing ends and no boot is under way, there is nothing to hold: the next boot would end it. */
        if (!compromised && !count_keys(grant) && !may_get_keys(vm))
            continue;
        int64_t ending = compromised ? kill_keys(engine, vm, grant) : hold(engine, vm, grant);
        if (ending < 0) {
            engine_mark(engine, vm); /* what was written before it is done all the same */
            fail_by_ledger(engine, call);
            return;
        }
        revoking += ending;
        held = held || !compromised;
    }
    if (!revoking && !held) {
        struct json_object *answer = json_object_new_object();
        json_put_string(answer, "domain", vm->record.name);
        control_error(call, "NothingToRevoke", answer);
        return;
    }
    engine_mark(engine, vm);
    struct json_object *answer = json_object_new_object();
    json_put_integer(answer, "revoking", revoking);
    control_reply(call, answer);
}

/* The spread of a rotation of all: enough for a provider's patience, and short enough for an operator's. */
enum { SPREAD_MS = 600000 };

struct rotation {
    bool spread, hurry; /* over a while; without overlap */
    int64_t wall;
};

/* 1: its newest key is to be replaced, 0: it has none that could be, -1: the ledger refused. One that is being
 * replaced already is not replaced twice; it may be asked to hurry. */
static int rotate_grant(struct engine *engine, struct vm *vm, struct vm_grant *grant, const struct rotation *rotation)
{
    size_t newest = grant->keys_count;
    while (newest > 0 && grant->keys[newest - 1]->record.state > KEY_ACTIVE)
        newest--;
    if (newest == 0)
        return 0;
    const struct key_record *key = &grant->keys[newest - 1]->record;
    struct grant_record changed = grant->record;
    /* One that is resumed is minted until it is proven again. */
    if ((key->state == KEY_ACTIVE || key->active_at) && key->generation > changed.replace_through) {
        changed.replace_through = key->generation;
        changed.replace_at = rotation->spread ? rotation->wall + schedule_within(SPREAD_MS, (uint64_t)changed.id) : 0;
    } else if (!rotation->spread) {
        changed.replace_at = 0;
    }
    if (rotation->hurry)
        changed.hurry_through = key->state == KEY_ACTIVE ? key->generation : key->generation - 1;
    if (memcmp(&changed, &grant->record, sizeof changed) == 0)
        return 1;
    return rows_save_grant(engine, vm, grant, &changed, "rotation asked for", grant->record.provider, "operator") ? 1 : -1;
}

/* How many are to be replaced; -1: the ledger refused. */
static int64_t rotate_domain(struct engine *engine, struct vm *vm, const char *provider, const struct rotation *rotation)
{
    int64_t rotating = 0;
    if (boot_credential_alone(vm))
        return 0; /* a new one would wait for a proof that never comes */
    for (size_t g = 0; g < vm->grants_count; g++) {
        if (provider[0] && strcmp(provider, vm->grants[g]->record.provider) != 0)
            continue;
        int done = rotate_grant(engine, vm, vm->grants[g], rotation);
        if (done < 0) {
            engine_mark(engine, vm); /* what was written before it is done all the same */
            return -1;
        }
        rotating += done;
    }
    if (rotating)
        engine_mark(engine, vm);
    return rotating;
}

static void rotate_all(struct engine *engine, struct control_call *call, const char *provider,
                       const struct rotation *rotation)
{
    int64_t rotating = 0;
    for (size_t i = 0; i < engine->vms_count; i++) {
        int64_t done = rotate_domain(engine, engine->vms[i], provider, rotation);
        if (done < 0) {
            fail_by_ledger(engine, call);
            return;
        }
        rotating += done;
    }
    struct json_object *answer = json_object_new_object();
    json_put_integer(answer, "rotating", rotating);
    if (rotation->spread)
        json_put_integer(answer, "within", SPREAD_MS);
    control_reply(call, answer);
}

static void rotate(void *context, struct control_call *call, struct json_object *parameters)
{
    struct engine *engine = context;
    char provider[POLICY_PROVIDER_SIZE];
    bool all = json_optional_boolean(parameters, "all", false), now = json_optional_boolean(parameters, "now", false);
    const struct rotation rotation = {.spread = all && !now, .wall = clock_wall_ms(),
                                      .hurry = json_optional_boolean(parameters, "no_overlap", false)};
    if (!named_provider(engine, call, parameters, provider))
        return;
    if (all) {
        rotate_all(engine, call, provider, &rotation);
        return;
    }
    struct vm *vm = named_vm(engine, call, parameters);
    if (!vm)
        return;
    int64_t rotating = rotate_domain(engine, vm, provider, &rotation);
    if (rotating < 0) {
        fail_by_ledger(engine, call);
        return;
    }
    struct json_object *answer = json_object_new_object();
    if (!rotating) {
        json_put_string(answer, "domain", vm->record.name);
        control_error(call, "NothingToRotate", answer);
        return;
    }
    json_put_integer(answer, "rotating", rotating);
    control_reply(call, answer);
}

static void pool_add(void *context, struct control_call *call, struct json_object *parameters)
{
    stock_add(context, call, parameters);
}

static void pool_list(void *context, struct control_call *call, struct json_object *parameters)
{
    (void)parameters;
    stock_list(context, call);
}

static void pool_remove(void *context, struct control_call *call, struct json_object *parameters)
{
    stock_remove(context, call, parameters);
}

static void rotate_admin_key(void *context, struct control_call *call, struct json_object *parameters)
{
    admin_key_rotate(context, call, parameters);
}

static void alerts(void *context, struct control_call *call, struct json_object *parameters)
{
    (void)parameters;
    struct json_object *answer = json_object_new_object();
    json_put(answer, "alerts", alerts_all(context));
    control_reply(call, answer);
}

static void alert_test(void *context, struct control_call *call, struct json_object *parameters)
{
    (void)parameters;
    alerts_test(context, call);
}

static void doctor(void *context, struct control_call *call, struct json_object *parameters)
{
    (void)parameters;
    struct json_object *answer = json_object_new_object();
    json_put_string(answer, "version", PACKAGE_VERSION);
    json_put(answer, "checks", doctor_checks(context));
    control_reply(call, answer);
}

static void usage(void *context, struct control_call *call, struct json_object *parameters)
{
    usage_run(context, call, parameters);
}

const struct control_method methods_table[] = {
    {"AdminKeyRotate", rotate_admin_key},
    {"CleanGuest", clean_guest},
    {"FederationShow", issuer_show}, {"FederationApply", issuer_apply},
    {"HookEvent", hook_event}, {"Status", status},   {"Show", show},     {"Audit", audit}, {"AuditFix", audit_fix},
    {"History", history},      {"Revoke", revoke},   {"Rotate", rotate}, {"Doctor", doctor},
    {"PoolAdd", pool_add},     {"PoolList", pool_list}, {"PoolRemove", pool_remove},
    {"Alerts", alerts},        {"AlertTest", alert_test},
    {"Usage", usage},
    {NULL, NULL},
};
