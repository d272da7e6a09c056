#include "base/failpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NAME_SIZE = 80 };

/* A transaction of the ledger, named by the journal's word for it. */
#define COMMIT(name) name ".committing", name ".committed"
/* A request to a provider, or to anybody else. */
#define REQUEST(name) name ".sending", name ".answered"

/* All there are, one line a step: tests/crash/ reads them here, and a run that has not passed each of them fails. */
static const char *const names[] = {
    COMMIT("schema"),
    COMMIT("checkpoint"),
    COMMIT("host-id"),
    COMMIT("seal-key-noted"),
    COMMIT("domain-saved"),
    COMMIT("domain-forgotten"),
    COMMIT("granted"),
    COMMIT("grant-changed"),
    COMMIT("grant-noted"),
    COMMIT("grant-ended"),
    COMMIT("held"),
    COMMIT("hold-ended"),
    COMMIT("rotation-asked-for"),
    COMMIT("container-planned"),
    COMMIT("container-creating"),
    COMMIT("container-open"),
    COMMIT("container-found"),
    COMMIT("container-noted"),
    COMMIT("container-doubted"),
    COMMIT("container-limited"),
    COMMIT("container-rate-limited"),
    COMMIT("container-vanished"),
    COMMIT("container-dropped"),
    COMMIT("container-archiving"),
    COMMIT("container-archived"),
    COMMIT("container-to-be-checked"),
    COMMIT("adoption"),
    COMMIT("key-planned"),
    COMMIT("key-dropped"),
    COMMIT("key-minting"),
    COMMIT("key-claimed"),
    COMMIT("key-minted"),
    COMMIT("key-noted"),
    COMMIT("key-doubted"),
    COMMIT("key-active"),
    COMMIT("key-retiring"),
    COMMIT("key-suspending"),
    COMMIT("key-suspended"),
    COMMIT("key-resuming"),
    COMMIT("key-resumed"),
    COMMIT("key-limited"),
    COMMIT("key-to-be-limited"),
    COMMIT("key-vanished"),
    COMMIT("key-revoking"),
    COMMIT("key-found"),
    COMMIT("key-found-and-removed"),
    COMMIT("key-never-was"),
    COMMIT("key-revoked"),
    COMMIT("lease-noted"),
    COMMIT("pool-key-added"),
    COMMIT("pool-key-removed"),
    COMMIT("provider-remembered"),
    COMMIT("admin-key-noted"),
    COMMIT("admin-key-settled"),
    COMMIT("usage-saved"),
    COMMIT("alert-raised"),
    COMMIT("alert-told"),
    COMMIT("alert-ended"),
    COMMIT("alert-given-up"),
    COMMIT("alerts-forgotten"),
    REQUEST("find-container"),
    REQUEST("create-container"),
    REQUEST("limit-container"),
    REQUEST("rate-limit-container"),
    REQUEST("archive-container"),
    REQUEST("mint-key"),
    REQUEST("find-key"),
    REQUEST("revoke-key"),
    REQUEST("renew-key"),
    REQUEST("limit-key"),
    REQUEST("find-admin-keys"),
    REQUEST("check-admin-key"),
    REQUEST("create-admin-key"),
    REQUEST("delete-admin-key"),
    REQUEST("identify-pool-key"),
    REQUEST("switch-off-pool-key"),
    REQUEST("suspend-key"),
    REQUEST("resume-key"),
    REQUEST("take-inventory"),
    REQUEST("read-usage"),
    REQUEST("read-limit"),
    REQUEST("apply-federation"),
    REQUEST("fetch-credential"),
    REQUEST("tell-journal"),
    REQUEST("tell-webhook"),
    REQUEST("tell-program"),
    REQUEST("tell-mail"),
    "exchange.answered",
    "boot-credential.writing",
    "boot-credential.written",
    "delivery.submitting",
    "delivery.submitted",
    "delivery.ended",
    "agent-command.sending",
    "agent-command.answered",
    "spool-entry.found",
    "spool-entry.taken-up",
    "file.created",
    "file.written",
    "file.synced",
    "file.renamed",
    "file.kept",
    "file.removing",
    "file.removed",
    "file.forgotten",
};
enum { COUNT = sizeof names / sizeof names[0] };

static atomic_flag busy = ATOMIC_FLAG_INIT;
static unsigned long passes[COUNT];
static char armed[NAME_SIZE + 16]; /* what the counting is for */

static _Noreturn void give_up(const char *what, const char *name)
{
    fprintf(stderr, "failpoint %s: %s\n", name, what);
    abort();
}

static void name_of(const char *step, const char *moment, char name[NAME_SIZE])
{
    snprintf(name, NAME_SIZE, "%s.%s", step, moment);
    for (char *at = name; *at; at++)
        if (*at == ' ')
            *at = '-';
}

/* What is to be killed at, as NAME[:N]; empty: nothing. */
static void read_order(char order[sizeof armed])
{
    const char *asked = getenv("LLMHOOK_FAILPOINT");
    order[0] = '\0';
    if (!asked)
        return;
    if (asked[0] != '@') {
        snprintf(order, sizeof armed, "%s", asked);
        return;
    }
    int fd = open(asked + 1, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? 0 : read(fd, order, sizeof armed - 1);
    if (fd >= 0)
        close(fd);
    order[length > 0 ? length : 0] = '\0';
    order[strcspn(order, "\n")] = '\0';
}

static void trace(const char *name, const char *more)
{
    const char *path = getenv("LLMHOOK_FAILPOINT_TRACE");
    char line[NAME_SIZE + 16];
    if (!path)
        return;
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int length = snprintf(line, sizeof line, "%s%s\n", name, more);
    /* Half a trace would look like a workload that does less. */
    if (fd < 0 || write(fd, line, (size_t)length) != length)
        give_up("no trace can be written", name);
    close(fd);
}

/* Whether this pass is the one that ORDER means. */
static bool is_meant(const char *order, size_t index)
{
    size_t length = strcspn(order, ":");
    unsigned long wanted = order[length] ? strtoul(order + length + 1, NULL, 10) : 1;
    if (strcmp(order, armed) != 0) {
        memset(passes, 0, sizeof passes);
        snprintf(armed, sizeof armed, "%s", order);
    }
    passes[index]++;
    return strlen(names[index]) == length && memcmp(order, names[index], length) == 0 && passes[index] == wanted;
}

void failpoint_pass(const char *step, const char *moment)
{
    char name[NAME_SIZE], order[sizeof armed];
    int before = errno;
    size_t index = 0;
    name_of(step, moment, name);
    while (index < COUNT && strcmp(names[index], name) != 0)
        index++;
    if (index == COUNT)
        give_up("it is not in the list of src/base/failpoint.c", name);
    while (atomic_flag_test_and_set(&busy))
        continue;
    read_order(order);
    bool dies = is_meant(order, index);
    trace(name, dies ? " KILL" : "");
    if (dies) {
        kill(getpid(), SIGKILL);
        for (;;)
            pause();
    }
    atomic_flag_clear(&busy);
    errno = before;
}
