/* INI text into sections, keys and values: the only user of libinih.
 *
 * libinih forgives much, and what it forgives depends on how a distribution compiled it: lines longer than its
 * buffer, a second line of a value, `KEY: VALUE`, text behind a section's bracket. So each line is looked at first,
 * comments are taken off here, and libinih only ever sees lines that mean one thing. Sections it is not asked about. */
#ifndef LLMHOOK_CONFIG_INI_FILE_H
#define LLMHOOK_CONFIG_INI_FILE_H

#include <stddef.h>

/* Lines count from 1. Texts are valid during the call only. */
struct ini_file_reader {
    /* A section begins. NAME is without outer white space, and NULL when its line is broken (a problem was reported): its
     * keys still come. */
    void (*section)(void *context, unsigned line, const char *name);
    /* A key, never empty; a value, never empty, without comment and outer white space. */
    void (*key)(void *context, unsigned line, const char *name, const char *value);
    /* A line that cannot be used. Reading goes on behind it. */
    void (*problem)(void *context, unsigned line, const char *text);
};

/* Reads LENGTH bytes to their end, in order. */
void ini_file_parse(const char *text, size_t length, const struct ini_file_reader *reader, void *context);

#endif
