/* One daemon's life: its memory, its threads and timers as events on the world's queue, its start and its crash.
 *
 * Start and reload follow start() and reload() in src/daemon/main.c, step by step: those two are what could drift. */
#include "world.h"

#include "base/log.h"
#include "credentials/credential.h"
#include "daemon/pool.h"
#include "daemon/usage.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- memory --- */

struct block {
    struct block *next, **back;
    size_t size;
    size_t unused; /* what follows is aligned like malloc's */
};

static struct block **blocks_of_current(void)
{
    static struct block *of_nobody;
    return world.current >= 0 ? (struct block **)(void *)&world.hosts[world.current].blocks : &of_nobody;
}

static void *link_block(struct block *block, struct block **list, size_t size)
{
    block->size = size;
    block->next = *list;
    block->back = list;
    if (block->next)
        block->next->back = &block->next;
    *list = block;
    return block + 1;
}

static void unlink_block(struct block *block)
{
    *block->back = block->next;
    if (block->next)
        block->next->back = block->back;
}

void *simulated_calloc(size_t count, size_t size)
{
    struct block *block = calloc(1, sizeof *block + count * size);
    if (!block)
        abort();
    return link_block(block, blocks_of_current(), count * size);
}

void simulated_free(void *memory)
{
    if (!memory)
        return;
    struct block *block = (struct block *)memory - 1;
    unlink_block(block);
    free(block);
}

void *simulated_realloc(void *memory, size_t size)
{
    void *more = simulated_calloc(1, size);
    if (memory) {
        size_t before = ((struct block *)memory - 1)->size;
        memcpy(more, memory, before < size ? before : size);
        simulated_free(memory);
    }
    return more;
}

static void free_blocks(struct host *host)
{
    struct block *block = host->blocks;
    while (block) {
        struct block *next = block->next;
        free(block);
        block = next;
    }
    host->blocks = NULL;
}

/* --- the loop --- */

struct timer {
    loop_timer_fn *callback;
    void *context;
    int64_t setting;
};

struct simulated_loop {
    struct loop table; /* first */
    struct host *host;
    struct timer timers[4];
    int timers_count;
};

static void fire(void *context, int64_t setting, int64_t unused)
{
    struct timer *timer = context;
    (void)unused;
    if (timer->setting == setting)
        timer->callback(timer->context);
}

static int loop_timer(struct loop *loop, loop_timer_fn *callback, void *context)
{
    struct simulated_loop *simulated = (struct simulated_loop *)loop;
    simulated->timers[simulated->timers_count] = (struct timer){callback, context, 0};
    return simulated->timers_count++;
}

static void loop_timer_set(struct loop *loop, int handle, int64_t delay_ms)
{
    struct simulated_loop *simulated = (struct simulated_loop *)loop;
    struct timer *timer = &simulated->timers[handle];
    timer->setting++;
    /* On a busy machine the loop comes to nothing for a while, and then finds answers beside what was to be done before. */
    if (delay_ms >= 0 && chance_of(BY_LOOPS, 3))
        delay_ms += chance_between(BY_LOOPS, 1, 40);
    /* A wait of days is for something that only an event can change. */
    if (delay_ms >= 0 && delay_ms < INT64_C(30) * 24 * 3600 * 1000)
        at(world.clock + delay_ms, simulated->host->index, fire, timer, timer->setting, 0);
}

struct posted {
    loop_timer_fn *callback;
    void *context;
};

static void call_posted(void *context, int64_t a, int64_t b)
{
    struct posted posted = *(struct posted *)context;
    (void)a, (void)b;
    simulated_free(context);
    posted.callback(posted.context);
}

static void loop_post(struct loop *loop, loop_timer_fn *callback, void *context)
{
    struct simulated_loop *simulated = (struct simulated_loop *)loop;
    struct posted *posted = simulated_calloc(1, sizeof *posted);
    *posted = (struct posted){callback, context};
    at(world.clock, simulated->host->index, call_posted, posted, 0, 0);
}

