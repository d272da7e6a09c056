/* openai.c about the organisation's admin keys, which are replaced like any other key. No network. */
#include "openai-fixture.h"

#define ADMIN "sk-admin-abcdefghijklmnopqrstuvwxyz"
#define ADMIN_KEY_JSON(id, name, shown)                                                                                \
    "{\"object\":\"organization.admin_api_key\",\"id\":\"" id "\",\"name\":" name ",\"redacted_value\":" shown        \
    ",\"created_at\":1,\"owner\":{}}"

static void test_admin_keys_are_asked_for(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, PROVIDER_FIND_ADMIN_KEYS);
    asks(&f, HTTP_GET, BASE "/admin_api_keys?limit=100", NULL);
    f.call.key_name[0] = '\0';
    cannot_ask(&f, "neither a name nor a key was given");
    begin(&f, PROVIDER_CREATE_ADMIN_KEY);
    asks(&f, HTTP_POST, BASE "/admin_api_keys", "{\"name\":\"llmhook:h1:u1:openai:1\"}");
    f.call.life_ms = INT64_C(90) * 24 * 3600 * 1000;
    asks(&f, HTTP_POST, BASE "/admin_api_keys", "{\"name\":\"llmhook:h1:u1:openai:1\",\"expires_in_seconds\":7776000}");
    f.call.key_name[0] = '\0';
    cannot_ask(&f, "no name was given");
    begin(&f, PROVIDER_DELETE_ADMIN_KEY);
    asks(&f, HTTP_DELETE, BASE "/admin_api_keys/user-xyz", NULL);
    snprintf(f.call.key_id, sizeof f.call.key_id, "../projects");
    cannot_ask(&f, "the admin key's id is empty or holds");
    end(&f);
}

static void test_which_admin_key_it_is(void **state)
{
    (void)state;
    static const struct {
        const char *shown;
        bool fits;
    } shown[] = {
        {"\"sk-admin...xyz\"", true},   {"\"sk-admin***wxyz\"", true}, {"\"...z\"", true},
        {"\"sk-admin...wxy\"", false},  {"\"sk-svcac...xyz\"", false}, {"\"" ADMIN "\"", true},
        {"\"sk-admin-abc\"", false},    {"\"\"", true},                {"null", true},
        {"\"" ADMIN "..." ADMIN "\"", false},
    };
    struct secret *secret = NULL;
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++) {
        struct fixture f;
        char body[512];
        begin(&f, PROVIDER_FIND_ADMIN_KEYS);
        f.call.chosen = secret = secret_new(ADMIN, strlen(ADMIN));
        snprintf(body, sizeof body, LIST(ADMIN_KEY_JSON("key_1", "null", "%s"), "false", "null"), shown[i].shown);
        reads(&f, 200, body, OUTCOME_OK);
        if (f.result.items_count != (shown[i].fits ? 1 : 0))
            fail_msg("%s: %zu fit", shown[i].shown, f.result.items_count);
        end(&f);
        secret_free(secret);
    }
    /* By its name, over two pages. */
    struct fixture f;
    begin(&f, PROVIDER_FIND_ADMIN_KEYS);
    reads_on(&f, 200, LIST(ADMIN_KEY_JSON("key_1", "\"llmhook:h1:u1:openai:1\"", "\"\""), "true", "\"key_1\""));
    asks(&f, HTTP_GET, BASE "/admin_api_keys?limit=100&after=key_1", NULL);
    reads(&f, 200, LIST(ADMIN_KEY_JSON("key_2", "\"llmhook:h1:u1:openai:11\"", "\"\""), "false", "null"), OUTCOME_OK);
    assert_int_equal(f.result.items_count, 1);
    assert_string_equal(f.result.items[0].id, "key_1");
    end(&f);
    begin(&f, PROVIDER_FIND_ADMIN_KEYS); /* how long it was made for */
    reads(&f, 200, LIST("{\"id\":\"key_1\",\"name\":\"llmhook:h1:u1:openai:1\",\"created_at\":5,\"expires_at\":65}", "false", "null"),
          OUTCOME_OK);
    assert_int_equal(f.result.items[0].expires_at - f.result.items[0].created_at, 60000);
    end(&f);
    begin(&f, PROVIDER_FIND_ADMIN_KEYS);
    reads(&f, 200, "{\"data\":[]}", OUTCOME_UNREACHABLE); /* half a list is no list */
    end(&f);
}

static void test_an_admin_key_that_was_made(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, PROVIDER_CREATE_ADMIN_KEY);
    reads(&f, 200, "{\"id\":\"key_9\",\"value\":\"" ADMIN "\"}", OUTCOME_OK);
    assert_string_equal(f.result.key_id, "key_9");
    assert_string_equal(secret_reveal(f.result.secret), ADMIN);
    end(&f);
    static const char *const lost[] = {"", "{\"id\":\"key_9\"}", "{\"value\":\"" ADMIN "\"}",
                                       "{\"id\":\"a/b\",\"value\":\"" ADMIN "\"}"};
    for (size_t i = 0; i < sizeof lost / sizeof lost[0]; i++) {
        begin(&f, PROVIDER_CREATE_ADMIN_KEY);
        reads(&f, 200, lost[i], OUTCOME_UNKNOWN);
        assert_null(f.result.secret);
        end(&f);
    }
    judged(PROVIDER_CREATE_ADMIN_KEY, 500, ERROR_BODY("oops", "x"), OUTCOME_UNKNOWN, ERROR_LOST, "(500)");
    judged(PROVIDER_CREATE_ADMIN_KEY, 403, ERROR_BODY("not by policy", "x"), OUTCOME_REFUSED, ERROR_DENIED, "not by policy");
}

static void test_an_admin_key_that_was_removed(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, PROVIDER_DELETE_ADMIN_KEY);
    reads(&f, 200, "{\"id\":\"user-xyz\",\"object\":\"organization.admin_api_key.deleted\",\"deleted\":true}", OUTCOME_OK);
    end(&f);
    begin(&f, PROVIDER_DELETE_ADMIN_KEY);
    reads(&f, 200, "{\"id\":\"user-other\",\"deleted\":true}", OUTCOME_UNKNOWN);
    check_error(f.result.error, ERROR_PROTOCOL, "the admin key is not shown as deleted");
    end(&f);
    judged(PROVIDER_DELETE_ADMIN_KEY, 404, ERROR_BODY("No such admin API key.", "not_found"), OUTCOME_GONE, ERROR_NOT_FOUND,
           "OpenAI has no such admin key any more: user-xyz");
    judged(PROVIDER_DELETE_ADMIN_KEY, 404, "<html>", OUTCOME_REFUSED, ERROR_PROTOCOL, "check base-url");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_admin_keys_are_asked_for),
        cmocka_unit_test(test_which_admin_key_it_is),
        cmocka_unit_test(test_an_admin_key_that_was_made),
        cmocka_unit_test(test_an_admin_key_that_was_removed),
    };
    return check_run(tests);
}
