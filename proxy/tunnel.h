/*
 * An upgraded connection (RFC 9110 section 7.8): bytes in both directions, unframed, with
 * back-pressure and half-close: a side's FIN is passed on when all bytes before it have been sent.
 * An app that has closed and is sent more responds with an RST, which does not affect what it sent
 * before its FIN: the client gets all of that, and the FIN. A drain ends a WebSocket with a Close
 * frame of weir's own, between two frames of the app. No callbacks: tunnel_pump() goes as far
 * as it can; its owner calls it again when a socket has input or room. Loop thread only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/check.h"
#include "proxy/budget.h"
#include "proxy/ws.h"

struct client;
struct conn;
struct upstream_lease;

enum tunnel_status {
    TUNNEL_OPEN,  /* nothing more to do now */
    TUNNEL_BUSY,  /* there is more, but others must get their turn: call again soon */
    TUNNEL_ENDED, /* both sides have ended, and each has all that the other sent */
    TUNNEL_LOST,  /* a side was reset: the other must be reset too */
};

/* Zero-initialised, except for the first five members. */
struct tunnel {
    struct conn *client, *app; /* not owned */
    const struct budget *budget;
    size_t mark;    /* a side with this much unsent output stops the other */
    bool websocket; /* the protocol has frames that weir knows */
    bool client_ended, app_ended;
    bool client_told, app_told;     /* the other side's FIN was passed on to it */
    struct ws_frames frames;        /* of the app */
    bool leaving;                   /* the client is sent a Close frame at the next boundary... */
    uint64_t from_client, from_app; /* bytes read */
    bool left;                      /* ...and has been: what the app sends is discarded */
};

/* Between a SERVED client and the app's connection of a ready lease. */
void tunnel_init(struct tunnel *t, struct client *cl, struct upstream_lease *app,
                 const struct budget *budget, size_t mark, bool websocket);

/* A WebSocket: the client is sent a Close frame with the status 1001 at the next boundary between
 * two frames of the app, unless the app has sent its own, and nothing after it. What the client
 * sends is passed on as before. tunnel_pump() must follow. */
void tunnel_leave(struct tunnel *t);

/* Sends unsent output to the app. True: its connection was reset. */
MUST_USE bool tunnel_app_is_lost(struct tunnel *t);

/* *moved: how many bytes were read and passed on. */
MUST_USE enum tunnel_status tunnel_pump(struct tunnel *t, uint64_t *moved);
