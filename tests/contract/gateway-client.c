/* Our OpenRouter or LiteLLM client against the sandbox: every verb over real HTTP, asked through provider_start() as the
 * daemon does. Under with-prism.sh every request and answer of OpenRouter's is held to its official specification; LiteLLM
 * has none. Prints TAP without a plan at its head.
 *
 *   gateway-client openrouter|litellm
 *   LLMHOOK_SANDBOX_URL, _DIRECT_URL, _ADMIN_KEY_FILE, _SECOND_ADMIN_KEY_FILE, _CONTROL   as with-prism.sh sets them */
#include "client.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool litellm;

static const char *base(void)
{
    return litellm ? "/litellm" : "/api/v1";
}

static struct provider *open_provider(const char *url, const char *key_file, int64_t expires_ms)
{
    struct provider_settings settings = {.name = "sandbox", .timeout_ms = CLIENT_PATIENCE_MS, .expires_ms = expires_ms};
    snprintf(settings.type, sizeof settings.type, "%s", litellm ? "litellm" : "openrouter");
    snprintf(settings.base_url, sizeof settings.base_url, "%s%s", url, base());
    snprintf(settings.guest_base_url, sizeof settings.guest_base_url, "http://10.0.0.1:4000");
    snprintf(settings.admin_key, sizeof settings.admin_key, "file:%s", key_file);
    if (litellm) {
        snprintf(settings.models, sizeof settings.models, "gpt-4o gpt-4.1");
        settings.rates_count = 1;
        settings.rates[0] = (struct provider_rate){"gpt-4o", 5, 1000};
    }
    return client_provider(&settings);
}

/* What the model API says to a key; BODY: a chat, NULL: the list of models. */
static long model_status(const struct secret *key, const char *body)
{
    char url[512];
    snprintf(url, sizeof url, "%s%s%s/%s", direct_url(), base(), litellm ? "/v1" : "", body ? "chat/completions" : "models");
    return status_of(url, key, body);
}

static struct provider_call call_of(enum provider_verb verb, unsigned generation, const struct secret *chosen)
{
    struct provider_call call = {.verb = verb, .monthly_limit = 100500001, .name_prefix = "llmhook:contract:",
                                 .container_id = PROVIDER_ACCOUNT, .chosen = litellm ? chosen : NULL};
    snprintf(call.key_name, sizeof call.key_name, "llmhook:contract:vm-1 (\"a\\b\" \xc3\xbc)&=:gateway:g%u", generation);
    return call;
}

static const char chat[] = "{\"model\":\"gpt-4o\",\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}";
static const char other_chat[] = "{\"model\":\"gpt-4.1-mini\",\"messages\":[]}";

/* What KEY has cost is set, so that its limit is reached. */
static void spend(const char *key_id)
{
    char body[512];
    snprintf(body, sizeof body, "{\"action\":\"gateway-set-spend\",\"api_key_id\":\"%s\",\"cents\":10051}", key_id);
    control("POST", "/outside", body);
}

static void over_budget(const struct secret *key, const char *key_id)
{
    check(model_status(key, chat) == 200, "  and is billed for", "");
    spend(key_id);
    if (litellm) {
        check(model_status(key, chat) == 429, "  until its limit is reached: 429", "");
        control("POST", "/knobs", "{\"litellm_over_budget\":\"400\"}");
        check(model_status(key, chat) == 400, "  at an older proxy: 400", "");
        control("POST", "/knobs", "{\"litellm_over_budget\":\"429\"}");
        check(model_status(key, other_chat) == 429, "  whatever the model", "");
    } else {
        check(model_status(key, chat) == 402, "  until its limit is reached: 402", "");
    }
}

/* What KEY_ID cost by the report, in cents; -1: it does not say. */
static int64_t told_cents(struct provider *provider, const char *key_id)
{
    static const struct provider_scope scope = {PROVIDER_ACCOUNT, 1};
    struct ended ended = {.done = false};
    struct provider_call call = call_of(PROVIDER_USAGE, 1, NULL);
    int64_t sum = -1;
    call.scopes = &scope;
    call.scopes_count = 1;
    call.until = clock_wall_ms() + 1000;
    call.since = call.until - INT64_C(86400000);
    expect(provider, &call, &ended, OUTCOME_OK, "", "usage");
    for (size_t i = 0; i < ended.result.usage_count; i++)
        if (strcmp(ended.result.usage[i].key_id, key_id) == 0)
            sum = (sum < 0 ? 0 : sum) + ended.result.usage[i].micro_dollars;
    provider_result_clear(&ended.result);
    return sum < 0 ? -1 : sum / 10000;
}

