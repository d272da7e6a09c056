/* Asking for what was spent, and judging it.
 *
 * Every `usage-interval` each provider is asked once for all that it has of ours, from three days ago on, since bills are
 * revised; once a day, and when the daemon starts, from before the month began. What a report says of a grant's day replaces
 * what the ledger has of it, in one transaction, and only then what is in memory. A report that fails leaves everything as
 * it was: nobody is cut off, and nobody let on again, by not knowing.
 *
 * A provider that tells no days tells what each key cost this month. That is kept by key, since a deleted one tells nothing
 * more; the sum of a grant's keys is its month, and what is new of it belongs to today. What a key tells in its end is newer
 * than a report that was asked for before, whenever that comes. */
#include "daemon/usage.h"

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "config/prices.h"
#include "daemon/alerts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    TICK_MS = 2000,
    RECENT_DAYS = 3,
    WHOLE_MS = 24 * 3600 * 1000,
    RETRY_FIRST_MS = 30 * 1000,
    RETRY_CAP_MS = 3600 * 1000,
    /* So near the end of a month it is not certain whose month a total is: the clocks differ, an answer takes its time. */
    EDGE_MS = 2 * 60 * 1000,
};

/* --- verdicts --- */

static void say_verdict(const struct vm *vm, const struct vm_grant *grant, enum budget_verdict verdict,
                        const struct budget_account account[3])
{
    static const char *const whose[] = {[BUDGET_OVER_OWN] = "its own", [BUDGET_OVER_OWNER] = "its owner's",
                                        [BUDGET_OVER_HOST] = "this host's"};
    if (verdict == BUDGET_WITHIN)
        log_notice("%s: %s: within its budget again", vm->record.name, grant->record.provider);
    else
        log_warning("%s: %s: %s monthly limit of %.2f USD is reached with %.2f USD", vm->record.name, grant->record.provider,
                    whose[verdict], (double)account[verdict - 1].limit / 1e6, (double)account[verdict - 1].spent / 1e6);
}

/* A grant without a row may have had one: the domain was there before under the same UUID. */
struct usage_account *usage_of_grant(struct engine *engine, const struct vm_grant *grant)
{
    struct grant_record earlier;
    if (grant->record.id)
        return usage_find(engine, grant->record.id);
    if (!ledger_find_grant(engine->ledger, grant->record.domain, grant->record.provider, &earlier, NULL))
        return NULL;
    return usage_find(engine, earlier.id);
}

static void judge_vm(struct engine *engine, struct vm *vm, int64_t host_spent)
{
    const struct config *config = engine->config;
    for (size_t g = 0; g < vm->grants_count; g++) {
        struct vm_grant *grant = vm->grants[g];
        struct usage_account *account = usage_of_grant(engine, grant);
        /* The grant's, not the policy's in force: that is empty until the XML has been read, and may never be. */
        const char *owner = grant->record.owner;
        int64_t owner_limit = owner[0] ? config_owner_limit(config, owner) : 0;
        if (account && strcmp(account->owner, owner) != 0)
            snprintf(account->owner, sizeof account->owner, "%s", owner);
        const struct budget_account accounts[] = {
            {grant->record.monthly_limit, account ? usage_spent(engine, account) : 0},
            {owner_limit, owner_limit ? usage_spent_together(engine, owner) : 0},
            {config->daemon.monthly_limit, host_spent},
        };
        enum budget_verdict verdict = budget_judge(&accounts[0], &accounts[1], &accounts[2]);
        bool over = verdict != BUDGET_WITHIN;
        grant->over_whose = verdict;
        if (over == grant->over_budget)
            continue;
        grant->over_budget = over;
        say_verdict(vm, grant, verdict, accounts);
        engine_mark(engine, vm);
    }
}

static int64_t host_spent(struct engine *engine)
{
    return engine->config->daemon.monthly_limit ? usage_spent_together(engine, NULL) : 0;
}

static int64_t spent_of_grant(struct engine *engine, const struct vm_grant *grant, int64_t *ret_month)
{
    const struct usage_account *account = usage_of_grant(engine, grant);
    *ret_month = engine->usage->month;
    return account ? usage_spent(engine, account) : 0;
}

static void judge(struct engine *engine, struct vm *vm)
{
    judge_vm(engine, vm, host_spent(engine));
}

static void judge_all(struct engine *engine)
{
    int64_t spent = host_spent(engine);
    for (size_t i = 0; i < engine->vms_count; i++)
        judge_vm(engine, engine->vms[i], spent);
}

