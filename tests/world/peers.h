/*
 * Scripted peers: clients and connections of the app, each one end of a pair of Unix sockets whose
 * other end is weir's; and the clock. All bytes sent and received are kept for the checks. One
 * world at a time, one thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/clock.h"
#include "common/span.h"
#include "common/strbuf.h"

#define PEERS_CLIENTS 24 /* most connections per run, on either side */
#define PEERS_APPS    48

struct peer {
    int fd;      /* our end; -1: we have closed it */
    int weir_fd; /* the number of weir's end; may have been reused */
    struct strbuf sent, got;
    bool reads; /* everything that arrives; otherwise only on request */
    bool ever_paused;
    bool half_closed; /* by us */
    bool cut;         /* by our close, which weir saw as a reset without an end */
    bool ended;       /* weir has closed it */
    size_t in_time;   /* bytes sent before that */
    bool was_reset;   /* and in a way that shows that something was cut */
    size_t told;      /* bytes sent before weir's last turn */
    size_t alive;     /* and before we closed it, in order, without a turn between; else SIZE_MAX */
    bool one_edge;    /* we have closed it by a reset, with bytes that weir had not seen */
    bool settled;     /* we have closed or half-closed it, and weir has had time to notice */
    mono_us moved;    /* last time that a byte was sent or received */
    mono_us left;     /* when we closed it, or noticed its end; 0: neither */
};

/* What the next connect() does. */
enum peers_connect {
    PEERS_CONNECT,
    PEERS_CONNECT_LATER, /* in progress, until peers_accept() */
    PEERS_CONNECT_REFUSED,
    PEERS_CONNECT_FULL, /* EAGAIN */
    PEERS_CONNECT_NO_ADDRESS,
};

struct peer_app {
    struct peer peer;
    size_t junk; /* blocks a connection that is in progress */
    /* State of judge_apps() (tests/fuzz/judge.h). */
    size_t seen_got, seen_sent;
    size_t begun, started, complete, responded; /* requests: head known, a byte, all; responses */
    size_t client;                              /* of the last request */
    unsigned interims;
    size_t unread; /* bytes of an incomplete response */
    bool in_body;  /* whose head is complete */
    bool in_chunks, until_end;
    bool upgrade;   /* the last request asks for one */
    bool in_events; /* text/event-stream */
    mono_us asked;  /* when the last request was complete */
    bool bad;       /* the app has sent an invalid response */
    bool opaque;    /* it has sent 101: no messages follow */
    bool end_judged;
};

struct peers {
    mono_us now;
    enum peers_connect next_connect;
    bool away; /* every connect() is refused */
    size_t n_clients, n_apps;
    struct peer clients[PEERS_CLIENTS];
    struct peer_app apps[PEERS_APPS];
    size_t budget; /* bytes that may still be sent */
};

extern struct peers peers;

void peers_begin(void);
void peers_end(void); /* closes and frees all */

/* A pair of sockets: our end belongs to a new client's peer. Returns weir's end, or -1: no more. */
int peers_client(void);

void peers_send(struct peer *p, struct span bytes);
void peers_close(struct peer *p);
void peers_half_close(struct peer *p);
size_t peers_receive(struct peer *p, size_t most);

/* Whether weir has closed its end, even if the peer does not read. */
bool peers_is_over(const struct peer *p);

/* Completes a connection in progress. */
void peers_accept(struct peer_app *a);

/* Called before each turn of weir. */
void peers_before_turn(void);

/* Receives for all peers that read; true: there was something. */
bool peers_move(void);

/* The same for all peers, at the end. */
void peers_read_all(void);
