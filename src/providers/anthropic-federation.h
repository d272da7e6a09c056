/* Workload Identity Federation at Anthropic: no key is kept anywhere. This host is an OpenID Connect issuer whose public
 * key Anthropic was told once; a domain gets a short-lived token that the host signs, and the official SDKs exchange it
 * for an access token. What is shared between the driver, what is to be entered at Anthropic, and who enters it. */
#ifndef LLMHOOK_PROVIDERS_ANTHROPIC_FEDERATION_H
#define LLMHOOK_PROVIDERS_ANTHROPIC_FEDERATION_H

#include "providers/provider.h"

#include <json-c/json_object.h>

struct http;
struct http_answer;
struct http_request;

enum {
    FEDERATION_DEFAULT_LIFETIME_MS = 3600 * 1000,
    FEDERATION_LEAST_TOKEN_S = 60, /* Anthropic gives no access token for less */
    FEDERATION_LEEWAY_S = 30,      /* by which it takes clocks to be apart */
    FEDERATION_NAME_SIZE = 128,
};

/* Of the set-up below, in the order in which they are needed. */
enum federation_part { FEDERATION_ISSUER, FEDERATION_SERVICE_ACCOUNT, FEDERATION_MEMBERSHIP, FEDERATION_RULE, FEDERATION_PARTS };
/* "issuer", "service account"... */
const char *federation_part_name(enum federation_part part);

/* All pure. How often this host signs anew, and for how long, so that a guest always has a token with half of its life
 * before it. Milliseconds. */
int64_t federation_lifetime(const struct provider_settings *settings);
int64_t federation_refresh(const struct provider_settings *settings);
/* How long something that was signed may go on working, at most, after nothing is signed any more: the token is
 * exchanged in its last moment or before, and what it was exchanged for lives for twice of what was left of it. */
int64_t federation_aftermath(const struct provider_settings *settings);

/* What an administrator enters at Anthropic once: {"issuer": {...}, "service_account": {...}, "rule": {...},
 * "workspace_id"}, each as its API takes it; the rule's issuer and account are named there in place of their ids. With an
 * account for each domain it is the issuer alone. JWK is taken over. Owner of *RET: the caller. */
bool federation_wanted(const struct provider_settings *settings, const char *host_id, struct json_object *jwk,
                       struct json_object **ret_wanted, struct error *err);

/* Does it, with an OAuth token that has the scope org:admin: finds what is there by its name, makes what is missing, changes
 * and removes nothing. */
struct federation_report {
    struct error error; /* ERROR_NONE: all is there. Else why it went no further; what was done is told anyway */
    struct {
        char id[RECORD_REMOTE_ID_SIZE]; /* empty: not come to */
        bool made;                      /* now; else it was there */
    } parts[FEDERATION_PARTS];
};
typedef void federation_done_fn(void *context, const struct federation_report *report);
/* Copies what it needs; TOKEN is copied. The callback comes exactly once, never from inside this. */
void federation_apply(struct http *http, const struct provider_settings *settings, struct json_object *wanted,
                      const struct secret *token, federation_done_fn *done, void *context);

/* --- a service account for each domain (anthropic-accounts.c) --- */

bool federation_per_domain(const struct provider_settings *settings);
/* Whether VERB asks Anthropic, with the admin key; all others are done here with this host's signing key, or none. */
bool federation_asks(const struct provider_settings *settings, enum provider_verb verb);
void federation_begin(const struct provider_call *call, struct provider_progress *progress);
bool federation_build(const struct provider_settings *settings, const struct provider_call *call,
                      const struct provider_progress *progress, const struct provider_result *so_far,
                      struct http_request *request, struct error *err);
enum provider_next federation_parse(const struct provider_settings *settings, const struct provider_call *call,
                                    struct provider_progress *progress, const struct http_answer *answer,
                                    struct provider_result *result);
/* A container's id into those of the account and of its rule; empty where it has none. */
void federation_split(const char *container, char ret_account[RECORD_REMOTE_ID_SIZE], char ret_rule[RECORD_REMOTE_ID_SIZE]);

/* --- what both need --- */

/* Anthropic's names are of a-z, 0-9 and '-'. */
void federation_slug(char *text);
void federation_issuer_name(const char *host_id, char ret_name[FEDERATION_NAME_SIZE]);
/* From a key's or a container's name, "llmhook:HOST:UUID:..."; both have SIZE. */
bool federation_split_name(const char *name, char *ret_host, char *ret_subject, size_t size, struct error *err);
/* A rule as the API takes it, but for whose issuer it is, whom it makes of a token, and where. Owner: the caller. */
struct json_object *federation_rule(const struct provider_settings *settings, const char *name, const char *subject);

/* What makes a service account a member of WORKSPACE, as the API takes it. Owner: the caller. */
struct json_object *federation_membership(const char *workspace);

/* What Anthropic wrote into an error, in either of its two forms (the API's, and RFC 6749's of the token endpoint). */
void federation_read_complaint(const struct http_answer *answer, struct provider_complaint *ret_complaint);

extern const char *const federation_exchange_headers[], *const federation_admin_headers[];
#define FEDERATION_WHO "Anthropic"

#endif
