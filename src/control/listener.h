/* The socket's file: who may own its name, and its mode. Private to this folder. */
#ifndef LLMHOOK_CONTROL_LISTENER_H
#define LLMHOOK_CONTROL_LISTENER_H

#include "base/error.h"

#include <stdbool.h>
#include <sys/types.h>
#include <sys/un.h>

struct control_listener {
    int fd;   /* listening, non-blocking */
    int lock; /* PATH.lock, held as long as we listen */
    dev_t device;
    ino_t inode;
    char path[sizeof((struct sockaddr_un *)NULL)->sun_path];
};

/* ERROR_BUSY when another process holds the lock or answers at PATH; ERROR_EXISTS when PATH is not a socket. */
bool control_listen(const char *path, struct control_listener *ret_listener, struct error *err);
/* Removes the file, if it is still ours. */
void control_listener_close(struct control_listener *listener);

#endif
