/* See exchange.h: ends exchanges when weir drains, or to make room for a new client. */
#include "proxy/exchange_end.h"
#include "proxy/exchange_private.h"
#include "proxy/exchange_request.h"
#include "proxy/exchange_response.h"
#include "proxy/exchange_tunnel.h"
#include "proxy/h1_server.h"

#define ROOM_AFTER_US 50000 /* a request that has waited less for its body does not make room */
#define ROOM_LOOKS    8

/* ---- draining ---- */

void exchange_announce(struct exchange_env *env)
{
    env->announced = true;
}

void exchange_drain(struct exchange_env *env)
{
    env->announced = env->draining = true;
}

void exchange_undrain(struct exchange_env *env)
{
    env->announced = env->draining = env->ending = false;
    env->late = 0;
}

/* Not requests that are refused: both are made to be interrupted, and their clients come again. */
static void end_streams(struct exchange_env *env)
{
    struct exchange *ex, *next;

    for (ex = TAILQ_FIRST(&env->in[EXCHANGE_TUNNEL]); ex != NULL; ex = next) {
        next = TAILQ_NEXT(ex, link);
        exchange_leave_tunnel(ex);
    }
    for (ex = TAILQ_FIRST(&env->in[EXCHANGE_STREAMING]); ex != NULL; ex = next) {
        next = TAILQ_NEXT(ex, link);
        if (ex->events)
            exchange_end_events(ex);
    }
}

/* Of a QUEUED request. False: its verdict has already been posted, and may be a slot. */
static bool leaves_queue(struct exchange *ex)
{
    if (!limiter_cancel(ex->lane->limiter, &ex->waiter, exchange_now(ex), LIMITER_TURNED_AWAY))
        return false;
    exchange_count_wait(ex, STATS_DRAINED);
    return true;
}

size_t exchange_turn_away(struct exchange_env *env)
{
    struct exchange *ex, *next;
    size_t n = 0;

    for (ex = TAILQ_FIRST(&env->in[EXCHANGE_QUEUED]); ex != NULL; ex = next) {
        next = TAILQ_NEXT(ex, link);
        if (!leaves_queue(ex))
            continue;
        exchange_reply(ex, REPLY_DRAINING, 0, NULL);
        n++;
    }
    for (ex = TAILQ_FIRST(&env->in[EXCHANGE_BUFFERING]); ex != NULL; ex = next, n++) {
        next = TAILQ_NEXT(ex, link);
        exchange_reply(ex, REPLY_DRAINING, 0, NULL);
    }
    env->ending = true;
    end_streams(env);
    return n;
}

void exchange_turn_late_away(struct exchange *ex)
{
    if (!ex->env->ending || !leaves_queue(ex))
        return;
    ex->env->late++;
    exchange_reply(ex, REPLY_DRAINING, 0, NULL);
}

size_t exchange_take_late(struct exchange_env *env)
{
    size_t n = env->late;

    env->late = 0;
    return n;
}

/* ---- making room ---- */

/* Takes what has arrived of the body, which may complete it. True: the request was refused. */
static bool give_way(struct exchange *ex)
{
    struct client *cl = ex->client;

    if (h1_server_peek(cl)) {
        exchange_buffer(ex);
        h1_server_save_input(cl);
        if (ex->state != EXCHANGE_BUFFERING)
            return false;
    }
    stats_evicted(ex->env->c.stats);
    client_hurry(ex->client);
    exchange_reply(ex, REPLY_BODY_TIMEOUT, 0, NULL);
    return true;
}

bool exchange_make_room(struct exchange_env *env)
{
    for (int i = 0; i < ROOM_LOOKS; i++) {
        struct exchange *ex = TAILQ_FIRST(&env->in[EXCHANGE_BUFFERING]);
        if (ex == NULL || exchange_now(ex) - exchange_arrived(ex) < ROOM_AFTER_US)
            return false;
        if (give_way(ex))
            return true;
    }
    return false;
}

/* ---- cutting ---- */

static size_t cut_one(struct exchange *ex)
{
    if (ex->client == NULL || exchange_tunnel_is_leaving(ex)) {
        exchange_done(ex);
        return 0;
    }
    exchange_cut_client(ex, RECORD_WHY_DRAIN);
    return 1;
}

size_t exchange_cut_all(struct exchange_env *env)
{
    size_t cut = 0;

    for (int i = 0; i < EXCHANGE_DONE; i++) {
        struct exchange *ex, *next;
        for (ex = TAILQ_FIRST(&env->in[i]); ex != NULL; ex = next) {
            next = TAILQ_NEXT(ex, link);
            if (i == EXCHANGE_ABANDONED)
                continue; /* the posted verdict ends it */
            cut += cut_one(ex);
        }
    }
    return cut;
}
