/* What a domain is doing, concluded from what libvirt said and what was heard since. */
#include "check.h"

#include "lifecycle/domain.h"
#include "lifecycle/schedule.h"

#include <string.h>

static const struct domain_timing timing = {.start_grace_ms = 120000, .undefine_grace_ms = 10000};
static const struct domain_sighting running = {.asked_at = 1000, .exists = true, .active = true, .persistent = true};
static const struct domain_sighting off = {
    .asked_at = 1000, .exists = true, .persistent = true, .reason = STOP_DESTROYED};
static const struct domain_sighting missing = {.asked_at = 1000};
static const struct domain_sighting still_missing = {.asked_at = 12000};

static int64_t next;

static enum domain_state conclude(struct domain_sighting sighting, struct domain_hints hints, enum stop_reason recorded,
                                  bool transient, int64_t now)
{
    return domain_conclude(&sighting, &hints, recorded, transient, &timing, now, &next);
}

static void nothing_is_known_at_first(void **state)
{
    (void)state;
    assert_int_equal(conclude((struct domain_sighting){0}, (struct domain_hints){0}, STOP_NONE, false, 5000),
                     DOMAIN_UNKNOWN);
    assert_true(next == SCHEDULE_NEVER);
}

static void libvirt_says_what_is(void **state)
{
    struct domain_sighting paused = running, saved = off;
    (void)state;
    paused.paused = true;
    saved.managed_save = true;
    assert_int_equal(conclude(running, (struct domain_hints){0}, STOP_NONE, false, 5000), DOMAIN_RUNNING);
    assert_int_equal(conclude(paused, (struct domain_hints){0}, STOP_NONE, false, 5000), DOMAIN_PAUSED);
    assert_int_equal(conclude(off, (struct domain_hints){0}, STOP_NONE, false, 5000), DOMAIN_OFF);
    assert_int_equal(conclude(saved, (struct domain_hints){0}, STOP_NONE, false, 5000), DOMAIN_SAVED);
}

static void every_reason_is_decided(void **state)
{
    static const enum domain_state wanted[] = {
        [STOP_NONE] = DOMAIN_OFF,     [STOP_UNKNOWN] = DOMAIN_OFF,   [STOP_SHUTDOWN] = DOMAIN_OFF,
        [STOP_DESTROYED] = DOMAIN_OFF, [STOP_CRASHED] = DOMAIN_OFF,  [STOP_MIGRATED] = DOMAIN_MIGRATED,
        [STOP_SAVED] = DOMAIN_SAVED,  [STOP_FAILED] = DOMAIN_OFF,    [STOP_FROM_SNAPSHOT] = DOMAIN_OFF,
        [STOP_DAEMON] = DOMAIN_OFF,
    };
    (void)state;
    for (unsigned reason = STOP_NONE; reason <= STOP_DAEMON; reason++) {
        struct domain_sighting sighting = off;
        sighting.reason = (enum stop_reason)reason;
        assert_int_equal(conclude(sighting, (struct domain_hints){0}, STOP_NONE, false, 5000), wanted[reason]);
    }
}

static void what_libvirt_forgot_the_ledger_knows(void **state)
{
    struct domain_sighting forgot = off;
    (void)state;
    forgot.reason = STOP_UNKNOWN;
    assert_int_equal(conclude(forgot, (struct domain_hints){0}, STOP_SAVED, false, 5000), DOMAIN_SAVED);
    assert_int_equal(conclude(forgot, (struct domain_hints){0}, STOP_MIGRATED, false, 5000), DOMAIN_MIGRATED);
    assert_int_equal(conclude(forgot, (struct domain_hints){0}, STOP_CRASHED, false, 5000), DOMAIN_OFF);
    forgot.reason = STOP_NONE;
    assert_int_equal(conclude(forgot, (struct domain_hints){0}, STOP_SAVED, false, 5000), DOMAIN_SAVED);
    /* What libvirt does say is newer than the ledger. */
    assert_int_equal(conclude(off, (struct domain_hints){0}, STOP_SAVED, false, 5000), DOMAIN_OFF);
}

