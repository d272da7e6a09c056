/* What must never be is forbidden here, where a mistake in the program and a hand with the sqlite3 command meet it alike. */
#include "ledger/schema.h"

#include "base/failpoint.h"
#include "ledger/ledger.h"

#include <inttypes.h>
#include <stdio.h>

enum { APPLICATION = 0x4c4c4d48 }; /* "LLMH": for file(1), and to refuse the databases of others */

/* Numbers are micro-dollars and wall-clock milliseconds, 0: not yet. Booleans are 0 and 1. */
static const char first[] =
    "CREATE TABLE texts ("
    "  name TEXT NOT NULL PRIMARY KEY CHECK (name <> ''),"
    "  text TEXT NOT NULL"
    ") STRICT;"

    "CREATE TABLE domains ("
    "  uuid TEXT NOT NULL PRIMARY KEY CHECK (length(uuid) = 36 AND uuid = lower(uuid)),"
    "  name TEXT NOT NULL,"
    "  stop TEXT NOT NULL CHECK (stop IN ('none', 'unknown', 'shutdown', 'destroyed', 'crashed', 'migrated', 'saved',"
    "    'failed', 'from snapshot', 'daemon')),"
    "  transient INTEGER NOT NULL CHECK (transient IN (0, 1)),"
    "  delivered INTEGER NOT NULL CHECK (delivered IN (0, 1)),"
    "  owner TEXT NOT NULL,"
    "  readers TEXT NOT NULL,"
    "  required TEXT NOT NULL CHECK (required IN ('default', 'yes', 'no')),"
    "  seen_at INTEGER NOT NULL CHECK (seen_at >= 0),"
    "  undefined_at INTEGER NOT NULL CHECK (undefined_at >= 0)"
    ") STRICT;"

    "CREATE TABLE policy_keys ("
    "  domain TEXT NOT NULL REFERENCES domains (uuid) ON DELETE CASCADE,"
    "  position INTEGER NOT NULL CHECK (position >= 0),"
    "  provider TEXT NOT NULL CHECK (provider <> ''),"
    "  environment TEXT NOT NULL,"
    "  monthly_limit INTEGER NOT NULL CHECK (monthly_limit >= 0),"
    "  rotate_ms INTEGER NOT NULL CHECK (rotate_ms >= -1),"
    "  overlap_ms INTEGER NOT NULL CHECK (overlap_ms >= -1),"
    "  PRIMARY KEY (domain, position)"
    ") STRICT, WITHOUT ROWID;"

    "CREATE TABLE containers ("
    "  id INTEGER PRIMARY KEY,"
    "  provider TEXT NOT NULL CHECK (provider <> ''),"
    "  kind TEXT NOT NULL CHECK (kind IN ('per-domain', 'per-owner', 'given')),"
    "  subject TEXT NOT NULL CHECK (subject <> ''),"
    "  state TEXT NOT NULL CHECK (state IN ('planned', 'creating', 'open', 'archiving', 'archived')),"
    "  unknown INTEGER NOT NULL CHECK (unknown IN (0, 1)),"
    "  name TEXT NOT NULL,"
    "  remote_id TEXT NOT NULL,"
    "  limit_set INTEGER NOT NULL CHECK (limit_set >= -1),"
    "  rates_set TEXT NOT NULL,"
    "  attempts INTEGER NOT NULL CHECK (attempts >= 0),"
    "  last_error TEXT NOT NULL,"
    "  created_at INTEGER NOT NULL CHECK (created_at >= 0),"
    "  archived_at INTEGER NOT NULL CHECK (archived_at >= 0),"
    "  CONSTRAINT open_has_remote_id CHECK (state <> 'open' OR remote_id <> '')"
    ") STRICT;"
    "CREATE UNIQUE INDEX containers_one_live ON containers (subject, kind, provider) WHERE state <> 'archived';"

    "CREATE TABLE grants ("
    "  id INTEGER PRIMARY KEY,"
    "  domain TEXT NOT NULL CHECK (length(domain) = 36 AND domain = lower(domain)),"
    "  provider TEXT NOT NULL CHECK (provider <> ''),"
    "  container_id INTEGER REFERENCES containers (id),"
    "  monthly_limit INTEGER NOT NULL CHECK (monthly_limit >= 0),"
    "  rotate_ms INTEGER NOT NULL CHECK (rotate_ms >= -1),"
    "  overlap_ms INTEGER NOT NULL CHECK (overlap_ms >= -1),"
    "  environment TEXT NOT NULL,"
    "  last_generation INTEGER NOT NULL CHECK (last_generation >= 0),"
    "  replace_through INTEGER NOT NULL CHECK (replace_through >= 0),"
    "  held INTEGER NOT NULL CHECK (held IN (0, 1)),"
    "  created_at INTEGER NOT NULL CHECK (created_at >= 0),"
    "  ended_at INTEGER NOT NULL CHECK (ended_at >= 0),"
    "  UNIQUE (domain, provider)"
    ") STRICT;"
    "CREATE INDEX grants_live ON grants (id) WHERE ended_at = 0;"
    "CREATE INDEX grants_by_container ON grants (container_id);"
    "CREATE TRIGGER grants_count_upwards BEFORE UPDATE OF last_generation ON grants"
    "  WHEN NEW.last_generation < OLD.last_generation"
    "  BEGIN SELECT RAISE(ABORT, 'generations of a grant are never used twice'); END;"

    "CREATE TABLE keys ("
    "  id INTEGER PRIMARY KEY,"
    "  grant_id INTEGER NOT NULL REFERENCES grants (id),"
    "  generation INTEGER NOT NULL CHECK (generation >= 1),"
    "  predecessor INTEGER REFERENCES keys (id),"
    "  name TEXT NOT NULL UNIQUE CHECK (name <> ''),"
    "  state TEXT NOT NULL CHECK (state IN ('planned', 'minting', 'minted', 'active', 'suspended', 'retiring', 'revoking',"
    "    'revoked')),"
    "  unknown INTEGER NOT NULL CHECK (unknown IN (0, 1)),"
    "  remote_id TEXT NOT NULL,"
    "  fingerprint TEXT NOT NULL CHECK (length(fingerprint) IN (0, 64)),"
    "  attempts INTEGER NOT NULL CHECK (attempts >= 0),"
    "  last_error TEXT NOT NULL,"
    "  created_at INTEGER NOT NULL CHECK (created_at >= 0),"
    "  minted_at INTEGER NOT NULL CHECK (minted_at >= 0),"
    "  active_at INTEGER NOT NULL CHECK (active_at >= 0),"
    "  retiring_at INTEGER NOT NULL CHECK (retiring_at >= 0),"
    "  revoking_at INTEGER NOT NULL CHECK (revoking_at >= 0),"
    "  revoked_at INTEGER NOT NULL CHECK (revoked_at >= 0),"
    "  UNIQUE (grant_id, generation),"
    "  CONSTRAINT minted_has_remote_id CHECK (state NOT IN ('minted', 'active', 'suspended', 'retiring') OR"
    "    (remote_id <> '' AND fingerprint <> ''))"
    ") STRICT;"
    "CREATE INDEX keys_live ON keys (id) WHERE state <> 'revoked';"
    "CREATE INDEX keys_by_predecessor ON keys (predecessor) WHERE predecessor IS NOT NULL;"
    "CREATE TRIGGER keys_revoke_before_forget BEFORE DELETE ON keys WHEN OLD.state <> 'revoked'"
    "  BEGIN SELECT RAISE(ABORT, 'a key that is not revoked cannot be deleted'); END;"
    "CREATE TRIGGER keys_revoked_for_good BEFORE UPDATE OF state ON keys"
    "  WHEN OLD.state = 'revoked' AND NEW.state <> 'revoked'"
    "  BEGIN SELECT RAISE(ABORT, 'a revoked key does not come back'); END;"
    "CREATE TRIGGER keys_keep_identity BEFORE UPDATE OF id, grant_id, generation, name ON keys"
    "  BEGIN SELECT RAISE(ABORT, 'what a key is called does not change'); END;"

    "CREATE TRIGGER domains_revoke_before_forget BEFORE DELETE ON domains"
    "  WHEN EXISTS (SELECT 1 FROM grants JOIN keys ON keys.grant_id = grants.id"
    "    WHERE grants.domain = OLD.uuid AND keys.state <> 'revoked')"
    "  BEGIN SELECT RAISE(ABORT, 'a domain with a key that is not revoked cannot be deleted'); END;"
    "CREATE TRIGGER containers_archive_before_forget BEFORE DELETE ON containers WHEN OLD.state <> 'archived'"
    "  BEGIN SELECT RAISE(ABORT, 'a container that is not archived cannot be deleted'); END;"

    "CREATE TABLE sealed (" /* secrets.c says why its rows stay where they are */
    "  id INTEGER PRIMARY KEY,"
    "  bytes BLOB NOT NULL CHECK (length(bytes) > 0)"
    ") STRICT;"
    "CREATE TRIGGER sealed_keeps_its_length BEFORE UPDATE ON sealed"
    "  WHEN NEW.id <> OLD.id OR length(NEW.bytes) <> length(OLD.bytes)"
    "  BEGIN SELECT RAISE(ABORT, 'a sealed secret is overwritten in its place'); END;"
    "CREATE TRIGGER sealed_stays BEFORE DELETE ON sealed"
    "  BEGIN SELECT RAISE(ABORT, 'a sealed secret is overwritten in its place'); END;"
    "CREATE TABLE secrets ("
    "  id INTEGER PRIMARY KEY REFERENCES sealed (id),"
    "  length INTEGER NOT NULL CHECK (length > 0),"
    "  key_id INTEGER UNIQUE REFERENCES keys (id)"
    ") STRICT;"
    "CREATE INDEX secrets_free ON secrets (length) WHERE key_id IS NULL;"

    "CREATE TABLE journal ("
    "  id INTEGER PRIMARY KEY,"
    "  at INTEGER NOT NULL,"
    "  domain TEXT NOT NULL,"
    "  key_id INTEGER NOT NULL,"
    "  container_id INTEGER NOT NULL,"
    "  event TEXT NOT NULL CHECK (event <> ''),"
    "  cause TEXT NOT NULL,"
    "  actor TEXT NOT NULL,"
    "  hash TEXT NOT NULL CHECK (length(hash) = 64)"
    ") STRICT;"
    "CREATE INDEX journal_by_domain ON journal (domain, id);"
    "CREATE TRIGGER journal_is_not_rewritten BEFORE UPDATE ON journal"
    "  BEGIN SELECT RAISE(ABORT, 'the journal is only appended to'); END;"
    "CREATE TRIGGER journal_is_not_cut BEFORE DELETE ON journal"
    "  BEGIN SELECT RAISE(ABORT, 'the journal is only appended to'); END;"

    "CREATE TABLE journal_head ("
    "  one INTEGER PRIMARY KEY CHECK (one = 1),"
    "  id INTEGER NOT NULL,"
    "  hash TEXT NOT NULL"
    ") STRICT;"
    "INSERT INTO journal_head (one, id, hash) VALUES (1, 0, '');"
    "CREATE TRIGGER journal_head_goes_on BEFORE UPDATE ON journal_head WHEN NEW.id <> OLD.id + 1"
    "  BEGIN SELECT RAISE(ABORT, 'the journal is only appended to'); END;"
    "CREATE TRIGGER journal_head_stays BEFORE DELETE ON journal_head"
    "  BEGIN SELECT RAISE(ABORT, 'the journal is only appended to'); END;";

