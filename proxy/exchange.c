/*
 * See exchange.h. The functions stand in the order of a request's life. A function that may end
 * the exchange is the last thing its caller does with it.
 */
#include "proxy/exchange.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/log.h"
#include "common/socket.h"
#include "proxy/conn.h"
#include "proxy/http/body.h"
#include "proxy/http/date.h"
#include "proxy/http/rewrite.h"
#include "proxy/message.h"
#include "proxy/news.h"
#include "proxy/relay.h"
#include "proxy/reply.h"
#include "proxy/tunnel.h"

#define MAGIC         0x77656972u
#define LOOK_AFTER_US 10000

/*
 * How many interim responses (1xx) an app may send: so many at once, and on the mean since it was
 * asked one in 10 ms. Progress that is told more often is read by nobody, and each costs a parse, a
 * rewrite and a send. The mean has no memory but a count, so a job that sends 102 each second for
 * hours passes, and so do those that come together because the client held them up.
 */
#define INTERIM_BURST    64
#define INTERIM_EVERY_US 10000

#define HEADS_AT_ONCE 32 /* read in one go, before other connections have their turn */

#define STREAM_AFTER_US 250000 /* a body that may be a stream is waited for no longer */
#define ROOM_AFTER_US   50000  /* a body that was waited for less long does not make room */
#define ROOM_LOOKS      8
#define BODY_PACE       500 /* bytes a second; MinRate of Apache's mod_reqtimeout */

static const char unasked[] = "an answer that nobody has asked for";

TAILQ_HEAD(exchange_list, exchange);

struct exchange {
    unsigned magic;
    enum exchange_state state; /* exchange_enter() writes it, nobody else */
    TAILQ_ENTRY(exchange) link;
    struct exchange_env *env;
    struct client *client; /* not ours: calls on_gone first, then NULL */
    struct upstream_lease lease;
    struct limiter_waiter waiter;
    struct mail verdict, again;
    struct loop_timer timer;
    struct loop_grave grave;

    struct message message;
    mono_us stuck_at;      /* if the app has taken no more by then; 0: it is not in the way */
    mono_us idle_at;       /* STREAMING: if nothing has moved by then, either way */
    mono_us blocked_since; /* the client has been in the way of the answer; 0 while it is not */
    mono_us stalls_at;     /* if the client has taken no more by then; 0: it is not watched */
    size_t unread;         /* by the client, when that was set; 0: not looked at yet */
    size_t untaken;     /* of it, or of its body, by the app's socket, when it was last looked at */
    struct relay *up;   /* what of the body did not come with the head; else NULL */
    struct relay *down; /* the response's body, once its head is there */
    struct tunnel *tunnel; /* TUNNEL */

    struct http_parser parser; /* of the app's heads */
    mono_us began, arrived, connected, sent, first_byte, answered, left;
    enum http_method method;
    unsigned status;    /* what the client was answered */
    uint64_t interims;  /* that the app has sent */
    bool by_weir;       /* the answer is our own */
    bool old_client;    /* HTTP/1.0 */
    bool persistent;    /* the client wants its connection kept */
    bool json;          /* it would rather read JSON */
    bool close;         /* the connection ends with this answer */
    bool app_persists;  /* the app keeps its connection after this answer */
    bool accepted;      /* the app's socket has taken a byte of this request */
    bool upload_failed; /* the app takes no more of it */
    bool answering;     /* a byte of the app's answer has come */
    bool replayed, orphan;
    bool expects;              /* it waits for a 100 before it sends its body */
    bool continued;            /* it had that from weir */
    bool said_100;             /* it had that from the app */
    bool has_body;             /* not an empty one */
    bool upgrade;              /* offered to the app, and counted against upgrades.max */
    bool put_off;              /* holds a slot, and waits for the end of the turn */
    bool again_posted, buried; /* both: the mail on its way frees the memory */
};

struct exchange_env {
    struct exchange_env_config c;
    bool draining;
    struct exchange_list in[EXCHANGE_STATES];
    size_t count[EXCHANGE_STATES];
    size_t put_off;            /* exchanges that are */
    uint64_t begun;            /* requests, those refused from their head included */
    struct http_limits limits; /* of the app's heads */
    struct news news;
    struct http_date date;
    struct http_head head; /* of the response being read */
};

static void exchange_wait_for_body(struct exchange *ex);
static void exchange_ask(struct exchange *ex);
static void exchange_granted(struct exchange *ex);
static void exchange_connect(struct exchange *ex, enum upstream_kind kind);
static void exchange_dispatch(struct exchange *ex);
static void exchange_upload(struct exchange *ex, const struct relay_front *front);
static void exchange_read_head(struct exchange *ex);
static void exchange_download(struct exchange *ex, const struct relay_front *front);
static void exchange_tunnel(struct exchange *ex);
static void bad_response(struct exchange *ex, const char *why);
static void exchange_reply(struct exchange *ex, enum reply_kind kind, unsigned status,
                           const char *detail);
static void exchange_client_gone(struct exchange *ex);
static void lose_client(struct exchange *ex);
static void exchange_done(struct exchange *ex);
static void post_again(struct exchange *ex);
static void arm_awaiting(struct exchange *ex, mono_us patience);
static void arm_upload(struct exchange *ex, enum relay_status st);
static void note_backpressure(struct exchange *ex);
static void watch_client(struct exchange *ex, size_t unread);
static void arm_tunnel(struct exchange *ex);

/* ---- the door ---- */

#define TO(s) (1u << EXCHANGE_##s)

static const unsigned edges[EXCHANGE_STATES] = {
    [EXCHANGE_ARRIVED] = TO(BUFFERING) | TO(QUEUED) | TO(CONNECTING) | TO(REPLYING) | TO(DONE),
    [EXCHANGE_BUFFERING] = TO(QUEUED) | TO(CONNECTING) | TO(REPLYING) | TO(DONE),
    [EXCHANGE_QUEUED] = TO(CONNECTING) | TO(ABANDONED) | TO(REPLYING) | TO(DONE),
    [EXCHANGE_CONNECTING] = TO(AWAITING) | TO(REPLYING) | TO(DONE),
    [EXCHANGE_AWAITING] =
        TO(CONNECTING) | TO(STREAMING) | TO(TUNNEL) | TO(ORPHANED) | TO(REPLYING) | TO(DONE),
    [EXCHANGE_STREAMING] = TO(FLUSHING) | TO(ORPHANED) | TO(DONE),
    [EXCHANGE_TUNNEL] = TO(DONE),
    [EXCHANGE_ORPHANED] = TO(DONE),
    [EXCHANGE_ABANDONED] = TO(DONE),
    [EXCHANGE_FLUSHING] = TO(DONE),
    [EXCHANGE_REPLYING] = TO(DONE),
};

static void exchange_enter(struct exchange *ex, enum exchange_state next)
{
    struct exchange_env *env = ex->env;

    CHECK(edges[ex->state] & 1u << next);
    TAILQ_REMOVE(&env->in[ex->state], ex, link);
    env->count[ex->state]--;
    ex->state = next;
    TAILQ_INSERT_TAIL(&env->in[next], ex, link);
    env->count[next]++;
}

static struct exchange *exchange_of(void *arg)
{
    struct exchange *ex = arg;
    CHECK(ex != NULL && ex->magic == MAGIC);
    return ex;
}

static mono_us now_of(const struct exchange *ex)
{
    return loop_now(ex->env->c.loop);
}

static mono_us not_before(mono_us t, mono_us earliest)
{
    return t < earliest ? earliest : t;
}

static void arm(struct exchange *ex, mono_us due)
{
    loop_timer_arm(ex->env->c.loop, &ex->timer, due);
}

static struct span date_of(struct exchange_env *env)
{
    return http_date(&env->date, loop_wall(env->c.loop));
}

/* Something is wrong with the app. */
static void complain(struct exchange *ex, const char *what)
{
    struct exchange_env *env = ex->env;
    char more[NEWS_MORE];

    if (news_may_log(&env->news, now_of(ex), what, more))
        log_warning("upstream %s: %s (request id %.*s)%s", env->c.config->upstream.address.text,
                    what, SPAN_PRINTF(ex->message.request_id), more);
}

/* ---- it arrives ---- */

static void on_timeout(void *arg);
static void on_verdict(struct mail *m);
static void on_again(struct mail *m);
static const struct upstream_handler upstream_handler;

static struct exchange *exchange_new(struct exchange_env *env, struct client *cl,
                                     const struct http_head *head)
{
    struct exchange *ex = pool_get(loop_pool(env->c.loop), sizeof(*ex));

    memset(ex, 0, sizeof(*ex));
    ex->magic = MAGIC;
    ex->env = env;
    ex->client = cl;
    ex->lease.handler = &upstream_handler;
    ex->lease.arg = ex;
    ex->verdict.deliver = on_verdict;
    ex->again.deliver = on_again;
    loop_timer_init(&ex->timer, on_timeout, ex);
    ex->began = client_began(cl);
    ex->arrived = loop_now(env->c.loop);
    ex->method = head->method;
    ex->old_client = head->minor == 0;
    ex->persistent = http_head_persistent(head);
    ex->state = EXCHANGE_ARRIVED;
    TAILQ_INSERT_TAIL(&env->in[EXCHANGE_ARRIVED], ex, link);
    env->count[EXCHANGE_ARRIVED]++;
    env->begun++;
    return ex;
}

