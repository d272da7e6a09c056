#include "ledger/ledger.h"

#include "base/failpoint.h"
#include "ledger/place.h"
#include "ledger/schema.h"
#include "ledger/unit.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Whatever is wrong with the file, it is never written over: what it knows may be all that leads to living keys. */
static bool refuse(const char *path, const struct database *database, bool checked, struct error *err)
{
    if (!err)
        return false;
    struct error why = *err;
    if (database_is_foreign(database))
        return error_set(err, ERROR_INVALID, "%s is not a ledger: %s", path, why.text);
    if (checked || database_is_damaged(database))
        return error_set(err, ERROR_IO, "ledger %s is damaged (%s): restore it, or move it and its -wal file aside and run "
                                        "`llmhook audit`, which finds the keys it knew", path, why.text);
    return strstr(why.text, path) ? false : error_prefix(err, "ledger %s", path);
}

static bool create(const char *path, struct error *err)
{
    char new_path[PATH_MAX];
    struct database *database = NULL;
    if (!place_begin(path, new_path, sizeof new_path, err))
        return false;
    bool ok = database_open(new_path, true, &database, err) && database_start(database, err) &&
              schema_migrate(database, 0, err) && database_checkpoint(database, err);
    database_close(database); /* the last connection: its WAL is gone with it */
    ok = ok && place_finish(path, new_path, err);
    return ok || error_prefix(err, "make ledger %s", path);
}

static bool open_database(const char *path, struct database **ret_database, struct error *err)
{
    struct database *database = NULL;
    struct error inner = ERROR_INIT;
    int64_t version;
    bool checked = false;
    if (!database_open(path, false, &database, &inner))
        return error_set(err, inner.code, "ledger %s: %s", path, inner.text);
    bool ok = schema_identify(database, path, &version, &inner);
    if (ok) { /* before the first that may write: to keep a write-ahead log is a note in the file */
        ok = schema_check(database, &inner);
        checked = !ok && inner.code == ERROR_IO;
    }
    ok = ok && database_start(database, &inner) && (version == LEDGER_SCHEMA || schema_migrate(database, version, &inner));
    if (!ok) {
        refuse(path, database, checked, &inner);
        database_close(database);
        return error_set(err, inner.code, "%s", inner.text);
    }
    *ret_database = database;
    return true;
}

bool ledger_open(const char *path, struct ledger **ret_ledger, struct error *err)
{
    struct ledger *ledger = calloc(1, sizeof *ledger);
    if (!ledger)
        return error_set(err, ERROR_IO, "open ledger: out of memory");
    if (!place_prepare(path, err) || !place_lock(path, &ledger->lock, err)) {
        free(ledger);
        return false;
    }
    bool there;
    bool ok = place_look(path, &there, err) && (there || create(path, err)) &&
              open_database(path, &ledger->database, err);
    if (!ok) {
        place_unlock(ledger->lock);
        free(ledger);
        return false;
    }
    ledger->unwritten = true; /* of an earlier run, perhaps */
    *ret_ledger = ledger;
    return true;
}

void ledger_close(struct ledger *ledger)
{
    if (!ledger)
        return;
    ledger_rollback(ledger);
    ledger_checkpoint(ledger, NULL);
    database_close(ledger->database);
    place_unlock(ledger->lock);
    free(ledger);
}

bool ledger_begin(struct ledger *ledger, struct error *err)
{
    if (ledger->transaction)
        return error_set(err, ERROR_INVALID, "begin: a transaction is open already");
    /* IMMEDIATE: whoever is in the way is met here, before anything was written. */
    if (!database_execute(ledger->database, "begin", "BEGIN IMMEDIATE", err))
        return false;
    ledger->transaction = true;
    ledger->failure = (struct error)ERROR_INIT;
    return true;
}

bool ledger_commit(struct ledger *ledger, struct error *err)
{
    if (!ledger->transaction)
        return error_set(err, ERROR_INVALID, "commit: no transaction is open");
    if (ledger->failure.code != ERROR_NONE) {
        error_set(err, ledger->failure.code, "commit: rolled back, because an earlier step failed: %.400s",
                  ledger->failure.text);
        ledger_rollback(ledger);
        return false;
    }
    if (!database_execute(ledger->database, "commit", "COMMIT", err)) {
        ledger_rollback(ledger);
        return false;
    }
    ledger->transaction = false;
    ledger->unwritten = true;
    return true;
}

void ledger_rollback(struct ledger *ledger)
{
    /* After a full disk SQLite has done so itself. */
    if (ledger->transaction && database_in_transaction(ledger->database))
        database_execute(ledger->database, "rollback", "ROLLBACK", NULL);
    ledger->transaction = false;
}

bool ledger_checkpoint(struct ledger *ledger, struct error *err)
{
    if (ledger->transaction)
        return error_set(err, ERROR_INVALID, "checkpoint: a transaction is open");
    if (!ledger->unwritten)
        return true;
    FAILPOINT("checkpoint", "committing");
    if (!database_checkpoint(ledger->database, err))
        return false;
    FAILPOINT("checkpoint", "committed");
    ledger->unwritten = false;
    return true;
}

bool unit_begin(struct ledger *ledger, const char *operation, bool *ret_own, struct error *err)
{
    *ret_own = !ledger->transaction;
    if (*ret_own)
        return ledger_begin(ledger, err) || error_prefix(err, "%s", operation);
    /* A read that met a bad disk makes SQLite roll back: what follows must not be committed one by one. */
    if (ledger->failure.code == ERROR_NONE && !database_in_transaction(ledger->database))
        error_set(&ledger->failure, ERROR_IO, "the database has rolled back");
    if (ledger->failure.code != ERROR_NONE)
        return error_set(err, ledger->failure.code, "%s: an earlier step of this transaction failed: %.400s", operation,
                         ledger->failure.text);
    return true;
}

bool unit_end(struct ledger *ledger, bool own, bool ok, struct error *err)
{
    if (own && ok)
        return ledger_commit(ledger, err);
    if (own)
        ledger_rollback(ledger);
    else if (!ok)
        error_set(&ledger->failure, err ? err->code : ERROR_IO, "%s", err ? err->text : "a write");
    return ok;
}

bool ledger_get_text(struct ledger *ledger, const char *name, char *ret_text, size_t size, struct error *err)
{
    cleanup_statement struct statement *statement = NULL;
    bool row;
    if (!statement_take(ledger->database, "get text", "SELECT text FROM texts WHERE name = $1", &statement, err))
        return false;
    statement_bind_text(statement, 1, name, strlen(name) + 1);
    if (!statement_step(statement, &row, err))
        return false;
    if (!row)
        return error_set(err, ERROR_NOT_FOUND, "get text: there is no '%s'", name);
    return statement_text(statement, 0, ret_text, size, err);
}

static bool set_text(struct ledger *ledger, const char *name, const char *text, struct error *err)
{
    cleanup_statement struct statement *statement = NULL;
    if (!statement_take(ledger->database, "set text",
                        "INSERT INTO texts (name, text) VALUES ($1, $2)"
                        " ON CONFLICT (name) DO UPDATE SET text = excluded.text",
                        &statement, err))
        return false;
    statement_bind_text(statement, 1, name, strlen(name) + 1);
    statement_bind_text(statement, 2, text, strlen(text) + 1);
    return statement_run(statement, NULL, NULL, err);
}

bool ledger_set_text(struct ledger *ledger, const char *name, const char *text, struct error *err)
{
    bool own;
    return unit_begin(ledger, "set text", &own, err) && unit_end(ledger, own, set_text(ledger, name, text, err), err);
}
