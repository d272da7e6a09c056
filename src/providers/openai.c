/* OpenAI's administration API: projects are the containers, one service account with one key is a key.
 *
 * A key's id is its service account's: deleting the account kills its keys, and always works. Lists come in pages of
 * at most 100. A project is never deleted, only archived, and then it answers 400 to most that is asked of it: that
 * counts as "not there".
 *
 * A 404 alone proves nothing. The admin key of another organisation is as valid as ours and gets one for everything
 * that we have: taken at its word it would have us forget every live key. So a 404 to what is asked in a project is
 * followed by a look at the project with the same admin key:
 *
 *   the project is     what the 404 meant
 *   live               REVOKE_KEY: the service account is GONE. LIMIT_CONTAINER, when setting: there are no spend
 *                      limits, UNSUPPORTED. All others: REFUSED, in the words of the 404
 *   archived           GONE
 *   404 as well        REFUSED: since projects are never deleted, this admin key is not of the project's organisation
 *   not to be seen     never GONE: what the failure is called otherwise. A first request that was answered with 404
 *                      changed nothing, and the look cannot: so it is judged as a mere read, and not even a mint is
 *                      UNKNOWN. Later requests follow one that may have set something, which stays UNKNOWN
 *
 * What stands in the successes is read in openai-read.c; usage and costs are in openai-usage.c. */
#include "providers/openai.h"

#include "base/json.h"
#include "providers/form.h"

#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char who[] = OPENAI_WHO;

const char *openai_given_project(const struct provider_settings *settings)
{
    const char *project = settings->project;
    return *project && strcmp(project, "per-domain") != 0 && strcmp(project, "per-owner") != 0 ? project : NULL;
}

bool openai_wide_id_valid(const char *id)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.:";
    return *id && *id != '.' && strlen(id) < RECORD_REMOTE_ID_SIZE && !id[strspn(id, allowed)];
}

/* --- building --- */

bool openai_put_url(const struct provider_settings *settings, struct http_request *request, struct error *err,
                    const char *format, ...)
{
    va_list arguments;
    if (!form_put_url(request, form_base(settings, &provider_openai), err, "/organization"))
        return false;
    va_start(arguments, format);
    bool ok = form_append_url_list(request, err, format, arguments);
    va_end(arguments);
    return ok;
}

/* A page of the list at PATH. */
static bool put_page_url(const struct provider_settings *settings, const struct provider_progress *progress,
                         struct http_request *request, struct error *err, const char *path)
{
    const char *cursor = progress->cursor;
    return openai_put_url(settings, request, err, "%s?limit=100%s%s", path, *cursor ? "&after=" : "", cursor);
}

/* A page of a list in a project. */
static bool put_project_page_url(const struct provider_settings *settings, const struct provider_progress *progress,
                                 struct http_request *request, struct error *err, const char *project, const char *list)
{
    char path[RECORD_REMOTE_ID_SIZE + 64];
    snprintf(path, sizeof path, "/projects/%s/%s", project, list);
    return put_page_url(settings, progress, request, err, path);
}

/* LIFE: milliseconds, whole seconds of which are asked for; 0: without end. */
static bool put_name(struct http_request *request, const char *name, int64_t life, struct error *err)
{
    if (!*name)
        return error_set(err, ERROR_INVALID, "no name was given for what is to be made");
    struct json_object *body = json_object_new_object();
    json_put_string(body, "name", name);
    if (life > 0)
        json_put_integer(body, "expires_in_seconds", life / 1000);
    return form_post(request, body, err);
}

static bool build_limit(const struct provider_settings *settings, const struct provider_call *call,
                        const struct provider_progress *progress, struct http_request *request, struct error *err)
{
    if (call->monthly_limit <= 0)
        return error_set(err, ERROR_INVALID, "a monthly limit has to be more than nothing");
    if (!openai_put_url(settings, request, err, "/projects/%s/spend_limit", call->container_id))
        return false;
    if (progress->step == LIMIT_READ || call->only_read)
        return true;
    struct json_object *body = json_object_new_object();
    json_put_integer(body, "threshold_amount", form_cents(call->monthly_limit));
    json_put_string(body, "currency", "USD");
    json_put_string(body, "interval", "month");
    return form_post(request, body, err);
}

