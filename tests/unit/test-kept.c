/* kept.c: a provider's section comes back from the ledger as it was in the configuration, of every type and with everything
 * that the type takes. */
#include "config-fixture.h"

#include "providers/kept.h"

#define VAULT "[vault]\naddress = https://vault.lan:8200\ntoken = env:T\n"

/* The section that is kept is the first of the file. */
static const struct {
    const char *type, *section;
} samples[] = {
    {"openai", "[provider main]\ntype = openai\nadmin-key = vault:secret/llm#openai\nbase-url = https://api.lan/v1\n"
               "guest-base-url = http://10.0.0.1:8080/v1\nca-file = /etc/ssl/lan.pem\nproject = per-owner\nenvironment = "
               "KEY_OF_MINE\n"
               "timeout = 7s\nrate-limit = gpt-4o requests-per-minute=5 tokens-per-minute=1000\nrate-limit = o1 "
               "requests-per-minute=1\n" VAULT},
    {"openai", "[provider openai]\nadmin-key = env:A\n"},
    {"anthropic", "[provider main]\ntype = anthropic\nadmin-key = credential:a\nproject = wrkspc_1\npool-low = 3\ntimeout = "
                  "9s\n"},
    {"anthropic-federation", "[provider main]\ntype = anthropic-federation\nissuer = https://host.lan\naudience = https://a.lan\n"
                             "federation-rule = fdrl_1\norganization = 00000000-0000-4000-8000-000000000001\n"
                             "service-account = svac_1\nworkspace = wrkspc_1\ntoken-lifetime = 30min\nexchange = host\n"
                             "ca-file = /etc/ssl/lan.pem\ntimeout = 9s\n"},
    {"openrouter", "[provider main]\ntype = openrouter\nadmin-key = sops:/etc/keys.yaml#or\nexpires = 90d\nenvironment = "
                   "ROUTER_KEY\n"},
    {"litellm", "[provider main]\ntype = litellm\nadmin-key = file:/etc/master\nbase-url = http://127.0.0.1:4000/proxy\n"
                "guest-base-url = http://10.0.0.1:4000\nmodels = gpt-4o claude-*\nexpires = 1d\n"
                "rate-limit = gpt-4o requests-per-minute=5\n"},
    {"vault", "[provider main]\ntype = vault\npath = openai/creds/dev\nfield = api_key\nenvironment = OPENAI_API_KEY\nmethod = "
              "post\n"
              "parameters = ttl=1h scope=\"a\\b\"\n[vault]\naddress = https://vault.lan:8200\nnamespace = team/a\ntoken = env:T\n"
              "ca-file = /etc/ssl/vault.pem\n"},
    {"vault", "[provider main]\ntype = vault\npath = openai/creds/dev\nfield = api_key\nenvironment = OPENAI_API_KEY\n"
              "admin-key = file:/etc/token\nbase-url = https://bao.lan:8200\nnamespace = team\nca-file = /etc/ssl/bao.pem\n"},
    {"exec", "[provider main]\ntype = exec\nprogram = /usr/libexec/keys --account \"a b\"\ncan = suspend usage\nadmin-key = "
             "exec:/bin/key\n"
             "environment = OTHER_KEY\nproject = per-domain\ntimeout = 30s\n"},
    {"static", "[provider main]\ntype = static\nkey = file:/etc/key\nenvironment = SHARED_KEY\nguest-base-url = "
               "http://10.0.0.1:1\n"},
};
enum { SAMPLES = sizeof samples / sizeof samples[0] };

/* Byte by byte, so that a setting that comes with a later version is not forgotten. Behind the end of some texts there is
 * what stood there before them: these are compared as texts. */
static void compare(struct provider_settings *back, struct provider_settings *settings, const char *text)
{
    assert_int_equal(back->rates_count, settings->rates_count);
    for (unsigned i = 0; i < back->rates_count; i++) {
        assert_string_equal(back->rates[i].model, settings->rates[i].model);
        assert_int_equal(back->rates[i].requests_per_minute, settings->rates[i].requests_per_minute);
        assert_int_equal(back->rates[i].tokens_per_minute, settings->rates[i].tokens_per_minute);
    }
    assert_string_equal(back->project, settings->project);
    memset(back->rates, 0, sizeof back->rates);
    memset(settings->rates, 0, sizeof settings->rates);
    memset(back->project, 0, sizeof back->project);
    memset(settings->project, 0, sizeof settings->project);
    for (size_t at = 0; at < sizeof *back; at++)
        if (((const char *)back)[at] != ((const char *)settings)[at])
            fail_msg("the settings differ at byte %zu: %s", at, text);
}

