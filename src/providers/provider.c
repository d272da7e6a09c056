/* Carries calls over HTTP: credential, driver->build, http, driver->parse, until the driver is done. A driver without
 * HTTP performs the call by itself.
 *
 * A call is owned by its provider from provider_start() until its callback begins; whatever ends without a request
 * waits in `deferred` for the provider's timer, since no callback may come from inside provider_start().
 *
 * A credential that may take its time is fetched in a worker's thread, once for all calls that wait for it. So does a
 * driver's run(). What such a thread touches is its job alone: a call that waits for one is left as it is meanwhile. */
#include "providers/provider.h"

#include "base/clock.h"
#include "providers/http.h"
#include "providers/workers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

enum { DEFAULT_TIMEOUT_MS = 30000 };

struct running {
    TAILQ_ENTRY(running) entry;
    struct provider *provider;
    struct provider_call call;
    struct provider_progress progress;
    struct provider_result result;
    struct secret *credential;
    uint64_t transfer; /* while it is in `sent` */
    unsigned requests;
    bool renewed; /* the credential is being fetched again after a 401, or was */
    provider_done_fn *done;
    void *context;
};
TAILQ_HEAD(running_list, running);

struct provider {
    struct http *http;
    struct loop *loop;
    struct provider_settings settings;
    const struct provider_driver *driver;
    provider_credential_fn *credential;
    void *credential_context;
    int timer; /* fires when `deferred` is not empty */
    bool closing;
    struct running_list sent;
    struct running_list deferred;
    struct running_list waiting; /* for the credential that is being fetched */
    struct running_list working; /* in run() */
    struct workers *workers;     /* NULL: nothing had to wait yet */
    struct {
        bool under_way;
        struct secret *secret;
        struct error error;
    } fetch;
    struct secret *kept; /* of the last fetch in a thread, until `kept_timer` wipes it */
    int kept_timer;
};

/* Adding a provider is a file with its driver, and a line here. */
static const struct provider_driver *const drivers[] = {&provider_openai, &provider_anthropic, &provider_anthropic_federation,
                                                       &provider_openrouter,
                                                       &provider_litellm, &provider_static, &provider_exec, &provider_vault};
enum { DRIVERS_COUNT = sizeof drivers / sizeof drivers[0] };

const char *const *provider_types(void)
{
    static const char *types[DRIVERS_COUNT + 1];
    for (size_t i = 0; i < DRIVERS_COUNT; i++)
        types[i] = drivers[i]->type;
    return types;
}

void provider_types_told(char *ret_text, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; i < DRIVERS_COUNT && used < size; i++)
        used += (size_t)snprintf(ret_text + used, size - used, "%s%s",
                                 i == 0                  ? ""
                                 : i + 1 < DRIVERS_COUNT ? ", "
                                                         : " or ",
                                 drivers[i]->type);
}

static const struct provider_driver *find_driver(const char *type, struct error *err)
{
    char known[256];
    for (size_t i = 0; i < DRIVERS_COUNT; i++)
        if (strcmp(drivers[i]->type, type) == 0)
            return drivers[i];
    provider_types_told(known, sizeof known);
    error_set(err, ERROR_INVALID, "'%s' is no type of provider: there is %s", type, known);
    return NULL;
}

unsigned provider_type_capabilities(const char *type)
{
    const struct provider_driver *driver = find_driver(type, NULL);
    return driver ? driver->capabilities : 0;
}

unsigned provider_type_settings(const char *type)
{
    const struct provider_driver *driver = find_driver(type, NULL);
    return driver ? driver->settings : 0;
}

bool provider_settings_check(const struct provider_settings *settings, struct error *err)
{
    const struct provider_driver *driver = find_driver(settings->type, err);
    if (driver && !driver->run && (settings->program[0] || settings->can))
        return error_set(err, ERROR_INVALID, "program and can are for type = exec: leave them out");
    return driver && (!driver->check || driver->check(settings, err));
}

const char *provider_type_key_setting(const char *type)
{
    const struct provider_driver *driver = find_driver(type, NULL);
    return driver && driver->key_setting ? driver->key_setting : "admin-key";
}