static void take_body(struct exchange *ex, const struct http_body *body)
{
    ex->up = pool_get(loop_pool(ex->env->c.loop), sizeof(*ex->up));
    memset(ex->up, 0, sizeof(*ex->up));
    ex->up->body = *body;
    ex->up->max = ex->env->c.config->client.max_body;
    ex->up->mark = ex->env->c.config->buffers.request;
    ex->up->budget = &ex->env->c.house->budget;
    ex->up->pace_since = ex->arrived;
}

/* A place among the tunnels. Given back when the app does not switch, or the tunnel ends. */
static bool take_upgrade(struct exchange_house *house)
{
    uint32_t n = atomic_load(&house->upgrades);

    while (n < house->upgrades_max) {
        if (atomic_compare_exchange_weak(&house->upgrades, &n, n + 1))
            return true;
    }
    return false;
}

static void give_upgrade_back(struct exchange *ex)
{
    if (ex->upgrade)
        atomic_fetch_sub(&ex->env->c.house->upgrades, 1);
    ex->upgrade = false;
}

/* In the loop's compose scratch. */
static struct span offers_of(struct exchange_env *env, const struct http_head *head)
{
    char *out = loop_scratch(env->c.loop, LOOP_SCRATCH_COMPOSE);
    return (struct span){out, http_upgrade_offers(head, out)};
}

static bool is_small(const struct exchange *ex, const struct http_body *body)
{
    return body->framing == HTTP_BODY_LENGTH &&
           body->data + body->left <= ex->env->c.config->buffers.request;
}

static mono_us deadline_of(const struct exchange *ex, mono_us now)
{
    const struct exchange_house *house = ex->env->c.house;

    if (!atomic_load_explicit(&house->ready, memory_order_acquire))
        return atomic_load_explicit(&house->startup_deadline, memory_order_relaxed);
    return now + ex->env->c.config->queue.timeout;
}

/*
 * Whether a body that has not come whole is to be waited for before a slot is asked for: not while
 * slots are plentiful; not where the answer would be no (it is given at once, and no body asked
 * for); not where nothing will come before the app's 100; and not where nothing may be kept of it.
 */
static bool must_wait_for_body(const struct exchange *ex, const struct http_body *body)
{
    struct limiter *l = ex->env->c.house->limiter;

    if (ex->expects && !is_small(ex, body))
        return false;
    if (budget_is_spent(&ex->env->c.house->budget))
        return false;
    if (deadline_of(ex, now_of(ex)) <= now_of(ex))
        return false;
    return !limiter_has_plenty(l) && !limiter_is_full(l);
}

/* What is known from the head alone. True: weir has answered, and the exchange may have ended. */
static bool refused_at_once(struct exchange *ex, const struct http_head *head, bool too_large,
                            bool upgrade)
{
    if (too_large)
        exchange_reply(ex, REPLY_BODY_TOO_LARGE, 0, NULL);
    else if (http_max_forwards_zero(head))
        exchange_reply(ex, REPLY_LAST_HOP, ex->method == HTTP_TRACE ? 405 : 200, NULL);
    else if (upgrade && ex->env->draining)
        exchange_reply(ex, REPLY_DRAINING, 0, NULL);
    else if (upgrade && !take_upgrade(ex->env->c.house))
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
    ex->json = reply_wants_json(head);
    ex->expects = head->expect_continue;
    http_body_of_request(&body, head,
                         env->c.config->headers.underscores == CONFIG_UNDERSCORES_PASS);
    bool too_large = body.framing == HTTP_BODY_LENGTH && body.left > env->c.config->client.max_body;
    bool whole = message_holds_body(cl, &body);
    ex->has_body = !http_body_complete(&body);
    bool waits = !whole && !too_large && must_wait_for_body(ex, &body);
    /* Without a body it asks for nothing, and Waitress, which says 100, answers no more. */
    struct message_how how = {.began = ex->began,
                              .drop_expect = ex->expects && (waits || !ex->has_body)};
    if (!ex->has_body && !ex->old_client)
        how.upgrade = offers_of(env, head);
    message_compose(&ex->message, env->c.loop, env->c.config, cl, &how, head, &body);
    if (!whole)
        take_body(ex, &body);

    if (client_left(cl)) {
        exchange_client_gone(ex);
        client_abort(cl, false);
        return;
    }
    if (refused_at_once(ex, head, too_large, how.upgrade.len > 0))
        return;
    ex->upgrade = how.upgrade.len > 0;
    if (waits)
        exchange_wait_for_body(ex);
    else
        exchange_ask(ex);
}

/* Of a head that is refused nothing is known but its bytes. */
static bool begins_with_head(struct client *cl)
{
    struct span in = client_conn(cl)->in;

    if (in.len >= 2 && memcmp(in.at, "\r\n", 2) == 0)
        in = (struct span){in.at + 2, in.len - 2};
    return in.len >= 5 && memcmp(in.at, "HEAD ", 5) == 0;
}

/* What came is no request: nobody's exchange, but it is answered and counted. */
static void on_refuse(struct client *cl, const struct http_problem *problem, void *arg)
{
    struct exchange_env *env = arg;
    char *out = loop_scratch(env->c.loop, LOOP_SCRATCH_COMPOSE);
    char more[NEWS_MORE];
    struct reply r = {
        .kind = problem->status == 408 ? REPLY_HEAD_TIMEOUT : REPLY_BAD_REQUEST,
        .status = problem->status,
        .detail = problem->status == 408 ? NULL : problem->reason,
        .close = true,
        .head_only = begins_with_head(cl),
        .date = date_of(env),
    };

    if (news_may_log(&env->news, loop_now(env->c.loop), problem->reason, more))
        log_info("a request was refused with %u: %s (client %.*s)%s", problem->status,
                 problem->reason, SPAN_PRINTF(client_name(cl)), more);
    env->begun++;
    stats_answered(env->c.stats, STATS_BY_WEIR, problem->status);
    stats_request_duration(env->c.stats, STATS_BY_WEIR, loop_now(env->c.loop) - client_began(cl));
    if (client_send(cl, (struct span){out, reply_write(&r, out)}, (struct span){NULL, 0}))
        client_close(cl);
    else
        client_abort(cl, true);
}

/* ---- it waits for its body, without a slot ---- */

/* Memory that the message has taken for its body, or gives back. */
static void held_changed(struct exchange *ex, int64_t change)
{
    if (change == 0)
        return;
    stats_buffered(ex->env->c.stats, STATS_REQUEST, change);
    budget_change(&ex->env->c.house->budget, change);
}

static void drop_upload(struct exchange *ex)
{
    pool_put(loop_pool(ex->env->c.loop), ex->up, sizeof(*ex->up));
    ex->up = NULL;
}

/*
 * It has been slower than BODY_PACE for longer than client.body_timeout. A stream of chunks may be
 * as slow as it likes while nobody wants its slot.
 */
static bool body_is_late(const struct exchange *ex)
{
    uint64_t came = ex->up->body.data - ex->up->pace_before;
    mono_us due = ex->up->pace_since + ex->env->c.config->client.body_timeout +
                  (mono_us)(came / BODY_PACE * 1000000);

    if (now_of(ex) < due)
        return false;
    return ex->up->body.framing == HTTP_BODY_LENGTH || ex->state == EXCHANGE_BUFFERING ||
           !limiter_has_plenty(ex->env->c.house->limiter);
}

/* The client was not read for a while: its pace is measured from now on. */
static void measure_pace(struct exchange *ex)
{
    ex->up->pace_since = now_of(ex);
    ex->up->pace_before = ex->up->body.data;
}

/* What the waiting for a body has come to. */
enum body_wait { BODY_MORE, BODY_READY, BODY_TOO_LARGE, BODY_BAD, BODY_LATE };

static enum body_wait take_what_came(struct exchange *ex)
{
    struct exchange_house *house = ex->env->c.house;
    size_t before = ex->message.body, most = ex->env->c.config->buffers.request;

    if (budget_is_spent(&house->budget))
        most = before;
    enum message_status st =
        message_take_body(&ex->message, ex->env->c.loop, client_conn(ex->client), &ex->up->body,
                          most, &ex->up->problem);
    held_changed(ex, (int64_t)(ex->message.body - before));
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
    return body_is_late(ex) ? BODY_LATE : BODY_MORE;
}

/* It is not waited for any more. */
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
    mono_us now = now_of(ex), due = now + ex->env->c.config->client.body_timeout;
    mono_us stream = ex->arrived + STREAM_AFTER_US;

    if (!is_small(ex, &ex->up->body) && stream < due)
        due = stream > now ? stream : now;
    arm(ex, due);
}

/* Behind what there is already: all that the scratch holds, or little when the budget is spent. */
static size_t reads_at_most(const struct exchange *ex, const struct conn *from)
{
    size_t most = from->in.len + budget_read(&ex->env->c.house->budget, LOOP_SCRATCH);
    return most < LOOP_SCRATCH ? most : LOOP_SCRATCH;
}

