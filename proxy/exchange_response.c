/* See exchange_response.h. */
#include "proxy/exchange_response.h"

#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "proxy/exchange_end.h"
#include "proxy/exchange_orphan.h"
#include "proxy/exchange_request.h"
#include "proxy/exchange_shadow.h"
#include "proxy/exchange_tunnel.h"
#include "proxy/h1_server.h"
#include "proxy/http/body.h"

/*
 * How many interim responses (1xx) an app may send: a burst, and one every 10 ms on average since
 * the request was sent. More frequent progress reports are of no use, and each costs a parse, a
 * rewrite and a send. The average needs no memory but a count, so a job may send a 102 every second
 * for hours, and responses may arrive together because the client held them up.
 */
#define INTERIM_BURST    64
#define INTERIM_EVERY_US 10000

#define HEADS_AT_ONCE 32 /* read in one go, before other connections get their turn */

const char exchange_unsolicited[] = "a response without a request";

static void watch_client(struct exchange *ex, size_t unread);

/* ---- no response ---- */

/* The app has ended the connection before it responded. */
static void upstream_lost(struct exchange *ex)
{
    app_suspect(ex->env->c.shared->app, exchange_now(ex));
    if (ex->state == EXCHANGE_ORPHANED) {
        exchange_done(ex);
        return;
    }
    if (exchange_may_replay(ex)) {
        exchange_replay(ex);
        return;
    }
    exchange_complain(ex, ex->app.response_begun ? "the response headers were cut off"
                                                 : "connection closed without a response");
    exchange_fail(ex, ex->app.response_begun ? REPLY_UPSTREAM_BROKEN : REPLY_UPSTREAM_CLOSED, NULL);
}

void exchange_bad_response(struct exchange *ex, const char *why)
{
    exchange_complain(ex, why);
    if (ex->state == EXCHANGE_ORPHANED)
        exchange_done(ex);
    else
        exchange_fail(ex, REPLY_UPSTREAM_BROKEN, why);
}

/* Sent before a byte of the request was accepted: not a response to it (RFC 9112 section 9.2). */
static void unsolicited_response(struct exchange *ex)
{
    if (exchange_may_replay(ex))
        exchange_replay(ex);
    else
        exchange_bad_response(ex, exchange_unsolicited);
}

/* ---- headers, interim and final ---- */

/* The side that has to move next gets its whole timeout from now. */
static void renew_patience(struct exchange *ex)
{
    const struct config *cf = ex->config;

    if (ex->sent)
        exchange_arm_awaiting(ex, cf->upstream.first_byte_timeout);
    else if (ex->upload_failed)
        exchange_arm_awaiting(ex, cf->upstream.idle_timeout);
    else
        exchange_arm_upload(ex, h1_client_unsent(&ex->app) > 0 ? RELAY_BLOCKED : RELAY_WAIT);
}

/* An interim response renews the app's timeout. It does not renew the client's, unless it is the
 * 100 that the client waits for; nor that of an orphan, which would otherwise never end. */
static void interim_arrived(struct exchange *ex)
{
    bool client_sends = exchange_is_uploading(ex) && h1_client_unsent(&ex->app) == 0;
    bool owed = client_sends && exchange_app_owes_100(ex);

    if (ex->env->head.status == 100)
        ex->said_100 = true;
    if (owed)
        exchange_measure_pace(ex);
    if (owed || !client_sends)
        renew_patience(ex);
}

static bool is_flood(const struct exchange *ex)
{
    const mono_us *spent = ex->record.spent;
    mono_us asked = spent[RECORD_SEND] + spent[RECORD_FIRST_BYTE] + spent[RECORD_BACKPRESSURE] +
                    spent[RECORD_ORPHAN] + exchange_now(ex) - ex->record.since;
    return ex->interims > INTERIM_BURST + (uint64_t)(asked / INTERIM_EVERY_US);
}

/* 1xx: passed on at once; the final response follows. False: no additional head is read. */
static bool interim(struct exchange *ex)
{
    struct client *cl = ex->client;
    unsigned status = ex->env->head.status;

    if (status == 101) {
        exchange_switch_protocols(ex);
        return false;
    }
    ex->interims++;
    if (is_flood(ex)) {
        exchange_bad_response(ex, "too many interim responses");
        return false;
    }
    interim_arrived(ex);
    if (cl == NULL || ex->http10 || (status == 100 && ex->continued))
        return true;
    if (h1_server_interim(cl, &ex->env->head))
        return true;
    exchange_lose_client(ex);
    return false;
}

