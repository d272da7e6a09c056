/* The engine's state in the operator's words: `status` and `show`. */
#include "daemon/engine.h"

#include "base/clock.h"
#include "daemon/usage.h"
#include "base/json.h"
#include "providers/anthropic-federation.h"

#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { AGENT_PATIENCE_MS = 120000 };

__attribute__((format(printf, 3, 4))) static void say(char *text, size_t size, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, size, format, arguments);
    va_end(arguments);
}

/* --- the delivery --- */

struct delivery_words {
    const char *status; /* proven, boot, pending, delivering, failing, none */
    char reason[1024];
    char remedy[RECORD_ERROR_SIZE];
};

static void say_agent(const struct vm *vm, struct delivery_words *words)
{
    int64_t waited = vm->delivery.waiting_since ? clock_monotonic_ms() - vm->delivery.waiting_since : 0;
    if (vm->agent == AGENT_NO_CHANNEL) {
        words->status = "failing";
        say(words->reason, sizeof words->reason, "the domain has no guest agent channel, so nothing can reach the guest");
        say(words->remedy, sizeof words->remedy,
            "add <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel> to its <devices> "
            "and start it anew");
    } else if (waited < AGENT_PATIENCE_MS) {
        say(words->reason, sizeof words->reason, "waiting for the guest agent to connect");
    } else {
        words->status = "failing";
        say(words->reason, sizeof words->reason, "the guest agent has not connected for %lld minutes",
            (long long)(waited / 60000));
        say(words->remedy, sizeof words->remedy,
            "install and start qemu-guest-agent in the guest (NixOS: services.qemuGuest.enable = true), or restart it");
    }
}

static void delivery_words(struct vm *vm, struct delivery_words *words)
{
    bool something = vm->record.delivered;
    for (size_t g = 0; g < vm->grants_count; g++)
        for (size_t k = 0; k < vm->grants[g]->keys_count; k++) {
            enum key_state state = vm->grants[g]->keys[k]->record.state;
            something = something || state == KEY_MINTED || state == KEY_ACTIVE;
        }
    memset(words, 0, sizeof *words);
    words->status = "pending";
    if (boot_credential_alone(vm)) {
        words->status = "boot";
        say(words->reason, sizeof words->reason, "handed over when it started; nothing proves that the guest has taken it");
    } else if (vm->state == DOMAIN_PAUSED) {
        if (something && !deliveries_proven(vm))
            say(words->reason, sizeof words->reason, "the domain is paused; delivered when it is resumed");
        else
            words->status = something ? "proven" : "none";
    } else if (vm->state != DOMAIN_RUNNING && vm->state != DOMAIN_STARTING) {
        words->status = "none";
    } else if (deliveries_proven(vm)) {
        words->status = "proven";
        say(words->reason, sizeof words->reason, "%s", vm->delivery.reason);
    } else if (vm->agent != AGENT_CONNECTED) {
        say_agent(vm, words);
    } else if (vm->delivery.attempts > 0) {
        words->status = "failing";
        say(words->reason, sizeof words->reason, "%s", vm->delivery.reason);
    } else if (vm->delivery.busy) {
        words->status = "delivering";
    } else if (something) {
        say(words->reason, sizeof words->reason, "%s",
            vm->delivery.reason[0] ? vm->delivery.reason : "about to be delivered");
    } else {
        say(words->reason, sizeof words->reason, "nothing is minted yet");
    }
}

/* --- the grant --- */

static const char *newest_error(const struct vm_grant *grant)
{
    for (size_t k = grant->keys_count; k > 0; k--)
        if (grant->keys[k - 1]->record.last_error[0])
            return grant->keys[k - 1]->record.last_error;
    return grant->container ? grant->container->record.last_error : "";
}