static void exchange_buffer(struct exchange *ex)
{
    struct conn *from = client_conn(ex->client);

    for (;;) {
        enum body_wait wait = take_what_came(ex);
        if (wait != BODY_MORE) {
            end_wait(ex, wait);
            return;
        }
        switch (conn_fill(from, reads_at_most(ex, from))) {
        case CONN_GOT:
        case CONN_FULL:
            continue;
        case CONN_WAIT:
            break;
        case CONN_EOF:
        case CONN_LOST:
            lose_client(ex);
            return;
        }
        break;
    }
    if (limiter_has_plenty(ex->env->c.house->limiter))
        exchange_ask(ex); /* since the head came, slots have become free */
    else
        arm_buffering(ex);
}

static void exchange_wait_for_body(struct exchange *ex)
{
    exchange_enter(ex, EXCHANGE_BUFFERING);
    if (ex->expects) {
        ex->expects = false;
        ex->continued = true;
        if (!client_send(ex->client, SPAN("HTTP/1.1 100 Continue\r\n\r\n"),
                         (struct span){NULL, 0})) {
            lose_client(ex);
            return;
        }
    }
    exchange_buffer(ex);
}

static void stop_buffering(struct exchange *ex)
{
    if (!is_small(ex, &ex->up->body) && now_of(ex) >= ex->arrived + STREAM_AFTER_US)
        exchange_ask(ex);
    else
        exchange_reply(ex, REPLY_BODY_TIMEOUT, 0, NULL);
}

/* ---- it asks for a slot ---- */

/* Why the wait was for nothing. */
static enum reply_kind expired_kind(const struct exchange *ex)
{
    return atomic_load_explicit(&ex->env->c.house->ready, memory_order_acquire)
               ? REPLY_QUEUE_TIMEOUT
               : REPLY_NOT_READY;
}

/*
 * It holds a slot, and events of this turn are still to come. One may be of the connection that it
 * would lease: bytes that nobody asked for would become its response. So it is dispatched after
 * them, in the order of the grants, by the same mail as those that had to wait for their slot.
 */
static void put_off(struct exchange *ex)
{
    ex->put_off = true;
    ex->env->put_off++;
    exchange_enter(ex, EXCHANGE_QUEUED);
    loop_post(ex->env->c.loop, &ex->verdict);
}

/* The last event of a turn has none behind it, but is not to overtake those before it. */
static bool must_put_off(const struct exchange_env *env)
{
    return env->put_off > 0 || loop_has_more(env->c.loop);
}

static void exchange_ask(struct exchange *ex)
{
    mono_us now = now_of(ex), deadline = deadline_of(ex, now);

    if (client_left(ex->client)) { /* the end of its body and its FIN were one edge */
        lose_client(ex);
        return;
    }
    if (ex->has_body)
        stats_body_wait(ex->env->c.stats, now - ex->arrived);
    loop_timer_stop(&ex->timer);
    ex->waiter.bytes = ex->message.size + client_conn(ex->client)->in.len;
    switch (limiter_acquire(ex->env->c.house->limiter, &ex->waiter, now, deadline)) {
    case LIMITER_ADMITTED:
        if (must_put_off(ex->env))
            put_off(ex);
        else
            exchange_granted(ex);
        return;
    case LIMITER_QUEUED:
        exchange_enter(ex, EXCHANGE_QUEUED);
        arm(ex, deadline);
        return;
    case LIMITER_SHED_FULL:
        exchange_reply(ex, REPLY_QUEUE_FULL, 0, NULL);
        return;
    case LIMITER_SHED_BYTES:
        exchange_reply(ex, REPLY_QUEUE_BYTES, 0, NULL);
        return;
    case LIMITER_EXPIRED:
        exchange_reply(ex, expired_kind(ex), 0, NULL);
        return;
    }
}

/* ---- it waits ---- */

static mono_us waited(const struct exchange *ex)
{
    return ex->waiter.ended_at - ex->waiter.queued_at;
}

static void give_slot_back(struct exchange *ex)
{
    struct limiter_waiter *chain =
        limiter_release(ex->env->c.house->limiter, &ex->waiter, now_of(ex));

    mono_us hold = ex->waiter.released_at - ex->waiter.granted_at;
    if (ex->waiter.apart)
        stats_upgrade_ends(ex->env->c.stats, hold);
    else
        stats_slot_hold(ex->env->c.stats, hold);
    exchange_deliver(chain);
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
    stats_queue_wait(ex->env->c.stats, STATS_TIMEOUT, waited(ex));
    exchange_reply(ex, expired_kind(ex), 0, NULL);
}

static void abandoned(struct exchange *ex)
{
    stats_queue_wait(ex->env->c.stats, STATS_CLIENT_GONE, waited(ex));
    if (ex->waiter.verdict == LIMITER_ADMITTED)
        give_slot_back(ex);
    exchange_done(ex);
}

/* The client had left, and its edge was still on the way. Nothing dead is dispatched. */
static void granted_too_late(struct exchange *ex)
{
    struct client *cl = ex->client;

    ex->client = NULL;
    ex->left = now_of(ex);
    exchange_enter(ex, EXCHANGE_ABANDONED);
    abandoned(ex);
    client_abort(cl, true);
}

/*
 * Whether it is worth a syscall to look once more. The client's edge may be in epoll, behind those
 * of this turn; or it sent its request and an RST at once, which is one edge, and tells only of the
 * request. Who waited for less than LOOK_AFTER_US was alive that short a time ago, or came dead, as
 * one may who need not wait: a look at each would be a fifth of all system calls.
 */
static bool may_be_dead(const struct exchange *ex)
{
    return waited(ex) >= LOOK_AFTER_US || loop_may_lag(ex->env->c.loop);
}

static void on_verdict(struct mail *m)
{
    struct exchange *ex = exchange_of(CONTAINER_OF(m, struct exchange, verdict));

    CHECK(ex->state == EXCHANGE_QUEUED || ex->state == EXCHANGE_ABANDONED);
    ex->env->put_off -= ex->put_off;
    ex->put_off = false;
    if (ex->state == EXCHANGE_ABANDONED)
        abandoned(ex);
    else if (ex->waiter.verdict != LIMITER_ADMITTED)
        expire(ex);
    else if (may_be_dead(ex) && !client_look(ex->client))
        granted_too_late(ex);
    else
        exchange_granted(ex);
}

static void queue_deadline(struct exchange *ex)
{
    if (limiter_cancel(ex->env->c.house->limiter, &ex->waiter, now_of(ex)))
        expire(ex);
    /* else the verdict is in the mail, and it decides */
}

/* ---- it has a slot: a connection is wanted ---- */

static void exchange_granted(struct exchange *ex)
{
    stats_queue_wait(ex->env->c.stats, STATS_DISPATCHED, waited(ex));
    loop_timer_stop(&ex->timer);
    exchange_enter(ex, EXCHANGE_CONNECTING);
    bool could_be_sent_twice = http_method_is_idempotent(ex->method) && ex->up == NULL;
    exchange_connect(ex, could_be_sent_twice ? UPSTREAM_ANY : UPSTREAM_ALIVE);
}

static void exchange_connect(struct exchange *ex, enum upstream_kind kind)
{
    if (upstream_lease(ex->env->c.upstream, &ex->lease, kind))
        exchange_dispatch(ex);
    else if (!client_look(ex->client)) /* connecting costs more than a look: see may_be_dead() */
        lose_client(ex);
}

static void on_ready(struct upstream_lease *l)
{
    struct exchange *ex = exchange_of(l->arg);
    CHECK(ex->state == EXCHANGE_CONNECTING);
    exchange_dispatch(ex);
}

/*
 * Ends the lease. An app that has not taken all of the request hears of its end at once, by a
 * reset: a FIN would come behind the rest, and the app would go on with a request whose slot is
 * free. (Over a Unix socket there is no reset, and it does.)
 */
static void drop_app(struct exchange *ex)
{
    bool asked = ex->state == EXCHANGE_AWAITING || ex->state == EXCHANGE_STREAMING ||
                 ex->state == EXCHANGE_ORPHANED;
    const struct conn *to = ex->lease.conn != NULL ? upstream_socket(&ex->lease) : NULL;

    if (to != NULL && asked && conn_backlog(to) + conn_untaken(to) > 0)
        upstream_reset(ex->env->c.upstream, &ex->lease);
    else
        upstream_drop(ex->env->c.upstream, &ex->lease);
}

/* The app gives no answer that could be passed on: the slot goes back, weir answers. */
static void exchange_fail(struct exchange *ex, enum reply_kind kind, const char *detail)
{
    drop_app(ex);
    note_backpressure(ex);
    give_slot_back(ex);
    exchange_reply(ex, kind, 0, detail);
}