/* A key's life. */
static void story(struct provider *provider, const struct secret *chosen)
{
    struct ended ended = {.done = false};
    struct provider_call call = call_of(PROVIDER_CHECK, 1, chosen);
    expect(provider, &call, &ended, OUTCOME_OK, "", "check: the admin key is taken");
    call.verb = PROVIDER_FIND_KEYS;
    expect(provider, &call, &ended, OUTCOME_OK, "", "find-keys before there is one");
    check(ended.result.items_count == 0, "  finds none", "");
    call.verb = PROVIDER_MINT_KEY;
    expect(provider, &call, &ended, OUTCOME_OK, "", "mint-key");
    struct secret *key = ended.result.secret;
    ended.result.secret = NULL;
    snprintf(call.key_id, sizeof call.key_id, "%s", ended.result.key_id);
    check(key && model_status(key, NULL) == 200, "  the key works", "");
    call.chosen = key;
    call.verb = PROVIDER_FIND_KEYS;
    expect(provider, &call, &ended, OUTCOME_OK, "", "find-keys");
    check(ended.result.items_count == 1 && strcmp(ended.result.items[0].id, call.key_id) == 0, "  finds it by its name", "");
    check(ended.result.items_count && ended.result.items[0].monthly_limit == 100510000, "  with its limit in whole cents", "");
    check(ended.result.items_count && ended.result.items[0].created_at > INT64_C(1500000000000), "  and its age", "");
    call.verb = PROVIDER_SUSPEND_KEY;
    expect(provider, &call, &ended, OUTCOME_OK, "", "suspend-key");
    expect(provider, &call, &ended, OUTCOME_OK, "", "suspend-key again");
    check(model_status(key, NULL) == 401, "  the key is refused", "");
    call.verb = PROVIDER_FIND_KEYS;
    expect(provider, &call, &ended, OUTCOME_OK, "", "find-keys while it is suspended");
    check(ended.result.items_count == 1, "  finds it", "");
    call.verb = PROVIDER_RESUME_KEY;
    expect(provider, &call, &ended, OUTCOME_OK, "", "resume-key");
    check(model_status(key, NULL) == 200, "  the key works", "");
    check(told_cents(provider, call.key_id) == (litellm ? -1 : 0), "  tells of nothing before the first request", "");
    over_budget(key, call.key_id);
    check(told_cents(provider, call.key_id) == 10051, "  tells what the key cost", "");
    call.verb = PROVIDER_LIMIT_KEY;
    call.monthly_limit = 200000001;
    expect(provider, &call, &ended, OUTCOME_OK, "", "limit-key");
    check(model_status(key, NULL) == 200, "  the key works", "");
    call.verb = PROVIDER_FIND_KEYS;
    expect(provider, &call, &ended, OUTCOME_OK, "", "find-keys");
    check(ended.result.items_count && ended.result.items[0].monthly_limit == 200010000, "  with the new limit in whole cents",
          "");
    call.verb = PROVIDER_REVOKE_KEY;
    expect(provider, &call, &ended, OUTCOME_OK, "", "revoke-key");
    if (litellm)
        check(told_cents(provider, call.key_id) == 10051, "  tells it of a deleted key as well", "");
    else
        check(ended.result.usage_count == 1 && ended.result.usage[0].micro_dollars == 100510000,
              "  tells in the end what the key cost", "");
    check(model_status(key, NULL) == 401, "  the key is dead", "");
    expect(provider, &call, &ended, OUTCOME_GONE, "no such key any more", "revoke-key again: gone");
    call.verb = PROVIDER_SUSPEND_KEY;
    expect(provider, &call, &ended, OUTCOME_GONE, "no such key any more", "suspend-key: gone");
    call.verb = PROVIDER_LIMIT_KEY;
    expect(provider, &call, &ended, OUTCOME_GONE, "no such key any more", "limit-key: gone");
    call.verb = PROVIDER_REVOKE_KEY;
    call.chosen = NULL;
    expect(provider, &call, &ended, OUTCOME_GONE, "no such key any more", "revoke-key of one whose secret is not known: gone");
    provider_result_clear(&ended.result);
    secret_free(key);
}

/* Mints the key that CALL names. The caller frees it. */
static struct secret *mint(struct provider *provider, struct provider_call *call)
{
    struct ended ended = {.done = false};
    call->verb = PROVIDER_MINT_KEY;
    expect(provider, call, &ended, OUTCOME_OK, "", "mint-key");
    struct secret *key = ended.result.secret;
    snprintf(call->key_id, sizeof call->key_id, "%s", ended.result.key_id);
    call->chosen = key;
    ended.result.secret = NULL;
    provider_result_clear(&ended.result);
    return key;
}