static struct loop *make_loop(struct host *host)
{
    struct simulated_loop *loop = simulated_calloc(1, sizeof *loop);
    loop->host = host;
    loop->table.timer = loop_timer;
    loop->table.timer_set = loop_timer_set;
    loop->table.post = loop_post;
    return &loop->table;
}

/* --- threads --- */

struct job {
    struct job *next;
    struct pool *pool;
    pool_run_fn *run;
    pool_done_fn *done;
    void *context;
    int64_t began; /* when it was first run: a question that is held up was asked then */
};

struct pool {
    struct host *host;
    bool looks;
    unsigned threads, running;
    struct job *first, **last;
};

static struct pool *make_pool(struct host *host, bool looks, unsigned threads)
{
    struct pool *pool = simulated_calloc(1, sizeof *pool);
    *pool = (struct pool){.host = host, .looks = looks, .threads = threads};
    pool->last = &pool->first;
    return pool;
}

static void run_job(void *context, int64_t a, int64_t b);

static void next_job(struct pool *pool)
{
    struct job *job = pool->first;
    if (!job || pool->running == pool->threads)
        return;
    pool->first = job->next;
    if (!pool->first)
        pool->last = &pool->first;
    pool->running++;
    at(world.clock + chance_between(BY_HOST + (unsigned)pool->host->index, 0, pool->looks ? 3 : 60), pool->host->index,
       run_job, job, 0, 0);
}

static void job_done(void *context, int64_t a, int64_t b)
{
    struct job job = *(struct job *)context;
    (void)a, (void)b;
    simulated_free(context);
    job.pool->running--;
    next_job(job.pool);
    job.done(job.context);
}

/* A question about a domain that a hook holds gets no answer before the hook has ended, and then answers for a later
 * moment than the one at which it was asked. */
static void run_job(void *context, int64_t a, int64_t b)
{
    struct job *job = context;
    int host = job->pool->host->index;
    (void)a, (void)b;
    if (!job->began)
        job->began = world.clock;
    if (setjmp(world.blocked)) {
        world.back_dated = 0;
        at(world.clock + 25, host, run_job, job, 0, 0);
        return;
    }
    world.back_dated = job->began;
    job->run(job->context, (struct host_link *)(void *)job->pool->host);
    world.back_dated = 0;
    bool slow = job->pool->looks && world.clock < job->pool->host->slow_until;
    int64_t took = job->pool->looks ? chance_between(BY_HOST + (unsigned)host, 0, slow ? 4000 : 8)
                                    : chance_between(BY_HOST + (unsigned)host, 20,
                                                     chance_of(BY_HOST + (unsigned)host, 20) ? 5000 : 900);
    at(world.clock + took, host, job_done, job, 0, 0);
}

void check_pace(struct host *host, enum tally what)
{
    enum { MOST = 40 }; /* about twice of what four domains with three keys each have been seen to need */
    int64_t second = world.clock / 1000;
    if (host->pace.second != second || host->pace.incarnation != host->incarnation) {
        memset(&host->pace, 0, sizeof host->pace);
        host->pace.second = second;
        host->pace.incarnation = host->incarnation;
    }
    unsigned *count = what == DID_LOOKS ? &host->pace.looks : &host->pace.requests;
    if (++*count > MOST)
        violated("pace", "host %d asks %s %u times in one second", host->index, what == DID_LOOKS ? "libvirt" : "providers",
                 *count);
}

void pool_submit(struct pool *pool, pool_run_fn *run, pool_done_fn *done, void *context)
{
    struct job *job = simulated_calloc(1, sizeof *job);
    *job = (struct job){.pool = pool, .run = run, .done = done, .context = context};
    if (pool->looks) {
        did(DID_LOOKS);
        check_pace(pool->host, DID_LOOKS);
    } else {
        did(DID_DELIVERIES);
        world.moved++;
    }
    *pool->last = job;
    pool->last = &job->next;
    next_job(pool);
}

/* --- small things that the daemon leans on --- */

void log_write(enum log_level level, const char *format, ...)
{
    char text[700];
    va_list arguments;
    (void)level;
    if (!telling)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    tell("    %s says: %s", world.current >= 0 ? world.hosts[world.current].id : "?", text);
}

