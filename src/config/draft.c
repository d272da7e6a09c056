/* What each key of the configuration may hold, but a provider's. The texts here stand behind `FILE:LINE: KEY: `. */
#include "config/draft.h"
#include "config/value.h"

#include "base/places.h"
#include "base/program.h"
#include "credentials/credential.h"
#include "providers/http.h"

#include <stdio.h>
#include <string.h>

/* --- [daemon] --- */

static bool read_libvirt_uri(struct draft_section *section, const char *value, struct error *err)
{
    if (!strchr(value, ':') || strchr(value, ' '))
        return error_set(err, ERROR_INVALID, "'%s' is not a libvirt URI: write one like qemu:///system", value);
    return value_copy(section->value.daemon.libvirt_uri, sizeof section->value.daemon.libvirt_uri, value, err);
}

static bool read_state_directory(struct draft_section *section, const char *value, struct error *err)
{
    char *path = section->value.daemon.state_directory;
    if (!value_path(path, sizeof section->value.daemon.state_directory, value, err))
        return false;
    for (size_t length = strlen(path); length > 1 && path[length - 1] == '/'; length--)
        path[length - 1] = '\0';
    return true;
}

static bool read_socket(struct draft_section *section, const char *value, struct error *err)
{
    return value_path(section->value.daemon.socket, sizeof section->value.daemon.socket, value, err);
}

static bool read_seal_key(struct draft_section *section, const char *value, struct error *err)
{
    size_t size = sizeof section->value.daemon.seal_key;
    if (strncmp(value, "credential:", strlen("credential:")) == 0)
        return credential_valid(value, err) && value_copy(section->value.daemon.seal_key, size, value, err);
    /* Not quoted: it may be the key itself, put in the wrong place. */
    if (value[0] != '/')
        return error_set(err, ERROR_INVALID,
                         "this names no seal key: write an absolute path or credential:NAME, never the key itself");
    return value_copy(section->value.daemon.seal_key, size, value, err);
}

static bool read_host_id(struct draft_section *section, const char *value, struct error *err)
{
    size_t plain = strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789-");
    if (value[plain] || plain >= CONFIG_HOST_ID_SIZE)
        return error_set(err, ERROR_INVALID, "'%s' is not a host's id: write 1 to 16 of a-z, 0-9 and -", value);
    return value_copy(section->value.daemon.host_id, sizeof section->value.daemon.host_id, value, err);
}

static bool read_required_deadline(struct draft_section *section, const char *value, struct error *err)
{
    return value_duration(&section->value.daemon.required_deadline_ms, "100ms", "10min", value, err);
}

static bool read_undefine_grace(struct draft_section *section, const char *value, struct error *err)
{
    return value_duration(&section->value.daemon.undefine_grace_ms, "0s", "1d", value, err);
}

static bool read_start_grace(struct draft_section *section, const char *value, struct error *err)
{
    return value_duration(&section->value.daemon.start_grace_ms, "1s", "1d", value, err);
}

static bool read_audit_interval(struct draft_section *section, const char *value, struct error *err)
{
    if (strcmp(value, "never") == 0) {
        section->value.daemon.audit_interval_ms = 0;
        return true;
    }
    return value_duration(&section->value.daemon.audit_interval_ms, "1min", "30d", value, err);
}

static bool read_usage_interval(struct draft_section *section, const char *value, struct error *err)
{
    if (strcmp(value, "never") == 0) {
        section->value.daemon.usage_interval_ms = 0;
        return true;
    }
    return value_duration(&section->value.daemon.usage_interval_ms, "10s", "1d", value, err);
}

static bool read_prices(struct draft_section *section, const char *value, struct error *err)
{
    return value_path(section->value.daemon.prices, sizeof section->value.daemon.prices, value, err);
}

static bool read_host_limit(struct draft_section *section, const char *value, struct error *err)
{
    return policy_parse_dollars(value, &section->value.daemon.monthly_limit, err);
}

static bool read_log_level(struct draft_section *section, const char *value, struct error *err)
{
    static const char *const words[] = {"error", "warning", "notice", "info", "debug", NULL};
    static const enum log_level levels[] = {LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_NOTICE, LOG_LEVEL_INFO,
                                            LOG_LEVEL_DEBUG};
    size_t i;
    if (!value_word(words, value, &i))
        return error_set(err, ERROR_INVALID, "'%s' is not a level: write error, warning, notice, info or debug", value);
    section->value.daemon.log_level = levels[i];
    return true;
}

