/* libvirt as it is: domains on hosts, the steps and hooks of each thing that is done to them, its events and its
 * answers. The order of hooks and events is that of facts measured on libvirt 9.0 (see ARCHITECTURE.md). */
#include "world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONG_AWAY_MS = 130000 }; /* more than start-grace */

enum step {
    /* the hooks come first, numbered as enum operation */
    STEP_LOCK = OP_RECONNECT + 1, /* until the end: for what is one step to anybody who asks */
    STEP_STARTING, STEP_ACTIVATE, STEP_ACTIVATE_SAVED, STEP_ACTIVATE_SNAPSHOT, STEP_ARRIVE, STEP_DEACTIVATE, STEP_FAIL,
    STEP_OTHER_HOST, STEP_LEAVE, STEP_UNDEFINE, STEP_SAY_STARTED, STEP_SAY_SNAPSHOT, STEP_SAY_CHANGED, STEP_SAY_STOPPED,
        STEP_VANISH, STEP_END,
};

void domain_name(const struct domain *domain, char *name, size_t size)
{
    snprintf(name, size, "vm%c%u", domain->uuid[RECORD_UUID_SIZE - 2], domain->name_revision);
}

int domain_of_uuid(const char *uuid)
{
    return uuid[RECORD_UUID_SIZE - 2] - '0';
}

enum stop_reason domain_recorded_stop(const struct domain *domain, int host)
{
    const struct ledger *ledger = &world.hosts[host].ledger;
    for (unsigned i = 0; i < ledger->domains_count; i++)
        if (strcmp(ledger->domains[i].uuid, domain->uuid) == 0)
            return ledger->domains[i].stop;
    return STOP_NONE;
}

bool domain_recorded_transient(const struct domain *domain, int host)
{
    const struct ledger *ledger = &world.hosts[host].ledger;
    for (unsigned i = 0; i < ledger->domains_count; i++)
        if (strcmp(ledger->domains[i].uuid, domain->uuid) == 0)
            return ledger->domains[i].transient;
    return false;
}

/* Whether anybody can still tell why it stopped: libvirt, until it restarts or a start fails, or the ledger, when the
 * daemon was there. A file that only its owner knows of cannot be known of. */
static bool can_be_told(const struct domain *domain, int host, enum stop_reason reason)
{
    const struct presence *on = &domain->on[host];
    if (on->exists && on->reason == reason)
        return true;
    /* A transient one is missing when it has stopped: that it was one must have been told before. */
    if (!on->exists && reason == STOP_SAVED && !domain_recorded_transient(domain, host))
        return false;
    return on->heard == reason || domain_recorded_stop(domain, host) == reason;
}

bool domain_in_use(const struct domain *domain, int host)
{
    const struct presence *on = &domain->on[host];
    return on->active || on->starting || on->managed_save ||
           (on->saved_file && can_be_told(domain, host, STOP_SAVED));
}

int64_t domain_off_at(const struct domain *domain, int provider, const struct remote_key *key, int host)
{
    if (domain_in_use(domain, host))
        return domain->on[host].off_at;
    /* It may have moved, with this very key in its memory. */
    for (unsigned h = 0; h < world.hosts_count; h++)
        if (domain_in_use(domain, (int)h) && key && domain->holds[provider] == key->secret &&
            can_be_told(domain, host, STOP_MIGRATED))
            return domain->on[host].off_at;
    return world.clock;
}

/* From here on it is in use on HOST. */
static void begin_use(struct domain *domain, int host)
{
    if (!domain_in_use(domain, host))
        domain->on[host].off_at = world.clock;
}

/* --- what is being done to a domain, step by step --- */

static void next_step(void *context, int64_t index, int64_t unused);

