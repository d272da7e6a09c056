/* One run: the clock, the queue of what is to happen, chance, and what was found. */
#include "world.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    CALM_MS = 25 * 60 * 1000,   /* within this everything must have converged: the longest wait that the engine allows
                                   itself is ten minutes (a refusal), and one may follow another */
    STALL_LEAP = 40,            /* places in the queue */
    LINGER_MS = 11 * 60 * 1000, /* then nothing may move any more */
    UNHEARD_MS = 500,           /* so long a guest's agent is away */
    FIND_AGENT_MS = 15000,      /* and it is known again after this */
};

struct event {
    int64_t when;
    uint64_t order;
    int host;
    unsigned incarnation;
    event_fn *run;
    void *context;
    int64_t a, b;
};

struct world world;
bool telling;
static struct event queue[EVENTS_MAX];
static unsigned queued;
static uint64_t ordered;

const char *const tally_names[TALLIES] = {
    "steps", "starts", "stops", "saves", "migrations", "crashes", "reboots of the host", "hook calls", "libvirt events",
    "looks", "requests", "mints", "revocations", "deliveries", "commits", "invariant checks", "runs converged",
    "rotations by interval", "rotations by request", "overlaps ended", "suspensions", "resumptions", "limits reached", "claims",
    "mintings repeated", "limits of keys", "leases renewed", "leases lapsed",
    "crashes between steps", "crashes before a commit", "crashes after a commit", "crashes between commit and request",
    "crashes after a request",
    "unreachable", "unauthorized", "throttled", "failed before the commit", "failed after the commit",
    "failed and executed late", "request lost", "answer lost", "refused", "executed late", "executed twice", "stale list",
    "commit failed", "commit failed and found later",
    "event lost", "event doubled", "event late", "hook read late", "hook in the spool", "hook lost",
    "hook of an earlier boot", "libvirt away", "guest", "outsider", "said gone of an account",
    "tokens signed", "tokens replaced by newer ones", "copies of the host's key", "hosts' keys that became others",
    "living keys that have a row", "open containers that have a row", "two keys of one domain", "new rows", "rows that ended",
    "ends of what may have been in use", "suspensions of what may have been in use", "proofs of what the guest had",
    "budgets asked for", "holds that ended", "mintings that were written down", "mintings in limited containers",
    "mintings with a limit", "claims that were written down", "suspensions that were written down",
    "resumptions that were written down", "signatures at rest", "ends of tokens at rest", "removals that were written down",
    "leases renewed in the end", "tokens in the end", "domains that are to have no key", "guests that are to have no key",
    "domains over their limit", "copies that are to be the host's key", "domains that are to have one key",
    "limits of keys in the end", "guests that are to have their key", "saved domains whose keys are not to work",
    "undefined domains", "domains off whose keys are kept", "domains off", "rests", "agents that come back unheard",
    "words of operators that were written down",
    "providers that make keys and lists", "providers that suspend", "providers with a pool", "providers that take our secret",
    "providers with limits on keys", "providers of leases", "copies of a key for providers", "providers that take our tokens",
    "requests where keys are made and listed", "requests where keys are suspended", "requests where there is a pool",
    "requests where the secret is ours", "requests where keys have limits", "requests where there are leases",
    "requests where the host's key is copied", "requests where the host signs",
};

/* --- chance --- */

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

uint64_t chance(unsigned purpose)
{
    return mix(world.script.seed * UINT64_C(0x9e3779b97f4a7c15) + ((uint64_t)purpose << 40) + ++world.counters[purpose]);
}

int64_t chance_between(unsigned purpose, int64_t from, int64_t to)
{
    return from + (int64_t)(chance(purpose) % (uint64_t)(to - from + 1));
}

bool chance_of(unsigned purpose, unsigned percent)
{
    return chance(purpose) % 100 < percent;
}

/* --- what was found --- */

void did(enum tally what)
{
    world.tallies[what]++;
}

void tell(const char *format, ...)
{
    if (!telling)
        return;
    va_list arguments;
    va_start(arguments, format);
    printf("%9.3f  ", (double)since_start(world.clock) / 1000);
    vprintf(format, arguments);
    putchar('\n');
    va_end(arguments);
}

