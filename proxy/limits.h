/*
 * The limits that the loops share, and how they change: the slots and queues of both limiters, and
 * the cap on connections to the app. A slot without a connection is of no use, so a higher limit
 * comes after the room for its connections, and a lower one before. A lowered limit takes no slot
 * from those inside: each of them still gets a connection, and the cap falls as they end.
 * Control thread only.
 */
#pragma once

#include <stdbool.h>

#include "common/clock.h"
#include "proxy/config.h"
#include "proxy/exchange.h"
#include "proxy/loop.h"
#include "proxy/upstream.h"

#define LIMITS_SETTLE_US 10000 /* to the first look at those inside; grows by half */

/* Embedded; the fields are private. */
struct limits {
    struct loop *control;
    struct exchange_shared *shared;
    struct upstream_shared *upstreams;
    const struct config *config; /* in force; not owned */
    struct loop_timer settle;
    mono_us pause;
    bool raise, dry_run_ends; /* between _before and _after */
};

/* Gives both limiters their slots and queues, at the time at which they were made: without slots
 * they would count as saturated. The cap of `upstreams` is already that of the
 * configuration, which its owner keeps until the next change, or limits_fini(). */
void limits_init(struct limits *l, struct loop *control, struct exchange_shared *shared,
                 struct upstream_shared *upstreams, const struct config *config, mono_us now);
void limits_fini(struct limits *l);

/* Around the handing over of a new configuration to the loops. */
void limits_before(struct limits *l, const struct config *next);
void limits_after(struct limits *l);