static void begin_steps(struct domain *domain, int host, unsigned count, ...)
{
    va_list steps;
    va_start(steps, count);
    for (unsigned i = 0; i < count; i++)
        domain->steps[i] = (unsigned char)va_arg(steps, int);
    va_end(steps);
    domain->steps[count] = STEP_END;
    domain->steps_count = count + 1;
    domain->step = 0;
    domain->busy_on = host;
    at(world.clock, -1, next_step, NULL, domain - world.domains, 0);
}

static void gone(struct domain *domain, int host)
{
    domain->on[host].agent_connected = false;
    if (domain->fault)
        domain->fault_until = 0;
}

static void deactivate(struct domain *domain, int host)
{
    struct presence *on = &domain->on[host];
    bool saved = domain->stopping == STOP_SAVED;
    on->active = on->paused = on->starting = false;
    on->reason = domain->stopping;
    on->heard = world.hosts[host].engine && world.hosts[host].watch_connected &&
                        world.clock > world.hosts[host].event_fault_until
                    ? domain->stopping : STOP_NONE;
    gone(domain, host);
    did(saved ? DID_SAVES : DID_STOPS);
    for (unsigned h = 0; h < world.hosts_count; h++)
        if (domain_in_use(domain, (int)h))
            return; /* its memory is in a file, or on the other host */
    if (!saved && domain->stopping != STOP_MIGRATED)
        memset(domain->holds, 0, sizeof domain->holds);
}

static void activate(struct domain *domain, int host, bool memory_is_kept)
{
    struct presence *on = &domain->on[host];
    begin_use(domain, host);
    on->up_at = world.clock;
    on->active = true;
    on->paused = on->starting = on->managed_save = on->saved_file = false;
    on->reason = STOP_NONE;
    on->exists = true;
    domain->home = host;
    did(DID_STARTS);
    if (!memory_is_kept)
        memset(domain->holds, 0, sizeof domain->holds);
    guest_agent((int)(domain - world.domains), host, true,
                chance_between(BY_GUEST + (unsigned)(domain - world.domains), memory_is_kept ? 5 : 800,
                               memory_is_kept ? 300 : 9000));
}

/* A transient domain leaves the list when it stops; an undefined one that ran became one. */
static void vanish(struct domain *domain, int host)
{
    if (!domain->on[host].persistent && !domain->on[host].active)
        domain->on[host].exists = false;
}

static void leave_source(struct domain *domain, int host)
{
    domain->stopping = STOP_MIGRATED;
    deactivate(domain, host);
    did(DID_MIGRATIONS);
}

/* The refused or failed start is undone: hooks, but no event. */
static void fail(struct domain *domain, int host)
{
    domain->stopping = STOP_FAILED;
    if (domain->on[host].managed_save || domain->on[host].saved_file)
        domain->on[host].saved_at = world.clock;
    begin_steps(domain, host, 4, STEP_DEACTIVATE, OP_STOPPED, OP_RELEASE, STEP_VANISH);
}

static void take_step(struct domain *domain, unsigned step)
{
    int index = (int)(domain - world.domains), host = domain->busy_on;
    struct presence *on = &domain->on[host];
    switch ((enum step)step) {
    case STEP_LOCK:
        on->locked = true;
        break;
    case STEP_STARTING:
        begin_use(domain, host);
        on->starting = true;
        break;
    case STEP_ACTIVATE:
        activate(domain, host, false);
        break;
    case STEP_ACTIVATE_SAVED:
        domain->reverted = domain->behind = true;
        activate(domain, host, true);
        break;
    case STEP_ARRIVE:
        activate(domain, host, true);
        break;
    case STEP_ACTIVATE_SNAPSHOT:
        activate(domain, host, true);
        domain->reverted = domain->behind = true;
        memcpy(domain->holds, domain->snapshot, sizeof domain->holds);
        break;
    case STEP_DEACTIVATE:
        deactivate(domain, host);
        break;
    case STEP_FAIL:
        fail(domain, host);
        return;
    case STEP_OTHER_HOST:
        domain->busy_on = 1 - host;
        break;
    case STEP_LEAVE:
        leave_source(domain, host);
        break;
    case STEP_UNDEFINE:
        if (domain->undefine_source && on->persistent) {
            on->persistent = false;
            emit(host, index, HOST_UNDEFINED, STOP_NONE, false);
        }
        break;
    case STEP_SAY_STARTED:
    case STEP_SAY_SNAPSHOT:
        emit(host, index, HOST_STARTED, STOP_NONE, step == STEP_SAY_SNAPSHOT);
        break;
    case STEP_SAY_CHANGED:
        emit(host, index, HOST_CHANGED, STOP_NONE, false);
        break;
    case STEP_SAY_STOPPED:
        emit(host, index, HOST_STOPPED, domain->stopping, false);
        break;
    case STEP_VANISH:
        vanish(domain, host);
        on->locked = false;
        break;
    case STEP_END:
        on->locked = false;
        domain->busy_on = -1;
        break;
    }
}

