/* What must hold at every step (I1, I4, I6), at every change of a row (I2, I3, I5, write-ahead, generations) and in the
 * end (I8). The numbers are those of SECURITY.md. */
#include "world.h"

#include "lifecycle/budget.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int provider_index(const char *name)
{
    return name[1] - '0';
}

static const struct ledger_row_key *row_called(const struct ledger *ledger, const char *name)
{
    for (unsigned i = ledger->keys_count; i > 0; i--)
        if (strcmp(ledger->keys[i - 1].record.name, name) == 0)
            return &ledger->keys[i - 1];
    return NULL;
}

static const struct ledger_row_key *row_with_id(const struct ledger *ledger, const char *remote_id)
{
    for (unsigned i = ledger->keys_count; i > 0; i--)
        if (strcmp(ledger->keys[i - 1].record.remote_id, remote_id) == 0)
            return &ledger->keys[i - 1];
    return NULL;
}

static const struct ledger_row_key *row_of(struct remote_key *key)
{
    const struct ledger *ledger = &world.hosts[key->host].ledger;
    if (key->row != NEVER_ID)
        return ledger_key(ledger, key->row);
    const struct ledger_row_key *row = row_called(ledger, key->name);
    key->row = row ? row->record.id : NEVER_ID;
    return row;
}

/* --- at every step --- */

/* I1: every live key in our namespace has a live row that will lead to its end. */
static void check_key(struct remote_key *key, const struct ledger_row_key *row)
{
    if (!row || row->record.state == KEY_REVOKED) {
        violated("I1", "key %s called %s is alive and %s", key->id, key->name, row ? "its row has ended" : "has no row");
        return;
    }
    const struct key_record *record = &row->record;
    did(CHECKED_LIVE_KEYS);
    switch (record->state) {
    case KEY_PLANNED:
        violated("I1", "key %s called %s is alive, and its row says that it was never made", key->id, key->name);
        break;
    case KEY_MINTING:
        break;
    case KEY_MINTED:
    case KEY_ACTIVE:
    case KEY_SUSPENDED:
    case KEY_RETIRING:
    case KEY_REVOKING:
        /* Of two under one name the one whose id we do not have is found only when the name is looked for. */
        if (!record->unknown && strcmp(record->remote_id, key->id) != 0)
            violated("I1", "key %s called %s is alive, its row knows only %s and does not look for the name", key->id,
                     key->name, record->remote_id);
        break;
    case KEY_REVOKED:
        break;
    }
}

static void check_container(const struct remote_container *container, const struct remote *remote)
{
    const struct ledger *ledger = &world.hosts[container->host].ledger;
    did(CHECKED_CONTAINERS);
    for (unsigned i = 0; i < ledger->containers_count; i++) {
        const struct container_record *record = &ledger->containers[i];
        if (record->state != CONTAINER_ARCHIVED && record->kind != CONTAINER_GIVEN &&
            provider_index(record->provider) == (int)(remote - world.remotes) &&
            strcspn(record->name, " ") == strcspn(container->name, " ") &&
            strncmp(record->name, container->name, strcspn(record->name, " ")) == 0)
            return;
    }
    violated("I1", "container %s called %s is open and no row is about it", container->id, container->name);
}

/* A key whose secret we have, and so perhaps the guest. */
struct usable {
    const struct remote_key *key;
    const struct ledger_row_key *row;
};

/* One that retires goes on with that, even if the successor that had been proven has ended since and another is being made:
 * it does not end before that one is proven. */
static bool was_replaced(const struct ledger *ledger, const struct key_record *old)
{
    for (unsigned i = ledger->keys_count; i > 0; i--) {
        const struct key_record *newer = &ledger->keys[i - 1].record;
        if (newer->grant_id == old->grant_id && newer->generation > old->generation && newer->active_at)
            return true;
    }
    return false;
}

/* I4: two usable keys only while one replaces the other; I5: the overlap begins when the new one is proven. The new one
 * has no budget of its own (I6): it is in the same container. */
static void check_two(struct usable one, struct usable other, const struct remote *remote)
{
    struct usable old = one.row->record.generation < other.row->record.generation ? one : other;
    struct usable new = one.row->record.generation < other.row->record.generation ? other : one;
    did(CHECKED_TWO_KEYS);
    if (new.row->record.predecessor != old.row->record.id)
        violated("I4", "%s and %s are both usable, and neither replaces the other", old.row->record.name,
                 new.row->record.name);
    else if (old.row->record.state == KEY_RETIRING && !was_replaced(&world.hosts[old.key->host].ledger, &old.row->record))
        violated("I5", "%s retires, and its successor has not been proven", old.row->record.name);
    else if (old.key->container != new.key->container && !(remote->abilities & PROVIDER_CLAIMS))
        violated("I6", "%s and %s of %s have a budget each", old.row->record.name, new.row->record.name, remote->name);
}

