#include "control.h"

#include "billing.h"
#include "faults.h"
#include "fields.h"
#include "http.h"
#include "outside.h"
#include "provider.h"
#include "traffic.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct control {
    struct store *store;
    struct server *server;
    struct http_handler handler;
    struct http *http;
    char *path;
};

static void refuse(struct answer *answer, int status, const char *message)
{
    struct json_object *object = json_object_new_object();

    put_string(object, "error", message);
    answer_json(answer, status, object);
}

static struct json_object *key_state(const struct key *key)
{
    struct json_object *object = json_object_new_object();

    put_string(object, "id", key->id);
    put_string(object, "name", key->name);
    put_bool(object, "live", key_is_live(key));
    put_string(object, "sha256", key->sha256);
    put_string(object, "service_account_id", key->account->id);
    put_int(object, "created_ms", key->created_ms);
    put_time(object, "expires_at", key->expires_at);
    put_time(object, "deleted_ms", key->deleted_ms);
    put_time(object, "last_used", key->last_used);
    return object;
}

static struct json_object *account_state(const struct service_account *account)
{
    struct json_object *object = json_object_new_object();

    put_string(object, "id", account->id);
    put_string(object, "name", account->name);
    put_string(object, "role", account->role);
    put_bool(object, "live", account->deleted_ms == 0 && account->project->archived_ms == 0);
    put_int(object, "created_ms", account->created_ms);
    put_time(object, "deleted_ms", account->deleted_ms);
    return object;
}

static struct json_object *limits_state(const struct project *project)
{
    struct json_object *object;

    if (!project->limit.set)
        return NULL;
    object = json_object_new_object();
    put_int(object, "cents", project->limit.cents);
    put_bool(object, "switched_on", project->limit.switched_on);
    return object;
}

/* live_only leaves out the accounts and keys that are dead. */
static struct json_object *project_state(const struct project *project, bool live_only,
                                         int64_t *live_keys)
{
    struct json_object *object = json_object_new_object();
    struct json_object *accounts = json_object_new_array();
    struct json_object *keys = json_object_new_array();
    const struct service_account *account;
    const struct key *key;

    TAILQ_FOREACH(account, &project->accounts, next) {
        if (!live_only || account->deleted_ms == 0)
            json_object_array_add(accounts, account_state(account));
    }
    TAILQ_FOREACH(key, &project->keys, next) {
        bool live = key_is_live(key);

        *live_keys += live;
        if (!live_only || live)
            json_object_array_add(keys, key_state(key));
    }
    put_string(object, "id", project->id);
    put_string(object, "name", project->name);
    put_int(object, "organisation", project->organisation->number);
    put_bool(object, "live", project->archived_ms == 0);
    put_bool(object, "default", project->is_default);
    put_int(object, "created_ms", project->created_ms);
    put_time(object, "archived_ms", project->archived_ms);
    json_object_object_add(object, "spend_limit", limits_state(project));
    json_object_object_add(object, "month_spend_usd",
                           json_object_new_double((double)billing_month_spend(project) / 1e6));
    json_object_object_add(object, "service_accounts", accounts);
    json_object_object_add(object, "keys", keys);
    return object;
}

static struct json_object *admin_key_state(const struct admin_key *key)
{
    struct json_object *object = json_object_new_object();

    put_string(object, "id", key->id);
    put_string(object, "name", key->name);
    put_string(object, "sha256", key->sha256);
    put_bool(object, "live", key->deleted_ms == 0);
    return object;
}

static void get_state(struct control *control, bool live_only, struct answer *answer)
{
    struct json_object *object = json_object_new_object();
    struct json_object *projects = json_object_new_array(), *admin_keys = json_object_new_array();
    const struct project *project;
    int64_t live_keys = 0;

    TAILQ_FOREACH(project, &control->store->projects, next) {
        if (!live_only || project->archived_ms == 0)
            json_object_array_add(projects, project_state(project, live_only, &live_keys));
    }
    for (size_t i = 0; i < control->store->n_organisations; i++) {
        const struct admin_key *key;

        TAILQ_FOREACH(key, &control->store->organisations[i].admin_keys, next) {
            if (!live_only || key->deleted_ms == 0)
                json_object_array_add(admin_keys, admin_key_state(key));
        }
    }
    json_object_object_add(object, "admin_keys", admin_keys);
    put_bool(object, "listening", server_listening(control->server));
    put_int(object, "live_keys", live_keys);
    json_object_object_add(object, "projects", projects);
    for (size_t i = 0; providers[i] != NULL; i++) {
        if (providers[i]->state != NULL)
            providers[i]->state(control->store, live_only, object);
    }
    answer_json(answer, 200, object);
}