/* Each errno has a log rate limit of its own; strerror()'s text for a known one is static. */
static void complain_of_connect(struct exchange *ex, int error)
{
    struct exchange_env *env = ex->env;
    const struct address *to = &env->c.config->upstream.address;
    const char *what = strerror(error);
    char more[NEWS_MORE];

    if (news_may_log(&env->news, now_of(ex), what, more))
        log_warning("upstream %s: connect: %s%s (request id %.*s)%s", to->text, what,
                    socket_remedy(error, to), SPAN_PRINTF(ex->message.request_id), more);
}

static void on_failed(struct upstream_lease *l, enum upstream_failure why, int error)
{
    struct exchange *ex = exchange_of(l->arg);

    CHECK(ex->state == EXCHANGE_CONNECTING);
    complain_of_connect(ex, error);
    exchange_fail(ex, why == UPSTREAM_TIMEOUT ? REPLY_CONNECT_TIMEOUT : REPLY_CONNECT_FAILED, NULL);
}

/* ---- the request goes out ---- */

static bool request_is_read(const struct exchange *ex)
{
    return ex->up == NULL || http_body_complete(&ex->up->body);
}

static void request_is_sent(struct exchange *ex)
{
    ex->sent = not_before(now_of(ex), ex->connected);
    ex->stuck_at = 0;
    arm_awaiting(ex, ex->env->c.config->upstream.first_byte_timeout);
}

/* The app takes no more. It may have answered all the same: read before judging. */
static void upload_failed(struct exchange *ex)
{
    ex->upload_failed = true;
    ex->stuck_at = 0;
    if (ex->state == EXCHANGE_AWAITING) {
        arm_awaiting(ex, ex->env->c.config->upstream.idle_timeout);
        exchange_read_head(ex);
    } else {
        exchange_download(ex, NULL);
    }
}

static void send_request(struct exchange *ex)
{
    struct conn *to = upstream_socket(&ex->lease);
    struct span message = {ex->message.at, ex->message.len};

    /* The limiter's clock is that of all loops, and may be ahead of ours by some microseconds. */
    ex->connected = not_before(now_of(ex), ex->waiter.granted_at);
    if (!ex->replayed)
        stats_connect(ex->env->c.stats, ex->connected - ex->waiter.granted_at);
    exchange_enter(ex, EXCHANGE_AWAITING);
    if (ex->up != NULL) {
        measure_pace(ex);
        struct relay_front front = {.head = message, .room = message_room(&ex->message)};
        exchange_upload(ex, &front);
        return;
    }
    if (!conn_send(to, message, (struct span){NULL, 0})) {
        upload_failed(ex);
        return;
    }
    ex->accepted = conn_backlog(to) < ex->message.len;
    if (conn_backlog(to) == 0)
        request_is_sent(ex);
    else
        arm_upload(ex, RELAY_BLOCKED);
}

/* Something lies in the connection's socket before a byte of the request is in it. An end is for
 * exchange_read_head(). */
static bool spoke_first(struct conn *from)
{
    return conn_has_news(from) && conn_fill(from, LOOP_SCRATCH) == CONN_GOT;
}

static void exchange_dispatch(struct exchange *ex)
{
    struct upstream_conn *uc = ex->lease.conn;

    if (spoke_first(upstream_socket(&ex->lease))) {
        bad_response(ex, unasked);
        return;
    }
    send_request(ex);
    /* An app that speaks as it accepts has had its edge while we were connecting. */
    if (ex->state == EXCHANGE_AWAITING && ex->lease.conn == uc &&
        conn_has_news(upstream_socket(&ex->lease)))
        post_again(ex);
}

static void exchange_upload_ended(struct exchange *ex, enum relay_status why)
{
    switch (why) {
    case RELAY_TOO_LARGE:
    case RELAY_BAD_FRAMING:
    case RELAY_TRUNCATED:
        break;
    case RELAY_RECEIVER_LOST:
        upload_failed(ex);
        return;
    case RELAY_END:
    case RELAY_WAIT:
    case RELAY_BLOCKED:
    case RELAY_BUSY:
        return;
    }
    if (why == RELAY_TRUNCATED || ex->state != EXCHANGE_AWAITING) {
        lose_client(ex);
    } else if (why == RELAY_TOO_LARGE) {
        exchange_fail(ex, REPLY_BODY_TOO_LARGE, NULL);
    } else {
        exchange_fail(ex, REPLY_BAD_REQUEST, ex->up->problem.reason);
    }
}

static void post_again(struct exchange *ex)
{
    if (ex->again_posted)
        return;
    ex->again_posted = true;
    loop_post(ex->env->c.loop, &ex->again);
}

/* The client sends nothing because the app has not yet said 100: the app is the slow one. */
static bool app_owes_a_100(const struct exchange *ex)
{
    return ex->expects && !ex->said_100 && !ex->up->began;
}

/* For app_takes() to compare with. */
static void note_untaken(struct exchange *ex)
{
    if (conn_backlog(upstream_socket(&ex->lease)) > 0)
        ex->untaken = conn_untaken(upstream_socket(&ex->lease));
}

static void look_at_app(struct exchange *ex)
{
    mono_us patience = ex->env->c.config->upstream.idle_timeout;
    arm(ex, conn_next_look(upstream_socket(&ex->lease), patience, ex->stuck_at));
}

/* The answer's head is waited for. While the client holds it up, the timer is the client's. */
static void arm_awaiting(struct exchange *ex, mono_us patience)
{
    if (ex->state == EXCHANGE_AWAITING && ex->blocked_since == 0)
        arm(ex, now_of(ex) + patience);
}

/* The timer while the request is under way: whoever is slow is named by late_answer(). */
static void arm_upload(struct exchange *ex, enum relay_status st)
{
    const struct config *cf = ex->env->c.config;
    mono_us patience = cf->upstream.idle_timeout;

    if (ex->state != EXCHANGE_AWAITING || ex->blocked_since != 0)
        return;
    note_untaken(ex);
    ex->stuck_at = 0;
    if (st == RELAY_WAIT) {
        patience = app_owes_a_100(ex) ? cf->upstream.first_byte_timeout : cf->client.body_timeout;
        arm_awaiting(ex, patience);
        return;
    }
    ex->stuck_at = now_of(ex) + patience;
    look_at_app(ex);
}

/*
 * STREAMING: something has moved, one way or the other, and either is life. Not while the client is
 * in the way of the answer: then the timer is the client's. No event tells when the app takes some
 * of a body out of the kernel, so that is looked at now and then.
 */
static void renew_idle(struct exchange *ex)
{
    mono_us patience = ex->env->c.config->upstream.idle_timeout;

    if (ex->state != EXCHANGE_STREAMING || ex->blocked_since != 0)
        return;
    ex->idle_at = now_of(ex) + patience;
    if (ex->up == NULL)
        arm(ex, ex->idle_at);
    else
        arm(ex, conn_next_look(upstream_socket(&ex->lease), patience, ex->idle_at));
}

static void upload_moves(struct exchange *ex)
{
    if (ex->state != EXCHANGE_STREAMING)
        return;
    ex->untaken = SIZE_MAX;
    renew_idle(ex);
}

static void exchange_upload(struct exchange *ex, const struct relay_front *front)
{
    struct conn *to = upstream_socket(&ex->lease);
    uint64_t moved;
    enum relay_status st = relay_pump(ex->up, client_conn(ex->client), to, front, &moved);

    if (front != NULL && st != RELAY_RECEIVER_LOST)
        ex->accepted = conn_backlog(to) < ex->message.len + moved;
    else if (moved > 0)
        ex->accepted = true;
    if (moved > 0)
        upload_moves(ex);
    switch (st) {
    case RELAY_END:
        if (conn_backlog(to) == 0)
            request_is_sent(ex);
        else
            arm_upload(ex, st);
        return;
    case RELAY_BUSY:
        arm_upload(ex, RELAY_WAIT); /* it may turn out that there is no more now */
        post_again(ex);
        return;
    case RELAY_WAIT:
        if (ex->state == EXCHANGE_AWAITING && moved > 0 && body_is_late(ex))
            exchange_fail(ex, REPLY_BODY_TIMEOUT, NULL);
        else if (moved > 0 || front != NULL)
            arm_upload(ex, st);
        return;
    case RELAY_BLOCKED:
        measure_pace(ex);
        if (moved > 0 || front != NULL)
            arm_upload(ex, st);
        return;
    case RELAY_TOO_LARGE:
    case RELAY_BAD_FRAMING:
    case RELAY_TRUNCATED:
    case RELAY_RECEIVER_LOST:
        exchange_upload_ended(ex, st);
        return;
    }
}

static bool uploading(const struct exchange *ex)
{
    return ex->up != NULL && !ex->up->stopped && !ex->upload_failed &&
           (ex->state == EXCHANGE_AWAITING || ex->state == EXCHANGE_STREAMING);
}

static void on_input(struct client *cl, void *served)
{
    struct exchange *ex = exchange_of(served);

    (void)cl;
    if (ex->state == EXCHANGE_BUFFERING)
        exchange_buffer(ex);
    else if (ex->state == EXCHANGE_TUNNEL)
        exchange_tunnel(ex);
    else if (uploading(ex))
        exchange_upload(ex, NULL);
}

/* ---- the answer's head comes ---- */

