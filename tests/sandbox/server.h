/* The providers' side: a TCP listener whose requests may meet a fault before they meet a provider. */
#ifndef SANDBOX_SERVER_H
#define SANDBOX_SERVER_H

#include "store.h"

#include <stdbool.h>
#include <stdint.h>

struct server;

/* address is "A.B.C.D:PORT", port 0 = the kernel's choice. NULL after saying why on stderr. */
struct server *server_start(struct store *store, const char *address);
int server_port(const struct server *server);

/*
 * false: every connection is closed and new ones are refused, while the port stays ours.
 * true: listens again. Returns false when that fails. What hangs is dropped.
 */
bool server_listen(struct server *server, bool listening);
bool server_listening(struct server *server);

/* Lets go of what hangs because of this fault, 0 = of all. The number of requests. */
int64_t server_release(struct server *server, int64_t fault_id);

void server_stop(struct server *server);

#endif
