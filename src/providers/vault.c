/* A dynamic secrets engine of HashiCorp's Vault or of OpenBao: reading its path makes a key under a lease, and the lease's
 * id is the key's.
 *
 * A lease ends by itself: it is renewed at half of its life (PROVIDER_LEASES), and where that gives no whole life any more
 * a newer key has to take its place. It has no name either, so a key whose making was never answered cannot be looked for:
 * nobody has its secret, nobody renews it, and it ends with its lease.
 *
 * A lease also ends with the token that it was made with. So each call looks at the token first: renews it when half of its
 * life is over, and takes no lease for longer than it. And a lease that is older than the token was made with another, which
 * may end at any time: that one is replaced. The look has another use: Vault says 403 to a token that it does not know and
 * to a path that the token's policy does not allow, and only what it says of the token itself tells these apart.
 *
 * Sources: the pages /sys/leases and /auth/token of Vault's API documentation; OpenBao's expiration.go, logical_system.go
 * and token_store.go for what is said of a lease that is not there, and for what ends with what. */
#include "base/json.h"
#include "providers/form.h"
#include "providers/reading.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

static const char who[] = "Vault";

/* A progress' step: which request is next. Between them its index keeps one number, and the result's life what is left of
 * the token. */
enum {
    STEP_TOKEN,       /* index afterwards: when the token was made, unix seconds */
    STEP_RENEW_TOKEN, /* the same */
    STEP_LEASE,       /* index afterwards: how long the lease's present life is, seconds */
    STEP_ACT,
};
/* A progress' cursor: more than half of the token's life is over, and it is not to be had again. */
static const char token_ends[] = "the token ends";

enum { PATH_MAX_LENGTH = sizeof ((struct provider_vault *)NULL)->path - 1, SECOND_MS = 1000, LIFE_MAX_S = 10 * 365 * 24 * 3600,
       OVERDUE_MS = 30000 /* until a lease that is past its end is looked at again */ };

/* --- settings --- */

static bool name_valid(const char *name)
{
    return name[0] && strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.") == strlen(name);
}

/* "openai/creds/dev": URL parts that need no escaping, none of them empty or leading elsewhere. */
static bool path_valid(const char *path)
{
    unsigned parts = 0;
    for (const char *at = path;; parts++) {
        char part[PATH_MAX_LENGTH + 1];
        size_t length = strcspn(at, "/");
        snprintf(part, sizeof part, "%.*s", (int)length, at);
        if (!name_valid(part) || strcmp(part, ".") == 0 || strcmp(part, "..") == 0)
            return false;
        if (!at[length])
            return parts > 0;
        at += length + 1;
    }
}

/* "NAME=VALUE ..." */
static bool parameters_valid(const char *parameters)
{
    for (const char *at = parameters + strspn(parameters, " \t"); *at; at += strspn(at, " \t")) {
        char name[sizeof ((struct provider_vault *)NULL)->parameters];
        size_t word = strcspn(at, " \t"), length = strcspn(at, "=");
        snprintf(name, sizeof name, "%.*s", (int)length, at);
        if (length >= word || !name_valid(name))
            return false;
        at += word;
    }
    return true;
}

static bool vault_check(const struct provider_settings *settings, struct error *err)
{
    const struct provider_vault *vault = &settings->vault;
    if (!settings->base_url[0] || !settings->admin_key[0])
        return error_set(err, ERROR_INVALID,
                         "which Vault is not said: write a [vault] section, or base-url = https://HOST:8200 and admin-key = "
                         "REFERENCE, of a token, below it");
    if (!vault->path[0])
        return error_set(err, ERROR_INVALID, "where keys are made is not said: write path = MOUNT/creds/ROLE below it");
    if (!path_valid(vault->path))
        return error_set(err, ERROR_INVALID, "'%s' is no path of a secrets engine: write one like openai/creds/dev", vault->path);
    if (!name_valid(vault->field))
        return error_set(err, ERROR_INVALID,
                         "which field is the key is not said: write field = NAME below it, as Vault calls it");
    if (!parameters_valid(vault->parameters))
        return error_set(err, ERROR_INVALID, "'%s' are no parameters: write NAME=VALUE, separated by spaces", vault->parameters);
    if (!settings->environment[0])
        return error_set(err, ERROR_INVALID, "keys from Vault have no usual variable in the guest: write environment = NAME");
    if (vault->parameters[0] && !vault->post)
        return error_set(err, ERROR_INVALID, "parameters are sent with method = post: write that below it");
    return true;
}

