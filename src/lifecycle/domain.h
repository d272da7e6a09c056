/* What a domain is doing, concluded from what libvirt said when asked and what has been heard since. Pure.
 *
 * A hook or an event is only a hint: it says where to look, and it fills the moment until libvirt has answered. */
#ifndef LLMHOOK_LIFECYCLE_DOMAIN_H
#define LLMHOOK_LIFECYCLE_DOMAIN_H

#include "lifecycle/records.h"

#include <stdbool.h>
#include <stdint.h>

enum domain_state {
    DOMAIN_UNKNOWN,  /* libvirt has not answered yet, or cannot be asked: nothing is begun and nothing is ended */
    DOMAIN_ABSENT,   /* undefined, for good */
    DOMAIN_OFF,
    DOMAIN_STARTING, /* its prepare hook has run */
    DOMAIN_RUNNING,
    DOMAIN_PAUSED,
    DOMAIN_SAVED,    /* its memory, with our key in it, is in a file */
    DOMAIN_MIGRATED, /* it lives on another host */
};
/* "unknown", "undefined", "off", "starting", "running", "paused", "saved", "migrated". */
const char *domain_state_name(enum domain_state state);

/* libvirt's answer to one question. Times here and below are monotonic milliseconds, 0: never. */
struct domain_sighting {
    int64_t asked_at; /* before the question was sent: what was heard later is newer */
    bool exists;
    bool active;
    bool paused;
    bool persistent;
    bool managed_save;
    enum stop_reason reason; /* of an inactive one, as libvirt remembers it */
};

struct domain_hints {
    int64_t starting_at;      /* the prepare hook was called */
    int64_t stopped_at;       /* the release hook or a STOPPED event came */
    enum stop_reason stopped; /* as the hook or the event said; STOP_UNKNOWN where it did not */
    bool stopped_certain;     /* the hook said it: it is called in order, under the domain's lock. An event may come
                                 late, when the next boot has begun, so it ends nothing by itself */
    int64_t missing_since;    /* libvirt first answered that there is no such domain */
};

struct domain_timing {
    int64_t start_grace_ms;    /* a start that nothing more is heard of is given up after this */
    int64_t undefine_grace_ms; /* an undefine followed by a define within this is one update */
};

/* RECORDED: how the ledger says it stopped last, for what libvirt forgets at a restart. NEXT: earlier time at which
 * the answer may change by itself (SCHEDULE_NEVER: it will not). */
enum domain_state domain_conclude(const struct domain_sighting *sighting, const struct domain_hints *hints,
                                  enum stop_reason recorded, bool recorded_transient,
                                  const struct domain_timing *timing, int64_t now, int64_t *ret_next);

#endif
