/* The hook's message, as it goes to the daemon or into the spool: whatever the arguments and the XML are, the daemon can
 * read it and finds what was put in, with U+FFFD for each byte that is no UTF-8.
 *
 * The input: the domain's name, operation, sub-operation and extra argument, each a part, and then the XML. */
#include "fuzz.h"

#include "base/json.h"
#include "control/codec.h"
#include "hook-parts.h"

#include "hooks/message.c"
#include "hooks/room.c"

#include <json-c/json.h>

#undef domain_xml
#undef domain_xml_read

enum { ARGUMENTS = 4, SMALL = 300 };

/* The parameter NAME is TEXT, as far as that is UTF-8. */
static void check_field(struct json_object *parameters, const char *name, const char *text, size_t length)
{
    struct json_object *value;
    must(json_object_object_get_ex(parameters, name, &value) && json_object_is_type(value, json_type_string));
    const char *got = json_object_get_string(value);
    size_t left = (size_t)json_object_get_string_len(value);
    while (length > 0) {
        uint32_t character = 0;
        size_t step = utf8_character(text, length, &character);
        const char *wanted = step ? text : UTF8_REPLACEMENT;
        size_t wanted_length = step ? step : 3;
        /* What json-c from 0.18 on cannot be given otherwise: see json.c. */
        bool misread = character >= 0x10000 && (character & 0xf800) == 0xd800;
        if (misread && left >= 3 && memcmp(got, UTF8_REPLACEMENT, 3) == 0) {
            wanted = UTF8_REPLACEMENT;
            wanted_length = 3;
        }
        must(left >= wanted_length && memcmp(got, wanted, wanted_length) == 0);
        got += wanted_length;
        left -= wanted_length;
        text += step ? step : 1;
        length -= step ? step : 1;
    }
    must(left == 0);
}

/* Where there is no room, there is no half message. */
static void check_small(const struct hook_call *call, const char *xml, size_t length, size_t whole)
{
    char fixed[16];
    struct room message = ROOM_INIT(fixed, SMALL);
    bool ok = message_compose(call, xml, length, &message);
    must(ok == (whole <= SMALL) && message.length == (ok ? whole : 0));
    room_release(&message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[ARGUMENTS] = {"domain", "operation", "suboperation", "extra"};
    struct fuzz_input input = fuzz_input(data, size);
    char fixed[64], *arguments[ARGUMENTS];
    for (size_t i = 0; i < ARGUMENTS; i++) {
        const char *part = "";
        size_t length = 0;
        fuzz_next(&input, &part, &length);
        arguments[i] = fuzz_text(part, length);
    }
    struct hook_call call = {arguments[0], arguments[1], arguments[2], arguments[3], 0, ""};
    struct room message = ROOM_INIT(fixed, MESSAGE_MAX);
    must(message_compose(&call, input.rest, input.left, &message));
    must(message.bytes[message.length - 1] == '\0' && !memchr(message.bytes, '\0', message.length - 1));

    struct control_request request;
    struct error err = ERROR_INIT;
    must_succeed(control_request_decode(message.bytes, message.length - 1, &request, &err), err);
    must(strcmp(request.method, "io.llmhook.HookEvent") == 0 && request.more && !request.oneway && !request.upgrade);
    for (size_t i = 0; i < ARGUMENTS; i++)
        check_field(request.parameters, names[i], arguments[i], strlen(arguments[i]));
    check_field(request.parameters, "xml", input.rest, input.left);
    check_small(&call, input.rest, input.left, message.length);
    control_request_clear(&request);
    room_release(&message);
    for (size_t i = 0; i < ARGUMENTS; i++)
        free(arguments[i]);
    return 0;
}
