#include "cli/cli.h"

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

enum { ANSWER_MS = 30 * 1000, BAR = 10, SPARKS = 31, GROUP_SIZE = 400 };
#define DAY_MS INT64_C(86400000)

/* The first millisecond of the month (UTC) that is MONTHS after that of AT. */
static int64_t month_of(int64_t at, int months)
{
    time_t seconds = (time_t)(at / 1000);
    struct tm date;
    gmtime_r(&seconds, &date);
    date.tm_mon += months;
    date.tm_mday = 1;
    date.tm_hour = date.tm_min = date.tm_sec = 0;
    return (int64_t)timegm(&date) * 1000;
}

/* "2026-11-24" UTC, or "7d". */
static bool read_since(const char *text, int64_t *ret_ms)
{
    struct tm when = {.tm_isdst = 0};
    char *end;
    long days = strtol(text, &end, 10);
    if (end != text && strcmp(end, "d") == 0 && days > 0 && days < 36500) {
        *ret_ms = clock_wall_ms() / DAY_MS * DAY_MS - (days - 1) * DAY_MS;
        return *ret_ms >= 0;
    }
    const char *rest = strptime(text, "%Y-%m-%d", &when);
    if (!rest || *rest)
        return false;
    *ret_ms = (int64_t)timegm(&when) * 1000;
    return *ret_ms >= 0;
}

/* --- what is added up --- */

/* One line of the table: a domain's provider, an owner, a provider or a model, or two of them. */
struct group {
    char name[GROUP_SIZE], detail[GROUP_SIZE];
    int64_t bill[SPARKS], estimate[SPARKS]; /* by day; what is older than the sparks is in the first */
    int64_t requests, input, output;
    bool unpriced;
};

struct groups {
    struct group *list;
    size_t count;
    int64_t first_day, days;
};

static struct group *group_of(struct groups *groups, const char *name, const char *detail)
{
    for (size_t i = 0; i < groups->count; i++)
        if (strcmp(groups->list[i].name, name) == 0 && strcmp(groups->list[i].detail, detail) == 0)
            return &groups->list[i];
    groups->list = realloc(groups->list, (groups->count + 1) * sizeof *groups->list);
    if (!groups->list)
        abort();
    struct group *group = &groups->list[groups->count++];
    memset(group, 0, sizeof *group);
    snprintf(group->name, sizeof group->name, "%s", name);
    snprintf(group->detail, sizeof group->detail, "%s", detail);
    return group;
}

static void add_row(struct groups *groups, struct json_object *row, const char *by)
{
    const char *domain = text_field(row, "name", text_field(row, "domain", "?")), *detail = "";
    const char *name = strcmp(by, "domain") == 0 ? domain : text_field(row, by, "");
    if (strcmp(by, "domain") == 0)
        detail = text_field(row, "provider", "");
    struct group *group = group_of(groups, name, detail);
    int64_t index = json_optional_integer(row, "day", 0) / DAY_MS - groups->first_day;
    int64_t amount = json_optional_integer(row, "micro_dollars", 0);
    index = index < 0 ? 0 : index >= SPARKS ? SPARKS - 1 : index;
    /* Tokens stand in estimates, or with the bill where there are none. */
    group->requests += json_optional_integer(row, "requests", 0);
    group->input += json_optional_integer(row, "input_tokens", 0);
    group->output += json_optional_integer(row, "output_tokens", 0);
    if (strcmp(text_field(row, "source", ""), "bill") == 0) {
        group->bill[index] += amount;
    } else {
        group->estimate[index] += amount;
        group->unpriced = group->unpriced || json_optional_boolean(row, "unpriced", false);
    }
}

static int64_t sum(const int64_t days[SPARKS])
{
    int64_t total = 0;
    for (int i = 0; i < SPARKS; i++)
        total += days[i];
    return total;
}

static int64_t most(const struct group *group, int day)
{
    return group->bill[day] > group->estimate[day] ? group->bill[day] : group->estimate[day];
}

static int dearest_first(const void *a, const void *b)
{
    const struct group *one = a, *other = b;
    int64_t left = 0, right = 0;
    for (int i = 0; i < SPARKS; i++) {
        left += most(one, i);
        right += most(other, i);
    }
    if (left != right)
        return left > right ? -1 : 1;
    int names = strcmp(one->name, other->name);
    return names ? names : strcmp(one->detail, other->detail);
}

/* --- drawing --- */

