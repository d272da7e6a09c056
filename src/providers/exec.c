/* Any program as a provider, by the contract in llmhook-provider(7): one run a call, a JSON document on its standard
 * input and one on its output, and the exit code says what came of it. What changes something and ends in no way that the
 * contract knows may have happened.
 *
 * What the program can do is said in the configuration (`can`), since plans are made before it is ever run; the audit,
 * which comes first when the daemon starts, compares that with what the program says of itself. */
#include "providers/provider.h"

#include "base/cleanup.h"
#include "base/json.h"
#include "base/program.h"
#include "providers/form.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

enum { OUTPUT_MAX = 4 * 1024 * 1024, CONTRACT = 1, RETRY_AFTER_MAX_S = 24 * 3600 };

struct asking {
    const struct provider_settings *settings;
    const struct provider_call *call;
    const struct secret *credential;
    int cancel;
    struct provider_result *result;
};

/* --- what it can do --- */

static const struct {
    const char *word;
    unsigned capability;
} abilities[] = {
    {"suspend", PROVIDER_CAN_SUSPEND},
    {"limit", PROVIDER_CAN_LIMIT_KEY},
    {"change-limit", PROVIDER_CAN_LIMIT_KEY | PROVIDER_CAN_CHANGE_LIMIT},
    {"usage", PROVIDER_CAN_USAGE},
};
enum { ABILITIES_COUNT = sizeof abilities / sizeof abilities[0] };

unsigned provider_exec_ability(const char *word)
{
    for (size_t i = 0; i < ABILITIES_COUNT; i++)
        if (strcmp(abilities[i].word, word) == 0)
            return abilities[i].capability;
    return 0;
}

static bool exec_check(const struct provider_settings *settings, struct error *err)
{
    if (!settings->program[0])
        return error_set(err, ERROR_INVALID, "there is no program: write program = /PATH below it, see llmhook-provider(7)");
    if (!settings->environment[0])
        return error_set(err, ERROR_INVALID,
                         "a program's keys have no usual variable in the guest: write environment = NAME");
    return true;
}

/* --- one run --- */

/* What the contract calls a verb. NULL: it has none for it. */
static const char *verb_of(enum provider_verb verb)
{
    switch (verb) {
    case PROVIDER_MINT_KEY:
        return "mint";
    case PROVIDER_FIND_KEYS:
        return "find";
    case PROVIDER_INVENTORY:
        return "list";
    case PROVIDER_REVOKE_KEY:
        return "revoke";
    case PROVIDER_SUSPEND_KEY:
        return "suspend";
    case PROVIDER_RESUME_KEY:
        return "resume";
    case PROVIDER_LIMIT_KEY:
        return "limit";
    case PROVIDER_USAGE:
        return "usage";
    case PROVIDER_CHECK:
        return "check";
    default:
        return NULL;
    }
}

static void put_given(struct json_object *object, const char *name, const char *text)
{
    if (text[0])
        json_put_string(object, name, text);
}

/* It is about a key that there is, by its id. */
static bool names_key(enum provider_verb verb)
{
    return verb == PROVIDER_REVOKE_KEY || verb == PROVIDER_SUSPEND_KEY || verb == PROVIDER_RESUME_KEY ||
           verb == PROVIDER_LIMIT_KEY;
}

