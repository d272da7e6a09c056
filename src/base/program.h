/* Runs somebody else's program to its end, in the thread that asks: no shell, a clean environment, bounded in time and
 * size. What it prints may be a key, so it is collected in a buffer that is wiped. libc only. */
#ifndef LLMHOOK_BASE_PROGRAM_H
#define LLMHOOK_BASE_PROGRAM_H

#include "base/buffer.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    PROGRAM_ARGUMENTS_MAX = 32,
    PROGRAM_COMPLAINT_SIZE = 301,
};

struct program {
    const char *const *argv;        /* argv[0] is an absolute path; ended by NULL. No secret belongs here */
    const char *const *environment; /* "NAME=value", ended by NULL. Nor here */
    const struct buffer *input;     /* for its standard input; NULL: it is empty */
    int64_t timeout_ms;
    int cancel;                     /* a descriptor: when it is readable the program is killed; -1: none */
};

enum program_end {
    PROGRAM_EXITED,      /* status: its exit code */
    PROGRAM_KILLED,      /* status: the signal */
    PROGRAM_TIMED_OUT,   /* it and its process group were killed */
    PROGRAM_TOO_MUCH,    /* the same: it printed more than the output's maximum */
    PROGRAM_CANCELLED,   /* the same */
    PROGRAM_NOT_STARTED, /* nothing happened */
};

struct program_result {
    enum program_end end;
    int status;
    struct buffer output; /* of PROGRAM_EXITED and PROGRAM_KILLED; its maximum is the caller's. Owner: the caller */
    /* The beginning of its standard error on one line, printable, what looks like a key left out; may be empty. */
    char complaint[PROGRAM_COMPLAINT_SIZE];
    struct error error; /* a sentence unless it exited with 0: what it did, and its complaint */
};
#define PROGRAM_RESULT_INIT(max) {.output = BUFFER_INIT(max)}

/* True when it exited with 0. */
bool program_run(const struct program *program, struct program_result *result);

/* Whether PATH is a program that only root or we could have put there, by the owners and modes of the file, of the folders
 * above it and of those that symbolic links lead through; else a sentence. What an access list allows is not looked at. */
bool program_trusted(const char *path, struct error *err);

/* "PATH=...", "HOME=..." and, where systemd gave us one, "CREDENTIALS_DIRECTORY=...", then each variable of ours whose
 * name begins with one of PREFIXES (ended by NULL; may be NULL). Owner of the array and its strings: the caller. NULL:
 * memory is short. */
char **program_environment(const char *const *prefixes);
void program_environment_free(char **environment);

#endif
