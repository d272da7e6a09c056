/* Keys for a guest without an agent: what the daemon does of base/boot-credential.h, and what can be said of it. */
#include "daemon/engine.h"

#include "base/boot-credential.h"
#include "base/cleanup.h"
#include "base/failpoint.h"
#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { CREDENTIAL_MAX = 64 * 1024, STALE_S = 600 };

bool boot_credential_wanted(const struct vm *vm)
{
    return vm->policy_known && vm->policy.boot_credential == POLICY_FLAG_YES && vm->boot_entry == DOMAIN_BOOT_FILE;
}

/* --- handing over --- */

/* Into the file that the hook has made, never into a new one in its place: libvirt has given the file to QEMU's user, or
 * is about to. Where that has been done already, the hook does not wait any more, and this fails, which is as well. */
static bool fill(const char *path, const struct buffer *text, struct error *err)
{
    struct stat status;
    cleanup_close int fd = open(path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return error_set_errno(err, errno, "open %s, which the hook should have made", path);
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) || status.st_nlink != 1 || (status.st_mode & 0177))
        return error_set(err, ERROR_DENIED, "%s is not as the hook makes it", path);
    FAILPOINT("boot-credential", "writing");
    ssize_t written = ftruncate(fd, 0) < 0 ? -1 : write(fd, buffer_text(text), text->length);
    FAILPOINT("boot-credential", "written");
    if (written == (ssize_t)text->length)
        return true;
    error_set_errno(err, written < 0 ? errno : ENOSPC, "write %s", path);
    /* Half a key is worse than none. */
    if (ftruncate(fd, 0) < 0)
        unlink(path);
    return false;
}

/* Before it can be in the guest it is written down. */
static bool note(struct engine *engine, struct vm *vm, const char *set)
{
    struct domain_record before = vm->record;
    if (strcmp(vm->record.booted, set) == 0)
        return true;
    snprintf(vm->record.booted, sizeof vm->record.booted, "%s", set);
    if (!vm->recorded || rows_save_domain(engine, vm))
        return true;
    vm->record = before;
    return false;
}

bool boot_credential_hand_over(struct engine *engine, struct vm *vm, struct error *err)
{
    char path[sizeof BOOT_CREDENTIAL_FOLDER BOOT_CREDENTIAL_SUFFIX + RECORD_UUID_SIZE], set[SECRET_FINGERPRINT_SIZE];
    cleanup_buffer struct buffer text = BUFFER_INIT(CREDENTIAL_MAX);
    if (boot_credential_wanted(vm) && !deliveries_environment(engine, vm, &text, set, err))
        return false;
    if (!text.length)
        set[0] = '\0';
    if (!note(engine, vm, set))
        return error_set(err, ERROR_IO, "the ledger does not take down that the keys are handed over");
    if (!text.length)
        return true;
    snprintf(path, sizeof path, BOOT_CREDENTIAL_FOLDER "/%s" BOOT_CREDENTIAL_SUFFIX, vm->record.uuid);
    if (!fill(path, &text, err)) {
        note(engine, vm, "");
        return false;
    }
    log_info("%s: its keys are handed over to QEMU, for the guest's systemd", vm->record.name);
    return true;
}

/* --- what was left behind --- */

static bool is_starting(struct engine *engine, const char *name)
{
    char uuid[RECORD_UUID_SIZE];
    snprintf(uuid, sizeof uuid, "%.*s", (int)sizeof uuid - 1, name);
    const struct vm *vm = engine_find_vm(engine, uuid);
    return vm && (vm->waiter || vm->state == DOMAIN_STARTING);
}

