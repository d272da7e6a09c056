/* The control client against the real server, against peers that lie, and against nobody. */
#include "control-bench.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/utf8.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- the client --- */

/* One client call in a thread of its own, since it blocks while the loop has to turn. */
struct asking {
    const char *path, *method;
    struct json_object *parameters;
    int64_t timeout_ms;
    bool ok, done;
    struct json_object *reply;
    struct error err;
    pthread_t thread;
};

static void *ask_in_thread(void *context)
{
    struct asking *asking = context;
    struct control_client *client = NULL;
    if (control_client_open(asking->path, &client, &asking->err))
        asking->ok = control_client_call(client, asking->method, asking->parameters, asking->timeout_ms,
                                         &asking->reply, &asking->err);
    control_client_free(client);
    __atomic_store_n(&asking->done, true, __ATOMIC_RELEASE);
    return NULL;
}

static bool asking_done(void *context)
{
    return __atomic_load_n(&((struct asking *)context)->done, __ATOMIC_ACQUIRE);
}

static void ask(struct bench *bench, struct asking *asking)
{
    asking->path = bench->path;
    assert_int_equal(pthread_create(&asking->thread, NULL, ask_in_thread, asking), 0);
    assert_true(bench_until(bench, asking_done, asking));
    pthread_join(asking->thread, NULL);
}

static void test_client_gets_its_reply(void **state)
{
    struct bench *bench = *state;
    char *text = malloc(3000001);
    memset(text, 'y', 3000000);
    text[3000000] = '\0';
    struct json_object *parameters = json_object_new_object();
    json_put_string(parameters, "text", text);
    struct asking asking = {.method = "Echo", .parameters = parameters, .timeout_ms = LIMIT_MS};
    ask(bench, &asking);
    if (!asking.ok)
        fail_msg("%s", asking.err.text);
    struct json_object *echoed = NULL;
    assert_true(json_object_object_get_ex(asking.reply, "text", &echoed));
    assert_string_equal(json_object_get_string(echoed), text);
    free(text);
    json_object_put(asking.reply);

    struct asking info = {.method = "org.varlink.service.GetInfo", .timeout_ms = LIMIT_MS};
    ask(bench, &info);
    assert_true(info.ok);
    char product[32];
    json_optional_string(info.reply, "product", "", product, sizeof product);
    assert_string_equal(product, "llmhookd");
    json_object_put(info.reply);
}

