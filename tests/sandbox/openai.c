#include "openai.h"

#include "clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ORG "/v1/organization"
#define PROJECT ORG "/projects/*"

static const struct route routes[] = {
    {"POST", ORG "/projects", ACCESS_ADMIN, openai_create_project},
    {"GET", ORG "/projects", ACCESS_ADMIN, openai_list_projects},
    {"GET", PROJECT, ACCESS_ADMIN, openai_get_project},
    {"POST", PROJECT, ACCESS_ADMIN, openai_update_project},
    {"POST", PROJECT "/archive", ACCESS_ADMIN, openai_archive_project},

    {"POST", PROJECT "/service_accounts", ACCESS_ADMIN, openai_create_account},
    {"GET", PROJECT "/service_accounts", ACCESS_ADMIN, openai_list_accounts},
    {"GET", PROJECT "/service_accounts/*", ACCESS_ADMIN, openai_get_account},
    {"POST", PROJECT "/service_accounts/*", ACCESS_ADMIN, openai_update_account},
    {"DELETE", PROJECT "/service_accounts/*", ACCESS_ADMIN, openai_delete_account},
    {"POST", PROJECT "/service_accounts/*/api_keys", ACCESS_ADMIN, openai_create_key},
    {"GET", PROJECT "/api_keys", ACCESS_ADMIN, openai_list_keys},
    {"GET", PROJECT "/api_keys/*", ACCESS_ADMIN, openai_get_key},
    {"DELETE", PROJECT "/api_keys/*", ACCESS_ADMIN, openai_delete_key},
    {"GET", ORG "/admin_api_keys", ACCESS_ADMIN, openai_list_admin_keys},
    {"POST", ORG "/admin_api_keys", ACCESS_ADMIN, openai_create_admin_key},
    {"GET", ORG "/admin_api_keys/*", ACCESS_ADMIN, openai_get_admin_key},
    {"DELETE", ORG "/admin_api_keys/*", ACCESS_ADMIN, openai_delete_admin_key},

    {"GET", PROJECT "/rate_limits", ACCESS_ADMIN, openai_list_rate_limits},
    {"POST", PROJECT "/rate_limits/*", ACCESS_ADMIN, openai_update_rate_limit},
    {"GET", PROJECT "/spend_limit", ACCESS_ADMIN, openai_get_spend_limit},
    {"POST", PROJECT "/spend_limit", ACCESS_ADMIN, openai_set_spend_limit},
    {"DELETE", PROJECT "/spend_limit", ACCESS_ADMIN, openai_delete_spend_limit},
    {"POST", PROJECT "/spend_alerts", ACCESS_ADMIN, openai_create_spend_alert},
    {"GET", PROJECT "/spend_alerts", ACCESS_ADMIN, openai_list_spend_alerts},
    {"GET", PROJECT "/spend_alerts/*", ACCESS_ADMIN, openai_get_spend_alert},
    {"DELETE", PROJECT "/spend_alerts/*", ACCESS_ADMIN, openai_delete_spend_alert},

    {"GET", ORG "/costs", ACCESS_ADMIN, openai_costs},
    {"GET", ORG "/usage/completions", ACCESS_ADMIN, openai_usage_completions},

    {"GET", "/v1/models", ACCESS_MODEL, openai_list_models},
    {"GET", "/v1/models/*", ACCESS_MODEL, openai_get_model},
    {"POST", "/v1/chat/completions", ACCESS_MODEL, openai_chat_completion},
    {"POST", "/v1/responses", ACCESS_MODEL, openai_response},
};

void openai_error(struct answer *answer, int status, const char *type, const char *code,
                  const char *param, const char *message)
{
    struct json_object *error = json_object_new_object();
    struct json_object *object = json_object_new_object();

    put_string(error, "message", message);
    put_string(error, "type", type);
    put_string(error, "param", param);
    put_string(error, "code", code);
    json_object_object_add(object, "error", error);
    answer_json(answer, status, object);
}

/* What a fault says when the test did not choose its words. */
static void fault_error(struct answer *answer, int status, const char *type, const char *code,
                        const char *message)
{
    const char *usual_type = "invalid_request_error";
    const char *usual_message = "The request was refused.";
    const char *usual_code = NULL;

    if (status == 429) {
        usual_type = "requests";
        usual_code = "rate_limit_exceeded";
        usual_message = "Rate limit reached. Please try again later.";
    } else if (status == 401) {
        usual_code = "invalid_api_key";
        usual_message = "Incorrect API key provided.";
    } else if (status >= 500) {
        usual_type = "server_error";
        usual_message = "The server had an error while processing your request.";
    }
    openai_error(answer, status, type != NULL ? type : usual_type, code != NULL ? code : usual_code,
                 NULL, message != NULL ? message : usual_message);
}