static void next_step(void *context, int64_t index, int64_t unused)
{
    struct domain *domain = &world.domains[index];
    (void)context, (void)unused;
    if (domain->busy_on < 0)
        return;
    unsigned step = domain->steps[domain->step++];
    world.changed = true;
    if (step <= OP_RECONNECT) {
        domain->on[domain->busy_on].locked = true;
        hook_call((int)index, domain->busy_on, (enum operation)step, domain->stopping);
        return; /* goes on when it is answered */
    }
    take_step(domain, step);
    if (domain->busy_on >= 0 && step != STEP_FAIL)
        at(world.clock + chance_between(BY_GUEST + (unsigned)index, 0, 30), -1, next_step, NULL, index, 0);
}

void libvirt_hook_answered(int index, int host, bool refused)
{
    struct domain *domain = &world.domains[index];
    (void)host;
    if (domain->busy_on < 0)
        return;
    bool whole = false;
    for (unsigned i = 0; i < domain->steps_count; i++)
        whole = whole || domain->steps[i] == STEP_LOCK;
    /* A transient domain is removed under the same lock. */
    if (!whole && domain->steps[domain->step] != STEP_VANISH && domain->steps[domain->step] != STEP_UNDEFINE)
        domain->on[domain->busy_on].locked = false;
    if (refused && domain->steps[domain->step - 1] == OP_PREPARE) {
        fail(domain, domain->busy_on);
        return;
    }
    at(world.clock + 1, -1, next_step, NULL, index, 0);
}

/* --- the items of the script --- */

static void boot(struct domain *domain, int host, bool fails)
{
    struct presence *on = &domain->on[host];
    if (fails)
        begin_steps(domain, host, 4, STEP_STARTING, OP_PREPARE, OP_START, STEP_FAIL);
    else if (on->managed_save)
        begin_steps(domain, host, 8, STEP_STARTING, OP_RESTORE, OP_PREPARE, OP_START, STEP_ACTIVATE_SAVED, OP_STARTED,
                    STEP_SAY_STARTED, STEP_SAY_CHANGED);
    else
        begin_steps(domain, host, 7, STEP_STARTING, OP_PREPARE, OP_START, STEP_ACTIVATE, OP_STARTED, STEP_SAY_CHANGED,
                    STEP_SAY_STARTED);
}

static void stop(struct domain *domain, int host, enum stop_reason reason)
{
    domain->stopping = reason;
    begin_steps(domain, host, 6, STEP_DEACTIVATE, OP_STOPPED, OP_RELEASE, STEP_VANISH, STEP_SAY_CHANGED, STEP_SAY_STOPPED);
}

static void save(struct domain *domain, int host, bool managed)
{
    if (managed)
        domain->on[host].managed_save = true;
    else
        domain->on[host].saved_file = true;
    domain->on[host].saved_at = world.clock;
    stop(domain, host, STOP_SAVED);
}

