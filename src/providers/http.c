/* libcurl's multi interface on struct loop.
 *
 * libcurl says which sockets it waits for and how long; the loop calls back; curl_multi_socket_action() moves the
 * transfers on; finished ones are collected afterwards, outside of libcurl, where starting and cancelling others is
 * allowed. A transfer that could not even begin waits in `stillborn` for a timer of its own, since its callback must
 * not come from inside http_start().
 *
 * libcurl's own timeout does not end a transfer that waits for a free connection, so the deadlines are kept here as
 * well.
 *
 * Sent or not? libcurl calls CURLOPT_PREREQFUNCTION when the connection stands (name resolved, TLS verified) and
 * before the first byte of the request. Until then nothing was sent; from then on anything may have been. When it
 * calls a second time for one transfer, libcurl is about to repeat a request whose connection died; for a POST we
 * say no. */
#include "providers/http.h"

#include "base/clock.h"
#include "base/failpoint.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <sys/socket.h>

enum { UNHEARD_MS = 4000 }; /* with the 3 s a provider's gate stays closed at most: no 5 s without a packet */

struct transfer {
    TAILQ_ENTRY(transfer) entry;
    struct http *http;
    uint64_t id;
    CURL *easy; /* NULL: could not begin; answer.error says why */
    struct curl_slist *headers;
    struct buffer body; /* of the request: libcurl reads it from here */
    struct http_answer answer;
    http_done_fn *done;
    void *context;
    int64_t deadline;   /* clock_monotonic_ms() */
    int64_t connect_by; /* the same; 0: it has not begun to connect, or has done so */
    unsigned unheard_ms;
    enum http_method method;
    bool once;
    size_t headers_read; /* bytes */
    bool headers_whole;  /* the empty line came: without it libcurl takes a cut answer for a short one */
    bool plain;          /* http: may connect to loopback only */
    bool begun;          /* the connection stands, the request is being sent or was */
    bool too_long;
    char place[300]; /* host and port, for error texts */
    char curl_says[CURL_ERROR_SIZE];
};
TAILQ_HEAD(transfers, transfer);

struct http {
    struct loop *loop;
    CURLM *multi;
    int curl_timer;      /* when libcurl wants to be called */
    int stillborn_timer; /* when `stillborn` is not empty */
    int deadline_timer;  /* when the first of `running` is due */
    int64_t next_deadline;
    uint64_t last_id;
    bool closing;
    struct transfers running;
    struct transfers stillborn;
};

/* --- memory: what libcurl gives back is wiped, for the credential passes through several of its buffers --- */

static void wiping_free(void *pointer)
{
    if (pointer)
        explicit_bzero(pointer, malloc_usable_size(pointer));
    free(pointer);
}

static void *wiping_realloc(void *pointer, size_t size)
{
    void *larger = malloc(size ? size : 1);
    if (!larger || !pointer)
        return larger;
    size_t old = malloc_usable_size(pointer);
    memcpy(larger, pointer, old < size ? old : size);
    wiping_free(pointer);
    return larger;
}

/* --- which URLs may carry a credential --- */

static bool is_loopback_address(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr) >> 24 == 127;
    return address->sa_family == AF_INET6 &&
           IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
}

/* HOST as curl_url_get() gives it: numeric forms are normalised, IPv6 stands in brackets. libcurl itself never asks a
 * resolver for "localhost". */
static bool is_loopback_host(const char *host)
{
    struct in_addr address;
    if (inet_pton(AF_INET, host, &address) == 1)
        return ntohl(address.s_addr) >> 24 == 127;
    return strcmp(host, "[::1]") == 0 || strcasecmp(host, "localhost") == 0;
}

static bool has_part(CURLU *url, CURLUPart part)
{
    char *text = NULL;
    bool there = curl_url_get(url, part, &text, 0) == CURLUE_OK;
    curl_free(text);
    return there;
}

