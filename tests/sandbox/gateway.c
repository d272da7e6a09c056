#include "gateway.h"

#include "billing.h"
#include "clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *const gateway_names[] = {[GATEWAY_OPENROUTER] = "openrouter", [GATEWAY_LITELLM] = "litellm"};

struct gateways *gateways_new(void)
{
    struct gateways *gateways = calloc(1, sizeof(*gateways));

    if (gateways != NULL)
        TAILQ_INIT(&gateways->keys);
    return gateways;
}

void gateways_free(struct gateways *gateways)
{
    struct gateway_key *key;

    while ((key = TAILQ_FIRST(&gateways->keys)) != NULL) {
        TAILQ_REMOVE(&gateways->keys, key, next);
        json_object_put(key->models);
        json_object_put(key->asked);
        free(key->name);
        free(key->period);
        free(key);
    }
    free(gateways->charges);
    free(gateways);
}

struct gateway_key *gateway_add(struct call *call, enum gateway gateway, const char *secret, const char *name)
{
    struct gateway_key *key = calloc(1, sizeof(*key));

    if (key == NULL)
        abort();
    key->gateway = gateway;
    key->organisation = call->organisation;
    store_hash_secret(key->sha256, secret);
    snprintf(key->label, sizeof(key->label), "%.6s...%s", secret, secret + strlen(secret) - 4);
    replace_text(&key->name, name);
    key->limit = -1;
    key->created_ms = unix_ms();
    key->visible_mono = mono_ms() + call->store->knobs.stale_list_ms;
    TAILQ_INSERT_TAIL(&call->store->gateways->keys, key, next);
    return key;
}

struct gateway_key *gateway_key(struct call *call, enum gateway gateway, const char *sha256)
{
    struct gateway_key *key;

    TAILQ_FOREACH(key, &call->store->gateways->keys, next) {
        if (key->gateway == gateway && key->organisation == call->organisation && key->deleted_ms == 0 &&
            strcmp(key->sha256, sha256) == 0)
            return key;
    }
    return NULL;
}

struct gateway_key *gateway_key_of_secret(struct store *store, enum gateway gateway, const char *secret)
{
    char sha256[SHA256_HEX_SIZE];
    struct gateway_key *key;

    store_hash_secret(sha256, secret);
    TAILQ_FOREACH(key, &store->gateways->keys, next) {
        if (key->gateway == gateway && strcmp(key->sha256, sha256) == 0 && key->deleted_ms == 0)
            return key;
    }
    return NULL;
}

bool gateway_listed(struct call *call, enum gateway gateway, const struct gateway_key *key)
{
    return key->gateway == gateway && key->organisation == call->organisation && key->deleted_ms == 0 &&
           store_visible(key->visible_mono);
}

int64_t gateway_day(void)
{
    int64_t now = unix_ms() / 1000;

    return now - now % 86400;
}

int64_t gateway_week(void)
{
    int64_t day = gateway_day() / 86400;

    return (day - (day + 3) % 7) * 86400; /* the first of January 1970 was a Thursday */
}

static void book(struct store *store, struct gateway_key *key, const char *model, int64_t input, int64_t output,
                 int64_t micro_usd)
{
    struct gateways *gateways = store->gateways;

    if (gateways->n_charges == gateways->max_charges) {
        gateways->max_charges = gateways->max_charges == 0 ? 256 : gateways->max_charges * 2;
        gateways->charges = realloc(gateways->charges, gateways->max_charges * sizeof(*gateways->charges));
        if (gateways->charges == NULL)
            abort();
    }
    gateways->charges[gateways->n_charges++] =
        (struct gateway_charge){unix_ms() / 1000, key, model, input, output, micro_usd};
    if (key->spend_month != month_start()) {
        key->spend_month = month_start();
        key->month_micro_usd = 0;
    }
    key->month_micro_usd += micro_usd;
    key->total_micro_usd += micro_usd;
}

