#include "faults.h"

#include "fields.h"

#include <fnmatch.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

struct planned {
    struct fault fault;
    char *method;        /* "*" = any */
    char *path;          /* "*" = any; otherwise '*' stands within one segment */
    int64_t skip;        /* so many matching requests pass first */
    int64_t times;       /* so many are still to be hit, -1 = without end */
    int64_t hits;
    TAILQ_ENTRY(planned) next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static TAILQ_HEAD(, planned) all = TAILQ_HEAD_INITIALIZER(all);
static int64_t last_id;

static const struct {
    const char *name;
    enum fault_mode mode;
    enum fault_execute usual;
    bool may_choose; /* can the request say when it executes? */
} modes[] = {
    {"latency", FAULT_LATENCY, EXECUTE_BEFORE, true},
    {"status", FAULT_STATUS, EXECUTE_NEVER, true},
    {"hang", FAULT_HANG, EXECUTE_NEVER, true},
    {"drop-before", FAULT_DROP_BEFORE, EXECUTE_NEVER, false},
    {"drop-after", FAULT_DROP_AFTER, EXECUTE_BEFORE, false},
    {"garbage", FAULT_GARBAGE, EXECUTE_BEFORE, false},
    {"huge", FAULT_HUGE, EXECUTE_BEFORE, true},
    {"duplicate", FAULT_DUPLICATE, EXECUTE_BEFORE, false},
    {"redirect", FAULT_REDIRECT, EXECUTE_NEVER, false},
};

static const char *const executes[] = {
    [EXECUTE_BEFORE] = "before", [EXECUTE_AFTER] = "after", [EXECUTE_NEVER] = "never", NULL,
};

enum { N_MODES = sizeof(modes) / sizeof(modes[0]) };

const char *fault_name(enum fault_mode mode)
{
    for (size_t i = 0; i < N_MODES; i++) {
        if (modes[i].mode == mode)
            return modes[i].name;
    }
    return NULL;
}

static char *copy_of(const char *text)
{
    return text != NULL ? strdup(text) : NULL;
}

void fault_clear(struct fault *fault)
{
    free(fault->type);
    free(fault->code);
    free(fault->message);
    free(fault->body);
    free(fault->location);
    memset(fault, 0, sizeof(*fault));
}

static void planned_free(struct planned *planned)
{
    fault_clear(&planned->fault);
    free(planned->method);
    free(planned->path);
    free(planned);
}

static const char *set_mode(struct fault *fault, const char *mode, const char *execute)
{
    for (size_t i = 0; i < N_MODES; i++) {
        if (strcmp(modes[i].name, mode) != 0)
            continue;
        fault->mode = modes[i].mode;
        fault->execute = modes[i].usual;
        if (execute == NULL)
            return NULL;
        if (!modes[i].may_choose)
            return "this mode does not take 'execute'";
        for (size_t j = 0; executes[j] != NULL; j++) {
            if (strcmp(executes[j], execute) == 0)
                fault->execute = (enum fault_execute)j;
        }
        if (fault->execute == EXECUTE_AFTER && fault->mode != FAULT_LATENCY &&
            fault->mode != FAULT_HANG)
            return "only latency and hang can execute afterwards";
        if (fault->execute == EXECUTE_NEVER && fault->mode == FAULT_LATENCY)
            return "latency has to execute before or after";
        return NULL;
    }
    return "unknown mode";
}

/* Splits "POST /v1/x" into its method and its path; a lone path means any method. */
static void set_match(struct planned *planned, const char *match)
{
    const char *space = strchr(match, ' ');

    planned->method = space != NULL ? strndup(match, (size_t)(space - match)) : strdup("*");
    planned->path = strdup(space != NULL ? space + 1 : match);
}

int64_t faults_add(struct json_object *description, const char **error)
{
    static char sentence[256];
    static const struct field fields[] = {
        {.name = "match", .kind = FIELD_STRING, .required = true, .min = 1, .max = 512},
        {.name = "mode", .kind = FIELD_STRING, .required = true},
        {.name = "times", .kind = FIELD_INT, .min = -1, .max = INT64_MAX},
        {.name = "skip", .kind = FIELD_INT, .max = INT64_MAX},
        {.name = "execute", .kind = FIELD_STRING, .values = executes},
        {.name = "ms", .kind = FIELD_INT, .max = INT64_MAX},
        {.name = "status", .kind = FIELD_INT, .min = 200, .max = 599},
        {.name = "type", .kind = FIELD_STRING},
        {.name = "code", .kind = FIELD_STRING},
        {.name = "message", .kind = FIELD_STRING},
        {.name = "body", .kind = FIELD_STRING},
        {.name = "location", .kind = FIELD_STRING},
        {.name = "retry_after", .kind = FIELD_INT, .max = INT64_MAX},
        {.name = "retry_after_ms", .kind = FIELD_INT, .max = INT64_MAX},
        {.name = "should_retry", .kind = FIELD_BOOL},
        {.name = NULL},
    };
    struct complaint complaint;
    struct planned *planned;
    struct fault *fault;
    int64_t id;

    if (!fields_check(description, fields, &complaint)) {
        /* one control thread: nobody else writes here */
        snprintf(sentence, sizeof(sentence), "%s", complaint.message);
        *error = sentence;
        return 0;
    }
    planned = calloc(1, sizeof(*planned));
    if (planned == NULL)
        abort();
    fault = &planned->fault;
    *error = set_mode(fault, get_string(description, "mode", ""), get_string(description, "execute", NULL));
    if (*error == NULL && fault->mode == FAULT_LATENCY && get_int(description, "ms", 0) == 0)
        *error = "latency needs 'ms'";
    if (*error == NULL && fault->mode == FAULT_STATUS && get_int(description, "status", 0) == 0)
        *error = "status needs 'status'";
    if (*error == NULL && fault->mode == FAULT_REDIRECT && get_string(description, "location", NULL) == NULL)
        *error = "redirect needs 'location'";
    if (*error != NULL) {
        planned_free(planned);
        return 0;
    }
    set_match(planned, get_string(description, "match", "*"));
    planned->times = get_int(description, "times", 1);
    planned->skip = get_int(description, "skip", 0);
    fault->delay_ms = get_int(description, "ms", 0);
    fault->status = (int)get_int(description, "status", 0);
    fault->type = copy_of(get_string(description, "type", NULL));
    fault->code = copy_of(get_string(description, "code", NULL));
    fault->message = copy_of(get_string(description, "message", NULL));
    fault->body = copy_of(get_string(description, "body", NULL));
    fault->location = copy_of(get_string(description, "location", NULL));
    fault->retry_after = get_int(description, "retry_after", -1);
    fault->retry_after_ms = get_int(description, "retry_after_ms", -1);
    fault->should_retry = json_object_object_get_ex(description, "should_retry", NULL)
                              ? get_bool(description, "should_retry", false)
                              : -1;
    pthread_mutex_lock(&lock);
    id = fault->id = ++last_id;
    TAILQ_INSERT_TAIL(&all, planned, next);
    pthread_mutex_unlock(&lock);
    return id;
}

int64_t faults_remove(int64_t id)
{
    struct planned *planned, *following;
    int64_t removed = 0;

    pthread_mutex_lock(&lock);
    for (planned = TAILQ_FIRST(&all); planned != NULL; planned = following) {
        following = TAILQ_NEXT(planned, next);
        if (id != 0 && planned->fault.id != id)
            continue;
        TAILQ_REMOVE(&all, planned, next);
        planned_free(planned);
        removed++;
    }
    pthread_mutex_unlock(&lock);
    return removed;
}

struct json_object *faults_list(void)
{
    struct json_object *list = json_object_new_array();
    const struct planned *planned;