void boot_credential_sweep(struct engine *engine)
{
    char path[sizeof BOOT_CREDENTIAL_FOLDER + NAME_MAX + 1];
    struct stat status;
    DIR *stream = opendir(BOOT_CREDENTIAL_FOLDER);
    if (!stream)
        return;
    /* The hook removes it. But libvirtd may have died between a start's hooks. By now no start is so old. */
    for (struct dirent *entry; (entry = readdir(stream));) {
        snprintf(path, sizeof path, BOOT_CREDENTIAL_FOLDER "/%s", entry->d_name);
        if (entry->d_name[0] == '.' || is_starting(engine, entry->d_name) || lstat(path, &status) < 0 ||
            time(NULL) - status.st_mtime < STALE_S)
            continue;
        if (unlink(path) == 0)
            log_notice("%s was left by a start that came to nothing: removed", path);
        else if (errno != ENOENT)
            log_warning("%s was left by a start that came to nothing, and cannot be removed: %s", path, strerror(errno));
    }
    closedir(stream);
}

/* --- in words --- */

static bool runs(const struct vm *vm)
{
    return vm->state == DOMAIN_RUNNING || vm->state == DOMAIN_PAUSED;
}

static bool is_newest(struct vm *vm)
{
    return vm->record.booted[0] && deliveries_set_is(vm, vm->record.booted);
}

bool boot_credential_alone(struct vm *vm)
{
    return runs(vm) && vm->agent != AGENT_CONNECTED && !deliveries_proven(vm) && is_newest(vm);
}

/* What the domain's XML should have. */
#define ENTRY \
    "<sysinfo type='fwcfg'><entry name='" BOOT_CREDENTIAL_ENTRY "' file='" BOOT_CREDENTIAL_FOLDER "/%s" \
    BOOT_CREDENTIAL_SUFFIX "'/></sysinfo>"

bool boot_credential_trouble(const struct vm *vm, char *reason, size_t reason_size, char *remedy, size_t remedy_size)
{
    bool wanted = vm->policy_known && vm->policy.boot_credential == POLICY_FLAG_YES;
    const char *what = NULL;
    if (vm->boot_entry == DOMAIN_BOOT_TEXT)
        what = "its XML has the entry of the boot credential with a text, which whoever may look at the XML can read";
    else if (vm->boot_entry == DOMAIN_BOOT_OTHER_FILE)
        what = "its XML has the entry of the boot credential with another file than its own, which nobody fills";
    else if (vm->boot_entry == DOMAIN_BOOT_NONE && wanted)
        what = "its policy says boot-credential, and its XML has no entry for it";
    if (what) {
        snprintf(reason, reason_size, "%s", what);
        snprintf(remedy, remedy_size, "put " ENTRY " there, and start it anew", vm->record.uuid);
        return true;
    }
    if (vm->boot_entry == DOMAIN_BOOT_NONE || wanted || !vm->policy_known)
        return false;
    snprintf(reason, reason_size,
             "its XML has the entry of the boot credential, and its policy does not ask for it: the file is empty");
    snprintf(remedy, remedy_size, "write boot-credential=\"yes\" into its llmhook:vm, or take the entry out");
    return true;
}

bool boot_credential_words(struct vm *vm, char *reason, size_t reason_size, char *remedy, size_t remedy_size)
{
    reason[0] = remedy[0] = '\0';
    if (boot_credential_trouble(vm, reason, reason_size, remedy, remedy_size))
        return true;
    if (vm->boot_entry != DOMAIN_BOOT_FILE || !vm->policy_known)
        return false;
    if (!runs(vm)) {
        snprintf(reason, reason_size, "its keys are handed over when it starts");
    } else if (is_newest(vm)) {
        snprintf(reason, reason_size, "its keys were handed over when it started; newer ones are at its next start only");
    } else if (vm->record.booted[0]) {
        snprintf(reason, reason_size, "what was handed over when it started is older than its keys are now");
        snprintf(remedy, remedy_size, "start it anew; a reboot of the guest brings the old ones again");
    } else {
        snprintf(reason, reason_size, "no key was there when it started, so none was handed over");
        if (vm->policy.required != POLICY_FLAG_YES)
            snprintf(remedy, remedy_size, "with required=\"yes\" a start waits for its keys");
    }
    return true;
}
