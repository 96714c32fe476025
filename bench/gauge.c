/*
 * An app that holds each request for a while and checks how many are inside at once, while the
 * limit of the proxy before it changes. One thread, keep-alive, GETs only.
 *
 *   gauge ADDRESS HOLD_MS     prints "ready PORT"; reads commands on stdin, and ends with it
 *   allow N                   from now on at most N requests may be inside, or more as the last
 *                             "fall" says; prints "ok"
 *   fall N HELD               the limit was lowered to N, and HELD slots were held then: as many
 *                             requests may be inside as these slots, less those that have ended
 *                             since, but always N; prints "ok"
 *   report                    prints "served=N most=N beyond=N": beyond is the number of requests
 *                             that entered although no more were allowed inside
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench/net.h"

#define EVENTS_MAX 256

static const char response[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

struct connection {
    int fd;
    bool held, closed;
    uint64_t due_ms;
    TAILQ_ENTRY(connection) all;  /* in gauge.connections */
    TAILQ_ENTRY(connection) link; /* in gauge.held */
    size_t filled;
    char buffer[4096];
};

static struct gauge {
    int ep, listener;
    uint64_t hold_ms;
    TAILQ_HEAD(connections, connection) connections;
    struct connections held; /* in the order of their ends */
    uint64_t began, ended, most, beyond;
    uint64_t allowed; /* inside */
    uint64_t until;   /* as long as fewer have ended, `until - ended` are allowed */
    bool stop;
} gauge;

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- requests ---- */

static uint64_t allowed_now(void)
{
    uint64_t held = gauge.until > gauge.ended ? gauge.until - gauge.ended : 0;
    return held > gauge.allowed ? held : gauge.allowed;
}

static void forget(struct connection *c)
{
    TAILQ_REMOVE(&gauge.connections, c, all);
    free(c);
}

static void end_request(struct connection *c)
{
    c->held = false;
    gauge.ended++;
    if (c->closed) {
        forget(c);
        return;
    }
    if (send(c->fd, response, sizeof(response) - 1, MSG_NOSIGNAL) >= 0 || errno == EPIPE ||
        errno == ECONNRESET)
        return;
    die("send");
}

static void begin_request(struct connection *c)
{
    c->filled = 0;
    c->held = true;
    gauge.began++;
    uint64_t inside = gauge.began - gauge.ended;
    if (inside > gauge.most)
        gauge.most = inside;
    gauge.beyond += inside > allowed_now();
    if (gauge.hold_ms == 0) {
        end_request(c);
        return;
    }
    c->due_ms = now_ms() + gauge.hold_ms;
    TAILQ_INSERT_TAIL(&gauge.held, c, link);
}

static void end_due(void)
{
    uint64_t now = now_ms();
    struct connection *c;

    while ((c = TAILQ_FIRST(&gauge.held)) != NULL && c->due_ms <= now) {
        TAILQ_REMOVE(&gauge.held, c, link);
        end_request(c);
    }
}

static int wait_ms(void)
{
    const struct connection *c = TAILQ_FIRST(&gauge.held);
    uint64_t now = now_ms();

    if (c == NULL)
        return -1;
    return c->due_ms > now ? (int)(c->due_ms - now) : 0;
}

/* ---- connections ---- */

static void on_readable(struct connection *c)
{
    ssize_t n = recv(c->fd, c->buffer + c->filled, sizeof(c->buffer) - c->filled, 0);

    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        close(c->fd);
        c->closed = true;
        if (!c->held)
            forget(c);
        return;
    }
    c->filled += (size_t)n;
    if (c->held || c->filled == sizeof(c->buffer))
        die("more than one request at a time");
    if (c->filled >= 4 && memcmp(c->buffer + c->filled - 4, "\r\n\r\n", 4) == 0)
        begin_request(c);
}

static void on_acceptable(void)
{
    int fd;

    while ((fd = net_accept(gauge.listener)) >= 0) {
        struct connection *c = calloc(1, sizeof(*c));
        if (c == NULL)
            die("calloc");
        c->fd = fd;
        TAILQ_INSERT_TAIL(&gauge.connections, c, all);
        net_watch(gauge.ep, fd, EPOLLIN, c);
    }
}

/* ---- commands ---- */

static void fall(const char *numbers)
{
    char *second;

    gauge.allowed = strtoull(numbers, &second, 10);
    gauge.until = gauge.ended + strtoull(second, NULL, 10);
}

static void on_command(void)
{
    char line[64];
    ssize_t got = read(STDIN_FILENO, line, sizeof(line) - 1);

    if (got <= 0) {
        gauge.stop = true;
        return;
    }
    line[got] = '\0';
    if (strncmp(line, "allow ", 6) == 0) {
        gauge.allowed = strtoull(line + 6, NULL, 10);
        printf("ok\n");
    } else if (strncmp(line, "fall ", 5) == 0) {
        fall(line + 5);
        printf("ok\n");
    } else if (strncmp(line, "report", 6) == 0) {
        printf("served=%" PRIu64 " most=%" PRIu64 " beyond=%" PRIu64 "\n", gauge.ended, gauge.most,
               gauge.beyond);
    } else {
        die("a command is: allow N, fall N HELD, or report");
    }
}

static void turn(void)
{
    struct epoll_event events[EVENTS_MAX];
    int n = epoll_wait(gauge.ep, events, EVENTS_MAX, wait_ms());

    end_due();
    for (int i = 0; i < n; i++) {
        if (events[i].data.ptr == &gauge.listener)
            on_acceptable();
        else if (events[i].data.ptr == &gauge)
            on_command();
        else
            on_readable(events[i].data.ptr);
    }
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc != 3) {
        fprintf(stderr, "usage: gauge ADDRESS HOLD_MS\n");
        return 2;
    }
    TAILQ_INIT(&gauge.connections);
    TAILQ_INIT(&gauge.held);
    gauge.allowed = UINT64_MAX;
    gauge.hold_ms = strtoul(argv[2], NULL, 10);
    gauge.ep = epoll_create1(EPOLL_CLOEXEC);
    gauge.listener = net_listen(argv[1]);
    net_watch(gauge.ep, gauge.listener, EPOLLIN, &gauge.listener);
    net_watch(gauge.ep, STDIN_FILENO, EPOLLIN, &gauge);
    printf("ready %u\n", (unsigned)net_port(gauge.listener));
    while (!gauge.stop)
        turn();
    return 0;
}
