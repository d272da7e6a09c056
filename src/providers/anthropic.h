/* Between anthropic.c (requests, refusals) and anthropic-read.c (what stands in a success). Nobody else's. */
#ifndef LLMHOOK_PROVIDERS_ANTHROPIC_H
#define LLMHOOK_PROVIDERS_ANTHROPIC_H

#include "providers/rates.h"
#include "providers/reading.h"

#define ANTHROPIC_WHO "Anthropic" /* in sentences */
/* A workspace's whole name, where its own had to be cut. */
#define ANTHROPIC_TAG "llmhook"

/* Steps of verbs that need more than one kind of request. */
enum { LIMIT_SET, LIMIT_READ }; /* the limit's id is the cursor */
enum { CLAIM_SET, CLAIM_READ };
enum { USAGE_TOKENS, USAGE_COSTS };
enum { INVENTORY_WORKSPACES, INVENTORY_KEYS, INVENTORY_LIMITS };
/* Added to whatever step was refused: what it was about is looked at. The refusal's words wait in the result's error. */
enum { LOOK_AT_KEY = 1 << 8, LOOK_AT_WORKSPACE = 1 << 9 };

/* Limiters of a group of models, as bits. */
enum { LIMITER_REQUESTS = 1, LIMITER_INPUT = 2, LIMITER_INPUT_CACHE_AWARE = 4, LIMITER_OUTPUT = 8, LIMITER_TOKENS = 16 };
enum { LIMITERS_COUNT = 5 };
extern const char *const anthropic_limiters[LIMITERS_COUNT]; /* their names, in the order of the bits */

/* Switches a key, or claims one: all these are refused alike. */
bool anthropic_verb_is_about_key(enum provider_verb verb);
/* The workspace that the call names; NULL where it is no more than the whole account. */
const char *anthropic_workspace_of(const struct provider_call *call);
/* What LIMITER (its index) is to be, 0: as it is. */
int64_t anthropic_limiter_value(const struct provider_rate *rate, unsigned limiter);

/* A page of the list at PATH, which has its question mark; CURSOR_NAME is what leads to the next one. */
bool anthropic_put_page_url(const struct provider_settings *settings, const struct provider_progress *progress,
                            struct http_request *request, struct error *err, const char *path, const char *cursor_name);

/* A list by cursors: what leads from PAGE to the next one is kept in the progress, "" after the last. */
bool anthropic_next_page(struct reading *reading, struct json_object *page, struct error *err);

/* anthropic-usage.c */
bool anthropic_build_usage(const struct provider_settings *settings, const struct provider_call *call,
                           const struct provider_progress *progress, struct http_request *request, struct error *err);
enum provider_next anthropic_parse_usage(struct reading *reading);

/* All return what anthropic_parse() is to return. */
enum provider_next anthropic_parse_success(struct reading *reading);

#endif
