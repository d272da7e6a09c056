/* From configuration and metadata to grants. */
#include "daemon/engine.h"

#include "base/buffer.h"
#include "base/durable.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct vm_grant *find_grant(struct vm *vm, const char *provider)
{
    for (size_t i = 0; i < vm->grants_count; i++)
        if (strcmp(vm->grants[i]->record.provider, provider) == 0)
            return vm->grants[i];
    return NULL;
}

static struct vm_grant *add_grant(struct vm *vm, const char *provider)
{
    struct vm_grant *grant = calloc(1, sizeof *grant);
    struct vm_grant **grants = realloc(vm->grants, (vm->grants_count + 1) * sizeof *grants);
    if (!grant || !grants)
        abort();
    snprintf(grant->record.domain, sizeof grant->record.domain, "%s", vm->record.uuid);
    snprintf(grant->record.provider, sizeof grant->record.provider, "%s", provider);
    vm->grants = grants;
    vm->grants[vm->grants_count++] = grant;
    return grant;
}

static const char *container_id(const struct vm_grant *grant)
{
    return grant->container ? grant->container->record.remote_id : "";
}

static bool has_accounts(const struct provider_slot *slot)
{
    const unsigned both = PROVIDER_EXPIRES | PROVIDER_CAN_CONTAIN;
    return slot && (provider_capabilities(slot->provider) & both) == both;
}

static bool waits_for_account(const struct provider_slot *slot, const struct vm_grant *grant)
{
    return has_accounts(slot) && !container_id(grant)[0];
}

/* Its tokens were those of one account for all domains, and now each is to have its own: tokens end by themselves, so it may
 * change over while it runs. */
static bool outgrown(const struct provider_slot *slot, const struct vm_grant *grant)
{
    for (size_t i = 0; i < grant->keys_count; i++)
        if (grant->keys[i]->busy)
            return false;
    return has_accounts(slot) && strcmp(container_id(grant), PROVIDER_ACCOUNT) == 0;
}

/* Without keys there is nothing to be kept where it was made: what comes is made where the configuration says now. A project
 * of its own, or of its owner's, stays its place: what was spent in it counts there. */
static bool moved(struct engine *engine, const struct vm *vm, const struct vm_grant *grant)
{
    const char *subject;
    const struct container_record *now = &grant->container->record;
    if (grant->keys_count || now->kind != CONTAINER_GIVEN || !engine_provider(engine, grant->record.provider))
        return false;
    enum container_kind kind = rows_place_of_new_keys(engine, vm, grant, &subject);
    return kind != CONTAINER_GIVEN || strcmp(subject, now->subject) != 0;
}

static int64_t at_most(int64_t value, int64_t most)
{
    return value > 0 && value < most ? value : most;
}

/* A key that the provider was told to end by itself ends in a running domain, too. So another comes when three quarters of its
 * life are over, if the policy says nothing shorter: what is left has room for the overlap, and for what may be in the way.
 * The plan minds what each key was made with; this goes for what is made now, and for the overlap. */
static void replace_before_the_end(const struct provider_slot *slot, struct grant_record *grant)
{
    int64_t life = slot ? slot->settings->expires_ms : 0;
    if (life <= 0)
        return;
    grant->rotate_ms = at_most(grant->rotate_ms, life - life / 4);
    if (grant->overlap_ms != POLICY_NO_OVERLAP)
        grant->overlap_ms = at_most(grant->overlap_ms, life / 4);
}

/* What goes into the guest with its key, and how. */
static void dress(const struct provider_slot *slot, struct vm_grant *grant, const char *environment)
{
    grant->key_is_file = slot && provider_key_is_file(slot->provider);
    /* What was there before goes on being true until its own account is there. */
    if (!waits_for_account(slot, grant))
        grant->variables_count = slot ? provider_variables(slot->provider, environment, container_id(grant), grant->variables)
                                      : 0;
}

static const char *environment_of(const struct provider_slot *slot, const struct vm_grant *grant, const struct policy_key *wanted)
{
    return wanted->environment[0] ? wanted->environment
           : slot                 ? provider_environment(slot->provider)
                                  : grant->record.environment;
}

