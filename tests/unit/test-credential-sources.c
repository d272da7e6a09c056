/* Keys from programs, from sops and from Vault: programs of the test's own, and a server that says what Vault's API
 * documentation has it say. */
#include "credential-fixture.h"
#include "scripted-server.h"

#include <signal.h>

static void test_forms(void **state)
{
    (void)state;
    static const char *const good[] = {"exec:/usr/bin/pass show llm", "exec:/a", "sops:/etc/k.yaml#openai.admin", "sops:/a#b.0",
                                       "vault:secret/llm#key", "vault:team/kv/a/b#admin_key"};
    static const char *const bad[] = {"exec:pass", "exec:", "sops:/a", "sops:a#b", "sops:/a#", "sops:/a#b.", "sops:/a#b..c",
                                      "sops:/a#b\"c", "vault:secret#key", "vault:secret/#key", "vault:secret/a",
                                      "vault:secret/a#", "vault:secret/../sys#a", "vault:/secret/a#b", "vault:secret/a?b#c"};
    struct error err = ERROR_INIT;
    for (size_t i = 0; i < COUNT(good); i++) {
        if (!credential_valid(good[i], &err))
            fail_msg("%s: %s", good[i], err.text);
        assert_true(credential_blocks(good[i]));
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        if (credential_valid(bad[i], &err))
            fail_msg("%s is taken", bad[i]);
        check_error(err, ERROR_INVALID, "as in ");
    }
    assert_false(credential_blocks("file:/a") || credential_blocks("env:A") || credential_blocks("credential:a"));
}

static void test_exec(void **state)
{
    (void)state;
    char reference[256];
    make("key", "#!/bin/sh\necho \"sk-$1-$2\"\n", 0755);
    snprintf(reference, sizeof reference, "exec:%s/key one  two", directory);
    gives(reference, "sk-one-two");
    make("key", "#!/bin/sh\nexit 0\n", 0755);
    fails(reference, ERROR_INVALID, "is empty: put the admin key there");
    make("key", "#!/bin/sh\necho two words\n", 0755);
    fails(reference, ERROR_INVALID, "holds more than one word");
    make("key", "#!/bin/sh\necho sk-secret-0123456789abcdef; echo the agent is locked, sk-secret-0123456789abcdef >&2; exit 7\n",
         0755);
    fails(reference, ERROR_IO, "/key failed (exit code 7): the agent is locked, [key]");
    make("key", "#!/bin/sh\nexec head -c 100000 /dev/zero\n", 0755);
    fails(reference, ERROR_LIMIT, "printed more than");
    make("key", "#!/bin/sh\necho key\n", 0777);
    fails(reference, ERROR_DENIED, "can be written by others (mode 777)");
    snprintf(reference, sizeof reference, "exec:%s/nothing", directory);
    fails(reference, ERROR_NOT_FOUND, "No such file or directory");
}

/* Stands for sops, and says what it was asked. The real one is in no Debian. */
static void test_sops(void **state)
{
    (void)state;
    char reference[256], path[256];
    const char *before = getenv("PATH");
    cleanup_free char *kept = strdup(before ? before : "");
    snprintf(reference, sizeof reference, "sops:%s/keys.yaml#openai.keys.0.admin-key", directory);
    make("keys.yaml", "openai: ENC[...]\n", 0600);
    setenv("PATH", "/nonexistent", 1);
    fails(reference, ERROR_NOT_FOUND, "there is no sops on the daemon's PATH: install it");
    snprintf(path, sizeof path, ".:relative:%s:/usr/bin:/bin", directory);
    setenv("PATH", path, 1);
    setenv("SOPS_AGE_KEY_FILE", "/of/the/daemon", 1);
    setenv("OPENAI_ADMIN_KEY", "sk-other", 1);
    make("sops", "#!/bin/sh\n[ \"$SOPS_AGE_KEY_FILE\" = /of/the/daemon ] && [ -z \"$OPENAI_ADMIN_KEY\" ] && [ $# = 4 ] && "
                 "[ \"$1 $2\" = '--decrypt --extract' ] && [ \"$4\" = \"${0%/*}/keys.yaml\" ] && printf %s \"$3\" | tr -d "
                 "'[\"]'\n", 0755);
    gives(reference, "openaikeys0admin-key");
    make("sops", "#!/bin/sh\nprintf %s \"$3\"\n", 0755);
    gives(reference, "[\"openai\"][\"keys\"][0][\"admin-key\"]");
    make("sops", "#!/bin/sh\necho 'Failed to get the data key required to decrypt the SOPS file.' >&2; exit 128\n", 0755);
    fails(reference, ERROR_IO, "/sops failed (exit code 128): Failed to get the data key required");
    snprintf(reference, sizeof reference, "sops:%s/other.yaml#a", directory);
    fails(reference, ERROR_NOT_FOUND, "other.yaml cannot be read: No such file");
    setenv("PATH", kept, 1);
}

