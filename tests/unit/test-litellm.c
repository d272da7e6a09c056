/* litellm.c: what is asked, word for word, and what is made of every kind of answer. No network. */
#define DRIVER provider_litellm
#define BASE "http://10.0.0.1:4000"
#define WHO "LiteLLM"
#define CHOSEN "sk-abcdefghijklmnopqrstuvwxyz0123456789_-ABCDEFG"
#define KEY_ID "1769fe043bc36738350e4036601084af79ed6c5f53e8d3b04ebc160764ac6430" /* that secret's hash */
#define HASH "b4c7a3e2d1f00918273645546372819000ffeeddccbbaa998877665544332211"
#define NAME "llmhook:h1:u1:openai:1"
#define NAME_IN_URL "llmhook%3Ah1%3Au1%3Aopenai%3A1"
#define REFUSAL(code, message) "{\"error\":{\"message\":\"" message "\",\"type\":\"t\",\"param\":\"p\",\"code\":\"" code "\"}}"
#define ALIAS_TAKEN REFUSAL("400", "Key with alias '" NAME "' already exists. Unique key aliases across all keys are required.")
#define GENERATED(key) "{\"key\":" key ",\"key_alias\":\"" NAME "\",\"max_budget\":100.51,\"token_id\":\"x\",\"new\":[]}"
#define INFO(alias, budget, duration)                                                                                 \
    "{\"key\":\"h\",\"info\":{\"key_alias\":" alias ",\"max_budget\":" budget ",\"budget_duration\":" duration ",\"spend\":0.5}}"
#define GOOD_INFO INFO("\"" NAME "\"", "100.51", "\"1mo\"")
#define KEY(hash, alias) KEY_OF(hash, alias, "null")
#define BLOCKED_KEY(hash, alias) KEY_OF(hash, alias, "true")
#define KEY_OF(hash, alias, blocked)                                                                                  \
    "{\"token\":\"" hash "\",\"key_name\":\"sk-...1234\",\"key_alias\":" alias ",\"max_budget\":25,\"budget_duration\":\"1mo\","   \
    "\"blocked\":" blocked ",\"created_at\":\"2026-11-25T10:30:00.500000Z\"}"
#define LISTED(keys, total, pages) "{\"keys\":[" keys "],\"total_count\":" total ",\"current_page\":1,\"total_pages\":" pages "}"
#define LIST_URL BASE "/key/list?return_full_object=true&size=100&page="

#define KEY_URL BASE "/v1/models"
#define LOOK_URL LIST_URL "1&key_alias=" NAME_IN_URL
#define NOT_FOUND REFUSAL("404", "{'error': 'No keys found'}")
#define LISTED_AGAIN LISTED(KEY(KEY_ID, "\"" NAME "\""), "1", "1")
#define NO_LIST "{\"keys\":7}"
#include "gateway-fixture.h"

#include <time.h>

static void begin_here(struct fixture *f, enum provider_verb verb)
{
    begin(f, verb);
    snprintf(f->settings.base_url, sizeof f->settings.base_url, BASE);
    snprintf(f->call.container_id, sizeof f->call.container_id, PROVIDER_ACCOUNT);
    snprintf(f->call.key_id, sizeof f->call.key_id, HASH);
    f->call.chosen = chosen;
}

static void asks_info(const struct fixture *f)
{
    asks(f, HTTP_GET, BASE "/key/info?key=" KEY_ID, NULL);
}

/* --- requests --- */

static void test_first_requests(void **state)
{
    (void)state;
    static const struct first_request wanted[] = {
        {PROVIDER_FIND_KEYS, HTTP_GET, LIST_URL "1&key_alias=" NAME_IN_URL, NULL},
        {PROVIDER_INVENTORY, HTTP_GET, LIST_URL "1", NULL},
        {PROVIDER_CHECK, HTTP_GET, BASE "/key/list?return_full_object=true&size=1&page=1", NULL},
        {PROVIDER_MINT_KEY, HTTP_POST, BASE "/key/generate",
         "{\"key\":\"" CHOSEN "\",\"key_alias\":\"" NAME
             "\",\"max_budget\":100.51,\"budget_duration\":\"1mo\",\"key_type\":\"llm_api\"}"},
        {PROVIDER_SUSPEND_KEY, HTTP_POST, BASE "/key/block", "{\"key\":\"" HASH "\"}"},
        {PROVIDER_RESUME_KEY, HTTP_POST, BASE "/key/unblock", "{\"key\":\"" HASH "\"}"},
        {PROVIDER_LIMIT_KEY, HTTP_POST, BASE "/key/update",
         "{\"key\":\"" HASH "\",\"max_budget\":100.51,\"budget_duration\":\"1mo\"}"},
        {PROVIDER_REVOKE_KEY, HTTP_POST, BASE "/key/delete", "{\"keys\":[\"" HASH "\"]}"},
    };
    asks_first(begin_here, wanted, COUNT(wanted));
}

