#include "lifecycle/plan.h"

#include "lifecycle/schedule.h"

#include <string.h>

enum { MINT_AGAIN_FIRST_MS = 250, MINT_AGAIN_CAP_MS = 30000 };

/* One look at one grant, while it is being worked out. */
struct look {
    const struct plan_facts *facts;
    const struct plan_grant *grant;
    size_t grant_index;
    int64_t now;
    struct plan *plan;
    struct plan_grant_status *status;
};

const char *agent_state_name(enum agent_state state)
{
    static const char *const names[] = {
        [AGENT_UNKNOWN] = "unknown", [AGENT_NO_CHANNEL] = "no-channel", [AGENT_DISCONNECTED] = "disconnected",
        [AGENT_CONNECTED] = "connected",
    };
    return names[state];
}

const char *plan_kind_name(enum plan_kind kind)
{
    static const char *const names[] = {
        [PLAN_NEW_KEY] = "plan key", [PLAN_DROP_KEY] = "drop key", [PLAN_PROVE_KEY] = "prove key", [PLAN_DOUBT_KEY] = "doubt key",
        [PLAN_RETIRE_KEY] = "retire key", [PLAN_END_KEY] = "end key", [PLAN_KEY_GONE] = "key gone",
        [PLAN_NEW_CONTAINER] = "plan container",
        [PLAN_DOUBT_CONTAINER] = "doubt container", [PLAN_DROP_CONTAINER] = "drop container",
        [PLAN_END_CONTAINER] = "end container", [PLAN_END_GRANT] = "end grant",
        [PLAN_FORGET_DOMAIN] = "forget domain", [PLAN_FIND_CONTAINER] = "find container",
        [PLAN_CREATE_CONTAINER] = "create container", [PLAN_LIMIT_CONTAINER] = "limit container",
        [PLAN_RATE_CONTAINER] = "rate-limit container", [PLAN_ARCHIVE_CONTAINER] = "archive container",
        [PLAN_MINT_KEY] = "mint key", [PLAN_FIND_KEY] = "find key", [PLAN_REVOKE_KEY] = "revoke key",
        [PLAN_RENEW_KEY] = "renew key",
        [PLAN_LIMIT_KEY] = "limit key", [PLAN_SUSPEND_KEY] = "suspend key", [PLAN_RESUME_KEY] = "resume key",
        [PLAN_DELIVER] = "deliver",
    };
    return names[kind];
}

static void add(struct plan *plan, enum plan_kind kind, size_t grant, size_t key)
{
    if (plan->count < PLAN_ACTIONS_MAX)
        plan->actions[plan->count++] = (struct plan_action){kind, grant, key};
}

static void wait_until(struct look *look, enum plan_status status, int64_t when)
{
    look->status->status = status;
    look->status->next_attempt = when;
    look->plan->next_look = schedule_earlier(look->plan->next_look, when);
}

/* Starts a provider action unless the row is busy, its next attempt is not due, or the provider is known to fail;
 * then says which of these it waits for. */
static void ask_provider(struct look *look, enum plan_kind kind, size_t key, bool busy, int64_t next_attempt,
                         enum plan_status meanwhile)
{
    if (busy)
        wait_until(look, meanwhile, SCHEDULE_NEVER);
    else if (!look->grant->provider_ok)
        wait_until(look, PLAN_STATUS_NO_PROVIDER, SCHEDULE_NEVER);
    else if (next_attempt > look->now)
        wait_until(look, PLAN_STATUS_WAITING_RETRY, next_attempt);
    else if (!look->grant->gate_ready)
        wait_until(look, PLAN_STATUS_WAITING_PROVIDER, look->grant->gate_opens_at);
    else {
        add(look->plan, kind, look->grant_index, key);
        wait_until(look, meanwhile, SCHEDULE_NEVER);
    }
}

static bool runs(enum domain_state state)
{
    return state == DOMAIN_STARTING || state == DOMAIN_RUNNING || state == DOMAIN_PAUSED;
}

/* Neither ending nor retiring. */
static bool current(const struct key_record *key)
{
    return key->state == KEY_PLANNED || key->state == KEY_MINTING || key->state == KEY_MINTED || key->state == KEY_ACTIVE ||
           (key->state == KEY_SUSPENDED && !key->retiring_at);
}

/* Taken from the pool, which was not answered yet. It is known by its id, so nothing about it is in doubt. */
static bool is_claimed(const struct plan_key *key)
{
    return key->record->state == KEY_MINTING && key->record->remote_id[0];
}

