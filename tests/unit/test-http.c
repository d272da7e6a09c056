/* http.c against real sockets on loopback. */
#include "check.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "heap-search.h"
#include "poll-loop.h"
#include "providers/http.h"
#include "scripted-server.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum { PATIENCE_MS = 20000 };

static const char key[] = "sk-admin-0123456789abcdefghij";

struct fixture {
    struct poll_loop *loop;
    struct http *http;
    struct scripted_server *server;
    struct secret *secret;
};

/* What a callback saw. */
struct seen {
    bool done;
    unsigned calls;
    enum http_end end;
    long status;
    char body[256];
    size_t body_length;
    int64_t retry_after_ms;
    struct error error;
};

static void on_done(void *context, struct http_answer *answer)
{
    struct seen *seen = context;
    seen->done = true;
    seen->calls++;
    seen->end = answer->end;
    seen->status = answer->status;
    seen->body_length = answer->body.length;
    snprintf(seen->body, sizeof seen->body, "%s", buffer_text(&answer->body));
    seen->retry_after_ms = answer->retry_after_ms;
    seen->error = answer->error;
}

static void open_fixture(struct fixture *f, const struct script_step *steps, size_t count)
{
    struct error err = ERROR_INIT;
    assert_true(secret_init(&err));
    f->loop = poll_loop_new();
    assert_non_null(f->loop);
    assert_true(http_new(poll_loop_base(f->loop), &f->http, &err));
    f->server = steps ? scripted_server_new(steps, count) : NULL;
    f->secret = secret_new(key, strlen(key));
}

static void close_fixture(struct fixture *f)
{
    http_free(f->http);
    assert_int_equal(poll_loop_watches(f->loop), 0);
    assert_int_equal(poll_loop_armed(f->loop), 0);
    poll_loop_free(f->loop);
    if (f->server)
        scripted_server_free(f->server);
    secret_free(f->secret);
}

static struct http_request request_to(const struct fixture *f, enum http_method method, const char *path)
{
    struct http_request request = HTTP_REQUEST_INIT;
    request.method = method;
    snprintf(request.url, sizeof request.url, "http://127.0.0.1:%u%s", scripted_server_port(f->server), path);
    snprintf(request.secret_header, sizeof request.secret_header, "Authorization: Bearer ");
    request.secret = f->secret;
    request.timeout_ms = PATIENCE_MS;
    return request;
}

static void finish(const struct fixture *f, const struct http_request *request, struct seen *seen)
{
    memset(seen, 0, sizeof *seen);
    http_start(f->http, request, on_done, seen);
    assert_int_equal(seen->calls, 0); /* never from inside */
    assert_true(poll_loop_until(f->loop, &seen->done, PATIENCE_MS));
    assert_int_equal(seen->calls, 1);
}

static void fetch(const struct fixture *f, enum http_method method, const char *path, struct seen *seen)
{
    struct http_request request = request_to(f, method, path);
    finish(f, &request, seen);
}

#define OK_ANSWER SCRIPT_ANSWER("200", "", "2", "{}")

