/*
 * The app's side of an exchange over HTTP/1.1: a leased connection, one request on it, and the
 * response: heads, then a body. The exchange sees no socket and no framing here: it hands over the
 * request, relays a body in either direction, reads heads, and asks how much the app has received.
 * h1_server.h is the other side; an HTTP/2 stream would offer the same operations.
 *
 * Embedded in its exchange, which ends it with one of h1_client_return(), h1_client_drop() and
 * h1_client_reset(). Loop thread only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/check.h"
#include "common/clock.h"
#include "common/span.h"
#include "proxy/budget.h"
#include "proxy/http/head.h"
#include "proxy/http/parse.h"
#include "proxy/relay.h"
#include "proxy/upstream.h"

struct client;

struct h1_client {
    struct upstream *upstream;
    struct upstream_lease lease;
    struct http_parser parser;
    const struct budget *budget;
    uint64_t given;      /* bytes of the request passed to the connection */
    bool response_begun; /* a byte of the response was received */
};

/* `handler` and `arg` are the lease's. */
void h1_client_init(struct h1_client *a, struct upstream *up, const struct budget *budget,
                    const struct upstream_handler *handler, void *arg);

/* ---- the connection ---- */

/* Like upstream_lease(). True: the connection is ready; else on_ready or on_failed follows. */
MUST_USE bool h1_client_open(struct h1_client *a, enum upstream_kind kind);

static inline bool h1_client_is_open(const struct h1_client *a)
{
    return a->lease.conn != NULL;
}

/* The response is complete: keeps the connection if `reusable`, else closes it. */
void h1_client_return(struct h1_client *a, bool reusable);

/*
 * Ends the connection, or the lease, in any state. With `asked`, the connection is reset if the app
 * has not received all of the request, so that it learns at once that the request is over: a FIN
 * would arrive after the rest, and the app would work on a request whose slot is free. A Unix
 * socket has no reset.
 */
void h1_client_drop(struct h1_client *a, bool asked);

void h1_client_reset(struct h1_client *a);

/* Ends the connection; the same request will be sent on another. */
void h1_client_start_over(struct h1_client *a);

/* ---- the request ---- */

/* Sends a whole request, or the available part of it. False: the connection is broken. */
MUST_USE bool h1_client_send(struct h1_client *a, struct span request);

/* Like relay_pump(), from the client to the app. */
MUST_USE enum relay_status h1_client_upload(struct h1_client *a, struct relay *up,
                                            struct client *from, const struct relay_front *front,
                                            uint64_t *moved);

/* Sends unsent output, as far as there is room. False: the connection is broken. */
MUST_USE bool h1_client_flush(struct h1_client *a);

/* The socket may have room. */
bool h1_client_is_writable(const struct h1_client *a);

/* Bytes of the request that the socket has not accepted. */
size_t h1_client_unsent(const struct h1_client *a);

/* Bytes that the socket has accepted and the app's kernel has not. One system call. */
size_t h1_client_unacked(const struct h1_client *a);

/* The socket has accepted a byte of the request. */
bool h1_client_accepted(const struct h1_client *a);

/* When to call h1_client_unacked() again: see conn_next_look(). */
mono_us h1_client_next_look(const struct h1_client *a, mono_us patience, mono_us due);

/* ---- the response ---- */

/* There may be unread input; the first is false once a short read has emptied the socket. */
bool h1_client_has_event(const struct h1_client *a);
bool h1_client_may_have_input(const struct h1_client *a);

/* Before any byte of the request is sent: the app has already sent something. */
MUST_USE bool h1_client_spoke_first(struct h1_client *a);

enum h1_head {
    H1_HEAD_DONE,        /* `head` is valid until more is read */
    H1_HEAD_WAIT,        /* on_event follows */
    H1_HEAD_UNSOLICITED, /* sent before a byte of the request was accepted: RFC 9112 section 9.2 */
    H1_HEAD_BAD,         /* not a response, or too long: `problem` says why */
    H1_HEAD_LOST,        /* the app has ended the connection */
};

/* Reads the next head, interim or final. */
MUST_USE enum h1_head h1_client_read_head(struct h1_client *a, const struct http_limits *limits,
                                          struct http_head *head, struct http_problem *problem);

/* Like relay_pump(), to the client; with `to` NULL, the body is discarded. */
MUST_USE enum relay_status h1_client_download(struct h1_client *a, struct relay *down,
                                              struct client *to, const struct relay_front *front,
                                              uint64_t *moved);

/* At the end of a task: see conn_save_input(). */
void h1_client_save_input(struct h1_client *a);
