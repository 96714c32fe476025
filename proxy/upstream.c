/*
 * See upstream.h.
 *
 * The loops share the count of connections: `open` is raised only while it is below `cap`, before a
 * socket is created, and lowered after it is closed. `wanting` counts the leases that found no
 * room. A lease that finds none first raises `wanting`, then checks `open` again; a close first
 * lowers `open`, then checks `wanting`. These accesses are sequentially consistent, so one of the
 * two sides sees the other, and no lease waits while there is room.
 *
 * `cap` may be lowered below `open`. Then the bit SURPLUS of `wanting` is set until `open` has come
 * down to `cap`, so that a return, which checks `wanting` anyway, closes its connection.
 */
#include "proxy/upstream.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/socket.h"
#include "proxy/conn.h"

/* An app that closes after each response without announcing it does so within microseconds: a
 * connection that has been idle for this long is safe from that. */
#define SETTLED_US 10000

/* A Unix socket whose backlog is full returns EAGAIN, and no event follows. */
#define RETRY_CONNECT_US 2000

#define SURPLUS (UINT32_C(1) << 31) /* in `wanting`: there are more connections than `cap` */

enum upstream_state {
    UPSTREAM_TRYING,  /* connect() must be called again */
    UPSTREAM_FAILING, /* failed at once; reported to the lease from the timer */
    UPSTREAM_CONNECTING,
    UPSTREAM_LEASED,
    UPSTREAM_IDLE,
    UPSTREAM_CLOSED,
};

struct upstream_conn {
    struct conn conn;
    struct upstream *upstream;
    struct upstream_lease *lease;    /* NULL while IDLE and CLOSED */
    TAILQ_ENTRY(upstream_conn) link; /* idle list */
    struct loop_timer timer;         /* connect timeout */
    struct loop_deferred deferred;
    mono_us since;   /* when it began to connect, or became idle */
    mono_us give_up; /* TRYING */
    enum upstream_state state;
    int error; /* FAILING: the error; TRYING: the error if it persists */
    bool reused;
};

TAILQ_HEAD(upstream_list, upstream_conn);

struct upstream {
    struct upstream_shared *shared;
    struct loop *loop;
    struct stats_shard *stats;
    const struct config *config;
    struct budget *budget;
    struct upstream_list idle;      /* newest first */
    struct loop_timer idle_timer;   /* for the oldest */
    struct upstream_lease *waiting; /* for room; oldest first */
    struct upstream_lease *waiting_last;
    struct task room_task;
    _Atomic bool room_posted;
    bool draining;
    bool closes; /* the app has closed right after a response, without announcing it */
};

struct upstream_shared {
    unsigned n;
    _Atomic uint32_t cap, open, wanting;
    void (*on_shortage)(void *arg);
    void *arg;
    struct upstream *of_loop[];
};

static bool connect_now(struct upstream_conn *uc);

/* ---- room, shared by the loops ---- */

struct upstream_shared *upstream_shared_new(uint32_t cap, unsigned loops)
{
    struct upstream_shared *sh = calloc(1, sizeof(*sh) + loops * sizeof(sh->of_loop[0]));

    CHECK(sh != NULL);
    atomic_init(&sh->cap, cap);
    sh->n = loops;
    return sh;
}

void upstream_shared_on_shortage(struct upstream_shared *sh, void (*on_shortage)(void *arg),
                                 void *arg)
{
    sh->on_shortage = on_shortage;
    sh->arg = arg;
}

void upstream_shared_free(struct upstream_shared *sh)
{
    free(sh);
}

uint32_t upstream_shared_open(const struct upstream_shared *sh)
{
    return atomic_load_explicit(&sh->open, memory_order_relaxed);
}

static bool room_take(struct upstream_shared *sh)
{
    uint32_t open = atomic_load(&sh->open);

    while (open < atomic_load(&sh->cap)) {
        if (atomic_compare_exchange_weak(&sh->open, &open, open + 1))
            return true;
    }
    return false;
}

static void room_post(struct upstream *up)
{
    if (!atomic_exchange(&up->room_posted, true))
        loop_post(up->loop, &up->room_task);
}

static uint32_t leases_waiting(struct upstream_shared *sh)
{
    return atomic_load(&sh->wanting) & ~SURPLUS;
}

static bool has_surplus(struct upstream_shared *sh)
{
    return atomic_load(&sh->open) > atomic_load(&sh->cap);
}

/* Any thread. Checked again after the bit is cleared: `cap` may be lowered at the same time, and is
 * stored before the bit is set. */
