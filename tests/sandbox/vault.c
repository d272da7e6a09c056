/*
 * What is here was read in OpenBao's sources (expiration.go, logical_system.go, token_store.go) and
 * Vault's API documentation: words, statuses, and what ends with what. A lease ends with the token
 * that it was made with. A lease that is not there is an "invalid lease" to whoever looks at it, and
 * nothing to whoever revokes it.
 *
 * The organisation's admin key is the root token. A token of a login, or one that an outsider made,
 * may do what llmhook's manual asks for; what more it may, a knob says.
 */
#include "vault.h"

#include "billing.h"
#include "clock.h"
#include "gateway.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>

#define BASE "/vault/v1"

enum { NAME_SPACE_SIZE = 64, LEASE_SIZE = 160, PATH_SIZE = 128 };

struct token {
    char sha256[SHA256_HEX_SIZE];
    bool root, renewable, revoked;
    int64_t made_ms;
    int64_t ttl_ms;  /* a renewal gives as much */
    int64_t most_ms; /* since it was made, 0 = any */
    int64_t ends_ms; /* 0 = never */
    int64_t renewals;
    TAILQ_ENTRY(token) next;
};

struct lease {
    char id[LEASE_SIZE];
    char name_space[NAME_SPACE_SIZE];
    char sha256[SHA256_HEX_SIZE]; /* of the key */
    const struct token *token;
    struct json_object *asked; /* the body it was made with, NULL = none */
    int64_t made_ms, renewed_ms, ends_ms, revoked_ms;
    int64_t renewals;
    TAILQ_ENTRY(lease) next;
};

/* What lies in a key-value store. */
struct entry {
    char path[PATH_SIZE]; /* "secret/NAME" is of version 2, "kv/NAME" of version 1 */
    struct json_object *data;
    TAILQ_ENTRY(entry) next;
};

struct approle {
    char role_sha256[SHA256_HEX_SIZE], secret_sha256[SHA256_HEX_SIZE];
    int64_t ttl_ms;
};

struct vault {
    bool sealed;
    struct approle approle;
    TAILQ_HEAD(, token) tokens;
    TAILQ_HEAD(, lease) leases;
    TAILQ_HEAD(, entry) entries;
};

struct vault *vault_new(void)
{
    struct vault *vault = calloc(1, sizeof(*vault));

    if (vault == NULL)
        return NULL;
    TAILQ_INIT(&vault->tokens);
    TAILQ_INIT(&vault->leases);
    TAILQ_INIT(&vault->entries);
    return vault;
}

void vault_free(struct vault *vault)
{
    struct token *token;
    struct lease *lease;
    struct entry *entry;

    while ((token = TAILQ_FIRST(&vault->tokens)) != NULL) {
        TAILQ_REMOVE(&vault->tokens, token, next);
        free(token);
    }
    while ((lease = TAILQ_FIRST(&vault->leases)) != NULL) {
        TAILQ_REMOVE(&vault->leases, lease, next);
        json_object_put(lease->asked);
        free(lease);
    }
    while ((entry = TAILQ_FIRST(&vault->entries)) != NULL) {
        TAILQ_REMOVE(&vault->entries, entry, next);
        json_object_put(entry->data);
        free(entry);
    }
    free(vault);
}

/* --- answers --- */

static void refuse(struct call *call, int status, const char *message)
{
    struct json_object *object = json_object_new_object(), *errors = json_object_new_array();

    if (message != NULL)
        json_object_array_add(errors, json_object_new_string(message));
    json_object_object_add(object, "errors", errors);
    answer_json(call->answer, status, object);
}

/* What a fault says when the test did not choose its words. */
static void fault_error(struct answer *answer, int status, const char *type, const char *code, const char *message)
{
    struct call call = {.answer = answer};

    (void)type, (void)code;
    if (status == 404) /* whoever says it: so are unknown paths told of */
        message = "no handler for route. route entry not found.";
    if (message == NULL)
        message = status == 403   ? "permission denied"
                  : status == 503 ? "Vault is sealed"
                  : status >= 500 ? "internal error"
                                  : "invalid request";
    refuse(&call, status, message);
}

/* Every answer has these, whatever it is about. DATA and AUTH are taken over. */
static void answer_whole(struct call *call, const struct lease *lease, int64_t seconds, struct json_object *data,
                         struct json_object *auth)
{
    struct json_object *object = json_object_new_object();
    char id[ID_SIZE];