/* --- a report --- */

/* One poll under way: what it was asked about has to stay until it ends. */
struct poll {
    struct engine *engine;
    struct provider_slot *slot;
    struct provider_scope *scopes;
    size_t scopes_count;
    int64_t started_at, started_wall;
    void *known;   /* see rows_name_known() */
    int64_t since; /* the first day that it asks about */
    bool whole;
};

/* What one key cost this month. */
struct key_total {
    int64_t grant_id, day, micro_dollars;
    char key[RECORD_REMOTE_ID_SIZE];
};

struct gathering {
    struct spending_record *rows;
    size_t count, room;
    struct key_total *totals;
    size_t totals_count, totals_room;
};

static int by_row(const void *a, const void *b)
{
    const struct spending_record *one = a, *other = b;
    if (one->grant_id != other->grant_id)
        return one->grant_id < other->grant_id ? -1 : 1;
    if (one->day != other->day)
        return one->day < other->day ? -1 : 1;
    if (one->bill != other->bill)
        return one->bill ? -1 : 1;
    return strcmp(one->model, other->model);
}

static void gather(struct engine *engine, struct gathering *all, const struct provider_usage *usage, int64_t grant_id)
{
    const struct prices prices = {engine->usage->prices, engine->usage->prices_count};
    struct spending_record row = {
        .grant_id = grant_id,
        .day = usage->day,
        .bill = usage->kind != PROVIDER_USAGE_TOKENS,
        .micro_dollars = usage->micro_dollars,
        .requests = usage->requests,
        .input_tokens = usage->input_tokens,
        .cached_tokens = usage->cached_tokens,
        .output_tokens = usage->output_tokens,
    };
    snprintf(row.model, sizeof row.model, "%s", usage->model);
    /* Anthropic's and OpenAI's multipliers for what is written to a cache, as so much more input. */
    int64_t dearer = (usage->written_tokens + 3) / 4 + usage->written_long_tokens;
    if (usage->micro_dollars < 0)
        row.micro_dollars = prices_estimate(&prices, usage->model, usage->input_tokens + dearer, usage->cached_tokens,
                                            usage->output_tokens, &row.unpriced);
    if (all->count == all->room) {
        all->room = all->room ? all->room * 2 : 256;
        all->rows = realloc(all->rows, all->room * sizeof *all->rows);
        if (!all->rows)
            abort();
    }
    all->rows[all->count++] = row;
}

static void gather_total(struct engine *engine, struct gathering *all, const struct provider_usage *usage, int64_t grant_id)
{
    int64_t wall = clock_wall_ms(), month = budget_month(usage->day);
    if (!usage->key_id[0] || month != engine->usage->month || month != budget_month(budget_day(wall - EDGE_MS)) ||
        month != budget_month(budget_day(wall + EDGE_MS)))
        return;
    if (all->totals_count == all->totals_room) {
        all->totals_room = all->totals_room ? all->totals_room * 2 : 64;
        all->totals = realloc(all->totals, all->totals_room * sizeof *all->totals);
        if (!all->totals)
            abort();
    }
    struct key_total *total = &all->totals[all->totals_count++];
    *total = (struct key_total){grant_id, usage->day, usage->micro_dollars, ""};
    memcpy(total->key, usage->key_id, sizeof total->key);
}

/* The rows of one grant, day, source and model become one: several keys and several kinds of charges have one each. */
static void merge(struct gathering *all)
{
    size_t kept = 0;
    if (all->count)
        qsort(all->rows, all->count, sizeof *all->rows, by_row);
    for (size_t i = 0; i < all->count; i++) {
        struct spending_record *last = kept ? &all->rows[kept - 1] : NULL;
        if (!last || by_row(last, &all->rows[i]) != 0) {
            all->rows[kept++] = all->rows[i];
            continue;
        }
        last->micro_dollars = budget_add(last->micro_dollars, all->rows[i].micro_dollars);
        last->requests += all->rows[i].requests;
        last->input_tokens += all->rows[i].input_tokens;
        last->cached_tokens += all->rows[i].cached_tokens;
        last->output_tokens += all->rows[i].output_tokens;
        last->unpriced = last->unpriced || all->rows[i].unpriced;
    }
    all->count = kept;
}

