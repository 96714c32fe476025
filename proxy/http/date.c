/* See date.h. */
#include "proxy/http/date.h"

#include <time.h>

static char *put_text(char *at, const char *text, size_t len)
{
    memcpy(at, text, len);
    return at + len;
}

static char *put_digits(char *at, int n, int digits, char behind)
{
    for (int i = digits; i-- > 0; n /= 10)
        at[i] = (char)('0' + n % 10);
    at[digits] = behind;
    return at + digits + 1;
}

static void write_date(char *at, int64_t second)
{
    static const char weekdays[] = "Sun, Mon, Tue, Wed, Thu, Fri, Sat, ";
    static const char months[] = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec ";
    time_t t = second;
    struct tm d;

    gmtime_r(&t, &d);
    at = put_text(at, weekdays + 5 * d.tm_wday, 5);
    at = put_digits(at, d.tm_mday, 2, ' ');
    at = put_text(at, months + 4 * d.tm_mon, 4);
    at = put_digits(at, d.tm_year + 1900, 4, ' ');
    at = put_digits(at, d.tm_hour, 2, ':');
    at = put_digits(at, d.tm_min, 2, ':');
    at = put_digits(at, d.tm_sec, 2, ' ');
    put_text(at, "GMT", 3);
}

struct span http_date(struct http_date *d, wall_us now)
{
    int64_t second = now / 1000000;

    if (second != d->second || d->text[0] == '\0') {
        d->second = second;
        write_date(d->text, second);
    }
    return (struct span){d->text, HTTP_DATE_LEN};
}
