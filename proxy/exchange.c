/*
 * See exchange.h. The functions follow the order of a request's life; exchange_request.c and
 * exchange_response.c have the parts that send the request and relay the response.
 */
#include "proxy/exchange.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "proxy/exchange_bypass.h"
#include "proxy/exchange_class.h"
#include "proxy/exchange_connect.h"
#include "proxy/exchange_deadline.h"
#include "proxy/exchange_end.h"
#include "proxy/exchange_front.h"
#include "proxy/exchange_orphan.h"
#include "proxy/exchange_private.h"
#include "proxy/exchange_request.h"
#include "proxy/exchange_response.h"
#include "proxy/exchange_shadow.h"
#include "proxy/exchange_tunnel.h"
#include "proxy/h1_server.h"
#include "proxy/http/body.h"
#include "proxy/http/rewrite.h"
#include "proxy/tunnel.h"

#define PEEK_AFTER_US 10000

static void exchange_client_gone(struct exchange *ex);
static void note_left(struct exchange *ex, const char *why);

/* ---- states ---- */

#define TO(s) (1u << EXCHANGE_##s)

static const unsigned edges[EXCHANGE_STATES] = {
    [EXCHANGE_ARRIVED] = TO(BUFFERING) | TO(QUEUED) | TO(CONNECTING) | TO(REPLYING) | TO(DONE),
    [EXCHANGE_BUFFERING] = TO(QUEUED) | TO(CONNECTING) | TO(REPLYING) | TO(DONE),
    [EXCHANGE_QUEUED] = TO(CONNECTING) | TO(ABANDONED) | TO(REPLYING) | TO(DONE),
    [EXCHANGE_CONNECTING] = TO(AWAITING) | TO(QUEUED) | TO(REPLYING) | TO(ABANDONED) | TO(DONE),
    [EXCHANGE_AWAITING] = TO(CONNECTING) | TO(STREAMING) | TO(TUNNEL) | TO(ORPHANED) |
                          TO(REPLYING) | TO(ABANDONED) | TO(DONE),
    [EXCHANGE_STREAMING] = TO(FLUSHING) | TO(ORPHANED) | TO(ABANDONED) | TO(DONE),
    [EXCHANGE_TUNNEL] = TO(ABANDONED) | TO(DONE),
    [EXCHANGE_ORPHANED] = TO(ABANDONED) | TO(DONE),
    [EXCHANGE_ABANDONED] = TO(DONE),
    [EXCHANGE_FLUSHING] = TO(ABANDONED) | TO(DONE),
    [EXCHANGE_REPLYING] = TO(ABANDONED) | TO(DONE),
};

static const enum record_phase phases[EXCHANGE_STATES] = {
    [EXCHANGE_ARRIVED] = RECORD_BODY_WAIT, [EXCHANGE_BUFFERING] = RECORD_BODY_WAIT,
    [EXCHANGE_QUEUED] = RECORD_QUEUE,      [EXCHANGE_CONNECTING] = RECORD_CONNECT,
    [EXCHANGE_AWAITING] = RECORD_SEND,     [EXCHANGE_STREAMING] = RECORD_TRANSFER,
    [EXCHANGE_TUNNEL] = RECORD_TRANSFER,   [EXCHANGE_ORPHANED] = RECORD_ORPHAN,
    [EXCHANGE_ABANDONED] = RECORD_ENDED,   [EXCHANGE_FLUSHING] = RECORD_DELIVERY,
    [EXCHANGE_REPLYING] = RECORD_DELIVERY, [EXCHANGE_DONE] = RECORD_ENDED,
};

void exchange_change_aside(struct exchange *ex)
{
    ex->aside = !ex->aside;
    stats_aside(ex->lane->stats, ex->aside ? 1 : -1);
}

void exchange_end_queue_phase(struct exchange *ex)
{
    const struct limiter_waiter *w = &ex->waiter;
    bool granted = w->verdict == LIMITER_ADMITTED;

    if (ex->record.phase == RECORD_QUEUE && ex->shadow == EXCHANGE_SHADOW_NONE)
        record_enter(&ex->record, granted ? RECORD_CONNECT : RECORD_DELIVERY, w->ended_at);
}

