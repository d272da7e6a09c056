/* Deliveries: guest actions, in worker threads, one at a time per domain. */
#include "daemon/engine.h"

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A guest decides how long its agent takes and how often it comes and goes, so each is bounded here: what it costs the
 * other guests (a worker, for FIRST_DEADLINE_MS in SLOW_FOR_MS; later tries run among its like, and have longer), and
 * what it costs in tries and lines of log. */
enum {
    FIRST_DEADLINE_MS = 10000,
    SLOW_MS = 4000,
    SLOW_FOR_MS = 600000,
    TRIES_EVERY_MS = 10000,
    TRIES_BURST = 6,
    WORDS_EVERY_MS = 60000,
    WORDS_BURST = 10,
};

struct job {
    struct engine *engine;
    char uuid[RECORD_UUID_SIZE];
    uint64_t epoch;
    char set[SECRET_FINGERPRINT_SIZE]; /* identity of what is delivered */
    char readers[POLICY_READERS_SIZE];
    struct delivery_entry entries[DELIVERY_ENTRIES_MAX];
    size_t count;
    struct secret *secrets[POLICY_KEYS_MAX];
    size_t secrets_count;
    struct provider_variable variables[DELIVERY_ENTRIES_MAX]; /* the grants may be gone before it ends */
    size_t variables_count;
    unsigned deadline_ms;
    int64_t took_ms;
    struct delivery_result result;
    struct host_link *link; /* the worker's, while it runs */
};

/* The keys that the guest is to have: of each wanted grant the newest that is minted. */
static size_t deliverable(struct vm *vm, struct vm_grant *grants[POLICY_KEYS_MAX], struct vm_key *keys[POLICY_KEYS_MAX])
{
    size_t count = 0;
    for (size_t g = 0; g < vm->grants_count && count < POLICY_KEYS_MAX; g++) {
        struct vm_grant *grant = vm->grants[g];
        for (size_t k = grant->keys_count; k > 0; k--) {
            enum key_state state = grant->keys[k - 1]->record.state;
            if (state != KEY_MINTED && state != KEY_ACTIVE)
                continue;
            grants[count] = grant;
            keys[count++] = grant->keys[k - 1];
            break;
        }
    }
    return count;
}

bool deliveries_any(struct vm *vm)
{
    struct vm_grant *grants[POLICY_KEYS_MAX];
    struct vm_key *keys[POLICY_KEYS_MAX];
    return deliverable(vm, grants, keys) > 0;
}

/* Made of the keys' fingerprints, not of the keys: nothing has to be unsealed to know whether all is well. */
static void identify(struct vm *vm, char set[SECRET_FINGERPRINT_SIZE])
{
    struct vm_grant *grants[POLICY_KEYS_MAX];
    struct vm_key *keys[POLICY_KEYS_MAX];
    size_t count = deliverable(vm, grants, keys);
    struct buffer text = BUFFER_INIT(64 * 1024);
    buffer_printf(&text, "%s\n", vm->policy.readers);
    for (size_t i = 0; i < count; i++) {
        buffer_printf(&text, "%s=%s%s\n", grants[i]->record.environment, grants[i]->key_is_file ? "file " : "",
                      keys[i]->record.fingerprint);
        for (size_t v = 0; v < grants[i]->variables_count; v++)
            buffer_printf(&text, "%s=%s\n", grants[i]->variables[v].name, grants[i]->variables[v].value);
    }
    secret_fingerprint_bytes(text.data, text.length, set);
    buffer_clear(&text);
}

bool deliveries_set_is(struct vm *vm, const char *set)
{
    char wanted[SECRET_FINGERPRINT_SIZE];
    identify(vm, wanted);
    return strcmp(set, wanted) == 0;
}

bool deliveries_proven(struct vm *vm)
{
    return vm->delivery.proven[0] && deliveries_set_is(vm, vm->delivery.proven);
}

void deliveries_reset(struct vm *vm)
{
    vm->delivery.epoch++;
    vm->delivery.proven[0] = '\0';
    vm->delivery.attempts = 0;
    vm->delivery.next_attempt = 0;
    vm->delivery.anew = true;
    vm->delivery.reason[0] = '\0';
}

static bool is_slow(const struct vm *vm)
{
    return clock_monotonic_ms() < vm->delivery.slow_until;
}

