/* The daemon's own audits, and what is kept of the last one. */
#include "daemon/audit.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "daemon/alerts.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    SELF_DELAY_MS = 1000,           /* after the first sweep, and that of a reload: its looks come first */
    SELF_AGAIN_MS = 15 * 60 * 1000, /* after one that could not look everywhere */
    KEYS_TOLD_MAX = 10000,
    TIMER_EARLY_MS = 10, /* a timer and the clock need not agree to the millisecond */
};

struct audit_past {
    int timer;
    int64_t due_at; /* monotonic, while armed: a timer is for a day at most, and an interval may be longer */
    bool armed;
    bool soon; /* the next one does not wait for the interval */
    int64_t at; /* wall-clock; 0: none yet */
    bool complete;
    size_t looked_at, drift;
    char problem[512];
    struct json_object *told; /* the drift that the log has named and that is still there: an object of its keys */
};

const char *finding_kind_name(enum finding_kind kind)
{
    static const char *const names[] = {
        [FINDING_KEY] = "key", [FINDING_CONTAINER] = "container", [FINDING_GUEST] = "guest", [FINDING_JOURNAL] = "journal",
    };
    return names[kind];
}

const char *finding_reason(const struct finding *finding)
{
    return finding->reason[0] ? finding->reason : finding->judgement.reason;
}

void audit_finding_key(const struct finding *finding, char ret_key[FINDING_KEY_SIZE])
{
    snprintf(ret_key, FINDING_KEY_SIZE, "%s\n%s\n%s\n%s\n%s", audit_verdict_name(finding->judgement.verdict),
             finding_kind_name(finding->kind), finding->provider, finding->id, finding->id[0] ? "" : finding->name);
}

/* Each drift is named once, for as long as it is there. */
static void log_drift(const struct audit_outcome *audit, struct audit_past *past)
{
    struct json_object *told = json_object_new_object();
    char key[FINDING_KEY_SIZE];
    for (size_t i = 0; i < audit->findings_count; i++) {
        const struct finding *finding = audit->findings[i];
        if (!audit_verdict_is_drift(finding->judgement.verdict))
            continue;
        audit_finding_key(finding, key);
        if (json_object_object_length(told) < KEYS_TOLD_MAX)
            json_object_object_add(told, key, json_object_new_boolean(true));
        if (past->told && json_object_object_get_ex(past->told, key, NULL))
            continue;
        log_warning("audit: %s: %s %s%s%s%s, %s: %s", audit_verdict_name(finding->judgement.verdict),
                    finding_kind_name(finding->kind), finding->name, finding->id[0] ? " (" : "", finding->id,
                    finding->id[0] ? ")" : "", finding->provider[0] ? finding->provider : "here", finding_reason(finding));
    }
    json_object_put(past->told);
    past->told = told;
}

static void run_in(struct engine *engine, int64_t delay_ms)
{
    engine->audit_past->due_at = clock_monotonic_ms() + delay_ms;
    engine->loop->timer_set(engine->loop, engine->audit_past->timer, delay_ms);
}

void audit_remember(struct engine *engine, const struct audit_outcome *audit, bool self)
{
    struct audit_past *past = engine->audit_past;
    past->at = clock_wall_ms();
    past->complete = audit->complete;
    past->looked_at = audit->findings_count;
    past->drift = 0;
    for (size_t i = 0; i < audit->findings_count; i++)
        past->drift += audit_verdict_is_drift(audit->findings[i]->judgement.verdict) && !audit->findings[i]->done;
    snprintf(past->problem, sizeof past->problem, "%s", audit->problem);
    if (!self)
        return;
    log_drift(audit, past);
    alerts_audited(engine, audit);
    log_notice("audit: %zu looked at, %zu in order, %zu not%s%s", past->looked_at, past->looked_at - past->drift,
               past->drift, past->complete ? "" : "; could not look everywhere: ", past->problem);
    int64_t interval = engine->config->daemon.audit_interval_ms;
    past->armed = interval > 0;
    if (past->armed)
        run_in(engine, past->soon                                    ? SELF_DELAY_MS
                       : !past->complete && interval > SELF_AGAIN_MS ? SELF_AGAIN_MS
                                                                     : interval);
}

/* --- by itself --- */

static void on_timer(void *context)
{
    struct engine *engine = context;
    int64_t left = engine->audit_past->due_at - clock_monotonic_ms();
    if (left > TIMER_EARLY_MS) {
        engine->loop->timer_set(engine->loop, engine->audit_past->timer, left);
        return;
    }
    engine->audit_past->armed = engine->config->daemon.audit_interval_ms > 0;
    engine->audit_past->soon = false;
    if (engine->audit_past->armed)
        audit_run(engine, false, NULL, NULL);
}

void audit_swept(struct engine *engine)
{
    struct audit_past *past = engine->audit_past;
    if (!past || (past->armed && !past->soon) || engine->config->daemon.audit_interval_ms <= 0)
        return;
    past->armed = true;
    run_in(engine, SELF_DELAY_MS);
}

void audit_reloaded(struct engine *engine)
{
    engine->audit_past->soon = true;
}

bool audit_prepare(struct engine *engine, struct error *err)
{
    struct audit_past *past = calloc(1, sizeof *past);
    if (!past)
        return error_set(err, ERROR_IO, "out of memory");
    past->timer = engine->loop->timer(engine->loop, on_timer, engine);
    engine->audit_past = past;
    return past->timer >= 0 || error_set(err, ERROR_IO, "the audit's timer could not be made");
}

struct json_object *audit_summary(struct engine *engine)
{
    const struct audit_past *past = engine->audit_past;
    if (!past || !past->at)
        return NULL;
    struct json_object *object = json_object_new_object();
    json_put_integer(object, "at", past->at);
    json_put_boolean(object, "complete", past->complete);
    json_put_integer(object, "looked_at", (int64_t)past->looked_at);
    json_put_integer(object, "drift", (int64_t)past->drift);
    if (past->problem[0])
        json_put_string(object, "problem", past->problem);
    return object;
}
