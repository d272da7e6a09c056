/* LiteLLM's management of virtual keys, on the operator's own proxy.
 *
 * We choose the secret, and the key's id is its SHA-256, which is how the proxy itself knows it. So a request to make a
 * key can be repeated: the proxy refuses a second key of the same alias, and whether that one is ours is seen by its
 * hash. What a key was made with is read back.
 *
 *   POST /key/generate     done                          -> GET /key/info: has it the limit?
 *                          400, the alias is taken       -> GET /key/info: is it our hash?
 *   GET /key/info          our key with our limit        OK
 *                          our key with another limit    -> POST /key/update, once, and GET /key/info again
 *                                                           (also what LIMIT_KEY is: POST /key/update, GET /key/info)
 *                          404                           -> GET /key/list by that alias: it is another key (UNKNOWN with
 *                                                        its id: it can only be removed), or none any more (UNKNOWN)
 *
 * A 404 about a key is no proof, see missing.h. The key itself is asked by GET /v1/models: our keys may use nothing but the
 * model API, and to be told so would look like a refusal of the key. It is listed by its alias where that is known.
 *
 * What keys cost is told by day (GET /user/daily/activity): these records only ever grow, also when a budget begins anew,
 * and stay when a key is deleted, which `spend` of the key itself does not. A page holds so many rows of the proxy's table,
 * one for each day, key, model and the like, so a day may go on in the next page, and what pages say of it is added up.
 * What is used anew of a day is a new row among those of that day, and moves what comes behind it, earlier days included,
 * towards the last page. So settled days are read by themselves, and pages from the last one to the first: a row that is
 * moved meanwhile is missed until the next time, and none is ever counted twice.
 *
 * A page of the list is a number, so keys that are deleted while we read move others over the edge of a page: when the
 * total changes, all is read again. Errors that are told as {"detail":...} come from the web framework, not from the
 * key's management, and prove nothing. */
#include "base/json.h"
#include "providers/form.h"
#include "providers/http.h"
#include "providers/missing.h"
#include "providers/provider.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char who[] = "LiteLLM";
/* Until the first of the next month, where the proxy's time zone is UTC as it is by default. */
static const struct form_limit limit_form = {"max_budget", "budget_duration", "1mo"};

/* Rows of usage are told up to seven times over in an answer, some 700 bytes each: so many stay below HTTP_ANSWER_MAX. */
enum { PAGE_SIZE = 100, USAGE_PAGE_SIZE = 500 };

/* A day gets no new rows any more when it has been over for so long: they are written when a request has ended, under the
 * day that it began on. */
enum { SETTLED_MS = 2 * 3600 * 1000 };

/* Steps of what needs more than one request. Lists count in their step how often they were read again. */
enum { STEP_ASK, STEP_LOOK, STEP_CORRECT, STEP_LOOK_AGAIN, STEP_WHOSE };
/* Those of usage. */
enum { STEP_FRESH_DAYS, STEP_SETTLED_DAYS };
/* A progress' cursor: how many pages of usage there are is known, and its index the page that is read. */
static const char backwards[] = "backwards";

/* --- building --- */

/* Of ALIAS alone where it is given. */
static bool put_list(const struct provider_settings *settings, const struct provider_progress *progress, const char *alias,
                     struct http_request *request, struct error *err)
{
    char escaped[3 * RECORD_NAME_SIZE];
    form_escape(alias, escaped, sizeof escaped);
    return form_put_url(request, settings->base_url, err, "/key/list?return_full_object=true&size=%d&page=%zu%s%s", PAGE_SIZE,
                        progress->index + 1, *escaped ? "&key_alias=" : "", escaped);
}

static void put_models(const struct provider_settings *settings, struct json_object *body)
{
    char words[sizeof settings->models], *rest = words, *word;
    struct json_object *models = json_object_new_array();
    snprintf(words, sizeof words, "%s", settings->models);
    while ((word = strsep(&rest, " \t")))
        if (*word)
            json_object_array_add(models, json_object_new_string(word));
    json_put(body, "models", models);
}

