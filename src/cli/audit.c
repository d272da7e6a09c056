#include "cli/cli.h"

#include "base/buffer.h"
#include "base/json.h"
#include "cli/table.h"
#include "cli/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* For one sign of life: every guest, and a page of a provider's list. With nobody at a terminal there is only the end. */
enum { ANSWER_MS = 10 * 60 * 1000 };

/* What was made by somebody else, or for another host, is worth a line, and is no drift of ours. */
static bool is_drift(struct json_object *row)
{
    static const char *const others[] = {"ok", "another host's", "not ours"};
    const char *verdict = text_field(row, "verdict", "?");
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (strcmp(verdict, others[i]) == 0)
            return false;
    return true;
}

static bool was_fixed(struct json_object *row)
{
    return json_optional_boolean(row, "fixed", false);
}

static void append_what(struct buffer *text, struct json_object *row)
{
    const char *name = text_field(row, "name", ""), *id = text_field(row, "id", "");
    buffer_printf(text, "%s%s%s%s", name, name[0] && id[0] ? " (" : "", id, name[0] && id[0] ? ")" : "");
}

static void add_row(const struct cli *cli, struct table *table, struct json_object *row)
{
    cleanup_buffer struct buffer what = TEXT_INIT;
    cleanup_buffer struct buffer why = TEXT_INIT;
    const char *remedy = text_field(row, "remedy", "");
    append_what(&what, row);
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
    for (size_t i = 0; i < count; i++) {
        struct json_object *row = json_object_array_get_idx(rows, i);
        drift += is_drift(row) && !was_fixed(row);
    }
    return drift;
}

/* How many. */
static size_t print_problems(const struct cli *cli, struct json_object *reply, bool apart)
{
    size_t count;
    struct json_object *problems = text_list(reply, "problems", &count);
    if (count)
        printf("%sCould not look everywhere:\n", apart ? "\n" : "");
    for (size_t i = 0; i < count; i++)
        table_print_line(cli, 2, "", json_object_get_string(json_object_array_get_idx(problems, i)));
    return count;
}

static void print_summary(const struct cli *cli, struct json_object *reply, size_t count, size_t drift, bool complete)
{
    size_t problems_count = print_problems(cli, reply, count > 0);
    printf("%s%zu looked at, %zu in order, %zu not%s\n", count || problems_count ? "\n" : "", count, count - drift, drift,
           complete ? "" : "; incomplete, so there may be more");
}

/* --- progress --- */

struct progress {
    bool shown;
};

static void clear_progress(struct progress *progress)
{
    if (progress->shown)
        fprintf(stderr, "\r\033[K");
    progress->shown = false;
}

static void show_progress(void *context, struct json_object *parameters)
{
    struct progress *progress = context;
    struct json_object *now;
    if (!json_get_object(parameters, "progress", &now, NULL))
        return;
    cleanup_buffer struct buffer provider = TEXT_INIT;
    text_append_safe(&provider, text_field(now, "provider", "?"));
    fprintf(stderr, "\r\033[K%s: %" PRId64 " pages read, %" PRId64 " found", buffer_text(&provider),
            json_optional_integer(now, "requests", 0), json_optional_integer(now, "found", 0));
    fflush(stderr);
    progress->shown = true;
}

static int ask(struct cli *cli, const char *method, struct json_object *parameters, struct json_object **ret_reply)
{
    struct progress progress = {false};
    const char *type = getenv("TERM");
    bool terminal = isatty(STDERR_FILENO) && !(type && !strcmp(type, "dumb"));
    int code = cli_ask_more(cli, method, parameters, ANSWER_MS, terminal ? show_progress : NULL, &progress, ret_reply);
    clear_progress(&progress);
    return code;
}

/* --- mending --- */

static struct json_object *fixable(struct json_object *rows, size_t count)
{
    struct json_object *wanted = json_object_new_array();
    for (size_t i = 0; i < count; i++) {
        struct json_object *row = json_object_array_get_idx(rows, i);
        if (is_drift(row) && text_field(row, "fix", "")[0])
            json_object_array_add(wanted, json_object_get(row));
    }
    return wanted;
}

/* LABEL: the field that says what would be, or was, done. */
static void print_plan(const struct cli *cli, struct json_object *rows, const char *title, const char *label, bool fixed)
{
    bool begun = false;
    for (size_t i = 0; i < json_object_array_length(rows); i++) {
        struct json_object *row = json_object_array_get_idx(rows, i);
        cleanup_buffer struct buffer line = TEXT_INIT;
        if (!text_field(row, label, "")[0] || (fixed && !json_has(row, "fixed")))
            continue;
        if (!begun)
            printf("\n%s\n", title);
        begun = true;
        buffer_printf(&line, "%s %s ", text_field(row, "verdict", "?"), text_field(row, "kind", "?"));
        append_what(&line, row);
        buffer_printf(&line, ": %s%s%s", text_field(row, "fix", ""), fixed ? ": " : "",
                      fixed ? text_field(row, label, "") : "");
        table_print_line(cli, 2, "", buffer_text(&line));
    }
}

