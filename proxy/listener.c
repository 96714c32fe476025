/* See listener.h. Owns the socket; the count of connections is shared with all loops. */
#include "proxy/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/log.h"

#define ACCEPT_AT_ONCE         64
#define BACKLOG                4096
#define NO_DESCRIPTOR_PAUSE_US 100000
#define LOG_EVERY_US           10000000

struct listener {
    struct loop *loop;
    struct event *event;
    int fd;
    uint32_t max;
    const struct listener_handler *handler;
    void *arg;
    bool watching, stopped;
    struct loop_timer pause;
    mono_us logged;
    _Atomic uint32_t count;
    struct mail stop_mail, room_mail;
    _Atomic bool stop_posted, room_posted;
    struct config_address at;
    char text[128];
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

static void no_descriptor(struct listener *l)
{
    mono_us now = loop_now(l->loop);

    if (l->logged == 0 || now - l->logged > LOG_EVERY_US) {
        log_error("accept: %s; new connections wait. Raise the descriptor limit (ulimit -n) or "
                  "lower client.max_connections",
                  strerror(errno));
        l->logged = now;
    }
    watch(l, false);
    loop_timer_arm(l->loop, &l->pause, now + NO_DESCRIPTOR_PAUSE_US);
}

/* True: one more was accepted, or failed by itself, and the next may be tried. */
static bool accept_one(struct listener *l)
{
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof(sa);

    if (atomic_load(&l->count) >= l->max) {
        watch(l, false);
        if (atomic_load(&l->count) < l->max) /* one has ended in between, and saw nobody paused */
            watch(l, true);
        return false;
    }
    int fd = accept4(l->fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        if (len < sizeof(sa.ss_family)) /* an unnamed Unix socket */
            sa.ss_family = l->at.sa.ss_family;
        atomic_fetch_add(&l->count, 1);
        l->handler->on_accept(l->arg, fd, (const struct sockaddr *)&sa);
        return true;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return false;
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        no_descriptor(l);
        return false;
    }
    return true; /* ECONNABORTED and the like: that client has gone */
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

static void on_room(struct mail *m)
{
    struct listener *l = CONTAINER_OF(m, struct listener, room_mail);

    atomic_store(&l->room_posted, false);
    watch(l, !l->stopped);
}

void listener_ended(struct listener *l)
{
    if (atomic_fetch_sub(&l->count, 1) < l->max)
        return;
    if (!atomic_exchange(&l->room_posted, true))
        loop_post(l->loop, &l->room_mail);
}

/* ---- opening ---- */

static void write_text(struct listener *l)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);
    char address[INET6_ADDRSTRLEN] = "";

    memcpy(l->text, l->at.text, sizeof(l->text));
    if (l->at.sa.ss_family == AF_UNIX || getsockname(l->fd, (struct sockaddr *)&sa, &len) < 0)
        return;
    if (sa.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)&sa;
        inet_ntop(AF_INET, &in->sin_addr, address, sizeof(address));
        snprintf(l->text, sizeof(l->text), "%s:%u", address, ntohs(in->sin_port));
    } else {
        const struct sockaddr_in6 *in6 = (const void *)&sa;
        inet_ntop(AF_INET6, &in6->sin6_addr, address, sizeof(address));
        snprintf(l->text, sizeof(l->text), "[%s]:%u", address, ntohs(in6->sin6_port));
    }
}

/* A socket file that a dead process left behind would make bind() fail for good. */
static void remove_stale(const struct config_address *at)
{
    const struct sockaddr_un *un = (const void *)&at->sa;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return;
    if (connect(fd, (const struct sockaddr *)&at->sa, at->len) < 0 && errno == ECONNREFUSED)
        unlink(un->sun_path);
    close(fd);
}

static int open_socket(const struct config_address *at)
{
    int fd = socket(at->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    if (at->sa.ss_family == AF_UNIX)
        remove_stale(at);
    else
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (at->sa.ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){0}, sizeof(int));
    if (bind(fd, (const struct sockaddr *)&at->sa, at->len) < 0 || listen(fd, BACKLOG) < 0) {
        int why = errno;
        close(fd);
        errno = why;
        return -1;
    }
    return fd;
}

static void close_socket(struct listener *l)
{
    if (l->fd < 0)
        return;
    watch(l, false);
    if (l->event != NULL)
        event_free(l->event);
    l->event = NULL;
    close(l->fd);
    l->fd = -1;
    if (l->at.sa.ss_family == AF_UNIX)
        unlink(((const struct sockaddr_un *)(const void *)&l->at.sa)->sun_path);
}

static void on_stop(struct mail *m)
{
    struct listener *l = CONTAINER_OF(m, struct listener, stop_mail);

    /* Their handshake is done: for them weir has accepted, and an RST would be our doing. */
    while (accept_one(l))
        continue;
    l->stopped = true;
    loop_timer_stop(&l->pause);
    close_socket(l);
    l->handler->on_stopped(l->arg);
}

void listener_stop(struct listener *l)
{
    if (!atomic_exchange(&l->stop_posted, true))
        loop_post(l->loop, &l->stop_mail);
}

struct listener *listener_new(struct loop *lp, const struct config_address *at, uint32_t max,
                              const struct listener_handler *handler, void *arg, char *problem,
                              size_t size)
{
    struct listener *l = calloc(1, sizeof(*l));

    CHECK(l != NULL);
    l->loop = lp;
    l->max = max;
    l->handler = handler;
    l->arg = arg;
    l->at = *at;
    l->stop_mail.deliver = on_stop;
    l->room_mail.deliver = on_room;
    loop_timer_init(&l->pause, on_pause_over, l);
    l->fd = open_socket(at);
    if (l->fd < 0) {
        snprintf(problem, size, "cannot listen on %s: %s", at->text, strerror(errno));
        free(l);
        return NULL;
    }
    write_text(l);
    l->event = event_new(loop_base(lp), l->fd, EV_READ | EV_PERSIST, on_readable, l);
    CHECK(l->event != NULL);
    watch(l, true);
    return l;
}

void listener_free(struct listener *l)
{
    if (l == NULL)
        return;
    close_socket(l);
    loop_timer_fini(&l->pause);
    free(l);
}

const char *listener_text(const struct listener *l)
{
    return l->text;
}
