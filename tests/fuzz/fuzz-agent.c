/* An agent's answers, each reader by itself: a letter says which, the rest is the answer.
 *   e guest-exec, s guest-exec-status, f guest-fsfreeze-status, i guest-info, r the delivery script's output, o w d c
 *   guest-file-open, -write, -read and -close, b what is in the drop box, x an excerpt */
#include "fuzz.h"

#include "qemu-guest-agent/agent.h"
#include "qemu-guest-agent/box.h"
#include "qemu-guest-agent/manifest.h"

static bool key_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("-_+=", c));
}

/* Printable, in one line, and nowhere as long a word as a key. */
static void check_excerpt(const char *text, size_t size)
{
    size_t run = 0;
    must(memchr(text, '\0', size));
    for (; *text; text++) {
        must(*text >= ' ' && *text <= '~');
        run = key_character(*text) ? run + 1 : 0;
        must(run < 20);
    }
}

static bool is_hash(const char *text)
{
    return strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

static void check_report(const struct buffer *answer, struct error *err)
{
    static struct report report;
    if (!report_parse(answer, &report, err))
        return;
    must(report.humans <= DELIVERY_HUMANS_MAX && memchr(report.shell, '\0', sizeof report.shell));
    const struct manifest *manifest = &report.manifest;
    must(manifest->count <= DELIVERY_ENTRIES_MAX);
    if (report.what == REPORT_WITHDRAWN || report.what == REPORT_ABSENT) {
        must(manifest->count == 0);
        return;
    }
    must(is_hash(manifest->env) && manifest->readers[0]);
    for (size_t i = 0; i < manifest->count; i++) {
        must(manifest->files[i].name[0] && is_hash(manifest->files[i].hash));
        must(i == 0 || strcmp(manifest->files[i - 1].name, manifest->files[i].name) < 0);
    }
    must(!report_proves(&report, manifest, NULL, 0) || report.complete);
    char fingerprint[DELIVERY_FINGERPRINT_SIZE];
    manifest_fingerprint(manifest, fingerprint);
    must(is_hash(fingerprint));
}

static void check_status(const struct buffer *answer, struct error *err)
{
    struct agent_status status = AGENT_STATUS_INIT;
    if (agent_parse_exec_status(answer, &status, err)) {
        must(status.code >= 0 && status.code <= 255);
        must(status.exited || (!status.out.length && !status.err.length));
        must(status.out.length + status.err.length < answer->length);
    }
    agent_status_clear(&status);
}

static void check_file(unsigned char which, const struct buffer *answer, struct error *err)
{
    struct buffer bytes = BUFFER_INIT(AGENT_REPLY_MAX);
    int64_t handle;
    size_t count;
    bool end;
    switch (which) {
    case 'o':
        agent_parse_file_open(answer, &handle, err);
        break;
    case 'w':
        if (agent_parse_file_write(answer, &count, err))
            must(count <= AGENT_COMMAND_MAX);
        break;
    case 'd':
        if (agent_parse_file_read(answer, &bytes, &end, err))
            must(bytes.length < answer->length);
        break;
    default:
        agent_parse_file_close(answer, err);
    }
    buffer_clear(&bytes);
}

static void check_box(const struct buffer *content, struct error *err)
{
    struct agent_status status = AGENT_STATUS_INIT;
    if (box_parse(content, "1.2", &status, err) && status.exited) {
        must(strncmp(buffer_text(content), "llmhook-box-1 1.2 ", 18) == 0);
        must(status.code >= 0 && status.code <= 255 && !status.signalled);
        size_t head = strcspn(buffer_text(content), "\n") + 1;
        must(head + status.out.length + status.err.length == content->length);
    } else {
        must(!status.out.length && !status.err.length);
    }
    agent_status_clear(&status);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = fuzz_input(data, size);
    struct buffer answer = BUFFER_INIT(AGENT_REPLY_MAX);
    struct error err = ERROR_INIT;
    unsigned char which = fuzz_byte(&input);
    int64_t pid;
    bool flag;
    char text[AGENT_EXCERPT_SIZE];
    if (!buffer_append(&answer, input.rest, input.left))
        return 0;
    switch (which) {
    case 'e':
        if (agent_parse_exec(&answer, &pid, &err))
            must(pid >= 1 && pid <= INT32_MAX);
        break;
    case 's':
        check_status(&answer, &err);
        break;
    case 'f':
        agent_parse_frozen(&answer, &flag, &err);
        break;
    case 'i':
        agent_parse_info(&answer, "guest-exec", &flag, &err);
        break;
    case 'o':
    case 'w':
    case 'd':
    case 'c':
        check_file(which, &answer, &err);
        break;
    case 'b':
        check_box(&answer, &err);
        break;
    case 'r':
        check_report(&answer, &err);
        break;
    default:
        agent_excerpt(input.rest, input.left, text, sizeof text);
        check_excerpt(text, sizeof text);
        if (input.left > 2) {
            agent_excerpt(input.rest, input.left, text, 1 + which % sizeof text);
            check_excerpt(text, 1 + which % sizeof text);
        }
    }
    fuzz_check_error(&err);
    if (err.code == ERROR_DENIED)
        check_excerpt(strchr(err.text, ':') + 2, sizeof err.text / 2);
    buffer_clear(&answer);
    return 0;
}
