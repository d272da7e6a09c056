/* Enters at Anthropic what federation_wanted() says: for each of its parts the list is read, what has the name is
 * compared, and what is not there is made. What is there and is not as it should be is somebody's decision, and is only
 * told.
 *
 * An issuer, an account and a rule are known by their names, which are unique in an organisation; a membership by its
 * workspace. A request whose answer is lost is not repeated: run again, it is found. */
#include "providers/anthropic-federation.h"

#include "base/failpoint.h"
#include "base/json.h"
#include "providers/form.h"
#include "providers/http.h"

#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char who[] = FEDERATION_WHO;

enum { CURSOR_SIZE = 512, PAGES_MAX = 1000 };

struct application {
    struct http *http;
    struct provider_settings settings;
    struct json_object *wanted;
    struct secret *token;
    federation_done_fn *done;
    void *context;
    enum federation_part part;
    bool making; /* the request under way makes it; else it reads the list */
    char cursor[CURSOR_SIZE];
    unsigned pages;
    struct federation_report report;
};

static void go_on(struct application *application);

static void finish(struct application *application)
{
    application->done(application->context, &application->report);
    json_object_put(application->wanted);
    secret_free(application->token);
    free(application);
}

__attribute__((format(printf, 3, 4))) static void fail(struct application *application, enum error_code code,
                                                       const char *format, ...)
{
    char words[400], text[sizeof words];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    provider_quote(words, strlen(words), text, sizeof text); /* an id of an answer may be anything, our token too */
    error_set(&application->report.error, code, "%s: %s", federation_part_name(application->part), text);
    finish(application);
}

/* --- what is wanted --- */

static struct json_object *get(struct json_object *object, const char *name)
{
    struct json_object *value = NULL;
    if (json_object_is_type(object, json_type_object))
        json_object_object_get_ex(object, name, &value);
    return value;
}

static struct json_object *wanted_part(const struct application *application)
{
    static const char *const names[] = {
        [FEDERATION_ISSUER] = "issuer", [FEDERATION_SERVICE_ACCOUNT] = "service_account", [FEDERATION_RULE] = "rule"};
    return application->part == FEDERATION_MEMBERSHIP ? NULL : get(application->wanted, names[application->part]);
}

static const char *workspace_of(const struct application *application)
{
    return form_text(application->wanted, "workspace_id");
}

static const char *id_of(const struct application *application, enum federation_part part)
{
    return application->report.parts[part].id;
}

/* What is sent to make it; released by the caller. */
static struct json_object *body_of(const struct application *application)
{
    struct json_object *body = NULL, *target;
    if (application->part == FEDERATION_MEMBERSHIP)
        return federation_membership(workspace_of(application));
    if (json_object_deep_copy(wanted_part(application), &body, NULL) != 0)
        abort();
    if (application->part != FEDERATION_RULE)
        return body;
    /* Ids in place of names. */
    json_object_object_del(body, "issuer");
    json_put_string(body, "issuer_id", id_of(application, FEDERATION_ISSUER));
    target = get(body, "target");
    json_object_object_del(target, "service_account");
    json_put_string(target, "service_account_id", id_of(application, FEDERATION_SERVICE_ACCOUNT));
    json_put_string(body, "workspace_id", workspace_of(application));
    return body;
}

/* --- what is there --- */

static bool has_key(struct json_object *jwks, struct json_object *wanted)
{
    const char *kid = form_text(json_object_array_get_idx(get(get(wanted, "jwks"), "keys"), 0), "kid");
    struct json_object *keys = get(jwks, "keys");
    for (size_t i = 0; json_object_is_type(keys, json_type_array) && i < json_object_array_length(keys); i++)
        if (strcmp(form_text(json_object_array_get_idx(keys, i), "kid"), kid) == 0)
            return true;
    return false;
}

static bool names_workspace(struct json_object *rule, const char *workspace)
{
    struct json_object *ids = get(rule, "workspace_ids");
    if (json_object_get_boolean(get(rule, "applies_to_all_workspaces")) ||
        strcmp(form_text(rule, "workspace_id"), workspace) == 0)
        return true;
    for (size_t i = 0; json_object_is_type(ids, json_type_array) && i < json_object_array_length(ids); i++) {
        const char *id = json_object_get_string(json_object_array_get_idx(ids, i));
        if (id && strcmp(id, workspace) == 0)
            return true;
    }
    return false;
}

