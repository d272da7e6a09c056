/* The pool of keys that people made: adding, listing, removing, and the warning when it runs low. (pool.c is the
 * threads'.)
 *
 * Which of the provider's keys a secret is, the provider is asked: by its beginning and its end, which is all that it
 * shows. Then it is switched off there, until a domain claims it. Until both have been answered, nothing is in the ledger:
 * a request that was lost and is carried out late must not switch off what a domain has claimed since. */
#include "daemon/engine.h"

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/json.h"
#include "base/log.h"
#include "credentials/credential.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct adding {
    struct engine *engine;
    struct provider_slot *slot;
    struct control_call *call; /* NULL: whoever asked has gone */
    struct secret *secret;
    struct pool_record record;
    char container[RECORD_REMOTE_ID_SIZE]; /* that it was made in, and cannot leave */
    char name[RECORD_NAME_SIZE];           /* at the provider */
    int64_t asked_at;
    int64_t expires_at; /* wall-clock milliseconds; 0: never */
    bool id_given;
};

/* One at a time: of two of the same key the second would switch off what the first one has brought to a domain. */
static struct adding *under_way;

static void fail(struct control_call *call, const char *reason)
{
    struct json_object *answer = json_object_new_object();
    json_put_string(answer, "reason", reason);
    control_error(call, "Failed", answer);
}

/* The provider that the call names, if it has a pool. NULL: the call has been answered. */
static struct provider_slot *named_pool(struct engine *engine, struct control_call *call, struct json_object *parameters)
{
    char name[POLICY_PROVIDER_SIZE], reason[256];
    if (!json_get_string(parameters, "provider", name, sizeof name, NULL)) {
        control_invalid_parameter(call, "provider");
        return NULL;
    }
    struct provider_slot *slot = engine_provider(engine, name);
    if (slot && (provider_capabilities(slot->provider) & PROVIDER_CLAIMS))
        return slot;
    if (slot)
        snprintf(reason, sizeof reason, "provider %s makes its keys itself, and has no pool", name);
    else
        snprintf(reason, sizeof reason, "there is no provider '%s' in the configuration", name);
    fail(call, reason);
    return NULL;
}

/* --- adding --- */

static void asker_left(void *context)
{
    ((struct adding *)context)->call = NULL;
}

static void end_adding(struct adding *adding, const char *reason)
{
    if (reason && adding->call)
        fail(adding->call, reason);
    secret_free(adding->secret);
    free(adding);
    under_way = NULL;
}

static bool given_workspace(const struct provider_slot *slot)
{
    const char *project = slot->settings->project;
    return strcmp(project, "per-domain") != 0 && strcmp(project, "per-owner") != 0;
}

/* Which of the keys that look like it. False: REASON says why none. */
static bool choose(struct adding *adding, const struct provider_result *result, struct buffer *reason)
{
    const struct provider_item *chosen = NULL;
    size_t fitting = 0;
    for (size_t i = 0; i < result->items_count; i++) {
        const struct provider_item *item = &result->items[i];
        if (adding->id_given && strcmp(item->id, adding->record.remote_id) != 0)
            continue;
        chosen = item;
        fitting++;
    }
    if (fitting == 1) {
        memcpy(adding->record.remote_id, chosen->id, sizeof adding->record.remote_id);
        memcpy(adding->container, chosen->container_id, sizeof adding->container);
        memcpy(adding->name, chosen->name, sizeof adding->name);
        if (!adding->record.hint[0])
            snprintf(adding->record.hint, sizeof adding->record.hint, "%.*s", (int)sizeof adding->record.hint - 1, chosen->name);
        if (chosen->of_no_container)
            return buffer_append_text(reason, "it is of the whole organisation, not of a workspace: a VM could do with it "
                                      "whatever its owner can, and has other VMs' keys in reach. Make one in a workspace"), false;
        adding->expires_at = chosen->expires_at;
        if (!given_workspace(adding->slot) || strcmp(chosen->container_id, adding->slot->settings->project) == 0)
            return true;
        buffer_printf(reason, "it is in workspace %s, and provider %s is to use %s alone (project in the configuration)",
                      chosen->container_id, adding->record.provider, adding->slot->settings->project);
    } else if (fitting) {
        buffer_append_text(reason, "several of the provider's keys look like it: say which one with --id:");
        for (size_t i = 0; i < result->items_count; i++)
            buffer_printf(reason, "%s %s (%s)", i ? "," : "", result->items[i].id, result->items[i].name);
    } else if (adding->id_given) {
        buffer_printf(reason, "%s does not begin and end like this key, or is archived: look at its id in the Console",
                      adding->record.remote_id);
    } else {
        buffer_append_text(reason, "the provider has no living key that begins and ends like this one: is it of the "
                                   "organisation that the admin key is of?");
    }
    return false;
}