    store_new_id(id, "", 36);
    put_string(object, "request_id", id);
    put_string(object, "lease_id", lease != NULL ? lease->id : "");
    put_bool(object, "renewable", lease != NULL);
    put_int(object, "lease_duration", seconds);
    json_object_object_add(object, "data", data);
    json_object_object_add(object, "wrap_info", NULL);
    json_object_object_add(object, "warnings", NULL);
    json_object_object_add(object, "auth", auth);
    answer_json(call->answer, 200, object);
}

static void answer_nothing(struct call *call)
{
    answer_text(call->answer, 204, "");
}

static const char *name_space_of(const struct call *call)
{
    return call->request->vault_namespace != NULL ? call->request->vault_namespace : "";
}

/* --- tokens --- */

static bool token_is_live(const struct token *token)
{
    return !token->revoked && (token->ends_ms == 0 || unix_ms() < token->ends_ms);
}

static struct token *add_token(struct vault *vault, const char *secret)
{
    struct token *token = calloc(1, sizeof(*token));

    if (token == NULL)
        abort();
    store_hash_secret(token->sha256, secret);
    token->made_ms = unix_ms();
    TAILQ_INSERT_TAIL(&vault->tokens, token, next);
    return token;
}

/* TTL_MS 0: it has no end. */
static struct token *new_token(struct vault *vault, int64_t ttl_ms, char secret[SECRET_SIZE])
{
    struct token *token;

    store_new_id(secret, "hvs.", 90);
    token = add_token(vault, secret);
    token->ttl_ms = ttl_ms;
    token->renewable = ttl_ms > 0;
    token->ends_ms = ttl_ms > 0 ? token->made_ms + ttl_ms : 0;
    return token;
}

static struct token *token_of(struct store *store, const char *secret)
{
    char sha256[SHA256_HEX_SIZE];
    struct token *token;

    store_hash_secret(sha256, secret);
    TAILQ_FOREACH(token, &store->vault->tokens, next) {
        if (strcmp(token->sha256, sha256) == 0)
            return token;
    }
    if (store_organisation(store, secret) == NULL)
        return NULL;
    token = add_token(store->vault, secret);
    token->root = true;
    token->made_ms = store->started * 1000;
    return token;
}

static struct lease *lease_of_key(struct store *store, const char *secret);

static bool admit(struct call *call)
{
    const char *secret = call->request->vault_token;
    struct token *token;

    if (call->route->access == ACCESS_MODEL) {
        call->own = call->request->bearer != NULL ? lease_of_key(call->store, call->request->bearer) : NULL;
        if (call->own == NULL)
            refuse(call, 401, "Incorrect API key provided");
        return call->own != NULL;
    }
    if (call->store->vault->sealed) {
        refuse(call, 503, "Vault is sealed");
        return false;
    }
    if (strcmp(call->route->pattern, BASE "/auth/approle/login") == 0)
        return true;
    token = secret != NULL ? token_of(call->store, secret) : NULL;
    if (token == NULL || !token_is_live(token)) {
        refuse(call, 403, "permission denied");
        return false;
    }
    call->own = token;
    return true;
}

static int64_t seconds_left(int64_t ends_ms)
{
    int64_t left = (ends_ms - unix_ms()) / 1000;

    return ends_ms == 0 || left < 0 ? 0 : left;
}

static void lookup_token(struct call *call)
{
    const struct token *token = call->own;
    struct json_object *data = json_object_new_object();

    put_string(data, "accessor", token->sha256);
    put_int(data, "creation_time", token->made_ms / 1000);
    put_int(data, "creation_ttl", token->ttl_ms / 1000);
    put_string(data, "display_name", token->root ? "root" : "token");
    put_date(data, "expire_time", token->ends_ms, "456789Z");
    put_int(data, "explicit_max_ttl", token->most_ms / 1000);
    put_date(data, "issue_time", token->made_ms, "456789Z");
    put_bool(data, "orphan", true);
    put_string(data, "path", token->root ? "auth/token/root" : "auth/token/create");
    put_bool(data, "renewable", token->renewable);
    put_int(data, "ttl", seconds_left(token->ends_ms));
    put_string(data, "type", "service");
    answer_whole(call, NULL, 0, data, NULL);
}

static struct json_object *auth_json(const struct token *token, const char *secret)
{
    struct json_object *auth = json_object_new_object();

