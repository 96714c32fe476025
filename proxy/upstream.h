/*
 * One loop's connections to the app: leased to one request at a time, kept between requests,
 * newest first, closed after upstream.keepalive_timeout. Loop thread only, but for what it says.
 *
 *     CONNECTING ──► LEASED ──► IDLE ──► LEASED ...
 *         └────────────┴──────────┴────► closed
 *
 * (Inside, TRYING is a connect that a full backlog or a lack of descriptors has put off, and
 * FAILING one that has failed at once and is told a moment later.)
 *
 * All loops together never have more connections than the limit. A loop that needs one when the
 * others hold the rest idle posts a task to them to close one; so a limit of 1 means one
 * connection, whatever the number of threads (an app may serve one connection at a time).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/check.h"
#include "proxy/budget.h"
#include "proxy/config.h"
#include "proxy/loop.h"
#include "proxy/stats.h"

struct conn;
struct upstream;        /* one loop's */
struct upstream_conn;   /* opaque: defined in upstream.c */
struct upstream_shared; /* what the loops share: how many connections there are */

enum upstream_failure {
    UPSTREAM_REFUSED,   /* or unreachable, forbidden and whatever is none of the others */
    UPSTREAM_TIMEOUT,   /* upstream.connect_timeout is over */
    UPSTREAM_NO_SOCKET, /* no descriptor, port or memory left */
};

/* Embedded in who leases. `handler` and `arg` are set by the owner before upstream_lease(). */
struct upstream_lease {
    const struct upstream_handler *handler;
    void *arg;
    struct upstream_conn *conn;         /* ours while connecting or leased, else NULL */
    struct upstream_lease *next, *prev; /* in the list of those who wait for room */
    bool waiting;
    int kind; /* enum upstream_kind, while waiting */
};

struct upstream_handler {
    /* The connection is there: l->conn. Not called from within upstream_lease(). */
    void (*on_ready)(struct upstream_lease *l);
    /* There will be none; the lease is over. `error`: what the system said, an errno; EAGAIN where
     * a Unix socket's backlog was full to the end. Not called from within upstream_lease(). */
    void (*on_failed)(struct upstream_lease *l, enum upstream_failure why, int error);
    /* Leased: something may be read, or written; or the app has hung up: read on to see. */
    void (*on_event)(struct upstream_lease *l);
};

/* `cap`: connections of all loops at most. Freed when all loops' upstreams are. */
struct upstream_shared *upstream_shared_new(uint32_t cap, unsigned loops);

/*
 * Before the loops run: what to call, on any loop, when the process has no descriptor left for a
 * connection. It is tried again until upstream.connect_timeout is over, and this called each time.
 */
void upstream_shared_on_shortage(struct upstream_shared *sh, void (*on_shortage)(void *arg),
                                 void *arg);
void upstream_shared_free(struct upstream_shared *sh);

/* Registers with `shared` as loop number loop_index(lp). Not thread-safe: before the loops run. */
struct upstream *upstream_new(struct upstream_shared *shared, struct loop *lp,
                              struct stats_shard *stats, const struct config *config,
                              struct budget *budget);
void upstream_free(struct upstream *up); /* no lease is left; closes the idle ones */

enum upstream_kind {
    UPSTREAM_ANY,   /* idle or new */
    UPSTREAM_ALIVE, /* the request cannot be sent twice: an idle one that is surely not closing */
    UPSTREAM_FRESH, /* a new one: an idle one has just failed */
};

/*
 * True: l->conn is there at once. False: on_ready or on_failed will come, unless upstream_drop()
 * is called first.
 */
MUST_USE bool upstream_lease(struct upstream *up, struct upstream_lease *l,
                             enum upstream_kind kind);

/* Ends a lease that is ready: the connection becomes idle when `reusable`, else it is closed. */
void upstream_return(struct upstream *up, struct upstream_lease *l, bool reusable);

/* Ends a lease in any state, closing what there is. */
void upstream_drop(struct upstream *up, struct upstream_lease *l);

/* Ends a lease that is ready by an RST: what the app has received was cut, and does not end. */
void upstream_reset(struct upstream *up, struct upstream_lease *l);

struct conn *upstream_socket(const struct upstream_lease *l);

/* The connection had carried a request before this lease: its end may have crossed ours. */
bool upstream_was_reused(const struct upstream_lease *l);

/* No connection is kept any more: idle ones are closed now, others when they come back. */
void upstream_drain(struct upstream *up);
