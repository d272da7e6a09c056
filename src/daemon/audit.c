/* The audit: what the providers have in our namespace, what the ledger says, what libvirt has and, where asked, what
 * the guests hold.
 *
 * Lists and guests are asked first, the journal's chain is gone through meanwhile, and everything is judged when the last of
 * them has answered, in one turn of the loop: so all verdicts are about one moment, and a repair that is asked for acts on what
 * was judged just now. It reads only, unless a repair is asked for. */
#include "daemon/audit.h"

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/json.h"
#include "base/log.h"
#include "daemon/chain.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PROGRESS_EVERY_MS = 100 };

struct probe {
    struct probe *next;
    struct audit *audit;
    char uuid[RECORD_UUID_SIZE], name[RECORD_NAME_SIZE];
    uint64_t epoch;
    char wanted[DELIVERY_FINGERPRINT_SIZE];
    struct delivery_found found;
    struct delivery_result result;
    bool told;
    struct host_link *link;
};

/* --- findings --- */

void audit_problem(struct audit *audit, const char *who, const char *what)
{
    char text[1024];
    snprintf(text, sizeof text, "%s: %s", who, what);
    json_append_string(audit->problems, text);
    audit->complete = false;
}

static struct finding *add_finding(struct audit *audit, enum finding_kind kind, struct audit_judgement judgement)
{
    if (audit->findings_count == audit->findings_room) {
        audit->findings_room = audit->findings_room ? audit->findings_room * 2 : 64;
        audit->findings = realloc(audit->findings, audit->findings_room * sizeof(struct finding *));
    }
    struct finding *finding = calloc(1, sizeof *finding);
    if (!finding || !audit->findings)
        abort();
    finding->kind = kind;
    finding->judgement = judgement;
    audit->findings[audit->findings_count++] = finding;
    return finding;
}

struct finding *audit_add_row(struct audit *audit, enum finding_kind kind, struct audit_judgement judgement,
                              const char *provider, const char *id, const char *name, struct vm *vm)
{
    struct finding *finding = add_finding(audit, kind, judgement);
    snprintf(finding->provider, sizeof finding->provider, "%s", provider);
    snprintf(finding->id, sizeof finding->id, "%s", id);
    snprintf(finding->name, sizeof finding->name, "%s", name);
    finding->vm = vm;
    if (vm)
        snprintf(finding->domain, sizeof finding->domain, "%s", vm->record.name);
    return finding;
}

/* --- judging guests --- */

static enum audit_probe probe_says(struct audit *audit, struct vm *vm)
{
    char wanted[DELIVERY_FINGERPRINT_SIZE];
    for (struct probe *probe = audit->probes; probe; probe = probe->next) {
        if (strcmp(probe->uuid, vm->record.uuid) != 0)
            continue;
        if (!probe->told && probe->result.outcome != DELIVERY_MISMATCH) {
            audit_problem(audit, probe->name, probe->result.error.text);
            return AUDIT_PROBE_NONE;
        }
        /* What it is to hold may have changed since it was asked. */
        if (probe->epoch != vm->delivery.epoch || !deliveries_fingerprint(audit->engine, vm, wanted) ||
            strcmp(wanted, probe->wanted) != 0)
            return AUDIT_PROBE_NONE;
        if (probe->told && deliveries_are(audit->engine, vm, &probe->found))
            return AUDIT_PROBE_SAME;
        return probe->told && !probe->found.fingerprint[0] ? AUDIT_PROBE_LOST : AUDIT_PROBE_OTHER;
    }
    return AUDIT_PROBE_NONE;
}

static void judge_guest(struct audit *audit, struct vm *vm)
{
    int64_t minted_at = 0, now = clock_monotonic_ms();
    struct audit_guest facts = {.state = vm->state, .agent = vm->agent, .proven = deliveries_proven(vm),
                                .attempts = vm->delivery.attempts, .probe = probe_says(audit, vm)};
    for (size_t g = 0; g < vm->grants_count; g++)
        for (size_t k = 0; k < vm->grants[g]->keys_count; k++) {
            const struct key_record *key = &vm->grants[g]->keys[k]->record;
            if (key->state != KEY_MINTED && key->state != KEY_ACTIVE)
                continue;
            facts.has_keys = true;
            minted_at = key->minted_at > minted_at ? key->minted_at : minted_at;
        }
    facts.waited_ms = now - vm->agent_heard_at;
    if (clock_wall_ms() - minted_at < facts.waited_ms)
        facts.waited_ms = clock_wall_ms() - minted_at;
    struct audit_judgement judgement = audit_guest(&facts);
    if (judgement.verdict == AUDIT_SILENT)
        return;
    struct finding *finding = audit_add_row(audit, FINDING_GUEST, judgement, "", "", vm->record.name, vm);
    if (judgement.verdict == AUDIT_UNDELIVERED && vm->delivery.reason[0])
        snprintf(finding->reason, sizeof finding->reason, "%s: %s", judgement.reason, vm->delivery.reason);
}

