/* For targets that run one provider's driver under provider.c: a loop with one timer, and answers from the input in the
 * place of http.c (which has a target of its own).
 *
 * An answer is a part: "STATUS RETRY-AFTER-MS\n" and the body. "unsent" or "lost" instead of a status is an end without
 * one. Whoever includes this says what one of its requests has to be like, which verbs must never be done twice, and what has
 * to hold of a call's end. What holds with every driver is here. */
#ifndef LLMHOOK_TESTS_FUZZ_FUZZ_DRIVER_H
#define LLMHOOK_TESTS_FUZZ_FUZZ_DRIVER_H

#include "fuzz.h"

#include "base/json.h"
#include "base/loop.h"
#include "base/secret.h"
#include "lifecycle/budget.h"
#include "providers/http.h"
#include "providers/provider.h"

/* Long, and as no word of an honest sentence. */
#define ADMIN_KEY "sk-admin-0123456789abcdefghijADMIN1"
#define OTHER_ADMIN_KEY "sk-admin-0123456789abcdefghijADMIN2"

/* A flag of every target: there is another admin key after a 401. */
enum { RENEWED_KEY = 4 };

/* A provider has one timer for what is to end at once, and one for how long it keeps a credential, which no input
 * waits for. */
enum { TIMERS_MAX = 4 };
static struct {
    loop_timer_fn *callback;
    void *context;
    bool due;
} timers[TIMERS_MAX];

static int add_timer(struct loop *loop, loop_timer_fn *callback, void *context)
{
    (void)loop;
    for (int i = 0; i < TIMERS_MAX; i++)
        if (!timers[i].callback) {
            timers[i].callback = callback;
            timers[i].context = context;
            return i;
        }
    return -1;
}

static void set_timer(struct loop *loop, int handle, int64_t delay_ms)
{
    (void)loop;
    timers[handle].due = delay_ms == 0;
}

static void remove_timer(struct loop *loop, int handle)
{
    (void)loop;
    timers[handle].callback = NULL;
    timers[handle].due = false;
}

/* Fires one that is due; false: none is. */
static bool fire_timer(void)
{
    for (int i = 0; i < TIMERS_MAX; i++)
        if (timers[i].due) {
            timers[i].due = false;
            timers[i].callback(timers[i].context);
            return true;
        }
    return false;
}

static struct loop loop = {.timer = add_timer, .timer_set = set_timer, .timer_remove = remove_timer};

struct http {
    struct fuzz_input answers;
    const struct provider_call *call;
    const struct provider_settings *settings;
    bool waiting;
    enum http_method method;
    http_done_fn *done;
    void *context;
    unsigned requests, keys_fetched, ends;
    unsigned char flags;
    bool about_limit; /* the request under way */
    bool maybe_made; /* a creating request went out and was not certainly refused */
    long last_status;
    bool not_found; /* a 404 was among the answers */
};

struct loop *http_loop(const struct http *http)
{
    (void)http;
    return &loop;
}

bool http_url_allowed(const char *url, struct error *err)
{
    (void)err;
    return *url != '\0';
}

bool http_url_loopback(const char *url)
{
    return strstr(url, "127.") != NULL;
}

enum http_end http_cancel(struct http *http, uint64_t transfer)
{
    (void)transfer;
    http->waiting = false;
    return HTTP_UNANSWERED;
}

static void check_request(const struct http *http, const struct http_request *request);
static bool creates(const struct http *http);
static void check_end(const struct http *http, const struct provider_result *result);

/* Nothing of it ends a line or an argument. */
static void must_be_word(const char *text)
{
    for (const char *at = text; *at; at++)
        must(*at > ' ' && *at <= '~');
}

/* It goes to BASE and nowhere else, with the credential in its header, and what it sends is JSON. */
static inline void check_sound(const struct http_request *request, const char *base, const char *secret_header)
{
    must(strncmp(request->url, base, strlen(base)) == 0);
    must_be_word(request->url);
    must(!strstr(request->url, "/..") && !strstr(request->url + 8, "//") && !strchr(request->url, '#'));
    must(strcmp(request->secret_header, secret_header) == 0 && request->secret);
    if (request->body.length) {
        struct json_object *body = NULL;
        struct error err = ERROR_INIT;
        must(request->method == HTTP_POST || request->method == HTTP_PATCH);
        must_succeed(json_parse(buffer_text(&request->body), request->body.length, &body, &err), err);
        json_object_put(body);
    }
}

uint64_t http_start(struct http *http, const struct http_request *request, http_done_fn *done, void *context)
{
    must(!http->waiting);
    check_request(http, request);
    /* Nothing is ever made twice. */
    must(!(creates(http) && request->method == HTTP_POST && http->maybe_made));
    http->waiting = true;
    http->method = request->method;
    http->about_limit = strstr(request->url, "/spend_limit");
    http->done = done;
    http->context = context;
    http->requests++;
    return 1;
}

