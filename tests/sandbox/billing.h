/* What models cost, what was used, and when a project's spend limit stops it. */
#ifndef SANDBOX_BILLING_H
#define SANDBOX_BILLING_H

#include "store.h"

/* Prices are micro-dollars for a million tokens, made up but of the right size. */
struct model_price {
    const char *name;
    int64_t input_micro_usd, output_micro_usd;
};

extern const struct model_price billing_models[RATE_LIMIT_MODELS];

const struct model_price *billing_model(const char *name); /* NULL when unknown */

void billing_use(struct store *store, struct key *key, const struct model_price *model,
                 int64_t input_tokens, int64_t output_tokens);
/* Books whatever it takes to make this month's spend so much. */
void billing_set_spend(struct store *store, struct project *project, int64_t micro_usd);
/* Since the first of this month, UTC. */
int64_t billing_month_spend(const struct project *project);

/* Whether a charge of AT (unix seconds) is in the reports of costs, or in those of usage, already; see knobs. */
bool billing_shown(const struct knobs *knobs, int64_t at, bool costs);
/* What a report shows of it. */
int64_t billing_draft(const struct knobs *knobs, int64_t at, int64_t micro_usd);

/* Is a call in this project to be refused now? */
bool billing_exhausted(const struct project *project);
/* What the spend limit's enforcement status shows; see knobs. */
bool billing_reports_enforcing(const struct store *store, const struct project *project);

#endif