static void test_what_the_settings_add(void **state)
{
    (void)state;
    struct fixture f;
    begin_here(&f, PROVIDER_MINT_KEY);
    f.settings.expires_ms = 3600000;
    snprintf(f.settings.models, sizeof f.settings.models, "gpt-4o  claude-*");
    f.settings.rates_count = 2;
    f.settings.rates[0] = (struct provider_rate){"gpt-4o", 10, 0};
    f.settings.rates[1] = (struct provider_rate){"o1", 5, 20000};
    asks(&f, HTTP_POST, BASE "/key/generate",
         "{\"key\":\"" CHOSEN "\",\"key_alias\":\"" NAME
         "\",\"max_budget\":100.51,\"budget_duration\":\"1mo\",\"key_type\":\"llm_api\","
         "\"duration\":\"3600s\",\"models\":[\"gpt-4o\",\"claude-*\"],\"model_rpm_limit\":{\"gpt-4o\":10,\"o1\":5},"
         "\"model_tpm_limit\":{\"o1\":20000}}");
    end(&f);
}

static void test_mintings_that_cannot_be_asked(void **state)
{
    (void)state;
    static const char *const bad[] = {"sk-short", "pk-abcdefghijklmnopqrstuvwxyz0123456789",
                                      "sk-\"abcdefghijklmnopqrstuvwxyz0123456789"};
    struct fixture f;
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct secret *secret = secret_new(bad[i], strlen(bad[i]));
        begin_here(&f, PROVIDER_MINT_KEY);
        f.call.chosen = secret;
        cannot_ask(&f, "no key was chosen, or none that LiteLLM takes");
        secret_free(secret);
    }
    begin_here(&f, PROVIDER_MINT_KEY);
    f.call.chosen = NULL;
    cannot_ask(&f, "no key was chosen");
    begin_here(&f, PROVIDER_MINT_KEY);
    f.call.monthly_limit = 0;
    f.progress.step = 2; /* which corrects the limit */
    cannot_ask(&f, "a monthly limit has to be more than nothing");
    end(&f);
}

/* --- minting --- */

static void is_minted(struct fixture *f)
{
    reads(f, 200, GOOD_INFO, OUTCOME_OK);
    assert_string_equal(f->result.key_id, KEY_ID);
    assert_string_equal(secret_reveal(f->result.secret), CHOSEN);
    end(f);
}

static void test_minted_and_read_back(void **state)
{
    (void)state;
    struct fixture f;
    begin_here(&f, PROVIDER_MINT_KEY);
    reads_on(&f, 200, GENERATED("\"" CHOSEN "\""));
    assert_true(f.progress.made);
    asks_info(&f);
    f.settings.expires_ms = 7200000;
    reads(&f, 200, GOOD_INFO, OUTCOME_OK);
    assert_int_equal(f.result.life_ms, 7200000);
    end(&f);
}

/* The first answer was lost: the alias is taken by the very key that we chose. */
static void test_minted_before(void **state)
{
    (void)state;
    struct fixture f;
    begin_here(&f, PROVIDER_MINT_KEY);
    reads_on(&f, 400, ALIAS_TAKEN);
    assert_true(f.progress.made);
    asks_info(&f);
    is_minted(&f);
}

static void test_a_limit_of_before_is_corrected_once(void **state)
{
    (void)state;
    static const char *const others[] = {INFO("\"" NAME "\"", "5", "\"1mo\""), INFO("\"" NAME "\"", "null", "null"),
                                         INFO("\"" NAME "\"", "100.51", "\"1d\""), INFO("\"" NAME "\"", "100.51", "null")};
    for (size_t i = 0; i < COUNT(others); i++) {
        struct fixture f;
        begin_here(&f, PROVIDER_MINT_KEY);
        reads_on(&f, 400, ALIAS_TAKEN);
        reads_on(&f, 200, others[i]);
        asks(&f, HTTP_POST, BASE "/key/update",
             "{\"key\":\"" KEY_ID "\",\"max_budget\":100.51,\"budget_duration\":\"1mo\"}");
        reads_on(&f, 200, "{\"key\":\"x\"}");
        asks_info(&f);
        struct fixture kept = f;
        kept.result.items = NULL;
        reads(&kept, 200, others[i], OUTCOME_UNKNOWN);
        check_error(kept.result.error, ERROR_PROTOCOL, "LiteLLM does not keep the monthly limit that was asked for");
        assert_string_equal(kept.result.key_id, KEY_ID); /* so that it is removed */
        is_minted(&f);
    }
}

static void test_an_alias_of_another_key(void **state)
{
    (void)state;
    struct fixture f;
    begin_here(&f, PROVIDER_MINT_KEY);
    reads_on(&f, 400, ALIAS_TAKEN);
    reads_on(&f, 404, REFUSAL("404", "Key not found in database"));
    asks(&f, HTTP_GET, LOOK_URL, NULL);
    struct fixture none = f;
    reads(&f, 200, LISTED(KEY(HASH, "\"" NAME "\""), "1", "1"), OUTCOME_UNKNOWN);
    check_error(f.result.error, ERROR_EXISTS, "another key of this alias");
    assert_string_equal(f.result.key_id, HASH);
    end(&f);
    reads(&none, 200, LISTED("", "0", "0"), OUTCOME_UNKNOWN);
    assert_string_equal(none.result.key_id, "");
    end(&none);
}

