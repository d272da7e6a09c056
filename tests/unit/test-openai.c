/* openai.c: what is asked, word for word, and what is made of every kind of answer. No network. */
#include "openai-fixture.h"

#define MINTED_KEY "sk-svcacct-abcdefghijklmnop"

static const enum provider_verb all_verbs[] = {
    PROVIDER_FIND_CONTAINER, PROVIDER_CREATE_CONTAINER, PROVIDER_LIMIT_CONTAINER, PROVIDER_RATE_LIMIT_CONTAINER,
    PROVIDER_ARCHIVE_CONTAINER, PROVIDER_FIND_KEYS, PROVIDER_MINT_KEY, PROVIDER_REVOKE_KEY, PROVIDER_INVENTORY,
    PROVIDER_USAGE, PROVIDER_CHECK,
};
enum { ALL_VERBS = sizeof all_verbs / sizeof all_verbs[0] };

static bool creating(enum provider_verb verb)
{
    return verb == PROVIDER_CREATE_CONTAINER || verb == PROVIDER_MINT_KEY;
}

/* --- requests --- */

static void test_first_requests(void **state)
{
    (void)state;
    static const struct first_request wanted[ALL_VERBS] = {
        {PROVIDER_FIND_CONTAINER, HTTP_GET, BASE "/projects?limit=100", NULL},
        {PROVIDER_CREATE_CONTAINER, HTTP_POST, BASE "/projects", "{\"name\":\"llmhook:h1:u1\"}"},
        {PROVIDER_LIMIT_CONTAINER, HTTP_POST, BASE "/projects/proj_abc/spend_limit",
         "{\"threshold_amount\":10051,\"currency\":\"USD\",\"interval\":\"month\"}"},
        {PROVIDER_RATE_LIMIT_CONTAINER, HTTP_GET, BASE "/projects/proj_abc/rate_limits?limit=100", NULL},
        {PROVIDER_ARCHIVE_CONTAINER, HTTP_POST, BASE "/projects/proj_abc/archive", NULL},
        {PROVIDER_FIND_KEYS, HTTP_GET, BASE "/projects/proj_abc/service_accounts?limit=100", NULL},
        {PROVIDER_MINT_KEY, HTTP_POST, BASE "/projects/proj_abc/service_accounts",
         "{\"name\":\"llmhook:h1:u1:openai:1\"}"},
        {PROVIDER_REVOKE_KEY, HTTP_DELETE, BASE "/projects/proj_abc/service_accounts/user-xyz", NULL},
        {PROVIDER_INVENTORY, HTTP_GET, BASE "/projects?limit=100", NULL},
        {PROVIDER_USAGE, HTTP_GET,
         BASE "/costs?start_time=1709164800&end_time=1709251200&bucket_width=1d&limit=7&group_by[]=project_id"
              "&group_by[]=api_key_id&group_by[]=line_item&project_ids[]=proj_abc", NULL},
        {PROVIDER_CHECK, HTTP_GET, BASE "/projects?limit=1", NULL},
    };
    asks_first(begin, wanted, ALL_VERBS);
}

static void test_base_url_of_the_settings(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, PROVIDER_CHECK);
    snprintf(f.settings.base_url, sizeof f.settings.base_url, "http://127.0.0.1:9/v1");
    asks(&f, HTTP_GET, "http://127.0.0.1:9/v1/organization/projects?limit=1", NULL);
    end(&f);
}

static void test_names_cannot_break_the_body(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, PROVIDER_CREATE_CONTAINER);
    snprintf(f.call.container_name, sizeof f.call.container_name, "a\"},{\\ \n\xc3\xa4/b");
    asks(&f, HTTP_POST, BASE "/projects", "{\"name\":\"a\\\"},{\\\\ \\n\xc3\xa4/b\"}");
    end(&f);
}

static void test_ids_cannot_break_the_url(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "..", "a/b", "a?b", "a%2fb", "a b", "a#b", "a.b", "\xc3\xa4"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        for (size_t v = 0; v < ALL_VERBS; v++) {
            struct fixture f;
            begin(&f, all_verbs[v]);
            snprintf(f.call.container_id, sizeof f.call.container_id, "%s", bad[i]);
            if (all_verbs[v] != PROVIDER_FIND_CONTAINER && !creating(all_verbs[v]) &&
                all_verbs[v] != PROVIDER_INVENTORY && all_verbs[v] != PROVIDER_USAGE && all_verbs[v] != PROVIDER_CHECK)
                cannot_ask(&f, "the project's id is empty or holds");
            end(&f);
        }
        struct fixture f;
        begin(&f, PROVIDER_MINT_KEY);
        snprintf(f.call.container_id, sizeof f.call.container_id, "%s", bad[i]);
        cannot_ask(&f, "the project's id is empty or holds");
        begin(&f, PROVIDER_REVOKE_KEY);
        snprintf(f.call.key_id, sizeof f.call.key_id, "%s", bad[i]);
        cannot_ask(&f, "the key's id is empty or holds");
        end(&f);
    }
}

static void test_missing_inputs(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, PROVIDER_FIND_CONTAINER);
    f.call.container_name[0] = '\0';
    cannot_ask(&f, "no name was given for the project that is looked for");
    f.call.verb = PROVIDER_CREATE_CONTAINER;
    cannot_ask(&f, "no name was given for what is to be made");
    begin(&f, PROVIDER_FIND_KEYS);
    f.call.key_name[0] = '\0';
    cannot_ask(&f, "no name was given for the key that is looked for");
    f.call.verb = PROVIDER_MINT_KEY;
    cannot_ask(&f, "no name was given for what is to be made");
    begin(&f, PROVIDER_LIMIT_CONTAINER);
    f.call.monthly_limit = 0;
    cannot_ask(&f, "a monthly limit has to be more than nothing");
    begin(&f, PROVIDER_INVENTORY);
    f.call.name_prefix[0] = '\0';
    cannot_ask(&f, "an inventory needs the prefix of our names");
    end(&f);
}

