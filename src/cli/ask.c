/* The conversation with the daemon, and the one place through which its words reach the terminal. */
#include "cli/cli.h"

#include "base/buffer.h"
#include "base/json.h"
#include "base/utf8.h"
#include "cli/text.h"
#include "control/control.h"

#include <json-c/json_object_iterator.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

void cli_complain(const char *text)
{
    cleanup_buffer struct buffer line = TEXT_INIT;
    text_append_safe(&line, text);
    fprintf(stderr, "llmhook: %s\n", buffer_text(&line));
}

/* Strings are changed in place; the names of fields are never printed by themselves. */
void cli_neutralise(struct json_object *object)
{
    if (json_object_is_type(object, json_type_string)) {
        cleanup_buffer struct buffer safe = TEXT_INIT;
        text_append_safe(&safe, json_object_get_string(object));
        json_object_set_string_len(object, buffer_text(&safe), (int)safe.length);
    } else if (json_object_is_type(object, json_type_array)) {
        for (size_t i = 0; i < json_object_array_length(object); i++)
            cli_neutralise(json_object_array_get_idx(object, i));
    } else if (json_object_is_type(object, json_type_object)) {
        struct json_object_iterator at = json_object_iter_begin(object), end = json_object_iter_end(object);
        for (; !json_object_iter_equal(&at, &end); json_object_iter_next(&at))
            cli_neutralise(json_object_iter_peek_value(&at));
    }
}

bool cli_confirmed(const char *question)
{
    char answer[16];
    fprintf(stderr, "%s [y/N] ", question);
    fflush(stderr);
    if (!fgets(answer, sizeof answer, stdin)) {
        fprintf(stderr, "\n");
        return false;
    }
    answer[strcspn(answer, "\n")] = '\0';
    return !strcasecmp(answer, "y") || !strcasecmp(answer, "yes");
}

int cli_ask(const struct cli *cli, const char *method, struct json_object *parameters, int64_t timeout_ms,
            struct json_object **ret_reply)
{
    return cli_ask_more(cli, method, parameters, timeout_ms, NULL, NULL, ret_reply);
}

int cli_ask_more(const struct cli *cli, const char *method, struct json_object *parameters, int64_t timeout_ms,
                 void (*continued)(void *context, struct json_object *parameters), void *context,
                 struct json_object **ret_reply)
{
    struct error err = ERROR_INIT;
    struct control_client *client = NULL;
    struct json_object *reply = NULL;
    if (!control_client_open(cli->socket, &client, &err)) {
        json_object_put(parameters);
        cli_complain(err.text);
        return CLI_NO_ANSWER;
    }
    bool ok = control_client_call_more(client, method, parameters, timeout_ms, continued, context, &reply, &err);
    control_client_free(client);
    if (!ok) {
        cli_complain(err.text);
        return err.code == ERROR_NOT_FOUND ? CLI_PROBLEM : CLI_NO_ANSWER;
    }
    if (!cli->json)
        cli_neutralise(reply);
    *ret_reply = reply;
    return CLI_OK;
}

/* JSON itself escapes only what is below a blank. All other hazards can only stand inside a string, so they may be
 * written as escapes as well, and the value stays what it was. */
void cli_print_json(struct json_object *object)
{
    const char *text = json_object_to_json_string_ext(
        object, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE);
    size_t length = text ? strlen(text) : 0;
    for (size_t at = 0; at < length;) {
        uint32_t character = 0;
        size_t step = utf8_character(text + at, length - at, &character);
        if (!step)
            fputs("\\ufffd", stdout), step = 1;
        else if (character == '\n' || !utf8_is_hazard(character))
            fwrite(text + at, 1, step, stdout);
        else if (character < 0x10000)
            printf("\\u%04x", (unsigned)character);
        else
            printf("\\u%04x\\u%04x", 0xd7c0u + (unsigned)(character >> 10), 0xdc00u + (unsigned)(character & 0x3ff));
        at += step;
    }
    putchar('\n');
}