static bool attribute(struct engine *engine, const char *provider, const struct provider_result *result,
                      struct gathering *all, struct error *err)
{
    for (size_t i = 0; i < result->usage_count; i++) {
        const struct provider_usage *usage = &result->usage[i];
        struct error none = ERROR_INIT;
        int64_t grant_id;
        if (!ledger_find_spender(engine->ledger, provider, usage->container_id, usage->key_id, &grant_id, &none)) {
            if (none.code != ERROR_NOT_FOUND)
                return error_set(err, none.code, "%s", none.text);
            continue;
        }
        if (usage->kind == PROVIDER_USAGE_MONTH_TOTAL)
            gather_total(engine, all, usage, grant_id);
        else
            gather(engine, all, usage, grant_id);
    }
    merge(all);
    return true;
}

/* The grant's days by what its keys cost together, where they are others than before. */
static bool save_days(struct engine *engine, const struct key_total *total, struct error *err)
{
    const struct usage_account *account = usage_find(engine, total->grant_id);
    struct budget before = {.month = 0}, after;
    int64_t sum;
    if (!ledger_get_total(engine->ledger, total->grant_id, engine->usage->month, &sum, err))
        return false;
    budget_enter(&before, engine->usage->month);
    if (account)
        before = account->budget;
    after = before;
    budget_total(&after, total->day, sum);
    for (int64_t i = 0; i < BUDGET_DAYS; i++) {
        const struct spending_record row = {.grant_id = total->grant_id, .day = after.month + i, .bill = true,
                                            .micro_dollars = after.days[i].bill};
        if (after.days[i].bill != before.days[i].bill && !ledger_save_spending(engine->ledger, &row, err))
            return false;
    }
    return true;
}

/* Whether POLL tells with row I all that there is of a day, and tells it first there: other models of that day are what it was
 * called before. What one key tells in its end is not all, nor perhaps what was not asked about. */
static bool tells_day(const struct poll *poll, const struct gathering *all, size_t i)
{
    const struct spending_record *row = &all->rows[i], *last = i ? row - 1 : NULL;
    return poll && row->day >= poll->since &&
           (!last || last->grant_id != row->grant_id || last->day != row->day || last->bill != row->bill);
}

/* All of it in the transaction that the caller has begun. POLL may be NULL. */
static bool save_gathered(struct engine *engine, const struct poll *poll, const struct gathering *all, struct error *err)
{
    bool ok = true;
    for (size_t i = 0; ok && i < all->count; i++) {
        const struct spending_record *row = &all->rows[i];
        ok = (!tells_day(poll, all, i) || ledger_clear_spending(engine->ledger, row->grant_id, row->day, row->bill, err)) &&
             ledger_save_spending(engine->ledger, row, err);
    }
    for (size_t i = 0; ok && i < all->totals_count; i++)
        ok = ledger_save_total(engine->ledger, all->totals[i].grant_id, engine->usage->month, all->totals[i].key,
                               all->totals[i].micro_dollars, err);
    for (size_t i = 0; ok && i < all->totals_count; i++)
        ok = save_days(engine, &all->totals[i], err);
    return ok;
}

/* So long nothing was read: a daemon that begins anew is to know that, too. */
static bool keep_gap(struct engine *engine, struct usage_provider *state, int64_t gap_ms, struct error *err)
{
    char key[POLICY_PROVIDER_SIZE + 16], text[64];
    state->longest_ms = gap_ms;
    snprintf(key, sizeof key, "usage-gap:%s", state->name);
    snprintf(text, sizeof text, "%" PRId64 " %" PRId64, engine->usage->month, gap_ms);
    return ledger_set_text(engine->ledger, key, text, err);
}

/* Where the prices are others than at the report before, the month costs something else by them, and nobody was faster. */
static bool keep_prices(struct engine *engine, const struct usage_provider *state, bool *ret_others, struct error *err)
{
    char key[POLICY_PROVIDER_SIZE + 16];
    *ret_others = strcmp(state->prices, engine->usage->prices_told) != 0;
    snprintf(key, sizeof key, "usage-prices:%s", state->name);
    return !*ret_others || ledger_set_text(engine->ledger, key, engine->usage->prices_told, err);
}

