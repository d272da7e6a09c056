/* What stands in OpenAI's successes. Every field that is used is checked; what is not known is ignored. */
#include "base/json.h"
#include "providers/form.h"
#include "providers/openai.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

static const char who[] = OPENAI_WHO;

enum provider_next openai_conclude_gone(struct reading *reading)
{
    const struct provider_call *call = reading->call;
    bool key = call->verb == PROVIDER_REVOKE_KEY;
    return reading_conclude_gone(reading, key ? "service account" : "project", key ? call->key_id : call->container_id);
}

static bool read_created(struct json_object *object, int64_t *ret_ms, struct error *err)
{
    int64_t seconds;
    if (!json_get_integer(object, "created_at", &seconds, err))
        return false;
    if (seconds < 0 || seconds > INT64_MAX / 1000)
        return error_set(err, ERROR_PROTOCOL, "field 'created_at' is no time");
    *ret_ms = seconds * 1000;
    return true;
}

/* Milliseconds, 0: never. */
static int64_t end_of(struct json_object *key)
{
    int64_t seconds = json_optional_integer(key, "expires_at", 0);
    return seconds > 0 && seconds <= INT64_MAX / 1000 ? seconds * 1000 : 0;
}

static bool add_item(struct reading *reading, enum provider_item_kind kind, struct json_object *object,
                     const char *name, const char *container, struct error *err)
{
    struct provider_item item = {.kind = kind, .monthly_limit = PROVIDER_LIMIT_UNTOLD};
    if (!form_get_id(object, "id", item.id, err) || !read_created(object, &item.created_at, err))
        return false;
    snprintf(item.name, sizeof item.name, "%.*s", (int)sizeof item.name - 1, name);
    snprintf(item.container_id, sizeof item.container_id, "%s", container);
    item.expires_at = end_of(object);
    return reading_add_item(reading, &item, err);
}

static bool next_page(struct reading *reading, struct json_object *page, struct json_object *data, struct error *err)
{
    char cursor[RECORD_REMOTE_ID_SIZE];
    form_last_id(page, data, cursor, sizeof cursor);
    return (openai_wide_id_valid(cursor) && reading_follow(reading, cursor)) ||
           error_set(err, ERROR_PROTOCOL, "field 'has_more' promises a page, but 'last_id' does not lead there");
}

/* Hands every object of one page to EACH; the progress' cursor leads to the next one, if there is one. False:
 * result->error says why. */
static bool read_page(struct reading *reading, reading_entry_fn *each)
{
    struct error *err = &reading->result->error;
    cleanup_json struct json_object *page = NULL;
    struct json_object *data;
    bool more;
    if (!reading_body(reading, &page) || !json_get_array(page, "data", &data, err) ||
        !json_get_boolean(page, "has_more", &more, err) || !reading_each(reading, data, each, err))
        return false;
    if (more)
        return next_page(reading, page, data, err);
    reading->progress->cursor[0] = '\0';
    return true;
}

static bool project_has_status(struct json_object *project, const char *wanted)
{
    char status[32];
    json_optional_string(project, "status", "active", status, sizeof status);
    return strcmp(status, wanted) == 0;
}

/* Archived ones are listed only on request, but nothing says that this stays so. */
static bool project_is_live(struct json_object *project)
{
    return project_has_status(project, "active") && !json_has(project, "archived_at");
}

/* Not the opposite: in a status that nobody has heard of yet, keys may be alive. */
static bool project_is_archived(struct json_object *project)
{
    return project_has_status(project, "archived") || json_has(project, "archived_at");
}

static bool each_project_by_identity(struct reading *reading, struct json_object *project, struct error *err)
{
    const char *name;
    if (!form_get_name(project, "name", &name, err))
        return false;
    if (!reading_names_container(reading, name) || !project_is_live(project))
        return true;
    return add_item(reading, PROVIDER_ITEM_CONTAINER, project, name, "", err);
}

static bool each_project_by_prefix(struct reading *reading, struct json_object *project, struct error *err)
{
    char id[RECORD_REMOTE_ID_SIZE];
    const char *name;
    if (!form_get_name(project, "name", &name, err) || !form_get_id(project, "id", id, err))
        return false;
    if (!provider_inventory_has(reading->call, id, name) || !project_is_live(project))
        return true;
    return add_item(reading, PROVIDER_ITEM_CONTAINER, project, name, "", err);
}

