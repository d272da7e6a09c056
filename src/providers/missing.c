#include "providers/missing.h"

#include "providers/form.h"

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

enum provider_next missing_key_answered(struct reading *reading)
{
    struct provider_complaint complaint;
    struct error *err = &reading->result->error;
    long status = reading->answer->status;
    form_read_complaint(reading->answer, &complaint);
    if (status == 401 && complaint.readable) {
        reading->progress->step = MISSING_LIST;
        return PROVIDER_NEXT_REQUEST;
    }
    if (status == 401) {
        error_set(err, ERROR_PROTOCOL, "the answer (401) does not look like one of %s: check base-url and any proxy",
                  reading->who);
        return reading_conclude(reading, OUTCOME_REFUSED);
    }
    if (http_succeeded(reading->answer) || status == 400 || status == 402 || status == 403) {
        error_set(err, ERROR_DENIED,
                  "%s says (404) that it has no key %s, but does not refuse that key itself (%ld): the admin key is probably "
                  "another account's; put back one of the account that the key is in",
                  reading->who, reading->call->key_id, status);
        return reading_conclude(reading, OUTCOME_REFUSED);
    }
    provider_judge(PROVIDER_CHECK, reading->who, reading->answer, &complaint, reading->result);
    return PROVIDER_NEXT_DONE;
}

enum provider_next missing_list_read(struct reading *reading)
{
    struct error *err = &reading->result->error;
    const char *who = reading->who, *key_id = reading->call->key_id;
    if (reading->result->items_count) {
        reading->result->items_count = 0;
        error_set(err, ERROR_PROTOCOL, "%s says (404) that it has no key %s, and lists it", who, key_id);
        return reading_conclude(reading, OUTCOME_REFUSED);
    }
    return reading_conclude_gone(reading, "key", key_id);
}
