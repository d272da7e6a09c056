/* What was used and what it cost at Anthropic. Two reports in buckets of one UTC day: usage_report/messages are tokens by
 * key, workspace and model, within minutes; cost_report are cents by workspace, model and kind of token, hours later, and
 * never by key. So a cost is divided among the keys of its workspace by how many of those tokens each used on that day: a
 * kind of token of one model has one price, so that is what each key costs, as long as none of them uses the fast mode, long
 * prompts or another region than the others, which cost more and are not told apart. What no token tells of (time of running
 * code) is divided by all tokens. Keys of others take their share like ours. Where domains have tokens of a federation, their
 * service accounts stand in the place of keys.
 *
 * Fields, limits and the day that a bucket must have ended by are those of Anthropic's reference of its Admin API (November
 * 2026), which calls both reports legacy. Since October 2026 there is a beta, analytics/cost, that tells costs by key; how
 * late it is nobody says, and some organisations are refused it. */
#include "base/json.h"
#include "providers/anthropic.h"
#include "providers/anthropic-federation.h"
#include "providers/form.h"

#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PAGE_DAYS_MAX = 31,
    ROW_SIZE = 512,   /* bytes, about */
    KEY_ROWS = 3,     /* models that a key uses in a day, for choosing how many days a page has */
    ANSWER_WISHED = 8 * 1024 * 1024,
    ANSWER_MAX = 32 * 1024 * 1024, /* a page cannot have less than a day, however many keys there are */
    WORKSPACES_ASKED_MAX = 50,
};

/* --- asking --- */

/* By what usage is told apart: tokens of a federation have no key, and a service account for each domain. */
static const char *by(const struct provider_settings *settings)
{
    return federation_per_domain(settings) ? "service_account_id" : "api_key_id";
}

static int page_days(const struct provider_call *call)
{
    size_t keys = 1;
    for (size_t i = 0; i < call->scopes_count; i++)
        keys += call->scopes[i].keys;
    size_t days = ANSWER_WISHED / ROW_SIZE / KEY_ROWS / keys;
    return days > PAGE_DAYS_MAX ? PAGE_DAYS_MAX : days ? (int)days : 1;
}

/* Only where all our keys are in some workspaces: the whole account has no id. A federation is in one. */
static bool put_workspaces(const struct provider_settings *settings, const struct provider_call *call, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    if (federation_per_domain(settings)) {
        snprintf(text, size, "&workspace_ids%%5B%%5D=%s", settings->federation.workspace);
        return true;
    }
    if (call->scopes_count > WORKSPACES_ASKED_MAX)
        return true;
    for (size_t i = 0; i < call->scopes_count; i++)
        if (strcmp(call->scopes[i].container_id, PROVIDER_ACCOUNT) == 0)
            return true;
    for (size_t i = 0; i < call->scopes_count; i++) {
        if (!provider_id_valid(call->scopes[i].container_id))
            return false;
        used += (size_t)snprintf(text + used, size - used, "&workspace_ids%%5B%%5D=%s", call->scopes[i].container_id);
    }
    return true;
}

bool anthropic_build_usage(const struct provider_settings *settings, const struct provider_call *call,
                           const struct provider_progress *progress, struct http_request *request, struct error *err)
{
    char workspaces[WORKSPACES_ASKED_MAX * (RECORD_REMOTE_ID_SIZE + 24)], path[sizeof workspaces + 256];
    char since[32], until[32];
    if (!call->scopes_count)
        return error_set(err, ERROR_INVALID, "usage is asked for without a workspace");
    if (call->since < 0 || call->since >= call->until)
        return error_set(err, ERROR_INVALID, "usage is asked for without a time");
    if (!put_workspaces(settings, call, workspaces, sizeof workspaces))
        return error_set(err, ERROR_INVALID, "the workspace's id is empty or holds what no id of " ANTHROPIC_WHO "'s has");
    form_write_time(call->since / FORM_DAY_MS * FORM_DAY_MS, since, sizeof since);
    form_write_time((call->until / FORM_DAY_MS + 1) * FORM_DAY_MS, until, sizeof until); /* today's ends tomorrow */
    if (progress->step == USAGE_TOKENS)
        snprintf(path, sizeof path,
                 "usage_report/messages?starting_at=%s&ending_at=%s&bucket_width=1d&limit=%d&group_by%%5B%%5D=%s"
                 "&group_by%%5B%%5D=workspace_id&group_by%%5B%%5D=model%s",
                 since, until, page_days(call), by(settings), workspaces);
    else
        snprintf(path, sizeof path,
                 "cost_report?starting_at=%s&ending_at=%s&bucket_width=1d&limit=%d&group_by%%5B%%5D=workspace_id"
                 "&group_by%%5B%%5D=description",
                 since, until, PAGE_DAYS_MAX);
    request->answer_max = ANSWER_MAX;
    return anthropic_put_page_url(settings, progress, request, err, path, "page");
}

