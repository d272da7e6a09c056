/* What libvirt and the hook tell. They say where to look; libvirt, when asked, says what is.
 *
 * Questions to libvirt block while a hook holds the domain, so they run in worker threads and never keep the loop
 * from answering that very hook. */
#include "daemon/engine.h"

#include "base/clock.h"
#include "base/durable.h"
#include "base/failpoint.h"
#include "base/json.h"
#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ASK_AGAIN_MS = 1000, SWEEP_AGAIN_MS = 600000 };

/* --- asking libvirt --- */

struct question {
    struct engine *engine;
    char uuid[RECORD_UUID_SIZE]; /* empty: all domains */
    struct host_sighting *sightings;
    size_t count;
    int64_t wanted_at; /* in the loop's thread */
    int64_t asked_at;
    bool ok;
    struct error err;
};

/* What was heard before the question was wanted is older than its answer, even within one millisecond: an answer that
 * seemed as old as the stop that was asked about would leave the domain in doubt for ever. */
static int64_t surely_after(int64_t asked_at, int64_t wanted_at)
{
    return asked_at > wanted_at ? asked_at : wanted_at + 1;
}

static void stamp(struct question *question)
{
    question->asked_at = surely_after(question->asked_at, question->wanted_at);
    for (size_t i = 0; i < question->count; i++)
        question->sightings[i].seen.asked_at =
            surely_after(question->sightings[i].seen.asked_at, question->wanted_at);
}

static void apply_agent(struct vm *vm, const struct host_sighting *sighting)
{
    enum agent_state before = vm->agent;
    if (!sighting->seen.active || !sighting->xml_read)
        return;
    if (!sighting->xml.has_agent_channel)
        vm->agent = AGENT_NO_CHANNEL;
    else if (sighting->seen.asked_at > vm->agent_heard_at)
        vm->agent = sighting->xml.agent_connected ? AGENT_CONNECTED : AGENT_DISCONNECTED;
    if (vm->agent != AGENT_CONNECTED || before == AGENT_CONNECTED)
        return;
    if (before == AGENT_DISCONNECTED && vm->delivery.looked_at > vm->delivery.waiting_since)
        log_notice("%s: its guest agent is connected, of which no event has come", vm->record.name);
    vm->agent_heard_at = 0; /* what was heard is older, and when it connected nobody has told */
    deliveries_reset(vm);
}

static void apply_metadata(struct vm *vm, const struct domain_xml *xml)
{
    vm->metadata_known = xml->metadata_error.code == ERROR_NONE;
    vm->has_metadata = xml->has_metadata;
    vm->boot_entry = xml->boot_entry;
    vm->metadata = xml->metadata;
    if (!vm->metadata_known && strcmp(vm->policy_problem, xml->metadata_error.text) != 0) {
        snprintf(vm->policy_problem, sizeof vm->policy_problem, "%.*s", (int)sizeof vm->policy_problem - 1,
                 xml->metadata_error.text);
        log_warning("%s: its metadata cannot be understood, nothing is changed for it: %s", vm->record.name,
                    vm->policy_problem);
    }
}

static void apply_sighting(struct engine *engine, const struct host_sighting *sighting)
{
    struct vm *vm = engine_find_vm(engine, sighting->uuid);
    if (!vm && !sighting->seen.exists)
        return;
    if (!vm)
        vm = engine_vm(engine, sighting->uuid, sighting->name);
    if (sighting->seen.asked_at < vm->sighting.asked_at)
        return;
    vm->sighting = sighting->seen;
    domain_hint_sighting(&vm->hints, &sighting->seen, clock_monotonic_ms());
    if (sighting->seen.exists)
        snprintf(vm->record.name, sizeof vm->record.name, "%s", sighting->name);
    /* A start gives the guest another agent; what was heard before it is about the earlier one. */
    apply_agent(vm, sighting);
    if (sighting->xml_read && sighting->seen.asked_at >= vm->hints.starting_at) {
        apply_metadata(vm, &sighting->xml);
    } else if (sighting->seen.exists && !sighting->xml_read && sighting->xml_error.code == ERROR_INVALID) {
        vm->metadata_known = false;
        snprintf(vm->policy_problem, sizeof vm->policy_problem, "%.*s", (int)sizeof vm->policy_problem - 1,
                 sighting->xml_error.text);
    }
    engine_mark(engine, vm);
}

