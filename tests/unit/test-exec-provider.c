/* Programs as providers: what each way to end is called, and that the two examples keep the contract. */
#include "check.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/durable.h"
#include "poll-loop.h"
#include "providers/http.h"
#include "providers/provider.h"
#include "scripted-server.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATIENCE_MS = 60000 };

#define ADMIN_KEY "mgmt-0123456789abcdef"

static char directory[] = "/tmp/llmhook-exec-XXXXXX";
static struct poll_loop *loop;
static struct http *http;

static bool fetch_key(void *context, const struct provider_settings *settings, struct secret **ret_secret, struct error *err)
{
    (void)context, (void)settings, (void)err;
    *ret_secret = secret_new(ADMIN_KEY, strlen(ADMIN_KEY));
    return true;
}

struct seen {
    bool done;
    enum outcome outcome;
    struct error error;
    int64_t retry_after_ms, micro_dollars;
    char key_id[RECORD_REMOTE_ID_SIZE], secret[256], ids[256];
    size_t items_count;
    unsigned suspended; /* of these, as told */
};

static void on_done(void *context, struct provider_result *result)
{
    struct seen *seen = context;
    *seen = (struct seen){true, result->outcome, result->error, result->retry_after_ms, -1, "", "", "", result->items_count, 0};
    snprintf(seen->key_id, sizeof seen->key_id, "%s", result->key_id);
    snprintf(seen->secret, sizeof seen->secret, "%s", result->secret ? secret_reveal(result->secret) : "");
    for (size_t i = 0; i < result->items_count; i++) {
        seen->suspended += result->items[i].tells_suspended && result->items[i].suspended;
        size_t used = strlen(seen->ids);
        snprintf(seen->ids + used, sizeof seen->ids - used, "%s %s,", result->items[i].id, result->items[i].name);
    }
    if (result->usage_count)
        seen->micro_dollars = result->usage[0].micro_dollars;
}

static struct provider *open_provider(const char *program, unsigned can, const char *base_url)
{
    struct provider_settings settings = {.name = "mine", .type = "exec", .admin_key = "file:/x", .environment = "MY_KEY",
                                         .project = "per-domain", .timeout_ms = 20000, .can = can};
    struct provider *provider = NULL;
    struct error err = ERROR_INIT;
    snprintf(settings.program, sizeof settings.program, "%s", program);
    snprintf(settings.base_url, sizeof settings.base_url, "%s", base_url);
    if (!provider_new(http, &settings, fetch_key, NULL, &provider, &err))
        fail_msg("%s", err.text);
    return provider;
}

static struct seen ask_of(struct provider *provider, enum provider_verb verb, const char *id)
{
    struct seen seen = {.done = false};
    struct provider_call call = {.verb = verb, .key_name = "llmhook:h1:u1:mine:g1", .name_prefix = "llmhook:",
                                 .container_id = PROVIDER_ACCOUNT, .monthly_limit = 2500000};
    snprintf(call.key_id, sizeof call.key_id, "%s", id);
    provider_start(provider, &call, on_done, &seen);
    assert_false(seen.done);
    assert_true(poll_loop_until(loop, &seen.done, PATIENCE_MS));
    return seen;
}

/* The path of a program that does BODY, until the next is written. */
static const char *write_program(const char *body)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/program", directory);
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
    assert_true(fd >= 0 && dprintf(fd, "#!/bin/sh\n%s\n", body) > 0);
    close(fd);
    return path;
}

/* Runs BODY as the program for one call. */
static struct seen run(const char *body, unsigned can, enum provider_verb verb)
{
    const char *path = write_program(body);
    struct provider *provider = open_provider(path, can, "");
    struct seen seen = ask_of(provider, verb, "id-1");
    provider_free(provider);
    assert_null(strstr(seen.error.text, "0123456789"));
    return seen;
}

