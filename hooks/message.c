#include "message.h"

#include "base/utf8.h"

#include <string.h>

static bool append_text(struct room *message, const char *text)
{
    return room_append(message, text, strlen(text));
}

static bool append_control(struct room *message, unsigned char byte)
{
    static const char digits[] = "0123456789abcdef";
    char escape[] = "\\u0000";
    switch (byte) {
    case '\n': /* by far the most frequent in XML: worth its short form */
        return room_append(message, "\\n", 2);
    case '\t':
        return room_append(message, "\\t", 2);
    default:
        escape[4] = digits[byte >> 4];
        escape[5] = digits[byte & 15];
        return room_append(message, escape, 6);
    }
}

static bool append_special(struct room *message, unsigned char byte)
{
    if (byte == '"')
        return room_append(message, "\\\"", 2);
    if (byte == '\\')
        return room_append(message, "\\\\", 2);
    if (byte < 0x20)
        return append_control(message, byte);
    return append_text(message, UTF8_REPLACEMENT);
}

/* Bytes at TEXT that can stand in a JSON string as they are. */
static size_t plain_run(const char *text, size_t length)
{
    size_t run = 0;
    while (run < length) {
        unsigned char byte = (unsigned char)text[run];
        if (byte < 0x20 || byte == '"' || byte == '\\')
            break;
        size_t character = byte < 0x80 ? 1 : utf8_character(text + run, length - run, NULL);
        if (!character)
            break;
        run += character;
    }
    return run;
}

static bool append_escaped(struct room *message, const char *text, size_t length)
{
    while (length > 0) {
        size_t run = plain_run(text, length);
        if (!room_append(message, text, run))
            return false;
        text += run;
        length -= run;
        if (length > 0) {
            if (!append_special(message, (unsigned char)*text))
                return false;
            text++;
            length--;
        }
    }
    return true;
}

static bool append_number(struct room *message, int64_t number)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return room_append(message, digits + at, sizeof digits - at);
}

static bool append_time(struct room *message, const struct hook_call *call)
{
    return append_text(message, "\",\"at\":")
        && append_number(message, call->at > 0 ? call->at : 0)
        && (!call->boot[0] || (append_text(message, ",\"boot\":\"")
                               && append_escaped(message, call->boot, strlen(call->boot))
                               && append_text(message, "\"")));
}

bool message_compose(const struct hook_call *call, const char *xml, size_t xml_length, struct room *message)
{
    bool ok = append_text(message, "{\"method\":\"io.llmhook.HookEvent\",\"parameters\":{\"domain\":\"")
        && append_escaped(message, call->domain, strlen(call->domain))
        && append_text(message, "\",\"operation\":\"")
        && append_escaped(message, call->operation, strlen(call->operation))
        && append_text(message, "\",\"suboperation\":\"")
        && append_escaped(message, call->suboperation, strlen(call->suboperation))
        && append_text(message, "\",\"extra\":\"")
        && append_escaped(message, call->extra, strlen(call->extra))
        && append_time(message, call)
        && append_text(message, ",\"xml\":\"")
        && append_escaped(message, xml, xml_length)
        && room_append(message, "\"},\"more\":true}", sizeof "\"},\"more\":true}");
    if (!ok)
        message->length = 0;
    return ok;
}
