/* Every verb of a program that is a provider, under provider.c: what it prints and how it ends is in the input, in the place
 * of base/program.c.
 *
 * The input: a digit (the verb) and a letter (its lowest bits: it can do all there is; a project; another admin key after a
 * 401, as everywhere), then the runs, one a part: a line that says how it ended, and what it printed. An exit code, or
 * "killed", "late", "much", "cancelled", "unstarted", "untrusted". Behind the last one it cannot be started. */
#include "fuzz-driver.h"

#include "base/program.h"
#include "providers/workers.h"

#include <json-c/json.h>
#include <limits.h>

/* May stand in what it prints. */
#define MINTED_KEY "sk-0123456789abcdefghijklmnopqrMINTED"

enum { CAN_ALL = 1, WITH_PROJECT = 2 };

/* --- workers.c: a job is done when the loop comes to it --- */

struct workers {
    int timer;
    workers_run_fn *run;
    workers_done_fn *done;
    void *context;
};

static void work(void *context)
{
    struct workers *workers = context;
    workers_done_fn *done = workers->done;
    must(done);
    workers->done = NULL;
    workers->run(workers->context, -1);
    done(workers->context);
}

bool workers_new(struct loop *its_loop, unsigned most, struct workers **ret_workers, struct error *err)
{
    struct workers *workers = calloc(1, sizeof *workers);
    must(workers && most > 0);
    (void)err;
    workers->timer = its_loop->timer(its_loop, work, workers);
    must(workers->timer >= 0);
    *ret_workers = workers;
    return true;
}

void workers_submit(struct workers *workers, workers_run_fn *run, workers_done_fn *done, void *context)
{
    must(!workers->done); /* one call is carried out, and it does one thing at a time */
    workers->run = run;
    workers->done = done;
    workers->context = context;
    set_timer(NULL, workers->timer, 0);
}

void workers_free(struct workers *workers)
{
    if (!workers)
        return;
    must(!workers->done);
    remove_timer(NULL, workers->timer);
    free(workers);
}

/* --- program.c --- */

static struct http *current; /* whose answers the runs are */
static struct {
    unsigned runs, of_verb;
    bool maybe_done; /* it was asked to do what the call is about, and may have */
    bool done_or_not; /* how that ended means nothing in the contract */
    int code;        /* the last run's; -1: it has none */
} seen;

char **program_environment(const char *const *prefixes)
{
    must(!prefixes); /* a program's environment holds no key */
    char **environment = calloc(1, sizeof *environment);
    must(environment);
    return environment;
}

void program_environment_free(char **environment)
{
    free(environment);
}

/* The next part begins with WORD and a line's end. */
static bool next_is(const char *word)
{
    const struct fuzz_input *runs = &current->answers;
    return !runs->ended && runs->left >= strlen(word) && memcmp(runs->rest, word, strlen(word)) == 0;
}

bool program_trusted(const char *path, struct error *err)
{
    must(strcmp(path, "/usr/local/lib/llmhook/gateway") == 0);
    return !next_is("untrusted") || error_set(err, ERROR_DENIED, "%s: anybody may write to it", path);
}

/* What it is asked has to be one JSON object of the contract, with the admin key nowhere else. */
static void check_question(const struct program *program, const char **ret_verb)
{
    static char verb[32];
    struct json_object *question = NULL;
    struct error err = ERROR_INIT;
    must(program->argv[1] && strcmp(program->argv[1], "/var/lib/store") == 0 && !program->argv[2]);
    must(!program->environment[0] && program->input && program->timeout_ms == 1000);
    must_succeed(json_parse(buffer_text(program->input), program->input->length, &question, &err), err);
    must(json_optional_integer(question, "contract", 0) == 1);
    must_succeed(json_get_string(question, "verb", verb, sizeof verb, &err), err);
    must(json_object_object_get_ex(question, "admin_key", NULL));
    json_object_put(question);
    *ret_verb = verb;
}

bool program_run(const struct program *program, struct program_result *result)
{
    static const struct {
        const char *word;
        enum program_end end;
    } ends[] = {{"killed", PROGRAM_KILLED},
                {"late", PROGRAM_TIMED_OUT},
                {"much", PROGRAM_TOO_MUCH},
                {"cancelled", PROGRAM_CANCELLED},
                {"unstarted", PROGRAM_NOT_STARTED}};
    const char *verb, *part = "unstarted";
    size_t length = strlen(part);
    check_question(program, &verb);
    bool asks = strcmp(verb, "capabilities") == 0;
    /* Nothing is ever asked for twice. */
    must(++seen.runs <= 2 && (asks ? seen.runs == 1 : ++seen.of_verb == 1));
    fuzz_next(&current->answers, &part, &length);
    const char *line_end = length ? memchr(part, '\n', length) : NULL;
    result->end = PROGRAM_EXITED;
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        if (starts(part, length, ends[i].word))
            result->end = ends[i].end;
    char line[8] = "";
    size_t head = line_end ? (size_t)(line_end - part) : length;
    memcpy(line, part, head < sizeof line ? head : sizeof line - 1);
    result->status = result->end == PROGRAM_EXITED ? (int)(labs(strtol(line, NULL, 10)) % 256) : 9;
    seen.code = result->end == PROGRAM_EXITED ? result->status : -1;
    bool contract = seen.code == 0 || (seen.code >= 10 && seen.code <= 15);
    if (!asks && result->end != PROGRAM_NOT_STARTED)
        seen.done_or_not = !contract;
    if (!asks)
        seen.maybe_done = result->end != PROGRAM_NOT_STARTED && (!contract || seen.code == 0);
    if (line_end && (result->end == PROGRAM_EXITED || result->end == PROGRAM_KILLED))
        must(buffer_append(&result->output, line_end + 1, length - head - 1));
    if (seen.code != 0)
        error_set(&result->error, ERROR_LOST, "%s ended in its own way", program->argv[0]);
    return seen.code == 0;
}