static void a_start_that_failed_leaves_what_was_saved(void **state)
{
    static const enum stop_reason kept[] = {STOP_SAVED, STOP_MIGRATED};
    static const enum domain_state wanted[] = {DOMAIN_SAVED, DOMAIN_MIGRATED};
    struct domain_sighting failed = off;
    const struct domain_hints told = {.starting_at = 2000, .stopped_at = 2100, .stopped = STOP_FAILED, .stopped_certain = true};
    (void)state;
    failed.reason = STOP_FAILED;
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(conclude(failed, (struct domain_hints){0}, kept[i], false, 5000), wanted[i]);
    /* From a managed save that nobody has told us of, perhaps: libvirt is asked first. */
    assert_int_equal(conclude(off, told, STOP_NONE, false, 5000), DOMAIN_UNKNOWN);
    assert_int_equal(conclude(failed, (struct domain_hints){0}, STOP_DESTROYED, false, 5000), DOMAIN_OFF);
}

static void a_start_is_believed_until_it_is_seen_or_given_up(void **state)
{
    struct domain_hints hints = {.starting_at = 2000};
    struct domain_sighting later = running;
    (void)state;
    assert_int_equal(conclude(off, hints, STOP_NONE, false, 2000), DOMAIN_STARTING);
    assert_int_equal(next, 122000);
    assert_int_equal(conclude(off, hints, STOP_NONE, false, 121999), DOMAIN_STARTING);
    /* What libvirt said is from before it: the domain may run, and nothing ends until libvirt has been asked. */
    assert_int_equal(conclude(off, hints, STOP_NONE, false, 122000), DOMAIN_UNKNOWN);
    assert_int_equal(next, 122000);
    later = off;
    later.asked_at = 2000;
    assert_int_equal(conclude(later, hints, STOP_NONE, false, 122000), DOMAIN_OFF);
    later = running;
    later.asked_at = 2000;
    assert_int_equal(conclude(later, hints, STOP_NONE, false, 2001), DOMAIN_RUNNING);
    /* Seen running before the hook: that was an earlier boot. */
    assert_int_equal(conclude(running, hints, STOP_NONE, false, 2001), DOMAIN_STARTING);
    /* A failed start: the release hook comes. */
    hints.stopped_at = 2500;
    hints.stopped = STOP_FAILED;
    hints.stopped_certain = true;
    assert_int_equal(conclude(off, hints, STOP_NONE, false, 2600), DOMAIN_UNKNOWN);
    later = off;
    later.asked_at = 2600;
    assert_int_equal(conclude(later, hints, STOP_NONE, false, 2601), DOMAIN_OFF);
    /* The next start. */
    hints.starting_at = 3000;
    assert_int_equal(conclude(off, hints, STOP_NONE, false, 3001), DOMAIN_STARTING);
}

static void the_hooks_reason_counts_an_events_waits_for_libvirt(void **state)
{
    struct domain_hints hints = {.stopped_at = 2000};
    struct domain_sighting later = off;
    (void)state;
    for (unsigned reason = STOP_NONE; reason <= STOP_DAEMON; reason++) {
        bool kept = reason == STOP_SAVED || reason == STOP_MIGRATED;
        bool unclear = reason == STOP_NONE || reason == STOP_UNKNOWN || reason == STOP_FROM_SNAPSHOT ||
                       reason == STOP_FAILED;
        enum domain_state keeping = reason == STOP_SAVED ? DOMAIN_SAVED : DOMAIN_MIGRATED;
        hints.stopped = (enum stop_reason)reason;
        hints.stopped_certain = true;
        assert_int_equal(conclude(running, hints, STOP_NONE, false, 2001),
                         kept ? keeping : unclear ? DOMAIN_UNKNOWN : DOMAIN_OFF);
        hints.stopped_certain = false;
        assert_int_equal(conclude(running, hints, STOP_NONE, false, 2001), kept ? keeping : DOMAIN_UNKNOWN);
    }
    later.asked_at = 2001;
    assert_int_equal(conclude(later, hints, STOP_NONE, false, 2002), DOMAIN_OFF);
}

