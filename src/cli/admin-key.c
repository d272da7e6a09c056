#include "cli/cli.h"

#include "base/buffer.h"
#include "base/json.h"
#include "cli/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A key that was made a moment ago is given some time to be known everywhere. */
enum { ANSWER_MS = 3 * 60 * 1000 };

static int run(struct cli *cli, const struct cli_verb *verb, int argc, char **argv)
{
    const struct cli_option options[] = {{NULL, NULL, NULL}};
    char **words;
    int code;
    if (!cli_options(cli, verb, options, argc, argv, verb->arguments, &words, &code))
        return code;
    if (strcmp(words[0], "rotate") != 0) {
        cli_complain("admin-key does one thing: llmhook admin-key rotate PROVIDER");
        return CLI_USAGE;
    }
    struct json_object *parameters = json_object_new_object();
    json_put_string(parameters, "provider", words[1]);
    cleanup_json struct json_object *reply = NULL;
    code = cli_ask(cli, "AdminKeyRotate", parameters, ANSWER_MS, &reply);
    if (code != CLI_OK)
        return code;
    if (cli->json) {
        cli_print_json(reply);
        return CLI_OK;
    }
    int64_t removed = json_optional_integer(reply, "removed", 0);
    printf("The admin key is %s now; %" PRId64 " earlier one%s removed at the provider.\n", text_field(reply, "id", "?"), removed,
           removed == 1 ? " was" : "s were");
    return CLI_OK;
}

const struct cli_verb cli_admin_key = {
    .name = "admin-key",
    .arguments = "rotate PROVIDER",
    .summary = "replace a provider's admin key itself by a new one",
    .help = "PROVIDER names a section, of type openai, whose admin-key is file:/PATH.\n"
            "Another admin key is made, kept beside the old one, tried, put in its place and\n"
            "read back; only then is the old one removed at the provider. Whatever interrupts\n"
            "it, one that works is in place: run it again, and it goes on.\n",
    .run = run,
};
