/* Varlink's messages, as both ends write and read them. Private to this folder.
 *
 * A message is one JSON object and a NUL byte. A call has "method", "parameters" and the flags "oneway", "more" and
 * "upgrade"; a reply has "parameters", and either "continues" or "error". */
#ifndef LLMHOOK_CONTROL_CODEC_H
#define LLMHOOK_CONTROL_CODEC_H

#include "base/buffer.h"
#include "base/error.h"

#include <json-c/json_object.h>
#include <stdbool.h>
#include <stddef.h>

enum { CONTROL_METHOD_SIZE = 256 }; /* a full method or error name and a NUL */

/* Where the next message stands in what was received. Zero it with the buffer it belongs to. */
struct control_frame {
    size_t taken;   /* bytes of the buffer that were messages already handed out */
    size_t scanned; /* no NUL between `taken` and here */
};

enum control_frame_result { CONTROL_FRAME_NONE, CONTROL_FRAME_MESSAGE, CONTROL_FRAME_TOO_LONG };

/* Finds the next whole message; it stays in BUFFER (NUL-terminated) until control_frame_compact(). With LOOK_ONLY the
 * same message is found again next time. */
enum control_frame_result control_frame_next(struct control_frame *frame, const struct buffer *buffer, bool look_only,
                                             const char **ret_text, size_t *ret_length);
/* Drops the messages that were handed out, and gives a large buffer's memory back once it is empty. */
void control_frame_compact(struct control_frame *frame, struct buffer *buffer);

struct control_request {
    char method[CONTROL_METHOD_SIZE]; /* with its interface */
    struct json_object *parameters;   /* owned; an object, never NULL */
    bool more, oneway, upgrade;
};

/* ERROR_PROTOCOL when TEXT is no call. REQUEST is released with control_request_clear() after a success. */
bool control_request_decode(const char *text, size_t length, struct control_request *ret_request, struct error *err);
void control_request_clear(struct control_request *request);

/* Appends MESSAGE and its NUL. What is put into it is UTF-8, see json_put_string(). ERROR_LIMIT when the message is longer
 * than CONTROL_MESSAGE_MAX or does not fit into BUFFER, which is then as it was. Does not take over MESSAGE. */
bool control_encode(struct json_object *message, struct buffer *buffer, struct error *err);

#endif