static void say_gate(struct engine *engine, const struct vm_grant *grant, char *reason, size_t reason_size,
                     char *remedy, size_t remedy_size)
{
    struct provider_slot *slot = engine_provider(engine, grant->record.provider);
    if (!slot)
        return;
    static const char *const words[] = {
        [OUTCOME_UNAUTHORIZED] = "does not accept our admin key",
        [OUTCOME_UNREACHABLE] = "cannot be reached",
        [OUTCOME_THROTTLED] = "asks us to come back later",
        [OUTCOME_UNKNOWN] = "does not answer properly",
    };
    if (slot->no_credential) {
        say(reason, reason_size, "%s is not asked: %s", grant->record.provider, slot->last_error);
        say(remedy, remedy_size, "%s is read again at every try: nothing else is to be done once it gives the key",
            credential_told(slot->settings->admin_key));
        return;
    }
    enum outcome why = slot->gate.why;
    const char *word = (size_t)why < sizeof words / sizeof words[0] && words[why] ? words[why] : "fails";
    say(reason, reason_size, "%s %s: %s", grant->record.provider, word, slot->last_error);
    if (why == OUTCOME_UNAUTHORIZED)
        say(remedy, remedy_size, "put a valid admin key at %s; it is read again at every try",
            credential_told(slot->settings->admin_key));
}

/* What the policy asks for and the provider cannot, where it matters now or at the next stop. Empty: nothing. */
static void say_what_cannot_be(struct engine *engine, const struct vm *vm, const struct vm_grant *grant, char *words, size_t size)
{
    struct provider_slot *slot = engine_provider(engine, grant->record.provider);
    const struct grant_record *record = &grant->record;
    words[0] = '\0';
    if (!slot || (provider_capabilities(slot->provider) & PROVIDER_CAN_SUSPEND))
        return;
    if (grant->over_budget && record->over_budget == POLICY_FATE_SUSPEND)
        say(words, size, "%s cannot suspend keys, so it is revoked (over-budget = suspend)", record->provider);
    else if (vm->state == DOMAIN_SAVED && record->on_save == POLICY_FATE_SUSPEND)
        say(words, size, "%s cannot suspend keys, so it is kept (on-save = suspend)", record->provider);
    else if (record->on_stop == POLICY_FATE_SUSPEND)
        say(words, size, "%s cannot suspend keys: it is revoked when the domain stops (on-stop = suspend)", record->provider);
    else if (record->on_save == POLICY_FATE_SUSPEND)
        say(words, size, "%s cannot suspend keys: it is kept when the domain is saved (on-save = suspend)", record->provider);
}

static bool is_shared(struct engine *engine, const struct vm_grant *grant)
{
    const struct provider_slot *slot = engine_provider(engine, grant->record.provider);
    return slot && (provider_capabilities(slot->provider) & PROVIDER_SHARED);
}

/* What ends by itself cannot be taken back: that has to be said wherever a key seems to be over. */
static void say_expiring(struct engine *engine, const struct vm_grant *grant, char *reason, size_t reason_size)
{
    const struct provider_slot *slot = engine_provider(engine, grant->record.provider);
    char before[256];
    enum plan_status status = grant->status.status;
    if (status != PLAN_STATUS_OK && status != PLAN_STATUS_OFF && status != PLAN_STATUS_NOT_WANTED &&
        status != PLAN_STATUS_HELD)
        return;
    if (!slot || !(provider_capabilities(slot->provider) & PROVIDER_EXPIRES) || !grant->record.last_generation)
        return;
    long long after = (long long)(federation_aftermath(slot->settings) / 60000),
        refresh = (long long)(provider_key_refresh(slot->provider) / 1000);
    snprintf(before, sizeof before, "%s%s", reason, reason[0] ? "; " : "");
    if (grant->keys_count)
        say(reason, reason_size, "%sa token of this host, a new one every %lld s; what was signed works until it ends by itself",
            before, refresh);
    else
        say(reason, reason_size, "%snothing is signed any more; what was signed ends by itself within %lld min", before,
            after + 1);
}

