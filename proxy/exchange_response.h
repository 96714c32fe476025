/* Reads a response and relays it to the client. Part of the exchange: see exchange_private.h. */
#pragma once

#include "proxy/exchange_private.h"

extern const char exchange_unsolicited[]; /* the reason for refusing an unsolicited response */

/* The app sent something that is not a valid response: 502. */
void exchange_bad_response(struct exchange *ex, const char *why);

/* Reads the heads of responses, interim ones and the final one, and continues with its body. */
void exchange_read_head(struct exchange *ex);

/* Whether the response that has begun shows its end only when it ends: a stream, for instance. */
bool exchange_has_no_length(const struct exchange *ex);

/* The client holds up its last response. It may be a client that sends everything before it reads,
 * so its input is discarded. */
void exchange_discard_upload(struct exchange *ex);

/* STREAMING: progress in either direction renews the timeout. */
void exchange_renew_idle(struct exchange *ex);

/* Relays the available part of the response's body. `front`: the head, sent before it. */
void exchange_download(struct exchange *ex, const struct relay_front *front);

/* A drain ends an event stream (ex->events): after the present chunk, the client gets the last one,
 * and reconnects. */
void exchange_end_events(struct exchange *ex);

/* AWAITING, STREAMING: the timer has expired while the client holds up the response. */
void exchange_late_client(struct exchange *ex);

/* STREAMING: the timer has expired, unless it is the client's. */
void exchange_late_stream(struct exchange *ex);
