#include "daemon/alert-sinks.h"

#include "base/cleanup.h"
#include "base/failpoint.h"
#include "base/json.h"
#include "base/log.h"
#include "base/program.h"
#include "credentials/credential.h"
#include "providers/http.h"

#include <json-c/json.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { SEND_MS = 20000, TEXT_MAX = 16 * 1024 };

#ifndef LLMHOOK_JOURNAL_SOCKET
#define LLMHOOK_JOURNAL_SOCKET "/run/systemd/journal/socket"
#endif

const enum alert_sink alert_sinks[ALERT_SINKS] = {ALERT_TO_WEBHOOK, ALERT_TO_PROGRAM, ALERT_TO_MAIL};

const char *alert_sink_name(enum alert_sink sink)
{
    return sink == ALERT_TO_WEBHOOK ? "webhook" : sink == ALERT_TO_PROGRAM ? "program" : "mail";
}

unsigned alert_sinks_wanted(const struct config_alerts *config)
{
    return (config->webhook[0] ? ALERT_TO_WEBHOOK : 0u) | (config->program[0] ? ALERT_TO_PROGRAM : 0u) |
           (config->mail[0] ? ALERT_TO_MAIL : 0u);
}

/* --- the journal --- */

/* One field of the journal's own protocol (systemd's JOURNAL_NATIVE_PROTOCOL), made of up to two texts. What was a line
 * feed in them would begin another. */
static void put_field(struct buffer *fields, const char *name, const char *before, const char *value)
{
    if (!value[0])
        return;
    buffer_printf(fields, "%s=%s", name, before);
    for (; *value; value++)
        buffer_append(fields, (unsigned char)*value < ' ' ? "?" : value, 1);
    buffer_append_text(fields, "\n");
}

static bool send_to_journal(const struct buffer *text)
{
    const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = LLMHOOK_JOURNAL_SOCKET};
    cleanup_close int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return fd >= 0 && sendto(fd, text->data, text->length, MSG_NOSIGNAL | MSG_DONTWAIT, (const struct sockaddr *)&address,
                             sizeof address) == (ssize_t)text->length;
}

void alert_to_journal(const struct alert_record *record, const char *host_id)
{
    const char *kind = alert_kind_name(record->kind);
    char before[64], number[24];
    struct buffer fields = BUFFER_INIT(TEXT_MAX);
    snprintf(before, sizeof before, "alert: %s: ", kind);
    snprintf(number, sizeof number, "%lld", (long long)record->id);
    put_field(&fields, "MESSAGE", before, record->text);
    put_field(&fields, "MESSAGE_ID", "", alert_message_id(record->kind));
    put_field(&fields, "PRIORITY", "", record->kind == ALERT_TEST ? "6" : "4");
    put_field(&fields, "SYSLOG_IDENTIFIER", "", "llmhookd");
    put_field(&fields, "LLMHOOK_ALERT", "", kind);
    put_field(&fields, "LLMHOOK_ALERT_ID", "", number);
    put_field(&fields, "LLMHOOK_HOST", "", host_id);
    put_field(&fields, "LLMHOOK_DOMAIN", "", record->name);
    put_field(&fields, "LLMHOOK_DOMAIN_UUID", "", record->domain);
    put_field(&fields, "LLMHOOK_PROVIDER", "", record->provider);
    FAILPOINT("tell-journal", "sending");
    /* Whoever runs us by hand reads what we print. */
    if (!getenv("JOURNAL_STREAM") || !send_to_journal(&fields))
        log_warning("%s%s", before, record->text);
    FAILPOINT("tell-journal", "answered");
    buffer_clear(&fields);
}

/* --- what is told --- */

static void put_unless_empty(struct json_object *object, const char *name, const char *value)
{
    if (value[0])
        json_put_string(object, name, value);
}

/* For people, on one line: whose alert it is comes first. */
static void put_headline(const struct alert_record *record, const char *host_id, struct buffer *text)
{
    buffer_printf(text, "llmhook on %s: %s: %s", host_id, alert_kind_name(record->kind), record->text);
}

struct json_object *alert_as_json(const struct alert_record *record, const char *host_id)
{
    struct json_object *object = json_object_new_object(), *alert = json_object_new_object();
    struct buffer headline = BUFFER_INIT(TEXT_MAX);
    put_headline(record, host_id, &headline);
    json_put_string(object, "text", buffer_text(&headline));
    json_put_integer(alert, "id", record->id);
    json_put_string(alert, "kind", alert_kind_name(record->kind));
    json_put_string(alert, "message", record->text);
    json_put_string(alert, "host", host_id);
    json_put_integer(alert, "raised_at", record->raised_at);
    put_unless_empty(alert, "domain", record->name);
    put_unless_empty(alert, "uuid", record->domain);
    put_unless_empty(alert, "provider", record->provider);
    json_put(object, "alert", alert);
    buffer_clear(&headline);
    return object;
}

static bool put_json(const struct alert_record *record, const char *host_id, struct buffer *body, struct error *err)
{
    cleanup_json struct json_object *object = alert_as_json(record, host_id);
    return buffer_append_text(body, json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN |
                                                                               JSON_C_TO_STRING_NOSLASHESCAPE)) ||
           error_set(err, ERROR_IO, "out of memory");
}