const char *provider_type_needs(const char *type)
{
    const struct provider_driver *driver = find_driver(type, NULL);
    bool signs = driver && (driver->capabilities & PROVIDER_EXPIRES); /* with the host's own key */
    return driver && !driver->key_optional && !signs ? provider_type_key_setting(type) : NULL;
}

const char *provider_settings_environment(const struct provider_settings *settings)
{
    const struct provider_driver *driver = find_driver(settings->type, NULL);
    const char *usual = !driver ? NULL : driver->environment ? driver->environment(settings) : driver->default_environment;
    return settings->environment[0] ? settings->environment : usual ? usual : "";
}

/* --- the end of a call --- */

/* The last guard: no text goes out that holds the credential or what was minted, whoever wrote it. */
static void censor(struct running *running)
{
    const struct secret *secrets[] = {running->credential, running->result.secret};
    for (size_t i = 0; i < sizeof secrets / sizeof secrets[0]; i++)
        if (secrets[i] && secret_length(secrets[i]) && strstr(running->result.error.text, secret_reveal(secrets[i])))
            error_set(&running->result.error, running->result.error.code,
                      "the provider's answer repeats a key and is not shown");
}

/* Calls back and releases RUNNING, which is in no list any more. The provider may be gone when this returns. */
static void end(struct running *running)
{
    struct provider_result *result = &running->result;
    censor(running);
    if (running->progress.made && result->outcome != OUTCOME_OK)
        result->outcome = OUTCOME_UNKNOWN;
    if (result->outcome == OUTCOME_OK) {
        result->error = (struct error)ERROR_INIT;
    } else {
        result->items_count = 0;
        if (running->call.verb == PROVIDER_USAGE) /* else it is what a key cost in the end, and never told again */
            result->usage_count = 0;
        secret_free(result->secret);
        result->secret = NULL;
    }
    secret_free(running->credential);
    running->credential = NULL;
    running->done(running->context, result);
    provider_result_clear(result);
    free(running);
}

/* Ends it at the loop's next turn; provider_free() ends it itself. */
static void defer(struct running *running, enum outcome outcome)
{
    struct provider *provider = running->provider;
    running->result.outcome = outcome;
    TAILQ_INSERT_TAIL(&provider->deferred, running, entry);
    if (!provider->closing)
        provider->loop->timer_set(provider->loop, provider->timer, 0);
}

/* One a turn: a callback may free the provider. */
static void on_timer(void *context)
{
    struct provider *provider = context;
    struct running *running = TAILQ_FIRST(&provider->deferred);
    if (!running)
        return;
    TAILQ_REMOVE(&provider->deferred, running, entry);
    if (!TAILQ_EMPTY(&provider->deferred))
        provider->loop->timer_set(provider->loop, provider->timer, 0);
    end(running);
}

/* --- requests and answers --- */

static void on_answer(void *context, struct http_answer *answer);

/* The request that is under way ended without an answer that can be trusted. */
static enum outcome doubt(const struct running *running)
{
    return provider_doubt(provider_judged_verb(&running->call, &running->progress));
}

/* RUNNING is in no list; afterwards it is in one of them. */
static void send_next(struct running *running)
{
    struct provider *provider = running->provider;
    struct provider_result *result = &running->result;
    if (++running->requests > PROVIDER_REQUESTS_MAX) {
        error_set(&result->error, ERROR_LIMIT, "no end after %d requests: given up", PROVIDER_REQUESTS_MAX);
        defer(running, doubt(running));
        return;
    }
    struct http_request request = HTTP_REQUEST_INIT;
    request.ca_file = provider->settings.ca_file;
    request.timeout_ms = provider->settings.timeout_ms;
    request.secret = running->credential;
    if (!provider->driver->build(&provider->settings, &running->call, &running->progress, result, &request,
                                 &result->error)) {
        defer(running, OUTCOME_REFUSED);
    } else {
        TAILQ_INSERT_TAIL(&provider->sent, running, entry);
        running->transfer = http_start(provider->http, &request, on_answer, running);
    }
    buffer_clear(&request.body);
}

/* --- the credential --- */

static void begin_call(struct running *running);
static void begin_again(struct running *running);

