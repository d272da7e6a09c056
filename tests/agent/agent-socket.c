#include "agent-socket.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static bool send_all(int fd, const char *bytes, size_t length, struct error *err)
{
    while (length > 0) {
        ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return error_set_errno(err, errno, "send to the agent");
        bytes += sent;
        length -= (size_t)sent;
    }
    return true;
}

/* A line without its newline. */
static bool receive_line(int fd, int64_t deadline, struct buffer *line, struct error *err)
{
    for (;;) {
        char bytes[4096];
        int64_t left = deadline - clock_monotonic_ms();
        struct pollfd ready = {fd, POLLIN, 0};
        int found = left > 0 ? poll(&ready, 1, (int)left) : 0;
        if (found < 0 && errno == EINTR)
            continue;
        if (found == 0)
            return error_set(err, ERROR_TIMEOUT, "the agent does not answer");
        /* What is behind the newline stays in the socket for the next one. */
        ssize_t got = recv(fd, bytes, sizeof bytes, MSG_PEEK);
        if (got <= 0)
            return error_set(err, ERROR_LOST, "the agent went away");
        const char *end = memchr(bytes, '\n', (size_t)got);
        got = recv(fd, bytes, end ? (size_t)(end - bytes) + 1 : (size_t)got, 0);
        if (got <= 0)
            return error_set(err, ERROR_LOST, "the agent went away");
        if (!buffer_append(line, bytes, (size_t)got - (end ? 1 : 0)))
            return error_set(err, ERROR_LIMIT, "the agent's answer is too long");
        if (end)
            return true;
    }
}

bool agent_socket_command(void *context, const struct buffer *command, unsigned timeout_s, struct buffer *ret_reply,
                          struct error *err)
{
    int fd = *(int *)context;
    return send_all(fd, buffer_text(command), command->length, err) && send_all(fd, "\n", 1, err) &&
           receive_line(fd, clock_monotonic_ms() + timeout_s * INT64_C(1000), ret_reply, err);
}

/* A virtual machine's agent may not have noticed yet that its host is back, and what is sent until then is lost: so
 * it is said again, and only the answer to the last one counts. The byte 0xff makes the agent forget half a
 * command. */
static bool synchronise(int fd, struct error *err)
{
    int64_t deadline = clock_monotonic_ms() + 60000;
    for (unsigned id = (unsigned)clock_wall_ms() % 1000000000; clock_monotonic_ms() < deadline; id++) {
        char text[96], answer[32];
        snprintf(text, sizeof text, "\xff{\"execute\":\"guest-sync\",\"arguments\":{\"id\":%u}}\n", id);
        snprintf(answer, sizeof answer, "{\"return\": %u}", id);
        int64_t patience = clock_monotonic_ms() + 2000;
        bool ok = send_all(fd, text, strlen(text), err);
        while (ok) {
            cleanup_buffer struct buffer line = BUFFER_INIT(1024 * 1024);
            ok = receive_line(fd, patience, &line, err);
            if (ok && !strcmp(buffer_text(&line), answer))
                return true;
        }
        if (err->code != ERROR_TIMEOUT)
            return false;
    }
    return false;
}

int agent_socket_open(const char *path, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        error_set(err, ERROR_INVALID, "the socket's path is too long");
        return -1;
    }
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        error_set_errno(err, errno, "connect to %s", path);
    } else if (synchronise(fd, err)) {
        return fd;
    }
    if (fd >= 0)
        close(fd);
    return -1;
}