static void run_question(void *context, struct host_link *link)
{
    struct question *question = context;
    question->asked_at = clock_monotonic_ms();
    if (!question->uuid[0]) {
        question->ok = host_sweep(link, &question->sightings, &question->count, &question->err);
        if (question->ok && !question->engine->libvirt_version[0]) {
            char version[sizeof question->engine->libvirt_version];
            if (host_version(link, version, sizeof version, NULL))
                memcpy(question->engine->libvirt_version, version, sizeof version);
        }
        return;
    }
    question->sightings = calloc(1, sizeof *question->sightings);
    question->count = question->sightings ? 1 : 0;
    question->ok = question->sightings && host_look(link, question->uuid, question->sightings, &question->err);
}

static void not_answered(struct engine *engine, const struct question *question)
{
    if (strcmp(engine->libvirt_problem, question->err.text) != 0)
        log_warning("%s", question->err.text);
    snprintf(engine->libvirt_problem, sizeof engine->libvirt_problem, "%.*s",
             (int)sizeof engine->libvirt_problem - 1, question->err.text);
    int64_t again = clock_monotonic_ms() + ASK_AGAIN_MS;
    engine->sweep_retry_at = engine->sweep_retry_at ? schedule_earlier(engine->sweep_retry_at, again) : again;
    engine_wake_at(engine, engine->sweep_retry_at);
}

static void look_done(void *context)
{
    struct question *question = context;
    struct engine *engine = question->engine;
    struct vm *vm = engine_find_vm(engine, question->uuid);
    if (question->ok) {
        stamp(question);
        apply_sighting(engine, question->sightings);
    } else {
        not_answered(engine, question);
    }
    if (vm) {
        vm->looking = false;
        if (vm->look_again)
            sightings_look(engine, vm);
        vm->look_again = false;
    }
    /* Without an answer there is nothing new to conclude from: whoever needs one would ask again at once, and be refused at
     * once, for as long as libvirt is away. The sweep asks for all. */
    if (vm && question->ok)
        engine_mark(engine, vm);
    free(question->sightings);
    free(question);
}

void sightings_look(struct engine *engine, struct vm *vm)
{
    if (vm->looking) {
        vm->look_again = true;
        return;
    }
    struct question *question = calloc(1, sizeof *question);
    if (!question)
        abort();
    question->engine = engine;
    question->wanted_at = clock_monotonic_ms();
    memcpy(question->uuid, vm->record.uuid, sizeof question->uuid);
    vm->looking = true;
    pool_submit(engine->looks, run_question, look_done, question);
}

static void sweep_done(void *context)
{
    struct question *question = context;
    struct engine *engine = question->engine;
    engine->sweeping = false;
    if (!question->ok) {
        not_answered(engine, question);
    } else {
        engine->libvirt_problem[0] = '\0';
        stamp(question);
        for (size_t i = 0; i < question->count; i++)
            apply_sighting(engine, &question->sightings[i]);
        /* What is not in the complete list does not exist. */
        for (size_t i = 0; i < engine->vms_count; i++) {
            struct host_sighting missing = {.seen.asked_at = question->asked_at};
            if (engine->vms[i]->sighting.asked_at >= question->asked_at)
                continue;
            memcpy(missing.uuid, engine->vms[i]->record.uuid, sizeof missing.uuid);
            apply_sighting(engine, &missing);
        }
        engine->swept = true;
        audit_swept(engine);
        boot_credential_sweep(engine);
        /* Should a hook call and an event both be lost, this is how long it goes unnoticed. */
        engine->sweep_retry_at = clock_monotonic_ms() + SWEEP_AGAIN_MS;
        engine_wake_at(engine, engine->sweep_retry_at);
    }
    engine_mark_all(engine);
    free(question->sightings);
    free(question);
}

void sightings_sweep(struct engine *engine)
{
    engine->sweep_retry_at = 0;
    if (engine->sweeping)
        return;
    struct question *question = calloc(1, sizeof *question);
    if (!question)
        abort();
    question->engine = engine;
    question->wanted_at = clock_monotonic_ms();
    engine->sweeping = true;
    pool_submit(engine->looks, run_question, sweep_done, question);
}

/* --- events --- */

