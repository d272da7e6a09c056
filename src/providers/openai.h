/* Between openai.c (requests, refusals) and openai-read.c (what stands in a success). Nobody else's. */
#ifndef LLMHOOK_PROVIDERS_OPENAI_H
#define LLMHOOK_PROVIDERS_OPENAI_H

#include "providers/rates.h"
#include "providers/reading.h"

#define OPENAI_WHO "OpenAI" /* in sentences */

/* Steps of verbs that need more than one kind of request. */
enum { LIMIT_SET, LIMIT_READ };
enum { INVENTORY_PROJECTS, INVENTORY_OURS, INVENTORY_LIMIT, INVENTORY_GIVEN };
enum { USAGE_COSTS, USAGE_COMPLETIONS };
/* Added to whatever step was answered with 404: the project is looked at. Their words wait in the result's error. */
enum { LOOK_AT_PROJECT = 1 << 8 };

/* The id of a configured project, or NULL when we make our own. */
const char *openai_given_project(const struct provider_settings *settings);
/* The project at INVENTORY_LIMIT has this many micro-dollars a month, 0: no limit, PROVIDER_LIMIT_UNTOLD: it is not said. */
enum provider_next openai_inventory_limit(struct reading *reading, int64_t monthly_limit);
/* Ids of rate limits and cursors hold model names, which have dots and colons. */
bool openai_wide_id_valid(const char *id);

/* Appends to the URL, which holds the base and "/organization" in the beginning. */
bool openai_put_url(const struct provider_settings *settings, struct http_request *request, struct error *err,
                    const char *format, ...) __attribute__((format(printf, 4, 5)));

/* openai-usage.c */
bool openai_build_usage(const struct provider_settings *settings, const struct provider_call *call,
                        const struct provider_progress *progress, struct http_request *request, struct error *err);
enum provider_next openai_parse_usage(struct reading *reading);

/* All return what openai_parse() is to return. */
enum provider_next openai_parse_success(struct reading *reading);
enum provider_next openai_conclude_gone(struct reading *reading);
/* Goes on with the keys of the container at INDEX of the items, or with what comes after the last. */
enum provider_next openai_inventory_next(struct reading *reading, size_t index);

#endif
