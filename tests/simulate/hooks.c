/* The hook program: hands each step of a domain's life to the daemon within 200 ms, or into the spool. */
#include "world.h"

#include "base/json.h"

#include <stdio.h>
#include <string.h>

enum { CALLS_MAX = 64, HANDOVER_MS = 200, REQUIRED_SLACK_MS = 2000 };

static const char *const operations[] = {"prepare", "start", "started", "stopped", "release", "restore", "migrate",
                                         "reconnect"};

/* What the server side of a connection is to the daemon. */
struct control_call {
    bool used, ended, waiting, abandoned;
    int domain, host;
    unsigned incarnation;
    enum operation operation;
    enum stop_reason reason;
    unsigned serial;
    void (*cancelled)(void *context);
    void *context;
    int64_t called_at; /* on its host's clock */
    unsigned boot;
    bool from_spool;
};
static struct control_call calls[CALLS_MAX];
static unsigned serials;
static bool operator_refused; /* the last call of an operator */
/* The message that the daemon is being told, which a crash leaves behind. */
static struct json_object *in_hand;

static void put_down(void)
{
    json_object_put(in_hand);
    in_hand = NULL;
}

void hooks_reset(void)
{
    put_down();
    memset(calls, 0, sizeof calls);
    serials = 0;
}

static void end(struct control_call *call, bool refused)
{
    if (!call->abandoned && call->domain >= 0)
        libvirt_hook_answered(call->domain, call->host, refused);
    call->used = false;
}

bool control_call_more(const struct control_call *call)
{
    return call->operation == OP_PREPARE;
}

void control_call_on_cancel(struct control_call *call, void (*cancelled)(void *context), void *context)
{
    call->cancelled = cancelled;
    call->context = context;
}

void control_reply(struct control_call *call, struct json_object *parameters)
{
    char verdict[16];
    json_optional_string(parameters, "verdict", "", verdict, sizeof verdict);
    json_object_put(parameters);
    if (call->ended)
        violated("hook", "a call is answered twice");
    call->ended = true;
    tell("    hook %s of domain %d: %s", call->domain >= 0 ? operations[call->operation] : "(operator)", call->domain,
         verdict);
    end(call, strcmp(verdict, "refused") == 0);
}

static void required_is_late(void *context, int64_t serial, int64_t unused)
{
    struct control_call *call = context;
    (void)unused;
    if (world.hosts[call->host].stalled_until + REQUIRED_SLACK_MS > world.clock)
        at(world.clock + REQUIRED_SLACK_MS, call->host, required_is_late, call, serial, 0);
    else if (call->used && call->serial == (unsigned)serial && !call->ended)
        violated("I9", "a start that requires a key was held up longer than it may be");
}

void control_continue(struct control_call *call, struct json_object *parameters)
{
    int64_t wait_ms = json_optional_integer(parameters, "wait_ms", 0);
    json_object_put(parameters);
    call->waiting = true;
    at(world.clock + wait_ms + REQUIRED_SLACK_MS, call->host, required_is_late, call, call->serial, 0);
}

void control_error(struct control_call *call, const char *name, struct json_object *parameters)
{
    (void)name;
    json_object_put(parameters);
    operator_refused = true;
    call->ended = true;
    end(call, false);
}

void control_invalid_parameter(struct control_call *call, const char *name)
{
    control_error(call, name, NULL);
}

static struct json_object *message(const struct control_call *call)
{
    struct json_object *parameters = json_object_new_object();
    const struct domain *domain = &world.domains[call->domain];
    char name[RECORD_NAME_SIZE], xml[32];
    domain_name(domain, name, sizeof name);
    snprintf(xml, sizeof xml, "%d", call->domain);
    json_put_string(parameters, "domain", name);
    json_put_string(parameters, "operation", operations[call->operation]);
    json_put_string(parameters, "extra", call->operation == OP_RELEASE && world.hosts[call->host].gives_reason
                                             ? stop_reason_name(call->reason) : "-");
    json_put_integer(parameters, "at", call->called_at);
    if (call->from_spool) {
        char boot[16];
        snprintf(boot, sizeof boot, "boot%u", call->boot);
        json_put_string(parameters, "boot", boot);
    }
    json_put_string(parameters, "xml", xml);
    return parameters;
}

