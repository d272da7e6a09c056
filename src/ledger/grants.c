#include "ledger/ledger.h"
#include "ledger/table.h"

static const char *fate_name(int fate)
{
    return policy_fate_name((enum policy_fate)fate);
}

static bool fate_parse(const char *name, int *ret_fate)
{
    enum policy_fate fate = POLICY_FATE_DEFAULT;
    bool known = policy_fate_parse(name, &fate);
    *ret_fate = (int)fate;
    return known;
}

#define COLUMNS                                                                                                      \
    "domain, provider, container_id, monthly_limit, rotate_ms, overlap_ms, environment, last_generation, replace_through," \
    " held_at, created_at, ended_at, on_stop, on_save, over_budget, replace_at, hurry_through, owner"

/* Whose and where from is in the UPDATE's WHERE, not in its SET: it does not change, and its indexes need not be touched. */
static const struct table grants = {
    .save = "save grant",
    .read = "read grants",
    .identity = "domain and provider",
    .insert = "INSERT INTO grants (" COLUMNS ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15,"
              " $16, $17, $18) RETURNING id",
    .update = "UPDATE grants SET container_id = $3, monthly_limit = $4, rotate_ms = $5, overlap_ms = $6, environment = $7,"
              " last_generation = $8, replace_through = $9, held_at = $10, created_at = $11, ended_at = $12, on_stop = $13,"
              " on_save = $14, over_budget = $15, replace_at = $16, hurry_through = $17, owner = $18"
              " WHERE id = $19 AND domain = $1 AND provider = $2 RETURNING id",
    .record_size = sizeof(struct grant_record),
    .columns =
        {
            COLUMN(COLUMN_TEXT, grant_record, domain),
            COLUMN(COLUMN_TEXT, grant_record, provider),
            COLUMN(COLUMN_REFERENCE, grant_record, container_id),
            COLUMN(COLUMN_NUMBER, grant_record, monthly_limit),
            COLUMN(COLUMN_NUMBER, grant_record, rotate_ms),
            COLUMN(COLUMN_NUMBER, grant_record, overlap_ms),
            COLUMN(COLUMN_TEXT, grant_record, environment),
            COLUMN(COLUMN_NUMBER, grant_record, last_generation),
            COLUMN(COLUMN_NUMBER, grant_record, replace_through),
            COLUMN(COLUMN_NUMBER, grant_record, held_at),
            COLUMN(COLUMN_NUMBER, grant_record, created_at),
            COLUMN(COLUMN_NUMBER, grant_record, ended_at),
            COLUMN_OF_WORDS(grant_record, on_stop, fate_name, fate_parse),
            COLUMN_OF_WORDS(grant_record, on_save, fate_name, fate_parse),
            COLUMN_OF_WORDS(grant_record, over_budget, fate_name, fate_parse),
            COLUMN(COLUMN_NUMBER, grant_record, replace_at),
            COLUMN(COLUMN_NUMBER, grant_record, hurry_through),
            COLUMN(COLUMN_TEXT, grant_record, owner),
        },
    .columns_count = 18,
};

bool ledger_save_grant(struct ledger *ledger, struct grant_record *record, struct error *err)
{
    return table_save(ledger, &grants, record, err);
}

struct walk {
    ledger_grant_fn *callback;
    void *context;
};

static bool visit(void *context, const void *record, struct error *err)
{
    const struct walk *walk = context;
    return walk->callback(walk->context, record, err);
}

bool ledger_each_live_grant(struct ledger *ledger, ledger_grant_fn *callback, void *context, struct error *err)
{
    struct walk walk = {callback, context};
    struct grant_record record;
    return table_each(ledger, &grants, "SELECT id, " COLUMNS " FROM grants WHERE ended_at = 0 ORDER BY id", &record, visit,
                      &walk, err);
}

bool ledger_find_grant(struct ledger *ledger, const char *domain, const char *provider, struct grant_record *ret_record,
                       struct error *err)
{
    cleanup_statement struct statement *statement = NULL;
    bool row;
    if (!statement_take(ledger->database, "find grant",
                        "SELECT id, " COLUMNS " FROM grants WHERE domain = $1 AND provider = $2", &statement, err))
        return false;
    statement_bind_text(statement, 1, domain, RECORD_UUID_SIZE);
    statement_bind_text(statement, 2, provider, POLICY_PROVIDER_SIZE);
    if (!statement_step(statement, &row, err))
        return false;
    if (!row)
        return error_set(err, ERROR_NOT_FOUND, "find grant: %s never had one of %s", domain, provider);
    return table_read(&grants, statement, ret_record, err);
}