static void test_minted_and_not_told(void **state)
{
    (void)state;
    static const struct lost_key lost[] = {
        {"", "", "cannot be trusted"},
        {"[]", "", "cannot be trusted"},
        {"{\"token\":\"x\"}", "", "field 'key' is missing or no string"},
        {GENERATED("null"), "", "field 'key' is missing or no string"},
        {GENERATED("\"sk-somebody-elses-key-0123456789\""), "", "it made another key than the one that was chosen"},
    };
    minted_and_lost(begin_here, 200, lost, COUNT(lost), CHOSEN);
}

static void test_read_back_and_not_told(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "null", "{\"info\":[]}", "{\"info\":{}}", INFO("7", "1", "\"1mo\""),
                                      INFO("\"other\"", "100.51", "\"1mo\""), INFO("\"" NAME "\"", "\"100.51\"", "\"1mo\""),
                                      INFO("\"" NAME "\"", "-1", "\"1mo\"")};
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct fixture f;
        begin_here(&f, PROVIDER_MINT_KEY);
        reads_on(&f, 200, GENERATED("\"" CHOSEN "\""));
        reads(&f, 200, bad[i], OUTCOME_UNKNOWN);
        assert_string_equal(f.result.key_id, ""); /* so it is asked for again */
        assert_null(f.result.secret);
        end(&f);
    }
}

static void test_answers_that_are_cut_off(void **state)
{
    (void)state;
    minted_and_cut_off(begin_here, 0, 200, GENERATED("\"" CHOSEN "\""));
    minted_and_cut_off(begin_here, 1, 200, GOOD_INFO);
}

/* --- lists --- */

static void test_found_by_the_whole_alias(void **state)
{
    (void)state;
    struct fixture f;
    begin_here(&f, PROVIDER_FIND_KEYS);
    reads(&f, 200, LISTED(KEY("h0", "\"" NAME "0\"") "," KEY("h1", "\"" NAME "\"") "," KEY("h2", "null"), "3", "1"), OUTCOME_OK);
    assert_int_equal(f.result.items_count, 1);
    assert_string_equal(f.result.items[0].id, "h1");
    assert_string_equal(f.result.items[0].container_id, PROVIDER_ACCOUNT);
    assert_int_equal(f.result.items[0].created_at, INT64_C(1795602600500));
    assert_int_equal(f.result.items[0].monthly_limit, 25000000);
    end(&f);
    begin_here(&f, PROVIDER_FIND_KEYS);
    reads(&f, 200, LISTED("", "0", "0"), OUTCOME_OK);
    assert_int_equal(f.result.items_count, 0);
    end(&f);
}

static void test_inventory_page_by_page(void **state)
{
    (void)state;
    struct fixture f;
    static const char *const known[] = {"b"}; /* renamed by somebody */
    begin_here(&f, PROVIDER_INVENTORY);
    f.call.known_ids = known;
    f.call.known_count = COUNT(known);
    reads_on(&f, 200, LISTED(KEY("a", "\"llmhook:h1:a\"") "," KEY("b", "\"llmhook:h2:b\"") "," KEY("c", "null"), "5", "2"));
    asks(&f, HTTP_GET, LIST_URL "2", NULL);
    reads(&f, 200, LISTED(KEY("a", "\"llmhook:h1:a\"") "," BLOCKED_KEY("d", "\"llmhook:h1:d\""), "5", "2"), OUTCOME_OK);
    assert_int_equal(f.result.items_count, 3); /* "a" was moved by one that is new, and seen twice */
    assert_string_equal(f.result.items[1].id, "b");
    assert_true(f.result.items[1].tells_suspended && !f.result.items[1].suspended);
    assert_true(f.result.items[2].tells_suspended && f.result.items[2].suspended);
    end(&f);
}

static void test_a_list_that_moves_is_read_again(void **state)
{
    (void)state;
    struct fixture f;
    begin_here(&f, PROVIDER_INVENTORY);
    reads_on(&f, 200, LISTED(KEY("a", "\"llmhook:h1:a\""), "3", "2"));
    reads_on(&f, 200, LISTED(KEY("c", "\"llmhook:h1:c\""), "2", "2"));
    asks(&f, HTTP_GET, LIST_URL "1", NULL);
    reads_on(&f, 200, LISTED(KEY("b", "\"llmhook:h1:b\""), "2", "2"));
    reads(&f, 200, LISTED(KEY("c", "\"llmhook:h1:c\""), "2", "2"), OUTCOME_OK);
    assert_int_equal(f.result.items_count, 2);
    end(&f);
    begin_here(&f, PROVIDER_INVENTORY);
    for (int i = 0; i < 8; i++) {
        reads_on(&f, 200, LISTED("", "3", "2"));
        reads_on(&f, 200, LISTED("", "4", "2"));
    }
    reads_on(&f, 200, LISTED("", "3", "2"));
    reads(&f, 200, LISTED("", "4", "2"), OUTCOME_UNREACHABLE);
    check_error(f.result.error, ERROR_BUSY, "LiteLLM's list of keys does not hold still");
    end(&f);
}