static void on_connected(void *context)
{
    struct engine *engine = context;
    log_notice("libvirt: connected to %s", engine->config->daemon.libvirt_uri);
    engine->libvirt_connected = true;
    engine->libvirt_problem[0] = '\0';
    /* Nothing is replayed: a guest may have rebooted unheard, so every proof is asked for again. */
    for (size_t i = 0; i < engine->vms_count; i++)
        deliveries_reset(engine->vms[i]);
    sightings_sweep(engine);
}

static void on_disconnected(void *context, const char *why)
{
    struct engine *engine = context;
    if (engine->libvirt_connected)
        log_warning("libvirt: %s; connecting again", why);
    else
        log_warning("libvirt: %s; trying again", why);
    engine->libvirt_connected = false;
    engine->swept = false;
    snprintf(engine->libvirt_problem, sizeof engine->libvirt_problem, "%.*s",
             (int)sizeof engine->libvirt_problem - 1, why);
}

bool sightings_end_holds(struct engine *engine, struct vm *vm)
{
    bool ended = true;
    for (size_t i = 0; i < vm->grants_count; i++) {
        struct grant_record changed = vm->grants[i]->record;
        if (!changed.held_at || vm->grants[i]->taken_at >= vm->boot_began)
            continue;
        changed.held_at = 0;
        ended = rows_save_grant(engine, vm, vm->grants[i], &changed, "hold ended", "a new boot", "libvirt") && ended;
    }
    if (ended)
        vm->boot_began = 0;
    return ended;
}

/* A new boot, which began at BEGAN: what an operator had taken away before is given again. */
static void release_hold(struct engine *engine, struct vm *vm, int64_t began)
{
    if (began > vm->boot_began)
        vm->boot_began = began;
    sightings_end_holds(engine, vm);
}

static void on_event(void *context, const struct host_event *event)
{
    struct engine *engine = context;
    struct vm *vm = engine_vm(engine, event->uuid, event->name);
    int64_t now = clock_monotonic_ms();
    if (event->from_snapshot) {
        deliveries_reset(vm);
        /* Whatever the guest had when the snapshot was taken, it has again. */
        vm->record.delivered = vm->record.delivered || vm->recorded;
        vm->row_behind = vm->recorded;
    }
    switch (event->kind) {
    case HOST_AGENT_CONNECTED:
    case HOST_AGENT_DISCONNECTED:
        vm->agent = event->kind == HOST_AGENT_CONNECTED ? AGENT_CONNECTED : AGENT_DISCONNECTED;
        vm->agent_heard_at = now;
        vm->delivery.waiting_since = now;
        deliveries_reset(vm);
        break;
    case HOST_STOPPED:
        domain_hint_stopped_event(&vm->hints, event->stopped, now);
        sightings_look(engine, vm);
        break;
    case HOST_STARTED:
        /* Everything works from events too, only later; but a hook that is not called is worth saying. */
        if (!vm->hints.starting_at || vm->hints.stopped_at > vm->hints.starting_at) {
            snprintf(engine->hookless, sizeof engine->hookless, "%s", vm->record.name);
            release_hold(engine, vm, now);
        }
        sightings_look(engine, vm);
        break;
    case HOST_CHANGED:
    case HOST_UNDEFINED:
    case HOST_METADATA_CHANGED:
        sightings_look(engine, vm);
        break;
    }
    engine_mark(engine, vm);
}

const struct host_watcher sightings_watcher = {on_connected, on_disconnected, on_event, NULL};

/* --- the hook --- */

static void reply_verdict(struct control_call *call, const char *verdict, const char *reason)
{
    struct json_object *parameters = json_object_new_object();
    json_put_string(parameters, "verdict", verdict);
    if (reason)
        json_put_string(parameters, "reason", reason);
    control_reply(call, parameters);
}

static void waiter_left(void *context)
{
    struct vm *vm = context;
    vm->waiter = NULL;
    /* Without its hook's yes the domain does not start. It may have gone before its call was even read, after the
     * calls that tell of the end. */
    vm->hints.starting_at = 0;
    sightings_look(vm->engine, vm);
    engine_mark(vm->engine, vm);
}

