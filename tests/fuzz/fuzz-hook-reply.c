/* The daemon's answer as the hook reads it, with a JSON reader of its own. What it takes, json-c must take as well, and
 * understand in the same way. */
#include "fuzz.h"

#include "base/json.h"
#include "hook-parts.h"

#include "hooks/reply.c"

#include <json-c/json.h>

/* Whole characters, none of them a NUL. Returns whether one is among them that json-c takes for half a pair: see json.c. */
static bool check_text(const char *text, size_t size)
{
    bool misread = false;
    must(memchr(text, '\0', size));
    for (size_t left = strlen(text); left > 0;) {
        uint32_t character = 0;
        size_t step = utf8_character(text, left, &character);
        must(step > 0);
        misread = misread || (character >= 0x10000 && (character & 0xf800) == 0xd800);
        text += step;
        left -= step;
    }
    return misread;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reply reply;
    memset(&reply, 0xA5, sizeof reply);
    struct reply untouched = reply;
    if (!reply_parse((const char *)data, size, &reply)) {
        must(memcmp(&reply, &untouched, sizeof reply) == 0);
        return 0;
    }
    struct json_object *message = NULL, *parameters = NULL;
    struct error err = ERROR_INIT;
    char verdict[16], reason[REPLY_REASON_MAX];
    must_succeed(json_parse((const char *)data, size, &message, &err), err);
    /* json-c ends a name at its NUL, and takes "reason\u0000" for "reason". */
    if (memmem(data, size, "\\u0000", 6)) {
        json_object_put(message);
        return 0;
    }
    must_succeed(json_get_object(message, "parameters", &parameters, &err), err);
    must(!json_has(message, "error"));
    must_succeed(json_get_string(parameters, "verdict", verdict, sizeof verdict, &err), err);
    switch (reply.verdict) {
    case REPLY_ACCEPTED:
        must(strcmp(verdict, "accepted") == 0);
        break;
    case REPLY_WAIT:
        must(strcmp(verdict, "wait") == 0 && json_optional_boolean(message, "continues", false));
        must(reply.wait_ms >= 0 && reply.wait_ms <= REPLY_WAIT_MAX_MS);
        int64_t wait = json_optional_integer(parameters, "wait_ms", -1);
        must(reply.wait_ms == (wait > REPLY_WAIT_MAX_MS ? REPLY_WAIT_MAX_MS : wait));
        break;
    case REPLY_REFUSED:
        must(strcmp(verdict, "refused") == 0);
        bool misread = check_text(reply.reason, sizeof reply.reason);
        json_optional_string(parameters, "reason", "", reason, sizeof reason);
        if (reason[0] && !misread) /* else it is too long: ours is then cut */
            must(strcmp(reply.reason, reason) == 0);
        break;
    default:
        must(false);
    }
    json_object_put(message);
    return 0;
}
