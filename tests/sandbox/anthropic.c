#include "anthropic.h"

#include "anthropic-federation.h"

#include "clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define ORG "/v1/organizations"
#define WORKSPACE ORG "/workspaces/*"

static const struct route routes[] = {
    {"POST", ORG "/workspaces", ACCESS_ADMIN, anthropic_create_workspace},
    {"GET", ORG "/workspaces", ACCESS_ADMIN, anthropic_list_workspaces},
    {"GET", WORKSPACE, ACCESS_ADMIN, anthropic_get_workspace},
    {"POST", WORKSPACE, ACCESS_ADMIN, anthropic_update_workspace},
    {"POST", WORKSPACE "/archive", ACCESS_ADMIN, anthropic_archive_workspace},

    {"GET", ORG "/rate_limits", ACCESS_ADMIN, anthropic_list_organisation_rates},
    {"GET", WORKSPACE "/rate_limits", ACCESS_ADMIN, anthropic_list_rates},
    {"POST", WORKSPACE "/rate_limits/*", ACCESS_ADMIN, anthropic_set_rates},

    {"POST", ORG "/spend_limits", ACCESS_ADMIN, anthropic_set_spend_limit},
    {"GET", ORG "/spend_limits", ACCESS_ADMIN, anthropic_list_spend_limits},
    {"GET", ORG "/spend_limits/*", ACCESS_ADMIN, anthropic_get_spend_limit},
    {"DELETE", ORG "/spend_limits/*", ACCESS_ADMIN, anthropic_delete_spend_limit},

    {"GET", ORG "/api_keys", ACCESS_ADMIN, anthropic_list_keys},
    {"GET", ORG "/api_keys/*", ACCESS_ADMIN, anthropic_get_key},
    {"POST", ORG "/api_keys/*", ACCESS_ADMIN, anthropic_update_key},

    {"GET", ORG "/usage_report/messages", ACCESS_ADMIN, anthropic_usage_report},
    {"GET", ORG "/cost_report", ACCESS_ADMIN, anthropic_cost_report},

    {"POST", "/v1/messages", ACCESS_MODEL, anthropic_message},
    {"POST", "/v1/messages/count_tokens", ACCESS_MODEL, anthropic_count_tokens},
};

static const struct {
    int status;
    const char *type, *message;
} usual[] = {
    {401, "authentication_error", "invalid x-api-key"},
    {403, "permission_error", "Your API key does not have permission to do this."},
    {404, "not_found_error", "Not found."},
    {429, "rate_limit_error", "This request would exceed your rate limit. Please try again later."},
    {504, "timeout_error", "The request timed out."},
    {529, "overloaded_error", "Overloaded"},
    {500, "api_error", "Internal server error"}, /* and whatever lies above */
    {0, "invalid_request_error", "The request was refused."},
};

void anthropic_error(struct answer *answer, int status, const char *type, const char *code, const char *message)
{
    struct json_object *object = json_object_new_object();
    struct json_object *error = json_object_new_object();
    struct json_object *details;
    size_t kind = 0;

    while (usual[kind].status != status && usual[kind].status != 0 && !(usual[kind].status == 500 && status > 500))
        kind++;
    put_string(error, "type", type != NULL ? type : usual[kind].type);
    put_string(error, "message", message != NULL ? message : usual[kind].message);
    if (code != NULL) {
        details = json_object_new_object();
        put_string(details, "error_code", code);
        json_object_object_add(error, "details", details);
    }
    put_string(object, "type", "error");
    json_object_object_add(object, "error", error);
    put_string(object, "request_id", "req_sandbox");
    answer_json(answer, status, object);
}

static bool version_known(struct call *call)
{
    const char *version = call->request->api_version;

    if (version != NULL && (strcmp(version, "2023-06-01") == 0 || strcmp(version, "2026-10-21") == 0))
        return true;
    anthropic_error(call->answer, 400, NULL, NULL,
                    version == NULL ? "anthropic-version: header is required"
                                    : "anthropic-version: this is not a valid version");
    return false;
}

/* A key may come either way: the SDK has sent it as a bearer token since its version 1. */
static bool admit(struct call *call)
{
    const char *secret = call->request->api_key != NULL ? call->request->api_key : call->request->bearer;
    struct console_key *key;

    if (!version_known(call))
        return false;
    if (secret == NULL) {
        anthropic_error(call->answer, 401, NULL, NULL, "x-api-key header is required");
        return false;
    }
    if (call->route->access == ACCESS_ADMIN) {
        call->organisation = store_organisation(call->store, secret);
        if (call->organisation == NULL && call->request->bearer != NULL && federation_token(call->store, secret) != NULL &&
            federation_token(call->store, secret)->admin)
            call->organisation = federation_token(call->store, secret)->organisation;
        if (call->organisation != NULL)
            return true;
    }
    key = anthropic_key_of_secret(call->store, secret);
    if (key == NULL && call->request->bearer != NULL) {
        struct access_token *token = federation_token(call->store, secret);

        key = token != NULL && !token->admin ? &token->key : NULL;
    }
    if (key == NULL || !anthropic_key_works(key)) {
        anthropic_error(call->answer, 401, NULL, NULL, NULL);
        return false;
    }
    if (call->route->access == ACCESS_ADMIN) {
        anthropic_error(call->answer, 403, NULL, NULL, "The Admin API takes Admin API keys only.");
        return false;
    }
    key->last_used = unix_ms() / 1000;
    call->organisation = key->workspace->organisation;
    call->own = key;
    return true;
}

