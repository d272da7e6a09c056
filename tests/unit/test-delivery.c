/* The sequence against a scripted agent: what it sends, and what it makes of every answer. That the script itself
 * does what it says is shown with a real agent and real shells, in tests/agent/. */
#include "delivery-fixture.h"

#include "base/clock.h"
#include "qemu-guest-agent/agent.h"

#include <unistd.h>

#define PID "{\"return\":{\"pid\":321}}"
#define RUNNING "{\"return\":{\"exited\":false}}"
#define DISABLED "{\"error\":{\"class\":\"CommandNotFound\",\"desc\":\"Command guest-exec has been disabled\"}}"
#define DENIED(text) "{\"error\":{\"class\":\"GenericError\",\"desc\":\"" text "\"}}"
#define INFO(exec)                                                                               \
    "{\"return\":{\"version\":\"7.2.22\",\"supported_commands\":[{\"enabled\":true,\"name\":\"guest-ping\"}," \
    "{\"enabled\":" exec ",\"name\":\"guest-exec\"},{\"enabled\":" exec ",\"name\":\"guest-exec-status\"}]}}"

#define INFO_FILES                                                                               \
    "{\"return\":{\"supported_commands\":[{\"enabled\":false,\"name\":\"guest-exec\"}," \
    "{\"enabled\":true,\"name\":\"guest-file-open\"}]}}"
#define NO_BOX DENIED("failed to open file '/run/llmhook.box/in' (mode: 'r+'): No such file or directory")

/* What the scripted agent answers, in order; the last answer is given for ever. */
struct answer {
    const char *command; /* a piece of the command it answers */
    const char *reply;   /* NULL: the transport fails with... */
    enum error_code code;
};

struct agent {
    const struct answer *answers;
    size_t count, next;
    char last[AGENT_COMMAND_MAX]; /* the last guest-exec */
};

static bool scripted(void *context, const struct buffer *command, unsigned timeout_s, struct buffer *ret_reply,
                     struct error *err)
{
    struct agent *agent = context;
    const struct answer *answer = &agent->answers[agent->next];
    if (agent->next + 1 < agent->count)
        agent->next++;
    assert_in_range(timeout_s, 1, DELIVERY_DEADLINE_MS / 1000);
    assert_int_equal(ret_reply->maximum, AGENT_REPLY_MAX);
    if (!strstr(buffer_text(command), answer->command))
        fail_msg("the command is '%.60s', expected '%s'", buffer_text(command), answer->command);
    if (strstr(buffer_text(command), "\"guest-exec\""))
        memcpy(agent->last, buffer_text(command), command->length + 1);
    if (!answer->reply)
        return error_set(err, answer->code, "the transport says so");
    if (!buffer_append_text(ret_reply, answer->reply))
        return error_set(err, ERROR_LIMIT, "the answer is too long");
    return true;
}

static struct agent agent;

static struct delivery_result run(const struct answer *answers, size_t count, const struct delivery_entry *entries,
                                  size_t entry_count, const char *readers, unsigned deadline_ms)
{
    struct delivery_result result;
    agent = (struct agent){.answers = answers, .count = count};
    delivery_run_within(deadline_ms, scripted, &agent, entries, entry_count, 7, readers, &result);
    return result;
}

/* --- what an honest guest says --- */

static void add_list_of(struct buffer *text, const struct manifest *manifest, const char *env, const char *folder)
{
    assert_true(buffer_printf(text, "%s  %senv\n", env, folder));
    for (size_t i = 0; i < manifest->count; i++)
        assert_true(buffer_printf(text, "%s  %s%s\n", manifest->files[i].hash, folder, manifest->files[i].name));
}

static void add_list(struct buffer *text, const struct manifest *manifest, const char *folder)
{
    add_list_of(text, manifest, manifest->env, folder);
}

/* The script's output for the set, root's and two accounts' files. */
static void honest(struct buffer *text, const struct delivery_entry *entries, size_t count, const char *what)
{
    struct manifest manifest;
    struct error err = ERROR_INIT;
    char env[SECRET_FINGERPRINT_SIZE];
    assert_true(manifest_make(entries, count, NULL, &manifest, &err));
    assert_true(buffer_printf(text, "llmhook 1 %s humans 2 profile.d\n", what));
    add_list(text, &manifest, "");
    assert_true(manifest_copy_env(entries, count, 1000, env));
    add_list_of(text, &manifest, env, "users/1000/");
    assert_true(manifest_copy_env(entries, count, 1001, env));
    add_list_of(text, &manifest, env, "users/1001/");
}

static void append_base64(struct buffer *reply, const struct buffer *bytes)
{
    static const char *const none[] = {NULL};
    static const char mark[] = "\"input-data\":\"";
    cleanup_buffer struct buffer command = BUFFER_INIT(AGENT_COMMAND_MAX);
    assert_true(agent_build_exec(&command, "/x", none, none, bytes));
    const char *start = strstr(buffer_text(&command), mark) + sizeof mark - 1;
    assert_true(buffer_append(reply, start, (size_t)(strchr(start, '"') - start)));
}

