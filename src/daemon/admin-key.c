/* The rotation of a provider's admin key itself, on an operator's word: another one is made, kept beside the old one,
 * tried, put in its place and read back; only then is the old one removed, with the new one.
 *
 * What is done is seen by what is there, so a rotation that was interrupted, by whatever and wherever, is gone on with by
 * asking for it again:
 *
 *   PATH                  the admin key, as the configuration names it: replaced as a whole, never changed
 *   PATH.llmhook-new      the next one, from when the provider has told it until the old one is gone. Empty: it was never
 *                         told. It is written before anything is asked for, so that it is known that it can be
 *   the ledger's text     the id of the old one, from before the next one is asked for until the old one is gone
 *   at the provider       keys called llmhook:HOST:admin-key:PROVIDER. Those that are not the one in use were made and never
 *                         told, or are from before: they go with the old one
 *
 * Until PATH is replaced the old key is in use and works; from then on the new one is, and was seen to work. No request
 * goes through the provider's gate: an operator waits, and a key that does not work yet must not close it. */
#include "daemon/engine.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/durable.h"
#include "base/failpoint.h"
#include "base/json.h"
#include "base/log.h"
#include "credentials/credential.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    TRIES = 20, /* of a key that was made a moment ago and may not be known everywhere */
    TRY_AGAIN_MS = 1000,
};

enum step { STEP_IDENTIFY, STEP_CREATE, STEP_TRY, STEP_LOOK, STEP_CLEAR, STEP_REMOVE };
#ifdef LLMHOOK_FAILPOINTS
static const char *const step_names[] = {
    [STEP_IDENTIFY] = "find-admin-keys", [STEP_CREATE] = "create-admin-key", [STEP_TRY] = "check-admin-key",
    [STEP_LOOK] = "find-admin-keys",     [STEP_CLEAR] = "find-admin-keys",   [STEP_REMOVE] = "delete-admin-key",
};
#endif

struct rotation {
    struct engine *engine;
    struct control_call *call; /* NULL: whoever asked has gone; it goes on */
    struct provider_slot *slot; /* of the request under way */
    char provider[POLICY_PROVIDER_SIZE], name[RECORD_NAME_SIZE], note[POLICY_PROVIDER_SIZE + 32];
    char path[PATH_MAX], staged[PATH_MAX];
    enum step step;
    struct secret *current, *fresh; /* owned; FRESH: NULL as long as there is none */
    char old_id[RECORD_REMOTE_ID_SIZE], new_id[RECORD_REMOTE_ID_SIZE]; /* empty: none, not known */
    int64_t life; /* milliseconds that the old one was made for: so is the new one; 0: without end */
    bool in_place; /* FRESH is what the configuration's reference leads to */
    struct provider_item *leavers; /* to be removed */
    size_t leavers_count, leaver, removed;
    int timer, tries;
};
/* One at a time: two of one provider would each take the other's key for a leftover. */
static struct rotation *under_way;

static void ask(struct rotation *rotation, enum step step);

/* --- the end --- */

static void asker_left(void *context)
{
    ((struct rotation *)context)->call = NULL;
}

static void fail(struct control_call *call, const char *reason)
{
    struct json_object *answer = json_object_new_object();
    json_put_string(answer, "reason", reason);
    control_error(call, "Failed", answer);
}

static void end(struct rotation *rotation)
{
    if (rotation->timer >= 0)
        rotation->engine->loop->timer_remove(rotation->engine->loop, rotation->timer);
    secret_free(rotation->current);
    secret_free(rotation->fresh);
    free(rotation->leavers);
    free(rotation);
    under_way = NULL;
}

/* WHERE: in words, which key is in use now, and what is left over. */
static void give_up(struct rotation *rotation, const char *reason, const char *where)
{
    char text[1024];
    snprintf(text, sizeof text, "%.600s; %.300s", reason, where);
    log_warning("admin key of %s: not rotated: %s", rotation->provider, text);
    if (rotation->call)
        fail(rotation->call, text);
    end(rotation);
}

