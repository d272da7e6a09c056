/* The configuration file: every key, good and bad, with the exact text of the error. */
#include "config-fixture.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- what is good --- */

static void check_defaults_of_daemon(const struct config *config)
{
    assert_string_equal(config->daemon.libvirt_uri, "qemu:///system");
    assert_string_equal(config->daemon.state_directory, "/var/lib/llmhook");
    assert_string_equal(config->daemon.socket, "/run/llmhookd/socket");
    assert_string_equal(config->daemon.seal_key, "/var/lib/llmhook/seal.key");
    assert_string_equal(config->daemon.host_id, "");
    assert_int_equal(config->daemon.required_deadline_ms, 10000);
    assert_int_equal(config->daemon.undefine_grace_ms, 10000);
    assert_int_equal(config->daemon.start_grace_ms, 120000);
    assert_int_equal(config->daemon.audit_interval_ms, 86400000);
    assert_int_equal(config->daemon.log_level, LOG_LEVEL_INFO);
    assert_int_equal(config->daemon.agent_workers, 8);
}

static void check_defaults(const struct config *config)
{
    check_defaults_of_daemon(config);
    assert_int_equal(config->providers_count, 0);
    assert_int_equal(config->policies_count, 0);
    assert_null(config_policy_for(config, "dev-1"));
    assert_null(config_provider(config, "openai"));
}

static void nothing_is_on_by_default(void **state)
{
    static const char *const empty[] = {"", "\n\n", "# only a comment", "[daemon]", "\xef\xbb\xbf[daemon]\r\n"};
    (void)state;
    for (size_t i = 0; i < COUNT(empty); i++) {
        cleanup_config struct config *config = parse(empty[i]);
        check_defaults(config);
    }
    cleanup_config struct config *fresh = config_new();
    check_defaults(fresh);
    config_free(NULL);
}

static void every_key_of_the_daemon(void **state)
{
    cleanup_config struct config *config = parse("[daemon]\n"
                                                 "libvirt-uri = qemu+unix:///session?socket=/run/x\n"
                                                 "state-directory = /srv/llmhook//\n"
                                                 "socket = /run/other\n"
                                                 "host-id = rack-7\n"
                                                 "required-deadline = 30s\n"
                                                 "undefine-grace = 0s\n"
                                                 "start-grace = 5min\n"
                                                 "audit-interval = never\n"
                                                 "log-level = debug\n"
                                                 "agent-workers = 64\n");
    (void)state;
    assert_string_equal(config->daemon.libvirt_uri, "qemu+unix:///session?socket=/run/x");
    assert_string_equal(config->daemon.state_directory, "/srv/llmhook");
    assert_string_equal(config->daemon.socket, "/run/other");
    assert_string_equal(config->daemon.seal_key, "/srv/llmhook/seal.key");
    assert_string_equal(config->daemon.host_id, "rack-7");
    assert_int_equal(config->daemon.required_deadline_ms, 30000);
    assert_int_equal(config->daemon.undefine_grace_ms, 0);
    assert_int_equal(config->daemon.start_grace_ms, 300000);
    assert_int_equal(config->daemon.audit_interval_ms, 0);
    assert_int_equal(config->daemon.log_level, LOG_LEVEL_DEBUG);
    assert_int_equal(config->daemon.agent_workers, 64);
}

static void seal_keys_and_levels(void **state)
{
    static const struct {
        const char *word;
        enum log_level level;
    } levels[] = {{"error", LOG_LEVEL_ERROR}, {"warning", LOG_LEVEL_WARNING}, {"notice", LOG_LEVEL_NOTICE},
                  {"info", LOG_LEVEL_INFO}};
    char text[128];
    (void)state;
    cleanup_config struct config *file = parse("[daemon]\nseal-key = /etc/llmhook/seal\n");
    assert_string_equal(file->daemon.seal_key, "/etc/llmhook/seal");
    cleanup_config struct config *credential = parse("[daemon]\nseal-key = credential:seal\n");
    assert_string_equal(credential->daemon.seal_key, "credential:seal");
    cleanup_config struct config *root = parse("[daemon]\nstate-directory = /\n");
    assert_string_equal(root->daemon.seal_key, "/seal.key");
    for (size_t i = 0; i < COUNT(levels); i++) {
        snprintf(text, sizeof text, "[daemon]\nlog-level = %s\n", levels[i].word);
        cleanup_config struct config *config = parse(text);
        assert_int_equal(config->daemon.log_level, levels[i].level);
    }
}

