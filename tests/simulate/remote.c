/* Providers: lossy, slow and lying as far as the design promises to bear it, and no further: what was made shows in
 * lists within PLAN_SETTLE_MS of the doubt about it, and "gone" means gone, but of an account. */
#include "call.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { POOL_CONTAINER = 9999 /* somewhere that is no matter of ours */ };
static const int64_t LEASE_FOR_GOOD_MS = INT64_C(100) * 86400 * 1000;

unsigned remote_sets(const struct remote *remote)
{
    static const struct {
        unsigned ability;
        enum capability_set set;
    } sets[] = {
        {PROVIDER_CAN_SUSPEND, SET_SUSPENDS}, {PROVIDER_CLAIMS, SET_CLAIMS}, {PROVIDER_CHOOSES_SECRET, SET_CHOOSES},
        {PROVIDER_CAN_LIMIT_KEY, SET_LIMITS_KEYS}, {PROVIDER_LEASES, SET_LEASES}, {PROVIDER_SHARED, SET_SHARED},
        {PROVIDER_EXPIRES, SET_EXPIRES},
    };
    unsigned all = 0;
    for (unsigned i = 0; i < sizeof sets / sizeof sets[0]; i++)
        if (remote->abilities & sets[i].ability)
            all |= 1u << sets[i].set;
    return all ? all : 1u << SET_PLAIN;
}

bool remote_is_own(const struct remote *remote)
{
    return remote->abilities & (PROVIDER_SHARED | PROVIDER_EXPIRES);
}

/* What needs no provider to make: the host's own key, or what it signs. */
static void draw_own(struct remote *remote)
{
    enum { SIGNED, EXCHANGED, COPIED, OWN, OF = 20 } what = (int)(chance(BY_SETS) % OF);
    if (what >= OWN)
        return;
    remote->abilities = PROVIDER_CAN_MINT | PROVIDER_CAN_LIST | (what == COPIED ? PROVIDER_SHARED : PROVIDER_EXPIRES);
    remote->exchanges = what == EXCHANGED;
    remote->project = PROVIDER_ACCOUNT;
    for (unsigned h = 0; h < HOSTS_MAX; h++)
        remote->shared[h] = ++world.next_secret;
}

const struct token *remote_token(const struct remote *remote, int host, int domain, uint64_t secret)
{
    unsigned kept = remote->tokens_count < TOKENS_MAX ? remote->tokens_count : TOKENS_MAX;
    for (unsigned i = 0; i < kept; i++) {
        const struct token *token = &remote->tokens[i];
        if (token->secret == secret && token->host == host && token->domain == domain && token->ends_at > world.clock)
            return token;
    }
    return NULL;
}