static const char *standing(const struct rotation *rotation)
{
    if (rotation->in_place)
        return "the new key is in use, and the old one has not been removed: run it again";
    if (rotation->fresh)
        return "the old key is in use; the new one is kept beside it: run it again, or remove that file to begin anew";
    return "the old key is in use: run it again, which removes what this may have left";
}

/* The journal's line and the end of the note are one: it is said once, whenever we die. */
static bool settle(struct rotation *rotation, struct error *err)
{
    struct ledger *ledger = rotation->engine->ledger;
    struct journal_record line = {.at = clock_wall_ms(), .event = "admin key rotated", .actor = "operator"};
    if (!rotation->old_id[0])
        return true; /* it has been, and only the file was left */
    snprintf(line.provider, sizeof line.provider, "%s", rotation->provider);
    snprintf(line.cause, sizeof line.cause, "%s is in use", rotation->new_id);
    if (!ledger_begin(ledger, err))
        return false;
    if (!ledger_set_text(ledger, rotation->note, "", err) || !ledger_journal_append(ledger, &line, err)) {
        ledger_rollback(ledger);
        return false;
    }
    FAILPOINT("admin-key-settled", "committing");
    if (!ledger_commit(ledger, err))
        return false;
    FAILPOINT("admin-key-settled", "committed");
    return true;
}

static void succeed(struct rotation *rotation)
{
    struct error err = ERROR_INIT;
    /* As long as the file is there, a rotation that is asked for again only looks whether anything is left to remove. */
    if (!settle(rotation, &err) || !durable_remove(rotation->staged, &err)) {
        give_up(rotation, err.text, standing(rotation));
        return;
    }
    log_notice("admin key of %s: rotated: %s is in use, %zu removed", rotation->provider, rotation->new_id, rotation->removed);
    if (rotation->call) {
        struct json_object *answer = json_object_new_object();
        json_put_string(answer, "id", rotation->new_id);
        json_put_integer(answer, "removed", (int64_t)rotation->removed);
        control_reply(rotation->call, answer);
    }
    end(rotation);
}

/* --- files --- */

static bool same(const struct secret *one, const struct secret *other)
{
    return strcmp(secret_reveal(one), secret_reveal(other)) == 0;
}

static bool write_key(const char *path, const struct secret *secret, struct error *err)
{
    struct buffer text = BUFFER_INIT(64 * 1024);
    bool ok = (!secret || (buffer_append(&text, secret_reveal(secret), secret_length(secret)) &&
                           buffer_append_text(&text, "\n"))) ||
              error_set(err, ERROR_IO, "out of memory");
    ok = ok && durable_write(path, 0600, text.data ? text.data : "", text.length, err);
    buffer_clear(&text);
    return ok;
}

static bool read_key(const char *path, struct secret **ret_secret, struct error *err)
{
    char reference[PATH_MAX + 8];
    snprintf(reference, sizeof reference, "file:%s", path);
    return credential_fetch(reference, ret_secret, err);
}

/* Put where it belongs, and read from there as every request does. */
static bool put_in_place(struct rotation *rotation, struct error *err)
{
    cleanup_secret struct secret *read = NULL;
    if (!write_key(rotation->path, rotation->fresh, err) || !read_key(rotation->path, &read, err))
        return false;
    rotation->in_place = same(read, rotation->fresh);
    return rotation->in_place || error_set(err, ERROR_IO, "%s does not hold what was written into it", rotation->path);
}

/* --- what the provider answers --- */

static bool note(const struct rotation *rotation, struct error *err)
{
    FAILPOINT("admin-key-noted", "committing");
    if (!ledger_set_text(rotation->engine->ledger, rotation->note, rotation->old_id, err))
        return false;
    FAILPOINT("admin-key-noted", "committed");
    return true;
}

