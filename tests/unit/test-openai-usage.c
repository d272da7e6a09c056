/* openai-usage.c: costs and tokens, in batches and pages. No network. */
#include "openai-fixture.h"

#include <stdlib.h>

#define WINDOW "start_time=1709164800&end_time=1709251200&bucket_width=1d&limit=7&group_by[]=project_id&group_by[]=api_key_id"
#define COSTS BASE "/costs?" WINDOW "&group_by[]=line_item"
#define TOKENS BASE "/usage/completions?" WINDOW "&group_by[]=model"
#define PAGE(buckets, more, next) \
    "{\"object\":\"page\",\"data\":[" buckets "],\"has_more\":" more ",\"next_page\":" next "}"
#define DAY(start, rows) "{\"object\":\"bucket\",\"start_time\":" start ",\"end_time\":1,\"results\":[" rows "]}"
#define COST(project, key, item, value) \
    "{\"object\":\"organization.costs.result\",\"amount\":{\"value\":" value ",\"currency\":\"usd\"},\"line_item\":" item \
    ",\"project_id\":" project ",\"api_key_id\":" key "}"
#define USED(project, key, model, in, cached, out, requests) \
    "{\"object\":\"organization.usage.completions.result\",\"input_tokens\":" in ",\"input_cached_tokens\":" cached \
    ",\"output_tokens\":" out ",\"num_model_requests\":" requests ",\"project_id\":" project ",\"api_key_id\":" key \
    ",\"model\":" model "}"
#define NOTHING PAGE("", "false", "null")

static void test_costs_come_first_then_tokens(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, PROVIDER_USAGE);
    asks(&f, HTTP_GET, COSTS "&project_ids[]=proj_abc", NULL);
    reads_on(&f, 200,
             PAGE(DAY("1709164800", COST("\"proj_abc\"", "\"key_1\"", "\"gpt-4.1-2025-04-14, input\"", "0.0123456") ","
                                    COST("\"proj_abc\"", "null", "\"Web search\"", "\"2\"")) "," DAY("1709251200", ""),
                  "true", "\"page_A+b/c=\""));
    asks(&f, HTTP_GET, COSTS "&project_ids[]=proj_abc&page=page_A%2Bb%2Fc%3D", NULL);
    reads_on(&f, 200, PAGE(DAY("1709251200", COST("null", "null", "null", "7") "," COST("\"proj_abc\"", "null", "null", "-1")),
                           "false", "null"));
    asks(&f, HTTP_GET, TOKENS "&project_ids[]=proj_abc", NULL);
    reads(&f, 200,
          PAGE(DAY("1709164800", USED("\"proj_abc\"", "\"key_1\"", "\"gpt-4.1-2025-04-14\"", "100", "40", "9", "3")), "false",
               "null"),
          OUTCOME_OK);
    assert_int_equal(f.result.usage_count, 4); /* what is nobody's project is left out */
    const struct provider_usage *row = f.result.usage;
    assert_int_equal(row[0].kind, PROVIDER_USAGE_BILL);
    assert_int_equal(row[0].day, 19782); /* 2024-02-29 */
    assert_int_equal(row[0].micro_dollars, 12346);
    assert_string_equal(row[0].model, "gpt-4.1-2025-04-14");
    assert_string_equal(row[0].key_id, "key_1");
    assert_string_equal(row[0].container_id, "proj_abc");
    assert_string_equal(row[1].model, "Web search");
    assert_int_equal(row[1].micro_dollars, 2000000); /* a string of a number is one */
    assert_string_equal(row[1].key_id, "");
    assert_int_equal(row[2].micro_dollars, 0); /* a credit is no spending */
    assert_int_equal(row[2].day, 19783);
    assert_int_equal(row[3].kind, PROVIDER_USAGE_TOKENS);
    assert_int_equal(row[3].micro_dollars, -1);
    assert_int_equal(row[3].input_tokens, 100);
    assert_int_equal(row[3].cached_tokens, 40);
    assert_int_equal(row[3].output_tokens, 9);
    assert_int_equal(row[3].requests, 3);
    end(&f);
}

static void test_the_second_that_has_begun_is_asked_for(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, PROVIDER_USAGE);
    f.call.until -= 999;
    asks(&f, HTTP_GET, COSTS "&project_ids[]=proj_abc", NULL);
    end(&f);
}

