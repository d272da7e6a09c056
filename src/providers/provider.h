/* Where keys come from. One file a provider: pure builders of requests and pure parsers of answers; provider.c
 * carries them over http.h. A call may need several requests (pages, set-then-read-back); its caller sees one
 * outcome. */
#ifndef LLMHOOK_PROVIDERS_PROVIDER_H
#define LLMHOOK_PROVIDERS_PROVIDER_H

#include "base/error.h"
#include "base/loop.h"
#include "base/secret.h"
#include "lifecycle/outcome.h"
#include "lifecycle/records.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PROVIDER_RATES_MAX = 32,
    PROVIDER_URL_SIZE = 512,
    PROVIDER_MODEL_SIZE = 65,
    PROVIDER_VARIABLES_MAX = 8,
};

/* What a provider can do. What it cannot is said to the user, never papered over. */
enum provider_capability {
    PROVIDER_CAN_MINT = 1 << 0,
    PROVIDER_CAN_LIST = 1 << 1,
    PROVIDER_CAN_CONTAIN = 1 << 2,       /* has containers (projects, workspaces) that we may make */
    PROVIDER_CAN_LIMIT_CONTAINER = 1 << 3, /* hard monthly spend limit on the container */
    PROVIDER_CAN_RATE_LIMIT = 1 << 4,    /* per-model rate limits on the container */
    PROVIDER_CAN_ARCHIVE = 1 << 5,
    PROVIDER_CAN_SUSPEND = 1 << 6,       /* a key can be refused for a while, and taken again */
    PROVIDER_CAN_LIMIT_KEY = 1 << 7,     /* hard spend limit on the key itself, given when it is minted */
    PROVIDER_CHOOSES_SECRET = 1 << 8,    /* we choose the secret: minting can be repeated */
    PROVIDER_CAN_USAGE = 1 << 9,         /* tells what was spent, or at least what was used */
    PROVIDER_CLAIMS = 1 << 10,           /* keys exist already and are claimed from the ledger's pool: minting renames and
                                            activates the one in call.key_id, as often as it takes; result.key_id is the
                                            same, and there is no result.secret */
    PROVIDER_SHARED = 1 << 11,           /* the host's own key: minting copies it, revoking takes nothing back, no budget
                                            is anybody's to enforce. CHECK says its id (key_id) */
    PROVIDER_EXPIRES = 1 << 12,          /* a key is a token that this host signs: the credential is its signing key. It
                                            ends by itself after its life and cannot be taken back before: revoking means
                                            that no further one is signed */
    PROVIDER_LEASES = 1 << 13,           /* a key ends by itself unless it is renewed in time, and has no name to be found by:
                                            one whose minting was never answered is not looked for, it ends */
    PROVIDER_CAN_CHANGE_LIMIT = 1 << 14, /* with PROVIDER_CAN_LIMIT_KEY: the limit of a living key can be set anew, and an
                                            inventory shows it */
    PROVIDER_ROTATES_ADMIN_KEY = 1 << 15, /* makes another admin key for an admin key, and removes one */
    PROVIDER_KEY_IS_ASKED = 1 << 16,     /* what is about a key gets its secret as `chosen`, where it is known: should the
                                            provider say that it has no such key, the key itself is asked */
};
/* The container of a provider that cannot have any: all its keys are in the one account. */
#define PROVIDER_ACCOUNT "account"

/* A per-model limit; 0 leaves that number as the provider has it. */
struct provider_rate {
    char model[PROVIDER_MODEL_SIZE];
    int64_t requests_per_minute;
    int64_t tokens_per_minute;
};

/* What only a federation has: where this host's tokens are taken, and for whom. Empty: not given. */
struct provider_federation {
    char issuer[PROVIDER_URL_SIZE];   /* as which this host signs; empty: made of its id */
    char audience[PROVIDER_URL_SIZE]; /* empty: the provider's own */
    char rule[RECORD_REMOTE_ID_SIZE];
    char organization[RECORD_UUID_SIZE];
    char service_account[RECORD_REMOTE_ID_SIZE]; /* or "per-domain": one is made for each */
    char workspace[RECORD_REMOTE_ID_SIZE];
    int64_t lifetime_ms;   /* of a token; 0: the default */
    bool exchange_on_host; /* the guest gets what a token is exchanged for, not the token */
};

