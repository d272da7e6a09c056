/* The audit: what the providers have in our namespace, what the ledger says, what libvirt has and, where asked, what
 * the guests hold. Reads only. */
#include "daemon/engine.h"

#include "base/clock.h"
#include "base/json.h"
#include "lifecycle/audit.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct audit {
    struct engine *engine;
    struct control_call *call; /* NULL: whoever asked has gone */
    struct json_object *rows, *problems;
    unsigned pending;
    bool complete;
};

struct inventory {
    struct audit *audit;
    char provider[POLICY_PROVIDER_SIZE];
    struct provider_slot *slot;
    int64_t started_at;
};

struct probe {
    struct audit *audit;
    char uuid[RECORD_UUID_SIZE], name[RECORD_NAME_SIZE];
    char wanted[DELIVERY_FINGERPRINT_SIZE], found[DELIVERY_FINGERPRINT_SIZE];
    struct delivery_result result;
    bool told;
    struct host_link *link;
};

static void problem(struct audit *audit, const char *who, const char *what)
{
    char text[1024];
    snprintf(text, sizeof text, "%s: %s", who, what);
    json_object_array_add(audit->problems, json_object_new_string(text));
    audit->complete = false;
}

static void row(struct audit *audit, enum audit_verdict verdict, const char *kind, const char *provider,
                const char *id, const char *name, const char *domain, const char *reason, const char *remedy)
{
    struct json_object *object = json_object_new_object();
    json_put_string(object, "verdict", audit_verdict_name(verdict));
    json_put_string(object, "kind", kind);
    json_put_string(object, "provider", provider);
    if (id[0])
        json_put_string(object, "id", id);
    json_put_string(object, "name", name);
    if (domain[0])
        json_put_string(object, "domain", domain);
    json_put_string(object, "reason", reason);
    if (remedy[0])
        json_put_string(object, "remedy", remedy);
    json_object_array_add(audit->rows, object);
}

static void finish(struct audit *audit)
{
    if (--audit->pending > 0)
        return;
    if (audit->call) {
        struct json_object *parameters = json_object_new_object();
        json_put_boolean(parameters, "complete", audit->complete);
        json_put(parameters, "problems", audit->problems);
        json_put(parameters, "rows", audit->rows);
        control_reply(audit->call, parameters);
    } else {
        json_object_put(audit->problems);
        json_object_put(audit->rows);
    }
    free(audit);
}

static void asker_left(void *context)
{
    struct audit *audit = context;
    audit->call = NULL;
}

/* --- providers --- */

static bool find_key_by_id(struct engine *engine, const char *provider, const char *id, struct vm **ret_vm,
                           struct vm_key **ret_key)
{
    for (size_t i = 0; i < engine->vms_count; i++)
        for (size_t g = 0; g < engine->vms[i]->grants_count; g++) {
            struct vm_grant *grant = engine->vms[i]->grants[g];
            for (size_t k = 0; strcmp(grant->record.provider, provider) == 0 && k < grant->keys_count; k++)
                if (strcmp(grant->keys[k]->record.remote_id, id) == 0) {
                    *ret_vm = engine->vms[i];
                    *ret_key = grant->keys[k];
                    return true;
                }
        }
    return false;
}

static const struct vm_container *find_container_by_id(struct engine *engine, const char *provider, const char *id)
{
    const struct vm_container *container = engine->containers;
    while (container && (strcmp(container->record.provider, provider) != 0 ||
                         strcmp(container->record.remote_id, id) != 0 ||
                         container->record.state == CONTAINER_ARCHIVED))
        container = container->next;
    return container;
}

static const char *key_reason(enum audit_verdict verdict)
{
    switch (verdict) {
    case AUDIT_ORPHAN:
        return "named as ours, and the ledger does not know it";
    case AUDIT_FOREIGN:
        return "not made by this llmhook: left alone";
    case AUDIT_STUCK:
        return "its revocation keeps failing";
    case AUDIT_ZOMBIE:
        return "alive though its domain does not run";
    case AUDIT_MISSING:
        return "the ledger says it is alive; the provider does not have it";
    default:
        return "";
    }
}

static const char *key_remedy(enum audit_verdict verdict)
{
    switch (verdict) {
    case AUDIT_ORPHAN:
        return "remove it at the provider";
    case AUDIT_STUCK:
    case AUDIT_ZOMBIE:
        return "see llmhook show for the reason";
    case AUDIT_MISSING:
        return "llmhook revoke DOMAIN; the next boot gets a new key";
    default:
        return "";
    }
}

