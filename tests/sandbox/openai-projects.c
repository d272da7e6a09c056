#include "openai.h"

#include <string.h>

static const char *const residencies[] = {
    "GLOBAL",     "US_STORAGE_PROCESSING", "EU_STORAGE_PROCESSING", "JP_STORAGE",
    "KR_STORAGE", "CA_STORAGE",            "SG_STORAGE",            "IN_STORAGE",
    "AU_STORAGE", "GB_STORAGE",            "AE_STORAGE",            "AE_STORAGE_PROCESSING",
    NULL,
};

static struct json_object *project_json(const struct project *project)
{
    struct json_object *object = json_object_new_object();

    put_string(object, "id", project->id);
    put_string(object, "object", "organization.project");
    put_string(object, "name", project->name);
    put_int(object, "created_at", project->created);
    put_time(object, "archived_at", project->archived_ms / 1000);
    put_string(object, "status", project->archived_ms != 0 ? "archived" : "active");
    put_string(object, "external_key_id", project->external_key_id);
    if (project->residency != NULL)
        put_string(object, "residency", project->residency);
    return object;
}

void openai_create_project(struct call *call)
{
    static const struct field fields[] = {
        {.name = "name", .kind = FIELD_STRING, .required = true, .min = 1, .max = 256},
        {.name = "residency", .kind = FIELD_STRING, .nullable = true, .values = residencies},
        {.name = "geography", .kind = FIELD_STRING, .nullable = true},
        {.name = "external_key_id", .kind = FIELD_STRING, .nullable = true},
        {.name = NULL},
    };
    struct json_object *body = openai_body(call, fields);
    struct project *project;

    if (body == NULL)
        return;
    if ((int64_t)store_active_projects(call->store, call->organisation) >=
        call->store->knobs.project_limit) {
        openai_error(call->answer, 400, "invalid_request_error", "project_limit_exceeded", NULL,
                     "The organization has reached its limit of projects.");
    } else {
        project = store_add_project(call->store, call->organisation, get_string(body, "name", ""));
        replace_text(&project->external_key_id, get_string(body, "external_key_id", NULL));
        replace_text(&project->residency, get_string(body, "residency", NULL));
        answer_json(call->answer, 200, project_json(project));
    }
    json_object_put(body);
}

void openai_list_projects(struct call *call)
{
    const char *include = request_query(call->request, "include_archived");
    bool archived_too = include != NULL && strcmp(include, "true") == 0;
    struct project *project;
    struct id_page page;

    if (include != NULL && !archived_too && strcmp(include, "false") != 0) {
        openai_error(call->answer, 400, "invalid_request_error", "invalid_value",
                     "include_archived", "Invalid 'include_archived': expected true or false.");
        return;
    }
    if (!openai_list_begin(call, &page, 20, 1))
        return;
    TAILQ_FOREACH(project, &call->store->projects, next) {
        if (project->organisation != call->organisation)
            continue;
        if (project->archived_ms != 0 && !archived_too)
            continue;
        if (store_visible(project->visible_mono) && id_page_wants(&page, project->id))
            id_page_add(&page, project->id, project_json(project));
    }
    openai_list_end(&page);
}

void openai_get_project(struct call *call)
{
    struct project *project = openai_project(call);

    if (project != NULL)
        answer_json(call->answer, 200, project_json(project));
}

void openai_update_project(struct call *call)
{
    static const struct field fields[] = {
        {.name = "name", .kind = FIELD_STRING, .nullable = true, .min = 1, .max = 256},
        {.name = "external_key_id", .kind = FIELD_STRING, .nullable = true},
        {.name = "geography", .kind = FIELD_STRING, .nullable = true},
        {.name = NULL},
    };
    struct project *project = openai_active_project(call);
    struct json_object *body;

    if (project == NULL)
        return;
    if (project->is_default) {
        openai_error(call->answer, 400, "invalid_request_error", NULL, NULL,
                     "The default project cannot be updated.");
        return;
    }
    body = openai_body(call, fields);
    if (body == NULL)
        return;
    if (get_string(body, "name", NULL) != NULL)
        replace_text(&project->name, get_string(body, "name", NULL));
    if (json_object_object_get_ex(body, "external_key_id", NULL))
        replace_text(&project->external_key_id, get_string(body, "external_key_id", NULL));
    answer_json(call->answer, 200, project_json(project));
    json_object_put(body);
}

void openai_archive_project(struct call *call)
{
    struct project *project = openai_active_project(call);

    if (project == NULL)
        return;
    if (project->is_default) {
        openai_error(call->answer, 400, "invalid_request_error", NULL, NULL,
                     "The default project cannot be archived.");
        return;
    }
    store_archive(project);
    answer_json(call->answer, 200, project_json(project));
}