static bool each_account_by_name(struct reading *reading, struct json_object *account, struct error *err)
{
    const char *name;
    if (!form_get_name(account, "name", &name, err))
        return false;
    if (strcmp(name, reading->call->key_name) != 0)
        return true;
    return add_item(reading, PROVIDER_ITEM_KEY, account, name, reading->call->container_id, err);
}

static bool each_account_of_ours(struct reading *reading, struct json_object *account, struct error *err)
{
    char container[RECORD_REMOTE_ID_SIZE], id[RECORD_REMOTE_ID_SIZE]; /* the items move when one is added */
    const struct provider_item *project = &reading->result->items[reading->progress->index];
    bool ours = provider_inventory_names(reading->call, project->name);
    const char *name;
    snprintf(container, sizeof container, "%s", project->id);
    if (!form_get_name(account, "name", &name, err) || !form_get_id(account, "id", id, err))
        return false;
    return (!ours && !provider_inventory_has(reading->call, id, name)) ||
           add_item(reading, PROVIDER_ITEM_KEY, account, name, container, err);
}

static bool each_account_of_given(struct reading *reading, struct json_object *account, struct error *err)
{
    char id[RECORD_REMOTE_ID_SIZE];
    const char *name;
    if (!form_get_name(account, "name", &name, err) || !form_get_id(account, "id", id, err))
        return false;
    if (!provider_inventory_has(reading->call, id, name))
        return true;
    return add_item(reading, PROVIDER_ITEM_KEY, account, name, openai_given_project(reading->settings), err);
}

static enum provider_next parse_find(struct reading *reading, reading_entry_fn *each)
{
    if (!read_page(reading, each))
        return reading_unreadable(reading);
    if (reading->progress->cursor[0])
        return PROVIDER_NEXT_REQUEST;
    form_sort_by_age(reading->result);
    return reading_conclude(reading, OUTCOME_OK);
}

/* Our projects come first in the items, so the walk ends at the first key. A configured project is not ours: of it,
 * only what bears our prefix is looked at. */
enum provider_next openai_inventory_next(struct reading *reading, size_t index)
{
    struct provider_progress *progress = reading->progress;
    const struct provider_result *result = reading->result;
    const char *given = openai_given_project(reading->settings);
    progress->cursor[0] = '\0';
    progress->index = index;
    progress->step = INVENTORY_OURS;
    if (index < result->items_count && result->items[index].kind == PROVIDER_ITEM_CONTAINER)
        return PROVIDER_NEXT_REQUEST;
    for (size_t i = 0; given && i < index; i++)
        if (strcmp(result->items[i].id, given) == 0)
            given = NULL; /* walked already */
    if (!given)
        return reading_conclude(reading, OUTCOME_OK);
    progress->step = INVENTORY_GIVEN;
    return PROVIDER_NEXT_REQUEST;
}

enum provider_next openai_inventory_limit(struct reading *reading, int64_t monthly_limit)
{
    reading->result->items[reading->progress->index].monthly_limit = monthly_limit;
    return openai_inventory_next(reading, reading->progress->index + 1);
}

/* *RET_CENTS: only if *RET_MONTHLY are they US cents a month, else another currency's or interval's. */
static bool read_limit(struct json_object *object, int64_t *ret_cents, bool *ret_monthly, struct error *err)
{
    char currency[16], interval[16];
    if (!json_get_integer(object, "threshold_amount", ret_cents, err) ||
        !json_get_string(object, "currency", currency, sizeof currency, err) ||
        !json_get_string(object, "interval", interval, sizeof interval, err))
        return false;
    *ret_monthly = strcmp(currency, "USD") == 0 && strcmp(interval, "month") == 0;
    return true;
}

/* An amount that is not in US cents a month is none that we have set: to us it is no limit. */
static enum provider_next parse_inventory_limit(struct reading *reading)
{
    struct error *err = &reading->result->error;
    cleanup_json struct json_object *object = NULL;
    int64_t cents;
    bool monthly;
    if (!reading_body(reading, &object) || !read_limit(object, &cents, &monthly, err))
        return reading_unreadable(reading);
    if (cents < 0 || cents > INT64_MAX / FORM_MICRO_PER_CENT) {
        error_set(err, ERROR_PROTOCOL, "field 'threshold_amount' is no amount");
        return reading_unreadable(reading);
    }
    return openai_inventory_limit(reading, monthly ? cents * FORM_MICRO_PER_CENT : 0);
}

