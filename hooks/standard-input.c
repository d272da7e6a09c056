#include "standard-input.h"

#include "clock.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

/* Bytes read; 0 at the end of the input; -1 when there are none by DEADLINE or they cannot be had. */
static ssize_t read_some(struct room *room, int64_t deadline)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    for (;;) {
        int ready = poll(&input, 1, clock_left(deadline));
        ssize_t count = -1;
        if (ready > 0)
            count = read(STDIN_FILENO, room->bytes + room->length, room->capacity - room->length);
        if (ready == 0 || count >= 0 || (errno != EINTR && errno != EAGAIN))
            return count;
    }
}

bool standard_input_read(struct room *room, int64_t deadline)
{
    ssize_t count = -1;
    while (room_grow(room) && (count = read_some(room, deadline)) > 0) {
        room->length += (size_t)count;
        count = -1;
    }
    return count == 0;
}
