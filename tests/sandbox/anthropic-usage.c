/*
 * Usage and cost reports: the same charges, cut into time buckets and added up by group. The official SDK does not
 * know these two: no official client was there to check them. Exact at once, unless the knobs make them late and corrected
 * afterwards as the real ones are.
 */
#include "anthropic.h"

#include "billing.h"
#include "clock.h"
#include "report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct report {
    struct call *call;
    struct report_span span;
    bool by_workspace, by_key, by_account, by_model;
    bool costs;
    struct sum *sums; /* MAX_GROUPS, of the bucket at hand */
};

/* What is added up within one bucket. An unset dimension is NULL. */
struct sum {
    const struct workspace *workspace;
    const struct console_key *key;
    const char *account;
    const char *model;
    const char *token_type; /* costs by description have one row for each */
    int64_t input_tokens, output_tokens, micro_usd;
};

enum { MAX_GROUPS = 4096 };

static bool refuse(struct call *call, const char *message)
{
    anthropic_error(call->answer, 400, NULL, NULL, message);
    return false;
}

static bool read_time(const char *text, int64_t *out)
{
    struct tm date;
    const char *rest;

    memset(&date, 0, sizeof(date));
    rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &date);
    if (rest == NULL)
        return false;
    if (*rest == '.')
        rest += 1 + strspn(rest + 1, "0123456789");
    *out = (int64_t)timegm(&date);
    return strcmp(rest, "Z") == 0 || strcmp(rest, "+00:00") == 0;
}

static bool read_groups(struct report *report)
{
    static const char *const of_costs[] = {"workspace_id", "description", NULL};
    static const char *const of_usage[] = {"api_key_id", "workspace_id", "model", "service_tier", "context_window",
                                           "service_account_id", NULL};
    const struct request *request = report->call->request;

    if (!report_groups_known(request, report->costs ? of_costs : of_usage))
        return refuse(report->call, "group_by: Input is not a known dimension");
    report->by_workspace = report_grouped(request, "workspace_id");
    report->by_key = report_grouped(request, "api_key_id");
    report->by_account = report_grouped(request, "service_account_id");
    report->by_model = report_grouped(request, "model") || report_grouped(request, "description");
    return true;
}

static bool read_report(struct report *report)
{
    const struct request *request = report->call->request;
    const char *start = request_query(request, "starting_at"), *end = request_query(request, "ending_at");
    const char *limit = request_query(request, "limit"), *page = request_query(request, "page");
    struct report_span *span = &report->span;

    if (start == NULL || !read_time(start, &span->start))
        return refuse(report->call, "starting_at: Input should be an RFC 3339 timestamp");
    span->end = unix_ms() / 1000 + 1;
    if (end != NULL && (!read_time(end, &span->end) || span->end <= span->start))
        return refuse(report->call, "ending_at: Input should be an RFC 3339 timestamp after the start");
    if (!report_set_width(span, request_query(request, "bucket_width"), report->costs))
        return refuse(report->call, "bucket_width: Input is not a known width");
    if (limit != NULL) {
        span->limit = strtoll(limit, NULL, 10);
        if (span->limit < 1 || span->limit > span->limit_max)
            return refuse(report->call, "limit: Input is out of range for this bucket width");
    }
    if (page != NULL && !report_set_page(span, page))
        return refuse(report->call, "page: this is no page of the report");
    return read_groups(report);
}

static struct sum *sum_of(struct sum *sums, size_t *n_sums, const struct report *report,
                          const struct console_charge *charge, const char *token_type)
{
    struct sum wanted = {
        .token_type = token_type,
        .workspace = report->by_workspace ? charge->workspace : NULL,
        .key = report->by_key && charge->account == NULL ? charge->key : NULL,
        .account = report->by_account ? charge->account : NULL,
        .model = report->by_model ? charge->model : NULL,
    };

    for (size_t i = 0; i < *n_sums; i++) {
        if (sums[i].workspace == wanted.workspace && sums[i].key == wanted.key && sums[i].account == wanted.account &&
            sums[i].model == wanted.model &&
            sums[i].token_type == wanted.token_type)
            return &sums[i];
    }
    if (*n_sums == MAX_GROUPS)
        return &sums[MAX_GROUPS - 1];
    sums[*n_sums] = wanted;
    return &sums[(*n_sums)++];
}

/* null for the default workspace, as in keys of the older version */
static void put_workspace(struct json_object *object, const struct workspace *workspace)
{
    put_string(object, "workspace_id", workspace != NULL && !workspace->is_default ? workspace->id : NULL);
}

/* The amount is a decimal string of cents. */
static struct json_object *cost_json(const struct sum *sum)
{
    struct json_object *object = json_object_new_object();
    char amount[40];

