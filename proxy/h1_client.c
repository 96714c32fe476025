/* See h1_client.h. */
#include "proxy/h1_client.h"

#include "proxy/client.h"
#include "proxy/conn.h"

static struct conn *conn_of(const struct h1_client *a)
{
    return upstream_socket(&a->lease);
}

void h1_client_init(struct h1_client *a, struct upstream *up, const struct budget *budget,
                    const struct upstream_handler *handler, void *arg)
{
    a->upstream = up;
    a->budget = budget;
    a->lease.handler = handler;
    a->lease.arg = arg;
}

/* ---- the connection ---- */

bool h1_client_open(struct h1_client *a, enum upstream_kind kind)
{
    return upstream_lease(a->upstream, &a->lease, kind);
}

void h1_client_return(struct h1_client *a, bool reusable)
{
    upstream_return(a->upstream, &a->lease, reusable);
}

void h1_client_drop(struct h1_client *a, bool asked)
{
    if (asked && h1_client_is_open(a) && h1_client_unsent(a) + h1_client_unacked(a) > 0)
        upstream_reset(a->upstream, &a->lease);
    else
        upstream_drop(a->upstream, &a->lease);
}

void h1_client_reset(struct h1_client *a)
{
    upstream_reset(a->upstream, &a->lease);
}

void h1_client_start_over(struct h1_client *a)
{
    upstream_drop(a->upstream, &a->lease);
    a->given = 0;
}

/* ---- the request ---- */

bool h1_client_send(struct h1_client *a, struct span request)
{
    if (!conn_send(conn_of(a), request, (struct span){NULL, 0}))
        return false;
    a->given += request.len;
    return true;
}

enum relay_status h1_client_upload(struct h1_client *a, struct relay *up, struct client *from,
                                   const struct relay_front *front, uint64_t *moved)
{
    enum relay_status st = relay_pump(up, client_conn(from), conn_of(a), front, moved);

    a->given += *moved;
    if (front != NULL && st != RELAY_RECEIVER_LOST)
        a->given += front->head.len;
    return st;
}

bool h1_client_flush(struct h1_client *a)
{
    return conn_flush(conn_of(a));
}

bool h1_client_is_writable(const struct h1_client *a)
{
    return conn_of(a)->writable;
}

size_t h1_client_unsent(const struct h1_client *a)
{
    return conn_backlog(conn_of(a));
}

size_t h1_client_unacked(const struct h1_client *a)
{
    return conn_unacked(conn_of(a));
}

bool h1_client_accepted(const struct h1_client *a)
{
    return h1_client_unsent(a) < a->given;
}

mono_us h1_client_next_look(const struct h1_client *a, mono_us patience, mono_us due)
{
    return conn_next_look(conn_of(a), patience, due);
}

/* ---- the response ---- */

bool h1_client_has_event(const struct h1_client *a)
{
    return conn_has_event(conn_of(a));
}

bool h1_client_may_have_input(const struct h1_client *a)
{
    return conn_of(a)->readable;
}

/* The end of the connection does not count; h1_client_read_head() finds it. */
bool h1_client_spoke_first(struct h1_client *a)
{
    return h1_client_has_event(a) && conn_fill(conn_of(a), LOOP_SCRATCH) == CONN_GOT;
}

/* H1_HEAD_WAIT: the input does not contain a complete head. */
static enum h1_head parse(struct h1_client *a, const struct http_limits *limits,
                          struct http_head *head, struct http_problem *problem)
{
    struct conn *from = conn_of(a);

    if (from->in.len == 0)
        return H1_HEAD_WAIT;
    if (!h1_client_accepted(a))
        return H1_HEAD_UNSOLICITED;
    a->response_begun = true;
    switch (http_parse_response(&a->parser, from->in.at, from->in.len, limits, head, problem)) {
    case HTTP_PARSE_MORE:
        return H1_HEAD_WAIT;
    case HTTP_PARSE_BAD:
        return H1_HEAD_BAD;
    case HTTP_PARSE_DONE:
        break;
    }
    conn_consume(from, head->whole.len);
    return H1_HEAD_DONE;
}

enum h1_head h1_client_read_head(struct h1_client *a, const struct http_limits *limits,
                                 struct http_head *head, struct http_problem *problem)
{
    struct conn *from = conn_of(a);

    for (;;) {
        enum h1_head found = parse(a, limits, head, problem);
        if (found != H1_HEAD_WAIT)
            return found;
        switch (conn_fill(from, budget_read_behind(a->budget, from->in.len, LOOP_SCRATCH))) {
        case CONN_GOT:
            continue;
        case CONN_WAIT:
            return H1_HEAD_WAIT;
        case CONN_FULL:
            problem->reason = "the response headers exceed upstream.max_head";
            return H1_HEAD_BAD;
        case CONN_EOF:
        case CONN_LOST:
            return H1_HEAD_LOST;
        }
    }
}

enum relay_status h1_client_download(struct h1_client *a, struct relay *down, struct client *to,
                                     const struct relay_front *front, uint64_t *moved)
{
    return relay_pump(down, conn_of(a), to != NULL ? client_conn(to) : NULL, front, moved);
}

void h1_client_save_input(struct h1_client *a)
{
    conn_save_input(conn_of(a));
}