/* --- building --- */

static bool put_url(const struct provider_settings *settings, struct http_request *request, struct error *err, const char *path,
                    const char *more)
{
    return form_put_url(request, settings->base_url, err, "/v1/%s%s", path, more);
}

static bool put_lease(const struct provider_settings *settings, const struct provider_call *call, const char *path, bool sync,
                      struct http_request *request, struct error *err)
{
    if (!form_word_valid(call->key_id))
        return error_set(err, ERROR_INVALID, "the key's lease is empty, or no word of printable characters");
    if (!put_url(settings, request, err, path, ""))
        return false;
    struct json_object *body = json_object_new_object();
    json_put_string(body, "lease_id", call->key_id);
    if (sync) /* answered when it is done, not when it is noted */
        json_put_boolean(body, "sync", true);
    return form_post(request, body, err);
}

/* VALUE with the key's name in the place of {name}. */
static void put_parameter(struct json_object *body, const char *name, const char *value, const char *key_name)
{
    static const char mark[] = "{name}";
    char text[sizeof ((struct provider_vault *)NULL)->parameters + RECORD_NAME_SIZE];
    const char *at = strstr(value, mark);
    if (at)
        snprintf(text, sizeof text, "%.*s%s%s", (int)(at - value), value, key_name, at + strlen(mark));
    json_put_string(body, name, at ? text : value);
}

/* "ttl=1h note={name}", as texts. */
static struct json_object *make_parameters(const char *parameters, const char *key_name)
{
    struct json_object *body = json_object_new_object();
    char words[sizeof ((struct provider_vault *)NULL)->parameters], *rest = NULL;
    snprintf(words, sizeof words, "%s", parameters);
    for (char *word = strtok_r(words, " \t", &rest); word; word = strtok_r(NULL, " \t", &rest)) {
        char *value = strchr(word, '=');
        if (value)
            *value++ = '\0';
        put_parameter(body, word, value ? value : "", key_name);
    }
    return body;
}

static bool build_mint(const struct provider_settings *settings, const struct provider_call *call, struct http_request *request,
                       struct error *err)
{
    request->method = settings->vault.post ? HTTP_POST : HTTP_GET;
    request->once = true; /* reading is making */
    if (!put_url(settings, request, err, settings->vault.path, ""))
        return false;
    return !settings->vault.post || form_put_body(request, make_parameters(settings->vault.parameters, call->key_name), err);
}

static bool build_act(const struct provider_settings *settings, const struct provider_call *call, struct http_request *request,
                      struct error *err)
{
    char path[sizeof "sys/leases/lookup/" + PATH_MAX_LENGTH + 1];
    switch (call->verb) {
    case PROVIDER_MINT_KEY:
        return build_mint(settings, call, request, err);
    case PROVIDER_RENEW_KEY:
        return put_lease(settings, call, "sys/leases/renew", false, request, err);
    case PROVIDER_REVOKE_KEY:
        return put_lease(settings, call, "sys/leases/revoke", true, request, err);
    case PROVIDER_INVENTORY:
        request->method = HTTP_GET;
        snprintf(path, sizeof path, "sys/leases/lookup/%s/", settings->vault.path);
        return put_url(settings, request, err, path, "?list=true");
    default:
        return error_set(err, ERROR_INVALID, "no such verb");
    }
}

