/* An upgraded connection. Part of the exchange: see exchange_private.h. */
#pragma once

#include "proxy/exchange_private.h"

/* Takes a place for a tunnel. False: all upgrades.max places are taken. */
bool exchange_take_upgrade(struct exchange *ex);

/* Gives the place back, if there is one: the app does not switch, or the tunnel ends. */
void exchange_release_upgrade(struct exchange *ex);

/* One side was reset: resets the other. */
void exchange_tunnel_lost(struct exchange *ex);

/* Relays in both directions as far as possible. */
void exchange_tunnel(struct exchange *ex);

/* 101: switches protocols if the app accepts what was offered. The exchange may have ended. */
void exchange_switch_protocols(struct exchange *ex);

/* A drain ends the tunnel: a WebSocket after a Close frame and a moment for the client's own, any
 * other now. */
void exchange_leave_tunnel(struct exchange *ex);
bool exchange_tunnel_is_leaving(const struct exchange *ex);

/* TUNNEL: the timer has expired. */
void exchange_late_tunnel(struct exchange *ex);