static void judge_item(struct inventory *inventory, const char *prefix, const struct provider_item *item)
{
    struct audit *audit = inventory->audit;
    bool ours = strncmp(item->name, prefix, strlen(prefix)) == 0;
    if (item->kind == PROVIDER_ITEM_CONTAINER) {
        const struct vm_container *container = find_container_by_id(audit->engine, inventory->provider, item->id);
        enum audit_verdict verdict = audit_listed_container(ours, container ? &container->record : NULL);
        const struct vm *vm = container ? engine_find_vm(audit->engine, container->record.subject) : NULL;
        row(audit, verdict, "container", inventory->provider, item->id, item->name, vm ? vm->record.name : "",
            verdict == AUDIT_ORPHAN ? "a project named as ours that the ledger does not know" : key_reason(verdict),
            verdict == AUDIT_ORPHAN ? "archive it at the provider" : key_remedy(verdict));
        return;
    }
    struct vm *vm = NULL;
    struct vm_key *key = NULL;
    find_key_by_id(audit->engine, inventory->provider, item->id, &vm, &key);
    enum audit_verdict verdict =
        audit_listed_key(ours, key ? &key->record : NULL, vm ? vm->state : DOMAIN_UNKNOWN);
    row(audit, verdict, "key", inventory->provider, item->id, item->name, vm ? vm->record.name : "",
        key_reason(verdict), key_remedy(verdict));
}

static bool listed(const struct provider_result *result, const char *id)
{
    for (size_t i = 0; i < result->items_count; i++)
        if (strcmp(result->items[i].id, id) == 0)
            return true;
    return false;
}

/* A row that changed while the list was on its way proves nothing. */
static void judge_unlisted(struct inventory *inventory, const struct provider_result *result)
{
    struct audit *audit = inventory->audit;
    struct engine *engine = audit->engine;
    int64_t asked_wall = clock_wall_ms() - (clock_monotonic_ms() - inventory->started_at);
    for (size_t i = 0; i < engine->vms_count; i++)
        for (size_t g = 0; g < engine->vms[i]->grants_count; g++) {
            struct vm_grant *grant = engine->vms[i]->grants[g];
            /* A container that is not ours to list was not looked into. */
            bool given = grant->container && grant->container->record.kind == CONTAINER_GIVEN;
            for (size_t k = 0; !given && strcmp(grant->record.provider, inventory->provider) == 0 && k < grant->keys_count;
                 k++) {
                const struct key_record *key = &grant->keys[k]->record;
                enum audit_verdict verdict = audit_unlisted_key(key);
                if (verdict == AUDIT_OK || key->minted_at >= asked_wall || listed(result, key->remote_id))
                    continue;
                row(audit, verdict, "key", inventory->provider, key->remote_id, key->name, engine->vms[i]->record.name,
                    key_reason(verdict), key_remedy(verdict));
            }
        }
    for (const struct vm_container *container = engine->containers; container; container = container->next)
        if (strcmp(container->record.provider, inventory->provider) == 0 &&
            audit_unlisted_container(&container->record) != AUDIT_OK && container->record.created_at < asked_wall &&
            !listed(result, container->record.remote_id))
            row(audit, AUDIT_MISSING, "container", inventory->provider, container->record.remote_id,
                container->record.name, "", "the ledger says it is open; the provider does not have it",
                "it is made anew when it is next needed");
}

static void inventory_done(void *context, struct provider_result *result)
{
    struct inventory *inventory = context;
    struct engine *engine = inventory->audit->engine;
    char prefix[RECORD_NAME_SIZE];
    inventory->slot->in_flight--;
    requests_gate_ended(engine, inventory->slot, result, inventory->started_at);
    transition_name_prefix(engine->host_id, prefix, sizeof prefix);
    if (result->outcome == OUTCOME_OK) {
        for (size_t i = 0; i < result->items_count; i++)
            judge_item(inventory, prefix, &result->items[i]);
        judge_unlisted(inventory, result);
    } else {
        problem(inventory->audit, inventory->provider, result->error.text);
    }
    finish(inventory->audit);
    free(inventory);
}