static bool keep(struct adding *adding, struct error *err)
{
    struct engine *engine = adding->engine;
    char context[RECORD_REMOTE_ID_SIZE + POLICY_PROVIDER_SIZE + 16];
    unsigned char *sealed = NULL;
    size_t length;
    rows_pool_context(&adding->record, context, sizeof context);
    adding->record.added_at = clock_wall_ms();
    struct journal_record line = {.at = adding->record.added_at};
    snprintf(line.provider, sizeof line.provider, "%s", adding->record.provider);
    snprintf(line.event, sizeof line.event, "pool key added");
    snprintf(line.cause, sizeof line.cause, "%s", adding->record.remote_id);
    snprintf(line.actor, sizeof line.actor, "operator");
    bool ok = seal_wrap(engine->seal, context, adding->secret, &sealed, &length, err) && ledger_begin(engine->ledger, err);
    if (ok) {
        ok = ledger_pool_add(engine->ledger, &adding->record, sealed, length, err) &&
             ledger_journal_append(engine->ledger, &line, err);
        FAILPOINT("pool-key-added", "committing");
        if (ok)
            ok = ledger_commit(engine->ledger, err);
        else
            ledger_rollback(engine->ledger);
        FAILPOINT("pool-key-added", "committed");
    }
    free(sealed);
    return ok;
}

static const char twice[] = "that key is in the pool already, or was claimed out of it";

/* In the slot that is in force: a reload may have retired the one that was asked. */
static void note_doubt(const struct adding *adding)
{
    struct provider_slot *slot = engine_provider(adding->engine, adding->record.provider);
    if (slot)
        slot->stock_doubted_at = clock_monotonic_ms();
}

static void switched_off(void *context, struct provider_result *result)
{
    struct adding *adding = context;
    struct engine *engine = adding->engine;
    struct error err = ERROR_INIT;
    char reason[640];
    FAILPOINT("switch-off-pool-key", "answered");
    adding->slot->in_flight--;
    requests_gate_ended(engine, adding->slot, &adding->slot->gate, result, adding->asked_at);
    if (result->outcome == OUTCOME_UNKNOWN)
        note_doubt(adding);
    if (result->outcome != OUTCOME_OK) {
        snprintf(reason, sizeof reason, "it could not be switched off until a domain claims it, and is not added: %s",
                 result->error.text);
        end_adding(adding, reason);
    } else if (!keep(adding, &err)) {
        end_adding(adding, err.code == ERROR_EXISTS ? twice : err.text);
    } else {
        log_notice("pool of %s: key %s added", adding->record.provider, adding->record.remote_id);
        if (adding->call) {
            struct json_object *answer = json_object_new_object();
            json_put_string(answer, "id", adding->record.remote_id);
            json_put_string(answer, "container", adding->container);
            if (adding->expires_at)
                json_put_integer(answer, "expires_at", adding->expires_at);
            control_reply(adding->call, answer);
        }
        engine_mark_provider(engine, adding->record.provider);
        end_adding(adding, NULL);
    }
}

struct comparison {
    const struct pool_record *wanted;
    bool found;
};

