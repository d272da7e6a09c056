/* The configuration of what differs from provider to provider, and of where keys are found. */
#include "config-fixture.h"

static void the_hosts_own_key(void **state)
{
    static const struct refused bad[] = {
        {"[provider host]\ntype = static\nenvironment = K\n",
         "f.conf:1: this provider has no key: write key = credential:NAME, env:NAME or file:/PATH below it"},
        {"[provider host]\ntype = static\nenvironment = K\nadmin-key = env:A\nkey = env:A\n",
         "f.conf:4: admin-key: a provider of type static has key instead"},
        {"[provider openai]\nadmin-key = env:A\nkey = env:A\n", "f.conf:3: key: a provider of type openai has admin-key instead"},
        {"[provider host]\ntype = static\nkey = env:A\n",
         "f.conf:1: a static key has no usual variable in the guest: write environment = OPENAI_API_KEY, or what it is called "
         "there"},
        {"[provider host]\ntype = static\nkey = env:A\nenvironment = K\nbase-url = https://a.example\n",
         "f.conf:1: nobody is asked for a static key: leave out base-url and ca-file"},
    };
    (void)state;
    check_all_refused(bad, COUNT(bad));
    cleanup_config struct config *config = parse("[provider host]\ntype = static\nkey = env:A\nenvironment = K\n");
    assert_string_equal(config_provider(config, "host")->admin_key, "env:A");
}

#define PROGRAM "[provider mine]\ntype = exec\nenvironment = K\n"

static void programs(void **state)
{
    static const struct refused bad[] = {
        {PROGRAM, "f.conf:1: there is no program: write program = /PATH below it, see llmhook-provider(7)"},
        {"[provider mine]\ntype = exec\nprogram = /a\n", "f.conf:1: a program's keys have no usual variable in the guest..."},
        {PROGRAM "program = /a\ncan = fly\n",
         "f.conf:5: can: 'fly' is nothing that a program can do more: write suspend, limit, change-limit or usage"},
        {PROGRAM "program = /a\nrate-limit = m tokens-per-minute=1\n",
         "f.conf:5: rate-limit: it does nothing for providers of type exec: take it out"},
        {"[provider openai]\nadmin-key = env:A\nprogram = /a\n", "f.conf:1: program and can are for type = exec: leave them out"},
    };
    (void)state;
    check_all_refused(bad, COUNT(bad));
    cleanup_config struct config *config = parse(PROGRAM "program = /a b  c\ncan = suspend usage\n");
    assert_string_equal(config_provider(config, "mine")->program, "/a b  c");
    assert_string_equal(config_provider(config, "mine")->admin_key, "");
    assert_int_equal(config_provider(config, "mine")->can, PROVIDER_CAN_SUSPEND | PROVIDER_CAN_USAGE);
}

#define VAULT "[vault]\naddress = https://v.example:8200/\n"

static void where_vault_is(void **state)
{
    static const struct refused bad[] = {
        {"[vault]\ntoken = env:A\n", "f.conf:1: there is no address: write address = https://HOST:8200 below it"},
        {VAULT, "f.conf:1: write one of token, token-file, or role-id with secret-id"},
        {VAULT "token = env:A\ntoken-file = /a\n", "f.conf:1: write one of token, token-file, or role-id with secret-id"},
        {VAULT "role-id = env:A\n", "f.conf:1: an AppRole needs both: write role-id = REFERENCE and secret-id = REFERENCE"},
        {VAULT "token = vault:a/b#c\n", "f.conf:3: token: what opens Vault cannot be in it: write file:/PATH, env:NAME or "
                                        "credential:NAME"},
        {VAULT "token = hvs.canary\n", "f.conf:3: token: this is not a reference to a credential: ..."},
        {VAULT "token = env:A\nkv-version = 3\n", "f.conf:4: kv-version: '3' is not a version: write auto, 1 or 2"},
        {VAULT "token = env:A\nnamespace = a b\n", "f.conf:4: namespace: 'a b' is not a namespace: write it like team/llm"},
        {"[vault]\naddress = http://v.example:8200\ntoken = env:A\n",
         "f.conf:2: address: the URL for v.example:8200 is http: use https, for an admin key is sent there"},
        {"[provider openai]\nadmin-key = vault:secret/llm#key\n",
         "f.conf:2: admin-key: it is in Vault, and which one is not said: write a [vault] section"},
        {"[provider anthropic]\ntype = anthropic-federation\nworkspace = wrkspc_1\n"
         "service-account = per-domain\nadmin-key = vault:secret/llm#key\n",
         "f.conf:5: admin-key: it is in Vault, and which one is not said: write a [vault] section"},
        {"[provider anthropic]\ntype = anthropic-federation\nworkspace = wrkspc_1\nservice-account = per-domain\nkey = env:A\n",
         "f.conf:5: key: a provider of type anthropic-federation has admin-key instead"},
        {"[provider openai]\nadmin-key = exec:pass\n", "f.conf:2: admin-key: after exec: comes a program's absolute path..."},
    };
    (void)state;
    check_all_refused(bad, COUNT(bad));
    cleanup_config struct config *config = parse(VAULT "token-file = /run/token\nkv-version = 2\nnamespace = team/llm\n"
                                                 "[provider openai]\nadmin-key = vault:secret/llm#key\n"
                                                 "[provider other]\ntype = openai\nadmin-key = env:A\n");
    assert_string_equal(config->vault.address, "https://v.example:8200");
    assert_string_equal(config->vault.token, "file:/run/token");
    assert_string_equal(config->vault.approle_mount, "approle");
    assert_string_equal(config->vault.name_space, "team/llm");
    assert_int_equal(config->vault.kv_version, 2);
    assert_true(config_provider(config, "openai")->admin_key_blocks);
    assert_false(config_provider(config, "other")->admin_key_blocks);
}

