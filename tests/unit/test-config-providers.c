/* What the sections of some providers have, and those of others have not. The rest is in test-config.c. */
#include "config-fixture.h"

static void where_guests_find_a_gateway(void **state)
{
    static const char *const bad[] = {"gateway.lan:8080", "ftp://gateway.lan", "https://gateway.lan/$(canary)",
                                      "https://user:canary@gateway.lan", "https://", "http://[::1]:4000"};
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        char text[256];
        snprintf(text, sizeof text, "[provider openai]\nadmin-key = env:A\nguest-base-url = %s\n", bad[i]);
        check_refused(text, "f.conf:3: guest-base-url: this is no URL for guests: write it like http://10.0.0.1:4000/v1, "
                            "with a name or an IPv4 address");
    }
    cleanup_config struct config *config =
        parse("[provider openai]\nadmin-key = env:A\nguest-base-url = http://gw-1.lan:8080/a%20b/~x/\n");
    assert_string_equal(config->providers[0].guest_base_url, "http://gw-1.lan:8080/a%20b/~x");
}

static void what_only_some_providers_have(void **state)
{
    cleanup_config struct config *config = parse("[provider openrouter]\nadmin-key = env:A\nexpires = 90d\n");
    (void)state;
    assert_int_equal(config->providers[0].expires_ms, INT64_C(90) * 24 * 3600 * 1000);
    assert_string_equal(config->providers[0].models, "");
    cleanup_config struct config *never = parse("[provider openrouter]\nadmin-key = env:A\nexpires = never\n");
    assert_int_equal(never->providers[0].expires_ms, 0);
    check_refused("[provider openrouter]\nadmin-key = env:A\nexpires = 10min\n",
                  "f.conf:3: expires: '10min' is out of range: write between 1h and 3650d");
    check_refused("[provider openrouter]\nadmin-key = env:A\nproject = per-owner\n",
                  "f.conf:3: project: it does nothing for providers of type openrouter: take it out");
    check_refused("[provider openrouter]\nadmin-key = env:A\nrate-limit = m tokens-per-minute=1\n",
                  "f.conf:3: rate-limit: it does nothing for providers of type openrouter: take it out");
    check_refused("[provider openai]\nadmin-key = env:A\nmodels = gpt-4o\n",
                  "f.conf:3: models: it does nothing for providers of type openai: take it out");
    check_refused("[provider openai]\nadmin-key = env:A\nmodels = gpt-4o, o1\n",
                  "f.conf:3: models: 'gpt-4o,' is not a model: write names separated by spaces");
    check_refused("[provider anthropic]\nadmin-key = env:A\nexpires = 90d\n",
                  "f.conf:3: expires: it does nothing for providers of type anthropic: take it out");
    check_refused("[provider openai]\nadmin-key = env:A\nexpires = 366d\n", "f.conf:1: expires: a key of OpenAI's lasts 365d at most");
}

static void a_proxy_of_ones_own(void **state)
{
    (void)state;
    cleanup_config struct config *config =
        parse("[provider litellm]\nadmin-key = env:A\nbase-url = https://llm.example.com\nmodels = gpt-4o claude-*\n"
              "rate-limit = gpt-4o requests-per-minute=5\nexpires = 1d\n");
    assert_string_equal(config->providers[0].models, "gpt-4o claude-*");
    check_refused("[provider litellm]\nadmin-key = env:A\n",
                  "f.conf:1: LiteLLM is a proxy of your own: write base-url = https://its.address");
    check_refused("[provider litellm]\nadmin-key = env:A\nbase-url = http://127.0.0.1:4000\n",
                  "f.conf:1: guests cannot reach a base-url on this host's loopback: write guest-base-url = where they find it");
    check_refused("[provider litellm]\nadmin-key = env:A\nbase-url = https://llm.example.com\n"
                  "[provider openai]\nadmin-key = env:B\n[policy *]\nproviders = openai litellm\n",
                  "f.conf:7: providers: 'openai' and 'litellm' would be the same variable in the guest: "
                  "write another environment = into one of their sections");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(where_guests_find_a_gateway),
        cmocka_unit_test(what_only_some_providers_have),
        cmocka_unit_test(a_proxy_of_ones_own),
    };
    return check_run(tests);
}
