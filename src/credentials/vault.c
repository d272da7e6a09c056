/* Keys in a KV store of HashiCorp's Vault or of OpenBao: vault:MOUNT/PATH#FIELD, with what [vault] says. And the token
 * itself, for a provider whose keys are made there: vault-token:.
 *
 * A fetch is up to four requests, each in the thread that asks: a login with an AppRole, the mount's version (as the
 * vault command asks for it), the secret, and giving back the token that the login made, so that none is left behind.
 * Sources: the "KV v1", "KV v2", "AppRole" and "/sys/internal/ui/mounts" pages of Vault's API documentation. */
#include "credentials/credential.h"
#include "credentials/source.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "providers/http.h"

#include <json-c/json.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { TIMEOUT_MS = 10000, PATH_SIZE = 512, PART_SIZE = 256, LIFE_MAX_S = 10 * 365 * 24 * 3600 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct credential_vault current; /* guarded by LOCK: a reload comes while workers fetch */
/* Of the last login for vault-token:, guarded by LOCK as well. Keys hang on the token that they were made with, so it is
 * used for half of its life, and never given back: it ends by itself, when those keys have been replaced. */
static struct {
    struct secret *token;
    int64_t until; /* monotonic */
} held;

void credential_use_vault(const struct credential_vault *vault)
{
    pthread_mutex_lock(&lock);
    if (memcmp(&current, vault, sizeof current) != 0) {
        secret_free(held.token);
        held.token = NULL;
    }
    current = *vault;
    pthread_mutex_unlock(&lock);
}

/* --- the reference --- */

/* A path of URL parts that need no escaping, without empty ones and dots that would leave it. */
static bool path_valid(const char *path, size_t length)
{
    for (size_t at = 0; at <= length;) {
        size_t part = 0;
        while (at + part < length && path[at + part] != '/')
            part++;
        if (part == 0 || (path[at] == '.' && (part == 1 || (part == 2 && path[at + 1] == '.'))))
            return false;
        at += part + 1;
    }
    return true;
}

bool source_vault_valid(const char *rest, struct error *err)
{
    const char *field = strrchr(rest, '#');
    size_t length = field ? (size_t)(field - rest) : 0;
    const char *slash = memchr(rest, '/', length);
    char path[PATH_SIZE];
    if (!field || !field[1] || strlen(field + 1) >= PART_SIZE || length >= sizeof path || !slash)
        goto wrong;
    snprintf(path, sizeof path, "%.*s", (int)length, rest);
    if (source_made_of(path, "/_-.@:+") && source_made_of(field + 1, "_-.") && path_valid(path, length))
        return true;
wrong:
    return error_set(err, ERROR_INVALID,
                     "after vault: come a mount, a path in it and a field, as in vault:secret/llm/openai#admin_key");
}

/* --- requests --- */

struct session {
    struct credential_vault vault;
    struct secret *token;
    bool ours; /* the token was made for this, and is given back */
    int64_t life_ms; /* of such a token */
};

/* The namespace goes as a header: Vault Enterprise and OpenBao know it, others ignore it. */
static void ask(const struct session *session, enum http_method method, const char *path, struct json_object *body,
                struct http_answer *answer)
{
    char namespace[PART_SIZE + 32];
    const char *headers[] = {"X-Vault-Request: true", NULL, NULL};
    struct http_request request = HTTP_REQUEST_INIT;
    request.method = method;
    request.timeout_ms = TIMEOUT_MS;
    request.ca_file = session->vault.ca_file;
    request.secret = session->token;
    snprintf(request.secret_header, sizeof request.secret_header, "X-Vault-Token: ");
    snprintf(request.url, sizeof request.url, "%s/v1/%s", session->vault.address, path);
    if (session->vault.name_space[0]) {
        snprintf(namespace, sizeof namespace, "X-Vault-Namespace: %s", session->vault.name_space);
        headers[1] = namespace;
    }
    request.headers = headers;
    if (body)
        buffer_append_text(&request.body, json_object_to_json_string_ext(body, JSON_C_TO_STRING_PLAIN));
    http_wait(&request, answer);
    buffer_clear(&request.body);
}

