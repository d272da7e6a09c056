/* What the daemon can see of this host's health; the command adds what can be seen without it. */
#include "daemon/engine.h"
#include "daemon/usage.h"

#include "base/json.h"
#include "credentials/credential.h"
#include "providers/anthropic-federation.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

static void check(struct json_object *checks, const char *name, const char *result, const char *detail,
                  const char *remedy)
{
    struct json_object *object = json_object_new_object();
    json_put_string(object, "name", name);
    json_put_string(object, "result", result);
    json_put_string(object, "detail", detail);
    if (remedy[0])
        json_put_string(object, "remedy", remedy);
    json_object_array_add(checks, object);
}

/* Signs with the host's own key. */
static void check_federation(struct engine *engine, struct json_object *checks, const struct provider_slot *slot,
                             const char *name)
{
    const struct provider_federation *federation = &slot->settings->federation;
    struct secret *secret = NULL;
    struct error err = ERROR_INIT;
    if (!issuer_signing_key(engine, &secret, &err))
        check(checks, name, "failed", err.text, "see llmhookd(8) on its state directory");
    else if (!federation->organization[0] || !federation->service_account[0] ||
             (!federation->rule[0] && !federation_per_domain(slot->settings)))
        check(checks, name, "warning", "Anthropic does not know this host yet: federation-rule, organization or "
              "service-account is not set", "llmhook federation apply, or enter what llmhook federation show prints");
    else if (slot->gate.failures > 0)
        check(checks, name, "warning", slot->last_error, "it is tried again by itself: llmhook status says when");
    else if (slot->admin_gate.failures > 0)
        check(checks, name, "warning", slot->last_error, "domains that have their accounts go on getting tokens; the others, "
              "and what was used, wait for it");
    else
        check(checks, name, "ok", "its signing key opens", "");
    secret_free(secret);
}

static void check_provider(struct engine *engine, struct json_object *checks, const struct provider_slot *slot)
{
    char name[64 + POLICY_PROVIDER_SIZE], detail[256], remedy[RECORD_ERROR_SIZE + PROVIDER_URL_SIZE];
    struct secret *secret = NULL;
    struct error err = ERROR_INIT;
    snprintf(name, sizeof name, "provider %s", slot->settings->name);
    if (!slot->removed && provider_capabilities(slot->provider) & PROVIDER_EXPIRES) {
        check_federation(engine, checks, slot, name);
        return;
    }
    /* What may take seconds is not fetched here, where all else waits. */
    bool fetches = slot->settings->admin_key[0] && !slot->settings->admin_key_blocks;
    if (slot->removed && stranded_waits(engine, slot->settings->name)) {
        const char *before, *after;
        const char *what = stranded_difference(slot->settings, config_provider(engine->config, slot->settings->name),
                                               provider_capabilities(slot->provider), &before, &after);
        snprintf(detail, sizeof detail, "its %s was %s before, and something of that is alive: the section in the file is not in "
                 "force until it is gone", what ? what : "type", before);
        snprintf(remedy, sizeof remedy, "give the section another name, or put %s = %s back", what ? what : "type", before);
        check(checks, name, "failed", detail, remedy);
    } else if (slot->removed) {
        snprintf(remedy, sizeof remedy, "put [provider %s] back until nothing of it is alive, or leave %s in its place",
                 slot->settings->name, credential_told(slot->settings->admin_key));
        check(checks, name, "warning", "it is not in the configuration any more, and keys of it are alive", remedy);
    } else if (fetches && !credential_fetch(slot->settings->admin_key, &secret, &err)) {
        snprintf(remedy, sizeof remedy, "make %s readable for llmhookd", slot->settings->admin_key);
        check(checks, name, "failed", err.text, remedy);
    } else if (slot->gate.why == OUTCOME_UNAUTHORIZED) {
        snprintf(remedy, sizeof remedy, slot->no_credential ? "see to it that %s gives the admin key"
                                                             : "put a valid admin key at %s",
                 credential_told(slot->settings->admin_key));
        check(checks, name, "failed", slot->last_error, remedy);
    } else if (slot->gate.failures > 0) {
        check(checks, name, "warning", slot->last_error, "it is tried again by itself: llmhook status says when");
    } else if (!slot->answered) {
        check(checks, name, "warning", slot->in_flight ? "being asked for the first time, and has not answered yet"
                                                       : "not asked yet, so it is not known whether it answers and accepts us",
              slot->in_flight ? "" : "llmhook audit asks it");
    } else if (provider_capabilities(slot->provider) & PROVIDER_SHARED) {
        check(checks, name, "ok", "its key can be read", "");
    } else {
        check(checks, name, "ok", fetches ? "its admin key can be read, and it answered the last time it was asked"
                                          : "it answered the last time it was asked", "");
    }
    secret_free(secret);
}

static void check_pool(struct engine *engine, struct json_object *checks, struct provider_slot *slot)
{
    char name[64 + POLICY_PROVIDER_SIZE], words[512];
    if (!(provider_capabilities(slot->provider) & PROVIDER_CLAIMS))
        return;
    snprintf(name, sizeof name, "pool of %s", slot->settings->name);
    if (stock_low(engine, slot, words, sizeof words))
        check(checks, name, "warning", words, "make keys in the provider's Console and put them in with llmhook pool add");
    else
        check(checks, name, "ok", "it has free keys", "");
}