static void append_sparks(struct buffer *text, const struct group *group, int64_t days)
{
    static const char *const blocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    int64_t highest = 0;
    for (int i = 0; i < days; i++)
        highest = most(group, i) > highest ? most(group, i) : highest;
    for (int i = 0; i < days; i++) {
        int64_t height = highest ? most(group, i) * 7 / highest : 0;
        buffer_append_text(text, most(group, i) ? blocks[height] : "·");
    }
}

static void append_bar(struct buffer *text, int64_t spent, int64_t limit)
{
    int64_t filled = limit > 0 ? spent / (limit / BAR > 0 ? limit / BAR : 1) : 0;
    for (int i = 0; i < BAR; i++)
        buffer_append_text(text, i < filled ? "█" : "░");
    buffer_append_text(text, " ");
}

static void print_budgets(const struct cli *cli, struct json_object *reply)
{
    static const struct table_column columns[] = {{"BUDGET", true}, {"PROVIDER", false}, {"SPENT", false},
                                                  {"OF", false},    {"USED", false},     {"MAY PASS BY", false},
                                                  {"MONTH'S END", false}, {NULL, false}};
    size_t count;
    struct json_object *budgets = text_list(reply, "budgets", &count);
    struct table *table = table_new(cli, columns);
    for (size_t i = 0; i < count; i++) {
        struct json_object *budget = json_object_array_get_idx(budgets, i);
        struct buffer cells[5] = {TEXT_INIT, TEXT_INIT, TEXT_INIT, TEXT_INIT, TEXT_INIT};
        int64_t spent = json_optional_integer(budget, "spent", 0), limit = json_optional_integer(budget, "limit", 0);
        const char *kind = text_field(budget, "kind", "?");
        buffer_printf(&cells[0], "%s%s%s", strcmp(kind, "domain") == 0 ? "" : kind, strcmp(kind, "domain") == 0 ? "" : " ",
                      text_field(budget, "name", "?"));
        text_append_dollars(&cells[1], spent);
        text_append_dollars(&cells[2], limit);
        if (cli->terminal)
            append_bar(&cells[3], spent, limit);
        buffer_printf(&cells[3], "%" PRId64 " %%", limit > 0 ? spent / (limit / 100 > 0 ? limit / 100 : 1) : 0);
        if (json_has(budget, "projected"))
            text_append_dollars(&cells[4], json_optional_integer(budget, "projected", 0));
        cleanup_buffer struct buffer beyond = TEXT_INIT;
        if (json_optional_integer(budget, "overshoot", 0) > 0)
            text_append_dollars(&beyond, json_optional_integer(budget, "overshoot", 0));
        table_row(table);
        table_cell(table, buffer_text(&cells[0]), NULL);
        table_cell(table, text_field(budget, "provider", ""), NULL);
        table_cell(table, buffer_text(&cells[1]), NULL);
        table_cell(table, buffer_text(&cells[2]), NULL);
        table_cell(table, buffer_text(&cells[3]), spent >= limit ? "red" : spent >= limit / 5 * 4 ? "yellow" : NULL);
        table_cell(table, buffer_text(&beyond), NULL);
        table_cell(table, buffer_text(&cells[4]), NULL);
        for (int c = 0; c < 5; c++)
            buffer_clear(&cells[c]);
    }
    table_print(table);
    table_free(table);
    if (count)
        printf("\n");
}

