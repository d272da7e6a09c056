/* A unit of work inside of the ledger: what every writing call is wrapped in. */
#ifndef LLMHOOK_LEDGER_UNIT_H
#define LLMHOOK_LEDGER_UNIT_H

#include "ledger/database.h"

struct ledger {
    struct database *database;
    int lock;
    bool transaction;     /* between ledger_begin() and its end */
    bool unwritten;       /* committed since the last checkpoint */
    struct error failure; /* the first failed write in the transaction; code ERROR_NONE: none yet */
};

/* Joins the caller's transaction, or begins one that unit_end() ends (*RET_OWN). After a failed write nothing more is
 * written in that transaction, as in PostgreSQL: half of what was meant must never be committed. */
bool unit_begin(struct ledger *ledger, const char *operation, bool *ret_own, struct error *err);
/* OK: how the work went; ERR holds why not. Returns whether it is done, and durable if it was a transaction of its own. */
bool unit_end(struct ledger *ledger, bool own, bool ok, struct error *err);

/* secrets.c, for what is in the pool: inside of a unit of the caller's. */
bool secrets_put_of_pool(struct ledger *ledger, int64_t pool_id, const unsigned char *sealed, size_t length, struct error *err);

#endif