static bool vault_build(const struct provider_settings *settings, const struct provider_call *call,
                        const struct provider_progress *progress, const struct provider_result *so_far,
                        struct http_request *request, struct error *err)
{
    (void)so_far;
    snprintf(request->secret_header, sizeof request->secret_header, "X-Vault-Token: ");
    if (settings->vault.name_space[0]) /* Vault Enterprise and OpenBao know it, others ignore it */
        snprintf(request->header, sizeof request->header, "X-Vault-Namespace: %s", settings->vault.name_space);
    switch (progress->step) {
    case STEP_TOKEN:
        request->method = HTTP_GET;
        return put_url(settings, request, err, "auth/token/lookup-self", "");
    case STEP_RENEW_TOKEN:
        request->method = HTTP_POST;
        return put_url(settings, request, err, "auth/token/renew-self", "");
    case STEP_LEASE:
        return put_lease(settings, call, "sys/leases/lookup", false, request, err);
    default:
        return build_act(settings, call, request, err);
    }
}

/* --- what is said in the successes --- */

static bool read_data(struct reading *reading, struct json_object **ret_object, struct json_object **ret_data)
{
    return reading_body(reading, ret_object) && json_get_object(*ret_object, "data", ret_data, &reading->result->error);
}

/* Seconds; a negative or immense number is none. */
static bool read_seconds(struct json_object *object, const char *name, int64_t *ret_seconds, struct error *err)
{
    if (!json_get_integer(object, name, ret_seconds, err))
        return false;
    if (*ret_seconds < 0)
        return error_set(err, ERROR_PROTOCOL, "field '%s' is no length of time", name);
    if (*ret_seconds > LIFE_MAX_S)
        *ret_seconds = LIFE_MAX_S;
    return true;
}

/* The shorter of two lives, in milliseconds; 0: without end. */
static int64_t shorter(int64_t one, int64_t other)
{
    return !one || (other && other < one) ? other : one;
}

static enum provider_next go_on(struct reading *reading, unsigned step)
{
    reading->progress->step = step;
    reading->progress->unchanged = step != STEP_ACT;
    return PROVIDER_NEXT_REQUEST;
}

/* The token is good: what the call is about. */
static enum provider_next begin_act(struct reading *reading)
{
    if (reading->call->verb == PROVIDER_CHECK)
        return reading_conclude(reading, OUTCOME_OK);
    return go_on(reading, reading->call->verb == PROVIDER_RENEW_KEY ? STEP_LEASE : STEP_ACT);
}

static bool makes_lives(enum provider_verb verb)
{
    return verb == PROVIDER_MINT_KEY || verb == PROVIDER_RENEW_KEY;
}

/* When the token was made. issue_time is finer than creation_time, which is whole seconds and would take a lease
 * that was made earlier in that second for the token's own; root tokens and batch tokens have none. */
static bool read_token_made(struct json_object *data, int64_t *ret_ms, struct error *err)
{
    int64_t seconds;
    if (json_has(data, "issue_time"))
        return form_get_time(data, "issue_time", ret_ms, err);
    if (!json_get_integer(data, "creation_time", &seconds, err))
        return false;
    if (seconds < 0 || seconds > INT64_MAX / SECOND_MS)
        return error_set(err, ERROR_PROTOCOL, "field 'creation_time' is no time");
    *ret_ms = seconds * SECOND_MS;
    return true;
}

/* What is left of the token and whether it can be more. A token without an end has a ttl of 0. */
static enum provider_next parse_token(struct reading *reading)
{
    struct error *err = &reading->result->error;
    cleanup_json struct json_object *answer = NULL;
    struct json_object *data;
    int64_t left;
    if (!read_data(reading, &answer, &data) || !read_seconds(data, "ttl", &left, err) ||
        !read_token_made(data, &reading->progress->credential_made_at, err))
        return reading_unreadable(reading);
    int64_t whole = json_optional_integer(data, "period", 0);
    if (whole <= 0)
        whole = json_optional_integer(data, "creation_ttl", 0);
    if (whole > LIFE_MAX_S)
        whole = LIFE_MAX_S;
    if (left == 0 && json_has(data, "expire_time"))
        left = 1; /* whole seconds: it is in its last one, and not without an end */
    reading->result->life_ms = left * SECOND_MS;
    if (!makes_lives(reading->call->verb) || left == 0 || left * 2 >= whole)
        return begin_act(reading);
    snprintf(reading->progress->cursor, sizeof reading->progress->cursor, "%s", token_ends);
    if (!json_optional_boolean(data, "renewable", false))
        return begin_act(reading);
    reading->result->lease_ms = whole * SECOND_MS; /* for the next answer */
    return go_on(reading, STEP_RENEW_TOKEN);
}

