#include "cli/cli.h"

#include "base/buffer.h"
#include "base/json.h"
#include "base/secret.h"
#include "cli/text.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <termios.h>
#include <unistd.h>

enum { SHOW_MS = 10 * 1000, APPLY_MS = 5 * 60 * 1000 };

static const char *in_object(struct json_object *object, const char *part, const char *name)
{
    struct json_object *inner = NULL;
    json_object_object_get_ex(object, part, &inner);
    return text_field(inner, name, "");
}

static int64_t number_in(struct json_object *object, const char *part, const char *name)
{
    struct json_object *inner = NULL;
    json_object_object_get_ex(object, part, &inner);
    return json_optional_integer(inner, name, 0);
}

static void print_duration(const char *before, int64_t ms, const char *after)
{
    cleanup_buffer struct buffer text = TEXT_INIT;
    text_append_duration(&text, ms);
    printf("%s%s%s", before, buffer_text(&text), after);
}

/* As the Console asks for it. */
static void print_account(struct json_object *wanted, struct json_object *rule, struct json_object *match)
{
    printf("\nService account\n  name                      %s\n  workspace                 %s\n",
           in_object(wanted, "service_account", "name"), text_field(wanted, "workspace_id", "(not set)"));
    printf("\nRule\n  name                      %s\n  subject prefix            %s\n  audience                  %s\n",
           text_field(rule, "name", ""), text_field(match, "subject_prefix", ""), text_field(match, "audience", ""));
    printf("  scope                     %s\n  life of an access token   %lld s\n", text_field(rule, "oauth_scope", ""),
           (long long)number_in(wanted, "rule", "token_lifetime_seconds"));
}

static void print_wanted(struct json_object *reply)
{
    struct json_object *wanted = NULL, *issuer = NULL, *jwks = NULL, *keys = NULL, *rule = NULL, *match = NULL;
    json_object_object_get_ex(reply, "wanted", &wanted);
    json_object_object_get_ex(wanted, "issuer", &issuer);
    json_object_object_get_ex(issuer, "jwks", &jwks);
    json_object_object_get_ex(jwks, "keys", &keys);
    json_object_object_get_ex(wanted, "rule", &rule);
    json_object_object_get_ex(rule, "match", &match);
    printf("To be entered once at Anthropic (Console, Settings, Workload identity), or by `llmhook federation apply`:\n\n");
    printf("Issuer\n  name                      %s\n  issuer URL                %s\n", text_field(issuer, "name", ""),
           text_field(issuer, "issuer_url", ""));
    printf("  longest life of a token   %lld s\n  keys (inline)\n%s\n",
           (long long)number_in(wanted, "issuer", "max_jwt_lifetime_seconds"),
           json_object_to_json_string_ext(keys,
                                          JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE));
    if (!rule)
        printf("\nEach domain gets a service account and a rule of its own in workspace %s, made by llmhookd when it first "
               "needs\n"
               "them (service-account = per-domain).\n", text_field(wanted, "workspace_id", "(not set)"));
    else
        print_account(wanted, rule, match);
    print_duration("\nA token lives ", json_optional_integer(reply, "lifetime", 0), "");
    print_duration(" and is replaced after ", json_optional_integer(reply, "refresh", 0), ".\n");
    print_duration("When a domain stops nothing more is signed for it; what was signed may go on working for ",
                   json_optional_integer(reply, "aftermath", 0), " at most.\n");
}

static int show(struct cli *cli, struct json_object *parameters)
{
    cleanup_json struct json_object *reply = NULL;
    int code = cli_ask(cli, "FederationShow", parameters, SHOW_MS, &reply);
    if (code != CLI_OK)
        return code;
    if (cli->json)
        cli_print_json(reply);
    else
        print_wanted(reply);
    return CLI_OK;
}

/* To the end, or on a terminal to the end of the line, and not shown there. */
static size_t read_input(char *bytes, size_t size)
{
    struct termios before, quiet;
    bool terminal = tcgetattr(STDIN_FILENO, &before) == 0;
    size_t length = 0;
    ssize_t count;
    if (terminal) {
        fprintf(stderr, "An OAuth token with the scope org:admin: ");
        quiet = before;
        quiet.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
    }
    while ((count = read(STDIN_FILENO, bytes + length, size - length)) > 0 || (count < 0 && errno == EINTR)) {
        length += count > 0 ? (size_t)count : 0;
        if (terminal && memchr(bytes, '\n', length))
            break;
    }
    if (terminal) {
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
        fputc('\n', stderr);
    }
    return length;
}