static bool deliverable(enum key_state state)
{
    return state == KEY_MINTED || state == KEY_ACTIVE;
}

size_t plan_current_key(const struct plan_grant *grant)
{
    for (size_t i = grant->keys_count; i > 0; i--)
        if (deliverable(grant->keys[i - 1].record->state))
            return i - 1;
    return SIZE_MAX;
}

/* A domain of which nothing certain is known loses nothing by what it does, only by what its key has cost. */
enum policy_fate plan_fate(const struct plan_facts *facts, const struct plan_grant *grant)
{
    const struct grant_record *record = grant->record;
    /* What a provider that is not configured can do is not known. It is asked nothing either. */
    bool can = (grant->abilities & PLAN_CAN_SUSPEND) || !grant->provider_ok;
    enum policy_fate fate = POLICY_FATE_KEEP;
    if (facts->state == DOMAIN_ABSENT || record->held_at ||
        (facts->policy_known && facts->state != DOMAIN_UNKNOWN && !grant->wanted))
        return POLICY_FATE_REVOKE;
    if (facts->state == DOMAIN_OFF) {
        bool suspend = record->on_stop == POLICY_FATE_SUSPEND ||
                       (record->on_stop == POLICY_FATE_DEFAULT && (grant->abilities & PLAN_CLAIMS));
        fate = suspend && can ? POLICY_FATE_SUSPEND : POLICY_FATE_REVOKE;
    } else if (facts->state == DOMAIN_SAVED && !facts->only_heard && record->on_save == POLICY_FATE_SUSPEND && can) {
        fate = POLICY_FATE_SUSPEND;
    }
    if (grant->over_budget && (record->over_budget == POLICY_FATE_REVOKE || !can))
        fate = POLICY_FATE_REVOKE;
    else if (grant->over_budget && fate == POLICY_FATE_KEEP)
        fate = POLICY_FATE_SUSPEND;
    return fate;
}

/* Whether what was suspended is to work again: for a domain that runs, here or where it has migrated to. */
static bool is_to_work(const struct plan_facts *facts, const struct plan_grant *grant)
{
    return (runs(facts->state) || facts->state == DOMAIN_MIGRATED) && facts->policy_known && grant->wanted &&
           plan_fate(facts, grant) == POLICY_FATE_KEEP;
}

/* Keys are minted in an open container. One that is not open (any more) has vanished since, with all that was in it. */
static bool holds_keys(const struct plan_container *container)
{
    return container &&
           (container->record->state == CONTAINER_OPEN || container->record->state == CONTAINER_ARCHIVING);
}

/* A key went with the container that it was made in. One that was claimed was made elsewhere, and where there is nothing but
 * an account, that is no container; only the provider can tell, which must be configured for that. */
static bool went_with_container(const struct plan_grant *grant)
{
    return grant->provider_ok && (grant->abilities & PLAN_CAN_CONTAIN) && !(grant->abilities & PLAN_CLAIMS) &&
           !holds_keys(grant->container);
}

/* Somebody has archived what its keys were made in, and the provider has shown it: what the domain has is dead. While there is
 * only nothing yet, an earlier one may have been somewhere else. */
static bool has_dead_keys(const struct plan_grant *grant)
{
    bool archived = !grant->container || grant->container->record->state == CONTAINER_ARCHIVED;
    return grant->record->container_id && archived && went_with_container(grant);
}

/* Whether a date of the ledger has come; if not, it is looked at again in time. */
static bool date_has_come(struct look *look, int64_t date)
{
    int64_t left = date - look->facts->wall;
    if (left <= 0)
        return true;
    int64_t again = look->now + (left < PLAN_DATE_LOOK_MS ? left : PLAN_DATE_LOOK_MS);
    look->plan->next_look = schedule_earlier(look->plan->next_look, again);
    return false;
}

/* It may have been made and nobody has its secret: nobody renews it, and it has no name to be looked for by. */
static bool is_lapsing(const struct plan_grant *grant, const struct key_record *key)
{
    return (grant->abilities & PLAN_LEASES) && key->state == KEY_REVOKING && !key->remote_id[0];
}

/* A key on its way out. One that may exist without our knowing its id is first looked for by its name; not being
 * in the list counts only when the list was asked for long enough after the doubt arose. */
