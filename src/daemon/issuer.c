/* This host as an issuer of tokens: the key that it signs with, and what Anthropic is to be told of it once.
 *
 * The key is made when it is first needed, and never again: another would have to be entered at Anthropic anew. It lies
 * sealed in the state directory and is opened for each signature; its private half goes nowhere else. */
#include "daemon/engine.h"

#include "base/durable.h"
#include "base/json.h"
#include "base/log.h"
#include "credentials/credential.h"
#include "providers/anthropic-federation.h"
#include "providers/jwt.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SEALED_MAX = SECRET_MAX + 256 };

static const char purpose[] = "llmhook signing key"; /* what it is sealed for */

static bool make_key(const struct engine *engine, const char *path, struct error *err)
{
    struct secret *key = NULL;
    unsigned char *sealed = NULL;
    size_t length = 0;
    bool ok = jwt_key_new(&key, err) && seal_wrap(engine->seal, purpose, key, &sealed, &length, err) &&
              durable_write(path, 0600, sealed, length, err);
    free(sealed);
    secret_free(key);
    if (ok)
        log_notice("a signing key was made for this host: %s", path);
    return ok || error_prefix(err, "make a signing key");
}

bool issuer_signing_key(struct engine *engine, struct secret **ret_key, struct error *err)
{
    const char *path = engine->signing_key;
    cleanup_buffer struct buffer sealed = BUFFER_INIT(SEALED_MAX);
    if (access(path, F_OK) < 0 && errno == ENOENT && !make_key(engine, path, err))
        return false;
    if (!durable_read(path, &sealed, err))
        return error_prefix(err, "the signing key");
    return seal_unwrap(engine->seal, purpose, (const unsigned char *)sealed.data, sealed.length, ret_key, err) ||
           error_prefix(err, "%s: without it nothing can be signed; put it and seal-key back from a backup, or remove it, "
                        "have a new one made and enter that at Anthropic", path);
}

/* --- what the operator asks --- */

static void answer_failed(struct control_call *call, const char *reason)
{
    struct json_object *answer = json_object_new_object();
    json_put_string(answer, "reason", reason);
    control_error(call, "Failed", answer);
}

/* The federation that the call names, or the only one. NULL when the call has been answered with why not. */
static const struct provider_settings *named_federation(struct engine *engine, struct control_call *call,
                                                        struct json_object *parameters)
{
    char name[POLICY_PROVIDER_SIZE], text[256];
    const struct provider_settings *found = NULL;
    unsigned count = 0;
    name[0] = '\0';
    if (json_has(parameters, "provider") && !json_get_string(parameters, "provider", name, sizeof name, NULL)) {
        control_invalid_parameter(call, "provider");
        return NULL;
    }
    for (size_t i = 0; i < engine->config->providers_count; i++) {
        const struct provider_settings *settings = &engine->config->providers[i];
        if (!(provider_type_capabilities(settings->type) & PROVIDER_EXPIRES) || (name[0] && strcmp(name, settings->name) != 0))
            continue;
        found = settings;
        count++;
    }
    if (count == 1)
        return found;
    if (count > 1)
        snprintf(text, sizeof text, "there are %u federations: say --provider NAME", count);
    else
        snprintf(text, sizeof text, "there is no provider%s%s of type anthropic-federation: write a [provider NAME] section "
                 "with type = anthropic-federation", name[0] ? " called " : "", name);
    answer_failed(call, text);
    return NULL;
}

/* NULL when the call has been answered with why not. Owner: the caller. */
static struct json_object *wanted_of(struct engine *engine, const struct provider_settings *settings,
                                     struct control_call *call)
{
    struct error err = ERROR_INIT;
    struct secret *key = NULL;
    struct json_object *jwk = NULL, *wanted = NULL;
    bool ok = issuer_signing_key(engine, &key, &err) && jwt_public_key(key, &jwk, &err) &&
              federation_wanted(settings, engine->host_id, jwk, &wanted, &err);
    secret_free(key);
    if (!ok)
        answer_failed(call, err.text);
    return wanted;
}

