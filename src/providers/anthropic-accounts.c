/* A service account at Anthropic for each domain, so that what each one used can be told apart: `service-account =
 * per-domain`. Only a rule says as whom a token acts, so each account has a rule of its own, which takes that domain's
 * subject and no other; the issuer is the host's. All that is done with an OAuth token of the scope org:admin.
 *
 * To the rest of the program account and rule are one container, whose id is "ACCOUNT-RULE"; where the rule is missing it is
 * the account's alone, and no container that tokens could be signed for. Only a rule counts that takes what this host signs:
 * that domain's subject, of the issuer that lives; after another signing key that is another one. Names are unique in an organisation, and made
 * of the container's: so making can be begun again at any time, it goes on with what is there. Whether an archived one
 * keeps its name is not said: a name that is taken by nothing that lives is passed over ("NAME--2"). Neither is ever
 * deleted there. */
#include "providers/anthropic-federation.h"
#include "providers/anthropic.h"

#include "base/json.h"
#include "providers/form.h"
#include "providers/http.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char who[] = FEDERATION_WHO;

enum { NAMES_MAX = 99 }; /* of one domain that came and went */

/* In the order in which they are gone through; each verb begins at first_step() and goes on by page_ended() and
 * step_ended(). The accounts that a call is about are its items, whose ids become whole with their rules; while one is
 * made it is the first of them. The result's key_id is the host's issuer; while one is archived it is the rule. */
enum {
    STEP_ISSUERS,
    STEP_ACCOUNTS,
    STEP_MAKE_ACCOUNT, /* its name is the one of number progress->index */
    STEP_MEMBERSHIP,
    STEP_RULES,
    STEP_MAKE_RULE, /* as the account */
    STEP_ARCHIVE_RULE,
    STEP_ARCHIVE_ACCOUNT,
};

bool federation_asks(const struct provider_settings *settings, enum provider_verb verb)
{
    switch (verb) {
    case PROVIDER_FIND_CONTAINER:
    case PROVIDER_CREATE_CONTAINER:
    case PROVIDER_ARCHIVE_CONTAINER:
    case PROVIDER_INVENTORY:
    case PROVIDER_USAGE:
    case PROVIDER_CHECK:
        return federation_per_domain(settings);
    default:
        return false;
    }
}

void federation_split(const char *container, char account[RECORD_REMOTE_ID_SIZE], char rule[RECORD_REMOTE_ID_SIZE])
{
    size_t length = strcspn(container, "-");
    bool ours = strncmp(container, "svac_", 5) == 0 && length < RECORD_REMOTE_ID_SIZE;
    snprintf(account, RECORD_REMOTE_ID_SIZE, "%.*s", ours ? (int)length : 0, container);
    snprintf(rule, RECORD_REMOTE_ID_SIZE, "%s", ours && container[length] ? container + length + 1 : "");
}

/* --- names --- */

/* The account's and the rule's, number NUMBER of the container's. */
static void name_of(const char *container_name, size_t number, char name[FEDERATION_NAME_SIZE])
{
    snprintf(name, FEDERATION_NAME_SIZE, "%.*s", (int)strcspn(container_name, " "), container_name); /* at most 92 */
    federation_slug(name);
    size_t used = strlen(name);
    if (number)
        snprintf(name + used, FEDERATION_NAME_SIZE - used, "--%zu", number + 1);
}

/* What follows a name that is BASE or one of its numbers. */
static bool is_number(const char *rest)
{
    return !*rest || (strncmp(rest, "--", 2) == 0 && rest[2] && strspn(rest + 2, "0123456789") == strlen(rest + 2));
}

static bool is_named(const char *name, const char *container_name)
{
    char base[FEDERATION_NAME_SIZE];
    name_of(container_name, 0, base);
    return strncmp(name, base, strlen(base)) == 0 && is_number(name + strlen(base));
}

/* The other way round: the container's name for an account that a domain of some host may have at this provider. */
static bool name_container(const struct provider_settings *settings, const char *name, char container_name[RECORD_NAME_SIZE])
{
    static const char begins[] = "llmhook-";
    enum { UUID = RECORD_UUID_SIZE - 1 };
    char provider[POLICY_PROVIDER_SIZE];
    snprintf(provider, sizeof provider, "%s", settings->name);
    federation_slug(provider);
    if (strncmp(name, begins, sizeof begins - 1) != 0)
        return false;
    const char *host = name + sizeof begins - 1, *dash = host;
    /* "HOST-UUID-PROVIDER": a host's name may have dashes of its own. */
    for (; (dash = strchr(dash, '-')); dash++) {
        const char *uuid = dash + 1, *rest = uuid + UUID;
        if (strspn(uuid, "0123456789abcdef-") < UUID || rest[0] != '-' || strncmp(rest + 1, provider, strlen(provider)) != 0 ||
            !is_number(rest + 1 + strlen(provider)))
            continue;
        int length = snprintf(container_name, RECORD_NAME_SIZE, "llmhook:%.*s:%.*s:%s", (int)(dash - host), host, UUID, uuid,
                              settings->name);
        return length > 0 && length < RECORD_NAME_SIZE;
    }
    return false;
}

