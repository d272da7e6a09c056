/* The real http.c and libcurl, and a server on loopback that answers with the input, whatever it is: a byte that chooses the
 * method, then what is sent, a part a turn of the loop, and the end of the connection.
 *
 * A request ends once. It was answered only with a status; what is told of Retry-After is within its bounds; nothing of the
 * answer, its headers or the credential is in an error's text. */
#include "fuzz.h"

#include "base/secret.h"
#include "providers/http.h"
#include "tests/unit/poll-loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define KEY "sk-admin-0123456789abcdefghijKEY"
enum { TURNS_MAX = 20000, PATIENCE_MS = 5000 };

static struct poll_loop *loop;
static struct http *http;
static int listening;
static unsigned port;
static struct secret *key;

static void stop(void)
{
    http_free(http);
    poll_loop_free(loop);
    secret_free(key);
}

static void start(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    struct error err = ERROR_INIT;
    must_succeed(secret_init(&err), err);
    key = secret_new(KEY, sizeof KEY - 1);
    loop = poll_loop_new();
    must_succeed(loop && key && http_new(poll_loop_base(loop), &http, &err), err);
    listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    must(listening >= 0 && bind(listening, (struct sockaddr *)&address, sizeof address) == 0 && listen(listening, 16) == 0);
    must(getsockname(listening, (struct sockaddr *)&address, &size) == 0);
    port = ntohs(address.sin_port);
    atexit(stop);
}

/* --- the server: one connection at a time --- */

struct server {
    struct fuzz_input answer;
    int fd;
    unsigned connections;
    size_t heard;
    char request[4096];
    const char *part;
    size_t left;
};

/* Whether it has sent something. */
static bool serve(struct server *server)
{
    ssize_t sent = 0;
    if (server->fd < 0) {
        server->fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (server->fd < 0)
            return false;
        server->heard = 0;
        server->connections++;
    }
    ssize_t count = recv(server->fd, server->request + server->heard, sizeof server->request - 1 - server->heard, MSG_DONTWAIT);
    if (count > 0)
        server->heard += (size_t)count;
    server->request[server->heard] = '\0';
    if (count == 0 || (count < 0 && errno != EAGAIN)) {
        close(server->fd);
        server->fd = -1;
    } else if (strstr(server->request, "\r\n\r\n")) {
        bool more = server->left > 0;
        while (!server->left && (more = fuzz_next(&server->answer, &server->part, &server->left)))
            ;
        if (!more) {
            shutdown(server->fd, SHUT_WR);
        } else {
            sent = send(server->fd, server->part, server->left, MSG_NOSIGNAL | MSG_DONTWAIT);
            server->part += sent > 0 ? sent : 0;
            server->left -= sent > 0 ? (size_t)sent : server->left * (errno != EAGAIN);
        }
    }
    return sent > 0;
}

struct ending {
    bool done;
    const uint8_t *data;
    size_t size;
};

/* Five characters of the answer in a row that are in no sentence of ours. Digits are: they may be the port's. */
static bool quotes(const char *text, const struct ending *ending)
{
    static const char mark[] = "QuOtE";
    return memmem(ending->data, ending->size, mark, sizeof mark - 1) && strstr(text, mark);
}

static void on_done(void *context, struct http_answer *answer)
{
    struct ending *ending = context;
    must(!ending->done);
    ending->done = true;
    must(answer->retry_after_ms >= -1 && answer->retry_after_ms <= HTTP_RETRY_AFTER_MAX_MS);
    if (answer->end == HTTP_ANSWERED) {
        must(answer->status >= 200 && answer->status <= 999 && answer->error.code == ERROR_NONE);
        must(answer->body.length <= ending->size);
        return;
    }
    must(answer->body.length == 0 && answer->status == 0 && answer->error.code != ERROR_NONE);
    fuzz_check_error(&answer->error);
    must(!strstr(answer->error.text, KEY) && !quotes(answer->error.text, ending));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_request request = HTTP_REQUEST_INIT;
    if (!http)
        start();
    struct ending ending = {false, data, size};
    struct server server = {.answer = fuzz_input(data, size), .fd = -1};
    request.method = (enum http_method)(fuzz_byte(&server.answer) % 3);
    request.timeout_ms = PATIENCE_MS;
    request.secret = key;
    snprintf(request.secret_header, sizeof request.secret_header, "Authorization: Bearer ");
    snprintf(request.url, sizeof request.url, "http://127.0.0.1:%u/v1/x", port);
    if (request.method == HTTP_POST)
        must(buffer_append_text(&request.body, "{}"));
    http_start(http, &request, on_done, &ending);
    bool sent = false;
    for (int turn = 0; !ending.done; turn++) {
        must(turn < TURNS_MAX);
        poll_loop_turn(loop, sent || turn < 100 ? 0 : 1);
        sent = serve(&server);
    }
    must(request.method != HTTP_POST || server.connections <= 1);
    buffer_clear(&request.body);
    if (server.fd >= 0)
        close(server.fd);
    while ((server.fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC)) >= 0)
        close(server.fd);
    return 0;
}
