/*
 * STARTING ──► READY ──► DRAINING ──► STOPPED
 *     └───────────────────▲
 *
 * Signals and the drain's deadline, on the control loop. SIGTERM or SIGINT begins the drain: what
 * is queued and in flight is served. A second before drain.timeout what still waits in the queue
 * is turned away; at drain.timeout, or at a second signal, what is left is cut.
 */
#pragma once

#include <stdbool.h>

#include "common/clock.h"
#include "proxy/loop.h"

enum lifecycle_state { LIFECYCLE_STARTING, LIFECYCLE_READY, LIFECYCLE_DRAINING, LIFECYCLE_STOPPED };

struct lifecycle; /* opaque: defined in lifecycle.c */

struct lifecycle_handler {
    void (*on_drain)(void *arg); /* stop accepting, serve the rest, then lifecycle_stopped() */
    void (*on_late)(void *arg);  /* what still waits for a slot will not be served: say so */
    void (*on_cut)(void *arg);   /* end what is left now, then lifecycle_stopped() */
};

/* Takes SIGTERM, SIGINT and SIGHUP of the process; other threads must have them blocked. */
struct lifecycle *lifecycle_new(struct loop *lp, mono_us drain_timeout,
                                const struct lifecycle_handler *handler, void *arg);
void lifecycle_free(struct lifecycle *lc);

void lifecycle_ready(struct lifecycle *lc);   /* the app has started */
void lifecycle_stopped(struct lifecycle *lc); /* nothing is left: the control loop ends */
enum lifecycle_state lifecycle_state(const struct lifecycle *lc);
