/* vault.c: what is asked, word for word, and what is made of every kind of answer. No network. */
#define DRIVER provider_vault
#define WHO "Vault"
#define BASE "https://vault.example:8200/v1/"
#define CREDENTIAL_HEADER "X-Vault-Token: "
#include "driver-fixture.h"

#define LEASE "openai/creds/dev/ZPzBgDt8Vf7CXL3nVp0SSHWe"
#define MADE_KEY "sk-proj-abcdefghijklmnopqrstuv"
#define ERRORS(words) "{\"errors\":[\"" words "\"]}"
/* Made on 2026-11-25T10:00:00Z. */
#define TOKEN(ttl, renewable)                                                                                            \
    "{\"request_id\":\"r\",\"lease_id\":\"\",\"data\":{\"accessor\":\"a\",\"creation_time\":1795600800,\"creation_ttl\":7200,"      \
    "\"expire_time\":null,\"new\":[{}],\"renewable\":" renewable ",\"ttl\":" ttl ",\"type\":\"service\"},\"auth\":null}"
#define PRECISE                                                                                                          \
    "{\"data\":{\"creation_time\":1795600800,\"issue_time\":\"2026-11-25T05:00:00.5-05:00\",\"creation_ttl\":7200,\"ttl\":7000}}"
#define ENDLESS TOKEN("0", "false")
#define MADE(lease, data)                                                                                                \
    "{\"request_id\":\"r\",\"lease_id\":" lease ",\"renewable\":true,\"lease_duration\":3600,\"data\":" data                     \
    ",\"wrap_info\":null,\"warnings\":null,\"auth\":null,\"mount_type\":\"openai\"}"
#define GOOD MADE("\"" LEASE "\"", "{\"api_key\":\"" MADE_KEY "\",\"id\":\"key_1\"}")
/* LAST: of its last renewal. It lives an hour from then on. */
#define LOOKED(issued, last, ends, ttl, renewable)                                                                       \
    "{\"data\":{\"id\":\"" LEASE "\",\"issue_time\":\"" issued "\",\"last_renewal\":" last ",\"expire_time\":\"" ends             \
    "\",\"ttl\":" ttl ",\"renewable\":" renewable ",\"more\":1}}"
#define YOUNG LOOKED("2026-11-25T11:00:00.123456789Z", "null", "2026-11-25T12:00:00.123456789Z", "2700", "true")
#define OLD LOOKED("2026-11-25T11:00:00.123456789Z", "null", "2026-11-25T12:00:00.123456789Z", "1700", "true")
#define RENEWED(seconds) "{\"lease_id\":\"" LEASE "\",\"renewable\":true,\"lease_duration\":" seconds ",\"data\":null}"

static void begin_here(struct fixture *f, enum provider_verb verb)
{
    begin(f, verb);
    snprintf(f->settings.base_url, sizeof f->settings.base_url, "https://vault.example:8200");
    snprintf(f->settings.admin_key, sizeof f->settings.admin_key, "env:VAULT_TOKEN");
    snprintf(f->settings.environment, sizeof f->settings.environment, "OPENAI_API_KEY");
    snprintf(f->settings.vault.path, sizeof f->settings.vault.path, "openai/creds/dev");
    snprintf(f->settings.vault.field, sizeof f->settings.vault.field, "api_key");
    snprintf(f->call.key_id, sizeof f->call.key_id, LEASE);
    assert_int_equal(driver->begin(&f->settings, &f->call, NULL, &f->progress, &f->result), PROVIDER_NEXT_REQUEST);
}

/* The token is looked at first, and this is what is said of it. */
static void begin_with(struct fixture *f, enum provider_verb verb, const char *token)
{
    begin_here(f, verb);
    asks(f, HTTP_GET, BASE "auth/token/lookup-self", NULL);
    reads_on(f, 200, token);
}

/* --- requests --- */

