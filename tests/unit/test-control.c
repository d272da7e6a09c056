/* The control server: framing, methods and their answers, peers that go away, sleep or do not read. */
#include "control-bench.h"

#include "base/clock.h"
#include "base/json.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- framing --- */

static void test_message_split_at_every_byte(void **state)
{
    struct bench *bench = *state;
    static const char message[] = "{\"method\":\"io.llmhook.Echo\",\"parameters\":{\"text\":\"split\"}}";
    int fd = peer_open(bench->path);
    for (size_t at = 1; at < sizeof message; at++) {
        assert_true(peer_send(bench, fd, message, at));
        check_silent(bench, fd);
        assert_true(peer_send(bench, fd, message + at, sizeof message - at));
        check_heard(bench, fd, "{\"parameters\":{\"text\":\"split\"}}");
    }
    assert_int_equal(bench->echoes, sizeof message - 1);
    close(fd);
}

static void test_pipelined_calls_are_answered_in_order(void **state)
{
    struct bench *bench = *state;
    static const char calls[] = "{\"method\":\"io.llmhook.Echo\",\"parameters\":{\"text\":\"1\"}}\0"
                                "{\"method\":\"io.llmhook.Park\"}\0"
                                "{\"method\":\"io.llmhook.Echo\",\"parameters\":{\"text\":\"3\"}}\0"
                                "{\"method\":\"io.llmhook.Nothing\"}\0"
                                "{\"method\":\"io.llmhook.Echo\",\"parameters\":{\"text\":\"5\"}}";
    int fd = peer_open(bench->path);
    assert_true(peer_send(bench, fd, calls, sizeof calls));
    check_heard(bench, fd, "{\"parameters\":{\"text\":\"1\"}}");
    check_silent(bench, fd);
    assert_int_equal(bench->echoes, 1); /* the third was not even begun */
    assert_non_null(bench->parked);
    control_reply(bench->parked, NULL);
    assert_int_equal(bench->echoes, 1); /* nor from inside control_reply() */
    check_heard(bench, fd, "{\"parameters\":{}}");
    check_heard(bench, fd, "{\"parameters\":{\"text\":\"3\"}}");
    check_heard(bench, fd,
                "{\"error\":\"org.varlink.service.MethodNotFound\",\"parameters\":{\"method\":\"Nothing\"}}");
    check_heard(bench, fd, "{\"parameters\":{\"text\":\"5\"}}");
    assert_int_equal(bench->cancels, 0);
    close(fd);
}

/* A call whose whole message has LENGTH bytes without its NUL. Owner: the caller. */
static char *padded_call(size_t length)
{
    static const char head[] = "{\"method\":\"io.llmhook.Echo\",\"parameters\":{\"text\":\"ok\"}";
    char *message = malloc(length + 1);
    memset(message, ' ', length);
    memcpy(message, head, sizeof head - 1);
    message[length - 1] = '}';
    message[length] = '\0';
    return message;
}

static void test_longest_message_passes_and_a_longer_one_does_not(void **state)
{
    struct bench *bench = *state;
    int fd = peer_open(bench->path);
    char *message = padded_call(CONTROL_MESSAGE_MAX);
    assert_true(peer_send(bench, fd, message, CONTROL_MESSAGE_MAX + 1));
    free(message);
    check_heard(bench, fd, "{\"parameters\":{\"text\":\"ok\"}}");

    char log[512];
    struct listening listening = log_capture();
    message = padded_call(CONTROL_MESSAGE_MAX + 1);
    peer_send(bench, fd, message, CONTROL_MESSAGE_MAX + 2);
    free(message);
    char *heard = peer_hear(bench, fd);
    log_captured(listening, log, sizeof log);
    assert_null(heard);
    assert_int_equal(bench->echoes, 1);
    assert_non_null(strstr(log, "its message is longer than 16 MiB"));
    close(fd);
}

