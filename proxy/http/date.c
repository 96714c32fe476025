/* See date.h. */
#include "proxy/http/date.h"

#define SECONDS_A_DAY 86400

/* Years begin on 1 March here, so that the odd day is a year's last. */
#define DAYS_BEFORE_1970 719468 /* since 1 March of the year 0 */
#define DAYS_OF_400      146097

struct day {
    unsigned year, month, day; /* month and day from 1 */
};

static struct day day_of(unsigned days)
{
    unsigned era = (days + DAYS_BEFORE_1970) / DAYS_OF_400;
    unsigned of_era = (days + DAYS_BEFORE_1970) % DAYS_OF_400;
    unsigned years = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    unsigned of_year = of_era - (365 * years + years / 4 - years / 100);
    unsigned month = (5 * of_year + 2) / 153; /* from March on, 153 days are five months */
    struct day d = {.year = era * 400 + years, .day = of_year - (153 * month + 2) / 5 + 1};

    d.month = month < 10 ? month + 3 : month - 9;
    d.year += d.month <= 2;
    return d;
}

static char *put_text(char *at, const char *text, size_t len)
{
    memcpy(at, text, len);
    return at + len;
}

static char *put_digits(char *at, unsigned n, unsigned digits, char behind)
{
    for (unsigned i = digits; i-- > 0; n /= 10)
        at[i] = (char)('0' + n % 10);
    at[digits] = behind;
    return at + digits + 1;
}

static void write_date(char *at, int64_t second)
{
    static const char weekdays[] = "Thu, Fri, Sat, Sun, Mon, Tue, Wed, ";
    static const char months[] = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec ";
    unsigned days = (unsigned)(second / SECONDS_A_DAY), rest = (unsigned)(second % SECONDS_A_DAY);
    struct day d = day_of(days);

    at = put_text(at, weekdays + 5 * (days % 7), 5);
    at = put_digits(at, d.day, 2, ' ');
    at = put_text(at, months + (size_t)4 * (d.month - 1), 4);
    at = put_digits(at, d.year, 4, ' ');
    at = put_digits(at, rest / 3600, 2, ':');
    at = put_digits(at, rest / 60 % 60, 2, ':');
    at = put_digits(at, rest % 60, 2, ' ');
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