/* --- the webhook --- */

static bool sign(const struct config_alerts *config, const struct buffer *body, char *ret_header, size_t size,
                 struct error *err)
{
    char signature[SECRET_FINGERPRINT_SIZE];
    cleanup_secret struct secret *key = NULL;
    if (!credential_fetch(config->webhook_secret, &key, err))
        return error_prefix(err, "webhook-secret");
    secret_sign(key, body->data, body->length, signature);
    snprintf(ret_header, size, "X-Llmhook-Signature: sha256=%s", signature);
    return true;
}

/* The answer's words are not shown: whoever answers may repeat what it was asked. */
static bool send_to_webhook(const struct config_alerts *config, const struct alert_record *record, const char *host_id,
                            struct error *err)
{
    char header[128];
    const char *const headers[] = {header, NULL};
    struct http_request request = HTTP_REQUEST_INIT;
    struct http_answer answer;
    request.method = HTTP_POST;
    request.timeout_ms = SEND_MS;
    request.ca_file = config->ca_file;
    snprintf(request.url, sizeof request.url, "%s", config->webhook);
    bool ok = put_json(record, host_id, &request.body, err);
    if (ok && config->webhook_secret[0]) {
        request.headers = headers;
        ok = sign(config, &request.body, header, sizeof header, err);
    }
    if (ok) {
        FAILPOINT("tell-webhook", "sending");
        http_wait(&request, &answer);
        FAILPOINT("tell-webhook", "answered");
        ok = answer.end == HTTP_ANSWERED && answer.status >= 200 && answer.status < 300;
        if (answer.end != HTTP_ANSWERED)
            *err = answer.error;
        else if (!ok)
            error_set(err, ERROR_DENIED, "the webhook answered with status %ld", answer.status);
        buffer_clear(&answer.body);
    }
    buffer_clear(&request.body);
    return ok;
}

/* --- a program, and sendmail --- */

/* STEP: its name among the failpoints. */
static bool run(const char *step, const char *const *argv, const struct buffer *input, int cancel, struct error *err)
{
    (void)step;
    struct program_result result = PROGRAM_RESULT_INIT(TEXT_MAX);
    char **environment = program_environment(NULL);
    const struct program program = {argv, (const char *const *)environment, input, SEND_MS, cancel};
    if (!environment)
        return error_set(err, ERROR_IO, "out of memory");
    bool ok = program_trusted(argv[0], err);
    FAILPOINT(step, "sending");
    if (ok && !program_run(&program, &result)) {
        ok = false;
        *err = result.error;
    }
    FAILPOINT(step, "answered");
    buffer_clear(&result.output);
    program_environment_free(environment);
    return ok;
}

static bool send_to_program(const struct config_alerts *config, const struct alert_record *record, const char *host_id,
                            int cancel, struct error *err)
{
    const char *const argv[] = {config->program, alert_kind_name(record->kind), NULL};
    struct buffer input = BUFFER_INIT(TEXT_MAX);
    bool ok = put_json(record, host_id, &input, err) && buffer_append_text(&input, "\n") &&
              run("tell-program", argv, &input, cancel, err);
    buffer_clear(&input);
    return ok;
}

static bool put_mail(const struct config_alerts *config, const struct alert_record *record, const char *host_id,
                     struct buffer *mail)
{
    char date[64];
    struct tm tm;
    time_t seconds = (time_t)(record->raised_at / 1000);
    /* RFC 5322; a C locale's names of days and months, whatever ours is. */
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    gmtime_r(&seconds, &tm);
    snprintf(date, sizeof date, "%s, %d %s %d %02d:%02d:%02d +0000", days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon],
             tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
    return buffer_printf(mail, "To: %s\nSubject: llmhook on %s: %s%s%.60s\nDate: %s\nAuto-Submitted: auto-generated\n"
                               "X-Llmhook-Alert: %lld\nContent-Type: text/plain; charset=utf-8\n\n%s\n",
                         config->mail, host_id, alert_kind_name(record->kind), record->name[0] ? " " : "", record->name, date,
                         (long long)record->id, record->text) &&
           (!record->name[0] || buffer_printf(mail, "\nMore: llmhook show %s\n", record->name));
}

static bool send_mail(const struct config_alerts *config, const struct alert_record *record, const char *host_id,
                      int cancel, struct error *err)
{
    const char *const argv[] = {config->sendmail, "-i", "--", config->mail, NULL};
    struct buffer mail = BUFFER_INIT(TEXT_MAX);
    bool ok = put_mail(config, record, host_id, &mail) || error_set(err, ERROR_IO, "out of memory");
    ok = ok && run("tell-mail", argv, &mail, cancel, err);
    buffer_clear(&mail);
    return ok;
}

bool alert_send(const struct config_alerts *config, enum alert_sink sink, const struct alert_record *record,
                const char *host_id, int cancel, struct error *err)
{
    switch (sink) {
    case ALERT_TO_WEBHOOK:
        return send_to_webhook(config, record, host_id, err);
    case ALERT_TO_PROGRAM:
        return send_to_program(config, record, host_id, cancel, err);
    case ALERT_TO_MAIL:
        break;
    }
    return send_mail(config, record, host_id, cancel, err);
}
