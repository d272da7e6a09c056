/* The file by which a domain gets its keys when it starts: see base/boot-credential.h.
 *
 * QEMU does not start without it, so it is there from `prepare` on whatever becomes of the daemon, and is never replaced,
 * because libvirt gives it to QEMU's user by its name at some moment after the hook. `prepare` may not have had the XML in
 * time, which alone names the file: then `start` makes it, and the guest starts without keys. */
#ifndef LLMHOOK_HOOKS_BOOT_CREDENTIAL_H
#define LLMHOOK_HOOKS_BOOT_CREDENTIAL_H

#include <stdbool.h>
#include <stddef.h>

struct boot_credential {
    char path[128]; /* empty: the domain's XML does not ask for it, and the rest does nothing */
};

/* Costs next to nothing where the XML does not name the folder. */
struct boot_credential boot_credential_find(const char *xml, size_t length);
/* An empty one that only root can read, in the place of whatever an earlier start has left. */
void boot_credential_make(const struct boot_credential *credential);
/* An empty one if there is none: what there is may have been filled, and given to QEMU's user. */
void boot_credential_have(const struct boot_credential *credential);
/* What the daemon wrote, and did not say that it had finished. */
void boot_credential_empty(const struct boot_credential *credential);
void boot_credential_remove(const struct boot_credential *credential);

#endif
