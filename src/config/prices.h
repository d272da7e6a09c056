/* The price table: a file like the configuration, or the copy that is built in. */
#ifndef LLMHOOK_CONFIG_PRICES_H
#define LLMHOOK_CONFIG_PRICES_H

#include "base/error.h"
#include "lifecycle/prices.h"

#include <stdbool.h>
#include <stddef.h>

enum { PRICES_MAX = 2000 };

/* Reads PATH, or with an empty one what is built in. Owner of *RET_TABLE: the caller (free). ERROR_INVALID: the first
 * problem, by line; other errors as config_read(). */
bool config_prices_read(const char *path, struct price **ret_table, size_t *ret_count, struct error *err);
/* The same for LENGTH bytes that are at hand; NAME stands where the file's path would in error texts. */
bool config_prices_parse(const char *name, const char *text, size_t length, struct price **ret_table, size_t *ret_count,
                         struct error *err);

#endif
