#include "clock.h"
#include "openai.h"

#include <sodium.h>
#include <string.h>

static struct json_object *account_json(const struct service_account *account)
{
    struct json_object *object = json_object_new_object();

    put_string(object, "object", "organization.project.service_account");
    put_string(object, "id", account->id);
    put_string(object, "name", account->name);
    put_string(object, "role", account->role);
    put_int(object, "created_at", account->created);
    return object;
}

/* Mints, and returns what shows the secret for the only time. */
static struct json_object *mint(struct call *call, struct service_account *account,
                                const char *name, int64_t expires_in)
{
    struct json_object *object = json_object_new_object();
    char secret[SECRET_SIZE];
    struct key *key = store_add_key(call->store, account, name, expires_in, secret);

    put_string(object, "object", "organization.project.service_account.api_key");
    put_string(object, "value", secret);
    put_string(object, "name", key->name);
    put_int(object, "created_at", key->created);
    put_string(object, "id", key->id);
    if (!call->store->knobs.refuse_expiry) /* then it is not in the answers of that version either */
        put_time(object, "expires_at", key->expires_at);
    sodium_memzero(secret, sizeof(secret));
    return object;
}

static bool minting_allowed(struct call *call)
{
    if (!call->store->knobs.forbid_minting)
        return true;
    openai_error(call->answer, 403, "invalid_request_error", "api_key_creation_forbidden", NULL,
                 "The organization's policy does not allow creating this kind of API key.");
    return false;
}

/* The newer field is checked like any other where it is accepted, and unknown where it is not. Where the organisation sets
 * its keys a longest life, it has to be there: in which words OpenAI says so is not known. */
static bool expiry_allowed(struct call *call, struct json_object *body)
{
    bool given = json_object_object_get_ex(body, "expires_in_seconds", NULL);

    if (call->store->knobs.require_expiry && !given) {
        openai_error(call->answer, 400, "invalid_request_error", "missing_required_parameter", "expires_in_seconds",
                     "The organization's policy requires 'expires_in_seconds'.");
        return false;
    }
    if (!call->store->knobs.refuse_expiry || !given)
        return true;
    openai_error(call->answer, 400, "invalid_request_error", "unknown_parameter",
                 "expires_in_seconds", "Unknown parameter: 'expires_in_seconds'.");
    return false;
}

#define EXPIRY_FIELD \
    {.name = "expires_in_seconds", .kind = FIELD_INT, .nullable = true, .min = 1, .max = 31536000}

void openai_create_account(struct call *call)
{
    static const struct field fields[] = {
        {.name = "name", .kind = FIELD_STRING, .required = true, .min = 1, .max = 256},
        {.name = "create_service_account_only", .kind = FIELD_BOOL, .nullable = true},
        EXPIRY_FIELD,
        {.name = NULL},
    };
    struct project *project = openai_active_project(call);
    struct service_account *account;
    struct json_object *body, *object;
    const char *name;
    bool bare;

    if (project == NULL)
        return;
    if (project->is_default) {
        openai_error(call->answer, 400, "invalid_request_error", NULL, NULL,
                     "Service accounts cannot be created in the default project.");
        return;
    }
    body = openai_body(call, fields);
    if (body == NULL)
        return;
    name = get_string(body, "name", "");
    bare = get_bool(body, "create_service_account_only", false);
    if (expiry_allowed(call, body) && (bare || minting_allowed(call))) {
        account = store_add_account(call->store, project, name, bare ? "none" : "member");
        object = account_json(account);
        json_object_object_add(object, "api_key",
                               bare ? NULL
                                    : mint(call, account, "Secret Key",
                                           get_int(body, "expires_in_seconds", 0)));
        answer_json(call->answer, 200, object);
    }
    json_object_put(body);
}

void openai_list_accounts(struct call *call)
{
    struct project *project = openai_active_project(call);
    struct service_account *account;
    struct id_page page;

    if (project == NULL || !openai_list_begin(call, &page, 20, 1))
        return;
    TAILQ_FOREACH(account, &project->accounts, next) {
        if (account->deleted_ms != 0 || !store_visible(account->visible_mono))
            continue;
        if (id_page_wants(&page, account->id))
            id_page_add(&page, account->id, account_json(account));
    }
    openai_list_end(&page);
}

static struct service_account *account_of(struct call *call, struct project *project)
{
    struct service_account *account;