static bool build_rates(const struct provider_settings *settings, const struct provider_call *call,
                        const struct provider_progress *progress, const struct provider_result *so_far,
                        struct http_request *request, struct error *err)
{
    if (progress->step == RATES_LIST)
        return put_project_page_url(settings, progress, request, err, call->container_id, "rate_limits");
    const struct provider_item *item = &so_far->items[progress->index];
    const struct provider_rate *rate = rates_find(settings, item->name);
    if (!rate || !openai_put_url(settings, request, err, "/projects/%s/rate_limits/%s", call->container_id, item->id))
        return false;
    struct json_object *body = json_object_new_object();
    if (rate->requests_per_minute)
        json_put_integer(body, "max_requests_per_1_minute", rate->requests_per_minute);
    if (rate->tokens_per_minute)
        json_put_integer(body, "max_tokens_per_1_minute", rate->tokens_per_minute);
    return form_post(request, body, err);
}

static bool build_inventory(const struct provider_settings *settings, const struct provider_call *call,
                            const struct provider_progress *progress, const struct provider_result *so_far,
                            struct http_request *request, struct error *err)
{
    if (!call->name_prefix[0]) /* every project of the organisation would be called ours */
        return error_set(err, ERROR_INVALID, "an inventory needs the prefix of our names");
    if (progress->step == INVENTORY_PROJECTS)
        return put_page_url(settings, progress, request, err, "/projects");
    const char *project =
        progress->step == INVENTORY_GIVEN ? openai_given_project(settings) : so_far->items[progress->index].id;
    if (progress->step == INVENTORY_LIMIT)
        return openai_put_url(settings, request, err, "/projects/%s/spend_limit", so_far->items[progress->index].id);
    if (!provider_id_valid(project))
        return error_set(err, ERROR_INVALID, "the configured project is no id of a project");
    return put_project_page_url(settings, progress, request, err, project, "service_accounts");
}

/* Asks something in a project that we name. */
static bool needs_container(enum provider_verb verb)
{
    switch (verb) {
    case PROVIDER_LIMIT_CONTAINER:
    case PROVIDER_RATE_LIMIT_CONTAINER:
    case PROVIDER_ARCHIVE_CONTAINER:
    case PROVIDER_FIND_KEYS:
    case PROVIDER_MINT_KEY:
    case PROVIDER_REVOKE_KEY:
        return true;
    case PROVIDER_FIND_CONTAINER:
    case PROVIDER_CREATE_CONTAINER:
    case PROVIDER_INVENTORY:
    case PROVIDER_USAGE:
    case PROVIDER_CHECK:
    case PROVIDER_SUSPEND_KEY:
    case PROVIDER_RESUME_KEY:
    case PROVIDER_LIMIT_KEY:
    case PROVIDER_FIND_ADMIN_KEYS:
    case PROVIDER_CREATE_ADMIN_KEY:
    case PROVIDER_DELETE_ADMIN_KEY:
    case PROVIDER_IDENTIFY_KEY:
    case PROVIDER_RENEW_KEY:
        break;
    }
    return false;
}