/* What only Vault has. */
struct provider_vault {
    char path[81];        /* where reading makes a key; short, for a lease is named by it and more */
    char field[65];       /* which part of the answer it is */
    char name_space[128]; /* empty: none */
    char parameters[256]; /* "NAME=VALUE ..." */
    bool post;            /* the path is written to, not read */
};

/* One [provider NAME] section, resolved. */
struct provider_settings {
    char name[POLICY_PROVIDER_SIZE];
    char type[POLICY_PROVIDER_SIZE];      /* "openai": which driver */
    char base_url[PROVIDER_URL_SIZE];     /* empty: the driver's own */
    char guest_base_url[PROVIDER_URL_SIZE]; /* for clients in the guest; empty: see provider_variables() */
    char ca_file[PROVIDER_URL_SIZE];      /* empty: the system's */
    char admin_key[PROVIDER_URL_SIZE];    /* a credential reference, never a key; empty: this type needs none */
    bool admin_key_blocks;                /* fetching it may take seconds: it is done in a thread, and kept for a while */
    char project[RECORD_REMOTE_ID_SIZE];  /* "per-domain", "per-owner" or a container's id */
    char environment[POLICY_ENVIRONMENT_SIZE]; /* variable in the guest; empty: the driver's own */
    char program[PROVIDER_URL_SIZE];      /* of type exec: its path and arguments */
    unsigned can;                         /* of type exec: capabilities that its program has beside those of the type */
    int64_t timeout_ms;                   /* for one request, everything included */
    int64_t expires_ms;                   /* a key ends by itself so long after it was minted; 0: never */
    unsigned pool_low;                    /* with PROVIDER_CLAIMS: fewer free keys than this are said; 0: when none is left */
    char models[PROVIDER_URL_SIZE];       /* that a key may be used for, separated by spaces; empty: all */
    unsigned rates_count;
    struct provider_rate rates[PROVIDER_RATES_MAX];
    struct provider_federation federation;
    struct provider_vault vault;
};