static char *status_reply(int code, const char *out, const char *standard_error)
{
    cleanup_buffer struct buffer reply = BUFFER_INIT(1024 * 1024);
    cleanup_buffer struct buffer bytes = BUFFER_INIT(1024 * 1024);
    assert_true(buffer_printf(&reply, "{\"return\":{\"exited\":true,\"exitcode\":%d,\"out-data\":\"", code));
    assert_true(buffer_append_text(&bytes, out));
    append_base64(&reply, &bytes);
    assert_true(buffer_append_text(&reply, "\",\"err-data\":\""));
    buffer_clear(&bytes);
    assert_true(buffer_append_text(&bytes, standard_error));
    append_base64(&reply, &bytes);
    assert_true(buffer_append_text(&reply, "\"}}"));
    return strdup(buffer_text(&reply));
}

/* One delivery of KEY whose script ends so. */
static struct delivery_result run_ending(int code, const char *out, const char *standard_error)
{
    struct delivery_entry one = entry("OPENAI_API_KEY", KEY);
    char *reply = status_reply(code, out, standard_error);
    const struct answer answers[] = {
        {"\"guest-exec\"", PID, 0}, {"\"guest-exec-status\"", reply, 0}, {"(nothing more)", NULL, ERROR_IO}};
    struct delivery_result result = run(answers, 3, &one, 1, NULL, 5000);
    free(reply);
    release(&one, 1);
    return result;
}

/* --- tests --- */

static void an_honest_guest_is_proven(void **state)
{
    (void)state;
    struct delivery_entry one = entry("OPENAI_API_KEY", KEY);
    cleanup_buffer struct buffer out = BUFFER_INIT(65536);
    honest(&out, &one, 1, "written");
    char *ended = status_reply(0, buffer_text(&out), "");
    const struct answer answers[] = {{"\"guest-exec\"", PID, 0},
                                     {"\"guest-exec-status\",\"arguments\":{\"pid\":321}", RUNNING, 0},
                                     {"\"guest-exec-status\"", RUNNING, 0},
                                     {"\"guest-exec-status\"", ended, 0}};
    struct delivery_result result = run(answers, 4, &one, 1, NULL, 5000);
    assert_int_equal(result.outcome, DELIVERY_PROVEN);
    assert_string_equal(result.error.text, "");
    assert_true(result.written);
    assert_true(result.shell_start);
    assert_string_equal(result.shell_text, "/etc/profile.d/llmhook.sh");
    assert_int_equal(result.humans, 2);
    assert_int_equal(result.agent_calls, 4);
    free(ended);
    release(&one, 1);
}

static void the_secret_is_in_input_data_and_nowhere_else(void **state)
{
    (void)state;
    struct delivery_entry one = entry("OPENAI_API_KEY", KEY);
    const struct answer answers[] = {{"\"guest-exec\"", NULL, ERROR_IO}};
    run(answers, 1, &one, 1, "group:dev", 5000);
    const char *input = strstr(agent.last, "\"input-data\":\"");
    assert_non_null(input);
    assert_null(strstr(agent.last, KEY));
    cleanup_buffer struct buffer payload = BUFFER_INIT(1024), encoded = BUFFER_INIT(2048);
    assert_true(buffer_append_text(&payload, "verb=deliver readers=group:dev label=7\npaths=''\nset -- OPENAI_API_KEY '" KEY
                                             "'\nplain=\"\"\ncomplete=yes\n"));
    append_base64(&encoded, &payload);
    assert_int_equal(strncmp(input + 14, buffer_text(&encoded), encoded.length), 0);
    assert_string_equal(input + 14 + encoded.length, "\"}}");
    /* The agent logs this, so there is to be nothing in it. */
    assert_non_null(strstr(agent.last, "\"path\":\"/bin/sh\",\"arg\":[\"-c\",\"eval \\u0022$llmhook\\u0022\"],"));
    release(&one, 1);
}

static void five_keys_cost_as_many_calls_as_one(void **state)
{
    (void)state;
    struct delivery_entry five[] = {entry("E_KEY", "e"), entry("B_KEY", "b"), entry_of(DELIVERY_FILE, "D_KEY", "d"),
                                    entry("A_KEY", "a"), entry_of(DELIVERY_PLAIN, "C_URL", "c")};
    for (size_t count = 1; count <= 5; count += 4) {
        cleanup_buffer struct buffer out = BUFFER_INIT(65536);
        honest(&out, five, count, "written");
        char *ended = status_reply(0, buffer_text(&out), "");
        const struct answer answers[] = {{"\"guest-exec\"", PID, 0}, {"\"guest-exec-status\"", ended, 0}};
        struct delivery_result result = run(answers, 2, five, count, "humans", 5000);
        assert_int_equal(result.outcome, DELIVERY_PROVEN);
        assert_int_equal(result.agent_calls, 2);
        free(ended);
    }
    release(five, 5);
}