static struct json_object *knobs_json(const struct knobs *knobs)
{
    struct json_object *object = json_object_new_object();

    put_int(object, "page_max", knobs->page_max);
    put_int(object, "stale_list_ms", knobs->stale_list_ms);
    put_int(object, "enforcement_lag_ms", knobs->enforcement_lag_ms);
    put_int(object, "project_limit", knobs->project_limit);
    put_string(object, "key_delete", knobs->refuse_key_delete ? "refuse" : "allow");
    put_string(object, "expires_in_seconds", knobs->refuse_expiry    ? "refuse"
                                             : knobs->require_expiry ? "require"
                                                                     : "accept");
    put_string(object, "minting", knobs->forbid_minting ? "forbid" : "allow");
    put_string(object, "enforcing", knobs->enforcing_when_hit ? "when-hit" : "when-set");
    put_bool(object, "spend_alert_bug", knobs->spend_alert_bug);
    put_int(object, "workspace_limit", knobs->workspace_limit);
    put_int(object, "workspace_name_max", knobs->workspace_name_max);
    put_string(object, "litellm_over_budget", knobs->budget_is_400 ? "400" : "429");
    put_bool(object, "federation_archived_names_kept", knobs->federation_archived_names_kept);
    put_int(object, "federation_leeway_s", knobs->federation_leeway_s);
    put_int(object, "federation_least_token_s", knobs->federation_least_token_s);
    put_string(object, "anthropic_spend_limits", knobs->forbid_spend_limits ? "forbid" : "allow");
    put_int(object, "usage_lag_s", knobs->usage_lag_s);
    put_int(object, "cost_lag_s", knobs->cost_lag_s);
    put_int(object, "cost_draft_percent", knobs->cost_draft_percent);
    put_int(object, "cost_final_s", knobs->cost_final_s);
    put_int(object, "vault_lease_s", knobs->vault_lease_s);
    put_int(object, "vault_lease_most_s", knobs->vault_lease_most_s);
    put_bool(object, "vault_sudo", knobs->vault_sudo);
    return object;
}

/* Whether the named knob has this value; as it was when it is not mentioned. */
static bool turned(struct json_object *body, const char *name, const char *value, bool before)
{
    const char *text = get_string(body, name, NULL);

    return text != NULL ? strcmp(text, value) == 0 : before;
}

