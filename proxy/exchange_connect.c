/*
 * See exchange_connect.h. A refused connect means that the app is down: the request, of which
 * the app has received nothing, goes back to its place in the queue.
 */
#include "proxy/exchange_connect.h"

#include <string.h>

#include "common/log.h"
#include "common/socket.h"
#include "proxy/exchange_deadline.h"
#include "proxy/exchange_request.h"
#include "proxy/exchange_shadow.h"

void exchange_granted(struct exchange *ex)
{
    loop_timer_stop(&ex->timer);
    exchange_set_state_at(ex, EXCHANGE_CONNECTING, exchange_granted_at(ex));
    bool could_be_sent_twice = http_method_is_idempotent(ex->method) && ex->up == NULL;
    exchange_connect(ex, ex->record.replayed   ? UPSTREAM_FRESH
                         : could_be_sent_twice ? UPSTREAM_ANY
                                               : UPSTREAM_ALIVE);
}

/* A request whose declared deadline has passed goes back to the queue, where its wait ends as one
 * that has expired. */
void exchange_connect(struct exchange *ex, enum upstream_kind kind)
{
    if (exchange_is_too_late(ex))
        exchange_requeue(ex);
    else if (h1_client_open(&ex->app, kind))
        exchange_dispatch(ex);
    else if (!client_peek(ex->client)) /* cheaper than connecting: see may_have_left() */
        exchange_lose_client(ex);
}

void exchange_connected(struct upstream_lease *l)
{
    struct exchange *ex = exchange_of(l->arg);
    CHECK(ex->state == EXCHANGE_CONNECTING);
    if (!exchange_is_too_late(ex)) {
        exchange_dispatch(ex);
        return;
    }
    h1_client_return(&ex->app, true);
    exchange_requeue(ex);
}

/*
 * The slot was of no use, so neither its hold nor the wait for it has been counted: the wait
 * continues. A request that was sent before, on a reused connection that died, has been counted as
 * dispatched: that wait and hold are over, and another wait begins, with a deadline of its own. The
 * old one has often passed, since the app may have worked on it for a long time.
 */
static void count_requeued(struct exchange *ex, mono_us waited, mono_us hold)
{
    struct stats_shard *stats = ex->lane->stats;

    if (ex->wait_counted) {
        stats_slot_hold(stats, &ex->record, hold);
        ex->waited_before = waited;
        ex->wait_counted = false;
        hold = 0;
    }
    stats_requeued(stats, hold);
}

void exchange_requeue(struct exchange *ex)
{
    if (ex->shadow != EXCHANGE_SHADOW_NONE) {
        exchange_shadow_requeue(ex);
        return;
    }
    struct limiter_waiter *w = &ex->waiter;
    mono_us now = exchange_now(ex), waited = exchange_waited(ex), before = w->requeued_us;

    if (ex->wait_counted)
        w->deadline = ex->deadline = exchange_deadline(ex, now);
    mono_us granted_at = w->granted_at;
    struct limiter_waiter *ended = limiter_requeue(ex->lane->limiter, w, now);
    mono_us hold = w->requeued_us - before;
    ex->went_on = 0;
    exchange_set_state_at(ex, EXCHANGE_QUEUED, granted_at + hold);
    exchange_arm(ex, ex->deadline);
    count_requeued(ex, waited, hold);
    exchange_deliver(ended);
    exchange_turn_late_away(ex);
}

/* Each errno has its own log rate limit; strerror() returns static text for the known ones. */
static void complain_of_connect(struct exchange *ex, int error)
{
    struct exchange_env *env = ex->env;
    const struct address *to = &ex->config->upstream.address;
    const char *what = strerror(error);
    char more[LOG_LIMIT_MORE];

    if (log_limit_allows(&env->log_limit, exchange_now(ex), what, more))
        log_warning("upstream %s: connect: %s%s (request id %.*s)%s", to->text, what,
                    socket_remedy(error, to), SPAN_PRINTF(ex->message.request_id), more);
}

/* `app` is notified first, or the limiter would grant the slot to the next waiter, or to this one.
 * A request to bypass.paths asks whether the app is ready: it is not held until it is. */
static void refused(struct exchange *ex, int error)
{
    app_refused(ex->env->c.shared->app, error, exchange_now(ex));
    if (exchange_bypasses(ex))
        exchange_fail(ex, REPLY_NOT_READY, NULL);
    else
        exchange_requeue(ex);
}

void exchange_not_connected(struct upstream_lease *l, enum upstream_failure why, int error)
{
    struct exchange *ex = exchange_of(l->arg);

    CHECK(ex->state == EXCHANGE_CONNECTING);
    if (app_is_refusal(error)) {
        refused(ex, error);
        return;
    }
    complain_of_connect(ex, error);
    exchange_fail(ex, why == UPSTREAM_TIMEOUT ? REPLY_CONNECT_TIMEOUT : REPLY_CONNECT_FAILED, NULL);
}
