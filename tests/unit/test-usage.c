/* The daemon's counting (usage.c, usage-limits.c) with its own engine and ledger, against a provider on the loopback. */
#include "../ledger/fixture.h"

#include "base/clock.h"
#include "config-fixture.h"
#include "daemon/alerts.h"
#include "daemon/usage.h"
#include "poll-loop.h"
#include "scripted-server.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { PATIENCE_MS = 60000, DOLLAR = 1000000 };

#define JUST "[daemon]\nusage-interval = never\n[owner alice]\nmonthly-limit = 100\n"

/* A daemon as far as it counts. As the daemon itself it ends with the process, and much of it is never freed. */
struct world {
    struct engine engine;
    struct poll_loop *loop;
    struct scripted_server *server;
};

static struct world worlds[28];
static unsigned worlds_count;

/* TEXT: the configuration; %s in it is PLACE's folder, and %u the port of a server that answers with STEPS. */
static struct engine *begin(const struct place *place, const char *text, const struct script_step *steps, size_t count)
{
    static const struct script_step nothing = {NULL, SCRIPT_CLOSE, 0};
    struct world *world = &worlds[worlds_count++];
    struct engine *engine = &world->engine;
    struct error err = ERROR_INIT;
    char filled[1024];
    assert_true(worlds_count <= COUNT(worlds));
    world->loop = poll_loop_new();
    world->server = scripted_server_new(count ? steps : &nothing, count ? count : 1);
    engine->loop = poll_loop_base(world->loop);
    snprintf(engine->host_id, sizeof engine->host_id, "h1");
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(filled, sizeof filled, text, place->root, scripted_server_port(world->server));
#pragma GCC diagnostic pop
    engine->config = parse(filled);
    engine->ledger = open_ledger(place);
    if (!http_new(engine->loop, &engine->http, &err) || !requests_open_providers(engine, &err) || !rows_load(engine, &err) ||
        !usage_prepare(engine, &err) || !alerts_prepare(engine, &err))
        fail_msg("%s", err.text);
    return engine;
}

static struct world *world_of(struct engine *engine)
{
    return (struct world *)(void *)((char *)engine - offsetof(struct world, engine));
}

static void finish(struct engine *engine)
{
    struct world *world = world_of(engine);
    while (engine->providers) {
        struct provider_slot *slot = engine->providers;
        engine->providers = slot->next;
        provider_free(slot->provider);
        free(slot);
    }
    http_free(engine->http);
    scripted_server_free(world->server);
    ledger_close(engine->ledger);
}

