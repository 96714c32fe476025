/* Holding a slot: the connection to the app. Part of the exchange: see exchange_private.h. */
#pragma once

#include "proxy/exchange_private.h"

/* A slot has been granted: asks for a connection. */
void exchange_granted(struct exchange *ex);

/* Holding a slot, asks for a connection. */
void exchange_connect(struct exchange *ex, enum upstream_kind kind);

/* The slot is of no use, as the app may be gone or the declared deadline has passed: the request
 * goes back to its place in the queue. */
void exchange_requeue(struct exchange *ex);

/* on_ready and on_failed of the lease. */
void exchange_connected(struct upstream_lease *l);
void exchange_not_connected(struct upstream_lease *l, enum upstream_failure why, int error);
