/* Guests and their agents: an agent comes and goes, fails, is slow, or lies; but only about its own guest. */
#include "world.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum guest_fault {
    GUEST_BLOCKED = 1, GUEST_FROZEN, GUEST_TIMEOUT_UNDONE, GUEST_TIMEOUT_DONE, GUEST_FAILED, GUEST_MISMATCH,
    GUEST_UNSUPPORTED, GUEST_LIES,
};

static void agent_changes(void *context, int64_t index, int64_t packed)
{
    struct domain *domain = &world.domains[index];
    int host = (int)(packed >> 2);
    bool connected = packed & 1, unheard = packed & 2;
    (void)context;
    if (!domain->on[host].active || !domain->has_channel || domain->on[host].agent_connected == connected)
        return;
    domain->on[host].agent_connected = connected;
    world.changed = true;
    if (!unheard)
        emit(host, (int)index, connected ? HOST_AGENT_CONNECTED : HOST_AGENT_DISCONNECTED, STOP_NONE, false);
}

void guest_agent(int domain, int host, bool connected, int64_t delay)
{
    at(world.clock + delay, -1, agent_changes, NULL, domain, (int64_t)host << 2 | connected);
}

void guest_agent_unheard(int domain, int host, int64_t delay)
{
    at(world.clock + delay, -1, agent_changes, NULL, domain, (int64_t)host << 2 | 2 | 1);
}

/* Which guest a delivery is for is known to the daemon's job alone; it tells when it sends a command. */
static struct {
    int domain, host;
} asked;

bool host_agent_command(struct host_link *link, const char *uuid, const struct buffer *command, unsigned timeout_s,
                        struct buffer *ret_reply, struct error *err)
{
    (void)command, (void)timeout_s, (void)ret_reply, (void)err;
    asked.host = ((const struct host *)(const void *)link)->index;
    asked.domain = domain_of_uuid(uuid);
    return true;
}

static void read_keys(const struct delivery_entry *entries, size_t count, uint64_t keys[PROVIDERS_MAX])
{
    memset(keys, 0, PROVIDERS_MAX * sizeof keys[0]);
    for (size_t i = 0; i < count; i++)
        for (unsigned p = 0; p < world.providers_count; p++)
            if (entries[i].secret && strcmp(entries[i].provider, world.remotes[p].name) == 0)
                memcpy(&keys[p], secret_reveal(entries[i].secret), sizeof keys[p]);
}

/* By the label a shell knows whether what it has is an earlier set's. */
static void check_label(struct domain *domain, int64_t label, const uint64_t keys[PROVIDERS_MAX])
{
    unsigned kept = domain->labels_count < LABELS_MAX ? domain->labels_count : LABELS_MAX;
    for (unsigned i = 0; i < kept; i++)
        if (domain->labels[i].label == label && memcmp(domain->labels[i].keys, keys, sizeof domain->labels[i].keys) != 0)
            violated("labels", "other keys come to domain %d under the label %" PRId64 " of earlier ones",
                     (int)(domain - world.domains), label);
    unsigned slot = domain->labels_count++ % LABELS_MAX;
    domain->labels[slot].label = label;
    memcpy(domain->labels[slot].keys, keys, sizeof domain->labels[slot].keys);
}

static enum delivery_outcome write_into(struct domain *domain, const uint64_t keys[PROVIDERS_MAX])
{
    static const enum delivery_outcome faults[] = {
        [GUEST_BLOCKED] = DELIVERY_BLOCKED, [GUEST_FROZEN] = DELIVERY_FROZEN,
        [GUEST_TIMEOUT_UNDONE] = DELIVERY_TIMEOUT, [GUEST_TIMEOUT_DONE] = DELIVERY_TIMEOUT,
        [GUEST_FAILED] = DELIVERY_FAILED, [GUEST_MISMATCH] = DELIVERY_MISMATCH,
        [GUEST_UNSUPPORTED] = DELIVERY_UNSUPPORTED, [GUEST_LIES] = DELIVERY_PROVEN,
    };
    unsigned fault = world.clock < domain->fault_until ? domain->fault : 0;
    if (fault)
        did(FAULT_GUEST);
    if (fault == GUEST_LIES)
        domain->lied_at = world.clock;
    if (fault == 0 || fault == GUEST_TIMEOUT_DONE) {
        domain->behind = false;
        memcpy(domain->holds, keys, sizeof domain->holds);
        memcpy(domain->given[asked.host], keys, sizeof domain->given[asked.host]);
        world.changed = true;
    }
    return fault ? faults[fault] : DELIVERY_PROVEN;
}

void delivery_run_within(unsigned deadline_ms, agent_command_fn *command, void *context,
                         const struct delivery_entry *entries, size_t count, int64_t label, const char *readers,
                         struct delivery_result *ret_result)
{
    struct buffer nothing = BUFFER_INIT(1);
    uint64_t keys[PROVIDERS_MAX];
    (void)deadline_ms, (void)readers;
    command(context, &nothing, 1, &nothing, &ret_result->error);
    struct domain *domain = &world.domains[asked.domain];
    const struct presence *on = &domain->on[asked.host];
    read_keys(entries, count, keys);
    if (count > 0)
        check_label(domain, label, keys);
    memset(ret_result, 0, sizeof *ret_result);
    ret_result->shell_start = true;
    ret_result->outcome = !on->active || on->paused || !on->agent_connected || world.hosts[asked.host].libvirt_down
                              ? DELIVERY_NO_AGENT
                              : write_into(domain, keys);
    tell("  delivery of %zu keys to domain %d: %d", count, asked.domain, (int)ret_result->outcome);
    if (ret_result->outcome != DELIVERY_PROVEN)
        error_set(&ret_result->error, ERROR_IO, "simulated");
}

void delivery_fingerprint(const struct delivery_entry *entries, size_t count, const char *readers,
                          char ret_fingerprint[DELIVERY_FINGERPRINT_SIZE])
{
    (void)entries, (void)count, (void)readers;
    ret_fingerprint[0] = '\0';
}

bool delivery_found_is(const struct delivery_found *found, const struct delivery_entry *entries, size_t count,
                       const char *readers)
{
    (void)found, (void)entries, (void)count, (void)readers;
    return false;
}
