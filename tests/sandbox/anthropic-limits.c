#include "anthropic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const limiter_names[ANTHROPIC_LIMITERS] = {
    "requests_per_minute", "input_tokens_per_minute_cache_aware", "output_tokens_per_minute"};

static const struct {
    const char *id, *group, *type, *display;
    int64_t limits[ANTHROPIC_LIMITERS]; /* what the organisation has; -1 = none */
} groups[ANTHROPIC_GROUPS] = {
    {"rl_01sandboxsonnet", "rlg_01sandboxsonnet", "model_group", "Claude Sonnet 5.x", {4000, 2000000, 400000}},
    {"rl_01sandboxhaiku", "rlg_01sandboxhaiku", "model_group", "Claude Haiku 5.x", {4000, 4000000, 800000}},
    {"rl_01sandboxbatch", "rlg_01sandboxbatch", "batch", NULL, {4000, -1, -1}},
};

static struct json_object *group_json(size_t group)
{
    struct json_object *object = json_object_new_object();

    put_string(object, "id", groups[group].group);
    put_string(object, "type", groups[group].type);
    if (groups[group].display != NULL)
        put_string(object, "display_name", groups[group].display);
    return object;
}

/* Every model has an alias with a date. */
static struct json_object *models_json(size_t group)
{
    struct json_object *list = json_object_new_array();
    char dated[80];

    if (groups[group].display == NULL) {
        json_object_put(list);
        return NULL;
    }
    for (size_t i = 0; i < ANTHROPIC_MODELS; i++) {
        if (anthropic_models[i].group != group)
            continue;
        snprintf(dated, sizeof(dated), "%s-20261001", anthropic_models[i].name);
        json_object_array_add(list, json_object_new_string(anthropic_models[i].name));
        json_object_array_add(list, json_object_new_string(dated));
    }
    return list;
}

static bool group_asked_for(const struct call *call, size_t group)
{
    const char *type = request_query(call->request, "group_type");

    return type == NULL || strcmp(type, groups[group].type) == 0;
}

void anthropic_list_organisation_rates(struct call *call)
{
    struct json_object *all = json_object_new_array();

    for (size_t group = 0; group < ANTHROPIC_GROUPS; group++) {
        struct json_object *object, *limits, *limit;

        if (!group_asked_for(call, group))
            continue;
        limits = json_object_new_array();
        for (size_t i = 0; i < ANTHROPIC_LIMITERS; i++) {
            if (groups[group].limits[i] < 0)
                continue;
            limit = json_object_new_object();
            put_string(limit, "type", limiter_names[i]);
            put_int(limit, "value", groups[group].limits[i]);
            json_object_array_add(limits, limit);
        }
        object = json_object_new_object();
        put_string(object, "id", groups[group].id);
        put_string(object, "type", "rate_limit");
        json_object_object_add(object, "group", group_json(group));
        json_object_object_add(object, "models", models_json(group));
        json_object_object_add(object, "limits", limits);
        json_object_array_add(all, object);
    }
    answer_cursor_page(call, all);
}

static struct json_object *value_json(const struct workspace *workspace, size_t group, size_t limiter)
{
    struct json_object *object = json_object_new_object();
    struct json_object *source = json_object_new_object();
    int64_t own = workspace->overrides[group][limiter], of_organisation = groups[group].limits[limiter];

    put_string(object, "type", limiter_names[limiter]);
    put_int(object, "value", own >= 0 ? own : of_organisation);
    if (of_organisation >= 0)
        put_int(object, "org_limit", of_organisation);
    else
        put_string(object, "org_limit", NULL);
    put_string(source, "type", own >= 0 ? "workspace" : "organization");
    json_object_object_add(object, "source", source);
    return object;
}

/* NULL when there is nothing to show. */
static struct json_object *rates_json(const struct workspace *workspace, size_t group, bool inherited)
{
    struct json_object *limits = json_object_new_array(), *object;

    for (size_t i = 0; i < ANTHROPIC_LIMITERS; i++) {
        if (workspace->overrides[group][i] >= 0 || (inherited && groups[group].limits[i] >= 0))
            json_object_array_add(limits, value_json(workspace, group, i));
    }
    if (json_object_array_length(limits) == 0) {
        json_object_put(limits);
        return NULL;
    }
    object = json_object_new_object();
    put_string(object, "type", "workspace_rate_limit");
    put_string(object, "rate_limit_id", groups[group].id);
    put_string(object, "workspace_id", workspace->id);
    json_object_object_add(object, "group", group_json(group));
    json_object_object_add(object, "models", models_json(group));
    json_object_object_add(object, "limits", limits);
    return object;
}