void sightings_answer_waiter(struct engine *engine, struct vm *vm, const struct plan_facts *facts)
{
    char reason[RECORD_ERROR_SIZE + 64] = "", remedy[RECORD_ERROR_SIZE] = "", text[1024];
    if (plan_required(facts) == PLAN_VERDICT_READY) {
        struct control_call *call = vm->waiter;
        struct error err = ERROR_INIT;
        vm->waiter = NULL;
        if (boot_credential_hand_over(engine, vm, &err)) {
            reply_verdict(call, "accepted", NULL);
            return;
        }
        log_warning("%s: its start is refused: its keys cannot be handed over: %s", vm->record.name, err.text);
        reply_verdict(call, "refused", err.text);
        return;
    }
    bool hopeless = vm->policy_problem[0] != '\0';
    snprintf(reason, sizeof reason, "%s", vm->policy_problem);
    for (size_t i = 0; i < vm->grants_count && !hopeless; i++) {
        const struct vm_grant *grant = vm->grants[i];
        if (!grant->wanted || plan_current_key(&facts->grants[i]) != SIZE_MAX)
            continue;
        const struct provider_slot *slot = engine_provider(engine, grant->record.provider);
        status_grant_words(engine, vm, grant, reason, sizeof reason, remedy, sizeof remedy);
        bool refused = grant->status.status == PLAN_STATUS_WAITING_RETRY;
        if (refused)
            remedy[0] = '\0'; /* it says that it is tried again, which this start does not wait for */
        hopeless = refused || grant->status.status == PLAN_STATUS_NO_PROVIDER ||
                   (slot && slot->gate.why == OUTCOME_UNAUTHORIZED && slot->gate.closed_at >= vm->waiter_since);
    }
    if (!hopeless && clock_monotonic_ms() < vm->waiter_deadline)
        return;
    struct control_call *call = vm->waiter;
    vm->waiter = NULL;
    size_t used = 0;
    if (!hopeless)
        used = (size_t)snprintf(text, sizeof text, "gave up after %lld s (required-deadline): ",
                                (long long)(vm->waiter_deadline - vm->waiter_since + 500) / 1000);
    snprintf(text + used, sizeof text - used, "%s%s%s", reason[0] ? reason : "no key was to be had", remedy[0] ? "; " : "",
             remedy);
    log_warning("%s: its start is refused: %s", vm->record.name, text);
    reply_verdict(call, "refused", text);
}

/* Whoever has just corrected an admin key and starts a domain that requires one must not be told that it is wrong. */
static void try_admin_keys_now(struct engine *engine, const struct vm *vm, int64_t now)
{
    for (size_t i = 0; i < vm->grants_count; i++) {
        struct provider_slot *slot = engine_provider(engine, vm->grants[i]->record.provider);
        if (!slot || !vm->grants[i]->wanted || slot->gate.why != OUTCOME_UNAUTHORIZED || slot->gate.closed_until <= now)
            continue;
        slot->gate.closed_until = now;
        engine_mark_provider(engine, slot->settings->name); /* who waits there sleeps until it was to be tried again */
    }
}

/* What was refused minutes ago, and would be tried again in minutes, is tried for this start: what was wrong may have been
 * put right, which nobody would learn from the old refusal. */
static void try_again_now(struct vm *vm)
{
    for (size_t i = 0; i < vm->grants_count; i++) {
        struct vm_grant *grant = vm->grants[i];
        if (!grant->wanted)
            continue;
        if (grant->container)
            grant->container->next_attempt = 0;
        for (size_t k = 0; k < grant->keys_count; k++)
            grant->keys[k]->next_attempt = grant->keys[k]->limit_next_attempt = 0;
    }
}

static void wait_for_key(struct engine *engine, struct vm *vm, struct control_call *call)
{
    int64_t wait_ms = engine->config->daemon.required_deadline_ms;
    struct json_object *parameters = json_object_new_object();
    json_put_string(parameters, "verdict", "wait");
    json_put_integer(parameters, "wait_ms", wait_ms);
    control_continue(call, parameters);
    control_call_on_cancel(call, waiter_left, vm);
    if (vm->waiter)
        reply_verdict(vm->waiter, "refused", "the domain is being started a second time");
    vm->waiter = call;
    vm->waiter_since = clock_monotonic_ms();
    vm->waiter_deadline = vm->waiter_since + wait_ms;
    try_admin_keys_now(engine, vm, vm->waiter_since);
    try_again_now(vm);
}

static enum stop_reason reason_given(const char *extra)
{
    enum stop_reason reason;
    return stop_reason_parse(extra, &reason) && reason != STOP_NONE ? reason : STOP_UNKNOWN;
}

/* A domain is about to run: the one moment at which what the hook says is used before libvirt is asked, because
 * libvirt cannot be asked while it waits for the hook. XML: NULL when it has not come to the hook in time, and what
 * libvirt said last has to do. AT: when the hook was called. False: that is over. */
