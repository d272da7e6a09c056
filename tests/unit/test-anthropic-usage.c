/* anthropic-usage.c: tokens by key, and costs of workspaces that are divided among their keys. No network. */
#define DRIVER provider_anthropic
#define WHO "Anthropic"
#define BASE "https://api.anthropic.com/v1/organizations"
#define CREDENTIAL_HEADER "x-api-key: "
#include "driver-fixture.h"

#include <stdlib.h>

#define WINDOW "starting_at=2024-02-29T00:00:00Z&ending_at=2024-03-02T00:00:00Z&bucket_width=1d&limit=31"
#define TOKENS BASE "/usage_report/messages?" WINDOW \
    "&group_by%5B%5D=api_key_id&group_by%5B%5D=workspace_id&group_by%5B%5D=model"
#define COSTS BASE "/cost_report?" WINDOW "&group_by%5B%5D=workspace_id&group_by%5B%5D=description"
#define PAGE(buckets, more, next) "{\"data\":[" buckets "],\"has_more\":" more ",\"next_page\":" next "}"
#define DAY(date, rows) "{\"starting_at\":\"" date "T00:00:00Z\",\"ending_at\":\"x\",\"results\":[" rows "]}"
#define USED(key, workspace, model, uncached, read, written, output)                                                          \
    "{\"uncached_input_tokens\":" uncached ",\"cache_read_input_tokens\":" read ",\"cache_creation\":{\"ephemeral_5m_input_tokens\":" \
    written ",\"ephemeral_1h_input_tokens\":0},\"output_tokens\":" output                                                     \
    ",\"server_tool_use\":{\"web_search_requests\":2},\"api_key_id\":" key ",\"workspace_id\":" workspace ",\"model\":" model     \
    ",\"service_tier\":null,\"context_window\":null,\"new\":{}}"
#define COST(workspace, model, type, amount)                                                                                  \
    "{\"currency\":\"USD\",\"amount\":" amount ",\"workspace_id\":" workspace ",\"description\":\"d\",\"cost_type\":\"tokens\","      \
    "\"model\":" model ",\"token_type\":" type ",\"context_window\":null}"
#define NOTHING PAGE("", "false", "null")

static const struct provider_scope account = {PROVIDER_ACCOUNT, 3};

static void begin_here(struct fixture *f, enum provider_verb verb)
{
    begin(f, verb);
    f->call.scopes = &account;
}

static void asks_for(const struct fixture *f, const char *url)
{
    struct http_request request = HTTP_REQUEST_INIT;
    struct error err = ERROR_INIT;
    asks(f, HTTP_GET, url, NULL);
    assert_true(driver->build(&f->settings, &f->call, &f->progress, &f->result, &request, &err));
    assert_true(request.answer_max > HTTP_ANSWER_MAX);
}

/* What KEY is billed with for MODEL on DAY; -1: there is no such row. */
static int64_t billed(const struct fixture *f, const char *key, const char *model, int64_t day)
{
    int64_t sum = -1;
    for (size_t i = 0; i < f->result.usage_count; i++) {
        const struct provider_usage *row = &f->result.usage[i];
        if (row->kind == PROVIDER_USAGE_BILL && strcmp(row->key_id, key) == 0 && strcmp(row->model, model) == 0 &&
            row->day == day)
            sum = (sum < 0 ? 0 : sum) + row->micro_dollars;
    }
    return sum;
}