static void undefine_and_define_at_once_is_one_event(void **state)
{
    struct domain_hints hints = {.missing_since = 2000};
    (void)state;
    assert_int_equal(conclude(missing, hints, STOP_DESTROYED, false, 2000), DOMAIN_OFF);
    assert_int_equal(next, 12000);
    assert_int_equal(conclude(missing, hints, STOP_DESTROYED, false, 11999), DOMAIN_OFF);
    /* Not before libvirt has been asked once more: it may have been defined and started, with nothing heard of it. */
    assert_int_equal(conclude(missing, hints, STOP_DESTROYED, false, 12000), DOMAIN_OFF);
    assert_int_equal(next, 12000);
    assert_int_equal(conclude(missing, hints, STOP_NONE, false, 99000), DOMAIN_UNKNOWN);
    assert_int_equal(next, 12000);
    assert_int_equal(conclude(still_missing, hints, STOP_DESTROYED, false, 12000), DOMAIN_ABSENT);
    assert_int_equal(next, SCHEDULE_NEVER);
    assert_int_equal(conclude(off, (struct domain_hints){0}, STOP_DESTROYED, false, 12000), DOMAIN_OFF);
}

/* libvirt's events may be read later than what comes to the hook. */
static void the_echo_of_a_stop_does_not_end_the_next_start(void **state)
{
    struct domain_hints hints = {0};
    (void)state;
    assert_true(domain_hint_stopping(&hints, STOP_DESTROYED, 1100, 1100));
    assert_true(domain_hint_starting(&hints, 1150));
    domain_hint_stopped_event(&hints, STOP_DESTROYED, 1160);
    assert_int_equal(conclude(off, hints, STOP_DESTROYED, false, 1170), DOMAIN_STARTING);
    /* Once it was seen running, an event is about this boot. */
    struct domain_sighting up = running;
    up.asked_at = 1200;
    domain_hint_sighting(&hints, &up, 1201);
    domain_hint_stopped_event(&hints, STOP_SHUTDOWN, 1300);
    assert_int_equal(hints.stopped_at, 1300);
    /* Of a stop whose hook nobody has heard, an event is all that there is. */
    struct domain_hints deaf = {.starting_at = 1150};
    domain_hint_stopped_event(&deaf, STOP_SHUTDOWN, 1160);
    assert_int_equal(deaf.stopped_at, 1160);
    struct domain_hints told = {.starting_at = 1150, .stopped_at = 1160, .stopped_timed = true};
    domain_hint_stopped_event(&told, STOP_SHUTDOWN, 1170);
    assert_int_equal(told.stopped_at, 1170);
}

/* A domain that had left the list is started, and the start comes to nothing. */
static void a_start_of_what_was_missing_counts_anew(void **state)
{
    struct domain_hints hints = {.missing_since = 2000, .stopped_at = 1500, .stopped = STOP_DESTROYED};
    (void)state;
    assert_int_equal(conclude(still_missing, hints, STOP_DESTROYED, false, 12000), DOMAIN_ABSENT);
    assert_true(domain_hint_starting(&hints, 2000));
    assert_int_equal(hints.missing_since, 2000);
    assert_true(domain_hint_starting(&hints, 11000));
    assert_int_equal(hints.missing_since, 11000);
    assert_true(domain_hint_stopping(&hints, STOP_FAILED, 11500, 11500));
    assert_int_equal(conclude(still_missing, hints, STOP_DESTROYED, false, 12500), DOMAIN_OFF);
    assert_int_equal(next, 21000);
    struct domain_hints there = {.stopped_at = 1500, .stopped = STOP_DESTROYED};
    assert_true(domain_hint_starting(&there, 2500));
    assert_int_equal(there.missing_since, 0);
}

