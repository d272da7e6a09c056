/* OpenRouter's management of API keys: all keys are in the account of the management key, each with its own limit in
 * dollars, which begins anew with each UTC month.
 *
 * A key's id is its hash. Names need not be unique. A page of the list begins at a number of entries, so a key that is
 * deleted while we read moves those behind it, and one of them would be skipped. Therefore each page begins with the
 * last entry of the page before; where it is not there any more, all is read again. Pages of one entry show nothing:
 * such a list is read as it comes.
 *
 * What a key cost stands in the list: since it was made, and in this UTC day, week and month. So usage costs no request a
 * key; but a deleted key tells nothing more. Therefore a key is disabled before it is deleted, and what it cost is read
 * from that answer: nothing can be spent with it any more. Should the disabling be refused, the key is deleted all the
 * same.
 *
 * A 404 about a key is no proof, see missing.h: GET /key asks the key itself.
 *
 * A key whose answer does not show the limit that was asked for is not taken: it is there (UNKNOWN), so that it is found
 * by its name and removed. */
#include "base/json.h"
#include "providers/form.h"
#include "providers/http.h"
#include "providers/missing.h"
#include "providers/provider.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

static const char who[] = "OpenRouter";

/* In a progress' step, beside how often the list was read again. */
enum { PAGES_OF_ONE = READING_MOVED + 1 };

/* Steps of REVOKE_KEY. */
enum { REVOKE_DISABLE, REVOKE_DELETE };

/* --- building --- */

static const struct form_limit limit_form = {"limit", "limit_reset", "monthly"};

static bool put_page_url(const struct provider_settings *settings, const struct provider_progress *progress,
                         struct http_request *request, struct error *err)
{
    bool overlaps = progress->index && !(progress->step & PAGES_OF_ONE);
    return form_put_url(request, form_base(settings, &provider_openrouter), err, "/keys?include_disabled=true&offset=%zu",
                        progress->index - (overlaps ? 1 : 0));
}

/* False: BODY is released. */
static bool put_limit(const struct provider_call *call, struct json_object *body, struct error *err)
{
    if (!form_put_limit(body, &limit_form, call->monthly_limit, err))
        return false;
    /* What goes over an upstream key of the account's own is spent by this VM as well. */
    json_put_boolean(body, "include_byok_in_limit", true);
    return true;
}

static bool build_mint(const struct provider_settings *settings, const struct provider_call *call,
                       struct http_request *request, struct error *err)
{
    if (!call->key_name[0])
        return error_set(err, ERROR_INVALID, "no name was given for what is to be made");
    if (!form_put_url(request, form_base(settings, &provider_openrouter), err, "/keys"))
        return false;
    struct json_object *body = json_object_new_object();
    json_put_string(body, "name", call->key_name);
    if (!put_limit(call, body, err))
        return false;
    if (settings->expires_ms) {
        char expires[32];
        form_write_time(call->wall + settings->expires_ms, expires, sizeof expires);
        json_put_string(body, "expires_at", expires);
    }
    return form_post(request, body, err);
}

static bool put_key_url(const struct provider_settings *settings, const struct provider_call *call,
                        struct http_request *request, struct error *err)
{
    if (!provider_id_valid(call->key_id))
        return error_set(err, ERROR_INVALID, "the key's hash is empty or holds what no hash of %s's has", who);
    return form_put_url(request, form_base(settings, &provider_openrouter), err, "/keys/%s", call->key_id);
}

static bool build_change(const struct provider_settings *settings, const struct provider_call *call,
                         struct http_request *request, struct error *err)
{
    if (!put_key_url(settings, call, request, err))
        return false;
    struct json_object *body = json_object_new_object();
    json_put_boolean(body, "disabled", call->verb != PROVIDER_RESUME_KEY);
    request->method = HTTP_PATCH;
    return form_put_body(request, body, err);
}