/* Lines from before have neither, and their hashes stay what they are: see journal.c. */
static const char journal_says_of_what[] =
    "ALTER TABLE journal ADD COLUMN provider TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE journal ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;"
    "CREATE INDEX journal_farewells ON journal (cause) WHERE event = 'domain forgotten';";

/* What becomes of keys that are not to be used for now. */
static const char fates[] =
    "ALTER TABLE grants ADD COLUMN on_stop TEXT NOT NULL DEFAULT 'default'"
    "  CHECK (on_stop IN ('default', 'keep', 'suspend', 'revoke'));"
    "ALTER TABLE grants ADD COLUMN on_save TEXT NOT NULL DEFAULT 'default'"
    "  CHECK (on_save IN ('default', 'keep', 'suspend', 'revoke'));"
    "ALTER TABLE grants ADD COLUMN over_budget TEXT NOT NULL DEFAULT 'default'"
    "  CHECK (over_budget IN ('default', 'keep', 'suspend', 'revoke'));"
    "ALTER TABLE policy_keys ADD COLUMN on_stop TEXT NOT NULL DEFAULT 'default'"
    "  CHECK (on_stop IN ('default', 'keep', 'suspend', 'revoke'));"
    "ALTER TABLE policy_keys ADD COLUMN on_save TEXT NOT NULL DEFAULT 'default'"
    "  CHECK (on_save IN ('default', 'keep', 'suspend', 'revoke'));"
    "ALTER TABLE policy_keys ADD COLUMN over_budget TEXT NOT NULL DEFAULT 'default'"
    "  CHECK (over_budget IN ('default', 'keep', 'suspend', 'revoke'));";

