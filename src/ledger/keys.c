#include "ledger/ledger.h"
#include "ledger/table.h"

static const char *state_name(int state)
{
    return key_state_name((enum key_state)state);
}

static bool state_parse(const char *name, int *ret_state)
{
    enum key_state state;
    bool known = key_state_parse(name, &state);
    *ret_state = known ? (int)state : 0;
    return known;
}

#define COLUMNS                                                                                                     \
    "grant_id, generation, predecessor, name, state, unknown, remote_id, fingerprint, attempts, last_error, created_at," \
    " minted_at, active_at, retiring_at, revoking_at, revoked_at, suspended_at, usage_id, limit_set, spent_before, spent_month," \
    " expires_at"

/* What it is called is in the UPDATE's WHERE, not in its SET: it does not change, and its indexes need not be touched. */
static const struct table keys = {
    .save = "save key",
    .read = "read keys",
    .identity = "grant, generation and name",
    .insert = "INSERT INTO keys (" COLUMNS ")"
              " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,"
              " $20, $21, $22) RETURNING id",
    .update = "UPDATE keys SET predecessor = $3, state = $5, unknown = $6, remote_id = $7, fingerprint = $8, attempts = $9,"
              " last_error = $10, created_at = $11, minted_at = $12, active_at = $13, retiring_at = $14,"
              " revoking_at = $15, revoked_at = $16, suspended_at = $17, usage_id = $18, limit_set = $19, spent_before = $20,"
              " spent_month = $21, expires_at = $22 WHERE id = $23 AND grant_id = $1 AND generation = $2 AND name = $4 RETURNING id",
    .record_size = sizeof(struct key_record),
    .columns =
        {
            COLUMN(COLUMN_NUMBER, key_record, grant_id),
            COLUMN(COLUMN_NUMBER, key_record, generation),
            COLUMN(COLUMN_REFERENCE, key_record, predecessor),
            COLUMN(COLUMN_TEXT, key_record, name),
            COLUMN_OF_WORDS(key_record, state, state_name, state_parse),
            COLUMN(COLUMN_FLAG, key_record, unknown),
            COLUMN(COLUMN_TEXT, key_record, remote_id),
            COLUMN(COLUMN_TEXT, key_record, fingerprint),
            COLUMN(COLUMN_NUMBER, key_record, attempts),
            COLUMN(COLUMN_TEXT, key_record, last_error),
            COLUMN(COLUMN_NUMBER, key_record, created_at),
            COLUMN(COLUMN_NUMBER, key_record, minted_at),
            COLUMN(COLUMN_NUMBER, key_record, active_at),
            COLUMN(COLUMN_NUMBER, key_record, retiring_at),
            COLUMN(COLUMN_NUMBER, key_record, revoking_at),
            COLUMN(COLUMN_NUMBER, key_record, revoked_at),
            COLUMN(COLUMN_NUMBER, key_record, suspended_at),
            COLUMN(COLUMN_TEXT, key_record, usage_id),
            COLUMN(COLUMN_NUMBER, key_record, limit_set),
            COLUMN(COLUMN_NUMBER, key_record, spent_before),
            COLUMN(COLUMN_NUMBER, key_record, spent_month),
            COLUMN(COLUMN_NUMBER, key_record, expires_at),
        },
    .columns_count = 22,
};

bool ledger_save_key(struct ledger *ledger, struct key_record *record, struct error *err)
{
    return table_save(ledger, &keys, record, err);
}

struct walk {
    ledger_key_fn *callback;
    void *context;
};

static bool visit(void *context, const void *record, struct error *err)
{
    const struct walk *walk = context;
    return walk->callback(walk->context, record, err);
}

bool ledger_find_key(struct ledger *ledger, const char *provider, const char *remote_id, struct key_record *ret_record,
                     struct error *err)
{
    cleanup_statement struct statement *statement = NULL;
    bool row;
    if (!statement_take(ledger->database, "find key",
                        "SELECT id, " COLUMNS " FROM keys WHERE remote_id = $2"
                        " AND grant_id IN (SELECT id FROM grants WHERE provider = $1) ORDER BY id DESC LIMIT 1",
                        &statement, err))
        return false;
    statement_bind_text(statement, 1, provider, POLICY_PROVIDER_SIZE);
    statement_bind_text(statement, 2, remote_id, RECORD_REMOTE_ID_SIZE);
    if (!statement_step(statement, &row, err))
        return false;
    if (!row)
        return error_set(err, ERROR_NOT_FOUND, "find key: %s never had one with that id", provider);
    return table_read(&keys, statement, ret_record, err);
}

bool ledger_each_live_key(struct ledger *ledger, ledger_key_fn *callback, void *context, struct error *err)
{
    struct walk walk = {callback, context};
    struct key_record record;
    return table_each(ledger, &keys, "SELECT id, " COLUMNS " FROM keys WHERE state <> 'revoked' ORDER BY id", &record, visit,
                      &walk, err);
}
