/* Our side of the federation, piece by piece, for a test that has the official SDK on the other side.
 *
 * usage: federation-client CONFIGURATION COMMAND...
 *   key KEY                    makes a signing key
 *   wanted KEY                 prints what is to be entered at Anthropic
 *   apply KEY                  enters it, with the token on standard input; prints what came of it
 *   variables FILE [CONTAINER] prints the guest's environment, when the token is in FILE there
 *   sign KEY FILE [SECONDS]    what the driver signs, into FILE; SECONDS: as if it were that much later
 *   mint KEY FILE [CONTAINER]  what minting brings, over HTTP where the host exchanges
 *   accounts VERB [ARGUMENT]   "find NAME", "create NAME", "archive ID", "list", "usage ID...", "check": what our driver
 *                              does about service accounts, as JSON, with the admin-key of the configuration
 * The configuration is llmhook's own, with one provider. Files are made with mode 0600. */
#include "base/durable.h"
#include "base/clock.h"
#include "base/json.h"
#include "config/config.h"
#include "credentials/credential.h"
#include "poll-loop.h"
#include "providers/anthropic-federation.h"
#include "providers/http.h"
#include "providers/jwt.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATIENCE_MS = 60000 };

#define HOST_ID "contract"
#define KEY_NAME "llmhook:" HOST_ID ":3b1c7d52-5a0e-4f0e-9a55-0123456789ab:claude:g1"

static struct poll_loop *loop;
static struct http *http;
static const struct provider_settings *settings;

static int fail(const struct error *err)
{
    fprintf(stderr, "federation-client: %s\n", err->text);
    return 1;
}

static bool read_secret(const char *path, struct secret **ret_secret, struct error *err)
{
    struct buffer bytes = BUFFER_INIT(SECRET_MAX);
    bool ok = durable_read(path, &bytes, err) && (*ret_secret = secret_new(bytes.data, bytes.length));
    buffer_clear(&bytes);
    return ok;
}

static bool write_secret(const char *path, const struct secret *secret, struct error *err)
{
    return durable_write(path, 0600, secret_reveal(secret), secret_length(secret), err);
}

static bool fetch_key(void *context, const struct provider_settings *of, struct secret **ret_secret, struct error *err)
{
    return of->admin_key[0] ? credential_fetch(of->admin_key, ret_secret, err) : read_secret(context, ret_secret, err);
}

static bool want(const char *key_path, struct json_object **ret_wanted, struct error *err)
{
    struct secret *key = NULL;
    struct json_object *jwk = NULL;
    bool ok = read_secret(key_path, &key, err) && jwt_public_key(key, &jwk, err) &&
              federation_wanted(settings, HOST_ID, jwk, ret_wanted, err);
    secret_free(key);
    return ok;
}

