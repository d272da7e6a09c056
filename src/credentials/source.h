/* What the kinds of references share. For this folder only. */
#ifndef LLMHOOK_CREDENTIALS_SOURCE_H
#define LLMHOOK_CREDENTIALS_SOURCE_H

#include "base/error.h"
#include "base/secret.h"

#include <stdbool.h>
#include <stddef.h>

/* White space around it is dropped. A credential becomes part of a header line: one word of printable characters.
 * Errors name REFERENCE and never what was read. */
bool source_take(const char *reference, const char *text, size_t length, struct secret **ret_secret, struct error *err);

/* Made of letters, digits and OTHERS; true when it is empty. */
bool source_made_of(const char *text, const char *others);

/* Each kind: is what stands behind the colon well formed, and fetching it. REST is that part of REFERENCE. */
bool source_exec_valid(const char *rest, struct error *err);
bool source_exec_fetch(const char *reference, const char *rest, struct secret **ret_secret, struct error *err);
bool source_sops_valid(const char *rest, struct error *err);
bool source_sops_fetch(const char *reference, const char *rest, struct secret **ret_secret, struct error *err);
bool source_vault_valid(const char *rest, struct error *err);
bool source_vault_fetch(const char *reference, const char *rest, struct secret **ret_secret, struct error *err);
bool source_vault_token_valid(const char *rest, struct error *err);
bool source_vault_token_fetch(const char *reference, const char *rest, struct secret **ret_secret, struct error *err);

#endif
