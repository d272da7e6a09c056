/* anthropic-accounts.c: what is asked for a service account, step by step, what answers mean, and whose usage is whose.
 * What the SDK makes of it is in tests/contract/. No network. */
#include "federation-fixture.h"

#define BASE "https://api.anthropic.com/v1/organizations/"
#define UUID "3b1c7d52-5a0e-4f0e-9a55-0123456789ab"
#define NAME "llmhook:h-1:" UUID ":claude"
#define SLUG "llmhook-h-1-" UUID "-claude"
#define LIST(items) "{\"data\":[" items "],\"next_page\":null,\"new\":{}}"
#define PAGE(items, next) "{\"data\":[" items "],\"next_page\":\"" next "\"}"
#define ISSUER "{\"id\":\"fdis_1\",\"name\":\"llmhook-h-1\",\"archived_at\":null}"
#define ACCOUNT(id, name, day) \
    "{\"id\":\"" id "\",\"name\":\"" name "\",\"created_at\":\"2026-11-" day "T00:00:00Z\",\"archived_at\":null}"
#define RULE_OF(id, account, issuer, subject) \
    "{\"id\":\"" id "\",\"archived_at\":null,\"issuer_id\":\"" issuer "\",\"match\":{\"subject_prefix\":\"" subject "\"}," \
    "\"target\":{\"type\":\"service_account\",\"service_account_id\":\"" account "\"}}"
#define RULE(id, account) RULE_OF(id, account, "fdis_1", "llmhook:h-1:" UUID)

static void begin_here(struct fixture *f, enum provider_verb verb)
{
    begin(f, verb);
    f->settings = (struct provider_settings){
        .name = "claude",
        .type = "anthropic-federation",
        .admin_key = "env:A",
        .federation = {.organization = "00000000-0000-4000-8000-000000000001", .service_account = "per-domain",
                       .workspace = "wrkspc_01"},
    };
    f->call = (struct provider_call){.verb = verb, .container_name = NAME, .container_id = "svac_1-fdrl_1",
                                     .name_prefix = "llmhook:h-1:"};
    assert_int_equal(driver->begin(&f->settings, &f->call, NULL, &f->progress, &f->result), PROVIDER_NEXT_REQUEST);
}

static void one_is_made(void **state)
{
    (void)state;
    struct fixture f;
    begin_here(&f, PROVIDER_CREATE_CONTAINER);
    snprintf(f.call.container_name, sizeof f.call.container_name, "%s dev-1", NAME);
    asks(&f, HTTP_GET, BASE "federation_issuers?limit=100", NULL);
    reads_on(&f, 200, PAGE("{\"id\":\"x\",\"name\":\"another\"}", "n/1"));
    asks(&f, HTTP_GET, BASE "federation_issuers?limit=100&page=n%2F1", NULL);
    reads_on(&f, 200, LIST(ISSUER));
    asks(&f, HTTP_GET, BASE "service_accounts?limit=100", NULL);
    reads_on(&f, 200, LIST(ACCOUNT("svac_9", SLUG "-2", "01") "," ACCOUNT("svac_8", "llmhook-h-1", "01")));
    asks(&f, HTTP_POST, BASE "service_accounts", "{\"name\":\"" SLUG "\",\"description\":\"" NAME " dev-1\"}");
    reads_on(&f, 200, ACCOUNT("svac_1", SLUG, "01"));
    asks(&f, HTTP_POST, BASE "service_accounts/svac_1/workspaces",
         "{\"workspace_id\":\"wrkspc_01\",\"workspace_role\":\"workspace_developer\"}");
    reads_on(&f, 200, "{}");
    asks(&f, HTTP_GET, BASE "federation_rules?limit=100", NULL);
    reads_on(&f, 200, LIST(RULE("fdrl_9", "svac_9")));
    asks(&f, HTTP_POST, BASE "federation_rules",
         "{\"name\":\"" SLUG "\",\"match\":{\"subject_prefix\":\"llmhook:h-1:" UUID
         "\",\"audience\":\"https://api.anthropic.com\"},"
         "\"oauth_scope\":\"workspace:inference\",\"token_lifetime_seconds\":3600,\"issuer_id\":\"fdis_1\",\"target\":"
         "{\"type\":\"service_account\",\"service_account_id\":\"svac_1\"},\"workspace_id\":\"wrkspc_01\"}");
    reads(&f, 200, RULE("fdrl_1", "svac_1"), OUTCOME_OK);
    assert_string_equal(f.result.container_id, "svac_1-fdrl_1");
    assert_string_equal(f.result.key_id, "");
    end(&f);
}