void anthropic_list_rates(struct call *call)
{
    const char *inherited = request_query(call->request, "include_inherited");
    struct workspace *workspace = anthropic_path_workspace(call);
    struct json_object *all, *entry;

    if (workspace == NULL)
        return;
    all = json_object_new_array();
    for (size_t group = 0; group < ANTHROPIC_GROUPS; group++) {
        if (!group_asked_for(call, group))
            continue;
        entry = rates_json(workspace, group, inherited != NULL && strcmp(inherited, "true") == 0);
        if (entry != NULL)
            json_object_array_add(all, entry);
    }
    answer_cursor_page(call, all);
}

/* False: ENTRY is no {type, value}. */
static bool read_value(struct json_object *entry, size_t *limiter, int64_t *value)
{
    struct json_object *number;
    const char *type = json_object_is_type(entry, json_type_object) ? get_string(entry, "type", "") : "";

    for (*limiter = 0; *limiter < ANTHROPIC_LIMITERS; ++*limiter) {
        if (strcmp(limiter_names[*limiter], type) == 0)
            break;
    }
    if (*limiter == ANTHROPIC_LIMITERS || !json_object_object_get_ex(entry, "value", &number))
        return false;
    *value = number != NULL ? json_object_get_int64(number) : -1;
    return number == NULL || (json_object_is_type(number, json_type_int) && *value >= 0);
}

void anthropic_set_rates(struct call *call)
{
    static const struct field fields[] = {
        {.name = "limits", .kind = FIELD_ARRAY, .required = true},
        {.name = NULL},
    };
    struct workspace *workspace = anthropic_path_workspace(call);
    int64_t changed[ANTHROPIC_LIMITERS], value = 0;
    struct json_object *body, *limits, *answer;
    size_t group = 0, limiter;

    while (group < ANTHROPIC_GROUPS && strcmp(groups[group].id, call->arg[1]) != 0)
        group++;
    if (workspace == NULL)
        return;
    if (group == ANTHROPIC_GROUPS || workspace->archived_ms != 0) {
        anthropic_error(call->answer, group == ANTHROPIC_GROUPS ? 404 : 400, NULL, NULL,
                        group == ANTHROPIC_GROUPS ? "Rate limit not found." : "The workspace is archived.");
        return;
    }
    if ((body = anthropic_body(call, fields)) == NULL)
        return;
    memcpy(changed, workspace->overrides[group], sizeof(changed));
    limits = json_object_object_get(body, "limits");
    for (size_t i = 0; i < json_object_array_length(limits); i++) {
        if (!read_value(json_object_array_get_idx(limits, i), &limiter, &value)) {
            anthropic_error(call->answer, 400, NULL, NULL, "limits: Input should be a known type and a value");
            json_object_put(body);
            return;
        }
        changed[limiter] = value;
    }
    memcpy(workspace->overrides[group], changed, sizeof(changed));
    answer = rates_json(workspace, group, true);
    answer_json(call->answer, 200, answer);
    json_object_put(body);
}

/* --- spend limits --- */

static bool spend_limits_enabled(struct call *call)
{
    if (!call->store->knobs.forbid_spend_limits)
        return true;
    anthropic_error(call->answer, 403, NULL, "spend_limits_admin_api_writes_not_enabled",
                    "Setting spend limits through the Admin API is not enabled for this organization.");
    return false;
}

static struct json_object *limit_json(const char *id, struct json_object *scope, const char *amount, int64_t created_ms,
                                      int64_t updated_ms)
{
    struct json_object *object = json_object_new_object();

    put_string(object, "id", id);
    put_string(object, "type", "spend_limit");
    put_string(object, "amount", amount);
    put_string(object, "currency", "USD");
    put_string(object, "period", "monthly");
    put_bool(object, "is_enabled", true);
    json_object_object_add(object, "scope", scope);
    put_date(object, "created_at", created_ms, "Z");
    put_date(object, "updated_at", updated_ms, "Z");
    return object;
}

static struct json_object *workspace_limit_json(const struct workspace *workspace)
{
    struct json_object *scope = json_object_new_object();
    char amount[32];

    put_string(scope, "type", "workspace");
    put_string(scope, "workspace_id", workspace->id);
    snprintf(amount, sizeof(amount), "%lld", (long long)workspace->limit.cents);
    return limit_json(workspace->limit.id, scope, amount, workspace->limit.created_ms, workspace->limit.updated_ms);
}