static bool read_token(struct json_object *parameters)
{
    char bytes[SECRET_MAX + 2];
    size_t length = read_input(bytes, sizeof bytes), begin = 0;
    while (begin < length && strchr(" \t\r\n", bytes[begin]))
        begin++;
    while (length > begin && strchr(" \t\r\n", bytes[length - 1]))
        length--;
    length -= begin;
    bool ok = length > 0 && length <= SECRET_MAX && !memchr(bytes + begin, '\n', length) &&
              !memchr(bytes + begin, '\0', length);
    if (ok)
        json_put(parameters, "token", json_object_new_string_len(bytes + begin, (int)length));
    explicit_bzero(bytes, sizeof bytes);
    if (!ok)
        cli_complain("standard input holds no token: pass one line, or say --credential REFERENCE");
    return ok;
}

static const char *id_of(struct json_object *parts, const char *part)
{
    for (size_t i = 0; json_object_is_type(parts, json_type_array) && i < json_object_array_length(parts); i++) {
        struct json_object *object = json_object_array_get_idx(parts, i);
        if (strcmp(text_field(object, "part", ""), part) == 0)
            return text_field(object, "id", "");
    }
    return "";
}

static void print_applied(struct json_object *reply)
{
    size_t count = 0;
    struct json_object *parts = text_list(reply, "parts", &count);
    for (size_t i = 0; i < count; i++) {
        struct json_object *part = json_object_array_get_idx(parts, i);
        printf("%-16s %-32s %s\n", text_field(part, "part", ""), text_field(part, "id", ""),
               json_optional_boolean(part, "made", false) ? "made" : "was there");
    }
    if (json_optional_boolean(reply, "complete", false) && id_of(parts, "rule")[0])
        printf("\nIn [provider %s], if it is not there yet, and then systemctl reload llmhookd:\n\n"
               "federation-rule = %s\nservice-account = %s\n",
               text_field(reply, "provider", ""), id_of(parts, "rule"), id_of(parts, "service account"));
}

static int apply(struct cli *cli, struct json_object *parameters, const char *credential)
{
    prctl(PR_SET_DUMPABLE, 0);
    cleanup_json struct json_object *reply = NULL;
    if (credential) {
        json_put_string(parameters, "credential", credential);
    } else if (!read_token(parameters)) {
        json_object_put(parameters);
        return CLI_USAGE;
    }
    int code = cli_ask(cli, "FederationApply", parameters, APPLY_MS, &reply);
    if (code != CLI_OK)
        return code;
    if (cli->json)
        cli_print_json(reply);
    else
        print_applied(reply);
    if (json_optional_boolean(reply, "complete", false))
        return CLI_OK;
    cli_complain(text_field(reply, "problem", "it is not complete"));
    return CLI_PROBLEM;
}

static int run(struct cli *cli, const struct cli_verb *verb, int argc, char **argv)
{
    const char *provider = NULL, *credential = NULL;
    const struct cli_option options[] = {{"provider", NULL, &provider}, {"credential", NULL, &credential}, {NULL, NULL, NULL}};
    char **words;
    int code;
    if (!cli_options(cli, verb, options, argc, argv, verb->arguments, &words, &code))
        return code;
    bool showing = strcmp(words[0], "show") == 0;
    if (!showing && strcmp(words[0], "apply") != 0) {
        cli_complain("what to do with the federation? `llmhook federation show` or `llmhook federation apply`");
        return CLI_USAGE;
    }
    if (showing && credential) {
        cli_complain("show needs no credential: nothing is asked of Anthropic");
        return CLI_USAGE;
    }
    struct json_object *parameters = json_object_new_object();
    if (provider)
        json_put_string(parameters, "provider", provider);
    return showing ? show(cli, parameters) : apply(cli, parameters, credential);
}

const struct cli_verb cli_federation = {
    .name = "federation",
    .arguments = "WHAT",
    .summary = "show, apply: this host as Anthropic's identity provider",
    .help = "show prints what is to be entered at Anthropic once, so that it takes the tokens\n"
            "that this host signs. apply enters it, with an OAuth token of the scope\n"
            "org:admin on standard input: it finds what is there by its name, makes what is\n"
            "missing, and changes and removes nothing.\n\n"
            "  --provider NAME         which, where there are several\n"
            "  --credential REFERENCE  where the token is (file:, env:, ...), for llmhookd\n",
    .run = run,
};