static void ask_provider(struct audit *audit, struct provider_slot *slot)
{
    struct inventory *inventory = calloc(1, sizeof *inventory);
    if (!inventory)
        abort();
    inventory->audit = audit;
    inventory->slot = slot;
    inventory->started_at = clock_monotonic_ms();
    snprintf(inventory->provider, sizeof inventory->provider, "%s", slot->settings->name);
    /* All hosts' names: another's is shown, and never called an orphan. */
    struct provider_call call = {.verb = PROVIDER_INVENTORY, .name_prefix = "llmhook:"};
    audit->pending++;
    slot->in_flight++;
    provider_start(slot->provider, &call, inventory_done, inventory);
}

/* --- guests --- */

static bool probe_command(void *context, const struct buffer *text, unsigned timeout_s, struct buffer *ret_reply,
                          struct error *err)
{
    struct probe *probe = context;
    return host_agent_command(probe->link, probe->uuid, text, timeout_s, ret_reply, err);
}

static void probe_run(void *context, struct host_link *link)
{
    struct probe *probe = context;
    probe->link = link;
    probe->told = delivery_probe(probe_command, probe, probe->found, &probe->result);
}

static void probe_done(void *context)
{
    struct probe *probe = context;
    struct vm *vm = engine_find_vm(probe->audit->engine, probe->uuid);
    if (vm)
        vm->delivery.busy = false;
    if (!probe->told && probe->result.outcome != DELIVERY_MISMATCH)
        problem(probe->audit, probe->name, probe->result.error.text);
    else if (!probe->told || strcmp(probe->found, probe->wanted) != 0)
        row(probe->audit, AUDIT_STALE, "guest", "", "", probe->name, probe->name,
            probe->found[0] ? "the guest holds other keys than it should" : "the guest has lost its keys",
            "they are delivered again when its agent next connects: systemctl restart qemu-guest-agent in the guest");
    else
        row(probe->audit, AUDIT_OK, "guest", "", "", probe->name, probe->name, "", "");
    if (vm)
        engine_mark(probe->audit->engine, vm);
    finish(probe->audit);
    free(probe);
}

static void judge_guest(struct audit *audit, struct vm *vm, bool probe_guests)
{
    bool minted = false;
    for (size_t g = 0; g < vm->grants_count; g++)
        for (size_t k = 0; k < vm->grants[g]->keys_count; k++)
            minted = minted || vm->grants[g]->keys[k]->record.state == KEY_MINTED;
    if (vm->state != DOMAIN_RUNNING || vm->agent != AGENT_CONNECTED)
        return;
    if (!deliveries_proven(vm)) {
        if (minted)
            row(audit, AUDIT_UNDELIVERED, "guest", "", "", vm->record.name, vm->record.name,
                vm->delivery.reason[0] ? vm->delivery.reason : "minted, and not proven in the guest yet",
                "see llmhook show");
        return;
    }
    struct probe *probe = probe_guests && !vm->delivery.busy ? calloc(1, sizeof *probe) : NULL;
    if (!probe)
        return;
    probe->audit = audit;
    memcpy(probe->uuid, vm->record.uuid, sizeof probe->uuid);
    memcpy(probe->name, vm->record.name, sizeof probe->name);
    if (!deliveries_fingerprint(audit->engine, vm, probe->wanted)) {
        problem(audit, vm->record.name, "its keys cannot be unsealed to compare them");
        free(probe);
        return;
    }
    /* One agent call at a time for a domain: a delivery that becomes due waits for this. */
    vm->delivery.busy = true;
    audit->pending++;
    pool_submit(audit->engine->agents, probe_run, probe_done, probe);
}

void audit_run(struct engine *engine, bool guests, struct control_call *call)
{
    struct audit *audit = calloc(1, sizeof *audit);
    if (!audit)
        abort();
    *audit = (struct audit){engine, call, json_object_new_array(), json_object_new_array(), 1, true};
    control_call_on_cancel(call, asker_left, audit);
    if (!engine->swept)
        problem(audit, "libvirt", engine->libvirt_problem[0] ? engine->libvirt_problem
                                                              : "its list of domains has not come yet");
    struct error err = ERROR_INIT;
    if (!ledger_journal_verify(engine->ledger, &err))
        row(audit, AUDIT_STALE, "journal", "", "", "journal", "", err.text,
            "somebody changed the ledger behind llmhookd's back: trust the providers' lists, not its history");
    for (struct provider_slot *slot = engine->providers; slot; slot = slot->next)
        if (!slot->retired)
            ask_provider(audit, slot);
    for (size_t i = 0; i < engine->vms_count; i++)
        judge_guest(audit, engine->vms[i], guests);
    finish(audit);
}
