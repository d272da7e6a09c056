/* Theory of operation: libsmartcols breaks a cell at a newline or in the middle of a word. Reasons are sentences, so
 * the cells are collected here first, the room on the terminal is shared out among the columns that may give way, and
 * newlines are put between words; libsmartcols aligns and colours the result. */
#include "cli/table.h"

#include "base/utf8.h"

#include <libsmartcols/libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

enum { NARROWEST = 10, DEFAULT_WIDTH = 80 };

struct cell {
    char *text;
    const char *colour;
};

struct row {
    struct cell cells[TABLE_COLUMNS_MAX];
};

struct table {
    const struct cli *cli;
    const struct table_column *columns;
    unsigned column_count;
    struct row *rows;
    size_t row_count;
    unsigned next;
};

static void *need(void *memory)
{
    if (!memory)
        abort();
    return memory;
}

struct table *table_new(const struct cli *cli, const struct table_column *columns)
{
    struct table *table = need(calloc(1, sizeof *table));
    table->cli = cli;
    table->columns = columns;
    while (columns[table->column_count].name)
        table->column_count++;
    if (table->column_count > TABLE_COLUMNS_MAX)
        abort();
    return table;
}

void table_free(struct table *table)
{
    if (!table)
        return;
    for (size_t i = 0; i < table->row_count; i++)
        for (unsigned column = 0; column < table->column_count; column++)
            free(table->rows[i].cells[column].text);
    free(table->rows);
    free(table);
}

void table_row(struct table *table)
{
    table->rows = need(realloc(table->rows, (table->row_count + 1) * sizeof *table->rows));
    memset(&table->rows[table->row_count++], 0, sizeof *table->rows);
    table->next = 0;
}

void table_cell(struct table *table, const char *text, const char *colour)
{
    struct cell *cell = &table->rows[table->row_count - 1].cells[table->next++];
    cell->text = need(strdup(text[0] ? text : "-"));
    cell->colour = colour;
}

/* Columns on the screen that the character at TEXT takes; *RET_LENGTH is its length in bytes. */
static size_t character_width(const char *text, size_t *ret_length)
{
    uint32_t character = 0;
    size_t length = utf8_character(text, strlen(text), &character);
    *ret_length = length ? length : 1;
    int width = length ? wcwidth((wchar_t)character) : 1;
    return width < 0 ? 1 : (size_t)width;
}

static size_t text_width(const char *text)
{
    size_t width = 0, longest = 0, length;
    for (; *text; text += length) {
        size_t step = character_width(text, &length);
        width = *text == '\n' ? 0 : width + step;
        longest = width > longest ? width : longest;
    }
    return longest;
}

/* A copy of TEXT with a newline wherever a line would become wider than WIDTH: for the last blank before that, or
 * between two characters of a word that is too long by itself. */
static char *wrap(const char *text, size_t width)
{
    char *wrapped = need(malloc(strlen(text) * 2 + 1));
    char *out = wrapped, *blank = NULL;
    size_t column = 0, since_blank = 0, length;
    for (; *text; text += length) {
        size_t step = character_width(text, &length);
        if (*text == '\n') {
            column = since_blank = 0;
            blank = NULL;
        } else if (column + step > width && *text == ' ') {
            *out++ = '\n';
            column = since_blank = 0;
            blank = NULL;
            continue;
        } else if (column + step > width) {
            if (blank) {
                *blank = '\n';
                column = since_blank;
            } else {
                *out++ = '\n';
                column = 0;
            }
            since_blank = 0;
            blank = NULL;
        }
        if (*text == ' ') {
            blank = out;
            since_blank = 0;
        } else if (*text != '\n') {
            since_blank += step;
        }
        column += *text == '\n' ? 0 : step;
        memcpy(out, text, length);
        out += length;
    }
    *out = '\0';
    return wrapped;
}

static size_t terminal_width(void)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return DEFAULT_WIDTH;
}