static bool read_agent_workers(struct draft_section *section, const char *value, struct error *err)
{
    int64_t count;
    if (!value_count(&count, 64, value, err))
        return false;
    section->value.daemon.agent_workers = (unsigned)count;
    return true;
}

/* --- [vault] --- */

static bool read_address(struct draft_section *section, const char *value, struct error *err)
{
    char *url = section->value.vault.address;
    if (strpbrk(value, "?#@ "))
        return error_set(err, ERROR_INVALID,
                         "an address has no '?', '#', '@' or space: write it like https://vault.example.com:8200");
    if (!http_url_allowed(value, err) || !value_copy(url, sizeof section->value.vault.address, value, err))
        return false;
    for (size_t length = strlen(url); length > 0 && url[length - 1] == '/'; length--)
        url[length - 1] = '\0';
    return true;
}

static bool read_vault_reference(char *to, size_t size, const char *value, struct error *err)
{
    if (strncmp(value, "vault", strlen("vault")) == 0)
        return error_set(err, ERROR_INVALID, "what opens Vault cannot be in it: write file:/PATH, env:NAME or credential:NAME");
    return credential_valid(value, err) && value_copy(to, size, value, err);
}

static bool read_token(struct draft_section *section, const char *value, struct error *err)
{
    return read_vault_reference(section->value.vault.token, sizeof section->value.vault.token, value, err);
}

/* Short for token = file:PATH. */
static bool read_token_file(struct draft_section *section, const char *value, struct error *err)
{
    char reference[sizeof section->value.vault.token];
    if (snprintf(reference, sizeof reference, "file:%s", value) >= (int)sizeof reference)
        return error_set(err, ERROR_INVALID, "the path is too long: shorten it");
    return read_token(section, reference, err);
}

static bool read_role_id(struct draft_section *section, const char *value, struct error *err)
{
    return read_vault_reference(section->value.vault.role_id, sizeof section->value.vault.role_id, value, err);
}

static bool read_secret_id(struct draft_section *section, const char *value, struct error *err)
{
    return read_vault_reference(section->value.vault.secret_id, sizeof section->value.vault.secret_id, value, err);
}

static bool read_approle_mount(struct draft_section *section, const char *value, struct error *err)
{
    if (!value_is_plain(value, "/"))
        return error_set(err, ERROR_INVALID, "'%s' is not where AppRole is mounted: write approle, or what stands behind auth/",
                         value);
    return value_copy(section->value.vault.approle_mount, sizeof section->value.vault.approle_mount, value, err);
}

static bool read_namespace(struct draft_section *section, const char *value, struct error *err)
{
    return value_namespace(section->value.vault.name_space, sizeof section->value.vault.name_space, value, err);
}

static bool read_vault_ca_file(struct draft_section *section, const char *value, struct error *err)
{
    return value_path(section->value.vault.ca_file, sizeof section->value.vault.ca_file, value, err);
}

static bool read_kv_version(struct draft_section *section, const char *value, struct error *err)
{
    static const char *const words[] = {"auto", "1", "2", NULL};
    size_t i;
    if (!value_word(words, value, &i))
        return error_set(err, ERROR_INVALID, "'%s' is not a version: write auto, 1 or 2", value);
    section->value.vault.kv_version = (int)i;
    return true;
}

/* --- [owner NAME] --- */

static bool read_owner_limit(struct draft_section *section, const char *value, struct error *err)
{
    return policy_parse_dollars(value, &section->value.owner.monthly_limit, err);
}

/* --- [policy PATTERN] --- */

static bool read_providers(struct draft_section *section, const char *value, struct error *err)
{
    struct policy *policy = &section->value.policy.policy;
    char words[1024], *at = words, *word;
    if (!value_copy(words, sizeof words, value, err))
        return false;
    while ((word = value_next_word(&at))) {
        if (!policy_provider_valid(word))
            return error_set(err, ERROR_INVALID, "'%s' is not a provider's name: write names separated by spaces", word);
        for (unsigned i = 0; i < policy->count; i++) {
            if (strcmp(policy->keys[i].provider, word) == 0)
                return error_set(err, ERROR_INVALID, "'%s' is there twice: write it once", word);
        }
        if (policy->count == POLICY_KEYS_MAX)
            return error_set(err, ERROR_INVALID, "there are more than %d: remove some", POLICY_KEYS_MAX);
        memset(&policy->keys[policy->count], 0, sizeof policy->keys[0]);
        snprintf(policy->keys[policy->count++].provider, POLICY_PROVIDER_SIZE, "%s", word);
    }
    return true;
}

