#include "ledger/ledger.h"
#include "ledger/unit.h"

#include <inttypes.h>
#include <string.h>

static void bind_key(struct statement *statement, const struct key_record *record)
{
    const char *state = key_state_name(record->state);
    statement_bind_number(statement, 1, record->grant_id);
    statement_bind_number(statement, 2, record->generation);
    statement_bind_reference(statement, 3, record->predecessor);
    statement_bind_text(statement, 4, record->name, sizeof record->name);
    statement_bind_text(statement, 5, state, strlen(state) + 1);
    statement_bind_number(statement, 6, record->unknown);
    statement_bind_text(statement, 7, record->remote_id, sizeof record->remote_id);
    statement_bind_text(statement, 8, record->fingerprint, sizeof record->fingerprint);
    statement_bind_number(statement, 9, record->attempts);
    statement_bind_text(statement, 10, record->last_error, sizeof record->last_error);
    statement_bind_number(statement, 11, record->created_at);
    statement_bind_number(statement, 12, record->minted_at);
    statement_bind_number(statement, 13, record->active_at);
    statement_bind_number(statement, 14, record->revoking_at);
    statement_bind_number(statement, 15, record->revoked_at);
    statement_bind_number(statement, 16, record->retiring_at);
}

static bool insert_key(struct ledger *ledger, const struct key_record *record, int64_t *ret_id, struct error *err)
{
    static const char sql[] =
        "INSERT INTO keys (grant_id, generation, predecessor, name, state, unknown, remote_id, fingerprint, attempts,"
        " last_error, created_at, minted_at, active_at, revoking_at, revoked_at, retiring_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) RETURNING id";
    cleanup_statement struct statement *statement = NULL;
    if (!statement_take(ledger->database, "save key", sql, &statement, err))
        return false;
    bind_key(statement, record);
    return statement_run(statement, NULL, ret_id, err);
}

/* What it is called is in the WHERE, not in the SET: it does not change, and its indexes need not be touched. */
static bool update_key(struct ledger *ledger, const struct key_record *record, struct error *err)
{
    static const char sql[] =
        "UPDATE keys SET predecessor = $3, state = $5, unknown = $6, remote_id = $7, fingerprint = $8, attempts = $9,"
        " last_error = $10, created_at = $11, minted_at = $12, active_at = $13, revoking_at = $14, revoked_at = $15,"
        " retiring_at = $16 WHERE id = $17 AND grant_id = $1 AND generation = $2 AND name = $4 RETURNING id";
    cleanup_statement struct statement *statement = NULL;
    bool found;
    if (!statement_take(ledger->database, "save key", sql, &statement, err))
        return false;
    bind_key(statement, record);
    statement_bind_number(statement, 17, record->id);
    if (!statement_run(statement, &found, NULL, err))
        return false;
    return found || error_set(err, ERROR_NOT_FOUND,
                              "save key: there is no %" PRId64 " of this grant, generation and name", record->id);
}

bool ledger_save_key(struct ledger *ledger, struct key_record *record, struct error *err)
{
    int64_t id = record->id;
    bool own;
    if (!unit_begin(ledger, "save key", &own, err))
        return false;
    bool ok = id ? update_key(ledger, record, err) : insert_key(ledger, record, &id, err);
    if (!unit_end(ledger, own, ok, err))
        return false;
    record->id = id;
    return true;
}

static bool read_key(struct statement *statement, struct key_record *ret_record, struct error *err)
{
    struct key_record record = {
        .id = statement_number(statement, 0),
        .grant_id = statement_number(statement, 1),
        .generation = statement_number(statement, 2),
        .predecessor = statement_number(statement, 3),
        .unknown = statement_number(statement, 6) != 0,
        .attempts = statement_number(statement, 9),
        .created_at = statement_number(statement, 11),
        .minted_at = statement_number(statement, 12),
        .active_at = statement_number(statement, 13),
        .revoking_at = statement_number(statement, 14),
        .revoked_at = statement_number(statement, 15),
        .retiring_at = statement_number(statement, 16),
    };
    char state[32];
    if (!statement_text(statement, 4, record.name, sizeof record.name, err) ||
        !statement_text(statement, 5, state, sizeof state, err) ||
        !statement_text(statement, 7, record.remote_id, sizeof record.remote_id, err) ||
        !statement_text(statement, 8, record.fingerprint, sizeof record.fingerprint, err) ||
        !statement_text(statement, 10, record.last_error, sizeof record.last_error, err))
        return false;
    if (!key_state_parse(state, &record.state))
        return error_set(err, ERROR_IO, "read keys: %" PRId64 " is in a state that is not known", record.id);
    *ret_record = record;
    return true;
}

bool ledger_each_live_key(struct ledger *ledger, ledger_key_fn *callback, void *context, struct error *err)
{
    struct key_record record;
    cleanup_statement struct statement *statement = NULL;
    if (!statement_take(ledger->database, "read keys",
                        "SELECT id, grant_id, generation, predecessor, name, state, unknown, remote_id, fingerprint, attempts,"
                        " last_error, created_at, minted_at, active_at, revoking_at, revoked_at, retiring_at"
                        " FROM keys WHERE state <> 'revoked' ORDER BY id",
                        &statement, err))
        return false;
    for (bool row;;) {
        if (!statement_step(statement, &row, err))
            return false;
        if (!row)
            return true;
        if (!read_key(statement, &record, err) || !callback(context, &record, err))
            return false;
    }
}
