#include "providers/form.h"

#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SECRET_SHORTEST = 16 }; /* characters of a key that deserves the name */

/* --- requests --- */

const char *form_base(const struct provider_settings *settings, const struct provider_driver *driver)
{
    return settings->base_url[0] ? settings->base_url : driver->default_base_url;
}

bool form_append_url_list(struct http_request *request, struct error *err, const char *format, va_list arguments)
{
    size_t used = strlen(request->url);
    int more = vsnprintf(request->url + used, sizeof request->url - used, format, arguments);
    return (more >= 0 && used + (size_t)more < sizeof request->url) ||
           error_set(err, ERROR_LIMIT, "the URL is too long: shorten base-url");
}

bool form_append_url(struct http_request *request, struct error *err, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    bool ok = form_append_url_list(request, err, format, arguments);
    va_end(arguments);
    return ok;
}

bool form_put_url(struct http_request *request, const char *base, struct error *err, const char *format, ...)
{
    va_list arguments;
    snprintf(request->url, sizeof request->url, "%s", base);
    va_start(arguments, format);
    bool ok = form_append_url_list(request, err, format, arguments);
    va_end(arguments);
    return ok;
}

void form_escape(const char *text, char *ret_text, size_t size)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~";
    size_t used = 0;
    for (; *text && used + 3 < size; text++)
        used += (size_t)snprintf(ret_text + used, size - used, strchr(plain, *text) ? "%c" : "%%%02X", (unsigned char)*text);
    ret_text[used] = '\0';
}

