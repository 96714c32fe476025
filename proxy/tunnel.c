/* See tunnel.h. Stateless but for struct tunnel, which its owner embeds. */
#include "proxy/tunnel.h"

#include "proxy/client.h"
#include "proxy/conn.h"
#include "proxy/upstream.h"

#define PUMP_FILLS 8 /* in each direction, then other connections get their turn */

void tunnel_init(struct tunnel *t, struct client *cl, struct upstream_lease *app,
                 const struct budget *budget, size_t mark, bool websocket)
{
    *t = (struct tunnel){.client = client_conn(cl),
                         .app = upstream_socket(app),
                         .budget = budget,
                         .mark = mark,
                         .websocket = websocket};
}

void tunnel_leave(struct tunnel *t)
{
    t->leaving = true;
}

bool tunnel_app_is_lost(struct tunnel *t)
{
    return !conn_flush(t->app) && t->app->cut;
}

/* The part of the app's input that the client gets: while it leaves, only up to a boundary. */
static struct span for_client(struct tunnel *t)
{
    struct span in = t->app->in;

    if (t->left)
        in.len = 0;
    else if (t->websocket && t->leaving && !t->frames.closed)
        in.len = ws_take_to_boundary(&t->frames, in);
    else if (t->websocket)
        ws_take(&t->frames, in);
    return in;
}

/* Passes on what has been read. False: the receiver is lost. */
static bool pass_input(struct tunnel *t, struct conn *from, struct conn *to)
{
    struct span in = from == t->app ? for_client(t) : from->in, end = {NULL, 0};

    if (from == t->app && t->leaving && !t->left && ws_at_boundary(&t->frames)) {
        t->left = true;
        end = WS_CLOSE_GOING_AWAY;
    }
    return in.len + end.len == 0 || conn_send(to, in, end);
}

/* One direction, as far as possible. OPEN: until more arrives, or `to` takes more. */
static enum tunnel_status pass(struct tunnel *t, struct conn *from, struct conn *to, bool *ended,
                               uint64_t *moved)
{
    for (int fills = 0; !*ended; fills++) {
        size_t n = from->in.len;
        if (!pass_input(t, from, to))
            return TUNNEL_LOST;
        conn_consume(from, n);
        *moved += n;
        if (conn_backlog(to) >= budget_mark(t->budget, t->mark))
            return TUNNEL_OPEN;
        if (fills == PUMP_FILLS)
            return TUNNEL_BUSY;
        switch (conn_fill(from, budget_read(t->budget, LOOP_SCRATCH))) {
        case CONN_GOT:
        case CONN_FULL:
            continue;
        case CONN_WAIT:
            return TUNNEL_OPEN;
        case CONN_EOF:
            *ended = true;
            continue;
        case CONN_LOST:
            return TUNNEL_LOST;
        }
    }
    return TUNNEL_OPEN;
}

/* The app has closed cleanly, and was sent more (see note_error() in conn.c). */
static bool app_has_closed(const struct tunnel *t)
{
    return t->app->broken && !t->app->cut;
}

static void tell_end(bool ended, struct conn *to, bool *told)
{
    if (!ended || *told || conn_backlog(to) > 0)
        return;
    *told = true;
    conn_shutdown(to);
}

static enum tunnel_status pump(struct tunnel *t)
{
    enum tunnel_status up = pass(t, t->client, t->app, &t->client_ended, &t->from_client);
    if (app_has_closed(t))
        t->client_ended = t->app_told = true; /* the app does not accept what the client sends */
    else if (up == TUNNEL_LOST)
        return TUNNEL_LOST;
    enum tunnel_status down = pass(t, t->app, t->client, &t->app_ended, &t->from_app);
    if (down == TUNNEL_LOST)
        return TUNNEL_LOST;
    tell_end(t->client_ended, t->app, &t->app_told);
    tell_end(t->app_ended, t->client, &t->client_told);
    if (t->client_told && t->app_told)
        return TUNNEL_ENDED;
    return up == TUNNEL_BUSY || down == TUNNEL_BUSY ? TUNNEL_BUSY : TUNNEL_OPEN;
}

enum tunnel_status tunnel_pump(struct tunnel *t, uint64_t *moved)
{
    uint64_t before = t->from_client + t->from_app;
    enum tunnel_status st = pump(t);

    *moved = t->from_client + t->from_app - before;
    return st;
}
