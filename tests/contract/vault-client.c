/* Our client of Vault against a server, the sandbox or a real one: every verb over real HTTP, asked through
 * provider_start() as the daemon does, and the credential sources. Prints TAP without a plan at its head.
 *
 *   vault-client keys URL TOKEN-FILE PATH FIELD        leases of PATH last a few seconds, and are renewed
 *   vault-client unrenewed URL TOKEN-FILE PATH FIELD PARAMETERS   they are not
 *   vault-client fetch URL TOKEN-FILE REFERENCE FILE   REFERENCE gives what is in FILE
 *   vault-client login URL ROLE-ID-FILE SECRET-ID-FILE REFERENCE FILE   the same with an AppRole */
#include "client.h"

#include "credentials/credential.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATIENCE_MS = 20000 }; /* with leases */

static struct provider *open_provider(const char *url, const char *token_file, const char *path, const char *field,
                                      const char *parameters)
{
    struct provider_settings settings = {.name = "vault", .type = "vault", .environment = "OPENAI_API_KEY",
                                         .timeout_ms = PATIENCE_MS};
    snprintf(settings.base_url, sizeof settings.base_url, "%s", url);
    snprintf(settings.admin_key, sizeof settings.admin_key, "file:%s", token_file);
    snprintf(settings.vault.path, sizeof settings.vault.path, "%s", path);
    snprintf(settings.vault.field, sizeof settings.vault.field, "%s", field);
    snprintf(settings.vault.parameters, sizeof settings.vault.parameters, "%s", parameters);
    settings.vault.post = parameters[0] != '\0';
    return client_provider(&settings);
}

static struct provider_call call_of(enum provider_verb verb, const char *key_id)
{
    struct provider_call call = {.verb = verb, .name_prefix = "llmhook:contract:", .container_id = PROVIDER_ACCOUNT,
                                 .key_name = "llmhook:contract:vm-1:vault:g1"};
    snprintf(call.key_id, sizeof call.key_id, "%s", key_id);
    return call;
}

/* As long as the daemon would. */
static void let_pass(int64_t ms)
{
    bool never = false;
    poll_loop_until(client_loop(), &never, ms);
}

static bool listed(const struct ended *ended, const char *key_id)
{
    for (size_t i = 0; i < ended->result.items_count; i++)
        if (strcmp(ended->result.items[i].id, key_id) == 0)
            return true;
    return false;
}

/* Makes one and says its lease. */
static void mint(struct provider *provider, struct ended *ended, char key_id[RECORD_REMOTE_ID_SIZE])
{
    struct provider_call call = call_of(PROVIDER_CHECK, "");
    expect(provider, &call, ended, OUTCOME_OK, "", "check: the token is taken");
    call.verb = PROVIDER_MINT_KEY;
    expect(provider, &call, ended, OUTCOME_OK, "", "mint-key");
    snprintf(key_id, RECORD_REMOTE_ID_SIZE, "%s", ended->result.key_id);
    check(ended->result.secret && secret_length(ended->result.secret) >= 16, "  there is a key", "");
    check(ended->result.lease_ms > 0 && ended->result.renew_in_ms <= ended->result.lease_ms / 2, "  and its lease has an end",
          "");
    secret_free(ended->result.secret);
    ended->result.secret = NULL;
    call.verb = PROVIDER_INVENTORY;
    expect(provider, &call, ended, OUTCOME_OK, "", "inventory");
    check(listed(ended, key_id), "  it is in the list", "");
}

static void take_back(struct provider *provider, struct ended *ended, const char *key_id)
{
    struct provider_call call = call_of(PROVIDER_REVOKE_KEY, key_id);
    expect(provider, &call, ended, OUTCOME_OK, "", "revoke-key");
    expect(provider, &call, ended, OUTCOME_OK, "", "revoke-key again is the same");
    call.verb = PROVIDER_RENEW_KEY;
    expect(provider, &call, ended, OUTCOME_GONE, "has no such lease any more", "renew-key: gone");
    call.verb = PROVIDER_INVENTORY;
    expect(provider, &call, ended, OUTCOME_OK, "", "inventory");
    check(!listed(ended, key_id), "  it is not in the list any more", "");
}

