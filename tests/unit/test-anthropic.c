/* anthropic.c: what is asked, word for word, and what is made of every kind of answer. No network. */
#define DRIVER provider_anthropic
#define WHO "Anthropic"
#define BASE "https://api.anthropic.com/v1/organizations"
#define CREDENTIAL_HEADER "x-api-key: "
#define FIXED_HEADER "anthropic-version: 2023-06-01"
#define CHOSEN "sk-ant-api03-abcdefghijklmnopWXYZ"
#include "driver-fixture.h"

static void begin_here(struct fixture *f, enum provider_verb verb)
{
    begin(f, verb);
    snprintf(f->settings.project, sizeof f->settings.project, "%s", "");
    snprintf(f->call.container_id, sizeof f->call.container_id, "wrkspc_1");
    snprintf(f->call.key_name, sizeof f->call.key_name, "llmhook:h1:u1:anthropic:g1");
    snprintf(f->call.key_id, sizeof f->call.key_id, "apikey_1");
    f->call.chosen = chosen;
}

#define ERROR_BODY(type, message) \
    "{\"type\":\"error\",\"error\":{\"type\":\"" type "\",\"message\":\"" message "\"},\"request_id\":\"req_1\"}"
#define ERROR_CODE(message, code) \
    "{\"type\":\"error\",\"error\":{\"type\":\"permission_error\",\"message\":\"" message \
    "\",\"details\":{\"error_code\":\"" code "\"}},\"request_id\":\"req_1\"}"
#define NOT_FOUND ERROR_BODY("not_found_error", "Not found.")
#define BAD_REQUEST ERROR_BODY("invalid_request_error", "Not like this.")
#define WORKSPACE(id, name, rest) \
    "{\"type\":\"workspace\",\"id\":\"" id "\",\"name\":" name ",\"created_at\":\"2026-11-25T10:00:0" \
    rest ",\"display_color\":\"#6C5BB9\",\"new\":{}}"
#define LIVE "1.5Z\",\"archived_at\":null,\"tags\":{}"
#define ARCHIVED "1Z\",\"archived_at\":\"2026-11-25T11:00:00Z\""
#define KEY(id, name, status, workspace) \
    "{\"type\":\"api_key\",\"id\":\"" id "\",\"name\":\"" name "\",\"status\":\"" status \
    "\",\"created_at\":\"2026-11-25T10:00:02Z\",\"expires_at\":null,\"partial_key_hint\":\"sk-ant-api03-abc...WXYZ\"," \
    "\"scope\":{\"type\":\"workspace\",\"workspace_id\":\"" workspace "\"},\"created_by\":null,\"principal\":null}"
#define LIST(items, more, last) \
    "{\"data\":[" items "],\"first_id\":null,\"last_id\":" last ",\"has_more\":" more ",\"new\":1}"
#define CURSOR_LIST(items, next) "{\"data\":[" items "],\"next_page\":" next "}"
#define OUR_NAME "llmhook:h1:u1:anthropic:g1"

static const enum provider_verb all_verbs[] = {
    PROVIDER_FIND_CONTAINER, PROVIDER_CREATE_CONTAINER, PROVIDER_LIMIT_CONTAINER, PROVIDER_RATE_LIMIT_CONTAINER,
    PROVIDER_ARCHIVE_CONTAINER, PROVIDER_FIND_KEYS, PROVIDER_MINT_KEY, PROVIDER_REVOKE_KEY, PROVIDER_SUSPEND_KEY,
    PROVIDER_RESUME_KEY, PROVIDER_IDENTIFY_KEY, PROVIDER_INVENTORY, PROVIDER_CHECK,
};
enum { ALL_VERBS = sizeof all_verbs / sizeof all_verbs[0] };

static bool only_reads(enum provider_verb verb)
{
    return verb == PROVIDER_FIND_CONTAINER || verb == PROVIDER_FIND_KEYS || verb == PROVIDER_IDENTIFY_KEY ||
           verb == PROVIDER_INVENTORY || verb == PROVIDER_CHECK;
}

/* --- requests --- */

static void test_first_requests(void **state)
{
    (void)state;
    static const struct first_request wanted[ALL_VERBS] = {
        {PROVIDER_FIND_CONTAINER, HTTP_GET, BASE "/workspaces?limit=1000", NULL},
        {PROVIDER_CREATE_CONTAINER, HTTP_POST, BASE "/workspaces",
         "{\"name\":\"llmhook:h1:u1\",\"tags\":{\"llmhook\":\"llmhook:h1:u1\"}}"},
        {PROVIDER_LIMIT_CONTAINER, HTTP_POST, BASE "/spend_limits",
         "{\"amount\":\"10051\",\"scope\":{\"type\":\"workspace\",\"workspace_id\":\"wrkspc_1\"},\"period\":\"monthly\"}"},
        {PROVIDER_RATE_LIMIT_CONTAINER, HTTP_GET, BASE "/rate_limits?limit=100&group_type=model_group", NULL},
        {PROVIDER_ARCHIVE_CONTAINER, HTTP_POST, BASE "/workspaces/wrkspc_1/archive", NULL},
        {PROVIDER_FIND_KEYS, HTTP_GET, BASE "/api_keys?limit=1000&workspace_id=wrkspc_1", NULL},
        {PROVIDER_MINT_KEY, HTTP_POST, BASE "/api_keys/apikey_1", "{\"name\":\"" OUR_NAME "\",\"status\":\"active\"}"},
        {PROVIDER_REVOKE_KEY, HTTP_POST, BASE "/api_keys/apikey_1", "{\"status\":\"archived\"}"},
        {PROVIDER_SUSPEND_KEY, HTTP_POST, BASE "/api_keys/apikey_1", "{\"status\":\"inactive\"}"},
        {PROVIDER_RESUME_KEY, HTTP_POST, BASE "/api_keys/apikey_1", "{\"name\":\"" OUR_NAME "\",\"status\":\"active\"}"},
        {PROVIDER_IDENTIFY_KEY, HTTP_GET, BASE "/api_keys?limit=1000", NULL},
        {PROVIDER_INVENTORY, HTTP_GET, BASE "/workspaces?limit=1000", NULL},
        {PROVIDER_CHECK, HTTP_GET, BASE "/workspaces?limit=1", NULL},
    };
    asks_first(begin_here, wanted, ALL_VERBS);
}