/* Fills PLACE ("host:port") and RET_PLAIN as far as the URL can be read. */
static bool check_url(const char *text, char *place, size_t place_size, bool *ret_plain, bool *ret_loopback,
                      struct error *err)
{
    CURLU *url = curl_url();
    char *scheme = NULL, *host = NULL, *port = NULL;
    bool ok = false;
    CURLUcode code = url ? curl_url_set(url, CURLUPART_URL, text, 0) : CURLUE_OUT_OF_MEMORY;
    if (code == CURLUE_OK)
        code = curl_url_get(url, CURLUPART_SCHEME, &scheme, 0);
    if (code == CURLUE_OK)
        code = curl_url_get(url, CURLUPART_HOST, &host, 0);
    if (code == CURLUE_OK)
        code = curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT);
    if (code != CURLUE_OK) {
        error_set(err, ERROR_INVALID, "not a URL that can be used: %s", curl_url_strerror(code));
    } else {
        snprintf(place, place_size, "%s:%s", host, port);
        *ret_plain = strcmp(scheme, "http") == 0;
        *ret_loopback = is_loopback_host(host);
        if (has_part(url, CURLUPART_USER) || has_part(url, CURLUPART_PASSWORD))
            error_set(err, ERROR_INVALID, "the URL for %s holds a user or password: leave them out", place);
        else if (!*ret_plain && strcmp(scheme, "https") != 0)
            error_set(err, ERROR_INVALID, "the URL for %s begins with %s: only https is used", place, scheme);
        else if (*ret_plain && !*ret_loopback)
            error_set(err, ERROR_DENIED, "the URL for %s is http: use https, for an admin key is sent there", place);
        else
            ok = true;
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(url);
    return ok;
}

bool http_url_allowed(const char *url, struct error *err)
{
    char place[300];
    bool plain, loopback;
    return check_url(url, place, sizeof place, &plain, &loopback, err);
}

bool http_url_loopback(const char *url)
{
    char place[300];
    bool plain, loopback = false;
    return check_url(url, place, sizeof place, &plain, &loopback, NULL) && loopback;
}

/* --- Retry-After --- */

int64_t http_retry_after(const char *value, bool milliseconds, int64_t now_ms)
{
    while (*value == ' ' || *value == '\t')
        value++;
    int64_t unit = milliseconds ? 1 : 1000, wait;
    if (*value >= '0' && *value <= '9') {
        char *end;
        double number = strtod(value, &end);
        if (strspn(value, "0123456789.") != (size_t)(end - value) || end[strspn(end, " \t\r\n")])
            return -1;
        wait = number >= (double)HTTP_RETRY_AFTER_MAX_MS ? HTTP_RETRY_AFTER_MAX_MS : (int64_t)(number * (double)unit);
    } else {
        time_t date = milliseconds ? -1 : curl_getdate(value, NULL);
        if (date < 0)
            return -1;
        int64_t seconds = (int64_t)date - now_ms / 1000, most = HTTP_RETRY_AFTER_MAX_MS / 1000; /* a year may have many digits */
        wait = seconds > most ? HTTP_RETRY_AFTER_MAX_MS : (int64_t)date * 1000 - now_ms;
    }
    if (wait < 0)
        return 0;
    return wait > HTTP_RETRY_AFTER_MAX_MS ? HTTP_RETRY_AFTER_MAX_MS : wait;
}

/* --- what libcurl asks of us during a transfer --- */

static size_t on_body(char *bytes, size_t size, size_t count, void *context)
{
    struct transfer *transfer = context;
    if (buffer_append(&transfer->answer.body, bytes, size * count))
        return size * count;
    transfer->too_long = true;
    return 0;
}

/* The value of header NAME when LINE is one, else NULL. */
static const char *header_value(const char *line, const char *name)
{
    size_t length = strlen(name);
    return strncasecmp(line, name, length) == 0 && line[length] == ':' ? line + length + 1 : NULL;
}

static size_t on_header(char *bytes, size_t size, size_t count, void *context)
{
    struct transfer *transfer = context;
    size_t length = size * count;
    transfer->headers_read += length;
    if (transfer->headers_read > HTTP_HEADERS_MAX) {
        transfer->too_long = true;
        return 0;
    }
    char line[128]; /* a longer one is none of ours */
    if (length >= sizeof line)
        return length;
    memcpy(line, bytes, length);
    line[length] = '\0';
    const char *value;
    if (strncmp(line, "HTTP/", 5) == 0) { /* what came before was an interim answer */
        transfer->headers_whole = false;
        transfer->answer.retry_after_ms = -1;
    } else if (line[strspn(line, "\r\n")] == '\0') {
        transfer->headers_whole = true;
    } else if ((value = header_value(line, "Retry-After-Ms"))) {
        int64_t wait = http_retry_after(value, true, 0);
        if (wait >= 0)
            transfer->answer.retry_after_ms = wait;
    } else if ((value = header_value(line, "Retry-After")) && transfer->answer.retry_after_ms < 0) {
        transfer->answer.retry_after_ms = http_retry_after(value, false, clock_wall_ms());
    }
    return length;
}