/* Asks for everything that is in SCOPES and answers with nothing. How many requests that took. */
static size_t requests_for(const struct provider_scope *scopes, size_t count, size_t *ret_longest)
{
    struct fixture f;
    size_t requests = 0, asked = 0;
    begin(&f, PROVIDER_USAGE);
    f.call.scopes = scopes;
    f.call.scopes_count = count;
    for (bool more = true; more; requests++) {
        struct http_request request = HTTP_REQUEST_INIT;
        struct error err = ERROR_INIT;
        if (!driver->build(&f.settings, &f.call, &f.progress, &f.result, &request, &err))
            fail_msg("%s", err.text);
        for (const char *at = request.url; (at = strstr(at, "project_ids[]=")); at++)
            asked++;
        if (strlen(request.url) > *ret_longest)
            *ret_longest = strlen(request.url);
        more = reads_within(&f, 200, NOTHING, -1) == PROVIDER_NEXT_REQUEST;
    }
    assert_int_equal(f.result.outcome, OUTCOME_OK);
    assert_int_equal(asked, 2 * count); /* each exactly once for each report */
    end(&f);
    return requests;
}

static struct provider_scope *scopes_of(size_t count, unsigned keys, int width)
{
    struct provider_scope *scopes = calloc(count, sizeof *scopes);
    assert_non_null(scopes);
    for (size_t i = 0; i < count; i++) {
        snprintf(scopes[i].container_id, sizeof scopes[i].container_id, "proj_%0*zu", width, i);
        scopes[i].keys = keys;
    }
    return scopes;
}

static void test_ten_thousand_keys(void **state)
{
    (void)state;
    static const struct {
        size_t projects;
        unsigned keys;
        int width;
        size_t requests;
    } wanted[] = {{10000, 1, 24, 200}, {2000, 5, 24, 50}, {100, 100, 24, 50}, {1, 10000, 24, 2}, {200, 1, 120, 8}};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        struct provider_scope *scopes = scopes_of(wanted[i].projects, wanted[i].keys, wanted[i].width);
        size_t longest = 0, requests = requests_for(scopes, wanted[i].projects, &longest);
        printf("# %zu keys in %zu projects: %zu requests, the longest URL has %zu characters\n",
               wanted[i].projects * wanted[i].keys, wanted[i].projects, requests, longest);
        assert_int_equal(requests, wanted[i].requests);
        free(scopes);
    }
}

static void test_pages_within_a_batch(void **state)
{
    (void)state;
    struct provider_scope *scopes = scopes_of(101, 1, 3);
    struct fixture f;
    begin(&f, PROVIDER_USAGE);
    f.call.scopes = scopes;
    f.call.scopes_count = 101;
    reads_on(&f, 200, PAGE("", "true", "\"p1\""));
    assert_string_equal(f.progress.cursor, "p1");
    reads_on(&f, 200, NOTHING);
    asks(&f, HTTP_GET, COSTS "&project_ids[]=proj_100", NULL); /* the next batch begins without a cursor */
    reads_on(&f, 200, PAGE("", "true", "\"p1\""));
    asks(&f, HTTP_GET, COSTS "&project_ids[]=proj_100&page=p1", NULL);
    reads_on(&f, 200, NOTHING);
    reads_on(&f, 200, NOTHING);
    asks(&f, HTTP_GET, TOKENS "&project_ids[]=proj_100", NULL);
    reads(&f, 200, NOTHING, OUTCOME_OK);
    end(&f);
    free(scopes);
}

/* With all the fields that a row may have, as long as they are. */
#define TOKENS_ROW "{\"object\":\"organization.usage.completions.result\",\"input_tokens\":1234567890,"                   \
    "\"input_cached_tokens\":1234567890,\"input_cache_write_tokens\":1234567890,\"input_uncached_tokens\":1234567890,"   \
    "\"output_tokens\":1234567890,\"input_text_tokens\":1234567890,\"output_text_tokens\":1234567890,"                  \
    "\"input_cached_text_tokens\":1234567890,\"input_audio_tokens\":0,\"input_cached_audio_tokens\":0,"                 \
    "\"output_audio_tokens\":0,\"input_image_tokens\":0,\"input_cached_image_tokens\":0,\"output_image_tokens\":0,"      \
    "\"num_model_requests\":1234567890,\"project_id\":\"proj_0\",\"user_id\":null,\"api_key_id\":\"key_%016d\","       \
    "\"model\":\"gpt-4.1-mini-2025-04-14-%d\",\"batch\":null,\"service_tier\":null}"