/* A name that is taken by nothing that lives is passed over, and what has been made meanwhile is not made twice. */
static void names_that_are_taken(void **state)
{
    (void)state;
    struct fixture f;
    begin_here(&f, PROVIDER_CREATE_CONTAINER);
    reads_on(&f, 200, LIST(ISSUER));
    reads_on(&f, 200, LIST(""));
    reads_on(&f, 409, "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"taken\"}}");
    asks(&f, HTTP_GET, BASE "service_accounts?limit=100", NULL);
    reads_on(&f, 200, LIST(""));
    asks(&f, HTTP_POST, BASE "service_accounts", "{\"name\":\"" SLUG "--2\",\"description\":\"" NAME "\"}");
    reads_on(&f, 409, "{\"error\":{\"type\":\"x\",\"message\":\"taken\"}}");
    reads_on(&f, 200, LIST(ACCOUNT("svac_5", SLUG "--2", "02") "," ACCOUNT("svac_4", SLUG, "01")));
    asks(&f, HTTP_POST, BASE "service_accounts/svac_4/workspaces",
         "{\"workspace_id\":\"wrkspc_01\",\"workspace_role\":\"workspace_developer\"}");
    reads_on(&f, 200, "{}");
    reads(&f, 200, LIST(RULE("fdrl_4", "svac_4")), OUTCOME_OK);
    assert_string_equal(f.result.container_id, "svac_4-fdrl_4");
    end(&f);
}

static void what_is_found(void **state)
{
    (void)state;
    struct fixture f;
    begin_here(&f, PROVIDER_FIND_CONTAINER);
    asks(&f, HTTP_GET, BASE "federation_issuers?limit=100", NULL);
    reads_on(&f, 200, LIST(ISSUER));
    asks(&f, HTTP_GET, BASE "service_accounts?limit=100", NULL);
    reads_on(&f, 200, LIST(ACCOUNT("svac_3", SLUG "--3", "03") "," ACCOUNT("svac_2", SLUG "--2", "02")
                           "," ACCOUNT("svac_1", SLUG, "01")));
    /* One has no rule: half made, or archived by somebody. */
    reads(&f, 200, LIST(RULE("fdrl_3", "svac_3") "," RULE("fdrl_2", "svac_2")), OUTCOME_OK);
    assert_int_equal(f.result.items_count, 2);
    assert_string_equal(f.result.items[0].id, "svac_2-fdrl_2");
    assert_string_equal(f.result.items[1].id, "svac_3-fdrl_3");
    end(&f);

    begin_here(&f, PROVIDER_FIND_CONTAINER);
    reads_on(&f, 200, LIST(""));
    reads(&f, 200, LIST("{\"id\":\"svac_1\",\"name\":\"" SLUG "\",\"archived_at\":\"2026-11-01T00:00:00Z\"}"), OUTCOME_OK);
    assert_int_equal(f.result.items_count, 0);
    end(&f);
}

/* Rules that do not take what the host signs: of another issuer, as after another signing key, or of another subject. */
static void rules_that_do_not_fit_are_none(void **state)
{
    (void)state;
    static const char *const others[] = {
        RULE_OF("fdrl_1", "svac_1", "fdis_old", "llmhook:h-1:" UUID), RULE_OF("fdrl_1", "svac_1", "fdis_1", "somebody"),
        RULE_OF("fdrl_1", "svac_1", "fdis_1", "llmhook:h-1:*"), RULE("fdrl_1", "svac_9"),
        "{\"id\":\"fdrl_1\",\"issuer_id\":\"fdis_1\",\"target\":{\"service_account_id\":\"svac_1\"}}",
    };
    struct fixture f;
    for (size_t i = 0; i < COUNT(others); i++) {
        char list[1024];
        snprintf(list, sizeof list, LIST("%s"), others[i]);
        begin_here(&f, PROVIDER_FIND_CONTAINER);
        reads_on(&f, 200, LIST(ISSUER));
        reads_on(&f, 200, LIST(ACCOUNT("svac_1", SLUG, "01")));
        reads(&f, 200, list, OUTCOME_OK);
        assert_int_equal(f.result.items_count, 0);
        end(&f);
        begin_here(&f, PROVIDER_CREATE_CONTAINER);
        reads_on(&f, 200, LIST(ISSUER));
        reads_on(&f, 200, LIST(ACCOUNT("svac_1", SLUG, "01")));
        reads_on(&f, 409, "{\"error\":{\"type\":\"x\",\"message\":\"it is a member\"}}"); /* an earlier try has got as far */
        reads_on(&f, 200, list);
        reads(&f, 200, RULE("fdrl_2", "svac_1"), OUTCOME_OK);
        assert_string_equal(f.result.container_id, "svac_1-fdrl_2");
        end(&f);
    }
    begin_here(&f, PROVIDER_FIND_CONTAINER); /* no issuer lives: no token is taken */
    reads_on(&f, 200, LIST("{\"id\":\"fdis_1\",\"name\":\"llmhook-h-1\",\"archived_at\":\"2026-11-01T00:00:00Z\"}"));
    reads_on(&f, 200, LIST(ACCOUNT("svac_1", SLUG, "01")));
    reads(&f, 200, LIST(RULE("fdrl_1", "svac_1")), OUTCOME_OK);
    assert_int_equal(f.result.items_count, 0);
    end(&f);
}

