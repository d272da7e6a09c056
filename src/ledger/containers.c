#include "ledger/ledger.h"
#include "ledger/table.h"

static const char *kind_name(int kind)
{
    return container_kind_name((enum container_kind)kind);
}

static bool kind_parse(const char *name, int *ret_kind)
{
    enum container_kind kind;
    bool known = container_kind_parse(name, &kind);
    *ret_kind = known ? (int)kind : 0;
    return known;
}

static const char *state_name(int state)
{
    return container_state_name((enum container_state)state);
}

static bool state_parse(const char *name, int *ret_state)
{
    enum container_state state;
    bool known = container_state_parse(name, &state);
    *ret_state = known ? (int)state : 0;
    return known;
}

#define COLUMNS                                                                                            \
    "provider, kind, subject, state, unknown, name, remote_id, limit_set, rates_set, attempts, last_error," \
    " created_at, archived_at"

/* What it is for is in the UPDATE's WHERE, not in its SET: it does not change. */
static const struct table containers = {
    .save = "save container",
    .read = "read containers",
    .identity = "provider, kind and subject",
    .insert = "INSERT INTO containers (" COLUMNS ")"
              " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) RETURNING id",
    .update = "UPDATE containers SET state = $4, unknown = $5, name = $6, remote_id = $7, limit_set = $8, rates_set = $9,"
              " attempts = $10, last_error = $11, created_at = $12, archived_at = $13"
              " WHERE id = $14 AND provider = $1 AND kind = $2 AND subject = $3 RETURNING id",
    .record_size = sizeof(struct container_record),
    .columns =
        {
            COLUMN(COLUMN_TEXT, container_record, provider),
            COLUMN_OF_WORDS(container_record, kind, kind_name, kind_parse),
            COLUMN(COLUMN_TEXT, container_record, subject),
            COLUMN_OF_WORDS(container_record, state, state_name, state_parse),
            COLUMN(COLUMN_FLAG, container_record, unknown),
            COLUMN(COLUMN_TEXT, container_record, name),
            COLUMN(COLUMN_TEXT, container_record, remote_id),
            COLUMN(COLUMN_NUMBER, container_record, limit_set),
            COLUMN(COLUMN_TEXT, container_record, rates_set),
            COLUMN(COLUMN_NUMBER, container_record, attempts),
            COLUMN(COLUMN_TEXT, container_record, last_error),
            COLUMN(COLUMN_NUMBER, container_record, created_at),
            COLUMN(COLUMN_NUMBER, container_record, archived_at),
        },
    .columns_count = 13,
};

bool ledger_save_container(struct ledger *ledger, struct container_record *record, struct error *err)
{
    return table_save(ledger, &containers, record, err);
}

struct walk {
    ledger_container_fn *callback;
    void *context;
};

static bool visit(void *context, const void *record, struct error *err)
{
    const struct walk *walk = context;
    return walk->callback(walk->context, record, err);
}

bool ledger_each_live_container(struct ledger *ledger, ledger_container_fn *callback, void *context, struct error *err)
{
    struct walk walk = {callback, context};
    struct container_record record;
    return table_each(ledger, &containers,
                      "SELECT id, " COLUMNS " FROM containers WHERE state <> 'archived' ORDER BY id", &record, visit,
                      &walk, err);
}