static struct json_object *make_question(const struct asking *asking, const char *verb)
{
    const struct provider_call *call = asking->call;
    struct json_object *question = json_object_new_object();
    json_put_integer(question, "contract", CONTRACT);
    json_put_string(question, "verb", verb);
    json_put_string(question, "provider", asking->settings->name);
    put_given(question, "base_url", asking->settings->base_url);
    put_given(question, "ca_file", asking->settings->ca_file);
    if (strcmp(asking->settings->project, "per-domain") != 0)
        put_given(question, "project", asking->settings->project);
    if (asking->credential)
        json_put_string(question, "admin_key", secret_reveal(asking->credential));
    if (call->verb == PROVIDER_MINT_KEY || call->verb == PROVIDER_FIND_KEYS)
        json_put_string(question, "name", call->key_name);
    if (names_key(call->verb))
        json_put_string(question, "id", call->key_id);
    if (call->verb == PROVIDER_INVENTORY || call->verb == PROVIDER_USAGE)
        json_put_string(question, "prefix", call->name_prefix);
    if (call->verb == PROVIDER_LIMIT_KEY || (call->verb == PROVIDER_MINT_KEY && (asking->settings->can & PROVIDER_CAN_LIMIT_KEY)))
        json_put_integer(question, "monthly_limit", call->monthly_limit);
    if (call->verb == PROVIDER_USAGE) {
        json_put_integer(question, "since", call->since);
        json_put_integer(question, "until", call->until);
    }
    return question;
}

/* Of an exit code. False: the contract has no such code. Where no key is named nothing can be gone, least of all the account
 * with all its keys: what was asked for is refused then. */
static bool outcome_of(int code, enum provider_verb verb, enum outcome *ret_outcome)
{
    static const enum outcome outcomes[] = {OUTCOME_GONE,        OUTCOME_REFUSED,   OUTCOME_UNAUTHORIZED,
                                            OUTCOME_UNREACHABLE, OUTCOME_THROTTLED, OUTCOME_UNSUPPORTED};
    if (code != 0 && (code < 10 || code >= 10 + (int)(sizeof outcomes / sizeof outcomes[0])))
        return false;
    *ret_outcome = code == 0 ? OUTCOME_OK : outcomes[code - 10];
    if (*ret_outcome == OUTCOME_GONE && !names_key(verb))
        *ret_outcome = OUTCOME_REFUSED;
    return true;
}

/* The program's own words, when it has some: `error` in its answer, or what it complained of. */
static void put_words(const struct asking *asking, const struct program_result *ran, struct json_object *answer)
{
    static const enum error_code codes[] = {
        [OUTCOME_GONE] = ERROR_NOT_FOUND, [OUTCOME_REFUSED] = ERROR_INVALID,       [OUTCOME_UNAUTHORIZED] = ERROR_DENIED,
        [OUTCOME_UNREACHABLE] = ERROR_LOST, [OUTCOME_THROTTLED] = ERROR_BUSY, [OUTCOME_UNSUPPORTED] = ERROR_INVALID,
    };
    static const char *const meanings[] = {
        [OUTCOME_GONE] = "it is not there", [OUTCOME_REFUSED] = "refused",
        [OUTCOME_UNAUTHORIZED] = "the admin key is not accepted",
        [OUTCOME_UNREACHABLE] = "the provider cannot be reached", [OUTCOME_THROTTLED] = "come back later",
        [OUTCOME_UNSUPPORTED] = "it cannot do that",
    };
    struct provider_result *result = asking->result;
    char raw[512], words[PROGRAM_COMPLAINT_SIZE] = "";
    json_optional_string(answer, "error", "", raw, sizeof raw);
    provider_quote(raw, strlen(raw), words, sizeof words);
    const char *said = words[0] ? words : ran->complaint;
    error_set(&result->error, codes[result->outcome], "%s: %s%s%s", asking->settings->program, meanings[result->outcome],
              said[0] ? ": " : "", said);
}

/* Runs it once. *RET_ANSWER is what it printed, where that is an object, else an empty one; owner: the caller. False:
 * RESULT has its outcome. */