/* What the policy says about a grant, into its row. Not before there is a row does that need the ledger. */
static void refresh_grant(struct engine *engine, struct vm *vm, struct vm_grant *grant, const struct policy_key *wanted)
{
    struct provider_slot *slot = engine_provider(engine, wanted->provider);
    struct grant_record changed = grant->record;
    snprintf(changed.owner, sizeof changed.owner, "%s", vm->policy.owner);
    changed.monthly_limit = wanted->monthly_limit;
    changed.rotate_ms = wanted->rotate_ms;
    changed.overlap_ms = wanted->overlap_ms;
    changed.on_stop = wanted->on_stop;
    changed.on_save = wanted->on_save;
    changed.over_budget = wanted->over_budget;
    /* What ends by itself is replaced in time, whatever else the policy says; the earlier one needs no overlap, for whoever
     * reads it anew finds the newer. */
    int64_t refresh = slot ? provider_key_refresh(slot->provider) : 0;
    if (refresh > 0) {
        changed.overlap_ms = POLICY_NO_OVERLAP;
        if (changed.rotate_ms <= 0 || changed.rotate_ms > refresh)
            changed.rotate_ms = refresh;
    }
    const char *environment = environment_of(slot, grant, wanted);
    replace_before_the_end(slot, &changed);
    /* The host exchanges now, or no longer does: what the guest has is not what it is to have under that name. */
    if (refresh > 0 && grant->record.id && strcmp(environment, grant->record.environment) != 0)
        changed.replace_through = grant->record.last_generation;
    snprintf(changed.environment, sizeof changed.environment, "%s", environment);
    bool leaves = grant->container && (outgrown(slot, grant) || moved(engine, vm, grant));
    if (leaves)
        changed.container_id = 0;
    grant->wanted = true;
    if (memcmp(&changed, &grant->record, sizeof changed) != 0) {
        if (!changed.id) {
            grant->record = changed;
        } else if (!rows_save_grant(engine, vm, grant, &changed, "grant changed", "the policy changed", "policy")) {
            vm->policy_behind = true; /* in memory it is as the ledger has it */
            leaves = false;
        }
    }
    if (leaves)
        grant->container = NULL;
    dress(slot, grant, grant->record.environment);
}

/* A variable that ONE brings along, and that is something else of OTHER's; NULL: none. */
static const char *clashing_variable(const struct vm_grant *one, const struct vm_grant *other)
{
    for (size_t i = 0; i < one->variables_count; i++) {
        const struct provider_variable *variable = &one->variables[i];
        if (strcmp(variable->name, other->record.environment) == 0)
            return variable->name;
        for (size_t j = 0; j < other->variables_count; j++)
            if (strcmp(variable->name, other->variables[j].name) == 0 &&
                strcmp(variable->value, other->variables[j].value) != 0)
                return variable->name;
    }
    return NULL;
}

static const char *clashing_name(const struct vm_grant *one, const struct vm_grant *other)
{
    if (strcmp(one->record.environment, other->record.environment) == 0)
        return one->record.environment;
    const char *name = clashing_variable(one, other);
    return name ? name : clashing_variable(other, one);
}

/* Two things under one name in the guest's environment: the later would hide the earlier. */
static bool names_clash(struct vm_grant *const *grants, size_t count, char *problem, size_t size)
{
    for (size_t i = 0; i < count; i++)
        for (size_t j = i + 1; j < count; j++) {
            const struct vm_grant *one = grants[i], *other = grants[j];
            if (!one->wanted || !other->wanted || !one->record.environment[0])
                continue;
            const char *name = clashing_name(one, other);
            if (!name)
                continue;
            snprintf(problem, size, "%s and %s would both be %s in the guest: give one of them another name "
                     "(environment=\"...\" on its llmhook:key)", one->record.provider, other->record.provider, name);
            return true;
        }
    return false;
}

/* Whether the grants would clash as vm->policy says. Nothing is changed by it: a policy that cannot be applied is not applied
 * in part either. */
static bool policy_clashes(struct engine *engine, struct vm *vm)
{
    struct vm_grant *drafts = calloc(vm->policy.count + 1, sizeof *drafts), *all[POLICY_KEYS_MAX];
    if (!drafts)
        abort();
    for (unsigned i = 0; i < vm->policy.count; i++) {
        const struct policy_key *wanted = &vm->policy.keys[i];
        const struct vm_grant *grant = find_grant(vm, wanted->provider);
        const struct provider_slot *slot = engine_provider(engine, wanted->provider);
        struct vm_grant *draft = all[i] = &drafts[i];
        if (grant)
            *draft = *grant;
        const char *environment = environment_of(slot, draft, wanted);
        draft->wanted = true;
        if (draft->container && (outgrown(slot, draft) || moved(engine, vm, draft)))
            draft->container = NULL;
        dress(slot, draft, environment);
        snprintf(draft->record.provider, sizeof draft->record.provider, "%s", wanted->provider);
        if (environment != draft->record.environment)
            snprintf(draft->record.environment, sizeof draft->record.environment, "%s", environment);
    }
    bool clash = names_clash(all, vm->policy.count, vm->policy_problem, sizeof vm->policy_problem);
    free(drafts);
    return clash;
}

/* Who shares a container shares its budget, which changes when one of them comes or goes. */
static void tell_sharers(struct engine *engine, const struct vm_grant *grant)
{
    if (grant->wanted != grant->was_wanted && grant->container && grant->container->record.kind != CONTAINER_PER_DOMAIN)
        engine_mark_provider(engine, grant->record.provider);
}