/* The keys of the project at the progress' index have been seen. Its limit costs a request, so only ours are asked. */
static enum provider_next inventory_looked_into(struct reading *reading)
{
    struct provider_progress *progress = reading->progress;
    const char *prefix = reading->call->limits_prefix;
    const struct provider_item *project = &reading->result->items[progress->index];
    if (!prefix[0] || strncmp(project->name, prefix, strlen(prefix)) != 0)
        return openai_inventory_next(reading, progress->index + 1);
    progress->step = INVENTORY_LIMIT;
    return PROVIDER_NEXT_REQUEST;
}

static enum provider_next parse_inventory(struct reading *reading)
{
    struct provider_progress *progress = reading->progress;
    reading_entry_fn *each = progress->step == INVENTORY_PROJECTS ? each_project_by_prefix
                             : progress->step == INVENTORY_OURS   ? each_account_of_ours
                                                                  : each_account_of_given;
    if (progress->step == INVENTORY_LIMIT)
        return parse_inventory_limit(reading);
    if (!read_page(reading, each))
        return reading_unreadable(reading);
    if (progress->cursor[0])
        return PROVIDER_NEXT_REQUEST;
    if (progress->step == INVENTORY_GIVEN)
        return reading_conclude(reading, OUTCOME_OK);
    return progress->step == INVENTORY_PROJECTS ? openai_inventory_next(reading, 0) : inventory_looked_into(reading);
}

/* --- rate limits --- */

struct rate {
    int64_t requests, tokens; /* a minute */
};

static bool read_rate(struct json_object *object, struct rate *ret_rate, struct error *err)
{
    return json_get_integer(object, "max_requests_per_1_minute", &ret_rate->requests, err) &&
           json_get_integer(object, "max_tokens_per_1_minute", &ret_rate->tokens, err);
}

static bool is_as_wanted(const struct rate *rate, const struct provider_rate *wanted)
{
    return (!wanted->requests_per_minute || wanted->requests_per_minute == rate->requests) &&
           (!wanted->tokens_per_minute || wanted->tokens_per_minute == rate->tokens);
}

static bool each_rate_limit(struct reading *reading, struct json_object *object, struct error *err)
{
    struct provider_item item = {.kind = PROVIDER_ITEM_CONTAINER};
    struct rate rate;
    const struct provider_rate *wanted;
    if (!json_get_string(object, "model", item.name, sizeof item.name, err))
        return false;
    if (!(wanted = rates_find(reading->settings, item.name)))
        return true;
    if (!json_get_string(object, "id", item.id, sizeof item.id, err) || !read_rate(object, &rate, err))
        return false;
    if (!openai_wide_id_valid(item.id))
        return error_set(err, ERROR_PROTOCOL, "field 'id' holds what no id has");
    item.monthly_limit = is_as_wanted(&rate, wanted) ? 0 : 1;
    return reading_add_item(reading, &item, err);
}

static enum provider_next parse_rates_list(struct reading *reading)
{
    char where[RECORD_REMOTE_ID_SIZE + 16];
    if (!read_page(reading, each_rate_limit))
        return reading_unreadable(reading);
    if (reading->progress->cursor[0])
        return PROVIDER_NEXT_REQUEST;
    snprintf(where, sizeof where, "project %s", reading->call->container_id);
    return rates_listed(reading, where);
}

static enum provider_next parse_rates_set(struct reading *reading)
{
    struct error *err = &reading->result->error;
    const struct provider_item *item = &reading->result->items[reading->progress->index];
    cleanup_json struct json_object *object = NULL;
    struct rate rate;
    if (!reading_body(reading, &object) || !read_rate(object, &rate, err))
        return reading_unreadable(reading);
    if (!is_as_wanted(&rate, rates_find(reading->settings, item->name))) {
        error_set(err, ERROR_PROTOCOL,
                  "%s keeps %" PRId64 " requests and %" PRId64 " tokens a minute for model '%s', not what was asked "
                  "for",
                  who, rate.requests, rate.tokens, item->name);
        return reading_conclude(reading, OUTCOME_REFUSED);
    }
    return rates_next(reading, reading->progress->index + 1);
}

/* --- the spend limit --- */

/* `enforcement.status` says "inactive" until the limit is hit (or, some say, from the start "enforcing"): that it is
 * reported at all shows that this is the hard limit, what it says shows nothing. */
