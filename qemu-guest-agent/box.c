/* Theory of operation: the secret goes into a file that must exist, opened with "r+", which makes none. Then an empty
 * file says that it is whole: opened with "w", which makes one that everybody could read, in a folder that nobody but
 * root can enter, as the file that was opened before shows that there is one. */
#include "qemu-guest-agent/box.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BOX "/run/llmhook.box"
#define MARK "llmhook-box-1 "

enum { OUT_MAX = 40000 }; /* bytes; as base64 it fits into an answer */

/* --- one command --- */

static bool open_file(box_call_fn *call, void *context, const char *path, const char *mode, int64_t *ret_handle,
                      struct error *err)
{
    cleanup_buffer struct buffer command = BUFFER_INIT(AGENT_COMMAND_MAX);
    cleanup_buffer struct buffer reply = BUFFER_INIT(AGENT_REPLY_MAX);
    if (!agent_build_file_open(&command, path, mode))
        return error_set(err, ERROR_IO, "out of memory");
    return call(context, &command, &reply, err) && agent_parse_file_open(&reply, ret_handle, err);
}

static bool close_file(box_call_fn *call, void *context, int64_t handle, struct error *err)
{
    cleanup_buffer struct buffer command = BUFFER_INIT(AGENT_COMMAND_MAX);
    cleanup_buffer struct buffer reply = BUFFER_INIT(AGENT_REPLY_MAX);
    if (!agent_build_file_close(&command, handle))
        return error_set(err, ERROR_IO, "out of memory");
    return call(context, &command, &reply, err) && agent_parse_file_close(&reply, err);
}

static bool write_file(box_call_fn *call, void *context, int64_t handle, const struct buffer *bytes, struct error *err)
{
    cleanup_buffer struct buffer command = BUFFER_INIT(AGENT_COMMAND_MAX);
    cleanup_buffer struct buffer reply = BUFFER_INIT(AGENT_REPLY_MAX);
    size_t written;
    if (!agent_build_file_write(&command, handle, bytes))
        return error_set(err, ERROR_IO, "out of memory");
    if (!call(context, &command, &reply, err) || !agent_parse_file_write(&reply, &written, err))
        return false;
    if (written != bytes->length)
        return error_set(err, ERROR_IO, "the guest took %zu of %zu bytes into its drop box", written, bytes->length);
    return true;
}

static bool read_file(box_call_fn *call, void *context, int64_t handle, struct buffer *content, struct error *err)
{
    cleanup_buffer struct buffer command = BUFFER_INIT(AGENT_COMMAND_MAX);
    cleanup_buffer struct buffer reply = BUFFER_INIT(AGENT_REPLY_MAX);
    bool end = false;
    /* The end is told by what is read after the last byte. */
    for (int reads = 0; !end && reads < 3; reads++) {
        buffer_clear(&command);
        if (!agent_build_file_read(&command, handle, OUT_MAX))
            return error_set(err, ERROR_IO, "out of memory");
        if (!call(context, &command, &reply, err) || !agent_parse_file_read(&reply, content, &end, err))
            return false;
    }
    return end || error_set(err, ERROR_LIMIT, "what the guest has in its drop box is too long");
}

/* --- the box --- */

bool box_put(box_call_fn *call, void *context, const char *nonce, const char *script, const struct buffer *input,
             bool *ret_none, struct error *err)
{
    cleanup_buffer struct buffer bytes = BUFFER_INIT(AGENT_COMMAND_MAX);
    int64_t handle;
    struct error closing = ERROR_INIT;
    *ret_none = false;
    if (!buffer_printf(&bytes, MARK "%s %s %zu\n", nonce, script, input->length) ||
        !buffer_append(&bytes, buffer_text(input), input->length))
        return error_set(err, ERROR_IO, "out of memory");
    if (!open_file(call, context, BOX "/in", "r+", &handle, err)) {
        *ret_none = err->code == ERROR_DENIED;
        return false;
    }
    bool ok = write_file(call, context, handle, &bytes, err);
    /* Buffers of the agent's are written out by this. */
    if (!close_file(call, context, handle, ok ? err : &closing) || !ok)
        return false;
    return open_file(call, context, BOX "/ready", "w", &handle, err) && close_file(call, context, handle, err);
}

bool box_look(box_call_fn *call, void *context, const char *nonce, struct agent_status *status, struct error *err)
{
    cleanup_buffer struct buffer content = BUFFER_INIT(AGENT_REPLY_MAX);
    int64_t handle;
    struct error closing = ERROR_INIT;
    if (!open_file(call, context, BOX "/out", "r", &handle, err))
        return err->code == ERROR_DENIED; /* not there yet */
    bool ok = read_file(call, context, handle, &content, err);
    close_file(call, context, handle, &closing);
    return ok && box_parse(&content, nonce, status, err);
}

bool box_parse(const struct buffer *content, const char *nonce, struct agent_status *status, struct error *err)
{
    const char *text = buffer_text(content), *end = memchr(text, '\n', content->length);
    char head[128], wanted[sizeof head];
    int code = 0;
    size_t length = 0;
    if (!end || (size_t)(end - text) >= sizeof head)
        return true; /* nobody's answer to us */
    memcpy(head, text, (size_t)(end - text));
    head[end - text] = '\0';
    size_t prefix = (size_t)snprintf(wanted, sizeof wanted, MARK "%s ", nonce);
    if (strncmp(head, wanted, prefix))
        return true;
    /* Written again, it must be the same: no signs, no blanks, no number too long, nothing behind a NUL. */
    bool read = sscanf(head + prefix, "%3d %6zu", &code, &length) == 2;
    int same = snprintf(wanted, sizeof wanted, MARK "%s %d %zu", nonce, code, length);
    size_t rest = content->length - (size_t)(end + 1 - text);
    if (!read || end - text != same || strcmp(head, wanted) || code < 0 || code > 255 || length > rest)
        return error_set(err, ERROR_PROTOCOL, "the first line of the drop box's answer is not as it should be");
    if (!buffer_append(&status->out, end + 1, length) || !buffer_append(&status->err, end + 1 + length, rest - length))
        return error_set(err, ERROR_IO, "out of memory");
    status->exited = true;
    status->code = code;
    return true;
}
