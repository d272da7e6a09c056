#include "boot-credential.h"

#include "base/boot-credential.h"
#include "base/cleanup.h"
#include "domain-xml.h"
#include "surroundings.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Nothing of it may fail a start that would succeed without: QEMU says it where there is no file. */

struct boot_credential boot_credential_find(const char *xml, size_t length)
{
    static const char folder[] = BOOT_CREDENTIAL_FOLDER "/";
    struct boot_credential credential = {.path = ""};
    if (length == 0 || !memmem(xml, length, folder, sizeof folder - 1))
        return credential;
    struct domain_xml domain = domain_xml_read(xml, length);
    if (domain.boot_credential)
        snprintf(credential.path, sizeof credential.path, "%s%s" BOOT_CREDENTIAL_SUFFIX, folder, domain.uuid);
    return credential;
}

static void make_folder(const char *absolute, mode_t mode)
{
    char path[PATH_MAX];
    surroundings_path(path, sizeof path, absolute);
    if (mkdir(path, mode) == 0)
        chmod(path, mode); /* whatever the umask */
}

void boot_credential_have(const struct boot_credential *credential)
{
    char path[PATH_MAX];
    if (!credential->path[0])
        return;
    make_folder(BOOT_CREDENTIAL_RUNTIME, 0755);
    make_folder(BOOT_CREDENTIAL_FOLDER, 0711);
    surroundings_path(path, sizeof path, credential->path);
    cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    (void)fd;
}

void boot_credential_make(const struct boot_credential *credential)
{
    boot_credential_remove(credential);
    boot_credential_have(credential);
}

void boot_credential_empty(const struct boot_credential *credential)
{
    char path[PATH_MAX];
    if (!credential->path[0])
        return;
    surroundings_path(path, sizeof path, credential->path);
    cleanup_close int fd = open(path, O_WRONLY | O_TRUNC | O_NOFOLLOW | O_CLOEXEC);
    (void)fd;
}

void boot_credential_remove(const struct boot_credential *credential)
{
    char path[PATH_MAX];
    if (!credential->path[0])
        return;
    surroundings_path(path, sizeof path, credential->path);
    unlink(path);
}