void remote_reset(void)
{
    static const char *const projects[] = {"per-domain", "per-domain", "per-domain", "per-owner", "given1"};
    requests_reset();
    for (unsigned p = 0; p < world.providers_count; p++) {
        struct remote *remote = &world.remotes[p];
        memset(remote->faults, 0, sizeof remote->faults);
        remote->containers_count = remote->keys_count = remote->keys_from = remote->tokens_count = 0;
        remote->exchanges = false;
        snprintf(remote->name, sizeof remote->name, "p%u", p % 10);
        remote->project = projects[chance(BY_REMOTE + p) % 5];
        unsigned all = PROVIDER_CAN_MINT | PROVIDER_CAN_LIST | PROVIDER_CAN_CONTAIN | PROVIDER_CAN_ARCHIVE |
                       PROVIDER_CAN_LIMIT_CONTAINER | PROVIDER_CAN_RATE_LIMIT;
        unsigned what = (unsigned)(chance(BY_REMOTE + p) % 4);
        remote->abilities = what == 1   ? all & ~(unsigned)PROVIDER_CAN_RATE_LIMIT
                            : what == 2 ? all & ~(unsigned)(PROVIDER_CAN_LIMIT_CONTAINER | PROVIDER_CAN_RATE_LIMIT)
                                        : all;
        if (chance_of(BY_ABILITIES, 50))
            remote->abilities |= PROVIDER_CAN_SUSPEND;
        if (chance_of(BY_ABILITIES, 25))
            remote->abilities |= PROVIDER_CAN_SUSPEND | PROVIDER_CLAIMS;
        else if (chance_of(BY_ABILITIES, 33))
            remote->abilities |= PROVIDER_CHOOSES_SECRET;
        /* One account for all, with a limit on each key. */
        if (chance_of(BY_ABILITIES, 20)) {
            remote->abilities &= ~(unsigned)(PROVIDER_CAN_CONTAIN | PROVIDER_CAN_ARCHIVE | PROVIDER_CAN_LIMIT_CONTAINER |
                                            PROVIDER_CAN_RATE_LIMIT);
            remote->abilities |= PROVIDER_CAN_LIMIT_KEY | PROVIDER_CAN_CHANGE_LIMIT;
            remote->project = PROVIDER_ACCOUNT;
            if (!(remote->abilities & (PROVIDER_CLAIMS | PROVIDER_CHOOSES_SECRET)) && chance_of(BY_LEASES, 60))
                remote->abilities = PROVIDER_CAN_MINT | PROVIDER_CAN_LIST | PROVIDER_LEASES;
        }
        if (world.script.every_set)
            draw_own(remote);
        for (unsigned set = 0; set < SETS; set++)
            if (remote_sets(remote) & 1u << set)
                did(WORLDS_OF + set);
        if (strcmp(remote->project, "given1") == 0 || strcmp(remote->project, PROVIDER_ACCOUNT) == 0) {
            struct remote_container *given = &remote->containers[remote->containers_count++];
            memset(given, 0, sizeof *given);
            snprintf(given->id, sizeof given->id, "%s", remote->project);
            snprintf(given->name, sizeof given->name, "somebody's");
            given->host = -1;
            given->made_at = world.clock;
        }
    }
}

/* A pool of three runs dry. */
void remote_fill_pool(struct host *host)
{
    for (unsigned p = 0; p < world.providers_count; p++) {
        struct remote *remote = &world.remotes[p];
        if (!(remote->abilities & PROVIDER_CLAIMS))
            continue;
        unsigned count = chance_of(BY_ABILITIES, 25) ? 3 : POOL_MAX / PROVIDERS_MAX;
        for (unsigned i = 0; i < count && remote->keys_count < sizeof remote->keys / sizeof remote->keys[0]; i++) {
            struct remote_key *key = &remote->keys[remote->keys_count++];
            *key = (struct remote_key){.container = POOL_CONTAINER, .host = -1, .domain = -1, .made_at = world.clock,
                                       .secret = ++world.next_secret, .row = NEVER_ID, .suspended = true, .pool_of = host->index};
            snprintf(key->id, sizeof key->id, "k%u", ++world.next_id);
            snprintf(key->name, sizeof key->name, "pooled %u", i);
            ledger_pool_fill(&host->ledger, remote->name, key->id, key->secret);
        }
    }
}

void remote_calm(void)
{
    for (unsigned p = 0; p < world.providers_count; p++)
        memset(world.remotes[p].faults, 0, sizeof world.remotes[p].faults);
}

/* --- what is there --- */

static struct remote_container *find_container(struct remote *remote, const char *id)
{
    for (unsigned i = 0; i < remote->containers_count; i++)
        if (strcmp(remote->containers[i].id, id) == 0)
            return &remote->containers[i];
    return NULL;
}

static bool lived_at(int64_t made_at, int64_t ended_at, int64_t when)
{
    return made_at <= when && (ended_at == 0 || ended_at > when);
}

static void make_container(struct remote *remote, const char *name, bool twin, char *ret_id)
{
    if (remote->containers_count == sizeof remote->containers / sizeof remote->containers[0]) {
        violated("harness", "too many containers");
        return;
    }
    struct remote_container *container = &remote->containers[remote->containers_count++];
    memset(container, 0, sizeof *container);
    snprintf(container->id, sizeof container->id, "c%u", ++world.next_id);
    snprintf(container->name, sizeof container->name, "%s", name);
    container->host = strncmp(name, "llmhook:h", 9) == 0 && name[9] < '0' + HOSTS_MAX ? name[9] - '0' : -1;
    container->made_at = world.clock;
    container->twin = twin;
    snprintf(ret_id, 24, "%s", container->id);
    tell("  %s now has container %s %s", remote->name, container->id, name);
}