    put_string(auth, "client_token", secret);
    put_string(auth, "accessor", token->sha256);
    put_int(auth, "lease_duration", seconds_left(token->ends_ms + 999));
    put_bool(auth, "renewable", token->renewable);
    put_string(auth, "token_type", "service");
    return auth;
}

static void renew_token(struct call *call)
{
    struct token *token = call->own;

    if (!token->renewable) {
        refuse(call, 400, "lease is not renewable");
        return;
    }
    token->ends_ms = unix_ms() + token->ttl_ms;
    if (token->most_ms > 0 && token->ends_ms > token->made_ms + token->most_ms)
        token->ends_ms = token->made_ms + token->most_ms;
    token->renewals++;
    answer_whole(call, NULL, 0, NULL, auth_json(token, call->request->vault_token));
}

static void revoke_token(struct call *call)
{
    struct token *token = call->own;

    token->revoked = true;
    answer_nothing(call);
}

static void log_in(struct call *call)
{
    struct json_object *body = parse_object(call->request->body, call->request->body_size);
    const struct approle *approle = &call->store->vault->approle;
    char role[SHA256_HEX_SIZE] = "", given[SHA256_HEX_SIZE] = "", secret[SECRET_SIZE];

    if (body != NULL) {
        store_hash_secret(role, get_string(body, "role_id", ""));
        store_hash_secret(given, get_string(body, "secret_id", ""));
    }
    if (approle->role_sha256[0] == '\0' || strcmp(role, approle->role_sha256) != 0) {
        refuse(call, 400, "invalid role or secret ID");
    } else if (strcmp(given, approle->secret_sha256) != 0) {
        refuse(call, 400, "invalid role or secret ID");
    } else {
        const struct token *token = new_token(call->store->vault, approle->ttl_ms, secret);

        answer_whole(call, NULL, 0, NULL, auth_json(token, secret));
        memset(secret, 0, sizeof(secret));
    }
    json_object_put(body);
}

/* --- leases --- */

static bool lease_is_live(const struct lease *lease)
{
    return lease->revoked_ms == 0 && unix_ms() < lease->ends_ms && token_is_live(lease->token);
}

static struct lease *lease_of_key(struct store *store, const char *secret)
{
    char sha256[SHA256_HEX_SIZE];
    struct lease *lease;

    store_hash_secret(sha256, secret);
    TAILQ_FOREACH(lease, &store->vault->leases, next) {
        if (strcmp(lease->sha256, sha256) == 0 && lease_is_live(lease))
            return lease;
    }
    return NULL;
}

/* How long from now, within what is allowed at most since MADE_MS. */
static int64_t new_end(const struct knobs *knobs, int64_t made_ms)
{
    int64_t ends = unix_ms() + knobs->vault_lease_s * 1000, most = made_ms + knobs->vault_lease_most_s * 1000;

    return knobs->vault_lease_most_s > 0 && most < ends ? most : ends;
}

static void make_key(struct call *call)
{
    struct lease *lease = calloc(1, sizeof(*lease));
    struct json_object *data = json_object_new_object();
    char secret[SECRET_SIZE], id[ID_SIZE];

    if (lease == NULL)
        abort();
    store_new_id(secret, "sk-vault-", 40);
    store_new_id(id, "", 24);
    store_hash_secret(lease->sha256, secret);
    snprintf(lease->name_space, sizeof(lease->name_space), "%s", name_space_of(call));
    snprintf(lease->id, sizeof(lease->id), "openai/creds/%.60s/%s%s", call->arg[0], id,
             lease->name_space[0] != '\0' ? ".n5ABC" : "");
    lease->token = call->own;
    lease->made_ms = unix_ms();
    lease->ends_ms = new_end(&call->store->knobs, lease->made_ms);
    lease->asked = parse_object(call->request->body, call->request->body_size);
    TAILQ_INSERT_TAIL(&call->store->vault->leases, lease, next);
    put_string(data, "api_key", secret);
    put_string(data, "role", call->arg[0]);
    answer_whole(call, lease, (lease->ends_ms - lease->made_ms) / 1000, data, NULL);
    memset(secret, 0, sizeof(secret));
}

/* The one that the body names, in the caller's namespace, dead or alive; NULL: none, or the answer says what is wrong. */
static struct lease *named_lease(struct call *call, bool *complained)
{
    struct json_object *body = parse_object(call->request->body, call->request->body_size);
    const char *id = body != NULL ? get_string(body, "lease_id", "") : "";
    struct lease *lease;

