/*
 * A LiteLLM proxy's management of virtual keys, below /litellm as with SERVER_ROOT_PATH, and the
 * little of its model API that shows whether a key works. There is no specification: held to the
 * package litellm 1.110.2 from PyPI (litellm/proxy/management_endpoints/key_management_endpoints.py).
 */
#include "clock.h"
#include "gateway.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BASE "/litellm"

/* The web framework's own words about a path that there is none of. */
static void answer_detail(struct answer *answer, int status, const char *detail)
{
    struct json_object *object = json_object_new_object();

    put_string(object, "detail", detail);
    answer_json(answer, status, object);
}

static void error_answer(struct answer *answer, int status, const char *type, const char *message)
{
    struct json_object *error = json_object_new_object(), *object = json_object_new_object();
    char code[16];

    snprintf(code, sizeof(code), "%d", status);
    put_string(error, "message", message);
    put_string(error, "type", type);
    put_string(error, "param", "None");
    put_string(error, "code", code);
    json_object_object_add(object, "error", error);
    answer_json(answer, status, object);
}

/* What a fault says when the test did not choose its words. */
static void fault_error(struct answer *answer, int status, const char *type, const char *code, const char *message)
{
    (void)code;
    if (message != NULL && strncmp(message, "Invalid URL", 11) == 0)
        answer_detail(answer, 404, "Not Found");
    else if (message != NULL && status == 405)
        answer_detail(answer, 405, "Method Not Allowed");
    else
        error_answer(answer, status, type != NULL ? type : status >= 500 ? "internal_server_error" : "bad_request_error",
                     message != NULL ? message : status >= 500 ? "Not connected to DB!" : "The request was refused.");
}

static void refuse(struct call *call, int status, const char *message)
{
    error_answer(call->answer, status, status == 401 ? "auth_error" : status == 404 ? "not_found_error" : "bad_request_error",
                 message);
}

static bool admit(struct call *call)
{
    const char *bearer = call->request->bearer;
    struct gateway_key *key;

    if (bearer == NULL) {
        refuse(call, 401, "Authentication Error, No api key passed in.");
        return false;
    }
    if (call->route->access == ACCESS_ADMIN) {
        call->organisation = store_organisation(call->store, bearer);
        if (call->organisation != NULL)
            return true;
    }
    key = gateway_key_of_secret(call->store, GATEWAY_LITELLM, bearer);
    if (key == NULL)
        refuse(call, 401, "Authentication Error, Invalid proxy server token passed.");
    else if (key->disabled)
        refuse(call, 401, "Authentication Error, Key is blocked. Update via `/key/unblock` if you're an admin.");
    else if (gateway_expired(key))
        refuse(call, 401, "Authentication Error, Expired Key.");
    else if (call->route->access == ACCESS_ADMIN)
        refuse(call, 401, "Authentication Error, only the proxy's admin can do this.");
    else
        call->own = key;
    return call->own != NULL;
}

static void put_key(const struct store *store, struct json_object *object, const struct gateway_key *key)
{
    put_string(object, "key_name", key->label);
    put_string(object, "key_alias", key->name[0] != '\0' ? key->name : NULL);
    put_dollars(object, "spend", gateway_told(store, key, key->period != NULL ? month_start() : 0));
    put_dollars(object, "max_budget", key->limit);
    put_string(object, "budget_duration", key->period);
    json_object_object_add(object, "models", key->models != NULL ? json_object_get(key->models) : json_object_new_array());
    if (key->disabled)
        put_bool(object, "blocked", true);
    else
        put_string(object, "blocked", NULL);
    put_date(object, "expires", key->expires_ms, "000Z");
    put_date(object, "created_at", key->created_ms, "000Z");
}

/* "30d", "90s", "1mo"; false: it is none. Milliseconds. */
static bool read_duration(const char *text, int64_t *out_ms)
{
    char *unit;
    int64_t number = strtoll(text, &unit, 10);
    int64_t seconds = strcmp(unit, "s") == 0    ? 1
                      : strcmp(unit, "m") == 0  ? 60
                      : strcmp(unit, "h") == 0  ? 3600
                      : strcmp(unit, "d") == 0  ? 86400
                      : strcmp(unit, "mo") == 0 ? 30 * 86400
                                                : 0;

    *out_ms = number * seconds * 1000;
    return number > 0 && seconds > 0;
}

/* Unknown fields are ignored there, so they are here; those that are known have to fit. NULL when answered. */
static struct json_object *read_body(struct call *call, int64_t *limit)
{
    struct json_object *body = parse_object(call->request->body, call->request->body_size);

    if (body == NULL || !get_dollars(body, "max_budget", limit)) {
        answer_detail(call->answer, 422, "Input should be a valid request");
        json_object_put(body);
        return NULL;
    }
    return body;
}

