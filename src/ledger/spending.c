/* What was spent. Rows are replaced by what a newer report says of the same day: nothing is ever added to one. */
#include "ledger/ledger.h"
#include "ledger/table.h"

static const char *source_name(bool bill)
{
    return bill ? "bill" : "estimate";
}

static bool save_spending(struct ledger *ledger, const struct spending_record *record, struct error *err)
{
    cleanup_statement struct statement *statement = NULL;
    if (!statement_take(ledger->database, "save spending",
                        "INSERT INTO spending (grant_id, day, source, model, unpriced, micro_dollars, requests, input_tokens,"
                        " cached_tokens, output_tokens) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
                        " ON CONFLICT (grant_id, day, source, model) DO UPDATE SET unpriced = excluded.unpriced,"
                        " micro_dollars = excluded.micro_dollars, requests = excluded.requests,"
                        " input_tokens = excluded.input_tokens, cached_tokens = excluded.cached_tokens,"
                        " output_tokens = excluded.output_tokens",
                        &statement, err))
        return false;
    statement_bind_number(statement, 1, record->grant_id);
    statement_bind_number(statement, 2, record->day);
    statement_bind_text(statement, 3, source_name(record->bill), sizeof "estimate");
    statement_bind_text(statement, 4, record->model, sizeof record->model);
    statement_bind_number(statement, 5, record->unpriced);
    statement_bind_number(statement, 6, record->micro_dollars);
    statement_bind_number(statement, 7, record->requests);
    statement_bind_number(statement, 8, record->input_tokens);
    statement_bind_number(statement, 9, record->cached_tokens);
    statement_bind_number(statement, 10, record->output_tokens);
    return statement_run(statement, NULL, NULL, err);
}

bool ledger_save_spending(struct ledger *ledger, const struct spending_record *record, struct error *err)
{
    bool own;
    return unit_begin(ledger, "save spending", &own, err) &&
           unit_end(ledger, own, save_spending(ledger, record, err), err);
}

static bool clear_spending(struct ledger *ledger, int64_t grant, int64_t day, bool bill, struct error *err)
{
    cleanup_statement struct statement *statement = NULL;
    if (!statement_take(ledger->database, "clear spending",
                        "DELETE FROM spending WHERE grant_id = $1 AND day = $2 AND source = $3", &statement, err))
        return false;
    statement_bind_number(statement, 1, grant);
    statement_bind_number(statement, 2, day);
    statement_bind_text(statement, 3, source_name(bill), sizeof "estimate");
    return statement_run(statement, NULL, NULL, err);
}

bool ledger_clear_spending(struct ledger *ledger, int64_t grant, int64_t day, bool bill, struct error *err)
{
    bool own;
    return unit_begin(ledger, "clear spending", &own, err) &&
           unit_end(ledger, own, clear_spending(ledger, grant, day, bill, err), err);
}

static bool read_row(struct statement *statement, struct spending_record *record, struct spending_of *of, struct error *err)
{
    char source[16];
    *record = (struct spending_record){
        .grant_id = statement_number(statement, 0),
        .day = statement_number(statement, 1),
        .unpriced = statement_number(statement, 4) != 0,
        .micro_dollars = statement_number(statement, 5),
        .requests = statement_number(statement, 6),
        .input_tokens = statement_number(statement, 7),
        .cached_tokens = statement_number(statement, 8),
        .output_tokens = statement_number(statement, 9),
    };
    of->monthly_limit = statement_number(statement, 12);
    of->own_container = statement_number(statement, 15) != 0;
    bool ok = statement_text(statement, 2, source, sizeof source, err) &&
              statement_text(statement, 3, record->model, sizeof record->model, err) &&
              statement_text(statement, 10, of->domain, sizeof of->domain, err) &&
              statement_text(statement, 11, of->provider, sizeof of->provider, err) &&
              statement_text(statement, 13, of->name, sizeof of->name, err) &&
              statement_text(statement, 14, of->owner, sizeof of->owner, err);
    record->bill = ok && source[0] == 'b';
    return ok;
}