static void mark_surplus(struct upstream_shared *sh)
{
    if (!has_surplus(sh))
        atomic_fetch_and(&sh->wanting, ~SURPLUS);
    if (has_surplus(sh))
        atomic_fetch_or(&sh->wanting, SURPLUS);
}

void upstream_shared_configure(struct upstream_shared *sh, uint32_t cap)
{
    atomic_store(&sh->cap, cap);
    mark_surplus(sh);
    for (unsigned i = 0; i < sh->n; i++)
        room_post(sh->of_loop[i]); /* for leases that wait, and for the surplus */
}

/* Tells the loops that a lease waits for room, or that room is available: they check both. */
static void room_notify(struct upstream *from)
{
    struct upstream_shared *sh = from->shared;

    for (unsigned i = 0; i < sh->n; i++) {
        if (sh->of_loop[i] != from || from->waiting != NULL)
            room_post(sh->of_loop[i]);
    }
}

static void room_give(struct upstream *up)
{
    atomic_fetch_sub(&up->shared->open, 1);
    if (leases_waiting(up->shared) > 0)
        room_notify(up);
}

/* ---- one connection ---- */

static void release_memory(struct loop_deferred *d, struct loop *lp)
{
    pool_put(loop_pool(lp), CONTAINER_OF(d, struct upstream_conn, deferred),
             sizeof(struct upstream_conn));
}

/* Accounts for output that the app has not received yet, and input that cannot be passed on yet. */
static void kept_changed(struct upstream *up, enum stats_what what, int64_t change)
{
    if (change == 0)
        return;
    stats_buffered(up->stats, what, change);
    budget_change(up->budget, change);
}

static void on_backlog(struct conn *c, size_t before)
{
    struct upstream_conn *uc = CONTAINER_OF(c, struct upstream_conn, conn);
    kept_changed(uc->upstream, STATS_REQUEST, (int64_t)c->backlog - (int64_t)before);
}

static void on_stash(struct conn *c, size_t before)
{
    struct upstream_conn *uc = CONTAINER_OF(c, struct upstream_conn, conn);
    kept_changed(uc->upstream, STATS_RESPONSE, (int64_t)c->stash_size - (int64_t)before);
}

static void uc_end(struct upstream_conn *uc, bool reset)
{
    struct upstream *up = uc->upstream;

    if (uc->state == UPSTREAM_IDLE) {
        TAILQ_REMOVE(&up->idle, uc, link);
        stats_connection(up->stats, STATS_UPSTREAM, STATS_IDLE, -1);
    } else {
        stats_connection(up->stats, STATS_UPSTREAM, STATS_ACTIVE, -1);
    }
    if (uc->lease != NULL)
        uc->lease->conn = NULL;
    uc->lease = NULL;
    uc->state = UPSTREAM_CLOSED;
    kept_changed(up, STATS_REQUEST, -(int64_t)uc->conn.backlog);
    conn_close(&uc->conn, reset);
    loop_timer_fini(&uc->timer);
    uc->deferred.release = release_memory;
    loop_defer_free(up->loop, &uc->deferred);
    room_give(up);
}

static void uc_close(struct upstream_conn *uc)
{
    /* With unread bytes, this sends an RST, so the app learns that its response is not read. */
    uc_end(uc, false);
}

static enum upstream_failure failure_of(int error)
{
    switch (error) {
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
    case ENOSPC: /* fs.epoll.max_user_watches */
    case EADDRNOTAVAIL:
        return UPSTREAM_NO_SOCKET;
    case EAGAIN:
    case ETIMEDOUT:
        return UPSTREAM_TIMEOUT;
    default:
        return UPSTREAM_REFUSED;
    }
}

static void uc_failed(struct upstream_conn *uc, int error)
{
    struct upstream *up = uc->upstream;
    struct upstream_lease *l = uc->lease;

    stats_upstream(up->stats, STATS_FAILED);
    uc_close(uc);
    l->handler->on_failed(l, failure_of(error), error);
}

static void uc_connected(struct upstream_conn *uc)
{
    loop_timer_stop(&uc->timer);
    uc->state = UPSTREAM_LEASED;
    stats_upstream(uc->upstream->stats, STATS_OPENED);
}

static void on_timer(void *arg)
{
    struct upstream_conn *uc = arg;

    if (uc->state == UPSTREAM_CONNECTING)
        uc_failed(uc, ETIMEDOUT);
    else if (uc->state != UPSTREAM_TRYING || loop_now(uc->upstream->loop) >= uc->give_up)
        uc_failed(uc, uc->error);
    else if (connect_now(uc))
        uc->lease->handler->on_ready(uc->lease);
}

