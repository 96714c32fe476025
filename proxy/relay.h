/*
 * Body bytes one way, from one connection's input to another's output, framed and checked, with
 * back-pressure: while the receiver has more than `mark` bytes unsent, nothing more is read. No
 * callbacks: relay_pump() goes as far as it can and says why it stopped; whoever owns the relay
 * calls it again when that has changed. Loop thread only.
 *
 * A body goes on with the framing that it came with, or is decoded, for a receiver that knows no
 * chunks, or is encoded, where it came with none: each read becomes a chunk, and the last chunk
 * follows only when the sender has ended in order. So a body that was cut cannot look whole.
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
    RELAY_WAIT,          /* the sender has no more now */
    RELAY_BLOCKED,       /* the receiver has `mark` bytes unsent */
    RELAY_BUSY,          /* there is more, and others have waited long enough: call again soon */
    RELAY_END,           /* the body is complete, and handed to the receiver */
    RELAY_TOO_LARGE,     /* more than `max` bytes of content */
    RELAY_BAD_FRAMING,   /* the sender broke the framing; `problem` says how */
    RELAY_TRUNCATED,     /* the sender ended too early */
    RELAY_RECEIVER_LOST, /* the body may be read on all the same, to nobody */
};

struct relay {
    struct http_body body;
    uint64_t max; /* bytes of content at most */
    size_t mark;  /* of the receiver's backlog */
    const struct budget *budget;
    bool decode;  /* pass on the content only, without chunk framing */
    bool encode;  /* pass on in chunks what lasts until the sender's close */
    bool stopped; /* the body has ended in whatever way: relay_pump() is not to be called again */
    bool began;   /* a byte of the body has been taken */
    struct http_problem problem;
    /* Its owner's, who measures both ends: */
    mono_us pace_since;   /* the sender's pace counts from here... */
    uint64_t pace_before; /* ...and from this much content */
};

/* Bytes that go out in front of the first body bytes, in the same send: a message's head. */
struct relay_front {
    struct span head;
    size_t room; /* behind the head, in the same memory: a small body is put there */
};

/*
 * From `from`'s input to `to`; with `to` NULL the bytes are thrown away. `front` may be NULL; its
 * head is sent in any case, body or not. How many bytes were read and handed on is in *moved.
 */
MUST_USE enum relay_status relay_pump(struct relay *r, struct conn *from, struct conn *to,
                                      const struct relay_front *front, uint64_t *moved);
