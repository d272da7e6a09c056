/* llmhookd: sets everything up in order, runs the loop, takes it down. */
#include "daemon/engine.h"

#include "base/clock.h"
#include "base/durable.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/places.h"
#include "config/prices.h"
#include "credentials/credential.h"
#include "daemon/notify.h"
#include "daemon/sealing.h"
#include "daemon/usage.h"

#include <errno.h>
#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LOOK_WORKERS = 8, /* each can be held up by another domain; with the agents' fewer than libvirtd's 20 workers */
    SLOW_AGENT_WORKERS = 2,
    HOUSEKEEPING_MS = 60000,
    SHARED_EVERY = 10, /* housekeepings */
    ARCHIVED_KEPT_MS = 3600000, /* longer than an audit takes, whose list may have it yet */
    EXIT_CONFIGURATION = 78, /* sysexits.h, and systemd's word for it */
};

static struct {
    struct engine engine;
    struct control_server *control;
    char *uri; /* the workers and the watch keep it for as long as the process lives; a reload changes the configuration */
    int watchdog, housekeeping;
    unsigned housekeepings;
    int64_t watchdog_ms;
    bool misconfigured; /* what keeps us from starting is the configuration: another try would be no better */
} daemon_state;

/* --- hardening that does not depend on how we are started --- */

static void harden(void)
{
    const struct rlimit none = {0, 0};
    umask(077);
    setrlimit(RLIMIT_CORE, &none);
    /* A core handler that is a pipe ignores the limit; an undumpable process has no core at all. */
    prctl(PR_SET_DUMPABLE, 0);
    /* Whatever is freed is overwritten: libraries leave copies of what passes through them. */
    mallopt(M_PERTURB, 0xa5);
    /* libvirt's debug log would hold whole agent commands, and with them keys. */
    static const char *const loggers[] = {"LIBVIRT_DEBUG", "LIBVIRT_LOG_OUTPUTS", "LIBVIRT_LOG_FILTERS"};
    for (size_t i = 0; i < sizeof loggers / sizeof loggers[0]; i++)
        unsetenv(loggers[i]);
}

/* --- start --- */

static bool derive_host_id(char host_id[17], struct error *err)
{
    struct buffer text = BUFFER_INIT(4096);
    char fingerprint[SECRET_FINGERPRINT_SIZE];
    /* The machine id itself is confidential (machine-id(5)), so it is hashed with a purpose. */
    bool ok = buffer_append_text(&text, "llmhook host id ") && durable_read("/etc/machine-id", &text, err);
    if (ok) {
        secret_fingerprint_bytes(text.data, text.length, fingerprint);
        snprintf(host_id, 17, "%.8s", fingerprint);
    }
    buffer_clear(&text);
    return ok || error_prefix(err, "set host-id in [daemon], or give this host a machine id");
}

/* Whether what CONFIG calls this host is what it has been called since its first start; one that calls it nothing does not
 * mind. */
static bool keeps_host_id(const struct config *config, const char *host_id, struct error *err)
{
    const char *configured = config->daemon.host_id;
    return !configured[0] || strcmp(configured, host_id) == 0 ||
           error_set(err, ERROR_INVALID,
                     "host-id is %s in the configuration and %s in the ledger: what was made under the old name "
                     "would be lost sight of; put the old one back", configured, host_id);
}

/* The name under which this host is known at the providers; it must never change while anything of it is alive. */
static bool settle_host_id(struct engine *engine, struct error *err)
{
    const char *configured = engine->config->daemon.host_id;
    char recorded[17];
    if (!ledger_get_text(engine->ledger, "host-id", recorded, sizeof recorded, err)) {
        if (err->code != ERROR_NOT_FOUND)
            return false;
        *err = (struct error)ERROR_INIT;
        if (configured[0])
            snprintf(engine->host_id, sizeof engine->host_id, "%s", configured);
        else if (!derive_host_id(engine->host_id, err))
            return false;
        FAILPOINT("host-id", "committing");
        bool set = ledger_set_text(engine->ledger, "host-id", engine->host_id, err);
        FAILPOINT("host-id", "committed");
        return set;
    }
    if (!keeps_host_id(engine->config, recorded, err)) {
        daemon_state.misconfigured = true;
        return false;
    }
    snprintf(engine->host_id, sizeof engine->host_id, "%s", recorded);
    return true;
}

