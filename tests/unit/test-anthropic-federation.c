/* The driver that signs by itself: what it signs and when, what it asks where the host exchanges, what answers mean, and
 * what it wants to be entered at Anthropic. What others make of its tokens is in tests/contract/. */
#include "federation-fixture.h"

#include "providers/jwt.h"

#include <openssl/evp.h>

#define NOW INT64_C(1796000000)
#define KEY_NAME "llmhook:h1:3b1c7d52-5a0e-4f0e-9a55-0123456789ab:claude:g7"

static struct secret *key; /* this host's own, for the whole of the tests */

static int make_key(void **state)
{
    struct error err = ERROR_INIT;
    (void)state;
    return secret_init(&err) && jwt_key_new(&key, &err) ? 0 : -1;
}

static int free_key(void **state)
{
    (void)state;
    secret_free(key);
    return 0;
}

static void begin_here(struct fixture *f, enum provider_verb verb)
{
    begin(f, verb);
    f->settings = (struct provider_settings){
        .name = "claude",
        .type = "anthropic-federation",
        .federation = {.rule = "fdrl_01abc", .organization = "00000000-0000-4000-8000-000000000001",
                       .service_account = "svac_01abc", .workspace = "wrkspc_01abc", .lifetime_ms = 3600 * 1000},
    };
    f->call = (struct provider_call){.verb = verb, .key_name = KEY_NAME, .key_id = "jwt_x", .wall = NOW * 1000 + 999};
}

static enum provider_next starts(struct fixture *f)
{
    return driver->begin(&f->settings, &f->call, key, &f->progress, &f->result);
}

/* Released by the caller. */
static struct json_object *claims_of(const struct secret *token)
{
    char text[4096], *dot;
    unsigned char bytes[4096];
    struct json_object *object = NULL;
    assert_non_null(token);
    snprintf(text, sizeof text, "%s", strchr(secret_reveal(token), '.') + 1);
    dot = strchr(text, '.');
    memset(dot, '\0', sizeof text - (size_t)(dot - text));
    size_t length = strlen(text);
    for (char *c = text; *c; c++)
        *c = *c == '-' ? '+' : *c == '_' ? '/' : *c;
    while (strlen(text) % 4)
        strcat(text, "=");
    int count = EVP_DecodeBlock(bytes, (unsigned char *)text, (int)strlen(text)) - (int)((4 - length % 4) % 4);
    assert_true(json_parse((char *)bytes, (size_t)count, &object, NULL));
    return object;
}

static void claim_is(struct json_object *claims, const char *name, const char *wanted)
{
    char text[512];
    json_optional_string(claims, name, "(none)", text, sizeof text);
    assert_string_equal(text, wanted);
}

static void what_is_signed(void **state)
{
    (void)state;
    struct fixture f;
    begin_here(&f, PROVIDER_MINT_KEY);
    assert_int_equal(starts(&f), PROVIDER_NEXT_DONE);
    assert_int_equal(f.result.outcome, OUTCOME_OK);
    struct json_object *claims = claims_of(f.result.secret);
    claim_is(claims, "iss", "https://h1.llmhook.invalid");
    claim_is(claims, "sub", "llmhook:h1:3b1c7d52-5a0e-4f0e-9a55-0123456789ab");
    claim_is(claims, "aud", "https://api.anthropic.com");
    claim_is(claims, "llmhook_key", KEY_NAME);
    assert_int_equal(json_optional_integer(claims, "iat", 0), NOW);
    assert_int_equal(json_optional_integer(claims, "exp", 0), NOW + 3600);
    assert_int_equal(f.result.life_ms, 3600 * 1000);
    /* Each program in the guest exchanges it for itself, and one with a jti is taken once. */
    assert_false(json_has(claims, "jti"));
    assert_memory_equal(f.result.key_id, "jwt_", 4);
    assert_true(provider_id_valid(f.result.key_id));
    json_object_put(claims);
    end(&f);
}