static bool run_once(const struct asking *asking, const char *verb, struct json_object **ret_answer)
{
    struct provider_result *result = asking->result;
    struct program_result ran = PROGRAM_RESULT_INIT(OUTPUT_MAX);
    struct buffer input = BUFFER_INIT(64 * 1024 + SECRET_MAX);
    cleanup_json struct json_object *question = make_question(asking, verb);
    char words[PROVIDER_URL_SIZE], *rest = NULL;
    const char *argv[PROGRAM_ARGUMENTS_MAX + 1] = {NULL};
    size_t count = 0;
    snprintf(words, sizeof words, "%s", asking->settings->program);
    for (char *word = strtok_r(words, " \t", &rest); word && count < PROGRAM_ARGUMENTS_MAX; word = strtok_r(NULL, " \t", &rest))
        argv[count++] = word;
    *ret_answer = NULL;
    result->outcome = OUTCOME_UNREACHABLE; /* nothing has been asked */
    char **environment = program_environment(NULL);
    if (!environment || !buffer_append_text(&input, json_object_to_json_string_ext(question, JSON_C_TO_STRING_PLAIN))) {
        program_environment_free(environment);
        return error_set(&result->error, ERROR_IO, "out of memory");
    }
    const struct program program = {argv, (const char *const *)environment, &input, asking->settings->timeout_ms,
                                    asking->cancel};
    bool started = program_trusted(argv[0], &result->error);
    if (started)
        program_run(&program, &ran);
    program_environment_free(environment);
    buffer_clear(&input);
    if (started && ran.end == PROGRAM_NOT_STARTED)
        result->error = ran.error;
    if (!started || ran.end == PROGRAM_NOT_STARTED)
        return false;
    bool known = ran.end == PROGRAM_EXITED && outcome_of(ran.status, asking->call->verb, &result->outcome);
    bool document = known && json_parse(buffer_text(&ran.output), ran.output.length, ret_answer, NULL) &&
                    json_object_is_type(*ret_answer, json_type_object);
    if (!document) {
        json_object_put(*ret_answer);
        *ret_answer = json_object_new_object();
    }
    if (!known) {
        result->outcome = provider_doubt(asking->call->verb);
        result->error = ran.error;
    } else if (result->outcome == OUTCOME_OK && !document && ran.output.length) {
        result->outcome = provider_doubt(asking->call->verb);
        error_set(&result->error, ERROR_PROTOCOL, "%s: what it printed is no JSON object", asking->settings->program);
    } else if (result->outcome != OUTCOME_OK) {
        int64_t after = json_optional_integer(*ret_answer, "retry_after", -1);
        if (after >= 0)
            result->retry_after_ms = (after < RETRY_AFTER_MAX_S ? after : RETRY_AFTER_MAX_S) * 1000;
        put_words(asking, &ran, *ret_answer);
    }
    buffer_clear(&ran.output);
    return result->outcome == OUTCOME_OK;
}

/* --- reading what it says --- */

static bool read_id(struct json_object *object, char id[RECORD_REMOTE_ID_SIZE], struct error *err)
{
    return json_get_string(object, "id", id, RECORD_REMOTE_ID_SIZE, err) &&
           (form_word_valid(id) || error_set(err, ERROR_PROTOCOL, "id: it is empty, or no word of printable characters"));
}

/* A number that may be missing. None of them is ever below zero: usage that is would pay for what others have used. */
static bool read_number(struct json_object *object, const char *name, int64_t missing, int64_t *ret_number, struct error *err)
{
    *ret_number = missing;
    if (!json_object_object_get(object, name))
        return true;
    return json_get_integer(object, name, ret_number, err) &&
           (*ret_number >= 0 ||
            error_set(err, ERROR_PROTOCOL, "field '%s' is less than nothing: %lld", name, (long long)*ret_number));
}

/* A key was made, whatever else is wrong: all that can be read of its id is kept. */
static bool read_minted(struct json_object *answer, struct provider_result *result, struct error *err)
{
    struct json_object *value;
    if (!read_id(answer, result->key_id, err)) {
        result->key_id[0] = '\0';
        return false;
    }
    if (!json_object_object_get_ex(answer, "secret", &value) || !json_object_is_type(value, json_type_string))
        return error_set(err, ERROR_PROTOCOL, "secret: there is no text of that name");
    const char *text = json_object_get_string(value);
    size_t length = (size_t)json_object_get_string_len(value);
    for (size_t i = 0; i < length; i++)
        if (text[i] <= ' ' || text[i] > '~')
            return error_set(err, ERROR_PROTOCOL, "secret: it holds a character that no key has");
    result->secret = length ? secret_new(text, length) : NULL;
    return result->secret || error_set(err, ERROR_PROTOCOL, "secret: it is empty or longer than %d bytes", SECRET_MAX);
}

