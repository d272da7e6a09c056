/* Workload Identity Federation at Anthropic: no key is kept anywhere. This host is an OpenID Connect issuer whose public
 * key Anthropic was told once; a domain gets a short-lived token that the host signs, and the official SDKs exchange it
 * for an access token. What is shared between the driver, what is to be entered at Anthropic, and who enters it. */
#ifndef LLMHOOK_PROVIDERS_ANTHROPIC_FEDERATION_H
#define LLMHOOK_PROVIDERS_ANTHROPIC_FEDERATION_H

#include "providers/provider.h"

#include <json-c/json_object.h>

struct http;
struct http_answer;

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
 * "workspace_id"}, each as its API takes it; the rule's issuer and account are named there in place of their ids. JWK is
 * taken over. Owner of *RET: the caller. */
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

/* What Anthropic wrote into an error, in either of its two forms (the API's, and RFC 6749's of the token endpoint). */
void federation_read_complaint(const struct http_answer *answer, struct provider_complaint *ret_complaint);

extern const char *const federation_exchange_headers[], *const federation_admin_headers[];
#define FEDERATION_WHO "Anthropic"

#endif
