/* The way of a daemon's request to its provider and back: lost, late, doubled, or as it should be. Which of them it is the
 * world's faults say; what the provider then does is in remote.c. */
#include "call.h"

#include "providers/http.h"

#include <stdio.h>
#include <string.h>

enum { CALLS_MAX = 256, TIMEOUT_MS = 30000 };

static struct call calls[CALLS_MAX];
static unsigned last_call;

void requests_reset(void)
{
    for (unsigned i = 0; i < CALLS_MAX; i++)
        calls[i] = (struct call){0};
}

/* --- carried out --- */

static void executes(void *context, int64_t twin, int64_t unused)
{
    struct call *call = context;
    enum outcome told = call->outcome;
    (void)unused;
    call->executions--;
    /* What hangs between two machines does not hang for ever once the sender is gone. */
    if (call->cut_off_at && world.clock > call->cut_off_at + LATE_MAX_MS)
        return;
    remote_execute(call, twin);
    if (call->told)
        call->outcome = told;
}

static void will_execute(struct call *call, int64_t when, bool twin)
{
    call->executions++;
    at(when, -1, executes, call, twin, 0);
}

/* --- and answered --- */

/* Which row it is about. A container that has vanished may still be asked about while its successor is being made. */
static void name_request(const struct provider_call *call, char *about, size_t size)
{
    if (call->key_name[0])
        snprintf(about, size, "%.100s", call->key_name);
    else
        snprintf(about, size, "%.*s %.24s", (int)strcspn(call->container_name, " "), call->container_name,
                 call->container_id);
}

static void answers(void *context, int64_t a, int64_t b)
{
    static struct provider_item items[CALL_ITEMS_MAX];
    struct call *call = context;
    struct host *host = &world.hosts[call->host];
    struct provider_result result;
    (void)a, (void)b;
    memset(&result, 0, offsetof(struct provider_result, error));
    error_set(&result.error, ERROR_IO, "simulated");
    result.container_id[0] = result.key_id[0] = '\0';
    result.outcome = call->outcome;
    result.retry_after_ms = call->retry_after_ms;
    result.secret = NULL;
    result.items = NULL;
    result.items_count = 0;
    result.life_ms = call->life_ms;
    result.renew_in_ms = call->last_life ? 0 : call->life_ms / 2;
    result.last_life = call->last_life;
    result.lease_ms = 0;
    if (call->outcome == OUTCOME_OK && call->call.verb == PROVIDER_MINT_KEY &&
        (world.remotes[call->remote].abilities & PROVIDER_LEASES)) {
        result.lease_ms = result.life_ms = LEASE_MS;
        result.renew_in_ms = LEASE_MS / 2;
    }
    if (call->outcome == OUTCOME_OK && call->call.verb == PROVIDER_CHECK)
        snprintf(result.key_id, sizeof result.key_id, "%s", call->id);
    if (call->outcome == OUTCOME_OK && call->call.verb == PROVIDER_CREATE_CONTAINER)
        snprintf(result.container_id, sizeof result.container_id, "%s", call->id);
    if (call->outcome == OUTCOME_UNKNOWN && call->chosen && call->secret && call->secret != call->chosen)
        snprintf(result.key_id, sizeof result.key_id, "%s", call->id);
    if (call->outcome == OUTCOME_OK && call->call.verb == PROVIDER_MINT_KEY) {
        snprintf(result.key_id, sizeof result.key_id, "%s", call->id);
        if (!(world.remotes[call->remote].abilities & PROVIDER_CLAIMS))
            result.secret = secret_new((const char *)&call->secret, sizeof call->secret);
    }
    for (unsigned i = 0; call->outcome == OUTCOME_OK && i < call->found_count; i++) {
        result.items = items;
        snprintf(items[result.items_count++].id, sizeof items[0].id, "%s", call->found[i]);
    }
    tell("  answer of %s to %s: %s", world.remotes[call->remote].name, provider_verb_name(call->call.verb),
         outcome_name(call->outcome));
    call->awaited = false;
    host->requests_out--;
    char about[sizeof host->out[0].name];
    name_request(&call->call, about, sizeof about);
    for (unsigned i = 0; i < sizeof host->out / sizeof host->out[0]; i++)
        if (host->out[i].used && strcmp(host->out[i].name, about) == 0)
            host->out[i].used = false;
    struct secret *secret = result.secret;
    call->done(call->context, &result);
    if (secret && result.secret == secret)
        secret_free(secret);
}

/* --- sending --- */

