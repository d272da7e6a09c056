/* Our OpenAI client against the sandbox: every verb over real HTTP, asked through provider_start() as the daemon does.
 * Run under with-prism.sh every request and answer of the first part is held to the official specification; the second
 * part (faults, many at once) goes to the sandbox itself. Prints TAP without a plan at its head.
 *
 *   LLMHOOK_SANDBOX_URL, _DIRECT_URL, _ADMIN_KEY_FILE, _SECOND_ADMIN_KEY_FILE, _CONTROL   as with-prism.sh sets them */
#include "client.h"

#include "base/clock.h"
#include "credentials/credential.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MANY = 300 };

static struct provider *open_provider(const char *url, const char *key_file)
{
    struct provider_settings settings = {.name = "sandbox", .type = "openai", .project = "per-domain",
                                         .timeout_ms = CLIENT_PATIENCE_MS, .rates_count = 1};
    snprintf(settings.base_url, sizeof settings.base_url, "%s/v1", url);
    snprintf(settings.admin_key, sizeof settings.admin_key, "file:%s", key_file);
    settings.rates[0] = (struct provider_rate){"gpt-4.1-mini", 7, 7000};
    return client_provider(&settings);
}

/* What the model API says to a key. */
static long models_status(const char *url, const struct secret *key)
{
    char models[512];
    snprintf(models, sizeof models, "%s/v1/models", url);
    return status_of(models, key, NULL);
}

/* A model answers to KEY, and it is charged for. */
static long use_model(const struct secret *key)
{
    char url[512];
    snprintf(url, sizeof url, "%s/v1/responses", direct_url());
    return status_of(url, key, "{\"model\":\"gpt-4o\",\"input\":\"hello\"}");
}

static bool has_item(const struct ended *ended, const char *id)
{
    for (size_t i = 0; i < ended->result.items_count; i++)
        if (strcmp(ended->result.items[i].id, id) == 0)
            return true;
    return false;
}

static struct provider_call call_of(enum provider_verb verb, const char *domain, const char *container_id)
{
    struct provider_call call = {.verb = verb, .monthly_limit = 100000000, .name_prefix = "llmhook:contract:"};
    snprintf(call.container_name, sizeof call.container_name, "llmhook:contract:%s (\"a\\b\" \xc3\xbc)", domain);
    snprintf(call.container_id, sizeof call.container_id, "%s", container_id);
    snprintf(call.key_name, sizeof call.key_name, "llmhook:contract:%s:openai:1", domain);
    return call;
}

/* An admin key's life, beside the one that is in use and stays. */
static void admin_keys(struct provider *provider, const char *key_file)
{
    struct ended ended = {.done = false};
    struct provider_call call = {.verb = PROVIDER_FIND_ADMIN_KEYS, .key_name = "llmhook:h1:admin-key:openai"};
    struct secret *current = NULL;
    struct error err = ERROR_INIT;
    char reference[512];
    snprintf(reference, sizeof reference, "file:%s", key_file);
    if (!credential_fetch(reference, &current, &err))
        exit(1);
    expect(provider, &call, &ended, OUTCOME_OK, "", "find-admin-keys by a name that none has");
    check(ended.result.items_count == 0, "  finds none", "");
    call.chosen = current;
    expect(provider, &call, &ended, OUTCOME_OK, "", "find-admin-keys by the one in use");
    check(ended.result.items_count == 1, "  finds exactly that one", "");
    call.verb = PROVIDER_CREATE_ADMIN_KEY;
    call.chosen = NULL;
    expect(provider, &call, &ended, OUTCOME_OK, "", "create-admin-key");
    struct secret *made = ended.result.secret;
    ended.result.secret = NULL;
    snprintf(call.key_id, sizeof call.key_id, "%s", ended.result.key_id);
    call.verb = PROVIDER_FIND_ADMIN_KEYS;
    expect(provider, &call, &ended, OUTCOME_OK, "", "find-admin-keys by its name");
    check(ended.result.items_count == 1 && strcmp(ended.result.items[0].id, call.key_id) == 0, "  finds it", "");
    call.verb = PROVIDER_CHECK;
    call.admin_key = made;
    expect(provider, &call, &ended, OUTCOME_OK, "", "check with it: it works");
    call.verb = PROVIDER_DELETE_ADMIN_KEY;
    call.admin_key = NULL;
    expect(provider, &call, &ended, OUTCOME_OK, "", "delete-admin-key");
    expect(provider, &call, &ended, OUTCOME_GONE, "no such admin key any more", "delete-admin-key again: gone");
    call.verb = PROVIDER_CHECK;
    call.admin_key = made;
    expect(provider, &call, &ended, OUTCOME_UNAUTHORIZED, "does not accept the admin key (401)", "check with it: it is dead");
    secret_free(current);
    secret_free(made);
    forget(&ended);
}