static void other_hashes_are_a_mismatch(void **state)
{
    (void)state;
    struct delivery_entry wanted = entry("OPENAI_API_KEY", KEY), other = entry("OPENAI_API_KEY", KEY "x");
    cleanup_buffer struct buffer out = BUFFER_INIT(65536);
    honest(&out, &other, 1, "written");
    struct delivery_result result = run_ending(0, buffer_text(&out), "");
    assert_int_equal(result.outcome, DELIVERY_MISMATCH);
    check_error(result.error, ERROR_PROTOCOL, "is not what was sent");
    assert_int_equal(result.agent_calls, 2);

    /* The same with one account's copy alone. */
    struct manifest right, wrong;
    buffer_clear(&out);
    assert_true(manifest_make(&wanted, 1, NULL, &right, NULL));
    assert_true(manifest_make(&other, 1, NULL, &wrong, NULL));
    assert_true(buffer_append_text(&out, "llmhook 1 written humans 1 profile.d\n"));
    add_list(&out, &right, "");
    add_list(&out, &wrong, "users/1000/");
    assert_int_equal(run_ending(0, buffer_text(&out), "").outcome, DELIVERY_MISMATCH);

    /* With the file of all variables alone; with other readers; with one file more. */
    const char *const heads[] = {"humans", "root", "humans"};
    char env[SECRET_FINGERPRINT_SIZE];
    memcpy(env, right.env, sizeof env);
    for (size_t i = 0; i < 3; i++) {
        buffer_clear(&out);
        memcpy(right.env, i == 0 ? wrong.env : env, sizeof env);
        assert_true(buffer_printf(&out, "llmhook 1 written %s 0 profile.d\n", heads[i]));
        add_list(&out, &right, "");
        if (i == 2)
            assert_true(buffer_printf(&out, "%s  ZZZ\n", right.env));
        assert_int_equal(run_ending(0, buffer_text(&out), "").outcome, DELIVERY_MISMATCH);
    }
    release(&wanted, 1);
    release(&other, 1);
}

static void a_wrong_claim_to_have_it_is_overwritten(void **state)
{
    (void)state;
    struct delivery_entry wanted = entry("OPENAI_API_KEY", KEY), other = entry("OPENAI_API_KEY", "other");
    cleanup_buffer struct buffer stale = BUFFER_INIT(65536), fresh = BUFFER_INIT(65536), again = BUFFER_INIT(65536);
    cleanup_buffer struct buffer payload = BUFFER_INIT(1024);
    honest(&stale, &other, 1, "unchanged");
    honest(&fresh, &wanted, 1, "written");
    /* Other hashes, or files that cannot be read. */
    char *first[] = {status_reply(0, buffer_text(&stale), ""),
                     status_reply(27, "llmhook 1 unchanged humans 2 profile.d\n", "sha256sum: env: No such file")};
    char *second = status_reply(0, buffer_text(&fresh), "");
    for (size_t i = 0; i < 2; i++) {
        const struct answer answers[] = {{"\"guest-exec\"", PID, 0},
                                         {"\"guest-exec-status\"", first[i], 0},
                                         {"\"guest-exec\"", PID, 0},
                                         {"\"guest-exec-status\"", second, 0}};
        struct delivery_result result = run(answers, 4, &wanted, 1, NULL, 5000);
        assert_int_equal(result.outcome, DELIVERY_PROVEN);
        assert_true(result.written);
        assert_int_equal(result.agent_calls, 4);
        buffer_clear(&payload);
        buffer_clear(&again);
        assert_true(buffer_append_text(&payload, "verb=forc")); /* a whole number of base64 groups */
        append_base64(&again, &payload);
        assert_non_null(strstr(agent.last, buffer_text(&again)));
        free(first[i]);
    }
    /* It is not tried for ever. */
    char *lie = status_reply(0, buffer_text(&stale), "");
    const struct answer liar[] = {{"\"guest-exec\"", PID, 0},
                                  {"\"guest-exec-status\"", lie, 0},
                                  {"\"guest-exec\"", PID, 0},
                                  {"\"guest-exec-status\"", lie, 0},
                                  {"(nothing more)", NULL, ERROR_IO}};
    assert_int_equal(run(liar, 5, &wanted, 1, NULL, 5000).outcome, DELIVERY_MISMATCH);
    free(lie);
    free(second);
    release(&wanted, 1);
    release(&other, 1);
}

static void unchanged_is_proven_too(void **state)
{
    (void)state;
    struct delivery_entry one = entry("OPENAI_API_KEY", KEY);
    cleanup_buffer struct buffer out = BUFFER_INIT(65536);
    honest(&out, &one, 1, "unchanged");
    struct delivery_result result = run_ending(0, buffer_text(&out), "");
    assert_int_equal(result.outcome, DELIVERY_PROVEN);
    assert_false(result.written);
    release(&one, 1);
}