/* For this call, or when the settings name none. */
static bool does_without_credential(const struct running *running)
{
    const struct provider_driver *driver = running->provider->driver;
    return (driver->key_optional && !running->provider->settings.admin_key[0]) ||
           (driver->keyless && driver->keyless(&running->provider->settings, running->call.verb));
}

static bool is_signed(const struct running *running)
{
    const struct provider_driver *driver = running->provider->driver;
    return driver->signs && driver->signs(&running->provider->settings, running->call.verb);
}

/* The host's own key is at hand, and no reference names it. */
static bool fetch_own(struct provider *provider, struct secret **ret_secret, struct error *err)
{
    struct provider_settings own = provider->settings;
    own.admin_key[0] = '\0';
    return provider->credential(provider->credential_context, &own, ret_secret, err);
}

static bool have_workers(struct provider *provider, struct error *err)
{
    return provider->workers || workers_new(provider->loop, PROVIDER_AT_ONCE, &provider->workers, err);
}

static void forget_kept(void *context)
{
    struct provider *provider = context;
    secret_free(provider->kept);
    provider->kept = NULL;
}

static void run_fetch(void *context, int cancel)
{
    struct provider *provider = context;
    (void)cancel; /* every source has a limit of its own */
    provider->credential(provider->credential_context, &provider->settings, &provider->fetch.secret,
                         &provider->fetch.error);
}

/* RUNNING is in no list. FRESH is its own. */
static void credential_came(struct running *running, struct secret *fresh, const struct error *err)
{
    bool same = fresh && running->credential &&
                strcmp(secret_reveal(fresh), secret_reveal(running->credential)) == 0;
    if (running->renewed && (!fresh || same)) { /* what it was told is how it ends */
        secret_free(fresh);
        defer(running, running->result.outcome);
        return;
    }
    if (!fresh) {
        const char *setting = running->provider->driver->key_setting;
        running->result.error = *err;
        error_prefix(&running->result.error, "the %s cannot be had",
                     is_signed(running) ? "signing key" : setting ? setting : "admin key");
        running->result.no_credential = true;
        defer(running, OUTCOME_UNAUTHORIZED);
        return;
    }
    secret_free(running->credential);
    running->credential = fresh;
    if (running->renewed)
        begin_again(running);
    else
        begin_call(running);
}

static void fetch_ended(void *context)
{
    struct provider *provider = context;
    struct running_list waiting = TAILQ_HEAD_INITIALIZER(waiting);
    struct running *running;
    provider->fetch.under_way = false;
    forget_kept(provider);
    TAILQ_CONCAT(&waiting, &provider->waiting, entry);
    while ((running = TAILQ_FIRST(&waiting))) {
        TAILQ_REMOVE(&waiting, running, entry);
        credential_came(running, secret_copy(provider->fetch.secret), &provider->fetch.error);
    }
    provider->kept = provider->fetch.secret;
    provider->fetch.secret = NULL;
    if (provider->kept && !provider->closing)
        provider->loop->timer_set(provider->loop, provider->kept_timer, PROVIDER_CREDENTIAL_LIFE_MS);
}

static void fetch_in_thread(struct running *running)
{
    struct provider *provider = running->provider;
    struct error err = ERROR_INIT;
    if (!have_workers(provider, &err)) {
        credential_came(running, NULL, &err);
        return;
    }
    TAILQ_INSERT_TAIL(&provider->waiting, running, entry);
    if (provider->fetch.under_way)
        return;
    provider->fetch.under_way = true;
    error_set(&provider->fetch.error, ERROR_BUSY, "not fetched, the provider is being closed");
    workers_submit(provider->workers, run_fetch, fetch_ended, provider);
}

/* RUNNING is in no list; afterwards it is in one of them. */
static void fetch_credential(struct running *running)
{
    struct provider *provider = running->provider;
    struct secret *secret = NULL;
    struct error err = ERROR_INIT;
    if (does_without_credential(running))
        begin_call(running);
    else if (running->call.admin_key)
        credential_came(running, secret_copy(running->call.admin_key), &err);
    else if (is_signed(running) && fetch_own(provider, &secret, &err))
        credential_came(running, secret, &err);
    else if (is_signed(running))
        credential_came(running, NULL, &err);
    else if (provider->settings.admin_key_blocks && provider->kept && !running->renewed)
        credential_came(running, secret_copy(provider->kept), &err);
    else if (provider->settings.admin_key_blocks)
        fetch_in_thread(running);
    else if (provider->credential(provider->credential_context, &provider->settings, &secret, &err))
        credential_came(running, secret, &err);
    else
        credential_came(running, NULL, &err);
}

