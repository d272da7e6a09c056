/* What is to be in a guest, and what a guest says that it has. Pure.
 *
 * A manifest holds hashes, not values. The fingerprint is the SHA-256 of these lines:
 *     llmhook delivery 1
 *     readers READERS
 *     env HASH                 of root's file of all variables
 *     NAME HASH                of each file, sorted by name (as strcmp does)
 * so that it can be made from the values as well as from the hashes that a guest reports. */
#ifndef LLMHOOK_QEMU_GUEST_AGENT_MANIFEST_H
#define LLMHOOK_QEMU_GUEST_AGENT_MANIFEST_H

#include "base/buffer.h"
#include "base/error.h"
#include "qemu-guest-agent/delivery.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct manifest {
    char readers[DELIVERY_READERS_SIZE]; /* never empty */
    char env[SECRET_FINGERPRINT_SIZE]; /* of root's */
    size_t count;                      /* of files: a DELIVERY_PLAIN has none */
    struct {
        char name[65];
        char hash[SECRET_FINGERPRINT_SIZE];
    } files[DELIVERY_ENTRIES_MAX]; /* sorted by name */
};

/* Checks the set and hashes it; the values themselves are not kept. ERROR_INVALID says which variable is wrong. */
bool manifest_make(const struct delivery_entry *entries, size_t count, const char *readers,
                   struct manifest *ret_manifest, struct error *err);

/* The hash of UID's file of all variables, which differs from root's in the paths of DELIVERY_FILE. ENTRIES are those of
 * a manifest. False when memory is short. */
bool manifest_copy_env(const struct delivery_entry *entries, size_t count, uint32_t uid,
                       char ret_hash[SECRET_FINGERPRINT_SIZE]);

/* Appends what the script reads: shell text, safe because manifest_make() let nothing through that means anything
 * between quotes. ENTRIES are those the manifest was made of; VERB is "deliver" or "force". PAYLOAD then holds the
 * secrets. */
bool manifest_payload(const struct manifest *manifest, const struct delivery_entry *entries, size_t count,
                      const char *verb, int64_t label, struct buffer *payload);

void manifest_fingerprint(const struct manifest *manifest, char ret_fingerprint[DELIVERY_FINGERPRINT_SIZE]);

enum report_what { REPORT_WRITTEN, REPORT_UNCHANGED, REPORT_WITHDRAWN, REPORT_PRESENT, REPORT_ABSENT };

struct report {
    enum report_what what;
    unsigned humans;          /* as many are in `copies` */
    char shell[64];           /* the script's word for what is hooked */
    bool complete;            /* every account has every key's file, each with the hash of root's */
    struct manifest manifest; /* of root's files */
    struct delivery_copy copies[DELIVERY_HUMANS_MAX];
};

/* Reads the script's output. ERROR_PROTOCOL when it is anything but that. */
bool report_parse(const struct buffer *output, struct report *ret_report, struct error *err);

/* Whether the report proves the manifest, which was made of ENTRIES. */
bool report_proves(const struct report *report, const struct manifest *manifest, const struct delivery_entry *entries,
                   size_t count);
/* Whether each of the copies' files of all variables is as it should be. */
bool copies_prove(const struct delivery_copy *copies, size_t copies_count, const struct delivery_entry *entries,
                  size_t count);

#endif
