/* Anthropic's Admin API: workspaces are the containers, and keys are claimed, not made.
 *
 * The API lists, renames and switches keys; only a person makes them, in the Console (POST .../api_keys answers 405;
 * @anthropic-ai/sdk 1.14.0 has retrieve, update and list). So MINT_KEY takes the key that the call names: it gets our
 * name and becomes active. Suspended is `inactive`, which can be taken back; revoked is `archived`, which cannot. A key
 * stays in the workspace that it was made in.
 *
 * Neither keys nor workspaces are ever deleted, and an error's wording may change: so nothing is concluded from a
 * refusal. What is refused with 400 or 404 is looked at with the same admin key:
 *
 *   what is looked at is    what the refusal meant
 *   key, archived/expired   GONE, and for MINT_KEY: another has to be claimed
 *   key, active/inactive    REFUSED, in the words of the refusal
 *   key, 404                its workspace is looked at
 *   workspace, archived     GONE
 *   workspace, live         REVOKE_KEY, SUSPEND_KEY, RESUME_KEY of a key that is not there: GONE. LIMIT_CONTAINER, when
 *                           setting and with 404: there are no spend limits, UNSUPPORTED. All others: REFUSED
 *   workspace, 404          REFUSED: this admin key is not of the organisation that they are in
 *   not to be seen          never GONE: what the failure is called otherwise
 *
 * Where a call names no workspace, nothing proves that a key which is not seen is gone: that is REFUSED.
 *
 * What stands in the successes is read in anthropic-read.c. */
#include "providers/anthropic.h"

#include "base/json.h"
#include "providers/form.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

static const char who[] = ANTHROPIC_WHO;

/* Characters, as far as we know: no specification and no SDK says so. What is longer is cut, and whole in a tag. */
enum { WORKSPACE_NAME_MAX = 40 };

const char *const anthropic_limiters[LIMITERS_COUNT] = {"requests_per_minute", "input_tokens_per_minute",
                                                        "input_tokens_per_minute_cache_aware",
                                                        "output_tokens_per_minute", "tokens_per_minute"};

bool anthropic_verb_is_about_key(enum provider_verb verb)
{
    return verb == PROVIDER_MINT_KEY || verb == PROVIDER_REVOKE_KEY || verb == PROVIDER_SUSPEND_KEY ||
           verb == PROVIDER_RESUME_KEY;
}

const char *anthropic_workspace_of(const struct provider_call *call)
{
    return call->container_id[0] && strcmp(call->container_id, PROVIDER_ACCOUNT) != 0 ? call->container_id : NULL;
}

int64_t anthropic_limiter_value(const struct provider_rate *rate, unsigned limiter)
{
    return (1 << limiter) == LIMITER_REQUESTS ? rate->requests_per_minute : rate->tokens_per_minute;
}

/* --- building --- */

static const char *base_of(const struct provider_settings *settings)
{
    return form_base(settings, &provider_anthropic);
}

bool anthropic_put_page_url(const struct provider_settings *settings, const struct provider_progress *progress,
                            struct http_request *request, struct error *err, const char *path, const char *cursor_name)
{
    char cursor[3 * sizeof progress->cursor];
    form_escape(progress->cursor, cursor, sizeof cursor);
    return form_put_url(request, base_of(settings), err, "/v1/organizations/%s%s%s%s%s", path, *cursor ? "&" : "",
                        *cursor ? cursor_name : "", *cursor ? "=" : "", cursor);
}

static bool put_keys_url(const struct provider_settings *settings, const struct provider_progress *progress,
                         struct http_request *request, struct error *err, const char *workspace)
{
    char path[RECORD_REMOTE_ID_SIZE + 64];
    snprintf(path, sizeof path, "api_keys?limit=1000%s%s", workspace ? "&workspace_id=" : "", workspace ? workspace : "");
    return anthropic_put_page_url(settings, progress, request, err, path, "after_id");
}

/* A name that is too long is cut, and whole in a tag: both the name and the tag are looked for. */
static bool build_creation(const struct provider_settings *settings, const struct provider_call *call,
                           struct http_request *request, struct error *err)
{
    char cut[WORKSPACE_NAME_MAX + 1];
    if (!call->container_name[0])
        return error_set(err, ERROR_INVALID, "no name was given for what is to be made");
    if (!form_put_url(request, base_of(settings), err, "/v1/organizations/workspaces"))
        return false;
    snprintf(cut, sizeof cut, "%.*s", WORKSPACE_NAME_MAX, call->container_name);
    struct json_object *body = json_object_new_object(), *tags = json_object_new_object();
    json_put_string(body, "name", cut);
    json_put_string(tags, ANTHROPIC_TAG, call->container_name);
    json_put(body, "tags", tags);
    return form_post(request, body, err);
}

