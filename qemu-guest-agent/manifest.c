#include "qemu-guest-agent/manifest.h"

#include <inttypes.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

enum {
    HASH_LENGTH = SECRET_FINGERPRINT_SIZE - 1,
    PLAIN_MAX = 511, /* characters */
    ENV_MAX = DELIVERY_ENTRIES_MAX * (SECRET_MAX + 80),
};

static const uint32_t root_uid = 0;

/* --- the set --- */

static bool name_valid(const char *name, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!((name[i] >= 'A' && name[i] <= 'Z') || name[i] == '_' || (i > 0 && name[i] >= '0' && name[i] <= '9')))
            return false;
    return length > 0 && length < sizeof ((struct delivery_entry *)0)->environment;
}

static bool value_valid(const struct secret *secret)
{
    const char *text = secret_reveal(secret);
    for (; *text; text++)
        if (*text <= ' ' || *text >= 0x7f || strchr("'\"`\\", *text))
            return false;
    return secret_length(secret) > 0;
}

/* What goes into a file alone may be JSON or a certificate. */
static bool file_valid(const struct secret *secret)
{
    const char *text = secret_reveal(secret);
    for (; *text; text++)
        if ((*text < ' ' && *text != '\n') || *text >= 0x7f || *text == '\'')
            return false;
    return secret_length(secret) > 0;
}

static bool plain_valid(const char *text)
{
    size_t length = 0;
    for (; text[length]; length++) {
        char c = text[length];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr(":/.?=&,@+-_~%", c)) ||
            length >= PLAIN_MAX)
            return false;
    }
    return length > 0;
}

static bool content_valid(const struct delivery_entry *entry, struct error *err)
{
    const char *name = entry->environment;
    switch (entry->kind) {
    case DELIVERY_PLAIN:
        if (!entry->text || !plain_valid(entry->text))
            return error_set(err, ERROR_INVALID,
                             "the text for %s is empty, too long, or has characters that an address has not", name);
        return true;
    case DELIVERY_FILE:
        if (!entry->secret || !file_valid(entry->secret))
            return error_set(err, ERROR_INVALID,
                             "the file for %s is empty or has characters other than line ends and printable ASCII "
                             "without single quotes",
                             name);
        return true;
    default:
        if (!entry->secret || !value_valid(entry->secret))
            return error_set(err, ERROR_INVALID,
                             "the value for %s is empty or has characters other than printable ASCII without quotes, "
                             "backslashes and blanks",
                             name);
        return true;
    }
}

static bool readers_valid(const char *readers)
{
    if (!strcmp(readers, "humans") || !strcmp(readers, "root") || !strcmp(readers, "everybody"))
        return true;
    if (strncmp(readers, "group:", 6))
        return false;
    const char *group = readers + 6;
    for (const char *c = group; *c; c++)
        if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') || *c == '_' ||
              (c > group && (*c == '-' || *c == '.'))))
            return false;
    return *group && strlen(group) <= 32;
}

static bool check(const struct delivery_entry *entries, size_t count, const char *readers, struct error *err)
{
    if (count > DELIVERY_ENTRIES_MAX)
        return error_set(err, ERROR_INVALID, "a guest gets at most %d variables", DELIVERY_ENTRIES_MAX);
    if (!readers_valid(readers))
        return error_set(err, ERROR_INVALID, "readers must be 'humans', 'root', 'everybody' or 'group:NAME'");
    for (size_t i = 0; i < count; i++) {
        const char *name = entries[i].environment;
        if (!name_valid(name, strnlen(name, sizeof entries[i].environment)))
            return error_set(err, ERROR_INVALID, "the name of variable %zu is not of capitals, digits and '_'", i + 1);
        if (!content_valid(&entries[i], err))
            return false;
        for (size_t j = 0; j < i; j++)
            if (!strcmp(name, entries[j].environment))
                return error_set(err, ERROR_INVALID, "two keys are to be in the variable %s", name);
    }
    return true;
}

