/* Anthropic's Workload Identity Federation, see anthropic-federation.h.
 *
 * A key is a token that this host signs; the credential is its signing key. Nobody is asked, so nothing can be in doubt:
 * a token that was lost on its way is nowhere else, and ends by itself. For the same reason none can be taken back. Its
 * subject is llmhook:HOST:DOMAIN-UUID, which a rule at Anthropic matches by its beginning.
 *
 * With `exchange = host` the token does not leave this host: it is exchanged here, and the access token is the key.
 * Anthropic gives that one for twice of what is left of ours, and for no longer than its rule says: what would end
 * before it is replaced is refused, rather than to have programs fail now and then.
 *
 * A guest's token has no `jti`: Anthropic takes one that has it a single time, and each program in the guest exchanges
 * for itself. */
#include "providers/anthropic-federation.h"

#include "base/json.h"
#include "providers/form.h"
#include "providers/http.h"
#include "providers/jwt.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char who[] = FEDERATION_WHO;
static const char default_audience[] = "https://api.anthropic.com";

/* SDK 1.14, lib/credentials/types.ts: both are demanded for this grant. */
const char *const federation_exchange_headers[] = {
    "anthropic-version: 2023-06-01", "anthropic-beta: oauth-2025-04-20,oidc-federation-2026-04-01", NULL};
const char *const federation_admin_headers[] = {"anthropic-version: 2023-06-01", "anthropic-beta: oauth-2025-04-20", NULL};

/* --- settings --- */

int64_t federation_lifetime(const struct provider_settings *settings)
{
    int64_t lifetime = settings->federation.lifetime_ms;
    return lifetime > 0 ? lifetime : FEDERATION_DEFAULT_LIFETIME_MS;
}

int64_t federation_refresh(const struct provider_settings *settings)
{
    return federation_lifetime(settings) / 2;
}

int64_t federation_aftermath(const struct provider_settings *settings)
{
    int64_t lifetime = federation_lifetime(settings), least = (FEDERATION_LEEWAY_S + FEDERATION_LEAST_TOKEN_S) * 1000;
    /* `apply` sets the rule's lifetime to the token's own. One that is exchanged with the part r of its life left gives
     * min(lifetime, 2r): that ends last where r is half of it. */
    return lifetime + (lifetime / 2 > least ? lifetime / 2 : least);
}

static const char per_domain[] = "per-domain";

bool federation_per_domain(const struct provider_settings *settings)
{
    return strcmp(settings->federation.service_account, per_domain) == 0;
}

static bool text_valid(const char *text, const char *others)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    for (; *text; text++)
        if (!strchr(plain, *text) && !strchr(others, *text))
            return false;
    return true;
}

static bool check_per_domain(const struct provider_settings *settings, struct error *err)
{
    if (!settings->admin_key[0])
        return error_set(err, ERROR_INVALID,
                         "service-account = per-domain: an account is made for each domain, with an OAuth token "
                         "of the scope org:admin: write admin-key = REFERENCE, which gives one");
    if (strncmp(settings->federation.workspace, "wrkspc_", 7) != 0)
        return error_set(err, ERROR_INVALID, "service-account = per-domain: each account gets a rule, and a rule is for a "
                         "workspace: write workspace = wrkspc_...");
    return !settings->federation.rule[0] ||
           error_set(err, ERROR_INVALID,
                     "service-account = per-domain: each domain has a rule of its own: leave out federation-rule");
}

