#include "http.h"

#include <inttypes.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BODY_MAX = 1 << 20, CONNECTION_MEMORY = 16384, CONNECTIONS = 20000 };

struct http {
    struct MHD_Daemon *daemon;
    const struct http_handler *handler;
};

static char *copy_of(const char *text)
{
    return text != NULL ? strdup(text) : NULL;
}

static enum MHD_Result add_query(void *cls, enum MHD_ValueKind kind, const char *name,
                                 const char *value)
{
    (void)kind;
    request_add_query(cls, name, value);
    return MHD_YES;
}

static char *header(struct MHD_Connection *connection, const char *name)
{
    return copy_of(MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name));
}

static struct exchange *begin(struct MHD_Connection *connection, const char *url, const char *method)
{
    struct exchange *exchange = calloc(1, sizeof(*exchange));
    const char *authorization;

    if (exchange == NULL)
        return NULL;
    answer_init(&exchange->answer);
    exchange->connection = connection;
    exchange->request.method = copy_of(method);
    exchange->request.path = copy_of(url);
    exchange->request.body = copy_of("");
    exchange->request.content_type = header(connection, "Content-Type");
    exchange->request.api_key = header(connection, "x-api-key");
    exchange->request.api_version = header(connection, "anthropic-version");
    exchange->request.api_beta = header(connection, "anthropic-beta");
    exchange->request.vault_token = header(connection, "X-Vault-Token");
    exchange->request.vault_namespace = header(connection, "X-Vault-Namespace");
    authorization = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Authorization");
    if (authorization != NULL && strncasecmp(authorization, "Bearer ", 7) == 0)
        exchange->request.bearer = copy_of(authorization + 7);
    MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, add_query, &exchange->request);
    return exchange;
}

static bool append_body(struct request *request, const char *data, size_t size)
{
    char *grown;

    if (size > BODY_MAX - request->body_size)
        return false;
    grown = realloc(request->body, request->body_size + size + 1);
    if (grown == NULL)
        return false;
    request->body = grown;
    memcpy(request->body + request->body_size, data, size);
    request->body_size += size;
    request->body[request->body_size] = '\0';
    return true;
}

/* The inside of a JSON string that never ends: a reader without a limit would take it for ever. */
static ssize_t endless_body(void *cls, uint64_t position, char *buffer, size_t size)
{
    static const char start[] = "{\"object\":\"";

    (void)cls;
    memset(buffer, 'x', size);
    if (position == 0)
        memcpy(buffer, start, size < sizeof(start) - 1 ? size : sizeof(start) - 1);
    return (ssize_t)size;
}

static void add_number(struct MHD_Response *response, const char *name, int64_t number)
{
    char text[24];

    if (number < 0)
        return;
    snprintf(text, sizeof(text), "%" PRId64, number);
    MHD_add_response_header(response, name, text);
}

static enum MHD_Result send_answer(struct MHD_Connection *connection, const struct answer *answer)
{
    struct MHD_Response *response;
    enum MHD_Result result;

    if (answer->endless)
        response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 32768, endless_body, NULL, NULL);
    else
        response = MHD_create_response_from_buffer(answer->size, answer->body, MHD_RESPMEM_MUST_COPY);
    if (response == NULL)
        return MHD_NO;
    MHD_add_response_header(response, "Content-Type", answer->content_type);
    if (answer->request_id[0] != '\0') {
        MHD_add_response_header(response, "x-request-id", answer->request_id);
        MHD_add_response_header(response, "request-id", answer->request_id); /* Anthropic's */
    }
    if (answer->location != NULL)
        MHD_add_response_header(response, "Location", answer->location);
    if (answer->should_retry >= 0)
        MHD_add_response_header(response, "x-should-retry", answer->should_retry ? "true" : "false");
    add_number(response, "Retry-After", answer->retry_after);
    add_number(response, "Retry-After-Ms", answer->retry_after_ms);
    result = MHD_queue_response(connection, (unsigned int)answer->status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result handle(void *cls, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload_data,
                              size_t *upload_data_size, void **con_cls)
{
    const struct http *http = cls;
    struct exchange *exchange = *con_cls;
    enum http_next next;

    (void)version;
    if (exchange == NULL) {
        *con_cls = begin(connection, url, method);
        return *con_cls != NULL ? MHD_YES : MHD_NO;
    }
    if (*upload_data_size > 0) {
        if (!append_body(&exchange->request, upload_data, *upload_data_size))
            return MHD_NO;
        *upload_data_size = 0;
        return MHD_YES;
    }
    if (exchange->served) {
        next = exchange->next; /* asked again after a pause: http_resume() said what to do */
    } else {
        exchange->served = true;
        next = http->handler->serve(exchange, http->handler->context);
    }
    /* While it waits the exchange may already be another thread's: it is not looked at here. */
    if (next == HTTP_WAIT)
        return MHD_YES;
    return next == HTTP_ANSWER ? send_answer(connection, &exchange->answer) : MHD_NO;
}

static void completed(void *cls, struct MHD_Connection *connection, void **con_cls,
                      enum MHD_RequestTerminationCode code)
{
    struct exchange *exchange = *con_cls;

    (void)cls;
    (void)connection;
    (void)code;
    if (exchange == NULL)
        return;
    request_clear(&exchange->request);
    answer_clear(&exchange->answer);
    free(exchange);
    *con_cls = NULL;
}

static void connection_changed(void *cls, struct MHD_Connection *connection, void **socket_context,
                               enum MHD_ConnectionNotificationCode code)
{
    const struct http *http = cls;

    (void)connection;
    (void)socket_context;
    if (http->handler->connection != NULL)
        http->handler->connection(code == MHD_CONNECTION_NOTIFY_STARTED);
}

struct http *http_start(int listen_socket, const struct http_handler *handler)
{
    struct http *http = calloc(1, sizeof(*http));

    if (http == NULL)
        return NULL;
    http->handler = handler;
    http->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, handle, http,
        MHD_OPTION_LISTEN_SOCKET, listen_socket, MHD_OPTION_NOTIFY_COMPLETED, completed, NULL,
        MHD_OPTION_NOTIFY_CONNECTION, connection_changed, http, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned int)CONNECTIONS, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
        MHD_OPTION_END);
    if (http->daemon == NULL) {
        free(http);
        return NULL;
    }
    return http;
}

void http_stop(struct http *http)
{
    if (http == NULL)
        return;
    MHD_stop_daemon(http->daemon);
    free(http);
}

void http_suspend(struct exchange *exchange)
{
    MHD_suspend_connection(exchange->connection);
}

void http_resume(struct exchange *exchange, enum http_next next)
{
    exchange->next = next;
    MHD_resume_connection(exchange->connection);
}