/* Keys before what is plain, as the script writes them; each by name. */
static int in_order(const void *a, const void *b)
{
    const struct delivery_entry *const *left = a, *const *right = b;
    int plain = ((*left)->kind == DELIVERY_PLAIN) - ((*right)->kind == DELIVERY_PLAIN);
    return plain ? plain : strcmp((*left)->environment, (*right)->environment);
}

static void sort(const struct delivery_entry *entries, size_t count, const struct delivery_entry *sorted[])
{
    for (size_t i = 0; i < count; i++)
        sorted[i] = &entries[i];
    if (count)
        qsort(sorted, count, sizeof sorted[0], in_order);
}

/* One line of the file of all variables, as the script writes it for UID. */
static bool append_line(struct buffer *env, const struct delivery_entry *entry, uint32_t uid)
{
    const char *name = entry->environment;
    if (!buffer_printf(env, "%s='", name))
        return false;
    switch (entry->kind) {
    case DELIVERY_PLAIN:
        return buffer_printf(env, "%s'\n", entry->text);
    case DELIVERY_FILE:
        return uid == root_uid ? buffer_printf(env, "/run/llmhook/%s'\n", name)
                               : buffer_printf(env, "/run/llmhook/users/%" PRIu32 "/%s'\n", uid, name);
    default:
        return buffer_append(env, secret_reveal(entry->secret), secret_length(entry->secret)) &&
               buffer_append_text(env, "'\n");
    }
}

bool manifest_copy_env(const struct delivery_entry *entries, size_t count, uint32_t uid,
                       char ret_hash[SECRET_FINGERPRINT_SIZE])
{
    const struct delivery_entry *sorted[DELIVERY_ENTRIES_MAX];
    cleanup_buffer struct buffer env = BUFFER_INIT(ENV_MAX);
    sort(entries, count, sorted);
    for (size_t i = 0; i < count; i++)
        if (!append_line(&env, sorted[i], uid))
            return false;
    secret_fingerprint_bytes(buffer_text(&env), env.length, ret_hash);
    return true;
}

bool manifest_make(const struct delivery_entry *entries, size_t count, const char *readers,
                   struct manifest *ret_manifest, struct error *err)
{
    if (!readers || !*readers)
        readers = "humans";
    if (!check(entries, count, readers, err))
        return false;
    const struct delivery_entry *sorted[DELIVERY_ENTRIES_MAX];
    sort(entries, count, sorted);
    struct manifest manifest = {.count = 0};
    snprintf(manifest.readers, sizeof manifest.readers, "%s", readers);
    for (size_t i = 0; i < count && sorted[i]->kind != DELIVERY_PLAIN; i++) {
        snprintf(manifest.files[i].name, sizeof manifest.files[i].name, "%s", sorted[i]->environment);
        secret_fingerprint(sorted[i]->secret, manifest.files[i].hash);
        manifest.count++;
    }
    if (!manifest_copy_env(entries, count, root_uid, manifest.env))
        return error_set(err, ERROR_IO, "out of memory");
    *ret_manifest = manifest;
    return true;
}

bool manifest_payload(const struct manifest *manifest, const struct delivery_entry *entries, size_t count,
                      const char *verb, int64_t label, struct buffer *payload)
{
    const struct delivery_entry *sorted[DELIVERY_ENTRIES_MAX];
    sort(entries, count, sorted);
    if (!buffer_printf(payload, "verb=%s readers=%s label=%" PRId64 "\npaths='", verb, manifest->readers, label))
        return false;
    for (size_t i = 0; i < count; i++)
        if (sorted[i]->kind == DELIVERY_FILE && !buffer_printf(payload, " %s ", sorted[i]->environment))
            return false;
    if (!buffer_append_text(payload, "'\nset --"))
        return false;
    for (size_t i = 0; i < manifest->count; i++)
        if (!buffer_printf(payload, " %s '", sorted[i]->environment) ||
            !buffer_append(payload, secret_reveal(sorted[i]->secret), secret_length(sorted[i]->secret)) ||
            !buffer_append(payload, "'", 1))
            return false;
    /* Lines of the file as they are to be: between double quotes nothing in them means anything. */
    if (!buffer_append_text(payload, "\nplain=\""))
        return false;
    for (size_t i = manifest->count; i < count; i++)
        if (!append_line(payload, sorted[i], root_uid))
            return false;
    return buffer_append_text(payload, "\"\ncomplete=yes\n");
}

