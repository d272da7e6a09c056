/* What Anthropic's models cost here, what was used, and when a workspace's spend limit stops it. */
#include "anthropic.h"

#include "clock.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

const struct anthropic_model anthropic_models[ANTHROPIC_MODELS] = {
    {"claude-sonnet-5-5", 0, 3000000, 15000000},
    {"claude-haiku-5-5", 1, 1000000, 5000000},
};

const struct anthropic_model *anthropic_model(const char *name)
{
    for (size_t i = 0; i < ANTHROPIC_MODELS; i++) {
        if (strcmp(anthropic_models[i].name, name) == 0)
            return &anthropic_models[i];
    }
    return NULL;
}

void anthropic_bill(struct store *store, const struct console_charge *charge)
{
    struct anthropic *anthropic = store->anthropic;
    struct workspace *workspace = charge->workspace;

    if (anthropic->n_charges == anthropic->max_charges) {
        size_t size = anthropic->max_charges == 0 ? 256 : anthropic->max_charges * 2;
        struct console_charge *grown = realloc(anthropic->charges, size * sizeof(*grown));

        if (grown == NULL)
            abort();
        anthropic->charges = grown;
        anthropic->max_charges = size;
    }
    anthropic->charges[anthropic->n_charges++] = *charge;
    if (workspace->spend_month != month_start()) {
        workspace->spend_month = month_start();
        workspace->spend_micro_usd = 0;
    }
    workspace->spend_micro_usd += charge->micro_usd;
}

int64_t anthropic_month_spend(const struct workspace *workspace)
{
    return workspace->spend_month == month_start() ? workspace->spend_micro_usd : 0;
}

bool anthropic_exhausted(const struct workspace *workspace)
{
    return workspace->limit.id[0] != '\0' && mono_ms() >= workspace->limit.enforce_mono &&
           anthropic_month_spend(workspace) >= workspace->limit.cents * 10000;
}
