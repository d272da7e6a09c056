/* The append-only journal.
 *
 * The hash of a line is SHA-256 over the hash of the line before it and all of its fields, each with its length in
 * front, so that no two different lines give the same bytes. A line that names neither provider nor generation is hashed
 * as before schema 2, which had no such fields: so the chain of an older ledger goes on, and its lines fit as they did.
 * Another word in front keeps the two kinds apart. The newest number and hash stand in journal_head as well:
 * the chain alone would not show that its end was cut off. It shows accidents and careless hands; who can write to
 * the file and knows this code can forge a whole chain. */
#include "base/secret.h"
#include "ledger/ledger.h"
#include "ledger/unit.h"

#include <inttypes.h>
#include <stdint.h>
#include <string.h>

enum {
    /* Every field at its longest, four bytes of length each, and the word in front. */
    ENCODED_MAX = 1024,
    TEXTS = 5,
};
_Static_assert(sizeof((struct journal_record *)0)->domain + sizeof((struct journal_record *)0)->event +
                       sizeof((struct journal_record *)0)->cause + sizeof((struct journal_record *)0)->actor +
                       POLICY_PROVIDER_SIZE + RECORD_FINGERPRINT_SIZE + 32 + 5 * 12 + 4 * (TEXTS + 2) <=
                   ENCODED_MAX,
               "a line must fit");

struct encoding {
    unsigned char bytes[ENCODED_MAX];
    size_t length;
};

static void put_bytes(struct encoding *encoding, const void *bytes, size_t length)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        encoding->bytes[encoding->length++] = (unsigned char)(length >> shift);
    memcpy(encoding->bytes + encoding->length, bytes, length);
    encoding->length += length;
}

static void put_number(struct encoding *encoding, int64_t number)
{
    unsigned char bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)((uint64_t)number >> (56 - 8 * i));
    put_bytes(encoding, bytes, sizeof bytes);
}

#define PUT_TEXT(encoding, text) put_bytes(encoding, text, strnlen(text, sizeof(text)))

static void hash_line(const char previous[RECORD_FINGERPRINT_SIZE], const struct journal_record *record,
                      char ret_hash[RECORD_FINGERPRINT_SIZE])
{
    bool of_what = record->provider[0] || record->generation;
    const char *version = of_what ? "llmhook journal 2" : "llmhook journal 1";
    struct encoding encoding = {.length = 0};
    put_bytes(&encoding, version, strlen(version));
    put_bytes(&encoding, previous, strnlen(previous, RECORD_FINGERPRINT_SIZE));
    put_number(&encoding, record->id);
    put_number(&encoding, record->at);
    PUT_TEXT(&encoding, record->domain);
    put_number(&encoding, record->key_id);
    put_number(&encoding, record->container_id);
    PUT_TEXT(&encoding, record->event);
    PUT_TEXT(&encoding, record->cause);
    PUT_TEXT(&encoding, record->actor);
    if (of_what) {
        PUT_TEXT(&encoding, record->provider);
        put_number(&encoding, record->generation);
    }
    secret_fingerprint_bytes(encoding.bytes, encoding.length, ret_hash);
}

struct head {
    int64_t id;
    char hash[RECORD_FINGERPRINT_SIZE];
};

static bool read_head(struct ledger *ledger, const char *operation, struct head *ret_head, struct error *err)
{
    cleanup_statement struct statement *statement = NULL;
    bool row;
    if (!statement_take(ledger->database, operation, "SELECT id, hash FROM journal_head WHERE one = 1", &statement, err) ||
        !statement_step(statement, &row, err))
        return false;
    if (!row)
        return error_set(err, ERROR_INVALID, "%s: the row that names the newest line is missing", operation);
    ret_head->id = statement_number(statement, 0);
    return statement_text(statement, 1, ret_head->hash, sizeof ret_head->hash, err);
}

static bool write_head(struct ledger *ledger, const struct head *head, struct error *err)
{
    cleanup_statement struct statement *statement = NULL;
    if (!statement_take(ledger->database, "append to journal",
                        "UPDATE journal_head SET id = $1, hash = $2 WHERE one = 1", &statement, err))
        return false;
    statement_bind_number(statement, 1, head->id);
    statement_bind_text(statement, 2, head->hash, sizeof head->hash);
    return statement_run(statement, NULL, NULL, err);
}

static bool write_line(struct ledger *ledger, const struct journal_record *record, const struct head *head,
                       struct error *err)
{
    static const char sql[] = "INSERT INTO journal (id, at, domain, key_id, container_id, event, cause, actor, hash,"
                              " provider, generation) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    cleanup_statement struct statement *statement = NULL;
    if (!statement_take(ledger->database, "append to journal", sql, &statement, err))
        return false;
    statement_bind_number(statement, 1, record->id);
    statement_bind_number(statement, 2, record->at);
    statement_bind_text(statement, 3, record->domain, sizeof record->domain);
    statement_bind_number(statement, 4, record->key_id);
    statement_bind_number(statement, 5, record->container_id);
    statement_bind_text(statement, 6, record->event, sizeof record->event);
    statement_bind_text(statement, 7, record->cause, sizeof record->cause);
    statement_bind_text(statement, 8, record->actor, sizeof record->actor);
    statement_bind_text(statement, 9, head->hash, sizeof head->hash);
    statement_bind_text(statement, 10, record->provider, sizeof record->provider);
    statement_bind_number(statement, 11, record->generation);
    return statement_run(statement, NULL, NULL, err);
}

