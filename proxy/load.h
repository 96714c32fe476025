/*
 * The recent load of a limiter, for balancers: means over a window of at least LOAD_WINDOW_US, from
 * the limiter's integrals, so that no moment is overlooked, however rarely it is measured. Pure;
 * its owner's thread only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"
#include "limiter/snapshot.h"

#define LOAD_WINDOW_US 500000 /* a shorter mean would be that of a few requests */

struct load {
    double used; /* slots held and waited for, as a share of the limit: above 1 with a queue; 0
                    without a limit */
    double rate; /* requests that the app has finished, per second */
    mono_us since;
    uint64_t in_flight_us, queued_us, released; /* at that time */
};

/* The first window begins: the load is 0 until it ends. */
void load_init(struct load *ld, const struct limiter_snapshot *s, mono_us now);

/* True: a window has ended, and its means are in `used` and `rate`. */
bool load_measure(struct load *ld, const struct limiter_snapshot *s, mono_us now);
