/*
 * The listening socket: accepts connections and distributes them. Runs on the loop it is given;
 * functions for other threads say so. At `max` connections, or when no descriptor is left, it asks
 * for room; if there is none it pauses, and the kernel's backlog holds the rest.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/check.h"
#include "proxy/config.h"
#include "proxy/loop.h"

struct listener_config {
    uint32_t max;                         /* connections */
    uint32_t send_buffer, receive_buffer; /* of each connection: see socket_limit_buffers() */
};

struct listener; /* opaque: defined in listener.c */

struct listener_handler {
    /* A new connection: takes the descriptor, and calls listener_ended() when it is closed. */
    void (*on_accept)(void *arg, int fd, const struct sockaddr *sa);
    /* There are `max` connections, and another waits. True: it may be accepted nevertheless. */
    bool (*on_full)(void *arg);
    /* A connection waits, and the process has no descriptor left. True: one may be free now. */
    bool (*on_no_descriptor)(void *arg);
    /* listener_stop() is complete: waiting connections were accepted, the socket is closed.
     * listener_reopen() may follow. */
    void (*on_stopped)(void *arg);
};

/*
 * Binds and listens. NULL: `problem` has the reason. Call it before the loop runs. A Unix socket's
 * file with no listener is replaced; the file is removed when the listener stops.
 */
struct listener *listener_new(struct loop *lp, const struct address *at,
                              const struct listener_config *config,
                              const struct listener_handler *handler, void *arg, char *problem,
                              size_t size);
void listener_free(struct listener *l);

/* Any thread: a new maximum. Connections above it stay; new ones wait, or others make room. */
void listener_configure(struct listener *l, uint32_t max);

/* Any thread. Accepts the connections that are waiting, then closes the socket. */
void listener_stop(struct listener *l);

/* The control thread, after on_stopped: listens on the same address and port again. False: errno
 * has the reason. Like socket_bind(), it may set the process's umask for a moment. */
MUST_USE bool listener_reopen(struct listener *l);

/* Any thread: one of the accepted connections has ended. */
void listener_ended(struct listener *l);

/* Any thread: the number of accepted connections that have not ended. */
uint32_t listener_count(const struct listener *l);

/* "127.0.0.1:8080": the actual address, also if port 0 was configured. */
const char *listener_text(const struct listener *l);