static void test_requests(void **state)
{
    (void)state;
    struct fixture f;
    begin_with(&f, PROVIDER_MINT_KEY, ENDLESS);
    asks(&f, HTTP_GET, BASE "openai/creds/dev", NULL);
    f.settings.vault.post = true;
    asks(&f, HTTP_POST, BASE "openai/creds/dev", "{}");
    snprintf(f.settings.vault.parameters, sizeof f.settings.vault.parameters, "ttl=1h  note=a=b name=<{name}>");
    asks(&f, HTTP_POST, BASE "openai/creds/dev", "{\"ttl\":\"1h\",\"note\":\"a=b\",\"name\":\"<llmhook:h1:u1:openai:1>\"}");
    end(&f);
    begin_with(&f, PROVIDER_REVOKE_KEY, ENDLESS);
    asks(&f, HTTP_POST, BASE "sys/leases/revoke", "{\"lease_id\":\"" LEASE "\",\"sync\":true}");
    reads(&f, 204, "", OUTCOME_OK);
    end(&f);
    begin_with(&f, PROVIDER_INVENTORY, ENDLESS);
    asks(&f, HTTP_GET, BASE "sys/leases/lookup/openai/creds/dev/?list=true", NULL);
    end(&f);
    begin_with(&f, PROVIDER_RENEW_KEY, ENDLESS);
    asks(&f, HTTP_POST, BASE "sys/leases/lookup", "{\"lease_id\":\"" LEASE "\"}");
    reads_on(&f, 200, OLD);
    asks(&f, HTTP_POST, BASE "sys/leases/renew", "{\"lease_id\":\"" LEASE "\"}");
    end(&f);
}

static void test_namespace(void **state)
{
    (void)state;
    struct fixture f;
    struct error err = ERROR_INIT;
    struct http_request request = HTTP_REQUEST_INIT;
    begin_here(&f, PROVIDER_CHECK);
    assert_true(driver->build(&f.settings, &f.call, &f.progress, &f.result, &request, &err));
    assert_string_equal(request.header, "");
    assert_string_equal(request.secret_header, "X-Vault-Token: ");
    snprintf(f.settings.vault.name_space, sizeof f.settings.vault.name_space, "team/llm");
    assert_true(driver->build(&f.settings, &f.call, &f.progress, &f.result, &request, &err));
    assert_string_equal(request.header, "X-Vault-Namespace: team/llm");
    end(&f);
}

/* Whatever the method is: libcurl would ask again where a kept connection died, and one of two keys would be nobody's. */
static void test_made_once(void **state)
{
    (void)state;
    struct fixture f;
    struct error err = ERROR_INIT;
    struct http_request request = HTTP_REQUEST_INIT;
    begin_with(&f, PROVIDER_MINT_KEY, ENDLESS);
    assert_true(driver->build(&f.settings, &f.call, &f.progress, &f.result, &request, &err));
    assert_true(request.once);
    end(&f);
}

static void test_what_cannot_be_asked(void **state)
{
    (void)state;
    struct fixture f;
    static const char *const bad[] = {"", "a b", "a\"b", "a\\b", "\xc3\xa4", "a\nb"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        begin_with(&f, PROVIDER_REVOKE_KEY, ENDLESS);
        snprintf(f.call.key_id, sizeof f.call.key_id, "%s", bad[i]);
        cannot_ask(&f, "the key's lease is empty, or no word of printable characters");
        end(&f);
    }
    begin(&f, PROVIDER_FIND_KEYS);
    assert_int_equal(driver->begin(&f.settings, &f.call, NULL, &f.progress, &f.result), PROVIDER_NEXT_DONE);
    assert_int_equal(f.result.outcome, OUTCOME_UNSUPPORTED);
    check_error(f.result.error, ERROR_INVALID, "keeps no names of leases: what was never answered ends by itself");
    end(&f);
}