static void print_groups(const struct cli *cli, struct groups *groups, const char *by)
{
    static const struct table_column domain[] = {{"DOMAIN", true}, {"PROVIDER", false}, {"BILLED", false}, {"ESTIMATED", false},
                                                 {"REQUESTS", false}, {"TOKENS IN", false}, {"OUT", false}, {"BY DAY", false}};
    struct table_column columns[TABLE_COLUMNS_MAX + 1] = {{NULL, false}};
    bool with_detail = strcmp(by, "domain") == 0;
    size_t used = 0;
    bool unpriced = false;
    for (size_t i = 0; i < sizeof domain / sizeof domain[0]; i++)
        if ((with_detail || i != 1) && (cli->terminal || i != 7))
            columns[used++] = domain[i];
    columns[0].name = strcmp(by, "owner") == 0 ? "OWNER" : strcmp(by, "provider") == 0 ? "PROVIDER"
                      : strcmp(by, "model") == 0 ? "MODEL" : "DOMAIN";
    struct table *table = table_new(cli, columns);
    if (groups->count)
        qsort(groups->list, groups->count, sizeof *groups->list, dearest_first);
    for (size_t i = 0; i < groups->count; i++) {
        const struct group *group = &groups->list[i];
        cleanup_buffer struct buffer bill = TEXT_INIT;
        cleanup_buffer struct buffer estimate = TEXT_INIT;
        cleanup_buffer struct buffer days = TEXT_INIT;
        char requests[24], input[24], output[24];
        text_append_dollars(&bill, sum(group->bill));
        text_append_dollars(&estimate, sum(group->estimate));
        if (group->unpriced)
            buffer_append_text(&estimate, "*");
        unpriced = unpriced || group->unpriced;
        snprintf(requests, sizeof requests, "%" PRId64, group->requests);
        snprintf(input, sizeof input, "%" PRId64, group->input);
        snprintf(output, sizeof output, "%" PRId64, group->output);
        append_sparks(&days, group, groups->days);
        table_row(table);
        table_cell(table, group->name, NULL);
        if (with_detail)
            table_cell(table, group->detail, NULL);
        table_cell(table, buffer_text(&bill), NULL);
        table_cell(table, buffer_text(&estimate), NULL);
        table_cell(table, requests, NULL);
        table_cell(table, input, NULL);
        table_cell(table, output, NULL);
        if (cli->terminal)
            table_cell(table, buffer_text(&days), NULL);
    }
    table_print(table);
    table_free(table);
    if (!groups->count)
        printf("Nothing is known to have been spent.\n");
    if (unpriced)
        printf("\n* some of it at the dearest prices: a model without one, see `prices` in llmhook.conf(5)\n");
}

/* One field of RFC 4180: quoted when it has to be. A spreadsheet takes = + - @ at the beginning for a formula. */
static void print_field(const char *text, const char *end)
{
    bool formula = strchr("=+-@\t", text[0]) && text[0];
    if (!formula && !strpbrk(text, ",\"\r\n")) {
        printf("%s%s", text, end);
        return;
    }
    putchar('"');
    if (formula)
        putchar('\'');
    for (; *text; text++)
        printf(*text == '"' ? "\"\"" : "%c", *text);
    printf("\"%s", end);
}

static void print_csv(struct json_object *rows, size_t count)
{
    puts("day,domain,uuid,owner,provider,model,source,unpriced,dollars,requests,input_tokens,cached_tokens,output_tokens");
    for (size_t i = 0; i < count; i++) {
        struct json_object *row = json_object_array_get_idx(rows, i);
        time_t seconds = (time_t)(json_optional_integer(row, "day", 0) / 1000);
        int64_t micro = json_optional_integer(row, "micro_dollars", 0);
        struct tm date;
        char day[32] = "";
        if (gmtime_r(&seconds, &date))
            strftime(day, sizeof day, "%Y-%m-%d", &date);
        print_field(day, ",");
        static const char *const texts[] = {"name", "domain", "owner", "provider", "model", "source"};
        for (size_t t = 0; t < sizeof texts / sizeof texts[0]; t++)
            print_field(text_field(row, texts[t], ""), ",");
        printf("%s,%" PRId64 ".%06" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 "\n",
               json_optional_boolean(row, "unpriced", false) ? "yes" : "no", micro / 1000000, micro % 1000000,
               json_optional_integer(row, "requests", 0), json_optional_integer(row, "input_tokens", 0),
               json_optional_integer(row, "cached_tokens", 0), json_optional_integer(row, "output_tokens", 0));
    }
}

static void print_problems(struct json_object *reply)
{
    size_t count;
    struct json_object *providers = text_list(reply, "providers", &count);
    for (size_t i = 0; i < count; i++) {
        struct json_object *provider = json_object_array_get_idx(providers, i);
        const char *problem = text_field(provider, "problem", ""), *name = text_field(provider, "name", "?");
        if (problem[0])
            printf("\n%s: the last report could not be read: %s\n", name, problem);
        else if (!json_optional_boolean(provider, "reports", false))
            printf("\n%s: llmhook reads no reports of this provider: what it charges is not counted\n", name);
    }
    const char *prices = text_field(reply, "prices_problem", "");
    if (prices[0])
        printf("\nThe prices in force are older ones: %s\n", prices);
}

