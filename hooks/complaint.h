/* The hook's few words on standard error. libvirt shows them to whoever starts the domain when the start fails, and
 * keeps them in its debug log otherwise. Each is one line in one write. */
#ifndef LLMHOOK_HOOKS_COMPLAINT_H
#define LLMHOOK_HOOKS_COMPLAINT_H

#include "base/error.h"

/* The start fails. REASON: what is wrong and what to do about it. */
void complaint_no_key(const char *domain, const char *reason);

/* An event could not be kept for the daemon. */
void complaint_not_kept(const char *domain, const struct error *err);

#endif
