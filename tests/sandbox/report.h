/*
 * Reports of usage and costs, as OpenAI and Anthropic both give them: charges of a time, cut into buckets, added up by group,
 * page by page. What a bucket says is the provider's own.
 */
#ifndef SANDBOX_REPORT_H
#define SANDBOX_REPORT_H

#include "exchange.h"

struct report_span {
    int64_t start, end; /* unix seconds; the end is exclusive */
    int64_t width;      /* of a bucket, seconds */
    int64_t limit;      /* buckets of a page, and how many may be asked for */
    int64_t limit_max;
};

/* What WIDTH ("1d", "1h", "1m"; NULL = a day) makes of it; costs are told by day alone. False: it is none of these. */
bool report_set_width(struct report_span *span, const char *width, bool costs);
/* Begins where the page of that name does. False: it is no page's name. */
bool report_set_page(struct report_span *span, const char *page);

/* Whether all that is to be grouped by is in KNOWN, which is NULL-ended. */
bool report_groups_known(const struct request *request, const char *const *known);
/* Whether it is grouped by DIMENSION. */
bool report_grouped(const struct request *request, const char *dimension);

/* Adds a page of SPAN to OBJECT: data, has_more, next_page. The first bucket is the one that SPAN begins in. */
typedef struct json_object *report_bucket(void *context, int64_t start);
void report_put_page(struct json_object *object, const struct report_span *span, report_bucket *bucket, void *context);

#endif