bool ledger_each_spending(struct ledger *ledger, int64_t since, int64_t until, int64_t after, ledger_spending_fn *callback,
                          void *context, struct error *err)
{
    cleanup_statement struct statement *statement = NULL;
    bool row = true;
    if (!statement_take(ledger->database, "read spending",
                        "SELECT s.grant_id, s.day, s.source, s.model, s.unpriced, s.micro_dollars, s.requests,"
                        " s.input_tokens, s.cached_tokens, s.output_tokens, g.domain, g.provider, g.monthly_limit,"
                        " COALESCE(d.name, ''), g.owner, c.subject IS NOT NULL"
                        " FROM spending s JOIN grants g ON g.id = s.grant_id LEFT JOIN domains d ON d.uuid = g.domain"
                        " LEFT JOIN (SELECT DISTINCT subject, provider FROM containers WHERE kind = 'per-domain') c"
                        " ON c.subject = g.domain AND c.provider = g.provider"
                        " WHERE s.day >= $1 AND s.day < $2 AND s.grant_id > $3 ORDER BY s.grant_id, s.day, s.source, s.model",
                        &statement, err))
        return false;
    statement_bind_number(statement, 1, since);
    statement_bind_number(statement, 2, until);
    statement_bind_number(statement, 3, after);
    for (;;) {
        struct spending_record record;
        struct spending_of of;
        if (!statement_step(statement, &row, err))
            return false;
        if (!row)
            return true;
        if (!read_row(statement, &record, &of, err) || !callback(context, &record, &of, err))
            return false;
    }
}

/* --- whose it is --- */

static bool find(struct ledger *ledger, const char *sql, const char *provider, const char *id, int64_t *ret_grant,
                 bool *ret_found, struct error *err)
{
    cleanup_statement struct statement *statement = NULL;
    if (!statement_take(ledger->database, "find spender", sql, &statement, err))
        return false;
    statement_bind_text(statement, 1, provider, POLICY_PROVIDER_SIZE);
    statement_bind_text(statement, 2, id, RECORD_REMOTE_ID_SIZE);
    return statement_run(statement, ret_found, ret_grant, err);
}

bool ledger_find_spender(struct ledger *ledger, const char *provider, const char *container, const char *key,
                         int64_t *ret_grant, struct error *err)
{
    bool found = false;
    if (!find(ledger, "SELECT g.id FROM containers c JOIN grants g ON g.domain = c.subject AND g.provider = c.provider"
                      " WHERE c.remote_id = $2 AND c.remote_id <> '' AND c.provider = $1 AND c.kind = 'per-domain'",
              provider, container, ret_grant, &found, err))
        return false;
    if (!found && key[0] &&
        (!find(ledger, "SELECT g.id FROM keys k JOIN grants g ON g.id = k.grant_id"
                       " WHERE k.usage_id = $2 AND k.usage_id <> '' AND g.provider = $1",
               provider, key, ret_grant, &found, err) ||
         (!found && !find(ledger, "SELECT g.id FROM keys k JOIN grants g ON g.id = k.grant_id"
                                  " WHERE k.remote_id = $2 AND k.remote_id <> '' AND g.provider = $1 ORDER BY k.id DESC",
                          provider, key, ret_grant, &found, err))))
        return false;
    return found || error_set(err, ERROR_NOT_FOUND, "find spender: no key of ours");
}

/* A shared container's keys are counted; one of a domain has a few at most, and is its own answer. */
bool ledger_each_scope(struct ledger *ledger, const char *provider, int64_t since, ledger_scope_fn *callback, void *context,
                       struct error *err)
{
    cleanup_statement struct statement *statement = NULL;
    bool row = true;
    if (!statement_take(ledger->database, "read scopes",
                        "SELECT c.remote_id, (SELECT count(*) FROM grants g JOIN keys k ON k.grant_id = g.id"
                        "   WHERE g.container_id = c.id AND k.minted_at > 0 AND (k.revoked_at = 0 OR k.revoked_at >= $2))"
                        " FROM containers c WHERE c.provider = $1 AND c.remote_id <> ''"
                        " AND (c.state <> 'archived' OR c.archived_at >= $2) ORDER BY c.id",
                        &statement, err))
        return false;
    statement_bind_text(statement, 1, provider, POLICY_PROVIDER_SIZE);
    statement_bind_number(statement, 2, since);
    for (;;) {
        char container[RECORD_REMOTE_ID_SIZE];
        if (!statement_step(statement, &row, err))
            return false;
        if (!row)
            return true;
        if (!statement_text(statement, 0, container, sizeof container, err) ||
            !callback(context, container, statement_number(statement, 1), err))
            return false;
    }
}

