#include "ledger/ledger.h"
#include "ledger/unit.h"

#include <inttypes.h>

static void bind_grant(struct statement *statement, const struct grant_record *record)
{
    statement_bind_text(statement, 1, record->domain, sizeof record->domain);
    statement_bind_text(statement, 2, record->provider, sizeof record->provider);
    statement_bind_reference(statement, 3, record->container_id);
    statement_bind_number(statement, 4, record->monthly_limit);
    statement_bind_number(statement, 5, record->rotate_ms);
    statement_bind_text(statement, 6, record->environment, sizeof record->environment);
    statement_bind_number(statement, 7, record->last_generation);
    statement_bind_number(statement, 8, record->held);
    statement_bind_number(statement, 9, record->created_at);
    statement_bind_number(statement, 10, record->ended_at);
    statement_bind_number(statement, 11, record->overlap_ms);
    statement_bind_number(statement, 12, record->replace_through);
}

static bool insert_grant(struct ledger *ledger, const struct grant_record *record, int64_t *ret_id, struct error *err)
{
    static const char sql[] = "INSERT INTO grants (domain, provider, container_id, monthly_limit, rotate_ms, environment,"
                              " last_generation, held, created_at, ended_at, overlap_ms, replace_through)"
                              " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING id";
    cleanup_statement struct statement *statement = NULL;
    if (!statement_take(ledger->database, "save grant", sql, &statement, err))
        return false;
    bind_grant(statement, record);
    return statement_run(statement, NULL, ret_id, err);
}

/* Whose and where from is in the WHERE, not in the SET: it does not change, and its indexes need not be touched. */
static bool update_grant(struct ledger *ledger, const struct grant_record *record, struct error *err)
{
    static const char sql[] = "UPDATE grants SET container_id = $3, monthly_limit = $4, rotate_ms = $5, environment = $6,"
                              " last_generation = $7, held = $8, created_at = $9, ended_at = $10,"
                              " overlap_ms = $11, replace_through = $12"
                              " WHERE id = $13 AND domain = $1 AND provider = $2 RETURNING id";
    cleanup_statement struct statement *statement = NULL;
    bool found;
    if (!statement_take(ledger->database, "save grant", sql, &statement, err))
        return false;
    bind_grant(statement, record);
    statement_bind_number(statement, 13, record->id);
    if (!statement_run(statement, &found, NULL, err))
        return false;
    return found || error_set(err, ERROR_NOT_FOUND, "save grant: there is no %" PRId64 " of this domain and provider",
                              record->id);
}

bool ledger_save_grant(struct ledger *ledger, struct grant_record *record, struct error *err)
{
    int64_t id = record->id;
    bool own;
    if (!unit_begin(ledger, "save grant", &own, err))
        return false;
    bool ok = id ? update_grant(ledger, record, err) : insert_grant(ledger, record, &id, err);
    if (!unit_end(ledger, own, ok, err))
        return false;
    record->id = id;
    return true;
}

#define COLUMNS                                                                                                  \
    "id, domain, provider, container_id, monthly_limit, rotate_ms, environment, last_generation, held, created_at," \
    " ended_at, overlap_ms, replace_through"

static bool read_grant(struct statement *statement, struct grant_record *ret_record, struct error *err)
{
    struct grant_record record = {
        .id = statement_number(statement, 0),
        .container_id = statement_number(statement, 3),
        .monthly_limit = statement_number(statement, 4),
        .rotate_ms = statement_number(statement, 5),
        .last_generation = statement_number(statement, 7),
        .held = statement_number(statement, 8) != 0,
        .created_at = statement_number(statement, 9),
        .ended_at = statement_number(statement, 10),
        .overlap_ms = statement_number(statement, 11),
        .replace_through = statement_number(statement, 12),
    };
    if (!statement_text(statement, 1, record.domain, sizeof record.domain, err) ||
        !statement_text(statement, 2, record.provider, sizeof record.provider, err) ||
        !statement_text(statement, 6, record.environment, sizeof record.environment, err))
        return false;
    *ret_record = record;
    return true;
}

bool ledger_each_live_grant(struct ledger *ledger, ledger_grant_fn *callback, void *context, struct error *err)
{
    struct grant_record record;
    cleanup_statement struct statement *statement = NULL;
    if (!statement_take(ledger->database, "read grants", "SELECT " COLUMNS " FROM grants WHERE ended_at = 0 ORDER BY id",
                        &statement, err))
        return false;
    for (bool row;;) {
        if (!statement_step(statement, &row, err))
            return false;
        if (!row)
            return true;
        if (!read_grant(statement, &record, err) || !callback(context, &record, err))
            return false;
    }
}

bool ledger_find_grant(struct ledger *ledger, const char *domain, const char *provider, struct grant_record *ret_record,
                       struct error *err)
{
    cleanup_statement struct statement *statement = NULL;
    bool row;
    if (!statement_take(ledger->database, "find grant",
                        "SELECT " COLUMNS " FROM grants WHERE domain = $1 AND provider = $2", &statement, err))
        return false;
    statement_bind_text(statement, 1, domain, RECORD_UUID_SIZE);
    statement_bind_text(statement, 2, provider, POLICY_PROVIDER_SIZE);
    if (!statement_step(statement, &row, err))
        return false;
    if (!row)
        return error_set(err, ERROR_NOT_FOUND, "find grant: %s never had one of %s", domain, provider);
    return read_grant(statement, ret_record, err);
}