static bool openai_build(const struct provider_settings *settings, const struct provider_call *call,
                         const struct provider_progress *progress, const struct provider_result *so_far,
                         struct http_request *request, struct error *err)
{
    const char *project = call->container_id;
    snprintf(request->secret_header, sizeof request->secret_header, "Authorization: Bearer ");
    request->method = HTTP_GET;
    if (needs_container(call->verb) && !provider_id_valid(project))
        return error_set(err, ERROR_INVALID, "the project's id is empty or holds what no id of %s's has", who);
    if (progress->step & LOOK_AT_PROJECT)
        return openai_put_url(settings, request, err, "/projects/%s", project);
    switch (call->verb) {
    case PROVIDER_FIND_CONTAINER:
        if (!call->container_name[0])
            return error_set(err, ERROR_INVALID, "no name was given for the project that is looked for");
        return put_page_url(settings, progress, request, err, "/projects");
    case PROVIDER_CREATE_CONTAINER:
        return openai_put_url(settings, request, err, "/projects") && put_name(request, call->container_name, 0, err);
    case PROVIDER_LIMIT_CONTAINER:
        return build_limit(settings, call, progress, request, err);
    case PROVIDER_RATE_LIMIT_CONTAINER:
        return build_rates(settings, call, progress, so_far, request, err);
    case PROVIDER_ARCHIVE_CONTAINER:
        request->method = HTTP_POST;
        return openai_put_url(settings, request, err, "/projects/%s/archive", project);
    case PROVIDER_FIND_KEYS:
        if (!call->key_name[0])
            return error_set(err, ERROR_INVALID, "no name was given for the key that is looked for");
        return put_project_page_url(settings, progress, request, err, project, "service_accounts");
    case PROVIDER_MINT_KEY:
        return openai_put_url(settings, request, err, "/projects/%s/service_accounts", project) &&
               put_name(request, call->key_name, settings->expires_ms, err);
    case PROVIDER_REVOKE_KEY:
        request->method = HTTP_DELETE;
        if (!provider_id_valid(call->key_id))
            return error_set(err, ERROR_INVALID, "the key's id is empty or holds what no id of %s's has", who);
        return openai_put_url(settings, request, err, "/projects/%s/service_accounts/%s", project, call->key_id);
    case PROVIDER_INVENTORY:
        return build_inventory(settings, call, progress, so_far, request, err);
    case PROVIDER_USAGE:
        return openai_build_usage(settings, call, progress, request, err);
    case PROVIDER_CHECK:
        return openai_put_url(settings, request, err, "/projects?limit=1");
    case PROVIDER_FIND_ADMIN_KEYS:
        if (!call->chosen && !call->key_name[0])
            return error_set(err, ERROR_INVALID, "neither a name nor a key was given for the admin key that is looked for");
        return put_page_url(settings, progress, request, err, "/admin_api_keys");
    case PROVIDER_CREATE_ADMIN_KEY:
        return openai_put_url(settings, request, err, "/admin_api_keys") &&
               put_name(request, call->key_name, call->life_ms, err);
    case PROVIDER_DELETE_ADMIN_KEY:
        request->method = HTTP_DELETE;
        if (!provider_id_valid(call->key_id))
            return error_set(err, ERROR_INVALID, "the admin key's id is empty or holds what no id of %s's has", who);
        return openai_put_url(settings, request, err, "/admin_api_keys/%s", call->key_id);
    case PROVIDER_SUSPEND_KEY: /* a service account's key works or is gone */
    case PROVIDER_RESUME_KEY:
    case PROVIDER_LIMIT_KEY: /* limits are on projects */
    case PROVIDER_IDENTIFY_KEY: /* keys are made, not claimed */
    case PROVIDER_RENEW_KEY:
        break;
    }
    return error_set(err, ERROR_INVALID, "no such verb");
}

/* --- refusals --- */

/* A 404 counts only in this provider's own form, and not the one for a path that it does not know: a wrong base URL
 * must not pass for a missing project either. */
static bool says_not_found(const struct http_answer *answer, const struct provider_complaint *complaint)
{
    return answer->status == 404 && complaint->readable && strncmp(complaint->message, "Invalid URL", 11) != 0;
}

static bool says_archived(const struct http_answer *answer, const struct provider_complaint *complaint)
{
    if ((answer->status != 400 && answer->status != 409) || !complaint->readable)
        return false;
    return strcmp(complaint->code, "project_archived") == 0 || strcasestr(complaint->message, "is archived") ||
           strcasestr(complaint->message, "already archived") || strcasestr(complaint->message, "been archived");
}

static bool says_not_enabled(const struct http_answer *answer, const struct provider_complaint *complaint)
{
    return answer->status == 403 && complaint->readable &&
           (strcasestr(complaint->code, "not_enabled") || strcasestr(complaint->message, "not enabled"));
}

/* What the 404 means depends on the project. Its words are kept for the case that they are the answer. */
static enum provider_next look_at_project(struct reading *reading, const struct provider_complaint *complaint)
{
    struct provider_progress *progress = reading->progress;
    provider_judge(reading->call->verb, who, reading->answer, complaint, reading->result);
    progress->unchanged = progress->step == 0; /* later steps follow one that may have set something */
    progress->step |= LOOK_AT_PROJECT;
    return PROVIDER_NEXT_REQUEST;
}

