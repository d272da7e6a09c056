#include "outside.h"

#include "anthropic.h"
#include "billing.h"
#include "fields.h"
#include "gateway.h"
#include "vault.h"

#include <string.h>

struct deed {
    struct store *store;
    struct json_object *description, *result;
    struct project *project; /* NULL only for an action that needs none */
};

static const char *create_project(struct deed *deed)
{
    const char *name = get_string(deed->description, "name", "somebody's project");
    struct project *project =
        store_add_project(deed->store, &deed->store->organisations[0], name);

    put_string(deed->result, "project_id", project->id);
    return NULL;
}

static const char *archive_project(struct deed *deed)
{
    store_archive(deed->project);
    return NULL;
}

/* The secret of its key is made and forgotten. */
static const char *create_account(struct deed *deed)
{
    const char *name = get_string(deed->description, "name", "somebody's account");
    struct service_account *account = store_add_account(deed->store, deed->project, name, "member");
    struct key *key = store_add_key(deed->store, account, "Secret Key", 0, NULL);

    put_string(deed->result, "service_account_id", account->id);
    put_string(deed->result, "key_id", key->id);
    return NULL;
}

static const char *delete_account(struct deed *deed)
{
    struct service_account *account = store_account(
        deed->project, deed->store, get_string(deed->description, "service_account_id", ""));

    if (account == NULL)
        return "no such service account in this project";
    store_delete_account(account);
    return NULL;
}

static const char *set_spend_limit(struct deed *deed)
{
    int64_t cents = get_int(deed->description, "cents", 0);

    if (cents < 1)
        return "'cents' is missing";
    store_set_limit(deed->store, deed->project, cents);
    return NULL;
}

static const char *delete_spend_limit(struct deed *deed)
{
    memset(&deed->project->limit, 0, sizeof(deed->project->limit));
    return NULL;
}

static const char *set_spend(struct deed *deed)
{
    int64_t cents = get_int(deed->description, "cents", -1);

    if (cents < 0)
        return "'cents' is missing";
    billing_set_spend(deed->store, deed->project, cents * 10000);
    return NULL;
}

static const struct {
    const char *name;
    bool needs_project;
    const char *(*act)(struct deed *deed);
} actions[] = {
    {"create-project", false, create_project},
    {"archive-project", true, archive_project},
    {"create-service-account", true, create_account},
    {"delete-service-account", true, delete_account},
    {"set-spend-limit", true, set_spend_limit},
    {"delete-spend-limit", true, delete_spend_limit},
    {"set-spend", true, set_spend},
};

const char *outside_act(struct store *store, struct json_object *description,
                        struct json_object *result)
{
    static const struct field fields[] = {
        {.name = "action", .kind = FIELD_STRING, .required = true},
        {.name = "project_id", .kind = FIELD_STRING},
        {.name = "service_account_id", .kind = FIELD_STRING},
        {.name = "workspace_id", .kind = FIELD_STRING},
        {.name = "api_key_id", .kind = FIELD_STRING},
        {.name = "status", .kind = FIELD_STRING},
        {.name = "name", .kind = FIELD_STRING},
        {.name = "cents", .kind = FIELD_INT, .max = INT64_MAX / 10000},
        {.name = "seconds", .kind = FIELD_INT, .max = INT32_MAX},
        {.name = NULL},
    };
    struct deed deed = {.store = store, .description = description, .result = result};
    static struct complaint complaint; /* one control thread: nobody else writes here */
    const char *error;

    if (!fields_check(description, fields, &complaint))
        return complaint.message;
    if (anthropic_outside(store, description, result, &error) || gateway_outside(store, description, result, &error) ||
        vault_outside(store, description, result, &error))
        return error;
    deed.project = store_project(store, get_string(description, "project_id", ""));
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
        if (strcmp(actions[i].name, get_string(description, "action", "")) != 0)
            continue;
        if (actions[i].needs_project && deed.project == NULL)
            return "no such project";
        return actions[i].act(&deed);
    }
    return "unknown action";
}
