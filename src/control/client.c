#include "control/control.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "control/codec.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

enum { CONNECT_SECONDS = 5 };

struct control_client {
    int fd;
    bool broken; /* what comes next on this connection cannot be told apart any more */
    struct buffer in;
    struct control_frame frame;
};

static bool connect_error(int errnum, const char *path, struct error *err)
{
    static const char *const how = "start it with `systemctl start llmhookd`; `llmhook doctor` says what is missing";
    switch (errnum) {
    case ENOENT:
        return error_set(err, ERROR_NOT_FOUND, "llmhookd is not running (there is no %s): %s", path, how);
    case ECONNREFUSED:
        return error_set(err, ERROR_LOST, "llmhookd is not running (nobody listens at %s): %s", path, how);
    case EACCES:
    case EPERM:
        return error_set(err, ERROR_DENIED, "only root may talk to llmhookd (at %s)", path);
    case EAGAIN:
        return error_set(err, ERROR_TIMEOUT, "llmhookd has not accepted a connection at %s for %d s", path,
                         CONNECT_SECONDS);
    default:
        return error_set_errno(err, errnum, "connect to %s", path);
    }
}

bool control_client_open(const char *path, struct control_client **ret_client, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    if (!length || length >= sizeof address.sun_path)
        return error_set(err, ERROR_INVALID, "a socket's path has 1 to %zu bytes, not %zu",
                         sizeof address.sun_path - 1, length);
    memcpy(address.sun_path, path, length + 1);
    cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* A full queue makes connect() wait as long as a send may take. */
    struct timeval patience = {.tv_sec = CONNECT_SECONDS};
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) < 0)
        return error_set_errno(err, errno, "make a socket");
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        return connect_error(errno, path, err);
    struct control_client *client = calloc(1, sizeof *client);
    if (!client)
        return error_set(err, ERROR_IO, "out of memory");
    client->fd = fd;
    client->in.maximum = CONTROL_MESSAGE_MAX + 64 * 1024 + 1;
    fd = -1;
    *ret_client = client;
    return true;
}

void control_client_free(struct control_client *client)
{
    if (!client)
        return;
    close(client->fd);
    buffer_clear(&client->in);
    free(client);
}

/* Waits until the socket is ready for EVENTS; false when DEADLINE has passed. Errors show at the next send or recv. */
static bool wait_for(const struct control_client *client, short events, int64_t deadline)
{
    struct pollfd poller = {.fd = client->fd, .events = events};
    for (;;) {
        int64_t left = deadline - clock_monotonic_ms();
        if (left < 0)
            left = 0;
        int count = poll(&poller, 1, left > 60 * 1000 ? 60 * 1000 : (int)left);
        if (count > 0)
            return true;
        if (clock_monotonic_ms() >= deadline)
            return false;
    }
}

static bool timed_out(const char *method, int64_t timeout_ms, struct error *err)
{
    return error_set(err, ERROR_TIMEOUT, "llmhookd has not answered %s within %" PRId64 " ms", method, timeout_ms);
}

static bool was_lost(const char *method, struct error *err)
{
    return error_set(err, ERROR_LOST, "llmhookd closed the connection before it answered %s", method);
}

static struct json_object *new_call(const char *method, struct json_object *parameters)
{
    char full[CONTROL_METHOD_SIZE];
    snprintf(full, sizeof full, "%s%s", strchr(method, '.') ? "" : CONTROL_INTERFACE ".", method);
    struct json_object *call = json_object_new_object();
    json_put_string(call, "method", full);
    json_put(call, "parameters", parameters ? parameters : json_object_new_object());
    return call;
}

/* Sends all of MESSAGE. A peer that has closed is no error yet: it may have said why before. */
static bool send_all(struct control_client *client, const struct buffer *message, int64_t deadline)
{
    size_t sent = 0;
    while (sent < message->length) {
        ssize_t count = send(client->fd, message->data + sent, message->length - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count >= 0)
            sent += (size_t)count;
        else if (errno == EPIPE || errno == ECONNRESET)
            return true;
        else if (errno == EAGAIN && !wait_for(client, POLLOUT, deadline))
            return false;
    }
    return true;
}

static bool receive_reply(struct control_client *client, const char *method, int64_t timeout_ms, int64_t deadline,
                          struct json_object **ret_reply, struct error *err)
{
    char chunk[16 * 1024];
    const char *text;
    size_t length;
    for (;;) {
        switch (control_frame_next(&client->frame, &client->in, false, &text, &length)) {
        case CONTROL_FRAME_MESSAGE: {
            bool parsed = json_parse(text, length, ret_reply, err);
            control_frame_compact(&client->frame, &client->in);
            return parsed ? parsed : error_prefix(err, "llmhookd's answer to %s", method);
        }
        case CONTROL_FRAME_TOO_LONG:
            return error_set(err, ERROR_LIMIT, "llmhookd's answer to %s is longer than %d bytes", method,
                             CONTROL_MESSAGE_MAX);
        case CONTROL_FRAME_NONE:
            break;
        }
        ssize_t count = recv(client->fd, chunk, sizeof chunk, MSG_DONTWAIT);
        if (count > 0 && !buffer_append(&client->in, chunk, (size_t)count))
            return error_set(err, ERROR_IO, "out of memory");
        if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR))
            return was_lost(method, err);
        if (count < 0 && errno == EAGAIN && !wait_for(client, POLLIN, deadline))
            return timed_out(method, timeout_ms, err);
    }
}

