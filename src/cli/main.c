#ifdef HAVE_CONFIG_H
#endif

#include "cli/cli.h"

#include "base/buffer.h"
#include "base/places.h"
#include "cli/text.h"

#include <errno.h>
#include <getopt.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct cli_verb *const verbs[] = {&cli_status, &cli_show, &cli_audit, &cli_history, &cli_revoke, &cli_rotate,
                                               &cli_usage, &cli_alert, &cli_pool, &cli_guest, &cli_federation, &cli_admin_key,
                                               &cli_doctor};
enum { VERBS = sizeof verbs / sizeof verbs[0], OWN_OPTIONS_MAX = 8 };

/* Above every character: getopt_long() tells by one value of a letter or of an option that is wrong. */
enum { OPTION_JSON = 256, OPTION_SOCKET, OPTION_HELP, OPTION_VERSION, OPTION_OWN };
static const struct option global_options[] = {
    {"json", no_argument, NULL, OPTION_JSON},
    {"socket", required_argument, NULL, OPTION_SOCKET},
    {"help", no_argument, NULL, OPTION_HELP},
    {"version", no_argument, NULL, OPTION_VERSION},
};
enum { GLOBAL_OPTIONS = sizeof global_options / sizeof global_options[0] };

static const char global_help[] = "Options everywhere:\n"
                                  "  --json          the daemon's answer as JSON\n"
                                  "  --socket PATH   the daemon's socket (" PLACE_SOCKET ")\n"
                                  "  --help          this text\n"
                                  "  --version       the version\n";

static void print_help(void)
{
    printf("Usage: llmhook [OPTION...] VERB [ARGUMENT...]\n\n"
           "Every virtual machine its own LLM API key: what llmhookd does and what it needs.\n\nVerbs:\n");
    for (unsigned i = 0; i < VERBS; i++) {
        char words[64];
        snprintf(words, sizeof words, "%s %s", verbs[i]->name, verbs[i]->arguments);
        printf("  %-15s %s\n", words, verbs[i]->summary);
    }
    printf("\n%s\n"
           "Exit codes: 0 fine; 1 bad news (drift, a failed check, no such domain); 2 could\n"
           "not tell (no daemon, no complete answer); 64 the command line makes no sense.\n"
           "More: man llmhook, or llmhook VERB --help.\n",
           global_help);
}

static void print_verb_help(const struct cli_verb *verb)
{
    printf("Usage: llmhook %s [OPTION...]%s%s\n\n%s\n%s", verb->name, verb->arguments[0] ? " " : "", verb->arguments,
           verb->help, global_help);
}

