#include "openai.h"

#include "billing.h"

#include <stdio.h>
#include <string.h>

static const char *const limit_names[RATE_LIMIT_FIELDS] = {
    "max_requests_per_1_minute",        "max_tokens_per_1_minute",
    "max_images_per_1_minute",          "max_audio_megabytes_per_1_minute",
    "max_requests_per_1_day",           "batch_1_day_max_input_tokens",
};

static void rate_limit_id(char out[ID_SIZE], size_t model)
{
    snprintf(out, ID_SIZE, "rl-%s", billing_models[model].name);
}

static struct json_object *rate_limit_json(const struct project *project, size_t model)
{
    struct json_object *object = json_object_new_object();
    char id[ID_SIZE];

    rate_limit_id(id, model);
    put_string(object, "object", "project.rate_limit");
    put_string(object, "id", id);
    put_string(object, "model", billing_models[model].name);
    for (size_t i = 0; i < RATE_LIMIT_FIELDS; i++) {
        if (project->rate_limits[model][i] >= 0)
            put_int(object, limit_names[i], project->rate_limits[model][i]);
    }
    return object;
}

void openai_list_rate_limits(struct call *call)
{
    struct project *project = openai_active_project(call);
    char id[ID_SIZE];
    struct id_page page;

    if (project == NULL || !openai_list_begin(call, &page, 100, 1))
        return;
    for (size_t model = 0; model < RATE_LIMIT_MODELS; model++) {
        rate_limit_id(id, model);
        if (id_page_wants(&page, id))
            id_page_add(&page, id, rate_limit_json(project, model));
    }
    openai_list_end(&page);
}

/* Nothing is changed unless every value is acceptable. */
static void change_rate_limit(struct call *call, struct project *project, size_t model,
                              struct json_object *body)
{
    int64_t changed[RATE_LIMIT_FIELDS];
    char message[160];

    for (size_t i = 0; i < RATE_LIMIT_FIELDS; i++) {
        int64_t most = store_organisation_limit(model, i);

        changed[i] = get_int(body, limit_names[i], project->rate_limits[model][i]);
        if (changed[i] <= most)
            continue;
        if (most < 0)
            snprintf(message, sizeof(message), "'%s' does not apply to this model.", limit_names[i]);
        else
            snprintf(message, sizeof(message), "'%s' exceeds the organization's limit of %lld.",
                     limit_names[i], (long long)most);
        openai_error(call->answer, 400, "invalid_request_error", "invalid_value", limit_names[i],
                     message);
        return;
    }
    memcpy(project->rate_limits[model], changed, sizeof(changed));
    answer_json(call->answer, 200, rate_limit_json(project, model));
}

void openai_update_rate_limit(struct call *call)
{
    struct project *project = openai_active_project(call);
    struct field fields[RATE_LIMIT_FIELDS + 1] = {{.name = NULL}};
    struct json_object *body;
    char id[ID_SIZE];

    if (project == NULL)
        return;
    for (size_t i = 0; i < RATE_LIMIT_FIELDS; i++)
        fields[i] = (struct field){.name = limit_names[i], .kind = FIELD_INT, .max = INT64_MAX};
    for (size_t model = 0; model < RATE_LIMIT_MODELS; model++) {
        rate_limit_id(id, model);
        if (strcmp(id, call->arg[1]) != 0)
            continue;
        body = openai_body(call, fields);
        if (body != NULL)
            change_rate_limit(call, project, model, body);
        json_object_put(body);
        return;
    }
    openai_error(call->answer, 404, "invalid_request_error", "not_found", NULL,
                 "No such rate limit.");
}

static struct json_object *spend_limit_json(const struct store *store, const struct project *project)
{
    struct json_object *object = json_object_new_object();
    struct json_object *enforcement = json_object_new_object();

    put_string(enforcement, "status",
               billing_reports_enforcing(store, project) ? "enforcing" : "inactive");
    put_string(object, "object", "project.spend_limit");
    put_int(object, "threshold_amount", project->limit.cents);
    put_string(object, "currency", "USD");
    put_string(object, "interval", "month");
    json_object_object_add(object, "enforcement", enforcement);
    return object;
}

static bool has_limit(struct call *call, const struct project *project)
{
    if (project->limit.set)
        return true;
    openai_error(call->answer, 404, "invalid_request_error", "not_found", NULL,
                 "The project has no spend limit.");
    return false;
}

void openai_get_spend_limit(struct call *call)
{
    struct project *project = openai_project(call);

    if (project != NULL && has_limit(call, project))
        answer_json(call->answer, 200, spend_limit_json(call->store, project));
}

static const char *const currencies[] = {"USD", NULL};
static const char *const intervals[] = {"month", NULL};

