/* Rate limits by model, where the provider keeps them beside the keys: its list is read, then what is configured is set, an
 * entry a request, and read back. In between the entries are the result's items, which never leave the driver: `name` is the
 * model and `id` what is asked about it; a `monthly_limit` that is not 0 says that it is to be set. Pure. */
#ifndef LLMHOOK_PROVIDERS_RATES_H
#define LLMHOOK_PROVIDERS_RATES_H

#include "providers/reading.h"

/* Steps of RATE_LIMIT_CONTAINER. */
enum { RATES_LIST, RATES_SET };

/* The configured limits of MODEL, or NULL. */
const struct provider_rate *rates_find(const struct provider_settings *settings, const char *model);
/* The list was read to its end. OUTCOME_REFUSED when it has not all models that are configured; WHERE: in whose list, for
 * a sentence. */
enum provider_next rates_listed(struct reading *reading, const char *where);
/* Goes on with the first item from INDEX on that is to be set: it is the progress' index then. OUTCOME_OK, and no items,
 * when there is none. */
enum provider_next rates_next(struct reading *reading, size_t index);

#endif