    *complained = id[0] == '\0';
    if (*complained)
        refuse(call, 400, "lease_id must be specified");
    TAILQ_FOREACH(lease, &call->store->vault->leases, next) {
        if (strcmp(lease->id, id) == 0 && strcmp(lease->name_space, name_space_of(call)) == 0)
            break;
    }
    json_object_put(body);
    return *complained ? NULL : lease;
}

static struct lease *live_lease(struct call *call, const char *otherwise)
{
    bool complained;
    struct lease *lease = named_lease(call, &complained);

    if (lease != NULL && lease_is_live(lease))
        return lease;
    if (!complained)
        refuse(call, 400, otherwise);
    return NULL;
}

static void lookup_lease(struct call *call)
{
    const struct lease *lease = live_lease(call, "invalid lease");
    struct json_object *data;

    if (lease == NULL)
        return;
    data = json_object_new_object();
    put_string(data, "id", lease->id);
    put_date(data, "issue_time", lease->made_ms, "456789Z");
    put_date(data, "expire_time", lease->ends_ms, "456789Z");
    put_date(data, "last_renewal", lease->renewed_ms, "456789Z");
    put_bool(data, "renewable", true);
    put_int(data, "ttl", seconds_left(lease->ends_ms));
    answer_whole(call, NULL, 0, data, NULL);
}

static void renew_lease(struct call *call)
{
    struct lease *lease = live_lease(call, "lease not found");

    if (lease == NULL)
        return;
    lease->renewed_ms = unix_ms();
    lease->ends_ms = new_end(&call->store->knobs, lease->made_ms);
    lease->renewals++;
    answer_whole(call, lease, (lease->ends_ms - lease->renewed_ms) / 1000, NULL, NULL);
}

static void revoke_lease(struct call *call)
{
    bool complained;
    struct lease *lease = named_lease(call, &complained);

    if (complained)
        return;
    if (lease != NULL && lease_is_live(lease))
        lease->revoked_ms = unix_ms();
    answer_nothing(call);
}

static void list_leases(struct call *call)
{
    const char *list = request_query(call->request, "list");
    const struct token *token = call->own;
    struct json_object *keys, *data;
    const struct lease *lease;
    char prefix[LEASE_SIZE];

    if (list == NULL || strcmp(list, "true") != 0) {
        refuse(call, 405, "unsupported operation");
        return;
    }
    if (!token->root && !call->store->knobs.vault_sudo) {
        refuse(call, 403, "1 error occurred:\n\t* permission denied\n\n");
        return;
    }
    keys = json_object_new_array();
    snprintf(prefix, sizeof(prefix), "openai/creds/%.60s/", call->arg[0]);
    TAILQ_FOREACH(lease, &call->store->vault->leases, next) {
        if (lease_is_live(lease) && strcmp(lease->name_space, name_space_of(call)) == 0 &&
            strncmp(lease->id, prefix, strlen(prefix)) == 0)
            json_object_array_add(keys, json_object_new_string(lease->id + strlen(prefix)));
    }
    if (json_object_array_length(keys) == 0) { /* so an empty list is said */
        json_object_put(keys);
        refuse(call, 404, NULL);
        return;
    }
    data = json_object_new_object();
    json_object_object_add(data, "keys", keys);
    answer_whole(call, NULL, 0, data, NULL);
}

/* --- key-value stores --- */

static struct entry *find_entry(struct vault *vault, const char *mount, const char *name)
{
    char path[PATH_SIZE];
    struct entry *entry;

    snprintf(path, sizeof(path), "%s/%.60s", mount, name);
    TAILQ_FOREACH(entry, &vault->entries, next) {
        if (strcmp(entry->path, path) == 0)
            return entry;
    }
    return NULL;
}

/* Takes over DATA. */
static void put_entry(struct vault *vault, const char *mount, const char *name, struct json_object *data)
{
    struct entry *entry = find_entry(vault, mount, name);

    if (entry == NULL) {
        entry = calloc(1, sizeof(*entry));
        if (entry == NULL)
            abort();
        snprintf(entry->path, sizeof(entry->path), "%s/%.60s", mount, name);
        TAILQ_INSERT_TAIL(&vault->entries, entry, next);
    }
    json_object_put(entry->data);
    entry->data = data;
}