static void migrate(struct domain *domain, int64_t choice)
{
    int source = domain->home, destination = 1 - source;
    struct presence *there = &domain->on[destination];
    if (choice % 4 == 0) {
        /* The destination gives up; the source never noticed. */
        there->exists = true;
        begin_steps(domain, destination, 5, STEP_STARTING, OP_MIGRATE, OP_PREPARE, OP_START, STEP_FAIL);
        return;
    }
    there->persistent = there->persistent || choice % 2;
    there->exists = true;
    domain->undefine_source = choice % 3 == 0;
    begin_steps(domain, destination, 14, STEP_STARTING, OP_MIGRATE, OP_PREPARE, OP_START, STEP_ARRIVE, OP_STARTED,
                STEP_SAY_STARTED, STEP_OTHER_HOST, STEP_LEAVE, OP_STOPPED, OP_RELEASE, STEP_UNDEFINE, STEP_VANISH,
                STEP_SAY_STOPPED);
}

static void revert(struct domain *domain, int host, bool in_place)
{
    int index = (int)(domain - world.domains);
    if (in_place) {
        domain->reverted = domain->behind = true;
        memcpy(domain->holds, domain->snapshot, sizeof domain->holds);
        emit(host, index, HOST_CHANGED, STOP_NONE, true);
        guest_agent(index, host, false, 0);
        guest_agent(index, host, true, 200);
        return;
    }
    domain->stopping = STOP_FROM_SNAPSHOT;
    domain->on[host].starting = true;
    begin_steps(domain, host, 10, STEP_LOCK, OP_STOPPED, OP_RELEASE, OP_PREPARE, OP_START, STEP_ACTIVATE_SNAPSHOT,
                OP_STARTED, STEP_SAY_STOPPED, STEP_SAY_SNAPSHOT, STEP_END);
}

static enum policy_fate draw_fate(enum policy_fate one, enum policy_fate other)
{
    const enum policy_fate fates[] = {POLICY_FATE_DEFAULT, one, other, POLICY_FATE_SUSPEND};
    return fates[chance(BY_ABILITIES) % 4];
}

/* The limit is reached, or raised, or the month is over. */
static void change_budget(struct domain *domain, int64_t choice)
{
    unsigned p = (unsigned)choice % world.providers_count;
    domain->over[p] = !domain->over[p];
    domain->over_at[p] = world.clock;
    if (domain->over[p])
        did(DID_BUDGETS);
    bool over_with_the_month = !domain->over[p] && choice / PROVIDERS_MAX % 2;
    domain->month[p] += over_with_the_month ? 31 : 0;
    domain->spent[p] = domain->over[p] ? domain->limit : over_with_the_month ? 0 : domain->limit / 4;
    for (unsigned h = 0; h < world.hosts_count; h++)
        if (world.hosts[h].engine)
            at(world.clock, (int)h, budgets_changed, NULL, 0, 0);
}

static void change_metadata(struct domain *domain, int64_t choice)
{
    unsigned all = (1u << world.providers_count) - 1;
    unsigned before = domain->wanted;
    domain->metadata_broken = choice % 16 == 5 && !world.calm;
    if (!domain->metadata_broken) {
        domain->wanted = choice % 8 == 7 ? 0 : ((unsigned)choice & all) ? (unsigned)choice & all : all;
        domain->limit = choice & 8 ? 50000000 : 100000000;
        domain->rotate_ms = !(choice & 32) || world.calm ? POLICY_NEVER : choice & 4 ? 12000 : 40000;
        domain->overlap_ms = choice & 8 ? POLICY_NO_OVERLAP : choice & 2 ? 8000 : 30000;
        domain->on_stop = draw_fate(POLICY_FATE_SUSPEND, POLICY_FATE_REVOKE);
        domain->on_save = draw_fate(POLICY_FATE_KEEP, POLICY_FATE_SUSPEND);
        domain->over_budget = draw_fate(POLICY_FATE_SUSPEND, POLICY_FATE_REVOKE);
        domain->owned = choice & 16;
        domain->required = choice % 16 == 9;
        domain->ever_required = domain->ever_required || domain->required;
    }
    for (unsigned p = 0; p < world.providers_count; p++)
        if (!(before & domain->wanted & 1u << p))
            domain->unwanted_at[p] = world.clock;
    for (unsigned h = 0; h < world.hosts_count; h++)
        emit((int)h, (int)(domain - world.domains), choice & 1 ? HOST_METADATA_CHANGED : HOST_CHANGED, STOP_NONE, false);
}

