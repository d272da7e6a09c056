/* What each key of the configuration may hold. The texts here stand behind `FILE:LINE: KEY: `. */
#include "config/draft.h"

#include "base/program.h"
#include "credentials/credential.h"
#include "providers/http.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static bool copy(char *to, size_t size, const char *value, struct error *err)
{
    size_t length = strlen(value);
    if (length >= size)
        return error_set(err, ERROR_INVALID, "the value is longer than %zu bytes: shorten it", size - 1);
    memcpy(to, value, length + 1);
    return true;
}

static bool read_path(char *to, size_t size, const char *value, struct error *err)
{
    if (value[0] != '/')
        return error_set(err, ERROR_INVALID, "'%s' is not an absolute path: write one that begins with /", value);
    return copy(to, size, value, err);
}

/* One of WORDS (ended by NULL), by index. */
static bool find_word(const char *const *words, const char *value, size_t *ret_index)
{
    for (size_t i = 0; words[i]; i++) {
        if (strcmp(words[i], value) == 0) {
            *ret_index = i;
            return true;
        }
    }
    return false;
}

/* A duration between two others, given as they are to be shown. */
static bool read_duration(int64_t *ret_ms, const char *least, const char *most, const char *value, struct error *err)
{
    int64_t ms = 0, least_ms = 0, most_ms = 0;
    if (!policy_parse_duration(value, &ms, err))
        return false;
    policy_parse_duration(least, &least_ms, NULL);
    policy_parse_duration(most, &most_ms, NULL);
    static_assert(POLICY_NEVER < 0, "never is below every range");
    if (ms < least_ms || ms > most_ms)
        return error_set(err, ERROR_INVALID, "'%s' is out of range: write between %s and %s", value, least, most);
    *ret_ms = ms;
    return true;
}

/* Digits alone, from 1 to MOST. */
static bool read_count(int64_t *ret_count, int64_t most, const char *value, struct error *err)
{
    int64_t count = 0;
    size_t i;
    for (i = 0; value[i] >= '0' && value[i] <= '9' && count <= most; i++)
        count = count * 10 + (value[i] - '0');
    if (value[i] || count < 1 || count > most)
        return error_set(err, ERROR_INVALID, "'%s' is not a number from 1 to %lld", value, (long long)most);
    *ret_count = count;
    return true;
}

/* Made of letters, digits and '-', '_', '.' (and MORE), not beginning with one of those. */
static bool is_plain(const char *text, const char *more)
{
    for (size_t i = 0; text[i]; i++) {
        bool alnum = (text[i] >= 'a' && text[i] <= 'z') || (text[i] >= 'A' && text[i] <= 'Z') ||
                     (text[i] >= '0' && text[i] <= '9');
        if (!alnum && (i == 0 || !(strchr("-_.", text[i]) || strchr(more, text[i]))))
            return false;
    }
    return text[0] != '\0';
}

/* --- [daemon] --- */

static bool read_libvirt_uri(struct draft_section *section, const char *value, struct error *err)
{
    if (!strchr(value, ':') || strchr(value, ' '))
        return error_set(err, ERROR_INVALID, "'%s' is not a libvirt URI: write one like qemu:///system", value);
    return copy(section->value.daemon.libvirt_uri, sizeof section->value.daemon.libvirt_uri, value, err);
}

static bool read_state_directory(struct draft_section *section, const char *value, struct error *err)
{
    char *path = section->value.daemon.state_directory;
    if (!read_path(path, sizeof section->value.daemon.state_directory, value, err))
        return false;
    for (size_t length = strlen(path); length > 1 && path[length - 1] == '/'; length--)
        path[length - 1] = '\0';
    return true;
}

static bool read_socket(struct draft_section *section, const char *value, struct error *err)
{
    return read_path(section->value.daemon.socket, sizeof section->value.daemon.socket, value, err);
}

static bool read_seal_key(struct draft_section *section, const char *value, struct error *err)
{
    size_t size = sizeof section->value.daemon.seal_key;
    if (strncmp(value, "credential:", strlen("credential:")) == 0)
        return credential_valid(value, err) && copy(section->value.daemon.seal_key, size, value, err);
    /* Not quoted: it may be the key itself, put in the wrong place. */
    if (value[0] != '/')
        return error_set(err, ERROR_INVALID,
                         "this names no seal key: write an absolute path or credential:NAME, never the key itself");
    return copy(section->value.daemon.seal_key, size, value, err);
}