/* Step 0 sets it, step 1 reads the key. */
static bool build_limit(const struct provider_settings *settings, const struct provider_call *call,
                        const struct provider_progress *progress, struct http_request *request, struct error *err)
{
    if (!put_key_url(settings, call, request, err))
        return false;
    if (progress->step)
        return true;
    struct json_object *body = json_object_new_object();
    request->method = HTTP_PATCH;
    return put_limit(call, body, err) && form_put_body(request, body, err);
}

static bool openrouter_build(const struct provider_settings *settings, const struct provider_call *call,
                             const struct provider_progress *progress, const struct provider_result *so_far,
                             struct http_request *request, struct error *err)
{
    (void)so_far;
    snprintf(request->secret_header, sizeof request->secret_header, "Authorization: Bearer ");
    request->method = HTTP_GET;
    if (progress->step & MISSING_KEY) {
        request->secret = call->chosen;
        return form_put_url(request, form_base(settings, &provider_openrouter), err, "/key");
    }
    if (progress->step & MISSING_LIST)
        return put_page_url(settings, progress, request, err);
    switch (call->verb) {
    case PROVIDER_FIND_KEYS:
        if (!call->key_name[0])
            return error_set(err, ERROR_INVALID, "no name was given for the key that is looked for");
        return put_page_url(settings, progress, request, err);
    case PROVIDER_INVENTORY:
        if (!call->name_prefix[0]) /* every key of the account would be called ours */
            return error_set(err, ERROR_INVALID, "an inventory needs the prefix of our names");
        return put_page_url(settings, progress, request, err);
    case PROVIDER_USAGE:
        if (!call->name_prefix[0])
            return error_set(err, ERROR_INVALID, "usage needs the prefix of our names");
        return put_page_url(settings, progress, request, err);
    case PROVIDER_CHECK:
        return put_page_url(settings, progress, request, err);
    case PROVIDER_MINT_KEY:
        return build_mint(settings, call, request, err);
    case PROVIDER_SUSPEND_KEY:
    case PROVIDER_RESUME_KEY:
        return build_change(settings, call, request, err);
    case PROVIDER_LIMIT_KEY:
        return build_limit(settings, call, progress, request, err);
    case PROVIDER_REVOKE_KEY:
        if (progress->step == REVOKE_DISABLE)
            return build_change(settings, call, request, err);
        request->method = HTTP_DELETE;
        return put_key_url(settings, call, request, err);
    default: /* there are no containers */
        return error_set(err, ERROR_INVALID, "no such verb");
    }
}

/* --- what stands in the successes --- */

static bool read_hash(struct json_object *key, char hash[RECORD_REMOTE_ID_SIZE], struct error *err)
{
    if (!json_get_string(key, "hash", hash, RECORD_REMOTE_ID_SIZE, err))
        return false;
    return provider_id_valid(hash) || error_set(err, ERROR_PROTOCOL, "field 'hash' holds what no hash has");
}

/* Borrowed from KEY. Names of others may be longer than ours ever are. */
static bool read_name(struct json_object *key, const char **ret_name, struct error *err)
{
    struct json_object *value = NULL;
    *ret_name = "";
    if (!json_object_is_type(key, json_type_object))
        return error_set(err, ERROR_PROTOCOL, "an entry of the list is no object");
    if (!json_object_object_get_ex(key, "name", &value) || !json_object_is_type(value, json_type_string))
        return error_set(err, ERROR_PROTOCOL, "field 'name' is missing or no string");
    if (strlen(json_object_get_string(value)) == (size_t)json_object_get_string_len(value))
        *ret_name = json_object_get_string(value);
    return true;
}

static bool wanted(const struct provider_call *call, const char *hash, const char *name)
{
    if (call->verb == PROVIDER_FIND_KEYS)
        return strcmp(name, call->key_name) == 0;
    return (call->verb == PROVIDER_INVENTORY || call->verb == PROVIDER_USAGE) && provider_inventory_has(call, hash, name);
}

