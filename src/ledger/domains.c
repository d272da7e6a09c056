/* Domains, with the keys of their policy in a table of their own. */
#include "ledger/ledger.h"
#include "ledger/unit.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const flag_names[] = {
    [POLICY_FLAG_DEFAULT] = "default",
    [POLICY_FLAG_YES] = "yes",
    [POLICY_FLAG_NO] = "no",
};

static const char *flag_name(enum policy_flag flag)
{
    return (unsigned)flag <= POLICY_FLAG_NO ? flag_names[flag] : "invalid";
}

static enum policy_flag flag_called(const char *name)
{
    unsigned i = POLICY_FLAG_NO;
    while (i > POLICY_FLAG_DEFAULT && strcmp(name, flag_names[i]) != 0)
        i--;
    return (enum policy_flag)i;
}

static bool save_row(struct ledger *ledger, const struct domain_record *record, struct error *err)
{
    static const char sql[] =
        "INSERT INTO domains (uuid, name, stop, transient, delivered, owner, readers, required, seen_at, undefined_at,"
        " boot_credential, booted) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
        " ON CONFLICT (uuid) DO UPDATE SET name = excluded.name, stop = excluded.stop, transient = excluded.transient,"
        " delivered = excluded.delivered, owner = excluded.owner, readers = excluded.readers,"
        " required = excluded.required, seen_at = excluded.seen_at, undefined_at = excluded.undefined_at,"
        " boot_credential = excluded.boot_credential, booted = excluded.booted";
    const struct policy *policy = &record->policy;
    const char *stop = stop_reason_name(record->stop);
    const char *required = flag_name(policy->required), *boot_credential = flag_name(policy->boot_credential);
    cleanup_statement struct statement *statement = NULL;
    if (!statement_take(ledger->database, "save domain", sql, &statement, err))
        return false;
    statement_bind_text(statement, 1, record->uuid, sizeof record->uuid);
    statement_bind_text(statement, 2, record->name, sizeof record->name);
    statement_bind_text(statement, 3, stop, strlen(stop) + 1);
    statement_bind_number(statement, 4, record->transient);
    statement_bind_number(statement, 5, record->delivered);
    statement_bind_text(statement, 6, policy->owner, sizeof policy->owner);
    statement_bind_text(statement, 7, policy->readers, sizeof policy->readers);
    statement_bind_text(statement, 8, required, strlen(required) + 1);
    statement_bind_number(statement, 9, record->seen_at);
    statement_bind_number(statement, 10, record->undefined_at);
    statement_bind_text(statement, 11, boot_credential, strlen(boot_credential) + 1);
    statement_bind_text(statement, 12, record->booted, sizeof record->booted);
    return statement_run(statement, NULL, NULL, err);
}

static bool drop_policy_keys(struct ledger *ledger, const struct domain_record *record, struct error *err)
{
    cleanup_statement struct statement *statement = NULL;
    if (!statement_take(ledger->database, "save domain", "DELETE FROM policy_keys WHERE domain = $1", &statement, err))
        return false;
    statement_bind_text(statement, 1, record->uuid, sizeof record->uuid);
    return statement_run(statement, NULL, NULL, err);
}

static bool save_policy_key(struct ledger *ledger, const struct domain_record *record, unsigned position,
                            struct error *err)
{
    static const char sql[] = "INSERT INTO policy_keys (domain, position, provider, environment, monthly_limit, rotate_ms, "
                              "overlap_ms,"
                              " on_stop, on_save, over_budget) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    const struct policy_key *key = &record->policy.keys[position];
    const enum policy_fate fates[] = {key->on_stop, key->on_save, key->over_budget};
    cleanup_statement struct statement *statement = NULL;
    if (!statement_take(ledger->database, "save domain", sql, &statement, err))
        return false;
    statement_bind_text(statement, 1, record->uuid, sizeof record->uuid);
    statement_bind_number(statement, 2, position);
    statement_bind_text(statement, 3, key->provider, sizeof key->provider);
    statement_bind_text(statement, 4, key->environment, sizeof key->environment);
    statement_bind_number(statement, 5, key->monthly_limit);
    statement_bind_number(statement, 6, key->rotate_ms);
    statement_bind_number(statement, 7, key->overlap_ms);
    for (int i = 0; i < 3; i++)
        statement_bind_text(statement, 8 + i, policy_fate_name(fates[i]), strlen(policy_fate_name(fates[i])) + 1);
    return statement_run(statement, NULL, NULL, err);
}

static bool save_domain(struct ledger *ledger, const struct domain_record *record, struct error *err)
{
    if (record->policy.count > POLICY_KEYS_MAX)
        return error_set(err, ERROR_LIMIT, "save domain: its policy has %u keys, at most %d are possible",
                         record->policy.count, POLICY_KEYS_MAX);
    bool ok = save_row(ledger, record, err) && drop_policy_keys(ledger, record, err);
    for (unsigned i = 0; ok && i < record->policy.count; i++)
        ok = save_policy_key(ledger, record, i, err);
    return ok;
}

bool ledger_save_domain(struct ledger *ledger, const struct domain_record *record, struct error *err)
{
    bool own;
    return unit_begin(ledger, "save domain", &own, err) &&
           unit_end(ledger, own, save_domain(ledger, record, err), err);
}

/* How many of UUID's rows SQL finds. */
static bool count(struct ledger *ledger, const char *sql, const char *uuid, int64_t *ret_count, struct error *err)
{
    cleanup_statement struct statement *statement = NULL;
    if (!statement_take(ledger->database, "forget domain", sql, &statement, err))
        return false;
    statement_bind_text(statement, 1, uuid, RECORD_UUID_SIZE);
    return statement_run(statement, NULL, ret_count, err);
}

