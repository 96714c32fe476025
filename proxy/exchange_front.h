/* Reads the headers that proxies in front of weir have added. Part of the exchange: see
 * exchange_private.h. */
#pragma once

#include "proxy/exchange_private.h"

/* Writes to the record the trace that the request belongs to and, if its client is trusted, the
 * time that it took to reach weir. */
void exchange_note_front(struct exchange *ex, const struct http_head *head);