void violated(const char *invariant, const char *format, ...)
{
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    tell("!!! %s: %s", invariant, text);
    if (world.failed)
        return;
    world.failed = true;
    snprintf(world.failure, sizeof world.failure, "%s: %s", invariant, text);
}

/* --- the queue: a heap by time, then by order of asking --- */

int64_t now(void)
{
    return world.back_dated ? world.back_dated : world.clock;
}

int64_t simulated_monotonic_ms(void)
{
    return now() - (world.current >= 0 ? world.hosts[world.current].booted_at : 0);
}

/* The wall clock runs with the other, so that times in rows can be compared with the truth. */
int64_t simulated_wall_ms(void)
{
    return now();
}

static bool earlier(const struct event *one, const struct event *other)
{
    return one->when != other->when ? one->when < other->when : one->order < other->order;
}

static void put(struct event event)
{
    if (queued == EVENTS_MAX) {
        violated("harness", "more than %d things are to happen", EVENTS_MAX);
        return;
    }
    unsigned hole = queued++;
    while (hole > 0 && earlier(&event, &queue[(hole - 1) / 2])) {
        queue[hole] = queue[(hole - 1) / 2];
        hole = (hole - 1) / 2;
    }
    queue[hole] = event;
}

void at(int64_t when, int host, event_fn *run, void *context, int64_t a, int64_t b)
{
    put((struct event){when > world.clock ? when : world.clock, ++ordered, host,
                       host >= 0 ? world.hosts[host].incarnation : 0, run, context, a, b});
}

/* A loop that hung takes up what has waited in its order, as far as one source goes; of two sources that are ready
 * either may be first. */
static void wait_for_loop(struct event event, const struct host *host)
{
    event.when = host->stalled_until;
    if (host->stall_events_first && event.run == libvirt_event_comes && event.order > 0)
        event.order -= event.order > STALL_LEAP ? STALL_LEAP : event.order - 1;
    /* Each hook has a connection of its own, and the loop does other things between two of them. */
    if (host->stall_shuffles && event.run == hook_arrives)
        event.when += chance_between(BY_HOST + (unsigned)host->index, 0, 25);
    put(event);
}

static struct event take(void)
{
    struct event first = queue[0], last = queue[--queued];
    unsigned hole = 0;
    for (unsigned child; (child = 2 * hole + 1) < queued; hole = child) {
        if (child + 1 < queued && earlier(&queue[child + 1], &queue[child]))
            child++;
        if (!earlier(&queue[child], &last))
            break;
        queue[hole] = queue[child];
    }
    queue[hole] = last;
    return first;
}

/* --- crashes --- */

void failpoint(int host, enum tally where)
{
    struct host *at_host = &world.hosts[host];
    if (!world.can_crash || world.current != host || !at_host->crash_after || world.clock < at_host->crash_after)
        return;
    if (at_host->crash_place != CRASH_IDLE && at_host->crash_place != where)
        return;
    if (at_host->crash_points-- == 0) {
        did(where);
        longjmp(world.crash, 1);
    }
}

/* --- a run --- */

static void item_happens(void *context, int64_t index, int64_t unused)
{
    const struct item *item = &world.script.items[index];
    (void)context, (void)unused;
    tell("* %s %d %d %d", item_name(item->kind), (int)item->a, (int)item->b, (int)item->c);
    if (item->kind < ITEM_REMOTE_FAULT)
        libvirt_item(item);
    else if (item->kind <= ITEM_OUTSIDER)
        remote_item(item);
    else if (item->kind == ITEM_GUEST_FAULT)
        libvirt_item(item);
    else
        process_item(item);
}

