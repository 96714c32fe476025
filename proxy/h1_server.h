/*
 * The client's side of an exchange over HTTP/1: sends one response, framed for the client, and
 * reports how much the client has received. client.h handles the connection and its sequence of
 * requests. The exchange sees no socket and writes no HTTP itself. Functions that send return false
 * if the client is lost; the caller then calls client_abort(). Loop thread only.
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

/* Sends weir's own "100 Continue". */
MUST_USE bool h1_server_continue(struct client *cl);

/* Sends an interim response from the app. */
MUST_USE bool h1_server_interim(struct client *cl, const struct http_head *head);

/* Sends a local reply. */
MUST_USE bool h1_server_reply(struct client *cl, const struct reply *reply);

/* Additions to a response's head. Empty spans add nothing. */
struct h1_response {
    bool http10; /* the client speaks HTTP/1.0, which has no chunks */
    bool last;   /* the connection ends with it; h1_server_respond() may set it */
    struct span request_id_name, request_id, server_timing, date;
    const struct span_pair *load; /* or NULL */
};

/*
 * Chooses the framing of the final response's body, stored in *down, and whether the connection can
 * outlive the response, stored in how->last. The head is in the loop's compose scratch;
 * h1_client_download() sends it in front of the first bytes of the body.
 */
MUST_USE struct relay_front h1_server_respond(struct client *cl, const struct http_head *head,
                                              struct relay *down, struct h1_response *how);

/* Whether only the end of the connection tells the client that the body is complete. */
bool h1_server_ends_by_close(const struct relay *down);

/* 101: passes the upgrade on. */
MUST_USE bool h1_server_switch(struct client *cl, const struct http_head *head,
                               const struct h1_response *how);

/* ---- what the client has received ---- */

/* Bytes that neither the socket nor the client's kernel has accepted. One system call. */
size_t h1_server_unread(const struct client *cl);

/* When to call h1_server_unread() again: see conn_next_look(). */
mono_us h1_server_next_look(const struct client *cl, mono_us patience);

/* ---- what the client has sent ---- */

/* Bytes that have been read but not used yet: the start of the body, or the next request. */
size_t h1_server_kept(const struct client *cl);

enum h1_input {
    H1_INPUT_GOT,   /* more is kept than before */
    H1_INPUT_WAIT,  /* on_input follows */
    H1_INPUT_ENDED, /* no more will arrive */
};

/* Reads once. */
MUST_USE enum h1_input h1_server_read(struct client *cl, const struct budget *budget);

/* Whether everything that has arrived has been read. */
bool h1_server_is_read(const struct client *cl);

/* Whether anything has arrived, even if its event is still pending; h1_server_read() reads it. */
bool h1_server_peek(struct client *cl);

/* At the end of a task: see conn_save_input(). */
void h1_server_save_input(struct client *cl);

/* Whether the invalid input starts like a HEAD request: a reply to it has no body. */
bool h1_server_begins_with_head(const struct client *cl);
