#include "anthropic.h"

#include "clock.h"

#include <string.h>

static struct json_object *key_json(const struct call *call, const struct console_key *key)
{
    struct json_object *object = json_object_new_object();
    struct json_object *creator = json_object_new_object();
    struct json_object *scope = json_object_new_object();

    put_string(creator, "id", "user_01sandboxadministrator0001");
    put_string(creator, "type", "user");
    put_string(scope, "type", key->of_organisation ? "organization" : "workspace");
    if (!key->of_organisation)
        put_string(scope, "workspace_id", key->workspace->id);

    put_string(object, "id", key->id);
    put_string(object, "type", "api_key");
    put_string(object, "name", key->name);
    put_string(object, "status", anthropic_key_status(key));
    put_string(object, "partial_key_hint", key->hint);
    put_date(object, "created_at", key->created_ms, "Z");
    put_date(object, "expires_at", key->expires_ms, "Z");
    json_object_object_add(object, "created_by", creator);
    if (key->of_organisation) {
        struct json_object *principal = json_object_new_object();

        put_string(principal, "type", "user_actor");
        put_string(principal, "user_id", "user_01sandboxadministrator0001");
        json_object_object_add(object, "principal", principal);
    } else {
        put_string(object, "principal", NULL);
    }
    json_object_object_add(object, "scope", scope);
    /* What the newest version leaves out: null for the default workspace. */
    if (strcmp(call->request->api_version, "2023-06-01") == 0)
        put_string(object, "workspace_id", key->workspace->is_default || key->of_organisation ? NULL : key->workspace->id);
    return object;
}

void anthropic_list_keys(struct call *call)
{
    const char *status = request_query(call->request, "status");
    const char *workspace = request_query(call->request, "workspace_id");
    struct console_key *key;
    struct id_page page;

    if (status != NULL && strcmp(status, "active") != 0 && strcmp(status, "inactive") != 0 &&
        strcmp(status, "archived") != 0 && strcmp(status, "expired") != 0) {
        anthropic_error(call->answer, 400, NULL, NULL, "status: Input should be active, inactive, archived or expired");
        return;
    }
    if (!anthropic_page_begin(call, &page))
        return;
    TAILQ_FOREACH(key, &call->store->anthropic->keys, next) {
        if (key->workspace->organisation != call->organisation || !store_visible(key->visible_mono))
            continue;
        if ((status != NULL && strcmp(status, anthropic_key_status(key)) != 0) ||
            (workspace != NULL && strcmp(workspace, key->workspace->id) != 0))
            continue;
        if (id_page_wants(&page, key->id))
            id_page_add(&page, key->id, key_json(call, key));
    }
    anthropic_page_end(&page);
}

static struct console_key *key_of(struct call *call)
{
    struct console_key *key = anthropic_key(call->store, call->arg[0]);

    if (key == NULL || key->workspace->organisation != call->organisation) {
        anthropic_error(call->answer, 404, NULL, NULL, "API key not found.");
        return NULL;
    }
    return key;
}

void anthropic_get_key(struct call *call)
{
    struct console_key *key = key_of(call);

    if (key != NULL)
        answer_json(call->answer, 200, key_json(call, key));
}

/* What is archived or has expired stays so: nothing about it can be changed any more. */
void anthropic_update_key(struct call *call)
{
    static const char *const statuses[] = {"active", "inactive", "archived", NULL};
    static const struct field fields[] = {
        {.name = "name", .kind = FIELD_STRING, .nullable = true, .min = 1, .max = 500},
        {.name = "status", .kind = FIELD_STRING, .nullable = true, .values = statuses},
        {.name = NULL},
    };
    struct console_key *key = key_of(call);
    struct json_object *body;
    const char *name, *status;

    if (key == NULL || (body = anthropic_body(call, fields)) == NULL)
        return;
    name = get_string(body, "name", NULL);
    status = get_string(body, "status", NULL);
    if (strcmp(anthropic_key_status(key), "archived") == 0 || strcmp(anthropic_key_status(key), "expired") == 0) {
        anthropic_error(call->answer, 400, NULL, NULL, "An API key that is archived or has expired cannot be updated.");
    } else {
        if (name != NULL)
            replace_text(&key->name, name);
        for (size_t i = 0; status != NULL && i < KEY_STATUSES; i++) {
            if (strcmp(statuses[i], status) == 0)
                key->status = (enum key_status)i;
        }
        if (key->status == KEY_ARCHIVED)
            key->archived_ms = unix_ms();
        answer_json(call->answer, 200, key_json(call, key));
    }
    json_object_put(body);
}