/* Each key costs something, and none reaches the limit by it: that is an item of its own. */
static bool domain_has_left(int domain, unsigned provider)
{
    return world.domains[domain].spent[provider] < 20000000;
}

static void remove_key(struct remote *remote, struct remote_key *key)
{
    key->removed_at = world.clock;
    tell("  %s has no key %s any more", remote->name, key->id);
}

static void lapses(void *context, int64_t provider, int64_t ends_at)
{
    struct remote_key *key = context;
    if (key->removed_at || key->ends_at != ends_at)
        return;
    world.changed = true;
    did(DID_LAPSES);
    remove_key(&world.remotes[provider], key);
}

static void lease(struct remote *remote, struct remote_key *key, int64_t life_ms)
{
    key->ends_at = world.clock + life_ms;
    at(key->ends_at, -1, lapses, key, remote - world.remotes, key->ends_at);
}

static void make_key(struct remote *remote, unsigned container, const char *name, bool twin, struct call *call)
{
    if (remote->keys_count == sizeof remote->keys / sizeof remote->keys[0]) {
        violated("harness", "too many keys");
        return;
    }
    struct remote_key *key = &remote->keys[remote->keys_count++];
    memset(key, 0, sizeof *key);
    snprintf(key->id, sizeof key->id, "k%u", ++world.next_id);
    snprintf(key->name, sizeof key->name, "%s", name);
    key->container = container;
    bool ours = strncmp(name, "llmhook:h", 9) == 0 && name[9] < '0' + HOSTS_MAX && strlen(name) > 47;
    key->host = ours ? name[9] - '0' : -1;
    key->domain = ours ? name[46] - '0' : -1;
    key->made_at = world.clock;
    key->secret = call && call->chosen ? call->chosen : ++world.next_secret;
    key->twin = twin;
    key->row = NEVER_ID;
    key->pool_of = -1;
    if (call)
        key->limit = call->call.monthly_limit, key->limit_asked_at = call->sent_at;
    if (call && (remote->abilities & PROVIDER_LEASES))
        lease(remote, key, LEASE_MS);
    if (ours && domain_has_left(key->domain, (unsigned)(remote - world.remotes)))
        world.domains[key->domain].spent[remote - world.remotes] += 1000000;
    if (ours && call && call->awaited)
        world.domains[key->domain].removed_by_outsider[key->host][remote - world.remotes] = false;
    if (call) {
        snprintf(call->id, sizeof call->id, "%s", key->id);
        call->secret = key->secret;
    }
    did(DID_MINTS);
    tell("  %s now has key %s %s", remote->name, key->id, name);
}

/* --- one request is carried out --- */

/* One that was asked for earlier and is carried out later undoes nothing here: that the daemon's poll would see it and set
 * it again is not simulated. */
static void set_limit(struct remote_key *key, const struct call *call)
{
    if (call->sent_at < key->limit_asked_at)
        return;
    key->limit = call->call.monthly_limit;
    key->limit_asked_at = call->sent_at;
}

/* Where we choose what a key is, there is one of a name: asked for again it is the same, and another one is refused. */
static bool is_made_already(struct call *call, struct remote *remote, bool twin)
{
    for (unsigned i = 0; call->chosen && i < remote->keys_count; i++) {
        struct remote_key *key = &remote->keys[i];
        if (key->removed_at || strcmp(key->name, call->call.key_name) != 0)
            continue;
        snprintf(call->id, sizeof call->id, "%s", key->id);
        call->secret = key->secret;
        call->outcome = key->secret == call->chosen ? OUTCOME_OK : OUTCOME_UNKNOWN;
        if (call->outcome == OUTCOME_OK) {
            set_limit(key, call); /* the driver reads it back and corrects it */
            if (!twin)
                did(DID_REPEATS);
        }
        return true;
    }
    return false;
}

static void find_containers(struct call *call, struct remote *remote, int64_t when)
{
    size_t length = strlen(call->call.container_name);
    for (unsigned i = 0; i < remote->containers_count && call->found_count < CALL_ITEMS_MAX; i++) {
        const struct remote_container *container = &remote->containers[i];
        if (strncmp(container->name, call->call.container_name, length) == 0 &&
            (container->name[length] == ' ' || !container->name[length]) &&
            lived_at(container->made_at, container->archived_at, when))
            snprintf(call->found[call->found_count++], 24, "%s", container->id);
    }
    call->outcome = OUTCOME_OK;
}

