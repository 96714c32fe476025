/* See exchange_request.h. */
#include "proxy/exchange_request.h"

#include <string.h>

#include "proxy/exchange_bypass.h"
#include "proxy/exchange_connect.h"
#include "proxy/exchange_deadline.h"
#include "proxy/exchange_response.h"
#include "proxy/exchange_shadow.h"
#include "proxy/h1_server.h"
#include "proxy/http/body.h"

#define STREAM_AFTER_US 250000 /* the longest wait for a body that may be a stream */
#define BODY_PACE       500    /* bytes per second; MinRate of Apache's mod_reqtimeout */

/* ---- waiting for the body, without a slot ---- */

void exchange_take_body(struct exchange *ex, const struct http_body *body)
{
    ex->up = pool_get(loop_pool(ex->env->c.loop), sizeof(*ex->up));
    memset(ex->up, 0, sizeof(*ex->up));
    ex->up->body = *body;
    ex->up->max = ex->config->client.max_body;
    ex->up->mark = ex->config->buffers.request;
    ex->up->budget = &ex->env->c.shared->budget;
    ex->up->pace_since = exchange_arrived(ex);
}

static bool exchange_body_is_small(const struct exchange *ex, const struct http_body *body)
{
    return body->framing == HTTP_BODY_LENGTH &&
           body->data + body->left <= ex->config->buffers.request;
}

/* Whether the queue is full for it, whatever its class and key. */
static bool finds_no_room(const struct exchange *ex)
{
    return ex->config->classes.n == 0 && ex->config->fair[0] == '\0' &&
           limiter_is_full(ex->lane->limiter);
}

/*
 * Whether to wait for an incomplete body before asking for a slot. Not while slots are plentiful;
 * not if the request would be refused (that is done at once, without asking for the body); not if
 * the client sends nothing before the app's 100; and not if the budget leaves no memory for it.
 */
bool exchange_must_wait_for_body(const struct exchange *ex, const struct http_body *body)
{
    struct limiter *l = ex->lane->limiter;

    if (exchange_bypass_is_shut(ex) || exchange_goes_on(ex))
        return false;
    if (ex->expects && !exchange_body_is_small(ex, body))
        return false;
    if (budget_is_spent(&ex->env->c.shared->budget))
        return false;
    if (exchange_deadline(ex, exchange_now(ex)) <= exchange_now(ex))
        return false;
    return !limiter_has_plenty(l) && !finds_no_room(ex);
}

/* Accounts for memory that the message takes for its body, or gives back. */
void exchange_held_changed(struct exchange *ex, int64_t change)
{
    if (change == 0)
        return;
    stats_buffered(ex->env->c.stats, STATS_REQUEST, change);
    budget_change(&ex->env->c.shared->budget, change);
}

static void drop_upload(struct exchange *ex)
{
    ex->record.bytes_in = ex->up->body.data;
    pool_put(loop_pool(ex->env->c.loop), ex->up, sizeof(*ex->up));
    ex->up = NULL;
}

/* The client was not read for a while: measures its pace from now on. */
void exchange_measure_pace(struct exchange *ex)
{
    ex->up->pace_since = exchange_now(ex);
    ex->up->pace_before = ex->up->body.data;
}

/* Whether the client has been slower than BODY_PACE for longer than client.body_timeout. A chunked
 * body may be as slow as it likes while no other request needs the slot. */
static bool body_is_late(const struct exchange *ex)
{
    uint64_t received = ex->up->body.data - ex->up->pace_before;
    mono_us due = ex->up->pace_since + ex->config->client.body_timeout +
                  (mono_us)(received / BODY_PACE * 1000000);

    if (exchange_now(ex) < due)
        return false;
    return ex->up->body.framing == HTTP_BODY_LENGTH || ex->state == EXCHANGE_BUFFERING ||
           (exchange_enforces(ex) && !limiter_has_plenty(ex->lane->limiter));
}

/* The result of waiting for a body. */
enum body_wait { BODY_MORE, BODY_READY, BODY_TOO_LARGE, BODY_BAD, BODY_LATE };

static enum body_wait take_available(struct exchange *ex)
{
    struct exchange_shared *shared = ex->env->c.shared;
    size_t before = ex->message.body, most = ex->config->buffers.request;

    if (budget_is_spent(&shared->budget))
        most = before;
    enum message_status st = message_take_body(&ex->message, ex->env->c.loop, ex->client,
                                               &ex->up->body, most, &ex->up->problem);
    exchange_held_changed(ex, (int64_t)(ex->message.body - before));
    if (ex->up->body.data > ex->up->max)
        return BODY_TOO_LARGE;
    switch (st) {
    case MESSAGE_BAD:
        return BODY_BAD;
    case MESSAGE_WHOLE:
        drop_upload(ex);
        return BODY_READY;
    case MESSAGE_FULL:
        return BODY_READY;
    case MESSAGE_MORE:
        break;
    }
    return BODY_MORE;
}

