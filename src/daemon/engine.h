/* The engine: facts in memory, the loop around plan(), and the one way in which rows change.
 *
 * This header is the daemon folder's own. All of it runs in the loop's thread, except what pool jobs do with their
 * own copies. Requests and jobs under way refer to rows by id, never by pointer, so that an answer that comes late
 * finds its row or finds nothing. */
#ifndef LLMHOOK_DAEMON_ENGINE_H
#define LLMHOOK_DAEMON_ENGINE_H

#include "base/loop.h"
#include "base/secret.h"
#include "config/config.h"
#include "control/control.h"
#include "daemon/pool.h"
#include "host/host.h"
#include "ledger/ledger.h"
#include "lifecycle/budget.h"
#include "lifecycle/plan.h"
#include "lifecycle/schedule.h"
#include "lifecycle/transition.h"
#include "providers/http.h"
#include "providers/provider.h"
#include "qemu-guest-agent/delivery.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ENGINE_LEDGER_RETRY_MS = 1000 }; /* what the ledger has refused is tried again then */

struct vm_key {
    struct key_record record;
    bool busy;
    bool row_doubted; /* the ledger refused it, and may have taken it all the same: that is seen after a crash */
    int64_t next_attempt, doubted_at, looked_at; /* monotonic, as the next ones: see struct plan_key */
    int64_t suspend_doubted_at, resume_doubted_at, suspend_heard_at;
    int64_t renew_at, ends_at; /* with PROVIDER_LEASES; ends_at 0: without end, or not known */
    bool last_life;
    int64_t limit_next_attempt, limited_at;
};

struct vm_container {
    struct vm_container *next;
    struct container_record record;
    bool busy;
    bool row_doubted; /* as a key's */
    int64_t next_attempt, doubted_at, looked_at, limited_at;
};

struct vm_grant {
    struct grant_record record; /* id 0: not in the ledger yet */
    struct vm_container *container;
    struct vm_key **keys; /* not revoked, oldest generation first */
    size_t keys_count;
    bool wanted, was_wanted; /* by the policy: now, and when it was last applied */
    bool over_budget;        /* what was spent in this UTC month has reached the limit */
    enum budget_verdict over_whose; /* whose limit that is */
    bool key_is_file;        /* in the guest: see provider_key_is_file() */
    struct provider_variable variables[PROVIDER_VARIABLES_MAX]; /* that go into the guest beside the key */
    size_t variables_count;
    uint64_t turn;    /* of the last call that was let through a closed gate to see how things stand; 0: none was */
    int64_t taken_at; /* monotonic: the record's held_at, which a step of the wall clock does not move; of one that is held */
    struct plan_grant_status status;
};

/* What is known of the delivery into one boot's guest. */
struct vm_delivery {
    bool busy;
    uint64_t epoch;         /* counts the agent's connections: an answer from an earlier one proves nothing */
    char proven[SECRET_FINGERPRINT_SIZE]; /* identity of the set that the guest has proven in this epoch */
    int64_t attempts, next_attempt;
    enum delivery_outcome outcome; /* of the last attempt, when attempts > 0 */
    char reason[sizeof ((struct error *)NULL)->text];
    int64_t proven_at;      /* wall */
    char hooks[256];        /* in words, what reads the keys in the guest; of the last proof */
    unsigned humans;        /* accounts with copies of their own; of the last proof */
    int64_t waiting_since;  /* monotonic: since when the guest runs and its agent has not connected */
    int64_t looked_at;      /* monotonic: when libvirt was last asked whether it has, since nothing was heard of it */
    /* What a guest can cause as often as it likes, and for how long it was seen to take its time (monotonic). */
    int64_t tries_spent, words_spent, slow_until;
    bool anew;              /* the next try is the first since its agent came */
};

struct vm {
    struct engine *engine;
    struct domain_record record;
    bool recorded;   /* has a row in the ledger */
    bool row_behind; /* which is to be brought up to date, or the ledger has refused to */
    struct domain_sighting sighting;
    struct domain_hints hints;
    int64_t written_at; /* wall: when its row was last written before this daemon began; 0: it had none */
    int64_t boot_began; /* monotonic: of a boot that ends holds, until the ledger has taken that; 0: there is none */
    int64_t spooled_at; /* monotonic: when the newest hook in the spool was called that tells how it stopped; 0: none did */
    bool looking, look_again; /* a question to libvirt is under way; another is wanted after it */
    enum domain_boot_entry boot_entry; /* of its XML */
    bool metadata_known;      /* metadata below is what its XML says */
    bool has_metadata;
    struct policy metadata;
    struct policy policy; /* in force */
    bool policy_known;
    bool policy_behind; /* the ledger has refused a part of it */
    bool delivery_known; /* what goes into the guest is certain: by the policy in force, or by that of the daemon before us */
    char policy_problem[RECORD_ERROR_SIZE];
    enum domain_state state;
    enum agent_state agent;
    int64_t agent_heard_at;
    struct vm_delivery delivery;
    struct vm_grant **grants;
    size_t grants_count;
    struct control_call *waiter; /* a prepare hook that waits for a required key */
    int64_t waiter_since, waiter_deadline;
    bool dirty;
    int64_t next_look;
};