/* A key that works today and ends by itself if nothing is done. */
static void say_unrenewed(const struct vm_grant *grant, char *reason, size_t reason_size)
{
    const struct vm_key *key = grant->keys_count ? grant->keys[grant->keys_count - 1] : NULL;
    enum plan_status status = grant->status.status;
    char before[256];
    if (status == PLAN_STATUS_LAPSING)
        say(reason, reason_size, "an answer was lost; the key that may have been made, and nobody has, ends with its lease");
    if (!key || !key->ends_at || (!key->last_life && !key->record.attempts) ||
        (status != PLAN_STATUS_OK && status != PLAN_STATUS_KEPT && status != PLAN_STATUS_ROTATING))
        return;
    long long left = (long long)((key->ends_at - clock_monotonic_ms()) / 1000);
    snprintf(before, sizeof before, "%s%s", reason, reason[0] ? "; " : "");
    if (left <= 0)
        say(reason, reason_size, "%sits lease has ended%s%s", before, key->record.last_error[0] ? ": " : "",
            key->record.last_error);
    else if (key->last_life)
        say(reason, reason_size, "%sits lease ends in %lld s and is not renewed any more: a newer key takes its place", before,
            left);
    else
        say(reason, reason_size, "%sit works, and its lease, which ends in %lld s, could not be renewed: %s", before, left,
            key->record.last_error);
}

static void say_what_ends(struct engine *engine, const struct vm_grant *grant, char *reason, size_t reason_size)
{
    say_expiring(engine, grant, reason, reason_size);
    say_unrenewed(grant, reason, reason_size);
}

static const char shared[] = "shared: the host's own key; nobody enforces its budget, and it cannot be revoked";

static void say_no_provider(struct engine *engine, const char *provider, char *reason, size_t reason_size, char *remedy,
                            size_t remedy_size)
{
    if (stranded_waits(engine, provider)) {
        say(reason, reason_size, "[provider %s] was another, of which something is alive: it is not in force yet",
            provider);
        say(remedy, remedy_size, "give the section another name, or put back what it was: llmhook doctor says how");
    } else {
        say(reason, reason_size, "there is no provider called %s in the configuration", provider);
        say(remedy, remedy_size, "add a [provider %s] section to %s and reload llmhookd", provider, engine->config_path);
    }
}

static const char *whose_limit(const struct vm_grant *grant)
{
    return grant->over_whose == BUDGET_OVER_OWNER ? "its owner's" : grant->over_whose == BUDGET_OVER_HOST ? "this host's" : "the";
}

static void say_how_to_spend(struct engine *engine, const struct vm_grant *grant, char *remedy, size_t remedy_size)
{
    if (grant->over_whose == BUDGET_OVER_OWNER)
        say(remedy, remedy_size, "raise monthly-limit in [owner %s] of %s, or wait for the next month (UTC)",
            grant->record.owner, engine->config_path);
    else if (grant->over_whose == BUDGET_OVER_HOST)
        say(remedy, remedy_size, "raise host-monthly-limit in [daemon] of %s, or wait for the next month (UTC)",
            engine->config_path);
    else
        say(remedy, remedy_size, "raise its monthly-limit, or wait for the next month (UTC)");
}

/* When a domain ends on the host that it has migrated to, nobody here learns of it. */
static void say_how_long_kept(const struct vm *vm, char *remedy, size_t remedy_size)
{
    if (vm->state == DOMAIN_MIGRATED)
        say(remedy, remedy_size, "it is kept also when the domain ends there: llmhook revoke %s", vm->record.uuid);
}