static void define_again(void *context, int64_t index, int64_t host)
{
    struct domain *domain = &world.domains[index];
    (void)context;
    if (domain->busy_on >= 0) { /* what libvirt is at is told of first */
        at(world.clock + 100, -1, define_again, NULL, index, host);
        return;
    }
    if (!domain->on[host].exists)
        domain->on[host].reason = STOP_NONE; /* libvirt knows nothing of an earlier one of that UUID */
    domain->on[host].exists = domain->on[host].persistent = true;
    world.changed = true;
    emit((int)host, (int)index, HOST_CHANGED, STOP_NONE, false);
}

static void undefine(struct domain *domain, int host)
{
    struct presence *on = &domain->on[host];
    on->persistent = false;
    if (!on->active && !on->starting) {
        on->exists = on->managed_save = on->saved_file = false;
        on->reason = STOP_NONE;
    }
    emit(host, (int)(domain - world.domains), HOST_UNDEFINED, STOP_NONE, false);
}

/* To a domain that runs. */
static void active_item(const struct item *item, struct domain *domain, int host)
{
    struct presence *on = &domain->on[host];
    int index = (int)(domain - world.domains);
    switch (item->kind) {
    case ITEM_SHUTDOWN:
        stop(domain, host, STOP_SHUTDOWN);
        break;
    case ITEM_DESTROY:
        stop(domain, host, STOP_DESTROYED);
        break;
    case ITEM_KILL:
        stop(domain, host, STOP_CRASHED);
        break;
    case ITEM_SAVE:
        save(domain, host, false);
        break;
    case ITEM_MANAGED_SAVE:
        if (on->persistent)
            save(domain, host, true);
        break;
    case ITEM_REBOOT:
        memset(domain->holds, 0, sizeof domain->holds);
        emit(host, index, HOST_CHANGED, STOP_NONE, false);
        guest_agent(index, host, false, 0);
        guest_agent(index, host, true, chance_between(BY_GUEST + (unsigned)index, 800, 8000));
        break;
    case ITEM_PAUSE:
    case ITEM_RESUME:
        on->paused = item->kind == ITEM_PAUSE;
        emit(host, index, HOST_CHANGED, STOP_NONE, false);
        break;
    case ITEM_SNAPSHOT:
        memcpy(domain->snapshot, domain->holds, sizeof domain->snapshot);
        domain->has_snapshot = true;
        break;
    case ITEM_REVERT:
        if (domain->has_snapshot && on->persistent)
            revert(domain, host, item->b % 2);
        break;
    case ITEM_MIGRATE:
        if (world.hosts_count > 1 && !world.hosts[1 - host].libvirtd_dead && !domain_in_use(domain, 1 - host))
            migrate(domain, item->b);
        break;
    case ITEM_AGENT:
        guest_agent(index, host, false, 0);
        guest_agent(index, host, true, 500 + item->b * 100);
        break;
    default:
        break;
    }
}