bool exchange_has_no_length(const struct exchange *ex)
{
    enum http_framing framing = ex->down->body.framing;
    return framing == HTTP_BODY_CHUNKED || framing == HTTP_BODY_UNTIL_CLOSE;
}

static double milliseconds(mono_us us)
{
    return (double)us / 1000;
}

/* Server-Timing (W3C), if enabled: the parts of the time that the client cannot measure itself. */
static struct span timing_of(const struct exchange *ex, char *out, size_t size)
{
    if (!ex->config->headers.server_timing)
        return (struct span){out, 0};
    mono_us waited = ex->went_on != 0 ? 0 : exchange_waited(ex);
    mono_us granted_at = exchange_granted_at(ex);
    int n = snprintf(out, size, "queue;dur=%.3f, app;dur=%.3f", milliseconds(waited),
                     milliseconds(not_before(exchange_now(ex), granted_at) - granted_at));
    return (struct span){out, n > 0 ? (size_t)n : 0};
}

/* Composes the head for the client and chooses the framing of the body. */
static struct relay_front respond(struct exchange *ex)
{
    struct exchange_env *env = ex->env;
    char timing[96];
    struct h1_response how = {
        .http10 = ex->http10,
        .last = !ex->persistent || env->announced || !exchange_request_is_read(ex),
        .request_id_name = span_of(ex->config->headers.request_id),
        .request_id = ex->message.request_id,
        .server_timing = timing_of(ex, timing, sizeof(timing)),
        .date = exchange_date(env),
        .load = exchange_load(env, ex->config),
    };
    struct relay_front front = h1_server_respond(ex->client, &env->head, ex->down, &how);

    ex->close = how.last;
    ex->events = ex->waiter.apart && relay_can_finish(ex->down);
    ex->down->finish = ex->events && env->ending;
    return front;
}

static void final_head(struct exchange *ex)
{
    struct exchange_env *env = ex->env;

    exchange_enter_phase(ex, ex->record.phase);
    stats_reached(ex->lane->stats, &ex->record, STATS_ANSWERED);
    ex->app_persists = http_head_persistent(&env->head);
    ex->down = pool_get(loop_pool(env->c.loop), sizeof(*ex->down));
    memset(ex->down, 0, sizeof(*ex->down));
    ex->down->max = UINT64_MAX;
    ex->down->mark = ex->config->buffers.response;
    ex->down->budget = &env->c.shared->budget;
    exchange_release_upgrade(ex);
    http_body_of_response(&ex->down->body, &env->head, ex->method);
    /* An event stream holds its slot for as long as its reader likes. */
    ex->waiter.apart = exchange_has_no_length(ex) && http_head_is_event_stream(&env->head);
    exchange_note_aside(ex);
    if (ex->state == EXCHANGE_ORPHANED) {
        exchange_arm_orphan(ex);
        exchange_download(ex, NULL);
        return;
    }
    ex->record.status = env->head.status;
    ex->answered = true;
    struct relay_front front = respond(ex);
    exchange_set_state(ex, EXCHANGE_STREAMING);
    bool all_taken = ex->up == NULL && h1_client_unsent(&ex->app) == 0;
    ex->unacked = all_taken ? 0 : SIZE_MAX;
    exchange_download(ex, &front);
}

/* Reads one head, interim or final. False: no additional head is read now. */
static bool one_head(struct exchange *ex)
{
    struct exchange_env *env = ex->env;
    struct http_problem problem;

    switch (h1_client_read_head(&ex->app, &ex->settings->limits, &env->head, &problem)) {
    case H1_HEAD_WAIT:
        return false;
    case H1_HEAD_UNSOLICITED:
        unsolicited_response(ex);
        return false;
    case H1_HEAD_BAD:
        exchange_bad_response(ex, problem.reason);
        return false;
    case H1_HEAD_LOST:
        upstream_lost(ex);
        return false;
    case H1_HEAD_DONE:
        break;
    }
    if (env->head.status < 200)
        return interim(ex);
    final_head(ex);
    return false;
}