static void test_malformed_messages_close_their_connection(void **state)
{
    struct bench *bench = *state;
    static const struct {
        const char *message, *reason;
    } cases[] = {
        {"{\"method\":", "not JSON"},
        {"", "not JSON"},
        {"{\"method\":\"io.llmhook.Mark\"}x", "not JSON"},
        {"[]", "not an object"},
        {"{}", "field 'method' is missing"},
        {"{\"method\":7}", "field 'method' is int"},
        {"{\"method\":\"Mark\"}", "without an interface"},
        {"{\"method\":\"io.llmhook.Mark\",\"parameters\":[]}", "field 'parameters' is array"},
        {"{\"method\":\"io.llmhook.\xff\"}", "not JSON"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char log[512];
        int fd = peer_open(bench->path);
        struct listening listening = log_capture();
        bool sent = peer_send(bench, fd, cases[i].message, strlen(cases[i].message) + 1);
        char *heard = sent ? peer_hear(bench, fd) : NULL;
        log_captured(listening, log, sizeof log);
        if (heard)
            fail_msg("'%s' was answered", cases[i].message);
        /* Only the first in ten seconds is logged. */
        if (i == 0 && (!strstr(log, cases[i].reason) || !strstr(log, "closing the connection of process ")))
            fail_msg("the log says '%s'", log);
        if (i > 0)
            assert_string_equal(log, "");
        close(fd);
    }
    assert_int_equal(bench->marks, 0);
    int fd = peer_open(bench->path); /* others are not affected */
    peer_say(bench, fd, "{\"method\":\"io.llmhook.Mark\"}");
    check_heard(bench, fd, "{\"parameters\":{}}");
    close(fd);
}

/* --- bench_methods and their answers --- */

static void test_what_the_interface_does_not_have(void **state)
{
    struct bench *bench = *state;
    static const struct {
        const char *parameters, *surplus; /* NULL: it runs */
    } cases[] = {
        {"{\"Provider\":\"openai\"}", "Provider"}, {"{\"provide\":\"openai\"}", "provide"},
        {"{\"providers\":\"openai\"}", "providers"}, {"{\"\":\"openai\"}", ""},
        {"{\"string\":\"openai\"}", "string"}, {"{\"provider\":[\"openai\"]}", "provider"},
        {"{\"domain\":\"d\",\"no_overlap\":1}", "no_overlap"}, {"{\"all\":\"true\"}", "all"},
        {"{\"rotating\":1}", "rotating"}, /* of its answer */
        {"{\"domain\":\"d\",\"provider\":null,\"all\":false,\"now\":true,\"no_overlap\":true}", NULL},
        {"{}", NULL},
    };
    int fd = peer_open(bench->path);
    unsigned ran = 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char call[256], answer[256];
        snprintf(call, sizeof call, "{\"method\":\"io.llmhook.Rotate\",\"parameters\":%s}", cases[i].parameters);
        snprintf(answer, sizeof answer,
                 "{\"error\":\"org.varlink.service.InvalidParameter\",\"parameters\":{\"parameter\":\"%s\"}}",
                 cases[i].surplus ? cases[i].surplus : "");
        peer_say(bench, fd, call);
        check_heard(bench, fd, cases[i].surplus ? answer : "{\"parameters\":{}}");
        ran += !cases[i].surplus;
        assert_int_equal(bench->marks, ran);
    }
    close(fd);
}

