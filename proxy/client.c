/* See client.h. One struct client per connection, in the list of its loop's struct clients. */
#include "proxy/client.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "proxy/conn.h"

#define PUMP_REQUESTS 32 /* served in one go, before other connections get their turn */
#define LINGER_US     1000000
#define LINGER_LOOK   (LINGER_US / 4)
#define DISCARD_FILLS 4       /* in one go: 256 KiB */
#define ROOM_LOOKS    8       /* connections that may have to make room, checked in one go */
#define REST_US       1000000 /* in a drain: how long a connection may be without a request */
#define SEND_PACE     500     /* bytes per second; a client that reads less counts as not reading */

enum client_state { CLIENT_READING, CLIENT_SERVED, CLIENT_CLOSING, CLIENT_GONE };

TAILQ_HEAD(client_list, client);

struct client {
    struct conn conn;
    struct clients *clients;
    TAILQ_ENTRY(client) link;
    TAILQ_ENTRY(client) wait;
    struct client_list *waits; /* the list that `wait` links it into, or NULL */
    mono_us since;             /* when it joined that list */
    struct loop_timer timer;
    struct loop_deferred deferred;
    struct task again; /* posted to its own loop: continue reading */
    void *served;      /* the handler's object, while SERVED */
    struct http_parser parser;
    mono_us began; /* time of the first byte of the current head; 0: none yet */
    enum client_state state;
    mono_us cut_at;      /* cut off then, unless it has received more */
    mono_us quiet_since; /* CLOSING: has had everything and sent nothing since then */
    size_t unacked;      /* not taken by the peer when the timer was armed */
    bool pumping, fresh, trusted, hurried;
    bool half_closes;            /* its FIN ends one direction only */
    bool discards;               /* SERVED: input is discarded */
    bool shut;                   /* CLOSING: the FIN has been sent */
    bool has_all;                /* CLOSING: its kernel has acknowledged the response and the FIN */
    bool again_posted, released; /* both: the posted task frees the memory */
    char address[INET6_ADDRSTRLEN];
};

struct clients {
    struct loop *loop;
    struct stats_shard *stats;
    const struct config *config;
    struct budget *budget;
    const struct client_handler *handler;
    void *env;
    struct client_list list;
    struct client_list reading, lingering; /* longest wait first */
    _Atomic mono_us longest_since;         /* the earliest of both; MONO_NEVER: both are empty */
    size_t count;
    bool draining;
    mono_us draining_since;
    struct http_limits limits;
    struct http_head head; /* of the request being handed over */
};

static void client_pump(struct client *cl);
static void post_again(struct client *cl);
static void linger_until(struct client *cl, mono_us end);
static void client_end(struct client *cl, bool reset);

static mono_us now_of(const struct client *cl)
{
    return loop_now(cl->conn.loop);
}

/* ---- the clients of a loop ---- */

static void use_config(struct clients *cs, const struct config *config)
{
    cs->config = config;
    cs->limits.max_head = config->client.max_head;
    cs->limits.max_fields = config->client.max_headers;
}

struct clients *clients_new(struct loop *lp, struct stats_shard *stats, const struct config *config,
                            struct budget *budget, const struct client_handler *handler, void *env)
{
    struct clients *cs = calloc(1, sizeof(*cs));

    CHECK(cs != NULL);
    cs->loop = lp;
    cs->stats = stats;
    use_config(cs, config);
    cs->budget = budget;
    cs->handler = handler;
    cs->env = env;
    TAILQ_INIT(&cs->list);
    TAILQ_INIT(&cs->reading);
    TAILQ_INIT(&cs->lingering);
    atomic_init(&cs->longest_since, MONO_NEVER);
    return cs;
}

void clients_free(struct clients *cs)
{
    if (cs == NULL)
        return;
    clients_cut(cs);
    free(cs);
}

/* Its edge may not be delivered yet. A request that has arrived is served, unless the client has
 * left. */
