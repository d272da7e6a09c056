#include "ledger/database.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PLACEHOLDERS_MAX = 24 };

struct statement {
    struct statement *next;
    struct database *database;
    sqlite3_stmt *handle;
    const char *sql;
    const char *operation;
    bool taken;
    int bind_status; /* of the first bind that failed */
    int index[PLACEHOLDERS_MAX + 1]; /* of $1, $2...: SQLite takes them for names, numbered as they appear */
};

struct database {
    sqlite3 *handle;
    int last_failure;
    struct statement *statements; /* as many as the program has: none is ever given up */
};

static enum error_code code_of_status(int status)
{
    switch (status) {
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_ROWID:
        return ERROR_EXISTS;
    case SQLITE_CONSTRAINT_FOREIGNKEY:
        return ERROR_NOT_FOUND;
    default:
        break;
    }
    switch (status & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ERROR_BUSY;
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_NOTADB:
        return ERROR_INVALID;
    case SQLITE_TOOBIG:
    case SQLITE_RANGE:
        return ERROR_LIMIT;
    default:
        return ERROR_IO;
    }
}

/* SQLite's own sentences name tables and columns, never values, so they may be shown. */
static bool fail(struct database *database, int status, const char *operation, struct error *err)
{
    database->last_failure = status;
    const char *sentence = sqlite3_errmsg(database->handle);
    /* A bind can fail without SQLite keeping a sentence for it. */
    if (sqlite3_errcode(database->handle) == SQLITE_OK)
        sentence = sqlite3_errstr(status);
    error_set(err, code_of_status(status), "%s: %s", operation, sentence);
    int errnum = sqlite3_system_errno(database->handle);
    if (((status & 0xff) == SQLITE_IOERR || (status & 0xff) == SQLITE_CANTOPEN) && err) {
        size_t used = strlen(err->text);
        if (errnum)
            snprintf(err->text + used, sizeof err->text - used, " (%s)", strerrordesc_np(errnum));
        else
            snprintf(err->text + used, sizeof err->text - used, " (SQLite code %d)", status);
    }
    return false;
}

