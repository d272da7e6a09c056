/* One worker thread's connection: questions about domains, and agent commands. */
#include "host/host.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "host/agent_error.h"

#include <libvirt/libvirt-qemu.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct host_link {
    virConnectPtr connection;
    char uri[];
};

static void cleanup_domain(const virDomainPtr *domain)
{
    if (*domain)
        virDomainFree(*domain);
}
#define cleanup_domain __attribute__((cleanup(cleanup_domain)))

struct host_link *host_link_new(const char *uri)
{
    struct host_link *link = calloc(1, sizeof *link + strlen(uri) + 1);
    if (link)
        memcpy(link->uri, uri, strlen(uri) + 1);
    return link;
}

static void disconnect(struct host_link *link)
{
    if (link->connection)
        virConnectClose(link->connection);
    link->connection = NULL;
}

void host_link_free(struct host_link *link)
{
    if (!link)
        return;
    disconnect(link);
    free(link);
}

static const char *last_error(void)
{
    const char *text = virGetLastErrorMessage();
    return text ? text : "no reason given";
}

static bool connect_link(struct host_link *link, struct error *err)
{
    if (link->connection && virConnectIsAlive(link->connection) == 1)
        return true;
    disconnect(link);
    link->connection = virConnectOpen(link->uri);
    if (!link->connection)
        return error_set(err, ERROR_LOST, "libvirt at %s cannot be reached: %s", link->uri, last_error());
    /* Without keepalive a libvirtd that hangs would hold this thread for ever. */
    virConnectSetKeepAlive(link->connection, 5, 6);
    return true;
}

/* An error of a call that needs the connection: keeps it only if it is still good. */
static bool call_failed(struct host_link *link, const char *what, struct error *err)
{
    error_set(err, ERROR_LOST, "%s: %s", what, last_error());
    if (virConnectIsAlive(link->connection) != 1)
        disconnect(link);
    return false;
}

static enum stop_reason reason_of(int reason)
{
    switch (reason) {
    case VIR_DOMAIN_SHUTOFF_SHUTDOWN:
        return STOP_SHUTDOWN;
    case VIR_DOMAIN_SHUTOFF_DESTROYED:
        return STOP_DESTROYED;
    case VIR_DOMAIN_SHUTOFF_CRASHED:
        return STOP_CRASHED;
    case VIR_DOMAIN_SHUTOFF_MIGRATED:
        return STOP_MIGRATED;
    case VIR_DOMAIN_SHUTOFF_SAVED:
        return STOP_SAVED;
    case VIR_DOMAIN_SHUTOFF_FAILED:
        return STOP_FAILED;
    case VIR_DOMAIN_SHUTOFF_FROM_SNAPSHOT:
        return STOP_FROM_SNAPSHOT;
    case VIR_DOMAIN_SHUTOFF_DAEMON:
        return STOP_DAEMON;
    default:
        return STOP_UNKNOWN;
    }
}

static void read_xml(virDomainPtr domain, struct host_sighting *sighting)
{
    cleanup_free char *xml = virDomainGetXMLDesc(domain, 0);
    if (!xml)
        error_set(&sighting->xml_error, ERROR_LOST, "its XML cannot be had: %s", last_error());
    else
        sighting->xml_read = domain_xml_read(xml, strlen(xml), &sighting->xml, &sighting->xml_error);
}

/* False when the domain went away or libvirt did; virGetLastError() tells which. */
static bool see(virDomainPtr domain, int64_t asked_at, struct host_sighting *sighting)
{
    int state = 0, reason = 0;
    memset(sighting, 0, sizeof *sighting);
    if (virDomainGetUUIDString(domain, sighting->uuid) < 0 || virDomainGetState(domain, &state, &reason, 0) < 0)
        return false;
    const char *name = virDomainGetName(domain);
    snprintf(sighting->name, sizeof sighting->name, "%s", name ? name : "");
    struct domain_sighting *seen = &sighting->seen;
    seen->asked_at = asked_at;
    seen->exists = true;
    seen->active = state != VIR_DOMAIN_SHUTOFF && state != VIR_DOMAIN_NOSTATE;
    seen->paused = state == VIR_DOMAIN_PAUSED || state == VIR_DOMAIN_PMSUSPENDED || state == VIR_DOMAIN_CRASHED;
    seen->reason = state == VIR_DOMAIN_SHUTOFF ? reason_of(reason) : STOP_NONE;
    /* No answer is none of these: a saved domain would lose its keys by it. */
    int persistent = virDomainIsPersistent(domain), saved = persistent == 1 ? virDomainHasManagedSaveImage(domain, 0) : 0;
    const virError *error = saved < 0 ? virGetLastError() : NULL;
    if (persistent < 0 || (saved < 0 && !(error && error->code == VIR_ERR_NO_SUPPORT)))
        return false;
    seen->persistent = persistent == 1;
    seen->managed_save = saved == 1;
    read_xml(domain, sighting);
    return true;
}

