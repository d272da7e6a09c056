/* The words of policies, records and outcomes, and which policy wins. */
#include "lifecycle/outcome.h"
#include "lifecycle/policy.h"
#include "lifecycle/records.h"

#include <stdio.h>
#include <string.h>

#include "check.h"

static void dollars_are_micro_dollars(void **state)
{
    static const struct {
        const char *text;
        int64_t micro;
    } good[] = {
        {"100", INT64_C(100000000)},      {"100.50", INT64_C(100500000)}, {"$100", INT64_C(100000000)},
        {"100 USD", INT64_C(100000000)},  {"$12.5 \t USD", INT64_C(12500000)}, {"0.000001", 1},
        {"0.01", 10000},                  {"007", INT64_C(7000000)},      {"999999.999999", INT64_C(999999999999)},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        struct error err = ERROR_INIT;
        int64_t micro = -7;
        if (!policy_parse_dollars(good[i].text, &micro, &err))
            fail_msg("%s: %s", good[i].text, err.text);
        assert_int_equal(micro, good[i].micro);
    }
}

static void bad_dollars_say_what_to_write(void **state)
{
    static const struct {
        const char *text, *wrong;
    } bad[] = {
        {"", "'' is not an amount of US dollars: write it like 100 or 12.50"},
        {"$", "'$' is not an amount"},
        {"abc", "'abc' is not an amount"},
        {"-5", "'-5' is not an amount"},
        {" 5", "' 5' is not an amount"},
        {"1e3", "'1e3' is not an amount"},
        {"1,000", "'1,000' is not an amount"},
        {"1.", "'1.' is not an amount"},
        {".5", "'.5' is not an amount"},
        {"1.0000001", "'1.0000001' is not an amount"},
        {"1.9999999", "'1.9999999' is not an amount"},
        {"1.2.3", "'1.2.3' is not an amount"},
        {"100USD", "'100USD' is not an amount"},
        {"100 EUR", "'100 EUR' is not an amount"},
        {"100 ", "'100 ' is not an amount"},
        {"100 USDX", "'100 USDX' is not an amount"},
        {"0", "a limit of '0' buys nothing: write more than 0 US dollars"},
        {"0.000000", "a limit of '0.000000' buys nothing"},
        {"1000000", "'1000000' is too much: write less than 1000000 US dollars"},
        {"18446744073709551617", "is too much"},
        {"000000000000000000000000000000000001", "is too much"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct error err = ERROR_INIT;
        int64_t micro = -7;
        assert_false(policy_parse_dollars(bad[i].text, &micro, &err));
        check_error(err, ERROR_INVALID, bad[i].wrong);
        assert_int_equal(micro, -7);
    }
}

static void an_error_quotes_little_and_in_plain_characters(void **state)
{
    struct error err = ERROR_INIT;
    int64_t micro;
    (void)state;
    assert_false(policy_parse_dollars("x\n\x1b[31m\xc3\xa4\x7f", &micro, &err));
    check_error(err, ERROR_INVALID, "'x\?\?[31m\?\?\?' is not");
    assert_false(policy_parse_dollars("aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeee", &micro, &err));
    check_error(err, ERROR_INVALID, "'aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeee...' is not");
    assert_false(policy_parse_dollars("aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeee", &micro, &err));
    check_error(err, ERROR_INVALID, "'aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeee' is not");
    assert_false(policy_parse_dollars("x", &micro, NULL));
}

static void durations_are_milliseconds(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {
        {"200ms", 200},          {"10s", 10000},      {"90min", 5400000}, {"12h", 43200000}, {"30d", INT64_C(2592000000)},
        {"30 d", INT64_C(2592000000)}, {"0s", 0},     {"3650d", INT64_C(315360000000)},
        {"315360000000ms", INT64_C(315360000000)},    {"never", POLICY_NEVER},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        struct error err = ERROR_INIT;
        int64_t ms = -7;
        if (!policy_parse_duration(good[i].text, &ms, &err))
            fail_msg("%s: %s", good[i].text, err.text);
        assert_int_equal(ms, good[i].ms);
    }
}

static void bad_durations_say_what_to_write(void **state)
{
    static const struct {
        const char *text, *wrong;
    } bad[] = {
        {"", "'' is not a duration: write a whole number with ms, s, min, h or d, like 30d, or never"},
        {"30", "'30' has no unit: write it with ms, s, min, h or d, like 30d"},
        {"d", "'d' is not a duration"},
        {"30m", "'30m' is not a duration"},
        {"30 ", "'30 ' is not a duration"},
        {" 30d", "' 30d' is not a duration"},
        {"1.5h", "'1.5h' is not a duration"},
        {"-1d", "'-1d' is not a duration"},
        {"1d12h", "'1d12h' is not a duration"},
        {"Never", "'Never' is not a duration"},
        {"3651d", "'3651d' is too long: write at most 3650d, or never"},
        {"315360000001ms", "'315360000001ms' is too long"},
        {"99999999999999999999d", "'99999999999999999999d' is too long"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct error err = ERROR_INIT;
        int64_t ms = -7;
        assert_false(policy_parse_duration(bad[i].text, &ms, &err));
        check_error(err, ERROR_INVALID, bad[i].wrong);
        assert_int_equal(ms, -7);
    }
}

static void each_fate_is_one_of_two(void **state)
{
    static const struct {
        bool (*parse)(const char *text, enum policy_fate *ret_fate, struct error *err);
        enum policy_fate one, other;
        const char *wrong;
    } settings[] = {
        {policy_parse_on_stop, POLICY_FATE_SUSPEND, POLICY_FATE_REVOKE, "a key whose domain stops: write suspend or revoke"},
        {policy_parse_on_save, POLICY_FATE_KEEP, POLICY_FATE_SUSPEND, "a key whose domain is saved: write keep or suspend"},
        {policy_parse_over_budget, POLICY_FATE_SUSPEND, POLICY_FATE_REVOKE,
         "a key whose limit is reached: write suspend or revoke"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        for (enum policy_fate fate = POLICY_FATE_DEFAULT; fate <= POLICY_FATE_REVOKE; fate++) {
            struct error err = ERROR_INIT;
            enum policy_fate got = POLICY_FATE_DEFAULT;
            bool good = fate == settings[i].one || fate == settings[i].other;
            assert_int_equal(settings[i].parse(policy_fate_name(fate), &got, &err), good);
            assert_int_equal(got, good ? fate : POLICY_FATE_DEFAULT);
            if (!good)
                check_error(err, ERROR_INVALID, settings[i].wrong);
        }
        struct error err = ERROR_INIT;
        enum policy_fate got = POLICY_FATE_DEFAULT;
        assert_false(settings[i].parse("Revoke", &got, &err));
        check_error(err, ERROR_INVALID, "'Revoke' is not what can become of");
    }
    assert_string_equal(policy_fate_name((enum policy_fate)4), "invalid");
}

static void an_overlap_is_at_most_a_month(void **state)
{
    struct error err = ERROR_INIT;
    int64_t ms = 0;
    (void)state;
    assert_true(policy_parse_overlap("30d", &ms, &err));
    assert_int_equal(ms, INT64_C(30) * 86400000);
    assert_true(policy_parse_overlap("0s", &ms, &err));
    assert_int_equal(ms, POLICY_NO_OVERLAP);
    assert_false(policy_parse_overlap("31d", &ms, &err));
    check_error(err, ERROR_INVALID, "'31d' would keep two keys alive for too long: write 30d or less, or 0s for no overlap");
    assert_false(policy_parse_overlap("never", &ms, &err));
    check_error(err, ERROR_INVALID, "'never' would keep two keys alive");
    assert_false(policy_parse_overlap("5", &ms, &err));
    check_error(err, ERROR_INVALID, "'5' has no unit");
    assert_int_equal(ms, POLICY_NO_OVERLAP);
}

static void a_rotation_takes_an_hour_or_more(void **state)
{
    struct error err = ERROR_INIT;
    int64_t ms = -7;
    (void)state;
    assert_true(policy_parse_rotation("1h", &ms, &err));
    assert_int_equal(ms, 3600000);
    assert_true(policy_parse_rotation("never", &ms, &err));
    assert_int_equal(ms, POLICY_NEVER);
    assert_false(policy_parse_rotation("3599999ms", &ms, &err));
    check_error(err, ERROR_INVALID, "rotating every '3599999ms' is too often: write 1h or longer, or never");
    assert_false(policy_parse_rotation("0s", &ms, &err));
    check_error(err, ERROR_INVALID, "too often");
    assert_false(policy_parse_rotation("weekly", &ms, &err));
    check_error(err, ERROR_INVALID, "'weekly' is not a duration");
    assert_int_equal(ms, POLICY_NEVER);
}

static void flags_are_yes_or_no(void **state)
{
    static const char *const yes[] = {"yes", "true", "on", "1"}, *const no[] = {"no", "false", "off", "0"};
    struct error err = ERROR_INIT;
    enum policy_flag flag;
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        flag = POLICY_FLAG_DEFAULT;
        assert_true(policy_parse_flag(yes[i], &flag, &err));
        assert_int_equal(flag, POLICY_FLAG_YES);
        assert_true(policy_parse_flag(no[i], &flag, &err));
        assert_int_equal(flag, POLICY_FLAG_NO);
    }
    assert_false(policy_parse_flag("Yes", &flag, &err));
    check_error(err, ERROR_INVALID, "'Yes' is neither yes nor no: write yes or no");
    assert_false(policy_parse_flag("", &flag, &err));
    check_error(err, ERROR_INVALID, "'' is neither");
    assert_int_equal(flag, POLICY_FLAG_NO);
}

/* LENGTH times 'a' (or 'A'). */
static const char *repeated(char c, size_t length)
{
    static char text[128];
    memset(text, c, length);
    text[length] = '\0';
    return text;
}

static void provider_names(void **state)
{
    static const char *const good[] = {"openai", "a", "Open-AI_2", "z9"};
    static const char *const bad[] = {"", "2openai", "-a", "_a", "a b", "a.b", "a/b", "\xc3\xa4", "a\n", "@", "[", "`", "{"};
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++)
        assert_true(policy_provider_valid(good[i]));
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(policy_provider_valid(bad[i]));
    assert_true(policy_provider_valid(repeated('a', POLICY_PROVIDER_SIZE - 1)));
    assert_false(policy_provider_valid(repeated('a', POLICY_PROVIDER_SIZE)));
}

static void owners(void **state)
{
    static const char *const good[] = {"alice", "7of9", "alice+vm@example.com", "a.b_c-d", "A"};
    static const char *const bad[] = {"", " alice", "alice smith", "@alice", "-rf", "a/b", "a'b", "a\"b", "a$b"};
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++)
        assert_true(policy_owner_valid(good[i]));
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(policy_owner_valid(bad[i]));
    assert_true(policy_owner_valid(repeated('a', POLICY_OWNER_SIZE - 1)));
    assert_false(policy_owner_valid(repeated('a', POLICY_OWNER_SIZE)));
}

