/*
 * A page of a list by ids, as OpenAI and Anthropic both give it: data, has_more, first_id, last_id. How it is asked for and
 * what is refused is the provider's own; then every object of the list is offered in order, and where id_page_wants() says
 * true, its JSON is added.
 */
#ifndef SANDBOX_ID_PAGE_H
#define SANDBOX_ID_PAGE_H

#include "provider.h"

struct id_page {
    struct call *call;
    const char *after; /* the id behind which it begins, NULL = from the start */
    bool after_seen, has_more;
    int64_t room; /* objects that still fit */
    struct json_object *data;
    char first[ID_SIZE], last[ID_SIZE];
};

/* LIMIT: how many objects are asked for. PAGE keeps CALL and AFTER. */
void id_page_init(struct id_page *page, struct call *call, const char *after, int64_t limit);
bool id_page_wants(struct id_page *page, const char *id);
/* Takes over the object. */
void id_page_add(struct id_page *page, const char *id, struct json_object *object);
/* The whole page, to be released by the caller; with KIND, unless that is NULL, as its "object". NULL: the list does not
 * have the id behind which it was to begin. The page is spent. */
struct json_object *id_page_json(struct id_page *page, const char *kind);

#endif