static bool build_limit(const struct provider_settings *settings, const struct provider_call *call,
                        const struct provider_progress *progress, struct http_request *request, struct error *err)
{
    char amount[32];
    if (call->monthly_limit <= 0)
        return error_set(err, ERROR_INVALID, "a monthly limit has to be more than nothing");
    if (progress->step == LIMIT_READ)
        return form_put_url(request, base_of(settings), err, "/v1/organizations/spend_limits/%s", progress->cursor);
    if (!form_put_url(request, base_of(settings), err, "/v1/organizations/spend_limits"))
        return false;
    snprintf(amount, sizeof amount, "%lld", (long long)form_cents(call->monthly_limit));
    struct json_object *body = json_object_new_object(), *scope = json_object_new_object();
    json_put_string(body, "amount", amount);
    json_put_string(scope, "type", "workspace");
    json_put_string(scope, "workspace_id", call->container_id);
    json_put(body, "scope", scope);
    json_put_string(body, "period", "monthly");
    return form_post(request, body, err);
}

static bool build_rates(const struct provider_settings *settings, const struct provider_call *call,
                        const struct provider_progress *progress, const struct provider_result *so_far,
                        struct http_request *request, struct error *err)
{
    if (progress->step == RATES_LIST)
        return anthropic_put_page_url(settings, progress, request, err, "rate_limits?limit=100&group_type=model_group", "page");
    const struct provider_item *item = &so_far->items[progress->index];
    const struct provider_rate *rate = rates_find(settings, item->name);
    if (!rate || !form_put_url(request, base_of(settings), err, "/v1/organizations/workspaces/%s/rate_limits/%s",
                               call->container_id, item->id))
        return false;
    struct json_object *body = json_object_new_object(), *limits = json_object_new_array();
    for (unsigned i = 0; i < LIMITERS_COUNT; i++) {
        if (!(item->monthly_limit & (1 << i)))
            continue;
        struct json_object *limit = json_object_new_object();
        json_put_string(limit, "type", anthropic_limiters[i]);
        json_put_integer(limit, "value", anthropic_limiter_value(rate, i));
        json_object_array_add(limits, limit);
    }
    json_put(body, "limits", limits);
    return form_post(request, body, err);
}

static bool build_key(const struct provider_settings *settings, const struct provider_call *call,
                      const struct provider_progress *progress, struct http_request *request, struct error *err)
{
    if (!provider_id_valid(call->key_id))
        return error_set(err, ERROR_INVALID, "the key's id is empty or holds what no id of %s's has", who);
    if (!form_put_url(request, base_of(settings), err, "/v1/organizations/api_keys/%s", call->key_id))
        return false;
    if ((progress->step & LOOK_AT_KEY) || (call->verb == PROVIDER_MINT_KEY && progress->step == CLAIM_READ))
        return true;
    if (call->verb == PROVIDER_MINT_KEY && !call->key_name[0])
        return error_set(err, ERROR_INVALID, "no name was given for the key that is claimed");
    struct json_object *body = json_object_new_object();
    /* One that is resumed may have been suspended before its claim was answered. */
    if ((call->verb == PROVIDER_MINT_KEY || call->verb == PROVIDER_RESUME_KEY) && call->key_name[0])
        json_put_string(body, "name", call->key_name);
    json_put_string(body, "status",
                    call->verb == PROVIDER_REVOKE_KEY    ? "archived"
                    : call->verb == PROVIDER_SUSPEND_KEY ? "inactive"
                                                         : "active");
    return form_post(request, body, err);
}

static bool build_inventory(const struct provider_settings *settings, const struct provider_call *call,
                            const struct provider_progress *progress, struct http_request *request, struct error *err)
{
    if (!call->name_prefix[0]) /* every key of the organisation would be called ours */
        return error_set(err, ERROR_INVALID, "an inventory needs the prefix of our names");
    if (progress->step == INVENTORY_WORKSPACES)
        return anthropic_put_page_url(settings, progress, request, err, "workspaces?limit=1000", "after_id");
    if (progress->step == INVENTORY_KEYS)
        return put_keys_url(settings, progress, request, err, NULL);
    return anthropic_put_page_url(settings, progress, request, err, "spend_limits?limit=1000&scope_type%5B%5D=workspace", "page");
}

/* Asks something of one workspace, or of a key in it. */
static bool needs_container(enum provider_verb verb)
{
    return verb == PROVIDER_LIMIT_CONTAINER || verb == PROVIDER_RATE_LIMIT_CONTAINER ||
           verb == PROVIDER_ARCHIVE_CONTAINER || verb == PROVIDER_FIND_KEYS || anthropic_verb_is_about_key(verb);
}

