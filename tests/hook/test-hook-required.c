/* The real hook and a domain that requires a key: when it waits, for how long, when it fails the start and with which
 * words, and that nothing else ever fails. */
#include "../unit/check.h"

#include "hook-world.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NO_KEY "llmhook: dev-1 requires an LLM key and none could be had: "
#define NOT_RUNNING NO_KEY "llmhookd is not running; start it with `systemctl start llmhookd`\n"
#define SILENT NO_KEY "llmhookd does not answer; see `systemctl status llmhookd`, or restart it with `systemctl " \
                      "restart llmhookd`\n"
#define LOST NO_KEY "llmhookd went away before it answered; see `systemctl status llmhookd`\n"
#define GARBLED NO_KEY "llmhookd's answer is not understood; see `journalctl -u llmhookd`, and that hook and daemon " \
                       "are of one version\n"

/* --- a key that is required --- */

static void test_refused(void **state)
{
    static const char *const scripts[] = {REFUSED, NULL};
    struct event_server *server = start_server(scripts);
    (void)state;
    struct hook_outcome outcome = run("prepare", &plain);
    check_failed(&outcome, NO_KEY "OpenAI says \"no money\"; add some\n");
    check_time(&outcome, 0, HANDOVER_MS);
    check_heard(server, 1, "prepare", PLAIN);
    spooled(NULL);
}

static void test_refused_without_reason(void **state)
{
    static const char *const scripts[] = {"{\"parameters\":{\"verdict\":\"refused\"}}", NULL};
    struct event_server *server = start_server(scripts);
    (void)state;
    struct hook_outcome outcome = run("prepare", &plain);
    check_failed(&outcome, NO_KEY "llmhookd says no more; see `journalctl -u llmhookd`\n");
    check_heard(server, 1, "prepare", PLAIN);
}

static void test_sentence_stays_one_line(void **state)
{
    static const char *const scripts[] = {
        "{\"parameters\":{\"verdict\":\"refused\",\"reason\":\"a\\nb\\u001b[31mc\\u007f\\u009b1m\\u202ed\u00e9\"}}", NULL};
    static const char *const arguments[] = {"x\ny", "prepare", "begin", "-", NULL};
    struct event_server *server = start_server(scripts);
    (void)state;
    struct hook_outcome outcome = run_arguments(arguments, &plain);
    check_failed(&outcome, "llmhook: x?y requires an LLM key and none could be had: a?b?[31mc???1m???d\u00e9\n");
    event_server_stop(server);
    event_server_free(server);
}

static void test_wait_then_accepted(void **state)
{
    static const char *const scripts[] = {WAIT(2000) "\npause 350\n" ACCEPTED, NULL};
    struct event_server *server = start_server(scripts);
    (void)state;
    struct hook_outcome outcome = run("prepare", &plain);
    check_quiet(&outcome);
    check_time(&outcome, 350, 350);
    check_heard(server, 1, "prepare", PLAIN);
    spooled(NULL);
}

static void test_wait_then_refused(void **state)
{
    static const char *const scripts[] = {WAIT(2000) "\npause 300\n" REFUSED, NULL};
    struct event_server *server = start_server(scripts);
    (void)state;
    struct hook_outcome outcome = run("prepare", &plain);
    check_failed(&outcome, NO_KEY "OpenAI says \"no money\"; add some\n");
    check_time(&outcome, 300, 300);
    check_heard(server, 1, "prepare", PLAIN);
}

static void test_wait_then_nothing(void **state)
{
    static const char *const scripts[] = {WAIT(300), NULL};
    struct event_server *server = start_server(scripts);
    (void)state;
    struct hook_outcome outcome = run("prepare", &plain);
    check_failed(&outcome, SILENT);
    check_time(&outcome, 490, 500);
    check_spooled(ENTRY, "prepare", PLAIN);
    check_heard(server, 1, "prepare", PLAIN);
}

