#include "fixture.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

int make_place(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    const char *base = getenv("TMPDIR");
    if (!base || !*base || strlen(base) > 40)
        base = "/tmp"; /* a path that is cut would be another folder */
    snprintf(place->root, sizeof place->root, "%.40s/ledger-XXXXXX", base);
    if (!mkdtemp(place->root))
        return -1;
    snprintf(place->folder, sizeof place->folder, "%s/state", place->root);
    snprintf(place->path, sizeof place->path, "%s/ledger.sqlite", place->folder);
    *state = place;
    return 0;
}

static int drop_entry(const char *path, const struct stat *status, int flag, struct FTW *walk)
{
    (void)status;
    (void)flag;
    (void)walk;
    return remove(path);
}

int drop_place(void **state)
{
    struct place *place = *state;
    int status = nftw(place->root, drop_entry, 8, FTW_DEPTH | FTW_PHYS);
    free(place);
    *state = NULL;
    return status;
}

struct ledger *open_ledger(const struct place *place)
{
    struct ledger *ledger = NULL;
    struct error err = ERROR_INIT;
    if (!ledger_open(place->path, &ledger, &err))
        fail_msg("open: %s", err.text);
    return ledger;
}

void by_hand(const struct place *place, const char *sql)
{
    sqlite3 *database;
    char *message = NULL;
    assert_int_equal(sqlite3_open_v2(place->path, &database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL), SQLITE_OK);
    if (sqlite3_exec(database, sql, NULL, NULL, &message) != SQLITE_OK)
        fail_msg("%s: %s", sql, message);
    sqlite3_close(database);
}

void back_to_schema(const struct place *place, int version)
{
    /* undo[N] takes back the step from version N to N + 1. */
    static const char *const undo[LEDGER_SCHEMA] = {
        NULL,
        "DROP INDEX journal_farewells; ALTER TABLE journal DROP COLUMN provider; ALTER TABLE journal DROP COLUMN generation;",
        "ALTER TABLE grants DROP COLUMN on_stop; ALTER TABLE grants DROP COLUMN on_save;"
        "ALTER TABLE grants DROP COLUMN over_budget; ALTER TABLE policy_keys DROP COLUMN on_stop;"
        "ALTER TABLE policy_keys DROP COLUMN on_save; ALTER TABLE policy_keys DROP COLUMN over_budget;",
        "ALTER TABLE keys DROP COLUMN suspended_at;",
        "DROP INDEX secrets_by_pool; DROP INDEX secrets_free; ALTER TABLE secrets DROP COLUMN pool_id;"
        "CREATE INDEX secrets_free ON secrets (length) WHERE key_id IS NULL; DROP TABLE pool;",
        "DROP TABLE alerts;",
        "ALTER TABLE grants DROP COLUMN replace_at; ALTER TABLE grants DROP COLUMN hurry_through;",
        "DROP TABLE rates; DROP TABLE spending; DROP INDEX containers_by_remote_id; DROP INDEX keys_by_remote_id;"
        "DROP INDEX keys_by_usage_id; ALTER TABLE keys DROP COLUMN usage_id;",
        "DROP TABLE totals; ALTER TABLE rates DROP COLUMN late_month; ALTER TABLE rates DROP COLUMN late_seen;"
        "ALTER TABLE rates DROP COLUMN late_since; ALTER TABLE rates DROP COLUMN late;",
        "ALTER TABLE keys DROP COLUMN limit_set; ALTER TABLE keys DROP COLUMN spent_before;"
        "ALTER TABLE keys DROP COLUMN spent_month;",
        "ALTER TABLE domains DROP COLUMN boot_credential; ALTER TABLE domains DROP COLUMN booted;",
        "ALTER TABLE grants DROP COLUMN owner;",
        "ALTER TABLE grants ADD COLUMN held INTEGER NOT NULL DEFAULT 0 CHECK (held IN (0, 1));"
        "UPDATE grants SET held = held_at <> 0; ALTER TABLE grants DROP COLUMN held_at;",
        "ALTER TABLE keys DROP COLUMN expires_at;",
    };
    char mark[64];
    for (int i = LEDGER_SCHEMA; i > version; i--)
        by_hand(place, undo[i - 1]);
    snprintf(mark, sizeof mark, "PRAGMA user_version = %d", version);
    by_hand(place, mark);
}