static bool forget_domain(struct ledger *ledger, const char *uuid, struct error *err)
{
    static const struct {
        const char *sql, *what;
    } living[] = {
        {"SELECT count(*) FROM keys JOIN grants ON grants.id = keys.grant_id"
         " WHERE grants.domain = $1 AND keys.state <> 'revoked'",
         "keys that are not revoked"},
        {"SELECT count(*) FROM containers WHERE kind = 'per-domain' AND subject = $1 AND state <> 'archived'",
         "containers that are not archived"},
        {"SELECT count(*) FROM grants WHERE domain = $1 AND ended_at = 0", "grants that have not ended"},
    };
    for (size_t i = 0; i < sizeof living / sizeof living[0]; i++) {
        int64_t number = 0;
        if (!count(ledger, living[i].sql, uuid, &number, err))
            return false;
        if (number > 0)
            return error_set(err, ERROR_BUSY, "forget domain %s: it has %s (%" PRId64 ")", uuid, living[i].what, number);
    }
    cleanup_statement struct statement *statement = NULL;
    bool found;
    if (!statement_take(ledger->database, "forget domain", "DELETE FROM domains WHERE uuid = $1 RETURNING uuid",
                        &statement, err))
        return false;
    statement_bind_text(statement, 1, uuid, RECORD_UUID_SIZE);
    if (!statement_run(statement, &found, NULL, err))
        return false;
    return found || error_set(err, ERROR_NOT_FOUND, "forget domain: there is no %s", uuid);
}

bool ledger_forget_domain(struct ledger *ledger, const char *uuid, struct error *err)
{
    bool own;
    return unit_begin(ledger, "forget domain", &own, err) &&
           unit_end(ledger, own, forget_domain(ledger, uuid, err), err);
}

static bool read_fate(struct statement *statement, int column, enum policy_fate *ret_fate, struct error *err)
{
    char name[16];
    if (!statement_text(statement, column, name, sizeof name, err))
        return false;
    return policy_fate_parse(name, ret_fate) || error_set(err, ERROR_IO, "a fate of its keys is not known");
}

static bool read_policy_keys(struct ledger *ledger, struct domain_record *record, struct error *err)
{
    cleanup_statement struct statement *statement = NULL;
    if (!statement_take(ledger->database, "read domains",
                        "SELECT provider, environment, monthly_limit, rotate_ms, overlap_ms, on_stop, on_save, over_budget"
                        " FROM policy_keys WHERE domain = $1 ORDER BY position",
                        &statement, err))
        return false;
    statement_bind_text(statement, 1, record->uuid, sizeof record->uuid);
    for (bool row;;) {
        if (!statement_step(statement, &row, err))
            return false;
        if (!row)
            return true;
        if (record->policy.count == POLICY_KEYS_MAX)
            return error_set(err, ERROR_IO, "read domains: more than %d policy keys of %s", POLICY_KEYS_MAX, record->uuid);
        struct policy_key *key = &record->policy.keys[record->policy.count++];
        if (!statement_text(statement, 0, key->provider, sizeof key->provider, err) ||
            !statement_text(statement, 1, key->environment, sizeof key->environment, err))
            return false;
        key->monthly_limit = statement_number(statement, 2);
        key->rotate_ms = statement_number(statement, 3);
        key->overlap_ms = statement_number(statement, 4);
        enum policy_fate *const fates[] = {&key->on_stop, &key->on_save, &key->over_budget};
        for (int i = 0; i < 3; i++) {
            if (!read_fate(statement, 5 + i, fates[i], err))
                return error_prefix(err, "read domains: %s", record->uuid);
        }
    }
}

static bool read_domain(struct ledger *ledger, struct statement *statement, struct domain_record *ret_record,
                        struct error *err)
{
    struct domain_record record = {.stop = STOP_NONE};
    struct policy *policy = &record.policy;
    char stop[32], required[16], boot_credential[16];
    if (!statement_text(statement, 0, record.uuid, sizeof record.uuid, err) ||
        !statement_text(statement, 1, record.name, sizeof record.name, err) ||
        !statement_text(statement, 2, stop, sizeof stop, err) ||
        !statement_text(statement, 5, policy->owner, sizeof policy->owner, err) ||
        !statement_text(statement, 6, policy->readers, sizeof policy->readers, err) ||
        !statement_text(statement, 7, required, sizeof required, err) ||
        !statement_text(statement, 10, boot_credential, sizeof boot_credential, err) ||
        !statement_text(statement, 11, record.booted, sizeof record.booted, err))
        return false;
    if (!stop_reason_parse(stop, &record.stop))
        return error_set(err, ERROR_IO, "read domains: %s stopped for a reason that is not known", record.uuid);
    record.transient = statement_number(statement, 3) != 0;
    record.delivered = statement_number(statement, 4) != 0;
    policy->required = flag_called(required);
    policy->boot_credential = flag_called(boot_credential);
    record.seen_at = statement_number(statement, 8);
    record.undefined_at = statement_number(statement, 9);
    if (!read_policy_keys(ledger, &record, err))
        return false;
    *ret_record = record;
    return true;
}

bool ledger_each_domain(struct ledger *ledger, ledger_domain_fn *callback, void *context, struct error *err)
{
    struct domain_record record;
    cleanup_statement struct statement *statement = NULL;
    if (!statement_take(ledger->database, "read domains",
                        "SELECT uuid, name, stop, transient, delivered, owner, readers, required, seen_at, undefined_at,"
                        " boot_credential, booted FROM domains ORDER BY uuid",
                        &statement, err))
        return false;
    for (bool row;;) {
        if (!statement_step(statement, &row, err))
            return false;
        if (!row)
            return true;
        if (!read_domain(ledger, statement, &record, err) || !callback(context, &record, err))
            return false;
    }
}
