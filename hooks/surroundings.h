/* Who runs the hook, and where its files are.
 *
 * The program runs as root with an environment that somebody else may have chosen, so no variable moves these paths.
 * Only the separate build for the tests (-DLLMHOOK_TEST_ROOT) puts $LLMHOOK_TEST_ROOT before them and takes the user
 * id from $LLMHOOK_TEST_UID (0 when that is not set). */
#ifndef LLMHOOK_HOOKS_SURROUNDINGS_H
#define LLMHOOK_HOOKS_SURROUNDINGS_H

#include "base/places.h"

#include <stdbool.h>
#include <stddef.h>

#define SOCKET_PATH PLACE_SOCKET
#define STATE_PATH PLACE_STATE
#define SPOOL_PATH STATE_PATH "/spool"
#define BOOT_PATH "/proc/sys/kernel/random/boot_id"
#define REQUIRED_PATH STATE_PATH "/required"

/* False under qemu:///session, where libvirt runs the system's hooks as the calling user. */
bool surroundings_privileged(void);

/* Puts ABSOLUTE, as it is to be opened, into PATH of SIZE bytes. One that does not fit comes back empty, and no file
 * has that name. */
void surroundings_path(char *path, size_t size, const char *absolute);

#endif