/* Whether a fresh connection could do what this one did not (RFC 9112 section 9.3.1). */
static bool may_replay(const struct exchange *ex)
{
    if (ex->replayed || ex->answering || !upstream_was_reused(&ex->lease))
        return false;
    if (!ex->accepted)
        return ex->up == NULL || !ex->up->began;
    return http_method_is_idempotent(ex->method) && ex->up == NULL;
}

/* The client is looked at first: an RST that came in one edge with the request has not been seen,
 * and the app may have had the request for long. See may_be_dead(). */
static void replay(struct exchange *ex)
{
    struct exchange_env *env = ex->env;

    upstream_drop(env->c.upstream, &ex->lease);
    ex->replayed = true;
    ex->upload_failed = ex->accepted = false;
    ex->sent = 0;
    exchange_enter(ex, EXCHANGE_CONNECTING);
    loop_timer_stop(&ex->timer);
    if (!client_look(ex->client)) {
        lose_client(ex);
        return;
    }
    stats_upstream(env->c.stats, STATS_REPLAYED);
    exchange_connect(ex, UPSTREAM_FRESH);
}

/* The app has ended the connection before it answered. */
static void upstream_lost(struct exchange *ex)
{
    if (ex->state == EXCHANGE_ORPHANED) {
        exchange_done(ex);
        return;
    }
    if (may_replay(ex)) {
        replay(ex);
        return;
    }
    complain(ex, ex->answering ? "the answer's head was cut" : "closed without an answer");
    exchange_fail(ex, ex->answering ? REPLY_UPSTREAM_BROKEN : REPLY_UPSTREAM_CLOSED, NULL);
}

static void bad_response(struct exchange *ex, const char *why)
{
    complain(ex, why);
    if (ex->state == EXCHANGE_ORPHANED)
        exchange_done(ex);
    else
        exchange_fail(ex, REPLY_UPSTREAM_BROKEN, why);
}

/* Not a byte of the request has been taken, and the app speaks: that answers nothing of ours (RFC
 * 9112 section 9.2). */
static void answered_unasked(struct exchange *ex)
{
    if (may_replay(ex))
        replay(ex);
    else
        bad_response(ex, unasked);
}

/* Writes the rewritten head into the loop's compose scratch. */
static struct relay_front front_of(struct exchange *ex, const struct http_response_rewrite *how)
{
    struct http_head *head = &ex->env->head;
    char *out = loop_scratch(ex->env->c.loop, LOOP_SCRATCH_COMPOSE);

    /* upstream.max_head leaves room for what is added. */
    CHECK(http_rewrite_response_bound(head, how) <= LOOP_SCRATCH);
    size_t n = http_rewrite_response(head, how, out);
    return (struct relay_front){.head = {out, n}, .room = LOOP_SCRATCH - n};
}

/* The connection changes hands, if this is what was offered. The exchange may have ended. */
static void switch_protocols(struct exchange *ex)
{
    struct exchange_env *env = ex->env;
    struct http_response_rewrite how = {.upgrade = true,
                                        .request_id_name =
                                            span_of(env->c.config->headers.request_id),
                                        .request_id = ex->message.request_id};
    struct client *cl = ex->client;

    if (!ex->upgrade || !http_upgrade_is_sound(&env->head, message_upgrade(&ex->message))) {
        bad_response(ex, "an upgrade that was not asked for");
        return;
    }
    if (cl == NULL) {
        exchange_done(ex);
        return;
    }
    struct tunnel *t = pool_get(loop_pool(env->c.loop), sizeof(*t));
    *t = (struct tunnel){.client = client_conn(cl),
                         .app = upstream_socket(&ex->lease),
                         .budget = &env->c.house->budget,
                         .mark = env->c.config->buffers.response};
    ex->tunnel = t;
    ex->status = 101;
    ex->close = ex->waiter.apart = true;
    exchange_enter(ex, EXCHANGE_TUNNEL);
    client_tunnel(cl);
    stats_upgrade_begins(env->c.stats);
    arm_tunnel(ex);
    if (client_send(cl, front_of(ex, &how).head, (struct span){NULL, 0})) {
        exchange_tunnel(ex);
        return;
    }
    lose_client(ex);
}

/* The side that has to move next gets its whole timeout from now on. */
static void renew_patience(struct exchange *ex)
{
    const struct config *cf = ex->env->c.config;

    if (ex->sent != 0)
        arm_awaiting(ex, cf->upstream.first_byte_timeout);
    else if (ex->upload_failed)
        arm_awaiting(ex, cf->upstream.idle_timeout);
    else
        arm_upload(ex, conn_backlog(upstream_socket(&ex->lease)) > 0 ? RELAY_BLOCKED : RELAY_WAIT);
}

/*
 * An interim response is life: the app's timeout begins anew. The client's does not, unless this is
 * the 100 that it has waited for; nor does an orphan's, or nothing would end it.
 */
static void app_lives(struct exchange *ex)
{
    bool client_sends = uploading(ex) && conn_backlog(upstream_socket(&ex->lease)) == 0;
    bool owed = client_sends && app_owes_a_100(ex);

    if (ex->env->head.status == 100)
        ex->said_100 = true;
    if (owed)
        measure_pace(ex);
    if (owed || !client_sends)
        renew_patience(ex);
}

static bool is_flood(const struct exchange *ex)
{
    mono_us asked = now_of(ex) - ex->connected;
    return ex->interims > INTERIM_BURST + (uint64_t)(asked / INTERIM_EVERY_US);
}

/* 1xx: passed on at once; the final answer is still to come. False: the exchange has ended. */
static bool interim(struct exchange *ex)
{
    struct http_response_rewrite how = {0};
    struct client *cl = ex->client;
    unsigned status = ex->env->head.status;

    if (status == 101) {
        switch_protocols(ex);
        return false;
    }
    ex->interims++;
    if (is_flood(ex)) {
        bad_response(ex, "a flood of interim responses");
        return false;
    }
    app_lives(ex);
    if (cl == NULL || ex->old_client || (status == 100 && ex->continued))
        return true;
    if (client_send(cl, front_of(ex, &how).head, (struct span){NULL, 0}))
        return true;
    lose_client(ex);
    return false;
}

/* HTTP/1.0 knows no chunks: a body without a length ends there with the connection. */
static bool only_the_end_tells(const struct exchange *ex)
{
    return ex->down->decode ||
           (ex->down->body.framing == HTTP_BODY_UNTIL_CLOSE && !ex->down->encode);
}

static void describe_response(struct exchange *ex, struct http_response_rewrite *how)
{
    enum http_framing framing = ex->down->body.framing;

    ex->down->decode = framing == HTTP_BODY_CHUNKED && ex->old_client;
    ex->down->encode = framing == HTTP_BODY_UNTIL_CLOSE && !ex->old_client;
    ex->close =
        !ex->persistent || ex->env->draining || only_the_end_tells(ex) || !request_is_read(ex);
    *how = (struct http_response_rewrite){
        .close = ex->close,
        .say_keep_alive = ex->old_client && !ex->close,
        .drop_transfer_encoding = ex->old_client, /* also in answers without a body */
        .add_chunked = ex->down->encode,
        .upgrade = ex->env->head.status == 426 && ex->env->head.has_upgrade,
        .request_id_name = span_of(ex->env->c.config->headers.request_id),
        .request_id = ex->message.request_id,
        .date = date_of(ex->env),
    };
}

static double milliseconds(mono_us us)
{
    return (double)us / 1000;
}

/* Server-Timing (W3C), if it is wanted: what the client could not know of where the time went. */
static struct span timing_of(const struct exchange *ex, char *out, size_t size)
{
    if (!ex->env->c.config->headers.server_timing)
        return (struct span){out, 0};
    int n = snprintf(out, size, "queue;dur=%.3f, app;dur=%.3f", milliseconds(waited(ex)),
                     milliseconds(ex->first_byte - ex->waiter.granted_at));
    return (struct span){out, n > 0 ? (size_t)n : 0};
}

static void final_head(struct exchange *ex)
{
    struct exchange_env *env = ex->env;
    struct http_response_rewrite how;
    char timing[96];

    mono_us asked = ex->sent != 0 ? ex->sent : ex->connected;
    ex->first_byte = not_before(now_of(ex), asked);
    stats_first_byte(env->c.stats, ex->first_byte - asked);
    ex->app_persists = http_head_persistent(&env->head);
    ex->down = pool_get(loop_pool(env->c.loop), sizeof(*ex->down));
    memset(ex->down, 0, sizeof(*ex->down));
    ex->down->max = UINT64_MAX;
    ex->down->mark = env->c.config->buffers.response;
    ex->down->budget = &env->c.house->budget;
    give_upgrade_back(ex);
    http_body_of_response(&ex->down->body, &env->head, ex->method);
    if (ex->state == EXCHANGE_ORPHANED) {
        arm(ex, ex->first_byte + env->c.config->upstream.idle_timeout);
        exchange_download(ex, NULL);
        return;
    }
    ex->status = env->head.status;
    describe_response(ex, &how);
    how.server_timing = timing_of(ex, timing, sizeof(timing));
    struct relay_front front = front_of(ex, &how);
    exchange_enter(ex, EXCHANGE_STREAMING);
    bool all_taken = ex->up == NULL && conn_backlog(upstream_socket(&ex->lease)) == 0;
    ex->untaken = all_taken ? 0 : SIZE_MAX;
    exchange_download(ex, &front);
}

