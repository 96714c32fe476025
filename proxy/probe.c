/*
 * See probe.h.
 *
 *     WAITING ── timer ──► CONNECTING ── connected ──► UP
 *        ▲                     │
 *        └─── refused, late ───┘
 */
#include "proxy/probe.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/socket.h"

#define FIRST_PAUSE_US 10000
#define LAST_PAUSE_US  250000
#define PATIENCE_US    1000000 /* a connect that takes longer is retried */

enum probe_state { PROBE_WAITING, PROBE_CONNECTING, PROBE_UP };

struct probe {
    struct loop *loop;
    const struct address *to;
    void (*on_up)(void *arg);
    void *arg;
    enum probe_state state;
    int fd;
    struct event *event;
    struct loop_timer timer;
    mono_us pause;
    int error; /* of the last attempt */
};

static void hang_up(struct probe *p)
{
    if (p->event != NULL)
        event_free(p->event);
    p->event = NULL;
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
}

static void wait_longer(struct probe *p, int error)
{
    p->error = error;
    hang_up(p);
    p->state = PROBE_WAITING;
    loop_timer_arm(p->loop, &p->timer, loop_now(p->loop) + p->pause);
    p->pause += p->pause / 2;
    if (p->pause > LAST_PAUSE_US)
        p->pause = LAST_PAUSE_US;
}

static void up(struct probe *p)
{
    hang_up(p);
    loop_timer_stop(&p->timer);
    p->state = PROBE_UP;
    p->on_up(p->arg);
}

static void connect_ended(struct probe *p, int error)
{
    if (error == 0 && socket_reached_itself(p->fd, p->to))
        error = ECONNREFUSED;
    if (error == 0)
        up(p);
    else
        wait_longer(p, error);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct probe *p = arg;

    (void)what;
    loop_tick(p->loop);
    connect_ended(p, socket_connect_error(fd));
}

static void try_connect(struct probe *p)
{
    p->fd = socket(p->to->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (p->fd < 0) {
        wait_longer(p, errno);
        return;
    }
    p->state = PROBE_CONNECTING;
    if (connect(p->fd, (const struct sockaddr *)&p->to->sa, p->to->len) == 0) {
        connect_ended(p, 0);
        return;
    }
    if (errno != EINPROGRESS) {
        wait_longer(p, errno);
        return;
    }
    p->event = event_new(loop_base(p->loop), p->fd, EV_WRITE, on_writable, p);
    CHECK(p->event != NULL);
    event_add(p->event, NULL);
    loop_timer_arm(p->loop, &p->timer, loop_now(p->loop) + PATIENCE_US);
}

static void on_timer(void *arg)
{
    struct probe *p = arg;

    if (p->state == PROBE_WAITING)
        try_connect(p);
    else if (p->state == PROBE_CONNECTING)
        wait_longer(p, ETIMEDOUT);
}

struct probe *probe_new(struct loop *lp, const struct address *to, void (*on_up)(void *arg),
                        void *arg)
{
    struct probe *p = calloc(1, sizeof(*p));

    CHECK(p != NULL);
    p->loop = lp;
    p->to = to;
    p->on_up = on_up;
    p->arg = arg;
    p->fd = -1;
    p->error = EINPROGRESS;
    p->pause = FIRST_PAUSE_US;
    loop_timer_init(&p->timer, on_timer, p);
    loop_timer_arm(lp, &p->timer, loop_tick(lp));
    return p;
}

void probe_free(struct probe *p)
{
    if (p == NULL)
        return;
    hang_up(p);
    loop_timer_fini(&p->timer);
    free(p);
}

int probe_error(const struct probe *p)
{
    return p->error;
}