static enum provider_next conclude_not_ours(struct reading *reading)
{
    const char *project = reading->call->container_id, *given = openai_given_project(reading->settings);
    error_set(&reading->result->error, ERROR_DENIED,
              "this admin key does not see %s's project %s (404); projects are never deleted, so it probably belongs "
              "to another organisation: put back a key of the organisation that the project is in%s",
              who, project, given && strcmp(given, project) == 0 ? ", or correct the configured project" : "");
    return reading_conclude(reading, OUTCOME_REFUSED);
}

static enum provider_next parse_failure(struct reading *reading)
{
    const struct http_answer *answer = reading->answer;
    const struct provider_call *call = reading->call;
    const struct provider_progress *progress = reading->progress;
    bool looking = progress->step & LOOK_AT_PROJECT;
    struct provider_complaint complaint;
    form_read_complaint(answer, &complaint);
    if (needs_container(call->verb)) {
        if (says_not_found(answer, &complaint))
            return looking ? conclude_not_ours(reading) : look_at_project(reading, &complaint);
        if (says_archived(answer, &complaint))
            return openai_conclude_gone(reading);
    }
    if (call->verb == PROVIDER_LIMIT_CONTAINER && !looking && says_not_enabled(answer, &complaint)) {
        error_set(&reading->result->error, ERROR_INVALID, "%s does not offer spend limits to this account: %s", who,
                  complaint.message);
        reading->result->other_limit = true;
        return reading_conclude(reading, OUTCOME_UNSUPPORTED);
    }
    if (call->verb == PROVIDER_DELETE_ADMIN_KEY && says_not_found(answer, &complaint))
        return reading_conclude_gone(reading, "admin key", call->key_id);
    if (call->verb == PROVIDER_INVENTORY && progress->step == INVENTORY_OURS && says_archived(answer, &complaint))
        return openai_inventory_next(reading, progress->index + 1); /* since it was listed: its keys are dead */
    if (call->verb == PROVIDER_INVENTORY && progress->step == INVENTORY_LIMIT) {
        /* Only whether there is a limit is left open: the keys have been seen. */
        if (says_not_found(answer, &complaint))
            return openai_inventory_limit(reading, 0);
        if (says_archived(answer, &complaint) || says_not_enabled(answer, &complaint))
            return openai_inventory_limit(reading, PROVIDER_LIMIT_UNTOLD);
    }
    provider_judge(provider_judged_verb(call, progress), who, answer, &complaint, reading->result);
    return PROVIDER_NEXT_DONE;
}

static enum provider_next openai_parse(const struct provider_settings *settings, const struct provider_call *call,
                                       struct provider_progress *progress, const struct http_answer *answer,
                                       struct provider_result *result)
{
    struct reading reading = {who, settings, call, progress, answer, result};
    return http_succeeded(answer) ? openai_parse_success(&reading) : parse_failure(&reading);
}

/* `expires_in_seconds` of the service accounts' POST: 1 to 31536000. */
static bool openai_check(const struct provider_settings *settings, struct error *err)
{
    return settings->expires_ms <= 365 * FORM_DAY_MS ||
           error_set(err, ERROR_INVALID, "expires: a key of %s's lasts 365d at most", who);
}

const struct provider_driver provider_openai = {
    .type = "openai",
    .default_base_url = "https://api.openai.com/v1",
    .default_environment = "OPENAI_API_KEY",
    .serves_guests = true,
    .settings = PROVIDER_TAKES_PROJECT | PROVIDER_TAKES_RATE_LIMIT | PROVIDER_TAKES_EXPIRES,
    .capabilities = PROVIDER_CAN_MINT | PROVIDER_CAN_LIST | PROVIDER_CAN_CONTAIN | PROVIDER_CAN_LIMIT_CONTAINER |
                    PROVIDER_CAN_RATE_LIMIT | PROVIDER_CAN_ARCHIVE | PROVIDER_CAN_USAGE | PROVIDER_ROTATES_ADMIN_KEY,
    .check = openai_check,
    .build = openai_build,
    .parse = openai_parse,
};
