/* The real hook against a real socket: what it hands over, what it keeps in the spool, and that it never takes longer
 * than it may. */
#include "../unit/check.h"

#include "hook-world.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* --- handing over --- */

static void test_every_operation_is_handed_over(void **state)
{
    (void)state;
    for (size_t i = 0; i < OPERATIONS; i++) {
        struct event_server *server = start_accepting();
        struct hook_outcome outcome = run(all_operations[i], &plain);
        check_quiet(&outcome);
        check_time(&outcome, 0, HANDOVER_MS);
        check_heard(server, 1, all_operations[i], PLAIN);
        spooled(NULL);
    }
}

static void test_other_operations_are_not(void **state)
{
    static const char *const operations[] = {"attach", "", "prepared", "prepar", "--version", "Prepare"};
    struct event_server *server = start_accepting();
    (void)state;
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
        struct hook_outcome outcome = run(operations[i], &requiring);
        check_quiet(&outcome);
    }
    check_heard(server, 0, NULL, NULL);
    spooled(NULL);
}

static void test_arguments_as_they_are(void **state)
{
    static const char *const rows[][5] = {
        {"-rf", "release", "end", "from snapshot", NULL},
        {"--version", "start", "begin", "-", NULL},
        {"a \"quoted\\\" n\xC3\xA4me\n", "started", "begin", "", NULL},
        {"", "stopped", "end", "-", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct event_server *server = start_accepting();
        struct hook_outcome outcome = run_arguments(rows[i], &plain);
        size_t length;
        check_quiet(&outcome);
        event_server_stop(server);
        check_message(event_server_last(server, &length), rows[i], PLAIN);
        event_server_free(server);
    }
}

static void test_wrong_number_of_arguments(void **state)
{
    static const char *const rows[][6] = {
        {NULL},
        {"dev-1", NULL},
        {"dev-1", "prepare", "begin", NULL},
        {"dev-1", "prepare", "begin", "-", "-", NULL},
    };
    struct event_server *server = start_accepting();
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct hook_outcome outcome = run_arguments(rows[i], &plain);
        check_quiet(&outcome);
    }
    check_heard(server, 0, NULL, NULL);
}

/* Of exactly LENGTH bytes. Owner: the caller. */
static char *large_xml(size_t length)
{
    static const char head[] = "<domain><uuid>" UUID "</uuid><description>\n";
    char *xml = malloc(length + 1);
    assert_non_null(xml);
    for (size_t i = 0; i < length; i++)
        xml[i] = i % 97 == 0 ? '\n' : i % 89 == 0 ? '"' : (char)('a' + i % 26);
    memcpy(xml, head, sizeof head - 1);
    xml[length] = '\0';
    return xml;
}

enum { LARGE_TRIES = 100 };

/* XML of LENGTH bytes is handed over, itself or (WANTED is empty) left out. On a busy machine megabytes may take more
 * time than the hook has: then it leaves them out, or the event is in the spool. That is right, and is tried again. */
static void check_large(const char *xml, size_t length, const char *wanted)
{
    static const char *const arguments[] = {"dev-1", "start", "begin", "-"};
    bool done = false;
    for (int i = 0; i < LARGE_TRIES && !done; i++) {
        struct event_server *server = start_accepting();
        struct hook_outcome outcome = run("start", &(struct hook_setting){.xml = xml, .xml_length = length});
        size_t arrived;
        check_quiet(&outcome);
        event_server_stop(server);
        const char *message = event_server_last(server, &arrived);
        if (event_server_heard(server) == 0)
            free(spooled(ENTRY));
        else if (*wanted == '\0' || arrived > length) {
            check_message(message, arguments, wanted);
            done = true;
        }
        event_server_free(server);
    }
    assert_true(done);
}

static void test_huge_xml(void **state)
{
    size_t length = 7 * 1024 * 1024;
    char *xml = large_xml(length);
    (void)state;
    check_large(xml, length, xml);
    free(xml);
}

static void test_xml_at_the_bound(void **state)
{
    size_t bound = 8 * 1024 * 1024;
    char *xml = large_xml(bound + 1);
    (void)state;
    check_large(xml, bound + 1, "");
    xml[bound] = '\0';
    check_large(xml, bound, xml);
    free(xml);
}

