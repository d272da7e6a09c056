#include "handover.h"

#include "base/cleanup.h"
#include "clock.h"
#include "room.h"
#include "surroundings.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

enum {
    BACKLOG_PAUSE_MS = 5, /* between attempts while the daemon's queue of connections is full */
    GRACE_MS = 200,       /* for the daemon's last word, when it has used up its own time */
};

/* A connected socket, or -1 with the reason in *RET_RESULT. */
static int connect_daemon(int64_t deadline, enum handover_result *ret_result)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    surroundings_path(address.sun_path, sizeof address.sun_path, SOCKET_PATH);
    *ret_result = HANDOVER_ABSENT;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    while (connect(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
        /* A Unix socket never connects in the background: it says EAGAIN when the queue is full, and poll() cannot
         * tell when there is room again. */
        bool full = errno == EAGAIN;
        if (full && clock_left(deadline) > 0) {
            poll(NULL, 0, BACKLOG_PAUSE_MS);
            continue;
        }
        if (full)
            *ret_result = HANDOVER_SILENT;
        close(fd);
        return -1;
    }
    return fd;
}

/* Waits for EVENTS; an error or the peer's hanging up counts, because the next call then says which. */
static bool wait_for(int fd, short events, int64_t deadline)
{
    struct pollfd watched = {.fd = fd, .events = events};
    int count;
    do {
        count = poll(&watched, 1, clock_left(deadline));
    } while (count < 0 && errno == EINTR);
    return count > 0;
}

static bool send_message(int fd, const struct handover *handover, enum handover_result *ret_result)
{
    const char *at = handover->message;
    size_t left = handover->length;
    while (left > 0) {
        ssize_t sent = send(fd, at, left, MSG_NOSIGNAL);
        if (sent >= 0) {
            at += sent;
            left -= (size_t)sent;
        } else if (errno == EAGAIN) {
            if (!wait_for(fd, POLLOUT, handover->deadline)) {
                *ret_result = HANDOVER_SILENT;
                return false;
            }
        } else if (errno != EINTR) {
            *ret_result = HANDOVER_LOST;
            return false;
        }
    }
    return true;
}

/* Collects in RECEIVED until it holds a whole answer, NUL included. */
static bool receive_answer(int fd, const struct handover *handover, struct room *received,
                           enum handover_result *ret_result)
{
    while (!memchr(received->bytes, '\0', received->length)) {
        if (!room_grow(received)) {
            *ret_result = HANDOVER_GARBLED;
            return false;
        }
        if (!wait_for(fd, POLLIN, handover->deadline)) {
            *ret_result = HANDOVER_SILENT;
            return false;
        }
        ssize_t count = recv(fd, received->bytes + received->length, received->capacity - received->length, 0);
        if (count < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (count <= 0) {
            *ret_result = HANDOVER_LOST;
            return false;
        }
        received->length += (size_t)count;
    }
    return true;
}

/* True when REPLY ends the conversation. */
static bool obey(struct handover *handover, const struct reply *reply, enum handover_result *ret_result)
{
    switch (reply->verdict) {
    case REPLY_REFUSED:
        memcpy(handover->reason, reply->reason, sizeof handover->reason);
        *ret_result = HANDOVER_REFUSED;
        return true;
    case REPLY_WAIT:
        if (handover->obeys_wait) {
            /* Once, or a daemon that keeps restarting could hold the domain up for ever. */
            if (!handover->waited)
                handover->deadline = clock_ms() + reply->wait_ms + GRACE_MS;
            handover->waited = true;
            return false;
        }
        /* Nothing hangs on a key here: the daemon has the event, that is enough. */
        break;
    case REPLY_ACCEPTED:
        break;
    }
    *ret_result = HANDOVER_ACCEPTED;
    return true;
}

static enum handover_result converse(int fd, struct handover *handover, struct room *received)
{
    enum handover_result result = HANDOVER_SILENT;
    /* poll() gives no heed to time as long as there is something to read: a daemon that says "wait" without end. */
    while (clock_left(handover->deadline) > 0 && receive_answer(fd, handover, received, &result)) {
        struct reply reply;
        size_t length = strlen(received->bytes);
        if (!reply_parse(received->bytes, length, &reply))
            return HANDOVER_GARBLED;
        if (obey(handover, &reply, &result))
            return result;
        result = HANDOVER_SILENT;
        received->length -= length + 1;
        memmove(received->bytes, received->bytes + length + 1, received->length);
    }
    return result;
}

enum handover_result handover_try(struct handover *handover)
{
    enum handover_result result;
    char fixed[512]; /* an answer has some forty bytes, a reason apart */
    struct room received = ROOM_INIT(fixed, REPLY_MAX);
    cleanup_close int fd = connect_daemon(handover->deadline, &result);
    if (fd < 0 || !send_message(fd, handover, &result))
        return result;
    result = converse(fd, handover, &received);
    room_release(&received);
    return result;
}
