/* Theory of operation: the usual case costs one guest-exec and a few guest-exec-status, nothing is probed before.
 * Only when the agent refuses is it asked why (frozen? blocked?), since its own words differ from version to
 * version. One that may run nothing at all gets what the script would get into a drop box, if it has one (box.h), and
 * from there on all is the same. A guest's claim to have the set already is proven like a fresh delivery; when it
 * does not hold, the script runs once more and writes whatever it finds. */
#include "qemu-guest-agent/delivery.h"

#include "base/clock.h"
#include "qemu-guest-agent/agent.h"
#include "qemu-guest-agent/box.h"
#include "qemu-guest-agent/guest-scripts.h"
#include "qemu-guest-agent/manifest.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    PAYLOAD_MAX = DELIVERY_ENTRIES_MAX * (SECRET_MAX + 160) + 256,
    WAIT_MIN_MS = 6,
    WAIT_MAX_MS = 50,
    BOX_WAIT_MIN_MS = 25, /* a look into the box is three commands */
    BOX_WAIT_MAX_MS = 250,
};

/* What runs in a guest: by its text, or by the name under which a guest with a drop box has it. */
struct script {
    const char *name;
    const char *text;
};
static const struct script deliver = {"deliver", deliver_script}, withdrawal = {"withdraw", withdraw_script},
                           cleaning = {"clean", clean_script},
                           probe = {"probe", probe_script};

/* One delivery or probe while it goes on. */
struct session {
    agent_command_fn *command;
    void *context;
    int64_t deadline; /* on the monotonic clock, milliseconds */
    struct delivery_result *result;
};

const char *delivery_outcome_name(enum delivery_outcome outcome)
{
    static const char *const names[] = {
        [DELIVERY_PROVEN] = "proven",     [DELIVERY_BLOCKED] = "blocked",   [DELIVERY_FROZEN] = "frozen",
        [DELIVERY_NO_AGENT] = "no-agent", [DELIVERY_TIMEOUT] = "timeout",   [DELIVERY_FAILED] = "failed",
        [DELIVERY_MISMATCH] = "mismatch", [DELIVERY_UNSUPPORTED] = "unsupported",
    };
    return (unsigned)outcome < sizeof names / sizeof names[0] ? names[outcome] : "unknown";
}

/* Always returns false: the session ends here. */
__attribute__((format(printf, 4, 5))) static bool conclude(struct session *session, enum delivery_outcome outcome,
                                                           enum error_code code, const char *format, ...)
{
    struct error *error = &session->result->error;
    va_list arguments;
    va_start(arguments, format);
    error->code = code;
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    session->result->outcome = outcome;
    return false;
}

static bool conclude_error(struct session *session, const struct error *err)
{
    switch (err->code) {
    case ERROR_NOT_FOUND:
    case ERROR_LOST:
        return conclude(session, DELIVERY_NO_AGENT, err->code, "%s", err->text);
    case ERROR_TIMEOUT:
        return conclude(session, DELIVERY_TIMEOUT, err->code, "%s", err->text);
    default:
        return conclude(session, DELIVERY_FAILED, err->code, "%s", err->text);
    }
}

/* REPLY is emptied first. What the transport says may quote what an agent sent: where libvirt does not understand it. */
static bool call(struct session *session, const struct buffer *command, struct buffer *reply, struct error *err)
{
    int64_t left = session->deadline - clock_monotonic_ms();
    if (left <= 0)
        return error_set(err, ERROR_TIMEOUT, "the guest did not finish the delivery in time");
    buffer_clear(reply);
    session->result->agent_calls++;
    struct error failure = ERROR_INIT;
    char text[sizeof failure.text];
    if (session->command(session->context, command, (unsigned)((left + 999) / 1000), reply, &failure))
        return true;
    agent_excerpt(failure.text, strlen(failure.text), text, sizeof text);
    return error_set(err, failure.code, "%s", text);
}