static void read_afresh(struct client *cl)
{
    conn_look_for_end(&cl->conn);
    cl->conn.readable = true;
    cl->conn.drained = false;
    client_pump(cl);
}

static void read_all_afresh(struct clients *cs)
{
    struct client *next;

    for (struct client *cl = TAILQ_FIRST(&cs->list); cl != NULL; cl = next) {
        next = TAILQ_NEXT(cl, link);
        if (cl->state == CLIENT_READING)
            read_afresh(cl);
    }
}

/* On Linux, an RST from us does not destroy what the client's kernel has acknowledged. */
static void shorten_lingering(struct clients *cs)
{
    for (struct client *cl = TAILQ_FIRST(&cs->list); cl != NULL; cl = TAILQ_NEXT(cl, link)) {
        if (cl->has_all)
            linger_until(cl, now_of(cl) + LINGER_US);
    }
}

void clients_drain(struct clients *cs)
{
    cs->draining = true;
    cs->draining_since = loop_now(cs->loop);
    shorten_lingering(cs);
    read_all_afresh(cs);
}

void clients_undrain(struct clients *cs)
{
    cs->draining = false;
    read_all_afresh(cs); /* starts client.keepalive_timeout */
}

void clients_cut(struct clients *cs)
{
    struct client *cl;

    while ((cl = TAILQ_FIRST(&cs->list)) != NULL) {
        if (cl->state == CLIENT_SERVED)
            cs->handler->on_gone(cl, cl->served);
        client_end(cl, !cl->shut); /* the kernel delivers what was sent before the FIN */
    }
}

size_t clients_count(const struct clients *cs)
{
    return cs->count;
}

/* ---- states ---- */

static void publish_longest(struct clients *cs)
{
    const struct client *lingering = TAILQ_FIRST(&cs->lingering);
    const struct client *reading = TAILQ_FIRST(&cs->reading);
    mono_us since = reading != NULL ? reading->since : MONO_NEVER;

    if (lingering != NULL && lingering->since < since)
        since = lingering->since;
    atomic_store_explicit(&cs->longest_since, since, memory_order_relaxed);
}

/* Starts the wait for the client, in `list`; NULL: the wait is over. */
static void wait_in(struct client *cl, struct client_list *list)
{
    if (cl->waits != NULL)
        TAILQ_REMOVE(cl->waits, cl, wait);
    cl->waits = list;
    if (list != NULL) {
        cl->since = now_of(cl);
        TAILQ_INSERT_TAIL(list, cl, wait);
    }
    publish_longest(cl->clients);
}

static void enter(struct client *cl, enum client_state next)
{
    struct stats_shard *stats = cl->clients->stats;

    if (cl->state == CLIENT_SERVED)
        stats_connection(stats, STATS_CLIENT, STATS_ACTIVE, -1);
    else
        stats_connection(stats, STATS_CLIENT, STATS_IDLE, -1);
    cl->state = next;
    wait_in(cl, next == CLIENT_READING ? &cl->clients->reading : NULL);
    if (next == CLIENT_GONE)
        return;
    stats_connection(stats, STATS_CLIENT, next == CLIENT_SERVED ? STATS_ACTIVE : STATS_IDLE, 1);
}

static void release_memory(struct loop_deferred *d, struct loop *lp)
{
    struct client *cl = CONTAINER_OF(d, struct client, deferred);

    cl->released = true;
    if (cl->again_posted) /* its task is still queued: on_again() frees the memory */
        return;
    pool_put(loop_pool(lp), cl, sizeof(*cl));
}

/* Accounts for input that cannot be served yet, and output that the client does not read yet. */
static void kept_changed(struct client *cl, enum stats_what what, int64_t change)
{
    if (change == 0)
        return;
    stats_buffered(cl->clients->stats, what, change);
    budget_change(cl->clients->budget, change);
}