struct secret {
    uint64_t value;
};

struct secret *secret_new(const char *bytes, size_t length)
{
    struct secret *secret = simulated_calloc(1, sizeof *secret);
    memcpy(&secret->value, bytes, length);
    return secret;
}

struct secret *secret_generate(const char *prefix)
{
    (void)prefix;
    uint64_t value = ++world.next_secret;
    return secret_new((const char *)&value, sizeof value);
}

void secret_free(struct secret *secret)
{
    simulated_free(secret);
}

const char *secret_reveal(const struct secret *secret)
{
    return (const char *)&secret->value;
}

size_t secret_length(const struct secret *secret)
{
    (void)secret;
    return sizeof secret->value;
}

static void hexadecimal(uint64_t value, char text[SECRET_FINGERPRINT_SIZE])
{
    for (unsigned i = 0; i < 16; i++)
        text[i] = "0123456789abcdef"[value >> (60 - 4 * i) & 15];
    text[16] = '\0';
}

void secret_fingerprint(const struct secret *secret, char fingerprint[SECRET_FINGERPRINT_SIZE])
{
    hexadecimal(secret->value, fingerprint);
}

void secret_fingerprint_bytes(const void *bytes, size_t length, char fingerprint[SECRET_FINGERPRINT_SIZE])
{
    uint64_t hash = UINT64_C(1469598103934665603);
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ ((const unsigned char *)bytes)[i]) * UINT64_C(1099511628211);
    hexadecimal(hash, fingerprint);
}

bool seal_wrap(const struct seal *seal, const char *context, const struct secret *secret, unsigned char **ret_sealed,
               size_t *ret_length, struct error *err)
{
    (void)seal, (void)context, (void)err;
    *ret_sealed = simulated_calloc(1, sizeof secret->value);
    memcpy(*ret_sealed, &secret->value, sizeof secret->value);
    *ret_length = sizeof secret->value;
    return true;
}

bool seal_unwrap(const struct seal *seal, const char *context, const unsigned char *sealed, size_t length,
                 struct secret **ret_secret, struct error *err)
{
    (void)seal, (void)context, (void)err;
    *ret_secret = secret_new((const char *)sealed, length);
    return true;
}

bool credential_fetch(const char *reference, struct secret **ret_secret, struct error *err)
{
    (void)reference, (void)ret_secret;
    return error_set(err, ERROR_INVALID, "never asked for: the simulated provider does without");
}

/* Nor does it sign anything, or know an operator who asks. */
bool issuer_signing_key(struct engine *engine, struct secret **ret_key, struct error *err)
{
    (void)engine;
    return credential_fetch("", ret_key, err);
}

void issuer_show(void *context, struct control_call *call, struct json_object *parameters)
{
    (void)context, (void)call, (void)parameters;
}

void issuer_apply(void *context, struct control_call *call, struct json_object *parameters)
{
    (void)context, (void)call, (void)parameters;
}

/* Policies come from the domains' metadata alone. */
const struct policy *config_policy_for(const struct config *config, const char *domain_name)
{
    (void)config, (void)domain_name;
    return NULL;
}

void status_grant_words(struct engine *engine, const struct vm *vm, const struct vm_grant *grant, char *reason,
                        size_t reason_size, char *remedy, size_t remedy_size)
{
    (void)engine, (void)vm, (void)grant, (void)reason_size, (void)remedy_size;
    reason[0] = remedy[0] = '\0';
}

struct json_object *status_domain(struct engine *engine, struct vm *vm)
{
    (void)engine, (void)vm;
    return NULL;
}

/* What was spent is simulated by itself: tests/unit/test-budget-months.c. */
void usage_run(struct engine *engine, struct control_call *call, struct json_object *parameters)
{
    (void)engine, (void)call, (void)parameters;
}

void usage_heard(struct engine *engine, const char *provider, const struct provider_result *result)
{
    (void)engine, (void)provider, (void)result;
}

struct json_object *status_all(struct engine *engine)
{
    (void)engine;
    return NULL;
}

