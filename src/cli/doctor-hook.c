#include "cli/doctor.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/durable.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef PKGLIBEXECDIR
#define PKGLIBEXECDIR "/usr/libexec/llmhook"
#endif

#define MARKER "llmhook-hook-marker"
#define SOURCE PKGLIBEXECDIR "/qemu"
#define INSTALL PKGLIBEXECDIR "/install-hook.sh install"
#define MAIN_HOOK "/qemu"
#define BESIDE_HOOK "/qemu.d/50-llmhook"

enum { HOOK_MAX = 32 * 1024 * 1024 };

/* Where libvirt looks; the second is NixOS's, whose libvirt looks nowhere else. */
static const char *const directories[] = {"/etc/libvirt/hooks", "/var/lib/libvirt/hooks"};
enum { DIRECTORIES = sizeof directories / sizeof directories[0] };

/* There what is in the folder is made anew whenever libvirtd starts, by its configuration's service. */
#define NIXOS_INSTALL "systemctl restart libvirtd (domains keep running)"

static bool is_nixos(const struct doctor *doctor)
{
    char path[PATH_MAX];
    doctor_path(doctor, "/etc/NIXOS", path);
    return access(path, F_OK) == 0;
}

/* Of those that libvirt looks into. */
static size_t first_directory(const struct doctor *doctor)
{
    return is_nixos(doctor) ? 1 : 0;
}

enum owner { NOBODYS, OURS, ANOTHERS };

static enum owner whose(const char *path)
{
    cleanup_buffer struct buffer content = BUFFER_INIT(HOOK_MAX);
    struct stat status;
    if (stat(path, &status) < 0 || !S_ISREG(status.st_mode))
        return NOBODYS;
    if (!durable_read(path, &content, NULL) || !content.length)
        return ANOTHERS;
    return memmem(content.data, content.length, MARKER, strlen(MARKER)) ? OURS : ANOTHERS;
}

static enum owner whose_in(const struct doctor *doctor, const char *directory, const char *name, char path[PATH_MAX])
{
    char suffix[PATH_MAX];
    snprintf(suffix, sizeof suffix, "%s%s", directory, name);
    doctor_path(doctor, suffix, path);
    return whose(path);
}

bool doctor_find_hook(const struct doctor *doctor, char path[PATH_MAX], bool *ret_beside_another)
{
    char other[PATH_MAX];
    for (size_t i = first_directory(doctor); i < DIRECTORIES; i++) {
        enum owner main_owner = whose_in(doctor, directories[i], MAIN_HOOK, path);
        *ret_beside_another = main_owner == ANOTHERS;
        if (main_owner == OURS)
            return true;
        if (whose_in(doctor, directories[i], BESIDE_HOOK, other) == OURS) {
            memcpy(path, other, PATH_MAX);
            return true;
        }
    }
    return false;
}

/* libvirtd runs the hook as root: whoever can change it is root. True: nothing is wrong with PATH. */
static bool check_rights(struct doctor *doctor, const char *path)
{
    struct stat status;
    char directory[PATH_MAX], remedy[PATH_MAX + 64];
    memcpy(directory, path, strlen(path) + 1);
    *strrchr(directory, '/') = '\0';
    const char *const both[] = {path, directory};
    for (size_t i = 0; i < 2; i++) {
        if (stat(both[i], &status) < 0) {
            doctor_add(doctor, "hook", DOCTOR_FAILED, NULL, "%s: %s", both[i], strerror(errno));
            return false;
        }
        if (status.st_uid != 0 || (status.st_mode & 022)) {
            snprintf(remedy, sizeof remedy, "chown root %s && chmod go-w %s", both[i], both[i]);
            doctor_add(doctor, "hook", DOCTOR_FAILED, remedy,
                       "%s can be changed by others than root (uid %lu, mode %04o)", both[i],
                       (unsigned long)status.st_uid, (unsigned)status.st_mode & 07777);
            return false;
        }
        if (i == 0 && !(status.st_mode & 0111)) {
            snprintf(remedy, sizeof remedy, "chmod 0755 %s", path);
            doctor_add(doctor, "hook", DOCTOR_FAILED, remedy, "%s is not executable, so libvirt does not run it", path);
            return false;
        }
    }
    return true;
}

/* The hook is a copy, or a link that somebody makes: what is installed anew beside it does not reach it. True: PATH is the one
 * that belongs to us, or there is none to compare it with. */
static bool check_ours(struct doctor *doctor, const char *path)
{
    char source[PATH_MAX];
    cleanup_buffer struct buffer installed = BUFFER_INIT(HOOK_MAX), wanted = BUFFER_INIT(HOOK_MAX);
    doctor_path(doctor, SOURCE, source);
    if (!durable_read(source, &wanted, NULL) || !durable_read(path, &installed, NULL) ||
        (installed.length == wanted.length && memcmp(installed.data, wanted.data, wanted.length) == 0))
        return true;
    doctor_add(doctor, "hook", DOCTOR_WARNING, is_nixos(doctor) ? NIXOS_INSTALL : INSTALL,
               "%s differs from %s, which belongs to this llmhook", path, source);
    return false;
}

