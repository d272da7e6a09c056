/* Keys that an operator made beforehand, each claimed once. */
#include "ledger/ledger.h"
#include "ledger/table.h"

#include <inttypes.h>
#include <string.h>

static const char *state_name(int state)
{
    return pool_state_name((enum pool_state)state);
}

static bool state_parse(const char *name, int *ret_state)
{
    enum pool_state state = POOL_FREE;
    bool known = pool_state_parse(name, &state);
    *ret_state = (int)state;
    return known;
}

#define COLUMNS "provider, remote_id, hint, fingerprint, state, key_id, added_at, claimed_at"

static const struct table pool = {
    .save = "add to the pool",
    .read = "read the pool",
    .identity = "provider and remote id",
    .insert = "INSERT INTO pool (" COLUMNS ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id",
    .record_size = sizeof(struct pool_record),
    .columns =
        {
            COLUMN(COLUMN_TEXT, pool_record, provider),
            COLUMN(COLUMN_TEXT, pool_record, remote_id),
            COLUMN(COLUMN_TEXT, pool_record, hint),
            COLUMN(COLUMN_TEXT, pool_record, fingerprint),
            COLUMN_OF_WORDS(pool_record, state, state_name, state_parse),
            COLUMN(COLUMN_REFERENCE, pool_record, key_id),
            COLUMN(COLUMN_NUMBER, pool_record, added_at),
            COLUMN(COLUMN_NUMBER, pool_record, claimed_at),
        },
    .columns_count = 8,
};

bool ledger_pool_add(struct ledger *ledger, struct pool_record *record, const unsigned char *sealed, size_t length,
                     struct error *err)
{
    bool own;
    record->id = 0; /* one is only ever added */
    record->state = POOL_FREE;
    record->key_id = record->claimed_at = 0;
    return unit_begin(ledger, pool.save, &own, err) &&
           unit_end(ledger, own,
                    table_save(ledger, &pool, record, err) && secrets_put_of_pool(ledger, record->id, sealed, length, err), err);
}

struct walk {
    const char *provider;
    ledger_pool_fn *callback;
    void *context;
};

static bool visit(void *context, const void *record, struct error *err)
{
    const struct walk *walk = context;
    const struct pool_record *pooled = record;
    if (walk->provider && strcmp(walk->provider, pooled->provider) != 0)
        return true;
    return walk->callback(walk->context, pooled, err);
}

bool ledger_pool_each(struct ledger *ledger, const char *provider, ledger_pool_fn *callback, void *context, struct error *err)
{
    struct walk walk = {provider, callback, context};
    struct pool_record record;
    return table_each(ledger, &pool, "SELECT id, " COLUMNS " FROM pool ORDER BY id", &record, visit, &walk, err);
}

static bool remove_row(struct ledger *ledger, int64_t id, struct error *err)
{
    cleanup_statement struct statement *look = NULL, *statement = NULL;
    bool found;
    int64_t is_free;
    if (!statement_take(ledger->database, "remove from the pool", "SELECT state = 'free' FROM pool WHERE id = $1", &look, err))
        return false;
    statement_bind_number(look, 1, id);
    if (!statement_run(look, &found, &is_free, err))
        return false;
    if (!found)
        return error_set(err, ERROR_NOT_FOUND, "remove from the pool: there is no %" PRId64, id);
    if (!is_free)
        return error_set(err, ERROR_BUSY, "remove from the pool: %" PRId64 " is or was a domain's", id);
    if (!ledger_pool_erase_secret(ledger, id, err) ||
        !statement_take(ledger->database, "remove from the pool", "DELETE FROM pool WHERE id = $1", &statement, err))
        return false;
    statement_bind_number(statement, 1, id);
    return statement_run(statement, NULL, NULL, err);
}

bool ledger_pool_remove(struct ledger *ledger, int64_t id, struct error *err)
{
    bool own;
    return unit_begin(ledger, "remove from the pool", &own, err) && unit_end(ledger, own, remove_row(ledger, id, err), err);
}

bool ledger_pool_count_free(struct ledger *ledger, const char *provider, int64_t *ret_count, struct error *err)
{
    cleanup_statement struct statement *statement = NULL;
    if (!statement_take(ledger->database, "read the pool", "SELECT count(*) FROM pool WHERE provider = $1 AND state = 'free'",
                        &statement, err))
        return false;
    statement_bind_text(statement, 1, provider, POLICY_PROVIDER_SIZE);
    return statement_run(statement, NULL, ret_count, err);
}

static bool claim(struct ledger *ledger, const char *provider, int64_t key_id, int64_t wall, struct pool_record *ret_record,
                  struct error *err)
{
    static const char sql[] = "UPDATE pool SET state = 'claimed', key_id = $2, claimed_at = $3 WHERE id ="
                              " (SELECT id FROM pool WHERE provider = $1 AND state = 'free' ORDER BY id LIMIT 1)"
                              " RETURNING id, " COLUMNS;
    cleanup_statement struct statement *statement = NULL;
    bool row;
    if (!statement_take(ledger->database, "claim from the pool", sql, &statement, err))
        return false;
    statement_bind_text(statement, 1, provider, POLICY_PROVIDER_SIZE);
    statement_bind_number(statement, 2, key_id);
    statement_bind_number(statement, 3, wall);
    if (!statement_step(statement, &row, err))
        return false;
    if (!row)
        return error_set(err, ERROR_NOT_FOUND, "claim from the pool: no key of %s is free", provider);
    return table_read(&pool, statement, ret_record, err) && statement_run(statement, NULL, NULL, err);
}

bool ledger_pool_claim(struct ledger *ledger, const char *provider, int64_t key_id, int64_t wall, struct pool_record *ret_record,
                       struct error *err)
{
    bool own;
    return unit_begin(ledger, "claim from the pool", &own, err) &&
           unit_end(ledger, own, claim(ledger, provider, key_id, wall, ret_record, err), err);
}

static bool spend(struct ledger *ledger, int64_t key_id, struct error *err)
{
    cleanup_statement struct statement *statement = NULL;
    if (!statement_take(ledger->database, "spend from the pool",
                        "UPDATE pool SET state = 'spent' WHERE key_id = $1 AND state = 'claimed'", &statement, err))
        return false;
    statement_bind_number(statement, 1, key_id);
    return statement_run(statement, NULL, NULL, err);
}

bool ledger_pool_spend(struct ledger *ledger, int64_t key_id, struct error *err)
{
    bool own;
    return unit_begin(ledger, "spend from the pool", &own, err) && unit_end(ledger, own, spend(ledger, key_id, err), err);
}