static void test_dollars_become_whole_cents(void **state)
{
    (void)state;
    static const struct {
        int64_t micro;
        const char *cents;
    } wanted[] = {{1, ":1,"}, {10000, ":1,"}, {10001, ":2,"}, {INT64_C(100000000), ":10000,"},
                  {INT64_C(999999999999), ":100000000,"}};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        struct fixture f;
        char body[128];
        begin(&f, PROVIDER_LIMIT_CONTAINER);
        f.call.monthly_limit = wanted[i].micro;
        snprintf(body, sizeof body, "{\"threshold_amount\"%s\"currency\":\"USD\",\"interval\":\"month\"}",
                 wanted[i].cents);
        asks(&f, HTTP_POST, BASE "/projects/proj_abc/spend_limit", body);
        end(&f);
    }
}

/* --- failures that mean the same whatever was asked --- */

static void test_statuses_for_every_verb(void **state)
{
    (void)state;
    for (size_t i = 0; i < ALL_VERBS; i++) {
        enum provider_verb verb = all_verbs[i];
        enum outcome doubt = creating(verb) ? OUTCOME_UNKNOWN : OUTCOME_UNREACHABLE;
        judged(verb, 401, ERROR_BODY("Incorrect API key provided: sk-admin-abc. Find", "invalid_api_key"),
               OUTCOME_UNAUTHORIZED, ERROR_DENIED, "OpenAI does not accept the admin key (401): replace it");
        judged(verb, 403, ERROR_BODY("Minting is forbidden", "policy"), OUTCOME_REFUSED, ERROR_DENIED,
               "OpenAI refused (403): Minting is forbidden (policy)");
        judged(verb, 400, ERROR_BODY("Bad name", ""), OUTCOME_REFUSED, ERROR_INVALID, "OpenAI refused (400): Bad name");
        judged(verb, 422, ERROR_BODY("No", "c"), OUTCOME_REFUSED, ERROR_INVALID, "OpenAI refused (422): No (c)");
        judged(verb, 429, ERROR_BODY("Slow down", "rate"), OUTCOME_THROTTLED, ERROR_BUSY,
               "OpenAI asks for fewer requests (429): Slow down (rate)");
        judged(verb, 409, ERROR_BODY("Lock timeout", ""), doubt, ERROR_LOST, "could not do it now (409): Lock timeout");
        judged(verb, 408, "", doubt, ERROR_LOST, "OpenAI could not do it now (408)");
        judged(verb, 500, "<html>oops</html>", doubt, ERROR_LOST, "OpenAI could not do it now (500)");
        judged(verb, 503, "", doubt, ERROR_LOST, "OpenAI could not do it now (503)");
        judged(verb, 302, "", OUTCOME_REFUSED, ERROR_PROTOCOL, "redirect refused");
        judged(verb, 403, "<html>proxy</html>", OUTCOME_REFUSED, ERROR_PROTOCOL,
               "the answer (403) does not look like one of OpenAI");
    }
}

static void test_retry_after_is_passed_on(void **state)
{
    (void)state;
    for (size_t i = 0; i < ALL_VERBS; i++) {
        struct fixture f;
        begin(&f, all_verbs[i]);
        assert_int_equal(reads_within(&f, 503, "", 7000), PROVIDER_NEXT_DONE);
        /* A gateway says the same after the request went on to the server behind it. */
        assert_int_equal(f.result.outcome, creating(all_verbs[i]) ? OUTCOME_UNKNOWN : OUTCOME_THROTTLED);
        assert_int_equal(f.result.retry_after_ms, 7000);
        assert_int_equal(reads_within(&f, 429, "", 250), PROVIDER_NEXT_DONE);
        assert_int_equal(f.result.outcome, OUTCOME_THROTTLED);
        assert_int_equal(f.result.retry_after_ms, 250);
        end(&f);
    }
}

/* What comes from outside is shortened, printable, and holds no key. */
static void test_their_words_are_quoted_with_care(void **state)
{
    (void)state;
    judged(PROVIDER_CHECK, 400, ERROR_BODY("Key sk-proj-0123456789abcdef\\u001b is wrong", "x"), OUTCOME_REFUSED,
           ERROR_INVALID, "OpenAI refused (400): Key [key]? is wrong (x)");
    struct fixture f;
    begin(&f, PROVIDER_CHECK);
    reads(&f, 401, ERROR_BODY("Incorrect API key provided: sk-admin-abcdefgh. oops", "c"), OUTCOME_UNAUTHORIZED);
    assert_null(strstr(f.result.error.text, "oops"));
    end(&f);
}

static void test_archived_projects_are_gone(void **state)
{
    (void)state;
    static const char code[] = ERROR_BODY("No.", "project_archived"), words[] = ERROR_BODY("Project is archived", "x");
    static const enum provider_verb verbs[] = {PROVIDER_ARCHIVE_CONTAINER, PROVIDER_FIND_KEYS, PROVIDER_MINT_KEY,
                                               PROVIDER_RATE_LIMIT_CONTAINER, PROVIDER_LIMIT_CONTAINER,
                                               PROVIDER_REVOKE_KEY};
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        judged(verbs[i], 400, code, OUTCOME_GONE, ERROR_NOT_FOUND, "any more");
        judged(verbs[i], 400, words, OUTCOME_GONE, ERROR_NOT_FOUND, "any more");
    }
    judged(PROVIDER_ARCHIVE_CONTAINER, 400, ERROR_BODY("The default project cannot be archived.", ""), OUTCOME_REFUSED,
           ERROR_INVALID, "cannot be archived");
}

/* --- successes --- */