void doctor_check_hook(struct doctor *doctor)
{
    char path[PATH_MAX], other[PATH_MAX], remedy[PATH_MAX + 8];
    bool beside = false;
    if (doctor_find_hook(doctor, path, &beside)) {
        if (!check_rights(doctor, path))
            return;
        for (size_t i = first_directory(doctor); i < DIRECTORIES; i++)
            if (whose_in(doctor, directories[i], BESIDE_HOOK, other) == OURS && strcmp(other, path) != 0) {
                snprintf(remedy, sizeof remedy, "rm %s", other);
                doctor_add(doctor, "hook", DOCTOR_WARNING, remedy, "installed twice, at %s and at %s", path, other);
                return;
            }
        if (!check_ours(doctor, path))
            return;
        doctor_add(doctor, "hook", DOCTOR_OK, NULL, "installed at %s%s", path,
                   beside ? ", beside somebody else's qemu hook" : "");
        return;
    }
    for (size_t i = first_directory(doctor); i < DIRECTORIES; i++)
        if (whose_in(doctor, directories[i], BESIDE_HOOK, other) == ANOTHERS) {
            snprintf(remedy, sizeof remedy, "move it out of the way, then %s", is_nixos(doctor) ? NIXOS_INSTALL : INSTALL);
            doctor_add(doctor, "hook", DOCTOR_FAILED, remedy, "%s is not llmhook's", other);
            return;
        }
    bool foreign = whose_in(doctor, directories[first_directory(doctor)], MAIN_HOOK, path) == ANOTHERS;
    doctor_add(doctor, "hook", DOCTOR_FAILED,
               is_nixos(doctor) ? NIXOS_INSTALL : INSTALL ", then systemctl reload libvirtd",
               "not installed: domains are only noticed once they run%s",
               foreign ? " (the qemu hook is somebody else's, and may stay)" : "");
}

/* --- libvirtd --- */

/* Connects, without waiting, to what libvirt's clients connect to. Owner of the result: the caller; -1: ERRNO. */
static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EAGAIN) {
        int why = errno;
        close(fd);
        errno = why;
        return -1;
    }
    return fd;
}

static pid_t pid_from_file(const struct doctor *doctor, const char *suffix)
{
    char path[PATH_MAX];
    cleanup_buffer struct buffer text = BUFFER_INIT(64);
    doctor_path(doctor, suffix, path);
    return durable_read(path, &text, NULL) ? (pid_t)strtol(buffer_text(&text), NULL, 10) : 0;
}

/* The process behind the socket; where systemd listens for it, the one that has left its number. 0: not known. */
static pid_t libvirt_process(const struct doctor *doctor, int fd)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.pid > 1)
        return peer.pid;
    static const char *const files[] = {"/run/libvirtd.pid", "/run/virtqemud.pid"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        pid_t pid = pid_from_file(doctor, files[i]);
        if (pid > 1)
            return pid;
    }
    return 0;
}

/* When PID started, milliseconds since the epoch; 0: not known. */
static int64_t started_at(pid_t pid)
{
    char path[64];
    cleanup_buffer struct buffer text = BUFFER_INIT(4096);
    snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    if (!durable_read(path, &text, NULL))
        return 0;
    /* The program's name, in brackets, may hold anything: the fields are counted from its end. Start is the 22nd. */
    const char *at = strrchr(buffer_text(&text), ')');
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    if (!at)
        return 0;
    int64_t after_boot = strtoll(at + 1, NULL, 10) * 1000 / sysconf(_SC_CLK_TCK);
    return clock_wall_ms() - clock_monotonic_ms() + after_boot;
}

/* libvirtd looks for hooks when it starts and when it is reloaded. A reload leaves no trace, so this can only warn. */
static void check_seen(struct doctor *doctor, pid_t pid)
{
    char path[PATH_MAX];
    bool beside = false;
    struct stat status;
    if (!doctor_find_hook(doctor, path, &beside))
        return;
    *strrchr(path, '/') = '\0';
    int64_t started = pid ? started_at(pid) : 0;
    if (beside || !started || stat(path, &status) < 0)
        return; /* beside another hook a new one is seen at once */
    int64_t changed = clock_ms_of(status.st_mtim);
    bool nixos = is_nixos(doctor);
    if (changed > started)
        doctor_add(doctor, "hook seen", DOCTOR_WARNING,
                   nixos ? NIXOS_INSTALL : "systemctl reload libvirtd (domains keep running), unless that was done since",
                   "%s has changed since libvirtd started: a first hook is only seen after a %s", path,
                   nixos ? "restart" : "reload");
    else
        doctor_add(doctor, "hook seen", DOCTOR_OK, NULL, "libvirtd has started since the hook was installed");
}

void doctor_check_libvirt(struct doctor *doctor)
{
    static const char *const sockets[] = {"/run/libvirt/libvirt-sock", "/run/libvirt/virtqemud-sock"};
    char path[PATH_MAX];
    int why = ENOENT;
    for (size_t i = 0; i < sizeof sockets / sizeof sockets[0]; i++) {
        doctor_path(doctor, sockets[i], path);
        cleanup_close int fd = connect_to(path);
        if (fd >= 0) {
            doctor_add(doctor, "libvirtd", DOCTOR_OK, NULL, "listens at %s", path);
            check_seen(doctor, libvirt_process(doctor, fd));
            return;
        }
        if (errno != ENOENT)
            why = errno;
    }
    doctor_add(doctor, "libvirtd", DOCTOR_FAILED, "systemctl start libvirtd (or virtqemud)",
               "nobody answers at %s%s or virtqemud-sock: %s", doctor->root, sockets[0], strerror(why));
}
