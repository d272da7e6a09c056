#include "check.h"

#include "base/json.h"
#include "qemu-guest-agent/agent.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

static struct buffer reply_of(const char *text)
{
    struct buffer reply = BUFFER_INIT(1024 * 1024);
    assert_true(buffer_append_text(&reply, text));
    return reply;
}

static void exec_is_built_as_the_agent_reads_it(void **state)
{
    (void)state;
    static const char *const arguments[] = {"-c", "eval \"$x\"", NULL};
    static const char *const environment[] = {"x=a\n\tb\\c\"d", NULL};
    cleanup_buffer struct buffer command = BUFFER_INIT(AGENT_COMMAND_MAX);
    cleanup_buffer struct buffer input = BUFFER_INIT(100);
    assert_true(buffer_append(&input, "ab", 2));
    assert_true(agent_build_exec(&command, "/bin/sh", arguments, environment, &input));
    assert_string_equal(buffer_text(&command),
                        "{\"execute\":\"guest-exec\",\"arguments\":{\"path\":\"/bin/sh\",\"arg\":[\"-c\","
                        "\"eval \\u0022$x\\u0022\"],\"env\":[\"x=a\\n\\u0009b\\u005cc\\u0022d\"],"
                        "\"capture-output\":true,\"input-data\":\"YWI=\"}}");
    /* And json-c agrees that it means what went in. */
    cleanup_json struct json_object *document = NULL;
    struct json_object *inner, *list;
    assert_true(json_parse(buffer_text(&command), command.length, &document, NULL));
    assert_true(json_get_object(document, "arguments", &inner, NULL));
    assert_true(json_get_array(inner, "env", &list, NULL));
    assert_string_equal(json_object_get_string(json_object_array_get_idx(list, 0)), environment[0]);
}

static void base64_is_right_for_every_remainder(void **state)
{
    (void)state;
    static const struct {
        const char *plain, *encoded;
    } rows[] = {
        {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"\xff\xfe\xfd?>", "//79Pz4="},
    };
    static const char *const none[] = {NULL};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char wanted[64];
        cleanup_buffer struct buffer command = BUFFER_INIT(AGENT_COMMAND_MAX);
        cleanup_buffer struct buffer input = reply_of(rows[i].plain);
        assert_true(agent_build_exec(&command, "/x", none, none, &input));
        snprintf(wanted, sizeof wanted, "\"input-data\":\"%s\"}}", rows[i].encoded);
        assert_non_null(strstr(buffer_text(&command), wanted));
    }
}

static void a_command_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    static const char *const none[] = {NULL};
    cleanup_buffer struct buffer input = reply_of("0123456789");
    cleanup_buffer struct buffer whole = BUFFER_INIT(AGENT_COMMAND_MAX);
    assert_true(agent_build_exec(&whole, "/x", none, none, &input));
    /* Every smaller maximum must fail, wherever it cuts. */
    for (size_t maximum = 0; maximum <= whole.length; maximum++) {
        cleanup_buffer struct buffer command = BUFFER_INIT(maximum);
        assert_int_equal(agent_build_exec(&command, "/x", none, none, &input), maximum == whole.length);
    }
}

