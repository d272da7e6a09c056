#include "anthropic-federation.h"

#include "clock.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ORG "/v1/organizations"

/* --- records --- */

struct federation *federation_new(void)
{
    struct federation *federation = calloc(1, sizeof(*federation));

    if (federation == NULL)
        return NULL;
    TAILQ_INIT(&federation->issuers);
    TAILQ_INIT(&federation->machines);
    TAILQ_INIT(&federation->rules);
    TAILQ_INIT(&federation->tokens);
    federation->refusals = json_object_new_array();
    return federation;
}

void federation_free(struct federation *federation)
{
    struct issuer *issuer;
    struct machine *machine;
    struct rule *rule;
    struct access_token *token;

    while ((issuer = TAILQ_FIRST(&federation->issuers)) != NULL) {
        TAILQ_REMOVE(&federation->issuers, issuer, next);
        free(issuer->name);
        free(issuer->url);
        json_object_put(issuer->jwks);
        json_object_put(issuer->seen);
        free(issuer);
    }
    while ((machine = TAILQ_FIRST(&federation->machines)) != NULL) {
        TAILQ_REMOVE(&federation->machines, machine, next);
        free(machine->name);
        free(machine->description);
        json_object_put(machine->memberships);
        free(machine);
    }
    while ((rule = TAILQ_FIRST(&federation->rules)) != NULL) {
        TAILQ_REMOVE(&federation->rules, rule, next);
        free(rule->name);
        free(rule->scope);
        json_object_put(rule->match);
        free(rule);
    }
    while ((token = TAILQ_FIRST(&federation->tokens)) != NULL) {
        TAILQ_REMOVE(&federation->tokens, token, next);
        free(token->key.name);
        free(token);
    }
    json_object_put(federation->refusals);
    free(federation);
}

static void *new_record(size_t size)
{
    void *record = calloc(1, size);

    if (record == NULL)
        abort();
    return record;
}

void federation_organisation_id(const struct organisation *organisation, char out[ORGANISATION_ID_SIZE])
{
    snprintf(out, ORGANISATION_ID_SIZE, "00000000-0000-4000-8000-%012d", organisation->number);
}

struct access_token *federation_token(const struct store *store, const char *secret)
{
    struct access_token *token;
    char sha256[SHA256_HEX_SIZE];

    store_hash_secret(sha256, secret);
    TAILQ_FOREACH(token, &store->anthropic->federation->tokens, next) {
        if (strcmp(token->key.sha256, sha256) == 0)
            return unix_ms() < token->key.expires_ms ? token : NULL;
    }
    return NULL;
}

struct access_token *federation_add_token(struct store *store, const struct organisation *organisation,
                                          struct workspace *workspace, bool admin, int64_t lifetime,
                                          char secret_out[SECRET_SIZE])
{
    struct access_token *token = new_record(sizeof(*token));

    store_new_id(secret_out, "sk-ant-oat01-", 64);
    store_hash_secret(token->key.sha256, secret_out);
    store_new_id(token->key.id, "oat_01", 22);
    replace_text(&token->key.name, "access token");
    token->key.workspace = workspace;
    token->key.created_ms = unix_ms();
    token->key.expires_ms = token->key.created_ms + lifetime * 1000;
    token->organisation = organisation;
    token->admin = admin;
    TAILQ_INSERT_TAIL(&store->anthropic->federation->tokens, token, next);
    return token;
}

const char *federation_account(const struct store *store, const struct console_key *key)
{
    const struct access_token *token;

    TAILQ_FOREACH(token, &store->anthropic->federation->tokens, next) {
        if (&token->key == key)
            return token->machine != NULL ? token->machine->id : NULL;
    }
    return NULL;
}

static struct federation *of(const struct call *call)
{
    return call->store->anthropic->federation;
}

/* --- what all have in common --- */