void manifest_fingerprint(const struct manifest *manifest, char ret_fingerprint[DELIVERY_FINGERPRINT_SIZE])
{
    cleanup_buffer struct buffer text = BUFFER_INIT(DELIVERY_ENTRIES_MAX * 160);
    bool ok = buffer_printf(&text, "llmhook delivery 1\nreaders %s\nenv %s\n", manifest->readers, manifest->env);
    for (size_t i = 0; ok && i < manifest->count; i++)
        ok = buffer_printf(&text, "%s %s\n", manifest->files[i].name, manifest->files[i].hash);
    /* Cut for want of memory, it must not look like another set's. */
    if (ok)
        secret_fingerprint_bytes(buffer_text(&text), text.length, ret_fingerprint);
    else
        ret_fingerprint[0] = '\0';
}

/* --- the report --- */

/* The next word up to STOP, which must be there and is passed; NULL when the word is empty or SIZE too small. */
static bool take_word(const char **at, char stop, char *ret_word, size_t size)
{
    const char *end = strchr(*at, stop);
    if (!end || end == *at || (size_t)(end - *at) >= size || memchr(*at, '\n', (size_t)(end - *at)))
        return false;
    memcpy(ret_word, *at, (size_t)(end - *at));
    ret_word[end - *at] = '\0';
    *at = end + 1;
    return true;
}

static bool take_number(const char *word, unsigned long maximum, unsigned long *ret_number)
{
    char *end;
    size_t digits = strspn(word, "0123456789");
    if (digits == 0 || digits > 10 || word[digits] || (word[0] == '0' && digits > 1))
        return false;
    *ret_number = strtoul(word, &end, 10);
    return *ret_number <= maximum;
}

static bool parse_head(const char **at, struct report *report)
{
    static const char *const words[] = {
        [REPORT_WRITTEN] = "written", [REPORT_UNCHANGED] = "unchanged", [REPORT_WITHDRAWN] = "withdrawn",
        [REPORT_PRESENT] = "present", [REPORT_ABSENT] = "absent",
    };
    static const char head[] = "llmhook 1 ";
    char what[16], humans[16];
    unsigned long number;
    if (strncmp(*at, head, sizeof head - 1))
        return false;
    *at += sizeof head - 1;
    if (!take_word(at, ' ', what, sizeof what) ||
        !take_word(at, ' ', report->manifest.readers, sizeof report->manifest.readers) ||
        !take_word(at, ' ', humans, sizeof humans) || !take_word(at, '\n', report->shell, sizeof report->shell) ||
        !take_number(humans, DELIVERY_HUMANS_MAX, &number))
        return false;
    report->humans = (unsigned)number;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (!strcmp(what, words[i])) {
            report->what = (enum report_what)i;
            return true;
        }
    return false;
}

/* sha256sum's "HASH  PATH" or "HASH *PATH". */
static bool take_line(const char **at, char hash[SECRET_FINGERPRINT_SIZE], char *ret_path, size_t size)
{
    if (strspn(*at, "0123456789abcdef") != HASH_LENGTH || (*at)[HASH_LENGTH] != ' ' ||
        !strchr(" *", (*at)[HASH_LENGTH + 1]) || !(*at)[HASH_LENGTH + 1])
        return false;
    memcpy(hash, *at, HASH_LENGTH);
    hash[HASH_LENGTH] = '\0';
    *at += HASH_LENGTH + 2;
    return take_word(at, '\n', ret_path, size);
}