static bool read_host_id(struct draft_section *section, const char *value, struct error *err)
{
    size_t plain = strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789-");
    if (value[plain] || plain >= CONFIG_HOST_ID_SIZE)
        return error_set(err, ERROR_INVALID, "'%s' is not a host's id: write 1 to 16 of a-z, 0-9 and -", value);
    return copy(section->value.daemon.host_id, sizeof section->value.daemon.host_id, value, err);
}

static bool read_required_deadline(struct draft_section *section, const char *value, struct error *err)
{
    return read_duration(&section->value.daemon.required_deadline_ms, "100ms", "10min", value, err);
}

static bool read_undefine_grace(struct draft_section *section, const char *value, struct error *err)
{
    return read_duration(&section->value.daemon.undefine_grace_ms, "0s", "1d", value, err);
}

static bool read_start_grace(struct draft_section *section, const char *value, struct error *err)
{
    return read_duration(&section->value.daemon.start_grace_ms, "1s", "1d", value, err);
}

static bool read_audit_interval(struct draft_section *section, const char *value, struct error *err)
{
    if (strcmp(value, "never") == 0) {
        section->value.daemon.audit_interval_ms = 0;
        return true;
    }
    return read_duration(&section->value.daemon.audit_interval_ms, "1min", "30d", value, err);
}

static bool read_usage_interval(struct draft_section *section, const char *value, struct error *err)
{
    if (strcmp(value, "never") == 0) {
        section->value.daemon.usage_interval_ms = 0;
        return true;
    }
    return read_duration(&section->value.daemon.usage_interval_ms, "10s", "1d", value, err);
}

static bool read_prices(struct draft_section *section, const char *value, struct error *err)
{
    return read_path(section->value.daemon.prices, sizeof section->value.daemon.prices, value, err);
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
    if (!find_word(words, value, &i))
        return error_set(err, ERROR_INVALID, "'%s' is not a level: write error, warning, notice, info or debug", value);
    section->value.daemon.log_level = levels[i];
    return true;
}

static bool read_agent_workers(struct draft_section *section, const char *value, struct error *err)
{
    int64_t count;
    if (!read_count(&count, 64, value, err))
        return false;
    section->value.daemon.agent_workers = (unsigned)count;
    return true;
}

/* --- [provider NAME] --- */

static bool read_type(struct draft_section *section, const char *value, struct error *err)
{
    char known[256];
    size_t i;
    if (find_word(provider_types(), value, &i))
        return copy(section->value.provider.type, sizeof section->value.provider.type, value, err);
    provider_types_told(known, sizeof known);
    return error_set(err, ERROR_INVALID, "'%s' is not a type of provider that llmhook knows: write %s", value, known);
}

static bool read_admin_key(struct draft_section *section, const char *value, struct error *err)
{
    section->value.provider.admin_key_blocks = credential_blocks(value);
    return credential_valid(value, err) &&
           copy(section->value.provider.admin_key, sizeof section->value.provider.admin_key, value, err);
}

static void cut_slashes(char *url)
{
    for (size_t length = strlen(url); length > 0 && url[length - 1] == '/'; length--)
        url[length - 1] = '\0';
}

static bool read_base_url(struct draft_section *section, const char *value, struct error *err)
{
    char *url = section->value.provider.base_url;
    /* The drivers append paths and queries. User names and passwords have no place in a file that all may read. */
    if (strpbrk(value, "?#@ "))
        return error_set(err, ERROR_INVALID,
                         "a base URL has no '?', '#', '@' or space: write it like https://api.example.com/v1");
    if (!http_url_allowed(value, err) || !copy(url, sizeof section->value.provider.base_url, value, err))
        return false;
    cut_slashes(url);
    return true;
}

/* No admin key is sent there, so http is the operator's choice; what goes into a guest's shells is held to what means
 * nothing to them. */
