/*
 * The queues of the sockets of another process on this machine: connections that it has not
 * accepted and bytes that it has not read. The kernel reports them for the address that the process
 * listens on (NETLINK_SOCK_DIAG), but not for other machines or other network namespaces, nor in
 * some sandboxes. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/address.h"

struct socket_queues; /* opaque: defined in socket_queues.c */

#define SOCKET_QUEUES_MARKS 256

struct socket_queues_reading {
    bool told;             /* there is a socket that listens there, and the kernel shows it */
    unsigned accept_queue; /* connections that are not accepted */
    unsigned unread;       /* accepted connections with unread bytes, but for large bodies */
    size_t marks; /* at most SOCKET_QUEUES_MARKS: of connections with unread bytes, accepted or
                     not. A mark that is there twice in a row stands for bytes that were
                     not read in the meantime */
    uint64_t mark[SOCKET_QUEUES_MARKS]; /* in order */
};

/* `at`: where the process listens; it is copied. */
struct socket_queues *socket_queues_new(const struct address *at);
void socket_queues_free(struct socket_queues *q); /* NULL is allowed */

/*
 * False: it has not looked, and `out` is unchanged, since looking costs processor time: at most a
 * fiftieth of the time that passes, but once a second in any case. `connections`: also at those
 * that are accepted, for which the kernel goes through all of the machine; else only at what
 * listens, which costs little.
 */
bool socket_queues_look(struct socket_queues *q, bool connections,
                        struct socket_queues_reading *out);