static void client_end(struct client *cl, bool reset)
{
    struct clients *cs = cl->clients;

    kept_changed(cl, STATS_RESPONSE, -(int64_t)cl->conn.backlog);
    conn_close(&cl->conn, reset);
    loop_timer_fini(&cl->timer);
    enter(cl, CLIENT_GONE);
    TAILQ_REMOVE(&cs->list, cl, link);
    cs->count--;
    cl->deferred.release = release_memory;
    loop_defer_free(cs->loop, &cl->deferred);
    cs->handler->on_ended(cs->env);
}

static void gone(struct client *cl)
{
    cl->clients->handler->on_gone(cl, cl->served);
    client_end(cl, true);
}

/* ---- the end of a connection ---- */

/* Discards received input. A close with unread bytes, or before bytes that are still in transit,
 * sends an RST, and the client loses what it has not yet received of its response. */
static enum conn_fill discard(struct client *cl)
{
    enum conn_fill fill = CONN_GOT;

    conn_consume(&cl->conn, cl->conn.in.len);
    for (int fills = 0; fills < DISCARD_FILLS && fill == CONN_GOT; fills++) {
        fill = conn_fill(&cl->conn, LOOP_SCRATCH);
        if (cl->conn.in.len > 0)
            cl->quiet_since = now_of(cl);
        conn_consume(&cl->conn, cl->conn.in.len);
    }
    conn_save_input(&cl->conn);
    if (fill == CONN_GOT)
        post_again(cl);
    return fill;
}

static void look_again(struct client *cl)
{
    mono_us patience = cl->clients->config->client.send_timeout;
    mono_us next = conn_next_look(&cl->conn, patience, cl->cut_at);

    if (cl->shut && next > now_of(cl) + LINGER_LOOK)
        next = now_of(cl) + LINGER_LOOK;
    loop_timer_arm(cl->conn.loop, &cl->timer, next);
}

/* Starts client.send_timeout, after which a client that reads none of its output is cut off. */
static void watch_taking(struct client *cl)
{
    cl->unacked = conn_unacked(&cl->conn);
    cl->cut_at = now_of(cl) + cl->clients->config->client.send_timeout;
    look_again(cl);
}

/* False: client.send_timeout has expired. */
static bool still_takes(struct client *cl)
{
    mono_us timeout = cl->clients->config->client.send_timeout;

    if (conn_unacked(&cl->conn) + client_least(timeout) < cl->unacked)
        watch_taking(cl);
    else if (now_of(cl) < cl->cut_at)
        look_again(cl);
    else
        return false;
    return true;
}

static void on_backlog(struct conn *c, size_t before)
{
    struct client *cl = CONTAINER_OF(c, struct client, conn);

    kept_changed(cl, STATS_RESPONSE, (int64_t)c->backlog - (int64_t)before);
    if (c->backlog > 0 && (before == 0 || c->backlog < before))
        watch_taking(cl);
}

static void on_stash(struct conn *c, size_t before)
{
    struct client *cl = CONTAINER_OF(c, struct client, conn);
    kept_changed(cl, STATS_REQUEST, (int64_t)c->stash_size - (int64_t)before);
}

/* Ends lingering at `end`, unless it is due to end sooner. */
static void linger_until(struct client *cl, mono_us end)
{
    if (cl->cut_at > end)
        cl->cut_at = end;
    look_again(cl);
}

/*
 * The FIN has been sent. Until the client has acknowledged it and everything before it, its pace is
 * judged as before. Then the client may see the end and close; while it keeps sending, it gets
 * client.send_timeout at most. A drain does not wait that long: on Linux, an RST from us does not
 * destroy what the client's kernel has acknowledged; on other systems it may.
 */
static void linger(struct client *cl)
{
    mono_us now = now_of(cl), most = cl->clients->config->client.send_timeout;

    if (!cl->has_all && conn_unacked(&cl->conn) > 0) {
        if (!still_takes(cl))
            client_end(cl, true);
        return;
    }
    if (!cl->has_all) {
        cl->has_all = true;
        cl->quiet_since = now;
        cl->cut_at = now + (most > LINGER_US && !cl->clients->draining ? most : LINGER_US);
    }
    if (now >= cl->cut_at || now >= cl->quiet_since + LINGER_US)
        client_end(cl, false);
    else
        look_again(cl);
}

