/* How it works: ini_file.c finds sections and keys; draft.c knows what each key may hold; here sections are kept in
 * file order as drafts, checked against each other when all is read, and copied into the configuration.
 *
 * Problems are collected and sorted by line, so that the first one told is the first one in the file, whether it was
 * found at once or only at the end. */
#include "config/config.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "config/draft.h"
#include "config/ini_file.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { PROBLEMS_MAX = 99 };

struct problem {
    unsigned line;
    struct error error;
};

struct parser {
    const char *file;
    struct draft_section *sections; /* owned */
    size_t sections_count;
    struct draft_section *current; /* NULL: the section is broken, its keys are passed over */
    bool before_first_section;
    bool out_of_memory;
    struct problem problems[PROBLEMS_MAX]; /* by line */
    unsigned problems_count, problems_dropped;
};

/* FORMAT makes what stands behind `FILE:LINE: `. */
__attribute__((format(printf, 3, 4))) static void report(struct parser *parser, unsigned line, const char *format, ...)
{
    if (parser->problems_count == PROBLEMS_MAX) {
        parser->problems_dropped++;
        return;
    }
    struct problem problem = {line, ERROR_INIT};
    char text[sizeof problem.error.text];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    error_set(&problem.error, ERROR_INVALID, "%s:%u: %s", parser->file, line, text);

    unsigned at = parser->problems_count++;
    for (; at > 0 && parser->problems[at - 1].line > line; at--)
        parser->problems[at] = parser->problems[at - 1];
    parser->problems[at] = problem;
}

/* --- sections and keys, as they come --- */

/* What stands behind the first word of a header, NULL when the header's first word is not WORD. */
static const char *behind_word(const char *header, const char *word)
{
    size_t length = strlen(word);
    if (strncmp(header, word, length) != 0 || (header[length] && header[length] != ' ' && header[length] != '\t'))
        return NULL;
    return header + length + strspn(header + length, " \t");
}

/* What kind of section HEADER begins, and its name; reports and returns false when it is none. */
static bool read_header(struct parser *parser, unsigned line, const char *header, enum draft_kind *ret_kind,
                        const char **ret_name)
{
    const char *name;
    if ((name = behind_word(header, "daemon")) && !*name) {
        *ret_kind = DRAFT_DAEMON;
    } else if ((name = behind_word(header, "vault")) && !*name) {
        *ret_kind = DRAFT_VAULT;
    } else if ((name = behind_word(header, "alerts")) && !*name) {
        *ret_kind = DRAFT_ALERTS;
    } else if ((name = behind_word(header, "provider"))) {
        *ret_kind = DRAFT_PROVIDER;
        if (!policy_provider_valid(name)) {
            report(parser, line, "'%s' is not a provider's name: write [provider NAME] with letters, digits, - and _, "
                   "beginning with a letter, at most 32", name);
            return false;
        }
    } else if ((name = behind_word(header, "owner"))) {
        *ret_kind = DRAFT_OWNER;
        if (!policy_owner_valid(name)) {
            report(parser, line, "'%s' is not an owner: write [owner NAME] with letters, digits and . _ @ + -, at most %d",
                   name, POLICY_OWNER_SIZE - 1);
            return false;
        }
    } else if ((name = behind_word(header, "policy"))) {
        *ret_kind = DRAFT_POLICY;
        /* What is meant as several, or as a regular expression, would match nothing, and nobody would say so. */
        if (!*name || strpbrk(name, "[]\\,^$")) {
            report(parser, line, "'%s' is not a pattern for domain names: write [policy PATTERN] with * and ? for what varies, a "
                   "section for each", name);
            return false;
        }
        if (strlen(name) >= CONFIG_GLOB_SIZE) {
            report(parser, line, "the pattern '%s' is longer than %d bytes: write a shorter one, with * and ? for what varies",
                   name, CONFIG_GLOB_SIZE - 1);
            return false;
        }
    } else {
        report(parser, line, "there is no section [%s]: write [daemon], [vault], [alerts], [provider NAME], [owner NAME] or "
                             "[policy PATTERN]", header);
        return false;
    }
    *ret_name = name;
    return true;
}

