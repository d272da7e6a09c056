/* A delivery, a withdrawal or a look, with a guest that answers whatever the input says.
 *
 * The input: a letter (r deliver, w withdraw, p probe), a digit (how many keys), then the guest's answers, one a part:
 *   !t !l !n !d !o       the transport fails: timeout, lost, not found, denied, something else
 *   =CODE OUTPUT         guest-exec-status of a script that has ended so, OUTPUT up to a '|', behind it standard error
 *   @WORD HUMANS         what an honest guest says that has these keys: written, unchanged, present...; with a '!' behind
 *                        it, one whose file of all variables is another
 *                        Where a file is read, both are what is in the drop box.
 *   #                    guest-file-write of a guest that took all of it
 *   anything else        the answer itself
 * Behind the last one the agent is lost. */
#include "fuzz.h"

#include "base/buffer.h"
#include "base/secret.h"
#include "qemu-guest-agent/agent.h"
#include "qemu-guest-agent/delivery.h"
#include "qemu-guest-agent/manifest.h"

#include <time.h>

#define KEY "sk-proj-0123456789abcdefghijKEY"
enum { KEYS_MAX = 3, CALLS_MAX = 4096, DEADLINE_MS = 5000 };

/* Nobody waits for a guest that is not there. */
int nanosleep(const struct timespec *wanted, struct timespec *left)
{
    (void)wanted, (void)left;
    return 0;
}

struct guest {
    struct fuzz_input answers;
    const struct manifest *manifest; /* NULL: no keys are to be there */
    const struct delivery_entry *entries;
    size_t count;
    bool proved;                     /* some answer held the hash of all variables, or said that there are none any more */
    unsigned calls;
    size_t put;     /* bytes that were written into the drop box last */
    char nonce[64]; /* of what was put into the drop box last */
    bool reading;   /* the answer is to a guest-file-read */
};

/* The agent's own base64, by way of a command that carries it. */
static void put_base64(struct buffer *reply, const char *bytes, size_t length)
{
    static const char mark[] = "\"input-data\":\"";
    static const char *const none[] = {NULL};
    struct buffer plain = BUFFER_INIT(AGENT_REPLY_MAX), command = BUFFER_INIT(AGENT_COMMAND_MAX);
    must(buffer_append(&plain, bytes, length) && agent_build_exec(&command, "/x", none, none, &plain));
    const char *encoded = strstr(buffer_text(&command), mark) + sizeof mark - 1;
    must(buffer_append(reply, encoded, strcspn(encoded, "\"")) || reply->length);
    buffer_clear(&plain);
    buffer_clear(&command);
}

/* The nonce in what is written into the drop box, by way of an answer that carries it. */
static void note_nonce(struct guest *guest, const char *command)
{
    const char *data = strstr(command, "\"buf-b64\":\"");
    struct buffer reply = BUFFER_INIT(AGENT_COMMAND_MAX), text = BUFFER_INIT(AGENT_COMMAND_MAX);
    struct error err = ERROR_INIT;
    bool end;
    if (!data)
        return;
    data += strlen("\"buf-b64\":\"");
    must(buffer_printf(&reply, "{\"return\":{\"eof\":true,\"buf-b64\":\"%.*s\"}}", (int)strcspn(data, "\""), data));
    must_succeed(agent_parse_file_read(&reply, &text, &end, &err), err);
    guest->put = text.length;
    must(sscanf(buffer_text(&text), "llmhook-box-1 %63s ", guest->nonce) == 1);
    buffer_clear(&reply);
    buffer_clear(&text);
}

static void put_box(const struct guest *guest, struct buffer *reply, long code, const char *out, size_t out_length,
                    const char *err, size_t err_length)
{
    struct buffer text = BUFFER_INIT(AGENT_REPLY_MAX);
    must(buffer_printf(&text, "llmhook-box-1 %s %ld %zu\n", guest->nonce, code, out_length));
    buffer_append(&text, out, out_length);
    buffer_append(&text, err, err_length);
    must(buffer_append_text(reply, "{\"return\":{\"eof\":true,\"buf-b64\":\""));
    put_base64(reply, text.data, text.length);
    buffer_append_text(reply, "\"}}");
    buffer_clear(&text);
}

