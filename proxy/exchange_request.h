/* Awaits a request's body and sends the request. Part of the exchange: see exchange_private.h. */
#pragma once

#include "proxy/exchange_private.h"

/* The body has not arrived completely: it will be relayed, or waited for. */
void exchange_take_body(struct exchange *ex, const struct http_body *body);

/* Whether to wait for the body before asking for a slot. */
bool exchange_must_wait_for_body(const struct exchange *ex, const struct http_body *body);

/* Accounts for memory that the message takes for its body, or gives back. */
void exchange_held_changed(struct exchange *ex, int64_t change);

/* The client was not read for a while: measures its pace from now on. */
void exchange_measure_pace(struct exchange *ex);

/* BUFFERING: takes what has arrived of the body. */
void exchange_buffer(struct exchange *ex);

/* Waits for the body without a slot, then asks for one. */
void exchange_wait_for_body(struct exchange *ex);

/* BUFFERING: the timer has expired. */
void exchange_late_body(struct exchange *ex);

/* Whether all of the request has been read from the client. */
bool exchange_request_is_read(const struct exchange *ex);

/* Whether there is a body to relay and the app still accepts it. */
bool exchange_is_uploading(const struct exchange *ex);

/* A connection is ready: sends the request. */
void exchange_dispatch(struct exchange *ex);

/* The client sends nothing because the app has not sent a 100 yet: the app is the slow side. */
bool exchange_app_owes_100(const struct exchange *ex);

/* Records how much the app has not received, to detect progress later. */
void exchange_note_unacked(struct exchange *ex);

/* Arms the timer for the response's head, unless the client holds it up and owns the timer. */
void exchange_arm_awaiting(struct exchange *ex, mono_us patience);

/* Arms the timer while the request is sent. */
void exchange_arm_upload(struct exchange *ex, enum relay_status st);

/* Relays the available part of the body. `front`: the head, if it has not been sent yet. */
void exchange_upload(struct exchange *ex, const struct relay_front *front);

/* Sends unsent output to the app. False: the exchange may have ended. */
bool exchange_flush_request(struct exchange *ex);

/* Whether the request may be sent again on a fresh connection (RFC 9112 section 9.3.1). */
bool exchange_may_replay(const struct exchange *ex);

/* Sends the request again, on a fresh connection. */
void exchange_replay(struct exchange *ex);

/* AWAITING: the timer has expired, unless it is the client's. */
void exchange_late_response(struct exchange *ex);