/* Not *RET_WANTED: it is another's, and nothing else of it matters. */
static bool read_key(struct json_object *key, const struct provider_call *call, struct provider_item *item, bool *ret_wanted,
                     struct error *err)
{
    if (!json_object_is_type(key, json_type_object))
        return error_set(err, ERROR_PROTOCOL, "it is no object");
    json_optional_string(key, "name", "", item->name, sizeof item->name);
    if (!read_id(key, item->id, err))
        return false;
    *ret_wanted = call->verb == PROVIDER_FIND_KEYS ? strcmp(item->name, call->key_name) == 0
                                                   : provider_inventory_has(call, item->id, item->name);
    item->tells_suspended = json_has(key, "suspended");
    item->suspended = json_optional_boolean(key, "suspended", false);
    return !*ret_wanted || (read_number(key, "created_at", 0, &item->created_at, err) &&
                            read_number(key, "monthly_limit", PROVIDER_LIMIT_UNTOLD, &item->monthly_limit, err));
}

/* What else the program lists is not asked about. */
static bool read_keys(struct json_object *answer, const struct provider_call *call, struct provider_result *result,
                      struct error *err)
{
    struct json_object *keys;
    if (!json_get_array(answer, "keys", &keys, err))
        return false;
    for (size_t i = 0; i < json_object_array_length(keys); i++) {
        struct provider_item item = {.kind = PROVIDER_ITEM_KEY, .container_id = PROVIDER_ACCOUNT};
        bool wanted = false;
        if (!read_key(json_object_array_get_idx(keys, i), call, &item, &wanted, err))
            return error_prefix(err, "keys[%zu]", i);
        if (wanted && !provider_result_add(result, &item))
            return error_set(err, ERROR_LIMIT, "more keys than can be held");
    }
    return true;
}

static bool read_row(struct json_object *row, struct provider_usage *usage, struct error *err)
{
    if (!json_object_is_type(row, json_type_object))
        return error_set(err, ERROR_PROTOCOL, "it is no object");
    if (!read_id(row, usage->key_id, err) || !read_number(row, "day", -1, &usage->day, err) ||
        !read_number(row, "micro_dollars", -1, &usage->micro_dollars, err) ||
        !form_get_count(row, "requests", &usage->requests, err) ||
        !form_get_count(row, "input_tokens", &usage->input_tokens, err) ||
        !form_get_count(row, "cached_tokens", &usage->cached_tokens, err) ||
        !form_get_count(row, "output_tokens", &usage->output_tokens, err))
        return false;
    if (usage->day < 0)
        return error_set(err, ERROR_PROTOCOL, "field 'day' is missing");
    if (usage->cached_tokens > usage->input_tokens)
        return error_set(err, ERROR_PROTOCOL, "cached_tokens: they are more than input_tokens, which counts them too");
    json_optional_string(row, "model", "", usage->model, sizeof usage->model);
    usage->kind = usage->micro_dollars >= 0 ? PROVIDER_USAGE_BILL : PROVIDER_USAGE_TOKENS;
    return true;
}

static bool read_usage(struct json_object *answer, struct provider_result *result, struct error *err)
{
    struct json_object *rows;
    if (!json_get_array(answer, "rows", &rows, err))
        return false;
    for (size_t i = 0; i < json_object_array_length(rows); i++) {
        struct provider_usage usage = {.container_id = PROVIDER_ACCOUNT};
        if (!read_row(json_object_array_get_idx(rows, i), &usage, err))
            return error_prefix(err, "rows[%zu]", i);
        if (!provider_usage_add(result, &usage))
            return error_set(err, ERROR_LIMIT, "more rows than can be held");
    }
    return true;
}

