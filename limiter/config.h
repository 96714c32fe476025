/* The settings of a limiter: the bounds of its queue, the order, the classes and their pools,
 * pauses.
 */
#pragma once

#include <stdint.h>

#include "common/clock.h"
#include "limiter/waiter.h"

#define LIMITER_UNLIMITED UINT32_MAX
#define LIMITER_INSTANCES 64u /* numbered from 0 */
#define LIMITER_POOLS     9u

enum limiter_order {
    LIMITER_ADAPTIVE, /* first come, first served; in an overload, among those on time */
    LIMITER_FIFO,     /* first come, first served, always */
};

/* Waiters of a class in a pool have a slot only while the pool has fewer than its maximum. As they
 * may wait for that, their waits say nothing about the load: a class in no pool is *plain*. */
struct limiter_class {
    mono_us head_start; /* its waiters count as queued earlier by this; not negative */
    uint16_t pools;     /* a set of pools, as 1 << pool; 0: none */
};

/* Zero in all but the bounds is the default: adaptive, one class, no pool. */
struct limiter_config {
    uint32_t queue_length; /* maximum number of waiters; 0: refuse at once */
    uint64_t queue_bytes;  /* maximum sum of the waiters' `bytes` */
    enum limiter_order order;
    unsigned classes; /* 0 means 1 */
    struct limiter_class class_[LIMITER_CLASSES];
    uint32_t pool_max[LIMITER_POOLS]; /* slots that the classes of a pool may hold together */
};

/* Reasons not to grant slots. Each is set and cleared independently; slots are granted only while
 * none is set. */
enum limiter_pause_reason {
    LIMITER_PAUSE_NOT_READY = 1 << 0,   /* no instance of the app accepts connections */
    LIMITER_PAUSE_OPERATOR = 1 << 1,    /* an operator asked for it */
    LIMITER_PAUSE_SCALED_TO_0 = 1 << 2, /* no instance is meant to run */
    LIMITER_PAUSE_DRAINING = 1 << 3,    /* the process is about to end */
};
