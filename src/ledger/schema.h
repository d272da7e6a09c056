/* The ledger's tables, and how an older file is brought up to them. */
#ifndef LLMHOOK_LEDGER_SCHEMA_H
#define LLMHOOK_LEDGER_SCHEMA_H

#include "ledger/database.h"

/* *RET_VERSION: 0 for an empty database. ERROR_INVALID: a database of something else, or newer than LEDGER_SCHEMA. */
bool schema_identify(struct database *database, const char *path, int64_t *ret_version, struct error *err);
/* From VERSION to LEDGER_SCHEMA, in one transaction. */
bool schema_migrate(struct database *database, int64_t version, struct error *err);
/* Reads everything: page structure, indexes, constraints, references. ERROR_IO says what is wrong first. */
bool schema_check(struct database *database, struct error *err);

#endif
