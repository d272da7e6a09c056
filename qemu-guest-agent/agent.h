/* The guest agent's commands as text: building them and reading what comes back. Pure: no transport, no clock.
 *
 * The guest is hostile. A reply is only ever measured against what its command allows; what does not fit is
 * ERROR_PROTOCOL, and an error object of the agent's own is ERROR_DENIED with its description, cleaned. */
#ifndef LLMHOOK_QEMU_GUEST_AGENT_AGENT_H
#define LLMHOOK_QEMU_GUEST_AGENT_AGENT_H

#include "base/buffer.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    AGENT_COMMAND_MAX = 1024 * 1024, /* bytes; libvirt takes 4 MiB */
    AGENT_REPLY_MAX = 64 * 1024,     /* bytes; libvirt gives up to 10 MiB */
    AGENT_EXCERPT_SIZE = 121,        /* what we show of a guest's own words, and a NUL */
};

/* Appends a command without arguments to COMMAND. False when the buffer's maximum is passed or memory is short. */
bool agent_build(struct buffer *command, const char *name);

/* Appends guest-exec of PATH with captured output. ARGUMENTS and ENVIRONMENT ("NAME=VALUE") end with NULL and are
 * ASCII text; the environment is the whole one. INPUT goes to standard input: the only place for a secret, since
 * the agent logs the arguments and a process list shows the rest. COMMAND then holds the secret. */
bool agent_build_exec(struct buffer *command, const char *path, const char *const arguments[],
                      const char *const environment[], const struct buffer *input);

bool agent_build_exec_status(struct buffer *command, int64_t pid);

/* guest-file-*. MODE is fopen's. A HANDLE is what the agent gave. BYTES may be secret; COMMAND then holds them. A file that
 * is not there is made by "w" (with mode 0666, whatever the umask), and not by "r" and "r+". */
bool agent_build_file_open(struct buffer *command, const char *path, const char *mode);
bool agent_build_file_write(struct buffer *command, int64_t handle, const struct buffer *bytes);
bool agent_build_file_read(struct buffer *command, int64_t handle, size_t count);
bool agent_build_file_close(struct buffer *command, int64_t handle);

/* {"return":{"pid":N}}, N being a process id: 1 to 2^31-1. */
bool agent_parse_exec(const struct buffer *reply, int64_t *ret_pid, struct error *err);

struct agent_status {
    bool exited;
    bool signalled;    /* killed; `code` is then the signal */
    int code;          /* the exit code, 0 to 255 */
    struct buffer out; /* decoded; empty unless exited */
    struct buffer err;
};
#define AGENT_STATUS_INIT {false, false, 0, BUFFER_INIT(AGENT_REPLY_MAX), BUFFER_INIT(AGENT_REPLY_MAX)}

/* STATUS is initialised; the caller clears it afterwards, on failure too. Truncated output is ERROR_LIMIT. */
bool agent_parse_exec_status(const struct buffer *reply, struct agent_status *status, struct error *err);
void agent_status_clear(struct agent_status *status);
#define cleanup_agent_status __attribute__((cleanup(agent_status_clear)))

/* {"return":N}. */
bool agent_parse_file_open(const struct buffer *reply, int64_t *ret_handle, struct error *err);
/* How many bytes were written. */
bool agent_parse_file_write(const struct buffer *reply, size_t *ret_count, struct error *err);
/* Appends what was read to BYTES. *RET_END: there is no more. */
bool agent_parse_file_read(const struct buffer *reply, struct buffer *bytes, bool *ret_end, struct error *err);
/* {"return":{}}: what was written is in the file. */
bool agent_parse_file_close(const struct buffer *reply, struct error *err);

/* guest-info: whether the agent is willing to run the command NAME. One that is not listed is not enabled. */
bool agent_parse_info(const struct buffer *reply, const char *name, bool *ret_enabled, struct error *err);

/* guest-fsfreeze-status. */
bool agent_parse_frozen(const struct buffer *reply, bool *ret_frozen, struct error *err);

/* Makes words of a guest fit to be shown and logged: printable ASCII, one line, cut to SIZE - 1 bytes, and every
 * unbroken run that is long enough to be a key replaced, whatever the guest meant by it. */
void agent_excerpt(const char *bytes, size_t length, char *ret_text, size_t size);

#endif