/* The wait for the body is over. */
static void end_wait(struct exchange *ex, enum body_wait why)
{
    switch (why) {
    case BODY_READY:
        exchange_ask(ex);
        return;
    case BODY_TOO_LARGE:
        exchange_reply(ex, REPLY_BODY_TOO_LARGE, 0, NULL);
        return;
    case BODY_BAD:
        exchange_reply(ex, REPLY_BAD_REQUEST, 0, ex->up->problem.reason);
        return;
    case BODY_LATE:
        exchange_reply(ex, REPLY_BODY_TIMEOUT, 0, NULL);
        return;
    case BODY_MORE:
        return;
    }
}

static void arm_buffering(struct exchange *ex)
{
    mono_us now = exchange_now(ex), due = now + ex->config->client.body_timeout;
    mono_us stream = exchange_arrived(ex) + STREAM_AFTER_US;

    if (!exchange_body_is_small(ex, &ex->up->body) && stream < due)
        due = stream > now ? stream : now;
    if (ex->waiter.declared != 0 && ex->waiter.declared < due)
        due = ex->waiter.declared;
    exchange_arm(ex, due);
}

void exchange_buffer(struct exchange *ex)
{
    for (;;) {
        enum body_wait wait = take_available(ex);
        if (wait != BODY_MORE) {
            end_wait(ex, wait);
            return;
        }
        switch (h1_server_read(ex->client, &ex->env->c.shared->budget)) {
        case H1_INPUT_GOT:
            continue;
        case H1_INPUT_WAIT:
            break;
        case H1_INPUT_ENDED:
            exchange_lose_client(ex);
            return;
        }
        break;
    }
    if (body_is_late(ex)) /* only now that all available input is counted */
        end_wait(ex, BODY_LATE);
    else if (limiter_has_plenty(ex->lane->limiter) || exchange_goes_on(ex))
        exchange_ask(ex); /* slots have become free since the head arrived */
    else
        arm_buffering(ex);
}

void exchange_wait_for_body(struct exchange *ex)
{
    exchange_set_state(ex, EXCHANGE_BUFFERING);
    if (ex->expects) {
        ex->expects = false;
        ex->continued = true;
        if (!h1_server_continue(ex->client)) {
            exchange_lose_client(ex);
            return;
        }
    }
    exchange_buffer(ex);
}

void exchange_late_body(struct exchange *ex)
{
    bool may_stream = !exchange_body_is_small(ex, &ex->up->body) &&
                      exchange_now(ex) >= exchange_arrived(ex) + STREAM_AFTER_US;

    if (may_stream || exchange_is_late(ex)) /* then it is refused */
        exchange_ask(ex);
    else
        exchange_reply(ex, REPLY_BODY_TIMEOUT, 0, NULL);
}

/* ---- sending the request ---- */

bool exchange_request_is_read(const struct exchange *ex)
{
    return ex->up == NULL || http_body_complete(&ex->up->body);
}

bool exchange_is_uploading(const struct exchange *ex)
{
    return ex->up != NULL && !ex->up->stopped && !ex->upload_failed &&
           (ex->state == EXCHANGE_AWAITING || ex->state == EXCHANGE_STREAMING);
}

static void request_is_sent(struct exchange *ex)
{
    ex->sent = true;
    ex->stuck_at = 0;
    if (ex->record.phase == RECORD_SEND)
        exchange_enter_phase(ex, RECORD_FIRST_BYTE);
    exchange_arm_awaiting(ex, ex->config->upstream.first_byte_timeout);
}

/* The app accepts no more of the request. It may still have responded: read before judging. */
static void fail_upload(struct exchange *ex)
{
    ex->upload_failed = true;
    ex->stuck_at = 0;
    if (ex->state == EXCHANGE_AWAITING) {
        exchange_arm_awaiting(ex, ex->config->upstream.idle_timeout);
        exchange_read_head(ex);
    } else {
        exchange_download(ex, NULL);
    }
}

