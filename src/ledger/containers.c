#include "ledger/ledger.h"
#include "ledger/unit.h"

#include <inttypes.h>
#include <string.h>

static void bind_container(struct statement *statement, const struct container_record *record)
{
    const char *kind = container_kind_name(record->kind);
    const char *state = container_state_name(record->state);
    statement_bind_text(statement, 1, record->provider, sizeof record->provider);
    statement_bind_text(statement, 2, kind, strlen(kind) + 1);
    statement_bind_text(statement, 3, record->subject, sizeof record->subject);
    statement_bind_text(statement, 4, state, strlen(state) + 1);
    statement_bind_number(statement, 5, record->unknown);
    statement_bind_text(statement, 6, record->name, sizeof record->name);
    statement_bind_text(statement, 7, record->remote_id, sizeof record->remote_id);
    statement_bind_number(statement, 8, record->limit_set);
    statement_bind_text(statement, 9, record->rates_set, sizeof record->rates_set);
    statement_bind_number(statement, 10, record->attempts);
    statement_bind_text(statement, 11, record->last_error, sizeof record->last_error);
    statement_bind_number(statement, 12, record->created_at);
    statement_bind_number(statement, 13, record->archived_at);
}

static bool insert_container(struct ledger *ledger, const struct container_record *record, int64_t *ret_id,
                             struct error *err)
{
    static const char sql[] = "INSERT INTO containers (provider, kind, subject, state, unknown, name, remote_id, limit_set,"
                              " rates_set, attempts, last_error, created_at, archived_at)"
                              " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) RETURNING id";
    cleanup_statement struct statement *statement = NULL;
    if (!statement_take(ledger->database, "save container", sql, &statement, err))
        return false;
    bind_container(statement, record);
    return statement_run(statement, NULL, ret_id, err);
}

/* What it is for is in the WHERE, not in the SET: it does not change. */
static bool update_container(struct ledger *ledger, const struct container_record *record, struct error *err)
{
    static const char sql[] = "UPDATE containers SET state = $4, unknown = $5, name = $6, remote_id = $7, limit_set = $8,"
                              " rates_set = $9, attempts = $10, last_error = $11, created_at = $12, archived_at = $13"
                              " WHERE id = $14 AND provider = $1 AND kind = $2 AND subject = $3 RETURNING id";
    cleanup_statement struct statement *statement = NULL;
    bool found;
    if (!statement_take(ledger->database, "save container", sql, &statement, err))
        return false;
    bind_container(statement, record);
    statement_bind_number(statement, 14, record->id);
    if (!statement_run(statement, &found, NULL, err))
        return false;
    return found || error_set(err, ERROR_NOT_FOUND,
                              "save container: there is no %" PRId64 " of this provider, kind and subject", record->id);
}

bool ledger_save_container(struct ledger *ledger, struct container_record *record, struct error *err)
{
    int64_t id = record->id;
    bool own;
    if (!unit_begin(ledger, "save container", &own, err))
        return false;
    bool ok = id ? update_container(ledger, record, err) : insert_container(ledger, record, &id, err);
    if (!unit_end(ledger, own, ok, err))
        return false;
    record->id = id;
    return true;
}

static bool read_container(struct statement *statement, struct container_record *ret_record, struct error *err)
{
    struct container_record record = {
        .id = statement_number(statement, 0),
        .unknown = statement_number(statement, 5) != 0,
        .limit_set = statement_number(statement, 8),
        .attempts = statement_number(statement, 10),
        .created_at = statement_number(statement, 12),
        .archived_at = statement_number(statement, 13),
    };
    char kind[32], state[32];
    if (!statement_text(statement, 1, record.provider, sizeof record.provider, err) ||
        !statement_text(statement, 2, kind, sizeof kind, err) ||
        !statement_text(statement, 3, record.subject, sizeof record.subject, err) ||
        !statement_text(statement, 4, state, sizeof state, err) ||
        !statement_text(statement, 6, record.name, sizeof record.name, err) ||
        !statement_text(statement, 7, record.remote_id, sizeof record.remote_id, err) ||
        !statement_text(statement, 9, record.rates_set, sizeof record.rates_set, err) ||
        !statement_text(statement, 11, record.last_error, sizeof record.last_error, err))
        return false;
    if (!container_kind_parse(kind, &record.kind) || !container_state_parse(state, &record.state))
        return error_set(err, ERROR_IO, "read containers: %" PRId64 " is of a kind or in a state that is not known",
                         record.id);
    *ret_record = record;
    return true;
}

bool ledger_each_live_container(struct ledger *ledger, ledger_container_fn *callback, void *context, struct error *err)
{
    struct container_record record;
    cleanup_statement struct statement *statement = NULL;
    if (!statement_take(ledger->database, "read containers",
                        "SELECT id, provider, kind, subject, state, unknown, name, remote_id, limit_set, rates_set, attempts,"
                        " last_error, created_at, archived_at FROM containers WHERE state <> 'archived' ORDER BY id",
                        &statement, err))
        return false;
    for (bool row;;) {
        if (!statement_step(statement, &row, err))
            return false;
        if (!row)
            return true;
        if (!read_container(statement, &record, err) || !callback(context, &record, err))
            return false;
    }
}