static void tell_mount(struct call *call)
{
    struct json_object *data = json_object_new_object(), *options = NULL;
    bool two = strcmp(call->arg[0], "secret") == 0;
    char mount[PATH_SIZE];

    snprintf(mount, sizeof(mount), "%.60s/", call->arg[0]);
    put_string(data, "path", mount);
    put_string(data, "type", two || strcmp(call->arg[0], "kv") == 0 ? "kv" : "openai");
    if (two) {
        options = json_object_new_object();
        put_string(options, "version", "2");
    }
    json_object_object_add(data, "options", options);
    answer_whole(call, NULL, 0, data, NULL);
}

static void read_one(struct call *call)
{
    const struct entry *entry = find_entry(call->store->vault, "kv", call->arg[0]);

    if (entry == NULL)
        refuse(call, 404, NULL);
    else
        answer_whole(call, NULL, 2764800, json_object_get(entry->data), NULL);
}

static void write_one(struct call *call)
{
    struct json_object *body = parse_object(call->request->body, call->request->body_size);

    if (body == NULL) {
        refuse(call, 400, "error parsing JSON");
        return;
    }
    put_entry(call->store->vault, "kv", call->arg[0], body);
    answer_nothing(call);
}

static void answer_version(struct call *call, struct json_object *data)
{
    struct json_object *object = json_object_new_object(), *metadata = json_object_new_object();

    put_int(metadata, "version", 1);
    if (data != NULL) {
        json_object_object_add(object, "data", data);
        json_object_object_add(object, "metadata", metadata);
        answer_whole(call, NULL, 0, object, NULL);
    } else {
        json_object_put(object);
        answer_whole(call, NULL, 0, metadata, NULL);
    }
}

static void read_two(struct call *call)
{
    const struct entry *entry = find_entry(call->store->vault, "secret", call->arg[0]);

    if (entry == NULL)
        refuse(call, 404, NULL);
    else
        answer_version(call, json_object_get(entry->data));
}

static void write_two(struct call *call)
{
    struct json_object *body = parse_object(call->request->body, call->request->body_size), *data = NULL;

    if (body == NULL || !json_object_object_get_ex(body, "data", &data) || !json_object_is_type(data, json_type_object)) {
        refuse(call, 400, "no data provided");
    } else {
        put_entry(call->store->vault, "secret", call->arg[0], json_object_get(data));
        answer_version(call, NULL);
    }
    json_object_put(body);
}

/* --- what tests see and do --- */

static void add_state(struct store *store, bool live_only, struct json_object *state)
{
    struct json_object *object = json_object_new_object(), *leases = json_object_new_array(), *tokens = json_object_new_array();
    const struct lease *lease;
    const struct token *token;

    TAILQ_FOREACH(token, &store->vault->tokens, next) {
        struct json_object *one = json_object_new_object();

        if (live_only && !token_is_live(token)) {
            json_object_put(one);
            continue;
        }
        put_string(one, "sha256", token->sha256);
        put_bool(one, "root", token->root);
        put_bool(one, "live", token_is_live(token));
        put_time(one, "made_ms", token->made_ms);
        put_time(one, "ends_ms", token->ends_ms);
        put_int(one, "renewals", token->renewals);
        json_object_array_add(tokens, one);
    }
    TAILQ_FOREACH(lease, &store->vault->leases, next) {
        struct json_object *one = json_object_new_object();

        if (live_only && !lease_is_live(lease)) {
            json_object_put(one);
            continue;
        }
        put_string(one, "id", lease->id);
        put_string(one, "namespace", lease->name_space);
        put_string(one, "sha256", lease->sha256);
        put_string(one, "token", lease->token->sha256);
        put_bool(one, "live", lease_is_live(lease));
        put_time(one, "made_ms", lease->made_ms);
        put_time(one, "ends_ms", lease->ends_ms);
        put_time(one, "revoked_ms", lease->revoked_ms);
        put_int(one, "renewals", lease->renewals);
        json_object_object_add(one, "asked", json_object_get(lease->asked));
        json_object_array_add(leases, one);
    }
    put_bool(object, "sealed", store->vault->sealed);
    json_object_object_add(object, "tokens", tokens);
    json_object_object_add(object, "leases", leases);
    json_object_object_add(state, "vault", object);
}

