/* What is known of the money: one account a grant, as the ledger has it, and one state a provider. */
#include "daemon/usage.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CENT = 10000,        /* micro-dollars */
    UNREAD_ATTEMPTS = 3, /* to read a report, and intervals without one, before somebody is to know */
};
#define MONTHS_MS (62 * 24 * 3600 * INT64_C(1000)) /* longer than any month that is judged */

/* --- accounts --- */

struct usage_account *usage_find(struct engine *engine, int64_t grant_id)
{
    struct usage *usage = engine->usage;
    size_t low = 0, high = usage ? usage->accounts_count : 0;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (usage->accounts[middle].grant_id < grant_id)
            low = middle + 1;
        else
            high = middle;
    }
    return usage && low < usage->accounts_count && usage->accounts[low].grant_id == grant_id ? &usage->accounts[low] : NULL;
}

struct usage_account *usage_account_of(struct engine *engine, int64_t grant_id)
{
    struct usage *usage = engine->usage;
    struct usage_account *found = usage_find(engine, grant_id);
    if (found)
        return found;
    if (usage->accounts_count == usage->accounts_room) {
        usage->accounts_room = usage->accounts_room ? usage->accounts_room * 2 : 64;
        usage->accounts = realloc(usage->accounts, usage->accounts_room * sizeof *usage->accounts);
        if (!usage->accounts)
            abort();
    }
    size_t at = usage->accounts_count++;
    for (; at > 0 && usage->accounts[at - 1].grant_id > grant_id; at--)
        usage->accounts[at] = usage->accounts[at - 1];
    usage->accounts[at] = (struct usage_account){.grant_id = grant_id};
    budget_enter(&usage->accounts[at].budget, usage->month);
    ledger_get_rates(engine->ledger, grant_id, &usage->accounts[at].budget.rates, NULL);
    return &usage->accounts[at];
}

struct provider_lag usage_lag(struct engine *engine, const char *provider)
{
    const struct provider_slot *slot = engine_provider(engine, provider);
    return slot ? provider_lag(slot->provider) : (struct provider_lag){0, 0};
}

struct usage_provider *usage_state(struct engine *engine, const char *name)
{
    struct usage_provider *state = engine->usage->providers;
    while (state && strcmp(state->name, name) != 0)
        state = state->next;
    if (state)
        return state;
    state = calloc(1, sizeof *state);
    if (!state)
        abort();
    char key[POLICY_PROVIDER_SIZE + 16], text[64];
    int64_t month, longest;
    snprintf(state->name, sizeof state->name, "%s", name);
    snprintf(key, sizeof key, "usage-read:%s", name);
    if (ledger_get_text(engine->ledger, key, text, sizeof text, NULL))
        state->polled_wall = strtoll(text, NULL, 10);
    snprintf(key, sizeof key, "usage-prices:%s", name);
    ledger_get_text(engine->ledger, key, state->prices, sizeof state->prices, NULL);
    snprintf(key, sizeof key, "usage-gap:%s", name);
    if (ledger_get_text(engine->ledger, key, text, sizeof text, NULL) &&
        sscanf(text, "%" SCNd64 " %" SCNd64, &month, &longest) == 2 && month == engine->usage->month)
        state->longest_ms = longest;
    state->next = engine->usage->providers;
    return engine->usage->providers = state;
}

/* A day's bill is whole when a report was read after it had to be, not when the clock says so: what was read before may be a
 * part of it, and a report that fails changes nobody's state. */
int64_t usage_spent(struct engine *engine, const struct usage_account *account)
{
    int64_t wall = clock_wall_ms(), read_at = account->provider[0] ? usage_state(engine, account->provider)->polled_wall : 0;
    /* Of a provider that is not configured nothing newer is told: what of its bills is not whole never becomes so. */
    bool told = engine_provider(engine, account->provider) != NULL;
    return budget_spent(&account->budget, read_at < wall ? read_at : wall,
                        told ? usage_lag(engine, account->provider).billed_ms : MONTHS_MS);
}

int64_t usage_spent_together(struct engine *engine, const char *owner)
{
    const struct usage *usage = engine->usage;
    int64_t sum = 0;
    for (size_t i = 0; usage && i < usage->accounts_count; i++)
        if (!owner || strcmp(usage->accounts[i].owner, owner) == 0)
            sum = budget_add(sum, usage_spent(engine, &usage->accounts[i]));
    return sum;
}