static bool compare_row(void *context, const struct pool_record *record, struct error *err)
{
    struct comparison *comparison = context;
    (void)err;
    comparison->found = comparison->found || strcmp(record->remote_id, comparison->wanted->remote_id) == 0 ||
                        strcmp(record->fingerprint, comparison->wanted->fingerprint) == 0;
    return true;
}

/* Whether it is nobody's. What a domain has must not be switched off. False: REASON says why not. */
static bool is_free(struct adding *adding, struct buffer *reason)
{
    struct comparison comparison = {&adding->record, false};
    struct error err = ERROR_INIT;
    if (!ledger_pool_each(adding->engine->ledger, adding->record.provider, compare_row, &comparison, &err))
        return buffer_append_text(reason, err.text), false;
    if (comparison.found)
        return buffer_append_text(reason, twice), false;
    if (strncmp(adding->name, "llmhook:", 8) == 0)
        return buffer_printf(reason, "it is called %s: a domain has claimed it, of this host or of another", adding->name), false;
    return true;
}

static void identified(void *context, struct provider_result *result)
{
    struct adding *adding = context;
    struct buffer reason = BUFFER_INIT(16 * 1024);
    struct provider_slot *slot = adding->slot;
    FAILPOINT("identify-pool-key", "answered");
    slot->in_flight--;
    requests_gate_ended(adding->engine, slot, &slot->gate, result, adding->asked_at);
    if (result->outcome != OUTCOME_OK)
        buffer_append_text(&reason, result->error.text);
    if (result->outcome != OUTCOME_OK || !choose(adding, result, &reason) || !is_free(adding, &reason)) {
        end_adding(adding, buffer_text(&reason));
    } else {
        struct provider_call ask = {.verb = PROVIDER_SUSPEND_KEY};
        memcpy(ask.key_id, adding->record.remote_id, sizeof ask.key_id);
        memcpy(ask.container_id, adding->container, sizeof ask.container_id);
        adding->asked_at = clock_monotonic_ms();
        gate_begin(&slot->gate);
        slot->in_flight++;
        FAILPOINT("switch-off-pool-key", "sending");
        provider_start(slot->provider, &ask, switched_off, adding);
    }
    buffer_clear(&reason);
}

/* From the call itself, out of which it is wiped, or from where a reference points to. */
static bool take_secret(struct json_object *parameters, struct secret **ret_secret, struct error *err)
{
    struct json_object *value = NULL;
    char reference[PROVIDER_URL_SIZE];
    json_optional_string(parameters, "reference", "", reference, sizeof reference);
    if (reference[0] && credential_blocks(reference))
        return error_set(err, ERROR_INVALID, "fetching from there takes too long here: put the key on standard input");
    if (reference[0])
        return credential_valid(reference, err) && credential_fetch(reference, ret_secret, err);
    if (!json_object_object_get_ex(parameters, "secret", &value) || !json_object_is_type(value, json_type_string))
        return error_set(err, ERROR_INVALID, "no key was given");
    size_t length = (size_t)json_object_get_string_len(value);
    char *text = (char *)(uintptr_t)json_object_get_string(value);
    bool usable = length >= 16 && length <= 1024;
    for (size_t i = 0; usable && i < length; i++)
        usable = text[i] > ' ' && text[i] <= '~';
    *ret_secret = usable ? secret_new(text, length) : NULL;
    explicit_bzero(text, length);
    return *ret_secret || error_set(err, ERROR_INVALID, "what was given is no key: one line of printable characters");
}

/* What has just failed for everybody fails here as well: said at once, with what was said then. A refused admin key is
 * another matter: it may have been put right a moment ago, and whoever did it wants to know. */
static bool is_closed(const struct provider_slot *slot, char *reason, size_t size)
{
    int64_t now = clock_monotonic_ms(), left = (slot->gate.closed_until - now + 999) / 1000;
    if (gate_ready(&slot->gate, now) || slot->gate.why == OUTCOME_UNAUTHORIZED)
        return false;
    snprintf(reason, size, "%s is not asked now: %s. Nothing was added: try again in %" PRId64 " s", slot->settings->name,
             slot->last_error, left > 0 ? left : 1);
    return true;
}

