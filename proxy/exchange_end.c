/*
 * See exchange_end.h. The limiter's times end the phases in which a request held a slot, so those
 * sum to what the limiter has measured.
 */
#include "proxy/exchange_end.h"

#include "proxy/exchange_access.h"
#include "proxy/exchange_bypass.h"
#include "proxy/exchange_request.h"
#include "proxy/exchange_shadow.h"
#include "proxy/exchange_tunnel.h"
#include "proxy/tunnel.h"

#define PRECISION_US 1

/* ---- the slot ---- */

/* Whether the client left before it could receive a byte of the response: at the same time as the
 * first byte means before it, since nothing could be sent any more. */
static bool left_unserved(const struct record *r, bool answered)
{
    return r->left != 0 &&
           (!answered || r->spent[RECORD_TRANSFER] + r->spent[RECORD_BACKPRESSURE] == 0);
}

/* Every slot is held in a phase from CONNECT to BACKPRESSURE, or in ORPHAN. */
static void check_hold(const struct exchange *ex, mono_us hold)
{
    if (!ex->without_slot && record_inside(&ex->record) != hold + ex->waiter.requeued_us)
        stats_wrong(ex->lane->stats);
}

/* The slot is free. A client that has left before has had its end. */
static void end_hold(struct exchange *ex, mono_us hold)
{
    struct record *r = &ex->record;

    if (r->phase == RECORD_ENDED) /* ABANDONED: the app has received nothing */
        return;
    record_enter(r, r->left != 0 ? RECORD_ENDED : RECORD_DELIVERY, ex->waiter.released_at);
    check_hold(ex, hold);
}

/* A response that the app has completed, and how long the app has worked on it. */
static void note_completion(const struct exchange *ex, mono_us at)
{
    mono_us inside = at - exchange_granted_at(ex);
    const struct record *r = &ex->record;

    if (r->complete && !r->upgraded && !ex->waiter.apart && !exchange_bypasses(ex))
        completions_put(ex->env->c.completions, at, inside - r->spent[RECORD_BACKPRESSURE]);
}

void exchange_release_slot(struct exchange *ex)
{
    exchange_note_backpressure(ex);
    if (ex->shadow != EXCHANGE_SHADOW_NONE) {
        note_completion(ex, exchange_now(ex));
        exchange_shadow_release(ex);
        return;
    }
    exchange_count_wait(ex, STATS_DISPATCHED);
    if (left_unserved(&ex->record, ex->answered))
        ex->waiter.left_at = ex->record.left;
    struct limiter_waiter *chain =
        limiter_release(ex->lane->limiter, &ex->waiter, exchange_now(ex));

    mono_us hold = ex->waiter.released_at - ex->waiter.granted_at;
    stats_slot_hold(ex->lane->stats, &ex->record, hold);
    end_hold(ex, hold);
    note_completion(ex, ex->waiter.released_at);
    exchange_deliver(chain);
}

/* ---- the record ---- */

/* The latest time that the limiter has returned: its clock is shared by all loops, and may be ahead
 * of the loop's. */
static mono_us limiter_time(const struct limiter_waiter *w)
{
    return not_before(w->ended_at, w->released_at);
}

/* The end of the last phase against the clock; that the phases sum to the time until then is
 * checked where they are counted. Every verdict has been given. */
static void check_total(const struct exchange *ex, mono_us end)
{
    const struct record *r = &ex->record;
    mono_us total = r->since - r->began - r->spent[RECORD_ORPHAN], measured = end - r->began;
    mono_us ahead = limiter_time(&ex->waiter) - end;

    if (total < measured - PRECISION_US ||
        total > measured + PRECISION_US + (ahead > 0 ? ahead : 0))
        stats_wrong(ex->lane->stats);
}

static void count_bytes(struct exchange *ex)
{
    struct record *r = &ex->record;

    if (ex->tunnel != NULL) {
        r->bytes_in = ex->tunnel->from_client;
        r->bytes_out = ex->tunnel->from_app;
        return;
    }
    if (ex->up != NULL)
        r->bytes_in = ex->up->body.data;
    if (ex->down != NULL && r->left == 0)
        r->bytes_out = ex->down->body.data;
}