/* Why ANSWER is none. What Vault's own words would add is not shown: they may repeat the request. */
static bool refuse(const struct session *session, const struct http_answer *answer, const char *what, struct error *err)
{
    const char *at = session->vault.address;
    if (answer->end != HTTP_ANSWERED)
        return error_set(err, answer->error.code, "Vault cannot be asked: %s", answer->error.text);
    switch (answer->status) {
    case 400:
        return error_set(err, ERROR_INVALID, "Vault at %s refuses to %s (400): check role-id, secret-id and the path", at, what);
    case 403:
        return error_set(err, ERROR_DENIED,
                         "Vault at %s does not let us %s (403): is the token expired, and does its policy allow reading that "
                         "path?",
                         at, what);
    case 404:
        return error_set(err, ERROR_NOT_FOUND, "Vault at %s has nothing to %s (404): check mount, path and namespace", at, what);
    case 429:
        return error_set(err, ERROR_BUSY, "Vault at %s is a standby or asks for fewer requests (429)", at);
    case 501:
        return error_set(err, ERROR_BUSY, "Vault at %s is not initialized (501): vault operator init", at);
    case 503:
        return error_set(err, ERROR_BUSY, "Vault at %s is sealed or under maintenance (503): vault operator unseal", at);
    default:
        return error_set(err, ERROR_PROTOCOL, "Vault at %s answered %ld when asked to %s: check address%s", at,
                         answer->status, what, answer->status >= 300 && answer->status < 400 ? ", redirect refused" : "");
    }
}

/* One request whose answer is a document. Owner of *RET: the caller. */
static bool read_document(const struct session *session, enum http_method method, const char *path,
                          struct json_object *body, const char *what, struct json_object **ret, struct error *err)
{
    struct http_answer answer;
    ask(session, method, path, body, &answer);
    bool ok = answer.end == HTTP_ANSWERED && answer.status == 200;
    if (!ok)
        refuse(session, &answer, what, err);
    else if (!json_parse(buffer_text(&answer.body), answer.body.length, ret, NULL))
        ok = error_set(err, ERROR_PROTOCOL, "what answers at %s is no Vault: check address", session->vault.address);
    buffer_clear(&answer.body);
    return ok;
}

/* --- the token --- */

static bool get_text(struct json_object *object, const char *name, struct secret **ret, struct error *err)
{
    struct json_object *value;
    if (!json_object_object_get_ex(object, name, &value) || !json_object_is_type(value, json_type_string))
        return error_set(err, ERROR_NOT_FOUND, "it has no text '%s'", name);
    *ret = secret_new(json_object_get_string(value), (size_t)json_object_get_string_len(value));
    return *ret || error_set(err, ERROR_LIMIT, "its '%s' is too long for a key", name);
}

static bool log_in(struct session *session, struct error *err)
{
    cleanup_secret struct secret *role = NULL;
    cleanup_secret struct secret *id = NULL;
    cleanup_json struct json_object *answer = NULL;
    struct json_object *auth;
    char path[PATH_SIZE];
    if (!credential_fetch(session->vault.role_id, &role, err))
        return error_prefix(err, "[vault] role-id");
    if (!credential_fetch(session->vault.secret_id, &id, err))
        return error_prefix(err, "[vault] secret-id");
    cleanup_json struct json_object *body = json_object_new_object();
    json_put_string(body, "role_id", secret_reveal(role));
    json_put_string(body, "secret_id", secret_reveal(id));
    snprintf(path, sizeof path, "auth/%s/login", session->vault.approle_mount);
    if (!read_document(session, HTTP_POST, path, body, "log in", &answer, err))
        return false;
    if (!json_get_object(answer, "auth", &auth, err) || !get_text(auth, "client_token", &session->token, err))
        return error_prefix(err, "Vault's answer to the login");
    int64_t life = json_optional_integer(auth, "lease_duration", 0);
    session->life_ms = life <= 0 ? 0 : life < LIFE_MAX_S ? life * 1000 : LIFE_MAX_S * INT64_C(1000);
    session->ours = true;
    return true;
}

static bool find(struct session *session, struct error *err)
{
    pthread_mutex_lock(&lock);
    session->vault = current;
    pthread_mutex_unlock(&lock);
    return session->vault.address[0] ||
           error_set(err, ERROR_INVALID, "no Vault is configured: write a [vault] section with address and token");
}

static bool begin(struct session *session, struct error *err)
{
    if (!find(session, err))
        return false;
    if (!session->vault.token[0])
        return log_in(session, err);
    return credential_fetch(session->vault.token, &session->token, err) || error_prefix(err, "[vault] token");
}

static void end(struct session *session)
{
    struct http_answer answer;
    if (session->ours) {
        ask(session, HTTP_POST, "auth/token/revoke-self", NULL, &answer); /* if it fails it expires by itself */
        buffer_clear(&answer.body);
    }
    secret_free(session->token);
}

/* --- the secret --- */

/* Where PATH is to be read: with "data/" behind its mount when that is of version 2. A token that may not ask for the
 * mount's version is taken at its word: PATH is then as written. */
