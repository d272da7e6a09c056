/* Times, money and other people's words, as an operator reads them. */
#ifndef LLMHOOK_CLI_TEXT_H
#define LLMHOOK_CLI_TEXT_H

#include "base/buffer.h"

#include <json-c/json_object.h>
#include <stdbool.h>
#include <stdint.h>

/* A line or a table's cell cannot be longer. */
#define TEXT_INIT BUFFER_INIT(64 * 1024)

/* Appends TEXT with control characters and what reorders text written as \xNN or \uNNNN; so are bytes that are
 * no UTF-8. What does not fit is cut. */
void text_append_safe(struct buffer *buffer, const char *text);

/* "3 s", "2 min", "5 h", "3 d", rounded down, each from two of its unit on; below a second "less than 1 s". */
void text_append_duration(struct buffer *buffer, int64_t ms);
/* "now", "in 3 s" (rounded up). */
void text_append_wait(struct buffer *buffer, int64_t ms);
/* "2 min ago"; from two days on, or from the future, the local date and time. 0 is "never". */
void text_append_ago(struct buffer *buffer, int64_t at_ms, int64_t now_ms);
/* "$100.00" for micro-dollars. */
void text_append_dollars(struct buffer *buffer, int64_t micro_dollars);

/* A field of a reply, borrowed, never NULL: FALLBACK when it is missing, null or no string. */
const char *text_field(struct json_object *object, const char *name, const char *fallback);
/* An array field and its length; NULL and 0 when there is none. */
struct json_object *text_list(struct json_object *object, const char *name, size_t *ret_count);

#endif