static bool check(const struct provider_settings *settings, struct error *err)
{
    const struct provider_federation *federation = &settings->federation;
    const struct {
        const char *setting, *value, *begins;
    } ids[] = {{"federation-rule", federation->rule, "fdrl_"},
               {"service-account", federation->service_account, "svac_"},
               {"workspace", federation->workspace, "wrkspc_"}};
    if (settings->admin_key[0] && !federation_per_domain(settings))
        return error_set(err, ERROR_INVALID, "this host signs with a key of its own: leave out admin-key, or write "
                         "service-account = per-domain");
    if (federation_per_domain(settings) && !check_per_domain(settings, err))
        return false;
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        if (!ids[i].value[0] || (i == 1 && federation_per_domain(settings)) || (i == 2 && strcmp(ids[i].value, "default") == 0))
            continue;
        if (strncmp(ids[i].value, ids[i].begins, strlen(ids[i].begins)) != 0 || !provider_id_valid(ids[i].value))
            return error_set(err, ERROR_INVALID, "%s: '%s' is none: its id begins with %s", ids[i].setting, ids[i].value,
                             ids[i].begins);
    }
    if (federation->organization[0] &&
        (strlen(federation->organization) != RECORD_UUID_SIZE - 1 || !text_valid(federation->organization, "-")))
        return error_set(err, ERROR_INVALID, "organization: '%s' is no UUID: the Console shows it under its settings",
                         federation->organization);
    return true;
}

/* The name that is missing before anything can be exchanged, NULL: none is. */
static const char *missing_setting(const struct provider_settings *settings)
{
    const struct provider_federation *federation = &settings->federation;
    if (federation_per_domain(settings))
        return !federation->organization[0] ? "organization" : NULL;
    return !federation->rule[0]              ? "federation-rule"
           : !federation->organization[0]    ? "organization"
           : !federation->service_account[0] ? "service-account"
                                             : NULL;
}

static bool on_host(const struct provider_settings *settings)
{
    return settings->federation.exchange_on_host;
}

static const char *issuer_of(const struct provider_settings *settings, const char *host_id, char *text, size_t size)
{
    /* Nobody can own a name in .invalid (RFC 2606), and nobody looks there: with the keys at hand it is only compared. */
    snprintf(text, size, "https://%s.llmhook.invalid", host_id);
    return settings->federation.issuer[0] ? settings->federation.issuer : text;
}

static const char *audience_of(const struct provider_settings *settings)
{
    return settings->federation.audience[0] ? settings->federation.audience : default_audience;
}

/* As whom a token acts: its own account, or the one of all. Empty: there is none yet. */
struct place {
    char account[RECORD_REMOTE_ID_SIZE], rule[RECORD_REMOTE_ID_SIZE];
};

static void place_of(const struct provider_settings *settings, const char *container, struct place *ret)
{
    if (federation_per_domain(settings)) {
        federation_split(container, ret->account, ret->rule);
        return;
    }
    snprintf(ret->account, sizeof ret->account, "%s", settings->federation.service_account);
    snprintf(ret->rule, sizeof ret->rule, "%s", settings->federation.rule);
}

/* --- signing --- */

bool federation_split_name(const char *name, char *ret_host, char *ret_subject, size_t size, struct error *err)
{
    const char *host = strchr(name, ':'), *uuid = host ? strchr(host + 1, ':') : NULL;
    const char *end = uuid ? strchr(uuid + 1, ':') : NULL;
    if (!end || (size_t)(end - name) >= size)
        return error_set(err, ERROR_INVALID, "the key's name has not the form of ours");
    snprintf(ret_host, size, "%.*s", (int)(uuid - host - 1), host + 1);
    snprintf(ret_subject, size, "%.*s", (int)(end - name), name);
    return true;
}

static bool sign(const struct provider_settings *settings, const struct provider_call *call,
                 const struct secret *signing_key, struct provider_result *result)
{
    char host[RECORD_NAME_SIZE], subject[RECORD_NAME_SIZE], issuer[RECORD_NAME_SIZE + 32], unique[JWT_UNIQUE_SIZE];
    struct error *err = &result->error;
    if (!federation_split_name(call->key_name, host, subject, sizeof host, err) || !jwt_unique(unique, err))
        return false;
    struct json_object *claims = json_object_new_object();
    int64_t now = call->wall / 1000;
    json_put_string(claims, "iss", issuer_of(settings, host, issuer, sizeof issuer));
    json_put_string(claims, "sub", subject);
    json_put_string(claims, "aud", audience_of(settings));
    json_put_integer(claims, "iat", now);
    json_put_integer(claims, "exp", now + federation_lifetime(settings) / 1000);
    if (on_host(settings))
        json_put_string(claims, "jti", unique);
    json_put_string(claims, "llmhook_key", call->key_name);
    bool ok = jwt_sign(signing_key, claims, &result->secret, err);
    json_object_put(claims);
    snprintf(result->key_id, sizeof result->key_id, "jwt_%s", unique);
    result->life_ms = federation_lifetime(settings);
    return ok;
}