static void put_actors(struct json_object *object, int64_t created_ms, int64_t archived_ms)
{
    put_date(object, "created_at", created_ms, "Z");
    put_date(object, "updated_at", created_ms, "Z");
    put_date(object, "archived_at", archived_ms, "Z");
    put_string(object, "created_by_actor_id", "user_01sandbox");
    put_string(object, "updated_by_actor_id", "user_01sandbox");
    put_string(object, "archived_by_actor_id", archived_ms != 0 ? "user_01sandbox" : NULL);
}

static void not_found(struct call *call)
{
    anthropic_error(call->answer, 404, NULL, NULL, "Not found.");
}

/* A-z0-9 and '-', 1 to 255; else 400 is answered. */
static bool name_fits(struct call *call, struct json_object *body)
{
    const char *name = get_string(body, "name", "");

    if (*name != '\0' && strlen(name) <= 255 && name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-")] == '\0')
        return true;
    anthropic_error(call->answer, 400, NULL, NULL, "name: must match ^[a-z0-9-]+$");
    return false;
}

static void name_taken(struct call *call)
{
    anthropic_error(call->answer, 409, "invalid_request_error", NULL, "name: there is one of that name");
}

static bool wants_archived(const struct call *call)
{
    const char *value = request_query(call->request, "include_archived");

    return value != NULL && strcmp(value, "true") == 0;
}

/* Whether an archived one keeps its name is not said anywhere. */
static bool holds_name(const struct call *call, int64_t archived_ms)
{
    return archived_ms == 0 || call->store->knobs.federation_archived_names_kept;
}

/* --- issuers --- */

static struct json_object *issuer_json(const struct issuer *issuer)
{
    struct json_object *object = json_object_new_object();

    put_string(object, "id", issuer->id);
    put_string(object, "type", "federation_issuer");
    put_string(object, "name", issuer->name);
    put_string(object, "issuer_url", issuer->url);
    json_object_object_add(object, "jwks", json_object_get(issuer->jwks));
    put_bool(object, "check_jti", issuer->check_jti);
    put_int(object, "max_jwt_lifetime_seconds", issuer->max_lifetime);
    put_string(object, "jwks_polling_disabled_at", NULL);
    put_string(object, "poll_status", NULL);
    put_actors(object, issuer->created_ms, issuer->archived_ms);
    return object;
}

static struct issuer *find_issuer(const struct call *call, const char *id)
{
    struct issuer *issuer;

    TAILQ_FOREACH(issuer, &of(call)->issuers, next) {
        if (issuer->organisation == call->organisation && strcmp(issuer->id, id) == 0)
            break;
    }
    return issuer;
}

static bool issuer_name_taken(const struct call *call, const char *name)
{
    const struct issuer *issuer;

    TAILQ_FOREACH(issuer, &of(call)->issuers, next) {
        if (issuer->organisation == call->organisation && strcmp(issuer->name, name) == 0)
            return true;
    }
    return false;
}

static void create_issuer(struct call *call)
{
    static const struct field fields[] = {
        {.name = "name", .kind = FIELD_STRING, .required = true},
        {.name = "issuer_url", .kind = FIELD_STRING, .required = true, .min = 1, .max = 2048},
        {.name = "jwks", .kind = FIELD_OBJECT, .required = true}, /* discovery, the default, would fetch something */
        {.name = "check_jti", .kind = FIELD_BOOL, .nullable = true},
        {.name = "max_jwt_lifetime_seconds", .kind = FIELD_INT, .nullable = true, .min = 1, .max = 176400},
        {.name = NULL},
    };
    struct json_object *body = anthropic_body(call, fields), *jwks, *keys;
    struct issuer *issuer;

    if (body == NULL)
        return;
    json_object_object_get_ex(body, "jwks", &jwks);
    if (!name_fits(call, body)) {
        /* answered */
    } else if (strncmp(get_string(body, "issuer_url", ""), "https://", 8) != 0) {
        anthropic_error(call->answer, 400, NULL, NULL, "issuer_url: url must use https scheme");
    } else if (strcmp(get_string(jwks, "type", ""), "inline") != 0 || !json_object_object_get_ex(jwks, "keys", &keys) ||
               !json_object_is_type(keys, json_type_array) || json_object_array_length(keys) == 0) {
        anthropic_error(call->answer, 400, NULL, NULL, "jwks: the sandbox takes inline keys alone, and at least one");
    } else if (issuer_name_taken(call, get_string(body, "name", ""))) {
        name_taken(call);
    } else {
        issuer = new_record(sizeof(*issuer));
        store_new_id(issuer->id, "fdis_01", 22);
        replace_text(&issuer->name, get_string(body, "name", ""));
        replace_text(&issuer->url, get_string(body, "issuer_url", ""));
        issuer->organisation = call->organisation;
        issuer->jwks = json_object_get(jwks);
        issuer->seen = json_object_new_object();
        issuer->check_jti = get_bool(body, "check_jti", true);
        issuer->max_lifetime = get_int(body, "max_jwt_lifetime_seconds", 3600);
        issuer->created_ms = unix_ms();
        TAILQ_INSERT_TAIL(&of(call)->issuers, issuer, next);
        answer_json(call->answer, 200, issuer_json(issuer));
    }
    json_object_put(body);
}

static void list_issuers(struct call *call)
{
    struct json_object *all = json_object_new_array();
    const struct issuer *issuer;

    TAILQ_FOREACH(issuer, &of(call)->issuers, next) {
        if (issuer->organisation == call->organisation && (issuer->archived_ms == 0 || wants_archived(call)))
            json_object_array_add(all, issuer_json(issuer));
    }
    answer_cursor_page(call, all);
}

static void get_issuer(struct call *call)
{
    const struct issuer *issuer = find_issuer(call, call->arg[0]);

    if (issuer == NULL)
        not_found(call);
    else
        answer_json(call->answer, 200, issuer_json(issuer));
}

static void archive_issuer(struct call *call)
{
    struct issuer *issuer = find_issuer(call, call->arg[0]);
    const struct rule *rule;

    if (issuer == NULL) {
        not_found(call);
        return;
    }
    TAILQ_FOREACH(rule, &of(call)->rules, next) {
        if (rule->issuer == issuer && rule->archived_ms == 0) {
            anthropic_error(call->answer, 400, NULL, NULL, "A live rule refers to the issuer.");
            return;
        }
    }
    if (issuer->archived_ms == 0)
        issuer->archived_ms = unix_ms();
    answer_json(call->answer, 200, issuer_json(issuer));
}

/* --- service accounts --- */

static struct json_object *machine_json(const struct machine *machine)
{
    struct json_object *object = json_object_new_object();

    put_string(object, "id", machine->id);
    put_string(object, "type", "service_account");
    put_string(object, "name", machine->name);
    put_string(object, "description", machine->description);
    put_string(object, "organization_role", "developer");
    put_actors(object, machine->created_ms, machine->archived_ms);
    return object;
}

static struct machine *find_machine(const struct call *call, const char *id)
{
    struct machine *machine;

    TAILQ_FOREACH(machine, &of(call)->machines, next) {
        if (machine->organisation == call->organisation && strcmp(machine->id, id) == 0)
            break;
    }
    return machine;
}

static bool machine_name_taken(const struct call *call, const char *name)
{
    const struct machine *machine;

    TAILQ_FOREACH(machine, &of(call)->machines, next) {
        if (machine->organisation == call->organisation && strcmp(machine->name, name) == 0 &&
            holds_name(call, machine->archived_ms))
            return true;
    }
    return false;
}

static void create_machine(struct call *call)
{
    static const char *const roles[] = {"developer", NULL}; /* an admin's is made by a person alone */
    static const struct field fields[] = {
        {.name = "name", .kind = FIELD_STRING, .required = true},
        {.name = "description", .kind = FIELD_STRING, .nullable = true},
        {.name = "organization_role", .kind = FIELD_STRING, .values = roles},
        {.name = NULL},
    };
    struct json_object *body = anthropic_body(call, fields);
    struct machine *machine;

    if (body == NULL)
        return;
    if (!name_fits(call, body)) {
        /* answered */
    } else if (machine_name_taken(call, get_string(body, "name", ""))) {
        name_taken(call);
    } else {
        machine = new_record(sizeof(*machine));
        store_new_id(machine->id, "svac_01", 22);
        replace_text(&machine->name, get_string(body, "name", ""));
        replace_text(&machine->description, get_string(body, "description", NULL));
        machine->organisation = call->organisation;
        machine->memberships = json_object_new_object();
        machine->created_ms = unix_ms();
        TAILQ_INSERT_TAIL(&of(call)->machines, machine, next);
        answer_json(call->answer, 200, machine_json(machine));
    }
    json_object_put(body);
}

static void list_machines(struct call *call)
{
    struct json_object *all = json_object_new_array();
    const struct machine *machine;

    TAILQ_FOREACH_REVERSE(machine, &of(call)->machines, machine_list, next) {
        if (machine->organisation == call->organisation && (machine->archived_ms == 0 || wants_archived(call)))
            json_object_array_add(all, machine_json(machine));
    }
    answer_cursor_page(call, all);
}

static void get_machine(struct call *call)
{
    const struct machine *machine = find_machine(call, call->arg[0]);

    if (machine == NULL)
        not_found(call);
    else
        answer_json(call->answer, 200, machine_json(machine));
}

static struct json_object *membership_json(const struct machine *machine, const char *workspace, const char *role,
                                           bool implicit)
{
    struct json_object *object = json_object_new_object();

    put_string(object, "type", "service_account_workspace_member");
    put_string(object, "service_account_id", machine->id);
    put_string(object, "workspace_id", workspace);
    put_string(object, "workspace_role", role);
    put_bool(object, "implicit", implicit);
    put_string(object, "created_by_actor_id", implicit ? NULL : "user_01sandbox");
    return object;
}

static void list_memberships(struct call *call)
{
    struct json_object *all;
    const struct machine *machine = find_machine(call, call->arg[0]);
    const struct workspace *usual = anthropic_default_workspace(call->store, call->organisation);

    if (machine == NULL) {
        not_found(call);
        return;
    }
    all = json_object_new_array();
    if (!json_object_object_get_ex(machine->memberships, usual->id, NULL))
        json_object_array_add(all, membership_json(machine, usual->id, "workspace_user", true));
    json_object_object_foreach(machine->memberships, workspace, role)
    {
        json_object_array_add(all, membership_json(machine, workspace, json_object_get_string(role), false));
    }
    answer_cursor_page(call, all);
}

static void add_membership(struct call *call)
{
    static const char *const roles[] = {"workspace_admin", "workspace_developer", "workspace_restricted_developer",
                                        "workspace_user", NULL};
    static const struct field fields[] = {
        {.name = "workspace_id", .kind = FIELD_STRING, .required = true},
        {.name = "workspace_role", .kind = FIELD_STRING, .required = true, .values = roles},
        {.name = NULL},
    };
    struct machine *machine = find_machine(call, call->arg[0]);
    struct json_object *body = machine != NULL ? anthropic_body(call, fields) : NULL;
    const struct workspace *workspace;

    if (machine == NULL)
        not_found(call);
    if (body == NULL)
        return;
    workspace = anthropic_workspace(call->store, get_string(body, "workspace_id", ""));
    if (workspace == NULL || workspace->organisation != call->organisation || workspace->archived_ms != 0) {
        anthropic_error(call->answer, 400, NULL, NULL, "workspace_id: no such workspace");
    } else {
        json_object_object_add(machine->memberships, workspace->id,
                               json_object_new_string(get_string(body, "workspace_role", "")));
        answer_json(call->answer, 200,
                    membership_json(machine, workspace->id, get_string(body, "workspace_role", ""), false));
    }
    json_object_put(body);
}

static void archive_machine(struct call *call)
{
    struct machine *machine = find_machine(call, call->arg[0]);
    const struct rule *rule;

    if (machine == NULL) {
        not_found(call);
        return;
    }
    TAILQ_FOREACH(rule, &of(call)->rules, next) {
        if (rule->target == machine && rule->archived_ms == 0) {
            anthropic_error(call->answer, 400, NULL, NULL, "A live rule targets the service account.");
            return;
        }
    }
    if (machine->archived_ms == 0)
        machine->archived_ms = unix_ms();
    answer_json(call->answer, 200, machine_json(machine));
}

/* --- rules --- */

static struct json_object *rule_json(const struct rule *rule)
{
    struct json_object *object = json_object_new_object(), *target = json_object_new_object();
    struct json_object *workspaces = json_object_new_array();

    put_string(object, "id", rule->id);
    put_string(object, "type", "federation_rule");
    put_string(object, "name", rule->name);
    put_string(object, "issuer_id", rule->issuer->id);
    put_string(object, "issuer_name", rule->issuer->name);
    json_object_object_add(object, "match", json_object_get(rule->match));
    put_string(target, "type", "service_account");
    put_string(target, "service_account_id", rule->target->id);
    put_string(target, "service_account_name", rule->target->name);
    json_object_object_add(object, "target", target);
    put_string(object, "oauth_scope", rule->scope);
    put_int(object, "token_lifetime_seconds", rule->token_lifetime);
    put_bool(object, "applies_to_all_workspaces", false);
    put_string(object, "workspace_id", rule->workspace->id);
    json_object_array_add(workspaces, json_object_new_string(rule->workspace->id));
    json_object_object_add(object, "workspace_ids", workspaces);
    put_string(object, "attributes", NULL);
    put_string(object, "description", NULL);
    put_actors(object, rule->created_ms, rule->archived_ms);
    return object;
}

static struct rule *find_rule(const struct call *call, const char *id)
{
    struct rule *rule;

    TAILQ_FOREACH(rule, &of(call)->rules, next) {
        if (rule->issuer->organisation == call->organisation && strcmp(rule->id, id) == 0)
            break;
    }
    return rule;
}

static bool rule_name_taken(const struct call *call, const char *name)
{
    const struct rule *rule;

    TAILQ_FOREACH(rule, &of(call)->rules, next) {
        if (rule->issuer->organisation == call->organisation && strcmp(rule->name, name) == 0 &&
            holds_name(call, rule->archived_ms))
            return true;
    }
    return false;
}

/* A rule that took everything would be an open door. */
static const char *match_fault(struct json_object *match)
{
    static const struct field fields[] = {
        {.name = "subject_prefix", .kind = FIELD_STRING, .nullable = true},
        {.name = "audience", .kind = FIELD_STRING, .nullable = true},
        {.name = "claims", .kind = FIELD_OBJECT, .nullable = true},
        {.name = NULL}, /* no condition: the sandbox reads no CEL */
    };
    static struct complaint complaint; /* under the store's lock */
    const char *subject = get_string(match, "subject_prefix", NULL);

    if (!fields_check(match, fields, &complaint))
        return complaint.message;
    if ((subject == NULL || strcmp(subject, "*") == 0 || *subject == '\0') &&
        !json_object_object_get_ex(match, "claims", NULL))
        return "match: a subject_prefix, claims or a condition is required";
    return NULL;
}

static void add_rule(struct call *call, struct json_object *body, struct json_object *match, struct json_object *target)
{
    const char *scope = get_string(body, "oauth_scope", ""), *fault = match_fault(match);
    struct issuer *issuer = find_issuer(call, get_string(body, "issuer_id", ""));
    struct machine *machine = find_machine(call, get_string(target, "service_account_id", ""));
    struct workspace *workspace = anthropic_workspace(call->store, get_string(body, "workspace_id", ""));
    struct rule *rule;

    if (fault == NULL && (issuer == NULL || issuer->archived_ms != 0))
        fault = "issuer_id: no such issuer";
    if (fault == NULL && (machine == NULL || machine->archived_ms != 0))
        fault = "target: no such service account";
    if (fault == NULL && (workspace == NULL || workspace->organisation != call->organisation || workspace->archived_ms != 0))
        fault = "workspace_id: required, and of a workspace that there is";
    if (fault == NULL && strcmp(scope, "workspace:developer") != 0 && strcmp(scope, "workspace:inference") != 0)
        fault = "oauth_scope: this one requires a Console session";
    if (fault != NULL) {
        anthropic_error(call->answer, 400, NULL, NULL, fault);
        return;
    }
    rule = new_record(sizeof(*rule));
    store_new_id(rule->id, "fdrl_01", 22);
    replace_text(&rule->name, get_string(body, "name", ""));
    replace_text(&rule->scope, scope);
    rule->issuer = issuer;
    rule->target = machine;
    rule->workspace = workspace;
    rule->match = json_object_get(match);
    rule->token_lifetime = get_int(body, "token_lifetime_seconds", 3600);
    rule->created_ms = unix_ms();
    TAILQ_INSERT_TAIL(&of(call)->rules, rule, next);
    answer_json(call->answer, 200, rule_json(rule));
}

static void create_rule(struct call *call)
{
    static const struct field fields[] = {
        {.name = "name", .kind = FIELD_STRING, .required = true},
        {.name = "issuer_id", .kind = FIELD_STRING, .required = true},
        {.name = "match", .kind = FIELD_OBJECT, .required = true},
        {.name = "target", .kind = FIELD_OBJECT, .required = true},
        {.name = "oauth_scope", .kind = FIELD_STRING, .required = true},
        {.name = "workspace_id", .kind = FIELD_STRING, .nullable = true},
        {.name = "token_lifetime_seconds", .kind = FIELD_INT, .min = 60, .max = 86400},
        {.name = "description", .kind = FIELD_STRING, .nullable = true},
        {.name = NULL},
    };
    struct json_object *body = anthropic_body(call, fields), *match, *target;

    if (body == NULL)
        return;
    json_object_object_get_ex(body, "match", &match);
    json_object_object_get_ex(body, "target", &target);
    if (!name_fits(call, body)) {
        /* answered */
    } else if (rule_name_taken(call, get_string(body, "name", ""))) {
        name_taken(call);
    } else {
        add_rule(call, body, match, target);
    }
    json_object_put(body);
}

static void list_rules(struct call *call)
{
    struct json_object *all = json_object_new_array();
    const struct rule *rule;

    TAILQ_FOREACH(rule, &of(call)->rules, next) {
        if (rule->issuer->organisation == call->organisation && (rule->archived_ms == 0 || wants_archived(call)))
            json_object_array_add(all, rule_json(rule));
    }
    answer_cursor_page(call, all);
}

static void get_rule(struct call *call)
{
    const struct rule *rule = find_rule(call, call->arg[0]);

    if (rule == NULL)
        not_found(call);
    else
        answer_json(call->answer, 200, rule_json(rule));
}

static void archive_rule(struct call *call)
{
    struct rule *rule = find_rule(call, call->arg[0]);

    if (rule == NULL) {
        not_found(call);
        return;
    }
    if (rule->archived_ms == 0)
        rule->archived_ms = unix_ms();
    answer_json(call->answer, 200, rule_json(rule));
}

/* --- the provider --- */

static const struct route routes[] = {
    {"POST", ORG "/federation_issuers", ACCESS_ADMIN, create_issuer},
    {"GET", ORG "/federation_issuers", ACCESS_ADMIN, list_issuers},
    {"GET", ORG "/federation_issuers/*", ACCESS_ADMIN, get_issuer},
    {"POST", ORG "/federation_issuers/*/archive", ACCESS_ADMIN, archive_issuer},
    {"POST", ORG "/service_accounts", ACCESS_ADMIN, create_machine},
    {"GET", ORG "/service_accounts", ACCESS_ADMIN, list_machines},
    {"GET", ORG "/service_accounts/*", ACCESS_ADMIN, get_machine},
    {"POST", ORG "/service_accounts/*/archive", ACCESS_ADMIN, archive_machine},
    {"GET", ORG "/service_accounts/*/workspaces", ACCESS_ADMIN, list_memberships},
    {"POST", ORG "/service_accounts/*/workspaces", ACCESS_ADMIN, add_membership},
    {"POST", ORG "/federation_rules", ACCESS_ADMIN, create_rule},
    {"GET", ORG "/federation_rules", ACCESS_ADMIN, list_rules},
    {"GET", ORG "/federation_rules/*", ACCESS_ADMIN, get_rule},
    {"POST", ORG "/federation_rules/*/archive", ACCESS_ADMIN, archive_rule},
    {"POST", "/v1/oauth/token", ACCESS_MODEL, federation_exchange},
};

/* The exchange proves itself; all else is for an OAuth token with the scope org:admin. */
static bool admit(struct call *call)
{
    const char *secret = call->request->bearer != NULL ? call->request->bearer : call->request->api_key;
    const struct access_token *token = secret != NULL ? federation_token(call->store, secret) : NULL;

    if (call->route->handle == federation_exchange)
        return true;
    if (token == NULL && secret != NULL && store_organisation(call->store, secret) != NULL) {
        anthropic_error(call->answer, 403, NULL, NULL, "Admin API keys are not accepted here: use an OAuth token.");
        return false;
    }
    if (token == NULL) {
        anthropic_error(call->answer, 401, NULL, NULL, "invalid bearer token");
        return false;
    }
    if (!token->admin) {
        anthropic_error(call->answer, 403, NULL, NULL, "The token lacks the scope org:admin.");
        return false;
    }
    call->organisation = token->organisation;
    return true;
}

static void state(struct store *store, bool live_only, struct json_object *out)
{
    struct federation *federation = store->anthropic->federation;
    struct json_object *object = json_object_new_object(), *tokens = json_object_new_array();
    struct json_object *machines = json_object_new_array();
    const struct machine *machine;
    const struct rule *rule;
    char organisation[ORGANISATION_ID_SIZE];
    const struct access_token *token;

    TAILQ_FOREACH(token, &federation->tokens, next) {
        bool live = unix_ms() < token->key.expires_ms;
        struct json_object *one;

        if (live_only && !live)
            continue;
        one = json_object_new_object();
        put_string(one, "id", token->key.id);
        put_string(one, "sha256", token->key.sha256);
        put_bool(one, "admin", token->admin);
        put_bool(one, "live", live);
        put_time(one, "last_used", token->key.last_used);
        json_object_array_add(tokens, one);
    }
    TAILQ_FOREACH(machine, &federation->machines, next) {
        struct json_object *one, *rules;

        if (live_only && machine->archived_ms != 0)
            continue;
        one = machine_json(machine);
        rules = json_object_new_array();
        TAILQ_FOREACH(rule, &federation->rules, next) {
            if (rule->target == machine && rule->archived_ms == 0)
                json_object_array_add(rules, json_object_new_string(rule->id));
        }
        json_object_object_add(one, "rules", rules);
        json_object_array_add(machines, one);
    }
    json_object_object_add(object, "service_accounts", machines);
    federation_organisation_id(&store->organisations[0], organisation);
    put_string(object, "organization_id", organisation);
    put_int(object, "exchanges", federation->exchanges);
    json_object_object_add(object, "refusals", json_object_get(federation->refusals));
    json_object_object_add(object, "tokens", tokens);
    json_object_object_add(out, "federation", object);
}

static const char *const prefixes[] = {"/v1/oauth/", ORG "/federation_", ORG "/service_accounts", NULL};

const struct provider anthropic_federation_provider = {
    .name = "anthropic-federation",
    .prefixes = prefixes,
    .routes = routes,
    .n_routes = sizeof(routes) / sizeof(routes[0]),
    .admit = admit,
    .error = anthropic_error,
    .state = state,
};