static bool starting(struct engine *engine, struct vm *vm, const struct domain_xml *xml, int64_t at)
{
    if (!domain_hint_starting(&vm->hints, at))
        return false;
    engine->hookless[0] = '\0';
    if (xml && at >= vm->sighting.asked_at)
        apply_metadata(vm, xml);
    release_hold(engine, vm, at);
    policy_apply(engine, vm);
    return true;
}

/* Whether what happened at AT, and was left in the spool at LEFT_AT, was surely after all that was written down in an earlier
 * life of the daemon. Only before libvirt has answered for the first time: an answer from before AT would be taken for what is
 * now, and one from after it says more than the spool. */
static bool is_after_the_rows(const struct vm *vm, int64_t at, int64_t left_at, int64_t now)
{
    int64_t wall = at > DOMAIN_EARLIER_BOOT ? clock_wall_ms() - (now - at) : left_at;
    return !vm->sighting.asked_at && at > vm->hints.stopped_at && wall > vm->written_at;
}

/* From the spool: libvirt may have been restarted since, or the whole host, and forgotten why the domain is off; or it has left
 * libvirt's list, and was restored and ended since it was saved; or a boot has begun that ends an operator's hold. AT: when the
 * hook was called; the domain may have started since. The entry goes when this is done, so the row is written first. */
static void take_from_spool(struct engine *engine, struct vm *vm, const char *operation, const char *extra, int64_t at,
                            int64_t left_at, int64_t now)
{
    bool started = strcmp(operation, "started") == 0, newer = is_after_the_rows(vm, at, left_at, now);
    enum stop_reason stop;
    if (started && at > DOMAIN_EARLIER_BOOT)
        release_hold(engine, vm, at);
    if ((!started && strcmp(operation, "release") != 0) || at < vm->spooled_at || domain_hint_is_past(&vm->hints, at) ||
        !domain_stop_told(started, reason_given(extra), newer, vm->record.stop, &stop))
        return;
    vm->spooled_at = at;
    if (stop == vm->record.stop)
        return;
    vm->record.stop = stop;
    vm->row_behind = vm->recorded && !rows_save_domain(engine, vm);
}

/* A call may be read late: the daemon hung, or the hook found nobody. */
static int64_t time_of_call(const struct engine *engine, struct json_object *parameters, int64_t now)
{
    char boot[sizeof engine->boot_id];
    json_optional_string(parameters, "boot", "", boot, sizeof boot);
    bool same_boot = !boot[0] || strcmp(boot, engine->boot_id) == 0;
    return domain_hook_time(json_optional_integer(parameters, "at", 0), same_boot, now);
}

/* Without its XML a domain's name has to do, but not that of one that is gone: what starts is another of that name. */
static struct vm *vm_of_call(struct engine *engine, const char *name, bool starts, const struct domain_xml *xml)
{
    struct vm *vm;
    if (xml)
        return engine_vm(engine, xml->uuid, name);
    bool one = engine_vms_named(engine, name, &vm) == 1;
    return one && (!starts || vm->sighting.exists) ? vm : NULL;
}

