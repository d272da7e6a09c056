#include "room.h"

#include <stdlib.h>
#include <string.h>

static bool grow_to(struct room *room, size_t needed)
{
    size_t capacity = room->capacity;
    while (capacity < needed)
        capacity *= 2;
    if (capacity > room->maximum)
        capacity = room->maximum;
    char *bytes = realloc(room->on_heap ? room->bytes : NULL, capacity);
    if (!bytes)
        return false;
    if (!room->on_heap)
        memcpy(bytes, room->bytes, room->length);
    room->bytes = bytes;
    room->capacity = capacity;
    room->on_heap = true;
    return true;
}

bool room_grow(struct room *room)
{
    if (room->length < room->capacity)
        return true;
    return room->length < room->maximum && grow_to(room, room->length + 1);
}

bool room_append(struct room *room, const void *bytes, size_t length)
{
    if (length > room->maximum - room->length)
        return false;
    if (length > room->capacity - room->length && !grow_to(room, room->length + length))
        return false;
    memcpy(room->bytes + room->length, bytes, length);
    room->length += length;
    return true;
}

void room_release(struct room *room)
{
    if (room->on_heap)
        free(room->bytes);
    *room = (struct room){.bytes = NULL};
}
