/* The numbers of a limiter at one moment. Counts and integrals only grow. */
#pragma once

#include <stdint.h>

#include "common/clock.h"

struct limiter_snapshot {
    uint32_t limit; /* the slots of all instances, at most LIMITER_UNLIMITED */
    uint32_t queue_length;
    uint32_t in_flight;    /* slots held */
    uint32_t depth;        /* waiters in the queue */
    uint64_t bytes;        /* held by those waiters */
    unsigned paused;       /* a set of limiter_pause_reason; 0: slots are granted */
    mono_us oldest_wait;   /* age of the head of the queue, 0 when empty */
    mono_us drain;         /* estimate: time until the present queue has been served */
    uint64_t in_flight_us; /* integral of in_flight dt, up to `now` */
    uint64_t queued_us;    /* integral of depth dt */
    uint64_t saturated_us; /* time in which no instance had a free slot */
    uint64_t admitted, queued, shed_full, shed_bytes, expired, cancelled, released,
        requeued;               /* counts of events */
    uint64_t accounting_errors; /* must stay 0: grants beyond an instance's slots, and snapshots in
                                   which admitted is not released + requeued + in_flight */
    uint32_t in_flight_peak;    /* since the last limiter_set_slots() */
    uint32_t depth_peak;        /* since limiter_new() or the last limiter_reconfigure() */
};
