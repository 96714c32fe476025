/*
 * An upgraded connection (RFC 9110 section 7.8): bytes both ways, unframed, with back-pressure and
 * half-close: a side's FIN goes on when all that came before it has been sent. An app that closes
 * while it is sent more answers that with an RST, which takes nothing from what it said before its
 * FIN: the client gets all of it, and the FIN. No callbacks:
 * tunnel_pump() goes as far as it can; whoever owns the tunnel calls it again when a socket has
 * news or room. Loop thread only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/check.h"
#include "proxy/budget.h"

struct client;
struct conn;
struct upstream_lease;

enum tunnel_status {
    TUNNEL_OPEN,  /* nothing more to do now */
    TUNNEL_BUSY,  /* there is more, and others have waited long enough: call again soon */
    TUNNEL_ENDED, /* both sides have ended, and each has all that the other sent */
    TUNNEL_LOST,  /* a side was reset: the other must be too */
};

/* Zero-initialised but for the first three. */
struct tunnel {
    struct conn *client, *app; /* not ours */
    const struct budget *budget;
    size_t mark; /* a side with so much unsent stops the other */
    bool client_ended, app_ended;
    bool client_told, app_told; /* the other's FIN has gone on to it */
};

/* Between a client that is served and the app's connection of a lease that is ready. */
void tunnel_init(struct tunnel *t, struct client *cl, struct upstream_lease *app,
                 const struct budget *budget, size_t mark);

/* Sends what was kept for the app. True: its connection was reset. */
MUST_USE bool tunnel_app_is_lost(struct tunnel *t);

/* How many bytes were read and handed on is in *moved. */
MUST_USE enum tunnel_status tunnel_pump(struct tunnel *t, uint64_t *moved);