/* --- reading --- */

static bool read_tokens(struct json_object *row, const char *user, struct provider_usage *usage, struct error *err)
{
    struct json_object *written = NULL, *tools = NULL;
    int64_t uncached;
    if (!form_get_optional_id(row, user, "", usage->key_id, err) ||
        !form_get_count(row, "uncached_input_tokens", &uncached, err) ||
        !form_get_count(row, "cache_read_input_tokens", &usage->cached_tokens, err) ||
        !form_get_count(row, "output_tokens", &usage->output_tokens, err))
        return false;
    if (json_has(row, "cache_creation") &&
        (!json_get_object(row, "cache_creation", &written, err) ||
         !form_get_count(written, "ephemeral_5m_input_tokens", &usage->written_tokens, err) ||
         !form_get_count(written, "ephemeral_1h_input_tokens", &usage->written_long_tokens, err)))
        return false;
    if (json_has(row, "server_tool_use") && (!json_get_object(row, "server_tool_use", &tools, err) ||
                                             !form_get_count(tools, "web_search_requests", &usage->searches, err)))
        return false;
    usage->input_tokens = uncached + usage->cached_tokens + usage->written_tokens + usage->written_long_tokens;
    return true;
}

/* A decimal number of cents, in a string. What is given back counts as nothing: a credit does not raise a limit. Which
 * tokens it is for stands in key_id until it is divided. */
static bool read_cost(struct json_object *row, struct provider_usage *usage, struct error *err)
{
    char amount[48], currency[8], *end = NULL;
    if (!json_get_string(row, "amount", amount, sizeof amount, err) ||
        !json_get_string(row, "currency", currency, sizeof currency, err))
        return false;
    if (strcasecmp(currency, "usd") != 0)
        return error_set(err, ERROR_PROTOCOL, "field 'currency' is not 'USD'");
    double cents = strtod(amount, &end);
    if (end == amount || *end || !isfinite(cents) || fabs(cents) > 1e11)
        return error_set(err, ERROR_PROTOCOL, "field 'amount' is no amount");
    usage->micro_dollars = cents > 0 ? (int64_t)(cents * FORM_MICRO_PER_CENT + 0.5) : 0;
    form_quote(row, "token_type", usage->key_id, sizeof usage->key_id);
    if (!usage->key_id[0])
        form_quote(row, "cost_type", usage->key_id, sizeof usage->key_id);
    return true;
}

static bool read_row(struct reading *reading, int64_t day, struct json_object *row, struct error *err)
{
    bool tokens = reading->progress->step == USAGE_TOKENS;
    struct provider_usage usage = {.kind = tokens ? PROVIDER_USAGE_TOKENS : PROVIDER_USAGE_BILL, .day = day,
                                   .micro_dollars = -1};
    if (!json_object_is_type(row, json_type_object))
        return error_set(err, ERROR_PROTOCOL, "an entry of 'results' is no object");
    form_quote(row, "model", usage.model, sizeof usage.model);
    if (!form_get_optional_id(row, "workspace_id", PROVIDER_ACCOUNT, usage.container_id, err) ||
        !(tokens ? read_tokens(row, by(reading->settings), &usage, err) : read_cost(row, &usage, err)))
        return false;
    return reading_add_usage(reading, &usage, err);
}

static bool read_bucket(struct reading *reading, struct json_object *bucket, struct error *err)
{
    struct json_object *results;
    int64_t start;
    if (!form_get_time(bucket, "starting_at", &start, err) || !json_get_array(bucket, "results", &results, err))
        return false;
    if (start < 0)
        return error_set(err, ERROR_PROTOCOL, "field 'starting_at' is no time of ours");
    for (size_t i = 0; i < json_object_array_length(results); i++)
        if (!read_row(reading, start / FORM_DAY_MS, json_object_array_get_idx(results, i), err))
            return false;
    return true;
}

