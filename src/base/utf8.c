#include "base/utf8.h"

#include <string.h>

size_t utf8_character(const char *text, size_t room, uint32_t *ret_character)
{
    if (!room)
        return 0;
    const unsigned char *bytes = (const unsigned char *)text;
    uint32_t character = bytes[0];
    size_t length = 1;
    uint32_t smallest = 0; /* what a form of this length is needed for */
    if (bytes[0] >= 0xf0 && bytes[0] < 0xf8) {
        length = 4, character &= 0x07, smallest = 0x10000;
    } else if (bytes[0] >= 0xe0 && bytes[0] < 0xf0) {
        length = 3, character &= 0x0f, smallest = 0x800;
    } else if (bytes[0] >= 0xc0 && bytes[0] < 0xe0) {
        length = 2, character &= 0x1f, smallest = 0x80;
    } else if (bytes[0] >= 0x80) {
        return 0;
    }
    if (length > room)
        return 0;
    for (size_t i = 1; i < length; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
        character = character << 6 | (bytes[i] & 0x3f);
    }
    if (character < smallest || character > 0x10ffff || (character >= 0xd800 && character <= 0xdfff))
        return 0;
    if (ret_character)
        *ret_character = character;
    return length;
}

bool utf8_is_hazard(uint32_t character)
{
    static const struct {
        uint32_t first, last;
    } ranges[] = {
        {0x00, 0x1f},     {0x7f, 0x9f},     {0xad, 0xad},     {0x61c, 0x61c},   {0x200b, 0x200f},
        {0x2028, 0x202e}, {0x2060, 0x206f}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0xe007f},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        if (character >= ranges[i].first && character <= ranges[i].last)
            return true;
    return false;
}

void utf8_tame(char *text, size_t length)
{
    for (size_t at = 0, step; at < length; at += step) {
        uint32_t character = 0;
        step = utf8_character(text + at, length - at, &character);
        if (step && !utf8_is_hazard(character))
            continue;
        step = step ? step : 1;
        memset(text + at, '?', step);
    }
}
