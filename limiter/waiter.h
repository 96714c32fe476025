/* A request that waits for a slot or holds one. limiter.h says how it moves between its states. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"

#define LIMITER_CLASSES 18u
#define LIMITER_KEYS    64u

enum __attribute__((packed)) limiter_verdict {
    LIMITER_ADMITTED,   /* holds a slot now */
    LIMITER_QUEUED,     /* waits; exactly one verdict will follow in a chain, unless cancelled */
    LIMITER_SHED_FULL,  /* refused: the queue is at its full length */
    LIMITER_SHED_BYTES, /* refused: the queue would hold too many bytes */
    LIMITER_SHED_LATE,  /* refused: it would wait beyond the deadline that its client declared */
    LIMITER_EXPIRED,    /* its deadline passed while it waited; it holds no slot */
    LIMITER_EVICTED,    /* it made room for a newcomer; it holds no slot */
    LIMITER_VERDICTS,
};

/* Why a waiter leaves the queue before its verdict. */
enum limiter_leave {
    LIMITER_CLIENT_LEFT, /* its client disconnected: its patience had ended */
    LIMITER_TURNED_AWAY, /* its client is still there: a deadline has passed, or a drain ends */
};

enum __attribute__((packed)) limiter_waiter_state {
    LIMITER_IDLE,
    LIMITER_WAITING,
    LIMITER_HOLDING
};

/*
 * Embedded in the caller's object; zero-initialised is IDLE. Set `bytes`, `class_`, `key` and
 * `declared` before acquire, `apart` and `left_at` before release, and `deadline` before requeue if
 * it is to be another; all other fields are written by the limiter only, and may be read by the
 * owner once it has the verdict. Must not move in memory while WAITING.
 */
struct limiter_waiter {
    struct limiter_waiter *next, *prev;
    enum limiter_waiter_state state;
    enum limiter_verdict verdict;
    uint8_t class_;   /* below the configured number of classes */
    uint8_t instance; /* whose slot it was granted */
    uint8_t key;      /* whose share of its class it uses, below LIMITER_KEYS; 0: no fair shares */
    bool apart;       /* its hold is atypical (a tunnel's): nothing is learned from it */
    bool late;        /* in the queue: others pass it */
    bool requeued;    /* it has handed back a slot since acquire */
    uint32_t found_in_flight, found_depth; /* at acquire: slots that others held, and waiters */
    uint64_t place;                        /* in the order of arrival */
    uint64_t bytes;      /* memory it uses while waiting, counted against queue_bytes */
    mono_us deadline;    /* MONO_NEVER: waits without limit */
    mono_us declared;    /* when its client will give up, as it has declared; 0: it has not */
    mono_us left_at;     /* when its client left before the response; 0: it is still there */
    mono_us queued_at;   /* the time of acquire */
    mono_us ended_at;    /* end of the wait: granted, expired, shed or cancelled */
    mono_us granted_at;  /* == queued_at if it did not wait */
    mono_us released_at; /* when the slot was returned */
    mono_us requeued_us; /* time since queued_at in which it held slots that it handed back */
};