static void put_rates(const struct provider_settings *settings, struct json_object *body)
{
    struct json_object *requests = json_object_new_object(), *tokens = json_object_new_object();
    for (unsigned i = 0; i < settings->rates_count; i++) {
        const struct provider_rate *rate = &settings->rates[i];
        if (rate->requests_per_minute)
            json_put_integer(requests, rate->model, rate->requests_per_minute);
        if (rate->tokens_per_minute)
            json_put_integer(tokens, rate->model, rate->tokens_per_minute);
    }
    json_put(body, "model_rpm_limit", requests);
    json_put(body, "model_tpm_limit", tokens);
}

/* json-c does not wipe what it frees, so the secret is written by hand, in front of all else. It needs no escaping. */
static bool put_secret_body(struct http_request *request, const struct secret *chosen, struct json_object *body,
                            struct error *err)
{
    struct buffer rest = BUFFER_INIT(HTTP_BODY_MAX);
    const char *text = json_object_to_json_string_ext(body, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
    bool ok = text && buffer_append_text(&rest, text + 1);
    json_object_put(body);
    ok = ok && buffer_append_text(&request->body, "{\"key\":\"") &&
         buffer_append(&request->body, secret_reveal(chosen), secret_length(chosen)) &&
         buffer_append_text(&request->body, "\",") && buffer_append(&request->body, rest.data, rest.length);
    buffer_clear(&rest);
    return ok || error_set(err, ERROR_IO, "out of memory for the request");
}

static bool chosen_valid(const struct secret *chosen)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    const char *text = chosen ? secret_reveal(chosen) : "";
    return strncmp(text, "sk-", 3) == 0 && strlen(text) >= 32 && strlen(text) <= 100 && !text[strspn(text, allowed)];
}

static bool build_generate(const struct provider_settings *settings, const struct provider_call *call,
                           struct http_request *request, struct error *err)
{
    if (!form_put_url(request, settings->base_url, err, "/key/generate"))
        return false;
    struct json_object *body = json_object_new_object();
    json_put_string(body, "key_alias", call->key_name);
    if (!form_put_limit(body, &limit_form, call->monthly_limit, err))
        return false;
    json_put_string(body, "key_type", "llm_api"); /* not for the proxy's management */
    if (settings->expires_ms) {
        char duration[32];
        snprintf(duration, sizeof duration, "%" PRId64 "s", settings->expires_ms / 1000);
        json_put_string(body, "duration", duration);
    }
    if (settings->models[0])
        put_models(settings, body);
    if (settings->rates_count)
        put_rates(settings, body);
    request->method = HTTP_POST;
    return put_secret_body(request, call->chosen, body, err);
}

static bool build_update(const struct provider_settings *settings, const struct provider_call *call, const char *hash,
                         struct http_request *request, struct error *err)
{
    if (!form_put_url(request, settings->base_url, err, "/key/update"))
        return false;
    struct json_object *body = json_object_new_object();
    json_put_string(body, "key", hash);
    return form_put_limit(body, &limit_form, call->monthly_limit, err) && form_post(request, body, err);
}

static bool build_info(const struct provider_settings *settings, const char *hash, struct http_request *request,
                       struct error *err)
{
    return form_put_url(request, settings->base_url, err, "/key/info?key=%s", hash);
}

static bool build_mint(const struct provider_settings *settings, const struct provider_call *call,
                       const struct provider_progress *progress, struct http_request *request, struct error *err)
{
    char hash[SECRET_FINGERPRINT_SIZE];
    if (!call->key_name[0])
        return error_set(err, ERROR_INVALID, "no name was given for what is to be made");
    if (!chosen_valid(call->chosen))
        return error_set(err, ERROR_INVALID, "no key was chosen, or none that %s takes", who);
    secret_fingerprint(call->chosen, hash);
    switch (progress->step) {
    case STEP_ASK:
        return build_generate(settings, call, request, err);
    case STEP_CORRECT:
        return build_update(settings, call, hash, request, err);
    case STEP_WHOSE:
        return put_list(settings, &(struct provider_progress){.index = 0}, call->key_name, request, err);
    default:
        return build_info(settings, hash, request, err);
    }
}