static bool append(struct ledger *ledger, struct journal_record *line, struct error *err)
{
    struct head before, after;
    if (!read_head(ledger, "append to journal", &before, err))
        return false;
    /* From the head, not from the last line: if that was cut off, its number must stay missing. */
    line->id = after.id = before.id + 1;
    hash_line(before.hash, line, after.hash);
    return write_line(ledger, line, &after, err) && write_head(ledger, &after, err);
}

bool ledger_journal_append(struct ledger *ledger, struct journal_record *record, struct error *err)
{
    struct journal_record line = *record;
    bool own;
    if (!unit_begin(ledger, "append to journal", &own, err) ||
        !unit_end(ledger, own, append(ledger, &line, err), err))
        return false;
    record->id = line.id;
    return true;
}

#define COLUMNS "id, at, domain, key_id, container_id, event, cause, actor, provider, generation"

/* The same of `newest`, in which what a line from before schema 2 does not say is looked up. */
#define TOLD                                                                                                       \
    "newest.id, newest.at, newest.domain, newest.key_id, newest.container_id, newest.event, newest.cause, newest.actor," \
    " CASE WHEN newest.provider <> '' THEN newest.provider"                                                        \
    "   ELSE COALESCE(grants.provider, containers.provider, '') END,"                                              \
    " CASE WHEN newest.generation <> 0 THEN newest.generation ELSE COALESCE(keys.generation, 0) END"
#define TOLD_FROM                                                                                                  \
    " AS newest LEFT JOIN keys ON keys.id = newest.key_id LEFT JOIN grants ON grants.id = keys.grant_id"           \
    " LEFT JOIN containers ON containers.id = newest.container_id ORDER BY newest.id"

static bool read_line(struct statement *statement, struct journal_record *ret_record, struct error *err)
{
    struct journal_record record = {
        .id = statement_number(statement, 0),
        .at = statement_number(statement, 1),
        .key_id = statement_number(statement, 3),
        .container_id = statement_number(statement, 4),
        .generation = statement_number(statement, 9),
    };
    if (!statement_text(statement, 2, record.domain, sizeof record.domain, err) ||
        !statement_text(statement, 5, record.event, sizeof record.event, err) ||
        !statement_text(statement, 6, record.cause, sizeof record.cause, err) ||
        !statement_text(statement, 7, record.actor, sizeof record.actor, err) ||
        !statement_text(statement, 8, record.provider, sizeof record.provider, err))
        return false;
    *ret_record = record;
    return true;
}

static bool hand_out(struct statement *statement, ledger_journal_fn *callback, void *context, struct error *err)
{
    struct journal_record record;
    for (bool row;;) {
        if (!statement_step(statement, &row, err))
            return false;
        if (!row)
            return true;
        if (!read_line(statement, &record, err) || !callback(context, &record, err))
            return false;
    }
}

bool ledger_journal_each(struct ledger *ledger, const char *domain, unsigned maximum, ledger_journal_fn *callback,
                         void *context, struct error *err)
{
    static const char all[] = "SELECT " TOLD " FROM (SELECT " COLUMNS " FROM journal ORDER BY id DESC LIMIT $1)" TOLD_FROM;
    static const char one[] = "SELECT " TOLD " FROM (SELECT " COLUMNS " FROM journal WHERE domain = $2"
                              " ORDER BY id DESC LIMIT $1)" TOLD_FROM;
    cleanup_statement struct statement *statement = NULL;
    if (!statement_take(ledger->database, "read journal", domain ? one : all, &statement, err))
        return false;
    statement_bind_number(statement, 1, maximum);
    if (domain)
        statement_bind_text(statement, 2, domain, RECORD_UUID_SIZE);
    return hand_out(statement, callback, context, err);
}

bool ledger_journal_page(struct ledger *ledger, const char *domain, int64_t after, int64_t since, unsigned maximum,
                         ledger_journal_fn *callback, void *context, struct error *err)
{
    static const char sql[] = "SELECT " TOLD " FROM (SELECT " COLUMNS " FROM journal WHERE domain = $1 AND id > $2"
                              " AND at >= $3 ORDER BY id LIMIT $4)" TOLD_FROM;
    cleanup_statement struct statement *statement = NULL;
    if (!statement_take(ledger->database, "read journal", sql, &statement, err))
        return false;
    statement_bind_text(statement, 1, domain, RECORD_UUID_SIZE);
    statement_bind_number(statement, 2, after);
    statement_bind_number(statement, 3, since);
    statement_bind_number(statement, 4, maximum);
    return hand_out(statement, callback, context, err);
}