static bool is_in(const struct remote *remote, const struct remote_key *key, const struct remote_container *container)
{
    return key->container != POOL_CONTAINER && &remote->containers[key->container] == container;
}

static void find_keys(struct call *call, struct remote *remote, int64_t when)
{
    for (unsigned i = 0; i < remote->keys_count && call->found_count < CALL_ITEMS_MAX; i++) {
        const struct remote_key *key = &remote->keys[i];
        if (strcmp(key->name, call->call.key_name) == 0 && lived_at(key->made_at, key->removed_at, when) &&
            key->container != POOL_CONTAINER && strcmp(remote->containers[key->container].id, call->call.container_id) == 0)
            snprintf(call->found[call->found_count++], 24, "%s", key->id);
    }
    call->outcome = OUTCOME_OK;
}

static void archive(struct remote *remote, struct remote_container *container)
{
    container->archived_at = world.clock;
    tell("  %s has archived container %s", remote->name, container->id);
    for (unsigned i = 0; i < remote->keys_count; i++)
        if (!remote->keys[i].removed_at && is_in(remote, &remote->keys[i], container))
            remove_key(remote, &remote->keys[i]);
}

static void revoke(struct call *call, struct remote *remote)
{
    call->outcome = OUTCOME_GONE;
    for (unsigned i = 0; i < remote->keys_count; i++) {
        struct remote_key *key = &remote->keys[i];
        if (strcmp(key->id, call->call.key_id) != 0 || key->removed_at)
            continue;
        check_revoke_executes(call->host, key, (int)call->remote);
        remove_key(remote, key);
        did(DID_REVOKES);
        call->outcome = OUTCOME_OK;
    }
}

static void give_name(struct remote_key *key, const char *name)
{
    memcpy(key->name, name, sizeof key->name);
    key->host = key->pool_of;
    key->domain = key->name[46] - '0';
}

/* One that exists already gets our name and works. */
static void claim(struct call *call, struct remote *remote)
{
    call->outcome = OUTCOME_GONE;
    for (unsigned i = 0; i < remote->keys_count; i++) {
        struct remote_key *key = &remote->keys[i];
        if (strcmp(key->id, call->call.key_id) != 0 || key->removed_at)
            continue;
        check_claim_executes(call->host, call->call.key_name, key);
        give_name(key, call->call.key_name);
        key->suspended = false;
        if (call->awaited)
            world.domains[key->domain].removed_by_outsider[key->host][remote - world.remotes] = false;
        snprintf(call->id, sizeof call->id, "%s", key->id);
        did(DID_MINTS);
        tell("  %s calls key %s %s", remote->name, key->id, key->name);
        call->outcome = OUTCOME_OK;
    }
}

/* It is what it is asked to be, however often it is asked. */
static void suspend_or_resume(struct call *call, struct remote *remote)
{
    bool suspends = call->call.verb == PROVIDER_SUSPEND_KEY;
    call->outcome = OUTCOME_GONE;
    for (unsigned i = 0; i < remote->keys_count; i++) {
        struct remote_key *key = &remote->keys[i];
        if (strcmp(key->id, call->call.key_id) != 0 || key->removed_at)
            continue;
        check_switch_executes(call->host, key, suspends);
        key->suspended = suspends;
        if (!suspends && key->pool_of >= 0 && key->host < 0)
            give_name(key, call->call.key_name);
        did(suspends ? DID_SUSPENDS : DID_RESUMES);
        tell("  %s %s key %s", remote->name, suspends ? "refuses" : "takes", key->id);
        call->outcome = OUTCOME_OK;
    }
}

/* What is left of its grant's budget, or all of it. */
static void limit_key(struct call *call, struct remote *remote)
{
    call->outcome = OUTCOME_GONE;
    for (unsigned i = 0; i < remote->keys_count; i++) {
        struct remote_key *key = &remote->keys[i];
        if (strcmp(key->id, call->call.key_id) != 0 || key->removed_at)
            continue;
        set_limit(key, call);
        did(DID_LIMITS);
        tell("  %s limits key %s to %" PRId64, remote->name, key->id, key->limit);
        call->outcome = OUTCOME_OK;
    }
}