static void test_second_wait_moves_nothing(void **state)
{
    static const char *const scripts[] = {WAIT(100) "\npause 100\n" WAIT(5000), NULL};
    struct event_server *server = start_server(scripts);
    (void)state;
    struct hook_outcome outcome = run("prepare", &plain);
    check_failed(&outcome, SILENT);
    check_time(&outcome, 290, 300);
    check_heard(server, 1, "prepare", PLAIN);
}

static void test_endless_waits(void **state)
{
    static const char *const scripts[] = {"nag " WAIT(100), NULL};
    struct event_server *server = start_server(scripts);
    (void)state;
    struct hook_outcome outcome = run("prepare", &plain);
    check_failed(&outcome, SILENT);
    check_time(&outcome, 290, 300);
    check_heard(server, 1, "prepare", PLAIN);
}

static void test_daemon_restarts_during_the_wait(void **state)
{
    static const char *const scripts[] = {WAIT(3000) "\npause 100\nclose", WAIT(3000) "\nclose", "{}", ACCEPTED, NULL};
    struct event_server *server = start_server(scripts);
    (void)state;
    struct hook_outcome outcome = run("prepare", &plain);
    check_quiet(&outcome);
    check_time(&outcome, 250, 250);
    check_heard(server, 4, "prepare", PLAIN);
    spooled(NULL); /* what was kept meanwhile has arrived */
}

static void test_wait_counts_for_prepare_only(void **state)
{
    static const char *const scripts[] = {WAIT(5000), NULL};
    (void)state;
    for (size_t i = 1; i < OPERATIONS; i++) {
        struct event_server *server = start_server(scripts);
        struct hook_outcome outcome = run(all_operations[i], &requiring);
        check_quiet(&outcome);
        check_time(&outcome, 0, HANDOVER_MS);
        check_heard(server, 1, all_operations[i], REQUIRING);
    }
    spooled(NULL);
}

static void test_required_and_daemon_absent(void **state)
{
    (void)state;
    write_file("/var/lib/llmhook/required", "deadline 400\n");
    struct hook_outcome outcome = run("prepare", &requiring);
    check_failed(&outcome, NOT_RUNNING);
    check_time(&outcome, 395, 400);
    check_spooled(ENTRY, "prepare", REQUIRING);
}

static void test_required_and_daemon_hangs(void **state)
{
    static const char *const scripts[] = {"", NULL};
    struct event_server *server = start_server(scripts);
    (void)state;
    write_file("/var/lib/llmhook/required", "deadline 500\n");
    struct hook_outcome outcome = run("prepare", &requiring);
    check_failed(&outcome, SILENT);
    check_time(&outcome, 495, 500);
    check_spooled(ENTRY, "prepare", REQUIRING);
    /* Once within the 200 ms, once for the rest: a daemon that hangs is not buried under events. */
    check_heard(server, 2, "prepare", REQUIRING);
}

static void test_required_and_no_sense_in_the_answer(void **state)
{
    static const struct {
        const char *script, *sentence;
    } rows[] = {{"{}", GARBLED}, {"{\"error\":\"io.llmhook.Failed\"}", GARBLED}, {"close", LOST}};
    (void)state;
    write_file("/var/lib/llmhook/required", "deadline 200\n");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *const scripts[] = {rows[i].script, NULL};
        struct event_server *server = start_server(scripts);
        struct hook_outcome outcome = run("prepare", &requiring);
        check_failed(&outcome, rows[i].sentence);
        check_time(&outcome, 195, 200);
        event_server_stop(server);
        event_server_free(server);
    }
}

/* No state directory, so no file that moves the deadline: the daemon's first start may just be under way. */
static void test_required_and_not_set_up(void **state)
{
    char path[PATH_MAX];
    struct event_server *server = start_behaviour((struct event_behaviour){.appears_after_ms = 300});
    (void)state;
    world_path(path, "/var/lib/llmhook");
    assert_int_equal(rmdir(path), 0);
    struct hook_outcome outcome = run("prepare", &requiring);
    check_quiet(&outcome);
    check_time(&outcome, 280, 300 + 50);
    check_heard(server, 1, "prepare", REQUIRING);
    assert_int_equal(access(path, F_OK), -1);
}

