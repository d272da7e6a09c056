/* Delivery: putting a set of keys into a guest through its agent, and proving that they are there.
 *
 * One guest-exec of a static script, whose standard input carries the keys, and guest-exec-status until it has
 * ended. The script compares, writes, switches a link, and ends by hashing the files through that link; the
 * hashes are compared here with our own. It is never told what they should be.
 *
 * Everything blocks, so this runs in a worker thread; several at once are fine, but one at a time for a domain. */
#ifndef LLMHOOK_QEMU_GUEST_AGENT_DELIVERY_H
#define LLMHOOK_QEMU_GUEST_AGENT_DELIVERY_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/secret.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One agent command and its answer, blocking. TIMEOUT_S is seconds, above 0. RET_REPLY has a maximum: an answer that
 * does not fit is ERROR_LIMIT. Otherwise:
 *   ERROR_TIMEOUT    no answer in time
 *   ERROR_LOST       the agent or the domain went away
 *   ERROR_NOT_FOUND  the domain has no agent channel, or the agent is not connected
 *   ERROR_DENIED     the agent answered with an error (libvirt hands those over as its own errors; a transport that
 *                    sees the raw answer may as well return it), or libvirt does not let us
 *   anything else    what its name says */
typedef bool agent_command_fn(void *context, const struct buffer *command, unsigned timeout_s,
                              struct buffer *ret_reply, struct error *err);

enum {
    DELIVERY_ENTRIES_MAX = 64,
    DELIVERY_HUMANS_MAX = 299, /* the script stops before there are more files than that */
    DELIVERY_READERS_SIZE = 65,
    DELIVERY_FINGERPRINT_SIZE = SECRET_FINGERPRINT_SIZE,
    DELIVERY_DEADLINE_MS = 30 * 1000,
};

enum delivery_kind {
    DELIVERY_VALUE, /* the variable holds the secret, and a file of its name as well */
    DELIVERY_FILE,  /* the secret is in a file, the variable holds the path of the reader's own copy */
    DELIVERY_PLAIN, /* the variable holds a text that is no secret, such as an address; there is no file */
};

/* One variable. A VALUE may be any printable ASCII but quotes, backslashes and blanks: it is written between single
 * quotes, for shells and systemd alike. A FILE may have all of these but the single quote, and line ends. */
struct delivery_entry {
    char environment[65]; /* [A-Z_][A-Z0-9_]*, once in a set */
    enum delivery_kind kind;
    const struct secret *secret; /* VALUE and FILE */
    const char *text;            /* PLAIN: 1 to 511 letters, digits and any of : / . ? = & , @ + - _ ~ % */
    char provider[33];           /* for the reader of the code that calls; not delivered */
};

enum delivery_outcome {
    DELIVERY_PROVEN,      /* the guest has exactly this set */
    DELIVERY_BLOCKED,     /* the agent is configured not to run guest-exec */
    DELIVERY_FROZEN,      /* the guest's file systems are frozen: after the thaw */
    DELIVERY_NO_AGENT,    /* no channel, not connected, or gone meanwhile */
    DELIVERY_TIMEOUT,     /* no end in time; it may be done all the same */
    DELIVERY_FAILED,      /* the reason is in the error; ERROR_BUSY: an earlier one still runs there;
                             ERROR_INVALID: this set cannot be delivered to any guest */
    DELIVERY_MISMATCH,    /* done, and what is there is something else */
    DELIVERY_UNSUPPORTED, /* this guest lacks what it takes: no shell, no sha256sum, /run on a disk */
};

/* "proven", "blocked", "frozen", "no-agent", "timeout", "failed", "mismatch", "unsupported". */
const char *delivery_outcome_name(enum delivery_outcome outcome);

struct delivery_result {
    enum delivery_outcome outcome;
    bool written;         /* false: the set was there already, and nothing was touched */
    bool shell_start;     /* new login shells read the keys */
    char shell_text[128]; /* the start-up file that does it, or why none; empty when not told */
    char hooks[64];       /* what else is made to read them: "bash, zsh, fish, user services, llmhook-run" or some of it */
    unsigned humans;      /* accounts with copies of their own */
    unsigned agent_calls;
    struct error error; /* unless proven: a sentence that says what to do */
};

/* Brings the set into the guest; COUNT 0 takes away what was delivered before. LABEL is what the guest shows in
 * /run/llmhook/generation. READERS: NULL, "" or "humans": root, and every account a person logs in to, by a copy of
 * its own; "root"; "everybody"; "group:NAME": root and that group of the guest. Returns within DELIVERY_DEADLINE_MS,
 * if COMMAND keeps to its timeouts (which are whole seconds). */
void delivery_run(agent_command_fn *command, void *context, const struct delivery_entry *entries, size_t count,
                  int64_t label, const char *readers, struct delivery_result *ret_result);

/* The same within another bound, for who cannot wait as long. */
void delivery_run_within(unsigned deadline_ms, agent_command_fn *command, void *context,
                         const struct delivery_entry *entries, size_t count, int64_t label, const char *readers,
                         struct delivery_result *ret_result);

/* Takes away what was delivered, and out of the guest's files whatever deliveries put there, so that nothing of ours is
 * left. WRITTEN in the result: there was something. */
void delivery_clean(agent_command_fn *command, void *context, struct delivery_result *ret_result);

/* What a guest that was proven to have the set has: a SHA-256 that tells sets and readers apart, the same in any
 * order of ENTRIES. It tells nothing about the values and may be stored and shown. Empty for no entries, and for a
 * set that cannot be delivered. */
void delivery_fingerprint(const struct delivery_entry *entries, size_t count, const char *readers,
                          char ret_fingerprint[DELIVERY_FINGERPRINT_SIZE]);

/* What a guest says that it has. */
struct delivery_found {
    char fingerprint[DELIVERY_FINGERPRINT_SIZE]; /* of root's set; empty: there is none */
    unsigned copies_count;
    struct delivery_copy {
        uint32_t uid;
        char env[SECRET_FINGERPRINT_SIZE]; /* hash of this account's file of all variables */
    } copies[DELIVERY_HUMANS_MAX];
};

/* Looks without touching. Returns whether the guest told (the outcome is then PROVEN); RET_FOUND is nothing otherwise.
 * MISMATCH: an account's copy of a key differs from root's. */
bool delivery_probe(agent_command_fn *command, void *context, struct delivery_found *ret_found,
                    struct delivery_result *ret_result);

/* Whether what was found is the set, every account's copy included. Without entries: whether there is none. */
bool delivery_found_is(const struct delivery_found *found, const struct delivery_entry *entries, size_t count,
                       const char *readers);

#endif