/* --- asking --- */

static unsigned first_step(enum provider_verb verb)
{
    return verb == PROVIDER_ARCHIVE_CONTAINER ? STEP_RULES : STEP_ISSUERS;
}

void federation_begin(const struct provider_call *call, struct provider_progress *progress)
{
    progress->step = call->verb == PROVIDER_USAGE ? USAGE_TOKENS : first_step(call->verb);
}

static struct json_object *account_body(const struct provider_call *call, const struct provider_progress *progress)
{
    char name[FEDERATION_NAME_SIZE];
    struct json_object *body = json_object_new_object();
    name_of(call->container_name, progress->index, name);
    json_put_string(body, "name", name);
    json_put_string(body, "description", call->container_name); /* for people: the domain's name stands behind it */
    return body;
}

static struct json_object *rule_body(const struct provider_settings *settings, const struct provider_call *call,
                                     const struct provider_progress *progress, const struct provider_result *so_far)
{
    char name[FEDERATION_NAME_SIZE], host[RECORD_NAME_SIZE], subject[RECORD_NAME_SIZE];
    struct json_object *target = json_object_new_object();
    if (!federation_split_name(call->container_name, host, subject, sizeof host, NULL))
        subject[0] = '\0'; /* refused: no rule takes everybody */
    name_of(call->container_name, progress->index, name);
    struct json_object *body = federation_rule(settings, name, subject);
    json_put_string(body, "issuer_id", so_far->key_id);
    json_put_string(target, "type", "service_account");
    json_put_string(target, "service_account_id", so_far->items[0].id);
    json_put(body, "target", target);
    json_put_string(body, "workspace_id", settings->federation.workspace);
    return body;
}

static bool put_list(const struct provider_settings *settings, const struct provider_progress *progress,
                     struct http_request *request, struct error *err, const char *path)
{
    return anthropic_put_page_url(settings, progress, request, err, path, "page");
}

static bool build_step(const struct provider_settings *settings, const struct provider_call *call,
                       const struct provider_progress *progress, const struct provider_result *so_far,
                       struct http_request *request, struct error *err)
{
    char account[RECORD_REMOTE_ID_SIZE], rule[RECORD_REMOTE_ID_SIZE];
    const char *base = form_base(settings, &provider_anthropic_federation);
    switch (progress->step) {
    case STEP_ISSUERS:
        return put_list(settings, progress, request, err, "federation_issuers?limit=100");
    case STEP_ACCOUNTS:
        return put_list(settings, progress, request, err, "service_accounts?limit=100");
    case STEP_MAKE_ACCOUNT:
        return form_put_url(request, base, err, "/v1/organizations/service_accounts") &&
               form_post(request, account_body(call, progress), err);
    case STEP_MEMBERSHIP:
        return form_put_url(request, base, err, "/v1/organizations/service_accounts/%s/workspaces", so_far->items[0].id) &&
               form_post(request, federation_membership(settings->federation.workspace), err);
    case STEP_RULES:
        return put_list(settings, progress, request, err, "federation_rules?limit=100");
    case STEP_MAKE_RULE:
        return form_put_url(request, base, err, "/v1/organizations/federation_rules") &&
               form_post(request, rule_body(settings, call, progress, so_far), err);
    case STEP_ARCHIVE_RULE:
        return form_put_url(request, base, err, "/v1/organizations/federation_rules/%s/archive", so_far->key_id) &&
               form_post(request, json_object_new_object(), err);
    default:
        federation_split(call->container_id, account, rule);
        return form_put_url(request, base, err, "/v1/organizations/service_accounts/%s/archive", account) &&
               form_post(request, json_object_new_object(), err);
    }
}

