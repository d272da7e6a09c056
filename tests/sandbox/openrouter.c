/*
 * OpenRouter's management of API keys, held to its official specification, and the little of its
 * model API that shows whether a key works.
 */
#include "clock.h"
#include "gateway.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BASE "/api/v1"

enum { PAGE = 100 };

static void error_answer(struct answer *answer, int status, const char *message)
{
    struct json_object *error = json_object_new_object(), *object = json_object_new_object();

    put_int(error, "code", status);
    put_string(error, "message", message);
    json_object_object_add(object, "error", error);
    put_string(object, "user_id", NULL);
    answer_json(answer, status, object);
}

/* What a fault says when the test did not choose its words. */
static void fault_error(struct answer *answer, int status, const char *type, const char *code, const char *message)
{
    (void)type, (void)code;
    if (message == NULL)
        message = status == 401   ? "Missing Authentication header"
                  : status == 404 ? "Resource not found"
                  : status == 429 ? "Rate limit exceeded"
                  : status >= 500 ? "Internal Server Error"
                                  : "Invalid request parameters";
    error_answer(answer, status, message);
}

static void refuse(struct call *call, int status, const char *message)
{
    error_answer(call->answer, status, message);
}

static struct json_object *key_json(const struct store *store, const struct gateway_key *key)
{
    const int64_t since[] = {0, gateway_day(), gateway_week(), month_start()};
    static const char *const usages[] = {"usage", "usage_daily", "usage_weekly", "usage_monthly"};
    static const char *const byok[] = {"byok_usage", "byok_usage_daily", "byok_usage_weekly", "byok_usage_monthly"};
    struct json_object *object = json_object_new_object(), *included = NULL;
    int64_t left = key->limit - gateway_spend(key);

    put_string(object, "hash", key->sha256);
    put_string(object, "name", key->name);
    put_string(object, "label", key->label);
    put_bool(object, "disabled", key->disabled);
    put_dollars(object, "limit", key->limit);
    put_dollars(object, "limit_remaining", key->limit < 0 ? -1 : left < 0 ? 0 : left);
    put_string(object, "limit_reset", key->period);
    json_object_object_get_ex(key->asked, "include_byok_in_limit", &included);
    put_bool(object, "include_byok_in_limit", json_object_get_boolean(included));
    for (size_t i = 0; i < 4; i++) {
        put_dollars(object, usages[i], gateway_told(store, key, since[i]));
        put_dollars(object, byok[i], 0);
    }
    put_date(object, "created_at", key->created_ms, "Z");
    put_date(object, "updated_at", key->updated_ms, "Z");
    put_date(object, "expires_at", key->expires_ms, "Z");
    put_string(object, "creator_user_id", "user_sandbox");
    put_string(object, "workspace_id", "0df9e665-d932-5740-b2c7-b52af166bc11");
    return object;
}

static bool admit(struct call *call)
{
    const char *bearer = call->request->bearer;
    struct gateway_key *key;

    if (bearer == NULL) {
        refuse(call, 401, "Missing Authentication header");
        return false;
    }
    if (call->route->access == ACCESS_ADMIN) {
        call->organisation = store_organisation(call->store, bearer);
        if (call->organisation != NULL)
            return true;
    }
    key = gateway_key_of_secret(call->store, GATEWAY_OPENROUTER, bearer);
    if (key == NULL || key->disabled || gateway_expired(key))
        refuse(call, 401, "User not found.");
    else if (call->route->access == ACCESS_ADMIN)
        refuse(call, 403, "Only management keys can perform this operation");
    else
        call->own = key;
    return call->own != NULL;
}

static const char *const periods[] = {"daily", "weekly", "monthly", NULL};

/* A limit is any number, so fields.h, which knows integers, is told of it apart. */
static struct json_object *read_body(struct call *call, const struct field *fields, int64_t *limit)
{
    struct json_object *body = parse_object(call->request->body, call->request->body_size), *dollars = NULL;
    struct complaint complaint;