static void settings_decide(void **state)
{
    (void)state;
    struct fixture f;
    begin_here(&f, PROVIDER_MINT_KEY);
    snprintf(f.settings.federation.issuer, sizeof f.settings.federation.issuer, "https://id.example/vms");
    snprintf(f.settings.federation.audience, sizeof f.settings.federation.audience, "vms");
    f.settings.federation.lifetime_ms = 0;
    assert_int_equal(starts(&f), PROVIDER_NEXT_DONE);
    struct json_object *claims = claims_of(f.result.secret);
    claim_is(claims, "iss", "https://id.example/vms");
    claim_is(claims, "aud", "vms");
    assert_int_equal(json_optional_integer(claims, "exp", 0), NOW + FEDERATION_DEFAULT_LIFETIME_MS / 1000);
    json_object_put(claims);
    end(&f);
}

static void nothing_is_signed_without_what_is_needed(void **state)
{
    (void)state;
    struct fixture f;
    begin_here(&f, PROVIDER_MINT_KEY);
    f.settings.federation.service_account[0] = '\0';
    assert_int_equal(starts(&f), PROVIDER_NEXT_DONE);
    assert_int_equal(f.result.outcome, OUTCOME_REFUSED);
    check_error(f.result.error, ERROR_INVALID, "service-account is not set for claude: llmhook federation apply");
    assert_null(f.result.secret);
    end(&f);

    begin_here(&f, PROVIDER_MINT_KEY);
    snprintf(f.call.key_name, sizeof f.call.key_name, "llmhook:h1");
    assert_int_equal(starts(&f), PROVIDER_NEXT_DONE);
    assert_int_equal(f.result.outcome, OUTCOME_REFUSED);
    check_error(f.result.error, ERROR_INVALID, "has not the form of ours");
    end(&f);

    begin_here(&f, PROVIDER_MINT_KEY);
    struct secret *other = secret_new("no key", 6);
    assert_int_equal(driver->begin(&f.settings, &f.call, other, &f.progress, &f.result), PROVIDER_NEXT_DONE);
    secret_free(other);
    assert_int_equal(f.result.outcome, OUTCOME_REFUSED);
    check_error(f.result.error, ERROR_INVALID, "no private key of the curve P-256");
    end(&f);
}

/* Nobody is asked for any of these, and none is ever in doubt. */
static void other_verbs_are_answered_here(void **state)
{
    (void)state;
    const struct {
        enum provider_verb verb;
        enum outcome outcome;
    } rows[] = {{PROVIDER_CHECK, OUTCOME_OK},       {PROVIDER_FIND_KEYS, OUTCOME_OK},
                {PROVIDER_INVENTORY, OUTCOME_OK},   {PROVIDER_REVOKE_KEY, OUTCOME_OK},
                {PROVIDER_SUSPEND_KEY, OUTCOME_UNSUPPORTED}, {PROVIDER_CREATE_CONTAINER, OUTCOME_UNSUPPORTED}};
    for (size_t i = 0; i < COUNT(rows); i++)
        for (int on_host = 0; on_host < 2; on_host++) {
            struct fixture f;
            begin_here(&f, rows[i].verb);
            f.settings.federation.exchange_on_host = on_host;
            assert_int_equal(starts(&f), PROVIDER_NEXT_DONE);
            assert_int_equal(f.result.outcome, rows[i].outcome);
            assert_int_equal(f.result.items_count, 0);
            end(&f);
        }
}

/* --- exchanged on the host --- */

static void begin_exchange(struct fixture *f)
{
    begin_here(f, PROVIDER_MINT_KEY);
    f->settings.federation.exchange_on_host = true;
    assert_int_equal(starts(f), PROVIDER_NEXT_REQUEST);
    assert_true(f->progress.unchanged); /* an answer that is lost leaves no doubt */
}