enum provider_verb {
    PROVIDER_FIND_CONTAINER,       /* in: container_name. Items: every live container of that identity, oldest first */
    PROVIDER_CREATE_CONTAINER,     /* in: container_name. out: container_id */
    PROVIDER_LIMIT_CONTAINER,      /* in: container_id, monthly_limit, only_read. Sets it, reads it back, compares; with
                                      only_read it sets nothing. out: other_limit */
    PROVIDER_RATE_LIMIT_CONTAINER, /* in: container_id; rates come from the settings */
    PROVIDER_ARCHIVE_CONTAINER,    /* in: container_id */
    PROVIDER_FIND_KEYS,            /* in: container_id, key_name. Items: every live key of exactly that name */
    PROVIDER_MINT_KEY,             /* in: container_id, key_name, monthly_limit with PROVIDER_CAN_LIMIT_KEY, chosen with
                                      PROVIDER_CHOOSES_SECRET. out: key_id, secret. key_id may be set with
                                      OUTCOME_UNKNOWN: it is that key */
    PROVIDER_REVOKE_KEY,           /* in: container_id, key_id; key_name and chosen with PROVIDER_KEY_IS_ASKED, as for the other
                                      verbs about a key. OUTCOME_GONE also where the key is not there */
    PROVIDER_SUSPEND_KEY,          /* in: container_id, key_id. It is refused from now on; repeating it changes nothing */
    PROVIDER_RESUME_KEY,           /* in: container_id, key_id, key_name. It is taken again; with PROVIDER_CLAIMS it may
                                      not have its name yet, and gets it */
    PROVIDER_INVENTORY,            /* in: name_prefix, limits_prefix, known_ids. Items: containers and keys whose name begins
                                      so, or whose id is known, all pages, and all keys in a container whose name begins so
                                      whatever they are called */
    PROVIDER_CHECK,                /* a cheap read that shows whether the provider answers and takes our admin key. out:
                                      key_id with PROVIDER_SHARED */
    PROVIDER_USAGE,                /* in: scopes, since, until; name_prefix and known_ids for the whole account. out: usage,
                                      one row or more for each container, key, model, day and kind. Batched over all scopes:
                                      as many requests as the provider's pages demand, not one a key */
    PROVIDER_IDENTIFY_KEY,         /* in: chosen, a key's secret. Items: every live key that it may be, by what the provider
                                      shows of it. Only with PROVIDER_CLAIMS */
    PROVIDER_RENEW_KEY,            /* in: key_id. With PROVIDER_LEASES: looks at it, and makes it last longer if half of its life
                                      is over. out: life_ms, renew_in_ms, last_life. OUTCOME_GONE: it has ended */
    PROVIDER_LIMIT_KEY,            /* in: container_id, key_id, monthly_limit. Sets it, reads it back, compares */
    PROVIDER_FIND_ADMIN_KEYS,      /* in: chosen, an admin key, or else key_name. Items: every admin key that it may be, by what
                                      the provider shows of it, or every one of exactly that name */
    PROVIDER_CREATE_ADMIN_KEY,     /* in: key_name, life_ms. out: key_id, secret */
    PROVIDER_DELETE_ADMIN_KEY,     /* in: key_id. OUTCOME_GONE also where it is not there */
    /* Whatever takes a container_id: OUTCOME_GONE where that container is archived, and only on proof. To whoever may
     * not see it a container looks as if it were not there, and whoever believes that forgets live keys: that is
     * OUTCOME_REFUSED. */
};
const char *provider_verb_name(enum provider_verb verb);

/* What is asked about by PROVIDER_USAGE: a container, PROVIDER_ACCOUNT where there are none. */
struct provider_scope {
    char container_id[RECORD_REMOTE_ID_SIZE];
    unsigned keys; /* about how many of ours may have been used in it: so large is the answer */
};

struct provider_call {
    enum provider_verb verb;
    char container_name[RECORD_NAME_SIZE];
    char container_id[RECORD_REMOTE_ID_SIZE];
    char key_name[RECORD_NAME_SIZE];
    char key_id[RECORD_REMOTE_ID_SIZE];
    char name_prefix[RECORD_NAME_SIZE];
    char limits_prefix[RECORD_NAME_SIZE]; /* of the containers whose limit is asked for as well; empty: none is */
    const char *const *known_ids; /* sorted by strcmp(): what somebody has given another name; kept by the caller as `chosen` */
    size_t known_count;
    int64_t monthly_limit; /* micro-dollars; rounded up to the provider's unit (cents) */
    int64_t life_ms;       /* PROVIDER_CREATE_ADMIN_KEY: after how long it ends by itself; 0: never */
    int64_t wall;          /* wall-clock milliseconds when the call begins: provider_start() sets it */
    const struct secret *chosen; /* what the key is to be, or is; the caller keeps it until the call has ended */
    const struct secret *admin_key; /* in place of the configured one, as `chosen`; NULL: that */
    bool only_read; /* PROVIDER_LIMIT_CONTAINER: compares, and changes nothing */
    const struct provider_scope *scopes; /* as `chosen`: kept by the caller */
    size_t scopes_count;
    int64_t since, until; /* wall-clock milliseconds; whole UTC days are reported, the last as far as it is known */
    /* May be NULL. Called before each request but the first, with the caller's context: how many were answered, and
     * what they have brought. It must not touch the provider. */
    void (*progress)(void *context, unsigned requests, size_t items);
};

enum provider_item_kind { PROVIDER_ITEM_CONTAINER, PROVIDER_ITEM_KEY };

