#include "daemon/alerts.h"

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/json.h"
#include "base/log.h"
#include "base/utf8.h"
#include "daemon/alert-sinks.h"
#include "daemon/usage.h"
#include "providers/workers.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A budget's alert is remembered beyond its month. */
#define REMEMBERED_MS (INT64_C(100) * 24 * 3600 * 1000)

#ifndef LLMHOOK_ALERT_SCAN_MS
#define LLMHOOK_ALERT_SCAN_MS 15000
#endif

enum {
    SCAN_MS = LLMHOOK_ALERT_SCAN_MS,
    AGAIN_FIRST_MS = 5000,        /* after a sink has failed */
    AGAIN_CAP_MS = 30 * 60 * 1000,
    KEPT_MS = 7 * 24 * 3600 * 1000, /* how long somebody who cannot be reached is tried */
    FORGET_MS = 24 * 3600 * 1000,   /* how often what is too old is looked for */
    ALERTS_MAX = 10000,           /* live at once: a host in such trouble says no more */
};

/* One that has not ended, or that somebody has not heard of. */
struct live_alert {
    struct live_alert *next;
    struct alert_record record;
    int64_t seen_at; /* monotonic: when its cause was last seen */
};

struct alert_desk;
struct sink {
    struct alert_desk *desk;
    enum alert_sink sink;
    bool busy;
    int64_t failures, next_attempt; /* monotonic */
    int64_t after; /* the id of the alert that was sent last: one that is refused for good lets the later ones by */
    char problem[RECORD_ERROR_SIZE];
};

struct alert_desk {
    struct engine *engine;
    struct live_alert *first, **last;
    size_t count;
    struct sink sinks[ALERT_SINKS];
    struct workers *workers;
    int timer;
    unsigned reloads;
    int64_t forgot_at; /* monotonic */
};

/* --- rows --- */

/* STEP: its name among the failpoints. */
static bool save(struct engine *engine, struct alert_record *record, const char *step)
{
    struct error err = ERROR_INIT;
    (void)step;
    FAILPOINT(step, "committing");
    if (!ledger_save_alert(engine->ledger, record, &err)) {
        log_warning("alert not kept: %s", err.text);
        return false;
    }
    FAILPOINT(step, "committed");
    return true;
}

static struct live_alert *find(struct alert_desk *desk, enum alert_kind kind, const char *cause)
{
    struct live_alert *alert = desk->first;
    while (alert && (alert->record.ended_at || alert->record.kind != kind || strcmp(alert->record.cause, cause) != 0))
        alert = alert->next;
    return alert;
}

static bool add(struct alert_desk *desk, const struct alert_record *record)
{
    struct live_alert *alert = calloc(1, sizeof *alert);
    if (!alert)
        return false;
    alert->record = *record;
    alert->seen_at = clock_monotonic_ms();
    *desk->last = alert;
    desk->last = &alert->next;
    desk->count++;
    return true;
}

/* Those that have ended and reached everybody are the ledger's alone. */
static void drop_finished(struct alert_desk *desk)
{
    struct live_alert **at = &desk->first;
    while (*at) {
        struct live_alert *alert = *at;
        if (alert->record.ended_at && !alert->record.pending) {
            *at = alert->next;
            desk->count--;
            free(alert);
        } else {
            at = &alert->next;
        }
    }
    desk->last = at;
}

/* What comes from a guest, a provider or a domain's XML may hold anything. */
static void copy_line(char *to, size_t size, const char *from)
{
    snprintf(to, size, "%s", from);
    utf8_tame(to, strlen(to));
}

/* --- telling --- */

struct telling {
    struct sink *sink;
    struct config_alerts config; /* a reload may come meanwhile: */
    unsigned reloads;            /* then a failure tells nothing of what is in force */
    struct alert_record record;
    char host_id[sizeof ((struct engine *)NULL)->host_id];
    bool ok;
    struct error error;
};

static void tell_next(struct sink *sink);

static void tell(void *context, int cancel)
{
    struct telling *telling = context;
    telling->ok = alert_send(&telling->config, telling->sink->sink, &telling->record, telling->host_id, cancel,
                             &telling->error);
}

