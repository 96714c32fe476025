/* What becomes of a request whose client has left while the app works on it. Part of the exchange:
 * see exchange_private.h. */
#pragma once

#include "proxy/exchange_private.h"

/* AWAITING, STREAMING: the client has left. The exchange becomes an orphan, or ends. */
void exchange_leave_app(struct exchange *ex);

/* The response has begun, and its client has left: arms the timer that ends the orphan. */
void exchange_arm_orphan(struct exchange *ex);
