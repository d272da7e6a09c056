/* Tables and lines: fitted to the terminal with long texts wrapped between words; one line each when the output is no
 * terminal. */
#ifndef LLMHOOK_CLI_TABLE_H
#define LLMHOOK_CLI_TABLE_H

#include "cli/cli.h"

enum { TABLE_COLUMNS_MAX = 8 };

struct table_column {
    const char *name;
    bool wrap; /* on a terminal this column gives way, the last one of them least */
};

struct table;

/* COLUMNS ends with a NULL name and outlives the table. Aborts when memory is short, as all of these do. */
struct table *table_new(const struct cli *cli, const struct table_column *columns);
void table_free(struct table *table);

/* Begins a row. */
void table_row(struct table *table);
/* The row's next cell; "-" for an empty TEXT. COLOUR: "red", "yellow", "green" or NULL, a constant. */
void table_cell(struct table *table, const char *text, const char *colour);
/* Prints it with its headings; nothing at all when it has no row. */
void table_print(const struct table *table);

/* Prints LABEL, padded to INDENT columns, and TEXT, whose further lines begin at INDENT. */
void table_print_line(const struct cli *cli, int indent, const char *label, const char *text);

#endif
