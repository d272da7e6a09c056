#include "anthropic-federation.h"

#include "clock.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One exchange, while it is looked into. */
struct exchange {
    struct call *call;
    struct json_object *body, *claims;
    const struct rule *rule;
    struct workspace *workspace;
    int64_t now; /* unix seconds */
};

/* Nobody outside is told more than that it was refused. */
static void refuse(struct exchange *exchange, const char *reason)
{
    struct federation *federation = exchange->call->store->anthropic->federation;

    while (json_object_array_length(federation->refusals) >= REFUSALS_MAX)
        json_object_array_del_idx(federation->refusals, 0, 1);
    json_object_array_add(federation->refusals, json_object_new_string(reason));
    anthropic_error(exchange->call->answer, 400, "invalid_grant", NULL, "The assertion was not accepted.");
}

/* A time that is a number. */
static bool claim_time(struct json_object *claims, const char *name, int64_t *out)
{
    struct json_object *value;

    if (!json_object_object_get_ex(claims, name, &value) || !json_object_is_type(value, json_type_int))
        return false;
    *out = json_object_get_int64(value);
    return true;
}

static const char *times_fit(const struct exchange *exchange)
{
    int64_t leeway = exchange->call->store->knobs.federation_leeway_s, iat, exp, nbf;

    if (!claim_time(exchange->claims, "iat", &iat) || iat > exchange->now + leeway)
        return "iat is missing or lies in the future";
    if (!claim_time(exchange->claims, "exp", &exp) || exp + leeway <= exchange->now)
        return "exp is missing or in the past";
    if (claim_time(exchange->claims, "nbf", &nbf) && nbf > exchange->now + leeway)
        return "nbf lies in the future";
    return exp - iat > exchange->rule->issuer->max_lifetime ? "it lives longer than the issuer's may" : NULL;
}

static bool audience_fits(struct json_object *claims, const char *wanted)
{
    struct json_object *audience;

    if (!json_object_object_get_ex(claims, "aud", &audience))
        return false;
    if (json_object_is_type(audience, json_type_string))
        return strcmp(json_object_get_string(audience), wanted) == 0;
    for (size_t i = 0; json_object_is_type(audience, json_type_array) && i < json_object_array_length(audience); i++) {
        if (strcmp(json_object_get_string(json_object_array_get_idx(audience, i)), wanted) == 0)
            return true;
    }
    return false;
}

static const char *rule_fits(const struct exchange *exchange)
{
    struct json_object *match = exchange->rule->match, *claims = NULL;
    const char *subject = get_string(exchange->claims, "sub", NULL), *wanted = get_string(match, "subject_prefix", NULL);
    size_t length = wanted != NULL ? strlen(wanted) : 0;

    if (subject == NULL)
        return "sub is missing";
    if (wanted != NULL && length > 0 && wanted[length - 1] == '*' ? strncmp(subject, wanted, length - 1) != 0
                                                                  : wanted != NULL && strcmp(subject, wanted) != 0)
        return "the rule is for another sub";
    if (!audience_fits(exchange->claims, get_string(match, "audience", "https://api.anthropic.com")))
        return "the rule is for another aud";
    if (json_object_object_get_ex(match, "claims", &claims) && claims != NULL) {
        json_object_object_foreach(claims, name, value)
        {
            if (strcmp(get_string(exchange->claims, name, ""), json_object_get_string(value)) != 0)
                return "the rule is for other claims";
        }
    }
    return NULL;
}

/* A token that has a jti is taken once. */
static const char *use_up(const struct exchange *exchange)
{
    const char *jti = get_string(exchange->claims, "jti", NULL);
    const struct issuer *issuer = exchange->rule->issuer;

    if (jti == NULL || !issuer->check_jti)
        return NULL;
    if (json_object_object_get_ex(issuer->seen, jti, NULL))
        return "its jti was used before";
    json_object_object_add(issuer->seen, jti, json_object_new_boolean(1));
    return NULL;
}

static const struct rule *find_rule(const struct exchange *exchange)
{
    const char *id = get_string(exchange->body, "federation_rule_id", "");
    char organisation[ORGANISATION_ID_SIZE];
    const struct rule *rule;

    TAILQ_FOREACH(rule, &exchange->call->store->anthropic->federation->rules, next) {
        federation_organisation_id(rule->issuer->organisation, organisation);
        if (strcmp(rule->id, id) == 0 && rule->archived_ms == 0 &&
            strcmp(organisation, get_string(exchange->body, "organization_id", "")) == 0)
            return rule;
    }
    return NULL;
}

