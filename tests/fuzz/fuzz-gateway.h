/* What the targets of OpenRouter and LiteLLM share: every verb of the driver under provider.c. Whoever includes this says
 * which type it is (GATEWAY_TYPE), whether minting may be repeated (GATEWAY_REPEATS), what its key's id is in the call
 * (GATEWAY_KEY_ID) and where all requests go (GATEWAY_BASE).
 *
 * The input: a digit (the verb) and a letter (its lowest bits: models and rate limits, where it has them; an end of its
 * own; another admin key after a 401), then the answers, see fuzz-driver.h. */
#ifndef LLMHOOK_TESTS_FUZZ_FUZZ_GATEWAY_H
#define LLMHOOK_TESTS_FUZZ_FUZZ_GATEWAY_H

#include "fuzz-driver.h"

/* Stands in answers; the one that is chosen, too. */
#define MINTED_KEY "sk-or-v1-0123456789abcdefghijMINTED"
#define CHOSEN_KEY "sk-0123456789abcdefghijklmnopqrstCHOSEN"

enum { WITH_MODELS = 1, WITH_EXPIRY = 2 };

static bool creates(const struct http *http)
{
    return !GATEWAY_REPEATS && http->call->verb == PROVIDER_MINT_KEY;
}

static void check_request(const struct http *http, const struct http_request *request)
{
    check_sound(request, GATEWAY_BASE, "Authorization: Bearer ");
    must(!strstr(request->url, CHOSEN_KEY) && !strstr(request->url, MINTED_KEY));
    /* A key itself is asked one thing alone, with nothing but itself. */
    const char *path = request->url + sizeof GATEWAY_BASE - 1;
    bool own = strcmp(path, "/key") == 0 || strcmp(path, "/v1/models") == 0;
    must(own == (strcmp(secret_reveal(request->secret), CHOSEN_KEY) == 0));
    must(request->method != HTTP_DELETE || http->call->verb == PROVIDER_REVOKE_KEY);
}

static void check_item(const struct provider_call *call, const struct provider_item *item)
{
    must(item->kind == PROVIDER_ITEM_KEY && provider_id_valid(item->id));
    must(strcmp(item->container_id, PROVIDER_ACCOUNT) == 0);
    must(memchr(item->name, '\0', sizeof item->name));
    must(item->created_at >= 0 && item->monthly_limit >= 0);
    if (call->verb == PROVIDER_FIND_KEYS)
        must(strcmp(item->name, call->key_name) == 0);
    else
        must(call->verb == PROVIDER_INVENTORY && strncmp(item->name, call->name_prefix, strlen(call->name_prefix)) == 0);
}

/* Of ours, or nobody's, but of that account; by day, or the month so far. */
static void check_usage(const struct provider_call *call, const struct provider_usage *row)
{
    bool total = row->kind == PROVIDER_USAGE_MONTH_TOTAL;
    must(total || (row->kind == PROVIDER_USAGE_BILL && call->verb == PROVIDER_USAGE));
    must(call->verb == PROVIDER_USAGE || call->verb == PROVIDER_REVOKE_KEY || call->verb == PROVIDER_SUSPEND_KEY ||
         call->verb == PROVIDER_RESUME_KEY);
    must(provider_id_valid(row->key_id) && strcmp(row->container_id, PROVIDER_ACCOUNT) == 0);
    must(memchr(row->model, '\0', sizeof row->model) && row->day >= 0 && row->micro_dollars >= 0);
    must(row->requests >= 0 && row->output_tokens >= 0 && row->cached_tokens >= 0 && row->input_tokens >= row->cached_tokens);
}

static void check_success(const struct http *http, const struct provider_result *result)
{
    must((http->call->verb == PROVIDER_MINT_KEY) == (result->secret != NULL));
    must(!result->secret || provider_id_valid(result->key_id));
    must(!result->secret || !GATEWAY_REPEATS || strcmp(secret_reveal(result->secret), CHOSEN_KEY) == 0);
    must_be_word(result->secret ? secret_reveal(result->secret) : "");
    for (size_t i = 0; i < result->items_count; i++) {
        check_item(http->call, &result->items[i]);
        for (size_t j = 0; j < i; j++)
            must(strcmp(result->items[i].id, result->items[j].id) != 0 ||
                 result->items[i].created_at != result->items[j].created_at);
    }
}

static void check_end(const struct http *http, const struct provider_result *result)
{
    must(!strstr(result->error.text, MINTED_KEY) && !strstr(result->error.text, CHOSEN_KEY));
    if (result->outcome == OUTCOME_OK)
        check_success(http, result);
    /* Half a report is none. What a key cost in the end is told whatever came of its end. */
    must(result->outcome == OUTCOME_OK || http->call->verb != PROVIDER_USAGE || !result->usage_count);
    for (size_t i = 0; i < result->usage_count; i++)
        check_usage(http->call, &result->usage[i]);
    /* Done is said on a success alone, gone on a list without the key, which only a 404 is reason to ask for. */
    must(result->outcome != OUTCOME_OK || (http->last_status >= 200 && http->last_status < 300));
    must(result->outcome != OUTCOME_GONE || (http->last_status >= 200 && http->last_status < 300 && http->not_found));
    if (http->maybe_made)
        must(result->outcome == OUTCOME_OK || result->outcome == OUTCOME_UNKNOWN);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http http;
    unsigned digit = begin_input(&http, data, size);
    struct error err = ERROR_INIT;
    must_succeed(secret_init(&err), err);
    struct secret *chosen = secret_new(CHOSEN_KEY, strlen(CHOSEN_KEY));
    struct provider_call call = {.verb = (enum provider_verb)(digit % (PROVIDER_LIMIT_KEY + 1)),
                                 .container_id = PROVIDER_ACCOUNT,
                                 .key_name = "llmhook:h1:u1:gw:g1",
                                 .key_id = GATEWAY_KEY_ID,
                                 .name_prefix = "llmhook:h1:",
                                 .monthly_limit = 100500001,
                                 .chosen = chosen,
                                 .since = INT64_C(1709078400000),
                                 .until = INT64_C(1709251200000)};
    struct provider_settings settings = {.name = "main", .type = GATEWAY_TYPE, .timeout_ms = 1000};
    snprintf(settings.base_url, sizeof settings.base_url, "%s", GATEWAY_BASE);
    if (http.flags & WITH_EXPIRY)
        settings.expires_ms = 3600000;
    if (http.flags & WITH_MODELS) {
        snprintf(settings.models, sizeof settings.models, "gpt-4o claude-*");
        settings.rates_count = 1;
        settings.rates[0] = (struct provider_rate){"gpt-4o", 10, 0};
    }
    run_call(&http, &call, &settings);
    secret_free(chosen);
    return 0;
}

#endif