static bool gone(void)
{
    const virError *error = virGetLastError();
    return error && error->code == VIR_ERR_NO_DOMAIN;
}

bool host_look(struct host_link *link, const char *uuid, struct host_sighting *ret_sighting, struct error *err)
{
    if (!connect_link(link, err))
        return false;
    int64_t asked_at = clock_monotonic_ms();
    cleanup_domain virDomainPtr domain = virDomainLookupByUUIDString(link->connection, uuid);
    if (domain && see(domain, asked_at, ret_sighting))
        return true;
    if (!gone())
        return call_failed(link, "look at a domain", err);
    memset(ret_sighting, 0, sizeof *ret_sighting);
    snprintf(ret_sighting->uuid, sizeof ret_sighting->uuid, "%s", uuid);
    ret_sighting->seen.asked_at = asked_at;
    return true;
}

bool host_sweep(struct host_link *link, struct host_sighting **ret_sightings, size_t *ret_count, struct error *err)
{
    if (!connect_link(link, err))
        return false;
    virDomainPtr *domains = NULL;
    int64_t asked_at = clock_monotonic_ms();
    int count = virConnectListAllDomains(link->connection, &domains, 0);
    if (count < 0)
        return call_failed(link, "list the domains", err);
    struct host_sighting *sightings = calloc((size_t)count + 1, sizeof *sightings);
    bool ok = sightings != NULL || error_set(err, ERROR_IO, "out of memory");
    size_t seen = 0;
    for (int i = 0; i < count; i++) {
        if (ok && see(domains[i], asked_at, &sightings[seen]))
            seen++;
        else if (ok && !gone())
            ok = call_failed(link, "look at a domain", err);
        virDomainFree(domains[i]);
    }
    free(domains);
    if (!ok) {
        free(sightings);
        return false;
    }
    *ret_sightings = sightings;
    *ret_count = seen;
    return true;
}

bool host_agent_command(struct host_link *link, const char *uuid, const struct buffer *command, unsigned timeout_s,
                        struct buffer *ret_reply, struct error *err)
{
    if (!connect_link(link, err))
        return false;
    cleanup_domain virDomainPtr domain = virDomainLookupByUUIDString(link->connection, uuid);
    if (!domain)
        return call_failed(link, "find the domain", err);
    char *reply = virDomainQemuAgentCommand(domain, buffer_text(command), (int)timeout_s, 0);
    if (reply) {
        bool fits = buffer_append_text(ret_reply, reply);
        explicit_bzero(reply, strlen(reply));
        free(reply);
        return fits || error_set(err, ERROR_LIMIT, "the agent's reply is larger than %zu bytes", ret_reply->maximum);
    }
    const virError *error = virGetLastError();
    if (agent_error_read(error ? error->code : 0, error ? error->domain : 0, last_error(), buffer_text(command), ret_reply,
                         err))
        return true;
    if (virConnectIsAlive(link->connection) != 1)
        disconnect(link);
    return false;
}

bool host_version(struct host_link *link, char *ret_text, size_t size, struct error *err)
{
    unsigned long version = 0;
    if (!connect_link(link, err))
        return false;
    if (virConnectGetLibVersion(link->connection, &version) < 0)
        return call_failed(link, "ask libvirt for its version", err);
    snprintf(ret_text, size, "%lu.%lu.%lu", version / 1000000, version / 1000 % 1000, version % 1000);
    return true;
}