static void a_transient_one_vanishes_when_saved(void **state)
{
    struct domain_hints hints = {.missing_since = 2000};
    (void)state;
    assert_int_equal(conclude(missing, hints, STOP_SAVED, true, 99000), DOMAIN_SAVED);
    assert_int_equal(conclude(missing, hints, STOP_MIGRATED, true, 99000), DOMAIN_MIGRATED);
    assert_int_equal(conclude(missing, hints, STOP_MIGRATED, false, 99000), DOMAIN_MIGRATED); /* --undefinesource */
    assert_int_equal(conclude(still_missing, hints, STOP_DESTROYED, true, 99000), DOMAIN_ABSENT);
    /* It has left, and what says why may be on its way; or has said it. */
    assert_int_equal(conclude(missing, hints, STOP_NONE, true, 11999), DOMAIN_UNKNOWN);
    assert_int_equal(next, 12000);
    assert_int_equal(conclude(still_missing, hints, STOP_NONE, true, 12000), DOMAIN_ABSENT);
    assert_int_equal(conclude(missing, hints, STOP_NONE, false, 11999), DOMAIN_UNKNOWN); /* --undefinesource */
    assert_int_equal(conclude(missing, hints, STOP_CRASHED, true, 11999), DOMAIN_OFF);
    hints.stopped_at = 900;
    assert_int_equal(conclude(missing, hints, STOP_NONE, true, 11999), DOMAIN_UNKNOWN);
    hints.stopped = STOP_DESTROYED;
    assert_int_equal(conclude(missing, hints, STOP_NONE, true, 11999), DOMAIN_OFF);
    /* A persistent one that was saved and is missing now has been undefined. */
    assert_int_equal(conclude(still_missing, hints, STOP_SAVED, false, 99000), DOMAIN_ABSENT);
}

static void what_was_told_of_a_stop_counts_when_libvirts_answer_is_newer(void **state)
{
    struct domain_hints hints = {.starting_at = 100, .active_at = 800, .stopped_at = 900, .stopped = STOP_SAVED,
                                 .missing_since = 2000};
    struct domain_sighting forgotten = off;
    (void)state;
    forgotten.reason = STOP_UNKNOWN;
    assert_int_equal(conclude(still_missing, hints, STOP_NONE, true, 99000), DOMAIN_SAVED);
    assert_int_equal(conclude(forgotten, hints, STOP_NONE, false, 99000), DOMAIN_SAVED);
    assert_int_equal(conclude(still_missing, hints, STOP_NONE, false, 99000), DOMAIN_ABSENT);
    hints.stopped = STOP_MIGRATED;
    assert_int_equal(conclude(still_missing, hints, STOP_SAVED, false, 99000), DOMAIN_MIGRATED);
    /* It has run since. */
    hints.active_at = 950;
    assert_int_equal(conclude(still_missing, hints, STOP_NONE, true, 99000), DOMAIN_ABSENT);
    hints.active_at = 800, hints.starting_at = 950;
    assert_int_equal(conclude(still_missing, hints, STOP_NONE, true, 999999), DOMAIN_ABSENT);
}

static void a_call_has_the_time_that_it_says_unless_that_cannot_be(void **state)
{
    (void)state;
    assert_int_equal(domain_hook_time(4000, true, 5000), 4000);
    assert_int_equal(domain_hook_time(5000, true, 5000), 5000);
    assert_int_equal(domain_hook_time(5001, true, 5000), 5000); /* it cannot come from the future */
    assert_int_equal(domain_hook_time(0, true, 5000), 5000);    /* it says nothing */
    assert_int_equal(domain_hook_time(0, false, 5000), 5000);
    assert_int_equal(domain_hook_time(-1, true, 5000), 5000);
    assert_int_equal(domain_hook_time(4000, false, 5000), 1); /* the host has been booted since */
}

