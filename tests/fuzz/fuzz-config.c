/* The configuration file. What is read keeps every promise of config.h, and is the same when it is written down and read
 * again; what is not is told by the line, and config_check() tells the same first. */
#include "fuzz.h"

#include "base/buffer.h"
#include "config/config.h"
#include "credentials/credential.h"

#include <inttypes.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Stands for a key that somebody wrote where a reference belongs. */
#define KEY "sk-0123456789abcdefghijKEY"

static void check_policy(const struct config *config, const struct config_policy *policy)
{
    must(policy->glob[0] && memchr(policy->glob, '\0', sizeof policy->glob));
    must(policy->policy.count <= POLICY_KEYS_MAX);
    must(!policy->policy.owner[0] || policy_owner_valid(policy->policy.owner));
    must(!policy->policy.readers[0] || policy_readers_valid(policy->policy.readers));
    for (unsigned i = 0; i < policy->policy.count; i++) {
        const struct policy_key *key = &policy->policy.keys[i];
        must(policy_provider_valid(key->provider) && config_provider(config, key->provider));
        must(!key->environment[0]);
        must(key->monthly_limit >= 0 && key->monthly_limit < INT64_C(1000000000000));
        must(key->rotate_ms == POLICY_NEVER || key->rotate_ms == 0 || key->rotate_ms >= 3600 * 1000);
        must(key->overlap_ms == POLICY_NO_OVERLAP || (key->overlap_ms >= 0 && key->overlap_ms <= INT64_C(30) * 24 * 3600 * 1000));
        must(key->on_stop != POLICY_FATE_KEEP && key->on_save != POLICY_FATE_REVOKE && key->over_budget != POLICY_FATE_KEEP);
    }
}

static void check_provider(const struct provider_settings *provider)
{
    struct error err = ERROR_INIT;
    const char *const *types = provider_types();
    must(policy_provider_valid(provider->name));
    while (*types && strcmp(*types, provider->type) != 0)
        types++;
    must(*types);
    if (provider->admin_key[0])
        must_succeed(credential_valid(provider->admin_key, &err), err);
    must(provider->admin_key[0] || !provider_type_needs(provider->type));
    must_succeed(provider_settings_check(provider, &err), err);
    must(!provider->base_url[0] || !strpbrk(provider->base_url, "?#@ "));
    must(!provider->guest_base_url[0] || (strncmp(provider->guest_base_url, "http", 4) == 0 &&
                                          !strpbrk(provider->guest_base_url, "?#@ '\"$`\\;&|<>()*!\n")));
    must(!provider->ca_file[0] || provider->ca_file[0] == '/');
    must(!provider->environment[0] || policy_environment_valid(provider->environment));
    must(provider->project[0] && memchr(provider->project, '\0', sizeof provider->project));
    must(provider->timeout_ms >= 100 && provider->timeout_ms <= 600 * 1000);
    must(provider->rates_count <= PROVIDER_RATES_MAX);
    must(provider->expires_ms == 0 || provider->expires_ms >= 3600 * 1000);
    must(!provider->models[0] || !strpbrk(provider->models, "'\"\\{}[],\n"));
    unsigned takes = provider_type_settings(provider->type);
    must(takes & PROVIDER_TAKES_RATE_LIMIT || !provider->rates_count);
    must(takes & PROVIDER_TAKES_MODELS || !provider->models[0]);
    must(takes & PROVIDER_TAKES_EXPIRES || !provider->expires_ms);
    must(provider->pool_low <= 1000 && (takes & PROVIDER_TAKES_POOL_LOW || !provider->pool_low));
    must(takes & PROVIDER_TAKES_VAULT || (!provider->vault.path[0] && !provider->vault.field[0] && !provider->vault.post));
    must(takes & PROVIDER_TAKES_PROJECT || strcmp(provider->project, "per-domain") == 0);
    for (unsigned i = 0; i < provider->rates_count; i++)
        must(provider->rates[i].model[0] &&
             (provider->rates[i].requests_per_minute > 0 || provider->rates[i].tokens_per_minute > 0));
}