static enum provider_next parse_limit(struct reading *reading)
{
    struct error *err = &reading->result->error;
    if (reading->progress->step == LIMIT_SET && !reading->call->only_read) {
        reading->progress->step = LIMIT_READ; /* what counts is what is read back */
        return PROVIDER_NEXT_REQUEST;
    }
    cleanup_json struct json_object *object = NULL;
    if (!reading_body(reading, &object))
        return reading_unreadable(reading);
    struct json_object *enforcement;
    int64_t amount, wanted = form_cents(reading->call->monthly_limit);
    char status[32];
    bool monthly;
    if (!read_limit(object, &amount, &monthly, err) || !json_get_object(object, "enforcement", &enforcement, err) ||
        !json_get_string(enforcement, "status", status, sizeof status, err))
        return reading_unreadable(reading);
    if (amount != wanted || !monthly) {
        error_set(err, ERROR_PROTOCOL,
                  "%s keeps a spend limit of %" PRId64 "%s for project %s, not the %" PRId64 " US cents a month that "
                  "were set",
                  who, amount, monthly ? " US cents a month" : " in another currency or interval",
                  reading->call->container_id, wanted);
        reading->result->other_limit = true;
        return reading_conclude(reading, OUTCOME_REFUSED);
    }
    return reading_conclude(reading, OUTCOME_OK);
}

/* --- single objects --- */

static enum provider_next parse_archived(struct reading *reading)
{
    struct error *err = &reading->result->error;
    cleanup_json struct json_object *project = NULL;
    char id[RECORD_REMOTE_ID_SIZE];
    if (!reading_body(reading, &project) || !form_get_id(project, "id", id, err))
        return reading_unreadable(reading);
    if (strcmp(id, reading->call->container_id) != 0 || project_is_live(project)) {
        error_set(err, ERROR_PROTOCOL, "the project is not shown as archived");
        return reading_unreadable(reading);
    }
    return reading_conclude(reading, OUTCOME_OK);
}

static bool each_admin_key(struct reading *reading, struct json_object *key, struct error *err)
{
    const struct provider_call *call = reading->call;
    const char *name;
    if (!form_get_name(key, "name", &name, err))
        return false;
    bool wanted = call->chosen ? form_hint_fits(key, "redacted_value", call->chosen) : strcmp(name, call->key_name) == 0;
    return !wanted || add_item(reading, PROVIDER_ITEM_KEY, key, name, "", err);
}

/* It exists from here on: whatever is missing in the answer, it has to be found and removed. */
static enum provider_next parse_admin_key_made(struct reading *reading)
{
    struct provider_result *result = reading->result;
    struct error *err = &result->error;
    cleanup_json struct json_object *key = NULL;
    struct secret *secret = NULL;
    if (!reading_body(reading, &key) || !form_take_secret(key, "value", &secret, err) ||
        !form_get_id(key, "id", result->key_id, err)) {
        secret_free(secret);
        result->key_id[0] = '\0';
        return reading_unreadable(reading);
    }
    result->secret = secret;
    return reading_conclude(reading, OUTCOME_OK);
}

/* How long it lasts, 0: without end. What the answer says goes: an organisation's policy may end keys of which nothing was
 * asked. Older versions say nothing. */
static int64_t life_of(const struct reading *reading, struct json_object *key)
{
    int64_t created = 0, ends = end_of(key);
    if (!ends || !read_created(key, &created, NULL))
        return reading->settings->expires_ms;
    return ends > created ? ends - created : 1;
}

/* The account exists from here on: whatever is missing in the answer, its key has to be found and removed. */
static enum provider_next parse_minted(struct reading *reading)
{
    struct provider_result *result = reading->result;
    struct error *err = &result->error;
    cleanup_json struct json_object *account = NULL;
    struct json_object *key;
    if (!reading_body(reading, &account))
        return reading_unreadable(reading);
    struct secret *secret = NULL;
    bool have_secret = json_get_object(account, "api_key", &key, err) && form_take_secret(key, "value", &secret, err);
    struct error id_error = ERROR_INIT;
    if (!form_get_id(account, "id", result->key_id, &id_error)) {
        result->key_id[0] = '\0';
        *err = id_error;
    }
    if (!have_secret || !result->key_id[0]) {
        secret_free(secret);
        return reading_unreadable(reading);
    }
    result->secret = secret;
    result->life_ms = life_of(reading, key);
    json_optional_string(key, "id", "", result->usage_id, sizeof result->usage_id);
    if (!provider_id_valid(result->usage_id))
        result->usage_id[0] = '\0'; /* its spending is found by its project then */
    return reading_conclude(reading, OUTCOME_OK);
}