static void exec_reply_is_read_strictly(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum error_code code; /* NONE: accepted */
        const char *piece;
    } rows[] = {
        {"{\"return\":{\"pid\":1}}", ERROR_NONE, ""},
        {"{\"return\": {\"pid\": 2147483647}}\n", ERROR_NONE, ""},
        {"{\"return\":{\"pid\":2147483648}}", ERROR_PROTOCOL, "no process id"},
        {"{\"return\":{\"pid\":0}}", ERROR_PROTOCOL, "no process id"},
        {"{\"return\":{\"pid\":-4}}", ERROR_PROTOCOL, "no process id"},
        {"{\"return\":{\"pid\":99999999999999999999999999}}", ERROR_PROTOCOL, ""}, /* too large, or no number at all */
        {"{\"return\":{\"pid\":1.5}}", ERROR_PROTOCOL, "field 'pid' is double"},
        {"{\"return\":{\"pid\":\"1\"}}", ERROR_PROTOCOL, "field 'pid' is string"},
        {"{\"return\":{\"pid\":null}}", ERROR_PROTOCOL, "field 'pid' is missing"},
        {"{\"return\":{}}", ERROR_PROTOCOL, "field 'pid' is missing"},
        {"{\"return\":7}", ERROR_PROTOCOL, "not an object"},
        {"{\"return\":null}", ERROR_PROTOCOL, "neither 'return' nor 'error'"},
        {"{}", ERROR_PROTOCOL, "neither 'return' nor 'error'"},
        {"[1]", ERROR_PROTOCOL, "not an object"},
        {"17", ERROR_PROTOCOL, "not an object"},
        {"", ERROR_PROTOCOL, "not JSON"},
        {"{\"return\":{\"pid\":1}", ERROR_PROTOCOL, "not JSON"},
        {"{\"return\":{\"pid\":1}} {}", ERROR_PROTOCOL, "not JSON"},
        {"{\"error\":{\"class\":\"CommandNotFound\",\"desc\":\"no\"}}", ERROR_DENIED, "the agent answered: no"},
        {"{\"error\":{\"class\":\"GenericError\"}}", ERROR_PROTOCOL, "no description"},
        {"{\"error\":{\"desc\":[]}}", ERROR_PROTOCOL, "no description"},
        {"{\"error\":null}", ERROR_PROTOCOL, "no description"},
        {"{\"error\":{\"desc\":\"no\"},\"return\":{\"pid\":1}}", ERROR_DENIED, "no"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct error err = ERROR_INIT;
        int64_t pid = -1;
        cleanup_buffer struct buffer reply = reply_of(rows[i].text);
        bool ok = agent_parse_exec(&reply, &pid, &err);
        if (ok != (rows[i].code == ERROR_NONE))
            fail_msg("%s: %s", rows[i].text, ok ? "accepted" : err.text);
        if (!ok) {
            check_error(err, rows[i].code, rows[i].piece);
            assert_int_equal(pid, -1);
        }
    }
}

static void huge_and_deep_replies_are_refused(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    int64_t pid;
    cleanup_buffer struct buffer huge = reply_of("{\"return\":{\"pid\":1,\"x\":\"");
    while (huge.length <= AGENT_REPLY_MAX)
        assert_true(buffer_append_text(&huge, "0123456789"));
    assert_true(buffer_append_text(&huge, "\"}}"));
    assert_false(agent_parse_exec(&huge, &pid, &err));
    check_error(err, ERROR_LIMIT, "longer than 65536 bytes");

    cleanup_buffer struct buffer deep = reply_of("{\"return\":");
    for (int i = 0; i < 20000; i++)
        assert_true(buffer_append_text(&deep, "[[["));
    assert_false(agent_parse_exec(&deep, &pid, &err));
    check_error(err, ERROR_PROTOCOL, "not JSON");
}

