#include "anthropic.h"

#include "anthropic-federation.h"

#include "clock.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct anthropic *anthropic_new(void)
{
    struct anthropic *anthropic = calloc(1, sizeof(*anthropic));

    if (anthropic == NULL)
        return NULL;
    TAILQ_INIT(&anthropic->workspaces);
    TAILQ_INIT(&anthropic->keys);
    anthropic->federation = federation_new();
    if (anthropic->federation == NULL)
        abort();
    return anthropic;
}

void anthropic_free(struct anthropic *anthropic)
{
    struct workspace *workspace;
    struct console_key *key;

    while ((key = TAILQ_FIRST(&anthropic->keys)) != NULL) {
        TAILQ_REMOVE(&anthropic->keys, key, next);
        free(key->name);
        free(key);
    }
    while ((workspace = TAILQ_FIRST(&anthropic->workspaces)) != NULL) {
        TAILQ_REMOVE(&anthropic->workspaces, workspace, next);
        json_object_put(workspace->tags);
        free(workspace->name);
        free(workspace);
    }
    federation_free(anthropic->federation);
    free(anthropic->charges);
    free(anthropic);
}

static struct workspace *add_workspace(struct anthropic *anthropic, const struct organisation *organisation,
                                       const char *name)
{
    struct workspace *workspace = calloc(1, sizeof(*workspace));

    if (workspace == NULL)
        abort();
    store_new_id(workspace->id, "wrkspc_01", 22);
    replace_text(&workspace->name, name);
    workspace->organisation = organisation;
    workspace->tags = json_object_new_object();
    workspace->created_ms = unix_ms();
    memset(workspace->overrides, -1, sizeof(workspace->overrides));
    TAILQ_INSERT_TAIL(&anthropic->workspaces, workspace, next);
    return workspace;
}

void anthropic_add_organisation(struct anthropic *anthropic, const struct organisation *organisation)
{
    add_workspace(anthropic, organisation, "Default")->is_default = true;
}

struct workspace *anthropic_add_workspace(struct store *store, const struct organisation *organisation, const char *name)
{
    struct workspace *workspace = add_workspace(store->anthropic, organisation, name);

    workspace->visible_mono = mono_ms() + store->knobs.stale_list_ms;
    return workspace;
}

struct console_key *anthropic_add_key(struct store *store, struct workspace *workspace, const char *name,
                                      char secret_out[SECRET_SIZE])
{
    struct console_key *key = calloc(1, sizeof(*key));

    if (key == NULL)
        abort();
    store_new_id(secret_out, "sk-ant-api03-", 80);
    store_hash_secret(key->sha256, secret_out);
    snprintf(key->hint, sizeof(key->hint), "%.16s...%s", secret_out, secret_out + strlen(secret_out) - 4);
    store_new_id(key->id, "apikey_01", 22);
    replace_text(&key->name, name);
    key->workspace = workspace;
    key->created_ms = unix_ms();
    key->visible_mono = mono_ms() + store->knobs.stale_list_ms;
    TAILQ_INSERT_TAIL(&store->anthropic->keys, key, next);
    return key;
}

struct workspace *anthropic_workspace(const struct store *store, const char *id)
{
    struct workspace *workspace;

    TAILQ_FOREACH(workspace, &store->anthropic->workspaces, next) {
        if (strcmp(workspace->id, id) == 0)
            break;
    }
    return workspace;
}

struct console_key *anthropic_key(const struct store *store, const char *id)
{
    struct console_key *key;

    TAILQ_FOREACH(key, &store->anthropic->keys, next) {
        if (strcmp(key->id, id) == 0)
            break;
    }
    return key;
}

struct workspace *anthropic_default_workspace(const struct store *store, const struct organisation *organisation)
{
    struct workspace *workspace;

    TAILQ_FOREACH(workspace, &store->anthropic->workspaces, next) {
        if (workspace->organisation == organisation && workspace->is_default)
            break;
    }
    return workspace;
}

struct console_key *anthropic_key_of_secret(const struct store *store, const char *secret)
{
    struct console_key *key;
    char sha256[SHA256_HEX_SIZE];

