#include "reply.h"

#include "base/utf8.h"

#include <string.h>

/* A recursive-descent reader of JSON. Each read_* function takes one value from the front of the text and returns
 * false when it is not there; the caller then gives up. What is not of interest is checked all the same, so that half
 * an answer or a broken one is never taken for one. */

enum { NESTING_MAX = 32 };

struct fields {
    bool parameters;
    bool error;
    bool continues;
    bool wait_known;
    int64_t wait_ms;
    char verdict[16];
    char reason[REPLY_REASON_MAX];
};

struct reader {
    const char *at;
    const char *end;
    int nesting;
    struct fields *fields;
};

/* Where a decoded string goes; SIZE 0 when nobody wants it. Longer ones are cut between characters. */
struct target {
    char *text;
    size_t size;
    size_t length;
    bool cut;
};

typedef bool member_fn(struct reader *reader, const char *name);

static bool skip_value(struct reader *reader);

static void skip_space(struct reader *reader)
{
    while (reader->at < reader->end && memchr(" \t\n\r", *reader->at, 4))
        reader->at++;
}

static bool take(struct reader *reader, char c)
{
    if (reader->at == reader->end || *reader->at != c)
        return false;
    reader->at++;
    return true;
}

static bool take_word(struct reader *reader, const char *word)
{
    size_t length = strlen(word);
    if ((size_t)(reader->end - reader->at) < length || memcmp(reader->at, word, length) != 0)
        return false;
    reader->at += length;
    return true;
}

static void put(struct target *target, const char *bytes, size_t length)
{
    if (target->length + length >= target->size)
        target->cut = true;
    if (target->cut)
        return;
    memcpy(target->text + target->length, bytes, length);
    target->length += length;
    target->text[target->length] = '\0';
}

static void put_code_point(struct target *target, unsigned code)
{
    char bytes[4];
    if (code < 0x80) {
        bytes[0] = (char)code;
        put(target, bytes, 1);
    } else if (code < 0x800) {
        bytes[0] = (char)(0xC0 | code >> 6);
        bytes[1] = (char)(0x80 | (code & 0x3F));
        put(target, bytes, 2);
    } else if (code < 0x10000) {
        bytes[0] = (char)(0xE0 | code >> 12);
        bytes[1] = (char)(0x80 | (code >> 6 & 0x3F));
        bytes[2] = (char)(0x80 | (code & 0x3F));
        put(target, bytes, 3);
    } else {
        bytes[0] = (char)(0xF0 | code >> 18);
        bytes[1] = (char)(0x80 | (code >> 12 & 0x3F));
        bytes[2] = (char)(0x80 | (code >> 6 & 0x3F));
        bytes[3] = (char)(0x80 | (code & 0x3F));
        put(target, bytes, 4);
    }
}

static bool read_four_digits(struct reader *reader, unsigned *ret_unit)
{
    unsigned unit = 0;
    for (int i = 0; i < 4; i++) {
        if (reader->at == reader->end)
            return false;
        char c = *reader->at++;
        unit <<= 4;
        if (c >= '0' && c <= '9')
            unit |= (unsigned)(c - '0');
        else if (c >= 'a' && c <= 'f')
            unit |= (unsigned)(c - 'a' + 10);
        else if (c >= 'A' && c <= 'F')
            unit |= (unsigned)(c - 'A' + 10);
        else
            return false;
    }
    *ret_unit = unit;
    return true;
}

/* Behind "\u". A surrogate without its other half, and NUL, which would end our text, become U+FFFD. */
static bool read_unicode_escape(struct reader *reader, struct target *target)
{
    unsigned code;
    if (!read_four_digits(reader, &code))
        return false;
    if (code >= 0xD800 && code <= 0xDBFF) {
        struct reader ahead = *reader;
        unsigned low;
        bool paired = take_word(&ahead, "\\u") && read_four_digits(&ahead, &low) && low >= 0xDC00 && low <= 0xDFFF;
        if (paired) {
            reader->at = ahead.at;
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        }
    }
    if (code == 0 || (code >= 0xD800 && code <= 0xDFFF))
        code = 0xFFFD;
    put_code_point(target, code);
    return true;
}

static bool read_escape(struct reader *reader, struct target *target)
{
    static const char escapes[] = "\"\\/bfnrt";
    static const char meanings[] = "\"\\/\b\f\n\r\t";
    if (take(reader, 'u'))
        return read_unicode_escape(reader, target);
    if (reader->at == reader->end || *reader->at == '\0')
        return false;
    const char *escape = strchr(escapes, *reader->at);
    if (!escape)
        return false;
    reader->at++;
    put(target, &meanings[escape - escapes], 1);
    return true;
}

static bool read_string(struct reader *reader, char *text, size_t size)
{
    struct target target = {.text = text, .size = size};
    if (size > 0)
        text[0] = '\0';
    if (!take(reader, '"'))
        return false;
    while (reader->at < reader->end) {
        if (take(reader, '"'))
            return true;
        if (take(reader, '\\')) {
            if (!read_escape(reader, &target))
                return false;
            continue;
        }
        size_t character = utf8_character(reader->at, (size_t)(reader->end - reader->at), NULL);
        if (!character || (unsigned char)*reader->at < 0x20)
            return false;
        put(&target, reader->at, character);
        reader->at += character;
    }
    return false;
}