static void every_key_of_a_provider(void **state)
{
    cleanup_config struct config *config = parse("[provider work]\n"
                                                 "type = openai\n"
                                                 "admin-key = file:/etc/llmhook/work.key\n"
                                                 "base-url = http://127.0.0.1:8080/v1/\n"
                                                 "guest-base-url = http://gateway.lan:8080/v1/\n"
                                                 "ca-file = /etc/ssl/work.pem\n"
                                                 "project = proj_AbC-1\n"
                                                 "environment = WORK_KEY\n"
                                                 "timeout = 200ms\n"
                                                 "rate-limit = gpt-4o requests-per-minute=500 tokens-per-minute=30000\n"
                                                 "rate-limit = ft:o3-mini/x.1\ttokens-per-minute=1\n"
                                                 "[provider openai]\n"
                                                 "admin-key = env:OPENAI_ADMIN_KEY\n"
                                                 "project = per-owner\n");
    (void)state;
    assert_int_equal(config->providers_count, 2);
    const struct provider_settings *work = config_provider(config, "work");
    assert_non_null(work);
    assert_string_equal(work->name, "work");
    assert_string_equal(work->type, "openai");
    assert_string_equal(work->admin_key, "file:/etc/llmhook/work.key");
    assert_string_equal(work->base_url, "http://127.0.0.1:8080/v1");
    assert_string_equal(work->guest_base_url, "http://gateway.lan:8080/v1");
    assert_string_equal(work->ca_file, "/etc/ssl/work.pem");
    assert_string_equal(work->project, "proj_AbC-1");
    assert_string_equal(work->environment, "WORK_KEY");
    assert_int_equal(work->timeout_ms, 200);
    assert_int_equal(work->rates_count, 2);
    assert_string_equal(work->rates[0].model, "gpt-4o");
    assert_int_equal(work->rates[0].requests_per_minute, 500);
    assert_int_equal(work->rates[0].tokens_per_minute, 30000);
    assert_string_equal(work->rates[1].model, "ft:o3-mini/x.1");
    assert_int_equal(work->rates[1].requests_per_minute, 0);
    assert_int_equal(work->rates[1].tokens_per_minute, 1);

    const struct provider_settings *openai = config_provider(config, "openai");
    assert_non_null(openai);
    assert_string_equal(openai->type, "openai");
    assert_string_equal(openai->base_url, "");
    assert_string_equal(openai->guest_base_url, "");
    assert_string_equal(openai->ca_file, "");
    assert_string_equal(openai->environment, "");
    assert_string_equal(openai->project, "per-owner");
    assert_int_equal(openai->timeout_ms, 30000);
    assert_int_equal(openai->rates_count, 0);
    assert_null(config_provider(config, "anthropic"));
}

static void every_key_of_a_policy(void **state)
{
    cleanup_config struct config *config = parse("[policy dev-*]\n"
                                                 "providers = openai \t work\n"
                                                 "monthly-limit = 12.50 USD\n"
                                                 "rotate = 30d\n"
                                                 "overlap = 6h\n"
                                                 "on-stop = suspend\n"
                                                 "on-save = suspend\n"
                                                 "over-budget = revoke\n"
                                                 "required = yes\n"
                                                 "boot-credential = yes\n"
                                                 "owner = alice@example.com\n"
                                                 "readers = group:dev\n"
                                                 "[provider openai]\nadmin-key = env:A\n"
                                                 "[provider work]\ntype = openai\nadmin-key = env:A\nenvironment = WORK_KEY\n");
    (void)state;
    const struct policy *policy = config_policy_for(config, "dev-1");
    assert_non_null(policy);
    assert_int_equal(policy->count, 2);
    assert_string_equal(policy->keys[0].provider, "openai");
    assert_string_equal(policy->keys[1].provider, "work");
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(policy->keys[i].monthly_limit, 12500000);
        assert_int_equal(policy->keys[i].rotate_ms, INT64_C(2592000000));
        assert_int_equal(policy->keys[i].overlap_ms, INT64_C(21600000));
        assert_int_equal(policy->keys[i].on_stop, POLICY_FATE_SUSPEND);
        assert_int_equal(policy->keys[i].on_save, POLICY_FATE_SUSPEND);
        assert_int_equal(policy->keys[i].over_budget, POLICY_FATE_REVOKE);
        assert_string_equal(policy->keys[i].environment, "");
    }
    assert_int_equal(policy->required, POLICY_FLAG_YES);
    assert_int_equal(policy->boot_credential, POLICY_FLAG_YES);
    assert_string_equal(policy->owner, "alice@example.com");
    assert_string_equal(policy->readers, "group:dev");
}

static void the_first_matching_policy_holds(void **state)
{
    cleanup_config struct config *config = parse("[policy dev-secret]\n" /* has no key: gets nothing */
                                                 "[policy  dev-? ]\nowner = one\n"
                                                 "[policy dev-*]\nowner = many\n"
                                                 "[policy my vm]\nowner = spaced\n"
                                                 "[policy *.example]\nowner = dotted\n");
    (void)state;
    assert_int_equal(config->policies_count, 5);
    assert_string_equal(config_policy_for(config, "dev-secret")->owner, "");
    assert_int_equal(config_policy_for(config, "dev-secret")->count, 0);
    assert_string_equal(config_policy_for(config, "dev-1")->owner, "one");
    assert_string_equal(config_policy_for(config, "dev-12")->owner, "many");
    assert_string_equal(config_policy_for(config, "my vm")->owner, "spaced");
    assert_string_equal(config_policy_for(config, ".a.example")->owner, "dotted");
    assert_null(config_policy_for(config, "Dev-1"));
    assert_null(config_policy_for(config, "xdev-1"));
}

