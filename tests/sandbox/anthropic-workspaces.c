#include "anthropic.h"

#include <string.h>

static struct json_object *workspace_json(const struct workspace *workspace)
{
    struct json_object *object = json_object_new_object();
    struct json_object *residency = json_object_new_object();

    put_string(residency, "workspace_geo", "us");
    put_string(residency, "allowed_inference_geos", "unrestricted");
    put_string(residency, "default_inference_geo", "global");

    put_string(object, "id", workspace->id);
    put_string(object, "type", "workspace");
    put_string(object, "name", workspace->name);
    put_date(object, "created_at", workspace->created_ms, "Z");
    put_date(object, "archived_at", workspace->archived_ms, "Z");
    put_string(object, "compartment_id", "cmprt_sandbox");
    put_string(object, "display_color", "#6C5BB9");
    put_string(object, "external_key_id", NULL);
    put_string(object, "user_profile_id", NULL);
    json_object_object_add(object, "data_residency", residency);
    json_object_object_add(object, "tags", json_object_get(workspace->tags));
    return object;
}

static int64_t active_workspaces(const struct call *call)
{
    const struct workspace *workspace;
    int64_t count = 0;

    TAILQ_FOREACH(workspace, &call->store->anthropic->workspaces, next)
        count += workspace->organisation == call->organisation && workspace->archived_ms == 0 && !workspace->is_default;
    return count;
}

static void take_tags(struct workspace *workspace, struct json_object *body)
{
    struct json_object *tags;

    if (!json_object_object_get_ex(body, "tags", &tags) || tags == NULL)
        return;
    json_object_put(workspace->tags);
    workspace->tags = json_object_get(tags);
}

#define WORKSPACE_FIELDS                                              \
    {.name = "display_color", .kind = FIELD_STRING, .nullable = true}, \
    {.name = "data_residency", .kind = FIELD_OBJECT, .nullable = true}, \
    {.name = "tags", .kind = FIELD_OBJECT, .nullable = true},          \
    {.name = NULL}

void anthropic_create_workspace(struct call *call)
{
    static const struct field fields[] = {
        {.name = "name", .kind = FIELD_STRING, .required = true, .min = 1, .max = 256}, WORKSPACE_FIELDS};
    struct json_object *body = anthropic_body(call, fields);
    struct workspace *workspace;

    if (body == NULL)
        return;
    if ((int64_t)strlen(get_string(body, "name", "")) > call->store->knobs.workspace_name_max) {
        anthropic_error(call->answer, 400, NULL, NULL, "name: String is too long");
    } else if (active_workspaces(call) >= call->store->knobs.workspace_limit) {
        anthropic_error(call->answer, 400, NULL, NULL, "The organization has reached its limit of workspaces.");
    } else {
        workspace = anthropic_add_workspace(call->store, call->organisation, get_string(body, "name", ""));
        take_tags(workspace, body);
        answer_json(call->answer, 200, workspace_json(workspace));
    }
    json_object_put(body);
}

static bool flag(const struct call *call, const char *name)
{
    const char *value = request_query(call->request, name);

    return value != NULL && strcmp(value, "true") == 0;
}

void anthropic_list_workspaces(struct call *call)
{
    const struct workspace *workspace;
    struct id_page page;

    if (!anthropic_page_begin(call, &page))
        return;
    TAILQ_FOREACH(workspace, &call->store->anthropic->workspaces, next) {
        if (workspace->organisation != call->organisation || !store_visible(workspace->visible_mono))
            continue;
        if ((workspace->is_default && !flag(call, "include_default")) ||
            (workspace->archived_ms != 0 && !flag(call, "include_archived")))
            continue;
        if (id_page_wants(&page, workspace->id))
            id_page_add(&page, workspace->id, workspace_json(workspace));
    }
    anthropic_page_end(&page);
}

void anthropic_get_workspace(struct call *call)
{
    struct workspace *workspace = anthropic_path_workspace(call);

    if (workspace != NULL)
        answer_json(call->answer, 200, workspace_json(workspace));
}

/* The default workspace keeps its name, an archived one everything. */
static bool may_change(struct call *call, const struct workspace *workspace)
{
    if (!workspace->is_default && workspace->archived_ms == 0)
        return true;
    anthropic_error(call->answer, 400, NULL, NULL,
                    workspace->is_default ? "The default workspace cannot be changed." : "The workspace is archived.");
    return false;
}

void anthropic_update_workspace(struct call *call)
{
    static const struct field fields[] = {
        {.name = "name", .kind = FIELD_STRING, .min = 1, .max = 256}, WORKSPACE_FIELDS};
    struct workspace *workspace = anthropic_path_workspace(call);
    struct json_object *body;

    if (workspace == NULL || !may_change(call, workspace) || (body = anthropic_body(call, fields)) == NULL)
        return;
    if (get_string(body, "name", NULL) != NULL)
        replace_text(&workspace->name, get_string(body, "name", NULL));
    take_tags(workspace, body);
    answer_json(call->answer, 200, workspace_json(workspace));
    json_object_put(body);
}

void anthropic_archive_workspace(struct call *call)
{
    struct workspace *workspace = anthropic_path_workspace(call);

    if (workspace == NULL || !may_change(call, workspace))
        return;
    anthropic_archive(call->store, workspace);
    answer_json(call->answer, 200, workspace_json(workspace));
}