static void status_is_read_strictly(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum error_code code;
        const char *piece; /* of the error; or the expected standard output */
        bool exited, signalled;
        int ending;
    } rows[] = {
        {"{\"return\":{\"exited\":false}}", ERROR_NONE, "", false, false, 0},
        {"{\"return\":{\"exited\":true,\"exitcode\":0}}", ERROR_NONE, "", true, false, 0},
        {"{\"return\":{\"exited\":true,\"exitcode\":34,\"out-data\":\"aGk=\"}}", ERROR_NONE, "hi", true, false, 34},
        {"{\"return\":{\"exited\":true,\"signal\":9}}", ERROR_NONE, "", true, true, 9},
        {"{\"return\":{\"exited\":true}}", ERROR_PROTOCOL, "'exitcode' is missing", false, false, 0},
        {"{\"return\":{\"exited\":1,\"exitcode\":0}}", ERROR_PROTOCOL, "'exited' is int", false, false, 0},
        {"{\"return\":{\"exited\":\"true\"}}", ERROR_PROTOCOL, "'exited' is string", false, false, 0},
        {"{\"return\":{\"exited\":true,\"exitcode\":256}}", ERROR_PROTOCOL, "out of range", false, false, 0},
        {"{\"return\":{\"exited\":true,\"exitcode\":-1}}", ERROR_PROTOCOL, "out of range", false, false, 0},
        {"{\"return\":{\"exited\":true,\"exitcode\":\"0\"}}", ERROR_PROTOCOL, "is string", false, false, 0},
        {"{\"return\":{\"exited\":true,\"exitcode\":0,\"out-data\":5}}", ERROR_PROTOCOL, "not base64", false, false, 0},
        {"{\"return\":{\"exited\":true,\"exitcode\":0,\"out-data\":\"aGk\"}}", ERROR_PROTOCOL, "not base64", false, false, 0},
        {"{\"return\":{\"exited\":true,\"exitcode\":0,\"out-data\":\"a=Gk\"}}", ERROR_PROTOCOL, "not base64", false, false, 0},
        {"{\"return\":{\"exited\":true,\"exitcode\":0,\"out-data\":\"aG==aGk=\"}}", ERROR_PROTOCOL, "not base64", false, false,
         0},
        {"{\"return\":{\"exited\":true,\"exitcode\":0,\"out-data\":\"aG \\n\"}}", ERROR_PROTOCOL, "not base64", false, false, 0},
        {"{\"return\":{\"exited\":true,\"exitcode\":0,\"out-data\":\"====\"}}", ERROR_PROTOCOL, "not base64", false, false, 0},
        {"{\"return\":{\"exited\":true,\"exitcode\":0,\"err-data\":\"!!!!\"}}", ERROR_PROTOCOL, "'err-data' is not base64", false,
         false, 0},
        {"{\"return\":{\"exited\":true,\"exitcode\":0,\"out-truncated\":true}}", ERROR_LIMIT, "too long for the agent", false,
         false, 0},
        {"{\"return\":[]}", ERROR_PROTOCOL, "not an object", false, false, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct error err = ERROR_INIT;
        cleanup_agent_status struct agent_status status = AGENT_STATUS_INIT;
        cleanup_buffer struct buffer reply = reply_of(rows[i].text);
        bool ok = agent_parse_exec_status(&reply, &status, &err);
        if (ok != (rows[i].code == ERROR_NONE))
            fail_msg("%s: %s", rows[i].text, ok ? "accepted" : err.text);
        assert_int_equal(status.exited, rows[i].exited);
        if (!ok) {
            check_error(err, rows[i].code, rows[i].piece);
            continue;
        }
        assert_string_equal(buffer_text(&status.out), rows[i].piece);
        assert_int_equal(status.signalled, rows[i].signalled);
        assert_int_equal(status.code, rows[i].ending);
    }
}

static void info_tells_what_is_enabled(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    bool enabled = false;
    cleanup_buffer struct buffer reply =
        reply_of("{\"return\":{\"version\":\"7.2.22\",\"supported_commands\":[7,null,{\"enabled\":true},"
                 "{\"enabled\":true,\"name\":\"guest-ping\"},{\"enabled\":false,\"name\":\"guest-exec\"},"
                 "{\"enabled\":\"true\",\"name\":\"guest-info\"}]}}");
    assert_true(agent_parse_info(&reply, "guest-ping", &enabled, &err));
    assert_true(enabled);
    assert_true(agent_parse_info(&reply, "guest-exec", &enabled, &err));
    assert_false(enabled);
    enabled = true;
    assert_true(agent_parse_info(&reply, "guest-exec-status", &enabled, &err)); /* not listed */
    assert_false(enabled);
    assert_true(agent_parse_info(&reply, "guest-info", &enabled, &err)); /* a word is no boolean */
    assert_false(enabled);
    cleanup_buffer struct buffer wrong = reply_of("{\"return\":{\"supported_commands\":{}}}");
    assert_false(agent_parse_info(&wrong, "guest-exec", &enabled, &err));
    check_error(err, ERROR_PROTOCOL, "'supported_commands' is object");
}