/* Bytes of the request that libcurl handed to the connection. */
static long bytes_sent(const struct transfer *transfer)
{
    long size = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_REQUEST_SIZE, &size);
    return size;
}

/* Whether a second time changes nothing. */
static bool repeatable(const struct transfer *transfer)
{
    return !transfer->once && (transfer->method == HTTP_GET || transfer->method == HTTP_DELETE);
}

static int before_request(void *context, char *their_ip, char *our_ip, int their_port, int our_port)
{
    struct transfer *transfer = context;
    (void)their_ip, (void)our_ip, (void)their_port, (void)our_port;
    if (transfer->begun && !repeatable(transfer) && bytes_sent(transfer) > 0)
        return CURL_PREREQFUNC_ABORT;
    transfer->begun = true;
    transfer->connect_by = 0;
    return CURL_PREREQFUNC_OK;
}

static int64_t due(const struct transfer *transfer)
{
    return transfer->connect_by && transfer->connect_by < transfer->deadline ? transfer->connect_by : transfer->deadline;
}

static void arm_deadline(struct http *http, int64_t deadline)
{
    http->next_deadline = deadline;
    int64_t wait = deadline - clock_monotonic_ms();
    http->loop->timer_set(http->loop, http->deadline_timer, wait > 0 ? wait : 0);
}

/* The last look before a connection: a plain one goes to loopback whatever a name resolved to. */
static curl_socket_t open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct transfer *transfer = context;
    (void)purpose;
    if (transfer->plain && !is_loopback_address(&address->addr))
        return CURL_SOCKET_BAD;
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    /* A request whose packets vanish is sent again ever more slowly, so that it would be found out late that the line
     * is back. Where this is refused the total deadline does the same, later. */
    if (fd >= 0)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &transfer->unheard_ms, sizeof transfer->unheard_ms);
    /* Not libcurl's own limit: newer versions count in it how long a transfer waited for a connection to be free. */
    if (!transfer->connect_by)
        transfer->connect_by = clock_monotonic_ms() + transfer->unheard_ms;
    if (due(transfer) < transfer->http->next_deadline)
        arm_deadline(transfer->http, due(transfer));
    return fd;
}

/* --- the end of a transfer --- */

static void release(struct transfer *transfer)
{
    if (transfer->easy)
        curl_easy_cleanup(transfer->easy);
    for (struct curl_slist *line = transfer->headers; line; line = line->next)
        explicit_bzero(line->data, strlen(line->data));
    curl_slist_free_all(transfer->headers);
    buffer_clear(&transfer->body);
    buffer_clear(&transfer->answer.body);
    explicit_bzero(transfer, sizeof *transfer);
    free(transfer);
}

static void detach(struct transfer *transfer)
{
    struct http *http = transfer->http;
    if (transfer->easy) {
        curl_multi_remove_handle(http->multi, transfer->easy);
        TAILQ_REMOVE(&http->running, transfer, entry);
    } else {
        TAILQ_REMOVE(&http->stillborn, transfer, entry);
    }
}

static void give_answer(struct transfer *transfer)
{
    FAILPOINT("exchange", "answered");
    detach(transfer);
    if (transfer->answer.end != HTTP_ANSWERED)
        buffer_clear(&transfer->answer.body); /* half an answer is none */
    transfer->done(transfer->context, &transfer->answer);
    release(transfer);
}

/* A line of the answer's headers beyond libcurl's own limit. */
static bool is_too_long(CURLcode result)
{
#if LIBCURL_VERSION_NUM >= 0x080600
    if (result == CURLE_TOO_LARGE)
        return true;
#endif
    return result == CURLE_OUT_OF_MEMORY; /* what it said before it had a word for it */
}

