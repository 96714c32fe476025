/* The class and the share of the queue that a request waits in. Part of the exchange: see
 * exchange_private.h. */
#pragma once

#include "proxy/exchange_private.h"

/* Sets them, once it is known whether the request is offered an upgrade. */
void exchange_classify(struct exchange *ex, const struct http_head *head);
