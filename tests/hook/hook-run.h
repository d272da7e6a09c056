/* Runs the hook as libvirt does: XML in a pipe, output read to its end, and the time it took. */
#ifndef LLMHOOK_TESTS_HOOK_HOOK_RUN_H
#define LLMHOOK_TESTS_HOOK_HOOK_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum hook_input {
    INPUT_TEXT,    /* the XML, then the end */
    INPUT_NONE,    /* /dev/null */
    INPUT_CLOSED,  /* no standard input at all */
    INPUT_ENDLESS, /* the XML, but the end never comes */
};

struct hook_setting {
    enum hook_input input;
    const char *xml; /* may be NULL: empty */
    size_t xml_length;
    int late_ms;          /* so long after the start the XML begins to come */
    const char *user;     /* LLMHOOK_TEST_UID, or NULL */
    bool streams_closed;  /* standard output and error too */
    bool stderr_broken;   /* nobody reads standard error any more */
    bool no_file_content; /* RLIMIT_FSIZE 0: every write to a file fails, and would signal */
};

struct hook_outcome {
    int status;     /* exit status, or 1000 + the signal that killed it */
    int64_t ms;     /* from before fork until it has exited and closed its output */
    char out[4096]; /* NUL-terminated */
    char err[4096];
    size_t unread; /* bytes of the XML that it left in the pipe (INPUT_TEXT that fits into a pipe) */
};

/* PROGRAM with ARGUMENTS (NULL-terminated, argv[0] not among them) and nothing in its environment but ROOT and the
 * user. Exits the test program when it cannot be run. */
struct hook_outcome hook_run(const char *program, const char *root, const char *const arguments[],
                             const struct hook_setting *setting);

#endif
