/* Between audit.c (looks and judges) and repair.c (mends). The daemon folder's own. */
#ifndef LLMHOOK_DAEMON_AUDIT_H
#define LLMHOOK_DAEMON_AUDIT_H

#include "daemon/engine.h"
#include "lifecycle/audit.h"

enum finding_kind { FINDING_KEY, FINDING_CONTAINER, FINDING_GUEST, FINDING_JOURNAL };

/* One row of an audit. Borrowed pointers are good within the turn of the loop in which it was judged. */
struct finding {
    enum finding_kind kind;
    struct audit_judgement judgement;
    char provider[POLICY_PROVIDER_SIZE];
    char id[RECORD_REMOTE_ID_SIZE];
    char name[RECORD_NAME_SIZE];
    char domain[RECORD_NAME_SIZE]; /* its name, as far as it is known */
    char reason[1024];             /* more than the judgement's own words; empty: those */
    char container_id[RECORD_REMOTE_ID_SIZE]; /* of a key, as the provider lists it */
    int64_t created_at;            /* as the provider says, wall-clock */
    struct audit_identity identity;
    struct vm *vm;                 /* NULL: none is known */
    struct vm_key *key;
    struct vm_container *container;
    bool acted;                    /* a repair was asked for, and RESULT says what came of it */
    bool done;
    char result[RECORD_ERROR_SIZE];
};

enum { FINDING_KEY_SIZE = RECORD_NAME_SIZE + RECORD_REMOTE_ID_SIZE + POLICY_PROVIDER_SIZE + 80 };
/* What makes a finding the same as one of another audit. Its name counts only where it has no id: on the way to somebody who
 * agrees to something and back, a character of it that no terminal should see is lost. */
void audit_finding_key(const struct finding *finding, char ret_key[FINDING_KEY_SIZE]);
const char *finding_kind_name(enum finding_kind kind);
const char *finding_reason(const struct finding *finding);

/* What is to be kept of an audit. SELF: it was the daemon's own, so the log is told, and the next one is set. */
struct audit_outcome {
    struct finding *const *findings;
    size_t findings_count;
    bool complete;
    const char *problem; /* why it is not complete, or empty */
};
void audit_remember(struct engine *engine, const struct audit_outcome *outcome, bool self);

/* Texts in order, and what each is of. */
struct index {
    struct entry {
        const char *text;
        struct vm *vm;
        struct vm_grant *grant;
        struct vm_key *key;
        struct vm_container *container;
        const struct provider_item *item;
    } *entries;
    size_t count, room;
};

/* What one provider has listed. */
struct inventory {
    struct inventory *next;
    struct audit *audit;
    char provider[POLICY_PROVIDER_SIZE];
    struct provider_slot *slot; /* until it has ended */
    void *known;                /* see rows_name_known() */
    int64_t started_at, asked_wall, progress_at;
    bool ok;
    struct provider_item *items;
    size_t items_count;
    struct index *by_id;
};

/* One audit under way. It asks and repairs in audit.c, the lists are judged in audit-lists.c. */
struct audit {
    struct engine *engine;
    struct control_call *call;  /* NULL: whoever asked has gone, or nobody did */
    bool self;                  /* the daemon's own: it goes into the log */
    struct json_object *wanted; /* the rows to be repaired, NULL: none */
    struct json_object *problems;
    unsigned pending;
    bool complete;
    struct error chain; /* what is wrong with the journal's chain */
    struct inventory *inventories;
    struct probe *probes; /* of guests, audit.c's own */
    struct finding **findings;
    size_t findings_count, findings_room;
    struct index keys_by_id, keys_by_name, containers_by_id;
};

/* VM: NULL where none is known. What it returns is the audit's, to be filled further. */
struct finding *audit_add_row(struct audit *audit, enum finding_kind kind, struct audit_judgement judgement,
                              const char *provider, const char *id, const char *name, struct vm *vm);
/* WHO could not be looked at, and WHAT of it: the audit is not complete. */
void audit_problem(struct audit *audit, const char *who, const char *what);
/* Judges what the providers listed against the ledger, and the ledger's rows against the lists. */
void audit_judge_lists(struct audit *audit);

/* Whether A is to be mended before B: what is missing first, then containers, then the keys in them. */
int repair_order(const void *a, const void *b);
/* Does what the judgement's fix says, by changing the ledger and marking the domain: what is to be asked of a provider is
 * asked by the plan, as ever. False: ERR says why not, and nothing has changed. */
bool repair(struct engine *engine, const struct finding *finding, struct error *err);

#endif
