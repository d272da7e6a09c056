#include "cli/cli.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "base/json.h"
#include "cli/history.h"
#include "cli/table.h"
#include "cli/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { ANSWER_MS = 10 * 1000, INDENT = 15 };

/* Nothing for an empty TEXT. */
static void print_line(const struct cli *cli, const char *label, const char *text)
{
    char indented[64];
    snprintf(indented, sizeof indented, "  %.40s", label);
    if (text[0])
        table_print_line(cli, INDENT, indented, text);
}

static void append_tries(struct buffer *line, struct json_object *object, const char *attempts, const char *next)
{
    int64_t count = json_optional_integer(object, attempts, 0);
    if (count > 0)
        buffer_printf(line, "%sfailed %" PRId64 " time%s", line->length ? "; " : "", count, count == 1 ? "" : "s");
    if (json_has(object, next)) {
        buffer_append_text(line, line->length ? "; next try " : "next try ");
        text_append_wait(line, json_optional_integer(object, next, 0));
    }
}

static void print_delivery(const struct cli *cli, struct json_object *domain, int64_t now)
{
    cleanup_buffer struct buffer line = TEXT_INIT;
    const char *reason = text_field(domain, "delivery_reason", "");
    buffer_append_text(&line, text_field(domain, "delivery", "?"));
    if (json_has(domain, "delivered_at")) {
        buffer_append_text(&line, ", last ");
        text_append_ago(&line, json_optional_integer(domain, "delivered_at", 0), now);
    }
    if (reason[0])
        buffer_printf(&line, ": %s", reason);
    append_tries(&line, domain, "delivery_attempts", "delivery_next_attempt_in");
    print_line(cli, "delivery", buffer_text(&line));
    print_line(cli, "remedy", text_field(domain, "delivery_remedy", ""));
}

static void print_readers(const struct cli *cli, struct json_object *domain)
{
    cleanup_buffer struct buffer line = TEXT_INIT;
    const char *readers = text_field(domain, "readers", ""), *hooks = text_field(domain, "hooks", "");
    if (!readers[0])
        return;
    if (strcmp(readers, "humans") == 0)
        buffer_append_text(&line, "root and every person's login");
    else if (strncmp(readers, "group:", 6) == 0)
        buffer_printf(&line, "root and the guest's group %s", readers + 6);
    else
        buffer_append_text(&line, strcmp(readers, "root") == 0 ? "root alone" : "everybody, services too");
    if (json_has(domain, "accounts")) {
        int64_t count = json_optional_integer(domain, "accounts", 0);
        buffer_printf(&line, " (%" PRId64 " account%s)", count, count == 1 ? "" : "s");
    }
    if (hooks[0])
        buffer_printf(&line, ", by %s", hooks);
    print_line(cli, "read by", buffer_text(&line));
}

static void append_time(struct buffer *line, struct json_object *key, const char *field, const char *word, int64_t now)
{
    if (!json_has(key, field))
        return;
    buffer_printf(line, "%s%s ", line->length ? ", " : "", word);
    text_append_ago(line, json_optional_integer(key, field, 0), now);
}

static void print_key(const struct cli *cli, struct json_object *key, int64_t now)
{
    cleanup_buffer struct buffer what = TEXT_INIT;
    cleanup_buffer struct buffer times = TEXT_INIT;
    cleanup_buffer struct buffer proof = TEXT_INIT;
    cleanup_buffer struct buffer trouble = TEXT_INIT;
    char label[32];
    snprintf(label, sizeof label, "key %" PRId64, json_optional_integer(key, "generation", 0));
    buffer_printf(&what, "%s%s, %s", text_field(key, "state", "?"),
                  json_optional_boolean(key, "unknown", false) ? " (a request may have happened)" : "",
                  text_field(key, "name", "?"));
    print_line(cli, label, buffer_text(&what));
    if (json_has(key, "minted_at"))
        append_time(&times, key, "minted_at", "minted", now);
    else
        append_time(&times, key, "created_at", "planned", now);
    append_time(&times, key, "active_at", "proven in the guest", now);
    append_time(&times, key, "revoking_at", "told to be revoked", now);
    print_line(cli, "", buffer_text(&times));
    const char *id = text_field(key, "remote_id", ""), *fingerprint = text_field(key, "fingerprint", "");
    if (id[0])
        buffer_printf(&proof, "id %s", id);
    if (fingerprint[0])
        buffer_printf(&proof, "%sSHA-256 %.16s...", id[0] ? ", " : "", fingerprint);
    if (json_has(key, "monthly_limit")) {
        buffer_append_text(&proof, ", limited to ");
        text_append_dollars(&proof, json_optional_integer(key, "monthly_limit", 0));
    }
    print_line(cli, "", buffer_text(&proof));
    buffer_append_text(&trouble, text_field(key, "last_error", ""));
    append_tries(&trouble, key, "attempts", "next_attempt_in");
    print_line(cli, "", buffer_text(&trouble));
}

