/* What the providers listed, judged against the ledger's rows, and the rows against the lists. */
#include "daemon/audit.h"

#include "base/clock.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* Two sections of the configuration can be one account; each thing is judged in the list of the one that it is named for.
 * BUSY: it is being made there, or has just ended, and that list need not have it. */
static enum audit_named named_of(const struct audit *audit, const struct audit_identity *identity, const char *id, bool busy)
{
    if (!engine_provider(audit->engine, identity->provider))
        return AUDIT_NAMED_UNKNOWN;
    for (const struct inventory *other = audit->inventories; other; other = other->next)
        if (strcmp(other->provider, identity->provider) == 0)
            return other->ok && !busy && !listed(other, id) ? AUDIT_NAMED_WITHOUT : AUDIT_NAMED_LISTS;
    return busy ? AUDIT_NAMED_LISTS : AUDIT_NAMED_WITHOUT; /* it keeps no list */
}

/* Whether the domain of a container that is named for one has its keys in another. */
static bool domain_is_elsewhere(struct engine *engine, const struct audit_identity *identity)
{
    const struct vm *vm = identity->owner ? NULL : engine_find_vm(engine, identity->subject);
    for (size_t g = 0; vm && g < vm->grants_count; g++) {
        const struct vm_grant *grant = vm->grants[g];
        if (strcmp(grant->record.provider, identity->provider) == 0)
            return grant->container && grant->container->record.state != CONTAINER_ARCHIVED;
    }
    return false;
}

