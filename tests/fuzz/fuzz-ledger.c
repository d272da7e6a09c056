/* A ledger whose file somebody or some disk has changed. It opens or it does not: then the file is as it was. What opens
 * can be walked without anything beyond its bounds.
 *
 * The input: changes to a good ledger, each five bytes (where in three, how many bytes, and what they are changed by). */
#include "fuzz.h"

#include "base/buffer.h"
#include "base/durable.h"
#include "ledger/ledger.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define UUID "11111111-1111-4111-8111-111111111111"
enum { FILE_MAX = 4 * 1024 * 1024 };

static char folder[64], path[96];
static struct buffer good = BUFFER_INIT(FILE_MAX);

static void remove_files(void)
{
    static const char *const names[] = {"ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm", "ledger.lock"};
    char name[128];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(name, sizeof name, "%s/%s", folder, names[i]);
        unlink(name);
    }
}

static void remove_all(void)
{
    remove_files();
    rmdir(folder);
    buffer_clear(&good);
}

static void fill(struct ledger *ledger)
{
    struct error err = ERROR_INIT;
    struct domain_record domain = {.uuid = UUID, .name = "dev-1", .seen_at = 1};
    struct container_record container = {.provider = "openai", .subject = UUID, .state = CONTAINER_OPEN, .name = "llmhook:h1:u1",
                                         .remote_id = "proj_abc", .limit_set = 100, .created_at = 1};
    struct grant_record grant = {.domain = UUID, .provider = "openai", .monthly_limit = 100, .rotate_ms = POLICY_NEVER,
                                 .environment = "OPENAI_API_KEY", .created_at = 1};
    must_succeed(ledger_save_domain(ledger, &domain, &err) && ledger_save_container(ledger, &container, &err), err);
    grant.container_id = container.id;
    must_succeed(ledger_save_grant(ledger, &grant, &err), err);
    for (int64_t i = 1; i <= 3; i++) {
        struct key_record record = {.grant_id = grant.id, .generation = i, .state = i < 3 ? KEY_REVOKED : KEY_ACTIVE,
                                    .created_at = 1};
        struct journal_record line = {.at = i, .domain = UUID, .event = "key minted", .cause = "a test", .actor = "hook"};
        memset(record.fingerprint, '0', sizeof record.fingerprint - 1);
        snprintf(record.name, sizeof record.name, "llmhook:h1:u1:openai:g%d", (int)i);
        snprintf(record.remote_id, sizeof record.remote_id, "user-%d", (int)i);
        must_succeed(ledger_save_key(ledger, &record, &err), err);
        line.key_id = record.id;
        must_succeed(ledger_put_secret(ledger, record.id, (const unsigned char *)"0123456789", 10, &err), err);
        must_succeed(ledger_journal_append(ledger, &line, &err), err);
    }
    must_succeed(ledger_set_text(ledger, "host-id", "h1", &err), err);
}

static void make_good(void)
{
    struct ledger *ledger;
    struct error err = ERROR_INIT;
    snprintf(folder, sizeof folder, "%s/fuzz-ledger-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    must(mkdtemp(folder));
    atexit(remove_all);
    snprintf(path, sizeof path, "%s/ledger.sqlite", folder);
    must_succeed(ledger_open(path, &ledger, &err), err);
    fill(ledger);
    ledger_close(ledger);
    must_succeed(durable_read(path, &good, &err), err);
}

/* --- what can be read of it --- */

#define ends(field) must(memchr(field, '\0', sizeof(field)))

static bool each_domain(void *context, const struct domain_record *record, struct error *err)
{
    (void)context, (void)err;
    ends(record->uuid); ends(record->name);
    must(stop_reason_name(record->stop) && record->policy.count <= POLICY_KEYS_MAX);
    return true;
}

static bool each_grant(void *context, const struct grant_record *record, struct error *err)
{
    (void)context, (void)err;
    ends(record->domain); ends(record->provider); ends(record->environment);
    return true;
}

static bool each_container(void *context, const struct container_record *record, struct error *err)
{
    (void)context, (void)err;
    ends(record->provider); ends(record->subject); ends(record->name); ends(record->remote_id);
    ends(record->rates_set); ends(record->last_error);
    must(record->kind <= CONTAINER_GIVEN && record->state < CONTAINER_ARCHIVED);
    return true;
}

static bool each_key(void *context, const struct key_record *record, struct error *err)
{
    (void)context, (void)err;
    ends(record->name); ends(record->remote_id); ends(record->fingerprint); ends(record->last_error);
    must(record->state < KEY_REVOKED);
    return true;
}

static bool each_line(void *context, const struct journal_record *record, struct error *err)
{
    (void)context, (void)err;
    ends(record->domain); ends(record->event); ends(record->cause); ends(record->actor);
    return true;
}

static void told(bool ok, const struct error *err)
{
    if (!ok)
        must(err->code != ERROR_NONE && err->text[0] && memchr(err->text, '\0', sizeof err->text));
}

static void walk(struct ledger *ledger)
{
    struct error err = ERROR_INIT;
    char text[64];
    unsigned char *sealed = NULL;
    size_t length;
    struct grant_record grant;
    told(ledger_each_domain(ledger, each_domain, NULL, &err), &err);
    told(ledger_each_live_grant(ledger, each_grant, NULL, &err), &err);
    told(ledger_each_live_container(ledger, each_container, NULL, &err), &err);
    told(ledger_each_live_key(ledger, each_key, NULL, &err), &err);
    told(ledger_journal_each(ledger, UUID, 10, each_line, NULL, &err), &err);
    told(ledger_journal_verify(ledger, &err), &err);
    told(ledger_get_text(ledger, "host-id", text, sizeof text, &err), &err);
    told(ledger_find_grant(ledger, UUID, "openai", &grant, &err), &err);
    told(ledger_get_secret(ledger, 3, &sealed, &length, &err), &err);
    free(sealed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char bytes[FILE_MAX];
    struct buffer after = BUFFER_INIT(FILE_MAX);
    struct ledger *ledger = NULL;
    struct error err = ERROR_INIT;
    if (!good.length)
        make_good();
    memcpy(bytes, good.data, good.length);
    for (size_t i = 0; i + 5 <= size; i += 5) {
        size_t at = ((size_t)data[i] << 16 | (size_t)data[i + 1] << 8 | data[i + 2]) % good.length;
        for (size_t j = 0; j <= data[i + 3] % 16u && at + j < good.length; j++)
            bytes[at + j] = (char)(bytes[at + j] ^ data[i + 4]);
    }
    remove_files();
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    must(fd >= 0 && write(fd, bytes, good.length) == (ssize_t)good.length);
    close(fd);
    if (ledger_open(path, &ledger, &err)) {
        walk(ledger);
        ledger_close(ledger);
        return 0;
    }
    told(false, &err);
    must(!ledger);
    must_succeed(durable_read(path, &after, &err), err);
    must(after.length == good.length && memcmp(after.data, bytes, good.length) == 0);
    buffer_clear(&after);
    return 0;
}
