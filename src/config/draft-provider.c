/* What each key of a [provider NAME] may hold. */
#include "config/draft.h"
#include "config/value.h"

#include "base/program.h"
#include "credentials/credential.h"
#include "providers/http.h"

#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static bool read_type(struct draft_section *section, const char *value, struct error *err)
{
    char known[256];
    size_t i;
    if (value_word(provider_types(), value, &i))
        return value_copy(section->value.provider.type, sizeof section->value.provider.type, value, err);
    provider_types_told(known, sizeof known);
    return error_set(err, ERROR_INVALID, "'%s' is not a type of provider that llmhook knows: write %s", value, known);
}

static bool read_admin_key(struct draft_section *section, const char *value, struct error *err)
{
    section->value.provider.admin_key_blocks = credential_blocks(value);
    return credential_valid(value, err) &&
           value_copy(section->value.provider.admin_key, sizeof section->value.provider.admin_key, value, err);
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
    if (!http_url_allowed(value, err) || !value_copy(url, sizeof section->value.provider.base_url, value, err))
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
    if (!scheme || !value_is_plain(host, ":/~%"))
        return error_set(err, ERROR_INVALID,
                         "this is no URL for guests: write it like http://10.0.0.1:4000/v1, with a name or an IPv4 address");
    if (!value_copy(url, sizeof section->value.provider.guest_base_url, value, err))
        return false;
    cut_slashes(url);
    return true;
}

static bool read_ca_file(struct draft_section *section, const char *value, struct error *err)
{
    return value_path(section->value.provider.ca_file, sizeof section->value.provider.ca_file, value, err);
}

static bool read_project(struct draft_section *section, const char *value, struct error *err)
{
    bool word = strcmp(value, "per-domain") == 0 || strcmp(value, "per-owner") == 0;
    /* A word like those is one of them mistyped, not an id. */
    if (!word && (!value_is_plain(value, "") || strncmp(value, "per-", 4) == 0 || strncmp(value, "per_", 4) == 0))
        return error_set(err, ERROR_INVALID, "'%s' is not a project: write per-domain, per-owner or the id of one that exists",
                         value);
    return value_copy(section->value.provider.project, sizeof section->value.provider.project, value, err);
}

static bool read_environment(struct draft_section *section, const char *value, struct error *err)
{
    /* Not quoted: somebody may write NAME=KEY here. */
    if (!policy_environment_valid(value))
        return error_set(err, ERROR_INVALID,
                         "this cannot be the key's variable: write capitals, digits and _, and no name that shells act on");
    return value_copy(section->value.provider.environment, sizeof section->value.provider.environment, value, err);
}

static bool read_timeout(struct draft_section *section, const char *value, struct error *err)
{
    return value_duration(&section->value.provider.timeout_ms, "100ms", "10min", value, err);
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
        return value_count(numbers[i].number, INT64_C(1000000000000), word + length, err);
    }
    return error_set(err, ERROR_INVALID, "'%s' is no limit: write requests-per-minute=N or tokens-per-minute=N", word);
}

static bool read_rate_limit(struct draft_section *section, const char *value, struct error *err)
{
    struct provider_settings *provider = &section->value.provider;
    struct provider_rate rate = {"", 0, 0};
    char words[1024], *at = words, *word;
    if (!value_copy(words, sizeof words, value, err))
        return false;
    const char *model = value_next_word(&at);
    if (!value_is_plain(model, ":/"))
        return error_set(err, ERROR_INVALID, "'%s' is not a model: write MODEL requests-per-minute=N tokens-per-minute=N", model);
    if (!value_copy(rate.model, sizeof rate.model, model, err))
        return false;
    while ((word = value_next_word(&at))) {
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
    if (!value_copy(words, sizeof words, value, err))
        return false;
    while ((word = value_next_word(&at))) {
        if (!value_is_plain(word, ":/*"))
            return error_set(err, ERROR_INVALID, "'%s' is not a model: write names separated by spaces", word);
    }
    return value_copy(section->value.provider.models, sizeof section->value.provider.models, value, err);
}

static bool read_expires(struct draft_section *section, const char *value, struct error *err)
{
    if (strcmp(value, "never") == 0) {
        section->value.provider.expires_ms = 0;
        return true;
    }
    return value_duration(&section->value.provider.expires_ms, "1h", "3650d", value, err);
}

static bool read_pool_low(struct draft_section *section, const char *value, struct error *err)
{
    int64_t count;
    if (!value_count(&count, 1000, value, err))
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
    return value_path(section->value.provider.program, sizeof section->value.provider.program, value, err);
}

static bool read_can(struct draft_section *section, const char *value, struct error *err)
{
    char words[1024], *at = words, *word;
    if (!value_copy(words, sizeof words, value, err))
        return false;
    while ((word = value_next_word(&at))) {
        if (!provider_exec_ability(word))
            return error_set(err, ERROR_INVALID,
                             "'%s' is nothing that a program can do more: write suspend, limit, change-limit or usage", word);
        section->value.provider.can |= provider_exec_ability(word);
    }
    return true;
}

/* --- of one type; what these texts have to be the driver knows --- */

#define READ_TEXT(function, field)                                                                                        \
    static bool function(struct draft_section *section, const char *value, struct error *err)                             \
    {                                                                                                                     \
        return value_copy(section->value.provider.field, sizeof section->value.provider.field, value, err);                     \
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
    if (!value_word(words, value, &i))
        return error_set(err, ERROR_INVALID, "'%s' is neither: write get or post", value);
    section->value.provider.vault.post = i == 1;
    return true;
}

static bool read_provider_namespace(struct draft_section *section, const char *value, struct error *err)
{
    return value_namespace(section->value.provider.vault.name_space, sizeof section->value.provider.vault.name_space, value,
                           err);
}

static bool read_issuer(struct draft_section *section, const char *value, struct error *err)
{
    if (strncmp(value, "https://", strlen("https://")) != 0 || !value_is_plain(value + strlen("https://"), ":/~"))
        return error_set(err, ERROR_INVALID, "'%s' is not an issuer: write an https URL; nobody has to be there", value);
    return value_copy(section->value.provider.federation.issuer, sizeof section->value.provider.federation.issuer, value, err);
}

static bool read_audience(struct draft_section *section, const char *value, struct error *err)
{
    if (!value_is_plain(value, ":/~@+"))
        return error_set(err, ERROR_INVALID, "'%s' is not an audience: write one word, as the rule has it", value);
    char *to = section->value.provider.federation.audience;
    return value_copy(to, sizeof section->value.provider.federation.audience, value, err);
}

static bool read_token_lifetime(struct draft_section *section, const char *value, struct error *err)
{
    return value_duration(&section->value.provider.federation.lifetime_ms, "20s", "24h", value, err);
}

static bool read_exchange(struct draft_section *section, const char *value, struct error *err)
{
    static const char *const words[] = {"guest", "host", NULL};
    size_t i;
    if (!value_word(words, value, &i))
        return error_set(err, ERROR_INVALID, "'%s' is neither: write guest or host", value);
    section->value.provider.federation.exchange_on_host = i == 1;
    return true;
}

const struct draft_key draft_provider_keys[DRAFT_KEYS_MAX] = {
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
};

void draft_provider_defaults(struct draft_section *section)
{
    struct provider_settings *provider = &section->value.provider;
    memcpy(provider->name, section->name, strlen(section->name) + 1); /* policy_provider_valid() has bounded it */
    memcpy(provider->type, provider->name, sizeof provider->type);
    snprintf(provider->project, sizeof provider->project, "per-domain");
    provider->timeout_ms = 30 * 1000;
}