static void tell_of_keys(struct provider *provider)
{
    struct ended ended = {.done = false};
    char key_id[RECORD_REMOTE_ID_SIZE];
    mint(provider, &ended, key_id);
    struct provider_call call = call_of(PROVIDER_RENEW_KEY, key_id);
    expect(provider, &call, &ended, OUTCOME_OK, "", "renew-key before half of its life is over");
    int64_t left = ended.result.life_ms, in = ended.result.renew_in_ms;
    check(left > 0 && in > 0 && in < left && !ended.result.last_life, "  it is only looked at", "");
    let_pass(in);
    expect(provider, &call, &ended, OUTCOME_OK, "", "renew-key when it is");
    check(ended.result.life_ms >= left && !ended.result.last_life, "  it lasts longer", "");
    let_pass(ended.result.renew_in_ms);
    expect(provider, &call, &ended, OUTCOME_OK, "", "and once more");
    for (unsigned i = 0; i < 10 && ended.result.outcome == OUTCOME_OK && !ended.result.last_life; i++) {
        let_pass(ended.result.renew_in_ms);
        run(provider, &call, &ended);
    }
    check(ended.result.outcome == OUTCOME_OK && ended.result.last_life && ended.result.life_ms > 0,
          "until the most is near: it is said before the end", outcome_name(ended.result.outcome));
    take_back(provider, &ended, key_id);
    provider_result_clear(&ended.result);
}

static void tell_of_unrenewed(struct provider *provider)
{
    struct ended ended = {.done = false};
    char key_id[RECORD_REMOTE_ID_SIZE];
    mint(provider, &ended, key_id);
    struct provider_call call = call_of(PROVIDER_RENEW_KEY, key_id);
    expect(provider, &call, &ended, OUTCOME_OK, "", "renew-key before half of its life is over");
    int64_t in = ended.result.renew_in_ms;
    check(in > 0 && !ended.result.last_life, "  it is only looked at", "");
    if (in < PATIENCE_MS) {
        let_pass(in);
        expect(provider, &call, &ended, OUTCOME_OK, "", "renew-key when it is");
        check(ended.result.last_life, "  it is not to be had longer", "");
    }
    take_back(provider, &ended, key_id);
    provider_result_clear(&ended.result);
}

static void tell_of_strangers(const char *url, const char *path, const char *field)
{
    struct ended ended = {.done = false};
    struct provider_call call = call_of(PROVIDER_MINT_KEY, "");
    const char *name = client_key_file("hvs.CAESINotATokenOfThisServer0123456789");
    struct provider *provider = open_provider(url, name, path, field, "");
    expect(provider, &call, &ended, OUTCOME_UNAUTHORIZED, "does not accept the token (403)", "a token of somebody else's");
    provider_free(provider);
    remove(name);
    provider_result_clear(&ended.result);
}

static void tell_of_wrong_paths(const char *url, const char *token_file)
{
    struct ended ended = {.done = false};
    struct provider_call call = call_of(PROVIDER_MINT_KEY, "");
    struct provider *provider = open_provider(url, token_file, "nosuch/creds/dev", "api_key", "");
    expect(provider, &call, &ended, OUTCOME_REFUSED, "no handler for route", "a path that is not there");
    provider_free(provider);
    provider = open_provider(url, token_file, "kv/llm", "key", "");
    expect(provider, &call, &ended, OUTCOME_REFUSED, "without a lease: that is no dynamic secrets engine",
           "a path without leases");
    provider_free(provider);
    provider_result_clear(&ended.result);
}

static void tell_of_reference(const char *reference, const char *file)
{
    cleanup_secret struct secret *got = NULL;
    cleanup_secret struct secret *wanted = NULL;
    struct error err = ERROR_INIT;
    char from[512];
    snprintf(from, sizeof from, "file:%s", file);
    bool ok = credential_fetch(from, &wanted, &err) && credential_fetch(reference, &got, &err) &&
              strcmp(secret_reveal(got), secret_reveal(wanted)) == 0;
    check(ok, reference, err.text);
}

int main(int argc, char **argv)
{
    struct credential_vault vault = {.approle_mount = "approle"};
    if (argc < 6) {
        fprintf(stderr, "usage: vault-client keys|unrenewed|fetch|login ..., see its source\n");
        return 2;
    }
    client_begin();
    snprintf(vault.address, sizeof vault.address, "%s", argv[2]);
    if (strcmp(argv[1], "login") == 0 && argc == 7) {
        snprintf(vault.role_id, sizeof vault.role_id, "file:%s", argv[3]);
        snprintf(vault.secret_id, sizeof vault.secret_id, "file:%s", argv[4]);
        credential_use_vault(&vault);
        tell_of_reference(argv[5], argv[6]);
    } else if (strcmp(argv[1], "fetch") == 0) {
        snprintf(vault.token, sizeof vault.token, "file:%s", argv[3]);
        credential_use_vault(&vault);
        tell_of_reference(argv[4], argv[5]);
    } else {
        bool renewed = strcmp(argv[1], "keys") == 0;
        struct provider *provider = open_provider(argv[2], argv[3], argv[4], argv[5], argc > 6 ? argv[6] : "");
        if (renewed)
            tell_of_keys(provider);
        else
            tell_of_unrenewed(provider);
        provider_free(provider);
        if (renewed) {
            tell_of_strangers(argv[2], argv[4], argv[5]);
            tell_of_wrong_paths(argv[2], argv[3]);
        }
    }
    return client_end();
}