/* Page by page, into WHOLE: the first page's reply with the rows of all. PARAMETERS: of the first; taken. */
static int gather(struct cli *cli, struct json_object *parameters, struct json_object **ret_whole)
{
    size_t count;
    int code = cli_ask(cli, "Usage", parameters, ANSWER_MS, ret_whole);
    for (int64_t next = 0; code == CLI_OK && json_optional_integer(*ret_whole, "next", 0) > next;) {
        cleanup_json struct json_object *reply = NULL;
        struct json_object *rows = text_list(*ret_whole, "rows", &count);
        next = json_optional_integer(*ret_whole, "next", 0);
        parameters = json_object_new_object();
        json_put_integer(parameters, "since", json_optional_integer(*ret_whole, "since", 0));
        json_put_integer(parameters, "until", json_optional_integer(*ret_whole, "until", 0));
        json_put_integer(parameters, "after", next);
        code = cli_ask(cli, "Usage", parameters, ANSWER_MS, &reply);
        struct json_object *more = code == CLI_OK ? text_list(reply, "rows", &count) : NULL;
        for (size_t i = 0; more && rows && i < count; i++)
            json_object_array_add(rows, json_object_get(json_object_array_get_idx(more, i)));
        json_object_object_del(*ret_whole, "next");
        if (code == CLI_OK && json_has(reply, "next"))
            json_put_integer(*ret_whole, "next", json_optional_integer(reply, "next", 0));
    }
    return code;
}

static int run(struct cli *cli, const struct cli_verb *verb, int argc, char **argv)
{
    static const char *const kinds[] = {"domain", "owner", "provider", "model"};
    const char *by = "domain", *from = NULL;
    bool last = false, csv = false, known = false;
    const struct cli_option options[] = {{"by", NULL, &by}, {"since", NULL, &from}, {"last", &last, NULL}, {"csv", &csv, NULL},
                                         {NULL, NULL, NULL}};
    int64_t since = -1, until = -1;
    char **words;
    int code;
    if (!cli_options(cli, verb, options, argc, argv, verb->arguments, &words, &code))
        return code;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        known = known || strcmp(by, kinds[i]) == 0;
    if (!known || (from && last) || (from && !read_since(from, &since))) {
        cli_complain(!known           ? "--by takes domain, owner, provider or model"
                     : from && last ? "--since and --last are two answers to one question: give one of them"
                                    : "--since takes a number of days (7d) or a date (2026-11-24, UTC)");
        return CLI_USAGE;
    }
    if (last) {
        since = month_of(clock_wall_ms(), -1);
        until = month_of(clock_wall_ms(), 0);
    }
    struct json_object *parameters = json_object_new_object();
    if (since >= 0)
        json_put_integer(parameters, "since", since);
    if (until >= 0)
        json_put_integer(parameters, "until", until);
    cleanup_json struct json_object *reply = NULL;
    code = gather(cli, parameters, &reply);
    if (code != CLI_OK)
        return code;
    size_t count;
    struct json_object *rows = text_list(reply, "rows", &count);
    if (cli->json) {
        cli_print_json(reply);
        return CLI_OK;
    }
    if (csv) {
        print_csv(rows, count);
        return CLI_OK;
    }
    struct groups groups = {.first_day = json_optional_integer(reply, "since", 0) / DAY_MS};
    int64_t end = json_optional_integer(reply, "until", 0) / DAY_MS, today = clock_wall_ms() / DAY_MS + 1;
    end = end > today ? today : end;
    if (end - groups.first_day > SPARKS)
        groups.first_day = end - SPARKS;
    groups.days = end > groups.first_day ? end - groups.first_day : 1;
    for (size_t i = 0; i < count; i++)
        add_row(&groups, json_object_array_get_idx(rows, i), by);
    if (since < 0)
        print_budgets(cli, reply);
    print_groups(cli, &groups, by);
    print_problems(reply);
    free(groups.list);
    return CLI_OK;
}

const struct cli_verb cli_usage = {
    .name = "usage",
    .arguments = "",
    .summary = "what was spent this month, of which budget, and on what",
    .help = "This UTC month's budgets, and what was spent on each day: as billed by the\n"
            "provider, and as estimated from tokens until the bill comes.\n\n"
            "  --by KIND       domain (the usual), owner, provider or model\n"
            "  --last          the month before\n"
            "  --since WHEN    the last days (7d), or from a date on (2026-11-24, UTC)\n"
            "  --csv           one line for each day, domain, provider, model and source\n\n"
            "Exit codes: 0 here it is.\n",
    .run = run,
};