/* --- a driver that blocks --- */

static void run_call(void *context, int cancel)
{
    struct running *running = context;
    const struct provider *provider = running->provider;
    provider->driver->run(&provider->settings, &running->call, running->credential, cancel, &running->result);
}

static void run_ended(void *context)
{
    struct running *running = context;
    TAILQ_REMOVE(&running->provider->working, running, entry);
    if (running->result.outcome == OUTCOME_UNAUTHORIZED)
        forget_kept(running->provider);
    defer(running, running->result.outcome);
}

/* RUNNING has its credential, and is in no list. */
static void begin_call(struct running *running)
{
    struct provider *provider = running->provider;
    struct provider_result *result = &running->result;
    if (provider->closing) {
        error_set(&result->error, ERROR_BUSY, "not sent, the provider is being closed");
        defer(running, OUTCOME_UNREACHABLE);
    } else if (provider->driver->perform) {
        provider->driver->perform(&provider->settings, &running->call, running->credential, result);
        defer(running, result->outcome);
    } else if (provider->driver->begin && provider->driver->begin(&provider->settings, &running->call, running->credential,
                                                                  &running->progress, result) == PROVIDER_NEXT_DONE) {
        defer(running, result->outcome);
    } else if (!provider->driver->run) {
        send_next(running);
    } else if (!have_workers(provider, &result->error)) {
        defer(running, OUTCOME_UNREACHABLE);
    } else {
        /* What it is called if it never begins. */
        result->outcome = OUTCOME_UNREACHABLE;
        error_set(&result->error, ERROR_BUSY, "not begun, the provider is being closed");
        TAILQ_INSERT_TAIL(&provider->working, running, entry);
        workers_submit(provider->workers, run_call, run_ended, running);
    }
}

/* After a 401, with another key: from the beginning, for it may be another organisation's, and what the old one was
 * told, half a list or that something is not there, is not true for it. */
static void begin_again(struct running *running)
{
    provider_result_clear(&running->result);
    running->progress = (struct provider_progress){.made = running->progress.made};
    if (running->call.progress)
        running->call.progress(running->context, running->requests, 0);
    begin_call(running);
}

static void on_answer(void *context, struct http_answer *answer)
{
    struct running *running = context;
    struct provider *provider = running->provider;
    struct provider_result *result = &running->result;
    TAILQ_REMOVE(&provider->sent, running, entry);
    if (answer->end != HTTP_ANSWERED) {
        result->outcome = answer->end == HTTP_NOT_SENT ? OUTCOME_UNREACHABLE : doubt(running);
        result->error = answer->error;
        end(running);
        return;
    }
    enum provider_next next =
        provider->driver->parse(&provider->settings, &running->call, &running->progress, answer, result);
    if (next == PROVIDER_NEXT_REQUEST) {
        if (running->call.progress)
            running->call.progress(running->context, running->requests, result->items_count + result->usage_count);
        send_next(running);
    } else if ((answer->status == 401 || result->outcome == OUTCOME_UNAUTHORIZED) && !running->renewed && running->credential) {
        /* The admin key may have been replaced since it was fetched. Once a call, and only another key is worth another
         * request. */
        running->renewed = true;
        fetch_credential(running);
    } else {
        end(running);
    }
}

/* --- a call begins --- */