#define until(engine, condition)                                              \
    do {                                                                      \
        int64_t end = clock_monotonic_ms() + PATIENCE_MS;                     \
        while (!(condition)) {                                                \
            poll_loop_turn(world_of(engine)->loop, 100);                      \
            if (clock_monotonic_ms() > end)                                   \
                fail_msg("still not after %d s: %s", PATIENCE_MS / 1000, #condition); \
        }                                                                     \
    } while (0)

/* --- what is in the ledger --- */

static int64_t today(void)
{
    return budget_day(clock_wall_ms());
}

/* Alice's domain with one key of PROVIDER, which reports call KEY. */
static struct family save_spender(struct ledger *ledger, const char *uuid, const char *provider, const char *key)
{
    struct family family = {.domain = a_domain(uuid), .container = a_container(uuid)};
    must(ledger_save_domain(ledger, &family.domain, &err));
    snprintf(family.container.provider, sizeof family.container.provider, "%s", provider);
    snprintf(family.container.remote_id, sizeof family.container.remote_id, "proj_%.8s", uuid);
    family.container.unknown = false;
    must(ledger_save_container(ledger, &family.container, &err));
    family.grant = a_grant(uuid, family.container.id);
    snprintf(family.grant.provider, sizeof family.grant.provider, "%s", provider);
    must(ledger_save_grant(ledger, &family.grant, &err));
    family.key = a_key(family.grant.id, 1, uuid);
    snprintf(family.key.remote_id, sizeof family.key.remote_id, "%s", key);
    snprintf(family.key.usage_id, sizeof family.key.usage_id, "%s", key);
    must(ledger_save_key(ledger, &family.key, &err));
    return family;
}

static void save_row(struct ledger *ledger, const struct family *family, int64_t day, bool bill, const char *model,
                     int64_t micro_dollars)
{
    struct spending_record row = {.grant_id = family->grant.id, .day = day, .bill = bill, .micro_dollars = micro_dollars};
    snprintf(row.model, sizeof row.model, "%s", model);
    must(ledger_save_spending(ledger, &row, &err));
}

/* Two domains of Alice's that have spent 60 dollars each, where she may spend 100. */
static void save_two_spenders(const struct place *place)
{
    struct ledger *ledger = open_ledger(place);
    const char *uuids[] = {UUID_1, UUID_2};
    for (size_t i = 0; i < COUNT(uuids); i++) {
        struct family family = save_spender(ledger, uuids[i], "static", i ? "key_2" : "key_1");
        save_row(ledger, &family, today(), true, "", 60 * DOLLAR);
    }
    ledger_close(ledger);
}

/* --- whose it is --- */

/* Its XML has been read, and says that it is OWNER's. */
static void learn_policy(struct engine *engine, struct vm *vm, const char *owner)
{
    struct policy_key *key = &vm->metadata.keys[0];
    vm->metadata_known = vm->has_metadata = true;
    vm->metadata.count = 1;
    snprintf(vm->metadata.owner, sizeof vm->metadata.owner, "%s", owner);
    snprintf(key->provider, sizeof key->provider, "static");
    policy_apply(engine, vm);
    assert_true(vm->policy_known);
}

/* After a restart the policy of one domain is known before the other's, or that one's never: it may be gone, or nobody can
 * read what its XML says. What it has spent is its owner's nevertheless. */
static void test_an_owner_is_known_before_the_policy_is(void **state)
{
    save_two_spenders(*state);
    struct engine *engine = begin(*state, JUST, NULL, 0);
    struct vm *known = engine_find_vm(engine, UUID_1), *unknown = engine_find_vm(engine, UUID_2);
    engine->judge(engine, unknown);
    assert_true(unknown->grants[0]->over_budget);
    char reason[512], remedy[512];
    unknown->grants[0]->status.status = PLAN_STATUS_OVER_BUDGET;
    status_grant_words(engine, unknown, unknown->grants[0], reason, sizeof reason, remedy, sizeof remedy);
    assert_non_null(strstr(reason, "its owner's limit of this month is reached"));
    assert_non_null(strstr(remedy, "raise monthly-limit in [owner alice] of ")); /* its own would change nothing */
    learn_policy(engine, known, "alice");
    assert_true(known->grants[0]->over_budget);
    assert_int_equal(usage_spent_together(engine, "alice"), 120 * DOLLAR);
    /* What is known then counts. */
    learn_policy(engine, unknown, "bob");
    assert_int_equal(usage_spent_together(engine, "alice"), 60 * DOLLAR);
    assert_int_equal(usage_spent_together(engine, "bob"), 60 * DOLLAR);
    assert_false(unknown->grants[0]->over_budget);
    engine->judge(engine, known);
    assert_false(known->grants[0]->over_budget);
    finish(engine);
    engine = begin(*state, JUST, NULL, 0);
    assert_int_equal(usage_spent_together(engine, "bob"), 60 * DOLLAR);
    finish(engine);
}

/* An operator may say either; what a hook calls a domain may be another's UUID, for whoever defines it chooses its name. */
static void test_a_name_is_no_uuid(void **state)
{
    save_two_spenders(*state);
    struct engine *engine = begin(*state, JUST, NULL, 0);
    struct vm *vm = NULL;
    assert_int_equal(engine_vms_called(engine, UUID_1, &vm), 1);
    assert_ptr_equal(vm, engine_find_vm(engine, UUID_1));
    assert_int_equal(engine_vms_named(engine, UUID_1, &vm), 0);
    assert_null(vm);
    assert_int_equal(engine_vms_named(engine, engine_find_vm(engine, UUID_1)->record.name, &vm), 1);
    finish(engine);
}

/* --- a ledger that cannot be read --- */

/* Nothing that llmhookd writes can be read back like this. */
static void spoil(const struct place *place)
{
    char sql[512];
    snprintf(sql, sizeof sql, "INSERT INTO spending VALUES (1, %lld, 'bill', '%0100d', 0, 0, 0, 0, 0, 0)", (long long)today(), 0);
    by_hand(place, sql);
}

static void mend(const struct place *place)
{
    by_hand(place, "DELETE FROM spending WHERE length(model) = 100");
}

/* PROVIDER tells that this was spent today with the first key. */
static void hear(struct engine *engine, int64_t micro_dollars)
{
    struct provider_usage row = {.kind = PROVIDER_USAGE_BILL, .container_id = PROVIDER_ACCOUNT, .key_id = "key_1",
                                 .day = today(), .micro_dollars = micro_dollars};
    usage_heard(engine, "static", &(struct provider_result){.usage = &row, .usage_count = 1});
}

static void test_what_cannot_be_read_lets_nobody_on(void **state)
{
    save_two_spenders(*state);
    struct engine *engine = begin(*state, JUST, NULL, 0);
    struct vm *vm = engine_find_vm(engine, UUID_1);
    learn_policy(engine, vm, "alice");
    assert_true(vm->grants[0]->over_budget);
    spoil(*state);
    hear(engine, 61 * DOLLAR);
    engine->judge(engine, vm);
    assert_true(vm->grants[0]->over_budget);
    assert_int_equal(usage_spent_together(engine, "alice"), 120 * DOLLAR); /* the report was not kept, either */
    mend(*state);
    hear(engine, 62 * DOLLAR);
    assert_int_equal(usage_spent_together(engine, "alice"), 122 * DOLLAR);
    finish(engine);
}

static void test_a_month_waits_for_the_ledger(void **state)
{
    save_two_spenders(*state);
    struct engine *engine = begin(*state, JUST, NULL, 0);
    struct usage *usage = engine->usage;
    int64_t month = usage->month;
    usage->month = usage->clock.month = budget_month(month - 1);
    spoil(*state);
    until(engine, usage->clock.month == month);
    assert_int_equal(usage->month, budget_month(month - 1));
    assert_int_equal(usage_spent_together(engine, "alice"), 120 * DOLLAR);
    mend(*state);
    until(engine, usage->month == month);
    assert_int_equal(usage_spent_together(engine, "alice"), 120 * DOLLAR);
    finish(engine);
}

/* Over the years most of those that ever spent something are gone. */
static void test_who_has_ended_is_forgotten_with_the_month(void **state)
{
    static const struct budget_rates rates = {.rate = 7};
    const char *uuids[] = {UUID_1, UUID_2, UUID_3};
    enum { LIVES, ENDED, ENDED_AND_SPENT, HOW_MANY };
    int64_t month = budget_month(today()), grants[HOW_MANY];
    struct ledger *ledger = open_ledger(*state);
    for (size_t i = 0; i < HOW_MANY; i++) {
        char key[16];
        snprintf(key, sizeof key, "key_%zu", i);
        struct family family = save_spender(ledger, uuids[i], "static", key);
        grants[i] = family.grant.id;
        save_row(ledger, &family, month - 1, true, "", 60 * DOLLAR);
        if (i == ENDED_AND_SPENT)
            save_row(ledger, &family, month, true, "", DOLLAR);
        if (i == LIVES)
            continue;
        must(ledger_set_rates(ledger, family.grant.id, &rates, &err));
        family.key.state = KEY_REVOKED;
        family.key.revoked_at = family.grant.ended_at = clock_wall_ms();
        must(ledger_save_key(ledger, &family.key, &err));
        must(ledger_save_grant(ledger, &family.grant, &err));
    }
    ledger_close(ledger);
    struct engine *engine = begin(*state, JUST, NULL, 0);
    struct usage *usage = engine->usage;
    usage->month = usage->clock.month = budget_month(month - 1);
    struct provider_usage row = {.kind = PROVIDER_USAGE_BILL, .container_id = PROVIDER_ACCOUNT, .key_id = "nobody's",
                                 .day = today(), .micro_dollars = DOLLAR};
    const struct provider_result result = {.usage = &row, .usage_count = 1};
    usage_heard(engine, "static", &result); /* loads that month */
    assert_int_equal(usage_spent_together(engine, NULL), 180 * DOLLAR);
    until(engine, usage->month == month);
    assert_non_null(usage_find(engine, grants[LIVES]));
    assert_null(usage_find(engine, grants[ENDED]));
    assert_non_null(usage_find(engine, grants[ENDED_AND_SPENT]));
    assert_int_equal(usage_spent_together(engine, NULL), DOLLAR);
    /* A bill that comes late is of somebody nevertheless. */
    snprintf(row.key_id, sizeof row.key_id, "key_1");
    usage_heard(engine, "static", &result);
    const struct usage_account *back = usage_find(engine, grants[ENDED]);
    assert_non_null(back);
    assert_int_equal(usage_spent(engine, back), DOLLAR);
    assert_int_equal(back->budget.rates.rate, rates.rate);
    finish(engine);
}

/* --- reports --- */

#define LITELLM                                                                                 \
    "[daemon]\nusage-interval = 1d\n[provider litellm]\nadmin-key = file:%s/admin-key\n"       \
    "base-url = http://127.0.0.1:%u\nguest-base-url = http://gateway.lan:4000\n"
#define METRICS(spend) \
    "{\"metrics\":{\"spend\":" spend ",\"prompt_tokens\":1,\"cache_read_input_tokens\":0,\"completion_tokens\":1," \
    "\"api_requests\":1}}"
#define MODEL(name, keys) "\"" name "\":{\"api_key_breakdown\":{" keys "}}"
#define DAY "{\"date\":\"%s\",\"metrics\":{},\"breakdown\":{\"models\":{%s},\"api_keys\":{%s}}}"

static void write_date(int64_t day, char date[16])
{
    time_t seconds = (time_t)(day * (BUDGET_DAY_MS / 1000));
    struct tm tm;
    assert_non_null(gmtime_r(&seconds, &tm));
    assert_int_not_equal(strftime(date, 16, "%Y-%m-%d", &tm), 0);
}

/* LiteLLM's report of DAY. */
static const char *report(char *text, size_t size, int64_t day, const char *models, const char *keys)
{
    char date[16];
    write_date(day, date);
    snprintf(text, size, "{\"results\":[" DAY "],\"metadata\":{\"total_pages\":1}}", date, models, keys);
    return script_answer("200", "Content-Type: application/json\r\n", text);
}

struct summed {
    int64_t grant, day, sum;
    unsigned rows;
    bool bill;
    char model[65]; /* of the last row */
};

static bool sum_up(void *context, const struct spending_record *record, const struct spending_of *of, struct error *err)
{
    struct summed *summed = context;
    (void)of, (void)err;
    if (record->grant_id != summed->grant || record->day != summed->day || record->bill != summed->bill)
        return true;
    summed->sum += record->micro_dollars;
    summed->rows++;
    memcpy(summed->model, record->model, sizeof summed->model);
    return true;
}

static void check_day(struct engine *engine, const struct family *family, int64_t day, bool bill, int64_t sum, unsigned rows,
                      const char *last_model)
{
    struct summed summed = {.grant = family->grant.id, .day = day, .bill = bill};
    must(ledger_each_spending(engine->ledger, 0, 1000000, 0, sum_up, &summed, &err));
    assert_int_equal(summed.sum, sum);
    assert_int_equal(summed.rows, rows);
    assert_string_equal(summed.model, last_model);
}

static void poll_again(struct engine *engine)
{
    const struct usage_provider *state = usage_provider_state(engine, "litellm");
    int64_t before = state ? state->polled_at : 0;
    usage_reload(engine);
    until(engine, (state = usage_provider_state(engine, "litellm")) && state->polled_at != before);
}

static void write_admin_key(const struct place *place)
{
    char path[160];
    snprintf(path, sizeof path, "%s/admin-key", place->root);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("the-admin's", file);
    fclose(file);
    assert_int_equal(chmod(path, 0600), 0);
}

/* A proxy that is upgraded tells models where it told none before: that is the same money. */
static void test_a_report_takes_the_place_of_what_was_told_of_a_day(void **state)
{
    struct ledger *ledger = open_ledger(*state);
    int64_t day = today(), last_month = day - 31, earlier = day - 60; /* neither is ever of this month */
    char first[2048], second[2048], settled[2048];
    struct family one = save_spender(ledger, UUID_1, "litellm", "key_1");
    struct family two = save_spender(ledger, UUID_2, "litellm", "key_2");
    struct family other = save_spender(ledger, UUID_3, "openai", "key_3");
    struct key_record newer = a_key(one.grant.id, 2, "newer");
    snprintf(newer.usage_id, sizeof newer.usage_id, "key_1b");
    must(ledger_save_key(ledger, &newer, &err));
    save_row(ledger, &one, day, false, "estimated", 7);
    save_row(ledger, &one, last_month, true, "of another day", 8);
    save_row(ledger, &one, earlier, true, "not asked about", 9);
    save_row(ledger, &two, day, true, "old", 10);
    save_row(ledger, &other, day, true, "of another provider", 11);
    ledger_close(ledger);
    write_admin_key(*state);
    static const char keys[] = "\"key_1\":" METRICS("0.5") ",\"key_1b\":" METRICS("0.25");
    static const char models[] = MODEL("m-1", "\"key_1\":" METRICS("0.5")) "," MODEL("m-2", "\"key_1b\":" METRICS("0.25"));
    /* Settled days are asked about by themselves; nobody asks about this one. */
    const char *before = report(settled, sizeof settled, earlier, "", "\"key_1\":" METRICS("0.125"));
    const struct script_step steps[] = {
        {report(first, sizeof first, day, "", keys), SCRIPT_CLOSE, 0},
        {before, SCRIPT_CLOSE, 0},
        {report(second, sizeof second, day, models, keys), SCRIPT_CLOSE, 0},
        {before, SCRIPT_CLOSE, 0},
    };
    struct engine *engine = begin(*state, LITELLM, steps, COUNT(steps));
    while (engine->vms_count) /* whose keys' limits would be asked about */
        engine_forget(engine, engine->vms[0]);
    poll_again(engine);
    check_day(engine, &one, day, true, 750000, 1, "");
    poll_again(engine);
    check_day(engine, &one, day, true, 750000, 2, "m-2");
    assert_int_equal(budget_billed(&usage_find(engine, one.grant.id)->budget), 750000);
    /* Nothing else was told of. */
    check_day(engine, &one, day, false, 7, 1, "estimated");
    check_day(engine, &one, last_month, true, 8, 1, "of another day");
    check_day(engine, &two, day, true, 10, 1, "old");
    check_day(engine, &other, day, true, 11, 1, "of another provider");
    /* Told, but not asked about: perhaps it is not all of that day. */
    check_day(engine, &one, earlier, true, 125009, 2, "not asked about");
    finish(engine);
}

/* At a key's end it tells of itself alone. */
static void test_what_a_key_tells_in_the_end_removes_nothing(void **state)
{
    struct ledger *ledger = open_ledger(*state);
    struct family family = save_spender(ledger, UUID_1, "static", "key_1");
    save_row(ledger, &family, today(), true, "m-1", 5);
    ledger_close(ledger);
    struct engine *engine = begin(*state, JUST, NULL, 0);
    hear(engine, 3);
    check_day(engine, &family, today(), true, 8, 2, "m-1");
    finish(engine);
}

/* --- limits at the provider --- */

#define OPENAI \
    "[daemon]\nusage-interval = never\n[provider openai]\nadmin-key = file:%s/admin-key\nbase-url = http://127.0.0.1:%u/v1\n" \
    "guest-base-url = http://gateway.lan/v1\n"
#define COMPLAINT(message, code) "{\"error\":{\"message\":\"" message "\",\"type\":\"t\",\"param\":null,\"code\":\"" code "\"}}"
#define LIMIT(amount)                                                                                     \
    "{\"object\":\"project.spend_limit\",\"threshold_amount\":" amount ",\"currency\":\"USD\",\"interval\":\"month\"," \
    "\"enforcement\":{\"status\":\"inactive\"}}"
#define PROJECT "{\"id\":\"proj_11111111\",\"object\":\"organization.project\",\"name\":\"n\",\"created_at\":1}"
#define NO_PROJECT COMPLAINT("No such project.", "not_found")

/* The limit is 25 dollars, and the provider answers so when it is asked about it; SECOND NULL: with one answer. Whether it
 * counts as changed by others, which is told. */
static bool counts_as_changed(const struct place *place, const char *status, const char *first, const char *second_status,
                              const char *second)
{
    const struct script_step steps[] = {
        {script_answer(status, "Content-Type: application/json\r\n", first), SCRIPT_CLOSE, 0},
        {second ? script_answer(second_status, "Content-Type: application/json\r\n", second) : NULL, SCRIPT_CLOSE, 0},
    };
    struct engine *engine = begin(place, OPENAI, steps, COUNT(steps));
    struct usage_provider state = {.name = "openai"};
    engine->containers->record.limit_set = 25 * DOLLAR;
    usage_read_limits(engine, engine->providers, &state, clock_monotonic_ms());
    until(engine, engine->providers->in_flight == 0);
    assert_int_equal(scripted_server_requests(world_of(engine)->server), second ? 2 : 1);
    assert_memory_equal(scripted_server_request(world_of(engine)->server, 0), "GET ", 4);
    bool changed = engine->containers->record.limit_set == 0;
    if (!changed)
        assert_int_equal(engine->containers->record.limit_set, 25 * DOLLAR);
    assert_int_equal(number_by_hand(place, "SELECT count(*) FROM alerts WHERE kind = 'cap-changed'"), changed);
    by_hand(place, "DELETE FROM alerts");
    finish(engine);
    return changed;
}

static void test_a_limit_that_cannot_be_read_was_not_changed(void **state)
{
    struct ledger *ledger = open_ledger(*state);
    save_spender(ledger, UUID_1, "openai", "key_1");
    ledger_close(ledger);
    write_admin_key(*state);
    assert_false(counts_as_changed(*state, "200", LIMIT("2500"), NULL, NULL));
    assert_false(counts_as_changed(*state, "403", "<html>Forbidden</html>", NULL, NULL));
    assert_false(counts_as_changed(*state, "403", COMPLAINT("You may not.", "insufficient_permissions"), NULL, NULL));
    assert_false(counts_as_changed(*state, "400", COMPLAINT("Bad request.", ""), NULL, NULL));
    assert_false(counts_as_changed(*state, "404", NO_PROJECT, "404", NO_PROJECT)); /* another organisation's admin key */
    assert_true(counts_as_changed(*state, "200", LIMIT("2400"), NULL, NULL));
    assert_true(counts_as_changed(*state, "404", NO_PROJECT, "200", PROJECT)); /* taken away */
    assert_true(counts_as_changed(*state, "403", COMPLAINT("Spend limits are not enabled.", ""), NULL, NULL));
}

/* The last report has shown a part of a day's bill, and none could be read since: when the day's bill is due by the clock, the
 * part is not taken for the whole. */
static void test_a_part_of_a_bill_does_not_become_the_whole(void **state)
{
    struct ledger *ledger = open_ledger(*state);
    struct family one = save_spender(ledger, UUID_1, "openai", "key_1");
    int64_t day = today() - 2;
    char text[32];
    save_row(ledger, &one, day, false, "gpt-4o", 120 * DOLLAR);
    save_row(ledger, &one, day, true, "gpt-4o", 10 * DOLLAR);
    snprintf(text, sizeof text, "%lld", (long long)(day * BUDGET_DAY_MS + BUDGET_DAY_MS / 2));
    must(ledger_set_text(ledger, "usage-read:openai", text, &err));
    ledger_close(ledger);
    write_admin_key(*state);
    static const char configuration[] = "[daemon]\nusage-interval = never\n[owner alice]\nmonthly-limit = 100\n"
                                        "[provider openai]\nadmin-key = file:%s/admin-key\nbase-url = http://127.0.0.1:%u/v1\n";
    struct engine *engine = begin(*state, configuration, NULL, 0);
    bool in_this_month = budget_month(day) == budget_month(today()); /* else it counts for nobody any more */
    assert_int_equal(usage_spent_together(engine, "alice"), in_this_month ? 120 * DOLLAR : 0);
    finish(engine);
    engine = begin(*state, JUST, NULL, 0); /* nor does it where the provider is configured no more */
    assert_int_equal(usage_spent_together(engine, "alice"), in_this_month ? 120 * DOLLAR : 0);
    finish(engine);
    ledger = open_ledger(*state);
    snprintf(text, sizeof text, "%lld", (long long)((day + 2) * BUDGET_DAY_MS));
    must(ledger_set_text(ledger, "usage-read:openai", text, &err));
    ledger_close(ledger);
    engine = begin(*state, configuration, NULL, 0);
    assert_int_equal(usage_spent_together(engine, "alice"), in_this_month ? 10 * DOLLAR : 0);
    finish(engine);
}

/* --- a project that is shared --- */

/* A domain of Alice's in the project of all of hers; IN: it still is. */
static void save_sharer(struct ledger *ledger, const char *uuid, int64_t container, bool in, int64_t spent)
{
    struct family family = {.domain = a_domain(uuid), .grant = a_grant(uuid, in ? container : 0)};
    must(ledger_save_domain(ledger, &family.domain, &err));
    family.grant.ended_at = in ? 0 : clock_wall_ms();
    must(ledger_save_grant(ledger, &family.grant, &err));
    save_row(ledger, &family, today(), true, "", spent);
}

static void test_who_has_gone_leaves_what_it_spent(void **state)
{
    struct ledger *ledger = open_ledger(*state);
    struct container_record container = a_container("alice");
    container.kind = CONTAINER_PER_OWNER;
    container.state = CONTAINER_OPEN;
    must(ledger_save_container(ledger, &container, &err));
    save_sharer(ledger, UUID_1, container.id, true, 60 * DOLLAR);
    save_sharer(ledger, UUID_2, container.id, false, 30 * DOLLAR + 1);
    struct family apart = save_spender(ledger, UUID_3, "openai", "key_3"); /* in a project of its own */
    save_row(ledger, &apart, today(), true, "", 20 * DOLLAR);
    ledger_close(ledger);
    struct engine *engine = begin(*state, JUST, NULL, 0);
    struct vm_grant *sharer = engine_find_vm(engine, UUID_1)->grants[0];
    sharer->wanted = true;
    assert_int_equal(sharer->container->record.kind, CONTAINER_PER_OWNER);
    assert_int_equal(engine_wanted_limit(engine, sharer), sharer->record.monthly_limit + 30 * DOLLAR + DOLLAR / 100);
    /* When it has none of its own either, nothing is wanted of the project. */
    sharer->wanted = false;
    assert_int_equal(engine_wanted_limit(engine, sharer), 0);
    finish(engine);
}

/* The project that is given in the configuration is another now: where a domain has keys it stays in the one that they are in;
 * without any, what comes is made in the new one. */
static void test_without_keys_another_project_is_taken(void **state)
{
    static const char configuration[] =
        "[daemon]\nusage-interval = never\n[provider openai]\nadmin-key = file:%s/admin-key\nbase-url = http://127.0.0.1:%u/v1\n"
        "project = proj_new\n";
    struct ledger *ledger = open_ledger(*state);
    struct container_record container = a_container("proj_old");
    container.kind = CONTAINER_GIVEN;
    container.state = CONTAINER_OPEN;
    snprintf(container.remote_id, sizeof container.remote_id, "proj_old");
    must(ledger_save_container(ledger, &container, &err));
    const char *uuids[] = {UUID_1, UUID_2, UUID_3};
    for (size_t i = 0; i < COUNT(uuids); i++) {
        save_sharer(ledger, uuids[i], container.id, true, 0);
        struct key_record key = a_key((int64_t)i + 1, 1, uuids[i]);
        if (i == 0)
            must(ledger_save_key(ledger, &key, &err));
    }
    ledger_close(ledger);
    write_admin_key(*state);
    struct engine *engine = begin(*state, configuration, NULL, 0);
    for (size_t i = 0; i < 2; i++) {
        struct vm *vm = engine_find_vm(engine, uuids[i]);
        struct vm_grant *grant = vm->grants[0];
        bool has_keys = grant->keys_count > 0;
        assert_int_equal(has_keys, i == 0);
        snprintf(vm->metadata.keys[0].provider, sizeof vm->metadata.keys[0].provider, "openai");
        vm->metadata_known = vm->has_metadata = true;
        vm->metadata.count = 1;
        policy_apply(engine, vm);
        assert_int_equal(grant->container != NULL, has_keys);
        assert_int_equal(grant->record.container_id, has_keys ? container.id : 0);
    }
    /* The ledger does not take it: then it is not so in memory either, and comes with the next look. */
    struct vm *vm = engine_find_vm(engine, UUID_3);
    vm->metadata = engine_find_vm(engine, UUID_2)->metadata;
    vm->metadata_known = vm->has_metadata = true;
    by_hand(*state, "CREATE TRIGGER full BEFORE UPDATE ON grants BEGIN SELECT RAISE(ABORT, 'full'); END");
    policy_apply(engine, vm);
    assert_non_null(vm->grants[0]->container);
    assert_int_equal(vm->grants[0]->record.container_id, container.id);
    by_hand(*state, "DROP TRIGGER full");
    policy_apply(engine, vm);
    assert_null(vm->grants[0]->container);
    assert_int_equal(vm->grants[0]->record.container_id, 0);
    finish(engine);
}

/* --- what cannot be read --- */

static void test_usage_that_cannot_be_read_is_known(void **state)
{
    write_admin_key(*state);
    struct engine *engine = begin(*state,
                                  "[daemon]\nusage-interval = 10min\n"
                                  "[provider openai]\nadmin-key = file:%s/admin-key\nbase-url = http://127.0.0.1:%u/v1\n",
                                  NULL, 0);
    struct usage_provider *reports = usage_state(engine, "openai");
    reports->failing_since = clock_monotonic_ms();
    assert_false(usage_is_unread(engine, engine->providers)); /* it has not been tried */
    reports->failures = 3;
    assert_true(usage_is_unread(engine, engine->providers));
    reports->polled_wall = clock_wall_ms() - 29 * 60 * 1000; /* by the daemon before */
    assert_false(usage_is_unread(engine, engine->providers));
    reports->polled_wall -= 2 * 60 * 1000;
    assert_true(usage_is_unread(engine, engine->providers));
    reports->failures = 2;
    assert_false(usage_is_unread(engine, engine->providers));
    reports->failing_since -= 31 * 60 * 1000; /* it was told to wait in between */
    assert_true(usage_is_unread(engine, engine->providers));
    finish(engine);
}

#define OFTEN \
    "[daemon]\nusage-interval = 10s\n[provider openai]\nadmin-key = file:%s/admin-key\nbase-url = http://127.0.0.1:%u/v1\n"

/* With a domain that is asked about at once. */
static struct engine *begin_to_ask(const struct place *place, const struct script_step *steps, size_t count)
{
    struct ledger *ledger = open_ledger(place);
    save_spender(ledger, UUID_1, "openai", "key_1");
    ledger_close(ledger);
    write_admin_key(place);
    return begin(place, OFTEN, steps, count);
}

/* A report has come, and the ledger does not take it: nothing was read. */
static void test_a_ledger_that_takes_no_report_is_known(void **state)
{
    static const char page[] = "{\"object\":\"page\",\"data\":[],\"has_more\":false,\"next_page\":null}";
    const struct script_step steps[] = {
        {script_answer("200 OK", "Content-Type: application/json\r\n", page), SCRIPT_CLOSE, 0},
        {script_answer("200 OK", "Content-Type: application/json\r\n", page), SCRIPT_CLOSE, 0},
    };
    struct engine *engine = begin_to_ask(*state, steps, COUNT(steps));
    struct usage_provider *reports = usage_state(engine, "openai");
    spoil(*state);
    until(engine, reports->failures == 1);
    assert_true(reports->failing_since > 0);
    assert_int_equal(reports->polled_at, 0);
    assert_non_null(strstr(reports->problem, "read spending"));
    finish(engine);
}

static void write_prices(const struct place *place, const char *input)
{
    char path[512];
    snprintf(path, sizeof path, "%s/prices.conf", place->root);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "[gpt-4o]\ninput = %s\ncached-input = %s\noutput = %s\ndate = 2026-11-27\nchecked = no\n", input, input, input);
    assert_int_equal(fclose(file), 0);
}

