/*
 * weir in one thread and on a virtual clock (peers.now): one loop with clients, exchanges, an
 * upstream, a limiter and statistics, built like a worker in server.c, between the scripted peers
 * of peers.h. The clock, the threads and the ports are the test's. For the whole-proxy fuzzer and
 * for unit tests; one world at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/span.h"
#include "common/task_queue.h"
#include "limiter/limiter.h"
#include "proxy/client.h"
#include "proxy/config.h"
#include "proxy/exchange.h"
#include "proxy/loop.h"
#include "proxy/stats.h"
#include "proxy/upstream.h"

struct peer;

#define WORLD_REST_US 1000 /* time that passes before weir comes to rest */

/* Tasks that weir's other threads post to a loop. */
enum world_order {
    WORLD_UP,       /* the app accepts connections */
    WORLD_ANNOUNCE, /* SIGTERM, with drain.delay */
    WORLD_DRAIN,    /* the end of that delay */
    WORLD_LATE,     /* the last second of a drain */
    WORLD_CUT,      /* end of the drain */
    WORLD_CANCEL,   /* the drain is cancelled, and another may follow */
    WORLD_FULL,     /* a new client needs room; the others are posted only once */
    WORLD_ORDERS,
};

struct world_how {
    struct config config; /* from world_config() */
    uint32_t upgrades_max, connections_max;
    bool starting;         /* the app is not up yet */
    void (*at_rest)(void); /* called whenever weir has come to rest; or NULL */
};

#define WORLD_CONFIGS 8

extern struct world {
    struct config configs[WORLD_CONFIGS];
    unsigned n_configs;
    const struct config *config; /* in force: the last one */
    uint32_t inside_max;         /* the limit, or more while it has been lowered */
    struct loop *loop;
    struct stats *stats, *bypass_stats;
    struct completions *completions;
    unsigned woken; /* by an arrival after completions_rest() */
    struct exchange_shared shared;
    struct upstream_shared *room;
    uint32_t connections_max;
    struct upstream *upstream;
    struct exchange_env *exchanges;
    struct clients *clients;
    void (*at_rest)(void);
    void (*at_end)(void); /* called whenever a client or an exchange has ended; or NULL */
    struct task orders[WORLD_ORDERS];
    bool told[WORLD_ORDERS];
    bool made_room;                        /* result of the last WORLD_FULL */
    size_t turned_away, cut;               /* results of WORLD_LATE and WORLD_CUT */
    size_t clients_ended, exchanges_ended; /* counts of the on_ended callbacks */
    struct {
        mono_us waits[2], holds[2]; /* [1]: of requests to bypass.paths */
        int connections[2][2];
        int64_t buffered[2];
        int orphans, upgrades;
        size_t ended;
        mono_us total;  /* of ended requests without tunnels */
    } sums;             /* what weir has recorded */
    struct record last; /* at its latest milestone */
    size_t lines;       /* of the access log */
    struct span line;   /* the last one */
} world;

/* A configuration with timeouts of one or two seconds. Owned by the world. */
const struct config *world_config(void);

void world_build(const struct world_how *how); /* after peers_begin() */
void world_take_down(void);                    /* after peers_end() and a rest */

/* A new client, or NULL: there are PEERS_CLIENTS. weir sees it in its next turn. */
struct peer *world_client(void);

void world_tell(enum world_order order); /* run in the next turn */

/* A reload, as in server.c; false: there have been WORLD_CONFIGS. Requests inside may exceed a
 * lower limit until they end. The numbers of connections and of upgrades follow the limit. */
bool world_configure(const struct config *config);

/* Whether any request, or the loop, still uses configuration number `n`, from 0. */
bool world_uses(unsigned n);

bool world_turn(void);

/* Runs turns until nothing happens any more, then checks slots and accounts. */
void world_rest(void);

/* Advances the time; rests after each step. */
void world_pass(mono_us time, mono_us step);

void world_limiter(struct limiter_snapshot *now);
void world_bypass(struct limiter_snapshot *now);

/* The peers do nothing more; every timeout gets its time. */
void world_end_by_itself(void);

/* Nothing is held, and the totals of the measurements agree. */
void world_check_nothing_is_left(void);

/* The open low descriptors of the process, for comparison. */
void world_descriptors(uint64_t is_open[2]);