static const char suspensions[] =
    "ALTER TABLE keys ADD COLUMN suspended_at INTEGER NOT NULL DEFAULT 0 CHECK (suspended_at >= 0);";

/* What was claimed once is never free again, and is never forgotten: by it a key that is added again is known. */
static const char pool[] =
    "CREATE TABLE pool ("
    "  id INTEGER PRIMARY KEY,"
    "  provider TEXT NOT NULL CHECK (provider <> ''),"
    "  remote_id TEXT NOT NULL CHECK (remote_id <> ''),"
    "  hint TEXT NOT NULL,"
    "  fingerprint TEXT NOT NULL UNIQUE CHECK (length(fingerprint) = 64),"
    "  state TEXT NOT NULL CHECK (state IN ('free', 'claimed', 'spent')),"
    "  key_id INTEGER UNIQUE REFERENCES keys (id),"
    "  added_at INTEGER NOT NULL CHECK (added_at >= 0),"
    "  claimed_at INTEGER NOT NULL CHECK (claimed_at >= 0),"
    "  UNIQUE (provider, remote_id),"
    "  CONSTRAINT free_is_nobodys CHECK ((state = 'free') = (key_id IS NULL))"
    ") STRICT;"
    "CREATE INDEX pool_free ON pool (provider, id) WHERE state = 'free';"
    "CREATE TRIGGER pool_claimed_for_good BEFORE UPDATE OF key_id, state ON pool"
    "  WHEN OLD.state <> 'free' AND (NEW.state = 'free' OR NEW.key_id <> OLD.key_id)"
    "  BEGIN SELECT RAISE(ABORT, 'a claimed key is never given to another'); END;"
    "CREATE TRIGGER pool_keeps_identity BEFORE UPDATE OF id, provider, remote_id, fingerprint ON pool"
    "  BEGIN SELECT RAISE(ABORT, 'which key it is does not change'); END;"
    "CREATE TRIGGER pool_remembers BEFORE DELETE ON pool WHEN OLD.state <> 'free'"
    "  BEGIN SELECT RAISE(ABORT, 'a claimed key is not forgotten'); END;"
    "ALTER TABLE secrets ADD COLUMN pool_id INTEGER REFERENCES pool (id);"
    "CREATE UNIQUE INDEX secrets_by_pool ON secrets (pool_id) WHERE pool_id IS NOT NULL;"
    "DROP INDEX secrets_free;"
    "CREATE INDEX secrets_free ON secrets (length) WHERE key_id IS NULL AND pool_id IS NULL;";