static void test_requests_are_as_asked(void **state)
{
    (void)state;
    static const char *const more[] = {"anthropic-version: 2023-06-01", NULL};
    struct script_step steps[] = {{SCRIPT_ANSWER("201", "", "8", "{\"a\": 1}"), SCRIPT_KEEP, 0},
                                  {OK_ANSWER, SCRIPT_KEEP, 0}};
    struct fixture f;
    struct seen seen;
    open_fixture(&f, steps, 2);
    struct http_request request = request_to(&f, HTTP_POST, "/v1/things?x=1");
    request.headers = more;
    buffer_append_text(&request.body, "{\"name\":\"n\"}");
    finish(&f, &request, &seen);
    buffer_clear(&request.body);
    assert_int_equal(seen.end, HTTP_ANSWERED);
    assert_int_equal(seen.status, 201);
    assert_string_equal(seen.body, "{\"a\": 1}");
    assert_int_equal(seen.retry_after_ms, -1);
    char wanted[1024];
    snprintf(wanted, sizeof wanted,
             "POST /v1/things?x=1 HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUser-Agent: llmhook\r\nAccept: application/json\r\n"
             "Content-Type: application/json\r\nanthropic-version: 2023-06-01\r\nAuthorization: Bearer %s\r\n"
             "Content-Length: 12\r\n\r\n{\"name\":\"n\"}",
             scripted_server_port(f.server), key);
    assert_string_equal(scripted_server_request(f.server, 0), wanted);

    fetch(&f, HTTP_GET, "/get", &seen);
    fetch(&f, HTTP_DELETE, "/delete", &seen);
    fetch(&f, HTTP_POST, "/empty", &seen);
    const char *get = scripted_server_request(f.server, 1), *delete = scripted_server_request(f.server, 2);
    const char *empty = scripted_server_request(f.server, 3);
    assert_memory_equal(get, "GET /get HTTP/1.1\r\n", 19);
    assert_null(strstr(get, "Content-"));
    assert_memory_equal(delete, "DELETE /delete HTTP/1.1\r\n", 25);
    assert_memory_equal(empty, "POST /empty HTTP/1.1\r\n", 22);
    assert_non_null(strstr(empty, "Content-Length: 0\r\n"));
    assert_null(strstr(empty, "Content-Type"));
    assert_int_equal(scripted_server_connections(f.server), 1); /* used again */
    close_fixture(&f);
}

static void test_refused_connection_is_not_sent(void **state)
{
    (void)state;
    struct script_step steps[] = {{OK_ANSWER, SCRIPT_KEEP, 0}};
    struct fixture f;
    struct seen seen;
    open_fixture(&f, steps, 1);
    struct http_request request = request_to(&f, HTTP_POST, "/");
    char place[64];
    snprintf(place, sizeof place, "127.0.0.1:%u: nothing was sent: ", scripted_server_port(f.server));
    scripted_server_free(f.server);
    f.server = NULL;
    finish(&f, &request, &seen);
    assert_int_equal(seen.end, HTTP_NOT_SENT);
    check_error(seen.error, ERROR_IO, place);
    close_fixture(&f);
}

/* One step, one POST, and how it ends. */
static void ends(struct script_step step, int64_t timeout_ms, enum http_end end, enum error_code code, const char *piece)
{
    struct fixture f;
    struct seen seen;
    open_fixture(&f, &step, 1);
    struct http_request request = request_to(&f, HTTP_POST, "/secret-path?secret=query");
    request.timeout_ms = timeout_ms;
    finish(&f, &request, &seen);
    assert_int_equal(seen.end, end);
    assert_int_equal(scripted_server_requests(f.server), 1);
    if (end != HTTP_ANSWERED) {
        check_error(seen.error, code, piece);
        assert_null(strstr(seen.error.text, "secret"));
        assert_int_equal(seen.body_length, 0);
        assert_int_equal(seen.status, 0);
    }
    close_fixture(&f);
}

static void test_cut_before_the_answer(void **state)
{
    (void)state;
    ends((struct script_step){NULL, SCRIPT_CLOSE, 0}, PATIENCE_MS, HTTP_UNANSWERED, ERROR_LOST, "the request was sent, but");
    ends((struct script_step){NULL, SCRIPT_RESET, 0}, PATIENCE_MS, HTTP_UNANSWERED, ERROR_LOST, "the request was sent, but");
}

static void test_cut_in_the_answer(void **state)
{
    (void)state;
    ends((struct script_step){"HTTP/1.1 200 OK\r\nContent-Le", SCRIPT_CLOSE, 0}, PATIENCE_MS, HTTP_UNANSWERED, ERROR_LOST,
         "the request was sent, but");
    ends((struct script_step){SCRIPT_ANSWER("200", "", "100", "{\"secret"), SCRIPT_CLOSE, 0}, PATIENCE_MS,
         HTTP_UNANSWERED, ERROR_LOST, "the request was sent, but");
    ends((struct script_step){"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n{\"secret", SCRIPT_CLOSE, 0},
         PATIENCE_MS, HTTP_UNANSWERED, ERROR_LOST, "the request was sent, but");
}