/* Back-pressure applies to heads as it does to bodies: while the client has not received the
 * earlier interim responses, the next stays unread, and the timer is the client's. */
static bool client_holds_up(struct exchange *ex)
{
    const struct client *cl = ex->client;
    size_t mark = ex->config->buffers.response;
    bool blocked = cl != NULL && client_backlog(cl) > 0 &&
                   client_backlog(cl) >= budget_mark(&ex->env->c.shared->budget, mark);

    if (blocked && !exchange_is_blocked(ex)) {
        exchange_enter_phase(ex, RECORD_BACKPRESSURE);
        watch_client(ex, 0);
    } else if (!blocked && exchange_is_blocked(ex)) {
        exchange_note_backpressure(ex);
        ex->stalls_at = 0;
        if (exchange_is_uploading(ex))
            exchange_measure_pace(ex);
        renew_patience(ex);
    }
    return blocked;
}

void exchange_read_head(struct exchange *ex)
{
    for (int heads = 0; !client_holds_up(ex) && one_head(ex); heads++) {
        if (heads + 1 == HEADS_AT_ONCE) {
            exchange_post_again(ex);
            return;
        }
    }
}

/* ---- the body ---- */

/* The client holds up its last response. It may be a client that sends everything before it reads,
 * so its input is discarded. */
void exchange_discard_upload(struct exchange *ex)
{
    if (ex->close && !exchange_is_uploading(ex))
        client_discard(ex->client);
}

/* The app's last byte is read: releases slot and connection now, however slow the client is. */
static void exchange_response_complete(struct exchange *ex)
{
    bool reusable = ex->app_persists && !ex->down->cut && ex->sent && !ex->upload_failed &&
                    ex->down->body.framing != HTTP_BODY_UNTIL_CLOSE;

    ex->record.complete = true;
    h1_client_return(&ex->app, reusable);
    if (ex->record.orphaned) {
        exchange_done(ex);
        return;
    }
    exchange_release_slot(ex);
    loop_timer_stop(&ex->timer);
    exchange_set_state(ex, EXCHANGE_FLUSHING);
    if (client_backlog(ex->client) == 0) {
        exchange_done(ex);
        return;
    }
    exchange_abridge(ex);
    exchange_discard_upload(ex);
}

/* The response was cut, or broke its framing, after part was sent: the client must see that. */
static void exchange_cut(struct exchange *ex, const char *word, const char *why)
{
    struct client *cl = ex->client;

    exchange_complain(ex, why);
    if (ex->record.reason == NULL) /* otherwise the client has left before */
        ex->record.reason = word;
    ex->close = true;
    /* If the body's framing cannot show the cut, an RST must (RFC 9112 section 8). */
    if (cl != NULL && h1_server_ends_by_close(ex->down)) {
        ex->client = NULL;
        client_abort(cl, true);
    }
    exchange_done(ex);
}

static void exchange_download_ended(struct exchange *ex, enum relay_status why)
{
    switch (why) {
    case RELAY_END:
        exchange_response_complete(ex);
        return;
    case RELAY_RECEIVER_LOST:
        exchange_lose_client(ex);
        return;
    case RELAY_BAD_FRAMING:
        exchange_cut(ex, RECORD_WHY_BROKEN, ex->down->problem.reason);
        return;
    case RELAY_TOO_LARGE:
    case RELAY_TRUNCATED:
        app_suspect(ex->env->c.shared->app, exchange_now(ex));
        exchange_cut(ex, RECORD_WHY_TRUNCATED, "the response body was cut off");
        return;
    case RELAY_WAIT:
    case RELAY_BLOCKED:
    case RELAY_BUSY:
        return;
    }
}

static void look_at_client(struct exchange *ex)
{
    mono_us patience = ex->config->client.stall_timeout;
    exchange_arm(ex, h1_server_next_look(ex->client, patience));
}

/*
 * The client holds up the response, and the slot is held for it alone: client.stall_timeout runs.
 * Its kernel still accepts what is in transit now, which is not reading: nothing is measured before
 * the first check.
 */
static void watch_client(struct exchange *ex, size_t unread)
{
    const struct config *cf = ex->config;

    ex->unread = unread;
    ex->stalls_at = exchange_now(ex) + cf->client.stall_timeout;
    look_at_client(ex);
}