static void test_settings(void **state)
{
    (void)state;
    static const char *const bad[] = {"openai", "/openai/creds", "openai/creds/", "openai//dev", "openai/../sys", "a/b?c",
                                      "a/b c", "."};
    struct fixture f;
    begin_here(&f, PROVIDER_CHECK);
    struct error err = ERROR_INIT;
    assert_true(driver->check(&f.settings, &err));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(f.settings.vault.path, sizeof f.settings.vault.path, "%s", bad[i]);
        assert_false(driver->check(&f.settings, &err));
        check_error(err, ERROR_INVALID, "is no path of a secrets engine: write one like openai/creds/dev");
    }
    begin_here(&f, PROVIDER_CHECK);
    f.settings.vault.field[0] = '\0';
    assert_false(driver->check(&f.settings, &err));
    check_error(err, ERROR_INVALID, "which field is the key is not said");
    begin_here(&f, PROVIDER_CHECK);
    f.settings.environment[0] = '\0';
    assert_false(driver->check(&f.settings, &err));
    check_error(err, ERROR_INVALID, "no usual variable in the guest: write environment = NAME");
    begin_here(&f, PROVIDER_CHECK);
    f.settings.base_url[0] = '\0';
    assert_false(driver->check(&f.settings, &err));
    check_error(err, ERROR_INVALID, "which Vault is not said: write a [vault] section");
    begin_here(&f, PROVIDER_CHECK);
    snprintf(f.settings.vault.parameters, sizeof f.settings.vault.parameters, "a=b");
    assert_false(driver->check(&f.settings, &err));
    check_error(err, ERROR_INVALID, "parameters are sent with method = post");
    static const char *const wrong[] = {"a", "a=b c", "=b", "a=b =c", "a/b=c"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        begin_here(&f, PROVIDER_CHECK);
        f.settings.vault.post = true;
        snprintf(f.settings.vault.parameters, sizeof f.settings.vault.parameters, "%s", wrong[i]);
        assert_false(driver->check(&f.settings, &err));
        check_error(err, ERROR_INVALID, "are no parameters: write NAME=VALUE, separated by spaces");
    }
    end(&f);
}

/* --- minting --- */

static void test_minted(void **state)
{
    (void)state;
    struct fixture f;
    begin_with(&f, PROVIDER_MINT_KEY, ENDLESS);
    reads(&f, 200, GOOD, OUTCOME_OK);
    assert_string_equal(f.result.key_id, LEASE);
    assert_string_equal(secret_reveal(f.result.secret), MADE_KEY);
    assert_int_equal(f.result.lease_ms, 3600000);
    assert_int_equal(f.result.life_ms, 3600000);
    assert_int_equal(f.result.renew_in_ms, 1800000);
    end(&f);
}

/* Of two lives the shorter: what is made with a token ends with it. */
static void test_minted_with_a_token_that_ends(void **state)
{
    (void)state;
    struct fixture f;
    begin_with(&f, PROVIDER_MINT_KEY, TOKEN("3599", "true")); /* less than half of two hours */
    asks(&f, HTTP_POST, BASE "auth/token/renew-self", NULL);
    reads_on(&f, 200, "{\"auth\":{\"client_token\":\"hvs.x\",\"lease_duration\":7200,\"renewable\":true},\"data\":null}");
    reads(&f, 200, GOOD, OUTCOME_OK);
    assert_int_equal(f.result.life_ms, 3600000);
    end(&f);
    begin_with(&f, PROVIDER_MINT_KEY, TOKEN("1200", "true"));
    reads_on(&f, 403, ERRORS("permission denied")); /* to renew it: it goes on as it is */
    reads(&f, 200, GOOD, OUTCOME_OK);
    assert_int_equal(f.result.lease_ms, 3600000);
    assert_int_equal(f.result.life_ms, 1200000);
    assert_int_equal(f.result.renew_in_ms, 600000);
    end(&f);
    begin_with(&f, PROVIDER_MINT_KEY, TOKEN("1200", "false"));
    asks(&f, HTTP_GET, BASE "openai/creds/dev", NULL);
    end(&f);
}

static void begin_endless(struct fixture *f, enum provider_verb verb)
{
    begin_with(f, verb, ENDLESS);
}

static void test_minted_and_not_taken(void **state)
{
    (void)state;
    static const struct lost_key lost[] = {
        {"", "", "cannot be trusted"},
        {GOOD "x", "", "cannot be trusted"},
        {"{\"lease_id\":\"" LEASE "\",\"data\":{\"api_key\":\"" MADE_KEY, "", "cannot be trusted"},
        {MADE("7", "{\"api_key\":\"" MADE_KEY "\"}"), "", "field 'lease_id' is missing, or no word that can be kept"},
        {MADE("\"a b\"", "{\"api_key\":\"" MADE_KEY "\"}"), "", "field 'lease_id' is missing, or no word that can be kept"},
        {MADE("\"" LEASE "\"", "null"), LEASE, "field 'data' is missing"},
        {MADE("\"" LEASE "\"", "[]"), LEASE, "field 'data' is array, not object"},
        {MADE("\"" LEASE "\"", "{\"key\":\"" MADE_KEY "\"}"), LEASE, "field 'api_key' is missing or no string"},
        {MADE("\"" LEASE "\"", "{\"api_key\":12}"), LEASE, "field 'api_key' is missing or no string"},
        {MADE("\"" LEASE "\"", "{\"api_key\":\"short\"}"), LEASE, "field 'api_key' holds no usable key"},
        {"{\"lease_id\":\"" LEASE "\",\"lease_duration\":\"1h\",\"data\":{\"api_key\":\"" MADE_KEY "\"}}", LEASE,
         "field 'lease_duration' is string, not int"},
        {"{\"lease_id\":\"" LEASE "\",\"lease_duration\":-1,\"data\":{\"api_key\":\"" MADE_KEY "\"}}", LEASE,
         "field 'lease_duration' is no length of time"},
    };
    minted_and_lost(begin_endless, 200, lost, COUNT(lost), MADE_KEY);
}