/* As often as there are renewals in it, then it has to be replaced. */
static void renew(struct call *call, struct remote *remote)
{
    enum { RENEWALS_MAX = 3 };
    call->outcome = OUTCOME_GONE;
    for (unsigned i = 0; i < remote->keys_count; i++) {
        struct remote_key *key = &remote->keys[i];
        if (strcmp(key->id, call->call.key_id) != 0 || key->removed_at)
            continue;
        if (world.calm)
            lease(remote, key, LEASE_FOR_GOOD_MS);
        else if (key->renewals++ < RENEWALS_MAX)
            lease(remote, key, LEASE_MS);
        did(DID_RENEWALS);
        call->life_ms = key->ends_at - world.clock;
        call->last_life = !world.calm && key->renewals >= RENEWALS_MAX;
        tell("  %s lets key %s last for %" PRId64 " s", remote->name, key->id, call->life_ms / 1000);
        call->outcome = OUTCOME_OK;
    }
}

static void token_ends(void *context, int64_t which, int64_t secret)
{
    struct remote *remote = context;
    const struct token *token = &remote->tokens[which];
    if (token->secret == (uint64_t)secret)
        check_token_end(token, (int)(remote - world.remotes));
}

static void sign(struct call *call, struct remote *remote)
{
    struct token *token = &remote->tokens[remote->tokens_count++ % TOKENS_MAX];
    check_signing(call->host, call->call.key_name, remote);
    *token = (struct token){.host = call->host, .domain = call->call.key_name[46] - '0', .secret = ++world.next_secret,
                            .signed_at = world.clock, .ends_at = world.clock + TOKEN_MS};
    at(token->ends_at, -1, token_ends, remote, token - remote->tokens, (int64_t)token->secret);
    call->secret = token->secret;
    snprintf(call->id, sizeof call->id, "t%u", remote->tokens_count);
    did(DID_SIGNED);
    tell("  %s signs token %s for domain %d", world.hosts[call->host].id, call->id, token->domain);
}

/* What this host has or makes by itself: there is nothing to find, and nothing that could be taken back. */
static void execute_here(struct call *call, struct remote *remote)
{
    call->outcome = OUTCOME_OK;
    if (call->call.verb == PROVIDER_MINT_KEY && (remote->abilities & PROVIDER_EXPIRES)) {
        sign(call, remote);
    } else if (call->call.verb == PROVIDER_MINT_KEY || call->call.verb == PROVIDER_CHECK) {
        call->secret = remote->shared[call->host];
        snprintf(call->id, sizeof call->id, "shared-%" PRIu64, call->secret);
        if (call->call.verb == PROVIDER_MINT_KEY)
            did(DID_COPIED);
    } else if (call->call.verb != PROVIDER_FIND_KEYS && call->call.verb != PROVIDER_REVOKE_KEY) {
        violated("abilities", "%s is asked for verb %d", remote->name, (int)call->call.verb);
    }
}

