#include "store.h"

#include "anthropic.h"
#include "clock.h"
#include "gateway.h"
#include "vault.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A test tool that is out of memory has nothing better to do than to say so and stop. */
static void *must(void *memory)
{
    if (memory == NULL) {
        fputs("llmhook-sandbox: out of memory\n", stderr);
        abort();
    }
    return memory;
}

void replace_text(char **field, const char *text)
{
    char *copy = text != NULL ? must(strdup(text)) : NULL;

    free(*field);
    *field = copy;
}

static void random_text(char *out, size_t length)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

    for (size_t i = 0; i < length; i++)
        out[i] = alphabet[randombytes_uniform(sizeof(alphabet) - 1)];
    out[length] = '\0';
}

void store_new_id(char *out, const char *prefix, size_t length)
{
    size_t used = strlen(prefix);

    memcpy(out, prefix, used);
    random_text(out + used, length);
}

void store_hash_secret(char out[SHA256_HEX_SIZE], const char *secret)
{
    unsigned char hash[crypto_hash_sha256_BYTES];

    crypto_hash_sha256(hash, (const unsigned char *)secret, strlen(secret));
    sodium_bin2hex(out, SHA256_HEX_SIZE, hash, sizeof(hash));
}

/* What lists show instead of a secret: its kind and its last four characters. */
static void redact(char out[24], const char *secret)
{
    size_t length = strlen(secret);

    snprintf(out, 24, "%.11s***%s", length > 15 ? secret : "", length > 15 ? secret + length - 4 : "");
}

struct store *store_new(void)
{
    struct store *store = must(calloc(1, sizeof(*store)));

    pthread_mutex_init(&store->lock, NULL);
    TAILQ_INIT(&store->projects);
    store->by_id = must(lh_kchar_table_new(1024, NULL));
    store->by_sha256 = must(lh_kchar_table_new(1024, NULL));
    store->knobs.project_limit = 2000;
    store->knobs.refuse_key_delete = true;
    store->knobs.federation_archived_names_kept = true;
    store->knobs.federation_leeway_s = 30;
    store->knobs.federation_least_token_s = 60;
    store->knobs.workspace_limit = 100;
    store->knobs.workspace_name_max = 40;
    store->started = unix_ms() / 1000;
    store->anthropic = must(anthropic_new());
    store->gateways = must(gateways_new());
    store->vault = must(vault_new());
    store->knobs.vault_lease_s = 3600;
    return store;
}

static struct admin_key *add_admin_key(struct organisation *organisation, const char *name, const char *secret)
{
    struct admin_key *key = must(calloc(1, sizeof(*key)));

    store_hash_secret(key->sha256, secret);
    redact(key->redacted, secret);
    store_new_id(key->id, "key_", 16);
    replace_text(&key->name, name);
    key->created = unix_ms() / 1000;
    TAILQ_INSERT_TAIL(&organisation->admin_keys, key, next);
    return key;
}

struct admin_key *store_add_admin_key(struct organisation *organisation, const char *name, int64_t expires_in,
                                      char secret_out[SECRET_SIZE])
{
    struct admin_key *key;

    store_new_id(secret_out, "sk-admin-", 48);
    key = add_admin_key(organisation, name, secret_out);
    key->expires_at = expires_in > 0 ? key->created + expires_in : 0;
    return key;
}

void store_add_organisation(struct store *store, const char *admin_key)
{
    struct organisation *organisation = &store->organisations[store->n_organisations++];

    organisation->number = (int)store->n_organisations;
    TAILQ_INIT(&organisation->admin_keys);
    add_admin_key(organisation, "Sandbox Admin Key", admin_key);
    store_add_project(store, organisation, "Default project")->is_default = true;
    anthropic_add_organisation(store->anthropic, organisation);
}

