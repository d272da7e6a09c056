/* openrouter.c: what is asked, word for word, and what is made of every kind of answer. No network. */
#define DRIVER provider_openrouter
#define BASE "https://openrouter.ai/api/v1"
#define WHO "OpenRouter"
#define CHOSEN MINTED_KEY
#define KEY_ID "h-xyz"
#define MINTED_KEY "sk-or-v1-abcdefghijklmnopqrstuv"
#define NAME "llmhook:h1:u1:openai:1"
#define REFUSAL(code, message) "{\"error\":{\"code\":" code ",\"message\":\"" message "\"},\"user_id\":null}"
#define KEY_OF(hash, name, limit, reset, disabled)                                                                    \
    "{\"hash\":" hash ",\"name\":" name ",\"label\":\"sk-or-v1-abc...xyz\",\"disabled\":" disabled ",\"limit\":" limit \
    ",\"limit_remaining\":" limit ",\"limit_reset\":" reset ",\"include_byok_in_limit\":true,\"usage\":0,"              \
    "\"created_at\":\"2026-11-25T10:30:00.5Z\",\"updated_at\":null,\"new\":[{}]}"
#define KEY(hash, name) KEY_OF("\"" hash "\"", "\"" name "\"", "25.5", "\"monthly\"", "false")
#define MINTED(data, key) "{\"data\":" data ",\"key\":" key ",\"more\":1}"
#define GOOD_DATA KEY_OF("\"h-new\"", "\"" NAME "\"", "100.51", "\"monthly\"", "false")
#define LISTED(keys) "{\"data\":[" keys "]}"
#define LIST_URL BASE "/keys?include_disabled=true&offset="

#define KEY_URL BASE "/key"
#define LOOK_URL LIST_URL "0"
#define NOT_FOUND REFUSAL("404", "Resource not found")
#define LISTED_AGAIN LISTED(KEY("h-1", "other") "," KEY(KEY_ID, "renamed"))
#define NO_LIST "{\"data\":7}"
#include "gateway-fixture.h"

static void begin_here(struct fixture *f, enum provider_verb verb)
{
    begin(f, verb);
    snprintf(f->call.container_id, sizeof f->call.container_id, PROVIDER_ACCOUNT);
    snprintf(f->call.key_id, sizeof f->call.key_id, KEY_ID);
}

/* --- requests --- */

static void test_first_requests(void **state)
{
    (void)state;
    static const struct first_request wanted[] = {
        {PROVIDER_FIND_KEYS, HTTP_GET, LIST_URL "0", NULL},
        {PROVIDER_INVENTORY, HTTP_GET, LIST_URL "0", NULL},
        {PROVIDER_CHECK, HTTP_GET, LIST_URL "0", NULL},
        {PROVIDER_MINT_KEY, HTTP_POST, BASE "/keys",
         "{\"name\":\"" NAME "\",\"limit\":100.51,\"limit_reset\":\"monthly\",\"include_byok_in_limit\":true}"},
        {PROVIDER_SUSPEND_KEY, HTTP_PATCH, BASE "/keys/h-xyz", "{\"disabled\":true}"},
        {PROVIDER_RESUME_KEY, HTTP_PATCH, BASE "/keys/h-xyz", "{\"disabled\":false}"},
        {PROVIDER_REVOKE_KEY, HTTP_PATCH, BASE "/keys/h-xyz", "{\"disabled\":true}"},
        {PROVIDER_USAGE, HTTP_GET, LIST_URL "0", NULL},
        {PROVIDER_LIMIT_KEY, HTTP_PATCH, BASE "/keys/h-xyz",
         "{\"limit\":100.51,\"limit_reset\":\"monthly\",\"include_byok_in_limit\":true}"},
    };
    asks_first(begin_here, wanted, COUNT(wanted));
}

static void test_a_life_on_request(void **state)
{
    (void)state;
    struct fixture f;
    begin_here(&f, PROVIDER_MINT_KEY);
    f.settings.expires_ms = INT64_C(90) * 24 * 3600 * 1000;
    f.call.wall = INT64_C(1764114300999); /* 2025-11-25T23:45:00.999Z */
    asks(&f, HTTP_POST, BASE "/keys",
         "{\"name\":\"" NAME "\",\"limit\":100.51,\"limit_reset\":\"monthly\",\"include_byok_in_limit\":true,"
         "\"expires_at\":\"2026-02-23T23:45:00Z\"}");
    snprintf(f.settings.base_url, sizeof f.settings.base_url, "http://127.0.0.1:9/v1");
    f.call.verb = PROVIDER_CHECK;
    asks(&f, HTTP_GET, "http://127.0.0.1:9/v1/keys?include_disabled=true&offset=0", NULL);
    end(&f);
}