struct provider_slot {
    struct provider_slot *next;
    struct provider *provider;
    const struct provider_settings *settings;
    struct gate gate;
    struct gate admin_gate; /* see requests_gate() */
    char last_error[RECORD_ERROR_SIZE];
    unsigned in_flight;
    int64_t lease_ms; /* with PROVIDER_LEASES: the longest seen of a key that was made; 0: none was */
    char rates[SECRET_FINGERPRINT_SIZE]; /* fingerprint of its rate limits, empty: none */
    int64_t stock_doubted_at; /* monotonic: when switching off a key for the pool was not answered; 0: never */
    bool said_low; /* that its pool runs low */
    bool answered; /* to anything that was asked since it was opened */
    bool no_credential; /* the last failure: ours could not be fetched, and nobody was asked */
    bool removed; /* not in the configuration any more, and something of ours is alive there: only ended, see stranded.c */
    bool retired; /* another has its place: freed when nothing is in flight */
};

struct audit_past;
struct alert_desk;
struct usage;

struct engine {
    struct loop *loop;
    struct config *config;
    const char *config_path;
    char config_problem[512]; /* of the last re-read; empty: none */
    int64_t settled_at;       /* monotonic: when we began, or CONFIG became another */
    struct ledger *ledger;
    char ledger_problem[RECORD_ERROR_SIZE];
    char ledger_told[RECORD_ERROR_SIZE]; /* what the log says of it, see schedule_is_news() */
    int64_t ledger_words;
    struct seal *seal;
    char signing_key[CONFIG_PATH_SIZE + sizeof "/signing.key"]; /* its file, as settled when the daemon started */
    struct http *http;
    struct pool *looks;   /* questions to libvirt */
    struct pool *agents;  /* guest agent commands */
    struct pool *slow_agents; /* those to guests that have been slow to answer */
    struct host_watch *watch;
    bool libvirt_connected;
    char libvirt_problem[RECORD_ERROR_SIZE];
    char libvirt_version[32];
    bool sweeping, swept; /* swept: the list of domains is complete since the connection was made */
    int64_t sweep_asked_at;
    int64_t sweep_retry_at;
    char host_id[17];
    char boot_id[37]; /* the kernel's, of this boot of the host; empty: not known */
    int64_t started_at; /* wall */
    uint64_t hook_calls;
    char hookless[RECORD_NAME_SIZE]; /* a domain that libvirt started without calling our hook; empty: none */
    struct provider_slot *providers;
    struct vm_container *containers;
    struct vm **vms; /* by UUID */
    size_t vms_count;
    size_t next_vm; /* that is to be looked at first */
    struct audit_past *audit_past; /* of the last audit */
    struct chain_run *chain;       /* the verification of the journal that is under way; NULL: none */
    struct alert_desk *alerts;
    struct usage *usage;           /* what was spent; NULL: nobody counts */
    void (*judge)(struct engine *engine, struct vm *vm); /* which of its grants are over their budgets; may be NULL */
    /* What GRANT has spent in the month in force, whose first day RET_MONTH is; NULL: nobody counts. */
    int64_t (*spent)(struct engine *engine, const struct vm_grant *grant, int64_t *ret_month);
    /* What is spent of CONTAINER's limit for this month by those who share it no more; NULL: nobody counts. */
    int64_t (*departed)(struct engine *engine, const struct vm_container *container);
    uint64_t turns; /* how many such calls there were */
    int timer;
    int64_t timer_at;
    bool stopping;
};

/* --- engine.c: the loop around plan() --- */
struct vm *engine_find_vm(struct engine *engine, const char *uuid);
/* By UUID or name. Several of one name may be known, as what was undefined is until its keys have ended: those that are
 * there come before those that are not. How many it may be; *RET_VM is the first of them, or NULL. */
