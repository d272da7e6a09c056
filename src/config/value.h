/* What the values of a configuration have in common: words, numbers, paths. The texts of errors name neither file nor key. */
#ifndef LLMHOOK_CONFIG_VALUE_H
#define LLMHOOK_CONFIG_VALUE_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* VALUE is written into TO, of SIZE bytes, if it fits. All of these fail with ERROR_INVALID. */
bool value_copy(char *to, size_t size, const char *value, struct error *err);

/* An absolute path. */
bool value_path(char *to, size_t size, const char *value, struct error *err);

/* One of WORDS (ended by NULL), by index. */
bool value_word(const char *const *words, const char *value, size_t *ret_index);

/* A duration between two others, given as they are to be shown. */
bool value_duration(int64_t *ret_ms, const char *least, const char *most, const char *value, struct error *err);

/* Digits alone, from 1 to MOST. */
bool value_count(int64_t *ret_count, int64_t most, const char *value, struct error *err);

/* Made of letters, digits and '-', '_', '.' (and MORE), not beginning with one of those. */
bool value_is_plain(const char *text, const char *more);

/* Splits off the first word of *AT, in place; NULL when there is none. */
char *value_next_word(char **at);

/* A namespace of Vault's. */
bool value_namespace(char *to, size_t size, const char *value, struct error *err);

#endif