/* --- minting --- */

static void test_minted(void **state)
{
    (void)state;
    struct fixture f;
    begin_here(&f, PROVIDER_MINT_KEY);
    reads(&f, 201, MINTED(GOOD_DATA, "\"" MINTED_KEY "\""), OUTCOME_OK);
    assert_string_equal(f.result.key_id, "h-new");
    assert_string_equal(secret_reveal(f.result.secret), MINTED_KEY);
    assert_int_equal(f.result.life_ms, 0);
    end(&f);
    begin_here(&f, PROVIDER_MINT_KEY);
    f.settings.expires_ms = 7200000;
    reads(&f, 201, MINTED(GOOD_DATA, "\"" MINTED_KEY "\""), OUTCOME_OK);
    assert_int_equal(f.result.life_ms, 7200000);
    end(&f);
    begin_here(&f, PROVIDER_MINT_KEY);
    f.call.monthly_limit = INT64_C(25000000);
    reads(&f, 200, MINTED(KEY_OF("\"h-new\"", "\"\"", "25", "\"monthly\"", "false"), "\"" MINTED_KEY "\""), OUTCOME_OK);
    end(&f);
}

static void test_minted_and_not_taken(void **state)
{
    (void)state;
    static const char no_limit[] = "the key has not got the monthly limit that was asked for";
    static const struct lost_key lost[] = {
        {"", "", "cannot be trusted"},
        {MINTED(GOOD_DATA, "\"" MINTED_KEY "\"") "x", "", "cannot be trusted"},
        {"{\"data\":" GOOD_DATA "}", "h-new", "field 'key' is missing or no string"},
        {MINTED(GOOD_DATA, "null"), "h-new", "field 'key' is missing or no string"},
        {MINTED(GOOD_DATA, "\"short\""), "h-new", "field 'key' holds no usable key"},
        {MINTED(GOOD_DATA, "\"with a space in it it is none\""), "h-new", "field 'key' holds no usable key"},
        {MINTED("[]", "\"" MINTED_KEY "\""), "", "field 'data' is array, not object"},
        {MINTED(KEY_OF("7", "\"\"", "100.51", "\"monthly\"", "false"), "\"" MINTED_KEY "\""), "",
         "field 'hash' is int, not string"},
        {MINTED(KEY_OF("\"a/b\"", "\"\"", "100.51", "\"monthly\"", "false"), "\"" MINTED_KEY "\""), "",
         "field 'hash' holds what no hash has"},
        {MINTED(KEY_OF("\"h-new\"", "\"\"", "null", "\"monthly\"", "false"), "\"" MINTED_KEY "\""), "h-new", no_limit},
        {MINTED(KEY_OF("\"h-new\"", "\"\"", "100.52", "\"monthly\"", "false"), "\"" MINTED_KEY "\""), "h-new", no_limit},
        {MINTED(KEY_OF("\"h-new\"", "\"\"", "100.51", "\"weekly\"", "false"), "\"" MINTED_KEY "\""), "h-new", no_limit},
        {MINTED(KEY_OF("\"h-new\"", "\"\"", "100.51", "null", "false"), "\"" MINTED_KEY "\""), "h-new", no_limit},
        {MINTED(KEY_OF("\"h-new\"", "\"\"", "\"100.51\"", "\"monthly\"", "false"), "\"" MINTED_KEY "\""), "h-new",
         "field 'limit' is no amount"},
        {MINTED(KEY_OF("\"h-new\"", "\"\"", "-1", "\"monthly\"", "false"), "\"" MINTED_KEY "\""), "h-new",
         "field 'limit' is no amount"},
        {MINTED("{\"hash\":\"h-new\",\"limit\":100.51,\"limit_reset\":\"monthly\",\"include_byok_in_limit\":false}",
                "\"" MINTED_KEY "\""), "h-new", no_limit},
    };
    minted_and_lost(begin_here, 201, lost, COUNT(lost), MINTED_KEY);
}

