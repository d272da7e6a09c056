#include "report.h"

#include "fields.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char page_begins[] = "page_";

bool report_set_width(struct report_span *span, const char *width, bool costs)
{
    static const struct {
        const char *name;
        int64_t seconds, limit, limit_max;
    } known[] = {{"1d", 86400, 7, 31}, {"1h", 3600, 24, 168}, {"1m", 60, 60, 1440}};

    for (size_t i = 0; i < (costs ? 1 : sizeof(known) / sizeof(known[0])); i++) {
        if (strcmp(width != NULL ? width : "1d", known[i].name) == 0) {
            span->width = known[i].seconds;
            span->limit = known[i].limit;
            span->limit_max = known[i].limit_max;
            return true;
        }
    }
    return false;
}

bool report_set_page(struct report_span *span, const char *page)
{
    const char *number = page + sizeof(page_begins) - 1;
    char *end;

    if (strncmp(page, page_begins, sizeof(page_begins) - 1) != 0)
        return false;
    span->start = strtoll(number, &end, 10);
    return *number != '\0' && *end == '\0';
}

bool report_groups_known(const struct request *request, const char *const *known)
{
    for (size_t i = 0; i < request->n_query; i++) {
        size_t at = 0;

        if (!parameter_is(&request->query[i], "group_by"))
            continue;
        while (known[at] != NULL && strcmp(known[at], request->query[i].value) != 0)
            at++;
        if (known[at] == NULL)
            return false;
    }
    return true;
}

bool report_grouped(const struct request *request, const char *dimension)
{
    for (size_t i = 0; i < request->n_query; i++) {
        if (parameter_is(&request->query[i], "group_by") && strcmp(request->query[i].value, dimension) == 0)
            return true;
    }
    return false;
}

void report_put_page(struct json_object *object, const struct report_span *span, report_bucket *bucket, void *context)
{
    struct json_object *data = json_object_new_array();
    int64_t at = span->start - span->start % span->width, room = span->limit;
    char page[32];

    for (; at < span->end && room > 0; at += span->width, room--)
        json_object_array_add(data, bucket(context, at));
    snprintf(page, sizeof(page), "%s%" PRId64, page_begins, at);
    json_object_object_add(object, "data", data);
    put_bool(object, "has_more", at < span->end);
    put_string(object, "next_page", at < span->end ? page : NULL);
}
