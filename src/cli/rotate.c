#include "cli/cli.h"

#include "base/buffer.h"
#include "base/json.h"
#include "cli/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { ANSWER_MS = 10 * 1000 };

static void print_all(struct json_object *reply)
{
    int64_t count = json_optional_integer(reply, "rotating", 0), within = json_optional_integer(reply, "within", 0);
    cleanup_buffer struct buffer line = TEXT_INIT;
    buffer_printf(&line, "Replacing %" PRId64 " key%s", count, count == 1 ? "" : "s");
    if (within && count) {
        buffer_append_text(&line, ", spread over the next ");
        text_append_duration(&line, within);
    }
    printf("%s; `llmhook status` tells how far it has come.\n", buffer_text(&line));
}

static int run(struct cli *cli, const struct cli_verb *verb, int argc, char **argv)
{
    const char *provider = NULL;
    bool all = false, now = false, no_overlap = false;
    const struct cli_option options[] = {
        {"provider", NULL, &provider}, {"all", &all, NULL}, {"now", &now, NULL}, {"no-overlap", &no_overlap, NULL},
        {NULL, NULL, NULL}};
    char **words;
    int code;
    if (!cli_options(cli, verb, options, argc, argv, NULL, &words, &code) ||
        !cli_expect(verb, words, all ? "" : verb->arguments, &code))
        return code;
    struct json_object *parameters = json_object_new_object();
    if (all)
        json_put_boolean(parameters, "all", true);
    else
        json_put_string(parameters, "domain", words[0]);
    if (now)
        json_put_boolean(parameters, "now", true);
    if (no_overlap)
        json_put_boolean(parameters, "no_overlap", true);
    if (provider)
        json_put_string(parameters, "provider", provider);
    cleanup_json struct json_object *reply = NULL;
    code = cli_ask(cli, "Rotate", parameters, ANSWER_MS, &reply);
    if (code != CLI_OK)
        return code;
    if (cli->json) {
        cli_print_json(reply);
        return CLI_OK;
    }
    if (all) {
        print_all(reply);
        return CLI_OK;
    }
    int64_t count = json_optional_integer(reply, "rotating", 0);
    cleanup_buffer struct buffer domain = TEXT_INIT;
    text_append_safe(&domain, words[0]);
    printf("Replacing %" PRId64 " key%s of %s; `llmhook show %s` tells when the guest has the new one%s.\n", count,
           count == 1 ? "" : "s", buffer_text(&domain), buffer_text(&domain), count == 1 ? "" : "s");
    return CLI_OK;
}

const struct cli_verb cli_rotate = {
    .name = "rotate",
    .arguments = "DOMAIN",
    .summary = "replace a running domain's keys by new ones",
    .help = "DOMAIN is a name or a UUID. A new key is minted and put into the guest; once\n"
            "the guest has proven it, the earlier one goes on working for the policy's\n"
            "overlap and is then revoked.\n\n"
            "  --provider NAME only that provider's keys\n"
            "  --all           of every domain, in place of DOMAIN; spread over ten minutes\n"
            "  --now           with --all: all at once\n"
            "  --no-overlap    the earlier key ends as soon as the new one is proven\n",
    .run = run,
};