void by_hand_fails(const struct place *place, const char *sql, const char *wanted)
{
    sqlite3 *database;
    assert_int_equal(sqlite3_open_v2(place->path, &database, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    assert_int_not_equal(sqlite3_exec(database, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_string_equal(sqlite3_errmsg(database), wanted);
    sqlite3_close(database);
}

int64_t number_by_hand(const struct place *place, const char *sql)
{
    sqlite3 *database;
    sqlite3_stmt *statement;
    assert_int_equal(sqlite3_open_v2(place->path, &database, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(database, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(database);
    return number;
}

unsigned mode_of(const char *folder, const char *name)
{
    char path[160];
    struct stat status;
    snprintf(path, sizeof path, "%s%s", folder, name);
    if (stat(path, &status) < 0)
        fail_msg("%s: %s", path, strerror(errno));
    return (unsigned)status.st_mode & 07777;
}

char *bytes_of(const char *path, size_t *ret_length)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        *ret_length = 0;
        return NULL;
    }
    assert_int_equal(fstat(fd, &status), 0);
    char *bytes = malloc((size_t)status.st_size + 1);
    assert_non_null(bytes);
    assert_int_equal(read(fd, bytes, (size_t)status.st_size), status.st_size);
    close(fd);
    *ret_length = (size_t)status.st_size;
    return bytes;
}

void fingerprint_file(const char *path, char fingerprint[SECRET_FINGERPRINT_SIZE])
{
    size_t length;
    cleanup_free char *bytes = bytes_of(path, &length);
    secret_fingerprint_bytes(bytes ? bytes : "", length, fingerprint);
}

struct domain_record a_domain(const char *uuid)
{
    struct domain_record record = {.stop = STOP_FROM_SNAPSHOT, .transient = true, .delivered = true, .seen_at = 5,
                                   .undefined_at = 6};
    snprintf(record.uuid, sizeof record.uuid, "%s", uuid);
    snprintf(record.name, sizeof record.name, "dev 'é\" -- of %.8s", uuid);
    snprintf(record.policy.owner, sizeof record.policy.owner, "alice");
    snprintf(record.policy.readers, sizeof record.policy.readers, "group:dev");
    record.policy.required = POLICY_FLAG_NO;
    record.policy.boot_credential = POLICY_FLAG_YES;
    memset(record.booted, 'b', sizeof record.booted - 1);
    record.policy.count = POLICY_KEYS_MAX;
    for (unsigned i = 0; i < POLICY_KEYS_MAX; i++) {
        struct policy_key *key = &record.policy.keys[i];
        snprintf(key->provider, sizeof key->provider, "provider-%u", POLICY_KEYS_MAX - i);
        snprintf(key->environment, sizeof key->environment, "KEY_%u", i);
        key->monthly_limit = 1000000 * (i + 1);
        key->overlap_ms = i == 2 ? POLICY_NO_OVERLAP : 1000 * (int64_t)i;
        key->rotate_ms = i == 3 ? POLICY_NEVER : 3600000 * (int64_t)i;
        key->on_stop = (enum policy_fate)(i % 4);
        key->on_save = (enum policy_fate)(i / 4 % 4);
        key->over_budget = (enum policy_fate)(3 - i % 4);
    }
    return record;
}

struct container_record a_container(const char *subject)
{
    struct container_record record = {
        .kind = CONTAINER_PER_DOMAIN, .state = CONTAINER_OPEN, .unknown = true, .limit_set = -1, .attempts = 3,
        .created_at = 7, .archived_at = 8, .provider = "openai", .name = "llmhook host vm", .remote_id = "proj_1",
        .rates_set = HASH, .last_error = "HTTP 500",
    };
    snprintf(record.subject, sizeof record.subject, "%s", subject);
    return record;
}

struct grant_record a_grant(const char *domain, int64_t container)
{
    struct grant_record record = {
        .container_id = container, .monthly_limit = 100000000, .rotate_ms = POLICY_NEVER,
        .overlap_ms = 6, .on_stop = POLICY_FATE_SUSPEND, .on_save = POLICY_FATE_KEEP, .over_budget = POLICY_FATE_REVOKE,
        .last_generation = 4, .replace_through = 3, .replace_at = 17, .hurry_through = 2,
        .held_at = 8, .created_at = 9, .ended_at = 0, .provider = "openai", .environment = "OPENAI_API_KEY",
        .owner = "alice",
    };
    snprintf(record.domain, sizeof record.domain, "%s", domain);
    return record;
}

struct key_record a_key(int64_t grant, int64_t generation, const char *name)
{
    struct key_record record = {
        .grant_id = grant, .generation = generation, .state = KEY_ACTIVE, .unknown = true, .remote_id = "svc_1",
        .fingerprint = HASH, .attempts = 2, .last_error = "HTTP 429", .created_at = 1, .minted_at = 2, .active_at = 3,
        .retiring_at = 6,
        .revoking_at = 4, .revoked_at = 5, .suspended_at = 7, .usage_id = "key_1",
        .limit_set = 8, .spent_before = 9, .spent_month = 10,
    };
    snprintf(record.name, sizeof record.name, "%s", name);
    return record;
}

struct family save_family(struct ledger *ledger, const char *uuid)
{
    struct family family = {.domain = a_domain(uuid), .container = a_container(uuid)};
    must(ledger_save_domain(ledger, &family.domain, &err));
    must(ledger_save_container(ledger, &family.container, &err));
    family.grant = a_grant(uuid, family.container.id);
    must(ledger_save_grant(ledger, &family.grant, &err));
    family.key = a_key(family.grant.id, 1, uuid);
    must(ledger_save_key(ledger, &family.key, &err));
    return family;
}

#define GATHER(kind)                                                                          \
    bool gather_##kind(void *context, const struct kind##_record *record, struct error *err)  \
    {                                                                                         \
        struct kind##s *gathered = context;                                                   \
        if (gathered->count == GATHERED_MAX)                                                  \
            return error_set(err, ERROR_LIMIT, "more than were saved");                       \
        gathered->all[gathered->count++] = *record;                                           \
        return true;                                                                          \
    }
GATHER(domain)
GATHER(grant)
GATHER(container)
GATHER(key)
GATHER(journal)

void check_same_grant(const struct grant_record *got, const struct grant_record *wanted)
{
    assert_int_equal(got->id, wanted->id);
    assert_string_equal(got->domain, wanted->domain);
    assert_string_equal(got->provider, wanted->provider);
    assert_int_equal(got->container_id, wanted->container_id);
    assert_int_equal(got->monthly_limit, wanted->monthly_limit);
    assert_int_equal(got->rotate_ms, wanted->rotate_ms);
    assert_int_equal(got->overlap_ms, wanted->overlap_ms);
    assert_int_equal(got->on_stop, wanted->on_stop);
    assert_int_equal(got->on_save, wanted->on_save);
    assert_int_equal(got->over_budget, wanted->over_budget);
    assert_int_equal(got->replace_through, wanted->replace_through);
    assert_int_equal(got->replace_at, wanted->replace_at);
    assert_int_equal(got->hurry_through, wanted->hurry_through);
    assert_string_equal(got->environment, wanted->environment);
    assert_string_equal(got->owner, wanted->owner);
    assert_int_equal(got->last_generation, wanted->last_generation);
    assert_int_equal(got->held_at, wanted->held_at);
    assert_int_equal(got->created_at, wanted->created_at);
    assert_int_equal(got->ended_at, wanted->ended_at);
}