static void check_daemon(const struct config_daemon *daemon)
{
    must(strchr(daemon->libvirt_uri, ':'));
    must(daemon->state_directory[0] == '/' && daemon->socket[0] == '/');
    must(daemon->seal_key[0] == '/' || strncmp(daemon->seal_key, "credential:", 11) == 0);
    must(memchr(daemon->seal_key, '\0', sizeof daemon->seal_key));
    must(daemon->required_deadline_ms >= 100 && daemon->required_deadline_ms <= 600 * 1000);
    must(daemon->undefine_grace_ms >= 0 && daemon->start_grace_ms >= 1000);
    must(daemon->audit_interval_ms == 0 || daemon->audit_interval_ms >= 60 * 1000);
    must(daemon->agent_workers >= 1 && daemon->agent_workers <= 64);
}

/* --- writing it down: as short as can be, since a line has a limit --- */

static void write_daemon(struct buffer *text, const struct config_daemon *daemon)
{
    static const char *const levels[] = {[3] = "error", "warning", "notice", "info", "debug"};
    must(buffer_printf(text, "[daemon]\nlibvirt-uri=%s\nstate-directory=%s\nsocket=%s\n", daemon->libvirt_uri,
                       daemon->state_directory, daemon->socket));
    /* One that was completed from the longest state directory is longer than what a line may say. */
    size_t directory = strlen(daemon->state_directory);
    if (strncmp(daemon->seal_key, daemon->state_directory, directory) != 0 ||
        strcmp(daemon->seal_key + directory, "/seal.key") != 0)
        must(buffer_printf(text, "seal-key=%s\n", daemon->seal_key));
    if (daemon->host_id[0])
        must(buffer_printf(text, "host-id=%s\n", daemon->host_id));
    must(buffer_printf(text, "required-deadline=%" PRId64 "ms\nundefine-grace=%" PRId64 "ms\nstart-grace=%" PRId64
                       "ms\nlog-level=%s\nagent-workers=%u\n",
                       daemon->required_deadline_ms, daemon->undefine_grace_ms, daemon->start_grace_ms,
                       levels[daemon->log_level], daemon->agent_workers));
    if (daemon->audit_interval_ms)
        must(buffer_printf(text, "audit-interval=%" PRId64 "ms\n", daemon->audit_interval_ms));
    else
        must(buffer_append_text(text, "audit-interval=never\n"));
}

static void write_vault_keys(struct buffer *text, const struct provider_vault *vault)
{
    must(buffer_printf(text, "path=%s\nfield=%s\nmethod=%s\n", vault->path, vault->field, vault->post ? "post" : "get"));
    if (vault->parameters[0])
        must(buffer_printf(text, "parameters=%s\n", vault->parameters));
    if (vault->name_space[0])
        must(buffer_printf(text, "namespace=%s\n", vault->name_space));
}