struct pool *deliveries_pool(struct engine *engine, const struct vm *vm)
{
    return is_slow(vm) ? engine->slow_agents : engine->agents;
}

/* Whether one more line about this guest may be written: what it says is its own choice. */
static bool may_say(struct vm *vm)
{
    return schedule_allow(&vm->delivery.words_spent, clock_monotonic_ms(), WORDS_EVERY_MS, WORDS_BURST);
}

static bool command(void *context, const struct buffer *text, unsigned timeout_s, struct buffer *ret_reply,
                    struct error *err)
{
    struct job *job = context;
    FAILPOINT("agent-command", "sending");
    bool ok = host_agent_command(job->link, job->uuid, text, timeout_s, ret_reply, err);
    FAILPOINT("agent-command", "answered");
    return ok;
}

static void wipe(struct job *job);

/* The number by which shells in the guest know whether what they have is of an earlier set. Made of the set's identity, since
 * it must never come again with other keys: also not those of another host, to which the domain has migrated. */
static int64_t label_of(const char set[SECRET_FINGERPRINT_SIZE])
{
    char digits[16];
    snprintf(digits, sizeof digits, "%.15s", set);
    return (int64_t)strtoull(digits, NULL, 16);
}

static void run(void *context, struct host_link *link)
{
    struct job *job = context;
    int64_t began = clock_monotonic_ms();
    job->link = link;
    delivery_run_within(job->deadline_ms, command, job, job->entries, job->count, label_of(job->set),
                        job->readers, &job->result);
    job->link = NULL;
    job->took_ms = clock_monotonic_ms() - began;
}

static int64_t retry_delay(enum delivery_outcome outcome, int64_t attempts, uint64_t seed)
{
    switch (outcome) {
    case DELIVERY_BLOCKED:
    case DELIVERY_UNSUPPORTED:
        /* Its owner may change the guest; the agent's restart is noticed at once anyway. */
        return schedule_backoff(attempts, 30000, 300000, seed);
    case DELIVERY_FROZEN:
        return schedule_backoff(attempts, 1000, 5000, seed);
    case DELIVERY_NO_AGENT:
        return schedule_backoff(attempts, 500, 15000, seed);
    default:
        return schedule_backoff(attempts, 1000, 120000, seed);
    }
}

static void log_proof(const struct vm *vm, const struct job *job)
{
    char since[64] = ""; /* an agent that was there before us has not been heard connecting */
    if (vm->agent_heard_at)
        snprintf(since, sizeof since, " %lld ms after its agent connected,",
                 (long long)(clock_monotonic_ms() - vm->agent_heard_at));
    log_info("%s: the guest has proven %zu key%s (%s),%s in %u agent calls", vm->record.name, job->secrets_count,
             job->secrets_count == 1 ? "" : "s", job->result.written ? "written" : "it had them", since,
             job->result.agent_calls);
}

static void remember_hooks(struct vm *vm, const struct delivery_result *result)
{
    snprintf(vm->delivery.hooks, sizeof vm->delivery.hooks, "%s%s%s", result->shell_start ? result->shell_text : "",
             result->shell_start && result->hooks[0] ? ", " : "", result->hooks);
    vm->delivery.humans = result->humans;
}

static void proven(struct vm *vm, const struct job *job)
{
    memcpy(vm->delivery.proven, job->set, sizeof job->set);
    vm->delivery.attempts = 0;
    vm->delivery.reason[0] = '\0';
    vm->delivery.proven_at = clock_wall_ms();
    remember_hooks(vm, &job->result);
    if (may_say(vm))
        log_proof(vm, job);
    if (job->count > 0 && !job->result.shell_start && job->result.shell_text[0]) {
        snprintf(vm->delivery.reason, sizeof vm->delivery.reason, "delivered, but new login shells do not read it: %s",
                 job->result.shell_text);
        if (may_say(vm))
            log_warning("%s: %s", vm->record.name, vm->delivery.reason);
    }
    /* The keys' own rows follow by plan(), which tries again where the ledger refuses. */
    if (job->count == 0) {
        vm->record.delivered = false;
        vm->row_behind = vm->recorded;
    }
}