    snprintf(amount, sizeof(amount), "%lld.%04lld", (long long)(sum->micro_usd / 10000),
             (long long)llabs(sum->micro_usd % 10000));
    put_string(object, "amount", amount);
    put_string(object, "currency", "USD");
    put_workspace(object, sum->workspace);
    put_string(object, "description", sum->model);
    put_string(object, "model", sum->model);
    put_string(object, "cost_type", sum->model != NULL ? "tokens" : NULL);
    put_string(object, "context_window", NULL);
    put_string(object, "service_tier", NULL);
    put_string(object, "token_type", sum->token_type);
    return object;
}

static struct json_object *usage_json(const struct sum *sum)
{
    struct json_object *object = json_object_new_object();
    struct json_object *cache = json_object_new_object();
    struct json_object *tools = json_object_new_object();

    put_int(cache, "ephemeral_1h_input_tokens", 0);
    put_int(cache, "ephemeral_5m_input_tokens", 0);
    put_int(tools, "web_search_requests", 0);
    put_int(object, "uncached_input_tokens", sum->input_tokens);
    json_object_object_add(object, "cache_creation", cache);
    put_int(object, "cache_read_input_tokens", 0);
    put_int(object, "output_tokens", sum->output_tokens);
    json_object_object_add(object, "server_tool_use", tools);
    put_string(object, "api_key_id", sum->key != NULL ? sum->key->id : NULL);
    put_string(object, "service_account_id", sum->account);
    put_workspace(object, sum->workspace);
    put_string(object, "model", sum->model);
    put_string(object, "service_tier", NULL);
    put_string(object, "context_window", NULL);
    return object;
}

/* By description a model's costs are apart by kind of token. */
static void add_costs(struct sum *sums, size_t *n_sums, const struct report *report, const struct console_charge *charge)
{
    static const char input_type[] = "uncached_input_tokens", output_type[] = "output_tokens";
    const struct knobs *knobs = &report->call->store->knobs;
    const struct anthropic_model *model = charge->model != NULL && report->by_model ? anthropic_model(charge->model) : NULL;
    int64_t input = model != NULL ? charge->input_tokens * model->input_micro_usd / 1000000 : 0;

    if (model != NULL)
        sum_of(sums, n_sums, report, charge, input_type)->micro_usd += billing_draft(knobs, charge->at, input);
    sum_of(sums, n_sums, report, charge, model != NULL ? output_type : NULL)->micro_usd +=
        billing_draft(knobs, charge->at, charge->micro_usd - input);
}

static struct json_object *bucket_json(void *context, int64_t start)
{
    const struct report *report = context;
    const struct report_span *span = &report->span;
    struct sum *sums = report->sums;
    const struct anthropic *anthropic = report->call->store->anthropic;
    const struct request *request = report->call->request;
    struct json_object *object = json_object_new_object();
    struct json_object *results = json_object_new_array();
    size_t n_sums = 0;

    for (size_t i = 0; i < anthropic->n_charges; i++) {
        const struct console_charge *charge = &anthropic->charges[i];
        struct sum *sum;

        if (charge->workspace->organisation != report->call->organisation || charge->at < start ||
            charge->at >= start + span->width || charge->at >= span->end ||
            !billing_shown(&report->call->store->knobs, charge->at, report->costs))
            continue;
        /* a corrected spend has no tokens: it is money, not usage */
        if (!report->costs && (charge->model == NULL || !request_passes(request, "models", charge->model) ||
                               !request_passes(request, "workspace_ids", charge->workspace->id) ||
                               !request_passes(request, "api_key_ids", charge->account == NULL ? charge->key->id : NULL) ||
                               !request_passes(request, "service_account_ids", charge->account)))
            continue;
        if (report->costs) {
            add_costs(sums, &n_sums, report, charge);
            continue;
        }
        sum = sum_of(sums, &n_sums, report, charge, NULL);
        sum->input_tokens += charge->input_tokens;
        sum->output_tokens += charge->output_tokens;
    }
    for (size_t i = 0; i < n_sums; i++)
        json_object_array_add(results, report->costs ? cost_json(&sums[i]) : usage_json(&sums[i]));
    put_date(object, "starting_at", start * 1000, "Z");
    put_date(object, "ending_at", (start + span->width) * 1000, "Z");
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
    report_put_page(object, &report.span, bucket_json, &report);
    free(report.sums);
    answer_json(call->answer, 200, object);
}

void anthropic_usage_report(struct call *call)
{
    answer_report(call, false);
}

void anthropic_cost_report(struct call *call)
{
    answer_report(call, true);
}
