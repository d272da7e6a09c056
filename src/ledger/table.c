#include "ledger/table.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

static int64_t id_of(const void *record)
{
    int64_t id;
    memcpy(&id, record, sizeof id);
    return id;
}

/* Enums of ours have the size of an int. */
static int word_of(const struct column *column, const void *member)
{
    int value;
    assert(column->size == sizeof value);
    memcpy(&value, member, sizeof value);
    return value;
}

static void bind(struct statement *statement, const struct table *table, const void *record)
{
    for (size_t i = 0; i < table->columns_count; i++) {
        const struct column *column = &table->columns[i];
        const void *member = (const char *)record + column->offset;
        int placeholder = (int)i + 1;
        switch (column->type) {
        case COLUMN_NUMBER:
            statement_bind_number(statement, placeholder, *(const int64_t *)member);
            break;
        case COLUMN_REFERENCE:
            statement_bind_reference(statement, placeholder, *(const int64_t *)member);
            break;
        case COLUMN_FLAG:
            statement_bind_number(statement, placeholder, *(const bool *)member);
            break;
        case COLUMN_TEXT:
            statement_bind_text(statement, placeholder, member, column->size);
            break;
        case COLUMN_WORD: {
            const char *name = column->name(word_of(column, member));
            statement_bind_text(statement, placeholder, name, strlen(name) + 1);
            break;
        }
        }
    }
}

static bool save_row(struct ledger *ledger, const struct table *table, const void *record, int64_t *ret_id,
                     struct error *err)
{
    cleanup_statement struct statement *statement = NULL;
    int64_t id = id_of(record);
    bool found;
    if (!statement_take(ledger->database, table->save, id ? table->update : table->insert, &statement, err))
        return false;
    bind(statement, table, record);
    if (id)
        statement_bind_number(statement, (int)table->columns_count + 1, id);
    if (!statement_run(statement, &found, ret_id, err))
        return false;
    return found || error_set(err, ERROR_NOT_FOUND, "%s: there is no %" PRId64 " of this %s", table->save, id, table->identity);
}

bool table_save(struct ledger *ledger, const struct table *table, void *record, struct error *err)
{
    int64_t id;
    bool own;
    if (!unit_begin(ledger, table->save, &own, err))
        return false;
    bool ok = save_row(ledger, table, record, &id, err);
    if (!unit_end(ledger, own, ok, err))
        return false;
    memcpy(record, &id, sizeof id);
    return true;
}

static bool read_word(const struct table *table, struct statement *statement, const struct column *column, int number,
                      void *member, struct error *err)
{
    char name[TABLE_WORD_SIZE];
    int value;
    if (!statement_text(statement, number, name, sizeof name, err))
        return false;
    if (!column->parse(name, &value))
        return error_set(err, ERROR_IO, "%s: %" PRId64 " is of a kind or in a state that is not known", table->read,
                         statement_number(statement, 0));
    memcpy(member, &value, sizeof value);
    return true;
}

bool table_read(const struct table *table, struct statement *statement, void *ret_record, struct error *err)
{
    memset(ret_record, 0, table->record_size);
    *(int64_t *)ret_record = statement_number(statement, 0);
    for (size_t i = 0; i < table->columns_count; i++) {
        const struct column *column = &table->columns[i];
        void *member = (char *)ret_record + column->offset;
        int number = (int)i + 1;
        bool ok = true;
        switch (column->type) {
        case COLUMN_NUMBER:
        case COLUMN_REFERENCE:
            *(int64_t *)member = statement_number(statement, number);
            break;
        case COLUMN_FLAG:
            *(bool *)member = statement_number(statement, number) != 0;
            break;
        case COLUMN_TEXT:
            ok = statement_text(statement, number, member, column->size, err);
            break;
        case COLUMN_WORD:
            ok = read_word(table, statement, column, number, member, err);
            break;
        }
        if (!ok)
            return false;
    }
    return true;
}

bool table_each(struct ledger *ledger, const struct table *table, const char *select, void *record, table_fn *callback,
                void *context, struct error *err)
{
    cleanup_statement struct statement *statement = NULL;
    if (!statement_take(ledger->database, table->read, select, &statement, err))
        return false;
    for (bool row;;) {
        if (!statement_step(statement, &row, err))
            return false;
        if (!row)
            return true;
        if (!table_read(table, statement, record, err) || !callback(context, record, err))
            return false;
    }
}