    if (body == NULL) {
        refuse(call, 400, "The body of the request is not a valid JSON object.");
        return NULL;
    }
    if (!get_dollars(body, "limit", limit)) {
        refuse(call, 400, "limit: expected a number");
        json_object_put(body);
        return NULL;
    }
    json_object_object_get_ex(body, "limit", &dollars);
    json_object_get(dollars);
    json_object_object_del(body, "limit");
    if (!fields_check(body, fields, &complaint)) {
        refuse(call, 400, complaint.message);
        json_object_put(dollars);
        json_object_put(body);
        return NULL;
    }
    if (dollars != NULL)
        json_object_object_add(body, "limit", dollars);
    return body;
}

static bool read_expiry(struct call *call, struct json_object *body, int64_t *out_ms)
{
    const char *text = get_string(body, "expires_at", NULL), *end;
    struct tm date = {.tm_isdst = 0};

    *out_ms = 0;
    if (text == NULL)
        return true;
    end = strptime(text, "%Y-%m-%dT%H:%M:%S", &date);
    if (end == NULL || strcmp(end, "Z") != 0) {
        refuse(call, 400, "expires_at: expected a UTC timestamp");
        return false;
    }
    *out_ms = (int64_t)timegm(&date) * 1000;
    return true;
}

static void create_key(struct call *call)
{
    static const struct field fields[] = {
        {.name = "name", .kind = FIELD_STRING, .required = true, .min = 1, .max = 1024},
        {.name = "limit_reset", .kind = FIELD_STRING, .nullable = true, .values = periods},
        {.name = "include_byok_in_limit", .kind = FIELD_BOOL},
        {.name = "expires_at", .kind = FIELD_STRING, .nullable = true},
        {.name = NULL},
    };
    int64_t limit, expires_ms;
    struct json_object *body = read_body(call, fields, &limit), *object;
    char secret[SECRET_SIZE];
    struct gateway_key *key;

    if (body == NULL)
        return;
    if (call->store->knobs.forbid_minting) {
        refuse(call, 403, "The organization's policy does not allow creating keys.");
    } else if (read_expiry(call, body, &expires_ms)) {
        store_new_id(secret, "sk-or-v1-", 64);
        key = gateway_add(call, GATEWAY_OPENROUTER, secret, get_string(body, "name", ""));
        key->limit = limit;
        key->expires_ms = expires_ms;
        if (get_string(body, "limit_reset", NULL) != NULL)
            replace_text(&key->period, get_string(body, "limit_reset", NULL));
        key->asked = json_object_get(body);
        object = json_object_new_object();
        json_object_object_add(object, "data", key_json(call->store, key));
        put_string(object, "key", secret);
        answer_json(call->answer, 201, object);
        memset(secret, 0, sizeof(secret));
    }
    json_object_put(body);
}

/* Newest first, a hundred to a page. */
static void list_keys(struct call *call)
{
    const char *text = request_query(call->request, "offset"), *disabled = request_query(call->request, "include_disabled");
    int64_t page = knobs_page(&call->store->knobs, PAGE);
    struct json_object *object, *data;
    struct gateway_key *key;
    char *end = "";
    int64_t offset = text != NULL ? strtoll(text, &end, 10) : 0;

    if (*end != '\0' || offset < 0) {
        refuse(call, 400, "offset: expected a number");
        return;
    }
    data = json_object_new_array();
    TAILQ_FOREACH_REVERSE(key, &call->store->gateways->keys, gateway_key_list, next) {
        if (!gateway_listed(call, GATEWAY_OPENROUTER, key) ||
            (key->disabled && (disabled == NULL || strcmp(disabled, "true") != 0)))
            continue;
        if (offset-- > 0)
            continue;
        if (page-- == 0)
            break;
        json_object_array_add(data, key_json(call->store, key));
    }
    object = json_object_new_object();
    json_object_object_add(object, "data", data);
    answer_json(call->answer, 200, object);
}

static struct gateway_key *key_of(struct call *call)
{
    struct gateway_key *key = gateway_key(call, GATEWAY_OPENROUTER, call->arg[0]);