static void take_section(void *context, unsigned line, const char *header)
{
    struct parser *parser = context;
    enum draft_kind kind;
    const char *name;
    parser->before_first_section = false;
    parser->current = NULL;
    if (parser->out_of_memory || !header || !read_header(parser, line, header, &kind, &name))
        return;

    struct draft_section section = {.kind = kind, .line = line};
    snprintf(section.name, sizeof section.name, "%s", name);
    for (size_t i = 0; i < parser->sections_count; i++) {
        if (parser->sections[i].kind == kind && strcmp(parser->sections[i].name, section.name) == 0) {
            report(parser, line, "this section stands in line %u already: put all of it there", parser->sections[i].line);
            return;
        }
    }
    draft_defaults(&section);
    struct draft_section *sections = reallocarray(parser->sections, parser->sections_count + 1, sizeof *sections);
    if (!sections) {
        parser->out_of_memory = true;
        return;
    }
    parser->sections = sections;
    parser->current = &sections[parser->sections_count++];
    *parser->current = section;
}

static void report_unknown_key(struct parser *parser, unsigned line, const char *name)
{
    static const char *const kinds[] = {"a daemon", "a provider", "a policy", "a vault", "an alerts", "an owner"};
    struct buffer names = BUFFER_INIT(1024);
    for (const struct draft_key *key = draft_keys[parser->current->kind]; key->name; key++)
        buffer_printf(&names, "%s%s", !names.length ? "" : key[1].name ? ", " : " or ", key->name);
    report(parser, line, "%s section has no key '%s': write %s", kinds[parser->current->kind], name, buffer_text(&names));
    buffer_clear(&names);
}

static void take_key(void *context, unsigned line, const char *name, const char *value)
{
    struct parser *parser = context;
    if (parser->before_first_section)
        report(parser, line, "'%s' stands before any section: write [daemon], [vault], [alerts], [provider NAME], "
               "[owner NAME] or [policy PATTERN] above it", name);
    if (!parser->current)
        return;
    const struct draft_key *keys = draft_keys[parser->current->kind];
    size_t i = 0;
    while (keys[i].name && strcmp(keys[i].name, name) != 0)
        i++;
    if (!keys[i].name) {
        report_unknown_key(parser, line, name);
        return;
    }
    if (parser->current->key_lines[i] && !keys[i].repeats) {
        report(parser, line, "%s: it stands in line %u already: write it once", name, parser->current->key_lines[i]);
        return;
    }
    struct error err = ERROR_INIT;
    parser->current->key_lines[i] = line;
    if (!keys[i].read(parser->current, value, &err))
        report(parser, line, "%s: %s", name, err.text);
}

static void take_problem(void *context, unsigned line, const char *text)
{
    report(context, line, "%s", text);
}

/* --- what only shows when all is read --- */

static const struct draft_section *find_provider(const struct parser *parser, const char *name)
{
    for (size_t i = 0; i < parser->sections_count; i++) {
        if (parser->sections[i].kind == DRAFT_PROVIDER && strcmp(parser->sections[i].name, name) == 0)
            return &parser->sections[i];
    }
    return NULL;
}

/* What does nothing would be taken for a limit. */
static void check_settings(struct parser *parser, const struct draft_section *section)
{
    static const struct {
        const char *key;
        unsigned setting;
    } some[] = {{"project", PROVIDER_TAKES_PROJECT},
                {"rate-limit", PROVIDER_TAKES_RATE_LIMIT},
                {"issuer", PROVIDER_TAKES_FEDERATION},
                {"audience", PROVIDER_TAKES_FEDERATION},
                {"federation-rule", PROVIDER_TAKES_FEDERATION},
                {"organization", PROVIDER_TAKES_FEDERATION},
                {"service-account", PROVIDER_TAKES_FEDERATION},
                {"workspace", PROVIDER_TAKES_FEDERATION},
                {"token-lifetime", PROVIDER_TAKES_FEDERATION},
                {"exchange", PROVIDER_TAKES_FEDERATION},
                {"models", PROVIDER_TAKES_MODELS},
                {"expires", PROVIDER_TAKES_EXPIRES},
                {"pool-low", PROVIDER_TAKES_POOL_LOW},
                {"path", PROVIDER_TAKES_VAULT},
                {"field", PROVIDER_TAKES_VAULT},
                {"method", PROVIDER_TAKES_VAULT},
                {"parameters", PROVIDER_TAKES_VAULT},
                {"namespace", PROVIDER_TAKES_VAULT}};
    const char *type = section->value.provider.type;
    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++) {
        unsigned line = draft_key_line(section, some[i].key);
        if (line && !(provider_type_settings(type) & some[i].setting))
            report(parser, line, "%s: it does nothing for providers of type %s: take it out", some[i].key, type);
    }
}

