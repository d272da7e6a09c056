/* A thousand months for each kind of provider: a spender, reports that lag and are revised, polls that fail, rotations,
 * restarts and jumps of the clock, and the budget's own code in between, as the daemon uses it (usage.c): what a report
 * says of a day replaces what was known, and after each poll the verdict is asked. The clock is virtual, in minutes.
 *
 * The simulator in tests/simulate drives the whole daemon and shows that a verdict is carried out; this shows that the
 * verdict comes neither too late nor too soon:
 *
 *   never beyond   what was spent in the month <= its limit + the bound that is stated (I6)
 *   never below    at the moment of the cut, no less than the limit has been spent
 *
 * It needs no provider that enforces anything: where one does, it stops earlier. */
#include "check.h"

#include "lifecycle/budget.h"

#include <stdio.h>
#include <string.h>

enum { MONTHS = 1000, MINUTE = 60000, DAY_MINUTES = 1440, RING = 4096, GENERATIONS = 64 };
#define DOLLAR INT64_C(1000000)

/* What a provider tells. Times are minutes. */
struct kind {
    const char *name;
    bool tokens, bills;
    bool totals; /* what each key cost this month, not what days did; a key that is deleted tells nothing more */
    int64_t token_lag, bill_lag; /* within */
    int64_t interval, cut;
    unsigned only_billed; /* percent of the charges that no tokens tell of: images, searches */
};

static const struct kind kinds[] = {
    {"tokens and bills (Anthropic)", true, true, false, 5, 24 * 60, 5, 2, 0},
    {"tokens and bills, and what is only billed (OpenAI)", true, true, false, 5, 24 * 60, 5, 2, 20},
    {"each key's total (OpenRouter)", false, true, true, 0, 1, 5, 2, 0},
    {"its own dollars by day, at once (LiteLLM)", false, true, false, 0, 2, 5, 2, 0},
    {"bills alone, a day late (a program)", false, true, false, 0, 24 * 60, 5, 2, 0},
    {"tokens alone (a program)", true, false, false, 15, 0, 5, 2, 0},
    {"tokens and bills, asked every hour", true, true, false, 5, 24 * 60, 60, 60, 20},
};

static uint64_t seed;
static uint64_t chance(uint64_t below)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (seed >> 33) % below;
}

struct world {
    const struct kind *kind;
    int64_t minute, month, end;
    int64_t limit;
    int64_t spent;                       /* what really was */
    bool stopped;                        /* no key works */
    int64_t stops_at;                    /* a cut is under way; -1: none */
    int64_t estimates[BUDGET_DAYS], bills[BUDGET_DAYS]; /* what the reports show, by the day of the charge */
    struct {
        int64_t estimate, bill;
        int64_t day;
    } coming[RING][2]; /* by the minute at which it shows; around midnight of two days */
    size_t generation, earlier;          /* the key in use; those before this one are deleted */
    int64_t totals[GENERATIONS];         /* what the provider says of each */
    /* What the daemon has, and what of that is in its ledger. */
    struct budget budget;
    int64_t known[GENERATIONS];
    int64_t next_poll, polled_at, longest, seen;
    int64_t rotations, restarts, failed;
};

static void show_later(struct world *world, int64_t amount, int64_t lag, bool bill)
{
    int64_t at = (world->minute + 1 + (lag ? (int64_t)chance((uint64_t)lag) : 0)) % RING;
    int64_t day = world->minute / DAY_MINUTES - world->month;
    world->coming[at][day % 2].day = day;
    *(bill ? &world->coming[at][day % 2].bill : &world->coming[at][day % 2].estimate) += amount;
}

static void spend(struct world *world, int64_t amount)
{
    bool told = world->kind->tokens && chance(100) >= world->kind->only_billed;
    world->spent += amount;
    if (world->kind->totals)
        world->totals[world->generation] += amount;
    else if (world->kind->bills)
        show_later(world, amount, world->kind->bill_lag, true);
    if (told)
        show_later(world, amount, world->kind->token_lag, false);
}

static void reports_go_on(struct world *world)
{
    for (int i = 0; i < 2; i++) {
        size_t at = (size_t)(world->minute % RING);
        world->estimates[world->coming[at][i].day] += world->coming[at][i].estimate;
        world->bills[world->coming[at][i].day] += world->coming[at][i].bill;
        world->coming[at][i].estimate = world->coming[at][i].bill = 0;
    }
}

static int64_t verdict_spent(const struct world *world)
{
    return budget_spent(&world->budget, world->minute * MINUTE, world->kind->bill_lag * MINUTE);
}

