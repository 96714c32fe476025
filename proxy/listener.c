/* See listener.h. Owns the socket; the number of connections is shared by all loops. */
#include "proxy/listener.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/inherited.h"
#include "common/log.h"
#include "common/socket.h"

#define ACCEPT_AT_ONCE 64
#define BACKLOG        4096
#define HANDSHAKES_US  50000
#define LOOPBACK_MS    1
#define PAUSE_US       10000 /* then retries: no event tells when a client becomes idle */
#define LOG_EVERY_US   10000000

enum lack { LACK_PLACES, LACK_ROOM, LACK_DESCRIPTORS, LACKS };

struct listener {
    struct loop *loop;
    struct event *event;
    int fd;
    struct listener_config config; /* as passed to listener_new() */
    _Atomic uint32_t max;
    const struct listener_handler *handler;
    void *arg;
    bool watching, stopping, stopped; /* loop */
    bool left;                        /* its file was removed or is a successor's */
    bool freed; /* made a descriptor free since the last accepted connection */
    struct loop_timer pause, handshakes;
    mono_us logged[LACKS];
    _Atomic uint32_t count;
    struct task stop_task, room_task, reopen_task;
    int next_fd; /* for reopen_task */
    _Atomic bool stop_posted, room_posted;
    struct address at;
    char text[SOCKET_TEXT];
};

static void watch(struct listener *l, bool on)
{
    if (l->watching == on || l->event == NULL)
        return;
    l->watching = on;
    if (on)
        event_add(l->event, NULL);
    else
        event_del(l->event);
}

/* ---- accepting ---- */

static bool may_log(struct listener *l, enum lack what)
{
    mono_us now = loop_now(l->loop);

    if (l->logged[what] != 0 && now - l->logged[what] < LOG_EVERY_US)
        return false;
    l->logged[what] = now;
    return true;
}

static void pause_accepting(struct listener *l)
{
    watch(l, false);
    loop_timer_arm(l->loop, &l->pause, loop_now(l->loop) + PAUSE_US);
}

/* Checked before a connection is closed to make room. */
static bool somebody_waits(const struct listener *l)
{
    struct pollfd p = {.fd = l->fd, .events = POLLIN};
    return poll(&p, 1, 0) > 0;
}

/* True: accept() may now succeed. */
static bool no_descriptor(struct listener *l, int why)
{
    if (!somebody_waits(l)) /* accept() allocates the descriptor first */
        return false;
    if (may_log(l, LACK_DESCRIPTORS))
        log_error(
            "accept: %s; weir closes the connections that have been idle longest to make room "
            "for new clients; if none is idle, new clients wait. Raise the descriptor limit "
            "(ulimit -n) or lower client.max_connections",
            strerror(why));
    if ((why == EMFILE || why == ENFILE) && !l->freed && l->handler->on_no_descriptor(l->arg)) {
        l->freed = true; /* once per connection: others may take what was freed */
        return true;
    }
    l->freed = false;
    pause_accepting(l);
    return false;
}

/* True: one more connection may be accepted. */
static bool at_the_bound(struct listener *l)
{
    if (!somebody_waits(l))
        return false;
    if (l->handler->on_full(l->arg)) {
        if (may_log(l, LACK_PLACES))
            log_warning("%u clients are connected (client.max_connections): weir closes those "
                        "that have been idle longest to make room for new clients",
                        atomic_load(&l->max));
        return true;
    }
    if (may_log(l, LACK_ROOM))
        log_warning("%u clients are connected (client.max_connections), none of them idle: new "
                    "clients wait",
                    atomic_load(&l->max));
    pause_accepting(l);
    if (atomic_load(&l->count) <
        atomic_load(&l->max)) /* one ended in between, and did not see the pause */
        watch(l, true);
    return false;
}