void exchange_set_state_at(struct exchange *ex, enum exchange_state next, mono_us at)
{
    struct exchange_env *env = ex->env;

    CHECK(edges[ex->state] & 1u << next);
    exchange_end_queue_phase(ex);
    if (ex->record.phase != RECORD_ENDED)
        record_enter(&ex->record, phases[next], at);
    TAILQ_REMOVE(&env->in[ex->state], ex, link);
    ex->lane->count[ex->state]--;
    ex->state = next;
    TAILQ_INSERT_TAIL(&env->in[next], ex, link);
    ex->lane->count[next]++;
    if (ex->aside || ex->waiter.apart) /* no state begins with BACKPRESSURE */
        exchange_note_aside(ex);
}

void exchange_set_state(struct exchange *ex, enum exchange_state next)
{
    exchange_set_state_at(ex, next, exchange_now(ex));
}

void exchange_note_backpressure(struct exchange *ex)
{
    struct record *r = &ex->record;
    mono_us before = r->spent[RECORD_BACKPRESSURE];

    if (!exchange_is_blocked(ex))
        return;
    exchange_enter_phase(ex, ex->state == EXCHANGE_STREAMING ? RECORD_TRANSFER
                             : ex->sent                      ? RECORD_FIRST_BYTE
                                                             : RECORD_SEND);
    stats_backpressure(ex->lane->stats, r->spent[RECORD_BACKPRESSURE] - before);
}

/* Logs a problem with the app. */
void exchange_complain(struct exchange *ex, const char *what)
{
    struct exchange_env *env = ex->env;
    char more[LOG_LIMIT_MORE];

    if (log_limit_allows(&env->log_limit, exchange_now(ex), what, more))
        log_warning("upstream %s: %s (request id %.*s)%s", ex->config->upstream.address.text, what,
                    SPAN_PRINTF(ex->message.request_id), more);
}

/* ---- arrival ---- */

static void on_timeout(void *arg);

static void on_verdict(struct task *task);

static void on_again(struct task *task);

static const struct upstream_handler upstream_handler;

static struct exchange *exchange_new(struct exchange_env *env, struct client *cl,
                                     const struct http_head *head)
{
    struct exchange *ex = pool_get(loop_pool(env->c.loop), sizeof(*ex));

    memset(ex, 0, sizeof(*ex));
    ex->magic = EXCHANGE_MAGIC;
    ex->env = env;
    ex->settings = settings_use(env->settings);
    ex->config = ex->settings->config;
    ex->lane = exchange_lane_for(env, ex->config, head);
    ex->client = cl;
    h1_client_init(&ex->app, env->c.upstream, &env->c.shared->budget, &upstream_handler, ex);
    ex->verdict.run = on_verdict;
    ex->again.run = on_again;
    loop_timer_init(&ex->timer, on_timeout, ex);
    record_begin(&ex->record, client_began(cl));
    record_enter(&ex->record, RECORD_BODY_WAIT, loop_now(env->c.loop));
    ex->method = head->method;
    ex->http10 = head->minor == 0;
    ex->persistent = http_head_persistent(head);
    ex->state = EXCHANGE_ARRIVED;
    TAILQ_INSERT_TAIL(&env->in[EXCHANGE_ARRIVED], ex, link);
    ex->lane->count[EXCHANGE_ARRIVED]++;
    ex->lane->begun++;
    return ex;
}

/* The upgrade protocols to offer to the app, written to the loop's compose scratch. */
static struct span offers_of(struct exchange_env *env, const struct http_head *head)
{
    char *out = loop_scratch(env->c.loop, LOOP_SCRATCH_COMPOSE);
    return (struct span){out, http_upgrade_offers(head, out)};
}

/* Refuses a request if its head alone is reason enough. True: weir has replied; the exchange may
 * have ended. */
