/*
 * The record of one request: the time of each phase, its bytes, and how it ended. An exchange owns
 * its record and its state transitions write it; the metrics and the access log read it. Pure;
 * loop thread only.
 *
 * A record has one clock. record_enter() adds the time since the previous call to the phase that
 * ends, so the phases of a request always sum to its total, in whatever order it enters them. A
 * phase that it enters again, as after a connection that failed, accumulates.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"

/* t0 is the first byte of the request; t1 to t8 are the ends of the phases that may follow. */
enum __attribute__((packed)) record_phase {
    RECORD_HEAD,         /* t0 to t1: the client sends the head */
    RECORD_BODY_WAIT,    /* t1 to t2: weir waits for the body, without a slot */
    RECORD_QUEUE,        /* t2 to t3: the request waits for a slot */
    RECORD_CONNECT,      /* t3 to t4: it holds one, and waits for a connection to the app */
    RECORD_SEND,         /* t4 to t5: it is sent to the app */
    RECORD_FIRST_BYTE,   /* t5 to t6: the app has not begun its response */
    RECORD_TRANSFER,     /* t6 to t7: the app sends its response */
    RECORD_BACKPRESSURE, /* within t6 to t7: it cannot, since the client reads slowly */
    RECORD_DELIVERY,     /* t7 to t8: the client reads the rest; no slot is held */
    RECORD_PHASES,       /* the phases of the total end here */
    RECORD_ORPHAN =
        RECORD_PHASES, /* the client has left, and the app still works: not in the total */
    RECORD_ENDED,
};

enum __attribute__((packed)) record_source {
    RECORD_BY_APP,
    RECORD_BY_WEIR,
    RECORD_BY_CLIENT,
    RECORD_SOURCES
};

#define RECORD_TRACE 16 /* bytes of a trace id */

/* Why a request ended otherwise than with a complete response or a local reply, whose own words are
 * those of Weir-Reason (reply.c). */
#define RECORD_WHY_GONE   "client_gone"    /* the client closed its connection */
#define RECORD_WHY_UNREAD "client_timeout" /* cut: it read nothing for client.send_timeout */
#define RECORD_WHY_STALLED                                                                         \
    "client_stalled"                              /* cut: the same for client.stall_timeout, while \
                                                     other requests waited for its slot */
#define RECORD_WHY_TRUNCATED "upstream_truncated" /* the app ended its response too early */
#define RECORD_WHY_BROKEN    "upstream_broken"    /* the response broke its framing */
#define RECORD_WHY_IDLE      "idle_timeout"       /* nothing moved for idle_timeout */
#define RECORD_WHY_DRAIN     "drain_timeout"      /* cut at the end of a drain */
#define RECORD_WHY_LOST      "connection_lost"    /* one side of a tunnel was reset */

struct record {
    mono_us began; /* t0 */
    mono_us since; /* when the present phase began */
    mono_us left;  /* when the client left; 0: it has not */
    mono_us spent[RECORD_ORPHAN + 1];
    mono_us before;               /* between the front proxy and weir; -1: not known */
    uint64_t bytes_in, bytes_out; /* content of the request and of the response, received from
                                     the client and handed to its socket; in a tunnel, all bytes */
    const char *reason;           /* static text: the Weir-Reason of a local reply, or RECORD_WHY_*;
                                     NULL: the app's response is complete */
    unsigned char trace[RECORD_TRACE]; /* of the request's traceparent */
    unsigned status;           /* of the response to the client; 499: it left before its end */
    enum record_source source; /* who ended it: the app's response, weir's, or the client */
    enum record_phase phase;
    unsigned char outcome; /* of its wait for a slot: see stats_outcome_of() */
    bool traced;           /* `trace` is valid */
    bool upgraded;         /* a tunnel: its time in TRANSFER is not that of a response */
    bool replayed;         /* sent again on a fresh connection */
    bool complete;         /* the app's response was received to its end */
    bool orphaned;         /* the client left, and the app continued */
};

/* A request whose first byte arrived at `began`; its phase is HEAD. */
void record_begin(struct record *r, mono_us began);

/*
 * The present phase ends at `now` and `next` begins. A `now` before the beginning of the present
 * phase counts as its beginning: the clocks of two loops may differ by some microseconds.
 */
void record_enter(struct record *r, enum record_phase next, mono_us now);

/* The connection was of no use, and another will be used: what was spent on it counts as the wait
 * for one. CONNECT. */
void record_start_over(struct record *r);

/* The time from the first byte to `since`, without ORPHAN: the sum of the phases. */
mono_us record_total(const struct record *r);

/* The time that the request was inside the app, or held a slot at least: CONNECT to BACKPRESSURE,
 * and ORPHAN. */
mono_us record_inside(const struct record *r);

/* Lower-case words for labels and logs: "head", "body_wait", "queue", ... */
extern const char *const record_phase_names[RECORD_ORPHAN + 1];
