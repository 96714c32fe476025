/*
 * The dry run, `enforce: false`: no request waits for a slot or is refused for lack of one, and the
 * limiter is called as if limits were enforced: each request takes a slot or a place in the queue,
 * and how its wait ends is counted.
 *
 *     asks ── no slot ──► WAITING ── its turn ──► NONE: it holds a slot, like any other
 *       └─ refused ──┐       │ └─── expired, evicted, its client has left ──► PAST
 *                    └──────┼──────────────────────────────────────────────────▲
 *                           └─ done first, its verdict already posted ──► LEAVING ──► NONE
 *
 * WAITING and PAST are inside the app without a slot. While the app is not up, or an operator has
 * paused weir, requests wait as always.
 */
#pragma once

#include "proxy/exchange_private.h"

/* Whether a request that has no slot is dispatched nevertheless. */
bool exchange_goes_on(const struct exchange *ex);

/* Dispatches a request that is in the limiter's queue. The exchange may have ended. */
void exchange_go_on(struct exchange *ex);

/* Counts a refusal that is not carried out. */
void exchange_would_refuse(struct exchange *ex, enum reply_kind kind);

/* Refuses a request, or counts that it would be refused and dispatches it. */
void exchange_refuse(struct exchange *ex, enum reply_kind kind);

/* The verdict of a request that did not wait for it. */
void exchange_shadow_verdict(struct exchange *ex);

/* For exchange_release_slot(), while the exchange has none. */
void exchange_shadow_release(struct exchange *ex);

/* The client has left: the request would have left the queue. */
void exchange_shadow_left(struct exchange *ex);

/* For exchange_requeue(), while the exchange has no slot: it waits until the app is up. */
void exchange_shadow_requeue(struct exchange *ex);

/* Requests inside the app that hold no slot, except those that are CONNECTING. */
size_t exchange_without_slot(const struct exchange_env *env, const struct exchange_lane *lane);