/* What KEY cost this month, over upstream keys of the account's own as well: its limit counts both. */
static bool take_usage(struct reading *reading, struct json_object *key, const char *hash, int64_t wall, struct error *err)
{
    struct provider_usage usage = {.kind = PROVIDER_USAGE_MONTH_TOTAL, .container_id = PROVIDER_ACCOUNT,
                                   .day = wall / FORM_DAY_MS};
    int64_t own, upstream;
    if (!form_get_dollars(key, "usage_monthly", &own, err) || !form_get_dollars(key, "byok_usage_monthly", &upstream, err))
        return false;
    if (!json_has(key, "usage_monthly"))
        return error_set(err, ERROR_PROTOCOL, "field 'usage_monthly' is missing");
    usage.micro_dollars = own + (upstream > 0 ? upstream : 0);
    snprintf(usage.key_id, sizeof usage.key_id, "%s", hash);
    return provider_usage_add(reading->result, &usage) || error_set(err, ERROR_LIMIT, "the list is too long");
}

static bool take_key(struct reading *reading, struct json_object *key, const char *hash, struct error *err)
{
    struct provider_item item = {.kind = PROVIDER_ITEM_KEY, .container_id = PROVIDER_ACCOUNT};
    const char *name;
    if (!read_name(key, &name, err))
        return false;
    bool missed = reading->progress->step & MISSING_LIST;
    if (missed ? strcmp(hash, reading->call->key_id) != 0 : !wanted(reading->call, hash, name))
        return true;
    if (reading->call->verb == PROVIDER_USAGE)
        return take_usage(reading, key, hash, reading->call->until, err);
    if (!form_get_time(key, "created_at", &item.created_at, err) || !form_get_limit(key, &limit_form, &item.monthly_limit, err))
        return false;
    item.tells_suspended = json_has(key, "disabled");
    item.suspended = json_optional_boolean(key, "disabled", false);
    snprintf(item.id, sizeof item.id, "%s", hash);
    snprintf(item.name, sizeof item.name, "%.*s", (int)sizeof item.name - 1, name);
    return reading_add_item(reading, &item, err);
}

/* Takes what stands behind the last entry of the page before. */
static enum provider_next parse_page(struct reading *reading)
{
    struct error *err = &reading->result->error;
    struct provider_progress *progress = reading->progress;
    cleanup_json struct json_object *page = NULL;
    struct json_object *data;
    if (!reading_body(reading, &page) || !json_get_array(page, "data", &data, err))
        return reading_unreadable(reading);
    size_t count = json_object_array_length(data), fresh = 0;
    bool begun = !progress->index || progress->step & PAGES_OF_ONE; /* else behind the entry that is known */
    char last[RECORD_REMOTE_ID_SIZE] = "";
    for (size_t i = 0; i < count; i++) {
        struct json_object *key = json_object_array_get_idx(data, i);
        if (!read_hash(key, last, err))
            return reading_unreadable(reading);
        if (begun && !take_key(reading, key, last, err))
            return reading_unreadable(reading);
        fresh += begun ? 1 : 0;
        begun = begun || strcmp(last, progress->cursor) == 0;
    }
    bool missed = progress->step & MISSING_LIST;
    if (reading->call->verb == PROVIDER_CHECK)
        return reading_conclude(reading, OUTCOME_OK);
    if (missed && reading->result->items_count)
        return missing_list_read(reading);
    if (!begun)
        return reading_again(reading);
    if (!fresh && missed)
        return missing_list_read(reading);
    if (!fresh)
        return reading_conclude_list(reading);
    if (!progress->index && count == 1)
        progress->step |= PAGES_OF_ONE;
    progress->index += fresh;
    snprintf(progress->cursor, sizeof progress->cursor, "%s", last);
    return PROVIDER_NEXT_REQUEST;
}

