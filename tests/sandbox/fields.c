#include "fields.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *const kind_names[] = {
    [FIELD_STRING] = "a string",  [FIELD_INT] = "an integer", [FIELD_BOOL] = "a boolean",
    [FIELD_ARRAY] = "an array",   [FIELD_OBJECT] = "an object",
};

static const enum json_type kind_types[] = {
    [FIELD_STRING] = json_type_string, [FIELD_INT] = json_type_int,
    [FIELD_BOOL] = json_type_boolean,  [FIELD_ARRAY] = json_type_array,
    [FIELD_OBJECT] = json_type_object,
};

__attribute__((format(printf, 4, 5)))
static bool complain(struct complaint *complaint, const char *field, const char *code,
                     const char *format, ...)
{
    va_list args;

    complaint->code = code;
    snprintf(complaint->field, sizeof(complaint->field), "%s", field);
    va_start(args, format);
    vsnprintf(complaint->message, sizeof(complaint->message), format, args);
    va_end(args);
    return false;
}

static bool check_string(const struct field *field, const char *text, struct complaint *complaint)
{
    int64_t length = (int64_t)strlen(text);

    if ((field->min != 0 || field->max != 0) && (length < field->min || length > field->max))
        return complain(complaint, field->name, "invalid_value",
                        "Invalid '%s': expected %lld to %lld bytes, but got %lld.", field->name,
                        (long long)field->min, (long long)field->max, (long long)length);
    if (field->values == NULL)
        return true;
    for (size_t i = 0; field->values[i] != NULL; i++) {
        if (strcmp(field->values[i], text) == 0)
            return true;
    }
    return complain(complaint, field->name, "invalid_value",
                    "Invalid value for '%s': it is not one of those supported.", field->name);
}

static bool check_value(const struct field *field, struct json_object *value,
                        struct complaint *complaint)
{
    if (value == NULL) {
        if (field->nullable)
            return true;
        return complain(complaint, field->name, "invalid_type",
                        "Invalid type for '%s': expected %s, but got null.", field->name,
                        kind_names[field->kind]);
    }
    if (json_object_get_type(value) != kind_types[field->kind])
        return complain(complaint, field->name, "invalid_type",
                        "Invalid type for '%s': expected %s, but got %s.", field->name,
                        kind_names[field->kind], json_type_to_name(json_object_get_type(value)));
    if (field->kind == FIELD_STRING)
        return check_string(field, json_object_get_string(value), complaint);
    if (field->kind == FIELD_INT && (field->min != 0 || field->max != 0)) {
        int64_t number = json_object_get_int64(value);

        if (number < field->min || number > field->max)
            return complain(complaint, field->name, "invalid_value",
                            "Invalid '%s': expected %lld to %lld, but got %lld.", field->name,
                            (long long)field->min, (long long)field->max, (long long)number);
    }
    return true;
}

bool fields_check(struct json_object *object, const struct field *fields,
                  struct complaint *complaint)
{
    const struct field *field;

    json_object_object_foreach(object, name, value) {
        for (field = fields; field->name != NULL; field++) {
            if (strcmp(field->name, name) == 0)
                break;
        }
        if (field->name == NULL)
            return complain(complaint, name, "unknown_parameter", "Unknown parameter: '%.60s'.",
                            name);
        if (!check_value(field, value, complaint))
            return false;
    }
    for (field = fields; field->name != NULL; field++) {
        if (field->required && !json_object_object_get_ex(object, field->name, NULL))
            return complain(complaint, field->name, "missing_required_parameter",
                            "Missing required parameter: '%s'.", field->name);
    }
    return true;
}

const char *get_string(struct json_object *object, const char *name, const char *fallback)
{
    struct json_object *value;

    if (!json_object_object_get_ex(object, name, &value) || value == NULL)
        return fallback;
    return json_object_get_string(value);
}

int64_t get_int(struct json_object *object, const char *name, int64_t fallback)
{
    struct json_object *value;

    if (!json_object_object_get_ex(object, name, &value) || value == NULL)
        return fallback;
    return json_object_get_int64(value);
}

bool get_bool(struct json_object *object, const char *name, bool fallback)
{
    struct json_object *value;

    if (!json_object_object_get_ex(object, name, &value) || value == NULL)
        return fallback;
    return json_object_get_boolean(value);
}

void put_string(struct json_object *object, const char *name, const char *value)
{
    json_object_object_add(object, name, value != NULL ? json_object_new_string(value) : NULL);
}

void put_int(struct json_object *object, const char *name, int64_t value)
{
    json_object_object_add(object, name, json_object_new_int64(value));
}

void put_bool(struct json_object *object, const char *name, bool value)
{
    json_object_object_add(object, name, json_object_new_boolean(value));
}

void put_time(struct json_object *object, const char *name, int64_t value)
{
    json_object_object_add(object, name, value != 0 ? json_object_new_int64(value) : NULL);
}

void put_date(struct json_object *object, const char *name, int64_t ms, const char *zone)
{
    time_t seconds = (time_t)(ms / 1000);
    char text[64], whole[32];
    struct tm date;

    if (ms == 0) {
        put_string(object, name, NULL);
        return;
    }
    gmtime_r(&seconds, &date);
    strftime(whole, sizeof(whole), "%Y-%m-%dT%H:%M:%S", &date);
    snprintf(text, sizeof(text), "%s.%03d%s", whole, (int)(ms % 1000), zone);
    put_string(object, name, text);
}

struct json_object *parse_object(const char *text, size_t size)
{
    struct json_tokener *tokener;
    struct json_object *object = NULL;

    if (size == 0)
        return json_object_new_object();
    tokener = json_tokener_new();
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    if (size < INT32_MAX)
        object = json_tokener_parse_ex(tokener, text, (int)size + 1); /* the NUL ends a bare value */
    if (json_tokener_get_error(tokener) != json_tokener_success ||
        json_object_get_type(object) != json_type_object) {
        json_object_put(object);
        object = NULL;
    }
    json_tokener_free(tokener);
    return object;
}