static void begin_linger(struct client *cl)
{
    cl->shut = true;
    wait_in(cl, &cl->clients->lingering);
    conn_shutdown(&cl->conn);
    cl->unacked = SIZE_MAX; /* measured only after the client has had time to receive it */
    cl->cut_at = now_of(cl) + cl->clients->config->client.send_timeout;
    look_again(cl);
}

static void continue_closing(struct client *cl)
{
    if (!conn_flush(&cl->conn)) {
        client_end(cl, true);
        return;
    }
    if (cl->conn.backlog == 0 && !cl->shut)
        begin_linger(cl);
    enum conn_fill fill = discard(cl);
    /* After the client's FIN nothing arrives that causes an RST: the kernel delivers the rest. */
    if (fill == CONN_LOST || (cl->shut && (fill == CONN_EOF || cl->hurried)))
        client_end(cl, false);
}

void client_close(struct client *cl)
{
    if (cl->state != CLIENT_CLOSING)
        enter(cl, CLIENT_CLOSING);
    if (cl->pumping) /* the pump sees the state, and finishes */
        return;
    continue_closing(cl);
}

void client_hurry(struct client *cl)
{
    cl->hurried = true;
}

void client_abort(struct client *cl, bool reset)
{
    client_end(cl, reset);
}

void client_discard(struct client *cl)
{
    CHECK(cl->state == CLIENT_SERVED);
    if (cl->discards)
        return;
    cl->discards = true;
    post_again(cl); /* for input that has already arrived */
}

/* No request is being served, but the client may not have all of the previous response yet. */
static void close_idle(struct client *cl)
{
    if (conn_unacked(&cl->conn) > 0)
        client_close(cl);
    else
        client_end(cl, false);
}

/* ---- reading heads ---- */

static void refuse(struct client *cl, const struct http_problem *problem)
{
    struct clients *cs = cl->clients;

    enter(cl, CLIENT_CLOSING);
    cs->handler->on_refuse(cl, problem, cs->env);
}

/* The CRLF that some clients send after a body (RFC 9112 section 2.2): no request has begun. */
static bool only_line_ends(struct span s)
{
    return (s.len == 1 && s.at[0] == '\r') || (s.len == 2 && s.at[0] == '\r' && s.at[1] == '\n');
}

/* False: more bytes are needed first. */
static bool take_head(struct client *cl)
{
    struct clients *cs = cl->clients;
    struct http_problem problem;
    bool begins = cl->began == 0 && !only_line_ends(cl->conn.in);

    if (begins)
        cl->began = now_of(cl);
    switch (http_parse_request(&cl->parser, cl->conn.in.at, cl->conn.in.len, &cs->limits,
                               span_of(cs->config->headers.request_id), &cs->head, &problem)) {
    case HTTP_PARSE_MORE:
        if (begins)
            wait_in(cl, &cs->reading);
        return false;
    case HTTP_PARSE_BAD:
        refuse(cl, &problem);
        return true;
    case HTTP_PARSE_DONE:
        break;
    }
    const char *end = cs->head.whole.at + cs->head.whole.len;
    cl->fresh = false;
    enter(cl, CLIENT_SERVED);
    loop_timer_stop(&cl->timer);
    conn_consume(&cl->conn, (size_t)(end - cl->conn.in.at));
    cs->handler->on_request(cl, &cs->head, cs->env);
    return true;
}

/* In a drain: when the connection is closed if no request begins. */
static mono_us rests_until(const struct client *cl)
{
    const struct clients *cs = cl->clients;

    if (!cs->draining)
        return MONO_NEVER;
    bool kept = !cl->fresh && cl->since < cs->draining_since;
    return kept ? cl->since : cl->since + REST_US;
}

