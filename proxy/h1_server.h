/*
 * The client's side of an exchange over HTTP/1: what is sent to the client and how it is framed,
 * and how much it has taken. client.h is the connection and its requests, one after the other; here
 * is one response to one of them. The exchange sees no socket and writes no byte of HTTP.
 * Functions that send return false when the client is lost: client_abort() follows. Loop thread
 * only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/check.h"
#include "common/clock.h"
#include "common/span.h"
#include "proxy/budget.h"
#include "proxy/http/head.h"
#include "proxy/relay.h"
#include "proxy/reply.h"

struct client;

/* ---- heads ---- */

/* "100 Continue" by weir itself. */
MUST_USE bool h1_server_continue(struct client *cl);

/* An interim response of the app, as it came. */
MUST_USE bool h1_server_interim(struct client *cl, const struct http_head *head);

/* A local reply, whole. */
MUST_USE bool h1_server_reply(struct client *cl, const struct reply *reply);

/* What a response's head says beside what the app said. Empty spans add nothing. */
struct h1_response {
    bool http10; /* the client's version: it knows no chunks */
    bool last;   /* the connection ends with it. May be set by h1_server_respond() */
    struct span request_id_name, request_id, server_timing, date;
};

/*
 * Chooses the framing of the final response's body, which is in *down from now on, and whether the
 * connection can outlive it, which is in how->last. The head is in the loop's compose scratch: it
 * is sent in front of the body's first bytes, h1_client_download().
 */
MUST_USE struct relay_front h1_server_respond(struct client *cl, const struct http_head *head,
                                              struct relay *down, struct h1_response *how);

/* Nothing but the connection's end tells the client that the body is complete. */
bool h1_server_ends_by_close(const struct relay *down);

/* 101: the upgrade is passed on. */
MUST_USE bool h1_server_switch(struct client *cl, const struct http_head *head,
                               const struct h1_response *how);

/* ---- what the client has taken ---- */

/* Bytes that neither the socket nor the client's kernel has taken. One system call. */
size_t h1_server_unread(const struct client *cl);

/* When to ask h1_server_unread() again: conn_next_look(). */
mono_us h1_server_next_look(const struct client *cl, mono_us patience);

/* ---- what it has sent ---- */

/* Bytes that were read and not used: the body's beginning, or the next request. */
size_t h1_server_kept(const struct client *cl);

enum h1_input {
    H1_INPUT_GOT,   /* more is kept than before */
    H1_INPUT_WAIT,  /* on_input follows */
    H1_INPUT_ENDED, /* no more will ever arrive */
};

/* Reads once. */
MUST_USE enum h1_input h1_server_read(struct client *cl, const struct budget *budget);

/* All that has arrived was read. */
bool h1_server_is_read(const struct client *cl);

/* Looks whether something has arrived, whose event may be pending; h1_server_read() finds it. */
bool h1_server_peek(struct client *cl);

/* At the end of a task: conn_save_input(). */
void h1_server_save_input(struct client *cl);

/* What is no request begins as one with HEAD: a reply to it has no body. */
bool h1_server_begins_with_head(const struct client *cl);
