/* Theory of operation: libvirt turns the agent's own error into one of its own, "unable to execute QEMU agent command
 * 'NAME': DESC" in its language, and puts what the code means before it, as in "internal error: ". NAME is what we have
 * asked for; DESC is the agent's, or the name of its error's class; what is between differs (quotes, words), and ends with
 * a colon in each of the 21 languages of libvirt 9.0.0 and 11.3.0. (One, mr, has words behind DESC, too.) */
#include "host/agent_error.h"

#include "base/json.h"

#include <libvirt/virterror.h>
#include <stdio.h>
#include <string.h>

/* Since libvirt 11.2.0. Numbers, as the libvirt that answers may be newer than the one we were built with. */
enum { AGENT_COMMAND_TIMEOUT = 112, AGENT_COMMAND_FAILED = 113 };

/* Writes the name of the command {"execute":"NAME"... into RET_NAME; empty when it has none. */
static void read_name(const char *command, char *ret_name, size_t size)
{
    static const char key[] = "\"execute\":\"";
    const char *at = strstr(command, key);
    snprintf(ret_name, size, "%.*s", at ? (int)strcspn(at + sizeof key - 1, "\"") : 0, at ? at + sizeof key - 1 : "");
}

/* What the agent said in MESSAGE, which is about its command NAME; NULL when that cannot be found. */
static const char *find_description(const char *message, const char *name)
{
    static const char *const colons[] = {": ", "\xef\xbc\x9a"}; /* and Chinese's, U+FF1A */
    const char *at = *name ? strstr(message, name) : NULL, *first = NULL;
    for (size_t i = 0; at && i < sizeof colons / sizeof colons[0]; i++) {
        const char *colon = strstr(at + strlen(name), colons[i]);
        if (colon && (!first || colon < first))
            first = colon + strlen(colons[i]);
    }
    return first;
}

static bool put_reply(const char *description, struct buffer *reply, struct error *err)
{
    cleanup_json struct json_object *object = json_object_new_object();
    struct json_object *error = json_object_new_object();
    json_put_string(error, "class", "GenericError");
    json_put_string(error, "desc", description);
    json_put(object, "error", error);
    return buffer_append_text(reply, json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN)) ||
           error_set(err, ERROR_LIMIT, "the agent's error is larger than %zu bytes", reply->maximum);
}

bool agent_error_read(int code, int domain, const char *message, const char *command, struct buffer *reply,
                      struct error *err)
{
    char name[64];
    const char *description;
    read_name(command, name, sizeof name);
    switch (code) {
    case AGENT_COMMAND_FAILED:
        description = find_description(message, name);
        return put_reply(description ? description : message, reply, err);
    case AGENT_COMMAND_TIMEOUT:
        return error_set(err, ERROR_TIMEOUT, "the guest agent did not answer %s in time", name);
    case VIR_ERR_AGENT_UNRESPONSIVE:
        /* qemuDomainAgentAvailable(), qemuAgentSend() and qemuAgentCommandFull(): it is not connected, or went away in the
         * middle, or does not even answer libvirt's own guest-sync. Before 11.2.0 also that it did not answer in time. */
        return error_set(err, ERROR_NOT_FOUND, "the guest agent is not connected, or does not answer: %s", message);
    case VIR_ERR_ARGUMENT_UNSUPPORTED:
        return error_set(err, ERROR_NOT_FOUND, "the domain has no channel for a guest agent");
    case VIR_ERR_OPERATION_TIMEOUT: /* qemuDomainObjBeginAgentJob() */
        return error_set(err, ERROR_BUSY, "another command to the guest agent takes too long");
    case VIR_ERR_OPERATION_INVALID: /* virDomainObjCheckActive() */
        return error_set(err, ERROR_LOST, "the domain does not run");
    default:
        break;
    }
    /* qemuAgentCheckError(), before 11.2.0. With this code libvirt also says that it did not understand the agent, and
     * quotes it: then there may be a name and a colon as well, of an agent that says what it likes either way. */
    description = code == VIR_ERR_INTERNAL_ERROR && domain == VIR_FROM_QEMU ? find_description(message, name) : NULL;
    if (description)
        return put_reply(description, reply, err);
    return error_set(err, ERROR_LOST, "the guest agent could not be asked: %s", message);
}
