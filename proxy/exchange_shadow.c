/* See exchange_shadow.h. */
#include "proxy/exchange_shadow.h"

#include "common/log.h"
#include "proxy/exchange_bypass.h"
#include "proxy/exchange_connect.h"
#include "proxy/exchange_deadline.h"
#include "proxy/exchange_end.h"

bool exchange_goes_on(const struct exchange *ex)
{
    const struct exchange_shared *shared = ex->env->c.shared;

    if (exchange_enforces(ex) || app_is_in_doubt(shared->app))
        return false;
    return exchange_bypasses(ex) || !atomic_load_explicit(&shared->held, memory_order_relaxed);
}

/* ---- going on ---- */

static void dispatch(struct exchange *ex, enum exchange_shadow shadow)
{
    ex->shadow = shadow;
    ex->without_slot = true;
    ex->went_on = exchange_now(ex);
    ex->lane->shadows++;
    atomic_fetch_add_explicit(&ex->env->c.shared->without_slot, 1, memory_order_relaxed);
    exchange_granted(ex);
}

static void has_or_needs_no_slot(struct exchange *ex, enum exchange_shadow next)
{
    ex->shadow = next;
    ex->lane->shadows--;
    atomic_fetch_sub_explicit(&ex->env->c.shared->without_slot, 1, memory_order_relaxed);
}

void exchange_go_on(struct exchange *ex)
{
    dispatch(ex, EXCHANGE_SHADOW_WAITING);
}

void exchange_would_refuse(struct exchange *ex, enum reply_kind kind)
{
    const struct reply_refusal *refusal = reply_refusal(kind);
    char more[LOG_LIMIT_MORE];

    stats_rejected(ex->lane->stats, refusal->reason);
    if (log_limit_allows(&ex->env->log_limit, exchange_now(ex), refusal->log, more))
        log_info("request would be refused, but enforce is false: %s%s", refusal->log, more);
}

static void go_on_refused(struct exchange *ex, enum reply_kind kind)
{
    exchange_would_refuse(ex, kind);
    dispatch(ex, EXCHANGE_SHADOW_PAST);
}

void exchange_refuse(struct exchange *ex, enum reply_kind kind)
{
    if (exchange_goes_on(ex))
        go_on_refused(ex, kind);
    else
        exchange_reply(ex, kind, 0, NULL);
}

void exchange_go_on_all(struct exchange_env *env)
{
    struct exchange *ex, *next;

    if (env->settings->config->enforce)
        return;
    for (ex = TAILQ_FIRST(&env->in[EXCHANGE_QUEUED]); ex != NULL; ex = next) {
        next = TAILQ_NEXT(ex, link);
        if (ex->shadow != EXCHANGE_SHADOW_NONE || !exchange_goes_on(ex))
            continue;
        if (client_peek(ex->client)) /* it may have waited for long */
            exchange_go_on(ex);
        else
            exchange_lose_client(ex);
    }
}

/* ---- leaving the queue ---- */

static void count_ended_wait(struct exchange *ex, enum stats_outcome outcome)
{
    ex->shadow = EXCHANGE_SHADOW_NONE; /* so that the wait is counted */
    exchange_count_wait(ex, outcome);
}

/* The limiter notices a passed deadline when it next has something to do: perhaps not yet. */
static void count_left_wait(struct exchange *ex)
{
    bool late = ex->record.left == 0 && exchange_now(ex) >= ex->deadline;

    count_ended_wait(ex, ex->record.left != 0 ? STATS_CLIENT_GONE
                         : late               ? STATS_TIMEOUT
                                              : STATS_DRY_RUN);
    if (late)
        exchange_would_refuse(ex, exchange_expired_kind(ex));
}

static bool leaves_queue(struct exchange *ex)
{
    return limiter_cancel(ex->lane->limiter, &ex->waiter, exchange_now(ex),
                          ex->record.left != 0 ? LIMITER_CLIENT_LEFT : LIMITER_TURNED_AWAY);
}

void exchange_shadow_release(struct exchange *ex)
{
    bool waiting = ex->shadow == EXCHANGE_SHADOW_WAITING;
    bool left = waiting && leaves_queue(ex);

    if (left)
        count_left_wait(ex);
    has_or_needs_no_slot(ex, waiting && !left ? EXCHANGE_SHADOW_LEAVING : EXCHANGE_SHADOW_NONE);
}