/* The pool's keys may be anywhere in the account: then no workspace is named. */
static void test_requests_in_the_whole_account(void **state)
{
    (void)state;
    struct fixture f;
    begin_here(&f, PROVIDER_FIND_KEYS);
    snprintf(f.call.container_id, sizeof f.call.container_id, PROVIDER_ACCOUNT);
    snprintf(f.settings.base_url, sizeof f.settings.base_url, "http://127.0.0.1:9");
    asks(&f, HTTP_GET, "http://127.0.0.1:9/v1/organizations/api_keys?limit=1000", NULL);
    f.call.verb = PROVIDER_REVOKE_KEY;
    asks(&f, HTTP_POST, "http://127.0.0.1:9/v1/organizations/api_keys/apikey_1", "{\"status\":\"archived\"}");
    f.call.verb = PROVIDER_LIMIT_CONTAINER;
    cannot_ask(&f, "the workspace's id is empty or holds");
    end(&f);
}

static void test_inputs_that_cannot_be_used(void **state)
{
    (void)state;
    static const char *const bad[] = {"..", "a/b", "a?b", "a%2fb", "a b", "a#b", "a.b", "\xc3\xa4"};
    struct fixture f;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        begin_here(&f, PROVIDER_MINT_KEY);
        snprintf(f.call.container_id, sizeof f.call.container_id, "%s", bad[i]);
        cannot_ask(&f, "the workspace's id is empty or holds");
        f.call.verb = PROVIDER_ARCHIVE_CONTAINER;
        cannot_ask(&f, "the workspace's id is empty or holds");
        end(&f);
        begin_here(&f, PROVIDER_SUSPEND_KEY);
        snprintf(f.call.key_id, sizeof f.call.key_id, "%s", bad[i]);
        cannot_ask(&f, "the key's id is empty or holds");
        end(&f);
    }
    begin_here(&f, PROVIDER_MINT_KEY);
    f.call.key_name[0] = f.call.name_prefix[0] = f.call.container_name[0] = '\0';
    f.call.chosen = NULL;
    f.call.monthly_limit = 0;
    cannot_ask(&f, "no name was given for the key that is claimed");
    f.call.verb = PROVIDER_FIND_KEYS;
    cannot_ask(&f, "no name was given for the key that is looked for");
    f.call.verb = PROVIDER_FIND_CONTAINER;
    cannot_ask(&f, "no name was given for the workspace that is looked for");
    f.call.verb = PROVIDER_CREATE_CONTAINER;
    cannot_ask(&f, "no name was given for what is to be made");
    f.call.verb = PROVIDER_LIMIT_CONTAINER;
    cannot_ask(&f, "a monthly limit has to be more than nothing");
    f.call.verb = PROVIDER_INVENTORY;
    cannot_ask(&f, "an inventory needs the prefix of our names");
    f.call.verb = PROVIDER_IDENTIFY_KEY;
    cannot_ask(&f, "no key was given that is to be identified");
    f.call.verb = PROVIDER_USAGE;
    f.call.scopes_count = 0;
    cannot_ask(&f, "usage is asked for without a workspace");
    end(&f);
}

/* --- failures --- */

static void test_statuses_for_every_verb(void **state)
{
    (void)state;
    for (size_t i = 0; i < ALL_VERBS; i++) {
        bool doubted = all_verbs[i] == PROVIDER_CREATE_CONTAINER || all_verbs[i] == PROVIDER_MINT_KEY ||
                       all_verbs[i] == PROVIDER_SUSPEND_KEY || all_verbs[i] == PROVIDER_RESUME_KEY;
        const struct {
            long status;
            const char *body;
            enum outcome outcome;
        } wanted[] = {
            {401, ERROR_BODY("authentication_error", "invalid x-api-key"), OUTCOME_UNAUTHORIZED},
            {403, ERROR_BODY("permission_error", "Not allowed."), OUTCOME_REFUSED},
            {429, ERROR_BODY("rate_limit_error", "Slower."), OUTCOME_THROTTLED},
            {500, ERROR_BODY("api_error", "Internal server error"), doubted ? OUTCOME_UNKNOWN : OUTCOME_UNREACHABLE},
            {529, ERROR_BODY("overloaded_error", "Overloaded"), doubted ? OUTCOME_UNKNOWN : OUTCOME_UNREACHABLE},
            {409, ERROR_BODY("conflict_error", "Conflict"), doubted ? OUTCOME_UNKNOWN : OUTCOME_UNREACHABLE},
            {302, "", OUTCOME_REFUSED},
            {404, "<html>a proxy's</html>", OUTCOME_REFUSED},
            {400, "{\"error\":\"a string\"}", OUTCOME_REFUSED},
            {200, "", only_reads(all_verbs[i]) ? OUTCOME_UNREACHABLE : OUTCOME_UNKNOWN},
            {200, "[]", only_reads(all_verbs[i]) ? OUTCOME_UNREACHABLE : OUTCOME_UNKNOWN},
            {200, "{\"data\":[{\"id\":", only_reads(all_verbs[i]) ? OUTCOME_UNREACHABLE : OUTCOME_UNKNOWN},
        };
        for (size_t s = 0; s < sizeof wanted / sizeof wanted[0]; s++) {
            struct fixture f;
            begin_here(&f, all_verbs[i]);
            reads(&f, wanted[s].status, wanted[s].body, wanted[s].outcome);
            assert_true(f.result.error.text[0]);
            end(&f);
        }
    }
}