static void send_request(struct exchange *ex)
{
    struct span message = {ex->message.at, ex->message.len};

    /* The limiter's clock is shared by all loops, and may be some microseconds ahead of ours. */
    mono_us granted_at = exchange_granted_at(ex);
    exchange_count_wait(ex, STATS_DISPATCHED);
    if (!ex->record.replayed)
        stats_connect(ex->lane->stats, not_before(exchange_now(ex), granted_at) - granted_at);
    exchange_set_state(ex, EXCHANGE_AWAITING);
    if (ex->up != NULL) {
        exchange_measure_pace(ex);
        struct relay_front front = {.head = message, .room = message_room(&ex->message)};
        exchange_upload(ex, &front);
        return;
    }
    if (!h1_client_send(&ex->app, message)) {
        fail_upload(ex);
        return;
    }
    if (h1_client_unsent(&ex->app) == 0)
        request_is_sent(ex);
    else
        exchange_arm_upload(ex, RELAY_BLOCKED);
}

void exchange_dispatch(struct exchange *ex)
{
    const struct upstream_conn *connection = ex->app.lease.conn;

    if (h1_client_spoke_first(&ex->app)) {
        exchange_bad_response(ex, exchange_unsolicited);
        return;
    }
    send_request(ex);
    /* If the app sent something on accept, its edge was delivered while we were connecting. */
    if (ex->state == EXCHANGE_AWAITING && ex->app.lease.conn == connection &&
        h1_client_has_event(&ex->app))
        exchange_post_again(ex);
}

/* ---- relaying the body ---- */

/* The client sends nothing because the app has not sent a 100 yet: the app is the slow side. */
bool exchange_app_owes_100(const struct exchange *ex)
{
    return ex->expects && !ex->said_100 && !ex->up->began;
}

/* For comparison in app_takes(). */
void exchange_note_unacked(struct exchange *ex)
{
    if (h1_client_unsent(&ex->app) > 0)
        ex->unacked = h1_client_unacked(&ex->app);
}

static void look_at_app(struct exchange *ex)
{
    mono_us patience = ex->config->upstream.idle_timeout;
    exchange_arm(ex, h1_client_next_look(&ex->app, patience, ex->stuck_at));
}

/* Arms the timer for the response's head, unless the client holds it up and owns the timer. */
void exchange_arm_awaiting(struct exchange *ex, mono_us patience)
{
    if (ex->state == EXCHANGE_AWAITING && !exchange_is_blocked(ex))
        exchange_arm(ex, exchange_now(ex) + patience);
}

/* Arms the timer while the request is sent; exchange_late_response() finds the slow side. */
void exchange_arm_upload(struct exchange *ex, enum relay_status st)
{
    const struct config *cf = ex->config;
    mono_us patience = cf->upstream.idle_timeout;

    if (ex->state != EXCHANGE_AWAITING || exchange_is_blocked(ex))
        return;
    exchange_note_unacked(ex);
    ex->stuck_at = 0;
    if (st == RELAY_WAIT) {
        patience =
            exchange_app_owes_100(ex) ? cf->upstream.first_byte_timeout : cf->client.body_timeout;
        exchange_arm_awaiting(ex, patience);
        return;
    }
    ex->stuck_at = exchange_now(ex) + patience;
    look_at_app(ex);
}

static void upload_moves(struct exchange *ex)
{
    if (ex->state != EXCHANGE_STREAMING)
        return;
    ex->unacked = SIZE_MAX;
    exchange_renew_idle(ex);
}

static void exchange_upload_ended(struct exchange *ex, enum relay_status why)
{
    switch (why) {
    case RELAY_TOO_LARGE:
    case RELAY_BAD_FRAMING:
    case RELAY_TRUNCATED:
        break;
    case RELAY_RECEIVER_LOST:
        fail_upload(ex);
        return;
    case RELAY_END:
    case RELAY_WAIT:
    case RELAY_BLOCKED:
    case RELAY_BUSY:
        return;
    }
    if (why == RELAY_TRUNCATED || ex->state != EXCHANGE_AWAITING) {
        exchange_lose_client(ex);
    } else if (why == RELAY_TOO_LARGE) {
        exchange_fail(ex, REPLY_BODY_TOO_LARGE, NULL);
    } else {
        exchange_fail(ex, REPLY_BAD_REQUEST, ex->up->problem.reason);
    }
}