static void test_xml_too_large_once_escaped_is_left_out(void **state)
{
    size_t length = 3 * 1024 * 1024;
    char *xml = large_xml(length);
    (void)state;
    memset(xml + 100, 1, length - 100); /* becomes 18 MiB, the daemon takes 16 */
    check_large(xml, length, "");
    free(xml);
}

static void test_no_xml(void **state)
{
    static const enum hook_input inputs[] = {INPUT_TEXT, INPUT_NONE, INPUT_CLOSED};
    (void)state;
    for (size_t i = 0; i < sizeof inputs / sizeof inputs[0]; i++) {
        struct event_server *server = start_accepting();
        struct hook_outcome outcome = run("prepare", &(struct hook_setting){.input = inputs[i]});
        check_quiet(&outcome);
        check_heard(server, 1, "prepare", "");
    }
}

static void test_endless_input(void **state)
{
    struct hook_setting setting = {.input = INPUT_ENDLESS, .xml = PLAIN, .xml_length = sizeof PLAIN - 1};
    struct event_server *server = start_accepting();
    (void)state;
    struct hook_outcome outcome = run("start", &setting);
    check_quiet(&outcome);
    check_time(&outcome, 90, HANDOVER_MS);
    check_heard(server, 1, "start", "");
}

/* --- the spool --- */

static void test_absent_daemon(void **state)
{
    char path[PATH_MAX];
    struct stat status;
    (void)state;
    struct hook_outcome outcome = run("start", &plain);
    check_quiet(&outcome);
    check_best_time("start", &plain, 0); /* it does not wait for a daemon that is not there */
    check_spooled(ENTRY, "start", PLAIN);
    world_path(path, "/var/lib/llmhook/spool");
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode, S_IFDIR | 0700);
}

static void test_socket_that_nobody_listens_at(void **state)
{
    char path[PATH_MAX];
    char aside[PATH_MAX];
    struct event_server *server = start_accepting();
    (void)state;
    world_path(path, "/run/llmhookd/socket");
    world_path(aside, "/run/llmhookd/aside");
    assert_int_equal(link(path, aside), 0);
    event_server_stop(server);
    event_server_free(server);
    assert_int_equal(rename(aside, path), 0); /* as a killed daemon leaves it */
    struct hook_outcome outcome = run("start", &plain);
    check_quiet(&outcome);
    check_spooled(ENTRY, "start", PLAIN);
}

static void test_newest_event_replaces_older(void **state)
{
    (void)state;
    for (size_t i = 0; i < OPERATIONS; i++) {
        struct hook_outcome outcome = run(all_operations[i], &plain);
        check_quiet(&outcome);
        check_spooled(ENTRY, all_operations[i], PLAIN);
    }
}

static void test_spool_without_uuid(void **state)
{
    (void)state;
    struct hook_outcome outcome = run("start", &(struct hook_setting){.input = INPUT_NONE});
    check_quiet(&outcome);
    check_spooled(NAMED_ENTRY, "start", "");
}

static int64_t boot_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* TEXT says that the hook was called between FROM and now, and in BOOT (NULL: it does not say in which). */
static void check_called(const char *text, int64_t from, const char *boot)
{
    struct json_object *message = json_tokener_parse(text), *parameters = NULL, *at = NULL, *said = NULL;
    assert_true(json_object_object_get_ex(message, "parameters", &parameters));
    assert_true(json_object_object_get_ex(parameters, "at", &at));
    if (json_object_get_int64(at) < from || json_object_get_int64(at) > boot_ms())
        fail_msg("called at %lld, not between %lld and %lld", (long long)json_object_get_int64(at), (long long)from,
                 (long long)boot_ms());
    assert_int_equal(json_object_object_get_ex(parameters, "boot", &said), boot != NULL);
    if (boot)
        assert_string_equal(json_object_get_string(said), boot);
    json_object_put(message);
}

static void test_when_it_was_called(void **state)
{
    struct event_server *server = start_accepting();
    int64_t from = boot_ms();
    size_t length;
    (void)state;
    struct hook_outcome outcome = run("release", &plain);
    check_quiet(&outcome);
    event_server_stop(server);
    check_called(event_server_last(server, &length), from, NULL);
    event_server_free(server);
}