/* One way to open it, and a whole one. */
static void check_vault(struct parser *parser, const struct draft_section *section)
{
    bool token = draft_key_line(section, "token"), file = draft_key_line(section, "token-file");
    bool role = draft_key_line(section, "role-id"), secret = draft_key_line(section, "secret-id");
    if (!draft_key_line(section, "address"))
        report(parser, section->line, "there is no address: write address = https://HOST:8200 below it");
    if (role != secret)
        report(parser, section->line, "an AppRole needs both: write role-id = REFERENCE and secret-id = REFERENCE");
    else if (token + file + role != 1)
        report(parser, section->line, "write one of token, token-file, or role-id with secret-id");
}

/* NULL: there is none. */
static const struct credential_vault *find_vault(const struct parser *parser)
{
    for (size_t i = 0; i < parser->sections_count; i++)
        if (parser->sections[i].kind == DRAFT_VAULT)
            return &parser->sections[i].value.vault;
    return NULL;
}

/* Keys are made in the Vault of [vault], unless their provider has a token of its own: then it says all the rest as well,
 * so that no token goes to a Vault that it was not meant for. */
static void complete_vault_provider(struct parser *parser, struct draft_section *section)
{
    static const char *const own[] = {"base-url", "ca-file", "namespace"};
    struct provider_settings *provider = &section->value.provider;
    const struct credential_vault *vault = find_vault(parser);
    if (!(provider_type_settings(provider->type) & PROVIDER_TAKES_VAULT) || draft_key_line(section, "admin-key"))
        return;
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        if (draft_key_line(section, own[i]))
            report(parser, draft_key_line(section, own[i]),
                   "%s: without an admin-key here it is what [vault] says: write it there, "
                   "or admin-key = REFERENCE, of a token, as well", own[i]);
    if (!vault)
        return;
    snprintf(provider->admin_key, sizeof provider->admin_key, "%s%s", CREDENTIAL_VAULT_TOKEN, vault->address);
    provider->admin_key_blocks = credential_blocks(provider->admin_key);
    snprintf(provider->base_url, sizeof provider->base_url, "%s", vault->address);
    snprintf(provider->ca_file, sizeof provider->ca_file, "%s", vault->ca_file);
    snprintf(provider->vault.name_space, sizeof provider->vault.name_space, "%s", vault->name_space);
}

static void check_alerts(struct parser *parser, const struct draft_section *section)
{
    static const char *const of_webhook[] = {"webhook-secret", "ca-file"};
    for (size_t i = 0; i < sizeof of_webhook / sizeof of_webhook[0]; i++)
        if (draft_key_line(section, of_webhook[i]) && !draft_key_line(section, "webhook"))
            report(parser, draft_key_line(section, of_webhook[i]), "%s: it does nothing without a webhook: write webhook = URL",
                   of_webhook[i]);
    if (strncmp(section->value.alerts.webhook_secret, "vault", strlen("vault")) == 0 && !find_vault(parser))
        report(parser, draft_key_line(section, "webhook-secret"),
               "webhook-secret: it is in Vault, and which one is not said: write a [vault] section");
    if (draft_key_line(section, "sendmail") && !draft_key_line(section, "mail"))
        report(parser, draft_key_line(section, "sendmail"), "sendmail: it does nothing without an address: write mail = ADDRESS");
}