static void test_lists_that_cannot_be_trusted(void **state)
{
    (void)state;
    static const struct wrong_answer wrong[] = {
        {"{\"keys\":{}}", "field 'keys' is object, not array"},
        {"{\"keys\":[],\"total_count\":0}", "field 'total_pages' is missing"},
        {"{\"keys\":[],\"total_pages\":0}", "field 'total_count' is missing"},
        {LISTED("\"" HASH "\"", "1", "1"), "an entry of the list is no object: the proxy is older"},
        {LISTED("null", "1", "1"), "an entry of the list is no object"},
        {LISTED("{\"token\":\"a\",\"key_alias\":[]}", "1", "1"), "field 'key_alias' is array, not string"},
        {LISTED("{\"key_alias\":\"" NAME "\"}", "1", "1"), "field 'token' is missing"},
        {LISTED(KEY("sk-abcdefghijklmnopqrst", "\"" NAME "\""), "1", "1"), "field 'token' holds what no hash has"},
        {LISTED("{\"token\":\"a\",\"key_alias\":\"" NAME "\",\"created_at\":7}", "1", "1"), "field 'created_at' is int"},
        {"<html>", "cannot be trusted"},
    };
    believes_none(begin_here, PROVIDER_FIND_KEYS, 0, wrong, COUNT(wrong));
}

/* --- changes --- */

static void test_blocked_and_unblocked(void **state)
{
    (void)state;
    static const struct switching answers[] = {
        {PROVIDER_SUSPEND_KEY, "{\"token\":\"t\",\"blocked\":true}", OUTCOME_OK},
        {PROVIDER_SUSPEND_KEY, "{\"token\":\"t\",\"blocked\":false}", OUTCOME_UNKNOWN},
        {PROVIDER_RESUME_KEY, "{\"token\":\"t\",\"blocked\":false}", OUTCOME_OK},
        {PROVIDER_RESUME_KEY, "{\"token\":\"t\",\"blocked\":true}", OUTCOME_UNKNOWN},
        {PROVIDER_RESUME_KEY, "{\"token\":\"t\"}", OUTCOME_UNKNOWN},
        {PROVIDER_SUSPEND_KEY, "null", OUTCOME_UNKNOWN},
    };
    keys_are_switched(answers, COUNT(answers));
}

static void test_deleted(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        enum outcome outcome;
    } answers[] = {
        {"{\"deleted_keys\":[\"" HASH "\"]}", OUTCOME_OK},      {"{\"deleted_keys\":[7,\"" HASH "\"],\"x\":{}}", OUTCOME_OK},
        {"{\"deleted_keys\":[\"other\"]}", OUTCOME_UNKNOWN},    {"{\"deleted_keys\":[]}", OUTCOME_UNKNOWN},
        {"{\"deleted_keys\":1}", OUTCOME_UNKNOWN},              {"{}", OUTCOME_UNKNOWN},
    };
    for (size_t i = 0; i < COUNT(answers); i++) {
        struct fixture f;
        begin_here(&f, PROVIDER_REVOKE_KEY);
        reads(&f, 200, answers[i].body, answers[i].outcome);
        end(&f);
    }
}

static void test_limited_and_read_back(void **state)
{
    (void)state;
    static const char refused[] = "LiteLLM does not keep the monthly limit that was asked for";
    static const struct reading_back answers[] = {
        {GOOD_INFO, OUTCOME_OK, ""},
        {INFO("null", "100.51", "\"1mo\""), OUTCOME_OK, ""}, /* it is known by its hash */
        {INFO("\"" NAME "\"", "100.5", "\"1mo\""), OUTCOME_REFUSED, refused},
        {INFO("\"" NAME "\"", "null", "\"1mo\""), OUTCOME_REFUSED, refused},
        {INFO("\"" NAME "\"", "100.51", "\"1d\""), OUTCOME_REFUSED, refused},
        {INFO("\"" NAME "\"", "\"100.51\"", "\"1mo\""), OUTCOME_UNKNOWN, "field 'max_budget'"},
        {"{}", OUTCOME_UNKNOWN, "field 'info'"},
        {"", OUTCOME_UNKNOWN, "cannot be trusted"},
    };
    limits_are_read_back(BASE "/key/info?key=" HASH, answers, COUNT(answers));
}

/* --- refusals --- */

/* What neither the key nor the list knows, over all pages, is gone. */
static void test_gone(void **state)
{
    (void)state;
    for (size_t v = 0; v < COUNT(about_a_key); v++) {
        struct fixture f;
        begin_missing(&f, about_a_key[v]);
        reads_on(&f, 401, REFUSAL("401", "Authentication Error, Invalid proxy server token passed"));
        reads_on(&f, 200, LISTED(KEY(HASH, "\"" NAME "\""), "2", "2"));
        reads_on(&f, 200, LISTED("", "1", "1")); /* it moved: from the beginning */
        asks(&f, HTTP_GET, LOOK_URL, NULL);
        reads(&f, 200, LISTED(KEY(HASH, "\"" NAME "\""), "1", "1"), OUTCOME_GONE);
        check_error(f.result.error, ERROR_NOT_FOUND, "LiteLLM has no such key any more: " KEY_ID);
        assert_int_equal(f.result.items_count, 0);
        end(&f);
    }
}