static size_t count_live_keys(const struct engine *engine)
{
    size_t count = 0;
    for (size_t i = 0; i < engine->vms_count; i++)
        for (size_t g = 0; g < engine->vms[i]->grants_count; g++)
            for (size_t k = 0; k < engine->vms[i]->grants[g]->keys_count; k++)
                count += engine->vms[i]->grants[g]->keys[k]->record.state < KEY_REVOKING;
    return count;
}

/* Whether CONFIG says anything while there are keys that it could end. A file that is cut short, as by a disk that was full
 * when it was written, must not take them from running domains. */
static bool says_something(const struct engine *engine, const struct config *config, struct error *err)
{
    size_t live = config->sections_count ? 0 : count_live_keys(engine);
    return live == 0 ||
           error_set(err, ERROR_INVALID,
                     "%s has no section, and the keys that are alive (%zu) would end: put back what was in it, or write [daemon] "
                     "if nothing is to be given any more", engine->config_path, live);
}

/* The same at the start, when the ledger has been read. */
static bool settle_configuration(struct engine *engine, struct error *err)
{
    daemon_state.misconfigured = !says_something(engine, engine->config, err);
    return !daemon_state.misconfigured;
}

/* Which boot of the host the times in spooled hook calls belong to. Without it they count as older than all else. */
static void learn_boot_id(struct engine *engine)
{
    struct buffer text = BUFFER_INIT(128);
    struct error err = ERROR_INIT;
    if (!durable_read("/proc/sys/kernel/random/boot_id", &text, &err))
        log_warning("the host's boot has no name: %s", err.text);
    snprintf(engine->boot_id, sizeof engine->boot_id, "%.36s", buffer_text(&text)); /* a line feed follows */
    buffer_clear(&text);
}

static bool make_directories(const struct config_daemon *settings, struct error *err)
{
    char copy[CONFIG_SOCKET_SIZE];
    snprintf(copy, sizeof copy, "%s", settings->socket);
    return durable_directory(settings->state_directory, 0700, err) && durable_directory(dirname(copy), 0755, err);
}

/* All of the ledger is read when it is opened, and it grows for ever; systemd ends who is not ready in 90 s, again and again.
 * As long as 10 MB a second take, which is less than any disk does: where that is less than systemd allows anyway, it has no
 * effect. */
static void ask_for_time(const char *ledger)
{
    char state[64];
    struct stat status;
    if (stat(ledger, &status) < 0)
        return;
    snprintf(state, sizeof state, "EXTEND_TIMEOUT_USEC=%lld", (long long)status.st_size / 10);
    notify_send(state);
}

static bool start(struct engine *engine, struct error *err)
{
    const struct config_daemon *settings = &engine->config->daemon;
    char path[PATH_MAX];
    const char *uri = daemon_state.uri = strdup(settings->libvirt_uri);
    struct host_watcher watcher = sightings_watcher;
    watcher.context = engine;
    snprintf(path, sizeof path, "%s/ledger.sqlite", settings->state_directory);
    snprintf(engine->signing_key, sizeof engine->signing_key, "%s/signing.key", settings->state_directory);
    learn_boot_id(engine);
    ask_for_time(path);
    return uri && secret_init(err) && make_directories(settings, err) && ledger_open(path, &engine->ledger, err) &&
           settle_host_id(engine, err) && sealing_open(engine->ledger, settings->seal_key, &engine->seal, err) &&
           http_prepare(err) && host_loop_new(&engine->loop, err) &&
           http_new(engine->loop, &engine->http, err) && requests_open_providers(engine, err) &&
           rows_load(engine, err) && settle_configuration(engine, err) &&
           pool_new(engine->loop, uri, LOOK_WORKERS, &engine->looks, err) &&
           pool_new(engine->loop, uri, settings->agent_workers, &engine->agents, err) &&
           pool_new(engine->loop, uri, SLOW_AGENT_WORKERS, &engine->slow_agents, err) &&
           usage_prepare(engine, err) && engine_start(engine, err) && audit_prepare(engine, err) &&
           alerts_prepare(engine, err) &&
           control_server_new(engine->loop, settings->socket, methods_table, engine, &daemon_state.control, err) &&
           sightings_watch_spool(engine, err) && host_watch_new(engine->loop, uri, &watcher, &engine->watch, err);
}