static void unmark(struct alert_desk *desk, int64_t id, unsigned sinks)
{
    struct live_alert *alert = desk->first;
    while (alert && alert->record.id != id)
        alert = alert->next;
    if (!alert || !(alert->record.pending & sinks))
        return;
    alert->record.pending &= ~(int64_t)sinks;
    save(desk->engine, &alert->record, "alert told");
}

static void told(void *context)
{
    struct telling *telling = context;
    struct sink *sink = telling->sink;
    const char *name = alert_sink_name(sink->sink);
    int64_t now = clock_monotonic_ms();
    sink->busy = false;
    if (telling->ok) {
        unmark(sink->desk, telling->record.id, sink->sink);
        if (sink->failures)
            log_notice("alerts: the %s works again", name);
        sink->failures = sink->next_attempt = 0;
        sink->problem[0] = '\0';
    } else {
        if (strncmp(sink->problem, telling->error.text, sizeof sink->problem - 1) != 0)
            log_warning("alerts: the %s does not work: %s; tried again", name, telling->error.text);
        snprintf(sink->problem, sizeof sink->problem, "%.*s", (int)sizeof sink->problem - 1, telling->error.text);
        struct alert_desk *desk = sink->desk;
        sink->failures += desk->reloads == telling->reloads;
        sink->next_attempt =
            sink->failures ? now + schedule_backoff(sink->failures, AGAIN_FIRST_MS, AGAIN_CAP_MS, (uint64_t)sink->sink) : 0;
        desk->engine->loop->timer_set(desk->engine->loop, desk->timer, AGAIN_FIRST_MS);
    }
    free(telling);
    tell_next(sink);
}

/* The oldest after the one that was sent last; after the newest of all the oldest again. NULL: none waits. */
static const struct live_alert *next_for(const struct sink *sink)
{
    const struct live_alert *oldest = NULL;
    for (const struct live_alert *alert = sink->desk->first; alert; alert = alert->next) {
        if (!(alert->record.pending & sink->sink))
            continue;
        if (alert->record.id > sink->after)
            return alert;
        oldest = oldest ? oldest : alert;
    }
    return oldest;
}

/* One at a time for each: a dead webhook delays nothing but what goes there. */
static void tell_next(struct sink *sink)
{
    struct alert_desk *desk = sink->desk;
    struct engine *engine = desk->engine;
    if (sink->busy || clock_monotonic_ms() < sink->next_attempt)
        return;
    const struct live_alert *alert = next_for(sink);
    if (!alert)
        return;
    sink->after = alert->record.id;
    struct telling *telling = calloc(1, sizeof *telling);
    if (!telling)
        return; /* the next scan tries again */
    telling->sink = sink;
    telling->config = engine->config->alerts;
    telling->reloads = desk->reloads;
    telling->record = alert->record;
    telling->error = (struct error)ERROR_INIT;
    memcpy(telling->host_id, engine->host_id, sizeof telling->host_id);
    sink->busy = true;
    workers_submit(desk->workers, tell, told, telling);
}

static void tell_journal(struct alert_desk *desk)
{
    for (struct live_alert *alert = desk->first; alert; alert = alert->next)
        if (alert->record.pending & ALERT_TO_JOURNAL) {
            alert_to_journal(&alert->record, desk->engine->host_id);
            unmark(desk, alert->record.id, ALERT_TO_JOURNAL);
        }
}

static void tell_all(struct alert_desk *desk)
{
    tell_journal(desk);
    for (size_t i = 0; i < ALERT_SINKS; i++)
        tell_next(&desk->sinks[i]);
}

/* What did not work may have been put right: that is tried now, not in half an hour. */
void alerts_reload(struct engine *engine)
{
    struct alert_desk *desk = engine->alerts;
    desk->reloads++;
    for (size_t i = 0; i < ALERT_SINKS; i++)
        desk->sinks[i].failures = desk->sinks[i].next_attempt = 0;
    tell_all(desk);
}

/* --- raising and clearing --- */

/* Of those that are about a moment or a month, one that ended is remembered too. */
static bool was_raised(struct engine *engine, enum alert_kind kind, const char *cause)
{
    struct error err = ERROR_INIT;
    bool raised = false;
    if (alert_kind_passes(kind))
        return false;
    if (ledger_alert_was_raised(engine->ledger, cause, &raised, &err))
        return raised;
    log_warning("alert not raised: %s", err.text);
    return true;
}