static bool read_page(struct reading *reading, struct error *err)
{
    cleanup_json struct json_object *page = NULL;
    struct json_object *data;
    return reading_body(reading, &page) && json_get_array(page, "data", &data, err) &&
           reading_each(reading, data, read_bucket, err) && reading_next_page(reading, page, err);
}

/* --- whose costs they are --- */

static int by_place(const struct provider_usage *one, const struct provider_usage *other, bool models)
{
    if (one->day != other->day)
        return one->day < other->day ? -1 : 1;
    int order = strcmp(one->container_id, other->container_id);
    return order || !models ? order : strcmp(one->model, other->model);
}

/* Tokens first. */
static int compare(const void *a, const void *b)
{
    const struct provider_usage *one = a, *other = b;
    if (one->kind != other->kind)
        return one->kind < other->kind ? -1 : 1;
    return by_place(one, other, true);
}

/* How much of a cost for WHAT is because of this row. */
static int64_t weight(const struct provider_usage *row, const char *what)
{
    if (strcmp(what, "uncached_input_tokens") == 0)
        return row->input_tokens - row->cached_tokens - row->written_tokens - row->written_long_tokens;
    if (strcmp(what, "cache_read_input_tokens") == 0)
        return row->cached_tokens;
    if (strcmp(what, "cache_creation.ephemeral_5m_input_tokens") == 0)
        return row->written_tokens;
    if (strcmp(what, "cache_creation.ephemeral_1h_input_tokens") == 0)
        return row->written_long_tokens;
    if (strcmp(what, "output_tokens") == 0)
        return row->output_tokens;
    if (strcmp(what, "web_search") == 0)
        return row->searches;
    return row->input_tokens + row->output_tokens;
}

/* The first of the COUNT rows of tokens that is not before COST. */
static size_t first_of(const struct provider_usage *rows, size_t count, const struct provider_usage *cost, bool models)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (by_place(&rows[middle], cost, models) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Adds a row for each key that has a share. Nobody used what it is for, as far as is told yet: nobody pays. */
static bool divide(struct reading *reading, size_t tokens, const struct provider_usage *cost, struct error *err)
{
    struct provider_result *result = reading->result;
    bool models = cost->model[0] != '\0';
    size_t first = first_of(result->usage, tokens, cost, models), end = first;
    int64_t whole = 0;
    for (; end < tokens && by_place(&result->usage[end], cost, models) == 0; end++)
        whole += weight(&result->usage[end], cost->key_id);
    for (size_t i = first; i < end && whole > 0; i++) {
        struct provider_usage share = *cost;
        int64_t part = weight(&result->usage[i], cost->key_id);
        if (!part)
            continue;
        memcpy(share.key_id, result->usage[i].key_id, sizeof share.key_id);
        share.micro_dollars = (int64_t)((double)cost->micro_dollars * ((double)part / (double)whole) + 0.5);
        if (!reading_add_usage(reading, &share, err))
            return false;
    }
    return true;
}

static bool divide_all(struct reading *reading, struct error *err)
{
    struct provider_result *result = reading->result;
    size_t all = result->usage_count, tokens = 0;
    if (!all)
        return true;
    qsort(result->usage, all, sizeof *result->usage, compare);
    while (tokens < all && result->usage[tokens].kind == PROVIDER_USAGE_TOKENS)
        tokens++;
    for (size_t i = tokens; i < all; i++) {
        const struct provider_usage cost = result->usage[i]; /* the rows move when one is added */
        if (!divide(reading, tokens, &cost, err))
            return false;
    }
    memmove(result->usage + tokens, result->usage + all, (result->usage_count - all) * sizeof *result->usage);
    result->usage_count -= all - tokens;
    return true;
}

enum provider_next anthropic_parse_usage(struct reading *reading)
{
    struct provider_progress *progress = reading->progress;
    struct error *err = &reading->result->error;
    if (!read_page(reading, err))
        return reading_unreadable(reading);
    if (progress->cursor[0])
        return PROVIDER_NEXT_REQUEST;
    if (progress->step == USAGE_TOKENS) {
        progress->step = USAGE_COSTS;
        return PROVIDER_NEXT_REQUEST;
    }
    return divide_all(reading, err) ? reading_conclude(reading, OUTCOME_OK) : reading_unreadable(reading);
}