static void from_spool(void *context, int64_t index, int64_t unused)
{
    struct host *host = context;
    (void)index, (void)unused;
    while (host->spool_count > 0) {
        struct control_call call = {.domain = host->spool[0].domain, .host = host->index,
                                    .operation = (enum operation)host->spool[0].operation, .reason = host->spool[0].reason,
                                    .called_at = host->spool[0].called_at, .boot = host->spool[0].boot,
                                    .from_spool = true};
        did(call.boot == host->boot ? FAULT_HOOK_SPOOLED : FAULT_HOOK_OTHER_BOOT);
        /* Removed only afterwards: what a crash interrupts is taken up again. */
        in_hand = message(&call);
        sightings_hook(host->engine, in_hand, NULL, host->spool[0].left_at);
        put_down();
        if (host->spool_count > 0)
            memmove(host->spool, host->spool + 1, --host->spool_count * sizeof host->spool[0]);
    }
}

static void told_of_a_boot(const struct control_call *call)
{
    struct presence *on = &world.domains[call->domain].on[call->host];
    on->boot_told_at = world.clock;
    on->boot_told_to = world.hosts[call->host].incarnation;
}

/* What takes back that it was saved, when a daemon that begins reads it. */
static bool ends_what_was_saved(const struct control_call *call)
{
    bool ended = call->reason == STOP_SHUTDOWN || call->reason == STOP_DESTROYED || call->reason == STOP_CRASHED;
    return call->operation == OP_STARTED || (call->operation == OP_RELEASE && ended && world.hosts[call->host].gives_reason);
}

static void into_spool(const struct control_call *call)
{
    struct host *host = &world.hosts[call->host];
    if (world.clock < host->hook_fault_until && host->hook_fault % 2 && chance_of(BY_HOST + (unsigned)call->host, 50)) {
        did(FAULT_HOOK_LOST);
        return;
    }
    if (host->spool_count < sizeof host->spool / sizeof host->spool[0]) {
        host->spool[host->spool_count].domain = (unsigned char)call->domain;
        host->spool[host->spool_count].called_at = call->called_at;
        host->spool[host->spool_count].boot = call->boot;
        host->spool[host->spool_count].left_at = simulated_wall_ms();
        host->spool[host->spool_count].operation = (unsigned char)call->operation;
        host->spool[host->spool_count++].reason = call->reason;
        if (!host->engine && ends_what_was_saved(call))
            world.domains[call->domain].on[call->host].ended_unheard_at = world.clock;
        if (!host->engine && call->operation == OP_STARTED)
            told_of_a_boot(call);
    }
    if (host->engine)
        at(world.clock + 2, call->host, from_spool, host, 0, 0);
}

/* Nobody has taken it in time. */
static void give_up(struct control_call *call)
{
    bool refuse = call->operation == OP_PREPARE && world.domains[call->domain].required;
    into_spool(call);
    call->abandoned = true;
    libvirt_hook_answered(call->domain, call->host, refuse);
}

static void time_is_up(void *context, int64_t serial, int64_t unused)
{
    struct control_call *call = context;
    (void)unused;
    if (!call->used || call->serial != (unsigned)serial || call->ended || call->waiting || call->abandoned)
        return;
    give_up(call);
}

void hook_arrives(void *context, int64_t serial, int64_t unused)
{
    struct control_call *call = context;
    struct host *host = &world.hosts[call->host];
    (void)unused;
    if (!call->used || call->serial != (unsigned)serial)
        return;
    did(DID_HOOKS);
    if (world.clock - host->booted_at - call->called_at >= HANDOVER_MS)
        did(FAULT_HOOK_LATE);
    else if (call->operation == OP_PREPARE)
        told_of_a_boot(call);
    in_hand = message(call);
    sightings_hook(host->engine, in_hand, call, 0);
    put_down();
    if (!call->used || call->serial != (unsigned)serial)
        return;
    bool may_wait = call->operation == OP_PREPARE && world.domains[call->domain].ever_required;
    if (!call->ended && !(call->waiting && may_wait))
        violated("I9", "hook %s is not answered at once", operations[call->operation]);
    if (call->abandoned) { /* whoever called has hung up */
        if (call->cancelled)
            call->cancelled(call->context);
        call->used = false;
    }
}

static struct control_call *new_call(int domain, int host)
{
    for (unsigned i = 0; i < CALLS_MAX; i++)
        if (!calls[i].used) {
            calls[i] = (struct control_call){.used = true, .domain = domain, .host = host, .serial = ++serials,
                                             .called_at = world.clock - world.hosts[host].booted_at,
                                             .boot = world.hosts[host].boot,
                                             .incarnation = world.hosts[host].incarnation};
            return &calls[i];
        }
    violated("harness", "more than %d hook calls at once", CALLS_MAX);
    return &calls[0];
}