static unsigned needed_capability(enum provider_verb verb)
{
    switch (verb) {
    case PROVIDER_FIND_CONTAINER:
    case PROVIDER_CREATE_CONTAINER:
        return PROVIDER_CAN_CONTAIN;
    case PROVIDER_LIMIT_CONTAINER:
        return PROVIDER_CAN_LIMIT_CONTAINER;
    case PROVIDER_RATE_LIMIT_CONTAINER:
        return PROVIDER_CAN_RATE_LIMIT;
    case PROVIDER_ARCHIVE_CONTAINER:
        return PROVIDER_CAN_ARCHIVE;
    case PROVIDER_MINT_KEY:
        return PROVIDER_CAN_MINT;
    case PROVIDER_FIND_KEYS:
    case PROVIDER_INVENTORY:
        return PROVIDER_CAN_LIST;
    case PROVIDER_SUSPEND_KEY:
    case PROVIDER_RESUME_KEY:
        return PROVIDER_CAN_SUSPEND;
    case PROVIDER_RENEW_KEY:
        return PROVIDER_LEASES;
    case PROVIDER_LIMIT_KEY:
        return PROVIDER_CAN_CHANGE_LIMIT;
    case PROVIDER_FIND_ADMIN_KEYS:
    case PROVIDER_CREATE_ADMIN_KEY:
    case PROVIDER_DELETE_ADMIN_KEY:
        return PROVIDER_ROTATES_ADMIN_KEY;
    case PROVIDER_USAGE:
        return PROVIDER_CAN_USAGE;
    case PROVIDER_IDENTIFY_KEY:
        return PROVIDER_CLAIMS;
    case PROVIDER_REVOKE_KEY:
    case PROVIDER_CHECK:
        break;
    }
    return 0;
}

void provider_start(struct provider *provider, const struct provider_call *call, provider_done_fn *done, void *context)
{
    struct running *running = calloc(1, sizeof *running);
    if (!running)
        abort(); /* the callback is promised, and there is nothing to keep the promise with */
    running->provider = provider;
    running->call = *call;
    running->call.wall = clock_wall_ms();
    running->done = done;
    running->context = context;
    running->result.retry_after_ms = -1;
    struct error *err = &running->result.error;
    unsigned needed = needed_capability(call->verb);
    if (provider->closing) {
        error_set(err, ERROR_BUSY, "not sent, the provider is being closed");
        defer(running, OUTCOME_UNREACHABLE);
    } else if ((provider_capabilities(provider) & needed) != needed) {
        error_set(err, ERROR_INVALID, "providers of type %s have no %s", provider->driver->type,
                  provider_verb_name(call->verb));
        defer(running, OUTCOME_UNSUPPORTED);
    } else {
        fetch_credential(running);
    }
}

/* --- birth and end --- */

static bool check_base_url(const struct provider_settings *settings, const struct provider_driver *driver,
                           struct error *err)
{
    const char *url = settings->base_url[0] || !driver->default_base_url ? settings->base_url : driver->default_base_url;
    if (strpbrk(url, "?#"))
        return error_set(err, ERROR_INVALID, "base-url goes no further than a path: leave out '?' or '#' and the rest");
    return http_url_allowed(url, err) || error_prefix(err, "base-url");
}

bool provider_new(struct http *http, const struct provider_settings *settings, provider_credential_fn *credential,
                  void *credential_context, struct provider **ret_provider, struct error *err)
{
    const struct provider_driver *driver = find_driver(settings->type, err);
    if (!driver || !provider_settings_check(settings, err) ||
        ((settings->base_url[0] || driver->default_base_url) && !check_base_url(settings, driver, err)))
        return false;
    struct loop *loop = http_loop(http);
    struct provider *provider = calloc(1, sizeof *provider);
    if (!provider)
        return error_set(err, ERROR_IO, "out of memory");
    provider->timer = loop->timer(loop, on_timer, provider);
    provider->kept_timer = loop->timer(loop, forget_kept, provider);
    if (provider->timer < 0 || provider->kept_timer < 0) {
        if (provider->timer >= 0)
            loop->timer_remove(loop, provider->timer);
        free(provider);
        return error_set(err, ERROR_IO, "the event loop gives no timer");
    }
    provider->http = http;
    provider->loop = loop;
    provider->driver = driver;
    provider->credential = credential;
    provider->credential_context = credential_context;
    provider->settings = *settings;
    if (provider->settings.timeout_ms <= 0)
        provider->settings.timeout_ms = DEFAULT_TIMEOUT_MS;
    for (char *url = provider->settings.base_url; *url && url[strlen(url) - 1] == '/';)
        url[strlen(url) - 1] = '\0';
    TAILQ_INIT(&provider->sent);
    TAILQ_INIT(&provider->deferred);
    TAILQ_INIT(&provider->waiting);
    TAILQ_INIT(&provider->working);
    *ret_provider = provider;
    return true;
}

