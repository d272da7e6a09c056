/* Spending in the operator's words: the method Usage, and what `status` says of a grant's money. */
#include "daemon/usage.h"

#include "base/clock.h"
#include "base/json.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#ifndef LLMHOOK_USAGE_PAGE
#define LLMHOOK_USAGE_PAGE 10000 /* rows, of some 300 bytes: well below CONTROL_MESSAGE_MAX with what one grant has beside */
#endif

/* A page of rows: whole grants, and no more once it is full. */
struct answer {
    struct json_object *rows;
    int64_t grant_id; /* of the last row */
    bool full;
};

static bool add_row(void *context, const struct spending_record *record, const struct spending_of *of, struct error *err)
{
    struct answer *answer = context;
    (void)err;
    if (record->grant_id != answer->grant_id && json_object_array_length(answer->rows) >= LLMHOOK_USAGE_PAGE) {
        answer->full = true;
        return false;
    }
    answer->grant_id = record->grant_id;
    struct json_object *row = json_object_new_object();
    json_put_string(row, "domain", of->domain);
    if (of->name[0])
        json_put_string(row, "name", of->name);
    if (of->owner[0])
        json_put_string(row, "owner", of->owner);
    json_put_string(row, "provider", of->provider);
    json_put_integer(row, "day", record->day * BUDGET_DAY_MS);
    json_put_string(row, "model", record->model);
    json_put_string(row, "source", record->bill ? "bill" : "estimate");
    json_put_boolean(row, "unpriced", record->unpriced);
    json_put_integer(row, "micro_dollars", record->micro_dollars);
    json_put_integer(row, "requests", record->requests);
    json_put_integer(row, "input_tokens", record->input_tokens);
    json_put_integer(row, "cached_tokens", record->cached_tokens);
    json_put_integer(row, "output_tokens", record->output_tokens);
    json_object_array_add(answer->rows, row);
    return true;
}

/* How far ACCOUNT can go beyond its limit. */
static int64_t overshoot(struct engine *engine, const struct usage_account *account)
{
    const struct usage_provider *state = usage_provider_state(engine, account->provider);
    int64_t interval = engine->config->daemon.usage_interval_ms, now = clock_monotonic_ms();
    if (state && state->longest_ms > interval)
        interval = state->longest_ms;
    if (state && state->polled_at && now - state->polled_at > interval)
        interval = now - state->polled_at;
    struct provider_lag lag = usage_lag(engine, account->provider);
    const struct budget_pace pace = {interval, lag.used_ms, lag.billed_ms, USAGE_CUT_MS};
    return budget_overshoot(&account->budget.rates, &pace);
}

/* One of this month's budgets. */
static struct json_object *budget_json(const char *kind, const char *name, int64_t limit, int64_t spent)
{
    struct json_object *object = json_object_new_object();
    json_put_string(object, "kind", kind);
    json_put_string(object, "name", name);
    json_put_integer(object, "limit", limit);
    json_put_integer(object, "spent", spent);
    return object;
}

static void put_grants(struct engine *engine, struct json_object *budgets)
{
    const struct usage *usage = engine->usage;
    for (size_t i = 0; i < engine->vms_count; i++) {
        const struct vm *vm = engine->vms[i];
        for (size_t g = 0; g < vm->grants_count; g++) {
            const struct vm_grant *grant = vm->grants[g];
            const struct usage_account *account = usage_of_grant(engine, grant);
            int64_t spent = account ? usage_spent(engine, account) : 0;
            if (!grant->wanted && !spent)
                continue;
            struct json_object *object = budget_json("domain", vm->record.name, grant->record.monthly_limit, spent);
            json_put_string(object, "domain", vm->record.uuid);
            json_put_string(object, "provider", grant->record.provider);
            json_put_integer(object, "estimated", account ? budget_estimated(&account->budget) : 0);
            json_put_integer(object, "billed", account ? budget_billed(&account->budget) : 0);
            json_put_integer(object, "overshoot", account ? overshoot(engine, account) : 0);
            json_put_integer(object, "projected", budget_projected(spent, usage->month, clock_wall_ms()));
            json_put_boolean(object, "unpriced", account && account->unpriced);
            json_put_boolean(object, "over", grant->over_budget);
            json_object_array_add(budgets, object);
        }
    }
}