void audit_run(struct engine *engine, bool guests, struct json_object *wanted, struct control_call *call)
{
    (void)engine, (void)guests, (void)wanted, (void)call;
}

void audit_swept(struct engine *engine)
{
    (void)engine;
}

void guest_clean(struct engine *engine, struct vm *vm, struct control_call *call)
{
    (void)engine, (void)vm, (void)call;
}

void history_run(struct engine *engine, struct control_call *call, struct json_object *parameters)
{
    (void)engine, (void)call, (void)parameters;
}

struct json_object *history_event(const struct journal_record *record)
{
    (void)record;
    return NULL;
}

void admin_key_rotate(struct engine *engine, struct control_call *call, struct json_object *parameters)
{
    (void)engine, (void)call, (void)parameters;
    abort();
}

void stock_add(struct engine *engine, struct control_call *call, struct json_object *parameters)
{
    (void)engine, (void)call, (void)parameters;
    abort();
}

void stock_list(struct engine *engine, struct control_call *call)
{
    (void)engine, (void)call;
    abort();
}

void stock_remove(struct engine *engine, struct control_call *call, struct json_object *parameters)
{
    (void)engine, (void)call, (void)parameters;
    abort();
}

struct json_object *alerts_all(struct engine *engine)
{
    (void)engine;
    return NULL;
}

void alerts_test(struct engine *engine, struct control_call *call)
{
    (void)engine, (void)call;
}

struct json_object *doctor_checks(struct engine *engine)
{
    (void)engine;
    return NULL;
}

/* --- events from libvirt --- */

void libvirt_event_comes(void *context, int64_t packed, int64_t reason)
{
    struct host *host = context;
    struct host_event event = {.kind = (enum host_event_kind)(packed & 0xff), .stopped = (enum stop_reason)reason,
                               .from_snapshot = packed & 0x100};
    struct domain *domain = &world.domains[packed >> 16];
    if (!host->watch_connected)
        return;
    memcpy(event.uuid, domain->uuid, sizeof event.uuid);
    domain_name(domain, event.name, sizeof event.name);
    did(DID_EVENTS);
    sightings_watcher.event(host->engine, &event);
}

void emit(int index, int domain, enum host_event_kind kind, enum stop_reason reason, bool from_snapshot)
{
    struct host *host = &world.hosts[index];
    int64_t packed = (int64_t)kind | (from_snapshot ? 0x100 : 0) | (int64_t)domain << 16;
    if (!host->engine || !host->watch_connected)
        return;
    int64_t when = world.clock + chance_between(BY_HOST + (unsigned)index, 0, 5);
    if (world.clock < host->event_fault_until && chance_of(BY_HOST + (unsigned)index, 50)) {
        unsigned what = host->event_fault % 3;
        did(what == 0 ? FAULT_EVENT_LOST : what == 1 ? FAULT_EVENT_DOUBLE : FAULT_EVENT_LATE);
        /* libvirt loses nothing while the connection holds. Without the agent's coming a guest that has rebooted cannot
         * be told from one that has not. */
        if (what == 0 && kind != HOST_AGENT_CONNECTED) {
            if (kind == HOST_STOPPED)
                world.domains[domain].on[index].heard = STOP_NONE;
            return;
        }
        if (what <= 1)
            at(when + chance_between(BY_HOST + (unsigned)index, 0, 2000), index, libvirt_event_comes, host, packed, reason);
        else
            when += chance_between(BY_HOST + (unsigned)index, 0, 5000);
    }
    at(when, index, libvirt_event_comes, host, packed, reason);
}

/* --- start, crash, reload --- */

static int64_t spent_of_grant(struct engine *engine, const struct vm_grant *grant, int64_t *ret_month)
{
    const struct domain *domain = &world.domains[domain_of_uuid(grant->record.domain)];
    (void)engine;
    *ret_month = domain->month[grant->record.provider[1] - '0'];
    return domain->spent[grant->record.provider[1] - '0'];
}