static void readers(void **state)
{
    static const char *const good[] = {"humans", "root", "everybody", "group:users", "group:_ssh", "group:llm-users.2"};
    static const char *const bad[] = {"", "human", "Root", "group:", "group", "group: users", "group:a b", "group:9", "group:-x",
                                      "group:a;b", "user:alice", "group:.x"};
    char longest[160];
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++)
        assert_true(policy_readers_valid(good[i]));
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(policy_readers_valid(bad[i]));
    snprintf(longest, sizeof longest, "group:%s", repeated('g', 32));
    assert_true(policy_readers_valid(longest));
    snprintf(longest, sizeof longest, "group:%s", repeated('g', 33));
    assert_false(policy_readers_valid(longest));
}

static void environment_names(void **state)
{
    static const char *const good[] = {"OPENAI_API_KEY", "A", "_KEY", "K2", "LDX", "PATHS", "ENVIRONMENT", "PYTHO", "PS5", "__"};
    static const char *const bad[] = {"", "_", "2K", "openai", "OPENAI-KEY", "A B", "A=B", "PATH", "IFS", "ENV", "BASH_ENV",
                                      "BASH",
                                      "LD_PRELOAD", "LD_", "LC_ALL", "SHELLOPTS", "PROMPT_COMMAND", "HOME", "UID", "NODE_OPTIONS",
                                      "PYTHONPATH", "PERL5LIB", "GIT_SSH_COMMAND", "TERMINFO_DIRS", "_JAVA_OPTIONS", "\xc3\x84",
                                      "LLMHOOK_X", "@", "[", "`", "A/", "A:"};
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        if (!policy_environment_valid(good[i]))
            fail_msg("%s should be fine", good[i]);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        if (policy_environment_valid(bad[i]))
            fail_msg("%s should be refused", bad[i]);
    }
    assert_true(policy_environment_valid(repeated('A', POLICY_ENVIRONMENT_SIZE - 1)));
    assert_false(policy_environment_valid(repeated('A', POLICY_ENVIRONMENT_SIZE)));
}

