/*
 * What was spent by day, key and model, as in the package litellm 1.110.2 from PyPI (GET /user/daily/activity). A page is
 * so many rows of its table of daily spend, one for each of these; an answer adds up the rows of its page alone.
 */
#include "billing.h"
#include "clock.h"
#include "gateway.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct row {
    int64_t day; /* since 1970 */
    const struct gateway_key *key;
    const char *model;
    int64_t requests, input_tokens, output_tokens, micro_usd;
};

static void refuse(struct call *call, int status, const char *why)
{
    struct json_object *object = json_object_new_object(), *detail = json_object_new_object();

    put_string(detail, "error", why);
    json_object_object_add(object, "detail", detail);
    answer_json(call->answer, status, object);
}

static bool read_day(const char *text, int64_t *day)
{
    struct tm date = {.tm_isdst = 0};
    const char *end = text != NULL ? strptime(text, "%Y-%m-%d", &date) : NULL;

    *day = (int64_t)timegm(&date) / 86400;
    return end != NULL && *end == '\0';
}

/* From 1 on; -1: it is no such number. */
static int64_t number(struct call *call, const char *name, int64_t fallback, int64_t most)
{
    const char *text = request_query(call->request, name);
    char *end = "";
    int64_t value = text != NULL ? strtoll(text, &end, 10) : fallback;

    return *end != '\0' || value < 1 || value > most ? -1 : value;
}

/* The latest day first. */
static int compare(const void *a, const void *b)
{
    const struct row *one = a, *other = b;

    if (one->day != other->day)
        return one->day > other->day ? -1 : 1;
    if (one->key != other->key)
        return strcmp(one->key->sha256, other->key->sha256);
    return strcmp(one->model, other->model);
}

static struct row *gather(struct call *call, int64_t first, int64_t last, size_t *count)
{
    const struct store *store = call->store;
    const struct gateways *gateways = store->gateways;
    struct row *rows = calloc(gateways->n_charges + 1, sizeof(*rows));
    size_t kept = 0;

    if (rows == NULL)
        abort();
    for (size_t i = 0; i < gateways->n_charges; i++) {
        const struct gateway_charge *charge = &gateways->charges[i];
        int64_t day = charge->at / 86400;

        if (charge->key->gateway != GATEWAY_LITELLM || charge->key->organisation != call->organisation || day < first ||
            day > last || !billing_shown(&store->knobs, charge->at, false))
            continue;
        rows[kept++] = (struct row){day, charge->key, charge->model != NULL ? charge->model : "", charge->model != NULL,
                                    charge->input_tokens, charge->output_tokens, charge->micro_usd};
    }
    qsort(rows, kept, sizeof(*rows), compare);
    *count = 0;
    for (size_t i = 0; i < kept; i++) {
        if (*count == 0 || compare(&rows[*count - 1], &rows[i]) != 0) {
            rows[(*count)++] = rows[i];
            continue;
        }
        rows[*count - 1].requests += rows[i].requests;
        rows[*count - 1].input_tokens += rows[i].input_tokens;
        rows[*count - 1].output_tokens += rows[i].output_tokens;
        rows[*count - 1].micro_usd += rows[i].micro_usd;
    }
    return rows;
}

static void add_number(struct json_object *object, const char *name, int64_t more)
{
    put_int(object, name, get_int(object, name, 0) + more);
}

static void add_metrics(struct json_object *object, const struct row *row)
{
    struct json_object *metrics, *spend;
    double before = 0;

    if (!json_object_object_get_ex(object, "metrics", &metrics)) {
        metrics = json_object_new_object();
        json_object_object_add(object, "metrics", metrics);
    }
    if (json_object_object_get_ex(metrics, "spend", &spend))
        before = json_object_get_double(spend);
    json_object_object_add(metrics, "spend", json_object_new_double(before + (double)row->micro_usd / 1e6));
    add_number(metrics, "prompt_tokens", row->input_tokens);
    add_number(metrics, "completion_tokens", row->output_tokens);
    add_number(metrics, "cache_read_input_tokens", 0);
    add_number(metrics, "cache_creation_input_tokens", 0);
    add_number(metrics, "total_tokens", row->input_tokens + row->output_tokens);
    add_number(metrics, "successful_requests", row->requests);
    add_number(metrics, "failed_requests", 0);
    add_number(metrics, "api_requests", row->requests);
}

/* OBJECT's member of that name, made where there is none. */
static struct json_object *member(struct json_object *object, const char *name)
{
    struct json_object *found;

    if (!json_object_object_get_ex(object, name, &found)) {
        found = json_object_new_object();
        json_object_object_add(object, name, found);
    }
    return found;
}

static void add_of_key(struct json_object *keys, const struct row *row)
{
    struct json_object *key = member(keys, row->key->sha256), *metadata = member(key, "metadata");

    put_string(metadata, "key_alias", row->key->name[0] != '\0' ? row->key->name : NULL);
    put_string(metadata, "team_id", NULL);
    put_bool(metadata, "key_exists", row->key->deleted_ms == 0);
    add_metrics(key, row);
}

static void add_to_day(struct json_object *day, const struct row *row)
{
    struct json_object *breakdown = member(day, "breakdown"), *model;

    member(breakdown, "mcp_servers");
    add_metrics(day, row);
    add_of_key(member(breakdown, "api_keys"), row);
    member(breakdown, "models");
    if (row->model[0] == '\0')
        return;
    model = member(member(breakdown, "models"), row->model);
    member(model, "metadata");
    add_metrics(model, row);
    add_of_key(member(model, "api_key_breakdown"), row);
}

void litellm_daily_activity(struct call *call)
{
    int64_t page = number(call, "page", 1, INT32_MAX), size = number(call, "page_size", 50, 1000), first, last, day = -1;
    struct json_object *object, *results, *metadata, *of_day = NULL;
    size_t count;
    struct row *rows;

    if (!read_day(request_query(call->request, "start_date"), &first) ||
        !read_day(request_query(call->request, "end_date"), &last)) {
        refuse(call, 400, "Please provide start_date and end_date");
        return;
    }
    if (page < 0 || size < 0) {
        refuse(call, 422, "Input should be less than or equal to 1000");
        return;
    }
    size = knobs_page(&call->store->knobs, size);
    rows = gather(call, first, last, &count);
    results = json_object_new_array();
    for (size_t i = (size_t)((page - 1) * size); i < count && i < (size_t)(page * size); i++) {
        if (rows[i].day != day) {
            time_t seconds = (time_t)(rows[i].day * 86400);
            struct tm date;
            char text[16];

            gmtime_r(&seconds, &date);
            strftime(text, sizeof(text), "%Y-%m-%d", &date);
            day = rows[i].day;
            of_day = json_object_new_object();
            put_string(of_day, "date", text);
            json_object_array_add(results, of_day);
        }
        add_to_day(of_day, &rows[i]);
    }
    free(rows);
    metadata = json_object_new_object();
    put_int(metadata, "page", page);
    put_int(metadata, "total_pages", ((int64_t)count + size - 1) / size);
    put_bool(metadata, "has_more", page * size < (int64_t)count);
    object = json_object_new_object();
    json_object_object_add(object, "results", results);
    json_object_object_add(object, "metadata", metadata);
    answer_json(call->answer, 200, object);
}
