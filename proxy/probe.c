/*
 * See probe.h. After the response's head, the connection stays open for a moment and the rest is
 * discarded: a close with unread bytes would be a reset, which some apps report as an error.
 */
#include "proxy/probe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/check.h"
#include "common/socket.h"
#include "common/strbuf.h"
#include "proxy/http/parse.h"

#define HEAD_MAX     16384
#define INTERIMS_MAX 64
#define DISCARD_MAX  262144  /* bytes behind the head */
#define LINGER_US    1000000 /* how long they are awaited */

enum probe_state { PROBE_IDLE, PROBE_CONNECTING, PROBE_ASKING, PROBE_LINGERING };

struct probe {
    struct loop *loop;
    void (*on_ended)(void *arg, const struct probe_result *result);
    void *arg;
    enum probe_state state;
    struct address to;
    struct strbuf request; /* empty: only a connect */
    int fd;
    struct event *event;
    struct loop_timer timer;
    struct http_parser parser;
    struct http_head head;
    unsigned interims;
    size_t discarded;
    size_t len;
    char in[HEAD_MAX];
};

static void hang_up(struct probe *p)
{
    if (p->event != NULL)
        event_free(p->event);
    p->event = NULL;
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
    p->state = PROBE_IDLE;
    loop_timer_stop(&p->timer);
}

static void fail(struct probe *p, int error)
{
    const struct probe_result result = {.error = error, .asked = p->state == PROBE_ASKING};

    hang_up(p);
    p->on_ended(p->arg, &result);
}

static void watch(struct probe *p, short what, event_callback_fn fn)
{
    if (p->event != NULL)
        event_free(p->event);
    p->event = event_new(loop_base(p->loop), p->fd, what, fn, p);
    CHECK(p->event != NULL && event_add(p->event, NULL) == 0);
}

/* ---- the response ---- */

enum head { HEAD_MORE, HEAD_BAD, HEAD_FINAL };

/* 101 was not asked for. */
static enum head read_heads(struct probe *p)
{
    const struct http_limits limits = {.max_head = sizeof(p->in), .max_fields = HTTP_FIELDS_MAX};
    struct http_problem problem;

    while (p->len > 0) {
        switch (http_parse_response(&p->parser, p->in, p->len, &limits, &p->head, &problem)) {
        case HTTP_PARSE_MORE:
            return p->len < sizeof(p->in) ? HEAD_MORE : HEAD_BAD;
        case HTTP_PARSE_BAD:
            return HEAD_BAD;
        case HTTP_PARSE_DONE:
            break;
        }
        if (p->head.status >= 200)
            return HEAD_FINAL;
        if (p->head.status == 101 || ++p->interims > INTERIMS_MAX)
            return HEAD_BAD;
        p->len -= p->head.whole.len;
        memmove(p->in, p->in + p->head.whole.len, p->len);
    }
    return HEAD_MORE;
}

static void answered(struct probe *p)
{
    const struct probe_result result = {.status = p->head.status};

    p->state = PROBE_LINGERING;
    p->discarded = p->len = 0;
    loop_timer_arm(p->loop, &p->timer, loop_now(p->loop) + LINGER_US);
    p->on_ended(p->arg, &result);
}

/* False: nothing more now, or the attempt is over. */
static bool read_some(struct probe *p)
{
    ssize_t n = recv(p->fd, p->in + p->len, sizeof(p->in) - p->len, 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n <= 0 && p->state == PROBE_ASKING) {
        fail(p, n < 0 ? errno : ECONNRESET);
        return false;
    }
    if (p->state == PROBE_LINGERING) {
        p->discarded += n > 0 ? (size_t)n : DISCARD_MAX;
        if (p->discarded >= DISCARD_MAX)
            hang_up(p);
        return p->fd >= 0;
    }
    p->len += (size_t)n;
    switch (read_heads(p)) {
    case HEAD_MORE:
        return true;
    case HEAD_BAD:
        fail(p, EPROTO);
        return false;
    case HEAD_FINAL:
        break;
    }
    answered(p);
    return false; /* on_ended may have begun another attempt; the event is persistent */
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct probe *p = arg;

    (void)fd;
    (void)what;
    loop_tick(p->loop);
    while (read_some(p))
        continue;
}

/* ---- the connect and the request ---- */

/* The request is smaller than any socket's buffer. */
static void ask(struct probe *p)
{
    p->state = PROBE_ASKING;
    ssize_t n = send(p->fd, strbuf_cstr(&p->request), p->request.len, MSG_NOSIGNAL);
    if (n != (ssize_t)p->request.len)
        fail(p, n < 0 ? errno : ENOBUFS);
    else
        watch(p, EV_READ | EV_PERSIST, on_readable);
}

static void connect_ended(struct probe *p, int error)
{
    const struct probe_result result = {.error = 0};

    if (error == 0 && socket_reached_itself(p->fd, &p->to))
        error = ECONNREFUSED;
    if (error != 0) {
        fail(p, error);
        return;
    }
    if (p->request.len > 0) {
        ask(p);
        return;
    }
    hang_up(p);
    p->on_ended(p->arg, &result);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct probe *p = arg;

    (void)what;
    loop_tick(p->loop);
    connect_ended(p, socket_connect_error(fd));
}

static void on_timer(void *arg)
{
    struct probe *p = arg;

    if (p->state == PROBE_LINGERING)
        hang_up(p);
    else if (p->state != PROBE_IDLE)
        fail(p, ETIMEDOUT);
}

static void compose(struct probe *p, const char *path)
{
    bool local = p->to.sa.ss_family == AF_UNIX;

    strbuf_clear(&p->request);
    if (path != NULL)
        strbuf_addf(&p->request,
                    "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: weir/" WEIR_VERSION
                    " (probe)\r\nAccept: */*\r\nConnection: close\r\n\r\n",
                    path, local ? "localhost" : p->to.text);
}

void probe_begin(struct probe *p, const struct address *to, const char *path, mono_us patience)
{
    hang_up(p);
    p->to = *to;
    p->parser = (struct http_parser){0};
    p->interims = 0;
    p->len = 0;
    compose(p, path);
    p->state = PROBE_CONNECTING;
    p->fd = socket(to->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (p->fd < 0) {
        fail(p, errno);
        return;
    }
    loop_timer_arm(p->loop, &p->timer, loop_now(p->loop) + patience);
    if (connect(p->fd, (const struct sockaddr *)&p->to.sa, p->to.len) == 0)
        connect_ended(p, 0);
    else if (errno != EINPROGRESS)
        fail(p, errno);
    else
        watch(p, EV_WRITE, on_writable);
}

void probe_stop(struct probe *p)
{
    hang_up(p);
}

struct probe *probe_new(struct loop *lp,
                        void (*on_ended)(void *arg, const struct probe_result *result), void *arg)
{
    struct probe *p = calloc(1, sizeof(*p));

    CHECK(p != NULL);
    p->loop = lp;
    p->on_ended = on_ended;
    p->arg = arg;
    p->fd = -1;
    loop_timer_init(&p->timer, on_timer, p);
    return p;
}

void probe_free(struct probe *p)
{
    if (p == NULL)
        return;
    hang_up(p);
    loop_timer_fini(&p->timer);
    strbuf_fini(&p->request);
    free(p);
}