static bool refused_at_once(struct exchange *ex, const struct http_head *head, bool too_large,
                            bool upgrade)
{
    if (too_large)
        exchange_reply(ex, REPLY_BODY_TOO_LARGE, 0, NULL);
    else if (http_max_forwards_zero(head))
        exchange_reply(ex, REPLY_LAST_HOP, ex->method == HTTP_TRACE ? 405 : 200, NULL);
    else if (upgrade && ex->env->draining)
        exchange_reply(ex, REPLY_DRAINING, 0, NULL);
    else if (upgrade && !exchange_take_upgrade(ex))
        exchange_reply(ex, REPLY_UPGRADES_FULL, 0, NULL);
    else
        return false;
    return true;
}

static void on_request(struct client *cl, const struct http_head *head, void *arg)
{
    struct exchange_env *env = arg;
    struct exchange *ex = exchange_new(env, cl, head);
    struct http_body body;

    client_serve(cl, ex);
    exchange_note_declared(ex, head);
    exchange_note_front(ex, head);
    ex->json = reply_wants_json(head);
    ex->expects = head->expect_continue;
    http_body_of_request(&body, head, ex->config->headers.underscores == CONFIG_UNDERSCORES_PASS);
    bool too_large = body.framing == HTTP_BODY_LENGTH && body.left > ex->config->client.max_body;
    bool whole = message_holds_body(cl, &body);
    ex->has_body = !http_body_complete(&body);
    bool waits = !whole && !too_large && exchange_must_wait_for_body(ex, &body);
    /* Without a body, Expect has no meaning, and Waitress sends the 100 and then no response. */
    struct message_how how = {.began = ex->record.began,
                              .drop_expect = ex->expects && (waits || !ex->has_body)};
    if (!ex->has_body && !ex->http10 && !exchange_bypasses(ex))
        how.upgrade = offers_of(env, head);
    message_compose(&ex->message, env->c.loop, ex->config, cl, &how, head, &body);
    if (whole)
        ex->record.bytes_in = body.left;
    else
        exchange_take_body(ex, &body);

    if (client_left(cl)) {
        exchange_client_gone(ex);
        client_abort(cl, false);
        return;
    }
    if (refused_at_once(ex, head, too_large, how.upgrade.len > 0))
        return;
    ex->upgrade = how.upgrade.len > 0;
    exchange_classify(ex, head);
    if (waits)
        exchange_wait_for_body(ex);
    else
        exchange_ask(ex);
}

/* The input is not a valid request: no exchange exists, but it gets a reply and is counted. */
static void on_refuse(struct client *cl, const struct http_problem *problem, void *arg)
{
    struct exchange_env *env = arg;
    char more[LOG_LIMIT_MORE];
    struct reply r = {
        .kind = problem->status == 408 ? REPLY_HEAD_TIMEOUT : REPLY_BAD_REQUEST,
        .status = problem->status,
        .detail = problem->status == 408 ? NULL : problem->reason,
        .close = true,
        .head_only = h1_server_begins_with_head(cl),
        .date = exchange_date(env),
        .load = exchange_load(env, env->settings->config),
    };

    if (log_limit_allows(&env->log_limit, loop_now(env->c.loop), problem->reason, more))
        log_info("request refused with %u: %s (client %.*s)%s", problem->status, problem->reason,
                 SPAN_PRINTF(client_name(cl)), more);
    exchange_count_refused(env, cl, problem->status, reply_reason(r.kind), r.detail);
    if (h1_server_reply(cl, &r))
        client_close(cl);
    else
        client_abort(cl, true);
}

/* ---- asking for a slot ---- */

/*
 * The request holds a slot, but one of the pending tasks may be the verdict of a request that
 * waited and was granted its slot earlier: this request is dispatched after that one.
 */
static void follow_the_granted(struct exchange *ex)
{
    exchange_set_state_at(ex, EXCHANGE_QUEUED, ex->waiter.queued_at);
    loop_post(ex->env->c.loop, &ex->verdict);
}