static void plan_revocation(struct look *look, size_t index)
{
    const struct plan_key *key = &look->grant->keys[index];
    if (!key->busy && went_with_container(look->grant)) { /* nobody could even be asked without one */
        add(look->plan, PLAN_KEY_GONE, look->grant_index, index);
        return;
    }
    if (key->record->remote_id[0]) {
        ask_provider(look, PLAN_REVOKE_KEY, index, key->busy, key->next_attempt, PLAN_STATUS_REVOKING);
        return;
    }
    if (is_lapsing(look->grant, key->record)) {
        if (date_has_come(look, key->record->revoking_at + PLAN_SETTLE_MS + look->grant->lease_ms))
            add(look->plan, PLAN_KEY_GONE, look->grant_index, index);
        else
            wait_until(look, PLAN_STATUS_LAPSING, SCHEDULE_NEVER);
        return;
    }
    if (key->looked_at >= key->doubted_at + PLAN_SETTLE_MS && !key->busy) {
        add(look->plan, PLAN_KEY_GONE, look->grant_index, index);
        return;
    }
    int64_t again = key->looked_at > 0 ? key->doubted_at + PLAN_SETTLE_MS : 0;
    if (!key->busy && again > look->now && again >= key->next_attempt)
        wait_until(look, PLAN_STATUS_REVOKING, again); /* not a failure: the last look comes when it means something */
    else
        ask_provider(look, PLAN_FIND_KEY, index, key->busy, key->next_attempt, PLAN_STATUS_REVOKING);
}

/* The newest key that is neither ending nor retiring, or SIZE_MAX. */
static size_t newest_current(const struct plan_grant *grant)
{
    for (size_t i = grant->keys_count; i > 0; i--)
        if (current(grant->keys[i - 1].record))
            return i - 1;
    return SIZE_MAX;
}

/* Whether there is a newer key to go on with, so that this one was only for a guest that had not changed over yet. */
static bool is_replaced(const struct plan_grant *grant, size_t index)
{
    if (grant->keys[index].record->retiring_at)
        return true;
    for (size_t i = index + 1; i < grant->keys_count; i++)
        if (deliverable(grant->keys[i].record->state) || grant->keys[i].record->state == KEY_SUSPENDED)
            return true;
    return false;
}

static int64_t later(int64_t one, int64_t other)
{
    return one > other ? one : other;
}

/* A key that is not to be used for now. What was lost on its way may be carried out late, so the provider's word is
 * believed only where it was asked when that was over. */
static void plan_suspension(struct look *look, size_t index)
{
    const struct plan_key *key = &look->grant->keys[index];
    int64_t doubted_at = later(key->suspend_doubted_at, key->resume_doubted_at);
    /* What was replaced goes on in a guest that goes on. After a stop nothing has it. And what went with its container is
     * neither to be suspended nor ever to be resumed. */
    if ((look->facts->state == DOMAIN_OFF && is_replaced(look->grant, index)) ||
        (!key->busy && went_with_container(look->grant))) {
        add(look->plan, PLAN_END_KEY, look->grant_index, index);
        return;
    }
    if (key->record->state == KEY_SUSPENDED && key->record->suspended_at) {
        if (!look->grant->over_budget)
            wait_until(look, PLAN_STATUS_SUSPENDED, SCHEDULE_NEVER);
        return;
    }
    if (!key->busy && key->record->state == KEY_SUSPENDED && key->suspend_heard_at > doubted_at &&
        look->now < doubted_at + PLAN_SETTLE_MS)
        wait_until(look, PLAN_STATUS_SUSPENDING, doubted_at + PLAN_SETTLE_MS);
    else
        ask_provider(look, PLAN_SUSPEND_KEY, index, key->busy, key->next_attempt, PLAN_STATUS_SUSPENDING);
}

/* Whether a key is settled enough to be asked for to work again. */
static bool can_be_resumed(struct look *look, const struct plan_key *key)
{
    int64_t settled_at = key->suspend_doubted_at ? key->suspend_doubted_at + PLAN_SETTLE_MS : 0;
    if (key->busy || settled_at <= look->now)
        return true;
    wait_until(look, PLAN_STATUS_SETTLING, settled_at);
    return false;
}

/* What is suspended and is to work again. The newest waits for its budget to stand, as a new one does: see plan_current(). */
static void plan_resumption(struct look *look, size_t index)
{
    const struct plan_key *key = &look->grant->keys[index];
    if (!is_to_work(look->facts, look->grant))
        return;
    if (!key->busy && went_with_container(look->grant))
        add(look->plan, PLAN_END_KEY, look->grant_index, index);
    else if ((look->facts->state == DOMAIN_MIGRATED || index != newest_current(look->grant)) && can_be_resumed(look, key))
        ask_provider(look, PLAN_RESUME_KEY, index, key->busy, key->next_attempt, PLAN_STATUS_RESUMING);
}