static void put_end(const struct guest *guest, struct buffer *reply, long code, const char *out, size_t out_length,
                    const char *err, size_t err_length)
{
    if (guest->reading) {
        put_box(guest, reply, code, out, out_length, err, err_length);
        return;
    }
    must(buffer_printf(reply, "{\"return\":{\"exited\":true,\"exitcode\":%ld,\"out-data\":\"", code));
    put_base64(reply, out, out_length);
    buffer_append_text(reply, "\",\"err-data\":\"");
    put_base64(reply, err, err_length);
    buffer_append_text(reply, "\"}}");
}

static void put_list(struct buffer *text, const struct manifest *manifest, const char *env, const char *folder)
{
    must(buffer_printf(text, "%s  %senv\n", env, folder));
    for (size_t i = 0; i < manifest->count; i++)
        must(buffer_printf(text, "%s  %s%s\n", manifest->files[i].hash, folder, manifest->files[i].name));
}

/* Whether a script that ended with CODE and said OUT has withdrawn all, or found nothing to withdraw. */
static bool says_gone(long code, const char *out)
{
    static const char withdrawn[] = "llmhook 1 withdrawn ", absent[] = "llmhook 1 absent ";
    return code == 0 && (!strncmp(out, withdrawn, sizeof withdrawn - 1) || !strncmp(out, absent, sizeof absent - 1));
}

/* With keys to be there, nobody guesses a hash in base64; that there are none may be said without any help. */
static void note_gone(struct guest *guest, const struct buffer *reply)
{
    cleanup_agent_status struct agent_status status = AGENT_STATUS_INIT;
    struct error err = ERROR_INIT;
    if (!guest->manifest && agent_parse_exec_status(reply, &status, &err) && status.exited && !status.signalled)
        guest->proved = guest->proved || says_gone(status.code, buffer_text(&status.out));
}

static void put_honest(struct guest *guest, const char *part, size_t length, struct buffer *reply)
{
    char *words = fuzz_text(part, length), *humans = strchr(words, ' ');
    long count = humans ? strtol(humans, NULL, 10) % 4 : 0;
    struct buffer text = BUFFER_INIT(AGENT_REPLY_MAX / 2);
    if (humans)
        *humans = '\0';
    must(buffer_printf(&text, "llmhook 1 %.20s %s %ld profile.d\n", words,
                       guest->manifest ? guest->manifest->readers : "humans", count < 0 ? 0 : count));
    bool none = strcmp(words, "withdrawn") == 0 || strcmp(words, "absent") == 0;
    if (guest->manifest && !none)
        put_list(&text, guest->manifest, guest->manifest->env, "");
    for (long i = 0; guest->manifest && !none && i < count; i++) {
        char folder[32];
        char env[SECRET_FINGERPRINT_SIZE];
        snprintf(folder, sizeof folder, "users/%ld/", 1000 + i);
        must(manifest_copy_env(guest->entries, guest->count, (uint32_t)(1000 + i), env));
        put_list(&text, guest->manifest, env, folder);
    }
    char *env = guest->manifest ? strstr(buffer_text(&text), guest->manifest->env) : NULL;
    bool lies = env && memchr(part, '!', length);
    for (; lies && env; env = strstr(env, guest->manifest->env))
        memset(env, '0', 64);
    guest->proved = guest->proved || (guest->manifest ? !none && !lies : none);
    put_end(guest, reply, 0, text.data, text.length, "", 0);
    buffer_clear(&text);
    free(words);
}

static void put_script(struct guest *guest, const char *part, size_t length, struct buffer *reply)
{
    char *text = fuzz_text(part, length);
    size_t head = strcspn(text, " ");
    const char *out = text + head + (text[head] == ' '), *err = strchrnul(out, '|');
    long code = labs(strtol(text, NULL, 10)) % 300;
    if (guest->manifest ? strstr(out, guest->manifest->env) != NULL : says_gone(code, out))
        guest->proved = true;
    put_end(guest, reply, code, out, (size_t)(err - out), *err ? err + 1 : err, *err ? strlen(err + 1) : 0);
    free(text);
}