static void what_the_exchange_asks(void **state)
{
    (void)state;
    struct fixture f;
    begin_exchange(&f);
    struct json_object *claims = claims_of(f.result.secret), *body = NULL;
    assert_true(json_has(claims, "jti"));
    struct http_request request = HTTP_REQUEST_INIT;
    struct error err = ERROR_INIT;
    request.secret = key;
    assert_true(driver->build(&f.settings, &f.call, &f.progress, &f.result, &request, &err));
    assert_null(request.secret); /* the signing key is sent nowhere */
    assert_int_equal(request.method, HTTP_POST);
    assert_string_equal(request.url, "https://api.anthropic.com/v1/oauth/token");
    assert_string_equal(request.headers[1], "anthropic-beta: oauth-2025-04-20,oidc-federation-2026-04-01");
    assert_true(json_parse(buffer_text(&request.body), request.body.length, &body, &err));
    claim_is(body, "grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
    claim_is(body, "federation_rule_id", "fdrl_01abc");
    claim_is(body, "organization_id", "00000000-0000-4000-8000-000000000001");
    claim_is(body, "service_account_id", "svac_01abc");
    claim_is(body, "workspace_id", "wrkspc_01abc");
    char assertion[2048];
    assert_true(json_get_string(body, "assertion", assertion, sizeof assertion, &err));
    assert_string_equal(assertion, secret_reveal(f.result.secret));
    assert_null(strstr(buffer_text(&request.body), "PRIVATE"));
    json_object_put(body);
    json_object_put(claims);
    buffer_clear(&request.body);
    end(&f);
}

#define TOKEN "sk-ant-oat01-0123456789abcdefghij"
#define ACCESS(rest) "{\"access_token\":\"" TOKEN "\"" rest "}"

static void a_token_comes_of_it(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        ACCESS(",\"token_type\":\"Bearer\",\"expires_in\":3600,\"scope\":\"workspace:inference\""),
        ACCESS(",\"expires_in\":3600"),
        ACCESS(",\"token_type\":\"bearer\",\"expires_in\":3600.5,\"refresh_token\":null,\"new\":{}"),
    };
    for (size_t i = 0; i < COUNT(bodies); i++) {
        struct fixture f;
        begin_exchange(&f);
        reads(&f, 200, bodies[i], OUTCOME_OK);
        assert_string_equal(secret_reveal(f.result.secret), TOKEN);
        assert_int_equal(f.result.life_ms, 3600 * 1000);
        end(&f);
    }
}

/* Answers that a success may have, and that are none. */
static void what_is_no_token_is_not_taken(void **state)
{
    (void)state;
    const struct {
        const char *body, *piece;
        enum outcome outcome;
    } rows[] = {
        {"", "cannot be trusted", OUTCOME_UNREACHABLE},
        {"[]", "cannot be trusted", OUTCOME_UNREACHABLE},
        {"{\"access_token\":\"" TOKEN "\",\"expires_in\":3600", "cannot be trusted", OUTCOME_UNREACHABLE},
        {"{\"expires_in\":3600}", "field 'access_token' is missing", OUTCOME_UNREACHABLE},
        {"{\"expires_in\":3600,\"access_token\":null}", "field 'access_token' is missing", OUTCOME_UNREACHABLE},
        {"{\"expires_in\":3600,\"access_token\":7}", "field 'access_token' is missing", OUTCOME_UNREACHABLE},
        {"{\"expires_in\":3600,\"access_token\":\"short\"}", "holds what no token has", OUTCOME_UNREACHABLE},
        {"{\"expires_in\":3600,\"access_token\":\"0123456789abcdef'$(reboot)'\"}", "holds what no token has",
         OUTCOME_UNREACHABLE},
        {"{\"expires_in\":3600,\"access_token\":\"0123456789\\u0000abcdefghij\"}", "holds what no token has",
         OUTCOME_UNREACHABLE},
        {ACCESS(""), "field 'expires_in' is missing", OUTCOME_UNREACHABLE},
        {ACCESS(",\"expires_in\":\"3600\""), "field 'expires_in' is missing, or no time", OUTCOME_UNREACHABLE},
        {ACCESS(",\"expires_in\":-1"), "field 'expires_in' is missing, or no time", OUTCOME_UNREACHABLE},
        {ACCESS(",\"expires_in\":1e300"), "field 'expires_in' is missing, or no time", OUTCOME_UNREACHABLE},
        {ACCESS(",\"expires_in\":3600,\"token_type\":\"mac\""), "to be used in a way that this program does not know",
         OUTCOME_REFUSED},
        {ACCESS(",\"expires_in\":1800"), "access tokens live 1800 s, and are replaced every 1800 s", OUTCOME_REFUSED},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fixture f;
        begin_exchange(&f);
        reads(&f, 200, rows[i].body, rows[i].outcome);
        says(&f, rows[i].piece);
        assert_null(strstr(f.result.error.text, TOKEN));
        end(&f);
    }
}