int64_t gateway_told(const struct store *store, const struct gateway_key *key, int64_t since)
{
    const struct gateways *gateways = store->gateways;
    int64_t sum = 0;

    for (size_t i = 0; i < gateways->n_charges; i++) {
        const struct gateway_charge *charge = &gateways->charges[i];

        if (charge->key == key && charge->at >= since && billing_shown(&store->knobs, charge->at, false))
            sum += charge->micro_usd;
    }
    return sum;
}

int64_t gateway_spend(const struct gateway_key *key)
{
    if (key->period == NULL)
        return key->total_micro_usd;
    return key->spend_month == month_start() ? key->month_micro_usd : 0;
}

bool gateway_exhausted(const struct gateway_key *key)
{
    return key->limit >= 0 && gateway_spend(key) >= key->limit;
}

bool gateway_expired(const struct gateway_key *key)
{
    return key->expires_ms != 0 && unix_ms() >= key->expires_ms;
}

bool get_dollars(struct json_object *body, const char *name, int64_t *out)
{
    struct json_object *value;
    double dollars;

    *out = -1;
    if (!json_object_object_get_ex(body, name, &value) || value == NULL)
        return true;
    dollars = json_object_get_double(value);
    if (!json_object_is_type(value, json_type_double) && !json_object_is_type(value, json_type_int))
        return false;
    if (!(dollars >= 0 && dollars < 1e9))
        return false;
    *out = (int64_t)(dollars * 1e6 + 0.5);
    return true;
}

void put_dollars(struct json_object *object, const char *name, int64_t micro_usd)
{
    json_object_object_add(object, name, micro_usd < 0 ? NULL : json_object_new_double((double)micro_usd / 1e6));
}

static bool model_allowed(const struct gateway_key *key, const char *model)
{
    size_t count = key->models != NULL ? json_object_array_length(key->models) : 0;

    for (size_t i = 0; i < count; i++) {
        if (strcmp(json_object_get_string(json_object_array_get_idx(key->models, i)), model) == 0)
            return true;
    }
    return count == 0;
}

static void answer_chat(struct call *call, const char *model, int64_t input, int64_t output)
{
    struct json_object *object = json_object_new_object(), *choices = json_object_new_array();
    struct json_object *choice = json_object_new_object(), *message = json_object_new_object();
    struct json_object *usage = json_object_new_object();

    put_string(message, "role", "assistant");
    put_string(message, "content", "This is the sandbox.");
    put_int(choice, "index", 0);
    json_object_object_add(choice, "message", message);
    put_string(choice, "finish_reason", "stop");
    json_object_array_add(choices, choice);
    put_int(usage, "prompt_tokens", input);
    put_int(usage, "completion_tokens", output);
    put_int(usage, "total_tokens", input + output);
    put_string(object, "id", "chatcmpl-sandbox");
    put_string(object, "object", "chat.completion");
    put_int(object, "created", unix_ms() / 1000);
    put_string(object, "model", model);
    json_object_object_add(object, "choices", choices);
    json_object_object_add(object, "usage", usage);
    answer_json(call->answer, 200, object);
}

/* Tokens and prices as at OpenAI: see openai-models.c. OpenRouter's models have their maker's name in front. */
void gateway_chat(struct call *call, gateway_refuse *refuse)
{
    struct gateway_key *key = call->own;
    struct json_object *body = parse_object(call->request->body, call->request->body_size);
    const char *name = body != NULL ? get_string(body, "model", "") : "";
    const struct model_price *model = billing_model(strncmp(name, "openai/", 7) == 0 ? name + 7 : name);
    int64_t input = (int64_t)call->request->body_size / 4 + 1, output = 16;

    if (body == NULL || !json_object_object_get_ex(body, "messages", NULL)) {
        refuse(call, 400, "The body has no messages.");
    } else if (model == NULL) {
        refuse(call, 400, "There is no such model.");
    } else if (!model_allowed(key, name)) {
        refuse(call, 401, "The key may not use this model.");
    } else {
        output = get_int(body, "max_tokens", get_int(body, "max_completion_tokens", 16));
        book(call->store, key, model->name, input, output,
             (input * model->input_micro_usd + output * model->output_micro_usd) / 1000000);
        answer_chat(call, name, input, output);
    }
    json_object_put(body);
}

