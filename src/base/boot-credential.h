/* Keys for a guest without an agent: a file that QEMU reads once, when it starts, and that the guest's systemd takes for
 * a credential. The hook makes it, empty; the daemon fills it while the hook waits; the hook removes it when QEMU has
 * it. The domain's XML names it:
 *
 *     <sysinfo type='fwcfg'><entry name=BOOT_CREDENTIAL_ENTRY file=BOOT_CREDENTIAL_FOLDER/UUID.env/></sysinfo> */
#ifndef LLMHOOK_BASE_BOOT_CREDENTIAL_H
#define LLMHOOK_BASE_BOOT_CREDENTIAL_H

#define BOOT_CREDENTIAL_RUNTIME "/run/llmhookd"                       /* 0755 */
#define BOOT_CREDENTIAL_FOLDER BOOT_CREDENTIAL_RUNTIME "/boot"        /* 0711: QEMU, whoever it runs as, goes through it */
#define BOOT_CREDENTIAL_SUFFIX ".env"                                 /* behind the domain's UUID */
#define BOOT_CREDENTIAL_ENTRY "opt/io.systemd.credentials/llmhook.env" /* by its name systemd knows what it is */

#endif