static void whose_accounts_are_listed(void **state)
{
    (void)state;
    struct fixture f;
    begin_here(&f, PROVIDER_INVENTORY);
    reads_on(&f, 200, LIST(ISSUER));
    reads_on(&f, 200,
             LIST(ACCOUNT("svac_1", SLUG "--7", "01") "," ACCOUNT("svac_2", "llmhook-h-1-" UUID "-other", "01") ","
                  ACCOUNT("svac_3", "llmhook-h-2-" UUID "-claude", "01") "," ACCOUNT("svac_4", "llmhook-h-1-claude", "01") ","
                  ACCOUNT("svac_5", "somebody-" UUID "-claude", "01") "," ACCOUNT("svac_6", SLUG "--", "01")));
    reads(&f, 200, LIST(RULE("fdrl_1", "svac_1")), OUTCOME_OK);
    assert_int_equal(f.result.items_count, 1);
    assert_string_equal(f.result.items[0].id, "svac_1-fdrl_1");
    assert_string_equal(f.result.items[0].name, NAME);
    end(&f);

    begin_here(&f, PROVIDER_INVENTORY); /* all hosts, and what is half */
    snprintf(f.call.name_prefix, sizeof f.call.name_prefix, "llmhook:");
    snprintf(f.call.limits_prefix, sizeof f.call.limits_prefix, "llmhook:h-1:");
    reads_on(&f, 200, LIST(ISSUER));
    reads_on(&f, 200, LIST(ACCOUNT("svac_3", "llmhook-h-2-" UUID "-claude", "01") "," ACCOUNT("svac_1", SLUG, "02") ","
                           ACCOUNT("svac_2", "llmhook-h-2-" UUID "-claude--2", "03")));
    reads(&f, 200, LIST(RULE_OF("fdrl_2", "svac_2", "fdis_of_h-2", "llmhook:h-2:" UUID)), OUTCOME_OK);
    assert_int_equal(f.result.items_count, 3);
    assert_string_equal(f.result.items[0].name, "llmhook:h-2:" UUID ":claude");
    assert_string_equal(f.result.items[0].id, "svac_3");
    assert_string_equal(f.result.items[1].name, NAME);
    assert_string_equal(f.result.items[1].id, "svac_1");
    assert_string_equal(f.result.items[2].id, "svac_2-fdrl_2");
    end(&f);

    begin_here(&f, PROVIDER_INVENTORY); /* of whom is not said: whatever issuer it is */
    snprintf(f.call.name_prefix, sizeof f.call.name_prefix, "llmhook:");
    reads_on(&f, 200, LIST(ISSUER));
    reads_on(&f, 200, LIST(ACCOUNT("svac_1", SLUG, "02")));
    reads(&f, 200, LIST(RULE("fdrl_1", "svac_1")), OUTCOME_OK);
    assert_string_equal(f.result.items[0].id, "svac_1-fdrl_1");
    end(&f);
}

static void one_is_archived_with_its_rules(void **state)
{
    (void)state;
    struct fixture f;
    begin_here(&f, PROVIDER_ARCHIVE_CONTAINER);
    asks(&f, HTTP_GET, BASE "federation_rules?limit=100", NULL);
    reads_on(&f, 200, LIST(RULE("fdrl_7", "svac_7") "," RULE("fdrl_1", "svac_1")));
    asks(&f, HTTP_POST, BASE "federation_rules/fdrl_1/archive", "{}");
    reads_on(&f, 200, "{}");
    reads_on(&f, 200, LIST(RULE("fdrl_7", "svac_7")));
    asks(&f, HTTP_POST, BASE "service_accounts/svac_1/archive", "{}");
    reads(&f, 200, "{}", OUTCOME_OK);
    end(&f);

    begin_here(&f, PROVIDER_ARCHIVE_CONTAINER);
    reads_on(&f, 200, LIST(""));
    /* Nothing is ever deleted there: who does not see it is of another organisation. */
    reads(&f, 404, "{\"error\":{\"type\":\"not_found_error\",\"message\":\"Not found.\"}}", OUTCOME_REFUSED);
    end(&f);
}