static bool read_guest_base_url(struct draft_section *section, const char *value, struct error *err)
{
    char *url = section->value.provider.guest_base_url;
    bool scheme = strncmp(value, "https://", strlen("https://")) == 0 || strncmp(value, "http://", strlen("http://")) == 0;
    const char *host = scheme ? strstr(value, "://") + strlen("://") : value;
    if (!scheme || !is_plain(host, ":/~%"))
        return error_set(err, ERROR_INVALID,
                         "this is no URL for guests: write it like http://10.0.0.1:4000/v1, with a name or an IPv4 address");
    if (!copy(url, sizeof section->value.provider.guest_base_url, value, err))
        return false;
    cut_slashes(url);
    return true;
}

static bool read_ca_file(struct draft_section *section, const char *value, struct error *err)
{
    return read_path(section->value.provider.ca_file, sizeof section->value.provider.ca_file, value, err);
}

static bool read_project(struct draft_section *section, const char *value, struct error *err)
{
    bool word = strcmp(value, "per-domain") == 0 || strcmp(value, "per-owner") == 0;
    /* A word like those is one of them mistyped, not an id. */
    if (!word && (!is_plain(value, "") || strncmp(value, "per-", 4) == 0 || strncmp(value, "per_", 4) == 0))
        return error_set(err, ERROR_INVALID, "'%s' is not a project: write per-domain, per-owner or the id of one that exists",
                         value);
    return copy(section->value.provider.project, sizeof section->value.provider.project, value, err);
}

static bool read_environment(struct draft_section *section, const char *value, struct error *err)
{
    /* Not quoted: somebody may write NAME=KEY here. */
    if (!policy_environment_valid(value))
        return error_set(err, ERROR_INVALID,
                         "this cannot be the key's variable: write capitals, digits and _, and no name that shells act on");
    return copy(section->value.provider.environment, sizeof section->value.provider.environment, value, err);
}

static bool read_timeout(struct draft_section *section, const char *value, struct error *err)
{
    return read_duration(&section->value.provider.timeout_ms, "100ms", "10min", value, err);
}

/* Splits off the first word of *AT, in place; NULL when there is none. */
static char *next_word(char **at)
{
    char *word = *at + strspn(*at, " \t");
    if (!*word)
        return NULL;
    *at = word + strcspn(word, " \t");
    if (**at)
        *(*at)++ = '\0';
    return word;
}

static bool read_rate_number(struct provider_rate *rate, const char *word, struct error *err)
{
    const struct {
        const char *name;
        int64_t *number;
    } numbers[] = {{"requests-per-minute=", &rate->requests_per_minute}, {"tokens-per-minute=", &rate->tokens_per_minute}};
    for (size_t i = 0; i < COUNT(numbers); i++) {
        size_t length = strlen(numbers[i].name);
        if (strncmp(word, numbers[i].name, length) != 0)
            continue;
        if (*numbers[i].number != 0)
            return error_set(err, ERROR_INVALID, "'%s' comes second: write each number once", word);
        return read_count(numbers[i].number, INT64_C(1000000000000), word + length, err);
    }
    return error_set(err, ERROR_INVALID, "'%s' is no limit: write requests-per-minute=N or tokens-per-minute=N", word);
}

static bool read_rate_limit(struct draft_section *section, const char *value, struct error *err)
{
    struct provider_settings *provider = &section->value.provider;
    struct provider_rate rate = {"", 0, 0};
    char words[1024], *at = words, *word;
    if (!copy(words, sizeof words, value, err))
        return false;
    const char *model = next_word(&at);
    if (!is_plain(model, ":/"))
        return error_set(err, ERROR_INVALID, "'%s' is not a model: write MODEL requests-per-minute=N tokens-per-minute=N", model);
    if (!copy(rate.model, sizeof rate.model, model, err))
        return false;
    while ((word = next_word(&at))) {
        if (!read_rate_number(&rate, word, err))
            return false;
    }
    if (rate.requests_per_minute == 0 && rate.tokens_per_minute == 0)
        return error_set(err, ERROR_INVALID,
                         "'%s' has no limit: write requests-per-minute=N, tokens-per-minute=N or both behind it", model);
    for (unsigned i = 0; i < provider->rates_count; i++) {
        if (strcmp(provider->rates[i].model, rate.model) == 0)
            return error_set(err, ERROR_INVALID, "model '%s' has a limit already: write both numbers in one line", rate.model);
    }
    if (provider->rates_count == PROVIDER_RATES_MAX)
        return error_set(err, ERROR_INVALID, "there are more than %d: remove some", PROVIDER_RATES_MAX);
    provider->rates[provider->rates_count++] = rate;
    return true;
}