static void test_answer_that_is_not_http(void **state)
{
    (void)state;
    ends((struct script_step){"secret 220 mail.example ESMTP\r\n", SCRIPT_CLOSE, 0}, PATIENCE_MS, HTTP_UNANSWERED,
         ERROR_PROTOCOL, "the request was sent, but");
}

/* Behind "HTTP/2" libcurl 7 takes any number of digits, libcurl 8 the first three. */
static void test_a_status_has_three_digits(void **state)
{
    (void)state;
    struct script_step step = {"HTTP/2 2000\r\n\r\n{}", SCRIPT_CLOSE, 0};
    struct fixture f;
    struct seen seen;
    open_fixture(&f, &step, 1);
    struct http_request request = request_to(&f, HTTP_POST, "/");
    finish(&f, &request, &seen);
    if (seen.end == HTTP_ANSWERED)
        assert_int_equal(seen.status, 200);
    else
        check_error(seen.error, ERROR_PROTOCOL, "the request was sent, but");
    close_fixture(&f);
}

static void test_endless_answers_are_left(void **state)
{
    (void)state;
    static const char body[] = "HTTP/1.1 200 OK\r\n\r\n", header[] = "HTTP/1.1 200 OK\r\nX-Filler: ";
    ends((struct script_step){body, SCRIPT_CLOSE, HTTP_ANSWER_MAX + 4096}, PATIENCE_MS, HTTP_UNANSWERED, ERROR_LIMIT,
         "larger than 4194304 bytes");
    ends((struct script_step){body, SCRIPT_CLOSE, HTTP_ANSWER_MAX}, PATIENCE_MS, HTTP_ANSWERED, ERROR_NONE, "");
    ends((struct script_step){header, SCRIPT_CLOSE, 16 * HTTP_ANSWER_MAX}, PATIENCE_MS, HTTP_UNANSWERED, ERROR_LIMIT,
         "the request was sent, but a line of the answer's headers is too long");
    /* Many headers, each of a length that libcurl takes. */
    static char many[HTTP_HEADERS_MAX + 8192] = "HTTP/1.1 200 OK\r\n";
    for (size_t used = strlen(many); used + 1100 < sizeof many; used = strlen(many))
        snprintf(many + used, sizeof many - used, "X-A: %01000d\r\n", 0);
    ends((struct script_step){many, SCRIPT_HANG, 0}, PATIENCE_MS, HTTP_UNANSWERED, ERROR_LIMIT, "or its headers than 262144");
}

static void test_silence_ends_at_the_deadline(void **state)
{
    (void)state;
    int64_t began = clock_monotonic_ms();
    ends((struct script_step){NULL, SCRIPT_HANG, 0}, 200, HTTP_UNANSWERED, ERROR_TIMEOUT, "no answer in time");
    ends((struct script_step){SCRIPT_ANSWER("200", "", "9", "{"), SCRIPT_HANG, 0}, 200, HTTP_UNANSWERED, ERROR_TIMEOUT,
         "no answer in time");
    int64_t took = clock_monotonic_ms() - began;
    assert_in_range(took, 400, 5000);
}

static void wait_for_requests(const struct fixture *f, unsigned count)
{
    int64_t end = clock_monotonic_ms() + PATIENCE_MS;
    while (scripted_server_requests(f->server) < count && clock_monotonic_ms() < end)
        poll_loop_turn(f->loop, 10);
    assert_int_equal(scripted_server_requests(f->server), count);
}

