/*
 * Costs and completions usage: the same charges, cut into time buckets and added up by group.
 * Exact at once, unless the knobs make them late and corrected afterwards as the real ones are.
 */
#include "openai.h"

#include "billing.h"
#include "clock.h"
#include "report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct report {
    struct call *call;
    struct report_span span;
    bool by_project, by_key, by_model;
    bool costs;
    struct sum *sums; /* MAX_GROUPS, of the bucket at hand */
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
    static const char *const of_costs[] = {"project_id", "line_item", "api_key_id", NULL};
    static const char *const of_usage[] = {"project_id", "user_id", "api_key_id", "model",
                                           "batch",      "service_tier", NULL};
    const struct request *request = report->call->request;

    if (!report_groups_known(request, report->costs ? of_costs : of_usage))
        return refuse(report->call, "group_by", "Invalid 'group_by'.");
    report->by_project = report_grouped(request, "project_id");
    report->by_key = report_grouped(request, "api_key_id");
    report->by_model = report_grouped(request, "model") || report_grouped(request, "line_item");
    return true;
}

static bool read_report(struct report *report)
{
    const struct request *request = report->call->request;
    const char *start = request_query(request, "start_time");
    const char *end = request_query(request, "end_time");
    const char *limit = request_query(request, "limit");
    const char *page = request_query(request, "page");
    struct report_span *span = &report->span;

    if (start == NULL || !whole_number(start, &span->start) || span->start < 0)
        return refuse(report->call, "start_time", "Invalid 'start_time': expected unix seconds.");
    span->end = unix_ms() / 1000 + 1;
    if (end != NULL && (!whole_number(end, &span->end) || span->end <= span->start))
        return refuse(report->call, "end_time", "Invalid 'end_time': expected unix seconds after the start.");
    if (!report_set_width(span, request_query(request, "bucket_width"), report->costs))
        return refuse(report->call, "bucket_width", "Invalid 'bucket_width'.");
    if (report->costs)
        span->limit_max = 180;
    if (!read_groups(report))
        return false;
    if (limit != NULL && (!whole_number(limit, &span->limit) || span->limit < 1 || span->limit > span->limit_max))
        return refuse(report->call, "limit", "Invalid 'limit' for this bucket width.");
    if (page != NULL && !report_set_page(span, page))
        return refuse(report->call, "page", "Invalid 'page'.");
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

static struct json_object *bucket_json(void *context, int64_t start)
{
    const struct report *report = context;
    const struct report_span *span = &report->span;
    struct sum *sums = report->sums;
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
        if (charge->at < start || charge->at >= start + span->width || charge->at >= span->end)
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
    put_int(object, "end_time", start + span->width);
    json_object_object_add(object, "results", results);
    return object;
}

static void answer_report(struct call *call, bool costs)
{
    struct report report = {.call = call, .costs = costs};
    struct json_object *object;

    if (!read_report(&report))
        return;
    report.sums = calloc(MAX_GROUPS, sizeof(*report.sums));
    if (report.sums == NULL)
        abort();
    object = json_object_new_object();
    put_string(object, "object", "page");
    report_put_page(object, &report.span, bucket_json, &report);
    free(report.sums);
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
