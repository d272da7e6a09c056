#include "config/ini_file.h"

#include <ini.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct source {
    const struct ini_file_reader *reader;
    void *context;
    const char *rest;
    const char *end;
    unsigned line;
};

struct span {
    const char *begin, *end;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct span trim_end(struct span text)
{
    while (text.begin < text.end && is_blank(text.end[-1]))
        text.end--;
    return text;
}

static struct span trim(struct span text)
{
    text = trim_end(text);
    while (text.begin < text.end && is_blank(*text.begin))
        text.begin++;
    return text;
}

/* A comment begins with # or ; at the beginning of a line or behind white space. */
static struct span without_comment(struct span line)
{
    for (const char *at = line.begin; at < line.end; at++) {
        if ((*at == '#' || *at == ';') && (at == line.begin || is_blank(at[-1])))
            line.end = at;
    }
    return line;
}

static const char *find(struct span text, char wanted)
{
    return memchr(text.begin, wanted, (size_t)(text.end - text.begin));
}

/* The problem of a [SECTION] line, or NULL. */
static const char *vet_section(struct span line)
{
    const char *close = find(line, ']');
    if (!close)
        return "'[' without ']': write [daemon], [vault], [alerts], [provider NAME], [owner NAME] or [policy PATTERN]";
    if (close + 1 < line.end)
        return "there is something behind ']': a section stands alone on its line, and has no ']' in its name";
    return NULL;
}

/* The problem of a KEY = VALUE line, or NULL. */
static const char *vet_key(struct span line)
{
    const char *equals = find(line, '='), *colon = find(line, ':');
    if (colon && (!equals || colon < equals))
        return "there is a ':' before any '=': write KEY = VALUE";
    if (!equals)
        return "this is neither a section nor a key: write [SECTION] or KEY = VALUE";
    struct span value = trim((struct span){equals + 1, line.end});
    if (equals == line.begin)
        return "there is no key before '=': write KEY = VALUE";
    if (value.begin == value.end)
        return "the key has no value: write one behind '=' or remove the line";
    if (*value.begin == '"' || *value.begin == '\'')
        return "the value is quoted: write it without quotes";
    return NULL;
}

/* The problem of a LINE that is not empty, or NULL. MAX: of what libinih can take. */
static const char *vet(struct span line, long max)
{
    for (const char *at = line.begin; at < line.end; at++) {
        if (((unsigned char)*at < ' ' && *at != '\t') || *at == 127)
            return "there is a control character: remove it";
    }
    if (is_blank(*line.begin))
        return "the line begins with white space: write each key at the beginning of its line, its value all in one line";
    if (line.end - line.begin > max)
        return "the line is too long: shorten it";
    return *line.begin == '[' ? vet_section(line) : vet_key(line);
}

/* From here, since libinih cuts names of more than 49 bytes without a word. BUFFER has room for the LINE. */
static void announce_section(struct source *source, struct span line, char *buffer)
{
    struct span name = trim((struct span){line.begin + 1, line.end - 1});
    size_t length = (size_t)(name.end - name.begin);
    memcpy(buffer, name.begin, length);
    buffer[length] = '\0';
    source->reader->section(source->context, source->line, buffer);
}

/* libinih's fgets: one call, one line. A line that cannot be used is given to it as an empty one. */
static char *next_line(char *buffer, int size, void *context)
{
    struct source *source = context;
    if (source->rest >= source->end)
        return NULL;
    struct span line = {source->rest, source->end};
    const char *newline = find(line, '\n');
    if (newline)
        line.end = newline;
    source->rest = newline ? newline + 1 : source->end;
    source->line++;

    line = trim_end(without_comment(line));
    if (line.begin < line.end) {
        bool is_section = *line.begin == '[';
        const char *problem = vet(line, size - 3);
        if (problem) {
            source->reader->problem(source->context, source->line, problem);
            if (is_section)
                source->reader->section(source->context, source->line, NULL);
            line.end = line.begin;
        } else if (is_section) {
            announce_section(source, line, buffer);
        }
    }
    size_t length = (size_t)(line.end - line.begin);
    memcpy(buffer, line.begin, length);
    memcpy(buffer + length, "\n", 2);
    return buffer;
}

/* libinih's callback. The section is the one announced last. */
static int take_key(void *context, const char *section, const char *name, const char *value)
{
    struct source *source = context;
    (void)section;
    /* A libinih that was compiled to announce sections does so without a name. */
    if (name && value)
        source->reader->key(source->context, source->line, name, value);
    return 1;
}

void ini_file_parse(const char *text, size_t length, const struct ini_file_reader *reader, void *context)
{
    static const char mark[] = "\xef\xbb\xbf"; /* what some editors put before UTF-8 */
    struct source source = {reader, context, text, text + length, 0};
    if (length >= 3 && memcmp(text, mark, 3) == 0)
        source.rest += 3;
    int status = ini_parse_stream(next_line, &source, take_key, &source);
    /* A line number is one that libinih did not understand and vet() should have caught; negative: no memory. */
    if (status != 0)
        reader->problem(context, status > 0 ? (unsigned)status : source.line, "libinih cannot read this");
}
