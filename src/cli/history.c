#include "cli/history.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "base/json.h"
#include "cli/table.h"
#include "cli/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ANSWER_MS = 30 * 1000, PAGE = 2000 };

/* "90m", "2h", "3d": so long ago. */
static bool read_ago(const char *text, int64_t *ret_ms)
{
    static const struct {
        const char *unit;
        int64_t ms;
    } units[] = {{"s", 1000}, {"m", 60000}, {"min", 60000}, {"h", 3600000}, {"d", 86400000}, {"w", 604800000}};
    char *end;
    size_t digits = strspn(text, "0123456789");
    if (!digits || digits > 6)
        return false;
    int64_t count = strtoll(text, &end, 10);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strcmp(end, units[i].unit) == 0) {
            *ret_ms = clock_wall_ms() - count * units[i].ms;
            return true;
        }
    return false;
}

/* "2026-11-24", "2026-11-24 13:05", "2026-11-24 13:05:10", local time. */
static bool read_date(const char *text, int64_t *ret_ms)
{
    static const char *const formats[] = {"%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d"};
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        struct tm when = {.tm_isdst = -1};
        const char *end = strptime(text, formats[i], &when);
        if (!end || *end)
            continue;
        when.tm_isdst = -1;
        time_t seconds = mktime(&when);
        *ret_ms = (int64_t)seconds * 1000;
        return seconds != (time_t)-1;
    }
    return false;
}

static void append_date(struct buffer *text, int64_t at)
{
    char when[64];
    time_t seconds = (time_t)(at / 1000);
    struct tm local;
    if (!localtime_r(&seconds, &local) || !strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &local))
        snprintf(when, sizeof when, "?");
    buffer_append_text(text, when);
}

void history_print_events(const struct cli *cli, struct json_object *events, int64_t now)
{
    static const struct table_column columns[] = {{"WHEN", false}, {"EVENT", true},  {"PROVIDER", false}, {"KEY", false},
                                                  {"BY", false},   {"CAUSE", true}, {NULL, false}};
    size_t count = events ? json_object_array_length(events) : 0;
    struct table *table = table_new(cli, columns);
    for (size_t i = 0; i < count; i++) {
        struct json_object *event = json_object_array_get_idx(events, i);
        cleanup_buffer struct buffer when = TEXT_INIT;
        cleanup_buffer struct buffer key = TEXT_INIT;
        int64_t at = json_optional_integer(event, "at", 0);
        if (now)
            text_append_ago(&when, at, now);
        else
            append_date(&when, at);
        if (json_has(event, "generation"))
            buffer_printf(&key, "%" PRId64, json_optional_integer(event, "generation", 0));
        table_row(table);
        table_cell(table, buffer_text(&when), NULL);
        table_cell(table, text_field(event, "event", "?"), NULL);
        table_cell(table, text_field(event, "provider", ""), NULL);
        table_cell(table, buffer_text(&key), NULL);
        table_cell(table, text_field(event, "actor", ""), NULL);
        table_cell(table, text_field(event, "cause", ""), NULL);
    }
    table_print(table);
    table_free(table);
}

/* Page by page, into WHOLE: the first page's reply with everybody's events. */
static int gather(struct cli *cli, const char *domain, int64_t since, struct json_object **ret_whole)
{
    struct json_object *whole = NULL, *all = NULL;
    char uuid[64] = "";
    int64_t next = 0;
    for (;;) {
        size_t count;
        cleanup_json struct json_object *reply = NULL;
        struct json_object *parameters = json_object_new_object();
        /* The following pages of the same one, whatever is called so by then. */
        json_put_string(parameters, "domain", uuid[0] ? uuid : domain);
        if (since)
            json_put_integer(parameters, "since", since);
        if (next)
            json_put_integer(parameters, "after", next);
        json_put_integer(parameters, "limit", PAGE);
        int code = cli_ask(cli, "History", parameters, ANSWER_MS, &reply);
        if (code != CLI_OK) {
            json_object_put(whole);
            return code;
        }
        struct json_object *events = text_list(reply, "events", &count);
        if (!whole) {
            whole = json_object_new_object();
            all = json_object_new_array();
            size_t others_count;
            struct json_object *others = text_list(reply, "others", &others_count);
            json_put_string(whole, "uuid", text_field(reply, "uuid", ""));
            json_put(whole, "others", others ? json_object_get(others) : json_object_new_array());
            json_put(whole, "events", all);
            json_optional_string(reply, "uuid", "", uuid, sizeof uuid);
        }
        for (size_t i = 0; i < count; i++)
            json_object_array_add(all, json_object_get(json_object_array_get_idx(events, i)));
        if (json_has(reply, "chain_problem"))
            json_put_string(whole, "chain_problem", text_field(reply, "chain_problem", ""));
        int64_t before = next;
        next = json_optional_integer(reply, "next", 0);
        if (next <= before) {
            *ret_whole = whole;
            return CLI_OK;
        }
    }
}

static int run(struct cli *cli, const struct cli_verb *verb, int argc, char **argv)
{
    const char *from = NULL;
    int64_t since = 0;
    const struct cli_option options[] = {{"since", NULL, &from}, {NULL, NULL, NULL}};
    char **words;
    int code;
    if (!cli_options(cli, verb, options, argc, argv, verb->arguments, &words, &code))
        return code;
    if (from && !read_ago(from, &since) && !read_date(from, &since)) {
        cli_complain("--since takes how long ago (90m, 2h, 3d) or a date (2026-11-24, '2026-11-24 13:05')");
        return CLI_USAGE;
    }
    cleanup_json struct json_object *whole = NULL;
    code = gather(cli, words[0], since, &whole);
    if (code != CLI_OK)
        return code;
    size_t count, others_count;
    struct json_object *events = text_list(whole, "events", &count), *others = text_list(whole, "others", &others_count);
    const char *broken = text_field(whole, "chain_problem", "");
    if (cli->json) {
        cli_print_json(whole);
    } else {
        if (count)
            history_print_events(cli, events, 0);
        else
            printf("Nothing has happened%s.\n", since ? " since then" : "");
        for (size_t i = 0; i < others_count; i++)
            printf("%sAnother domain had that name: %s\n", i ? "" : "\n",
                   json_object_get_string(json_object_array_get_idx(others, i)));
    }
    if (!broken[0])
        return CLI_OK;
    cleanup_buffer struct buffer line = TEXT_INIT;
    buffer_printf(&line, "the journal was changed by somebody else, do not trust it: %s", broken);
    cli_complain(buffer_text(&line));
    return CLI_PROBLEM;
}

const struct cli_verb cli_history = {
    .name = "history",
    .arguments = "DOMAIN",
    .summary = "all that ever happened to a domain's keys, and who did it",
    .help = "DOMAIN is a name or a UUID, also of a domain that is gone. Oldest first, from\n"
            "the journal in the ledger, whose chain of hashes is checked.\n\n"
            "  --since WHEN    only from then on: 90m, 2h, 3d ago; or a date, local time:\n"
            "                  2026-11-24, '2026-11-24 13:05'\n\n"
            "Exit codes: 0 the journal is whole; 1 it was changed, or no such domain.\n",
    .run = run,
};