static const struct {
    struct answer answers[7];
    enum delivery_outcome outcome;
    enum error_code code;
    const char *piece;
    unsigned calls;
} refusals[] = {
    {{{"\"guest-exec\"", DISABLED, 0},
      {"guest-fsfreeze-status", "{\"return\":\"thawed\"}", 0},
      {"guest-info", INFO("false"), 0},
      {"/run/llmhook.box/in\",\"mode\":\"r+\"", NO_BOX, 0},
      {"guest-info", INFO_FILES, 0}},
     DELIVERY_BLOCKED, ERROR_DENIED, "may not run guest-exec: in the guest, allow", 5},
    /* The box is there, and out of reach. */
    {{{"\"guest-exec\"", DISABLED, 0},
      {"guest-fsfreeze-status", "{\"return\":\"thawed\"}", 0},
      {"guest-info", INFO_FILES, 0},
      {"guest-file-open", DENIED("failed to open file '/run/llmhook.box/in' (mode: 'r+'): Permission denied"), 0},
      {"guest-info", INFO_FILES, 0}},
     DELIVERY_BLOCKED, ERROR_DENIED, "cannot open the drop box (the agent answered: failed to open file", 5},
    /* It goes away with the key half delivered. */
    {{{"\"guest-exec\"", DISABLED, 0},
      {"guest-fsfreeze-status", "{\"return\":\"thawed\"}", 0},
      {"guest-info", INFO_FILES, 0},
      {"guest-file-open", "{\"return\":1000}", 0},
      {"guest-file-", NULL, ERROR_LOST}},
     DELIVERY_NO_AGENT, ERROR_LOST, "the transport says so", 6},
    /* libvirt hands the agent's error over as its own. */
    {{{"\"guest-exec\"", NULL, ERROR_DENIED},
      {"guest-fsfreeze-status", "{\"return\":\"thawed\"}", 0},
      {"guest-info", INFO("false"), 0},
      {"guest-file-open", NULL, ERROR_DENIED},
      {"guest-info", INFO("false"), 0}},
     DELIVERY_BLOCKED, ERROR_DENIED, "may neither run programs nor write files: in the guest, allow guest-exec and "
     "guest-exec-status (RHEL, Fedora and kin: FILTER_RPC_ARGS, QEMU_GA_ARGS, BLOCK_RPCS", 5},
    /* guest-fsfreeze-status is blocked as well. */
    {{{"\"guest-exec\"", DISABLED, 0}, {"guest-fsfreeze-status", NULL, ERROR_DENIED}, {"guest-info", INFO("false"), 0},
      {"guest-file-open", NO_BOX, 0}, {"guest-info", INFO_FILES, 0}},
     DELIVERY_BLOCKED, ERROR_DENIED, "block-rpcs", 5},
    /* Only the second half is allowed. */
    {{{"\"guest-exec\"", PID, 0},
      {"\"guest-exec-status\"", DENIED("Command guest-exec-status has been disabled"), 0},
      {"guest-fsfreeze-status", "{\"return\":\"thawed\"}", 0},
      {"guest-info", INFO("false"), 0},
      {"guest-file-open", NO_BOX, 0},
      {"guest-info", INFO_FILES, 0}},
     DELIVERY_BLOCKED, ERROR_DENIED, "may not run guest-exec-status", 6},
    {{{"\"guest-exec\"", DENIED("Command guest-exec has been disabled: the agent is in frozen state"), 0},
      {"guest-fsfreeze-status", "{\"return\":\"frozen\"}", 0}},
     DELIVERY_FROZEN, ERROR_BUSY, "virsh domfsthaw", 2},
    {{{"\"guest-exec\"", DENIED("Failed to execute child process (No such file or directory)"), 0},
      {"guest-fsfreeze-status", "{\"return\":\"thawed\"}", 0},
      {"guest-info", INFO("true"), 0}},
     DELIVERY_UNSUPPORTED, ERROR_NOT_FOUND, "no /bin/sh", 3},
    {{{"\"guest-exec\"", DENIED("Failed to fork"), 0},
      {"guest-fsfreeze-status", "{\"return\":\"thawed\"}", 0},
      {"guest-info", INFO("true"), 0}},
     DELIVERY_FAILED, ERROR_DENIED, "the agent answered: Failed to fork", 3},
    /* The agent was restarted meanwhile and knows no such process. */
    {{{"\"guest-exec\"", PID, 0},
      {"\"guest-exec-status\"", DENIED("Invalid parameter 'pid'"), 0},
      {"guest-fsfreeze-status", "{\"return\":\"thawed\"}", 0},
      {"guest-info", INFO("true"), 0}},
     DELIVERY_FAILED, ERROR_DENIED, "Invalid parameter 'pid'", 4},
    /* Nobody answers anything: libvirt does not let us. */
    {{{"", NULL, ERROR_DENIED}}, DELIVERY_FAILED, ERROR_DENIED, "the transport says so", 3},
    {{{"\"guest-exec\"", NULL, ERROR_NOT_FOUND}}, DELIVERY_NO_AGENT, ERROR_NOT_FOUND, "the transport says so", 1},
    {{{"\"guest-exec\"", NULL, ERROR_LOST}}, DELIVERY_NO_AGENT, ERROR_LOST, "the transport says so", 1},
    {{{"\"guest-exec\"", NULL, ERROR_TIMEOUT}}, DELIVERY_TIMEOUT, ERROR_TIMEOUT, "the transport says so", 1},
    {{{"\"guest-exec\"", NULL, ERROR_BUSY}}, DELIVERY_FAILED, ERROR_BUSY, "the transport says so", 1},
    {{{"\"guest-exec\"", PID, 0}, {"\"guest-exec-status\"", NULL, ERROR_LOST}},
     DELIVERY_NO_AGENT, ERROR_LOST, "the transport says so", 2},
    {{{"\"guest-exec\"", DISABLED, 0}, {"guest-fsfreeze-status", NULL, ERROR_TIMEOUT}},
     DELIVERY_TIMEOUT, ERROR_TIMEOUT, "the transport says so", 2},
};

static void every_refusal_has_its_own_outcome(void **state)
{
    (void)state;
    struct delivery_entry one = entry("OPENAI_API_KEY", KEY);
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        size_t count = 0;
        while (count < 7 && refusals[i].answers[count].command)
            count++;
        struct delivery_result result = run(refusals[i].answers, count, &one, 1, NULL, 5000);
        if (result.outcome != refusals[i].outcome)
            fail_msg("row %zu: %s: %s", i, delivery_outcome_name(result.outcome), result.error.text);
        check_error(result.error, refusals[i].code, refusals[i].piece);
        assert_true(strlen(result.error.text) < sizeof result.error.text - 1); /* not cut */
        assert_int_equal(result.agent_calls, refusals[i].calls);
    }
    release(&one, 1);
}