static void test_a_path_without_leases(void **state)
{
    (void)state;
    struct fixture f;
    begin_with(&f, PROVIDER_MINT_KEY, ENDLESS);
    reads(&f, 200, MADE("\"\"", "{\"api_key\":\"" MADE_KEY "\"}"), OUTCOME_REFUSED);
    check_error(f.result.error, ERROR_INVALID, "answers at openai/creds/dev without a lease: that is no dynamic secrets engine");
    assert_null(f.result.secret);
    end(&f);
}

static void mint_fails(int status, const char *body, enum outcome outcome, const char *piece)
{
    struct fixture f;
    begin_with(&f, PROVIDER_MINT_KEY, ENDLESS);
    reads(&f, status, body, outcome);
    says(&f, piece);
    end(&f);
}

/* What Vault itself says is no doubt; what is said in front of it, or by it when it was interrupted, is. */
static void test_not_minted(void **state)
{
    (void)state;
    mint_fails(403, ERRORS("1 error occurred:\\n\\t* permission denied\\n\\n"), OUTCOME_REFUSED,
               "its policy has to allow read on openai/creds/dev");
    mint_fails(404, ERRORS("no handler for route \\\"openai/creds/dev\\\". route entry not found."), OUTCOME_REFUSED,
               "no handler for route");
    mint_fails(404, "{\"errors\":[]}", OUTCOME_REFUSED, "Vault has nothing at openai/creds/dev (404): check path and namespace");
    mint_fails(400, ERRORS("unknown role: dev"), OUTCOME_REFUSED, "Vault refused (400): unknown role: dev");
    mint_fails(500, ERRORS("1 error occurred:\\n\\t* openai: 429 Too Many Requests\\n\\n"), OUTCOME_REFUSED,
               "Vault could not make a key at openai/creds/dev (500): 1 error occurred: * openai: 429 Too Many Requests");
    mint_fails(500, ERRORS("error during forwarding RPC request"), OUTCOME_UNKNOWN, "could not do it now (500)");
    mint_fails(500, ERRORS("context deadline exceeded"), OUTCOME_UNKNOWN, "could not do it now (500)");
    mint_fails(500, ERRORS("internal error"), OUTCOME_UNKNOWN, "could not do it now (500): internal error");
    mint_fails(500, ERRORS("1 error occurred:\\n\\t* internal error\\n\\n"), OUTCOME_UNKNOWN,
               "could not do it now (500): 1 error occurred: * internal error");
    mint_fails(500, "{\"errors\":[]}", OUTCOME_UNKNOWN, "could not do it now (500)");
    mint_fails(503, ERRORS("Vault is sealed"), OUTCOME_UNREACHABLE, "Vault is sealed (503): vault operator unseal");
    mint_fails(503, "<html>", OUTCOME_UNKNOWN, "could not do it now (503)");
    mint_fails(502, "<html>", OUTCOME_UNKNOWN, "could not do it now (502)");
    mint_fails(429, ERRORS("request path \\\"x\\\": rate limit quota exceeded"), OUTCOME_THROTTLED,
               "asks for fewer requests (429)");
    mint_fails(307, "", OUTCOME_REFUSED, "redirect refused");
}

/* --- the token --- */