static void test_minted_and_cut_off(void **state)
{
    (void)state;
    minted_and_cut_off(begin_here, 0, 201, MINTED(GOOD_DATA, "\"" MINTED_KEY "\""));
}

/* --- lists --- */

static void test_found_by_the_whole_name(void **state)
{
    (void)state;
    struct fixture f;
    begin_here(&f, PROVIDER_FIND_KEYS);
    reads_on(&f, 200, LISTED(KEY("a", NAME "0") "," KEY("b", NAME) "," KEY("c", "x" NAME) "," KEY("d", NAME)));
    asks(&f, HTTP_GET, LIST_URL "3", NULL);
    reads(&f, 200, LISTED(KEY("d", NAME)), OUTCOME_OK);
    assert_int_equal(f.result.items_count, 2);
    assert_string_equal(f.result.items[0].id, "b");
    assert_string_equal(f.result.items[0].container_id, PROVIDER_ACCOUNT);
    assert_int_equal(f.result.items[0].kind, PROVIDER_ITEM_KEY);
    assert_int_equal(f.result.items[0].created_at, INT64_C(1795602600500));
    assert_int_equal(f.result.items[0].monthly_limit, 25500000);
    assert_string_equal(f.result.items[1].id, "d");
    end(&f);
    begin_here(&f, PROVIDER_FIND_KEYS);
    reads(&f, 200, LISTED(""), OUTCOME_OK);
    assert_int_equal(f.result.items_count, 0);
    end(&f);
}

static void test_inventory_by_prefix(void **state)
{
    (void)state;
    struct fixture f;
    begin_here(&f, PROVIDER_INVENTORY);
    reads_on(&f, 200,
             LISTED(KEY("a", "llmhook:h2:u") ","
                    KEY_OF("\"b\"", "\"llmhook:h1:u\"", "null", "null", "true") "," KEY("c", "mine")));
    reads(&f, 200, LISTED(KEY("c", "mine")), OUTCOME_OK);
    assert_int_equal(f.result.items_count, 1);
    assert_string_equal(f.result.items[0].id, "b");
    assert_int_equal(f.result.items[0].monthly_limit, 0);
    assert_true(f.result.items[0].tells_suspended && f.result.items[0].suspended);
    end(&f);
}

/* Somebody has given ours another name. */
static void test_inventory_by_id(void **state)
{
    (void)state;
    static const char *const known[] = {"a", "c", "e"};
    struct fixture f;
    begin_here(&f, PROVIDER_INVENTORY);
    f.call.known_ids = known;
    f.call.known_count = COUNT(known);
    reads_on(&f, 200, LISTED(KEY("b", "mine") "," KEY("c", "theirs") "," KEY("d", "llmhook:h1:u")));
    reads(&f, 200, LISTED(KEY("d", "llmhook:h1:u")), OUTCOME_OK);
    assert_int_equal(f.result.items_count, 2);
    assert_string_equal(f.result.items[0].name, "theirs");
    assert_true(f.result.items[0].tells_suspended && !f.result.items[0].suspended);
    end(&f);
}

/* A key was deleted while we read: "d" is where "c" was, and would be passed over. */
static void test_a_list_that_moves_is_read_again(void **state)
{
    (void)state;
    struct fixture f;
    begin_here(&f, PROVIDER_INVENTORY);
    reads_on(&f, 200, LISTED(KEY("a", "llmhook:h1:a") "," KEY("b", "llmhook:h1:b")));
    asks(&f, HTTP_GET, LIST_URL "1", NULL);
    reads_on(&f, 200, LISTED(KEY("d", "llmhook:h1:d") "," KEY("e", "llmhook:h1:e")));
    asks(&f, HTTP_GET, LIST_URL "0", NULL);
    reads_on(&f, 200, LISTED(KEY("b", "llmhook:h1:b") "," KEY("c", "llmhook:h1:c")));
    reads_on(&f, 200, LISTED(KEY("c", "llmhook:h1:c") "," KEY("d", "llmhook:h1:d")));
    asks(&f, HTTP_GET, LIST_URL "2", NULL);
    reads(&f, 200, LISTED(KEY("d", "llmhook:h1:d")), OUTCOME_OK);
    assert_int_equal(f.result.items_count, 3);
    end(&f);
    begin_here(&f, PROVIDER_INVENTORY);
    for (int i = 0; i < 8; i++) {
        reads_on(&f, 200, LISTED(KEY("a", "llmhook:h1:a") "," KEY("b", "llmhook:h1:b")));
        reads_on(&f, 200, LISTED(KEY("c", "llmhook:h1:c")));
    }
    reads_on(&f, 200, LISTED(KEY("a", "llmhook:h1:a") "," KEY("b", "llmhook:h1:b")));
    reads(&f, 200, LISTED(KEY("c", "llmhook:h1:c")), OUTCOME_UNREACHABLE);
    check_error(f.result.error, ERROR_BUSY, "OpenRouter's list of keys does not hold still");
    end(&f);
}