/* Whether the provider holds the key to another limit than it is to have now: the policy's has changed, a month has begun,
 * or somebody else has changed it there. */
static bool lacks_limit(const struct plan_grant *grant, const struct plan_key *key)
{
    return (grant->abilities & PLAN_CAN_LIMIT_KEY) && key->record->limit_set != key->wanted_limit;
}

/* Those that the guest may have. Setting it takes nothing from anybody, so the status says what it says without. */
static void plan_limits(struct look *look)
{
    const struct plan_grant_status said = *look->status;
    for (size_t i = 0; i < look->grant->keys_count; i++) {
        const struct plan_key *key = &look->grant->keys[i];
        if ((deliverable(key->record->state) || key->record->state == KEY_RETIRING) && lacks_limit(look->grant, key))
            ask_provider(look, PLAN_LIMIT_KEY, i, key->busy, key->limit_next_attempt, PLAN_STATUS_OPENING);
    }
    *look->status = said;
}

/* Whether a minting that nobody waits for is asked for once more: where the secret was ours to choose, it makes the same
 * key. (What is not wanted ends, and is not asked about here.) */
static bool is_repeated(const struct look *look)
{
    return (look->grant->abilities & PLAN_CAN_REPEAT) && runs(look->facts->state) && look->facts->policy_known;
}

static bool nothing_to_claim(const struct plan_grant *grant)
{
    return (grant->abilities & PLAN_CLAIMS) && grant->pool_empty;
}

/* A successor that cannot be claimed (another domain was quicker), while there is a key to go on with: it is planned again
 * when there is something to claim. Until then the earlier one must not stand behind it. */
static bool is_in_vain(const struct plan_grant *grant, size_t index)
{
    bool instead = false;
    for (size_t i = 0; i < index; i++)
        instead = instead || current(grant->keys[i].record);
    return instead && nothing_to_claim(grant);
}

/* Makes a key last that is to be kept. Where that cannot be done now it is no news: it still works. */
static void plan_renewal(struct look *look, size_t index)
{
    const struct plan_key *key = &look->grant->keys[index];
    enum key_state state = key->record->state;
    if (!(look->grant->abilities & PLAN_LEASES) || key->busy || (!deliverable(state) && state != KEY_RETIRING))
        return;
    if (key->renew_at > look->now)
        look->plan->next_look = schedule_earlier(look->plan->next_look, key->renew_at);
    else
        ask_provider(look, PLAN_RENEW_KEY, index, false, key->next_attempt, look->status->status);
}

/* What must happen to each key there is. Returns how many stand in the way of a new one. */
static size_t plan_keys(struct look *look, enum policy_fate fate)
{
    size_t blocking = 0;
    bool end = fate == POLICY_FATE_REVOKE;
    for (size_t i = 0; i < look->grant->keys_count; i++) {
        const struct plan_key *key = &look->grant->keys[i];
        enum key_state state = key->record->state;
        bool lives = deliverable(state) || state == KEY_SUSPENDED || state == KEY_RETIRING || (is_claimed(key) && !key->busy);
        blocking++;
        if (state == KEY_PLANNED && (end || look->facts->state == DOMAIN_OFF || is_in_vain(look->grant, i))) {
            add(look->plan, PLAN_DROP_KEY, look->grant_index, i);
        } else if (state == KEY_MINTING && !lives && !key->busy && (fate != POLICY_FATE_KEEP || !is_repeated(look))) {
            add(look->plan, PLAN_DOUBT_KEY, look->grant_index, i);
        } else if (state == KEY_MINTING && !lives && fate != POLICY_FATE_KEEP) {
            wait_until(look, end ? PLAN_STATUS_REVOKING : PLAN_STATUS_SUSPENDING, SCHEDULE_NEVER);
        } else if (lives && end) {
            add(look->plan, PLAN_END_KEY, look->grant_index, i);
        } else if (lives && fate == POLICY_FATE_SUSPEND) {
            plan_suspension(look, i);
        } else if ((deliverable(state) || state == KEY_RETIRING) && !key->busy && has_dead_keys(look->grant)) {
            add(look->plan, PLAN_END_KEY, look->grant_index, i); /* as one that was removed: the next one is made in another */
        } else if (state == KEY_SUSPENDED) {
            plan_resumption(look, i);
            if (key->record->retiring_at)
                blocking--;
        } else if (state == KEY_RETIRING) {
            blocking--; /* should its successor have ended, another one takes that place beside it */
        } else if (state == KEY_REVOKING) {
            plan_revocation(look, i);
            /* Nobody has the secret of a key whose minting was never answered. Once a list has been seen without it,
             * the next generation need not wait for the list to be beyond doubt. */
            if (key->record->unknown && !key->record->minted_at && (key->looked_at > 0 || is_lapsing(look->grant, key->record)))
                blocking--;
        }
        if (fate == POLICY_FATE_KEEP)
            plan_renewal(look, i);
    }
    return blocking;
}