/* To a domain that does not run. */
static void inactive_item(const struct item *item, struct domain *domain, int host)
{
    struct presence *on = &domain->on[host];
    int index = (int)(domain - world.domains);
    switch (item->kind) {
    case ITEM_START:
    case ITEM_FAILED_START:
        if (on->exists)
            boot(domain, host, item->kind == ITEM_FAILED_START);
        break;
    case ITEM_RESTORE:
        if (!on->saved_file)
            break;
        on->exists = true;
        begin_steps(domain, host, 8, STEP_STARTING, OP_RESTORE, OP_PREPARE, OP_START, STEP_ACTIVATE_SAVED, OP_STARTED,
                    STEP_SAY_STARTED, STEP_SAY_CHANGED);
        break;
    case ITEM_TRANSIENT:
        if (on->exists || domain_in_use(domain, host))
            break;
        on->exists = true;
        on->persistent = false;
        boot(domain, host, false);
        break;
    case ITEM_RENAME:
        if (!on->persistent)
            break;
        domain->name_revision++;
        emit(host, index, HOST_UNDEFINED, STOP_NONE, false);
        emit(host, index, HOST_CHANGED, STOP_NONE, false);
        break;
    default:
        break;
    }
}

/* While libvirtd is away a guest can still die; it finds out later. */
static void item_without_libvirtd(const struct item *item, struct domain *domain, int host)
{
    if ((item->kind == ITEM_KILL || item->kind == ITEM_SHUTDOWN) && domain->on[host].active)
        domain->on[host].died = item->kind == ITEM_KILL ? STOP_CRASHED : STOP_SHUTDOWN;
}

static void libvirtd_comes_back(void *context, int64_t restarted, int64_t unused);

static void libvirt_goes(struct host *host, const struct item *item)
{
    unsigned what = (unsigned)item->b % 3;
    did(FAULT_LIBVIRT);
    if (what == 2) {
        host->slow_until = world.clock + item->c;
        return;
    }
    for (unsigned d = 0; d < world.domains_count && what == 0; d++)
        if (world.domains[d].busy_on == host->index)
            what = 1; /* libvirtd ends what it is at before it goes */
    host->libvirt_down = true;
    host->libvirtd_dead = what == 0;
    /* For longer than a start can be under way, now and then: what was known before it is too old then. */
    int64_t away = item->b % 7 == 3 ? LONG_AWAY_MS + item->c : item->c % 10000;
    at(world.clock + away, -1, libvirtd_comes_back, host, what == 0, 0);
}

void libvirt_item(const struct item *item)
{
    world.changed = true;
    if (item->kind == ITEM_LIBVIRT_FAULT) {
        libvirt_goes(&world.hosts[item->a % (int64_t)world.hosts_count], item);
        return;
    }
    struct domain *domain = &world.domains[item->a % (int64_t)world.domains_count];
    int host = domain->home, index = (int)(domain - world.domains);
    struct presence *on = &domain->on[host];
    if (item->kind == ITEM_GUEST_FAULT) {
        domain->fault = (unsigned)item->b % 8 + 1;
        domain->fault_until = world.clock + item->c;
        return;
    }
    if (item->kind == ITEM_METADATA) {
        change_metadata(domain, item->b);
        return;
    }
    if (item->kind == ITEM_BUDGET) {
        change_budget(domain, item->b);
        return;
    }
    if (item->kind == ITEM_REVOKE || item->kind == ITEM_ROTATE) {
        (item->kind == ITEM_REVOKE ? operator_revokes : operator_rotates)(index, host);
        return;
    }
    if (world.hosts[host].libvirtd_dead) {
        item_without_libvirtd(item, domain, host);
        return;
    }
    if (domain->busy_on >= 0)
        return; /* libvirt does one thing at a time to a domain */
    if (item->kind == ITEM_DEFINE) {
        if (!on->exists || on->active)
            define_again(NULL, index, host);
    } else if (item->kind == ITEM_UNDEFINE || item->kind == ITEM_UPDATE) {
        if (!on->persistent)
            return;
        undefine(domain, host);
        if (item->kind == ITEM_UPDATE)
            at(world.clock + item->b * 100, -1, define_again, NULL, index, host);
    } else if (on->active) {
        active_item(item, domain, host);
    } else {
        inactive_item(item, domain, host);
    }
}

/* --- its absences --- */

static void watch_connects(void *context, int64_t a, int64_t b)
{
    struct host *host = context;
    (void)a, (void)b;
    if (host->watch_connected)
        return;
    host->watch_connected = true;
    sightings_watcher.connected(host->engine);
}

