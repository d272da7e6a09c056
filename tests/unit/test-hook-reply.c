/* The hook takes the daemon's three answers in any spelling that JSON allows, and nothing else. */
#include "check.h"

#include "../../hooks/reply.h"
#include "base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Parses a copy of exactly LENGTH bytes, so that reading beyond them shows under ASan and valgrind. */
static bool parse_exactly(const char *text, size_t length, struct reply *reply)
{
    char *copy = malloc(length ? length : 1);
    memcpy(copy, text, length);
    bool ok = reply_parse(copy, length, reply);
    free(copy);
    return ok;
}

static bool parse_text(const char *text, struct reply *reply)
{
    return parse_exactly(text, strlen(text), reply);
}

static void test_verdicts(void **state)
{
    static const struct {
        const char *text;
        enum reply_verdict verdict;
        int64_t wait_ms;
        const char *reason;
    } rows[] = {
        {"{\"parameters\":{\"verdict\":\"accepted\"}}", REPLY_ACCEPTED, 0, ""},
        {" \t\r\n{ \"parameters\" :\n{ \"verdict\" : \"accepted\" } } \n", REPLY_ACCEPTED, 0, ""},
        {"{\"continues\":false,\"parameters\":{\"verdict\":\"accepted\"}}", REPLY_ACCEPTED, 0, ""},
        {"{\"parameters\":{\"wait_ms\":null,\"reason\":null,\"verdict\":\"accepted\"},\"error\":null}", REPLY_ACCEPTED,
         0, ""},
        {"{\"parameters\":{\"verdict\":\"\\u0061cc\\u0065pted\"}}", REPLY_ACCEPTED, 0, ""},
        {"{\"x\":[1,-2.5e+3,[],{},{\"a\":[true,false,null]},\"]}\"],\"parameters\":{\"verdict\":\"accepted\","
         "\"later\":{\"verdict\":\"refused\"}}}", REPLY_ACCEPTED, 0, ""},
        {"{\"parameters\":{\"verdict\":\"wait\",\"wait_ms\":10000},\"continues\":true}", REPLY_WAIT, 10000, ""},
        {"{\"continues\":true,\"parameters\":{\"wait_ms\":0,\"verdict\":\"wait\"}}", REPLY_WAIT, 0, ""},
        {"{\"continues\":true,\"parameters\":{\"wait_ms\":600001,\"verdict\":\"wait\"}}", REPLY_WAIT, 600000, ""},
        {"{\"continues\":true,\"parameters\":{\"wait_ms\":99999999999999999999999,\"verdict\":\"wait\"}}", REPLY_WAIT,
         600000, ""},
        {"{\"parameters\":{\"verdict\":\"refused\",\"reason\":\"no money\"}}", REPLY_REFUSED, 0, "no money"},
        {"{\"parameters\":{\"reason\":\"no money\",\"verdict\":\"refused\"}}", REPLY_REFUSED, 0, "no money"},
        {"{\"parameters\":{\"verdict\":\"refused\"}}", REPLY_REFUSED, 0, ""},
        {"{\"parameters\":{\"verdict\":\"refused\",\"reason\":\"\"}}", REPLY_REFUSED, 0, ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct reply reply;
        if (!parse_text(rows[i].text, &reply))
            fail_msg("not taken: %s", rows[i].text);
        assert_int_equal(reply.verdict, rows[i].verdict);
        if (reply.verdict == REPLY_WAIT)
            assert_int_equal(reply.wait_ms, rows[i].wait_ms);
        if (reply.verdict == REPLY_REFUSED)
            assert_string_equal(reply.reason, rows[i].reason);
    }
}

static void test_no_answers(void **state)
{
    static const char *const rows[] = {
        "",
        " ",
        "null",
        "[]",
        "{}",
        "accepted",
        "{\"verdict\":\"accepted\"}",
        "{\"parameters\":{}}",
        "{\"parameters\":null}",
        "{\"parameters\":[{\"verdict\":\"accepted\"}]}",
        "{\"parameters\":{\"verdict\":null}}",
        "{\"parameters\":{\"verdict\":1}}",
        "{\"parameters\":{\"verdict\":\"Accepted\"}}",
        "{\"parameters\":{\"verdict\":\"accepted \"}}",
        "{\"parameters\":{\"verdict\":\"accepted\\u0000\"}}",
        "{\"parameters\":{\"verdict\\u0000\":\"accepted\"}}",
        "{\"parameters\":{\"verdict\":\"perhaps\"}}",
        "{\"parameters\":{\"verdict\":\"accepted\"},\"continues\":true}",
        "{\"parameters\":{\"verdict\":\"refused\"},\"continues\":true}",
        "{\"parameters\":{\"verdict\":\"accepted\"},\"parameters\":{}}",
        "{\"parameters\":{\"verdict\":\"accepted\"},\"continues\":1}",
        "{\"parameters\":{\"verdict\":\"accepted\"},\"error\":\"io.llmhook.Failed\"}",
        "{\"error\":\"io.llmhook.NotPermitted\",\"parameters\":{\"reason\":\"no\"}}",
        "{\"parameters\":{\"verdict\":\"wait\",\"wait_ms\":100}}",
        "{\"parameters\":{\"verdict\":\"wait\"},\"continues\":true}",
        "{\"parameters\":{\"verdict\":\"wait\",\"wait_ms\":null},\"continues\":true}",
        "{\"parameters\":{\"verdict\":\"wait\",\"wait_ms\":-1},\"continues\":true}",
        "{\"parameters\":{\"verdict\":\"wait\",\"wait_ms\":1.5},\"continues\":true}",
        "{\"parameters\":{\"verdict\":\"wait\",\"wait_ms\":1e3},\"continues\":true}",
        "{\"parameters\":{\"verdict\":\"wait\",\"wait_ms\":\"100\"},\"continues\":true}",
        "{\"parameters\":{\"verdict\":\"wait\",\"wait_ms\":0100},\"continues\":true}",
        "{\"parameters\":{\"verdict\":\"refused\",\"reason\":1}}",
        "{\"parameters\":{\"verdict\":\"refused\",\"reason\":\"a\nb\"}}",
        "{\"parameters\":{\"verdict\":\"refused\",\"reason\":\"\\x\"}}",
        "{\"parameters\":{\"verdict\":\"refused\",\"reason\":\"\\u12g4\"}}",
        "{\"parameters\":{\"verdict\":\"refused\",\"reason\":\"\xFF\"}}",
        "{\"parameters\":{\"verdict\":\"refused\",\"reason\":\"\xC3\"}}",
        "{\"parameters\":{\"verdict\":\"accepted\",}}",
        "{\"parameters\":{\"verdict\":\"accepted\"},}",
        "{\"parameters\":{\"verdict\":\"accepted\"}}}",
        "{\"parameters\":{\"verdict\":\"accepted\"}}{}",
        "{\"parameters\":{\"verdict\":\"accepted\"} \"x\":1}",
        "{\"parameters\":{\"verdict\" \"accepted\"}}",
        "{\"parameters\":{verdict:\"accepted\"}}",
        "{'parameters':{'verdict':'accepted'}}",
        "{\"x\":01,\"parameters\":{\"verdict\":\"accepted\"}}",
        "{\"x\":1.,\"parameters\":{\"verdict\":\"accepted\"}}",
        "{\"x\":.5,\"parameters\":{\"verdict\":\"accepted\"}}",
        "{\"x\":1e,\"parameters\":{\"verdict\":\"accepted\"}}",
        "{\"x\":-,\"parameters\":{\"verdict\":\"accepted\"}}",
        "{\"x\":tru,\"parameters\":{\"verdict\":\"accepted\"}}",
        "{\"x\":[1,],\"parameters\":{\"verdict\":\"accepted\"}}",
        "{\"x\":[1 2],\"parameters\":{\"verdict\":\"accepted\"}}",
        "/**/{\"parameters\":{\"verdict\":\"accepted\"}}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct reply reply = {.wait_ms = 4711};
        if (parse_text(rows[i], &reply))
            fail_msg("taken for an answer: %s", rows[i]);
        assert_int_equal(reply.wait_ms, 4711);
    }
}

static void test_reason_is_decoded(void **state)
{
    static const struct {
        const char *spelt, *wanted;
    } rows[] = {
        {"a\\\"b\\\\c\\/d", "a\"b\\c/d"},
        {"\\b\\f\\n\\r\\t", "\b\f\n\r\t"},
        {"\\u00e4\\u20AC\\u007f", "\xC3\xA4\xE2\x82\xAC\x7F"},
        {"\\uD83D\\uDE00", "\xF0\x9F\x98\x80"},
        {"\\uD83D!", "\xEF\xBF\xBD!"},
        {"\\uDE00\\uD83D", "\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\\uD83D\\u0041", "\xEF\xBF\xBD" "A"},
        {"a\\u0000b", "a\xEF\xBF\xBD" "b"},
        {"\xE2\x82\xAC", "\xE2\x82\xAC"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[256];
        struct reply reply;
        snprintf(text, sizeof text, "{\"parameters\":{\"verdict\":\"refused\",\"reason\":\"%s\"}}", rows[i].spelt);
        assert_true(parse_text(text, &reply));
        assert_string_equal(reply.reason, rows[i].wanted);
    }
}

/* A reason of LENGTH bytes "x" and then a three-byte character. */
static void check_cut(size_t length, size_t wanted_length)
{
    char text[2048];
    struct reply reply;
    int head = snprintf(text, sizeof text, "{\"parameters\":{\"verdict\":\"refused\",\"reason\":\"");
    memset(text + head, 'x', length);
    snprintf(text + (size_t)head + length, sizeof text - (size_t)head - length, "\xE2\x82\xAC.\"}}");
    assert_true(parse_text(text, &reply));
    assert_int_equal(strlen(reply.reason), wanted_length);
}

static void test_long_reason_is_cut_between_characters(void **state)
{
    (void)state;
    check_cut(REPLY_REASON_MAX - 5, REPLY_REASON_MAX - 1); /* fits to the last byte */
    check_cut(REPLY_REASON_MAX - 4, REPLY_REASON_MAX - 1);
    check_cut(REPLY_REASON_MAX - 3, REPLY_REASON_MAX - 3); /* the character does not fit, nor does what follows it */
    check_cut(REPLY_REASON_MAX - 2, REPLY_REASON_MAX - 2);
    check_cut(1000, REPLY_REASON_MAX - 1);
}

/* An answer with LEVELS of OPEN and CLOSE in a field that means nothing. */
static bool parse_nested(int levels, char open, char close)
{
    char text[256] = "{\"parameters\":{\"verdict\":\"accepted\"},\"x\":";
    struct reply reply;
    size_t used = strlen(text);
    for (int i = 0; i < levels; i++) {
        text[used++] = open;
        if (open == '{' && i < levels - 1)
            used += (size_t)snprintf(text + used, sizeof text - used, "\"\":");
    }
    memset(text + used, close, (size_t)levels);
    used += (size_t)levels;
    text[used++] = '}';
    return parse_exactly(text, used, &reply);
}

static void test_nesting(void **state)
{
    (void)state;
    assert_true(parse_nested(31, '[', ']'));
    assert_false(parse_nested(32, '[', ']'));
    assert_true(parse_nested(31, '{', '}'));
    assert_false(parse_nested(32, '{', '}'));
}

static void test_bounds(void **state)
{
    static const char head[] = "{\"parameters\":{\"verdict\":\"accepted\"}}";
    char *text = malloc(REPLY_MAX + 1);
    struct reply reply;
    (void)state;
    memset(text, ' ', REPLY_MAX + 1);
    memcpy(text, head, sizeof head - 1);
    assert_true(parse_exactly(text, REPLY_MAX, &reply));
    assert_false(parse_exactly(text, REPLY_MAX + 1, &reply));
    free(text);
}

static void test_every_truncation_is_no_answer(void **state)
{
    static const char text[] = "{\"parameters\":{\"verdict\":\"refused\",\"reason\":\""
                               "\\u00e4\\uD83D\\uDE00\xE2\x82\xAC\",\"n\":-1.5e3,\"l\":[true,null]},"
                               "\"continues\":false}";
    struct reply reply;
    (void)state;
    for (size_t length = 0; length < sizeof text - 1; length++)
        assert_false(parse_exactly(text, length, &reply));
    assert_true(parse_exactly(text, sizeof text - 1, &reply));
}

static void test_damaged_answers_do_no_harm(void **state)
{
    static const char good[] = "{\"parameters\":{\"verdict\":\"refused\",\"reason\":\""
                               "a\\u00e4\\uD83D\\uDE00\xE2\x82\xAC\",\"n\":[-1.5e3,true]},\"continues\":false}";
    static const char likely[] = "{}[]\",:\\u0019e+-.tfn \xC3\xE2\xFF";
    uint64_t random = 7;
    unsigned taken = 0;
    (void)state;
    for (int round = 0; round < 100000; round++) {
        char text[sizeof good];
        struct reply reply;
        memcpy(text, good, sizeof good);
        for (int changes = 1 + round % 3; changes > 0; changes--) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            text[(random >> 33) % (sizeof good - 1)] = likely[(random >> 20) % sizeof likely];
        }
        if (!parse_exactly(text, sizeof text - 1, &reply))
            continue;
        taken++;
        assert_int_equal(reply.verdict, REPLY_REFUSED); /* no damage makes another verdict of it */
        for (size_t at = 0; reply.reason[at];) {
            size_t character = utf8_character(reply.reason + at, strlen(reply.reason + at), NULL);
            assert_int_not_equal(character, 0);
            at += character;
        }
    }
    assert_true(taken > 1000); /* the damage was not always fatal, or nothing was tested */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_no_answers),
        cmocka_unit_test(test_reason_is_decoded),
        cmocka_unit_test(test_long_reason_is_cut_between_characters),
        cmocka_unit_test(test_nesting),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_every_truncation_is_no_answer),
        cmocka_unit_test(test_damaged_answers_do_no_harm),
    };
    return check_run(tests);
}