/* --- policy_resolve --- */

static void nothing_asked_is_nothing_given(void **state)
{
    struct policy policy;
    (void)state;
    memset(&policy, 0xff, sizeof policy);
    policy_resolve(NULL, NULL, &policy);
    assert_int_equal(policy.count, 0);
    assert_int_equal(policy.required, POLICY_FLAG_NO);
    assert_int_equal(policy.boot_credential, POLICY_FLAG_NO);
    assert_string_equal(policy.owner, "");
    assert_string_equal(policy.readers, "");
}

static void the_configuration_alone_gets_defaults(void **state)
{
    struct policy configured = {.owner = "alice", .readers = "root", .required = POLICY_FLAG_YES, .count = 2,
                                .keys = {{.provider = "openai"},
                                         {.provider = "other", .environment = "OTHER_KEY", .monthly_limit = 5,
                                          .rotate_ms = 3600000,
                                          .overlap_ms = 60000}}};
    struct policy policy;
    (void)state;
    policy_resolve(&configured, NULL, &policy);
    assert_int_equal(policy.count, 2);
    assert_string_equal(policy.owner, "alice");
    assert_string_equal(policy.readers, "root");
    assert_int_equal(policy.required, POLICY_FLAG_YES);
    assert_string_equal(policy.keys[0].provider, "openai");
    assert_string_equal(policy.keys[0].environment, "");
    assert_int_equal(policy.keys[0].monthly_limit, POLICY_DEFAULT_MONTHLY_LIMIT);
    assert_int_equal(policy.keys[0].rotate_ms, POLICY_NEVER);
    assert_int_equal(policy.keys[0].overlap_ms, POLICY_DEFAULT_OVERLAP_MS);
    assert_int_equal(policy.keys[1].overlap_ms, 60000);
    assert_string_equal(policy.keys[1].environment, "OTHER_KEY");
    assert_int_equal(policy.keys[1].monthly_limit, 5);
    assert_int_equal(policy.keys[1].rotate_ms, 3600000);
    /* Nothing is replaced in an overlap, so the usual one is no longer than what is asked for. */
    configured.keys[1].overlap_ms = 0;
    policy_resolve(&configured, NULL, &policy);
    assert_int_equal(policy.keys[1].overlap_ms, 3600000);
    configured.keys[1].rotate_ms = POLICY_DEFAULT_OVERLAP_MS + 1;
    policy_resolve(&configured, NULL, &policy);
    assert_int_equal(policy.keys[1].overlap_ms, POLICY_DEFAULT_OVERLAP_MS);
}

