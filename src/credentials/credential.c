#include "credentials/credential.h"

#include "base/cleanup.h"
#include "base/failpoint.h"
#include "credentials/source.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { CREDENTIAL_NAME_MAX = 255 };

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
static const char digits[] = "0123456789";

/* The part behind PREFIX, or NULL when REFERENCE has another form. */
static const char *behind(const char *reference, const char *prefix)
{
    size_t length = strlen(prefix);
    return strncmp(reference, prefix, length) == 0 ? reference + length : NULL;
}

bool source_made_of(const char *text, const char *others)
{
    for (; *text; text++)
        if (!strchr(letters, *text) && !strchr(digits, *text) && !strchr(others, *text))
            return false;
    return true;
}

static bool environment_name_valid(const char *name)
{
    return *name && !strchr(digits, *name) && strlen(name) <= CREDENTIAL_NAME_MAX && source_made_of(name, "_");
}

/* It becomes one component of a path, so it must not be able to leave its directory. */
static bool credential_name_valid(const char *name)
{
    return *name && *name != '.' && strlen(name) <= CREDENTIAL_NAME_MAX && source_made_of(name, "._-");
}

/* Those that ask somebody else, and may have to wait for him. */
static const struct {
    const char *prefix;
    bool (*valid)(const char *rest, struct error *err);
    bool (*fetch)(const char *reference, const char *rest, struct secret **ret_secret, struct error *err);
} sources[] = {
    {"exec:", source_exec_valid, source_exec_fetch},
    {"vault:", source_vault_valid, source_vault_fetch},
    {CREDENTIAL_VAULT_TOKEN, source_vault_token_valid, source_vault_token_fetch},
    {"sops:", source_sops_valid, source_sops_fetch},
};
enum { SOURCES_COUNT = sizeof sources / sizeof sources[0] };

bool credential_valid(const char *reference, struct error *err)
{
    const char *rest;
    /* What is wrong here may be the key itself, put in the wrong place: none of these texts repeats it. */
    if ((rest = behind(reference, "env:")))
        return environment_name_valid(rest) ||
               error_set(err, ERROR_INVALID, "after env: comes a variable's name, as in env:OPENAI_ADMIN_KEY");
    if ((rest = behind(reference, "file:")))
        return (*rest == '/' && strlen(rest) < PATH_MAX) ||
               error_set(err, ERROR_INVALID, "after file: comes an absolute path, as in file:/etc/llmhook/openai.key");
    if ((rest = behind(reference, "credential:")))
        return credential_name_valid(rest) ||
               error_set(err, ERROR_INVALID,
                         "after credential: comes a name of letters, digits, '.', '_' and '-', as in "
                         "credential:openai-admin");
    for (size_t i = 0; i < SOURCES_COUNT; i++)
        if ((rest = behind(reference, sources[i].prefix)))
            return sources[i].valid(rest, err);
    return error_set(err, ERROR_INVALID,
                     "this is not a reference to a credential: write env:NAME, file:/path, credential:NAME, exec:/path, "
                     "vault:MOUNT/PATH#FIELD or sops:/path#key, never the key itself");
}

const char *credential_told(const char *reference)
{
    return behind(reference, CREDENTIAL_VAULT_TOKEN) ? "the place that [vault] names" : reference;
}

bool credential_blocks(const char *reference)
{
    for (size_t i = 0; i < SOURCES_COUNT; i++)
        if (behind(reference, sources[i].prefix))
            return true;
    return false;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f' || c == '\v';
}

bool source_take(const char *reference, const char *text, size_t length, struct secret **ret_secret, struct error *err)
{
    while (length && is_space(*text)) {
        text++;
        length--;
    }
    while (length && is_space(text[length - 1]))
        length--;
    if (!length)
        return error_set(err, ERROR_INVALID, "%s is empty: put the admin key there", reference);
    if (length > SECRET_MAX)
        return error_set(err, ERROR_LIMIT, "%s holds %zu bytes: a key has at most %d", reference, length, SECRET_MAX);
    for (size_t i = 0; i < length; i++)
        if (text[i] <= ' ' || text[i] > '~')
            return error_set(err, ERROR_INVALID,
                             "%s holds more than one word, or a character that no key has: put the admin key there and "
                             "nothing else",
                             reference);
    struct secret *secret = secret_new(text, length);
    if (!secret)
        return error_set(err, ERROR_IO, "%s: out of memory", reference);
    *ret_secret = secret;
    return true;
}

