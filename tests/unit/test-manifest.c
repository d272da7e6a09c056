/* What a set of keys becomes: the text for the script in the guest, and the hashes that it is proven by. What a guest
 * answers is in test-delivery.c. */
#include "delivery-fixture.h"

#define TOKEN "{\"token\": \"$(id) `id` \\\\\"}\n"

static void each_kind_has_its_own_line_and_file(void **state)
{
    (void)state;
    struct delivery_entry set[] = {entry_of(DELIVERY_PLAIN, "A_BASE_URL", "https://10.0.0.1:4000/v1?a=b&c=%20"),
                                   entry_of(DELIVERY_FILE, "C_TOKEN_FILE", TOKEN),
                                   entry_of(DELIVERY_VALUE, "B_API_KEY", KEY)};
    static const char payload_wanted[] =
        "verb=force readers=humans label=3\npaths=' C_TOKEN_FILE '\nset -- B_API_KEY '" KEY "' C_TOKEN_FILE '" TOKEN
        "'\nplain=\"A_BASE_URL='https://10.0.0.1:4000/v1?a=b&c=%20'\n\"\ncomplete=yes\n";
    static const char *const envs[] = {
        "B_API_KEY='" KEY "'\nC_TOKEN_FILE='/run/llmhook/C_TOKEN_FILE'\n"
        "A_BASE_URL='https://10.0.0.1:4000/v1?a=b&c=%20'\n",
        "B_API_KEY='" KEY "'\nC_TOKEN_FILE='/run/llmhook/users/1000/C_TOKEN_FILE'\n"
        "A_BASE_URL='https://10.0.0.1:4000/v1?a=b&c=%20'\n"};
    cleanup_buffer struct buffer payload = BUFFER_INIT(4096);
    struct manifest manifest;
    char hash[SECRET_FINGERPRINT_SIZE], wanted[SECRET_FINGERPRINT_SIZE];
    assert_true(manifest_make(set, 3, NULL, &manifest, NULL));
    assert_int_equal(manifest.count, 2);
    assert_string_equal(manifest.files[1].name, "C_TOKEN_FILE");
    assert_true(manifest_payload(&manifest, set, 3, "force", 3, &payload));
    assert_string_equal(buffer_text(&payload), payload_wanted);
    secret_fingerprint_bytes(envs[0], strlen(envs[0]), wanted);
    assert_string_equal(manifest.env, wanted);
    secret_fingerprint_bytes(envs[1], strlen(envs[1]), wanted);
    assert_true(manifest_copy_env(set, 3, 1000, hash));
    assert_string_equal(hash, wanted);
    release(set, 3);
}

static void what_a_kind_may_not_hold_is_refused(void **state)
{
    (void)state;
    static const struct {
        enum delivery_kind kind;
        const char *content, *piece;
    } rows[] = {
        {DELIVERY_PLAIN, "a b", "text for A"},      {DELIVERY_PLAIN, "a'b", "text for A"},
        {DELIVERY_PLAIN, "$a", "text for A"},       {DELIVERY_PLAIN, "a\"b", "text for A"},
        {DELIVERY_PLAIN, "a`b", "text for A"},      {DELIVERY_PLAIN, "a\\b", "text for A"},
        {DELIVERY_PLAIN, "a\nb", "text for A"},     {DELIVERY_PLAIN, "", "text for A"},
        {DELIVERY_PLAIN, "a\xc3\xa9", "text for A"}, {DELIVERY_FILE, "it's", "file for A"},
        {DELIVERY_FILE, "a\rb", "file for A"},      {DELIVERY_FILE, "", "file for A"},
        {DELIVERY_FILE, "\x7f", "file for A"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct delivery_entry one = entry_of(rows[i].kind, "A", rows[i].content);
        struct manifest manifest;
        struct error err = ERROR_INIT;
        assert_false(manifest_make(&one, 1, NULL, &manifest, &err));
        check_error(err, ERROR_INVALID, rows[i].piece);
        release(&one, 1);
    }
    char text[513];
    memset(text, 'a', sizeof text);
    for (size_t length = 511; length <= 512; length++) {
        text[length] = '\0';
        struct manifest manifest;
        struct delivery_entry one = entry_of(DELIVERY_PLAIN, "A", text);
        assert_int_equal(manifest_make(&one, 1, NULL, &manifest, NULL), length == 511);
        text[length] = 'a';
    }
}

static void fingerprints_tell_sets_apart(void **state)
{
    (void)state;
    struct delivery_entry sets[] = {entry("A", "v"), entry("B", "w"), entry("B", "w"), entry("A", "v"), entry("A", "v2"),
                                    entry("B", "v")};
    char ab[DELIVERY_FINGERPRINT_SIZE], other[DELIVERY_FINGERPRINT_SIZE];
    delivery_fingerprint(sets, 2, NULL, ab);
    assert_int_equal(strlen(ab), 64);
    delivery_fingerprint(sets + 2, 2, "humans", other); /* another order, the default by its name */
    assert_string_equal(ab, other);
    delivery_fingerprint(sets, 2, "root", other);
    assert_string_not_equal(ab, other);
    delivery_fingerprint(sets, 1, NULL, other);
    assert_string_not_equal(ab, other);
    delivery_fingerprint(sets + 4, 2, NULL, ab); /* A=v2 B=v */
    delivery_fingerprint(sets + 1, 1, NULL, other);
    assert_string_not_equal(ab, other);
    delivery_fingerprint(NULL, 0, NULL, other);
    assert_string_equal(other, "");
    release(sets, 6);
}

static void the_fingerprint_is_as_documented(void **state)
{
    (void)state;
    struct delivery_entry one = entry("A", "v");
    char fingerprint[DELIVERY_FINGERPRINT_SIZE], env[65], value[65], wanted[65], text[300];
    secret_fingerprint_bytes("A='v'\n", 6, env);
    secret_fingerprint_bytes("v", 1, value);
    snprintf(text, sizeof text, "llmhook delivery 1\nreaders group:dev\nenv %s\nA %s\n", env, value);
    secret_fingerprint_bytes(text, strlen(text), wanted);
    delivery_fingerprint(&one, 1, "group:dev", fingerprint);
    assert_string_equal(fingerprint, wanted);
    release(&one, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_has_its_own_line_and_file),
        cmocka_unit_test(what_a_kind_may_not_hold_is_refused),
        cmocka_unit_test(fingerprints_tell_sets_apart),
        cmocka_unit_test(the_fingerprint_is_as_documented),
    };
    return check_run_within(tests, start, NULL);
}