/* A success that cannot be read: who knows what happened. */
static void test_unreadable_successes(void **state)
{
    (void)state;
    static const char *const bodies[] = {"", "{", "null", "[]", "{}", "{\"id\": 5}", "{\"data\": 5}", "<html></html>",
                                         "{\"data\":[null],\"has_more\":false}"};
    for (size_t b = 0; b < sizeof bodies / sizeof bodies[0]; b++) {
        for (size_t i = 0; i < ALL_VERBS; i++) {
            struct fixture f;
            begin(&f, all_verbs[i]);
            if (all_verbs[i] == PROVIDER_LIMIT_CONTAINER)
                f.progress.step = 1;
            if (strstr(bodies[b], "[null]") && all_verbs[i] == PROVIDER_CHECK)
                continue; /* it looks at no item */
            reads(&f, 200, bodies[b], provider_doubt(all_verbs[i]));
            check_error(f.result.error, ERROR_PROTOCOL, "OpenAI's answer (200) cannot be trusted: ");
            end(&f);
        }
    }
}

static void test_find_container(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, PROVIDER_FIND_CONTAINER);
    snprintf(f.call.container_name, sizeof f.call.container_name, "llmhook:h1:u1 (web server)");
    reads_on(&f, 200,
             LIST(PROJECT("proj_3", "\"llmhook:h1:u1\"", "300", ",\"status\":\"active\",\"archived_at\":null") ","
                  PROJECT("proj_x", "\"llmhook:h1:u10\"", "1", ""),
                  "true", "\"proj_x\""));
    asks(&f, HTTP_GET, BASE "/projects?limit=100&after=proj_x", NULL);
    reads_on(&f, 200, LIST(PROJECT("proj_1", "\"llmhook:h1:u1 old label\"", "100", ",\"status\":null"), "true", "null"));
    asks(&f, HTTP_GET, BASE "/projects?limit=100&after=proj_1", NULL);
    reads(&f, 200,
          LIST(PROJECT("proj_2", "\"llmhook:h1:u1\"", "200", ",\"status\":\"archived\",\"archived_at\":5") ","
               PROJECT("proj_4", "null", "4", "") "," PROJECT("proj_5", "\"x\\u0000y\"", "4", "") ","
               PROJECT("proj_6", "\"llmhook:h1:u1\"", "100", ",\"archived_at\":7"),
               "false", "\"proj_6\""),
          OUTCOME_OK);
    assert_int_equal(f.result.items_count, 2);
    assert_string_equal(f.result.items[0].id, "proj_1"); /* the oldest first */
    assert_string_equal(f.result.items[0].name, "llmhook:h1:u1 old label");
    assert_int_equal(f.result.items[0].created_at, 100000);
    assert_int_equal(f.result.items[0].kind, PROVIDER_ITEM_CONTAINER);
    assert_string_equal(f.result.items[1].id, "proj_3");
    end(&f);
}

/* Names of other people's projects may be as long as they like. */
static void test_long_foreign_names_do_no_harm(void **state)
{
    (void)state;
    char body[2048], name[600];
    struct fixture f;
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    snprintf(body, sizeof body, LIST(PROJECT("proj_9", "\"%s\"", "1", "") "," PROJECT("proj_1", "\"llmhook:h1:u1\"", "1", ""),
                                     "false", "null"), name);
    begin(&f, PROVIDER_FIND_CONTAINER);
    reads(&f, 200, body, OUTCOME_OK);
    assert_int_equal(f.result.items_count, 1);
    end(&f);
    /* A key's exact name is not the beginning of a longer one. */
    snprintf(body, sizeof body, LIST(ACCOUNT("user-1", "%s", "1"), "false", "null"), name);
    begin(&f, PROVIDER_FIND_KEYS);
    memset(f.call.key_name, 'n', sizeof f.call.key_name - 1);
    reads(&f, 200, body, OUTCOME_OK);
    assert_int_equal(f.result.items_count, 0);
    end(&f);
}

static void test_wrong_fields_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *body, *piece;
        enum error_code code;
    } wrong[] = {
        {LIST("{\"name\":\"llmhook:h1:u1\",\"created_at\":1}", "false", "null"), "field 'id' is missing", ERROR_PROTOCOL},
        {LIST("{\"id\":7,\"name\":\"llmhook:h1:u1\",\"created_at\":1}", "false", "null"), "field 'id' is int, not string",
         ERROR_PROTOCOL},
        {LIST(PROJECT("a/../b", "\"llmhook:h1:u1\"", "1", ""), "false", "null"), "field 'id' holds what no id has",
         ERROR_PROTOCOL},
        {LIST(PROJECT("proj_1", "[]", "1", ""), "false", "null"), "field 'name' is array, not string", ERROR_PROTOCOL},
        {LIST(PROJECT("proj_1", "\"llmhook:h1:u1\"", "\"1\"", ""), "false", "null"),
         "field 'created_at' is string, not int", ERROR_PROTOCOL},
        {LIST(PROJECT("proj_1", "\"llmhook:h1:u1\"", "-1", ""), "false", "null"), "field 'created_at' is no time",
         ERROR_PROTOCOL},
        {LIST(PROJECT("proj_1", "\"llmhook:h1:u1\"", "9223372036854775807", ""), "false", "null"),
         "field 'created_at' is no time", ERROR_PROTOCOL},
        {"{\"data\":[],\"has_more\":\"no\"}", "field 'has_more' is string, not boolean", ERROR_PROTOCOL},
        {"{\"data\":{},\"has_more\":false}", "field 'data' is object, not array", ERROR_PROTOCOL},
        {"{\"has_more\":false}", "field 'data' is missing", ERROR_PROTOCOL},
        {"{\"data\":[]}", "field 'has_more' is missing", ERROR_PROTOCOL},
        {LIST("", "true", "null"), "field 'has_more' promises a page", ERROR_PROTOCOL},
        {LIST("", "true", "\"a&b=c\""), "field 'has_more' promises a page", ERROR_PROTOCOL},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        judged(PROVIDER_FIND_CONTAINER, 200, wrong[i].body, OUTCOME_UNREACHABLE, wrong[i].code, wrong[i].piece);

    char id[400], body[1024];
    memset(id, 'i', sizeof id - 1);
    id[sizeof id - 1] = '\0';
    snprintf(body, sizeof body, LIST(PROJECT("%s", "\"llmhook:h1:u1\"", "1", ""), "false", "null"), id);
    judged(PROVIDER_FIND_CONTAINER, 200, body, OUTCOME_UNREACHABLE, ERROR_LIMIT, "field 'id' is longer than 128 bytes");
    snprintf(body, sizeof body, PROJECT("%s", "\"n\"", "1", ""), id);
    judged(PROVIDER_CREATE_CONTAINER, 200, body, OUTCOME_UNKNOWN, ERROR_LIMIT, "field 'id' is longer than 128 bytes");
}