/* What is known now, against what was known at the report before. While nothing was there to ask about, nothing was missed. */
static bool see_rates(struct engine *engine, const struct poll *poll, struct usage_provider *state, struct error *err)
{
    struct usage *usage = engine->usage;
    int64_t elapsed = state->polled_at     ? poll->started_at - state->polled_at
                      : state->polled_wall ? poll->started_wall - state->polled_wall
                                           : 0;
    bool repriced;
    if (state->idle_at && poll->started_at - state->idle_at < elapsed)
        elapsed = poll->started_at - state->idle_at;
    struct provider_lag lag = provider_lag(poll->slot->provider);
    bool ok = keep_prices(engine, state, &repriced, err) &&
              (elapsed <= state->longest_ms || keep_gap(engine, state, elapsed, err));
    for (size_t i = 0; ok && i < usage->accounts_count; i++) {
        struct usage_account *account = &usage->accounts[i];
        if (strcmp(account->provider, poll->slot->settings->name) != 0)
            continue;
        int64_t told = budget_estimated(&account->budget);
        bool faster = !repriced && budget_see_rate(&account->budget, account->seen, told, elapsed);
        if (budget_see_late(&account->budget, poll->started_wall, elapsed, lag.billed_ms) || faster)
            ok = ledger_set_rates(engine->ledger, account->grant_id, &account->budget.rates, err);
        account->seen = told;
    }
    return ok;
}

/* A report, when it was read, and how fast things go by it are durable together: whoever lost the last would stop somebody
 * too late. */
static bool save_report(struct engine *engine, const struct poll *poll, struct usage_provider *state,
                        const struct gathering *all, struct error *err)
{
    char key[POLICY_PROVIDER_SIZE + 16], text[32];
    snprintf(key, sizeof key, "usage-read:%s", poll->slot->settings->name);
    snprintf(text, sizeof text, "%" PRId64, poll->started_wall);
    return ledger_set_text(engine->ledger, key, text, err) && save_gathered(engine, poll, all, err) && usage_load(engine, err) &&
           see_rates(engine, poll, state, err);
}

/* POLL and STATE: NULL, where no report was read, but of one key. What is in memory is then what the ledger has; what the
 * ledger did not take is not in memory either. */
static bool save(struct engine *engine, const struct poll *poll, struct usage_provider *state, const struct gathering *all,
                 struct error *err)
{
    if (!ledger_begin(engine->ledger, err))
        return false;
    const struct usage_kept before = usage_keep(engine->usage);
    bool ok = poll ? save_report(engine, poll, state, all, err)
                   : save_gathered(engine, NULL, all, err) && usage_load(engine, err);
    FAILPOINT("usage-saved", "committing");
    if (ok)
        ok = ledger_commit(engine->ledger, err);
    else
        ledger_rollback(engine->ledger);
    if (!ok) {
        usage_put_back(engine->usage, &before);
        return false;
    }
    free(before.accounts);
    FAILPOINT("usage-saved", "committed");
    return true;
}

static void note_told(struct usage_provider *state, const struct gathering *all)
{
    for (size_t i = 0; state->polling && i < all->totals_count; i++) {
        struct usage_told_key *told = calloc(1, sizeof *told);
        if (!told)
            abort();
        memcpy(told->key, all->totals[i].key, sizeof told->key);
        told->next = state->told_since;
        state->told_since = told;
    }
}

/* The report has come: what it says of keys that have told the same since it was asked for is dropped. */
static void drop_told(struct usage_provider *state, struct provider_result *result)
{
    size_t kept = 0;
    for (size_t i = 0; i < result->usage_count; i++) {
        const struct usage_told_key *told = state->told_since;
        while (told && strcmp(told->key, result->usage[i].key_id) != 0)
            told = told->next;
        if (!told || result->usage[i].kind != PROVIDER_USAGE_MONTH_TOTAL)
            result->usage[kept++] = result->usage[i];
    }
    result->usage_count = kept;
    for (struct usage_told_key *told; (told = state->told_since); free(told))
        state->told_since = told->next;
}

void usage_heard(struct engine *engine, const char *provider, const struct provider_result *result)
{
    struct gathering all = {.count = 0};
    struct error err = ERROR_INIT;
    bool any = false;
    for (size_t i = 0; i < result->usage_count; i++)
        any = any || result->usage[i].micro_dollars > 0; /* most keys of a host that stops cost nothing yet */
    if (!any)
        return;
    if (!attribute(engine, provider, result, &all, &err) || !save(engine, NULL, NULL, &all, &err))
        log_error("usage of %s: ledger: %s; what a key cost in the end may be missing", provider, err.text);
    else
        note_told(usage_state(engine, provider), &all);
    free(all.rows);
    free(all.totals);
}