static void free_project(struct project *project)
{
    struct service_account *account;
    struct spend_alert *alert;
    struct key *key;

    while ((key = TAILQ_FIRST(&project->keys)) != NULL) {
        TAILQ_REMOVE(&project->keys, key, next);
        free(key->name);
        free(key);
    }
    while ((account = TAILQ_FIRST(&project->accounts)) != NULL) {
        TAILQ_REMOVE(&project->accounts, account, next);
        free(account->name);
        free(account);
    }
    while ((alert = TAILQ_FIRST(&project->alerts)) != NULL) {
        TAILQ_REMOVE(&project->alerts, alert, next);
        json_object_put(alert->channel);
        free(alert);
    }
    free(project->name);
    free(project->external_key_id);
    free(project->residency);
    free(project);
}

void store_free(struct store *store)
{
    struct project *project;

    lh_table_free(store->by_id);
    lh_table_free(store->by_sha256);
    while ((project = TAILQ_FIRST(&store->projects)) != NULL) {
        TAILQ_REMOVE(&store->projects, project, next);
        free_project(project);
    }
    for (size_t i = 0; i < store->n_organisations; i++) {
        struct admin_key *key;

        while ((key = TAILQ_FIRST(&store->organisations[i].admin_keys)) != NULL) {
            TAILQ_REMOVE(&store->organisations[i].admin_keys, key, next);
            free(key->name);
            free(key);
        }
    }
    free(store->charges);
    anthropic_free(store->anthropic);
    gateways_free(store->gateways);
    vault_free(store->vault);
    pthread_mutex_destroy(&store->lock);
    free(store);
}

const struct organisation *store_organisation(const struct store *store, const char *secret)
{
    char sha256[SHA256_HEX_SIZE];

    store_hash_secret(sha256, secret);
    for (size_t i = 0; i < store->n_organisations; i++) {
        const struct admin_key *key;

        TAILQ_FOREACH(key, &store->organisations[i].admin_keys, next) {
            if (key->deleted_ms == 0 && sodium_memcmp(sha256, key->sha256, sizeof(sha256)) == 0)
                return &store->organisations[i];
        }
    }
    return NULL;
}

/* One table holds all kinds of id, so the prefix says what is found before it is cast. */
static void *find(const struct store *store, const char *id, const char *prefix)
{
    void *found;

    if (strncmp(id, prefix, strlen(prefix)) != 0)
        return NULL;
    return lh_table_lookup_ex(store->by_id, id, &found) ? found : NULL;
}

struct project *store_project(const struct store *store, const char *id)
{
    return find(store, id, "proj_");
}

struct service_account *store_account(const struct project *project, const struct store *store,
                                      const char *id)
{
    struct service_account *account = find(store, id, "user-");

    if (account == NULL || account->project != project || account->deleted_ms != 0)
        return NULL;
    return account;
}

struct key *store_key(const struct project *project, const struct store *store, const char *id)
{
    struct key *key = find(store, id, "key_");

    return key != NULL && key->project == project && key->deleted_ms == 0 ? key : NULL;
}

struct key *store_key_of_secret(const struct store *store, const char *secret)
{
    char sha256[SHA256_HEX_SIZE];
    void *found;

    store_hash_secret(sha256, secret);
    return lh_table_lookup_ex(store->by_sha256, sha256, &found) ? found : NULL;
}

/* What a fresh project may do with each of the three models: the organisation's own limits. */
static const int64_t organisation_limits[RATE_LIMIT_MODELS][RATE_LIMIT_FIELDS] = {
    /* requests/min, tokens/min, images/min, audio MB/min, requests/day, batch tokens/day */
    {10000, 2000000, -1, -1, -1, 200000000},
    {30000, 10000000, -1, -1, -1, 1000000000},
    {10000, 2000000, -1, 300, 500000, 200000000},
};

int64_t store_organisation_limit(size_t model, size_t field)
{
    return organisation_limits[model][field];
}