static void test_paging_that_stands_still_is_noticed(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, PROVIDER_FIND_KEYS);
    reads_on(&f, 200, LIST(ACCOUNT("user-1", "n", "1"), "true", "\"user-1\""));
    asks(&f, HTTP_GET, BASE "/projects/proj_abc/service_accounts?limit=100&after=user-1", NULL);
    reads(&f, 200, LIST(ACCOUNT("user-1", "n", "1"), "true", "\"user-1\""), OUTCOME_UNREACHABLE);
    check_error(f.result.error, ERROR_PROTOCOL, "'last_id' does not lead there");
    end(&f);
}

static void test_create_and_archive(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, PROVIDER_CREATE_CONTAINER);
    f.call.container_id[0] = '\0';
    reads(&f, 200, PROJECT("proj_new", "\"n\"", "1", ",\"unheard_of\":[1]"), OUTCOME_OK);
    assert_string_equal(f.result.container_id, "proj_new");
    begin(&f, PROVIDER_ARCHIVE_CONTAINER);
    reads(&f, 200, PROJECT("proj_abc", "\"n\"", "1", ",\"status\":\"archived\",\"archived_at\":9"), OUTCOME_OK);
    end(&f);
    judged(PROVIDER_ARCHIVE_CONTAINER, 200, PROJECT("proj_abc", "\"n\"", "1", ",\"status\":\"active\""), OUTCOME_UNKNOWN,
           ERROR_PROTOCOL, "the project is not shown as archived");
    judged(PROVIDER_ARCHIVE_CONTAINER, 200, PROJECT("proj_abd", "\"n\"", "1", ",\"status\":\"archived\""), OUTCOME_UNKNOWN,
           ERROR_PROTOCOL, "the project is not shown as archived");
}

#define SPEND(amount, currency, interval, enforcement)                                                      \
    "{\"object\":\"project.spend_limit\",\"threshold_amount\":" amount ",\"currency\":\"" currency          \
    "\",\"interval\":\"" interval "\"" enforcement "}"
#define ENFORCEMENT ",\"enforcement\":{\"status\":\"inactive\"}"

static void limit_reads(const char *body, enum outcome outcome, enum error_code code, const char *piece)
{
    struct fixture f;
    begin(&f, PROVIDER_LIMIT_CONTAINER);
    reads_on(&f, 200, SPEND("10051", "USD", "month", ENFORCEMENT));
    asks(&f, HTTP_GET, BASE "/projects/proj_abc/spend_limit", NULL);
    reads(&f, 200, body, outcome);
    if (outcome != OUTCOME_OK)
        check_error(f.result.error, code, piece);
    end(&f);
}

static void test_the_spend_limit_is_read_back(void **state)
{
    (void)state;
    limit_reads(SPEND("10051", "USD", "month", ENFORCEMENT), OUTCOME_OK, ERROR_NONE, "");
    limit_reads(SPEND("10050", "USD", "month", ENFORCEMENT), OUTCOME_REFUSED, ERROR_PROTOCOL,
                "OpenAI keeps a spend limit of 10050 US cents a month for project proj_abc, not the 10051 US cents a month");
    limit_reads(SPEND("10051", "EUR", "month", ENFORCEMENT), OUTCOME_REFUSED, ERROR_PROTOCOL, "in another currency");
    limit_reads(SPEND("10051", "USD", "day", ENFORCEMENT), OUTCOME_REFUSED, ERROR_PROTOCOL, "in another currency");
    limit_reads(SPEND("10051", "USD", "month", ""), OUTCOME_UNKNOWN, ERROR_PROTOCOL, "field 'enforcement' is missing");
    limit_reads(SPEND("10051", "USD", "month", ",\"enforcement\":{}"), OUTCOME_UNKNOWN, ERROR_PROTOCOL,
                "field 'status' is missing");
    limit_reads(SPEND("\"10051\"", "USD", "month", ENFORCEMENT), OUTCOME_UNKNOWN, ERROR_PROTOCOL,
                "field 'threshold_amount' is string, not int");
}

/* Whether the limit that the provider keeps is known to be another is not a matter of the outcome. */
static void only_read(long status, const char *body, long look_status, const char *look, enum outcome outcome, bool other)
{
    struct fixture f;
    begin(&f, PROVIDER_LIMIT_CONTAINER);
    f.call.only_read = true;
    asks(&f, HTTP_GET, BASE "/projects/proj_abc/spend_limit", NULL);
    if (look) {
        reads_on(&f, status, body);
        reads(&f, look_status, look, outcome);
    } else {
        reads(&f, status, body, outcome);
    }
    assert_int_equal(f.result.other_limit, other);
    if (look && other)
        check_error(f.result.error, ERROR_INVALID, "OpenAI keeps no spend limit for project proj_abc");
    end(&f);
}