static const char *place_fits(struct exchange *exchange)
{
    const char *workspace = get_string(exchange->body, "workspace_id", exchange->rule->workspace->id);
    const char *account = get_string(exchange->body, "service_account_id", exchange->rule->target->id);

    exchange->workspace = exchange->rule->workspace;
    if (strcmp(account, exchange->rule->target->id) != 0)
        return "the rule is for another service account";
    if (exchange->rule->target->archived_ms != 0 || exchange->workspace->archived_ms != 0)
        return "the service account or the workspace is archived";
    if (strcmp(workspace, exchange->workspace->id) != 0 &&
        !(strcmp(workspace, "default") == 0 && exchange->workspace->is_default))
        return "the rule is not enabled in that workspace";
    if (!exchange->workspace->is_default &&
        !json_object_object_get_ex(exchange->rule->target->memberships, exchange->workspace->id, NULL))
        return "the service account is no member of the workspace";
    return NULL;
}

static const char *look_into(struct exchange *exchange)
{
    struct json_object *keys;
    const char *reason;

    exchange->rule = find_rule(exchange);
    if (exchange->rule == NULL)
        return "there is no such rule";
    if (exchange->rule->issuer->archived_ms != 0)
        return "the issuer is archived";
    json_object_object_get_ex(exchange->rule->issuer->jwks, "keys", &keys);
    reason = jwt_verify(get_string(exchange->body, "assertion", ""), keys, &exchange->claims);
    if (reason == NULL && strcmp(get_string(exchange->claims, "iss", ""), exchange->rule->issuer->url) != 0)
        reason = "iss is not the issuer's";
    if (reason == NULL)
        reason = times_fit(exchange);
    if (reason == NULL)
        reason = rule_fits(exchange);
    if (reason == NULL)
        reason = place_fits(exchange);
    return reason != NULL ? reason : use_up(exchange);
}

static void grant(struct exchange *exchange)
{
    struct store *store = exchange->call->store;
    struct json_object *object = json_object_new_object();
    int64_t lifetime = exchange->rule->token_lifetime, exp = 0;
    char secret[SECRET_SIZE];

    claim_time(exchange->claims, "exp", &exp);
    if (lifetime > 2 * (exp - exchange->now))
        lifetime = 2 * (exp - exchange->now);
    if (lifetime < store->knobs.federation_least_token_s)
        lifetime = store->knobs.federation_least_token_s;
    federation_add_token(store, exchange->rule->issuer->organisation, exchange->workspace, false, lifetime, secret)->machine =
        exchange->rule->target;
    store->anthropic->federation->exchanges++;
    put_string(object, "access_token", secret);
    put_string(object, "token_type", "Bearer");
    put_int(object, "expires_in", lifetime);
    put_string(object, "scope", exchange->rule->scope);
    answer_json(exchange->call->answer, 200, object);
    sodium_memzero(secret, sizeof(secret));
}

void federation_exchange(struct call *call)
{
    static const char grant_type[] = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    static const struct field fields[] = {
        {.name = "grant_type", .kind = FIELD_STRING, .required = true},
        {.name = "assertion", .kind = FIELD_STRING, .required = true, .min = 1, .max = 16 * 1024},
        {.name = "federation_rule_id", .kind = FIELD_STRING, .required = true},
        {.name = "organization_id", .kind = FIELD_STRING, .required = true},
        {.name = "service_account_id", .kind = FIELD_STRING},
        {.name = "workspace_id", .kind = FIELD_STRING},
        {.name = NULL},
    };
    struct exchange exchange = {.call = call, .now = unix_ms() / 1000};
    const char *beta = call->request->api_beta, *reason;

    if (beta == NULL || strstr(beta, "oidc-federation-2026-04-01") == NULL || strstr(beta, "oauth-2025-04-20") == NULL) {
        anthropic_error(call->answer, 400, "invalid_request", NULL, "anthropic-beta: the federation's headers are required");
        return;
    }
    exchange.body = anthropic_body(call, fields);
    if (exchange.body == NULL)
        return;
    if (strcmp(get_string(exchange.body, "grant_type", ""), grant_type) != 0 ||
        strncmp(get_string(exchange.body, "federation_rule_id", ""), "fdrl_", 5) != 0)
        anthropic_error(call->answer, 400, "invalid_request", NULL, "grant_type or federation_rule_id is malformed");
    else if ((reason = look_into(&exchange)) != NULL)
        refuse(&exchange, reason);
    else
        grant(&exchange);
    json_object_put(exchange.claims);
    json_object_put(exchange.body);
}
