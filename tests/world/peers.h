/*
 * Scripted peers: clients and connections of the app, each one end of a pair of Unix sockets whose
 * other end is weir's; and the clock. All that was sent and received is kept for who judges it. One
 * world at a time, one thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/clock.h"
#include "common/span.h"
#include "common/strbuf.h"

#define PEERS_CLIENTS 24 /* connections in one run, of either side */
#define PEERS_APPS    48

struct peer {
    int fd;      /* our end, -1: we have closed it */
    int weir_fd; /* the number of weir's end; it may be another's by now */
    struct strbuf sent, got;
    bool reads; /* all that comes; else only what is asked for */
    bool ever_paused;
    bool half_closed; /* by us */
    bool cut;         /* by our close, which told weir of a reset and of no end */
    bool ended;       /* weir has ended it */
    size_t in_time;   /* of what was sent: before that */
    bool was_reset;   /* and in a way that shows that something was cut */
    size_t told;      /* of what was sent: before weir's last turn */
    size_t alive;     /* and before we left, in order, without a turn between; else SIZE_MAX */
    bool one_edge;    /* we have closed it by a reset, with bytes that weir had not been told of */
    bool settled;     /* we have closed or half-closed it, and weir has had time to see that */
    mono_us moved;    /* when a byte was last sent or received */
    mono_us left;     /* when we closed it, or it was seen to have ended; 0: neither */
};

/* What connect() is to do the next time. */
enum peers_connect {
    PEERS_CONNECT,
    PEERS_CONNECT_LATER, /* in progress, until peers_accept() */
    PEERS_CONNECT_REFUSED,
    PEERS_CONNECT_FULL, /* EAGAIN */
    PEERS_CONNECT_NO_ADDRESS,
};

struct app {
    struct peer peer;
    size_t junk; /* in the way of a connection that is in progress */
    /* What judge_apps() (tests/fuzz/judge.h) knows of it. */
    size_t seen_got, seen_sent;
    size_t begun, started, complete, responded; /* requests: head known, a byte, all; answers */
    size_t client;                              /* of the last request */
    unsigned interims;
    size_t unread; /* bytes of an answer that is not whole */
    bool in_body;  /* but its head is */
    bool in_chunks;
    mono_us asked; /* when the last request was complete */
    bool bad;      /* the app has sent what is no answer */
    bool opaque;   /* it has sent 101: no messages any more */
    bool end_judged;
};

struct peers {
    mono_us now;
    enum peers_connect next_connect;
    size_t n_clients, n_apps;
    struct peer clients[PEERS_CLIENTS];
    struct app apps[PEERS_APPS];
    size_t budget; /* bytes that may still be sent */
};

extern struct peers peers;

void peers_begin(void);
void peers_end(void); /* closes and frees all */

/* A pair of sockets: our end is in a new client's peer. Returns weir's, or -1: no more. */
int peers_client(void);

void peers_send(struct peer *p, struct span bytes);
void peers_close(struct peer *p);
void peers_half_close(struct peer *p);
size_t peers_receive(struct peer *p, size_t most);

/* Whether weir has closed its end, also for who has not read so far. */
bool peers_is_over(const struct peer *p);

/* A connection in progress is there. */
void peers_accept(struct app *a);

/* Before each turn of weir's. */
void peers_before_turn(void);

/* Receives all that those who read have got; true: there was something. */
bool peers_move(void);

/* The same for all: in the end everybody reads what is left. */
void peers_read_all(void);
