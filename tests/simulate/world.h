/* The simulated world: hosts with libvirt and a daemon each, domains, guests, providers; one virtual clock.
 *
 * Theory of operation. The daemons are real: src/daemon/{engine,rows,requests,deliveries,sightings,policy}.c and all
 * of src/lifecycle/ are linked as they are, so what is checked cannot drift from what is shipped. Everything below them
 * is replaced at the linker: the ledger is a table in memory with transactions, the provider and libvirt are the
 * models in remote.c and libvirt.c, threads and timers are events on one queue. A crash is a longjmp() out of the
 * daemon at one of the points that are passed on the way (durable and external steps), after which its memory is
 * taken away.
 *
 * What happens to the world is a script: a list of items made from the seed beforehand (script.c). The small things
 * (latencies, which request a fault hits) are drawn by purpose and count, so that dropping an item from the script
 * leaves the rest mostly as it was; that is what makes a failing story small. */
#ifndef LLMHOOK_TESTS_SIMULATE_WORLD_H
#define LLMHOOK_TESTS_SIMULATE_WORLD_H

#include "daemon/engine.h"
#include "lifecycle/domain.h"
#include "lifecycle/outcome.h"
#include "lifecycle/records.h"
#include "providers/provider.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HOSTS_MAX = 2,
    DOMAINS_MAX = 4,
    PROVIDERS_MAX = 3,
    SCRIPT_MAX = 96,
    EVENTS_MAX = 4096,
    STEPS_MAX = 60000, /* more than this is a livelock */
    TRUTH_START = 1000000, /* the clock at the beginning; 0 means never to the core */
    STALE_MAX_MS = 14000,  /* how old a list can be. With LATE_MAX_MS below PLAN_SETTLE_MS, which is the promise */
    LEASE_MS = 100000,     /* of a key at a provider of leases; in the end they are renewed for long */
    LATE_MAX_MS = 12000,   /* how long after its sender has given up a request can still be carried out */
    NEVER_ID = -1,
    POOL_MAX = 96, /* keys of all providers, of one host */
    TOKEN_MS = 100000,     /* of what this host signs; it is replaced at half of that */
    TOKENS_MAX = 512,
};

/* --- chance --- */

enum purpose {
    BY_SCRIPT, BY_WORLD, BY_HOST, BY_HOST_END = BY_HOST + HOSTS_MAX, BY_REMOTE = BY_HOST_END,
    BY_REMOTE_END = BY_REMOTE + PROVIDERS_MAX, BY_GUEST = BY_REMOTE_END, BY_GUEST_END = BY_GUEST + DOMAINS_MAX,
    BY_CRASH = BY_GUEST_END, BY_ABILITIES, BY_LEASES, BY_SETS, BY_LIES, BY_LOOPS, PURPOSES,
};
uint64_t chance(unsigned purpose);
/* FROM and TO are both possible. */
int64_t chance_between(unsigned purpose, int64_t from, int64_t to);
/* True in PERCENT of 100 cases. */
bool chance_of(unsigned purpose, unsigned percent);

/* --- the script --- */

