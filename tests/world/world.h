/*
 * weir in one thread and by a clock of its own (peers.now): one loop with clients, exchanges, an
 * upstream, a limiter and statistics, as server.c builds a worker, between the scripted peers of
 * peers.h. The clock, the threads and the ports are the test's. For the whole-proxy fuzzer and for
 * unit tests; one world at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/task_queue.h"
#include "limiter/limiter.h"
#include "proxy/client.h"
#include "proxy/config.h"
#include "proxy/exchange.h"
#include "proxy/loop.h"
#include "proxy/stats.h"
#include "proxy/upstream.h"

struct peer;

#define WORLD_REST_US 1000 /* goes by before weir comes to rest */

/* What weir's other threads tell a loop. */
enum world_order {
    WORLD_UP,    /* the app takes connections */
    WORLD_DRAIN, /* SIGTERM */
    WORLD_LATE,  /* the drain's last second */
    WORLD_CUT,   /* its end */
    WORLD_FULL,  /* a new client needs a place; the others are told once only */
    WORLD_ORDERS,
};

struct world_how {
    struct config config; /* from world_config() */
    uint32_t upgrades_max, connections_max;
    bool starting;         /* the app is not up yet */
    void (*at_rest)(void); /* looks at each state that weir has come to rest in; or NULL */
};

extern struct world {
    struct config config;
    struct loop *loop;
    struct stats *stats;
    struct exchange_shared shared;
    struct upstream_shared *room;
    uint32_t connections_max;
    struct upstream *upstream;
    struct exchange_env *exchanges;
    struct clients *clients;
    void (*at_rest)(void);
    struct task orders[WORLD_ORDERS];
    bool told[WORLD_ORDERS];
    bool made_room;                        /* by the last WORLD_FULL */
    size_t turned_away, cut;               /* by WORLD_LATE and WORLD_CUT */
    size_t clients_ended, exchanges_ended; /* what on_ended was told */
    struct {
        mono_us waits, holds;
        int connections[2][2];
        int64_t buffered[2];
        int orphans, upgrades;
    } sums; /* what weir has told its statistics */
} world;

/* A configuration with timeouts of one or two seconds. Not the caller's to free. */
const struct config *world_config(void);

void world_build(const struct world_how *how); /* after peers_begin() */
void world_take_down(void);                    /* after peers_end() and a rest */

/* A new client, or NULL: there are PEERS_CLIENTS. Weir hears of it in its next turn. */
struct peer *world_client(void);

void world_tell(enum world_order order); /* delivered in the next turn */

bool world_turn(void);

/* Turns until nothing happens any more, then checks slots and books. */
void world_rest(void);

/* Time goes by: rests after each step. */
void world_pass(mono_us time, mono_us step);

void world_limiter(struct limiter_snapshot *now);

/* Nobody does anything any more; every timeout has its time. */
void world_end_by_itself(void);

/* Nothing is held, and the sums of what was measured agree. */
void world_check_nothing_is_left(void);

/* The process's low descriptors, to be compared. */
void world_descriptors(uint64_t is_open[2]);