int64_t usage_departed(struct engine *engine, const struct vm_container *container)
{
    const struct usage *usage = engine->usage;
    int64_t sum = 0;
    if (container->record.kind != CONTAINER_PER_OWNER)
        return 0;
    for (size_t i = 0; usage && i < usage->accounts_count; i++) {
        const struct usage_account *account = &usage->accounts[i];
        if (!account->own_container && strcmp(account->owner, container->record.subject) == 0 &&
            strcmp(account->provider, container->record.provider) == 0)
            sum = budget_add(sum, usage_spent(engine, account));
    }
    /* Who has a share has a limit for what it spends; who is in another project spends there, whoever owns it by now. */
    for (size_t i = 0; usage && i < engine->vms_count; i++)
        for (size_t g = 0; g < engine->vms[i]->grants_count; g++) {
            const struct vm_grant *grant = engine->vms[i]->grants[g];
            bool elsewhere = grant->container && grant->container != container;
            const struct usage_account *account =
                elsewhere || (grant->container && grant->wanted) ? usage_find(engine, grant->record.id) : NULL;
            if (account && !account->own_container && strcmp(account->owner, container->record.subject) == 0 &&
                strcmp(account->provider, container->record.provider) == 0)
                sum -= usage_spent(engine, account);
        }
    return sum > 0 ? (sum + CENT - 1) / CENT * CENT : 0;
}

const struct usage_provider *usage_provider_state(const struct engine *engine, const char *name)
{
    const struct usage_provider *state = engine->usage ? engine->usage->providers : NULL;
    while (state && strcmp(state->name, name) != 0)
        state = state->next;
    return state;
}

bool usage_is_unread(const struct engine *engine, const struct provider_slot *slot)
{
    const struct usage_provider *state = usage_provider_state(engine, slot->settings->name);
    int64_t interval = engine->config->daemon.usage_interval_ms, wall = clock_wall_ms();
    if (!state || interval <= 0 || !(provider_capabilities(slot->provider) & PROVIDER_CAN_USAGE) || !state->failures)
        return false;
    /* Or one that was told to wait for so long. */
    if (state->failures < UNREAD_ATTEMPTS && clock_monotonic_ms() - state->failing_since <= UNREAD_ATTEMPTS * interval)
        return false;
    int64_t unread_ms = state->polled_at     ? clock_monotonic_ms() - state->polled_at
                        : state->polled_wall ? wall - state->polled_wall
                                             : INT64_MAX;
    return unread_ms > UNREAD_ATTEMPTS * interval;
}

/* --- from the ledger --- */

static void fill(struct usage_account *account, const struct spending_record *record)
{
    int64_t index = record->day - account->budget.month;
    if (index < 0 || index >= BUDGET_DAYS)
        return;
    /* The rows of one day and source are its models: they are summed, over what budget_enter() left empty. */
    const struct budget_day *day = &account->budget.days[index];
    if (record->bill)
        budget_bill(&account->budget, record->day, budget_add(day->bill, record->micro_dollars));
    else
        budget_estimate(&account->budget, record->day, budget_add(day->estimate, record->micro_dollars));
    account->unpriced = account->unpriced || (!record->bill && record->unpriced);
}

static bool load_row(void *context, const struct spending_record *record, const struct spending_of *of, struct error *err)
{
    struct engine *engine = context;
    (void)err;
    struct usage_account *account = usage_account_of(engine, record->grant_id);
    snprintf(account->domain, sizeof account->domain, "%s", of->domain);
    snprintf(account->provider, sizeof account->provider, "%s", of->provider);
    account->own_container = of->own_container;
    if (!account->owner[0])
        snprintf(account->owner, sizeof account->owner, "%s", of->owner);
    fill(account, record);
    return true;
}

struct usage_kept usage_keep(const struct usage *usage)
{
    struct usage_kept kept = {calloc(usage->accounts_room + 1, sizeof *kept.accounts), usage->accounts_count,
                              usage->accounts_room};
    if (!kept.accounts)
        abort();
    if (kept.count)
        memcpy(kept.accounts, usage->accounts, kept.count * sizeof *kept.accounts);
    return kept;
}

void usage_put_back(struct usage *usage, const struct usage_kept *kept)
{
    free(usage->accounts);
    usage->accounts = kept->accounts;
    usage->accounts_count = kept->count;
    usage->accounts_room = kept->room;
}

bool usage_load(struct engine *engine, struct error *err)
{
    struct usage *usage = engine->usage;
    const struct usage_kept before = usage_keep(usage);
    for (size_t i = 0; i < usage->accounts_count; i++) {
        struct usage_account *account = &usage->accounts[i];
        account->budget.month = -1; /* so that entering empties it */
        budget_enter(&account->budget, usage->month);
        account->unpriced = false;
    }
    bool ok = ledger_each_spending(engine->ledger, usage->month, budget_next_month(usage->month), 0, load_row, engine, err);
    if (ok)
        free(before.accounts);
    else
        usage_put_back(usage, &before);
    return ok;
}
