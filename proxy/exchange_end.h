/* The end of a request: releases what it holds, and counts it, once. Part of the exchange: see
 * exchange_private.h. */
#pragma once

#include "proxy/exchange_private.h"

/* Releases the slot; the limiter passes it to the next waiter. */
void exchange_release_slot(struct exchange *ex);

/* The last step of exchange_done(): removes it from its list and frees its memory. */
void exchange_finish(struct exchange *ex);

/* Its last posted task has run, and the exchange is over: gives its memory back. */
void exchange_give_back(struct exchange *ex);

/* Only the client still has to read, which may take long: keeps only those parts of the request
 * that the access log writes. */
void exchange_abridge(struct exchange *ex);

/* Ends the exchange in any state: gives back what it holds, counts it, lets the client continue. */
void exchange_done(struct exchange *ex);

/* The same for input that is not a request, of which there is no exchange. `detail`, which is
 * static, says what is wrong with it, unless `reason` does. */
void exchange_count_refused(struct exchange_env *env, struct client *cl, unsigned status,
                            const char *reason, const char *detail);