    store_hash_secret(sha256, secret);
    TAILQ_FOREACH(key, &store->anthropic->keys, next) {
        if (strcmp(key->sha256, sha256) == 0)
            break;
    }
    return key;
}

static bool expired(const struct console_key *key)
{
    return key->expires_ms != 0 && unix_ms() >= key->expires_ms;
}

bool anthropic_key_works(const struct console_key *key)
{
    return key->status == KEY_ACTIVE && !expired(key) && key->workspace->archived_ms == 0;
}

const char *anthropic_key_status(const struct console_key *key)
{
    static const char *const names[KEY_STATUSES] = {"active", "inactive", "archived"};

    return key->status != KEY_ARCHIVED && expired(key) ? "expired" : names[key->status];
}

void anthropic_archive(struct store *store, struct workspace *workspace)
{
    struct console_key *key;

    workspace->archived_ms = unix_ms();
    TAILQ_FOREACH(key, &store->anthropic->keys, next) {
        if (key->workspace == workspace && key->status != KEY_ARCHIVED) {
            key->status = KEY_ARCHIVED;
            key->archived_ms = workspace->archived_ms;
        }
    }
}

void anthropic_set_limit(struct store *store, struct workspace *workspace, int64_t cents)
{
    if (workspace->limit.id[0] == '\0') {
        store_new_id(workspace->limit.id, "spl_01", 22);
        workspace->limit.created_ms = unix_ms();
    }
    workspace->limit.cents = cents;
    workspace->limit.updated_ms = unix_ms();
    workspace->limit.enforce_mono = mono_ms() + store->knobs.enforcement_lag_ms;
}

static struct json_object *key_state(const struct console_key *key)
{
    struct json_object *object = json_object_new_object();

    put_string(object, "id", key->id);
    put_string(object, "name", key->name);
    put_string(object, "status", anthropic_key_status(key));
    put_bool(object, "live", anthropic_key_works(key));
    put_string(object, "sha256", key->sha256);
    put_int(object, "created_ms", key->created_ms);
    put_time(object, "archived_ms", key->archived_ms);
    put_time(object, "last_used", key->last_used);
    return object;
}

static struct json_object *workspace_state(const struct store *store, const struct workspace *workspace, bool live_only,
                                           int64_t *live_keys)
{
    struct json_object *object = json_object_new_object();
    struct json_object *keys = json_object_new_array();
    const struct console_key *key;

    TAILQ_FOREACH(key, &store->anthropic->keys, next) {
        if (key->workspace != workspace)
            continue;
        *live_keys += anthropic_key_works(key);
        if (!live_only || anthropic_key_works(key))
            json_object_array_add(keys, key_state(key));
    }
    put_string(object, "id", workspace->id);
    put_string(object, "name", workspace->name);
    put_int(object, "organisation", workspace->organisation->number);
    put_bool(object, "live", workspace->archived_ms == 0);
    put_bool(object, "default", workspace->is_default);
    put_int(object, "created_ms", workspace->created_ms);
    put_time(object, "archived_ms", workspace->archived_ms);
    if (workspace->limit.id[0] != '\0')
        put_int(object, "spend_limit_cents", workspace->limit.cents);
    else
        put_string(object, "spend_limit_cents", NULL);
    json_object_object_add(object, "month_spend_usd",
                           json_object_new_double((double)anthropic_month_spend(workspace) / 1e6));
    json_object_object_add(object, "keys", keys);
    return object;
}

void anthropic_state(struct store *store, bool live_only, struct json_object *state)
{
    struct json_object *object = json_object_new_object();
    struct json_object *workspaces = json_object_new_array();
    const struct workspace *workspace;
    int64_t live_keys = 0;

    TAILQ_FOREACH(workspace, &store->anthropic->workspaces, next) {
        if (!live_only || workspace->archived_ms == 0)
            json_object_array_add(workspaces, workspace_state(store, workspace, live_only, &live_keys));
    }
    put_int(object, "live_keys", live_keys);
    json_object_object_add(object, "workspaces", workspaces);
    json_object_object_add(state, "anthropic", object);
}

/* --- somebody else's deeds --- */

