/* What Anthropic says to a federation: the answer to an exchange, and the answers to an application, with what is in the
 * input in the place of http.c.
 *
 * The input: 'x' (an exchange), a digit (a verb about service accounts) or another letter (an application), then the
 * answers, one a part: "STATUS\n" and the body. Behind the last one the connection is lost. */
#include "fuzz.h"

#include "base/json.h"
#include "base/secret.h"
#include "providers/anthropic-federation.h"
#include "providers/http.h"

#include <json-c/json.h>

/* Long, and as no word of an honest sentence. */
#define OURS "eyJ0123456789abcdefghijOURS"
#define ADMIN_TOKEN "sk-ant-oat01-0123456789abcdefghijADMIN"
#define MINTED "sk-ant-oat01-0123456789abcdefghijMINTED"
#define BASE "https://api.anthropic.com/v1/organizations/"

struct http {
    struct fuzz_input answers;
    http_done_fn *done;
    void *context;
    bool waiting;
    unsigned made; /* requests that make something */
};

struct loop *http_loop(const struct http *http)
{
    (void)http;
    return NULL;
}

bool http_url_allowed(const char *url, struct error *err)
{
    (void)err;
    return *url != '\0';
}

bool http_url_loopback(const char *url)
{
    (void)url;
    return false;
}

enum http_end http_cancel(struct http *http, uint64_t transfer)
{
    (void)http, (void)transfer;
    return HTTP_UNANSWERED;
}

uint64_t http_start(struct http *http, const struct http_request *request, http_done_fn *done, void *context)
{
    must(!http->waiting);
    must(strncmp(request->url, BASE, sizeof BASE - 1) == 0);
    for (const char *at = request->url; *at; at++)
        must(*at > ' ' && *at <= '~' && *at != '#');
    must(!strstr(request->url, "/..") && !strstr(request->url + 8, "//"));
    must(strcmp(secret_reveal(request->secret), ADMIN_TOKEN) == 0);
    must(strcmp(request->secret_header, "Authorization: Bearer ") == 0);
    /* Nothing is changed or removed: what is posted is made, and each part at most once. */
    must(request->method == HTTP_GET || (request->method == HTTP_POST && request->body.length > 0));
    must(request->method == HTTP_GET || ++http->made <= FEDERATION_PARTS);
    http->waiting = true;
    http->done = done;
    http->context = context;
    return 1;
}

static void read_answer(struct fuzz_input *input, struct http_answer *answer)
{
    const char *part, *line_end;
    size_t length;
    char *end;
    answer->retry_after_ms = -1;
    if (!fuzz_next(input, &part, &length)) {
        answer->end = HTTP_UNANSWERED;
        error_set(&answer->error, ERROR_LOST, "api.anthropic.com:443: nothing came");
        return;
    }
    char *text = fuzz_text(part, length);
    answer->end = HTTP_ANSWERED;
    answer->status = 200 + labs(strtol(text, &end, 10)) % 800; /* http.c gives no others */
    if (end == text + 3 && text[0] >= '2' && text[0] <= '9')
        answer->status = strtol(text, NULL, 10);
    free(text);
    line_end = length ? memchr(part, '\n', length) : NULL;
    if (line_end)
        must(buffer_append(&answer->body, line_end + 1, length - (size_t)(line_end + 1 - part)));
}

