/* What stands in Anthropic's successes. Every field that is used is checked; what is not known is ignored. */
#include "base/json.h"
#include "providers/anthropic.h"
#include "providers/form.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char who[] = ANTHROPIC_WHO;

static enum provider_next conclude_gone(struct reading *reading, bool key)
{
    const struct provider_call *call = reading->call;
    return reading_conclude_gone(reading, key ? "key" : "workspace", key ? call->key_id : call->container_id);
}

/* --- lists --- */

static const char nowhere[] = "a further page is promised, but nothing leads there";

/* Lists by ids say has_more and last_id, those by cursors next_page alone. */
static bool next_by_ids(struct reading *reading, struct json_object *page, struct json_object *data, struct error *err)
{
    char cursor[sizeof reading->progress->cursor];
    bool more;
    if (!json_get_boolean(page, "has_more", &more, err))
        return false;
    if (more) {
        form_last_id(page, data, cursor, sizeof cursor);
        return reading_follow(reading, cursor) || error_set(err, ERROR_PROTOCOL, "%s", nowhere);
    }
    reading->progress->cursor[0] = '\0';
    return true;
}

bool anthropic_next_page(struct reading *reading, struct json_object *page, struct error *err)
{
    char cursor[sizeof reading->progress->cursor];
    if (json_has(page, "next_page"))
        return json_get_string(page, "next_page", cursor, sizeof cursor, err) &&
               (reading_follow(reading, cursor) || error_set(err, ERROR_PROTOCOL, "%s", nowhere));
    reading->progress->cursor[0] = '\0';
    return true;
}

/* Hands every object of one page to EACH; the progress' cursor leads to the next one, if there is one. False:
 * result->error says why. */
static bool read_page(struct reading *reading, reading_entry_fn *each, bool by_ids)
{
    struct error *err = &reading->result->error;
    cleanup_json struct json_object *page = NULL;
    struct json_object *data;
    return reading_body(reading, &page) && json_get_array(page, "data", &data, err) &&
           reading_each(reading, data, each, err) &&
           (by_ids ? next_by_ids(reading, page, data, err) : anthropic_next_page(reading, page, err));
}

/* --- workspaces --- */

/* The name that we gave it: whole in its tag, where its own had to be cut. */
static bool read_workspace(struct json_object *workspace, struct provider_item *ret_item, bool *ret_live, struct error *err)
{
    struct json_object *tags;
    const char *name;
    *ret_item = (struct provider_item){.kind = PROVIDER_ITEM_CONTAINER, .monthly_limit = PROVIDER_LIMIT_UNTOLD};
    if (!form_get_name(workspace, "name", &name, err) || !form_get_id(workspace, "id", ret_item->id, err) ||
        !form_get_time(workspace, "created_at", &ret_item->created_at, err))
        return false;
    snprintf(ret_item->name, sizeof ret_item->name, "%.*s", (int)sizeof ret_item->name - 1, name);
    if (json_get_object(workspace, "tags", &tags, NULL)) {
        char tag[RECORD_NAME_SIZE];
        json_optional_string(tags, ANTHROPIC_TAG, "", tag, sizeof tag);
        if (*tag)
            memcpy(ret_item->name, tag, sizeof ret_item->name);
    }
    *ret_live = !json_has(workspace, "archived_at");
    return true;
}

static bool each_workspace_by_identity(struct reading *reading, struct json_object *workspace,
                                       struct error *err)
{
    struct provider_item item;
    bool live;
    if (!read_workspace(workspace, &item, &live, err))
        return false;
    return !live || !reading_names_container(reading, item.name) || reading_add_item(reading, &item, err);
}

static bool each_workspace_by_prefix(struct reading *reading, struct json_object *workspace, struct error *err)
{
    struct provider_item item;
    bool live;
    if (!read_workspace(workspace, &item, &live, err))
        return false;
    return !live || !provider_inventory_has(reading->call, item.id, item.name) || reading_add_item(reading, &item, err);
}

/* --- keys --- */

enum key_status { KEY_STATUS_ACTIVE, KEY_STATUS_INACTIVE, KEY_STATUS_ENDED, KEY_STATUS_UNHEARD };