__attribute__((format(printf, 2, 3))) static int usage(const struct cli_verb *verb, const char *format, ...)
{
    cleanup_buffer struct buffer text = TEXT_INIT;
    char plain[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(plain, sizeof plain, format, arguments);
    va_end(arguments);
    buffer_printf(&text, "%s: try `llmhook%s%s --help`", plain, verb ? " " : "", verb ? verb->name : "");
    cli_complain(buffer_text(&text));
    return CLI_USAGE;
}

/* What getopt_long() did not take. */
static int refuse_option(const struct cli_verb *verb, int code, const char *word)
{
    if (code == ':')
        return usage(verb, "option '%s' needs an argument", word);
    if (optopt >= OPTION_JSON)
        return usage(verb, "'%s': this option takes no argument", word);
    /* There are no letters that are options. Of several in one word it is not told which word that was. */
    return optopt ? usage(verb, "unknown option '-%c'", optopt) : usage(verb, "unknown option '%s'", word);
}

/* getopt_long() takes the beginning of an option for the whole of it. Here that is a mistake: a slip of the keyboard must not
 * become an option that does a lot. OPTION is what WORD was taken for. */
static bool is_whole(const struct option *option, const char *word)
{
    size_t length = strlen(option->name);
    return strncmp(word, "--", 2) == 0 && strncmp(word + 2, option->name, length) == 0 &&
           (word[2 + length] == '\0' || word[2 + length] == '=');
}

/* As getopt_long(), but for what is said above. False: CODE was wrong, the run ends here, with *RET_EXIT. */
static bool next_option(const struct cli_verb *verb, int argc, char **argv, const char *how, const struct option *table,
                        int *ret_code, int *ret_exit)
{
    int which = 0;
    int code = *ret_code = getopt_long(argc, argv, how, table, &which);
    if (code == -1)
        return true;
    const char *word = argv[optind - 1];
    if (code == ':' || code == '?') {
        *ret_exit = refuse_option(verb, code, word);
        return false;
    }
    if (optarg && optarg == word)
        word = argv[optind - 2];
    if (is_whole(&table[which], word))
        return true;
    *ret_exit = usage(verb, "'%s' is no option: write --%s in full", word, table[which].name);
    return false;
}

/* One of the options everywhere. False: the run ends here, with *RET_EXIT. */
static bool take_option(struct cli *cli, const struct cli_verb *verb, int code, int *ret_exit)
{
    switch (code) {
    case OPTION_JSON:
        cli->json = true;
        return true;
    case OPTION_SOCKET:
        cli->socket = optarg;
        return true;
    case OPTION_HELP:
        if (verb)
            print_verb_help(verb);
        else
            print_help();
        *ret_exit = CLI_OK;
        return false;
    default: /* OPTION_VERSION */
        printf("llmhook %s\n", PACKAGE_VERSION);
        *ret_exit = CLI_OK;
        return false;
    }
}

bool cli_expect(const struct cli_verb *verb, char **words, const char *expected, int *ret_exit)
{
    for (; *expected; words++) {
        size_t length = strcspn(expected, " ");
        if (!*words) {
            *ret_exit = usage(verb, "%.*s is missing", (int)length, expected);
            return false;
        }
        expected += length + strspn(expected + length, " ");
    }
    if (!*words)
        return true;
    *ret_exit = usage(verb, "what is '%s' for?", *words);
    return false;
}

bool cli_options(struct cli *cli, const struct cli_verb *verb, const struct cli_option *options, int argc, char **argv,
                 const char *expected, char ***ret_words, int *ret_exit)
{
    struct option table[GLOBAL_OPTIONS + OWN_OPTIONS_MAX + 1];
    unsigned used = GLOBAL_OPTIONS;
    memcpy(table, global_options, sizeof global_options);
    for (const struct cli_option *own = options; own && own->name && used < GLOBAL_OPTIONS + OWN_OPTIONS_MAX; own++)
        table[used++] = (struct option){own->name, own->text ? required_argument : no_argument, NULL,
                                        OPTION_OWN + (int)(own - options)};
    table[used] = (struct option){NULL, 0, NULL, 0};
    optind = 0; /* glibc: from the start again */
    opterr = 0;
    int code;
    for (;;) {
        if (!next_option(verb, argc, argv, ":", table, &code, ret_exit))
            return false;
        if (code == -1)
            break;
        if (code < OPTION_OWN) {
            if (!take_option(cli, verb, code, ret_exit))
                return false;
            continue;
        }
        const struct cli_option *own = &options[code - OPTION_OWN];
        if (own->text)
            *own->text = optarg;
        else
            *own->on = true;
    }
    *ret_words = argv + optind;
    return !expected || cli_expect(verb, *ret_words, expected, ret_exit);
}

/* What was printed may have gone to a full disk or a closed pipe: then the exit code must not say that all is well. */
static int finish(int code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    if (errno != EPIPE)
        fprintf(stderr, "llmhook: cannot write the answer: %s\n", strerror(errno));
    return code == CLI_OK ? CLI_NO_ANSWER : code;
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct option table[GLOBAL_OPTIONS + 1];
    memcpy(table, global_options, sizeof global_options);
    table[GLOBAL_OPTIONS] = (struct option){NULL, 0, NULL, 0};
    opterr = 0;
    int code, ended;
    while (next_option(NULL, argc, argv, "+:", table, &code, &ended) && code != -1)
        if (!take_option(cli, NULL, code, &ended))
            return ended;
    if (code != -1)
        return ended;
    if (optind == argc)
        return usage(NULL, "what to do?");
    for (unsigned i = 0; i < VERBS; i++)
        if (!strcmp(verbs[i]->name, argv[optind]))
            return verbs[i]->run(cli, verbs[i], argc - optind, argv + optind);
    return usage(NULL, "there is no verb '%s'", argv[optind]);
}

int main(int argc, char **argv)
{
    setlocale(LC_CTYPE, "");
    setlocale(LC_TIME, "");
    const char *plain = getenv("NO_COLOR"), *type = getenv("TERM");
    struct cli cli = {.socket = PLACE_SOCKET, .terminal = isatty(STDOUT_FILENO)};
    cli.colour = cli.terminal && !(plain && plain[0]) && !(type && !strcmp(type, "dumb"));
    return finish(run(&cli, argc, argv));
}
