#include "providers/rates.h"

#include <string.h>

const struct provider_rate *rates_find(const struct provider_settings *settings, const char *model)
{
    for (unsigned i = 0; i < settings->rates_count; i++)
        if (strcmp(settings->rates[i].model, model) == 0)
            return &settings->rates[i];
    return NULL;
}

static bool is_listed(const struct provider_result *result, const char *model)
{
    for (size_t i = 0; i < result->items_count; i++)
        if (strcmp(result->items[i].name, model) == 0)
            return true;
    return false;
}

enum provider_next rates_listed(struct reading *reading, const char *where)
{
    const struct provider_settings *settings = reading->settings;
    for (unsigned i = 0; i < settings->rates_count; i++) {
        if (is_listed(reading->result, settings->rates[i].model))
            continue;
        error_set(&reading->result->error, ERROR_INVALID,
                  "%s has no rate limits for model '%s' in %s: correct the model's name in the configuration", reading->who,
                  settings->rates[i].model, where);
        return reading_conclude(reading, OUTCOME_REFUSED);
    }
    return rates_next(reading, 0);
}

enum provider_next rates_next(struct reading *reading, size_t index)
{
    struct provider_result *result = reading->result;
    while (index < result->items_count && !result->items[index].monthly_limit)
        index++;
    reading->progress->step = RATES_SET;
    reading->progress->index = index;
    if (index < result->items_count)
        return PROVIDER_NEXT_REQUEST;
    result->items_count = 0;
    return reading_conclude(reading, OUTCOME_OK);
}