/* In a status that nobody has heard of yet a key may be alive. */
static bool read_status(struct json_object *key, enum key_status *ret_status, struct error *err)
{
    static const struct {
        const char *name;
        enum key_status status;
    } known[] = {{"active", KEY_STATUS_ACTIVE},
                 {"inactive", KEY_STATUS_INACTIVE},
                 {"archived", KEY_STATUS_ENDED},
                 {"expired", KEY_STATUS_ENDED}};
    char text[32];
    if (!json_get_string(key, "status", text, sizeof text, err))
        return false;
    *ret_status = KEY_STATUS_UNHEARD;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(known[i].name, text) == 0)
            *ret_status = known[i].status;
    return true;
}

/* Which workspace it is in, empty: none. `scope` is in all versions; `workspace_id` was before it, in the older one. A key
 * of somebody's own that has no workspace is of the organisation. */
static void read_place(struct json_object *key, struct provider_item *item)
{
    struct json_object *scope;
    char *workspace = item->container_id, type[32];
    workspace[0] = '\0';
    if (json_get_object(key, "scope", &scope, NULL)) {
        json_optional_string(scope, "workspace_id", "", workspace, RECORD_REMOTE_ID_SIZE);
        json_optional_string(scope, "type", "", type, sizeof type);
        item->of_no_container = strcmp(type, "organization") == 0;
    }
    if (!workspace[0])
        json_optional_string(key, "workspace_id", "", workspace, RECORD_REMOTE_ID_SIZE);
    if (!provider_id_valid(workspace))
        workspace[0] = '\0';
}

static bool read_key(struct json_object *key, struct provider_item *ret_item, bool *ret_live, struct error *err)
{
    enum key_status status;
    const char *name;
    *ret_item = (struct provider_item){.kind = PROVIDER_ITEM_KEY, .monthly_limit = PROVIDER_LIMIT_UNTOLD};
    if (!form_get_name(key, "name", &name, err) || !form_get_id(key, "id", ret_item->id, err) ||
        !form_get_time(key, "created_at", &ret_item->created_at, err) || !read_status(key, &status, err) ||
        (json_has(key, "expires_at") && !form_get_time(key, "expires_at", &ret_item->expires_at, err)))
        return false;
    snprintf(ret_item->name, sizeof ret_item->name, "%.*s", (int)sizeof ret_item->name - 1, name);
    read_place(key, ret_item);
    ret_item->tells_suspended = true;
    ret_item->suspended = status == KEY_STATUS_INACTIVE;
    *ret_live = status != KEY_STATUS_ENDED;
    return true;
}

static bool each_key_by_name(struct reading *reading, struct json_object *key, struct error *err)
{
    const char *workspace = anthropic_workspace_of(reading->call);
    struct provider_item item;
    bool live;
    if (!read_key(key, &item, &live, err))
        return false;
    if (!live || strcmp(item.name, reading->call->key_name) != 0 ||
        (workspace && item.container_id[0] && strcmp(item.container_id, workspace) != 0))
        return true;
    return reading_add_item(reading, &item, err);
}

static bool each_key_by_hint(struct reading *reading, struct json_object *key, struct error *err)
{
    struct provider_item item;
    bool live;
    if (!read_key(key, &item, &live, err))
        return false;
    return !live || !form_hint_fits(key, "partial_key_hint", reading->call->chosen) || reading_add_item(reading, &item, err);
}

/* The workspaces are the first items. */
static bool in_our_workspace(const struct reading *reading, const char *workspace)
{
    const struct provider_result *result = reading->result;
    for (size_t i = 0; i < result->items_count && result->items[i].kind == PROVIDER_ITEM_CONTAINER; i++)
        if (strcmp(result->items[i].id, workspace) == 0)
            return provider_inventory_names(reading->call, result->items[i].name);
    return false;
}

static bool each_key_of_ours(struct reading *reading, struct json_object *key, struct error *err)
{
    struct provider_item item;
    bool live;
    if (!read_key(key, &item, &live, err))
        return false;
    bool ours = provider_inventory_has(reading->call, item.id, item.name) || in_our_workspace(reading, item.container_id);
    return !live || !ours || reading_add_item(reading, &item, err);
}

static enum provider_next parse_find(struct reading *reading, reading_entry_fn *each)
{
    if (!read_page(reading, each, true))
        return reading_unreadable(reading);
    return reading->progress->cursor[0] ? PROVIDER_NEXT_REQUEST : reading_conclude_list(reading);
}

/* --- the inventory --- */