bool database_open(const char *path, bool create, struct database **ret_database, struct error *err)
{
    struct database *database = calloc(1, sizeof *database);
    if (!database)
        return error_set(err, ERROR_IO, "open ledger: out of memory");
    int status = sqlite3_open_v2(path, &database->handle, SQLITE_OPEN_READWRITE | (create ? SQLITE_OPEN_CREATE : 0), NULL);
    if (status != SQLITE_OK) {
        if (database->handle)
            fail(database, status, "open ledger", err);
        else
            error_set(err, ERROR_IO, "open ledger: out of memory");
        database_close(database);
        return false;
    }
    sqlite3_extended_result_codes(database->handle, 1);
    /* A schema that somebody altered must not be able to do more than ours: no functions with side effects in it, no
     * writing to SQLite's own tables, no strings in double quotes. */
    sqlite3_db_config(database->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(database->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(database->handle, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    sqlite3_db_config(database->handle, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    sqlite3_busy_timeout(database->handle, 0); /* the loop's thread must not sleep: the engine comes back instead */
    *ret_database = database;
    return true;
}

void database_close(struct database *database)
{
    if (!database)
        return;
    for (struct statement *statement = database->statements, *next; statement; statement = next) {
        next = statement->next;
        sqlite3_finalize(statement->handle);
        free(statement);
    }
    sqlite3_close(database->handle);
    free(database);
}

bool database_start(struct database *database, struct error *err)
{
    /* temp_store: no temporary files, which would hold rows outside of our folder. */
    static const char settings[] = "PRAGMA foreign_keys = ON;"
                                   "PRAGMA secure_delete = ON;"
                                   "PRAGMA trusted_schema = OFF;"
                                   "PRAGMA cell_size_check = ON;"
                                   "PRAGMA temp_store = MEMORY;"
                                   "PRAGMA synchronous = FULL;";
    char mode[16];
    if (!database_script(database, "set up ledger", settings, err) ||
        !database_pragma_text(database, "PRAGMA journal_mode = WAL", mode, sizeof mode, err))
        return false;
    if (strcmp(mode, "wal") != 0)
        return error_set(err, ERROR_IO, "set up ledger: no write-ahead log can be kept here (journal mode %s): "
                                        "it needs a local file system", mode);
    return true;
}

bool database_script(struct database *database, const char *operation, const char *sql, struct error *err)
{
    int status = sqlite3_exec(database->handle, sql, NULL, NULL, NULL);
    return status == SQLITE_OK || fail(database, status, operation, err);
}

bool database_execute(struct database *database, const char *operation, const char *sql, struct error *err)
{
    cleanup_statement struct statement *statement = NULL;
    return statement_take(database, operation, sql, &statement, err) && statement_run(statement, NULL, NULL, err);
}

bool database_pragma_number(struct database *database, const char *sql, int64_t *ret_number, struct error *err)
{
    char text[32];
    if (!database_pragma_text(database, sql, text, sizeof text, err))
        return false;
    *ret_number = strtoll(text, NULL, 10);
    return true;
}

bool database_pragma_text(struct database *database, const char *sql, char *ret_text, size_t size, struct error *err)
{
    sqlite3_stmt *handle = NULL;
    int status = sqlite3_prepare_v2(database->handle, sql, -1, &handle, NULL);
    if (status == SQLITE_OK)
        status = sqlite3_step(handle);
    bool ok;
    if (status == SQLITE_ROW) {
        const unsigned char *text = sqlite3_column_text(handle, 0);
        snprintf(ret_text, size, "%s", text ? (const char *)text : "");
        ok = true;
    } else if (status == SQLITE_DONE) {
        ok = error_set(err, ERROR_NOT_FOUND, "%s: no answer", sql);
    } else {
        ok = fail(database, status, sql, err);
    }
    sqlite3_finalize(handle);
    return ok;
}

bool database_in_transaction(struct database *database)
{
    return !sqlite3_get_autocommit(database->handle);
}

bool database_is_damaged(const struct database *database)
{
    return (database->last_failure & 0xff) == SQLITE_CORRUPT;
}

bool database_is_foreign(const struct database *database)
{
    return (database->last_failure & 0xff) == SQLITE_NOTADB;
}

bool database_checkpoint(struct database *database, struct error *err)
{
    int status = sqlite3_wal_checkpoint_v2(database->handle, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    return status == SQLITE_OK || fail(database, status, "checkpoint", err);
}

static bool prepare(struct database *database, const char *operation, const char *sql,
                    struct statement **ret_statement, struct error *err)
{
    struct statement *statement = calloc(1, sizeof *statement);
    if (!statement)
        return error_set(err, ERROR_IO, "%s: out of memory", operation);
    int status = sqlite3_prepare_v3(database->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement->handle, NULL);
    if (status != SQLITE_OK) {
        free(statement);
        return fail(database, status, operation, err);
    }
    for (int i = 1; i <= PLACEHOLDERS_MAX; i++) {
        char name[16];
        snprintf(name, sizeof name, "$%d", i);
        statement->index[i] = sqlite3_bind_parameter_index(statement->handle, name);
    }
    statement->database = database;
    statement->sql = sql;
    statement->next = database->statements;
    database->statements = statement;
    *ret_statement = statement;
    return true;
}

bool statement_take(struct database *database, const char *operation, const char *sql, struct statement **ret_statement,
                    struct error *err)
{
    struct statement *statement = database->statements;
    while (statement && (statement->sql != sql || statement->taken))
        statement = statement->next;
    if (!statement && !prepare(database, operation, sql, &statement, err))
        return false;
    statement->operation = operation;
    statement->bind_status = SQLITE_OK;
    statement->taken = true;
    *ret_statement = statement;
    return true;
}

void statement_release(struct statement *statement)
{
    if (!statement)
        return;
    sqlite3_reset(statement->handle); /* repeats an error that the step has told */
    sqlite3_clear_bindings(statement->handle);
    statement->taken = false;
}

static void note(struct statement *statement, int status)
{
    if (statement->bind_status == SQLITE_OK)
        statement->bind_status = status;
}

static int index_of(const struct statement *statement, int placeholder)
{
    /* 0 is no parameter of SQLite's: binding it fails with SQLITE_RANGE. */
    return placeholder >= 1 && placeholder <= PLACEHOLDERS_MAX ? statement->index[placeholder] : 0;
}

void statement_bind_number(struct statement *statement, int placeholder, int64_t number)
{
    note(statement, sqlite3_bind_int64(statement->handle, index_of(statement, placeholder), number));
}

void statement_bind_reference(struct statement *statement, int placeholder, int64_t id)
{
    if (id)
        statement_bind_number(statement, placeholder, id);
    else
        note(statement, sqlite3_bind_null(statement->handle, index_of(statement, placeholder)));
}

void statement_bind_text(struct statement *statement, int placeholder, const char *text, size_t size)
{
    size_t length = strnlen(text, size);
    if (length == size)
        note(statement, SQLITE_TOOBIG);
    else
        note(statement, sqlite3_bind_text64(statement->handle, index_of(statement, placeholder), text, length,
                                            SQLITE_STATIC, SQLITE_UTF8));
}

void statement_bind_blob(struct statement *statement, int placeholder, const void *bytes, size_t length)
{
    note(statement, sqlite3_bind_blob64(statement->handle, index_of(statement, placeholder), bytes, length,
                                        SQLITE_STATIC));
}

bool statement_step(struct statement *statement, bool *ret_row, struct error *err)
{
    if (statement->bind_status != SQLITE_OK)
        return fail(statement->database, statement->bind_status, statement->operation, err);
    int status = sqlite3_step(statement->handle);
    if (status != SQLITE_ROW && status != SQLITE_DONE)
        return fail(statement->database, status, statement->operation, err);
    *ret_row = status == SQLITE_ROW;
    return true;
}

bool statement_run(struct statement *statement, bool *ret_found, int64_t *ret_number, struct error *err)
{
    bool row, found = false;
    int64_t number = 0;
    while (true) {
        if (!statement_step(statement, &row, err))
            return false;
        if (!row)
            break;
        if (!found)
            number = statement_number(statement, 0);
        found = true;
    }
    if (ret_found)
        *ret_found = found;
    if (ret_number && found)
        *ret_number = number;
    return true;
}

int64_t statement_number(struct statement *statement, int column)
{
    return sqlite3_column_int64(statement->handle, column);
}

bool statement_text(struct statement *statement, int column, char *ret_text, size_t size, struct error *err)
{
    const char *text = (const char *)sqlite3_column_text(statement->handle, column);
    size_t length = (size_t)sqlite3_column_bytes(statement->handle, column);
    if (!text || length >= size || memchr(text, '\0', length))
        return error_set(err, ERROR_IO, "%s: column %s holds what was never written there", statement->operation,
                         sqlite3_column_name(statement->handle, column));
    memcpy(ret_text, text, length + 1);
    return true;
}

bool statement_blob(struct statement *statement, int column, unsigned char **ret_bytes, size_t *ret_length,
                    struct error *err)
{
    const void *bytes = sqlite3_column_blob(statement->handle, column);
    size_t length = (size_t)sqlite3_column_bytes(statement->handle, column);
    unsigned char *copy = malloc(length ? length : 1);
    if (!copy || (length && !bytes)) {
        free(copy);
        return error_set(err, ERROR_IO, "%s: out of memory", statement->operation);
    }
    if (length)
        memcpy(copy, bytes, length);
    *ret_bytes = copy;
    *ret_length = length;
    return true;
}