static void check_exchange(struct fuzz_input *input)
{
    const struct provider_settings settings = {.name = "claude", .type = "anthropic-federation",
                                               .federation = {.exchange_on_host = true}};
    const struct provider_call call = {.verb = PROVIDER_MINT_KEY};
    struct provider_progress progress = {.unchanged = true};
    struct provider_result result = {.outcome = OUTCOME_UNKNOWN};
    struct http_answer answer = {.body = BUFFER_INIT(HTTP_ANSWER_MAX)};
    read_answer(input, &answer);
    result.secret = secret_new(OURS, sizeof OURS - 1);
    if (answer.end == HTTP_ANSWERED) {
        must(provider_anthropic_federation.parse(&settings, &call, &progress, &answer, &result) == PROVIDER_NEXT_DONE);
        must(result.outcome != OUTCOME_UNKNOWN && result.outcome != OUTCOME_GONE);
        if (result.outcome == OUTCOME_OK) {
            must(answer.status < 300 && result.secret && strcmp(secret_reveal(result.secret), OURS) != 0);
            must(secret_length(result.secret) >= 16);
            for (const char *at = secret_reveal(result.secret); *at; at++)
                must(*at > ' ' && *at <= '~' && *at != '\'' && *at != '"' && *at != '\\');
        } else {
            must(result.error.text[0]);
        }
        fuzz_check_error(&result.error);
        must(!strstr(result.error.text, MINTED) && !strstr(result.error.text, OURS));
    }
    buffer_clear(&answer.body);
    provider_result_clear(&result);
}

static void on_applied(void *context, const struct federation_report *report)
{
    unsigned *times = context;
    bool broken_off = false;
    ++*times;
    fuzz_check_error(&report->error);
    must(!strstr(report->error.text, ADMIN_TOKEN));
    /* One after the other, and complete only with all. */
    for (enum federation_part part = 0; part < FEDERATION_PARTS; part++) {
        must(!report->parts[part].id[0] || (provider_id_valid(report->parts[part].id) && !broken_off));
        must(report->parts[part].id[0] || !report->parts[part].made);
        broken_off = broken_off || !report->parts[part].id[0];
    }
    must(!broken_off || report->error.code != ERROR_NONE);
}

static void check_application(struct fuzz_input input)
{
    struct http http = {.answers = input};
    const struct provider_settings settings = {.name = "claude", .type = "anthropic-federation",
                                               .federation = {.workspace = "wrkspc_01abc"}};
    struct json_object *jwk = json_object_new_object(), *wanted = NULL;
    struct secret *token = secret_new(ADMIN_TOKEN, sizeof ADMIN_TOKEN - 1);
    struct error err = ERROR_INIT;
    unsigned times = 0;
    json_put_string(jwk, "kid", "the-kid");
    must_succeed(federation_wanted(&settings, "h1", jwk, &wanted, &err), err);
    federation_apply(&http, &settings, wanted, token, on_applied, &times);
    while (http.waiting) {
        struct http_answer answer = {.body = BUFFER_INIT(HTTP_ANSWER_MAX)};
        read_answer(&http.answers, &answer);
        http.waiting = false;
        must(times == 0);
        http.done(http.context, &answer);
        buffer_clear(&answer.body);
    }
    must(times == 1);
    json_object_put(wanted);
    secret_free(token);
}

/* --- a service account for each domain --- */

static const enum provider_verb account_verbs[] = {PROVIDER_FIND_CONTAINER, PROVIDER_CREATE_CONTAINER, PROVIDER_ARCHIVE_CONTAINER,
                                                   PROVIDER_INVENTORY, PROVIDER_USAGE, PROVIDER_CHECK};
enum { ACCOUNT_VERBS = sizeof account_verbs / sizeof account_verbs[0], STEPS_MAX = 1000 };

static const struct provider_scope account_scopes[] = {{"svac_1-fdrl_1", 1}, {"svac_2-fdrl_2", 1}};

static void check_account_request(const struct provider_call *call, const struct http_request *request)
{
    bool reads = call->verb != PROVIDER_CREATE_CONTAINER && call->verb != PROVIDER_ARCHIVE_CONTAINER;
    must(strncmp(request->url, BASE, sizeof BASE - 1) == 0);
    for (const char *at = request->url; *at; at++)
        must(*at > ' ' && *at <= '~' && *at != '#');
    must(!strstr(request->url, "/..") && !strstr(request->url + 8, "//"));
    must(strcmp(request->secret_header, "Authorization: Bearer ") == 0);
    must(request->method == HTTP_GET || (request->method == HTTP_POST && !reads));
    /* What is archived is what was to be, or a rule that says it is for that. */
    must(call->verb == PROVIDER_ARCHIVE_CONTAINER || !strstr(request->url, "/archive"));
    must(!strstr(request->url, "service_accounts/") || !strstr(request->url, "/archive") ||
         strstr(request->url, "/svac_1/archive"));
}