/* A container that is not known to exist: find it by name; make it only when a list that can be believed has
 * not got it. */
static void plan_container_find(struct look *look, const struct plan_container *container)
{
    bool believed = container->looked_at > 0 &&
                    (!container->record->unknown || container->looked_at >= container->doubted_at + PLAN_SETTLE_MS);
    if (believed) {
        ask_provider(look, PLAN_CREATE_CONTAINER, 0, container->busy, container->next_attempt, PLAN_STATUS_OPENING);
        return;
    }
    int64_t again = container->looked_at > 0 ? container->doubted_at + PLAN_SETTLE_MS : 0;
    if (!container->busy && again > look->now && again >= container->next_attempt)
        wait_until(look, PLAN_STATUS_SETTLING, again);
    else
        ask_provider(look, PLAN_FIND_CONTAINER, 0, container->busy, container->next_attempt, PLAN_STATUS_OPENING);
}

/* The budget stands before the first key, and follows when the policy changes. */
static void plan_open_container(struct look *look, enum plan_kind then, size_t key_index)
{
    const struct plan_grant *grant = look->grant;
    const struct plan_container *container = grant->container;
    bool ours = container->record->kind != CONTAINER_GIVEN;
    if ((grant->abilities & PLAN_CAN_LIMIT_CONTAINER) && ours && container->record->limit_set != container->wanted_limit)
        ask_provider(look, PLAN_LIMIT_CONTAINER, 0, container->busy, container->next_attempt, PLAN_STATUS_OPENING);
    else if ((grant->abilities & PLAN_CAN_RATE_LIMIT) && ours &&
             strcmp(container->record->rates_set, container->wanted_rates) != 0)
        ask_provider(look, PLAN_RATE_CONTAINER, 0, container->busy, container->next_attempt, PLAN_STATUS_OPENING);
    else if (then != PLAN_DELIVER)
        ask_provider(look, then, key_index, grant->keys[key_index].busy, grant->keys[key_index].next_attempt,
                     then == PLAN_MINT_KEY ? PLAN_STATUS_MINTING : PLAN_STATUS_RESUMING);
}

/* Brings the container to where keys may be made in it; when it is there already, goes on with THEN for the key
 * (PLAN_DELIVER: nothing to go on with). */
static void plan_container(struct look *look, enum plan_kind then, size_t key_index)
{
    const struct plan_container *container = look->grant->container;
    switch (container ? container->record->state : CONTAINER_ARCHIVED) {
    case CONTAINER_PLANNED:
        plan_container_find(look, container);
        break;
    case CONTAINER_CREATING:
        if (!container->busy)
            add(look->plan, PLAN_DOUBT_CONTAINER, look->grant_index, 0);
        wait_until(look, PLAN_STATUS_OPENING, SCHEDULE_NEVER);
        break;
    case CONTAINER_OPEN:
        plan_open_container(look, then, key_index);
        break;
    case CONTAINER_ARCHIVING:
        ask_provider(look, PLAN_ARCHIVE_CONTAINER, 0, container->busy, container->next_attempt, PLAN_STATUS_ARCHIVING);
        break;
    case CONTAINER_ARCHIVED:
        if (then != PLAN_DELIVER && !look->grant->provider_ok)
            wait_until(look, PLAN_STATUS_NO_PROVIDER, SCHEDULE_NEVER); /* what it makes keys in is not known */
        else if (then != PLAN_DELIVER)
            add(look->plan, PLAN_NEW_CONTAINER, look->grant_index, 0);
        break;
    }
}

/* When the next generation may be planned. Each minting whose answer was lost has used one up, and the provider's gate
 * cannot slow that down when minting alone fails: the look for what may have been made is answered, and opens it. */