static const char alerts[] =
    "CREATE TABLE alerts ("
    "  id INTEGER PRIMARY KEY,"
    "  kind TEXT NOT NULL CHECK (kind <> ''),"
    "  cause TEXT NOT NULL CHECK (cause <> ''),"
    "  text TEXT NOT NULL,"
    "  domain TEXT NOT NULL,"
    "  name TEXT NOT NULL,"
    "  provider TEXT NOT NULL,"
    "  raised_at INTEGER NOT NULL CHECK (raised_at >= 0),"
    "  ended_at INTEGER NOT NULL CHECK (ended_at >= 0),"
    "  pending INTEGER NOT NULL CHECK (pending >= 0)"
    ") STRICT;"
    "CREATE INDEX alerts_by_cause ON alerts (cause);"
    "CREATE UNIQUE INDEX alerts_once ON alerts (cause) WHERE ended_at = 0;";

static const char rotations[] =
    "ALTER TABLE grants ADD COLUMN replace_at INTEGER NOT NULL DEFAULT 0 CHECK (replace_at >= 0);"
    "ALTER TABLE grants ADD COLUMN hurry_through INTEGER NOT NULL DEFAULT 0 CHECK (hurry_through >= 0);";

/* What was spent, by grant: it has one row for each domain and provider for ever, so that its budget outlives its keys
 * and the domain's re-creation. */
