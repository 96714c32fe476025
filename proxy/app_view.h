/*
 * The app from outside: combines what the times of requests, the sockets and the health checks
 * show.
 * Control thread.
 */
#pragma once

#include <stdint.h>

#include "common/address.h"
#include "proxy/app.h"
#include "proxy/observer.h"
#include "proxy/stats_now.h"

struct app_view; /* opaque: defined in app_view.c */

struct app_view_how {
    struct app *app;
    const struct address *upstream; /* where the app listens; copied */
    const struct address *listen;   /* where weir does; copied */
};

struct app_view *app_view_new(const struct app_view_how *how);
void app_view_free(struct app_view *v); /* NULL is allowed */

/* Its argument is a struct app_view. */
extern const struct observer_follower app_view_follower;

/* For a scrape. Looks at the sockets again if nothing is inside, since no tick does. */
void app_view_read(struct app_view *v, mono_us now, struct stats_app *out);
