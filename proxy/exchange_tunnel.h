/* An upgraded connection. Part of the exchange: see exchange_private.h. */
#pragma once

#include "proxy/exchange_private.h"

/* A place among the tunnels. False: there are upgrades.max. */
bool exchange_take_upgrade(struct exchange_shared *shared);

/* Gives it back, if it has one: the app does not switch, or the tunnel ends. */
void exchange_release_upgrade(struct exchange *ex);

/* One side was reset: so is the other. */
void exchange_tunnel_lost(struct exchange *ex);

/* Relays both ways as far as it goes. */
void exchange_tunnel(struct exchange *ex);

/* 101: the connection changes hands, if this is what was offered. It may have ended. */
void exchange_switch_protocols(struct exchange *ex);

/* TUNNEL: its timer. */
void exchange_late_tunnel(struct exchange *ex);