static void check_usage(struct engine *engine, struct json_object *checks, const struct provider_slot *slot)
{
    char name[64 + POLICY_PROVIDER_SIZE], words[RECORD_ERROR_SIZE + 128];
    if (!usage_is_unread(engine, slot))
        return;
    snprintf(name, sizeof name, "usage of %s", slot->settings->name);
    snprintf(words, sizeof words, "it cannot be read, so llmhook stops nobody at a limit: %s",
             usage_provider_state(engine, slot->settings->name)->problem);
    check(checks, name, "warning", words, "see what the provider says above; it is tried again by itself");
}

static bool named_by_policy(const struct config *config, const char *provider)
{
    for (size_t i = 0; i < config->policies_count; i++)
        for (unsigned k = 0; k < config->policies[i].policy.count; k++)
            if (strcmp(config->policies[i].policy.keys[k].provider, provider) == 0)
                return true;
    return false;
}

static bool asked_for(const struct engine *engine, const char *provider)
{
    for (size_t i = 0; i < engine->vms_count; i++)
        for (size_t g = 0; g < engine->vms[i]->grants_count; g++)
            if (engine->vms[i]->grants[g]->wanted &&
                strcmp(engine->vms[i]->grants[g]->record.provider, provider) == 0)
                return true;
    return false;
}

/* A section alone gives nobody a key. What domains ask for is known only once libvirt has told of all of them. */
static void check_use(const struct engine *engine, struct json_object *checks, const struct provider_slot *slot)
{
    const char *provider = slot->settings->name;
    char name[64 + POLICY_PROVIDER_SIZE], words[256], remedy[256];
    if (slot->removed || !engine->swept || named_by_policy(engine->config, provider) || asked_for(engine, provider))
        return;
    snprintf(name, sizeof name, "use of %s", provider);
    snprintf(words, sizeof words, "no policy names %s and no domain asks for it, so no VM gets a key of it", provider);
    snprintf(remedy, sizeof remedy, "add %s to the providers = of a [policy], see llmhook.conf(5)", provider);
    check(checks, name, "warning", words, remedy);
}

static void check_libvirt(struct engine *engine, struct json_object *checks)
{
    char detail[512];
    if (engine->libvirt_connected) {
        snprintf(detail, sizeof detail, "connected to %s, version %s", engine->config->daemon.libvirt_uri,
                 engine->libvirt_version[0] ? engine->libvirt_version : "unknown");
        check(checks, "libvirt", "ok", detail, "");
    } else {
        check(checks, "libvirt", "failed", engine->libvirt_problem, "systemctl start libvirtd (or virtqemud)");
    }
    if (engine->hookless[0]) {
        snprintf(detail, sizeof detail, "libvirt started %s without calling llmhook's hook", engine->hookless);
        check(checks, "hook calls", "warning", detail,
              "a first hook is only seen after a reload: systemctl reload libvirtd");
    } else {
        snprintf(detail, sizeof detail, "%llu since llmhookd started", (unsigned long long)engine->hook_calls);
        check(checks, "hook calls", "ok", detail, "");
    }
}

struct json_object *doctor_checks(struct engine *engine)
{
    struct json_object *checks = json_object_new_array();
    check_libvirt(engine, checks);
    if (engine->config_problem[0])
        check(checks, "configuration in force", "warning", engine->config_problem,
              "the earlier configuration stays in force until the file is correct: then systemctl reload llmhookd");
    if (engine->ledger_problem[0])
        check(checks, "ledger", "failed", engine->ledger_problem, "make room on its file system, or repair it");
    else
        check(checks, "ledger", "ok", "the last write was durable", "");
    if (engine->usage && engine->usage->prices_problem[0])
        check(checks, "prices", "warning", engine->usage->prices_problem,
              "the earlier ones stay in force until the file is correct: then systemctl reload llmhookd");
    if (!engine->providers)
        check(checks, "providers", "warning", "none is configured, so no VM gets a key",
              "add a [provider] section, see llmhook.conf(5)");
    for (struct provider_slot *slot = engine->providers; slot; slot = slot->next)
        if (!slot->retired) {
            check_provider(engine, checks, slot);
            check_pool(engine, checks, slot);
            check_usage(engine, checks, slot);
            check_use(engine, checks, slot);
        }
    for (size_t i = 0; i < engine->vms_count; i++) {
        const struct vm *vm = engine->vms[i];
        char name[RECORD_NAME_SIZE + 16];
        snprintf(name, sizeof name, "domain %s", vm->record.name);
        if (vm->grants_count && vm->agent == AGENT_NO_CHANNEL && !boot_credential_wanted(vm))
            check(checks, name, "warning", "it is to get a key and has no guest agent channel",
                  "add <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>");
        char reason[512], remedy[512];
        if (vm->grants_count && boot_credential_trouble(vm, reason, sizeof reason, remedy, sizeof remedy))
            check(checks, name, "warning", reason, remedy);
        if (vm->policy_problem[0])
            check(checks, name, "warning", vm->policy_problem, "correct its metadata, see llmhook.conf(5)");
    }
    return checks;
}