/* 64 connections hang; those that wait for a free one were never sent, and say so. */
static void test_waiting_for_a_connection_is_not_sent(void **state)
{
    (void)state;
    static struct seen hanging[HTTP_HOST_CONNECTIONS_MAX], waiting[6];
    struct script_step step = {NULL, SCRIPT_HANG, 0};
    struct fixture f;
    memset(hanging, 0, sizeof hanging);
    memset(waiting, 0, sizeof waiting);
    open_fixture(&f, &step, 1);
    struct http_request request = request_to(&f, HTTP_POST, "/");
    for (size_t i = 0; i < HTTP_HOST_CONNECTIONS_MAX; i++)
        http_start(f.http, &request, on_done, &hanging[i]);
    request.timeout_ms = 300;
    for (size_t i = 0; i < 6; i++)
        http_start(f.http, &request, on_done, &waiting[i]);
    for (size_t i = 0; i < 6; i++) {
        assert_true(poll_loop_until(f.loop, &waiting[i].done, PATIENCE_MS));
        assert_int_equal(waiting[i].end, HTTP_NOT_SENT);
        check_error(waiting[i].error, ERROR_TIMEOUT, "nothing was sent");
    }
    wait_for_requests(&f, HTTP_HOST_CONNECTIONS_MAX);
    close_fixture(&f);
    assert_int_equal(hanging[0].end, HTTP_UNANSWERED);
}

/* Also longer than a connection may take to be made. */
static void test_a_long_wait_for_a_connection_is_no_failure(void **state)
{
    (void)state;
    static struct seen hanging[HTTP_HOST_CONNECTIONS_MAX], waiting;
    static struct script_step steps[HTTP_HOST_CONNECTIONS_MAX + 1];
    struct fixture f;
    memset(hanging, 0, sizeof hanging);
    memset(&waiting, 0, sizeof waiting);
    for (size_t i = 0; i < HTTP_HOST_CONNECTIONS_MAX; i++)
        steps[i] = (struct script_step){NULL, SCRIPT_HANG, 0};
    steps[HTTP_HOST_CONNECTIONS_MAX] = (struct script_step){OK_ANSWER, SCRIPT_KEEP, 0};
    open_fixture(&f, steps, HTTP_HOST_CONNECTIONS_MAX + 1);
    struct http_request request = request_to(&f, HTTP_POST, "/");
    request.timeout_ms = 4500;
    for (size_t i = 0; i < HTTP_HOST_CONNECTIONS_MAX; i++)
        http_start(f.http, &request, on_done, &hanging[i]);
    request.timeout_ms = 60000;
    http_start(f.http, &request, on_done, &waiting);
    assert_true(poll_loop_until(f.loop, &waiting.done, 60000));
    if (waiting.end != HTTP_ANSWERED)
        fail_msg("%s", waiting.error.text);
    close_fixture(&f);
}

static void test_thousands_are_answered(void **state)
{
    (void)state;
    enum { COUNT = 2000 };
    struct seen *seen = calloc(COUNT, sizeof *seen);
    struct script_step step = {OK_ANSWER, SCRIPT_KEEP, 0};
    struct fixture f;
    open_fixture(&f, &step, 1);
    struct http_request request = request_to(&f, HTTP_GET, "/");
    request.timeout_ms = 120000;
    for (size_t i = 0; i < COUNT; i++)
        http_start(f.http, &request, on_done, &seen[i]);
    for (size_t i = 0; i < COUNT; i++) {
        assert_true(poll_loop_until(f.loop, &seen[i].done, 120000));
        if (seen[i].end != HTTP_ANSWERED)
            fail_msg("request %zu: %s", i, seen[i].error.text);
        assert_int_equal(seen[i].calls, 1);
    }
    assert_int_equal(scripted_server_requests(f.server), COUNT);
    assert_in_range(scripted_server_connections(f.server), 1, HTTP_HOST_CONNECTIONS_MAX);
    free(seen);
    close_fixture(&f);
}

static void test_redirects_are_not_followed(void **state)
{
    (void)state;
    struct script_step steps[] = {{SCRIPT_ANSWER("302", "Location: /elsewhere\r\n", "0", ""), SCRIPT_KEEP, 0},
                                  {OK_ANSWER, SCRIPT_KEEP, 0}};
    struct fixture f;
    struct seen seen;
    open_fixture(&f, steps, 2);
    fetch(&f, HTTP_GET, "/", &seen);
    assert_int_equal(seen.end, HTTP_ANSWERED);
    assert_int_equal(seen.status, 302);
    assert_int_equal(scripted_server_requests(f.server), 1);
    close_fixture(&f);
}