static void judge_journal(struct audit *audit)
{
    if (audit->chain.code == ERROR_NONE)
        return;
    if (audit->chain.code != ERROR_INVALID) { /* it could not be read, which says nothing of what is in it */
        audit_problem(audit, "journal", audit->chain.text);
        return;
    }
    struct audit_judgement judgement = {
        AUDIT_STALE, AUDIT_FIX_NONE, "its chain does not hold",
        "somebody changed the ledger behind llmhookd's back: trust the providers' lists, not its history"};
    struct finding *finding = audit_add_row(audit, FINDING_JOURNAL, judgement, "", "", "journal", NULL);
    snprintf(finding->reason, sizeof finding->reason, "%s", audit->chain.text);
}

static void judge_all(struct audit *audit)
{
    struct engine *engine = audit->engine;
    judge_journal(audit);
    audit_judge_lists(audit);
    for (size_t i = 0; i < engine->vms_count; i++)
        judge_guest(audit, engine->vms[i]);
}

/* --- repairing --- */

/* What a row of an audit is about, what it found, and what was shown as the remedy: all that somebody has agreed to. */
static void wanted_key(struct json_object *row, char *ret_key, size_t size)
{
    char fix[128], verdict[32], kind[32], provider[POLICY_PROVIDER_SIZE], id[RECORD_REMOTE_ID_SIZE], name[RECORD_NAME_SIZE];
    json_optional_string(row, "verdict", "", verdict, sizeof verdict);
    json_optional_string(row, "kind", "", kind, sizeof kind);
    json_optional_string(row, "provider", "", provider, sizeof provider);
    json_optional_string(row, "id", "", id, sizeof id);
    json_optional_string(row, "name", "", name, sizeof name);
    json_optional_string(row, "fix", "", fix, sizeof fix);
    snprintf(ret_key, size, "%s\n%s\n%s\n%s\n%s\n%s", fix, verdict, kind, provider, id, id[0] ? "" : name);
}

/* Only what was asked for, and only where the verdict is still the same, and what would be done about it. */
static void repair_wanted(struct audit *audit)
{
    char key[FINDING_KEY_SIZE], shown[FINDING_KEY_SIZE + 128];
    struct json_object *wanted = json_object_new_object();
    for (size_t i = 0; i < json_object_array_length(audit->wanted); i++) {
        wanted_key(json_object_array_get_idx(audit->wanted, i), shown, sizeof shown);
        json_object_object_add(wanted, shown, json_object_new_boolean(true));
    }
    struct finding **order = calloc(audit->findings_count + 1, sizeof *order);
    if (!order)
        abort();
    memcpy(order, audit->findings, audit->findings_count * sizeof *order);
    qsort(order, audit->findings_count, sizeof *order, repair_order);
    for (size_t i = 0; i < audit->findings_count; i++) {
        struct finding *finding = order[i];
        audit_finding_key(finding, key);
        snprintf(shown, sizeof shown, "%s\n%s", audit_fix_words(finding->judgement.fix), key);
        if (finding->judgement.fix == AUDIT_FIX_NONE || !json_object_object_get_ex(wanted, shown, NULL))
            continue;
        struct error err = ERROR_INIT;
        finding->acted = true;
        finding->done = repair(audit->engine, finding, &err);
        snprintf(finding->result, sizeof finding->result, "%.250s", finding->done ? "done" : err.text);
        log_notice("audit: %s %s (%s), %s: %s: %s", audit_verdict_name(finding->judgement.verdict), finding->name,
                   finding->id, finding->provider, audit_fix_words(finding->judgement.fix), finding->result);
    }
    free(order);
    json_object_put(wanted);
}

/* --- what came of it --- */

