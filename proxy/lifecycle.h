/*
 *   READY ──► ANNOUNCING ──► DRAINING ──► DRAINED ──► STOPPED
 *     ▲ └──────────┼───────────▲ │           │
 *     └────────────┴─────────────┴───────────┘ lifecycle_cancel()
 *
 * Signals and the times of a drain, on the control loop. SIGTERM, SIGINT or lifecycle_drain()
 * begins it. ANNOUNCING lasts for drain.delay: weir accepts connections as before, but each
 * response is the last on its connection; SIGINT skips it. DRAINING: no connection is accepted,
 * queued and running requests are served. One second before drain.timeout, which counts from the
 * beginning, requests that are still queued are refused; at drain.timeout the remaining ones are
 * cut off. After a drain that a signal has begun, the process ends. After any other, it stays
 * DRAINED until a signal or a cancel: the first signal only asks the process to end. A second
 * signal cuts off the rest.
 *
 * If balancers learn of the shutdown by other means, a drain may leave the instance ready while it
 * is ANNOUNCING, so that a balancer that has no other instance still connects. The request that
 * begins the drain decides.
 */
#pragma once

#include <stdbool.h>

#include "common/check.h"
#include "common/clock.h"
#include "proxy/config.h"
#include "proxy/loop.h"

enum lifecycle_state {
    LIFECYCLE_READY,
    LIFECYCLE_ANNOUNCING,
    LIFECYCLE_DRAINING,
    LIFECYCLE_DRAINED,
    LIFECYCLE_STOPPED,
};

struct lifecycle; /* opaque: defined in lifecycle.c */

struct lifecycle_handler {
    void (*on_announce)(void *arg); /* make each response the last on its connection */
    void (*on_drain)(void *arg);    /* stop accepting, serve the rest, then lifecycle_drained() */
    void (*on_late)(void *arg);     /* refuse the requests that are still queued */
    void (*on_cut)(void *arg);      /* end whatever remains, then lifecycle_drained() */
    void (*on_drained)(void *arg);  /* all is done; the process may keep running */
    /* Serve as before the drain. False: `why` has the reason, and the drain continues. */
    bool (*on_cancel)(void *arg, const char **why);
    void (*on_hangup)(void *arg); /* SIGHUP: read the configuration again */
    void (*on_reopen)(void *arg); /* SIGUSR1: open the access log again */
};

/* Handles SIGTERM, SIGINT, SIGHUP and SIGUSR1 of the process; other threads must have them blocked.
 */
struct lifecycle *lifecycle_new(struct loop *lp, const struct config *config,
                                const struct lifecycle_handler *handler, void *arg);
void lifecycle_free(struct lifecycle *lc);

/* For the next drain: one that has begun keeps its times. */
void lifecycle_configure(struct lifecycle *lc, const struct config *config);

/* Begins a drain, unless one has begun; `keep_ready`: lifecycle_is_ready() until the delay is over.
 * The process does not end with it. */
void lifecycle_drain(struct lifecycle *lc, bool keep_ready);

/* Ends the drain: READY again. False: `why` has the reason, and the drain continues. */
MUST_USE bool lifecycle_cancel(struct lifecycle *lc, const char **why);

/* DRAINING: nothing remains. In any other state it does nothing. */
void lifecycle_drained(struct lifecycle *lc);

enum lifecycle_state lifecycle_state(const struct lifecycle *lc);

/* Whether a signal has asked the process to end after the drain. */
bool lifecycle_is_ending(const struct lifecycle *lc);

/* Whether balancers may send clients here: READY, or ANNOUNCING in a drain that keeps it. */
bool lifecycle_is_ready(const struct lifecycle *lc);
