#include "base/json.h"

#include "base/buffer.h"
#include "base/utf8.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 32, DOCUMENT_MAX = 64 * 1024 * 1024 };

/* json-c takes what a pair of escapes stands for, if its last 16 bits look like half a pair, for just that (json-c pull
 * request 893). Before 0.18 the character itself can be given; from there on it is read as U+FFFD. */
static bool misread_when_escaped(uint32_t character)
{
    return character >= 0x10000 && (character & 0xf800) == 0xd800 && json_c_version_num() < (18 << 8);
}

/* A strict json-c 0.18 refuses every string that holds a byte above 0x7f, taking it for a control character. So it gets
 * to see none: what is not ASCII goes in as \u escapes, which all versions read alike. Where that is not in a string,
 * the escape is as wrong as the character was. */
static bool escape_all_but_ascii(const char *text, size_t length, struct buffer *escaped, struct error *err)
{
    bool room = true;
    size_t run = 0; /* where what has not been copied begins */
    for (size_t at = 0; room && at < length;) {
        uint32_t character = 0;
        if ((unsigned char)text[at] < 0x80) {
            /* What follows a backslash belongs to it: of an escape there must not become another one. */
            bool pair = text[at] == '\\' && at + 1 < length;
            if (pair && (unsigned char)text[at + 1] >= 0x80)
                return error_set(err, ERROR_PROTOCOL, "not JSON: an escape that there is not at byte %zu", at);
            at += pair ? 2 : 1;
            continue;
        }
        size_t step = utf8_character(text + at, length - at, &character);
        if (!step)
            return error_set(err, ERROR_PROTOCOL, "not JSON: not UTF-8 at byte %zu", at);
        if (misread_when_escaped(character)) {
            at += step;
            continue;
        }
        room = buffer_append(escaped, text + run, at - run) &&
               (character < 0x10000 ? buffer_printf(escaped, "\\u%04x", character)
                                    : buffer_printf(escaped, "\\u%04x\\u%04x", 0xd800 + ((character - 0x10000) >> 10),
                                                    0xdc00 + (character & 0x3ff)));
        at += step;
        run = at;
    }
    return (room && buffer_append(escaped, text + run, length - run)) ||
           error_set(err, ERROR_LIMIT, "a JSON document of %zu bytes is too large", length);
}

static bool is_ascii(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] >= 0x80)
            return false;
    return true;
}

bool json_parse(const char *text, size_t length, struct json_object **ret_object, struct error *err)
{
    if (length > DOCUMENT_MAX)
        return error_set(err, ERROR_LIMIT, "a JSON document of %zu bytes is too large", length);
    cleanup_buffer struct buffer escaped = BUFFER_INIT((size_t)3 * DOCUMENT_MAX);
    if (!is_ascii(text, length)) {
        if (!escape_all_but_ascii(text, length, &escaped, err))
            return false;
        text = buffer_text(&escaped);
        length = escaped.length;
    }
    struct json_tokener *tokener = json_tokener_new_ex(DEPTH_MAX);
    if (!tokener)
        return error_set(err, ERROR_IO, "out of memory");
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
    struct json_object *object = json_tokener_parse_ex(tokener, text, (int)length);
    enum json_tokener_error why = json_tokener_get_error(tokener);
    if (why == json_tokener_continue && !object) {
        /* A number or a cut document: only the end of input tells them apart. */
        object = json_tokener_parse_ex(tokener, "", 1);
        why = json_tokener_get_error(tokener);
    }
    bool ok = why == json_tokener_success;
    if (!ok)
        error_set(err, ERROR_PROTOCOL, "not JSON: %s at byte %zu", json_tokener_error_desc(why),
                  json_tokener_get_parse_end(tokener));
    if (!ok)
        json_object_put(object);
    else
        *ret_object = object;
    /* The last string read may be a key, and json-c would give it back to the heap as it is. */
    if (tokener->pb && tokener->pb->buf)
        explicit_bzero(tokener->pb->buf, (size_t)tokener->pb->size);
    json_tokener_free(tokener);
    return ok;
}

static bool get(struct json_object *object, const char *name, enum json_type type, struct json_object **ret_value,
                struct error *err)
{
    struct json_object *value = NULL;
    if (!json_object_is_type(object, json_type_object))
        return error_set(err, ERROR_PROTOCOL, "not an object where one with '%s' is expected", name);
    if (!json_object_object_get_ex(object, name, &value) || !value)
        return error_set(err, ERROR_PROTOCOL, "field '%s' is missing", name);
    if (!json_object_is_type(value, type))
        return error_set(err, ERROR_PROTOCOL, "field '%s' is %s, not %s", name,
                         json_type_to_name(json_object_get_type(value)), json_type_to_name(type));
    *ret_value = value;
    return true;
}