/* A bill that is not final may show less than it will, and less than it showed before. */
static void read_days(struct world *world, int64_t today)
{
    int64_t held_back = world->kind->bill_lag > 60 && chance(4) == 0 ? (int64_t)chance(30) : 0;
    for (int64_t i = today > 3 ? today - 3 : 0; i < BUDGET_DAYS && i <= today; i++) {
        int64_t day = world->month + i;
        bool final = world->minute >= (day + 1) * DAY_MINUTES + world->kind->bill_lag;
        if (world->kind->tokens)
            budget_estimate(&world->budget, day, world->estimates[i]);
        if (world->bills[i])
            budget_bill(&world->budget, day, final ? world->bills[i] : world->bills[i] * (100 - held_back) / 100);
    }
}

/* What is known of each key outlives it. */
static void read_totals(struct world *world, int64_t today)
{
    int64_t days = budget_next_month(world->month) - world->month, sum = 0;
    for (size_t i = 0; i <= world->generation; i++) {
        if (i >= world->earlier)
            world->known[i] = world->totals[i];
        sum += world->known[i];
    }
    budget_total(&world->budget, world->month + (today < days ? today : days - 1), sum);
}

static void poll(struct world *world)
{
    int64_t gap = world->minute - world->polled_at, today = world->minute / DAY_MINUTES - world->month;
    if (world->kind->totals)
        read_totals(world, today);
    else
        read_days(world, today);
    budget_see_rate(&world->budget, world->seen, budget_estimated(&world->budget), gap * MINUTE);
    budget_see_late(&world->budget, world->minute * MINUTE, gap * MINUTE, world->kind->bill_lag * MINUTE);
    world->longest = gap > world->longest ? gap : world->longest;
    world->seen = budget_estimated(&world->budget);
    world->polled_at = world->minute;
    if (!world->stopped && world->stops_at < 0 && verdict_spent(world) >= world->limit) {
        if (world->spent < world->limit)
            fail_msg("%s: cut off at %lld of %lld", world->kind->name, (long long)world->spent, (long long)world->limit);
        world->stops_at = world->minute + 1 + (int64_t)chance((uint64_t)world->kind->cut);
    }
}

/* The earlier key is refused first, and what it cost is read then; so nothing is spent with it that is not told. */
static void rotate(struct world *world)
{
    if (world->generation + 1 == GENERATIONS)
        return;
    for (; world->earlier <= world->generation; world->earlier++)
        world->known[world->earlier] = world->totals[world->earlier];
    world->generation++;
    world->rotations++;
}

/* The daemon is another one: it has what is in the ledger, and no more. */
static void restart(struct world *world)
{
    struct budget again = {.rates = world->budget.rates};
    budget_enter(&again, world->month);
    for (int64_t i = 0; i < BUDGET_DAYS; i++) {
        budget_estimate(&again, world->month + i, world->budget.days[i].estimate);
        if (world->budget.days[i].billed)
            budget_bill(&again, world->month + i, world->budget.days[i].bill);
    }
    assert_int_equal(budget_spent(&again, world->minute * MINUTE, 0), budget_spent(&world->budget, world->minute * MINUTE, 0));
    world->budget = again;
    world->restarts++;
}

/* One minute's charges: steady, in the day only, or long silences and then all at once. */
static int64_t charge(const struct world *world, unsigned habit, int64_t per_minute)
{
    bool day = world->minute % DAY_MINUTES > 8 * 60;
    if (habit == 0)
        return per_minute / 2 + (int64_t)chance((uint64_t)per_minute + 1);
    if (habit == 1)
        return day ? 2 * per_minute : 0;
    return chance(97) == 0 ? 97 * per_minute : 0;
}

struct tally {
    unsigned cut;
    int64_t worst, bound; /* micro-dollars beyond the limit and the bound, of the month that came nearest to it */
    int64_t bounds, limits; /* of all that were cut off */
    int64_t rotations, restarts, failed;
};