static enum provider_next parse_token_renewed(struct reading *reading)
{
    struct error *err = &reading->result->error;
    cleanup_json struct json_object *answer = NULL;
    struct json_object *auth;
    int64_t left;
    if (!reading_body(reading, &answer) || !json_get_object(answer, "auth", &auth, err) ||
        !read_seconds(auth, "lease_duration", &left, err))
        return reading_unreadable(reading);
    if (left * SECOND_MS * 2 >= reading->result->lease_ms)
        reading->progress->cursor[0] = '\0';
    reading->result->life_ms = left * SECOND_MS;
    return begin_act(reading);
}

/* The key exists from here on: whatever is missing in the answer, its lease is kept as far as it can be read. */
static enum provider_next parse_minted(struct reading *reading)
{
    struct provider_result *result = reading->result;
    struct error *err = &result->error;
    cleanup_json struct json_object *answer = NULL;
    struct json_object *data;
    struct secret *secret = NULL;
    int64_t life;
    if (!reading_body(reading, &answer))
        return reading_unreadable(reading);
    if (!json_get_string(answer, "lease_id", result->key_id, sizeof result->key_id, err) ||
        (result->key_id[0] && !form_word_valid(result->key_id))) {
        result->key_id[0] = '\0';
        error_set(err, ERROR_PROTOCOL, "field 'lease_id' is missing, or no word that can be kept");
        return reading_unreadable(reading);
    }
    if (!result->key_id[0]) {
        error_set(err, ERROR_INVALID,
                  "%s answers at %s without a lease: that is no dynamic secrets engine, and what it gives could not be revoked; "
                  "name a path like MOUNT/creds/ROLE",
                  who, reading->settings->vault.path);
        return reading_conclude(reading, OUTCOME_REFUSED);
    }
    bool good = json_get_object(answer, "data", &data, err) &&
                form_take_secret(data, reading->settings->vault.field, &secret, err) &&
                read_seconds(answer, "lease_duration", &life, err);
    if (!good) {
        secret_free(secret);
        return reading_unreadable(reading);
    }
    result->secret = secret;
    result->lease_ms = life * SECOND_MS;
    result->life_ms = shorter(result->lease_ms, result->life_ms);
    result->renew_in_ms = result->life_ms / 2;
    return reading_conclude(reading, OUTCOME_OK);
}

/* The lease goes on for LEFT milliseconds (0: without end) if the token does, and is looked at again after IN. */
static enum provider_next conclude_life(struct reading *reading, int64_t left, int64_t in)
{
    struct provider_result *result = reading->result;
    result->lease_ms = 0;
    result->life_ms = shorter(left, result->life_ms);
    result->renew_in_ms = shorter(in, result->life_ms / 2);
    return reading_conclude(reading, OUTCOME_OK);
}

/* In its last second it still has an end. */
static enum provider_next conclude_last(struct reading *reading, int64_t left)
{
    conclude_life(reading, left > SECOND_MS ? left : SECOND_MS, 0);
    reading->result->renew_in_ms = 0;
    reading->result->last_life = true;
    return PROVIDER_NEXT_DONE;
}

/* A lease's dates, in wall-clock milliseconds of Vault's, and what is left of it. */
struct lease {
    int64_t issued, began, ends, left;
    bool endless, renewable;
    bool overdue; /* it should have ended, and Vault has not come to that, or cannot: what it says is left is below 0 */
};

