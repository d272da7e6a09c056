/* Reading and checking the fields of a JSON body, and writing fields shortly. */
#ifndef SANDBOX_FIELDS_H
#define SANDBOX_FIELDS_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

enum field_kind { FIELD_STRING, FIELD_INT, FIELD_BOOL, FIELD_ARRAY, FIELD_OBJECT };

/* A body is described by an array of these, ended by one without a name. */
struct field {
    const char *name;
    enum field_kind kind;
    bool required;
    bool nullable;
    int64_t min, max;          /* FIELD_INT: bounds, both 0 = none; FIELD_STRING: bounds of the length */
    const char *const *values; /* FIELD_STRING: NULL-ended list of what is allowed, NULL = anything */
};

/* What is wrong with a body. The texts are meant for an error answer. */
struct complaint {
    const char *code;
    char field[64];
    char message[256];
};

/* False when the object does not fit; then complaint is filled. A field not described is a fault too. */
bool fields_check(struct json_object *object, const struct field *fields,
                  struct complaint *complaint);

/* The value of a field that was checked before; the fallback when absent or null. */
const char *get_string(struct json_object *object, const char *name, const char *fallback);
int64_t get_int(struct json_object *object, const char *name, int64_t fallback);
bool get_bool(struct json_object *object, const char *name, bool fallback);

void put_string(struct json_object *object, const char *name, const char *value); /* NULL -> null */
void put_int(struct json_object *object, const char *name, int64_t value);
void put_bool(struct json_object *object, const char *name, bool value);
/* null when the value is 0: how times that never came are written */
void put_time(struct json_object *object, const char *name, int64_t value);
/* RFC 3339 with milliseconds, behind which stands ZONE with what digits there are more; null when MS is 0. */
void put_date(struct json_object *object, const char *name, int64_t ms, const char *zone);

/* NULL when the text is not one JSON object and nothing else. The empty text is an empty object. */
struct json_object *parse_object(const char *text, size_t size);

#endif