/* Keys were made while we read: all others move back and are seen twice. */
static void test_a_list_that_grows_in_front(void **state)
{
    (void)state;
    struct fixture f;
    begin_here(&f, PROVIDER_INVENTORY);
    reads_on(&f, 200, LISTED(KEY("c", "llmhook:h1:c") "," KEY("b", "llmhook:h1:b")));
    reads_on(&f, 200, LISTED(KEY("c", "llmhook:h1:c") "," KEY("b", "llmhook:h1:b") "," KEY("c", "llmhook:h1:c") ","
                             KEY("a", "llmhook:h1:a")));
    reads(&f, 200, LISTED(KEY("a", "llmhook:h1:a")), OUTCOME_OK);
    assert_int_equal(f.result.items_count, 3);
    end(&f);
}

static void test_pages_of_one(void **state)
{
    (void)state;
    struct fixture f;
    begin_here(&f, PROVIDER_INVENTORY);
    reads_on(&f, 200, LISTED(KEY("a", "llmhook:h1:a")));
    asks(&f, HTTP_GET, LIST_URL "1", NULL);
    reads_on(&f, 200, LISTED(KEY("b", "llmhook:h1:b")));
    asks(&f, HTTP_GET, LIST_URL "2", NULL);
    reads(&f, 200, LISTED(""), OUTCOME_OK);
    assert_int_equal(f.result.items_count, 2);
    end(&f);
}

static void test_lists_that_cannot_be_trusted(void **state)
{
    (void)state;
    static const struct wrong_answer wrong[] = {
        {"{\"data\":{}}", "field 'data' is object, not array"},
        {"{\"keys\":[]}", "field 'data' is missing"},
        {"[]", "cannot be trusted"},
        {LISTED("7"), "cannot be trusted"},
        {LISTED("null"), "cannot be trusted"},
        {LISTED("{\"hash\":\"a\"}"), "field 'name' is missing or no string"},
        {LISTED("{\"hash\":\"a\",\"name\":[]}"), "field 'name' is missing or no string"},
        {LISTED("{\"hash\":\"a\",\"name\":\"" NAME "\"}"), "field 'created_at' is missing"},
        {LISTED("{\"hash\":\"a\",\"name\":\"" NAME "\",\"created_at\":\"yesterday\"}"), "field 'created_at' is no time"},
        {LISTED("{\"hash\":\"a\",\"name\":\"" NAME "\",\"created_at\":\"2026-11-25T10:30:00Z\",\"limit\":true}"),
         "field 'limit' is no amount"},
        {"<html>", "cannot be trusted"},
    };
    believes_none(begin_here, PROVIDER_FIND_KEYS, 0, wrong, COUNT(wrong));
}

/* --- changes --- */

static void test_suspended_and_resumed(void **state)
{
    (void)state;
    static const char disabled[] = "{\"data\":" KEY_OF("\"h-xyz\"", "\"n\"", "1", "\"monthly\"", "true") "}";
    static const char enabled[] = "{\"data\":" KEY_OF("\"h-xyz\"", "\"n\"", "1", "\"monthly\"", "false") "}";
    static const char other[] = "{\"data\":" KEY_OF("\"h-other\"", "\"n\"", "1", "\"monthly\"", "true") "}";
    static const struct switching answers[] = {
        {PROVIDER_SUSPEND_KEY, disabled, OUTCOME_OK},     {PROVIDER_SUSPEND_KEY, enabled, OUTCOME_UNKNOWN},
        {PROVIDER_SUSPEND_KEY, other, OUTCOME_UNKNOWN},   {PROVIDER_RESUME_KEY, enabled, OUTCOME_OK},
        {PROVIDER_RESUME_KEY, disabled, OUTCOME_UNKNOWN}, {PROVIDER_RESUME_KEY, "{\"data\":{}}", OUTCOME_UNKNOWN},
        {PROVIDER_SUSPEND_KEY, "null", OUTCOME_UNKNOWN},
    };
    keys_are_switched(answers, COUNT(answers));
}