static const enum provider_verb about_a_key[] = {PROVIDER_SUSPEND_KEY, PROVIDER_RESUME_KEY, PROVIDER_LIMIT_KEY,
                                                 PROVIDER_REVOKE_KEY};
enum { ABOUT_A_KEY = sizeof about_a_key / sizeof about_a_key[0] };

/* To another account's admin key all that we have is 404, and nothing of it is gone. */
static void another_account(struct provider *provider, struct provider *stranger, const struct secret *chosen)
{
    struct ended ended = {.done = false};
    struct provider_call call = call_of(PROVIDER_MINT_KEY, 2, chosen);
    struct secret *key = mint(provider, &call);
    for (size_t i = 0; i < ABOUT_A_KEY; i++) {
        char name[128];
        call.verb = about_a_key[i];
        snprintf(name, sizeof name, "%s by another account's admin key: not gone", provider_verb_name(call.verb));
        expect(stranger, &call, &ended, OUTCOME_REFUSED, "the admin key is probably another account's", name);
    }
    check(model_status(key, NULL) == 200, "  it works", "");
    expect(provider, &call, &ended, OUTCOME_OK, "", "revoke-key by its own account's");
    provider_result_clear(&ended.result);
    secret_free(key);
}

/* The provider says 404 of a key that lives, as whoever is mistaken does; then of one that is suspended. */
static void wrongly_missing(struct provider *provider, const struct secret *chosen)
{
    static const char *const openrouter_paths[] = {"PATCH /api/v1/keys/*", "DELETE /api/v1/keys/*"};
    static const char *const litellm_paths[] = {"POST /litellm/key/block", "POST /litellm/key/unblock",
                                                "POST /litellm/key/update",
                                                "POST /litellm/key/delete"};
    const char *const *paths = litellm ? litellm_paths : openrouter_paths;
    struct ended ended = {.done = false};
    struct provider_call call = call_of(PROVIDER_MINT_KEY, 3, chosen);
    struct secret *key = mint(provider, &call);
    for (int suspended = 0; suspended < 2; suspended++) {
        char name[128];
        const char *piece = suspended ? "and lists it" : "does not refuse that key itself (200)";
        if (suspended) {
            call.verb = PROVIDER_SUSPEND_KEY;
            expect(provider, &call, &ended, OUTCOME_OK, "", "suspend-key");
        }
        for (int i = 0; i < (litellm ? 4 : 2); i++) {
            char fault[256];
            snprintf(fault, sizeof fault, "{\"match\":\"%s\",\"mode\":\"status\",\"status\":404,\"times\":-1}", paths[i]);
            control("POST", "/faults", fault);
        }
        for (size_t i = 0; i < ABOUT_A_KEY; i++) {
            call.verb = about_a_key[i];
            snprintf(name, sizeof name, "%s of a %s key that is said not to be there: not believed",
                     provider_verb_name(call.verb),
                     suspended ? "suspended" : "living");
            expect(provider, &call, &ended, OUTCOME_REFUSED, piece, name);
        }
        control("DELETE", "/faults", "");
    }
    call.verb = PROVIDER_REVOKE_KEY;
    expect(provider, &call, &ended, OUTCOME_OK, "", "revoke-key");
    provider_result_clear(&ended.result);
    secret_free(key);
}

/* Five keys of ours among others, in small pages. */
static void paging(struct provider *provider)
{
    struct ended ended = {.done = false};
    for (unsigned i = 10; i < 15; i++) {
        struct secret *chosen = secret_generate("sk-");
        struct provider_call call = call_of(PROVIDER_MINT_KEY, i, chosen);
        char other[256];
        expect(provider, &call, &ended, OUTCOME_OK, "", "one of five keys");
        snprintf(other, sizeof other, "{\"action\":\"gateway-create-key\",\"status\":\"%s\",\"name\":\"somebody's\"}",
                 litellm ? "litellm" : "openrouter");
        control("POST", "/outside", other);
        secret_free(chosen);
    }
    for (int page = 1; page <= 3; page++) {
        char knob[64], name[64];
        struct provider_call call = call_of(PROVIDER_INVENTORY, 0, NULL);
        snprintf(knob, sizeof knob, "{\"page_max\":%d}", page);
        control("POST", "/knobs", knob);
        snprintf(name, sizeof name, "inventory in pages of %d", page);
        expect(provider, &call, &ended, OUTCOME_OK, "", name);
        check(ended.result.items_count == 5, "  finds every key of ours, and nothing else", "");
        call = call_of(PROVIDER_FIND_KEYS, 10, NULL);
        expect(provider, &call, &ended, OUTCOME_OK, "", "find-keys");
        check(ended.result.items_count == 1, "  finds the one on the last page", "");
    }
    control("POST", "/knobs", "{\"page_max\":0}");
    provider_result_clear(&ended.result);
}

