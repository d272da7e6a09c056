/*
 * Costs and completions usage: the same charges, cut into time buckets and added up by group.
 * Exact at once, unless the knobs make them late and corrected afterwards as the real ones are.
 */
#include "openai.h"

#include "billing.h"
#include "clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct report {
    struct call *call;
    int64_t start, end, width, limit; /* seconds, seconds, seconds, buckets */
    bool by_project, by_key, by_model;
    bool costs;
};

/* What is added up within one bucket. An unset dimension is NULL. */
struct sum {
    const struct project *project;
    const struct key *key;
    const char *model;
    int64_t requests, input_tokens, output_tokens, micro_usd;
};

enum { MAX_GROUPS = 4096 };

static bool refuse(struct call *call, const char *param, const char *message)
{
    openai_error(call->answer, 400, "invalid_request_error", "invalid_value", param, message);
    return false;
}

static bool whole_number(const char *text, int64_t *out)
{
    char *end;

    *out = strtoll(text, &end, 10);
    return *text != '\0' && *end == '\0';
}

static bool read_groups(struct report *report)
{
    const struct request *request = report->call->request;
    const char *const *known;
    static const char *const of_costs[] = {"project_id", "line_item", "api_key_id", NULL};
    static const char *const of_usage[] = {"project_id", "user_id", "api_key_id", "model",
                                           "batch",      "service_tier", NULL};

    for (size_t i = 0; i < request->n_query; i++) {
        const char *value = request->query[i].value;

        if (!parameter_is(&request->query[i], "group_by"))
            continue;
        known = report->costs ? of_costs : of_usage;
        while (*known != NULL && strcmp(*known, value) != 0)
            known++;
        if (*known == NULL)
            return refuse(report->call, "group_by", "Invalid 'group_by'.");
        report->by_project |= strcmp(value, "project_id") == 0;
        report->by_key |= strcmp(value, "api_key_id") == 0;
        report->by_model |= strcmp(value, "model") == 0 || strcmp(value, "line_item") == 0;
    }
    return true;
}

static bool read_width(struct report *report, int64_t *most)
{
    const char *width = request_query(report->call->request, "bucket_width");

    if (width == NULL || strcmp(width, "1d") == 0) {
        report->width = 86400;
        report->limit = 7;
        *most = report->costs ? 180 : 31;
    } else if (!report->costs && strcmp(width, "1h") == 0) {
        report->width = 3600;
        report->limit = 24;
        *most = 168;
    } else if (!report->costs && strcmp(width, "1m") == 0) {
        report->width = 60;
        report->limit = 60;
        *most = 1440;
    } else {
        return refuse(report->call, "bucket_width", "Invalid 'bucket_width'.");
    }
    return true;
}

static bool read_report(struct report *report)
{
    const struct request *request = report->call->request;
    const char *start = request_query(request, "start_time");
    const char *end = request_query(request, "end_time");
    const char *limit = request_query(request, "limit");
    const char *page = request_query(request, "page");
    int64_t most = 0;

    if (start == NULL || !whole_number(start, &report->start) || report->start < 0)
        return refuse(report->call, "start_time", "Invalid 'start_time': expected unix seconds.");
    report->end = unix_ms() / 1000 + 1;
    if (end != NULL && (!whole_number(end, &report->end) || report->end <= report->start))
        return refuse(report->call, "end_time", "Invalid 'end_time': expected unix seconds after the start.");
    if (!read_width(report, &most) || !read_groups(report))
        return false;
    if (limit != NULL &&
        (!whole_number(limit, &report->limit) || report->limit < 1 || report->limit > most))
        return refuse(report->call, "limit", "Invalid 'limit' for this bucket width.");
    if (page != NULL) {
        if (strncmp(page, "page_", 5) != 0 || !whole_number(page + 5, &report->start))
            return refuse(report->call, "page", "Invalid 'page'.");
    }
    report->start -= report->start % report->width;
    return true;
}

static struct sum *sum_of(struct sum *sums, size_t *n_sums, const struct report *report,
                          const struct charge *charge)
{
    struct sum wanted = {
        .project = report->by_project ? charge->project : NULL,
        .key = report->by_key ? charge->key : NULL,
        .model = report->by_model ? charge->model : NULL,
    };

    for (size_t i = 0; i < *n_sums; i++) {
        if (sums[i].project == wanted.project && sums[i].key == wanted.key &&
            sums[i].model == wanted.model)
            return &sums[i];
    }
    if (*n_sums == MAX_GROUPS)
        return &sums[MAX_GROUPS - 1];
    sums[*n_sums] = wanted;
    return &sums[(*n_sums)++];
}