/* A kept connection that dies under a request: the server may have acted on it. */
static void test_a_post_is_never_sent_twice(void **state)
{
    (void)state;
    struct script_step steps[] = {{OK_ANSWER, SCRIPT_KEEP, 0}, {NULL, SCRIPT_CLOSE, 0}, {OK_ANSWER, SCRIPT_KEEP, 0}};
    struct fixture f;
    struct seen seen;
    open_fixture(&f, steps, 3);
    fetch(&f, HTTP_POST, "/first", &seen);
    assert_int_equal(seen.end, HTTP_ANSWERED);
    fetch(&f, HTTP_POST, "/second", &seen);
    assert_int_equal(seen.end, HTTP_UNANSWERED);
    check_error(seen.error, ERROR_LOST, "the connection ended before the answer");
    assert_int_equal(scripted_server_requests(f.server), 2);
    fetch(&f, HTTP_POST, "/third", &seen);
    assert_int_equal(seen.end, HTTP_ANSWERED);
    close_fixture(&f);

    struct script_step reads[] = {{OK_ANSWER, SCRIPT_KEEP, 0}, {NULL, SCRIPT_CLOSE, 0}, {OK_ANSWER, SCRIPT_KEEP, 0}};
    open_fixture(&f, reads, 3);
    fetch(&f, HTTP_GET, "/first", &seen);
    fetch(&f, HTTP_GET, "/second", &seen); /* reading can be repeated, and libcurl does */
    assert_int_equal(seen.end, HTTP_ANSWERED);
    assert_int_equal(scripted_server_requests(f.server), 3);
    close_fixture(&f);
}

/* Where reading makes a key (Vault), a second one would be nobody's. The connection that was kept dies under it: libcurl
 * would repeat it on another by itself. */
static void test_a_get_that_makes_something_is_never_sent_twice(void **state)
{
    (void)state;
    struct script_step steps[] = {{OK_ANSWER, SCRIPT_KEEP, 0}, {NULL, SCRIPT_CLOSE, 0}, {OK_ANSWER, SCRIPT_KEEP, 0}};
    struct fixture f;
    struct seen seen;
    open_fixture(&f, steps, 3);
    fetch(&f, HTTP_GET, "/first", &seen);
    assert_int_equal(seen.end, HTTP_ANSWERED);
    struct http_request request = request_to(&f, HTTP_GET, "/creds");
    request.once = true;
    finish(&f, &request, &seen);
    assert_int_equal(seen.end, HTTP_UNANSWERED);
    check_error(seen.error, ERROR_LOST, "the connection ended before the answer");
    assert_int_equal(scripted_server_requests(f.server), 2);
    assert_non_null(strstr(scripted_server_request(f.server, 1), "GET /creds HTTP/1.1"));
    finish(&f, &request, &seen); /* asked for again it is another request */
    assert_int_equal(seen.end, HTTP_ANSWERED);
    assert_int_equal(scripted_server_requests(f.server), 3);
    close_fixture(&f);
}

static void test_retry_after_values(void **state)
{
    (void)state;
    const int64_t now = INT64_C(1445412470000); /* Wed, 21 Oct 2015 07:27:50 GMT */
    assert_int_equal(http_retry_after(" 5", false, now), 5000);
    assert_int_equal(http_retry_after("0", false, now), 0);
    assert_int_equal(http_retry_after("1.5\r\n", false, now), 1500);
    assert_int_equal(http_retry_after(" 250 ", true, now), 250);
    assert_int_equal(http_retry_after("Wed, 21 Oct 2015 07:28:00 GMT", false, now), 10000);
    assert_int_equal(http_retry_after("Wed, 21 Oct 2015 07:00:00 GMT", false, now), 0);
    assert_int_equal(http_retry_after("Wed, 21 Oct 2037 07:28:00 GMT", false, now), HTTP_RETRY_AFTER_MAX_MS);
    /* libcurl of Debian 12 reads such a year, that of 13 takes it for no date. */
    int64_t far = http_retry_after("Wed, 21 Oct 922437231 07:28:00 GMT", false, now);
    assert_true(far == HTTP_RETRY_AFTER_MAX_MS || far == -1);
    assert_int_equal(http_retry_after("99999999999999999999999", false, now), HTTP_RETRY_AFTER_MAX_MS);
    assert_int_equal(http_retry_after("soon", false, now), -1);
    assert_int_equal(http_retry_after("-5", false, now), -1);
    assert_int_equal(http_retry_after("5 apples", false, now), -1);
    assert_int_equal(http_retry_after("1e3", false, now), -1);
    assert_int_equal(http_retry_after("0x10", false, now), -1);
    assert_int_equal(http_retry_after("", false, now), -1);
    assert_int_equal(http_retry_after("Wed, 21 Oct 2015 07:28:00 GMT", true, now), -1);
}

