#include "providers/missing.h"

bool missing_may(const struct provider_call *call)
{
    return call->verb == PROVIDER_REVOKE_KEY || call->verb == PROVIDER_SUSPEND_KEY || call->verb == PROVIDER_RESUME_KEY ||
           call->verb == PROVIDER_LIMIT_KEY;
}

enum provider_next missing_begin(struct provider_progress *progress, bool untouched, bool ask_key)
{
    *progress = (struct provider_progress){.step = ask_key ? MISSING_KEY : MISSING_LIST, .unchanged = untouched};
    return PROVIDER_NEXT_REQUEST;
}

enum provider_next missing_key_answered(const char *who, const struct provider_call *call, struct provider_progress *progress,
                                        const struct http_answer *answer, const struct provider_complaint *complaint,
                                        struct provider_result *result)
{
    long status = answer->status;
    if (status == 401 && complaint->readable) {
        progress->step = MISSING_LIST;
        return PROVIDER_NEXT_REQUEST;
    }
    if (status == 401) {
        result->outcome = OUTCOME_REFUSED;
        error_set(&result->error, ERROR_PROTOCOL, "the answer (401) does not look like one of %s: check base-url and any proxy", who);
    } else if ((status >= 200 && status < 300) || status == 400 || status == 402 || status == 403) {
        result->outcome = OUTCOME_REFUSED;
        error_set(&result->error, ERROR_DENIED,
                  "%s says (404) that it has no key %s, but does not refuse that key itself (%ld): the admin key is probably another "
                  "account's; put back one of the account that the key is in", who, call->key_id, status);
    } else {
        provider_judge(PROVIDER_CHECK, who, answer, complaint, result);
    }
    return PROVIDER_NEXT_DONE;
}

enum provider_next missing_list_read(const char *who, const struct provider_call *call, struct provider_result *result)
{
    if (result->items_count) {
        result->items_count = 0;
        result->outcome = OUTCOME_REFUSED;
        error_set(&result->error, ERROR_PROTOCOL, "%s says (404) that it has no key %s, and lists it", who, call->key_id);
    } else {
        result->outcome = OUTCOME_GONE;
        error_set(&result->error, ERROR_NOT_FOUND, "%s has no such key any more: %s", who, call->key_id);
    }
    return PROVIDER_NEXT_DONE;
}