/* One domain's life; the container's id goes to PROJECT. */
static void story(struct provider *provider, char project[RECORD_REMOTE_ID_SIZE])
{
    struct ended ended = {.done = false};
    struct provider_call call = call_of(PROVIDER_CHECK, "vm-1", "");
    expect(provider, &call, &ended, OUTCOME_OK, "", "check: the admin key is taken");
    call.verb = PROVIDER_FIND_CONTAINER;
    expect(provider, &call, &ended, OUTCOME_OK, "", "find-container before there is one");
    check(ended.result.items_count == 0, "  finds none", "");
    call.verb = PROVIDER_CREATE_CONTAINER;
    expect(provider, &call, &ended, OUTCOME_OK, "", "create-container");
    snprintf(project, RECORD_REMOTE_ID_SIZE, "%s", ended.result.container_id);
    call = call_of(PROVIDER_FIND_CONTAINER, "vm-1", project);
    expect(provider, &call, &ended, OUTCOME_OK, "", "find-container by the identity in its name");
    check(ended.result.items_count == 1 && has_item(&ended, project), "  finds exactly that one", "");
    check(ended.result.items_count && ended.result.items[0].created_at > INT64_C(1500000000000), "  with its age", "");
    call.verb = PROVIDER_LIMIT_CONTAINER;
    expect(provider, &call, &ended, OUTCOME_OK, "", "limit-container: set and read back");
    call.verb = PROVIDER_RATE_LIMIT_CONTAINER;
    expect(provider, &call, &ended, OUTCOME_OK, "", "rate-limit-container");
    expect(provider, &call, &ended, OUTCOME_OK, "", "rate-limit-container again, with nothing to change");

    call.verb = PROVIDER_MINT_KEY;
    expect(provider, &call, &ended, OUTCOME_OK, "", "mint-key");
    struct secret *key = ended.result.secret;
    ended.result.secret = NULL;
    snprintf(call.key_id, sizeof call.key_id, "%s", ended.result.key_id);
    check(key && models_status(direct_url(), key) == 200, "  the key works", "");
    call.verb = PROVIDER_FIND_KEYS;
    expect(provider, &call, &ended, OUTCOME_OK, "", "find-keys");
    check(ended.result.items_count == 1 && has_item(&ended, call.key_id), "  finds it by its name", "");
    call.verb = PROVIDER_REVOKE_KEY;
    expect(provider, &call, &ended, OUTCOME_OK, "", "revoke-key");
    check(key && models_status(direct_url(), key) == 401, "  the key is dead", "");
    secret_free(key);
    expect(provider, &call, &ended, OUTCOME_GONE, "no such service account any more", "revoke-key again: gone");
    call.verb = PROVIDER_FIND_KEYS;
    expect(provider, &call, &ended, OUTCOME_OK, "", "find-keys after that");
    check(ended.result.items_count == 0, "  finds none", "");
    forget(&ended);
}

/* Five containers with a key each, in pages of two. */
static void paging(struct provider *provider)
{
    struct ended ended = {.done = false};
    char projects[5][RECORD_REMOTE_ID_SIZE], keys[5][RECORD_REMOTE_ID_SIZE];
    bool made = true, all = true;
    control("POST", "/knobs", "{\"page_max\":2}");
    for (int i = 0; i < 5; i++) {
        char domain[32];
        snprintf(domain, sizeof domain, "page-%d", i);
        struct provider_call call = call_of(PROVIDER_CREATE_CONTAINER, domain, "");
        run(provider, &call, &ended);
        snprintf(projects[i], sizeof projects[i], "%s", ended.result.container_id);
        call = call_of(PROVIDER_MINT_KEY, domain, projects[i]);
        run(provider, &call, &ended);
        made = made && ended.result.outcome == OUTCOME_OK;
        snprintf(keys[i], sizeof keys[i], "%s", ended.result.key_id);
    }
    check(made, "five containers with a key each", ended.result.error.text);
    struct provider_call call = call_of(PROVIDER_FIND_CONTAINER, "page-4", "");
    expect(provider, &call, &ended, OUTCOME_OK, "", "find-container over pages of two");
    check(ended.result.items_count == 1 && has_item(&ended, projects[4]), "  finds the one on the last page", "");
    for (int i = 0; i < 5; i++) {
        call = call_of(PROVIDER_MINT_KEY, "page-0", projects[0]);
        snprintf(call.key_name, sizeof call.key_name, "llmhook:contract:page-0:openai:%d", i + 2);
        run(provider, &call, &ended);
    }
    call.verb = PROVIDER_FIND_KEYS;
    expect(provider, &call, &ended, OUTCOME_OK, "", "find-keys over pages of two");
    check(ended.result.items_count == 1, "  finds the one on the last page", "");
    call.verb = PROVIDER_INVENTORY;
    expect(provider, &call, &ended, OUTCOME_OK, "", "inventory over pages of two");
    for (int i = 0; i < 5; i++)
        all = all && has_item(&ended, projects[i]) && has_item(&ended, keys[i]);
    check(all && ended.result.items_count == 6 + 10, "  finds every container and key of ours, and nothing else", "");
    control("POST", "/knobs", "{\"page_max\":0}");
    forget(&ended);
}