static bool call_plain(struct session *session, const char *name, struct buffer *reply, struct error *err)
{
    cleanup_buffer struct buffer command = BUFFER_INIT(AGENT_COMMAND_MAX);
    if (!agent_build(&command, name))
        return error_set(err, ERROR_IO, "out of memory");
    return call(session, &command, reply, err);
}

#define ALLOW \
    "(RHEL, Fedora and kin: FILTER_RPC_ARGS, QEMU_GA_ARGS, BLOCK_RPCS or BLACKLIST_RPC in /etc/sysconfig/qemu-ga; " \
    "elsewhere block-rpcs or allow-rpcs in /etc/qemu/qemu-ga.conf or the service's command line)"

/* SELinux lets the agent, and what that runs, neither chown nor make links; who looks after the box may. */
#define CONFINED \
    "; where SELinux keeps the agent from it, block guest-exec and guest-exec-status there and make a drop box: see " \
    "llmhook(1), guest"

/* The agent refused NAME with REFUSAL: finds out why and says so. Always returns false. */
static bool diagnose(struct session *session, const char *name, const struct error *refusal)
{
    cleanup_buffer struct buffer reply = BUFFER_INIT(AGENT_REPLY_MAX);
    struct error err = ERROR_INIT;
    bool frozen = false, enabled = true;
    /* An agent without file system freezing cannot be asked, and is not frozen. */
    bool answered = call_plain(session, "guest-fsfreeze-status", &reply, &err) &&
                    agent_parse_frozen(&reply, &frozen, &err);
    if (!answered && err.code != ERROR_DENIED && err.code != ERROR_PROTOCOL)
        return conclude_error(session, &err);
    if (frozen)
        return conclude(session, DELIVERY_FROZEN, ERROR_BUSY,
                        "the guest's file systems are frozen, as for a snapshot or a backup: the keys follow when they "
                        "are thawed; should nobody do that, `virsh domfsthaw` does");
    answered = call_plain(session, "guest-info", &reply, &err) && agent_parse_info(&reply, name, &enabled, &err);
    if (!answered && err.code != ERROR_DENIED && err.code != ERROR_PROTOCOL)
        return conclude_error(session, &err);
    if (!enabled)
        return conclude(session, DELIVERY_BLOCKED, ERROR_DENIED,
                        "the guest's agent may not run %s: in the guest, allow guest-exec and guest-exec-status " ALLOW
                        ", then restart its qemu-guest-agent service; or make a drop box there, as SELinux needs it: see "
                        "llmhook(1), guest",
                        name);
    if (strstr(refusal->text, "No such file"))
        return conclude(session, DELIVERY_UNSUPPORTED, ERROR_NOT_FOUND,
                        "the guest has no /bin/sh: keys are delivered to Linux guests only");
    return conclude_error(session, refusal);
}

static void wait_ms(int64_t milliseconds)
{
    struct timespec left = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    while (nanosleep(&left, &left) < 0)
        continue;
}

static bool start_script(struct session *session, const struct script *script, const struct buffer *payload, int64_t *ret_pid)
{
    static const char *const arguments[] = {"-c", "eval \"$llmhook\"", NULL};
    /* Without the last two bash looks root up in all of the guest's name services before it begins. */
    const char *const environment[] = {script->text, "HOME=/", "SHELL=/bin/sh", NULL};
    cleanup_buffer struct buffer command = BUFFER_INIT(AGENT_COMMAND_MAX);
    cleanup_buffer struct buffer reply = BUFFER_INIT(AGENT_REPLY_MAX);
    struct error err = ERROR_INIT;
    if (!agent_build_exec(&command, "/bin/sh", arguments, environment, payload))
        return conclude(session, DELIVERY_FAILED, ERROR_IO, "out of memory");
    if (call(session, &command, &reply, &err) && agent_parse_exec(&reply, ret_pid, &err))
        return true;
    return err.code == ERROR_DENIED ? diagnose(session, "guest-exec", &err) : conclude_error(session, &err);
}

/* Waits grow with the time gone by. The first is not shorter, because a script has never ended before, and an answer
 * takes a slow guest's only processor away from it for a millisecond. */