void alerts_raise(struct engine *engine, const struct alert_condition *condition)
{
    struct alert_desk *desk = engine->alerts;
    struct alert_record record = {.kind = condition->kind, .raised_at = clock_wall_ms()};
    copy_line(record.cause, sizeof record.cause, condition->cause);
    struct live_alert *known = find(desk, record.kind, record.cause);
    if (known) {
        known->seen_at = clock_monotonic_ms();
        return;
    }
    if (desk->count >= ALERTS_MAX || was_raised(engine, record.kind, record.cause))
        return;
    record.pending = alert_sinks_wanted(&engine->config->alerts) | ALERT_TO_JOURNAL;
    if (!alert_kind_passes(condition->kind))
        record.ended_at = record.raised_at;
    copy_line(record.text, sizeof record.text, condition->text);
    if (condition->vm) {
        memcpy(record.domain, condition->vm->record.uuid, sizeof record.domain);
        copy_line(record.name, sizeof record.name, condition->vm->record.name);
    }
    if (condition->provider)
        copy_line(record.provider, sizeof record.provider, condition->provider);
    if (!save(engine, &record, "alert raised"))
        return; /* its cause will be seen again */
    if (!add(desk, &record))
        log_warning("alert: out of memory");
    tell_all(desk);
    drop_finished(desk);
}

static void end(struct engine *engine, struct live_alert *alert)
{
    struct alert_record changed = alert->record;
    changed.ended_at = clock_wall_ms();
    if (!save(engine, &changed, "alert ended"))
        return;
    alert->record = changed;
    log_notice("alert over: %s: %s", alert_kind_name(changed.kind), changed.text);
}

void alerts_clear(struct engine *engine, enum alert_kind kind, const char *cause)
{
    char line[ALERT_CAUSE_SIZE];
    copy_line(line, sizeof line, cause);
    struct live_alert *alert = find(engine->alerts, kind, line);
    if (alert)
        end(engine, alert);
}

void alerts_spending(struct engine *engine, const struct vm *vm, const struct grant_record *grant, const char *month,
                     int64_t spent, int64_t projected)
{
    const struct config_alerts *config = &engine->config->alerts;
    char cause[ALERT_CAUSE_SIZE], text[ALERT_TEXT_SIZE];
    int64_t limit = grant->monthly_limit;
    if (limit <= 0) /* taken into the ledger by an audit, to be revoked: it has no budget to pass */
        return;
    unsigned percent = alert_threshold(spent, limit, config->thresholds, config->thresholds_count);
    const struct alert_condition condition = {.cause = cause, .text = text, .vm = vm, .provider = grant->provider,
                                              .kind = percent ? ALERT_BUDGET : ALERT_BURN};
    if (percent) {
        snprintf(cause, sizeof cause, "budget %u %s %s %s %lld", percent, grant->provider, vm->record.uuid, month,
                 (long long)limit);
        snprintf(text, sizeof text, "%.100s has spent $%.2f of its $%.2f at %s in %s: %u %% or more", vm->record.name,
                 (double)spent / 1e6, (double)limit / 1e6, grant->provider, month, percent);
        alerts_raise(engine, &condition);
    }
    if (projected > limit && percent < 100) {
        struct alert_condition burn = condition;
        burn.kind = ALERT_BURN;
        snprintf(cause, sizeof cause, "burn %s %s %s %lld", grant->provider, vm->record.uuid, month, (long long)limit);
        snprintf(text, sizeof text, "at this rate %.100s will have spent $%.2f at %s by the end of %s, and its limit is $%.2f",
                 vm->record.name, (double)projected / 1e6, grant->provider, month, (double)limit / 1e6);
        alerts_raise(engine, &burn);
    }
}