static enum error_code error_code_of(CURLcode result)
{
    if (is_too_long(result))
        return ERROR_LIMIT;
    switch (result) {
    case CURLE_OPERATION_TIMEDOUT:
        return ERROR_TIMEOUT;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CACERT_BADFILE:
        return ERROR_DENIED;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_BAD_CONTENT_ENCODING:
        return ERROR_PROTOCOL;
    default:
        return ERROR_LOST;
    }
}

/* libcurl's own sentence is worth more ("Failed to connect to ... Connection refused"), but once the server has
 * spoken it may quote what came from there. */
static void explain(struct transfer *transfer, CURLcode result)
{
    struct http_answer *answer = &transfer->answer;
    if (transfer->too_long) {
        error_set(&answer->error, ERROR_LIMIT, "%s: the answer is larger than %zu bytes, or its headers than %d",
                  transfer->place, answer->body.maximum, HTTP_HEADERS_MAX);
    } else if (answer->end == HTTP_UNANSWERED) {
        const char *why = result == CURLE_OPERATION_TIMEDOUT      ? "no answer in time"
                          : result == CURLE_ABORTED_BY_CALLBACK ? "the connection ended before the answer"
                          : is_too_long(result)                 ? "a line of the answer's headers is too long"
                                                                : curl_easy_strerror(result);
        error_set(&answer->error, error_code_of(result), "%s: the request was sent, but %s", transfer->place, why);
    } else {
        char *says = transfer->curl_says;
        for (char *at = says; *at; at++)
            if (*at < ' ' || *at > '~')
                *at = '?';
        enum error_code code = error_code_of(result);
        error_set(&answer->error, code == ERROR_LOST ? ERROR_IO : code, "%s: nothing was sent: %s", transfer->place,
                  *says ? says : curl_easy_strerror(result));
    }
}

static void finish(struct transfer *transfer, CURLcode result)
{
    struct http_answer *answer = &transfer->answer;
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &answer->status);
    if (result == CURLE_OK && answer->status > 999) /* of "HTTP/2" libcurl takes any number of digits */
        result = CURLE_WEIRD_SERVER_REPLY;
    if (result == CURLE_OK && answer->status >= 200 && transfer->headers_whole) {
        answer->end = HTTP_ANSWERED;
    } else {
        bool untouched = !transfer->begun || (result == CURLE_SEND_ERROR && bytes_sent(transfer) == 0);
        answer->end = untouched ? HTTP_NOT_SENT : HTTP_UNANSWERED;
        answer->status = 0;
        explain(transfer, result == CURLE_OK ? CURLE_PARTIAL_FILE : result);
    }
    give_answer(transfer);
}

static void collect(struct http *http)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(http->multi, &left))) {
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode result = message->data.result; /* MESSAGE dies with the handle */
        char *private = NULL;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
        finish((struct transfer *)(void *)private, result);
    }
}

/* --- between libcurl and the loop --- */

static void on_socket_event(void *context, int fd, unsigned events)
{
    struct http *http = context;
    int mask = 0, running;
    if (events & LOOP_READ)
        mask |= CURL_CSELECT_IN;
    if (events & LOOP_WRITE)
        mask |= CURL_CSELECT_OUT;
    if (events & (LOOP_HANGUP | LOOP_ERROR))
        mask |= CURL_CSELECT_ERR;
    curl_multi_socket_action(http->multi, fd, mask, &running);
    collect(http);
}

static void on_curl_timer(void *context)
{
    struct http *http = context;
    int running;
    curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    collect(http);
}

static void on_stillborn_timer(void *context)
{
    struct http *http = context;
    struct transfer *transfer;
    while ((transfer = TAILQ_FIRST(&http->stillborn)))
        give_answer(transfer);
}

/* The one that comes first, or NULL: mostly the head, since most have the same timeout. */
static struct transfer *first_expired(const struct http *http, int64_t now)
{
    struct transfer *transfer;
    TAILQ_FOREACH(transfer, &http->running, entry)
        if (due(transfer) <= now)
            return transfer;
    return NULL;
}

static void on_deadline_timer(void *context)
{
    struct http *http = context;
    int64_t next = INT64_MAX;
    struct transfer *transfer;
    while ((transfer = first_expired(http, clock_monotonic_ms())))
        finish(transfer, CURLE_OPERATION_TIMEDOUT);
    TAILQ_FOREACH(transfer, &http->running, entry)
        if (due(transfer) < next)
            next = due(transfer);
    http->next_deadline = INT64_MAX;
    if (next != INT64_MAX)
        arm_deadline(http, next);
}