static void locate(const struct session *session, const char *path, char *ret_path, size_t size, bool *ret_two)
{
    cleanup_json struct json_object *answer = NULL;
    struct json_object *data, *options;
    char mount[PATH_SIZE], version[8] = "", question[PATH_SIZE + 32];
    size_t length = strcspn(path, "/") + 1;
    *ret_two = session->vault.kv_version == 2;
    if (session->vault.kv_version == 0) {
        snprintf(question, sizeof question, "sys/internal/ui/mounts/%s", path);
        if (read_document(session, HTTP_GET, question, NULL, "ask for the mount", &answer, NULL) &&
            json_get_object(answer, "data", &data, NULL)) {
            json_optional_string(data, "path", "", mount, sizeof mount);
            if (mount[0] && strncmp(path, mount, strlen(mount)) == 0)
                length = strlen(mount);
            if (json_has(data, "options") && json_get_object(data, "options", &options, NULL))
                json_optional_string(options, "version", "", version, sizeof version);
            *ret_two = strcmp(version, "2") == 0;
        }
    }
    snprintf(ret_path, size, "%.*s%s%s", (int)length, path, *ret_two ? "data/" : "", path + length);
}

static bool read_field(const struct session *session, const char *reference, const char *path, const char *field,
                       struct secret **ret_secret, struct error *err)
{
    cleanup_json struct json_object *answer = NULL;
    cleanup_secret struct secret *value = NULL;
    struct json_object *data;
    char place[PATH_SIZE + 8];
    bool two;
    locate(session, path, place, sizeof place, &two);
    if (!read_document(session, HTTP_GET, place, NULL, "read it", &answer, err))
        return error_prefix(err, "%s", reference);
    if (!json_get_object(answer, "data", &data, err) || (two && !json_get_object(data, "data", &data, err)) ||
        !get_text(data, field, &value, err))
        return error_prefix(err, "%s", reference);
    return source_take(reference, secret_reveal(value), secret_length(value), ret_secret, err);
}

bool source_vault_fetch(const char *reference, const char *rest, struct secret **ret_secret, struct error *err)
{
    struct session session = {.token = NULL};
    char path[PATH_SIZE];
    const char *field = strrchr(rest, '#');
    snprintf(path, sizeof path, "%.*s", (int)(field - rest), rest);
    bool ok = begin(&session, err) || error_prefix(err, "%s", reference);
    ok = ok && read_field(&session, reference, path, field + 1, ret_secret, err);
    end(&session);
    return ok;
}

/* --- vault-token:URL --- */

bool source_vault_token_valid(const char *rest, struct error *err)
{
    return http_url_allowed(rest, err) || error_prefix(err, "after vault-token: comes the address that [vault] has");
}

/* That of an earlier login, if it is young enough and Vault still takes it: it may have been revoked, or Vault begun anew. */
static bool take_held(struct session *session)
{
    struct http_answer answer;
    pthread_mutex_lock(&lock);
    if (held.token && clock_monotonic_ms() < held.until)
        session->token = secret_copy(held.token);
    pthread_mutex_unlock(&lock);
    if (!session->token)
        return false;
    ask(session, HTTP_GET, "auth/token/lookup-self", NULL, &answer);
    bool refused = answer.end == HTTP_ANSWERED && answer.status == 403;
    buffer_clear(&answer.body);
    if (refused) {
        secret_free(session->token);
        session->token = NULL;
    }
    return !refused;
}

static void hold(const struct session *session)
{
    pthread_mutex_lock(&lock);
    if (memcmp(&current, &session->vault, sizeof current) == 0) {
        secret_free(held.token);
        held.token = secret_copy(session->token);
        held.until = clock_monotonic_ms() + session->life_ms / 2;
    }
    pthread_mutex_unlock(&lock);
}

bool source_vault_token_fetch(const char *reference, const char *rest, struct secret **ret_secret, struct error *err)
{
    struct session session = {.token = NULL};
    bool ok = find(&session, err);
    /* Whoever asks goes to where he was told: a token is not sent to a Vault that it was not meant for. */
    if (ok && strcmp(rest, session.vault.address) != 0)
        ok = error_set(err, ERROR_DENIED, "[vault] names another Vault than %s now: its token is not sent there", rest);
    if (ok && session.vault.token[0]) {
        ok = credential_fetch(session.vault.token, &session.token, err) || error_prefix(err, "[vault] token");
    } else if (ok && !take_held(&session)) {
        ok = log_in(&session, err);
        if (ok)
            hold(&session);
    }
    ok = ok && source_take(reference, secret_reveal(session.token), secret_length(session.token), ret_secret, err);
    secret_free(session.token);
    return ok;
}