static struct json_object *finding_json(const struct finding *finding)
{
    struct json_object *object = json_object_new_object();
    json_put_string(object, "verdict", audit_verdict_name(finding->judgement.verdict));
    json_put_string(object, "kind", finding_kind_name(finding->kind));
    json_put_string(object, "provider", finding->provider);
    if (finding->id[0])
        json_put_string(object, "id", finding->id);
    json_put_string(object, "name", finding->name);
    if (finding->domain[0])
        json_put_string(object, "domain", finding->domain);
    json_put_string(object, "reason", finding_reason(finding));
    if (finding->judgement.remedy[0])
        json_put_string(object, "remedy", finding->judgement.remedy);
    if (finding->judgement.fix != AUDIT_FIX_NONE)
        json_put_string(object, "fix", audit_fix_words(finding->judgement.fix));
    if (finding->acted) {
        json_put_boolean(object, "fixed", finding->done);
        json_put_string(object, "result", finding->result);
    }
    return object;
}

static void reply(struct audit *audit)
{
    struct json_object *parameters = json_object_new_object(), *rows = json_object_new_array();
    for (size_t i = 0; i < audit->findings_count; i++)
        json_object_array_add(rows, finding_json(audit->findings[i]));
    json_put_boolean(parameters, "complete", audit->complete);
    json_put(parameters, "problems", json_object_get(audit->problems));
    json_put(parameters, "rows", rows);
    control_reply(audit->call, parameters);
}

static void free_audit(struct audit *audit)
{
    for (struct inventory *inventory = audit->inventories, *next; inventory; inventory = next) {
        next = inventory->next;
        if (inventory->by_id)
            free(inventory->by_id->entries);
        free(inventory->by_id);
        free(inventory->known);
        free(inventory->items);
        free(inventory);
    }
    for (struct probe *probe = audit->probes, *next; probe; probe = next) {
        next = probe->next;
        free(probe);
    }
    for (size_t i = 0; i < audit->findings_count; i++)
        free(audit->findings[i]);
    free(audit->findings);
    free(audit->keys_by_id.entries);
    free(audit->keys_by_name.entries);
    free(audit->containers_by_id.entries);
    json_object_put(audit->problems);
    json_object_put(audit->wanted);
    free(audit);
}

static const char *first_problem(const struct audit *audit)
{
    return json_object_array_length(audit->problems)
               ? json_object_get_string(json_object_array_get_idx(audit->problems, 0))
               : "";
}

static void finish(struct audit *audit)
{
    if (--audit->pending > 0)
        return;
    judge_all(audit);
    if (audit->wanted)
        repair_wanted(audit);
    const struct audit_outcome outcome = {audit->findings, audit->findings_count, audit->complete, first_problem(audit)};
    audit_remember(audit->engine, &outcome, audit->self);
    if (audit->call)
        reply(audit);
    free_audit(audit);
}

/* --- asking --- */

static void asker_left(void *context)
{
    struct audit *audit = context;
    audit->call = NULL;
}

static void inventory_progress(void *context, unsigned requests, size_t items)
{
    struct inventory *inventory = context;
    int64_t now = clock_monotonic_ms();
    if (!inventory->audit->call || !control_call_more(inventory->audit->call) ||
        now < inventory->progress_at + PROGRESS_EVERY_MS)
        return;
    inventory->progress_at = now;
    struct json_object *parameters = json_object_new_object(), *progress = json_object_new_object();
    json_put_string(progress, "provider", inventory->provider);
    json_put_integer(progress, "requests", requests);
    json_put_integer(progress, "found", (int64_t)items);
    json_put_boolean(parameters, "complete", false);
    json_put(parameters, "problems", json_object_new_array());
    json_put(parameters, "rows", json_object_new_array());
    json_put(parameters, "progress", progress);
    control_continue(inventory->audit->call, parameters);
}

static void inventory_done(void *context, struct provider_result *result)
{
    struct inventory *inventory = context;
    FAILPOINT("take-inventory", "answered");
    inventory->slot->in_flight--;
    requests_gate_ended(inventory->audit->engine, inventory->slot, requests_gate(inventory->slot, PROVIDER_INVENTORY), result,
                        inventory->started_at);
    inventory->slot = NULL;
    inventory->ok = result->outcome == OUTCOME_OK;
    if (inventory->ok) {
        inventory->items = result->items;
        inventory->items_count = result->items_count;
        result->items = NULL;
        result->items_count = 0;
    } else {
        audit_problem(inventory->audit, inventory->provider, result->error.text);
    }
    finish(inventory->audit);
}

