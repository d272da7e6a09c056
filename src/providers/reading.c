#include "providers/reading.h"

#include "providers/form.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

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

enum provider_next reading_conclude_gone(struct reading *reading, const char *what, const char *id)
{
    error_set(&reading->result->error, ERROR_NOT_FOUND, "%s has no such %s any more: %s", reading->who, what, id);
    return reading_conclude(reading, OUTCOME_GONE);
}

enum provider_next reading_container_made(struct reading *reading)
{
    struct provider_result *result = reading->result;
    cleanup_json struct json_object *container = NULL;
    if (!reading_body(reading, &container) || !form_get_id(container, "id", result->container_id, &result->error)) {
        result->container_id[0] = '\0';
        return reading_unreadable(reading);
    }
    return reading_conclude(reading, OUTCOME_OK);
}

bool reading_names_container(const struct reading *reading, const char *name)
{
    char identity[RECORD_NAME_SIZE];
    snprintf(identity, sizeof identity, "%s", reading->call->container_name);
    identity[strcspn(identity, " ")] = '\0';
    return provider_container_matches(name, identity);
}

/* --- lists, page by page --- */

bool reading_each(struct reading *reading, struct json_object *list, reading_entry_fn *each, struct error *err)
{
    for (size_t i = 0; each && i < json_object_array_length(list); i++)
        if (!each(reading, json_object_array_get_idx(list, i), err))
            return false;
    return true;
}

bool reading_add_item(struct reading *reading, const struct provider_item *item, struct error *err)
{
    return provider_result_add(reading->result, item) || error_set(err, ERROR_LIMIT, "the list is too long");
}

bool reading_add_usage(struct reading *reading, const struct provider_usage *usage, struct error *err)
{
    return provider_usage_add(reading->result, usage) || error_set(err, ERROR_LIMIT, "the report is too long");
}

bool reading_follow(struct reading *reading, const char *cursor)
{
    struct provider_progress *progress = reading->progress;
    if (!*cursor || strcmp(cursor, progress->cursor) == 0)
        return false;
    snprintf(progress->cursor, sizeof progress->cursor, "%s", cursor);
    return true;
}

bool reading_next_page(struct reading *reading, struct json_object *page, struct error *err)
{
    char next[sizeof reading->progress->cursor];
    bool more;
    if (!json_get_boolean(page, "has_more", &more, err))
        return false;
    if (!more) {
        reading->progress->cursor[0] = '\0';
        return true;
    }
    if (!json_get_string(page, "next_page", next, sizeof next, err))
        return false;
    return reading_follow(reading, next) ||
           error_set(err, ERROR_PROTOCOL, "field 'has_more' promises a page, but 'next_page' does not lead there");
}

enum provider_next reading_again(struct reading *reading)
{
    struct provider_progress *progress = reading->progress;
    if ((progress->step & READING_MOVED) >= READING_MOVED_MAX) {
        error_set(&reading->result->error, ERROR_BUSY, "%s's list of keys does not hold still long enough to be read",
                  reading->who);
        return reading_conclude(reading, OUTCOME_UNREACHABLE);
    }
    reading->result->items_count = 0;
    if (reading->call->verb == PROVIDER_USAGE) /* else it is the end of a key's own */
        reading->result->usage_count = 0;
    *progress = (struct provider_progress){.step = progress->step + 1, .unchanged = progress->unchanged};
    return PROVIDER_NEXT_REQUEST;
}

enum provider_next reading_conclude_list(struct reading *reading)
{
    form_sort_by_age(reading->result);
    form_drop_doubles(reading->result);
    return reading_conclude(reading, OUTCOME_OK);
}
