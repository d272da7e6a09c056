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
    error_set(&reading->result->error, ERROR_NOT_FOUND, "%s has no such %s any more: %s", who,
              key ? "service account" : "project", key ? call->key_id : call->container_id);
    return reading_conclude(reading, OUTCOME_GONE);
}

static bool read_id(struct json_object *object, char id[RECORD_REMOTE_ID_SIZE], struct error *err)
{
    if (!json_get_string(object, "id", id, RECORD_REMOTE_ID_SIZE, err))
        return false;
    return provider_id_valid(id) || error_set(err, ERROR_PROTOCOL, "field 'id' holds what no id has");
}

/* Borrowed from OBJECT. Names of others may be longer than ours ever are, or null: then "" is given. */
static bool read_name(struct json_object *object, const char **ret_name, struct error *err)
{
    struct json_object *value = NULL;
    *ret_name = "";
    if (!json_object_is_type(object, json_type_object))
        return error_set(err, ERROR_PROTOCOL, "an entry of the list is no object");
    if (!json_object_object_get_ex(object, "name", &value) || !value)
        return true;
    if (!json_object_is_type(value, json_type_string))
        return error_set(err, ERROR_PROTOCOL, "field 'name' is %s, not string",
                         json_type_to_name(json_object_get_type(value)));
    if (strlen(json_object_get_string(value)) == (size_t)json_object_get_string_len(value))
        *ret_name = json_object_get_string(value);
    return true;
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

static bool add_item(struct reading *reading, enum provider_item_kind kind, struct json_object *object,
                     const char *name, const char *container, struct error *err)
{
    struct provider_item item = {.kind = kind, .monthly_limit = PROVIDER_LIMIT_UNTOLD};
    if (!read_id(object, item.id, err) || !read_created(object, &item.created_at, err))
        return false;
    snprintf(item.name, sizeof item.name, "%.*s", (int)sizeof item.name - 1, name);
    snprintf(item.container_id, sizeof item.container_id, "%s", container);
    return provider_result_add(reading->result, &item) || error_set(err, ERROR_LIMIT, "the list is too long");
}

typedef bool item_fn(struct reading *reading, struct json_object *object, struct error *err);

/* Where the next page begins: the list's last_id, or the last item's own. */
static bool read_cursor(struct reading *reading, struct json_object *page, struct json_object *data,
                        struct error *err)
{
    char cursor[RECORD_REMOTE_ID_SIZE], *old = reading->progress->cursor;
    size_t count = json_object_array_length(data);
    json_optional_string(page, "last_id", "", cursor, sizeof cursor);
    if (!*cursor && count)
        json_optional_string(json_object_array_get_idx(data, count - 1), "id", "", cursor, sizeof cursor);
    if (!openai_wide_id_valid(cursor) || strcmp(cursor, old) == 0)
        return error_set(err, ERROR_PROTOCOL, "field 'has_more' promises a page, but 'last_id' does not lead there");
    snprintf(old, sizeof reading->progress->cursor, "%s", cursor);
    return true;
}

/* Hands every object of one page to EACH. False: result->error says why. */
static bool read_page(struct reading *reading, item_fn *each, bool *ret_more)
{
    struct error *err = &reading->result->error;
    cleanup_json struct json_object *page = NULL;
    struct json_object *data;
    if (!reading_body(reading, &page) || !json_get_array(page, "data", &data, err) ||
        !json_get_boolean(page, "has_more", ret_more, err))
        return false;
    for (size_t i = 0; i < json_object_array_length(data); i++)
        if (!each(reading, json_object_array_get_idx(data, i), err))
            return false;
    if (*ret_more)
        return read_cursor(reading, page, data, err);
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
    char identity[RECORD_NAME_SIZE];
    const char *name;
    snprintf(identity, sizeof identity, "%s", reading->call->container_name);
    identity[strcspn(identity, " ")] = '\0';
    if (!read_name(project, &name, err))
        return false;
    if (!provider_container_matches(name, identity) || !project_is_live(project))
        return true;
    return add_item(reading, PROVIDER_ITEM_CONTAINER, project, name, "", err);
}

static bool each_project_by_prefix(struct reading *reading, struct json_object *project, struct error *err)
{
    const char *prefix = reading->call->name_prefix, *name;
    if (!read_name(project, &name, err))
        return false;
    if (strncmp(name, prefix, strlen(prefix)) != 0 || !project_is_live(project))
        return true;
    return add_item(reading, PROVIDER_ITEM_CONTAINER, project, name, "", err);
}

static bool each_account_by_name(struct reading *reading, struct json_object *account, struct error *err)
{
    const char *name;
    if (!read_name(account, &name, err))
        return false;
    if (strcmp(name, reading->call->key_name) != 0)
        return true;
    return add_item(reading, PROVIDER_ITEM_KEY, account, name, reading->call->container_id, err);
}

static bool each_account_of_ours(struct reading *reading, struct json_object *account, struct error *err)
{
    char container[RECORD_REMOTE_ID_SIZE]; /* the items move when one is added */
    const char *name;
    snprintf(container, sizeof container, "%s", reading->result->items[reading->progress->index].id);
    return read_name(account, &name, err) && add_item(reading, PROVIDER_ITEM_KEY, account, name, container, err);
}

static bool each_account_of_given(struct reading *reading, struct json_object *account, struct error *err)
{
    const char *prefix = reading->call->name_prefix, *name;
    if (!read_name(account, &name, err))
        return false;
    if (strncmp(name, prefix, strlen(prefix)) != 0)
        return true;
    return add_item(reading, PROVIDER_ITEM_KEY, account, name, openai_given_project(reading->settings), err);
}

static enum provider_next parse_find(struct reading *reading, item_fn *each)
{
    bool more;
    if (!read_page(reading, each, &more))
        return reading_unreadable(reading);
    if (more)
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

/* An amount that is not in US cents a month is none that we have set: to us it is no limit. */
static enum provider_next parse_inventory_limit(struct reading *reading)
{
    struct error *err = &reading->result->error;
    cleanup_json struct json_object *object = NULL;
    int64_t cents;
    char currency[16], interval[16];
    if (!reading_body(reading, &object) || !json_get_integer(object, "threshold_amount", &cents, err) ||
        !json_get_string(object, "currency", currency, sizeof currency, err) ||
        !json_get_string(object, "interval", interval, sizeof interval, err))
        return reading_unreadable(reading);
    if (cents < 0 || cents > INT64_MAX / FORM_MICRO_PER_CENT) {
        error_set(err, ERROR_PROTOCOL, "field 'threshold_amount' is no amount");
        return reading_unreadable(reading);
    }
    bool in_cents_a_month = strcmp(currency, "USD") == 0 && strcmp(interval, "month") == 0;
    return openai_inventory_limit(reading, in_cents_a_month ? cents * FORM_MICRO_PER_CENT : 0);
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
    item_fn *each = progress->step == INVENTORY_PROJECTS ? each_project_by_prefix
                    : progress->step == INVENTORY_OURS   ? each_account_of_ours
                                                         : each_account_of_given;
    bool more;
    if (progress->step == INVENTORY_LIMIT)
        return parse_inventory_limit(reading);
    if (!read_page(reading, each, &more))
        return reading_unreadable(reading);
    if (more)
        return PROVIDER_NEXT_REQUEST;
    if (progress->step == INVENTORY_GIVEN)
        return reading_conclude(reading, OUTCOME_OK);
    return progress->step == INVENTORY_PROJECTS ? openai_inventory_next(reading, 0) : inventory_looked_into(reading);
}

static bool each_ignored(struct reading *reading, struct json_object *object, struct error *err)
{
    (void)reading, (void)object, (void)err;
    return true;
}

/* --- rate limits --- */

static bool each_rate_limit(struct reading *reading, struct json_object *object, struct error *err)
{
    struct provider_item item = {.kind = PROVIDER_ITEM_CONTAINER};
    int64_t requests, tokens;
    const struct provider_rate *rate;
    if (!json_get_string(object, "model", item.name, sizeof item.name, err))
        return false;
    if (!(rate = form_find_rate(reading->settings, item.name)))
        return true;
    if (!json_get_string(object, "id", item.id, sizeof item.id, err) ||
        !json_get_integer(object, "max_requests_per_1_minute", &requests, err) ||
        !json_get_integer(object, "max_tokens_per_1_minute", &tokens, err))
        return false;
    if (!openai_wide_id_valid(item.id))
        return error_set(err, ERROR_PROTOCOL, "field 'id' holds what no id has");
    bool same = (!rate->requests_per_minute || rate->requests_per_minute == requests) &&
                (!rate->tokens_per_minute || rate->tokens_per_minute == tokens);
    item.created_at = same ? 0 : 1; /* these items never leave this file: 1 says that it is to be set */
    return provider_result_add(reading->result, &item) || error_set(err, ERROR_LIMIT, "the list is too long");
}

static enum provider_next rates_next(struct reading *reading, size_t index)
{
    struct provider_result *result = reading->result;
    while (index < result->items_count && !result->items[index].created_at)
        index++;
    reading->progress->step = RATES_SET;
    reading->progress->index = index;
    if (index < result->items_count)
        return PROVIDER_NEXT_REQUEST;
    result->items_count = 0;
    return reading_conclude(reading, OUTCOME_OK);
}

static enum provider_next parse_rates_list(struct reading *reading)
{
    const struct provider_settings *settings = reading->settings;
    struct provider_result *result = reading->result;
    bool more;
    if (!read_page(reading, each_rate_limit, &more))
        return reading_unreadable(reading);
    if (more)
        return PROVIDER_NEXT_REQUEST;
    for (unsigned i = 0; i < settings->rates_count; i++) {
        size_t at = 0;
        while (at < result->items_count && strcmp(result->items[at].name, settings->rates[i].model) != 0)
            at++;
        if (at == result->items_count) {
            error_set(&result->error, ERROR_INVALID,
                      "%s has no rate limits for model '%s' in project %s: correct the model's name in the "
                      "configuration",
                      who, settings->rates[i].model, reading->call->container_id);
            return reading_conclude(reading, OUTCOME_REFUSED);
        }
    }
    return rates_next(reading, 0);
}

static enum provider_next parse_rates_set(struct reading *reading)
{
    struct error *err = &reading->result->error;
    const struct provider_item *item = &reading->result->items[reading->progress->index];
    const struct provider_rate *rate = form_find_rate(reading->settings, item->name);
    cleanup_json struct json_object *object = NULL;
    int64_t requests, tokens;
    if (!reading_body(reading, &object) ||
        !json_get_integer(object, "max_requests_per_1_minute", &requests, err) ||
        !json_get_integer(object, "max_tokens_per_1_minute", &tokens, err))
        return reading_unreadable(reading);
    if ((rate->requests_per_minute && rate->requests_per_minute != requests) ||
        (rate->tokens_per_minute && rate->tokens_per_minute != tokens)) {
        error_set(err, ERROR_PROTOCOL,
                  "%s keeps %" PRId64 " requests and %" PRId64 " tokens a minute for model '%s', not what was asked "
                  "for",
                  who, requests, tokens, item->name);
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
    char currency[16], interval[16], status[32];
    if (!json_get_integer(object, "threshold_amount", &amount, err) ||
        !json_get_string(object, "currency", currency, sizeof currency, err) ||
        !json_get_string(object, "interval", interval, sizeof interval, err) ||
        !json_get_object(object, "enforcement", &enforcement, err) ||
        !json_get_string(enforcement, "status", status, sizeof status, err))
        return reading_unreadable(reading);
    bool in_cents_a_month = strcmp(currency, "USD") == 0 && strcmp(interval, "month") == 0;
    if (amount != wanted || !in_cents_a_month) {
        error_set(err, ERROR_PROTOCOL,
                  "%s keeps a spend limit of %" PRId64 "%s for project %s, not the %" PRId64 " US cents a month that "
                  "were set",
                  who, amount, in_cents_a_month ? " US cents a month" : " in another currency or interval",
                  reading->call->container_id, wanted);
        return reading_conclude(reading, OUTCOME_REFUSED);
    }
    return reading_conclude(reading, OUTCOME_OK);
}

/* --- single objects --- */

static enum provider_next parse_created(struct reading *reading)
{
    struct provider_result *result = reading->result;
    cleanup_json struct json_object *project = NULL;
    if (!reading_body(reading, &project) || !read_id(project, result->container_id, &result->error)) {
        result->container_id[0] = '\0';
        return reading_unreadable(reading);
    }
    return reading_conclude(reading, OUTCOME_OK);
}

static enum provider_next parse_archived(struct reading *reading)
{
    struct error *err = &reading->result->error;
    cleanup_json struct json_object *project = NULL;
    char id[RECORD_REMOTE_ID_SIZE];
    if (!reading_body(reading, &project) || !read_id(project, id, err))
        return reading_unreadable(reading);
    if (strcmp(id, reading->call->container_id) != 0 || project_is_live(project)) {
        error_set(err, ERROR_PROTOCOL, "the project is not shown as archived");
        return reading_unreadable(reading);
    }
    return reading_conclude(reading, OUTCOME_OK);
}

/* "sk-admin...def": the beginning and the end of SECRET. Nothing is shown: it may be any. */
static bool redacted_fits(struct json_object *key, const struct secret *secret)
{
    char shown[128];
    const char *text = secret_reveal(secret);
    json_optional_string(key, "redacted_value", "", shown, sizeof shown);
    size_t length = secret_length(secret), begins = strcspn(shown, ".*"), gap = strspn(shown + begins, ".*");
    const char *end = shown + begins + gap;
    if (!gap)
        return !*shown || strcmp(shown, text) == 0;
    return begins + strlen(end) <= length && strncmp(text, shown, begins) == 0 && strcmp(text + length - strlen(end), end) == 0;
}

static bool each_admin_key(struct reading *reading, struct json_object *key, struct error *err)
{
    const struct provider_call *call = reading->call;
    const char *name;
    if (!read_name(key, &name, err))
        return false;
    bool wanted = call->chosen ? redacted_fits(key, call->chosen) : strcmp(name, call->key_name) == 0;
    return !wanted || add_item(reading, PROVIDER_ITEM_KEY, key, name, "", err);
}

/* It exists from here on: whatever is missing in the answer, it has to be found and removed. */
static enum provider_next parse_admin_key_made(struct reading *reading)
{
    struct provider_result *result = reading->result;
    struct error *err = &result->error;
    cleanup_json struct json_object *key = NULL;
    struct secret *secret = NULL;
    if (!reading_body(reading, &key) || !form_take_secret(key, "value", &secret, err) || !read_id(key, result->key_id, err)) {
        secret_free(secret);
        result->key_id[0] = '\0';
        return reading_unreadable(reading);
    }
    result->secret = secret;
    return reading_conclude(reading, OUTCOME_OK);
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
    if (!read_id(account, result->key_id, &id_error)) {
        result->key_id[0] = '\0';
        *err = id_error;
    }
    if (!have_secret || !result->key_id[0]) {
        secret_free(secret);
        return reading_unreadable(reading);
    }
    result->secret = secret;
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
    if (!reading_body(reading, &object) || !read_id(object, id, err) ||
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
    bool more;
    if (!read_page(reading, each_ignored, &more))
        return reading_unreadable(reading);
    return reading_conclude(reading, OUTCOME_OK);
}

/* The admin key sees the project, so the 404 before was about what is in it. See openai.c. */
static enum provider_next parse_look(struct reading *reading)
{
    const struct provider_call *call = reading->call;
    struct error *err = &reading->result->error; /* holds the words of the 404 */
    cleanup_json struct json_object *project = NULL;
    char id[RECORD_REMOTE_ID_SIZE];
    if (!reading_body(reading, &project) || !read_id(project, id, err))
        return reading_unreadable(reading);
    if (strcmp(id, call->container_id) != 0) {
        error_set(err, ERROR_PROTOCOL, "it shows another project than was asked for");
        return reading_unreadable(reading);
    }
    if (project_is_archived(project) || call->verb == PROVIDER_REVOKE_KEY)
        return openai_conclude_gone(reading);
    if (call->verb == PROVIDER_LIMIT_CONTAINER && reading->progress->step == (LOOK_AT_PROJECT | LIMIT_SET)) {
        error_set(err, ERROR_INVALID, "%s has no spend limits for project %s: its account does not offer them", who,
                  call->container_id);
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
        return parse_created(reading);
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