/* Of the host's own keys nobody does, nor of tokens that it signs; of the accounts that these are for somebody may. */
static bool keeps_list(const struct provider_slot *slot)
{
    unsigned can = provider_capabilities(slot->provider);
    return !(can & (PROVIDER_SHARED | PROVIDER_EXPIRES)) || (can & PROVIDER_CAN_CONTAIN);
}

static void ask_provider(struct audit *audit, struct provider_slot *slot)
{
    struct inventory *inventory = calloc(1, sizeof *inventory);
    if (!inventory)
        abort();
    inventory->audit = audit;
    inventory->slot = slot;
    inventory->started_at = clock_monotonic_ms();
    inventory->asked_wall = clock_wall_ms();
    snprintf(inventory->provider, sizeof inventory->provider, "%s", slot->settings->name);
    inventory->next = audit->inventories;
    audit->inventories = inventory;
    /* All hosts' names: another's is shown, and never called an orphan. */
    struct provider_call call = {.verb = PROVIDER_INVENTORY, .name_prefix = "llmhook:", .progress = inventory_progress};
    transition_name_prefix(audit->engine->host_id, call.limits_prefix, sizeof call.limits_prefix);
    inventory->known = rows_name_known(audit->engine, inventory->provider, &call);
    audit->pending++;
    slot->in_flight++;
    FAILPOINT("take-inventory", "sending");
    provider_start(slot->provider, &call, inventory_done, inventory);
}

static bool probe_command(void *context, const struct buffer *text, unsigned timeout_s, struct buffer *ret_reply,
                          struct error *err)
{
    struct probe *probe = context;
    return host_agent_command(probe->link, probe->uuid, text, timeout_s, ret_reply, err);
}

static void chain_done(void *context, const struct error *result)
{
    struct audit *audit = context;
    audit->chain = *result;
    finish(audit);
}

static void probe_run(void *context, struct host_link *link)
{
    struct probe *probe = context;
    probe->link = link;
    probe->told = delivery_probe(probe_command, probe, &probe->found, &probe->result);
}

static void probe_done(void *context)
{
    struct probe *probe = context;
    struct vm *vm = engine_find_vm(probe->audit->engine, probe->uuid);
    if (vm) {
        vm->delivery.busy = false;
        engine_mark(probe->audit->engine, vm);
    }
    finish(probe->audit);
}

static void ask_guest(struct audit *audit, struct vm *vm)
{
    if (vm->state != DOMAIN_RUNNING || vm->agent != AGENT_CONNECTED || vm->delivery.busy || !deliveries_proven(vm))
        return;
    struct probe *probe = calloc(1, sizeof *probe);
    if (!probe)
        abort();
    probe->audit = audit;
    probe->epoch = vm->delivery.epoch;
    memcpy(probe->uuid, vm->record.uuid, sizeof probe->uuid);
    memcpy(probe->name, vm->record.name, sizeof probe->name);
    if (!deliveries_fingerprint(audit->engine, vm, probe->wanted)) {
        audit_problem(audit, vm->record.name, "its keys cannot be unsealed to compare them");
        free(probe);
        return;
    }
    probe->next = audit->probes;
    audit->probes = probe;
    /* One agent call at a time for a domain: a delivery that becomes due waits for this. */
    vm->delivery.busy = true;
    audit->pending++;
    pool_submit(deliveries_pool(audit->engine, vm), probe_run, probe_done, probe);
}

void audit_run(struct engine *engine, bool guests, struct json_object *wanted, struct control_call *call)
{
    struct audit *audit = calloc(1, sizeof *audit);
    if (!audit)
        abort();
    audit->engine = engine;
    audit->call = call;
    audit->self = !call;
    audit->problems = json_object_new_array();
    audit->complete = true;
    audit->pending = 1;
    audit->wanted = wanted ? json_object_get(wanted) : NULL;
    if (call)
        control_call_on_cancel(call, asker_left, audit);
    if (!engine->swept)
        audit_problem(audit, "libvirt", engine->libvirt_problem[0] ? engine->libvirt_problem
                                                              : "its list of domains has not come yet");
    for (struct provider_slot *slot = engine->providers; slot; slot = slot->next)
        if (!slot->retired && keeps_list(slot))
            ask_provider(audit, slot);
    for (size_t i = 0; guests && i < engine->vms_count; i++)
        ask_guest(audit, engine->vms[i]);
    audit->pending++;
    chain_verify(engine, chain_done, audit);
    finish(audit);
}