static void check_provider(struct parser *parser, const struct draft_section *section)
{
    const char *const *types = provider_types();
    char known[256];
    provider_types_told(known, sizeof known);
    while (*types && strcmp(*types, section->value.provider.type) != 0)
        types++;
    if (!*types)
        report(parser, section->line, "'%s' is not a type of provider that llmhook knows: write type = %s below it",
               section->name, known);
    else
        check_settings(parser, section);
    const char *key = provider_type_key_setting(section->value.provider.type),
        *needs = provider_type_needs(section->value.provider.type);
    if ((needs || !*types) && !draft_key_line(section, key))
        report(parser, section->line, "this provider has no %s: write %s = credential:NAME, env:NAME or file:/PATH below it", key,
               key);
    const char *other = strcmp(key, "key") == 0 ? "admin-key" : "key";
    if (*types && draft_key_line(section, other))
        report(parser, draft_key_line(section, other), "%s: a provider of type %s has %s instead", other, *types, key);
    if (strncmp(section->value.provider.admin_key, "vault", strlen("vault")) == 0 && !find_vault(parser))
        report(parser, draft_key_line(section, key), "%s: it is in Vault, and which one is not said: write a [vault] section",
               key);
    struct error err = ERROR_INIT;
    if (*types && !provider_settings_check(&section->value.provider, &err))
        report(parser, section->line, "%s", err.text);
}

/* The variable that the provider's keys are, unless a domain says otherwise. */
static const char *variable_of(const struct draft_section *section)
{
    return provider_settings_environment(&section->value.provider);
}

/* Two keys that would be the same variable in the guest: one of them would be lost. */
static void check_variables(struct parser *parser, const struct draft_section *section, unsigned line)
{
    const struct policy *policy = &section->value.policy.policy;
    for (unsigned i = 0; i < policy->count; i++) {
        const struct draft_section *one = find_provider(parser, policy->keys[i].provider);
        for (unsigned j = i + 1; one && j < policy->count; j++) {
            const struct draft_section *other = find_provider(parser, policy->keys[j].provider);
            if (other && variable_of(one)[0] && strcmp(variable_of(one), variable_of(other)) == 0)
                report(parser, line, "providers: '%s' and '%s' would be the same variable in the guest: "
                       "write another environment = into one of their sections", one->name, other->name);
        }
    }
}

/* How long keys of PROVIDER are kept beside their successors where a policy says OVERLAP: what this host signs is not at all, and
 * what ends by itself for a quarter of its life at most. */
static int64_t kept_beside(const struct provider_settings *provider, int64_t overlap)
{
    if (provider_type_settings(provider->type) & PROVIDER_TAKES_FEDERATION)
        return 0;
    return provider->expires_ms && provider->expires_ms / 4 < overlap ? provider->expires_ms / 4 : overlap;
}

/* No key is replaced while an earlier one is in its overlap, so that there are never more than two. */
static void check_overlap(struct parser *parser, const struct draft_section *section, const struct provider_settings *provider)
{
    int64_t rotate = section->value.policy.rotate_ms;
    unsigned line = draft_key_line(section, "rotate");
    if (rotate > 0 && rotate < kept_beside(provider, section->value.policy.overlap_ms))
        report(parser, line, "rotate: it is shorter than the overlap, in which no key is replaced: write overlap = ..., no longer "
               "than this, or a longer rotate");
}

static void check_policy(struct parser *parser, const struct draft_section *section)
{
    static const char *const per_key[] = {"monthly-limit", "rotate", "overlap", "on-stop", "on-save", "over-budget"};
    const struct policy *policy = &section->value.policy.policy;
    unsigned line = draft_key_line(section, "providers");
    for (unsigned i = 0; i < policy->count; i++) {
        const struct draft_section *provider = find_provider(parser, policy->keys[i].provider);
        if (!provider) {
            report(parser, line, "providers: '%s' has no section: write [provider %s] with its admin-key, or take it out",
                   policy->keys[i].provider, policy->keys[i].provider);
            continue;
        }
        check_overlap(parser, section, &provider->value.provider);
    }
    check_variables(parser, section, line);
    for (size_t i = 0; i < sizeof per_key / sizeof per_key[0]; i++) {
        if (!line && draft_key_line(section, per_key[i]))
            report(parser, draft_key_line(section, per_key[i]), "%s: it does nothing without providers: write providers = NAME",
                   per_key[i]);
    }
}

/* --- from drafts to a configuration --- */