static void test_what_the_service_does_not_know(void **state)
{
    struct bench *bench = *state;
    static const char *const cases[][2] = {
        {"{\"method\":\"io.llmhook.Dance\"}",
         "{\"error\":\"org.varlink.service.MethodNotFound\",\"parameters\":{\"method\":\"Dance\"}}"},
        {"{\"method\":\"org.example.Dance\"}",
         "{\"error\":\"org.varlink.service.InterfaceNotFound\",\"parameters\":{\"interface\":\"org.example\"}}"},
        {"{\"method\":\"org.varlink.service.Dance\"}",
         "{\"error\":\"org.varlink.service.MethodNotFound\",\"parameters\":{\"method\":\"Dance\"}}"},
        {"{\"method\":\"io.llmhook.Echo\",\"parameters\":{\"text\":1}}",
         "{\"error\":\"org.varlink.service.InvalidParameter\",\"parameters\":{\"parameter\":\"text\"}}"},
        {"{\"method\":\"io.llmhook.Echo\",\"parameters\":null}",
         "{\"error\":\"org.varlink.service.InvalidParameter\",\"parameters\":{\"parameter\":\"text\"}}"},
        {"{\"method\":\"io.llmhook.Mark\",\"upgrade\":true}",
         "{\"error\":\"org.varlink.service.InvalidParameter\",\"parameters\":{\"parameter\":\"upgrade\"}}"},
        {"{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":{\"interface\":\"a.b\"}}",
         "{\"error\":\"org.varlink.service.InterfaceNotFound\",\"parameters\":{\"interface\":\"a.b\"}}"},
        {"{\"method\":\"org.varlink.service.GetInterfaceDescription\"}",
         "{\"error\":\"org.varlink.service.InvalidParameter\",\"parameters\":{\"parameter\":\"interface\"}}"},
        {"{\"method\":\"io.llmhook.Refuse\",\"parameters\":{\"name\":\"NoSuchDomain\"}}",
         "{\"error\":\"io.llmhook.NoSuchDomain\",\"parameters\":{\"reason\":\"the disk is full\","
         "\"domain\":\"dev-1\",\"provider\":\"openai\",\"parameter\":\"guests\",\"method\":\"Dance\"}}"},
    };
    int fd = peer_open(bench->path);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        peer_say(bench, fd, cases[i][0]);
        check_heard(bench, fd, cases[i][1]);
    }
    assert_int_equal(bench->marks, 0);
    close(fd);
}

static void test_service_describes_itself(void **state)
{
    struct bench *bench = *state;
    int fd = peer_open(bench->path);
    peer_say(bench, fd, "{\"method\":\"org.varlink.service.GetInfo\"}");
    check_heard(bench, fd,
                "{\"parameters\":{\"vendor\":\"llmhook\",\"product\":\"llmhookd\",\"version\":\"" PACKAGE_VERSION
                "\",\"url\":\"" PACKAGE_URL "\",\"interfaces\":[\"org.varlink.service\",\"io.llmhook\"]}}");

    peer_say(bench, fd,
             "{\"method\":\"org.varlink.service.GetInterfaceDescription\","
             "\"parameters\":{\"interface\":\"io.llmhook\"}}");
    char *text = peer_hear(bench, fd);
    struct json_object *reply = NULL, *parameters = NULL, *description = NULL;
    struct error err = ERROR_INIT;
    assert_true(json_parse(text, strlen(text), &reply, &err));
    assert_true(json_get_object(reply, "parameters", &parameters, &err));
    assert_true(json_object_object_get_ex(parameters, "description", &description));
    const char *directory = getenv("srcdir");
    char path[512], file[32768];
    snprintf(path, sizeof path, "%s/src/control/io.llmhook.varlink", directory ? directory : ".");
    FILE *stream = fopen(path, "re");
    assert_non_null(stream);
    size_t length = fread(file, 1, sizeof file - 1, stream);
    file[length] = '\0';
    fclose(stream);
    assert_string_equal(json_object_get_string(description), file);
    json_object_put(reply);
    free(text);
    close(fd);
}

static void test_more_gets_all_replies_and_others_the_last(void **state)
{
    struct bench *bench = *state;
    int fd = peer_open(bench->path);
    peer_say(bench, fd, "{\"method\":\"io.llmhook.Count\",\"more\":true}");
    check_heard(bench, fd, "{\"continues\":true,\"parameters\":{\"n\":1}}");
    check_heard(bench, fd, "{\"continues\":true,\"parameters\":{\"n\":2}}");
    check_heard(bench, fd, "{\"parameters\":{\"n\":3}}");
    peer_say(bench, fd, "{\"method\":\"io.llmhook.Count\"}");
    check_heard(bench, fd, "{\"parameters\":{\"n\":3}}");
    check_silent(bench, fd);

    peer_say(bench, fd, "{\"method\":\"io.llmhook.Park\",\"more\":true}");
    assert_true(control_call_more(bench->parked));
    control_continue(bench->parked, NULL); /* from outside the method: sent at once */
    check_heard(bench, fd, "{\"continues\":true,\"parameters\":{}}");
    check_silent(bench, fd);
    control_error(bench->parked, "Failed", NULL);
    check_heard(bench, fd, "{\"error\":\"io.llmhook.Failed\",\"parameters\":{}}");
    peer_say(bench, fd, "{\"method\":\"io.llmhook.Park\"}");
    assert_false(control_call_more(bench->parked));
    control_reply(bench->parked, NULL);
    check_heard(bench, fd, "{\"parameters\":{}}");
    close(fd);
}