static void start_engine(void *context, int64_t a, int64_t b)
{
    struct host *host = context;
    struct error err = ERROR_INIT;
    (void)a, (void)b;
    struct engine *engine = simulated_calloc(1, sizeof *engine);
    engine->config = &host->config;
    engine->config_path = "llmhook.conf";
    engine->ledger = &host->ledger;
    engine->started_at = world.clock;
    engine->spent = spent_of_grant;
    snprintf(engine->host_id, sizeof engine->host_id, "%s", host->id);
    snprintf(engine->boot_id, sizeof engine->boot_id, "boot%u", host->boot);
    engine->loop = make_loop(host);
    if (!requests_open_providers(engine, &err) || !rows_load(engine, &err)) {
        violated("start", "the daemon cannot start: %s", err.text);
        return;
    }
    engine->looks = make_pool(host, true, 2);
    engine->agents = make_pool(host, false, 8);
    engine->slow_agents = make_pool(host, false, 2);
    if (!engine_start(engine, &err)) {
        violated("start", "the engine cannot start: %s", err.text);
        return;
    }
    host->engine = engine;
    shared_look(engine);
    hooks_daemon_started(host);
    libvirt_daemon_started(host);
}

static void configure(struct host *host, unsigned left_out, unsigned rates)
{
    host->config = (struct config){.providers = host->settings};
    host->config.daemon = (struct config_daemon){.required_deadline_ms = 10000, .undefine_grace_ms = 10000,
                                                 .start_grace_ms = 120000, .agent_workers = 8};
    for (unsigned p = 0; p < world.providers_count; p++) {
        if (left_out == p + 1)
            continue;
        struct provider_settings *settings = &host->settings[host->config.providers_count++];
        memset(settings, 0, sizeof *settings);
        memcpy(settings->name, world.remotes[p].name, sizeof world.remotes[p].name);
        snprintf(settings->project, sizeof settings->project, "%s", world.remotes[p].project);
        if (rates) {
            settings->rates_count = 1;
            settings->rates[0] = (struct provider_rate){"model", rates, 0};
        }
    }
}

void process_start(struct host *host)
{
    if (host->config.providers == NULL)
        configure(host, 0, 0);
    tell("%s starts", host->id);
    world.current = host->index;
    start_engine(host, 0, 0);
    world.current = -1;
}

static void start_again(void *context, int64_t incarnation, int64_t unused)
{
    struct host *host = context;
    (void)unused;
    if (!host->engine && host->incarnation == (unsigned)incarnation)
        process_start(host);
}

void process_crash(struct host *host)
{
    if (!host->engine)
        return;
    tell("!   %s crashes", host->id);
    did(DID_CRASHES);
    host->engine = NULL;
    host->incarnation++;
    host->watch_connected = false;
    host->requests_out = 0;
    memset(host->out, 0, sizeof host->out);
    free_blocks(host);
    simulated_engine_room_reset();
    ledger_crashed(&host->ledger);
    hooks_daemon_crashed(host);
    remote_host_crashed(host);
    libvirt_daemon_crashed(host);
    world.back_dated = 0;
    world.changed = true;
    host->crash_after = 0;
    if (!world.calm)
        at(world.clock + host->down_for, -1, start_again, host, host->incarnation, 0);
}

void budgets_changed(void *context, int64_t a, int64_t b)
{
    (void)context, (void)a, (void)b;
}

static void tell_budgets(struct engine *engine)
{
    for (size_t i = 0; engine && i < engine->vms_count; i++)
        for (size_t g = 0; g < engine->vms[i]->grants_count; g++) {
            struct vm_grant *grant = engine->vms[i]->grants[g];
            bool over = world.domains[domain_of_uuid(grant->record.domain)].over[grant->record.provider[1] - '0'];
            if (grant->over_budget == over)
                continue;
            grant->over_budget = over;
            engine_mark(engine, engine->vms[i]);
        }
}

