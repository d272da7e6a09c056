/* The drop box: the way into a guest whose agent may not run programs, but may read and write files.
 *
 * The guest has made it, and has somebody who looks after it (guest/box.sh):
 *   /run/llmhook.box/         root, 0700
 *   /run/llmhook.box/in       root, 0600: we write what a script is to have as its input. It must be there already,
 *                             since what the agent makes can be read by everybody
 *   /run/llmhook.box/ready    made by us when `in` is whole. A state, not an event: the guest removes it first, so that
 *                             nothing is missed
 *   /run/llmhook.box/out      made by the guest: how the script ended and what it said
 *
 * `in` is a line `llmhook-box-1 NONCE SCRIPT LENGTH`, the input, and whatever was in the file before. `out` is a line
 * `llmhook-box-1 NONCE CODE LENGTH`, the script's standard output, and what it said on standard error.
 *
 * Nothing here waits but for the agent's answers. */
#ifndef LLMHOOK_QEMU_GUEST_AGENT_BOX_H
#define LLMHOOK_QEMU_GUEST_AGENT_BOX_H

#include "base/buffer.h"
#include "base/error.h"
#include "qemu-guest-agent/agent.h"

#include <stdbool.h>

enum { BOX_NONCE_SIZE = 33 };

/* One agent command; *REPLY is emptied first. */
typedef bool box_call_fn(void *context, const struct buffer *command, struct buffer *reply, struct error *err);

/* Puts INPUT for SCRIPT ("deliver", "withdraw" or "probe") into the box. *RET_NONE, with false: there is none, or the
 * agent may not open it; then nothing has left us, and the agent's own words are in ERR. */
bool box_put(box_call_fn *call, void *context, const char *nonce, const char *script, const struct buffer *input,
             bool *ret_none, struct error *err);

/* Looks whether what was put there under NONCE has been done: then STATUS (initialised by the caller) is how it ended.
 * True as well when it has not been done yet: STATUS is then not `exited`. */
bool box_look(box_call_fn *call, void *context, const char *nonce, struct agent_status *status, struct error *err);

/* The content of `out`. As box_look(); ERROR_PROTOCOL when it is the answer to NONCE and not as it should be. */
bool box_parse(const struct buffer *content, const char *nonce, struct agent_status *status, struct error *err);

#endif