static const char *create_key(struct store *store, struct json_object *description, struct json_object *result)
{
    const char *id = get_string(description, "workspace_id", NULL);
    struct workspace *workspace = id != NULL ? anthropic_workspace(store, id)
                                             : anthropic_default_workspace(store, &store->organisations[0]);
    struct console_key *key;
    char secret[SECRET_SIZE];

    if (workspace == NULL || workspace->archived_ms != 0)
        return "no such workspace";
    key = anthropic_add_key(store, workspace, get_string(description, "name", "console key"), secret);
    if (get_int(description, "seconds", 0) > 0)
        key->expires_ms = key->created_ms + get_int(description, "seconds", 0) * 1000;
    key->of_organisation = strcmp(get_string(description, "status", ""), "of-organization") == 0;
    put_string(result, "api_key_id", key->id);
    put_string(result, "workspace_id", workspace->id);
    put_string(result, "value", secret); /* the Console shows it, this once */
    sodium_memzero(secret, sizeof(secret));
    return NULL;
}

/* As whoever logs in with the scope org:admin has it. */
static void log_in(struct store *store, struct json_object *result)
{
    char secret[SECRET_SIZE];

    federation_add_token(store, &store->organisations[0], anthropic_default_workspace(store, &store->organisations[0]), true,
                         3600, secret);
    put_string(result, "value", secret);
    sodium_memzero(secret, sizeof(secret));
}

static const char *set_key(struct store *store, struct json_object *description)
{
    static const char *const statuses[] = {"active", "inactive", "archived"};
    struct console_key *key = anthropic_key(store, get_string(description, "api_key_id", ""));
    const char *status = get_string(description, "status", "");

    if (key == NULL)
        return "no such API key";
    if (get_string(description, "name", NULL) != NULL)
        replace_text(&key->name, get_string(description, "name", NULL));
    if (strcmp(status, "expired") == 0)
        key->expires_ms = unix_ms();
    for (size_t i = 0; i < KEY_STATUSES; i++) {
        if (strcmp(status, statuses[i]) == 0)
            key->status = (enum key_status)i;
    }
    return NULL;
}

static const char *change_workspace(struct store *store, const char *action, struct json_object *description)
{
    struct workspace *workspace = anthropic_workspace(store, get_string(description, "workspace_id", ""));
    int64_t cents = get_int(description, "cents", -1);
    struct console_charge correction = {.at = unix_ms() / 1000, .workspace = workspace};

    if (workspace == NULL)
        return "no such workspace";
    if (strcmp(action, "archive-workspace") == 0) {
        anthropic_archive(store, workspace);
    } else if (strcmp(action, "delete-workspace-limit") == 0) {
        memset(&workspace->limit, 0, sizeof(workspace->limit));
    } else if (cents < 0) {
        return "'cents' is missing";
    } else if (strcmp(action, "set-workspace-limit") == 0) {
        anthropic_set_limit(store, workspace, cents);
    } else {
        correction.micro_usd = cents * 10000 - anthropic_month_spend(workspace);
        anthropic_bill(store, &correction);
    }
    return NULL;
}

bool anthropic_outside(struct store *store, struct json_object *description, struct json_object *result,
                       const char **error)
{
    static const char *const with_workspace[] = {"archive-workspace", "set-workspace-limit", "delete-workspace-limit",
                                                 "set-workspace-spend"};
    const char *action = get_string(description, "action", "");

    *error = NULL;
    if (strcmp(action, "create-workspace") == 0) {
        put_string(result, "workspace_id",
                   anthropic_add_workspace(store, &store->organisations[0],
                                           get_string(description, "name", "somebody's workspace"))->id);
        return true;
    }
    if (strcmp(action, "log-in") == 0) {
        log_in(store, result);
        return true;
    }
    if (strcmp(action, "create-api-key") == 0) {
        *error = create_key(store, description, result);
        return true;
    }
    if (strcmp(action, "set-api-key") == 0) {
        *error = set_key(store, description);
        return true;
    }
    for (size_t i = 0; i < sizeof(with_workspace) / sizeof(with_workspace[0]); i++) {
        if (strcmp(action, with_workspace[i]) == 0) {
            *error = change_workspace(store, action, description);
            return true;
        }
    }
    return false;
}
