/*
 * What OpenRouter and LiteLLM have alike: keys in one account, each with a limit of its own, and a
 * model API that bills them. The rest is in openrouter.c and litellm.c.
 */
#ifndef SANDBOX_GATEWAY_H
#define SANDBOX_GATEWAY_H

#include "fields.h"
#include "provider.h"

enum gateway { GATEWAY_OPENROUTER, GATEWAY_LITELLM };

struct gateway_key {
    enum gateway gateway;
    const struct organisation *organisation; /* whose account it is in */
    char sha256[SHA256_HEX_SIZE];            /* of the secret, and the key's id */
    char label[24];                          /* the secret's ends, for people */
    char *name;
    bool disabled;
    int64_t limit;       /* micro-dollars, -1 = none */
    char *period;        /* in which the limit begins anew, NULL = never */
    struct json_object *models; /* those allowed, NULL or empty = all */
    struct json_object *asked;  /* the body it was made with, without the secret */
    int64_t spend_month; /* as in struct project */
    int64_t month_micro_usd, total_micro_usd;
    int64_t created_ms, updated_ms, deleted_ms;
    int64_t expires_ms; /* 0 = never */
    int64_t visible_mono;
    TAILQ_ENTRY(gateway_key) next;
};

/* One use of a model, or a correction of a key's spend (then model is NULL). */
struct gateway_charge {
    int64_t at; /* unix seconds */
    const struct gateway_key *key;
    const char *model;
    int64_t input_tokens, output_tokens, micro_usd;
};

struct gateways {
    TAILQ_HEAD(gateway_key_list, gateway_key) keys;
    struct gateway_charge *charges;
    size_t n_charges, max_charges;
};

extern const struct provider openrouter_provider, litellm_provider;

struct gateways *gateways_new(void);
void gateways_free(struct gateways *gateways);

/* SECRET: hashed, not kept. */
struct gateway_key *gateway_add(struct call *call, enum gateway gateway, const char *secret, const char *name);
/* Of the caller's organisation and not deleted, or NULL. */
struct gateway_key *gateway_key(struct call *call, enum gateway gateway, const char *sha256);
/* Whose secret it is; dead ones too. */
struct gateway_key *gateway_key_of_secret(struct store *store, enum gateway gateway, const char *secret);
bool gateway_listed(struct call *call, enum gateway gateway, const struct gateway_key *key);

/* What the key's record shows of its spend since SINCE (unix seconds); see knobs. */
int64_t gateway_told(const struct store *store, const struct gateway_key *key, int64_t since);
/* The beginning of this day and week (Monday), UTC, as unix seconds. */
int64_t gateway_day(void);
int64_t gateway_week(void);
/* What was spent since the limit began anew; now, when it is by month, else ever. */
int64_t gateway_spend(const struct gateway_key *key);
bool gateway_exhausted(const struct gateway_key *key);
bool gateway_expired(const struct gateway_key *key);

/* A dollar amount that was sent: micro-dollars, -1 when null or absent. False: it is no amount. */
bool get_dollars(struct json_object *body, const char *name, int64_t *out);
void put_dollars(struct json_object *object, const char *name, int64_t micro_usd); /* -1 -> null */

/* The key's bearer asks a model: the answer is billed and given. REFUSE says no in the provider's own words. */
typedef void gateway_refuse(struct call *call, int status, const char *message);
void gateway_chat(struct call *call, gateway_refuse *refuse);
void gateway_models(struct call *call);

/* litellm-activity.c: what was spent by day, key and model */
void litellm_daily_activity(struct call *call);

/* For /state and /outside. */
void gateway_state(struct store *store, bool live_only, struct json_object *state);
bool gateway_outside(struct store *store, struct json_object *description, struct json_object *result, const char **error);

#endif