void exchange_ask(struct exchange *ex)
{
    mono_us now = exchange_now(ex);

    ex->deadline = exchange_deadline(ex, now);
    if (client_left(ex->client)) { /* the end of its body and its FIN arrived as one edge */
        exchange_lose_client(ex);
        return;
    }
    if (exchange_bypass_is_shut(ex)) {
        exchange_reply(ex, REPLY_NOT_READY, 0, NULL);
        return;
    }
    exchange_enter_phase(ex, RECORD_BODY_WAIT);
    if (ex->has_body)
        stats_reached(ex->lane->stats, &ex->record, STATS_ASKED);
    loop_timer_stop(&ex->timer);
    if (exchange_is_late(ex)) {
        exchange_refuse(ex, REPLY_DEADLINE);
        return;
    }
    if (!exchange_bypasses(ex))
        completions_arrives(ex->env->c.completions);
    ex->waiter.bytes = message_fitted(&ex->message) + h1_server_kept(ex->client);
    struct limiter_waiter *ended;
    enum limiter_verdict verdict =
        limiter_acquire(ex->lane->limiter, &ex->waiter, now, ex->deadline, &ended);
    exchange_deliver(ended);
    switch (verdict) {
    case LIMITER_ADMITTED:
        if (loop_has_tasks(ex->env->c.loop))
            follow_the_granted(ex);
        else
            exchange_granted(ex);
        return;
    case LIMITER_QUEUED:
        if (exchange_goes_on(ex)) {
            exchange_go_on(ex);
            return;
        }
        exchange_set_state_at(ex, EXCHANGE_QUEUED, ex->waiter.queued_at);
        message_fit(&ex->message, ex->env->c.loop);
        exchange_arm(ex, ex->deadline);
        exchange_turn_late_away(ex);
        return;
    case LIMITER_SHED_FULL:
        exchange_refuse(ex, REPLY_QUEUE_FULL);
        return;
    case LIMITER_SHED_BYTES:
        exchange_refuse(ex, REPLY_QUEUE_BYTES);
        return;
    case LIMITER_SHED_LATE:
        exchange_refuse(ex, REPLY_DEADLINE);
        return;
    case LIMITER_EXPIRED:
        exchange_refuse(ex, exchange_expired_kind(ex));
        return;
    case LIMITER_EVICTED: /* not a newcomer's verdict */
    case LIMITER_VERDICTS:
        CHECK(false);
    }
}

/* ---- waiting ---- */

void exchange_count_wait(struct exchange *ex, enum stats_outcome outcome)
{
    if (ex->wait_counted || ex->shadow != EXCHANGE_SHADOW_NONE)
        return;
    ex->wait_counted = true;
    stats_note_outcome(&ex->record, outcome);
    mono_us waited = exchange_waited(ex) - ex->waited_before;
    stats_queue_wait(ex->lane->stats, outcome, waited);
    if (ex->record.traced)
        stats_wait_exemplar(ex->lane->stats, &ex->record, waited);
}

void exchange_deliver(struct limiter_waiter *chain)
{
    for (struct limiter_waiter *next; chain != NULL; chain = next) {
        next = chain->next; /* read before its owner can reuse it */
        struct exchange *ex = CONTAINER_OF(chain, struct exchange, waiter);
        loop_post(ex->env->c.loop, &ex->verdict);
    }
}

static void expire(struct exchange *ex)
{
    bool evicted = ex->waiter.verdict == LIMITER_EVICTED;

    exchange_count_wait(ex, evicted ? STATS_EVICTED : STATS_TIMEOUT);
    exchange_reply(ex, evicted ? REPLY_EVICTED : exchange_expired_kind(ex), 0, NULL);
}

static void abandoned(struct exchange *ex)
{
    exchange_count_wait(ex, STATS_CLIENT_GONE);
    ex->waiter.apart = true; /* the app has received nothing: this is no hold */
    if (ex->waiter.verdict == LIMITER_ADMITTED)
        exchange_release_slot(ex);
    exchange_done(ex);
}

/* The client has left, but its event has not been delivered yet: the request is not dispatched. */
static void granted_too_late(struct exchange *ex)
{
    struct client *cl = ex->client;

    note_left(ex, RECORD_WHY_GONE);
    exchange_set_state(ex, EXCHANGE_ABANDONED);
    abandoned(ex);
    client_abort(cl, true);
}