static bool read_models(struct draft_section *section, const char *value, struct error *err)
{
    char words[1024], *at = words, *word;
    if (!copy(words, sizeof words, value, err))
        return false;
    while ((word = next_word(&at))) {
        if (!is_plain(word, ":/*"))
            return error_set(err, ERROR_INVALID, "'%s' is not a model: write names separated by spaces", word);
    }
    return copy(section->value.provider.models, sizeof section->value.provider.models, value, err);
}

static bool read_expires(struct draft_section *section, const char *value, struct error *err)
{
    if (strcmp(value, "never") == 0) {
        section->value.provider.expires_ms = 0;
        return true;
    }
    return read_duration(&section->value.provider.expires_ms, "1h", "3650d", value, err);
}

static bool read_pool_low(struct draft_section *section, const char *value, struct error *err)
{
    int64_t count;
    if (!read_count(&count, 1000, value, err))
        return false;
    section->value.provider.pool_low = (unsigned)count;
    return true;
}

static bool read_program(struct draft_section *section, const char *value, struct error *err)
{
    unsigned words = 0;
    for (const char *at = value; *at; at += strcspn(at, " \t"), at += strspn(at, " \t"))
        words++;
    if (words > PROGRAM_ARGUMENTS_MAX)
        return error_set(err, ERROR_INVALID, "it has more than %d arguments: put them into a program of your own",
                         PROGRAM_ARGUMENTS_MAX - 1);
    return read_path(section->value.provider.program, sizeof section->value.provider.program, value, err);
}

static bool read_can(struct draft_section *section, const char *value, struct error *err)
{
    char words[1024], *at = words, *word;
    if (!copy(words, sizeof words, value, err))
        return false;
    while ((word = next_word(&at))) {
        if (!provider_exec_ability(word))
            return error_set(err, ERROR_INVALID,
                             "'%s' is nothing that a program can do more: write suspend, limit, change-limit or usage", word);
        section->value.provider.can |= provider_exec_ability(word);
    }
    return true;
}

/* --- [vault] --- */

static bool read_address(struct draft_section *section, const char *value, struct error *err)
{
    char *url = section->value.vault.address;
    if (strpbrk(value, "?#@ "))
        return error_set(err, ERROR_INVALID,
                         "an address has no '?', '#', '@' or space: write it like https://vault.example.com:8200");
    if (!http_url_allowed(value, err) || !copy(url, sizeof section->value.vault.address, value, err))
        return false;
    for (size_t length = strlen(url); length > 0 && url[length - 1] == '/'; length--)
        url[length - 1] = '\0';
    return true;
}

static bool read_vault_reference(char *to, size_t size, const char *value, struct error *err)
{
    if (strncmp(value, "vault", strlen("vault")) == 0)
        return error_set(err, ERROR_INVALID, "what opens Vault cannot be in it: write file:/PATH, env:NAME or credential:NAME");
    return credential_valid(value, err) && copy(to, size, value, err);
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
    if (!is_plain(value, "/"))
        return error_set(err, ERROR_INVALID, "'%s' is not where AppRole is mounted: write approle, or what stands behind auth/",
                         value);
    return copy(section->value.vault.approle_mount, sizeof section->value.vault.approle_mount, value, err);
}

static bool read_name_space(char *to, size_t size, const char *value, struct error *err)
{
    if (!is_plain(value, "/"))
        return error_set(err, ERROR_INVALID, "'%s' is not a namespace: write it like team/llm", value);
    return copy(to, size, value, err);
}

static bool read_namespace(struct draft_section *section, const char *value, struct error *err)
{
    return read_name_space(section->value.vault.name_space, sizeof section->value.vault.name_space, value, err);
}