static bool admit(struct call *call)
{
    const char *bearer = call->request->bearer;
    struct key *key;

    if (bearer == NULL) {
        openai_error(call->answer, 401, "invalid_request_error", NULL, NULL,
                     "You didn't provide an API key in an Authorization header with Bearer auth.");
        return false;
    }
    if (call->route->access == ACCESS_ADMIN) {
        call->organisation = store_organisation(call->store, bearer);
        if (call->organisation != NULL)
            return true;
    }
    key = store_key_of_secret(call->store, bearer);
    if (key == NULL || !key_is_live(key)) {
        openai_error(call->answer, 401, "invalid_request_error", "invalid_api_key", NULL,
                     "Incorrect API key provided.");
        return false;
    }
    if (call->route->access == ACCESS_ADMIN) {
        openai_error(call->answer, 403, "invalid_request_error", "insufficient_permissions", NULL,
                     "This API key may not use the administration API.");
        return false;
    }
    key->last_used = unix_ms() / 1000;
    call->key = key;
    return true;
}

struct json_object *openai_body(struct call *call, const struct field *fields)
{
    const struct request *request = call->request;
    struct complaint complaint;
    struct json_object *body;

    if (request->body_size > 0 && (request->content_type == NULL ||
                                   strncasecmp(request->content_type, "application/json", 16) != 0)) {
        openai_error(call->answer, 400, "invalid_request_error", "unsupported_content_type", NULL,
                     "The body has to be sent as application/json.");
        return NULL;
    }
    body = parse_object(request->body, request->body_size);
    if (body == NULL) {
        openai_error(call->answer, 400, "invalid_request_error", NULL, NULL,
                     "The body of the request is not a valid JSON object.");
        return NULL;
    }
    if (!fields_check(body, fields, &complaint)) {
        openai_error(call->answer, 400, "invalid_request_error", complaint.code, complaint.field,
                     complaint.message);
        json_object_put(body);
        return NULL;
    }
    return body;
}

struct project *openai_project(struct call *call)
{
    struct project *project = store_project(call->store, call->arg[0]);

    if (project != NULL && project->organisation != call->organisation)
        project = NULL; /* nothing tells another organisation's project from none */
    if (project == NULL)
        openai_error(call->answer, 404, "invalid_request_error", "not_found", NULL,
                     "No such project.");
    return project;
}

struct project *openai_active_project(struct call *call)
{
    struct project *project = openai_project(call);

    if (project != NULL && project->archived_ms != 0) {
        openai_error(call->answer, 400, "invalid_request_error", "project_archived", NULL,
                     "The project is archived.");
        return NULL;
    }
    return project;
}

static bool refuse_parameter(struct call *call, const char *param, const char *message)
{
    openai_error(call->answer, 400, "invalid_request_error", "invalid_value", param, message);
    return false;
}

void openai_answer_deleted(struct call *call, const char *kind, const char *id)
{
    struct json_object *object = json_object_new_object();

    put_string(object, "object", kind);
    if (id != NULL)
        put_string(object, "id", id);
    put_bool(object, "deleted", true);
    answer_json(call->answer, 200, object);
}

bool openai_list_begin(struct call *call, struct id_page *page, int64_t limit_default, int64_t limit_min)
{
    const char *text = request_query(call->request, "limit");
    int64_t limit = limit_default;
    char *end;

    /* An answer that ignored these would look right and be wrong. */
    if (request_query(call->request, "before") != NULL)
        return refuse_parameter(call, "before", "The sandbox does not page backwards.");
    if (text != NULL) {
        limit = strtoll(text, &end, 10);
        if (*text == '\0' || *end != '\0' || limit < limit_min || limit > 100)
            return refuse_parameter(call, "limit", "Invalid 'limit': expected an integer up to 100.");
    }
    id_page_init(page, call, request_query(call->request, "after"), limit);
    return true;
}

void openai_list_end(struct id_page *page)
{
    struct json_object *object = id_page_json(page, "list");

    if (object == NULL)
        refuse_parameter(page->call, "after", "Invalid 'after': no such object in this list.");
    else
        answer_json(page->call->answer, 200, object);
}

static const char *const prefixes[] = {"/v1/", NULL};

const struct provider openai_provider = {
    .name = "openai",
    .prefixes = prefixes,
    .routes = routes,
    .n_routes = sizeof(routes) / sizeof(routes[0]),
    .admit = admit,
    .error = fault_error,
};