static bool read_lease(struct json_object *data, struct lease *ret_lease, struct error *err)
{
    struct lease lease = {.renewable = json_optional_boolean(data, "renewable", false),
                          .endless = !json_has(data, "expire_time")};
    if (!form_get_time(data, "issue_time", &lease.issued, err) || !json_get_integer(data, "ttl", &lease.left, err))
        return false;
    lease.overdue = !lease.endless && lease.left < 0;
    if (!lease.overdue && !read_seconds(data, "ttl", &lease.left, err))
        return false;
    lease.left = lease.overdue ? OVERDUE_MS : lease.left * SECOND_MS;
    lease.began = lease.issued;
    if ((json_has(data, "last_renewal") && !form_get_time(data, "last_renewal", &lease.began, err)) ||
        (!lease.endless && !form_get_time(data, "expire_time", &lease.ends, err)))
        return false;
    *ret_lease = lease;
    return true;
}

static enum provider_next parse_lease(struct reading *reading)
{
    struct provider_result *result = reading->result;
    struct error *err = &result->error;
    cleanup_json struct json_object *answer = NULL;
    struct json_object *data;
    struct lease lease;
    if (!read_data(reading, &answer, &data) || !read_lease(data, &lease, err))
        return reading_unreadable(reading);
    int64_t whole = lease.ends > lease.began ? lease.ends - lease.began : 0;
    if (lease.overdue || lease.issued < reading->progress->credential_made_at)
        return conclude_last(reading, lease.left); /* or made with another token */
    /* A newer key would end as soon. */
    if (reading->progress->cursor[0] && (lease.endless || result->life_ms < lease.left)) {
        error_set(err, ERROR_DENIED,
                  "the token that %s is asked with ends in %lld s and cannot be renewed, and with it all keys that were "
                  "made with it: put a newer one where admin-key, or [vault], points",
                  who, (long long)(result->life_ms / SECOND_MS));
        return reading_conclude(reading, OUTCOME_REFUSED);
    }
    if (lease.endless)
        return conclude_life(reading, 0, 0);
    if (lease.left * 2 > whole + SECOND_MS)
        return conclude_life(reading, lease.left, lease.left - whole / 2);
    if (!lease.renewable)
        return conclude_last(reading, lease.left);
    reading->progress->index = (size_t)(whole / SECOND_MS);
    return go_on(reading, STEP_ACT);
}

/* Less than three quarters of the life before is the lease's last: what the engine allows for it at most is near. */
static enum provider_next parse_renewed(struct reading *reading)
{
    cleanup_json struct json_object *answer = NULL;
    int64_t life;
    if (!reading_body(reading, &answer) || !read_seconds(answer, "lease_duration", &life, &reading->result->error))
        return reading_unreadable(reading);
    if (life * 4 < (int64_t)reading->progress->index * 3)
        return conclude_last(reading, life * SECOND_MS);
    return conclude_life(reading, life * SECOND_MS, life * SECOND_MS / 2);
}

static enum provider_next parse_list(struct reading *reading)
{
    struct error *err = &reading->result->error;
    cleanup_json struct json_object *answer = NULL;
    struct json_object *data, *keys;
    if (!read_data(reading, &answer, &data) || !json_get_array(data, "keys", &keys, err))
        return reading_unreadable(reading);
    for (size_t i = 0; i < json_object_array_length(keys); i++) {
        struct provider_item item = {.kind = PROVIDER_ITEM_KEY, .monthly_limit = PROVIDER_LIMIT_UNTOLD,
                                     .container_id = PROVIDER_ACCOUNT};
        struct json_object *key = json_object_array_get_idx(keys, i);
        const char *name = json_object_is_type(key, json_type_string) ? json_object_get_string(key) : "";
        size_t length = strlen(name);
        if (length && name[length - 1] == '/')
            continue; /* leases of what lies below */
        if (!form_word_valid(name) ||
            snprintf(item.id, sizeof item.id, "%s/%s", reading->settings->vault.path, name) >= (int)sizeof item.id) {
            error_set(err, ERROR_PROTOCOL, "an entry of the list is no lease");
            return reading_unreadable(reading);
        }
        if (!reading_add_item(reading, &item, err))
            return reading_unreadable(reading);
    }
    return reading_conclude(reading, OUTCOME_OK);
}

