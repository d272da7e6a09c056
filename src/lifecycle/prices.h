/* What tokens cost, for as long as the provider has not said what they did. Pure; the table is read by config. */
#ifndef LLMHOOK_LIFECYCLE_PRICES_H
#define LLMHOOK_LIFECYCLE_PRICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PRICE_MODEL_SIZE = 65,
    PRICE_DATE_SIZE = 11, /* YYYY-MM-DD */
};
#define PRICE_MOST INT64_C(1000000000) /* micro-dollars for a million tokens: a thousand dollars */

struct price {
    char model[PRICE_MODEL_SIZE];
    char date[PRICE_DATE_SIZE];     /* when it was looked up */
    bool unverified;                /* nobody has held it against the provider's own list */
    int64_t input, cached, output;  /* micro-dollars for a million tokens */
};

struct prices {
    const struct price *table;
    size_t count;
};

/* The price of MODEL, or NULL. A name stands for its dated versions too: "gpt-4o" for "gpt-4o-2024-08-06", not for
 * "gpt-4o-mini"; and for what a gateway calls "openai/gpt-4o". The longest name that fits counts. */
const struct price *prices_find(const struct prices *prices, const char *model);

/* What so many tokens cost, rounded up: INPUT counts all of them, CACHED those among them that came from a cache. A model
 * without a price costs what the dearest costs in each column, and *RET_UNKNOWN says so. Without any price it is
 * nothing, and unknown. */
int64_t prices_estimate(const struct prices *prices, const char *model, int64_t input, int64_t cached, int64_t output,
                        bool *ret_unknown);

#endif