/* "2500" of US cents a month as micro-dollars; any other is none that we have set: to us it is no limit. */
static bool read_limit(struct json_object *limit, int64_t *ret_micro_dollars, struct error *err)
{
    char amount[24], currency[16], period[16], *end;
    *ret_micro_dollars = 0;
    if (!json_get_string(limit, "currency", currency, sizeof currency, err) ||
        !json_get_string(limit, "period", period, sizeof period, err))
        return false;
    if (!json_has(limit, "amount") || strcmp(currency, "USD") != 0 || strcmp(period, "monthly") != 0)
        return true;
    if (!json_get_string(limit, "amount", amount, sizeof amount, err))
        return false;
    int64_t cents = strtoll(amount, &end, 10);
    if (!*amount || strspn(amount, "0123456789") != strlen(amount) || cents > INT64_MAX / FORM_MICRO_PER_CENT)
        return error_set(err, ERROR_PROTOCOL, "field 'amount' is no number of cents");
    *ret_micro_dollars = cents * FORM_MICRO_PER_CENT;
    return true;
}

static bool limit_is_asked_for(const struct reading *reading, const struct provider_item *item)
{
    const char *prefix = reading->call->limits_prefix;
    return *prefix && item->kind == PROVIDER_ITEM_CONTAINER && strncmp(item->name, prefix, strlen(prefix)) == 0;
}

static bool each_limit(struct reading *reading, struct json_object *limit, struct error *err)
{
    struct provider_result *result = reading->result;
    char workspace[RECORD_REMOTE_ID_SIZE];
    struct json_object *scope;
    int64_t micro_dollars;
    if (!json_object_is_type(limit, json_type_object))
        return error_set(err, ERROR_PROTOCOL, "an entry of the list is no object");
    if (!json_get_object(limit, "scope", &scope, err) || !read_limit(limit, &micro_dollars, err))
        return false;
    json_optional_string(scope, "workspace_id", "", workspace, sizeof workspace);
    for (size_t i = 0; i < result->items_count; i++)
        if (limit_is_asked_for(reading, &result->items[i]) && strcmp(result->items[i].id, workspace) == 0)
            result->items[i].monthly_limit = micro_dollars;
    return true;
}

/* All keys have been seen. Limits are asked for where the caller wants to know one. */
static enum provider_next inventory_limits_next(struct reading *reading)
{
    const struct provider_result *result = reading->result;
    reading->progress->step = INVENTORY_LIMITS;
    for (size_t i = 0; i < result->items_count; i++)
        if (limit_is_asked_for(reading, &result->items[i]))
            return PROVIDER_NEXT_REQUEST;
    return reading_conclude(reading, OUTCOME_OK);
}

/* What the list of limits does not have is without one. */
static void say_unlimited(struct reading *reading)
{
    struct provider_result *result = reading->result;
    for (size_t i = 0; i < result->items_count; i++)
        if (limit_is_asked_for(reading, &result->items[i]) && result->items[i].monthly_limit == PROVIDER_LIMIT_UNTOLD)
            result->items[i].monthly_limit = 0;
}

static enum provider_next parse_inventory(struct reading *reading)
{
    struct provider_progress *progress = reading->progress;
    unsigned step = progress->step;
    reading_entry_fn *each = step == INVENTORY_WORKSPACES ? each_workspace_by_prefix
                             : step == INVENTORY_KEYS     ? each_key_of_ours
                                                          : each_limit;
    if (!read_page(reading, each, step != INVENTORY_LIMITS))
        return reading_unreadable(reading);
    if (progress->cursor[0])
        return PROVIDER_NEXT_REQUEST;
    if (step == INVENTORY_KEYS)
        return inventory_limits_next(reading);
    if (step == INVENTORY_WORKSPACES) {
        progress->step = INVENTORY_KEYS;
        return PROVIDER_NEXT_REQUEST;
    }
    say_unlimited(reading);
    return reading_conclude(reading, OUTCOME_OK);
}

/* --- rate limits --- */

static unsigned limiters_of(struct json_object *limits)
{
    unsigned bits = 0;
    for (size_t i = 0; i < json_object_array_length(limits); i++) {
        char type[64];
        json_optional_string(json_object_array_get_idx(limits, i), "type", "", type, sizeof type);
        for (unsigned known = 0; known < LIMITERS_COUNT; known++)
            if (strcmp(anthropic_limiters[known], type) == 0)
                bits |= 1u << known;
    }
    return bits;
}

/* One entry of the organisation's rate limits holds for all models of a group. Which limiters it has differs: what is
 * configured as tokens a minute is set for each of the group's limiters of tokens. */