/* `since`: when the wait began, if no byte has arrived. */
static void wait_for_head_since(struct client *cl, mono_us since)
{
    const struct config *cf = cl->clients->config;
    mono_us due;

    if (cl->began != 0)
        due = cl->began + cf->client.head_timeout;
    else
        due = since + (cl->fresh ? cf->client.head_timeout : cf->client.keepalive_timeout);
    if (cl->began == 0 && rests_until(cl) < due)
        due = rests_until(cl);
    loop_timer_arm(cl->conn.loop, &cl->timer, due);
}

static void wait_for_head(struct client *cl)
{
    wait_for_head_since(cl, now_of(cl));
}

/* ---- a new configuration ---- */

static bool is_trusted_now(const struct client *cl)
{
    const struct config *cf = cl->clients->config;
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    const struct sockaddr none = {.sa_family = AF_UNIX};
    struct span text = span_of(cl->address);

    if (text.len == 0)
        return config_trusts(cf, &none);
    if (address_parse_ip(AF_INET, text, &v4.sin_addr))
        return config_trusts(cf, (const struct sockaddr *)&v4);
    return address_parse_ip(AF_INET6, text, &v6.sin6_addr) &&
           config_trusts(cf, (const struct sockaddr *)&v6);
}

void clients_configure(struct clients *cs, const struct config *config)
{
    bool allowed = cs->config->client.half_close == CONFIG_HALF_CLOSE_ALLOW;
    struct client *cl;

    use_config(cs, config);
    for (cl = TAILQ_FIRST(&cs->list); cl != NULL; cl = TAILQ_NEXT(cl, link)) {
        cl->trusted = is_trusted_now(cl);
        if (allowed && cl->conn.hung_up)
            cl->half_closes = true; /* as it was when it arrived */
        if (cl->state != CLIENT_READING)
            continue;
        cl->parser = (struct http_parser){0}; /* what is there may exceed the new limits already */
        wait_for_head_since(cl, cl->since);
    }
}

static void post_again(struct client *cl)
{
    if (cl->again_posted)
        return;
    cl->again_posted = true;
    loop_post(cl->conn.loop, &cl->again);
}

/* Requests after the current one are kept until it is finished; only a little of them when the
 * budget is spent. A head that has begun is always read further, up to max_head. */
static size_t reads_at_most(const struct client *cl)
{
    size_t most = cl->conn.in.len + budget_read(cl->clients->budget, LOOP_SCRATCH);
    return most < LOOP_SCRATCH ? most : LOOP_SCRATCH;
}

/* Reads until the socket is empty or a head is complete. */
static void read_heads(struct client *cl)
{
    for (int n = 0; cl->state == CLIENT_READING;) {
        if (cl->conn.in.len > 0 && take_head(cl)) {
            if (++n == PUMP_REQUESTS && cl->state == CLIENT_READING) {
                post_again(cl);
                return;
            }
            continue;
        }
        bool nothing_new = cl->conn.in.len == 0 && !conn_has_event(&cl->conn);
        enum conn_fill fill = nothing_new ? CONN_WAIT : conn_fill(&cl->conn, reads_at_most(cl));
        if (fill == CONN_GOT)
            continue;
        if (fill != CONN_WAIT)
            client_end(cl, false);
        else if (cl->began == 0 && now_of(cl) >= rests_until(cl))
            close_idle(cl);
        return;
    }
}

static void client_pump(struct client *cl)
{
    cl->pumping = true;
    read_heads(cl);
    cl->pumping = false;
    if (cl->state == CLIENT_GONE)
        return;
    if (cl->state == CLIENT_CLOSING) {
        continue_closing(cl);
        return;
    }
    conn_save_input(&cl->conn);
    if (cl->state == CLIENT_READING)
        wait_for_head(cl);
}

/* ---- making room for a new client ---- */