static bool fetch_environment(const char *reference, const char *name, struct secret **ret_secret, struct error *err)
{
    const char *value = getenv(name);
    if (!value)
        return error_set(err, ERROR_NOT_FOUND,
                         "%s: the daemon's environment has no variable %s: set it with EnvironmentFile= in its unit, "
                         "or use credential: or file:",
                         reference, name);
    return source_take(reference, value, strlen(value), ret_secret, err);
}

/* Who else could read this file? The answer is taken from what was opened, so that a link or a rename in between
 * changes nothing. */
static bool file_is_private(const char *reference, const char *path, const struct stat *status, struct error *err)
{
    if (status->st_uid != 0 && status->st_uid != geteuid())
        return error_set(err, ERROR_DENIED, "%s belongs to uid %u: chown it to root", reference,
                         (unsigned)status->st_uid);
    if (status->st_mode & 077)
        return error_set(err, ERROR_DENIED, "%s can be reached by others than its owner (mode %03o): chmod 600 %s",
                         reference, (unsigned)status->st_mode & 0777, path);
    return true;
}

/* PRIVATE: owner and mode are checked. systemd looks after its own directory, and shows access lists as group bits. */
static bool fetch_file(const char *reference, const char *path, bool private, struct secret **ret_secret,
                       struct error *err)
{
    /* Not blocking: a named pipe must not hang the daemon. */
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return error_set(err, ERROR_NOT_FOUND, "%s: there is no file %s: put the admin key there, mode 600", reference,
                         path);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0)
        return error_set_errno(err, errno, "%s cannot be opened, check its path and owner", reference);
    if (!S_ISREG(status.st_mode))
        return error_set(err, ERROR_INVALID, "%s is not a regular file: name the file that holds the key", reference);
    if (private && !file_is_private(reference, path, &status, err))
        return false;

    char bytes[SECRET_MAX + 64]; /* and some white space */
    size_t length = 0;
    ssize_t count = 0;
    do {
        count = read(fd, bytes + length, sizeof bytes - length);
        length += count > 0 ? (size_t)count : 0;
    } while (length < sizeof bytes && (count > 0 || (count < 0 && errno == EINTR)));
    bool ok;
    if (count < 0)
        ok = error_set_errno(err, errno, "%s cannot be read", reference);
    else if (length == sizeof bytes)
        ok = error_set(err, ERROR_LIMIT, "%s is larger than %d bytes: no key is", reference, SECRET_MAX);
    else
        ok = source_take(reference, bytes, length, ret_secret, err);
    explicit_bzero(bytes, sizeof bytes);
    return ok;
}

static bool fetch_credential(const char *reference, const char *name, struct secret **ret_secret, struct error *err)
{
    const char *directory = getenv("CREDENTIALS_DIRECTORY");
    if (!directory || *directory != '/')
        return error_set(err, ERROR_NOT_FOUND,
                         "%s: systemd gave this process no credentials: put LoadCredential=%s:/path or "
                         "LoadCredentialEncrypted=%s:/path into the unit, or use file:",
                         reference, name, name);
    char path[PATH_MAX];
    int length = snprintf(path, sizeof path, "%s/%s", directory, name);
    if (length < 0 || (size_t)length >= sizeof path)
        return error_set(err, ERROR_INVALID, "%s: the path of systemd's credentials directory is too long", reference);
    if (access(path, F_OK) < 0 && errno == ENOENT)
        return error_set(err, ERROR_NOT_FOUND,
                         "%s: the unit loads no credential of that name: put LoadCredential=%s:/path into it and "
                         "restart",
                         reference, name);
    return fetch_file(reference, path, false, ret_secret, err);
}

bool credential_fetch(const char *reference, struct secret **ret_secret, struct error *err)
{
    const char *rest;
    if (!credential_valid(reference, err))
        return false;
    if ((rest = behind(reference, "env:")))
        return fetch_environment(reference, rest, ret_secret, err);
    if ((rest = behind(reference, "file:")))
        return fetch_file(reference, rest, true, ret_secret, err);
    for (size_t i = 0; i < SOURCES_COUNT; i++)
        if ((rest = behind(reference, sources[i].prefix))) {
            FAILPOINT("fetch-credential", "sending");
            bool ok = sources[i].fetch(reference, rest, ret_secret, err);
            FAILPOINT("fetch-credential", "answered");
            return ok;
        }
    return fetch_credential(reference, behind(reference, "credential:"), ret_secret, err);
}