/* Neither keys nor workspaces are ever deleted: a 404 alone proves nothing. */
static void test_a_key_that_is_not_seen(void **state)
{
    (void)state;
    static const enum provider_verb verbs[] = {PROVIDER_REVOKE_KEY, PROVIDER_SUSPEND_KEY, PROVIDER_RESUME_KEY};
    struct fixture f;
    for (size_t i = 0; i < 3; i++) {
        begin_here(&f, verbs[i]);
        reads_on(&f, 404, NOT_FOUND);
        asks(&f, HTTP_GET, BASE "/workspaces/wrkspc_1", NULL);
        reads(&f, 200, WORKSPACE("wrkspc_1", "\"x\"", LIVE), OUTCOME_GONE);
        says(&f, "has no such key any more: apikey_1");
        end(&f);
        begin_here(&f, verbs[i]);
        reads_on(&f, 404, NOT_FOUND);
        reads(&f, 404, NOT_FOUND, OUTCOME_REFUSED);
        says(&f, "this admin key does not see Anthropic's workspace wrkspc_1 (404)");
        end(&f);
        begin_here(&f, verbs[i]); /* the look fails: nothing was changed, so there is no doubt either */
        reads_on(&f, 404, NOT_FOUND);
        reads(&f, 503, "", OUTCOME_UNREACHABLE);
        end(&f);
        begin_here(&f, verbs[i]);
        reads_on(&f, 404, NOT_FOUND);
        reads(&f, 200, WORKSPACE("wrkspc_2", "\"x\"", LIVE), OUTCOME_UNREACHABLE);
        says(&f, "it shows another workspace");
        end(&f);
        begin_here(&f, verbs[i]); /* no workspace to look at: no proof */
        snprintf(f.call.container_id, sizeof f.call.container_id, PROVIDER_ACCOUNT);
        reads(&f, 404, NOT_FOUND, OUTCOME_REFUSED);
        says(&f, "this admin key does not see Anthropic's key apikey_1 (404)");
        end(&f);
    }
    begin_here(&f, PROVIDER_MINT_KEY);
    reads_on(&f, 404, NOT_FOUND);
    reads(&f, 200, WORKSPACE("wrkspc_1", "\"x\"", LIVE), OUTCOME_REFUSED);
    says(&f, "Not found.");
    end(&f);
    begin_here(&f, PROVIDER_MINT_KEY);
    reads_on(&f, 404, NOT_FOUND);
    reads(&f, 200, WORKSPACE("wrkspc_1", "\"x\"", ARCHIVED), OUTCOME_GONE);
    end(&f);
}

/* What has ended cannot be changed any more, which is a 400 like any other: so the key is looked at. */
static void test_a_key_that_has_ended(void **state)
{
    (void)state;
    static const enum provider_verb verbs[] = {PROVIDER_REVOKE_KEY, PROVIDER_SUSPEND_KEY, PROVIDER_RESUME_KEY,
                                               PROVIDER_MINT_KEY};
    static const struct {
        const char *body;
        bool ended;
    } keys[] = {
        {KEY("apikey_1", "n", "archived", "wrkspc_1"), true},
        {KEY("apikey_1", "n", "expired", "wrkspc_1"), true},
        {KEY("apikey_1", "n", "active", "wrkspc_1"), false},
        {KEY("apikey_1", "n", "something new", "wrkspc_1"), false},
    };
    struct fixture f;
    for (size_t v = 0; v < 4; v++) {
        for (size_t k = 0; k < 4; k++) {
            begin_here(&f, verbs[v]);
            reads_on(&f, 400, BAD_REQUEST);
            asks(&f, HTTP_GET, BASE "/api_keys/apikey_1", NULL);
            reads(&f, 200, keys[k].body, keys[k].ended ? OUTCOME_GONE : OUTCOME_REFUSED);
            says(&f, keys[k].ended ? "has archived key apikey_1, or it has expired" : "Not like this.");
            end(&f);
        }
        begin_here(&f, verbs[v]);
        reads_on(&f, 400, BAD_REQUEST);
        reads(&f, 200, KEY("apikey_2", "n", "archived", "wrkspc_1"), OUTCOME_UNREACHABLE);
        says(&f, "it shows another key");
        end(&f);
        begin_here(&f, verbs[v]);
        reads_on(&f, 400, BAD_REQUEST);
        reads(&f, 400, BAD_REQUEST, OUTCOME_REFUSED); /* no look without an end */
        end(&f);
        begin_here(&f, verbs[v]);
        reads_on(&f, 400, BAD_REQUEST);
        reads_on(&f, 404, NOT_FOUND);
        asks(&f, HTTP_GET, BASE "/workspaces/wrkspc_1", NULL);
        reads(&f, 200, WORKSPACE("wrkspc_1", "\"x\"", ARCHIVED), OUTCOME_GONE);
        end(&f);
    }
}

static void test_workspaces_that_are_archived(void **state)
{
    (void)state;
    static const enum provider_verb verbs[] = {PROVIDER_LIMIT_CONTAINER, PROVIDER_RATE_LIMIT_CONTAINER,
                                               PROVIDER_ARCHIVE_CONTAINER, PROVIDER_FIND_KEYS};
    struct fixture f;
    for (size_t i = 0; i < 4; i++) {
        begin_here(&f, verbs[i]);
        reads_on(&f, 400, BAD_REQUEST);
        reads(&f, 200, WORKSPACE("wrkspc_1", "\"x\"", ARCHIVED), OUTCOME_GONE);
        says(&f, "no such workspace any more: wrkspc_1");
        end(&f);
        begin_here(&f, verbs[i]);
        reads_on(&f, 400, BAD_REQUEST);
        reads(&f, 200, WORKSPACE("wrkspc_1", "\"x\"", LIVE), OUTCOME_REFUSED);
        says(&f, "Not like this.");
        end(&f);
    }
}

