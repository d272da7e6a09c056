/* A transport for delivery.h over a Unix socket: to a qemu-ga that listens on one, or to the socket of a virtual
 * machine's agent channel. One command at a time. */
#ifndef LLMHOOK_TESTS_AGENT_AGENT_SOCKET_H
#define LLMHOOK_TESTS_AGENT_AGENT_SOCKET_H

#include "base/buffer.h"
#include "base/error.h"

#include <stdbool.h>

/* An agent_command_fn; CONTEXT is an int *, the connected socket. */
bool agent_socket_command(void *context, const struct buffer *command, unsigned timeout_s, struct buffer *ret_reply,
                          struct error *err);

/* The connected socket, or -1. Brings the two ends into step first, since the agent may hold an answer for
 * somebody who has gone. */
int agent_socket_open(const char *path, struct error *err);

#endif
