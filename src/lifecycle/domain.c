#include "lifecycle/domain.h"

#include "lifecycle/schedule.h"

const char *domain_state_name(enum domain_state state)
{
    static const char *const names[] = {
        [DOMAIN_UNKNOWN] = "unknown", [DOMAIN_ABSENT] = "undefined", [DOMAIN_OFF] = "off",
        [DOMAIN_STARTING] = "starting", [DOMAIN_RUNNING] = "running", [DOMAIN_PAUSED] = "paused",
        [DOMAIN_SAVED] = "saved", [DOMAIN_MIGRATED] = "migrated",
    };
    return names[state];
}

static enum domain_state state_after_stop(enum stop_reason reason)
{
    switch (reason) {
    case STOP_SAVED:
        return DOMAIN_SAVED;
    case STOP_MIGRATED:
        return DOMAIN_MIGRATED;
    case STOP_NONE:
    case STOP_UNKNOWN:
    case STOP_FROM_SNAPSHOT: /* a revert stops and starts again: not an end */
        return DOMAIN_UNKNOWN;
    case STOP_SHUTDOWN:
    case STOP_DESTROYED:
    case STOP_CRASHED:
    case STOP_FAILED:
    case STOP_DAEMON:
        return DOMAIN_OFF;
    }
    return DOMAIN_UNKNOWN; /* none of them: nothing ends by that */
}

static bool keeps(enum stop_reason reason)
{
    return reason == STOP_SAVED || reason == STOP_MIGRATED;
}

int64_t domain_hook_time(int64_t at, bool same_boot, int64_t now)
{
    if (at <= 0)
        return now;
    if (!same_boot)
        return DOMAIN_EARLIER_BOOT;
    return at > now ? now : at;
}

bool domain_hint_starting(struct domain_hints *hints, int64_t at)
{
    if (at < hints->starting_at || (hints->stopped_timed && at < hints->stopped_at))
        return false;
    /* An event's stop that was heard after this call is that of the boot before: the hooks of this one's stop come
     * after this call, and only they have a time of their own. */
    if (hints->stopped_at > at)
        hints->stopped_at = at - 1;
    /* Should this start come to nothing, libvirt is asked after the grace before the domain counts as gone. */
    if (hints->missing_since && hints->missing_since < at)
        hints->missing_since = at;
    hints->starting_at = at;
    hints->stopped_certain = false;
    return true;
}

bool domain_hint_is_past(const struct domain_hints *hints, int64_t at)
{
    return at < hints->starting_at || at < hints->active_at;
}

bool domain_stop_told(bool started, enum stop_reason reason, bool newer, enum stop_reason recorded, enum stop_reason *ret_stop)
{
    if (!started && keeps(reason)) {
        *ret_stop = reason;
        return true;
    }
    bool ended = reason != STOP_FAILED && state_after_stop(reason) == DOMAIN_OFF;
    if (!newer || !(started || ended))
        return false;
    *ret_stop = !keeps(recorded) ? recorded : started ? STOP_NONE : STOP_UNKNOWN;
    return true;
}

/* The stop that was told last is that of the last boot that is known. */
static bool stopped_since(const struct domain_hints *hints)
{
    return hints->stopped_at > hints->starting_at && hints->stopped_at > hints->active_at;
}

bool domain_hint_stopping(struct domain_hints *hints, enum stop_reason reason, int64_t at, int64_t now)
{
    if (domain_hint_is_past(hints, at) || (hints->stopped_timed && at < hints->stopped_at))
        return false;
    /* libvirt before 10.5 gives its hook no reason; what the event of the same stop has said stays, where it keeps.
     * Where it ends it does not: it may be an earlier stop's, when the start in between was not heard of. */
    bool stays = reason == STOP_UNKNOWN && stopped_since(hints) && keeps(hints->stopped);
    hints->stopped_at = at;
    hints->stopped_timed = true;
    if (stays)
        return true;
    hints->stopped = reason;
    hints->stopped_certain = reason != STOP_UNKNOWN && now - at < DOMAIN_HOOK_WAITS_MS;
    return true;
}

void domain_hint_stopped_event(struct domain_hints *hints, enum stop_reason reason, int64_t now)
{
    /* A reason that the hook has given for this stop is surer. For an earlier one's, the start in between may not have
     * been heard of: then that it ran was seen. */
    if (hints->stopped_certain && stopped_since(hints))
        return;
    /* The echo of a stop whose hook was heard, after the hook of the next start. How that one ends its own hook tells. */
    if (hints->stopped_timed && hints->stopped_at < hints->starting_at && hints->active_at < hints->starting_at)
        return;
    hints->stopped_at = now;
    hints->stopped = reason;
    hints->stopped_certain = hints->stopped_timed = false;
}

