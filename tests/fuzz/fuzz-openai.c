/* Every verb of the OpenAI driver under provider.c, with answers from the input in the place of http.c (which has a target
 * of its own).
 *
 * The input: a digit (the verb) and a letter (its lowest bits: a given project; rate limits; another admin key after a
 * 401; limits in the inventory), then the answers, one a part: "STATUS RETRY-AFTER-MS\n" and the body. "unsent" or "lost" instead of a status is an end
 * without one. */
#include "fuzz.h"

#include "base/json.h"
#include "base/loop.h"
#include "base/secret.h"
#include "providers/http.h"
#include "providers/provider.h"

/* Long, and as no word of an honest sentence. The admin keys are ours; the minted one stands in answers. */
#define ADMIN_KEY "sk-admin-0123456789abcdefghijADMIN1"
#define OTHER_ADMIN_KEY "sk-admin-0123456789abcdefghijADMIN2"
#define MINTED_KEY "sk-svcacct-0123456789abcdefghijMINTED"

enum { GIVEN_PROJECT = 1, WITH_RATES = 2, RENEWED_KEY = 4, WITH_LIMITS = 8 };

/* --- a loop with one timer, and an HTTP that answers from the input --- */

static loop_timer_fn *timer_callback;
static void *timer_context;
static bool timer_armed;

static int add_timer(struct loop *loop, loop_timer_fn *callback, void *context)
{
    (void)loop;
    timer_callback = callback;
    timer_context = context;
    return 0;
}

static void set_timer(struct loop *loop, int handle, int64_t delay_ms)
{
    (void)loop, (void)handle;
    timer_armed = delay_ms >= 0;
}

static void remove_timer(struct loop *loop, int handle)
{
    (void)loop, (void)handle;
    timer_callback = NULL;
}

static struct loop loop = {.timer = add_timer, .timer_set = set_timer, .timer_remove = remove_timer};

