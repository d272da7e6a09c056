/* What was used and what it cost at OpenAI. Two reports, each in buckets of one UTC day, asked for a batch of projects at
 * a time: /costs are dollars by project, key and line item, hours later; /usage/completions are tokens by project, key
 * and model, within minutes.
 *
 * A page holds so many days, however many rows they have: so it is the number of projects and their keys in a batch, and
 * of days in a page where one project has many keys, that bound an answer. A line item is "MODEL, input" or the like, or
 * another service's name; what stands before the comma is taken for the model. */
#include "base/json.h"
#include "providers/form.h"
#include "providers/openai.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BATCH_PROJECTS = 100, /* 44 characters of URL each */
    BATCH_KEYS = 400,
    PAGE_DAYS_MAX = 7,
    /* What a key has in a day, about: three rows of tokens of 700 bytes each, or nine of costs of 300. */
    KEY_DAY_SIZE = 3 * 1024,
    ANSWER_WISHED = 8 * 1024 * 1024,
    ANSWER_MAX = 32 * 1024 * 1024, /* a page cannot have less than a day, nor a batch less than a project */
    DAY_SECONDS = 86400,
    URL_RESERVE = 1024, /* bytes of URL for all but the projects */
};

/* How many of the scopes from START on one request asks about. At least one. */
static size_t batch(const struct provider_call *call, size_t start)
{
    size_t count = 0, keys = 0, length = 0;
    while (start + count < call->scopes_count && count < BATCH_PROJECTS) {
        const struct provider_scope *scope = &call->scopes[start + count];
        keys += scope->keys;
        length += strlen(scope->container_id) + strlen("&project_ids[]=");
        if (count && (keys > BATCH_KEYS || length > sizeof ((struct http_request *)0)->url - URL_RESERVE))
            break;
        count++;
    }
    return count;
}

/* Of a batch. The same for all its pages: a cursor goes with what was asked. */
static int page_days(const struct provider_call *call, size_t start, size_t count)
{
    size_t keys = 1;
    for (size_t i = start; i < start + count; i++)
        keys += call->scopes[i].keys;
    size_t days = ANSWER_WISHED / KEY_DAY_SIZE / keys;
    return days > PAGE_DAYS_MAX ? PAGE_DAYS_MAX : days ? (int)days : 1;
}

/* --- asking --- */

bool openai_build_usage(const struct provider_settings *settings, const struct provider_call *call,
                        const struct provider_progress *progress, struct http_request *request, struct error *err)
{
    bool costs = progress->step == USAGE_COSTS;
    /* `end_time` is exclusive: rounded down, it would leave out what was spent in the second that has begun. */
    int64_t start = call->since / 1000, end = (call->until + 999) / 1000;
    if (!call->scopes_count) /* the whole organisation would be answered for */
        return error_set(err, ERROR_INVALID, "usage is asked for without a project");
    if (call->since < 0 || start >= end)
        return error_set(err, ERROR_INVALID, "usage is asked for without a time");
    size_t count = batch(call, progress->index);
    request->answer_max = ANSWER_MAX;
    if (!openai_put_url(settings, request, err,
                        "%s?start_time=%" PRId64 "&end_time=%" PRId64 "&bucket_width=1d&limit=%d&group_by[]=project_id"
                        "&group_by[]=api_key_id&group_by[]=%s",
                        costs ? "/costs" : "/usage/completions", start - start % DAY_SECONDS, end,
                        page_days(call, progress->index, count), costs ? "line_item" : "model"))
        return false;
    for (size_t i = progress->index; i < progress->index + count; i++) {
        if (!provider_id_valid(call->scopes[i].container_id))
            return error_set(err, ERROR_INVALID, "the project's id is empty or holds what no id of " OPENAI_WHO "'s has");
        if (!form_append_url(request, err, "&project_ids[]=%s", call->scopes[i].container_id))
            return false;
    }
    char cursor[3 * sizeof progress->cursor];
    form_escape(progress->cursor, cursor, sizeof cursor);
    return !*cursor || form_append_url(request, err, "&page=%s", cursor);
}

/* --- reading --- */

static void read_model(struct json_object *row, const char *field, char model[PROVIDER_MODEL_SIZE])
{
    struct json_object *value = NULL;
    model[0] = '\0';
    if (!json_object_object_get_ex(row, field, &value) || !json_object_is_type(value, json_type_string))
        return;
    const char *text = json_object_get_string(value), *comma = strchr(text, ',');
    provider_quote(text, comma ? (size_t)(comma - text) : strlen(text), model, PROVIDER_MODEL_SIZE);
}

/* Dollars as a number, or as some have seen it as a string of one. What is given back counts as nothing: a credit does
 * not raise a limit. Nor does what has no amount: the specification has all of it optional (CostsResult), and one such row
 * must not keep the others from being read. */
