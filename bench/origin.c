/*
 * The app behind every proxy of the bench: one thread, keep-alive, a 128-byte response to each
 * request at once. It takes GETs only: a request ends with its head.
 *
 *   origin ADDRESS...        prints "ready PORT..." and runs until SIGTERM
 *   SIGUSR1                  holds all responses from now on, prints "holding"
 *   SIGUSR2                  sends what was held, prints "released N", and responds at once again
 *
 * N is the number of requests that the proxy let in while none had a response: its true limit.
 */

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/net.h"

#define EVENTS_MAX  256
#define BODY_LENGTH 128

/* What an epoll event belongs to. A listener and the signals have no buffer. */
struct source {
    enum { SOURCE_LISTENER, SOURCE_SIGNALS, SOURCE_CONNECTION } kind;
    int fd;
};

struct connection {
    struct source source;         /* first: an event's pointer is one to this */
    TAILQ_ENTRY(connection) link; /* in origin.all */
    unsigned held;                /* requests read, without a response */
    size_t filled;
    char buffer[4096];
};

struct origin {
    int ep;
    bool holding;
    bool stop;
    TAILQ_HEAD(connections, connection) all;
    char response[512];
    size_t response_length;
};

static void compose_response(struct origin *o)
{
    char body[BODY_LENGTH + 1];

    memset(body, 'x', BODY_LENGTH);
    body[BODY_LENGTH] = '\0';
    int length = snprintf(o->response, sizeof(o->response),
                          "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                          "Content-Length: %d\r\n\r\n%s",
                          BODY_LENGTH, body);
    o->response_length = (size_t)length;
}

static void send_response(const struct origin *o, struct connection *c)
{
    ssize_t sent = send(c->source.fd, o->response, o->response_length, MSG_NOSIGNAL);

    /* A peer that has gone is noticed by the next read. */
    if (sent >= 0 && (size_t)sent != o->response_length)
        die("an answer did not fit the socket's buffer");
}

static void close_connection(struct origin *o, struct connection *c)
{
    TAILQ_REMOVE(&o->all, c, link);
    close(c->source.fd);
    free(c);
}

/* Answers, or holds, each whole head in the buffer. */
static void take_requests(struct origin *o, struct connection *c)
{
    char *start = c->buffer;
    char *stop = c->buffer + c->filled;
    char *end;

    while ((end = memmem(start, (size_t)(stop - start), "\r\n\r\n", 4)) != NULL) {
        start = end + 4;
        if (o->holding)
            c->held++;
        else
            send_response(o, c);
    }
    c->filled = (size_t)(stop - start);
    if (c->filled == sizeof(c->buffer))
        die("a request head is larger than the origin's buffer");
    if (c->filled > 0 && start != c->buffer)
        memmove(c->buffer, start, c->filled);
}

static void on_readable(struct origin *o, struct connection *c)
{
    ssize_t n = recv(c->source.fd, c->buffer + c->filled, sizeof(c->buffer) - c->filled, 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        close_connection(o, c);
        return;
    }
    c->filled += (size_t)n;
    take_requests(o, c);
}

static void on_acceptable(struct origin *o, int listener)
{
    int fd;

    while ((fd = net_accept(listener)) >= 0) {
        struct connection *c = calloc(1, sizeof(*c));
        if (c == NULL)
            die("calloc");
        c->source.kind = SOURCE_CONNECTION;
        c->source.fd = fd;
        TAILQ_INSERT_TAIL(&o->all, c, link);
        net_watch(o->ep, fd, EPOLLIN, c);
    }
}

static void release(struct origin *o)
{
    struct connection *c;
    unsigned long released = 0;

    o->holding = false;
    TAILQ_FOREACH (c, &o->all, link) {
        released += c->held;
        for (; c->held > 0; c->held--)
            send_response(o, c);
    }
    printf("released %lu\n", released);
}

static void on_signal(struct origin *o, int fd)
{
    struct signalfd_siginfo info;

    if (read(fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return;
    if (info.ssi_signo == SIGUSR1) {
        o->holding = true;
        printf("holding\n");
    } else if (info.ssi_signo == SIGUSR2) {
        release(o);
    } else {
        o->stop = true;
    }
}

static void on_event(struct origin *o, struct source *source)
{
    switch (source->kind) {
    case SOURCE_LISTENER:
        on_acceptable(o, source->fd);
        return;
    case SOURCE_SIGNALS:
        on_signal(o, source->fd);
        return;
    case SOURCE_CONNECTION:
        on_readable(o, (struct connection *)source);
        return;
    }
}

static void watch_signals(struct origin *o)
{
    static struct source signals = {.kind = SOURCE_SIGNALS};
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        die("sigprocmask");
    signals.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (signals.fd < 0)
        die("signalfd");
    net_watch(o->ep, signals.fd, EPOLLIN, &signals);
}

static void run(struct origin *o)
{
    struct epoll_event events[EVENTS_MAX];

    while (!o->stop) {
        int n = epoll_wait(o->ep, events, EVENTS_MAX, -1);
        if (n < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < n; i++)
            on_event(o, events[i].data.ptr);
    }
}

int main(int argc, char **argv)
{
    static struct source listeners[4];
    static struct origin o;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc < 2 || argc > 5) {
        fprintf(stderr, "usage: origin ADDRESS...\n");
        return 2;
    }
    TAILQ_INIT(&o.all);
    o.ep = epoll_create1(EPOLL_CLOEXEC);
    compose_response(&o);
    watch_signals(&o);
    printf("ready");
    for (int i = 1; i < argc; i++) {
        listeners[i - 1].fd = net_listen(argv[i]);
        net_watch(o.ep, listeners[i - 1].fd, EPOLLIN, &listeners[i - 1]);
        printf(" %" PRIu16, net_port(listeners[i - 1].fd));
    }
    printf("\n");
    run(&o);
    return 0;
}