static void test_spool_says_in_which_boot(void **state)
{
    static const char *const directories[] = {"/proc", "/proc/sys", "/proc/sys/kernel", "/proc/sys/kernel/random"};
    static const char boot[] = "b5c02a9e-7ea4-4a3c-8f0b-2e1d8d6f1c11";
    char path[PATH_MAX];
    int64_t from = boot_ms();
    (void)state;
    struct hook_outcome outcome = run("release", &plain);
    check_quiet(&outcome);
    char *text = spooled(ENTRY);
    check_called(text, from, "unknown");
    free(text);
    for (size_t i = 0; i < sizeof directories / sizeof directories[0]; i++) {
        world_path(path, directories[i]);
        assert_int_equal(mkdir(path, 0755), 0);
    }
    write_file("/proc/sys/kernel/random/boot_id", "b5c02a9e-7ea4-4a3c-8f0b-2e1d8d6f1c11\n");
    outcome = run("release", &plain);
    check_quiet(&outcome);
    text = spooled(ENTRY);
    check_called(text, from, boot);
    free(text);
    check_spooled(ENTRY, "release", PLAIN);
}

#define BOOT_FILE "/run/llmhookd/boot/" UUID ".env"
#define BOOTING "<domain type='kvm'><name>dev-1</name><uuid>" UUID "</uuid><sysinfo type='fwcfg'>" \
                "<entry name='opt/io.systemd.credentials/llmhook.env' file='" BOOT_FILE "'/></sysinfo></domain>"
static const struct hook_setting booting = {.input = INPUT_TEXT, .xml = BOOTING, .xml_length = sizeof BOOTING - 1};

static void check_boot_file(off_t size)
{
    char path[PATH_MAX];
    struct stat status;
    world_path(path, BOOT_FILE);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode, S_IFREG | 0600);
    assert_int_equal(status.st_size, size);
}

static void check_no_boot_file(void)
{
    char path[PATH_MAX];
    world_path(path, BOOT_FILE);
    assert_int_equal(access(path, F_OK), -1);
}

/* QEMU does not start without it, so it is there without a daemon too. */
static void test_boot_credential_without_daemon(void **state)
{
    char path[PATH_MAX];
    struct stat status;
    (void)state;
    world_path(path, "/run/llmhookd");
    assert_int_equal(rmdir(path), 0); /* as after a boot of the host */
    struct hook_outcome outcome = run("prepare", &booting);
    check_quiet(&outcome);
    check_boot_file(0);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode, S_IFDIR | 0755);
    world_path(path, "/run/llmhookd/boot");
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode, S_IFDIR | 0711);
    check_best_time("prepare", &booting, 0);
}

static void test_boot_credential_comes_and_goes(void **state)
{
    static const char *const ends[] = {"started", "stopped", "release"};
    static const char *const others[] = {"start", "restore", "migrate", "reconnect"};
    struct event_server *server = start_accepting();
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct hook_outcome outcome = run("prepare", &booting);
        check_quiet(&outcome);
        check_boot_file(0);
        write_file(BOOT_FILE, "KEY=x");
        for (size_t j = 0; j < 4; j++) {
            outcome = run(others[j], &booting);
            check_quiet(&outcome);
            check_boot_file(5);
        }
        outcome = run(ends[i], &booting);
        check_quiet(&outcome);
        check_no_boot_file();
    }
    event_server_stop(server);
    event_server_free(server);
}

/* What a start before this one has left is not for this one. */
static void test_boot_credential_is_made_anew(void **state)
{
    struct event_server *server = start_accepting();
    (void)state;
    struct hook_outcome outcome = run("prepare", &booting);
    write_file(BOOT_FILE, "KEY=x");
    outcome = run("prepare", &booting);
    check_quiet(&outcome);
    check_boot_file(0);
    event_server_stop(server);
    event_server_free(server);
}

/* The daemon fills it before it says yes; what it wrote without saying so may be half of it. */
static void test_boot_credential_of_a_daemon_that_says_yes(void **state)
{
    static const char *const says[][2] = {{ACCEPTED, NULL}, {"", NULL}};
    char path[PATH_MAX];
    (void)state;
    world_path(path, BOOT_FILE);
    for (size_t i = 0; i < 2; i++) {
        struct event_server *server = start_behaviour((struct event_behaviour){.scripts = says[i], .fills = path});
        struct hook_outcome outcome = run("prepare", &booting);
        check_quiet(&outcome);
        check_boot_file(i == 0 ? 5 : 0);
        event_server_stop(server);
        event_server_free(server);
    }
}

