/* What a proxy in front of weir has said of a request. Part of the exchange: see
 * exchange_private.h. */
#pragma once

#include "proxy/exchange_private.h"

/* Notes the trace that the request belongs to, and the time that it took to reach weir, which only
 * a trusted client can tell, in its record. */
void exchange_note_front(struct exchange *ex, const struct http_head *head);