/* Every column as wide as it likes, except that those which wrap share what the others leave. */
static void share_out(const struct table *table, size_t widths[TABLE_COLUMNS_MAX])
{
    size_t room = terminal_width();
    unsigned sharing = 0;
    for (unsigned column = 0; column < table->column_count; column++) {
        widths[column] = text_width(table->columns[column].name);
        for (size_t i = 0; i < table->row_count; i++) {
            size_t width = text_width(table->rows[i].cells[column].text);
            widths[column] = width > widths[column] ? width : widths[column];
        }
        size_t taken = (table->columns[column].wrap ? 0 : widths[column]) + (column ? 1 : 0);
        room = room > taken ? room - taken : 0;
        sharing += table->columns[column].wrap;
    }
    /* The narrow ones first: what they do not use is for the wide ones. The last counts twice, it holds sentences. */
    unsigned last = 0;
    for (unsigned column = 0; column < table->column_count; column++)
        last = table->columns[column].wrap ? column : last;
    bool settled[TABLE_COLUMNS_MAX] = {false};
    for (; sharing; sharing--) {
        unsigned narrowest = TABLE_COLUMNS_MAX;
        for (unsigned column = 0; column < table->column_count; column++)
            if (table->columns[column].wrap && !settled[column] &&
                (narrowest == TABLE_COLUMNS_MAX || widths[column] < widths[narrowest]))
                narrowest = column;
        size_t share = room / (sharing + !settled[last]) * (narrowest == last ? 2 : 1);
        share = share > NARROWEST ? share : NARROWEST;
        if (widths[narrowest] > share)
            widths[narrowest] = share;
        settled[narrowest] = true;
        room = room > widths[narrowest] ? room - widths[narrowest] : 0;
    }
}

void table_print_line(const struct cli *cli, int indent, const char *label, const char *text)
{
    size_t width = terminal_width(), taken = (size_t)indent + NARROWEST;
    char *wrapped = cli->terminal ? wrap(text, width > taken ? width - (size_t)indent : NARROWEST) : need(strdup(text));
    char *rest = wrapped;
    for (const char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n")) {
        printf("%-*s%s\n", indent, label, line);
        label = "";
    }
    free(wrapped);
}

void table_print(const struct table *table)
{
    if (!table->row_count)
        return;
    const bool terminal = table->cli->terminal;
    size_t widths[TABLE_COLUMNS_MAX] = {0};
    if (terminal)
        share_out(table, widths);
    struct libscols_table *printed = need(scols_new_table());
    scols_table_enable_colors(printed, table->cli->colour);
    scols_table_enable_noencoding(printed, 1); /* every cell is safe already, and its escapes are not to be escaped */
    /* Fitted already; where nothing could give way, wide lines are better than cut ones. */
    scols_table_set_termforce(printed, SCOLS_TERMFORCE_NEVER);
    for (unsigned column = 0; column < table->column_count; column++) {
        bool wraps = terminal && table->columns[column].wrap;
        struct libscols_column *made =
            need(scols_table_new_column(printed, table->columns[column].name, 0, wraps ? SCOLS_FL_WRAP : 0));
        if (wraps) {
            scols_column_set_wrapfunc(made, scols_wrapnl_chunksize, scols_wrapnl_nextchunk, NULL);
            scols_column_set_safechars(made, "\n");
        }
    }
    for (size_t i = 0; i < table->row_count; i++) {
        struct libscols_line *line = need(scols_table_new_line(printed, NULL));
        for (unsigned column = 0; column < table->column_count; column++) {
            const struct cell *cell = &table->rows[i].cells[column];
            bool wraps = terminal && table->columns[column].wrap;
            char *text = wraps ? wrap(cell->text, widths[column]) : need(strdup(cell->text));
            if (scols_line_refer_data(line, column, text) != 0)
                abort();
            if (cell->colour)
                scols_cell_set_color(scols_line_get_cell(line, column), cell->colour);
        }
    }
    scols_print_table(printed);
    scols_unref_table(printed);
}
