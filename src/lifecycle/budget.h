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

/* One grant's month: over all its generations, restarts and re-creations. */
struct budget {
    int64_t month; /* its first day */
    struct budget_day days[BUDGET_DAYS];
    int64_t rate;  /* the highest seen, micro-dollars an hour; not of this month alone */
};

/* Makes it that month's. Another month's days are forgotten, the rate stays. */
void budget_enter(struct budget *budget, int64_t month);
/* Takes over what a report says of DAY: all of it, not more of it. Days of other months are none of this budget's. */
void budget_estimate(struct budget *budget, int64_t day, int64_t amount);
void budget_bill(struct budget *budget, int64_t day, int64_t amount);

/* What counts of one day, and of the month, at WALL, where bills come within BILL_LAG_MS of a day's end. */
int64_t budget_spent_on(const struct budget *budget, int64_t day, int64_t wall, int64_t bill_lag_ms);
int64_t budget_spent(const struct budget *budget, int64_t wall, int64_t bill_lag_ms);
/* All that is only estimated, and all that is billed, for people. */
int64_t budget_estimated(const struct budget *budget);
int64_t budget_billed(const struct budget *budget);

/* SPENT was seen where BEFORE had been seen ELAPSED_MS earlier: the rate goes up if that was faster than ever. True when
 * it did. */
bool budget_see_rate(struct budget *budget, int64_t before, int64_t spent, int64_t elapsed_ms);

/* How far spending can pass its limit before it is cut off. A charge is reported within LAG_MS, reports are read every
 * INTERVAL_MS, and a cut takes CUT_MS: so it goes on for interval + lag + cut after the limit. The rate is that of what
 * reports have shown, which lag as well and come in steps of an interval: whatever was spent in that time is in reports
 * read within interval + lag more, and the first of them began an interval earlier. So the bound is
 * rate x (3 x interval + 2 x lag + cut). */
struct budget_pace {
    int64_t interval_ms; /* the longest between two polls, not the one that was wished for */
    int64_t lag_ms;
    int64_t cut_ms;
};
int64_t budget_overshoot(int64_t rate, const struct budget_pace *pace);

/* What is left: also the most that a new key's own cap may be. */
int64_t budget_left(int64_t limit, int64_t spent);

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
