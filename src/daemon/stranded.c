/* Providers that are not in the configuration any more while something of ours is alive there: nothing is forgotten.
 *
 * What a provider's section said is kept in the ledger, references and no secrets. When the section is gone, it is opened
 * once more from there, to end what there is; nothing new is made at it. It goes for good when nothing of ours is left.
 *
 * A section whose type has become another is gone, too: the new driver would be asked to revoke what it knows nothing of, and
 * some say that it is done. So it waits until nothing is left of the earlier one. The same goes for the project of a program
 * that keeps all keys in one account: no row says which project a key of it is in. What else changes is believed to be about
 * the same account: an address moves, and a driver that finds itself in another one does not take its keys for gone. */
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

/* Keys, and what was made to keep keys in. */
static bool something_lives(const struct engine *engine, const char *provider)
{
    for (size_t i = 0; i < engine->vms_count; i++)
        for (size_t g = 0; g < engine->vms[i]->grants_count; g++) {
            const struct vm_grant *grant = engine->vms[i]->grants[g];
            const struct container_record *container = grant->container ? &grant->container->record : NULL;
            bool made = container && container->kind != CONTAINER_GIVEN && container->state != CONTAINER_ARCHIVED;
            if (strcmp(grant->record.provider, provider) == 0 && (grant->keys_count || made))
                return true;
        }
    return false;
}

const char *stranded_difference(const struct provider_settings *earlier, const struct provider_settings *now, unsigned can,
                                const char **ret_before, const char **ret_after)
{
    bool type = strcmp(earlier->type, now->type) != 0;
    *ret_before = type ? earlier->type : earlier->project[0] ? earlier->project : "per-domain";
    *ret_after = type ? now->type : now->project[0] ? now->project : "per-domain";
    if (!type && ((can & PROVIDER_CAN_CONTAIN) || strcmp(*ret_before, *ret_after) == 0))
        return NULL;
    return type ? "type" : "project";
}

/* Whether the section is another than what is kept of it; says so. */
static bool is_another(struct engine *engine, const struct provider_settings *settings)
{
    char name[64], text[KEPT_SIZE];
    struct provider_settings kept;
    struct error err = ERROR_INIT;
    const char *before, *after;
    const struct provider_slot *slot = engine_provider(engine, settings->name);
    name_text(settings->name, name);
    if (!ledger_get_text(engine->ledger, name, text, sizeof text, NULL) || !kept_read(settings->name, text, &kept, &err))
        return false;
    const char *what = stranded_difference(&kept, settings, slot ? provider_capabilities(slot->provider) : PROVIDER_CAN_CONTAIN,
                                           &before, &after);
    if (!what || !something_lives(engine, settings->name))
        return false;
    log_error("configuration: [provider %s] has become another, of %s %s: it is not in force until nothing is left of the "
              "earlier one; give it another name, or put %s = %s back", settings->name, what, after, what, before);
    return true;
}

/* The earlier one takes its place below. */
static void put_off(struct engine *engine, const struct provider_settings *settings)
{
    struct provider_slot *slot = engine_provider(engine, settings->name);
    if (slot)
        slot->retired = true;
    requests_collect_retired(engine);
}

bool stranded_waits(struct engine *engine, const char *provider)
{
    const struct provider_slot *slot = engine_provider(engine, provider);
    return config_provider(engine->config, provider) && (!slot || slot->removed);
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
        log_warning("configuration: [provider %s] of type %s is gone, and %zu live key(s) of it are not: they are revoked with "
                    "its last settings, from %s; nothing new is made there", provider, settings.type, keys,
                    credential_told(settings.admin_key));
    else
        log_error("configuration: [provider %s] is gone, and %zu live key(s) of it cannot be revoked: put it back (%s)",
                  provider, keys, err.text);
}

void stranded_keep(struct engine *engine)
{
    for (size_t i = 0; i < engine->config->providers_count; i++) {
        const struct provider_settings *settings = &engine->config->providers[i];
        if (is_another(engine, settings))
            put_off(engine, settings);
        else
            remember(engine, settings);
    }
    for (size_t i = 0; i < engine->vms_count; i++)
        for (size_t g = 0; g < engine->vms[i]->grants_count; g++) {
            const struct grant_record *grant = &engine->vms[i]->grants[g]->record;
            if (grant->id && !engine_provider(engine, grant->provider))
                reopen(engine, grant->provider);
        }
}

void stranded_look(struct engine *engine)
{
    for (size_t i = 0; i < engine->config->providers_count; i++) {
        const char *provider = engine->config->providers[i].name;
        if (!stranded_waits(engine, provider) || something_lives(engine, provider))
            continue;
        log_notice("configuration: nothing is left of the earlier [provider %s]: the one in the file is in force", provider);
        requests_reopen_providers(engine);
        stranded_keep(engine);
        engine_mark_all(engine);
        return;
    }
}
