/* Money: what was spent of a month's budget, and whether there is any left. Pure: no clock, no I/O.
 *
 * Amounts are micro-dollars, times wall-clock milliseconds, days whole UTC days since 1970-01-01; months are UTC, as the
 * providers have them, so there is no summer time in them. Nothing is ever added up over polls: what a provider says of
 * a day replaces what was known of that day, so that a report that is read twice, late or out of order changes nothing.
 *
 * A day has an estimate (tokens by a price table, within minutes) and a bill (the provider's own dollars, within hours,
 * revised for a while). They are kept apart. Until the day is settled it counts as the larger of the two; then as its
 * bill, where one has come. */
#ifndef LLMHOOK_LIFECYCLE_BUDGET_H
#define LLMHOOK_LIFECYCLE_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

enum {
    BUDGET_DAYS = 31,
    BUDGET_DAY_MS = 86400000,
    /* A clock that was put back into an earlier month is believed after this: milliseconds. */
    BUDGET_BACK_MS = 3600000,
    BUDGET_CENT = 10000, /* micro-dollars */
};
#define BUDGET_MOST INT64_C(1000000000000000) /* a thousand million dollars: sums stay there */

/* The sum, within 0 and BUDGET_MOST. */
int64_t budget_add(int64_t one, int64_t other);

/* The UTC day of WALL; before 1970 it is day 0. */
int64_t budget_day(int64_t wall);
/* The first day of the month that DAY is in, and that of the month behind it. */
int64_t budget_month(int64_t day);
int64_t budget_next_month(int64_t day);

/* Which month it is, by a wall clock that may be set. Forwards it is believed at once: a new month takes nothing away.
 * Backwards only when it has stayed there for BUDGET_BACK_MS: a month whose budget was spent must not take keys because
 * somebody set the clock wrong for a moment. */
struct budget_clock {
    int64_t month;      /* its first day; 0: not asked yet */
    int64_t back_since; /* monotonic, -1: it is not behind */
};
/* Returns the month in force; MONOTONIC in milliseconds. */
int64_t budget_clock_month(struct budget_clock *clock, int64_t wall, int64_t monotonic);

struct budget_day {
    int64_t estimate, bill;
    bool billed;
};

/* How fast money was seen to go at most, micro-dollars an hour; not in one month alone. What is estimated is told at
 * once, and its speed is that between two reports. What is only billed comes late and in lumps, a day's at a time: its
 * speed is measured over stretches that are as long as a bill may be late, or a lump would be taken for haste. */
struct budget_rates {
    int64_t rate; /* of what is estimated */
    int64_t late; /* of what bills show beyond the estimates: all of it, where nothing is estimated */
    /* The stretch under way: when it began (wall-clock ms, 0: never), with how much, and of which month. */
    int64_t late_since, late_seen, late_month;
};

/* One grant's month: over all its generations, restarts and re-creations. */
struct budget {
    int64_t month; /* its first day */
    struct budget_day days[BUDGET_DAYS];
    struct budget_rates rates;
};

/* Makes it that month's. Another month's days are forgotten, the rates stay. */
void budget_enter(struct budget *budget, int64_t month);
/* Takes over what a report says of DAY: all of it, not more of it. Days of other months are none of this budget's. */
void budget_estimate(struct budget *budget, int64_t day, int64_t amount);
void budget_bill(struct budget *budget, int64_t day, int64_t amount);
/* The same from a provider that tells what the month has cost so far, not what its days did. The bills of all days become
 * TOTAL: what is new is DAY's; what was told too much before is taken back from the latest days. */
void budget_total(struct budget *budget, int64_t day, int64_t total);

/* What counts of one day, and of the month, at WALL, where bills come within BILL_LAG_MS of a day's end. */
int64_t budget_spent_on(const struct budget *budget, int64_t day, int64_t wall, int64_t bill_lag_ms);
int64_t budget_spent(const struct budget *budget, int64_t wall, int64_t bill_lag_ms);
/* All that is only estimated, and all that is billed, for people. */
int64_t budget_estimated(const struct budget *budget);
int64_t budget_billed(const struct budget *budget);

/* SPENT was estimated where BEFORE had been ELAPSED_MS earlier: the rate goes up if that was faster than ever. True when
 * it did. */