void check_world(void)
{
    struct usable known[HOSTS_MAX][DOMAINS_MAX][2];
    unsigned count[HOSTS_MAX][DOMAINS_MAX];
    did(DID_CHECKS);
    for (unsigned p = 0; p < world.providers_count && !world.failed; p++) {
        struct remote *remote = &world.remotes[p];
        memset(count, 0, sizeof count);
        while (remote->keys_from < remote->keys_count && remote->keys[remote->keys_from].removed_at)
            remote->keys_from++;
        for (unsigned i = remote->keys_from; i < remote->keys_count; i++) {
            struct remote_key *key = &remote->keys[i];
            if (key->removed_at || key->host < 0)
                continue;
            const struct ledger_row_key *row = row_of(key);
            check_key(key, row);
            /* One whose minting was never answered was given to nobody, though what was chosen for it is kept. */
            if (!row || !row->has_secret || !row->record.minted_at || strcmp(row->record.remote_id, key->id) != 0)
                continue;
            unsigned before = count[key->host][key->domain]++;
            struct usable this = {key, row};
            if (before < 2)
                known[key->host][key->domain][before] = this;
            else
                violated("I4", "domain %d has %u usable keys of %s", key->domain, before + 1, remote->name);
            if (before == 1)
                check_two(known[key->host][key->domain][0], this, remote);
        }
        for (unsigned i = 0; i < remote->containers_count; i++)
            if (!remote->containers[i].archived_at && remote->containers[i].host >= 0 && !remote->containers[i].twin)
                check_container(&remote->containers[i], remote);
    }
}

/* --- at every change of a row --- */

static unsigned live_under(const char *name)
{
    unsigned count = 0;
    for (unsigned p = 0; p < world.providers_count; p++)
        for (unsigned i = world.remotes[p].keys_from; i < world.remotes[p].keys_count; i++)
            if (!world.remotes[p].keys[i].removed_at && strcmp(world.remotes[p].keys[i].name, name) == 0)
                count++;
    return count;
}

static const struct remote_key *key_by_id(int provider, const char *id)
{
    const struct remote *remote = &world.remotes[provider];
    for (unsigned i = remote->keys_count; i > 0; i--)
        if (strcmp(remote->keys[i - 1].id, id) == 0)
            return &remote->keys[i - 1];
    return NULL;
}

/* The newest key of the same grant that has been proven. */
static const struct ledger_row_key *proven_successor(const struct ledger *ledger, const struct key_record *record)
{
    for (unsigned i = ledger->keys_count; i > 0; i--) {
        const struct key_record *newer = &ledger->keys[i - 1].record;
        if (newer->grant_id == record->grant_id && newer->generation > record->generation && newer->active_at &&
            newer->state != KEY_REVOKED && newer->state != KEY_REVOKING)
            return &ledger->keys[i - 1];
    }
    return NULL;
}

/* I5: an overlap begins when the guest has proven the newer key, which check_active() saw to. */
static void check_retiring(const struct ledger *ledger, const struct key_record *record)
{
    const struct ledger_row_key *newer = proven_successor(ledger, record);
    const struct grant_record *grant = ledger_grant(ledger, record->grant_id);
    if (!newer)
        violated("I5", "%s begins to retire, and nothing newer is proven", record->name);
    else if (grant && record->generation <= grant->replace_through)
        did(DID_ROTATIONS_ASKED);
    else
        did(DID_ROTATIONS_DUE);
}

/* What was replaced is ended after its overlap, and not while the guest has nothing newer. True: it is such an end. */
static bool is_overlap_end(const struct ledger *ledger, const struct key_record *before,
                           const struct grant_record *grant, const struct domain *domain, int provider)
{
    if (before->state != KEY_RETIRING)
        return false;
    const struct ledger_row_key *newer = proven_successor(ledger, before);
    uint64_t secret = ledger_key(ledger, before->id)->secret;
    int64_t overlap = grant->overlap_ms > 0 && before->generation > grant->hurry_through ? grant->overlap_ms : 0;
    if (!newer)
        violated("I5", "%s is ended, and nothing newer is proven", before->name);
    else if (world.clock < before->retiring_at + overlap)
        violated("I5", "%s is ended after %" PRId64 " ms of an overlap of %" PRId64, before->name,
                 world.clock - before->retiring_at, overlap);
    else if (domain->holds[provider] == secret && newer->secret != secret && !domain->lied_at && !domain->behind)
        violated("I5", "%s is ended, and the guest has nothing newer", before->name);
    did(DID_OVERLAPS_ENDED);
    return true;
}

