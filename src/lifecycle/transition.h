/* How a row changes when something was begun or has ended. Pure: the engine applies one to a copy of the row,
 * commits the copy with a journal line, and only then believes it.
 *
 * Each returns the journal's word for what happened, or NULL when the row stays in its state (a failed attempt).
 * WALL is wall-clock milliseconds. */
#ifndef LLMHOOK_LIFECYCLE_TRANSITION_H
#define LLMHOOK_LIFECYCLE_TRANSITION_H

#include "lifecycle/outcome.h"
#include "lifecycle/records.h"

#include <stdbool.h>
#include <stddef.h>

/* A row of generation GENERATION of GRANT, named HOST_ID-wide. PREDECESSOR: id of the key it is to replace, 0: none. */
void transition_key_new(struct key_record *key, const struct grant_record *grant, int64_t generation,
                        int64_t predecessor, const char *host_id, int64_t wall);
const char *transition_key_drop(struct key_record *key, int64_t wall);
/* Of a key that is minting already: once more, with the secret that was chosen for it. */
const char *transition_key_mint(struct key_record *key);
/* No trustworthy answer to a minting that can be repeated. */
const char *transition_key_unanswered(struct key_record *key, const char *error);
const char *transition_key_doubt(struct key_record *key, int64_t wall);
/* REMOTE_ID and FINGERPRINT: of a minted one, else NULL. ERROR: one sentence, unless the outcome is ok. */
const char *transition_key_minted(struct key_record *key, enum outcome outcome, const char *remote_id,
                                  const char *fingerprint, const char *error, int64_t wall);
/* It was certainly minted, as REMOTE_ID, and its secret could not be read: it can only be revoked. */
const char *transition_key_unusable(struct key_record *key, const char *remote_id, const char *error, int64_t wall);
/* The intent to take a key that exists already, named for good: asking for it again does no harm. */
const char *transition_key_claim(struct key_record *key, const char *remote_id, const char *fingerprint);
/* NULL: it is asked for again. */
const char *transition_key_claimed(struct key_record *key, enum outcome outcome, const char *error, int64_t wall);
const char *transition_key_proven(struct key_record *key, int64_t wall);
/* A newer one is proven; this one works until its overlap is over. */
const char *transition_key_retire(struct key_record *key, int64_t wall);
/* It is not to be used for now: the intent, before the provider is asked. Until that is answered the key may still be
 * taken, which suspended_at says. */
const char *transition_key_suspend(struct key_record *key);
/* CERTAIN: no earlier request about it can still be carried out. An answer that is not certain is no news. */
const char *transition_key_suspended(struct key_record *key, enum outcome outcome, bool certain, const char *error,
                                     int64_t wall);
/* It is to be used again: the intent, from which on it may be taken. NULL: it may be already. */
const char *transition_key_resume(struct key_record *key);
/* It is the key that it was, and the guest has to prove it again. One that was retiring goes on doing that. */
const char *transition_key_resumed(struct key_record *key, enum outcome outcome, const char *error, int64_t wall);
/* A renewal of its lease. A success is no news. */
const char *transition_key_renewed(struct key_record *key, enum outcome outcome, const char *error, int64_t wall);
/* LIMIT was set on it, or not. One that has gone on to its end, or never was asked for, is left as it is. */
const char *transition_key_limited(struct key_record *key, enum outcome outcome, int64_t limit, const char *error,
                                   int64_t wall);
const char *transition_key_end(struct key_record *key, int64_t wall);
/* A look for it by name: REMOTE_ID of one that was found, empty when there was none. */
const char *transition_key_found(struct key_record *key, enum outcome outcome, const char *remote_id,
                                 const char *error, int64_t wall);
const char *transition_key_gone(struct key_record *key, int64_t wall);
const char *transition_key_revoked(struct key_record *key, enum outcome outcome, const char *error, int64_t wall);

void transition_container_new(struct container_record *container, const char *provider, enum container_kind kind,
                              const char *subject, const char *label, const char *host_id, int64_t wall);
const char *transition_container_create(struct container_record *container);
const char *transition_container_doubt(struct container_record *container);
const char *transition_container_found(struct container_record *container, enum outcome outcome,
                                       const char *remote_id, const char *error);
const char *transition_container_created(struct container_record *container, enum outcome outcome,
                                         const char *remote_id, const char *error);
const char *transition_container_limited(struct container_record *container, enum outcome outcome, int64_t limit,
                                         const char *error);
const char *transition_container_rated(struct container_record *container, enum outcome outcome, const char *rates,
                                       const char *error);
const char *transition_container_drop(struct container_record *container, int64_t wall);
const char *transition_container_end(struct container_record *container);
const char *transition_container_archived(struct container_record *container, enum outcome outcome,
                                          const char *error, int64_t wall);
/* The provider says that it is not there any more, though nobody asked us. */
const char *transition_container_vanished(struct container_record *container, int64_t wall);

/* The names by which everything of ours is known at a provider. HOST_ID: at most 16 characters.
 * Prefix:    llmhook:HOST:
 * Container: llmhook:HOST:SUBJECT:PROVIDER LABEL   (identity before the space, the label for people)
 * Key:       llmhook:HOST:DOMAIN-UUID:PROVIDER:gN */
void transition_name_prefix(const char *host_id, char *ret_prefix, size_t size);

#endif