static enum provider_next parse_revoked(struct reading *reading)
{
    struct error *err = &reading->result->error;
    cleanup_json struct json_object *object = NULL;
    char id[RECORD_REMOTE_ID_SIZE];
    bool deleted;
    if (!reading_body(reading, &object) || !form_get_id(object, "id", id, err) ||
        !json_get_boolean(object, "deleted", &deleted, err))
        return reading_unreadable(reading);
    if (!deleted || strcmp(id, reading->call->key_id) != 0) {
        error_set(err, ERROR_PROTOCOL, "the %s is not shown as deleted",
                  reading->call->verb == PROVIDER_REVOKE_KEY ? "service account" : "admin key");
        return reading_unreadable(reading);
    }
    return reading_conclude(reading, OUTCOME_OK);
}

static enum provider_next parse_checked(struct reading *reading)
{
    return read_page(reading, NULL) ? reading_conclude(reading, OUTCOME_OK) : reading_unreadable(reading);
}

/* The admin key sees the project, so the 404 before was about what is in it. See openai.c. */
static enum provider_next parse_look(struct reading *reading)
{
    const struct provider_call *call = reading->call;
    struct error *err = &reading->result->error; /* holds the words of the 404 */
    cleanup_json struct json_object *project = NULL;
    char id[RECORD_REMOTE_ID_SIZE];
    if (!reading_body(reading, &project) || !form_get_id(project, "id", id, err))
        return reading_unreadable(reading);
    if (strcmp(id, call->container_id) != 0) {
        error_set(err, ERROR_PROTOCOL, "it shows another project than was asked for");
        return reading_unreadable(reading);
    }
    if (project_is_archived(project) || call->verb == PROVIDER_REVOKE_KEY)
        return openai_conclude_gone(reading);
    if (call->verb == PROVIDER_LIMIT_CONTAINER && reading->progress->step == (LOOK_AT_PROJECT | LIMIT_SET)) {
        if (call->only_read)
            error_set(err, ERROR_INVALID, "%s keeps no spend limit for project %s", who, call->container_id);
        else
            error_set(err, ERROR_INVALID, "%s has no spend limits for project %s: its account does not offer them", who,
                      call->container_id);
        reading->result->other_limit = true;
        return reading_conclude(reading, OUTCOME_UNSUPPORTED);
    }
    return reading_conclude(reading, OUTCOME_REFUSED); /* as the 404 said */
}

enum provider_next openai_parse_success(struct reading *reading)
{
    if (reading->progress->step & LOOK_AT_PROJECT)
        return parse_look(reading);
    switch (reading->call->verb) {
    case PROVIDER_FIND_CONTAINER:
        return parse_find(reading, each_project_by_identity);
    case PROVIDER_CREATE_CONTAINER:
        return reading_container_made(reading);
    case PROVIDER_LIMIT_CONTAINER:
        return parse_limit(reading);
    case PROVIDER_RATE_LIMIT_CONTAINER:
        return reading->progress->step == RATES_LIST ? parse_rates_list(reading) : parse_rates_set(reading);
    case PROVIDER_ARCHIVE_CONTAINER:
        return parse_archived(reading);
    case PROVIDER_FIND_KEYS:
        return parse_find(reading, each_account_by_name);
    case PROVIDER_MINT_KEY:
        return parse_minted(reading);
    case PROVIDER_REVOKE_KEY:
    case PROVIDER_DELETE_ADMIN_KEY:
        return parse_revoked(reading);
    case PROVIDER_FIND_ADMIN_KEYS:
        return parse_find(reading, each_admin_key);
    case PROVIDER_CREATE_ADMIN_KEY:
        return parse_admin_key_made(reading);
    case PROVIDER_INVENTORY:
        return parse_inventory(reading);
    case PROVIDER_USAGE:
        return openai_parse_usage(reading);
    case PROVIDER_CHECK:
        return parse_checked(reading);
    case PROVIDER_SUSPEND_KEY:
    case PROVIDER_RESUME_KEY:
    case PROVIDER_LIMIT_KEY: /* limits are on projects */
    case PROVIDER_IDENTIFY_KEY:
    case PROVIDER_RENEW_KEY:
        break; /* cannot be asked */
    }
    return reading_conclude(reading, OUTCOME_UNKNOWN);
}