static void test_the_spend_limit_is_only_read(void **state)
{
    (void)state;
    static const char missing[] = ERROR_BODY("There is none.", "not_found");
    only_read(200, SPEND("10051", "USD", "month", ENFORCEMENT), 0, NULL, OUTCOME_OK, false);
    only_read(200, SPEND("10050", "USD", "month", ENFORCEMENT), 0, NULL, OUTCOME_REFUSED, true);
    only_read(200, SPEND("10051", "EUR", "month", ENFORCEMENT), 0, NULL, OUTCOME_REFUSED, true);
    only_read(404, missing, 200, PROJECT("proj_abc", "\"n\"", "1", ""), OUTCOME_UNSUPPORTED, true);
    only_read(403, ERROR_BODY("Spend limits are not enabled.", "x"), 0, NULL, OUTCOME_UNSUPPORTED, true);
    only_read(404, missing, 404, missing, OUTCOME_REFUSED, false);
    only_read(403, ERROR_BODY("You may not.", "policy"), 0, NULL, OUTCOME_REFUSED, false);
    only_read(403, "<html></html>", 0, NULL, OUTCOME_REFUSED, false);
    only_read(302, "", 0, NULL, OUTCOME_REFUSED, false);
    only_read(503, "", 0, NULL, OUTCOME_UNREACHABLE, false);
}

static void test_providers_without_spend_limits(void **state)
{
    (void)state;
    judged(PROVIDER_LIMIT_CONTAINER, 403, ERROR_BODY("Writing is off", "spend_limit_writes_not_enabled"),
           OUTCOME_UNSUPPORTED, ERROR_INVALID, "OpenAI does not offer spend limits to this account: Writing is off");
}

#define RATE(id, model, requests, tokens)                                                                     \
    "{\"object\":\"project.rate_limit\",\"id\":\"" id "\",\"model\":\"" model                                 \
    "\",\"max_requests_per_1_minute\":" requests ",\"max_tokens_per_1_minute\":" tokens ",\"max_images_per_1_minute\":3}"

static void add_rate(struct fixture *f, const char *model, int64_t requests, int64_t tokens)
{
    struct provider_rate *rate = &f->settings.rates[f->settings.rates_count++];
    snprintf(rate->model, sizeof rate->model, "%s", model);
    rate->requests_per_minute = requests;
    rate->tokens_per_minute = tokens;
}

static void test_rate_limits(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, PROVIDER_RATE_LIMIT_CONTAINER);
    add_rate(&f, "gpt-4.1", 10, 0);
    add_rate(&f, "same", 5, 50);
    add_rate(&f, "o3", 7, 70);
    reads_on(&f, 200, LIST(RATE("rl-o3", "o3", "7", "71") "," RATE("rl-same", "same", "5", "50"), "true", "\"rl-same\""));
    asks(&f, HTTP_GET, BASE "/projects/proj_abc/rate_limits?limit=100&after=rl-same", NULL);
    reads_on(&f, 200, LIST(RATE("rl-other", "other", "1", "1") "," RATE("rl-gpt-4.1", "gpt-4.1", "9", "9"), "false", "null"));
    asks(&f, HTTP_POST, BASE "/projects/proj_abc/rate_limits/rl-o3",
         "{\"max_requests_per_1_minute\":7,\"max_tokens_per_1_minute\":70}");
    reads_on(&f, 200, RATE("rl-o3", "o3", "7", "70"));
    asks(&f, HTTP_POST, BASE "/projects/proj_abc/rate_limits/rl-gpt-4.1", "{\"max_requests_per_1_minute\":10}");
    reads(&f, 200, RATE("rl-gpt-4.1", "gpt-4.1", "10", "9"), OUTCOME_OK);
    assert_int_equal(f.result.items_count, 0);
    end(&f);
}

static void test_rate_limits_that_fail(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, PROVIDER_RATE_LIMIT_CONTAINER);
    add_rate(&f, "gpt-9", 10, 0);
    reads(&f, 200, LIST(RATE("rl-o3", "o3", "7", "71"), "false", "null"), OUTCOME_REFUSED);
    check_error(f.result.error, ERROR_INVALID, "OpenAI has no rate limits for model 'gpt-9' in project proj_abc");
    begin(&f, PROVIDER_RATE_LIMIT_CONTAINER);
    add_rate(&f, "o3", 10, 0);
    reads_on(&f, 200, LIST(RATE("rl-o3", "o3", "7", "71"), "false", "null"));
    reads(&f, 200, RATE("rl-o3", "o3", "7", "71"), OUTCOME_REFUSED);
    check_error(f.result.error, ERROR_PROTOCOL, "keeps 7 requests and 71 tokens a minute for model 'o3', not what was");
    end(&f);
    begin(&f, PROVIDER_RATE_LIMIT_CONTAINER);
    add_rate(&f, "o3", 10, 0);
    reads_on(&f, 200, LIST(RATE("rl-o3", "o3", "7", "71"), "false", "null"));
    reads(&f, 400, ERROR_BODY("exceeds the organization's limit of 5", "invalid_value"), OUTCOME_REFUSED);
    check_error(f.result.error, ERROR_INVALID, "OpenAI refused (400): exceeds the organization's limit of 5");
    end(&f);
    begin(&f, PROVIDER_RATE_LIMIT_CONTAINER);
    add_rate(&f, "o3", 10, 0);
    reads(&f, 200, LIST(RATE("../x", "o3", "7", "71"), "false", "null"), OUTCOME_UNKNOWN);
    check_error(f.result.error, ERROR_PROTOCOL, "field 'id' holds what no id has");
    end(&f);
}