    if (project == NULL)
        return NULL;
    account = store_account(project, call->store, call->arg[1]);
    if (account == NULL)
        openai_error(call->answer, 404, "invalid_request_error", "not_found", NULL,
                     "No such service account.");
    return account;
}

void openai_get_account(struct call *call)
{
    struct service_account *account = account_of(call, openai_project(call));

    if (account != NULL)
        answer_json(call->answer, 200, account_json(account));
}

void openai_update_account(struct call *call)
{
    static const char *const roles[] = {"member", "owner", NULL};
    static const struct field fields[] = {
        {.name = "name", .kind = FIELD_STRING, .min = 1, .max = 256},
        {.name = "role", .kind = FIELD_STRING, .values = roles},
        {.name = NULL},
    };
    struct service_account *account = account_of(call, openai_active_project(call));
    struct json_object *body;
    const char *role;

    if (account == NULL)
        return;
    body = openai_body(call, fields);
    if (body == NULL)
        return;
    if (get_string(body, "name", NULL) != NULL)
        replace_text(&account->name, get_string(body, "name", NULL));
    role = get_string(body, "role", NULL);
    if (role != NULL)
        account->role = strcmp(role, "owner") == 0 ? "owner" : "member";
    answer_json(call->answer, 200, account_json(account));
    json_object_put(body);
}

/* Works in an archived project too: cleaning up must never depend on the order of steps. */
void openai_delete_account(struct call *call)
{
    struct service_account *account = account_of(call, openai_project(call));

    if (account == NULL)
        return;
    store_delete_account(account);
    openai_answer_deleted(call, "organization.project.service_account.deleted", account->id);
}

void openai_create_key(struct call *call)
{
    static const struct field fields[] = {
        {.name = "name", .kind = FIELD_STRING, .max = 256},
        {.name = "scopes", .kind = FIELD_ARRAY},
        EXPIRY_FIELD,
        {.name = NULL},
    };
    struct service_account *account = account_of(call, openai_active_project(call));
    struct json_object *body;

    if (account == NULL)
        return;
    body = openai_body(call, fields);
    if (body == NULL)
        return;
    if (expiry_allowed(call, body) && minting_allowed(call))
        answer_json(call->answer, 200,
                    mint(call, account, get_string(body, "name", "Secret Key"),
                         get_int(body, "expires_in_seconds", 0)));
    json_object_put(body);
}

static bool owner_has_access(const struct key *key)
{
    return strcmp(key->account->role, "none") != 0;
}

static struct json_object *key_json(const struct key *key)
{
    struct json_object *object = json_object_new_object();
    struct json_object *owner = json_object_new_object();
    struct json_object *account = json_object_new_object();

    put_string(account, "id", key->account->id);
    put_string(account, "name", key->account->name);
    put_int(account, "created_at", key->account->created);
    put_string(account, "role", key->account->role);
    put_string(owner, "type", "service_account");
    json_object_object_add(owner, "service_account", account);

    put_string(object, "object", "organization.project.api_key");
    put_string(object, "redacted_value", key->redacted);
    put_string(object, "name", key->name);
    put_int(object, "created_at", key->created);
    put_time(object, "last_used_at", key->last_used);
    put_string(object, "id", key->id);
    put_string(object, "owner_project_access", owner_has_access(key) ? "active" : "inactive");
    json_object_object_add(object, "owner", owner);
    return object;
}

/* Without owner_project_access=any the keys of accounts with no role in the project stay hidden. */
void openai_list_keys(struct call *call)
{
    const char *access = request_query(call->request, "owner_project_access");
    struct project *project = openai_active_project(call);
    bool active = access == NULL, inactive = false;
    struct id_page page;
    struct key *key;

    if (project == NULL)
        return;
    if (access != NULL) {
        active = strcmp(access, "active") == 0 || strcmp(access, "any") == 0;
        inactive = strcmp(access, "inactive") == 0 || strcmp(access, "any") == 0;
        if (!active && !inactive) {
            openai_error(call->answer, 400, "invalid_request_error", "invalid_value",
                         "owner_project_access",
                         "Invalid 'owner_project_access': expected active, inactive or any.");
            return;
        }
    }
    if (!openai_list_begin(call, &page, 20, 1))
        return;
    TAILQ_FOREACH(key, &project->keys, next) {
        if (!key_is_live(key) || !store_visible(key->visible_mono))
            continue;
        if (!(owner_has_access(key) ? active : inactive))
            continue;
        if (id_page_wants(&page, key->id))
            id_page_add(&page, key->id, key_json(key));
    }
    openai_list_end(&page);
}