/* What of FOUND is not as it should be, in the API's words; NULL: nothing. */
static const char *difference(const struct application *application, struct json_object *found)
{
    struct json_object *wanted = wanted_part(application);
    switch (application->part) {
    case FEDERATION_ISSUER:
        if (strcmp(form_text(found, "issuer_url"), form_text(wanted, "issuer_url")) != 0)
            return "issuer_url";
        if (!has_key(get(found, "jwks"), wanted))
            return "jwks";
        return json_object_get_int64(get(found, "max_jwt_lifetime_seconds")) <
                       json_object_get_int64(get(wanted, "max_jwt_lifetime_seconds"))
                   ? "max_jwt_lifetime_seconds"
                   : NULL;
    case FEDERATION_RULE:
        if (strcmp(form_text(found, "issuer_id"), id_of(application, FEDERATION_ISSUER)) != 0)
            return "issuer_id";
        if (strcmp(form_text(get(found, "target"), "service_account_id"), id_of(application, FEDERATION_SERVICE_ACCOUNT)) != 0)
            return "target";
        if (strcmp(form_text(get(found, "match"), "subject_prefix"), form_text(get(wanted, "match"), "subject_prefix")) != 0)
            return "match.subject_prefix";
        if (strcmp(form_text(get(found, "match"), "audience"), form_text(get(wanted, "match"), "audience")) != 0)
            return "match.audience";
        /* How long access lasts after the last token is reckoned with it; and more than models is nobody's business. */
        if (json_object_get_int64(get(found, "token_lifetime_seconds")) !=
            json_object_get_int64(get(wanted, "token_lifetime_seconds")))
            return "token_lifetime_seconds";
        if (strcmp(form_text(found, "oauth_scope"), form_text(wanted, "oauth_scope")) != 0)
            return "oauth_scope";
        return names_workspace(found, workspace_of(application)) ? NULL : "workspace_ids";
    case FEDERATION_SERVICE_ACCOUNT:
    case FEDERATION_MEMBERSHIP:
    case FEDERATION_PARTS:
        break;
    }
    return NULL;
}

/* The part is none of this federation's. */
static bool left_out(const struct application *application)
{
    return application->part != FEDERATION_ISSUER && application->part < FEDERATION_PARTS && !get(application->wanted, "rule");
}

static bool is_ours(const struct application *application, struct json_object *item)
{
    if (application->part == FEDERATION_MEMBERSHIP)
        return strcmp(form_text(item, "workspace_id"), workspace_of(application)) == 0;
    return strcmp(form_text(item, "name"), form_text(wanted_part(application), "name")) == 0;
}

/* --- going on --- */

static void have(struct application *application, struct json_object *item, bool made)
{
    bool membership = application->part == FEDERATION_MEMBERSHIP;
    const char *id = form_text(item, membership ? "workspace_id" : "id"), *differs = made ? NULL : difference(application, item);
    if (!provider_id_valid(id)) {
        fail(application, ERROR_PROTOCOL, "%s's answer has no id", who);
        return;
    }
    snprintf(application->report.parts[application->part].id, RECORD_REMOTE_ID_SIZE, "%s", id);
    application->report.parts[application->part].made = made;
    if (differs) {
        fail(application, ERROR_INVALID,
             "%s is there, and its %s is not what llmhook federation show prints: correct it in the Console, or rename it "
             "there so that another can be made",
             id, differs);
        return;
    }
    do
        application->part++;
    while (left_out(application));
    application->making = false;
    application->cursor[0] = '\0';
    application->pages = 0;
    go_on(application);
}

