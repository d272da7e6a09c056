/* Records as rows. A table says which member stands in which column; the SQL stays where it can be read, in the file
 * of its record. */
#ifndef LLMHOOK_LEDGER_TABLE_H
#define LLMHOOK_LEDGER_TABLE_H

#include "ledger/database.h"
#include "ledger/unit.h"

#include <stddef.h>

enum { TABLE_COLUMNS_MAX = 24, TABLE_WORD_SIZE = 32 };

enum column_type {
    COLUMN_NUMBER,    /* int64_t */
    COLUMN_REFERENCE, /* int64_t, 0 is NULL */
    COLUMN_FLAG,      /* bool */
    COLUMN_TEXT,      /* char[] */
    COLUMN_WORD,      /* an enum by its name */
};

struct column {
    enum column_type type;
    size_t offset, size;
    const char *(*name)(int value);                /* COLUMN_WORD */
    bool (*parse)(const char *name, int *ret_value); /* COLUMN_WORD */
};

#define COLUMN(type, record, member) {type, offsetof(struct record, member), sizeof(((struct record *)NULL)->member), NULL, NULL}
#define COLUMN_OF_WORDS(record, member, name, parse) \
    {COLUMN_WORD, offsetof(struct record, member), sizeof(((struct record *)NULL)->member), name, parse}

/* A record's first member is its id. Column N of COLUMNS is $N+1 in INSERT and UPDATE, and N+1 in what is selected,
 * behind the id; UPDATE has the id as one placeholder more. Both return the id. */
struct table {
    const char *save, *read; /* "save key", "read keys": what error texts begin with */
    const char *identity;    /* what never changes, in words */
    const char *insert, *update;
    size_t record_size;
    struct column columns[TABLE_COLUMNS_MAX];
    size_t columns_count;
};

/* Inserts when RECORD's id is 0, and then sets it; else updates that row, ERROR_NOT_FOUND when there is none. */
bool table_save(struct ledger *ledger, const struct table *table, void *record, struct error *err);
/* Reads the row on which STATEMENT stands into RET_RECORD. ERROR_IO: it holds what was never written. */
bool table_read(const struct table *table, struct statement *statement, void *ret_record, struct error *err);
typedef bool table_fn(void *context, const void *record, struct error *err);
/* Reads each row that SELECT, which has no placeholders, finds into RECORD and calls CALLBACK with it. */
bool table_each(struct ledger *ledger, const struct table *table, const char *select, void *record, table_fn *callback,
                void *context, struct error *err);

#endif
