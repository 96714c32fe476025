/* A request's way to the app. Part of the exchange: see exchange_private.h. */
#pragma once

#include "proxy/exchange_private.h"

/* There is a body that has not come whole: it will be relayed, or waited for. */
void exchange_take_body(struct exchange *ex, const struct http_body *body);

/* Whether it is to be waited for before a slot is asked for. */
bool exchange_must_wait_for_body(const struct exchange *ex, const struct http_body *body);

/* Memory that the message has taken for its body, or gives back. */
void exchange_held_changed(struct exchange *ex, int64_t change);

/* The client was not read for a while: its pace is measured from now on. */
void exchange_measure_pace(struct exchange *ex);

/* BUFFERING: takes what has come of the body. */
void exchange_buffer(struct exchange *ex);

/* Waits for the body, without a slot; then asks for one. */
void exchange_wait_for_body(struct exchange *ex);

/* BUFFERING: its timer. */
void exchange_late_body(struct exchange *ex);

/* Whether all of the request has been read from the client. */
bool exchange_request_is_read(const struct exchange *ex);

/* Whether there is a body to relay, and the app takes it. */
bool exchange_is_uploading(const struct exchange *ex);

/* It has a connection: the request goes out. */
void exchange_dispatch(struct exchange *ex);

/* The client sends nothing because the app has not yet said 100: the app is the slow one. */
bool exchange_app_owes_100(const struct exchange *ex);

/* How much the app has not taken, to see later whether it has taken some. */
void exchange_note_unacked(struct exchange *ex);

/* The timer while the response is waited for. */
void exchange_arm_awaiting(struct exchange *ex, mono_us patience);

/* The timer while the request is under way. */
void exchange_arm_upload(struct exchange *ex, enum relay_status st);

/* Relays what there is of the body. `front`: behind the head, which has not been sent yet. */
void exchange_upload(struct exchange *ex, const struct relay_front *front);

/* Output to the app that had to be kept moves on. False: it may have ended. */
bool exchange_flush_request(struct exchange *ex);

/* Whether a fresh connection could do what this one did not (RFC 9112 section 9.3.1). */
bool exchange_may_replay(const struct exchange *ex);

/* Sends the request again, on a fresh connection. */
void exchange_replay(struct exchange *ex);

/* AWAITING: its timer, unless it is the client's. */
void exchange_late_response(struct exchange *ex);
