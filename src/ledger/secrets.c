/* Sealed secrets.
 *
 * secure_delete wipes what is deleted, but not the copies that SQLite makes of it: when rows come and go, it moves their
 * neighbours to other pages, and the old place of a row that was moved is not wiped. So nothing may ever move: rows
 * of `sealed` are appended, never deleted and never change their length; a secret is erased by zeros in its place, and
 * the place is used again for the next secret of that length. Lengths are few, since a provider's keys are alike. */
#include "ledger/ledger.h"
#include "ledger/unit.h"

#include <inttypes.h>
#include <stdlib.h>

struct place {
    int64_t id; /* 0: none */
    int64_t length;
};

/* Whose secret it is: a key's, or that of one in the pool. */
enum whose { OF_KEY, OF_POOL };
struct owner {
    enum whose whose;
    int64_t id;
};

/* The place of its secret; its id is 0 when there is none. */
static bool find_place(struct ledger *ledger, const char *operation, struct owner owner, struct place *ret_place,
                       struct error *err)
{
    static const char *const sql[] = {[OF_KEY] = "SELECT id, length FROM secrets WHERE key_id = $1",
                                      [OF_POOL] = "SELECT id, length FROM secrets WHERE pool_id = $1"};
    cleanup_statement struct statement *statement = NULL;
    bool row;
    if (!statement_take(ledger->database, operation, sql[owner.whose], &statement, err))
        return false;
    statement_bind_number(statement, 1, owner.id);
    if (!statement_step(statement, &row, err))
        return false;
    *ret_place = row ? (struct place){statement_number(statement, 0), statement_number(statement, 1)} : (struct place){0, 0};
    return true;
}

static bool find_free(struct ledger *ledger, int64_t length, int64_t *ret_id, struct error *err)
{
    cleanup_statement struct statement *statement = NULL;
    *ret_id = 0;
    if (!statement_take(ledger->database, "put secret",
                        "SELECT id FROM secrets WHERE key_id IS NULL AND pool_id IS NULL AND length = $1 LIMIT 1", &statement,
                        err))
        return false;
    statement_bind_number(statement, 1, length);
    return statement_run(statement, NULL, ret_id, err);
}

static bool overwrite(struct ledger *ledger, const char *operation, int64_t id, const unsigned char *bytes, size_t length,
                      struct error *err)
{
    cleanup_statement struct statement *statement = NULL;
    if (!statement_take(ledger->database, operation, "UPDATE sealed SET bytes = $1 WHERE id = $2", &statement, err))
        return false;
    statement_bind_blob(statement, 1, bytes, length);
    statement_bind_number(statement, 2, id);
    return statement_run(statement, NULL, NULL, err);
}

static bool append(struct ledger *ledger, const unsigned char *bytes, size_t length, int64_t *ret_id, struct error *err)
{
    cleanup_statement struct statement *statement = NULL;
    if (!statement_take(ledger->database, "put secret", "INSERT INTO sealed (bytes) VALUES ($1) RETURNING id", &statement,
                        err))
        return false;
    statement_bind_blob(statement, 1, bytes, length);
    return statement_run(statement, NULL, ret_id, err);
}

/* OWNER's id 0: the place is free. */
static bool assign(struct ledger *ledger, const char *operation, struct place place, struct owner owner, struct error *err)
{
    cleanup_statement struct statement *statement = NULL;
    if (!statement_take(ledger->database, operation,
                        "INSERT INTO secrets (id, length, key_id, pool_id) VALUES ($1, $2, $3, $4)"
                        " ON CONFLICT (id) DO UPDATE SET key_id = excluded.key_id, pool_id = excluded.pool_id",
                        &statement, err))
        return false;
    statement_bind_number(statement, 1, place.id);
    statement_bind_number(statement, 2, place.length);
    statement_bind_reference(statement, 3, owner.whose == OF_KEY ? owner.id : 0);
    statement_bind_reference(statement, 4, owner.whose == OF_POOL ? owner.id : 0);
    return statement_run(statement, NULL, NULL, err);
}