static void test_retry_after_headers(void **state)
{
    (void)state;
    struct script_step steps[] = {
        {SCRIPT_ANSWER("429", "retry-after: 7\r\n", "0", ""), SCRIPT_KEEP, 0},
        {SCRIPT_ANSWER("429", "Retry-After-Ms: 1234\r\nRetry-After: 2\r\n", "0", ""), SCRIPT_KEEP, 0},
        {SCRIPT_ANSWER("429", "Retry-After: 2\r\nRetry-After-Ms: 1234\r\n", "0", ""), SCRIPT_KEEP, 0},
        {"HTTP/1.1 103 Early\r\nRetry-After: 9\r\n\r\n" OK_ANSWER, SCRIPT_KEEP, 0},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-Trailer: 1\r\n\r\n", SCRIPT_KEEP, 0},
        {SCRIPT_ANSWER("503", "Retry-After: later\r\nX-Retry-After: 3\r\n", "0", ""), SCRIPT_KEEP, 0},
    };
    static const int64_t wanted[] = {7000, 1234, 1234, -1, -1, -1};
    struct fixture f;
    open_fixture(&f, steps, 6);
    for (size_t i = 0; i < 6; i++) {
        struct seen seen;
        fetch(&f, HTTP_GET, "/", &seen);
        assert_int_equal(seen.end, HTTP_ANSWERED);
        assert_int_equal(seen.retry_after_ms, wanted[i]);
    }
    close_fixture(&f);
}

static void test_urls_that_may_carry_a_key(void **state)
{
    (void)state;
    static const char *const allowed[] = {
        "https://api.openai.com/v1", "https://10.1.2.3:8443/", "http://127.0.0.1:8080/v1", "http://127.9.9.9/",
        "http://[::1]:80/",          "http://localhost/",      "http://LocalHost:1/",
    };
    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++) {
        struct error err = ERROR_INIT;
        if (!http_url_allowed(allowed[i], &err))
            fail_msg("%s: %s", allowed[i], err.text);
        assert_int_equal(http_url_loopback(allowed[i]), strncmp(allowed[i], "http://", 7) == 0);
    }
    static const struct {
        const char *url;
        enum error_code code;
        const char *piece;
    } refused[] = {
        {"http://api.openai.com/v1", ERROR_DENIED, "the URL for api.openai.com:80 is http: use https"},
        {"http://127.0.0.1.example.com/", ERROR_DENIED, "use https"},
        {"http://localhost.example.com/", ERROR_DENIED, "use https"},
        {"http://128.0.0.1/", ERROR_DENIED, "use https"},
        {"http://0.0.0.0/", ERROR_DENIED, "use https"},
        {"http://[::2]/", ERROR_DENIED, "use https"},
        {"http://127.0.0.1@example.com/", ERROR_INVALID, "holds a user or password"},
        {"https://me:secret@example.com/", ERROR_INVALID, "the URL for example.com:443 holds a user or password"},
        {"ftp://127.0.0.1/", ERROR_INVALID, "begins with ftp: only https"},
        {"file:///etc/passwd", ERROR_INVALID, ""},
        {"api.openai.com/v1", ERROR_INVALID, "not a URL that can be used"},
        {"", ERROR_INVALID, "not a URL that can be used"},
        {"https://exa mple.com/", ERROR_INVALID, "not a URL that can be used"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct error err = ERROR_INIT;
        if (http_url_allowed(refused[i].url, &err))
            fail_msg("%s is allowed", refused[i].url);
        assert_false(http_url_loopback(refused[i].url));
        check_error(err, refused[i].code, refused[i].piece);
        assert_null(strstr(err.text, "secret"));
    }
}

