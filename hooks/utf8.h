/* UTF-8, as strictly as JSON wants it. */
#ifndef LLMHOOK_HOOKS_UTF8_H
#define LLMHOOK_HOOKS_UTF8_H

#include <stddef.h>

#define UTF8_REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD, for what cannot be text */

/* Bytes (1 to 4) of the character that begins at BYTES, or 0 when none does: a stray or missing continuation byte,
 * an overlong form, a surrogate, something beyond U+10FFFF. LEFT is at least 1. */
size_t utf8_character(const char *bytes, size_t left);

#endif