static void libvirtd_comes_back(void *context, int64_t restarted, int64_t unused)
{
    struct host *host = context;
    (void)unused;
    if (!host->libvirt_down)
        return;
    host->libvirt_down = host->libvirtd_dead = false;
    for (unsigned d = 0; d < world.domains_count && restarted; d++) {
        struct domain *domain = &world.domains[d];
        if (domain->busy_on >= 0)
            continue; /* a migration from or to another host goes on */
        struct presence *on = &domain->on[host->index];
        /* Why it stopped was only in the memory of the one before. */
        if (!on->active && on->reason != STOP_NONE)
            on->reason = STOP_UNKNOWN;
        if (on->active && on->died) {
            stop(domain, host->index, on->died);
            on->died = STOP_NONE;
        } else if (on->active) {
            begin_steps(domain, host->index, 1, OP_RECONNECT);
        }
    }
    if (host->engine)
        at(world.clock + chance_between(BY_HOST + (unsigned)host->index, 5, 1500), host->index, watch_connects, host, 0, 0);
}

bool libvirt_host_reboots(struct host *host)
{
    for (unsigned d = 0; d < world.domains_count; d++)
        if (world.domains[d].busy_on >= 0)
            return false;
    for (unsigned d = 0; d < world.domains_count; d++) {
        struct domain *domain = &world.domains[d];
        struct presence *on = &domain->on[host->index];
        if (on->active) {
            domain->stopping = STOP_UNKNOWN;
            deactivate(domain, host->index);
            vanish(domain, host->index);
        } else if (on->reason != STOP_NONE) {
            on->reason = STOP_UNKNOWN;
        }
        on->heard = on->died = STOP_NONE;
    }
    world.changed = true;
    return true;
}

void libvirt_daemon_started(struct host *host)
{
    if (!host->libvirt_down)
        at(world.clock + chance_between(BY_HOST + (unsigned)host->index, 2, 40), host->index, watch_connects, host, 0, 0);
}

void libvirt_daemon_crashed(struct host *host)
{
    libvirt_unheard(host);
    host->watch_connected = false;
}

void libvirt_unheard(struct host *host)
{
    for (unsigned d = 0; d < world.domains_count; d++)
        world.domains[d].on[host->index].heard = STOP_NONE;
}

void libvirt_calm(void)
{
    for (unsigned h = 0; h < world.hosts_count; h++) {
        struct host *host = &world.hosts[h];
        host->slow_until = host->hook_fault_until = 0;
        if (host->event_fault_until >= world.clock)
            host->event_fault_until = world.clock - 1;
        if (host->libvirt_down)
            libvirtd_comes_back(host, host->libvirtd_dead, 0);
    }
    for (unsigned d = 0; d < world.domains_count; d++) {
        struct domain *domain = &world.domains[d];
        domain->fault_until = 0;
        if (domain->metadata_broken)
            change_metadata(domain, 1);
        /* What is always on the move never comes to rest. */
        if (domain->rotate_ms > 0) {
            domain->rotate_ms = POLICY_NEVER;
            for (unsigned h = 0; h < world.hosts_count; h++)
                emit((int)h, (int)d, HOST_METADATA_CHANGED, STOP_NONE, false);
        }
        /* What was told to nobody is asked for again when the agent connects the next time. */
        if (domain->lied_at && domain->on[domain->home].active) {
            guest_agent((int)d, domain->home, false, 0);
            guest_agent((int)d, domain->home, true, 500);
        }
    }
}

/* --- its answers --- */