static int64_t next_generation_at(const struct plan_grant *grant)
{
    int64_t doubts = 0, latest = 0;
    for (size_t i = 0; i < grant->keys_count; i++) {
        if (!grant->keys[i].record->unknown)
            continue;
        doubts++;
        if (grant->keys[i].doubted_at > latest)
            latest = grant->keys[i].doubted_at;
    }
    return doubts ? latest + schedule_backoff(doubts, MINT_AGAIN_FIRST_MS, MINT_AGAIN_CAP_MS, (uint64_t)grant->record->id)
                  : 0;
}

/* How many keys nobody knows the end of. */
static size_t count_alive(const struct plan_grant *grant)
{
    size_t count = 0;
    for (size_t i = 0; i < grant->keys_count; i++)
        count += is_lapsing(grant, grant->keys[i].record) ? 0 : 1;
    return count;
}

/* After which time a key is replaced, 0: never. One that ends by itself is replaced when three quarters of its life are over,
 * as the provider was told it when the key was made, whatever the configuration says by now. */
static int64_t interval_of(const struct grant_record *grant, const struct key_record *key)
{
    int64_t life = key->expires_at > key->minted_at ? key->expires_at - key->minted_at : 0;
    int64_t interval = grant->rotate_ms > 0 ? grant->rotate_ms : 0;
    return life && (!interval || interval > life - life / 4) ? life - life / 4 : interval;
}

/* Whether the key is old enough. Many may be at once when a daemon comes back after weeks, or when the interval has been
 * made shorter: those are spread over a while that is counted by the clock that nobody sets. */
static bool interval_is_over(struct look *look, const struct key_record *key)
{
    int64_t interval = interval_of(look->grant->record, key);
    if (!interval)
        return false;
    int64_t due = key->minted_at + schedule_spread(interval, (uint64_t)key->id);
    int64_t settled_for = look->now - look->facts->settled_at;
    int64_t window = interval / 10 < PLAN_OVERDUE_MS ? interval / 10 : PLAN_OVERDUE_MS;
    if (!date_has_come(look, due))
        return false;
    if (key->expires_at && key->expires_at <= look->facts->wall)
        return true; /* who has it has none any more */
    int64_t left = schedule_within(window, (uint64_t)key->id) - settled_for;
    if (due >= look->facts->wall - settled_for || left <= 0)
        return true;
    look->plan->next_look = schedule_earlier(look->plan->next_look, look->now + left);
    return false;
}

/* Whether the active key is to have a successor now. Only where that can be proven at once: a guest that cannot be
 * reached would have two live keys for nothing. What is in doubt or on its way out goes first. */
static bool rotation_is_due(struct look *look, const struct plan_key *key)
{
    const struct grant_record *grant = look->grant->record;
    const struct key_record *active = key->record;
    if (count_alive(look->grant) > 1 || look->facts->state != DOMAIN_RUNNING || !look->facts->delivery_proven ||
        !look->grant->provider_ok || look->grant->provider_leaves || nothing_to_claim(look->grant))
        return false;
    if (key->last_life && next_generation_at(look->grant) <= look->now)
        return true;
    if (active->generation <= grant->replace_through && date_has_come(look, grant->replace_at))
        return true;
    /* The clock was set back: by it the key is not made yet, and would end before its time to be replaced comes. */
    if (active->expires_at && active->minted_at > look->facts->wall + PLAN_SETTLE_MS)
        return true;
    return interval_is_over(look, active);
}

/* The newest needs a successor before it ends, and that waits until there is no other key: an overlap that would take more
 * than half of the time that is left is cut short. */
static bool overlap_is_in_the_way(const struct look *look, const struct plan_key *newest, int64_t overlap_ends)
{
    if (!newest->last_life || newest->renew_at <= 0 || newest->renew_at == SCHEDULE_NEVER)
        return false;
    return overlap_ends - look->facts->wall > (newest->renew_at - look->now) / 2;
}

/* What the newest key, which the guest has proven, means for those before it. */
static void plan_earlier(struct look *look, size_t newest)
{
    int64_t overlap = look->grant->record->overlap_ms > 0 ? look->grant->record->overlap_ms : 0;
    for (size_t i = 0; i < newest; i++) {
        const struct key_record *key = look->grant->keys[i].record;
        if (deliverable(key->state))
            add(look->plan, PLAN_RETIRE_KEY, look->grant_index, i);
        else if (key->state == KEY_RETIRING && look->facts->state == DOMAIN_RUNNING && look->facts->delivery_proven &&
                 (key->generation <= look->grant->record->hurry_through ||
                  overlap_is_in_the_way(look, &look->grant->keys[newest], key->retiring_at + overlap) ||
                  date_has_come(look, key->retiring_at + overlap)))
            add(look->plan, PLAN_END_KEY, look->grant_index, i);
    }
    if (rotation_is_due(look, &look->grant->keys[newest]))
        add(look->plan, PLAN_NEW_KEY, look->grant_index, 0);
}