size_t engine_vms_called(struct engine *engine, const char *name, struct vm **ret_vm);
/* The same by the name alone, which anybody may have made another domain's UUID. */
size_t engine_vms_named(struct engine *engine, const char *name, struct vm **ret_vm);
/* Finds or makes. NAME may be empty when it is not known. */
struct vm *engine_vm(struct engine *engine, const char *uuid, const char *name);
/* A domain is to be looked at in the next turn of the loop. */
void engine_mark(struct engine *engine, struct vm *vm);
void engine_mark_provider(struct engine *engine, const char *provider);
void engine_mark_all(struct engine *engine);
/* Looks at AT (monotonic) at the latest. */
void engine_wake_at(struct engine *engine, int64_t at);
bool engine_start(struct engine *engine, struct error *err);
void engine_forget(struct engine *engine, struct vm *vm);
struct provider_slot *engine_provider(struct engine *engine, const char *name);
/* The monthly limit of the container that GRANT uses, in micro-dollars: where it is shared, the sum over those who
 * share it. */
int64_t engine_wanted_limit(struct engine *engine, const struct vm_grant *grant);
/* The limit that KEY itself is to have now, in micro-dollars, at a provider that takes it and can change it. */
int64_t engine_wanted_key_limit(struct engine *engine, const struct vm_grant *grant, const struct key_record *key);

/* --- rows.c: what is in memory is what is in the ledger --- */
bool rows_load(struct engine *engine, struct error *err);
/* Each saves the changed row with a journal line (EVENT may be NULL: nothing happened that is worth one) in one
 * transaction and then, only if that held, takes it over. False: the ledger refused; it has been logged. */
bool rows_save_key(struct engine *engine, struct vm *vm, struct vm_key *key, struct key_record *changed,
                   const char *event, const char *cause, const char *actor);
/* CHOSEN is sealed with the intent, so that the request can be repeated. NULL: it is in the ledger already, or the
 * provider chooses. */
bool rows_save_minting(struct engine *engine, struct vm *vm, struct vm_key *key, struct key_record *changed,
                       const struct secret *chosen, const char *event);
/* What the ledger keeps of KEY's secret; ERROR_NOT_FOUND: nothing. Owner of *RET: the caller. */
bool rows_get_secret(struct engine *engine, const struct vm_key *key, struct secret **ret_secret, struct error *err);
bool rows_save_minted(struct engine *engine, struct vm *vm, struct vm_key *key, struct key_record *changed,
                      const struct secret *secret, const char *cause);
/* Claims a key of the pool for KEY: its row, its secret and the intent to mint are one transaction. False: none is free,
 * or the ledger refused. */
bool rows_claim_key(struct engine *engine, struct vm *vm, struct vm_grant *grant, struct vm_key *key);
/* Whether a key of PROVIDER is free to be claimed. */
bool rows_can_claim(struct engine *engine, const char *provider);
/* What seals a secret to its place in the pool, apart from keys' own. */
void rows_pool_context(const struct pool_record *record, char *ret_context, size_t size);
/* VM: any that uses it, NULL where none does. */
bool rows_save_container(struct engine *engine, const struct vm *vm, struct vm_container *container,
                         struct container_record *changed, const char *event, const char *cause);
bool rows_save_domain(struct engine *engine, struct vm *vm);
bool rows_save_grant(struct engine *engine, struct vm *vm, struct vm_grant *grant, struct grant_record *changed,
                     const char *event, const char *cause, const char *actor);
/* The next generation of GRANT, which gets a row itself if it has none. */
bool rows_new_key(struct engine *engine, struct vm *vm, struct vm_grant *grant);
bool rows_new_container(struct engine *engine, struct vm *vm, struct vm_grant *grant);
/* Where that would be now: its kind, and the domain's UUID, the owner or the project as RET_SUBJECT, which lasts as long as VM
 * and configuration. */
enum container_kind rows_place_of_new_keys(struct engine *engine, const struct vm *vm, const struct vm_grant *grant,
                                           const char **ret_subject);
bool rows_end_grant(struct engine *engine, struct vm *vm, struct vm_grant *grant);
bool rows_forget_domain(struct engine *engine, struct vm *vm);
/* The key, its grant and its domain; false when it is not live any more. */
bool rows_find_key(struct engine *engine, const char *uuid, int64_t key_id, struct vm **ret_vm,
                   struct vm_grant **ret_grant, struct vm_key **ret_key);
struct vm_container *rows_find_container(struct engine *engine, int64_t container_id);
/* Names in CALL the ids of all that PROVIDER has of ours and that lives, for it to be listed also where somebody has given it
 * another name. Owner of what it returns, by free() when the call has ended: the caller. */
void *rows_name_known(const struct engine *engine, const char *provider, struct provider_call *call);
/* Frees those that were archived before BEFORE (wall) and that no grant has: their rows are history. */
void rows_drop_archived(struct engine *engine, int64_t before);