void status_grant_words(struct engine *engine, const struct vm *vm, const struct vm_grant *grant, char *reason,
                        size_t reason_size, char *remedy, size_t remedy_size)
{
    const char *error = newest_error(grant), *provider = grant->record.provider;
    char cannot[RECORD_ERROR_SIZE];
    reason[0] = remedy[0] = '\0';
    say_what_cannot_be(engine, vm, grant, cannot, sizeof cannot);
    switch (grant->status.status) {
    case PLAN_STATUS_OK:
        say(reason, reason_size, "%s", is_shared(engine, grant) ? shared : cannot);
        break;
    case PLAN_STATUS_OFF:
        say(reason, reason_size, "%s", cannot);
        break;
    case PLAN_STATUS_NOT_WANTED:
    case PLAN_STATUS_LAPSING:    /* see say_what_ends() */
    case PLAN_STATUS_DELIVERING: /* the delivery has words of its own */
        break;
    case PLAN_STATUS_KEPT:
        say(reason, reason_size, "the domain is %s: its key is kept%s%s", domain_state_name(vm->state), cannot[0] ? "; " : "",
            cannot);
        say_how_long_kept(vm, remedy, remedy_size);
        break;
    case PLAN_STATUS_SUSPENDED:
        say(reason, reason_size, "the domain is %s: its key is suspended until it runs again", domain_state_name(vm->state));
        break;
    case PLAN_STATUS_SUSPENDING:
        say(reason, reason_size, "being suspended%s%s", error[0] ? ": " : "", error);
        break;
    case PLAN_STATUS_RESUMING:
        say(reason, reason_size, "the same key is being taken up again%s%s", error[0] ? ": " : "", error);
        break;
    case PLAN_STATUS_OVER_BUDGET:
        say(reason, reason_size, "%s limit of this month is reached: %s", whose_limit(grant),
            cannot[0] ? cannot : "nothing of it works until the next");
        say_how_to_spend(engine, grant, remedy, remedy_size);
        break;
    case PLAN_STATUS_HELD:
        say(reason, reason_size, "an operator revoked it; the next boot gets a new one");
        break;
    case PLAN_STATUS_POLICY_UNKNOWN:
        say(reason, reason_size, "%s", vm->policy_problem[0] ? vm->policy_problem : "libvirt has not told its policy yet");
        if (vm->policy_problem[0])
            say(remedy, remedy_size, "correct the metadata: virsh metadata, llmhook.conf(5)");
        break;
    case PLAN_STATUS_NO_PROVIDER:
        say_no_provider(engine, provider, reason, reason_size, remedy, remedy_size);
        break;
    case PLAN_STATUS_OPENING:
        say(reason, reason_size, "its %s project is being prepared%s%s", provider, error[0] ? ": " : "", error);
        break;
    case PLAN_STATUS_MINTING:
        say(reason, reason_size, "%s is minting it", provider);
        break;
    case PLAN_STATUS_WAITING_PROVIDER:
        say_gate(engine, grant, reason, reason_size, remedy, remedy_size);
        break;
    case PLAN_STATUS_WAITING_RETRY:
        say(reason, reason_size, "%s", error[0] ? error : "the request was refused");
        say(remedy, remedy_size, "see what %s says above; it is tried again by itself", provider);
        break;
    case PLAN_STATUS_SETTLING:
        say(reason, reason_size, "%s; nothing is asked for twice before it is sure that it was not done",
            error[0] ? error : "an answer was lost");
        break;
    case PLAN_STATUS_POOL_EMPTY:
        say(reason, reason_size, "no key of %s is free in the pool", provider);
        say(remedy, remedy_size, "make one there and hand it over: llmhook pool add %s", provider);
        break;
    case PLAN_STATUS_WAITING_OLD:
        say(reason, reason_size, "an older key must be revoked first%s%s", error[0] ? ": " : "", error);
        break;
    case PLAN_STATUS_ROTATING:
        say(reason, reason_size, "it works; a newer one is being made%s%s", error[0] ? ": " : "", error);
        break;
    case PLAN_STATUS_REVOKING:
        say(reason, reason_size, "being revoked%s%s", error[0] ? ": " : "", error);
        break;
    case PLAN_STATUS_ARCHIVING:
        say(reason, reason_size, "its project is being archived%s%s", error[0] ? ": " : "", error);
        break;
    }
    say_what_ends(engine, grant, reason, reason_size);
}