/* Which of its keys is the one in use? Whoever is not certain removes nothing. */
static void identified(struct rotation *rotation, const struct provider_result *result)
{
    struct error err = ERROR_INIT;
    char reason[512];
    if (result->items_count != 1) {
        snprintf(reason, sizeof reason, "%zu of the provider's admin keys look like the one in use, so that it cannot be told "
                 "which is to be removed: rotate it by hand", result->items_count);
        give_up(rotation, reason, "nothing was changed");
        return;
    }
    snprintf(rotation->old_id, sizeof rotation->old_id, "%s", result->items[0].id);
    rotation->life = result->items[0].expires_at > result->items[0].created_at
                         ? result->items[0].expires_at - result->items[0].created_at
                         : 0;
    if ((!rotation->fresh && !write_key(rotation->staged, NULL, &err)) || !note(rotation, &err)) {
        snprintf(reason, sizeof reason, "%.300s: the folder of the key has to be writable for llmhookd (systemctl edit "
                 "llmhookd: ReadWritePaths=)", err.text);
        give_up(rotation, reason, "nothing was changed");
        return;
    }
    ask(rotation, rotation->fresh ? STEP_TRY : STEP_CREATE);
}

static void created(struct rotation *rotation, struct provider_result *result)
{
    struct error err = ERROR_INIT;
    rotation->fresh = result->secret;
    result->secret = NULL;
    if (!write_key(rotation->staged, rotation->fresh, &err)) {
        secret_free(rotation->fresh);
        rotation->fresh = NULL; /* made, and lost: found by its name the next time */
        give_up(rotation, err.text, standing(rotation));
        return;
    }
    ask(rotation, STEP_TRY);
}

static void try_again(void *context)
{
    ask(context, STEP_TRY);
}

static void tried(struct rotation *rotation, const struct provider_result *result)
{
    struct error err = ERROR_INIT;
    if (result->outcome == OUTCOME_UNAUTHORIZED && ++rotation->tries < TRIES) {
        rotation->engine->loop->timer_set(rotation->engine->loop, rotation->timer, TRY_AGAIN_MS);
        return;
    }
    if (result->outcome != OUTCOME_OK) {
        give_up(rotation, result->error.text, standing(rotation));
        return;
    }
    if (!put_in_place(rotation, &err)) {
        give_up(rotation, err.text, standing(rotation));
        return;
    }
    ask(rotation, STEP_LOOK);
}

/* From here on with the key that the configuration leads to, which is the new one. */
static void looked(struct rotation *rotation, const struct provider_result *result)
{
    bool old_among = false;
    for (size_t i = 0; i < result->items_count; i++)
        old_among = old_among || strcmp(result->items[i].id, rotation->old_id) == 0;
    if (result->items_count != 1 || old_among) {
        give_up(rotation, "the new key cannot be told from others in the provider's list: remove the old one by hand",
                standing(rotation));
        return;
    }
    snprintf(rotation->new_id, sizeof rotation->new_id, "%s", result->items[0].id);
    ask(rotation, STEP_CLEAR);
}

static void add_leaver(struct rotation *rotation, const char *id)
{
    if (!id[0] || strcmp(id, rotation->new_id) == 0)
        return;
    for (size_t i = 0; i < rotation->leavers_count; i++)
        if (strcmp(rotation->leavers[i].id, id) == 0)
            return;
    rotation->leavers = realloc(rotation->leavers, (rotation->leavers_count + 1) * sizeof *rotation->leavers);
    if (!rotation->leavers)
        abort();
    struct provider_item *leaver = &rotation->leavers[rotation->leavers_count++];
    memset(leaver, 0, sizeof *leaver);
    snprintf(leaver->id, sizeof leaver->id, "%s", id);
}

static void remove_next(struct rotation *rotation)
{
    if (rotation->leaver < rotation->leavers_count)
        ask(rotation, STEP_REMOVE);
    else
        succeed(rotation);
}

