#include "providers/reading.h"

enum provider_next reading_conclude(struct reading *reading, enum outcome outcome)
{
    reading->result->outcome = outcome;
    return PROVIDER_NEXT_DONE;
}

enum provider_next reading_unreadable(struct reading *reading)
{
    error_prefix(&reading->result->error, "%s's answer (%ld) cannot be trusted", reading->who, reading->answer->status);
    return reading_conclude(reading, provider_doubt(provider_judged_verb(reading->call, reading->progress)));
}

bool reading_body(struct reading *reading, struct json_object **ret_object)
{
    const struct buffer *body = &reading->answer->body;
    return json_parse(buffer_text(body), body->length, ret_object, &reading->result->error);
}