bool process_enter(struct host *host, event_fn *run, void *context, int64_t a, int64_t b)
{
    host->commits_now = 0;
    if (setjmp(world.crash)) {
        world.can_crash = false;
        world.current = -1;
        process_crash(host);
        return false;
    }
    world.current = host->index;
    world.can_crash = true;
    failpoint(host->index, CRASH_IDLE);
    tell_budgets(host->engine);
    run(context, a, b);
    tell_budgets(host->engine);
    world.can_crash = false;
    world.current = -1;
    if (host->commits_now > 300)
        violated("livelock", "%u commits in one turn of the loop", host->commits_now);
    return true;
}

void process_free_all(void)
{
    for (unsigned h = 0; h < world.hosts_count; h++)
        free_blocks(&world.hosts[h]);
    simulated_engine_room_reset();
}

static void crash_at_the_latest(void *context, int64_t a, int64_t b)
{
    struct host *host = context;
    (void)a, (void)b;
    if (host->crash_after && !world.calm)
        process_crash(host);
}

static void reload(void *context, int64_t left_out, int64_t rates)
{
    struct host *host = context;
    tell("%s reloads: without provider %d, rates %d", host->id, (int)left_out - 1, (int)rates);
    requests_reopen_providers(host->engine);
    shared_look(host->engine);
    sightings_sweep(host->engine);
    engine_mark_all(host->engine);
}

/* A configuration that was changed while the daemon was down is read at its start. */
static void change_configuration(void *context, int64_t left_out, int64_t rates)
{
    struct host *host = context;
    configure(host, (unsigned)left_out, (unsigned)rates);
    if (host->engine)
        process_enter(host, reload, host, left_out, rates);
}

static void watch_breaks(void *context, int64_t a, int64_t b)
{
    struct host *host = context;
    (void)a, (void)b;
    sightings_watcher.disconnected(host->engine, "simulated");
}

/* Nobody is told of anything, and the clock that knows no jumps begins again. */
static void reboot(struct host *host, int64_t down_for)
{
    if (!libvirt_host_reboots(host))
        return;
    host->down_for = down_for;
    process_crash(host);
    host->boot++;
    host->booted_at = world.clock - chance_between(BY_HOST + (unsigned)host->index, 1000, 60000);
    host->stalled_until = 0;
    did(DID_HOST_REBOOTS);
}

void process_item(const struct item *item)
{
    struct host *host = &world.hosts[item->a % (int64_t)world.hosts_count];
    int64_t until = world.clock + item->c;
    switch (item->kind) {
    case ITEM_CRASH:
        host->down_for = item->c;
        if (host->engine && !host->crash_after) {
            host->crash_after = world.clock;
            bool anywhere = item->b < 16;
            host->crash_place = anywhere ? CRASH_IDLE : CRASH_BEFORE_COMMIT + (unsigned)item->b % 4;
            host->crash_points = anywhere ? (unsigned)item->b : (unsigned)item->b / 16 - 1;
            at(world.clock + (anywhere ? 5000 : 30000), host->index, crash_at_the_latest, host, 0, 0);
        }
        break;
    case ITEM_REBOOT_HOST:
        reboot(host, item->c);
        break;
    case ITEM_LEDGER_FAULT:
        host->ledger.failing_kind = (unsigned)item->b;
        host->ledger.failing_until = world.clock + item->c % 8000;
        break;
    case ITEM_EVENT_FAULT:
        host->event_fault = (unsigned)item->b;
        host->event_fault_until = until;
        break;
    case ITEM_HOOK_FAULT:
        host->hook_fault = (unsigned)item->b;
        host->hook_fault_until = until;
        break;
    case ITEM_RELOAD:
        change_configuration(host, item->b % 3 == 0 ? item->b / 3 % (int64_t)world.providers_count + 1 : 0, item->b % 3);
        if (item->b % 3 == 0)
            at(until, -1, change_configuration, host, 0, 0);
        break;
    case ITEM_LIBVIRT_FAULT:
        if (host->engine && host->watch_connected && item->b % 3 != 2) {
            libvirt_unheard(host);
            host->watch_connected = false;
            at(world.clock, host->index, watch_breaks, host, 0, 0);
        }
        libvirt_item(item);
        break;
    default:
        break;
    }
}