static void comments_end_values(void **state)
{
    cleanup_config struct config *config = parse("# one\n; two\n   # three\n\t; four\n"
                                                 "[provider openai] # the only one\n"
                                                 "admin-key = credential:openai-admin     # or env:OPENAI_ADMIN_KEY; or file:\n"
                                                 "project\t=  p1\t;per-owner\r\n"
                                                 "[daemon] ; here\n"
                                                 "socket = /run/a#b;c ;d\n"
                                                 "# a comment may be as long as it likes "
                                                 "----------------------------------------------------------"
                                                 "------------------------------------------------"
                                                 "-------------------------------------------------"
                                                 "------------------------------------------------"
                                                 "-------------------------------------------------\n"
                                                 "host-id = a # -----------------------------------------"
                                                 "------------------------------------------"
                                                 "------------------------------------------------"
                                                 "-------------------------------------------------"
                                                 "------------------------------------------------"
                                                 "-------------------------------------------------\n"
                                                 "agent-workers = 3");
    (void)state;
    assert_string_equal(config->providers[0].admin_key, "credential:openai-admin");
    assert_string_equal(config->providers[0].project, "p1");
    assert_string_equal(config->daemon.socket, "/run/a#b;c");
    assert_string_equal(config->daemon.host_id, "a");
    assert_int_equal(config->daemon.agent_workers, 3);
}

/* --- what is bad --- */