static bool build_verb(const struct provider_settings *settings, const struct provider_call *call,
                       const struct provider_progress *progress, const struct provider_result *so_far,
                       struct http_request *request, struct error *err)
{
    switch (call->verb) {
    case PROVIDER_LIMIT_KEY: /* limits are on workspaces */
    case PROVIDER_FIND_ADMIN_KEYS: /* made in the Console alone */
    case PROVIDER_CREATE_ADMIN_KEY:
    case PROVIDER_DELETE_ADMIN_KEY:
        break;
    case PROVIDER_FIND_CONTAINER:
        if (!call->container_name[0])
            return error_set(err, ERROR_INVALID, "no name was given for the workspace that is looked for");
        return anthropic_put_page_url(settings, progress, request, err, "workspaces?limit=1000", "after_id");
    case PROVIDER_CREATE_CONTAINER:
        return build_creation(settings, call, request, err);
    case PROVIDER_LIMIT_CONTAINER:
        return build_limit(settings, call, progress, request, err);
    case PROVIDER_RATE_LIMIT_CONTAINER:
        return build_rates(settings, call, progress, so_far, request, err);
    case PROVIDER_ARCHIVE_CONTAINER:
        request->method = HTTP_POST;
        return form_put_url(request, base_of(settings), err, "/v1/organizations/workspaces/%s/archive", call->container_id);
    case PROVIDER_FIND_KEYS:
        if (!call->key_name[0])
            return error_set(err, ERROR_INVALID, "no name was given for the key that is looked for");
        return put_keys_url(settings, progress, request, err, anthropic_workspace_of(call));
    case PROVIDER_IDENTIFY_KEY:
        if (!call->chosen)
            return error_set(err, ERROR_INVALID, "no key was given that is to be identified");
        return put_keys_url(settings, progress, request, err, NULL);
    case PROVIDER_MINT_KEY:
    case PROVIDER_REVOKE_KEY:
    case PROVIDER_SUSPEND_KEY:
    case PROVIDER_RESUME_KEY:
        return build_key(settings, call, progress, request, err);
    case PROVIDER_INVENTORY:
        return build_inventory(settings, call, progress, request, err);
    case PROVIDER_CHECK:
        return form_put_url(request, base_of(settings), err, "/v1/organizations/workspaces?limit=1");
    case PROVIDER_USAGE:
        return anthropic_build_usage(settings, call, progress, request, err);
    case PROVIDER_RENEW_KEY:
        break;
    }
    return error_set(err, ERROR_INVALID, "no such verb");
}

static bool anthropic_build(const struct provider_settings *settings, const struct provider_call *call,
                            const struct provider_progress *progress, const struct provider_result *so_far,
                            struct http_request *request, struct error *err)
{
    static const char *const headers[] = {"anthropic-version: 2023-06-01", NULL};
    /* Listing spend limits is in beta. */
    static const char *const listing[] = {"anthropic-version: 2023-06-01",
                                          "anthropic-beta: spend-limit-reads-2026-09-26", NULL};
    const char *workspace = anthropic_workspace_of(call);
    snprintf(request->secret_header, sizeof request->secret_header, "x-api-key: ");
    request->method = HTTP_GET;
    request->headers = call->verb == PROVIDER_INVENTORY && progress->step == INVENTORY_LIMITS ? listing : headers;
    bool may_lack = anthropic_verb_is_about_key(call->verb) || call->verb == PROVIDER_FIND_KEYS;
    if (needs_container(call->verb) && (workspace ? !provider_id_valid(workspace) : !may_lack))
        return error_set(err, ERROR_INVALID, "the workspace's id is empty or holds what no id of %s's has", who);
    if (progress->step & LOOK_AT_WORKSPACE)
        return form_put_url(request, base_of(settings), err, "/v1/organizations/workspaces/%s", workspace ? workspace : "");
    return build_verb(settings, call, progress, so_far, request, err);
}

/* --- refusals --- */

static void read_complaint(const struct http_answer *answer, struct provider_complaint *ret)
{
    cleanup_json struct json_object *document = NULL;
    struct json_object *error, *details;
    form_read_complaint(answer, ret); /* but for the code, which has another place here */
    ret->code[0] = '\0';
    if (!ret->readable || !json_parse(buffer_text(&answer->body), answer->body.length, &document, NULL) ||
        !json_get_object(document, "error", &error, NULL) || !json_get_object(error, "details", &details, NULL))
        return;
    form_quote(details, "error_code", ret->code, sizeof ret->code);
}

/* Spend limits are for some organisations only. */
static bool says_not_enabled(const struct http_answer *answer, const struct provider_complaint *complaint)
{
    if (!complaint->readable || (answer->status != 403 && answer->status != 400))
        return false;
    return strcmp(complaint->code, "spend_limits_admin_api_writes_not_enabled") == 0 ||
           strcmp(complaint->code, "organization_type_not_supported") == 0 ||
           (answer->status == 403 && strcasestr(complaint->message, "not enabled"));
}

