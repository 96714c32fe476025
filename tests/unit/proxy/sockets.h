/* Pairs of real sockets: one end is a struct conn, the other is played by the test. */
#pragma once

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "proxy/conn.h"
#include "proxy/loop.h"

#define SOCKETS_WAIT_MS 5000

enum sockets_kind { SOCKETS_TCP, SOCKETS_UNIX, SOCKETS_KINDS };

static inline void sockets_tcp(int pair[2])
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(listener >= 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
    pair[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(pair[0], (struct sockaddr *)&at, len), 0);
    pair[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(pair[1] >= 0);
    close(listener);
    for (int i = 0; i < 2; i++)
        setsockopt(pair[i], IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
}

static inline void sockets_pair(enum sockets_kind kind, int pair[2])
{
    if (kind == SOCKETS_TCP)
        sockets_tcp(pair);
    else
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
}

static inline void sockets_ignore(struct conn *c)
{
    (void)c;
}

static const struct conn_handler sockets_handler = {.on_event = sockets_ignore};

/* Opens the conn on one end; returns the other. `buffer`: the conn's send buffer, 0: the
 * default. */
static inline int sockets_conn(struct conn *c, struct loop *lp, enum loop_scratch scratch,
                               enum sockets_kind kind, int buffer)
{
    int pair[2];

    sockets_pair(kind, pair);
    if (buffer > 0)
        setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
    for (int i = 0; i < 2; i++) {
        struct timeval most = {.tv_sec = SOCKETS_WAIT_MS / 1000};
        setsockopt(pair[i], SOL_SOCKET, SO_RCVTIMEO, &most, sizeof(most));
    }
    assert_int_equal(ioctl(pair[0], FIONBIO, &(int){1}), 0);
    memset(c, 0, sizeof(*c));
    assert_true(conn_open(c, lp, pair[0], scratch, &sockets_handler, false));
    return pair[1];
}

/* Waits until the kernel reports `what` at the conn's end (POLLIN, POLLRDHUP, POLLHUP, POLLERR). */
static inline void sockets_until(const struct conn *c, short what)
{
    struct pollfd look = {.fd = c->fd, .events = what};

    for (int ms = 0; ms < SOCKETS_WAIT_MS && (look.revents & what) != what; ms++) {
        look.events = what;
        assert_true(poll(&look, 1, 0) >= 0);
        if ((look.revents & what) != what)
            poll(NULL, 0, 1);
    }
    assert_int_equal(look.revents & what, what);
}

static inline void sockets_say(int fd, struct span s)
{
    assert_int_equal(send(fd, s.at, s.len, MSG_NOSIGNAL), s.len);
}

static inline void sockets_reset(int fd)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(fd);
}

/* The same numbers in each run (xorshift). */
static inline size_t sockets_below(size_t n)
{
    static uint64_t x = 88172645463325252u;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return (size_t)(x % n);
}