static void write_provider(struct buffer *text, const struct provider_settings *provider)
{
    must(buffer_printf(text, "[provider %s]\ntype=%s\ntimeout=%" PRId64 "ms\n", provider->name, provider->type,
                       provider->timeout_ms));
    if (provider_type_settings(provider->type) & PROVIDER_TAKES_PROJECT)
        must(buffer_printf(text, "project=%s\n", provider->project));
    if (provider_type_settings(provider->type) & PROVIDER_TAKES_VAULT)
        write_vault_keys(text, &provider->vault);
    if (provider->models[0])
        must(buffer_printf(text, "models=%s\n", provider->models));
    if (provider->pool_low)
        must(buffer_printf(text, "pool-low=%u\n", provider->pool_low));
    if (provider->expires_ms)
        must(buffer_printf(text, "expires=%" PRId64 "ms\n", provider->expires_ms));
    if (provider->admin_key[0])
        must(buffer_printf(text, "%s=%s\n", provider_type_key_setting(provider->type), provider->admin_key));
    if (provider->base_url[0])
        must(buffer_printf(text, "base-url=%s\n", provider->base_url));
    if (provider->guest_base_url[0])
        must(buffer_printf(text, "guest-base-url=%s\n", provider->guest_base_url));
    if (provider->ca_file[0])
        must(buffer_printf(text, "ca-file=%s\n", provider->ca_file));
    if (provider->environment[0])
        must(buffer_printf(text, "environment=%s\n", provider->environment));
    if (provider->program[0])
        must(buffer_printf(text, "program=%s\n", provider->program));
    if (provider->can)
        must(buffer_printf(text, "can=%s %s %s\n", provider->can & PROVIDER_CAN_SUSPEND ? "suspend" : "",
                           provider->can & PROVIDER_CAN_LIMIT_KEY ? "limit" : "",
                           provider->can & PROVIDER_CAN_USAGE ? "usage" : ""));
    for (unsigned i = 0; i < provider->rates_count; i++) {
        const struct provider_rate *rate = &provider->rates[i];
        must(buffer_printf(text, "rate-limit=%s", rate->model));
        if (rate->requests_per_minute)
            must(buffer_printf(text, " requests-per-minute=%" PRId64, rate->requests_per_minute));
        if (rate->tokens_per_minute)
            must(buffer_printf(text, " tokens-per-minute=%" PRId64, rate->tokens_per_minute));
        must(buffer_append_text(text, "\n"));
    }
}

static void write_policy(struct buffer *text, const struct config_policy *policy)
{
    static const char *const flags[] = {"", "required=yes\n", "required=no\n"};
    must(buffer_printf(text, "[policy %s]\n%s", policy->glob, flags[policy->policy.required]));
    if (policy->policy.owner[0])
        must(buffer_printf(text, "owner=%s\n", policy->policy.owner));
    if (policy->policy.readers[0])
        must(buffer_printf(text, "readers=%s\n", policy->policy.readers));
    if (!policy->policy.count)
        return;
    must(buffer_append_text(text, "providers="));
    for (unsigned i = 0; i < policy->policy.count; i++)
        must(buffer_printf(text, "%s%s", i ? " " : "", policy->policy.keys[i].provider));
    /* What stands in a section holds for all of its keys. */
    const struct policy_key *key = &policy->policy.keys[0];
    if (key->monthly_limit)
        must(buffer_printf(text, "\nmonthly-limit=%" PRId64 ".%06" PRId64, key->monthly_limit / 1000000,
                           key->monthly_limit % 1000000));
    if (key->rotate_ms == POLICY_NEVER)
        must(buffer_append_text(text, "\nrotate=never"));
    else if (key->rotate_ms)
        must(buffer_printf(text, "\nrotate=%" PRId64 "ms", key->rotate_ms));
    if (key->overlap_ms)
        must(buffer_printf(text, "\noverlap=%" PRId64 "ms", key->overlap_ms == POLICY_NO_OVERLAP ? 0 : key->overlap_ms));
    if (key->on_stop)
        must(buffer_printf(text, "\non-stop=%s", policy_fate_name(key->on_stop)));
    if (key->on_save)
        must(buffer_printf(text, "\non-save=%s", policy_fate_name(key->on_save)));
    if (key->over_budget)
        must(buffer_printf(text, "\nover-budget=%s", policy_fate_name(key->over_budget)));
    must(buffer_append_text(text, "\n"));
}

static void write_vault(struct buffer *text, const struct credential_vault *vault)
{
    const struct {
        const char *name, *value;
    } keys[] = {{"token", vault->token},         {"role-id", vault->role_id}, {"secret-id", vault->secret_id},
                {"namespace", vault->name_space}, {"ca-file", vault->ca_file}, {"approle-mount", vault->approle_mount}};
    must(buffer_printf(text, "[vault]\naddress=%s\nkv-version=%s\n", vault->address,
                       vault->kv_version == 0 ? "auto" : vault->kv_version == 1 ? "1" : "2"));
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (keys[i].value[0])
            must(buffer_printf(text, "%s=%s\n", keys[i].name, keys[i].value));
}