/*
 * STREAMING: progress in either direction renews the timeout. Not while the client holds up the
 * response: then the timer is the client's. No event reports that the app has received some of the
 * body from the kernel, so that is checked periodically.
 */
void exchange_renew_idle(struct exchange *ex)
{
    mono_us patience = ex->config->upstream.idle_timeout;

    if (ex->state != EXCHANGE_STREAMING || exchange_is_blocked(ex))
        return;
    ex->idle_at = exchange_now(ex) + patience;
    if (ex->up == NULL)
        exchange_arm(ex, ex->idle_at);
    else
        exchange_arm(ex, h1_client_next_look(&ex->app, patience, ex->idle_at));
}

void exchange_download(struct exchange *ex, const struct relay_front *front)
{
    uint64_t moved;

    exchange_note_backpressure(ex);
    enum relay_status st = h1_client_download(&ex->app, ex->down, ex->client, front, &moved);

    switch (st) {
    case RELAY_WAIT:
        /* After back-pressure, when the timer was the client's, it is the app's again. */
        if (moved > 0 || front != NULL || ex->stalls_at != 0 || ex->timer.due == MONO_NEVER)
            exchange_renew_idle(ex);
        ex->stalls_at = 0;
        return;
    case RELAY_BLOCKED:
        exchange_enter_phase(ex, RECORD_BACKPRESSURE);
        if (moved > 0 || ex->stalls_at == 0)
            watch_client(ex, 0);
        exchange_discard_upload(ex);
        return;
    case RELAY_BUSY:
        exchange_renew_idle(ex);
        ex->stalls_at = 0;
        exchange_post_again(ex);
        return;
    case RELAY_END:
    case RELAY_TOO_LARGE:
    case RELAY_BAD_FRAMING:
    case RELAY_TRUNCATED:
    case RELAY_RECEIVER_LOST:
        exchange_download_ended(ex, st);
        return;
    }
}

void exchange_end_events(struct exchange *ex)
{
    /* Not if another request has arrived behind it: that one gets its response. */
    if (h1_server_kept(ex->client) == 0 && !h1_server_peek(ex->client))
        ex->close = true;
    ex->down->finish = true;
    exchange_download(ex, NULL);
    if (ex->state == EXCHANGE_STREAMING)
        h1_client_save_input(&ex->app);
}

/* ---- timers ---- */

static void cut_stalled(struct exchange *ex)
{
    static const char what[] = "connection closed: the client read nothing from its response for "
                               "client.stall_timeout while other requests waited for its slot";
    struct exchange_env *env = ex->env;
    char more[LOG_LIMIT_MORE];

    if (log_limit_allows(&env->log_limit, exchange_now(ex), what, more))
        log_warning("%s (client %.*s, request id %.*s)%s", what,
                    SPAN_PRINTF(client_name(ex->client)), SPAN_PRINTF(ex->message.request_id),
                    more);
    exchange_cut_client(ex, RECORD_WHY_STALLED);
}

/* Checked repeatedly: a stalled client is cut only once another request waits for a slot. */
void exchange_late_client(struct exchange *ex)
{
    mono_us patience = ex->config->client.stall_timeout;
    size_t unread = h1_server_unread(ex->client);

    if (ex->unread == 0)
        ex->unread = unread;
    if (unread + client_least(patience) < ex->unread)
        watch_client(ex, unread);
    else if (exchange_now(ex) >= ex->stalls_at && exchange_is_blocked(ex) &&
             exchange_enforces(ex) && limiter_has_waiters(ex->lane->limiter))
        cut_stalled(ex);
    else
        look_at_client(ex);
}

/* No event has reported progress for upstream.idle_timeout, or for a part of it. */
void exchange_late_stream(struct exchange *ex)
{
    size_t unacked = h1_client_unacked(&ex->app);
    bool takes = unacked < ex->unacked && !ex->upload_failed;

    ex->unacked = unacked;
    if (takes)
        exchange_renew_idle(ex);
    else if (exchange_now(ex) < ex->idle_at)
        exchange_arm(ex,
                     h1_client_next_look(&ex->app, ex->config->upstream.idle_timeout, ex->idle_at));
    else
        exchange_cut(ex, RECORD_WHY_IDLE,
                     "no data in either direction within upstream.idle_timeout");
}
