/* For tests of the configuration file: texts that are read, and texts that are refused. Inline, because not every test needs
 * all of it. */
#ifndef LLMHOOK_TESTS_UNIT_CONFIG_FIXTURE_H
#define LLMHOOK_TESTS_UNIT_CONFIG_FIXTURE_H

#include "check.h"

#include "config/config.h"

#include <stdio.h>
#include <string.h>

static inline struct config *parse(const char *text)
{
    struct error err = ERROR_INIT;
    struct config *config = NULL;
    if (!config_parse("f.conf", text, strlen(text), &config, &err))
        fail_msg("not read: %s\n%s", err.text, text);
    return config;
}

/* TEXT must be refused in exactly these words, or in those before "...": lists of what there is grow. */
static inline void check_refused(const char *text, const char *wanted)
{
    struct error err = ERROR_INIT;
    struct config *config = (struct config *)&err;
    if (config_parse("f.conf", text, strlen(text), &config, &err))
        fail_msg("read, although it should not, wanted: %s", wanted);
    size_t length = strlen(wanted);
    bool begins = length > 3 && strcmp(wanted + length - 3, "...") == 0;
    if (err.code != ERROR_INVALID || (begins ? strncmp(err.text, wanted, length - 3) : strcmp(err.text, wanted)) != 0)
        fail_msg("error is %s\n'%s', wanted\n'%s'", error_code_name(err.code), err.text, wanted);
    assert_null(strstr(err.text, "canary")); /* a secret */
    assert_ptr_equal(config, &err);
}

struct refused {
    const char *text, *wanted;
};

static inline void check_all_refused(const struct refused *refused, size_t count)
{
    for (size_t i = 0; i < count; i++)
        check_refused(refused[i].text, refused[i].wanted);
}

#endif
