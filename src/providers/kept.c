#include "providers/kept.h"

#include "base/json.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#define FIELD(name, field) {name, offsetof(struct provider_settings, field), sizeof ((struct provider_settings *)NULL)->field}

static const struct {
    const char *name;
    size_t at, size;
} texts[] = {
    FIELD("type", type),
    FIELD("base_url", base_url),
    FIELD("guest_base_url", guest_base_url),
    FIELD("ca_file", ca_file),
    FIELD("admin_key", admin_key),
    FIELD("project", project),
    FIELD("environment", environment),
    FIELD("program", program),
    FIELD("models", models),
    FIELD("issuer", federation.issuer),
    FIELD("audience", federation.audience),
    FIELD("federation_rule", federation.rule),
    FIELD("organization", federation.organization),
    FIELD("service_account", federation.service_account),
    FIELD("workspace", federation.workspace),
    FIELD("path", vault.path),
    FIELD("field", vault.field),
    FIELD("namespace", vault.name_space),
    FIELD("parameters", vault.parameters),
};

static const struct {
    const char *name;
    size_t at, size;
} times[] = {
    FIELD("timeout_ms", timeout_ms),
    FIELD("expires_ms", expires_ms),
    FIELD("token_lifetime_ms", federation.lifetime_ms),
};

enum { TEXTS = sizeof texts / sizeof texts[0], TIMES = sizeof times / sizeof times[0] };

static void write_rates(const struct provider_settings *settings, struct json_object *object)
{
    struct json_object *rates = json_object_new_array();
    for (unsigned i = 0; i < settings->rates_count; i++) {
        struct json_object *rate = json_object_new_object();
        json_put_string(rate, "model", settings->rates[i].model);
        json_put_integer(rate, "requests", settings->rates[i].requests_per_minute);
        json_put_integer(rate, "tokens", settings->rates[i].tokens_per_minute);
        json_object_array_add(rates, rate);
    }
    json_put(object, "rates", rates);
}

bool kept_write(const struct provider_settings *settings, char text[KEPT_SIZE])
{
    cleanup_json struct json_object *object = json_object_new_object();
    for (size_t i = 0; i < TEXTS; i++)
        json_put_string(object, texts[i].name, (const char *)settings + texts[i].at);
    for (size_t i = 0; i < TIMES; i++) {
        int64_t ms;
        memcpy(&ms, (const char *)settings + times[i].at, sizeof ms);
        json_put_integer(object, times[i].name, ms);
    }
    json_put_integer(object, "can", settings->can);
    json_put_integer(object, "pool_low", settings->pool_low);
    json_put_boolean(object, "exchange_on_host", settings->federation.exchange_on_host);
    json_put_boolean(object, "post", settings->vault.post);
    write_rates(settings, object);
    const char *whole = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
    return whole && (size_t)snprintf(text, KEPT_SIZE, "%s", whole) < KEPT_SIZE;
}

static bool read_rates(struct json_object *object, struct provider_settings *settings, struct error *err)
{
    struct json_object *rates;
    if (!json_has(object, "rates"))
        return true;
    if (!json_get_array(object, "rates", &rates, err))
        return false;
    size_t count = json_object_array_length(rates);
    if (count > PROVIDER_RATES_MAX)
        return error_set(err, ERROR_LIMIT, "there are too many rates");
    for (size_t i = 0; i < count; i++) {
        struct json_object *one = json_object_array_get_idx(rates, i);
        struct provider_rate *rate = &settings->rates[i];
        if (!json_get_string(one, "model", rate->model, sizeof rate->model, err))
            return false;
        rate->requests_per_minute = json_optional_integer(one, "requests", 0);
        rate->tokens_per_minute = json_optional_integer(one, "tokens", 0);
    }
    settings->rates_count = (unsigned)count;
    return true;
}

bool kept_read(const char *name, const char *text, struct provider_settings *ret_settings, struct error *err)
{
    cleanup_json struct json_object *object = NULL;
    struct provider_settings *settings = ret_settings;
    memset(settings, 0, sizeof *settings);
    if (!json_parse(text, strlen(text), &object, err))
        return false;
    snprintf(settings->name, sizeof settings->name, "%s", name);
    for (size_t i = 0; i < TEXTS; i++)
        json_optional_string(object, texts[i].name, "", (char *)settings + texts[i].at, texts[i].size);
    for (size_t i = 0; i < TIMES; i++) {
        int64_t ms = json_optional_integer(object, times[i].name, 0);
        memcpy((char *)settings + times[i].at, &ms, sizeof ms);
    }
    settings->can = (unsigned)json_optional_integer(object, "can", 0);
    settings->pool_low = (unsigned)json_optional_integer(object, "pool_low", 0);
    settings->federation.exchange_on_host = json_optional_boolean(object, "exchange_on_host", false);
    settings->vault.post = json_optional_boolean(object, "post", false);
    return read_rates(object, settings, err);
}
