/* What a driver's parse() has in hand while it reads an answer, and what every driver does with it. Pure. */
#ifndef LLMHOOK_PROVIDERS_READING_H
#define LLMHOOK_PROVIDERS_READING_H

#include "base/json.h"
#include "providers/http.h"
#include "providers/provider.h"

struct reading {
    const char *who; /* the provider's name in sentences */
    const struct provider_settings *settings;
    const struct provider_call *call;
    struct provider_progress *progress;
    const struct http_answer *answer;
    struct provider_result *result;
};

/* The call's end, with this outcome. */
enum provider_next reading_conclude(struct reading *reading, enum outcome outcome);
/* The answer is not what it should be: the result's error says why, or which field. */
enum provider_next reading_unreadable(struct reading *reading);
/* The answer as JSON. Released by the caller. */
bool reading_body(struct reading *reading, struct json_object **ret_object);

#endif