/* --- totals --- */

static bool save_total(struct ledger *ledger, int64_t grant, int64_t month, const char *key, int64_t micro_dollars,
                       struct error *err)
{
    cleanup_statement struct statement *statement = NULL;
    if (!statement_take(ledger->database, "save total",
                        "INSERT INTO totals (grant_id, month, key, micro_dollars) VALUES ($1, $2, $3, $4)"
                        " ON CONFLICT (grant_id, month, key) DO UPDATE SET micro_dollars = excluded.micro_dollars",
                        &statement, err))
        return false;
    statement_bind_number(statement, 1, grant);
    statement_bind_number(statement, 2, month);
    statement_bind_text(statement, 3, key, RECORD_REMOTE_ID_SIZE);
    statement_bind_number(statement, 4, micro_dollars);
    return statement_run(statement, NULL, NULL, err);
}

bool ledger_save_total(struct ledger *ledger, int64_t grant, int64_t month, const char *key, int64_t micro_dollars,
                       struct error *err)
{
    bool own;
    return unit_begin(ledger, "save total", &own, err) &&
           unit_end(ledger, own, save_total(ledger, grant, month, key, micro_dollars, err), err);
}

bool ledger_get_total(struct ledger *ledger, int64_t grant, int64_t month, int64_t *ret_micro_dollars, struct error *err)
{
    cleanup_statement struct statement *statement = NULL;
    bool found = false;
    if (!statement_take(ledger->database, "read total",
                        "SELECT COALESCE(sum(micro_dollars), 0) FROM totals WHERE grant_id = $1 AND month = $2", &statement,
                        err))
        return false;
    statement_bind_number(statement, 1, grant);
    statement_bind_number(statement, 2, month);
    return statement_run(statement, &found, ret_micro_dollars, err);
}

/* --- rates --- */

bool ledger_get_rates(struct ledger *ledger, int64_t grant, struct budget_rates *ret_rates, struct error *err)
{
    cleanup_statement struct statement *statement = NULL;
    bool row = false;
    *ret_rates = (struct budget_rates){.rate = 0};
    if (!statement_take(ledger->database, "read rates",
                        "SELECT rate, late, late_since, late_seen, late_month FROM rates WHERE grant_id = $1", &statement, err))
        return false;
    statement_bind_number(statement, 1, grant);
    if (!statement_step(statement, &row, err))
        return false;
    if (row)
        *ret_rates = (struct budget_rates){statement_number(statement, 0), statement_number(statement, 1),
                                           statement_number(statement, 2), statement_number(statement, 3),
                                           statement_number(statement, 4)};
    return true;
}

static bool set_rates(struct ledger *ledger, int64_t grant, const struct budget_rates *rates, struct error *err)
{
    cleanup_statement struct statement *statement = NULL;
    if (!statement_take(ledger->database, "save rates",
                        "INSERT INTO rates (grant_id, rate, late, late_since, late_seen, late_month)"
                        " VALUES ($1, $2, $3, $4, $5, $6)"
                        " ON CONFLICT (grant_id) DO UPDATE SET rate = excluded.rate, late = excluded.late,"
                        " late_since = excluded.late_since, late_seen = excluded.late_seen,"
                        " late_month = excluded.late_month",
                        &statement, err))
        return false;
    statement_bind_number(statement, 1, grant);
    statement_bind_number(statement, 2, rates->rate);
    statement_bind_number(statement, 3, rates->late);
    statement_bind_number(statement, 4, rates->late_since);
    statement_bind_number(statement, 5, rates->late_seen);
    statement_bind_number(statement, 6, rates->late_month);
    return statement_run(statement, NULL, NULL, err);
}

bool ledger_set_rates(struct ledger *ledger, int64_t grant, const struct budget_rates *rates, struct error *err)
{
    bool own;
    return unit_begin(ledger, "save rates", &own, err) && unit_end(ledger, own, set_rates(ledger, grant, rates, err), err);
}