/*
 * Whether a peek at the client is worth a system call. The client's event may still be in epoll,
 * after those of this turn; or the request and an RST arrived together, as one edge that shows
 * only the request. A client whose request has waited for less than PEEK_AFTER_US was alive that
 * recently, unless it had left before the request was read. That is just as possible if a request
 * does not wait, and a peek for each request would be a fifth of all system calls.
 */
static bool may_have_left(const struct exchange *ex)
{
    return exchange_waited(ex) >= PEEK_AFTER_US || loop_may_lag(ex->env->c.loop);
}

static void on_verdict(struct task *task)
{
    struct exchange *ex = exchange_of(CONTAINER_OF(task, struct exchange, verdict));

    if (ex->shadow != EXCHANGE_SHADOW_NONE) {
        exchange_shadow_verdict(ex);
        return;
    }
    CHECK(ex->state == EXCHANGE_QUEUED || ex->state == EXCHANGE_ABANDONED);
    if (ex->state == EXCHANGE_ABANDONED)
        abandoned(ex);
    else if (ex->waiter.verdict != LIMITER_ADMITTED)
        expire(ex);
    else if (may_have_left(ex) && !client_peek(ex->client))
        granted_too_late(ex);
    else
        exchange_granted(ex);
}

static void queue_deadline(struct exchange *ex)
{
    if (limiter_cancel(ex->lane->limiter, &ex->waiter, exchange_now(ex), LIMITER_TURNED_AWAY))
        expire(ex);
    /* otherwise the verdict has already been posted, and it decides */
}

/* ---- holding a slot ---- */

void exchange_drop_app(struct exchange *ex)
{
    h1_client_drop(&ex->app, ex->state == EXCHANGE_AWAITING || ex->state == EXCHANGE_STREAMING ||
                                 ex->state == EXCHANGE_ORPHANED);
}

/* The app gives no usable response: releases the slot and sends a local reply. */
void exchange_fail(struct exchange *ex, enum reply_kind kind, const char *detail)
{
    exchange_drop_app(ex);
    exchange_release_slot(ex);
    exchange_reply(ex, kind, 0, detail);
}

void exchange_post_again(struct exchange *ex)
{
    if (ex->again_posted)
        return;
    ex->again_posted = true;
    loop_post(ex->env->c.loop, &ex->again);
}

static void on_input(struct client *cl, void *served)
{
    struct exchange *ex = exchange_of(served);

    (void)cl;
    if (ex->state == EXCHANGE_BUFFERING)
        exchange_buffer(ex);
    else if (ex->state == EXCHANGE_TUNNEL)
        exchange_tunnel(ex);
    else if (exchange_is_uploading(ex))
        exchange_upload(ex, NULL);
}

/* ---- events ---- */

static void read_response(struct exchange *ex)
{
    switch (ex->state) {
    case EXCHANGE_AWAITING:
        exchange_read_head(ex);
        return;
    case EXCHANGE_ORPHANED:
        if (ex->down == NULL)
            exchange_read_head(ex);
        else
            exchange_download(ex, NULL);
        return;
    case EXCHANGE_STREAMING:
        exchange_download(ex, NULL);
        return;
    case EXCHANGE_TUNNEL:
        exchange_tunnel(ex);
        return;
    case EXCHANGE_ARRIVED:
    case EXCHANGE_BUFFERING:
    case EXCHANGE_QUEUED:
    case EXCHANGE_CONNECTING:
    case EXCHANGE_ABANDONED:
    case EXCHANGE_FLUSHING:
    case EXCHANGE_REPLYING:
    case EXCHANGE_DONE:
    case EXCHANGE_STATES:
        return;
    }
}

static void on_upstream_event(struct upstream_lease *l)
{
    struct exchange *ex = exchange_of(l->arg);
    const struct upstream_conn *connection = l->conn;

    if (ex->state == EXCHANGE_TUNNEL) {
        if (tunnel_app_is_lost(ex->tunnel))
            exchange_tunnel_lost(ex);
        else
            exchange_tunnel(ex);
        return;
    }
    if (h1_client_is_writable(&ex->app) && !exchange_flush_request(ex)) {
        if (l->conn == connection && ex->state != EXCHANGE_DONE && h1_client_has_event(&ex->app))
            exchange_post_again(ex);
        return;
    }
    if (h1_client_has_event(&ex->app))
        read_response(ex);
}