static void run_late(const char *operation, int late_ms)
{
    struct hook_setting late = booting;
    late.late_ms = late_ms;
    struct hook_outcome outcome = run(operation, &late);
    check_quiet(&outcome);
    check_time(&outcome, 90, HANDOVER_MS);
}

/* `prepare` has not had the XML, so it could not make what QEMU does not start without. */
static void test_boot_credential_is_made_by_start(void **state)
{
    struct event_server *server = start_accepting();
    (void)state;
    run_late("prepare", 400);
    check_no_boot_file();
    struct hook_outcome outcome = run("start", &booting);
    check_quiet(&outcome);
    check_boot_file(0);
    event_server_stop(server);
    event_server_free(server);
}

/* The size of the file when OPERATION's XML was late, and it was BEFORE (NULL: not there); -1: it is not there. On a busy machine
 * the XML may come so early that it is not late, or when it is no use any more: then it is tried again. */
static off_t late_leaves(const char *operation, const char *before, off_t wanted)
{
    enum { TRIES = 10 };
    char path[PATH_MAX];
    struct stat status;
    off_t size = -2;
    world_path(path, BOOT_FILE);
    for (unsigned i = 0; i < TRIES && size != wanted; i++) {
        unlink(path);
        if (before)
            write_file(BOOT_FILE, before);
        run_late(operation, 120);
        size = stat(path, &status) < 0 ? -1 : status.st_size;
    }
    return size;
}

/* XML that comes after the daemon has been told is still good for the file; what that one has filled stays. */
static void test_boot_credential_of_late_xml(void **state)
{
    static const char *const begins[] = {"prepare", "start"}, *const ends[] = {"started", "stopped", "release"};
    struct event_server *server = start_accepting();
    (void)state;
    struct hook_outcome outcome = run("prepare", &booting); /* which makes the folder */
    check_quiet(&outcome);
    for (size_t i = 0; i < COUNT(begins); i++) {
        assert_int_equal(late_leaves(begins[i], NULL, 0), 0);
        assert_int_equal(late_leaves(begins[i], "KEY=x", 5), 5);
    }
    for (size_t i = 0; i < COUNT(ends); i++)
        assert_int_equal(late_leaves(ends[i], "KEY=x", -1), -1);
    event_server_stop(server);
    event_server_free(server);
}

static void test_no_boot_credential(void **state)
{
    (void)state;
    struct hook_outcome outcome = run("prepare", &plain);
    check_quiet(&outcome);
    check_no_boot_file();
}

static void test_not_set_up(void **state)
{
    char path[PATH_MAX];
    (void)state;
    world_path(path, "/var/lib/llmhook");
    assert_int_equal(rmdir(path), 0);
    struct hook_outcome outcome = run("start", &plain);
    check_quiet(&outcome);
    assert_int_equal(access(path, F_OK), -1);
}

static void test_hanging_daemon(void **state)
{
    static const char *const scripts[] = {"", NULL};
    struct event_server *server = start_server(scripts);
    (void)state;
    struct hook_outcome outcome = run("start", &plain);
    check_quiet(&outcome);
    check_time(&outcome, HANDOVER_MS - 10, HANDOVER_MS);
    check_spooled(ENTRY, "start", PLAIN);
    check_best_time("start", &plain, HANDOVER_MS);
    check_heard(server, 1 + BEST_OF, "start", PLAIN);
}

static void test_deaf_daemon(void **state)
{
    size_t length = 4 * 1024 * 1024; /* more than a socket holds */
    char *xml = large_xml(length);
    struct event_server *server = start_behaviour((struct event_behaviour){.deaf = 1});
    (void)state;
    struct hook_outcome outcome = run("start", &(struct hook_setting){.xml = xml, .xml_length = length});
    check_quiet(&outcome);
    check_time(&outcome, HANDOVER_MS - 10, HANDOVER_MS);
    check_spooled(ENTRY, "start", xml);
    check_heard(server, 0, NULL, NULL);
    free(xml);
}

static void test_full_queue(void **state)
{
    struct event_server *server = start_behaviour((struct event_behaviour){.deaf = 2});
    (void)state;
    struct hook_outcome outcome = run("start", &plain);
    check_quiet(&outcome);
    check_time(&outcome, HANDOVER_MS - 10, HANDOVER_MS);
    check_spooled(ENTRY, "start", PLAIN);
    event_server_stop(server);
    event_server_free(server);
}