#define COSTS_ROW "{\"object\":\"organization.costs.result\",\"amount\":{\"value\":0.0123456789012345,\"currency\":\"usd\"}," \
    "\"line_item\":\"gpt-4.1-mini-2025-04-14-%d, cached input\",\"project_id\":\"proj_0\",\"api_key_id\":\"key_%016d\","   \
    "\"quantity\":1234567890,\"quantity_unit\":\"1000_tokens\"}"

/* A page of DAYS days, in which each of so many keys used three models. */
static void put_page(struct buffer *page, bool costs, unsigned days, unsigned keys)
{
    char text[1024];
    buffer_clear(page);
    assert_true(buffer_append_text(page, "{\"object\":\"page\",\"data\":["));
    for (unsigned day = 0; day < days; day++) {
        assert_true(buffer_append_text(page, day ? "]}," : ""));
        assert_true(buffer_append_text(page, "{\"object\":\"bucket\",\"start_time\":1709164800,\"results\":["));
        for (unsigned row = 0; row < keys * (costs ? 9 : 3); row++) {
            int key = (int)(row % keys), kind = (int)(row / keys);
            assert_true(buffer_append_text(page, row ? "," : ""));
            if (costs)
                snprintf(text, sizeof text, COSTS_ROW, kind, key);
            else
                snprintf(text, sizeof text, TOKENS_ROW, key, kind);
            assert_true(buffer_append_text(page, text));
        }
    }
    assert_true(buffer_append_text(page, "]}],\"has_more\":false,\"next_page\":null}"));
}

/* A project with so many keys has so many days in a page, and none of its pages is longer than what is taken. */
static void test_many_keys_in_one_project(void **state)
{
    (void)state;
    static const struct {
        unsigned keys, days;
    } wanted[] = {{1, 7}, {400, 6}, {1000, 2}, {10000, 1}};
    struct buffer page = BUFFER_INIT(64 * 1024 * 1024);
    for (size_t i = 0; i < COUNT(wanted); i++) {
        const struct provider_scope scope = {"proj_0", wanted[i].keys};
        struct fixture f;
        size_t longest = 0;
        char limit[32];
        snprintf(limit, sizeof limit, "&limit=%u&", wanted[i].days);
        begin(&f, PROVIDER_USAGE);
        f.call.scopes = &scope;
        for (unsigned number = 0; number < 2; number++) { /* costs, then tokens */
            struct http_request request = HTTP_REQUEST_INIT;
            struct error err = ERROR_INIT;
            assert_true(driver->build(&f.settings, &f.call, &f.progress, &f.result, &request, &err));
            if (!strstr(request.url, limit))
                fail_msg("%u keys: '%s' has not got '%s'", wanted[i].keys, request.url, limit);
            put_page(&page, number == 0, wanted[i].days, wanted[i].keys);
            longest = page.length > longest ? page.length : longest;
            if (page.length > request.answer_max)
                fail_msg("%u keys: %zu bytes are more than %zu", wanted[i].keys, page.length, request.answer_max);
            enum provider_next next = reads_within(&f, 200, buffer_text(&page), -1);
            assert_int_equal(next, number == 0 ? PROVIDER_NEXT_REQUEST : PROVIDER_NEXT_DONE);
        }
        printf("# %u keys in one project: %u days in a page, the longest has %zu bytes\n", wanted[i].keys, wanted[i].days,
               longest);
        assert_int_equal(f.result.outcome, OUTCOME_OK);
        assert_int_equal(f.result.usage_count, (9 + 3) * wanted[i].keys * wanted[i].days);
        end(&f);
    }
    buffer_clear(&page);
}

