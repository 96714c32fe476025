/*
 * A loop's view of a configuration: what its exchanges use, from their arrival to their end. A
 * reload gives each loop a new one; the old one, and with it the old configuration, is freed when
 * the last exchange that arrived under it is. So a request keeps the settings that it began with,
 * and the count of users needs no atomics. Loop thread only.
 */
#pragma once

#include <stddef.h>

#include "proxy/config.h"
#include "proxy/http/parse.h"

struct settings {
    struct config *config;     /* counted */
    struct http_limits limits; /* for the app's heads */
    size_t users;              /* the loop, and exchanges */
};

/* The caller is the first user. Keeps a reference to the configuration. */
struct settings *settings_new(struct config *config);

void settings_free(struct settings *s); /* only from settings_leave() */

static inline struct settings *settings_use(struct settings *s)
{
    s->users++;
    return s;
}

static inline void settings_leave(struct settings *s)
{
    if (--s->users == 0)
        settings_free(s);
}
