/* A response's way to the client. Part of the exchange: see exchange_private.h. */
#pragma once

#include "proxy/exchange_private.h"

extern const char exchange_unsolicited[]; /* why a response that answers nothing is bad */

/* What came is no response: 502. */
void exchange_bad_response(struct exchange *ex, const char *why);

/* Reads responses' headers, interim ones and the final one, and goes on with its body. */
void exchange_read_head(struct exchange *ex);

/* The client is in the way of its last response. It may be one that sends all before it reads. */
void exchange_discard_upload(struct exchange *ex);

/* Counts how long the client has been in the way, if it was. */
void exchange_note_backpressure(struct exchange *ex);

/* STREAMING: something has moved, one way or the other, and either is life. */
void exchange_renew_idle(struct exchange *ex);

/* Relays what there is of the response's body. `front`: behind its head. */
void exchange_download(struct exchange *ex, const struct relay_front *front);

/* AWAITING, STREAMING: the timer while the client is in the way. */
void exchange_late_client(struct exchange *ex);

/* STREAMING: its timer, unless it is the client's. */
void exchange_late_stream(struct exchange *ex);
