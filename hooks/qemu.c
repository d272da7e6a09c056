/* /etc/libvirt/hooks/qemu: tells the daemon what libvirt is doing with a domain.
 *
 * libvirt waits for this program while it holds the domain's lock, fails the start when it fails, and kills the domain
 * when it fails at `reconnect`. So: every step is bounded in time, nothing is asked of libvirt, nothing is printed
 * (for `migrate` and `restore` it would replace the XML), no child outlives it, and it exits 0, but for one case: at
 * `prepare`, when the domain requires a key and none can be had.
 *
 * An event that no daemon takes goes to the spool. */
#include "boot-credential.h"
#include "clock.h"
#include "complaint.h"
#include "domain-xml.h"
#include "handover.h"
#include "message.h"
#include "requirement.h"
#include "room.h"
#include "spool.h"
#include "standard-input.h"
#include "surroundings.h"

#include "base/durable.h"

#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    INPUT_MS = 100,    /* for the XML to come in; the rest is the daemon's */
    LATE_MS = 180,     /* until then, where nobody waits for more, XML that is late is read after the daemon has been told */
    HANDOVER_MS = 200, /* for everything, from the program's start to the daemon's answer; see read_on() */
    PAUSE_MS = 50,     /* between attempts, for a domain that requires a key */
};

/* install-hook.sh looks for the word in parentheses to know our file from a foreign one. */
static const char version[] = "llmhook " PACKAGE_VERSION " (llmhook-hook-marker)\n";

struct event {
    struct hook_call call;
    struct room xml; /* empty when there is none to be had */
    bool late;       /* it has not come to its end in time; so far it has */
    size_t so_far;   /* as many bytes */
    struct room message;
    int64_t began;
    int64_t handover_by; /* clock_ms() */
};

static bool is_passed_on(const char *operation)
{
    static const char *const operations[] = {"prepare", "start", "started", "stopped",
                                             "release", "migrate", "restore", "reconnect"};
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
        if (strcmp(operation, operations[i]) == 0)
            return true;
    }
    return false;
}

static const char *reason_of(enum handover_result result, const struct handover *handover)
{
    switch (result) {
    case HANDOVER_REFUSED:
        return handover->reason[0] ? handover->reason : "llmhookd says no more; see `journalctl -u llmhookd`";
    case HANDOVER_ABSENT:
        return "llmhookd is not running; start it with `systemctl start llmhookd`";
    case HANDOVER_SILENT:
        return "llmhookd does not answer; see `systemctl status llmhookd`, or restart it with `systemctl restart "
               "llmhookd`";
    case HANDOVER_LOST:
        return "llmhookd went away before it answered; see `systemctl status llmhookd`";
    case HANDOVER_GARBLED:
    case HANDOVER_ACCEPTED: /* never asked for */
        break;
    }
    return "llmhookd's answer is not understood; see `journalctl -u llmhookd`, and that hook and daemon are of one "
           "version";
}

/* The daemon may just be restarting: asks again until it says yes or no, or the deadline has passed. */
static enum handover_result insist(struct handover *handover, enum handover_result result)
{
    for (int left; (left = clock_left(handover->deadline)) > 0;) {
        poll(NULL, 0, left < PAUSE_MS ? left : PAUSE_MS);
        if (clock_left(handover->deadline) == 0)
            break;
        result = handover_try(handover);
        if (result == HANDOVER_ACCEPTED || result == HANDOVER_REFUSED)
            break;
    }
    return result;
}

/* The message once more, with which boot of the host it is from: an entry may outlive that. */
static bool compose_entry(const struct event *event, struct room *message)
{
    char boot[SPOOL_BOOT_SIZE];
    struct hook_call call = event->call;
    spool_boot(boot);
    call.boot = boot;
    return message_compose(&call, event->xml.bytes, event->xml.length, message) || message_compose(&call, "", 0, message);
}

/* Nobody took the event. Returns the exit status. Not inlined: the usual way must not pay for the pages of its path. */
__attribute__((noinline, cold)) static int keep(const struct event *event, struct handover *handover,
                                                enum handover_result result, bool *ret_heard)
{
    struct error err = ERROR_INIT;
    char entry[PATH_MAX], fixed[4096];
    struct room message = ROOM_INIT(fixed, MESSAGE_MAX);
    struct domain_xml domain = domain_xml_read(event->xml.bytes, event->xml.length);
    spool_entry(entry, event->call.domain, domain.uuid);
    /* First, so that the event is there whatever becomes of us while we insist. */
    if (compose_entry(event, &message) && !spool_keep(entry, message.bytes, message.length - 1, &err))
        complaint_not_kept(event->call.domain, &err);
    room_release(&message);
    if (!handover->obeys_wait)
        return 0;
    if (!handover->waited) {
        struct requirement requirement = requirement_read(event->call.domain);
        if (!requirement_holds(&requirement, &domain))
            return 0;
        handover->deadline = event->began + requirement.deadline_ms;
    }
    result = insist(handover, result);
    if (result == HANDOVER_ACCEPTED || result == HANDOVER_REFUSED)
        durable_remove(entry, NULL); /* it has arrived; at worst the daemon hears it twice */
    *ret_heard = result == HANDOVER_ACCEPTED;
    if (result == HANDOVER_ACCEPTED)
        return 0;
    complaint_no_key(event->call.domain, reason_of(result, handover));
    return 1;
}