void provider_free(struct provider *provider)
{
    if (!provider)
        return;
    provider->closing = true;
    workers_free(provider->workers); /* what they had is in `deferred` now */
    struct running *running;
    while ((running = TAILQ_FIRST(&provider->sent))) {
        TAILQ_REMOVE(&provider->sent, running, entry);
        bool sent = http_cancel(provider->http, running->transfer) != HTTP_NOT_SENT;
        running->result.outcome = sent ? doubt(running) : OUTCOME_UNREACHABLE;
        error_set(&running->result.error, ERROR_LOST, "given up %s, the provider is being closed",
                  sent ? "without an answer" : "before anything was sent");
        end(running);
    }
    while ((running = TAILQ_FIRST(&provider->deferred))) {
        TAILQ_REMOVE(&provider->deferred, running, entry);
        end(running);
    }
    provider->loop->timer_remove(provider->loop, provider->timer);
    provider->loop->timer_remove(provider->loop, provider->kept_timer);
    secret_free(provider->kept);
    free(provider);
}

const struct provider_settings *provider_settings(const struct provider *provider)
{
    return &provider->settings;
}

unsigned provider_capabilities(const struct provider *provider)
{
    const struct provider_driver *driver = provider->driver;
    return driver->capabilities | provider->settings.can | (driver->abilities ? driver->abilities(&provider->settings) : 0u);
}

bool provider_key_is_file(const struct provider *provider)
{
    const struct provider_driver *driver = provider->driver;
    return driver->file ? driver->file(&provider->settings) : driver->key_is_file;
}

int64_t provider_key_refresh(const struct provider *provider)
{
    return provider->driver->life ? provider->driver->life(&provider->settings) : 0;
}

struct provider_lag provider_lag(const struct provider *provider)
{
    static const struct provider_lag usual = {5 * 60 * 1000, 24 * 3600 * 1000};
    const struct provider_lag *own = &provider->driver->lag;
    return (struct provider_lag){own->used_ms ? own->used_ms : usual.used_ms,
                                 own->billed_ms ? own->billed_ms : usual.billed_ms};
}

const char *provider_environment(const struct provider *provider)
{
    return provider_settings_environment(&provider->settings);
}

/* --- what goes into the guest beside the key --- */

/* Empty: clients find the API without being told. */
static const char *guest_base_url(const struct provider *provider)
{
    const struct provider_settings *settings = &provider->settings;
    const struct provider_driver *driver = provider->driver;
    const char *usual = driver->default_base_url ? driver->default_base_url : "";
    if (settings->guest_base_url[0])
        return settings->guest_base_url;
    if (!driver->serves_guests || strcmp(settings->base_url, usual) == 0 || http_url_loopback(settings->base_url))
        return "";
    return settings->base_url;
}

/* "OPENAI_API_KEY" has "OPENAI_BASE_URL". A name that would be too long is cut in front of that. */
static void name_base_url(const char *environment, char *ret_name, size_t size)
{
    static const char *const endings[] = {"_API_KEY", "_AUTH_TOKEN", "_IDENTITY_TOKEN_FILE", "_ACCESS_TOKEN", "_TOKEN", "_KEY"};
    static const char base_url[] = "_BASE_URL";
    size_t length = strlen(environment);
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        size_t ending = strlen(endings[i]);
        if (length > ending && strcmp(environment + length - ending, endings[i]) == 0) {
            length -= ending;
            break;
        }
    }
    if (length + sizeof base_url > size)
        length = size - sizeof base_url;
    snprintf(ret_name, size, "%.*s%s", (int)length, environment, base_url);
}

size_t provider_variables(const struct provider *provider, const char *environment, const char *container,
                          struct provider_variable ret[PROVIDER_VARIABLES_MAX])
{
    const char *url = guest_base_url(provider);
    size_t count = 0;
    if (url[0]) {
        name_base_url(environment, ret[0].name, sizeof ret[0].name);
        snprintf(ret[count++].value, sizeof ret[0].value, "%s", url);
    }
    if (provider->driver->variables)
        count += provider->driver->variables(&provider->settings, container, ret + count, PROVIDER_VARIABLES_MAX - count);
    return count;
}