/* --- keys --- */

#define PLACED(place) \
    "{\"id\":\"apikey_1\",\"name\":\"" OUR_NAME "\",\"status\":\"active\",\"created_at\":\"2026-11-25T10:00:02Z\"" place "}"

static void test_a_claim_is_read_back(void **state)
{
    (void)state;
    struct fixture f;
    begin_here(&f, PROVIDER_MINT_KEY);
    reads_on(&f, 200, KEY("apikey_1", OUR_NAME, "active", "wrkspc_1"));
    asks(&f, HTTP_GET, BASE "/api_keys/apikey_1", NULL);
    reads(&f, 200, KEY("apikey_1", OUR_NAME, "active", "wrkspc_1"), OUTCOME_OK);
    assert_string_equal(f.result.key_id, "apikey_1");
    assert_null(f.result.secret);
    assert_int_equal(f.result.expires_at, 0);
    end(&f);
    begin_here(&f, PROVIDER_MINT_KEY);
    reads_on(&f, 200, KEY("apikey_1", OUR_NAME, "active", "wrkspc_1"));
    reads(&f, 200, PLACED(",\"scope\":{\"type\":\"workspace\",\"workspace_id\":\"wrkspc_1\"},\"expires_at\":\"2026-12-25T00:00:00Z\""),
          OUTCOME_OK);
    assert_int_equal(f.result.expires_at, INT64_C(1798156800000));
    end(&f);
    static const struct {
        const char *body, *piece;
        enum outcome outcome;
    } wrong[] = {
        {PLACED(",\"scope\":{\"type\":\"organization\"}"), "key apikey_1 is of the whole organisation", OUTCOME_REFUSED},
        {PLACED(",\"expires_at\":\"soon\""), "field 'expires_at' is no time", OUTCOME_UNKNOWN},
        {KEY("apikey_1", OUR_NAME, "inactive", "wrkspc_1"), "does not keep the name and the status", OUTCOME_REFUSED},
        {KEY("apikey_1", "another", "active", "wrkspc_1"), "does not keep the name and the status", OUTCOME_REFUSED},
        {KEY("apikey_1", OUR_NAME, "active", "wrkspc_2"), "in another workspace than wrkspc_1", OUTCOME_REFUSED},
        {KEY("apikey_2", OUR_NAME, "active", "wrkspc_1"), "it shows another key", OUTCOME_UNKNOWN},
        {"{\"id\":\"apikey_1\",\"name\":\"n\",\"created_at\":\"2026-11-25T10:00:00Z\"}", "'status'", OUTCOME_UNKNOWN},
        {"{\"id\":\"apikey_1\",\"name\":7}", "field 'name' is int, not string", OUTCOME_UNKNOWN},
        {"{\"id\":\"a/b\",\"name\":\"n\"}", "field 'id' holds what no id has", OUTCOME_UNKNOWN},
        {"{\"id\":\"apikey_1\",\"name\":\"n\",\"created_at\":5,\"status\":\"active\"}", "'created_at'", OUTCOME_UNKNOWN},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        begin_here(&f, PROVIDER_MINT_KEY);
        reads_on(&f, 200, KEY("apikey_1", OUR_NAME, "active", "wrkspc_1"));
        reads(&f, 200, wrong[i].body, wrong[i].outcome);
        says(&f, wrong[i].piece);
        end(&f);
    }
}

/* A key whose claim was refused, or never answered, is suspended when its domain stops: what the claim looks at counts when it is
 * taken up again, too. */
static void test_what_a_resumption_looks_at(void **state)
{
    (void)state;
    struct fixture f;
    begin_here(&f, PROVIDER_RESUME_KEY);
    reads(&f, 200, PLACED(",\"scope\":{\"type\":\"organization\"}"), OUTCOME_REFUSED);
    says(&f, "key apikey_1 is of the whole organisation, and can do with it what its owner can: llmhook revoke ends it");
    end(&f);
    begin_here(&f, PROVIDER_RESUME_KEY);
    reads(&f, 200, KEY("apikey_1", OUR_NAME, "active", "wrkspc_2"), OUTCOME_REFUSED);
    says(&f, "in another workspace than wrkspc_1");
    end(&f);
    begin_here(&f, PROVIDER_RESUME_KEY);
    reads(&f, 200, PLACED(",\"expires_at\":\"2026-12-25T00:00:00Z\""), OUTCOME_OK);
    assert_int_equal(f.result.expires_at, INT64_C(1798156800000));
    end(&f);
    begin_here(&f, PROVIDER_SUSPEND_KEY); /* which is right for any */
    reads(&f, 200, "{\"id\":\"apikey_1\",\"name\":\"n\",\"status\":\"inactive\",\"created_at\":\"2026-11-25T10:00:02Z\","
                   "\"scope\":{\"type\":\"organization\"}}", OUTCOME_OK);
    end(&f);
}

static void test_switching_a_key(void **state)
{
    (void)state;
    static const struct {
        enum provider_verb verb;
        const char *right, *wrong;
    } cases[] = {
        {PROVIDER_REVOKE_KEY, KEY("apikey_1", "n", "archived", "w"), KEY("apikey_1", "n", "inactive", "w")},
        {PROVIDER_SUSPEND_KEY, KEY("apikey_1", "n", "inactive", "w"), KEY("apikey_1", "n", "active", "w")},
        {PROVIDER_RESUME_KEY, KEY("apikey_1", "n", "active", "wrkspc_1"), KEY("apikey_1", "n", "archived", "wrkspc_1")},
    };
    struct fixture f;
    for (size_t i = 0; i < 3; i++) {
        begin_here(&f, cases[i].verb);
        reads(&f, 200, cases[i].right, OUTCOME_OK);
        end(&f);
        begin_here(&f, cases[i].verb);
        reads(&f, 200, cases[i].wrong, OUTCOME_UNKNOWN);
        says(&f, "does not have the status that was set");
        end(&f);
    }
}

