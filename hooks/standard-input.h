/* The domain's XML, as libvirt pipes it in. */
#ifndef LLMHOOK_HOOKS_STANDARD_INPUT_H
#define LLMHOOK_HOOKS_STANDARD_INPUT_H

#include "room.h"

#include <stdbool.h>
#include <stdint.h>

/* Reads standard input to its end into ROOM. False when the end does not come by DEADLINE (clock_ms), when there is more
 * than ROOM's maximum, or when it cannot be read; another call goes on behind what ROOM has. */
bool standard_input_read(struct room *room, int64_t deadline);

#endif