static bool await_script(struct session *session, int64_t pid, struct agent_status *status)
{
    cleanup_buffer struct buffer command = BUFFER_INIT(AGENT_COMMAND_MAX);
    cleanup_buffer struct buffer reply = BUFFER_INIT(AGENT_REPLY_MAX);
    struct error err = ERROR_INIT;
    int64_t start = clock_monotonic_ms();
    if (!agent_build_exec_status(&command, pid))
        return conclude(session, DELIVERY_FAILED, ERROR_IO, "out of memory");
    do {
        int64_t wait = (clock_monotonic_ms() - start) / 4;
        wait_ms(wait < WAIT_MIN_MS ? WAIT_MIN_MS : wait > WAIT_MAX_MS ? WAIT_MAX_MS : wait);
        if (!call(session, &command, &reply, &err) || !agent_parse_exec_status(&reply, status, &err))
            return err.code == ERROR_DENIED ? diagnose(session, "guest-exec-status", &err)
                                            : conclude_error(session, &err);
    } while (!status->exited);
    return true;
}

static bool box_call(void *context, const struct buffer *command, struct buffer *reply, struct error *err)
{
    return call(context, command, reply, err);
}

/* There is no box that could be used, as REFUSAL says. Always returns false; the outcome stays DELIVERY_BLOCKED. */
static bool conclude_no_box(struct session *session, const struct error *refusal)
{
    cleanup_buffer struct buffer reply = BUFFER_INIT(AGENT_REPLY_MAX);
    struct error err = ERROR_INIT;
    bool files = true;
    char text[AGENT_EXCERPT_SIZE];
    if (!call_plain(session, "guest-info", &reply, &err) || !agent_parse_info(&reply, "guest-file-open", &files, &err))
        files = true; /* then it is the box that is told about */
    if (!files)
        return conclude(session, DELIVERY_BLOCKED, ERROR_DENIED,
                        "the guest's agent may neither run programs nor write files: in the guest, allow guest-exec and "
                        "guest-exec-status " ALLOW ", then restart its qemu-guest-agent service; with SELinux allow "
                        "guest-file-open, -close, -read and -write instead, and make a drop box: see llmhook(1), guest");
    if (strstr(refusal->text, "No such file"))
        return false; /* what diagnose() has said */
    snprintf(text, sizeof text, "%.*s", (int)sizeof text - 1, refusal->text);
    return conclude(session, DELIVERY_BLOCKED, ERROR_DENIED,
                    "the guest's agent may not run programs, and cannot open the drop box (%s): with SELinux, see "
                    "packaging/selinux; without it, allow guest-exec and guest-exec-status",
                    text);
}

/* The agent runs nothing: by the drop box, if the guest has one. */
static bool use_box(struct session *session, const struct script *script, const struct buffer *payload,
                    struct agent_status *status)
{
    struct error err = ERROR_INIT;
    char nonce[BOX_NONCE_SIZE];
    int64_t start = clock_monotonic_ms();
    snprintf(nonce, sizeof nonce, "%llx.%llx", (unsigned long long)clock_wall_ms(), (unsigned long long)start);
    bool none;
    if (!box_put(box_call, session, nonce, script->name, payload, &none, &err))
        return none ? conclude_no_box(session, &err) : conclude_error(session, &err);
    session->result->outcome = DELIVERY_PROVEN;
    session->result->error = (struct error)ERROR_INIT;
    do {
        int64_t wait = (clock_monotonic_ms() - start) / 4;
        wait_ms(wait < BOX_WAIT_MIN_MS ? BOX_WAIT_MIN_MS : wait > BOX_WAIT_MAX_MS ? BOX_WAIT_MAX_MS : wait);
        if (!box_look(box_call, session, nonce, status, &err)) {
            if (err.code == ERROR_TIMEOUT)
                return conclude(session, DELIVERY_TIMEOUT, ERROR_TIMEOUT,
                                "nobody in the guest looks after its drop box: llmhook-box.path must be active there");
            return conclude_error(session, &err);
        }
    } while (!status->exited);
    return true;
}