/* libevent reports an error as "readable" too, so a socket that is not readable has none: a
 * connect that succeeds costs only one system call. */
static void connect_ended(struct upstream_conn *uc)
{
    struct conn *c = &uc->conn;
    int error = c->readable ? socket_connect_error(c->fd) : 0;

    if (error == 0 && !c->writable)
        return;
    if (error == 0 && socket_reached_itself(c->fd, &uc->upstream->config->upstream.address))
        error = ECONNREFUSED;
    if (error != 0) {
        uc_failed(uc, error);
        return;
    }
    uc_connected(uc);
    uc->lease->handler->on_ready(uc->lease);
}

/* Closes an idle connection on which the app has sent bytes, or a FIN. */
static void close_spoilt(struct upstream_conn *uc)
{
    if (loop_now(uc->upstream->loop) - uc->since < SETTLED_US)
        uc->upstream->closes = true;
    uc_close(uc);
}

static void on_socket(struct conn *c)
{
    struct upstream_conn *uc = CONTAINER_OF(c, struct upstream_conn, conn);

    switch (uc->state) {
    case UPSTREAM_CONNECTING:
        connect_ended(uc);
        return;
    case UPSTREAM_LEASED:
        uc->lease->handler->on_event(uc->lease);
        if (uc->state == UPSTREAM_LEASED)
            conn_save_input(c);
        return;
    case UPSTREAM_IDLE:
        /* Unsolicited bytes, or the app's FIN: either way, the connection must not be used again.
         * A mere EPOLLOUT, which Unix sockets report often, is neither. */
        if (!conn_has_event(c))
            return;
        close_spoilt(uc);
        return;
    case UPSTREAM_TRYING:
    case UPSTREAM_FAILING:
    case UPSTREAM_CLOSED:
        return;
    }
}

static const struct conn_handler conn_handler = {
    .on_event = on_socket, .on_backlog = on_backlog, .on_stash = on_stash};