struct http {
    struct fuzz_input answers;
    const struct provider_call *call;
    bool waiting;
    enum http_method method;
    http_done_fn *done;
    void *context;
    unsigned requests, keys_fetched;
    unsigned char flags;
    bool about_limit; /* the request under way */
    bool maybe_made; /* a creating request went out and was not certainly refused */
    long last_status;
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

static bool creates(const struct http *http)
{
    return http->call->verb == PROVIDER_MINT_KEY || http->call->verb == PROVIDER_CREATE_CONTAINER;
}

static void check_request(const struct http *http, const struct http_request *request)
{
    static const char base[] = "https://api.openai.com/v1/organization/";
    const char *path = request->url + sizeof base - 1;
    must(strncmp(request->url, base, sizeof base - 1) == 0);
    if (http->call->verb == PROVIDER_USAGE)
        must(strncmp(path, "costs?", 6) == 0 || strncmp(path, "usage/completions?", 18) == 0);
    else
        must(strncmp(path, "projects", 8) == 0);
    for (const char *at = request->url; *at; at++)
        must(*at > ' ' && *at <= '~');
    must(!strstr(request->url, "/..") && !strstr(request->url + 8, "//") && !strchr(request->url, '#'));
    must(strcmp(request->secret_header, "Authorization: Bearer ") == 0 && request->secret);
    must(request->method != HTTP_DELETE || http->call->verb == PROVIDER_REVOKE_KEY);
    if (request->body.length) {
        struct json_object *body = NULL;
        struct error err = ERROR_INIT;
        must(request->method == HTTP_POST);
        must_succeed(json_parse(buffer_text(&request->body), request->body.length, &body, &err), err);
        json_object_put(body);
    }
    /* Nothing is ever made twice. */
    must(!(creates(http) && request->method == HTTP_POST && http->maybe_made));
}

uint64_t http_start(struct http *http, const struct http_request *request, http_done_fn *done, void *context)
{
    must(!http->waiting);
    check_request(http, request);
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
        error_set(&answer->error, ERROR_LOST, "api.openai.com:443: nothing came");
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
    if (creates(http) && http->method == HTTP_POST)
        http->maybe_made = answer.end == HTTP_UNANSWERED ||
                           (answer.end == HTTP_ANSWERED &&
                            (answer.status < 300 || answer.status == 408 || answer.status >= 500));
    http->waiting = false;
    http->done(http->context, &answer);
    buffer_clear(&answer.body);
}

/* --- the call --- */

static bool fetch_key(void *context, const struct provider_settings *settings, struct secret **ret_secret,
                      struct error *err)
{
    struct http *http = context;
    (void)settings;
    const char *key = http->keys_fetched++ && (http->flags & RENEWED_KEY) ? OTHER_ADMIN_KEY : ADMIN_KEY;
    *ret_secret = secret_new(key, strlen(key));
    return *ret_secret || error_set(err, ERROR_IO, "out of memory");
}

static void check_item(const struct provider_call *call, const struct provider_settings *settings,
                       const struct provider_item *item)
{
    bool container = item->kind == PROVIDER_ITEM_CONTAINER;
    must(provider_id_valid(item->id));
    must(memchr(item->name, '\0', sizeof item->name));
    must(item->created_at >= 0);
    must(container ? !item->container_id[0] : provider_id_valid(item->container_id));
    must(item->monthly_limit >= 0 || item->monthly_limit == PROVIDER_LIMIT_UNTOLD);
    switch (call->verb) {
    case PROVIDER_FIND_CONTAINER:
        must(container && provider_container_matches(item->name, call->container_name));
        break;
    case PROVIDER_FIND_KEYS:
        must(!container && strcmp(item->name, call->key_name) == 0);
        must(strcmp(item->container_id, call->container_id) == 0);
        break;
    case PROVIDER_INVENTORY:
        /* In a project of ours everything is; elsewhere only what bears our prefix. */
        must(strncmp(item->name, call->name_prefix, strlen(call->name_prefix)) == 0 ||
             (!container && strcmp(item->container_id, settings->project) != 0));
        break;
    default:
        must(false);
    }
}

static void check_usage(const struct provider_usage *row)
{
    bool bill = row->kind == PROVIDER_USAGE_BILL;
    must(bill || row->kind == PROVIDER_USAGE_TOKENS);
    must(provider_id_valid(row->container_id) && (!row->key_id[0] || provider_id_valid(row->key_id)));
    must(memchr(row->model, '\0', sizeof row->model));
    for (const char *at = row->model; *at; at++)
        must(*at >= ' ' && *at <= '~');
    must(row->day >= 0);
    must(bill ? row->micro_dollars >= 0 : row->micro_dollars == -1);
    must(row->requests >= 0 && row->output_tokens >= 0 && row->cached_tokens >= 0 && row->input_tokens >= row->cached_tokens);
}

struct ending {
    struct http *http;
    const struct provider_settings *settings;
    unsigned times;
};

static void check_success(const struct ending *ending, const struct provider_result *result)
{
    const struct provider_call *call = ending->http->call;
    must(result->error.code == ERROR_NONE && !result->error.text[0]);
    must((call->verb == PROVIDER_MINT_KEY) == (result->secret != NULL));
    must(call->verb != PROVIDER_MINT_KEY || provider_id_valid(result->key_id));
    must(call->verb != PROVIDER_CREATE_CONTAINER || provider_id_valid(result->container_id));
    if (result->secret) {
        must(secret_length(result->secret) >= 16);
        for (const char *at = secret_reveal(result->secret); *at; at++)
            must(*at > ' ' && *at <= '~');
    }
    for (size_t i = 0; i < result->items_count; i++)
        check_item(call, ending->settings, &result->items[i]);
    must(!result->usage_count || call->verb == PROVIDER_USAGE);
    for (size_t i = 0; i < result->usage_count; i++)
        check_usage(&result->usage[i]);
}

static void on_done(void *context, struct provider_result *result)
{
    struct ending *ending = context;
    struct http *http = ending->http;
    ending->times++;
    fuzz_check_error(&result->error);
    must(!strstr(result->error.text, ADMIN_KEY) && !strstr(result->error.text, OTHER_ADMIN_KEY));
    must(!strstr(result->error.text, MINTED_KEY));
    must(result->outcome <= OUTCOME_UNKNOWN);
    if (result->outcome == OUTCOME_OK)
        check_success(ending, result);
    else
        must(result->error.text[0] && !result->secret && !result->items_count && !result->usage_count);
    /* Gone and done are said on proof alone: an answer of success, or words about an archived project. */
    bool optional = http->call->verb == PROVIDER_INVENTORY && http->about_limit; /* it may be that there is none */
    if (result->outcome == OUTCOME_GONE || (result->outcome == OUTCOME_OK && !optional))
        must((http->last_status >= 200 && http->last_status < 300) || http->last_status == 400 || http->last_status == 409);
    if (http->maybe_made)
        must(result->outcome == OUTCOME_OK || result->outcome == OUTCOME_UNKNOWN);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = ERROR_INIT;
    struct http http = {.answers = fuzz_input(data, size)};
    unsigned char verb = fuzz_byte(&http.answers);
    http.flags = fuzz_byte(&http.answers);
    static const struct provider_scope scopes[] = {{"proj_abc", 399}, {"proj_def", 2}}; /* two batches */
    struct provider_call call = {.verb = (enum provider_verb)((unsigned char)(verb - '0') % (PROVIDER_USAGE + 1)),
                                       .container_name = "llmhook:h1:u1",
                                       .container_id = "proj_abc",
                                       .key_name = "llmhook:h1:u1:openai:g1",
                                       .key_id = "user-xyz",
                                       .name_prefix = "llmhook:h1:",
                                       .monthly_limit = 100500001,
                                       .scopes = scopes,
                                       .scopes_count = 2,
                                       .since = INT64_C(1709164801000),
                                       .until = INT64_C(1709251200000)};
    snprintf(call.limits_prefix, sizeof call.limits_prefix, http.flags & WITH_LIMITS ? "llmhook:h1:" : "");
    struct provider_settings settings = {.name = "main", .type = "openai", .timeout_ms = 1000};
    snprintf(settings.project, sizeof settings.project, http.flags & GIVEN_PROJECT ? "proj_given" : "per-domain");
    if (http.flags & WITH_RATES) {
        settings.rates_count = 2;
        settings.rates[0] = (struct provider_rate){"gpt-4o", 10, 0};
        settings.rates[1] = (struct provider_rate){"o1:mini", 5, 20000};
    }
    http.call = &call;
    struct ending ending = {&http, &settings, 0};
    struct provider *provider;
    must_succeed(secret_init(&err), err);
    must_succeed(provider_new(&http, &settings, fetch_key, &http, &provider, &err), err);
    provider_start(provider, &call, on_done, &ending);
    must(ending.times == 0);
    while (http.waiting || timer_armed) {
        if (timer_armed) {
            timer_armed = false;
            timer_callback(timer_context);
        } else {
            answer_next(&http);
        }
    }
    must(ending.times == 1);
    provider_free(provider);
    must(ending.times == 1);
    return 0;
}