/* Before anything can be in the guest it is written down, so that it is taken out again whatever happens to us. */
static bool note_delivery(struct engine *engine, struct vm *vm)
{
    if (vm->record.delivered)
        return true;
    vm->record.delivered = true;
    if (rows_save_domain(engine, vm))
        return true;
    vm->record.delivered = false;
    vm->delivery.next_attempt = clock_monotonic_ms() + 1000;
    return false;
}

static void done(void *context)
{
    struct job *job = context;
    struct engine *engine = job->engine;
    struct vm *vm = engine_find_vm(engine, job->uuid);
    FAILPOINT("delivery", "ended");
    if (vm) {
        vm->delivery.busy = false;
        vm->delivery.outcome = job->result.outcome;
        if (job->took_ms >= SLOW_MS)
            vm->delivery.slow_until = clock_monotonic_ms() + SLOW_FOR_MS;
        if (vm->delivery.epoch != job->epoch) {
            /* The guest rebooted, or its agent restarted, in between: what was proven may be gone. */
        } else if (job->result.outcome == DELIVERY_PROVEN) {
            proven(vm, job);
        } else {
            struct vm_delivery *delivery = &vm->delivery;
            bool news = strcmp(delivery->reason, job->result.error.text) != 0;
            delivery->attempts++;
            delivery->next_attempt =
                clock_monotonic_ms() + retry_delay(job->result.outcome, delivery->attempts, delivery->epoch);
            snprintf(delivery->reason, sizeof delivery->reason, "%.*s", (int)sizeof delivery->reason - 1,
                     job->result.error.text);
            if (news && may_say(vm))
                log_warning("%s: not delivered: %s", vm->record.name, job->result.error.text);
        }
        engine_mark(engine, vm);
    }
    wipe(job);
    free(job);
}

static bool room(const struct job *job, struct error *err)
{
    return job->count < DELIVERY_ENTRIES_MAX ||
           error_set(err, ERROR_LIMIT, "the domain's keys have more than %d variables in the guest", DELIVERY_ENTRIES_MAX);
}

static bool add_key(struct job *job, const struct vm_grant *grant, const struct vm_key *key, struct error *err)
{
    struct delivery_entry *entry = &job->entries[job->count];
    struct secret **secret = &job->secrets[job->secrets_count];
    if (!room(job, err) || !rows_get_secret(job->engine, key, secret, err))
        return false;
    job->secrets_count++;
    job->count++;
    entry->kind = grant->key_is_file ? DELIVERY_FILE : DELIVERY_VALUE;
    entry->secret = *secret;
    snprintf(entry->environment, sizeof entry->environment, "%s", grant->record.environment);
    snprintf(entry->provider, sizeof entry->provider, "%s", grant->record.provider);
    return true;
}

static bool add_variable(struct job *job, const struct provider_variable *variable, struct error *err)
{
    /* Two providers at one address; where they differ, the policy is refused before. */
    for (size_t i = 0; i < job->variables_count; i++)
        if (strcmp(job->variables[i].name, variable->name) == 0)
            return true;
    if (!room(job, err))
        return false;
    struct provider_variable *kept = &job->variables[job->variables_count++];
    struct delivery_entry *entry = &job->entries[job->count++];
    *kept = *variable;
    entry->kind = DELIVERY_PLAIN;
    entry->text = kept->value;
    memcpy(entry->environment, variable->name, sizeof entry->environment);
    return true;
}

/* Fills the job with the set: the keys, and what comes with them. */
static bool collect(struct engine *engine, struct vm *vm, struct job *job, struct error *err)
{
    struct vm_grant *grants[POLICY_KEYS_MAX];
    struct vm_key *keys[POLICY_KEYS_MAX];
    size_t count = deliverable(vm, grants, keys);
    job->engine = engine;
    for (size_t i = 0; i < count; i++) {
        if (!add_key(job, grants[i], keys[i], err))
            return false;
        for (size_t v = 0; v < grants[i]->variables_count; v++)
            if (!add_variable(job, &grants[i]->variables[v], err))
                return false;
    }
    return true;
}

static void wipe(struct job *job)
{
    for (size_t i = 0; i < job->secrets_count; i++)
        secret_free(job->secrets[i]);
    job->secrets_count = 0;
    job->count = 0;
}

bool deliveries_fingerprint(struct engine *engine, struct vm *vm, char fingerprint[DELIVERY_FINGERPRINT_SIZE])
{
    struct job job = {.engine = engine};
    bool ok = collect(engine, vm, &job, NULL);
    if (ok)
        delivery_fingerprint(job.entries, job.count, vm->policy.readers, fingerprint);
    wipe(&job);
    return ok;
}

