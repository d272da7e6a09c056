/* simulate: runs the daemon's engine through seeded worlds and checks the invariants at every step.
 *
 * usage: simulate [--seeds N] [--from K] [--jobs N] [--enough N]    many worlds; enough have failed: stop
 *        simulate --story SEED                                       one of them, told
 *        simulate --replay FILE...                                   kept stories, each as a test
 *
 * The first seed that fails is made smaller (items are taken out of its script as long as it fails in the same way)
 * and printed with the command that replays it. A run that did too little of what it is for fails by itself. */
#include "world.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { JOBS_MAX = 64, SHOWN = 20 /* failures of each process */ };

struct report {
    uint64_t runs, failures, first_failure;
    uint64_t tallies[TALLIES];
    char failure[512];
};

/* A run of four thousand worlds and more does at least this much of each per ten thousand worlds, or it has shown nothing.
 * Every tally has a line: what is not planned for is not missed. */
static const unsigned planned[TALLIES] = {
    [DID_STEPS] = 3100000, [DID_STARTS] = 23000, [DID_STOPS] = 15000, [DID_SAVES] = 3100, [DID_MIGRATIONS] = 860,
    [DID_CRASHES] = 13000, [DID_HOST_REBOOTS] = 900, [DID_HOOKS] = 100000, [DID_EVENTS] = 150000,
    [DID_LOOKS] = 270000, [DID_REQUESTS] = 130000, [DID_MINTS] = 31000, [DID_REVOKES] = 22000,
    [DID_DELIVERIES] = 44000, [DID_COMMITS] = 420000, [DID_CHECKS] = 1000000, [DID_CONVERGED] = 9900,
    [DID_ROTATIONS_DUE] = 10000, [DID_ROTATIONS_ASKED] = 1700, [DID_OVERLAPS_ENDED] = 11000, [DID_SUSPENDS] = 1000,
    [DID_RESUMES] = 1000, [DID_BUDGETS] = 1000, [DID_CLAIMS] = 1000, [DID_REPEATS] = 430, [DID_LIMITS] = 250,
    [DID_RENEWALS] = 1000, [DID_LAPSES] = 240, [CRASH_IDLE] = 760,
    [CRASH_BEFORE_COMMIT] = 1400, [CRASH_AFTER_COMMIT] = 1300, [CRASH_BEFORE_REQUEST] = 920,
    [CRASH_AFTER_REQUEST] = 1000, [FAULT_UNREACHABLE] = 3200, [FAULT_UNAUTHORIZED] = 2300, [FAULT_THROTTLED] = 3600,
    [FAULT_BEFORE] = 2700, [FAULT_AFTER] = 3200, [FAULT_AFTER_LATE] = 2000, [FAULT_LOST_REQUEST] = 1000,
    [FAULT_LOST_ANSWER] = 1800,
    [FAULT_REFUSED] = 1700, [FAULT_LATE] = 1250, [FAULT_DOUBLE] = 1800, [FAULT_STALE] = 1550, [FAULT_COMMIT] = 6400,
    [FAULT_GHOST] = 2, [FAULT_EVENT_LOST] = 1000, [FAULT_EVENT_DOUBLE] = 990, [FAULT_EVENT_LATE] = 1000,
    [FAULT_HOOK_LATE] = 1300, [FAULT_HOOK_SPOOLED] = 10000, [FAULT_HOOK_LOST] = 400, [FAULT_HOOK_OTHER_BOOT] = 80,
    [FAULT_LIBVIRT] = 2900, [FAULT_GUEST] = 1200, [FAULT_OUTSIDER] = 2800, [FAULT_LIE] = 20,
    [DID_SIGNED] = 1000, [DID_REFRESHED] = 1000, [DID_COPIED] = 1000, [DID_CHANGED_COPY] = 100,
    [CHECKED_LIVE_KEYS] = 1400000, [CHECKED_CONTAINERS] = 800000, [CHECKED_TWO_KEYS] = 100000, [CHECKED_NEW_ROWS] = 60000,
    [CHECKED_ROW_ENDS] = 50000, [CHECKED_ENDS] = 42000, [CHECKED_SUSPENSIONS] = 2200, [CHECKED_PROOFS] = 55000,
    [CHECKED_BUDGETS] = 2700, [CHECKED_HOLDS_ENDED] = 2300, [CHECKED_MINTS] = 22000, [CHECKED_CONTAINER_LIMITS] = 10000,
    [CHECKED_FIRST_LIMITS] = 2500, [CHECKED_CLAIMS] = 6500, [CHECKED_SWITCHED_OFF] = 6000, [CHECKED_SWITCHED_ON] = 1600,
    [CHECKED_SIGNED_AT_REST] = 8000, [CHECKED_TOKEN_ENDS] = 8000, [CHECKED_REMOVALS] = 20000, [CHECKED_LEASES] = 2800,
    [CHECKED_TOKENS] = 2400, [CHECKED_UNWANTED] = 18000, [CHECKED_TAKEN_OUT] = 15000, [CHECKED_OVER] = 5000,
    [CHECKED_COPIES] = 1200, [CHECKED_ONE_KEY] = 30000, [CHECKED_KEY_LIMITS] = 2700, [CHECKED_GIVEN] = 20000,
    [CHECKED_SAVED] = 1700, [CHECKED_UNDEFINED] = 28000, [CHECKED_KEPT_OFF] = 4500, [CHECKED_OFF] = 70000,
    [CHECKED_RESTS] = 8500, [CHECKED_AGENT_FOUND] = 4700, [CHECKED_OPERATOR] = 4000,
    [WORLDS_OF + SET_PLAIN] = 500, [WORLDS_OF + SET_SUSPENDS] = 500, [WORLDS_OF + SET_CLAIMS] = 500,
    [WORLDS_OF + SET_CHOOSES] = 500, [WORLDS_OF + SET_LIMITS_KEYS] = 500, [WORLDS_OF + SET_LEASES] = 500,
    [WORLDS_OF + SET_SHARED] = 500, [WORLDS_OF + SET_EXPIRES] = 500,
    [ASKED_OF + SET_PLAIN] = 5000, [ASKED_OF + SET_SUSPENDS] = 5000, [ASKED_OF + SET_CLAIMS] = 5000,
    [ASKED_OF + SET_CHOOSES] = 5000, [ASKED_OF + SET_LIMITS_KEYS] = 5000, [ASKED_OF + SET_LEASES] = 5000,
    [ASKED_OF + SET_SHARED] = 5000, [ASKED_OF + SET_EXPIRES] = 5000,
};