static void test_limited_and_read_back(void **state)
{
    (void)state;
    static const struct reading_back answers[] = {
        {"{\"data\":" KEY_OF("\"h-xyz\"", "\"n\"", "100.51", "\"monthly\"", "false") "}", OUTCOME_OK, ""},
        {"{\"data\":" KEY_OF("\"h-xyz\"", "\"n\"", "100.52", "\"monthly\"", "false") "}", OUTCOME_REFUSED,
         "has not got the monthly limit"},
        {"{\"data\":" KEY_OF("\"h-xyz\"", "\"n\"", "null", "\"monthly\"", "false") "}", OUTCOME_REFUSED,
         "has not got the monthly limit"},
        {"{\"data\":" KEY_OF("\"h-xyz\"", "\"n\"", "100.51", "null", "false") "}", OUTCOME_REFUSED,
         "has not got the monthly limit"},
        {"{\"data\":" KEY_OF("\"h-other\"", "\"n\"", "100.51", "\"monthly\"", "false") "}", OUTCOME_UNKNOWN,
         "another key than was asked for"},
        {"{\"data\":" KEY_OF("\"h-xyz\"", "\"n\"", "\"100.51\"", "\"monthly\"", "false") "}", OUTCOME_UNKNOWN, "field 'limit'"},
        {"{\"data\":{}}", OUTCOME_UNKNOWN, "field 'hash'"},
        {"", OUTCOME_UNKNOWN, "cannot be trusted"},
    };
    limits_are_read_back(BASE "/keys/" KEY_ID, answers, COUNT(answers));
    struct fixture f;
    begin_here(&f, PROVIDER_LIMIT_KEY);
    reads_on(&f, 200, "anything");
    reads_on(&f, 404, REFUSAL("404", "Resource not found"));
    reads(&f, 200, LISTED(""), OUTCOME_GONE);
    end(&f);
}

static void test_revoked(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        enum outcome outcome;
    } answers[] = {
        {"{\"deleted\":true}", OUTCOME_OK},     {"{\"deleted\":true,\"x\":{}}", OUTCOME_OK},
        {"{\"deleted\":false}", OUTCOME_UNKNOWN}, {"{\"deleted\":1}", OUTCOME_UNKNOWN},
        {"{}", OUTCOME_UNKNOWN},                  {"", OUTCOME_UNKNOWN},
    };
    for (size_t i = 0; i < COUNT(answers); i++) {
        struct fixture f;
        begin_here(&f, PROVIDER_REVOKE_KEY);
        reads_on(&f, 200, "{}"); /* whatever stands there: it is to go */
        asks(&f, HTTP_DELETE, BASE "/keys/h-xyz", NULL);
        reads(&f, 200, answers[i].body, answers[i].outcome);
        end(&f);
    }
}

#define SPENT(hash, name, spending) \
    "{\"hash\":\"" hash "\",\"name\":\"" name "\",\"disabled\":true,\"limit\":null," spending ",\"new\":[]}"

