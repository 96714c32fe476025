/* See request_start.h. Parts of a microsecond are cut off. */
#include "proxy/request_start.h"

#include "proxy/number.h"

/* The greatest times that count as seconds (the year 5138), as milliseconds, and as microseconds.
 */
#define SECONDS_MAX UINT64_C(99999999999)
#define MILLIS_MAX  (SECONDS_MAX * 1000 + 999)
#define MICROS_MAX  (MILLIS_MAX * 1000 + 999)

static wall_us microseconds(uint64_t whole, uint64_t millionths)
{
    if (whole <= SECONDS_MAX)
        return (wall_us)(whole * 1000000 + millionths);
    if (whole <= MILLIS_MAX)
        return (wall_us)(whole * 1000 + millionths / 1000);
    return (wall_us)whole;
}

bool request_start_read(struct span value, wall_us arrived, mono_us *before)
{
    uint64_t whole, millionths;

    if (value.len >= 2 && value.at[0] == 't' && value.at[1] == '=')
        value = (struct span){value.at + 2, value.len - 2};
    if (!number_decimal(value, MICROS_MAX + 1, &whole, &millionths) || whole > MICROS_MAX)
        return false;
    wall_us start = microseconds(whole, millionths);
    if (start > arrived) {
        if (start - arrived > REQUEST_START_SKEW)
            return false;
        *before = 0;
        return true;
    }
    if (arrived - start > REQUEST_START_AGE)
        return false;
    *before = arrived - start;
    return true;
}