static void hostile_answers_end_as_failures(void **state)
{
    (void)state;
    char *huge = malloc(AGENT_REPLY_MAX + 100);
    memset(huge, '[', AGENT_REPLY_MAX + 99);
    huge[AGENT_REPLY_MAX + 99] = '\0';
    const struct {
        struct answer answers[2];
        enum error_code code;
        const char *piece;
    } rows[] = {
        {{{"", huge, 0}}, ERROR_LIMIT, "too long"},
        {{{"", "{\"return\":{\"pid\":-1}}", 0}}, ERROR_PROTOCOL, "no process id"},
        {{{"", "{\"return\":\"321\"}", 0}}, ERROR_PROTOCOL, "not an object"},
        {{{"", "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", 0}}, ERROR_PROTOCOL, "not JSON"},
        {{{"", "\xff\xff", 0}}, ERROR_PROTOCOL, "not JSON"},
        {{{"", "", 0}}, ERROR_PROTOCOL, "not JSON"},
        {{{"guest-exec", PID, 0}, {"status", huge, 0}}, ERROR_LIMIT, "too long"},
        {{{"guest-exec", PID, 0}, {"status", "{\"return\":{\"exited\":7}}", 0}}, ERROR_PROTOCOL, "'exited'"},
        {{{"guest-exec", PID, 0}, {"status", "{\"return\":{\"exited\":true,\"exitcode\":0,\"out-data\":\"*\"}}", 0}},
         ERROR_PROTOCOL, "base64"},
        {{{"guest-exec", PID, 0}, {"status", "{\"return\":{\"exited\":true,\"exitcode\":0}}", 0}},
         ERROR_PROTOCOL, "first line"},
        {{{"guest-exec", PID, 0}, {"status", "{\"return\":{\"exited\":true,\"signal\":11}}", 0}},
         ERROR_IO, "killed by signal 11"},
    };
    struct delivery_entry one = entry("OPENAI_API_KEY", KEY);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct delivery_result result = run(rows[i].answers, rows[i].answers[1].command ? 2 : 1, &one, 1, NULL, 5000);
        assert_int_equal(result.outcome, DELIVERY_FAILED);
        check_error(result.error, rows[i].code, rows[i].piece);
    }
    release(&one, 1);
    free(huge);
}

static void output_is_read_strictly(void **state)
{
    (void)state;
#define HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    static const struct {
        const char *out, *piece;
    } rows[] = {
        {"", "first line"},
        {"hello\n", "first line"},
        {"llmhook 2 written humans 0 profile.d\n" HASH "  env\n", "first line"},
        {"llmhook 1 eaten humans 0 profile.d\n" HASH "  env\n", "first line"},
        {"llmhook 1 written humans -1 profile.d\n" HASH "  env\n", "first line"},
        {"llmhook 1 written humans 01 profile.d\n" HASH "  env\n", "first line"},
        {"llmhook 1 written humans 300 profile.d\n" HASH "  env\n", "first line"},
        {"llmhook 1 written humans 99999999999999999999 profile.d\n", "first line"},
        {"llmhook 1 written  0 profile.d\n" HASH "  env\n", "first line"},
        {"llmhook 1 written humans 0 profile.d+a-word-that-is-as-long-as-none-that-any-script-of-ours-would-say\n" HASH "  env\n",
         "first line"},
        {"llmhook 1 written humans 0 profile.d", "first line"},
        {"llmhook 1 written martians 0 profile.d\n" HASH "  env\n", "list of files"},
        {"llmhook 1 written humans 0 profile.d\n", "list of files"},
        {"llmhook 1 written humans 0 profile.d\n" HASH "  env", "list of files"},
        {"llmhook 1 written humans 0 profile.d\n" HASH " env\n", "list of files"},
        {"llmhook 1 written humans 0 profile.d\n" HASH "0  env\n", "list of files"},
        {"llmhook 1 written humans 0 profile.d\n" HASH "  generation\n", "list of files"},
        {"llmhook 1 written humans 0 profile.d\n" HASH "  env\n" HASH "  ../x\n", "list of files"},
        {"llmhook 1 written humans 0 profile.d\n" HASH "  env\n" HASH "  B\n" HASH "  A\n", "list of files"},
        {"llmhook 1 written humans 0 profile.d\n" HASH "  env\n" HASH "  A\n" HASH "  A\n", "list of files"},
        {"llmhook 1 written humans 0 profile.d\n" HASH "  env\n" HASH "  A\nmore\n", "list of files"},
        {"llmhook 1 written humans 0 profile.d\n" HASH "  env\n" HASH "  A\n" HASH "  users/1/env\n", "list of files"},
        {"llmhook 1 written humans 1 profile.d\n" HASH "  env\n" HASH "  A\n", "list of files"},
        {"llmhook 1 written humans 1 profile.d\n" HASH "  env\n" HASH "  A\n" HASH "  users/1/env\n", "list of files"},
        {"llmhook 1 written humans 1 profile.d\n" HASH "  env\n" HASH "  A\n" HASH "  users/1/env\n" HASH
         "  users/2/A\n", "list of files"},
        {"llmhook 1 written humans 1 profile.d\n" HASH "  env\n" HASH "  A\n" HASH "  users/x/env\n" HASH
         "  users/x/A\n", "list of files"},
        {"llmhook 1 written humans 2 profile.d\n" HASH "  env\n" HASH "  A\n" HASH "  users/1/env\n" HASH
         "  users/1/A\n" HASH "  users/1/env\n" HASH "  users/1/A\n", "list of files"},
        {"llmhook 1 withdrawn - 0 -\nmore\n", "more than it should"},
        {"llmhook 1 withdrawn - 0 -\n", "something else"},
        {"llmhook 1 present humans 0 -\n" HASH "  env\n", "something else"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct delivery_result result = run_ending(0, rows[i].out, "");
        if (result.outcome != DELIVERY_FAILED)
            fail_msg("row %zu: %s", i, delivery_outcome_name(result.outcome));
        check_error(result.error, ERROR_PROTOCOL, rows[i].piece);
    }
    /* More files than a set may have. */
    cleanup_buffer struct buffer out = BUFFER_INIT(65536);
    assert_true(buffer_append_text(&out, "llmhook 1 written humans 0 profile.d\n" HASH "  env\n"));
    for (int i = 0; i < DELIVERY_ENTRIES_MAX + 1; i++)
        assert_true(buffer_printf(&out, HASH "  K%03d\n", i));
    check_error(run_ending(0, buffer_text(&out), "").error, ERROR_PROTOCOL, "list of files");
}