static bool each_rate_limit(struct reading *reading, struct json_object *entry, struct error *err)
{
    struct json_object *models, *limits;
    struct provider_item item = {.kind = PROVIDER_ITEM_CONTAINER};
    if (!json_object_is_type(entry, json_type_object) || !json_has(entry, "models"))
        return json_object_is_type(entry, json_type_object) ||
               error_set(err, ERROR_PROTOCOL, "an entry of the list is no object");
    if (!form_get_id(entry, "id", item.id, err) || !json_get_array(entry, "models", &models, err) ||
        !json_get_array(entry, "limits", &limits, err))
        return false;
    for (size_t i = 0; i < json_object_array_length(models); i++) {
        const char *model = json_object_get_string(json_object_array_get_idx(models, i));
        const struct provider_rate *rate = model ? rates_find(reading->settings, model) : NULL;
        if (!rate)
            continue;
        unsigned wanted = (rate->requests_per_minute ? LIMITER_REQUESTS : 0u) |
                          (rate->tokens_per_minute ? ~(unsigned)LIMITER_REQUESTS : 0u);
        item.monthly_limit = limiters_of(limits) & wanted; /* these items never leave the driver */
        snprintf(item.name, sizeof item.name, "%s", rate->model);
        if (!reading_add_item(reading, &item, err))
            return false;
    }
    return true;
}

static enum provider_next parse_rates_list(struct reading *reading)
{
    if (!read_page(reading, each_rate_limit, false))
        return reading_unreadable(reading);
    return reading->progress->cursor[0] ? PROVIDER_NEXT_REQUEST : rates_listed(reading, "this organisation");
}

/* The answer is the group as it is now. */
static bool has_limiter(struct json_object *limits, const char *name, int64_t wanted)
{
    for (size_t i = 0; i < json_object_array_length(limits); i++) {
        struct json_object *limit = json_object_array_get_idx(limits, i);
        char type[64];
        json_optional_string(limit, "type", "", type, sizeof type);
        if (strcmp(type, name) == 0)
            return json_optional_integer(limit, "value", -1) == wanted;
    }
    return false;
}

static enum provider_next parse_rates_set(struct reading *reading)
{
    struct error *err = &reading->result->error;
    const struct provider_item *item = &reading->result->items[reading->progress->index];
    const struct provider_rate *rate = rates_find(reading->settings, item->name);
    cleanup_json struct json_object *object = NULL;
    struct json_object *limits;
    if (!reading_body(reading, &object) || !json_get_array(object, "limits", &limits, err))
        return reading_unreadable(reading);
    for (unsigned i = 0; i < LIMITERS_COUNT; i++) {
        if (!(item->monthly_limit & (1 << i)) ||
            has_limiter(limits, anthropic_limiters[i], anthropic_limiter_value(rate, i)))
            continue;
        error_set(err, ERROR_PROTOCOL, "%s does not keep the %s that were asked for with model '%s'", who,
                  anthropic_limiters[i], item->name);
        return reading_conclude(reading, OUTCOME_REFUSED);
    }
    return rates_next(reading, reading->progress->index + 1);
}

/* --- the spend limit --- */

static enum provider_next parse_limit(struct reading *reading)
{
    const struct provider_call *call = reading->call;
    struct error *err = &reading->result->error;
    cleanup_json struct json_object *object = NULL;
    struct json_object *scope;
    char id[RECORD_REMOTE_ID_SIZE], workspace[RECORD_REMOTE_ID_SIZE], currency[16];
    int64_t amount, wanted = form_cents(call->monthly_limit) * FORM_MICRO_PER_CENT;
    bool enabled;
    if (!reading_body(reading, &object) || !form_get_id(object, "id", id, err))
        return reading_unreadable(reading);
    if (reading->progress->step == LIMIT_SET) {
        reading->progress->step = LIMIT_READ; /* what counts is what is read back */
        snprintf(reading->progress->cursor, sizeof reading->progress->cursor, "%s", id);
        return PROVIDER_NEXT_REQUEST;
    }
    if (!json_get_object(object, "scope", &scope, err) || !form_get_id(scope, "workspace_id", workspace, err) ||
        !json_get_string(object, "currency", currency, sizeof currency, err) ||
        !json_get_boolean(object, "is_enabled", &enabled, err) || !read_limit(object, &amount, err))
        return reading_unreadable(reading);
    if (strcmp(currency, "USD") != 0) {
        error_set(err, ERROR_INVALID, "%s bills this organisation in another currency than dollars: its spend limits are "
                  "no use here", who);
        return reading_conclude(reading, OUTCOME_UNSUPPORTED);
    }
    if (amount != wanted || !enabled || strcmp(workspace, call->container_id) != 0) {
        error_set(err, ERROR_PROTOCOL, "%s keeps another spend limit for workspace %s than the %" PRId64
                  " US cents a month that were set", who, call->container_id, form_cents(call->monthly_limit));
        reading->result->other_limit = true;
        return reading_conclude(reading, OUTCOME_REFUSED);
    }
    return reading_conclude(reading, OUTCOME_OK);
}

