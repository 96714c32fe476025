/* See agent.h. */
#include "proxy/agent.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/log.h"
#include "common/socket.h"
#include "proxy/load.h"

#define BACKLOG        128
#define ACCEPT_AT_ONCE 8 /* then other events have their turn */
#define PAUSE_US       100000
#define FALLS_BY       2 /* the part of the way that the weight moves */
#define RISES_BY       4
#define PERCENT        100

struct peer {
    TAILQ_ENTRY(peer) link;
    struct agent *agent;
    struct event *event;
    int fd;
    mono_us until;
    size_t received;
};

TAILQ_HEAD(peers, peer);

struct agent {
    struct agent_how how;
    struct address at;
    int fd;
    struct event *event;
    struct loop_timer pause; /* no descriptor is left: accept again */
    struct loop_timer late;  /* of the first peer */
    struct peers peers;      /* in the order of arrival */
    unsigned n_peers;
    struct load load;
    double weight; /* 0 to 1 */
    struct stats_agent told;
    char text[SOCKET_TEXT];
};

/* ---- the line ---- */

static void weigh(struct agent *a)
{
    struct limiter_snapshot s;
    mono_us now = loop_now(a->how.loop);

    limiter_snapshot(a->how.limiter, now, &s);
    if (!load_measure(&a->load, &s, now))
        return;
    double idle = s.paused != 0 || a->load.used > 1 ? 0 : 1 - a->load.used;
    a->weight += (idle - a->weight) / (idle < a->weight ? FALLS_BY : RISES_BY);
}

/* Never 0%: HAProxy would take that for a drain. */
static unsigned percent(double weight)
{
    unsigned n = (unsigned)(weight * PERCENT + 0.5);
    return n < 1 ? 1 : n > PERCENT ? PERCENT : n;
}

static int write_line(struct agent *a, char *out, size_t size)
{
    enum stats_agent_reply state = a->how.state(a->how.arg);

    weigh(a);
    a->told.last = state;
    a->told.replies[state]++;
    a->told.weight = state == STATS_AGENT_UP ? percent(a->weight) : 0;
    switch (state) {
    case STATS_AGENT_UP:
        return snprintf(out, size, "up ready %u%%\n", a->told.weight);
    case STATS_AGENT_DRAIN:
        return snprintf(out, size, "drain\n");
    case STATS_AGENT_DOWN:
    case STATS_AGENT_REPLIES:
        break;
    }
    return snprintf(out, size, "down #the app is not ready\n");
}

/* ---- one peer ---- */

static void let_go(struct peer *p)
{
    struct agent *a = p->agent;

    TAILQ_REMOVE(&a->peers, p, link);
    a->n_peers--;
    event_free(p->event);
    close(p->fd);
    free(p);
}

static void watch_the_first(struct agent *a)
{
    const struct peer *first = TAILQ_FIRST(&a->peers);

    if (first != NULL)
        loop_timer_arm(a->how.loop, &a->late, first->until);
    else
        loop_timer_stop(&a->late);
}

static void on_late(void *arg)
{
    struct agent *a = arg;
    struct peer *p;

    while ((p = TAILQ_FIRST(&a->peers)) != NULL && p->until <= loop_now(a->how.loop))
        let_go(p);
    watch_the_first(a);
}

/* Unread input would turn the close into a reset, which may overtake the line. */
static void on_input(evutil_socket_t fd, short what, void *arg)
{
    struct peer *p = arg;
    struct agent *a = p->agent;
    char bytes[AGENT_INPUT_MAX];

    (void)what;
    loop_tick(a->how.loop);
    ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return;
    p->received += n > 0 ? (size_t)n : 0;
    if (n <= 0 || p->received >= AGENT_INPUT_MAX)
        let_go(p);
    watch_the_first(a);
}

/* The buffer of a new socket has room for the line. */
static bool say(struct agent *a, int fd)
{
    char line[64];
    size_t n = (size_t)write_line(a, line, sizeof(line));

    return send(fd, line, n, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)n &&
           shutdown(fd, SHUT_WR) == 0;
}