/* What was asked for and not answered may be carried out late: a key that is added again meanwhile would be switched off in
 * the hands of a domain. */
static bool is_doubtful(const struct provider_slot *slot, char *reason, size_t size)
{
    int64_t left = slot->stock_doubted_at ? slot->stock_doubted_at + PLAN_SETTLE_MS - clock_monotonic_ms() : 0;
    if (left <= 0)
        return false;
    snprintf(reason, size, "%s has not answered when a key was switched off, and may do it yet. Nothing was added: try again in "
             "%" PRId64 " s", slot->settings->name, (left + 999) / 1000);
    return true;
}

void stock_add(struct engine *engine, struct control_call *call, struct json_object *parameters)
{
    struct error err = ERROR_INIT;
    struct secret *secret = NULL;
    char reason[RECORD_ERROR_SIZE + POLICY_PROVIDER_SIZE + 96];
    struct provider_slot *slot = named_pool(engine, call, parameters);
    if (!slot)
        return;
    if (under_way) {
        fail(call, "another key is being added: try again when that has been answered");
        return;
    }
    char id[RECORD_REMOTE_ID_SIZE];
    if (json_has(parameters, "id") && !json_get_string(parameters, "id", id, sizeof id, NULL)) {
        control_invalid_parameter(call, "id");
        return;
    }
    if (is_closed(slot, reason, sizeof reason) || is_doubtful(slot, reason, sizeof reason)) {
        fail(call, reason);
        return;
    }
    if (!take_secret(parameters, &secret, &err)) {
        fail(call, err.text);
        return;
    }
    struct adding *adding = calloc(1, sizeof *adding);
    if (!adding)
        abort();
    under_way = adding;
    *adding = (struct adding){.engine = engine, .slot = slot, .call = call, .secret = secret};
    struct pool_record *record = &adding->record;
    snprintf(record->provider, sizeof record->provider, "%s", slot->settings->name);
    json_optional_string(parameters, "label", "", record->hint, sizeof record->hint);
    json_optional_string(parameters, "id", "", record->remote_id, sizeof record->remote_id);
    adding->id_given = record->remote_id[0] != '\0';
    secret_fingerprint(secret, record->fingerprint);
    adding->asked_at = clock_monotonic_ms();
    control_call_on_cancel(call, asker_left, adding);
    gate_begin(&slot->gate);
    slot->in_flight++;
    struct provider_call ask = {.verb = PROVIDER_IDENTIFY_KEY, .chosen = secret};
    FAILPOINT("identify-pool-key", "sending");
    provider_start(slot->provider, &ask, identified, adding);
}

/* --- listing and removing --- */

static bool add_row(void *context, const struct pool_record *record, struct error *err)
{
    (void)err;
    struct json_object *row = json_object_new_object();
    json_put_string(row, "provider", record->provider);
    json_put_string(row, "id", record->remote_id);
    json_put_string(row, "label", record->hint);
    json_put_string(row, "state", pool_state_name(record->state));
    json_put_integer(row, "added_at", record->added_at);
    if (record->claimed_at)
        json_put_integer(row, "claimed_at", record->claimed_at);
    json_put_integer(row, "key_id", record->key_id);
    json_object_array_add(context, row);
    return true;
}

/* Says whose each one is, of those whose domain is here. */
static void name_owner(struct engine *engine, struct json_object *row)
{
    int64_t key_id = json_optional_integer(row, "key_id", 0);
    json_object_object_del(row, "key_id");
    for (size_t v = 0; key_id && v < engine->vms_count; v++)
        for (size_t g = 0; g < engine->vms[v]->grants_count; g++)
            for (size_t k = 0; k < engine->vms[v]->grants[g]->keys_count; k++)
                if (engine->vms[v]->grants[g]->keys[k]->record.id == key_id) {
                    const struct key_record *key = &engine->vms[v]->grants[g]->keys[k]->record;
                    json_put_string(row, "domain", engine->vms[v]->record.name);
                    json_put_string(row, "state", key_state_name(key->state));
                    return;
                }
}