static void test_find_keys(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, PROVIDER_FIND_KEYS);
    reads(&f, 200,
          LIST(ACCOUNT("user-3", "llmhook:h1:u1:openai:1", "30") "," ACCOUNT("user-2", "llmhook:h1:u1:openai:11", "1") ","
               ACCOUNT("user-1", "llmhook:h1:u1:openai:1", "10") "," ACCOUNT("user-4", "llmhook:h1:u1:openai", "1"),
               "false", "null"),
          OUTCOME_OK);
    assert_int_equal(f.result.items_count, 2);
    assert_string_equal(f.result.items[0].id, "user-1");
    assert_string_equal(f.result.items[1].id, "user-3");
    assert_string_equal(f.result.items[1].container_id, "proj_abc");
    assert_int_equal(f.result.items[1].kind, PROVIDER_ITEM_KEY);
    end(&f);
}

#define MINTED(id, api_key) \
    "{\"object\":\"organization.project.service_account\",\"id\":" id ",\"name\":\"n\",\"role\":\"member\"," \
    "\"created_at\":1,\"api_key\":" api_key "}"
#define API_KEY(value) "{\"object\":\"x\",\"value\":" value ",\"name\":\"Secret Key\",\"created_at\":1,\"id\":\"key_1\"}"

static void test_mint(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, PROVIDER_MINT_KEY);
    f.call.key_id[0] = '\0';
    reads(&f, 200, MINTED("\"user-new\"", API_KEY("\"" MINTED_KEY "\"")), OUTCOME_OK);
    assert_string_equal(f.result.key_id, "user-new");
    assert_non_null(f.result.secret);
    assert_string_equal(secret_reveal(f.result.secret), MINTED_KEY);
    end(&f);
}

/* A key ends when the answer says so, whatever was asked for: an organisation may set a longest life. */
static void test_mint_a_key_that_ends(void **state)
{
    (void)state;
#define ENDS(more) "{\"value\":\"" MINTED_KEY "\",\"id\":\"key_1\"" more "}"
    static const struct {
        int64_t asked;
        const char *api_key;
        int64_t life;
    } cases[] = {
        {0, ENDS(",\"created_at\":1000,\"expires_at\":null"), 0},
        {0, ENDS(",\"created_at\":1000,\"expires_at\":4600"), 3600000},
        {7200000, ENDS(",\"created_at\":1000,\"expires_at\":4600"), 3600000},
        {7200000, ENDS(",\"created_at\":1000"), 7200000}, /* as versions before that have it */
        {0, ENDS(",\"created_at\":1000,\"expires_at\":1000"), 1},
        {0, ENDS(",\"created_at\":1000,\"expires_at\":-5"), 0},
        {0, ENDS(",\"created_at\":1000,\"expires_at\":9223372036854775807"), 0},
        {0, ENDS(",\"created_at\":\"x\",\"expires_at\":4600"), 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct fixture f;
        char body[512];
        begin(&f, PROVIDER_MINT_KEY);
        f.call.key_id[0] = '\0';
        f.settings.expires_ms = cases[i].asked;
        asks(&f, HTTP_POST, BASE "/projects/proj_abc/service_accounts",
             cases[i].asked ? "{\"name\":\"llmhook:h1:u1:openai:1\",\"expires_in_seconds\":7200}"
                            : "{\"name\":\"llmhook:h1:u1:openai:1\"}");
        snprintf(body, sizeof body, MINTED("\"user-new\"", "%s"), cases[i].api_key);
        reads(&f, 200, body, OUTCOME_OK);
        assert_int_equal(f.result.life_ms, cases[i].life);
        end(&f);
    }
}

static void test_mint_without_a_usable_key(void **state)
{
    (void)state;
    static const struct lost_key lost[] = {
        {MINTED("\"user-new\"", "null"), "user-new", "field 'api_key' is missing"},
        {"{\"id\":\"user-new\",\"name\":\"n\"}", "user-new", "field 'api_key' is missing"},
        {MINTED("\"user-new\"", "\"" MINTED_KEY "\""), "user-new", "field 'api_key' is string, not object"},
        {MINTED("\"user-new\"", API_KEY("null")), "user-new", "field 'value' is missing or no string"},
        {MINTED("\"user-new\"", API_KEY("\"\"")), "user-new", "field 'value' holds no usable key"},
        {MINTED("\"user-new\"", API_KEY("\"sk-short\"")), "user-new", "holds no usable key"},
        {MINTED("\"user-new\"", API_KEY("\"sk-svcacct-abcdefgh\\nijklmnop\"")), "user-new", "holds no usable key"},
        {MINTED("\"user-new\"", API_KEY("\"sk-svcacct-abcdefgh\\u0000ijklmnop\"")), "user-new", "holds no usable key"},
        {MINTED("\"user-new\"", API_KEY("\"sk-svcacct-abcdefgh ijklmnop\"")), "user-new", "holds no usable key"},
        {MINTED("null", API_KEY("\"" MINTED_KEY "\"")), "", "field 'id' is missing"},
        {MINTED("\"a/b\"", API_KEY("\"" MINTED_KEY "\"")), "", "field 'id' holds what no id has"},
        {"{\"id\":\"user-new\",\"api_key\":{\"value\":\"" MINTED_KEY, "", "not JSON"},
    };
    minted_and_lost(begin, 200, lost, COUNT(lost), "sk-");
}

#define DELETED(id, deleted) "{\"object\":\"organization.project.service_account.deleted\",\"id\":" id ",\"deleted\":" deleted "}"

static void test_revoke(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, PROVIDER_REVOKE_KEY);
    reads(&f, 200, DELETED("\"user-xyz\"", "true"), OUTCOME_OK);
    end(&f);
    judged(PROVIDER_REVOKE_KEY, 200, DELETED("\"user-xyz\"", "false"), OUTCOME_UNKNOWN, ERROR_PROTOCOL,
           "the service account is not shown as deleted");
    judged(PROVIDER_REVOKE_KEY, 200, DELETED("\"user-other\"", "true"), OUTCOME_UNKNOWN, ERROR_PROTOCOL,
           "the service account is not shown as deleted");
    judged(PROVIDER_REVOKE_KEY, 200, DELETED("\"user-xyz\"", "1"), OUTCOME_UNKNOWN, ERROR_PROTOCOL,
           "field 'deleted' is int, not boolean");
    judged(PROVIDER_REVOKE_KEY, 204, "", OUTCOME_UNKNOWN, ERROR_PROTOCOL, "OpenAI's answer (204) cannot be trusted");
}