static void test_token_trouble(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *body;
        enum outcome outcome;
        const char *piece;
    } bad[] = {
        {403, ERRORS("permission denied"), OUTCOME_UNAUTHORIZED, "Vault does not accept the token (403)"},
        {503, ERRORS("Vault is sealed"), OUTCOME_UNREACHABLE, "Vault is sealed (503): vault operator unseal"},
        {502, "<html>", OUTCOME_UNREACHABLE, "could not do it now (502)"},
        {500, ERRORS("1 error occurred:\\n\\t* storage\\n\\n"), OUTCOME_UNREACHABLE, "could not do it now (500): 1 error"},
        {500, ERRORS("internal error"), OUTCOME_UNREACHABLE, "could not do it now (500): internal error"},
        {200, "<html>", OUTCOME_UNREACHABLE, "Vault's answer (200) cannot be trusted"},
        {200, "{\"data\":{\"ttl\":\"1h\",\"creation_time\":1}}", OUTCOME_UNREACHABLE, "field 'ttl' is string, not int"},
        {200, "{\"data\":{\"ttl\":1}}", OUTCOME_UNREACHABLE, "field 'creation_time' is missing"},
        {200, "{\"data\":{\"ttl\":1,\"creation_time\":9223372036854776}}", OUTCOME_UNREACHABLE, "'creation_time' is no time"},
        {200, "{\"data\":{\"ttl\":1,\"creation_time\":-1}}", OUTCOME_UNREACHABLE, "'creation_time' is no time"},
        {200, "{\"data\":{\"ttl\":1,\"issue_time\":\"soon\"}}", OUTCOME_UNREACHABLE, "field 'issue_time' is no time"},
        {404, "<html>", OUTCOME_REFUSED, "does not look like one of Vault"},
        {403, "<html>", OUTCOME_REFUSED, "does not look like one of Vault"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct fixture f;
        begin_here(&f, PROVIDER_MINT_KEY); /* nothing was asked for yet: nothing is in doubt */
        reads(&f, bad[i].status, bad[i].body, bad[i].outcome);
        says(&f, bad[i].piece);
        end(&f);
    }
    struct fixture f;
    begin_here(&f, PROVIDER_CHECK);
    reads(&f, 200, ENDLESS, OUTCOME_OK);
    end(&f);
}

/* --- renewing --- */

static void looks(struct fixture *f, const char *token, const char *lease)
{
    begin_with(f, PROVIDER_RENEW_KEY, token);
    reads(f, 200, lease, OUTCOME_OK);
}

static void test_not_due_yet(void **state)
{
    (void)state;
    struct fixture f;
    looks(&f, ENDLESS, YOUNG);
    assert_int_equal(f.result.life_ms, 2700000);
    assert_int_equal(f.result.renew_in_ms, 900000);
    assert_false(f.result.last_life);
    end(&f);
    looks(&f, ENDLESS, "{\"data\":{\"issue_time\":\"2026-11-25T11:00:00Z\",\"expire_time\":null,\"ttl\":0,\"renewable\":false}}");
    assert_int_equal(f.result.life_ms, 0);
    assert_int_equal(f.result.renew_in_ms, 0);
    assert_false(f.result.last_life);
    end(&f);
}

static void test_renewed(void **state)
{
    (void)state;
    struct fixture f;
    begin_with(&f, PROVIDER_RENEW_KEY, ENDLESS);
    reads_on(&f, 200, OLD);
    reads(&f, 200, RENEWED("3600"), OUTCOME_OK);
    assert_int_equal(f.result.life_ms, 3600000);
    assert_int_equal(f.result.renew_in_ms, 1800000);
    assert_false(f.result.last_life);
    end(&f);
    begin_with(&f, PROVIDER_RENEW_KEY, TOKEN("7000", "true"));
    reads_on(&f, 200, LOOKED("2026-11-25T10:00:00Z", "\"2026-11-25T11:00:00Z\"", "2026-11-25T12:00:00Z", "1700", "true"));
    reads(&f, 200, RENEWED("2700"), OUTCOME_OK); /* three quarters are enough */
    assert_false(f.result.last_life);
    end(&f);
}

