#include "cli/cli.h"

#include "base/buffer.h"
#include "base/json.h"
#include "cli/table.h"
#include "cli/text.h"

#include <stdio.h>
#include <string.h>

enum { ANSWER_MS = 10 * 60 * 1000 }; /* every page of every provider, and with --guests slow guests as well */

/* "foreign": made by somebody else, or for another host. That is worth a line, and is no drift of ours. */
static bool is_drift(struct json_object *row)
{
    const char *verdict = text_field(row, "verdict", "?");
    return strcmp(verdict, "ok") != 0 && strcmp(verdict, "foreign") != 0;
}

static void add_row(const struct cli *cli, struct table *table, struct json_object *row)
{
    cleanup_buffer struct buffer what = TEXT_INIT;
    cleanup_buffer struct buffer why = TEXT_INIT;
    const char *name = text_field(row, "name", ""), *id = text_field(row, "id", "");
    const char *remedy = text_field(row, "remedy", "");
    buffer_printf(&what, "%s%s%s%s", name, name[0] && id[0] ? " (" : "", id, name[0] && id[0] ? ")" : "");
    buffer_append_text(&why, text_field(row, "reason", ""));
    if (remedy[0])
        buffer_printf(&why, "%sremedy: %s", !why.length ? "" : cli->terminal ? "\n" : "; ", remedy);
    table_row(table);
    table_cell(table, text_field(row, "verdict", "?"), is_drift(row) ? "red" : NULL);
    table_cell(table, text_field(row, "kind", ""), NULL);
    table_cell(table, text_field(row, "provider", ""), NULL);
    table_cell(table, text_field(row, "domain", ""), NULL);
    table_cell(table, buffer_text(&what), NULL);
    table_cell(table, buffer_text(&why), NULL);
}

/* Two passes over the rows: what needs somebody first. */
static void print_rows(const struct cli *cli, struct json_object *rows, size_t count)
{
    static const struct table_column columns[] = {{"VERDICT", false}, {"KIND", false}, {"PROVIDER", false},
                                                  {"DOMAIN", true},   {"WHAT", true},  {"REASON", true},
                                                  {NULL, false}};
    struct table *table = table_new(cli, columns);
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < count; i++) {
            struct json_object *row = json_object_array_get_idx(rows, i);
            if (is_drift(row) == (pass == 0))
                add_row(cli, table, row);
        }
    }
    table_print(table);
    table_free(table);
}

static size_t count_drift(struct json_object *rows, size_t count)
{
    size_t drift = 0;
    for (size_t i = 0; i < count; i++)
        drift += is_drift(json_object_array_get_idx(rows, i));
    return drift;
}

static void print_summary(const struct cli *cli, struct json_object *reply, size_t count, size_t drift, bool complete)
{
    size_t problems_count;
    struct json_object *problems = text_list(reply, "problems", &problems_count);
    if (problems_count)
        printf("%sCould not look everywhere:\n", count ? "\n" : "");
    for (size_t i = 0; i < problems_count; i++)
        table_print_line(cli, 2, "", json_object_get_string(json_object_array_get_idx(problems, i)));
    printf("%s%zu looked at, %zu in order, %zu not%s\n", count || problems_count ? "\n" : "", count, count - drift, drift,
           complete ? "" : "; incomplete, so there may be more");
}

static int run(struct cli *cli, const struct cli_verb *verb, int argc, char **argv)
{
    bool guests = false;
    const struct cli_option options[] = {{"guests", &guests, NULL}, {NULL, NULL, NULL}};
    char **words;
    int code;
    if (!cli_options(cli, verb, options, argc, argv, 0, &words, &code))
        return code;
    struct json_object *parameters = json_object_new_object();
    json_put_boolean(parameters, "guests", guests);
    cleanup_json struct json_object *reply = NULL;
    code = cli_ask(cli, "Audit", parameters, ANSWER_MS, &reply);
    if (code != CLI_OK)
        return code;
    size_t count;
    struct json_object *rows = text_list(reply, "rows", &count);
    size_t drift = count_drift(rows, count);
    bool complete = json_optional_boolean(reply, "complete", false);
    if (cli->json) {
        cli_print_json(reply);
    } else {
        print_rows(cli, rows, count);
        print_summary(cli, reply, count, drift, complete);
    }
    /* Drift that was found is certain, whatever else could not be seen. */
    return drift ? CLI_PROBLEM : complete ? CLI_OK : CLI_NO_ANSWER;
}

const struct cli_verb cli_audit = {
    .name = "audit",
    .arguments = "",
    .summary = "compare the providers, the ledger and libvirt; changes nothing",
    .help = "Looks at every key in our namespace at each provider, at the ledger and at\n"
            "libvirt, and says what does not agree, why, and what to do. It only reads.\n\n"
            "  --guests        ask the guests too what they hold\n\n"
            "Exit codes: 0 all agrees; 1 something does not; 2 nothing was found, but not all\n"
            "could be seen.\n",
    .run = run,
};