struct provider_item {
    enum provider_item_kind kind;
    char id[RECORD_REMOTE_ID_SIZE];
    char name[RECORD_NAME_SIZE];
    char container_id[RECORD_REMOTE_ID_SIZE]; /* of a key */
    bool tells_suspended, suspended;          /* of a key: whether the provider refuses it for now, if it says so */
    bool of_no_container;                     /* a key: told to be of the whole account, where others are of a container */
    int64_t created_at;                       /* wall-clock milliseconds, 0 where the provider does not say */
    int64_t expires_at;                       /* the same, of a key; 0: never, or not told */
    int64_t monthly_limit;                    /* micro-dollars; 0: it has none, PROVIDER_LIMIT_UNTOLD. Of a container,
                                                 with PROVIDER_CAN_LIMIT_KEY of a key */
};
enum { PROVIDER_LIMIT_UNTOLD = -1 }; /* not asked for, or the provider does not say */

/* What a row of usage says. Kept apart: a bill is what is to be paid, tokens are what it can be estimated from. */
enum provider_usage_kind {
    PROVIDER_USAGE_TOKENS,      /* what was used on that day so far; comes within minutes */
    PROVIDER_USAGE_BILL,        /* what that day is charged with so far; comes within hours, and may be revised */
    PROVIDER_USAGE_MONTH_TOTAL, /* what the key is charged with since the day's month began: of a provider that tells no
                                   days. Also in SUSPEND_KEY and REVOKE_KEY, however these end: then it tells nothing
                                   more */
};

struct provider_usage {
    enum provider_usage_kind kind;
    char container_id[RECORD_REMOTE_ID_SIZE];
    char key_id[RECORD_REMOTE_ID_SIZE]; /* as reports name it, see usage_id below; empty: not told */
    char model[PROVIDER_MODEL_SIZE];    /* or what else was charged for; empty: not told */
    int64_t day;                        /* since 1970-01-01, UTC */
    int64_t micro_dollars;              /* -1: not told */
    int64_t requests;
    int64_t input_tokens; /* all of them */
    int64_t cached_tokens; /* of these, read from a cache */
    int64_t written_tokens, written_long_tokens; /* of these, written to a cache for minutes, or for an hour: dearer by a
                                                    quarter, and twice as dear, where it is told apart */
    int64_t output_tokens;
    int64_t searches; /* in the web, which are billed by the piece */
};

/* How late usage is told. Few providers promise anything: these are what they or their users say, with a margin. */
struct provider_lag {
    int64_t used_ms;   /* tokens */
    int64_t billed_ms; /* dollars, revised for the last time */
};

struct provider_result {
    enum outcome outcome;
    bool no_credential;      /* OUTCOME_UNAUTHORIZED: it could not be fetched, and the provider was not asked */
    bool other_limit;        /* PROVIDER_LIMIT_CONTAINER: the provider has shown that it keeps another one, or none. Else a
                                failure says nothing of the limit: it could not be read */
    int64_t retry_after_ms;  /* any failure: what the provider asked for, -1 when it did not say */
    struct error error;      /* a sentence for the operator unless OUTCOME_OK; never holds a body or a secret */
    char container_id[RECORD_REMOTE_ID_SIZE];
    char key_id[RECORD_REMOTE_ID_SIZE];
    char usage_id[RECORD_REMOTE_ID_SIZE]; /* PROVIDER_MINT_KEY: how reports name the key; empty: by its key_id */
    int64_t life_ms;         /* PROVIDER_MINT_KEY, PROVIDER_RENEW_KEY: so long the key still lasts; 0: without end, or see */
    int64_t expires_at;      /* PROVIDER_MINT_KEY and RESUME_KEY with PROVIDER_CLAIMS: when it ends, in wall-clock
                                milliseconds; 0: never */
    /* With PROVIDER_LEASES, of PROVIDER_MINT_KEY and PROVIDER_RENEW_KEY. */
    int64_t renew_in_ms;     /* and so long until it is to be renewed; 0: never, as with last_life */
    bool last_life;          /* it cannot be renewed: a newer key has to take its place, the sooner the better */
    int64_t lease_ms;        /* of PROVIDER_MINT_KEY: how long a key lasts that nobody renews; 0: without end */
    struct secret *secret;   /* PROVIDER_MINT_KEY; the callback may take it by setting this to NULL */
    struct provider_item *items; /* none unless OUTCOME_OK: half a list is no list */
    size_t items_count;
    struct provider_usage *usage; /* of PROVIDER_USAGE as items, of other verbs whatever the outcome */
    size_t usage_count;
};