    if (key == NULL)
        refuse(call, 404, "Resource not found");
    return key;
}

static void answer_key(struct call *call, const struct gateway_key *key)
{
    struct json_object *object = json_object_new_object();

    json_object_object_add(object, "data", key_json(call->store, key));
    answer_json(call->answer, 200, object);
}

static void get_key(struct call *call)
{
    struct gateway_key *key = key_of(call);

    if (key != NULL)
        answer_key(call, key);
}

/* What a key is told about itself: nothing that would name it to its account. */
static void get_own_key(struct call *call)
{
    static const char *const left_out[] = {"hash", "name", "disabled", "created_at", "updated_at", "workspace_id"};
    struct json_object *object = json_object_new_object(), *data = key_json(call->store, call->own);
    struct json_object *rate = json_object_new_object();

    for (size_t i = 0; i < sizeof(left_out) / sizeof(left_out[0]); i++)
        json_object_object_del(data, left_out[i]);
    put_bool(data, "is_free_tier", false);
    put_bool(data, "is_management_key", false);
    put_bool(data, "is_provisioning_key", false);
    put_int(rate, "requests", -1);
    put_string(rate, "interval", "10s");
    put_string(rate, "note", "This field is deprecated and safe to ignore.");
    json_object_object_add(data, "rate_limit", rate);
    json_object_object_add(object, "data", data);
    answer_json(call->answer, 200, object);
}

static void update_key(struct call *call)
{
    static const struct field fields[] = {
        {.name = "name", .kind = FIELD_STRING, .min = 1, .max = 1024},
        {.name = "disabled", .kind = FIELD_BOOL},
        {.name = "limit_reset", .kind = FIELD_STRING, .nullable = true, .values = periods},
        {.name = "include_byok_in_limit", .kind = FIELD_BOOL},
        {.name = NULL},
    };
    struct gateway_key *key = key_of(call);
    struct json_object *body;
    int64_t limit;

    if (key == NULL || (body = read_body(call, fields, &limit)) == NULL)
        return;
    if (get_string(body, "name", NULL) != NULL)
        replace_text(&key->name, get_string(body, "name", NULL));
    key->disabled = get_bool(body, "disabled", key->disabled);
    if (json_object_object_get_ex(body, "limit", NULL))
        key->limit = limit;
    if (get_string(body, "limit_reset", NULL) != NULL)
        replace_text(&key->period, get_string(body, "limit_reset", NULL));
    key->updated_ms = unix_ms();
    answer_key(call, key);
    json_object_put(body);
}

static void delete_key(struct call *call)
{
    struct gateway_key *key = key_of(call);
    struct json_object *object;

    if (key == NULL)
        return;
    key->deleted_ms = unix_ms();
    object = json_object_new_object();
    put_bool(object, "deleted", true);
    answer_json(call->answer, 200, object);
}

static void chat(struct call *call)
{
    if (gateway_exhausted(call->own))
        refuse(call, 402, "The key has reached its limit.");
    else
        gateway_chat(call, refuse);
}

static const struct route routes[] = {
    {"GET", BASE "/keys", ACCESS_ADMIN, list_keys},
    {"POST", BASE "/keys", ACCESS_ADMIN, create_key},
    {"GET", BASE "/keys/*", ACCESS_ADMIN, get_key},
    {"PATCH", BASE "/keys/*", ACCESS_ADMIN, update_key},
    {"DELETE", BASE "/keys/*", ACCESS_ADMIN, delete_key},
    {"GET", BASE "/key", ACCESS_MODEL, get_own_key},
    {"GET", BASE "/models", ACCESS_MODEL, gateway_models},
    {"POST", BASE "/chat/completions", ACCESS_MODEL, chat},
};

static const char *const prefixes[] = {BASE "/", NULL};

const struct provider openrouter_provider = {
    .name = "openrouter",
    .prefixes = prefixes,
    .routes = routes,
    .n_routes = sizeof(routes) / sizeof(routes[0]),
    .admit = admit,
    .error = fault_error,
    .state = gateway_state,
};