struct project *store_add_project(struct store *store, const struct organisation *organisation,
                                  const char *name)
{
    struct project *project = must(calloc(1, sizeof(*project)));

    store_new_id(project->id, "proj_", 24);
    project->organisation = organisation;
    replace_text(&project->name, name);
    project->created_ms = unix_ms();
    project->created = project->created_ms / 1000;
    project->visible_mono = mono_ms() + store->knobs.stale_list_ms;
    memcpy(project->rate_limits, organisation_limits, sizeof(organisation_limits));
    TAILQ_INIT(&project->accounts);
    TAILQ_INIT(&project->keys);
    TAILQ_INIT(&project->alerts);
    TAILQ_INSERT_TAIL(&store->projects, project, next);
    lh_table_insert(store->by_id, project->id, project);
    return project;
}

struct service_account *store_add_account(struct store *store, struct project *project,
                                          const char *name, const char *role)
{
    struct service_account *account = must(calloc(1, sizeof(*account)));

    store_new_id(account->id, "user-", 24);
    replace_text(&account->name, name);
    account->role = role;
    account->project = project;
    account->created_ms = unix_ms();
    account->created = account->created_ms / 1000;
    account->visible_mono = mono_ms() + store->knobs.stale_list_ms;
    TAILQ_INSERT_TAIL(&project->accounts, account, next);
    lh_table_insert(store->by_id, account->id, account);
    return account;
}

struct key *store_add_key(struct store *store, struct service_account *account, const char *name,
                          int64_t expires_in, char secret_out[SECRET_SIZE])
{
    struct key *key = must(calloc(1, sizeof(*key)));
    char secret[SECRET_SIZE] = "sk-svcacct-";

    random_text(secret + strlen(secret), 64);
    store_hash_secret(key->sha256, secret);
    redact(key->redacted, secret);
    if (secret_out != NULL)
        memcpy(secret_out, secret, sizeof(secret));
    sodium_memzero(secret, sizeof(secret));

    store_new_id(key->id, "key_", 16);
    replace_text(&key->name, name);
    key->project = account->project;
    key->account = account;
    key->created_ms = unix_ms();
    key->created = key->created_ms / 1000;
    key->visible_mono = mono_ms() + store->knobs.stale_list_ms;
    key->expires_at = expires_in > 0 ? key->created + expires_in : 0;
    TAILQ_INSERT_TAIL(&account->project->keys, key, next);
    lh_table_insert(store->by_id, key->id, key);
    lh_table_insert(store->by_sha256, key->sha256, key);
    return key;
}

struct spend_alert *store_add_alert(struct project *project, int64_t cents,
                                    struct json_object *channel)
{
    struct spend_alert *alert = must(calloc(1, sizeof(*alert)));

    store_new_id(alert->id, "alert_", 24);
    alert->cents = cents;
    alert->channel = json_object_get(channel);
    TAILQ_INSERT_TAIL(&project->alerts, alert, next);
    return alert;
}

void store_delete_key(struct key *key)
{
    key->deleted_ms = unix_ms();
}

void store_delete_account(struct service_account *account)
{
    struct key *key;

    account->deleted_ms = unix_ms();
    TAILQ_FOREACH(key, &account->project->keys, next) {
        if (key->account == account && key->deleted_ms == 0)
            key->deleted_ms = account->deleted_ms;
    }
}

void store_archive(struct project *project)
{
    project->archived_ms = unix_ms();
}

void store_set_limit(struct store *store, struct project *project, int64_t cents)
{
    project->limit.set = true;
    project->limit.switched_on = true;
    project->limit.cents = cents;
    project->limit.enforce_mono = mono_ms() + store->knobs.enforcement_lag_ms;
}

bool key_is_live(const struct key *key)
{
    if (key->deleted_ms != 0 || key->project->archived_ms != 0)
        return false;
    return key->expires_at == 0 || unix_ms() / 1000 < key->expires_at;
}

size_t store_active_projects(const struct store *store, const struct organisation *organisation)
{
    const struct project *project;
    size_t count = 0;

    TAILQ_FOREACH(project, &store->projects, next)
        count += project->organisation == organisation && project->archived_ms == 0;
    return count;
}

bool store_visible(int64_t visible_mono)
{
    return mono_ms() >= visible_mono;
}