void exchange_upload(struct exchange *ex, const struct relay_front *front)
{
    uint64_t moved;
    enum relay_status st = h1_client_upload(&ex->app, ex->up, ex->client, front, &moved);

    if (moved > 0)
        upload_moves(ex);
    switch (st) {
    case RELAY_END:
        if (h1_client_unsent(&ex->app) == 0)
            request_is_sent(ex);
        else
            exchange_arm_upload(ex, st);
        return;
    case RELAY_BUSY:
        exchange_arm_upload(ex, RELAY_WAIT); /* there may turn out to be no more input now */
        exchange_post_again(ex);
        return;
    case RELAY_WAIT:
        if (ex->state == EXCHANGE_AWAITING && moved > 0 && body_is_late(ex))
            exchange_fail(ex, REPLY_BODY_TIMEOUT, NULL);
        else if (moved > 0 || front != NULL)
            exchange_arm_upload(ex, st);
        return;
    case RELAY_BLOCKED:
        exchange_measure_pace(ex);
        if (moved > 0 || front != NULL)
            exchange_arm_upload(ex, st);
        return;
    case RELAY_TOO_LARGE:
    case RELAY_BAD_FRAMING:
    case RELAY_TRUNCATED:
    case RELAY_RECEIVER_LOST:
        exchange_upload_ended(ex, st);
        return;
    }
}

/* Sends unsent output to the app. False: the exchange may have ended. */
bool exchange_flush_request(struct exchange *ex)
{
    size_t before = h1_client_unsent(&ex->app);

    if (before == 0 || ex->upload_failed)
        return true;
    bool sound = h1_client_flush(&ex->app);
    size_t unsent = h1_client_unsent(&ex->app);
    if (unsent < before)
        upload_moves(ex);
    if (!sound) {
        fail_upload(ex);
        return false;
    }
    if (unsent > 0) {
        if (unsent < before)
            exchange_arm_upload(ex, RELAY_BLOCKED);
        return true;
    }
    if (exchange_is_uploading(ex)) { /* from now on, the client may be the slow side */
        exchange_measure_pace(ex);
        exchange_arm_upload(ex, RELAY_WAIT);
        exchange_upload(ex, NULL);
        return false;
    }
    if (exchange_request_is_read(ex))
        request_is_sent(ex);
    return true;
}

/* ---- replaying on another connection ---- */

/* Whether the request may be sent again on a fresh connection (RFC 9112 section 9.3.1). If nothing
 * of it was accepted, the app cannot have seen it: it may have ended with the connection still in
 * its backlog. */
bool exchange_may_replay(const struct exchange *ex)
{
    if (ex->record.replayed || ex->app.response_begun)
        return false;
    if (!h1_client_accepted(&ex->app))
        return ex->up == NULL || !ex->up->began;
    return upstream_was_reused(&ex->app.lease) && http_method_is_idempotent(ex->method) &&
           ex->up == NULL;
}

/* Peeks at the client first: an RST that arrived in one edge with the request has not been seen,
 * and the app may have had the request for a long time. See may_have_left(). */
void exchange_replay(struct exchange *ex)
{
    struct exchange_env *env = ex->env;

    h1_client_start_over(&ex->app);
    ex->record.replayed = true;
    ex->upload_failed = ex->sent = false;
    exchange_set_state(ex, EXCHANGE_CONNECTING);
    record_start_over(&ex->record);
    loop_timer_stop(&ex->timer);
    if (!client_peek(ex->client)) {
        exchange_lose_client(ex);
        return;
    }
    stats_upstream(env->c.stats, STATS_REPLAYED);
    if (app_is_in_doubt(env->c.shared->app) && !exchange_bypasses(ex))
        exchange_requeue(ex);
    else
        exchange_connect(ex, UPSTREAM_FRESH);
}

/* ---- the timer ---- */

/* The app has received something since the timer was armed, however slowly. */
static bool app_takes(const struct exchange *ex)
{
    return h1_client_unsent(&ex->app) > 0 && h1_client_unacked(&ex->app) < ex->unacked;
}

/* All of the body that has arrived was read, and the client has yet to send the rest. */
static bool client_owes_body(const struct exchange *ex)
{
    return !exchange_request_is_read(ex) && h1_server_is_read(ex->client);
}

void exchange_late_response(struct exchange *ex)
{
    if (exchange_now(ex) < ex->stuck_at) {
        if (app_takes(ex))
            exchange_arm_upload(ex, RELAY_BLOCKED);
        else
            look_at_app(ex);
    } else if (ex->sent || (exchange_is_uploading(ex) && exchange_app_owes_100(ex))) {
        exchange_complain(ex, "no response within upstream.first_byte_timeout");
        exchange_fail(ex, REPLY_FIRST_BYTE_TIMEOUT, NULL);
    } else if (!ex->upload_failed && client_owes_body(ex)) {
        exchange_fail(ex, REPLY_BODY_TIMEOUT, NULL);
    } else if (app_takes(ex)) {
        exchange_arm_upload(ex, RELAY_BLOCKED);
    } else {
        exchange_complain(ex, "the request was not read within upstream.idle_timeout");
        exchange_fail(ex, REPLY_SEND_TIMEOUT, NULL);
    }
}