bool federation_build(const struct provider_settings *settings, const struct provider_call *call,
                      const struct provider_progress *progress, const struct provider_result *so_far,
                      struct http_request *request, struct error *err)
{
    char account[RECORD_REMOTE_ID_SIZE], rule[RECORD_REMOTE_ID_SIZE];
    request->headers = federation_admin_headers;
    snprintf(request->secret_header, sizeof request->secret_header, "Authorization: Bearer ");
    federation_split(call->container_id, account, rule);
    if (call->verb == PROVIDER_ARCHIVE_CONTAINER && !account[0])
        return error_set(err, ERROR_INVALID, "'%s' is no service account", call->container_id);
    if ((call->verb == PROVIDER_CREATE_CONTAINER || call->verb == PROVIDER_FIND_CONTAINER) && !call->container_name[0])
        return error_set(err, ERROR_INVALID, "no name was given for the service account");
    if (call->verb == PROVIDER_USAGE)
        return anthropic_build_usage(settings, call, progress, request, err);
    return build_step(settings, call, progress, so_far, request, err);
}

/* --- reading --- */

static const char *target_of(struct json_object *rule)
{
    struct json_object *target = NULL;
    if (json_object_is_type(rule, json_type_object))
        json_object_object_get_ex(rule, "target", &target);
    return form_text(target, "service_account_id");
}

static bool is_whole(const struct provider_item *item)
{
    return strchr(item->id, '-') != NULL;
}

static enum provider_next conclude(struct reading *reading, enum outcome outcome)
{
    reading->result->key_id[0] = '\0';
    return reading_conclude(reading, outcome);
}

static enum provider_next go_to(struct reading *reading, unsigned step)
{
    reading->progress->step = step;
    reading->progress->cursor[0] = '\0';
    return PROVIDER_NEXT_REQUEST;
}

/* The result's error says what of the answer. */
static enum provider_next distrust(struct reading *reading)
{
    reading->result->key_id[0] = '\0';
    return reading_unreadable(reading);
}

static bool take_id(struct reading *reading, struct json_object *object, const char *begins,
                    char id[RECORD_REMOTE_ID_SIZE])
{
    struct error *err = &reading->result->error;
    return json_get_string(object, "id", id, RECORD_REMOTE_ID_SIZE, err) &&
           ((provider_id_valid(id) && strncmp(id, begins, strlen(begins)) == 0 && !strchr(id, '-')) ||
            error_set(err, ERROR_PROTOCOL, "field 'id' is none that begins with %s", begins));
}

/* This host's, of "llmhook:HOST:..."; empty: the call does not say. */
static void host_of(const struct provider_call *call, char host[RECORD_NAME_SIZE])
{
    const char *name = call->verb != PROVIDER_INVENTORY ? call->container_name
                       : call->limits_prefix[0]         ? call->limits_prefix
                                                        : call->name_prefix;
    const char *begin = strchr(name, ':'), *end = begin ? strchr(begin + 1, ':') : NULL;
    snprintf(host, RECORD_NAME_SIZE, "%.*s", end ? (int)(end - begin - 1) : 0, end ? begin + 1 : "");
}

static bool see_issuer(struct reading *reading, struct json_object *object)
{
    char name[FEDERATION_NAME_SIZE], host[RECORD_NAME_SIZE];
    host_of(reading->call, host);
    if (reading->call->verb == PROVIDER_CHECK || !host[0]) /* that the list can be read is all */
        return true;
    federation_issuer_name(host, name);
    return strcmp(form_text(object, "name"), name) != 0 || take_id(reading, object, "fdis_", reading->result->key_id);
}

static bool add_account(struct reading *reading, struct json_object *object, const char *container_name)
{
    struct provider_item item = {.kind = PROVIDER_ITEM_CONTAINER, .monthly_limit = PROVIDER_LIMIT_UNTOLD};
    snprintf(item.name, sizeof item.name, "%s", container_name);
    return take_id(reading, object, "svac_", item.id) &&
           form_get_time(object, "created_at", &item.created_at, &reading->result->error) &&
           reading_add_item(reading, &item, &reading->result->error);
}

static bool see_account(struct reading *reading, struct json_object *object)
{
    char container_name[RECORD_NAME_SIZE];
    const struct provider_call *call = reading->call;
    const char *name = form_text(object, "name");
    if (call->verb == PROVIDER_INVENTORY)
        return !name_container(reading->settings, name, container_name) ||
               strncmp(container_name, call->name_prefix, strlen(call->name_prefix)) != 0 ||
               add_account(reading, object, container_name);
    return !is_named(name, call->container_name) || add_account(reading, object, call->container_name);
}

/* With its rule an account is whole. */
static bool complete(struct reading *reading, struct provider_item *item, struct json_object *rule)
{
    char id[RECORD_REMOTE_ID_SIZE];
    size_t used = strlen(item->id);
    if (!take_id(reading, rule, "fdrl_", id))
        return false;
    if (used + 1 + strlen(id) >= sizeof item->id)
        return error_set(&reading->result->error, ERROR_PROTOCOL, "field 'id' is too long");
    snprintf(item->id + used, sizeof item->id - used, "-%s", id);
    return true;
}