/* --- signals and the watchdog --- */

static void say_problem(void *context, const char *text)
{
    (void)context;
    log_error("configuration: %s", text);
}

/* Each mistake of the file of which ERR is the first. */
static void say_problems(const char *path, const struct error *err)
{
    if (config_check(path, say_problem, NULL) == 0)
        say_problem(NULL, err->text); /* it has been mended since */
}

/* Whether the price table can be used that CONFIG names. A reload does not ask: usage_reload() keeps the earlier prices. */
static bool check_prices(const struct config *config, struct error *err)
{
    struct price *table = NULL;
    size_t count;
    if (!config_prices_read(config->daemon.prices, &table, &count, err))
        return error_prefix(err, "prices");
    free(table);
    return true;
}

static void refuse_reload(struct engine *engine, const struct error *err)
{
    snprintf(engine->config_problem, sizeof engine->config_problem, "%s", err->text);
    log_error("configuration: the earlier one stays in force");
    notify_send("READY=1\nSTATUS=the configuration file is broken, the earlier one is in force");
}

/* What is in use since the start, in a file that says something else, goes on as it is: in all of the daemon. */
static void keep_until_restart(const struct config_daemon *old, struct config_daemon *new)
{
    if (strcmp(old->libvirt_uri, new->libvirt_uri) != 0 || strcmp(old->state_directory, new->state_directory) != 0 ||
        strcmp(old->socket, new->socket) != 0 || strcmp(old->seal_key, new->seal_key) != 0 ||
        old->agent_workers != new->agent_workers)
        log_warning("configuration: libvirt-uri, state-directory, socket, seal-key and agent-workers change only with a "
                    "restart");
    memcpy(new->libvirt_uri, old->libvirt_uri, sizeof new->libvirt_uri);
    memcpy(new->state_directory, old->state_directory, sizeof new->state_directory);
    memcpy(new->socket, old->socket, sizeof new->socket);
    memcpy(new->seal_key, old->seal_key, sizeof new->seal_key);
    new->agent_workers = old->agent_workers;
}