/* After a look that found REPLY's rows: shows what would be done, asks, and has it done. *REPLY becomes the answer to
 * that. False: nothing was done. */
static bool mend(struct cli *cli, bool guests, bool yes, struct json_object **reply, int *ret_code)
{
    size_t count;
    struct json_object *rows = text_list(*reply, "rows", &count);
    cleanup_json struct json_object *wanted = fixable(rows, count);
    size_t wanted_count = json_object_array_length(wanted);
    char question[96];
    if (!wanted_count)
        return false;
    if (!cli->json)
        print_plan(cli, wanted, "To be done:", "fix", false);
    fflush(stdout); /* what is shown comes before what is asked */
    if (!yes && !isatty(STDIN_FILENO)) {
        cli_complain("nobody is there to confirm, so nothing is done: say --yes to have it done without being asked");
        *ret_code = CLI_PROBLEM;
        return false;
    }
    if (!yes && cli->json) { /* what nobody has been shown nobody can confirm */
        cli_complain("with --json nobody is asked, so nothing is done: say --yes");
        *ret_code = CLI_PROBLEM;
        return false;
    }
    snprintf(question, sizeof question, "Do %s now?", wanted_count == 1 ? "this" : "these");
    if (!yes && !cli_confirmed(question)) {
        cli_complain("nothing was done");
        *ret_code = CLI_PROBLEM;
        return false;
    }
    struct json_object *parameters = json_object_new_object(), *answer = NULL;
    json_put_boolean(parameters, "guests", guests);
    json_put(parameters, "rows", json_object_get(wanted));
    *ret_code = ask(cli, "AuditFix", parameters, &answer);
    if (*ret_code != CLI_OK)
        return false;
    json_object_put(*reply);
    *reply = answer;
    return true;
}

static int verdict(size_t drift, bool complete)
{
    /* Drift that was found is certain, whatever else could not be seen. */
    return drift ? CLI_PROBLEM : complete ? CLI_OK : CLI_NO_ANSWER;
}

static void print_found(struct cli *cli, struct json_object *reply)
{
    size_t count;
    struct json_object *rows = text_list(reply, "rows", &count);
    print_rows(cli, rows, count);
    print_summary(cli, reply, count, count_drift(rows, count), json_optional_boolean(reply, "complete", false));
}

static void print_mended(struct cli *cli, struct json_object *reply)
{
    size_t count;
    struct json_object *rows = text_list(reply, "rows", &count);
    size_t left = count_drift(rows, count);
    bool complete = json_optional_boolean(reply, "complete", false);
    print_plan(cli, rows, "Done, as far as it still was as shown:", "result", true);
    print_problems(cli, reply, true);
    if (left)
        printf("\n%zu left%s; `llmhook audit` shows %s\n", left, complete ? "" : " at least", left == 1 ? "it" : "them");
    else if (!complete) /* what was shown may be there still, and have been left alone */
        printf("\nIt is not known whether anything is left: what could not be seen was not mended either. Run it again.\n");
    else
        printf("\nNothing is left; the providers follow, `llmhook audit` tells when they have.\n");
}

static int run(struct cli *cli, const struct cli_verb *verb, int argc, char **argv)
{
    bool guests = false, fix = false, yes = false;
    const struct cli_option options[] = {
        {"guests", &guests, NULL}, {"guest", &guests, NULL}, {"fix", &fix, NULL}, {"yes", &yes, NULL}, {NULL, NULL, NULL}};
    char **words;
    int code;
    if (!cli_options(cli, verb, options, argc, argv, verb->arguments, &words, &code))
        return code;
    struct json_object *parameters = json_object_new_object();
    json_put_boolean(parameters, "guests", guests);
    cleanup_json struct json_object *reply = NULL;
    code = ask(cli, "Audit", parameters, &reply);
    if (code != CLI_OK)
        return code;
    if (!cli->json)
        print_found(cli, reply);
    bool mended = fix && mend(cli, guests, yes, &reply, &code);
    if (mended && !cli->json)
        print_mended(cli, reply);
    if (cli->json)
        cli_print_json(reply);
    if (code != CLI_OK)
        return code;
    size_t count;
    struct json_object *rows = text_list(reply, "rows", &count);
    return verdict(count_drift(rows, count), json_optional_boolean(reply, "complete", false));
}

const struct cli_verb cli_audit = {
    .name = "audit",
    .arguments = "",
    .summary = "compare the providers, the ledger and libvirt; --fix mends",
    .help = "Looks at every key in our namespace at each provider, at the ledger and at\n"
            "libvirt, and says what does not agree, why, and what to do. It only reads,\n"
            "unless told to mend. What is another host's or not ours is never touched.\n\n"
            "  --guests        ask the guests too what they hold\n"
            "  --fix           show what would be done about it, ask, and do it\n"
            "  --yes           with --fix: do not ask\n\n"
            "Exit codes: 0 all agrees, or was mended; 1 something does not; 2 nothing was\n"
            "found, but not all could be seen.\n",
    .run = run,
};
