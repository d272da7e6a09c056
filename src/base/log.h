/* What the operator reads: one line an event, on standard error, for the journal to keep.
 *
 * Rule: a function either logs or returns an error, never both. Nothing that may hold a secret is a parameter
 * here: names, states, sentences of struct error. */
#ifndef LLMHOOK_BASE_LOG_H
#define LLMHOOK_BASE_LOG_H

#include <stdbool.h>

/* syslog's levels, which the journal reads from the `<N>` prefix (sd-daemon(3)). */
enum log_level { LOG_LEVEL_ERROR = 3, LOG_LEVEL_WARNING = 4, LOG_LEVEL_NOTICE = 5, LOG_LEVEL_INFO = 6, LOG_LEVEL_DEBUG = 7 };

/* Lines above LEVEL are dropped. Default: info. */
void log_set_level(enum log_level level);
/* Prefix lines with `<N>`; the default when $JOURNAL_STREAM is set at the first line. */
void log_set_journal(bool on);

void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...) log_write(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
