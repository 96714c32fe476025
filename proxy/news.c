/* See news.h. */
#include "proxy/news.h"

#include <stdio.h>

#define LOG_EVERY_US 1000000

static struct news_kind *kind_of(struct news *news, mono_us now, const char *what)
{
    struct news_kind *oldest = &news->kinds[0];

    for (struct news_kind *k = news->kinds; k < news->kinds + NEWS_KINDS; k++) {
        if (k->what == what)
            return k;
        if (k->logged < oldest->logged)
            oldest = k;
    }
    *oldest = (struct news_kind){.what = what, .logged = now - LOG_EVERY_US};
    return oldest;
}

bool news_may_log(struct news *news, mono_us now, const char *what, char more[NEWS_MORE])
{
    struct news_kind *k = kind_of(news, now, what);

    more[0] = '\0';
    if (now - k->logged < LOG_EVERY_US) {
        k->swallowed++;
        return false;
    }
    if (k->swallowed > 0)
        snprintf(more, NEWS_MORE, "; %u more like it were not logged", k->swallowed);
    k->logged = now;
    k->swallowed = 0;
    return true;
}
