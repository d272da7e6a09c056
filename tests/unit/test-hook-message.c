/* The hook's message is valid JSON in valid UTF-8 whatever it is given, and says the same after parsing. */
#include "check.h"

#include "../../hooks/message.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD "{\"method\":\"io.llmhook.HookEvent\",\"parameters\":{\"domain\":\"d\",\"operation\":\"o\"," \
             "\"suboperation\":\"s\",\"extra\":\"e\",\"at\":1234567,\"xml\":\""
#define TAIL "\"},\"more\":true}"
#define REPLACED "\xEF\xBF\xBD"

static const struct hook_call plain_call = {"d", "o", "s", "e", 1234567, ""};

static uint64_t random_state = 42;

static unsigned next_random(unsigned below)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(random_state >> 33) % below;
}

/* Takes the message apart with json-c, which checks UTF-8 too. Not strictly: a strict json-c 0.18 knows only ASCII. */
static struct json_object *parse(const struct room *message)
{
    struct json_tokener *tokener = json_tokener_new();
    json_tokener_set_flags(tokener, JSON_TOKENER_VALIDATE_UTF8);
    assert_int_equal(message->bytes[message->length - 1], '\0');
    assert_int_equal(strlen(message->bytes), message->length - 1);
    struct json_object *object = json_tokener_parse_ex(tokener, message->bytes, (int)message->length);
    if (!object)
        fail_msg("json-c: %s at %zu of %zu", json_tokener_error_desc(json_tokener_get_error(tokener)),
                 json_tokener_get_parse_end(tokener), message->length);
    json_tokener_free(tokener);
    return object;
}

static struct json_object *parameter(struct json_object *message, const char *name)
{
    struct json_object *parameters;
    struct json_object *value;
    assert_true(json_object_object_get_ex(message, "parameters", &parameters));
    assert_true(json_object_object_get_ex(parameters, name, &value));
    return value;
}

static void check_round_trip(const char *xml, size_t length, const char *wanted, size_t wanted_length)
{
    char fixed[64];
    struct room message = ROOM_INIT(fixed, MESSAGE_MAX);
    assert_true(message_compose(&plain_call, xml, length, &message));
    struct json_object *object = parse(&message);
    struct json_object *value = parameter(object, "xml");
    assert_int_equal(json_object_get_string_len(value), wanted_length);
    assert_memory_equal(json_object_get_string(value), wanted, wanted_length);
    json_object_put(object);
    room_release(&message);
}

static void test_exact_bytes(void **state)
{
    static const struct {
        const char *xml, *wanted;
    } rows[] = {
        {"", ""},
        {"<a b='c'/>", "<a b='c'/>"},
        {"a\nb\tc\rd", "a\\nb\\tc\\u000dd"},
        {"\"\\", "\\\"\\\\"},
        {"\x01\x1f\x7f", "\\u0001\\u001f\x7f"},
        {"\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80", "\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80"},
        {"a\xFFz", "a" REPLACED "z"},
        {"\x80", REPLACED},
        {"\xC3", REPLACED},
        {"\xC3(", REPLACED "("},
        {"\xC0\x80", REPLACED REPLACED},                          /* overlong NUL */
        {"\xE0\x9F\xBF", REPLACED REPLACED REPLACED},             /* overlong */
        {"\xED\xA0\x80", REPLACED REPLACED REPLACED},             /* a surrogate */
        {"\xF4\x90\x80\x80", REPLACED REPLACED REPLACED REPLACED}, /* beyond U+10FFFF */
        {"\xF0\x8F\xBF\xBF", REPLACED REPLACED REPLACED REPLACED},
        {"\xED\x9F\xBF\xEE\x80\x80\xF4\x8F\xBF\xBF", "\xED\x9F\xBF\xEE\x80\x80\xF4\x8F\xBF\xBF"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char fixed[16];
        char wanted[512];
        struct room message = ROOM_INIT(fixed, MESSAGE_MAX);
        snprintf(wanted, sizeof wanted, "%s%s%s", HEAD, rows[i].wanted, TAIL);
        assert_true(message_compose(&plain_call, rows[i].xml, strlen(rows[i].xml), &message));
        assert_string_equal(message.bytes, wanted);
        assert_int_equal(message.length, strlen(wanted) + 1);
        room_release(&message);
    }
}

static void test_nul_byte(void **state)
{
    (void)state;
    check_round_trip("a\0b", 3, "a\0b", 3);
}

static void test_arguments_arrive(void **state)
{
    static const struct hook_call call = {"-\"n\\\xC3\xA4\xFF", "op\x02", "sub'", "from snapshot", INT64_MAX, "an \"id\""};
    char fixed[1024];
    struct room message = ROOM_INIT(fixed, MESSAGE_MAX);
    (void)state;
    assert_true(message_compose(&call, "<x/>", 4, &message));
    assert_false(message.on_heap);
    struct json_object *object = parse(&message);
    struct json_object *value;
    assert_string_equal(json_object_get_string(parameter(object, "domain")), "-\"n\\\xC3\xA4" REPLACED);
    assert_string_equal(json_object_get_string(parameter(object, "operation")), "op\x02");
    assert_string_equal(json_object_get_string(parameter(object, "suboperation")), "sub'");
    assert_string_equal(json_object_get_string(parameter(object, "extra")), "from snapshot");
    assert_int_equal(json_object_get_int64(parameter(object, "at")), INT64_MAX);
    assert_string_equal(json_object_get_string(parameter(object, "boot")), "an \"id\"");
    assert_string_equal(json_object_get_string(parameter(object, "xml")), "<x/>");
    assert_true(json_object_object_get_ex(object, "method", &value));
    assert_string_equal(json_object_get_string(value), "io.llmhook.HookEvent");
    assert_true(json_object_object_get_ex(object, "more", &value));
    assert_int_equal(json_object_get_type(value), json_type_boolean);
    assert_true(json_object_get_boolean(value));
    json_object_put(object);
}

/* Canonical UTF-8 of CODE; returns its length. */
static size_t encode(unsigned code, char bytes[4])
{
    static const unsigned char first[] = {0, 0, 0xC0, 0xE0, 0xF0};
    size_t length = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = length; i-- > 1; code >>= 6)
        bytes[i] = (char)(0x80 | (code & 0x3F));
    bytes[0] = (char)(first[length] | code);
    return length;
}