/* Returns the exit status. RET_HEARD: the daemon has taken the event, and done what it does at once. */
static int pass_on(const struct event *event, bool *ret_heard)
{
    struct handover handover = {
        .message = event->message.bytes,
        .length = event->message.length,
        .deadline = event->handover_by,
        .obeys_wait = strcmp(event->call.operation, "prepare") == 0,
    };
    enum handover_result result = handover_try(&handover);
    *ret_heard = result == HANDOVER_ACCEPTED;
    if (result == HANDOVER_ACCEPTED)
        return 0;
    if (result != HANDOVER_REFUSED)
        return keep(event, &handover, result, ret_heard);
    if (!handover.obeys_wait)
        return 0;
    complaint_no_key(event->call.domain, reason_of(result, &handover));
    return 1;
}

/* When QEMU runs it has read the file, and when it does not there is nobody to read it. */
static bool ends_boot_credential(const char *operation)
{
    return strcmp(operation, "started") == 0 || strcmp(operation, "stopped") == 0 || strcmp(operation, "release") == 0;
}

static bool begins_boot_credential(const char *operation)
{
    return strcmp(operation, "prepare") == 0 || strcmp(operation, "start") == 0;
}

/* The daemon has been told without the XML, and the rest of our time is left for it. What a `prepare` before this could not
 * make is made here, or QEMU would not start; nothing that is there is replaced, as the daemon knows whose it is by name. */
__attribute__((noinline, cold)) static struct boot_credential find_late(struct event *event)
{
    struct boot_credential credential = {.path = ""};
    event->xml.length = event->so_far;
    if (!standard_input_read(&event->xml, event->began + LATE_MS))
        return credential;
    credential = boot_credential_find(event->xml.bytes, event->xml.length);
    if (begins_boot_credential(event->call.operation))
        boot_credential_have(&credential);
    else
        boot_credential_remove(&credential);
    return credential;
}

static int tell(struct event *event)
{
    struct boot_credential credential = boot_credential_find(event->xml.bytes, event->xml.length);
    bool prepares = strcmp(event->call.operation, "prepare") == 0, ends = ends_boot_credential(event->call.operation);
    bool heard = false;
    if (prepares)
        boot_credential_make(&credential);
    else if (begins_boot_credential(event->call.operation))
        boot_credential_have(&credential);
    else if (ends)
        boot_credential_remove(&credential);
    int status = pass_on(event, &heard);
    if (event->late && status == 0 && (ends || begins_boot_credential(event->call.operation)))
        credential = find_late(event);
    if (prepares && !heard)
        boot_credential_empty(&credential);
    return status;
}

/* The XML has not come in. Whoever requires a key by its name cannot start without one anyway, and to a daemon that does not
 * know the domain yet the XML alone says who it is. Returns whether it came. */
__attribute__((noinline, cold)) static bool read_on(struct event *event)
{
    struct requirement requirement = requirement_read(event->call.domain);
    if (!requirement.gives_keys)
        return false;
    bool whole = standard_input_read(&event->xml, event->began + requirement.deadline_ms);
    int64_t now = clock_ms();
    if (event->handover_by < now + HANDOVER_MS - INPUT_MS)
        event->handover_by = now + HANDOVER_MS - INPUT_MS;
    event->call.at = clock_boot_ms(); /* from now on the daemon has its time */
    return whole;
}

static int report(char *const argv[])
{
    /* Enough for a usual domain. Only the pages that are used count. */
    static char fixed_xml[64 * 1024];
    static char fixed_message[80 * 1024];
    struct event event = {
        .call = {argv[1], argv[2], argv[3], argv[4], clock_boot_ms(), ""},
        .xml = ROOM_INIT(fixed_xml, MESSAGE_XML_MAX + 1), /* the end is seen by reading on */
        .message = ROOM_INIT(fixed_message, MESSAGE_MAX),
        .began = clock_ms(),
    };
    int status = 0;
    event.handover_by = event.began + HANDOVER_MS;
    /* Without the XML the daemon still learns where to look. */
    if (!standard_input_read(&event.xml, event.began + INPUT_MS) &&
        !(strcmp(event.call.operation, "prepare") == 0 && read_on(&event))) {
        event.late = true;
        event.so_far = event.xml.length;
        event.xml.length = 0;
    }
    if (message_compose(&event.call, event.xml.bytes, event.xml.length, &event.message)
        || message_compose(&event.call, "", 0, &event.message))
        status = tell(&event);
    room_release(&event.message);
    room_release(&event.xml);
    return status;
}

/* exit() would visit pages of libc that nothing else has touched, for streams that we do not use. Builds that count
 * coverage or look for leaks need it: they define LLMHOOK_INSTRUMENTED. */
static _Noreturn void leave(int status)
{
#ifdef LLMHOOK_INSTRUMENTED
    exit(status);
#else
    _exit(status);
#endif
}

int main(int argc, char *argv[])
{
    if (argc == 2 && strcmp(argv[1], "--version") == 0)
        leave(write(STDOUT_FILENO, version, sizeof version - 1) < 0);
    if (!surroundings_privileged() || argc != 5 || !is_passed_on(argv[2]))
        leave(0);
    /* A closed standard error or a file size limit must not become a death by signal: that counts as failing. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    leave(report(argv));
}