void alerts_audited(struct engine *engine, const struct audit_outcome *outcome)
{
    char key[FINDING_KEY_SIZE], cause[ALERT_CAUSE_SIZE], text[ALERT_TEXT_SIZE];
    int64_t began = clock_monotonic_ms();
    for (size_t i = 0; i < outcome->findings_count; i++) {
        const struct finding *finding = outcome->findings[i];
        if (!audit_verdict_is_drift(finding->judgement.verdict) || finding->done)
            continue;
        audit_finding_key(finding, key);
        for (char *at = key; *at; at++)
            *at = *at == '\n' ? ' ' : *at;
        snprintf(cause, sizeof cause, "drift %.500s", key);
        snprintf(text, sizeof text, "an audit found: %s: %s %.150s: %.250s", audit_verdict_name(finding->judgement.verdict),
                 finding_kind_name(finding->kind), finding->name, finding_reason(finding));
        alerts_raise(engine, &(struct alert_condition){ALERT_DRIFT, cause, text, finding->vm,
                                                       finding->provider[0] ? finding->provider : NULL});
    }
    /* What an audit that saw everything has not found any more is over. */
    for (struct live_alert *alert = engine->alerts->first; alert && outcome->complete; alert = alert->next)
        if (alert->record.kind == ALERT_DRIFT && !alert->record.ended_at && alert->seen_at < began)
            end(engine, alert);
}

/* --- what is seen by looking --- */

static void scan_providers(struct engine *engine)
{
    char cause[ALERT_CAUSE_SIZE], text[ALERT_TEXT_SIZE];
    for (struct provider_slot *slot = engine->providers; slot; slot = slot->next) {
        bool refused = (slot->gate.failures > 0 && slot->gate.why == OUTCOME_UNAUTHORIZED) ||
                       (slot->admin_gate.failures > 0 && slot->admin_gate.why == OUTCOME_UNAUTHORIZED);
        if (slot->retired || !refused)
            continue;
        snprintf(cause, sizeof cause, "admin-key %s", slot->settings->name);
        snprintf(text, sizeof text, "provider %s: %.400s", slot->settings->name, slot->last_error);
        alerts_raise(engine, &(struct alert_condition){ALERT_ADMIN_KEY, cause, text, NULL, slot->settings->name});
    }
}

static void scan_pools(struct engine *engine)
{
    char cause[ALERT_CAUSE_SIZE], text[ALERT_TEXT_SIZE];
    for (struct provider_slot *slot = engine->providers; slot; slot = slot->next) {
        if (slot->retired || !stock_low(engine, slot, text, sizeof text))
            continue;
        snprintf(cause, sizeof cause, "pool-low %s", slot->settings->name);
        alerts_raise(engine, &(struct alert_condition){ALERT_POOL, cause, text, NULL, slot->settings->name});
    }
}

static void scan_usage(struct engine *engine)
{
    char cause[ALERT_CAUSE_SIZE], text[ALERT_TEXT_SIZE];
    for (struct provider_slot *slot = engine->providers; slot; slot = slot->next) {
        if (slot->retired || !usage_is_unread(engine, slot))
            continue;
        const struct usage_provider *state = usage_provider_state(engine, slot->settings->name);
        snprintf(cause, sizeof cause, "usage-unread %s", slot->settings->name);
        snprintf(text, sizeof text,
                 "what is spent at %s cannot be read, and nobody who reaches a limit of llmhook is stopped: %.380s",
                 slot->settings->name, state->problem);
        alerts_raise(engine, &(struct alert_condition){ALERT_USAGE, cause, text, NULL, slot->settings->name});
    }
}

static void scan_keys(struct engine *engine, const struct vm *vm)
{
    char cause[ALERT_CAUSE_SIZE], text[ALERT_TEXT_SIZE];
    for (size_t g = 0; g < vm->grants_count; g++)
        for (size_t k = 0; k < vm->grants[g]->keys_count; k++) {
            const struct key_record *key = &vm->grants[g]->keys[k]->record;
            /* What is to be suspended and is not works on, as what is to be revoked does. */
            bool suspending = key->state == KEY_SUSPENDED && !key->suspended_at;
            if ((key->state != KEY_REVOKING && !suspending) || key->attempts < ALERT_ATTEMPTS)
                continue;
            snprintf(cause, sizeof cause, "stuck %s", key->name);
            snprintf(text, sizeof text, "%.200s cannot be %s after %lld attempts: %s", key->name,
                     suspending ? "suspended or resumed" : "revoked", (long long)key->attempts, key->last_error);
            alerts_raise(engine, &(struct alert_condition){ALERT_STUCK, cause, text, vm, vm->grants[g]->record.provider});
        }
}