/* One head, interim or final. False: the reading of heads is over. */
static bool one_head(struct exchange *ex, bool *more)
{
    struct exchange_env *env = ex->env;
    struct conn *from = upstream_socket(&ex->lease);
    struct http_problem problem;

    *more = false;
    if (from->in.len == 0) {
        *more = true;
        return true;
    }
    if (!ex->accepted) {
        answered_unasked(ex);
        return false;
    }
    ex->answering = true;
    switch (http_parse_response(&ex->parser, from->in.at, from->in.len, &env->limits, &env->head,
                                &problem)) {
    case HTTP_PARSE_MORE:
        *more = true;
        return true;
    case HTTP_PARSE_BAD:
        bad_response(ex, problem.reason);
        return false;
    case HTTP_PARSE_DONE:
        break;
    }
    conn_consume(from, env->head.whole.len);
    if (env->head.status < 200)
        return interim(ex);
    final_head(ex);
    return false;
}

/*
 * Heads are held back as bodies are: while the client has not taken the interim ones before, the
 * next stays unread, and the timer is the client's.
 */
static bool client_holds_up(struct exchange *ex)
{
    const struct client *cl = ex->client;
    size_t mark = ex->env->c.config->buffers.response;
    bool blocked = cl != NULL && client_backlog(cl) > 0 &&
                   client_backlog(cl) >= budget_mark(&ex->env->c.house->budget, mark);

    if (blocked && ex->blocked_since == 0) {
        ex->blocked_since = now_of(ex);
        watch_client(ex, 0);
    } else if (!blocked && ex->blocked_since != 0) {
        note_backpressure(ex);
        ex->stalls_at = 0;
        if (uploading(ex))
            measure_pace(ex);
        renew_patience(ex);
    }
    return blocked;
}

static void exchange_read_head(struct exchange *ex)
{
    struct conn *from = upstream_socket(&ex->lease);
    int heads = 0;
    bool more;

    while (!client_holds_up(ex) && one_head(ex, &more)) {
        if (!more && ++heads < HEADS_AT_ONCE)
            continue;
        if (!more) {
            post_again(ex);
            return;
        }
        switch (conn_fill(from, reads_at_most(ex, from))) {
        case CONN_GOT:
            continue;
        case CONN_WAIT:
            return;
        case CONN_FULL:
            bad_response(ex, "the response's head is longer than upstream.max_head");
            return;
        case CONN_EOF:
        case CONN_LOST:
            upstream_lost(ex);
            return;
        }
    }
}

/* ---- the answer's body comes ---- */

/* The client is in the way of its last response. It may be one that sends all before it reads. */
static void discard_upload(struct exchange *ex)
{
    if (ex->close && !uploading(ex))
        client_discard(ex->client);
}

/* The app's last byte is read: slot and connection go back now, whatever the client does. */
static void exchange_answered(struct exchange *ex)
{
    bool reusable = ex->app_persists && ex->sent != 0 && !ex->upload_failed &&
                    ex->down->body.framing != HTTP_BODY_UNTIL_CLOSE;

    ex->answered = now_of(ex);
    upstream_return(ex->env->c.upstream, &ex->lease, reusable);
    if (ex->orphan) {
        exchange_done(ex);
        return;
    }
    give_slot_back(ex);
    loop_timer_stop(&ex->timer);
    exchange_enter(ex, EXCHANGE_FLUSHING);
    if (client_backlog(ex->client) == 0)
        exchange_done(ex);
    else
        discard_upload(ex);
}

/* The answer was cut, or broke its framing, when the client has had a part: it must see that. */
static void exchange_cut(struct exchange *ex, const char *why)
{
    struct client *cl = ex->client;

    complain(ex, why);
    ex->close = true;
    /* Where the body's framing cannot show that it was cut, an RST must (RFC 9112 section 8). */
    if (cl != NULL && only_the_end_tells(ex)) {
        ex->client = NULL;
        client_abort(cl, true);
    }
    exchange_done(ex);
}

static void exchange_download_ended(struct exchange *ex, enum relay_status why)
{
    switch (why) {
    case RELAY_END:
        exchange_answered(ex);
        return;
    case RELAY_RECEIVER_LOST:
        lose_client(ex);
        return;
    case RELAY_BAD_FRAMING:
        exchange_cut(ex, ex->down->problem.reason);
        return;
    case RELAY_TOO_LARGE:
    case RELAY_TRUNCATED:
        exchange_cut(ex, "the answer's body was cut");
        return;
    case RELAY_WAIT:
    case RELAY_BLOCKED:
    case RELAY_BUSY:
        return;
    }
}

/* How long the client has been in the way, if it was. */
static void note_backpressure(struct exchange *ex)
{
    if (ex->blocked_since == 0)
        return;
    stats_backpressure(ex->env->c.stats, now_of(ex) - ex->blocked_since);
    ex->blocked_since = 0;
}

static void look_at_client(struct exchange *ex)
{
    mono_us patience = ex->env->c.config->client.stall_timeout;
    arm(ex, conn_next_look(client_conn(ex->client), patience, MONO_NEVER));
}

/*
 * The client is in the way, and the slot is held for it alone: client.stall_timeout runs. What is
 * under way to its kernel now is no reading, and is not measured before the first look.
 */
static void watch_client(struct exchange *ex, size_t unread)
{
    const struct config *cf = ex->env->c.config;

    ex->unread = unread;
    ex->stalls_at = now_of(ex) + cf->client.stall_timeout;
    look_at_client(ex);
}

static void exchange_download(struct exchange *ex, const struct relay_front *front)
{
    struct conn *to = ex->client != NULL ? client_conn(ex->client) : NULL;
    uint64_t moved;

    note_backpressure(ex);
    enum relay_status st = relay_pump(ex->down, upstream_socket(&ex->lease), to, front, &moved);

    switch (st) {
    case RELAY_WAIT:
        /* After back-pressure, when the timer was the client's, it is the app's turn again. */
        if (moved > 0 || front != NULL || ex->stalls_at != 0 || ex->timer.due == MONO_NEVER)
            renew_idle(ex);
        ex->stalls_at = 0;
        return;
    case RELAY_BLOCKED:
        ex->blocked_since = now_of(ex);
        if (moved > 0 || ex->stalls_at == 0)
            watch_client(ex, 0);
        discard_upload(ex);
        return;
    case RELAY_BUSY:
        renew_idle(ex);
        ex->stalls_at = 0;
        post_again(ex);
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

/* ---- it is a tunnel ---- */

/* One side was reset: so is the other. */
static void tunnel_lost(struct exchange *ex)
{
    struct client *cl = ex->client;

    ex->client = NULL;
    client_abort(cl, true);
    upstream_reset(ex->env->c.upstream, &ex->lease);
    exchange_done(ex);
}

static void arm_tunnel(struct exchange *ex)
{
    ex->untaken = SIZE_MAX; /* unless it is in the way, that is looked at when it has been silent */
    note_untaken(ex);
    arm(ex, now_of(ex) + ex->env->c.config->upgrades.idle_timeout);
}

static void exchange_tunnel(struct exchange *ex)
{
    uint64_t moved;

    switch (tunnel_pump(ex->tunnel, &moved)) {
    case TUNNEL_LOST:
        tunnel_lost(ex);
        return;
    case TUNNEL_ENDED:
        exchange_done(ex);
        return;
    case TUNNEL_BUSY:
        post_again(ex);
        break;
    case TUNNEL_OPEN:
        break;
    }
    if (moved > 0)
        arm_tunnel(ex);
}

/* ---- the app's socket has something ---- */

/* Output to the app that had to be kept moves on. False: the exchange may have ended. */
static bool flush_request(struct exchange *ex, struct conn *to)
{
    size_t before = conn_backlog(to);

    if (before == 0 || ex->upload_failed)
        return true;
    bool sound = conn_flush(to);
    if (conn_backlog(to) < before) {
        ex->accepted = true;
        upload_moves(ex);
    }
    if (!sound) {
        upload_failed(ex);
        return false;
    }
    if (conn_backlog(to) > 0) {
        if (conn_backlog(to) < before)
            arm_upload(ex, RELAY_BLOCKED);
        return true;
    }
    if (uploading(ex)) { /* the app has all that came: now the client may be the slow one */
        measure_pace(ex);
        arm_upload(ex, RELAY_WAIT);
        exchange_upload(ex, NULL);
        return false;
    }
    if (request_is_read(ex))
        request_is_sent(ex);
    return true;
}

static void read_answer(struct exchange *ex)
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
    struct conn *c = upstream_socket(l);

    struct upstream_conn *uc = l->conn;

    if (ex->state == EXCHANGE_TUNNEL) {
        if (conn_flush(c) || !c->cut)
            exchange_tunnel(ex);
        else
            tunnel_lost(ex);
        return;
    }
    if (c->writable && !flush_request(ex, c)) {
        if (l->conn == uc && ex->state != EXCHANGE_DONE && conn_has_news(c))
            post_again(ex);
        return;
    }
    if (conn_has_news(c))
        read_answer(ex);
}

static const struct upstream_handler upstream_handler = {
    .on_ready = on_ready, .on_failed = on_failed, .on_event = on_upstream_event};

/* Goes on where a relay had stopped to let others have their turn. */
static void go_on(struct exchange *ex)
{
    struct client *cl = ex->client;

    if (uploading(ex))
        exchange_upload(ex, NULL);
    if (ex->state != EXCHANGE_DONE && ex->lease.conn != NULL)
        read_answer(ex);
    if (ex->state == EXCHANGE_DONE)
        return;
    if (cl != NULL && ex->client == cl)
        conn_settle(client_conn(cl));
    if (ex->lease.conn != NULL)
        conn_settle(upstream_socket(&ex->lease));
}

static void on_again(struct mail *m)
{
    struct exchange *ex = exchange_of(CONTAINER_OF(m, struct exchange, again));

    ex->again_posted = false;
    if (ex->buried)
        pool_put(loop_pool(ex->env->c.loop), ex, sizeof(*ex));
    else if (ex->state != EXCHANGE_DONE)
        go_on(ex);
}

/* ---- the client takes the rest ---- */

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
    else if (ex->blocked_since != 0) /* heads that it held up */
        post_again(ex);
}

