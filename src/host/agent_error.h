/* What libvirt means by the error of an agent command. Pure: no connection.
 *
 * Its words are no help: libvirtd speaks the language of the host. It calls setlocale(), systemd hands it the host's LANG
 * (locale.conf(5)), and Debian's libvirt0 recommends the catalogs of libvirt-l10n. So codes and domains decide, and what no
 * catalog translates: a command's name, and what the agent itself said. */
#ifndef LLMHOOK_HOST_AGENT_ERROR_H
#define LLMHOOK_HOST_AGENT_ERROR_H

#include "base/buffer.h"
#include "base/error.h"

#include <stdbool.h>

/* libvirt's error of COMMAND. True when it is the agent's own answer: that is in REPLY then, in the way the agent sent it,
 * {"error":{"desc":...}}. Otherwise ERR has it. Where libvirt's MESSAGE may quote what an agent sent, it is in ERR, as it is:
 * who shows it cleans it. */
bool agent_error_read(int code, int domain, const char *message, const char *command, struct buffer *reply,
                      struct error *err);

#endif
