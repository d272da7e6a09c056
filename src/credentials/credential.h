/* Where admin keys come from. A reference names the place; the key itself stands in no configuration.
 *
 *   env:NAME          a variable of the daemon's environment
 *   file:/path        a file that nobody but its owner (root or us) can read
 *   credential:NAME   systemd's $CREDENTIALS_DIRECTORY/NAME (LoadCredential=, SetCredentialEncrypted=)
 */
#ifndef LLMHOOK_CREDENTIALS_CREDENTIAL_H
#define LLMHOOK_CREDENTIALS_CREDENTIAL_H

#include "base/error.h"
#include "base/secret.h"

#include <stdbool.h>

/* Says whether REFERENCE has a form we know, without fetching. */
bool credential_valid(const char *reference, struct error *err);

/* Fetches it now; white space around it is dropped; empty is an error. The error names the reference and says what
 * to do, never what was read. Owner of *RET_SECRET: the caller. */
bool credential_fetch(const char *reference, struct secret **ret_secret, struct error *err);

#endif
