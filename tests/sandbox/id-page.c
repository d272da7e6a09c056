#include "id-page.h"

#include "fields.h"

#include <stdio.h>
#include <string.h>

void id_page_init(struct id_page *page, struct call *call, const char *after, int64_t limit)
{
    *page = (struct id_page){.call = call, .after = after, .room = knobs_page(&call->store->knobs, limit),
                             .data = json_object_new_array()};
}

bool id_page_wants(struct id_page *page, const char *id)
{
    if (page->after != NULL && !page->after_seen) {
        page->after_seen = strcmp(page->after, id) == 0;
        return false;
    }
    if (page->room == 0) {
        page->has_more = true;
        return false;
    }
    return true;
}

void id_page_add(struct id_page *page, const char *id, struct json_object *object)
{
    if (page->first[0] == '\0')
        snprintf(page->first, sizeof(page->first), "%s", id);
    snprintf(page->last, sizeof(page->last), "%s", id);
    json_object_array_add(page->data, object);
    page->room--;
}

struct json_object *id_page_json(struct id_page *page, const char *kind)
{
    struct json_object *object;

    if (page->after != NULL && !page->after_seen) {
        json_object_put(page->data);
        return NULL;
    }
    object = json_object_new_object();
    if (kind != NULL)
        put_string(object, "object", kind);
    json_object_object_add(object, "data", page->data);
    put_string(object, "first_id", page->first[0] != '\0' ? page->first : NULL);
    put_string(object, "last_id", page->last[0] != '\0' ? page->last : NULL);
    put_bool(object, "has_more", page->has_more);
    return object;
}
