/* TCP and Unix sockets: listening, and the options that all of them get. No state; any thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/address.h"
#include "common/check.h"

#define SOCKET_TEXT 128

/*
 * For a socket that will listen on `at` or connect to it; accepted sockets inherit the options. TCP
 * sends at once, without Nagle's algorithm. On loopback, which has no congestion, it uses Reno,
 * which is in every kernel and costs least: BBR paces each segment and models the path, which takes
 * 5% of the CPU of a small request. Elsewhere the system's default stays.
 */
void socket_tune(int fd, const struct address *at);

/*
 * Limits the kernel's memory, in bytes, for data that the peer has not received (send) and that has
 * not been read (receive); UINT32_MAX leaves the size to the system. TCP may exceed `send` by one
 * segment of up to 64 KiB, since it compares when it begins one. TCP connections inherit both from
 * the listening socket. False: the system allows less (net.core.wmem_max, rmem_max).
 */
bool socket_limit_buffers(int fd, uint32_t send, uint32_t receive);

/*
 * A socket that is bound and tuned, not yet listening; -1 with errno. A Unix socket's file with no
 * listener is replaced: it was left by a process that has died, and bind() would always fail. The
 * file has at->mode from the start. A socket that the process was started with (inherited.h) is
 * used as it is. This changes the process's umask during bind(), so no other thread may create
 * files then: call it before the workers start.
 */
MUST_USE int socket_bind(const struct address *at);

/*
 * From now on, a TCP socket that listens takes no new handshake, but completes those that have
 * begun: so it can be emptied and closed without resetting a client that was connected in between.
 * The kernel of a new client tries again after a second, and finds the socket closed. Nothing
 * happens for a Unix socket, for an inherited one, which the next process uses, or if the system
 * has no socket filters.
 */
void socket_refuse_new(int fd, const struct address *at);

/* The error of a connect on `fd` that has finished, as an errno; 0: it has succeeded. */
int socket_connect_error(int fd);

/*
 * A connect to `to` has succeeded although nothing listens there: the kernel assigned the
 * destination port to our end, and TCP connected the socket to itself (RFC 9293 section 3.5,
 * simultaneous open). This is possible where the port lies in the range of ephemeral ports. Treat
 * it as ECONNREFUSED; closing frees the port at once, since the app may be about to bind it.
 */
bool socket_reached_itself(int fd, const struct address *to);

/* A hint for a connect to `to` that failed with this errno: "" or ": hint", to be appended to a log
 * line. */
const char *socket_remedy(int error, const struct address *to);

/* The bound address as text, with the port that the kernel chose if 0 was requested. */
void socket_text(int fd, const struct address *at, char out[SOCKET_TEXT]);

/* Removes the file of a Unix socket, and no other kind of file; does nothing for TCP, or if the
 * socket was inherited. Call it
 * before closing the socket: after that, the path may belong to a successor. */
void socket_unlink(const struct address *at);