static void write_config(struct buffer *text, const struct config *config)
{
    write_daemon(text, &config->daemon);
    if (config->vault.address[0])
        write_vault(text, &config->vault);
    for (size_t i = 0; i < config->providers_count; i++)
        write_provider(text, &config->providers[i]);
    for (size_t i = 0; i < config->policies_count; i++)
        write_policy(text, &config->policies[i]);
}

static void check_config(const struct config *config)
{
    struct buffer text = BUFFER_INIT(CONFIG_FILE_MAX), again_text = BUFFER_INIT(CONFIG_FILE_MAX);
    struct config *again = NULL;
    struct error err = ERROR_INIT;
    check_daemon(&config->daemon);
    for (size_t i = 0; i < config->providers_count; i++)
        check_provider(&config->providers[i]);
    for (size_t i = 0; i < config->policies_count; i++)
        check_policy(config, &config->policies[i]);
    write_config(&text, config);
    must_succeed(config_parse("again", buffer_text(&text), text.length, &again, &err), err);
    write_config(&again_text, again);
    /* "/ /" loses its end, and "/ " cannot be written. */
    const char *directory = config->daemon.state_directory;
    must(strcmp(buffer_text(&text), buffer_text(&again_text)) == 0 || strchr(" \t", directory[strlen(directory) - 1]));
    must(again->policies_count == config->policies_count && again->providers_count == config->providers_count);
    config_free(again);
    buffer_clear(&text);
    buffer_clear(&again_text);
}

/* --- what is wrong --- */

static struct error first_found;

static void on_problem(void *context, const char *text)
{
    unsigned *found = context;
    if ((*found)++ == 0)
        snprintf(first_found.text, sizeof first_found.text, "%s", text);
    must(strnlen(text, sizeof first_found.text) < sizeof first_found.text);
}

/* The key must be told in no text when it stands in places where a key might be put by mistake. */
static bool key_is_only_in_a_keys_place(const char *text, size_t size)
{
    static const char *const places[] = {"admin-key =", "seal-key =", "environment ="};
    const char *at = text, *end = text + size;
    while ((at = memmem(at, (size_t)(end - at), KEY, sizeof KEY - 1))) {
        const char *line = at;
        bool fits = false;
        while (line > text && line[-1] != '\n')
            line--;
        for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
            fits = fits || ((size_t)(end - line) > strlen(places[i]) && memcmp(line, places[i], strlen(places[i])) == 0);
        if (!fits)
            return false;
        at++;
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config *config = NULL;
    struct error err = ERROR_INIT;
    char path[64];
    unsigned found = 0;
    bool ok = config_parse("f", (const char *)data, size, &config, &err);
    must(ok == (config != NULL));
    if (ok) {
        check_config(config);
        config_free(config);
    } else {
        struct error plain = err;
        for (char *at = plain.text; *at; at++)
            if (*at == '\t') /* which may stand between words, and is quoted as it is */
                *at = ' ';
        fuzz_check_error(&plain);
        must(err.code == ERROR_INVALID && strncmp(err.text, "f:", 2) == 0);
        must(!strstr(err.text, KEY) || !key_is_only_in_a_keys_place((const char *)data, size));
    }
    static int fd = -1;
    if (fd < 0) {
        fd = memfd_create("f", MFD_CLOEXEC);
        must(fd >= 0 && fchmod(fd, 0600) == 0);
    }
    must(ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    must(config_check(path, on_problem, &found) == found);
    must((found == 0) == ok);
    /* The same line and words behind the file's name. */
    if (!ok && strlen(err.text) + sizeof path < sizeof err.text)
        must(strcmp(strchr(first_found.text, ':'), strchr(err.text, ':')) == 0);
    return 0;
}