static void test_tokens_come_first_then_costs(void **state)
{
    (void)state;
    struct fixture f;
    begin_here(&f, PROVIDER_USAGE);
    asks_for(&f, TOKENS);
    reads_on(&f, 200, PAGE(DAY("2024-02-29", USED("\"apikey_1\"", "\"wrkspc_1\"", "\"claude-x\"", "100", "40", "8", "30") ","
                                         USED("null", "null", "\"claude-x\"", "1", "0", "0", "1")) "," DAY("2024-03-01", ""),
                      "true", "\"page_A+b/c=\""));
    asks_for(&f, TOKENS "&page=page_A%2Bb%2Fc%3D");
    reads_on(&f, 200, NOTHING);
    asks_for(&f, COSTS);
    reads_on(&f, 200, PAGE("", "true", "\"p1\""));
    asks_for(&f, COSTS "&page=p1");
    reads(&f, 200, NOTHING, OUTCOME_OK);
    assert_int_equal(f.result.usage_count, 2);
    const struct provider_usage *row = &f.result.usage[1]; /* the account's own workspace stands in front */
    assert_int_equal(row->kind, PROVIDER_USAGE_TOKENS);
    assert_int_equal(row->day, 19782);
    assert_int_equal(row->micro_dollars, -1);
    assert_string_equal(row->key_id, "apikey_1");
    assert_string_equal(row->container_id, "wrkspc_1");
    assert_string_equal(row->model, "claude-x");
    assert_int_equal(row->input_tokens, 148);
    assert_int_equal(row->cached_tokens, 40);
    assert_int_equal(row->written_tokens, 8);
    assert_int_equal(row->output_tokens, 30);
    assert_int_equal(row->searches, 2);
    assert_string_equal(f.result.usage[0].container_id, PROVIDER_ACCOUNT);
    assert_string_equal(f.result.usage[0].key_id, "");
    end(&f);
}

/* Each kind of token of one model has one price: whoever used three quarters of them pays three quarters. */
static void test_costs_are_divided(void **state)
{
    (void)state;
    struct fixture f;
    begin_here(&f, PROVIDER_USAGE);
    reads_on(&f, 200, PAGE(DAY("2024-03-01", USED("\"apikey_1\"", "\"wrkspc_1\"", "\"claude-x\"", "300", "0", "0", "10") ","
                                         USED("\"apikey_2\"", "\"wrkspc_1\"", "\"claude-x\"", "100", "5", "0", "0") ","
                                         USED("null", "\"wrkspc_1\"", "\"claude-x\"", "0", "0", "0", "30") ","
                                         USED("\"apikey_1\"", "\"wrkspc_1\"", "\"claude-y\"", "7", "0", "0", "0") ","
                                         USED("\"apikey_3\"", "\"wrkspc_2\"", "\"claude-x\"", "900", "0", "0", "0")) ","
                      DAY("2024-02-29", USED("\"apikey_1\"", "\"wrkspc_1\"", "\"claude-x\"", "50", "0", "0", "0")),
                      "false", "null"));
    reads(&f, 200, PAGE(DAY("2024-03-01",
                               COST("\"wrkspc_1\"", "\"claude-x\"", "\"uncached_input_tokens\"", "\"400.5\"") ","
                               COST("\"wrkspc_1\"", "\"claude-x\"", "\"output_tokens\"", "\"40\"") ","
                               COST("\"wrkspc_1\"", "\"claude-x\"", "\"cache_read_input_tokens\"", "\"1.25\"") ","
                               COST("\"wrkspc_1\"", "\"claude-x\"", "\"cache_creation.ephemeral_5m_input_tokens\"", "\"9\"") ","
                               COST("\"wrkspc_3\"", "\"claude-x\"", "\"output_tokens\"", "\"77\"") ","
                               COST("\"wrkspc_2\"", "\"claude-x\"", "\"uncached_input_tokens\"", "\"-3\"") ","
                               "{\"currency\":\"USD\",\"amount\":\"12\",\"workspace_id\":\"wrkspc_1\","
                               "\"cost_type\":\"web_search\",\"model\":null}"),
                           "false", "null"),
          OUTCOME_OK);
    assert_int_equal(billed(&f, "apikey_1", "claude-x", 19783), 3003750 + 100000);
    assert_int_equal(billed(&f, "apikey_2", "claude-x", 19783), 1001250 + 12500);
    assert_int_equal(billed(&f, "", "claude-x", 19783), 300000);
    assert_int_equal(billed(&f, "apikey_3", "claude-x", 19783), 0); /* a credit is no spending */
    assert_int_equal(billed(&f, "apikey_1", "claude-x", 19782), -1); /* the other day is not billed yet */
    assert_int_equal(billed(&f, "apikey_1", "", 19783), 60000); /* two of its four searches... */
    assert_int_equal(billed(&f, "apikey_2", "", 19783), 30000); /* by what each model's row tells */
    int64_t sum = 0; /* nothing is lost, and nobody pays for a workspace that nobody is told to have used */
    for (size_t i = 0; i < f.result.usage_count; i++)
        if (f.result.usage[i].kind == PROVIDER_USAGE_BILL)
            sum += f.result.usage[i].micro_dollars;
    assert_int_equal(sum, 4005000 + 400000 + 12500 + 120000);
    for (size_t i = 0; i < f.result.usage_count; i++)
        assert_true(i < 6 ? f.result.usage[i].kind == PROVIDER_USAGE_TOKENS : f.result.usage[i].kind == PROVIDER_USAGE_BILL);
    end(&f);
}