/* --- Vault --- */

#define ANSWER(status, body) {script_answer(status, "", body), SCRIPT_CLOSE, 0}

static struct scripted_server *serve(const struct script_step *steps, size_t count, struct credential_vault *vault)
{
    struct scripted_server *server = scripted_server_new(steps, count);
    *vault = (struct credential_vault){.approle_mount = "approle"};
    snprintf(vault->address, sizeof vault->address, "http://127.0.0.1:%u", scripted_server_port(server));
    snprintf(vault->token, sizeof vault->token, "file:%s", make("token", "hvs.token-0123456789\n", 0600));
    return server;
}

static bool asked(struct scripted_server *server, unsigned index, const char *piece)
{
    const char *request = scripted_server_request(server, index);
    return request && strstr(request, piece);
}

static const char mount_one[] = "{\"data\":{\"path\":\"secret/\",\"type\":\"kv\",\"options\":null}}";
static const char mount_two[] = "{\"data\":{\"path\":\"team/kv/\",\"type\":\"kv\",\"options\":{\"version\":\"2\"}}}";
static const char secret_one[] = "{\"data\":{\"key\":\"sk-one\",\"number\":7}}";
static const char secret_two[] = "{\"data\":{\"data\":{\"key\":\"sk-two\"},\"metadata\":{\"version\":3}}}";

static void test_vault_versions(void **state)
{
    (void)state;
    struct credential_vault vault;
    const struct script_step one[] = {ANSWER("200", mount_one), ANSWER("200", secret_one)};
    struct scripted_server *server = serve(one, 2, &vault);
    snprintf(vault.name_space, sizeof vault.name_space, "team/llm");
    credential_use_vault(&vault);
    gives("vault:secret/openai#key", "sk-one");
    assert_true(asked(server, 0, "GET /v1/sys/internal/ui/mounts/secret/openai HTTP/1.1\r\n"));
    assert_true(asked(server, 1, "GET /v1/secret/openai HTTP/1.1\r\n"));
    assert_true(asked(server, 1, "\r\nX-Vault-Token: hvs.token-0123456789\r\n"));
    assert_true(asked(server, 1, "\r\nX-Vault-Namespace: team/llm\r\n"));
    scripted_server_free(server);

    const struct script_step two[] = {ANSWER("200", mount_two), ANSWER("200", secret_two)};
    server = serve(two, 2, &vault);
    credential_use_vault(&vault);
    gives("vault:team/kv/a/b#key", "sk-two");
    assert_true(asked(server, 1, "GET /v1/team/kv/data/a/b HTTP/1.1\r\n"));
    scripted_server_free(server);

    /* Told, so not asked for. And a token that may not ask is taken at its word. */
    const struct script_step told[] = {ANSWER("200", secret_two), ANSWER("403", "{}"), ANSWER("200", secret_one)};
    server = serve(told, 3, &vault);
    vault.kv_version = 2;
    credential_use_vault(&vault);
    gives("vault:secret/openai#key", "sk-two");
    assert_true(asked(server, 0, "GET /v1/secret/data/openai HTTP/1.1\r\n"));
    vault.kv_version = 0;
    credential_use_vault(&vault);
    gives("vault:secret/openai#key", "sk-one");
    scripted_server_free(server);
}

static void test_vault_approle(void **state)
{
    (void)state;
    struct credential_vault vault;
    const struct script_step steps[] = {ANSWER("200", "{\"auth\":{\"client_token\":\"hvs.made-for-this\"}}"),
                                        ANSWER("200", secret_one), ANSWER("204", "")};
    struct scripted_server *server = serve(steps, 3, &vault);
    vault.token[0] = '\0';
    vault.kv_version = 1;
    snprintf(vault.role_id, sizeof vault.role_id, "file:%s", make("role", "role-1\n", 0600));
    snprintf(vault.secret_id, sizeof vault.secret_id, "file:%s", make("secret", "secret-1\n", 0600));
    credential_use_vault(&vault);
    gives("vault:secret/openai#key", "sk-one");
    assert_true(asked(server, 0, "POST /v1/auth/approle/login HTTP/1.1\r\n"));
    assert_true(asked(server, 0, "{\"role_id\":\"role-1\",\"secret_id\":\"secret-1\"}"));
    assert_false(asked(server, 0, "X-Vault-Token"));
    assert_true(asked(server, 1, "\r\nX-Vault-Token: hvs.made-for-this\r\n"));
    assert_true(asked(server, 2, "POST /v1/auth/token/revoke-self HTTP/1.1\r\n")); /* none is left behind */
    scripted_server_free(server);
}

