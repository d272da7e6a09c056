/* The drop box: what is sent, in which order, and what is made of the answers. That a real agent and a real guest do as
 * is thought here is shown in tests/agent/ and tests/system/. */
#include "check.h"

#include "qemu-guest-agent/box.h"

#include <stdio.h>
#include <string.h>

#define HANDLE "{\"return\":1000}"
#define CLOSED "{\"return\":{}}"
#define REFUSED "{\"error\":{\"class\":\"GenericError\",\"desc\":\"failed to open file: No such file or directory\"}}"

struct step {
    const char *command; /* the whole of it */
    const char *reply;   /* NULL: the agent is lost */
};

struct agent {
    const struct step *steps;
    size_t count, next;
};

static bool answer(void *context, const struct buffer *command, struct buffer *reply, struct error *err)
{
    struct agent *agent = context;
    if (agent->next == agent->count)
        fail_msg("one more command: %s", buffer_text(command));
    const struct step *step = &agent->steps[agent->next++];
    assert_string_equal(buffer_text(command), step->command);
    buffer_clear(reply);
    if (!step->reply)
        return error_set(err, ERROR_LOST, "the agent went away");
    return buffer_append_text(reply, step->reply);
}

static struct buffer text(const char *content)
{
    struct buffer made = BUFFER_INIT(AGENT_REPLY_MAX);
    assert_true(buffer_append_text(&made, content));
    return made;
}

#define OPEN(path, mode) \
    "{\"execute\":\"guest-file-open\",\"arguments\":{\"path\":\"/run/llmhook.box/" path "\",\"mode\":\"" mode "\"}}"
/* "llmhook-box-1 a.1 deliver 4" and "key" */
#define WRITE                                                                      \
    "{\"execute\":\"guest-file-write\",\"arguments\":{\"handle\":1000,\"buf-b64\":" \
    "\"bGxtaG9vay1ib3gtMSBhLjEgZGVsaXZlciA0CmtleQo=\"}}"
#define WRITTEN "{\"return\":{\"count\":32,\"eof\":false}}"
#define CLOSE "{\"execute\":\"guest-file-close\",\"arguments\":{\"handle\":1000}}"
#define READ "{\"execute\":\"guest-file-read\",\"arguments\":{\"handle\":1000,\"count\":40000}}"

