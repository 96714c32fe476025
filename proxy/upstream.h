/*
 * One loop's connections to the app: leased to one request at a time, kept between requests, reused
 * newest first, closed after upstream.keepalive_timeout. Loop thread only, unless stated otherwise.
 *
 *     CONNECTING ──► LEASED ──► IDLE ──► LEASED ...
 *         └────────────┴──────────┴────► closed
 *
 * (Internally, TRYING is a connect postponed by a full backlog or a lack of descriptors, and
 * FAILING one that has failed at once and is reported a moment later.)
 *
 * All loops together never have more connections than the limit. A loop that needs one while the
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
struct upstream;        /* of one loop */
struct upstream_conn;   /* opaque: defined in upstream.c */
struct upstream_shared; /* shared by the loops: the number of connections */

enum upstream_failure {
    UPSTREAM_REFUSED,   /* or unreachable, forbidden, or any other failure */
    UPSTREAM_TIMEOUT,   /* upstream.connect_timeout has expired */
    UPSTREAM_NO_SOCKET, /* no descriptor, port or memory left */
};

/* Embedded in its owner, which sets `handler` and `arg` before upstream_lease(). */
struct upstream_lease {
    const struct upstream_handler *handler;
    void *arg;
    struct upstream_conn *conn;         /* ours while connecting or leased, else NULL */
    struct upstream_lease *next, *prev; /* in the list of leases that wait for room */
    bool waiting;
    int kind; /* enum upstream_kind, while waiting */
};

struct upstream_handler {
    /* The connection is ready: l->conn. Not called from within upstream_lease(). */
    void (*on_ready)(struct upstream_lease *l);
    /* The connection failed; the lease is over. `error`: the system's errno; EAGAIN if a Unix
     * socket's backlog was full to the end. Not called from within upstream_lease(). */
    void (*on_failed)(struct upstream_lease *l, enum upstream_failure why, int error);
    /* Leased: input may be readable, output writable, or the app has hung up: read to find out. */
    void (*on_event)(struct upstream_lease *l);
};

/* `cap`: maximum number of connections of all loops. Free it after the upstreams of all loops. */
struct upstream_shared *upstream_shared_new(uint32_t cap, unsigned loops);

/* Any thread: a new maximum. While there are more connections, none is opened, idle ones are
 * closed, and so are those that are returned. */
void upstream_shared_configure(struct upstream_shared *sh, uint32_t cap);

/*
 * Before the loops run: sets a function that is called, on any loop, when the process has no
 * descriptor left for a connection. The connect is retried until upstream.connect_timeout expires,
 * with a call each time.
 */
void upstream_shared_on_shortage(struct upstream_shared *sh, void (*on_shortage)(void *arg),
                                 void *arg);
void upstream_shared_free(struct upstream_shared *sh);

/* Any thread: the connections of all loops that are open, or being opened. */
uint32_t upstream_shared_open(const struct upstream_shared *sh);

/* Registers with `shared` as loop number loop_index(lp). Not thread-safe: call it before the loops
 * run. */
struct upstream *upstream_new(struct upstream_shared *shared, struct loop *lp,
                              struct stats_shard *stats, const struct config *config,
                              struct budget *budget);
void upstream_free(struct upstream *up); /* no lease may be left; closes the idle ones */

/* From now on, `config` is used, which must stay valid until the next call. */
void upstream_configure(struct upstream *up, const struct config *config);

enum upstream_kind {
    UPSTREAM_ANY,   /* idle or new */
    UPSTREAM_ALIVE, /* the request cannot be sent twice: no idle one that may be closing */
    UPSTREAM_FRESH, /* a new one, after an idle one has failed */
};

/* True: l->conn is ready. False: on_ready or on_failed follows, unless upstream_drop() is called
 * first. */
MUST_USE bool upstream_lease(struct upstream *up, struct upstream_lease *l,
                             enum upstream_kind kind);

/* Ends a ready lease: the connection becomes idle if `reusable`, else it is closed. */
void upstream_return(struct upstream *up, struct upstream_lease *l, bool reusable);

/* Ends a lease in any state, and closes its connection if there is one. */
void upstream_drop(struct upstream *up, struct upstream_lease *l);

/* Ends a ready lease with an RST: the app sees that its input was cut, rather than ended. */
void upstream_reset(struct upstream *up, struct upstream_lease *l);

struct conn *upstream_socket(const struct upstream_lease *l);

/* The connection has carried a request before: its close may have crossed the new request. */
bool upstream_was_reused(const struct upstream_lease *l);

/* No connection is kept any more: idle ones are closed now, others when they are returned. */
void upstream_drain(struct upstream *up);
void upstream_undrain(struct upstream *up); /* the drain was cancelled: they are kept again */