/* The server listens on 0.0.0.0, and Linux would take that address as its own: nothing may come. */
static void test_plain_http_to_elsewhere_opens_nothing(void **state)
{
    (void)state;
    struct script_step step = {OK_ANSWER, SCRIPT_KEEP, 0};
    struct fixture f;
    struct seen seen;
    open_fixture(&f, &step, 1);
    struct http_request request = request_to(&f, HTTP_GET, "/");
    snprintf(request.url, sizeof request.url, "http://0.0.0.0:%u/", scripted_server_port(f.server));
    finish(&f, &request, &seen);
    assert_int_equal(seen.end, HTTP_NOT_SENT);
    check_error(seen.error, ERROR_DENIED, "is http: use https");
    assert_int_equal(scripted_server_connections(f.server), 0);
    fetch(&f, HTTP_GET, "/", &seen); /* the server does listen */
    assert_int_equal(seen.end, HTTP_ANSWERED);
    close_fixture(&f);
}

static void test_a_key_cannot_add_headers(void **state)
{
    (void)state;
    static const char bad[] = "sk-one\r\nX-Evil: 1";
    struct script_step step = {OK_ANSWER, SCRIPT_KEEP, 0};
    struct fixture f;
    struct seen seen;
    open_fixture(&f, &step, 1);
    struct http_request request = request_to(&f, HTTP_GET, "/");
    struct secret *secret = secret_new(bad, strlen(bad));
    request.secret = secret;
    finish(&f, &request, &seen);
    assert_int_equal(seen.end, HTTP_NOT_SENT);
    check_error(seen.error, ERROR_INVALID, "the credential holds a space or a character that no key has");
    assert_null(strstr(seen.error.text, "sk-one"));
    assert_int_equal(scripted_server_connections(f.server), 0);
    secret_free(secret);
    close_fixture(&f);
}

static void test_environment_proxies_are_not_used_for_loopback(void **state)
{
    (void)state;
    struct script_step step = {OK_ANSWER, SCRIPT_KEEP, 0};
    struct fixture f;
    struct seen seen;
    static const char *const names[] = {"http_proxy", "https_proxy", "all_proxy", "ALL_PROXY"};
    open_fixture(&f, &step, 1);
    for (size_t i = 0; i < 4; i++)
        setenv(names[i], "http://127.0.0.1:1/", 1);
    fetch(&f, HTTP_GET, "/", &seen);
    for (size_t i = 0; i < 4; i++)
        unsetenv(names[i]);
    assert_int_equal(seen.end, HTTP_ANSWERED);
    close_fixture(&f);
}

static void test_cancel_says_whether_it_was_sent(void **state)
{
    (void)state;
    struct script_step step = {NULL, SCRIPT_HANG, 0};
    struct fixture f;
    struct seen seen = {.calls = 0};
    open_fixture(&f, &step, 1);
    struct http_request request = request_to(&f, HTTP_POST, "/");
    uint64_t early = http_start(f.http, &request, on_done, &seen);
    assert_int_equal(http_cancel(f.http, early), HTTP_NOT_SENT);
    uint64_t late = http_start(f.http, &request, on_done, &seen);
    wait_for_requests(&f, 1);
    assert_int_equal(http_cancel(f.http, late), HTTP_UNANSWERED);
    snprintf(request.url, sizeof request.url, "nonsense");
    uint64_t stillborn = http_start(f.http, &request, on_done, &seen);
    assert_int_equal(http_cancel(f.http, stillborn), HTTP_NOT_SENT);
    poll_loop_turn(f.loop, 20);
    assert_int_equal(seen.calls, 0);
    close_fixture(&f);
}

