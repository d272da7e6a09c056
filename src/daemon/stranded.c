/* Providers that are not in the configuration any more while something of ours is alive there: nothing is forgotten.
 *
 * What a provider's section said is kept in the ledger, references and no secrets. When the section is gone, it is opened
 * once more from there, to end what there is; nothing new is made at it. It goes for good when nothing of ours is left. */
#include "daemon/engine.h"

#include "base/cleanup.h"
#include "base/json.h"
#include "base/log.h"
#include "credentials/credential.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

enum { TEXT_SIZE = 8192 };

static void name_text(const char *provider, char name[64])
{
    snprintf(name, 64, "provider %s", provider);
}

/* --- what is kept --- */

static const struct {
    const char *name;
    size_t at, size;
} texts[] = {
#define TEXT(name, field) {name, offsetof(struct provider_settings, field), sizeof ((struct provider_settings *)NULL)->field}
    TEXT("type", type),         TEXT("base_url", base_url), TEXT("ca_file", ca_file),         TEXT("admin_key", admin_key),
    TEXT("project", project), TEXT("program", program), TEXT("environment", environment),
    TEXT("path", vault.path), TEXT("field", vault.field), TEXT("namespace", vault.name_space),
#undef TEXT
};
enum { TEXTS_COUNT = sizeof texts / sizeof texts[0] };

static void write_text(const struct provider_settings *settings, char text[TEXT_SIZE])
{
    cleanup_json struct json_object *object = json_object_new_object();
    for (size_t i = 0; i < TEXTS_COUNT; i++)
        json_put_string(object, texts[i].name, (const char *)settings + texts[i].at);
    json_put_integer(object, "can", settings->can);
    json_put_integer(object, "timeout_ms", settings->timeout_ms);
    snprintf(text, TEXT_SIZE, "%s", json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN));
}

static bool read_text(const char *name, const char *text, struct provider_settings *ret_settings)
{
    cleanup_json struct json_object *object = NULL;
    struct provider_settings settings = {.can = 0};
    if (!json_parse(text, strlen(text), &object, NULL))
        return false;
    snprintf(settings.name, sizeof settings.name, "%s", name);
    for (size_t i = 0; i < TEXTS_COUNT; i++)
        json_optional_string(object, texts[i].name, "", (char *)&settings + texts[i].at, texts[i].size);
    settings.can = (unsigned)json_optional_integer(object, "can", 0);
    settings.timeout_ms = json_optional_integer(object, "timeout_ms", 0);
    settings.admin_key_blocks = credential_blocks(settings.admin_key);
    *ret_settings = settings;
    return true;
}

static void remember(struct engine *engine, const struct provider_settings *settings)
{
    char name[64], text[TEXT_SIZE], before[TEXT_SIZE] = "";
    struct error err = ERROR_INIT;
    name_text(settings->name, name);
    write_text(settings, text);
    if (ledger_get_text(engine->ledger, name, before, sizeof before, NULL) && strcmp(before, text) == 0)
        return;
    if (!ledger_set_text(engine->ledger, name, text, &err))
        log_warning("ledger: %s: should [provider %s] be taken out of the configuration, its keys could not be revoked",
                    err.text, settings->name);
}

/* --- what is opened once more --- */

static size_t count_keys(const struct engine *engine, const char *provider)
{
    size_t count = 0;
    for (size_t i = 0; i < engine->vms_count; i++)
        for (size_t g = 0; g < engine->vms[i]->grants_count; g++)
            if (strcmp(engine->vms[i]->grants[g]->record.provider, provider) == 0)
                count += engine->vms[i]->grants[g]->keys_count;
    return count;
}

static void reopen(struct engine *engine, const char *provider)
{
    char name[64], text[TEXT_SIZE];
    struct provider_settings settings;
    struct error err = ERROR_INIT;
    size_t keys = count_keys(engine, provider);
    name_text(provider, name);
    bool opened = ledger_get_text(engine->ledger, name, text, sizeof text, &err) &&
                  (read_text(provider, text, &settings) || error_set(&err, ERROR_INVALID, "its settings cannot be read")) &&
                  requests_open_provider(engine, &settings, &err);
    if (opened)
        engine_provider(engine, provider)->removed = true;
    if (opened)
        log_warning("configuration: [provider %s] is gone, and %zu live key(s) of it are not: they are revoked with its "
                    "last settings, from %s; nothing new is made there", provider, keys, credential_told(settings.admin_key));
    else
        log_error("configuration: [provider %s] is gone, and %zu live key(s) of it cannot be revoked: put it back (%s)",
                  provider, keys, err.text);
}

void stranded_keep(struct engine *engine)
{
    for (size_t i = 0; i < engine->config->providers_count; i++)
        remember(engine, &engine->config->providers[i]);
    for (size_t i = 0; i < engine->vms_count; i++)
        for (size_t g = 0; g < engine->vms[i]->grants_count; g++) {
            const struct grant_record *grant = &engine->vms[i]->grants[g]->record;
            if (grant->id && !engine_provider(engine, grant->provider))
                reopen(engine, grant->provider);
        }
}