static void test_of_some_workspaces(void **state)
{
    (void)state;
    static const struct provider_scope some[] = {{"wrkspc_1", 1}, {"wrkspc_2", 1}},
        mixed[] = {{"wrkspc_1", 1}, {PROVIDER_ACCOUNT, 1}},
                                       bad = {"../x", 1};
    struct fixture f;
    begin_here(&f, PROVIDER_USAGE);
    f.call.scopes = some;
    f.call.scopes_count = 2;
    asks_for(&f, TOKENS "&workspace_ids%5B%5D=wrkspc_1&workspace_ids%5B%5D=wrkspc_2");
    f.call.scopes = mixed;
    asks_for(&f, TOKENS);
    f.call.scopes = &bad;
    f.call.scopes_count = 1;
    cannot_ask(&f, "the workspace's id is empty or holds");
    f.call.scopes_count = 0;
    cannot_ask(&f, "usage is asked for without a workspace");
    end(&f);
    usage_needs_a_time(begin_here);
}

static void test_wrong_fields_are_named(void **state)
{
    (void)state;
    static const struct wrong_answer wrong_tokens[] = {
        {"{}", "field 'data' is missing"},
        {PAGE("5", "false", "null"), "not an object where one with 'starting_at'"},
        {PAGE("{\"starting_at\":\"now\"}", "false", "null"), "field 'starting_at' is no time"},
        {PAGE("{\"starting_at\":\"2024-03-01T00:00:00Z\"}", "false", "null"), "field 'results' is missing"},
        {PAGE(DAY("2024-03-01", "7"), "false", "null"), "an entry of 'results' is no object"},
        {PAGE(DAY("2024-03-01", USED("\"a/b\"", "null", "null", "1", "0", "0", "0")), "false", "null"),
         "field 'api_key_id' holds"},
        {PAGE(DAY("2024-03-01", USED("5", "null", "null", "1", "0", "0", "0")), "false", "null"), "field 'api_key_id' is int"},
        {PAGE(DAY("2024-03-01", USED("null", "\"..\"", "null", "1", "0", "0", "0")), "false", "null"),
         "field 'workspace_id' holds"},
        {PAGE(DAY("2024-03-01", USED("null", "null", "null", "\"1\"", "0", "0", "0")), "false", "null"),
         "field 'uncached_input_tokens' is string"},
        {PAGE(DAY("2024-03-01", USED("null", "null", "null", "-1", "0", "0", "0")), "false", "null"),
         "field 'uncached_input_tokens' is no count"},
        {PAGE(DAY("2024-03-01", "{\"cache_creation\":5}"), "false", "null"), "field 'cache_creation' is int"},
        {PAGE(DAY("2024-03-01", "{\"server_tool_use\":{\"web_search_requests\":-1}}"), "false", "null"),
         "'web_search_requests' is no count"},
        {"{\"data\":[]}", "field 'has_more' is missing"},
        {PAGE("", "true", "null"), "field 'next_page' is missing"},
        {PAGE("", "true", "\"\""), "'next_page' does not lead there"},
        {"{\"data\":[{\"starting_at\":\"2024-03-0", "not JSON"},
    };
    static const struct wrong_answer wrong_costs[] = {
        {PAGE(DAY("2024-03-01", COST("null", "null", "null", "5")), "false", "null"), "field 'amount' is int"},
        {PAGE(DAY("2024-03-01", COST("null", "null", "null", "\"\"")), "false", "null"), "field 'amount' is no amount"},
        {PAGE(DAY("2024-03-01", COST("null", "null", "null", "\"1x\"")), "false", "null"), "field 'amount' is no amount"},
        {PAGE(DAY("2024-03-01", COST("null", "null", "null", "\"1e300\"")), "false", "null"), "field 'amount' is no amount"},
        {PAGE(DAY("2024-03-01", "{\"currency\":\"EUR\",\"amount\":\"1\"}"), "false", "null"), "field 'currency' is not 'USD'"},
    };
    believes_none(begin_here, PROVIDER_USAGE, 0, wrong_tokens, COUNT(wrong_tokens));
    believes_none(begin_here, PROVIDER_USAGE, 1, wrong_costs, COUNT(wrong_costs));
    struct fixture f; /* a page that leads to itself */
    begin_here(&f, PROVIDER_USAGE);
    reads_on(&f, 200, PAGE("", "true", "\"p1\""));
    reads(&f, 200, PAGE("", "true", "\"p1\""), OUTCOME_UNREACHABLE);
    end(&f);
}

