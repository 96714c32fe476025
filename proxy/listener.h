/*
 * The listening socket: accepts, and deals the connections out. On the loop that it is given; what
 * may be called from elsewhere says so. Stops accepting at `max` connections, and for a moment when
 * no descriptor is left, without spinning: the kernel's backlog holds the rest.
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
    /* listener_stop() has been done: what had come was accepted, the socket is closed. */
    void (*on_stopped)(void *arg);
};

/*
 * Binds and listens. NULL: `problem` says why. Before the loop runs. A Unix socket's path that
 * nobody answers on any more is taken over; its file goes when the listener stops.
 */
struct listener *listener_new(struct loop *lp, const struct config_address *at, uint32_t max,
                              const struct listener_handler *handler, void *arg, char *problem,
                              size_t size);
void listener_free(struct listener *l);

/* Any thread. Accepts what has come before, then closes the socket. */
void listener_stop(struct listener *l);

/* Any thread: one of the accepted connections has ended. */
void listener_ended(struct listener *l);

/* "127.0.0.1:8080": where it really listens, also when port 0 was asked for. */
const char *listener_text(const struct listener *l);