static void files_are_opened_written_read_and_closed(void **state)
{
    (void)state;
    cleanup_buffer struct buffer bytes = reply_of("k\n"), command = BUFFER_INIT(AGENT_COMMAND_MAX);
    assert_true(agent_build_file_open(&command, "/a \"b", "r+"));
    assert_string_equal(buffer_text(&command), "{\"execute\":\"guest-file-open\",\"arguments\":{\"path\":"
                                               "\"/a \\u0022b\",\"mode\":\"r+\"}}");
    buffer_clear(&command);
    assert_true(agent_build_file_write(&command, 1000, &bytes));
    assert_string_equal(buffer_text(&command), "{\"execute\":\"guest-file-write\",\"arguments\":{\"handle\":1000,"
                                               "\"buf-b64\":\"awo=\"}}");
    buffer_clear(&command);
    assert_true(agent_build_file_read(&command, 7, 40000));
    assert_string_equal(buffer_text(&command),
                        "{\"execute\":\"guest-file-read\",\"arguments\":{\"handle\":7,\"count\":40000}}");
    buffer_clear(&command);
    assert_true(agent_build_file_close(&command, -1));
    assert_string_equal(buffer_text(&command), "{\"execute\":\"guest-file-close\",\"arguments\":{\"handle\":-1}}");
}