static enum provider_next begin(const struct provider_settings *settings, const struct provider_call *call,
                                const struct secret *signing_key, struct provider_progress *progress,
                                struct provider_result *result)
{
    const char *missing;
    struct json_object *jwk = NULL;
    struct place place;
    if (federation_asks(settings, call->verb)) {
        federation_begin(call, progress);
        return PROVIDER_NEXT_REQUEST;
    }
    place_of(settings, call->container_id, &place);
    result->outcome = OUTCOME_OK;
    switch (call->verb) {
    case PROVIDER_MINT_KEY:
        if ((missing = missing_setting(settings))) {
            error_set(&result->error, ERROR_INVALID,
                      "%s is not set for %s: llmhook federation apply makes what is missing at %s and says what to set",
                      missing, settings->name, who);
            result->outcome = OUTCOME_REFUSED;
        } else if (!place.rule[0]) {
            error_set(&result->error, ERROR_INVALID, "it has no service account of its own yet");
            result->outcome = OUTCOME_REFUSED;
        } else if (!sign(settings, call, signing_key, result)) {
            result->outcome = OUTCOME_REFUSED;
        } else if (on_host(settings)) {
            /* What an answer that is lost was to bring is nobody's, and ends by itself. */
            progress->unchanged = true;
            return PROVIDER_NEXT_REQUEST;
        }
        return PROVIDER_NEXT_DONE;
    case PROVIDER_CHECK:
        if (!jwt_public_key(signing_key, &jwk, &result->error))
            result->outcome = OUTCOME_REFUSED;
        json_object_put(jwk);
        return PROVIDER_NEXT_DONE;
    case PROVIDER_FIND_KEYS: /* one that was lost on its way is nowhere */
    case PROVIDER_INVENTORY:
    case PROVIDER_REVOKE_KEY: /* no further one is signed, and this one ends by itself */
        return PROVIDER_NEXT_DONE;
    default:
        result->outcome = OUTCOME_UNSUPPORTED;
        error_set(&result->error, ERROR_INVALID, "a federation has no %s", provider_verb_name(call->verb));
        return PROVIDER_NEXT_DONE;
    }
}

/* --- exchanging --- */

static bool build(const struct provider_settings *settings, const struct provider_call *call,
                  const struct provider_progress *progress, const struct provider_result *so_far,
                  struct http_request *request, struct error *err)
{
    struct place place;
    if (federation_asks(settings, call->verb))
        return federation_build(settings, call, progress, so_far, request, err);
    place_of(settings, call->container_id, &place);
    const char *base = form_base(settings, &provider_anthropic_federation);
    const struct provider_federation *federation = &settings->federation;
    request->method = HTTP_POST;
    request->secret = NULL; /* the signing key stays here */
    request->headers = federation_exchange_headers;
    if (!form_put_url(request, base, err, "/v1/oauth/token"))
        return false;
    /* By hand, so that no copy of the token is left in memory that nobody wipes. None of these holds what JSON would
     * want escaped: a token is base64url, the others are ids that check() has seen. */
    return buffer_printf(&request->body,
                         "{\"grant_type\":\"urn:ietf:params:oauth:grant-type:jwt-bearer\",\"federation_rule_id\":\"%s\","
                         "\"organization_id\":\"%s\",\"service_account_id\":\"%s\",",
                         place.rule, federation->organization, place.account) &&
                   (!federation->workspace[0] ||
                    buffer_printf(&request->body, "\"workspace_id\":\"%s\",", federation->workspace)) &&
                   buffer_append_text(&request->body, "\"assertion\":\"") &&
                   buffer_append_text(&request->body, secret_reveal(so_far->secret)) &&
                   buffer_append_text(&request->body, "\"}")
               ? true
               : error_set(err, ERROR_IO, "out of memory for the request");
}