static void print(struct json_object *object)
{
    puts(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(object);
}

struct applied {
    bool done;
    struct federation_report report;
};

static void on_applied(void *context, const struct federation_report *report)
{
    struct applied *applied = context;
    applied->report = *report;
    applied->done = true;
}

static int apply(const char *key_path)
{
    struct applied applied = {.done = false};
    struct error err = ERROR_INIT;
    struct json_object *wanted = NULL, *answer = json_object_new_object();
    char line[1024] = "";
    if (!want(key_path, &wanted, &err))
        return fail(&err);
    ssize_t length = read(STDIN_FILENO, line, sizeof line);
    struct secret *token = secret_new(line, length > 0 ? strcspn(line, "\n") : 0);
    federation_apply(http, settings, wanted, token, on_applied, &applied);
    if (!poll_loop_until(loop, &applied.done, PATIENCE_MS))
        return 1;
    for (enum federation_part part = 0; part < FEDERATION_PARTS; part++) {
        struct json_object *object = json_object_new_object();
        json_put_string(object, "id", applied.report.parts[part].id);
        json_put_boolean(object, "made", applied.report.parts[part].made);
        json_put(answer, federation_part_name(part), object);
    }
    json_put_string(answer, "problem", applied.report.error.text);
    print(answer);
    json_object_put(wanted);
    secret_free(token);
    return 0;
}

static int variables(const char *file, const char *container)
{
    struct provider_variable all[PROVIDER_VARIABLES_MAX];
    struct provider *provider = NULL;
    struct error err = ERROR_INIT;
    struct json_object *answer = json_object_new_object();
    if (!provider_new(http, settings, fetch_key, NULL, &provider, &err))
        return fail(&err);
    size_t count = provider_variables(provider, provider_environment(provider), container, all);
    for (size_t i = 0; i < count; i++)
        json_put_string(answer, all[i].name, all[i].value);
    json_put_string(answer, provider_environment(provider), file);
    json_put_boolean(answer, "file", provider_key_is_file(provider));
    json_put_integer(answer, "refresh", provider_key_refresh(provider));
    print(answer);
    provider_free(provider);
    return 0;
}

static struct provider_call call_of(void)
{
    return (struct provider_call){.verb = PROVIDER_MINT_KEY, .key_name = KEY_NAME, .container_id = PROVIDER_ACCOUNT,
                                  .wall = clock_wall_ms()};
}

static int sign(const char *key_path, const char *path, const char *later)
{
    struct error err = ERROR_INIT;
    struct secret *key = NULL;
    struct provider_call call = call_of();
    struct provider_progress progress = {.step = 0};
    struct provider_result result = {.outcome = OUTCOME_UNKNOWN};
    snprintf(call.container_id, sizeof call.container_id, "svac_any-fdrl_any"); /* a token says nothing of it */
    call.wall += later ? strtoll(later, NULL, 10) * 1000 : 0;
    if (!read_secret(key_path, &key, &err))
        return fail(&err);
    provider_anthropic_federation.begin(settings, &call, key, &progress, &result);
    bool ok = result.secret && write_secret(path, result.secret, &result.error);
    if (!ok)
        fail(&result.error);
    provider_result_clear(&result);
    secret_free(key);
    return !ok;
}

struct minted {
    bool done;
    struct provider_result result;
};

static void on_minted(void *context, struct provider_result *result)
{
    struct minted *minted = context;
    minted->result = *result;
    result->secret = NULL;
    minted->done = true;
}

static int mint(char *key_path, const char *path, const char *container)
{
    struct minted minted = {.done = false};
    struct error err = ERROR_INIT;
    struct provider *provider = NULL;
    struct provider_call call = call_of();
    snprintf(call.container_id, sizeof call.container_id, "%s", container);
    if (!provider_new(http, settings, fetch_key, key_path, &provider, &err))
        return fail(&err);
    provider_start(provider, &call, on_minted, &minted);
    if (!poll_loop_until(loop, &minted.done, PATIENCE_MS))
        return 1;
    provider_free(provider);
    if (minted.result.outcome != OUTCOME_OK) {
        printf("%s\n", outcome_name(minted.result.outcome));
        return fail(&minted.result.error);
    }
    bool ok = write_secret(path, minted.result.secret, &err);
    secret_free(minted.result.secret);
    return ok ? 0 : fail(&err);
}

static void on_asked(void *context, struct provider_result *result)
{
    struct json_object *answer = json_object_new_object(), *items = json_object_new_array(), *usage = json_object_new_array();
    bool *done = context;
    json_put_string(answer, "outcome", outcome_name(result->outcome));
    json_put_string(answer, "problem", result->error.text);
    json_put_string(answer, "container", result->outcome == OUTCOME_OK ? result->container_id : "");
    for (size_t i = 0; i < result->items_count; i++) {
        struct json_object *item = json_object_new_object();
        json_put_string(item, "id", result->items[i].id);
        json_put_string(item, "name", result->items[i].name);
        json_object_array_add(items, item);
    }
    for (size_t i = 0; i < result->usage_count; i++) {
        struct json_object *row = json_object_new_object();
        json_put_string(row, "container", result->usage[i].container_id);
        json_put_boolean(row, "bill", result->usage[i].kind == PROVIDER_USAGE_BILL);
        json_put_integer(row, "output_tokens", result->usage[i].output_tokens);
        json_put_integer(row, "micro_dollars", result->usage[i].micro_dollars);
        json_object_array_add(usage, row);
    }
    json_put(answer, "items", items);
    json_put(answer, "usage", usage);
    print(answer);
    *done = true;
}

static int accounts(int count, char **words)
{
    static const struct {
        const char *name;
        enum provider_verb verb;
    } verbs[] = {{"find", PROVIDER_FIND_CONTAINER},       {"create", PROVIDER_CREATE_CONTAINER},
                 {"archive", PROVIDER_ARCHIVE_CONTAINER}, {"list", PROVIDER_INVENTORY},
                 {"usage", PROVIDER_USAGE},               {"check", PROVIDER_CHECK}};
    struct provider_scope scopes[8];
    struct provider_call call = {.until = clock_wall_ms(), .scopes = scopes};
    struct provider *provider = NULL;
    struct error err = ERROR_INIT;
    size_t v = 0;
    bool done = false;
    while (v < sizeof verbs / sizeof verbs[0] && strcmp(words[0], verbs[v].name) != 0)
        v++;
    if (v == sizeof verbs / sizeof verbs[0])
        return 2;
    call.verb = verbs[v].verb;
    call.since = call.until - 1000;
    snprintf(call.container_name, sizeof call.container_name, "%s", count > 1 ? words[1] : "");
    snprintf(call.container_id, sizeof call.container_id, "%s", count > 1 ? words[1] : "");
    snprintf(call.name_prefix, sizeof call.name_prefix, "llmhook:");
    for (; call.scopes_count + 1 < (size_t)count && call.scopes_count < 8; call.scopes_count++)
        snprintf(scopes[call.scopes_count].container_id, sizeof scopes[0].container_id, "%s", words[call.scopes_count + 1]);
    if (!provider_new(http, settings, fetch_key, NULL, &provider, &err))
        return fail(&err);
    provider_start(provider, &call, on_asked, &done);
    bool ended = poll_loop_until(loop, &done, PATIENCE_MS);
    provider_free(provider);
    return !ended;
}

static int make_key(const char *path)
{
    struct error err = ERROR_INIT;
    struct secret *key = NULL;
    bool ok = jwt_key_new(&key, &err) && write_secret(path, key, &err);
    secret_free(key);
    return ok ? 0 : fail(&err);
}

static int print_wanted(const char *key_path)
{
    struct error err = ERROR_INIT;
    struct json_object *wanted = NULL;
    if (!want(key_path, &wanted, &err))
        return fail(&err);
    print(wanted);
    return 0;
}

static int run(int argc, char **argv)
{
    const char *command = argv[2];
    if (strcmp(command, "key") == 0 && argc == 4)
        return make_key(argv[3]);
    if (strcmp(command, "wanted") == 0 && argc == 4)
        return print_wanted(argv[3]);
    if (strcmp(command, "apply") == 0 && argc == 4)
        return apply(argv[3]);
    if (strcmp(command, "variables") == 0 && (argc == 4 || argc == 5))
        return variables(argv[3], argc == 5 ? argv[4] : PROVIDER_ACCOUNT);
    if (strcmp(command, "accounts") == 0 && argc > 3)
        return accounts(argc - 3, argv + 3);
    if (strcmp(command, "sign") == 0 && (argc == 5 || argc == 6))
        return sign(argv[3], argv[4], argc == 6 ? argv[5] : NULL);
    if (strcmp(command, "mint") == 0 && (argc == 5 || argc == 6))
        return mint(argv[3], argv[4], argc == 6 ? argv[5] : PROVIDER_ACCOUNT);
    fprintf(stderr, "federation-client: what is '%s'?\n", command);
    return 2;
}

int main(int argc, char **argv)
{
    struct error err = ERROR_INIT;
    struct config *config = NULL;
    if (argc < 3)
        return 2;
    if (!secret_init(&err) || !config_read(argv[1], &config, &err))
        return fail(&err);
    settings = &config->providers[0];
    loop = poll_loop_new();
    if (!loop || !http_new(poll_loop_base(loop), &http, &err))
        return fail(&err);
    int status = run(argc, argv);
    http_free(http);
    poll_loop_free(loop);
    config_free(config);
    return status;
}