/* The reference goes the other way round than the code: decode as if all were well, encode, compare. */
static size_t valid_length(const unsigned char *bytes, size_t left)
{
    static const unsigned char mask[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    for (size_t length = 1; length <= 4 && length <= left; length++) {
        char again[4];
        unsigned code = bytes[0] & mask[length];
        for (size_t i = 1; i < length; i++)
            code = code << 6 | (bytes[i] & 0x3F);
        if (code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF) && encode(code, again) == length
            && memcmp(again, bytes, length) == 0)
            return length;
    }
    return 0;
}

static size_t repair(const unsigned char *bytes, size_t length, char *wanted)
{
    size_t used = 0;
    for (size_t at = 0; at < length;) {
        size_t good = valid_length(bytes + at, length - at);
        memcpy(wanted + used, good ? (const char *)bytes + at : REPLACED, good ? good : 3);
        used += good ? good : 3;
        at += good ? good : 1;
    }
    return used;
}

static void test_random_bytes_round_trip(void **state)
{
    (void)state;
    for (int round = 0; round < 20000; round++) {
        /* Bytes that are likely to make sequences, nearly make them, or break JSON. */
        static const unsigned char likely[] = {0xC3, 0xE0, 0xED, 0xEF, 0xF0, 0xF4, 0x80, 0x8F, 0x90,
                                               0x9F, 0xA0, 0xBF, 0xC0, 0xC1, '"',  '\\', 0,    'u'};
        size_t length = next_random(48);
        unsigned char *bytes = malloc(length + 1); /* exact: reading beyond it shows under ASan */
        char wanted[48 * 3];
        for (size_t i = 0; i < length; i++)
            bytes[i] = next_random(2) ? likely[next_random(sizeof likely)] : (unsigned char)next_random(256);
        unsigned char *exact = realloc(bytes, length ? length : 1);
        check_round_trip((const char *)exact, length, wanted, repair(exact, length, wanted));
        free(exact);
    }
}

static void test_random_text_is_unchanged(void **state)
{
    (void)state;
    for (int round = 0; round < 2000; round++) {
        char text[64 * 4];
        size_t length = 0;
        for (unsigned i = next_random(64); i > 0; i--) {
            unsigned code = next_random(4) ? next_random(0x250) : next_random(0x110000);
            if (code < 0xD800 || code > 0xDFFF)
                length += encode(code, text + length);
        }
        check_round_trip(text, length, text, length);
    }
}

static void test_too_large(void **state)
{
    char fixed[64];
    char xml[1000];
    (void)state;
    memset(xml, 1, sizeof xml); /* six bytes each, once escaped */
    struct room message = ROOM_INIT(fixed, 6000);
    assert_false(message_compose(&plain_call, xml, sizeof xml, &message));
    assert_int_equal(message.length, 0);
    assert_true(message_compose(&plain_call, "", 0, &message));
    assert_string_equal(message.bytes, HEAD TAIL);
    room_release(&message);
}

static void test_exactly_the_maximum(void **state)
{
    char fixed[16];
    (void)state;
    struct room message = ROOM_INIT(fixed, sizeof HEAD TAIL);
    assert_true(message_compose(&plain_call, "", 0, &message));
    assert_int_equal(message.length, sizeof HEAD TAIL);
    room_release(&message);
    struct room smaller = ROOM_INIT(fixed, sizeof HEAD TAIL - 1);
    assert_false(message_compose(&plain_call, "", 0, &smaller));
    room_release(&smaller);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact_bytes),
        cmocka_unit_test(test_nul_byte),
        cmocka_unit_test(test_arguments_arrive),
        cmocka_unit_test(test_random_bytes_round_trip),
        cmocka_unit_test(test_random_text_is_unchanged),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_exactly_the_maximum),
    };
    return check_run(tests);
}