static bool key_valid(const struct provider_call *call, struct error *err)
{
    return provider_id_valid(call->key_id) ||
           error_set(err, ERROR_INVALID, "the key's hash is empty or holds what no hash of %s's has", who);
}

static bool build_about_key(const struct provider_settings *settings, const struct provider_call *call,
                            struct http_request *request, struct error *err)
{
    if (!key_valid(call, err))
        return false;
    const char *path = call->verb == PROVIDER_REVOKE_KEY    ? "delete"
                       : call->verb == PROVIDER_SUSPEND_KEY ? "block"
                                                            : "unblock";
    if (!form_put_url(request, settings->base_url, err, "/key/%s", path))
        return false;
    struct json_object *body = json_object_new_object();
    if (call->verb == PROVIDER_REVOKE_KEY) {
        struct json_object *keys = json_object_new_array();
        json_object_array_add(keys, json_object_new_string(call->key_id));
        json_put(body, "keys", keys);
    } else {
        json_put_string(body, "key", call->key_id);
    }
    return form_post(request, body, err);
}

static void write_day(int64_t wall, char ret_text[16])
{
    char text[32];
    form_write_time(wall, text, sizeof text);
    snprintf(ret_text, 16, "%.10s", text);
}

static int64_t first_fresh_day(const struct provider_call *call)
{
    int64_t since = call->since / FORM_DAY_MS, fresh = (call->until - SETTLED_MS) / FORM_DAY_MS;
    return fresh > since ? fresh : since;
}

static bool build_usage(const struct provider_settings *settings, const struct provider_call *call,
                        const struct provider_progress *progress, struct http_request *request, struct error *err)
{
    char since[16], until[16];
    if (call->since < 0 || call->since >= call->until)
        return error_set(err, ERROR_INVALID, "usage is asked for without a time");
    bool settled = progress->step == STEP_SETTLED_DAYS;
    int64_t fresh = first_fresh_day(call) * FORM_DAY_MS;
    write_day(settled ? call->since : fresh, since);
    write_day(settled ? fresh - FORM_DAY_MS : call->until, until);
    return form_put_url(request, settings->base_url, err, "/user/daily/activity?start_date=%s&end_date=%s&page_size=%d&page=%zu",
                        since, until, USAGE_PAGE_SIZE, progress->index + 1);
}

static bool build_limit(const struct provider_settings *settings, const struct provider_call *call,
                        const struct provider_progress *progress, struct http_request *request, struct error *err)
{
    if (!key_valid(call, err))
        return false;
    return progress->step == STEP_ASK ? build_update(settings, call, call->key_id, request, err)
                                      : build_info(settings, call->key_id, request, err);
}

static bool litellm_build(const struct provider_settings *settings, const struct provider_call *call,
                          const struct provider_progress *progress, const struct provider_result *so_far,
                          struct http_request *request, struct error *err)
{
    (void)so_far;
    snprintf(request->secret_header, sizeof request->secret_header, "Authorization: Bearer ");
    request->method = HTTP_GET;
    if (progress->step & MISSING_KEY) {
        request->secret = call->chosen;
        return form_put_url(request, settings->base_url, err, "/v1/models");
    }
    if (progress->step & MISSING_LIST)
        return put_list(settings, progress, call->key_name, request, err);
    switch (call->verb) {
    case PROVIDER_FIND_KEYS:
        if (!call->key_name[0])
            return error_set(err, ERROR_INVALID, "no name was given for the key that is looked for");
        return put_list(settings, progress, call->key_name, request, err);
    case PROVIDER_INVENTORY:
        if (!call->name_prefix[0]) /* every key of the proxy would be called ours */
            return error_set(err, ERROR_INVALID, "an inventory needs the prefix of our names");
        return put_list(settings, progress, "", request, err);
    case PROVIDER_CHECK:
        return form_put_url(request, settings->base_url, err, "/key/list?return_full_object=true&size=1&page=1");
    case PROVIDER_USAGE:
        return build_usage(settings, call, progress, request, err);
    case PROVIDER_MINT_KEY:
        return build_mint(settings, call, progress, request, err);
    case PROVIDER_LIMIT_KEY:
        return build_limit(settings, call, progress, request, err);
    case PROVIDER_REVOKE_KEY:
    case PROVIDER_SUSPEND_KEY:
    case PROVIDER_RESUME_KEY:
        return build_about_key(settings, call, request, err);
    default: /* there are no containers */
        return error_set(err, ERROR_INVALID, "no such verb");
    }
}

