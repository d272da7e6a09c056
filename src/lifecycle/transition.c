#include "lifecycle/transition.h"

#include <stdio.h>
#include <string.h>

static void copy(char *to, size_t size, const char *from)
{
    size_t length = strnlen(from, size - 1);
    memcpy(to, from, length);
    to[length] = '\0';
}

/* Failure is data: the row stays where it is and says what happened last. */
static const char *fail(int64_t *attempts, char last_error[RECORD_ERROR_SIZE], const char *error)
{
    ++*attempts;
    copy(last_error, RECORD_ERROR_SIZE, error);
    return NULL;
}

static void enter_key(struct key_record *key, enum key_state state)
{
    key->state = state;
    key->attempts = 0;
    key->last_error[0] = '\0';
}

static void enter_container(struct container_record *container, enum container_state state)
{
    container->state = state;
    container->attempts = 0;
    container->last_error[0] = '\0';
}

static const char *revoke_key_row(struct key_record *key, int64_t wall, const char *event)
{
    enter_key(key, KEY_REVOKED);
    key->unknown = false;
    key->revoked_at = wall;
    return event;
}

void transition_name_prefix(const char *host_id, char *ret_prefix, size_t size)
{
    snprintf(ret_prefix, size, "llmhook:%s:", host_id);
}

void transition_key_new(struct key_record *key, const struct grant_record *grant, int64_t generation,
                        int64_t predecessor, const char *host_id, int64_t wall)
{
    memset(key, 0, sizeof *key);
    key->grant_id = grant->id;
    key->generation = generation;
    key->predecessor = predecessor;
    key->state = KEY_PLANNED;
    key->created_at = wall;
    snprintf(key->name, sizeof key->name, "llmhook:%s:%s:%s:g%lld", host_id, grant->domain, grant->provider,
             (long long)generation);
}

const char *transition_key_drop(struct key_record *key, int64_t wall)
{
    return revoke_key_row(key, wall, "key dropped");
}

const char *transition_key_mint(struct key_record *key)
{
    if (key->state == KEY_MINTING)
        key->unknown = true; /* the earlier request may yet be carried out, even after this one's key was removed */
    key->state = KEY_MINTING; /* attempts and the last error stay: they are of this key's minting */
    return "key minting";
}

const char *transition_key_doubt(struct key_record *key, int64_t wall)
{
    enter_key(key, KEY_REVOKING);
    key->unknown = true;
    key->revoking_at = wall;
    return "key doubted";
}

const char *transition_key_unanswered(struct key_record *key, const char *error)
{
    key->unknown = true;
    return fail(&key->attempts, key->last_error, error);
}

const char *transition_key_minted(struct key_record *key, enum outcome outcome, const char *remote_id,
                                  const char *fingerprint, const char *error, int64_t wall)
{
    if (outcome == OUTCOME_OK) {
        enter_key(key, KEY_MINTED);
        copy(key->remote_id, sizeof key->remote_id, remote_id);
        copy(key->fingerprint, sizeof key->fingerprint, fingerprint);
        key->minted_at = wall;
        return "key minted";
    }
    if (outcome == OUTCOME_UNKNOWN) {
        /* It may exist, and its secret is lost either way: it can only be found and removed. */
        transition_key_doubt(key, wall);
        copy(key->last_error, sizeof key->last_error, error);
        return "key doubted";
    }
    if (!key->unknown) /* one that is repeated may have been made by an earlier request */
        key->state = KEY_PLANNED; /* it certainly did not happen: the same name may be used again */
    return fail(&key->attempts, key->last_error, error);
}

const char *transition_key_unusable(struct key_record *key, const char *remote_id, const char *error, int64_t wall)
{
    enter_key(key, KEY_REVOKING);
    copy(key->remote_id, sizeof key->remote_id, remote_id);
    copy(key->last_error, sizeof key->last_error, error);
    key->revoking_at = wall;
    return "key revoking";
}

const char *transition_key_claim(struct key_record *key, const char *remote_id, const char *fingerprint)
{
    transition_key_mint(key);
    copy(key->remote_id, sizeof key->remote_id, remote_id);
    copy(key->fingerprint, sizeof key->fingerprint, fingerprint);
    return "key claimed";
}

const char *transition_key_claimed(struct key_record *key, enum outcome outcome, const char *error, int64_t wall)
{
    if (outcome == OUTCOME_GONE)
        return revoke_key_row(key, wall, "key vanished");
    if (outcome != OUTCOME_OK)
        return fail(&key->attempts, key->last_error, error);
    enter_key(key, KEY_MINTED);
    key->minted_at = wall;
    return "key minted";
}

