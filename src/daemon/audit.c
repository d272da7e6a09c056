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

struct inventory {
    struct inventory *next;
    struct audit *audit;
    char provider[POLICY_PROVIDER_SIZE];
    struct provider_slot *slot; /* until it has ended */
    int64_t started_at, asked_wall, progress_at;
    bool ok;
    struct provider_item *items;
    size_t items_count;
    struct index *by_id;
};

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

/* Texts in order, and what each is of. */
struct index {
    struct entry {
        const char *text;
        struct vm *vm;
        struct vm_grant *grant;
        struct vm_key *key;
        struct vm_container *container;
        const struct provider_item *item;
    } *entries;
    size_t count, room;
};

struct audit {
    struct engine *engine;
    struct control_call *call;  /* NULL: whoever asked has gone, or nobody did */
    bool self;                  /* the daemon's own: it goes into the log */
    struct json_object *wanted; /* the rows to be repaired, NULL: none */
    struct json_object *problems;
    unsigned pending;
    bool complete;
    struct error chain; /* what is wrong with the journal's chain */
    struct inventory *inventories;
    struct probe *probes;
    struct finding **findings;
    size_t findings_count, findings_room;
    struct index keys_by_id, keys_by_name, containers_by_id;
};

/* --- the index --- */

static struct entry *index_add(struct index *index, const char *text)
{
    if (index->count == index->room) {
        index->room = index->room ? index->room * 2 : 64;
        index->entries = realloc(index->entries, index->room * sizeof *index->entries);
        if (!index->entries)
            abort();
    }
    struct entry *entry = &index->entries[index->count++];
    *entry = (struct entry){.text = text};
    return entry;
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *left = a, *right = b;
    return strcmp(left->text, right->text);
}

static void index_sort(struct index *index)
{
    if (index->count)
        qsort(index->entries, index->count, sizeof *index->entries, compare_entries);
}

static const struct entry *index_find(const struct index *index, const char *text)
{
    const struct entry wanted = {.text = text};
    return index->count && text[0]
               ? bsearch(&wanted, index->entries, index->count, sizeof *index->entries, compare_entries)
               : NULL;
}

static const char *provider_of(const struct entry *entry)
{
    return entry->grant ? entry->grant->record.provider : entry->container->record.provider;
}

/* Our row of what PROVIDER calls ID. An id is unique at one provider alone: what has a name of ours there is not another's
 * that happens to have the same. But two sections of the configuration can be one account, and then one lists what the other
 * has made. */
static const struct entry *find_row(const struct index *index, const char *provider, const char *id,
                                    const struct audit_identity *identity)
{
    const struct entry *any = index_find(index, id);
    if (!any)
        return NULL;
    while (any > index->entries && strcmp(any[-1].text, id) == 0)
        any--;
    for (const struct entry *entry = any; entry < index->entries + index->count && strcmp(entry->text, id) == 0; entry++)
        if (strcmp(provider_of(entry), provider) == 0)
            return entry;
    return identity->whose == AUDIT_NAME_OURS && strcmp(identity->provider, provider) == 0 ? NULL : any;
}

static void index_rows(struct audit *audit)
{
    struct engine *engine = audit->engine;
    for (size_t i = 0; i < engine->vms_count; i++)
        for (size_t g = 0; g < engine->vms[i]->grants_count; g++)
            for (size_t k = 0; k < engine->vms[i]->grants[g]->keys_count; k++) {
                struct vm_grant *grant = engine->vms[i]->grants[g];
                struct vm_key *key = grant->keys[k];
                struct entry *entry = index_add(&audit->keys_by_id, key->record.remote_id);
                *entry = (struct entry){key->record.remote_id, engine->vms[i], grant, key, NULL, NULL};
                entry = index_add(&audit->keys_by_name, key->record.name);
                *entry = (struct entry){key->record.name, engine->vms[i], grant, key, NULL, NULL};
            }
    for (struct vm_container *container = engine->containers; container; container = container->next)
        if (container->record.state != CONTAINER_ARCHIVED)
            index_add(&audit->containers_by_id, container->record.remote_id)->container = container;
    for (struct inventory *inventory = audit->inventories; inventory; inventory = inventory->next) {
        inventory->by_id = calloc(1, sizeof *inventory->by_id);
        if (!inventory->by_id)
            abort();
        for (size_t i = 0; i < inventory->items_count; i++)
            index_add(inventory->by_id, inventory->items[i].id)->item = &inventory->items[i];
        index_sort(inventory->by_id);
    }
    index_sort(&audit->keys_by_id);
    index_sort(&audit->keys_by_name);
    index_sort(&audit->containers_by_id);
}