/* --- what stands in the successes --- */

/* From the second request of a minting on, the key may be there. */
static enum provider_next go_on(struct reading *reading, unsigned step)
{
    reading->progress->step = step;
    reading->progress->made = true;
    return PROVIDER_NEXT_REQUEST;
}

/* The secret stands in the answer: it is taken out, so that json-c does not leave it in the heap. */
static enum provider_next parse_generated(struct reading *reading)
{
    struct error *err = &reading->result->error;
    cleanup_json struct json_object *object = NULL;
    struct secret *secret = NULL;
    if (!reading_body(reading, &object) || !form_take_secret(object, "key", &secret, err))
        return reading_unreadable(reading);
    bool ours = strcmp(secret_reveal(secret), secret_reveal(reading->call->chosen)) == 0;
    secret_free(secret);
    if (ours)
        return go_on(reading, STEP_LOOK);
    error_set(err, ERROR_PROTOCOL, "it made another key than the one that was chosen");
    return reading_unreadable(reading);
}

static enum provider_next conclude_minted(struct reading *reading)
{
    struct provider_result *result = reading->result;
    result->secret = secret_copy(reading->call->chosen);
    if (!result->secret) {
        error_set(&result->error, ERROR_IO, "out of memory");
        return reading_conclude(reading, OUTCOME_UNKNOWN);
    }
    secret_fingerprint(result->secret, result->key_id);
    result->life_ms = reading->settings->expires_ms;
    return reading_conclude(reading, OUTCOME_OK);
}

static enum provider_next parse_info(struct reading *reading)
{
    struct error *err = &reading->result->error;
    cleanup_json struct json_object *object = NULL;
    struct json_object *info;
    char alias[RECORD_NAME_SIZE];
    int64_t limit;
    if (!reading_body(reading, &object) || !json_get_object(object, "info", &info, err) ||
        !json_get_string(info, "key_alias", alias, sizeof alias, err) || !form_get_limit(info, &limit_form, &limit, err))
        return reading_unreadable(reading);
    if (strcmp(alias, reading->call->key_name) != 0) {
        error_set(err, ERROR_PROTOCOL, "it shows the key under another alias");
        return reading_unreadable(reading);
    }
    if (form_same_dollars(limit, reading->call->monthly_limit))
        return conclude_minted(reading);
    if (reading->progress->step == STEP_LOOK)
        return go_on(reading, STEP_CORRECT);
    error_set(err, ERROR_PROTOCOL, "%s does not keep the monthly limit that was asked for", who);
    secret_fingerprint(reading->call->chosen, reading->result->key_id);
    return reading_conclude(reading, OUTCOME_UNKNOWN);
}

static bool wanted(const struct reading *reading, struct json_object *key, const char *alias)
{
    const struct provider_call *call = reading->call;
    char hash[RECORD_REMOTE_ID_SIZE];
    json_optional_string(key, "token", "", hash, sizeof hash);
    if (reading->progress->step & MISSING_LIST)
        return strcmp(hash, call->key_id) == 0;
    if (call->verb == PROVIDER_INVENTORY)
        return provider_inventory_has(call, hash, alias);
    return call->verb != PROVIDER_CHECK && strcmp(alias, call->key_name) == 0;
}