/* The token itself, for a provider whose keys are made there: keys hang on it, so it is kept, and never given back. */
static void test_vault_token(void **state)
{
    (void)state;
    struct credential_vault vault;
    const struct script_step steps[] = {
        ANSWER("200", "{\"auth\":{\"client_token\":\"hvs.first\",\"lease_duration\":3600}}"),
        ANSWER("200", "{\"data\":{}}"),
        ANSWER("403", "{\"errors\":[\"permission denied\"]}"),
        ANSWER("200", "{\"auth\":{\"client_token\":\"hvs.second\",\"lease_duration\":1}}"),
        ANSWER("200", "{\"auth\":{\"client_token\":\"hvs.third\",\"lease_duration\":0}}")};
    struct scripted_server *server = serve(steps, 5, &vault);
    char reference[300];
    snprintf(reference, sizeof reference, "vault-token:%s", vault.address);
    credential_use_vault(&vault);
    fails("vault-token:http://127.0.0.1:1", ERROR_DENIED, "[vault] names another Vault than http://127.0.0.1:1 now");
    gives(reference, "hvs.token-0123456789"); /* which is read anew each time */
    vault.token[0] = '\0';
    snprintf(vault.role_id, sizeof vault.role_id, "file:%s", make("role", "role-1\n", 0600));
    snprintf(vault.secret_id, sizeof vault.secret_id, "file:%s", make("secret", "secret-1\n", 0600));
    credential_use_vault(&vault);
    gives(reference, "hvs.first");
    credential_use_vault(&vault); /* a reload without a change */
    gives(reference, "hvs.first");
    assert_true(asked(server, 1, "GET /v1/auth/token/lookup-self HTTP/1.1\r\n"));
    assert_true(asked(server, 1, "\r\nX-Vault-Token: hvs.first\r\n"));
    gives(reference, "hvs.second"); /* somebody has revoked the first */
    assert_true(asked(server, 3, "POST /v1/auth/approle/login HTTP/1.1\r\n"));
    vault.kv_version = 1; /* as another Vault */
    credential_use_vault(&vault);
    gives(reference, "hvs.third");
    assert_true(asked(server, 4, "POST /v1/auth/approle/login HTTP/1.1\r\n"));
    scripted_server_free(server);
    vault = (struct credential_vault){.kv_version = 0};
    credential_use_vault(&vault);
    fails(reference, ERROR_INVALID, "no Vault is configured: write a [vault] section");
    fails("vault-token:x", ERROR_INVALID, "after vault-token: comes the address that [vault] has");
}

static void refused(const char *status, const char *body, enum error_code code, const char *piece)
{
    struct credential_vault vault;
    const struct script_step step = ANSWER(status, body);
    struct scripted_server *server = serve(&step, 1, &vault);
    vault.kv_version = 1;
    credential_use_vault(&vault);
    fails("vault:secret/openai#key", code, piece);
    fails("vault:secret/openai#key", code, "vault:secret/openai#key: ");
    scripted_server_free(server);
}

static void test_vault_trouble(void **state)
{
    (void)state;
    refused("503", "{\"errors\":[\"Vault is sealed\"]}", ERROR_BUSY,
            "is sealed or under maintenance (503): vault operator unseal");
    refused("403", "{\"errors\":[\"permission denied, sk-0123456789abc\"]}", ERROR_DENIED, "does not let us read it (403)");
    refused("404", "{\"errors\":[]}", ERROR_NOT_FOUND, "has nothing to read it (404): check mount, path and namespace");
    refused("501", "{}", ERROR_BUSY, "is not initialized (501)");
    refused("307", "", ERROR_PROTOCOL, "redirect refused");
    refused("200", "<html>", ERROR_PROTOCOL, "is no Vault: check address");
    refused("200", "{\"data\":{\"other\":\"x\"}}", ERROR_NOT_FOUND, "it has no text 'key'");
    refused("200", "{\"data\":{\"key\":7}}", ERROR_NOT_FOUND, "it has no text 'key'");
    refused("200", "{\"data\":null}", ERROR_PROTOCOL, "data");
    struct credential_vault vault = {.address = "http://127.0.0.1:1", .token = "file:/nonexistent/token", .kv_version = 1};
    credential_use_vault(&vault);
    fails("vault:secret/openai#key", ERROR_NOT_FOUND, "[vault] token: file:/nonexistent/token: there is no file");
    snprintf(vault.token, sizeof vault.token, "file:%s", make("token", "hvs.x", 0600));
    credential_use_vault(&vault);
    fails("vault:secret/openai#key", ERROR_IO, "Vault cannot be asked: 127.0.0.1:1: nothing was sent");
    vault = (struct credential_vault){.kv_version = 0};
    credential_use_vault(&vault);
    fails("vault:secret/openai#key", ERROR_INVALID, "no Vault is configured: write a [vault] section");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),           cmocka_unit_test(test_exec),          cmocka_unit_test(test_sops),
        cmocka_unit_test(test_vault_versions), cmocka_unit_test(test_vault_approle), cmocka_unit_test(test_vault_token),
        cmocka_unit_test(test_vault_trouble),
    };
    signal(SIGPIPE, SIG_IGN);
    return check_run_within(tests, make_directory, remove_directory);
}