/* The newest key that is neither ending nor retiring. */
static void plan_current(struct look *look, size_t index)
{
    const struct plan_key *key = &look->grant->keys[index];
    bool proven = look->facts->delivery_proven;
    if (deliverable(key->record->state)) {
        if (key->record->state == KEY_MINTED && proven)
            add(look->plan, PLAN_PROVE_KEY, look->grant_index, index);
        plan_container(look, PLAN_DELIVER, 0);
        wait_until(look, key->record->state == KEY_ACTIVE && proven ? PLAN_STATUS_OK : PLAN_STATUS_DELIVERING,
                   SCHEDULE_NEVER);
        if (key->record->state == KEY_ACTIVE)
            plan_earlier(look, index);
        return;
    }
    if (key->record->state == KEY_PLANNED && look->grant->provider_leaves)
        wait_until(look, PLAN_STATUS_NO_PROVIDER, SCHEDULE_NEVER);
    else if (key->record->state == KEY_PLANNED && nothing_to_claim(look->grant))
        wait_until(look, PLAN_STATUS_POOL_EMPTY, SCHEDULE_NEVER);
    else if (key->record->state == KEY_PLANNED || (key->record->state == KEY_MINTING && !key->busy))
        plan_container(look, PLAN_MINT_KEY, index);
    else if (key->record->state == KEY_SUSPENDED && lacks_limit(look->grant, key))
        ask_provider(look, PLAN_LIMIT_KEY, index, key->busy, key->limit_next_attempt, PLAN_STATUS_RESUMING);
    else if (key->record->state == KEY_SUSPENDED && can_be_resumed(look, key))
        plan_container(look, PLAN_RESUME_KEY, index);
    else if (key->record->state == KEY_MINTING)
        wait_until(look, PLAN_STATUS_MINTING, SCHEDULE_NEVER);
    /* A successor that is being made changes nothing for who has the earlier key. */
    if (plan_current_key(look->grant) != SIZE_MAX)
        look->status->status = proven ? PLAN_STATUS_ROTATING : PLAN_STATUS_DELIVERING;
}

/* The domain runs and is to have a key. */
static void plan_wanted(struct look *look, size_t blocking)
{
    size_t newest = newest_current(look->grant);
    plan_limits(look);
    if (newest != SIZE_MAX) {
        plan_current(look, newest);
    } else if (blocking > 0) {
        look->status->status = PLAN_STATUS_WAITING_OLD;
    } else if (!look->grant->provider_ok || look->grant->provider_leaves) {
        wait_until(look, PLAN_STATUS_NO_PROVIDER, SCHEDULE_NEVER);
    } else if (next_generation_at(look->grant) > look->now) {
        wait_until(look, PLAN_STATUS_SETTLING, next_generation_at(look->grant));
    } else {
        add(look->plan, PLAN_NEW_KEY, look->grant_index, 0);
        wait_until(look, PLAN_STATUS_OPENING, SCHEDULE_NEVER);
    }
}

/* The domain is gone for good and no key of this grant is left. */
static void plan_farewell(struct look *look)
{
    const struct plan_container *container = look->grant->container;
    bool ours = container && container->record->kind == CONTAINER_PER_DOMAIN &&
                container->record->state != CONTAINER_ARCHIVED;
    if (!ours) {
        add(look->plan, PLAN_END_GRANT, look->grant_index, 0);
        return;
    }
    enum container_state state = container->record->state;
    if (state == CONTAINER_OPEN) {
        add(look->plan, PLAN_END_CONTAINER, look->grant_index, 0);
    } else if (state == CONTAINER_PLANNED && !container->busy) {
        bool may_exist = container->record->unknown &&
                         container->looked_at < container->doubted_at + PLAN_SETTLE_MS;
        if (may_exist)
            plan_container_find(look, container);
        else
            add(look->plan, PLAN_DROP_CONTAINER, look->grant_index, 0);
    } else {
        plan_container(look, PLAN_DELIVER, 0); /* creating or archiving goes to its end */
    }
}

/* Why nothing is done, where nothing is. */
static enum plan_status idle_status(const struct plan_facts *facts, const struct plan_grant *grant)
{
    if (grant->record->held_at)
        return PLAN_STATUS_HELD;
    return grant->over_budget && facts->state != DOMAIN_ABSENT && grant->wanted ? PLAN_STATUS_OVER_BUDGET : PLAN_STATUS_OFF;
}