static void test_answers_that_are_none(void **state)
{
    static const struct {
        const char *script;
        int64_t at_least;
    } rows[] = {
        {"{\"error\":\"io.llmhook.NotPermitted\",\"parameters\":{\"reason\":\"no\"}}", 0},
        {"{}", 0},
        {"raw accepted\nclose", 0},
        {"close", 0},
        {"flood", 0},
        {"raw {\"parameters\":{\"verdict\":\"accepted\"}}", HANDOVER_MS - 10}, /* no NUL: not the whole answer */
        {"raw {\npause 80\nraw \"\npause 80\nraw p\npause 80\nraw a\npause 80\nraw r", HANDOVER_MS - 10},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *const scripts[] = {rows[i].script, NULL};
        struct event_server *server = start_server(scripts);
        struct hook_outcome outcome = run("started", &plain);
        check_quiet(&outcome);
        check_time(&outcome, rows[i].at_least, HANDOVER_MS);
        check_spooled(ENTRY, "started", PLAIN);
        check_heard(server, 1, "started", PLAIN);
    }
}

static void test_spool_that_fails(void **state)
{
    char entry[PATH_MAX];
    char line[PATH_MAX + 256];
    (void)state;
    world_path(entry, "/var/lib/llmhook/spool/." ENTRY ".");
    write_file("/var/lib/llmhook/spool", "");
    struct hook_outcome outcome = run("start", &plain);
    assert_int_equal(outcome.status, 0);
    assert_string_equal(outcome.out, "");
    snprintf(line, sizeof line, "llmhook: an event of dev-1 was not kept for llmhookd, which finds the domain itself "
             "when it starts: create %s", entry);
    assert_memory_equal(outcome.err, line, strlen(line));
    assert_non_null(strstr(outcome.err, ": Not a directory\n"));
    assert_int_equal(strchr(outcome.err, '\n') - outcome.err, strlen(outcome.err) - 1);
}

static void test_disk_that_takes_nothing(void **state)
{
    struct hook_setting setting = plain;
    (void)state;
    setting.no_file_content = true;
    struct hook_outcome outcome = run("reconnect", &setting);
    assert_int_equal(outcome.status, 0);
    assert_string_equal(outcome.out, "");
    assert_non_null(strstr(outcome.err, "was not kept for llmhookd"));
    assert_non_null(strstr(outcome.err, ": File too large\n"));
    spooled(NULL); /* nothing half-written either */
}

static void test_closed_streams_do_not_reach_the_spool(void **state)
{
    struct hook_setting setting = {.input = INPUT_CLOSED, .streams_closed = true};
    (void)state;
    struct hook_outcome outcome = run("start", &setting);
    check_quiet(&outcome);
    check_spooled(NAMED_ENTRY, "start", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        hook_test(test_every_operation_is_handed_over),
        hook_test(test_other_operations_are_not),
        hook_test(test_arguments_as_they_are),
        hook_test(test_wrong_number_of_arguments),
        hook_test(test_huge_xml),
        hook_test(test_xml_at_the_bound),
        hook_test(test_xml_too_large_once_escaped_is_left_out),
        hook_test(test_no_xml),
        hook_test(test_endless_input),
        hook_test(test_absent_daemon),
        hook_test(test_socket_that_nobody_listens_at),
        hook_test(test_newest_event_replaces_older),
        hook_test(test_spool_without_uuid),
        hook_test(test_when_it_was_called),
        hook_test(test_spool_says_in_which_boot),
        hook_test(test_boot_credential_without_daemon),
        hook_test(test_boot_credential_comes_and_goes),
        hook_test(test_boot_credential_is_made_anew),
        hook_test(test_boot_credential_of_a_daemon_that_says_yes),
        hook_test(test_boot_credential_is_made_by_start),
        hook_test(test_boot_credential_of_late_xml),
        hook_test(test_no_boot_credential),
        hook_test(test_not_set_up),
        hook_test(test_hanging_daemon),
        hook_test(test_deaf_daemon),
        hook_test(test_full_queue),
        hook_test(test_answers_that_are_none),
        hook_test(test_spool_that_fails),
        hook_test(test_disk_that_takes_nothing),
        hook_test(test_closed_streams_do_not_reach_the_spool),
    };
    return check_run(tests);
}