/* The old one last: whatever else has our name is known to be of no use. */
static void found_leavers(struct rotation *rotation, const struct provider_result *result)
{
    for (size_t i = 0; i < result->items_count; i++)
        if (strcmp(result->items[i].id, rotation->old_id) != 0)
            add_leaver(rotation, result->items[i].id);
    add_leaver(rotation, rotation->old_id);
    remove_next(rotation);
}

static void on_answer(void *context, struct provider_result *result)
{
    struct rotation *rotation = context;
    struct provider_slot *slot = rotation->slot;
    bool gone = rotation->step == STEP_REMOVE && result->outcome == OUTCOME_GONE;
    slot->in_flight--;
    if (slot->retired)
        requests_collect_retired(rotation->engine);
    FAILPOINT(step_names[rotation->step], "answered");
    if (result->outcome != OUTCOME_OK && !gone && rotation->step != STEP_TRY) {
        give_up(rotation, result->error.text, standing(rotation));
        return;
    }
    switch (rotation->step) {
    case STEP_IDENTIFY:
        identified(rotation, result);
        break;
    case STEP_CREATE:
        created(rotation, result);
        break;
    case STEP_TRY:
        tried(rotation, result);
        break;
    case STEP_LOOK:
        looked(rotation, result);
        break;
    case STEP_CLEAR:
        found_leavers(rotation, result);
        break;
    case STEP_REMOVE:
        rotation->removed++;
        rotation->leaver++;
        remove_next(rotation);
        break;
    }
}

/* --- asking --- */

static void ask(struct rotation *rotation, enum step step)
{
    static const enum provider_verb verbs[] = {
        [STEP_IDENTIFY] = PROVIDER_FIND_ADMIN_KEYS, [STEP_CREATE] = PROVIDER_CREATE_ADMIN_KEY, [STEP_TRY] = PROVIDER_CHECK,
        [STEP_LOOK] = PROVIDER_FIND_ADMIN_KEYS, [STEP_CLEAR] = PROVIDER_FIND_ADMIN_KEYS,
        [STEP_REMOVE] = PROVIDER_DELETE_ADMIN_KEY,
    };
    struct provider_call call = {.verb = verbs[step]};
    rotation->step = step;
    rotation->slot = engine_provider(rotation->engine, rotation->provider);
    if (!rotation->slot) {
        give_up(rotation, "the provider is not in the configuration any more", standing(rotation));
        return;
    }
    if (step == STEP_IDENTIFY || step == STEP_LOOK)
        call.chosen = step == STEP_IDENTIFY ? rotation->current : rotation->fresh;
    if (step == STEP_CREATE || step == STEP_CLEAR)
        snprintf(call.key_name, sizeof call.key_name, "%s", rotation->name);
    if (step == STEP_CREATE)
        call.life_ms = rotation->life;
    if (step == STEP_TRY)
        call.admin_key = rotation->fresh;
    if (step == STEP_REMOVE)
        snprintf(call.key_id, sizeof call.key_id, "%s", rotation->leavers[rotation->leaver].id);
    FAILPOINT(step_names[step], "sending");
    rotation->slot->in_flight++;
    provider_start(rotation->slot->provider, &call, on_answer, rotation);
}

/* --- the beginning --- */

/* Why the key at REFERENCE cannot be replaced by us; NULL: it can. */
static const char *not_ours_to_replace(const char *reference, char path[PATH_MAX])
{
    struct stat status;
    if (strncmp(reference, "credential:", 11) == 0)
        return "systemd hands it over when llmhookd starts, and llmhookd cannot replace it: make another one at the provider, "
               "put it where LoadCredential takes it from, restart llmhookd, and remove the old one there";
    if (strncmp(reference, "env:", 4) == 0)
        return "it comes from llmhookd's environment, which llmhookd cannot change: make another one at the provider, put it "
               "there, restart llmhookd, and remove the old one; or keep it in a file (admin-key = file:/PATH)";
    if (strncmp(reference, "file:", 5) != 0)
        return "it is kept by another program (exec:, vault:, sops:), which has to replace it: make another one at the "
               "provider, put it there (it is read anew by itself), and remove the old one";
    snprintf(path, PATH_MAX, "%s", reference + 5);
    if (strlen(path) + sizeof ".llmhook-new" > PATH_MAX)
        return "its path is too long for another file beside it";
    if (lstat(path, &status) == 0 && !S_ISREG(status.st_mode))
        return "its file is a link or no file, so something else puts it there, which has to replace it";
    return NULL;
}