/* Whether the key shows the limit of the call. */
static bool check_limit(const struct reading *reading, struct json_object *key, struct error *err)
{
    int64_t limit;
    if (!form_get_limit(key, &limit_form, &limit, err))
        return false;
    if (!form_same_dollars(limit, reading->call->monthly_limit) || !json_optional_boolean(key, "include_byok_in_limit", true))
        return error_set(err, ERROR_PROTOCOL, "the key has not got the monthly limit that was asked for");
    return true;
}

/* The key exists from here on: whatever is missing in the answer, it has to be found and removed. */
static enum provider_next parse_minted(struct reading *reading)
{
    struct provider_result *result = reading->result;
    struct error *err = &result->error;
    cleanup_json struct json_object *object = NULL;
    struct json_object *key;
    if (!reading_body(reading, &object))
        return reading_unreadable(reading);
    struct secret *secret = NULL;
    bool good = form_take_secret(object, "key", &secret, err);
    if (!json_get_object(object, "data", &key, err) || !read_hash(key, result->key_id, err)) {
        result->key_id[0] = '\0';
        good = false;
    }
    if (!good || !check_limit(reading, key, err)) {
        secret_free(secret);
        return reading_unreadable(reading);
    }
    result->secret = secret;
    result->life_ms = reading->settings->expires_ms;
    return reading_conclude(reading, OUTCOME_OK);
}

/* What the change itself answers is not looked at: what the key is like afterwards counts. */
static enum provider_next parse_limited(struct reading *reading)
{
    struct error *err = &reading->result->error;
    cleanup_json struct json_object *object = NULL;
    struct json_object *key;
    char hash[RECORD_REMOTE_ID_SIZE];
    if (!reading->progress->step) {
        reading->progress->step = 1;
        return PROVIDER_NEXT_REQUEST;
    }
    int64_t limit;
    if (!reading_body(reading, &object) || !json_get_object(object, "data", &key, err) || !read_hash(key, hash, err) ||
        !form_get_limit(key, &limit_form, &limit, err))
        return reading_unreadable(reading);
    if (strcmp(hash, reading->call->key_id) != 0) {
        error_set(err, ERROR_PROTOCOL, "it shows another key than was asked for");
        return reading_unreadable(reading);
    }
    /* Of this key alone: others go on. */
    return reading_conclude(reading, check_limit(reading, key, err) ? OUTCOME_OK : OUTCOME_REFUSED);
}

static enum provider_next parse_changed(struct reading *reading)
{
    struct error *err = &reading->result->error, none = ERROR_INIT;
    cleanup_json struct json_object *object = NULL;
    struct json_object *key;
    char hash[RECORD_REMOTE_ID_SIZE];
    bool disabled;
    if (!reading_body(reading, &object) || !json_get_object(object, "data", &key, err) || !read_hash(key, hash, err) ||
        !json_get_boolean(key, "disabled", &disabled, err))
        return reading_unreadable(reading);
    if (strcmp(hash, reading->call->key_id) != 0 || disabled != (reading->call->verb == PROVIDER_SUSPEND_KEY)) {
        error_set(err, ERROR_PROTOCOL, "it does not show that key as %s",
                  reading->call->verb == PROVIDER_SUSPEND_KEY ? "disabled" : "enabled");
        return reading_unreadable(reading);
    }
    take_usage(reading, key, hash, reading->call->wall, &none); /* the key is what this was about */
    return reading_conclude(reading, OUTCOME_OK);
}

/* It is to go, whether or not it says what it cost. */
static enum provider_next parse_disabled(struct reading *reading)
{
    struct error none = ERROR_INIT;
    cleanup_json struct json_object *object = NULL;
    struct json_object *key;
    char hash[RECORD_REMOTE_ID_SIZE];
    const struct buffer *body = &reading->answer->body;
    if (json_parse(buffer_text(body), body->length, &object, &none) && json_get_object(object, "data", &key, &none) &&
        read_hash(key, hash, &none) && strcmp(hash, reading->call->key_id) == 0)
        take_usage(reading, key, hash, reading->call->wall, &none);
    reading->progress->step = REVOKE_DELETE;
    return PROVIDER_NEXT_REQUEST;
}

