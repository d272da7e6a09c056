/* The configuration file: what it says, checked to the last word.
 *
 * INI as in llmhook.conf(5). Every error text is `FILE:LINE: what is wrong: what to write instead`. What is not
 * understood is an error, never ignored: a typing mistake must not cost a limit. Nothing in it is secret. */
#ifndef LLMHOOK_CONFIG_CONFIG_H
#define LLMHOOK_CONFIG_CONFIG_H

#include "base/error.h"
#include "base/log.h"
#include "credentials/credential.h"
#include "lifecycle/alert.h"
#include "lifecycle/policy.h"
#include "providers/provider.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONFIG_DEFAULT_PATH "/etc/llmhook/llmhook.conf"

enum {
    CONFIG_FILE_MAX = 1024 * 1024, /* bytes */
    CONFIG_PATH_SIZE = 256,
    CONFIG_SOCKET_SIZE = 108,      /* sockaddr_un's */
    CONFIG_HOST_ID_SIZE = 17,
    CONFIG_GLOB_SIZE = POLICY_OWNER_SIZE, /* no name of a section is longer */
};

/* [daemon], defaults filled in. Paths are absolute. */
struct config_daemon {
    char libvirt_uri[CONFIG_PATH_SIZE];
    char state_directory[CONFIG_PATH_SIZE];
    char socket[CONFIG_SOCKET_SIZE];
    char seal_key[CONFIG_PATH_SIZE + sizeof "/seal.key"]; /* a path, or "credential:NAME" */
    char host_id[CONFIG_HOST_ID_SIZE];                    /* empty: to be derived from the host */
    int64_t required_deadline_ms;
    int64_t undefine_grace_ms;
    int64_t start_grace_ms;
    int64_t usage_interval_ms; /* between two looks at what was spent; 0: there are none */
    char prices[CONFIG_PATH_SIZE]; /* the price table; empty: the one that is built in */
    int64_t monthly_limit;     /* of all that this host spends, micro-dollars; 0: none */
    int64_t audit_interval_ms; /* between the daemon's own audits; 0: it makes none */
    enum log_level log_level;
    unsigned agent_workers;
};

/* One [policy GLOB]. */
struct config_policy {
    char glob[CONFIG_GLOB_SIZE];
    struct policy policy; /* as written: open fields are for policy_resolve() */
};

/* [alerts]. */
struct config_alerts {
    unsigned thresholds[ALERT_THRESHOLDS_MAX]; /* percent of a monthly limit */
    size_t thresholds_count;
    char webhook[PROVIDER_URL_SIZE];        /* empty: none; so are the others */
    char webhook_secret[PROVIDER_URL_SIZE]; /* a credential reference */
    char ca_file[PROVIDER_URL_SIZE];        /* for the webhook; empty: the system's */
    char program[CONFIG_PATH_SIZE];
    char mail[CONFIG_PATH_SIZE];            /* an address */
    char sendmail[CONFIG_PATH_SIZE];
};

/* One [owner NAME]. */
struct config_owner {
    char name[POLICY_OWNER_SIZE];
    int64_t monthly_limit; /* of all domains of that owner together, micro-dollars */
};

/* Immutable once read: a new file makes a new one. */
struct config {
    size_t sections_count; /* of whatever kind; 0: the file says nothing at all */
    struct config_daemon daemon;
    struct credential_vault vault; /* [vault] */
    struct config_alerts alerts;
    struct provider_settings *providers; /* in file order */
    size_t providers_count;
    struct config_policy *policies; /* in file order, the first match wins */
    size_t policies_count;
    struct config_owner *owners;
    size_t owners_count;
};

/* Reads PATH. Owner of *RET_CONFIG: the caller. ERROR_NOT_FOUND when there is no such file; ERROR_DENIED when
 * others than root and ourselves may write it; ERROR_LIMIT when it is too big; ERROR_INVALID with the first problem
 * (by line). *RET_CONFIG is left alone on failure. */
bool config_read(const char *path, struct config **ret_config, struct error *err);

/* The same for LENGTH bytes that are at hand; NAME stands where the file's path would in error texts. */
bool config_parse(const char *name, const char *text, size_t length, struct config **ret_config, struct error *err);

/* Reads PATH only to find what is wrong with it: calls FOUND for each problem, by line (at most 100, and the last
 * says so), and returns how many calls there were; 0: the file is good. */
typedef void config_problem_fn(void *context, const char *text);
unsigned config_check(const char *path, config_problem_fn *found, void *context);

/* What holds where there is no file: the defaults, no provider and no policy. Owner: the caller. NULL: no memory. */
struct config *config_new(void);

/* NULL is fine. */
void config_free(struct config *config);

/* The first policy whose pattern matches; NULL: none, the domain gets nothing unless its metadata asks. Borrowed. */
const struct policy *config_policy_for(const struct config *config, const char *domain_name);

/* The provider of that name; NULL: it has no section, so it is off. Borrowed. */
const struct provider_settings *config_provider(const struct config *config, const char *name);

/* What all domains of OWNER together may spend in a month, micro-dollars; 0: as much as they like. */
int64_t config_owner_limit(const struct config *config, const char *owner);

/* Appends the file at PATH, which nobody but root and ourselves may be able to write. */
struct buffer;
bool config_load(const char *path, struct buffer *content, struct error *err);

static inline void cleanup_config_pointer(struct config **config)
{
    config_free(*config);
}
#define cleanup_config __attribute__((cleanup(cleanup_config_pointer)))

#endif
