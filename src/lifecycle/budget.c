#include "lifecycle/budget.h"

#include <string.h>

enum { HOUR_MS = 3600000, DAYS_400_YEARS = 146097, DAYS_BEFORE_1970 = 719468 };

static int64_t within(int64_t amount)
{
    return amount < 0 ? 0 : amount > BUDGET_MOST ? BUDGET_MOST : amount;
}

int64_t budget_add(int64_t one, int64_t other)
{
    return within(within(one) + within(other));
}

/* AMOUNT times TIMES over OVER, rounded up; none is less than nothing. */
static int64_t scale(int64_t amount, int64_t times, int64_t over)
{
    int64_t whole, part;
    if (__builtin_mul_overflow(amount / over, times, &whole) || __builtin_mul_overflow(amount % over, times, &part))
        return BUDGET_MOST;
    return budget_add(whole, part / over + (part % over != 0));
}

int64_t budget_day(int64_t wall)
{
    return wall > 0 ? wall / BUDGET_DAY_MS : 0;
}

/* --- months --- */

/* Years are counted from March on, so that a leap day is the last of its year: then months follow one formula. */
struct date {
    int64_t year; /* beginning in March */
    int64_t month; /* 0 is March */
};

static struct date date_of(int64_t day)
{
    int64_t since = day + DAYS_BEFORE_1970, era = since / DAYS_400_YEARS, of_era = since % DAYS_400_YEARS;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    return (struct date){era * 400 + year, (5 * of_year + 2) / 153};
}

static int64_t first_day_of(struct date date)
{
    int64_t era = date.year / 400, year = date.year % 400;
    return era * DAYS_400_YEARS + 365 * year + year / 4 - year / 100 + (153 * date.month + 2) / 5 - DAYS_BEFORE_1970;
}

int64_t budget_month(int64_t day)
{
    return first_day_of(date_of(day));
}

int64_t budget_next_month(int64_t day)
{
    struct date date = date_of(day);
    return first_day_of(date.month == 11 ? (struct date){date.year + 1, 0} : (struct date){date.year, date.month + 1});
}

int64_t budget_clock_month(struct budget_clock *clock, int64_t wall, int64_t monotonic)
{
    int64_t month = budget_month(budget_day(wall));
    if (month >= clock->month) {
        clock->back_since = -1;
        return clock->month = month;
    }
    if (clock->back_since < 0)
        clock->back_since = monotonic;
    if (monotonic - clock->back_since >= BUDGET_BACK_MS) {
        clock->back_since = -1;
        clock->month = month;
    }
    return clock->month;
}

/* --- one grant's month --- */

void budget_enter(struct budget *budget, int64_t month)
{
    if (budget->month == month)
        return;
    memset(budget->days, 0, sizeof budget->days);
    budget->month = month;
}

static struct budget_day *day_of(struct budget *budget, int64_t day)
{
    return day >= budget->month && day < budget_next_month(budget->month) ? &budget->days[day - budget->month] : NULL;
}

void budget_estimate(struct budget *budget, int64_t day, int64_t amount)
{
    struct budget_day *at = day_of(budget, day);
    if (at)
        at->estimate = budget_add(amount, 0);
}

void budget_bill(struct budget *budget, int64_t day, int64_t amount)
{
    struct budget_day *at = day_of(budget, day);
    if (!at)
        return;
    at->bill = budget_add(amount, 0);
    at->billed = true;
}

void budget_total(struct budget *budget, int64_t day, int64_t total)
{
    struct budget_day *at = day_of(budget, day);
    int64_t told = budget_billed(budget), wanted = within(total);
    if (!at)
        return;
    if (wanted >= told) {
        budget_bill(budget, day, budget_add(at->bill, wanted - told));
        return;
    }
    for (unsigned i = BUDGET_DAYS; i-- > 0 && told > wanted;) {
        int64_t back = budget->days[i].bill < told - wanted ? budget->days[i].bill : told - wanted;
        budget->days[i].bill -= back;
        told -= back;
    }
}

static int64_t counted(const struct budget_day *at, int64_t day, int64_t wall, int64_t bill_lag_ms)
{
    bool settled = wall >= (day + 1) * BUDGET_DAY_MS + bill_lag_ms;
    if (at->billed && settled)
        return at->bill;
    return at->bill > at->estimate ? at->bill : at->estimate;
}

int64_t budget_spent_on(const struct budget *budget, int64_t day, int64_t wall, int64_t bill_lag_ms)
{
    if (day < budget->month || day >= budget_next_month(budget->month))
        return 0;
    return counted(&budget->days[day - budget->month], day, wall, bill_lag_ms);
}