void federation_read_complaint(const struct http_answer *answer, struct provider_complaint *ret)
{
    cleanup_json struct json_object *document = NULL;
    struct json_object *error;
    *ret = (struct provider_complaint){.readable = false};
    if (!json_parse(buffer_text(&answer->body), answer->body.length, &document, NULL) ||
        !json_object_object_get_ex(document, "error", &error))
        return;
    bool of_token = json_object_is_type(error, json_type_string);
    struct json_object *object = of_token ? document : error;
    ret->readable = form_quote(object, of_token ? "error" : "type", ret->code, sizeof ret->code);
    if (ret->readable)
        form_quote(object, of_token ? "error_description" : "message", ret->message, sizeof ret->message);
}

static enum provider_next conclude(struct provider_result *result, enum outcome outcome)
{
    result->outcome = outcome;
    return PROVIDER_NEXT_DONE;
}

/* Our token has done its duty. */
static void drop_assertion(struct provider_result *result)
{
    secret_free(result->secret);
    result->secret = NULL;
}

static bool read_lifetime(struct json_object *document, int64_t *ret_seconds, struct error *err)
{
    struct json_object *value = NULL;
    json_object_object_get_ex(document, "expires_in", &value);
    double seconds = json_object_get_double(value);
    if ((!json_object_is_type(value, json_type_int) && !json_object_is_type(value, json_type_double)) ||
        !(seconds >= 1 && seconds <= 1e9))
        return error_set(err, ERROR_PROTOCOL, "field 'expires_in' is missing, or no time that a token may live");
    *ret_seconds = (int64_t)seconds;
    return true;
}

static bool read_token(struct json_object *document, struct secret **ret_token, struct error *err)
{
    struct json_object *value = NULL;
    json_object_object_get_ex(document, "access_token", &value);
    if (!json_object_is_type(value, json_type_string))
        return error_set(err, ERROR_PROTOCOL, "field 'access_token' is missing");
    const char *text = json_object_get_string(value);
    size_t length = (size_t)json_object_get_string_len(value);
    if (length < 16 || length > SECRET_MAX || strlen(text) != length || !text_valid(text, "-._~+/="))
        return error_set(err, ERROR_PROTOCOL, "field 'access_token' holds what no token has");
    *ret_token = secret_new(text, length);
    return *ret_token || error_set(err, ERROR_IO, "out of memory");
}

static enum provider_next read_access(const struct provider_settings *settings, const struct http_answer *answer,
                                      struct provider_result *result)
{
    cleanup_json struct json_object *document = NULL;
    struct error *err = &result->error;
    char type[16];
    int64_t seconds = 0, needed = federation_refresh(settings) / 1000;
    if (!json_parse(buffer_text(&answer->body), answer->body.length, &document, err) ||
        !read_lifetime(document, &seconds, err) || !read_token(document, &result->secret, err)) {
        error_prefix(err, "%s's answer (%ld) cannot be trusted", who, answer->status);
        return conclude(result, OUTCOME_UNREACHABLE);
    }
    json_optional_string(document, "token_type", "bearer", type, sizeof type);
    if (strcasecmp(type, "bearer") != 0) {
        error_set(err, ERROR_PROTOCOL, "%s gave a token that is to be used in a way that this program does not know", who);
        return conclude(result, OUTCOME_REFUSED);
    }
    if (seconds <= needed) {
        error_set(err, ERROR_INVALID,
                  "%s's access tokens live %lld s, and are replaced every %lld s: raise the rule's token_lifetime_seconds, "
                  "or lower token-lifetime to as much",
                  who, (long long)seconds, (long long)needed);
        return conclude(result, OUTCOME_REFUSED);
    }
    result->life_ms = seconds * 1000;
    return conclude(result, OUTCOME_OK);
}