/* MARK is what we hung on the socket: the loop's handle plus one, so that NULL means none. Where the loop cannot
 * watch any more the transfer meets its deadline: to report the failure would end libcurl's multi handle for good. */
static int on_socket_wish(CURL *easy, curl_socket_t fd, int what, void *context, void *mark)
{
    struct http *http = context;
    struct loop *loop = http->loop;
    int handle = (int)(intptr_t)mark - 1;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (handle >= 0)
            loop->watch_remove(loop, handle);
        curl_multi_assign(http->multi, fd, NULL);
        return 0;
    }
    unsigned events = (what & CURL_POLL_IN ? LOOP_READ : 0u) | (what & CURL_POLL_OUT ? LOOP_WRITE : 0u);
    if (handle >= 0) {
        loop->watch_update(loop, handle, events);
    } else {
        handle = loop->watch(loop, fd, events, on_socket_event, http);
        curl_multi_assign(http->multi, fd, (void *)(intptr_t)(handle + 1));
    }
    return 0;
}

static int on_timer_wish(CURLM *multi, long timeout_ms, void *context)
{
    struct http *http = context;
    (void)multi;
    http->loop->timer_set(http->loop, http->curl_timer, timeout_ms);
    return 0;
}

/* --- a transfer begins --- */

static bool add_header(struct transfer *transfer, const char *line)
{
    struct curl_slist *longer = curl_slist_append(transfer->headers, line);
    if (longer)
        transfer->headers = longer;
    return longer != NULL;
}

/* The line with the credential lives in a buffer that is wiped, and in the list, which release() wipes. */
static bool add_secret_header(struct transfer *transfer, const struct http_request *request, struct error *err)
{
    const char *secret = secret_reveal(request->secret);
    for (const char *at = secret; *at; at++)
        if (*at <= ' ' || *at > '~')
            return error_set(err, ERROR_INVALID, "the credential holds a space or a character that no key has");
    cleanup_buffer struct buffer line = BUFFER_INIT(SECRET_MAX + sizeof request->secret_header);
    return (buffer_append_text(&line, request->secret_header) && buffer_append_text(&line, secret) &&
            add_header(transfer, buffer_text(&line))) ||
           error_set(err, ERROR_IO, "out of memory");
}

static bool add_headers(struct transfer *transfer, const struct http_request *request, struct error *err)
{
    bool ok = add_header(transfer, "Accept: application/json") && add_header(transfer, "Expect:");
    if (ok) /* without a body: none, or libcurl would call it a form */
        ok = add_header(transfer, transfer->body.length ? "Content-Type: application/json" : "Content-Type:");
    for (size_t i = 0; ok && request->headers && request->headers[i]; i++)
        ok = add_header(transfer, request->headers[i]);
    if (ok && request->header[0])
        ok = add_header(transfer, request->header);
    if (!ok)
        return error_set(err, ERROR_IO, "out of memory");
    return !request->secret || add_secret_header(transfer, request, err);
}

static bool set_method(struct transfer *transfer)
{
    CURL *easy = transfer->easy;
    switch (transfer->method) {
    case HTTP_GET:
        return curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L) == CURLE_OK;
    case HTTP_DELETE:
        return curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, "DELETE") == CURLE_OK;
    case HTTP_PATCH:
        if (curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, "PATCH") != CURLE_OK)
            return false;
        /* fall through */
    case HTTP_POST:
        /* libcurl keeps the pointer, it does not copy. */
        return curl_easy_setopt(easy, CURLOPT_POST, 1L) == CURLE_OK &&
               curl_easy_setopt(easy, CURLOPT_POSTFIELDS, buffer_text(&transfer->body)) == CURLE_OK &&
               curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)transfer->body.length) == CURLE_OK;
    }
    return false;
}

static bool set_trust(struct transfer *transfer, const char *ca_file)
{
    CURL *easy = transfer->easy;
    bool ok = curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK &&
              curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK &&
              curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK;
    if (ok && ca_file && *ca_file) /* the system's directory would be trusted as well */
        ok = curl_easy_setopt(easy, CURLOPT_CAINFO, ca_file) == CURLE_OK &&
             curl_easy_setopt(easy, CURLOPT_CAPATH, NULL) == CURLE_OK;
    return ok;
}

