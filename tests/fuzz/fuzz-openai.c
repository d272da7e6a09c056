/* Every verb of the OpenAI driver under provider.c, with answers from the input in the place of http.c (which has a target
 * of its own).
 *
 * The input: a digit (the verb) and a letter (its lowest bits: a given project; rate limits; another admin key after a
 * 401; limits in the inventory), then the answers, see fuzz-driver.h. */
#include "fuzz-driver.h"

/* Stands in answers. */
#define MINTED_KEY "sk-svcacct-0123456789abcdefghijMINTED"

enum { GIVEN_PROJECT = 1, WITH_RATES = 2, WITH_LIMITS = 8 };

static bool creates(const struct http *http)
{
    return http->call->verb == PROVIDER_MINT_KEY || http->call->verb == PROVIDER_CREATE_CONTAINER ||
           http->call->verb == PROVIDER_CREATE_ADMIN_KEY;
}

static bool is_about_admin_keys(enum provider_verb verb)
{
    return verb == PROVIDER_FIND_ADMIN_KEYS || verb == PROVIDER_CREATE_ADMIN_KEY || verb == PROVIDER_DELETE_ADMIN_KEY;
}

static void check_request(const struct http *http, const struct http_request *request)
{
    static const char base[] = "https://api.openai.com/v1/organization/";
    const char *path = request->url + sizeof base - 1;
    check_sound(request, base, "Authorization: Bearer ");
    if (http->call->verb == PROVIDER_USAGE)
        must(strncmp(path, "costs?", 6) == 0 || strncmp(path, "usage/completions?", 18) == 0);
    else if (is_about_admin_keys(http->call->verb))
        must(strncmp(path, "admin_api_keys", 14) == 0);
    else
        must(strncmp(path, "projects", 8) == 0);
    must(request->method != HTTP_DELETE || http->call->verb == PROVIDER_REVOKE_KEY ||
         http->call->verb == PROVIDER_DELETE_ADMIN_KEY);
    must(request->method != HTTP_PATCH);
}

static bool is_listed(const struct provider_result *result, const char *container)
{
    for (size_t i = 0; i < result->items_count; i++)
        if (result->items[i].kind == PROVIDER_ITEM_CONTAINER && strcmp(result->items[i].id, container) == 0)
            return true;
    return false;
}

static void check_item(const struct provider_call *call, const struct provider_result *result,
                       const struct provider_item *item)
{
    bool container = item->kind == PROVIDER_ITEM_CONTAINER;
    must(provider_id_valid(item->id));
    must(memchr(item->name, '\0', sizeof item->name));
    must(item->created_at >= 0);
    must(container || call->verb == PROVIDER_FIND_ADMIN_KEYS ? !item->container_id[0] : provider_id_valid(item->container_id));
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
             (!container && is_listed(result, item->container_id)));
        break;
    case PROVIDER_FIND_ADMIN_KEYS:
        must(!container && strcmp(item->name, call->key_name) == 0);
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

static void check_success(const struct http *http, const struct provider_result *result)
{
    const struct provider_call *call = http->call;
    bool makes = call->verb == PROVIDER_MINT_KEY || call->verb == PROVIDER_CREATE_ADMIN_KEY;
    must(makes == (result->secret != NULL));
    must(!makes || provider_id_valid(result->key_id));
    must(call->verb != PROVIDER_CREATE_CONTAINER || provider_id_valid(result->container_id));
    if (result->secret) {
        must(secret_length(result->secret) >= 16);
        must_be_word(secret_reveal(result->secret));
    }
    for (size_t i = 0; i < result->items_count; i++)
        check_item(call, result, &result->items[i]);
    must(!result->usage_count || call->verb == PROVIDER_USAGE);
    for (size_t i = 0; i < result->usage_count; i++)
        check_usage(&result->usage[i]);
}

static void check_end(const struct http *http, const struct provider_result *result)
{
    must(!strstr(result->error.text, MINTED_KEY));
    if (result->outcome == OUTCOME_OK)
        check_success(http, result);
    else
        must(!result->usage_count);
    /* Gone and done are said on proof alone: an answer of success, or words about an archived project. */
    bool optional = http->call->verb == PROVIDER_INVENTORY && http->about_limit; /* it may be that there is none */
    if (result->outcome == OUTCOME_GONE || (result->outcome == OUTCOME_OK && !optional))
        must((http->last_status >= 200 && http->last_status < 300) || http->last_status == 400 || http->last_status == 409 ||
             (http->last_status == 404 && http->call->verb == PROVIDER_DELETE_ADMIN_KEY));
    if (http->maybe_made)
        must(result->outcome == OUTCOME_OK || result->outcome == OUTCOME_UNKNOWN);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http http;
    unsigned digit = begin_input(&http, data, size);
    static const struct provider_scope scopes[] = {{"proj_abc", 399}, {"proj_def", 2}}; /* two batches */
    struct provider_call call = {.verb = (enum provider_verb)(digit % (PROVIDER_DELETE_ADMIN_KEY + 1)),
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
    run_call(&http, &call, &settings);
    return 0;
}