static void scan_delivery(struct engine *engine, const struct vm *vm)
{
    char cause[ALERT_CAUSE_SIZE], text[ALERT_TEXT_SIZE];
    const struct vm_delivery *delivery = &vm->delivery;
    bool hopeless = delivery->outcome == DELIVERY_BLOCKED || delivery->outcome == DELIVERY_UNSUPPORTED;
    if (vm->agent != AGENT_CONNECTED || delivery->attempts < (hopeless ? 1 : ALERT_ATTEMPTS))
        return;
    snprintf(cause, sizeof cause, "undelivered %s", vm->record.uuid);
    snprintf(text, sizeof text, "%.100s does not get its keys: %.380s", vm->record.name, delivery->reason);
    alerts_raise(engine, &(struct alert_condition){ALERT_UNDELIVERED, cause, text, vm, NULL});
}

static bool is_scanned(enum alert_kind kind)
{
    return kind == ALERT_ADMIN_KEY || kind == ALERT_POOL || kind == ALERT_STUCK || kind == ALERT_UNDELIVERED ||
           kind == ALERT_USAGE;
}

/* A cause that comes and goes is one cause. */
static void end_absent(struct engine *engine)
{
    int64_t now = clock_monotonic_ms();
    for (struct live_alert *alert = engine->alerts->first; alert; alert = alert->next)
        if (!alert->record.ended_at && is_scanned(alert->record.kind) && now - alert->seen_at >= ALERT_QUIET_MS)
            end(engine, alert);
}

/* Nobody waits for ever for somebody who cannot be reached, or is not configured any more. */
static void give_up_telling(struct alert_desk *desk)
{
    int64_t wall = clock_wall_ms();
    unsigned wanted = alert_sinks_wanted(&desk->engine->config->alerts) | ALERT_TO_JOURNAL;
    for (struct live_alert *alert = desk->first; alert; alert = alert->next) {
        int64_t left = alert->record.pending & (int64_t)wanted;
        if (alert->record.pending && wall - alert->record.raised_at > KEPT_MS) {
            log_warning("alert %lld was never told to everybody it was for", (long long)alert->record.id);
            left = 0;
        }
        if (left != alert->record.pending) {
            alert->record.pending = left;
            save(desk->engine, &alert->record, "alert given up");
        }
    }
}

static void forget(struct engine *engine)
{
    struct error err = ERROR_INIT;
    FAILPOINT("alerts-forgotten", "committing");
    if (!ledger_forget_alerts(engine->ledger, clock_wall_ms() - REMEMBERED_MS, &err))
        log_warning("alerts: %s", err.text);
    FAILPOINT("alerts-forgotten", "committed");
    engine->alerts->forgot_at = clock_monotonic_ms();
}

static void scan(void *context)
{
    struct engine *engine = context;
    struct alert_desk *desk = engine->alerts;
    scan_providers(engine);
    scan_pools(engine);
    scan_usage(engine);
    for (size_t i = 0; i < engine->vms_count; i++) {
        scan_keys(engine, engine->vms[i]);
        scan_delivery(engine, engine->vms[i]);
    }
    end_absent(engine);
    give_up_telling(desk);
    drop_finished(desk);
    if (clock_monotonic_ms() - desk->forgot_at >= FORGET_MS)
        forget(engine);
    tell_all(desk);
    engine->loop->timer_set(engine->loop, desk->timer, SCAN_MS);
}

static bool load(void *context, const struct alert_record *record, struct error *err)
{
    return add(context, record) || error_set(err, ERROR_IO, "out of memory");
}

bool alerts_prepare(struct engine *engine, struct error *err)
{
    struct alert_desk *desk = calloc(1, sizeof *desk);
    if (!desk)
        return error_set(err, ERROR_IO, "out of memory");
    desk->engine = engine;
    desk->last = &desk->first;
    for (size_t i = 0; i < ALERT_SINKS; i++)
        desk->sinks[i] = (struct sink){.desk = desk, .sink = alert_sinks[i]};
    desk->timer = engine->loop->timer(engine->loop, scan, engine);
    engine->alerts = desk;
    if (desk->timer < 0)
        return error_set(err, ERROR_IO, "the alerts' timer could not be made");
    if (!workers_new(engine->loop, ALERT_SINKS, &desk->workers, err) ||
        !ledger_each_live_alert(engine->ledger, load, desk, err))
        return false;
    forget(engine);
    tell_all(desk); /* whom the last daemon has not reached any more */
    engine->loop->timer_set(engine->loop, desk->timer, SCAN_MS);
    return true;
}

