/* Keys that a program prints: any (exec:), or the user's sops (sops:). No shell is between, the key is what comes on
 * standard output, and what the program complains of is told without what looks like a key. */
#include "credentials/source.h"

#include "base/cleanup.h"
#include "base/program.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum {
    TIMEOUT_MS = 20000,
    ARGUMENTS_MAX = PROGRAM_ARGUMENTS_MAX,
    KEY_PATH_MAX = 16, /* steps into a file of sops */
    TEXT_MAX = 1024,
};

static bool run(const char *reference, const char *const *argv, const char *const *prefixes, struct secret **ret_secret,
                struct error *err)
{
    struct program_result result = PROGRAM_RESULT_INIT(SECRET_MAX + 64); /* and some white space */
    char **environment = program_environment(prefixes);
    if (!environment)
        return error_set(err, ERROR_IO, "%s: out of memory", reference);
    const struct program program = {argv, (const char *const *)environment, NULL, TIMEOUT_MS, -1};
    bool ok = program_run(&program, &result);
    if (ok)
        ok = source_take(reference, buffer_text(&result.output), result.output.length, ret_secret, err);
    else if (err)
        *err = result.error;
    buffer_clear(&result.output);
    program_environment_free(environment);
    return ok;
}

/* --- exec:/path/to/program ARGUMENTS --- */

/* Splits TEXT in place at its blanks. False: there are too many words. */
static bool split(char *text, const char *words[ARGUMENTS_MAX + 1])
{
    size_t count = 0;
    char *rest = NULL;
    for (char *word = strtok_r(text, " \t", &rest); word; word = strtok_r(NULL, " \t", &rest)) {
        if (count == ARGUMENTS_MAX)
            return false;
        words[count++] = word;
    }
    words[count] = NULL;
    return count > 0;
}

bool source_exec_valid(const char *rest, struct error *err)
{
    char text[TEXT_MAX];
    const char *words[ARGUMENTS_MAX + 1];
    if (rest[0] != '/' || strlen(rest) >= sizeof text)
        return error_set(err, ERROR_INVALID,
                         "after exec: comes a program's absolute path and its arguments, as in exec:/usr/bin/pass show openai");
    memcpy(text, rest, strlen(rest) + 1);
    return split(text, words) ||
           error_set(err, ERROR_INVALID, "a program behind exec: has at most %d arguments", ARGUMENTS_MAX - 1);
}

bool source_exec_fetch(const char *reference, const char *rest, struct secret **ret_secret, struct error *err)
{
    char text[TEXT_MAX];
    const char *words[ARGUMENTS_MAX + 1];
    snprintf(text, sizeof text, "%s", rest);
    return split(text, words) && program_trusted(words[0], err) && run(reference, words, NULL, ret_secret, err);
}

/* --- sops:/path/file.yaml#key.path --- */

/* "a.b.0" as sops wants it: ["a"]["b"][0]. */
static bool make_extract(const char *path, char *extract, size_t size)
{
    size_t used = 0;
    for (unsigned steps = 0; *path; steps++) {
        size_t length = strcspn(path, ".");
        bool number = length > 0 && strspn(path, "0123456789") == length;
        if (length == 0 || steps == KEY_PATH_MAX || used + length + 5 >= size)
            return false;
        used += (size_t)snprintf(extract + used, size - used, number ? "[%.*s]" : "[\"%.*s\"]", (int)length, path);
        path += length;
        if (*path == '.' && !path[1])
            return false;
        path += *path == '.';
    }
    return used > 0;
}

bool source_sops_valid(const char *rest, struct error *err)
{
    char extract[TEXT_MAX];
    const char *key = strrchr(rest, '#');
    if (rest[0] != '/' || !key || key == rest + 1 || (size_t)(key - rest) >= PATH_MAX || !source_made_of(key + 1, "_-.") ||
        !make_extract(key + 1, extract, sizeof extract))
        return error_set(err, ERROR_INVALID,
                         "after sops: comes an absolute path and where in that file the key is, as in "
                         "sops:/etc/llmhook/keys.yaml#openai.admin");
    return true;
}

/* Where the daemon's PATH has it, among directories that are absolute. */
static bool find_sops(char *ret_path, size_t size, struct error *err)
{
    const char *path = getenv("PATH");
    for (const char *at = path && *path ? path : "/usr/local/bin:/usr/bin:/bin"; *at;) {
        size_t length = strcspn(at, ":");
        if (*at == '/' && snprintf(ret_path, size, "%.*s/sops", (int)length, at) < (int)size && access(ret_path, X_OK) == 0)
            return program_trusted(ret_path, err);
        at += length;
        at += *at == ':';
    }
    return error_set(err, ERROR_NOT_FOUND, "there is no sops on the daemon's PATH: install it, or set PATH in the unit");
}

bool source_sops_fetch(const char *reference, const char *rest, struct secret **ret_secret, struct error *err)
{
    /* How sops finds what it decrypts with is between it and whoever set up the daemon's environment. */
    static const char *const prefixes[] = {"SOPS_", "GNUPGHOME=", "AWS_", "GOOGLE_", "AZURE_", "VAULT_", "XDG_CONFIG_HOME=",
                                           NULL};
    char program[PATH_MAX], file[PATH_MAX], extract[TEXT_MAX];
    const char *key = strrchr(rest, '#');
    snprintf(file, sizeof file, "%.*s", (int)(key - rest), rest);
    make_extract(key + 1, extract, sizeof extract);
    if (access(file, R_OK) < 0)
        return error_set_errno(err, errno, "%s: %s cannot be read", reference, file);
    const char *const argv[] = {program, "--decrypt", "--extract", extract, file, NULL};
    if (!find_sops(program, sizeof program, err) || !run(reference, argv, prefixes, ret_secret, err))
        return error_prefix(err, "%s", reference);
    return true;
}