static const char *grant_word(enum plan_status status)
{
    switch (status) {
    case PLAN_STATUS_OK:
    case PLAN_STATUS_KEPT:
    case PLAN_STATUS_ROTATING:
        return "ok";
    case PLAN_STATUS_OFF:
    case PLAN_STATUS_NOT_WANTED:
    case PLAN_STATUS_HELD:
    case PLAN_STATUS_SUSPENDED:
        return "off";
    case PLAN_STATUS_POLICY_UNKNOWN:
    case PLAN_STATUS_NO_PROVIDER:
    case PLAN_STATUS_WAITING_PROVIDER:
    case PLAN_STATUS_WAITING_RETRY:
    case PLAN_STATUS_SETTLING:
    case PLAN_STATUS_OVER_BUDGET:
    case PLAN_STATUS_POOL_EMPTY:
        return "failing";
    default:
        return "waiting";
    }
}

/* --- as JSON, see io.llmhook.varlink --- */

static void put_text(struct json_object *object, const char *name, const char *text)
{
    if (text[0])
        json_put_string(object, name, text);
}

static void put_time(struct json_object *object, const char *name, int64_t value)
{
    if (value > 0)
        json_put_integer(object, name, value);
}

static void put_wait(struct json_object *object, const char *name, int64_t when)
{
    int64_t now = clock_monotonic_ms();
    if (when > 0 && when != SCHEDULE_NEVER)
        json_put_integer(object, name, when > now ? when - now : 0);
}

static struct json_object *key_json(const struct vm_key *key)
{
    struct json_object *object = json_object_new_object();
    json_put_integer(object, "generation", key->record.generation);
    json_put_string(object, "name", key->record.name);
    json_put_string(object, "state", key_state_name(key->record.state));
    json_put_boolean(object, "unknown", key->record.unknown);
    put_text(object, "remote_id", key->record.remote_id);
    put_text(object, "fingerprint", key->record.fingerprint);
    if (key->record.limit_set > 0)
        json_put_integer(object, "monthly_limit", key->record.limit_set);
    put_time(object, "created_at", key->record.created_at);
    put_time(object, "minted_at", key->record.minted_at);
    put_time(object, "active_at", key->record.active_at);
    put_time(object, "expires_at", key->record.expires_at);
    put_time(object, "retiring_at", key->record.retiring_at);
    put_time(object, "suspended_at", key->record.suspended_at);
    put_time(object, "revoking_at", key->record.revoking_at);
    json_put_integer(object, "attempts", key->record.attempts);
    put_text(object, "last_error", key->record.last_error);
    put_wait(object, "next_attempt_in", key->next_attempt);
    return object;
}

/* The provider, on the key itself or on a container of ours; llmhook, where it reads what is spent and can; or nobody. */
static const char *enforced_by(struct engine *engine, const struct vm_grant *grant)
{
    const struct provider_slot *slot = engine_provider(engine, grant->record.provider);
    unsigned can = slot ? provider_capabilities(slot->provider) : 0;
    const struct container_record *container = grant->container ? &grant->container->record : NULL;
    /* In one that is shared the provider holds what all may spend together, and nobody's own. */
    if ((can & PROVIDER_CAN_LIMIT_KEY) || (container && container->kind == CONTAINER_PER_DOMAIN && container->limit_set > 0))
        return "provider";
    return (can & PROVIDER_CAN_USAGE) && engine->config->daemon.usage_interval_ms > 0 && !usage_is_unread(engine, slot)
               ? "llmhook"
               : "nobody";
}

