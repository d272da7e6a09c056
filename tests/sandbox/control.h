/* The control interface on a Unix socket: what a test sees and changes. README.md lists it. */
#ifndef SANDBOX_CONTROL_H
#define SANDBOX_CONTROL_H

#include "server.h"
#include "store.h"

struct control;

/* NULL after saying why on stderr. A stale socket at the path is replaced. */
struct control *control_start(struct store *store, struct server *server, const char *path);
/* Removes the socket. */
void control_stop(struct control *control);

#endif