/* What it cost is read when nothing can be spent any more, from the answer to its disabling. */
static void test_what_a_key_cost_in_the_end(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        size_t rows;
    } answers[] = {
        {"{\"data\":" SPENT("h-xyz", "n", "\"usage_monthly\":1.5,\"byok_usage_monthly\":0.25") "}", 1},
        {"{\"data\":" SPENT("h-other", "n", "\"usage_monthly\":1.5") "}", 0},
        {"{\"data\":" SPENT("h-xyz", "n", "\"usage_monthly\":\"1.5\"") "}", 0},
        {"{\"data\":{}}", 0},
        {"no JSON", 0},
    };
    for (size_t i = 0; i < COUNT(answers); i++) {
        struct fixture f;
        begin_here(&f, PROVIDER_REVOKE_KEY);
        f.call.wall = INT64_C(1764114300999);
        reads_on(&f, 200, answers[i].body);
        reads(&f, 200, "{\"deleted\":true}", OUTCOME_OK);
        assert_int_equal(f.result.usage_count, answers[i].rows);
        if (answers[i].rows) {
            assert_int_equal(f.result.usage[0].kind, PROVIDER_USAGE_MONTH_TOTAL);
            assert_int_equal(f.result.usage[0].micro_dollars, 1750000);
            assert_int_equal(f.result.usage[0].day, 20417); /* 2025-11-25 */
            assert_string_equal(f.result.usage[0].key_id, "h-xyz");
        }
        end(&f);
    }
    struct fixture f;
    begin_here(&f, PROVIDER_SUSPEND_KEY);
    reads(&f, 200, answers[0].body, OUTCOME_OK);
    assert_int_equal(f.result.usage_count, 1);
    end(&f);
    begin_here(&f, PROVIDER_REVOKE_KEY); /* who may not disable may delete */
    reads_on(&f, 403, REFUSAL("403", "Forbidden"));
    asks(&f, HTTP_DELETE, BASE "/keys/h-xyz", NULL);
    reads_on(&f, 404, REFUSAL("404", "Resource not found"));
    reads(&f, 200, LISTED(""), OUTCOME_GONE);
    end(&f);
}

/* --- usage --- */

static void test_usage(void **state)
{
    (void)state;
    struct fixture f;
    begin_here(&f, PROVIDER_USAGE);
    snprintf(f.call.name_prefix, sizeof f.call.name_prefix, "llmhook:h1:");
    reads_on(&f, 200,
             LISTED(SPENT("h-1", "llmhook:h1:u1:or:g2", "\"usage\":9,\"usage_monthly\":2.0000004,\"usage_daily\":1") ","
                    SPENT("h-2", "somebody's", "\"usage_monthly\":\"what\"") "," SPENT("h-3", "llmhook:h2:u1:or:g1", "\"x\":1")));
    asks(&f, HTTP_GET, LIST_URL "2", NULL);
    reads_on(&f, 200,
             LISTED(SPENT("h-3", "llmhook:h2:u1:or:g1", "\"x\":1") ","
                    SPENT("h-4", "llmhook:h1:u1:or:g1", "\"usage_monthly\":0,\"byok_usage_monthly\":null")));
    reads(&f, 200, LISTED(SPENT("h-4", "llmhook:h1:u1:or:g1", "\"usage_monthly\":0")), OUTCOME_OK);
    assert_int_equal(f.result.usage_count, 2);
    assert_int_equal(f.result.usage[0].micro_dollars, 2000000);
    assert_int_equal(f.result.usage[0].day, f.call.until / 86400000);
    assert_string_equal(f.result.usage[0].container_id, PROVIDER_ACCOUNT);
    assert_int_equal(f.result.usage[1].micro_dollars, 0);
    assert_string_equal(f.result.usage[1].key_id, "h-4");
    end(&f);
    begin_here(&f, PROVIDER_USAGE); /* every key of the account would be called ours */
    f.call.name_prefix[0] = '\0';
    cannot_ask(&f, "usage needs the prefix of our names");
    end(&f);
}

static void test_usage_that_cannot_be_trusted(void **state)
{
    (void)state;
    static const struct wrong_answer wrong[] = {
        {LISTED(SPENT("h-1", "llmhook:h1:u1:or:g2", "\"usage\":9")), "field 'usage_monthly' is missing"},
        {LISTED(SPENT("h-1", "llmhook:h1:u1:or:g2", "\"usage_monthly\":null")), "field 'usage_monthly' is missing"},
        {LISTED(SPENT("h-1", "llmhook:h1:u1:or:g2", "\"usage_monthly\":-2")), "'usage_monthly' is no amount"},
        {LISTED(SPENT("h-1", "llmhook:h1:u1:or:g2", "\"usage_monthly\":\"2\"")), "'usage_monthly'"},
        {LISTED(SPENT("h-1", "llmhook:h1:u1:or:g2", "\"usage_monthly\":2,\"byok_usage_monthly\":[]")), "'byok_usage_monthly'"},
        {"{\"data\":[" SPENT("h-1", "llmhook:h1:u1:or:g2", "\"usage_monthly\":2"), "not JSON"},
    };
    believes_none(begin_here, PROVIDER_USAGE, 0, wrong, COUNT(wrong));
}

