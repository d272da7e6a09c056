/* Which key the ledger's secrets are sealed under, and that it stays that one. */
#ifndef LLMHOOK_DAEMON_SEALING_H
#define LLMHOOK_DAEMON_SEALING_H

#include "base/secret.h"
#include "ledger/ledger.h"

/* Opens WHERE (a path, or "credential:NAME" of systemd's). A file is made only for a ledger that never knew a sealing key;
 * ERROR_NOT_FOUND where there is none for one that did, ERROR_DENIED for another than its secrets were sealed under: both
 * say what to do. Owner: the caller. */
bool sealing_open(struct ledger *ledger, const char *where, struct seal **ret_seal, struct error *err);

/* How many keys are to be revoked, and how many were removed from the pool. */
struct sealing_lost {
    size_t keys, pooled;
};
/* The key is lost for good: gives up all secrets that were sealed under it, in one transaction. The keys that these were the
 * secrets of are to be revoked, so that the daemon replaces them; free ones of the pool are removed from it. ERROR_EXISTS
 * where WHERE has the key: nothing is lost then. */
bool sealing_give_up(struct ledger *ledger, const char *where, struct sealing_lost *ret_lost, struct error *err);

#endif
