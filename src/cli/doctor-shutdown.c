#include "cli/doctor.h"

#include "base/buffer.h"
#include "base/program.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { TIMEOUT_MS = 10 * 1000, SAID_MAX = 64 * 1024 };

/* What `systemctl show` says of a unit. The strings belong to its output. */
struct unit {
    const char *active;
    char *after; /* a list of units, a blank between them */
};

/* Takes TEXT apart, "PROPERTY=value" lines: one unit's. */
static struct unit read_unit(char *text)
{
    struct unit unit = {"", NULL};
    for (char *line = strsep(&text, "\n"); line; line = strsep(&text, "\n"))
        if (!strncmp(line, "ActiveState=", 12))
            unit.active = line + 12;
        else if (!strncmp(line, "After=", 6))
            unit.after = line + 6;
    return unit;
}

/* Looks in the list AFTER, which is taken apart. */
static bool comes_after(char *after, const char *unit)
{
    for (char *word = strsep(&after, " "); word; word = strsep(&after, " "))
        if (!strcmp(word, unit))
            return true;
    return false;
}

/* Asks systemd for NAME, which SAID then holds. False: systemd is not asked, or does not answer. */
static bool ask_systemd(const struct doctor *doctor, const char *name, struct buffer *said, struct unit *ret_unit)
{
    /* Debian's and its kin's, then NixOS's. */
    static const char *const places[] = {"/usr/bin/systemctl", "/run/current-system/sw/bin/systemctl"};
    static const char *const environment[] = {"LC_ALL=C", NULL};
    char path[PATH_MAX];
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        doctor_path(doctor, places[i], path);
        if (access(path, X_OK) < 0)
            continue;
        const char *const argv[] = {path, "show", "--property=ActiveState,After", name, NULL};
        const struct program program = {argv, environment, NULL, TIMEOUT_MS, -1};
        struct program_result result = PROGRAM_RESULT_INIT(SAID_MAX);
        bool ok = program_run(&program, &result);
        buffer_clear(said);
        *said = result.output;
        if (ok && said->length)
            *ret_unit = read_unit(said->data);
        return ok && said->length;
    }
    return false;
}

/* At a shutdown of the host libvirt-guests shuts down or saves what runs, which is what has keys revoked while somebody is
 * there to do it. It does so through libvirtd, and Debian 12 and 13 stop that at the same moment: libvirt-guests finds
 * nobody, QEMU is killed, and the keys stay alive until llmhookd runs again. Seen with libvirt 11.3 and systemd 257. */
void doctor_check_shutdown(struct doctor *doctor)
{
    static const char name[] = "host shutdown", guests_name[] = "libvirt-guests.service";
    static const char *const daemons[] = {"libvirtd.service", "virtqemud.service"};
    cleanup_buffer struct buffer of_guests = BUFFER_INIT(SAID_MAX);
    struct unit guests = {"", NULL}, daemon;
    char booted[PATH_MAX], remedy[256];
    doctor_path(doctor, "/run/systemd/system", booted); /* sd_booted(3) */
    if (access(booted, F_OK) < 0 || !ask_systemd(doctor, guests_name, &of_guests, &guests))
        return;
    if (strcmp(guests.active, "active") != 0) {
        doctor_add(doctor, name, DOCTOR_WARNING, "systemctl enable --now libvirt-guests",
                   "libvirt-guests does not run, which shuts VMs down, or saves them, before libvirtd stops: when the host "
                   "goes down their keys stay alive until it is up again");
        return;
    }
    for (size_t i = 0; i < sizeof daemons / sizeof daemons[0]; i++) {
        cleanup_buffer struct buffer of_daemon = BUFFER_INIT(SAID_MAX);
        if (!ask_systemd(doctor, daemons[i], &of_daemon, &daemon) || strcmp(daemon.active, "active") != 0)
            continue;
        if (guests.after && !comes_after(guests.after, daemons[i])) {
            snprintf(remedy, sizeof remedy, "systemctl edit libvirt-guests, and there: [Unit], and on the next line After=%s",
                     daemons[i]);
            doctor_add(doctor, name, DOCTOR_WARNING, remedy,
                       "libvirt-guests and %s stop at the same time: VMs are neither shut down nor saved when the host goes "
                       "down, and their keys stay alive until it is up again",
                       daemons[i]);
            return;
        }
        doctor_add(doctor, name, DOCTOR_OK, NULL, "libvirt-guests ends VMs before %s and llmhookd stop", daemons[i]);
        return;
    }
}