/* What hooks left in the spool: recorded, told, and what becomes of it. */
static void what_nobody_heard_of(void **state)
{
    static const enum stop_reason kept[] = {STOP_SAVED, STOP_MIGRATED};
    static const enum stop_reason ends[] = {STOP_SHUTDOWN, STOP_DESTROYED, STOP_CRASHED, STOP_DAEMON};
    static const enum stop_reason nothing[] = {STOP_NONE, STOP_UNKNOWN, STOP_FAILED, STOP_FROM_SNAPSHOT};
    enum stop_reason stop;
    (void)state;
    for (size_t k = 0; k < 2; k++) {
        /* That it is kept counts, even where it may be older. */
        assert_true(domain_stop_told(false, kept[k], false, STOP_NONE, &stop));
        assert_int_equal(stop, kept[k]);
        /* Its memory was in use again, and is no more: nothing ends by that, and it is not kept by what was before. */
        for (size_t e = 0; e < sizeof ends / sizeof ends[0]; e++) {
            assert_true(domain_stop_told(false, ends[e], true, kept[k], &stop));
            assert_int_equal(stop, STOP_UNKNOWN);
            assert_false(domain_stop_told(false, ends[e], false, kept[k], &stop));
        }
        assert_true(domain_stop_told(true, STOP_UNKNOWN, true, kept[k], &stop));
        assert_int_equal(stop, STOP_NONE);
        assert_false(domain_stop_told(true, STOP_UNKNOWN, false, kept[k], &stop));
        /* A start that failed leaves the file; and a reason that is none says nothing. */
        for (size_t n = 0; n < sizeof nothing / sizeof nothing[0]; n++)
            assert_false(domain_stop_told(false, nothing[n], true, kept[k], &stop));
    }
    /* What takes nothing back is the newest that is known all the same. */
    assert_true(domain_stop_told(false, STOP_DESTROYED, true, STOP_CRASHED, &stop));
    assert_int_equal(stop, STOP_CRASHED);
    assert_true(domain_stop_told(true, STOP_UNKNOWN, true, STOP_NONE, &stop));
    assert_int_equal(stop, STOP_NONE);
}

static void a_stop_that_is_read_late_waits_for_libvirt(void **state)
{
    struct domain_hints hints = {.starting_at = 500};
    (void)state;
    assert_true(domain_hint_stopping(&hints, STOP_DESTROYED, 2000, 2199));
    assert_int_equal(conclude(running, hints, STOP_NONE, false, 2199), DOMAIN_OFF);
    /* Its hook has given up, libvirt has gone on: perhaps to the next boot. */
    hints = (struct domain_hints){.starting_at = 500};
    assert_true(domain_hint_stopping(&hints, STOP_DESTROYED, 2000, 2200));
    assert_int_equal(conclude(running, hints, STOP_NONE, false, 2200), DOMAIN_UNKNOWN);
    /* Seen running since: the stop is history, whenever it was read. */
    struct domain_sighting again = running;
    again.asked_at = 2001;
    assert_int_equal(conclude(again, hints, STOP_NONE, false, 2300), DOMAIN_RUNNING);
    hints.stopped_certain = true;
    assert_int_equal(conclude(again, hints, STOP_NONE, false, 2300), DOMAIN_RUNNING);
    /* What keeps keeps, late or not. */
    assert_true(domain_hint_stopping(&hints, STOP_SAVED, 3000, 9000));
    assert_int_equal(conclude(again, hints, STOP_NONE, false, 9000), DOMAIN_SAVED);
}

static void an_older_call_changes_nothing(void **state)
{
    struct domain_hints hints = {0}, before;
    (void)state;
    assert_true(domain_hint_starting(&hints, 2000));
    before = hints;
    assert_false(domain_hint_stopping(&hints, STOP_DESTROYED, 1999, 2001));
    assert_false(domain_hint_starting(&hints, 1999));
    assert_memory_equal(&hints, &before, sizeof hints);
    assert_true(domain_hint_stopping(&hints, STOP_SHUTDOWN, 3000, 3000));
    before = hints;
    assert_false(domain_hint_starting(&hints, 2999));
    assert_false(domain_hint_stopping(&hints, STOP_CRASHED, 2999, 3000));
    assert_memory_equal(&hints, &before, sizeof hints);
    /* `release` comes after `stopped`, and tells the same stop's reason. */
    assert_true(domain_hint_stopping(&hints, STOP_CRASHED, 3000, 3000));
    assert_int_equal(hints.stopped, STOP_CRASHED);
    /* The next boot. */
    assert_true(domain_hint_starting(&hints, 3000));
    assert_int_equal(conclude(off, hints, STOP_NONE, false, 3000), DOMAIN_STARTING);
    assert_false(hints.stopped_certain);
}