static void test_required_and_daemon_appears(void **state)
{
    struct event_server *server = start_behaviour((struct event_behaviour){.appears_after_ms = 300});
    (void)state;
    write_file("/var/lib/llmhook/required", "deadline 5000\n");
    struct hook_outcome outcome = run("prepare", &requiring);
    check_quiet(&outcome);
    check_time(&outcome, 280, 300 + 50);
    check_heard(server, 1, "prepare", REQUIRING);
    spooled(NULL);
}

static void test_required_and_daemon_appears_to_refuse(void **state)
{
    static const char *const scripts[] = {WAIT(1000) "\npause 100\n" REFUSED, NULL};
    struct event_behaviour behaviour = {.scripts = scripts, .appears_after_ms = 100};
    struct event_server *server = start_behaviour(behaviour);
    (void)state;
    write_file("/var/lib/llmhook/required", "deadline 5000\n");
    struct hook_outcome outcome = run("prepare", &requiring);
    check_failed(&outcome, NO_KEY "OpenAI says \"no money\"; add some\n");
    check_heard(server, 1, "prepare", REQUIRING);
    spooled(NULL);
}

static void test_required_by_name(void **state)
{
    static const struct {
        const char *file;
        bool required;
    } rows[] = {
        {"deadline 150\nname dev-*\n", true},
        {"name x\nname dev-?\nname y\ndeadline 150", true},
        {"name dev-1\ndeadline 150\n", true},
        {"name [a-d]ev-1\ndeadline 150\n", true},
        {"", false},
        {"deadline 150\n", false},
        {"deadline 150\nname prod-*\n", false},
        {"deadline 150\nname dev\n", false},
        {"deadline 150\nname DEV-1\n", false},
        {"deadline 150\ndev-1\n", false},
        {"deadline 150\nnamedev-1\nsomething dev-*\n", false},
        {"deadline 150\nname dev-* \n", false}, /* the blank belongs to the pattern */
        /* the first that matches counts, as it does for the daemon */
        {"free dev-1\nname dev-*\ndeadline 150\n", false},
        {"own dev-1\nname dev-*\ndeadline 150\n", false}, /* and gives none */
        {"free dev-2\nown prod-*\nname dev-*\nfree *\ndeadline 150\n", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        write_file("/var/lib/llmhook/required", rows[i].file);
        struct hook_outcome outcome = run("prepare", &plain);
        if (rows[i].required)
            check_failed(&outcome, NOT_RUNNING);
        else
            check_quiet(&outcome);
        check_time(&outcome, rows[i].required ? 145 : 0, rows[i].required ? 150 : HANDOVER_MS);
    }
}

#define OWN(attributes, keys) "<domain><metadata><vm xmlns='urn:llmhook:vm:1'" attributes ">" keys "</vm></metadata></domain>"
#define KEY "<key provider='openai'/>"

/* As the daemon resolves them: what the domain's own element says comes first. */
static void test_required_by_name_and_own_element(void **state)
{
    static const struct {
        const char *policy, *xml;
        bool required;
    } rows[] = {
        {"name", OWN("", ""), false}, /* wants none, whatever the policies say */
        {"name", OWN(" required='yes'", ""), false},
        {"name", OWN(" required='no'", KEY), false},
        {"name", OWN("", KEY), true},
        {"own", OWN("", KEY), true},
        {"own", OWN(" required='no'", KEY), false},
        {"own", OWN("", ""), false},
        {"free", OWN("", KEY), false},
        {"free", OWN(" required='yes'", KEY), true},
        {"free", OWN(" required='yes'", ""), false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct hook_setting setting = {.xml = rows[i].xml, .xml_length = strlen(rows[i].xml)};
        char file[64];
        snprintf(file, sizeof file, "deadline 150\n%s dev-*\n", rows[i].policy);
        write_file("/var/lib/llmhook/required", file);
        struct hook_outcome outcome = run("prepare", &setting);
        if ((outcome.status == 1) != rows[i].required)
            fail_msg("%s dev-*, exit status %d: %s", rows[i].policy, outcome.status, rows[i].xml);
        if (rows[i].required)
            check_failed(&outcome, NOT_RUNNING);
    }
}

static void test_deadline_that_makes_no_sense(void **state)
{
    static const char *const rows[] = {"deadline -1\n", "deadline 1x\n", "deadline \n", "deadline 600001\n",
                                       "deadline 99999999999999999999\n", "deadline\n"};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        /* The default of 10 s is in force: the daemon that comes after 300 ms is still waited for. */
        struct event_server *server = start_behaviour((struct event_behaviour){.appears_after_ms = 300});
        write_file("/var/lib/llmhook/required", rows[i]);
        struct hook_outcome outcome = run("prepare", &requiring);
        check_quiet(&outcome);
        check_time(&outcome, 280, 350);
        event_server_stop(server);
        event_server_free(server);
    }
}

static void test_deadline_of_nothing(void **state)
{
    (void)state;
    write_file("/var/lib/llmhook/required", "deadline 0\n");
    struct hook_outcome outcome = run("prepare", &requiring);
    check_failed(&outcome, NOT_RUNNING);
    check_time(&outcome, 0, 10);
}

/* --- XML that is long in coming --- */

static void test_late_xml_is_waited_for(void **state)
{
    struct hook_setting setting = {.xml = PLAIN, .xml_length = sizeof PLAIN - 1, .late_ms = 400};
    struct event_server *server = start_accepting();
    (void)state;
    write_file("/var/lib/llmhook/required", "deadline 5000\nname dev-*\n");
    struct hook_outcome outcome = run("prepare", &setting);
    check_quiet(&outcome);
    check_time(&outcome, 390, 400 + HANDOVER_MS);
    check_heard(server, 1, "prepare", PLAIN);
    spooled(NULL);
}

static void test_late_xml_says_that_nothing_is_required(void **state)
{
    static const char xml[] = OWN(" required='no'", KEY);
    struct hook_setting setting = {.xml = xml, .xml_length = sizeof xml - 1, .late_ms = 300};
    (void)state;
    write_file("/var/lib/llmhook/required", "deadline 5000\nname dev-*\n");
    struct hook_outcome outcome = run("prepare", &setting);
    check_quiet(&outcome);
    check_time(&outcome, 290, 300 + HANDOVER_MS);
}

/* The daemon may know the domain, and has its time all the same. */
static void test_xml_that_never_comes(void **state)
{
    static const char *const scripts[] = {"pause 50\n" REFUSED, NULL};
    struct hook_setting setting = {.input = INPUT_ENDLESS, .xml = PLAIN, .xml_length = sizeof PLAIN - 1};
    struct event_server *server = start_server(scripts);
    (void)state;
    write_file("/var/lib/llmhook/required", "deadline 400\nname dev-*\n");
    struct hook_outcome outcome = run("prepare", &setting);
    check_failed(&outcome, NO_KEY "OpenAI says \"no money\"; add some\n");
    check_time(&outcome, 440, 400 + HANDOVER_MS);
    check_heard(server, 1, "prepare", "");
}

static void test_xml_that_never_comes_and_no_daemon(void **state)
{
    struct hook_setting setting = {.input = INPUT_ENDLESS};
    (void)state;
    write_file("/var/lib/llmhook/required", "deadline 400\nname dev-*\n");
    struct hook_outcome outcome = run("prepare", &setting);
    check_failed(&outcome, NOT_RUNNING);
    check_time(&outcome, 395, 400 + HANDOVER_MS);
    check_spooled(NAMED_ENTRY, "prepare", "");
}

/* Nobody is kept for what need not be known. */
static void test_late_xml_of_others_is_not_waited_for(void **state)
{
    static const char *const files[] = {"deadline 5000\n", "deadline 5000\nfree dev-*\nname *\n", "deadline 5000\nown *\n"};
    struct hook_setting setting = {.input = INPUT_ENDLESS, .xml = PLAIN, .xml_length = sizeof PLAIN - 1};
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct event_server *server = start_accepting();
        write_file("/var/lib/llmhook/required", files[i]);
        struct hook_outcome outcome = run("prepare", &setting);
        check_quiet(&outcome);
        check_time(&outcome, 90, HANDOVER_MS);
        check_heard(server, 1, "prepare", "");
    }
    write_file("/var/lib/llmhook/required", "deadline 5000\nname *\n");
    struct event_server *server = start_accepting();
    struct hook_outcome outcome = run("start", &setting);
    check_quiet(&outcome);
    check_time(&outcome, 90, HANDOVER_MS);
    check_heard(server, 1, "start", "");
}

