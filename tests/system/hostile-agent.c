/* A guest agent in the attacker's hands. It takes the place of qemu-ga in a test's guest, a static program, and does
 * on the agent's port what a line on a second port (CONTROL) tells it to. To that second port it also writes down
 * every byte that the host has sent it, so that the test can search it for what was not meant for this guest.
 *
 *   never        reads and answers nothing        mute       answers only guest-sync
 *   slow         a byte a second, from guest-sync on
 *   drip         guest-sync at once, then a byte a second
 *   huge         an answer of 24 MB               large      one of 3 MB, which libvirt still hands over
 *   malformed    no JSON                          ids        guest-sync with somebody else's id
 *   pids         process ids that are none        errors     ever other errors, with control characters
 *   quotes       what libvirt does not understand and says over again: with a key, and control characters
 *   liar         all went well: other hashes      nothing    all went well: and no output
 *   flood        answers that nobody asked for, as fast as the port takes them
 *   hangup       its programs end with ever another code, and then it comes anew, so that the next try is at once
 *   storm        opens and closes the port COUNT times ("storm 3000"), says "done" and goes on as mute */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CONTROL "org.llmhook.test"

static char mode[32] = "never";
static char agent_path[64], control_path[64];
static int agent = -1, control = -1;
static unsigned answers;

static void nap(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static bool find_port(const char *wanted, char *ret_path, size_t size)
{
    char path[96], name[128];
    for (int port = 0; port < 32; port++) {
        snprintf(path, sizeof path, "/sys/class/virtio-ports/vport%dp%d/name", port / 16, port % 16);
        FILE *file = fopen(path, "r");
        if (!file)
            continue;
        bool same = fgets(name, sizeof name, file) && strncmp(name, wanted, strlen(wanted)) == 0;
        fclose(file);
        snprintf(ret_path, size, "/dev/vport%dp%d", port / 16, port % 16);
        if (same)
            return true;
    }
    return false;
}

static int open_port(const char *path)
{
    int fd;
    while ((fd = open(path, O_RDWR | O_NONBLOCK)) < 0)
        nap(1);
    return fd;
}

static bool new_orders(void)
{
    struct pollfd waiting = {.fd = control, .events = POLLIN};
    return poll(&waiting, 1, 0) > 0 && (waiting.revents & POLLIN);
}

/* Writes all, or stops when there are new orders. EVERY_MS: between single bytes, 0: as fast as it goes. */
static void send_bytes(int fd, const char *bytes, size_t length, long every_ms)
{
    while (length > 0 && (fd == control || !new_orders())) {
        ssize_t written = write(fd, bytes, every_ms ? 1 : length);
        if (written > 0) {
            bytes += written;
            length -= (size_t)written;
        } else if (written < 0 && errno != EAGAIN) {
            return;
        }
        if (every_ms)
            nap(every_ms);
        else if (written <= 0)
            poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, 100);
    }
}

static void answer(const char *text, long every_ms)
{
    send_bytes(agent, text, strlen(text), every_ms);
}

static void answer_huge(size_t size)
{
    static char block[64 * 1024];
    memset(block, 'A', sizeof block);
    answer("{\"return\":{\"pid\":7,\"x\":\"", 0);
    for (; size > 0 && !new_orders(); size -= sizeof block < size ? sizeof block : size)
        send_bytes(agent, block, sizeof block < size ? sizeof block : size, 0);
    answer("\"}}\n", 0);
}

static void answer_sync(const char *line)
{
    char text[128];
    const char *id = strstr(line, "\"id\"");
    id = id ? strpbrk(id, "0123456789") : NULL;
    unsigned long long number = id ? strtoull(id, NULL, 10) : 0;
    if (!strcmp(mode, "ids"))
        number++;
    /* 0xff: what guest-sync-delimited begins its answer with. */
    snprintf(text, sizeof text, "%s{\"return\":%llu}\n", strstr(line, "delimited") ? "\xff" : "", number);
    answer(text, !strcmp(mode, "slow") ? 1000 : 0);
}

static void answer_error(void)
{
    char text[512];
    snprintf(text, sizeof text, "{\"error\":{\"class\":\"GenericError\",\"desc\":\"\\u001b[31m trouble number %u %s\\nforged: "
                                "line\"}}\n",
             answers, "and a great many words that mean nothing at all, over and over, until nobody reads on");
    answer(text, 0);
}

/* What deliver.sh prints, with hashes of nothing. */
static void answer_lie(bool output)
{
    static const char report[] = "{\"return\":{\"exited\":true,\"exitcode\":0,\"out-data\":\"%s\"}}\n";
    /* Of a length that base64 needs no padding for. */
    static const char lie[] = "llmhook 1 written humans 0 profile\n"
                              "0000000000000000000000000000000000000000000000000000000000000000  env\n"
                              "0000000000000000000000000000000000000000000000000000000000000000  OPENAI_API_KEY\n";
    _Static_assert((sizeof lie - 1) % 3 == 0, "no padding");
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char encoded[sizeof lie * 2] = "", text[sizeof encoded + sizeof report];
    size_t used = 0;
    for (size_t i = 0; output && i + 3 < sizeof lie; i += 3) {
        unsigned bits = (unsigned)(unsigned char)lie[i] << 16 | (unsigned)(unsigned char)lie[i + 1] << 8 |
                        (unsigned char)lie[i + 2];
        for (int shift = 18; shift >= 0; shift -= 6)
            encoded[used++] = alphabet[bits >> shift & 63];
    }
    encoded[used] = '\0';
    snprintf(text, sizeof text, report, encoded);
    answer(text, 0);
}