/* The days since three days ago, as they are polled, for a pool of ten thousand keys that all were used on each of them. */
static void test_ten_thousand_keys(void **state)
{
    (void)state;
    static const struct provider_scope all = {PROVIDER_ACCOUNT, 10000};
    struct buffer page = BUFFER_INIT(64 * 1024 * 1024);
    struct fixture f;
    size_t requests = 0, longest = 0;
    begin_here(&f, PROVIDER_USAGE);
    f.call.scopes = &all;
    f.call.until = f.call.since + INT64_C(3) * 86400000;
    for (int day = 0; day < 4; day++, requests++) {
        struct http_request request = HTTP_REQUEST_INIT;
        struct error err = ERROR_INIT;
        assert_true(driver->build(&f.settings, &f.call, &f.progress, &f.result, &request, &err));
        assert_non_null(strstr(request.url, "&limit=1&"));
        char text[1024];
        buffer_clear(&page);
        snprintf(text, sizeof text, "{\"data\":[{\"starting_at\":\"2024-03-0%dT00:00:00Z\",\"ending_at\":\"\",\"results\":[",
                 day + 1);
        assert_true(buffer_append_text(&page, text));
        for (int key = 0; key < 10000; key++) {
            snprintf(text, sizeof text, "%s" USED("\"apikey_01Rj2N8SVvo6BePZj99N%05d\"", "\"wrkspc_01JwQvzr7rXLA5AGx3HKfFUJ\"",
                                                  "\"claude-sonnet-4-20250514\"", "123456", "123456", "123456", "123456"),
                                                  key ? "," : "", key);
            assert_true(buffer_append_text(&page, text));
        }
        snprintf(text, sizeof text, "]}],\"has_more\":%s,\"next_page\":\"p%d\"}", day < 3 ? "true" : "false", day);
        assert_true(buffer_append_text(&page, text));
        longest = page.length > longest ? page.length : longest;
        assert_true(page.length < request.answer_max);
        reads_on(&f, 200, buffer_text(&page));
    }
    buffer_clear(&page);
    requests++;
    reads(&f, 200, PAGE(DAY("2024-03-04", COST("\"wrkspc_01JwQvzr7rXLA5AGx3HKfFUJ\"", "\"claude-sonnet-4-20250514\"",
                                               "\"output_tokens\"", "\"1000000\"")), "false", "null"), OUTCOME_OK);
    printf("# 10000 keys: %zu requests for four days, the longest answer has %zu bytes\n", requests, longest);
    assert_int_equal(requests, 5);
    assert_int_equal(f.result.usage_count, 50000);
    assert_int_equal(f.result.usage[49999].micro_dollars, 1000000);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens_come_first_then_costs),
        cmocka_unit_test(test_costs_are_divided),
        cmocka_unit_test(test_of_some_workspaces),
        cmocka_unit_test(test_wrong_fields_are_named),
        cmocka_unit_test(test_ten_thousand_keys),
    };
    return check_run(tests);
}