static void what_is_put_there_is_whole_before_it_is_announced(void **state)
{
    (void)state;
    static const struct {
        struct step steps[5];
        size_t count;
        bool ok, none;
        enum error_code code;
        const char *piece;
    } rows[] = {
        {{{OPEN("in", "r+"), HANDLE}, {WRITE, WRITTEN}, {CLOSE, CLOSED}, {OPEN("ready", "w"), HANDLE}, {CLOSE, CLOSED}},
         5, true, false, ERROR_NONE, ""},
        /* Nothing has left us. */
        {{{OPEN("in", "r+"), REFUSED}}, 1, false, true, ERROR_DENIED, "No such file"},
        {{{OPEN("in", "r+"), NULL}}, 1, false, false, ERROR_LOST, "went away"},
        /* Nothing is announced. */
        {{{OPEN("in", "r+"), HANDLE}, {WRITE, "{\"return\":{\"count\":31,\"eof\":false}}"}, {CLOSE, CLOSED}},
         3, false, false, ERROR_IO, "the guest took 31 of 32 bytes into its drop box"},
        {{{OPEN("in", "r+"), HANDLE}, {WRITE, REFUSED}, {CLOSE, CLOSED}}, 3, false, false, ERROR_DENIED, "No such file"},
        {{{OPEN("in", "r+"), HANDLE}, {WRITE, WRITTEN}, {CLOSE, REFUSED}}, 3, false, false, ERROR_DENIED, "No such file"},
        {{{OPEN("in", "r+"), HANDLE}, {WRITE, NULL}, {CLOSE, NULL}}, 3, false, false, ERROR_LOST, "went away"},
        {{{OPEN("in", "r+"), HANDLE}, {WRITE, WRITTEN}, {CLOSE, CLOSED}, {OPEN("ready", "w"), REFUSED}},
         4, false, false, ERROR_DENIED, "No such file"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct agent agent = {rows[i].steps, rows[i].count, 0};
        struct error err = ERROR_INIT;
        cleanup_buffer struct buffer input = text("key\n");
        bool none = true;
        assert_int_equal(box_put(answer, &agent, "a.1", "deliver", &input, &none, &err), rows[i].ok);
        assert_int_equal(agent.next, rows[i].count);
        assert_int_equal(none, rows[i].none);
        if (!rows[i].ok)
            check_error(err, rows[i].code, rows[i].piece);
    }
}

static void an_answer_is_looked_for_and_every_file_closed(void **state)
{
    (void)state;
    /* "llmhook-box-1 a.1 0 2" and "hi", in one piece and in two */
    static const char one[] = "{\"return\":{\"count\":24,\"buf-b64\":\"bGxtaG9vay1ib3gtMSBhLjEgMCAyCmhp\",\"eof\":true}}";
    static const char first[] = "{\"return\":{\"count\":21,\"buf-b64\":\"bGxtaG9vay1ib3gtMSBhLjEgMCAy\",\"eof\":false}}";
    static const char second[] = "{\"return\":{\"count\":3,\"buf-b64\":\"Cmhp\",\"eof\":true}}";
    static const struct {
        struct step steps[5];
        size_t count;
        bool ok, exited;
        enum error_code code;
        const char *piece;
    } rows[] = {
        {{{OPEN("out", "r"), REFUSED}}, 1, true, false, ERROR_NONE, ""},
        {{{OPEN("out", "r"), NULL}}, 1, false, false, ERROR_LOST, "went away"},
        {{{OPEN("out", "r"), HANDLE}, {READ, one}, {CLOSE, CLOSED}}, 3, true, true, ERROR_NONE, "hi"},
        {{{OPEN("out", "r"), HANDLE}, {READ, one}, {CLOSE, REFUSED}}, 3, true, true, ERROR_NONE, "hi"},
        {{{OPEN("out", "r"), HANDLE}, {READ, first}, {READ, second}, {CLOSE, CLOSED}}, 4, true, true, ERROR_NONE, "hi"},
        {{{OPEN("out", "r"), HANDLE}, {READ, first}, {READ, first}, {READ, first}, {CLOSE, CLOSED}},
         5, false, false, ERROR_LIMIT, "too long"},
        {{{OPEN("out", "r"), HANDLE}, {READ, CLOSED}, {CLOSE, CLOSED}}, 3, false, false, ERROR_PROTOCOL, "'eof' is missing"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct agent agent = {rows[i].steps, rows[i].count, 0};
        struct error err = ERROR_INIT;
        cleanup_agent_status struct agent_status status = AGENT_STATUS_INIT;
        assert_int_equal(box_look(answer, &agent, "a.1", &status, &err), rows[i].ok);
        assert_int_equal(agent.next, rows[i].count);
        assert_int_equal(status.exited, rows[i].exited);
        if (rows[i].ok)
            assert_string_equal(buffer_text(&status.out), rows[i].piece);
        else
            check_error(err, rows[i].code, rows[i].piece);
    }
}

static void answers_are_read_strictly(void **state)
{
    (void)state;
    static const struct {
        const char *content;
        bool ok, exited;
        int code;
        const char *out, *err;
    } rows[] = {
        {"llmhook-box-1 a.1 0 2\nhi", true, true, 0, "hi", ""},
        {"llmhook-box-1 a.1 24 0\nno space", true, true, 24, "", "no space"},
        {"llmhook-box-1 a.1 255 3\nhi\nbad\n", true, true, 255, "hi\n", "bad\n"},
        /* Somebody else's, an earlier one's, or not whole: it is looked again. */
        {"", true, false, 0, "", ""},
        {"llmhook-box-1 a.1 0 0", true, false, 0, "", ""},
        {"llmhook-box-1 a.11 0 0\n", true, false, 0, "", ""},
        {"llmhook-box-1 b.1 0 0\n", true, false, 0, "", ""},
        {"llmhook-box-2 a.1 0 0\n", true, false, 0, "", ""},
        {"\nllmhook-box-1 a.1 0 0\n", true, false, 0, "", ""},
        /* Ours, and wrong. */
        {"llmhook-box-1 a.1 0 3\nhi", false, false, 0, "", ""},
        {"llmhook-box-1 a.1 256 0\n", false, false, 0, "", ""},
        {"llmhook-box-1 a.1 -1 0\n", false, false, 0, "", ""},
        {"llmhook-box-1 a.1 0 -1\n", false, false, 0, "", ""},
        {"llmhook-box-1 a.1 +0 0\n", false, false, 0, "", ""},
        {"llmhook-box-1 a.1 00 0\n", false, false, 0, "", ""},
        {"llmhook-box-1 a.1 0  0\n", false, false, 0, "", ""},
        {"llmhook-box-1 a.1 0 0 \n", false, false, 0, "", ""},
        {"llmhook-box-1 a.1 0\n", false, false, 0, "", ""},
        {"llmhook-box-1 a.1 0 1000000000\n", false, false, 0, "", ""},
        {"llmhook-box-1 a.1 \n", false, false, 0, "", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct error err = ERROR_INIT;
        cleanup_agent_status struct agent_status status = AGENT_STATUS_INIT;
        cleanup_buffer struct buffer content = text(rows[i].content);
        if (box_parse(&content, "a.1", &status, &err) != rows[i].ok || status.exited != rows[i].exited)
            fail_msg("%s: %s", rows[i].content, status.exited ? "taken for an answer" : err.text);
        if (!rows[i].ok)
            check_error(err, ERROR_PROTOCOL, "the first line of the drop box's answer");
        assert_int_equal(status.code, rows[i].code);
        assert_string_equal(buffer_text(&status.out), rows[i].out);
        assert_string_equal(buffer_text(&status.err), rows[i].err);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_put_there_is_whole_before_it_is_announced),
        cmocka_unit_test(an_answer_is_looked_for_and_every_file_closed),
        cmocka_unit_test(answers_are_read_strictly),
    };
    return check_run(tests);
}
