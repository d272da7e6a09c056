/* Alerts in the ledger: raised once for a cause, live until they have ended and everybody has heard. */
#include "../ledger/fixture.h"

#include <stdio.h>

static struct alert_record an_alert(enum alert_kind kind, const char *cause)
{
    struct alert_record record = {.kind = kind, .raised_at = 1000, .pending = ALERT_TO_WEBHOOK | ALERT_TO_MAIL};
    snprintf(record.cause, sizeof record.cause, "%s", cause);
    snprintf(record.text, sizeof record.text, "text of %s", cause);
    snprintf(record.domain, sizeof record.domain, UUID_1);
    snprintf(record.name, sizeof record.name, "dev-1");
    snprintf(record.provider, sizeof record.provider, "openai");
    return record;
}

struct gathered {
    unsigned count;
    struct alert_record all[8];
};

static bool gather(void *context, const struct alert_record *record, struct error *err)
{
    struct gathered *gathered = context;
    if (gathered->count == 8)
        return error_set(err, ERROR_LIMIT, "too many");
    gathered->all[gathered->count++] = *record;
    return true;
}

static void live(struct ledger *ledger, struct gathered *gathered)
{
    *gathered = (struct gathered){.count = 0};
    must(ledger_each_live_alert(ledger, gather, gathered, &err));
}

static void what_is_saved_comes_back(void **state)
{
    struct gathered gathered;
    struct ledger *ledger = open_ledger(*state);
    struct alert_record record = an_alert(ALERT_STUCK, "stuck a");
    must(ledger_save_alert(ledger, &record, &err));
    ledger_close(ledger);
    ledger = open_ledger(*state);
    live(ledger, &gathered);
    assert_int_equal(gathered.count, 1);
    assert_int_equal(gathered.all[0].id, record.id);
    assert_int_equal(gathered.all[0].kind, ALERT_STUCK);
    assert_string_equal(gathered.all[0].cause, "stuck a");
    assert_string_equal(gathered.all[0].text, "text of stuck a");
    assert_string_equal(gathered.all[0].domain, UUID_1);
    assert_string_equal(gathered.all[0].name, "dev-1");
    assert_string_equal(gathered.all[0].provider, "openai");
    assert_int_equal(gathered.all[0].raised_at, 1000);
    assert_int_equal(gathered.all[0].ended_at, 0);
    assert_int_equal(gathered.all[0].pending, ALERT_TO_WEBHOOK | ALERT_TO_MAIL);
    ledger_close(ledger);
}

static void a_cause_is_open_once(void **state)
{
    bool raised = true;
    struct ledger *ledger = open_ledger(*state);
    struct alert_record first = an_alert(ALERT_STUCK, "stuck a"), second = first;
    must(ledger_alert_was_raised(ledger, "stuck a", &raised, &err));
    assert_false(raised);
    must(ledger_save_alert(ledger, &first, &err));
    must(ledger_alert_was_raised(ledger, "stuck a", &raised, &err));
    assert_true(raised);
    must_fail(ledger_save_alert(ledger, &second, &err), ERROR_EXISTS, "save alert");
    first.ended_at = 2000;
    must(ledger_save_alert(ledger, &first, &err));
    must(ledger_save_alert(ledger, &second, &err)); /* it has come again */
    second.kind = ALERT_DRIFT;
    must_fail(ledger_save_alert(ledger, &second, &err), ERROR_NOT_FOUND, "kind and cause");
    ledger_close(ledger);
}

static void what_ended_stays_until_all_have_heard(void **state)
{
    struct gathered gathered;
    struct ledger *ledger = open_ledger(*state);
    struct alert_record one = an_alert(ALERT_BUDGET, "budget a"), other = an_alert(ALERT_BUDGET, "budget b");
    one.ended_at = other.ended_at = 1000;
    must(ledger_save_alert(ledger, &one, &err));
    must(ledger_save_alert(ledger, &other, &err));
    other.pending = 0;
    must(ledger_save_alert(ledger, &other, &err));
    live(ledger, &gathered);
    assert_int_equal(gathered.count, 1);
    assert_string_equal(gathered.all[0].cause, "budget a");
    must(ledger_forget_alerts(ledger, 1000, &err));
    bool raised = false;
    must(ledger_alert_was_raised(ledger, "budget b", &raised, &err));
    assert_true(raised); /* it did not end before then */
    must(ledger_forget_alerts(ledger, 1001, &err));
    must(ledger_alert_was_raised(ledger, "budget b", &raised, &err));
    assert_false(raised);
    must(ledger_alert_was_raised(ledger, "budget a", &raised, &err));
    assert_true(raised);
    ledger_close(ledger);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        case_of(what_is_saved_comes_back),
        case_of(a_cause_is_open_once),
        case_of(what_ended_stays_until_all_have_heard),
    };
    return check_run(tests);
}