void domain_hint_sighting(struct domain_hints *hints, const struct domain_sighting *sighting, int64_t now)
{
    if (sighting->active)
        hints->active_at = sighting->asked_at;
    if (sighting->exists)
        hints->missing_since = 0;
    else if (!hints->missing_since)
        hints->missing_since = now;
}

/* What a start that failed leaves is what was there before it: the file with its memory is not used up. */
static enum stop_reason reason_that_counts(enum stop_reason reason, enum stop_reason recorded)
{
    return reason == STOP_FAILED && keeps(recorded) ? recorded : reason;
}

/* It is in libvirt's list, and not running. */
static enum domain_state state_of_inactive(const struct domain_sighting *sighting, enum stop_reason recorded)
{
    if (sighting->managed_save)
        return DOMAIN_SAVED;
    enum stop_reason reason = reason_that_counts(sighting->reason, recorded);
    /* libvirt forgets why when it restarts; the ledger does not. */
    if ((reason == STOP_UNKNOWN || reason == STOP_NONE) && keeps(recorded))
        reason = recorded;
    enum domain_state state = state_after_stop(reason);
    return state == DOMAIN_UNKNOWN ? DOMAIN_OFF : state;
}

/* It is not in libvirt's list. For good only when it was asked for once more after the grace: a start may have been
 * neither heard nor seen since the last time. */
static enum domain_state state_of_missing(const struct domain_sighting *sighting, const struct domain_hints *hints,
                                          enum stop_reason recorded, bool recorded_transient,
                                          const struct domain_timing *timing, int64_t *next)
{
    /* A transient domain leaves the list when it is saved. Any may leave it by migrating (--undefinesource). */
    if (recorded == STOP_MIGRATED || (recorded_transient && recorded == STOP_SAVED))
        return state_after_stop(recorded);
    int64_t for_good_at = hints->missing_since + timing->undefine_grace_ms;
    if (sighting->asked_at >= for_good_at)
        return DOMAIN_ABSENT;
    *next = for_good_at;
    /* Why it has left the list, saved or migrated perhaps, only the hook or an event can tell, and the event may still
     * be on its way. */
    bool ended = state_after_stop(recorded) == DOMAIN_OFF ||
                 (hints->stopped_at > hints->active_at && state_after_stop(hints->stopped) == DOMAIN_OFF);
    return ended ? DOMAIN_OFF : DOMAIN_UNKNOWN;
}

enum domain_state domain_conclude(const struct domain_sighting *sighting, const struct domain_hints *hints,
                                  enum stop_reason recorded, bool recorded_transient,
                                  const struct domain_timing *timing, int64_t now, int64_t *ret_next)
{
    int64_t next = SCHEDULE_NEVER;
    enum domain_state state;
    bool seen = sighting->asked_at > 0;
    /* Where libvirt's answer came at once, nobody has concluded yet from what was told of that stop. */
    if (stopped_since(hints) && keeps(hints->stopped))
        recorded = hints->stopped;
    int64_t given_up_at = hints->starting_at + timing->start_grace_ms;
    bool seen_active = seen && sighting->exists && sighting->active;
    bool starting = hints->starting_at > 0 && hints->starting_at >= hints->stopped_at && now < given_up_at &&
                    !(seen_active && sighting->asked_at >= hints->starting_at);

    if (starting) {
        state = DOMAIN_STARTING;
        next = given_up_at;
    } else if (hints->stopped_at > 0 && hints->stopped_at >= sighting->asked_at) {
        state = state_after_stop(hints->stopped);
        /* A start that failed may have been one from a managed save, which is still there: only libvirt knows. */
        if (state == DOMAIN_OFF && (!hints->stopped_certain || hints->stopped == STOP_FAILED))
            state = DOMAIN_UNKNOWN;
    } else if (!seen) {
        state = DOMAIN_UNKNOWN;
    } else if (hints->starting_at > sighting->asked_at) {
        /* What libvirt said was before that start, and it may run: nothing ends before libvirt has been asked. */
        state = DOMAIN_UNKNOWN;
        next = given_up_at;
    } else if (seen_active) {
        state = sighting->paused ? DOMAIN_PAUSED : DOMAIN_RUNNING;
    } else if (sighting->exists) {
        state = state_of_inactive(sighting, recorded);
    } else {
        state = state_of_missing(sighting, hints, recorded, recorded_transient, timing, &next);
    }
    *ret_next = next;
    return state;
}