static enum fate draw_fate(const struct remote *remote, unsigned index)
{
    for (unsigned i = 0; i < sizeof remote->faults / sizeof remote->faults[0]; i++) {
        if (world.clock >= remote->faults[i].until || !chance_of(BY_REMOTE + index, 75))
            continue;
        unsigned kind = remote->faults[i].kind % 16;
        if (kind >= FATES)
            kind = (unsigned)(chance(BY_REMOTE + index) % FATES);
        return (enum fate)kind;
    }
    return FATE_GOOD;
}

/* An HTTP status as the driver would judge it. */
static void judge(struct call *call, long status, int64_t retry_after_ms)
{
    struct http_answer answer = {.status = status, .retry_after_ms = retry_after_ms};
    struct provider_complaint complaint = {.readable = true};
    struct provider_result result;
    provider_judge(call->call.verb, "the provider", &answer, &complaint, &result);
    call->outcome = result.outcome;
    call->told = true;
    call->retry_after_ms = retry_after_ms;
}

/* What the execution finds out reaches nobody. */
static void lose_the_answer(struct call *call)
{
    call->outcome = provider_doubt(call->call.verb);
    call->told = true;
}

/* Some say "gone" where nothing but an account could be, which is there. */
static void lie(struct call *call)
{
    bool contains = world.remotes[call->remote].abilities & (PROVIDER_CAN_CONTAIN | PROVIDER_CLAIMS);
    if (contains || (call->call.verb != PROVIDER_MINT_KEY && call->call.verb != PROVIDER_FIND_KEYS) || !chance_of(BY_LIES, 50))
        return;
    did(FAULT_LIE);
    call->outcome = OUTCOME_GONE;
}

/* It is done by the daemon itself, so that nothing is in doubt; but its own key may be unreadable. */
static bool send_here(struct call *call)
{
    const struct remote *remote = &world.remotes[call->remote];
    if (!remote_is_own(remote) || (remote->exchanges && call->call.verb == PROVIDER_MINT_KEY))
        return false;
    bool keyless = call->call.verb != PROVIDER_MINT_KEY && call->call.verb != PROVIDER_CHECK;
    if (!keyless && (call->fate == FATE_UNREACHABLE || call->fate == FATE_UNAUTHORIZED)) {
        did(call->fate == FATE_UNREACHABLE ? FAULT_UNREACHABLE : FAULT_UNAUTHORIZED);
        call->outcome = call->fate == FATE_UNREACHABLE ? OUTCOME_UNREACHABLE : OUTCOME_UNAUTHORIZED;
    } else {
        remote_execute(call, false);
    }
    at(world.clock, call->host, answers, call, 0, 0);
    return true;
}

/* Which answer the daemon will get, and when; and when the request is carried out, if at all. */
static void send(struct call *call)
{
    unsigned by = BY_REMOTE + call->remote;
    int64_t there = world.clock + chance_between(by, 10, 300), back = there + chance_between(by, 10, 300);
    static const enum tally tallied[] = {
        FAULT_UNREACHABLE, FAULT_UNAUTHORIZED, FAULT_THROTTLED, FAULT_THROTTLED, FAULT_BEFORE, FAULT_AFTER,
        FAULT_LOST_REQUEST, FAULT_LOST_ANSWER, FAULT_REFUSED, FAULT_LATE, FAULT_DOUBLE,
    };
    if (call->fate < FATE_STALE)
        did(tallied[call->fate]);
    switch (call->fate) {
    case FATE_UNREACHABLE:
        call->outcome = OUTCOME_UNREACHABLE;
        break;
    case FATE_UNAUTHORIZED:
        judge(call, 401, -1);
        break;
    case FATE_THROTTLED:
        judge(call, 429, -1);
        break;
    case FATE_THROTTLED_UNTIL:
        judge(call, chance_of(by, 50) ? 429 : 503, chance_between(by, 0, chance_of(by, 90) ? 20000 : 120000));
        break;
    case FATE_5XX_BEFORE:
    case FATE_5XX_AFTER:
        judge(call, chance_of(by, 80) ? 500 : 409, -1);
        if (call->fate == FATE_5XX_AFTER)
            will_execute(call, there, false);
        break;
    case FATE_5XX_LATE: /* by a gateway, while the one behind it still works on it */
        did(FAULT_AFTER_LATE);
        judge(call, chance_of(by, 50) ? 504 : 503, chance_of(by, 30) ? chance_between(by, 0, 20000) : -1);
        will_execute(call, back + chance_between(by, 0, LATE_MAX_MS), false);
        break;
    case FATE_REFUSED:
        judge(call, chance_of(by, 50) ? 403 : 400, -1);
        lie(call);
        break;
    case FATE_REQUEST_LOST:
        lose_the_answer(call);
        back = world.clock + TIMEOUT_MS;
        break;
    case FATE_LATE:
        lose_the_answer(call);
        back = world.clock + chance_between(by, 500, TIMEOUT_MS);
        will_execute(call, back + chance_between(by, 0, LATE_MAX_MS), false);
        break;
    case FATE_ANSWER_LOST:
    case FATE_TWICE:
        lose_the_answer(call);
        will_execute(call, there, false);
        if (call->fate == FATE_TWICE)
            will_execute(call, there + chance_between(by, 0, LATE_MAX_MS), true);
        if (chance_of(by, 30))
            back += TIMEOUT_MS;
        break;
    case FATE_STALE:
    case FATES:
    case FATE_GOOD:
        will_execute(call, there, false);
        break;
    }
    at(back, call->host, answers, call, 0, 0);
}