static void bad_lines(void **state)
{
    static const struct {
        const char *text, *wrong;
    } bad[] = {
        {"socket = /x\n", "f.conf:1: 'socket' stands before any section: write [daemon], [vault], [alerts], [provider NAME], "
                          "[owner NAME] or [policy PATTERN] above it"},
        {"\n[daemon]\nsocket\n", "f.conf:3: this is neither a section nor a key: write [SECTION] or KEY = VALUE"},
        {"[daemon]\nsocket: /x\n", "f.conf:2: there is a ':' before any '=': write KEY = VALUE"},
        {"[daemon]\nsocket: a=b\n", "f.conf:2: there is a ':' before any '=': write KEY = VALUE"},
        {"[daemon]\n= /x\n", "f.conf:2: there is no key before '=': write KEY = VALUE"},
        {"[daemon]\nsocket =\n", "f.conf:2: the key has no value: write one behind '=' or remove the line"},
        {"[daemon]\nsocket = # none\n", "f.conf:2: the key has no value: write one behind '=' or remove the line"},
        {"[daemon]\nsocket = \"/x\"\n", "f.conf:2: the value is quoted: write it without quotes"},
        {"[daemon]\nsocket = '/x'\n", "f.conf:2: the value is quoted: write it without quotes"},
        {"[policy *]\nproviders = openai\n  anthropic\n",
         "f.conf:2: providers: 'openai' has no section: write [provider openai] with its admin-key, or take it out"},
        {"[daemon]\nsocket = /x\n  /y\n",
         "f.conf:3: the line begins with white space: write each key at the beginning of its line, its value all in one line"},
        {"[daemon]\n\tsocket = /x\n",
         "f.conf:2: the line begins with white space: write each key at the beginning of its line, its value all in one line"},
        {"[daemon]\nsocket = /x\x01\n", "f.conf:2: there is a control character: remove it"},
        {"[daemon]\nsocket = /x\rsocket = /y\n", "f.conf:2: there is a control character: remove it"},
        {"[daemon]\nsocket = /x\x7f\n", "f.conf:2: there is a control character: remove it"},
        {"[daemon\n", "f.conf:1: '[' without ']': write [daemon], [vault], [alerts], [provider NAME], [owner NAME] or [policy "
                      "PATTERN]"},
        {"[daemon] socket = /x\n",
         "f.conf:1: there is something behind ']': a section stands alone on its line, and has no ']' in its name"},
        {"[policy dev-[ab]*]\n",
         "f.conf:1: there is something behind ']': a section stands alone on its line, and has no ']' in its name"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++)
        check_refused(bad[i].text, bad[i].wrong);
}

#define LONG_32 "abcdefghijklmnopqrstuvwxyz-12345"

/* libinih cuts them at 49 bytes; ours are as long as each kind of name may be. */
static void names_of_sections_are_as_long_as_they_may_be(void **state)
{
    cleanup_config struct config *longest = parse("[provider " LONG_32 "]\ntype = openai\nadmin-key = env:A\n"
                                                  "[owner " LONG_32 LONG_32 "]\nmonthly-limit = 1\n"
                                                  "[policy " LONG_32 LONG_32 "  ]\n");
    (void)state;
    assert_string_equal(longest->providers[0].name, LONG_32);
    assert_int_equal(config_owner_limit(longest, LONG_32 LONG_32), 1000000);
    assert_string_equal(longest->policies[0].glob, LONG_32 LONG_32);
    check_refused("[provider " LONG_32 "6]\n", "f.conf:1: '" LONG_32 "6' is not a provider's name...");
    check_refused("[owner " LONG_32 LONG_32 "6]\n", "f.conf:1: '" LONG_32 LONG_32 "6' is not an owner: write [owner NAME] with "
                                                   "letters, digits and . _ @ + -, at most 64");
    check_refused("[policy " LONG_32 LONG_32 "*]\n", "f.conf:1: the pattern '" LONG_32 LONG_32 "*' is longer than 64 bytes: "
                                                    "write a shorter one, with * and ? for what varies");
}

/* libinih's buffer is 200 bytes unless a distribution chose otherwise; what fits must arrive whole. */
static void long_lines_are_refused_and_never_cut(void **state)
{
    char text[1024], path[512];
    (void)state;
    memset(path, 'a', sizeof path);
    path[0] = '/';
    path[197 - strlen("ca-file=")] = '\0';
    snprintf(text, sizeof text, "[provider openai]\nadmin-key=env:A\nca-file=%s\n", path);
    cleanup_config struct config *config = parse(text);
    assert_string_equal(config->providers[0].ca_file, path);
    path[197 - strlen("ca-file=")] = 'a';
    path[198 - strlen("ca-file=")] = '\0';
    snprintf(text, sizeof text, "[provider openai]\nadmin-key=env:A\nca-file=%s\n[oops]\n", path);
    check_refused(text, "f.conf:3: the line is too long: shorten it");
}

static void bad_sections(void **state)
{
    static const struct {
        const char *text, *wrong;
    } bad[] = {
        {"[]\n", "f.conf:1: there is no section []: write [daemon], [vault], [alerts], [provider NAME], [owner NAME] or [policy "
                 "PATTERN]"},
        {"[demon]\nsocket = /x\n", "f.conf:1: there is no section [demon]: write [daemon], [vault], [alerts], [provider NAME], "
                                   "[owner NAME] or [policy PATTERN]"},
        {"[Daemon]\n", "f.conf:1: there is no section [Daemon]: write [daemon], [vault], [alerts], [provider NAME], [owner NAME] "
                       "or [policy PATTERN]"},
        {"[daemon x]\n", "f.conf:1: there is no section [daemon x]: write [daemon], [vault], [alerts], [provider NAME], [owner "
                         "NAME] or [policy PATTERN]"},
        {"[providers openai]\n", "f.conf:1: there is no section [providers openai]: write [daemon], [vault], [alerts], [provider "
                                 "NAME], [owner NAME] or [policy PATTERN]"},
        {"[provider]\n", "f.conf:1: '' is not a provider's name: write [provider NAME] with letters, digits, - and _, beginning "
                         "with a letter, at most 32"},
        {"[provider 2nd]\n", "f.conf:1: '2nd' is not a provider's name: write [provider NAME] with letters, digits, - and _, "
                             "beginning with a letter, at most 32"},
        {"[provider a b]\n", "f.conf:1: 'a b' is not a provider's name: write [provider NAME] with letters, digits, - and _, "
                             "beginning with a letter, at most 32"},
        {"[policy]\n", "f.conf:1: '' is not a pattern for domain names: write [policy PATTERN] with * and ? for what varies, a "
                       "section for each"},
        {"[policy a[b]\n", "f.conf:1: 'a[b' is not a pattern for domain names: write [policy PATTERN] with * and ? for what "
                           "varies, a section for each"},
        {"[policy a\\*]\n", "f.conf:1: 'a\\*' is not a pattern for domain names: write [policy PATTERN] with * and ? for what "
                            "varies, a section for each"},
        {"[policy dev-*, ci-*]\n", "f.conf:1: 'dev-*, ci-*' is not a pattern for domain names: write [policy PATTERN] with * and ? "
                                   "for what varies, a section for each"},
        {"[policy ^dev-.*$]\n", "f.conf:1: '^dev-.*$' is not a pattern for domain names: write..."},
        {"[policy dev-.*$]\n", "f.conf:1: 'dev-.*$' is not a pattern for domain names: write..."},
        {"[daemon]\n\n[daemon]\n", "f.conf:3: this section stands in line 1 already: put all of it there"},
        {"[policy a]\n[policy b]\n[policy a ]\n", "f.conf:3: this section stands in line 1 already: put all of it there"},
        {"[provider openai]\nadmin-key = env:A\n[provider openai]\n",
         "f.conf:3: this section stands in line 1 already: put all of it there"},
        {"[provider openai]\n", "f.conf:1: this provider has no admin-key: write admin-key = credential:NAME, env:NAME or "
                                "file:/PATH below it"},
        {"[provider mine]\nadmin-key = env:A\n",
         "f.conf:1: 'mine' is not a type of provider that llmhook knows: write type = openai..."},
        {"[daemon]\nsockets = /x\n",
         "f.conf:2: a daemon section has no key 'sockets': write libvirt-uri, state-directory, socket, seal-key, host-id, "
         "required-deadline, undefine-grace, start-grace, audit-interval, usage-interval, prices, host-monthly-limit, log-level "
         "or agent-workers"},
        {"[provider openai]\napi-key = canary\n",
         "f.conf:1: this provider has no admin-key: write admin-key = credential:NAME, env:NAME or file:/PATH below it"},
        {"[provider openai]\nadmin-key = env:A\napi-key = canary\n",
         "f.conf:3: a provider section has no key 'api-key': write type, admin-key, key, ..."},
        {"[policy *]\nprovider = openai\n",
         "f.conf:2: a policy section has no key 'provider': write providers, monthly-limit, rotate, overlap, on-stop, on-save, "
         "over-budget, required, boot-credential, owner or readers"},
        {"[daemon]\nsocket = /x\nsocket = /y\n", "f.conf:3: socket: it stands in line 2 already: write it once"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++)
        check_refused(bad[i].text, bad[i].wrong);
}

static void bad_values_of_the_daemon(void **state)
{
    static const struct {
        const char *line, *wrong;
    } bad[] = {
        {"libvirt-uri = system", "libvirt-uri: 'system' is not a libvirt URI: write one like qemu:///system"},
        {"libvirt-uri = qemu:/// x", "libvirt-uri: 'qemu:/// x' is not a libvirt URI: write one like qemu:///system"},
        {"state-directory = var", "state-directory: 'var' is not an absolute path: write one that begins with /"},
        {"socket = run/socket", "socket: 'run/socket' is not an absolute path: write one that begins with /"},
        {"socket = /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
         "socket: the value is longer than 107 bytes: shorten it"},
        {"seal-key = canary", "seal-key: this names no seal key: write an absolute path or credential:NAME, never the key "
                              "itself"},
        {"host-id = Rack7", "host-id: 'Rack7' is not a host's id: write 1 to 16 of a-z, 0-9 and -"},
        {"host-id = aaaaaaaaaaaaaaaaa", "host-id: 'aaaaaaaaaaaaaaaaa' is not a host's id: write 1 to 16 of a-z, 0-9 and -"},
        {"required-deadline = 10", "required-deadline: '10' has no unit: write it with ms, s, min, h or d, like 30d"},
        {"required-deadline = never", "required-deadline: 'never' is out of range: write between 100ms and 10min"},
        {"required-deadline = 11min", "required-deadline: '11min' is out of range: write between 100ms and 10min"},
        {"required-deadline = 99ms", "required-deadline: '99ms' is out of range: write between 100ms and 10min"},
        {"undefine-grace = 25h", "undefine-grace: '25h' is out of range: write between 0s and 1d"},
        {"audit-interval = 5s", "audit-interval: '5s' is out of range: write between 1min and 30d"},
        {"start-grace = 0s", "start-grace: '0s' is out of range: write between 1s and 1d"},
        {"log-level = verbose", "log-level: 'verbose' is not a level: write error, warning, notice, info or debug"},
        {"agent-workers = 0", "agent-workers: '0' is not a number from 1 to 64"},
        {"agent-workers = 65", "agent-workers: '65' is not a number from 1 to 64"},
        {"agent-workers = -1", "agent-workers: '-1' is not a number from 1 to 64"},
        {"agent-workers = 18446744073709551617", "agent-workers: '18446744073709551617' is not a number from 1 to 64"},
        {"agent-workers = 4x", "agent-workers: '4x' is not a number from 1 to 64"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        char text[512], wrong[600];
        snprintf(text, sizeof text, "# a line\n[daemon]\n%s\n", bad[i].line);
        snprintf(wrong, sizeof wrong, "f.conf:3: %s", bad[i].wrong);
        check_refused(text, wrong);
    }
    check_refused("[daemon]\nseal-key = credential:a/b\n",
                  "f.conf:2: seal-key: after credential: comes a name of letters, digits, '.', '_' and '-', as in "
                  "credential:openai-admin");
}

static void bad_values_of_a_provider(void **state)
{
    static const struct {
        const char *line, *wrong;
    } bad[] = {
        {"type = nothing", "type: 'nothing' is not a type of provider that llmhook knows: write openai..."},
        {"ca-file = ca.pem", "ca-file: 'ca.pem' is not an absolute path: write one that begins with /"},
        {"base-url = https://user:canary@example.com/v1",
         "base-url: a base URL has no '?', '#', '@' or space: write it like https://api.example.com/v1"},
        {"base-url = https://example.com/v1?x=y",
         "base-url: a base URL has no '?', '#', '@' or space: write it like https://api.example.com/v1"},
        {"project = per-domian", "project: 'per-domian' is not a project: write per-domain, per-owner or the id of one that "
                                 "exists"},
        {"project = per_owner", "project: 'per_owner' is not a project: write per-domain, per-owner or the id of one that "
                                "exists"},
        {"project = a/b", "project: 'a/b' is not a project: write per-domain, per-owner or the id of one that exists"},
        {"project = -a", "project: '-a' is not a project: write per-domain, per-owner or the id of one that exists"},
        {"environment = PATH",
         "environment: this cannot be the key's variable: write capitals, digits and _, and no name that shells act on"},
        {"environment = KEY=canary",
         "environment: this cannot be the key's variable: write capitals, digits and _, and no name that shells act on"},
        {"timeout = 1h", "timeout: '1h' is out of range: write between 100ms and 10min"},
        {"rate-limit = gpt-4o", "rate-limit: 'gpt-4o' has no limit: write requests-per-minute=N, tokens-per-minute=N or both "
                                "behind it"},
        {"rate-limit = requests-per-minute=5",
         "rate-limit: 'requests-per-minute=5' is not a model: write MODEL requests-per-minute=N tokens-per-minute=N"},
        {"rate-limit = gpt-4o rpm=5", "rate-limit: 'rpm=5' is no limit: write requests-per-minute=N or tokens-per-minute=N"},
        {"rate-limit = gpt-4o requests-per-minute=0", "rate-limit: '0' is not a number from 1 to 1000000000000"},
        {"rate-limit = gpt-4o requests-per-minute=", "rate-limit: '' is not a number from 1 to 1000000000000"},
        {"rate-limit = gpt-4o requests-per-minute=5 requests-per-minute=6",
         "rate-limit: 'requests-per-minute=6' comes second: write each number once"},
        {"rate-limit = aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa tokens-per-minute=1",
         "rate-limit: the value is longer than 64 bytes: shorten it"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        char text[512], wrong[600];
        snprintf(text, sizeof text, "[provider openai]\nadmin-key = env:A\n%s\n", bad[i].line);
        snprintf(wrong, sizeof wrong, "f.conf:3: %s", bad[i].wrong);
        check_refused(text, wrong);
    }
    check_refused("[provider openai]\nadmin-key = env:A\nrate-limit = m tokens-per-minute=1\nrate-limit = m "
                  "tokens-per-minute=2\n",
                  "f.conf:4: rate-limit: model 'm' has a limit already: write both numbers in one line");
}

/* What these two say is for their own tests to hold; here: that they are asked, and the key is not told. */
static void references_and_urls_are_checked_by_their_owners(void **state)
{
    struct error err = ERROR_INIT;
    struct config *config = NULL;
    static const char key[] = "[provider openai]\nadmin-key = sk-admin-canary\n";
    static const char plain[] = "[provider openai]\nadmin-key = env:A\nbase-url = http://api.example.com/v1\n";
    (void)state;
    assert_false(config_parse("f.conf", key, sizeof key - 1, &config, &err));
    check_error(err, ERROR_INVALID, "f.conf:2: admin-key: this is not a reference to a credential");
    assert_null(strstr(err.text, "canary"));
    assert_false(config_parse("f.conf", plain, sizeof plain - 1, &config, &err));
    check_error(err, ERROR_INVALID, "f.conf:3: base-url: ");
    check_error(err, ERROR_INVALID, "https");
}

static void bad_values_of_a_policy(void **state)
{
    static const struct {
        const char *line, *wrong;
    } bad[] = {
        {"providers = openai, work", "providers: 'openai,' is not a provider's name: write names separated by spaces"},
        {"providers = openai openai", "providers: 'openai' is there twice: write it once"},
        {"providers = anthropic",
         "providers: 'anthropic' has no section: write [provider anthropic] with its admin-key, or take it out"},
        {"providers = openai same",
         "providers: 'openai' and 'same' would be the same variable in the guest: write another environment = into one of their "
         "sections"},
        {"providers = openai usual",
         "providers: 'openai' and 'usual' would be the same variable in the guest: write another environment = into one of their "
         "sections"},
        {"providers = one other",
         "providers: 'one' and 'other' would be the same variable in the guest: write another environment = into one of their "
         "sections"},
        {"monthly-limit = 5", "monthly-limit: it does nothing without providers: write providers = NAME"},
        {"rotate = 1d", "rotate: it does nothing without providers: write providers = NAME"},
        {"monthly-limit = many", "monthly-limit: 'many' is not an amount of US dollars: write it like 100 or 12.50"},
        {"rotate = 30", "rotate: '30' has no unit: write it with ms, s, min, h or d, like 30d"},
        {"overlap = 31d", "overlap: '31d' would keep two keys alive for too long: write 30d or less, or 0s for no overlap"},
        {"on-stop = keep", "on-stop: 'keep' is not what can become of a key whose domain stops: write suspend or revoke"},
        {"on-save = revoke", "on-save: 'revoke' is not what can become of a key whose domain is saved: write keep or suspend"},
        {"over-budget = default", "over-budget: 'default' is not what can become of a key whose limit is reached: write suspend "
                                  "or revoke"},
        {"over-budget = suspend", "over-budget: it does nothing without providers: write providers = NAME"},
        {"rotate = 10min", "rotate: rotating every '10min' is too often: write 1h or longer, or never"},
        {"required = maybe", "required: 'maybe' is neither yes nor no: write yes or no"},
        {"owner = alice smith",
         "owner: 'alice smith' is not an owner: write up to 64 letters, digits and . _ @ + -, beginning with a letter or digit"},
        {"readers = alice", "readers: 'alice' are no readers: write humans, root, everybody or group:NAME"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        char text[1024], wrong[600];
        snprintf(text, sizeof text,
                 "[policy *]\n%s\n"
                 "[provider openai]\nadmin-key = env:A\n"
                 "[provider same]\ntype = openai\nadmin-key = env:A\n"
                 "[provider usual]\ntype = openai\nadmin-key = env:A\nenvironment = OPENAI_API_KEY\n"
                 "[provider one]\ntype = openai\nadmin-key = env:A\nenvironment = K\n"
                 "[provider other]\ntype = openai\nadmin-key = env:A\nenvironment = K\n",
                 bad[i].line);
        snprintf(wrong, sizeof wrong, "f.conf:2: %s", bad[i].wrong);
        check_refused(text, wrong);
    }
}

/* Two of a policy's keys, or one of its provider's, that cannot both be obeyed. */
static void a_rotation_that_cannot_be_kept(void **state)
{
#define PROVIDERS "[provider main]\ntype = openrouter\nadmin-key = env:A\nexpires = 36h\n[provider openai]\nadmin-key = env:A\n" \
                  "[provider claude]\ntype = anthropic-federation\n[policy *]\n"
    static const char overlap[] = "f.conf:11: rotate: it is shorter than the overlap, in which no key is replaced: write "
                                  "overlap = ..., no longer than this, or a longer rotate";
    static const struct refused bad[] = {
        {PROVIDERS "providers = claude openai\nrotate = 2h\noverlap = 3h\n", overlap},
        {PROVIDERS "providers = main\nrotate = 8h\noverlap = 3d\n", overlap},
    };
    static const char *const good[] = {
        "", "providers = openai\n", "providers = openai main\n", "providers = main\nrotate = 36h\n", "providers = openai\nrotate = 1d\n",
        "providers = openai\nrotate = 2h\noverlap = 2h\n", "providers = openai\nrotate = 1h\noverlap = 0s\n",
        "providers = claude\nrotate = 1h\noverlap = 2h\n", "providers = openai claude\nrotate = 12h\n",
        "providers = main\nrotate = 9h\noverlap = 3d\n", "providers = openai\nrotate = never\noverlap = 30d\n",
    };
    (void)state;
    check_all_refused(bad, COUNT(bad));
    for (size_t i = 0; i < COUNT(good); i++) {
        char text[1024];
        snprintf(text, sizeof text, PROVIDERS "%s", good[i]);
        config_free(parse(text));
    }
#undef PROVIDERS
}

static void there_is_an_end_to_lists(void **state)
{
    char text[8192] = "[provider openai]\nadmin-key = env:A\n";
    (void)state;
    for (int i = 1; i <= PROVIDER_RATES_MAX + 1; i++) {
        if (i == PROVIDER_RATES_MAX + 1) {
            cleanup_config struct config *config = parse(text);
            assert_int_equal(config->providers[0].rates_count, PROVIDER_RATES_MAX);
        }
        snprintf(text + strlen(text), sizeof text - strlen(text), "rate-limit = m%d tokens-per-minute=1\n", i);
    }
    check_refused(text, "f.conf:35: rate-limit: there are more than 32: remove some");

    strcpy(text, "[policy *]\nproviders = p1 p2 p3 p4 p5 p6 p7 p8 p9 p10 p11 p12 p13 p14 p15 p16 p17\n");
    for (int i = 1; i <= 17; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text),
                 "[provider p%d]\ntype = openai\nadmin-key = env:A\nenvironment = K%d\n", i, i);
    check_refused(text, "f.conf:2: providers: there are more than 16: remove some");
    memcpy(strstr(text, "p16 p17"), "p16    ", 7);
    cleanup_config struct config *config = parse(text);
    assert_int_equal(config_policy_for(config, "x")->count, 16);
}

/* --- the file --- */

static char directory[] = "/tmp/test-config-XXXXXX";
static char path[128];

static void write_file(const char *text, size_t length)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0644), 0);
}

static void check_unreadable(enum error_code code, const char *format)
{
    struct error err = ERROR_INIT;
    struct config *config = NULL;
    char wanted[512];
    snprintf(wanted, sizeof wanted, "%s%s", path, format);
    assert_false(config_read(path, &config, &err));
    check_error(err, code, wanted);
    assert_null(config);
}

static void a_file_is_read_and_named_in_errors(void **state)
{
    static const char good[] = "[daemon]\nhost-id = h1\n", bad[] = "[daemon]\n\n\nhost-id = ???\n";
    struct error err = ERROR_INIT;
    (void)state;
    {
        cleanup_config struct config *config = NULL;
        write_file(good, sizeof good - 1);
        assert_true(config_read(path, &config, &err));
        assert_string_equal(config->daemon.host_id, "h1");
    }
    write_file(bad, sizeof bad - 1);
    check_unreadable(ERROR_INVALID, ":4: host-id: '\?\?\?' is not a host's id: write 1 to 16 of a-z, 0-9 and -");
    write_file("[daemon]\nhost-id = a\0b\n", sizeof "[daemon]\nhost-id = a\0b\n" - 1);
    check_unreadable(ERROR_INVALID, ":2: there is a control character: remove it");
    assert_int_equal(unlink(path), 0);
    check_unreadable(ERROR_NOT_FOUND, ": No such file or directory");
}

static void a_file_that_others_can_write_is_refused(void **state)
{
    static const struct {
        mode_t mode;
        const char *shown;
    } bad[] = {{0664, "0664"}, {0646, "0646"}, {0620, "0620"}, {0602, "0602"}};
    static const mode_t good[] = {0644, 0600, 0400, 0755};
    (void)state;
    write_file("[daemon]\n", 9);
    for (size_t i = 0; i < COUNT(bad); i++) {
        char wanted[256];
        assert_int_equal(chmod(path, bad[i].mode), 0);
        snprintf(wanted, sizeof wanted, " can be written by others (mode %s): run chmod go-w %s", bad[i].shown, path);
        check_unreadable(ERROR_DENIED, wanted);
    }
    for (size_t i = 0; i < COUNT(good); i++) {
        cleanup_config struct config *config = NULL;
        struct error err = ERROR_INIT;
        assert_int_equal(chmod(path, good[i]), 0);
        assert_true(config_read(path, &config, &err));
    }
    if (geteuid() == 0) {
        assert_int_equal(chown(path, 65534, 0), 0);
        check_unreadable(ERROR_DENIED, " belongs to user 65534: run chown root ");
    }
    assert_int_equal(unlink(path), 0);
}

static void only_regular_files_are_read(void **state)
{
    (void)state;
    assert_int_equal(mkfifo(path, 0600), 0);
    check_unreadable(ERROR_INVALID, " is not a regular file: write the configuration into one");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    check_unreadable(ERROR_INVALID, " is not a regular file: write the configuration into one");
    assert_int_equal(rmdir(path), 0);
}

static void a_file_has_a_bound(void **state)
{
    size_t length = (size_t)CONFIG_FILE_MAX + 1;
    char *text = malloc(length);
    struct error err = ERROR_INIT;
    (void)state;
    assert_non_null(text);
    memset(text, '\n', length);
    write_file(text, length);
    check_unreadable(ERROR_LIMIT, " is larger than 1048576 bytes: make it smaller");
    write_file(text, length - 1);
    {
        cleanup_config struct config *config = NULL;
        assert_true(config_read(path, &config, &err));
    }
    struct config *config = NULL;
    assert_false(config_parse("f.conf", text, length, &config, &err));
    check_error(err, ERROR_LIMIT, "f.conf is larger than 1048576 bytes: make it smaller");
    free(text);
    assert_int_equal(unlink(path), 0);
}

struct found {
    unsigned count;
    char texts[128][512];
};

static void take_problem(void *context, const char *text)
{
    struct found *found = context;
    assert_true(found->count < COUNT(found->texts));
    snprintf(found->texts[found->count++], sizeof found->texts[0], "%s", text);
}

static void a_check_lists_all_problems_by_line(void **state)
{
    static const char text[] = "[policy *]\nproviders = nobody\n[provider openai]\n[daemon]\nbad\nlog-level = loud\n[oops\nkey = "
                               "value\n"
                               "[other]\nkey = value\n[policy a]\nreaders = x\n";
    static const char *const lines[] = {":2: providers: 'nobody'", ":3: this provider has no admin-key", ":5: this is neither",
                                        ":6: log-level: 'loud'",   ":7: '[' without ']'",
                                        ":9: there is no section [other]",
                                        ":12: readers: 'x'"};
    struct found found = {.count = 0};
    (void)state;
    write_file(text, sizeof text - 1);
    assert_int_equal(config_check(path, take_problem, &found), COUNT(lines));
    assert_int_equal(found.count, COUNT(lines));
    for (size_t i = 0; i < COUNT(lines); i++) {
        char wanted[256];
        snprintf(wanted, sizeof wanted, "%s%s", path, lines[i]);
        if (strncmp(found.texts[i], wanted, strlen(wanted)) != 0)
            fail_msg("problem %zu is '%s', wanted '%s'", i, found.texts[i], wanted);
    }
    check_unreadable(ERROR_INVALID, ":2: providers: 'nobody'");

    found.count = 0;
    write_file("[daemon]\n", 9);
    assert_int_equal(config_check(path, take_problem, &found), 0);
    assert_int_equal(found.count, 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(config_check(path, take_problem, &found), 1);
    assert_non_null(strstr(found.texts[0], "No such file or directory"));
}

static void a_check_comes_to_an_end(void **state)
{
    char text[1024] = "[daemon]\n", wanted[256];
    struct found found = {.count = 0};
    (void)state;
    for (int i = 0; i < 105; i++)
        strcat(text, "bad\n");
    write_file(text, strlen(text));
    assert_int_equal(config_check(path, take_problem, &found), 100);
    assert_int_equal(found.count, 100);
    snprintf(wanted, sizeof wanted, "%s: and 6 more problems", path);
    assert_string_equal(found.texts[99], wanted);
    assert_int_equal(unlink(path), 0);
}

static void types_of_provider(void **state)
{
    const char *const *types = provider_types();
    (void)state;
    assert_string_equal(types[0], "openai"); /* what a message names first */
}

static int make_directory(void **state)
{
    (void)state;
    if (!mkdtemp(directory))
        return -1;
    snprintf(path, sizeof path, "%s/llmhook.conf", directory);
    return 0;
}

static int remove_directory(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(directory);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_on_by_default),
        cmocka_unit_test(every_key_of_the_daemon),
        cmocka_unit_test(seal_keys_and_levels),
        cmocka_unit_test(every_key_of_a_provider),
        cmocka_unit_test(every_key_of_a_policy),
        cmocka_unit_test(the_first_matching_policy_holds),
        cmocka_unit_test(comments_end_values),
        cmocka_unit_test(bad_lines),
        cmocka_unit_test(names_of_sections_are_as_long_as_they_may_be),
        cmocka_unit_test(long_lines_are_refused_and_never_cut),
        cmocka_unit_test(bad_sections),
        cmocka_unit_test(bad_values_of_the_daemon),
        cmocka_unit_test(bad_values_of_a_provider),
        cmocka_unit_test(references_and_urls_are_checked_by_their_owners),
        cmocka_unit_test(bad_values_of_a_policy),
        cmocka_unit_test(a_rotation_that_cannot_be_kept),
        cmocka_unit_test(there_is_an_end_to_lists),
        cmocka_unit_test(a_file_is_read_and_named_in_errors),
        cmocka_unit_test(a_file_that_others_can_write_is_refused),
        cmocka_unit_test(only_regular_files_are_read),
        cmocka_unit_test(a_file_has_a_bound),
        cmocka_unit_test(a_check_lists_all_problems_by_line),
        cmocka_unit_test(a_check_comes_to_an_end),
        cmocka_unit_test(types_of_provider),
    };
    return check_run_within(tests, make_directory, remove_directory);
}