static struct json_object *grant_json(struct engine *engine, struct vm *vm, const struct vm_grant *grant,
                                      const struct delivery_words *delivery)
{
    char reason[1024], remedy[512];
    struct json_object *object = json_object_new_object(), *keys = json_object_new_array();
    status_grant_words(engine, vm, grant, reason, sizeof reason, remedy, sizeof remedy);
    const char *word = grant_word(grant->status.status);
    if (grant->status.status == PLAN_STATUS_DELIVERING) {
        word = strcmp(delivery->status, "failing") == 0 ? "failing" : strcmp(delivery->status, "boot") == 0 ? "ok" : "waiting";
        say(reason, sizeof reason, "%s", delivery->reason);
        say(remedy, sizeof remedy, "%s", delivery->remedy);
    }
    json_put_string(object, "provider", grant->record.provider);
    json_put_string(object, "environment", grant->record.environment);
    json_put_string(object, "status", word);
    json_put_string(object, "reason", reason);
    put_text(object, "remedy", remedy);
    put_wait(object, "next_attempt_in", grant->status.next_attempt);
    json_put_integer(object, "monthly_limit", grant->record.monthly_limit);
    json_put_string(object, "monthly_limit_enforced", enforced_by(engine, grant));
    usage_put(engine, grant, object);
    if (grant->container) {
        put_text(object, "container", grant->container->record.remote_id);
        json_put_string(object, "container_state", container_state_name(grant->container->record.state));
    }
    json_put_boolean(object, "held", grant->record.held_at != 0);
    json_put_boolean(object, "shared", is_shared(engine, grant));
    for (size_t k = 0; k < grant->keys_count; k++)
        json_object_array_add(keys, key_json(grant->keys[k]));
    json_put(object, "keys", keys);
    return object;
}

static void put_boot_credential(struct json_object *object, struct vm *vm)
{
    char reason[512], remedy[512];
    if (!boot_credential_words(vm, reason, sizeof reason, remedy, sizeof remedy))
        return;
    json_put_string(object, "boot_credential", reason);
    put_text(object, "boot_credential_remedy", remedy);
}

/* Who has the keys in the guest, and by what. */
static void put_guest(struct json_object *object, const struct vm *vm)
{
    const char *readers = vm->policy.readers[0] ? vm->policy.readers : "humans";
    json_put_string(object, "readers", readers);
    if (!vm->delivery.proven_at || !vm->delivery.hooks[0])
        return;
    if (strcmp(readers, "humans") == 0)
        json_put_integer(object, "accounts", vm->delivery.humans);
    json_put_string(object, "hooks", vm->delivery.hooks);
}

struct json_object *status_domain(struct engine *engine, struct vm *vm)
{
    struct json_object *object = json_object_new_object(), *grants = json_object_new_array();
    struct delivery_words delivery;
    delivery_words(vm, &delivery);
    json_put_string(object, "name", vm->record.name);
    json_put_string(object, "uuid", vm->record.uuid);
    json_put_string(object, "state", domain_state_name(vm->state));
    put_text(object, "owner", vm->policy.owner);
    json_put_boolean(object, "required", policy_requires(vm));
    json_put_string(object, "agent", agent_state_name(vm->agent));
    json_put_string(object, "delivery", delivery.status);
    put_text(object, "delivery_reason", delivery.reason);
    put_text(object, "delivery_remedy", delivery.remedy);
    json_put_integer(object, "delivery_attempts", vm->delivery.attempts);
    if (vm->delivery.attempts > 0)
        put_wait(object, "delivery_next_attempt_in", vm->delivery.next_attempt);
    put_time(object, "delivered_at", vm->delivery.proven_at);
    put_guest(object, vm);
    put_boot_credential(object, vm);
    put_text(object, "problem", vm->policy_problem);
    for (size_t g = 0; g < vm->grants_count; g++)
        json_object_array_add(grants, grant_json(engine, vm, vm->grants[g], &delivery));
    json_put(object, "grants", grants);
    return object;
}