struct json_object *anthropic_body(struct call *call, const struct field *fields)
{
    const struct request *request = call->request;
    struct complaint complaint;
    struct json_object *body;

    if (request->body_size > 0 &&
        (request->content_type == NULL || strncasecmp(request->content_type, "application/json", 16) != 0)) {
        anthropic_error(call->answer, 400, NULL, NULL, "The body has to be sent as application/json.");
        return NULL;
    }
    body = parse_object(request->body, request->body_size);
    if (body == NULL) {
        anthropic_error(call->answer, 400, NULL, NULL, "The request body is not valid JSON.");
        return NULL;
    }
    if (!fields_check(body, fields, &complaint)) {
        anthropic_error(call->answer, 400, NULL, NULL, complaint.message);
        json_object_put(body);
        return NULL;
    }
    return body;
}

struct workspace *anthropic_path_workspace(struct call *call)
{
    struct workspace *workspace = anthropic_workspace(call->store, call->arg[0]);

    if (workspace != NULL && workspace->organisation != call->organisation)
        workspace = NULL; /* nothing tells another organisation's workspace from none */
    if (workspace == NULL)
        anthropic_error(call->answer, 404, NULL, NULL, "Workspace not found.");
    return workspace;
}

/* A whole number from LEAST to MOST, or the fallback when the parameter is not there. False after answering 400. */
static bool read_number(struct call *call, const char *name, int64_t fallback, int64_t least, int64_t most, int64_t *out)
{
    const char *text = request_query(call->request, name);
    char message[96], *end;

    *out = fallback;
    if (text == NULL)
        return true;
    *out = strtoll(text, &end, 10);
    if (*text != '\0' && *end == '\0' && *out >= least && *out <= most)
        return true;
    snprintf(message, sizeof(message), "%s: Input should be from %lld to %lld", name, (long long)least, (long long)most);
    anthropic_error(call->answer, 400, NULL, NULL, message);
    return false;
}

bool anthropic_page_begin(struct call *call, struct id_page *page)
{
    int64_t limit;

    /* An answer that ignored it would look right and be wrong. */
    if (request_query(call->request, "before_id") != NULL) {
        anthropic_error(call->answer, 400, NULL, NULL, "before_id: the sandbox does not page backwards");
        return false;
    }
    if (!read_number(call, "limit", 20, 1, 1000, &limit))
        return false;
    id_page_init(page, call, request_query(call->request, "after_id"), limit);
    return true;
}

void anthropic_page_end(struct id_page *page)
{
    struct json_object *object = id_page_json(page, NULL);

    if (object == NULL)
        anthropic_error(page->call->answer, 400, NULL, NULL, "after_id: no such object in this list");
    else
        answer_json(page->call->answer, 200, object);
}

void answer_cursor_page(struct call *call, struct json_object *all)
{
    const char *cursor = request_query(call->request, "page");
    int64_t count = (int64_t)json_object_array_length(all), limit, at = 0;
    struct json_object *object, *data;
    char next[32], *end = "";

    if (cursor != NULL && strncmp(cursor, "page_", 5) == 0)
        at = strtoll(cursor + 5, &end, 10);
    if (cursor != NULL && (at <= 0 || at >= count || *end != '\0'))
        anthropic_error(call->answer, 400, NULL, NULL, "page: this is no page of the list");
    else if (read_number(call, "limit", count, 1, 1000, &limit)) {
        limit = knobs_page(&call->store->knobs, limit);
        data = json_object_new_array();
        for (; at < count && limit > 0; at++, limit--)
            json_object_array_add(data, json_object_get(json_object_array_get_idx(all, (size_t)at)));
        snprintf(next, sizeof(next), "page_%lld", (long long)at);
        object = json_object_new_object();
        json_object_object_add(object, "data", data);
        put_string(object, "next_page", at < count ? next : NULL);
        answer_json(call->answer, 200, object);
    }
    json_object_put(all);
}

static const char *const prefixes[] = {ORG "/", "/v1/messages", NULL};

const struct provider anthropic_provider = {
    .name = "anthropic",
    .prefixes = prefixes,
    .routes = routes,
    .n_routes = sizeof(routes) / sizeof(routes[0]),
    .admit = admit,
    .error = anthropic_error,
    .state = anthropic_state,
};