static void metadata_wins_and_falls_back_by_provider(void **state)
{
    struct policy configured = {.owner = "alice", .readers = "root", .required = POLICY_FLAG_YES,
                                .boot_credential = POLICY_FLAG_YES, .count = 2,
                                .keys = {{.provider = "openai", .environment = "CONF", .monthly_limit = 5, .rotate_ms = 7,
                                          .overlap_ms = 9,
                                          .on_stop = POLICY_FATE_SUSPEND, .on_save = POLICY_FATE_SUSPEND,
                                          .over_budget = POLICY_FATE_REVOKE},
                                         {.provider = "unasked", .monthly_limit = 6}}};
    struct policy metadata = {.owner = "bob", .readers = "everybody", .required = POLICY_FLAG_NO,
                              .boot_credential = POLICY_FLAG_NO, .count = 3,
                              .keys = {{.provider = "new"},
                                       {.provider = "openai"},
                                       {.provider = "full", .environment = "META", .monthly_limit = 8,
                                        .rotate_ms = POLICY_NEVER}}};
    struct policy policy;
    (void)state;
    policy_resolve(&configured, &metadata, &policy);
    assert_string_equal(policy.owner, "bob");
    assert_string_equal(policy.readers, "everybody");
    assert_int_equal(policy.required, POLICY_FLAG_NO);
    assert_int_equal(policy.boot_credential, POLICY_FLAG_NO);
    assert_int_equal(policy.count, 3);
    assert_string_equal(policy.keys[0].provider, "new");
    assert_int_equal(policy.keys[0].monthly_limit, POLICY_DEFAULT_MONTHLY_LIMIT);
    assert_int_equal(policy.keys[0].rotate_ms, POLICY_NEVER);
    assert_string_equal(policy.keys[1].provider, "openai");
    assert_string_equal(policy.keys[1].environment, "CONF");
    assert_int_equal(policy.keys[1].monthly_limit, 5);
    assert_int_equal(policy.keys[1].overlap_ms, 9);
    assert_int_equal(policy.keys[1].on_stop, POLICY_FATE_SUSPEND);
    assert_int_equal(policy.keys[1].on_save, POLICY_FATE_SUSPEND);
    assert_int_equal(policy.keys[1].over_budget, POLICY_FATE_REVOKE);
    assert_int_equal(policy.keys[0].on_stop, POLICY_FATE_DEFAULT); /* what the provider can decides */
    assert_int_equal(policy.keys[1].rotate_ms, 7);
    assert_string_equal(policy.keys[2].provider, "full");

    /* The same with nothing left open. */
    metadata.count = 1;
    metadata.keys[0] = (struct policy_key){.provider = "openai", .environment = "META", .monthly_limit = 8,
                                           .rotate_ms = POLICY_NEVER,
                                           .on_stop = POLICY_FATE_REVOKE, .on_save = POLICY_FATE_KEEP,
                                           .over_budget = POLICY_FATE_SUSPEND};
    policy_resolve(&configured, &metadata, &policy);
    assert_string_equal(policy.keys[0].environment, "META");
    assert_int_equal(policy.keys[0].monthly_limit, 8);
    assert_int_equal(policy.keys[0].on_stop, POLICY_FATE_REVOKE);
    assert_int_equal(policy.keys[0].on_save, POLICY_FATE_KEEP);
    assert_int_equal(policy.keys[0].over_budget, POLICY_FATE_SUSPEND);
    assert_int_equal(policy.keys[0].rotate_ms, POLICY_NEVER);
}

