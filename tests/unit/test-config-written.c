/* What is written about the configuration: the example that is installed, and the manual. */
#include "config-fixture.h"

#include "config/draft.h"

static void check_daemon_as_without_a_file(const struct config *config)
{
    cleanup_config struct config *fresh = config_new();
    assert_string_equal(config->daemon.libvirt_uri, fresh->daemon.libvirt_uri);
    assert_string_equal(config->daemon.state_directory, fresh->daemon.state_directory);
    assert_string_equal(config->daemon.socket, fresh->daemon.socket);
    assert_string_equal(config->daemon.seal_key, fresh->daemon.seal_key);
    assert_string_equal(config->daemon.host_id, fresh->daemon.host_id);
    assert_int_equal(config->daemon.required_deadline_ms, fresh->daemon.required_deadline_ms);
    assert_int_equal(config->daemon.undefine_grace_ms, fresh->daemon.undefine_grace_ms);
    assert_int_equal(config->daemon.start_grace_ms, fresh->daemon.start_grace_ms);
    assert_int_equal(config->daemon.audit_interval_ms, fresh->daemon.audit_interval_ms);
    assert_int_equal(config->daemon.log_level, fresh->daemon.log_level);
    assert_int_equal(config->daemon.agent_workers, fresh->daemon.agent_workers);
}

/* A file of the source tree. */
static const char *read_source(const char *name, char *text, size_t size)
{
    const char *source = getenv("srcdir");
    char full[512];
    snprintf(full, sizeof full, "%s/%s", source ? source : ".", name);
    FILE *file = fopen(full, "r");
    if (!file)
        fail_msg("%s cannot be opened", full);
    size_t length = fread(text, 1, size - 1, file);
    fclose(file);
    assert_true(length > 0 && length < size - 1);
    text[length] = '\0';
    return text;
}

/* As it is, and with every line that is commented out put in force. */
static void the_example_is_good(void **state)
{
    char text[8192], active[8192] = "";
    (void)state;
    read_source("packaging/llmhook.conf", text, sizeof text);
    cleanup_config struct config *config = parse(text);
    check_daemon_as_without_a_file(config);
    assert_int_equal(config->providers_count, 0);
    assert_int_equal(config->policies_count, 0);

    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        const char *key = line[0] == '#' ? line + 1 + (line[1] == ' ') : line;
        /* Code begins with a section or has = behind its first word; a sentence does not. */
        const char *second = strchr(key, ' ');
        if (key[0] == '[' || (second && second[1] == '='))
            strcat(strcat(active, key), "\n");
    }
    cleanup_config struct config *full = parse(active);
    check_daemon_as_without_a_file(full);
    assert_int_equal(full->providers_count, 3);
    assert_int_equal(full->providers[0].rates_count, 1);
    assert_int_equal(full->policies_count, 2);
    assert_int_equal(config_policy_for(full, "build-1")->count, 0);
    assert_int_equal(config_policy_for(full, "dev-1")->count, 1);
}

static void the_manuals_example_is_good(void **state)
{
    static const char begin[] = ".Bd -literal -offset indent\n[provider openai]";
    char text[32 * 1024];
    (void)state;
    read_source("src/config/llmhook.conf.5", text, sizeof text);
    char *example = strstr(text, begin);
    assert_non_null(example);
    example = strchr(example, '\n') + 1;
    *strstr(example, ".Ed\n") = '\0';
    cleanup_config struct config *config = parse(example);
    assert_int_equal(config_policy_for(config, "dev-build-1")->count, 0);
    assert_int_equal(config_policy_for(config, "dev-1")->keys[0].monthly_limit, 20000000);
    assert_int_equal(config_policy_for(config, "ci-1")->required, POLICY_FLAG_YES);
    assert_int_equal(config_provider(config, "openai")->rates[0].requests_per_minute, 500);
}

static void the_manual_has_every_key(void **state)
{
    char text[32 * 1024], item[128];
    (void)state;
    read_source("src/config/llmhook.conf.5", text, sizeof text);
    for (unsigned kind = 0; kind < DRAFT_KINDS; kind++) {
        for (const struct draft_key *key = draft_keys[kind]; key->name; key++) {
            snprintf(item, sizeof item, "\n.It Ic %s\n", key->name);
            if (!strstr(text, item))
                fail_msg("the manual does not explain %s", key->name);
        }
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_is_good),
        cmocka_unit_test(the_manuals_example_is_good),
        cmocka_unit_test(the_manual_has_every_key),
    };
    return check_run(tests);
}
