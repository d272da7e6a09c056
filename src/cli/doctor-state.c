#include "cli/doctor.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "base/places.h"
#include "cli/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SPOOL "/var/lib/llmhook/spool" /* the hook's, wherever the daemon keeps the rest */

enum { PATIENCE_MS = 60 * 1000, SEAL_KEY_MIN = 32 };

/* A remedy for a file or directory with wrong rights. */
static void fix_rights(char *remedy, size_t size, const char *mode, const char *path)
{
    snprintf(remedy, size, "chown root: %s && chmod %s %s", path, mode, path);
}

static void check_directory(struct doctor *doctor, const char *path)
{
    struct stat status;
    char remedy[2 * PATH_MAX + 64];
    if (lstat(path, &status) < 0 && errno == ENOENT) {
        doctor_add(doctor, "state", doctor->daemon_answers ? DOCTOR_FAILED : DOCTOR_WARNING, "systemctl start llmhookd",
                   "there is no %s: llmhookd makes it when it starts", path);
    } else if (lstat(path, &status) < 0) {
        doctor_add(doctor, "state", DOCTOR_WARNING, NULL, "cannot look at %s: %s", path, strerror(errno));
    } else if (!S_ISDIR(status.st_mode) || status.st_uid != 0 || (status.st_mode & 07777) != 0700) {
        fix_rights(remedy, sizeof remedy, "0700", path);
        doctor_add(doctor, "state", DOCTOR_FAILED, remedy,
                   "%s is not a directory of root's with mode 0700 (uid %lu, mode %04o)", path,
                   (unsigned long)status.st_uid, (unsigned)status.st_mode & 07777);
    } else {
        doctor_add(doctor, "state", DOCTOR_OK, NULL, "%s, for root alone", path);
    }
}

static void check_seal_key(struct doctor *doctor, const char *state)
{
    static const char name[] = "seal key";
    char fallback[PATH_MAX], setting[PATH_MAX], path[PATH_MAX], ledger[PATH_MAX], remedy[2 * PATH_MAX + 64];
    struct stat status;
    if (snprintf(fallback, sizeof fallback, "%s/seal.key", state) >= PATH_MAX)
        return;
    doctor_setting(doctor, "seal-key", fallback, setting);
    if (setting[0] != '/') {
        doctor_add(doctor, name, DOCTOR_OK, NULL, "%s: passed to llmhookd by systemd", setting);
        return;
    }
    doctor_path(doctor, setting, path);
    if (lstat(path, &status) == 0) {
        if (!S_ISREG(status.st_mode) || status.st_uid != 0 || (status.st_mode & 07077)) {
            fix_rights(remedy, sizeof remedy, "0600", path);
            doctor_add(doctor, name, DOCTOR_FAILED, remedy, "%s is not a file for root alone (uid %lu, mode %04o)", path,
                       (unsigned long)status.st_uid, (unsigned)status.st_mode & 07777);
        } else if (status.st_size < SEAL_KEY_MIN) {
            doctor_add(doctor, name, DOCTOR_FAILED, "put it back from a backup", "%s has %lld bytes, not at least %d",
                       path, (long long)status.st_size, SEAL_KEY_MIN);
        } else {
            doctor_add(doctor, name, DOCTOR_OK, NULL, "%s, for root alone", path);
        }
        return;
    }
    int why = errno;
    if (snprintf(setting, sizeof setting, "%s/ledger.sqlite", state) >= PATH_MAX)
        return;
    doctor_path(doctor, setting, ledger);
    if (why != ENOENT)
        doctor_add(doctor, name, DOCTOR_WARNING, NULL, "cannot look at %s: %s", path, strerror(why));
    else if (access(ledger, F_OK) == 0)
        doctor_add(doctor, name, DOCTOR_FAILED,
                   "put it back from a backup; without it the secrets in the ledger cannot be read, and llmhookd does not "
                   "start; where it is lost for good: llmhookd --seal-key-lost",
                   "there is a ledger, but no %s", path);
    else
        doctor_add(doctor, name, DOCTOR_OK, NULL, "none yet: llmhookd makes %s when it starts for the first time", path);
}

/* Entries, and since when the oldest waits (wall clock, milliseconds). The hook's unfinished files begin with a dot. */
static unsigned count_spool(DIR *directory, int64_t *ret_oldest)
{
    unsigned count = 0;
    const struct dirent *entry;
    while ((entry = readdir(directory))) {
        struct stat status;
        if (entry->d_name[0] == '.' || fstatat(dirfd(directory), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        int64_t since = clock_ms_of(status.st_mtim);
        if (!count++ || since < *ret_oldest)
            *ret_oldest = since;
    }
    return count;
}

static void check_spool(struct doctor *doctor)
{
    char path[PATH_MAX];
    cleanup_buffer struct buffer age = TEXT_INIT;
    int64_t oldest = 0, now = clock_wall_ms();
    doctor_path(doctor, SPOOL, path);
    DIR *directory = opendir(path);
    if (!directory) {
        if (errno == ENOENT)
            doctor_add(doctor, "spool", DOCTOR_OK, NULL, "nothing waits in %s", path);
        else
            doctor_add(doctor, "spool", DOCTOR_WARNING, NULL, "cannot look into %s: %s", path, strerror(errno));
        return;
    }
    unsigned count = count_spool(directory, &oldest);
    closedir(directory);
    text_append_ago(&age, oldest, now);
    if (!count)
        doctor_add(doctor, "spool", DOCTOR_OK, NULL, "nothing waits in %s", path);
    else if (!doctor->daemon_answers)
        doctor_add(doctor, "spool", DOCTOR_WARNING, "systemctl start llmhookd",
                   "events of the hook that wait for llmhookd: %u, the oldest came %s", count, buffer_text(&age));
    else if (now - oldest > PATIENCE_MS)
        doctor_add(doctor, "spool", DOCTOR_FAILED, "journalctl -u llmhookd",
                   "events of the hook that llmhookd does not take up: %u, the oldest came %s", count, buffer_text(&age));
    else
        doctor_add(doctor, "spool", DOCTOR_OK, NULL, "events of the hook that came just now: %u", count);
}

void doctor_check_state(struct doctor *doctor)
{
    char state[PATH_MAX], path[PATH_MAX];
    doctor_setting(doctor, "state-directory", PLACE_STATE, state);
    doctor_path(doctor, state, path);
    check_directory(doctor, path);
    check_seal_key(doctor, state);
    check_spool(doctor);
}