static void becomes(const char *body, enum provider_verb verb, enum outcome outcome, const char *piece)
{
    struct seen seen = run(body, PROVIDER_CAN_SUSPEND, verb);
    if (seen.outcome != outcome || !strstr(seen.error.text, piece))
        fail_msg("'%s': %s is %s '%s', wanted %s with '%s'", body, provider_verb_name(verb), outcome_name(seen.outcome),
                 seen.error.text, outcome_name(outcome), piece);
    assert_string_equal(seen.secret, "");
}

static void test_what_it_is_asked(void **state)
{
    (void)state;
    struct seen seen = run("echo '{\"id\":\"k\",\"secret\":\"'\"$(tr -d ' \"{}' | tr ',' '_')\"'\"}'", PROVIDER_CAN_LIMIT_KEY,
                           PROVIDER_MINT_KEY);
    assert_int_equal(seen.outcome, OUTCOME_OK);
    assert_string_equal(seen.key_id, "k");
    assert_string_equal(seen.secret, "contract:1_verb:mint_provider:mine_admin_key:" ADMIN_KEY
                                     "_name:llmhook:h1:u1:mine:g1_monthly_limit:2500000");
    seen = run("[ $# = 0 ] && ! env | grep -q mgmt && grep -q '\"verb\":\"revoke\".*\"id\":\"id-1\"' || exit 11", 0,
               PROVIDER_REVOKE_KEY);
    assert_int_equal(seen.outcome, OUTCOME_OK);
    assert_string_equal(seen.error.text, "");
}

