/* Every verb of the Anthropic driver under provider.c.
 *
 * The input: a digit (the verb) and a letter (its lowest bits: the whole account instead of a workspace; rate limits;
 * another admin key after a 401; limits in the inventory), then the answers, see fuzz-driver.h. */
#include "fuzz-driver.h"

/* The one that is to be identified: the provider shows its ends. */
#define POOL_KEY "sk-ant-api03-0123456789abcdefghijPOOL"

enum { WHOLE_ACCOUNT = 1, WITH_RATES = 2, WITH_LIMITS = 8 };

/* A claim changes one key that exists, and can be repeated. */
static bool creates(const struct http *http)
{
    return http->call->verb == PROVIDER_CREATE_CONTAINER;
}

static void check_request(const struct http *http, const struct http_request *request)
{
    static const char base[] = "https://api.anthropic.com/v1/organizations/";
    enum provider_verb verb = http->call->verb;
    check_sound(request, base, "x-api-key: ");
    must(!strstr(request->url, "api_keys/") || strstr(request->url, "api_keys/apikey_1"));
    must(strcmp(request->headers[0], "anthropic-version: 2023-06-01") == 0);
    must(request->method == HTTP_GET || request->method == HTTP_POST);
    must(request->method == HTTP_GET || (verb != PROVIDER_FIND_CONTAINER && verb != PROVIDER_USAGE &&
                                         verb != PROVIDER_FIND_KEYS &&
                                         verb != PROVIDER_INVENTORY && verb != PROVIDER_CHECK && verb != PROVIDER_IDENTIFY_KEY));
    must(!strstr(buffer_text(&request->body), POOL_KEY));
}

static void check_item(const struct provider_call *call, const struct provider_item *item)
{
    bool container = item->kind == PROVIDER_ITEM_CONTAINER;
    must(provider_id_valid(item->id) && memchr(item->name, '\0', sizeof item->name) && item->created_at >= 0);
    must(container ? !item->container_id[0] : !item->container_id[0] || provider_id_valid(item->container_id));
    must(container ? !item->suspended : item->tells_suspended);
    must(item->monthly_limit >= 0 || item->monthly_limit == PROVIDER_LIMIT_UNTOLD);
    must(container || item->monthly_limit == PROVIDER_LIMIT_UNTOLD);
    if (call->verb == PROVIDER_FIND_CONTAINER)
        must(container && provider_container_matches(item->name, call->container_name));
    else if (call->verb == PROVIDER_FIND_KEYS)
        must(!container && strcmp(item->name, call->key_name) == 0);
    else if (call->verb == PROVIDER_IDENTIFY_KEY)
        must(!container);
    else
        must(call->verb == PROVIDER_INVENTORY && (!container || strncmp(item->name, "llmhook:h1:", 11) == 0));
}

/* The kind of tokens that a cost is for never passes for a key. */
static void check_usage(const struct provider_call *call, const struct provider_usage *row)
{
    bool bill = row->kind == PROVIDER_USAGE_BILL;
    must(call->verb == PROVIDER_USAGE && (bill || row->kind == PROVIDER_USAGE_TOKENS));
    must(provider_id_valid(row->container_id) && (!row->key_id[0] || provider_id_valid(row->key_id)));
    must(memchr(row->model, '\0', sizeof row->model));
    must(row->day >= 0 && (bill ? row->micro_dollars >= 0 : row->micro_dollars == -1));
    must(row->requests >= 0 && row->output_tokens >= 0 && row->cached_tokens >= 0 && row->searches >= 0);
    must(row->input_tokens >= row->cached_tokens + row->written_tokens + row->written_long_tokens);
}

static void check_end(const struct http *http, const struct provider_result *result)
{
    const struct provider_call *call = http->call;
    must(!result->secret);
    must(!strstr(result->error.text, POOL_KEY));
    if (result->outcome == OUTCOME_OK) {
        must(call->verb != PROVIDER_MINT_KEY || strcmp(result->key_id, "apikey_1") == 0);
        must(call->verb != PROVIDER_CREATE_CONTAINER || provider_id_valid(result->container_id));
        for (size_t i = 0; i < result->items_count; i++)
            check_item(call, &result->items[i]);
        for (size_t i = 0; i < result->usage_count; i++)
            check_usage(call, &result->usage[i]);
    }
    /* Gone and done are said on proof alone. That limits may not be listed is no failure of an inventory. */
    if (result->outcome == OUTCOME_GONE || (result->outcome == OUTCOME_OK && call->verb != PROVIDER_INVENTORY))
        must(http->last_status >= 200 && http->last_status < 300);
    if (http->maybe_made)
        must(result->outcome == OUTCOME_OK || result->outcome == OUTCOME_UNKNOWN);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = ERROR_INIT;
    must_succeed(secret_init(&err), err);
    struct http http;
    unsigned digit = begin_input(&http, data, size);
    struct secret *pool_key = secret_new(POOL_KEY, strlen(POOL_KEY));
    struct provider_call call = {.verb = (enum provider_verb)(digit % (PROVIDER_IDENTIFY_KEY + 1)),
                                 .container_name = "llmhook:h1:u1",
                                 .container_id = "wrkspc_1",
                                 .key_name = "llmhook:h1:u1:anthropic:g1",
                                 .key_id = "apikey_1",
                                 .name_prefix = "llmhook:h1:",
                                 .chosen = pool_key,
                                 .monthly_limit = 100500001};
    static const struct provider_scope scopes[] = {{"wrkspc_1", 3}, {PROVIDER_ACCOUNT, 2}};
    call.scopes = scopes;
    call.scopes_count = http.flags & WHOLE_ACCOUNT ? 2 : 1;
    call.since = INT64_C(1709164800000);
    call.until = INT64_C(1709251200000);
    snprintf(call.limits_prefix, sizeof call.limits_prefix, http.flags & WITH_LIMITS ? "llmhook:h1:" : "");
    bool may_lack = call.verb != PROVIDER_LIMIT_CONTAINER && call.verb != PROVIDER_RATE_LIMIT_CONTAINER &&
                    call.verb != PROVIDER_ARCHIVE_CONTAINER;
    if ((http.flags & WHOLE_ACCOUNT) && may_lack)
        snprintf(call.container_id, sizeof call.container_id, PROVIDER_ACCOUNT);
    struct provider_settings settings = {.name = "main", .type = "anthropic", .project = "per-domain", .timeout_ms = 1000};
    if (http.flags & WITH_RATES) {
        settings.rates_count = 2;
        settings.rates[0] = (struct provider_rate){"claude-sonnet-5-5", 50, 0};
        settings.rates[1] = (struct provider_rate){"claude-haiku-5-5", 60, 40000};
    }
    run_call(&http, &call, &settings);
    secret_free(pool_key);
    return 0;
}