static bool has_waited(const struct client *cl)
{
    return cl != NULL && now_of(cl) - cl->since >= CLIENT_ROOM_AFTER_US;
}

/* Ends it if the client has all of its last response; otherwise moves it after the others. */
static bool end_lingering(struct client *cl)
{
    if (!cl->has_all && conn_unacked(&cl->conn) > 0) {
        wait_in(cl, &cl->clients->lingering);
        return false;
    }
    stats_evicted(cl->clients->stats);
    client_end(cl, false);
    return true;
}

/*
 * An idle connection ends with a plain FIN, as at client.keepalive_timeout. A head that has begun
 * gets a response: it tells the client that the request was not passed on and may be sent again
 * (RFC 9110 section 15.5.9).
 */
static void end_reading(struct client *cl)
{
    static const struct http_problem crowded = {408, "closed to make room for a new client"};

    if (cl->began == 0) {
        close_idle(cl);
    } else {
        client_hurry(cl);
        refuse(cl, &crowded);
    }
    if (cl->state == CLIENT_GONE)
        stats_evicted(cl->clients->stats);
}

/* True: the client is gone. */
static bool give_way(struct client *cl)
{
    mono_us since = cl->since;

    if (cl->again_posted || conn_has_event(&cl->conn) || conn_peek(&cl->conn))
        read_afresh(cl);
    if (cl->state == CLIENT_READING && cl->since == since)
        end_reading(cl);
    return cl->state == CLIENT_GONE;
}

bool clients_make_room(struct clients *cs)
{
    struct client *cl = TAILQ_FIRST(&cs->lingering);

    if (has_waited(cl) && end_lingering(cl))
        return true;
    for (int i = 0; i < ROOM_LOOKS; i++) {
        cl = TAILQ_FIRST(&cs->reading);
        if (!has_waited(cl))
            return false;
        if (give_way(cl))
            return true;
    }
    return false;
}

bool clients_have_room(const struct clients *cs, mono_us now)
{
    mono_us since = atomic_load_explicit(&cs->longest_since, memory_order_relaxed);
    return since <= now - CLIENT_ROOM_AFTER_US;
}

/* ---- serving ---- */

static void continue_serving(struct client *cl)
{
    const struct client_handler *h = cl->clients->handler;
    bool kept = cl->conn.backlog > 0;

    if (conn_has_event(&cl->conn) && cl->discards)
        discard(cl);
    else if (conn_has_event(&cl->conn))
        h->on_input(cl, cl->served);
    if (cl->state != CLIENT_SERVED)
        return;
    if (conn_has_event(&cl->conn)) /* unread bytes, or an RST that no read has seen yet */
        conn_check_broken(&cl->conn);
    if (client_left(cl)) {
        gone(cl);
        return;
    }
    if (!conn_flush(&cl->conn))
        gone(cl);
    else if (kept && cl->conn.backlog == 0)
        h->on_drained(cl, cl->served);
}

static void on_event(struct conn *c)
{
    struct client *cl = CONTAINER_OF(c, struct client, conn);

    switch (cl->state) {
    case CLIENT_READING:
        client_pump(cl);
        return;
    case CLIENT_SERVED:
        continue_serving(cl);
        if (cl->state == CLIENT_SERVED)
            conn_save_input(c);
        return;
    case CLIENT_CLOSING:
        continue_closing(cl);
        return;
    case CLIENT_GONE:
        return;
    }
}

static void on_again(struct task *task)
{
    struct client *cl = CONTAINER_OF(task, struct client, again);

    cl->again_posted = false;
    if (cl->released)
        pool_put(loop_pool(cl->conn.loop), cl, sizeof(*cl));
    else if (cl->state != CLIENT_SERVED || cl->discards)
        on_event(&cl->conn);
}

/* In a drain, a request that has arrived by now is served, even if its event is still pending. */
static void end_idle(struct client *cl)
{
    mono_us since = cl->since;

    if (cl->clients->draining)
        read_afresh(cl);
    if (cl->state == CLIENT_READING && cl->began == 0 && cl->since == since)
        close_idle(cl);
}

