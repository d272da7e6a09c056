#include "cli/cli.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "base/json.h"
#include "cli/table.h"
#include "cli/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { ANSWER_MS = 10 * 1000, INDENT = 2 };

static int by_name(const void *left, const void *right)
{
    struct json_object *const *one = left, *const *other = right;
    return strcmp(text_field(*one, "name", ""), text_field(*other, "name", ""));
}

static void append_next(struct buffer *text, struct json_object *object, const char *name)
{
    if (!json_has(object, name))
        return;
    buffer_append_text(text, "; next try ");
    text_append_wait(text, json_optional_integer(object, name, 0));
}

static int newest_first(const void *left, const void *right)
{
    struct json_object *const *one = left, *const *other = right;
    int64_t a = json_optional_integer(*one, "generation", 0), b = json_optional_integer(*other, "generation", 0);
    return (a < b) - (a > b);
}

/* "3 active, 2 retiring": the live keys, with LINES one a line; '?' where a request may have happened. */
static void append_keys(struct buffer *text, struct json_object *grant, bool lines)
{
    size_t count;
    struct json_object *keys = text_list(grant, "keys", &count);
    if (keys)
        json_object_array_sort(keys, newest_first);
    for (size_t i = 0; i < count; i++) {
        struct json_object *key = json_object_array_get_idx(keys, i);
        if (strcmp(text_field(key, "state", ""), "revoked") != 0)
            buffer_printf(text, "%s%" PRId64 " %s%s", !text->length ? "" : lines ? ",\n" : ", ",
                          json_optional_integer(key, "generation", 0), text_field(key, "state", "?"),
                          json_optional_boolean(key, "unknown", false) ? "?" : "");
    }
}

/* One cell, the most serious first: what is wrong with the domain, with the grant, with the delivery. */
static void append_reason(struct buffer *text, struct json_object *domain, struct json_object *grant)
{
    const char *problem = text_field(domain, "problem", ""), *reason = text_field(grant, "reason", "");
    const char *delivery = text_field(domain, "delivery", "");
    if (problem[0]) {
        buffer_append_text(text, problem);
    } else if (reason[0]) {
        buffer_append_text(text, reason);
        append_next(text, grant, "next_attempt_in");
    } else if (!strcmp(delivery, "boot") || !strcmp(delivery, "pending") || !strcmp(delivery, "delivering") ||
               !strcmp(delivery, "failing")) {
        buffer_append_text(text, text_field(domain, "delivery_reason", ""));
        append_next(text, domain, "delivery_next_attempt_in");
    }
}

static const char *status_colour(const char *status)
{
    if (!strcmp(status, "failing"))
        return "red";
    return !strcmp(status, "waiting") || !strcmp(status, "pending") || !strcmp(status, "delivering") ? "yellow" : NULL;
}

static void add_row(const struct cli *cli, struct table *table, struct json_object *domain, struct json_object *grant)
{
    cleanup_buffer struct buffer keys = TEXT_INIT;
    cleanup_buffer struct buffer reason = TEXT_INIT;
    const char *delivery = text_field(domain, "delivery", "");
    const char *status = text_field(domain, "problem", "")[0] ? "failing" : text_field(grant, "status", "ok");
    append_keys(&keys, grant, cli->terminal);
    append_reason(&reason, domain, grant);
    table_row(table);
    table_cell(table, text_field(domain, "name", "?"), NULL);
    table_cell(table, text_field(domain, "state", "?"), NULL);
    table_cell(table, text_field(grant, "provider", ""), NULL);
    table_cell(table, buffer_text(&keys), NULL);
    table_cell(table, delivery, !strcmp(delivery, "proven") ? "green" : status_colour(delivery));
    table_cell(table, buffer_text(&reason), strcmp(status, "ok") != 0 ? status_colour(status) : status_colour(delivery));
}

static void print_domains(const struct cli *cli, struct json_object *domains, size_t count)
{
    static const struct table_column columns[] = {{"DOMAIN", true}, {"STATE", false},    {"PROVIDER", false},
                                                  {"KEY", true},   {"DELIVERY", false}, {"REASON", true},
                                                  {NULL, false}};
    struct table *table = table_new(cli, columns);
    if (domains)
        json_object_array_sort(domains, by_name);
    for (size_t i = 0; i < count; i++) {
        struct json_object *domain = json_object_array_get_idx(domains, i);
        size_t grants_count;
        struct json_object *grants = text_list(domain, "grants", &grants_count);
        for (size_t j = 0; j < grants_count; j++)
            add_row(cli, table, domain, json_object_array_get_idx(grants, j));
        if (!grants_count)
            add_row(cli, table, domain, NULL);
    }
    table_print(table);
    table_free(table);
    if (!count)
        printf("No domain asks for a key.\n");
}

