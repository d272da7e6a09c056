/* What must hold at every step (I1, I4, I6) and at every change of a row (I2, I3, I5, write-ahead, generations); what must
 * hold in the end is in settled.c. The numbers are those of SECURITY.md. */
#include "world.h"

#include "lifecycle/budget.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int provider_index(const char *name)
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

const struct remote_key *key_by_id(int provider, const char *id)
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

/* The newer one cannot be renewed, and would wait for its own successor for more than half of what it has left. */
static bool ends_before_it_can_be_replaced(int provider, const struct ledger_row_key *newer, int64_t overlap_ends)
{
    const struct remote_key *key = key_by_id(provider, newer->record.remote_id);
    return key && key->ends_at && (overlap_ends - world.clock) * 2 > key->ends_at - world.clock;
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
    else if (world.clock < before->retiring_at + overlap &&
             !ends_before_it_can_be_replaced(provider, newer, before->retiring_at + overlap))
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