static bool read_monthly_limit(struct draft_section *section, const char *value, struct error *err)
{
    return policy_parse_dollars(value, &section->value.policy.monthly_limit, err);
}

static bool read_rotate(struct draft_section *section, const char *value, struct error *err)
{
    return policy_parse_rotation(value, &section->value.policy.rotate_ms, err);
}

static bool read_overlap(struct draft_section *section, const char *value, struct error *err)
{
    return policy_parse_overlap(value, &section->value.policy.overlap_ms, err);
}

static bool read_on_stop(struct draft_section *section, const char *value, struct error *err)
{
    return policy_parse_on_stop(value, &section->value.policy.on_stop, err);
}

static bool read_on_save(struct draft_section *section, const char *value, struct error *err)
{
    return policy_parse_on_save(value, &section->value.policy.on_save, err);
}

static bool read_over_budget(struct draft_section *section, const char *value, struct error *err)
{
    return policy_parse_over_budget(value, &section->value.policy.over_budget, err);
}

static bool read_required(struct draft_section *section, const char *value, struct error *err)
{
    return policy_parse_flag(value, &section->value.policy.policy.required, err);
}

static bool read_boot_credential(struct draft_section *section, const char *value, struct error *err)
{
    return policy_parse_flag(value, &section->value.policy.policy.boot_credential, err);
}

static bool read_owner(struct draft_section *section, const char *value, struct error *err)
{
    if (!policy_owner_valid(value))
        return error_set(err, ERROR_INVALID,
                         "'%s' is not an owner: write up to 64 letters, digits and . _ @ + -, beginning with a letter or digit",
                         value);
    return value_copy(section->value.policy.policy.owner, sizeof section->value.policy.policy.owner, value, err);
}

static bool read_readers(struct draft_section *section, const char *value, struct error *err)
{
    if (!policy_readers_valid(value))
        return error_set(err, ERROR_INVALID, "'%s' are no readers: write humans, root, everybody or group:NAME", value);
    return value_copy(section->value.policy.policy.readers, sizeof section->value.policy.policy.readers, value, err);
}

/* --- [alerts] --- */

static bool read_thresholds(struct draft_section *section, const char *value, struct error *err)
{
    struct config_alerts *alerts = &section->value.alerts;
    char words[256], *at = words, *word;
    if (!value_copy(words, sizeof words, value, err))
        return false;
    alerts->thresholds_count = 0;
    while ((word = value_next_word(&at))) {
        int64_t percent;
        if (!value_count(&percent, 1000, word, err))
            return false;
        if (alerts->thresholds_count == ALERT_THRESHOLDS_MAX)
            return error_set(err, ERROR_INVALID, "there are more than %d: remove some", ALERT_THRESHOLDS_MAX);
        alerts->thresholds[alerts->thresholds_count++] = (unsigned)percent;
    }
    return true;
}

/* Its path may be what lets somebody write there (Slack's is), so it is not quoted. */
static bool read_webhook(struct draft_section *section, const char *value, struct error *err)
{
    if (strpbrk(value, "# \t@"))
        return error_set(err, ERROR_INVALID,
                         "a webhook has no '#', '@' or space: write it like https://hooks.example.com/alerts");
    return http_url_allowed(value, err) &&
           value_copy(section->value.alerts.webhook, sizeof section->value.alerts.webhook, value, err);
}

static bool read_webhook_secret(struct draft_section *section, const char *value, struct error *err)
{
    return credential_valid(value, err) &&
           value_copy(section->value.alerts.webhook_secret, sizeof section->value.alerts.webhook_secret, value, err);
}

static bool read_webhook_ca_file(struct draft_section *section, const char *value, struct error *err)
{
    return value_path(section->value.alerts.ca_file, sizeof section->value.alerts.ca_file, value, err);
}

static bool read_alert_program(struct draft_section *section, const char *value, struct error *err)
{
    return value_path(section->value.alerts.program, sizeof section->value.alerts.program, value, err);
}

/* It becomes an argument and a header line. */
static bool read_mail(struct draft_section *section, const char *value, struct error *err)
{
    if (!value_is_plain(value, "@+") || !strchr(value, '@'))
        return error_set(err, ERROR_INVALID, "'%s' is not a mail address: write one like ops@example.com", value);
    return value_copy(section->value.alerts.mail, sizeof section->value.alerts.mail, value, err);
}

static bool read_sendmail(struct draft_section *section, const char *value, struct error *err)
{
    return value_path(section->value.alerts.sendmail, sizeof section->value.alerts.sendmail, value, err);
}

