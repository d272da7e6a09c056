/* Secrets that we choose, and what is signed with one. */
#include "check.h"

#include "base/secret.h"

#include <string.h>

static void what_is_chosen_is_never_chosen_again(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    assert_true(secret_init(&err));
    struct secret *one = secret_generate("sk-"), *other = secret_generate("sk-");
    assert_int_equal(secret_length(one), 46);
    assert_memory_equal(secret_reveal(one), "sk-", 3);
    assert_int_equal(strspn(secret_reveal(one), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), 46);
    assert_string_not_equal(secret_reveal(one), secret_reveal(other));
    secret_free(one);
    secret_free(other);
    char long_prefix[100];
    memset(long_prefix, 'a', sizeof long_prefix);
    long_prefix[sizeof long_prefix - 1] = '\0';
    assert_null(secret_generate(long_prefix));
}

/* RFC 4231, test cases 2 and 6 (a key longer than a block). */
static void a_signature_is_hmac_sha_256(void **state)
{
    (void)state;
    char signature[SECRET_FINGERPRINT_SIZE], long_key[131];
    memset(long_key, 0xaa, sizeof long_key);
    struct secret *one = secret_new("Jefe", 4), *other = secret_new(long_key, sizeof long_key);
    secret_sign(one, "what do ya want for nothing?", 28, signature);
    assert_string_equal(signature, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    secret_sign(other, "Test Using Larger Than Block-Size Key - Hash Key First", 54, signature);
    assert_string_equal(signature, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    secret_free(one);
    secret_free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_chosen_is_never_chosen_again),
        cmocka_unit_test(a_signature_is_hmac_sha_256),
    };
    return check_run(tests);
}