/* What was spent in a project after its domain had gone is known from now on, and is no share of the others'. */
static void mark_shared(struct engine *engine, const char *provider)
{
    for (size_t i = 0; i < engine->vms_count; i++)
        for (size_t g = 0; g < engine->vms[i]->grants_count; g++) {
            const struct vm_grant *grant = engine->vms[i]->grants[g];
            if (grant->container && grant->container->record.kind == CONTAINER_PER_OWNER &&
                strcmp(grant->record.provider, provider) == 0 &&
                grant->container->record.limit_set != engine_wanted_limit(engine, grant))
                engine_mark(engine, engine->vms[i]);
        }
}

/* Who is to hear of what was spent decides by himself, once a month and threshold. */
static void tell_alerts(struct engine *engine, const char *provider)
{
    char month[16];
    time_t seconds = (time_t)(engine->usage->month * (BUDGET_DAY_MS / 1000));
    struct tm date;
    if (!gmtime_r(&seconds, &date) || !strftime(month, sizeof month, "%Y-%m", &date))
        return;
    for (size_t i = 0; i < engine->vms_count; i++)
        for (size_t g = 0; g < engine->vms[i]->grants_count; g++) {
            const struct vm_grant *grant = engine->vms[i]->grants[g];
            const struct usage_account *account = usage_find(engine, grant->record.id);
            if (!account || strcmp(grant->record.provider, provider) != 0)
                continue;
            int64_t spent = usage_spent(engine, account);
            alerts_spending(engine, engine->vms[i], &grant->record, month, spent,
                            budget_projected(spent, engine->usage->month, clock_wall_ms()));
        }
}

/* False: the ledger did not take it, and nothing is known that was not before. */
static bool take_report(struct engine *engine, const struct poll *poll, const struct provider_result *result,
                        struct usage_provider *state)
{
    struct gathering all = {.count = 0};
    struct error err = ERROR_INIT;
    bool ok = attribute(engine, state->name, result, &all, &err) && save(engine, poll, state, &all, &err);
    free(all.rows);
    free(all.totals);
    if (!ok) {
        snprintf(state->problem, sizeof state->problem, "%.*s", (int)sizeof state->problem - 1, err.text);
        log_error("usage of %s: ledger: %s; trying again", state->name, err.text);
        return false;
    }
    state->polled_at = poll->started_at;
    state->polled_wall = poll->started_wall;
    memcpy(state->prices, engine->usage->prices_told, sizeof state->prices);
    if (poll->whole)
        state->whole_at = poll->started_at;
    state->problem[0] = '\0';
    judge_all(engine);
    mark_shared(engine, state->name);
    tell_alerts(engine, state->name);
    return true;
}

/* It is tried again once an interval at least: what is spent meanwhile counts for nobody. A provider that wants to be left
 * alone for longer is for an hour, as by its gate. */
static void try_again(struct usage_provider *state, const struct poll *poll, const struct provider_result *result,
                      int64_t interval)
{
    int64_t now = clock_monotonic_ms(), most = interval > RETRY_FIRST_MS ? interval : RETRY_FIRST_MS;
    int64_t wait = schedule_backoff(++state->failures, RETRY_FIRST_MS, most < RETRY_CAP_MS ? most : RETRY_CAP_MS,
                                    (uint64_t)poll->started_at);
    if (result->retry_after_ms > wait)
        wait = result->retry_after_ms < RETRY_CAP_MS ? result->retry_after_ms : RETRY_CAP_MS;
    if (state->failures == 1)
        state->failing_since = now;
    state->next_at = poll->slot->retired ? 0 : now + wait; /* with other settings it may go well at once */
}

static void poll_ended(void *context, struct provider_result *result)
{
    struct poll *poll = context;
    struct engine *engine = poll->engine;
    struct provider_slot *slot = poll->slot;
    struct usage_provider *state = usage_state(engine, slot->settings->name);
    int64_t interval = engine->config->daemon.usage_interval_ms;
    FAILPOINT("read-usage", "answered");
    slot->in_flight--;
    requests_gate_ended(engine, slot, requests_gate(slot, PROVIDER_USAGE), result, poll->started_at);
    state->polling = false;
    drop_told(state, result);
    if (result->outcome == OUTCOME_OK && take_report(engine, poll, result, state)) {
        state->failures = 0;
        state->next_at = poll->started_at + interval;
    } else {
        try_again(state, poll, result, interval);
    }
    if (result->outcome != OUTCOME_OK) {
        if (strcmp(state->problem, result->error.text) != 0)
            log_warning("usage of %s: %s: %s", state->name, outcome_name(result->outcome), result->error.text);
        snprintf(state->problem, sizeof state->problem, "%.*s", (int)sizeof state->problem - 1, result->error.text);
    }
    if (slot->retired)
        requests_collect_retired(engine);
    free(poll->scopes);
    free(poll->known);
    free(poll);
}