void issuer_show(void *context, struct control_call *call, struct json_object *parameters)
{
    struct engine *engine = context;
    const struct provider_settings *settings = named_federation(engine, call, parameters);
    struct json_object *wanted = settings ? wanted_of(engine, settings, call) : NULL;
    if (!wanted)
        return;
    struct json_object *answer = json_object_new_object();
    json_put_string(answer, "provider", settings->name);
    json_put(answer, "wanted", wanted);
    json_put_integer(answer, "lifetime", federation_lifetime(settings));
    json_put_integer(answer, "refresh", federation_refresh(settings));
    json_put_integer(answer, "aftermath", federation_aftermath(settings));
    json_put_string(answer, "exchange", settings->federation.exchange_on_host ? "host" : "guest");
    control_reply(call, answer);
}

/* An application under way; its call may have gone. */
struct applying {
    struct control_call *call;
    char provider[POLICY_PROVIDER_SIZE];
};

static void on_cancelled(void *context)
{
    struct applying *applying = context;
    applying->call = NULL;
}

static void on_applied(void *context, const struct federation_report *report)
{
    struct applying *applying = context;
    struct json_object *answer = json_object_new_object(), *parts = json_object_new_array();
    for (enum federation_part part = 0; part < FEDERATION_PARTS; part++) {
        if (!report->parts[part].id[0])
            continue;
        struct json_object *object = json_object_new_object();
        json_put_string(object, "part", federation_part_name(part));
        json_put_string(object, "id", report->parts[part].id);
        json_put_boolean(object, "made", report->parts[part].made);
        json_object_array_add(parts, object);
        if (report->parts[part].made)
            log_notice("provider %s: made the %s %s at Anthropic", applying->provider, federation_part_name(part),
                       report->parts[part].id);
    }
    json_put_string(answer, "provider", applying->provider);
    json_put(answer, "parts", parts);
    json_put_boolean(answer, "complete", report->error.code == ERROR_NONE);
    if (report->error.code != ERROR_NONE)
        json_put_string(answer, "problem", report->error.text);
    if (applying->call)
        control_reply(applying->call, answer);
    else
        json_object_put(answer);
    free(applying);
}

/* The token itself, or where it is. */
static bool fetch_token(struct json_object *parameters, struct secret **ret_token, struct error *err)
{
    char reference[PROVIDER_URL_SIZE];
    struct json_object *value = NULL;
    json_optional_string(parameters, "credential", "", reference, sizeof reference);
    if (reference[0] && credential_blocks(reference))
        return error_set(err, ERROR_INVALID, "fetching from there takes too long here: put the token on standard input");
    if (reference[0])
        return credential_fetch(reference, ret_token, err);
    if (!json_object_object_get_ex(parameters, "token", &value) || !json_object_is_type(value, json_type_string))
        return error_set(err, ERROR_INVALID, "no token was given");
    *ret_token = secret_new(json_object_get_string(value), (size_t)json_object_get_string_len(value));
    return *ret_token || error_set(err, ERROR_INVALID, "what was given is no token");
}

void issuer_apply(void *context, struct control_call *call, struct json_object *parameters)
{
    struct engine *engine = context;
    struct error err = ERROR_INIT;
    struct secret *token = NULL;
    const struct provider_settings *settings = named_federation(engine, call, parameters);
    if (!settings)
        return;
    if (strncmp(settings->federation.workspace, "wrkspc_", 7) != 0) {
        answer_failed(call, "a rule is for a workspace: set workspace = wrkspc_... in the provider's section first");
        return;
    }
    if (!fetch_token(parameters, &token, &err)) {
        answer_failed(call, err.text);
        return;
    }
    struct json_object *wanted = wanted_of(engine, settings, call);
    struct applying *applying = wanted ? calloc(1, sizeof *applying) : NULL;
    if (applying) {
        applying->call = call;
        snprintf(applying->provider, sizeof applying->provider, "%s", settings->name);
        control_call_on_cancel(call, on_cancelled, applying);
        federation_apply(engine->http, settings, wanted, token, on_applied, applying);
    } else if (wanted) {
        answer_failed(call, "out of memory");
    }
    json_object_put(wanted);
    secret_free(token);
}