/* The answer shows them, this once. */
static void set_approle(struct vault *vault, struct json_object *description, struct json_object *result)
{
    char role[SECRET_SIZE], secret[SECRET_SIZE];

    store_new_id(role, "role-", 32);
    store_new_id(secret, "secret-", 32);
    store_hash_secret(vault->approle.role_sha256, role);
    store_hash_secret(vault->approle.secret_sha256, secret);
    vault->approle.ttl_ms = get_int(description, "seconds", 3600) * 1000;
    put_string(result, "role_id", role);
    put_string(result, "secret_id", secret);
}

static void create_token(struct vault *vault, struct json_object *description, struct json_object *result)
{
    char secret[SECRET_SIZE];
    struct token *token = new_token(vault, get_int(description, "seconds", 0) * 1000, secret);

    token->renewable = token->renewable && strcmp(get_string(description, "status", ""), "not-renewable") != 0;
    put_string(result, "value", secret);
    put_string(result, "token_id", token->sha256);
}

static const char *end_named(struct vault *vault, struct json_object *description, const char *action)
{
    const char *id = get_string(description, "api_key_id", "");
    struct lease *lease;
    struct token *token;

    TAILQ_FOREACH(lease, &vault->leases, next) {
        if (strcmp(action, "vault-revoke-lease") == 0 && strcmp(lease->id, id) == 0) {
            lease->revoked_ms = unix_ms();
            return NULL;
        }
    }
    TAILQ_FOREACH(token, &vault->tokens, next) {
        if (strcmp(action, "vault-revoke-token") == 0 && strcmp(token->sha256, id) == 0) {
            token->revoked = true;
            return NULL;
        }
    }
    return "no such lease or token, or unknown action";
}

bool vault_outside(struct store *store, struct json_object *description, struct json_object *result, const char **error)
{
    const char *action = get_string(description, "action", "");

    *error = NULL;
    if (strncmp(action, "vault-", 6) != 0)
        return false;
    if (strcmp(action, "vault-seal") == 0 || strcmp(action, "vault-unseal") == 0)
        store->vault->sealed = strcmp(action, "vault-seal") == 0;
    else if (strcmp(action, "vault-set-approle") == 0)
        set_approle(store->vault, description, result);
    else if (strcmp(action, "vault-create-token") == 0)
        create_token(store->vault, description, result);
    else
        *error = end_named(store->vault, description, action);
    return true;
}

/* The mount has versions, and this path has none of them. */
static void read_unversioned(struct call *call)
{
    refuse(call, 404, NULL);
}

static const struct route routes[] = {
    {"GET", BASE "/auth/token/lookup-self", ACCESS_ADMIN, lookup_token},
    {"POST", BASE "/auth/token/renew-self", ACCESS_ADMIN, renew_token},
    {"POST", BASE "/auth/token/revoke-self", ACCESS_ADMIN, revoke_token},
    {"POST", BASE "/auth/approle/login", ACCESS_ADMIN, log_in},
    {"GET", BASE "/openai/creds/*", ACCESS_ADMIN, make_key},
    {"POST", BASE "/openai/creds/*", ACCESS_ADMIN, make_key},
    {"POST", BASE "/sys/leases/lookup", ACCESS_ADMIN, lookup_lease},
    {"POST", BASE "/sys/leases/renew", ACCESS_ADMIN, renew_lease},
    {"POST", BASE "/sys/leases/revoke", ACCESS_ADMIN, revoke_lease},
    {"GET", BASE "/sys/leases/lookup/openai/creds/*/", ACCESS_ADMIN, list_leases},
    {"GET", BASE "/sys/internal/ui/mounts/*/*", ACCESS_ADMIN, tell_mount},
    {"GET", BASE "/kv/*", ACCESS_ADMIN, read_one},
    {"POST", BASE "/kv/*", ACCESS_ADMIN, write_one},
    {"GET", BASE "/secret/data/*", ACCESS_ADMIN, read_two},
    {"POST", BASE "/secret/data/*", ACCESS_ADMIN, write_two},
    {"GET", BASE "/secret/*", ACCESS_ADMIN, read_unversioned},
    {"GET", "/vault/models", ACCESS_MODEL, gateway_models},
};

static const char *const prefixes[] = {"/vault/", NULL};

const struct provider vault_provider = {
    .name = "vault",
    .prefixes = prefixes,
    .routes = routes,
    .n_routes = sizeof(routes) / sizeof(routes[0]),
    .admit = admit,
    .error = fault_error,
    .state = add_state,
};