/* The month costs a hundred times as much by other prices: nobody has spent faster for that. */
static void test_other_prices_are_no_haste(void **state)
{
    static const char costs[] = "{\"data\":[],\"has_more\":false,\"next_page\":null}";
    char tokens[512];
    snprintf(tokens, sizeof tokens,
             "{\"data\":[{\"start_time\":%lld,\"results\":[{\"project_id\":\"proj_%.8s\",\"api_key_id\":\"key_1\",\"model\":\"gpt-4o\","
             "\"input_tokens\":1000000}]}],\"has_more\":false,\"next_page\":null}",
             (long long)today() * 86400, UUID_1);
    const struct script_step steps[] = {
        {script_answer("200 OK", "Content-Type: application/json\r\n", costs), SCRIPT_CLOSE, 0},
        {script_answer("200 OK", "Content-Type: application/json\r\n", tokens), SCRIPT_CLOSE, 0},
        {script_answer("200 OK", "Content-Type: application/json\r\n", costs), SCRIPT_CLOSE, 0},
        {script_answer("200 OK", "Content-Type: application/json\r\n", tokens), SCRIPT_CLOSE, 0},
    };
    struct ledger *ledger = open_ledger(*state);
    struct family one = save_spender(ledger, UUID_1, "openai", "key_1");
    ledger_close(ledger);
    write_admin_key(*state);
    write_prices(*state, "1");
    struct engine *engine = begin(*state, "[daemon]\nusage-interval = 10s\nprices = %1$s/prices.conf\n"
                                          "[provider openai]\nadmin-key = file:%1$s/admin-key\nbase-url = http://127.0.0.1:%2$u/v1\n",
                                  steps, COUNT(steps));
    struct usage_provider *reports = usage_state(engine, "openai");
    until(engine, reports->polled_at > 0);
    int64_t first = reports->polled_at;
    assert_int_equal(usage_spent_together(engine, NULL), DOLLAR);
    write_prices(*state, "100");
    usage_reload(engine);
    until(engine, reports->polled_at > first);
    assert_int_equal(usage_spent_together(engine, NULL), 100 * DOLLAR);
    assert_int_equal(usage_find(engine, one.grant.id)->budget.rates.rate, 0);
    finish(engine);
}