const char *transition_key_proven(struct key_record *key, int64_t wall)
{
    enter_key(key, KEY_ACTIVE);
    key->active_at = wall;
    return "key active";
}

const char *transition_key_retire(struct key_record *key, int64_t wall)
{
    enter_key(key, KEY_RETIRING);
    key->retiring_at = wall;
    return "key retiring";
}

const char *transition_key_suspend(struct key_record *key)
{
    enter_key(key, KEY_SUSPENDED);
    key->suspended_at = 0;
    return "key suspending";
}

/* It is not there any more. One of which a request may yet be carried out can come back, and is looked for by its name. */
static const char *vanish_key(struct key_record *key, int64_t wall)
{
    if (!key->unknown)
        return revoke_key_row(key, wall, "key vanished");
    enter_key(key, KEY_REVOKING);
    key->revoking_at = wall;
    key->remote_id[0] = '\0';
    return "key vanished";
}

const char *transition_key_suspended(struct key_record *key, enum outcome outcome, bool certain, const char *error,
                                     int64_t wall)
{
    if (outcome == OUTCOME_GONE)
        return vanish_key(key, wall);
    if (outcome != OUTCOME_OK)
        return fail(&key->attempts, key->last_error, error);
    key->attempts = 0;
    key->last_error[0] = '\0';
    if (!certain)
        return NULL;
    key->suspended_at = wall;
    return "key suspended";
}

const char *transition_key_resume(struct key_record *key)
{
    if (!key->suspended_at)
        return NULL;
    key->suspended_at = 0;
    return "key resuming";
}

const char *transition_key_resumed(struct key_record *key, enum outcome outcome, const char *error, int64_t wall)
{
    if (outcome == OUTCOME_GONE)
        return vanish_key(key, wall);
    if (outcome != OUTCOME_OK)
        return fail(&key->attempts, key->last_error, error);
    if (!key->minted_at) /* claimed, and suspended before that was answered */
        key->minted_at = wall;
    enter_key(key, key->retiring_at ? KEY_RETIRING : KEY_MINTED);
    return "key resumed";
}

const char *transition_key_renewed(struct key_record *key, enum outcome outcome, const char *error, int64_t wall)
{
    if (outcome == OUTCOME_GONE)
        return revoke_key_row(key, wall, "key vanished");
    if (outcome != OUTCOME_OK)
        return fail(&key->attempts, key->last_error, error);
    key->attempts = 0;
    key->last_error[0] = '\0';
    return NULL;
}

const char *transition_key_limited(struct key_record *key, enum outcome outcome, int64_t limit, const char *error,
                                   int64_t wall)
{
    bool lives = key->state == KEY_MINTED || key->state == KEY_ACTIVE || key->state == KEY_RETIRING ||
                 key->state == KEY_SUSPENDED;
    if (!lives)
        return NULL;
    if (outcome == OUTCOME_GONE)
        return vanish_key(key, wall);
    if (outcome != OUTCOME_OK)
        return fail(&key->attempts, key->last_error, error);
    key->attempts = 0;
    key->last_error[0] = '\0';
    key->limit_set = limit;
    return "key limited";
}

const char *transition_key_end(struct key_record *key, int64_t wall)
{
    enter_key(key, KEY_REVOKING);
    key->revoking_at = wall;
    return "key revoking";
}

const char *transition_key_found(struct key_record *key, enum outcome outcome, const char *remote_id,
                                 const char *error, int64_t wall)
{
    if (outcome == OUTCOME_GONE) /* the container it would be in is gone, and all keys with it */
        return revoke_key_row(key, wall, "key revoked");
    if (outcome != OUTCOME_OK)
        return fail(&key->attempts, key->last_error, error);
    /* Before any look has failed, this says why the minting is in doubt, which stays worth knowing. */
    if (key->attempts > 0)
        key->last_error[0] = '\0';
    key->attempts = 0;
    copy(key->remote_id, sizeof key->remote_id, remote_id);
    return remote_id[0] ? "key found" : NULL;
}

const char *transition_key_gone(struct key_record *key, int64_t wall)
{
    return revoke_key_row(key, wall, "key never was");
}

const char *transition_key_revoked(struct key_record *key, enum outcome outcome, const char *error, int64_t wall)
{
    if (outcome != OUTCOME_OK && outcome != OUTCOME_GONE)
        return fail(&key->attempts, key->last_error, error);
    if (key->unknown) {
        /* An answer that was lost may have been lost more than once: look again until the list has none. */
        key->remote_id[0] = '\0';
        key->attempts = 0;
        key->last_error[0] = '\0';
        return "key found and removed";
    }
    return revoke_key_row(key, wall, "key revoked");
}

