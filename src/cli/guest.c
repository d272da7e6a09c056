/* What concerns the inside of guests. */
#include "cli/cli.h"

#include "base/buffer.h"
#include "base/json.h"
#include "cli/guest-scripts.h"
#include "cli/text.h"

#include <stdio.h>
#include <string.h>

enum { CLEAN_MS = 40 * 1000 }; /* a guest has 30 s */

static int cloud_config(struct cli *cli, char **words)
{
    (void)words;
    if (!cli->json) {
        fputs(cloud_config_text, stdout);
        return CLI_OK;
    }
    cleanup_json struct json_object *object = json_object_new_object();
    json_put_string(object, "cloud_config", cloud_config_text);
    cli_print_json(object);
    return CLI_OK;
}

static int clean(struct cli *cli, char **words)
{
    struct json_object *parameters = json_object_new_object();
    cleanup_json struct json_object *reply = NULL;
    json_put_string(parameters, "domain", words[1]);
    int code = cli_ask(cli, "CleanGuest", parameters, CLEAN_MS, &reply);
    if (code != CLI_OK)
        return code;
    if (cli->json) {
        cli_print_json(reply);
        return CLI_OK;
    }
    cleanup_buffer struct buffer domain = TEXT_INIT;
    text_append_safe(&domain, words[1]);
    printf("%s%s.\n", json_optional_boolean(reply, "found", false) ? "Nothing of llmhook's is left in the files of "
                                                                 : "There was nothing of llmhook's in the files of ",
           buffer_text(&domain));
    return CLI_OK;
}

static const struct {
    const char *name;
    const char *expected; /* its own name among them */
    int (*run)(struct cli *cli, char **words);
} deeds[] = {
    {"clean", "WHAT DOMAIN", clean},
    {"cloud-config", "WHAT", cloud_config},
};

static int run(struct cli *cli, const struct cli_verb *verb, int argc, char **argv)
{
    char **words;
    int code;
    if (!cli_options(cli, verb, NULL, argc, argv, NULL, &words, &code))
        return code;
    for (size_t i = 0; words[0] && i < sizeof deeds / sizeof deeds[0]; i++)
        if (!strcmp(words[0], deeds[i].name))
            return cli_expect(verb, words, deeds[i].expected, &code) ? deeds[i].run(cli, words) : code;
    if (!cli_expect(verb, words, "", &code))
        return code;
    cli_complain("what about guests? try `llmhook guest --help`");
    return CLI_USAGE;
}

const struct cli_verb cli_guest = {
    .name = "guest",
    .arguments = "WHAT",
    .summary = "clean a guest's files, or cloud-config to set one up",
    .help = "  guest clean DOMAIN  take out of the guest's files what deliveries put there;\n"
            "                      of a running domain that was taken out of its policy\n"
            "  guest cloud-config  print user-data or vendor-data for cloud-init: it installs\n"
            "                      the guest agent, what restarts services when their keys\n"
            "                      change, and a drop box for agents that may not run\n"
            "                      programs. There is no key in it.\n\n",
    .run = run,
};
