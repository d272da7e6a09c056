/* Alerts: each cause is told once, to everybody who is to hear of it, whatever restarts in between.
 *
 * A raised alert is a row of the ledger before anybody hears of it, with a mark for each who has not. A mark is taken
 * away when he has: a crash in between tells him twice, under the same id, and never not at all. The daemon folder's
 * own; the loop's thread. */
#ifndef LLMHOOK_DAEMON_ALERTS_H
#define LLMHOOK_DAEMON_ALERTS_H

#include "daemon/audit.h"
#include "daemon/engine.h"
#include "lifecycle/alert.h"

struct alert_condition {
    enum alert_kind kind;
    const char *cause;    /* what makes it the same: an id, a month, a threshold. Shorter than ALERT_CAUSE_SIZE */
    const char *text;     /* one sentence; nothing secret */
    const struct vm *vm;  /* NULL: it is about no domain */
    const char *provider; /* NULL: nor about a provider */
};

/* Whatever holds is said as often as somebody sees it; the first time is told. */
void alerts_raise(struct engine *engine, const struct alert_condition *condition);
/* It does not hold any more: should it come again, that is told again. Nothing happens when it was not raised. */
void alerts_clear(struct engine *engine, enum alert_kind kind, const char *cause);

/* What a grant has spent in a UTC month ("2026-11"), and will have at this rate; micro-dollars, PROJECTED 0: not known. */
void alerts_spending(struct engine *engine, const struct vm *vm, const struct grant_record *grant, const char *month,
                     int64_t spent, int64_t projected);
/* What one of the daemon's own audits found. */
void alerts_audited(struct engine *engine, const struct audit_outcome *outcome);

#endif
