/* Theory of operation: commands are written by hand into a buffer that wipes itself, because json-c would keep
 * copies of a secret in freed memory; there is nothing in them but names, our own script and base64. Replies are
 * read with base/json, which bounds depth and copies; they hold no secret unless the guest puts one there. */
#include "qemu-guest-agent/agent.h"

#include "base/json.h"

#include <json-c/json.h>
#include <string.h>

enum { KEY_LIKE_RUN = 20 }; /* characters; no word or number of an honest message is as long */

/* --- building --- */

static bool append_string(struct buffer *command, const char *text)
{
    bool ok = buffer_append(command, "\"", 1);
    while (ok && *text) {
        size_t plain = 0;
        while ((unsigned char)text[plain] >= ' ' && text[plain] != '"' && text[plain] != '\\')
            plain++;
        ok = buffer_append(command, text, plain);
        text += plain;
        if (!ok || !*text)
            break;
        ok = *text == '\n' ? buffer_append(command, "\\n", 2)
                           : buffer_printf(command, "\\u%04x", (unsigned)(unsigned char)*text);
        text++;
    }
    return ok && buffer_append(command, "\"", 1);
}

static bool append_strings(struct buffer *command, const char *const strings[])
{
    bool ok = buffer_append(command, "[", 1);
    for (size_t i = 0; ok && strings[i]; i++)
        ok = (i == 0 || buffer_append(command, ",", 1)) && append_string(command, strings[i]);
    return ok && buffer_append(command, "]", 1);
}

static bool append_base64(struct buffer *command, const struct buffer *bytes)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *at = (const unsigned char *)buffer_text(bytes);
    for (size_t left = bytes->length; left > 0;) {
        size_t taken = left < 3 ? left : 3;
        unsigned long bits = (unsigned long)at[0] << 16;
        bits |= taken > 1 ? (unsigned long)at[1] << 8 : 0;
        bits |= taken > 2 ? at[2] : 0;
        char four[4] = {alphabet[bits >> 18], alphabet[bits >> 12 & 63], taken > 1 ? alphabet[bits >> 6 & 63] : '=',
                        taken > 2 ? alphabet[bits & 63] : '='};
        bool ok = buffer_append(command, four, sizeof four);
        explicit_bzero(four, sizeof four);
        if (!ok)
            return false;
        at += taken;
        left -= taken;
    }
    return true;
}

bool agent_build(struct buffer *command, const char *name)
{
    return buffer_printf(command, "{\"execute\":\"%s\"}", name);
}

bool agent_build_exec(struct buffer *command, const char *path, const char *const arguments[],
                      const char *const environment[], const struct buffer *input)
{
    return buffer_append_text(command, "{\"execute\":\"guest-exec\",\"arguments\":{\"path\":") &&
           append_string(command, path) && buffer_append_text(command, ",\"arg\":") &&
           append_strings(command, arguments) && buffer_append_text(command, ",\"env\":") &&
           append_strings(command, environment) &&
           buffer_append_text(command, ",\"capture-output\":true,\"input-data\":\"") && append_base64(command, input) &&
           buffer_append_text(command, "\"}}");
}

bool agent_build_exec_status(struct buffer *command, int64_t pid)
{
    return buffer_printf(command, "{\"execute\":\"guest-exec-status\",\"arguments\":{\"pid\":%lld}}", (long long)pid);
}

bool agent_build_file_open(struct buffer *command, const char *path, const char *mode)
{
    return buffer_append_text(command, "{\"execute\":\"guest-file-open\",\"arguments\":{\"path\":") &&
           append_string(command, path) && buffer_append_text(command, ",\"mode\":") && append_string(command, mode) &&
           buffer_append_text(command, "}}");
}

bool agent_build_file_write(struct buffer *command, int64_t handle, const struct buffer *bytes)
{
    return buffer_printf(command, "{\"execute\":\"guest-file-write\",\"arguments\":{\"handle\":%lld,\"buf-b64\":\"",
                         (long long)handle) &&
           append_base64(command, bytes) && buffer_append_text(command, "\"}}");
}

bool agent_build_file_read(struct buffer *command, int64_t handle, size_t count)
{
    return buffer_printf(command, "{\"execute\":\"guest-file-read\",\"arguments\":{\"handle\":%lld,\"count\":%zu}}",
                         (long long)handle, count);
}

bool agent_build_file_close(struct buffer *command, int64_t handle)
{
    return buffer_printf(command, "{\"execute\":\"guest-file-close\",\"arguments\":{\"handle\":%lld}}",
                         (long long)handle);
}

/* --- reading --- */

