/*
 * The lower bound: a byte relay that neither parses nor limits anything. One upstream connection
 * per client connection, one edge-triggered registration per socket, and per request two receives
 * and two sends: what the kernel asks of anybody who stands between a client and an app.
 *
 *   relay LISTEN UPSTREAM    prints "ready PORT" and runs until it is ended
 */

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/net.h"

#define EVENTS_MAX    256
#define BUFFER_LENGTH 16384

/* One socket, and the bytes read from it that its peer has not received yet. */
struct side {
    int fd;
    struct pair *pair;
    struct side *peer;
    size_t from;
    size_t to;
    char buffer[BUFFER_LENGTH];
};

struct pair {
    struct side side[2];
    struct pair *next_dead; /* freed after the batch: it may hold more events of this pair */
    bool dead;
};

static struct pair *dead_pairs;

static void pair_end(struct pair *p)
{
    if (p->dead)
        return;
    p->dead = true;
    close(p->side[0].fd);
    close(p->side[1].fd);
    p->next_dead = dead_pairs;
    dead_pairs = p;
}

static void free_deferred(void)
{
    while (dead_pairs != NULL) {
        struct pair *p = dead_pairs;
        dead_pairs = p->next_dead;
        free(p);
    }
}

/* Sends what was read from `s` to its peer; false while bytes remain, or when the pair ended. */
static bool flush_to_peer(struct side *s)
{
    if (s->from == s->to)
        return true;
    ssize_t n = send(s->peer->fd, s->buffer + s->from, s->to - s->from, MSG_NOSIGNAL);
    if (n < 0) {
        if (errno != EAGAIN)
            pair_end(s->pair);
        return false;
    }
    s->from += (size_t)n;
    return s->from == s->to;
}

/* Moves bytes from `s` to its peer until one of them would block. */
static void pump(struct side *s)
{
    while (!s->pair->dead && flush_to_peer(s)) {
        ssize_t n = recv(s->fd, s->buffer, sizeof(s->buffer), 0);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            pair_end(s->pair);
            return;
        }
        s->from = 0;
        s->to = (size_t)n;
        /* A short read emptied the socket: the next byte brings an event of its own. */
        if (s->to < sizeof(s->buffer) && flush_to_peer(s))
            return;
    }
}

static void on_event(struct side *s, uint32_t events)
{
    if (s->pair->dead)
        return;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        pump(s);
    if ((events & EPOLLOUT) && !s->pair->dead && s->peer->from < s->peer->to)
        pump(s->peer);
}

static void pair_new(int ep, int client, int upstream)
{
    struct pair *p = calloc(1, sizeof(*p));

    if (p == NULL)
        die("calloc");
    p->side[0].fd = client;
    p->side[1].fd = upstream;
    for (int i = 0; i < 2; i++) {
        p->side[i].pair = p;
        p->side[i].peer = &p->side[1 - i];
        net_watch(ep, p->side[i].fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, &p->side[i]);
    }
}

static void accept_all(int ep, int listener, const char *upstream)
{
    int fd;

    while ((fd = net_accept(listener)) >= 0)
        pair_new(ep, fd, net_connect(upstream));
}

static NORETURN void run(int ep, int listener, const char *upstream)
{
    struct epoll_event events[EVENTS_MAX];

    for (;;) {
        int n = epoll_wait(ep, events, EVENTS_MAX, -1);
        if (n < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == NULL)
                accept_all(ep, listener, upstream);
            else
                on_event(events[i].data.ptr, events[i].events);
        }
        free_deferred();
    }
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: relay LISTEN UPSTREAM\n");
        return 2;
    }
    int ep = epoll_create1(EPOLL_CLOEXEC);
    int listener = net_listen(argv[1]);
    net_watch(ep, listener, EPOLLIN, NULL);
    printf("ready %" PRIu16 "\n", net_port(listener));
    fflush(stdout);
    run(ep, listener, argv[2]);
}