/* Nothing is begun and nothing ended: what there is is left as it is. */
static void plan_kept(struct look *look)
{
    /* Where it runs now the new month's limit is as good as here. */
    if (look->facts->state == DOMAIN_MIGRATED && look->facts->policy_known)
        plan_limits(look);
    bool works = plan_current_key(look->grant) != SIZE_MAX;
    for (size_t i = 0; i < look->grant->keys_count && !works; i++)
        if (look->grant->keys[i].record->state == KEY_SUSPENDED && look->facts->state != DOMAIN_MIGRATED)
            wait_until(look, runs(look->facts->state) ? PLAN_STATUS_POLICY_UNKNOWN : PLAN_STATUS_SUSPENDED, SCHEDULE_NEVER);
    if (works)
        wait_until(look, runs(look->facts->state) ? PLAN_STATUS_POLICY_UNKNOWN : PLAN_STATUS_KEPT, SCHEDULE_NEVER);
}

static void plan_grant(struct look *look)
{
    enum policy_fate fate = plan_fate(look->facts, look->grant);
    enum domain_state state = look->facts->state;
    wait_until(look, idle_status(look->facts, look->grant), SCHEDULE_NEVER);
    size_t before = look->plan->count, blocking = plan_keys(look, fate);
    if (look->plan->count > before && plan_kind_is_ledger(look->plan->actions[look->plan->count - 1].kind))
        return; /* rows change first; the next look sees them */
    if (fate == POLICY_FATE_KEEP && runs(state) && look->grant->wanted && look->facts->policy_known) {
        plan_wanted(look, blocking);
    } else if (fate == POLICY_FATE_KEEP && look->grant->keys_count > 0) {
        plan_kept(look);
    } else if (look->grant->keys_count == 0) {
        if (state == DOMAIN_ABSENT)
            plan_farewell(look);
        else if (!look->facts->policy_known)
            wait_until(look, PLAN_STATUS_POLICY_UNKNOWN, SCHEDULE_NEVER);
        else if (!look->grant->wanted)
            wait_until(look, PLAN_STATUS_NOT_WANTED, SCHEDULE_NEVER);
    }
}

/* Whether what the guest was given is about to work again. */
static bool is_resuming(const struct plan_facts *facts, const struct plan_grant *grant)
{
    size_t newest = newest_current(grant);
    return newest != SIZE_MAX && grant->keys[newest].record->state == KEY_SUSPENDED && is_to_work(facts, grant);
}

static void plan_delivery(const struct plan_facts *facts, int64_t now, struct plan *plan)
{
    if (facts->state != DOMAIN_RUNNING || facts->agent != AGENT_CONNECTED || facts->delivery_unknown ||
        facts->delivery_busy || facts->delivery_proven)
        return;
    bool something = false, resuming = false;
    for (size_t i = 0; i < facts->grants_count; i++) {
        something = something || plan_current_key(&facts->grants[i]) != SIZE_MAX;
        resuming = resuming || is_resuming(facts, &facts->grants[i]);
    }
    /* What was given and is not wanted any more is taken out again; what will be given again stays. */
    if (!something && (!facts->delivered || resuming))
        return;
    if (facts->delivery_next_attempt > now)
        plan->next_look = schedule_earlier(plan->next_look, facts->delivery_next_attempt);
    else
        add(plan, PLAN_DELIVER, 0, 0);
}

void plan_domain(const struct plan_facts *facts, int64_t now, struct plan *ret_plan,
                 struct plan_grant_status *ret_statuses)
{
    ret_plan->count = 0;
    ret_plan->next_look = SCHEDULE_NEVER;
    for (size_t i = 0; i < facts->grants_count; i++) {
        struct look look = {facts, &facts->grants[i], i, now, ret_plan, &ret_statuses[i]};
        plan_grant(&look);
    }
    plan_delivery(facts, now, ret_plan);
    if (facts->state == DOMAIN_ABSENT && facts->grants_count == 0)
        add(ret_plan, PLAN_FORGET_DOMAIN, 0, 0);
}

enum plan_verdict plan_required(const struct plan_facts *facts)
{
    if (!facts->policy_known)
        return PLAN_VERDICT_WAIT;
    for (size_t i = 0; i < facts->grants_count; i++)
        if (facts->grants[i].wanted && plan_current_key(&facts->grants[i]) == SIZE_MAX)
            return PLAN_VERDICT_WAIT;
    return PLAN_VERDICT_READY;
}