static const char money[] =
    "ALTER TABLE keys ADD COLUMN usage_id TEXT NOT NULL DEFAULT '';"
    "CREATE INDEX keys_by_usage_id ON keys (usage_id) WHERE usage_id <> '';"
    "CREATE INDEX keys_by_remote_id ON keys (remote_id) WHERE remote_id <> '';"
    "CREATE INDEX containers_by_remote_id ON containers (remote_id) WHERE remote_id <> '';"
    "CREATE TABLE spending ("
    "  grant_id INTEGER NOT NULL REFERENCES grants (id),"
    "  day INTEGER NOT NULL CHECK (day >= 0),"
    "  source TEXT NOT NULL CHECK (source IN ('bill', 'estimate')),"
    "  model TEXT NOT NULL,"
    "  unpriced INTEGER NOT NULL CHECK (unpriced IN (0, 1)),"
    "  micro_dollars INTEGER NOT NULL CHECK (micro_dollars >= 0),"
    "  requests INTEGER NOT NULL CHECK (requests >= 0),"
    "  input_tokens INTEGER NOT NULL CHECK (input_tokens >= 0),"
    "  cached_tokens INTEGER NOT NULL CHECK (cached_tokens >= 0),"
    "  output_tokens INTEGER NOT NULL CHECK (output_tokens >= 0),"
    "  PRIMARY KEY (grant_id, day, source, model)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX spending_by_day ON spending (day);"
    "CREATE TABLE rates (" /* the highest that was seen, micro-dollars an hour */
    "  grant_id INTEGER NOT NULL PRIMARY KEY REFERENCES grants (id),"
    "  rate INTEGER NOT NULL CHECK (rate >= 0)"
    ") STRICT;";

/* What providers told of a key's month where they tell no days: it is remembered when the key is gone. And how fast what
 * is only billed was seen to go. */
static const char totals[] =
    "CREATE TABLE totals ("
    "  grant_id INTEGER NOT NULL REFERENCES grants (id),"
    "  month INTEGER NOT NULL CHECK (month >= 0)," /* its first day */
    "  key TEXT NOT NULL CHECK (key <> ''),"
    "  micro_dollars INTEGER NOT NULL CHECK (micro_dollars >= 0),"
    "  PRIMARY KEY (grant_id, month, key)"
    ") STRICT, WITHOUT ROWID;"
    "ALTER TABLE rates ADD COLUMN late INTEGER NOT NULL DEFAULT 0 CHECK (late >= 0);"
    "ALTER TABLE rates ADD COLUMN late_since INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE rates ADD COLUMN late_seen INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE rates ADD COLUMN late_month INTEGER NOT NULL DEFAULT 0;";

/* A limit on the key itself, and what the keys before it had spent of it. Keys from before are limited once more. */
static const char limits_on_keys[] =
    "ALTER TABLE keys ADD COLUMN limit_set INTEGER NOT NULL DEFAULT 0 CHECK (limit_set >= 0);"
    "ALTER TABLE keys ADD COLUMN spent_before INTEGER NOT NULL DEFAULT 0 CHECK (spent_before >= 0);"
    "ALTER TABLE keys ADD COLUMN spent_month INTEGER NOT NULL DEFAULT 0 CHECK (spent_month >= 0);";

/* Keys that a domain is given when it starts. */
static const char boot_credentials[] =
    "ALTER TABLE domains ADD COLUMN boot_credential TEXT NOT NULL DEFAULT 'default'"
    "  CHECK (boot_credential IN ('default', 'yes', 'no'));"
    "ALTER TABLE domains ADD COLUMN booted TEXT NOT NULL DEFAULT '' CHECK (length(booted) IN (0, 64));";