void stock_list(struct engine *engine, struct control_call *call)
{
    struct json_object *answer = json_object_new_object(), *rows = json_object_new_array();
    struct error err = ERROR_INIT;
    if (!ledger_pool_each(engine->ledger, NULL, add_row, rows, &err)) {
        json_object_put(rows);
        json_object_put(answer);
        fail(call, err.text);
        return;
    }
    for (size_t i = 0; i < json_object_array_length(rows); i++)
        name_owner(engine, json_object_array_get_idx(rows, i));
    json_put(answer, "keys", rows);
    control_reply(call, answer);
}

struct search {
    const char *id;
    struct pool_record found; /* id 0: none */
};

static bool match(void *context, const struct pool_record *record, struct error *err)
{
    struct search *search = context;
    (void)err;
    if (strcmp(record->remote_id, search->id) == 0)
        search->found = *record;
    return true;
}

static bool take_out(struct engine *engine, const struct pool_record *record, struct error *err)
{
    struct journal_record line = {.at = clock_wall_ms()};
    snprintf(line.provider, sizeof line.provider, "%s", record->provider);
    snprintf(line.event, sizeof line.event, "pool key removed");
    snprintf(line.cause, sizeof line.cause, "%s", record->remote_id);
    snprintf(line.actor, sizeof line.actor, "operator");
    if (!ledger_begin(engine->ledger, err))
        return false;
    bool ok = ledger_pool_remove(engine->ledger, record->id, err) && ledger_journal_append(engine->ledger, &line, err);
    FAILPOINT("pool-key-removed", "committing");
    if (ok)
        ok = ledger_commit(engine->ledger, err);
    else
        ledger_rollback(engine->ledger);
    FAILPOINT("pool-key-removed", "committed");
    return ok;
}

void stock_remove(struct engine *engine, struct control_call *call, struct json_object *parameters)
{
    char provider[POLICY_PROVIDER_SIZE], id[RECORD_REMOTE_ID_SIZE];
    struct error err = ERROR_INIT;
    if (!json_get_string(parameters, "provider", provider, sizeof provider, NULL) ||
        !json_get_string(parameters, "id", id, sizeof id, NULL)) {
        control_invalid_parameter(call, "id");
        return;
    }
    struct search search = {.id = id};
    if (!ledger_pool_each(engine->ledger, provider, match, &search, &err)) {
        fail(call, err.text);
    } else if (!search.found.id) {
        fail(call, "there is no such key in the pool: llmhook pool list shows their ids");
    } else if (search.found.state != POOL_FREE) {
        fail(call, "a domain has claimed it: it ends with that domain, or by llmhook revoke");
    } else if (!take_out(engine, &search.found, &err)) {
        fail(call, err.text);
    } else {
        log_notice("pool of %s: key %s removed; at the provider it is as it was", provider, id);
        control_reply(call, NULL);
    }
}

/* --- how many are left --- */

static int64_t stock_free(struct engine *engine, const struct provider_slot *slot)
{
    int64_t count = 0;
    struct error err = ERROR_INIT;
    if (!ledger_pool_count_free(engine->ledger, slot->settings->name, &count, &err))
        return 0;
    return count;
}

bool stock_low(struct engine *engine, struct provider_slot *slot, char *ret_words, size_t size)
{
    if (slot->removed || !(provider_capabilities(slot->provider) & PROVIDER_CLAIMS))
        return false;
    int64_t left = stock_free(engine, slot);
    bool low = left < (slot->settings->pool_low ? slot->settings->pool_low : 1);
    char how_many[64] = "no free key";
    if (left)
        snprintf(how_many, sizeof how_many, "only %" PRId64 " free key%s left", left, left == 1 ? "" : "s");
    snprintf(ret_words, size, "the pool of %s has %s: make more in the provider's Console, then llmhook pool add %s",
             slot->settings->name, how_many, slot->settings->name);
    if (low && !slot->said_low)
        log_warning("%s", ret_words);
    slot->said_low = low;
    return low;
}