/* As with the provider's gate: an hour at most, whatever is asked for. */
static void test_nobody_is_left_unread_for_a_day(void **state)
{
    const struct script_step steps[] = {
        {script_answer("503 Later", "Retry-After: 86400\r\nContent-Type: application/json\r\n", "{}"), SCRIPT_CLOSE, 0}};
    struct engine *engine = begin_to_ask(*state, steps, COUNT(steps));
    struct usage_provider *reports = usage_state(engine, "openai");
    until(engine, reports->failures == 1);
    int64_t wait = reports->next_at - clock_monotonic_ms();
    assert_true(wait > 3500 * 1000 && wait <= 3600 * 1000);
    finish(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        case_of(test_a_part_of_a_bill_does_not_become_the_whole),
        case_of(test_an_owner_is_known_before_the_policy_is),
        case_of(test_a_name_is_no_uuid),
        case_of(test_what_cannot_be_read_lets_nobody_on),
        case_of(test_a_month_waits_for_the_ledger),
        case_of(test_who_has_ended_is_forgotten_with_the_month),
        case_of(test_a_report_takes_the_place_of_what_was_told_of_a_day),
        case_of(test_what_a_key_tells_in_the_end_removes_nothing),
        case_of(test_a_limit_that_cannot_be_read_was_not_changed),
        case_of(test_who_has_gone_leaves_what_it_spent),
        case_of(test_without_keys_another_project_is_taken),
        case_of(test_usage_that_cannot_be_read_is_known),
        case_of(test_a_ledger_that_takes_no_report_is_known),
        case_of(test_other_prices_are_no_haste),
        case_of(test_nobody_is_left_unread_for_a_day),
    };
    if (!secret_init(NULL) || !http_prepare(NULL))
        return 1;
    return check_run(tests);
}