bool form_put_body(struct http_request *request, struct json_object *body, struct error *err)
{
    const char *text = json_object_to_json_string_ext(body, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
    bool ok = text && buffer_append_text(&request->body, text);
    json_object_put(body);
    return ok || error_set(err, ERROR_IO, "out of memory for the request");
}

bool form_post(struct http_request *request, struct json_object *body, struct error *err)
{
    request->method = HTTP_POST;
    return form_put_body(request, body, err);
}

int64_t form_cents(int64_t micro_dollars)
{
    return micro_dollars / FORM_MICRO_PER_CENT + (micro_dollars % FORM_MICRO_PER_CENT ? 1 : 0);
}

/* A number of dollars, rounded up to whole cents. */
static void put_dollars(struct json_object *body, const char *name, int64_t micro_dollars)
{
    char text[32];
    int64_t whole = form_cents(micro_dollars);
    snprintf(text, sizeof text, "%lld.%02lld", (long long)(whole / 100), (long long)(whole % 100));
    json_put(body, name, json_object_new_double_s((double)whole / 100.0, text));
}

bool form_put_limit(struct json_object *body, const struct form_limit *form, int64_t micro_dollars, struct error *err)
{
    if (micro_dollars <= 0) {
        json_object_put(body);
        return error_set(err, ERROR_INVALID, "a monthly limit has to be more than nothing");
    }
    put_dollars(body, form->amount, micro_dollars);
    json_put_string(body, form->period, form->monthly);
    return true;
}

/* --- answers --- */

/* NULL: there is no text of that name. */
static struct json_object *find_text(struct json_object *object, const char *name)
{
    struct json_object *value = NULL;
    if (json_object_is_type(object, json_type_object))
        json_object_object_get_ex(object, name, &value);
    return json_object_is_type(value, json_type_string) ? value : NULL;
}

const char *form_text(struct json_object *object, const char *name)
{
    struct json_object *value = find_text(object, name);
    return value ? json_object_get_string(value) : "";
}

bool form_quote(struct json_object *object, const char *name, char *ret_text, size_t size)
{
    struct json_object *value = find_text(object, name);
    ret_text[0] = '\0';
    if (value)
        provider_quote(json_object_get_string(value), (size_t)json_object_get_string_len(value), ret_text, size);
    return value != NULL;
}

void form_read_complaint(const struct http_answer *answer, struct provider_complaint *ret_complaint)
{
    cleanup_json struct json_object *document = NULL;
    struct json_object *error;
    *ret_complaint = (struct provider_complaint){.readable = false};
    if (!json_parse(buffer_text(&answer->body), answer->body.length, &document, NULL) ||
        !json_get_object(document, "error", &error, NULL))
        return;
    ret_complaint->readable = form_quote(error, "message", ret_complaint->message, sizeof ret_complaint->message);
    if (ret_complaint->readable)
        form_quote(error, "code", ret_complaint->code, sizeof ret_complaint->code);
}

bool form_take_secret(struct json_object *object, const char *name, struct secret **ret_secret, struct error *err)
{
    struct json_object *value = NULL;
    if (!json_object_object_get_ex(object, name, &value) || !json_object_is_type(value, json_type_string))
        return error_set(err, ERROR_PROTOCOL, "field '%s' is missing or no string", name);
    /* json-c would give it back to the heap as it is. */
    size_t length = (size_t)json_object_get_string_len(value);
    char *text = (char *)(uintptr_t)json_object_get_string(value);
    bool usable = length >= SECRET_SHORTEST && length <= SECRET_MAX;
    for (size_t i = 0; usable && i < length; i++)
        usable = text[i] > ' ' && text[i] <= '~';
    bool ok = usable ? (*ret_secret = secret_new(text, length)) || error_set(err, ERROR_IO, "out of memory")
                     : error_set(err, ERROR_PROTOCOL, "field '%s' holds no usable key", name);
    explicit_bzero(text, length);
    return ok;
}

bool form_get_id(struct json_object *object, const char *name, char id[RECORD_REMOTE_ID_SIZE], struct error *err)
{
    if (!json_get_string(object, name, id, RECORD_REMOTE_ID_SIZE, err))
        return false;
    return provider_id_valid(id) || error_set(err, ERROR_PROTOCOL, "field '%s' holds what no id has", name);
}

bool form_get_optional_id(struct json_object *object, const char *name, const char *fallback,
                          char id[RECORD_REMOTE_ID_SIZE], struct error *err)
{
    snprintf(id, RECORD_REMOTE_ID_SIZE, "%s", fallback);
    return !json_has(object, name) || form_get_id(object, name, id, err);
}

bool form_get_name(struct json_object *entry, const char *name, const char **ret_name, struct error *err)
{
    struct json_object *value = NULL;
    *ret_name = "";
    if (!json_object_is_type(entry, json_type_object))
        return error_set(err, ERROR_PROTOCOL, "an entry of the list is no object");
    if (!json_object_object_get_ex(entry, name, &value) || !value)
        return true;
    if (!json_object_is_type(value, json_type_string))
        return error_set(err, ERROR_PROTOCOL, "field '%s' is %s, not string", name,
                         json_type_to_name(json_object_get_type(value)));
    if (strlen(json_object_get_string(value)) == (size_t)json_object_get_string_len(value))
        *ret_name = json_object_get_string(value);
    return true;
}

bool form_word_valid(const char *text)
{
    for (size_t i = 0; text[i]; i++)
        if (text[i] <= ' ' || text[i] > '~' || text[i] == '"' || text[i] == '\\')
            return false;
    return text[0] != '\0';
}

bool form_get_count(struct json_object *object, const char *name, int64_t *ret_count, struct error *err)
{
    *ret_count = 0;
    if (!json_has(object, name))
        return true;
    if (!json_get_integer(object, name, ret_count, err))
        return false;
    return (*ret_count >= 0 && *ret_count <= FORM_COUNT_MOST) ||
           error_set(err, ERROR_PROTOCOL, "field '%s' is no count: %lld", name, (long long)*ret_count);
}

bool form_hint_fits(struct json_object *key, const char *name, const struct secret *secret)
{
    char hint[128];
    const char *text = secret_reveal(secret);
    json_optional_string(key, name, "", hint, sizeof hint);
    size_t length = secret_length(secret), begins = strcspn(hint, ".*"), gap = strspn(hint + begins, ".*");
    const char *end = hint + begins + gap;
    if (!gap)
        return !*hint || strcmp(hint, text) == 0;
    return begins + strlen(end) <= length && strncmp(text, hint, begins) == 0 &&
           strcmp(text + length - strlen(end), end) == 0;
}

void form_last_id(struct json_object *page, struct json_object *data, char *ret_cursor, size_t size)
{
    size_t count = json_object_array_length(data);
    json_optional_string(page, "last_id", "", ret_cursor, size);
    if (!*ret_cursor && count)
        json_optional_string(json_object_array_get_idx(data, count - 1), "id", "", ret_cursor, size);
}

bool form_get_dollars(struct json_object *object, const char *name, int64_t *ret_micro_dollars, struct error *err)
{
    struct json_object *value = NULL;
    *ret_micro_dollars = -1;
    if (!json_object_object_get_ex(object, name, &value) || !value)
        return true;
    double dollars = json_object_get_double(value);
    if ((!json_object_is_type(value, json_type_double) && !json_object_is_type(value, json_type_int)) ||
        !(dollars >= 0 && dollars < 1e12))
        return error_set(err, ERROR_PROTOCOL, "field '%s' is no amount", name);
    *ret_micro_dollars = (int64_t)(dollars * 1e6 + 0.5);
    return true;
}

bool form_get_limit(struct json_object *object, const struct form_limit *form, int64_t *ret_micro_dollars,
                    struct error *err)
{
    char period[16];
    json_optional_string(object, form->period, "", period, sizeof period);
    if (!form_get_dollars(object, form->amount, ret_micro_dollars, err))
        return false;
    if (*ret_micro_dollars < 0 || strcmp(period, form->monthly) != 0)
        *ret_micro_dollars = 0;
    return true;
}

bool form_same_dollars(int64_t amount, int64_t wanted)
{
    return amount == form_cents(wanted) * FORM_MICRO_PER_CENT;
}

/* COUNT digits at *AT, which it steps over. */
static bool take_digits(const char **at, int count, int least, int most, int *ret_number)
{
    int number = 0;
    for (int i = 0; i < count; i++, ++*at) {
        if (**at < '0' || **at > '9')
            return false;
        number = number * 10 + (**at - '0');
    }
    *ret_number = number;
    return number >= least && number <= most;
}

static bool take_char(const char **at, const char *allowed)
{
    if (!**at || !strchr(allowed, **at))
        return false;
    ++*at;
    return true;
}

/* "Z", "+01:00", or nothing. */
static bool take_offset(const char **at, int *ret_minutes)
{
    int hours, minutes, sign = **at == '-' ? -1 : 1;
    *ret_minutes = 0;
    if (!**at || take_char(at, "Z"))
        return **at == '\0';
    if (!take_char(at, "+-") || !take_digits(at, 2, 0, 23, &hours) || !take_char(at, ":") ||
        !take_digits(at, 2, 0, 59, &minutes) || **at)
        return false;
    *ret_minutes = sign * (hours * 60 + minutes);
    return true;
}

static bool parse_time(const char *at, int64_t *ret_ms)
{
    struct tm date = {.tm_isdst = 0};
    int milliseconds = 0, scale = 100, offset;
    if (!take_digits(&at, 4, 1970, 9999, &date.tm_year) || !take_char(&at, "-") ||
        !take_digits(&at, 2, 1, 12, &date.tm_mon) || !take_char(&at, "-") ||
        !take_digits(&at, 2, 1, 31, &date.tm_mday) || !take_char(&at, "T ") ||
        !take_digits(&at, 2, 0, 23, &date.tm_hour) || !take_char(&at, ":") ||
        !take_digits(&at, 2, 0, 59, &date.tm_min) || !take_char(&at, ":") ||
        !take_digits(&at, 2, 0, 60, &date.tm_sec))
        return false;
    if (take_char(&at, "."))
        for (; *at >= '0' && *at <= '9'; at++, scale /= 10)
            milliseconds += (*at - '0') * scale;
    if (!take_offset(&at, &offset))
        return false;
    date.tm_year -= 1900;
    date.tm_mon--;
    int64_t seconds = (int64_t)timegm(&date) - (int64_t)offset * 60;
    *ret_ms = seconds < 0 ? 0 : seconds * 1000 + milliseconds;
    return true;
}

bool form_get_time(struct json_object *object, const char *name, int64_t *ret_ms, struct error *err)
{
    char text[48];
    if (!json_get_string(object, name, text, sizeof text, err))
        return false;
    return parse_time(text, ret_ms) || error_set(err, ERROR_PROTOCOL, "field '%s' is no time", name);
}

void form_write_time(int64_t wall_ms, char *ret_text, size_t size)
{
    struct tm date = {.tm_isdst = 0};
    time_t seconds = (time_t)(wall_ms / 1000);
    gmtime_r(&seconds, &date);
    strftime(ret_text, size, "%Y-%m-%dT%H:%M:%SZ", &date);
}

static int by_age(const void *a, const void *b)
{
    const struct provider_item *left = a, *right = b;
    if (left->created_at != right->created_at)
        return left->created_at < right->created_at ? -1 : 1;
    return strcmp(left->id, right->id);
}

void form_sort_by_age(struct provider_result *result)
{
    if (result->items_count)
        qsort(result->items, result->items_count, sizeof *result->items, by_age);
}

void form_drop_doubles(struct provider_result *result)
{
    size_t kept = 0;
    for (size_t i = 0; i < result->items_count; i++)
        if (!kept || strcmp(result->items[kept - 1].id, result->items[i].id) != 0)
            result->items[kept++] = result->items[i];
    result->items_count = kept;
}