/* What an earlier one has left. False: ERR says what cannot be read. */
static bool take_up(struct rotation *rotation, struct error *err)
{
    struct stat status;
    if (!read_key(rotation->path, &rotation->current, err))
        return false;
    if (lstat(rotation->staged, &status) < 0)
        return errno == ENOENT || error_set_errno(err, errno, "look at %s", rotation->staged);
    if (status.st_size && !read_key(rotation->staged, &rotation->fresh, err))
        return false;
    if (!rotation->fresh)
        return true;
    ledger_get_text(rotation->engine->ledger, rotation->note, rotation->old_id, sizeof rotation->old_id, NULL);
    rotation->in_place = same(rotation->fresh, rotation->current);
    return true;
}

/* The provider that CALL names, if its admin key can be rotated here. NULL: the call has been answered. */
static struct provider_slot *named(struct engine *engine, struct control_call *call, struct json_object *parameters,
                                   char path[PATH_MAX])
{
    char name[POLICY_PROVIDER_SIZE], text[512];
    if (!json_get_string(parameters, "provider", name, sizeof name, NULL)) {
        control_invalid_parameter(call, "provider");
        return NULL;
    }
    struct provider_slot *slot = engine_provider(engine, name);
    const char *why = !slot ? "it is not in the configuration"
                      : !(provider_capabilities(slot->provider) & PROVIDER_ROTATES_ADMIN_KEY)
                          ? "its API makes no admin keys: make another one by hand and put it where its section says; it is "
                            "read anew by itself"
                      : under_way ? "another rotation is under way"
                                  : not_ours_to_replace(slot->settings->admin_key, path);
    if (!why)
        return slot;
    snprintf(text, sizeof text, "the admin key of %s cannot be rotated: %s", name, why);
    fail(call, text);
    return NULL;
}

void admin_key_rotate(struct engine *engine, struct control_call *call, struct json_object *parameters)
{
    char path[PATH_MAX] = "";
    struct provider_slot *slot = named(engine, call, parameters, path);
    struct error err = ERROR_INIT;
    if (!slot)
        return;
    struct rotation *rotation = calloc(1, sizeof *rotation);
    if (!rotation)
        abort();
    under_way = rotation;
    rotation->engine = engine;
    rotation->call = call;
    control_call_on_cancel(call, asker_left, rotation);
    snprintf(rotation->provider, sizeof rotation->provider, "%s", slot->settings->name);
    snprintf(rotation->name, sizeof rotation->name, "llmhook:%s:admin-key:%s", engine->host_id, rotation->provider);
    snprintf(rotation->note, sizeof rotation->note, "admin-key-rotation:%s", rotation->provider);
    snprintf(rotation->path, sizeof rotation->path, "%s", path);
    snprintf(rotation->staged, sizeof rotation->staged, "%.*s.llmhook-new", PATH_MAX - (int)sizeof ".llmhook-new", path);
    rotation->timer = engine->loop->timer(engine->loop, try_again, rotation);
    if (rotation->timer < 0)
        error_set(&err, ERROR_IO, "the event loop gives no timer");
    if (rotation->timer < 0 || !take_up(rotation, &err))
        give_up(rotation, err.text, "nothing was changed");
    else
        ask(rotation, rotation->in_place ? STEP_LOOK : STEP_IDENTIFY);
}