static bool parse_root_files(const char **at, struct manifest *manifest)
{
    char path[96];
    if (!take_line(at, manifest->env, path, sizeof path) || strcmp(path, "env"))
        return false;
    while (**at && manifest->count < DELIVERY_ENTRIES_MAX) {
        const char *line = *at;
        char hash[SECRET_FINGERPRINT_SIZE];
        if (!take_line(at, hash, path, sizeof path))
            return false;
        if (!strncmp(path, "users/", 6)) {
            *at = line;
            break;
        }
        if (!name_valid(path, strlen(path)) ||
            (manifest->count > 0 && strcmp(manifest->files[manifest->count - 1].name, path) >= 0))
            return false;
        memcpy(manifest->files[manifest->count].name, path, strlen(path) + 1); /* name_valid() has bounded it */
        snprintf(manifest->files[manifest->count].hash, sizeof manifest->files[0].hash, "%s", hash);
        manifest->count++;
    }
    return true;
}

/* One account's copies: the same files in the same order. False when a line is not of this account or not a line. */
static bool parse_copies(const char **at, const struct manifest *manifest, const struct delivery_copy *previous,
                         struct delivery_copy *ret_copy, bool *same)
{
    for (size_t i = 0; i <= manifest->count; i++) {
        char hash[SECRET_FINGERPRINT_SIZE], path[96], word[16];
        const char *rest = path;
        unsigned long number;
        if (!take_line(at, hash, path, sizeof path) || strncmp(path, "users/", 6))
            return false;
        rest += 6;
        if (!take_word(&rest, '/', word, sizeof word) || !take_number(word, UINT32_MAX, &number) || number == root_uid ||
            (i > 0 && number != ret_copy->uid) || (previous && number == previous->uid))
            return false;
        if (strcmp(rest, i == 0 ? "env" : manifest->files[i - 1].name))
            return false;
        if (i == 0) {
            ret_copy->uid = (uint32_t)number;
            memcpy(ret_copy->env, hash, sizeof hash);
        } else if (strcmp(hash, manifest->files[i - 1].hash)) {
            *same = false;
        }
    }
    return true;
}

bool report_parse(const struct buffer *output, struct report *ret_report, struct error *err)
{
    const char *at = buffer_text(output);
    struct report report = {.complete = true};
    if (memchr(at, '\0', output->length) || !parse_head(&at, &report))
        return error_set(err, ERROR_PROTOCOL, "the delivery script's first line is not as it should be");
    if (report.what == REPORT_WITHDRAWN || report.what == REPORT_ABSENT) {
        if (*at)
            return error_set(err, ERROR_PROTOCOL, "the delivery script said more than it should");
        *ret_report = report;
        return true;
    }
    bool ok = readers_valid(report.manifest.readers) && parse_root_files(&at, &report.manifest);
    for (unsigned i = 0; ok && i < report.humans; i++)
        ok = parse_copies(&at, &report.manifest, i ? &report.copies[i - 1] : NULL, &report.copies[i], &report.complete);
    if (!ok || *at)
        return error_set(err, ERROR_PROTOCOL, "the delivery script's list of files is not as it should be");
    *ret_report = report;
    return true;
}

bool copies_prove(const struct delivery_copy *copies, size_t copies_count, const struct delivery_entry *entries,
                  size_t count)
{
    char wanted[SECRET_FINGERPRINT_SIZE];
    for (size_t i = 0; i < copies_count; i++)
        if (!manifest_copy_env(entries, count, copies[i].uid, wanted) || strcmp(copies[i].env, wanted))
            return false;
    return true;
}

bool report_proves(const struct report *report, const struct manifest *manifest, const struct delivery_entry *entries,
                   size_t count)
{
    const struct manifest *there = &report->manifest;
    if (!report->complete || there->count != manifest->count || strcmp(there->readers, manifest->readers) ||
        strcmp(there->env, manifest->env))
        return false;
    for (size_t i = 0; i < manifest->count; i++)
        if (strcmp(there->files[i].name, manifest->files[i].name) ||
            strcmp(there->files[i].hash, manifest->files[i].hash))
            return false;
    return copies_prove(report->copies, report->humans, entries, count);
}