/* What it has cost takes a key away whatever its domain does. */
static bool was_over_budget(const struct domain *domain, int provider, const struct key_record *record)
{
    return domain->over[provider] || domain->over_at[provider] >= record->created_at;
}

/* A boot that has not come as far as its guest can lose its key to an earlier stop that is heard of late. */
static bool may_be_taken_for_stopped(const struct ledger *ledger, const struct key_record *before,
                                     const struct domain *domain, int provider)
{
    enum { LATE_STOP_MS = 60000 };
    return before->state == KEY_MINTED && domain->holds[provider] != ledger_key(ledger, before->id)->secret &&
           world.clock < domain->on[ledger->host].boot_at + LATE_STOP_MS;
}

/* I3: what a domain may be using is not taken from it. */
static void check_end(const struct ledger *ledger, const struct key_record *before, const struct key_record *record)
{
    const struct grant_record *grant = ledger_grant(ledger, record->grant_id);
    if (!grant || grant->held_at)
        return;
    int provider = provider_index(grant->provider);
    const struct domain *domain = &world.domains[domain_of_uuid(grant->domain)];
    if (!(domain->wanted & 1u << provider) || domain->unwanted_at[provider] >= record->created_at)
        return;
    if (may_be_taken_for_stopped(ledger, before, domain, provider))
        return;
    /* One that vanished, and may be made yet, has lost its id with this step. */
    const struct remote_key *key = key_by_id(provider, before->remote_id[0] ? before->remote_id : record->remote_id);
    int64_t off_at = domain_off_at(domain, provider, key, ledger->host);
    if (was_over_budget(domain, provider, record) || (key && key->removed_at))
        return;
    did(CHECKED_ENDS);
    if (off_at < record->created_at && !is_overlap_end(ledger, before, grant, domain, provider))
        violated("I3", "%s is revoked, and its domain has been in use ever since it was planned", record->name);
}

/* I3: nor is it refused for a while, unless its domain is saved, or was since, and that is what is to become of it then. */
static void check_suspension(const struct ledger *ledger, const struct key_record *before, const struct key_record *record)
{
    const struct grant_record *grant = ledger_grant(ledger, record->grant_id);
    int provider = provider_index(grant->provider);
    const struct domain *domain = &world.domains[domain_of_uuid(grant->domain)];
    const struct presence *on = &domain->on[ledger->host];
    if (!(world.remotes[provider].abilities & PROVIDER_CAN_SUSPEND))
        violated("abilities", "%s is suspended, and %s cannot", record->name, grant->provider);
    if (may_be_taken_for_stopped(ledger, before, domain, provider))
        return;
    if (was_over_budget(domain, provider, record) ||
        (grant->on_save == POLICY_FATE_SUSPEND &&
         (on->saved_at >= record->created_at || (!on->active && (on->managed_save || on->saved_file)))))
        return;
    did(CHECKED_SUSPENSIONS);
    if (domain_off_at(domain, provider, key_by_id(provider, record->remote_id), ledger->host) < record->created_at)
        violated("I3", "%s is suspended, and its domain has been in use ever since it was planned", record->name);
}

/* I5: active means that the guest had it. */
static void check_active(const struct ledger *ledger, const struct ledger_row_key *row)
{
    const struct grant_record *grant = ledger_grant(ledger, row->record.grant_id);
    if (!grant)
        return;
    const struct domain *domain = &world.domains[domain_of_uuid(grant->domain)];
    int provider = provider_index(grant->provider);
    if (domain->lied_at)
        return;
    did(CHECKED_PROOFS);
    if (domain->holds[provider] != row->secret && domain->given[ledger->host][provider] != row->secret)
        violated("I5", "%s is active, and the guest never had it", row->record.name);
}

static bool is_alive(const struct ledger *ledger, const struct key_record *record)
{
    const struct grant_record *grant = ledger_grant(ledger, record->grant_id);
    const struct remote_key *key = record->remote_id[0] ? key_by_id(provider_index(grant->provider), record->remote_id) : NULL;
    return key && !key->removed_at;
}

