#include "base/log.h"

#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static enum log_level threshold = LOG_LEVEL_INFO;
static int journal = -1;

void log_set_level(enum log_level level)
{
    threshold = level;
}

void log_set_journal(bool on)
{
    journal = on;
}

void log_write(enum log_level level, const char *format, ...)
{
    if (level > threshold)
        return;
    if (journal < 0)
        journal = getenv("JOURNAL_STREAM") != NULL;
    /* One write per line: lines of several threads must not mix. A domain's name, or what a provider
     * says, must not forge a line or reach the terminal of whoever reads it. */
    char line[1200];
    int start = journal ? snprintf(line, sizeof line, "<%d>", (int)level) : 0;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line + start, sizeof line - (size_t)start - 1, format, arguments);
    va_end(arguments);
    if (length < 0)
        return;
    size_t end = (size_t)(start + length);
    if (end > sizeof line - 2)
        end = sizeof line - 2;
    utf8_tame(line + start, end - (size_t)start);
    line[end] = '\n';
    ssize_t ignored = write(STDERR_FILENO, line, end + 1);
    (void)ignored;
}