/* Pages, doubles, another order, another status, another workspace, fields that nobody knows. */
static void test_find_keys(void **state)
{
    (void)state;
    struct fixture f;
    begin_here(&f, PROVIDER_FIND_KEYS);
    reads_on(&f, 200, LIST(KEY("apikey_3", OUR_NAME, "inactive", "wrkspc_1") "," KEY("apikey_4", "other", "active", "wrkspc_1"),
                           "true", "\"apikey_4\""));
    asks(&f, HTTP_GET, BASE "/api_keys?limit=1000&workspace_id=wrkspc_1&after_id=apikey_4", NULL);
    reads(&f, 200, LIST(KEY("apikey_3", OUR_NAME, "inactive", "wrkspc_1") "," KEY("apikey_2", OUR_NAME, "active", "wrkspc_1") ","
                        KEY("apikey_5", OUR_NAME, "archived", "wrkspc_1") "," KEY("apikey_6", OUR_NAME, "expired", "wrkspc_1") ","
                        KEY("apikey_7", OUR_NAME, "active", "wrkspc_2"), "false", "null"), OUTCOME_OK);
    assert_int_equal(f.result.items_count, 2);
    assert_string_equal(f.result.items[0].id, "apikey_2");
    assert_false(f.result.items[0].suspended);
    assert_string_equal(f.result.items[1].id, "apikey_3");
    assert_true(f.result.items[1].tells_suspended && f.result.items[1].suspended);
    assert_string_equal(f.result.items[1].container_id, "wrkspc_1");
    assert_int_equal(f.result.items[1].created_at, INT64_C(1795600802000));
    end(&f);
}

static void test_lists_that_cannot_be_trusted(void **state)
{
    (void)state;
    static const struct wrong_answer wrong[] = {
        {"{\"has_more\":false}", "'data'"},
        {"{\"data\":{},\"has_more\":false}", "'data'"},
        {"{\"data\":[]}", "'has_more'"},
        {"{\"data\":[],\"has_more\":\"no\"}", "'has_more'"},
        {"{\"data\":[],\"has_more\":true}", "nothing leads there"},
        {LIST("7", "false", "null"), "an entry of the list is no object"},
        {LIST("null", "false", "null"), "an entry of the list is no object"},
        {LIST("{\"name\":\"n\"}", "false", "null"), "'id'"},
    };
    believes_none(begin_here, PROVIDER_FIND_KEYS, 0, wrong, COUNT(wrong));
    struct fixture f;
    begin_here(&f, PROVIDER_FIND_CONTAINER); /* paging that stands still */
    reads_on(&f, 200, LIST(WORKSPACE("wrkspc_1", "\"n\"", LIVE), "true", "\"wrkspc_1\""));
    reads(&f, 200, LIST(WORKSPACE("wrkspc_1", "\"n\"", LIVE), "true", "\"wrkspc_1\""), OUTCOME_UNREACHABLE);
    says(&f, "nothing leads there");
    end(&f);
}

/* In the older version a key of the default workspace has a null; before `scope` there was `workspace_id` alone. */
static void test_where_a_key_is(void **state)
{
    (void)state;
    static const struct {
        const char *body, *workspace;
        bool of_none;
    } cases[] = {
        {PLACED(",\"scope\":{\"type\":\"workspace\",\"workspace_id\":\"wrkspc_1\"},\"workspace_id\":null"), "wrkspc_1", false},
        {PLACED(",\"workspace_id\":\"wrkspc_1\""), "wrkspc_1", false},
        {PLACED(",\"workspace_id\":null"), "", false},
        {PLACED(",\"scope\":{\"type\":\"organization\"}"), "", true},
        {PLACED(",\"scope\":[]"), "", false},
        {PLACED(",\"workspace_id\":\"a/b\""), "", false},
    };
    struct fixture f;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        begin_here(&f, PROVIDER_FIND_KEYS);
        char list[512];
        snprintf(list, sizeof list, "{\"data\":[%s],\"has_more\":false}", cases[i].body);
        reads(&f, 200, list, OUTCOME_OK);
        assert_int_equal(f.result.items_count, 1);
        assert_string_equal(f.result.items[0].container_id, cases[i].workspace);
        assert_int_equal(f.result.items[0].of_no_container, cases[i].of_none);
        end(&f);
    }
}

/* Which key is this secret? By what is shown of it. */
static void test_identify(void **state)
{
    (void)state;
#define HINTED(id, status, hint) \
    "{\"id\":\"" id "\",\"name\":\"n\",\"status\":\"" status "\",\"created_at\":\"2026-11-25T10:00:02Z\"," \
    "\"partial_key_hint\":" hint "}"
    struct fixture f;
    begin_here(&f, PROVIDER_IDENTIFY_KEY);
    reads(&f, 200, LIST(HINTED("apikey_a", "active", "\"sk-ant-api03-abc...WXYZ\"") ","
                        HINTED("apikey_b", "inactive", "\"sk-ant-api03-abc***WXYZ\"") ","
                        HINTED("apikey_c", "active", "\"sk-ant-api03-abd...WXYZ\"") ","
                        HINTED("apikey_d", "active", "\"sk-ant-api03-abc...WXYz\"") ","
                        HINTED("apikey_e", "archived", "\"sk-ant-api03-abc...WXYZ\"") ","
                        HINTED("apikey_f", "active",
                               "\"sk-ant-api03-abcdefghijklmnopWXYZ...sk-ant-api03-abcdefghijklmnopWXYZ\"") ","
                        HINTED("apikey_g", "active", "null"), "false", "null"), OUTCOME_OK);
    assert_int_equal(f.result.items_count, 3);
    assert_string_equal(f.result.items[0].id, "apikey_a");
    assert_string_equal(f.result.items[1].id, "apikey_b");
    assert_string_equal(f.result.items[2].id, "apikey_g"); /* nothing is shown: it may be this one */
    end(&f);
}

