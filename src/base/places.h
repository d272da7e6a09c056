/* Where hook, daemon and command meet. The hook is told by nobody, so both are fixed for it; the daemon and the
 * command may be given others, and then the hook does not find them. */
#ifndef LLMHOOK_BASE_PLACES_H
#define LLMHOOK_BASE_PLACES_H

#define PLACE_SOCKET "/run/llmhookd/socket"
#define PLACE_STATE "/var/lib/llmhook"

#endif
