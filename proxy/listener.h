/*
 * The listening socket: accepts, and deals the connections out. On the loop that it is given; what
 * may be called from elsewhere says so. At `max` connections, or when no descriptor is left, it
 * asks for room; where there is none it pauses, and the kernel's backlog holds the rest.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/check.h"
#include "proxy/config.h"
#include "proxy/loop.h"

struct listener; /* opaque: defined in listener.c */

struct listener_handler {
    /* A connection: takes the descriptor, and calls listener_ended() when it is closed. */
    void (*on_accept)(void *arg, int fd, const struct sockaddr *sa);
    /* There are `max` connections, and another waits. True: it may come in all the same. */
    bool (*on_full)(void *arg);
    /* The process has no descriptor left for one that waits. True: one may be free now. */
    bool (*on_no_descriptor)(void *arg);
    /* listener_stop() has been done: what had come was accepted, the socket is closed. */
    void (*on_stopped)(void *arg);
};

/*
 * Binds and listens. NULL: `problem` says why. Before the loop runs. A Unix socket's path that
 * nobody answers on any more is taken over; its file goes when the listener stops.
 */
struct listener *listener_new(struct loop *lp, const struct address *at, uint32_t max,
                              const struct listener_handler *handler, void *arg, char *problem,
                              size_t size);
void listener_free(struct listener *l);

/* Any thread. Accepts what has come before, then closes the socket. */
void listener_stop(struct listener *l);

/* Any thread: one of the accepted connections has ended. */
void listener_ended(struct listener *l);

/* Any thread: how many are accepted, and have not ended. */
uint32_t listener_count(const struct listener *l);

/* "127.0.0.1:8080": where it really listens, also when port 0 was asked for. */
const char *listener_text(const struct listener *l);
