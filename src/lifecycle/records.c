/* The words that stand for states in the ledger, in JSON and on the terminal. Stored for ever: never change one. */
#include "lifecycle/records.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const char *const key_states[] = {
    [KEY_PLANNED] = "planned",     [KEY_MINTING] = "minting",   [KEY_MINTED] = "minted",     [KEY_ACTIVE] = "active",
    [KEY_SUSPENDED] = "suspended", [KEY_RETIRING] = "retiring", [KEY_REVOKING] = "revoking", [KEY_REVOKED] = "revoked",
};

static const char *const container_kinds[] = {
    [CONTAINER_PER_DOMAIN] = "per-domain",
    [CONTAINER_PER_OWNER] = "per-owner",
    [CONTAINER_GIVEN] = "given",
};

static const char *const container_states[] = {
    [CONTAINER_PLANNED] = "planned",     [CONTAINER_CREATING] = "creating", [CONTAINER_OPEN] = "open",
    [CONTAINER_ARCHIVING] = "archiving", [CONTAINER_ARCHIVED] = "archived",
};

static const char *const pool_states[] = {[POOL_FREE] = "free", [POOL_CLAIMED] = "claimed", [POOL_SPENT] = "spent"};

/* libvirt's own words for the hook's `release`, the space in the snapshot's included, so that what a hook was
 * told can be parsed as it came. */
static const char *const stop_reasons[] = {
    [STOP_NONE] = "none",           [STOP_UNKNOWN] = "unknown",
    [STOP_SHUTDOWN] = "shutdown",   [STOP_DESTROYED] = "destroyed",
    [STOP_CRASHED] = "crashed",     [STOP_MIGRATED] = "migrated",
    [STOP_SAVED] = "saved",         [STOP_FAILED] = "failed",
    [STOP_FROM_SNAPSHOT] = "from snapshot", [STOP_DAEMON] = "daemon",
};

static const char *name_of(const char *const names[], size_t count, unsigned value)
{
    return value < count ? names[value] : "invalid";
}

static bool find(const char *const names[], size_t count, const char *name, unsigned *ret_value)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i], name) == 0) {
            *ret_value = (unsigned)i;
            return true;
        }
    }
    return false;
}

const char *key_state_name(enum key_state state)
{
    return name_of(key_states, COUNT(key_states), state);
}

bool key_state_parse(const char *name, enum key_state *ret_state)
{
    unsigned value;
    if (!find(key_states, COUNT(key_states), name, &value))
        return false;
    *ret_state = (enum key_state)value;
    return true;
}

const char *container_kind_name(enum container_kind kind)
{
    return name_of(container_kinds, COUNT(container_kinds), kind);
}

bool container_kind_parse(const char *name, enum container_kind *ret_kind)
{
    unsigned value;
    if (!find(container_kinds, COUNT(container_kinds), name, &value))
        return false;
    *ret_kind = (enum container_kind)value;
    return true;
}

const char *container_state_name(enum container_state state)
{
    return name_of(container_states, COUNT(container_states), state);
}

bool container_state_parse(const char *name, enum container_state *ret_state)
{
    unsigned value;
    if (!find(container_states, COUNT(container_states), name, &value))
        return false;
    *ret_state = (enum container_state)value;
    return true;
}

const char *pool_state_name(enum pool_state state)
{
    return name_of(pool_states, COUNT(pool_states), state);
}

bool pool_state_parse(const char *name, enum pool_state *ret_state)
{
    unsigned value;
    if (!find(pool_states, COUNT(pool_states), name, &value))
        return false;
    *ret_state = (enum pool_state)value;
    return true;
}

const char *stop_reason_name(enum stop_reason reason)
{
    return name_of(stop_reasons, COUNT(stop_reasons), reason);
}

bool stop_reason_parse(const char *name, enum stop_reason *ret_reason)
{
    unsigned value;
    if (!find(stop_reasons, COUNT(stop_reasons), name, &value))
        return false;
    *ret_reason = (enum stop_reason)value;
    return true;
}