static enum provider_next parse_success(struct reading *reading)
{
    switch (reading->progress->step) {
    case STEP_TOKEN:
        return parse_token(reading);
    case STEP_RENEW_TOKEN:
        return parse_token_renewed(reading);
    case STEP_LEASE:
        return parse_lease(reading);
    default:
        break;
    }
    switch (reading->call->verb) {
    case PROVIDER_MINT_KEY:
        return parse_minted(reading);
    case PROVIDER_RENEW_KEY:
        return parse_renewed(reading);
    case PROVIDER_INVENTORY:
        return parse_list(reading);
    default: /* a revocation has nothing more to say */
        return reading_conclude(reading, OUTCOME_OK);
    }
}

/* --- refusals --- */

/* {"errors":["...", ...]}, the first as one line. An empty list is said of a list without entries. */
static void read_complaint(const struct http_answer *answer, struct provider_complaint *ret_complaint)
{
    cleanup_json struct json_object *document = NULL;
    struct json_object *errors;
    *ret_complaint = (struct provider_complaint){.readable = false};
    if (!json_parse(buffer_text(&answer->body), answer->body.length, &document, NULL) ||
        !json_get_array(document, "errors", &errors, NULL))
        return;
    ret_complaint->readable = true;
    struct json_object *first = json_object_array_length(errors) ? json_object_array_get_idx(errors, 0) : NULL;
    if (!json_object_is_type(first, json_type_string))
        return;
    char line[sizeof ret_complaint->message];
    size_t length = 0;
    for (const char *at = json_object_get_string(first); *at && length + 1 < sizeof line; at++) {
        bool blank = *at == '\n' || *at == '\t' || *at == ' ';
        if (!blank || (length && line[length - 1] != ' '))
            line[length++] = blank ? ' ' : *at;
    }
    while (length && line[length - 1] == ' ')
        length--;
    provider_quote(line, length, ret_complaint->message, sizeof ret_complaint->message);
}

static bool says(const struct provider_complaint *complaint, const char *words)
{
    return strstr(complaint->message, words) != NULL;
}

/* Where the token's policy is to be extended, and by what. */
static const char *missing_permission(const struct reading *reading, char *text, size_t size)
{
    const char *path = reading->settings->vault.path;
    if (reading->progress->step == STEP_LEASE)
        return "update on sys/leases/lookup";
    switch (reading->call->verb) {
    case PROVIDER_MINT_KEY:
        snprintf(text, size, "%s on %s", reading->settings->vault.post ? "update" : "read", path);
        return text;
    case PROVIDER_RENEW_KEY:
        return "update on sys/leases/renew";
    case PROVIDER_REVOKE_KEY:
        return "update on sys/leases/revoke";
    default:
        snprintf(text, size, "list and sudo on sys/leases/lookup/%s/*", path);
        return text;
    }
}

static enum provider_next parse_forbidden(struct reading *reading)
{
    struct error *err = &reading->result->error;
    char text[PATH_MAX_LENGTH + 64];
    if (reading->progress->step == STEP_TOKEN) {
        error_set(err, ERROR_DENIED,
                  "%s does not accept the token (403): it has ended, or may not do auth/token/lookup-self, which the policy "
                  "'default' allows; put another where admin-key, or [vault], points",
                  who);
        return reading_conclude(reading, OUTCOME_UNAUTHORIZED);
    }
    error_set(err, ERROR_DENIED, "%s does not let this token do that (403): its policy has to allow %s", who,
              missing_permission(reading, text, sizeof text));
    return reading_conclude(reading, reading->call->verb == PROVIDER_INVENTORY ? OUTCOME_UNSUPPORTED : OUTCOME_REFUSED);
}

