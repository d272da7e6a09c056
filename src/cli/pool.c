/* llmhook pool: the keys that people made, for domains to claim. */
#include "cli/cli.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "base/json.h"
#include "cli/table.h"
#include "cli/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <termios.h>
#include <unistd.h>

enum { ANSWER_MS = 10 * 1000, ADD_MS = 120 * 1000, KEY_MAX = 1024 };

/* The first line of standard input, not shown while it is typed. False: everything has been said. */
static bool read_key(char key[KEY_MAX + 2])
{
    struct termios shown;
    bool terminal = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &shown) == 0;
    if (terminal) {
        struct termios hidden = shown;
        hidden.c_lflag &= ~(tcflag_t)ECHO;
        fputs("Paste the key (it is not shown), then Enter: ", stderr);
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
    }
    size_t used = 0;
    ssize_t got = 1;
    while (used <= KEY_MAX && (got = read(STDIN_FILENO, key + used, 1)) == 1 && key[used] != '\n')
        used++;
    if (terminal) {
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
        fputc('\n', stderr);
    }
    if (used > 0 && key[used - 1] == '\r')
        used--;
    key[used < KEY_MAX + 1 ? used : KEY_MAX + 1] = '\0';
    if (got < 0)
        cli_complain("the key cannot be read from standard input");
    else if (!used)
        cli_complain("there is no key on standard input: put it there, or say where it is with --from");
    else if (used > KEY_MAX)
        cli_complain("what is on standard input is too long for a key");
    else
        return true;
    return false;
}

/* json-c gives a text back to the heap as it is. */
static void wipe(struct json_object *text)
{
    explicit_bzero((char *)(uintptr_t)json_object_get_string(text), (size_t)json_object_get_string_len(text));
}

static void print_added(const char *provider, struct json_object *reply)
{
    int64_t ends = json_optional_integer(reply, "expires_at", 0);
    printf("Added to the pool of %s: %s. The next domain that asks for a key may have it.\n", provider,
           text_field(reply, "id", "?"));
    if (ends > 0) {
        cleanup_buffer struct buffer when = TEXT_INIT;
        text_append_ago(&when, ends, clock_wall_ms());
        printf("It ends at %s: a domain that has it then is given another one before, if the pool has one.\n", buffer_text(&when));
    }
}

static int add(struct cli *cli, const char *provider, const char *label, const char *id, const char *from)
{
    char key[KEY_MAX + 2] = "";
    struct json_object *parameters, *secret = NULL;
    cleanup_json struct json_object *reply = NULL;
    prctl(PR_SET_DUMPABLE, 0);
    if (!from && !read_key(key))
        return CLI_USAGE;
    parameters = json_object_new_object();
    json_put_string(parameters, "provider", provider);
    if (from) {
        json_put_string(parameters, "reference", from);
    } else {
        secret = json_object_new_string(key);
        explicit_bzero(key, sizeof key);
        json_put(parameters, "secret", json_object_get(secret));
    }
    if (label)
        json_put_string(parameters, "label", label);
    if (id)
        json_put_string(parameters, "id", id);
    int code = cli_ask(cli, "PoolAdd", parameters, ADD_MS, &reply);
    if (secret) {
        wipe(secret);
        json_object_put(secret);
    }
    if (code != CLI_OK)
        return code;
    if (cli->json)
        cli_print_json(reply);
    else
        print_added(provider, reply);
    return CLI_OK;
}

static int list(struct cli *cli)
{
    static const struct table_column columns[] = {{"PROVIDER", false}, {"ID", true},   {"LABEL", true},
                                                  {"STATE", false},    {"DOMAIN", true}, {"ADDED", false}, {NULL, false}};
    cleanup_json struct json_object *reply = NULL;
    int code = cli_ask(cli, "PoolList", NULL, ANSWER_MS, &reply);
    if (code != CLI_OK)
        return code;
    if (cli->json) {
        cli_print_json(reply);
        return CLI_OK;
    }
    size_t count;
    struct json_object *keys = text_list(reply, "keys", &count);
    struct table *table = table_new(cli, columns);
    for (size_t i = 0; i < count; i++) {
        struct json_object *key = json_object_array_get_idx(keys, i);
        cleanup_buffer struct buffer added = TEXT_INIT;
        text_append_ago(&added, json_optional_integer(key, "added_at", 0), clock_wall_ms());
        table_row(table);
        table_cell(table, text_field(key, "provider", "?"), NULL);
        table_cell(table, text_field(key, "id", "?"), NULL);
        table_cell(table, text_field(key, "label", ""), NULL);
        table_cell(table, text_field(key, "state", "?"), NULL);
        table_cell(table, text_field(key, "domain", ""), NULL);
        table_cell(table, buffer_text(&added), NULL);
    }
    table_print(table);
    table_free(table);
    if (!count)
        printf("The pool is empty: llmhook pool add PROVIDER puts a key into it.\n");
    return CLI_OK;
}

static int take_out(struct cli *cli, const char *provider, const char *id)
{
    cleanup_json struct json_object *reply = NULL;
    struct json_object *parameters = json_object_new_object();
    json_put_string(parameters, "provider", provider);
    json_put_string(parameters, "id", id);
    int code = cli_ask(cli, "PoolRemove", parameters, ANSWER_MS, &reply);
    if (code != CLI_OK)
        return code;
    if (cli->json)
        cli_print_json(reply);
    else
        printf("Removed from the pool; at the provider it is as it was.\n");
    return CLI_OK;
}

static int run(struct cli *cli, const struct cli_verb *verb, int argc, char **argv)
{
    const char *name = NULL, *id = NULL, *from = NULL;
    const struct cli_option options[] = {
        {"name", NULL, &name}, {"id", NULL, &id}, {"from", NULL, &from}, {NULL, NULL, NULL}};
    char **words;
    int code;
    if (!cli_options(cli, verb, options, argc, argv, NULL, &words, &code))
        return code;
    const char *what = words[0] ? words[0] : "";
    if (strcmp(what, "list") == 0)
        return cli_expect(verb, words, "WHAT", &code) ? list(cli) : code;
    if (strcmp(what, "add") == 0)
        return cli_expect(verb, words, "WHAT PROVIDER", &code) ? add(cli, words[1], name, id, from) : code;
    if (strcmp(what, "remove") == 0)
        return cli_expect(verb, words, "WHAT PROVIDER ID", &code) ? take_out(cli, words[1], words[2]) : code;
    cli_complain("say what to do with the pool: add PROVIDER, list, or remove PROVIDER ID");
    return CLI_USAGE;
}

const struct cli_verb cli_pool = {
    .name = "pool",
    .arguments = "WHAT",
    .summary = "add, list, remove: keys that people made, for domains",
    .help = "For providers whose keys only a person can make (Anthropic).\n\n"
            "  pool add PROVIDER        the key is read from standard input; which one it is\n"
            "                           at the provider is found out by asking there\n"
            "  pool list                every key of the pool, and whose it is\n"
            "  pool remove PROVIDER ID  takes out a free one; it stays at the provider\n\n"
            "  --from REFERENCE         where the key is: file:/PATH, env: or credential:\n"
            "  --name LABEL             a word for people, shown by pool list\n"
            "  --id ID                  which of its keys it is, where several look alike\n",
    .run = run,
};
