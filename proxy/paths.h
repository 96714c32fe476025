/*
 * A list of paths of request targets, compared byte by byte: nothing is decoded or normalised, so
 * that weir and the app never disagree on which path was requested. Pure; any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/check.h"
#include "common/span.h"

struct path {
    char *at;
    size_t len;
};

/* Zero-initialised: empty. Owns its paths. */
struct paths {
    struct path *at;
    size_t n;
};

/* Begins with '/'; visible ASCII without '?', '#' and ',', which separates paths in a flag. */
bool paths_is_valid(struct span path);

void paths_add(struct paths *p, struct span path);
void paths_clear(struct paths *p);

/* `target`: a path in origin form, with or without a query, which is ignored. */
bool paths_contain(const struct paths *p, struct span target);

static inline bool paths_match(const struct paths *p, struct span target)
{
    return p->n > 0 && paths_contain(p, target);
}