/* --- workspaces --- */

static void test_find_container(void **state)
{
    (void)state;
    struct fixture f;
    begin_here(&f, PROVIDER_FIND_CONTAINER);
    reads(&f, 200, LIST(WORKSPACE("wrkspc_3", "\"llmhook:h1:u1\"", "3Z\"") "," WORKSPACE("wrkspc_2", "\"llmhook:h1:u1 agent\"",
                                                                                         LIVE) ","
                        WORKSPACE("wrkspc_4", "\"llmhook:h1:u12\"", LIVE) "," WORKSPACE("wrkspc_5", "\"llmhook:h1:u1\"",
                                                                                        ARCHIVED) ","
                        WORKSPACE("wrkspc_6", "null", LIVE) ","
                        WORKSPACE("wrkspc_1", "\"cut\"", "0Z\",\"tags\":{\"llmhook\":\"llmhook:h1:u1 agent-1\",\"x\":\"y\"}"),
                        "false", "null"), OUTCOME_OK);
    assert_int_equal(f.result.items_count, 3);
    assert_string_equal(f.result.items[0].id, "wrkspc_1");
    assert_string_equal(f.result.items[0].name, "llmhook:h1:u1 agent-1");
    assert_string_equal(f.result.items[1].id, "wrkspc_2");
    assert_string_equal(f.result.items[2].id, "wrkspc_3");
    end(&f);
}

static void test_create_and_archive(void **state)
{
    (void)state;
    struct fixture f;
    begin_here(&f, PROVIDER_CREATE_CONTAINER);
    snprintf(f.call.container_name, sizeof f.call.container_name, "llmhook:0123456789ab:01234567-89ab-cdef-0123-456789abcdef vm");
    asks(&f, HTTP_POST, BASE "/workspaces",
         "{\"name\":\"llmhook:0123456789ab:01234567-89ab-cdef-\",\"tags\":{\"llmhook\":"
         "\"llmhook:0123456789ab:01234567-89ab-cdef-0123-456789abcdef vm\"}}");
    reads(&f, 200, WORKSPACE("wrkspc_9", "\"n\"", LIVE), OUTCOME_OK);
    assert_string_equal(f.result.container_id, "wrkspc_9");
    end(&f);
    begin_here(&f, PROVIDER_CREATE_CONTAINER);
    reads(&f, 200, "{\"id\":\"a/b\"}", OUTCOME_UNKNOWN);
    assert_string_equal(f.result.container_id, "");
    end(&f);
    begin_here(&f, PROVIDER_ARCHIVE_CONTAINER);
    reads(&f, 200, WORKSPACE("wrkspc_1", "\"n\"", ARCHIVED), OUTCOME_OK);
    end(&f);
    begin_here(&f, PROVIDER_ARCHIVE_CONTAINER);
    reads(&f, 200, WORKSPACE("wrkspc_1", "\"n\"", LIVE), OUTCOME_UNKNOWN);
    says(&f, "the workspace is not shown as archived");
    end(&f);
}

#define SPEND_LIMIT(amount, currency, period, workspace, enabled) \
    "{\"type\":\"spend_limit\",\"id\":\"spl_1\",\"amount\":" amount ",\"currency\":\"" currency "\",\"period\":\"" period \
    "\",\"is_enabled\":" enabled ",\"scope\":{\"type\":\"workspace\",\"workspace_id\":\"" workspace "\"}}"

static void test_the_spend_limit_is_read_back(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        enum outcome outcome;
        const char *piece;
    } cases[] = {
        {SPEND_LIMIT("\"10051\"", "USD", "monthly", "wrkspc_1", "true"), OUTCOME_OK, ""},
        {SPEND_LIMIT("\"10050\"", "USD", "monthly", "wrkspc_1", "true"), OUTCOME_REFUSED, "keeps another spend limit"},
        {SPEND_LIMIT("\"10051\"", "USD", "weekly", "wrkspc_1", "true"), OUTCOME_REFUSED, "keeps another spend limit"},
        {SPEND_LIMIT("\"10051\"", "USD", "monthly", "wrkspc_2", "true"), OUTCOME_REFUSED, "keeps another spend limit"},
        {SPEND_LIMIT("\"10051\"", "USD", "monthly", "wrkspc_1", "false"), OUTCOME_REFUSED, "keeps another spend limit"},
        {SPEND_LIMIT("null", "USD", "monthly", "wrkspc_1", "true"), OUTCOME_REFUSED, "keeps another spend limit"},
        {SPEND_LIMIT("\"10051\"", "EUR", "monthly", "wrkspc_1", "true"), OUTCOME_UNSUPPORTED, "another currency"},
        {SPEND_LIMIT("\"-1\"", "USD", "monthly", "wrkspc_1", "true"), OUTCOME_UNKNOWN, "field 'amount' is no number"},
        {SPEND_LIMIT("\"\"", "USD", "monthly", "wrkspc_1", "true"), OUTCOME_UNKNOWN, "field 'amount' is no number"},
        {SPEND_LIMIT("\"9999999999999999999\"", "USD", "monthly", "wrkspc_1", "true"), OUTCOME_UNKNOWN, "field 'amount'"},
        {SPEND_LIMIT("10051", "USD", "monthly", "wrkspc_1", "true"), OUTCOME_UNKNOWN, "field 'amount'"},
        {"{\"id\":\"spl_1\"}", OUTCOME_UNKNOWN, "'scope'"},
    };
    struct fixture f;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        begin_here(&f, PROVIDER_LIMIT_CONTAINER);
        reads_on(&f, 200, SPEND_LIMIT("\"10051\"", "USD", "monthly", "wrkspc_1", "true"));
        asks(&f, HTTP_GET, BASE "/spend_limits/spl_1", NULL);
        reads(&f, 200, cases[i].body, cases[i].outcome);
        says(&f, cases[i].piece);
        assert_int_equal(f.result.other_limit, cases[i].outcome == OUTCOME_REFUSED);
        end(&f);
    }
}