static bool starts(const char *part, size_t length, const char *word)
{
    return length >= strlen(word) && memcmp(part, word, strlen(word)) == 0;
}

static void read_answer(const char *part, size_t length, struct http_answer *answer)
{
    const char *line_end = length ? memchr(part, '\n', length) : NULL;
    size_t head = line_end ? (size_t)(line_end - part) : length;
    char line[64] = "";
    if (starts(part, length, "unsent") || starts(part, length, "lost")) {
        answer->end = part[0] == 'u' ? HTTP_NOT_SENT : HTTP_UNANSWERED;
        error_set(&answer->error, ERROR_LOST, "provider.example:443: nothing came");
        return;
    }
    memcpy(line, part, head < sizeof line ? head : sizeof line - 1);
    char *end;
    answer->end = HTTP_ANSWERED;
    answer->status = 200 + labs(strtol(line, &end, 10)) % 800; /* http.c gives no others */
    if (line[0] >= '2' && line[0] <= '9' && end == line + 3)
        answer->status = strtol(line, NULL, 10);
    if (*end == ' ')
        answer->retry_after_ms = labs(strtol(end, NULL, 10)) % HTTP_RETRY_AFTER_MAX_MS;
    if (line_end)
        must(buffer_append(&answer->body, line_end + 1, length - head - 1));
}

/* Gives the next answer; behind the last one the connection is lost. */
static void answer_next(struct http *http)
{
    struct http_answer answer = {.body = BUFFER_INIT(HTTP_ANSWER_MAX), .retry_after_ms = -1};
    const char *part;
    size_t length;
    if (fuzz_next(&http->answers, &part, &length))
        read_answer(part, length, &answer);
    else
        read_answer("lost", 4, &answer);
    http->last_status = answer.end == HTTP_ANSWERED ? answer.status : 0;
    http->not_found |= http->last_status == 404;
    if (creates(http) && http->method == HTTP_POST)
        http->maybe_made = answer.end == HTTP_UNANSWERED ||
                           (answer.end == HTTP_ANSWERED &&
                            (answer.status < 300 || answer.status == 408 || answer.status >= 500));
    http->waiting = false;
    http->done(http->context, &answer);
    buffer_clear(&answer.body);
}

static bool fetch_key(void *context, const struct provider_settings *settings, struct secret **ret_secret,
                      struct error *err)
{
    struct http *http = context;
    (void)settings;
    const char *key = http->keys_fetched++ && (http->flags & RENEWED_KEY) ? OTHER_ADMIN_KEY : ADMIN_KEY;
    *ret_secret = secret_new(key, strlen(key));
    return *ret_secret || error_set(err, ERROR_IO, "out of memory");
}

/* However many rows there are, they can be added up. */
static void check_sums(const struct provider_usage *row)
{
    const int64_t most = INT64_MAX / PROVIDER_ITEMS_MAX;
    must(row->micro_dollars <= BUDGET_MOST && row->requests <= most && row->searches <= most && row->output_tokens <= most);
    must(row->input_tokens + (row->written_tokens + 3) / 4 + row->written_long_tokens <= most);
}

static void on_done(void *context, struct provider_result *result)
{
    struct http *http = context;
    http->ends++;
    fuzz_check_error(&result->error);
    must(!strstr(result->error.text, ADMIN_KEY) && !strstr(result->error.text, OTHER_ADMIN_KEY));
    must(result->outcome <= OUTCOME_UNKNOWN);
    if (result->outcome == OUTCOME_OK)
        must(result->error.code == ERROR_NONE && !result->error.text[0]);
    else
        must(result->error.text[0] && !result->secret && !result->items_count);
    for (size_t i = 0; i < result->usage_count; i++)
        check_sums(&result->usage[i]);
    check_end(http, result);
}

/* What every input begins with: a digit and a letter, the flags. Returns the digit. */
static unsigned begin_input(struct http *http, const uint8_t *data, size_t size)
{
    *http = (struct http){.answers = fuzz_input(data, size)};
    unsigned char digit = fuzz_byte(&http->answers);
    http->flags = fuzz_byte(&http->answers);
    return (unsigned char)(digit - '0');
}

/* Carries the call out, to its one end. */
static void run_call(struct http *http, const struct provider_call *call, const struct provider_settings *settings)
{
    struct error err = ERROR_INIT;
    struct provider *provider;
    http->call = call;
    http->settings = settings;
    must_succeed(secret_init(&err), err);
    must_succeed(provider_new(http, settings, fetch_key, http, &provider, &err), err);
    provider_start(provider, call, on_done, http);
    must(http->ends == 0);
    for (;;) {
        if (fire_timer())
            continue;
        if (!http->waiting)
            break;
        answer_next(http);
    }
    must(http->ends == 1);
    provider_free(provider);
    must(http->ends == 1);
}

#endif