static bool fails(char letter, struct error *err)
{
    static const struct {
        char letter;
        enum error_code code;
    } ways[] = {{'t', ERROR_TIMEOUT}, {'l', ERROR_LOST}, {'n', ERROR_NOT_FOUND}, {'d', ERROR_DENIED}, {'o', ERROR_IO}};
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
        if (ways[i].letter == letter)
            return error_set(err, ways[i].code, "the transport says so");
    return error_set(err, ERROR_LIMIT, "the answer is too long");
}

static bool answer(void *context, const struct buffer *command, unsigned timeout_s, struct buffer *ret_reply, struct error *err)
{
    struct guest *guest = context;
    const char *part;
    size_t length;
    must(timeout_s >= 1 && timeout_s <= DELIVERY_DEADLINE_MS / 1000);
    must(!strstr(buffer_text(command), KEY));
    must(++guest->calls <= CALLS_MAX);
    note_nonce(guest, buffer_text(command));
    guest->reading = strstr(buffer_text(command), "\"guest-file-read\"");
    if (!fuzz_next(&guest->answers, &part, &length))
        return error_set(err, ERROR_LOST, "the agent went away");
    if (length > 1 && part[0] == '!')
        return fails(part[1], err);
    if (length && part[0] == '@')
        put_honest(guest, part + 1, length - 1, ret_reply);
    else if (length && part[0] == '=')
        put_script(guest, part + 1, length - 1, ret_reply);
    else if (length && part[0] == '#')
        must(buffer_printf(ret_reply, "{\"return\":{\"count\":%zu,\"eof\":false}}", guest->put));
    else if (!buffer_append(ret_reply, part, length))
        return error_set(err, ERROR_LIMIT, "the answer is too long");
    else
        note_gone(guest, ret_reply);
    return true;
}

static void check_result(const struct delivery_result *result)
{
    must(strcmp(delivery_outcome_name(result->outcome), "unknown") != 0);
    fuzz_check_error(&result->error);
    must((result->outcome == DELIVERY_PROVEN) == !result->error.text[0]);
    must(memchr(result->shell_text, '\0', sizeof result->shell_text));
    must(!strstr(result->error.text, KEY) && !strstr(result->shell_text, KEY));
    must(result->humans <= DELIVERY_HUMANS_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct delivery_entry entries[KEYS_MAX];
    struct error err = ERROR_INIT;
    static struct delivery_found found;
    struct guest guest = {.answers = fuzz_input(data, size)};
    struct manifest manifest;
    struct delivery_result result;
    for (size_t i = 0; i < KEYS_MAX && !entries[i].secret; i++) {
        must_succeed(secret_init(&err), err);
        snprintf(entries[i].environment, sizeof entries[i].environment, "KEY_%zu", i);
        entries[i].secret = secret_new(KEY, sizeof KEY - 1);
        entries[i].kind = i == 1 ? DELIVERY_FILE : i == 2 ? DELIVERY_PLAIN : DELIVERY_VALUE;
        entries[i].text = "https://10.0.0.1:4000/v1";
    }
    unsigned char what = fuzz_byte(&guest.answers);
    size_t count = 1 + fuzz_byte(&guest.answers) % KEYS_MAX;
    const char *readers = count == 2 ? "group:dev" : NULL;
    must_succeed(manifest_make(entries, count, readers, &manifest, &err), err);
    guest.entries = entries;
    guest.count = count;
    if (what == 'p') {
        guest.manifest = &manifest;
        bool told = delivery_probe(answer, &guest, &found, &result);
        must(told == (result.outcome == DELIVERY_PROVEN));
        must(found.copies_count <= DELIVERY_HUMANS_MAX);
        must(!found.fingerprint[0] || (told && strlen(found.fingerprint) == 64));
        must(!delivery_found_is(&found, entries, count, readers) || guest.proved);
        must(delivery_found_is(&found, NULL, 0, readers) == !found.fingerprint[0]);
    } else {
        guest.manifest = what == 'w' ? NULL : &manifest;
        delivery_run_within(DEADLINE_MS, answer, &guest, entries, what == 'w' ? 0 : count, 7, readers, &result);
        must(result.outcome != DELIVERY_PROVEN || guest.proved);
        must(result.agent_calls == guest.calls);
    }
    check_result(&result);
    return 0;
}
