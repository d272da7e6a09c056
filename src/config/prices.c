#include "config/prices.h"

#include "base/buffer.h"
#include "config/config.h"
#include "config/ini_file.h"
#include "config/prices-conf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Which keys a section has had. */
enum { HAS_INPUT = 1, HAS_CACHED = 2, HAS_OUTPUT = 4, HAS_DATE = 8, HAS_CHECKED = 16, HAS_ALL = 31 };

struct reader {
    const char *file;
    struct price *table;
    size_t count;
    unsigned line; /* of the section's header; 0: there is none, or it is broken */
    unsigned has;
    struct error *err;
    bool failed;
};

__attribute__((format(printf, 3, 4))) static void refuse(struct reader *reader, unsigned line, const char *format, ...)
{
    char text[sizeof reader->err->text];
    va_list arguments;
    if (reader->failed)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    reader->failed = true;
    error_set(reader->err, ERROR_INVALID, "%s:%u: %.400s", reader->file, line, text);
}

/* All that a price needs, or the section's line is told. */
static void end_section(struct reader *reader)
{
    static const char *const names[] = {"input", "cached-input", "output", "date", "checked"};
    for (unsigned i = 0; reader->line && i < sizeof names / sizeof names[0]; i++)
        if (!(reader->has & (1u << i)))
            refuse(reader, reader->line, "%s has no %s: a price has input, cached-input, output, date and checked",
                   reader->table[reader->count - 1].model, names[i]);
}

static void take_section(void *context, unsigned line, const char *name)
{
    struct reader *reader = context;
    end_section(reader);
    reader->line = 0;
    reader->has = 0;
    if (!name || reader->failed)
        return;
    if (!*name || strlen(name) >= PRICE_MODEL_SIZE || strpbrk(name, " \t/")) {
        refuse(reader, line, "'%s' is not a model's name: write [MODEL], at most %d characters, without provider", name,
               PRICE_MODEL_SIZE - 1);
        return;
    }
    for (size_t i = 0; i < reader->count; i++)
        if (strcmp(reader->table[i].model, name) == 0) {
            refuse(reader, line, "%s has a price already: write one", name);
            return;
        }
    if (reader->count == PRICES_MAX) {
        refuse(reader, line, "there are more than %d models", PRICES_MAX);
        return;
    }
    reader->line = line;
    reader->table[reader->count] = (struct price){.input = 0};
    snprintf(reader->table[reader->count++].model, PRICE_MODEL_SIZE, "%s", name);
}

/* Dollars for a million tokens, with up to six digits behind the point, are as many micro-dollars. */
static bool read_price(const char *text, int64_t *ret_price)
{
    int64_t micro = 0, unit = 1000000;
    bool point = false, digits = false;
    for (; *text; text++) {
        if (*text == '.' && !point) {
            point = true;
        } else if (*text >= '0' && *text <= '9' && unit > (point ? 1 : 0)) {
            digits = true;
            if (point)
                unit /= 10;
            micro = point ? micro + (*text - '0') * unit : micro * 10 + (*text - '0') * INT64_C(1000000);
            if (micro > PRICE_MOST)
                return false;
        } else {
            return false;
        }
    }
    *ret_price = micro;
    return digits;
}

static bool read_date(const char *text, char date[PRICE_DATE_SIZE])
{
    static const char form[] = "0000-00-00";
    if (strlen(text) != sizeof form - 1)
        return false;
    for (size_t i = 0; form[i]; i++)
        if (form[i] == '0' ? text[i] < '0' || text[i] > '9' : text[i] != '-')
            return false;
    int month = atoi(text + 5), day = atoi(text + 8);
    memcpy(date, text, PRICE_DATE_SIZE);
    return month >= 1 && month <= 12 && day >= 1 && day <= 31;
}

static void take_key(void *context, unsigned line, const char *name, const char *value)
{
    static const struct {
        const char *name;
        unsigned bit;
    } keys[] = {{"input", HAS_INPUT}, {"cached-input", HAS_CACHED}, {"output", HAS_OUTPUT}, {"date", HAS_DATE},
                {"checked", HAS_CHECKED}};
    struct reader *reader = context;
    unsigned bit = 0;
    if (!reader->line) {
        refuse(reader, line, "'%s' stands before any model: write [MODEL] above it", name);
        return;
    }
    struct price *price = &reader->table[reader->count - 1];
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (strcmp(keys[i].name, name) == 0)
            bit = keys[i].bit;
    if (!bit)
        refuse(reader, line, "a price has no '%s': write input, cached-input, output, date or checked", name);
    else if (reader->has & bit)
        refuse(reader, line, "%s stands there already: write it once", name);
    else if (bit == HAS_DATE && !read_date(value, price->date))
        refuse(reader, line, "date: '%s' is not a date: write it like 2026-11-25", value);
    else if (bit == HAS_CHECKED && strcmp(value, "yes") != 0 && strcmp(value, "no") != 0)
        refuse(reader, line, "checked: '%s' is neither yes nor no", value);
    else if (bit == HAS_CHECKED)
        price->unverified = value[0] == 'n';
    else if (bit <= HAS_OUTPUT && !read_price(value, bit == HAS_INPUT    ? &price->input
                                                     : bit == HAS_CACHED ? &price->cached
                                                                         : &price->output))
        refuse(reader, line, "%s: '%s' is no price: write dollars for a million tokens like 2.50, at most 1000", name, value);
    reader->has |= bit;
}

static void take_problem(void *context, unsigned line, const char *text)
{
    refuse(context, line, "%s", text);
}

bool config_prices_parse(const char *name, const char *text, size_t length, struct price **ret_table, size_t *ret_count,
                         struct error *err)
{
    static const struct ini_file_reader callbacks = {take_section, take_key, take_problem};
    struct error ignored;
    struct reader reader = {.file = name, .err = err ? err : &ignored};
    reader.table = calloc(PRICES_MAX, sizeof *reader.table);
    if (!reader.table)
        return error_set(err, ERROR_IO, "out of memory");
    ini_file_parse(text, length, &callbacks, &reader);
    end_section(&reader);
    if (reader.failed) {
        free(reader.table);
        return false;
    }
    *ret_table = reader.table;
    *ret_count = reader.count;
    return true;
}

bool config_prices_read(const char *path, struct price **ret_table, size_t *ret_count, struct error *err)
{
    cleanup_buffer struct buffer content = BUFFER_INIT(CONFIG_FILE_MAX);
    if (!path[0])
        return config_prices_parse("built-in prices", prices_conf, strlen(prices_conf), ret_table, ret_count, err);
    return config_load(path, &content, err) &&
           config_prices_parse(path, buffer_text(&content), content.length, ret_table, ret_count, err);
}