/* Vault fails in words of its own where it has made no lease. The exceptions are said by whoever stands before the one who
 * does it, by one who was interrupted, and by one who may have made it and could not write that into the audit's log, or not
 * take it back ("internal error", OpenBao's request_handling.go). */
static bool made_nothing(const struct provider_complaint *complaint)
{
    return complaint->readable && complaint->message[0] && !says(complaint, "forward") && !says(complaint, "context ") &&
           !says(complaint, "internal error");
}

static enum provider_next parse_failure(struct reading *reading)
{
    const struct provider_call *call = reading->call;
    struct error *err = &reading->result->error;
    struct provider_complaint complaint;
    long status = reading->answer->status;
    read_complaint(reading->answer, &complaint);
    if (reading->progress->step == STEP_RENEW_TOKEN && complaint.readable && (status == 400 || status == 403))
        return begin_act(reading); /* then it goes on as it is */
    if (status == 403 && complaint.readable)
        return parse_forbidden(reading);
    if (status == 503 && says(&complaint, "sealed")) {
        error_set(err, ERROR_BUSY, "%s is sealed (503): vault operator unseal", who);
        return reading_conclude(reading, OUTCOME_UNREACHABLE);
    }
    if (status == 404 && call->verb == PROVIDER_INVENTORY && complaint.readable && reading->progress->step == STEP_ACT)
        return reading_conclude(reading, OUTCOME_OK); /* a list without entries */
    if (status == 400 && call->verb == PROVIDER_RENEW_KEY && reading->progress->step >= STEP_LEASE &&
        (says(&complaint, "invalid lease") || says(&complaint, "lease not found") || says(&complaint, "lease expired")))
        return reading_conclude_gone(reading, "lease", call->key_id);
    if (status == 404 && call->verb == PROVIDER_MINT_KEY && complaint.readable && !complaint.message[0]) {
        error_set(err, ERROR_NOT_FOUND, "%s has nothing at %s (404): check path and namespace", who,
                  reading->settings->vault.path);
        return reading_conclude(reading, OUTCOME_REFUSED);
    }
    if (status == 500 && call->verb == PROVIDER_MINT_KEY && reading->progress->step == STEP_ACT && made_nothing(&complaint)) {
        error_set(err, ERROR_INVALID, "%s could not make a key at %s (500): %s", who, reading->settings->vault.path,
                  complaint.message);
        return reading_conclude(reading, OUTCOME_REFUSED);
    }
    provider_judge(provider_judged_verb(call, reading->progress), who, reading->answer, &complaint, reading->result);
    return PROVIDER_NEXT_DONE;
}

static enum provider_next vault_parse(const struct provider_settings *settings, const struct provider_call *call,
                                      struct provider_progress *progress, const struct http_answer *answer,
                                      struct provider_result *result)
{
    struct reading reading = {who, settings, call, progress, answer, result};
    return http_succeeded(answer) ? parse_success(&reading) : parse_failure(&reading);
}

/* What is asked about the token changes nothing. */
static enum provider_next vault_begin(const struct provider_settings *settings, const struct provider_call *call,
                                      const struct secret *credential, struct provider_progress *progress,
                                      struct provider_result *result)
{
    (void)settings, (void)credential;
    if (call->verb == PROVIDER_FIND_KEYS) {
        result->outcome = OUTCOME_UNSUPPORTED;
        error_set(&result->error, ERROR_INVALID, "%s keeps no names of leases: what was never answered ends by itself", who);
        return PROVIDER_NEXT_DONE;
    }
    progress->step = STEP_TOKEN;
    progress->unchanged = true;
    return PROVIDER_NEXT_REQUEST;
}

const struct provider_driver provider_vault = {
    .type = "vault",
    .default_environment = "",
    .settings = PROVIDER_TAKES_VAULT,
    .key_optional = true, /* [vault] has one; vault_check() sees to it that there is */
    .capabilities = PROVIDER_CAN_MINT | PROVIDER_CAN_LIST | PROVIDER_LEASES,
    .check = vault_check,
    .begin = vault_begin,
    .build = vault_build,
    .parse = vault_parse,
};
