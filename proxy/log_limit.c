/* See log_limit.h. */
#include "proxy/log_limit.h"

#include <stdio.h>

#define LOG_EVERY_US 1000000

static struct log_limit_kind *kind_of(struct log_limit *limit, mono_us now, const char *what)
{
    struct log_limit_kind *oldest = &limit->kinds[0];

    for (struct log_limit_kind *k = limit->kinds; k < limit->kinds + LOG_LIMIT_KINDS; k++) {
        if (k->what == what)
            return k;
        if (k->logged < oldest->logged)
            oldest = k;
    }
    *oldest = (struct log_limit_kind){.what = what, .logged = now - LOG_EVERY_US};
    return oldest;
}

bool log_limit_allows(struct log_limit *limit, mono_us now, const char *what,
                      char more[LOG_LIMIT_MORE])
{
    struct log_limit_kind *k = kind_of(limit, now, what);

    more[0] = '\0';
    if (now - k->logged < LOG_EVERY_US) {
        k->suppressed++;
        return false;
    }
    if (k->suppressed > 0)
        snprintf(more, LOG_LIMIT_MORE, "; %u similar messages were not logged", k->suppressed);
    k->logged = now;
    k->suppressed = 0;
    return true;
}