static void what_failures_mean(void **state)
{
    (void)state;
    static const char complaint[] = "{\"type\":\"error\",\"error\":{\"type\":\"x\",\"message\":\"no\"}}";
    const struct {
        enum provider_verb verb;
        long status;
        const char *body;
        enum outcome outcome;
        const char *piece;
    } rows[] = {
        {PROVIDER_CREATE_CONTAINER, 200, LIST(""), OUTCOME_REFUSED,
         "does not know this host as an issuer yet: llmhook federation apply"},
        {PROVIDER_CREATE_CONTAINER, 403, complaint, OUTCOME_UNAUTHORIZED, "an OAuth token with the scope org:admin"},
        {PROVIDER_USAGE, 401, complaint, OUTCOME_UNAUTHORIZED, "the token of admin-key (401)"},
        {PROVIDER_CREATE_CONTAINER, 400, complaint, OUTCOME_REFUSED, "Anthropic refused (400): no"},
        {PROVIDER_CREATE_CONTAINER, 500, complaint, OUTCOME_UNKNOWN, "could not do it now (500)"},
        {PROVIDER_FIND_CONTAINER, 500, complaint, OUTCOME_UNREACHABLE, "could not do it now (500)"},
        {PROVIDER_FIND_CONTAINER, 429, complaint, OUTCOME_THROTTLED, "fewer requests"},
        {PROVIDER_FIND_CONTAINER, 404, "<html>", OUTCOME_REFUSED, "does not look like one of Anthropic"},
        {PROVIDER_FIND_CONTAINER, 200, "{\"data\":[", OUTCOME_UNREACHABLE, "cannot be trusted"},
        {PROVIDER_FIND_CONTAINER, 200, "{\"data\":{}}", OUTCOME_UNREACHABLE, "'data'"},
        {PROVIDER_FIND_CONTAINER, 200, LIST("7"), OUTCOME_UNREACHABLE, "an entry of the list is no object"},
        {PROVIDER_FIND_CONTAINER, 200, LIST("{\"id\":7,\"name\":\"" SLUG "\"}"), OUTCOME_UNREACHABLE, "'id'"},
        {PROVIDER_FIND_CONTAINER, 200, LIST(ACCOUNT("svac_1-x", SLUG, "01")), OUTCOME_UNREACHABLE, "none that begins with svac_"},
        {PROVIDER_FIND_CONTAINER, 200, LIST(ACCOUNT("user_1", SLUG, "01")), OUTCOME_UNREACHABLE, "none that begins with svac_"},
        {PROVIDER_FIND_CONTAINER, 200, LIST("{\"id\":\"svac_1\",\"name\":\"" SLUG "\"}"), OUTCOME_UNREACHABLE, "'created_at'"},
        {PROVIDER_FIND_CONTAINER, 200, PAGE("", ""), OUTCOME_UNREACHABLE, "nothing leads there"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fixture f;
        begin_here(&f, rows[i].verb);
        if (rows[i].verb == PROVIDER_FIND_CONTAINER)
            reads_on(&f, 200, LIST(ISSUER));
        reads(&f, rows[i].status, rows[i].body, rows[i].outcome);
        says(&f, rows[i].piece);
        end(&f);
    }
}

#define USED(account, output)                                                                                        \
    "{\"uncached_input_tokens\":0,\"output_tokens\":" output ",\"service_account_id\":" account ",\"api_key_id\":null," \
    "\"workspace_id\":\"wrkspc_01\",\"model\":\"m\"}"
#define DAY(rows) \
    "{\"data\":[{\"starting_at\":\"2026-11-01T00:00:00Z\",\"results\":[" rows "]}],\"has_more\":false,\"next_page\":null}"

/* Costs are the workspace's: each account has its share, and so have keys and accounts of others, which are not told. */
static void usage_is_told_apart(void **state)
{
    (void)state;
    static const struct provider_scope scopes[] = {{"svac_1-fdrl_1", 1}, {"svac_11-fdrl_2", 1}, {"account", 1}};
    struct fixture f;
    begin_here(&f, PROVIDER_USAGE);
    f.call.scopes = scopes;
    f.call.scopes_count = 3;
    f.call.since = INT64_C(1793491200000); /* 2026-11-01 */
    f.call.until = f.call.since + 1000;
    asks(&f, HTTP_GET,
         BASE "usage_report/messages?starting_at=2026-11-01T00:00:00Z&ending_at=2026-11-02T00:00:00Z&bucket_width=1d&limit=31"
         "&group_by%5B%5D=service_account_id&group_by%5B%5D=workspace_id&group_by%5B%5D=model&workspace_ids%5B%5D=wrkspc_01",
         NULL);
    reads_on(&f, 200, DAY(USED("\"svac_11\"", "300") "," USED("\"svac_1\"", "100")
                          "," USED("\"svac_5\"", "200") "," USED("null", "400")));
    asks(&f, HTTP_GET, BASE "cost_report?starting_at=2026-11-01T00:00:00Z&ending_at=2026-11-02T00:00:00Z&bucket_width=1d&limit=31"
         "&group_by%5B%5D=workspace_id&group_by%5B%5D=description", NULL);
    reads(&f, 200, DAY("{\"amount\":\"1000\",\"currency\":\"USD\",\"workspace_id\":\"wrkspc_01\",\"model\":\"m\","
                       "\"token_type\":\"output_tokens\"}"), OUTCOME_OK);
    int64_t tokens[2] = {0, 0}, dollars[2] = {0, 0};
    assert_int_equal(f.result.usage_count, 4);
    for (size_t i = 0; i < f.result.usage_count; i++) {
        const struct provider_usage *row = &f.result.usage[i];
        bool other = strcmp(row->container_id, "svac_11-fdrl_2") == 0;
        assert_true(other || strcmp(row->container_id, "svac_1-fdrl_1") == 0);
        assert_string_equal(row->key_id, "");
        tokens[other] += row->kind == PROVIDER_USAGE_TOKENS ? row->output_tokens : 0;
        dollars[other] += row->kind == PROVIDER_USAGE_BILL ? row->micro_dollars : 0;
    }
    assert_int_equal(tokens[0], 100);
    assert_int_equal(tokens[1], 300);
    assert_int_equal(dollars[0], 1000000); /* ten dollars among 1000 tokens */
    assert_int_equal(dollars[1], 3000000);
    end(&f);
}

static void settings_are_checked(void **state)
{
    (void)state;
    static const struct changed_setting changes[] = {
        {offsetof(struct provider_settings, admin_key), "", "write admin-key = REFERENCE"},
        {offsetof(struct provider_settings, federation.workspace), "", "write workspace = wrkspc_..."},
        {offsetof(struct provider_settings, federation.workspace), "default", "write workspace = wrkspc_..."},
        {offsetof(struct provider_settings, federation.rule), "fdrl_1", "leave out federation-rule"},
        {offsetof(struct provider_settings, admin_key), "env:A", NULL},
    };
    settings_become(begin_here, changes, COUNT(changes));
    struct fixture f;
    struct error err = ERROR_INIT;
    begin_here(&f, PROVIDER_CHECK);
    f.settings.admin_key[0] = '\0'; /* which only per-domain accounts have */
    snprintf(f.settings.federation.service_account, sizeof f.settings.federation.service_account, "per-owner");
    assert_false(provider_settings_check(&f.settings, &err));
    check_error(err, ERROR_INVALID, "its id begins with svac_");
    end(&f);
}

static void ids_are_split(void **state)
{
    (void)state;
    const struct {
        const char *container, *account, *rule;
    } rows[] = {{"svac_1-fdrl_2", "svac_1", "fdrl_2"}, {"svac_1", "svac_1", ""}, {"account", "", ""}, {"", "", ""}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        char account[RECORD_REMOTE_ID_SIZE], rule[RECORD_REMOTE_ID_SIZE];
        federation_split(rows[i].container, account, rule);
        assert_string_equal(account, rows[i].account);
        assert_string_equal(rule, rows[i].rule);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_is_made),
        cmocka_unit_test(names_that_are_taken),
        cmocka_unit_test(what_is_found),
        cmocka_unit_test(rules_that_do_not_fit_are_none),
        cmocka_unit_test(whose_accounts_are_listed),
        cmocka_unit_test(one_is_archived_with_its_rules),
        cmocka_unit_test(what_failures_mean),
        cmocka_unit_test(usage_is_told_apart),
        cmocka_unit_test(settings_are_checked),
        cmocka_unit_test(ids_are_split),
    };
    return check_run(tests);
}
