/* The numbers of a limiter at one moment. Counts and integrals only grow. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"
#include "limiter/overload.h"
#include "limiter/waiter.h"

/* The state of the queue when an overload began. */
struct limiter_overload_begin {
    enum overload_cause cause;
    uint32_t depth;    /* waiters, without those of classes in pools */
    mono_us at;        /* 0: no overload has begun */
    mono_us turnover;  /* the estimated time to serve them */
    mono_us oldest;    /* age of the first on-time waiter; -1: there was none */
    mono_us patience;  /* the wait that clients accept; MONO_NEVER: not known */
    mono_us allowance; /* what a request may wait from then on */
};

struct limiter_snapshot {
    uint32_t limit; /* the slots of all instances, at most LIMITER_UNLIMITED */
    uint32_t queue_length;
    uint32_t in_flight;    /* slots held */
    uint32_t depth;        /* waiters in the queue */
    uint64_t bytes;        /* held by those waiters */
    unsigned paused;       /* a set of limiter_pause_reason; 0: slots are granted */
    bool overload;         /* late waiters let others pass */
    mono_us oldest_wait;   /* age of the oldest waiter in the queue, 0 when empty */
    mono_us drain;         /* estimate: time until the present queue has been served */
    mono_us allowance;     /* what a request may wait in an overload; MONO_NEVER: not known */
    uint64_t in_flight_us; /* integral of in_flight dt, up to `now` */
    uint64_t queued_us;    /* integral of depth dt */
    uint64_t saturated_us; /* time in which no instance had a free slot */
    uint64_t overload_us;  /* time in overloads */
    uint64_t admitted, queued, shed_full, shed_bytes, shed_late, expired, evicted, cancelled,
        released, requeued;              /* counts of events */
    uint64_t overloads[OVERLOAD_CAUSES]; /* begun, by cause */
    uint64_t overtaken; /* grants after that of a later arrival of the same class, except to those
                           that had handed a slot back */
    uint64_t wasted;    /* slots released after the client had left or its declared deadline */
    uint64_t accounting_errors; /* must stay 0: grants beyond an instance's slots, and snapshots in
                                   which admitted is not released + requeued + in_flight, or an
                                   integral is not the sum of all holds or waits up to now */
    uint32_t in_flight_peak;    /* the peaks are since the last limiter_take_peaks() */
    uint32_t depth_peak;
    mono_us wait_peak; /* the longest wait of those that have ended, with or without a slot */
    uint32_t class_depth[LIMITER_CLASSES]; /* waiters, by class */
    struct limiter_overload_begin last;    /* the latest overload */
};