static void check_account_result(const struct provider_call *call, const struct provider_result *result)
{
    char account[RECORD_REMOTE_ID_SIZE], rule[RECORD_REMOTE_ID_SIZE];
    fuzz_check_error(&result->error);
    must(result->outcome == OUTCOME_OK || result->error.text[0]);
    if (result->outcome != OUTCOME_OK)
        return;
    if (call->verb == PROVIDER_CREATE_CONTAINER) {
        federation_split(result->container_id, account, rule);
        must(provider_id_valid(result->container_id) && account[0] && rule[0] && !result->key_id[0]);
    }
    for (size_t i = 0; call->verb != PROVIDER_CREATE_CONTAINER && i < result->items_count; i++) {
        federation_split(result->items[i].id, account, rule);
        must(provider_id_valid(result->items[i].id) && account[0]);
        must(strncmp(result->items[i].name, "llmhook:h1:", 11) == 0);
        must(call->verb != PROVIDER_FIND_CONTAINER || rule[0]);
    }
    for (size_t i = 0; i < result->usage_count; i++)
        must(strcmp(result->usage[i].container_id, account_scopes[0].container_id) == 0 ||
             strcmp(result->usage[i].container_id, account_scopes[1].container_id) == 0);
}

static void check_accounts(struct fuzz_input *input, unsigned verb)
{
    const struct provider_driver *driver = &provider_anthropic_federation;
    const struct provider_settings settings = {.name = "claude", .type = "anthropic-federation", .admin_key = "env:A",
                                               .federation = {.service_account = "per-domain", .workspace = "wrkspc_01"}};
    const struct provider_call call = {.verb = account_verbs[verb % ACCOUNT_VERBS], .container_id = "svac_1-fdrl_1",
                                       .container_name = "llmhook:h1:3b1c7d52-5a0e-4f0e-9a55-0123456789ab:claude dev-1",
                                       .name_prefix = "llmhook:h1:", .scopes = account_scopes, .scopes_count = 2,
                                       .since = INT64_C(1793491200000), .until = INT64_C(1793491201000)};
    struct provider_progress progress = {.step = 0};
    struct provider_result result = {.outcome = OUTCOME_UNKNOWN};
    enum provider_next next = driver->begin(&settings, &call, NULL, &progress, &result);
    for (unsigned steps = 0; next == PROVIDER_NEXT_REQUEST && steps < STEPS_MAX; steps++) {
        struct http_request request = HTTP_REQUEST_INIT;
        struct http_answer answer = {.body = BUFFER_INIT(HTTP_ANSWER_MAX)};
        must_succeed(driver->build(&settings, &call, &progress, &result, &request, &result.error), result.error);
        check_account_request(&call, &request);
        buffer_clear(&request.body);
        read_answer(input, &answer);
        if (answer.end != HTTP_ANSWERED)
            steps = STEPS_MAX;
        else
            next = driver->parse(&settings, &call, &progress, &answer, &result);
        buffer_clear(&answer.body);
    }
    if (next == PROVIDER_NEXT_DONE)
        check_account_result(&call, &result);
    provider_result_clear(&result);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = ERROR_INIT;
    struct fuzz_input input = fuzz_input(data, size);
    must_succeed(secret_init(&err), err);
    unsigned char kind = fuzz_byte(&input);
    if (kind == 'x')
        check_exchange(&input);
    else if (kind >= '0' && kind <= '9')
        check_accounts(&input, kind - '0');
    else
        check_application(input);
    return 0;
}