static bool read_amount(struct json_object *row, int64_t *ret_micro, struct error *err)
{
    struct json_object *amount, *value = NULL;
    char currency[16] = "usd", *end = NULL;
    *ret_micro = 0;
    if (!json_has(row, "amount"))
        return true;
    if (!json_get_object(row, "amount", &amount, err) ||
        (json_has(amount, "currency") && !json_get_string(amount, "currency", currency, sizeof currency, err)))
        return false;
    if (strcasecmp(currency, "usd") != 0)
        return error_set(err, ERROR_PROTOCOL, "field 'currency' is not 'usd'");
    if (!json_object_object_get_ex(amount, "value", &value) || !value)
        return true;
    double dollars = NAN;
    if (json_object_is_type(value, json_type_double) || json_object_is_type(value, json_type_int))
        dollars = json_object_get_double(value);
    else if (json_object_is_type(value, json_type_string))
        dollars = strtod(json_object_get_string(value), &end);
    if (!isfinite(dollars) || fabs(dollars) > 1e9 || (end && (*end || end == json_object_get_string(value))))
        return error_set(err, ERROR_PROTOCOL, "field 'value' is no amount");
    *ret_micro = dollars > 0 ? (int64_t)(dollars * 1e6 + 0.5) : 0;
    return true;
}

/* "Cache writes have no additional fee on models before the GPT-5.6 family. For GPT-5.6 models and later model families,
 * cache writes cost 1.25x the uncached input token rate" (OpenAI's guide to prompt caching). */
static bool pays_for_writes(const char *model)
{
    return strncmp(model, "gpt-", 4) == 0 && strtod(model + 4, NULL) >= 5.6;
}

static bool read_row(struct reading *reading, int64_t day, struct json_object *row, struct error *err)
{
    bool costs = reading->progress->step == USAGE_COSTS;
    struct provider_usage usage = {.kind = costs ? PROVIDER_USAGE_BILL : PROVIDER_USAGE_TOKENS,
                                   .day = day,
                                   .micro_dollars = -1};
    if (!json_object_is_type(row, json_type_object))
        return error_set(err, ERROR_PROTOCOL, "an entry of 'results' is no object");
    if (!form_get_optional_id(row, "project_id", "", usage.container_id, err) ||
        !form_get_optional_id(row, "api_key_id", "", usage.key_id, err))
        return false;
    read_model(row, costs ? "line_item" : "model", usage.model);
    if (costs ? !read_amount(row, &usage.micro_dollars, err)
              : !form_get_count(row, "input_tokens", &usage.input_tokens, err) ||
                    !form_get_count(row, "input_cached_tokens", &usage.cached_tokens, err) ||
                    !form_get_count(row, "input_cache_write_tokens", &usage.written_tokens, err) ||
                    !form_get_count(row, "output_tokens", &usage.output_tokens, err) ||
                    !form_get_count(row, "num_model_requests", &usage.requests, err))
        return false;
    if (usage.cached_tokens > usage.input_tokens)
        return error_set(err, ERROR_PROTOCOL, "field 'input_cached_tokens' is more than all input");
    if (!pays_for_writes(usage.model))
        usage.written_tokens = 0;
    if (usage.written_tokens > usage.input_tokens - usage.cached_tokens)
        usage.written_tokens = usage.input_tokens - usage.cached_tokens;
    if (!usage.container_id[0])
        return true; /* of the organisation, no project's */
    return reading_add_usage(reading, &usage, err);
}

static bool read_bucket(struct reading *reading, struct json_object *bucket, struct error *err)
{
    struct json_object *results;
    int64_t start;
    if (!json_get_integer(bucket, "start_time", &start, err))
        return false;
    if (start < 0 || start > INT64_MAX / 1000)
        return error_set(err, ERROR_PROTOCOL, "field 'start_time' is no time");
    if (!json_get_array(bucket, "results", &results, err))
        return false;
    for (size_t i = 0; i < json_object_array_length(results); i++)
        if (!read_row(reading, start / DAY_SECONDS, json_object_array_get_idx(results, i), err))
            return false;
    return true;
}

static bool cursor_valid(const char *cursor, struct error *err)
{
    for (; *cursor; cursor++)
        if (*cursor <= ' ' || *cursor > '~')
            return error_set(err, ERROR_PROTOCOL, "field 'next_page' holds what no cursor has");
    return true;
}

enum provider_next openai_parse_usage(struct reading *reading)
{
    struct provider_progress *progress = reading->progress;
    struct error *err = &reading->result->error;
    cleanup_json struct json_object *page = NULL;
    struct json_object *data;
    if (!reading_body(reading, &page) || !json_get_array(page, "data", &data, err) ||
        !reading_each(reading, data, read_bucket, err) || !reading_next_page(reading, page, err) ||
        !cursor_valid(progress->cursor, err))
        return reading_unreadable(reading);
    if (progress->cursor[0])
        return PROVIDER_NEXT_REQUEST;
    progress->index += batch(reading->call, progress->index);
    if (progress->index < reading->call->scopes_count)
        return PROVIDER_NEXT_REQUEST;
    if (progress->step == USAGE_COMPLETIONS)
        return reading_conclude(reading, OUTCOME_OK);
    progress->step = USAGE_COMPLETIONS;
    progress->index = 0;
    return PROVIDER_NEXT_REQUEST;
}