static const struct upstream_handler upstream_handler = {.on_ready = exchange_connected,
                                                         .on_failed = exchange_not_connected,
                                                         .on_event = on_upstream_event};

/* Continues a relay that has stopped to give other connections their turn. */
static void resume(struct exchange *ex)
{
    struct client *cl = ex->client;

    if (exchange_is_uploading(ex))
        exchange_upload(ex, NULL);
    if (ex->state != EXCHANGE_DONE && h1_client_is_open(&ex->app))
        read_response(ex);
    if (ex->state == EXCHANGE_DONE)
        return;
    if (cl != NULL && ex->client == cl)
        h1_server_save_input(cl);
    if (h1_client_is_open(&ex->app))
        h1_client_save_input(&ex->app);
}

static void on_again(struct task *task)
{
    struct exchange *ex = exchange_of(CONTAINER_OF(task, struct exchange, again));

    ex->again_posted = false;
    if (ex->released)
        exchange_give_back(ex);
    else if (ex->state != EXCHANGE_DONE)
        resume(ex);
}

/* ---- the client has received all output ---- */

static void on_drained(struct client *cl, void *served)
{
    struct exchange *ex = exchange_of(served);

    (void)cl;
    if (ex->state == EXCHANGE_FLUSHING || ex->state == EXCHANGE_REPLYING)
        exchange_done(ex);
    else if (ex->state == EXCHANGE_STREAMING)
        exchange_download(ex, NULL);
    else if (ex->state == EXCHANGE_TUNNEL)
        exchange_tunnel(ex);
    else if (exchange_is_blocked(ex)) /* heads were blocked by the client */
        exchange_post_again(ex);
}

/* ---- local replies ---- */

static void count_refusal(struct exchange *ex, const struct reply_refusal *refusal)
{
    char more[LOG_LIMIT_MORE];

    stats_rejected(ex->lane->stats, refusal->reason);
    if (log_limit_allows(&ex->env->log_limit, exchange_now(ex), refusal->log, more))
        log_warning("request refused: %s%s", refusal->log, more);
}

/* Retry-After: the estimated time until the queue has drained, 1 to 30 s, +-20% so that clients
 * refused together do not return together. */
static unsigned retry_after(struct exchange *ex)
{
    mono_us us = limiter_drain_estimate(ex->lane->limiter);
    us = us / 1000 * (mono_us)(800 + loop_random(ex->env->c.loop) % 401);
    mono_us s = (us + 999999) / 1000000;
    return s < 1 ? 1 : s > 30 ? 30 : (unsigned)s;
}

/* 0: the status of the reply's kind. */
static unsigned refusal_status(const struct exchange *ex, const struct reply_refusal *refusal)
{
    return refusal != NULL && refusal->overload ? ex->config->overload.status : 0;
}

/* Sends a local reply; any slot has already been released. `status` 0: the kind's own. */
void exchange_reply(struct exchange *ex, enum reply_kind kind, unsigned status, const char *detail)
{
    const struct reply_refusal *refusal = reply_refusal(kind);
    struct client *cl = ex->client;

    ex->close = !ex->persistent || ex->env->announced || !exchange_request_is_read(ex) ||
                kind == REPLY_BAD_REQUEST || kind == REPLY_BODY_TOO_LARGE;
    struct reply r = {
        .kind = kind,
        .status = status != 0 ? status : refusal_status(ex, refusal),
        .detail = detail,
        .retry_after = refusal != NULL ? retry_after(ex) : 0,
        .close = ex->close,
        .keep_alive = ex->http10 && !ex->close,
        .json = ex->json,
        .head_only = ex->method == HTTP_HEAD,
        .request_id_name = span_of(ex->config->headers.request_id),
        .request_id = ex->message.request_id,
        .date = exchange_date(ex->env),
        .load = exchange_load(ex->env, ex->config),
    };
    exchange_release_upgrade(ex);
    if (refusal != NULL)
        count_refusal(ex, refusal);
    ex->record.source = RECORD_BY_WEIR;
    ex->record.reason = reply_reason(kind);
    ex->record.status = reply_status(&r);
    ex->record.bytes_out = reply_content_length(&r);
    loop_timer_stop(&ex->timer);
    exchange_set_state(ex, EXCHANGE_REPLYING);
    if (!h1_server_reply(cl, &r)) {
        exchange_lose_client(ex);
        return;
    }
    if (client_backlog(cl) == 0) {
        exchange_done(ex);
        return;
    }
    exchange_abridge(ex);
    exchange_discard_upload(ex);
}