/* True: one connection was accepted, or failed, and the next may be tried. */
static bool accept_one(struct listener *l)
{
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof(sa);

    if (!l->stopping && atomic_load(&l->count) >= atomic_load(&l->max) && !at_the_bound(l))
        return false;
    int fd = accept4(l->fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        if (l->at.sa.ss_family == AF_UNIX)
            (void)socket_limit_buffers(fd, l->config.send_buffer, UINT32_MAX);
        if (len < sizeof(sa.ss_family)) /* an unnamed Unix socket */
            sa.ss_family = l->at.sa.ss_family;
        atomic_fetch_add(&l->count, 1);
        l->freed = false;
        l->handler->on_accept(l->arg, fd, (const struct sockaddr *)&sa);
        return true;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return false;
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
        return no_descriptor(l, errno);
    return true; /* ECONNABORTED and the like: that client has left */
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct listener *l = arg;

    (void)fd;
    (void)what;
    loop_tick(l->loop);
    for (int i = 0; i < ACCEPT_AT_ONCE && accept_one(l); i++)
        continue;
}

static void on_pause_over(void *arg)
{
    struct listener *l = arg;
    watch(l, !l->stopped);
}

static void on_room(struct task *task)
{
    struct listener *l = CONTAINER_OF(task, struct listener, room_task);

    atomic_store(&l->room_posted, false);
    watch(l, !l->stopped);
}

static void post_room(struct listener *l)
{
    if (!atomic_exchange(&l->room_posted, true))
        loop_post(l->loop, &l->room_task);
}

void listener_ended(struct listener *l)
{
    if (atomic_fetch_sub(&l->count, 1) >= atomic_load(&l->max))
        post_room(l);
}

void listener_configure(struct listener *l, uint32_t max)
{
    atomic_store(&l->max, max);
    post_room(l);
}

/* ---- opening ---- */

static void leave_path(struct listener *l)
{
    if (!l->left)
        socket_unlink(&l->at);
    l->left = true;
}

static void close_socket(struct listener *l)
{
    if (l->fd < 0)
        return;
    watch(l, false);
    leave_path(l);
    if (l->event != NULL)
        event_free(l->event);
    l->event = NULL;
    close(l->fd);
    l->fd = -1;
}

/* A port that the kernel chose is kept: the next socket gets the same. -1: errno has the reason. */
static int open_socket(struct listener *l)
{
    int fd = socket_bind(&l->at);

    if (fd < 0)
        return -1;
    if (!socket_limit_buffers(fd, l->config.send_buffer, l->config.receive_buffer))
        log_warning("the kernel gives client connections smaller buffers than client.send_buffer "
                    "and client.receive_buffer: raise net.core.wmem_max and net.core.rmem_max");
    if (listen(fd, BACKLOG) < 0) {
        int why = errno;
        close(fd);
        errno = why;
        return -1;
    }
    socket_text(fd, &l->at, l->text);
    if (l->at.sa.ss_family != AF_UNIX) {
        l->at.len = sizeof(l->at.sa);
        CHECK(getsockname(fd, (struct sockaddr *)&l->at.sa, &l->at.len) == 0);
    }
    return fd;
}

static void begin_watching(struct listener *l)
{
    l->event = event_new(loop_base(l->loop), l->fd, EV_READ | EV_PERSIST, on_readable, l);
    CHECK(l->event != NULL);
    watch(l, true);
}

static void accept_the_rest(struct listener *l)
{
    while (accept_one(l))
        continue;
}

static void close_stopped(struct listener *l)
{
    l->stopped = true;
    close_socket(l);
    l->handler->on_stopped(l->arg);
}

static void finish_stop(struct listener *l)
{
    accept_the_rest(l);
    close_stopped(l);
}

static void on_handshakes_over(void *arg)
{
    finish_stop(arg);
}

/* Their handshake is complete: to the clients they are accepted, and closing would reset them. So
 * they are accepted even above the limit; the backlog bounds their number. Handshakes that have
 * begun have the time of a round trip; on loopback that is the time in which another processor
 * delivers the last segment, so short that the loop can wait for it. */
static void on_stop(struct task *task)
{
    struct listener *l = CONTAINER_OF(task, struct listener, stop_task);

    l->stopping = true;
    loop_timer_stop(&l->pause);
    if (inherited_has(&l->at)) { /* it stays open: those that wait there are the next process's */
        close_stopped(l);
        return;
    }
    leave_path(l);
    socket_refuse_new(l->fd, &l->at);
    accept_the_rest(l);
    if (l->at.sa.ss_family == AF_UNIX || address_is_loopback(&l->at)) {
        struct pollfd another = {.fd = l->fd, .events = POLLIN};
        (void)poll(&another, 1, LOOPBACK_MS);
        finish_stop(l);
        return;
    }
    loop_timer_arm(l->loop, &l->handshakes, loop_now(l->loop) + HANDSHAKES_US);
}

/* The loop that accepts is told of the new socket; until then clients wait in its backlog. */
static void on_reopen(struct task *task)
{
    struct listener *l = CONTAINER_OF(task, struct listener, reopen_task);

    l->fd = l->next_fd;
    l->stopping = l->stopped = l->left = false;
    begin_watching(l);
}

bool listener_reopen(struct listener *l)
{
    int fd = open_socket(l);

    if (fd < 0)
        return false;
    l->next_fd = fd;
    atomic_store(&l->stop_posted, false);
    loop_post(l->loop, &l->reopen_task);
    return true;
}

void listener_stop(struct listener *l)
{
    if (!atomic_exchange(&l->stop_posted, true))
        loop_post(l->loop, &l->stop_task);
}

struct listener *listener_new(struct loop *lp, const struct address *at,
                              const struct listener_config *config,
                              const struct listener_handler *handler, void *arg, char *problem,
                              size_t size)
{
    struct listener *l = calloc(1, sizeof(*l));

    CHECK(l != NULL);
    l->loop = lp;
    l->config = *config;
    atomic_init(&l->max, config->max);
    l->handler = handler;
    l->arg = arg;
    l->at = *at;
    l->stop_task.run = on_stop;
    l->room_task.run = on_room;
    loop_timer_init(&l->pause, on_pause_over, l);
    loop_timer_init(&l->handshakes, on_handshakes_over, l);
    l->reopen_task.run = on_reopen;
    l->fd = open_socket(l);
    if (l->fd < 0) {
        snprintf(problem, size, "cannot listen on %s: %s", at->text, strerror(errno));
        listener_free(l);
        return NULL;
    }
    begin_watching(l);
    return l;
}

void listener_free(struct listener *l)
{
    if (l == NULL)
        return;
    close_socket(l);
    loop_timer_fini(&l->pause);
    loop_timer_fini(&l->handshakes);
    free(l);
}

uint32_t listener_count(const struct listener *l)
{
    return atomic_load_explicit(&l->count, memory_order_relaxed);
}

const char *listener_text(const struct listener *l)
{
    return l->text;
}
