/*
 * One request's life, and the only file that knows both sides.
 *
 *   ARRIVED ─► BUFFERING ─► QUEUED ─► CONNECTING ─► AWAITING ─► STREAMING ─► FLUSHING ─► DONE
 *      │           │         │  │         │  ▲         │  │ └──────► TUNNEL ─────────────► DONE
 *      │           │         │  │         │  └ replay ─┘  └─ client gone ─► ORPHANED ────► DONE
 *      │           │         │  └─ client gone, verdict already posted ──────► ABANDONED ► DONE
 *      └───────────┴─────────┴────────────┴────────────┴──► REPLYING ────────────────────► DONE
 *   refused    slow body  deadline             no answer
 *
 * BUFFERING waits for the request's body while slots are scarce, so that a slow upload holds none;
 * most requests pass it by. QUEUED waits for a slot, or has one and waits for the other events of
 * the turn, since what they tell of a connection must be known before it is leased. CONNECTING,
 * AWAITING, STREAMING, TUNNEL and ORPHANED hold a slot, and a connection or the wish for one.
 * FLUSHING has given both back: the app's last byte is read, and a slow reader keeps neither. A
 * client that leaves before its request is dispatched leads to DONE, and the app never hears of it;
 * after that its exchange is ORPHANED: the answer is read and thrown away, and the slot stays held.
 *
 * Each loop has one env with a list per state. Loop thread only, but for exchange_deliver().
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/clock.h"
#include "limiter/limiter.h"
#include "proxy/budget.h"
#include "proxy/client.h"
#include "proxy/config.h"
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

/* What the loops share; written by the control thread, read by all. */
struct exchange_shared {
    struct limiter *limiter;
    _Atomic bool ready;               /* the app has answered its startup probe once */
    _Atomic mono_us startup_deadline; /* until then requests wait for it */
    struct budget budget;
    uint32_t upgrades_max;
    _Atomic uint32_t upgrades; /* asked for or there */
};

struct exchange_env; /* one loop's exchanges: opaque */

struct exchange_env_config {
    struct exchange_shared *shared;
    struct loop *loop;
    struct upstream *upstream;
    struct stats_shard *stats;
    const struct config *config;
    /* A client connection has ended, or an exchange without one: someone may wait for the last. */
    void (*on_ended)(void *arg, bool client);
    void *arg;
};

struct exchange_env *exchange_env_new(const struct exchange_env_config *config);
void exchange_env_free(struct exchange_env *env); /* no exchange is left */

extern const struct client_handler exchange_client_handler; /* its env is a struct exchange_env */

/* The app is ready: who has waited for that waits for a slot, and from now on as long as others. */
void exchange_app_is_up(struct exchange_env *env);

/* From now on every answer is the last of its connection. */
void exchange_drain(struct exchange_env *env);

/* Answers 503 to all that have no slot yet, how many they were is returned; and ends tunnels. */
size_t exchange_turn_away(struct exchange_env *env);

/*
 * A new client needs a place, and no connection is idle: refuses the request that has been
 * BUFFERING longest. False: none has been for long.
 */
MUST_USE bool exchange_make_room(struct exchange_env *env);

/* Ends what is left; how many requests with a client were cut is returned. */
size_t exchange_cut_all(struct exchange_env *env);

size_t exchange_total(const struct exchange_env *env); /* all but DONE */

/* Whether the loop's numbers agree with its exchanges; what does not is counted. Not within another
 * callback of an exchange, which may be halfway between two of them. */
bool exchange_audit(const struct exchange_env *env);

/* Any thread: hands each waiter of the chain its verdict, on its own loop. */
void exchange_deliver(struct limiter_waiter *chain);