static void print_warnings(const struct cli *cli, struct json_object *reply)
{
    size_t count;
    struct json_object *warnings = text_list(reply, "warnings", &count);
    const char *broken = text_field(reply, "configuration_problem", "");
    if (count || broken[0])
        printf("\nWarnings:\n");
    if (broken[0]) {
        cleanup_buffer struct buffer line = TEXT_INIT;
        buffer_printf(&line, "the configuration in force is an older one: %s", broken);
        table_print_line(cli, INDENT, "", buffer_text(&line));
    }
    for (size_t i = 0; i < count; i++)
        table_print_line(cli, INDENT, "", json_object_get_string(json_object_array_get_idx(warnings, i)));
}

static void print_providers(const struct cli *cli, struct json_object *reply)
{
    size_t count;
    struct json_object *providers = text_list(reply, "providers", &count);
    bool begun = false;
    for (size_t i = 0; i < count; i++) {
        struct json_object *provider = json_object_array_get_idx(providers, i);
        const char *status = text_field(provider, "status", "?");
        if (strcmp(status, "failing") != 0) /* one that waits for an answer is well */
            continue;
        cleanup_buffer struct buffer line = TEXT_INIT;
        buffer_printf(&line, "%s is %s: %s", text_field(provider, "name", "?"), status,
                      text_field(provider, "reason", "no reason known"));
        append_next(&line, provider, "next_attempt_in");
        if (!begun)
            printf("\nProviders:\n");
        begun = true;
        table_print_line(cli, INDENT, "", buffer_text(&line));
    }
}

static void print_summary(struct json_object *reply, size_t domains)
{
    size_t count;
    struct json_object *providers = text_list(reply, "providers", &count);
    int64_t keys = 0, started = json_optional_integer(reply, "started_at", 0), now = clock_wall_ms();
    for (size_t i = 0; i < count; i++)
        keys += json_optional_integer(json_object_array_get_idx(providers, i), "keys_live", 0);
    cleanup_buffer struct buffer line = TEXT_INIT;
    buffer_printf(&line, "%zu domain%s, %" PRId64 " live key%s; llmhookd %s", domains, domains == 1 ? "" : "s", keys,
                  keys == 1 ? "" : "s", text_field(reply, "version", "?"));
    if (started > 0 && started <= now) {
        buffer_append_text(&line, ", up ");
        text_append_duration(&line, now - started);
    }
    printf("\n%s\n", buffer_text(&line));
}

static void print_last_audit(struct json_object *reply)
{
    struct json_object *audit;
    if (!json_has(reply, "last_audit") || !json_get_object(reply, "last_audit", &audit, NULL))
        return;
    cleanup_buffer struct buffer line = TEXT_INIT;
    int64_t looked_at = json_optional_integer(audit, "looked_at", 0), drift = json_optional_integer(audit, "drift", 0);
    buffer_append_text(&line, "last audit: ");
    text_append_ago(&line, json_optional_integer(audit, "at", 0), clock_wall_ms());
    buffer_printf(&line, ", %" PRId64 " looked at, ", looked_at);
    if (drift)
        buffer_printf(&line, "%" PRId64 " not in order: see llmhook audit", drift);
    else
        buffer_append_text(&line, "all in order");
    if (!json_optional_boolean(audit, "complete", false))
        buffer_printf(&line, "; incomplete: %s", text_field(audit, "problem", "no reason known"));
    printf("%s\n", buffer_text(&line));
}

static int run(struct cli *cli, const struct cli_verb *verb, int argc, char **argv)
{
    char **words;
    int code;
    if (!cli_options(cli, verb, NULL, argc, argv, verb->arguments, &words, &code))
        return code;
    cleanup_json struct json_object *reply = NULL;
    code = cli_ask(cli, "Status", NULL, ANSWER_MS, &reply);
    if (code != CLI_OK)
        return code;
    if (cli->json) {
        cli_print_json(reply);
        return CLI_OK;
    }
    size_t count;
    struct json_object *domains = text_list(reply, "domains", &count);
    print_domains(cli, domains, count);
    print_warnings(cli, reply);
    print_providers(cli, reply);
    print_summary(reply, count);
    print_last_audit(reply);
    return CLI_OK;
}

const struct cli_verb cli_status = {
    .name = "status",
    .arguments = "",
    .summary = "every domain, its keys, and whether its guest has them",
    .help = "Shows each domain that asks for a key: its state, and for each provider the live\n"
            "keys (generation and state; '?': a request may have happened and is being looked\n"
            "into), whether the guest has proven that it has them, and what is waited for.\n",
    .run = run,
};