/* Whether what has that ID and NAME is an item of the inventory that CALL asks for; and whether by its name alone: only then all
 * keys in it are, and else those that are items themselves. Pure. */
bool provider_inventory_names(const struct provider_call *call, const char *name);
bool provider_inventory_has(const struct provider_call *call, const char *id, const char *name);

/* A container's identity ends at its name's first space; what follows is a label for people. */
bool provider_container_matches(const char *name, const char *identity);

struct provider; /* one configured provider with its connections */

/* Fetches the admin credential anew, or with PROVIDER_EXPIRES and no admin_key in the SETTINGS the host's own signing key;
 * ERROR_* says what is missing and what to do. With `admin_key_blocks` it is called in a thread of the provider's own. Owner
 * of *RET: the caller. */
typedef bool provider_credential_fn(void *context, const struct provider_settings *settings,
                                    struct secret **ret_secret, struct error *err);

struct http; /* the curl multi handle, see http.h */

/* Copies SETTINGS. ERROR_INVALID for an unknown type or an unusable URL. Owner of *RET: the caller. */
bool provider_new(struct http *http, const struct provider_settings *settings, provider_credential_fn *credential,
                  void *credential_context, struct provider **ret_provider, struct error *err);
/* Running calls end first, each with its callback and OUTCOME_UNKNOWN or OUTCOME_UNREACHABLE. Before http_free(). May
 * be called from inside a callback of this provider's. */
void provider_free(struct provider *provider);

/* The types that there are, ended by NULL. */
const char *const *provider_types(void);
/* For sentences: "one, two or three". */
void provider_types_told(char *ret_text, size_t size);
/* Settings that mean something to some types only. */
enum provider_setting {
    PROVIDER_TAKES_FEDERATION = 1 << 16,
    PROVIDER_TAKES_PROJECT = 1 << 0,
    PROVIDER_TAKES_RATE_LIMIT = 1 << 1,
    PROVIDER_TAKES_MODELS = 1 << 2,
    PROVIDER_TAKES_EXPIRES = 1 << 3,
    PROVIDER_TAKES_POOL_LOW = 1 << 4,
    PROVIDER_TAKES_VAULT = 1 << 5,
};
unsigned provider_type_settings(const char *type);
/* Of a type that there is: what its providers can do, and the variable that their keys are in the guest. */
unsigned provider_type_capabilities(const char *type);
const char *provider_settings_environment(const struct provider_settings *settings);
/* What the setting is called that says where the credential is ("admin-key", or "key"), NULL where TYPE may do without
 * one or is none. */
const char *provider_type_needs(const char *type);
/* The same, also where it may be left out. */
const char *provider_type_key_setting(const char *type);
/* The capability that a program may have under this name ("suspend", "limit", "usage"); 0: none. */
unsigned provider_exec_ability(const char *word);
/* Whether SETTINGS are whole, as far as its type demands more than all others do. */
bool provider_settings_check(const struct provider_settings *settings, struct error *err);

const struct provider_settings *provider_settings(const struct provider *provider);
unsigned provider_capabilities(const struct provider *provider);
/* With PROVIDER_CAN_USAGE. */
struct provider_lag provider_lag(const struct provider *provider);
/* "OPENAI_API_KEY" unless the settings say otherwise. */
const char *provider_environment(const struct provider *provider);
/* Whether programs in the guest want a file with the key, whose path the variable holds, rather than its value. */
bool provider_key_is_file(const struct provider *provider);
/* With PROVIDER_EXPIRES: after how many milliseconds a key is to be replaced by a newer one. Else 0. */
int64_t provider_key_refresh(const struct provider *provider);