/* I6: a new generation is asked for with what those before it have spent. */
static void check_budget(const struct ledger *ledger, const struct key_record *record)
{
    const struct grant_record *grant = ledger_grant(ledger, record->grant_id);
    int provider = provider_index(grant->provider);
    const struct domain *domain = &world.domains[domain_of_uuid(grant->domain)];
    if (!(world.remotes[provider].abilities & PROVIDER_CAN_CHANGE_LIMIT) ||
        (world.remotes[provider].abilities & PROVIDER_CLAIMS))
        return;
    did(CHECKED_BUDGETS);
    if ((record->spent_before != domain->spent[provider] || record->spent_month != domain->month[provider]))
        violated("I6", "%s is asked for as if %" PRId64 " had been spent, and it was %" PRId64, record->name,
                 record->spent_before, domain->spent[provider]);
}

void check_key_change(struct ledger *ledger, const struct key_record *before, const struct key_record *after)
{
    if (!before) {
        if (after->state != KEY_PLANNED)
            violated("write-ahead", "%s begins as %s", after->name, key_state_name(after->state));
        did(CHECKED_NEW_ROWS);
        for (unsigned i = 0; i + 1 < ledger->keys_count; i++)
            if (ledger->keys[i].record.grant_id == after->grant_id &&
                ledger->keys[i].record.generation >= after->generation)
                violated("generations", "%s is not newer than what there was", after->name);
        return;
    }
    if (before->state == after->state)
        return;
    if (before->state == KEY_REVOKED || (before->state == KEY_REVOKING && after->state != KEY_REVOKED))
        violated("I2", "%s comes back from the dead", after->name);
    if (after->state == KEY_REVOKED) {
        did(CHECKED_ROW_ENDS);
        if (live_under(after->name) || is_alive(ledger, after))
            violated("I2", "the row of %s ends, and the provider still has such a key", after->name);
    }
    if (after->state == KEY_MINTING)
        check_budget(ledger, after);
    if (after->state == KEY_REVOKING && before->state != KEY_MINTING) /* of which nobody knows whether it was made */
        check_end(ledger, before, after);
    if (after->state == KEY_SUSPENDED)
        check_suspension(ledger, before, after);
    if (after->state == KEY_RETIRING && before->state != KEY_SUSPENDED)
        check_retiring(ledger, after);
    if (after->state == KEY_ACTIVE)
        check_active(ledger, ledger_key(ledger, after->id));
}

/* What an operator takes stays away until the next boot. An event that came late may tell of this one as of a new one. */
static void check_hold_ends(const struct ledger *ledger, const struct grant_record *grant)
{
    const struct host *host = &world.hosts[ledger->host];
    const struct domain *domain = &world.domains[domain_of_uuid(grant->domain)];
    const struct presence *on = &domain->on[ledger->host];
    int64_t taken_at = on->taken_at[provider_index(grant->provider)];
    if (host->event_fault_until && world.clock < host->event_fault_until + 10000)
        return;
    did(CHECKED_HOLDS_ENDED);
    if (on->active && taken_at > on->boot_at && taken_at > on->up_at + 1000)
        violated("hold", "domain %d may have keys of %s again, and an operator took what this boot had",
                 domain_of_uuid(grant->domain), grant->provider);
}

void check_generation(struct ledger *ledger, const struct grant_record *before, const struct grant_record *after)
{
    if (before->held_at && !after->held_at && !after->ended_at)
        check_hold_ends(ledger, after);
    if (after->last_generation < before->last_generation)
        violated("generations", "grant %" PRId64 " goes back to generation %" PRId64, after->id, after->last_generation);
}

/* Write-ahead: nothing is made that the ledger did not say would be. */
void check_mint_executes(int host, const char *name, int64_t limit, const struct remote *remote,
                         const struct remote_container *container)
{
    bool limits_container = container->host >= 0 && (remote->abilities & PROVIDER_CAN_LIMIT_CONTAINER);
    bool limits_key = remote->abilities & PROVIDER_CAN_LIMIT_KEY;
    did(CHECKED_MINTS);
    if (limits_container)
        did(CHECKED_CONTAINER_LIMITS);
    if (limits_key)
        did(CHECKED_FIRST_LIMITS);
    if (limits_container && container->limit <= 0)
        violated("I6", "%s is made in a container without a limit", name);
    if (limits_key && limit <= 0)
        violated("I6", "%s is made without a limit of its own", name);
    const struct ledger_row_key *row = row_called(&world.hosts[host].ledger, name);
    if (!row)
        violated("write-ahead", "%s is made, and no row says so", name);
    else if (row->record.state == KEY_PLANNED)
        violated("write-ahead", "%s is made, and its row does not say that it was asked for", name);
}

