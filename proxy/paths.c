/* See paths.h. */
#include "proxy/paths.h"

#include <stdlib.h>
#include <string.h>

bool paths_is_valid(struct span path)
{
    if (path.len == 0 || path.at[0] != '/')
        return false;
    for (size_t i = 0; i < path.len; i++) {
        char c = path.at[i];
        if (c <= ' ' || c > '~' || c == '?' || c == '#' || c == ',')
            return false;
    }
    return true;
}

void paths_add(struct paths *p, struct span path)
{
    struct path *grown = realloc(p->at, (p->n + 1) * sizeof(*grown));
    char *copy = malloc(path.len);

    CHECK(grown != NULL && copy != NULL);
    memcpy(copy, path.at, path.len);
    grown[p->n] = (struct path){copy, path.len};
    *p = (struct paths){grown, p->n + 1};
}

void paths_clear(struct paths *p)
{
    for (size_t i = 0; i < p->n; i++)
        free(p->at[i].at);
    free(p->at);
    *p = (struct paths){.at = NULL};
}

bool paths_contain(const struct paths *p, struct span target)
{
    const char *query = target.len == 0 ? NULL : memchr(target.at, '?', target.len);

    if (query != NULL)
        target.len = (size_t)(query - target.at);
    if (target.len == 0) /* `http://host?query` is forwarded as `/?query` */
        target = SPAN("/");
    for (size_t i = 0; i < p->n; i++) {
        if (span_equal((struct span){p->at[i].at, p->at[i].len}, target))
            return true;
    }
    return false;
}
