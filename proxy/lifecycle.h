/*
 *   STARTING ──► READY ──► DRAINING ──► STOPPED
 *       └───────────────────▲
 *
 * Signals and the drain timeout, on the control loop. SIGTERM or SIGINT starts the drain: queued
 * and running requests are served. One second before drain.timeout, requests that are still queued
 * are refused; at drain.timeout, or at a second signal, the remaining ones are cut.
 */
#pragma once

#include <stdbool.h>

#include "common/clock.h"
#include "proxy/loop.h"

enum lifecycle_state { LIFECYCLE_STARTING, LIFECYCLE_READY, LIFECYCLE_DRAINING, LIFECYCLE_STOPPED };

struct lifecycle; /* opaque: defined in lifecycle.c */

struct lifecycle_handler {
    void (*on_drain)(void *arg); /* stop accepting, serve the rest, then lifecycle_stopped() */
    void (*on_late)(void *arg);  /* refuse the requests that are still queued */
    void (*on_cut)(void *arg);   /* end all that remain, then lifecycle_stopped() */
};

/* Handles SIGTERM, SIGINT and SIGHUP of the process; other threads must have them blocked. */
struct lifecycle *lifecycle_new(struct loop *lp, mono_us drain_timeout,
                                const struct lifecycle_handler *handler, void *arg);
void lifecycle_free(struct lifecycle *lc);

void lifecycle_ready(struct lifecycle *lc);   /* the app has started */
void lifecycle_stopped(struct lifecycle *lc); /* nothing remains: the control loop ends */
enum lifecycle_state lifecycle_state(const struct lifecycle *lc);