static enum provider_next parse_revoked(struct reading *reading)
{
    struct error *err = &reading->result->error;
    cleanup_json struct json_object *object = NULL;
    bool deleted;
    if (!reading_body(reading, &object) || !json_get_boolean(object, "deleted", &deleted, err))
        return reading_unreadable(reading);
    if (!deleted) {
        error_set(err, ERROR_PROTOCOL, "the key is not shown as deleted");
        return reading_unreadable(reading);
    }
    return reading_conclude(reading, OUTCOME_OK);
}

static enum provider_next parse_success(struct reading *reading)
{
    if (reading->progress->step & MISSING_LIST)
        return parse_page(reading);
    switch (reading->call->verb) {
    case PROVIDER_FIND_KEYS:
    case PROVIDER_INVENTORY:
    case PROVIDER_CHECK:
    case PROVIDER_USAGE:
        return parse_page(reading);
    case PROVIDER_MINT_KEY:
        return parse_minted(reading);
    case PROVIDER_SUSPEND_KEY:
    case PROVIDER_RESUME_KEY:
        return parse_changed(reading);
    case PROVIDER_LIMIT_KEY:
        return parse_limited(reading);
    case PROVIDER_REVOKE_KEY:
        return reading->progress->step == REVOKE_DISABLE ? parse_disabled(reading) : parse_revoked(reading);
    default:
        return reading_conclude(reading, OUTCOME_UNKNOWN); /* cannot be asked */
    }
}

/* --- refusals --- */

/* A 404 counts only in this provider's own form: a wrong base URL must not pass for a missing key. */
static enum provider_next parse_failure(struct reading *reading)
{
    const struct provider_call *call = reading->call;
    struct provider_complaint complaint;
    form_read_complaint(reading->answer, &complaint);
    unsigned step = reading->progress->step;
    if (reading->answer->status == 404 && complaint.readable && missing_may(call) && !(step & MISSING_LIST))
        return missing_begin(reading->progress, !step, call->chosen);
    if (call->verb == PROVIDER_REVOKE_KEY && step == REVOKE_DISABLE && complaint.readable &&
        (reading->answer->status == 400 || reading->answer->status == 403)) {
        reading->progress->step = REVOKE_DELETE;
        return PROVIDER_NEXT_REQUEST;
    }
    provider_judge(provider_judged_verb(call, reading->progress), who, reading->answer, &complaint, reading->result);
    return PROVIDER_NEXT_DONE;
}

static enum provider_next openrouter_parse(const struct provider_settings *settings, const struct provider_call *call,
                                           struct provider_progress *progress, const struct http_answer *answer,
                                           struct provider_result *result)
{
    struct reading reading = {who, settings, call, progress, answer, result};
    if (progress->step & MISSING_KEY)
        return missing_key_answered(&reading);
    return http_succeeded(answer) ? parse_success(&reading) : parse_failure(&reading);
}

const struct provider_driver provider_openrouter = {
    .type = "openrouter",
    .default_base_url = "https://openrouter.ai/api/v1",
    .default_environment = "OPENROUTER_API_KEY",
    .serves_guests = true,
    .settings = PROVIDER_TAKES_EXPIRES,
    .capabilities = PROVIDER_CAN_MINT | PROVIDER_CAN_LIST | PROVIDER_CAN_SUSPEND | PROVIDER_CAN_LIMIT_KEY |
                    PROVIDER_CAN_CHANGE_LIMIT | PROVIDER_CAN_USAGE | PROVIDER_KEY_IS_ASKED,
    .lag = {.billed_ms = 2 * 60 * 1000}, /* the key's own limit works with the same numbers */
    .build = openrouter_build,
    .parse = openrouter_parse,
};
