/* Reading UTF-8 one character at a time, trusting nothing. */
#ifndef LLMHOOK_BASE_UTF8_H
#define LLMHOOK_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UTF8_REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD, for what cannot be text */

/* Length in bytes of the character at TEXT, of which ROOM bytes exist; 0 when no valid character begins there
 * (overlong forms, surrogates and anything above U+10FFFF are not valid). RET_CHARACTER may be NULL. */
size_t utf8_character(const char *text, size_t room, uint32_t *ret_character);

/* True for what must not reach a terminal from somebody else's text: the C0 and C1 controls (a C1 CSI starts an
 * escape sequence just as ESC does), and the invisible characters that reorder or hide text. */
bool utf8_is_hazard(uint32_t character);

/* Puts '?' over each byte of such a character, and over each that is part of none: what is left is one line of text. */
void utf8_tame(char *text, size_t length);

#endif