static void put_policy(struct config *config, const struct draft_section *section)
{
    struct config_policy *policy = &config->policies[config->policies_count++];
    memcpy(policy->glob, section->name, sizeof policy->glob);
    policy->policy = section->value.policy.policy;
    for (unsigned i = 0; i < policy->policy.count; i++) {
        policy->policy.keys[i].monthly_limit = section->value.policy.monthly_limit;
        policy->policy.keys[i].rotate_ms = section->value.policy.rotate_ms;
        policy->policy.keys[i].overlap_ms = section->value.policy.overlap_ms;
        policy->policy.keys[i].on_stop = section->value.policy.on_stop;
        policy->policy.keys[i].on_save = section->value.policy.on_save;
        policy->policy.keys[i].over_budget = section->value.policy.over_budget;
    }
}

static void put_owner(struct config *config, const struct draft_section *section)
{
    struct config_owner *owner = &config->owners[config->owners_count++];
    memcpy(owner->name, section->name, sizeof owner->name);
    owner->monthly_limit = section->value.owner.monthly_limit;
}

static void complete_daemon(struct config_daemon *daemon)
{
    if (!daemon->seal_key[0])
        snprintf(daemon->seal_key, sizeof daemon->seal_key, "%s/seal.key",
                 strcmp(daemon->state_directory, "/") == 0 ? "" : daemon->state_directory);
}

/* NULL when memory is short. */
static struct config *assemble(const struct parser *parser)
{
    cleanup_config struct config *config = config_new();
    if (!config)
        return NULL;
    /* One more than needed, so that nothing is not NULL. */
    config->providers = calloc(parser->sections_count + 1, sizeof *config->providers);
    config->policies = calloc(parser->sections_count + 1, sizeof *config->policies);
    config->owners = calloc(parser->sections_count + 1, sizeof *config->owners);
    if (!config->providers || !config->policies || !config->owners)
        return NULL;
    config->sections_count = parser->sections_count;
    for (size_t i = 0; i < parser->sections_count; i++) {
        const struct draft_section *section = &parser->sections[i];
        if (section->kind == DRAFT_DAEMON)
            config->daemon = section->value.daemon;
        else if (section->kind == DRAFT_VAULT)
            config->vault = section->value.vault;
        else if (section->kind == DRAFT_ALERTS)
            config->alerts = section->value.alerts;
        else if (section->kind == DRAFT_PROVIDER)
            config->providers[config->providers_count++] = section->value.provider;
        else if (section->kind == DRAFT_OWNER)
            put_owner(config, section);
        else
            put_policy(config, section);
    }
    complete_daemon(&config->daemon);
    return steal(&config);
}

static void parser_free(struct parser *parser)
{
    if (parser)
        free(parser->sections);
    free(parser);
}

static void cleanup_parser_pointer(struct parser **parser)
{
    parser_free(*parser);
}

/* Reads everything and collects what is wrong. NULL when memory is short. Owner: the caller. */
static struct parser *parse(const char *name, const char *text, size_t length)
{
    static const struct ini_file_reader reader = {take_section, take_key, take_problem};
    struct parser *parser = calloc(1, sizeof *parser);
    if (!parser)
        return NULL;
    parser->file = name;
    parser->before_first_section = true;
    ini_file_parse(text, length, &reader, parser);
    for (size_t i = 0; i < parser->sections_count; i++) {
        if (parser->sections[i].kind == DRAFT_PROVIDER) {
            complete_vault_provider(parser, &parser->sections[i]);
            check_provider(parser, &parser->sections[i]);
        } else if (parser->sections[i].kind == DRAFT_VAULT)
            check_vault(parser, &parser->sections[i]);
        else if (parser->sections[i].kind == DRAFT_ALERTS)
            check_alerts(parser, &parser->sections[i]);
        else if (parser->sections[i].kind == DRAFT_POLICY)
            check_policy(parser, &parser->sections[i]);
    }
    if (parser->out_of_memory) {
        parser_free(parser);
        return NULL;
    }
    return parser;
}

bool config_parse(const char *name, const char *text, size_t length, struct config **ret_config, struct error *err)
{
    __attribute__((cleanup(cleanup_parser_pointer))) struct parser *parser = NULL;
    if (length > CONFIG_FILE_MAX)
        return error_set(err, ERROR_LIMIT, "%s is larger than %d bytes: make it smaller", name, CONFIG_FILE_MAX);
    parser = parse(name, text, length);
    if (!parser)
        return error_set_errno(err, ENOMEM, "read %s", name);
    if (parser->problems_count > 0) {
        if (err)
            *err = parser->problems[0].error;
        return false;
    }
    struct config *config = assemble(parser);
    if (!config)
        return error_set_errno(err, ENOMEM, "read %s", name);
    *ret_config = config;
    return true;
}