static struct key *key_of(struct call *call)
{
    struct project *project = openai_project(call);
    struct key *key;

    if (project == NULL)
        return NULL;
    key = store_key(project, call->store, call->arg[1]);
    if (key == NULL)
        openai_error(call->answer, 404, "invalid_request_error", "not_found", NULL,
                     "No such API key.");
    return key;
}

void openai_get_key(struct call *call)
{
    struct key *key = key_of(call);

    if (key != NULL)
        answer_json(call->answer, 200, key_json(key));
}

/* Every key here belongs to a service account, so the knob decides about all of them. */
void openai_delete_key(struct call *call)
{
    struct key *key = key_of(call);

    if (key == NULL)
        return;
    if (call->store->knobs.refuse_key_delete) {
        openai_error(call->answer, 400, "invalid_request_error", NULL, NULL,
                     "A service account's API key cannot be deleted; delete the service account.");
        return;
    }
    store_delete_key(key);
    openai_answer_deleted(call, "organization.project.api_key.deleted", key->id);
}

static struct json_object *admin_key_json(const struct call *call, const struct admin_key *key)
{
    struct json_object *object = json_object_new_object();
    struct json_object *owner = json_object_new_object();

    put_string(owner, "type", "user");
    put_string(owner, "object", "organization.user");
    put_string(owner, "id", "user-sandboxadministrator");
    put_string(owner, "name", "Sandbox Administrator");
    put_int(owner, "created_at", call->store->started);
    put_string(owner, "role", "owner");

    put_string(object, "object", "organization.admin_api_key");
    put_string(object, "id", key->id);
    put_string(object, "name", key->name);
    put_string(object, "redacted_value", key->redacted);
    put_int(object, "created_at", key->created);
    put_time(object, "expires_at", key->expires_at);
    put_time(object, "last_used_at", 0);
    json_object_object_add(object, "owner", owner);
    return object;
}

/* The first of an organisation is that from its file. */
void openai_list_admin_keys(struct call *call)
{
    const struct admin_key *key;
    struct id_page page;

    if (!openai_list_begin(call, &page, 20, 1))
        return;
    TAILQ_FOREACH(key, &call->organisation->admin_keys, next) {
        if (key->deleted_ms == 0 && id_page_wants(&page, key->id))
            id_page_add(&page, key->id, admin_key_json(call, key));
    }
    openai_list_end(&page);
}

void openai_create_admin_key(struct call *call)
{
    static const struct field fields[] = {
        {.name = "name", .kind = FIELD_STRING, .required = true, .min = 1, .max = 256},
        EXPIRY_FIELD,
        {.name = NULL},
    };
    struct json_object *body = openai_body(call, fields), *object;
    char secret[SECRET_SIZE];

    if (body == NULL)
        return;
    if (minting_allowed(call)) {
        struct organisation *organisation = &call->store->organisations[call->organisation->number - 1];

        object = admin_key_json(call, store_add_admin_key(organisation, get_string(body, "name", ""),
                                                          get_int(body, "expires_in_seconds", 0), secret));
        put_string(object, "value", secret);
        answer_json(call->answer, 200, object);
        sodium_memzero(secret, sizeof(secret));
    }
    json_object_put(body);
}

static struct admin_key *admin_key_of(struct call *call)
{
    struct admin_key *key;

    TAILQ_FOREACH(key, &call->organisation->admin_keys, next) {
        if (key->deleted_ms == 0 && strcmp(key->id, call->arg[0]) == 0)
            return key;
    }
    openai_error(call->answer, 404, "invalid_request_error", "not_found", NULL, "No such admin API key.");
    return NULL;
}

void openai_get_admin_key(struct call *call)
{
    const struct admin_key *key = admin_key_of(call);

    if (key != NULL)
        answer_json(call->answer, 200, admin_key_json(call, key));
}

void openai_delete_admin_key(struct call *call)
{
    struct admin_key *key = admin_key_of(call);

    if (key == NULL)
        return;
    key->deleted_ms = unix_ms();
    openai_answer_deleted(call, "organization.admin_api_key.deleted", key->id);
}