void check_claim_executes(int host, const char *name, const struct remote_key *key)
{
    const struct ledger_row_key *row = row_called(&world.hosts[host].ledger, name);
    did(CHECKED_CLAIMS);
    if (key->pool_of != host || (key->host >= 0 && strcmp(key->name, name) != 0))
        violated("pool", "%s is claimed for %s, and it is %s", key->id, name, key->host >= 0 ? key->name : "another host's");
    else if (!row || strcmp(row->record.remote_id, key->id) != 0)
        violated("write-ahead", "%s is claimed, and no row says so", name);
    else if (row->record.state == KEY_SUSPENDED && row->record.suspended_at)
        violated("write-ahead", "%s works from now on, and its row says that it is suspended", name);
}

/* Write-ahead, and nothing that was lost on its way undoes what was asked for since. */
void check_switch_executes(int host, const struct remote_key *key, bool suspends)
{
    const struct ledger_row_key *row = row_with_id(&world.hosts[host].ledger, key->id);
    did(suspends ? CHECKED_SWITCHED_OFF : CHECKED_SWITCHED_ON);
    if (!row)
        violated("write-ahead", "%s is switched, and no row is about it", key->name);
    else if (suspends && row->record.state != KEY_SUSPENDED && row->record.state != KEY_REVOKING &&
             row->record.state != KEY_REVOKED)
        violated("write-ahead", "%s is refused from now on, and its row says %s", key->name, key_state_name(row->record.state));
    else if (!suspends && row->record.state == KEY_SUSPENDED && row->record.suspended_at)
        violated("write-ahead", "%s is taken again, and its row says that it is suspended", key->name);
}

/* Write-ahead, and the end: nothing is signed for a domain that is known to be off. */
void check_signing(int host, const char *name, const struct remote *remote)
{
    const struct ledger_row_key *row = row_called(&world.hosts[host].ledger, name);
    const struct domain *domain = &world.domains[name[46] - '0'];
    const struct presence *on = &domain->on[host];
    /* What is exchanged may come late. */
    if (!row || row->record.state == KEY_PLANNED || (row->record.state != KEY_MINTING && !remote->exchanges))
        violated("write-ahead", "%s is signed, and no row says that it would be", name);
    if (world.settled)
        did(CHECKED_SIGNED_AT_REST);
    if (world.settled && !on->active)
        violated("signing", "%s is signed, and domain %d is off and known to be", name, (int)(domain - world.domains));
    if (row && row->record.predecessor)
        did(DID_REFRESHED);
}

/* Where nothing is wrong, what a running guest has is replaced before it ends. */
void check_token_end(const struct token *token, int provider)
{
    const struct domain *domain = &world.domains[token->domain];
    const struct presence *on = &domain->on[token->host];
    if (!world.settled || !on->active || !on->agent_connected || on->paused)
        return;
    did(CHECKED_TOKEN_ENDS);
    if (domain->holds[provider] == token->secret)
        violated("refresh", "a token of p%d ends, and domain %d has nothing newer", provider, token->domain);
}

void check_revoke_executes(int host, const struct remote_key *key, int provider)
{
    (void)provider;
    if (key->host != host && key->pool_of != host) {
        violated("foreign", "h%d removes %s, which is not its own", host, key->name);
        return;
    }
    /* What was claimed in vain has not got our name. */
    const struct ledger_row_key *row = key->host < 0 ? row_with_id(&world.hosts[host].ledger, key->id)
                                                     : row_called(&world.hosts[host].ledger, key->name);
    did(CHECKED_REMOVALS);
    if (!row)
        violated("write-ahead", "%s is removed, and no row says so", key->name);
    else if (row->record.state != KEY_REVOKING && row->record.state != KEY_REVOKED)
        violated("I2", "%s is removed while its row says %s", key->name, key_state_name(row->record.state));
}

/* --- in the end --- */

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

bool converged(char *why, size_t size)
{
    for (unsigned h = 0; h < world.hosts_count; h++)
        if (!policies_are_right(&world.hosts[h], why, size) || !leases_are_right(&world.hosts[h], why, size))
            return false;
    for (unsigned h = 0; h < world.hosts_count; h++)
        for (unsigned d = 0; d < world.domains_count; d++)
            if (!is_right(&world.domains[d], &world.hosts[h], why, size))
                return false;
    return true;
}