void openai_set_spend_limit(struct call *call)
{
    static const struct field fields[] = {
        {.name = "threshold_amount", .kind = FIELD_INT, .required = true, .min = 1, .max = INT64_MAX},
        {.name = "currency", .kind = FIELD_STRING, .required = true, .values = currencies},
        {.name = "interval", .kind = FIELD_STRING, .required = true, .values = intervals},
        {.name = NULL},
    };
    struct project *project = openai_active_project(call);
    struct json_object *body;

    if (project == NULL)
        return;
    body = openai_body(call, fields);
    if (body == NULL)
        return;
    store_set_limit(call->store, project, get_int(body, "threshold_amount", 0));
    answer_json(call->answer, 200, spend_limit_json(call->store, project));
    json_object_put(body);
}

void openai_delete_spend_limit(struct call *call)
{
    struct project *project = openai_project(call);

    if (project == NULL || !has_limit(call, project))
        return;
    memset(&project->limit, 0, sizeof(project->limit));
    openai_answer_deleted(call, "project.spend_limit.deleted", NULL);
}

static struct json_object *alert_json(const struct spend_alert *alert)
{
    struct json_object *object = json_object_new_object();

    put_string(object, "id", alert->id);
    put_string(object, "object", "project.spend_alert");
    put_int(object, "threshold_amount", alert->cents);
    put_string(object, "currency", "USD");
    put_string(object, "interval", "month");
    json_object_object_add(object, "notification_channel", json_object_get(alert->channel));
    return object;
}

void openai_create_spend_alert(struct call *call)
{
    static const char *const types[] = {"email", NULL};
    static const struct field fields[] = {
        {.name = "threshold_amount", .kind = FIELD_INT, .required = true, .max = INT64_MAX},
        {.name = "currency", .kind = FIELD_STRING, .required = true, .values = currencies},
        {.name = "interval", .kind = FIELD_STRING, .required = true, .values = intervals},
        {.name = "notification_channel", .kind = FIELD_OBJECT, .required = true},
        {.name = NULL},
    };
    static const struct field channel_fields[] = {
        {.name = "type", .kind = FIELD_STRING, .required = true, .values = types},
        {.name = "recipients", .kind = FIELD_ARRAY, .required = true},
        {.name = "subject_prefix", .kind = FIELD_STRING, .nullable = true},
        {.name = NULL},
    };
    struct project *project = openai_active_project(call);
    struct json_object *body, *channel;
    struct complaint complaint;
    struct spend_alert *alert;

    if (project == NULL)
        return;
    body = openai_body(call, fields);
    if (body == NULL)
        return;
    channel = json_object_object_get(body, "notification_channel");
    if (!fields_check(channel, channel_fields, &complaint)) {
        openai_error(call->answer, 400, "invalid_request_error", complaint.code, complaint.field,
                     complaint.message);
    } else {
        alert = store_add_alert(project, get_int(body, "threshold_amount", 0), channel);
        if (call->store->knobs.spend_alert_bug) {
            project->limit.set = true;
            project->limit.cents = alert->cents;
            project->limit.switched_on = false;
        }
        answer_json(call->answer, 200, alert_json(alert));
    }
    json_object_put(body);
}

void openai_list_spend_alerts(struct call *call)
{
    const char *order = request_query(call->request, "order");
    struct project *project = openai_active_project(call);
    bool descending = order != NULL && strcmp(order, "desc") == 0;
    struct spend_alert *alert;
    struct id_page page;

    if (project == NULL || !openai_list_begin(call, &page, 20, 0))
        return;
    alert = descending ? TAILQ_LAST(&project->alerts, alert_list) : TAILQ_FIRST(&project->alerts);
    while (alert != NULL) {
        if (!alert->deleted && id_page_wants(&page, alert->id))
            id_page_add(&page, alert->id, alert_json(alert));
        alert = descending ? TAILQ_PREV(alert, alert_list, next) : TAILQ_NEXT(alert, next);
    }
    openai_list_end(&page);
}

static struct spend_alert *alert_of(struct call *call)
{
    struct project *project = openai_project(call);
    struct spend_alert *alert;

    if (project == NULL)
        return NULL;
    TAILQ_FOREACH(alert, &project->alerts, next) {
        if (!alert->deleted && strcmp(alert->id, call->arg[1]) == 0)
            return alert;
    }
    openai_error(call->answer, 404, "invalid_request_error", "not_found", NULL,
                 "No such spend alert.");
    return NULL;
}

void openai_get_spend_alert(struct call *call)
{
    struct spend_alert *alert = alert_of(call);

    if (alert != NULL)
        answer_json(call->answer, 200, alert_json(alert));
}

void openai_delete_spend_alert(struct call *call)
{
    struct spend_alert *alert = alert_of(call);

    if (alert == NULL)
        return;
    alert->deleted = true;
    openai_answer_deleted(call, "project.spend_alert.deleted", alert->id);
}