static void test_inventory(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, PROVIDER_INVENTORY);
    reads_on(&f, 200, LIST(PROJECT("proj_1", "\"llmhook:h1:u1\"", "1", "") "," PROJECT("proj_x", "\"web\"", "1", ""),
                           "true", "\"proj_x\""));
    asks(&f, HTTP_GET, BASE "/projects?limit=100&after=proj_x", NULL);
    reads_on(&f, 200, LIST(PROJECT("proj_2", "\"llmhook:h1:u2\"", "2", "") ","
                           PROJECT("proj_3", "\"llmhook:h1:u3\"", "2", ",\"status\":\"archived\"") ","
                           PROJECT("proj_4", "\"llmhook:h2:u3\"", "2", "") "," PROJECT("proj_5", "\"llmhook:h1:u5\"", "2", ""),
                           "false", "\"proj_5\""));
    asks(&f, HTTP_GET, BASE "/projects/proj_1/service_accounts?limit=100", NULL);
    reads_on(&f, 200, LIST(ACCOUNT("user-1", "llmhook:h1:u1:openai:1", "1"), "true", "\"user-1\""));
    asks(&f, HTTP_GET, BASE "/projects/proj_1/service_accounts?limit=100&after=user-1", NULL);
    reads_on(&f, 200, LIST(ACCOUNT("user-2", "made by hand", "1"), "false", "\"user-2\""));
    asks(&f, HTTP_GET, BASE "/projects/proj_2/service_accounts?limit=100", NULL);
    reads_on(&f, 400, ERROR_BODY("The project is archived.", "project_archived")); /* since it was listed */
    asks(&f, HTTP_GET, BASE "/projects/proj_5/service_accounts?limit=100", NULL);
    reads(&f, 200, LIST("", "false", "null"), OUTCOME_OK);
    assert_int_equal(f.result.items_count, 5);
    static const char *const ids[] = {"proj_1", "proj_2", "proj_5", "user-1", "user-2"};
    for (size_t i = 0; i < 5; i++)
        assert_string_equal(f.result.items[i].id, ids[i]);
    assert_string_equal(f.result.items[4].container_id, "proj_1");
    assert_string_equal(f.result.items[4].name, "made by hand");
    end(&f);
    static const char *const known[] = {"proj_9", "user-7"}; /* of other names: what else is in it is not ours */
    begin(&f, PROVIDER_INVENTORY);
    f.call.known_ids = known;
    f.call.known_count = COUNT(known);
    reads_on(&f, 200, LIST(PROJECT("proj_8", "\"web\"", "1", "") "," PROJECT("proj_9", "\"mine\"", "1", ""), "false", "null"));
    asks(&f, HTTP_GET, BASE "/projects/proj_9/service_accounts?limit=100", NULL);
    reads(&f, 200, LIST(ACCOUNT("user-6", "by hand", "1") "," ACCOUNT("user-7", "by hand", "1") ","
                        ACCOUNT("user-8", "llmhook:h1:u1:openai:1", "1"), "false", "null"), OUTCOME_OK);
    assert_int_equal(f.result.items_count, 3);
    assert_string_equal(f.result.items[1].id, "user-7");
    assert_string_equal(f.result.items[2].id, "user-8");
    end(&f);
    begin(&f, PROVIDER_INVENTORY); /* listed, and then not to be seen: its keys may be alive */
    reads_on(&f, 200, LIST(PROJECT("proj_1", "\"llmhook:h1:u1\"", "1", ""), "false", "null"));
    reads(&f, 404, ERROR_BODY("No such project.", "not_found"), OUTCOME_REFUSED);
    end(&f);
}

