/* What must hold in the end, when nothing more goes wrong (I8): all is as it should be, and nothing is left. */
#include "world.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool wrong(char *why, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
static bool wrong(char *why, size_t size, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, size, format, arguments);
    va_end(arguments);
    return false;
}

/* What the ledger and the provider have of one domain and provider. */
struct standing {
    unsigned rows, keys, working;
    const struct ledger_row_key *row; /* the newest */
    bool may_suspend, suspends_saved; /* by the policy that was last known, and by what the provider can */
    bool held, asked; /* asked: an operator wants a newer one than this */
};

static bool can_suspend(const struct grant_record *grant)
{
    return world.remotes[provider_index(grant->provider)].abilities & PROVIDER_CAN_SUSPEND;
}

static bool may_suspend(const struct grant_record *grant)
{
    bool claims = world.remotes[provider_index(grant->provider)].abilities & PROVIDER_CLAIMS;
    return can_suspend(grant) &&
           (grant->on_stop == POLICY_FATE_SUSPEND || (grant->on_stop == POLICY_FATE_DEFAULT && claims));
}

static bool may_suspend_saved(const struct grant_record *grant)
{
    return can_suspend(grant) && grant->on_save == POLICY_FATE_SUSPEND && !grant->ended_at;
}

/* What was never answered has no name to be found by: its row stays until its lease has surely ended. How long that is a
 * daemon that has made no key yet does not know, and waits for the longest. */
static bool is_lapsed(const struct ledger_row_key *row, const struct remote *remote)
{
    return (remote->abilities & PROVIDER_LEASES) && row->record.state == KEY_REVOKING && !row->record.remote_id[0] &&
           world.clock > row->record.revoking_at + LEASE_MS + 60000;
}

static bool has_lapsed(const struct ledger *ledger, const char *uuid)
{
    for (unsigned i = 0; i < ledger->keys_count; i++) {
        const struct grant_record *grant = ledger_grant(ledger, ledger->keys[i].record.grant_id);
        if (strcmp(grant->domain, uuid) == 0 && is_lapsed(&ledger->keys[i], &world.remotes[provider_index(grant->provider)]))
            return true;
    }
    return false;
}

/* Leases of keys that are kept last, or are about to be renewed. */
static bool leases_are_right(const struct host *host, char *why, size_t size)
{
    for (unsigned i = 0; i < host->ledger.keys_count; i++) {
        const struct key_record *record = &host->ledger.keys[i].record;
        const struct grant_record *grant = ledger_grant(&host->ledger, record->grant_id);
        const struct remote_key *key = record->remote_id[0] ? key_by_id(provider_index(grant->provider),
                                                                        record->remote_id) : NULL;
        if (!key || !key->ends_at || key->removed_at ||
            (record->state != KEY_MINTED && record->state != KEY_ACTIVE && record->state != KEY_RETIRING))
            continue;
        did(CHECKED_LEASES);
        if (key->ends_at < world.clock + 86400000)
            return wrong(why, size, "the lease of %s is not renewed", record->name);
    }
    return true;
}

static struct standing standing(const struct host *host, int domain, unsigned provider)
{
    struct standing all = {0};
    for (unsigned i = 0; i < host->ledger.keys_count; i++) {
        const struct ledger_row_key *row = &host->ledger.keys[i];
        if (row->record.state == KEY_REVOKED || is_lapsed(row, &world.remotes[provider]))
            continue;
        const struct grant_record *grant = ledger_grant(&host->ledger, row->record.grant_id);
        if (domain_of_uuid(grant->domain) == domain && provider_index(grant->provider) == (int)provider) {
            all.rows++;
            all.row = row;
        }
    }
    for (unsigned i = 0; i < host->ledger.grants_count; i++)
        if (domain_of_uuid(host->ledger.grants[i].domain) == domain &&
            provider_index(host->ledger.grants[i].provider) == (int)provider)
            all.held = host->ledger.grants[i].held_at != 0, all.may_suspend = may_suspend(&host->ledger.grants[i]),
            all.suspends_saved = may_suspend_saved(&host->ledger.grants[i]),
            all.asked = all.row && all.row->record.generation <= host->ledger.grants[i].replace_through;
    const struct remote *remote = &world.remotes[provider];
    for (unsigned i = remote->keys_from; i < remote->keys_count; i++)
        if (!remote->keys[i].removed_at && remote->keys[i].host == host->index && remote->keys[i].domain == domain) {
            all.keys++;
            all.working += !remote->keys[i].suspended;
        }
    return all;
}