static void set_knobs(struct control *control, struct json_object *body, struct answer *answer)
{
    static const char *const key_delete[] = {"refuse", "allow", NULL};
    static const char *const expiry[] = {"accept", "refuse", "require", NULL};
    static const char *const minting[] = {"allow", "forbid", NULL};
    static const char *const over_budget[] = {"429", "400", NULL};
    static const char *const enforcing[] = {"when-set", "when-hit", NULL};
    static const struct field fields[] = {
        {.name = "page_max", .kind = FIELD_INT, .max = 100},
        {.name = "stale_list_ms", .kind = FIELD_INT, .max = INT32_MAX},
        {.name = "enforcement_lag_ms", .kind = FIELD_INT, .max = INT32_MAX},
        {.name = "project_limit", .kind = FIELD_INT, .max = INT32_MAX},
        {.name = "key_delete", .kind = FIELD_STRING, .values = key_delete},
        {.name = "expires_in_seconds", .kind = FIELD_STRING, .values = expiry},
        {.name = "minting", .kind = FIELD_STRING, .values = minting},
        {.name = "enforcing", .kind = FIELD_STRING, .values = enforcing},
        {.name = "spend_alert_bug", .kind = FIELD_BOOL},
        {.name = "workspace_limit", .kind = FIELD_INT, .max = INT32_MAX},
        {.name = "workspace_name_max", .kind = FIELD_INT, .max = INT32_MAX},
        {.name = "litellm_over_budget", .kind = FIELD_STRING, .values = over_budget},
        {.name = "federation_archived_names_kept", .kind = FIELD_BOOL},
        {.name = "federation_leeway_s", .kind = FIELD_INT, .max = INT32_MAX},
        {.name = "federation_least_token_s", .kind = FIELD_INT, .max = INT32_MAX},
        {.name = "anthropic_spend_limits", .kind = FIELD_STRING, .values = minting},
        {.name = "usage_lag_s", .kind = FIELD_INT, .max = INT32_MAX},
        {.name = "cost_lag_s", .kind = FIELD_INT, .max = INT32_MAX},
        {.name = "cost_draft_percent", .kind = FIELD_INT, .min = -100, .max = 1000},
        {.name = "cost_final_s", .kind = FIELD_INT, .max = INT32_MAX},
        {.name = "vault_lease_s", .kind = FIELD_INT, .min = 1, .max = INT32_MAX},
        {.name = "vault_lease_most_s", .kind = FIELD_INT, .max = INT32_MAX},
        {.name = "vault_sudo", .kind = FIELD_BOOL},
        {.name = NULL},
    };
    struct knobs *knobs = &control->store->knobs;
    struct complaint complaint;

    if (!fields_check(body, fields, &complaint)) {
        refuse(answer, 400, complaint.message);
        return;
    }
    knobs->page_max = get_int(body, "page_max", knobs->page_max);
    knobs->stale_list_ms = get_int(body, "stale_list_ms", knobs->stale_list_ms);
    knobs->enforcement_lag_ms = get_int(body, "enforcement_lag_ms", knobs->enforcement_lag_ms);
    knobs->project_limit = get_int(body, "project_limit", knobs->project_limit);
    knobs->refuse_key_delete = turned(body, "key_delete", "refuse", knobs->refuse_key_delete);
    knobs->refuse_expiry = turned(body, "expires_in_seconds", "refuse", knobs->refuse_expiry);
    knobs->require_expiry = turned(body, "expires_in_seconds", "require", knobs->require_expiry);
    knobs->forbid_minting = turned(body, "minting", "forbid", knobs->forbid_minting);
    knobs->enforcing_when_hit = turned(body, "enforcing", "when-hit", knobs->enforcing_when_hit);
    knobs->spend_alert_bug = get_bool(body, "spend_alert_bug", knobs->spend_alert_bug);
    knobs->workspace_limit = get_int(body, "workspace_limit", knobs->workspace_limit);
    knobs->workspace_name_max = get_int(body, "workspace_name_max", knobs->workspace_name_max);
    knobs->budget_is_400 = turned(body, "litellm_over_budget", "400", knobs->budget_is_400);
    knobs->federation_archived_names_kept = get_bool(body, "federation_archived_names_kept",
                                                     knobs->federation_archived_names_kept);
    knobs->federation_leeway_s = get_int(body, "federation_leeway_s", knobs->federation_leeway_s);
    knobs->federation_least_token_s = get_int(body, "federation_least_token_s", knobs->federation_least_token_s);
    knobs->forbid_spend_limits = turned(body, "anthropic_spend_limits", "forbid", knobs->forbid_spend_limits);
    knobs->usage_lag_s = get_int(body, "usage_lag_s", knobs->usage_lag_s);
    knobs->cost_lag_s = get_int(body, "cost_lag_s", knobs->cost_lag_s);
    knobs->cost_draft_percent = get_int(body, "cost_draft_percent", knobs->cost_draft_percent);
    knobs->cost_final_s = get_int(body, "cost_final_s", knobs->cost_final_s);
    knobs->vault_lease_s = get_int(body, "vault_lease_s", knobs->vault_lease_s);
    knobs->vault_lease_most_s = get_int(body, "vault_lease_most_s", knobs->vault_lease_most_s);
    knobs->vault_sudo = get_bool(body, "vault_sudo", knobs->vault_sudo);
    answer_json(answer, 200, knobs_json(knobs));
}

static void add_fault(struct json_object *body, struct answer *answer)
{
    const char *error = NULL;
    int64_t id = faults_add(body, &error);
    struct json_object *object;

    if (id == 0) {
        refuse(answer, 400, error);
        return;
    }
    object = json_object_new_object();
    put_int(object, "id", id);
    answer_json(answer, 200, object);
}

/* id_text: the rest of the path after "/faults", empty = all. */
static void clear_faults(struct control *control, const char *id_text, struct answer *answer)
{
    int64_t id = id_text[0] == '/' ? strtoll(id_text + 1, NULL, 10) : 0;
    struct json_object *object;

    if (id_text[0] != '\0' && id <= 0) {
        refuse(answer, 400, "no such fault");
        return;
    }
    object = json_object_new_object();
    put_int(object, "removed", faults_remove(id));
    put_int(object, "released", server_release(control->server, id));
    answer_json(answer, 200, object);
}