/* --- single objects --- */

static enum provider_next parse_archived(struct reading *reading)
{
    struct error *err = &reading->result->error;
    cleanup_json struct json_object *workspace = NULL;
    char id[RECORD_REMOTE_ID_SIZE];
    if (!reading_body(reading, &workspace) || !form_get_id(workspace, "id", id, err))
        return reading_unreadable(reading);
    if (!json_has(workspace, "archived_at") || strcmp(id, reading->call->container_id) != 0) {
        error_set(err, ERROR_PROTOCOL, "the workspace is not shown as archived");
        return reading_unreadable(reading);
    }
    return reading_conclude(reading, OUTCOME_OK);
}

/* The key that the call names, as ITEM. */
static bool read_named_key(struct reading *reading, struct provider_item *ret_item, enum key_status *ret_status)
{
    struct error *err = &reading->result->error;
    cleanup_json struct json_object *key = NULL;
    bool live;
    if (!reading_body(reading, &key) || !read_key(key, ret_item, &live, err) || !read_status(key, ret_status, err))
        return false;
    return strcmp(ret_item->id, reading->call->key_id) == 0 ||
           error_set(err, ERROR_PROTOCOL, "it shows another key than was asked for");
}

/* A key that no domain is to have, wherever it was put into the pool. What was made in another workspace cannot be moved. */
static bool is_misplaced(struct reading *reading, const struct provider_item *item)
{
    const char *workspace = anthropic_workspace_of(reading->call), *id = reading->call->key_id;
    struct error *err = &reading->result->error;
    if (item->of_no_container)
        error_set(err, ERROR_INVALID, "key %s is of the whole organisation, and can do with it what its owner can: llmhook revoke "
                  "ends it, and the next start claims another", id);
    else if (workspace && item->container_id[0] && strcmp(item->container_id, workspace) != 0)
        error_set(err, ERROR_INVALID, "key %s is in another workspace than %s, and cannot be moved: llmhook revoke ends it, and "
                  "the next start claims another", id, workspace);
    else
        return false;
    return true;
}

static enum provider_next parse_switched(struct reading *reading, enum key_status wanted)
{
    struct provider_item item;
    enum key_status status;
    if (!read_named_key(reading, &item, &status))
        return reading_unreadable(reading);
    if (status != wanted) {
        error_set(&reading->result->error, ERROR_PROTOCOL, "the key does not have the status that was set");
        return reading_unreadable(reading);
    }
    /* It may have been claimed without an answer, and nobody has looked yet. */
    if (wanted == KEY_STATUS_ACTIVE && is_misplaced(reading, &item))
        return reading_conclude(reading, OUTCOME_REFUSED);
    reading->result->expires_at = item.expires_at;
    return reading_conclude(reading, OUTCOME_OK);
}

static enum provider_next parse_claimed(struct reading *reading)
{
    const struct provider_call *call = reading->call;
    struct error *err = &reading->result->error;
    struct provider_item item;
    enum key_status status;
    if (!read_named_key(reading, &item, &status))
        return reading_unreadable(reading);
    if (reading->progress->step == CLAIM_SET) {
        reading->progress->step = CLAIM_READ; /* what counts is what is read back */
        return PROVIDER_NEXT_REQUEST;
    }
    if (status != KEY_STATUS_ACTIVE || strcmp(item.name, call->key_name) != 0) {
        error_set(err, ERROR_PROTOCOL, "%s does not keep the name and the status that key %s was given", who, call->key_id);
        return reading_conclude(reading, OUTCOME_REFUSED);
    }
    if (is_misplaced(reading, &item))
        return reading_conclude(reading, OUTCOME_REFUSED);
    memcpy(reading->result->key_id, call->key_id, sizeof reading->result->key_id);
    reading->result->expires_at = item.expires_at;
    return reading_conclude(reading, OUTCOME_OK);
}