/* ---- timers ---- */

static void on_timeout(void *arg)
{
    struct exchange *ex = exchange_of(arg);

    switch (ex->state) {
    case EXCHANGE_BUFFERING:
        exchange_late_body(ex);
        return;
    case EXCHANGE_QUEUED:
        queue_deadline(ex);
        return;
    case EXCHANGE_AWAITING:
        if (ex->stalls_at != 0)
            exchange_late_client(ex);
        else
            exchange_late_response(ex);
        return;
    case EXCHANGE_TUNNEL:
        exchange_late_tunnel(ex);
        return;
    case EXCHANGE_STREAMING:
        if (ex->stalls_at != 0)
            exchange_late_client(ex);
        else
            exchange_late_stream(ex);
        return;
    case EXCHANGE_ORPHANED:
        exchange_done(ex);
        return;
    case EXCHANGE_ARRIVED:
    case EXCHANGE_CONNECTING:
    case EXCHANGE_ABANDONED:
    case EXCHANGE_FLUSHING:
    case EXCHANGE_REPLYING:
    case EXCHANGE_DONE:
    case EXCHANGE_STATES:
        return;
    }
}

/* ---- the client leaves ---- */

static void leave_queue(struct exchange *ex)
{
    if (!limiter_cancel(ex->lane->limiter, &ex->waiter, exchange_now(ex), LIMITER_CLIENT_LEFT)) {
        exchange_set_state(ex, EXCHANGE_ABANDONED);
        return;
    }
    exchange_count_wait(ex, STATS_CLIENT_GONE);
    exchange_done(ex);
}

/* The client has received what weir could send, less what weir still had to send. */
static void note_left(struct exchange *ex, const char *why)
{
    size_t unsent = client_backlog(ex->client);
    struct record *r = &ex->record;

    r->left = exchange_now(ex);
    if (r->reason == NULL)
        r->reason = why;
    if (ex->down != NULL)
        r->bytes_out = ex->down->body.data > unsent ? ex->down->body.data - unsent : 0;
    ex->client = NULL;
}

/* The client is lost. The caller ends its connection. */
static void exchange_client_gone(struct exchange *ex)
{
    CHECK(ex->client != NULL); /* a client leaves only once */
    note_left(ex, RECORD_WHY_GONE);
    exchange_shadow_left(ex);
    switch (ex->state) {
    case EXCHANGE_QUEUED:
        leave_queue(ex);
        return;
    case EXCHANGE_AWAITING:
    case EXCHANGE_STREAMING:
        exchange_leave_app(ex);
        return;
    case EXCHANGE_TUNNEL:
        h1_client_reset(&ex->app);
        exchange_done(ex);
        return;
    case EXCHANGE_ARRIVED:
    case EXCHANGE_BUFFERING:
    case EXCHANGE_CONNECTING:
    case EXCHANGE_FLUSHING:
    case EXCHANGE_REPLYING:
        exchange_done(ex);
        return;
    case EXCHANGE_ORPHANED:
    case EXCHANGE_ABANDONED:
    case EXCHANGE_DONE:
    case EXCHANGE_STATES:
        return;
    }
}

/* The client is lost: ends its connection with an RST. */
void exchange_lose_client(struct exchange *ex)
{
    struct client *cl = ex->client;

    exchange_client_gone(ex);
    client_abort(cl, true);
}