static void test_free_ends_what_runs(void **state)
{
    (void)state;
    struct script_step step = {NULL, SCRIPT_HANG, 0};
    struct fixture f;
    struct seen sent = {.calls = 0}, unsent = {.calls = 0};
    open_fixture(&f, &step, 1);
    struct http_request request = request_to(&f, HTTP_POST, "/");
    http_start(f.http, &request, on_done, &sent);
    wait_for_requests(&f, 1);
    http_start(f.http, &request, on_done, &unsent);
    close_fixture(&f);
    assert_int_equal(sent.calls, 1);
    assert_int_equal(sent.end, HTTP_UNANSWERED);
    check_error(sent.error, ERROR_LOST, "given up, the program is ending");
    assert_int_equal(unsent.calls, 1);
    assert_int_equal(unsent.end, HTTP_NOT_SENT);
}

/* --- nothing of a key stays on the heap --- */

static void test_keys_are_wiped_from_the_heap(void **state)
{
    (void)state;
    if (heap_search("nothing") < 0)
        return; /* the run without sanitizer and valgrind looks */
    /* Made here, so that the needle is on the stack and nowhere else of ours. The server's copies are in its
     * thread's arena, not in the main heap. */
    char ours[40], theirs[40], answer[256];
    snprintf(ours, sizeof ours, "sk-%s-%08x%08x", "admin", 0x12345678u, 0x9abcdef0u);
    snprintf(theirs, sizeof theirs, "sk-%s-%08x%08x", "minted", 0x0fedcba9u, 0x87654321u);
    snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n{\"value\": \"%s\"%22s", theirs, "}");
    struct script_step step = {answer, SCRIPT_KEEP, 0};
    struct fixture f;
    struct seen seen;
    open_fixture(&f, &step, 1);
    struct secret *secret = secret_new(ours, strlen(ours));
    struct http_request request = request_to(&f, HTTP_GET, "/");
    request.secret = secret;
    finish(&f, &request, &seen);
    assert_int_equal(seen.end, HTTP_ANSWERED);
    assert_non_null(strstr(seen.body, theirs));
    explicit_bzero(&seen, sizeof seen);
    assert_int_equal(heap_search(ours), 0);
    assert_int_equal(heap_search(theirs), 0);
    char *volatile control = strdup(ours); /* volatile: compilers know that this pair does nothing */
    assert_int_equal(heap_search(ours), 1); /* it would have been found */
    free(control);
    secret_free(secret);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_are_as_asked),
        cmocka_unit_test(test_refused_connection_is_not_sent),
        cmocka_unit_test(test_cut_before_the_answer),
        cmocka_unit_test(test_cut_in_the_answer),
        cmocka_unit_test(test_answer_that_is_not_http),
        cmocka_unit_test(test_a_status_has_three_digits), cmocka_unit_test(test_endless_answers_are_left),
        cmocka_unit_test(test_silence_ends_at_the_deadline),
        cmocka_unit_test(test_waiting_for_a_connection_is_not_sent),
        cmocka_unit_test(test_a_long_wait_for_a_connection_is_no_failure),
        cmocka_unit_test(test_thousands_are_answered),
        cmocka_unit_test(test_redirects_are_not_followed),
        cmocka_unit_test(test_a_post_is_never_sent_twice), cmocka_unit_test(test_a_get_that_makes_something_is_never_sent_twice),
        cmocka_unit_test(test_retry_after_values),
        cmocka_unit_test(test_retry_after_headers),
        cmocka_unit_test(test_urls_that_may_carry_a_key),
        cmocka_unit_test(test_plain_http_to_elsewhere_opens_nothing),
        cmocka_unit_test(test_a_key_cannot_add_headers),
        cmocka_unit_test(test_environment_proxies_are_not_used_for_loopback),
        cmocka_unit_test(test_cancel_says_whether_it_was_sent),
        cmocka_unit_test(test_free_ends_what_runs),
        cmocka_unit_test(test_keys_are_wiped_from_the_heap),
    };
    return check_run(tests);
}
