/*
 * An exchange, for the files that share its work: exchange.c (the spine), exchange_request.c,
 * exchange_response.c, exchange_tunnel.c, exchange_drain.c. Nobody else includes it.
 * A function that may end the exchange is the last thing its caller does with it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "proxy/exchange.h"
#include "proxy/h1_client.h"
#include "proxy/http/date.h"
#include "proxy/http/head.h"
#include "proxy/http/parse.h"
#include "proxy/log_limit.h"
#include "proxy/message.h"
#include "proxy/relay.h"
#include "proxy/reply.h"

TAILQ_HEAD(exchange_list, exchange);

struct exchange {
    unsigned magic;
    enum exchange_state state; /* exchange_set_state() writes it, nobody else */
    TAILQ_ENTRY(exchange) link;
    struct exchange_env *env;
    struct client *client; /* not ours: calls on_gone first, then NULL */
    struct h1_client app;  /* its side of the exchange, once a slot is held */
    struct limiter_waiter waiter;
    struct task verdict, again;
    struct loop_timer timer;
    struct loop_deferred deferred;

    struct message message;
    mono_us stuck_at;      /* if the app has taken no more by then; 0: it is not in the way */
    mono_us idle_at;       /* STREAMING: if nothing has moved by then, either way */
    mono_us blocked_since; /* the client has been in the way of the answer; 0 while it is not */
    mono_us stalls_at;     /* if the client has taken no more by then; 0: it is not watched */
    size_t unread;         /* by the client, when that was set; 0: not looked at yet */
    size_t unacked;     /* of it, or of its body, by the app's socket, when it was last looked at */
    struct relay *up;   /* what of the body did not come with the head; else NULL */
    struct relay *down; /* the response's body, once its head is there */
    struct tunnel *tunnel; /* TUNNEL */

    mono_us began, arrived, connected, sent, first_byte, response_ended, left;
    enum http_method method;
    unsigned status;    /* what the client was answered */
    uint64_t interims;  /* that the app has sent */
    bool local_reply;   /* the answer is our own */
    bool http10;        /* HTTP/1.0 */
    bool persistent;    /* the client wants its connection kept */
    bool json;          /* it would rather read JSON */
    bool close;         /* the connection ends with this answer */
    bool app_persists;  /* the app keeps its connection after this answer */
    bool upload_failed; /* the app takes no more of it */
    bool replayed, orphan;
    bool expects;                /* it waits for a 100 before it sends its body */
    bool continued;              /* it had that from weir */
    bool said_100;               /* it had that from the app */
    bool has_body;               /* not an empty one */
    bool upgrade;                /* offered to the app, and counted against upgrades.max */
    bool again_posted, released; /* both: the posted task frees the memory */
};

struct exchange_env {
    struct exchange_env_config c;
    bool draining;
    struct exchange_list in[EXCHANGE_STATES];
    size_t count[EXCHANGE_STATES];
    uint64_t begun;            /* requests, those refused from their head included */
    struct http_limits limits; /* of the app's heads */
    struct log_limit log_limit;
    struct http_date date;
    struct http_head head; /* of the response being read */
};

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

static inline mono_us exchange_waited(const struct exchange *ex)
{
    return ex->waiter.ended_at - ex->waiter.queued_at;
}

/* ---- exchange.c ---- */

/* Moves it to another state's list; the edge must exist. */
void exchange_set_state(struct exchange *ex, enum exchange_state next);

/* Logs, at a limited rate, that something is wrong with the app. */
void exchange_complain(struct exchange *ex, const char *what);

/* Until when a request that asks now may wait. */
mono_us exchange_deadline(const struct exchange *ex, mono_us now);

/* Asks for a slot: it goes on, waits, or is refused. */
void exchange_ask(struct exchange *ex);

/* Gives the slot to the next that waits. */
void exchange_release_slot(struct exchange *ex);

/* It has a slot, and wants a connection. */
void exchange_connect(struct exchange *ex, enum upstream_kind kind);

/* The app gives no response that could be passed on: the slot goes back, weir replies. */
void exchange_fail(struct exchange *ex, enum reply_kind kind, const char *detail);

/* Goes on in a later task of this turn, when others have had theirs. */
void exchange_post_again(struct exchange *ex);

/* weir's own reply. `status` 0: the kind's own. It holds no slot any more. */
void exchange_reply(struct exchange *ex, enum reply_kind kind, unsigned status, const char *detail);

/* The client is lost, and is told so by an RST. */
void exchange_lose_client(struct exchange *ex);

/* The end in whatever state: gives back what is held, counts, and lets the client go on. */
void exchange_done(struct exchange *ex);