static void an_events_stop_is_when_it_was_heard_at_the_latest(void **state)
{
    struct domain_hints hints = {.starting_at = 500};
    (void)state;
    domain_hint_stopped_event(&hints, STOP_SAVED, 4000);
    assert_int_equal(conclude(running, hints, STOP_NONE, false, 4000), DOMAIN_SAVED);
    /* The hook of that stop, read after it and told nothing by an old libvirt: it was saved, and before that. */
    assert_true(domain_hint_stopping(&hints, STOP_UNKNOWN, 3000, 4100));
    assert_int_equal(conclude(running, hints, STOP_NONE, false, 4100), DOMAIN_SAVED);
    assert_int_equal(hints.stopped_at, 3000);
    /* An event that ends keeps nothing for a hook that knows nothing. */
    domain_hint_stopped_event(&hints, STOP_DESTROYED, 4200);
    assert_true(domain_hint_stopping(&hints, STOP_UNKNOWN, 4150, 4200));
    assert_int_equal(hints.stopped, STOP_UNKNOWN);
    assert_false(hints.stopped_certain);
    /* Heard before the next boot's hook is read, which was called earlier: that boot is the newer one. */
    domain_hint_stopped_event(&hints, STOP_SHUTDOWN, 5000);
    assert_true(domain_hint_starting(&hints, 4900));
    assert_int_equal(conclude(off, hints, STOP_NONE, false, 5000), DOMAIN_STARTING);
    /* A reason that the hook has given stays. */
    assert_true(domain_hint_stopping(&hints, STOP_SAVED, 6000, 6000));
    domain_hint_stopped_event(&hints, STOP_DESTROYED, 6100);
    assert_int_equal(hints.stopped, STOP_SAVED);
    assert_true(domain_hint_starting(&hints, 7000));
    hints.active_at = 7050; /* and it was seen */
    domain_hint_stopped_event(&hints, STOP_DESTROYED, 7100);
    assert_int_equal(hints.stopped, STOP_DESTROYED);
    assert_int_equal(hints.stopped_at, 7100);
    /* An old libvirt's hook, and no event before it: a stop of which nothing more is known. */
    hints = (struct domain_hints){.starting_at = 500, .stopped = STOP_SAVED};
    assert_true(domain_hint_stopping(&hints, STOP_UNKNOWN, 600, 600));
    assert_int_equal(hints.stopped, STOP_UNKNOWN);
    assert_false(hints.stopped_certain);
    /* Called in the same millisecond: which came first nobody knows, so what the event says counts as well. */
    hints = (struct domain_hints){.starting_at = 8000};
    assert_true(domain_hint_stopping(&hints, STOP_DESTROYED, 8000, 8000));
    domain_hint_stopped_event(&hints, STOP_SAVED, 8001);
    assert_int_equal(hints.stopped, STOP_SAVED);
    assert_false(hints.stopped_timed);
}

static void a_reason_is_that_of_its_own_boot(void **state)
{
    struct domain_hints hints = {0};
    struct domain_sighting again = running;
    (void)state;
    /* Destroyed, as its hook says; started again, which nobody was told of, and seen. */
    assert_true(domain_hint_stopping(&hints, STOP_DESTROYED, 2000, 2000));
    again.asked_at = 3000;
    domain_hint_sighting(&hints, &again, 3001);
    struct domain_hints seen = hints;
    assert_false(domain_hint_stopping(&hints, STOP_SAVED, 2999, 3100)); /* the earlier stop's, read late */
    assert_memory_equal(&hints, &seen, sizeof hints);
    domain_hint_stopped_event(&hints, STOP_SAVED, 4000);
    assert_int_equal(conclude(again, hints, STOP_NONE, true, 4000), DOMAIN_SAVED);
    /* What kept the earlier boot's key does not keep the later one's. */
    again.asked_at = 5000;
    domain_hint_sighting(&hints, &again, 5001);
    assert_true(domain_hint_stopping(&hints, STOP_UNKNOWN, 6000, 6000));
    assert_int_equal(hints.stopped, STOP_UNKNOWN);
}