/* A living key's limit: asked for with its id, and believed when the program says it back. */
static void test_a_limit_is_changed(void **state)
{
    (void)state;
    const unsigned can = PROVIDER_CAN_LIMIT_KEY | PROVIDER_CAN_CHANGE_LIMIT;
    const struct {
        const char *body;
        enum outcome outcome;
        const char *piece;
    } rows[] = {
        {"grep -q '\"verb\":\"limit\".*\"id\":\"id-1\".*\"monthly_limit\":2500000' || exit 11\n"
         "echo '{\"monthly_limit\":2500000}'", OUTCOME_OK, ""},
        {"echo '{\"monthly_limit\":9000000}'", OUTCOME_REFUSED, "asked for a monthly limit of 2.50 USD, it says 9.00"},
        {"echo '{}'", OUTCOME_UNKNOWN, "its answer to limit: field 'monthly_limit'"},
        {"exit 10", OUTCOME_GONE, "it is not there"},
        {"echo '{\"error\":\"no such thing here\"}'; exit 15", OUTCOME_UNSUPPORTED, "it cannot do that: no such thing here"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct seen seen = run(rows[i].body, can, PROVIDER_LIMIT_KEY);
        if (seen.outcome != rows[i].outcome || !strstr(seen.error.text, rows[i].piece))
            fail_msg("'%s' is %s '%s', wanted '%s'", rows[i].body, outcome_name(seen.outcome), seen.error.text, rows[i].piece);
    }
    /* Without the word it is never run. */
    struct seen seen = run("exit 0", PROVIDER_CAN_LIMIT_KEY, PROVIDER_LIMIT_KEY);
    assert_int_equal(seen.outcome, OUTCOME_UNSUPPORTED);
    assert_int_equal(provider_exec_ability("change-limit"), can);
}

static void test_what_is_counted_on_is_compared(void **state)
{
    (void)state;
    const struct {
        const char *offered;
        unsigned can;
        const char *missing; /* NULL: nothing */
    } rows[] = {
        {"\"limit\"", PROVIDER_CAN_LIMIT_KEY, NULL},
        {"\"change-limit\"", PROVIDER_CAN_LIMIT_KEY, NULL},
        {"\"change-limit\"", PROVIDER_CAN_LIMIT_KEY | PROVIDER_CAN_CHANGE_LIMIT, NULL},
        {"\"limit\"", PROVIDER_CAN_LIMIT_KEY | PROVIDER_CAN_CHANGE_LIMIT, "does not offer change-limit: take it out of can"},
        {"7", PROVIDER_CAN_SUSPEND, "does not offer suspend: take it out of can"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char body[256];
        snprintf(body, sizeof body, "echo '{\"capabilities\":[%s],\"keys\":[]}'", rows[i].offered);
        struct seen seen = run(body, rows[i].can, PROVIDER_INVENTORY);
        assert_int_equal(seen.outcome, rows[i].missing ? OUTCOME_REFUSED : OUTCOME_OK);
        if (rows[i].missing && !strstr(seen.error.text, rows[i].missing))
            fail_msg("'%s', wanted '%s'", seen.error.text, rows[i].missing);
    }
}

/* Usage below zero would pay for what others have used; a number that is none is not taken for one that is missing. */
static void test_a_number_that_cannot_be(void **state)
{
    (void)state;
    const struct {
        const char *fields, *piece;
    } rows[] = {
        {"\"day\":20000,\"micro_dollars\":-1", "rows[1]: field 'micro_dollars' is less than nothing: -1"},
        {"\"day\":20000,\"micro_dollars\":0.5", "rows[1]: field 'micro_dollars'"},
        {"\"day\":20000,\"output_tokens\":-7", "rows[1]: field 'output_tokens' is no count: -7"},
        {"\"day\":20000,\"input_tokens\":1000000000001", "rows[1]: field 'input_tokens' is no count: 1000000000001"},
        {"\"day\":20000,\"requests\":\"3\"", "rows[1]: field 'requests'"},
        {"\"day\":20000,\"cached_tokens\":2,\"input_tokens\":1", "rows[1]: cached_tokens: they are more than input_tokens"},
        {"\"day\":-1", "rows[1]: field 'day' is less than nothing: -1"},
        {"\"requests\":1", "rows[1]: field 'day' is missing"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char body[256];
        snprintf(body, sizeof body, "echo '{\"rows\":[{\"id\":\"a\",\"day\":1,\"model\":null},{\"id\":\"a\",%s}]}'",
                 rows[i].fields);
        struct seen seen = run(body, PROVIDER_CAN_USAGE, PROVIDER_USAGE);
        if (seen.outcome != OUTCOME_UNREACHABLE || !strstr(seen.error.text, rows[i].piece))
            fail_msg("'%s' is %s '%s', wanted '%s'", rows[i].fields, outcome_name(seen.outcome), seen.error.text, rows[i].piece);
    }
    struct seen seen = run("echo '{\"keys\":[{\"id\":\"o\",\"name\":\"other\",\"monthly_limit\":-1},"
                           "{\"id\":\"a\",\"name\":\"llmhook:h1:u1:mine:g1\",\"created_at\":-5}]}'", 0, PROVIDER_FIND_KEYS);
    assert_int_equal(seen.outcome, OUTCOME_UNREACHABLE);
    check_error(seen.error, ERROR_PROTOCOL, "keys[1]: field 'created_at' is less than nothing: -5");
    seen = run("echo '{\"keys\":[7]}'", 0, PROVIDER_FIND_KEYS);
    check_error(seen.error, ERROR_PROTOCOL, "keys[0]: it is no object");
}

static void test_exit_codes(void **state)
{
    (void)state;
    becomes("exit 10", PROVIDER_REVOKE_KEY, OUTCOME_GONE, "it is not there");
    becomes("echo '{\"error\":\"keys are for members, not mgmt-0123456789abcdef\"}'; exit 11", PROVIDER_MINT_KEY, OUTCOME_REFUSED,
            "");
    becomes("echo 'not for sk-0123456789abcdef' >&2; exit 11", PROVIDER_MINT_KEY, OUTCOME_REFUSED, "refused: not for [key]");
    becomes("exit 12", PROVIDER_CHECK, OUTCOME_UNAUTHORIZED, "the admin key is not accepted");
    becomes("exit 13", PROVIDER_MINT_KEY, OUTCOME_UNREACHABLE, "the provider cannot be reached");
    becomes("exit 15", PROVIDER_SUSPEND_KEY, OUTCOME_UNSUPPORTED, "it cannot do that");
    struct seen seen = run("echo '{\"retry_after\":7}'; exit 14", 0, PROVIDER_MINT_KEY);
    assert_int_equal(seen.outcome, OUTCOME_THROTTLED);
    assert_int_equal(seen.retry_after_ms, 7000);
    assert_int_equal(run("exit 14", 0, PROVIDER_MINT_KEY).retry_after_ms, -1);
}

/* Only a key can be gone. Whatever else the program does not find, what is alive stays known. */
static void test_gone_is_said_of_keys_alone(void **state)
{
    (void)state;
    static const enum provider_verb about_a_key[] = {PROVIDER_REVOKE_KEY, PROVIDER_SUSPEND_KEY, PROVIDER_RESUME_KEY};
    static const enum provider_verb others[] = {PROVIDER_MINT_KEY, PROVIDER_FIND_KEYS, PROVIDER_INVENTORY, PROVIDER_CHECK};
    static const char body[] = "case $(cat) in *capabilities*) echo '{\"capabilities\":[\"suspend\"]}' ;; "
        "*) echo '{\"error\":\"no such team\"}'; exit 10 ;; esac";
    for (size_t i = 0; i < sizeof about_a_key / sizeof about_a_key[0]; i++)
        becomes(body, about_a_key[i], OUTCOME_GONE, "it is not there: no such team");
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        becomes(body, others[i], OUTCOME_REFUSED, "refused: no such team");
    struct seen seen = run("exit 10", PROVIDER_CAN_USAGE, PROVIDER_USAGE);
    assert_int_equal(seen.outcome, OUTCOME_REFUSED);
    seen = run("exit 10", 0, PROVIDER_INVENTORY); /* asked what it can do */
    assert_int_equal(seen.outcome, OUTCOME_REFUSED);
}

/* What may have happened is never called anything else. */
static void test_anything_else_is_unknown(void **state)
{
    (void)state;
    static const enum provider_verb changing[] = {PROVIDER_MINT_KEY, PROVIDER_REVOKE_KEY, PROVIDER_SUSPEND_KEY,
                                                  PROVIDER_RESUME_KEY};
    for (size_t i = 0; i < sizeof changing / sizeof changing[0]; i++) {
        becomes("exit 1", changing[i], OUTCOME_UNKNOWN, "failed (exit code 1)");
        becomes("exit 16", changing[i], OUTCOME_UNKNOWN, "failed (exit code 16)");
        becomes("kill -9 $$", changing[i], OUTCOME_UNKNOWN, "was ended by signal 9");
        becomes("echo garbage", changing[i], OUTCOME_UNKNOWN, "what it printed is no JSON object");
    }
    becomes("exit 1", PROVIDER_FIND_KEYS, OUTCOME_UNREACHABLE, "failed (exit code 1)");
    becomes("exit 0", PROVIDER_MINT_KEY, OUTCOME_UNKNOWN, "its answer to mint: ");
    becomes("echo '{\"id\":\"a b\",\"secret\":\"s\"}'", PROVIDER_MINT_KEY, OUTCOME_UNKNOWN, "id: it is empty, or no word");
    becomes("printf '{\"id\":\"%0129d\",\"secret\":\"s\"}' 7", PROVIDER_MINT_KEY, OUTCOME_UNKNOWN,
            "field 'id' is longer than 128 bytes");
    struct seen longest = run("printf '{\"id\":\"%0128d\",\"secret\":\"s\"}' 7", 0, PROVIDER_MINT_KEY);
    assert_int_equal(longest.outcome, OUTCOME_OK);
    assert_int_equal(strlen(longest.key_id), 128);
    becomes("echo '{\"keys\":[{\"name\":\"x\"}]}'", PROVIDER_FIND_KEYS, OUTCOME_UNREACHABLE, "its answer to find: keys[0]: ");
    struct seen seen = run("echo '{\"id\":\"k-7\",\"secret\":\"two words\"}'", 0, PROVIDER_MINT_KEY);
    assert_int_equal(seen.outcome, OUTCOME_UNKNOWN);
    assert_string_equal(seen.key_id, "k-7"); /* so it can be revoked */
}

static void test_lists(void **state)
{
    (void)state;
    static const char body[] = "case $(cat) in *capabilities*) echo '{\"capabilities\":[\"suspend\"]}' ;; "
        "*) echo '{\"keys\":[{\"id\":\"a\",\"name\":\"llmhook:h1:u1:mine:g1\"},{\"id\":\"b\","
        "\"name\":\"llmhook:h1:u1:mine:g10\"},"
        "{\"id\":\"c\",\"name\":\"other\"}]}' ;; esac";
    struct seen seen = run(body, PROVIDER_CAN_SUSPEND, PROVIDER_FIND_KEYS);
    assert_string_equal(seen.ids, "a llmhook:h1:u1:mine:g1,");
    seen = run(body, PROVIDER_CAN_SUSPEND, PROVIDER_INVENTORY);
    assert_int_equal(seen.outcome, OUTCOME_OK);
    assert_string_equal(seen.ids, "a llmhook:h1:u1:mine:g1,b llmhook:h1:u1:mine:g10,");
    seen = run(body, PROVIDER_CAN_SUSPEND | PROVIDER_CAN_USAGE, PROVIDER_INVENTORY);
    assert_int_equal(seen.outcome, OUTCOME_REFUSED);
    check_error(seen.error, ERROR_INVALID, "does not offer usage: take it out of can");
    seen = run("echo '{\"rows\":[{\"id\":\"a\",\"day\":20000,\"micro_dollars\":1500}]}'", PROVIDER_CAN_USAGE, PROVIDER_USAGE);
    assert_int_equal(seen.outcome, OUTCOME_OK);
    assert_int_equal(seen.micro_dollars, 1500);
    assert_int_equal(run("exit 0", 0, PROVIDER_SUSPEND_KEY).outcome, OUTCOME_UNSUPPORTED); /* not in can: not asked */
}

static void test_closing_kills_it(void **state)
{
    (void)state;
    char begun[64], body[256], pid[16] = "";
    struct seen seen = {.done = false};
    struct provider_call call = {.verb = PROVIDER_MINT_KEY, .key_name = "n"};
    snprintf(begun, sizeof begun, "%s/begun", directory);
    snprintf(body, sizeof body, "echo $$ >%s.new && mv %s.new %s && exec sleep 1000", begun, begun, begun);
    struct provider *provider = open_provider(write_program(body), 0, "");
    provider_start(provider, &call, on_done, &seen);
    int64_t end = clock_monotonic_ms() + PATIENCE_MS;
    while (access(begun, F_OK) != 0) {
        assert_true(clock_monotonic_ms() < end);
        poll_loop_turn(loop, 10);
    }
    assert_false(seen.done);
    provider_free(provider);
    assert_true(seen.done);
    assert_int_equal(seen.outcome, OUTCOME_UNKNOWN);
    FILE *file = fopen(begun, "r");
    assert_non_null(file);
    assert_non_null(fgets(pid, sizeof pid, file));
    fclose(file);
    unlink(begun);
    assert_int_equal(kill(atoi(pid), 0), -1);
    assert_int_equal(errno, ESRCH);
}

static void test_who_could_change_it(void **state)
{
    (void)state;
    struct provider *provider = open_provider("/nonexistent/program", 0, "");
    struct seen seen = ask_of(provider, PROVIDER_MINT_KEY, "");
    assert_int_equal(seen.outcome, OUTCOME_UNREACHABLE); /* certainly nothing happened */
    check_error(seen.error, ERROR_NOT_FOUND, "/nonexistent/program: No such file");
    provider_free(provider);
}

/* --- the examples --- */

/* A copy that is ours, as an installed one is root's: the source's files may be somebody else's. */
static const char *example(const char *name, const char *argument)
{
    static char program[PROVIDER_URL_SIZE];
    char path[PATH_MAX];
    const char *source = getenv("LLMHOOK_SOURCE");
    cleanup_buffer struct buffer content = BUFFER_INIT(65536);
    struct error err = ERROR_INIT;
    snprintf(path, sizeof path, "%s/packaging/examples/%s", source ? source : ".", name);
    if (!durable_read(path, &content, &err))
        fail_msg("%s", err.text);
    snprintf(path, sizeof path, "%s/example", directory);
    assert_true(durable_write(path, 0700, content.data, content.length, &err));
    snprintf(program, sizeof program, "%s/example %s", directory, argument);
    return program;
}

static bool file_has(const char *name, const char *text)
{
    char path[128], content[4096] = "";
    snprintf(path, sizeof path, "%s/%s", directory, name);
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && read(fd, content, sizeof content - 1) >= 0);
    return strstr(content, text) != NULL;
}

static void test_the_shell_example(void **state)
{
    (void)state;
    char store[128];
    snprintf(store, sizeof store, "%s/store", directory);
    struct provider *provider = open_provider(example("provider-file.sh", store),
                                              PROVIDER_CAN_SUSPEND | PROVIDER_CAN_LIMIT_KEY | PROVIDER_CAN_CHANGE_LIMIT, "");
    struct seen check = ask_of(provider, PROVIDER_CHECK, "");
    if (check.outcome != OUTCOME_OK)
        fail_msg("%s", check.error.text);
    struct seen minted = ask_of(provider, PROVIDER_MINT_KEY, "");
    assert_int_equal(minted.outcome, OUTCOME_OK);
    assert_true(file_has("store.tokens", minted.secret));
    assert_true(file_has("store.limits", "2500000"));
    struct seen limited = ask_of(provider, PROVIDER_LIMIT_KEY, minted.key_id);
    if (limited.outcome != OUTCOME_OK)
        fail_msg("%s", limited.error.text);
    assert_int_equal(ask_of(provider, PROVIDER_LIMIT_KEY, "nobody").outcome, OUTCOME_GONE);
    struct seen found = ask_of(provider, PROVIDER_FIND_KEYS, "");
    assert_int_equal(found.items_count, 1);
    assert_memory_equal(found.ids, minted.key_id, strlen(minted.key_id));
    assert_int_equal(ask_of(provider, PROVIDER_SUSPEND_KEY, minted.key_id).outcome, OUTCOME_OK);
    assert_false(file_has("store.tokens", minted.secret));
    struct seen listed = ask_of(provider, PROVIDER_INVENTORY, "");
    assert_int_equal(listed.items_count, 1);
    assert_int_equal(listed.suspended, 1);
    assert_int_equal(ask_of(provider, PROVIDER_RESUME_KEY, minted.key_id).outcome, OUTCOME_OK);
    assert_int_equal(ask_of(provider, PROVIDER_INVENTORY, "").suspended, 0);
    assert_true(file_has("store.tokens", minted.secret));
    assert_int_equal(ask_of(provider, PROVIDER_REVOKE_KEY, minted.key_id).outcome, OUTCOME_OK);
    assert_false(file_has("store", minted.secret));
    assert_int_equal(ask_of(provider, PROVIDER_REVOKE_KEY, minted.key_id).outcome, OUTCOME_GONE);
    assert_int_equal(ask_of(provider, PROVIDER_INVENTORY, "").items_count, 0);
    /* A store that cannot be read says nothing about what is not in it. */
    static const char *const broken[] = {"{\"keys\":[{\"id\":\"a\"", "{}"};
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        struct error err = ERROR_INIT;
        assert_true(durable_write(store, 0600, broken[i], strlen(broken[i]), &err));
        struct seen seen = ask_of(provider, PROVIDER_REVOKE_KEY, minted.key_id);
        if (seen.outcome != OUTCOME_UNKNOWN)
            fail_msg("%s: %s: %s", broken[i], outcome_name(seen.outcome), seen.error.text);
        check_error(seen.error, ERROR_IO, "failed (exit code 1)");
    }
    provider_free(provider);
}

static struct seen ask_xai(const struct script_step *steps, size_t count, enum provider_verb verb,
                           struct scripted_server **ret_server)
{
    char url[64];
    struct scripted_server *server = scripted_server_new(steps, count);
    snprintf(url, sizeof url, "http://127.0.0.1:%u", scripted_server_port(server));
    struct provider *provider = open_provider(example("provider-xai.py", "team-1"), PROVIDER_CAN_SUSPEND, url);
    struct seen seen = ask_of(provider, verb, "key/1");
    provider_free(provider);
    if (ret_server)
        *ret_server = server;
    else
        scripted_server_free(server);
    return seen;
}

static void test_the_python_example(void **state)
{
    (void)state;
    struct scripted_server *server;
    struct provider *provider;
    const struct script_step made = {script_answer("200", "", "{\"apiKeyId\":\"k-1\",\"apiKey\":\"xai-secret\",\"name\":\"n\"}"),
                                     SCRIPT_CLOSE, 0};
    struct seen seen = ask_xai(&made, 1, PROVIDER_MINT_KEY, &server);
    if (seen.outcome != OUTCOME_OK)
        fail_msg("%s", seen.error.text);
    assert_string_equal(seen.key_id, "k-1");
    assert_string_equal(seen.secret, "xai-secret");
    assert_non_null(strstr(scripted_server_request(server, 0), "POST /auth/teams/team-1/api-keys HTTP/1.1\r\n"));
    assert_non_null(strstr(scripted_server_request(server, 0), "Authorization: Bearer " ADMIN_KEY "\r\n"));
    assert_non_null(strstr(scripted_server_request(server, 0), "{\"name\": \"llmhook:h1:u1:mine:g1\""));
    scripted_server_free(server);

    const struct script_step pages[] = {
        {script_answer("200", "", "{\"apiKeys\":[{\"apiKeyId\":\"a\",\"name\":\"llmhook:h1:u1:mine:g1\",\"disabled\":true}],"
                                  "\"paginationToken\":\"t/2\"}"), SCRIPT_CLOSE, 0},
        {script_answer("200", "", "{\"apiKeys\":[{\"apiKeyId\":\"b\",\"name\":\"by hand\"}]}"), SCRIPT_CLOSE, 0}};
    seen = ask_xai(pages, 2, PROVIDER_INVENTORY, &server);
    assert_string_equal(seen.ids, "a llmhook:h1:u1:mine:g1,");
    assert_int_equal(seen.suspended, 1);
    assert_non_null(strstr(scripted_server_request(server, 1), "paginationToken=t%2F2"));
    scripted_server_free(server);

    const struct script_step done = {script_answer("200", "", "{}"), SCRIPT_CLOSE, 0};
    assert_int_equal(ask_xai(&done, 1, PROVIDER_REVOKE_KEY, &server).outcome, OUTCOME_OK);
    assert_non_null(strstr(scripted_server_request(server, 0), "DELETE /auth/api-keys/key%2F1 HTTP/1.1\r\n"));
    scripted_server_free(server);
    assert_int_equal(ask_xai(&done, 1, PROVIDER_SUSPEND_KEY, &server).outcome, OUTCOME_OK);
    assert_non_null(strstr(scripted_server_request(server, 0), "\"disabled\": true"));
    scripted_server_free(server);

    const struct {
        const char *status, *headers;
        enum provider_verb verb;
        enum outcome outcome;
    } failures[] = {
        {"401", "", PROVIDER_MINT_KEY, OUTCOME_UNAUTHORIZED},
        {"403", "", PROVIDER_MINT_KEY, OUTCOME_REFUSED},
        {"404", "", PROVIDER_REVOKE_KEY, OUTCOME_GONE},
        {"404", "", PROVIDER_SUSPEND_KEY, OUTCOME_GONE},
        {"404", "", PROVIDER_MINT_KEY, OUTCOME_REFUSED},
        {"404", "", PROVIDER_FIND_KEYS, OUTCOME_REFUSED},
        {"429", "Retry-After: 9\r\n", PROVIDER_MINT_KEY, OUTCOME_THROTTLED},
        {"500", "", PROVIDER_MINT_KEY, OUTCOME_UNKNOWN},
        {"500", "", PROVIDER_FIND_KEYS, OUTCOME_UNREACHABLE},
        {"302", "Location: http://127.0.0.1:1/\r\n", PROVIDER_MINT_KEY, OUTCOME_REFUSED},
    };
    for (size_t i = 0; i < sizeof failures / sizeof failures[0]; i++) {
        const struct script_step step = {script_answer(failures[i].status, failures[i].headers, "{}"), SCRIPT_CLOSE, 0};
        seen = ask_xai(&step, 1, failures[i].verb, NULL);
        if (seen.outcome != failures[i].outcome)
            fail_msg("%s is %s: %s", failures[i].status, outcome_name(seen.outcome), seen.error.text);
        if (failures[i].outcome == OUTCOME_THROTTLED)
            assert_int_equal(seen.retry_after_ms, 9000);
    }
    /* It says what xAI has not, before anything is made. */
    provider = open_provider(example("provider-xai.py", "team-1"), PROVIDER_CAN_LIMIT_KEY | PROVIDER_CAN_CHANGE_LIMIT,
                             "http://127.0.0.1:1");
    seen = ask_of(provider, PROVIDER_LIMIT_KEY, "key/1");
    assert_int_equal(seen.outcome, OUTCOME_UNSUPPORTED);
    check_error(seen.error, ERROR_INVALID, "xAI has no dollar limit per key");
    assert_int_equal(ask_of(provider, PROVIDER_MINT_KEY, "").outcome, OUTCOME_UNSUPPORTED);
    provider_free(provider);

    const struct script_step lost = {NULL, SCRIPT_CLOSE, 0};
    assert_int_equal(ask_xai(&lost, 1, PROVIDER_MINT_KEY, NULL).outcome, OUTCOME_UNKNOWN);
    provider = open_provider(example("provider-xai.py", "team-1"), 0, "http://127.0.0.1:1");
    assert_int_equal(ask_of(provider, PROVIDER_MINT_KEY, "").outcome, OUTCOME_UNREACHABLE);
    provider_free(provider);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_it_is_asked),     cmocka_unit_test(test_exit_codes),
        cmocka_unit_test(test_gone_is_said_of_keys_alone),
        cmocka_unit_test(test_a_number_that_cannot_be),
        cmocka_unit_test(test_a_limit_is_changed), cmocka_unit_test(test_what_is_counted_on_is_compared),
        cmocka_unit_test(test_anything_else_is_unknown), cmocka_unit_test(test_lists),
        cmocka_unit_test(test_closing_kills_it),     cmocka_unit_test(test_who_could_change_it),
        cmocka_unit_test(test_the_shell_example),    cmocka_unit_test(test_the_python_example),
    };
    struct error err = ERROR_INIT;
    signal(SIGPIPE, SIG_IGN);
    if (!mkdtemp(directory) || !secret_init(&err))
        return 1;
    loop = poll_loop_new();
    if (!loop || !http_new(poll_loop_base(loop), &http, &err))
        return 1;
    int failed = check_run(tests);
    http_free(http);
    poll_loop_free(loop);
    static const char *const files[] = {"program", "example", "store", "store.tokens", "store.lock"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", directory, files[i]);
        unlink(path);
    }
    rmdir(directory);
    return failed;
}
