/* The words of a policy, and which of two policies wins.
 *
 * What is parsed here comes from the configuration and from domain XML, which any user of libvirt may write:
 * error texts quote it shortened and in printable ASCII, so that it cannot forge a line of a log or a terminal. */
#include "lifecycle/policy.h"

#include <stddef.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const int64_t second = 1000, minute = 60 * second, hour = 60 * minute, day = 24 * hour;
static const int64_t micro_dollars_max = INT64_C(1000000) * 1000000; /* exclusive */
static const int64_t duration_max_days = 3650, overlap_max_days = 30;

/* ASCII only, whatever the locale says. */
static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

static bool is_letter(char c)
{
    return is_upper(c) || (c >= 'a' && c <= 'z');
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Enough of a text to recognise it. */
struct quote {
    char text[48];
};

static const char *quote(const char *text, struct quote *ret_quote)
{
    size_t i;
    for (i = 0; text[i] && i < sizeof ret_quote->text - 4; i++)
        ret_quote->text[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
    memcpy(ret_quote->text + i, text[i] ? "..." : "\0\0\0", 4);
    return ret_quote->text;
}

/* Reads digits, none is fine, up to MAX; returns how many there were, or -1 when the number is larger. */
static int read_number(const char *text, int64_t max, int64_t *ret_value)
{
    int64_t value = 0;
    int digits = 0;
    for (; is_digit(text[digits]); digits++) {
        value = value * 10 + (text[digits] - '0');
        if (value > max || digits >= 32)
            return -1;
    }
    *ret_value = value;
    return digits;
}

static bool wrong_dollars(const char *text, struct error *err)
{
    struct quote shown;
    return error_set(err, ERROR_INVALID, "'%s' is not an amount of US dollars: write it like 100 or 12.50", quote(text, &shown));
}

bool policy_parse_dollars(const char *text, int64_t *ret_micro_dollars, struct error *err)
{
    struct quote shown;
    const char *at = text;
    int64_t dollars, micros = 0;
    if (*at == '$')
        at++;
    int digits = read_number(at, micro_dollars_max / 1000000 - 1, &dollars);
    if (digits < 0)
        return error_set(err, ERROR_INVALID, "'%s' is too much: write less than 1000000 US dollars", quote(text, &shown));
    if (digits == 0)
        return wrong_dollars(text, err);
    at += digits;
    if (*at == '.') {
        int decimals = read_number(at + 1, 999999, &micros);
        if (decimals < 1 || decimals > 6)
            return wrong_dollars(text, err);
        at += 1 + decimals;
        for (; decimals < 6; decimals++)
            micros *= 10;
    }
    if (is_blank(*at)) {
        while (is_blank(*at))
            at++;
        if (strcmp(at, "USD") != 0)
            return wrong_dollars(text, err);
        at += 3;
    }
    if (*at)
        return wrong_dollars(text, err);
    if (dollars == 0 && micros == 0)
        return error_set(err, ERROR_INVALID, "a limit of '%s' buys nothing: write more than 0 US dollars", quote(text, &shown));
    *ret_micro_dollars = dollars * 1000000 + micros;
    return true;
}

bool policy_parse_duration(const char *text, int64_t *ret_ms, struct error *err)
{
    const struct {
        const char *name;
        int64_t ms;
    } units[] = {{"ms", 1}, {"s", second}, {"min", minute}, {"h", hour}, {"d", day}};
    struct quote shown;
    int64_t number;

    if (strcmp(text, "never") == 0) {
        *ret_ms = POLICY_NEVER;
        return true;
    }
    int digits = read_number(text, duration_max_days * day, &number);
    if (digits < 0)
        return error_set(err, ERROR_INVALID, "'%s' is too long: write at most 3650d, or never", quote(text, &shown));
    const char *unit = text + digits;
    if (digits > 0 && !*unit)
        return error_set(err, ERROR_INVALID, "'%s' has no unit: write it with ms, s, min, h or d, like 30d", quote(text, &shown));
    while (digits > 0 && is_blank(*unit))
        unit++;
    for (size_t i = 0; digits > 0 && i < COUNT(units); i++) {
        if (strcmp(unit, units[i].name) != 0)
            continue;
        if (number > duration_max_days * day / units[i].ms)
            return error_set(err, ERROR_INVALID, "'%s' is too long: write at most 3650d, or never", quote(text, &shown));
        *ret_ms = number * units[i].ms;
        return true;
    }
    return error_set(err, ERROR_INVALID,
                     "'%s' is not a duration: write a whole number with ms, s, min, h or d, like 30d, or never",
                     quote(text, &shown));
}

bool policy_parse_rotation(const char *text, int64_t *ret_ms, struct error *err)
{
    struct quote shown;
    int64_t ms;
    if (!policy_parse_duration(text, &ms, err))
        return false;
    if (ms != POLICY_NEVER && ms < hour)
        return error_set(err, ERROR_INVALID, "rotating every '%s' is too often: write 1h or longer, or never",
                         quote(text, &shown));
    *ret_ms = ms;
    return true;
}

bool policy_parse_overlap(const char *text, int64_t *ret_ms, struct error *err)
{
    struct quote shown;
    int64_t ms;
    if (!policy_parse_duration(text, &ms, err))
        return false;
    if (ms == POLICY_NEVER || ms > overlap_max_days * day)
        return error_set(err, ERROR_INVALID,
                         "'%s' would keep two keys alive for too long: write 30d or less, or 0s for no overlap",
                         quote(text, &shown));
    *ret_ms = ms ? ms : POLICY_NO_OVERLAP;
    return true;
}

bool policy_parse_flag(const char *text, enum policy_flag *ret_flag, struct error *err)
{
    static const char *const yes[] = {"yes", "true", "on", "1"}, *const no[] = {"no", "false", "off", "0"};
    struct quote shown;
    for (size_t i = 0; i < COUNT(yes); i++) {
        if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
            *ret_flag = strcmp(text, yes[i]) == 0 ? POLICY_FLAG_YES : POLICY_FLAG_NO;
            return true;
        }
    }
    return error_set(err, ERROR_INVALID, "'%s' is neither yes nor no: write yes or no", quote(text, &shown));
}

static const char *const fate_names[] = {
    [POLICY_FATE_DEFAULT] = "default",
    [POLICY_FATE_KEEP] = "keep",
    [POLICY_FATE_SUSPEND] = "suspend",
    [POLICY_FATE_REVOKE] = "revoke",
};

const char *policy_fate_name(enum policy_fate fate)
{
    return (unsigned)fate < COUNT(fate_names) ? fate_names[fate] : "invalid";
}

bool policy_fate_parse(const char *name, enum policy_fate *ret_fate)
{
    for (size_t i = 0; i < COUNT(fate_names); i++) {
        if (strcmp(name, fate_names[i]) == 0) {
            *ret_fate = (enum policy_fate)i;
            return true;
        }
    }
    return false;
}

/* One of two. */
static bool parse_fate(const char *text, const char *what, enum policy_fate one, enum policy_fate other,
                       enum policy_fate *ret_fate, struct error *err)
{
    struct quote shown;
    enum policy_fate fate;
    if (!policy_fate_parse(text, &fate) || (fate != one && fate != other))
        return error_set(err, ERROR_INVALID, "'%s' is not what can become of a key %s: write %s or %s", quote(text, &shown), what,
                         fate_names[one], fate_names[other]);
    *ret_fate = fate;
    return true;
}

bool policy_parse_on_stop(const char *text, enum policy_fate *ret_fate, struct error *err)
{
    return parse_fate(text, "whose domain stops", POLICY_FATE_SUSPEND, POLICY_FATE_REVOKE, ret_fate, err);
}

bool policy_parse_on_save(const char *text, enum policy_fate *ret_fate, struct error *err)
{
    return parse_fate(text, "whose domain is saved", POLICY_FATE_KEEP, POLICY_FATE_SUSPEND, ret_fate, err);
}

bool policy_parse_over_budget(const char *text, enum policy_fate *ret_fate, struct error *err)
{
    return parse_fate(text, "whose limit is reached", POLICY_FATE_SUSPEND, POLICY_FATE_REVOKE, ret_fate, err);
}

/* A word of less than SIZE bytes that begins with a letter, a digit or one of FIRST, and goes on with those or MORE. */
static bool is_word(const char *text, size_t size, const char *first, const char *more)
{
    for (size_t i = 0; text[i]; i++) {
        bool fits = is_letter(text[i]) || is_digit(text[i]) || strchr(i == 0 ? first : more, text[i]);
        if (!fits || i + 1 >= size)
            return false;
    }
    return text[0] != '\0';
}

bool policy_provider_valid(const char *name)
{
    return is_word(name, POLICY_PROVIDER_SIZE, "", "-_") && !is_digit(name[0]);
}

bool policy_owner_valid(const char *owner)
{
    return is_word(owner, POLICY_OWNER_SIZE, "", "._@+-");
}

bool policy_readers_valid(const char *readers)
{
    static const char *const words[] = {"humans", "root", "everybody"};
    static const char group[] = "group:";
    for (size_t i = 0; i < COUNT(words); i++) {
        if (strcmp(readers, words[i]) == 0)
            return true;
    }
    /* As long and as plain as useradd(8) allows: the guest's script takes it as one word. */
    return strncmp(readers, group, sizeof group - 1) == 0 && is_word(readers + sizeof group - 1, 33, "_", "_.-") &&
           !is_digit(readers[sizeof group - 1]);
}

/* Variables on which a shell, the loader or a language's start-up acts: a key under such a name would break every
 * login of the guest, or make programs do something else. A '*' at the end stands for any rest. */
static const char *const reserved_variables[] = {
    "_", "BASH*", "CDPATH", "CURL_*", "DBUS_*", "DISPLAY", "EDITOR", "ENV", "EUID", "FCEDIT", "FPATH", "GCONV_PATH", "GID",
    "GIT_*", "GLIBC_TUNABLES", "HISTFILE", "HOME", "HOSTALIASES", "HOSTNAME", "IFS", "INPUTRC", "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS", "LANG", "LANGUAGE", "LC_*", "LD_*", "LESSOPEN", "LINENO", "LLMHOOK_*", "LOCALDOMAIN", "LOGNAME",
    "MAIL", "MALLOC_*", "NLSPATH", "NODE_*", "OLDPWD", "OPTARG", "OPTIND", "PAGER", "PATH", "PERL*", "POSIXLY_CORRECT",
    "PPID", "PROMPT_COMMAND", "PS1", "PS2", "PS3", "PS4", "PWD", "PYTHON*", "RES_OPTIONS", "RUBYLIB", "RUBYOPT", "SHELL",
    "SHELLOPTS", "SSH_*", "SSL_CERT_DIR", "SSL_CERT_FILE", "SUDO_*", "SYSTEMD_*", "TERM", "TERMINFO*", "TMPDIR", "TZ",
    "TZDIR", "UID", "USER", "VISUAL", "XDG_*", "ZDOTDIR", "_JAVA_OPTIONS",
};

static bool is_reserved(const char *name)
{
    for (size_t i = 0; i < COUNT(reserved_variables); i++) {
        const char *pattern = reserved_variables[i];
        size_t stem = strlen(pattern) - 1;
        if (pattern[stem] == '*' ? strncmp(name, pattern, stem) == 0 : strcmp(name, pattern) == 0)
            return true;
    }
    return false;
}

bool policy_environment_valid(const char *name)
{
    for (size_t i = 0; name[i]; i++) {
        bool fits = is_upper(name[i]) || name[i] == '_' || (i > 0 && is_digit(name[i]));
        if (!fits || i + 1 >= POLICY_ENVIRONMENT_SIZE)
            return false;
    }
    return name[0] && !is_reserved(name);
}

static const struct policy_key *find_key(const struct policy *policy, const char *provider)
{
    for (unsigned i = 0; i < policy->count; i++) {
        if (strcmp(policy->keys[i].provider, provider) == 0)
            return &policy->keys[i];
    }
    return NULL;
}

/* What the domain left open, as the configuration has it for the same provider. */
static void complete_key(struct policy_key *key, const struct policy_key *configured)
{
    if (!key->environment[0])
        memcpy(key->environment, configured->environment, sizeof key->environment);
    if (key->monthly_limit == 0)
        key->monthly_limit = configured->monthly_limit;
    if (key->rotate_ms == 0)
        key->rotate_ms = configured->rotate_ms;
    if (key->overlap_ms == 0)
        key->overlap_ms = configured->overlap_ms;
    if (key->on_stop == POLICY_FATE_DEFAULT)
        key->on_stop = configured->on_stop;
    if (key->on_save == POLICY_FATE_DEFAULT)
        key->on_save = configured->on_save;
    if (key->over_budget == POLICY_FATE_DEFAULT)
        key->over_budget = configured->over_budget;
}

void policy_resolve(const struct policy *configured, const struct policy *metadata, struct policy *ret_policy)
{
    static const struct policy nothing;
    if (!configured)
        configured = &nothing;
    struct policy policy = metadata ? *metadata : *configured;

    if (!policy.owner[0])
        memcpy(policy.owner, configured->owner, sizeof policy.owner);
    if (!policy.readers[0])
        memcpy(policy.readers, configured->readers, sizeof policy.readers);
    if (policy.required == POLICY_FLAG_DEFAULT)
        policy.required = configured->required;
    if (policy.required == POLICY_FLAG_DEFAULT)
        policy.required = POLICY_FLAG_NO;
    if (policy.boot_credential == POLICY_FLAG_DEFAULT)
        policy.boot_credential = configured->boot_credential;
    if (policy.boot_credential == POLICY_FLAG_DEFAULT)
        policy.boot_credential = POLICY_FLAG_NO;

    for (unsigned i = 0; i < policy.count; i++) {
        struct policy_key *key = &policy.keys[i];
        const struct policy_key *fallback = find_key(configured, key->provider);
        if (fallback)
            complete_key(key, fallback);
        if (key->monthly_limit == 0)
            key->monthly_limit = POLICY_DEFAULT_MONTHLY_LIMIT;
        if (key->rotate_ms == 0)
            key->rotate_ms = POLICY_NEVER;
        /* In an overlap nothing is replaced, so that there are never more than two keys. */
        if (key->overlap_ms == 0)
            key->overlap_ms = key->rotate_ms > 0 && key->rotate_ms < POLICY_DEFAULT_OVERLAP_MS ? key->rotate_ms
                                                                                            : POLICY_DEFAULT_OVERLAP_MS;
    }
    *ret_policy = policy;
}
