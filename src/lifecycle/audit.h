/* What to think of one thing found at a provider, in the ledger or in a guest. Pure. */
#ifndef LLMHOOK_LIFECYCLE_AUDIT_H
#define LLMHOOK_LIFECYCLE_AUDIT_H

#include "lifecycle/domain.h"
#include "lifecycle/records.h"

#include <stdbool.h>

enum audit_verdict {
    AUDIT_OK,
    AUDIT_ORPHAN,      /* ours by its name, and no row of ours knows it */
    AUDIT_STALE,       /* the guest holds something else than it should */
    AUDIT_ZOMBIE,      /* alive at the provider though its domain does not run */
    AUDIT_MISSING,     /* a row says it lives; the provider does not have it */
    AUDIT_UNDELIVERED, /* minted, and not proven in a guest that could have proven it */
    AUDIT_STUCK,       /* its revocation fails again and again */
    AUDIT_FOREIGN,     /* another host's, or made by somebody in a container of ours: never touched */
};
const char *audit_verdict_name(enum audit_verdict verdict);
/* False for the verdicts that are no drift: ok and foreign. */
bool audit_verdict_is_drift(enum audit_verdict verdict);

/* A key that the provider lists. RECORD: the live row with that id, or NULL. NAME_OURS: it is called as this host's
 * keys are. STATE: of the row's domain. */
enum audit_verdict audit_listed_key(bool name_ours, const struct key_record *record, enum domain_state state);
/* A container that the provider lists. */
enum audit_verdict audit_listed_container(bool name_ours, const struct container_record *record);
/* A live row that was not in the list. */
enum audit_verdict audit_unlisted_key(const struct key_record *record);
enum audit_verdict audit_unlisted_container(const struct container_record *record);

#endif
