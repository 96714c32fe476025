/*
 * Sockets, TCP and Unix: how they listen, and how TCP is set for all of them. Nothing is kept: any
 * thread.
 */
#pragma once

#include <stdbool.h>

#include "common/address.h"
#include "common/check.h"

#define SOCKET_TEXT 128

/*
 * For a socket that is going to listen at `at`, or to connect to it; what it accepts inherits this.
 * TCP sends at once, without Nagle's algorithm. On loopback, where nothing is congested, it sends
 * under Reno, which every kernel has and which costs least: BBR paces each segment and models the
 * path, for 5 % of the CPU of a small request. Elsewhere the system's choice stands.
 */
void socket_tune(int fd, const struct address *at);

/*
 * A socket that is bound and tuned, not yet listening; -1 with errno. A Unix socket's file that
 * nobody answers on is taken over: a dead process has left it, and bind() would fail for good. The
 * file has at->mode from its first moment on. That takes the process's umask for as long as bind()
 * runs, so no other thread may make files then: before the workers start.
 */
MUST_USE int socket_bind(const struct address *at);

/* Why the connect of `fd`, which has come to its end, has failed, as an errno; 0: it has not. */
int socket_connect_error(int fd);

/*
 * A connect to `to` has succeeded, and nobody listens there: the kernel gave our end the very port
 * that was asked for, and TCP connected the socket to itself (RFC 9293 section 3.5, simultaneous
 * open). It happens where that port is one of those that connecting sockets are given. To be taken
 * for ECONNREFUSED; the close frees the port at once, since the app may be about to bind it.
 */
bool socket_reached_itself(int fd, const struct address *to);

/* What usually helps when a connect to `to` fails with this errno: "" or ": what", for the end of a
 * line in the log. */
const char *socket_remedy(int error, const struct address *to);

/* Where it is bound in words, with the port that the kernel chose where 0 was asked for. */
void socket_text(int fd, const struct address *at, char out[SOCKET_TEXT]);

/* Removes a Unix socket's file and no other; nothing to do for TCP. Before the socket is closed:
 * after that a successor may have taken the path. */
void socket_unlink(const struct address *at);
