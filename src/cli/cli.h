/* The operator's command: its verbs, and what they share. */
#ifndef LLMHOOK_CLI_CLI_H
#define LLMHOOK_CLI_CLI_H

#include "base/error.h"

#include <json-c/json_object.h>
#include <stdbool.h>
#include <stdint.h>

/* Exit codes, the same for every verb. */
enum cli_exit {
    CLI_OK = 0,
    CLI_PROBLEM = 1,   /* the answer is bad news: drift, a failed check, no such domain, nothing to rotate */
    CLI_NO_ANSWER = 2, /* could not tell: no daemon, no permission, no complete answer */
    CLI_USAGE = 64,    /* the command line makes no sense (EX_USAGE) */
};

struct cli {
    const char *socket;
    bool json;
    bool terminal; /* standard output is one */
    bool colour;
};

/* A verb's own option: sets *ON, or *TEXT to its argument. */
struct cli_option {
    const char *name;
    bool *on;
    const char **text;
};

struct cli_verb {
    const char *name;
    const char *arguments; /* for the usage line, "" for none */
    const char *summary;   /* one line for the list of verbs */
    const char *help;      /* what it does, and its own options */
    int (*run)(struct cli *cli, const struct cli_verb *verb, int argc, char **argv);
};

extern const struct cli_verb cli_status, cli_show, cli_audit, cli_history, cli_revoke, cli_rotate, cli_usage, cli_alert, cli_pool,
    cli_guest,
    cli_federation, cli_admin_key, cli_doctor;

/* Reads the options of a verb (its own, which end with a NULL name, and the global ones) and expects the words that
 * EXPECTED names, as in "PROVIDER ID"; NULL: what is expected depends on what there is, see cli_expect(). *RET_WORDS
 * points into ARGV and ends with NULL. False: *RET_EXIT is the exit code, and everything has been said. */
bool cli_options(struct cli *cli, const struct cli_verb *verb, const struct cli_option *options, int argc, char **argv,
                 const char *expected, char ***ret_words, int *ret_exit);

/* Whether WORDS are as many as EXPECTED names. False: as above. */
bool cli_expect(const struct cli_verb *verb, char **words, const char *expected, int *ret_exit);

/* Says on standard error what went wrong, neutralised. */
void cli_complain(const char *text);

/* Asks the daemon. Takes over PARAMETERS. On success CLI_OK, and *RET_REPLY (owner: the caller) holds the parameters
 * of its reply, in which every string is safe to print; unless cli->json is set: then it is as it came. Otherwise
 * everything has been said, and the result is the exit code. */
int cli_ask(const struct cli *cli, const char *method, struct json_object *parameters, int64_t timeout_ms,
            struct json_object **ret_reply);

/* The same, and CONTINUED (with CONTEXT) is told of every reply before the last, as it came: it must neutralise what it
 * prints. */
int cli_ask_more(const struct cli *cli, const char *method, struct json_object *parameters, int64_t timeout_ms,
                 void (*continued)(void *context, struct json_object *parameters), void *context,
                 struct json_object **ret_reply);

/* Asks QUESTION (safe to print) on standard error. True for "y" and "yes" alone: not for the end of the input, an empty
 * line or a mistyped word. */
bool cli_confirmed(const char *question);

/* Prints OBJECT for --json: indented, and nothing in it that a terminal acts upon. */
void cli_print_json(struct json_object *object);

/* Neutralises every string in OBJECT, at any depth. */
void cli_neutralise(struct json_object *object);

#endif