void policy_apply(struct engine *engine, struct vm *vm)
{
    vm->policy_known = vm->policy_behind = false;
    if (!vm->metadata_known)
        return; /* the XML has not been read, or cannot be understood: policy_problem says which */
    for (size_t i = 0; i < vm->grants_count; i++) {
        vm->grants[i]->was_wanted = vm->grants[i]->wanted;
        vm->grants[i]->wanted = false;
    }
    policy_resolve(config_policy_for(engine->config, vm->record.name), vm->has_metadata ? &vm->metadata : NULL,
                   &vm->policy);
    vm->policy_known = vm->delivery_known = !policy_clashes(engine, vm);
    if (vm->policy_known)
        vm->policy_problem[0] = '\0';
    for (unsigned i = 0; i < vm->policy.count; i++) {
        const struct policy_key *wanted = &vm->policy.keys[i];
        struct vm_grant *grant = find_grant(vm, wanted->provider);
        grant = grant ? grant : add_grant(vm, wanted->provider);
        if (vm->policy_known || !grant->record.id)
            refresh_grant(engine, vm, grant, wanted);
    }
    for (size_t i = 0; i < vm->grants_count && !vm->policy_known; i++)
        vm->grants[i]->wanted = vm->grants[i]->wanted || vm->grants[i]->was_wanted; /* what was wanted stays until it is known */
    if (vm->policy_known && memcmp(&vm->record.policy, &vm->policy, sizeof vm->policy) != 0) {
        vm->record.policy = vm->policy;
        vm->row_behind = vm->recorded;
    }
    if (engine->judge) /* before anything is minted: a new grant may be one whose budget is used up */
        engine->judge(engine, vm);
    for (size_t i = 0; i < vm->grants_count; i++)
        tell_sharers(engine, vm->grants[i]);
    /* A grant that never got a row and is not wanted any more was only a thought. */
    for (size_t i = vm->grants_count; i > 0; i--)
        if (!vm->grants[i - 1]->wanted && !vm->grants[i - 1]->record.id)
            rows_end_grant(engine, vm, vm->grants[i - 1]);
}

void policy_recall(struct engine *engine, struct vm *vm)
{
    vm->policy = vm->record.policy;
    vm->delivery_known = vm->policy.count > 0; /* of rows without one it cannot be told who may read what they give */
    for (unsigned i = 0; i < vm->policy.count; i++) {
        struct vm_grant *grant = find_grant(vm, vm->policy.keys[i].provider);
        if (!grant)
            continue; /* it never came to a row */
        struct provider_slot *slot = engine_provider(engine, grant->record.provider);
        grant->wanted = true;
        dress(slot, grant, grant->record.environment);
        vm->delivery_known = vm->delivery_known && slot;
    }
    vm->delivery_known = vm->delivery_known &&
                         !names_clash(vm->grants, vm->grants_count, vm->policy_problem, sizeof vm->policy_problem);
}

bool policy_requires(const struct vm *vm)
{
    /* Of metadata that were never readable nobody knows what they say; then the configuration counts. */
    if (!vm->metadata_known && !vm->policy_known && policy_requires_called(vm->engine, vm->record.name))
        return true;
    return vm->policy.required == POLICY_FLAG_YES && (vm->policy.count > 0 || !vm->policy_known);
}

bool policy_requires_called(const struct engine *engine, const char *name)
{
    const struct policy *policy = config_policy_for(engine->config, name);
    return policy && policy->required == POLICY_FLAG_YES && policy->count > 0;
}

/* As hooks/requirement.h reads it. */
static const char *required_word(const struct policy *policy)
{
    if (policy->required != POLICY_FLAG_YES)
        return "free";
    return policy->count > 0 ? "name" : "own";
}

void policy_publish_required(struct engine *engine)
{
    const struct config *config = engine->config;
    struct buffer text = BUFFER_INIT(CONFIG_FILE_MAX);
    char path[CONFIG_PATH_SIZE + 16];
    struct error err = ERROR_INIT;
    snprintf(path, sizeof path, "%s/required", config->daemon.state_directory);
    bool ok = buffer_printf(&text, "deadline %lld\n", (long long)config->daemon.required_deadline_ms);
    for (size_t i = 0; ok && i < config->policies_count; i++)
        ok = buffer_printf(&text, "%s %s\n", required_word(&config->policies[i].policy), config->policies[i].glob);
    if (!ok || !durable_write(path, 0600, text.data, text.length, &err))
        log_warning("%s: %s: while llmhookd does not run, a domain whose [policy] says required=yes starts without "
                    "a key", path, err.text);
    buffer_clear(&text);
}
