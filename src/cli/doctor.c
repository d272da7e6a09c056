#include "cli/doctor.h"

#include "base/buffer.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/table.h"
#include "cli/text.h"
#include "control/control.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ANSWER_MS = 30 * 1000 };

void doctor_add(struct doctor *doctor, const char *name, const char *result, const char *remedy, const char *format, ...)
{
    char detail[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(detail, sizeof detail, format, arguments);
    va_end(arguments);
    struct json_object *check = json_object_new_object();
    json_put_string(check, "name", name);
    json_put_string(check, "result", result);
    json_put_string(check, "detail", detail);
    if (remedy)
        json_put_string(check, "remedy", remedy);
    json_object_array_add(doctor->checks, check);
}

void doctor_path(const struct doctor *doctor, const char *suffix, char path[PATH_MAX])
{
    int length = snprintf(path, PATH_MAX, "%s%s", doctor->root, suffix);
    if (length < 0 || length >= PATH_MAX)
        path[0] = '\0';
}

static void check_user(struct doctor *doctor)
{
    if (geteuid() == 0)
        doctor_add(doctor, "user", DOCTOR_OK, NULL, "running as root");
    else
        doctor_add(doctor, "user", DOCTOR_FAILED, "sudo llmhook doctor",
                   "running as uid %lu, who cannot see most of this", (unsigned long)geteuid());
}

/* What the daemon sees, behind what we saw. Owner of the result: the caller; NULL: it does not answer. */
static struct json_object *ask_daemon(const struct cli *cli, struct error *err)
{
    struct control_client *client = NULL;
    struct json_object *reply = NULL;
    if (!control_client_open(cli->socket, &client, err))
        return NULL;
    bool ok = control_client_call(client, "Doctor", NULL, ANSWER_MS, &reply, err);
    control_client_free(client);
    return ok ? reply : NULL;
}

static void add_daemon(struct doctor *doctor, struct json_object *reply, const struct cli *cli, const struct error *err)
{
    if (!reply) {
        bool absent = err->code == ERROR_NOT_FOUND || err->code == ERROR_LOST;
        doctor_add(doctor, "daemon", DOCTOR_FAILED,
                   err->code == ERROR_DENIED ? "sudo llmhook doctor"
                                             : "systemctl start llmhookd; journalctl -u llmhookd says why it ended",
                   absent ? "llmhookd is not running: nobody answers at %s" : "%s", absent ? cli->socket : err->text);
        return;
    }
    const char *version = text_field(reply, "version", "");
    if (strcmp(version, PACKAGE_VERSION) != 0)
        doctor_add(doctor, "daemon", DOCTOR_WARNING, "systemctl restart llmhookd",
                   "llmhookd answers at %s, but is %s%s, not " PACKAGE_VERSION, cli->socket,
                   version[0] ? "version " : "an earlier version", version);
    else
        doctor_add(doctor, "daemon", DOCTOR_OK, NULL, "llmhookd answers at %s", cli->socket);
    size_t count;
    struct json_object *checks = text_list(reply, "checks", &count);
    for (size_t i = 0; i < count; i++)
        json_object_array_add(doctor->checks, json_object_get(json_object_array_get_idx(checks, i)));
}

static const char *colour_of(const char *result)
{
    if (!strcmp(result, DOCTOR_OK))
        return "green";
    return !strcmp(result, DOCTOR_WARNING) ? "yellow" : "red";
}

/* Returns how many failed. A result that this version does not know counts as a failure. */
static size_t count_results(const struct doctor *doctor, size_t *ret_warnings)
{
    size_t failed = 0;
    *ret_warnings = 0;
    for (size_t i = 0; i < json_object_array_length(doctor->checks); i++) {
        const char *result = text_field(json_object_array_get_idx(doctor->checks, i), "result", "?");
        *ret_warnings += !strcmp(result, DOCTOR_WARNING);
        failed += strcmp(result, DOCTOR_WARNING) != 0 && strcmp(result, DOCTOR_OK) != 0;
    }
    return failed;
}

static void print_checks(const struct cli *cli, const struct doctor *doctor)
{
    static const struct table_column columns[] = {
        {"RESULT", false}, {"CHECK", true}, {"DETAIL", true}, {NULL, false}};
    cli_neutralise(doctor->checks);
    struct table *table = table_new(cli, columns);
    for (size_t i = 0; i < json_object_array_length(doctor->checks); i++) {
        struct json_object *check = json_object_array_get_idx(doctor->checks, i);
        const char *result = text_field(check, "result", "?"), *remedy = text_field(check, "remedy", "");
        cleanup_buffer struct buffer detail = TEXT_INIT;
        buffer_append_text(&detail, text_field(check, "detail", ""));
        if (remedy[0])
            buffer_printf(&detail, "%sremedy: %s", cli->terminal ? "\n" : "; ", remedy);
        table_row(table);
        table_cell(table, result, colour_of(result));
        table_cell(table, text_field(check, "name", "?"), NULL);
        table_cell(table, buffer_text(&detail), NULL);
    }
    table_print(table);
    table_free(table);
}

static int run(struct cli *cli, const struct cli_verb *verb, int argc, char **argv)
{
    struct doctor doctor = {.root = "", .config = "/etc/llmhook/llmhook.conf"};
    const struct cli_option options[] = {
        {"root", NULL, &doctor.root}, {"config", NULL, &doctor.config}, {NULL, NULL, NULL}};
    char **words;
    int code;
    if (!cli_options(cli, verb, options, argc, argv, verb->arguments, &words, &code))
        return code;
    struct error err = ERROR_INIT;
    cleanup_json struct json_object *reply = ask_daemon(cli, &err);
    doctor.daemon_answers = reply != NULL;
    doctor.checks = json_object_new_array();
    check_user(&doctor);
    doctor_check_configuration(&doctor);
    doctor_check_hook(&doctor);
    doctor_check_libvirt(&doctor);
    doctor_check_shutdown(&doctor);
    doctor_check_state(&doctor);
    add_daemon(&doctor, reply, cli, &err);
    cleanup_json struct json_object *answer = json_object_new_object();
    json_put(answer, "checks", doctor.checks);
    size_t warnings, failed = count_results(&doctor, &warnings), all = json_object_array_length(doctor.checks);
    if (cli->json) {
        cli_print_json(answer);
    } else {
        print_checks(cli, &doctor);
        printf("\n%zu checks: %zu ok, %zu warning%s, %zu failed\n", all, all - warnings - failed, warnings,
               warnings == 1 ? "" : "s", failed);
    }
    return failed ? CLI_PROBLEM : CLI_OK;
}

const struct cli_verb cli_doctor = {
    .name = "doctor",
    .arguments = "",
    .summary = "what is missing on this host, each with its remedy",
    .help = "Checks what can be seen without the daemon (the user, the configuration, the\n"
            "hook, libvirtd, how the host shuts down, the state directory, the spool), then\n"
            "asks the daemon for what it sees. Nothing is changed.\n\n"
            "  --config FILE   the configuration to check (/etc/llmhook/llmhook.conf)\n"
            "  --root DIR      look at the system below DIR\n\n"
            "Exit codes: 0 nothing failed (there may be warnings); 1 something did.\n",
    .run = run,
};