static void every_exit_code_says_what_to_do(void **state)
{
    (void)state;
    static const struct {
        int code;
        enum delivery_outcome outcome;
        enum error_code error;
        const char *piece;
    } rows[] = {
        {1, DELIVERY_FAILED, ERROR_IO, "ended with code 1"},
        {20, DELIVERY_FAILED, ERROR_IO, "arrived incomplete"},
        {21, DELIVERY_FAILED, ERROR_EXISTS, "/run/llmhook of its own"},
        {22, DELIVERY_FAILED, ERROR_LIMIT, "name a group of readers"},
        {23, DELIVERY_FAILED, ERROR_IO, "make a folder"},
        {24, DELIVERY_FAILED, ERROR_IO, "write a file"},
        {25, DELIVERY_FAILED, ERROR_IO, "owner and mode; where SELinux"},
        {26, DELIVERY_FAILED, ERROR_NOT_FOUND, "does not know the group"},
        {27, DELIVERY_FAILED, ERROR_IO, "could not read all of what it has"},
        {28, DELIVERY_FAILED, ERROR_IO, "set the link /run/llmhook; where SELinux"},
        {29, DELIVERY_FAILED, ERROR_IO, "remove earlier keys"},
        {30, DELIVERY_UNSUPPORTED, ERROR_NOT_FOUND, "no printf"},
        {31, DELIVERY_UNSUPPORTED, ERROR_NOT_FOUND, "no sha256sum"},
        {32, DELIVERY_UNSUPPORTED, ERROR_NOT_FOUND, "no sed"},
        {33, DELIVERY_UNSUPPORTED, ERROR_NOT_FOUND, "no /proc"},
        {34, DELIVERY_UNSUPPORTED, ERROR_NOT_FOUND, "mount a tmpfs"},
        {40, DELIVERY_FAILED, ERROR_BUSY, "still running"},
        {127, DELIVERY_FAILED, ERROR_IO, "ended with code 127"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct delivery_result result = run_ending(rows[i].code, "", "sh: 1: oops\n");
        assert_int_equal(result.outcome, rows[i].outcome);
        check_error(result.error, rows[i].error, rows[i].piece);
        check_error(result.error, rows[i].error, "(sh: 1: oops)");
    }
    assert_null(strchr(run_ending(24, "", "").error.text, '('));
}

static void a_key_in_a_guests_words_is_not_shown(void **state)
{
    (void)state;
    struct delivery_result result = run_ending(1, "", "sh: OPENAI_API_KEY='" KEY "': not found\n");
    assert_null(strstr(result.error.text, "AbCdEfGh"));
    check_error(result.error, ERROR_IO, "(withheld)");
    assert_true(strlen(result.error.text) < 200);
}

/* libvirt quotes what it does not understand. */
static bool quoting(void *context, const struct buffer *command, unsigned timeout_s, struct buffer *reply, struct error *err)
{
    (void)context, (void)command, (void)timeout_s, (void)reply;
    return error_set(err, ERROR_LOST, "Unknown JSON reply '{\x1b[31m \"" KEY "\"\n:1}'");
}

static void a_key_that_libvirt_quotes_is_not_shown(void **state)
{
    (void)state;
    struct delivery_entry one = entry("OPENAI_API_KEY", KEY);
    struct delivery_result result;
    delivery_run_within(5000, quoting, NULL, &one, 1, 7, NULL, &result);
    assert_int_equal(result.outcome, DELIVERY_NO_AGENT);
    assert_int_equal(result.error.code, ERROR_LOST);
    assert_string_equal(result.error.text, "Unknown JSON reply '{ [31m \"(withheld) :1}'");
    release(&one, 1);
}

static void a_script_that_never_ends_times_out(void **state)
{
    (void)state;
    struct delivery_entry one = entry("OPENAI_API_KEY", KEY);
    const struct answer answers[] = {{"\"guest-exec\"", PID, 0}, {"\"guest-exec-status\"", RUNNING, 0}};
    int64_t start = clock_monotonic_ms();
    struct delivery_result result = run(answers, 2, &one, 1, NULL, 300);
    int64_t took = clock_monotonic_ms() - start;
    assert_int_equal(result.outcome, DELIVERY_TIMEOUT);
    check_error(result.error, ERROR_TIMEOUT, "did not finish");
    assert_in_range(took, 300, 2000);
    /* Waits grow: every 6 ms it would be fifty. */
    assert_in_range(result.agent_calls, 4, 25);
    release(&one, 1);
}

static void what_cannot_be_delivered_is_not_sent(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value, *readers, *piece;
    } rows[] = {
        {"", "v", NULL, "name of variable 1"},
        {"1A", "v", NULL, "name of variable 1"},
        {"openai", "v", NULL, "name of variable 1"},
        {"A B", "v", NULL, "name of variable 1"},
        {"A=", "v", NULL, "name of variable 1"},
        {"A\n", "v", NULL, "name of variable 1"},
        {"../A", "v", NULL, "name of variable 1"},
        {"A", "", NULL, "value for A"},
        {"A", "a'b", NULL, "value for A"},
        {"A", "a\"b", NULL, "value for A"},
        {"A", "a`b", NULL, "value for A"},
        {"A", "a\\b", NULL, "value for A"},
        {"A", "a b", NULL, "value for A"},
        {"A", "a\nb", NULL, "value for A"},
        {"A", "a\tb", NULL, "value for A"},
        {"A", "a\x7f", NULL, "value for A"},
        {"A", "a\xc3\xa9", NULL, "value for A"},
        {"A", "v", "Humans", "readers must be"},
        {"A", "v", "group:", "readers must be"},
        {"A", "v", "group:-x", "readers must be"},
        {"A", "v", "group:a;id", "readers must be"},
        {"A", "v", "group:a b", "readers must be"},
        {"A", "v", "group:a23456789a123456789a123456789a1234", "readers must be"},
    };
    static const struct answer answers[] = {{"(nothing)", NULL, ERROR_IO}};
    char fingerprint[DELIVERY_FINGERPRINT_SIZE];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct delivery_entry one = entry(rows[i].name, rows[i].value);
        struct delivery_result result = run(answers, 1, &one, 1, rows[i].readers, 5000);
        assert_int_equal(result.outcome, DELIVERY_FAILED);
        check_error(result.error, ERROR_INVALID, rows[i].piece);
        assert_int_equal(result.agent_calls, 0);
        delivery_fingerprint(&one, 1, rows[i].readers, fingerprint);
        assert_string_equal(fingerprint, "");
        release(&one, 1);
    }
    struct delivery_entry twice[] = {entry("A", "v"), entry("B", "w"), entry("A", "x")};
    check_error(run(answers, 1, twice, 3, NULL, 5000).error, ERROR_INVALID, "two keys are to be in the variable A");
    release(twice, 3);
    struct delivery_entry many[DELIVERY_ENTRIES_MAX + 1];
    for (int i = 0; i < DELIVERY_ENTRIES_MAX + 1; i++) {
        char name[8];
        snprintf(name, sizeof name, "K%d", i);
        many[i] = entry(name, "v");
    }
    check_error(run(answers, 1, many, DELIVERY_ENTRIES_MAX + 1, NULL, 5000).error, ERROR_INVALID, "at most 64 variables");
    release(many, DELIVERY_ENTRIES_MAX + 1);
}

