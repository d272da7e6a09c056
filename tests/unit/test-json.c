/* Reading JSON: what is not ASCII, which json-c's versions do not agree about, and what is not JSON. */
#include "check.h"

#include "base/cleanup.h"
#include "base/json.h"

#include <json-c/json.h>

#include <string.h>

/* U+1DA00, U+2DFFF: their last 16 bits look like half a surrogate pair. */
#define SUPPLEMENTARY "\xf0\x9d\xa8\x80 \xf0\xad\xbf\xbf"
#define SUPPLEMENTARY_DOCUMENT "{\"a\":\"" SUPPLEMENTARY "\"}"

static void text_in_any_script_is_read(void **state)
{
    (void)state;
    const struct {
        const char *document, *wanted;
    } rows[] = {
        {"{\"a\":\"B\xc3\xbcro\"}", "B\xc3\xbcro"},
        {"{\"a\":\"\xc3\xa9 \xc3\xa9\"}", "\xc3\xa9 \xc3\xa9"},
        {"{\"a\":\"\xe2\x82\xac\xef\xbf\xbd\"}", "\xe2\x82\xac\xef\xbf\xbd"},
        {"{\"a\":\"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"}", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"},
        {SUPPLEMENTARY_DOCUMENT,
         json_c_version_num() < (18 << 8) ? SUPPLEMENTARY : "\xef\xbf\xbd \xef\xbf\xbd"},
        {"{\"a\":\"\\\\\xc3\xa9\\n\"}", "\\\xc3\xa9\n"},
        {"{\"a\":\"\\u00e9\xc3\xa9\"}", "\xc3\xa9\xc3\xa9"},
        {"{\"\xc3\xa9\":0,\"a\":\"\x7f\"}", "\x7f"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct error err = ERROR_INIT;
        cleanup_json struct json_object *object = NULL;
        char text[64];
        if (!json_parse(rows[i].document, strlen(rows[i].document), &object, &err) ||
            !json_get_string(object, "a", text, sizeof text, &err))
            fail_msg("%s: %s", rows[i].document, err.text);
        assert_string_equal(text, rows[i].wanted);
    }
}

static void names_are_read_as_well(void **state)
{
    static const char document[] = "{\"\xc3\xa9t\xc3\xa9\":7}";
    cleanup_json struct json_object *object = NULL;
    int64_t value = 0;
    (void)state;
    assert_true(json_parse(document, strlen(document), &object, NULL));
    assert_true(json_get_integer(object, "\xc3\xa9t\xc3\xa9", &value, NULL));
    assert_int_equal(value, 7);
}

/* Read back from what is written. */
static void check_written(const char *text, const char *wanted)
{
    struct error err = ERROR_INIT;
    char got[64];
    cleanup_json struct json_object *written = json_object_new_object(), *read = NULL;
    struct json_object *array = json_object_new_array();
    json_put_string(written, "a", text);
    json_put(written, "b", array);
    json_append_string(array, text);
    const char *document = json_object_to_json_string(written);
    if (!json_parse(document, strlen(document), &read, &err) || !json_get_string(read, "a", got, sizeof got, &err))
        fail_msg("%s: %s", document, err.text);
    assert_string_equal(got, wanted);
    assert_true(json_get_array(read, "b", &array, NULL) && json_object_array_length(array) == 1);
    assert_string_equal(json_object_get_string(json_object_array_get_idx(array, 0)), wanted);
}

static void what_was_cut_within_a_character_is_written_without_it(void **state)
{
    (void)state;
    check_written("", "");
    check_written("B\xc3\xbcro \xe2\x82\xac", "B\xc3\xbcro \xe2\x82\xac");
    check_written("B\xc3\xbcro \xe2\x82", "B\xc3\xbcro ");
    check_written("\xe2\x82: no such file", ": no such file");
    check_written("a\xff\xc3z", "az");
    check_written("\xf0\x90\x80", "");
}

static void what_is_no_json_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *document, *piece;
    } rows[] = {
        {"\"\xc3\"", "not UTF-8 at byte 1"},
        {"\"\xe2\x82\"", "not UTF-8 at byte 1"},
        {"\"\xc0\x80\"", "not UTF-8 at byte 1"},
        {"\"\xed\xa0\x80\"", "not UTF-8 at byte 1"},
        {"\"\xf4\x90\x80\x80\"", "not UTF-8 at byte 1"},
        {"\"\x80\"", "not UTF-8 at byte 1"},
        {"\"\\\xc3\xa9\"", "an escape that there is not at byte 1"},
        {"{\xc3\xa9:1}", "not JSON"},
        {"\xc3\xa9", "not JSON"},
        {"{\"a\":\"\xc3\xa9\"} \xc3\xa9", "not JSON"},
        {"{\"a\":\"\xc3\xa9\"} {}", "not JSON"},
        {"{\"a\":\"\xc3\xa9\",}", "not JSON"},
        {"\"\xc3\xa9", "not JSON"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct error err = ERROR_INIT;
        struct json_object *object = NULL;
        if (json_parse(rows[i].document, strlen(rows[i].document), &object, &err))
            fail_msg("%s was taken for JSON", rows[i].document);
        check_error(err, ERROR_PROTOCOL, rows[i].piece);
        assert_null(object);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_in_any_script_is_read),
        cmocka_unit_test(names_are_read_as_well),
        cmocka_unit_test(what_was_cut_within_a_character_is_written_without_it),
        cmocka_unit_test(what_is_no_json_is_refused),
    };
    return check_run(tests);
}