/* The specification requires nothing of a row's amount. */
static void test_rows_without_an_amount(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "{}", "{\"project_id\":\"p\"}", "{\"project_id\":\"p\",\"amount\":null}", "{\"project_id\":\"p\",\"amount\":{}}",
        "{\"project_id\":\"p\",\"amount\":{\"currency\":\"usd\"}}", COST("\"p\"", "null", "null", "null"),
    };
    struct fixture f;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char page[512];
        snprintf(page, sizeof page, PAGE(DAY("0", "%s,%s"), "false", "null"), rows[i],
                 "{\"project_id\":\"p\",\"amount\":{\"value\":2}}");
        begin(&f, PROVIDER_USAGE);
        reads_on(&f, 200, page);
        assert_int_equal(f.result.usage_count, i == 0 ? 1 : 2);
        assert_int_equal(f.result.usage[0].micro_dollars, i == 0 ? 2000000 : 0);
        assert_int_equal(f.result.usage[f.result.usage_count - 1].micro_dollars, 2000000);
        end(&f);
    }
}

static void test_missing_inputs(void **state)
{
    (void)state;
    static const struct provider_scope bad = {"../x", 1};
    struct fixture f;
    begin(&f, PROVIDER_USAGE);
    f.call.scopes_count = 0;
    cannot_ask(&f, "usage is asked for without a project");
    begin(&f, PROVIDER_USAGE);
    f.call.scopes = &bad;
    cannot_ask(&f, "the project's id is empty or holds");
    end(&f);
    usage_needs_a_time(begin);
}

static void test_wrong_fields_are_named(void **state)
{
    (void)state;
    static const struct wrong_answer wrong_costs[] = {
        {"{}", "field 'data' is missing"},
        {PAGE("5", "false", "null"), "not an object where one with 'start_time'"},
        {PAGE(DAY("-1", ""), "false", "null"), "field 'start_time' is no time"},
        {PAGE("{\"start_time\":5}", "false", "null"), "field 'results' is missing"},
        {PAGE(DAY("0", "7"), "false", "null"), "an entry of 'results' is no object"},
        {PAGE(DAY("0", COST("\"a/b\"", "null", "null", "1")), "false", "null"), "field 'project_id' holds"},
        {PAGE(DAY("0", COST("5", "null", "null", "1")), "false", "null"), "field 'project_id' is int"},
        {PAGE(DAY("0", COST("\"p\"", "\"..\"", "null", "1")), "false", "null"), "field 'api_key_id' holds"},
        {PAGE(DAY("0", COST("\"p\"", "null", "null", "\"\"")), "false", "null"), "field 'value' is no amount"},
        {PAGE(DAY("0", COST("\"p\"", "null", "null", "\"1x\"")), "false", "null"), "field 'value' is no amount"},
        {PAGE(DAY("0", COST("\"p\"", "null", "null", "1e300")), "false", "null"), "field 'value' is no amount"},
        {PAGE(DAY("0", "{\"amount\":{\"value\":1,\"currency\":\"eur\"}}"), "false", "null"), "field 'currency' is not 'usd'"},
        {PAGE(DAY("0", "{\"amount\":7}"), "false", "null"), "field 'amount' is int"},
        {PAGE(DAY("0", "{\"amount\":{\"value\":1,\"currency\":7}}"), "false", "null"), "field 'currency' is int"},
        {"{\"data\":[]}", "field 'has_more' is missing"},
        {PAGE("", "true", "null"), "field 'next_page' is missing"},
        {PAGE("", "true", "\"\""), "'next_page' does not lead there"},
        {PAGE("", "true", "\"a b\""), "field 'next_page' holds what no cursor has"},
    };
    static const struct wrong_answer wrong_tokens[] = {
        {PAGE(DAY("0", USED("\"p\"", "null", "null", "\"1\"", "0", "0", "0")), "false", "null"),
         "field 'input_tokens' is string"},
        {PAGE(DAY("0", USED("\"p\"", "null", "null", "-1", "0", "0", "0")), "false", "null"),
         "field 'input_tokens' is no count"},
        {PAGE(DAY("0", USED("\"p\"", "null", "null", "1", "2", "0", "0")), "false", "null"),
         "field 'input_cached_tokens' is more than all input"},
        {PAGE(DAY("0", "{\"project_id\":\"p\",\"input_cache_write_tokens\":-1}"), "false", "null"),
         "field 'input_cache_write_tokens' is no count"},
    };
    believes_none(begin, PROVIDER_USAGE, 0, wrong_costs, COUNT(wrong_costs));
    believes_none(begin, PROVIDER_USAGE, 1, wrong_tokens, COUNT(wrong_tokens));
    struct fixture f; /* a page that leads to itself */
    begin(&f, PROVIDER_USAGE);
    reads_on(&f, 200, PAGE("", "true", "\"p1\""));
    reads(&f, 200, PAGE("", "true", "\"p1\""), OUTCOME_UNREACHABLE);
    end(&f);
}

