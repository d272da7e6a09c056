/* What an operator is told without asking: kinds of alerts, and when a budget is worth one. Pure. */
#ifndef LLMHOOK_LIFECYCLE_ALERT_H
#define LLMHOOK_LIFECYCLE_ALERT_H

#include "lifecycle/records.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum alert_kind {
    ALERT_BUDGET,      /* a part of the month's budget is spent */
    ALERT_BURN,        /* at this rate the month's budget will not last */
    ALERT_CAP,         /* somebody changed a limit at the provider; it was put back */
    ALERT_DRIFT,       /* an audit found something that should not be, an orphan first of all */
    ALERT_STUCK,       /* a revocation fails again and again */
    ALERT_UNDELIVERED, /* a guest does not get its keys */
    ALERT_POOL,        /* few keys are left to be claimed */
    ALERT_USAGE,       /* what is spent cannot be read */
    ALERT_ADMIN_KEY,   /* a provider does not take our admin key, or it cannot be had */
    ALERT_TEST,        /* an operator wanted to see one */
};
/* "budget", "burn-rate", "cap-changed", "drift", "stuck", "undelivered", "pool-low", "usage-unread", "admin-key",
 * "test". */
const char *alert_kind_name(enum alert_kind kind);
bool alert_kind_parse(const char *name, enum alert_kind *ret_kind);
/* The journal's MESSAGE_ID of a kind (systemd.journal-fields(7)): 32 hexadecimal digits that never change. */
const char *alert_message_id(enum alert_kind kind);
/* Whether it is over when its cause has been absent for a while. The others are about a moment, or a month, and stay
 * what they are: their causes name it. */
bool alert_kind_passes(enum alert_kind kind);

/* Where an alert goes, besides the journal. Bits. */
enum alert_sink { ALERT_TO_WEBHOOK = 1, ALERT_TO_PROGRAM = 2, ALERT_TO_MAIL = 4 };

#ifndef LLMHOOK_ALERT_QUIET_MS
#define LLMHOOK_ALERT_QUIET_MS (10 * 60000)
#endif

enum {
    ALERT_TO_JOURNAL = 8,         /* the journal's own bit: it is told at once, and by nobody else's leave */
    ALERT_CAUSE_SIZE = 512,
    ALERT_TEXT_SIZE = 512,
    ALERT_THRESHOLDS_MAX = 8,
    ALERT_ATTEMPTS = 3,           /* failed ones before a delivery or a revocation is worth an alert */
    ALERT_QUIET_MS = LLMHOOK_ALERT_QUIET_MS, /* a cause that comes again within this was never gone */
};

/* A row of the ledger. Times are wall-clock milliseconds. */
struct alert_record {
    int64_t id;
    enum alert_kind kind;
    char cause[ALERT_CAUSE_SIZE]; /* what makes it the same alert: one is raised once */
    char text[ALERT_TEXT_SIZE];   /* one sentence, with nothing secret in it */
    char domain[RECORD_UUID_SIZE];     /* empty: none */
    char name[RECORD_NAME_SIZE];       /* that domain's */
    char provider[POLICY_PROVIDER_SIZE];
    int64_t raised_at, ended_at;
    int64_t pending;              /* whom it has not reached: sinks' bits, and the journal's */
};

/* The highest of THRESHOLDS (percent) that SPENT has reached of LIMIT, both micro-dollars; 0: none. */
unsigned alert_threshold(int64_t spent, int64_t limit, const unsigned *thresholds, size_t count);

#endif