void hook_call(int domain, int host_index, enum operation operation, enum stop_reason reason)
{
    struct host *host = &world.hosts[host_index];
    struct control_call *call = new_call(domain, host_index);
    call->operation = operation;
    call->reason = reason;
    if (operation == OP_PREPARE || operation == OP_RESTORE || operation == OP_MIGRATE)
        world.domains[domain].on[host_index].boot_at = world.clock;
    tell("  hook %s of domain %d on h%d", operations[operation], domain, host_index);
    bool faulty = world.clock < host->hook_fault_until && chance_of(BY_HOST + (unsigned)host_index, 60);
    if (!host->engine || (faulty && host->hook_fault % 3 == 0)) {
        give_up(call);
        call->used = false;
        return;
    }
    /* A loop that hangs hangs as a whole, and takes up what has waited in the order in which it came. */
    if (faulty) {
        unsigned by = BY_HOST + (unsigned)host_index;
        int64_t until = world.clock + chance_between(by, 100, chance_of(by, 10) ? 30000 : 3000);
        host->stalled_until = until > host->stalled_until ? until : host->stalled_until;
        host->stall_events_first = chance_of(BY_HOST + (unsigned)host_index, 30);
        host->stall_shuffles = chance_of(by, 40);
    }
    at(world.clock + HANDOVER_MS, -1, time_is_up, call, call->serial, 0);
    at(world.clock + chance_between(BY_HOST + (unsigned)host_index, 1, 6), host_index, hook_arrives, call, call->serial, 0);
}

void hooks_daemon_started(struct host *host)
{
    from_spool(host, 0, 0); /* at once: libvirt has not been asked anything yet */
}

/* The connection breaks. */
void hooks_daemon_crashed(struct host *host)
{
    put_down();
    for (unsigned i = 0; i < CALLS_MAX; i++) {
        struct control_call *call = &calls[i];
        if (!call->used || call->host != host->index || call->incarnation == host->incarnation)
            continue;
        if (call->domain >= 0 && !call->abandoned && !call->ended)
            give_up(call);
        call->used = false;
    }
}

/* The operator's `llmhook revoke` and `llmhook rotate`, through the methods themselves. */
static void operator_calls(struct host *host, int domain, const char *verb)
{
    char name[RECORD_NAME_SIZE];
    struct control_call *call = new_call(-1, host->index);
    unsigned commits = host->commits_now;
    operator_refused = false;
    in_hand = json_object_new_object();
    domain_name(&world.domains[domain], name, sizeof name);
    json_put_string(in_hand, "domain", name);
    if (world.clock & 1)
        json_put_boolean(in_hand, "no_overlap", true);
    for (const struct control_method *method = methods_table; method->name; method++)
        if (strcmp(method->name, verb) == 0)
            method->run(host->engine, call, in_hand);
    put_down();
    /* Also of a call that the ledger refused halfway: nothing else might come to have the domain looked at. */
    const struct vm *vm = engine_find_vm(host->engine, world.domains[domain].uuid);
    if (host->commits_now == commits || !vm)
        return;
    did(CHECKED_OPERATOR);
    if (!vm->dirty)
        violated("operator", "%s has written what nobody begins to do: domain %d is not to be looked at", verb, domain);
}

static void revoke(void *context, int64_t domain, int64_t asked_at)
{
    struct host *host = context;
    world.domains[domain].on[host->index].take_heard_at = world.clock;
    operator_calls(host, (int)domain, "Revoke");
    /* It may have failed, or have found nothing. */
    for (unsigned i = 0; i < host->ledger.grants_count && !operator_refused; i++) {
        const struct grant_record *grant = &host->ledger.grants[i];
        if (domain_of_uuid(grant->domain) == (int)domain && !grant->ended_at && grant->held_at)
            world.domains[domain].on[host->index].taken_at[grant->provider[1] - '0'] = asked_at;
    }
}

static void rotate(void *context, int64_t domain, int64_t unused)
{
    (void)unused;
    operator_calls(context, (int)domain, "Rotate");
}

void operator_revokes(int domain, int host_index)
{
    struct host *host = &world.hosts[host_index];
    if (host->engine)
        at(world.clock, host_index, revoke, host, domain, world.clock);
}

void operator_rotates(int domain, int host_index)
{
    struct host *host = &world.hosts[host_index];
    if (host->engine)
        at(world.clock, host_index, rotate, host, domain, 0);
}