/* A tunnel that was closed by either side has ended normally. */
static void end_record(struct exchange *ex)
{
    struct record *r = &ex->record;
    mono_us now = exchange_now(ex);

    exchange_end_queue_phase(ex);
    if (r->phase != RECORD_ENDED)
        record_enter(r, RECORD_ENDED, now);
    if (r->left != 0 && !r->upgraded) {
        r->source = RECORD_BY_CLIENT;
        r->status = 499;
    }
    count_bytes(ex);
    check_total(ex, r->left != 0 ? r->left : now);
    stats_reached(ex->lane->stats, r, STATS_ENDED);
    exchange_note_access(ex);
}

void exchange_count_refused(struct exchange_env *env, struct client *cl, unsigned status,
                            const char *reason, const char *detail)
{
    struct record r;

    record_begin(&r, client_began(cl));
    record_enter(&r, RECORD_ENDED, loop_now(env->c.loop));
    r.status = status;
    r.source = RECORD_BY_WEIR;
    r.reason = reason;
    env->lanes[EXCHANGE_MAIN].begun++;
    stats_reached(env->c.stats, &r, STATS_ENDED);
    exchange_note_refused(env, cl, &r, detail);
}

/* ---- the memory ---- */

void exchange_abridge(struct exchange *ex)
{
    exchange_held_changed(ex, -(int64_t)ex->message.body);
    ex->message.body = 0;
    message_abridge(&ex->message, ex->env->c.loop);
}

void exchange_give_back(struct exchange *ex)
{
    pool_put(loop_pool(ex->env->c.loop), ex, sizeof(*ex));
}

static void release_memory(struct loop_deferred *d, struct loop *lp)
{
    struct exchange *ex = CONTAINER_OF(d, struct exchange, deferred);

    (void)lp;
    settings_leave(ex->settings);
    ex->released = true;
    if (!ex->again_posted) /* otherwise its task is still queued, and gives it back */
        exchange_give_back(ex);
}

static void give_memory_back(struct exchange *ex)
{
    struct pool *pool = loop_pool(ex->env->c.loop);

    exchange_held_changed(ex, -(int64_t)ex->message.body);
    message_fini(&ex->message, ex->env->c.loop);
    pool_put(pool, ex->up, sizeof(*ex->up));
    pool_put(pool, ex->tunnel, sizeof(*ex->tunnel));
    pool_put(pool, ex->down, sizeof(*ex->down));
    loop_timer_fini(&ex->timer);
    ex->deferred.release = release_memory;
    loop_defer_free(ex->env->c.loop, &ex->deferred);
}

/* ---- the end ---- */

void exchange_finish(struct exchange *ex)
{
    exchange_set_state(ex, EXCHANGE_DONE);
    TAILQ_REMOVE(&ex->env->in[EXCHANGE_DONE], ex, link);
    ex->lane->count[EXCHANGE_DONE]--;
    give_memory_back(ex);
}

/* Only the exchange is left, for its verdict. */
static void linger(struct exchange *ex)
{
    exchange_set_state(ex, EXCHANGE_ABANDONED);
    loop_timer_stop(&ex->timer);
    ex->client = NULL;
    ex->lingers = true;
    ex->lane->lingering++;
}

void exchange_done(struct exchange *ex)
{
    struct exchange_env *env = ex->env;
    struct client *cl = ex->client;
    bool keep = !ex->close;

    exchange_drop_app(ex);
    if (exchange_is_inside(ex))
        exchange_release_slot(ex);
    exchange_release_upgrade(ex);
    end_record(ex);
    if (ex->shadow == EXCHANGE_SHADOW_LEAVING)
        linger(ex);
    else
        exchange_finish(ex);
    if (cl == NULL)
        env->c.on_ended(env->c.arg, false);
    else if (keep)
        client_next(cl);
    else
        client_close(cl);
}