/* Two projects with a key each, one of which makes requests: what is told of them, and of nobody else. */
static void spending(struct provider *provider)
{
    struct ended ended = {.done = false};
    struct provider_scope scopes[2] = {{.keys = 1}, {.keys = 1}};
    struct secret *keys[2];
    char usage_id[RECORD_REMOTE_ID_SIZE] = "";
    for (int i = 0; i < 2; i++) {
        struct provider_call call = call_of(PROVIDER_CREATE_CONTAINER, i ? "idle" : "busy", "");
        run(provider, &call, &ended);
        snprintf(scopes[i].container_id, sizeof scopes[i].container_id, "%s", ended.result.container_id);
        call = call_of(PROVIDER_MINT_KEY, i ? "idle" : "busy", ended.result.container_id);
        run(provider, &call, &ended);
        keys[i] = ended.result.secret;
        ended.result.secret = NULL;
        if (!i)
            snprintf(usage_id, sizeof usage_id, "%s", ended.result.usage_id);
    }
    check(use_model(keys[0]) == 200 && use_model(keys[0]) == 200, "two requests to a model", "");
    struct provider_call call = call_of(PROVIDER_USAGE, "", "");
    call.scopes = scopes;
    call.scopes_count = 2;
    call.until = clock_wall_ms() + 1000;
    call.since = call.until - INT64_C(9) * 86400000; /* two pages of days */
    expect(provider, &call, &ended, OUTCOME_OK, "", "usage");
    const struct provider_usage *tokens = NULL, *bill = NULL;
    bool ours = ended.result.usage_count == 2;
    for (size_t i = 0; i < ended.result.usage_count; i++) {
        const struct provider_usage *row = &ended.result.usage[i];
        ours = ours && strcmp(row->container_id, scopes[0].container_id) == 0 && strcmp(row->key_id, usage_id) == 0 &&
               strcmp(row->model, "gpt-4o") == 0 && row->day == call.until / 86400000;
        *(row->kind == PROVIDER_USAGE_TOKENS ? &tokens : &bill) = row;
    }
    check(ours && *usage_id, "  one row each of tokens and of costs, under the key's name in reports", "");
    check(tokens && tokens->requests == 2 && tokens->input_tokens > 0 && tokens->output_tokens > 0,
          "  with all requests and tokens", "");
    check(bill && bill->micro_dollars > 0, "  and dollars", "");
    secret_free(keys[0]);
    secret_free(keys[1]);
    forget(&ended);
}

/* To the admin key of another organisation everything of ours is 404, and nothing of it is gone. */
static void another_organisation(struct provider *provider, const char *url)
{
    static const enum provider_verb verbs[] = {PROVIDER_REVOKE_KEY, PROVIDER_FIND_KEYS, PROVIDER_MINT_KEY,
                                               PROVIDER_LIMIT_CONTAINER, PROVIDER_RATE_LIMIT_CONTAINER,
                                               PROVIDER_ARCHIVE_CONTAINER};
    static const char sentence[] = "this admin key does not see OpenAI's project";
    struct ended ended = {.done = false};
    struct provider *stranger = open_provider(url, getenv("LLMHOOK_SANDBOX_SECOND_ADMIN_KEY_FILE"));
    struct provider_call call = call_of(PROVIDER_CREATE_CONTAINER, "ours", "");
    run(provider, &call, &ended);
    call = call_of(PROVIDER_MINT_KEY, "ours", ended.result.container_id);
    run(provider, &call, &ended);
    snprintf(call.key_id, sizeof call.key_id, "%s", ended.result.key_id);
    struct secret *key = ended.result.secret;
    ended.result.secret = NULL;
    call.verb = PROVIDER_CHECK;
    expect(stranger, &call, &ended, OUTCOME_OK, "", "another organisation's admin key is taken");
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        char name[128];
        call.verb = verbs[i];
        snprintf(name, sizeof name, "  %s in our project: refused, not gone", provider_verb_name(call.verb));
        expect(stranger, &call, &ended, OUTCOME_REFUSED, sentence, name);
    }
    printf("# %s\n", ended.result.error.text);
    check(key && models_status(direct_url(), key) == 200, "  and the key works", "");
    call.verb = PROVIDER_REVOKE_KEY;
    expect(provider, &call, &ended, OUTCOME_OK, "", "our own admin key revokes it");
    check(key && models_status(direct_url(), key) == 401, "  and the key is dead", "");
    secret_free(key);
    call.verb = PROVIDER_ARCHIVE_CONTAINER;
    run(provider, &call, &ended);
    expect(stranger, &call, &ended, OUTCOME_REFUSED, sentence, "archived, it is still not theirs to see");
    call.verb = PROVIDER_REVOKE_KEY;
    expect(provider, &call, &ended, OUTCOME_GONE, "no such service account any more", "revoke-key there: gone");
    provider_free(stranger);
    forget(&ended);
}