static bool read_digits(struct reader *reader)
{
    const char *start = reader->at;
    while (reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9')
        reader->at++;
    return reader->at > start;
}

static bool skip_number(struct reader *reader)
{
    take(reader, '-');
    if (!take(reader, '0') && !read_digits(reader))
        return false;
    if (take(reader, '.') && !read_digits(reader))
        return false;
    if (take(reader, 'e') || take(reader, 'E')) {
        if (!take(reader, '+'))
            take(reader, '-');
        return read_digits(reader);
    }
    return true;
}

/* A number of milliseconds: whole, not negative. Enormous ones are cut to the most that we wait. */
static bool read_wait(struct reader *reader)
{
    const char *start = reader->at;
    if (!skip_number(reader))
        return false;
    int64_t value = 0;
    for (const char *at = start; at < reader->at; at++) {
        if (*at < '0' || *at > '9')
            return false;
        if (value < REPLY_WAIT_MAX_MS)
            value = value * 10 + (*at - '0');
    }
    reader->fields->wait_ms = value < REPLY_WAIT_MAX_MS ? value : REPLY_WAIT_MAX_MS;
    reader->fields->wait_known = true;
    return true;
}

static bool read_object(struct reader *reader, member_fn *member)
{
    char name[32];
    if (!take(reader, '{') || ++reader->nesting > NESTING_MAX)
        return false;
    skip_space(reader);
    bool more = !take(reader, '}');
    while (more) {
        skip_space(reader);
        if (!read_string(reader, name, sizeof name))
            return false;
        skip_space(reader);
        if (!take(reader, ':'))
            return false;
        skip_space(reader);
        if (!member(reader, name))
            return false;
        skip_space(reader);
        more = take(reader, ',');
        if (!more && !take(reader, '}'))
            return false;
    }
    reader->nesting--;
    return true;
}

static bool skip_array(struct reader *reader)
{
    if (!take(reader, '[') || ++reader->nesting > NESTING_MAX)
        return false;
    skip_space(reader);
    bool more = !take(reader, ']');
    while (more) {
        skip_space(reader);
        if (!skip_value(reader))
            return false;
        skip_space(reader);
        more = take(reader, ',');
        if (!more && !take(reader, ']'))
            return false;
    }
    reader->nesting--;
    return true;
}

static bool skip_member(struct reader *reader, const char *name)
{
    (void)name;
    return skip_value(reader);
}

static bool skip_value(struct reader *reader)
{
    if (reader->at == reader->end)
        return false;
    switch (*reader->at) {
    case '{':
        return read_object(reader, skip_member);
    case '[':
        return skip_array(reader);
    case '"':
        return read_string(reader, NULL, 0);
    case 't':
        return take_word(reader, "true");
    case 'f':
        return take_word(reader, "false");
    case 'n':
        return take_word(reader, "null");
    default:
        return skip_number(reader);
    }
}

static bool read_parameter(struct reader *reader, const char *name)
{
    struct fields *fields = reader->fields;
    if (strcmp(name, "verdict") == 0)
        return read_string(reader, fields->verdict, sizeof fields->verdict);
    if (take_word(reader, "null")) /* how an optional field may be absent */
        return true;
    if (strcmp(name, "reason") == 0)
        return read_string(reader, fields->reason, sizeof fields->reason);
    if (strcmp(name, "wait_ms") == 0)
        return read_wait(reader);
    return skip_value(reader);
}

static bool read_member(struct reader *reader, const char *name)
{
    struct fields *fields = reader->fields;
    if (strcmp(name, "parameters") == 0) {
        /* Of two, readers of JSON do not agree which one holds. */
        bool repeated = fields->parameters;
        fields->parameters = true;
        return !repeated && read_object(reader, read_parameter);
    }
    if (strcmp(name, "continues") == 0) {
        fields->continues = take_word(reader, "true");
        return fields->continues || take_word(reader, "false");
    }
    if (strcmp(name, "error") == 0 && !take_word(reader, "null")) {
        fields->error = true;
        return skip_value(reader);
    }
    return strcmp(name, "error") == 0 || skip_value(reader);
}

static bool judge(const struct fields *fields, struct reply *reply)
{
    if (fields->error)
        return false;
    if (strcmp(fields->verdict, "accepted") == 0) {
        reply->verdict = REPLY_ACCEPTED;
        return !fields->continues;
    }
    if (strcmp(fields->verdict, "wait") == 0) {
        reply->verdict = REPLY_WAIT;
        reply->wait_ms = fields->wait_ms;
        return fields->continues && fields->wait_known;
    }
    if (strcmp(fields->verdict, "refused") == 0) {
        reply->verdict = REPLY_REFUSED;
        memcpy(reply->reason, fields->reason, sizeof reply->reason);
        return !fields->continues;
    }
    return false;
}

bool reply_parse(const char *text, size_t length, struct reply *ret)
{
    struct fields fields = {.error = false};
    struct reader reader = {.at = text, .end = text + length, .fields = &fields};
    struct reply reply = {.verdict = REPLY_ACCEPTED};
    if (length > REPLY_MAX)
        return false;
    skip_space(&reader);
    if (!read_object(&reader, read_member))
        return false;
    skip_space(&reader);
    if (reader.at != reader.end || !judge(&fields, &reply))
        return false;
    *ret = reply;
    return true;
}