/* The words of the refusal are kept for the case that they are the answer, its status as the progress' index. */
static enum provider_next look(struct reading *reading, const struct provider_complaint *complaint,
                               unsigned what)
{
    struct provider_progress *progress = reading->progress;
    if (!(progress->step & (LOOK_AT_KEY | LOOK_AT_WORKSPACE))) {
        provider_judge(reading->call->verb, who, reading->answer, complaint, reading->result);
        progress->unchanged = progress->step == 0; /* later steps follow one that may have set something */
        progress->index = (size_t)reading->answer->status;
    }
    progress->step = (progress->step & ~(unsigned)LOOK_AT_KEY) | what;
    return PROVIDER_NEXT_REQUEST;
}

static enum provider_next conclude_not_ours(struct reading *reading)
{
    const struct provider_call *call = reading->call;
    const char *workspace = anthropic_workspace_of(call);
    error_set(&reading->result->error, ERROR_DENIED,
              "this admin key does not see %s's %s %s (404); %ss are never deleted, so it probably belongs to another "
              "organisation: put back an admin key of the organisation that it is in",
              who, workspace ? "workspace" : "key", workspace ? workspace : call->key_id, workspace ? "workspace" : "key");
    return reading_conclude(reading, OUTCOME_REFUSED);
}

static enum provider_next parse_refusal(struct reading *reading, const struct provider_complaint *complaint)
{
    const struct provider_call *call = reading->call;
    unsigned step = reading->progress->step;
    bool missing = reading->answer->status == 404, about_key = anthropic_verb_is_about_key(call->verb);
    if (missing && ((step & LOOK_AT_WORKSPACE) || (about_key && !anthropic_workspace_of(call))))
        return conclude_not_ours(reading);
    return look(reading, complaint, about_key && !missing ? LOOK_AT_KEY : LOOK_AT_WORKSPACE);
}

static enum provider_next parse_failure(struct reading *reading)
{
    const struct http_answer *answer = reading->answer;
    const struct provider_call *call = reading->call;
    const struct provider_progress *progress = reading->progress;
    struct provider_complaint complaint;
    read_complaint(answer, &complaint);
    if (call->verb == PROVIDER_LIMIT_CONTAINER && says_not_enabled(answer, &complaint)) {
        error_set(&reading->result->error, ERROR_INVALID, "%s does not offer spend limits to this organisation: %s", who,
                  complaint.message);
        reading->result->other_limit = true;
        return reading_conclude(reading, OUTCOME_UNSUPPORTED);
    }
    /* Only whether there are limits is left open: the keys have been seen. */
    if (call->verb == PROVIDER_INVENTORY && progress->step == INVENTORY_LIMITS && complaint.readable &&
        (answer->status == 400 || answer->status == 403 || answer->status == 404))
        return reading_conclude(reading, OUTCOME_OK);
    bool looking = progress->step & (LOOK_AT_KEY | LOOK_AT_WORKSPACE);
    bool has_place = anthropic_verb_is_about_key(call->verb) || (needs_container(call->verb) && anthropic_workspace_of(call));
    if (has_place && complaint.readable && (answer->status == 404 || (answer->status == 400 && !looking)))
        return parse_refusal(reading, &complaint);
    provider_judge(provider_judged_verb(call, progress), who, answer, &complaint, reading->result);
    return PROVIDER_NEXT_DONE;
}

static enum provider_next anthropic_parse(const struct provider_settings *settings, const struct provider_call *call,
                                          struct provider_progress *progress, const struct http_answer *answer,
                                          struct provider_result *result)
{
    struct reading reading = {who, settings, call, progress, answer, result};
    return http_succeeded(answer) ? anthropic_parse_success(&reading) : parse_failure(&reading);
}

/* Should the API one day make keys, PROVIDER_CLAIMS goes, and MINT_KEY is a POST to the list. */
const struct provider_driver provider_anthropic = {
    .type = "anthropic",
    .default_base_url = "https://api.anthropic.com",
    .default_environment = "ANTHROPIC_API_KEY",
    .settings = PROVIDER_TAKES_PROJECT | PROVIDER_TAKES_POOL_LOW, /* a pool's workspaces are not ours to limit */
    .serves_guests = true,
    .capabilities = PROVIDER_CAN_MINT | PROVIDER_CAN_LIST | PROVIDER_CAN_CONTAIN | PROVIDER_CAN_LIMIT_CONTAINER |
                    PROVIDER_CAN_RATE_LIMIT | PROVIDER_CAN_ARCHIVE | PROVIDER_CAN_SUSPEND | PROVIDER_CLAIMS |
                    PROVIDER_CAN_USAGE,
    .build = anthropic_build,
    .parse = anthropic_parse,
};
