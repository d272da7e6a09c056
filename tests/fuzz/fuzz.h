/* What fuzz targets share. A target is one file with LLVMFuzzerTestOneInput(): linked with libFuzzer by `make fuzz`, with
 * replay.c for the ordinary tests, which run what is kept in corpus/TARGET/.
 *
 * Not to crash is the least of it: a target says with must() what holds whatever the input. */
#ifndef LLMHOOK_TESTS_FUZZ_FUZZ_H
#define LLMHOOK_TESTS_FUZZ_FUZZ_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Always returns 0. DATA is an allocation of exactly SIZE bytes, so that reading beyond it shows. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define must(condition)                                                                                        \
    do {                                                                                                       \
        if (!(condition)) {                                                                                    \
            fprintf(stderr, "%s:%d: %s: does not hold: %s\n", __FILE__, __LINE__, __func__, #condition);       \
            abort();                                                                                           \
        }                                                                                                      \
    } while (0)

/* The same with an error's text, which says why not. */
#define must_succeed(call, err)                                                                                \
    do {                                                                                                       \
        if (!(call)) {                                                                                         \
            fprintf(stderr, "%s:%d: %s: failed: %s: %s\n", __FILE__, __LINE__, __func__, #call, (err).text);   \
            abort();                                                                                           \
        }                                                                                                      \
    } while (0)

/* An input of several parts (answers one after the other) has this byte between them: ASCII's record separator. */
#define FUZZ_SEPARATOR '\x1e'

struct fuzz_input {
    const char *rest;
    size_t left;
    bool ended;
};

static inline struct fuzz_input fuzz_input(const uint8_t *data, size_t size)
{
    return (struct fuzz_input){(const char *)data, size, false};
}

/* The next part, which may be empty; false behind the last. */
static inline bool fuzz_next(struct fuzz_input *input, const char **ret_part, size_t *ret_length)
{
    if (input->ended)
        return false;
    const char *separator = input->left ? memchr(input->rest, FUZZ_SEPARATOR, input->left) : NULL;
    *ret_part = input->rest;
    *ret_length = separator ? (size_t)(separator - input->rest) : input->left;
    input->ended = !separator;
    input->rest += *ret_length + (separator ? 1 : 0);
    input->left -= *ret_length + (separator ? 1 : 0);
    return true;
}

/* One byte off the front, 0 when there is none. */
static inline unsigned char fuzz_byte(struct fuzz_input *input)
{
    if (!input->left)
        return 0;
    input->left--;
    return (unsigned char)*input->rest++;
}

/* A copy of a part as a C string: cut at its first NUL. Owner: the caller. */
static inline char *fuzz_text(const char *part, size_t length)
{
    const char *end = length ? memchr(part, '\0', length) : NULL;
    size_t taken = end ? (size_t)(end - part) : length;
    char *text = malloc(taken + 1); /* not strndup(): ASan's strict_string_checks wants a NUL behind PART */
    must(text);
    if (taken)
        memcpy(text, part, taken);
    text[taken] = '\0';
    return text;
}

/* What every error's text has: an end, and nothing that a terminal or a log acts on. */
static inline void fuzz_check_error(const struct error *err)
{
    must(memchr(err->text, '\0', sizeof err->text));
    must(err->code == ERROR_NONE || err->text[0]);
    for (const char *at = err->text; *at; at++)
        must((unsigned char)*at >= ' ' && *at != 127);
}

#endif
