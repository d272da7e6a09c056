/* Providers that are not in the configuration any more while something of ours is alive there: nothing is forgotten.
 *
 * What a provider's section said is kept in the ledger, references and no secrets. When the section is gone, it is opened
 * once more from there, to end what there is; nothing new is made at it. It goes for good when nothing of ours is left. */
#include "daemon/engine.h"

#include "base/failpoint.h"
#include "base/log.h"
#include "credentials/credential.h"
#include "providers/kept.h"

#include <stdio.h>
#include <string.h>

static void name_text(const char *provider, char name[64])
{
    snprintf(name, 64, "provider %s", provider);
}

/* --- what is kept --- */

static void remember(struct engine *engine, const struct provider_settings *settings)
{
    char name[64], text[KEPT_SIZE], before[KEPT_SIZE] = "";
    struct error err = ERROR_INIT;
    name_text(settings->name, name);
    bool whole = kept_write(settings, text) || error_set(&err, ERROR_LIMIT, "the section is too long");
    if (whole && ledger_get_text(engine->ledger, name, before, sizeof before, NULL) && strcmp(before, text) == 0)
        return;
    FAILPOINT("provider-remembered", "committing");
    if (!whole || !ledger_set_text(engine->ledger, name, text, &err))
        log_warning("ledger: %s: should [provider %s] be taken out of the configuration, its keys could not be revoked",
                    err.text, settings->name);
    FAILPOINT("provider-remembered", "committed");
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
    char name[64], text[KEPT_SIZE];
    struct provider_settings settings;
    struct error err = ERROR_INIT;
    size_t keys = count_keys(engine, provider);
    name_text(provider, name);
    bool opened = ledger_get_text(engine->ledger, name, text, sizeof text, &err) &&
                  (kept_read(provider, text, &settings, &err) || error_prefix(&err, "its settings cannot be read"));
    if (opened)
        settings.admin_key_blocks = credential_blocks(settings.admin_key);
    opened = opened && requests_open_provider(engine, &settings, &err);
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