static void begin(const struct script *script)
{
    queued = 0;
    ordered = 0;
    uint64_t tallies[TALLIES];
    memcpy(tallies, world.tallies, sizeof tallies);
    memset(&world, 0, offsetof(struct world, hosts));
    memset(&world.domains, 0, sizeof world.domains);
    memset(&world.counters, 0, sizeof world - offsetof(struct world, counters));
    memcpy(world.tallies, tallies, sizeof tallies);
    world.clock = TRUTH_START;
    world.script = *script;
    world.current = -1;
    world.hosts_count = script->hosts;
    world.domains_count = script->domains;
    world.providers_count = script->providers;
    hooks_reset();
    remote_reset();
    for (unsigned d = 0; d < world.domains_count; d++) {
        struct domain *domain = &world.domains[d];
        snprintf(domain->uuid, sizeof domain->uuid, "00000000-0000-4000-8000-00000000000%c", (char)('0' + d));
        domain->home = (int)(d % world.hosts_count);
        domain->busy_on = -1;
        domain->has_channel = d != 3;
        domain->wanted = 1;
        domain->limit = 100000000;
        domain->rotate_ms = POLICY_NEVER;
        domain->overlap_ms = 30000;
        for (unsigned h = 0; h < HOSTS_MAX; h++)
            domain->on[h] = (struct presence){.off_at = TRUTH_START};
    }
    for (unsigned h = 0; h < world.hosts_count; h++) {
        struct host *host = &world.hosts[h];
        memset(host, 0, offsetof(struct host, ledger));
        memset((char *)host + offsetof(struct host, libvirt_down), 0, sizeof *host - offsetof(struct host, libvirt_down));
        host->ledger.open = false;
        host->ledger.ghost_count = host->ledger.pending_count = 0;
        host->ledger.domains_count = host->ledger.grants_count = host->ledger.containers_count = 0;
        host->ledger.keys_count = host->ledger.pool_count = 0;
        host->ledger.next_key = host->ledger.next_grant = host->ledger.next_container = 1;
        host->ledger.failing_until = 0;
        host->index = host->ledger.host = (int)h;
        host->booted_at = host->boot = 0;
        snprintf(host->id, sizeof host->id, "h%u", h % 10);
        host->gives_reason = chance_of(BY_WORLD, 50);
        remote_fill_pool(host);
        process_start(host);
    }
    for (unsigned i = 0; i < script->count; i++)
        if (script->items[i].kind != ITEM_NONE)
            at(TRUTH_START + script->items[i].at, -1, item_happens, NULL, i, 0);
}

/* Until UNTIL, or until there is nothing left to happen before it. */
static unsigned go_on(int64_t until, bool stop_when_converged, int64_t *ret_converged_at)
{
    unsigned steps = 0;
    char why[64];
    while (queued && queue[0].when <= until && !world.failed) {
        struct event event = take();
        world.clock = event.when;
        if (event.host < 0) {
            event.run(event.context, event.a, event.b);
        } else {
            struct host *host = &world.hosts[event.host];
            if (!host->engine || host->incarnation != event.incarnation)
                continue;
            if (host->stalled_until > world.clock) {
                wait_for_loop(event, host);
                continue;
            }
            process_enter(host, event.run, event.context, event.a, event.b);
        }
        did(DID_STEPS);
        if (++steps > STEPS_MAX)
            violated("I8", "more than %d steps: it does not come to rest", STEPS_MAX);
        if (world.changed) {
            check_world();
            if (stop_when_converged && !*ret_converged_at && converged(why, sizeof why))
                *ret_converged_at = world.clock;
            world.changed = false;
        }
    }
    if (world.clock < until)
        world.clock = until;
    return steps;
}

static int64_t script_end(const struct script *script)
{
    int64_t end = 1000;
    for (unsigned i = 0; i < script->count; i++)
        if (script->items[i].kind != ITEM_NONE && script->items[i].at > end)
            end = script->items[i].at;
    return TRUTH_START + end + 5000;
}

static void become_calm(void)
{
    tell("--- no faults from here on");
    world.calm = true;
    remote_calm();
    libvirt_calm();
    for (unsigned h = 0; h < world.hosts_count; h++) {
        struct host *host = &world.hosts[h];
        host->crash_after = 0;
        host->ledger.failing_until = 0;
        if (!host->engine)
            process_start(host);
    }
}

static void sweep(void *context, int64_t a, int64_t b)
{
    struct host *host = context;
    (void)a, (void)b;
    shared_look(host->engine);
    sightings_sweep(host->engine);
    rows_drop_archived(host->engine, world.clock + 1); /* as housekeeping does, and at once */
    engine_mark_all(host->engine);
}