static struct json_object *cost_json(const struct sum *sum)
{
    struct json_object *object = json_object_new_object();
    struct json_object *amount = json_object_new_object();
    char text[32];

    /* its own text, because 0.1 would be written with seventeen digits */
    snprintf(text, sizeof(text), "%.6f", (double)sum->micro_usd / 1e6);
    json_object_object_add(amount, "value",
                           json_object_new_double_s((double)sum->micro_usd / 1e6, text));
    put_string(amount, "currency", "usd");
    put_string(object, "object", "organization.costs.result");
    json_object_object_add(object, "amount", amount);
    put_string(object, "line_item", sum->model);
    put_string(object, "project_id", sum->project != NULL ? sum->project->id : NULL);
    put_string(object, "api_key_id", sum->key != NULL ? sum->key->id : NULL);
    return object;
}

static struct json_object *usage_json(const struct sum *sum)
{
    struct json_object *object = json_object_new_object();

    put_string(object, "object", "organization.usage.completions.result");
    put_int(object, "input_tokens", sum->input_tokens);
    put_int(object, "output_tokens", sum->output_tokens);
    put_int(object, "input_cached_tokens", 0);
    put_int(object, "num_model_requests", sum->requests);
    put_string(object, "project_id", sum->project != NULL ? sum->project->id : NULL);
    put_string(object, "user_id", NULL);
    put_string(object, "api_key_id", sum->key != NULL ? sum->key->id : NULL);
    put_string(object, "model", sum->model);
    put_string(object, "batch", NULL);
    put_string(object, "service_tier", NULL);
    return object;
}

static struct json_object *bucket_json(const struct report *report, int64_t start, struct sum *sums)
{
    const struct store *store = report->call->store;
    const struct request *request = report->call->request;
    struct json_object *object = json_object_new_object();
    struct json_object *results = json_object_new_array();
    size_t n_sums = 0;

    for (size_t i = 0; i < store->n_charges; i++) {
        const struct charge *charge = &store->charges[i];
        struct sum *sum;

        if (charge->project->organisation != report->call->organisation)
            continue;
        if (charge->at < start || charge->at >= start + report->width || charge->at >= report->end)
            continue;
        if (!billing_shown(&store->knobs, charge->at, report->costs))
            continue;
        if (!request_passes(request, "project_ids", charge->project->id) ||
            !request_passes(request, "api_key_ids", charge->key != NULL ? charge->key->id : NULL))
            continue;
        /* a corrected spend has no tokens: it is money, not usage */
        if (!report->costs && (charge->model == NULL || !request_passes(request, "models", charge->model)))
            continue;
        sum = sum_of(sums, &n_sums, report, charge);
        sum->requests++;
        sum->input_tokens += charge->input_tokens;
        sum->output_tokens += charge->output_tokens;
        sum->micro_usd += billing_draft(&store->knobs, charge->at, charge->micro_usd);
    }
    for (size_t i = 0; i < n_sums; i++)
        json_object_array_add(results, report->costs ? cost_json(&sums[i]) : usage_json(&sums[i]));
    put_string(object, "object", "bucket");
    put_int(object, "start_time", start);
    put_int(object, "end_time", start + report->width);
    json_object_object_add(object, "results", results);
    return object;
}

static void answer_report(struct call *call, bool costs)
{
    struct report report = {.call = call, .costs = costs};
    struct json_object *object, *data;
    struct sum *sums;
    char page[32];
    int64_t at;

    if (!read_report(&report))
        return;
    sums = calloc(MAX_GROUPS, sizeof(*sums));
    if (sums == NULL)
        abort();
    data = json_object_new_array();
    for (at = report.start; at < report.end && report.limit > 0; at += report.width, report.limit--)
        json_object_array_add(data, bucket_json(&report, at, sums));
    free(sums);
    snprintf(page, sizeof(page), "page_%" PRId64, at);
    object = json_object_new_object();
    put_string(object, "object", "page");
    json_object_object_add(object, "data", data);
    put_bool(object, "has_more", at < report.end);
    put_string(object, "next_page", at < report.end ? page : NULL);
    answer_json(call->answer, 200, object);
}

void openai_costs(struct call *call)
{
    answer_report(call, true);
}

void openai_usage_completions(struct call *call)
{
    answer_report(call, false);
}
