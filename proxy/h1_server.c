/* See h1_server.h. */
#include "proxy/h1_server.h"

#include <string.h>

#include "proxy/client.h"
#include "proxy/conn.h"
#include "proxy/http/body.h"
#include "proxy/http/rewrite.h"

/* client_conn() does not change its client. */
static struct conn *conn_of(const struct client *cl)
{
    return client_conn((struct client *)(uintptr_t)cl);
}

static bool send_one(struct client *cl, struct span bytes)
{
    return client_send(cl, bytes, (struct span){NULL, 0});
}

static char *compose_scratch(struct client *cl)
{
    return loop_scratch(conn_of(cl)->loop, LOOP_SCRATCH_COMPOSE);
}

/* ---- heads ---- */

bool h1_server_continue(struct client *cl)
{
    return send_one(cl, SPAN("HTTP/1.1 100 Continue\r\n\r\n"));
}

/* Writes the rewritten head to the scratch. */
static struct relay_front front_of(struct client *cl, const struct http_head *head,
                                   const struct http_response_rewrite *how)
{
    char *out = compose_scratch(cl);

    /* upstream.max_head leaves room for the added fields. */
    CHECK(http_rewrite_response_bound(head, how) <= LOOP_SCRATCH);
    size_t n = http_rewrite_response(head, how, out);
    return (struct relay_front){.head = {out, n}, .room = LOOP_SCRATCH - n};
}

bool h1_server_interim(struct client *cl, const struct http_head *head)
{
    const struct http_response_rewrite how = {0};

    return send_one(cl, front_of(cl, head, &how).head);
}

bool h1_server_reply(struct client *cl, const struct reply *reply)
{
    char *out = compose_scratch(cl);

    return send_one(cl, (struct span){out, reply_write(reply, out)});
}

/* HTTP/1.0 has no chunks: a body without a length ends with the connection. */
bool h1_server_ends_by_close(const struct relay *down)
{
    return down->decode || (down->body.framing == HTTP_BODY_UNTIL_CLOSE && !down->encode);
}

struct relay_front h1_server_respond(struct client *cl, const struct http_head *head,
                                     struct relay *down, struct h1_response *how)
{
    enum http_framing framing = down->body.framing;

    down->decode = framing == HTTP_BODY_CHUNKED && how->http10;
    down->encode = framing == HTTP_BODY_UNTIL_CLOSE && !how->http10;
    how->last = how->last || h1_server_ends_by_close(down);
    const struct http_response_rewrite rewrite = {
        .close = how->last,
        .say_keep_alive = how->http10 && !how->last,
        .drop_transfer_encoding = how->http10, /* also in responses without a body */
        .add_chunked = down->encode,
        .upgrade = head->status == 426 && head->has_upgrade,
        .request_id_name = how->request_id_name,
        .request_id = how->request_id,
        .server_timing = how->server_timing,
        .load = how->load,
        .date = how->date,
    };
    return front_of(cl, head, &rewrite);
}

bool h1_server_switch(struct client *cl, const struct http_head *head,
                      const struct h1_response *how)
{
    const struct http_response_rewrite rewrite = {.upgrade = true,
                                                  .request_id_name = how->request_id_name,
                                                  .request_id = how->request_id,
                                                  .load = how->load};

    return send_one(cl, front_of(cl, head, &rewrite).head);
}

/* ---- what the client has received ---- */

size_t h1_server_unread(const struct client *cl)
{
    return client_backlog(cl) + conn_unacked(conn_of(cl));
}

mono_us h1_server_next_look(const struct client *cl, mono_us patience)
{
    return conn_next_look(conn_of(cl), patience, MONO_NEVER);
}

/* ---- what the client has sent ---- */

size_t h1_server_kept(const struct client *cl)
{
    return conn_of(cl)->in.len;
}

enum h1_input h1_server_read(struct client *cl, const struct budget *budget)
{
    struct conn *from = conn_of(cl);

    switch (conn_fill(from, budget_read_behind(budget, from->in.len, LOOP_SCRATCH))) {
    case CONN_GOT:
    case CONN_FULL:
        return H1_INPUT_GOT;
    case CONN_WAIT:
        return H1_INPUT_WAIT;
    case CONN_EOF:
    case CONN_LOST:
        break;
    }
    return H1_INPUT_ENDED;
}

bool h1_server_is_read(const struct client *cl)
{
    return !conn_of(cl)->readable;
}

bool h1_server_peek(struct client *cl)
{
    struct conn *from = conn_of(cl);

    if (!conn_has_event(from) && !conn_peek(from))
        return false;
    from->readable = true;
    from->drained = false;
    return true;
}

void h1_server_save_input(struct client *cl)
{
    conn_save_input(conn_of(cl));
}

bool h1_server_begins_with_head(const struct client *cl)
{
    struct span in = conn_of(cl)->in;

    if (in.len >= 2 && memcmp(in.at, "\r\n", 2) == 0)
        in = (struct span){in.at + 2, in.len - 2};
    return in.len >= 5 && memcmp(in.at, "HEAD ", 5) == 0;
}