/* --- policy.c: which grants a domain is to have --- */
void policy_apply(struct engine *engine, struct vm *vm);
/* What was in force when the ledger was written last, for as long as the XML has not been read, or cannot be understood:
 * nothing is begun by it and nothing ended, but what the guest has is what it is given again. */
void policy_recall(struct engine *engine, struct vm *vm);
/* The file the hook reads when the daemon does not answer: whose start needs a key. */
void policy_publish_required(struct engine *engine);
bool policy_requires(const struct vm *vm);
/* The same of one that is known by nothing but its name. */
bool policy_requires_called(const struct engine *engine, const char *name);

/* --- requests.c: provider actions and what comes of them --- */
void requests_start(struct engine *engine, struct vm *vm, const struct plan_action *action);
/* Which gate calls of VERB pass. Where this host signs keys itself, the admin key is for accounts and reports alone: that it
 * is refused, or that nobody answers, must keep no domain from its next token. */
struct gate *requests_gate(struct provider_slot *slot, enum provider_verb verb);
/* A call that has passed GATE has ended. */
void requests_gate_ended(struct engine *engine, struct provider_slot *slot, struct gate *gate,
                         const struct provider_result *result, int64_t started_at);
/* Opens one beside those that there are. */
bool requests_open_provider(struct engine *engine, const struct provider_settings *settings, struct error *err);
bool requests_open_providers(struct engine *engine, struct error *err);
void requests_reopen_providers(struct engine *engine);
/* A slot that is retired may have nothing in flight any more: frees it in the next turn of the loop. */
void requests_collect_retired(struct engine *engine);

/* --- stranded.c: providers that were taken out of the configuration --- */
/* Notes the settings of those that are in it, and opens those that still have something of ours and are not. */
void stranded_keep(struct engine *engine);
/* Whether the section of that name is not in force yet, because it was another and something of that is alive. */
bool stranded_waits(struct engine *engine, const char *provider);
/* What makes it another: "type", "project" of one that keeps all keys in one account (CAN: its capabilities), or NULL; and what
 * that was and is, which belongs to the settings. */
const char *stranded_difference(const struct provider_settings *earlier, const struct provider_settings *now, unsigned can,
                                const char **ret_before, const char **ret_after);
/* Puts those in force that need not wait any more. */
void stranded_look(struct engine *engine);

/* --- shared.c: copies of the host's own keys --- */
/* Looks whether they are still the host's. */
void shared_look(struct engine *engine);

/* --- issuer.c: tokens that this host signs itself --- */
/* Made when it is needed first. Owner of *RET_KEY: the caller. */
bool issuer_signing_key(struct engine *engine, struct secret **ret_key, struct error *err);
void issuer_show(void *context, struct control_call *call, struct json_object *parameters);
void issuer_apply(void *context, struct control_call *call, struct json_object *parameters);

/* --- deliveries.c: guest actions --- */
void deliveries_start(struct engine *engine, struct vm *vm);
/* The agent came, went, or the guest's memory is another: nothing is proven any more. */
void deliveries_reset(struct vm *vm);
/* Where commands to its agent run: a guest that takes its time keeps only its like waiting. */
struct pool *deliveries_pool(struct engine *engine, const struct vm *vm);
/* True when the guest has proven exactly what it is to have. */
bool deliveries_proven(struct vm *vm);
/* Whether SET is the identity of what the guest is to have. */
bool deliveries_set_is(struct vm *vm, const char *set);
/* What the guest is to have, as lines of systemd's EnvironmentFile=, and its identity; a key that is to be in a file of
 * its own is left out. No text: there is nothing. */
bool deliveries_environment(struct engine *engine, struct vm *vm, struct buffer *text, char set[SECRET_FINGERPRINT_SIZE],
                            struct error *err);
/* Whether there is anything that the guest is to have. */
bool deliveries_any(struct vm *vm);
/* What tells the set that a guest is to have from others. */
bool deliveries_fingerprint(struct engine *engine, struct vm *vm, char fingerprint[DELIVERY_FINGERPRINT_SIZE]);
/* Whether what delivery_probe() found is what the guest is to have. False also where the ledger cannot be read. */
bool deliveries_are(struct engine *engine, struct vm *vm, const struct delivery_found *found);