static void test_oneway_is_silent_and_holds_nothing_up(void **state)
{
    struct bench *bench = *state;
    int fd = peer_open(bench->path);
    static const char calls[] = "{\"method\":\"io.llmhook.Mark\",\"oneway\":true}\0"
                                "{\"method\":\"io.llmhook.Nothing\",\"oneway\":true}\0"
                                "{\"method\":\"io.llmhook.Park\",\"oneway\":true}\0"
                                "{\"method\":\"io.llmhook.Echo\",\"parameters\":{\"text\":\"next\"}}";
    assert_true(peer_send(bench, fd, calls, sizeof calls));
    check_heard(bench, fd, "{\"parameters\":{\"text\":\"next\"}}");
    assert_int_equal(bench->marks, 1);
    close(fd);
    bench_drain(bench);
    assert_int_equal(bench->cancels, 0); /* nobody waited for it, so nobody gave up */
    control_reply(bench->parked, NULL);
    fd = peer_open(bench->path);
    assert_true(peer_send(bench, fd, calls, sizeof calls));
    control_server_free(bench->server);
    bench->server = NULL;
    assert_int_equal(bench->cancels, 1);
    close(fd);
}

static void test_reply_is_valid_utf8_whatever_was_put_in(void **state)
{
    struct bench *bench = *state;
    int fd = peer_open(bench->path);
    peer_say(bench, fd, "{\"method\":\"io.llmhook.Bytes\"}");
    check_heard(bench, fd,
                "{\"parameters\":{\"text\":\"cut \xc3\xa9 off \"}}");
    close(fd);
}

static void test_reply_that_is_too_long_becomes_an_error(void **state)
{
    struct bench *bench = *state;
    int fd = peer_open(bench->path);
    peer_say(bench, fd, "{\"method\":\"io.llmhook.Huge\"}");
    check_heard(bench, fd,
                "{\"error\":\"io.llmhook.Failed\",\"parameters\":"
                "{\"reason\":\"a message of 16777242 bytes does not fit\"}}");
    peer_say(bench, fd, "{\"method\":\"io.llmhook.Mark\"}");
    check_heard(bench, fd, "{\"parameters\":{}}");
    close(fd);
}

/* --- peers that go away, sleep or do not read --- */

static void test_peer_that_goes_away_cancels_its_call(void **state)
{
    struct bench *bench = *state;
    int fd = peer_open(bench->path);
    peer_say(bench, fd, "{\"method\":\"io.llmhook.Park\"}");
    assert_non_null(bench->parked);
    close(fd);
    assert_true(bench_until(bench, bench_was_cancelled, bench));
    bench_drain(bench);
    assert_int_equal(bench->cancels, 1);

    /* The same with a further message waiting, when the server does not read any more. */
    fd = peer_open(bench->path);
    bench->cancels = 0;
    static const char calls[] = "{\"method\":\"io.llmhook.Park\"}\0{\"method\":\"io.llmhook.Mark\"}";
    assert_true(peer_send(bench, fd, calls, sizeof calls));
    close(fd);
    assert_true(bench_until(bench, bench_was_cancelled, bench));
    assert_int_equal(bench->marks, 0);
    assert_int_equal(bench->cancels, 1);

    /* And when the server is freed. */
    fd = peer_open(bench->path);
    bench->cancels = 0;
    peer_say(bench, fd, "{\"method\":\"io.llmhook.Park\"}");
    control_server_free(bench->server);
    bench->server = NULL;
    assert_int_equal(bench->cancels, 1);
    close(fd);
}

static void test_peer_that_ends_its_half_gets_its_reply(void **state)
{
    struct bench *bench = *state;
    int fd = peer_open(bench->path);
    peer_say(bench, fd, "{\"method\":\"io.llmhook.Park\"}");
    shutdown(fd, SHUT_WR);
    bench_drain(bench);
    assert_int_equal(bench->cancels, 0);
    control_reply(bench->parked, NULL);
    check_heard(bench, fd, "{\"parameters\":{}}");
    check_closed(bench, fd);
}

