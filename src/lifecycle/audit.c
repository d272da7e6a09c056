#include "lifecycle/audit.h"

enum { STUCK_ATTEMPTS = 3 };

const char *audit_verdict_name(enum audit_verdict verdict)
{
    static const char *const names[] = {
        [AUDIT_OK] = "ok", [AUDIT_ORPHAN] = "orphan", [AUDIT_STALE] = "stale", [AUDIT_ZOMBIE] = "zombie",
        [AUDIT_MISSING] = "missing", [AUDIT_UNDELIVERED] = "undelivered", [AUDIT_STUCK] = "stuck",
        [AUDIT_FOREIGN] = "foreign",
    };
    return names[verdict];
}

bool audit_verdict_is_drift(enum audit_verdict verdict)
{
    return verdict != AUDIT_OK && verdict != AUDIT_FOREIGN;
}

enum audit_verdict audit_listed_key(bool name_ours, const struct key_record *record, enum domain_state state)
{
    if (!record)
        return name_ours ? AUDIT_ORPHAN : AUDIT_FOREIGN;
    if (record->state == KEY_REVOKING)
        return record->attempts >= STUCK_ATTEMPTS ? AUDIT_STUCK : AUDIT_OK;
    if (state == DOMAIN_OFF || state == DOMAIN_ABSENT)
        return AUDIT_ZOMBIE;
    return AUDIT_OK;
}

enum audit_verdict audit_listed_container(bool name_ours, const struct container_record *record)
{
    if (!record)
        return name_ours ? AUDIT_ORPHAN : AUDIT_FOREIGN;
    if (record->state == CONTAINER_ARCHIVING && record->attempts >= STUCK_ATTEMPTS)
        return AUDIT_STUCK;
    return AUDIT_OK;
}

enum audit_verdict audit_unlisted_key(const struct key_record *record)
{
    switch (record->state) {
    case KEY_MINTED:
    case KEY_ACTIVE:
    case KEY_SUSPENDED:
    case KEY_RETIRING:
        return AUDIT_MISSING;
    case KEY_PLANNED:
    case KEY_MINTING:
    case KEY_REVOKING:
    case KEY_REVOKED:
        break;
    }
    return AUDIT_OK;
}

enum audit_verdict audit_unlisted_container(const struct container_record *record)
{
    return record->state == CONTAINER_OPEN && record->kind != CONTAINER_GIVEN ? AUDIT_MISSING : AUDIT_OK;
}