/* Cents as a decimal string without a sign, or -1. */
static int64_t read_amount(const char *text)
{
    char *end;
    long long cents;

    if (text[0] == '\0' || strspn(text, "0123456789") != strlen(text) || strlen(text) > 15)
        return -1;
    cents = strtoll(text, &end, 10);
    return cents;
}

void anthropic_set_spend_limit(struct call *call)
{
    static const char *const periods[] = {"monthly", NULL};
    static const char *const scopes[] = {"workspace", NULL};
    static const struct field fields[] = {
        {.name = "amount", .kind = FIELD_STRING, .required = true},
        {.name = "scope", .kind = FIELD_OBJECT, .required = true},
        {.name = "period", .kind = FIELD_STRING, .values = periods},
        {.name = NULL},
    };
    static const struct field scope_fields[] = {
        {.name = "type", .kind = FIELD_STRING, .required = true, .values = scopes},
        {.name = "workspace_id", .kind = FIELD_STRING, .required = true},
        {.name = NULL},
    };
    struct json_object *body = anthropic_body(call, fields), *scope;
    struct workspace *workspace;
    struct complaint complaint;
    int64_t cents;

    if (body == NULL)
        return;
    scope = json_object_object_get(body, "scope");
    cents = read_amount(get_string(body, "amount", ""));
    workspace = anthropic_workspace(call->store, get_string(scope, "workspace_id", ""));
    if (!spend_limits_enabled(call)) {
        ;
    } else if (!fields_check(scope, scope_fields, &complaint)) {
        anthropic_error(call->answer, 400, NULL, NULL, complaint.message);
    } else if (cents < 0) {
        anthropic_error(call->answer, 400, NULL, NULL, "amount: Input should be a whole number of cents as a string");
    } else if (workspace == NULL || workspace->organisation != call->organisation) {
        anthropic_error(call->answer, 404, NULL, NULL, "Workspace not found.");
    } else if (workspace->archived_ms != 0) {
        anthropic_error(call->answer, 400, NULL, NULL, "The workspace is archived.");
    } else {
        anthropic_set_limit(call->store, workspace, cents);
        answer_json(call->answer, 200, workspace_limit_json(workspace));
    }
    json_object_put(body);
}

/* Newest first, behind them what the organisation's tier allows. */
void anthropic_list_spend_limits(struct call *call)
{
    const char *beta = call->request->api_beta, *id = request_query(call->request, "workspace_id");
    struct json_object *all, *scope;
    struct workspace *workspace;

    if (beta == NULL || strstr(beta, "spend-limit-reads-2026-09-26") == NULL) {
        anthropic_error(call->answer, 400, NULL, NULL,
                        "This endpoint is in beta: send anthropic-beta: spend-limit-reads-2026-09-26");
        return;
    }
    if (!spend_limits_enabled(call))
        return;
    all = json_object_new_array();
    TAILQ_FOREACH_REVERSE(workspace, &call->store->anthropic->workspaces, workspace_list, next) {
        if (workspace->organisation == call->organisation && workspace->limit.id[0] != '\0' &&
            (id == NULL || strcmp(id, workspace->id) == 0))
            json_object_array_add(all, workspace_limit_json(workspace));
    }
    if (id == NULL) {
        scope = json_object_new_object();
        put_string(scope, "type", "usage_tier");
        json_object_array_add(all, limit_json("spl_01sandboxtier", scope, "500000", call->store->started * 1000,
                                              call->store->started * 1000));
    }
    answer_cursor_page(call, all);
}

static struct workspace *limited_workspace(struct call *call)
{
    struct workspace *workspace;

    if (!spend_limits_enabled(call))
        return NULL;
    TAILQ_FOREACH(workspace, &call->store->anthropic->workspaces, next) {
        if (workspace->organisation == call->organisation && strcmp(workspace->limit.id, call->arg[0]) == 0)
            return workspace;
    }
    anthropic_error(call->answer, 404, NULL, NULL, "Spend limit not found.");
    return NULL;
}

void anthropic_get_spend_limit(struct call *call)
{
    struct workspace *workspace = limited_workspace(call);

    if (workspace != NULL)
        answer_json(call->answer, 200, workspace_limit_json(workspace));
}

void anthropic_delete_spend_limit(struct call *call)
{
    struct workspace *workspace = limited_workspace(call);
    struct json_object *object;

    if (workspace == NULL)
        return;
    object = json_object_new_object();
    put_string(object, "id", workspace->limit.id);
    put_string(object, "type", "spend_limit_deleted");
    memset(&workspace->limit, 0, sizeof(workspace->limit));
    answer_json(call->answer, 200, object);
}
