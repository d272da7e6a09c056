#include "control/codec.h"

#include "base/json.h"
#include "control/control.h"

#include <string.h>

enum { KEEP_CAPACITY = 64 * 1024 }; /* bytes an idle connection may hold on to */

enum control_frame_result control_frame_next(struct control_frame *frame, const struct buffer *buffer, bool look_only,
                                             const char **ret_text, size_t *ret_length)
{
    if (frame->taken == buffer->length)
        return CONTROL_FRAME_NONE;
    const char *start = buffer->data + frame->taken;
    const char *end = memchr(buffer->data + frame->scanned, '\0', buffer->length - frame->scanned);
    size_t length = end ? (size_t)(end - start) : buffer->length - frame->taken;
    if (length > CONTROL_MESSAGE_MAX)
        return CONTROL_FRAME_TOO_LONG;
    frame->scanned = frame->taken + length;
    if (!end)
        return CONTROL_FRAME_NONE;
    if (!look_only)
        frame->taken = frame->scanned = frame->taken + length + 1;
    *ret_text = start;
    *ret_length = length;
    return CONTROL_FRAME_MESSAGE;
}

void control_frame_compact(struct control_frame *frame, struct buffer *buffer)
{
    buffer_consume(buffer, frame->taken);
    frame->scanned -= frame->taken;
    frame->taken = 0;
    if (!buffer->length && buffer->capacity > KEEP_CAPACITY)
        buffer_clear(buffer);
}

bool control_request_decode(const char *text, size_t length, struct control_request *ret_request, struct error *err)
{
    cleanup_json struct json_object *message = NULL;
    struct control_request request = {.parameters = NULL};
    if (!json_parse(text, length, &message, err) ||
        !json_get_string(message, "method", request.method, sizeof request.method, err))
        return false;
    if (!strrchr(request.method, '.'))
        return error_set(err, ERROR_PROTOCOL, "a method's name without an interface");
    if (json_has(message, "parameters")) {
        if (!json_get_object(message, "parameters", &request.parameters, err))
            return false;
        json_object_get(request.parameters);
    } else {
        request.parameters = json_object_new_object();
        if (!request.parameters)
            return error_set(err, ERROR_IO, "out of memory");
    }
    request.more = json_optional_boolean(message, "more", false);
    request.oneway = json_optional_boolean(message, "oneway", false);
    request.upgrade = json_optional_boolean(message, "upgrade", false);
    *ret_request = request;
    return true;
}

void control_request_clear(struct control_request *request)
{
    json_object_put(request->parameters);
    request->parameters = NULL;
}

bool control_encode(struct json_object *message, struct buffer *buffer, struct error *err)
{
    size_t length = 0;
    const char *text = json_object_to_json_string_length(
        message, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &length);
    if (!text)
        return error_set(err, ERROR_IO, "out of memory");
    size_t before = buffer->length;
    bool fits = buffer_append(buffer, text, length) && buffer->length - before <= CONTROL_MESSAGE_MAX &&
                buffer_append(buffer, "", 1);
    if (fits)
        return true;
    /* There is no other way to take bytes off the end of a buffer: its length is public for this. */
    if (buffer->data) {
        explicit_bzero(buffer->data + before, buffer->length - before);
        buffer->length = before;
    }
    return error_set(err, ERROR_LIMIT, "a message of %zu bytes does not fit", length);
}