static void print_spent(const struct cli *cli, struct json_object *grant)
{
    cleanup_buffer struct buffer spent = TEXT_INIT;
    text_append_dollars(&spent, json_optional_integer(grant, "spent", 0));
    buffer_append_text(&spent, " this month (UTC)");
    if (json_optional_boolean(grant, "over_budget", false))
        buffer_append_text(&spent, ", a limit is reached");
    if (json_optional_integer(grant, "overshoot", 0) > 0) {
        buffer_append_text(&spent, "; a limit is passed by ");
        text_append_dollars(&spent, json_optional_integer(grant, "overshoot", 0));
        buffer_append_text(&spent, " at most, by its highest rate so far");
    }
    print_line(cli, "spent", buffer_text(&spent));
}

static void print_grant(const struct cli *cli, struct json_object *grant, int64_t now)
{
    cleanup_buffer struct buffer status = TEXT_INIT;
    cleanup_buffer struct buffer limit = TEXT_INIT;
    cleanup_buffer struct buffer container = TEXT_INIT;
    const char *word = text_field(grant, "status", "?"), *reason = text_field(grant, "reason", "");
    const char *enforced = text_field(grant, "monthly_limit_enforced", "nobody"), *id = text_field(grant, "container", "");
    printf("\n%s, in the guest %s\n", text_field(grant, "provider", "?"), text_field(grant, "environment", "?"));
    buffer_printf(&status, "%s%s%s", word, reason[0] ? ": " : "", reason);
    append_tries(&status, grant, "attempts", "next_attempt_in");
    print_line(cli, "status", buffer_text(&status));
    print_line(cli, "remedy", text_field(grant, "remedy", ""));
    text_append_dollars(&limit, json_optional_integer(grant, "monthly_limit", 0));
    buffer_printf(&limit, " a month, enforced by %s%s", strcmp(enforced, "provider") == 0 ? "the " : "", enforced);
    print_line(cli, "limit", buffer_text(&limit));
    if (json_has(grant, "spent"))
        print_spent(cli, grant);
    if (id[0])
        buffer_printf(&container, "%s (%s)", id, text_field(grant, "container_state", "?"));
    print_line(cli, "container", buffer_text(&container));
    /* The daemon's reason says the same, unless there is something more urgent to say. */
    if (json_optional_boolean(grant, "held", false) && strcmp(word, "off") != 0)
        print_line(cli, "held", "revoked by an operator: no new key before the next boot");
    size_t count;
    struct json_object *keys = text_list(grant, "keys", &count);
    for (size_t i = 0; i < count; i++)
        print_key(cli, json_object_array_get_idx(keys, i), now);
}

static int run(struct cli *cli, const struct cli_verb *verb, int argc, char **argv)
{
    char **words;
    int code;
    if (!cli_options(cli, verb, NULL, argc, argv, verb->arguments, &words, &code))
        return code;
    struct json_object *parameters = json_object_new_object();
    json_put_string(parameters, "domain", words[0]);
    cleanup_json struct json_object *reply = NULL;
    code = cli_ask(cli, "Show", parameters, ANSWER_MS, &reply);
    if (code != CLI_OK)
        return code;
    if (cli->json) {
        cli_print_json(reply);
        return CLI_OK;
    }
    struct json_object *domain = NULL;
    struct error err = ERROR_INIT;
    if (!json_get_object(reply, "domain", &domain, &err)) {
        cli_complain(err.text);
        return CLI_NO_ANSWER;
    }
    int64_t now = clock_wall_ms();
    printf("%s\n", text_field(domain, "name", "?"));
    print_line(cli, "UUID", text_field(domain, "uuid", "?"));
    print_line(cli, "state", text_field(domain, "state", "?"));
    print_line(cli, "problem", text_field(domain, "problem", ""));
    print_line(cli, "owner", text_field(domain, "owner", ""));
    if (json_optional_boolean(domain, "required", false))
        print_line(cli, "required", "yes: it does not start without a key");
    print_line(cli, "guest agent", text_field(domain, "agent", "?"));
    print_delivery(cli, domain, now);
    print_readers(cli, domain);
    print_line(cli, "at boot", text_field(domain, "boot_credential", ""));
    print_line(cli, "remedy", text_field(domain, "boot_credential_remedy", ""));
    size_t count;
    struct json_object *grants = text_list(domain, "grants", &count);
    for (size_t i = 0; i < count; i++)
        print_grant(cli, json_object_array_get_idx(grants, i), now);
    struct json_object *events = text_list(reply, "events", &count);
    if (count)
        printf("\n");
    history_print_events(cli, events, now);
    return CLI_OK;
}

const struct cli_verb cli_show = {
    .name = "show",
    .arguments = "DOMAIN",
    .summary = "all about one domain: grants, keys, delivery, what happened",
    .help = "DOMAIN is a name or a UUID. Keys are shown by generation, name and the beginning\n"
            "of the SHA-256 of their secret; the secret itself never leaves the daemon this\n"
            "way.\n",
    .run = run,
};