static void what_failures_mean(void **state)
{
    (void)state;
    const struct {
        long status;
        const char *body, *piece;
        enum outcome outcome;
    } rows[] = {
        {400, "{\"type\":\"error\",\"error\":{\"type\":\"invalid_grant\",\"message\":\"no\"}}",
         "(400, invalid_grant): compare what", OUTCOME_REFUSED},
        {400, "{\"error\":\"invalid_grant\",\"error_description\":\"no\"}", "(400, invalid_grant): compare what",
         OUTCOME_REFUSED},
        {401, "{\"error\":\"invalid_client\"}", "(401, invalid_client): compare what", OUTCOME_REFUSED},
        {403, "{\"type\":\"error\",\"error\":{\"type\":\"permission_error\"}}", "(403, permission_error)", OUTCOME_REFUSED},
        {429, "{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"slow\"}}", "fewer requests (429): slow",
         OUTCOME_THROTTLED},
        {500, "{\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"oh\"}}", "could not do it now (500): oh",
         OUTCOME_UNREACHABLE},
        {529, "overloaded", "could not do it now (529)", OUTCOME_UNREACHABLE},
        {302, "", "redirect refused", OUTCOME_REFUSED},
        {400, "<html>", "does not look like one of Anthropic", OUTCOME_REFUSED},
        {404, "{\"error\":7}", "does not look like one of Anthropic", OUTCOME_REFUSED},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fixture f;
        begin_exchange(&f);
        reads(&f, rows[i].status, rows[i].body, rows[i].outcome);
        says(&f, rows[i].piece);
        assert_null(f.result.secret); /* our own token is gone as well */
        end(&f);
    }
}

/* --- settings --- */

static void settings_are_checked(void **state)
{
    (void)state;
    static const struct changed_setting changes[] = {
        {offsetof(struct provider_settings, admin_key), "env:A", "leave out admin-key"},
        {offsetof(struct provider_settings, federation.rule), "svac_01",
         "federation-rule: 'svac_01' is none: its id begins with fdrl_"},
        {offsetof(struct provider_settings, federation.rule), "fdrl_1;x", "federation-rule:"},
        {offsetof(struct provider_settings, federation.service_account), "fdrl_01", "service-account:"},
        {offsetof(struct provider_settings, federation.workspace), "Default", "workspace: 'Default' is none"},
        {offsetof(struct provider_settings, federation.organization), "acme", "organization: 'acme' is no UUID"},
        {offsetof(struct provider_settings, federation.workspace), "default", NULL},
        {offsetof(struct provider_settings, federation.rule), "", NULL},
    };
    settings_become(begin_here, changes, COUNT(changes));
}