static void test_last_life(void **state)
{
    (void)state;
    struct fixture f;
    begin_with(&f, PROVIDER_RENEW_KEY, ENDLESS);
    reads_on(&f, 200, OLD);
    reads(&f, 200, RENEWED("2699"), OUTCOME_OK); /* what the engine allows at most is near */
    assert_true(f.result.last_life);
    assert_int_equal(f.result.life_ms, 2699000);
    assert_int_equal(f.result.renew_in_ms, 0);
    end(&f);
    begin_with(&f, PROVIDER_RENEW_KEY, ENDLESS);
    reads_on(&f, 200, LOOKED("2026-11-25T11:00:00Z", "null", "2026-11-25T12:00:00Z", "0", "true"));
    reads(&f, 200, RENEWED("0"), OUTCOME_OK); /* which is no life without end */
    assert_true(f.result.last_life);
    assert_int_equal(f.result.life_ms, 1000);
    end(&f);
    looks(&f, ENDLESS, LOOKED("2026-11-25T11:00:00Z", "null", "2026-11-25T12:00:00Z", "1700", "false"));
    assert_true(f.result.last_life);
    end(&f);
    /* It should have ended, and Vault has not come to that, or tries in vain: it is not renewed, and is no riddle. */
    looks(&f, ENDLESS, LOOKED("2026-11-25T11:00:00Z", "null", "2026-11-25T12:00:00Z", "-90", "true"));
    assert_true(f.result.last_life);
    assert_int_equal(f.result.life_ms, 30000);
    end(&f);
    /* One that was made before the token was: it hangs on another. */
    looks(&f, TOKEN("7000", "true"), LOOKED("2026-11-25T09:59:59.9Z", "\"2026-11-25T11:00:00Z\"", "2026-11-25T12:00:00Z", "3000",
                                            "true"));
    assert_true(f.result.last_life);
    end(&f);
    looks(&f, PRECISE, LOOKED("2026-11-25T10:00:00.4Z", "\"2026-11-25T11:00:00Z\"", "2026-11-25T12:00:00Z", "3000", "true"));
    assert_true(f.result.last_life);
    end(&f);
    looks(&f, PRECISE, LOOKED("2026-11-25T10:00:00.5Z", "\"2026-11-25T11:00:00Z\"", "2026-11-25T12:00:00Z", "3000", "true"));
    assert_false(f.result.last_life);
    end(&f);
}

/* With a token that ends a newer key would end as soon: only a newer token helps. */
static void test_the_token_ends(void **state)
{
    (void)state;
    struct fixture f;
    begin_with(&f, PROVIDER_RENEW_KEY, TOKEN("600", "false"));
    reads(&f, 200, OLD, OUTCOME_REFUSED);
    check_error(f.result.error, ERROR_DENIED, "the token that Vault is asked with ends in 600 s and cannot be renewed");
    end(&f);
    /* Whole seconds are told: in its last one it has none left, and is not without an end for that. */
    begin_with(&f, PROVIDER_RENEW_KEY,
               "{\"data\":{\"creation_time\":1795600800,\"creation_ttl\":7200,\"expire_time\":\"2026-11-25T12:00:00.4Z\","
               "\"renewable\":false,\"ttl\":0}}");
    reads(&f, 200, OLD, OUTCOME_REFUSED);
    check_error(f.result.error, ERROR_DENIED, "the token that Vault is asked with ends in 1 s and cannot be renewed");
    end(&f);
    begin_with(&f, PROVIDER_RENEW_KEY, TOKEN("600", "true"));
    reads_on(&f, 200, "{\"auth\":{\"lease_duration\":7200}}");
    reads_on(&f, 200, OLD);
    end(&f);
    begin_with(&f, PROVIDER_RENEW_KEY, TOKEN("600", "true"));
    reads_on(&f, 200, "{\"auth\":{\"lease_duration\":600}}"); /* as long as it may ever live */
    reads(&f, 200, OLD, OUTCOME_REFUSED);
    end(&f);
}

static void test_renewal_trouble(void **state)
{
    (void)state;
    struct fixture f;
    begin_with(&f, PROVIDER_RENEW_KEY, ENDLESS);
    reads(&f, 400, ERRORS("invalid lease"), OUTCOME_GONE);
    check_error(f.result.error, ERROR_NOT_FOUND, "Vault has no such lease any more: " LEASE);
    end(&f);
    begin_with(&f, PROVIDER_RENEW_KEY, ENDLESS);
    reads_on(&f, 200, OLD);
    reads(&f, 400, ERRORS("lease expired"), OUTCOME_GONE);
    end(&f);
    begin_with(&f, PROVIDER_RENEW_KEY, ENDLESS);
    reads(&f, 403, ERRORS("permission denied"), OUTCOME_REFUSED);
    check_error(f.result.error, ERROR_DENIED, "its policy has to allow update on sys/leases/lookup");
    end(&f);
    begin_with(&f, PROVIDER_RENEW_KEY, ENDLESS);
    reads(&f, 404, "", OUTCOME_REFUSED); /* a wrong address is no lease that is gone */
    end(&f);
    begin_with(&f, PROVIDER_RENEW_KEY, ENDLESS);
    reads(&f, 200, "{\"data\":{\"issue_time\":7,\"expire_time\":null,\"ttl\":0}}", OUTCOME_UNREACHABLE);
    check_error(f.result.error, ERROR_PROTOCOL, "field 'issue_time' is int, not string");
    end(&f);
    begin_with(&f, PROVIDER_RENEW_KEY, ENDLESS);
    reads_on(&f, 200, OLD);
    reads(&f, 200, "{}", OUTCOME_UNREACHABLE);
    end(&f);
}

