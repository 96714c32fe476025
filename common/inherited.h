/*
 * Listening sockets that the process was started with, by systemd's protocol (sd_listen_fds(3)):
 * LISTEN_PID names this process, and LISTEN_FDS sockets begin at descriptor 3. They stay open when
 * weir ends, so connections that arrive during a restart wait for the next process.
 *
 * inherited_init() is called once, before there are threads; afterwards nothing changes, and the
 * other functions may be called by any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/address.h"
#include "common/check.h"

#define INHERITED_FIRST 3 /* descriptor */
#define INHERITED_MAX   8 /* further ones are closed */

/*
 * Takes over the sockets, and removes the variables from the environment, so that no child process
 * takes them for its own. Descriptors that are not listening stream sockets are closed. Returns the
 * number of sockets.
 */
size_t inherited_init(void);

/* A duplicate of the socket that is bound to `at`, not blocking; -1: there is none. Any address
 * (0.0.0.0) and port of `at` is also that of a socket for IPv6 and IPv4. */
MUST_USE int inherited_open(const struct address *at);

/* Whether the socket for `at` was inherited: this process must not shut it down or remove its file.
 */
bool inherited_has(const struct address *at);

/* The address of a socket that inherited_open() has not returned, for a warning: nothing accepts
 * its connections. NULL: there is none. */
const char *inherited_unused(void);

/* For tests: closes the sockets. */
void inherited_fini(void);