static struct json_object *provider_json(struct engine *engine, const struct provider_slot *slot)
{
    struct json_object *object = json_object_new_object();
    int64_t live = 0;
    for (size_t i = 0; i < engine->vms_count; i++)
        for (size_t g = 0; g < engine->vms[i]->grants_count; g++)
            if (strcmp(engine->vms[i]->grants[g]->record.provider, slot->settings->name) == 0)
                live += (int64_t)engine->vms[i]->grants[g]->keys_count;
    json_put_string(object, "name", slot->settings->name);
    json_put_string(object, "type", slot->settings->type);
    const struct gate *gate = slot->gate.failures > 0 ? &slot->gate : &slot->admin_gate;
    json_put_string(object, "status", gate->failures > 0 ? "failing" : slot->in_flight ? "waiting" : "ok");
    if (gate->failures > 0) {
        put_text(object, "reason", slot->last_error);
        put_wait(object, "next_attempt_in", gate->closed_until);
    }
    json_put_integer(object, "in_flight", slot->in_flight);
    json_put_integer(object, "keys_live", live);
    return object;
}

/* Live keys whose provider is not in the configuration: nobody can revoke them. */
static void warn_stranded(struct engine *engine, struct json_object *warnings)
{
    for (size_t i = 0; i < engine->vms_count; i++)
        for (size_t g = 0; g < engine->vms[i]->grants_count; g++) {
            const struct vm_grant *grant = engine->vms[i]->grants[g];
            char text[512];
            const struct provider_slot *slot = engine_provider(engine, grant->record.provider);
            if (!grant->keys_count || (slot && !slot->removed))
                continue;
            say(text, sizeof text,
                !slot ? "%s: %zu key(s) at %s are alive and cannot be revoked: put [provider %s] back into %s"
                : stranded_waits(engine, grant->record.provider)
                    ? "%s: %zu key(s) at %s are alive, and [provider %s] is another in %s: that is not in force until they "
                      "have ended, with the last settings of theirs"
                    : "%s: %zu key(s) at %s are alive, and [provider %s] is not in %s any more: they are revoked with its last "
                      "settings when they end",
                engine->vms[i]->record.name, grant->keys_count, grant->record.provider, grant->record.provider,
                engine->config_path);
            json_append_string(warnings, text);
        }
}

struct json_object *status_all(struct engine *engine)
{
    struct json_object *object = json_object_new_object(), *providers = json_object_new_array(),
                       *domains = json_object_new_array(), *warnings = json_object_new_array();
    json_put_string(object, "version", PACKAGE_VERSION);
    json_put_string(object, "host_id", engine->host_id);
    json_put_integer(object, "started_at", engine->started_at);
    json_put_string(object, "libvirt", engine->libvirt_version);
    json_put_boolean(object, "libvirt_connected", engine->libvirt_connected);
    json_put_string(object, "configuration", engine->config_path);
    put_text(object, "configuration_problem", engine->config_problem);
    for (const struct provider_slot *slot = engine->providers; slot; slot = slot->next)
        if (!slot->retired)
            json_object_array_add(providers, provider_json(engine, slot));
    for (size_t i = 0; i < engine->vms_count; i++)
        if (engine->vms[i]->grants_count || engine->vms[i]->policy_problem[0])
            json_object_array_add(domains, status_domain(engine, engine->vms[i]));
    if (!engine->libvirt_connected)
        json_append_string(warnings, engine->libvirt_problem[0] ? engine->libvirt_problem : "libvirt is not connected yet");
    if (engine->ledger_problem[0])
        json_append_string(warnings, engine->ledger_problem);
    warn_stranded(engine, warnings);
    for (struct provider_slot *slot = engine->providers; slot; slot = slot->next) {
        char words[512];
        if (!slot->retired && stock_low(engine, slot, words, sizeof words))
            json_append_string(warnings, words);
    }
    json_put(object, "providers", providers);
    json_put(object, "domains", domains);
    json_put(object, "warnings", warnings);
    struct json_object *audit = audit_summary(engine);
    if (audit)
        json_put(object, "last_audit", audit);
    return object;
}