static void reload(struct engine *engine)
{
    char state[128];
    struct config *config = NULL;
    struct error err = ERROR_INIT;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%lld",
             (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
    notify_send(state);
    if (!config_read(engine->config_path, &config, &err)) {
        say_problems(engine->config_path, &err);
        refuse_reload(engine, &err);
        return;
    }
    if (!keeps_host_id(config, engine->host_id, &err) || !says_something(engine, config, &err)) {
        say_problem(NULL, err.text);
        refuse_reload(engine, &err);
        config_free(config);
        return;
    }
    keep_until_restart(&engine->config->daemon, &config->daemon);
    engine->config_problem[0] = '\0';
    log_set_level(config->daemon.log_level);
    struct config *previous = engine->config;
    engine->config = config;
    engine->settled_at = clock_monotonic_ms();
    credential_use_vault(&config->vault);
    requests_reopen_providers(engine);
    stranded_keep(engine);
    config_free(previous);
    policy_publish_required(engine);
    usage_reload(engine);
    alerts_reload(engine);
    audit_reloaded(engine);
    sightings_sweep(engine);
    shared_look(engine);
    engine_mark_all(engine);
    log_notice("configuration: %s is in force", engine->config_path);
    notify_send("READY=1\nSTATUS=");
}

static void on_signal(void *context, int fd, unsigned events)
{
    struct engine *engine = context;
    struct signalfd_siginfo signal_info;
    (void)events;
    while (read(fd, &signal_info, sizeof signal_info) == sizeof signal_info) {
        if (signal_info.ssi_signo == SIGHUP) {
            reload(engine);
        } else {
            log_notice("stopping");
            notify_send("STOPPING=1");
            host_loop_stop(engine->loop);
        }
    }
}

static bool watch_signals(struct engine *engine, const sigset_t *signals, struct error *err)
{
    int fd = signalfd(-1, signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0 || engine->loop->watch(engine->loop, fd, LOOP_READ, on_signal, engine) < 0)
        return error_set_errno(err, errno, "watch for signals");
    return true;
}

/* The loop itself says that it turns: a loop that hangs says nothing, and systemd restarts us. */
static void on_watchdog(void *context)
{
    struct engine *engine = context;
    notify_send("WATCHDOG=1");
    engine->loop->timer_set(engine->loop, daemon_state.watchdog, daemon_state.watchdog_ms);
}

/* What was erased from the ledger is still in its write-ahead log, sealed, until the log is folded in. */
static void on_housekeeping(void *context)
{
    struct engine *engine = context;
    struct error err = ERROR_INIT;
    if (!ledger_checkpoint(engine->ledger, &err) && err.code != ERROR_BUSY)
        log_warning("ledger: %s", err.text);
    if (++daemon_state.housekeepings % SHARED_EVERY == 0)
        shared_look(engine);
    stranded_look(engine);
    rows_drop_archived(engine, clock_wall_ms() - ARCHIVED_KEPT_MS);
    engine->loop->timer_set(engine->loop, daemon_state.housekeeping, HOUSEKEEPING_MS);
}

static void start_housekeeping(struct engine *engine)
{
    daemon_state.housekeeping = engine->loop->timer(engine->loop, on_housekeeping, engine);
    if (daemon_state.housekeeping >= 0)
        engine->loop->timer_set(engine->loop, daemon_state.housekeeping, HOUSEKEEPING_MS);
}

static void start_watchdog(struct engine *engine)
{
    daemon_state.watchdog_ms = notify_watchdog_ms();
    if (daemon_state.watchdog_ms < 0)
        return;
    daemon_state.watchdog = engine->loop->timer(engine->loop, on_watchdog, engine);
    on_watchdog(engine);
}

/* --- the command line --- */

/* Who moves these needs to know that the hook does not follow. */
static void say_places(const char *path, const struct config_daemon *settings)
{
    if (strcmp(settings->socket, PLACE_SOCKET) != 0)
        log_warning("configuration: %s: socket is %s, and the hook calls " PLACE_SOCKET " alone: no domain that requires a key "
                    "can start", path, settings->socket);
    if (strcmp(settings->state_directory, PLACE_STATE) != 0)
        log_warning("configuration: %s: state-directory is %s, and the hook knows " PLACE_STATE " alone: what it leaves there "
                    "while llmhookd does not run is not taken up, nor does it know then who requires a key", path,
                    settings->state_directory);
}

static int check_only(const char *path)
{
    struct config *config = NULL;
    struct error err = ERROR_INIT;
    log_set_journal(false);
    if (!config_read(path, &config, &err)) {
        say_problems(path, &err);
        return EXIT_CONFIGURATION;
    }
    say_places(path, &config->daemon);
    bool priced = check_prices(config, &err);
    if (!priced)
        say_problem(NULL, err.text);
    config_free(config);
    return priced ? 0 : EXIT_CONFIGURATION;
}

/* See sealing_give_up(). A daemon that runs has the ledger to itself. */
static int give_up_secrets(const struct config_daemon *settings)
{
    char path[PATH_MAX];
    struct ledger *ledger = NULL;
    struct sealing_lost lost;
    struct error err = ERROR_INIT;
    snprintf(path, sizeof path, "%s/ledger.sqlite", settings->state_directory);
    bool done = secret_init(&err) && ledger_open(path, &ledger, &err) &&
                sealing_give_up(ledger, settings->seal_key, &lost, &err);
    ledger_close(ledger);
    if (done)
        printf("Keys that are to be revoked and replaced: %zu; llmhookd does that when it is started.\n"
               "Keys that were removed from the pool: %zu; hand them over again with `llmhook pool add`.\n", lost.keys,
               lost.pooled);
    else
        log_error("%s", err.text);
    return done ? EXIT_SUCCESS : EXIT_FAILURE;
}

static void usage(void)
{
    puts("Usage: llmhookd [--config FILE] [--check | --seal-key-lost]\n"
         "\n"
         "The daemon of llmhook: gives VMs their LLM API keys and takes them back.\n"
         "\n"
         "  -c, --config FILE  instead of " CONFIG_DEFAULT_PATH "\n"
         "      --check        say what is wrong with the configuration, and end\n"
         "      --seal-key-lost  the sealing key is lost for good: have every key revoked and replaced, and end\n"
         "      --version      say the version, and end\n"
         "  -h, --help         this\n"
         "\n"
         "See llmhookd(8) and llmhook.conf(5).");
}

static int parse(int argc, char **argv, const char **config_path, bool *check, bool *seal_key_lost)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'}, {"check", no_argument, NULL, 'C'},
        {"version", no_argument, NULL, 'V'},      {"help", no_argument, NULL, 'h'},
        {"seal-key-lost", no_argument, NULL, 'L'},
        {NULL, 0, NULL, 0},
    };
    for (int option; (option = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
        switch (option) {
        case 'c':
            *config_path = optarg;
            break;
        case 'C':
            *check = true;
            break;
        case 'L':
            *seal_key_lost = true;
            break;
        case 'V':
            puts("llmhookd " PACKAGE_VERSION);
            return 0;
        case 'h':
            usage();
            return 0;
        default:
            fputs("Try llmhookd --help.\n", stderr);
            return 64;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "llmhookd takes no arguments: %s\n", argv[optind]);
        return 64;
    }
    return -1;
}