/* Puts an error reply into words. */
static bool refused(const char *method, const char *name, struct json_object *reply, struct error *err)
{
    static const struct {
        const char *name;
        enum error_code code;
        const char *field;
        const char *format[2]; /* before and behind the field */
    } known[] = {
        {CONTROL_INTERFACE ".NotPermitted", ERROR_DENIED, "reason", {"", ""}},
        {CONTROL_INTERFACE ".NoSuchDomain", ERROR_NOT_FOUND, "domain", {"llmhookd knows no domain '", "'"}},
        {CONTROL_INTERFACE ".AmbiguousDomain", ERROR_NOT_FOUND, "reason", {"", ""}},
        {CONTROL_INTERFACE ".NoSuchProvider", ERROR_NOT_FOUND, "provider", {"llmhookd knows no provider '", "'"}},
        {CONTROL_INTERFACE ".NothingToRotate", ERROR_NOT_FOUND, "domain",
         {"domain '", "' has no key to replace: the next boot gets a new one anyway"}},
        {CONTROL_INTERFACE ".NothingToRevoke", ERROR_NOT_FOUND, "domain", {"domain '", "' has no key to revoke"}},
        {CONTROL_INTERFACE ".Failed", ERROR_IO, "reason", {"", ""}},
        {"org.varlink.service.InvalidParameter", ERROR_INVALID, "parameter", {"llmhookd does not accept '", "'"}},
        {"org.varlink.service.PermissionDenied", ERROR_DENIED, "", {"llmhookd does not permit that", ""}},
        {"org.varlink.service.MethodNotFound", ERROR_PROTOCOL, "method",
         {"this llmhookd has no method '", "': is it another version?"}},
    };
    char detail[sizeof err->text]; /* what does not fit is cut: a part of a sentence says more than none */
    struct json_object *parameters = NULL, *field = NULL;
    if (!json_get_object(reply, "parameters", &parameters, NULL))
        parameters = NULL;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(known[i].name, name) != 0)
            continue;
        detail[0] = '\0';
        if (json_has(parameters, known[i].field) && json_object_object_get_ex(parameters, known[i].field, &field) &&
            json_object_is_type(field, json_type_string))
            snprintf(detail, sizeof detail, "%.*s", (int)sizeof detail - 1, json_object_get_string(field));
        if (known[i].field[0] && !detail[0])
            break;
        return error_set(err, known[i].code, "%s%s%s", known[i].format[0], detail, known[i].format[1]);
    }
    return error_set(err, ERROR_PROTOCOL, "llmhookd answered %s with the error %s", method, name);
}

static bool read_reply(const char *method, struct json_object *reply, bool *ret_understood,
                       struct json_object **ret_parameters, struct error *err)
{
    char name[CONTROL_METHOD_SIZE];
    struct json_object *parameters = NULL;
    *ret_understood = true;
    if (json_has(reply, "error") && json_get_string(reply, "error", name, sizeof name, NULL))
        return refused(method, name, reply, err);
    *ret_understood = false;
    if (json_has(reply, "error") || json_optional_boolean(reply, "continues", false))
        return error_set(err, ERROR_PROTOCOL, "llmhookd's answer to %s is not one reply", method);
    if (json_has(reply, "parameters")) {
        if (!json_get_object(reply, "parameters", &parameters, err))
            return error_prefix(err, "llmhookd's answer to %s", method);
        json_object_get(parameters);
    } else if (json_object_is_type(reply, json_type_object)) {
        parameters = json_object_new_object();
    }
    if (!parameters)
        return error_set(err, ERROR_PROTOCOL, "llmhookd's answer to %s is not an object", method);
    *ret_understood = true;
    *ret_parameters = parameters;
    return true;
}

/* Hands over a reply that is not the last. False: it is the last, or none of this kind. */
static bool take_continued(struct json_object *reply, control_continued_fn *continued, void *context)
{
    struct json_object *parameters;
    if (!continued || json_has(reply, "error") || !json_optional_boolean(reply, "continues", false))
        return false;
    if (json_get_object(reply, "parameters", &parameters, NULL))
        continued(context, parameters);
    return true;
}

bool control_client_call(struct control_client *client, const char *method, struct json_object *parameters,
                         int64_t timeout_ms, struct json_object **ret_parameters, struct error *err)
{
    return control_client_call_more(client, method, parameters, timeout_ms, NULL, NULL, ret_parameters, err);
}

bool control_client_call_more(struct control_client *client, const char *method, struct json_object *parameters,
                              int64_t timeout_ms, control_continued_fn *continued, void *context,
                              struct json_object **ret_parameters, struct error *err)
{
    cleanup_json struct json_object *call = new_call(method, parameters);
    if (continued)
        json_put_boolean(call, "more", true);
    if (client->broken)
        return was_lost(method, err);
    cleanup_buffer struct buffer message = BUFFER_INIT(CONTROL_MESSAGE_MAX + 1);
    if (!control_encode(call, &message, err))
        return error_prefix(err, "ask llmhookd for %s", method);
    int64_t deadline = clock_monotonic_ms() + timeout_ms;
    cleanup_json struct json_object *reply = NULL;
    client->broken = true;
    if (!send_all(client, &message, deadline))
        return timed_out(method, timeout_ms, err);
    do {
        json_object_put(reply);
        reply = NULL;
        if (!receive_reply(client, method, timeout_ms, deadline, &reply, err))
            return false;
        deadline = clock_monotonic_ms() + timeout_ms;
    } while (take_continued(reply, continued, context));
    bool understood;
    bool ok = read_reply(method, reply, &understood, ret_parameters, err);
    client->broken = !understood;
    return ok;
}