static enum provider_next parse(const struct provider_settings *settings, const struct provider_call *call,
                                struct provider_progress *progress, const struct http_answer *answer,
                                struct provider_result *result)
{
    struct provider_complaint complaint;
    if (federation_asks(settings, call->verb))
        return federation_parse(settings, call, progress, answer, result);
    drop_assertion(result);
    if (http_succeeded(answer))
        return read_access(settings, answer, result);
    federation_read_complaint(answer, &complaint);
    if (complaint.readable && (answer->status == 400 || answer->status == 401 || answer->status == 403)) {
        error_set(&result->error, ERROR_DENIED,
                  "%s does not take this host's token (%ld, %s): compare what llmhook federation show prints with what is "
                  "entered there; its Console tells why, under Workload identity, in the history",
                  who, answer->status, complaint.code);
        return conclude(result, OUTCOME_REFUSED);
    }
    provider_judge(provider_judged_verb(call, progress), who, answer, &complaint, result);
    return PROVIDER_NEXT_DONE;
}

/* --- in the guest --- */

static size_t variables(const struct provider_settings *settings, const char *container, struct provider_variable *ret,
                        size_t room)
{
    const struct provider_federation *federation = &settings->federation;
    struct place place;
    place_of(settings, container, &place);
    const struct {
        const char *name, *value;
    } all[] = {{"ANTHROPIC_FEDERATION_RULE_ID", place.rule},
               {"ANTHROPIC_ORGANIZATION_ID", federation->organization},
               {"ANTHROPIC_SERVICE_ACCOUNT_ID", place.account},
               {"ANTHROPIC_WORKSPACE_ID", federation->workspace}};
    size_t count = 0;
    for (size_t i = 0; !on_host(settings) && i < sizeof all / sizeof all[0] && count < room; i++) {
        if (!all[i].value[0])
            continue; /* an empty variable would count as given */
        snprintf(ret[count].name, sizeof ret[count].name, "%s", all[i].name);
        snprintf(ret[count++].value, sizeof ret[0].value, "%s", all[i].value);
    }
    return count;
}

/* What is over has no need of the key: that it cannot be opened must not keep anything alive. */
static bool keyless(const struct provider_settings *settings, enum provider_verb verb)
{
    return verb != PROVIDER_MINT_KEY && verb != PROVIDER_CHECK && !federation_asks(settings, verb);
}

static bool signs(const struct provider_settings *settings, enum provider_verb verb)
{
    return !federation_asks(settings, verb);
}

static unsigned abilities(const struct provider_settings *settings)
{
    return federation_per_domain(settings) ? PROVIDER_CAN_CONTAIN | PROVIDER_CAN_ARCHIVE | PROVIDER_CAN_USAGE : 0;
}

static const char *environment(const struct provider_settings *settings)
{
    return on_host(settings) ? "ANTHROPIC_AUTH_TOKEN" : "ANTHROPIC_IDENTITY_TOKEN_FILE";
}

static bool key_is_file(const struct provider_settings *settings)
{
    return !on_host(settings);
}

const struct provider_driver provider_anthropic_federation = {
    .type = "anthropic-federation",
    .default_base_url = "https://api.anthropic.com",
    .default_environment = "ANTHROPIC_IDENTITY_TOKEN_FILE",
    .serves_guests = true,
    .settings = PROVIDER_TAKES_FEDERATION,
    .keyless = keyless,
    .signs = signs,
    .abilities = abilities,
    .capabilities = PROVIDER_CAN_MINT | PROVIDER_CAN_LIST | PROVIDER_EXPIRES,
    .check = check,
    .environment = environment,
    .file = key_is_file,
    .variables = variables,
    .life = federation_refresh,
    .begin = begin,
    .build = build,
    .parse = parse,
};

/* --- what is to be entered at Anthropic --- */

const char *federation_part_name(enum federation_part part)
{
    static const char *const names[] = {
        [FEDERATION_ISSUER] = "issuer",
        [FEDERATION_SERVICE_ACCOUNT] = "service account",
        [FEDERATION_MEMBERSHIP] = "membership",
        [FEDERATION_RULE] = "rule",
    };
    return names[part];
}