bool budget_see_rate(struct budget *budget, int64_t before, int64_t spent, int64_t elapsed_ms);
/* The same for what is only billed, at a report that was read at WALL, ELAPSED_MS after the one before, where stretches
 * are at least STRETCH_MS long. True when the rates have changed and are to be kept: a stretch goes on when the program
 * begins anew. */
bool budget_see_late(struct budget *budget, int64_t wall, int64_t elapsed_ms, int64_t stretch_ms);
/* All that bills show beyond the estimates. */
int64_t budget_late(const struct budget *budget);

/* How far spending can pass its limit before it is cut off.
 *
 * Let the reports that gave the verdict be those at T, and the ones before at most an interval earlier: those showed less
 * than the limit, and all that was spent up to a lag before them. So what goes beyond was spent within
 * interval + lag + cut. How much is that, at the rates that were seen? Reports show it within a further lag, and a rate
 * is measured between two looks; the first of those began, and the last ends, up to the time between two looks away. So
 *
 *   rate x (interval + lag + cut  +  lag  +  2 x the time between two looks)
 *
 * An estimate is looked at with each report, so that is rate x (3 x interval + 2 x lag + cut). What is only billed is
 * looked at in stretches as long as its lag, which end with a report: rate x (3 x interval + 4 x lag + cut). Both can go
 * on at once, so the bound is their sum. Where a day's costs come a day late and nothing else tells of them, it is the
 * cost of four days: no program can know better. */
struct budget_pace {
    int64_t interval_ms; /* the longest between two polls, not the one that was wished for */
    int64_t lag_ms;      /* within which an estimate is told */
    int64_t bill_lag_ms; /* within which what is only billed is told, revised for the last time */
    int64_t cut_ms;      /* from a verdict to a key that does not work */
};
int64_t budget_overshoot(const struct budget_rates *rates, const struct budget_pace *pace);

/* What is left: also the most that a new key's own limit may be. */
int64_t budget_left(int64_t limit, int64_t spent);

/* The limit that a key itself has at a provider which counts by key and begins anew with each month, in MONTH, where its
 * grant may spend LIMIT a month and had spent BEFORE in BEFORE_MONTH when the key was asked for. One budget over all
 * generations means: a key may spend what those before it have left.
 *
 *   in BEFORE_MONTH          LIMIT - BEFORE: its provider has not counted for it what the earlier keys have spent
 *   in any later month       LIMIT: all that is spent then is counted for it
 *   LIMIT is changed         the same with the new LIMIT: BEFORE stays what it was
 *   nothing would be left    a cent, the least that providers take; the grant is over its budget then anyway
 *   a clock that was set     as in BEFORE_MONTH, until that is certainly over
 *   back
 *
 * BEFORE is what was known then. Two things escape it: what the earlier keys had spent and reports had not told, at most
 * what is spent in an interval between two; and what a key still spends in its overlap with the next. Both are counted
 * for the grant as soon as they are reported, and stopped by llmhook itself: the bound of budget_overshoot() holds. To
 * lower the earlier key's limit meanwhile would cut off programs that still hold it below the limit.
 *
 * The turn of the month is llmhook's clock's. Where the provider's begins a little later, the full limit is set while it
 * still counts the old month: the key could spend BEFORE more in it, for as long as the clocks differ. */
int64_t budget_key_limit(int64_t limit, int64_t before, int64_t before_month, int64_t month);
/* Whether FOUND, as a provider tells it, is the limit that was SET: they count in cents, rounded up. */
bool budget_limit_holds(int64_t found, int64_t set);

/* What the month will have cost if it goes on as it did so far; the first day counts as a whole one. */
int64_t budget_projected(int64_t spent, int64_t month, int64_t wall);

enum budget_verdict { BUDGET_WITHIN, BUDGET_OVER_OWN, BUDGET_OVER_OWNER, BUDGET_OVER_HOST };
/* "within", "own", "owner", "host". */
const char *budget_verdict_name(enum budget_verdict verdict);

/* A limit of 0 is none. */
struct budget_account {
    int64_t limit, spent;
};
/* The narrowest budget that is used up. */
enum budget_verdict budget_judge(const struct budget_account *own, const struct budget_account *owner,
                                 const struct budget_account *host);

#endif