static bool take_key(struct reading *reading, struct json_object *key, struct error *err)
{
    struct provider_item item = {.kind = PROVIDER_ITEM_KEY, .container_id = PROVIDER_ACCOUNT};
    const char *alias;
    if (!json_object_is_type(key, json_type_object))
        return error_set(err, ERROR_PROTOCOL, "an entry of the list is no object: the proxy is older than we can talk to");
    if (!form_get_name(key, "key_alias", &alias, err))
        return false;
    if (!wanted(reading, key, alias))
        return true;
    if (!json_get_string(key, "token", item.id, sizeof item.id, err) ||
        !form_get_limit(key, &limit_form, &item.monthly_limit, err))
        return false;
    if (!provider_id_valid(item.id) || strncmp(item.id, "sk-", 3) == 0)
        return error_set(err, ERROR_PROTOCOL, "field 'token' holds what no hash has");
    if (json_has(key, "created_at") && !form_get_time(key, "created_at", &item.created_at, err))
        return false;
    item.tells_suspended = json_object_object_get_ex(key, "blocked", NULL); /* null: it never was */
    item.suspended = json_optional_boolean(key, "blocked", false);
    snprintf(item.name, sizeof item.name, "%.*s", (int)sizeof item.name - 1, alias);
    return reading_add_item(reading, &item, err);
}

/* Whether the total is as it was: "" before the first page. Else all is read again. */
static bool holds_still(struct reading *reading, int64_t total)
{
    struct provider_progress *progress = reading->progress;
    char now[32];
    snprintf(now, sizeof now, "%" PRId64, total);
    bool same = !progress->cursor[0] || strcmp(progress->cursor, now) == 0;
    snprintf(progress->cursor, sizeof progress->cursor, "%s", now);
    return same;
}

/* Adds what is wanted of the page; *RET_MORE: there is another one behind it. False: the error says why not. */
static bool read_page(struct reading *reading, int64_t *ret_total, bool *ret_more)
{
    struct error *err = &reading->result->error;
    cleanup_json struct json_object *page = NULL;
    struct json_object *keys;
    int64_t pages;
    if (!reading_body(reading, &page) || !json_get_array(page, "keys", &keys, err) ||
        !json_get_integer(page, "total_count", ret_total, err) || !json_get_integer(page, "total_pages", &pages, err))
        return false;
    if (!reading_each(reading, keys, take_key, err))
        return false;
    *ret_more = (int64_t)reading->progress->index + 1 < pages;
    return true;
}

static enum provider_next parse_list(struct reading *reading)
{
    int64_t total;
    bool more;
    if (!read_page(reading, &total, &more))
        return reading_unreadable(reading);
    if (reading->call->verb == PROVIDER_CHECK)
        return reading_conclude(reading, OUTCOME_OK);
    if (!holds_still(reading, total))
        return reading_again(reading);
    if (more) {
        reading->progress->index++;
        return PROVIDER_NEXT_REQUEST;
    }
    if (reading->progress->step & MISSING_LIST)
        return missing_list_read(reading);
    return reading_conclude_list(reading);
}

/* The alias was taken, and not by our key. */
static enum provider_next parse_whose(struct reading *reading)
{
    struct provider_result *result = reading->result;
    int64_t total;
    bool more;
    if (!read_page(reading, &total, &more))
        return reading_unreadable(reading);
    if (result->items_count) {
        memcpy(result->key_id, result->items[0].id, sizeof result->key_id);
        error_set(&result->error, ERROR_EXISTS, "%s has another key of this alias: it is removed first", who);
    } else {
        error_set(&result->error, ERROR_LOST, "%s had another key of this alias, and has it no more", who);
    }
    return reading_conclude(reading, OUTCOME_UNKNOWN);
}

/* What the key is like after it was changed. The alias does not matter: it is asked for by its hash. */
static enum provider_next parse_limited(struct reading *reading)
{
    struct error *err = &reading->result->error;
    cleanup_json struct json_object *object = NULL;
    struct json_object *info;
    int64_t limit;
    if (reading->progress->step == STEP_ASK) {
        reading->progress->step = STEP_LOOK;
        return PROVIDER_NEXT_REQUEST;
    }
    if (!reading_body(reading, &object) || !json_get_object(object, "info", &info, err) ||
        !form_get_limit(info, &limit_form, &limit, err))
        return reading_unreadable(reading);
    if (!form_same_dollars(limit, reading->call->monthly_limit)) {
        error_set(err, ERROR_PROTOCOL, "%s does not keep the monthly limit that was asked for", who);
        return reading_conclude(reading, OUTCOME_REFUSED); /* of this key alone: others go on */
    }
    return reading_conclude(reading, OUTCOME_OK);
}