static void greet(struct agent *a, int fd)
{
    if (!say(a, fd)) {
        close(fd);
        return;
    }
    if (a->n_peers >= AGENT_CONNECTIONS_MAX)
        let_go(TAILQ_FIRST(&a->peers));
    struct peer *p = calloc(1, sizeof(*p));
    CHECK(p != NULL);
    p->agent = a;
    p->fd = fd;
    p->until = loop_now(a->how.loop) + AGENT_LINGER_US;
    p->event = event_new(loop_base(a->how.loop), fd, EV_READ | EV_PERSIST, on_input, p);
    CHECK(p->event != NULL && event_add(p->event, NULL) == 0);
    TAILQ_INSERT_TAIL(&a->peers, p, link);
    a->n_peers++;
}

/* ---- accepting ---- */

static void on_pause_over(void *arg)
{
    struct agent *a = arg;
    event_add(a->event, NULL);
}

/* The oldest peer has its line: its descriptor can serve the next one. */
static bool no_descriptor(struct agent *a)
{
    if (a->n_peers > 0) {
        let_go(TAILQ_FIRST(&a->peers));
        return true;
    }
    event_del(a->event);
    loop_timer_arm(a->how.loop, &a->pause, loop_now(a->how.loop) + PAUSE_US);
    return false;
}

/* True: the next may be tried. */
static bool accept_one(struct agent *a)
{
    int fd = accept4(a->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd >= 0)
        greet(a, fd);
    else if (errno == EAGAIN || errno == EWOULDBLOCK)
        return false;
    else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
        return no_descriptor(a);
    return true; /* also after ECONNABORTED and the like: that peer has left */
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct agent *a = arg;

    (void)fd;
    (void)what;
    loop_tick(a->how.loop);
    for (int i = 0; i < ACCEPT_AT_ONCE && accept_one(a); i++)
        continue;
    watch_the_first(a);
}

/* ---- opening and closing ---- */

static bool open_port(struct agent *a)
{
    a->fd = socket_bind(&a->at);
    if (a->fd < 0 || listen(a->fd, BACKLOG) < 0)
        return false;
    socket_text(a->fd, &a->at, a->text);
    a->event = event_new(loop_base(a->how.loop), a->fd, EV_READ | EV_PERSIST, on_readable, a);
    CHECK(a->event != NULL && event_add(a->event, NULL) == 0);
    return true;
}

struct agent *agent_new(const struct agent_how *how, char *problem, size_t size)
{
    struct agent *a = calloc(1, sizeof(*a));
    struct limiter_snapshot s;
    mono_us now = loop_now(how->loop);

    CHECK(a != NULL);
    a->how = *how;
    a->at = *how->listen;
    a->how.listen = &a->at;
    TAILQ_INIT(&a->peers);
    loop_timer_init(&a->pause, on_pause_over, a);
    loop_timer_init(&a->late, on_late, a);
    limiter_snapshot(how->limiter, now, &s);
    load_init(&a->load, &s, now);
    a->weight = 1;
    a->told.on = true;
    if (open_port(a))
        return a;
    snprintf(problem, size, "cannot open the agent port on %s: %s", a->at.text, strerror(errno));
    agent_free(a);
    return NULL;
}

void agent_free(struct agent *a)
{
    if (a == NULL)
        return;
    for (struct peer *p; (p = TAILQ_FIRST(&a->peers)) != NULL;)
        let_go(p);
    if (a->event != NULL)
        event_free(a->event);
    if (a->fd >= 0) {
        socket_unlink(&a->at);
        close(a->fd);
    }
    loop_timer_fini(&a->pause);
    loop_timer_fini(&a->late);
    free(a);
}

void agent_read(const struct agent *a, struct stats_agent *out)
{
    *out = a != NULL ? a->told : (struct stats_agent){.on = false};
}

const char *agent_text(const struct agent *a)
{
    return a->text;
}