/* --- what must never fail --- */

static void check_never_fails(const char *operation)
{
    static const char *const scripts[] = {REFUSED,  "", "close", "{}", "{\"error\":\"x\"}", WAIT(5000) "\n" REFUSED,
                                          "raw no", NULL};
    struct hook_outcome outcome = run(operation, &requiring);
    check_quiet(&outcome);
    check_time(&outcome, 0, HANDOVER_MS);
    for (size_t i = 0; scripts[i]; i++) {
        const char *const one[] = {scripts[i], NULL};
        struct event_server *server = start_server(one);
        outcome = run(operation, &requiring);
        check_quiet(&outcome);
        check_time(&outcome, 0, HANDOVER_MS);
        check_heard(server, 1, operation, REQUIRING);
    }
}

static void test_only_prepare_may_fail(void **state)
{
    (void)state;
    write_file("/var/lib/llmhook/required", "deadline 5000\nname *\n");
    for (size_t i = 1; i < OPERATIONS; i++)
        check_never_fails(all_operations[i]);
}

static void test_nobody_reads_the_complaint(void **state)
{
    struct hook_setting setting = requiring;
    (void)state;
    setting.stderr_broken = true;
    write_file("/var/lib/llmhook/spool", "");
    write_file("/var/lib/llmhook/required", "deadline 50\n");
    struct hook_outcome outcome = run("reconnect", &setting);
    assert_int_equal(outcome.status, 0);
    outcome = run("prepare", &setting);
    assert_int_equal(outcome.status, 1);
}

