/* vault.c: every verb of the driver under provider.c.
 *
 * The input: a digit (the verb, see below) and a letter (its lowest bits: written to instead of read; another token after
 * the first was refused), then the answers, see fuzz-driver.h. */
#include "fuzz-driver.h"

#include "base/json.h"

#define BASE "https://vault.example:8200"
#define ENGINE BASE "/v1/openai/creds/dev"
#define LEASE "openai/creds/dev/ZPzBgDt8Vf7CXL3nVp0SSHWe"
/* Stands in answers. */
#define MADE_KEY "sk-proj-0123456789abcdefghijMADE"

static const enum provider_verb verbs[] = {PROVIDER_CHECK, PROVIDER_MINT_KEY, PROVIDER_RENEW_KEY,
                                           PROVIDER_REVOKE_KEY, PROVIDER_INVENTORY, PROVIDER_FIND_KEYS};
enum { WITH_POST = 1 };

static bool at_engine; /* the request under way is the one that makes a key */

static bool creates(const struct http *http)
{
    return http->call->verb == PROVIDER_MINT_KEY && at_engine;
}

static void check_request(const struct http *http, const struct http_request *request)
{
    must(strncmp(request->url, BASE "/v1/", sizeof BASE "/v1/" - 1) == 0);
    for (const char *at = request->url; *at; at++)
        must(*at > ' ' && *at <= '~');
    must(!strstr(request->url, "/..") && !strstr(request->url + 8, "//") && !strchr(request->url, '#'));
    must(strcmp(request->secret_header, "X-Vault-Token: ") == 0 && request->secret);
    must(request->method == HTTP_GET || request->method == HTTP_POST);
    at_engine = strcmp(request->url, ENGINE) == 0;
    must(!at_engine || http->call->verb == PROVIDER_MINT_KEY);
    must(!strstr(request->url, "/revoke") || http->call->verb == PROVIDER_REVOKE_KEY);
    if (request->body.length) {
        struct json_object *body = NULL;
        struct error err = ERROR_INIT;
        must(request->method == HTTP_POST);
        must_succeed(json_parse(buffer_text(&request->body), request->body.length, &body, &err), err);
        json_object_put(body);
    }
}

struct ending {
    struct http *http;
    unsigned times;
};

static void check_lease(const char *id)
{
    must(*id);
    for (const char *at = id; *at; at++)
        must(*at > ' ' && *at <= '~' && *at != '"' && *at != '\\');
}

/* Nothing lasts for less than nothing, and what is to be renewed is so before it ends. */
static void check_life(const struct provider_result *result)
{
    must(result->life_ms >= 0 && result->lease_ms >= 0 && result->renew_in_ms >= 0);
    must(!result->life_ms || result->renew_in_ms <= result->life_ms / 2);
    must(!result->life_ms || result->renew_in_ms || result->last_life || result->life_ms < 2000);
}

static void check_success(const struct http *http, const struct provider_result *result)
{
    must(result->error.code == ERROR_NONE && !result->error.text[0]);
    must((http->call->verb == PROVIDER_MINT_KEY) == (result->secret != NULL));
    for (const char *at = result->secret ? secret_reveal(result->secret) : ""; *at; at++)
        must(*at > ' ' && *at <= '~');
    if (result->secret)
        check_lease(result->key_id);
    if (result->secret || http->call->verb == PROVIDER_RENEW_KEY)
        check_life(result);
    for (size_t i = 0; i < result->items_count; i++) {
        const struct provider_item *item = &result->items[i];
        must(item->kind == PROVIDER_ITEM_KEY && strcmp(item->container_id, PROVIDER_ACCOUNT) == 0);
        must(strncmp(item->id, "openai/creds/dev/", strlen("openai/creds/dev/")) == 0);
        check_lease(item->id);
    }
}

static void on_done(void *context, struct provider_result *result)
{
    struct ending *ending = context;
    struct http *http = ending->http;
    ending->times++;
    fuzz_check_error(&result->error);
    must(!strstr(result->error.text, ADMIN_KEY) && !strstr(result->error.text, OTHER_ADMIN_KEY));
    must(!strstr(result->error.text, MADE_KEY));
    must(result->outcome <= OUTCOME_UNKNOWN);
    if (result->outcome == OUTCOME_OK)
        check_success(http, result);
    else
        must(result->error.text[0] && !result->secret && !result->items_count);
    must(result->outcome != OUTCOME_GONE || (http->call->verb == PROVIDER_RENEW_KEY && http->last_status == 400));
    /* An answer that promises a key is never called a failure of which nothing is left; but without a lease there is none. */
    if (http->maybe_made && http->last_status >= 200 && http->last_status < 300)
        must(result->outcome == OUTCOME_OK || result->outcome == OUTCOME_UNKNOWN || result->outcome == OUTCOME_REFUSED);
    else if (http->maybe_made && !http->last_status)
        must(result->outcome == OUTCOME_UNKNOWN);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http http = {.answers = fuzz_input(data, size)};
    unsigned char verb = fuzz_byte(&http.answers);
    http.flags = fuzz_byte(&http.answers);
    struct provider_call call = {.verb = verbs[(unsigned char)(verb - '0') % (sizeof verbs / sizeof verbs[0])],
                                 .container_id = PROVIDER_ACCOUNT,
                                 .key_name = "llmhook:h1:u1:vault:g1",
                                 .key_id = LEASE,
                                 .name_prefix = "llmhook:h1:"};
    struct provider_settings settings = {.name = "main", .type = "vault", .timeout_ms = 1000, .base_url = BASE,
                                         .admin_key = "env:TOKEN", .environment = "OPENAI_API_KEY",
                                         .vault = {.path = "openai/creds/dev", .field = "api_key", .post = true}};
    if (http.flags & WITH_POST)
        snprintf(settings.vault.parameters, sizeof settings.vault.parameters, "ttl=1h note={name}");
    http.call = &call;
    at_engine = false;
    struct ending ending = {&http, 0};
    run_call(&http, &settings, on_done, &ending, &ending.times);
    return 0;
}
