/* Bytes that lie in fixed memory as long as they fit, and on the heap when they outgrow it.
 *
 * base/buffer.h would do, but each page that is touched for the first time costs the hook some microseconds, which is
 * more than the work itself; growing by copying touches twice as many. */
#ifndef LLMHOOK_HOOKS_ROOM_H
#define LLMHOOK_HOOKS_ROOM_H

#include <stdbool.h>
#include <stddef.h>

struct room {
    char *bytes; /* not NUL-terminated */
    size_t length;
    size_t capacity;
    size_t maximum; /* of length */
    bool on_heap;
};

/* FIXED is an array that outlives the room and is no larger than MAXIMUM. */
#define ROOM_INIT(fixed, maximum) {(fixed), 0, sizeof(fixed), (maximum), false}

/* Makes room for at least one byte more. False when the maximum is reached or memory is short. */
bool room_grow(struct room *room);

/* False, and the room as it was, when the maximum would be passed or memory is short. */
bool room_append(struct room *room, const void *bytes, size_t length);

/* Gives heap memory back. The room is not to be used again. */
void room_release(struct room *room);

#endif