static void test_client_puts_errors_into_words(void **state)
{
    struct bench *bench = *state;
    static const struct {
        const char *name;
        enum error_code code;
        const char *text;
    } cases[] = {
        {"NoSuchDomain", ERROR_NOT_FOUND, "llmhookd knows no domain 'dev-1'"},
        {"AmbiguousDomain", ERROR_NOT_FOUND, "the disk is full"},
        {"NoSuchProvider", ERROR_NOT_FOUND, "llmhookd knows no provider 'openai'"},
        {"NothingToRotate", ERROR_NOT_FOUND, "domain 'dev-1' has no key to replace: the next boot gets a new one anyway"},
        {"NothingToRevoke", ERROR_NOT_FOUND, "domain 'dev-1' has no key to revoke"},
        {"NotPermitted", ERROR_DENIED, "the disk is full"},
        {"Failed", ERROR_IO, "the disk is full"},
        {"org.varlink.service.InvalidParameter", ERROR_INVALID, "llmhookd does not accept 'guests'"},
        {"org.varlink.service.MethodNotFound", ERROR_PROTOCOL,
         "this llmhookd has no method 'Dance': is it another version?"},
        {"Surprise", ERROR_PROTOCOL, "llmhookd answered Refuse with the error io.llmhook.Surprise"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct json_object *parameters = json_object_new_object();
        json_put_string(parameters, "name", cases[i].name);
        struct asking asking = {.method = "Refuse", .parameters = parameters, .timeout_ms = LIMIT_MS};
        ask(bench, &asking);
        assert_false(asking.ok);
        assert_string_equal(asking.err.text, cases[i].text);
        assert_int_equal(asking.err.code, cases[i].code);
        assert_null(asking.reply);
    }
}

static void test_client_gives_up_in_time(void **state)
{
    struct bench *bench = *state;
    struct asking asking = {.method = "Park", .timeout_ms = 150};
    int64_t before = clock_monotonic_ms();
    ask(bench, &asking);
    assert_false(asking.ok);
    check_error(asking.err, ERROR_TIMEOUT, "llmhookd has not answered Park within 150 ms");
    assert_in_range(clock_monotonic_ms() - before, 150, 5000);
    assert_true(bench_until(bench, bench_was_cancelled, bench));
}

static void test_client_says_that_nobody_is_there(void **state)
{
    struct bench *bench = *state;
    struct control_client *client = NULL;
    struct error err = ERROR_INIT;
    char path[128], wanted[256];
    snprintf(path, sizeof path, "%s/none", bench->directory);
    assert_false(control_client_open(path, &client, &err));
    snprintf(wanted, sizeof wanted,
             "llmhookd is not running (there is no %s): start it with `systemctl start llmhookd`; "
             "`llmhook doctor` says what is missing",
             path);
    assert_string_equal(err.text, wanted);
    assert_int_equal(err.code, ERROR_NOT_FOUND);

    close(peer_listen(path, true));
    assert_false(control_client_open(path, &client, &err));
    check_error(err, ERROR_LOST, "llmhookd is not running (nobody listens at ");
    assert_int_equal(unlink(path), 0);
    memset(path, 'x', 120);
    path[120] = '\0';
    assert_false(control_client_open(path, &client, &err));
    check_error(err, ERROR_INVALID, "a socket's path has 1 to 107 bytes");
    assert_null(client);
}

/* Bytes and their number, with and without the NUL that ends a message. */
#define WHOLE(text) text, sizeof text
#define CUT(text) text, sizeof text - 1

#define FIFTY "fifty characters of what one has to know about it. "
#define SIX_HUNDRED FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY

/* A daemon that answers every connection with the same bytes and closes it. */
static void test_client_trusts_no_answer(void **state)
{
    struct bench *bench = *state;
    static const struct {
        const char *bytes;
        size_t length;
        enum error_code code;
        const char *text;
    } cases[] = {
        {"", 0, ERROR_LOST, "llmhookd closed the connection before it answered Status"},
        {CUT("{\"parameters\":{}"), ERROR_LOST, "llmhookd closed the connection before it answered Status"},
        {WHOLE("nonsense"), ERROR_PROTOCOL, "llmhookd's answer to Status: not JSON"},
        {WHOLE("[1]"), ERROR_PROTOCOL, "llmhookd's answer to Status is not an object"},
        {WHOLE("{\"parameters\":3}"), ERROR_PROTOCOL, "llmhookd's answer to Status: field 'parameters' is int"},
        {WHOLE("{\"error\":3}"), ERROR_PROTOCOL, "llmhookd's answer to Status is not one reply"},
        {WHOLE("{\"continues\":true,\"parameters\":{}}"), ERROR_PROTOCOL, "is not one reply"},
        {WHOLE("{\"error\":\"io.llmhook.Failed\"}"), ERROR_PROTOCOL, "with the error io.llmhook.Failed"},
        {WHOLE("{\"error\":\"io.llmhook.Failed\",\"parameters\":{\"reason\":\"" SIX_HUNDRED "\"}}"), ERROR_IO,
         FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY},
        {WHOLE("{\"error\":\"io.llmhook.Failed\",\"parameters\":{\"reason\":7}}"), ERROR_PROTOCOL, "with the error io.llmhook.Failed"},
    };
    char path[128];
    snprintf(path, sizeof path, "%s/fake", bench->directory);
    int listening = peer_listen(path, true);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct asking asking = {.path = path, .method = "Status", .timeout_ms = LIMIT_MS};
        assert_int_equal(pthread_create(&asking.thread, NULL, ask_in_thread, &asking), 0);
        int fd = accept(listening, NULL, NULL);
        char call[256];
        ssize_t count = recv(fd, call, sizeof call, 0);
        assert_int_equal(send(fd, cases[i].bytes, cases[i].length, 0), cases[i].length);
        close(fd);
        pthread_join(asking.thread, NULL);
        assert_int_equal(count, sizeof "{\"method\":\"io.llmhook.Status\",\"parameters\":{}}");
        assert_string_equal(call, "{\"method\":\"io.llmhook.Status\",\"parameters\":{}}");
        assert_false(asking.ok);
        check_error(asking.err, cases[i].code, cases[i].text);
    }
    close(listening);
    unlink(path);
}

