/*
 * The clients of one loop: their connections, the heads they send, in order, one at a time. A
 * client does not know what an exchange is: it tells what happens through a struct of functions.
 *
 *     READING ── on_request ──► SERVED ── client_next ──► READING
 *        │                        │
 *        └── end, timeout ────────┴── client_close ──► CLOSING ──► gone
 *
 * While SERVED nothing is read of the socket but by whoever relays the request's body; that the
 * client leaves is noticed all the same, by the edge of its FIN or RST, and told once: on_gone.
 * CLOSING: the last response goes out, then the FIN, and what still comes is thrown away, lest our
 * RST destroy what the client has not taken (RFC 9112 section 9.6). It ends with the client's FIN;
 * or when it has acknowledged all and is silent for a second, or has sent for client.send_timeout
 * since; or when it takes nothing for client.send_timeout, then with an RST.
 *
 * Connections that wait for their client stand in two lists, the longest wait first: one of those
 * that linger, one of those that are READING. So the one that makes room for a new client is
 * found in constant time. A byte does not renew a place there; the first byte of a head does, once.
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
     * A whole, valid head. Its spans live until the callback returns. What follows it is in the
     * connection's input. The handler says client_serve() and answers, now or later; then it calls
     * client_next() or client_close().
     */
    void (*on_request)(struct client *cl, const struct http_head *head, void *env);
    /* What came is no request, or came too slowly: answer, then client_close(). */
    void (*on_refuse)(struct client *cl, const struct http_problem *problem, void *env);
    /* SERVED: there may be something to read. */
    void (*on_input)(struct client *cl, void *served);
    /* SERVED: all that was kept for the client has been sent. */
    void (*on_drained)(struct client *cl, void *served);
    /* SERVED: the client has left, or took nothing for client.send_timeout. Forget it. */
    void (*on_gone)(struct client *cl, void *served);
    /* A connection has ended; clients_count() is one less. */
    void (*on_ended)(void *env);
};

struct clients *clients_new(struct loop *lp, struct stats_shard *stats, const struct config *config,
                            struct budget *budget, const struct client_handler *handler, void *env);
void clients_free(struct clients *cs); /* cuts those that are left */

/* From now on: idle connections are closed, the others after the answer they wait for. */
void clients_drain(struct clients *cs);
void clients_cut(struct clients *cs); /* ends all at once; on_gone comes for those SERVED */
size_t clients_count(const struct clients *cs);

#define CLIENT_ROOM_AFTER_US 20000 /* a connection that waits for less long does not make room */

/*
 * A new client needs a place: ends the connection that has lingered longest, or else the one that
 * has been READING longest and has not sent its first or next byte. A request that has come
 * meanwhile, and was not read yet, is served instead. False: no connection can give way now.
 */
MUST_USE bool clients_make_room(struct clients *cs);

/* Any thread: whether clients_make_room() is likely to find one. */
bool clients_have_room(const struct clients *cs, mono_us now);

/* A connection has come: takes the descriptor. */
void client_accept(struct clients *cs, int fd, const struct sockaddr *sa);

/* Within on_request: `served` is what on_input, on_drained and on_gone will get. */
void client_serve(struct client *cl, void *served);

/* SERVED: from now on its FIN ends one direction only, and is seen by who reads it. */
void client_tunnel(struct client *cl);

/* The answer is complete and all of it sent: the next request may come. */
void client_next(struct client *cl);

/*
 * The answer is complete and was the last. What is unsent goes out, then FIN, then the lingering
 * end. Takes the client: on_gone will not come.
 */
void client_close(struct client *cl);

/*
 * SERVED, and client_close() will follow: from now on what the client sends is thrown away, so that
 * one that sends all before it reads comes to its response. On_input does not come any more.
 */
void client_discard(struct client *cl);

/* Its place is needed: what is sent last to it goes out, then FIN, and nothing lingers. */
void client_hurry(struct client *cl);

/* Ends the connection now; with `reset` so that the client sees that the answer was cut. Takes it.
 */
void client_abort(struct client *cl, bool reset);

/* False: the client is lost; call client_abort(). On_gone does not come from within. */
MUST_USE bool client_send(struct client *cl, struct span a, struct span b);
size_t client_backlog(const struct client *cl); /* bytes that the client has not taken */

/* The bytes that a client must take in that time, or it counts as one that takes nothing. */
size_t client_least(mono_us within);

struct conn *client_conn(struct client *cl); /* for relaying the request's body */

struct span client_address(const struct client *cl); /* text; empty for a Unix socket */
struct span client_name(const struct client *cl);    /* for the log: the address, or what it is */
bool client_trusted(const struct client *cl);        /* its forwarding fields may be believed */
mono_us client_began(const struct client *cl);       /* t0 of the present request */
bool client_left(const struct client *cl);           /* a FIN or an error was seen */

/*
 * Looks whether the client has left, for one syscall: its edge may still be on the way. False: it
 * has left.
 */
MUST_USE bool client_look(struct client *cl);
