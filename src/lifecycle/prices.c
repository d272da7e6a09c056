#include "lifecycle/prices.h"

#include "lifecycle/budget.h"

#include <string.h>

enum { PER = 1000000, DATE_DIGITS = 4 };

/* As OpenAI calls a tuned model: ft:gpt-4.1-mini-2025-04-14:org:name:id. */
#define TUNED "ft:"

/* What may stand behind the name of a model: nothing, a date, or a tuned model's own name. A number of fewer digits than a
 * date has (gpt-4-0613 is the shortest) makes it another model: claude-opus-5-5 is not claude-opus-5. */
static bool ends_name(const char *rest)
{
    size_t digits = rest[0] == '-' ? strspn(rest + 1, "0123456789") : 0;
    if (digits >= DATE_DIGITS)
        rest += 1 + strspn(rest + 1, "0123456789-");
    return *rest == ':' || *rest == '\0';
}

const struct price *prices_find(const struct prices *prices, const char *model)
{
    const struct price *best = NULL;
    const char *slash = strrchr(model, '/');
    model = slash ? slash + 1 : model;
    if (strncmp(model, TUNED, strlen(TUNED)) == 0)
        model += strlen(TUNED);
    for (size_t i = 0; i < prices->count; i++) {
        const struct price *price = &prices->table[i];
        size_t length = strlen(price->model);
        if (strncmp(model, price->model, length) == 0 && ends_name(model + length) &&
            (!best || length > strlen(best->model)))
            best = price;
    }
    return best;
}

static int64_t cost(int64_t tokens, int64_t price)
{
    int64_t whole;
    if (__builtin_mul_overflow(tokens / PER, price, &whole))
        return BUDGET_MOST;
    return budget_add(whole, (tokens % PER * price + PER - 1) / PER);
}

/* Not the dearest model: one may be dear to read, another to write. */
static struct price dearest(const struct prices *prices)
{
    struct price most = {.input = 0};
    for (size_t i = 0; i < prices->count; i++) {
        const struct price *price = &prices->table[i];
        most.input = price->input > most.input ? price->input : most.input;
        most.cached = price->cached > most.cached ? price->cached : most.cached;
        most.output = price->output > most.output ? price->output : most.output;
    }
    return most;
}

int64_t prices_estimate(const struct prices *prices, const char *model, int64_t input, int64_t cached, int64_t output,
                        bool *ret_unknown)
{
    const struct price *found = prices_find(prices, model);
    struct price price = found ? *found : dearest(prices);
    *ret_unknown = !found;
    return budget_add(budget_add(cost(input - cached, price.input), cost(cached, price.cached)), cost(output, price.output));
}