static bool read_vault_ca_file(struct draft_section *section, const char *value, struct error *err)
{
    return read_path(section->value.vault.ca_file, sizeof section->value.vault.ca_file, value, err);
}

static bool read_kv_version(struct draft_section *section, const char *value, struct error *err)
{
    static const char *const words[] = {"auto", "1", "2", NULL};
    size_t i;
    if (!find_word(words, value, &i))
        return error_set(err, ERROR_INVALID, "'%s' is not a version: write auto, 1 or 2", value);
    section->value.vault.kv_version = (int)i;
    return true;
}

/* --- [provider NAME] of one type; what these texts have to be the driver knows --- */

#define READ_TEXT(function, field)                                                                                        \
    static bool function(struct draft_section *section, const char *value, struct error *err)                             \
    {                                                                                                                     \
        return copy(section->value.provider.field, sizeof section->value.provider.field, value, err);                     \
    }
READ_TEXT(read_engine_path, vault.path)
READ_TEXT(read_field, vault.field)
READ_TEXT(read_parameters, vault.parameters)
READ_TEXT(read_federation_rule, federation.rule)
READ_TEXT(read_organization, federation.organization)
READ_TEXT(read_service_account, federation.service_account)
READ_TEXT(read_workspace, federation.workspace)
#undef READ_TEXT

static bool read_method(struct draft_section *section, const char *value, struct error *err)
{
    static const char *const words[] = {"get", "post", NULL};
    size_t i;
    if (!find_word(words, value, &i))
        return error_set(err, ERROR_INVALID, "'%s' is neither: write get or post", value);
    section->value.provider.vault.post = i == 1;
    return true;
}

static bool read_provider_namespace(struct draft_section *section, const char *value, struct error *err)
{
    return read_name_space(section->value.provider.vault.name_space, sizeof section->value.provider.vault.name_space, value, err);
}

static bool read_issuer(struct draft_section *section, const char *value, struct error *err)
{
    if (strncmp(value, "https://", strlen("https://")) != 0 || !is_plain(value + strlen("https://"), ":/~"))
        return error_set(err, ERROR_INVALID, "'%s' is not an issuer: write an https URL; nobody has to be there", value);
    return copy(section->value.provider.federation.issuer, sizeof section->value.provider.federation.issuer, value, err);
}

static bool read_audience(struct draft_section *section, const char *value, struct error *err)
{
    if (!is_plain(value, ":/~@+"))
        return error_set(err, ERROR_INVALID, "'%s' is not an audience: write one word, as the rule has it", value);
    return copy(section->value.provider.federation.audience, sizeof section->value.provider.federation.audience, value, err);
}

static bool read_token_lifetime(struct draft_section *section, const char *value, struct error *err)
{
    return read_duration(&section->value.provider.federation.lifetime_ms, "20s", "24h", value, err);
}