/* What came with it from another host is a dead key that this host's daemon knows nothing of, even if it had made it
 * before the domain left. */
static bool holds_key_of(const struct domain *domain, const struct host *host, unsigned provider)
{
    const struct remote *remote = &world.remotes[provider];
    for (unsigned i = 0; i < remote->keys_count; i++)
        if (remote->keys[i].secret == domain->holds[provider])
            return remote->keys[i].host == host->index &&
                   !(remote->keys[i].removed_at && remote->keys[i].removed_at < domain->on[host->index].up_at);
    return false;
}

/* What it has works, also while it is being replaced. A guest that cannot be reached has what there was. */
static bool token_is_right(const struct domain *domain, const struct host *host, unsigned provider,
                           const struct standing *all, bool reachable, char *why, size_t size)
{
    int index = (int)(domain - world.domains);
    did(CHECKED_TOKENS);
    if (all->rows < 1 || all->rows > 2)
        return wrong(why, size, "domain %d runs and is to have a token of p%u; rows %u", index, provider, all->rows);
    if (reachable && !remote_token(&world.remotes[provider], host->index, index, domain->holds[provider]))
        return wrong(why, size, "domain %d has no token of p%u that works", index, provider);
    return true;
}

/* A request has shown that what the key was made in is gone, and the daemon goes on as if it worked. */
static bool is_known_to_be_dead(const struct host *host, const struct ledger_row_key *row)
{
    const struct grant_record *grant = ledger_grant(&host->ledger, row->record.grant_id);
    unsigned abilities = world.remotes[provider_index(grant->provider)].abilities;
    enum key_state state = row->record.state;
    bool given_to_guests = state == KEY_MINTED || state == KEY_ACTIVE || state == KEY_RETIRING;
    for (unsigned i = 0; i < host->ledger.containers_count; i++)
        if (host->ledger.containers[i].id == grant->container_id)
            return given_to_guests && host->ledger.containers[i].state == CONTAINER_ARCHIVED && !(abilities & PROVIDER_CLAIMS);
    return false;
}