static bool erase(struct ledger *ledger, const char *operation, struct place place, struct error *err)
{
    unsigned char *zeros = calloc(1, (size_t)place.length);
    if (!zeros)
        return error_set(err, ERROR_IO, "%s: out of memory", operation);
    bool ok = overwrite(ledger, operation, place.id, zeros, (size_t)place.length, err) &&
              assign(ledger, operation, place, (struct owner){OF_KEY, 0}, err);
    free(zeros);
    return ok;
}

static bool put(struct ledger *ledger, struct owner owner, const unsigned char *sealed, size_t length, struct error *err)
{
    struct place before, place = {.length = (int64_t)length};
    if (!find_place(ledger, "put secret", owner, &before, err) ||
        (before.id && !erase(ledger, "put secret", before, err)) || !find_free(ledger, place.length, &place.id, err))
        return false;
    bool ok = place.id ? overwrite(ledger, "put secret", place.id, sealed, length, err)
                       : append(ledger, sealed, length, &place.id, err);
    return ok && assign(ledger, "put secret", place, owner, err);
}

static bool get(struct ledger *ledger, struct owner owner, unsigned char **ret_sealed, size_t *ret_length, struct error *err)
{
    static const char *const sql[] = {
        [OF_KEY] = "SELECT sealed.bytes FROM secrets JOIN sealed ON sealed.id = secrets.id WHERE secrets.key_id = $1",
        [OF_POOL] = "SELECT sealed.bytes FROM secrets JOIN sealed ON sealed.id = secrets.id WHERE secrets.pool_id = $1"};
    cleanup_statement struct statement *statement = NULL;
    bool row;
    if (!statement_take(ledger->database, "get secret", sql[owner.whose], &statement, err))
        return false;
    statement_bind_number(statement, 1, owner.id);
    if (!statement_step(statement, &row, err))
        return false;
    if (!row)
        return error_set(err, ERROR_NOT_FOUND, "get secret: there is none of %s %" PRId64,
                         owner.whose == OF_KEY ? "key" : "pool row",
                         owner.id);
    return statement_blob(statement, 0, ret_sealed, ret_length, err);
}

static bool drop(struct ledger *ledger, struct owner owner, struct error *err)
{
    struct place place;
    return find_place(ledger, "erase secret", owner, &place, err) && (!place.id || erase(ledger, "erase secret", place, err));
}

bool ledger_put_secret(struct ledger *ledger, int64_t key_id, const unsigned char *sealed, size_t length,
                       struct error *err)
{
    bool own;
    return unit_begin(ledger, "put secret", &own, err) &&
           unit_end(ledger, own, put(ledger, (struct owner){OF_KEY, key_id}, sealed, length, err), err);
}

bool ledger_get_secret(struct ledger *ledger, int64_t key_id, unsigned char **ret_sealed, size_t *ret_length,
                       struct error *err)
{
    return get(ledger, (struct owner){OF_KEY, key_id}, ret_sealed, ret_length, err);
}

bool ledger_erase_secret(struct ledger *ledger, int64_t key_id, struct error *err)
{
    bool own;
    return unit_begin(ledger, "erase secret", &own, err) &&
           unit_end(ledger, own, drop(ledger, (struct owner){OF_KEY, key_id}, err), err);
}

bool secrets_put_of_pool(struct ledger *ledger, int64_t pool_id, const unsigned char *sealed, size_t length, struct error *err)
{
    return put(ledger, (struct owner){OF_POOL, pool_id}, sealed, length, err);
}

bool ledger_pool_secret(struct ledger *ledger, int64_t id, unsigned char **ret_sealed, size_t *ret_length, struct error *err)
{
    return get(ledger, (struct owner){OF_POOL, id}, ret_sealed, ret_length, err);
}

bool ledger_pool_erase_secret(struct ledger *ledger, int64_t id, struct error *err)
{
    bool own;
    return unit_begin(ledger, "erase secret", &own, err) &&
           unit_end(ledger, own, drop(ledger, (struct owner){OF_POOL, id}, err), err);
}