/* What it says that the limit is now: a program that does not take it at its word is not believed either. */
static bool read_limit(const struct asking *asking, struct json_object *answer)
{
    struct provider_result *result = asking->result;
    int64_t limit, wanted = asking->call->monthly_limit;
    if (!json_get_integer(answer, "monthly_limit", &limit, &result->error))
        return false;
    if (limit != wanted && !form_same_dollars(limit, wanted)) { /* or what it takes no fractions of */
        result->outcome = OUTCOME_REFUSED;
        error_set(&result->error, ERROR_PROTOCOL, "%s: asked for a monthly limit of %.2f USD, it says %.2f",
                  asking->settings->program, (double)wanted / 1e6, (double)limit / 1e6);
    }
    return true;
}

/* What the configuration counts on and the program does not offer. */
static bool compare_abilities(const struct asking *asking)
{
    cleanup_json struct json_object *answer = NULL;
    struct json_object *words;
    struct error *err = &asking->result->error;
    if (!run_once(asking, "capabilities", &answer))
        return false;
    asking->result->outcome = OUTCOME_REFUSED;
    if (!json_get_array(answer, "capabilities", &words, err))
        return error_prefix(err, "%s: capabilities", asking->settings->program);
    unsigned offered = 0;
    for (size_t w = 0; w < json_object_array_length(words); w++) {
        struct json_object *word = json_object_array_get_idx(words, w);
        offered |= json_object_is_type(word, json_type_string) ? provider_exec_ability(json_object_get_string(word)) : 0;
    }
    for (size_t i = 0; i < ABILITIES_COUNT; i++) {
        if (asking->settings->can & abilities[i].capability & ~offered)
            return error_set(err, ERROR_INVALID, "%s does not offer %s: take it out of can", asking->settings->program,
                             abilities[i].word);
    }
    return true;
}

static bool read_answer(const struct asking *asking, struct json_object *answer)
{
    struct provider_result *result = asking->result;
    switch (asking->call->verb) {
    case PROVIDER_MINT_KEY:
        return read_minted(answer, result, &result->error);
    case PROVIDER_FIND_KEYS:
    case PROVIDER_INVENTORY:
        return read_keys(answer, asking->call, result, &result->error);
    case PROVIDER_USAGE:
        return read_usage(answer, result, &result->error);
    case PROVIDER_LIMIT_KEY:
        return read_limit(asking, answer);
    default:
        return true;
    }
}

static void exec_run(const struct provider_settings *settings, const struct provider_call *call,
                     const struct secret *credential, int cancel, struct provider_result *result)
{
    const struct asking asking = {settings, call, credential, cancel, result};
    cleanup_json struct json_object *answer = NULL;
    const char *verb = verb_of(call->verb);
    if (!verb) {
        result->outcome = OUTCOME_UNSUPPORTED;
        error_set(&result->error, ERROR_INVALID, "a program has no %s", provider_verb_name(call->verb));
        return;
    }
    bool compares = call->verb == PROVIDER_INVENTORY || call->verb == PROVIDER_CHECK;
    if ((compares && !compare_abilities(&asking)) || !run_once(&asking, verb, &answer) || read_answer(&asking, answer))
        return;
    result->outcome = provider_doubt(call->verb);
    error_prefix(&result->error, "%s: its answer to %s", settings->program, verb);
}

const struct provider_driver provider_exec = {
    .type = "exec",
    .default_environment = "",
    .settings = PROVIDER_TAKES_PROJECT,
    .key_optional = true,
    .capabilities = PROVIDER_CAN_MINT | PROVIDER_CAN_LIST,
    .check = exec_check,
    .run = exec_run,
};