static void refusals(struct provider *provider, const char *url, const char *project)
{
    struct ended ended = {.done = false};
    struct provider_call call = call_of(PROVIDER_ARCHIVE_CONTAINER, "vm-1", project);
    expect(provider, &call, &ended, OUTCOME_OK, "", "archive-container");
    call.verb = PROVIDER_FIND_CONTAINER;
    expect(provider, &call, &ended, OUTCOME_OK, "", "find-container after that");
    check(ended.result.items_count == 0, "  finds none", "");
    call.verb = PROVIDER_MINT_KEY;
    expect(provider, &call, &ended, OUTCOME_GONE, "no such project any more", "mint-key in an archived container: gone");
    call.verb = PROVIDER_FIND_KEYS;
    expect(provider, &call, &ended, OUTCOME_GONE, "no such project any more", "find-keys there: gone");

    const char *path = client_key_file("sk-admin-this-is-not-the-key\n");
    struct provider *stranger = open_provider(url, path);
    call = call_of(PROVIDER_CHECK, "vm-1", "");
    expect(stranger, &call, &ended, OUTCOME_UNAUTHORIZED, "does not accept the admin key (401)", "a wrong admin key");
    provider_free(stranger);
    unlink(path);
    forget(&ended);
}

/* From here on the sandbox itself is asked: Prism has no words for what follows, or none in the specification. */
static void faults(struct provider *provider)
{
    struct ended ended = {.done = false};
    struct provider_call call = call_of(PROVIDER_CREATE_CONTAINER, "faulty", "");
    static const char mint[] = "POST /v1/organization/projects/*/service_accounts";
    char fault[256];
    run(provider, &call, &ended);
    call = call_of(PROVIDER_MINT_KEY, "faulty", ended.result.container_id);

    snprintf(fault, sizeof fault, "{\"match\":\"%s\",\"mode\":\"drop-after\"}", mint);
    control("POST", "/faults", fault);
    expect(provider, &call, &ended, OUTCOME_UNKNOWN, "the request was sent, but", "an answer lost after the mint: unknown");
    call.verb = PROVIDER_FIND_KEYS;
    run(provider, &call, &ended);
    check(ended.result.items_count == 1, "  and its key is found by name, once", ended.result.error.text);

    call.verb = PROVIDER_MINT_KEY;
    snprintf(fault, sizeof fault, "{\"match\":\"%s\",\"mode\":\"status\",\"status\":429,\"retry_after_ms\":1500}", mint);
    control("POST", "/faults", fault);
    expect(provider, &call, &ended, OUTCOME_THROTTLED, "(429)", "429: throttled");
    check(ended.result.retry_after_ms == 1500, "  for as long as it asked", "");
    snprintf(fault, sizeof fault, "{\"match\":\"%s\",\"mode\":\"status\",\"status\":500}", mint);
    control("POST", "/faults", fault);
    expect(provider, &call, &ended, OUTCOME_UNKNOWN, "(500)", "500 to a mint: unknown");
    snprintf(fault, sizeof fault, "{\"match\":\"%s\",\"mode\":\"garbage\"}", mint);
    control("POST", "/faults", fault);
    expect(provider, &call, &ended, OUTCOME_UNKNOWN, "", "half an answer to a mint: unknown");
    snprintf(fault, sizeof fault, "{\"match\":\"%s\",\"mode\":\"redirect\",\"location\":\"http://127.0.0.1:1/\"}", mint);
    control("POST", "/faults", fault);
    expect(provider, &call, &ended, OUTCOME_REFUSED, "redirect refused", "a redirect is refused");
    snprintf(fault, sizeof fault, "{\"match\":\"%s\",\"mode\":\"huge\",\"execute\":\"before\"}", mint);
    control("POST", "/faults", fault);
    expect(provider, &call, &ended, OUTCOME_UNKNOWN, "the answer is larger than", "an endless answer to a mint: unknown");
    control("POST", "/knobs", "{\"minting\":\"forbid\"}");
    expect(provider, &call, &ended, OUTCOME_REFUSED, "OpenAI refused (403)", "a policy against minting is repeated");
    printf("# %s\n", ended.result.error.text);
    control("POST", "/knobs", "{\"minting\":\"allow\"}");
    call.verb = PROVIDER_ARCHIVE_CONTAINER;
    expect(provider, &call, &ended, OUTCOME_OK, "", "archive-container with keys in it");
    expect(provider, &call, &ended, OUTCOME_GONE, "any more", "archive-container again: gone");
    snprintf(call.container_id, sizeof call.container_id, "proj_never");
    static const char unseen[] = "does not see OpenAI's project proj_never (404)";
    expect(provider, &call, &ended, OUTCOME_REFUSED, unseen, "archive-container of one that never was: refused");
    call.verb = PROVIDER_LIMIT_CONTAINER;
    expect(provider, &call, &ended, OUTCOME_REFUSED, unseen, "limit-container there: refused, not unsupported");
    call.verb = PROVIDER_MINT_KEY;
    control("POST", "/faults", "{\"match\":\"GET /v1/organization/projects/*\",\"mode\":\"status\",\"status\":500}");
    expect(provider, &call, &ended, OUTCOME_UNREACHABLE, "(500)", "mint-key there, and the look fails: nothing is unknown");
    control("POST", "/listen", "{\"listening\":false}");
    call.verb = PROVIDER_MINT_KEY;
    expect(provider, &call, &ended, OUTCOME_UNREACHABLE, "nothing was sent", "a provider that is down: unreachable");
    control("POST", "/listen", "{\"listening\":true}");
    forget(&ended);
}