/* ---- weir answers ---- */

static void count_refusal(struct exchange *ex, enum reply_kind kind)
{
    static const struct {
        enum reply_kind kind;
        enum stats_reason reason;
        const char *what;
    } refusals[] = {
        {REPLY_QUEUE_FULL, STATS_QUEUE_FULL, "the queue is full (queue.length)"},
        {REPLY_QUEUE_BYTES, STATS_BYTES, "the queue is full (queue.max_bytes)"},
        {REPLY_QUEUE_TIMEOUT, STATS_QUEUE_TIMEOUT, "no slot within queue.timeout"},
        {REPLY_NOT_READY, STATS_NOT_READY, "the app has not started"},
        {REPLY_DRAINING, STATS_DRAINING, "weir is draining"},
        {REPLY_UPGRADES_FULL, STATS_UPGRADES, "no tunnel is free (upgrades.max)"},
    };
    char more[NEWS_MORE];

    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        if (refusals[i].kind != kind)
            continue;
        stats_rejected(ex->env->c.stats, refusals[i].reason);
        if (news_may_log(&ex->env->news, now_of(ex), refusals[i].what, more))
            log_warning("a request was refused: %s%s", refusals[i].what, more);
    }
}

/* When to come back: the time in which the queue will have drained, 1 to 30 s, +-20 % so that those
 * who were refused together do not come back together. 0: this kind of answer has none. */
static unsigned retry_after(struct exchange *ex, enum reply_kind kind)
{
    if (kind < REPLY_QUEUE_FULL || kind > REPLY_UPGRADES_FULL)
        return 0;
    mono_us us = limiter_drain_estimate(ex->env->c.house->limiter);
    us = us / 1000 * (mono_us)(800 + loop_random(ex->env->c.loop) % 401);
    mono_us s = (us + 999999) / 1000000;
    return s < 1 ? 1 : s > 30 ? 30 : (unsigned)s;
}

static unsigned overload_status(const struct exchange *ex, enum reply_kind kind)
{
    bool overload = kind == REPLY_QUEUE_FULL || kind == REPLY_QUEUE_BYTES ||
                    kind == REPLY_QUEUE_TIMEOUT || kind == REPLY_UPGRADES_FULL;
    return overload ? ex->env->c.config->overload.status : 0;
}

/* Answers for itself. `status` 0: the kind's own. The slot, if there was one, has been given back.
 */
static void exchange_reply(struct exchange *ex, enum reply_kind kind, unsigned status,
                           const char *detail)
{
    char *out = loop_scratch(ex->env->c.loop, LOOP_SCRATCH_COMPOSE);
    struct client *cl = ex->client;

    ex->close = !ex->persistent || ex->env->draining || !request_is_read(ex) ||
                kind == REPLY_BAD_REQUEST || kind == REPLY_BODY_TOO_LARGE;
    struct reply r = {
        .kind = kind,
        .status = status != 0 ? status : overload_status(ex, kind),
        .detail = detail,
        .retry_after = retry_after(ex, kind),
        .close = ex->close,
        .keep_alive = ex->old_client && !ex->close,
        .json = ex->json,
        .head_only = ex->method == HTTP_HEAD,
        .request_id_name = span_of(ex->env->c.config->headers.request_id),
        .request_id = ex->message.request_id,
        .date = date_of(ex->env),
    };
    give_upgrade_back(ex);
    count_refusal(ex, kind);
    ex->by_weir = true;
    ex->status = reply_status(&r);
    loop_timer_stop(&ex->timer);
    exchange_enter(ex, EXCHANGE_REPLYING);
    if (!client_send(cl, (struct span){out, reply_write(&r, out)}, (struct span){NULL, 0})) {
        lose_client(ex);
        return;
    }
    if (client_backlog(cl) == 0)
        exchange_done(ex);
    else
        discard_upload(ex);
}

/* ---- someone is late ---- */

/* The app has taken something since the timer was armed, slowly as it is. */
static bool app_takes(const struct exchange *ex)
{
    const struct conn *to = upstream_socket(&ex->lease);
    return conn_backlog(to) > 0 && conn_untaken(to) < ex->untaken;
}

/* All that has come of the body was read, and the rest is the client's to send. */
static bool client_owes_body(const struct exchange *ex)
{
    return !request_is_read(ex) && !client_conn(ex->client)->readable;
}

static void late_answer(struct exchange *ex)
{
    if (now_of(ex) < ex->stuck_at) {
        if (app_takes(ex))
            arm_upload(ex, RELAY_BLOCKED);
        else
            look_at_app(ex);
    } else if (ex->sent != 0 || (uploading(ex) && app_owes_a_100(ex))) {
        complain(ex, "no answer within upstream.first_byte_timeout");
        exchange_fail(ex, REPLY_FIRST_BYTE_TIMEOUT, NULL);
    } else if (!ex->upload_failed && client_owes_body(ex)) {
        exchange_fail(ex, REPLY_BODY_TIMEOUT, NULL);
    } else if (app_takes(ex)) {
        arm_upload(ex, RELAY_BLOCKED);
    } else {
        complain(ex, "the request was not taken within upstream.idle_timeout");
        exchange_fail(ex, REPLY_SEND_TIMEOUT, NULL);
    }
}

static void cut_stalled(struct exchange *ex)
{
    static const char what[] = "a client that took nothing of its response for "
                               "client.stall_timeout was cut, since others wait for its slot";
    struct exchange_env *env = ex->env;
    char more[NEWS_MORE];

    if (news_may_log(&env->news, now_of(ex), what, more))
        log_warning("%s (client %.*s, request id %.*s)%s", what,
                    SPAN_PRINTF(client_name(ex->client)), SPAN_PRINTF(ex->message.request_id),
                    more);
    lose_client(ex);
}

/* It is looked at again and again: while nobody waits for a slot, a stalled client is in nobody's
 * way. */
static void late_client(struct exchange *ex)
{
    mono_us patience = ex->env->c.config->client.stall_timeout;
    size_t unread = client_backlog(ex->client) + conn_untaken(client_conn(ex->client));

    if (ex->unread == 0)
        ex->unread = unread;
    if (unread + client_least(patience) < ex->unread)
        watch_client(ex, unread);
    else if (now_of(ex) >= ex->stalls_at && ex->blocked_since != 0 &&
             limiter_has_waiters(ex->env->c.house->limiter))
        cut_stalled(ex);
    else
        look_at_client(ex);
}

/* No event has told of progress for upstream.idle_timeout, or for a part of it. */
static void late_stream(struct exchange *ex)
{
    struct conn *to = upstream_socket(&ex->lease);
    size_t untaken = conn_untaken(to);
    bool takes = untaken < ex->untaken && !ex->upload_failed;

    ex->untaken = untaken;
    if (takes)
        renew_idle(ex);
    else if (now_of(ex) < ex->idle_at)
        arm(ex, conn_next_look(to, ex->env->c.config->upstream.idle_timeout, ex->idle_at));
    else
        exchange_cut(ex, "nothing moved either way within upstream.idle_timeout");
}

/* Nobody has said anything for upgrades.idle_timeout. What was said before may still be on its way
 * to a slow reader: while the client has not all of it, client.send_timeout watches. */
static void late_tunnel(struct exchange *ex)
{
    size_t untaken = conn_untaken(upstream_socket(&ex->lease)), before = ex->untaken;

    if (client_backlog(ex->client) == 0 && (untaken == 0 || untaken >= before)) {
        exchange_done(ex);
        return;
    }
    arm_tunnel(ex);
    ex->untaken = untaken;
}