void transition_container_new(struct container_record *container, const char *provider, enum container_kind kind,
                              const char *subject, const char *label, const char *host_id, int64_t wall)
{
    memset(container, 0, sizeof *container);
    copy(container->provider, sizeof container->provider, provider);
    container->kind = kind;
    copy(container->subject, sizeof container->subject, subject);
    container->state = CONTAINER_PLANNED;
    container->created_at = wall;
    if (kind == CONTAINER_GIVEN) {
        enter_container(container, CONTAINER_OPEN);
        copy(container->remote_id, sizeof container->remote_id, subject);
        copy(container->name, sizeof container->name, subject);
        return;
    }
    snprintf(container->name, sizeof container->name, "llmhook:%s:%s%s:%s", host_id,
             kind == CONTAINER_PER_OWNER ? "owner=" : "", subject, provider);
    size_t used = strlen(container->name);
    if (label[0] && used + 2 < sizeof container->name)
        snprintf(container->name + used, sizeof container->name - used, " %.60s", label);
}

const char *transition_container_create(struct container_record *container)
{
    container->state = CONTAINER_CREATING;
    return "container creating";
}

const char *transition_container_doubt(struct container_record *container)
{
    container->state = CONTAINER_PLANNED;
    container->unknown = true;
    return "container doubted";
}

static const char *open_container(struct container_record *container, const char *remote_id, const char *event)
{
    enter_container(container, CONTAINER_OPEN);
    container->unknown = false;
    copy(container->remote_id, sizeof container->remote_id, remote_id);
    return event;
}

const char *transition_container_found(struct container_record *container, enum outcome outcome,
                                       const char *remote_id, const char *error)
{
    if (outcome != OUTCOME_OK)
        return fail(&container->attempts, container->last_error, error);
    container->attempts = 0;
    /* Why its creation is in doubt stays worth knowing for as long as it is. */
    if (!container->unknown)
        container->last_error[0] = '\0';
    if (!remote_id[0])
        return NULL;
    /* The list may be old and this one archived since: only a container that takes a request is past all doubt. */
    bool doubted = container->unknown;
    open_container(container, remote_id, "");
    container->unknown = doubted;
    return "container found";
}

const char *transition_container_created(struct container_record *container, enum outcome outcome,
                                         const char *remote_id, const char *error)
{
    if (outcome == OUTCOME_OK)
        return open_container(container, remote_id, "container open");
    fail(&container->attempts, container->last_error, error);
    container->state = CONTAINER_PLANNED;
    if (outcome != OUTCOME_UNKNOWN)
        return NULL;
    return transition_container_doubt(container);
}

const char *transition_container_limited(struct container_record *container, enum outcome outcome, int64_t limit,
                                         const char *error)
{
    if (outcome != OUTCOME_OK)
        return fail(&container->attempts, container->last_error, error);
    enter_container(container, CONTAINER_OPEN);
    container->unknown = false;
    container->limit_set = limit;
    return "container limited";
}

const char *transition_container_rated(struct container_record *container, enum outcome outcome, const char *rates,
                                       const char *error)
{
    if (outcome != OUTCOME_OK)
        return fail(&container->attempts, container->last_error, error);
    enter_container(container, CONTAINER_OPEN);
    container->unknown = false;
    copy(container->rates_set, sizeof container->rates_set, rates);
    return "container rate-limited";
}

const char *transition_container_drop(struct container_record *container, int64_t wall)
{
    enter_container(container, CONTAINER_ARCHIVED);
    container->archived_at = wall;
    return "container dropped";
}

const char *transition_container_end(struct container_record *container)
{
    enter_container(container, CONTAINER_ARCHIVING);
    return "container archiving";
}

const char *transition_container_archived(struct container_record *container, enum outcome outcome,
                                          const char *error, int64_t wall)
{
    if (outcome != OUTCOME_OK && outcome != OUTCOME_GONE)
        return fail(&container->attempts, container->last_error, error);
    enter_container(container, CONTAINER_ARCHIVED);
    container->archived_at = wall;
    return "container archived";
}

const char *transition_container_vanished(struct container_record *container, int64_t wall)
{
    if (container->unknown) {
        /* There may be another of its name, which we made and never heard of: that one is looked for. */
        enter_container(container, CONTAINER_PLANNED);
        container->remote_id[0] = '\0';
        container->limit_set = 0;
        container->rates_set[0] = '\0';
        return "container vanished";
    }
    enter_container(container, CONTAINER_ARCHIVED);
    container->archived_at = wall;
    return "container vanished";
}