/* The scripts' exit codes. 30 to 34: this guest cannot do it. 40: not now. */
static const struct {
    int code;
    enum delivery_outcome outcome;
    enum error_code error;
    const char *text;
} endings[] = {
    {20, DELIVERY_FAILED, ERROR_IO, "the keys arrived incomplete in the guest"},
    {21, DELIVERY_FAILED, ERROR_EXISTS, "the guest has a /run/llmhook of its own: remove it there"},
    {22, DELIVERY_FAILED, ERROR_LIMIT,
     "the guest has too many accounts for a copy each: name a group of readers in the policy"},
    {23, DELIVERY_FAILED, ERROR_IO, "the guest could not make a folder below /run/llmhook.d"},
    {24, DELIVERY_FAILED, ERROR_IO, "the guest could not write a file below /run/llmhook.d"},
    {25, DELIVERY_FAILED, ERROR_IO, "the guest could not give a file its owner and mode" CONFINED},
    {26, DELIVERY_FAILED, ERROR_NOT_FOUND, "the guest does not know the group that the policy names as readers"},
    {27, DELIVERY_FAILED, ERROR_IO, "the guest could not read all of what it has below /run/llmhook"},
    {28, DELIVERY_FAILED, ERROR_IO, "the guest could not set the link /run/llmhook" CONFINED},
    {29, DELIVERY_FAILED, ERROR_IO, "the guest could not remove earlier keys below /run/llmhook.d"},
    {30, DELIVERY_UNSUPPORTED, ERROR_NOT_FOUND,
     "the guest's /bin/sh has no printf of its own; dash, bash and busybox have"},
    {31, DELIVERY_UNSUPPORTED, ERROR_NOT_FOUND,
     "the guest has no sha256sum, so nothing could be proven: install coreutils or busybox there"},
    {32, DELIVERY_UNSUPPORTED, ERROR_NOT_FOUND, "the guest has no sed: install sed or busybox there"},
    {33, DELIVERY_UNSUPPORTED, ERROR_NOT_FOUND, "the guest has no /proc: keys are delivered to Linux guests only"},
    {34, DELIVERY_UNSUPPORTED, ERROR_NOT_FOUND,
     "the guest's /run is on a disk, where keys would outlive its run: mount a tmpfs there"},
    {40, DELIVERY_FAILED, ERROR_BUSY, "an earlier delivery is still running in the guest"},
    {41, DELIVERY_FAILED, ERROR_BUSY, "keys have come back in the guest meanwhile"},
    {42, DELIVERY_FAILED, ERROR_IO, "the guest could not take llmhook's lines out of its start-up files"},
};

/* The script did not end well. Always returns false. */
static bool conclude_status(struct session *session, const struct agent_status *status)
{
    char text[AGENT_EXCERPT_SIZE];
    if (status->signalled)
        return conclude(session, DELIVERY_FAILED, ERROR_IO, "the delivery script in the guest was killed by signal %d",
                        status->code);
    /* What a program that failed said: no space left, read-only, not permitted. */
    agent_excerpt(buffer_text(&status->err), status->err.length, text, sizeof text);
    const char *before = *text ? " (" : "", *behind = *text ? ")" : "";
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++)
        if (endings[i].code == status->code)
            return conclude(session, endings[i].outcome, endings[i].error, "%s%s%s%s", endings[i].text, before, text,
                            behind);
    return conclude(session, DELIVERY_FAILED, ERROR_IO, "the delivery script in the guest ended with code %d%s%s%s",
                    status->code, before, text, behind);
}

/* WORDS: "+bash+zsh" and so on. */
static void tell_hooks(struct delivery_result *result, const char *words)
{
    static const struct {
        const char *word, *text;
    } texts[] = {
        {"bash", "bash"},           {"zsh", "zsh"}, {"fish", "fish"}, {"units", "user services"},
        {"run", "llmhook-run"},
    };
    while (*words == '+') {
        size_t length = strcspn(++words, "+"), used = strlen(result->hooks);
        for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
            if (strlen(texts[i].word) == length && !memcmp(words, texts[i].word, length))
                snprintf(result->hooks + used, sizeof result->hooks - used, "%s%s", used ? ", " : "", texts[i].text);
        words += length;
    }
}

