#include "billing.h"

#include "clock.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

const struct model_price billing_models[RATE_LIMIT_MODELS] = {
    {"gpt-4.1", 2000000, 8000000},
    {"gpt-4.1-mini", 400000, 1600000},
    {"gpt-4o", 2500000, 10000000},
};

const struct model_price *billing_model(const char *name)
{
    for (size_t i = 0; i < RATE_LIMIT_MODELS; i++) {
        if (strcmp(billing_models[i].name, name) == 0)
            return &billing_models[i];
    }
    return NULL;
}

static void book(struct store *store, const struct charge *charge)
{
    if (store->n_charges == store->max_charges) {
        size_t size = store->max_charges == 0 ? 256 : store->max_charges * 2;
        struct charge *grown = realloc(store->charges, size * sizeof(*grown));

        if (grown == NULL)
            abort();
        store->charges = grown;
        store->max_charges = size;
    }
    store->charges[store->n_charges++] = *charge;
    if (charge->project->spend_month != month_start()) {
        charge->project->spend_month = month_start();
        charge->project->spend_micro_usd = 0;
    }
    charge->project->spend_micro_usd += charge->micro_usd;
}

void billing_use(struct store *store, struct key *key, const struct model_price *model,
                 int64_t input_tokens, int64_t output_tokens)
{
    struct charge charge = {
        .at = unix_ms() / 1000,
        .project = key->project,
        .key = key,
        .model = model->name,
        .input_tokens = input_tokens,
        .output_tokens = output_tokens,
        .micro_usd = (input_tokens * model->input_micro_usd + output_tokens * model->output_micro_usd) /
                     1000000,
    };

    book(store, &charge);
}

int64_t billing_month_spend(const struct project *project)
{
    return project->spend_month == month_start() ? project->spend_micro_usd : 0;
}

void billing_set_spend(struct store *store, struct project *project, int64_t micro_usd)
{
    struct charge charge = {
        .at = unix_ms() / 1000,
        .project = project,
        .micro_usd = micro_usd - billing_month_spend(project),
    };

    book(store, &charge);
}

bool billing_shown(const struct knobs *knobs, int64_t at, bool costs)
{
    return unix_ms() / 1000 >= at + (costs ? knobs->cost_lag_s : knobs->usage_lag_s);
}

int64_t billing_draft(const struct knobs *knobs, int64_t at, int64_t micro_usd)
{
    bool final = unix_ms() / 1000 >= at + knobs->cost_final_s;

    return final ? micro_usd : micro_usd * (100 + knobs->cost_draft_percent) / 100;
}

static bool armed(const struct project *project)
{
    return project->limit.set && project->limit.switched_on &&
           mono_ms() >= project->limit.enforce_mono;
}

bool billing_exhausted(const struct project *project)
{
    return armed(project) && billing_month_spend(project) >= project->limit.cents * 10000;
}

bool billing_reports_enforcing(const struct store *store, const struct project *project)
{
    return store->knobs.enforcing_when_hit ? billing_exhausted(project) : armed(project);
}