void exchange_shadow_left(struct exchange *ex)
{
    if (ex->shadow != EXCHANGE_SHADOW_WAITING || !leaves_queue(ex))
        return;
    count_left_wait(ex);
    ex->shadow = EXCHANGE_SHADOW_PAST;
}

/* ---- verdicts ---- */

static void count_ended(struct exchange *ex)
{
    bool evicted = ex->waiter.verdict == LIMITER_EVICTED;

    count_ended_wait(ex, evicted ? STATS_EVICTED : STATS_TIMEOUT);
    exchange_would_refuse(ex, evicted ? REPLY_EVICTED : exchange_expired_kind(ex));
}

/*
 * Asks again, after the app has refused the connection: what the limiter has said before concerned
 * an app that was up. QUEUED.
 */
static void wait_for_app(struct exchange *ex)
{
    struct limiter_waiter *ended;
    mono_us now = exchange_now(ex);

    ex->wait_counted = false;
    ex->waited_before = ex->went_on = 0;
    ex->deadline = exchange_deadline(ex, now);
    enum limiter_verdict verdict =
        limiter_acquire(ex->lane->limiter, &ex->waiter, now, ex->deadline, &ended);
    exchange_deliver(ended);
    if (verdict == LIMITER_ADMITTED) {
        loop_post(ex->env->c.loop, &ex->verdict);
    } else if (verdict == LIMITER_QUEUED) {
        exchange_arm(ex, ex->deadline);
        exchange_turn_late_away(ex);
    } else {
        exchange_reply(ex, REPLY_NOT_READY, 0, NULL);
    }
}

/* The limiter learns nothing from this hold. */
static void return_at_once(struct exchange *ex)
{
    struct limiter_waiter *w = &ex->waiter;

    count_ended_wait(ex, STATS_DISPATCHED);
    w->apart = true;
    struct limiter_waiter *chain = limiter_release(ex->lane->limiter, w, exchange_now(ex));
    w->apart = false; /* it may ask again */
    stats_slot_hold(ex->lane->stats, &ex->record, w->released_at - w->granted_at);
    exchange_deliver(chain);
}

static void end_lingering(struct exchange *ex)
{
    struct exchange_env *env = ex->env;

    ex->lane->lingering--;
    exchange_finish(ex);
    env->c.on_ended(env->c.arg, false);
}

/* It has ended, for the limiter at least, before its verdict arrived. */
static void late_verdict(struct exchange *ex)
{
    if (ex->waiter.verdict == LIMITER_ADMITTED) {
        return_at_once(ex);
    } else {
        count_ended(ex);
    }
    if (ex->lingers)
        end_lingering(ex);
    else if (ex->state == EXCHANGE_ABANDONED)
        exchange_done(ex);
    else if (ex->state == EXCHANGE_QUEUED)
        wait_for_app(ex);
}

void exchange_shadow_verdict(struct exchange *ex)
{
    if (ex->shadow == EXCHANGE_SHADOW_LEAVING) {
        late_verdict(ex);
        return;
    }
    CHECK(ex->shadow == EXCHANGE_SHADOW_WAITING);
    if (ex->waiter.verdict != LIMITER_ADMITTED) {
        count_ended(ex);
        ex->shadow = EXCHANGE_SHADOW_PAST;
        return;
    }
    has_or_needs_no_slot(ex, EXCHANGE_SHADOW_NONE);
    if (ex->state != EXCHANGE_CONNECTING) /* else as for any other: once it is connected */
        exchange_count_wait(ex, STATS_DISPATCHED);
}

/* ---- the app is not there ---- */

void exchange_shadow_requeue(struct exchange *ex)
{
    exchange_shadow_release(ex);
    stats_requeued(ex->lane->stats, 0);
    exchange_set_state(ex, EXCHANGE_QUEUED);
    if (ex->shadow == EXCHANGE_SHADOW_NONE)
        wait_for_app(ex);
}

/* ---- the audit ---- */

size_t exchange_without_slot(const struct exchange_env *env, const struct exchange_lane *lane)
{
    static const enum exchange_state inside[] = {EXCHANGE_AWAITING, EXCHANGE_STREAMING,
                                                 EXCHANGE_TUNNEL, EXCHANGE_ORPHANED};
    const struct exchange *ex;
    size_t n = 0;

    if (lane->shadows == 0)
        return 0;
    for (size_t i = 0; i < sizeof(inside) / sizeof(inside[0]); i++) {
        TAILQ_FOREACH (ex, &env->in[inside[i]], link)
            n += ex->lane == lane && ex->shadow != EXCHANGE_SHADOW_NONE;
    }
    return n;
}