static bool probe_says(const char *out, struct delivery_found *found, struct delivery_result *result)
{
    char *ended = status_reply(0, out, "");
    const struct answer answers[] = {{"\"guest-exec\"", PID, 0}, {"\"guest-exec-status\"", ended, 0}};
    agent = (struct agent){.answers = answers, .count = 2};
    bool told = delivery_probe(scripted, &agent, found, result);
    free(ended);
    return told;
}

static void a_probe_finds_the_same_fingerprint(void **state)
{
    (void)state;
    struct delivery_entry two[] = {entry("OPENAI_API_KEY", KEY), entry("ANTHROPIC_API_KEY", "other")};
    cleanup_buffer struct buffer out = BUFFER_INIT(65536);
    char wanted[DELIVERY_FINGERPRINT_SIZE];
    static struct delivery_found found;
    struct delivery_result result;
    honest(&out, two, 2, "present");
    delivery_fingerprint(two, 2, NULL, wanted);
    assert_true(probe_says(buffer_text(&out), &found, &result));
    assert_string_equal(found.fingerprint, wanted);
    assert_true(delivery_found_is(&found, two, 2, NULL));
    assert_false(delivery_found_is(&found, two, 1, NULL));
    assert_false(delivery_found_is(&found, two, 2, "root"));
    assert_false(delivery_found_is(&found, NULL, 0, NULL));
    assert_int_equal(result.outcome, DELIVERY_PROVEN);
    assert_non_null(strstr(agent.last, "\"input-data\":\"\"}}"));

    assert_true(probe_says("llmhook 1 absent - 0 -\n", &found, &result));
    assert_string_equal(found.fingerprint, "");
    assert_true(delivery_found_is(&found, NULL, 0, NULL));
    assert_false(delivery_found_is(&found, two, 2, NULL));

    /* One account's file of all variables is another's; then its copy of a key. */
    char *env = strstr(buffer_text(&out), "  users/1001/env");
    env[-1] = env[-1] == '0' ? '1' : '0';
    assert_true(probe_says(buffer_text(&out), &found, &result));
    assert_false(delivery_found_is(&found, two, 2, NULL));
    char *last = strstr(buffer_text(&out), "  users/1001/OPENAI_API_KEY");
    last[-1] = last[-1] == '0' ? '1' : '0';
    assert_false(probe_says(buffer_text(&out), &found, &result));
    assert_string_equal(found.fingerprint, "");
    assert_int_equal(result.outcome, DELIVERY_MISMATCH);
    check_error(result.error, ERROR_PROTOCOL, "differ from those of its root");

    assert_false(probe_says("llmhook 1 withdrawn - 0 -\n", &found, &result));
    assert_int_equal(result.outcome, DELIVERY_FAILED);
    release(two, 2);
}

