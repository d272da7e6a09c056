/* Telling systemd how we are (sd_notify(3)), without libsystemd: it is one datagram. */
#ifndef LLMHOOK_DAEMON_NOTIFY_H
#define LLMHOOK_DAEMON_NOTIFY_H

#include <stdint.h>

/* STATE: "READY=1", "RELOADING=1\nMONOTONIC_USEC=...", "WATCHDOG=1", "STATUS=...". Does nothing without $NOTIFY_SOCKET. */
void notify_send(const char *state);
/* Half of the watchdog's interval in milliseconds, or -1 where systemd does not watch us. */
int64_t notify_watchdog_ms(void);

#endif
