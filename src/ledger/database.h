/* SQLite behind a few calls that say which operation failed. database.c is the only file that includes sqlite3.h.
 *
 * Statements are prepared once, kept, and found again by the address of their text: pass string literals. There is no limit to
 * how many a program has: one that was reached would be noticed by whoever needs the last of them, and then for good. */
#ifndef LLMHOOK_LEDGER_DATABASE_H
#define LLMHOOK_LEDGER_DATABASE_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct database;
struct statement;

/* Opens an existing file, or makes one (CREATE), with all our settings; reads nothing of it yet. Owner: the caller. */
bool database_open(const char *path, bool create, struct database **ret_database, struct error *err);
/* Rolls back what is open. NULL is fine. */
void database_close(struct database *database);

/* WAL and synchronous=FULL; the first thing that touches the file's content. */
bool database_start(struct database *database, struct error *err);

/* Several statements without placeholders, kept nowhere. */
bool database_script(struct database *database, const char *operation, const char *sql, struct error *err);
/* One statement without placeholders, prepared and kept. */
bool database_execute(struct database *database, const char *operation, const char *sql, struct error *err);
/* The first column of the first row of a pragma; ERROR_NOT_FOUND without a row. */
bool database_pragma_number(struct database *database, const char *sql, int64_t *ret_number, struct error *err);
bool database_pragma_text(struct database *database, const char *sql, char *ret_text, size_t size, struct error *err);

/* False as well when SQLite rolled back by itself after a failure. */
bool database_in_transaction(struct database *database);
/* Whether the last failed call found the file damaged, or not to be a database at all. */
bool database_is_damaged(const struct database *database);
bool database_is_foreign(const struct database *database);
/* Moves the whole WAL into the file and empties it. ERROR_BUSY: a reader is in the way. */
bool database_checkpoint(struct database *database, struct error *err);

/* Borrows a kept statement, or prepares it; the same one may be borrowed twice at a time (a walk in a walk). OPERATION is
 * what error texts begin with. Give it back with statement_release(); NULL is fine there. */
bool statement_take(struct database *database, const char *operation, const char *sql, struct statement **ret_statement,
                    struct error *err);
void statement_release(struct statement *statement);

/* Values for $PLACEHOLDER. Texts and blobs are not copied: they must stay until release. SIZE: of the array that holds
 * the text; one without a NUL in it is refused. A failure is kept and shows at the next step. */
void statement_bind_number(struct statement *statement, int placeholder, int64_t number);
/* 0 becomes NULL: "none", which a foreign key lets through. */
void statement_bind_reference(struct statement *statement, int placeholder, int64_t id);
void statement_bind_text(struct statement *statement, int placeholder, const char *text, size_t size);
void statement_bind_blob(struct statement *statement, int placeholder, const void *bytes, size_t length);

/* One row further. *RET_ROW false: there is none any more, and the statement is done. */
bool statement_step(struct statement *statement, bool *ret_row, struct error *err);
/* To the end. *RET_FOUND (may be NULL): whether there was a row; *RET_NUMBER (may be NULL): the first row's first column. */
bool statement_run(struct statement *statement, bool *ret_found, int64_t *ret_number, struct error *err);

/* Of the row that the last step found, columns from 0. */
int64_t statement_number(struct statement *statement, int column);
/* ERROR_IO when it does not fit: nothing that we wrote could. */
bool statement_text(struct statement *statement, int column, char *ret_text, size_t size, struct error *err);
/* Allocates. */
bool statement_blob(struct statement *statement, int column, unsigned char **ret_bytes, size_t *ret_length,
                    struct error *err);

static inline void cleanup_statement_pointer(struct statement **statement)
{
    statement_release(*statement);
}
#define cleanup_statement __attribute__((cleanup(cleanup_statement_pointer)))

#endif
