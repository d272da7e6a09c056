/* vault.c: every verb of the driver under provider.c.
 *
 * The input: a digit (the verb, see below) and a letter (its lowest bits: written to instead of read; another token after
 * the first was refused), then the answers, see fuzz-driver.h. */
#include "fuzz-driver.h"

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
    check_sound(request, BASE "/v1/", "X-Vault-Token: ");
    must(request->method == HTTP_GET || request->method == HTTP_POST);
    at_engine = strcmp(request->url, ENGINE) == 0;
    must(!at_engine || http->call->verb == PROVIDER_MINT_KEY);
    must(!strstr(request->url, "/revoke") || http->call->verb == PROVIDER_REVOKE_KEY);
}

static void check_lease(const char *id)
{
    must(*id && !strpbrk(id, "\"\\"));
    must_be_word(id);
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
    must((http->call->verb == PROVIDER_MINT_KEY) == (result->secret != NULL));
    if (result->secret) {
        must_be_word(secret_reveal(result->secret));
        check_lease(result->key_id);
    }
    if (result->secret || http->call->verb == PROVIDER_RENEW_KEY)
        check_life(result);
    for (size_t i = 0; i < result->items_count; i++) {
        const struct provider_item *item = &result->items[i];
        must(item->kind == PROVIDER_ITEM_KEY && strcmp(item->container_id, PROVIDER_ACCOUNT) == 0);
        must(strncmp(item->id, "openai/creds/dev/", strlen("openai/creds/dev/")) == 0);
        check_lease(item->id);
    }
}

static void check_end(const struct http *http, const struct provider_result *result)
{
    must(!strstr(result->error.text, MADE_KEY));
    if (result->outcome == OUTCOME_OK)
        check_success(http, result);
    must(result->outcome != OUTCOME_GONE || (http->call->verb == PROVIDER_RENEW_KEY && http->last_status == 400));
    /* An answer that promises a key is never called a failure of which nothing is left; but without a lease there is none. */
    if (http->maybe_made && http->last_status >= 200 && http->last_status < 300)
        must(result->outcome == OUTCOME_OK || result->outcome == OUTCOME_UNKNOWN || result->outcome == OUTCOME_REFUSED);
    else if (http->maybe_made && !http->last_status)
        must(result->outcome == OUTCOME_UNKNOWN);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http http;
    unsigned digit = begin_input(&http, data, size);
    struct provider_call call = {.verb = verbs[digit % (sizeof verbs / sizeof verbs[0])],
                                 .container_id = PROVIDER_ACCOUNT,
                                 .key_name = "llmhook:h1:u1:vault:g1",
                                 .key_id = LEASE,
                                 .name_prefix = "llmhook:h1:"};
    struct provider_settings settings = {.name = "main", .type = "vault", .timeout_ms = 1000, .base_url = BASE,
                                         .admin_key = "env:TOKEN", .environment = "OPENAI_API_KEY",
                                         .vault = {.path = "openai/creds/dev", .field = "api_key", .post = true}};
    if (http.flags & WITH_POST)
        snprintf(settings.vault.parameters, sizeof settings.vault.parameters, "ttl=1h note={name}");
    at_engine = false;
    run_call(&http, &call, &settings);
    return 0;
}