static bool running_is_right(const struct domain *domain, const struct host *host, unsigned provider,
                             const struct standing *all, char *why, size_t size)
{
    int index = (int)(domain - world.domains);
    const struct presence *on = &domain->on[host->index];
    bool reachable = domain->has_channel && on->agent_connected && !on->paused;
    bool wanted = domain->wanted & 1u << provider && !all->held;
    const struct remote_key *key = all->row ? key_by_id((int)provider, all->row->record.remote_id) : NULL;
    if (all->row && is_known_to_be_dead(host, all->row))
        return wrong(why, size, "domain %d has a key of p%u that went with its container", index, provider);
    if (domain->removed_by_outsider[host->index][provider] || (key && key->by_outsider))
        return true; /* what is missing without anybody having been asked about it is for the audit to say */
    /* A boot begins when its hook is called. An operator's word counts from when the daemon has it, and it may have hung. */
    if (all->held && on->boot_at > on->take_heard_at && on->boot_told_at >= on->boot_at &&
        on->boot_told_at > host->booted_at && on->boot_told_to == host->incarnation)
        return wrong(why, size, "domain %d has booted since an operator took its keys of p%u, and gets none", index, provider);
    if (!wanted) {
        did(CHECKED_UNWANTED);
        if (all->rows || all->keys)
            return wrong(why, size, "domain %d is to have no key of p%u; rows %u, keys %u", index, provider, all->rows,
                         all->keys);
        /* An old snapshot or file brings an old key back, which is dead: nobody is told what is in there. */
        bool told = reachable && !domain->lied_at && !domain->reverted;
        if (told)
            did(CHECKED_TAKEN_OUT);
        if (told && domain->holds[provider] && holds_key_of(domain, host, provider))
            return wrong(why, size, "domain %d still holds a key of p%u that it is not to have", index, provider);
        return true;
    }
    if (domain->over[provider]) {
        did(CHECKED_OVER);
        if (all->working)
            return wrong(why, size, "domain %d is over its limit of p%u, and %u of its keys work", index, provider, all->working);
        return true;
    }
    bool nothing_to_claim = (world.remotes[provider].abilities & PROVIDER_CLAIMS) &&
                             !ledger_pool_has(&host->ledger, world.remotes[provider].name);
    if (!all->keys && nothing_to_claim)
        return true; /* an operator has to make one first */
    if (all->working != all->keys)
        return wrong(why, size, "domain %d runs, and only %u of its %u keys of p%u work", index, all->working, all->keys,
                     provider);
    /* A guest that cannot be reached keeps the key that it has until it has proven the next. */
    if (!reachable && all->rows == 2 && all->row->record.predecessor)
        return true;
    if (world.remotes[provider].abilities & PROVIDER_EXPIRES)
        return token_is_right(domain, host, provider, all, reachable, why, size);
    if (reachable && all->asked && !nothing_to_claim)
        return wrong(why, size, "domain %d still has the key of p%u that was to be replaced", index, provider);
    bool shared = world.remotes[provider].abilities & PROVIDER_SHARED; /* it is nowhere but here */
    if (shared && reachable)
        did(CHECKED_COPIES);
    if (shared && all->rows == 1 && all->row->secret != world.remotes[provider].shared[host->index] && reachable)
        return wrong(why, size, "domain %d has a copy of what was the host's key of p%u", index, provider);
    did(CHECKED_ONE_KEY);
    if (all->rows != 1 || (all->keys != 1 && !shared))
        return wrong(why, size, "domain %d runs and is to have one key of p%u; rows %u (%s), keys %u", index, provider, all->rows,
                     all->row ? key_state_name(all->row->record.state) : "-", all->keys);
    /* The key itself is held to what is left of the month's budget, or to all of it. */
    if (world.remotes[provider].abilities & PROVIDER_CAN_CHANGE_LIMIT) {
        const struct key_record *record = &all->row->record;
        int64_t limit = budget_key_limit(ledger_grant(&host->ledger, record->grant_id)->monthly_limit, record->spent_before,
                                         record->spent_month, domain->month[provider]);
        if (key)
            did(CHECKED_KEY_LIMITS);
        if (key && key->limit != limit)
            return wrong(why, size, "domain %d has a key of p%u with a limit of %" PRId64 ", not %" PRId64, index, provider,
                         key->limit, limit);
    }
    if (reachable)
        did(CHECKED_GIVEN);
    if (reachable && (all->row->record.state != KEY_ACTIVE || domain->holds[provider] != all->row->secret))
        return wrong(why, size, "domain %d has not been given its key of p%u (%s)", index, provider,
                     key_state_name(all->row->record.state));
    return true;
}

/* Its keys are kept; those that are not to work meanwhile do not. */
static bool saved_is_right(const struct domain *domain, const struct host *host, char *why, size_t size)
{
    int index = (int)(domain - world.domains);
    for (unsigned p = 0; p < world.providers_count; p++) {
        struct standing all = standing(host, index, p);
        if (!all.suspends_saved && !domain->over[p])
            continue;
        did(CHECKED_SAVED);
        if (all.working)
            return wrong(why, size, "domain %d is saved, and %u of its keys of p%u work", index, all.working, p);
    }
    return true;
}

static bool undefined_is_right(const struct domain *domain, const struct host *host, char *why, size_t size)
{
    int index = (int)(domain - world.domains);
    did(CHECKED_UNDEFINED);
    for (unsigned i = 0; i < host->ledger.domains_count; i++)
        if (strcmp(host->ledger.domains[i].uuid, domain->uuid) == 0 && !has_lapsed(&host->ledger, domain->uuid))
            return wrong(why, size, "domain %d is undefined and has not been forgotten", index);
    for (unsigned p = 0; p < world.providers_count; p++)
        for (unsigned i = 0; i < world.remotes[p].containers_count; i++) {
            const struct remote_container *container = &world.remotes[p].containers[i];
            if (!container->archived_at && !container->twin && container->host == host->index &&
                strstr(container->name, domain->uuid))
                return wrong(why, size, "domain %d is undefined and its container %s is open", index, container->id);
        }
    return true;
}