/* What is history stays in memory only as long as a grant has it. */
static void check_memory(const char *when)
{
    for (unsigned h = 0; h < world.hosts_count; h++) {
        const struct engine *engine = world.hosts[h].engine;
        for (const struct vm_container *container = engine ? engine->containers : NULL; container; container = container->next) {
            bool used = container->record.state != CONTAINER_ARCHIVED;
            for (size_t v = 0; v < engine->vms_count; v++)
                for (size_t g = 0; g < engine->vms[v]->grants_count; g++)
                    used = used || engine->vms[v]->grants[g]->container == container;
            if (!used)
                violated("memory", "%s, %s is archived and still in memory", when, container->record.name);
        }
    }
}

static void nudge(void)
{
    for (unsigned h = 0; h < world.hosts_count; h++)
        at(world.clock, (int)h, sweep, &world.hosts[h], 0, 0);
}

/* Nothing is wrong and nothing is asked for: so nothing may be done, but for what time itself does. */
static void must_rest(const char *when)
{
    char why[256];
    bool lapsing = something_lapses() || something_is_refreshed();
    world.settled = true;
    world.moved = 0;
    nudge();
    int64_t ignored = 1;
    go_on(world.clock + LINGER_MS, false, &ignored);
    if (!lapsing)
        did(CHECKED_RESTS);
    if (!world.failed && world.moved > 0 && !lapsing)
        violated("I8", "%s, with nothing to do, it committed or asked %u times", when, world.moved);
    if (!world.failed && !converged(why, sizeof why))
        violated("I8", "%s, it moved away from where it had converged: %s", when, why);
    check_memory(when);
    world.settled = false;
}

/* Of an agent that comes back nothing is heard: it is found all the same, and soon. */
static void must_find_agents(void)
{
    int64_t ignored = 1;
    for (int d = 0; d < (int)world.domains_count; d++)
        for (int h = 0; h < (int)world.hosts_count; h++)
            if (world.domains[d].on[h].agent_connected) {
                guest_agent(d, h, false, 0);
                guest_agent_unheard(d, h, UNHEARD_MS);
            }
    go_on(world.clock + UNHEARD_MS + FIND_AGENT_MS, false, &ignored);
    for (unsigned d = 0; d < world.domains_count && !world.failed; d++)
        for (unsigned h = 0; h < world.hosts_count; h++) {
            struct vm *vm = engine_find_vm(world.hosts[h].engine, world.domains[d].uuid);
            if (!vm || vm->state != DOMAIN_RUNNING || !world.domains[d].on[h].agent_connected || !deliveries_any(vm))
                continue;
            did(CHECKED_AGENT_FOUND);
            if (vm->agent != AGENT_CONNECTED)
                violated("I8", "the agent of domain %u is there for %d s, and is waited for", d, FIND_AGENT_MS / 1000);
        }
}

bool run_script(const struct script *script)
{
    char why[256];
    int64_t converged_at = 0;
    begin(script);
    go_on(script_end(script), false, &converged_at);
    if (!world.failed) {
        become_calm();
        /* Where a hook call and its event were both lost nothing tells the daemon: it is the sweep that does, which
         * runs when libvirt is connected to again, at a reload and at the daemon's start. */
        nudge();
        world.changed = true;
        go_on(world.clock + CALM_MS, true, &converged_at);
    }
    if (!world.failed && !converged(why, sizeof why))
        violated("I8", "%d minutes after the last fault: %s", CALM_MS / 60000, why);
    if (!world.failed)
        must_find_agents();
    if (!world.failed)
        must_rest("at rest");
    if (!world.failed && script->seed % 4 == 0) {
        for (unsigned h = 0; h < world.hosts_count; h++) {
            process_crash(&world.hosts[h]);
            process_start(&world.hosts[h]);
        }
        world.settled = false;
        go_on(world.clock + 5 * 60 * 1000, false, &converged_at);
        if (!world.failed && !converged(why, sizeof why))
            violated("I8", "five minutes after a restart at rest: %s", why);
        if (!world.failed)
            must_rest("after a restart at rest");
    }
    if (!world.failed)
        did(DID_CONVERGED);
    process_free_all();
    return !world.failed;
}