void remote_host_crashed(const struct host *host)
{
    for (unsigned i = 0; i < CALLS_MAX; i++)
        if (calls[i].host == host->index && calls[i].awaited) {
            calls[i].awaited = false;
            calls[i].cut_off_at = world.clock;
        }
}

static struct call *new_call(void)
{
    for (unsigned tries = 0; tries < CALLS_MAX; tries++) {
        last_call = (last_call + 1) % CALLS_MAX;
        if (!calls[last_call].awaited && !calls[last_call].executions)
            return &calls[last_call];
    }
    violated("harness", "more than %d requests are under way", CALLS_MAX);
    return &calls[0];
}

static void note_request(struct host *host, const struct provider_call *call)
{
    char about[sizeof host->out[0].name];
    name_request(call, about, sizeof about);
    for (unsigned i = 0; i < sizeof host->out / sizeof host->out[0]; i++)
        if (host->out[i].used && strcmp(host->out[i].name, about) == 0)
            violated("busy", "a second request is sent about %s while one is under way", about);
    for (unsigned i = 0; i < sizeof host->out / sizeof host->out[0]; i++)
        if (!host->out[i].used) {
            host->out[i].used = true;
            memcpy(host->out[i].name, about, sizeof about);
            break;
        }
    if (++host->requests_out > 60)
        violated("harness", "more requests under way than rows");
}

static unsigned needed(enum provider_verb verb)
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
    case PROVIDER_LIMIT_KEY:
        return PROVIDER_CAN_CHANGE_LIMIT;
    case PROVIDER_RENEW_KEY:
        return PROVIDER_LEASES;
    case PROVIDER_SUSPEND_KEY:
    case PROVIDER_RESUME_KEY:
        return PROVIDER_CAN_SUSPEND;
    default:
        return 0;
    }
}

void provider_start(struct provider *provider, const struct provider_call *request, provider_done_fn *done, void *context)
{
    struct host *host = &world.hosts[provider->host];
    struct remote *remote = &world.remotes[provider->remote];
    struct call *call = new_call();
    failpoint(provider->host, CRASH_BEFORE_REQUEST);
    did(DID_REQUESTS);
    check_pace(host, DID_REQUESTS);
    for (unsigned set = 0; set < SETS; set++)
        if (remote_sets(remote) & 1u << set)
            did(ASKED_OF + set);
    /* How long a lease lasts a daemon that begins anew has to ask; and whether the host's key is another. */
    if (request->verb != PROVIDER_RENEW_KEY && request->verb != PROVIDER_CHECK)
        world.moved++;
    *call = (struct call){.awaited = true, .sent_at = world.clock, .call = *request, .host = provider->host,
                          .remote = provider->remote, .fate = draw_fate(remote, provider->remote), .done = done,
                          .context = context, .outcome = OUTCOME_UNKNOWN, .retry_after_ms = -1};
    if (request->chosen)
        memcpy(&call->chosen, secret_reveal(request->chosen), sizeof call->chosen);
    if (request->verb == PROVIDER_CHECK)
        host->requests_out++; /* about no row */
    else
        note_request(host, request);
    tell("  %s asks %s: %s %s %s%s", host->id, remote->name, provider_verb_name(request->verb),
         request->key_name[0] ? request->key_name : request->container_name, request->key_id,
         call->fate == FATE_GOOD ? "" : " (ill-fated)");
    bool about_container = request->verb != PROVIDER_FIND_CONTAINER && request->verb != PROVIDER_CREATE_CONTAINER &&
                           request->verb != PROVIDER_CHECK;
    if ((remote->abilities & needed(request->verb)) != needed(request->verb)) {
        call->outcome = OUTCOME_UNSUPPORTED;
        at(world.clock, provider->host, answers, call, 0, 0);
    } else if (about_container && !request->container_id[0] && !(remote->abilities & PROVIDER_CLAIMS && request->key_id[0])) {
        call->outcome = OUTCOME_REFUSED; /* no URL can be built without it */
        at(world.clock, provider->host, answers, call, 0, 0);
    } else if (!send_here(call)) {
        send(call);
    }
    failpoint(provider->host, CRASH_AFTER_REQUEST);
}