static enum provider_next parse_mint(struct reading *reading)
{
    switch (reading->progress->step) {
    case STEP_ASK:
        return parse_generated(reading);
    case STEP_CORRECT:
        return go_on(reading, STEP_LOOK_AGAIN);
    case STEP_WHOSE:
        return parse_whose(reading);
    default:
        return parse_info(reading);
    }
}

static enum provider_next parse_revoked(struct reading *reading)
{
    struct error *err = &reading->result->error;
    cleanup_json struct json_object *object = NULL;
    struct json_object *keys;
    if (!reading_body(reading, &object) || !json_get_array(object, "deleted_keys", &keys, err))
        return reading_unreadable(reading);
    for (size_t i = 0; i < json_object_array_length(keys); i++) {
        struct json_object *key = json_object_array_get_idx(keys, i);
        if (json_object_is_type(key, json_type_string) && strcmp(json_object_get_string(key), reading->call->key_id) == 0)
            return reading_conclude(reading, OUTCOME_OK);
    }
    error_set(err, ERROR_PROTOCOL, "the key is not shown as deleted");
    return reading_unreadable(reading);
}

static enum provider_next parse_blocked(struct reading *reading)
{
    struct error *err = &reading->result->error;
    bool suspend = reading->call->verb == PROVIDER_SUSPEND_KEY, blocked;
    cleanup_json struct json_object *object = NULL;
    if (!reading_body(reading, &object) || !json_get_boolean(object, "blocked", &blocked, err))
        return reading_unreadable(reading);
    if (blocked != suspend) {
        error_set(err, ERROR_PROTOCOL, "it does not show that key as %s", suspend ? "blocked" : "unblocked");
        return reading_unreadable(reading);
    }
    return reading_conclude(reading, OUTCOME_OK);
}

/* --- what was spent --- */

/* OBJECT is {"metrics":{...},...}. Its prompt tokens count those of the cache as well. */
static bool read_metrics(struct json_object *object, struct provider_usage *usage, struct error *err)
{
    struct json_object *metrics;
    if (!json_get_object(object, "metrics", &metrics, err) ||
        !form_get_dollars(metrics, "spend", &usage->micro_dollars, err) ||
        !form_get_count(metrics, "prompt_tokens", &usage->input_tokens, err) ||
        !form_get_count(metrics, "cache_read_input_tokens", &usage->cached_tokens, err) ||
        !form_get_count(metrics, "completion_tokens", &usage->output_tokens, err) ||
        !form_get_count(metrics, "api_requests", &usage->requests, err))
        return false;
    if (usage->cached_tokens > usage->input_tokens) /* some upstreams count them apart */
        usage->input_tokens += usage->cached_tokens;
    return usage->micro_dollars >= 0 || error_set(err, ERROR_PROTOCOL, "field 'spend' is missing");
}

/* What KEY cost on that day, by model as far as models are told; what is left has none (tools, or an older proxy). */
static bool read_key_day(struct reading *reading, struct json_object *models, const struct provider_usage *whole,
                         struct error *err)
{
    struct provider_usage rest = *whole;
    if (models) {
        json_object_object_foreach(models, name, model) {
            struct json_object *keys = NULL, *of_key = NULL;
            struct provider_usage usage = *whole;
            if (!json_object_is_type(model, json_type_object) ||
                !json_object_object_get_ex(model, "api_key_breakdown", &keys) ||
                !json_object_is_type(keys, json_type_object) || !json_object_object_get_ex(keys, whole->key_id, &of_key))
                continue;
            if (!read_metrics(of_key, &usage, err))
                return false;
            provider_quote(name, strlen(name), usage.model, sizeof usage.model);
            rest.micro_dollars -= usage.micro_dollars;
            rest.input_tokens -= usage.input_tokens;
            rest.cached_tokens -= usage.cached_tokens;
            rest.output_tokens -= usage.output_tokens;
            rest.requests -= usage.requests;
            if (!reading_add_usage(reading, &usage, err))
                return false;
        }
    }
    if (rest.micro_dollars <= 0)
        return true;
    rest.input_tokens = rest.input_tokens > 0 ? rest.input_tokens : 0;
    rest.cached_tokens = rest.cached_tokens > 0 ? rest.cached_tokens : 0;
    if (rest.cached_tokens > rest.input_tokens) /* some of it, whatever the models' share was told to be */
        rest.cached_tokens = rest.input_tokens;
    rest.output_tokens = rest.output_tokens > 0 ? rest.output_tokens : 0;
    rest.requests = rest.requests > 0 ? rest.requests : 0;
    return reading_add_usage(reading, &rest, err);
}

