/* Where admin keys come from. A reference names the place; the key itself stands in no configuration.
 *
 *   env:NAME          a variable of the daemon's environment
 *   file:/path        a file that nobody but its owner (root or us) can read
 *   credential:NAME   systemd's $CREDENTIALS_DIRECTORY/NAME (LoadCredential=, SetCredentialEncrypted=)
 *   exec:/path ARGS   what a program prints
 *   vault:M/PATH#F    a field of a secret in Vault or OpenBao
 *   vault-token:URL   the token that opens that Vault, for a provider whose keys are made there, if it is still at URL
 *   sops:/path#a.b    a value in a file of sops
 */
#ifndef LLMHOOK_CREDENTIALS_CREDENTIAL_H
#define LLMHOOK_CREDENTIALS_CREDENTIAL_H

#include "base/error.h"
#include "base/secret.h"

#include <stdbool.h>

#define CREDENTIAL_VAULT_TOKEN "vault-token:"

/* Says whether REFERENCE has a form we know, without fetching. */
bool credential_valid(const char *reference, struct error *err);

/* REFERENCE for sentences about where a key is. Borrowed. */
const char *credential_told(const char *reference);

/* Whether fetching it may take seconds: then no loop's thread does it. */
bool credential_blocks(const char *reference);

/* [vault]. All are NUL-terminated; references are never vault: themselves. */
struct credential_vault {
    char address[256];       /* "https://vault.example:8200", without a slash at its end; empty: there is none */
    char token[256];         /* a reference; empty: an AppRole is used */
    char role_id[256];       /* references */
    char secret_id[256];
    char approle_mount[64];
    char name_space[128];    /* empty: none */
    char ca_file[256];       /* empty: the system's */
    int kv_version;          /* 1, 2 or 0: the mount is asked */
};
/* From now on vault: means this one. From any thread. */
void credential_use_vault(const struct credential_vault *vault);

/* Fetches it now; white space around it is dropped; empty is an error. The error names the reference and says what
 * to do, never what was read. Owner of *RET_SECRET: the caller. */
bool credential_fetch(const char *reference, struct secret **ret_secret, struct error *err);

#endif