static void all_of_it_comes_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLES; i++) {
        cleanup_config struct config *config = parse(samples[i].section);
        struct provider_settings *settings = &config->providers[0];
        struct provider_settings back;
        struct error err = ERROR_INIT;
        char text[KEPT_SIZE];
        assert_string_equal(settings->type, samples[i].type);
        assert_true(kept_write(settings, text));
        assert_true(kept_read(settings->name, text, &back, &err));
        back.admin_key_blocks = settings->admin_key_blocks;
        if (!provider_settings_check(&back, &err))
            fail_msg("%s could not be opened again: %s", samples[i].type, err.text);
        compare(&back, settings, text);
    }
}

static void there_is_a_sample_of_every_type(void **state)
{
    (void)state;
    for (const char *const *type = provider_types(); *type; type++) {
        size_t i = 0;
        while (i < SAMPLES && strcmp(samples[i].type, *type) != 0)
            i++;
        if (i == SAMPLES)
            fail_msg("none of %s", *type);
    }
}

/* As long as anything can be, and twice as long in JSON. */
static void the_longest_section_fits(void **state)
{
    (void)state;
    struct provider_settings longest, back;
    struct error err = ERROR_INIT;
    char text[KEPT_SIZE];
    memset(&longest, 0, sizeof longest);
    snprintf(longest.name, sizeof longest.name, "main");
    snprintf(longest.type, sizeof longest.type, "exec");
    char *const texts[] = {longest.base_url, longest.guest_base_url, longest.ca_file, longest.admin_key, longest.program,
                           longest.models, longest.federation.issuer, longest.federation.audience};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        memset(texts[i], '"', PROVIDER_URL_SIZE - 1);
    longest.rates_count = PROVIDER_RATES_MAX;
    for (size_t i = 0; i < PROVIDER_RATES_MAX; i++) {
        memset(longest.rates[i].model, '\\', sizeof longest.rates[i].model - 1);
        longest.rates[i].requests_per_minute = longest.rates[i].tokens_per_minute = INT64_MAX;
    }
    assert_true(kept_write(&longest, text));
    assert_true(kept_read("main", text, &back, &err));
    assert_memory_equal(&back, &longest, sizeof back);
}

/* What an earlier version kept. */
static void a_shorter_text_is_read(void **state)
{
    (void)state;
    struct provider_settings back;
    struct error err = ERROR_INIT;
    assert_true(kept_read("main", "{\"type\":\"openai\",\"admin_key\":\"env:A\",\"can\":0,\"timeout_ms\":5000}", &back, &err));
    assert_string_equal(back.name, "main");
    assert_string_equal(back.admin_key, "env:A");
    assert_int_equal(back.timeout_ms, 5000);
    assert_int_equal(back.rates_count, 0);
}

static void what_cannot_be_read(void **state)
{
    (void)state;
    static const struct {
        const char *text, *piece;
    } bad[] = {
        {"", "not JSON"},
        {"{\"rates\":7}", "field 'rates' is int, not array"},
        {"{\"rates\":[7]}", "not an object where one with 'model' is expected"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct provider_settings back;
        struct error err = ERROR_INIT;
        assert_false(kept_read("main", bad[i].text, &back, &err));
        check_error(err, ERROR_PROTOCOL, bad[i].piece);
    }
    struct provider_settings back;
    struct error err = ERROR_INIT;
    char many[4096] = "{\"rates\":[{\"model\":\"m\"}";
    for (int i = 0; i < PROVIDER_RATES_MAX; i++)
        strcat(many, ",{\"model\":\"m\"}");
    strcat(many, "]}");
    assert_false(kept_read("main", many, &back, &err));
    check_error(err, ERROR_LIMIT, "too many rates");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_it_comes_back),
        cmocka_unit_test(there_is_a_sample_of_every_type),
        cmocka_unit_test(the_longest_section_fits),
        cmocka_unit_test(a_shorter_text_is_read),
        cmocka_unit_test(what_cannot_be_read),
    };
    return check_run(tests);
}