static bool read_day(struct reading *reading, struct json_object *day, struct error *err)
{
    struct json_object *breakdown, *keys, *models = NULL;
    int64_t at;
    if (!json_object_is_type(day, json_type_object))
        return error_set(err, ERROR_PROTOCOL, "an entry of 'results' is no object");
    char date[32], midnight[48];
    if (!json_get_string(day, "date", date, sizeof date, err))
        return false;
    snprintf(midnight, sizeof midnight, "%.10sT00:00:00Z", date);
    json_object_object_add(day, "midnight", json_object_new_string(midnight));
    if (!form_get_time(day, "midnight", &at, NULL) || at < 0)
        return error_set(err, ERROR_PROTOCOL, "field 'date' is no date");
    if (!json_get_object(day, "breakdown", &breakdown, err) || !json_get_object(breakdown, "api_keys", &keys, err))
        return false;
    if (!json_object_object_get_ex(breakdown, "models", &models) || !json_object_is_type(models, json_type_object))
        models = NULL;
    json_object_object_foreach(keys, id, key) {
        struct provider_usage usage = {.kind = PROVIDER_USAGE_BILL, .container_id = PROVIDER_ACCOUNT, .day = at / FORM_DAY_MS};
        if (!provider_id_valid(id) || strncmp(id, "sk-", 3) == 0) /* what is nobody's key has words in its place */
            continue;
        snprintf(usage.key_id, sizeof usage.key_id, "%s", id);
        if (!read_metrics(key, &usage, err) || !read_key_day(reading, models, &usage, err))
            return false;
    }
    return true;
}

static enum provider_next parse_usage(struct reading *reading)
{
    struct provider_progress *progress = reading->progress;
    struct error *err = &reading->result->error;
    cleanup_json struct json_object *page = NULL;
    struct json_object *days, *metadata;
    int64_t pages;
    if (!reading_body(reading, &page) || !json_get_array(page, "results", &days, err) ||
        !json_get_object(page, "metadata", &metadata, err) || !json_get_integer(metadata, "total_pages", &pages, err))
        return reading_unreadable(reading);
    if (pages > 1 && !progress->cursor[0]) {
        progress->index = (size_t)pages - 1;
        snprintf(progress->cursor, sizeof progress->cursor, "%s", backwards);
        return PROVIDER_NEXT_REQUEST;
    }
    if (!reading_each(reading, days, read_day, err))
        return reading_unreadable(reading);
    if (progress->index) {
        progress->index--;
        return PROVIDER_NEXT_REQUEST;
    }
    if (progress->step == STEP_SETTLED_DAYS || first_fresh_day(reading->call) == reading->call->since / FORM_DAY_MS)
        return reading_conclude(reading, OUTCOME_OK);
    progress->step = STEP_SETTLED_DAYS;
    progress->cursor[0] = '\0';
    return PROVIDER_NEXT_REQUEST;
}

