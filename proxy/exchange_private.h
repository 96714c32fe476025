/*
 * What the files of an exchange share: exchange.c (the spine), exchange_connect.c,
 * exchange_request.c, exchange_response.c, exchange_tunnel.c, exchange_bypass.c, exchange_orphan.c,
 * exchange_deadline.c, exchange_drain.c, exchange_end.c. No other file includes it. A caller must
 * not use the exchange after a call that may have ended it.
 */
#pragma once

#include <stdbool.h>

#include "proxy/exchange_phase.h"
#include "proxy/exchange_types.h"

static inline mono_us exchange_now(const struct exchange *ex)
{
    return loop_now(ex->env->c.loop);
}

static inline mono_us not_before(mono_us t, mono_us earliest)
{
    return t < earliest ? earliest : t;
}

static inline void exchange_arm(struct exchange *ex, mono_us due)
{
    loop_timer_arm(ex->env->c.loop, &ex->timer, due);
}

static inline struct span exchange_date(struct exchange_env *env)
{
    return http_date(&env->date, loop_wall(env->c.loop));
}

/* The header field that reports the app's load, or NULL. */
static inline const struct span_pair *exchange_load(struct exchange_env *env,
                                                    const struct config *config)
{
    if (config->headers.load == CONFIG_LOAD_OFF)
        return NULL;
    return load_header_of(&env->load, config->headers.load, env->c.shared->limiter,
                          loop_now(env->c.loop));
}

static inline bool exchange_bypasses(const struct exchange *ex)
{
    return ex->lane == &ex->env->lanes[EXCHANGE_BYPASS];
}

/* Whether limits apply to requests now. */
static inline bool exchange_enforces(const struct exchange *ex)
{
    return ex->env->settings->config->enforce;
}

/* Whether it holds a slot, or is inside the app without one. */
static inline bool exchange_is_inside(const struct exchange *ex)
{
    return ex->shadow == EXCHANGE_SHADOW_NONE ? ex->waiter.state == LIMITER_HOLDING
                                              : ex->shadow != EXCHANGE_SHADOW_LEAVING;
}

/* The time at which the limiter let it go on. Its waiter is not read while it may be waiting. */
static inline mono_us exchange_granted_at(const struct exchange *ex)
{
    return ex->went_on != 0 ? ex->went_on : ex->waiter.granted_at;
}

/* Time in the queue, in one wait or several. */
static inline mono_us exchange_waited(const struct exchange *ex)
{
    return ex->waiter.ended_at - ex->waiter.queued_at - ex->waiter.requeued_us;
}

static inline struct exchange *exchange_of(void *arg)
{
    struct exchange *ex = arg;
    CHECK(ex != NULL && ex->magic == EXCHANGE_MAGIC);
    return ex;
}

/* ---- exchange.c ---- */

/* Moves the exchange to another state and its list, and its record to that state's phase; the edge
 * must exist. */
void exchange_set_state(struct exchange *ex, enum exchange_state next);

/* The same, but the phase began at another time: the limiter's. */
void exchange_set_state_at(struct exchange *ex, enum exchange_state next, mono_us at);

/* Logs a problem with the app, at a limited rate. */
void exchange_complain(struct exchange *ex, const char *what);

/* Asks for a slot: the request is dispatched, queued or refused. */
void exchange_ask(struct exchange *ex);

/* Counts the wait for a slot with its outcome, once: later calls have no effect. */
void exchange_count_wait(struct exchange *ex, enum stats_outcome outcome);

/* The app gives no usable response: releases the slot and sends a local reply. */
void exchange_fail(struct exchange *ex, enum reply_kind kind, const char *detail);

/* Continues in a later task, so that other connections get their turn. */
void exchange_post_again(struct exchange *ex);

/* Sends a local reply; any slot has been released before. `status` 0: the kind's own. */
void exchange_reply(struct exchange *ex, enum reply_kind kind, unsigned status, const char *detail);

/* The client is lost: ends its connection with an RST. */
void exchange_lose_client(struct exchange *ex);

/* The same for one that is still there; `why` is a reason for the record. */
void exchange_cut_client(struct exchange *ex, const char *why);

/* The exchange has become QUEUED: turns it away if the drain ends. It may have ended. */
void exchange_turn_late_away(struct exchange *ex);

/* Closes its connection to the app, or gives up waiting for one. */
void exchange_drop_app(struct exchange *ex);