void agent_excerpt(const char *bytes, size_t length, char *ret_text, size_t size)
{
    static const char withheld[] = "(withheld)";
    size_t used = 0, run = 0;
    for (size_t i = 0; i < length && used + 1 < size; i++) {
        char c = bytes[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                    c == '_' || c == '+' || c == '=';
        bool printable = c > ' ' && c < 0x7f;
        if (!printable && used > 0 && ret_text[used - 1] == ' ')
            continue;
        ret_text[used++] = printable ? c : ' ';
        run = word ? run + 1 : 0;
        if (run == KEY_LIKE_RUN) {
            used -= run;
            for (const char *w = withheld; *w && used + 1 < size; w++)
                ret_text[used++] = *w;
            /* The rest of the run goes the same way. */
            while (i + 1 < length && bytes[i + 1] > ' ' && bytes[i + 1] < 0x7f)
                i++;
            run = 0;
        }
    }
    /* A run that the cut has shortened may be the beginning of something longer. */
    if (used + 1 == size && run > KEY_LIKE_RUN / 2)
        used -= run;
    while (used > 0 && ret_text[used - 1] == ' ')
        used--;
    ret_text[used] = '\0';
}

static bool refused(struct json_object *error, struct error *err)
{
    struct json_object *description = NULL;
    char text[AGENT_EXCERPT_SIZE] = "";
    if (!json_object_is_type(error, json_type_object) || !json_object_object_get_ex(error, "desc", &description) ||
        !json_object_is_type(description, json_type_string))
        return error_set(err, ERROR_PROTOCOL, "the agent's error has no description");
    agent_excerpt(json_object_get_string(description), (size_t)json_object_get_string_len(description), text,
                  sizeof text);
    return error_set(err, ERROR_DENIED, "the agent answered: %s", text);
}

/* *RET_DOCUMENT keeps *RET_VALUE alive. */
static bool parse_return(const struct buffer *reply, struct json_object **ret_document, struct json_object **ret_value,
                         struct error *err)
{
    if (reply->length > AGENT_REPLY_MAX)
        return error_set(err, ERROR_LIMIT, "the agent's answer is longer than %d bytes", AGENT_REPLY_MAX);
    cleanup_json struct json_object *document = NULL;
    if (!json_parse(buffer_text(reply), reply->length, &document, err))
        return error_prefix(err, "the agent's answer");
    struct json_object *value = NULL;
    if (!json_object_is_type(document, json_type_object))
        return error_set(err, ERROR_PROTOCOL, "the agent's answer is not an object");
    if (json_object_object_get_ex(document, "error", &value))
        return refused(value, err);
    if (!json_object_object_get_ex(document, "return", &value) || !value)
        return error_set(err, ERROR_PROTOCOL, "the agent's answer has neither 'return' nor 'error'");
    *ret_document = document;
    *ret_value = value;
    document = NULL;
    return true;
}

bool agent_parse_exec(const struct buffer *reply, int64_t *ret_pid, struct error *err)
{
    cleanup_json struct json_object *document = NULL;
    struct json_object *value;
    int64_t pid;
    if (!parse_return(reply, &document, &value, err))
        return false;
    if (!json_get_integer(value, "pid", &pid, err))
        return error_prefix(err, "guest-exec's answer");
    if (pid < 1 || pid > INT32_MAX)
        return error_set(err, ERROR_PROTOCOL, "guest-exec's answer: field 'pid' is no process id");
    *ret_pid = pid;
    return true;
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Strict: whole groups of four, padding only at the end, no white space. */
static bool decode_base64(const char *text, size_t length, struct buffer *bytes)
{
    if (length % 4)
        return false;
    for (size_t i = 0; i < length; i += 4) {
        size_t padding = 0;
        if (i + 4 == length)
            padding = text[i + 3] != '=' ? 0 : text[i + 2] != '=' ? 1 : 2;
        unsigned long bits = 0;
        for (size_t j = 0; j < 4; j++) {
            int value = j < 4 - padding ? base64_value(text[i + j]) : 0;
            if (value < 0)
                return false;
            bits = bits << 6 | (unsigned long)value;
        }
        const unsigned char three[3] = {bits >> 16 & 255, bits >> 8 & 255, bits & 255};
        if (!buffer_append(bytes, three, 3 - padding))
            return false;
    }
    return true;
}

static bool get_output(struct json_object *value, const char *name, const char *truncated, struct buffer *bytes,
                       struct error *err)
{
    struct json_object *data = NULL;
    if (json_optional_boolean(value, truncated, false))
        return error_set(err, ERROR_LIMIT, "guest-exec-status' answer: the output was too long for the agent");
    if (!json_object_object_get_ex(value, name, &data))
        return true;
    if (!json_object_is_type(data, json_type_string) ||
        !decode_base64(json_object_get_string(data), (size_t)json_object_get_string_len(data), bytes))
        return error_set(err, ERROR_PROTOCOL, "guest-exec-status' answer: field '%s' is not base64", name);
    return true;
}

bool agent_parse_exec_status(const struct buffer *reply, struct agent_status *status, struct error *err)
{
    cleanup_json struct json_object *document = NULL;
    struct json_object *value;
    if (!parse_return(reply, &document, &value, err))
        return false;
    bool exited;
    if (!json_get_boolean(value, "exited", &exited, err))
        return error_prefix(err, "guest-exec-status' answer");
    if (!exited)
        return true;
    bool signalled = json_has(value, "signal");
    int64_t code;
    if (!json_get_integer(value, signalled ? "signal" : "exitcode", &code, err))
        return error_prefix(err, "guest-exec-status' answer");
    if (code < 0 || code > 255)
        return error_set(err, ERROR_PROTOCOL, "guest-exec-status' answer: field '%s' is out of range",
                         signalled ? "signal" : "exitcode");
    if (!get_output(value, "out-data", "out-truncated", &status->out, err) ||
        !get_output(value, "err-data", "err-truncated", &status->err, err))
        return false;
    status->exited = true;
    status->signalled = signalled;
    status->code = (int)code;
    return true;
}

void agent_status_clear(struct agent_status *status)
{
    buffer_clear(&status->out);
    buffer_clear(&status->err);
}

bool agent_parse_file_open(const struct buffer *reply, int64_t *ret_handle, struct error *err)
{
    cleanup_json struct json_object *document = NULL;
    struct json_object *value;
    if (!parse_return(reply, &document, &value, err))
        return false;
    if (!json_object_is_type(value, json_type_int))
        return error_set(err, ERROR_PROTOCOL, "guest-file-open's answer is no handle");
    *ret_handle = json_object_get_int64(value);
    return true;
}

bool agent_parse_file_write(const struct buffer *reply, size_t *ret_count, struct error *err)
{
    cleanup_json struct json_object *document = NULL;
    struct json_object *value;
    int64_t count;
    if (!parse_return(reply, &document, &value, err))
        return false;
    if (!json_get_integer(value, "count", &count, err))
        return error_prefix(err, "guest-file-write's answer");
    if (count < 0 || count > AGENT_COMMAND_MAX)
        return error_set(err, ERROR_PROTOCOL, "guest-file-write's answer: field 'count' is out of range");
    *ret_count = (size_t)count;
    return true;
}

bool agent_parse_file_read(const struct buffer *reply, struct buffer *bytes, bool *ret_end, struct error *err)
{
    cleanup_json struct json_object *document = NULL;
    struct json_object *value, *data = NULL;
    if (!parse_return(reply, &document, &value, err))
        return false;
    if (!json_get_boolean(value, "eof", ret_end, err))
        return error_prefix(err, "guest-file-read's answer");
    if (!json_object_object_get_ex(value, "buf-b64", &data) || !json_object_is_type(data, json_type_string) ||
        !decode_base64(json_object_get_string(data), (size_t)json_object_get_string_len(data), bytes))
        return error_set(err, ERROR_PROTOCOL, "guest-file-read's answer: field 'buf-b64' is not base64");
    return true;
}

bool agent_parse_file_close(const struct buffer *reply, struct error *err)
{
    cleanup_json struct json_object *document = NULL;
    struct json_object *value;
    return parse_return(reply, &document, &value, err);
}

bool agent_parse_info(const struct buffer *reply, const char *name, bool *ret_enabled, struct error *err)
{
    cleanup_json struct json_object *document = NULL;
    struct json_object *value, *commands;
    if (!parse_return(reply, &document, &value, err))
        return false;
    if (!json_get_array(value, "supported_commands", &commands, err))
        return error_prefix(err, "guest-info's answer");
    *ret_enabled = false;
    for (size_t i = 0; i < json_object_array_length(commands); i++) {
        struct json_object *command = json_object_array_get_idx(commands, i);
        char text[64];
        json_optional_string(command, "name", "", text, sizeof text);
        if (!strcmp(text, name))
            *ret_enabled = json_optional_boolean(command, "enabled", false);
    }
    return true;
}

bool agent_parse_frozen(const struct buffer *reply, bool *ret_frozen, struct error *err)
{
    cleanup_json struct json_object *document = NULL;
    struct json_object *value;
    if (!parse_return(reply, &document, &value, err))
        return false;
    const char *text = json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
    if (strcmp(text, "frozen") && strcmp(text, "thawed"))
        return error_set(err, ERROR_PROTOCOL, "guest-fsfreeze-status' answer is neither 'frozen' nor 'thawed'");
    *ret_frozen = !strcmp(text, "frozen");
    return true;
}
