/*
 * The structs of exchange_private.h, which includes this file; no other does.
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
#include "proxy/load_header.h"
#include "proxy/log_limit.h"
#include "proxy/message.h"
#include "proxy/record.h"
#include "proxy/relay.h"
#include "proxy/reply.h"
#include "proxy/settings.h"

#define EXCHANGE_MAGIC 0x77656972u

TAILQ_HEAD(exchange_list, exchange);

/*
 * Requests to bypass.paths have slots, a queue and numbers of their own, so that the others' stay
 * what they are: what is measured there is not what the app's load is judged by.
 */
enum exchange_lane_number { EXCHANGE_MAIN, EXCHANGE_BYPASS, EXCHANGE_LANES };

struct exchange_lane {
    struct limiter *limiter;
    struct stats_shard *stats;
    uint64_t begun;   /* requests, including those refused at their head */
    size_t shadows;   /* exchanges that are WAITING or PAST */
    size_t lingering; /* see `lingers` */
    size_t count[EXCHANGE_STATES];
};

/* How a request fares in the limiter that was dispatched without a slot: exchange_shadow.h. */
enum exchange_shadow {
    EXCHANGE_SHADOW_NONE, /* it holds a slot, or is not inside the app */
    EXCHANGE_SHADOW_WAITING,
    EXCHANGE_SHADOW_PAST,
    EXCHANGE_SHADOW_LEAVING,
};

struct exchange {
    unsigned magic;
    enum exchange_state state; /* written only by exchange_set_state() */
    TAILQ_ENTRY(exchange) link;
    struct exchange_env *env;
    struct settings *settings;   /* of the loop, when the request arrived; counted */
    const struct config *config; /* theirs */
    struct exchange_lane *lane;  /* of its loop's env */
    struct client *client;       /* not owned; NULL once it is gone */
    struct h1_client app;        /* the app's side, once a slot is held */
    struct limiter_waiter waiter;
    enum exchange_shadow shadow;
    mono_us went_on; /* when it was dispatched without a slot; 0: it was not */
    struct task verdict, again;
    struct loop_timer timer;
    struct loop_deferred deferred;
    mono_us deadline;      /* of its wait for a slot */
    mono_us waited_before; /* the part of exchange_waited() that an earlier wait was counted with */

    struct message message;
    mono_us stuck_at;  /* AWAITING: the app must have received more by then; 0: not blocked on it */
    mono_us idle_at;   /* STREAMING: something must have moved by then, in either direction */
    mono_us stalls_at; /* the client must have received more by then; 0: not watched */
    size_t unread;     /* by the client, when stalls_at was set; 0: not measured yet */
    size_t unacked;    /* by the app, of the request or tunnel, at the last check */
    struct relay *up;  /* the part of the body that did not arrive with the head, or NULL */
    struct relay *down;    /* the response's body, once its head has been read */
    struct tunnel *tunnel; /* TUNNEL */

    struct record record; /* written by exchange_set_state() and exchange_enter_phase() */
    enum http_method method;
    uint32_t interims;           /* interim responses from the app */
    bool sent;                   /* the app has been sent all of the request */
    bool answered;               /* the response began before the client had left */
    bool http10;                 /* HTTP/1.0 */
    bool persistent;             /* the client asks to keep its connection */
    bool json;                   /* the client prefers JSON */
    bool close;                  /* this response is the last on the connection */
    bool app_persists;           /* the app keeps its connection after this response */
    bool upload_failed;          /* the app takes no more of the body */
    bool wait_counted;           /* how its wait for a slot has ended is in the statistics */
    bool aside;                  /* counted as inside, but not worked on */
    bool without_slot;           /* it was dispatched without one at least once */
    bool lingers;                /* it has ended and is counted, and waits for its verdict */
    bool expects;                /* the client waits for a 100 before it sends its body */
    bool continued;              /* weir has sent it that 100 */
    bool said_100;               /* the app has sent it */
    bool has_body;               /* a body that is not empty */
    bool events;                 /* the response is an event stream that weir may end */
    bool upgrade;                /* offered to the app, and counted against upgrades.max */
    bool again_posted, released; /* both: the posted task frees the memory */
};

struct exchange_env {
    struct exchange_env_config c;
    bool announced; /* each response is the last on its connection */
    bool draining;
    bool ending; /* tunnels and event streams are ended, and nobody begins to wait for a slot */
    size_t late; /* turned away since exchange_take_late() */
    struct exchange_list in[EXCHANGE_STATES];
    struct exchange_lane lanes[EXCHANGE_LANES];
    struct settings *settings; /* for those that arrive */
    struct log_limit log_limit;
    struct http_date date;
    struct load_header load;
    struct http_head head; /* of the response being read */
};