static void what_files_answer_is_read_strictly(void **state)
{
    (void)state;
    static const struct {
        char which; /* o open, w write, r read, c close */
        const char *text;
        enum error_code code;
        const char *piece; /* of the error; or what was read, or the number as text */
    } rows[] = {
        {'o', "{\"return\":1000}", ERROR_NONE, "1000"},
        {'o', "{\"return\":\"1000\"}", ERROR_PROTOCOL, "no handle"},
        {'o', "{\"return\":{}}", ERROR_PROTOCOL, "no handle"},
        {'o', "{\"error\":{\"desc\":\"No such file or directory\"}}", ERROR_DENIED, "No such file or directory"},
        {'w', "{\"return\":{\"count\":12,\"eof\":false}}", ERROR_NONE, "12"},
        {'w', "{\"return\":{\"eof\":false}}", ERROR_PROTOCOL, "guest-file-write's answer: field 'count' is missing"},
        {'w', "{\"return\":{\"count\":-1}}", ERROR_PROTOCOL, "out of range"},
        {'w', "{\"return\":{\"count\":1048577}}", ERROR_PROTOCOL, "out of range"},
        {'r', "{\"return\":{\"count\":2,\"buf-b64\":\"aGk=\",\"eof\":true}}", ERROR_NONE, "hi"},
        {'r', "{\"return\":{\"count\":0,\"buf-b64\":\"\",\"eof\":true}}", ERROR_NONE, ""},
        {'r', "{\"return\":{\"count\":2,\"buf-b64\":\"aGk=\"}}", ERROR_PROTOCOL, "'eof' is missing"},
        {'r', "{\"return\":{\"count\":2,\"eof\":true}}", ERROR_PROTOCOL, "'buf-b64' is not base64"},
        {'r', "{\"return\":{\"buf-b64\":\"aGk\",\"eof\":true}}", ERROR_PROTOCOL, "'buf-b64' is not base64"},
        {'c', "{\"return\":{}}", ERROR_NONE, ""},
        {'c', "{\"error\":{\"desc\":\"No space left\"}}", ERROR_DENIED, "No space left"},
        {'c', "{}", ERROR_PROTOCOL, "neither 'return' nor 'error'"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct error err = ERROR_INIT;
        cleanup_buffer struct buffer reply = reply_of(rows[i].text), got = BUFFER_INIT(100);
        int64_t handle = 0;
        size_t count = 0;
        bool end = false, ok;
        switch (rows[i].which) {
        case 'o':
            ok = agent_parse_file_open(&reply, &handle, &err) && buffer_printf(&got, "%d", (int)handle);
            break;
        case 'w':
            ok = agent_parse_file_write(&reply, &count, &err) && buffer_printf(&got, "%zu", count);
            break;
        case 'r':
            ok = agent_parse_file_read(&reply, &got, &end, &err);
            assert_int_equal(ok && !end, 0);
            break;
        default:
            ok = agent_parse_file_close(&reply, &err);
        }
        if (ok != (rows[i].code == ERROR_NONE))
            fail_msg("%s: %s", rows[i].text, ok ? "accepted" : err.text);
        if (ok)
            assert_string_equal(buffer_text(&got), rows[i].piece);
        else
            check_error(err, rows[i].code, rows[i].piece);
    }
}

static void frozen_is_one_of_two_words(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    bool frozen = false;
    cleanup_buffer struct buffer yes = reply_of("{\"return\":\"frozen\"}");
    cleanup_buffer struct buffer no = reply_of("{\"return\":\"thawed\"}");
    cleanup_buffer struct buffer wrong = reply_of("{\"return\":true}");
    assert_true(agent_parse_frozen(&yes, &frozen, &err));
    assert_true(frozen);
    assert_true(agent_parse_frozen(&no, &frozen, &err));
    assert_false(frozen);
    assert_false(agent_parse_frozen(&wrong, &frozen, &err));
    check_error(err, ERROR_PROTOCOL, "neither 'frozen' nor 'thawed'");
}

static void a_guests_words_are_cleaned(void **state)
{
    (void)state;
    static const struct {
        const char *words, *shown;
    } rows[] = {
        {"mkdir: cannot create directory '/run/x': No space left on device\n",
         "mkdir: cannot create directory '/run/x': No space left on device"},
        {"a\n\n\tb\x1b[31mc\x7f\xc3\xa9" "d\n", "a b [31mc d"},
        {"key sk-proj-AbCdEfGhIjKlMnOpQrSt.more/of+it here", "key (withheld) here"},
        {"nineteen: aaaaaaaaaaaaaaaaaaa", "nineteen: aaaaaaaaaaaaaaaaaaa"},
        {"twenty: aaaaaaaaaaaaaaaaaaaa", "twenty: (withheld)"},
        {"\n \n", ""},
        {"", ""},
    };
    char text[AGENT_EXCERPT_SIZE];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        agent_excerpt(rows[i].words, strlen(rows[i].words), text, sizeof text);
        assert_string_equal(text, rows[i].shown);
    }
    /* A long one is cut, and not in the middle of what may be a key. */
    char words[200];
    memset(words, '.', sizeof words);
    agent_excerpt(words, sizeof words, text, sizeof text);
    assert_int_equal(strlen(text), 120);
    memset(words + 105, 'k', 40);
    agent_excerpt(words, sizeof words, text, sizeof text);
    assert_null(strchr(text, 'k'));
    /* Small buffers, every size: always ends, never beyond. */
    for (size_t size = 1; size < 60; size++) {
        char small[64];
        memset(small, '#', sizeof small);
        agent_excerpt("some words and AbCdEfGhIjKlMnOpQrStUvWx and more of them", 56, small, size);
        assert_true(strlen(small) < size);
        assert_int_equal(small[size], '#');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exec_is_built_as_the_agent_reads_it),
        cmocka_unit_test(base64_is_right_for_every_remainder),
        cmocka_unit_test(a_command_that_does_not_fit_is_refused),
        cmocka_unit_test(exec_reply_is_read_strictly),
        cmocka_unit_test(huge_and_deep_replies_are_refused),
        cmocka_unit_test(status_is_read_strictly),
        cmocka_unit_test(info_tells_what_is_enabled),
        cmocka_unit_test(files_are_opened_written_read_and_closed),
        cmocka_unit_test(what_files_answer_is_read_strictly),
        cmocka_unit_test(frozen_is_one_of_two_words),
        cmocka_unit_test(a_guests_words_are_cleaned),
    };
    return check_run(tests);
}