/* Days that the month does not have hold nothing. */
int64_t budget_spent(const struct budget *budget, int64_t wall, int64_t bill_lag_ms)
{
    int64_t sum = 0;
    for (unsigned i = 0; i < BUDGET_DAYS; i++)
        sum = budget_add(sum, counted(&budget->days[i], budget->month + i, wall, bill_lag_ms));
    return sum;
}

int64_t budget_estimated(const struct budget *budget)
{
    int64_t sum = 0;
    for (unsigned day = 0; day < BUDGET_DAYS; day++)
        sum = budget_add(sum, budget->days[day].estimate);
    return sum;
}

int64_t budget_billed(const struct budget *budget)
{
    int64_t sum = 0;
    for (unsigned day = 0; day < BUDGET_DAYS; day++)
        sum = budget_add(sum, budget->days[day].bill);
    return sum;
}

int64_t budget_late(const struct budget *budget)
{
    int64_t sum = 0;
    for (unsigned day = 0; day < BUDGET_DAYS; day++)
        sum = budget_add(sum, budget->days[day].bill - budget->days[day].estimate);
    return sum;
}

static bool see(int64_t *rate, int64_t before, int64_t spent, int64_t elapsed_ms)
{
    if (spent <= before || elapsed_ms <= 0)
        return false;
    int64_t seen = scale(spent - before, HOUR_MS, elapsed_ms);
    if (seen <= *rate)
        return false;
    *rate = seen;
    return true;
}

bool budget_see_rate(struct budget *budget, int64_t before, int64_t spent, int64_t elapsed_ms)
{
    return see(&budget->rates.rate, before, spent, elapsed_ms);
}

/* The first stretch began with the report before, or is taken to be as long as any. One that began in another month has
 * seen nothing of this one. A clock that was put back begins a new one. */
bool budget_see_late(struct budget *budget, int64_t wall, int64_t elapsed_ms, int64_t stretch_ms)
{
    struct budget_rates *rates = &budget->rates;
    int64_t first = elapsed_ms > stretch_ms ? elapsed_ms : stretch_ms, told = budget_late(budget);
    int64_t since = rates->late_since > 0 ? rates->late_since : wall - first;
    if (wall >= since && wall - since < stretch_ms)
        return false;
    see(&rates->late, rates->late_month == budget->month ? rates->late_seen : 0, told, wall - since);
    rates->late_since = wall;
    rates->late_seen = told;
    rates->late_month = budget->month;
    return true;
}

int64_t budget_overshoot(const struct budget_rates *rates, const struct budget_pace *pace)
{
    int64_t polls = 3 * pace->interval_ms + pace->cut_ms;
    return budget_add(scale(rates->rate, polls + 2 * pace->lag_ms, HOUR_MS),
                      scale(rates->late, polls + 4 * pace->bill_lag_ms, HOUR_MS));
}

int64_t budget_left(int64_t limit, int64_t spent)
{
    return limit > spent ? limit - spent : 0;
}

int64_t budget_key_limit(int64_t limit, int64_t before, int64_t before_month, int64_t month)
{
    int64_t left = month > before_month ? limit : budget_left(limit, before);
    return left < BUDGET_CENT ? BUDGET_CENT : left;
}

bool budget_limit_holds(int64_t found, int64_t set)
{
    return found >= set && found - set < BUDGET_CENT;
}

int64_t budget_projected(int64_t spent, int64_t month, int64_t wall)
{
    int64_t length = (budget_next_month(month) - month) * BUDGET_DAY_MS, gone = wall - month * BUDGET_DAY_MS;
    if (gone < BUDGET_DAY_MS)
        gone = BUDGET_DAY_MS;
    return gone < length ? scale(spent, length / 1000, gone / 1000) : spent;
}

/* --- verdicts --- */

const char *budget_verdict_name(enum budget_verdict verdict)
{
    static const char *const names[] = {
        [BUDGET_WITHIN] = "within", [BUDGET_OVER_OWN] = "own", [BUDGET_OVER_OWNER] = "owner", [BUDGET_OVER_HOST] = "host",
    };
    return names[verdict];
}

static bool used_up(const struct budget_account *account)
{
    return account->limit > 0 && account->spent >= account->limit;
}

enum budget_verdict budget_judge(const struct budget_account *own, const struct budget_account *owner,
                                 const struct budget_account *host)
{
    return used_up(own) ? BUDGET_OVER_OWN : used_up(owner) ? BUDGET_OVER_OWNER : used_up(host) ? BUDGET_OVER_HOST : BUDGET_WITHIN;
}
