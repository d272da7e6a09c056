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

/* The WHAT ("key") of this ID that the call is about is not there any more. */
enum provider_next reading_conclude_gone(struct reading *reading, const char *what, const char *id);
/* The answer is the container that was made, with its "id": the result's container_id, "" unless it can be trusted. */
enum provider_next reading_container_made(struct reading *reading);
/* Whether NAME is that of the container that the call looks for. */
bool reading_names_container(const struct reading *reading, const char *name);

/* --- lists, page by page --- */

/* False: ERR says what is wrong with ENTRY, and the whole list is nothing. */
typedef bool reading_entry_fn(struct reading *reading, struct json_object *entry, struct error *err);
/* Hands each entry of LIST, an array, to EACH; NULL: what stands there is not looked at. */
bool reading_each(struct reading *reading, struct json_object *list, reading_entry_fn *each, struct error *err);
/* To the result; ERROR_LIMIT when it is full. */
bool reading_add_item(struct reading *reading, const struct provider_item *item, struct error *err);
bool reading_add_usage(struct reading *reading, const struct provider_usage *usage, struct error *err);
/* Keeps in the progress where the next page begins. False, and nothing is kept: CURSOR is empty, or where this page began. */
bool reading_follow(struct reading *reading, const char *cursor);
/* The same of a PAGE that has "has_more" and "next_page"; after the last page the progress' cursor is empty. */
bool reading_next_page(struct reading *reading, struct json_object *page, struct error *err);
/* A list of numbered pages has moved while it was read: what was read of it is nothing, and all is read again, up to
 * READING_MOVED_MAX times. How often it was stands in the step, whose other bits stay. */
enum { READING_MOVED_MAX = 8, READING_MOVED = (1 << 8) - 1 };
enum provider_next reading_again(struct reading *reading);
/* All pages have been read: oldest first, and each once, since what is made or deleted meanwhile moves others to a further
 * page. */
enum provider_next reading_conclude_list(struct reading *reading);

#endif
