/* credential.c with real files, and environments of its own. */
#include "credential-fixture.h"

static const char *file_reference(const char *name)
{
    static char reference[160];
    snprintf(reference, sizeof reference, "file:%s/%s", directory, name);
    return reference;
}

static void test_forms(void **state)
{
    (void)state;
    static const char *const good[] = {"env:A", "env:_OPENAI_1", "file:/a", "credential:openai-admin", "credential:a.b_c"};
    for (size_t i = 0; i < COUNT(good); i++) {
        struct error err = ERROR_INIT;
        if (!credential_valid(good[i], &err))
            fail_msg("%s: %s", good[i], err.text);
    }
    static const struct {
        const char *reference, *piece;
    } bad[] = {
        {"", "write env:NAME, file:/path, credential:NAME, exec:/path"},
        {"sk-admin-0123456789", "write env:NAME, file:/path, credential:NAME, exec:/path"},
        {"vaultt:x", "write env:NAME, file:/path, credential:NAME, exec:/path"},
        {"ENV:A", "write env:NAME, file:/path, credential:NAME, exec:/path"},
        {"env:", "after env: comes a variable's name"},
        {"env:1A", "after env: comes a variable's name"},
        {"env:sk-admin-0123456789", "after env: comes a variable's name"},
        {"env:A=B", "after env: comes a variable's name"},
        {"file:", "after file: comes an absolute path"},
        {"file:sk-relative", "after file: comes an absolute path"},
        {"credential:", "after credential: comes a name"},
        {"credential:../shadow", "after credential: comes a name"},
        {"credential:..", "after credential: comes a name"},
        {"credential:.hidden", "after credential: comes a name"},
        {"credential:a/b", "after credential: comes a name"},
        {"credential:a b", "after credential: comes a name"},
    };
    for (size_t i = 0; i < COUNT(bad); i++)
        fails(bad[i].reference, ERROR_INVALID, bad[i].piece);
}

static void test_environment(void **state)
{
    (void)state;
    unsetenv("LLMHOOK_TEST_KEY");
    fails("env:LLMHOOK_TEST_KEY", ERROR_NOT_FOUND,
          "env:LLMHOOK_TEST_KEY: the daemon's environment has no variable LLMHOOK_TEST_KEY: set it with EnvironmentFile=");
    setenv("LLMHOOK_TEST_KEY", " \t\n", 1);
    fails("env:LLMHOOK_TEST_KEY", ERROR_INVALID, "env:LLMHOOK_TEST_KEY is empty: put the admin key there");
    setenv("LLMHOOK_TEST_KEY", "  sk-from-env\n", 1);
    gives("env:LLMHOOK_TEST_KEY", "sk-from-env");
    unsetenv("LLMHOOK_TEST_KEY");
}

static void test_files(void **state)
{
    (void)state;
    make("good", "\r\n sk-from-file \n\n", 0600);
    gives(file_reference("good"), "sk-from-file");
    make("read-only", "sk-from-file", 0400);
    gives(file_reference("read-only"), "sk-from-file");
    make("empty", "\n", 0600);
    fails(file_reference("empty"), ERROR_INVALID, "/empty is empty: put the admin key there");
    make("two", "sk-one\nsk-two\n", 0600);
    fails(file_reference("two"), ERROR_INVALID, "/two holds more than one word");
    make_file("nul", "sk-o\0ne", 7, 0600);
    fails(file_reference("nul"), ERROR_INVALID, "/nul holds more than one word, or a character");
    make("utf8", "sk-\xc3\xa4", 0600);
    fails(file_reference("utf8"), ERROR_INVALID, "/utf8 holds more than one word, or a character");
    fails(file_reference("missing"), ERROR_NOT_FOUND, "/missing: put the admin key there, mode 600");
    fails(file_reference("good/below"), ERROR_IO, "/good/below cannot be opened");
    fails("file:/tmp", ERROR_INVALID, "file:/tmp is not a regular file: name the file");
}

static void test_files_that_others_reach(void **state)
{
    (void)state;
    static const mode_t modes[] = {0640, 0604, 0620, 0602, 0610, 0644};
    for (size_t i = 0; i < COUNT(modes); i++) {
        make("open", "sk-from-file", modes[i]);
        fails(file_reference("open"), ERROR_DENIED, "/open can be reached by others than its owner (mode 6");
    }
    /* Somebody else's file: root can give one away, others find one in the system. */
    make("given-away", "sk-from-file", 0600);
    char path[128];
    snprintf(path, sizeof path, "%s/given-away", directory);
    if (geteuid() == 0 && chown(path, 12345, 12345) == 0)
        fails(file_reference("given-away"), ERROR_DENIED, "belongs to uid 12345: chown it to root");
}

static void test_links_are_judged_by_their_target(void **state)
{
    (void)state;
    char target[128], link[128];
    make("target", "sk-from-file", 0600);
    snprintf(target, sizeof target, "%s/target", directory);
    snprintf(link, sizeof link, "%s/link", directory);
    assert_int_equal(symlink(target, link), 0);
    gives(file_reference("link"), "sk-from-file");
    assert_int_equal(chmod(target, 0644), 0);
    fails(file_reference("link"), ERROR_DENIED, "/link can be reached by others than its owner (mode 644)");
}

static void test_a_pipe_does_not_hang(void **state)
{
    (void)state;
    char path[128];
    snprintf(path, sizeof path, "%s/pipe", directory);
    assert_int_equal(mkfifo(path, 0600), 0);
    fails(file_reference("pipe"), ERROR_INVALID, "/pipe is not a regular file");
}

static void test_sizes(void **state)
{
    (void)state;
    static char big[SECRET_MAX + 2000];
    memset(big, 'k', sizeof big);
    make_file("largest", big, SECRET_MAX, 0600);
    struct error err = ERROR_INIT;
    cleanup_secret struct secret *secret = NULL;
    assert_true(credential_fetch(file_reference("largest"), &secret, &err));
    assert_int_equal(secret_length(secret), SECRET_MAX);
    make_file("larger", big, SECRET_MAX + 1, 0600);
    fails(file_reference("larger"), ERROR_LIMIT, "/larger holds 16385 bytes: a key has at most 16384");
    make_file("huge", big, sizeof big, 0600);
    fails(file_reference("huge"), ERROR_LIMIT, "/huge is larger than 16384 bytes: no key is");
}

static void test_systemd_credentials(void **state)
{
    (void)state;
    unsetenv("CREDENTIALS_DIRECTORY");
    fails("credential:openai-admin", ERROR_NOT_FOUND,
          "credential:openai-admin: systemd gave this process no credentials: put LoadCredential=openai-admin:/path");
    setenv("CREDENTIALS_DIRECTORY", "relative", 1);
    fails("credential:openai-admin", ERROR_NOT_FOUND, "systemd gave this process no credentials");
    setenv("CREDENTIALS_DIRECTORY", directory, 1);
    fails("credential:openai-admin", ERROR_NOT_FOUND, "the unit loads no credential of that name: put LoadCredential=");
    make("openai-admin", "sk-from-systemd\n", 0440); /* an access list shows as group bits */
    gives("credential:openai-admin", "sk-from-systemd");
    unsetenv("CREDENTIALS_DIRECTORY");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_files_that_others_reach),
        cmocka_unit_test(test_links_are_judged_by_their_target),
        cmocka_unit_test(test_a_pipe_does_not_hang),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_systemd_credentials),
    };
    return check_run_within(tests, make_directory, remove_directory);
}