static double seconds(clockid_t clock_id)
{
    struct timespec time;
    clock_gettime(clock_id, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* --- making a failing script smaller --- */

/* The same words, whatever the numbers in them. */
static bool alike(const char *one, const char *other)
{
    static const char digits[] = "0123456789";
    for (;; one++, other++) {
        one += strspn(one, digits);
        other += strspn(other, digits);
        if (*one != *other)
            return false;
        if (!*one)
            return true;
    }
}

static bool fails_alike(const struct script *script, const char *failure)
{
    return !run_script(script) && alike(world.failure, failure);
}

static void shrink(struct script *script, const char *failure)
{
    bool smaller = true;
    while (smaller) {
        smaller = false;
        /* Several at once first: most items have nothing to do with it. */
        for (unsigned width = 16; width > 0; width /= 2)
            for (unsigned first = 0; first < script->count; first += width) {
                struct script less = *script;
                bool any = false;
                for (unsigned i = first; i < first + width && i < less.count; i++) {
                    any = any || less.items[i].kind != ITEM_NONE;
                    less.items[i].kind = ITEM_NONE;
                }
                if (any && fails_alike(&less, failure)) {
                    *script = less;
                    smaller = true;
                }
            }
    }
}

static void tell_failure(uint64_t seed, const char *program)
{
    struct script script;
    char failure[sizeof world.failure];
    script_make(&script, seed);
    run_script(&script);
    memcpy(failure, world.failure, sizeof failure);
    shrink(&script, failure);
    run_script(&script);
    printf("# seed %" PRIu64 ": %s\n# the smallest story that fails alike (save it, then: %s --replay FILE):\n", seed,
           world.failure, program);
    fflush(stdout);
    script_print(&script);
    telling = true;
    run_script(&script);
    telling = false;
    printf("# all of it: %s --story %" PRIu64 "\n", program, seed);
}

/* --- many worlds --- */

static void work(struct report *report, uint64_t from, uint64_t seeds, uint64_t enough, unsigned job, unsigned jobs)
{
    struct script script;
    for (uint64_t seed = from + job; seed < from + seeds && report->failures < enough; seed += jobs) {
        script_make(&script, seed);
        report->runs++;
        if (!run_script(&script)) {
            if (report->failures++ < SHOWN)
                printf("# seed %" PRIu64 ": %s\n", seed, world.failure);
            if (!report->first_failure) {
                report->first_failure = seed;
                memcpy(report->failure, world.failure, sizeof report->failure);
            }
        }
    }
    memcpy(report->tallies, world.tallies, sizeof report->tallies);
}

static void add_up(const struct report *reports, unsigned jobs, struct report *sum)
{
    *sum = (struct report){0};
    for (unsigned job = 0; job < jobs; job++) {
        sum->runs += reports[job].runs;
        sum->failures += reports[job].failures;
        if (reports[job].first_failure && (!sum->first_failure || reports[job].first_failure < sum->first_failure)) {
            sum->first_failure = reports[job].first_failure;
            memcpy(sum->failure, reports[job].failure, sizeof sum->failure);
        }
        for (unsigned t = 0; t < TALLIES; t++)
            sum->tallies[t] += reports[job].tallies[t];
    }
}

/* Returns how many kinds of work fell short. */
static unsigned too_little(const struct report *sum)
{
    unsigned short_of = 0;
    for (unsigned t = 0; sum->runs >= 4000 && t < TALLIES; t++) {
        uint64_t wanted = sum->runs * planned[t] / 10000;
        if (sum->tallies[t] >= wanted && planned[t] > 0)
            continue;
        printf("# too little was done: %" PRIu64 " %s, planned were %" PRIu64 "\n", sum->tallies[t], tally_names[t],
               wanted);
        short_of++;
    }
    return short_of;
}

static int many(uint64_t from, uint64_t seeds, uint64_t enough, unsigned jobs, const char *program)
{
    struct report *reports =
        mmap(NULL, JOBS_MAX * sizeof *reports, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct report sum;
    pid_t workers[JOBS_MAX];
    bool died = false;
    double began = seconds(CLOCK_MONOTONIC);
    if (reports == MAP_FAILED)
        return EXIT_FAILURE;
    printf("1..3\n");
    fflush(stdout);
    for (unsigned job = 0; job < jobs; job++)
        if ((workers[job] = fork()) == 0) {
            work(&reports[job], from, seeds, enough, job, jobs);
            exit(0);
        }
    for (unsigned job = 0; job < jobs; job++) {
        int status = 0;
        died = waitpid(workers[job], &status, 0) < 0 || status != 0 || died;
    }
    double took = seconds(CLOCK_MONOTONIC) - began;
    add_up(reports, jobs, &sum);
    for (unsigned t = 0; t < TALLIES; t++)
        printf("# %12" PRIu64 " %s\n", sum.tallies[t], tally_names[t]);
    printf("# %" PRIu64 " seeds from %" PRIu64 " in %.1f s with %u processes: %.0f seeds/s, %.0f steps a seed\n", sum.runs,
           from, took, jobs, (double)sum.runs / took, (double)sum.tallies[DID_STEPS] / (double)(sum.runs ? sum.runs : 1));
    printf("%sok 1 - %" PRIu64 " of %" PRIu64 " worlds break an invariant\n", sum.failures ? "not " : "", sum.failures, seeds);
    printf("%sok 2 - every seed was run to its end\n", died || sum.runs != seeds ? "not " : "");
    unsigned short_of = too_little(&sum);
    printf("%sok 3 - enough was done\n", short_of ? "not " : "");
    if (sum.first_failure)
        tell_failure(sum.first_failure, program);
    return sum.failures || died || short_of || sum.runs != seeds ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* --- single ones --- */

static int story(uint64_t seed)
{
    struct script script;
    script_make(&script, seed);
    script_print(&script);
    telling = true;
    bool ok = run_script(&script);
    printf("%s\n", ok ? "nothing is violated" : world.failure);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int replay(int count, char **paths, bool tell_it)
{
    int failed = 0;
    printf("1..%d\n", count);
    for (int i = 0; i < count; i++) {
        struct script script;
        bool readable = script_read(&script, paths[i]);
        telling = tell_it;
        bool ok = readable && run_script(&script);
        telling = false;
        printf("%sok %d - %s%s%s\n", ok ? "" : "not ", i + 1, paths[i], ok ? "" : ": ",
               ok ? "" : readable ? world.failure : "cannot be read");
        failed += !ok;
    }
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"seeds", required_argument, NULL, 'n'}, {"from", required_argument, NULL, 'f'},
        {"jobs", required_argument, NULL, 'j'},  {"story", required_argument, NULL, 's'},
        {"replay", no_argument, NULL, 'r'},      {"tell", no_argument, NULL, 't'},
        {"enough", required_argument, NULL, 'e'},
        {NULL, 0, NULL, 0},
    };
    uint64_t from = 1, seeds = 10000, enough = UINT64_MAX;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned jobs = cores > 0 && cores < JOBS_MAX ? (unsigned)cores : 1;
    bool replaying = false, tell_it = false;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case 'n':
            seeds = strtoull(optarg, NULL, 10);
            break;
        case 'f':
            from = strtoull(optarg, NULL, 10);
            break;
        case 'j':
            jobs = (unsigned)strtoul(optarg, NULL, 10);
            jobs = jobs < 1 ? 1 : jobs > JOBS_MAX ? JOBS_MAX : jobs;
            break;
        case 'e':
            enough = strtoull(optarg, NULL, 10);
            break;
        case 's':
            return story(strtoull(optarg, NULL, 10));
        case 'r':
            replaying = true;
            break;
        case 't':
            tell_it = true;
            break;
        default:
            return 64;
        }
    }
    return replaying ? replay(argc - optind, argv + optind, tell_it) : many(from, seeds, enough, jobs, argv[0]);
}