void remote_execute(struct call *call, bool twin)
{
    struct remote *remote = &world.remotes[call->remote];
    if (remote_is_own(remote)) {
        world.changed = true;
        execute_here(call, remote);
        return;
    }
    struct remote_container *container = find_container(remote, call->call.container_id);
    int64_t when = world.clock;
    world.changed = true;
    if (call->fate == FATE_STALE) {
        when -= chance_between(BY_REMOTE + call->remote, 0, STALE_MAX_MS);
        did(FAULT_STALE);
    }
    bool there = container && !container->archived_at;
    switch (call->call.verb) {
    case PROVIDER_FIND_CONTAINER:
        find_containers(call, remote, when);
        return;
    case PROVIDER_CREATE_CONTAINER:
        make_container(remote, call->call.container_name, twin, call->id);
        call->outcome = OUTCOME_OK;
        return;
    case PROVIDER_LIMIT_CONTAINER:
        if (there)
            container->limit = call->call.monthly_limit;
        call->outcome = there ? OUTCOME_OK : OUTCOME_GONE;
        return;
    case PROVIDER_RATE_LIMIT_CONTAINER:
        call->outcome = there ? OUTCOME_OK : OUTCOME_GONE;
        return;
    case PROVIDER_ARCHIVE_CONTAINER:
        call->outcome = there ? OUTCOME_OK : OUTCOME_GONE;
        if (there)
            archive(remote, container);
        return;
    case PROVIDER_FIND_KEYS:
        if (there)
            find_keys(call, remote, when);
        else
            call->outcome = OUTCOME_GONE;
        return;
    case PROVIDER_MINT_KEY:
        if (remote->abilities & PROVIDER_CLAIMS) {
            claim(call, remote);
            return;
        }
        call->outcome = there ? OUTCOME_OK : OUTCOME_GONE;
        if (there) {
            check_mint_executes(call->host, call->call.key_name, call->call.monthly_limit, remote, container);
            if (!is_made_already(call, remote, twin))
                make_key(remote, (unsigned)(container - remote->containers), call->call.key_name, twin && !call->chosen, call);
        }
        return;
    case PROVIDER_REVOKE_KEY:
        revoke(call, remote);
        return;
    case PROVIDER_LIMIT_KEY:
        limit_key(call, remote);
        return;
    case PROVIDER_SUSPEND_KEY:
    case PROVIDER_RESUME_KEY:
        suspend_or_resume(call, remote);
        return;
    case PROVIDER_RENEW_KEY:
        renew(call, remote);
        return;
    case PROVIDER_INVENTORY:
    case PROVIDER_FIND_ADMIN_KEYS:
    case PROVIDER_CREATE_ADMIN_KEY:
    case PROVIDER_DELETE_ADMIN_KEY:
    case PROVIDER_IDENTIFY_KEY:
    case PROVIDER_USAGE:
    case PROVIDER_CHECK:
        break;
    }
    violated("harness", "verb %d is not simulated", (int)call->call.verb);
}

/* --- what outsiders do --- */

static void outsider(struct remote *remote, int64_t what, int64_t which)
{
    did(FAULT_OUTSIDER);
    if (remote_is_own(remote)) { /* nobody else can get at it; but the host's own key is replaced some day */
        remote->shared[which % HOSTS_MAX] = ++world.next_secret;
        did(DID_CHANGED_COPY);
        return;
    }
    if (what % 4 == 0 && remote->keys_count) {
        struct remote_key *key = &remote->keys[which % remote->keys_count];
        if (!key->removed_at && (key->pool_of < 0 || key->host >= 0)) {
            remove_key(remote, key);
            key->by_outsider = true;
        }
        if (key->domain >= 0)
            world.domains[key->domain].removed_by_outsider[key->host][remote - world.remotes] = true;
    } else if (what % 4 == 1 && remote->containers_count) {
        struct remote_container *container = &remote->containers[which % remote->containers_count];
        if (container->archived_at || container->host < 0)
            return;
        for (unsigned i = 0; i < remote->keys_count; i++)
            if (!remote->keys[i].removed_at && is_in(remote, &remote->keys[i], container) &&
                remote->keys[i].domain >= 0) {
                world.domains[remote->keys[i].domain].removed_by_outsider[remote->keys[i].host][remote - world.remotes] = true;
                remote->keys[i].by_outsider = true;
            }
        archive(remote, container);
    } else if (what % 4 == 2 && remote->containers_count) {
        make_key(remote, (unsigned)(which % remote->containers_count), what & 8 ? "their own" : "llmhook:h9:theirs", false, NULL);
    } else {
        char id[24];
        make_container(remote, what & 8 ? "their own" : "llmhook:h9:theirs", false, id);
    }
}

void remote_item(const struct item *item)
{
    struct remote *remote = &world.remotes[item->a % (int64_t)world.providers_count];
    world.changed = true;
    if (item->kind == ITEM_OUTSIDER) {
        outsider(remote, item->b, item->c);
        return;
    }
    unsigned slot = 0;
    for (unsigned i = 1; i < sizeof remote->faults / sizeof remote->faults[0]; i++)
        if (remote->faults[i].until < remote->faults[slot].until)
            slot = i;
    remote->faults[slot].kind = (unsigned)item->b;
    remote->faults[slot].until = world.clock + item->c;
}