static void fill_xml(const struct domain *domain, int host, struct domain_xml *xml)
{
    memset(xml, 0, offsetof(struct domain_xml, metadata));
    memcpy(xml->uuid, domain->uuid, sizeof xml->uuid);
    domain_name(domain, xml->name, sizeof xml->name);
    xml->has_agent_channel = domain->has_channel;
    xml->agent_connected = domain->on[host].active && domain->on[host].agent_connected;
    xml->has_metadata = true;
    xml->metadata_error.code = ERROR_NONE;
    struct policy *policy = &xml->metadata;
    memset(policy, 0, sizeof *policy);
    if (domain->metadata_broken) {
        error_set(&xml->metadata_error, ERROR_INVALID, "the metadata is broken");
        return;
    }
    if (domain->owned)
        memcpy(policy->owner, "alice", 6);
    policy->required = domain->required ? POLICY_FLAG_YES : POLICY_FLAG_DEFAULT;
    for (unsigned p = 0; p < world.providers_count; p++) {
        if (!(domain->wanted & 1u << p))
            continue;
        struct policy_key *key = &policy->keys[policy->count++];
        memcpy(key->provider, world.remotes[p].name, sizeof world.remotes[p].name);
        key->monthly_limit = domain->limit;
        key->rotate_ms = domain->rotate_ms;
        key->overlap_ms = domain->overlap_ms;
        key->on_stop = domain->on_stop;
        key->on_save = domain->on_save;
        key->over_budget = domain->over_budget;
    }
}

bool domain_xml_read(const char *xml, size_t length, struct domain_xml *ret, struct error *err)
{
    (void)length, (void)err;
    fill_xml(&world.domains[atoi(xml)], world.current, ret);
    return true;
}

static void see(const struct domain *domain, int host, int64_t asked_at, struct host_sighting *sighting)
{
    const struct presence *on = &domain->on[host];
    memcpy(sighting->uuid, domain->uuid, sizeof sighting->uuid);
    sighting->seen = (struct domain_sighting){.asked_at = asked_at, .exists = on->exists};
    sighting->xml_read = false;
    sighting->xml_error.code = ERROR_NONE;
    if (!on->exists)
        return;
    domain_name(domain, sighting->name, sizeof sighting->name);
    sighting->seen.active = on->active;
    sighting->seen.paused = on->active && on->paused;
    sighting->seen.persistent = on->persistent;
    sighting->seen.managed_save = on->persistent && on->managed_save;
    sighting->seen.reason = on->active ? STOP_NONE : on->reason == STOP_NONE ? STOP_UNKNOWN : on->reason;
    sighting->xml_read = true;
    fill_xml(domain, host, &sighting->xml);
}

static void wait_for_lock(const struct domain *domain, int host)
{
    if (domain->on[host].locked)
        longjmp(world.blocked, 1);
}

bool host_look(struct host_link *link, const char *uuid, struct host_sighting *ret_sighting, struct error *err)
{
    const struct host *host = (const struct host *)(const void *)link;
    const struct domain *domain = &world.domains[domain_of_uuid(uuid)];
    if (host->libvirt_down)
        return error_set(err, ERROR_LOST, "libvirt is away");
    wait_for_lock(domain, host->index);
    see(domain, host->index, simulated_monotonic_ms(), ret_sighting);
    return true;
}

bool host_sweep(struct host_link *link, struct host_sighting **ret_sightings, size_t *ret_count, struct error *err)
{
    const struct host *host = (const struct host *)(const void *)link;
    if (host->libvirt_down)
        return error_set(err, ERROR_LOST, "libvirt is away");
    size_t count = 0;
    for (unsigned d = 0; d < world.domains_count; d++)
        wait_for_lock(&world.domains[d], host->index);
    struct host_sighting *sightings = simulated_calloc(world.domains_count + 1, sizeof *sightings);
    for (unsigned d = 0; d < world.domains_count; d++)
        if (world.domains[d].on[host->index].exists)
            see(&world.domains[d], host->index, simulated_monotonic_ms(), &sightings[count++]);
    *ret_sightings = sightings;
    *ret_count = count;
    return true;
}

bool host_version(struct host_link *link, char *ret_text, size_t size, struct error *err)
{
    (void)link, (void)err;
    snprintf(ret_text, size, "simulated");
    return true;
}