static void times_follow_from_the_lifetime(void **state)
{
    (void)state;
    const struct {
        int64_t lifetime_s, refresh_s, aftermath_s;
    } rows[] = {{3600, 1800, 5400}, {60, 30, 150}, {86400, 43200, 129600}, {0, 1800, 5400}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct provider_settings settings = {.federation = {.lifetime_ms = rows[i].lifetime_s * 1000}};
        assert_int_equal(federation_refresh(&settings), rows[i].refresh_s * 1000);
        assert_int_equal(federation_aftermath(&settings), rows[i].aftermath_s * 1000);
    }
}

/* How long something may work after the last signature, tried out: a token that is exchanged with R s left gives one of
 * max(60, min(rule's, 2R)) s. */
static void no_exchange_outlives_the_aftermath(void **state)
{
    (void)state;
    static const int64_t lifetimes[] = {20, 60, 119, 600, 3600, 86400};
    for (size_t i = 0; i < COUNT(lifetimes); i++) {
        int64_t lifetime = lifetimes[i], rule = lifetime < 60 ? 60 : lifetime, latest = 0;
        struct provider_settings settings = {.federation = {.lifetime_ms = lifetime * 1000}};
        for (int64_t left = -30; left <= lifetime; left++) { /* with their leeway */
            int64_t token = rule < 2 * left ? rule : 2 * left, ends = lifetime - left + (token < 60 ? 60 : token);
            latest = ends > latest ? ends : latest;
        }
        assert_in_range(federation_aftermath(&settings) / 1000, latest, latest + 1);
    }
}

static void what_is_to_be_entered(void **state)
{
    (void)state;
    struct fixture f;
    struct error err = ERROR_INIT;
    struct json_object *jwk = NULL, *wanted = NULL;
    begin_here(&f, PROVIDER_CHECK);
    snprintf(f.settings.name, sizeof f.settings.name, "Claude_2");
    assert_true(jwt_public_key(key, &jwk, &err));
    assert_true(federation_wanted(&f.settings, "h1", json_object_get(jwk), &wanted, &err));
    char text[4096];
    snprintf(text, sizeof text,
             "{\"issuer\":{\"name\":\"llmhook-h1\",\"issuer_url\":\"https://h1.llmhook.invalid\",\"jwks\":{\"type\":\"inline\","
             "\"keys\":[%s]},\"max_jwt_lifetime_seconds\":3600},\"workspace_id\":\"wrkspc_01abc\","
             "\"service_account\":{\"name\":\"llmhook-h1-claude-2\","
             "\"description\":\"VMs of a libvirt host, by llmhook\"},\"rule\":{\"name\":\"llmhook-h1-claude-2\","
             "\"match\":{\"subject_prefix\":\"llmhook:h1:*\",\"audience\":\"https://api.anthropic.com\"},"
             "\"oauth_scope\":\"workspace:inference\",\"token_lifetime_seconds\":3600,\"issuer\":\"llmhook-h1\","
             "\"target\":{\"type\":\"service_account\",\"service_account\":\"llmhook-h1-claude-2\"}}}",
             json_object_to_json_string_ext(jwk, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
    assert_string_equal(json_object_to_json_string_ext(wanted, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE), text);
    json_object_put(wanted);
    json_object_put(jwk);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_signed),
        cmocka_unit_test(settings_decide),
        cmocka_unit_test(nothing_is_signed_without_what_is_needed),
        cmocka_unit_test(other_verbs_are_answered_here),
        cmocka_unit_test(what_the_exchange_asks),
        cmocka_unit_test(a_token_comes_of_it),
        cmocka_unit_test(what_is_no_token_is_not_taken),
        cmocka_unit_test(what_failures_mean),
        cmocka_unit_test(settings_are_checked),
        cmocka_unit_test(times_follow_from_the_lifetime),
        cmocka_unit_test(no_exchange_outlives_the_aftermath),
        cmocka_unit_test(what_is_to_be_entered),
    };
    return check_run_within(tests, make_key, free_key);
}