static void metadata_leaves_open_what_the_configuration_says(void **state)
{
    struct policy configured = {.owner = "alice", .readers = "root", .required = POLICY_FLAG_YES,
                                .boot_credential = POLICY_FLAG_YES};
    struct policy metadata = {.count = 1, .keys = {{.provider = "openai"}}};
    struct policy policy;
    (void)state;
    policy_resolve(&configured, &metadata, &policy);
    assert_string_equal(policy.owner, "alice");
    assert_string_equal(policy.readers, "root");
    assert_int_equal(policy.required, POLICY_FLAG_YES);
    assert_int_equal(policy.boot_credential, POLICY_FLAG_YES);
    assert_int_equal(policy.count, 1);
    policy_resolve(NULL, &metadata, &policy);
    assert_string_equal(policy.owner, "");
    assert_int_equal(policy.required, POLICY_FLAG_NO);
    assert_int_equal(policy.count, 1);
}

static void metadata_without_keys_opts_out(void **state)
{
    struct policy configured = {.count = 1, .keys = {{.provider = "openai"}}};
    struct policy metadata = {.count = 0};
    struct policy policy;
    (void)state;
    policy_resolve(&configured, &metadata, &policy);
    assert_int_equal(policy.count, 0);
}

static void the_result_may_be_one_of_the_sources(void **state)
{
    struct policy configured = {.owner = "alice", .count = 1, .keys = {{.provider = "openai", .monthly_limit = 5}}};
    struct policy metadata = {.count = 1, .keys = {{.provider = "openai"}}};
    (void)state;
    policy_resolve(&configured, &metadata, &metadata);
    assert_string_equal(metadata.owner, "alice");
    assert_int_equal(metadata.keys[0].monthly_limit, 5);
    policy_resolve(&configured, NULL, &configured);
    assert_int_equal(configured.keys[0].rotate_ms, POLICY_NEVER);
}