static void put_budgets(struct engine *engine, struct json_object *budgets)
{
    put_grants(engine, budgets);
    for (size_t i = 0; i < engine->config->owners_count; i++) {
        const struct config_owner *owner = &engine->config->owners[i];
        if (!owner->monthly_limit)
            continue;
        json_object_array_add(budgets, budget_json("owner", owner->name, owner->monthly_limit,
                                                   usage_spent_together(engine, owner->name)));
    }
    if (engine->config->daemon.monthly_limit)
        json_object_array_add(budgets, budget_json("host", engine->host_id, engine->config->daemon.monthly_limit,
                                                   usage_spent_together(engine, NULL)));
}

static void put_providers(struct engine *engine, struct json_object *providers)
{
    for (const struct provider_slot *slot = engine->providers; slot; slot = slot->next) {
        const struct usage_provider *state = usage_provider_state(engine, slot->settings->name);
        struct json_object *object = json_object_new_object();
        if (slot->retired) {
            json_object_put(object);
            continue;
        }
        json_put_string(object, "name", slot->settings->name);
        json_put_boolean(object, "reports", (provider_capabilities(slot->provider) & PROVIDER_CAN_USAGE) != 0);
        if (state && state->polled_wall)
            json_put_integer(object, "read_at", state->polled_wall);
        if (state && state->problem[0])
            json_put_string(object, "problem", state->problem);
        json_object_array_add(providers, object);
    }
}

void usage_run(struct engine *engine, struct control_call *call, struct json_object *parameters)
{
    struct usage *usage = engine->usage;
    int64_t month = usage->month, since = json_optional_integer(parameters, "since", -1);
    int64_t until = json_optional_integer(parameters, "until", -1);
    if (since > INT64_MAX / 2 || until > INT64_MAX / 2) {
        control_invalid_parameter(call, since > INT64_MAX / 2 ? "since" : "until");
        return;
    }
    int64_t from = since >= 0 ? budget_day(since) : month;
    int64_t to = until >= 0 ? budget_day(until) : budget_next_month(budget_day(clock_wall_ms()));
    int64_t after = json_optional_integer(parameters, "after", 0);
    struct answer answer = {.rows = json_object_new_array()};
    struct error err = ERROR_INIT;
    struct json_object *reply = json_object_new_object(), *budgets = json_object_new_array(),
                       *providers = json_object_new_array();
    if (!ledger_each_spending(engine->ledger, from, to, after, add_row, &answer, &err) && !answer.full) {
        json_object_put(answer.rows);
        json_object_put(budgets);
        json_object_put(providers);
        json_put_string(reply, "reason", err.text);
        control_error(call, "Failed", reply);
        return;
    }
    if (after <= 0) { /* the first page has all that is no row */
        put_budgets(engine, budgets);
        put_providers(engine, providers);
    }
    json_put_integer(reply, "month", month * BUDGET_DAY_MS);
    json_put_integer(reply, "since", from * BUDGET_DAY_MS);
    json_put_integer(reply, "until", to * BUDGET_DAY_MS);
    json_put(reply, "rows", answer.rows);
    if (answer.full)
        json_put_integer(reply, "next", answer.grant_id);
    json_put(reply, "budgets", budgets);
    json_put(reply, "providers", providers);
    if (usage->prices_problem[0])
        json_put_string(reply, "prices_problem", usage->prices_problem);
    control_reply(call, reply);
}

void usage_put(struct engine *engine, const struct vm_grant *grant, struct json_object *object)
{
    const struct usage_account *account = usage_of_grant(engine, grant);
    json_put_integer(object, "spent", account ? usage_spent(engine, account) : 0);
    json_put_integer(object, "overshoot", account ? overshoot(engine, account) : 0);
    json_put_boolean(object, "over_budget", grant->over_budget);
}
