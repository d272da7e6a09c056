/* Reading fields out of JSON that somebody else wrote, and saying exactly which field is wrong.
 *
 * Values are copied into bounded buffers: nothing of the parsed document outlives it. PATH in an error text is
 * the field's name; the value itself is never quoted, since it may be a secret. */
#ifndef LLMHOOK_BASE_JSON_H
#define LLMHOOK_BASE_JSON_H

#include "base/error.h"

#include <json-c/json_object.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Parses exactly one document of LENGTH bytes, nothing but white space behind it, at most DEPTH_MAX deep.
 * The result is released with json_object_put(). */
bool json_parse(const char *text, size_t length, struct json_object **ret_object, struct error *err);

/* Required fields: missing, null or of another type is ERROR_PROTOCOL; too long is ERROR_LIMIT. */
bool json_get_string(struct json_object *object, const char *name, char *ret_text, size_t size, struct error *err);
bool json_get_integer(struct json_object *object, const char *name, int64_t *ret_value, struct error *err);
bool json_get_boolean(struct json_object *object, const char *name, bool *ret_value, struct error *err);
/* Borrowed: lives as long as OBJECT. */
bool json_get_object(struct json_object *object, const char *name, struct json_object **ret_value, struct error *err);
bool json_get_array(struct json_object *object, const char *name, struct json_object **ret_value, struct error *err);

/* True when the field is there and not null. */
bool json_has(struct json_object *object, const char *name);

/* Optional fields: the fallback when missing, null, of another type or too long. */
void json_optional_string(struct json_object *object, const char *name, const char *fallback, char *ret_text,
                          size_t size);
int64_t json_optional_integer(struct json_object *object, const char *name, int64_t fallback);
bool json_optional_boolean(struct json_object *object, const char *name, bool fallback);

/* Building: adds a field, taking over VALUE. A NULL value (memory ran short) aborts the process: half a message is worse. */
void json_put(struct json_object *object, const char *name, struct json_object *value);
/* Bytes of TEXT that are no UTF-8 are left out: one that was cut to a size may have been cut within a character, and whoever
 * reads a document that holds half of one refuses all of it. */
void json_put_string(struct json_object *object, const char *name, const char *text);
void json_append_string(struct json_object *array, const char *text);
void json_put_integer(struct json_object *object, const char *name, int64_t value);
void json_put_boolean(struct json_object *object, const char *name, bool value);
/* An explicit null. */
void json_put_null(struct json_object *object, const char *name);

static inline void cleanup_json_pointer(struct json_object **object)
{
    json_object_put(*object);
}
#define cleanup_json __attribute__((cleanup(cleanup_json_pointer)))

#endif