static void test_client_stays_good_after_an_error_and_not_after_a_timeout(void **state)
{
    struct bench *bench = *state;
    char path[128];
    snprintf(path, sizeof path, "%s/fake", bench->directory);
    int listening = peer_listen(path, true);
    struct control_client *client = NULL;
    struct error err = ERROR_INIT;
    assert_true(control_client_open(path, &client, &err));
    int fd = accept(listening, NULL, NULL);
    struct json_object *reply = NULL;
    static const char error[] = "{\"error\":\"io.llmhook.Failed\",\"parameters\":{\"reason\":\"no\"}}";
    assert_int_equal(send(fd, error, sizeof error, 0), sizeof error);
    assert_false(control_client_call(client, "Status", NULL, LIMIT_MS, &reply, &err));
    check_error(err, ERROR_IO, "no");
    assert_int_equal(send(fd, "{}", 3, 0), 3);
    assert_true(control_client_call(client, "Status", NULL, LIMIT_MS, &reply, &err));
    assert_int_equal(json_object_object_length(reply), 0);
    json_object_put(reply);
    reply = NULL;
    assert_false(control_client_call(client, "Status", NULL, 20, &reply, &err));
    check_error(err, ERROR_TIMEOUT, "within 20 ms");
    assert_int_equal(send(fd, "{}", 3, 0), 3); /* too late: it must not answer the next call */
    assert_false(control_client_call(client, "Audit", NULL, LIMIT_MS, &reply, &err));
    check_error(err, ERROR_LOST, "before it answered Audit");
    assert_null(reply);
    control_client_free(client);
    close(fd);
    close(listening);
    unlink(path);
}

/* --- characters --- */

static void test_utf8_is_read_strictly(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t length;
        uint32_t character;
    } cases[] = {
        {"a", 1, 'a'},
        {"\xc3\xa9", 2, 0xe9},
        {"\xe2\x82\xac", 3, 0x20ac},
        {"\xf0\x9f\x98\x80", 4, 0x1f600},
        {"\xf4\x8f\xbf\xbf", 4, 0x10ffff},
        {"\xf4\x90\x80\x80", 0, 0}, /* above the last */
        {"\xc0\xaf", 0, 0},         /* overlong */
        {"\xc1\xbf", 0, 0},
        {"\xe0\x9f\xbf", 0, 0},
        {"\xf0\x8f\xbf\xbf", 0, 0},
        {"\xed\xa0\x80", 0, 0}, /* a surrogate */
        {"\x80", 0, 0},
        {"\xc3", 0, 0},
        {"\xe2\x82", 0, 0},
        {"\xc3z", 0, 0},
        {"\xff", 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t character = 0;
        size_t length = utf8_character(cases[i].bytes, strlen(cases[i].bytes), &character);
        if (length != cases[i].length || character != cases[i].character)
            fail_msg("case %zu: %zu bytes, U+%04x", i, length, (unsigned)character);
    }
    static const uint32_t hazards[] = {0, 7, 0x1b, 0x7f, 0x9b, 0x200b, 0x202e, 0x2066, 0xfeff, 0xe0041};
    static const uint32_t harmless[] = {' ', '~', 0xa0, 0xe9, 0x20ac, 0x4e2d, 0x1f600};
    for (size_t i = 0; i < sizeof hazards / sizeof hazards[0]; i++)
        if (!utf8_is_hazard(hazards[i]))
            fail_msg("U+%04x passes", (unsigned)hazards[i]);
    for (size_t i = 0; i < sizeof harmless / sizeof harmless[0]; i++)
        if (utf8_is_hazard(harmless[i]))
            fail_msg("U+%04x does not pass", (unsigned)harmless[i]);
}

static void test_a_line_is_tamed(void **state)
{
    static const struct {
        const char *from, *to;
    } cases[] = {
        {"h\xc3\xa4lt", "h\xc3\xa4lt"},
        {"a\nb\x1b[31m\x7f", "a?b?[31m?"},
        {"\xc2\x9b" "31m", "??31m"},                        /* CSI as one C1 character */
        {"dev\xe2\x80\xae" "1-ved", "dev???1-ved"},        /* from right to left */
        {"\xff\xc3", "??"},                                /* none, and half of one */
        {"", ""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[64];
        snprintf(text, sizeof text, "%s", cases[i].from);
        utf8_tame(text, strlen(text));
        assert_string_equal(text, cases[i].to);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_bench(test_client_gets_its_reply),
        on_bench(test_client_puts_errors_into_words),
        on_bench(test_client_gives_up_in_time),
        on_bench(test_client_says_that_nobody_is_there),
        on_bench(test_client_trusts_no_answer),
        on_bench(test_client_stays_good_after_an_error_and_not_after_a_timeout),
        cmocka_unit_test(test_utf8_is_read_strictly),
        cmocka_unit_test(test_a_line_is_tamed),
    };
    return check_run(tests);
}