static enum provider_next parse_success(struct reading *reading)
{
    if (reading->progress->step & MISSING_LIST)
        return parse_list(reading);
    switch (reading->call->verb) {
    case PROVIDER_FIND_KEYS:
    case PROVIDER_INVENTORY:
    case PROVIDER_CHECK:
        return parse_list(reading);
    case PROVIDER_USAGE:
        return parse_usage(reading);
    case PROVIDER_MINT_KEY:
        return parse_mint(reading);
    case PROVIDER_LIMIT_KEY:
        return parse_limited(reading);
    case PROVIDER_REVOKE_KEY:
        return parse_revoked(reading);
    case PROVIDER_SUSPEND_KEY:
    case PROVIDER_RESUME_KEY:
        return parse_blocked(reading);
    default:
        return reading_conclude(reading, OUTCOME_UNKNOWN); /* cannot be asked */
    }
}

/* --- refusals --- */

static bool says_alias_taken(const struct http_answer *answer, const struct provider_complaint *complaint)
{
    return (answer->status == 400 || answer->status == 409) && complaint->readable &&
           strcasestr(complaint->message, "alias") && strcasestr(complaint->message, "already exists");
}

/* Whether what was chosen is the secret of the key that CALL is about: not of one that was in the way of its alias. */
static bool secret_is_at_hand(const struct provider_call *call)
{
    char hash[SECRET_FINGERPRINT_SIZE];
    if (!call->chosen)
        return false;
    secret_fingerprint(call->chosen, hash);
    return strcmp(hash, call->key_id) == 0;
}

static enum provider_next parse_failure(struct reading *reading)
{
    const struct provider_call *call = reading->call;
    struct provider_progress *progress = reading->progress;
    struct provider_complaint complaint;
    form_read_complaint(reading->answer, &complaint);
    bool not_found = reading->answer->status == 404 && complaint.readable;
    if (call->verb == PROVIDER_MINT_KEY && progress->step == STEP_ASK && says_alias_taken(reading->answer, &complaint))
        return go_on(reading, STEP_LOOK);
    if (call->verb == PROVIDER_MINT_KEY && progress->step != STEP_ASK && not_found)
        return go_on(reading, STEP_WHOSE);
    if (not_found && missing_may(call) && !(progress->step & MISSING_LIST))
        return missing_begin(progress, progress->step == STEP_ASK, secret_is_at_hand(call));
    provider_judge(provider_judged_verb(call, progress), who, reading->answer, &complaint, reading->result);
    return PROVIDER_NEXT_DONE;
}

static enum provider_next litellm_parse(const struct provider_settings *settings, const struct provider_call *call,
                                        struct provider_progress *progress, const struct http_answer *answer,
                                        struct provider_result *result)
{
    struct reading reading = {who, settings, call, progress, answer, result};
    if (progress->step & MISSING_KEY)
        return missing_key_answered(&reading);
    return http_succeeded(answer) ? parse_success(&reading) : parse_failure(&reading);
}

static bool litellm_check(const struct provider_settings *settings, struct error *err)
{
    if (!settings->base_url[0])
        return error_set(err, ERROR_INVALID, "%s is a proxy of your own: write base-url = https://its.address", who);
    if (http_url_loopback(settings->base_url) && !settings->guest_base_url[0])
        return error_set(err, ERROR_INVALID,
                         "guests cannot reach a base-url on this host's loopback: write guest-base-url = where they find it");
    return true;
}

const struct provider_driver provider_litellm = {
    .type = "litellm",
    .default_environment = "OPENAI_API_KEY", /* it is a proxy for clients of OpenAI's API */
    .serves_guests = true,
    .settings = PROVIDER_TAKES_RATE_LIMIT | PROVIDER_TAKES_MODELS | PROVIDER_TAKES_EXPIRES,
    .capabilities = PROVIDER_CAN_MINT | PROVIDER_CAN_LIST | PROVIDER_CAN_SUSPEND | PROVIDER_CAN_LIMIT_KEY |
                    PROVIDER_CAN_CHANGE_LIMIT | PROVIDER_CHOOSES_SECRET | PROVIDER_CAN_USAGE | PROVIDER_KEY_IS_ASKED,
    .lag = {.billed_ms = 2 * 60 * 1000}, /* it writes to its database every 10 to 15 s (PROXY_BATCH_WRITE_AT) */
    .check = litellm_check,
    .build = litellm_build,
    .parse = litellm_parse,
};