enum item_kind {
    ITEM_NONE,
    /* A: domain, B: a choice of the item's own. What makes no sense at that moment does not happen. */
    ITEM_DEFINE, ITEM_START, ITEM_FAILED_START, ITEM_SHUTDOWN, ITEM_DESTROY, ITEM_KILL, ITEM_SAVE, ITEM_MANAGED_SAVE,
    ITEM_RESTORE, ITEM_REBOOT, ITEM_PAUSE, ITEM_RESUME, ITEM_UNDEFINE, ITEM_UPDATE, ITEM_RENAME, ITEM_SNAPSHOT,
    ITEM_REVERT, ITEM_TRANSIENT, ITEM_MIGRATE, ITEM_METADATA, ITEM_REVOKE, ITEM_ROTATE, ITEM_AGENT,
    ITEM_BUDGET,
    /* A: provider, B: what, C: how long */
    ITEM_REMOTE_FAULT, ITEM_OUTSIDER,
    /* A: host, B: what, C: how long */
    ITEM_LIBVIRT_FAULT, ITEM_EVENT_FAULT, ITEM_HOOK_FAULT, ITEM_LEDGER_FAULT, ITEM_CRASH, ITEM_RELOAD,
    ITEM_REBOOT_HOST,
    /* A: domain, B: what, C: how long */
    ITEM_GUEST_FAULT,
    ITEM_KINDS,
};
struct item {
    int64_t at; /* milliseconds after the beginning */
    enum item_kind kind;
    int64_t a, b, c;
};
struct script {
    uint64_t seed; /* of the small things */
    unsigned hosts, domains, providers;
    bool every_set; /* of capabilities: older stories know neither copies of the host's key nor tokens of the host */
    unsigned count;
    struct item items[SCRIPT_MAX];
};
void script_make(struct script *script, uint64_t seed);
void script_print(const struct script *script);
bool script_read(struct script *script, const char *path);
const char *item_name(enum item_kind kind);

/* --- what was found, and what was done --- */

