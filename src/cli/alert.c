#include "cli/cli.h"

#include "base/json.h"
#include "cli/table.h"
#include "cli/text.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { ANSWER_MS = 10 * 1000, TEST_MS = 60 * 1000 };

static void append_waiting(struct buffer *text, struct json_object *alert)
{
    size_t count;
    struct json_object *waiting = text_list(alert, "waiting", &count);
    for (size_t i = 0; i < count; i++)
        buffer_printf(text, "%s%s", i ? ", " : "", json_object_get_string(json_object_array_get_idx(waiting, i)));
}

static void print_alerts(const struct cli *cli, struct json_object *alerts, size_t count)
{
    static const struct table_column columns[] = {{"SINCE", false},    {"ALERT", false}, {"DOMAIN", false},
                                                  {"PROVIDER", false}, {"WHAT", true},   {"NOT TOLD", false}, {NULL, false}};
    struct table *table = table_new(cli, columns);
    for (size_t i = 0; i < count; i++) {
        struct json_object *alert = json_object_array_get_idx(alerts, i);
        cleanup_buffer struct buffer since = TEXT_INIT;
        cleanup_buffer struct buffer waiting = TEXT_INIT;
        text_append_ago(&since, json_optional_integer(alert, "raised_at", 0), (int64_t)time(NULL) * 1000);
        append_waiting(&waiting, alert);
        table_row(table);
        table_cell(table, buffer_text(&since), NULL);
        table_cell(table, text_field(alert, "kind", "?"), "yellow");
        table_cell(table, text_field(alert, "domain", ""), NULL);
        table_cell(table, text_field(alert, "provider", ""), NULL);
        table_cell(table, text_field(alert, "text", ""), NULL);
        table_cell(table, buffer_text(&waiting), waiting.length ? "red" : NULL);
    }
    table_print(table);
    table_free(table);
}

/* Alerts are no news of this command's: its exit code says whether it could tell. */
static int list(struct cli *cli)
{
    cleanup_json struct json_object *reply = NULL;
    int code = cli_ask(cli, "Alerts", NULL, ANSWER_MS, &reply);
    if (code != CLI_OK)
        return code;
    size_t count;
    struct json_object *alerts = text_list(reply, "alerts", &count);
    if (cli->json)
        cli_print_json(reply);
    else if (count)
        print_alerts(cli, alerts, count);
    else
        puts("There is nothing to be alarmed about.");
    return CLI_OK;
}

static int test(struct cli *cli)
{
    cleanup_json struct json_object *reply = NULL;
    int code = cli_ask(cli, "AlertTest", NULL, TEST_MS, &reply);
    if (code != CLI_OK)
        return code;
    size_t count;
    struct json_object *results = text_list(reply, "results", &count);
    if (cli->json)
        cli_print_json(reply);
    for (size_t i = 0; i < count; i++) {
        struct json_object *result = json_object_array_get_idx(results, i);
        const char *problem = text_field(result, "problem", "");
        if (!cli->json)
            printf("%-8s %s\n", text_field(result, "sink", "?"), problem[0] ? problem : "told");
        if (problem[0])
            code = CLI_PROBLEM;
    }
    return code;
}

static int run(struct cli *cli, const struct cli_verb *verb, int argc, char **argv)
{
    char **words;
    int code;
    if (!cli_options(cli, verb, NULL, argc, argv, verb->arguments, &words, &code))
        return code;
    if (!strcmp(words[0], "list"))
        return list(cli);
    if (!strcmp(words[0], "test"))
        return test(cli);
    cli_complain("it is `llmhook alert list` or `llmhook alert test`");
    return CLI_USAGE;
}

const struct cli_verb cli_alert = {
    .name = "alert",
    .arguments = "WHAT",
    .summary = "list: what is wrong now; test: see whether alerts arrive",
    .help = "  alert list  what is wrong now, and who has not heard of it yet\n"
            "  alert test  send one to the journal and to everybody that [alerts] in\n"
            "              llmhook.conf names, and say whether it was taken\n\n"
            "Exit codes of test: 0 all were told; 1 somebody was not.\n\n",
    .run = run,
};