/* From here on the sandbox itself is asked. */
static void lost_answers(struct provider *provider, const struct secret *chosen)
{
    struct ended ended = {.done = false};
    struct provider_call call = call_of(PROVIDER_MINT_KEY, 20, chosen);
    char fault[256], hash[SECRET_FINGERPRINT_SIZE];
    snprintf(fault, sizeof fault, "{\"match\":\"POST %s\",\"mode\":\"drop-after\"}",
             litellm ? "/litellm/key/generate" : "/api/v1/keys");
    control("POST", "/faults", fault);
    expect(provider, &call, &ended, OUTCOME_UNKNOWN, "the request was sent, but", "an answer lost after the mint: unknown");
    if (litellm) {
        secret_fingerprint(chosen, hash);
        expect(provider, &call, &ended, OUTCOME_OK, "", "the same asked for again: the key that was made");
        check(strcmp(ended.result.key_id, hash) == 0 && model_status(ended.result.secret, NULL) == 200, "  which works", "");
        struct secret *another = secret_generate("sk-");
        call.chosen = another;
        expect(provider, &call, &ended, OUTCOME_UNKNOWN, "another key of this alias", "another key of the same alias: unknown");
        check(strcmp(ended.result.key_id, hash) == 0, "  and told which is in the way", "");
        secret_free(another);
        call.chosen = chosen;
        call.monthly_limit = 5000000;
        expect(provider, &call, &ended, OUTCOME_OK, "", "the same with another limit: corrected");
    }
    call.verb = PROVIDER_FIND_KEYS;
    expect(provider, &call, &ended, OUTCOME_OK, "", "find-keys");
    check(ended.result.items_count == 1, "  its key is found by name, once", "");
    check(ended.result.items_count == 1 && ended.result.items[0].monthly_limit == (litellm ? 5000000 : 100510000),
          "  with its limit", "");
    provider_result_clear(&ended.result);
}

static void strangers(void)
{
    const char *path = client_key_file("sk-admin-this-is-not-the-key\n");
    struct ended ended = {.done = false};
    struct provider_call call = call_of(PROVIDER_CHECK, 1, NULL);
    struct provider *stranger = open_provider(getenv("LLMHOOK_SANDBOX_URL"), path, 0);
    expect(stranger, &call, &ended, OUTCOME_UNAUTHORIZED, "does not accept the admin key (401)", "a wrong admin key");
    provider_free(stranger);
    unlink(path);
    provider_result_clear(&ended.result);
}

int main(int argc, char **argv)
{
    const char *key_file = getenv("LLMHOOK_SANDBOX_ADMIN_KEY_FILE");
    if (argc != 2 || !key_file || !getenv("LLMHOOK_SANDBOX_SECOND_ADMIN_KEY_FILE") ||
        (strcmp(argv[1], "openrouter") != 0 && strcmp(argv[1], "litellm") != 0)) {
        fprintf(stderr, "usage: gateway-client openrouter|litellm\n");
        return 2;
    }
    litellm = strcmp(argv[1], "litellm") == 0;
    client_begin();
    struct secret *chosen = secret_generate("sk-"), *later = secret_generate("sk-");
    const char *url = getenv("LLMHOOK_SANDBOX_URL");
    struct provider *provider = open_provider(url, key_file, 0), *mortal = open_provider(url, key_file, 3600000);
    struct provider *direct = open_provider(direct_url(), key_file, 0);
    struct provider *stranger = open_provider(direct_url(), getenv("LLMHOOK_SANDBOX_SECOND_ADMIN_KEY_FILE"), 0);
    story(provider, chosen);
    another_account(direct, stranger, later);
    wrongly_missing(direct, later);
    paging(provider);
    strangers();
    struct ended ended = {.done = false};
    struct provider_call call = call_of(PROVIDER_MINT_KEY, 19, later);
    expect(mortal, &call, &ended, OUTCOME_OK, "", "mint-key with an end of its own");
    provider_result_clear(&ended.result);
    lost_answers(direct, chosen);
    provider_free(provider);
    provider_free(mortal);
    provider_free(direct);
    provider_free(stranger);
    secret_free(chosen);
    secret_free(later);
    return client_end();
}