/* What is written to a cache costs more, from GPT-5.6 on; more of it than what was not read from there cannot be. */
static void test_writes_to_a_cache(void **state)
{
    (void)state;
    static const struct {
        const char *model, *written;
        int64_t counts;
    } cases[] = {{"gpt-5.6-sol", "50", 50},  {"gpt-6.1-sol", "60", 60}, {"gpt-10", "7", 7}, {"gpt-6-luna", "61", 60},
                 {"gpt-5.5", "50", 0},       {"gpt-4.1-2025-04-14", "50", 0}, {"o3", "50", 0}, {"gpt-6", "0", 0}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct fixture f;
        char page[512];
        snprintf(page, sizeof page,
                 PAGE(DAY("0", "{\"project_id\":\"p\",\"model\":\"%s\",\"input_tokens\":100,\"input_cached_tokens\":40,"
                               "\"input_cache_write_tokens\":%s}"),
                      "false", "null"),
                 cases[i].model, cases[i].written);
        begin(&f, PROVIDER_USAGE);
        f.progress.step = 1;
        reads(&f, 200, page, OUTCOME_OK);
        assert_int_equal(f.result.usage_count, 1);
        assert_int_equal(f.result.usage[0].input_tokens, 100);
        assert_int_equal(f.result.usage[0].written_tokens, cases[i].counts);
        end(&f);
    }
}

/* An absent field of tokens is none, a model's name that is too long is cut, and what looks like a key is not kept. */
static void test_what_is_left_out(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, PROVIDER_USAGE);
    f.progress.step = 1;
    reads(&f, 200,
          PAGE(DAY("86399", "{\"project_id\":\"p\"},{\"project_id\":\"p\",\"model\":\"sk-0123456789abcdefghij\"},"
                            "{\"project_id\":\"p\",\"model\":"
                            "\"mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm\"}"),
               "false", "null"),
          OUTCOME_OK);
    assert_int_equal(f.result.usage_count, 3);
    assert_int_equal(f.result.usage[0].day, 0);
    assert_int_equal(f.result.usage[0].input_tokens, 0);
    assert_string_equal(f.result.usage[0].model, "");
    assert_string_equal(f.result.usage[1].model, "[key]");
    assert_int_equal(strlen(f.result.usage[2].model), PROVIDER_MODEL_SIZE - 1);
    end(&f);
}

/* How the reports name a key is told when it is minted, and a mint does not fail for it. */
static void test_the_minted_keys_name_in_reports(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, PROVIDER_MINT_KEY);
    reads(&f, 200, "{\"id\":\"user-1\",\"api_key\":{\"id\":\"key_9\",\"value\":\"sk-svcacct-abcdefghijklmnop\"}}", OUTCOME_OK);
    assert_string_equal(f.result.usage_id, "key_9");
    end(&f);
    begin(&f, PROVIDER_MINT_KEY);
    reads(&f, 200, "{\"id\":\"user-1\",\"api_key\":{\"id\":\"a/b\",\"value\":\"sk-svcacct-abcdefghijklmnop\"}}", OUTCOME_OK);
    assert_string_equal(f.result.usage_id, "");
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_costs_come_first_then_tokens),
        cmocka_unit_test(test_the_second_that_has_begun_is_asked_for),
        cmocka_unit_test(test_ten_thousand_keys),
        cmocka_unit_test(test_pages_within_a_batch),
        cmocka_unit_test(test_many_keys_in_one_project),
        cmocka_unit_test(test_rows_without_an_amount), cmocka_unit_test(test_missing_inputs),
        cmocka_unit_test(test_wrong_fields_are_named),
        cmocka_unit_test(test_writes_to_a_cache),
        cmocka_unit_test(test_what_is_left_out),
        cmocka_unit_test(test_the_minted_keys_name_in_reports),
    };
    return check_run(tests);
}