/* WORD is the script's: where login shells are hooked, and behind it what else is. */
static void tell_shell(struct delivery_result *result, const char *word)
{
    static const struct {
        const char *word;
        bool hooked;
        const char *text;
    } texts[] = {
        {"profile.d", true, "/etc/profile.d/llmhook.sh"},
        {"profile.local", true, "/etc/profile.local"},
        {"profile", true, "/etc/profile"},
        {"native", true, "the guest's own set-up: /etc/llmhook/native"},
        {"foreign", false, "login shells do not see the keys: /etc/profile.d/llmhook.sh is somebody else's"},
        {"failed", false, "login shells do not see the keys: /etc cannot be written; they are in /run/llmhook/env"},
    };
    size_t length = strcspn(word, "+");
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (strlen(texts[i].word) == length && !memcmp(word, texts[i].word, length)) {
            result->shell_start = texts[i].hooked;
            snprintf(result->shell_text, sizeof result->shell_text, "%s", texts[i].text);
        }
    tell_hooks(result, word + length);
}

/* Runs SCRIPT over PAYLOAD. RET_AGAIN (NULL: never) becomes true, with false returned and nothing concluded,
 * when the script says that the set is there but cannot read it. */
static bool run_script(struct session *session, const struct script *script, const struct buffer *payload,
                       struct report *ret_report, bool *ret_again)
{
    static const char unchanged[] = "llmhook 1 unchanged ";
    cleanup_agent_status struct agent_status status = AGENT_STATUS_INIT;
    struct error err = ERROR_INIT;
    int64_t pid;
    if ((!start_script(session, script, payload, &pid) || !await_script(session, pid, &status)) &&
        (session->result->outcome != DELIVERY_BLOCKED || !use_box(session, script, payload, &status)))
        return false;
    if (status.signalled || status.code != 0) {
        if (ret_again && !strncmp(buffer_text(&status.out), unchanged, sizeof unchanged - 1)) {
            *ret_again = true;
            return false;
        }
        return conclude_status(session, &status);
    }
    if (!report_parse(&status.out, ret_report, &err))
        return conclude_error(session, &err);
    session->result->humans = ret_report->humans;
    session->result->hooks[0] = '\0';
    tell_shell(session->result, ret_report->shell);
    return true;
}

/* VERB is the script's. True when the guest has the set; RET_AGAIN as above, also when the proof does not hold. */
static bool deliver_once(struct session *session, const struct manifest *manifest,
                         const struct delivery_entry *entries, size_t count, int64_t label, const char *verb,
                         bool *ret_again)
{
    cleanup_buffer struct buffer payload = BUFFER_INIT(PAYLOAD_MAX);
    struct report report;
    if (!manifest_payload(manifest, entries, count, verb, label, &payload))
        return conclude(session, DELIVERY_FAILED, ERROR_IO, "out of memory");
    if (!run_script(session, &deliver, &payload, &report, ret_again))
        return false;
    session->result->written = report.what == REPORT_WRITTEN;
    if (report.what != REPORT_WRITTEN && report.what != REPORT_UNCHANGED)
        return conclude(session, DELIVERY_FAILED, ERROR_PROTOCOL, "the delivery script did something else");
    if (report_proves(&report, manifest, entries, count))
        return true;
    if (ret_again && report.what == REPORT_UNCHANGED) {
        *ret_again = true;
        return false;
    }
    return conclude(session, DELIVERY_MISMATCH, ERROR_PROTOCOL,
                    "what the guest has below /run/llmhook is not what was sent: something in the guest changes it");
}