/* Of a key whose secret is not known, or another's is, the list alone is asked; all of it where it has no name. */
static void test_gone_of_an_unknown_secret(void **state)
{
    (void)state;
    for (int known = 0; known < 2; known++) {
        struct fixture f;
        begin_here(&f, PROVIDER_REVOKE_KEY);
        f.call.chosen = known ? chosen : NULL;
        if (!known)
            f.call.key_name[0] = '\0';
        reads_on(&f, 404, NOT_FOUND);
        asks(&f, HTTP_GET, known ? LOOK_URL : LIST_URL "1", NULL);
        reads(&f, 200, LISTED("", "0", "0"), OUTCOME_GONE);
        end(&f);
    }
}

static void test_refusals(void **state)
{
    (void)state;
    judged(PROVIDER_MINT_KEY, 401, REFUSAL("401", "Authentication Error, Invalid proxy server token passed"),
           OUTCOME_UNAUTHORIZED, ERROR_DENIED, "LiteLLM does not accept the admin key (401)");
    judged(PROVIDER_MINT_KEY, 400, REFUSAL("400", "max_budget is above the limit"), OUTCOME_REFUSED, ERROR_INVALID,
           "LiteLLM refused (400): max_budget is above the limit (400)");
    judged(PROVIDER_MINT_KEY, 500, REFUSAL("500", "DB not connected"), OUTCOME_UNKNOWN, ERROR_LOST, "could not do it now (500)");
    judged(PROVIDER_MINT_KEY, 422, "{\"detail\":[{\"loc\":[\"body\"]}]}", OUTCOME_REFUSED, ERROR_PROTOCOL, "(422)");
    /* The admin key's own budget is spent: newer and older proxies. */
    judged(PROVIDER_CHECK, 429, REFUSAL("429", "Budget has been exceeded!"), OUTCOME_THROTTLED, ERROR_BUSY,
           "Budget has been exceeded");
    judged(PROVIDER_CHECK, 400, REFUSAL("400", "Budget has been exceeded!"), OUTCOME_REFUSED, ERROR_INVALID,
           "Budget has been exceeded");
}

/* --- usage --- */

#define USAGE_URL BASE "/user/daily/activity?start_date=2024-02-29&end_date=2024-03-01&page_size=500&page="
#define METRICS(spend, in, cached, out, requests)                                                                       \
    "{\"metrics\":{\"spend\":" spend ",\"prompt_tokens\":" in ",\"cache_read_input_tokens\":" cached ",\"completion_tokens\":" out   \
    ",\"api_requests\":" requests ",\"flat_cost\":0.0},\"metadata\":{\"key_alias\":null}}"
#define MODEL(name, keys) "\"" name "\":{\"metrics\":{\"spend\":1},\"metadata\":{},\"api_key_breakdown\":{" keys "}}"
#define DAY(date, models, keys)                                                                                         \
    "{\"date\":" date ",\"metrics\":{},\"breakdown\":{\"mcp_servers\":{},\"models\":{" models "},\"api_keys\":{" keys "}}}"
#define REPORT(days, pages) "{\"results\":[" days "],\"metadata\":{\"total_spend\":1,\"page\":1,\"total_pages\":" pages "}}"

static void test_usage(void **state)
{
    (void)state;
    struct fixture f;
    begin_here(&f, PROVIDER_USAGE);
    asks(&f, HTTP_GET, USAGE_URL "1", NULL);
    reads_on(&f, 200, REPORT(DAY("\"2024-03-01\"", "", "\"h-3\":" METRICS("1", "1", "1", "1", "1")), "2"));
    asks(&f, HTTP_GET, USAGE_URL "2", NULL); /* the last page first */
    reads_on(&f, 200,
             REPORT(DAY("\"2024-03-01\"", MODEL("gpt-4o", "\"h-1\":" METRICS("0.5", "10", "4", "3", "2")),
                        "\"h-1\":" METRICS("0.75", "11", "4", "3", "3") ",\"unattributed\":" METRICS("9", "1", "0", "1", "1")),
                    "2"));
    asks(&f, HTTP_GET, USAGE_URL "1", NULL);
    reads(&f, 200,
          REPORT(DAY("\"2024-02-29\"", MODEL("sk-0123456789abcdefghijklmn", "\"h-1\":" METRICS("0.000001", "5", "9", "0", "1")),
                     "\"h-1\":" METRICS("0.000001", "5", "9", "0", "1") ",\"h-2\":" METRICS("2", "0", "0", "0", "0")),
                 "2"),
          OUTCOME_OK);
    assert_int_equal(f.result.usage_count, 5);
    const struct provider_usage *row = f.result.usage;
    assert_int_equal(row[0].kind, PROVIDER_USAGE_BILL);
    assert_int_equal(row[0].day, 19783); /* 2024-03-01 */
    assert_int_equal(row[0].micro_dollars, 500000);
    assert_string_equal(row[0].model, "gpt-4o");
    assert_string_equal(row[0].key_id, "h-1");
    assert_string_equal(row[0].container_id, PROVIDER_ACCOUNT);
    assert_int_equal(row[0].input_tokens, 10);
    assert_int_equal(row[0].cached_tokens, 4);
    assert_int_equal(row[1].micro_dollars, 250000); /* what no model is told of */
    assert_string_equal(row[1].model, "");
    assert_int_equal(row[1].requests, 1);
    assert_string_equal(row[2].key_id, "unattributed"); /* nobody of ours is called so */
    assert_string_equal(row[3].model, "[key]");
    assert_int_equal(row[3].day, 19782);
    assert_int_equal(row[3].input_tokens, 14); /* an upstream that counts those of the cache apart */
    assert_string_equal(row[4].key_id, "h-2");
    end(&f);
    usage_needs_a_time(begin_here);
}

