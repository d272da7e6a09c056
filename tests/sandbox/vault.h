/* Vault, or OpenBao, at /vault: tokens, AppRole, key-value stores, and one dynamic secrets engine with its leases. */
#ifndef SANDBOX_VAULT_H
#define SANDBOX_VAULT_H

#include "fields.h"
#include "provider.h"

struct vault;

extern const struct provider vault_provider;

struct vault *vault_new(void);
void vault_free(struct vault *vault);

/* For /outside: false when the action is none of Vault's. */
bool vault_outside(struct store *store, struct json_object *description, struct json_object *result, const char **error);

#endif