static void on_timer(void *arg)
{
    static const struct http_problem slow = {408, "the request headers did not arrive in time"};
    struct client *cl = arg;

    switch (cl->state) {
    case CLIENT_READING:
        if (cl->began == 0)
            end_idle(cl);
        else
            refuse(cl, &slow);
        return;
    case CLIENT_SERVED:
        if (cl->conn.backlog > 0 && !still_takes(cl))
            gone(cl);
        return;
    case CLIENT_CLOSING:
        if (cl->shut)
            linger(cl);
        else if (!still_takes(cl))
            client_end(cl, true);
        return;
    case CLIENT_GONE:
        return;
    }
}

/* ---- calls from the handler ---- */

static const struct conn_handler conn_handler = {
    .on_event = on_event, .on_backlog = on_backlog, .on_stash = on_stash};

void client_accept(struct clients *cs, int fd, const struct sockaddr *sa)
{
    struct client *cl = pool_get(loop_pool(cs->loop), sizeof(*cl));

    memset(cl, 0, sizeof(*cl));
    cl->clients = cs;
    cl->fresh = true;
    cl->again.run = on_again;
    cl->trusted = config_trusts(cs->config, sa);
    address_ip_text(sa, cl->address);
    loop_timer_init(&cl->timer, on_timer, cl);
    if (!conn_open(&cl->conn, cs->loop, fd, LOOP_SCRATCH_CLIENT, &conn_handler, false)) {
        pool_put(loop_pool(cs->loop), cl, sizeof(*cl));
        cs->handler->on_ended(cs->env);
        return;
    }
    TAILQ_INSERT_TAIL(&cs->list, cl, link);
    cs->count++;
    cl->state = CLIENT_READING;
    stats_connection(cs->stats, STATS_CLIENT, STATS_IDLE, 1);
    wait_in(cl, &cs->reading);
    wait_for_head(cl);
}

void client_serve(struct client *cl, void *served)
{
    cl->served = served;
}

void client_tunnel(struct client *cl)
{
    CHECK(cl->state == CLIENT_SERVED);
    cl->half_closes = true;
}

void client_next(struct client *cl)
{
    CHECK(cl->state == CLIENT_SERVED && cl->conn.backlog == 0);
    if (client_left(cl)) {
        client_close(cl);
        return;
    }
    enter(cl, CLIENT_READING);
    cl->served = NULL;
    cl->began = 0;
    cl->parser = (struct http_parser){0};
    if (cl->pumping)
        return;
    if (cl->conn.in.len > 0 || conn_has_event(&cl->conn))
        post_again(cl);
    wait_for_head(cl);
}

bool client_send(struct client *cl, struct span a, struct span b)
{
    return conn_send(&cl->conn, a, b);
}

size_t client_backlog(const struct client *cl)
{
    return cl->conn.backlog;
}

size_t client_least(mono_us within)
{
    return (size_t)(within / 1000) * SEND_PACE / 1000;
}

struct conn *client_conn(struct client *cl)
{
    return &cl->conn;
}

struct span client_address(const struct client *cl)
{
    return span_of(cl->address);
}

struct span client_name(const struct client *cl)
{
    return cl->address[0] != '\0' ? span_of(cl->address) : SPAN("on a Unix socket");
}

bool client_trusted(const struct client *cl)
{
    return cl->trusted;
}

mono_us client_began(const struct client *cl)
{
    return cl->began;
}

bool client_peek(struct client *cl)
{
    if (!client_left(cl))
        conn_peek(&cl->conn);
    return !client_left(cl);
}

bool client_left(const struct client *cl)
{
    if (cl->conn.broken)
        return true;
    if (cl->half_closes)
        return false;
    return cl->conn.hung_up && cl->clients->config->client.half_close == CONFIG_HALF_CLOSE_ABORT;
}