/* The limits of our own host's projects, each for one request more. */
static void test_inventory_with_limits(void **state)
{
    (void)state;
    struct fixture f;
#define LIMIT(amount, currency, interval) \
    "{\"threshold_amount\":" amount ",\"currency\":\"" currency "\",\"interval\":\"" interval "\"}"
#define OURS(id) PROJECT(id, "\"llmhook:h1:u1\"", "1", "")
    begin(&f, PROVIDER_INVENTORY);
    snprintf(f.call.name_prefix, sizeof f.call.name_prefix, "llmhook:");
    snprintf(f.call.limits_prefix, sizeof f.call.limits_prefix, "llmhook:h1:");
    reads_on(&f, 200, LIST(OURS("proj_1") "," OURS("proj_2") "," PROJECT("proj_3", "\"llmhook:h2:u1\"", "1", "") ","
                           OURS("proj_4") "," OURS("proj_5") "," OURS("proj_6"), "false", "null"));
    reads_on(&f, 200, LIST("", "false", "null"));
    asks(&f, HTTP_GET, BASE "/projects/proj_1/spend_limit", NULL);
    reads_on(&f, 200, LIMIT("2500", "USD", "month"));
    asks(&f, HTTP_GET, BASE "/projects/proj_2/service_accounts?limit=100", NULL);
    reads_on(&f, 200, LIST(ACCOUNT("user-1", "n", "1"), "false", "null"));
    asks(&f, HTTP_GET, BASE "/projects/proj_2/spend_limit", NULL);
    reads_on(&f, 404, ERROR_BODY("There is no spend limit.", "not_found"));
    asks(&f, HTTP_GET, BASE "/projects/proj_3/service_accounts?limit=100", NULL);
    reads_on(&f, 200, LIST("", "false", "null")); /* another host's: its limit is none of our business */
    asks(&f, HTTP_GET, BASE "/projects/proj_4/service_accounts?limit=100", NULL);
    reads_on(&f, 200, LIST("", "false", "null"));
    reads_on(&f, 403, ERROR_BODY("Spend limits are not enabled.", "x"));
    asks(&f, HTTP_GET, BASE "/projects/proj_5/service_accounts?limit=100", NULL);
    reads_on(&f, 200, LIST("", "false", "null"));
    reads_on(&f, 200, LIMIT("2500", "EUR", "month"));
    reads_on(&f, 200, LIST("", "false", "null"));
    reads(&f, 400, ERROR_BODY("The project is archived.", "project_archived"), OUTCOME_OK);
    assert_int_equal(f.result.items_count, 7);
    static const int64_t wanted[] = {25000000, 0, PROVIDER_LIMIT_UNTOLD, PROVIDER_LIMIT_UNTOLD, 0, PROVIDER_LIMIT_UNTOLD,
                                     PROVIDER_LIMIT_UNTOLD};
    for (size_t i = 0; i < 7; i++)
        assert_int_equal(f.result.items[i].monthly_limit, wanted[i]);
    end(&f);
    /* One that cannot be told is no reason to believe half a list. */
    static const struct {
        long status;
        const char *body, *piece;
    } broken[] = {
        {200, LIMIT("-1", "USD", "month"), "field 'threshold_amount' is no amount"},
        {200, LIMIT("\"1\"", "USD", "month"), "field 'threshold_amount'"},
        {503, "", "503"},
        {404, ERROR_BODY("Invalid URL (GET /v2)", "x"), "404"},
    };
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        begin(&f, PROVIDER_INVENTORY);
        snprintf(f.call.limits_prefix, sizeof f.call.limits_prefix, "llmhook:h1:");
        reads_on(&f, 200, LIST(OURS("proj_1"), "false", "null"));
        reads_on(&f, 200, LIST("", "false", "null"));
        assert_int_equal(reads_within(&f, broken[i].status, broken[i].body, -1), PROVIDER_NEXT_DONE);
        assert_int_not_equal(f.result.outcome, OUTCOME_OK);
        assert_non_null(strstr(f.result.error.text, broken[i].piece));
        end(&f);
    }
}

/* A configured project is shared with others: only what bears our prefix is ours. */
static void test_inventory_of_a_given_project(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, PROVIDER_INVENTORY);
    snprintf(f.settings.project, sizeof f.settings.project, "proj_given");
    reads_on(&f, 200, LIST(PROJECT("proj_given", "\"shared\"", "1", ""), "false", "null"));
    asks(&f, HTTP_GET, BASE "/projects/proj_given/service_accounts?limit=100", NULL);
    reads(&f, 200, LIST(ACCOUNT("user-1", "llmhook:h1:u1:openai:1", "1") "," ACCOUNT("user-2", "ci", "1"), "false", "null"),
          OUTCOME_OK);
    assert_int_equal(f.result.items_count, 1);
    assert_string_equal(f.result.items[0].id, "user-1");
    assert_string_equal(f.result.items[0].container_id, "proj_given");
    end(&f);
    begin(&f, PROVIDER_INVENTORY);
    snprintf(f.settings.project, sizeof f.settings.project, "not/an/id");
    reads_on(&f, 200, LIST("", "false", "null"));
    cannot_ask(&f, "the configured project is no id of a project");
    end(&f);
    /* Ours as well: it is walked once. */
    begin(&f, PROVIDER_INVENTORY);
    snprintf(f.settings.project, sizeof f.settings.project, "proj_1");
    reads_on(&f, 200, LIST(PROJECT("proj_1", "\"llmhook:h1:u1\"", "1", ""), "false", "null"));
    reads(&f, 200, LIST(ACCOUNT("user-1", "llmhook:h1:u1:openai:1", "1"), "false", "null"), OUTCOME_OK);
    assert_int_equal(f.result.items_count, 2);
    end(&f);
}

static void test_check(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, PROVIDER_CHECK);
    reads(&f, 200, LIST(PROJECT("proj_1", "\"n\"", "1", ""), "true", "\"proj_1\""), OUTCOME_OK);
    assert_int_equal(f.result.items_count, 0);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_requests),
        cmocka_unit_test(test_base_url_of_the_settings),
        cmocka_unit_test(test_names_cannot_break_the_body),
        cmocka_unit_test(test_ids_cannot_break_the_url),
        cmocka_unit_test(test_missing_inputs),
        cmocka_unit_test(test_dollars_become_whole_cents),
        cmocka_unit_test(test_statuses_for_every_verb),
        cmocka_unit_test(test_retry_after_is_passed_on),
        cmocka_unit_test(test_their_words_are_quoted_with_care),
        cmocka_unit_test(test_archived_projects_are_gone),
        cmocka_unit_test(test_unreadable_successes),
        cmocka_unit_test(test_find_container),
        cmocka_unit_test(test_long_foreign_names_do_no_harm),
        cmocka_unit_test(test_wrong_fields_are_named),
        cmocka_unit_test(test_paging_that_stands_still_is_noticed),
        cmocka_unit_test(test_create_and_archive),
        cmocka_unit_test(test_the_spend_limit_is_read_back),
        cmocka_unit_test(test_the_spend_limit_is_only_read),
        cmocka_unit_test(test_providers_without_spend_limits),
        cmocka_unit_test(test_rate_limits),
        cmocka_unit_test(test_rate_limits_that_fail),
        cmocka_unit_test(test_find_keys),
        cmocka_unit_test(test_mint),
        cmocka_unit_test(test_mint_a_key_that_ends),
        cmocka_unit_test(test_mint_without_a_usable_key),
        cmocka_unit_test(test_revoke),
        cmocka_unit_test(test_inventory),
        cmocka_unit_test(test_inventory_with_limits),
        cmocka_unit_test(test_inventory_of_a_given_project),
        cmocka_unit_test(test_check),
    };
    return check_run(tests);
}
