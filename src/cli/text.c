#include "cli/text.h"

#include "base/utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR };

void text_append_safe(struct buffer *buffer, const char *text)
{
    size_t length = strlen(text);
    for (size_t at = 0; at < length;) {
        uint32_t character = 0;
        size_t step = utf8_character(text + at, length - at, &character);
        bool ok;
        if (!step)
            ok = buffer_printf(buffer, "\\x%02x", (unsigned char)text[at]);
        else if (!utf8_is_hazard(character))
            ok = buffer_append(buffer, text + at, step);
        else if (character < 0x80)
            ok = buffer_printf(buffer, "\\x%02x", (unsigned)character);
        else
            ok = buffer_printf(buffer, "\\u%04x", (unsigned)character);
        if (!ok)
            return;
        at += step ? step : 1;
    }
}

void text_append_duration(struct buffer *buffer, int64_t ms)
{
    if (ms < SECOND)
        buffer_append_text(buffer, "less than 1 s");
    else if (ms < 2 * MINUTE)
        buffer_printf(buffer, "%" PRId64 " s", ms / SECOND);
    else if (ms < 2 * HOUR)
        buffer_printf(buffer, "%" PRId64 " min", ms / MINUTE);
    else if (ms < 2 * (int64_t)DAY)
        buffer_printf(buffer, "%" PRId64 " h", ms / HOUR);
    else
        buffer_printf(buffer, "%" PRId64 " d", ms / DAY);
}

static int64_t round_up(int64_t ms, int64_t unit)
{
    return ms % unit ? ms - ms % unit + unit : ms;
}

void text_append_wait(struct buffer *buffer, int64_t ms)
{
    if (ms <= 0) {
        buffer_append_text(buffer, "now");
        return;
    }
    ms = ms > INT64_MAX / 2 ? INT64_MAX / 2 : ms;
    buffer_append_text(buffer, "in ");
    text_append_duration(buffer, round_up(ms, ms < 2 * MINUTE ? SECOND : ms < 2 * HOUR ? MINUTE : HOUR));
}

void text_append_ago(struct buffer *buffer, int64_t at_ms, int64_t now_ms)
{
    if (at_ms <= 0) {
        buffer_append_text(buffer, "never");
    } else if (at_ms <= now_ms && now_ms - at_ms < 2 * (int64_t)DAY) {
        text_append_duration(buffer, now_ms - at_ms);
        buffer_append_text(buffer, " ago");
    } else {
        char text[64];
        struct tm broken;
        time_t seconds = (time_t)(at_ms / SECOND);
        if (localtime_r(&seconds, &broken) && strftime(text, sizeof text, "%Y-%m-%d %H:%M", &broken))
            buffer_append_text(buffer, text);
        else
            buffer_append_text(buffer, "unknown");
    }
}

void text_append_dollars(struct buffer *buffer, int64_t micro_dollars)
{
    uint64_t amount = micro_dollars < 0 ? -(uint64_t)micro_dollars : (uint64_t)micro_dollars;
    uint64_t cents = amount / 10000 + (amount % 10000 >= 5000);
    buffer_printf(buffer, "%s$%" PRIu64 ".%02" PRIu64, micro_dollars < 0 ? "-" : "", cents / 100, cents % 100);
}

const char *text_field(struct json_object *object, const char *name, const char *fallback)
{
    struct json_object *value = NULL;
    if (!json_object_is_type(object, json_type_object) || !json_object_object_get_ex(object, name, &value) ||
        !json_object_is_type(value, json_type_string))
        return fallback;
    return json_object_get_string(value);
}

struct json_object *text_list(struct json_object *object, const char *name, size_t *ret_count)
{
    struct json_object *value = NULL;
    *ret_count = 0;
    if (!json_object_is_type(object, json_type_object) || !json_object_object_get_ex(object, name, &value) ||
        !json_object_is_type(value, json_type_array))
        return NULL;
    *ret_count = json_object_array_length(value);
    return value;
}
