#include "cli/cli.h"

#include "base/buffer.h"
#include "base/json.h"
#include "cli/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ANSWER_MS = 10 * 1000 };

/* What would be revoked, in words that are safe to print. */
static void append_what(struct buffer *text, const char *domain, const char *provider)
{
    buffer_append_text(text, provider ? "the " : "every key of ");
    if (provider) {
        text_append_safe(text, provider);
        buffer_append_text(text, " keys of ");
    }
    text_append_safe(text, domain);
}

static bool confirmed(const char *what, bool compromised)
{
    cleanup_buffer struct buffer question = TEXT_INIT;
    buffer_printf(&question, "Revoke %s now? It gets %s.", what,
                  compromised ? "a new one at once" : "no new one before its next boot");
    return cli_confirmed(buffer_text(&question));
}

static int run(struct cli *cli, const struct cli_verb *verb, int argc, char **argv)
{
    bool yes = false, compromised = false;
    const char *provider = NULL;
    const struct cli_option options[] = {{"provider", NULL, &provider}, {"yes", &yes, NULL},
                                         {"compromised", &compromised, NULL}, {NULL, NULL, NULL}};
    char **words;
    int code;
    if (!cli_options(cli, verb, options, argc, argv, verb->arguments, &words, &code))
        return code;
    cleanup_buffer struct buffer what = TEXT_INIT;
    append_what(&what, words[0], provider);
    if (!yes && !isatty(STDIN_FILENO)) {
        cli_complain("nobody is there to confirm: say --yes to revoke without being asked");
        return CLI_USAGE;
    }
    if (!yes && !confirmed(buffer_text(&what), compromised)) {
        cli_complain("nothing was revoked");
        return CLI_PROBLEM;
    }
    struct json_object *parameters = json_object_new_object();
    json_put_string(parameters, "domain", words[0]);
    if (provider)
        json_put_string(parameters, "provider", provider);
    if (compromised)
        json_put_boolean(parameters, "compromised", true);
    cleanup_json struct json_object *reply = NULL;
    code = cli_ask(cli, "Revoke", parameters, ANSWER_MS, &reply);
    if (code != CLI_OK)
        return code;
    if (cli->json) {
        cli_print_json(reply);
        return CLI_OK;
    }
    int64_t count = json_optional_integer(reply, "revoking", 0);
    cleanup_buffer struct buffer domain = TEXT_INIT;
    text_append_safe(&domain, words[0]);
    if (!count) {
        cleanup_buffer struct buffer of = TEXT_INIT;
        text_append_safe(&of, provider ? provider : "");
        printf("No %s%skey of %s is alive, and none is made before its next boot.\n", buffer_text(&of), provider ? " " : "",
               buffer_text(&domain));
        return CLI_OK;
    }
    printf("Revoking %" PRId64 " key%s of %s; `llmhook show %s` tells when it is done.\n", count, count == 1 ? "" : "s",
           buffer_text(&domain), buffer_text(&domain));
    return CLI_OK;
}

const struct cli_verb cli_revoke = {
    .name = "revoke",
    .arguments = "DOMAIN",
    .summary = "revoke a domain's keys now; no new one before its next boot",
    .help = "DOMAIN is a name or a UUID. The daemon revokes until the provider says that the\n"
            "keys are gone. On a terminal it asks first.\n\n"
            "  --provider NAME only that provider's keys\n"
            "  --compromised   somebody else may have them: a new one follows at once\n"
            "  --yes           do not ask\n",
    .run = run,
};