#define ENGINE "[provider mine]\ntype = vault\npath = openai/creds/dev\nfield = api_key\nenvironment = OPENAI_API_KEY\n"

static void where_vault_makes_keys(void **state)
{
    static const struct refused bad[] = {
        {ENGINE, "f.conf:1: which Vault is not said: write a [vault] section, or base-url = https://HOST:8200 and admin-key = "
                 "REFERENCE..."},
        {ENGINE "admin-key = env:A\n", "f.conf:1: which Vault is not said: ..."},
        {VAULT "token = env:A\n" ENGINE "base-url = https://w.example:8200\n",
         "f.conf:9: base-url: without an admin-key here it is what [vault] says: write it there, or admin-key = REFERENCE, of a "
         "token, as well"},
        {VAULT "token = env:A\n" ENGINE "namespace = team/llm\n",
         "f.conf:9: namespace: without an admin-key here it is what [vault] says..."},
        {VAULT "token = vault-token:\n", "f.conf:3: token: what opens Vault cannot be in it..."},
        {ENGINE "base-url = https://v.example:8200\nadmin-key = vault-token:https://v.example:8200\n",
         "f.conf:7: admin-key: it is in Vault, and which one is not said..."},
        {VAULT "token = env:A\n" ENGINE "method = put\n", "f.conf:9: method: 'put' is neither: write get or post"},
        {VAULT "token = env:A\n" ENGINE "method = post\nparameters = ttl 1h\n",
         "f.conf:4: 'ttl 1h' are no parameters: write NAME=VALUE, separated by spaces"},
        {VAULT "token = env:A\n" ENGINE "project = per-owner\n",
         "f.conf:9: project: it does nothing for providers of type vault: take it out"},
        {"[provider openai]\nadmin-key = env:A\npath = a/b\n",
         "f.conf:3: path: it does nothing for providers of type openai: take it out"},
    };
    (void)state;
    check_all_refused(bad, COUNT(bad));
    /* All of it is what [vault] says, wherever that stands. */
    cleanup_config struct config *config = parse(ENGINE VAULT "role-id = env:A\nsecret-id = env:B\nnamespace = team/llm\nca-file "
                                                              "= /ca\n");
    const struct provider_settings *provider = config_provider(config, "mine");
    assert_string_equal(provider->base_url, "https://v.example:8200");
    assert_string_equal(provider->admin_key, CREDENTIAL_VAULT_TOKEN "https://v.example:8200");
    assert_true(provider->admin_key_blocks);
    assert_string_equal(provider->ca_file, "/ca");
    assert_string_equal(provider->vault.name_space, "team/llm");
    assert_string_equal(provider->vault.path, "openai/creds/dev");
    assert_string_equal(provider->vault.field, "api_key");
    /* Or all is its own. */
    cleanup_config struct config *own = parse(VAULT "token = env:A\nnamespace = team/llm\nca-file = /ca\n" ENGINE
                                              "base-url = https://w.example/\nadmin-key = env:B\nmethod = post\nparameters = "
                                              "ttl=1h a=b\n");
    provider = config_provider(own, "mine");
    assert_string_equal(provider->base_url, "https://w.example");
    assert_string_equal(provider->admin_key, "env:B");
    assert_string_equal(provider->ca_file, "");
    assert_string_equal(provider->vault.name_space, "");
    assert_true(provider->vault.post);
    assert_string_equal(provider->vault.parameters, "ttl=1h a=b");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_hosts_own_key),
        cmocka_unit_test(programs),
        cmocka_unit_test(where_vault_is),
        cmocka_unit_test(where_vault_makes_keys),
    };
    return check_run(tests);
}