static void test_organisations_without_spend_limits(void **state)
{
    (void)state;
    struct fixture f;
    begin_here(&f, PROVIDER_LIMIT_CONTAINER);
    reads(&f, 403, ERROR_CODE("Early access.", "spend_limits_admin_api_writes_not_enabled"), OUTCOME_UNSUPPORTED);
    says(&f, "does not offer spend limits to this organisation: Early access.");
    assert_true(f.result.other_limit);
    end(&f);
    begin_here(&f, PROVIDER_LIMIT_CONTAINER);
    reads(&f, 400, ERROR_CODE("Not this type.", "organization_type_not_supported"), OUTCOME_UNSUPPORTED);
    end(&f);
    begin_here(&f, PROVIDER_LIMIT_CONTAINER);
    reads(&f, 403, ERROR_BODY("permission_error", "Your role may not."), OUTCOME_REFUSED);
    assert_false(f.result.other_limit);
    end(&f);
    begin_here(&f, PROVIDER_LIMIT_CONTAINER); /* set, and then not to be read back */
    reads_on(&f, 200, SPEND_LIMIT("\"10051\"", "USD", "monthly", "wrkspc_1", "true"));
    reads(&f, 403, ERROR_CODE("Early access.", "spend_limits_admin_api_writes_not_enabled"), OUTCOME_UNSUPPORTED);
    end(&f);
    begin_here(&f, PROVIDER_LIMIT_CONTAINER);
    reads_on(&f, 404, NOT_FOUND);
    reads(&f, 200, WORKSPACE("wrkspc_1", "\"n\"", LIVE), OUTCOME_UNSUPPORTED);
    assert_true(f.result.other_limit);
    end(&f);
}

#define RATES(id, models, limits) "{\"id\":\"" id "\",\"type\":\"rate_limit\",\"models\":" models ",\"limits\":[" limits "]}"
#define LIMITER(type, value) "{\"type\":\"" type "\",\"value\":" value "}"

static void test_rate_limits(void **state)
{
    (void)state;
    struct fixture f;
    begin_here(&f, PROVIDER_RATE_LIMIT_CONTAINER);
    f.settings.rates_count = 2;
    f.settings.rates[0] = (struct provider_rate){"claude-sonnet-5-5", 50, 40000};
    f.settings.rates[1] = (struct provider_rate){"claude-haiku-5-5", 60, 0};
    reads_on(&f, 200, CURSOR_LIST(RATES("rl_1", "[\"claude-sonnet-5-5\",\"dated\"]",
                                        LIMITER("requests_per_minute", "4000") "," LIMITER("output_tokens_per_minute", "1") ","
                                        LIMITER("input_tokens_per_minute_cache_aware", "1") "," LIMITER("unheard_of", "1")) ","
                                  RATES("rl_2", "null", ""), "\"page=2 &\""));
    asks(&f, HTTP_GET, BASE "/rate_limits?limit=100&group_type=model_group&page=page%3D2%20%26", NULL);
    reads_on(&f, 200, CURSOR_LIST(RATES("rl_3", "[\"claude-haiku-5-5\"]", LIMITER("requests_per_minute", "4000")), "null"));
    asks(&f, HTTP_POST, BASE "/workspaces/wrkspc_1/rate_limits/rl_1",
         "{\"limits\":[{\"type\":\"requests_per_minute\",\"value\":50},{\"type\":\"input_tokens_per_minute_cache_aware\","
         "\"value\":40000},{\"type\":\"output_tokens_per_minute\",\"value\":40000}]}");
    reads_on(&f, 200, "{\"limits\":[" LIMITER("requests_per_minute", "50") "," LIMITER("output_tokens_per_minute", "40000") ","
                      LIMITER("input_tokens_per_minute_cache_aware", "40000") "]}");
    asks(&f, HTTP_POST, BASE "/workspaces/wrkspc_1/rate_limits/rl_3",
         "{\"limits\":[{\"type\":\"requests_per_minute\",\"value\":60}]}");
    reads(&f, 200, "{\"limits\":[" LIMITER("requests_per_minute", "61") "]}", OUTCOME_REFUSED);
    says(&f, "does not keep the requests_per_minute that were asked for with model 'claude-haiku-5-5'");
    end(&f);
    begin_here(&f, PROVIDER_RATE_LIMIT_CONTAINER);
    f.settings.rates_count = 1;
    f.settings.rates[0] = (struct provider_rate){"claude-sonnet-5-5", 50, 0};
    reads(&f, 200, CURSOR_LIST("", "null"), OUTCOME_REFUSED);
    says(&f, "has no rate limits for model 'claude-sonnet-5-5'");
    end(&f);
    begin_here(&f, PROVIDER_RATE_LIMIT_CONTAINER);
    reads(&f, 200, CURSOR_LIST("7", "null"), OUTCOME_UNKNOWN);
    end(&f);
}

/* --- the inventory --- */