/* All mints in flight at once, each with its own key. */
static void many(struct provider *provider)
{
    static struct ended mints[MANY];
    struct ended ended = {.done = false};
    struct provider_call call = call_of(PROVIDER_CREATE_CONTAINER, "many", "");
    run(provider, &call, &ended);
    call = call_of(PROVIDER_MINT_KEY, "many", ended.result.container_id);
    int64_t began = clock_monotonic_ms();
    for (int i = 0; i < MANY; i++) {
        snprintf(call.key_name, sizeof call.key_name, "llmhook:contract:many:openai:%d", i);
        provider_start(provider, &call, on_done, &mints[i]);
    }
    unsigned good = 0;
    for (int i = 0; i < MANY; i++) {
        poll_loop_until(client_loop(), &mints[i].done, CLIENT_PATIENCE_MS);
        good += mints[i].result.outcome == OUTCOME_OK && mints[i].result.secret;
    }
    printf("# %d mints at once took %lld ms\n", MANY, (long long)(clock_monotonic_ms() - began));
    check(good == MANY, "hundreds of mints at once", mints[0].result.error.text);
    call.verb = PROVIDER_INVENTORY;
    run(provider, &call, &ended);
    unsigned keys = 0;
    for (size_t i = 0; i < ended.result.items_count; i++)
        keys += strncmp(ended.result.items[i].name, "llmhook:contract:many:", 22) == 0;
    check(keys == MANY, "  each of them exactly once in the inventory", ended.result.error.text);
    for (int i = 0; i < MANY; i++)
        forget(&mints[i]);
    forget(&ended);
}

int main(void)
{
    const char *url = getenv("LLMHOOK_SANDBOX_URL"), *key_file = getenv("LLMHOOK_SANDBOX_ADMIN_KEY_FILE");
    if (!url || !key_file || !getenv("LLMHOOK_SANDBOX_SECOND_ADMIN_KEY_FILE") || !getenv("LLMHOOK_SANDBOX_CONTROL")) {
        printf("1..0 # SKIP run it under with-prism.sh, which sets LLMHOOK_SANDBOX_URL and others\n");
        return 0;
    }
    client_begin();
    char project[RECORD_REMOTE_ID_SIZE] = "";
    struct provider *provider = open_provider(url, key_file);
    story(provider, project);
    admin_keys(provider, key_file);
    paging(provider);
    spending(provider);
    another_organisation(provider, url);
    refusals(provider, url, project);
    provider_free(provider);

    provider = open_provider(direct_url(), key_file);
    faults(provider);
    many(provider);
    provider_free(provider);
    return client_end();
}