void exchange_cut_client(struct exchange *ex, const char *why)
{
    ex->record.reason = why;
    exchange_lose_client(ex);
}

static void on_gone(struct client *cl, void *served)
{
    struct exchange *ex = exchange_of(served);

    if (!client_left(cl) && ex->record.reason == NULL)
        ex->record.reason = RECORD_WHY_UNREAD;
    exchange_client_gone(ex);
}

/* ---- the exchanges of a loop ---- */

static void on_client_ended(void *arg)
{
    struct exchange_env *env = arg;
    env->c.on_ended(env->c.arg, true);
}

const struct client_handler exchange_client_handler = {
    .on_request = on_request,
    .on_refuse = on_refuse,
    .on_input = on_input,
    .on_drained = on_drained,
    .on_gone = on_gone,
    .on_ended = on_client_ended,
};

struct exchange_env *exchange_env_new(const struct exchange_env_config *config)
{
    struct exchange_env *env = calloc(1, sizeof(*env));

    CHECK(env != NULL);
    env->c = *config;
    env->c.config = NULL; /* `settings` has the present one */
    env->settings = settings_new(config->config);
    exchange_lanes_init(env);
    for (int i = 0; i < EXCHANGE_STATES; i++)
        TAILQ_INIT(&env->in[i]);
    return env;
}

void exchange_env_free(struct exchange_env *env)
{
    if (env == NULL)
        return;
    CHECK(exchange_total(env) == 0);
    settings_leave(env->settings);
    free(env);
}

void exchange_env_configure(struct exchange_env *env, struct config *config)
{
    settings_leave(env->settings);
    env->settings = settings_new(config);
    exchange_go_on_all(env);
}

/* The limiter keeps the waiters' old deadlines, which are later: the timers end the waits. */
void exchange_app_is_up(struct exchange_env *env)
{
    struct exchange *ex;

    for (ex = TAILQ_FIRST(&env->in[EXCHANGE_QUEUED]); ex != NULL; ex = TAILQ_NEXT(ex, link)) {
        mono_us due = exchange_now(ex) + ex->config->queue.timeout;
        if (ex->deadline <= due)
            continue;
        ex->deadline = due;
        exchange_arm(ex, due);
    }
    exchange_go_on_all(env);
}

static size_t lane_total(const struct exchange_lane *lane)
{
    size_t n = 0;

    for (int i = 0; i < EXCHANGE_DONE; i++)
        n += lane->count[i];
    return n;
}

size_t exchange_total(const struct exchange_env *env)
{
    return lane_total(&env->lanes[EXCHANGE_MAIN]) + lane_total(&env->lanes[EXCHANGE_BYPASS]);
}

/* Until the app has accepted its connection, a request may go back to the queue: neither its wait
 * nor its slot counts yet. */
static size_t connecting_for_good(const struct exchange_env *env, const struct exchange_lane *lane)
{
    const struct exchange *ex;
    size_t n = 0;

    TAILQ_FOREACH (ex, &env->in[EXCHANGE_CONNECTING], link)
        n += ex->lane == lane && ex->wait_counted && ex->shadow == EXCHANGE_SHADOW_NONE;
    return n;
}

static bool lane_audit(const struct exchange_env *env, const struct exchange_lane *lane)
{
    const size_t *n = lane->count;
    struct stats_present present = {
        .begun = lane->begun,
        .requests = lane_total(lane) - lane->lingering,
        .holding = connecting_for_good(env, lane) + n[EXCHANGE_AWAITING] + n[EXCHANGE_STREAMING] +
                   n[EXCHANGE_TUNNEL] + n[EXCHANGE_ORPHANED] - exchange_without_slot(env, lane),
        .orphans = n[EXCHANGE_ORPHANED],
        .upgrades = n[EXCHANGE_TUNNEL],
    };
    return stats_audit(lane->stats, &present);
}

bool exchange_audit(const struct exchange_env *env)
{
    bool right = lane_audit(env, &env->lanes[EXCHANGE_MAIN]);
    return lane_audit(env, &env->lanes[EXCHANGE_BYPASS]) && right;
}