static bool well_formed(const char *secret)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";

    return strncmp(secret, "sk-", 3) == 0 && strlen(secret) >= 16 && strlen(secret) <= 100 &&
           secret[strspn(secret, allowed)] == '\0';
}

static struct gateway_key *key_of_alias(struct call *call, const char *alias)
{
    struct gateway_key *key;

    TAILQ_FOREACH(key, &call->store->gateways->keys, next) {
        if (key->gateway == GATEWAY_LITELLM && key->organisation == call->organisation && key->deleted_ms == 0 &&
            strcmp(key->name, alias) == 0)
            return key;
    }
    return NULL;
}

static void set_budget(struct gateway_key *key, struct json_object *body, int64_t limit)
{
    if (json_object_object_get_ex(body, "max_budget", NULL))
        key->limit = limit;
    if (get_string(body, "budget_duration", NULL) != NULL)
        replace_text(&key->period, get_string(body, "budget_duration", NULL));
}

static void generate(struct call *call, struct json_object *body, int64_t limit)
{
    const char *alias = get_string(body, "key_alias", ""), *duration = get_string(body, "duration", NULL);
    char secret[SECRET_SIZE], message[512];
    struct json_object *object, *models;
    struct gateway_key *key;
    int64_t life_ms = 0, ignored;

    snprintf(secret, sizeof(secret), "%s", get_string(body, "key", ""));
    if (secret[0] == '\0')
        store_new_id(secret, "sk-", 22);
    if (!well_formed(secret)) {
        refuse(call, 400, "Invalid key format. LiteLLM Virtual Key must start with 'sk-'.");
    } else if ((duration != NULL && !read_duration(duration, &life_ms)) ||
               (get_string(body, "budget_duration", NULL) != NULL &&
                !read_duration(get_string(body, "budget_duration", ""), &ignored))) {
        refuse(call, 400, "Invalid duration format.");
    } else if (alias[0] != '\0' && key_of_alias(call, alias) != NULL) {
        snprintf(message, sizeof(message),
                 "Key with alias '%.200s' already exists. Unique key aliases across all keys are required.", alias);
        refuse(call, 400, message);
    } else {
        key = gateway_add(call, GATEWAY_LITELLM, secret, alias);
        set_budget(key, body, limit);
        key->expires_ms = life_ms != 0 ? unix_ms() + life_ms : 0;
        if (json_object_object_get_ex(body, "models", &models))
            key->models = json_object_get(models);
        json_object_object_del(body, "key");
        key->asked = json_object_get(body);
        object = json_object_new_object();
        put_key(call->store, object, key);
        put_string(object, "key", secret);
        put_string(object, "token_id", key->sha256);
        answer_json(call->answer, 200, object);
    }
    memset(secret, 0, sizeof(secret));
}

static void generate_key(struct call *call)
{
    int64_t limit;
    struct json_object *body = read_body(call, &limit);

    if (body == NULL)
        return;
    if (call->store->knobs.forbid_minting)
        refuse(call, 403, "The proxy's policy does not allow creating keys.");
    else
        generate(call, body, limit);
    json_object_put(body);
}

/* By its hash, or the key itself. */
static struct gateway_key *find(struct call *call, const char *key, const char *missing)
{
    char sha256[SHA256_HEX_SIZE];
    struct gateway_key *found;

    if (strncmp(key, "sk-", 3) == 0)
        store_hash_secret(sha256, key);
    else
        snprintf(sha256, sizeof(sha256), "%s", key);
    found = gateway_key(call, GATEWAY_LITELLM, sha256);
    if (found == NULL)
        refuse(call, 404, missing);
    return found;
}

static void update_key(struct call *call)
{
    int64_t limit;
    struct json_object *body = read_body(call, &limit), *object;
    struct gateway_key *key;

    if (body == NULL)
        return;
    key = find(call, get_string(body, "key", ""), "Key not found.");
    if (key != NULL) {
        set_budget(key, body, limit);
        key->updated_ms = unix_ms();
        object = json_object_new_object();
        put_key(call->store, object, key);
        put_string(object, "key", key->sha256);
        answer_json(call->answer, 200, object);
    }
    json_object_put(body);
}

static void block(struct call *call, bool blocked)
{
    int64_t ignored;
    struct json_object *body = read_body(call, &ignored), *object;
    struct gateway_key *key;

    if (body == NULL)
        return;
    key = find(call, get_string(body, "key", ""), "Key not found.");
    if (key != NULL) {
        key->disabled = blocked;
        object = json_object_new_object();
        put_key(call->store, object, key);
        put_string(object, "token", key->sha256);
        put_bool(object, "blocked", blocked);
        answer_json(call->answer, 200, object);
    }
    json_object_put(body);
}

static void block_key(struct call *call)
{
    block(call, true);
}

static void unblock_key(struct call *call)
{
    block(call, false);
}