/* --- what the operator asks --- */

static struct json_object *describe(const struct alert_record *record)
{
    struct json_object *object = json_object_new_object();
    json_put_integer(object, "id", record->id);
    json_put_string(object, "kind", alert_kind_name(record->kind));
    json_put_string(object, "text", record->text);
    json_put_integer(object, "raised_at", record->raised_at);
    if (record->ended_at)
        json_put_integer(object, "ended_at", record->ended_at);
    if (record->name[0])
        json_put_string(object, "domain", record->name);
    if (record->provider[0])
        json_put_string(object, "provider", record->provider);
    struct json_object *waiting = json_object_new_array();
    for (size_t i = 0; i < ALERT_SINKS; i++)
        if (record->pending & alert_sinks[i])
            json_append_string(waiting, alert_sink_name(alert_sinks[i]));
    json_put(object, "waiting", waiting);
    return object;
}

struct json_object *alerts_all(struct engine *engine)
{
    struct json_object *all = json_object_new_array();
    for (const struct live_alert *alert = engine->alerts->first; alert; alert = alert->next)
        json_object_array_add(all, describe(&alert->record));
    return all;
}

/* A test goes to everybody at once, past all queues, and says what came of it. */
struct test {
    struct control_call *call; /* NULL: whoever asked has gone */
    struct json_object *results;
    unsigned left;
};

struct test_of_sink {
    struct test *test;
    struct telling telling;
    struct sink sink;
};

static void test_tell(void *context, int cancel)
{
    struct test_of_sink *one = context;
    tell(&one->telling, cancel);
}

static void asker_left(void *context)
{
    ((struct test *)context)->call = NULL;
}

static void test_answer(struct test *test)
{
    struct json_object *answer = json_object_new_object();
    json_put(answer, "results", test->results);
    if (test->call)
        control_reply(test->call, answer);
    else
        json_object_put(answer);
    free(test);
}

static void test_told(void *context)
{
    struct test_of_sink *one = context;
    struct test *test = one->test;
    struct json_object *result = json_object_new_object();
    json_put_string(result, "sink", alert_sink_name(one->sink.sink));
    if (!one->telling.ok)
        json_put_string(result, "problem", one->telling.error.text);
    json_object_array_add(test->results, result);
    free(one);
    if (--test->left == 0)
        test_answer(test);
}

void alerts_test(struct engine *engine, struct control_call *call)
{
    unsigned wanted = alert_sinks_wanted(&engine->config->alerts);
    struct alert_record record = {.kind = ALERT_TEST, .raised_at = clock_wall_ms()};
    struct test *test = calloc(1, sizeof *test);
    if (!test)
        abort();
    snprintf(record.text, sizeof record.text, "this is what an alert looks like; nothing is wrong");
    test->call = call;
    control_call_on_cancel(call, asker_left, test);
    test->results = json_object_new_array();
    alert_to_journal(&record, engine->host_id);
    struct json_object *result = json_object_new_object();
    json_put_string(result, "sink", "journal");
    json_object_array_add(test->results, result);
    for (size_t i = 0; i < ALERT_SINKS; i++) {
        if (!(wanted & alert_sinks[i]))
            continue;
        struct test_of_sink *one = calloc(1, sizeof *one);
        if (!one)
            abort();
        *one = (struct test_of_sink){.test = test, .sink = {.sink = alert_sinks[i]}};
        one->telling = (struct telling){.sink = &one->sink, .config = engine->config->alerts, .record = record};
        memcpy(one->telling.host_id, engine->host_id, sizeof one->telling.host_id);
        test->left++;
        workers_submit(engine->alerts->workers, test_tell, test_told, one);
    }
    if (test->left == 0)
        test_answer(test);
}
