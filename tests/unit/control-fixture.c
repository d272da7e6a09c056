/* A real control server whose methods answer what a file says: control-fixture SOCKET DIRECTORY
 *
 * A call of METHOD is answered from DIRECTORY/METHOD.DOMAIN.json, when it has a parameter "domain" and there is such
 * a file, or else from DIRECTORY/METHOD.json: a message, or an array of them ({"continues": true, "parameters": ...},
 * {"parameters": ...}, {"error": NAME, "parameters": ...}). Times in it that are negative count from now: -5000 is
 * five seconds ago. The call itself is written to DIRECTORY/calls, one line each. Says "ready" on standard output
 * when it listens, and ends with SIGTERM. */
#include "poll-loop.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "base/durable.h"
#include "base/json.h"
#include "control/control.h"

#include <json-c/json_object_iterator.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

static const char *directory;
static const char *current; /* the method whose answer is being made: the table below knows it */

/* "at", "minted_at", "started_at"... */
static bool names_time(const char *name)
{
    size_t length = strlen(name);
    return !strcmp(name, "at") || (length > 3 && !strcmp(name + length - 3, "_at"));
}

static void place_times(struct json_object *object)
{
    if (json_object_is_type(object, json_type_array)) {
        for (size_t i = 0; i < json_object_array_length(object); i++)
            place_times(json_object_array_get_idx(object, i));
    } else if (json_object_is_type(object, json_type_object)) {
        struct json_object_iterator at = json_object_iter_begin(object), end = json_object_iter_end(object);
        for (; !json_object_iter_equal(&at, &end); json_object_iter_next(&at)) {
            struct json_object *value = json_object_iter_peek_value(&at);
            if (!names_time(json_object_iter_peek_name(&at)))
                place_times(value);
            else if (json_object_get_int64(value) < 0)
                json_object_set_int64(value, clock_wall_ms() + json_object_get_int64(value));
        }
    }
}

static void note_call(struct json_object *parameters)
{
    char path[512];
    snprintf(path, sizeof path, "%s/calls", directory);
    FILE *calls = fopen(path, "ae");
    if (!calls)
        return;
    fprintf(calls, "%s %s\n", current, json_object_to_json_string_ext(parameters, JSON_C_TO_STRING_PLAIN));
    fclose(calls);
}

static bool read_answer(struct json_object *parameters, struct json_object **ret_answer, struct error *err)
{
    char path[512], domain[128];
    cleanup_buffer struct buffer text = BUFFER_INIT(CONTROL_MESSAGE_MAX);
    json_optional_string(parameters, "domain", "", domain, sizeof domain);
    /* A later page is DIRECTORY/METHOD.AFTER.json. */
    if (json_has(parameters, "after"))
        snprintf(domain, sizeof domain, "%lld", (long long)json_optional_integer(parameters, "after", 0));
    snprintf(path, sizeof path, "%s/%s.%s.json", directory, current, domain);
    if (!domain[0] || strchr(domain, '/') || access(path, R_OK) < 0)
        snprintf(path, sizeof path, "%s/%s.json", directory, current);
    return durable_read(path, &text, err) && json_parse(buffer_text(&text), text.length, ret_answer, err);
}

static void send_one(struct control_call *call, struct json_object *message)
{
    char error[128];
    struct json_object *parameters = NULL;
    if (json_get_object(message, "parameters", &parameters, NULL))
        json_object_get(parameters);
    json_optional_string(message, "error", "", error, sizeof error);
    if (error[0])
        control_error(call, error, parameters);
    else if (json_optional_boolean(message, "continues", false))
        control_continue(call, parameters);
    else
        control_reply(call, parameters);
}

static void answer(struct control_call *call, struct json_object *parameters)
{
    cleanup_json struct json_object *script = NULL;
    struct error err = ERROR_INIT;
    note_call(parameters);
    if (!read_answer(parameters, &script, &err)) {
        fprintf(stderr, "control-fixture: %s\n", err.text);
        control_error(call, "Failed", NULL);
        return;
    }
    place_times(script);
    if (!json_object_is_type(script, json_type_array)) {
        send_one(call, script);
        return;
    }
    for (size_t i = 0; i < json_object_array_length(script); i++)
        send_one(call, json_object_array_get_idx(script, i));
}

#define METHOD(name)                                                                                      \
    static void run_##name(void *context, struct control_call *call, struct json_object *parameters)      \
    {                                                                                                     \
        (void)context;                                                                                    \
        current = #name;                                                                                  \
        answer(call, parameters);                                                                         \
    }
METHOD(CleanGuest)
METHOD(HookEvent)
METHOD(Status)
METHOD(Show)
METHOD(Audit)
METHOD(AuditFix)
METHOD(History)
METHOD(Revoke)
METHOD(Rotate)
METHOD(PoolAdd)
METHOD(PoolList)
METHOD(PoolRemove)
METHOD(Usage)
METHOD(Doctor)
METHOD(FederationShow)
METHOD(FederationApply)
METHOD(Alerts)
METHOD(AlertTest)

static const struct control_method methods[] = {
    {"CleanGuest", run_CleanGuest},
    {"FederationShow", run_FederationShow}, {"FederationApply", run_FederationApply},
    {"HookEvent", run_HookEvent}, {"Status", run_Status}, {"Show", run_Show},  {"Audit", run_Audit}, {"AuditFix", run_AuditFix},
    {"History", run_History},
    {"Revoke", run_Revoke},       {"Rotate", run_Rotate},
    {"PoolAdd", run_PoolAdd},     {"PoolList", run_PoolList}, {"PoolRemove", run_PoolRemove},
    {"Usage", run_Usage},
    {"Doctor", run_Doctor}, {"Alerts", run_Alerts}, {"AlertTest", run_AlertTest}, {NULL, NULL},
};

static bool stopped;

static void on_signal(void *context, int fd, unsigned events)
{
    (void)context;
    (void)fd;
    (void)events;
    stopped = true;
}

int main(int argc, char **argv)
{
    struct error err = ERROR_INIT;
    struct control_server *server = NULL;
    sigset_t signals;
    if (argc != 3) {
        fprintf(stderr, "usage: control-fixture SOCKET DIRECTORY\n");
        return 64;
    }
    directory = argv[2];
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    int fd = signalfd(-1, &signals, SFD_CLOEXEC);
    struct poll_loop *poller = poll_loop_new();
    if (fd < 0 || !poller)
        return 1;
    struct loop *loop = poll_loop_base(poller);
    int watch = loop->watch(loop, fd, LOOP_READ, on_signal, NULL);
    if (!control_server_new(loop, argv[1], methods, NULL, &server, &err)) {
        fprintf(stderr, "control-fixture: %s\n", err.text);
        return 1;
    }
    puts("ready");
    fflush(stdout);
    while (!stopped)
        poll_loop_turn(poller, 60 * 1000);
    control_server_free(server);
    loop->watch_remove(loop, watch);
    poll_loop_free(poller);
    close(fd);
    return 0;
}