/* --- the file --- */

/* Whoever can write the file can send admin keys to a server of their own. */
static bool check_file(const char *path, int fd, struct error *err)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return error_set_errno(err, errno, "%s", path);
    if (!S_ISREG(status.st_mode))
        return error_set(err, ERROR_INVALID, "%s is not a regular file: write the configuration into one", path);
    if (status.st_uid != 0 && status.st_uid != geteuid())
        return error_set(err, ERROR_DENIED, "%s belongs to user %u: run chown root %s", path, (unsigned)status.st_uid, path);
    if (status.st_mode & (S_IWGRP | S_IWOTH))
        return error_set(err, ERROR_DENIED, "%s can be written by others (mode %04o): run chmod go-w %s", path,
                         (unsigned)status.st_mode & 07777, path);
    return true;
}

bool config_load(const char *path, struct buffer *content, struct error *err)
{
    char piece[16 * 1024];
    /* O_NONBLOCK: a FIFO in the file's place must not hold us up. */
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return error_set_errno(err, errno, "%s", path);
    if (!check_file(path, fd, err))
        return false;
    for (;;) {
        ssize_t got = read(fd, piece, sizeof piece);
        if (got == 0)
            return true;
        if (got < 0 && errno != EINTR)
            return error_set_errno(err, errno, "%s", path);
        if (got > 0 && !buffer_append(content, piece, (size_t)got))
            return error_set(err, ERROR_LIMIT, "%s is larger than %d bytes: make it smaller", path, CONFIG_FILE_MAX);
    }
}

bool config_read(const char *path, struct config **ret_config, struct error *err)
{
    cleanup_buffer struct buffer content = BUFFER_INIT(CONFIG_FILE_MAX);
    return config_load(path, &content, err) && config_parse(path, buffer_text(&content), content.length, ret_config, err);
}

unsigned config_check(const char *path, config_problem_fn *found, void *context)
{
    cleanup_buffer struct buffer content = BUFFER_INIT(CONFIG_FILE_MAX);
    __attribute__((cleanup(cleanup_parser_pointer))) struct parser *parser = NULL;
    struct error err = ERROR_INIT;
    if (!config_load(path, &content, &err)) {
        found(context, err.text);
        return 1;
    }
    parser = parse(path, buffer_text(&content), content.length);
    if (!parser) {
        error_set_errno(&err, ENOMEM, "read %s", path);
        found(context, err.text);
        return 1;
    }
    for (unsigned i = 0; i < parser->problems_count; i++)
        found(context, parser->problems[i].error.text);
    if (parser->problems_dropped > 0) {
        error_set(&err, ERROR_INVALID, "%s: and %u more problems", path, parser->problems_dropped);
        found(context, err.text);
    }
    return parser->problems_count + (parser->problems_dropped > 0);
}

/* --- using it --- */

struct config *config_new(void)
{
    struct draft_section defaults = {.kind = DRAFT_DAEMON};
    struct config *config = calloc(1, sizeof *config);
    if (config) {
        draft_defaults(&defaults);
        config->daemon = defaults.value.daemon;
        complete_daemon(&config->daemon);
        config->alerts = config_alerts_defaults;
    }
    return config;
}

void config_free(struct config *config)
{
    if (config) {
        free(config->providers);
        free(config->policies);
        free(config->owners);
    }
    free(config);
}

const struct policy *config_policy_for(const struct config *config, const char *domain_name)
{
    for (size_t i = 0; i < config->policies_count; i++) {
        if (fnmatch(config->policies[i].glob, domain_name, 0) == 0)
            return &config->policies[i].policy;
    }
    return NULL;
}

const struct provider_settings *config_provider(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->providers_count; i++) {
        if (strcmp(config->providers[i].name, name) == 0)
            return &config->providers[i];
    }
    return NULL;
}

int64_t config_owner_limit(const struct config *config, const char *owner)
{
    for (size_t i = 0; i < config->owners_count; i++) {
        if (strcmp(config->owners[i].name, owner) == 0)
            return config->owners[i].monthly_limit;
    }
    return 0;
}
