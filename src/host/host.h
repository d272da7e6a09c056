/* libvirt, as the daemon sees it. This folder is the only user of libvirt.
 *
 * Three parts. The loop: libvirt's own event loop, which hosts everything. The watch: the connection on which events
 * arrive, opened anew whenever libvirtd goes away. Links: one connection for each worker thread, because a call can
 * block as long as a hook holds the domain or a guest pleases, and the loop never may. */
#ifndef LLMHOOK_HOST_HOST_H
#define LLMHOOK_HOST_HOST_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/loop.h"
#include "host/domain_xml.h"
#include "lifecycle/domain.h"

#include <stdbool.h>
#include <stdint.h>

/* --- the loop --- */

/* Once per process, before any connection; also silences libvirt's own printing of errors. There is no way to give
 * libvirt's loop back, so it lives as long as the process. */
bool host_loop_new(struct loop **ret_loop, struct error *err);
/* Runs until host_loop_stop(), which any callback may call. */
void host_loop_run(struct loop *loop);
void host_loop_stop(struct loop *loop);

/* --- the watch: all callbacks in the loop's thread --- */

enum host_event_kind {
    HOST_STARTED,
    HOST_STOPPED,
    HOST_CHANGED,            /* defined, paused, resumed, shut down by the guest...: worth a look */
    HOST_UNDEFINED,
    HOST_AGENT_CONNECTED,
    HOST_AGENT_DISCONNECTED,
    HOST_METADATA_CHANGED,
};

struct host_event {
    enum host_event_kind kind;
    char uuid[RECORD_UUID_SIZE];
    char name[RECORD_NAME_SIZE];
    enum stop_reason stopped;  /* HOST_STOPPED */
    bool from_snapshot;        /* HOST_STARTED, HOST_CHANGED: the guest's memory is an old one */
};

struct host_watch;
struct host_watcher {
    /* Events arrive from now on; what happened before must be asked for. */
    void (*connected)(void *context);
    /* WHY: one sentence. A new connection is tried for until there is one. */
    void (*disconnected)(void *context, const char *why);
    void (*event)(void *context, const struct host_event *event);
    void *context;
};

/* Owner: the caller. Connecting happens in a thread of its own. */
bool host_watch_new(struct loop *loop, const char *uri, const struct host_watcher *watcher,
                    struct host_watch **ret_watch, struct error *err);
void host_watch_free(struct host_watch *watch);

/* --- links: each used by one thread at a time --- */

struct host_link;
struct host_sighting {
    char uuid[RECORD_UUID_SIZE];
    char name[RECORD_NAME_SIZE];
    struct domain_sighting seen;
    bool xml_read;
    struct domain_xml xml;
    struct error xml_error; /* when it exists and its XML could not be read */
};

struct host_link *host_link_new(const char *uri); /* NULL: no memory. Connects at the first call. */
void host_link_free(struct host_link *link);

/* Asks about one domain. A domain that does not exist is an answer, not an error. ERROR_LOST: libvirt cannot be asked. */
bool host_look(struct host_link *link, const char *uuid, struct host_sighting *ret_sighting, struct error *err);

/* All domains there are. Owner of *RET_SIGHTINGS: the caller (free). */
bool host_sweep(struct host_link *link, struct host_sighting **ret_sightings, size_t *ret_count, struct error *err);

/* One guest agent command. ERROR_NOT_FOUND: no agent is configured, connected, or answers; ERROR_TIMEOUT: it did not answer
 * this command in time (libvirt 11.2.0; an earlier one does not tell these apart); ERROR_BUSY: somebody else's agent command
 * takes too long; ERROR_LOST: the domain does not run, what the agent said is nothing that libvirt understands (ERR may quote
 * it), or libvirt is gone. An error that the agent itself answered with comes back as the reply {"error":{"desc":...}}, the
 * way the agent sent it. */
bool host_agent_command(struct host_link *link, const char *uuid, const struct buffer *command, unsigned timeout_s,
                        struct buffer *ret_reply, struct error *err);

/* "9.0.0", for people. */
bool host_version(struct host_link *link, char *ret_text, size_t size, struct error *err);

#endif
