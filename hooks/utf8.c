#include "utf8.h"

#include <stdbool.h>

static bool continues(unsigned char byte)
{
    return (byte & 0xC0) == 0x80;
}

/* The second byte is where overlong forms, surrogates and too large numbers show. */
static bool second_fits(unsigned char first, unsigned char second)
{
    switch (first) {
    case 0xE0:
        return second >= 0xA0;
    case 0xED:
        return second <= 0x9F;
    case 0xF0:
        return second >= 0x90;
    case 0xF4:
        return second <= 0x8F;
    default:
        return true;
    }
}

size_t utf8_character(const char *bytes, size_t left)
{
    const unsigned char *at = (const unsigned char *)bytes;
    size_t length;
    if (at[0] < 0x80)
        return 1;
    else if (at[0] >= 0xC2 && at[0] <= 0xDF)
        length = 2;
    else if (at[0] >= 0xE0 && at[0] <= 0xEF)
        length = 3;
    else if (at[0] >= 0xF0 && at[0] <= 0xF4)
        length = 4;
    else
        return 0;
    if (length > left || !second_fits(at[0], at[1]))
        return 0;
    for (size_t i = 1; i < length; i++) {
        if (!continues(at[i]))
            return 0;
    }
    return length;
}