void federation_slug(char *text)
{
    for (; *text; text++) {
        if (*text >= 'A' && *text <= 'Z')
            *text = (char)(*text - 'A' + 'a');
        else if (!text_valid((char[]){*text, '\0'}, "-"))
            *text = '-';
    }
}

void federation_issuer_name(const char *host_id, char name[FEDERATION_NAME_SIZE])
{
    snprintf(name, FEDERATION_NAME_SIZE, "llmhook-%s", host_id);
    federation_slug(name);
}

static struct json_object *wanted_issuer(const struct provider_settings *settings, const char *host_id,
                                         const char *name, struct json_object *jwk)
{
    char text[RECORD_NAME_SIZE];
    struct json_object *issuer = json_object_new_object(), *jwks = json_object_new_object(), *keys = json_object_new_array();
    json_put_string(issuer, "name", name);
    json_put_string(issuer, "issuer_url", issuer_of(settings, host_id, text, sizeof text));
    json_put_string(jwks, "type", "inline");
    json_object_array_add(keys, jwk);
    json_put(jwks, "keys", keys);
    json_put(issuer, "jwks", jwks);
    json_put_integer(issuer, "max_jwt_lifetime_seconds", federation_lifetime(settings) / 1000);
    return issuer;
}

struct json_object *federation_rule(const struct provider_settings *settings, const char *name, const char *subject)
{
    struct json_object *rule = json_object_new_object(), *match = json_object_new_object();
    int64_t seconds = federation_lifetime(settings) / 1000;
    json_put_string(rule, "name", name);
    json_put_string(match, "subject_prefix", subject);
    json_put_string(match, "audience", audience_of(settings));
    json_put(rule, "match", match);
    /* What runs in VMs asks models. Files and skills of the workspace are others' as well. */
    json_put_string(rule, "oauth_scope", "workspace:inference");
    json_put_integer(rule, "token_lifetime_seconds",
                     seconds < FEDERATION_LEAST_TOKEN_S ? FEDERATION_LEAST_TOKEN_S : seconds > 86400 ? 86400 : seconds);
    return rule;
}

struct json_object *federation_membership(const char *workspace)
{
    struct json_object *membership = json_object_new_object();
    json_put_string(membership, "workspace_id", workspace);
    json_put_string(membership, "workspace_role", "workspace_developer");
    return membership;
}

static struct json_object *wanted_rule(const struct provider_settings *settings, const char *host_id, const char *name,
                                       const char *issuer)
{
    char subject[RECORD_NAME_SIZE];
    struct json_object *target = json_object_new_object();
    snprintf(subject, sizeof subject, "llmhook:%s:*", host_id);
    struct json_object *rule = federation_rule(settings, name, subject);
    json_put_string(rule, "issuer", issuer);
    json_put_string(target, "type", "service_account");
    json_put_string(target, "service_account", name);
    json_put(rule, "target", target);
    return rule;
}

bool federation_wanted(const struct provider_settings *settings, const char *host_id, struct json_object *jwk,
                       struct json_object **ret_wanted, struct error *err)
{
    char issuer[FEDERATION_NAME_SIZE], name[FEDERATION_NAME_SIZE];
    if (!check(settings, err)) {
        json_object_put(jwk);
        return false;
    }
    federation_issuer_name(host_id, issuer);
    snprintf(name, sizeof name, "llmhook-%s-%s", host_id, settings->name);
    federation_slug(name);
    struct json_object *wanted = json_object_new_object(), *account;
    *ret_wanted = wanted;
    json_put(wanted, "issuer", wanted_issuer(settings, host_id, issuer, jwk));
    if (settings->federation.workspace[0])
        json_put_string(wanted, "workspace_id", settings->federation.workspace);
    if (federation_per_domain(settings)) /* accounts and rules are made when their domains need them */
        return true;
    account = json_object_new_object();
    json_put_string(account, "name", name);
    json_put_string(account, "description", "VMs of a libvirt host, by llmhook");
    json_put(wanted, "service_account", account);
    json_put(wanted, "rule", wanted_rule(settings, host_id, name, issuer));
    return true;
}