static void what_is_past_is_known(void **state)
{
    const struct domain_hints started = {.starting_at = 2000}, seen = {.active_at = 3000};
    (void)state;
    assert_true(domain_hint_is_past(&started, 1999));
    assert_false(domain_hint_is_past(&started, 2000));
    assert_true(domain_hint_is_past(&seen, 2999));
    assert_false(domain_hint_is_past(&seen, 3000));
}

static void a_start_that_is_read_late_is_given_up_in_time(void **state)
{
    struct domain_hints hints = {0};
    (void)state;
    assert_true(domain_hint_starting(&hints, 2000));
    assert_int_equal(conclude(off, hints, STOP_NONE, false, 121000), DOMAIN_STARTING);
    assert_int_equal(next, 122000);
    assert_int_equal(conclude(off, hints, STOP_NONE, false, 122000), DOMAIN_UNKNOWN);
}

static void an_earlier_boots_stop_says_nothing_about_a_missing_domain(void **state)
{
    struct domain_hints hints = {0};
    (void)state;
    domain_hint_stopped_event(&hints, STOP_SHUTDOWN, 900);
    domain_hint_sighting(&hints, &running, 1001);
    assert_int_equal(hints.active_at, 1000);
    struct domain_sighting left = missing;
    left.asked_at = 2000;
    domain_hint_sighting(&hints, &left, 2001);
    assert_int_equal(hints.missing_since, 2001);
    left.asked_at = 2500;
    domain_hint_sighting(&hints, &left, 2501);
    assert_int_equal(hints.missing_since, 2001);
    /* It has run since it was shut down, and why it is not there now nobody has said: saved, perhaps. */
    assert_int_equal(conclude(left, hints, STOP_NONE, true, 2600), DOMAIN_UNKNOWN);
    domain_hint_stopped_event(&hints, STOP_SHUTDOWN, 1900);
    assert_int_equal(conclude(left, hints, STOP_NONE, true, 2600), DOMAIN_OFF);
    domain_hint_sighting(&hints, &off, 2700);
    assert_int_equal(hints.missing_since, 0);
    assert_int_equal(hints.active_at, 1000);
}

static void names_are_words(void **state)
{
    (void)state;
    assert_string_equal(domain_state_name(DOMAIN_UNKNOWN), "unknown");
    assert_string_equal(domain_state_name(DOMAIN_ABSENT), "undefined");
    assert_string_equal(domain_state_name(DOMAIN_MIGRATED), "migrated");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_known_at_first),
        cmocka_unit_test(libvirt_says_what_is),
        cmocka_unit_test(every_reason_is_decided),
        cmocka_unit_test(what_libvirt_forgot_the_ledger_knows),
        cmocka_unit_test(a_start_that_failed_leaves_what_was_saved),
        cmocka_unit_test(a_start_is_believed_until_it_is_seen_or_given_up),
        cmocka_unit_test(the_hooks_reason_counts_an_events_waits_for_libvirt),
        cmocka_unit_test(undefine_and_define_at_once_is_one_event),
        cmocka_unit_test(the_echo_of_a_stop_does_not_end_the_next_start),
        cmocka_unit_test(a_start_of_what_was_missing_counts_anew),
        cmocka_unit_test(a_transient_one_vanishes_when_saved),
        cmocka_unit_test(what_was_told_of_a_stop_counts_when_libvirts_answer_is_newer),
        cmocka_unit_test(a_call_has_the_time_that_it_says_unless_that_cannot_be),
        cmocka_unit_test(what_nobody_heard_of),
        cmocka_unit_test(a_stop_that_is_read_late_waits_for_libvirt),
        cmocka_unit_test(an_older_call_changes_nothing),
        cmocka_unit_test(an_events_stop_is_when_it_was_heard_at_the_latest),
        cmocka_unit_test(a_reason_is_that_of_its_own_boot),
        cmocka_unit_test(what_is_past_is_known),
        cmocka_unit_test(a_start_that_is_read_late_is_given_up_in_time),
        cmocka_unit_test(an_earlier_boots_stop_says_nothing_about_a_missing_domain),
        cmocka_unit_test(names_are_words),
    };
    return check_run(tests);
}