static int64_t timeout_of(const struct http_request *request)
{
    return request->timeout_ms > 0 && request->timeout_ms < INT32_MAX ? request->timeout_ms : 30000;
}

/* A failure here means that this libcurl lacks something we count on, or that memory ran short. */
static bool set_options(struct transfer *transfer, const struct http_request *request, bool loopback)
{
    CURL *easy = transfer->easy;
#define set(option, value) (curl_easy_setopt(easy, option, value) == CURLE_OK)
    bool ok = set(CURLOPT_URL, request->url) && set(CURLOPT_PRIVATE, transfer) &&
              set(CURLOPT_PROTOCOLS_STR, transfer->plain ? "http" : "https") && set(CURLOPT_FOLLOWLOCATION, 0L) &&
              set(CURLOPT_NOSIGNAL, 1L) && set(CURLOPT_TIMEOUT_MS, (long)timeout_of(request)) &&
              set(CURLOPT_ERRORBUFFER, transfer->curl_says) && set(CURLOPT_HTTPHEADER, transfer->headers) &&
              set(CURLOPT_USERAGENT, "llmhook") && set(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) &&
              set(CURLOPT_WRITEFUNCTION, on_body) && set(CURLOPT_WRITEDATA, transfer) &&
              set(CURLOPT_HEADERFUNCTION, on_header) && set(CURLOPT_HEADERDATA, transfer) &&
              set(CURLOPT_CONNECTTIMEOUT_MS, (long)timeout_of(request)) &&
              set(CURLOPT_OPENSOCKETFUNCTION, open_socket) && set(CURLOPT_OPENSOCKETDATA, transfer) &&
              set(CURLOPT_PREREQFUNCTION, before_request) && set(CURLOPT_PREREQDATA, transfer) &&
              set_method(transfer) && set_trust(transfer, request->ca_file);
    if (ok && !transfer->plain) {
        /* Refused by a libcurl without HTTP/2: then it is HTTP/1.1. */
        curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
        ok = set(CURLOPT_PIPEWAIT, 1L);
    }
    if (ok && loopback) /* a proxy elsewhere would not reach this machine, and would see what is plain */
        ok = set(CURLOPT_PROXY, "");
#undef set
    return ok;
}

static bool begin(struct http *http, struct transfer *transfer, const struct http_request *request, struct error *err)
{
    bool loopback;
    if (!check_url(request->url, transfer->place, sizeof transfer->place, &transfer->plain, &loopback, err))
        return false;
    if (http->closing)
        return error_set(err, ERROR_BUSY, "%s: not sent, the program is ending", transfer->place);
    if (!buffer_append(&transfer->body, buffer_text(&request->body), request->body.length))
        return error_set(err, ERROR_LIMIT, "%s: the request's body is larger than %d bytes", transfer->place,
                         HTTP_BODY_MAX);
    if (!add_headers(transfer, request, err))
        return error_prefix(err, "%s", transfer->place);
    transfer->easy = curl_easy_init();
    if (transfer->easy && set_options(transfer, request, loopback) &&
        curl_multi_add_handle(http->multi, transfer->easy) == CURLM_OK)
        return true;
    if (transfer->easy)
        curl_easy_cleanup(transfer->easy);
    transfer->easy = NULL;
    return error_set(err, ERROR_IO, "%s: not sent, libcurl refuses an option or memory is short", transfer->place);
}

uint64_t http_start(struct http *http, const struct http_request *request, http_done_fn *done, void *context)
{
    struct transfer *transfer = calloc(1, sizeof *transfer);
    if (!transfer)
        abort(); /* the callback is promised, and there is nothing to keep the promise with */
    transfer->http = http;
    transfer->id = ++http->last_id;
    transfer->method = request->method;
    transfer->once = request->once;
    transfer->unheard_ms = request->unheard_ms ? request->unheard_ms : UNHEARD_MS;
    transfer->body.maximum = HTTP_BODY_MAX;
    transfer->answer.body.maximum = request->answer_max ? request->answer_max : HTTP_ANSWER_MAX;
    transfer->answer.retry_after_ms = -1;
    transfer->answer.end = HTTP_NOT_SENT;
    transfer->done = done;
    transfer->context = context;
    if (begin(http, transfer, request, &transfer->answer.error)) {
        transfer->deadline = clock_monotonic_ms() + timeout_of(request);
        TAILQ_INSERT_TAIL(&http->running, transfer, entry);
        if (transfer->deadline < http->next_deadline)
            arm_deadline(http, transfer->deadline);
    } else {
        TAILQ_INSERT_TAIL(&http->stillborn, transfer, entry);
        if (!http->closing)
            http->loop->timer_set(http->loop, http->stillborn_timer, 0);
    }
    return transfer->id;
}