/* Returns a socket that is connecting or, if a Unix socket, connected; -1 with errno. */
static int connect_socket(const struct address *to, bool *connecting)
{
    int fd = socket(to->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    socket_tune(fd, to);
    *connecting = connect(fd, (const struct sockaddr *)&to->sa, to->len) < 0;
    if (!*connecting || errno == EINPROGRESS)
        return fd;
    int why = errno;
    close(fd);
    errno = why;
    return -1;
}

/* Reports the failure from the timer, never from within the call. */
static void fail_soon(struct upstream_conn *uc, int error)
{
    uc->error = error;
    uc->state = UPSTREAM_FAILING;
    loop_timer_arm(uc->upstream->loop, &uc->timer, loop_now(uc->upstream->loop));
}

/* Whether the failure may be temporary: a Unix socket's full backlog, or no free descriptor. */
static bool may_be_temporary(struct upstream_conn *uc, int why)
{
    struct upstream_shared *sh = uc->upstream->shared;
    bool shortage = why == EMFILE || why == ENFILE;

    uc->error = why;
    if (shortage && sh->on_shortage != NULL)
        sh->on_shortage(sh->arg);
    return shortage || why == EAGAIN;
}

/* True: already connected. False: not yet, or failed; an event or the timer reports which. */
static bool connect_now(struct upstream_conn *uc)
{
    struct upstream *up = uc->upstream;
    bool connecting;
    int fd = connect_socket(&up->config->upstream.address, &connecting);

    if (fd < 0 && may_be_temporary(uc, errno)) {
        uc->state = UPSTREAM_TRYING;
        loop_timer_arm(up->loop, &uc->timer, loop_now(up->loop) + RETRY_CONNECT_US);
        return false;
    }
    if (fd < 0 ||
        !conn_open(&uc->conn, up->loop, fd, LOOP_SCRATCH_UPSTREAM, &conn_handler, connecting)) {
        fail_soon(uc, errno);
        return false;
    }
    if (!connecting) {
        uc_connected(uc);
        return true;
    }
    uc->state = UPSTREAM_CONNECTING;
    loop_timer_arm(up->loop, &uc->timer, uc->give_up);
    return false;
}

/* True: the lease already has its connection. */
static bool uc_new(struct upstream *up, struct upstream_lease *l)
{
    struct upstream_conn *uc = pool_get(loop_pool(up->loop), sizeof(*uc));

    memset(uc, 0, sizeof(*uc));
    uc->conn.fd = -1;
    uc->conn.loop = up->loop;
    uc->conn.input_saved = true;
    uc->upstream = up;
    uc->lease = l;
    l->conn = uc;
    uc->since = loop_now(up->loop);
    uc->give_up = uc->since + up->config->upstream.connect_timeout;
    loop_timer_init(&uc->timer, on_timer, uc);
    stats_connection(up->stats, STATS_UPSTREAM, STATS_ACTIVE, 1);
    return connect_now(uc);
}

/* ---- idle connections ---- */

static void schedule_idle(struct upstream *up)
{
    struct upstream_conn *oldest = TAILQ_LAST(&up->idle, upstream_list);

    if (oldest != NULL)
        loop_timer_arm(up->loop, &up->idle_timer,
                       oldest->since + up->config->upstream.keepalive_timeout);
}

static void on_idle_timer(void *arg)
{
    struct upstream *up = arg;
    mono_us old = loop_now(up->loop) - up->config->upstream.keepalive_timeout;

    for (;;) {
        struct upstream_conn *uc = TAILQ_LAST(&up->idle, upstream_list);
        if (uc == NULL || uc->since > old)
            break;
        uc_close(uc);
    }
    schedule_idle(up);
}

static bool close_oldest_idle(struct upstream *up)
{
    struct upstream_conn *uc = TAILQ_LAST(&up->idle, upstream_list);

    if (uc != NULL)
        uc_close(uc);
    return uc != NULL;
}

static void make_idle(struct upstream_conn *uc)
{
    struct upstream *up = uc->upstream;

    conn_save_input(&uc->conn); /* nothing is unread, and so nothing is kept */
    uc->lease = NULL;
    uc->state = UPSTREAM_IDLE;
    uc->since = loop_now(up->loop);
    TAILQ_INSERT_HEAD(&up->idle, uc, link);
    stats_connection(up->stats, STATS_UPSTREAM, STATS_ACTIVE, -1);
    stats_connection(up->stats, STATS_UPSTREAM, STATS_IDLE, 1);
    if (up->idle_timer.due == MONO_NEVER)
        schedule_idle(up);
}

/* A request that cannot be sent twice avoids a connection that the app may be closing. */
static bool may_be_closing(const struct upstream *up, const struct upstream_conn *uc)
{
    return up->closes && loop_now(up->loop) - uc->since < SETTLED_US;
}

/*
 * Bytes that arrived before the request are not a response to it; neither is a FIN or a reset.
 * on_socket() closes such a connection when its event is delivered. While the event is pending, or
 * if the loop may lag, a peek at the socket decides. Bytes that arrive between epoll's report and
 * the send cannot be distinguished from a response.
 */
static bool is_spoilt(struct upstream_conn *uc, bool look)
{
    return (look || loop_event_is_pending(&uc->conn.event)) && conn_peek(&uc->conn);
}

static bool take_idle(struct upstream *up, struct upstream_lease *l, enum upstream_kind kind)
{
    bool look = kind == UPSTREAM_ALIVE || loop_may_lag(up->loop);
    struct upstream_conn *uc;

    while ((uc = TAILQ_FIRST(&up->idle)) != NULL) {
        if (kind == UPSTREAM_ALIVE && may_be_closing(up, uc))
            return false;
        if (is_spoilt(uc, look)) {
            close_spoilt(uc);
            continue;
        }
        TAILQ_REMOVE(&up->idle, uc, link);
        stats_connection(up->stats, STATS_UPSTREAM, STATS_IDLE, -1);
        stats_connection(up->stats, STATS_UPSTREAM, STATS_ACTIVE, 1);
        stats_upstream(up->stats, STATS_REUSED);
        uc->state = UPSTREAM_LEASED;
        uc->reused = true;
        uc->lease = l;
        l->conn = uc;
        return true;
    }
    return false;
}

/* ---- waiting for room ---- */

static void waiting_add(struct upstream *up, struct upstream_lease *l)
{
    l->waiting = true;
    l->next = NULL;
    l->prev = up->waiting_last;
    if (l->prev == NULL)
        up->waiting = l;
    else
        l->prev->next = l;
    up->waiting_last = l;
    atomic_fetch_add(&up->shared->wanting, 1);
}

static void waiting_remove(struct upstream *up, struct upstream_lease *l)
{
    l->waiting = false;
    if (l->prev == NULL)
        up->waiting = l->next;
    else
        l->prev->next = l->next;
    if (l->next == NULL)
        up->waiting_last = l->prev;
    else
        l->next->prev = l->prev;
    l->next = l->prev = NULL;
    atomic_fetch_sub(&up->shared->wanting, 1);
}

static void serve_waiting(struct upstream *up)
{
    struct upstream_lease *l;

    while ((l = up->waiting) != NULL) {
        if (l->kind != UPSTREAM_FRESH && take_idle(up, l, (enum upstream_kind)l->kind)) {
            waiting_remove(up, l);
            l->handler->on_ready(l);
        } else if (room_take(up->shared) || (close_oldest_idle(up) && room_take(up->shared))) {
            waiting_remove(up, l);
            if (uc_new(up, l))
                l->handler->on_ready(l);
        } else {
            return;
        }
    }
}

/* Closes idle connections, the oldest first, until there are no more than allowed. */
static void close_surplus(struct upstream *up)
{
    while (has_surplus(up->shared) && close_oldest_idle(up))
        continue;
    if (atomic_load(&up->shared->wanting) & SURPLUS)
        mark_surplus(up->shared);
}

static void on_room_task(struct task *task)
{
    struct upstream *up = CONTAINER_OF(task, struct upstream, room_task);

    atomic_store(&up->room_posted, false);
    serve_waiting(up);
    close_surplus(up);
    uint32_t wanting = leases_waiting(up->shared);
    while (up->waiting == NULL && wanting-- > 0 && close_oldest_idle(up))
        continue;
}

static bool get_new(struct upstream *up, struct upstream_lease *l)
{
    if (room_take(up->shared) || (close_oldest_idle(up) && room_take(up->shared)))
        return uc_new(up, l);
    waiting_add(up, l);
    if (room_take(up->shared)) {
        waiting_remove(up, l);
        return uc_new(up, l);
    }
    room_notify(up);
    return false;
}

/* ---- leases ---- */

struct upstream *upstream_new(struct upstream_shared *shared, struct loop *lp,
                              struct stats_shard *stats, const struct config *config,
                              struct budget *budget)
{
    struct upstream *up = calloc(1, sizeof(*up));

    CHECK(up != NULL && loop_index(lp) < shared->n);
    up->shared = shared;
    up->loop = lp;
    up->stats = stats;
    up->config = config;
    up->budget = budget;
    TAILQ_INIT(&up->idle);
    loop_timer_init(&up->idle_timer, on_idle_timer, up);
    up->room_task.run = on_room_task;
    shared->of_loop[loop_index(lp)] = up;
    return up;
}

void upstream_free(struct upstream *up)
{
    if (up == NULL)
        return;
    while (close_oldest_idle(up))
        continue;
    loop_timer_fini(&up->idle_timer);
    free(up);
}

void upstream_configure(struct upstream *up, const struct config *config)
{
    up->config = config;
    loop_timer_stop(&up->idle_timer);
    schedule_idle(up);
}

bool upstream_lease(struct upstream *up, struct upstream_lease *l, enum upstream_kind kind)
{
    CHECK(l->conn == NULL && !l->waiting);
    l->kind = (int)kind;
    return (kind != UPSTREAM_FRESH && take_idle(up, l, kind)) || get_new(up, l);
}

/* The app has ended the connection, or sent more than it was asked for. */
static bool worn_out(struct conn *c)
{
    if (c->in.len > 0 || c->backlog > 0 || c->hung_up || c->broken)
        return true;
    if (conn_has_event(c) && conn_peek(c))
        return true;
    c->drained = true;
    return false;
}

void upstream_return(struct upstream *up, struct upstream_lease *l, bool reusable)
{
    struct upstream_conn *uc = l->conn;

    CHECK(uc != NULL && uc->state == UPSTREAM_LEASED);
    if (!reusable || up->draining || worn_out(&uc->conn)) {
        uc_close(uc);
        return;
    }
    l->conn = NULL;
    if (uc->reused)
        up->closes = false;
    make_idle(uc);
    if (atomic_load(&up->shared->wanting) == 0)
        return;
    close_surplus(up);
    if (up->waiting != NULL)
        room_post(up);
    else if (leases_waiting(up->shared) > 0)
        close_oldest_idle(up);
}

void upstream_drop(struct upstream *up, struct upstream_lease *l)
{
    if (l->waiting)
        waiting_remove(up, l);
    if (l->conn == NULL)
        return;
    uc_close(l->conn);
}

void upstream_reset(struct upstream *up, struct upstream_lease *l)
{
    CHECK(l->conn != NULL && l->conn->upstream == up && l->conn->state == UPSTREAM_LEASED);
    uc_end(l->conn, true);
}

struct conn *upstream_socket(const struct upstream_lease *l)
{
    return &l->conn->conn;
}

bool upstream_was_reused(const struct upstream_lease *l)
{
    return l->conn->reused;
}

void upstream_drain(struct upstream *up)
{
    up->draining = true;
    while (close_oldest_idle(up))
        continue;
}

void upstream_undrain(struct upstream *up)
{
    up->draining = false;
}
