#include "client.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "credentials/credential.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct poll_loop *loop;
static struct http *http;
static unsigned count, failed;

static void bail_out(const char *why)
{
    printf("Bail out! %s\n", why);
    exit(1);
}

struct poll_loop *client_loop(void)
{
    return loop;
}

void client_begin(void)
{
    struct error err = ERROR_INIT;
    loop = poll_loop_new();
    if (!loop || !secret_init(&err) || !http_new(poll_loop_base(loop), &http, &err))
        bail_out(loop ? err.text : "no loop");
}

int client_end(void)
{
    http_free(http);
    poll_loop_free(loop);
    printf("1..%u\n", count);
    return failed ? 1 : 0;
}

void check(bool ok, const char *name, const char *why)
{
    count++;
    failed += !ok;
    printf("%s %u - %s\n", ok ? "ok" : "not ok", count, name);
    if (!ok && *why)
        printf("# %s\n", why);
    fflush(stdout);
}

void forget(struct ended *ended)
{
    provider_result_clear(&ended->result);
    ended->done = false;
}

void on_done(void *context, struct provider_result *result)
{
    struct ended *ended = context;
    ended->result = *result;
    result->secret = NULL; /* taken, and the lists with it */
    result->items = NULL;
    result->items_count = 0;
    result->usage = NULL;
    result->usage_count = 0;
    ended->done = true;
}

void run(struct provider *provider, const struct provider_call *call, struct ended *ended)
{
    char why[128];
    forget(ended);
    provider_start(provider, call, on_done, ended);
    if (!poll_loop_until(loop, &ended->done, CLIENT_PATIENCE_MS)) {
        snprintf(why, sizeof why, "%s does not end", provider_verb_name(call->verb));
        bail_out(why);
    }
}

void expect(struct provider *provider, const struct provider_call *call, struct ended *ended, enum outcome outcome,
            const char *piece, const char *name)
{
    char why[640];
    run(provider, call, ended);
    snprintf(why, sizeof why, "%s: %s", outcome_name(ended->result.outcome), ended->result.error.text);
    check(ended->result.outcome == outcome && strstr(ended->result.error.text, piece), name, why);
}

static bool fetch_key(void *context, const struct provider_settings *settings, struct secret **ret_secret, struct error *err)
{
    (void)context;
    return credential_fetch(settings->admin_key, ret_secret, err);
}

struct provider *client_provider(const struct provider_settings *settings)
{
    struct provider *provider;
    struct error err = ERROR_INIT;
    if (!provider_new(http, settings, fetch_key, NULL, &provider, &err))
        bail_out(err.text);
    return provider;
}

struct status {
    bool done;
    long status;
};

static void on_status(void *context, struct http_answer *answer)
{
    *(struct status *)context = (struct status){true, answer->end == HTTP_ANSWERED ? answer->status : -1};
}

long status_of(const char *url, const struct secret *key, const char *body)
{
    struct http_request request = HTTP_REQUEST_INIT;
    struct status status = {.done = false};
    snprintf(request.url, sizeof request.url, "%s", url);
    snprintf(request.secret_header, sizeof request.secret_header, "Authorization: Bearer ");
    request.method = body ? HTTP_POST : HTTP_GET;
    request.secret = key;
    request.timeout_ms = CLIENT_PATIENCE_MS;
    if (body)
        buffer_append_text(&request.body, body);
    http_start(http, &request, on_status, &status);
    if (!poll_loop_until(loop, &status.done, CLIENT_PATIENCE_MS))
        bail_out("a request does not end");
    buffer_clear(&request.body);
    return status.status;
}

const char *client_key_file(const char *key)
{
    static char path[64];
    snprintf(path, sizeof path, "/tmp/llmhook-client-key-XXXXXX");
    cleanup_close int fd = mkstemp(path);
    if (fd < 0 || write(fd, key, strlen(key)) != (ssize_t)strlen(key))
        bail_out("no file for a key can be written");
    return path;
}

const char *direct_url(void)
{
    const char *direct = getenv("LLMHOOK_SANDBOX_DIRECT_URL");
    return direct ? direct : getenv("LLMHOOK_SANDBOX_URL");
}

void control(const char *method, const char *path, const char *body)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char text[1024], answer[256] = "";
    snprintf(address.sun_path, sizeof address.sun_path, "%s", getenv("LLMHOOK_SANDBOX_CONTROL"));
    cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int length = snprintf(text, sizeof text,
                          "%s %s HTTP/1.1\r\nHost: sandbox\r\nConnection: close\r\nContent-Type: application/json\r\n"
                          "Content-Length: %zu\r\n\r\n%s",
                          method, path, strlen(body), body);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0 || write(fd, text, (size_t)length) != length ||
        read(fd, answer, sizeof answer - 1) < 12 || answer[9] != '2') {
        snprintf(text, sizeof text, "the sandbox's control socket refused %s %s", method, path);
        bail_out(text);
    }
    while (read(fd, text, sizeof text) > 0)
        ;
}