/* --- asking --- */

static bool add_scope(void *context, const char *container, int64_t keys, struct error *err)
{
    struct poll *poll = context;
    struct provider_scope *scopes = realloc(poll->scopes, (poll->scopes_count + 1) * sizeof *scopes);
    if (!scopes)
        return error_set(err, ERROR_IO, "out of memory");
    poll->scopes = scopes;
    scopes[poll->scopes_count] = (struct provider_scope){.keys = keys > 0 && keys < 1000000 ? (unsigned)keys : 1};
    snprintf(scopes[poll->scopes_count++].container_id, sizeof scopes->container_id, "%s", container);
    return true;
}

static void start_poll(struct engine *engine, struct provider_slot *slot, struct usage_provider *state, int64_t now)
{
    int64_t wall = clock_wall_ms(), today = budget_day(wall);
    struct poll *poll = calloc(1, sizeof *poll);
    struct error err = ERROR_INIT;
    if (!poll)
        abort();
    *poll = (struct poll){.engine = engine, .slot = slot, .started_at = now, .started_wall = wall};
    poll->whole = !state->whole_at || now - state->whole_at >= WHOLE_MS;
    int64_t since = poll->whole && budget_month(today) < today ? budget_month(today) : today;
    since = poll->since = since > RECENT_DAYS ? since - RECENT_DAYS : 0;
    if (!ledger_each_scope(engine->ledger, slot->settings->name, since * BUDGET_DAY_MS, add_scope, poll, &err))
        log_error("usage of %s: ledger: %s", slot->settings->name, err.text);
    if (!poll->scopes_count || err.code != ERROR_NONE) {
        if (err.code == ERROR_NONE)
            state->idle_at = now;
        state->next_at = now + engine->config->daemon.usage_interval_ms;
        free(poll->scopes);
        free(poll);
        return;
    }
    struct provider_call call = {.verb = PROVIDER_USAGE, .scopes = poll->scopes, .scopes_count = poll->scopes_count,
                                 .since = since * BUDGET_DAY_MS, .until = wall};
    snprintf(call.name_prefix, sizeof call.name_prefix, "llmhook:%s:", engine->host_id);
    poll->known = rows_name_known(engine, slot->settings->name, &call);
    state->polling = true;
    gate_begin(requests_gate(slot, PROVIDER_USAGE));
    slot->in_flight++;
    FAILPOINT("read-usage", "sending");
    provider_start(slot->provider, &call, poll_ended, poll);
}

/* --- the clock --- */

static bool is_live(const struct engine *engine, int64_t grant_id)
{
    for (size_t i = 0; i < engine->vms_count; i++)
        for (size_t g = 0; g < engine->vms[i]->grants_count; g++)
            if (engine->vms[i]->grants[g]->record.id == grant_id)
                return true;
    return false;
}

/* Of those that have ended, and have spent nothing in the month in force. A bill of an earlier month that comes yet is for the
 * ledger alone; what comes of this month brings its account back, with the rates that the ledger keeps. One that lives stays
 * also without: how fast its bills come is measured over stretches that go on from month to month. */
static void drop_ended(struct engine *engine)
{
    struct usage *usage = engine->usage;
    size_t kept = 0;
    for (size_t i = 0; i < usage->accounts_count; i++) {
        const struct usage_account *account = &usage->accounts[i];
        if (budget_estimated(&account->budget) || budget_billed(&account->budget) || is_live(engine, account->grant_id))
            usage->accounts[kept++] = *account;
    }
    usage->accounts_count = kept;
}