void gateway_models(struct call *call)
{
    struct json_object *object = json_object_new_object(), *data = json_object_new_array();

    for (size_t i = 0; i < RATE_LIMIT_MODELS; i++) {
        struct json_object *model = json_object_new_object();

        put_string(model, "id", billing_models[i].name);
        put_string(model, "object", "model");
        put_int(model, "created", 1744316542);
        put_string(model, "owned_by", "sandbox");
        json_object_array_add(data, model);
    }
    put_string(object, "object", "list");
    json_object_object_add(object, "data", data);
    answer_json(call->answer, 200, object);
}

/* --- what tests see and do --- */

static struct json_object *state_of(const struct gateway_key *key)
{
    struct json_object *object = json_object_new_object();

    put_string(object, "provider", gateway_names[key->gateway]);
    put_string(object, "id", key->sha256);
    put_string(object, "name", key->name);
    put_string(object, "sha256", key->sha256);
    put_int(object, "organisation", key->organisation->number);
    put_bool(object, "disabled", key->disabled);
    put_bool(object, "live", key->deleted_ms == 0 && !gateway_expired(key));
    put_int(object, "limit_micro_usd", key->limit);
    put_string(object, "period", key->period);
    put_int(object, "spend_micro_usd", gateway_spend(key));
    put_time(object, "created_ms", key->created_ms);
    put_time(object, "deleted_ms", key->deleted_ms);
    put_time(object, "expires_ms", key->expires_ms);
    json_object_object_add(object, "asked", json_object_get(key->asked));
    return object;
}

void gateway_state(struct store *store, bool live_only, struct json_object *state)
{
    struct json_object *keys = json_object_new_array();
    struct gateway_key *key;

    TAILQ_FOREACH(key, &store->gateways->keys, next) {
        if (!live_only || (key->deleted_ms == 0 && !gateway_expired(key)))
            json_object_array_add(keys, state_of(key));
    }
    json_object_object_add(state, "gateway_keys", keys);
}

static struct gateway_key *outsiders_key(struct store *store, const char *id)
{
    struct gateway_key *key;

    TAILQ_FOREACH(key, &store->gateways->keys, next) {
        if (strcmp(key->sha256, id) == 0 && key->deleted_ms == 0)
            return key;
    }
    return NULL;
}

/* A key of somebody's, whose secret nobody knows. */
static void create_key(struct store *store, struct json_object *description, struct json_object *result)
{
    struct call call = {.store = store, .organisation = &store->organisations[0]};
    bool litellm = strcmp(get_string(description, "status", ""), "litellm") == 0;
    char secret[SECRET_SIZE];
    struct gateway_key *key;

    store_new_id(secret, "sk-or-v1-", 64);
    key = gateway_add(&call, litellm ? GATEWAY_LITELLM : GATEWAY_OPENROUTER, secret,
                      get_string(description, "name", "somebody's key"));
    put_string(result, "key_id", key->sha256);
}

bool gateway_outside(struct store *store, struct json_object *description, struct json_object *result, const char **error)
{
    const char *action = get_string(description, "action", "");
    struct gateway_key *key;

    *error = NULL;
    if (strncmp(action, "gateway-", 8) != 0)
        return false;
    if (strcmp(action, "gateway-create-key") == 0) {
        create_key(store, description, result);
        return true;
    }
    key = outsiders_key(store, get_string(description, "api_key_id", ""));
    if (key == NULL)
        *error = "no such key";
    else if (strcmp(action, "gateway-delete-key") == 0)
        key->deleted_ms = unix_ms();
    else if (strcmp(action, "gateway-set-spend") == 0 && get_int(description, "cents", -1) >= 0)
        book(store, key, NULL, 0, 0, get_int(description, "cents", 0) * 10000 - gateway_spend(key));
    else if (strcmp(action, "gateway-set-limit") == 0)
        key->limit = get_int(description, "cents", -1) >= 0 ? get_int(description, "cents", 0) * 10000 : -1;
    else
        *error = "unknown action, or 'cents' is missing";
    return true;
}
