/* cmocka with the includes it wants, and the few checks that read better under a name of their own. */
#ifndef LLMHOOK_TESTS_UNIT_CHECK_H
#define LLMHOOK_TESTS_UNIT_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/error.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* A negative test names the error: its code and a piece of its text. */
#define check_error(err, wanted_code, piece)                                                          \
    do {                                                                                              \
        if ((err).code != (wanted_code) || !strstr((err).text, piece))                                \
            fail_msg("error is %s '%s', wanted %s with '%s'", error_code_name((err).code), (err).text, \
                     error_code_name(wanted_code), piece);                                            \
    } while (0)

/* Runs the group, between SETUP and TEARDOWN, and prints TAP. */
#define check_run_within(tests, setup, teardown) \
    (cmocka_set_message_output(CM_OUTPUT_TAP), cmocka_run_group_tests(tests, setup, teardown))
#define check_run(tests) check_run_within(tests, NULL, NULL)

#endif