static enum provider_next parse_checked(struct reading *reading)
{
    return read_page(reading, NULL, true) ? reading_conclude(reading, OUTCOME_OK) : reading_unreadable(reading);
}

/* --- after a refusal --- */

/* The key is there, so the refusal was about something else, unless it has ended. See anthropic.c. */
static enum provider_next parse_key_look(struct reading *reading)
{
    const struct provider_call *call = reading->call;
    struct error words = reading->result->error;
    struct provider_item item;
    enum key_status status;
    if (!read_named_key(reading, &item, &status))
        return reading_unreadable(reading);
    reading->result->error = words;
    if (status != KEY_STATUS_ENDED)
        return reading_conclude(reading, OUTCOME_REFUSED);
    error_set(&reading->result->error, ERROR_NOT_FOUND, "%s has archived key %s, or it has expired", who, call->key_id);
    return reading_conclude(reading, OUTCOME_GONE);
}

static enum provider_next parse_workspace_look(struct reading *reading)
{
    const struct provider_call *call = reading->call;
    struct error *err = &reading->result->error, words = *err;
    struct provider_item item;
    bool live;
    cleanup_json struct json_object *workspace = NULL;
    if (!reading_body(reading, &workspace) || !read_workspace(workspace, &item, &live, err))
        return reading_unreadable(reading);
    if (strcmp(item.id, call->container_id) != 0) {
        error_set(err, ERROR_PROTOCOL, "it shows another workspace than was asked for");
        return reading_unreadable(reading);
    }
    if (!live)
        return conclude_gone(reading, false);
    if (anthropic_verb_is_about_key(call->verb) && call->verb != PROVIDER_MINT_KEY)
        return conclude_gone(reading, true);
    if (call->verb == PROVIDER_LIMIT_CONTAINER && reading->progress->index == 404 &&
        reading->progress->step == (LOOK_AT_WORKSPACE | LIMIT_SET)) {
        error_set(err, ERROR_INVALID, "%s has no spend limits for workspace %s: its organisation is not offered them", who,
                  call->container_id);
        reading->result->other_limit = true;
        return reading_conclude(reading, OUTCOME_UNSUPPORTED);
    }
    *err = words;
    return reading_conclude(reading, OUTCOME_REFUSED);
}

enum provider_next anthropic_parse_success(struct reading *reading)
{
    if (reading->progress->step & LOOK_AT_KEY)
        return parse_key_look(reading);
    if (reading->progress->step & LOOK_AT_WORKSPACE)
        return parse_workspace_look(reading);
    switch (reading->call->verb) {
    case PROVIDER_LIMIT_KEY:
    case PROVIDER_FIND_ADMIN_KEYS:
    case PROVIDER_CREATE_ADMIN_KEY:
    case PROVIDER_DELETE_ADMIN_KEY:
        break;
    case PROVIDER_FIND_CONTAINER:
        return parse_find(reading, each_workspace_by_identity);
    case PROVIDER_CREATE_CONTAINER:
        return reading_container_made(reading);
    case PROVIDER_LIMIT_CONTAINER:
        return parse_limit(reading);
    case PROVIDER_RATE_LIMIT_CONTAINER:
        return reading->progress->step == RATES_LIST ? parse_rates_list(reading) : parse_rates_set(reading);
    case PROVIDER_ARCHIVE_CONTAINER:
        return parse_archived(reading);
    case PROVIDER_FIND_KEYS:
        return parse_find(reading, each_key_by_name);
    case PROVIDER_IDENTIFY_KEY:
        return parse_find(reading, each_key_by_hint);
    case PROVIDER_MINT_KEY:
        return parse_claimed(reading);
    case PROVIDER_REVOKE_KEY:
        return parse_switched(reading, KEY_STATUS_ENDED);
    case PROVIDER_SUSPEND_KEY:
        return parse_switched(reading, KEY_STATUS_INACTIVE);
    case PROVIDER_RESUME_KEY:
        return parse_switched(reading, KEY_STATUS_ACTIVE);
    case PROVIDER_INVENTORY:
        return parse_inventory(reading);
    case PROVIDER_CHECK:
        return parse_checked(reading);
    case PROVIDER_USAGE:
        return anthropic_parse_usage(reading);
    case PROVIDER_RENEW_KEY:
        break; /* cannot be asked */
    }
    return reading_conclude(reading, OUTCOME_UNKNOWN);
}