/* "llmhook:HOST:UUID:" of whatever host; ours is told apart by the caller. */
static bool has_elsewhere(const struct inventory *inventory, const struct vm *vm)
{
    struct audit_identity identity;
    for (size_t i = 0; i < inventory->items_count; i++) {
        const struct provider_item *item = &inventory->items[i];
        if (item->kind != PROVIDER_ITEM_KEY)
            continue;
        audit_read_name(item->name, inventory->audit->engine->host_id, &identity);
        const char *host = identity.whose == AUDIT_NAME_OTHER_HOST ? strchr(item->name, ':') : NULL;
        const char *subject = host ? strchr(host + 1, ':') : NULL;
        if (subject && strncmp(subject + 1, vm->record.uuid, RECORD_UUID_SIZE - 1) == 0 &&
            subject[RECORD_UUID_SIZE] == ':')
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
    bool ended = !known && archived_since(engine, item->id, inventory->asked_wall);
    const struct audit_listed_container facts = {
        .name = identity,
        .provider = inventory->provider,
        .named = named_of(audit, identity, item->id, namesake || ended),
        .record = known ? &known->container->record : NULL,
        .namesake = namesake ? &namesake->record : NULL,
        .namesake_listed = namesake && listed(inventory, namesake->record.remote_id),
        .ended_meanwhile = ended,
        .domain_elsewhere = !known && !namesake && domain_is_elsewhere(engine, identity),
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
    bool ended = !known && identity->whose == AUDIT_NAME_OURS &&
                 ledger_find_key(engine->ledger, identity->provider, item->id, &earlier, NULL) &&
                 earlier.revoked_at + PLAN_SETTLE_MS >= inventory->asked_wall;
    const struct audit_listed_key facts = {
        .name = identity,
        .provider = inventory->provider,
        .named = named_of(audit, identity, item->id, namesake || ended),
        .record = known ? &known->key->record : NULL,
        .record_provider = known ? known->grant->record.provider : "",
        .namesake = namesake ? &namesake->key->record : NULL,
        .ended_meanwhile = ended,
        .tells_suspended = item->tells_suspended,
        .suspended = item->suspended,
        .state = known ? known->vm->state : DOMAIN_UNKNOWN,
        .elsewhere = known && known->vm->state == DOMAIN_MIGRATED && has_elsewhere(inventory, known->vm),
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
    struct finding *finding = audit_add_row(audit, key ? FINDING_KEY : FINDING_CONTAINER, judgement, inventory->provider,
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
    size_t not_compared = 0;
    for (size_t i = 0; !tokens && i < audit->keys_by_id.count; i++) {
        const struct entry *entry = &audit->keys_by_id.entries[i];
        const struct vm_container *container = entry->grant->container;
        /* A container that was given is looked into when it is the configured one, or is to be seen. The account always is; but
         * what has no name to be found by is not in its list. */
        bool account = slot && container && strcmp(container->record.remote_id, PROVIDER_ACCOUNT) == 0 &&
                       !(provider_capabilities(slot->provider) & PROVIDER_LEASES);
        bool looked_into = !container || container->record.kind != CONTAINER_GIVEN || account ||
                           (slot && strcmp(slot->settings->project, container->record.remote_id) == 0) ||
                           listed(inventory, container->record.remote_id);
        if (strcmp(entry->grant->record.provider, inventory->provider) != 0 ||
            listed(inventory, entry->key->record.remote_id))
            continue;
        enum key_state state = entry->key->record.state;
        if (!looked_into && state != KEY_REVOKING) {
            bool moved = container->record.remote_id[0] && strcmp(container->record.remote_id, PROVIDER_ACCOUNT) != 0;
            not_compared += moved && state >= KEY_MINTED && state < KEY_REVOKING;
            continue;
        }
        bool container_in_doubt = container && container->record.kind != CONTAINER_GIVEN &&
                                  container->record.state != CONTAINER_ARCHIVED &&
                                  !listed(inventory, container->record.remote_id);
        struct audit_judgement judgement =
            audit_unlisted_key(&entry->key->record, container_in_doubt, inventory->asked_wall);
        if (judgement.verdict == AUDIT_SILENT)
            continue;
        struct finding *finding = audit_add_row(audit, FINDING_KEY, judgement, inventory->provider,
                                                entry->key->record.remote_id, entry->key->record.name, entry->vm);
        finding->key = entry->key;
        finding->container = entry->grant->container;
    }
    if (not_compared) {
        char text[160];
        snprintf(text, sizeof text,
                 "keys in a project that cannot be seen, and is not the configured one any more, are not compared: %zu",
                 not_compared);
        audit_problem(audit, inventory->provider, text);
    }
    for (struct vm_container *container = engine->containers; container; container = container->next) {
        if (strcmp(container->record.provider, inventory->provider) != 0 ||
            listed(inventory, container->record.remote_id))
            continue;
        struct audit_judgement judgement = audit_unlisted_container(&container->record, inventory->asked_wall);
        if (judgement.verdict == AUDIT_SILENT)
            continue;
        struct vm *vm = engine_find_vm(engine, container->record.subject);
        audit_add_row(audit, FINDING_CONTAINER, judgement, inventory->provider, container->record.remote_id,
                      container->record.name, vm)->container = container;
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
                audit_add_row(audit, FINDING_KEY, (can & PROVIDER_SHARED) ? shared : own, grant->record.provider,
                              grant->keys[k]->record.remote_id, grant->keys[k]->record.name, engine->vms[i]);
        }
}

/* Keys of a provider that could not be opened: see status. */
static void say_unreachable(struct audit *audit)
{
    struct engine *engine = audit->engine;
    struct json_object *said = json_object_new_object();
    for (size_t i = 0; i < engine->vms_count; i++)
        for (size_t g = 0; g < engine->vms[i]->grants_count; g++) {
            const struct vm_grant *grant = engine->vms[i]->grants[g];
            const char *provider = grant->record.provider;
            if (!grant->keys_count || engine_provider(engine, provider) || json_object_object_get_ex(said, provider, NULL))
                continue;
            json_object_object_add(said, provider, json_object_new_boolean(true));
            audit_problem(audit, provider, "nobody can be asked about its keys: llmhook status tells why");
        }
    json_object_put(said);
}

void audit_judge_lists(struct audit *audit)
{
    index_rows(audit);
    for (struct inventory *inventory = audit->inventories; inventory; inventory = inventory->next) {
        for (size_t i = 0; i < inventory->items_count; i++)
            judge_item(inventory, &inventory->items[i]);
        if (inventory->ok)
            judge_unlisted(inventory);
    }
    judge_shared(audit);
    say_unreachable(audit);
}