static const struct draft_key daemon_keys[DRAFT_KEYS_MAX] = {
    {"libvirt-uri", read_libvirt_uri, false},
    {"state-directory", read_state_directory, false},
    {"socket", read_socket, false},
    {"seal-key", read_seal_key, false},
    {"host-id", read_host_id, false},
    {"required-deadline", read_required_deadline, false},
    {"undefine-grace", read_undefine_grace, false},
    {"start-grace", read_start_grace, false},
    {"audit-interval", read_audit_interval, false},
    {"usage-interval", read_usage_interval, false},
    {"prices", read_prices, false},
    {"host-monthly-limit", read_host_limit, false},
    {"log-level", read_log_level, false},
    {"agent-workers", read_agent_workers, false},
    {NULL, NULL, false},
};

static const struct draft_key owner_keys[DRAFT_KEYS_MAX] = {
    {"monthly-limit", read_owner_limit, false},
    {NULL, NULL, false},
};

static const struct draft_key policy_keys[DRAFT_KEYS_MAX] = {
    {"providers", read_providers, false},
    {"monthly-limit", read_monthly_limit, false},
    {"rotate", read_rotate, false},
    {"overlap", read_overlap, false},
    {"on-stop", read_on_stop, false},
    {"on-save", read_on_save, false},
    {"over-budget", read_over_budget, false},
    {"required", read_required, false},
    {"boot-credential", read_boot_credential, false},
    {"owner", read_owner, false},
    {"readers", read_readers, false},
    {NULL, NULL, false},
};

static const struct draft_key vault_keys[DRAFT_KEYS_MAX] = {
    {"address", read_address, false},
    {"token", read_token, false},
    {"token-file", read_token_file, false},
    {"role-id", read_role_id, false},
    {"secret-id", read_secret_id, false},
    {"approle-mount", read_approle_mount, false},
    {"namespace", read_namespace, false},
    {"ca-file", read_vault_ca_file, false},
    {"kv-version", read_kv_version, false},
    {NULL, NULL, false},
};

static const struct draft_key alerts_keys[DRAFT_KEYS_MAX] = {
    {"thresholds", read_thresholds, false},
    {"webhook", read_webhook, false},
    {"webhook-secret", read_webhook_secret, false},
    {"ca-file", read_webhook_ca_file, false},
    {"program", read_alert_program, false},
    {"mail", read_mail, false},
    {"sendmail", read_sendmail, false},
    {NULL, NULL, false},
};

const struct draft_key *const draft_keys[DRAFT_KINDS] = {
    [DRAFT_PROVIDER] = draft_provider_keys,
    [DRAFT_DAEMON] = daemon_keys,
    [DRAFT_OWNER] = owner_keys,
    [DRAFT_POLICY] = policy_keys,
    [DRAFT_VAULT] = vault_keys,
    [DRAFT_ALERTS] = alerts_keys,
};

unsigned draft_key_line(const struct draft_section *section, const char *name)
{
    const struct draft_key *keys = draft_keys[section->kind];
    size_t i = 0;
    while (keys[i].name && strcmp(keys[i].name, name) != 0)
        i++;
    return keys[i].name ? section->key_lines[i] : 0;
}

const struct config_alerts config_alerts_defaults = {
    .thresholds = {50, 80, 100},
    .thresholds_count = 3,
    .sendmail = "/usr/sbin/sendmail",
};

void draft_defaults(struct draft_section *section)
{
    memset(&section->value, 0, sizeof section->value);
    if (section->kind == DRAFT_DAEMON) {
        /* The seal key's default depends on the state directory: see the end of reading. */
        section->value.daemon = (struct config_daemon){
            .libvirt_uri = "qemu:///system",
            .state_directory = PLACE_STATE,
            .socket = PLACE_SOCKET,
            .required_deadline_ms = 10 * 1000,
            .undefine_grace_ms = 10 * 1000,
            .start_grace_ms = 120 * 1000,
            .audit_interval_ms = 24 * 3600 * 1000,
            .usage_interval_ms = 5 * 60 * 1000,
            .log_level = LOG_LEVEL_INFO,
            .agent_workers = 8,
        };
    } else if (section->kind == DRAFT_ALERTS) {
        section->value.alerts = config_alerts_defaults;
    } else if (section->kind == DRAFT_VAULT) {
        snprintf(section->value.vault.approle_mount, sizeof section->value.vault.approle_mount, "approle");
    } else if (section->kind == DRAFT_PROVIDER) {
        draft_provider_defaults(section);
    }
}