/* A NUL inside would make the C string shorter than what was sent, so it is refused. */
static bool copy_string(struct json_object *value, char *ret_text, size_t size)
{
    size_t length = (size_t)json_object_get_string_len(value);
    const char *text = json_object_get_string(value);
    if (length >= size || memchr(text, '\0', length))
        return false;
    memcpy(ret_text, text, length + 1);
    return true;
}

bool json_get_string(struct json_object *object, const char *name, char *ret_text, size_t size, struct error *err)
{
    struct json_object *value;
    if (!get(object, name, json_type_string, &value, err))
        return false;
    if (!copy_string(value, ret_text, size))
        return error_set(err, ERROR_LIMIT, "field '%s' is longer than %zu bytes or holds a NUL", name, size - 1);
    return true;
}

bool json_get_integer(struct json_object *object, const char *name, int64_t *ret_value, struct error *err)
{
    struct json_object *value;
    if (!get(object, name, json_type_int, &value, err))
        return false;
    *ret_value = json_object_get_int64(value);
    return true;
}

bool json_get_boolean(struct json_object *object, const char *name, bool *ret_value, struct error *err)
{
    struct json_object *value;
    if (!get(object, name, json_type_boolean, &value, err))
        return false;
    *ret_value = json_object_get_boolean(value);
    return true;
}

bool json_get_object(struct json_object *object, const char *name, struct json_object **ret_value, struct error *err)
{
    return get(object, name, json_type_object, ret_value, err);
}

bool json_get_array(struct json_object *object, const char *name, struct json_object **ret_value, struct error *err)
{
    return get(object, name, json_type_array, ret_value, err);
}

bool json_has(struct json_object *object, const char *name)
{
    struct json_object *value = NULL;
    return json_object_is_type(object, json_type_object) && json_object_object_get_ex(object, name, &value) && value;
}

void json_optional_string(struct json_object *object, const char *name, const char *fallback, char *ret_text,
                          size_t size)
{
    struct json_object *value;
    if (get(object, name, json_type_string, &value, NULL) && copy_string(value, ret_text, size))
        return;
    size_t length = strnlen(fallback, size - 1);
    memcpy(ret_text, fallback, length);
    ret_text[length] = '\0';
}

int64_t json_optional_integer(struct json_object *object, const char *name, int64_t fallback)
{
    struct json_object *value;
    return get(object, name, json_type_int, &value, NULL) ? json_object_get_int64(value) : fallback;
}

bool json_optional_boolean(struct json_object *object, const char *name, bool fallback)
{
    struct json_object *value;
    return get(object, name, json_type_boolean, &value, NULL) ? json_object_get_boolean(value) : fallback;
}

void json_put(struct json_object *object, const char *name, struct json_object *value)
{
    if (!value || json_object_object_add(object, name, value) < 0)
        abort();
}

/* NULL when memory ran short. */
static struct json_object *new_string(const char *text)
{
    size_t length = strlen(text), whole = 0, step;
    while (whole < length && (step = utf8_character(text + whole, length - whole, NULL)))
        whole += step;
    if (whole == length)
        return json_object_new_string(text);
    struct buffer rest = BUFFER_INIT(length);
    bool room = true;
    for (size_t at = 0; room && at < length; at += step ? step : 1) {
        step = utf8_character(text + at, length - at, NULL);
        room = buffer_append(&rest, text + at, step);
    }
    struct json_object *value = room ? json_object_new_string_len(rest.data ? rest.data : "", (int)rest.length) : NULL;
    buffer_clear(&rest);
    return value;
}

void json_append_string(struct json_object *array, const char *text)
{
    struct json_object *value = new_string(text);
    if (!value || json_object_array_add(array, value) < 0)
        abort();
}

void json_put_string(struct json_object *object, const char *name, const char *text)
{
    json_put(object, name, new_string(text));
}

void json_put_integer(struct json_object *object, const char *name, int64_t value)
{
    json_put(object, name, json_object_new_int64(value));
}

void json_put_boolean(struct json_object *object, const char *name, bool value)
{
    json_put(object, name, json_object_new_boolean(value));
}

void json_put_null(struct json_object *object, const char *name)
{
    if (json_object_object_add(object, name, NULL) < 0)
        abort();
}