/* --- names --- */

#define CHECK_NAMES(type, name_of, parse, ...)                                       \
    do {                                                                             \
        static const char *const words[] = {__VA_ARGS__};                            \
        enum type value;                                                             \
        for (unsigned i = 0; i < COUNT(words); i++) {                                \
            assert_string_equal(name_of((enum type)i), words[i]);                    \
            value = (enum type)(i + 1);                                              \
            assert_true(parse(words[i], &value));                                    \
            assert_int_equal(value, i);                                              \
        }                                                                            \
        assert_string_equal(name_of((enum type)COUNT(words)), "invalid");            \
        value = (enum type)1;                                                        \
        assert_false(parse("invalid", &value));                                      \
        assert_false(parse("", &value));                                             \
        assert_int_equal(value, 1);                                                  \
    } while (0)

static void names_of_records(void **state)
{
    (void)state;
    CHECK_NAMES(key_state, key_state_name, key_state_parse, "planned", "minting", "minted", "active", "suspended", "retiring",
                "revoking", "revoked");
    CHECK_NAMES(container_kind, container_kind_name, container_kind_parse, "per-domain", "per-owner", "given");
    CHECK_NAMES(container_state, container_state_name, container_state_parse, "planned", "creating", "open", "archiving",
                "archived");
    CHECK_NAMES(pool_state, pool_state_name, pool_state_parse, "free", "claimed", "spent");
    CHECK_NAMES(stop_reason, stop_reason_name, stop_reason_parse, "none", "unknown", "shutdown", "destroyed", "crashed",
                "migrated", "saved", "failed", "from snapshot", "daemon");
}

static void names_of_outcomes(void **state)
{
    static const char *const words[] = {"ok", "gone", "refused", "unauthorized", "unreachable", "throttled", "unsupported",
                                        "unknown"};
    (void)state;
    for (unsigned i = 0; i < COUNT(words); i++)
        assert_string_equal(outcome_name((enum outcome)i), words[i]);
    assert_string_equal(outcome_name((enum outcome)COUNT(words)), "unknown");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(dollars_are_micro_dollars),
        cmocka_unit_test(bad_dollars_say_what_to_write),
        cmocka_unit_test(an_error_quotes_little_and_in_plain_characters),
        cmocka_unit_test(durations_are_milliseconds),
        cmocka_unit_test(bad_durations_say_what_to_write),
        cmocka_unit_test(a_rotation_takes_an_hour_or_more),
        cmocka_unit_test(an_overlap_is_at_most_a_month),
        cmocka_unit_test(each_fate_is_one_of_two),
        cmocka_unit_test(flags_are_yes_or_no),
        cmocka_unit_test(provider_names),
        cmocka_unit_test(owners),
        cmocka_unit_test(readers),
        cmocka_unit_test(environment_names),
        cmocka_unit_test(nothing_asked_is_nothing_given),
        cmocka_unit_test(the_configuration_alone_gets_defaults),
        cmocka_unit_test(metadata_wins_and_falls_back_by_provider),
        cmocka_unit_test(metadata_leaves_open_what_the_configuration_says),
        cmocka_unit_test(metadata_without_keys_opts_out),
        cmocka_unit_test(the_result_may_be_one_of_the_sources),
        cmocka_unit_test(names_of_records),
        cmocka_unit_test(names_of_outcomes),
    };
    return check_run(tests);
}
