/* A provider's section as a text that can be kept: all of it, so that the provider can be opened from there when its section
 * is gone. References to credentials, no secrets. Pure. */
#ifndef LLMHOOK_PROVIDERS_KEPT_H
#define LLMHOOK_PROVIDERS_KEPT_H

#include "providers/provider.h"

enum { KEPT_SIZE = 32 * 1024 };

/* False: it does not fit. */
bool kept_write(const struct provider_settings *settings, char text[KEPT_SIZE]);
/* NAME: the section's. What TEXT has not, as one of an earlier version, is as if it were not set. Whether fetching the
 * credential blocks is for the caller to say. */
bool kept_read(const char *name, const char *text, struct provider_settings *ret_settings, struct error *err);

#endif