/* --- boot-credential.c: keys for a guest without an agent, when it starts (see base/boot-credential.h) --- */
/* Only while the hook of its start waits. Nothing, where the domain does not ask for it. */
bool boot_credential_hand_over(struct engine *engine, struct vm *vm, struct error *err);
/* Removes what starts that came to nothing have left. */
void boot_credential_sweep(struct engine *engine);
/* Whether policy and XML ask for it. */
bool boot_credential_wanted(const struct vm *vm);
/* Whether it runs, QEMU was given the keys that the guest is to have now, and no agent is there to prove that it has. */
bool boot_credential_alone(struct vm *vm);
/* One sentence on it, and what can be done (REMEDY may come back empty). False: there is nothing to say. */
bool boot_credential_words(struct vm *vm, char *reason, size_t reason_size, char *remedy, size_t remedy_size);
/* The same of what XML and policy have against each other alone. */
bool boot_credential_trouble(const struct vm *vm, char *reason, size_t reason_size, char *remedy, size_t remedy_size);

/* --- guest.c --- */
/* Has the guest rid of all that deliveries left there, and answers CALL. Refused while it is to have keys. */
void guest_clean(struct engine *engine, struct vm *vm, struct control_call *call);

/* --- sightings.c: what libvirt and the hook tell --- */
void sightings_look(struct engine *engine, struct vm *vm);
void sightings_sweep(struct engine *engine);
extern const struct host_watcher sightings_watcher;
/* PARAMETERS: of a HookEvent. WAITER: the call to answer, NULL when it comes from the spool, where it was left at LEFT_AT, on
 * the wall clock: of a call in an earlier boot of the host nothing else tells the time. */
void sightings_hook(struct engine *engine, struct json_object *parameters, struct control_call *waiter, int64_t left_at);
/* Ends the holds of before the boot that has begun. False: the ledger refused, it is to be tried again. */
bool sightings_end_holds(struct engine *engine, struct vm *vm);
/* Takes up what hooks left while nobody listened, now and whenever something appears. */
bool sightings_watch_spool(struct engine *engine, struct error *err);
/* Tells a waiting hook what it may be told by now. */
void sightings_answer_waiter(struct engine *engine, struct vm *vm, const struct plan_facts *facts);

/* --- audit.c: compares what is with what should be --- */
bool audit_prepare(struct engine *engine, struct error *err);
/* The list of domains is complete: the daemon's own audits may begin. */
void audit_swept(struct engine *engine);
/* The configuration has become another, and its providers were opened anew: the next one comes soon. */
void audit_reloaded(struct engine *engine);
/* Answers CALL when all has been seen. GUESTS: they are asked as well. WANTED: an array of rows of an earlier answer that
 * are to be mended if they still are as they were, or NULL; borrowed until this returns. */
void audit_run(struct engine *engine, bool guests, struct json_object *wanted, struct control_call *call);
/* Of the last one; NULL: there was none. */
struct json_object *audit_summary(struct engine *engine);

/* --- alerts.c: what the operator is told without asking (alerts.h: how it is raised) --- */
bool alerts_prepare(struct engine *engine, struct error *err);
/* The configuration changed. */
void alerts_reload(struct engine *engine);
/* Those that have not ended, or that somebody has not heard of yet. */
struct json_object *alerts_all(struct engine *engine);
/* Tells everybody at once, and answers CALL with what came of it. */
void alerts_test(struct engine *engine, struct control_call *call);

/* --- stock.c: the pool of keys that people made --- */
void stock_add(struct engine *engine, struct control_call *call, struct json_object *parameters);
void stock_list(struct engine *engine, struct control_call *call);
void stock_remove(struct engine *engine, struct control_call *call, struct json_object *parameters);
/* Whether SLOT's pool has fewer free keys than it should, with a sentence that says what to do. Logs it when it begins. */
bool stock_low(struct engine *engine, struct provider_slot *slot, char *ret_words, size_t size);

/* --- admin-key.c: the admin keys themselves --- */
/* Replaces the admin key of a provider, and answers CALL when that is done. Asked for again, it goes on where an earlier
 * one was interrupted. */
void admin_key_rotate(struct engine *engine, struct control_call *call, struct json_object *parameters);

/* --- status.c, history.c, doctor.c, methods.c: what the operator asks --- */
struct json_object *status_domain(struct engine *engine, struct vm *vm);
struct json_object *status_all(struct engine *engine);
/* One sentence on where a grant stands, and what can be done about it (REMEDY may come back empty). */
void status_grant_words(struct engine *engine, const struct vm *vm, const struct vm_grant *grant, char *reason,
                        size_t reason_size, char *remedy, size_t remedy_size);
/* Answers CALL with a page of a domain's journal. */
void history_run(struct engine *engine, struct control_call *call, struct json_object *parameters);
/* A journal line as the interface has it. */
struct json_object *history_event(const struct journal_record *record);
struct json_object *doctor_checks(struct engine *engine);
extern const struct control_method methods_table[];

#endif