enum tally {
    DID_STEPS, DID_STARTS, DID_STOPS, DID_SAVES, DID_MIGRATIONS, DID_CRASHES, DID_HOST_REBOOTS, DID_HOOKS, DID_EVENTS,
    DID_LOOKS, DID_REQUESTS, DID_MINTS, DID_REVOKES, DID_DELIVERIES, DID_COMMITS, DID_CHECKS, DID_CONVERGED,
    DID_ROTATIONS_DUE, DID_ROTATIONS_ASKED, DID_OVERLAPS_ENDED, DID_SUSPENDS, DID_RESUMES, DID_BUDGETS, DID_CLAIMS, DID_REPEATS,
        DID_LIMITS, DID_RENEWALS, DID_LAPSES,
    CRASH_IDLE, CRASH_BEFORE_COMMIT, CRASH_AFTER_COMMIT, CRASH_BEFORE_REQUEST, CRASH_AFTER_REQUEST,
    FAULT_UNREACHABLE, FAULT_UNAUTHORIZED, FAULT_THROTTLED, FAULT_BEFORE, FAULT_AFTER, FAULT_AFTER_LATE,
    FAULT_LOST_REQUEST, FAULT_LOST_ANSWER, FAULT_REFUSED, FAULT_LATE, FAULT_DOUBLE, FAULT_STALE, FAULT_COMMIT,
    FAULT_GHOST, FAULT_EVENT_LOST, FAULT_EVENT_DOUBLE, FAULT_EVENT_LATE, FAULT_HOOK_LATE, FAULT_HOOK_SPOOLED, FAULT_HOOK_LOST,
    FAULT_HOOK_OTHER_BOOT, FAULT_LIBVIRT, FAULT_GUEST, FAULT_OUTSIDER, FAULT_LIE,
    DID_SIGNED, DID_REFRESHED, DID_COPIED, DID_CHANGED_COPY,
    /* Each invariant, as often as nothing excused it. */
    CHECKED_LIVE_KEYS, CHECKED_CONTAINERS, CHECKED_TWO_KEYS, CHECKED_NEW_ROWS, CHECKED_ROW_ENDS, CHECKED_ENDS,
    CHECKED_SUSPENSIONS, CHECKED_PROOFS, CHECKED_BUDGETS, CHECKED_HOLDS_ENDED, CHECKED_MINTS, CHECKED_CONTAINER_LIMITS,
    CHECKED_FIRST_LIMITS, CHECKED_CLAIMS, CHECKED_SWITCHED_OFF, CHECKED_SWITCHED_ON, CHECKED_SIGNED_AT_REST,
    CHECKED_TOKEN_ENDS, CHECKED_REMOVALS, CHECKED_LEASES, CHECKED_TOKENS, CHECKED_UNWANTED, CHECKED_TAKEN_OUT, CHECKED_OVER,
    CHECKED_COPIES, CHECKED_ONE_KEY, CHECKED_KEY_LIMITS, CHECKED_GIVEN, CHECKED_SAVED, CHECKED_UNDEFINED, CHECKED_KEPT_OFF,
    CHECKED_OFF, CHECKED_RESTS, CHECKED_AGENT_FOUND, CHECKED_OPERATOR,
    WORLDS_OF, WORLDS_OF_END = WORLDS_OF + 8 /* SETS */, ASKED_OF = WORLDS_OF_END, ASKED_OF_END = ASKED_OF + 8,
    TALLIES = ASKED_OF_END,
};
/* What a provider can, as far as it makes a difference to a key's life; one has several. */
enum capability_set {
    SET_PLAIN, SET_SUSPENDS, SET_CLAIMS, SET_CHOOSES, SET_LIMITS_KEYS, SET_LEASES, SET_SHARED, SET_EXPIRES, SETS,
};
_Static_assert(SETS == WORLDS_OF_END - WORLDS_OF, "a tally each");
extern const char *const tally_names[TALLIES];
void did(enum tally what);
/* An invariant does not hold. Only the first one of a run counts. */
void violated(const char *invariant, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A line of the story, when it is being told. */
void tell(const char *format, ...) __attribute__((format(printf, 1, 2)));
extern bool telling;

/* --- the clock and the queue --- */

typedef void event_fn(void *context, int64_t a, int64_t b);
/* HOST: -1, or the daemon that the event belongs to: it does not happen when that daemon has crashed since. */
void at(int64_t when, int host, event_fn *run, void *context, int64_t a, int64_t b);
int64_t now(void);
/* A crash may happen here, when one is due; it is counted as WHERE. */
void failpoint(int host, enum tally where);

/* --- domains, as they truly are --- */

struct presence { /* of a domain on one host */
    bool exists, persistent, active, paused, managed_save, saved_file, agent_connected;
    enum stop_reason reason; /* as libvirt remembers it */
    bool locked;             /* a hook holds it: questions about it wait */
    bool starting;           /* from its first hook on */
    int64_t off_at;          /* until when it had no use for a key here */
    int64_t saved_at;        /* when it was last being saved, or was saved again since a start from that had failed */
    int64_t ended_unheard_at; /* when a hook left for the next daemon that its memory is in use again, or no more */
    int64_t boot_told_at;    /* when a hook told of the last boot, in time or to the spool of a daemon that was not there */
    unsigned boot_told_to;   /* the daemon's incarnation that has heard it, or will */
    int64_t boot_at, up_at;  /* when its last boot began, and was there to be seen */
    int64_t taken_at[PROVIDERS_MAX]; /* when an operator last took its keys */
    int64_t take_heard_at;   /* when the daemon last heard that one asked for that, whatever came of it */
    enum stop_reason heard;  /* the daemon will be told of it, or was */
    enum stop_reason died;   /* while libvirtd was away, which has not noticed */
};

enum { LABELS_MAX = 64 };

struct domain {
    char uuid[RECORD_UUID_SIZE];
    unsigned name_revision;
    bool has_channel, required, ever_required;
    unsigned wanted; /* bit per provider */
    int64_t limit;
    int64_t rotate_ms, overlap_ms;
    enum policy_fate on_stop, on_save, over_budget;
    bool over[PROVIDERS_MAX];       /* what it has spent has reached its limit */
    int64_t over_at[PROVIDERS_MAX]; /* when it last was so */
    int64_t spent[PROVIDERS_MAX], month[PROVIDERS_MAX]; /* what it has spent in that month, as the daemon is told */
    bool metadata_broken, owned;
    int64_t unwanted_at[PROVIDERS_MAX]; /* when its policy last did not ask for a key, or an operator took it */
    struct presence on[HOSTS_MAX];
    int home;
    /* the guest */
    uint64_t holds[PROVIDERS_MAX], snapshot[PROVIDERS_MAX]; /* secrets, 0: none */
    bool has_snapshot, reverted;
    bool behind; /* its memory is an older one than what it has proven since */
    uint64_t given[HOSTS_MAX][PROVIDERS_MAX]; /* by each host's last delivery that was honestly taken, in whichever boot */
    struct {
        int64_t label;
        uint64_t keys[PROVIDERS_MAX];
    } labels[LABELS_MAX]; /* of its last deliveries */
    unsigned labels_count;
    int64_t lied_at;
    unsigned fault;
    int64_t fault_until;
    /* what libvirt is doing with it, step by step */
    int busy_on; /* host, -1: nothing */
    unsigned char steps[24];
    unsigned step, steps_count;
    enum stop_reason stopping;
    bool undefine_source;
    bool removed_by_outsider[HOSTS_MAX][PROVIDERS_MAX]; /* the newest key that was made for it */
};

/* --- providers, as they truly are --- */

struct remote_container {
    char id[24], name[RECORD_NAME_SIZE];
    int host; /* whose, by its name; -1: a stranger's */
    int64_t made_at, archived_at; /* 0: not */
    int64_t limit;
    bool twin; /* made by a second execution of one request */
};
struct remote_key {
    char id[24], name[RECORD_NAME_SIZE];
    unsigned container;
    int host, domain; /* -1: a stranger's */
    int64_t made_at, removed_at;
    uint64_t secret;
    bool twin, by_outsider; /* by_outsider: who removed it */
    bool suspended;
    int64_t limit, limit_asked_at; /* on itself, micro-dollars, 0: none; when it was asked for */
    int pool_of; /* host whose operator handed it over, to be claimed; -1: nobody did */
    int64_t row; /* the ledger's id, once looked up */
    int64_t ends_at; /* its lease; 0: it has none */
    unsigned renewals;
};
/* What was signed here, or what that was exchanged for: nobody has a list, and nobody can take it back. */
struct token {
    int host, domain;
    uint64_t secret;
    int64_t signed_at, ends_at;
};
struct remote {
    char name[8];
    unsigned abilities;
    bool exchanges; /* what is signed is exchanged over the network */
    uint64_t shared[HOSTS_MAX]; /* each host's own key */
    unsigned tokens_count; /* ever; the latest are kept */
    struct token tokens[TOKENS_MAX];
    const char *project;
    unsigned containers_count, keys_count, keys_from; /* keys below keys_from are all removed */
    struct remote_container containers[64];
    struct remote_key keys[384];
    struct {
        unsigned kind;
        int64_t until;
    } faults[4];
};

/* --- the ledger: what a crash leaves --- */

struct ledger_row_key {
    struct key_record record;
    bool has_secret;
    uint64_t secret;
};
struct ledger {
    int host;
    bool open; /* a transaction */
    unsigned pending_count;
    struct pending {
        enum { PENDING_DOMAIN, PENDING_GRANT, PENDING_CONTAINER, PENDING_KEY, PENDING_SECRET, PENDING_ERASE,
               PENDING_FORGET, PENDING_CLAIM, PENDING_SPEND } kind;
        union {
            struct domain_record domain;
            struct grant_record grant;
            struct container_record container;
            struct key_record key;
            struct {
                int64_t key;
                uint64_t secret;
            } secret;
            struct {
                int64_t row, key;
            } claim;
        } of;
    } pending[8], ghost[8];
    unsigned ghost_count; /* of a commit that failed at its very end: a crash may bring it to light */
    unsigned domains_count, grants_count, containers_count, keys_count;
    int64_t next_key, next_grant, next_container; /* ids */
    struct domain_record domains[DOMAINS_MAX];
    struct grant_record grants[DOMAINS_MAX * PROVIDERS_MAX];
    struct container_record containers[64];
    struct ledger_row_key keys[768]; /* where each domain has tokens of each provider, most are theirs */
    unsigned pool_count;
    struct pool_record pool[POOL_MAX];
    uint64_t pool_secrets[POOL_MAX];
    int64_t failing_until;
    unsigned failing_kind;
};

/* --- hosts --- */

struct host {
    int index;
    char id[17];
    bool gives_reason; /* libvirt 10.5 and newer */
    struct engine *engine; /* NULL: the daemon does not run */
    unsigned incarnation;
    void *blocks; /* all its memory */
    struct config config;
    struct provider_settings settings[PROVIDERS_MAX];
    struct ledger ledger;
    bool libvirt_down;  /* cannot be asked */
    bool libvirtd_dead; /* and does nothing either */
    bool watch_connected;
    int64_t slow_until, event_fault_until, hook_fault_until;
    unsigned event_fault, hook_fault;
    struct {
        unsigned char domain, operation;
        enum stop_reason reason;
        int64_t called_at;
        unsigned boot;
        int64_t left_at;
    } spool[64];
    unsigned spool_count;
    int64_t crash_after; /* 0: none due */
    enum tally crash_place; /* only there; CRASH_IDLE: anywhere */
    unsigned crash_points;  /* how many more such places are passed before */
    int64_t down_for;
    int64_t stalled_until; /* its loop hangs */
    bool stall_events_first, stall_shuffles;
    int64_t booted_at; /* the daemon's clock began then */
    unsigned boot;
    unsigned commits_now; /* in this step */
    struct {
        int64_t second;
        unsigned incarnation, looks, requests; /* asked in it */
    } pace;
    unsigned requests_out;
    struct { bool used; char name[128]; } out[64]; /* what its requests under way are about */
};

struct world {
    int64_t clock, back_dated;
    struct script script;
    unsigned hosts_count, domains_count, providers_count;
    struct host hosts[HOSTS_MAX];
    struct domain domains[DOMAINS_MAX];
    struct remote remotes[PROVIDERS_MAX];
    uint64_t counters[PURPOSES];
    uint64_t next_secret;
    unsigned next_id;
    bool calm; /* no faults from now on */
    bool changed; /* since the invariants were last checked */
    bool settled; /* all is as it should be: nothing must move any more */
    unsigned moved; /* commits and requests since then */
    int current; /* host whose daemon runs, -1: none */
    bool can_crash;
    jmp_buf crash;
    jmp_buf blocked;
    bool failed;
    char failure[512];
    uint64_t tallies[TALLIES];
};
extern struct world world;

static inline int64_t since_start(int64_t when)
{
    return when - TRUTH_START;
}

/* --- libvirt.c --- */
void libvirt_item(const struct item *item);
void libvirt_calm(void);
void libvirt_daemon_started(struct host *host);
void libvirt_daemon_crashed(struct host *host);
/* False: libvirt is at something there, the host cannot be rebooted. */
bool libvirt_host_reboots(struct host *host);
/* What was said to the daemon on this connection may not have reached it. */
void libvirt_unheard(struct host *host);
void libvirt_hook_answered(int domain, int host, bool refused);
void libvirt_unlocked(int domain, int host);
/* How the ledger of HOST says that it stopped. */
enum stop_reason domain_recorded_stop(const struct domain *domain, int host);
bool domain_recorded_transient(const struct domain *domain, int host);
bool domain_in_use(const struct domain *domain, int host);
/* The last moment at which DOMAIN had no use for KEY on its host. */
int64_t domain_off_at(const struct domain *domain, int provider, const struct remote_key *key, int host);
void domain_name(const struct domain *domain, char *name, size_t size);
int domain_of_uuid(const char *uuid);

/* --- hooks.c --- */
enum operation { OP_PREPARE, OP_START, OP_STARTED, OP_STOPPED, OP_RELEASE, OP_RESTORE, OP_MIGRATE, OP_RECONNECT };
/* The operator's `llmhook revoke`. */
void operator_revokes(int domain, int host);
void operator_rotates(int domain, int host);
void hook_arrives(void *context, int64_t serial, int64_t unused);
void hook_call(int domain, int host, enum operation operation, enum stop_reason reason);
void hooks_daemon_started(struct host *host);
void hooks_daemon_crashed(struct host *host);
void hooks_reset(void);

/* --- guest.c --- */
void guest_boots(int domain, int host);
void guest_agent(int domain, int host, bool connected, int64_t delay);
/* It connects, and libvirt tells nobody. */
void guest_agent_unheard(int domain, int host, int64_t delay);

/* --- remote.c, requests.c, provider.c --- */
struct provider {
    struct provider_settings settings;
    int host;
    unsigned remote;
    char environment[24];
};
void remote_item(const struct item *item);
void remote_calm(void);
void remote_reset(void);
/* What HOST's operator has made beforehand at those that mint none. */
void remote_fill_pool(struct host *host);
void remote_host_crashed(const struct host *host);
/* Those that the tallies tell apart, a bit each. */
unsigned remote_sets(const struct remote *remote);
/* That of SECRET, NULL: none of HOST's for DOMAIN that still works. */
const struct token *remote_token(const struct remote *remote, int host, int domain, uint64_t secret);

/* --- ledger.c --- */
void ledger_crashed(struct ledger *ledger);
void ledger_pool_fill(struct ledger *ledger, const char *provider, const char *remote_id, uint64_t secret);
bool ledger_pool_has(const struct ledger *ledger, const char *provider);
const struct ledger_row_key *ledger_key(const struct ledger *ledger, int64_t id);
const struct grant_record *ledger_grant(const struct ledger *ledger, int64_t id);

/* --- process.c: one daemon's life --- */
void *simulated_calloc(size_t count, size_t size);
void *simulated_realloc(void *memory, size_t size);
void simulated_free(void *memory);
void simulated_engine_room_reset(void);
int64_t simulated_monotonic_ms(void);
int64_t simulated_wall_ms(void);
void process_start(struct host *host);
void process_crash(struct host *host);
void process_item(const struct item *item);
/* What the daemons are told of spending is told before anything else that happens to them; this is for when nothing does. */
void budgets_changed(void *context, int64_t a, int64_t b);
void process_free_all(void);
/* Runs RUN as HOST's daemon would; a crash ends it early. False: it crashed. */
bool process_enter(struct host *host, event_fn *run, void *context, int64_t a, int64_t b);
void libvirt_event_comes(void *context, int64_t packed, int64_t reason);
void emit(int host, int domain, enum host_event_kind kind, enum stop_reason reason, bool from_snapshot);

/* --- invariants.c --- */
int provider_index(const char *name);
const struct remote_key *key_by_id(int provider, const char *id);
void check_world(void);
/* HOST's daemon asks libvirt, or a provider: not as fast as it is answered, whatever the answer is. */
void check_pace(struct host *host, enum tally what);
void check_key_change(struct ledger *ledger, const struct key_record *before, const struct key_record *after);
void check_generation(struct ledger *ledger, const struct grant_record *before, const struct grant_record *after);
void check_mint_executes(int host, const char *name, int64_t limit, const struct remote *remote,
                         const struct remote_container *container);
/* It gets the name of a key of ours, and works. */
void check_claim_executes(int host, const char *name, const struct remote_key *key);
/* SUSPENDS: it is going to be refused; else it is going to be taken again. */
void check_switch_executes(int host, const struct remote_key *key, bool suspends);
/* This host signs a token; nobody can take that back. */
void check_signing(int host, const char *name, const struct remote *remote);
/* It does not work any more, whoever has it. */
void check_token_end(const struct token *token, int provider);
void check_revoke_executes(int host, const struct remote_key *key, int provider);
/* Whether everything is as it should be in the end; WHY says what is not. */
bool converged(char *why, size_t size);
/* Whether a row waits for the end of a lease that may never have been: it comes some time. */
bool something_lapses(void);
/* Whether a token is to be replaced again and again, however calm it is. */
bool something_is_refreshed(void);

/* --- run.c --- */
/* One run. True: nothing was violated. */
bool run_script(const struct script *script);

#endif
