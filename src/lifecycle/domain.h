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
    int64_t stopped_at;       /* the release hook was called, or a STOPPED event was heard */
    enum stop_reason stopped; /* as the hook or the event said; STOP_UNKNOWN where it did not */
    bool stopped_certain;     /* the hook said it, and libvirt still waited for it. An event may come late, when the
                                 next boot has begun, so it ends nothing by itself; nor does a hook's call that was
                                 read late */
    bool stopped_timed;       /* stopped_at is when it was, by the hook's own clock; an event only tells when it was
                                 heard */
    int64_t active_at;        /* libvirt was last asked and said that it runs */
    int64_t missing_since;    /* libvirt first answered that there is no such domain */
};

/* How long a hook waits for the daemon, counted from its own start (hooks/qemu.c). Until then libvirt holds the domain
 * for it: nothing can have happened to the domain since. */
enum { DOMAIN_HOOK_WAITS_MS = 200 };

/* When a hook of an earlier boot of the host was called, as far as this one is concerned. */
enum { DOMAIN_EARLIER_BOOT = 1 };

/* When a hook was called: AT is what its message says, on the clock of NOW, and 0 when it says nothing; SAME_BOOT is
 * whether it was in this boot of the host. Where the message cannot be right it counts as called just now, as a
 * message without a time does; one of an earlier boot counts as older than all that was heard in this one. */
int64_t domain_hook_time(int64_t at, bool same_boot, int64_t now);

/* The prepare hook of a start was called at AT. False: something newer is known, it changes nothing. */
bool domain_hint_starting(struct domain_hints *hints, int64_t at);

/* The stopped or release hook was called at AT and read NOW. REASON: STOP_UNKNOWN when the hook was given none. False:
 * something newer is known, it changes nothing. */
bool domain_hint_stopping(struct domain_hints *hints, enum stop_reason reason, int64_t at, int64_t now);

/* Whether what happened at AT is history: the domain has begun to start since, or was seen running. */
bool domain_hint_is_past(const struct domain_hints *hints, int64_t at);

/* How the ledger is to say that it stopped, RECORDED being what it says, when a hook's call is read of which nobody knows
 * what has happened since: of `started`, or of `release` with REASON. That it was saved or migrated counts. That it has run or
 * ended since only takes that back, where NEWER says that it surely was after it: libvirt says what is. A start that failed
 * leaves what was there before it, so one that is only begun says nothing. STARTED: else it is a release. False: it tells
 * nothing. */
bool domain_stop_told(bool started, enum stop_reason reason, bool newer, enum stop_reason recorded, enum stop_reason *ret_stop);

/* A STOPPED event was heard at NOW. */
void domain_hint_stopped_event(struct domain_hints *hints, enum stop_reason reason, int64_t now);

/* libvirt has answered; SIGHTING is newer than the one before. */
void domain_hint_sighting(struct domain_hints *hints, const struct domain_sighting *sighting, int64_t now);

struct domain_timing {
    int64_t start_grace_ms;    /* a start that nothing more is heard of is given up after this */
    int64_t undefine_grace_ms; /* an undefine followed by a define within this is one update */
};

/* RECORDED: how the ledger says it stopped last, for what libvirt forgets at a restart. RET_NEXT: earlier time at which
 * the answer may change by itself (SCHEDULE_NEVER: it will not); one that has come: libvirt must be asked anew first. */
enum domain_state domain_conclude(const struct domain_sighting *sighting, const struct domain_hints *hints,
                                  enum stop_reason recorded, bool recorded_transient,
                                  const struct domain_timing *timing, int64_t now, int64_t *ret_next);

#endif