/* What a guest needs beside the key, and what is no secret. */
struct provider_variable {
    char name[POLICY_ENVIRONMENT_SIZE];
    char value[PROVIDER_URL_SIZE];
};
/* Fills RET and returns how many there are. ENVIRONMENT: the variable that the key is in this guest. CONTAINER: in which
 * its keys are; empty: not known yet.
 *
 * Where clients in the guest have to be told where the API is, that is one: guest-base-url, or else a base-url that is
 * not the usual one and not on the loopback, which in the guest is another. Its name follows the key's, so that a key
 * and its address are a pair whatever they are called: OPENAI_API_KEY has OPENAI_BASE_URL. */
size_t provider_variables(const struct provider *provider, const char *environment, const char *container,
                          struct provider_variable ret[PROVIDER_VARIABLES_MAX]);

/* RESULT is released after the callback returns, except a secret that was taken. Always called exactly once, in
 * the loop's thread, never from inside provider_start(). */
typedef void provider_done_fn(void *context, struct provider_result *result);
void provider_start(struct provider *provider, const struct provider_call *call, provider_done_fn *done, void *context);

/* --- for the drivers (openai.c ...) --- */
struct http_request;
struct http_answer;

/* Where a call of several requests stands. A driver keeps what it needs between them here. */
struct provider_progress {
    unsigned step;
    char cursor[RECORD_NAME_SIZE];
    size_t index; /* into the result's items, for verbs that walk what they found */
    int64_t credential_made_at; /* by the provider's clock, wall-clock milliseconds; vault.c alone asks for it */
    /* Set when it is certain that this call has changed nothing and that its next request only reads: then its end
     * leaves no doubt, whatever the verb. */
    bool unchanged;
    /* Set when an earlier request of this call may have made something: then no failure is certain any more, whatever
     * it says. */
    bool made;
};
enum {
    PROVIDER_REQUESTS_MAX = 10000, /* for one call: a provider that never stops paging must not hold us */
    PROVIDER_ITEMS_MAX = 1000000, /* and rows of usage */
    PROVIDER_AT_ONCE = 4,          /* threads of one provider, for what blocks */
    /* How long a credential that took asking somebody for is kept, in locked memory: a host that starts a hundred VMs
     * asks its Vault once. A 401 ends it at once. */
    PROVIDER_CREDENTIAL_LIFE_MS = 30000,
};

enum provider_next { PROVIDER_NEXT_DONE, PROVIDER_NEXT_REQUEST };

struct provider_driver {
    const char *type;
    bool key_is_file; /* in the guest: the variable is to hold the path of a file with the key */
    const char *default_base_url;
    const char *default_environment;
    bool serves_guests; /* base_url is also where the guest's clients go with their keys */
    unsigned settings;  /* PROVIDER_TAKES_...: what may be set for it beside what all have */
    const char *key_setting; /* in which the credential's reference stands; NULL: "admin-key" */
    bool key_optional;       /* CREDENTIAL may then be NULL, and so may the request's secret */
    /* Which are done without that credential; NULL: none. */
    bool (*keyless)(const struct provider_settings *settings, enum provider_verb verb);
    /* Pure; with PROVIDER_EXPIRES. Which are done with the host's own key; all others with the configured one. */
    bool (*signs)(const struct provider_settings *settings, enum provider_verb verb);
    unsigned capabilities;
    /* Pure; may be NULL. Capabilities beside these, where the settings ask for more. */
    unsigned (*abilities)(const struct provider_settings *settings);
    struct provider_lag lag; /* 0: minutes and a day, as at most */
    /* Pure; may be NULL. In place of default_environment and key_is_file, where these depend on the settings. */
    const char *(*environment)(const struct provider_settings *settings);
    bool (*file)(const struct provider_settings *settings);
    /* Pure; may be NULL. Fills in up to ROOM of what a guest needs beside the key, addresses apart. */
    size_t (*variables)(const struct provider_settings *settings, const char *container, struct provider_variable *ret,
                        size_t room);
    /* Pure; with PROVIDER_EXPIRES. See provider_key_refresh(). */
    int64_t (*life)(const struct provider_settings *settings);
    /* Pure; may be NULL. What this type alone demands of its settings. */
    bool (*check)(const struct provider_settings *settings, struct error *err);

