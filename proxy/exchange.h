/*
 * The life of one request; the exchange_* files are the only ones that know both sides.
 *
 *                              ┌ refused ┐
 *                              ▼         │
 *   ARRIVED ─► BUFFERING ─► QUEUED ─► CONNECTING ─► AWAITING ─► STREAMING ─► FLUSHING ─► DONE
 *      │           │         │  │         │  ▲         │  │ └──────► TUNNEL ─────────────► DONE
 *      │           │         │  │         │  └ replay ─┘  └─ client gone ─► ORPHANED ────► DONE
 *      │           │         │  └─ client gone, verdict already posted ──────► ABANDONED ► DONE
 *      └───────────┴─────────┴────────────┴────────────┴──► REPLYING ────────────────────► DONE
 *   refused    slow body  deadline             no response
 *
 * BUFFERING waits for the request's body while slots are scarce, so that a slow upload holds none;
 * most requests skip it. QUEUED waits for a slot, or has been granted one and waits until those
 * that were granted one before in this turn have been dispatched. CONNECTING, AWAITING, STREAMING,
 * TUNNEL and ORPHANED hold a slot, and a connection or a pending lease of one. If the app refuses
 * the connection, the request goes back to its place in the queue, with its old deadline. FLUSHING
 * has released both: the app's last byte has been read, and a slow reader keeps neither. If the
 * client leaves before its request is dispatched, the exchange is DONE and the app receives
 * nothing; if it leaves later, the exchange is ORPHANED: the response is read and discarded, and
 * the slot stays held.
 *
 * Each loop has one env with a list per state. Loop thread only, except for exchange_deliver().
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/clock.h"
#include "limiter/limiter.h"
#include "proxy/app.h"
#include "proxy/budget.h"
#include "proxy/client.h"
#include "proxy/completions.h"
#include "proxy/config.h"
#include "proxy/hash.h"
#include "proxy/loop.h"
#include "proxy/stats.h"
#include "proxy/upstream.h"

enum exchange_state {
    EXCHANGE_ARRIVED,
    EXCHANGE_BUFFERING,
    EXCHANGE_QUEUED,
    EXCHANGE_CONNECTING,
    EXCHANGE_AWAITING,
    EXCHANGE_STREAMING,
    EXCHANGE_TUNNEL,
    EXCHANGE_ORPHANED,
    EXCHANGE_ABANDONED,
    EXCHANGE_FLUSHING,
    EXCHANGE_REPLYING,
    EXCHANGE_DONE,
    EXCHANGE_STATES,
};

/* State shared by all loops. The control thread writes `upgrades_max`. */
struct exchange_shared {
    struct limiter *limiter;
    struct limiter *bypass; /* of bypass.paths; see exchange_bypass_configure() */
    struct app *app;
    struct budget budget;
    _Atomic uint32_t upgrades_max;
    _Atomic uint32_t upgrades;     /* offered to the app, or established */
    _Atomic bool held;             /* an operator's pause, which applies with enforce false, too */
    _Atomic uint32_t without_slot; /* requests inside the app with enforce false */
    struct hash_key fair_seed;     /* of the keys by which clients are told apart */
};

struct access_log_shard;
struct exchange_env; /* one loop's exchanges: opaque */

struct exchange_env_config {
    struct exchange_shared *shared;
    struct loop *loop;
    struct upstream *upstream;
    struct stats_shard *stats, *bypass_stats;
    struct completions *completions; /* NULL: none */
    struct access_log_shard *access; /* NULL: there is no access log */
    struct config *config;           /* until exchange_env_configure() */
    /* A client connection has ended, or an exchange whose client had left: a drain may be over. */
    void (*on_ended)(void *arg, bool client);
    void *arg;
};

struct exchange_env *exchange_env_new(const struct exchange_env_config *config);
void exchange_env_free(struct exchange_env *env); /* no exchange may be left */

/* Exchanges that arrive from now on use this configuration; the others keep theirs. */
void exchange_env_configure(struct exchange_env *env, struct config *config);

extern const struct client_handler exchange_client_handler; /* its env is a struct exchange_env */

/* The app is ready. From now on, those that have waited for it wait for at most their
 * queue.timeout. */
void exchange_app_is_up(struct exchange_env *env);

/* An operator's pause is over: in a dry run, all that have waited go on. */
void exchange_go_on_all(struct exchange_env *env);

/* From now on, each response is the last on its connection. */
void exchange_announce(struct exchange_env *env);

/* In addition, upgrades are refused. */
void exchange_drain(struct exchange_env *env);

/* The drain was cancelled. */
void exchange_undrain(struct exchange_env *env);

/* Replies 503 to all requests that have no slot yet and returns their number. From now on, tunnels
 * and event streams are ended in their own way: see exchange_leave_tunnel(), exchange_end_events().
 */
size_t exchange_turn_away(struct exchange_env *env);

/* The number of requests that came too late for that, and were turned away as well: each is
 * returned once. */
size_t exchange_take_late(struct exchange_env *env);

/* A new client needs a place, and no connection is idle: refuses the request that has been
 * BUFFERING longest. False: none has been BUFFERING long enough. */
MUST_USE bool exchange_make_room(struct exchange_env *env);

/* Ends all remaining exchanges; returns how many requests with a client were cut. */
size_t exchange_cut_all(struct exchange_env *env);

size_t exchange_total(const struct exchange_env *env); /* all but DONE */

/* Whether the loop's numbers agree with its exchanges; differences are counted. Not within another
 * callback of an exchange, which may be in the middle of a transition. */
bool exchange_audit(const struct exchange_env *env);

/* How many requests to bypass.paths may be in the app, and connections to it for them, in addition
 * to all others; 0 if there are no such paths. */
uint32_t exchange_bypass_limit(const struct config *config);

/* Any thread: the bounds of `shared->bypass`. Call it again when the configuration has changed. */
void exchange_bypass_configure(struct exchange_shared *shared, const struct config *config,
                               mono_us now);

/* Any thread: posts the verdict of each waiter in the chain to the waiter's own loop. */
void exchange_deliver(struct limiter_waiter *chain);