static void test_session(void **state)
{
    struct hook_setting setting = requiring;
    struct event_server *server = start_accepting();
    (void)state;
    setting.user = "1000";
    for (size_t i = 0; i < OPERATIONS; i++) {
        struct hook_outcome outcome = run(all_operations[i], &setting);
        check_quiet(&outcome);
        assert_int_equal(outcome.unread, sizeof REQUIRING - 1);
    }
    event_server_stop(server);
    assert_int_equal(event_server_connections(server), 0);
    event_server_free(server);
    struct hook_outcome outcome = run("prepare", &setting);
    check_quiet(&outcome);
    spooled(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        hook_test(test_refused),
        hook_test(test_refused_without_reason),
        hook_test(test_sentence_stays_one_line),
        hook_test(test_wait_then_accepted),
        hook_test(test_wait_then_refused),
        hook_test(test_wait_then_nothing),
        hook_test(test_second_wait_moves_nothing),
        hook_test(test_endless_waits),
        hook_test(test_daemon_restarts_during_the_wait),
        hook_test(test_wait_counts_for_prepare_only),
        hook_test(test_required_and_daemon_absent),
        hook_test(test_required_and_daemon_hangs),
        hook_test(test_required_and_no_sense_in_the_answer),
        hook_test(test_required_and_not_set_up),
        hook_test(test_required_and_daemon_appears),
        hook_test(test_required_and_daemon_appears_to_refuse),
        hook_test(test_required_by_name),
        hook_test(test_required_by_name_and_own_element),
        hook_test(test_deadline_that_makes_no_sense),
        hook_test(test_deadline_of_nothing),
        hook_test(test_late_xml_is_waited_for),
        hook_test(test_late_xml_says_that_nothing_is_required),
        hook_test(test_xml_that_never_comes),
        hook_test(test_xml_that_never_comes_and_no_daemon),
        hook_test(test_late_xml_of_others_is_not_waited_for),
        hook_test(test_only_prepare_may_fail),
        hook_test(test_nobody_reads_the_complaint),
        hook_test(test_session),
    };
    return check_run(tests);
}