static void answer_command(const char *line)
{
    bool status = strstr(line, "guest-exec-status") != NULL;
    answers++;
    if (!strcmp(mode, "huge") || !strcmp(mode, "large"))
        answer_huge(!strcmp(mode, "huge") ? 24u << 20 : 3u << 20);
    else if (!strcmp(mode, "malformed"))
        answer("{\"return\":{\"pid\":[[[[,,]}\n", 0);
    else if (!strcmp(mode, "quotes"))
        answer("{\"\x1b[31m sk-quoted-0123456789-0123456789\":1}\n", 0);
    else if (!strcmp(mode, "pids"))
        answer(answers % 2 ? "{\"return\":{\"pid\":-1}}\n" : "{\"return\":{\"pid\":99999999999999999999}}\n", 0);
    else if (!strcmp(mode, "errors"))
        answer_error();
    else if (!strcmp(mode, "drip") || !strcmp(mode, "slow"))
        answer("{\"return\":{\"pid\":7}}\n", 1000);
    else if (!strcmp(mode, "liar") || !strcmp(mode, "nothing"))
        status ? answer_lie(!strcmp(mode, "liar")) : answer("{\"return\":{\"pid\":7}}\n", 0);
}

static void reopen(long ms)
{
    close(agent);
    nap(ms);
    agent = open_port(agent_path);
}

static void hang_up(bool status)
{
    char text[96] = "{\"return\":{\"pid\":7}}\n";
    if (status)
        snprintf(text, sizeof text, "{\"return\":{\"exited\":true,\"exitcode\":%u}}\n", 50 + ++answers % 200);
    answer(text, 0);
    if (!status)
        return;
    nap(5);
    reopen(0);
}

static void storm(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        reopen(0);
    send_bytes(control, "\ndone\n", 6, 0);
    snprintf(mode, sizeof mode, "mute");
}

static void flood(void)
{
    static char block[4096];
    for (size_t i = 0; i + 32 <= sizeof block; i += 32)
        memcpy(block + i, "{\"return\":{\"pid\":7,\"x\":\"1234\"}}\n", 32);
    while (!new_orders())
        send_bytes(agent, block, sizeof block, 0);
}

static void follow_orders(void)
{
    char text[128];
    ssize_t length = read(control, text, sizeof text - 1);
    if (length <= 0)
        return;
    text[length] = '\0';
    text[strcspn(text, "\n")] = '\0';
    snprintf(mode, sizeof mode, "%.*s", (int)strcspn(text, " "), text);
    /* The host sees an agent that has come anew, and tries again. */
    reopen(20);
    send_bytes(control, "\nobeys\n", 7, 0);
    const char *count = strchr(text, ' ');
    if (!strcmp(mode, "storm"))
        storm(count ? (unsigned)strtoul(count, NULL, 10) : 1000);
    else if (!strcmp(mode, "flood"))
        flood();
}

/* One line of the host's, which is never longer than what libvirt takes. */
static char line[5u << 20];
static size_t line_length;

static void hear(void)
{
    char block[4096];
    ssize_t length = read(agent, block, sizeof block);
    if (length <= 0) {
        nap(length == 0 ? 5 : 1); /* nobody is on the other side */
        return;
    }
    send_bytes(control, block, (size_t)length, 0);
    for (ssize_t i = 0; i < length; i++) {
        if (line_length + 1 < sizeof line)
            line[line_length++] = block[i];
        if (block[i] != '\n')
            continue;
        line[line_length] = '\0';
        line_length = 0;
        if (!strcmp(mode, "never"))
            continue;
        if (strstr(line, "\"guest-sync"))
            answer_sync(line);
        else if (!strcmp(mode, "hangup"))
            hang_up(strstr(line, "guest-exec-status") != NULL);
        else if (strcmp(mode, "mute") != 0 && strcmp(mode, "ids") != 0)
            answer_command(line);
    }
}

int main(void)
{
    while (!find_port("org.qemu.guest_agent.0", agent_path, sizeof agent_path) ||
           !find_port(CONTROL, control_path, sizeof control_path))
        nap(10);
    control = open_port(control_path);
    agent = open_port(agent_path);
    for (;;) {
        struct pollfd waiting[] = {{.fd = agent, .events = POLLIN}, {.fd = control, .events = POLLIN}};
        poll(waiting, 2, 1000);
        if (waiting[1].revents & POLLIN)
            follow_orders();
        else if (waiting[0].revents & (POLLIN | POLLHUP))
            hear();
    }
}
