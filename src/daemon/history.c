/* A domain's story, from the ledger's journal. */
#include "daemon/chain.h"

#include "base/json.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Lines in one answer: far below what a message may hold. */
enum { PAGE_DEFAULT = 1000, PAGE_MAX = 5000 };

struct json_object *history_event(const struct journal_record *record)
{
    struct json_object *object = json_object_new_object();
    json_put_integer(object, "id", record->id);
    json_put_integer(object, "at", record->at);
    json_put_string(object, "event", record->event);
    if (record->provider[0])
        json_put_string(object, "provider", record->provider);
    if (record->generation)
        json_put_integer(object, "generation", record->generation);
    json_put_string(object, "cause", record->cause);
    json_put_string(object, "actor", record->actor);
    return object;
}

struct page {
    struct json_object *events;
    int64_t last;
};

static bool add_line(void *context, const struct journal_record *record, struct error *err)
{
    struct page *page = context;
    (void)err;
    json_object_array_add(page->events, history_event(record));
    page->last = record->id;
    return true;
}

struct called {
    char uuid[RECORD_UUID_SIZE];
    struct json_object *others;
};

static bool note_uuid(void *context, const char *uuid, struct error *err)
{
    struct called *called = context;
    (void)err;
    if (!called->uuid[0])
        snprintf(called->uuid, sizeof called->uuid, "%s", uuid);
    else if (strcmp(called->uuid, uuid) != 0)
        json_append_string(called->others, uuid);
    return true;
}

/* The domain that is called so, or the last one that was; others that were are named. False: ERR, or nobody ever was. */
static bool find(struct engine *engine, const char *name, struct called *called, struct error *err)
{
    struct vm *vm;
    bool known = false;
    if (engine_vms_called(engine, name, &vm) > 0)
        memcpy(called->uuid, vm->record.uuid, sizeof called->uuid);
    if (!vm && strlen(name) < sizeof called->uuid) {
        if (!ledger_journal_knows(engine->ledger, name, &known, err))
            return false;
        if (known)
            snprintf(called->uuid, sizeof called->uuid, "%s", name);
    }
    /* Who asks by UUID means that one. */
    if (strcmp(called->uuid, name) == 0)
        return true;
    return ledger_journal_forgotten(engine->ledger, name, note_uuid, called, err);
}

static void fail(struct control_call *call, const char *reason)
{
    struct json_object *answer = json_object_new_object();
    json_put_string(answer, "reason", reason);
    control_error(call, "Failed", answer);
}

/* An answer that waits for the chain. */
struct verified {
    struct control_call *call; /* NULL: whoever asked has gone */
    struct json_object *answer;
};

static void asker_left(void *context)
{
    ((struct verified *)context)->call = NULL;
}

static void chain_done(void *context, const struct error *result)
{
    struct verified *verified = context;
    if (result->code != ERROR_NONE)
        json_put_string(verified->answer, "chain_problem", result->text);
    if (verified->call)
        control_reply(verified->call, verified->answer);
    else
        json_object_put(verified->answer);
    free(verified);
}

static void answer_verified(struct engine *engine, struct control_call *call, struct json_object *answer)
{
    struct verified *verified = calloc(1, sizeof *verified);
    if (!verified)
        abort();
    *verified = (struct verified){call, answer};
    control_call_on_cancel(call, asker_left, verified);
    chain_verify(engine, chain_done, verified);
}

void history_run(struct engine *engine, struct control_call *call, struct json_object *parameters)
{
    char name[RECORD_NAME_SIZE] = ""; /* read as a whole by SQLite's binding */
    struct error err = ERROR_INIT;
    if (!json_get_string(parameters, "domain", name, sizeof name, NULL)) {
        control_invalid_parameter(call, "domain");
        return;
    }
    int64_t after = json_optional_integer(parameters, "after", 0), limit = json_optional_integer(parameters, "limit", 0);
    int64_t since = json_optional_integer(parameters, "since", 0);
    if (limit <= 0 || limit > PAGE_MAX)
        limit = limit > PAGE_MAX ? PAGE_MAX : PAGE_DEFAULT;
    struct called called = {.others = json_object_new_array()};
    struct page page = {.events = json_object_new_array()};
    struct json_object *answer = NULL;
    if (!find(engine, name, &called, &err)) {
        fail(call, err.text);
    } else if (!called.uuid[0]) {
        answer = json_object_new_object();
        json_put_string(answer, "domain", name);
        control_error(call, "NoSuchDomain", answer);
    } else if (!ledger_journal_page(engine->ledger, called.uuid, after, since, (unsigned)limit, add_line, &page, &err)) {
        fail(call, err.text);
    } else {
        bool more = (int64_t)json_object_array_length(page.events) == limit;
        answer = json_object_new_object();
        json_put_string(answer, "uuid", called.uuid);
        json_put(answer, "others", json_object_get(called.others));
        json_put(answer, "events", json_object_get(page.events));
        if (more) {
            json_put_integer(answer, "next", page.last);
            control_reply(call, answer);
        } else {
            /* Once, with the last page: the whole ledger's chain is gone through for it. */
            answer_verified(engine, call, answer);
        }
    }
    json_object_put(called.others);
    json_object_put(page.events);
}