/* --- revoking and listing --- */

static void test_revoked(void **state)
{
    (void)state;
    struct fixture f;
    begin_with(&f, PROVIDER_REVOKE_KEY, ENDLESS);
    reads(&f, 403, ERRORS("permission denied"), OUTCOME_REFUSED);
    check_error(f.result.error, ERROR_DENIED, "its policy has to allow update on sys/leases/revoke");
    end(&f);
    begin_with(&f, PROVIDER_REVOKE_KEY, ENDLESS);
    reads(&f, 400, ERRORS("failed to revoke entry: resp: (*logical.Response)(nil) err: upstream"), OUTCOME_REFUSED);
    end(&f);
    begin_with(&f, PROVIDER_REVOKE_KEY, ENDLESS);
    reads(&f, 500, ERRORS("internal error"), OUTCOME_UNREACHABLE);
    end(&f);
}

static void test_listed(void **state)
{
    (void)state;
    struct fixture f;
    begin_with(&f, PROVIDER_INVENTORY, ENDLESS);
    reads(&f, 200, "{\"data\":{\"keys\":[\"ZPzBgDt8Vf7CXL3nVp0SSHWe\",\"below/\",\"abc.nsid\"],\"new\":1}}", OUTCOME_OK);
    assert_int_equal(f.result.items_count, 2);
    assert_string_equal(f.result.items[0].id, LEASE);
    assert_string_equal(f.result.items[0].container_id, PROVIDER_ACCOUNT);
    assert_string_equal(f.result.items[1].id, "openai/creds/dev/abc.nsid");
    end(&f);
    begin_with(&f, PROVIDER_INVENTORY, ENDLESS);
    reads(&f, 404, "{\"errors\":[]}", OUTCOME_OK); /* so an empty list is said */
    assert_int_equal(f.result.items_count, 0);
    end(&f);
    begin_with(&f, PROVIDER_INVENTORY, ENDLESS);
    reads(&f, 404, "<html>", OUTCOME_REFUSED);
    end(&f);
    begin_with(&f, PROVIDER_INVENTORY, ENDLESS);
    reads(&f, 403, ERRORS("permission denied"), OUTCOME_UNSUPPORTED);
    check_error(f.result.error, ERROR_DENIED, "its policy has to allow list and sudo on sys/leases/lookup/openai/creds/dev/*");
    end(&f);
    static const char *const bad[] = {"{\"data\":{}}", "{\"data\":{\"keys\":[7]}}", "{\"data\":{\"keys\":[\"\"]}}",
                                      "{\"data\":{\"keys\":[\"a b\"]}}", "{\"data\":{\"keys\":\"a\"}}",
                                      "{\"data\":{\"keys\":[\"a\""};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        begin_with(&f, PROVIDER_INVENTORY, ENDLESS);
        reads(&f, 200, bad[i], OUTCOME_UNREACHABLE);
        end(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests), cmocka_unit_test(test_namespace), cmocka_unit_test(test_made_once),
        cmocka_unit_test(test_what_cannot_be_asked),
        cmocka_unit_test(test_settings), cmocka_unit_test(test_minted), cmocka_unit_test(test_minted_with_a_token_that_ends),
        cmocka_unit_test(test_minted_and_not_taken), cmocka_unit_test(test_a_path_without_leases),
        cmocka_unit_test(test_not_minted), cmocka_unit_test(test_token_trouble), cmocka_unit_test(test_not_due_yet),
        cmocka_unit_test(test_renewed), cmocka_unit_test(test_last_life), cmocka_unit_test(test_the_token_ends),
        cmocka_unit_test(test_renewal_trouble), cmocka_unit_test(test_revoked), cmocka_unit_test(test_listed),
    };
    return check_run(tests);
}