int main(int argc, char **argv)
{
    struct engine *engine = &daemon_state.engine;
    struct error err = ERROR_INIT;
    const char *config_path = CONFIG_DEFAULT_PATH;
    bool check = false, seal_key_lost = false;
    int status = parse(argc, argv, &config_path, &check, &seal_key_lost);
    if (status >= 0)
        return status;
    if (check)
        return check_only(config_path);
    harden();
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &signals, NULL); /* before any thread, so that they all inherit it */
    signal(SIGPIPE, SIG_IGN);

    engine->config_path = config_path;
    engine->started_at = clock_wall_ms();
    if (!config_read(config_path, &engine->config, &err)) {
        say_problems(config_path, &err);
        return EXIT_CONFIGURATION;
    }
    log_set_level(engine->config->daemon.log_level);
    if (seal_key_lost)
        return give_up_secrets(&engine->config->daemon);
    say_places(config_path, &engine->config->daemon);
    if (!check_prices(engine->config, &err)) {
        say_problem(NULL, err.text);
        return err.code == ERROR_INVALID ? EXIT_CONFIGURATION : EXIT_FAILURE; /* it may be there in a moment */
    }
    credential_use_vault(&engine->config->vault);
    if (!start(engine, &err) || !watch_signals(engine, &signals, &err)) {
        log_error("%s", err.text);
        return daemon_state.misconfigured ? EXIT_CONFIGURATION : EXIT_FAILURE;
    }
    stranded_keep(engine);
    policy_publish_required(engine);
    start_watchdog(engine);
    start_housekeeping(engine);
    shared_look(engine);
    log_notice("llmhookd " PACKAGE_VERSION " on host %s: %zu domain(s) in the ledger", engine->host_id,
               engine->vms_count);
    notify_send("READY=1");
    host_loop_run(engine->loop);

    /* Requests under way end as unknown or not sent, and their rows are looked into at the next start. Workers may be
     * inside calls that cannot be interrupted; they end with the process. */
    control_server_free(daemon_state.control);
    ledger_close(engine->ledger);
    _exit(EXIT_SUCCESS);
}
