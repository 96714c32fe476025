/*
 * The frames of a WebSocket (RFC 6455 section 5.2) in one direction, as far as needed to know where
 * one ends: only headers are looked at. Pure; embedded in its tunnel. A control frame may stand
 * between any two frames, also between the fragments of a message.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/check.h"
#include "common/span.h"

#define WS_HEADER_MAX 14

/* Zero-initialised at the start of the stream. */
struct ws_frames {
    uint8_t header[WS_HEADER_MAX]; /* of the frame that is being read, as far as it has arrived */
    uint8_t n;                     /* bytes of it; 0: between two frames, unless `left` */
    uint64_t left;                 /* bytes of the frame's payload that follow */
    bool closed;                   /* a Close frame has begun: no other may follow it */
    bool broken;                   /* not WebSocket frames: no boundary is known any more */
};

/* Takes all of `bytes`. */
void ws_take(struct ws_frames *f, struct span bytes);

/* Takes `bytes` up to the first boundary between two frames, and returns their number: 0 at a
 * boundary. All of them are taken if there is no boundary. */
MUST_USE size_t ws_take_to_boundary(struct ws_frames *f, struct span bytes);

/* Between two frames, where a control frame may be inserted. False after a Close frame. */
bool ws_at_boundary(const struct ws_frames *f);

/* From a server: Close with the status 1001, "going away", unmasked. */
#define WS_CLOSE_GOING_AWAY SPAN("\x88\x02\x03\xe9")