static void read_list(struct application *application, struct json_object *document)
{
    struct json_object *data = get(document, "data");
    const char *next = form_text(document, "next_page");
    if (!json_object_is_type(data, json_type_array)) {
        fail(application, ERROR_PROTOCOL, "%s's list has no field 'data'", who);
        return;
    }
    for (size_t i = 0; i < json_object_array_length(data); i++)
        if (is_ours(application, json_object_array_get_idx(data, i))) {
            have(application, json_object_array_get_idx(data, i), false);
            return;
        }
    if (next[0] && (strlen(next) >= CURSOR_SIZE || ++application->pages > PAGES_MAX)) {
        fail(application, ERROR_LIMIT, "%s's list does not end", who);
        return;
    }
    snprintf(application->cursor, sizeof application->cursor, "%s", next);
    application->making = !next[0];
    go_on(application);
}

static void refused(struct application *application, const struct http_answer *answer)
{
    struct provider_complaint complaint;
    federation_read_complaint(answer, &complaint);
    if (answer->status == 401 || answer->status == 403)
        fail(application, ERROR_DENIED,
             "%s does not take this token (%ld): it has to be an OAuth token with the scope org:admin, not an admin key%s%s",
             who, answer->status, complaint.message[0] && answer->status == 403 ? ": " : "",
             answer->status == 403 ? complaint.message : "");
    else
        fail(application, ERROR_IO, "%s refused (%ld)%s%s", who, answer->status, complaint.message[0] ? ": " : "",
             complaint.message);
}

static void on_answer(void *context, struct http_answer *answer)
{
    struct application *application = context;
    cleanup_json struct json_object *document = NULL;
    struct error err = ERROR_INIT;
    FAILPOINT("apply-federation", "answered");
    if (answer->end != HTTP_ANSWERED)
        fail(application, answer->error.code, "%s%s", answer->error.text,
             answer->end == HTTP_UNANSWERED && application->making ? "; it may be there now: run it again" : "");
    else if (!http_succeeded(answer))
        refused(application, answer);
    else if (!json_parse(buffer_text(&answer->body), answer->body.length, &document, &err))
        fail(application, err.code, "%s's answer: %s", who, err.text);
    else if (application->making)
        have(application, document, true);
    else
        read_list(application, document);
}

static bool put_url(const struct application *application, struct http_request *request)
{
    static const char *const paths[] = {
        [FEDERATION_ISSUER] = "federation_issuers", [FEDERATION_SERVICE_ACCOUNT] = "service_accounts",
        [FEDERATION_MEMBERSHIP] = "service_accounts", [FEDERATION_RULE] = "federation_rules"};
    char cursor[3 * CURSOR_SIZE];
    bool ok = form_put_url(request, form_base(&application->settings, &provider_anthropic_federation), NULL,
                           "/v1/organizations/%s", paths[application->part]);
    if (application->part == FEDERATION_MEMBERSHIP)
        ok = ok && form_append_url(request, NULL, "/%s/workspaces", id_of(application, FEDERATION_SERVICE_ACCOUNT));
    if (application->making)
        return ok;
    form_escape(application->cursor, cursor, sizeof cursor);
    return ok && form_append_url(request, NULL, "?limit=100%s%s", *cursor ? "&page=" : "", cursor);
}

/* The next request, or the end. */
static void go_on(struct application *application)
{
    if (application->part == FEDERATION_PARTS) {
        finish(application);
        return;
    }
    struct http_request request = HTTP_REQUEST_INIT;
    request.headers = federation_admin_headers;
    request.secret = application->token;
    request.ca_file = application->settings.ca_file;
    request.timeout_ms = application->settings.timeout_ms;
    snprintf(request.secret_header, sizeof request.secret_header, "Authorization: Bearer ");
    bool ok = put_url(application, &request);
    if (application->making)
        ok = form_post(&request, body_of(application), NULL) && ok;
    FAILPOINT("apply-federation", "sending");
    if (ok)
        http_start(application->http, &request, on_answer, application);
    else
        fail(application, ERROR_LIMIT, "the request would be too long: shorten base-url");
    buffer_clear(&request.body);
}

void federation_apply(struct http *http, const struct provider_settings *settings, struct json_object *wanted,
                      const struct secret *token, federation_done_fn *done, void *context)
{
    struct application *application = calloc(1, sizeof *application);
    if (!application)
        abort(); /* the callback is promised */
    *application = (struct application){.http = http, .settings = *settings, .wanted = json_object_get(wanted),
                                        .token = secret_copy(token), .done = done, .context = context};
    go_on(application);
}