static void test_usage_that_cannot_be_trusted(void **state)
{
    (void)state;
    static const struct wrong_answer wrong[] = {
        {"{}", "field 'results' is missing"},
        {"{\"results\":[]}", "field 'metadata' is missing"},
        {"{\"results\":[],\"metadata\":{}}", "field 'total_pages' is missing"},
        {REPORT("7", "1"), "an entry of 'results' is no object"},
        {REPORT(DAY("5", "", ""), "1"), "field 'date' is int"},
        {REPORT(DAY("\"yesterday\"", "", ""), "1"), "field 'date' is no date"},
        {REPORT("{\"date\":\"2024-03-01\"}", "1"), "field 'breakdown' is missing"},
        {REPORT("{\"date\":\"2024-03-01\",\"breakdown\":{\"api_keys\":[]}}", "1"), "field 'api_keys' is array"},
        {REPORT(DAY("\"2024-03-01\"", "", "\"h-1\":{}"), "1"), "field 'metrics' is missing"},
        {REPORT(DAY("\"2024-03-01\"", "", "\"h-1\":{\"metrics\":{}}"), "1"), "field 'spend' is missing"},
        {REPORT(DAY("\"2024-03-01\"", "", "\"h-1\":" METRICS("\"1\"", "1", "1", "1", "1")), "1"), "'spend'"},
        {REPORT(DAY("\"2024-03-01\"", "", "\"h-1\":" METRICS("1", "-1", "1", "1", "1")), "1"),
         "field 'prompt_tokens' is no count"},
        {REPORT(DAY("\"2024-03-01\"", MODEL("m", "\"h-1\":5"), "\"h-1\":" METRICS("1", "1", "1", "1", "1")), "1"),
         "not an object where one with 'metrics'"},
        {"{\"results\":[{\"date\":\"2024-0", "not JSON"},
    };
    believes_none(begin_here, PROVIDER_USAGE, 0, wrong, COUNT(wrong));
    /* A proxy that is older than these records. */
    judged(PROVIDER_USAGE, 404, "{\"detail\":\"Not Found\"}", OUTCOME_REFUSED, ERROR_PROTOCOL, "(404)");
    struct fixture f; /* one that does not tell models by key */
    begin_here(&f, PROVIDER_USAGE);
    reads(&f, 200, REPORT(DAY("\"2024-03-01\"", "\"m\":{},\"n\":5,\"o\":{\"api_key_breakdown\":[]}",
                              "\"h-1\":" METRICS("1", "1", "1", "1", "1")), "1"), OUTCOME_OK);
    assert_int_equal(f.result.usage_count, 1);
    end(&f);
}

/* The proxy's table of what was spent: one row for each day, key and model, the latest day first, new ones in front of the
 * others of their day. */
struct table {
    struct {
        int64_t day;
        int key;
    } rows[64];
    size_t count;
};

static void insert(struct table *table, int64_t day, int key)
{
    size_t at = 0;
    while (at < table->count && table->rows[at].day > day)
        at++;
    memmove(&table->rows[at + 1], &table->rows[at], (table->count - at) * sizeof table->rows[0]);
    table->rows[at].day = day;
    table->rows[at].key = key;
    table->count++;
}

static int64_t asked_for(const char *url, const char *name)
{
    const char *at = strstr(url, name);
    struct tm date = {.tm_isdst = 0};
    if (!at)
        fail_msg("'%s' does not say %s", url, name);
    at += strlen(name);
    return strptime(at, "%Y-%m-%d", &date) ? timegm(&date) / 86400 : strtol(at, NULL, 10);
}

/* As the proxy answers, were its pages of three rows. */
static enum provider_next answer_from(struct fixture *f, const struct table *table)
{
    struct http_request request = HTTP_REQUEST_INIT;
    struct error err = ERROR_INIT;
    struct buffer page = BUFFER_INIT(64 * 1024);
    size_t count = 0;
    assert_true(driver->build(&f->settings, &f->call, &f->progress, &f->result, &request, &err));
    int64_t since = asked_for(request.url, "start_date="), until = asked_for(request.url, "end_date=");
    size_t first = (size_t)(asked_for(request.url, "&page=") - 1) * 3;
    assert_true(buffer_append_text(&page, "{\"results\":["));
    for (size_t i = 0; i < table->count; i++) {
        time_t seconds = table->rows[i].day * 86400;
        struct tm date;
        char text[16], row[512];
        if (table->rows[i].day < since || table->rows[i].day > until || count++ < first || count > first + 3)
            continue;
        gmtime_r(&seconds, &date);
        strftime(text, sizeof text, "%Y-%m-%d", &date);
        snprintf(row, sizeof row, "%s" DAY("\"%s\"", "", "\"h-%d\":" METRICS("1", "1", "1", "1", "1")),
                 count - 1 == first ? "" : ",", text, table->rows[i].key);
        assert_true(buffer_append_text(&page, row));
    }
    snprintf(request.url, sizeof request.url, "],\"metadata\":{\"total_pages\":%zu,\"has_more\":%s}}", (count + 2) / 3,
             first + 3 < count ? "true" : "false");
    assert_true(buffer_append_text(&page, request.url));
    enum provider_next next = reads_within(f, 200, buffer_text(&page), -1);
    buffer_clear(&page);
    buffer_clear(&request.body);
    return next;
}