static bool listed(const struct inventory *inventory, const char *id)
{
    return index_find(inventory->by_id, id) != NULL;
}

/* --- findings --- */

static void problem(struct audit *audit, const char *who, const char *what)
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

/* LIST: what was asked when this was found, NULL: no list. */
static struct finding *add_row(struct audit *audit, enum finding_kind kind, struct audit_judgement judgement,
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

/* --- judging a provider's list --- */

static struct vm_container *namesake_of(struct engine *engine, const struct audit_identity *identity)
{
    enum container_kind kind = identity->owner ? CONTAINER_PER_OWNER : CONTAINER_PER_DOMAIN;
    struct vm_container *container = engine->containers;
    while (container && (container->record.state == CONTAINER_ARCHIVED || container->record.kind != kind ||
                         strcmp(container->record.provider, identity->provider) != 0 ||
                         strcmp(container->record.subject, identity->subject) != 0))
        container = container->next;
    return container;
}

static bool archived_since(struct engine *engine, const char *id, int64_t wall)
{
    for (const struct vm_container *container = engine->containers; container; container = container->next)
        if (container->record.state == CONTAINER_ARCHIVED && strcmp(container->record.remote_id, id) == 0 &&
            container->record.archived_at + PLAN_SETTLE_MS >= wall)
            return true;
    return false;
}

static bool holds_others(const struct inventory *inventory, const char *id)
{
    struct audit_identity identity;
    for (size_t i = 0; i < inventory->items_count; i++) {
        const struct provider_item *item = &inventory->items[i];
        if (item->kind != PROVIDER_ITEM_KEY || strcmp(item->container_id, id) != 0)
            continue;
        audit_read_name(item->name, inventory->audit->engine->host_id, &identity);
        if (identity.whose != AUDIT_NAME_OURS || !identity.generation)
            return true;
    }
    return false;
}

static struct audit_judgement judge_container(const struct inventory *inventory, const struct provider_item *item,
                                              struct audit_identity *identity)
{
    struct audit *audit = inventory->audit;
    struct engine *engine = audit->engine;
    audit_read_name(item->name, engine->host_id, identity);
    const struct entry *known = find_row(&audit->containers_by_id, inventory->provider, item->id, identity);
    struct vm_container *namesake = known ? NULL : namesake_of(engine, identity);
    const struct audit_listed_container facts = {
        .name = identity,
        .provider = inventory->provider,
        .named_provider_known = engine_provider(engine, identity->provider) != NULL,
        .record = known ? &known->container->record : NULL,
        .namesake = namesake ? &namesake->record : NULL,
        .namesake_listed = namesake && listed(inventory, namesake->record.remote_id),
        .ended_meanwhile = !known && archived_since(engine, item->id, inventory->asked_wall),
        .holds_others = !known && holds_others(inventory, item->id),
        .limit = item->monthly_limit,
        .limit_unsettled = known && (known->container->busy || known->container->limited_at >= inventory->started_at),
    };
    return audit_listed_container(&facts);
}

/* Where a key is that the ledger does not know. */
static enum audit_place place_of(const struct inventory *inventory, const struct provider_item *key)
{
    struct audit *audit = inventory->audit;
    struct audit_identity identity = {.whose = AUDIT_NAME_NOT_OURS};
    const struct entry *known = find_row(&audit->containers_by_id, inventory->provider, key->container_id, &identity);
    if (known && strcmp(known->container->record.provider, inventory->provider) == 0)
        return AUDIT_PLACE_OURS;
    const struct entry *entry = index_find(inventory->by_id, key->container_id);
    if (!entry) /* not in the list, and looked into: the configured one */
        return AUDIT_PLACE_OURS;
    struct audit_judgement judgement = judge_container(inventory, entry->item, &identity);
    if (judgement.fix == AUDIT_FIX_ADOPT || judgement.fix == AUDIT_FIX_CLEAR)
        return AUDIT_PLACE_OURS;
    if (!audit_verdict_is_drift(judgement.verdict) && judgement.verdict != AUDIT_OK)
        return AUDIT_PLACE_FOREIGN;
    return holds_others(inventory, key->container_id) ? AUDIT_PLACE_SHARED : AUDIT_PLACE_LATER;
}

static struct audit_judgement judge_key(const struct inventory *inventory, const struct provider_item *item,
                                        struct audit_identity *identity)
{
    struct audit *audit = inventory->audit;
    struct engine *engine = audit->engine;
    audit_read_name(item->name, engine->host_id, identity);
    const struct entry *known = find_row(&audit->keys_by_id, inventory->provider, item->id, identity);
    const struct entry *namesake = known ? NULL : index_find(&audit->keys_by_name, item->name);
    struct key_record earlier;
    const struct audit_listed_key facts = {
        .name = identity,
        .provider = inventory->provider,
        .named_provider_known = engine_provider(engine, identity->provider) != NULL,
        .record = known ? &known->key->record : NULL,
        .record_provider = known ? known->grant->record.provider : "",
        .namesake = namesake ? &namesake->key->record : NULL,
        .ended_meanwhile = !known && identity->whose == AUDIT_NAME_OURS &&
                           ledger_find_key(engine->ledger, inventory->provider, item->id, &earlier, NULL) &&
                           earlier.revoked_at + PLAN_SETTLE_MS >= inventory->asked_wall,
        .tells_suspended = item->tells_suspended,
        .suspended = item->suspended,
        .state = known ? known->vm->state : DOMAIN_UNKNOWN,
        .limit = item->monthly_limit,
        .limit_unsettled = known && (known->key->busy || known->key->limited_at >= inventory->started_at),
        .place = known ? AUDIT_PLACE_OURS : place_of(inventory, item),
        .wall = clock_wall_ms(),
    };
    return audit_listed_key(&facts);
}

static void judge_item(const struct inventory *inventory, const struct provider_item *item)
{
    struct audit *audit = inventory->audit;
    struct audit_identity identity;
    bool key = item->kind == PROVIDER_ITEM_KEY;
    struct audit_judgement judgement = key ? judge_key(inventory, item, &identity)
                                           : judge_container(inventory, item, &identity);
    if (judgement.verdict == AUDIT_SILENT)
        return;
    const struct entry *known = find_row(key ? &audit->keys_by_id : &audit->containers_by_id, inventory->provider, item->id,
                                         &identity);
    struct vm *vm = known && key                      ? known->vm
                    : identity.whose == AUDIT_NAME_OURS ? engine_find_vm(audit->engine, identity.subject)
                                                      : NULL;
    struct finding *finding = add_row(audit, key ? FINDING_KEY : FINDING_CONTAINER, judgement, inventory->provider,
                                      item->id, item->name, vm);
    finding->identity = identity;
    finding->created_at = item->created_at;
    snprintf(finding->container_id, sizeof finding->container_id, "%s", item->container_id);
    finding->key = known ? known->key : NULL;
    finding->container = known ? known->container : NULL;
    if (known && key && judgement.verdict == AUDIT_STUCK)
        snprintf(finding->reason, sizeof finding->reason, "%s: %s", judgement.reason, known->key->record.last_error);
}

/* Rows of this provider that the list does not have. */
static void judge_unlisted(const struct inventory *inventory)
{
    struct audit *audit = inventory->audit;
    struct engine *engine = audit->engine;
    const struct provider_slot *slot = engine_provider(engine, inventory->provider);
    bool tokens = slot && (provider_capabilities(slot->provider) & PROVIDER_EXPIRES); /* see judge_shared() */
    for (size_t i = 0; !tokens && i < audit->keys_by_id.count; i++) {
        const struct entry *entry = &audit->keys_by_id.entries[i];
        const struct vm_container *container = entry->grant->container;
        /* A container that was given is looked into as long as it is the configured one. The account always is; but what
         * has no name to be found by is not in its list. */
        bool account = slot && container && strcmp(container->record.remote_id, PROVIDER_ACCOUNT) == 0 &&
                       !(provider_capabilities(slot->provider) & PROVIDER_LEASES);
        bool looked_into = !container || container->record.kind != CONTAINER_GIVEN || account ||
                           (slot && strcmp(slot->settings->project, container->record.remote_id) == 0);
        if (strcmp(entry->grant->record.provider, inventory->provider) != 0 || !looked_into ||
            listed(inventory, entry->key->record.remote_id))
            continue;
        bool container_in_doubt = container && container->record.kind != CONTAINER_GIVEN &&
                                  container->record.state != CONTAINER_ARCHIVED &&
                                  !listed(inventory, container->record.remote_id);
        struct audit_judgement judgement =
            audit_unlisted_key(&entry->key->record, container_in_doubt, inventory->asked_wall);
        if (judgement.verdict == AUDIT_SILENT)
            continue;
        struct finding *finding = add_row(audit, FINDING_KEY, judgement, inventory->provider,
                                          entry->key->record.remote_id, entry->key->record.name, entry->vm);
        finding->key = entry->key;
        finding->container = entry->grant->container;
    }
    for (struct vm_container *container = engine->containers; container; container = container->next) {
        if (strcmp(container->record.provider, inventory->provider) != 0 ||
            listed(inventory, container->record.remote_id))
            continue;
        struct audit_judgement judgement = audit_unlisted_container(&container->record, inventory->asked_wall);
        if (judgement.verdict == AUDIT_SILENT)
            continue;
        struct vm *vm = engine_find_vm(engine, container->record.subject);
        add_row(audit, FINDING_CONTAINER, judgement, inventory->provider, container->record.remote_id,
                container->record.name, vm)
            ->container = container;
    }
}

/* Of the host's own keys, and of tokens that it signs, there is no list, so there is nothing to compare: they are only
 * named. */
static void judge_shared(struct audit *audit)
{
    const struct audit_judgement shared = {AUDIT_OK, AUDIT_FIX_NONE, "shared: the host's own key; nobody lists it", ""};
    const struct audit_judgement own = {AUDIT_OK, AUDIT_FIX_NONE, "this host signed it; nobody lists it, it ends by itself", ""};
    struct engine *engine = audit->engine;
    for (size_t i = 0; i < engine->vms_count; i++)
        for (size_t g = 0; g < engine->vms[i]->grants_count; g++) {
            const struct vm_grant *grant = engine->vms[i]->grants[g];
            const struct provider_slot *slot = engine_provider(engine, grant->record.provider);
            unsigned can = slot ? provider_capabilities(slot->provider) : 0;
            if (!(can & (PROVIDER_SHARED | PROVIDER_EXPIRES)))
                continue;
            for (size_t k = 0; k < grant->keys_count; k++)
                add_row(audit, FINDING_KEY, (can & PROVIDER_SHARED) ? shared : own, grant->record.provider,
                        grant->keys[k]->record.remote_id,
                        grant->keys[k]->record.name, engine->vms[i]);
        }
}

/* --- judging guests --- */

static enum audit_probe probe_says(struct audit *audit, struct vm *vm)
{
    char wanted[DELIVERY_FINGERPRINT_SIZE];
    for (struct probe *probe = audit->probes; probe; probe = probe->next) {
        if (strcmp(probe->uuid, vm->record.uuid) != 0)
            continue;
        if (!probe->told && probe->result.outcome != DELIVERY_MISMATCH) {
            problem(audit, probe->name, probe->result.error.text);
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
    struct finding *finding = add_row(audit, FINDING_GUEST, judgement, "", "", vm->record.name, vm);
    if (judgement.verdict == AUDIT_UNDELIVERED && vm->delivery.reason[0])
        snprintf(finding->reason, sizeof finding->reason, "%s: %s", judgement.reason, vm->delivery.reason);
}

static void judge_journal(struct audit *audit)
{
    if (audit->chain.code == ERROR_NONE)
        return;
    struct audit_judgement judgement = {
        AUDIT_STALE, AUDIT_FIX_NONE, "its chain does not hold",
        "somebody changed the ledger behind llmhookd's back: trust the providers' lists, not its history"};
    struct finding *finding = add_row(audit, FINDING_JOURNAL, judgement, "", "", "journal", NULL);
    snprintf(finding->reason, sizeof finding->reason, "%s", audit->chain.text);
}

static void judge_all(struct audit *audit)
{
    struct engine *engine = audit->engine;
    index_rows(audit);
    judge_journal(audit);
    for (struct inventory *inventory = audit->inventories; inventory; inventory = inventory->next) {
        for (size_t i = 0; i < inventory->items_count; i++)
            judge_item(inventory, &inventory->items[i]);
        if (inventory->ok)
            judge_unlisted(inventory);
    }
    judge_shared(audit);
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
    snprintf(ret_key, size, "%s\n%s\n%s\n%s\n%s\n%s", fix, verdict, kind, provider, id, name);
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
        problem(inventory->audit, inventory->provider, result->error.text);
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
        problem(audit, vm->record.name, "its keys cannot be unsealed to compare them");
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
        problem(audit, "libvirt", engine->libvirt_problem[0] ? engine->libvirt_problem
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