static void one_month(const struct kind *kind, int64_t month, struct tally *tally)
{
    static struct world world;
    memset(&world, 0, sizeof world);
    world.kind = kind;
    world.month = month;
    world.minute = month * DAY_MINUTES;
    world.end = budget_next_month(month) * DAY_MINUTES;
    world.limit = (1 + (int64_t)chance(200)) * DOLLAR;
    world.stops_at = -1;
    world.polled_at = world.minute;
    world.next_poll = world.minute + kind->interval;
    budget_enter(&world.budget, month);
    unsigned habit = (unsigned)chance(3);
    int64_t per_minute = world.limit / (int64_t)(20 + chance(60000)) + 1;
    /* Three days beyond the month, so that the last reports come in and the last stretch ends; nothing is spent in them. */
    for (; world.minute < world.end + 3 * DAY_MINUTES; world.minute++) {
        reports_go_on(&world);
        if (world.minute == world.stops_at)
            world.stopped = true;
        /* Nothing more comes to this month's account, whatever generation a key is of, once no key works. */
        if (!world.stopped && world.minute < world.end)
            spend(&world, charge(&world, habit, per_minute));
        if (chance(2 * DAY_MINUTES) == 0)
            rotate(&world);
        if (chance(3 * DAY_MINUTES) == 0)
            restart(&world);
        if (world.minute < world.next_poll)
            continue;
        bool fails = chance(100) == 0;
        world.failed += fails;
        if (!fails)
            poll(&world);
        world.next_poll = world.minute + kind->interval + (fails ? (int64_t)chance(120) : 0);
        if (world.stopped && world.minute - world.stops_at > 3 * DAY_MINUTES)
            break;
    }
    const struct budget_pace pace = {world.longest * MINUTE, kind->token_lag * MINUTE, kind->bill_lag * MINUTE,
                                     (kind->cut + 1) * MINUTE};
    int64_t beyond = world.spent - world.limit, bound = budget_overshoot(&world.budget.rates, &pace);
    if (beyond > bound)
        fail_msg("%s: %lld spent of %lld, and the bound is %lld", kind->name, (long long)world.spent,
                 (long long)world.limit, (long long)bound);
    /* All is told within the three days, so whoever reached the limit has been cut off by now. */
    assert_true(world.stopped || world.spent < world.limit);
    tally->cut += world.stopped;
    tally->bounds += world.stopped ? bound : 0;
    tally->limits += world.stopped ? world.limit : 0;
    if (world.stopped && (!tally->bound || (double)beyond / (double)bound > (double)tally->worst / (double)tally->bound)) {
        tally->worst = beyond;
        tally->bound = bound;
    }
    tally->rotations += world.rotations;
    tally->restarts += world.restarts;
    tally->failed += world.failed;
}

/* Under valgrind they take long: BUDGET_MONTHS_EVERY=7 makes it a seventh of them. */
static unsigned months(void)
{
    const char *every = getenv("BUDGET_MONTHS_EVERY");
    return every && atoi(every) > 0 ? MONTHS / (unsigned)atoi(every) : MONTHS;
}

static void test_a_thousand_months(void **state)
{
    (void)state;
    unsigned count = months();
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        struct tally tally = {.cut = 0};
        int64_t month = budget_month(19754);
        for (unsigned i = 0; i < count; i++) {
            seed = (uint64_t)i * 1000003 + k;
            chance(2);
            one_month(&kinds[k], month, &tally);
            month = budget_next_month(month);
        }
        printf("# %s: %u of %u months cut off; the nearest to its bound went %.2f dollars too far, of %.2f that were stated; on"
               " average %.1f %% of the limit are stated; %lld rotations, %lld restarts, %lld polls failed\n",
               kinds[k].name, tally.cut, count, (double)tally.worst / 1e6, (double)tally.bound / 1e6,
               100.0 * (double)tally.bounds / (double)tally.limits, (long long)tally.rotations, (long long)tally.restarts,
               (long long)tally.failed);
        assert_in_range(tally.cut, count / 10, count); /* or nothing was shown */
        assert_true(tally.rotations > count && tally.restarts > count && tally.failed > count);
    }
}

/* A clock that jumps: what was reported is not counted twice, nothing of the month is lost, nobody is cut off by it. */
static void test_jumps_of_the_clock(void **state)
{
    (void)state;
    static const int64_t starts[] = {19754 /* a leap February */, 19783, 20058 /* December */, 20089};
    for (size_t s = 0; s < sizeof starts / sizeof starts[0]; s++) {
        int64_t month = starts[s], next = budget_next_month(month), last = next - 1;
        struct budget budget = {.month = 0};
        struct budget_clock clock = {0, -1};
        int64_t noon = last * BUDGET_DAY_MS + BUDGET_DAY_MS / 2, monotonic = 0;
        static const int64_t jumps[] = {0, BUDGET_DAY_MS, 0, -BUDGET_DAY_MS, 0, 3600000, -3600000, 0};
        for (size_t j = 0; j < sizeof jumps / sizeof jumps[0]; j++) {
            int64_t wall = noon + jumps[j];
            monotonic += 300000;
            budget_enter(&budget, budget_clock_month(&clock, wall, monotonic));
            /* The report is the provider's, and its days are what they are. */
            for (int64_t day = month; day <= last; day++)
                budget_estimate(&budget, day, DOLLAR);
            assert_int_equal(budget_spent(&budget, wall, 0), budget.month == month ? (next - month) * DOLLAR : 0);
        }
        /* Forwards it went into the next month, where nothing is spent; an hour after it was put back it is this one. */
        assert_int_equal(budget.month, next);
        monotonic += BUDGET_BACK_MS;
        assert_int_equal(budget_clock_month(&clock, noon, monotonic), month);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_thousand_months),
        cmocka_unit_test(test_jumps_of_the_clock),
    };
    return check_run(tests);
}
