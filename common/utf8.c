/* See utf8.h. */
#include "common/utf8.h"

/* From the first byte; 0: no character begins with it. */
static size_t length_of(unsigned char first)
{
    if (first < 0x80)
        return 1;
    if (first >= 0xC2 && first <= 0xDF)
        return 2;
    if (first >= 0xE0 && first <= 0xEF)
        return 3;
    return first >= 0xF0 && first <= 0xF4 ? 4 : 0;
}

/* RFC 3629 section 4: the range of the second byte excludes overlong forms, surrogates and code
 * points above U+10FFFF. */
static bool second_fits(unsigned char first, unsigned char second)
{
    unsigned char low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    unsigned char high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;

    return second >= low && second <= high;
}

size_t utf8_length(struct span s)
{
    const unsigned char *at = (const unsigned char *)s.at;
    size_t n = s.len == 0 ? 0 : length_of(at[0]);

    if (n <= 1)
        return n;
    if (n > s.len || !second_fits(at[0], at[1]))
        return 0;
    for (size_t i = 2; i < n; i++) {
        if ((at[i] & 0xC0) != 0x80)
            return 0;
    }
    return n;
}