    /* --- over HTTP --- */
    /* Pure but for randomness; may be NULL. Called before the first request, and again when the call begins anew: either
     * does all of it, outcome included, or leaves in RESULT what build() needs of the credential. */
    enum provider_next (*begin)(const struct provider_settings *settings, const struct provider_call *call,
                                const struct secret *credential, struct provider_progress *progress,
                                struct provider_result *result);
    /* Pure. Fills REQUEST (method, URL, body, how the credential goes in). False: the call cannot be built. */
    bool (*build)(const struct provider_settings *settings, const struct provider_call *call,
                  const struct provider_progress *progress, const struct provider_result *so_far,
                  struct http_request *request, struct error *err);
    /* Pure. Reads ANSWER (HTTP_ANSWERED, any status) into RESULT, outcome included, and says whether another request
     * is needed. When that one gets 401 and there is a new admin key, the call begins again from its first step: so
     * nothing may follow a creating request that was not certainly refused. */
    enum provider_next (*parse)(const struct provider_settings *settings, const struct provider_call *call,
                                struct provider_progress *progress, const struct http_answer *answer,
                                struct provider_result *result);

    /* --- or at once, without HTTP: in place of `build` and `parse` --- */
    /* Pure but for what it is handed; quick, for the loop waits. Fills RESULT, outcome included. */
    void (*perform)(const struct provider_settings *settings, const struct provider_call *call,
                    const struct secret *credential, struct provider_result *result);
    /* --- or in a thread, as long as it takes: for programs --- */
    /* Touches nothing but what it is handed, and ends soon when CANCEL is readable. Fills RESULT, outcome included. */
    void (*run)(const struct provider_settings *settings, const struct provider_call *call,
                const struct secret *credential, int cancel, struct provider_result *result);
};

extern const struct provider_driver provider_anthropic, provider_litellm, provider_openai, provider_openrouter;
extern const struct provider_driver provider_static, provider_exec, provider_vault;
extern const struct provider_driver provider_anthropic_federation;

/* --- what drivers share (result.c), all pure --- */

/* Appends to the result's items; false when memory is short or there are more than PROVIDER_ITEMS_MAX. */
bool provider_result_add(struct provider_result *result, const struct provider_item *item);
/* The same for its usage. More than BUDGET_MOST counts as that: whatever a provider says can be added up. */
bool provider_usage_add(struct provider_result *result, const struct provider_usage *usage);
/* Releases what RESULT holds, and makes it OUTCOME_UNKNOWN with nothing in it. */
void provider_result_clear(struct provider_result *result);

/* An identifier from a provider may stand in a URL: 1 to 128 of [A-Za-z0-9_-]. */
bool provider_id_valid(const char *id);

/* What a provider wrote into the body of an error. */
struct provider_complaint {
    bool readable; /* the body has this provider's form of an error: no proxy or foreign server answered */
    char message[201];
    char code[65];
};
/* Copies LENGTH bytes of somebody else's text: cut to SIZE, printable ASCII only, what looks like a key left out. */
void provider_quote(const char *text, size_t length, char *ret_text, size_t size);

/* What an answer that is no success means; WHO is the provider's name in sentences. See result.c for the table. */
void provider_judge(enum provider_verb verb, const char *who, const struct http_answer *answer,
                    const struct provider_complaint *complaint, struct provider_result *result);
/* Whose rules hold for a failure now: those of the call's verb, or those of a mere read (`unchanged`). */
enum provider_verb provider_judged_verb(const struct provider_call *call, const struct provider_progress *progress);
/* After an end without a trustworthy answer: OUTCOME_UNKNOWN for verbs that change something, for those that only
 * read OUTCOME_UNREACHABLE. */
enum outcome provider_doubt(enum provider_verb verb);

#endif