/* A domain that was forgotten before its name was put into the journal has left it in its project's name at best. */
bool ledger_journal_forgotten(struct ledger *ledger, const char *name, ledger_uuid_fn *found, void *context,
                              struct error *err)
{
    static const char sql[] =
        "SELECT uuid FROM ("
        "  SELECT domain AS uuid, at FROM journal WHERE event = 'domain forgotten' AND cause = $1"
        "  UNION ALL SELECT subject AS uuid, archived_at AS at FROM containers WHERE kind = 'per-domain'"
        "    AND instr(name, ' ') > 0 AND substr(name, instr(name, ' ') + 1) = $1"
        ") AS gone GROUP BY uuid ORDER BY max(at) DESC LIMIT 100";
    char uuid[RECORD_UUID_SIZE];
    cleanup_statement struct statement *statement = NULL;
    if (!statement_take(ledger->database, "read journal", sql, &statement, err))
        return false;
    statement_bind_text(statement, 1, name, RECORD_NAME_SIZE);
    for (bool row;;) {
        if (!statement_step(statement, &row, err))
            return false;
        if (!row)
            return true;
        if (!statement_text(statement, 0, uuid, sizeof uuid, err) || !found(context, uuid, err))
            return false;
    }
}

bool ledger_journal_knows(struct ledger *ledger, const char *uuid, bool *ret_known, struct error *err)
{
    cleanup_statement struct statement *statement = NULL;
    if (!statement_take(ledger->database, "read journal", "SELECT 1 FROM journal WHERE domain = $1 LIMIT 1", &statement,
                        err))
        return false;
    statement_bind_text(statement, 1, uuid, RECORD_UUID_SIZE);
    return statement_run(statement, ret_known, NULL, err);
}

/* Whether the line that the statement has follows on CHAIN, which then ends with it. */
static bool verify_line(struct statement *statement, struct ledger_chain *chain, struct error *err)
{
    struct journal_record line;
    char stored[RECORD_FINGERPRINT_SIZE], wanted[RECORD_FINGERPRINT_SIZE];
    int64_t id = statement_number(statement, 0);
    if (id != chain->id + 1)
        return error_set(err, ERROR_INVALID, "verify journal: line %" PRId64 " is missing", chain->id + 1);
    if (!read_line(statement, &line, NULL) || !statement_text(statement, 10, stored, sizeof stored, NULL))
        return error_set(err, ERROR_INVALID, "verify journal: line %" PRId64 " holds what was never written there", id);
    hash_line(chain->hash, &line, wanted);
    if (strcmp(stored, wanted) != 0)
        return error_set(err, ERROR_INVALID,
                         "verify journal: line %" PRId64 " does not fit its hash: it, or one before it, was changed", id);
    chain->id = id;
    memcpy(chain->hash, stored, sizeof chain->hash);
    return true;
}

/* Whether CHAIN, behind which there is no line, ends where the journal does. */
static bool verify_end(struct ledger *ledger, const struct ledger_chain *chain, struct error *err)
{
    struct head head;
    if (!read_head(ledger, "verify journal", &head, err))
        return false;
    if (chain->id < head.id)
        return error_set(err, ERROR_INVALID, "verify journal: line %" PRId64 " is missing: the journal ends before its "
                                             "newest line, %" PRId64, chain->id + 1, head.id);
    if (chain->id > head.id)
        return error_set(err, ERROR_INVALID, "verify journal: line %" PRId64 " was added by somebody else", head.id + 1);
    if (strcmp(chain->hash, head.hash) != 0)
        return error_set(err, ERROR_INVALID, "verify journal: line %" PRId64 " is not the one that was written last",
                         chain->id);
    return true;
}

bool ledger_journal_verify_some(struct ledger *ledger, struct ledger_chain *chain, unsigned maximum, struct error *err)
{
    cleanup_statement struct statement *statement = NULL;
    unsigned lines = 0;
    if (!statement_take(ledger->database, "verify journal",
                        "SELECT " COLUMNS ", hash FROM journal WHERE id >= $1 ORDER BY id LIMIT $2", &statement, err))
        return false;
    /* No number is so low that nobody would look: the first line must be 1. */
    statement_bind_number(statement, 1, chain->begun ? chain->id + 1 : INT64_MIN);
    statement_bind_number(statement, 2, maximum);
    chain->begun = true;
    for (bool row;; lines++) {
        if (!statement_step(statement, &row, err))
            return false;
        if (!row)
            break;
        if (!verify_line(statement, chain, err))
            return false;
    }
    chain->complete = lines < maximum;
    return !chain->complete || verify_end(ledger, chain, err);
}

bool ledger_journal_verify(struct ledger *ledger, struct error *err)
{
    struct ledger_chain chain = {.id = 0};
    while (!chain.complete)
        if (!ledger_journal_verify_some(ledger, &chain, 100000, err))
            return false;
    return true;
}