static void inventory_to_limits(struct fixture *f)
{
    static const char *const known[] = {"apikey_4", "apikey_5", "wrkspc_6"}; /* archived, renamed, given */
    begin(f, PROVIDER_INVENTORY);
    f->call.known_ids = known;
    f->call.known_count = COUNT(known);
    snprintf(f->call.name_prefix, sizeof f->call.name_prefix, "llmhook:");
    snprintf(f->call.limits_prefix, sizeof f->call.limits_prefix, "llmhook:h1:");
    reads_on(f, 200, LIST(WORKSPACE("wrkspc_1", "\"llmhook:h1:u1\"", LIVE) "," WORKSPACE("wrkspc_2", "\"llmhook:h1:u2\"",
                                                                                         LIVE) ","
                          WORKSPACE("wrkspc_3", "\"llmhook:h2:u1\"", LIVE) "," WORKSPACE("wrkspc_4", "\"people\"", LIVE) ","
                          WORKSPACE("wrkspc_5", "\"llmhook:h1:u5\"", ARCHIVED) ","
                          WORKSPACE("wrkspc_6", "\"people too\"", LIVE), "false", "null"));
    asks(f, HTTP_GET, BASE "/api_keys?limit=1000", NULL);
    reads_on(f, 200, LIST(KEY("apikey_1", "made by hand", "active", "wrkspc_1") "," KEY("apikey_2", "theirs", "active",
                                                                                        "wrkspc_4"),
                          "true", "\"apikey_2\""));
    asks(f, HTTP_GET, BASE "/api_keys?limit=1000&after_id=apikey_2", NULL);
    reads_on(f, 200, LIST(KEY("apikey_3", "llmhook:h1:u4:anthropic:g1", "inactive", "wrkspc_4") ","
                          KEY("apikey_4", "llmhook:h1:u4:anthropic:g0", "archived", "wrkspc_4") ","
                          KEY("apikey_5", "renamed", "active", "wrkspc_4") ","
                          KEY("apikey_6", "theirs too", "active", "wrkspc_6"), "false", "null"));
    asks(f, HTTP_GET, BASE "/spend_limits?limit=1000&scope_type%5B%5D=workspace", NULL);
}

static void test_inventory(void **state)
{
    (void)state;
    struct fixture f;
    inventory_to_limits(&f);
    struct http_request request = HTTP_REQUEST_INIT;
    assert_true(driver->build(&f.settings, &f.call, &f.progress, &f.result, &request, NULL));
    assert_string_equal(request.headers[1], "anthropic-beta: spend-limit-reads-2026-09-26");
    reads_on(&f, 200, CURSOR_LIST(SPEND_LIMIT("\"2500\"", "USD", "monthly", "wrkspc_1", "true") ","
                                  SPEND_LIMIT("\"2500\"", "USD", "monthly", "wrkspc_3", "true"), "\"p2\""));
    reads(&f, 200, CURSOR_LIST("", "null"), OUTCOME_OK);
    static const char *const ids[] = {"wrkspc_1", "wrkspc_2", "wrkspc_3", "wrkspc_6", "apikey_1", "apikey_3", "apikey_5"};
    static const int64_t limits[] = {25000000, 0, PROVIDER_LIMIT_UNTOLD, PROVIDER_LIMIT_UNTOLD, PROVIDER_LIMIT_UNTOLD,
                                     PROVIDER_LIMIT_UNTOLD, PROVIDER_LIMIT_UNTOLD};
    assert_int_equal(f.result.items_count, COUNT(ids));
    for (size_t i = 0; i < COUNT(ids); i++) {
        assert_string_equal(f.result.items[i].id, ids[i]);
        assert_int_equal(f.result.items[i].monthly_limit, limits[i]);
        assert_int_equal(f.result.items[i].suspended, i == 5);
    }
    assert_string_equal(f.result.items[5].container_id, "wrkspc_4");
    end(&f);
    inventory_to_limits(&f); /* limits may not be listed: then they are not told */
    reads(&f, 403, ERROR_CODE("Early access.", "spend_limits_admin_api_writes_not_enabled"), OUTCOME_OK);
    assert_int_equal(f.result.items_count, 7);
    assert_int_equal(f.result.items[0].monthly_limit, PROVIDER_LIMIT_UNTOLD);
    end(&f);
    inventory_to_limits(&f);
    reads(&f, 200, CURSOR_LIST(SPEND_LIMIT("\"x\"", "USD", "monthly", "wrkspc_1", "true"), "null"), OUTCOME_UNREACHABLE);
    end(&f);
    begin_here(&f, PROVIDER_INVENTORY); /* nobody asks for limits */
    reads_on(&f, 200, LIST("", "false", "null"));
    reads(&f, 200, LIST("", "false", "null"), OUTCOME_OK);
    end(&f);
}

static void test_check(void **state)
{
    (void)state;
    struct fixture f;
    begin_here(&f, PROVIDER_CHECK);
    reads(&f, 200, LIST(WORKSPACE("wrkspc_1", "\"n\"", LIVE), "true", "\"wrkspc_1\""), OUTCOME_OK);
    assert_int_equal(f.result.items_count, 0);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_requests),
        cmocka_unit_test(test_requests_in_the_whole_account),
        cmocka_unit_test(test_inputs_that_cannot_be_used),
        cmocka_unit_test(test_statuses_for_every_verb),
        cmocka_unit_test(test_a_key_that_is_not_seen),
        cmocka_unit_test(test_a_key_that_has_ended),
        cmocka_unit_test(test_workspaces_that_are_archived),
        cmocka_unit_test(test_a_claim_is_read_back),
        cmocka_unit_test(test_what_a_resumption_looks_at),
        cmocka_unit_test(test_switching_a_key),
        cmocka_unit_test(test_find_keys),
        cmocka_unit_test(test_lists_that_cannot_be_trusted),
        cmocka_unit_test(test_where_a_key_is),
        cmocka_unit_test(test_identify),
        cmocka_unit_test(test_find_container),
        cmocka_unit_test(test_create_and_archive),
        cmocka_unit_test(test_the_spend_limit_is_read_back),
        cmocka_unit_test(test_organisations_without_spend_limits),
        cmocka_unit_test(test_rate_limits),
        cmocka_unit_test(test_inventory),
        cmocka_unit_test(test_check),
    };
    return check_run_within(tests, choose, forget);
}
