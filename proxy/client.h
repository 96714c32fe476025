/*
 * The clients of one loop: their connections, and the heads they send, in order, one at a time. A
 * client knows nothing of exchanges: it reports events through a struct of functions.
 *
 *     READING ── on_request ──► SERVED ── client_next ──► READING
 *        │                        │
 *        └── end, timeout ────────┴── client_close ──► CLOSING ──► gone
 *
 * While SERVED, only the relay of the request's body reads from the socket; a client that leaves is
 * still noticed, by the edge of its FIN or RST, and reported once: on_gone. CLOSING: the
 * last response is sent, then the FIN, and further input is discarded, so that our RST does not
 * destroy what the client has not received (RFC 9112 section 9.6). It ends with the client's FIN;
 * or when the client has acknowledged everything and then is silent for a second, or keeps sending
 * for client.send_timeout; or, with an RST, when it reads nothing for client.send_timeout.
 *
 * Connections that wait for their client are in two lists, longest wait first: those that linger,
 * and those that are READING. So the one to make room for a new client is found in constant time.
 * Additional bytes do not change a connection's place there; only the first byte of a head does.
 * Loop thread only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/check.h"
#include "common/clock.h"
#include "common/span.h"
#include "proxy/budget.h"
#include "proxy/config.h"
#include "proxy/http/head.h"
#include "proxy/http/parse.h"
#include "proxy/loop.h"
#include "proxy/stats.h"

struct client;  /* opaque: defined in client.c */
struct clients; /* the clients of one loop */
struct conn;

struct client_handler {
    /*
     * A complete, valid head. Its spans are valid until the callback returns. The bytes after it
     * are in the connection's input. The handler calls client_serve() and responds, now or later;
     * then it calls client_next() or client_close().
     */
    void (*on_request)(struct client *cl, const struct http_head *head, void *env);
    /* The input is not a request, or arrived too slowly: respond, then client_close(). */
    void (*on_refuse)(struct client *cl, const struct http_problem *problem, void *env);
    /* SERVED: there may be input. */
    void (*on_input)(struct client *cl, void *served);
    /* SERVED: all unsent output has been sent. */
    void (*on_drained)(struct client *cl, void *served);
    /* SERVED: the client has left, or read nothing for client.send_timeout. Forget it. */
    void (*on_gone)(struct client *cl, void *served);
    /* A connection has ended; clients_count() is one less. */
    void (*on_ended)(void *env);
};

struct clients *clients_new(struct loop *lp, struct stats_shard *stats, const struct config *config,
                            struct budget *budget, const struct client_handler *handler, void *env);
void clients_free(struct clients *cs); /* cuts off those that are left */

/*
 * From now on, `config` is used, which must stay valid until the next call. It applies to present
 * connections too: whether they are trusted, how long they may be idle, the limits of a head that
 * is still arriving. A timeout that is already running for a response keeps its length.
 */
void clients_configure(struct clients *cs, const struct config *config);

/*
 * A drain. The handler makes each response announce that it is the last; these functions handle the
 * connections whose last response was sent before. Those that were kept idle are closed at once; a
 * connection without a request so far, or whose last response ended later, is closed once it has
 * been idle for a second.
 */
void clients_drain(struct clients *cs);
void clients_undrain(struct clients *cs); /* the drain was cancelled */

void clients_cut(struct clients *cs); /* ends all of them now; calls on_gone for those SERVED */
size_t clients_count(const struct clients *cs);

#define CLIENT_ROOM_AFTER_US 20000 /* a connection that has waited less does not make room */

/*
 * A new client needs a place: ends the connection that has lingered longest, or else the one that
 * has been READING longest and has sent nothing new. If a request has arrived on it and is still
 * unread, it is served instead. False: no connection can make room now.
 */
MUST_USE bool clients_make_room(struct clients *cs);

/* Any thread: whether clients_make_room() is likely to succeed. */
bool clients_have_room(const struct clients *cs, mono_us now);

/* A new connection: takes the descriptor. */
void client_accept(struct clients *cs, int fd, const struct sockaddr *sa);

/* Within on_request: `served` is passed to on_input, on_drained and on_gone. */
void client_serve(struct client *cl, void *served);

/* SERVED: from now on, the client's FIN ends one direction only, and only its reader sees it. */
void client_tunnel(struct client *cl);

/* The response is complete and has been sent in full: the next request may follow. */
void client_next(struct client *cl);

/* The response is complete and was the last. Sends unsent output, then the FIN, then lingers. Takes
 * the client: on_gone is not called. */
void client_close(struct client *cl);

/* SERVED, before client_close(): from now on, the client's input is discarded, so that a client
 * that sends everything before it reads gets its response. on_input is not called any more. */
void client_discard(struct client *cl);

/* Its place is needed: after the last output and the FIN, the connection does not linger. */
void client_hurry(struct client *cl);

/* Ends the connection now; with `reset`, the client sees that the response was cut off. Takes
 * the client. */
void client_abort(struct client *cl, bool reset);

/* False: the client is lost; call client_abort(). Does not call on_gone itself. */
MUST_USE bool client_send(struct client *cl, struct span a, struct span b);
size_t client_backlog(const struct client *cl); /* bytes that the client has not received */

/* A client that reads less than this within that time counts as one that reads nothing. */
size_t client_least(mono_us within);

struct conn *client_conn(struct client *cl); /* for relaying the request's body */

struct span client_address(const struct client *cl); /* text; empty for a Unix socket */
struct span client_name(const struct client *cl);    /* for the log; never empty */
bool client_trusted(const struct client *cl);        /* its forwarding fields are trusted */
mono_us client_began(const struct client *cl);       /* start of the current request */
bool client_left(const struct client *cl);           /* a FIN or an error was seen */

/* Checks whether the client has left, with one system call: the edge of its FIN or RST may not have
 * been delivered yet. False: it has left. */
MUST_USE bool client_peek(struct client *cl);