/* Whether what the host signs for the account's domain is taken by the rule. Who the issuers of other hosts are is not known. */
static bool fits(const struct reading *reading, const struct provider_item *item, struct json_object *rule)
{
    struct json_object *match = NULL;
    char ours[RECORD_NAME_SIZE], host[RECORD_NAME_SIZE], subject[RECORD_NAME_SIZE];
    const char *issuer = reading->result->key_id;
    host_of(reading->call, ours);
    if (!federation_split_name(item->name, host, subject, sizeof host, NULL) || !json_get_object(rule, "match", &match, NULL) ||
        strcmp(form_text(match, "subject_prefix"), subject) != 0)
        return false;
    return strcmp(host, ours) != 0 || (issuer[0] && strcmp(form_text(rule, "issuer_id"), issuer) == 0);
}

static bool see_rule(struct reading *reading, struct json_object *object)
{
    char account[RECORD_REMOTE_ID_SIZE], rule[RECORD_REMOTE_ID_SIZE];
    struct provider_result *result = reading->result;
    if (reading->call->verb == PROVIDER_ARCHIVE_CONTAINER) {
        federation_split(reading->call->container_id, account, rule);
        return strcmp(target_of(object), account) != 0 || take_id(reading, object, "fdrl_", result->key_id);
    }
    for (size_t i = 0; i < result->items_count; i++)
        if (strcmp(result->items[i].id, target_of(object)) == 0 && fits(reading, &result->items[i], object))
            return complete(reading, &result->items[i], object);
    return true;
}

/* --- going on --- */

/* What tokens cannot be signed for is not found. */
static void drop_halves(struct provider_result *result)
{
    size_t kept = 0;
    for (size_t i = 0; i < result->items_count; i++)
        if (is_whole(&result->items[i]))
            result->items[kept++] = result->items[i];
    result->items_count = kept;
}

static enum provider_next account_made(struct reading *reading)
{
    struct provider_result *result = reading->result;
    snprintf(result->container_id, sizeof result->container_id, "%s", result->items[0].id);
    return conclude(reading, OUTCOME_OK);
}

/* The list of this step has been read to its end. */
static enum provider_next list_ended(struct reading *reading)
{
    struct provider_result *result = reading->result;
    enum provider_verb verb = reading->call->verb;
    if (reading->progress->step == STEP_ISSUERS) {
        if (verb == PROVIDER_CHECK)
            return conclude(reading, OUTCOME_OK);
        if (result->key_id[0] || verb != PROVIDER_CREATE_CONTAINER)
            return go_to(reading, STEP_ACCOUNTS);
        error_set(&result->error, ERROR_NOT_FOUND, "%s does not know this host as an issuer yet: llmhook federation apply", who);
        return conclude(reading, OUTCOME_REFUSED);
    }
    if (reading->progress->step == STEP_ACCOUNTS) {
        form_sort_by_age(result);
        if (verb == PROVIDER_CREATE_CONTAINER)
            return go_to(reading, result->items_count ? STEP_MEMBERSHIP : STEP_MAKE_ACCOUNT);
        return result->items_count ? go_to(reading, STEP_RULES) : conclude(reading, OUTCOME_OK);
    }
    if (verb == PROVIDER_ARCHIVE_CONTAINER)
        return go_to(reading, result->key_id[0] ? STEP_ARCHIVE_RULE : STEP_ARCHIVE_ACCOUNT);
    if (verb == PROVIDER_CREATE_CONTAINER)
        return is_whole(&result->items[0]) ? account_made(reading) : go_to(reading, STEP_MAKE_RULE);
    if (verb == PROVIDER_FIND_CONTAINER)
        drop_halves(result);
    return conclude(reading, OUTCOME_OK);
}

static enum provider_next read_list(struct reading *reading, struct json_object *page)
{
    struct provider_progress *progress = reading->progress;
    struct error *err = &reading->result->error;
    struct json_object *data;
    if (!json_get_array(page, "data", &data, err))
        return distrust(reading);
    for (size_t i = 0; i < json_object_array_length(data); i++) {
        struct json_object *object = json_object_array_get_idx(data, i);
        if (!json_object_is_type(object, json_type_object)) {
            error_set(err, ERROR_PROTOCOL, "an entry of the list is no object");
            return distrust(reading);
        }
        if (json_has(object, "archived_at"))
            continue;
        if (!(progress->step == STEP_ISSUERS    ? see_issuer(reading, object)
              : progress->step == STEP_ACCOUNTS ? see_account(reading, object)
                                                : see_rule(reading, object)))
            return distrust(reading);
    }
    if (!anthropic_next_page(reading, page, err))
        return distrust(reading);
    return progress->cursor[0] ? PROVIDER_NEXT_REQUEST : list_ended(reading);
}