    pthread_mutex_lock(&lock);
    TAILQ_FOREACH(planned, &all, next) {
        struct json_object *object = json_object_new_object();
        char match[600];

        snprintf(match, sizeof(match), "%s %s", planned->method, planned->path);
        put_int(object, "id", planned->fault.id);
        put_string(object, "match", match);
        put_string(object, "mode", fault_name(planned->fault.mode));
        put_string(object, "execute", executes[planned->fault.execute]);
        put_int(object, "skip", planned->skip);
        put_int(object, "times", planned->times);
        put_int(object, "hits", planned->hits);
        json_object_array_add(list, object);
    }
    pthread_mutex_unlock(&lock);
    return list;
}

static bool matches(const struct planned *planned, const struct request *request)
{
    if (planned->times == 0)
        return false;
    if (strcmp(planned->method, "*") != 0 && strcmp(planned->method, request->method) != 0)
        return false;
    return strcmp(planned->path, "*") == 0 ||
           fnmatch(planned->path, request->path, FNM_PATHNAME) == 0;
}

bool faults_take(const struct request *request, struct fault *fault)
{
    struct planned *planned;
    bool taken = false;

    memset(fault, 0, sizeof(*fault));
    pthread_mutex_lock(&lock);
    TAILQ_FOREACH(planned, &all, next) {
        if (!matches(planned, request))
            continue;
        if (planned->skip > 0) {
            planned->skip--;
            continue;
        }
        if (planned->times > 0)
            planned->times--;
        planned->hits++;
        *fault = planned->fault;
        fault->type = copy_of(planned->fault.type);
        fault->code = copy_of(planned->fault.code);
        fault->message = copy_of(planned->fault.message);
        fault->body = copy_of(planned->fault.body);
        fault->location = copy_of(planned->fault.location);
        taken = true;
        break;
    }
    pthread_mutex_unlock(&lock);
    return taken;
}