/* SCRIPT is withdrawal or cleaning. */
static bool take_away(struct session *session, const struct script *script)
{
    const struct buffer nothing = BUFFER_INIT(0);
    struct report report;
    if (!run_script(session, script, &nothing, &report, NULL))
        return false;
    session->result->written = session->result->written || report.what == REPORT_WITHDRAWN;
    if (report.what != REPORT_WITHDRAWN && report.what != REPORT_ABSENT)
        return conclude(session, DELIVERY_FAILED, ERROR_PROTOCOL, "the delivery script did something else");
    return true;
}

static struct session begin(unsigned deadline_ms, agent_command_fn *command, void *context,
                            struct delivery_result *ret_result)
{
    memset(ret_result, 0, sizeof *ret_result);
    return (struct session){command, context, clock_monotonic_ms() + deadline_ms, ret_result};
}

void delivery_run_within(unsigned deadline_ms, agent_command_fn *command, void *context,
                         const struct delivery_entry *entries, size_t count, int64_t label, const char *readers,
                         struct delivery_result *ret_result)
{
    struct session session = begin(deadline_ms, command, context, ret_result);
    struct manifest manifest;
    struct error err = ERROR_INIT;
    bool again = false;
    ret_result->outcome = DELIVERY_PROVEN;
    if (count == 0) {
        take_away(&session, &withdrawal);
        return;
    }
    if (!manifest_make(entries, count, readers, &manifest, &err)) {
        conclude_error(&session, &err);
        return;
    }
    deliver_once(&session, &manifest, entries, count, label, "deliver", &again);
    if (again)
        deliver_once(&session, &manifest, entries, count, label, "force", NULL);
}

void delivery_run(agent_command_fn *command, void *context, const struct delivery_entry *entries, size_t count,
                  int64_t label, const char *readers, struct delivery_result *ret_result)
{
    delivery_run_within(DELIVERY_DEADLINE_MS, command, context, entries, count, label, readers, ret_result);
}

void delivery_clean(agent_command_fn *command, void *context, struct delivery_result *ret_result)
{
    struct session session = begin(DELIVERY_DEADLINE_MS, command, context, ret_result);
    ret_result->outcome = DELIVERY_PROVEN;
    if (take_away(&session, &withdrawal))
        take_away(&session, &cleaning);
}

void delivery_fingerprint(const struct delivery_entry *entries, size_t count, const char *readers,
                          char ret_fingerprint[DELIVERY_FINGERPRINT_SIZE])
{
    struct manifest manifest;
    ret_fingerprint[0] = '\0';
    if (count > 0 && manifest_make(entries, count, readers, &manifest, NULL))
        manifest_fingerprint(&manifest, ret_fingerprint);
}

bool delivery_probe(agent_command_fn *command, void *context, struct delivery_found *ret_found,
                    struct delivery_result *ret_result)
{
    struct session session = begin(DELIVERY_DEADLINE_MS, command, context, ret_result);
    const struct buffer nothing = BUFFER_INIT(0);
    struct report report;
    memset(ret_found, 0, sizeof *ret_found);
    ret_result->outcome = DELIVERY_PROVEN;
    if (!run_script(&session, &probe, &nothing, &report, NULL))
        return false;
    if (report.what == REPORT_ABSENT)
        return true;
    if (report.what != REPORT_PRESENT)
        return conclude(&session, DELIVERY_FAILED, ERROR_PROTOCOL, "the delivery script did something else");
    if (!report.complete)
        return conclude(&session, DELIVERY_MISMATCH, ERROR_PROTOCOL,
                        "an account's keys in the guest differ from those of its root");
    manifest_fingerprint(&report.manifest, ret_found->fingerprint);
    ret_found->copies_count = report.humans;
    memcpy(ret_found->copies, report.copies, report.humans * sizeof report.copies[0]);
    return true;
}

bool delivery_found_is(const struct delivery_found *found, const struct delivery_entry *entries, size_t count,
                       const char *readers)
{
    char wanted[DELIVERY_FINGERPRINT_SIZE];
    delivery_fingerprint(entries, count, readers, wanted);
    return strcmp(found->fingerprint, wanted) == 0 && copies_prove(found->copies, found->copies_count, entries, count);
}