static enum provider_next parse_success(struct reading *reading)
{
    struct provider_progress *progress = reading->progress;
    cleanup_json struct json_object *object = NULL;
    if (!reading_body(reading, &object))
        return distrust(reading);
    switch (progress->step) {
    case STEP_MAKE_ACCOUNT:
        progress->index = 0;
        return add_account(reading, object, reading->call->container_name) ? go_to(reading, STEP_MEMBERSHIP) : distrust(reading);
    case STEP_MEMBERSHIP:
        return go_to(reading, STEP_RULES);
    case STEP_MAKE_RULE:
        return complete(reading, &reading->result->items[0], object) ? account_made(reading) : distrust(reading);
    case STEP_ARCHIVE_RULE: /* there may be another, which somebody made */
        reading->result->key_id[0] = '\0';
        return go_to(reading, STEP_RULES);
    case STEP_ARCHIVE_ACCOUNT:
        return conclude(reading, OUTCOME_OK);
    default:
        return read_list(reading, object);
    }
}

/* --- refusals --- */

static enum provider_next parse_refusal(struct reading *reading)
{
    const struct http_answer *answer = reading->answer;
    struct provider_progress *progress = reading->progress;
    struct provider_result *result = reading->result;
    struct provider_complaint complaint;
    bool making = progress->step == STEP_MAKE_ACCOUNT || progress->step == STEP_MAKE_RULE;
    federation_read_complaint(answer, &complaint);
    if (reading->call->verb != PROVIDER_USAGE && answer->status == 409 && making && progress->index + 1 < NAMES_MAX) {
        progress->index++;
        result->items_count = progress->step == STEP_MAKE_ACCOUNT ? 0 : 1;
        /* Or one that was asked for before has been made since the list was read. */
        return go_to(reading, progress->step == STEP_MAKE_ACCOUNT ? STEP_ACCOUNTS : STEP_RULES);
    }
    if (progress->step == STEP_MEMBERSHIP && answer->status == 409) /* an earlier try has got as far */
        return go_to(reading, STEP_RULES);
    provider_judge(provider_judged_verb(reading->call, progress), who, answer, &complaint, result);
    if (answer->status == 401 || (answer->status == 403 && complaint.readable)) {
        error_set(&result->error, ERROR_DENIED,
                  "%s does not take the token of admin-key (%ld): it has to be an OAuth token with the scope org:admin that has "
                  "not ended, not an admin key",
                  who, answer->status);
        result->outcome = OUTCOME_UNAUTHORIZED;
    } else if (answer->status == 409 && making) {
        error_set(&result->error, ERROR_INVALID, "%s has %d service accounts or rules of that name already", who, NAMES_MAX);
        result->outcome = OUTCOME_REFUSED;
    }
    return conclude(reading, result->outcome);
}

/* --- usage --- */

/* Reports know accounts, we containers. What others used has had its share of the costs, and goes. */
static void keep_ours(const struct provider_call *call, struct provider_result *result)
{
    size_t kept = 0;
    for (size_t i = 0; i < result->usage_count; i++) {
        struct provider_usage usage = result->usage[i];
        size_t length = strlen(usage.key_id);
        for (size_t s = 0; length && s < call->scopes_count; s++) {
            const char *container = call->scopes[s].container_id;
            if (strncmp(container, usage.key_id, length) != 0 || (container[length] && container[length] != '-'))
                continue;
            snprintf(usage.container_id, sizeof usage.container_id, "%s", container);
            usage.key_id[0] = '\0'; /* whatever token it was */
            result->usage[kept++] = usage;
            break;
        }
    }
    result->usage_count = kept;
}

enum provider_next federation_parse(const struct provider_settings *settings, const struct provider_call *call,
                                    struct provider_progress *progress, const struct http_answer *answer,
                                    struct provider_result *result)
{
    struct reading reading = {who, settings, call, progress, answer, result};
    if (!http_succeeded(answer))
        return parse_refusal(&reading);
    if (call->verb != PROVIDER_USAGE)
        return parse_success(&reading);
    enum provider_next next = anthropic_parse_usage(&reading);
    if (next == PROVIDER_NEXT_DONE && result->outcome == OUTCOME_OK)
        keep_ours(call, result);
    return next;
}