/* How often KEY is told of on DAY. */
static unsigned told(const struct fixture *f, int64_t day, int key)
{
    unsigned times = 0;
    char id[16];
    snprintf(id, sizeof id, "h-%d", key);
    for (size_t i = 0; i < f->result.usage_count; i++)
        times += f->result.usage[i].day == day && strcmp(f->result.usage[i].key_id, id) == 0;
    return times;
}

/* Keys are used for the first time on a day while its pages are read. After midnight that can be the day before, too. */
static void test_usage_that_moves(void **state)
{
    (void)state;
    static const struct {
        int64_t hour;     /* of 2024-03-01, when it is asked */
        int64_t inserted; /* that day, or the one before */
    } cases[] = {{12, 19783}, {1, 19783}, {1, 19782}};
    enum { KEYS = 5, BEGAN = 19780, TODAY = 19783 };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct fixture f;
        struct table table = {.count = 0};
        begin_here(&f, PROVIDER_USAGE);
        f.call.since = BEGAN * INT64_C(86400000);
        f.call.until = TODAY * INT64_C(86400000) + cases[i].hour * 3600000;
        for (int64_t day = BEGAN; day <= TODAY; day++)
            for (int key = 0; key < KEYS; key++)
                insert(&table, day, key);
        for (int key = KEYS; answer_from(&f, &table) == PROVIDER_NEXT_REQUEST; key++)
            insert(&table, cases[i].inserted, key);
        if (f.result.outcome != OUTCOME_OK)
            fail_msg("%s", f.result.error.text);
        for (int64_t day = BEGAN; day <= TODAY; day++)
            for (int key = 0; key < KEYS; key++) {
                bool settled = day < TODAY - (cases[i].hour < 2);
                unsigned times = told(&f, day, key);
                if (times > 1 || (settled && times == 0))
                    fail_msg("case %zu: key %d is told of %u times on day %lld", i, key, times, (long long)day);
            }
        end(&f);
    }
}

static void test_usage_is_asked_for_in_two_parts(void **state)
{
    (void)state;
    static const char url[] = BASE "/user/daily/activity?start_date=2024-02-%s&page_size=500&page=1";
    static const struct {
        int64_t until_hours; /* since 2024-03-01 */
        const char *fresh, *settled;
    } parts[] = {{1, "29&end_date=2024-03-01", "01&end_date=2024-02-28"},
                 {-1, "29&end_date=2024-02-29", "01&end_date=2024-02-28"},
                 {-23, "28&end_date=2024-02-29", "01&end_date=2024-02-27"},
                 {-28 * 24, "01&end_date=2024-02-02", NULL}};
    for (size_t i = 0; i < COUNT(parts); i++) {
        struct fixture f;
        char wanted[256];
        begin_here(&f, PROVIDER_USAGE);
        f.call.since = INT64_C(1706745600000); /* 2024-02-01 */
        f.call.until = INT64_C(1709251200000) + parts[i].until_hours * 3600000;
        snprintf(wanted, sizeof wanted, url, parts[i].fresh);
        asks(&f, HTTP_GET, wanted, NULL);
        if (parts[i].settled) {
            reads_on(&f, 200, REPORT("", "0"));
            snprintf(wanted, sizeof wanted, url, parts[i].settled);
            asks(&f, HTTP_GET, wanted, NULL);
        }
        reads(&f, 200, REPORT("", "0"), OUTCOME_OK);
        end(&f);
    }
}