/* A list that moves is read again, and what was read of it is nothing. */
static void test_usage_of_a_list_that_moves(void **state)
{
    (void)state;
    struct fixture f;
    begin_here(&f, PROVIDER_USAGE);
    snprintf(f.call.name_prefix, sizeof f.call.name_prefix, "llmhook:h1:");
    reads_on(&f, 200, LISTED(SPENT("h-1", "llmhook:h1:u1:or:g2", "\"usage_monthly\":2") "," SPENT("h-2", "x", "\"y\":1")));
    reads_on(&f, 200, LISTED(SPENT("h-3", "llmhook:h1:u1:or:g3", "\"usage_monthly\":3")));
    assert_int_equal(f.result.usage_count, 0);
    asks(&f, HTTP_GET, LIST_URL "0", NULL);
    end(&f);
}

/* Pages of a hundred that begin with the last entry of the one before, and one that shows that there is no more. */
static void test_usage_of_ten_thousand_keys(void **state)
{
    (void)state;
    struct fixture f;
    size_t requests = 0, offset = 0;
    begin_here(&f, PROVIDER_USAGE);
    snprintf(f.call.name_prefix, sizeof f.call.name_prefix, "llmhook:h1:");
    for (bool more = true; more; requests++) {
        struct http_request request = HTTP_REQUEST_INIT;
        struct error err = ERROR_INIT;
        struct buffer page = BUFFER_INIT(1 << 20);
        assert_true(driver->build(&f.settings, &f.call, &f.progress, &f.result, &request, &err));
        offset = strtoul(strstr(request.url, "offset=") + 7, NULL, 10);
        assert_true(buffer_append_text(&page, "{\"data\":["));
        for (size_t i = offset; i < 10000 && i < offset + 100; i++) {
            char key[256];
            snprintf(key, sizeof key, "%s" SPENT("h-%zu", "llmhook:h1:u%zu:or:g1", "\"usage_monthly\":2"), i == offset ? "" : ",",
                     i, i);
            assert_true(buffer_append_text(&page, key));
        }
        assert_true(buffer_append_text(&page, "]}"));
        more = reads_within(&f, 200, buffer_text(&page), -1) == PROVIDER_NEXT_REQUEST;
        buffer_clear(&page);
    }
    printf("# 10000 keys: %zu requests\n", requests);
    assert_int_equal(f.result.outcome, OUTCOME_OK);
    assert_int_equal(f.result.usage_count, 10000);
    assert_int_equal(requests, 102);
    end(&f);
}

/* --- refusals --- */

/* What neither the key nor the list knows, over all pages, is gone. */
static void test_gone(void **state)
{
    (void)state;
    for (size_t v = 0; v < COUNT(about_a_key); v++) {
        struct fixture f;
        begin_missing(&f, about_a_key[v]);
        reads_on(&f, 401, REFUSAL("401", "User not found."));
        reads_on(&f, 200, LISTED(KEY("h-1", NAME) "," KEY("h-2", "other")));
        asks(&f, HTTP_GET, LIST_URL "1", NULL);
        reads_on(&f, 200, LISTED(KEY("h-3", "other"))); /* it moved: from the beginning */
        asks(&f, HTTP_GET, LOOK_URL, NULL);
        reads_on(&f, 200, LISTED(KEY("h-1", NAME)));
        reads(&f, 200, LISTED(""), OUTCOME_GONE);
        check_error(f.result.error, ERROR_NOT_FOUND, "OpenRouter has no such key any more: h-xyz");
        assert_int_equal(f.result.items_count, 0);
        end(&f);
    }
}

/* Of a key whose secret is not known, the list alone is asked. */
static void test_gone_of_an_unknown_secret(void **state)
{
    (void)state;
    struct fixture f;
    begin_here(&f, PROVIDER_REVOKE_KEY);
    reads_on(&f, 404, NOT_FOUND);
    asks(&f, HTTP_GET, LOOK_URL, NULL);
    reads(&f, 200, LISTED(""), OUTCOME_GONE);
    end(&f);
}