static void on_timeout(void *arg)
{
    struct exchange *ex = exchange_of(arg);

    switch (ex->state) {
    case EXCHANGE_BUFFERING:
        stop_buffering(ex);
        return;
    case EXCHANGE_QUEUED:
        queue_deadline(ex);
        return;
    case EXCHANGE_AWAITING:
        if (ex->stalls_at != 0)
            late_client(ex);
        else
            late_answer(ex);
        return;
    case EXCHANGE_TUNNEL:
        late_tunnel(ex);
        return;
    case EXCHANGE_STREAMING:
        if (ex->stalls_at != 0)
            late_client(ex);
        else
            late_stream(ex);
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
    if (!limiter_cancel(ex->env->c.house->limiter, &ex->waiter, now_of(ex))) {
        exchange_enter(ex, EXCHANGE_ABANDONED);
        return;
    }
    stats_queue_wait(ex->env->c.stats, STATS_CLIENT_GONE, waited(ex));
    exchange_done(ex);
}

/* The app works on it: the slot is its until the answer's last byte, which nobody will read. */
static void leave_app(struct exchange *ex)
{
    const struct config *cf = ex->env->c.config;

    /* A request that did not come whole will never be: the app must hear that now. */
    if (ex->sent == 0 || cf->on_client_abort == CONFIG_ABORT_CLOSE) {
        exchange_done(ex);
        return;
    }
    stats_orphan_begins(ex->env->c.stats);
    ex->orphan = true;
    if (ex->state == EXCHANGE_STREAMING)
        arm(ex, ex->left + cf->upstream.idle_timeout);
    else if (ex->blocked_since != 0) /* nothing ran: the client has held up the app's heads */
        arm(ex, ex->left + cf->upstream.first_byte_timeout);
    note_backpressure(ex);
    exchange_enter(ex, EXCHANGE_ORPHANED);
    if (upstream_socket(&ex->lease)->readable) /* the client's slowness may have held it up */
        post_again(ex);
}

/* The client is lost. The caller ends the connection. */
static void exchange_client_gone(struct exchange *ex)
{
    CHECK(ex->client != NULL); /* nobody leaves twice */
    ex->client = NULL;
    ex->left = now_of(ex);
    switch (ex->state) {
    case EXCHANGE_QUEUED:
        leave_queue(ex);
        return;
    case EXCHANGE_AWAITING:
    case EXCHANGE_STREAMING:
        leave_app(ex);
        return;
    case EXCHANGE_TUNNEL:
        upstream_reset(ex->env->c.upstream, &ex->lease);
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

/* The client is lost, and is told so by an RST. */
static void lose_client(struct exchange *ex)
{
    struct client *cl = ex->client;

    exchange_client_gone(ex);
    client_abort(cl, true);
}

static void on_gone(struct client *cl, void *served)
{
    (void)cl;
    exchange_client_gone(exchange_of(served));
}

/* ---- it is done ---- */

static void count_outcome(struct exchange *ex, mono_us now)
{
    struct stats_shard *stats = ex->env->c.stats;

    note_backpressure(ex);
    if (ex->tunnel != NULL) { /* it has no times that would compare with a request's */
        stats_answered(stats, STATS_BY_APP, 101);
        return;
    }
    enum stats_source by = ex->left != 0 ? STATS_BY_NOBODY
                           : ex->by_weir ? STATS_BY_WEIR
                                         : STATS_BY_APP;
    stats_answered(stats, by, ex->status);
    stats_request_duration(stats, by, (ex->left != 0 ? ex->left : now) - ex->began);
    if (ex->answered != 0 && !ex->orphan)
        stats_delivery(stats, now - ex->answered);
    if (ex->orphan)
        stats_orphan_ends(stats, now - ex->left);
}

static void bury(struct loop_grave *g, struct loop *lp)
{
    struct exchange *ex = CONTAINER_OF(g, struct exchange, grave);

    ex->buried = true;
    if (ex->again_posted) /* its mail is on the way: on_again() frees */
        return;
    pool_put(loop_pool(lp), ex, sizeof(*ex));
}

static void give_memory_back(struct exchange *ex)
{
    struct pool *pool = loop_pool(ex->env->c.loop);

    held_changed(ex, -(int64_t)ex->message.body);
    message_fini(&ex->message, ex->env->c.loop);
    pool_put(pool, ex->up, sizeof(*ex->up));
    pool_put(pool, ex->tunnel, sizeof(*ex->tunnel));
    pool_put(pool, ex->down, sizeof(*ex->down));
    loop_timer_fini(&ex->timer);
    ex->grave.bury = bury;
    loop_bury(ex->env->c.loop, &ex->grave);
}

/* The end in whatever state: gives back what is held, counts, and lets the client go on. */
static void exchange_done(struct exchange *ex)
{
    struct exchange_env *env = ex->env;
    struct client *cl = ex->client;
    bool keep = !ex->close;

    drop_app(ex);
    if (ex->waiter.state == LIMITER_HOLDING)
        give_slot_back(ex);
    give_upgrade_back(ex);
    count_outcome(ex, now_of(ex));
    exchange_enter(ex, EXCHANGE_DONE);
    TAILQ_REMOVE(&env->in[EXCHANGE_DONE], ex, link);
    env->count[EXCHANGE_DONE]--;
    give_memory_back(ex);
    if (cl == NULL)
        env->c.on_ended(env->c.arg, false);
    else if (keep)
        client_next(cl);
    else
        client_close(cl);
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
    env->limits = (struct http_limits){.max_head = config->config->upstream.max_head,
                                       .max_fields = config->config->upstream.max_headers};
    CHECK(env->limits.max_fields <= HTTP_FIELDS_MAX);
    for (int i = 0; i < EXCHANGE_STATES; i++)
        TAILQ_INIT(&env->in[i]);
    return env;
}

void exchange_env_free(struct exchange_env *env)
{
    if (env == NULL)
        return;
    CHECK(exchange_total(env) == 0);
    free(env);
}

/* The limiter keeps their old deadline, which is later: the timer ends the wait. */
void exchange_app_is_up(struct exchange_env *env)
{
    mono_us due = loop_now(env->c.loop) + env->c.config->queue.timeout;
    struct exchange *ex;

    for (ex = TAILQ_FIRST(&env->in[EXCHANGE_QUEUED]); ex != NULL; ex = TAILQ_NEXT(ex, link)) {
        if (ex->waiter.deadline > due)
            arm(ex, due);
    }
}

void exchange_drain(struct exchange_env *env)
{
    env->draining = true;
}

size_t exchange_total(const struct exchange_env *env)
{
    size_t n = 0;

    for (int i = 0; i < EXCHANGE_DONE; i++)
        n += env->count[i];
    return n;
}

bool exchange_audit(const struct exchange_env *env)
{
    const size_t *n = env->count;
    struct stats_present present = {
        .begun = env->begun,
        .requests = exchange_total(env),
        .holding = n[EXCHANGE_CONNECTING] + n[EXCHANGE_AWAITING] + n[EXCHANGE_STREAMING] +
                   n[EXCHANGE_TUNNEL] + n[EXCHANGE_ORPHANED],
        .orphans = n[EXCHANGE_ORPHANED],
        .upgrades = n[EXCHANGE_TUNNEL],
    };
    return stats_audit(env->c.stats, &present);
}

size_t exchange_turn_away(struct exchange_env *env)
{
    struct exchange *ex, *next;
    size_t n = 0;

    for (ex = TAILQ_FIRST(&env->in[EXCHANGE_QUEUED]); ex != NULL; ex = next) {
        next = TAILQ_NEXT(ex, link);
        if (!limiter_cancel(env->c.house->limiter, &ex->waiter, now_of(ex)))
            continue; /* its verdict is in the mail, and may be a slot */
        stats_queue_wait(env->c.stats, STATS_DRAINED, waited(ex));
        exchange_reply(ex, REPLY_DRAINING, 0, NULL);
        n++;
    }
    for (ex = TAILQ_FIRST(&env->in[EXCHANGE_BUFFERING]); ex != NULL; ex = next, n++) {
        next = TAILQ_NEXT(ex, link);
        exchange_reply(ex, REPLY_DRAINING, 0, NULL);
    }
    for (ex = TAILQ_FIRST(&env->in[EXCHANGE_TUNNEL]); ex != NULL; ex = next) {
        next = TAILQ_NEXT(ex, link);
        exchange_done(ex);
    }
    return n;
}

/* What has come of its body and was not read yet may be the rest of it. True: it was refused. */
static bool give_way(struct exchange *ex)
{
    struct conn *from = client_conn(ex->client);

    if (conn_has_news(from) || conn_look(from)) {
        from->readable = true;
        from->drained = false;
        exchange_buffer(ex);
        conn_settle(from);
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
        if (ex == NULL || now_of(ex) - ex->arrived < ROOM_AFTER_US)
            return false;
        if (give_way(ex))
            return true;
    }
    return false;
}

static size_t cut_one(struct exchange *ex)
{
    if (ex->client == NULL) {
        exchange_done(ex);
        return 0;
    }
    lose_client(ex);
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
                continue; /* its verdict is in the mail, and ends it */
            cut += cut_one(ex);
        }
    }
    return cut;
}