static void test_what_was_sent_before_the_end_counts(void **state)
{
    struct bench *bench = *state;
    /* Before the server has even accepted: everything and the end arrive together. */
    char *message = malloc(30000);
    memset(message, ' ', 30000);
    memcpy(message, "{\"method\":\"io.llmhook.Mark\",\"oneway\":true", 41);
    message[29998] = '}';
    message[29999] = '\0';
    int fd = peer_open(bench->path);
    for (int i = 0; i < 4; i++)
        assert_int_equal(send(fd, message, 30000, MSG_DONTWAIT), 30000);
    free(message);
    close(fd);
    bench_drain(bench);
    assert_int_equal(bench->marks, 4);
}

static void test_calls_that_wait_hold_up_their_sender(void **state)
{
    struct bench *bench = *state;
    static const char call[] = "{\"method\":\"io.llmhook.Mark\",\"oneway\":true}";
    int fd = peer_open(bench->path), blocked = 0;
    size_t sent = 0, at = 0;
    peer_say(bench, fd, "{\"method\":\"io.llmhook.Park\"}");
    while (blocked < 50 && sent < 4 * 1024 * 1024) {
        ssize_t count = send(fd, call + at, sizeof call - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        blocked = count > 0 ? 0 : blocked + 1;
        sent += count > 0 ? (size_t)count : 0;
        at = count > 0 ? (at + (size_t)count) % sizeof call : at;
        bench_turn(bench, 0);
    }
    assert_true(sent < 1024 * 1024); /* what the kernel keeps, and a chunk */
    assert_int_equal(bench->marks, 0);
    int64_t before = clock_monotonic_ms();
    bench_turn(bench, 100);
    assert_true(clock_monotonic_ms() - before >= 99); /* the server sleeps meanwhile */
    control_reply(bench->parked, NULL);
    assert_true(peer_send(bench, fd, call + at, sizeof call - at));
    sent += sizeof call - at;
    peer_say(bench, fd, "{\"method\":\"io.llmhook.Mark\"}");
    check_heard(bench, fd, "{\"parameters\":{}}");
    check_heard(bench, fd, "{\"parameters\":{}}");
    assert_int_equal(bench->marks, sent / sizeof call + 1);
    close(fd);
}

static void test_slow_reader_is_bounded_and_then_served(void **state)
{
    struct bench *bench = *state;
    /* 100 calls of 100 kB each, whose replies nobody reads: 10 MB if there were no bound. */
    enum { CALLS = 100, TEXT = 100 * 1000 };
    char *call = malloc(TEXT + 100);
    int head = sprintf(call, "{\"method\":\"io.llmhook.Echo\",\"parameters\":{\"text\":\"");
    memset(call + head, 'x', TEXT);
    int length = head + TEXT + sprintf(call + head + TEXT, "\"}}") + 1;
    int fd = peer_open(bench->path);
    size_t at = 0, total = (size_t)length * CALLS;
    int idle = 0;
    while (at < total && idle < 50) {
        ssize_t count = send(fd, call + at % (size_t)length, (size_t)length - at % (size_t)length, MSG_DONTWAIT);
        if (count > 0)
            at += (size_t)count;
        bench_turn(bench, 0);
        idle = count > 0 ? 0 : idle + 1;
    }
    assert_true(at < total);
    assert_in_range(bench->echoes, 5, 20);
    int heard = 0;
    while (heard < CALLS) {
        while (at < total) {
            ssize_t count = send(fd, call + at % (size_t)length, (size_t)length - at % (size_t)length, MSG_DONTWAIT);
            if (count <= 0)
                break;
            at += (size_t)count;
        }
        char *text = peer_hear(bench, fd);
        assert_non_null(text);
        assert_int_equal(strlen(text), TEXT + strlen("{\"parameters\":{\"text\":\"\"}}"));
        free(text);
        heard++;
    }
    assert_int_equal(bench->echoes, CALLS);
    free(call);
    close(fd);
}

static void test_flood_that_nobody_reads_ends_its_call(void **state)
{
    struct bench *bench = *state;
    char *text = malloc(1000001);
    memset(text, 'x', 1000000);
    text[1000000] = '\0';
    int fd = peer_open(bench->path);
    peer_say(bench, fd, "{\"method\":\"io.llmhook.Park\",\"more\":true}");
    char log[512];
    struct listening listening = log_capture();
    int sent = 0;
    while (bench->parked && sent < 100) {
        struct json_object *answer = json_object_new_object();
        json_put_string(answer, "text", text);
        control_continue(bench->parked, answer);
        sent++;
        bench_drain(bench);
    }
    log_captured(listening, log, sizeof log);
    free(text);
    assert_int_equal(bench->cancels, 1);
    assert_in_range(sent, 16, 20); /* about 17 MiB */
    assert_non_null(strstr(log, "does not fit"));
    close(fd);
}

static void test_reply_that_is_not_read_for_a_minute(void **state)
{
    struct bench *bench = *state;
    char *text = malloc(1000001);
    memset(text, 'x', 1000000);
    text[1000000] = '\0';
    int fd = peer_open(bench->path);
    peer_say(bench, fd, "{\"method\":\"io.llmhook.Park\",\"more\":true}");
    struct json_object *answer = json_object_new_object();
    json_put_string(answer, "text", text);
    free(text);
    control_continue(bench->parked, answer);
    bench_drain(bench);
    bench_advance(bench, 59 * 1000);
    bench_drain(bench);
    assert_int_equal(bench->cancels, 0);
    bench_advance(bench, 2 * 1000);
    char log[512];
    struct listening listening = log_capture();
    bench_drain(bench);
    log_captured(listening, log, sizeof log);
    assert_int_equal(bench->cancels, 1);
    assert_non_null(strstr(log, "has not read its reply for 60 s"));
    close(fd);
}

static void test_idle_connections_end_after_a_minute(void **state)
{
    struct bench *bench = *state;
    int idle = peer_open(bench->path), waiting = peer_open(bench->path), dripping = peer_open(bench->path),
        busy = peer_open(bench->path);
    peer_say(bench, waiting, "{\"method\":\"io.llmhook.Park\"}");
    for (int second = 0; second < 61; second++) {
        bench_advance(bench, 1000);
        bench_drain(bench);
        if (second < 58) {
            assert_true(peer_send(bench, dripping, "{", 1)); /* bytes are no sign of life, messages are */
            peer_say(bench, busy, "{\"method\":\"io.llmhook.Mark\"}");
            check_heard(bench, busy, "{\"parameters\":{}}");
            check_silent(bench, idle);
        }
    }
    check_closed(bench, idle);
    check_closed(bench, dripping);
    check_silent(bench, busy);
    check_silent(bench, waiting);
    bench_advance(bench, 3600 * 1000);
    check_closed(bench, busy);
    check_silent(bench, waiting);
    control_reply(bench->parked, NULL);
    check_heard(bench, waiting, "{\"parameters\":{}}");
    bench_drain(bench); /* the minute begins when the server's turn is done */
    bench_advance(bench, 61 * 1000);
    check_closed(bench, waiting);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_bench(test_message_split_at_every_byte),
        on_bench(test_pipelined_calls_are_answered_in_order),
        on_bench(test_longest_message_passes_and_a_longer_one_does_not),
        on_bench(test_malformed_messages_close_their_connection),
        on_bench(test_what_the_interface_does_not_have),
        on_bench(test_what_the_service_does_not_know),
        on_bench(test_service_describes_itself),
        on_bench(test_more_gets_all_replies_and_others_the_last),
        on_bench(test_oneway_is_silent_and_holds_nothing_up),
        on_bench(test_reply_is_valid_utf8_whatever_was_put_in),
        on_bench(test_reply_that_is_too_long_becomes_an_error),
        on_bench(test_peer_that_goes_away_cancels_its_call),
        on_bench(test_peer_that_ends_its_half_gets_its_reply),
        on_bench(test_what_was_sent_before_the_end_counts),
        on_bench(test_calls_that_wait_hold_up_their_sender),
        on_bench(test_slow_reader_is_bounded_and_then_served),
        on_bench(test_flood_that_nobody_reads_ends_its_call),
        on_bench(test_reply_that_is_not_read_for_a_minute),
        on_bench(test_idle_connections_end_after_a_minute),
    };
    return check_run(tests);
}
