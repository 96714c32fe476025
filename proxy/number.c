/* See number.h. */
#include "proxy/number.h"

#define MILLIONTH_DIGITS 6

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool number_take(struct span *s, uint64_t most, uint64_t *n)
{
    const char *start = s->at;

    *n = 0;
    for (; s->len > 0 && is_digit(s->at[0]); s->at++, s->len--) {
        *n = *n * 10 + (uint64_t)(s->at[0] - '0');
        if (*n > most)
            *n = most;
    }
    return s->at > start;
}

bool number_decimal(struct span s, uint64_t most, uint64_t *whole, uint64_t *millionths)
{
    *millionths = 0;
    if (!number_take(&s, most, whole))
        return false;
    if (s.len == 0)
        return true;
    if (s.at[0] != '.' || s.len == 1)
        return false;
    for (size_t i = 1; i < s.len || i <= MILLIONTH_DIGITS; i++) {
        if (i < s.len && !is_digit(s.at[i]))
            return false;
        if (i <= MILLIONTH_DIGITS)
            *millionths = *millionths * 10 + (uint64_t)(i < s.len ? s.at[i] - '0' : 0);
    }
    return true;
}