/* --- the call --- */

/* There is no HTTP. */
static bool creates(const struct http *http)
{
    (void)http;
    return false;
}

static void check_request(const struct http *http, const struct http_request *request)
{
    (void)http, (void)request;
    must(!"a request");
}

/* A program's ids stand in no URL: any word will do. */
static void must_be_id(const char *id)
{
    must(id[0] && strlen(id) < RECORD_REMOTE_ID_SIZE);
    must_be_word(id);
}

static void check_item(const struct provider_call *call, const struct provider_item *item)
{
    must_be_id(item->id);
    must(item->kind == PROVIDER_ITEM_KEY && item->created_at >= 0);
    must(strcmp(item->container_id, PROVIDER_ACCOUNT) == 0 && memchr(item->name, '\0', sizeof item->name));
    must(item->monthly_limit >= 0 || item->monthly_limit == PROVIDER_LIMIT_UNTOLD);
    if (call->verb == PROVIDER_FIND_KEYS)
        must(strcmp(item->name, call->key_name) == 0);
    else
        must(call->verb == PROVIDER_INVENTORY && strncmp(item->name, call->name_prefix, strlen(call->name_prefix)) == 0);
}

static void check_usage(const struct provider_call *call, const struct provider_usage *row)
{
    must_be_id(row->key_id);
    must(call->verb == PROVIDER_USAGE && row->day >= 0);
    must(row->kind == (row->micro_dollars >= 0 ? PROVIDER_USAGE_BILL : PROVIDER_USAGE_TOKENS));
    must(row->micro_dollars >= -1 && memchr(row->model, '\0', sizeof row->model));
    must(row->requests >= 0 && row->output_tokens >= 0 && row->cached_tokens >= 0 && row->input_tokens >= row->cached_tokens);
}

static bool names_key(enum provider_verb verb)
{
    return verb == PROVIDER_REVOKE_KEY || verb == PROVIDER_SUSPEND_KEY || verb == PROVIDER_RESUME_KEY ||
           verb == PROVIDER_LIMIT_KEY;
}

static bool changes(enum provider_verb verb)
{
    return verb == PROVIDER_MINT_KEY || names_key(verb);
}

static void check_end(const struct http *http, const struct provider_result *result)
{
    enum provider_verb verb = http->call->verb;
    must((result->secret != NULL) == (verb == PROVIDER_MINT_KEY && result->outcome == OUTCOME_OK));
    must(!strstr(result->error.text, MINTED_KEY));
    if (result->outcome == OUTCOME_OK) {
        must(seen.code == 0);
        if (verb == PROVIDER_MINT_KEY)
            must_be_id(result->key_id);
        for (size_t i = 0; i < result->items_count; i++)
            check_item(http->call, &result->items[i]);
        for (size_t i = 0; i < result->usage_count; i++)
            check_usage(http->call, &result->usage[i]);
    }
    /* That it is gone the program has said, of a key that was named to it; that nothing has happened is not believed of one that ended as the contract
     * does not know, or that took it on itself. */
    must(result->outcome != OUTCOME_GONE || (seen.code == 10 && names_key(verb)));
    if (changes(verb) && seen.done_or_not)
        must(result->outcome == OUTCOME_UNKNOWN);
    if (verb == PROVIDER_MINT_KEY && seen.maybe_done)
        must(result->outcome == OUTCOME_OK || result->outcome == OUTCOME_UNKNOWN);
    must(result->retry_after_ms >= -1 && result->retry_after_ms <= INT64_C(24) * 3600 * 1000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http http;
    unsigned digit = begin_input(&http, data, size);
    current = &http;
    memset(&seen, 0, sizeof seen);
    struct provider_call call = {.verb = (enum provider_verb)(digit % (PROVIDER_LIMIT_KEY + 1)),
                                 .container_id = PROVIDER_ACCOUNT,
                                 .key_name = "llmhook:h1:u1:gateway:g1",
                                 .key_id = "key_1",
                                 .name_prefix = "llmhook:h1:",
                                 .monthly_limit = 100500001};
    static const struct provider_scope scopes[] = {{PROVIDER_ACCOUNT, 2}};
    call.scopes = scopes;
    call.scopes_count = 1;
    call.since = INT64_C(1709164800000);
    call.until = INT64_C(1709251200000);
    struct provider_settings settings = {.name = "gateway",
                                         .type = "exec",
                                         .program = "/usr/local/lib/llmhook/gateway /var/lib/store",
                                         .environment = "OPENAI_API_KEY",
                                         .admin_key = "file:/etc/llmhook/key",
                                         .project = "per-domain",
                                         .timeout_ms = 1000};
    if (http.flags & CAN_ALL)
        settings.can = PROVIDER_CAN_SUSPEND | PROVIDER_CAN_LIMIT_KEY | PROVIDER_CAN_CHANGE_LIMIT | PROVIDER_CAN_USAGE;
    if (http.flags & WITH_PROJECT)
        snprintf(settings.project, sizeof settings.project, "team-1");
    run_call(&http, &call, &settings);
    return 0;
}