static void delete_keys(struct call *call)
{
    int64_t ignored;
    struct json_object *body = read_body(call, &ignored), *keys, *object;
    size_t found = 0;

    if (body == NULL)
        return;
    if (!json_object_object_get_ex(body, "keys", &keys) || !json_object_is_type(keys, json_type_array)) {
        answer_detail(call->answer, 422, "At least one of 'keys' or 'key_aliases' must be provided.");
    } else {
        for (size_t i = 0; i < json_object_array_length(keys); i++) {
            const char *id = json_object_get_string(json_object_array_get_idx(keys, i));
            struct gateway_key *key = gateway_key(call, GATEWAY_LITELLM, id != NULL ? id : "");

            if (key != NULL) {
                key->deleted_ms = unix_ms();
                found++;
            }
        }
        if (found == 0) {
            refuse(call, 404, "{'error': 'No keys found'}");
        } else {
            object = json_object_new_object();
            json_object_object_add(object, "deleted_keys", json_object_get(keys));
            answer_json(call->answer, 200, object);
        }
    }
    json_object_put(body);
}

static void key_info(struct call *call)
{
    const char *wanted = request_query(call->request, "key");
    struct gateway_key *key = find(call, wanted != NULL ? wanted : "", "Key not found in database");
    struct json_object *object, *info;

    if (key == NULL)
        return;
    info = json_object_new_object();
    put_key(call->store, info, key);
    object = json_object_new_object();
    put_string(object, "key", wanted);
    json_object_object_add(object, "info", info);
    answer_json(call->answer, 200, object);
}

/* A whole number from 1 on, or the fallback. -1: it is none. */
static int64_t number(struct call *call, const char *name, int64_t fallback)
{
    const char *text = request_query(call->request, name);
    char *end;
    int64_t value = text != NULL ? strtoll(text, &end, 10) : fallback;

    return text != NULL && (*text == '\0' || *end != '\0' || value < 1) ? -1 : value;
}

/* Newest first. */
static void list_keys(struct call *call)
{
    const char *alias = request_query(call->request, "key_alias"), *full = request_query(call->request, "return_full_object");
    int64_t page = number(call, "page", 1), size = number(call, "size", 10), at = 0;
    struct json_object *object, *keys;
    struct gateway_key *key;

    if (page < 0 || size < 0 || size > 100) {
        answer_detail(call->answer, 422, "Input should be less than or equal to 100");
        return;
    }
    size = knobs_page(&call->store->knobs, size);
    keys = json_object_new_array();
    TAILQ_FOREACH_REVERSE(key, &call->store->gateways->keys, gateway_key_list, next) {
        if (!gateway_listed(call, GATEWAY_LITELLM, key) || (alias != NULL && strcmp(key->name, alias) != 0))
            continue;
        if (at >= (page - 1) * size && at < page * size) {
            object = json_object_new_object();
            put_key(call->store, object, key);
            put_string(object, "token", key->sha256);
            if (full != NULL && strcmp(full, "true") == 0)
                json_object_array_add(keys, object);
            else
                json_object_array_add(keys, json_object_new_string(key->sha256)), json_object_put(object);
        }
        at++;
    }
    object = json_object_new_object();
    json_object_object_add(object, "keys", keys);
    put_int(object, "total_count", at);
    put_int(object, "current_page", page);
    put_int(object, "total_pages", (at + size - 1) / size);
    answer_json(call->answer, 200, object);
}

static void chat(struct call *call)
{
    if (gateway_exhausted(call->own))
        error_answer(call->answer, call->store->knobs.budget_is_400 ? 400 : 429, "budget_exceeded", "Budget has been exceeded!");
    else
        gateway_chat(call, refuse);
}

static const struct route routes[] = {
    {"POST", BASE "/key/generate", ACCESS_ADMIN, generate_key},
    {"POST", BASE "/key/update", ACCESS_ADMIN, update_key},
    {"POST", BASE "/key/block", ACCESS_ADMIN, block_key},
    {"POST", BASE "/key/unblock", ACCESS_ADMIN, unblock_key},
    {"POST", BASE "/key/delete", ACCESS_ADMIN, delete_keys},
    {"GET", BASE "/key/info", ACCESS_ADMIN, key_info},
    {"GET", BASE "/key/list", ACCESS_ADMIN, list_keys},
    {"GET", BASE "/user/daily/activity", ACCESS_ADMIN, litellm_daily_activity},
    {"GET", BASE "/v1/models", ACCESS_MODEL, gateway_models},
    {"POST", BASE "/v1/chat/completions", ACCESS_MODEL, chat},
    {"POST", BASE "/chat/completions", ACCESS_MODEL, chat},
};

static const char *const prefixes[] = {BASE "/", NULL};

const struct provider litellm_provider = {
    .name = "litellm",
    .prefixes = prefixes,
    .routes = routes,
    .n_routes = sizeof(routes) / sizeof(routes[0]),
    .admit = admit,
    .error = fault_error,
};