static bool is_right(const struct domain *domain, const struct host *host, char *why, size_t size)
{
    const struct presence *on = &domain->on[host->index];
    int index = (int)(domain - world.domains);
    if (domain->busy_on >= 0)
        return wrong(why, size, "domain %d: libvirt is not done with it", index);
    enum stop_reason recorded = domain_recorded_stop(domain, host->index);
    if (on->active && (recorded == STOP_SAVED || recorded == STOP_MIGRATED))
        return wrong(why, size, "domain %d is active, and the ledger says that it is %s", index, stop_reason_name(recorded));
    if (!on->active && (on->managed_save || (on->exists && on->reason == STOP_SAVED)))
        return saved_is_right(domain, host, why, size);
    if (!on->active && on->reason == STOP_MIGRATED)
        return true; /* lives elsewhere */
    /* What the ledger says counts where libvirt has forgotten, or a transient domain has left. It may keep a key for a
     * file that has been used or thrown away since: that cannot be known where no hook could say it, and the next boot that
     * is seen ends it. */
    bool told = on->ended_unheard_at > on->saved_at;
    if (!on->active && (recorded == STOP_MIGRATED ||
                        (recorded == STOP_SAVED &&
                         (on->exists || on->saved_file || (domain_recorded_transient(domain, host->index) && !told)))))
        return true;
    for (unsigned p = 0; p < world.providers_count; p++) {
        struct standing all = standing(host, index, p);
        if (on->active) {
            if (!running_is_right(domain, host, p, &all, why, size))
                return false;
        } else if (on->exists && all.may_suspend && all.rows == 1 && all.row->record.state == KEY_SUSPENDED && !all.working) {
            did(CHECKED_KEPT_OFF);
            if (!all.row->record.suspended_at)
                return wrong(why, size, "domain %d is off, and whether its key of p%u is suspended is not certain", index, p);
        } else {
            did(CHECKED_OFF);
            if (all.rows || all.keys)
                return wrong(why, size, "domain %d is off and p%u has %u of its keys, the ledger %u (%s)", index, p, all.keys,
                             all.rows, all.row ? key_state_name(all.row->record.state) : "-");
        }
    }
    return on->exists || on->active || undefined_is_right(domain, host, why, size);
}

bool something_lapses(void)
{
    for (unsigned h = 0; h < world.hosts_count; h++)
        for (unsigned d = 0; d < world.domains_count; d++)
            if (has_lapsed(&world.hosts[h].ledger, world.domains[d].uuid))
                return true;
    return false;
}

bool something_is_refreshed(void)
{
    for (unsigned h = 0; h < world.hosts_count; h++)
        for (unsigned i = 0; i < world.hosts[h].ledger.keys_count; i++) {
            const struct key_record *record = &world.hosts[h].ledger.keys[i].record;
            const struct grant_record *grant = ledger_grant(&world.hosts[h].ledger, record->grant_id);
            if (record->state != KEY_REVOKED && (world.remotes[provider_index(grant->provider)].abilities & PROVIDER_EXPIRES))
                return true;
        }
    return false;
}

/* Another daemon begins with what the ledger says of a domain's policy: while its XML cannot be had, that is all there is. */
static bool policies_are_right(const struct host *host, char *why, size_t size)
{
    const struct ledger *ledger = &host->ledger;
    for (unsigned i = 0; host->engine && i < ledger->domains_count; i++) {
        const struct vm *vm = engine_find_vm(host->engine, ledger->domains[i].uuid);
        if (vm && memcmp(&vm->record.policy, &ledger->domains[i].policy, sizeof vm->record.policy) != 0)
            return wrong(why, size, "the ledger has another policy of domain %d than h%d", domain_of_uuid(vm->record.uuid),
                         host->index);
    }
    return true;
}

/* What has left, and was never one of ours or is not any more, takes no room. */
static bool memory_is_right(const struct host *host, char *why, size_t size)
{
    for (size_t i = 0; host->engine && i < host->engine->vms_count; i++) {
        const struct vm *vm = host->engine->vms[i];
        int domain = domain_of_uuid(vm->record.uuid);
        const struct presence *on = &world.domains[domain].on[host->index];
        if (!vm->recorded && !vm->grants_count && !on->exists && !on->active)
            return wrong(why, size, "h%d remembers domain %d, which has left and is none of ours", host->index, domain);
    }
    return true;
}

bool converged(char *why, size_t size)
{
    for (unsigned h = 0; h < world.hosts_count; h++)
        if (!policies_are_right(&world.hosts[h], why, size) || !memory_is_right(&world.hosts[h], why, size) || !leases_are_right(&world.hosts[h], why, size))
            return false;
    for (unsigned h = 0; h < world.hosts_count; h++)
        for (unsigned d = 0; d < world.domains_count; d++)
            if (!is_right(&world.domains[d], &world.hosts[h], why, size))
                return false;
    return true;
}