void sightings_hook(struct engine *engine, struct json_object *parameters, struct control_call *waiter, int64_t left_at)
{
    static const char unknown[] = "llmhookd was not given its XML, and does not know it yet: start it again";
    char name[RECORD_NAME_SIZE], operation[32], extra[64];
    struct domain_xml xml;
    struct json_object *text = NULL;
    struct error err = ERROR_INIT;
    if (!json_get_string(parameters, "domain", name, sizeof name, &err) ||
        !json_get_string(parameters, "operation", operation, sizeof operation, &err)) {
        if (waiter)
            control_invalid_parameter(waiter, "domain");
        return;
    }
    json_optional_string(parameters, "extra", "-", extra, sizeof extra);
    json_object_object_get_ex(parameters, "xml", &text);
    bool read = text && json_object_is_type(text, json_type_string) &&
                domain_xml_read(json_object_get_string(text), (size_t)json_object_get_string_len(text), &xml, &err);
    engine->hook_calls++;
    bool starts = strcmp(operation, "prepare") == 0;
    struct vm *vm = vm_of_call(engine, name, starts, read ? &xml : NULL);
    /* What is only about to be prepared. Where that is refused no other hook is called, so it is no start yet. */
    bool comes = strcmp(operation, "restore") == 0 || strcmp(operation, "migrate") == 0;
    int64_t now = clock_monotonic_ms(), at = time_of_call(engine, parameters, now);
    bool counts = true;
    if (vm && waiter && starts)
        counts = starting(engine, vm, read ? &xml : NULL, at);
    else if (vm && waiter && (strcmp(operation, "stopped") == 0 || strcmp(operation, "release") == 0))
        domain_hint_stopping(&vm->hints, reason_given(extra), at, now);
    else if (vm && !waiter)
        take_from_spool(engine, vm, operation, extra, at, left_at, now);
    /* Answered before anything else is done: every millisecond here is the VM's. */
    bool required = waiter && starts && (vm ? policy_requires(vm) : policy_requires_called(engine, name)) &&
                    control_call_more(waiter);
    bool waits = required && vm && counts;
    /* What there is already, as after a save; the hook waits for no more. */
    if (!waits && counts && starts && read && waiter && vm && !boot_credential_hand_over(engine, vm, &err))
        log_warning("%s: its keys are not handed over as it starts: %s", vm->record.name, err.text);
    if (waits)
        wait_for_key(engine, vm, waiter);
    else if (waiter)
        reply_verdict(waiter, required ? "refused" : "accepted", !required ? NULL : vm ? "this start is over" : unknown);
    /* libvirt answers when it does not wait for this very hook. */
    if (vm && !waits && (!(starts || comes) || !waiter || now - at >= DOMAIN_HOOK_WAITS_MS))
        sightings_look(engine, vm);
    if (vm)
        engine_mark(engine, vm);
    else
        sightings_sweep(engine);
}

/* --- the spool: what hooks left while nobody listened --- */

/* Wall-clock milliseconds; 0, which is before everything, when it cannot be told. */
static int64_t left_at(const char *path)
{
    struct stat status;
    return stat(path, &status) < 0 ? 0 : clock_ms_of(status.st_mtim);
}

static void take_up(struct engine *engine, const char *path)
{
    struct buffer text = BUFFER_INIT(CONTROL_MESSAGE_MAX);
    struct json_object *message = NULL, *parameters = NULL;
    struct error err = ERROR_INIT;
    FAILPOINT("spool-entry", "found");
    if (durable_read(path, &text, &err) && json_parse(buffer_text(&text), text.length, &message, &err) &&
        json_get_object(message, "parameters", &parameters, &err))
        sightings_hook(engine, parameters, NULL, left_at(path));
    else
        log_warning("spool: %s: %s; dropped, all domains are looked at", path, err.text);
    json_object_put(message);
    buffer_clear(&text);
    FAILPOINT("spool-entry", "taken-up");
    if (!durable_remove(path, &err))
        log_warning("spool: %s", err.text);
}

static void scan_spool(struct engine *engine)
{
    char directory[CONFIG_PATH_SIZE + 8], path[CONFIG_PATH_SIZE + 512];
    snprintf(directory, sizeof directory, "%s/spool", engine->config->daemon.state_directory);
    DIR *stream = opendir(directory);
    if (!stream)
        return;
    unsigned taken = 0;
    for (struct dirent *entry; (entry = readdir(stream));) {
        size_t length = strlen(entry->d_name);
        if (entry->d_name[0] == '.' || length < 6 || strcmp(entry->d_name + length - 5, ".json") != 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        take_up(engine, path);
        taken++;
    }
    closedir(stream);
    if (taken)
        log_notice("spool: took up %u hook call%s that found no daemon", taken, taken == 1 ? "" : "s");
}

static void on_spool(void *context, int fd, unsigned events)
{
    char block[4096] __attribute__((aligned(8)));
    (void)events;
    while (read(fd, block, sizeof block) > 0)
        continue;
    scan_spool(context);
}

bool sightings_watch_spool(struct engine *engine, struct error *err)
{
    char directory[CONFIG_PATH_SIZE + 8];
    snprintf(directory, sizeof directory, "%s/spool", engine->config->daemon.state_directory);
    if (!durable_directory(directory, 0700, err))
        return false;
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (fd < 0 || inotify_add_watch(fd, directory, IN_MOVED_TO | IN_ONLYDIR) < 0 ||
        engine->loop->watch(engine->loop, fd, LOOP_READ, on_spool, engine) < 0)
        return error_set_errno(err, errno, "watch %s", directory);
    scan_spool(engine);
    return true;
}
