/* How long a request may wait. Part of the exchange: see exchange_private.h. */
#pragma once

#include "proxy/exchange_private.h"

/* Notes the deadline that the client declares, if it may: it counts from the arrival of the
 * headers. */
void exchange_note_declared(struct exchange *ex, const struct http_head *head);

/* The deadline of a request that asks for a slot now. */
mono_us exchange_deadline(const struct exchange *ex, mono_us now);

/* The reply to a request whose wait has expired. */
enum reply_kind exchange_expired_kind(const struct exchange *ex);

/* Whether the declared deadline has passed. */
static inline bool exchange_is_late(const struct exchange *ex)
{
    return ex->waiter.declared != 0 && ex->waiter.declared <= exchange_now(ex);
}

/* The request is not sent to the app any more. */
static inline bool exchange_is_too_late(const struct exchange *ex)
{
    return exchange_is_late(ex) && exchange_enforces(ex);
}