/* Whose budget a grant counts for outlives its domain's row. Of a domain that is forgotten already nobody knows. */
static const char owners_of_grants[] =
    "ALTER TABLE grants ADD COLUMN owner TEXT NOT NULL DEFAULT '';"
    "UPDATE grants SET owner = domains.owner FROM domains WHERE domains.uuid = grants.domain;";

/* A boot ends what an operator has taken before it began, also where that was heard of in an earlier life of the daemon. Of
 * what was taken already the domain's row tells: it was written then, or later. */
static const char times_of_holds[] =
    "ALTER TABLE grants ADD COLUMN held_at INTEGER NOT NULL DEFAULT 0 CHECK (held_at >= 0);"
    "UPDATE grants SET held_at = max(domains.seen_at, 1) FROM domains WHERE domains.uuid = grants.domain AND grants.held;"
    "ALTER TABLE grants DROP COLUMN held;";

/* Keys from before have no date: they go by what the configuration says. */
static const char ends_of_keys[] = "ALTER TABLE keys ADD COLUMN expires_at INTEGER NOT NULL DEFAULT 0 CHECK (expires_at >= 0);";

/* steps[N] leads from version N to N + 1. A released step is never edited: a change is a new one. */
static const char *const steps[] = {first, journal_says_of_what, fates, suspensions, pool, alerts, rotations, money, totals,
                                    limits_on_keys, boot_credentials, owners_of_grants, times_of_holds, ends_of_keys};
_Static_assert(sizeof steps / sizeof steps[0] == LEDGER_SCHEMA, "one step for each version");

bool schema_identify(struct database *database, const char *path, int64_t *ret_version, struct error *err)
{
    int64_t application, version, tables;
    if (!database_pragma_number(database, "PRAGMA application_id", &application, err) ||
        !database_pragma_number(database, "PRAGMA user_version", &version, err) ||
        !database_pragma_number(database, "SELECT count(*) FROM sqlite_schema", &tables, err))
        return false;
    if (application != APPLICATION && (application != 0 || version != 0 || tables != 0))
        return error_set(err, ERROR_INVALID, "%s is not a ledger: it is a database of another program", path);
    if (version > LEDGER_SCHEMA)
        return error_set(err, ERROR_INVALID, "ledger %s has schema %" PRId64 ", and this llmhookd knows up to %d: a newer "
                                             "one wrote it; run that, or restore the copy from before", path, version,
                         LEDGER_SCHEMA);
    if (version < 0 || (version == 0 && tables != 0))
        return error_set(err, ERROR_INVALID, "%s is not a ledger: it has schema %" PRId64, path, version);
    *ret_version = version;
    return true;
}

bool schema_migrate(struct database *database, int64_t version, struct error *err)
{
    char mark[96];
    snprintf(mark, sizeof mark, "PRAGMA application_id = %d; PRAGMA user_version = %d;", APPLICATION, LEDGER_SCHEMA);
    bool ok = database_script(database, "upgrade ledger", "BEGIN IMMEDIATE", err);
    for (int64_t i = version; ok && i < LEDGER_SCHEMA; i++)
        ok = database_script(database, "upgrade ledger", steps[i], err);
    ok = ok && database_script(database, "upgrade ledger", mark, err);
    FAILPOINT("schema", "committing");
    ok = ok && database_script(database, "upgrade ledger", "COMMIT", err);
    FAILPOINT("schema", "committed");
    if (!ok && database_in_transaction(database))
        database_script(database, "upgrade ledger", "ROLLBACK", NULL);
    return ok;
}

bool schema_check(struct database *database, struct error *err)
{
    char answer[256];
    if (!database_pragma_text(database, "PRAGMA integrity_check(1)", answer, sizeof answer, err))
        return false;
    if (answer[0] != 'o' || answer[1] != 'k' || answer[2] != '\0')
        return error_set(err, ERROR_IO, "%s", answer);
    struct error missing = ERROR_INIT;
    if (database_pragma_text(database, "PRAGMA foreign_key_check", answer, sizeof answer, &missing))
        return error_set(err, ERROR_IO, "a row of %s refers to one that is not there", answer);
    if (missing.code != ERROR_NOT_FOUND)
        return error_set(err, missing.code, "%s", missing.text);
    return true;
}