static void test_refusals(void **state)
{
    (void)state;
    judged(PROVIDER_MINT_KEY, 401, REFUSAL("401", "Missing Authentication header"), OUTCOME_UNAUTHORIZED, ERROR_DENIED,
           "OpenRouter does not accept the admin key (401)");
    judged(PROVIDER_CHECK, 403, REFUSAL("403", "Only management keys can perform this operation"), OUTCOME_REFUSED,
           ERROR_DENIED, "OpenRouter refused (403): Only management keys can perform this operation");
    judged(PROVIDER_MINT_KEY, 429, REFUSAL("429", "Rate limit exceeded"), OUTCOME_THROTTLED, ERROR_BUSY, "fewer requests");
    judged(PROVIDER_MINT_KEY, 500, REFUSAL("500", "Internal Server Error"), OUTCOME_UNKNOWN, ERROR_LOST,
           "could not do it now (500)");
    judged(PROVIDER_REVOKE_KEY, 500, REFUSAL("500", "Internal Server Error"), OUTCOME_UNREACHABLE, ERROR_LOST, "(500)");
    judged(PROVIDER_MINT_KEY, 402, REFUSAL("402", "Insufficient credits"), OUTCOME_REFUSED, ERROR_INVALID,
           "Insufficient credits");
    judged(PROVIDER_MINT_KEY, 302, "", OUTCOME_REFUSED, ERROR_PROTOCOL, "redirect refused");
}

static void test_times(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } times[] = {
        {"1970-01-01T00:00:00Z", 0},          {"2026-11-25T10:30:00Z", INT64_C(1795602600000)},
        {"2026-11-25T10:30:00.123456Z", INT64_C(1795602600123)},
        {"2026-11-25T11:30:00+01:00", INT64_C(1795602600000)},
        {"2026-11-25T05:00:00-05:30", INT64_C(1795602600000)},
        {"2026-11-25 10:30:00", INT64_C(1795602600000)},
        {"", -1},                             {"2026-11-25", -1},
        {"2026-13-25T10:30:00Z", -1},         {"2026-11-25T24:30:00Z", -1},
        {"2026-11-25T10:30:00Zx", -1},        {"2026-11-25T10:30:00+1:00", -1},
        {"20261125T103000Z", -1},             {"1969-12-31T23:59:59Z", -1},
    };
    for (size_t i = 0; i < COUNT(times); i++) {
        char body[512];
        struct fixture f;
        begin_here(&f, PROVIDER_FIND_KEYS);
        snprintf(body, sizeof body, LISTED("{\"hash\":\"a\",\"name\":\"" NAME
                                           "\",\"created_at\":\"%s\"},{\"hash\":\"b\",\"name\":\"\"}"),
                 times[i].text);
        if (times[i].ms < 0) {
            reads(&f, 200, body, OUTCOME_UNREACHABLE);
        } else {
            reads_on(&f, 200, body);
            if (f.result.items[0].created_at != times[i].ms)
                fail_msg("%s is %lld", times[i].text, (long long)f.result.items[0].created_at);
        }
        end(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_requests),
        cmocka_unit_test(test_a_life_on_request),
        cmocka_unit_test(test_what_cannot_be_asked),
        cmocka_unit_test(test_minted),
        cmocka_unit_test(test_minted_and_not_taken),
        cmocka_unit_test(test_minted_and_cut_off),
        cmocka_unit_test(test_found_by_the_whole_name),
        cmocka_unit_test(test_inventory_by_prefix),
        cmocka_unit_test(test_inventory_by_id),
        cmocka_unit_test(test_a_list_that_moves_is_read_again),
        cmocka_unit_test(test_a_list_that_grows_in_front),
        cmocka_unit_test(test_pages_of_one),
        cmocka_unit_test(test_lists_that_cannot_be_trusted),
        cmocka_unit_test(test_suspended_and_resumed),
        cmocka_unit_test(test_limited_and_read_back),
        cmocka_unit_test(test_revoked),
        cmocka_unit_test(test_what_a_key_cost_in_the_end),
        cmocka_unit_test(test_usage),
        cmocka_unit_test(test_usage_that_cannot_be_trusted),
        cmocka_unit_test(test_usage_of_a_list_that_moves),
        cmocka_unit_test(test_usage_of_ten_thousand_keys),
        cmocka_unit_test(test_not_found_is_no_proof),
        cmocka_unit_test(test_not_found_and_listed),
        cmocka_unit_test(test_gone),
        cmocka_unit_test(test_gone_of_an_unknown_secret),
        cmocka_unit_test(test_looks_that_fail),
        cmocka_unit_test(test_not_found_in_other_words),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_times),
    };
    return check_run_within(tests, choose, forget);
}