static void set_listening(struct control *control, struct json_object *body, struct answer *answer)
{
    static const struct field fields[] = {
        {.name = "listening", .kind = FIELD_BOOL, .required = true},
        {.name = NULL},
    };
    struct json_object *object;
    struct complaint complaint;

    if (!fields_check(body, fields, &complaint)) {
        refuse(answer, 400, complaint.message);
        return;
    }
    if (!server_listen(control->server, get_bool(body, "listening", true))) {
        refuse(answer, 500, "cannot listen on the port again");
        return;
    }
    object = json_object_new_object();
    put_bool(object, "listening", server_listening(control->server));
    answer_json(answer, 200, object);
}

static void get(struct control *control, const struct request *request, struct answer *answer)
{
    const char *since = request_query(request, "since");
    const char *live = request_query(request, "live");

    if (strcmp(request->path, "/stats") == 0) {
        answer_json(answer, 200, traffic_stats());
    } else if (strcmp(request->path, "/routes") == 0) {
        answer_json(answer, 200, provider_routes(request_query(request, "provider")));
    } else if (strcmp(request->path, "/requests") == 0) {
        answer_json(answer, 200, traffic_requests(since != NULL ? strtoll(since, NULL, 10) : 0));
    } else if (strcmp(request->path, "/faults") == 0) {
        answer_json(answer, 200, faults_list());
    } else if (strcmp(request->path, "/state") == 0) {
        pthread_mutex_lock(&control->store->lock);
        get_state(control, live != NULL && strcmp(live, "true") == 0, answer);
        pthread_mutex_unlock(&control->store->lock);
    } else if (strcmp(request->path, "/knobs") == 0) {
        pthread_mutex_lock(&control->store->lock);
        answer_json(answer, 200, knobs_json(&control->store->knobs));
        pthread_mutex_unlock(&control->store->lock);
    } else {
        refuse(answer, 404, "no such path");
    }
}

static void post(struct control *control, const char *path, struct json_object *body,
                 struct answer *answer)
{
    const char *error;

    if (strcmp(path, "/faults") == 0) {
        add_fault(body, answer);
    } else if (strcmp(path, "/listen") == 0) {
        set_listening(control, body, answer);
    } else if (strcmp(path, "/knobs") == 0) {
        pthread_mutex_lock(&control->store->lock);
        set_knobs(control, body, answer);
        pthread_mutex_unlock(&control->store->lock);
    } else if (strcmp(path, "/outside") == 0) {
        struct json_object *object = json_object_new_object();

        pthread_mutex_lock(&control->store->lock);
        error = outside_act(control->store, body, object);
        pthread_mutex_unlock(&control->store->lock);
        if (error == NULL) {
            answer_json(answer, 200, object);
        } else {
            json_object_put(object);
            refuse(answer, 400, error);
        }
    } else {
        refuse(answer, 404, "no such path");
    }
}

static enum http_next serve(struct exchange *exchange, void *context)
{
    const struct request *request = &exchange->request;
    struct answer *answer = &exchange->answer;
    struct json_object *body;

    if (strcmp(request->method, "GET") == 0) {
        get(context, request, answer);
    } else if (strcmp(request->method, "DELETE") == 0 && strncmp(request->path, "/faults", 7) == 0) {
        clear_faults(context, request->path + 7, answer);
    } else if (strcmp(request->method, "POST") == 0) {
        body = parse_object(request->body, request->body_size);
        if (body != NULL)
            post(context, request->path, body, answer);
        else
            refuse(answer, 400, "the body is not a JSON object");
        json_object_put(body);
    } else {
        refuse(answer, 404, "no such path");
    }
    return HTTP_ANSWER;
}

static int unix_listener(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd;

    if (strlen(path) >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(address.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    unlink(path);
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || chmod(path, 0600) != 0 ||
        listen(fd, SOMAXCONN) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

struct control *control_start(struct store *store, struct server *server, const char *path)
{
    struct control *control = calloc(1, sizeof(*control));
    int fd = unix_listener(path);

    if (control == NULL || fd < 0) {
        fprintf(stderr, "llmhook-sandbox: cannot listen on %s: %s\n", path, strerror(errno));
        free(control);
        return NULL;
    }
    control->store = store;
    control->server = server;
    control->handler.serve = serve;
    control->handler.context = control;
    control->path = strdup(path);
    control->http = http_start(fd, &control->handler);
    if (control->http == NULL) {
        fputs("llmhook-sandbox: cannot start the control interface\n", stderr);
        close(fd);
        free(control->path);
        free(control);
        return NULL;
    }
    return control;
}

void control_stop(struct control *control)
{
    http_stop(control->http);
    unlink(control->path);
    free(control->path);
    free(control);
}