bool deliveries_are(struct engine *engine, struct vm *vm, const struct delivery_found *found)
{
    struct job job = {.engine = engine};
    bool ok = collect(engine, vm, &job, NULL) &&
              delivery_found_is(found, job.entries, job.count, vm->policy.readers);
    wipe(&job);
    return ok;
}

static bool add_line(struct buffer *text, const struct delivery_entry *entry)
{
    switch (entry->kind) {
    case DELIVERY_VALUE: /* which has none of the characters that would have to be quoted */
        return buffer_printf(text, "%s='", entry->environment) &&
               buffer_append(text, secret_reveal(entry->secret), secret_length(entry->secret)) && buffer_append_text(text, "'\n");
    case DELIVERY_PLAIN:
        return buffer_printf(text, "%s='%s'\n", entry->environment, entry->text);
    case DELIVERY_FILE:
        break;
    }
    return true;
}

bool deliveries_environment(struct engine *engine, struct vm *vm, struct buffer *text, char set[SECRET_FINGERPRINT_SIZE],
                            struct error *err)
{
    struct job job = {.engine = engine};
    char fingerprint[DELIVERY_FINGERPRINT_SIZE];
    identify(vm, set);
    bool ok = collect(engine, vm, &job, err);
    /* Where nobody could deliver the set, its values are not fit for a line either. */
    delivery_fingerprint(job.entries, ok ? job.count : 0, vm->policy.readers, fingerprint);
    if (ok && job.count > 0 && !fingerprint[0])
        ok = error_set(err, ERROR_INVALID, "the keys cannot be delivered to any guest");
    for (size_t i = 0; ok && i < job.count; i++)
        ok = add_line(text, &job.entries[i]) || error_set(err, ERROR_LIMIT, "the keys are too long for a credential");
    wipe(&job);
    return ok;
}

/* An agent that has just come is tried at once; one that keeps coming, ever so often. */
static bool too_often(struct engine *engine, struct vm *vm)
{
    int64_t now = clock_monotonic_ms();
    if (!vm->delivery.anew || schedule_allow(&vm->delivery.tries_spent, now, TRIES_EVERY_MS, TRIES_BURST)) {
        vm->delivery.anew = false;
        return false;
    }
    vm->delivery.next_attempt = vm->delivery.tries_spent - (TRIES_BURST - 1) * TRIES_EVERY_MS;
    snprintf(vm->delivery.reason, sizeof vm->delivery.reason, "its agent comes and goes: tried once in %d s",
             TRIES_EVERY_MS / 1000);
    vm->next_look = schedule_earlier(vm->next_look, vm->delivery.next_attempt);
    engine_wake_at(engine, vm->next_look);
    return true;
}

void deliveries_start(struct engine *engine, struct vm *vm)
{
    if (too_often(engine, vm))
        return;
    struct error err = ERROR_INIT;
    struct job *job = calloc(1, sizeof *job);
    if (!job)
        abort();
    job->engine = engine;
    job->epoch = vm->delivery.epoch;
    job->deadline_ms = is_slow(vm) ? DELIVERY_DEADLINE_MS : FIRST_DEADLINE_MS;
    memcpy(job->uuid, vm->record.uuid, sizeof job->uuid);
    memcpy(job->readers, vm->policy.readers, sizeof job->readers);
    identify(vm, job->set);
    bool collected = collect(engine, vm, job, &err);
    if (collected && job->count > 0 && !note_delivery(engine, vm)) {
        vm->next_look = vm->delivery.next_attempt;
        engine_wake_at(engine, vm->next_look);
        wipe(job);
        free(job);
        return;
    }
    vm->delivery.busy = true;
    vm->delivery.proven[0] = '\0'; /* from here on the guest may have another set, even if this one is wanted again */
    if (collected) {
        FAILPOINT("delivery", "submitting");
        pool_submit(deliveries_pool(engine, vm), run, done, job);
        FAILPOINT("delivery", "submitted");
        return;
    }
    /* Not the guest's fault; told where the guest's faults are told. */
    job->result.outcome = DELIVERY_FAILED;
    job->result.error = err;
    engine->loop->post(engine->loop, done, job);
}