/* Rows of the proxy's table: here one for each key. Written as the proxy writes them, each five times over. */
static void test_usage_of_ten_thousand_keys(void **state)
{
    (void)state;
    struct fixture f;
    size_t requests = 0, longest = 0;
    begin_here(&f, PROVIDER_USAGE);
    for (bool more = true; more; requests++) {
        struct buffer page = BUFFER_INIT(HTTP_ANSWER_MAX);
        struct http_request request = HTTP_REQUEST_INIT;
        struct error err = ERROR_INIT;
        assert_true(driver->build(&f.settings, &f.call, &f.progress, &f.result, &request, &err));
        size_t first = (strtoul(strstr(request.url, "&page=") + 6, NULL, 10) - 1) * 500;
        static const char *const parts[] = {"models\":{\"gpt-4o\":{\"api_key_breakdown\":{",
                                            "model_groups\":{\"x\":{\"api_key_breakdown\":{",
                                            "providers\":{\"openai\":{\"api_key_breakdown\":{",
                                            "endpoints\":{\"/chat/completions\":{\"api_key_breakdown\":{",
                                            "entities\":{\"default_user_id\":{\"api_key_breakdown\":{",
                                            "api_keys\":{\"z\":{\"metrics\":{\"spend\":0},\"y\":{"};
        assert_true(buffer_append_text(&page, "{\"results\":[{\"date\":\"2024-03-01\",\"breakdown\":{"));
        for (size_t p = 0; p < COUNT(parts); p++) {
            bool last = p + 1 == COUNT(parts);
            assert_true(buffer_append_text(&page, p ? ",\"" : "\"") && buffer_append_text(&page, parts[p]));
            if (last)
                assert_true(buffer_append_text(&page, "}}"));
            for (size_t i = first; i < first + 500; i++) {
                char key[1024];
                snprintf(key, sizeof key,
                         "%s\"%064zu\":{\"metrics\":{\"spend\":0.0123456789,\"flat_cost\":0.0,\"ptu_hours\":0.0,"
                         "\"prompt_tokens\":123456,\"completion_tokens\":123456,\"cache_read_input_tokens\":0,"
                         "\"cache_creation_input_tokens\":0,\"compression_saved_tokens\":0,\"compression_savings_spend\":0.0,"
                         "\"prompt_caching_savings_spend\":0.0,\"gateway_injected_caching_savings_spend\":0.0,"
                         "\"autorouter_savings_spend\":0.0,\"total_tokens\":246912,\"successful_requests\":123,"
                         "\"failed_requests\":0,\"api_requests\":123,\"total_response_time_ms\":12345678,\"timed_requests\":123},"
                         "\"metadata\":{\"key_alias\":\"llmhook:h1:11111111-1111-4111-8111-111111111111:litellm:g1\","
                         "\"team_id\":null,\"user_id\":\"default_user_id\",\"user_email\":null,\"key_exists\":true}}",
                         i == first && !last ? "" : ",", i);
                assert_true(buffer_append_text(&page, key));
            }
            assert_true(buffer_append_text(&page, last ? "}" : "}}}"));
        }
        assert_true(buffer_append_text(&page, "}}],\"metadata\":{\"total_pages\":20}}"));
        longest = page.length > longest ? page.length : longest;
        more = reads_within(&f, 200, buffer_text(&page), -1) == PROVIDER_NEXT_REQUEST;
        buffer_clear(&page);
        buffer_clear(&request.body);
    }
    if (f.result.outcome != OUTCOME_OK)
        fail_msg("%s", f.result.error.text);
    printf("# 10000 keys: %zu requests, the longest answer has %zu bytes\n", requests, longest);
    assert_int_equal(requests, 21);
    assert_int_equal(f.result.usage_count, 10000);
    end(&f);
}

static void test_what_its_section_needs(void **state)
{
    (void)state;
    struct provider_settings settings = {.type = "litellm"};
    struct error err = ERROR_INIT;
    assert_false(provider_settings_check(&settings, &err));
    check_error(err, ERROR_INVALID, "LiteLLM is a proxy of your own: write base-url = https://its.address");
    snprintf(settings.base_url, sizeof settings.base_url, "http://127.0.0.1:4000");
    assert_false(provider_settings_check(&settings, &err));
    check_error(err, ERROR_INVALID, "guests cannot reach a base-url on this host's loopback: write guest-base-url");
    snprintf(settings.guest_base_url, sizeof settings.guest_base_url, "http://10.0.0.1:4000");
    assert_true(provider_settings_check(&settings, &err));
    settings = (struct provider_settings){.type = "litellm", .base_url = "https://llm.example.com"};
    assert_true(provider_settings_check(&settings, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_requests),
        cmocka_unit_test(test_what_the_settings_add),
        cmocka_unit_test(test_what_cannot_be_asked),
        cmocka_unit_test(test_mintings_that_cannot_be_asked),
        cmocka_unit_test(test_minted_and_read_back),
        cmocka_unit_test(test_minted_before),
        cmocka_unit_test(test_a_limit_of_before_is_corrected_once),
        cmocka_unit_test(test_an_alias_of_another_key),
        cmocka_unit_test(test_minted_and_not_told),
        cmocka_unit_test(test_read_back_and_not_told),
        cmocka_unit_test(test_answers_that_are_cut_off),
        cmocka_unit_test(test_found_by_the_whole_alias),
        cmocka_unit_test(test_inventory_page_by_page),
        cmocka_unit_test(test_a_list_that_moves_is_read_again),
        cmocka_unit_test(test_lists_that_cannot_be_trusted),
        cmocka_unit_test(test_blocked_and_unblocked),
        cmocka_unit_test(test_limited_and_read_back),
        cmocka_unit_test(test_deleted),
        cmocka_unit_test(test_not_found_is_no_proof),
        cmocka_unit_test(test_not_found_and_listed),
        cmocka_unit_test(test_gone),
        cmocka_unit_test(test_gone_of_an_unknown_secret),
        cmocka_unit_test(test_looks_that_fail),
        cmocka_unit_test(test_not_found_in_other_words),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_usage),
        cmocka_unit_test(test_usage_that_cannot_be_trusted), cmocka_unit_test(test_usage_that_moves),
        cmocka_unit_test(test_usage_is_asked_for_in_two_parts),
        cmocka_unit_test(test_usage_of_ten_thousand_keys),
        cmocka_unit_test(test_what_its_section_needs),
    };
    return check_run_within(tests, choose, forget);
}