static struct transfer *find(const struct transfers *list, uint64_t id)
{
    struct transfer *transfer;
    TAILQ_FOREACH(transfer, list, entry)
        if (transfer->id == id)
            return transfer;
    return NULL;
}

enum http_end http_cancel(struct http *http, uint64_t id)
{
    struct transfer *transfer = find(&http->running, id);
    if (!transfer)
        transfer = find(&http->stillborn, id);
    if (!transfer)
        return HTTP_UNANSWERED;
    enum http_end end = transfer->begun ? HTTP_UNANSWERED : HTTP_NOT_SENT;
    detach(transfer);
    release(transfer);
    return end;
}

/* --- birth and end --- */

bool http_prepare(struct error *err)
{
    /* Counted by libcurl; the allocators are those of whoever came first. */
    if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, wiping_free, wiping_realloc, strdup, calloc) != CURLE_OK)
        return error_set(err, ERROR_IO, "libcurl could not be started");
    return true;
}

bool http_new(struct loop *loop, struct http **ret_http, struct error *err)
{
    if (!http_prepare(err))
        return false;
    struct http *http = calloc(1, sizeof *http);
    CURLM *multi = http ? curl_multi_init() : NULL;
    if (!multi) {
        free(http);
        curl_global_cleanup();
        return error_set(err, ERROR_IO, "out of memory");
    }
    http->loop = loop;
    http->multi = multi;
    TAILQ_INIT(&http->running);
    TAILQ_INIT(&http->stillborn);
    http->curl_timer = loop->timer(loop, on_curl_timer, http);
    http->stillborn_timer = loop->timer(loop, on_stillborn_timer, http);
    http->deadline_timer = loop->timer(loop, on_deadline_timer, http);
    http->next_deadline = INT64_MAX;
    if (http->curl_timer < 0 || http->stillborn_timer < 0 || http->deadline_timer < 0 ||
        curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket_wish) != CURLM_OK ||
        curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, http) != CURLM_OK ||
        curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer_wish) != CURLM_OK ||
        curl_multi_setopt(multi, CURLMOPT_TIMERDATA, http) != CURLM_OK ||
        curl_multi_setopt(multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)HTTP_HOST_CONNECTIONS_MAX) != CURLM_OK ||
        curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)HTTP_HOST_CONNECTIONS_MAX) != CURLM_OK) {
        http_free(http);
        return error_set(err, ERROR_IO, "the event loop gives no timer, or libcurl refuses an option");
    }
    *ret_http = http;
    return true;
}

void http_free(struct http *http)
{
    if (!http)
        return;
    struct transfer *transfer;
    http->closing = true;
    while ((transfer = TAILQ_FIRST(&http->running)) || (transfer = TAILQ_FIRST(&http->stillborn))) {
        if (transfer->easy) {
            transfer->answer.end = transfer->begun ? HTTP_UNANSWERED : HTTP_NOT_SENT;
            error_set(&transfer->answer.error, ERROR_LOST, "%s: given up, the program is ending", transfer->place);
        }
        give_answer(transfer);
    }
    curl_multi_cleanup(http->multi); /* still asks for watches to be removed */
    if (http->curl_timer >= 0)
        http->loop->timer_remove(http->loop, http->curl_timer);
    if (http->stillborn_timer >= 0)
        http->loop->timer_remove(http->loop, http->stillborn_timer);
    if (http->deadline_timer >= 0)
        http->loop->timer_remove(http->loop, http->deadline_timer);
    free(http);
    curl_global_cleanup();
}

struct loop *http_loop(const struct http *http)
{
    return http->loop;
}
