/*
 * Relays a body in one direction, from one connection's input to another's output, framed and
 * checked, with back-pressure: while the receiver has more than `mark` bytes unsent, nothing more
 * is read. No callbacks: relay_pump() goes as far as it can and returns why it stopped; its owner
 * calls it again when that has changed. Loop thread only.
 *
 * A body is passed on with the framing with which it arrived. It is decoded for a receiver without
 * chunked encoding, and encoded if it ends with the sender's close: each read becomes a chunk, and
 * the last chunk follows only after a clean end. So a body that was cut off cannot look complete.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/check.h"
#include "common/clock.h"
#include "common/span.h"
#include "proxy/budget.h"
#include "proxy/http/body.h"

struct conn;

enum relay_status {
    RELAY_WAIT,          /* nothing more has arrived */
    RELAY_BLOCKED,       /* the receiver has `mark` bytes unsent */
    RELAY_BUSY,          /* there is more, but others must get their turn: call again soon */
    RELAY_END,           /* the body is complete, and passed to the receiver */
    RELAY_TOO_LARGE,     /* more than `max` bytes of content */
    RELAY_BAD_FRAMING,   /* the sender broke the framing; `problem` says how */
    RELAY_TRUNCATED,     /* the sender ended too early */
    RELAY_RECEIVER_LOST, /* the rest of the body may still be read and discarded */
};

struct relay {
    struct http_body body;
    uint64_t max; /* maximum bytes of content */
    size_t mark;  /* of the receiver's backlog */
    const struct budget *budget;
    bool decode;  /* pass on the content only, without chunk framing */
    bool encode;  /* pass on, in chunks, a body that ends with the sender's close */
    bool finish;  /* from now on, end the body between two chunks; see relay_can_finish() */
    bool cut;     /* that was done: the sender has not ended it */
    bool stopped; /* the body has ended in some way: relay_pump() must not be called again */
    bool began;   /* a byte of the body has been taken */
    struct http_problem problem;
    /* Used by the owner, which measures both ends: */
    mono_us pace_since;   /* the sender's pace is measured from here... */
    uint64_t pace_before; /* ...and from this much content */
};

/* Whether the receiver gets the body in chunks: with `finish`, a last chunk ends it, though the
 * sender goes on. RELAY_END then, with `cut`. */
bool relay_can_finish(const struct relay *r);

/* Bytes sent in front of the first bytes of the body, in the same call: a message's head. */
struct relay_front {
    struct span head;
    size_t room; /* after the head, in the same memory: a small body is copied there */
};

/*
 * Relays from `from`'s input to `to`; with `to` NULL, the bytes are discarded. `front` may be NULL;
 * its head is always sent, with or without a body. *moved: how many bytes were read and passed on.
 */
MUST_USE enum relay_status relay_pump(struct relay *r, struct conn *from, struct conn *to,
                                      const struct relay_front *front, uint64_t *moved);