/* Not before the ledger says what was spent in it: that is tried again at the next tick, and the month before stays. */
static void enter_month(struct engine *engine, int64_t month, int64_t now)
{
    struct usage *usage = engine->usage;
    int64_t before = usage->month;
    struct error err = ERROR_INIT;
    usage->month = month;
    if (!usage_load(engine, &err)) {
        usage->month = before;
        if (schedule_allow(&usage->words, now, 60000, 1))
            log_error("usage: another month has begun (UTC), but the ledger: %s; trying again", err.text);
        return;
    }
    drop_ended(engine);
    for (size_t i = 0; i < usage->accounts_count; i++)
        usage->accounts[i].seen = budget_estimated(&usage->accounts[i].budget);
    for (struct usage_provider *state = usage->providers; state; state = state->next)
        state->longest_ms = 0;
    log_notice("usage: another month has begun (UTC)");
    engine_mark_all(engine); /* keys that had what was left of a limit get all of it */
}

static void on_tick(void *context)
{
    struct engine *engine = context;
    struct usage *usage = engine->usage;
    int64_t now = clock_monotonic_ms(), month = budget_clock_month(&usage->clock, clock_wall_ms(), now);
    if (month != usage->month)
        enter_month(engine, month, now);
    judge_all(engine);
    bool asks = engine->config->daemon.usage_interval_ms > 0;
    for (struct provider_slot *slot = engine->providers; slot && asks; slot = slot->next) {
        unsigned can = provider_capabilities(slot->provider);
        struct usage_provider *state = usage_state(engine, slot->settings->name);
        if (slot->retired || state->polling || now < state->next_at || !gate_ready(requests_gate(slot, PROVIDER_USAGE), now))
            continue;
        if (can & PROVIDER_CAN_USAGE)
            start_poll(engine, slot, state, now);
        else
            state->next_at = now + engine->config->daemon.usage_interval_ms;
        if ((can & PROVIDER_CAN_LIMIT_CONTAINER) && gate_ready(&slot->gate, now))
            usage_read_limits(engine, slot, state, now);
        if ((can & PROVIDER_CAN_CHANGE_LIMIT) && gate_ready(&slot->gate, now))
            usage_read_key_limits(engine, slot, now);
    }
    engine->loop->timer_set(engine->loop, usage->timer, TICK_MS);
}

static void tell_apart(struct usage *usage)
{
    struct buffer text = BUFFER_INIT(1024 * 1024);
    for (size_t i = 0; i < usage->prices_count; i++)
        buffer_printf(&text, "%s %" PRId64 " %" PRId64 " %" PRId64 "\n", usage->prices[i].model, usage->prices[i].input,
                      usage->prices[i].cached, usage->prices[i].output);
    secret_fingerprint_bytes(text.data ? text.data : "", text.length, usage->prices_told);
    buffer_clear(&text);
}

static bool read_prices(struct engine *engine, struct error *err)
{
    struct usage *usage = engine->usage;
    struct price *table = NULL;
    size_t count = 0;
    if (!config_prices_read(engine->config->daemon.prices, &table, &count, err))
        return false;
    free(usage->prices);
    usage->prices = table;
    usage->prices_count = count;
    usage->prices_problem[0] = '\0';
    tell_apart(usage);
    return true;
}

void usage_reload(struct engine *engine)
{
    struct error err = ERROR_INIT;
    if (!read_prices(engine, &err)) {
        snprintf(engine->usage->prices_problem, sizeof engine->usage->prices_problem, "%s", err.text);
        log_error("prices: %s; the earlier ones stay in force", err.text);
    }
    for (struct usage_provider *state = engine->usage->providers; state; state = state->next)
        state->next_at = state->whole_at = 0; /* all of the month at the prices of now */
    judge_all(engine);
}

bool usage_prepare(struct engine *engine, struct error *err)
{
    struct usage *usage = calloc(1, sizeof *usage);
    if (!usage)
        return error_set(err, ERROR_IO, "out of memory");
    engine->usage = usage;
    usage->month = budget_clock_month(&usage->clock, clock_wall_ms(), clock_monotonic_ms());
    if (!read_prices(engine, err))
        return error_prefix(err, "prices");
    if (!usage_load(engine, err))
        return false;
    for (size_t i = 0; i < usage->accounts_count; i++)
        usage->accounts[i].seen = budget_estimated(&usage->accounts[i].budget);
    engine->judge = judge;
    engine->spent = spent_of_grant;
    engine->departed = usage_departed;
    usage->timer = engine->loop->timer(engine->loop, on_tick, engine);
    if (usage->timer < 0)
        return error_set(err, ERROR_IO, "the timer for usage could not be made");
    engine->loop->timer_set(engine->loop, usage->timer, TICK_MS);
    return true;
}