static bool read_exchange(struct draft_section *section, const char *value, struct error *err)
{
    static const char *const words[] = {"guest", "host", NULL};
    size_t i;
    if (!find_word(words, value, &i))
        return error_set(err, ERROR_INVALID, "'%s' is neither: write guest or host", value);
    section->value.provider.federation.exchange_on_host = i == 1;
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
    if (!copy(words, sizeof words, value, err))
        return false;
    while ((word = next_word(&at))) {
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
    return copy(section->value.policy.policy.owner, sizeof section->value.policy.policy.owner, value, err);
}

static bool read_readers(struct draft_section *section, const char *value, struct error *err)
{
    if (!policy_readers_valid(value))
        return error_set(err, ERROR_INVALID, "'%s' are no readers: write humans, root, everybody or group:NAME", value);
    return copy(section->value.policy.policy.readers, sizeof section->value.policy.policy.readers, value, err);
}

/* --- [alerts] --- */

static bool read_thresholds(struct draft_section *section, const char *value, struct error *err)
{
    struct config_alerts *alerts = &section->value.alerts;
    char words[256], *at = words, *word;
    if (!copy(words, sizeof words, value, err))
        return false;
    alerts->thresholds_count = 0;
    while ((word = next_word(&at))) {
        int64_t percent;
        if (!read_count(&percent, 1000, word, err))
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
    return http_url_allowed(value, err) && copy(section->value.alerts.webhook, sizeof section->value.alerts.webhook, value, err);
}

static bool read_webhook_secret(struct draft_section *section, const char *value, struct error *err)
{
    return credential_valid(value, err) &&
           copy(section->value.alerts.webhook_secret, sizeof section->value.alerts.webhook_secret, value, err);
}

static bool read_webhook_ca_file(struct draft_section *section, const char *value, struct error *err)
{
    return read_path(section->value.alerts.ca_file, sizeof section->value.alerts.ca_file, value, err);
}

static bool read_alert_program(struct draft_section *section, const char *value, struct error *err)
{
    return read_path(section->value.alerts.program, sizeof section->value.alerts.program, value, err);
}

/* It becomes an argument and a header line. */
static bool read_mail(struct draft_section *section, const char *value, struct error *err)
{
    if (!is_plain(value, "@+") || !strchr(value, '@'))
        return error_set(err, ERROR_INVALID, "'%s' is not a mail address: write one like ops@example.com", value);
    return copy(section->value.alerts.mail, sizeof section->value.alerts.mail, value, err);
}

static bool read_sendmail(struct draft_section *section, const char *value, struct error *err)
{
    return read_path(section->value.alerts.sendmail, sizeof section->value.alerts.sendmail, value, err);
}

const struct draft_key draft_keys[DRAFT_KINDS][DRAFT_KEYS_MAX] = {
    [DRAFT_DAEMON] = {
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
    },
    [DRAFT_PROVIDER] = {
        {"type", read_type, false},
        {"admin-key", read_admin_key, false},
        {"key", read_admin_key, false}, /* the same: a provider has one of them */
        {"base-url", read_base_url, false},
        {"guest-base-url", read_guest_base_url, false},
        {"ca-file", read_ca_file, false},
        {"project", read_project, false},
        {"environment", read_environment, false},
        {"program", read_program, false},
        {"can", read_can, false},
        {"timeout", read_timeout, false},
        {"rate-limit", read_rate_limit, true},
        {"issuer", read_issuer, false},
        {"audience", read_audience, false},
        {"federation-rule", read_federation_rule, false},
        {"organization", read_organization, false},
        {"service-account", read_service_account, false},
        {"workspace", read_workspace, false},
        {"token-lifetime", read_token_lifetime, false},
        {"exchange", read_exchange, false},
        {"models", read_models, false},
        {"expires", read_expires, false},
        {"pool-low", read_pool_low, false},
        {"path", read_engine_path, false},
        {"field", read_field, false},
        {"method", read_method, false},
        {"parameters", read_parameters, false},
        {"namespace", read_provider_namespace, false},
        {NULL, NULL, false},
    },
    [DRAFT_OWNER] = {
        {"monthly-limit", read_owner_limit, false},
        {NULL, NULL, false},
    },
    [DRAFT_POLICY] = {
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
    },
    [DRAFT_VAULT] = {
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
    },
    [DRAFT_ALERTS] = {
        {"thresholds", read_thresholds, false},
        {"webhook", read_webhook, false},
        {"webhook-secret", read_webhook_secret, false},
        {"ca-file", read_webhook_ca_file, false},
        {"program", read_alert_program, false},
        {"mail", read_mail, false},
        {"sendmail", read_sendmail, false},
        {NULL, NULL, false},
    },
};

unsigned draft_key_line(const struct draft_section *section, const char *name)
{
    const struct draft_key *keys = draft_keys[section->kind];
    size_t i = 0;
    while (strcmp(keys[i].name, name) != 0)
        i++;
    return section->key_lines[i];
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
            .state_directory = "/var/lib/llmhook",
            .socket = "/run/llmhookd/socket",
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
        struct provider_settings *provider = &section->value.provider;
        memcpy(provider->name, section->name, strlen(section->name) + 1); /* policy_provider_valid() has bounded it */
        memcpy(provider->type, provider->name, sizeof provider->type);
        snprintf(provider->project, sizeof provider->project, "per-domain");
        provider->timeout_ms = 30 * 1000;
    }
}