static void anothers_paths_are_a_mismatch(void **state)
{
    (void)state;
    struct delivery_entry set[] = {entry_of(DELIVERY_PLAIN, "A_BASE_URL", "https://10.0.0.1:4000/v1"),
                                   entry_of(DELIVERY_FILE, "C_TOKEN_FILE", "token\n"), entry("B_API_KEY", KEY)};
    cleanup_buffer struct buffer out = BUFFER_INIT(65536);
    char hash[SECRET_FINGERPRINT_SIZE];
    assert_true(manifest_copy_env(set, 3, 1000, hash));
    honest(&out, set, 3, "written");
    char *ended = status_reply(0, buffer_text(&out), "");
    const struct answer answers[] = {{"\"guest-exec\"", PID, 0}, {"\"guest-exec-status\"", ended, 0}};
    assert_int_equal(run(answers, 2, set, 3, NULL, 5000).outcome, DELIVERY_PROVEN);
    free(ended);
    char *env = strstr(buffer_text(&out), "  users/1001/env") - 64;
    memcpy(env, hash, 64);
    ended = status_reply(0, buffer_text(&out), "");
    const struct answer mistaken[] = {{"\"guest-exec\"", PID, 0}, {"\"guest-exec-status\"", ended, 0}};
    assert_int_equal(run(mistaken, 2, set, 3, NULL, 5000).outcome, DELIVERY_MISMATCH);
    free(ended);
    release(set, 3);
}

static void no_entries_withdraw(void **state)
{
    (void)state;
    static const struct {
        const char *out;
        enum delivery_outcome outcome;
        bool written;
    } rows[] = {
        {"llmhook 1 withdrawn - 0 -\n", DELIVERY_PROVEN, true},
        {"llmhook 1 absent - 0 -\n", DELIVERY_PROVEN, false},
        {"llmhook 1 written humans 0 profile.d\n" HASH "  env\n", DELIVERY_FAILED, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *ended = status_reply(0, rows[i].out, "");
        const struct answer answers[] = {{"\"guest-exec\"", PID, 0}, {"\"guest-exec-status\"", ended, 0}};
        struct delivery_result result = run(answers, 2, NULL, 0, NULL, 5000);
        assert_int_equal(result.outcome, rows[i].outcome);
        assert_int_equal(result.written, rows[i].written);
        free(ended);
    }
}

static void shells_that_are_not_hooked_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *word, *piece;
        bool hooked;
    } rows[] = {
        {"profile.d", "/etc/profile.d/llmhook.sh", true}, {"profile.local", "/etc/profile.local", true},
        {"profile", "/etc/profile", true},                {"foreign", "is somebody else's", false},
        {"failed", "/etc cannot be written", false},      {"surprise", "", false},
    };
    struct delivery_entry one = entry("OPENAI_API_KEY", KEY);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct manifest manifest;
        cleanup_buffer struct buffer out = BUFFER_INIT(4096);
        assert_true(manifest_make(&one, 1, NULL, &manifest, NULL));
        assert_true(buffer_printf(&out, "llmhook 1 written humans 0 %s%s\n", rows[i].word, i % 2 ? "+zsh+nosuch+units" : ""));
        add_list(&out, &manifest, "");
        struct delivery_result result = run_ending(0, buffer_text(&out), "");
        assert_int_equal(result.outcome, DELIVERY_PROVEN);
        assert_int_equal(result.shell_start, rows[i].hooked);
        assert_non_null(strstr(result.shell_text, rows[i].piece));
        assert_string_equal(result.hooks, i % 2 ? "zsh, user services" : "");
    }
    release(&one, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_honest_guest_is_proven),
        cmocka_unit_test(the_secret_is_in_input_data_and_nowhere_else),
        cmocka_unit_test(five_keys_cost_as_many_calls_as_one),
        cmocka_unit_test(other_hashes_are_a_mismatch),
        cmocka_unit_test(a_wrong_claim_to_have_it_is_overwritten),
        cmocka_unit_test(unchanged_is_proven_too),
        cmocka_unit_test(every_refusal_has_its_own_outcome),
        cmocka_unit_test(hostile_answers_end_as_failures),
        cmocka_unit_test(output_is_read_strictly),
        cmocka_unit_test(every_exit_code_says_what_to_do),
        cmocka_unit_test(a_key_in_a_guests_words_is_not_shown),
        cmocka_unit_test(a_key_that_libvirt_quotes_is_not_shown),
        cmocka_unit_test(a_script_that_never_ends_times_out),
        cmocka_unit_test(what_cannot_be_delivered_is_not_sent),
        cmocka_unit_test(a_probe_finds_the_same_fingerprint),
        cmocka_unit_test(anothers_paths_are_a_mismatch),
        cmocka_unit_test(no_entries_withdraw),
        cmocka_unit_test(shells_that_are_not_hooked_are_told),
    };
    return check_run_within(tests, start, NULL);
}
