#include "ledger/ledger.h"
#include "ledger/table.h"

static const char *kind_name(int kind)
{
    return alert_kind_name((enum alert_kind)kind);
}

static bool kind_parse(const char *name, int *ret_kind)
{
    enum alert_kind kind;
    bool known = alert_kind_parse(name, &kind);
    *ret_kind = known ? (int)kind : 0;
    return known;
}

#define COLUMNS "kind, cause, text, domain, name, provider, raised_at, ended_at, pending"

static const struct table alerts = {
    .save = "save alert",
    .read = "read alerts",
    .identity = "kind and cause",
    .insert = "INSERT INTO alerts (" COLUMNS ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING id",
    .update = "UPDATE alerts SET text = $3, domain = $4, name = $5, provider = $6, raised_at = $7, ended_at = $8,"
              " pending = $9 WHERE id = $10 AND kind = $1 AND cause = $2 RETURNING id",
    .record_size = sizeof(struct alert_record),
    .columns =
        {
            COLUMN_OF_WORDS(alert_record, kind, kind_name, kind_parse),
            COLUMN(COLUMN_TEXT, alert_record, cause),
            COLUMN(COLUMN_TEXT, alert_record, text),
            COLUMN(COLUMN_TEXT, alert_record, domain),
            COLUMN(COLUMN_TEXT, alert_record, name),
            COLUMN(COLUMN_TEXT, alert_record, provider),
            COLUMN(COLUMN_NUMBER, alert_record, raised_at),
            COLUMN(COLUMN_NUMBER, alert_record, ended_at),
            COLUMN(COLUMN_NUMBER, alert_record, pending),
        },
    .columns_count = 9,
};

bool ledger_save_alert(struct ledger *ledger, struct alert_record *record, struct error *err)
{
    return table_save(ledger, &alerts, record, err);
}

struct walk {
    ledger_alert_fn *callback;
    void *context;
};

static bool visit(void *context, const void *record, struct error *err)
{
    const struct walk *walk = context;
    return walk->callback(walk->context, record, err);
}

bool ledger_each_live_alert(struct ledger *ledger, ledger_alert_fn *callback, void *context, struct error *err)
{
    struct walk walk = {callback, context};
    struct alert_record record;
    return table_each(ledger, &alerts,
                      "SELECT id, " COLUMNS " FROM alerts WHERE ended_at = 0 OR pending <> 0 ORDER BY id", &record, visit,
                      &walk, err);
}

bool ledger_alert_was_raised(struct ledger *ledger, const char *cause, bool *ret_raised, struct error *err)
{
    cleanup_statement struct statement *statement = NULL;
    if (!statement_take(ledger->database, "find alert", "SELECT 1 FROM alerts WHERE cause = $1 LIMIT 1", &statement, err))
        return false;
    statement_bind_text(statement, 1, cause, ALERT_CAUSE_SIZE);
    return statement_run(statement, ret_raised, NULL, err);
}

bool ledger_forget_alerts(struct ledger *ledger, int64_t before, struct error *err)
{
    bool own;
    if (!unit_begin(ledger, "forget alerts", &own, err))
        return false;
    cleanup_statement struct statement *statement = NULL;
    bool ok = statement_take(ledger->database, "forget alerts",
                             "DELETE FROM alerts WHERE ended_at <> 0 AND ended_at < $1 AND pending = 0", &statement, err);
    if (ok) {
        statement_bind_number(statement, 1, before);
        ok = statement_run(statement, NULL, NULL, err);
    }
    return unit_end(ledger, own, ok, err);
}
