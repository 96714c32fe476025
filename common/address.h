/*
 * Addresses to listen on or to connect to, as text and in the kernel's form:
 *
 *     127.0.0.1:8080   [::1]:8080   app.internal:8080   :8080   unix:/run/app.sock
 *
 * Without a host, a listener binds to all addresses of the machine, and a client connects to
 * 127.0.0.1. No state; any thread. Only address_resolve() may block, because it looks up names.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/check.h"
#include "common/span.h"
#include "common/strbuf.h"

/* Zero-initialised until address_set(); `sa` and `len` are valid after address_resolve(). */
struct address {
    char text[128]; /* as configured */
    struct sockaddr_storage sa;
    socklen_t len;
    uint32_t mode; /* file mode of a listening Unix socket; 0: left to the umask */
};

#define ADDRESS_UNIX          "unix:"
#define ADDRESS_UNIX_PATH_MAX (sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1) /* bytes */

enum address_verdict {
    ADDRESS_OK,
    ADDRESS_MALFORMED,
    ADDRESS_BAD_PORT,      /* outside `min_port` to `max_port` */
    ADDRESS_PATH_TOO_LONG, /* for a Unix socket */
};

/* Whether `text` has one of the forms above, with a port from `min_port` to `max_port`. The path of
 * a Unix socket must be absolute and fit into a sockaddr_un. */
MUST_USE enum address_verdict address_check(struct span text, unsigned min_port, unsigned max_port);

/* Stores a text that was checked, or a word that stands for "no address". `mode` is unchanged. */
void address_set(struct address *a, struct span text);

enum address_use { ADDRESS_LISTEN, ADDRESS_CONNECT };

/*
 * Fills in `sa` and `len` from a text that was checked. Names are looked up with IPv4 first: names
 * such as localhost often have an IPv6 address that the app does not listen on. On failure returns
 * false and sets `why`.
 */
MUST_USE bool address_resolve(struct address *a, enum address_use use, struct strbuf *why);

unsigned address_port(const struct address *a); /* 0 for a Unix socket */
bool address_is_any(const struct address *a);   /* 0.0.0.0 or [::] */
bool address_is_loopback(const struct address *a);

/* Whether a socket that listens on `a` receives the connections made to `b`. False for port 0 (the
 * kernel chooses one) and for addresses that are not resolved. */
bool address_covers(const struct address *a, const struct address *b);

/* The address to connect to in order to reach a listener on `a`: the loopback for "any address". */
struct address address_to_reach(const struct address *a);

/* ---- bare socket addresses ---- */

/* Whether both are the same IP address and port. False for other families. */
bool address_same_end(const struct sockaddr *a, const struct sockaddr *b);

/* The bytes of the IP address in network order, and AF_INET or AF_INET6. An IPv4-mapped address
 * (::ffff:192.0.2.1) is IPv4. NULL for any other family. */
const uint8_t *address_ip(const struct sockaddr *sa, sa_family_t *family);

/* The IP address as text, without the port; empty for other families. */
void address_ip_text(const struct sockaddr *sa, char out[INET6_ADDRSTRLEN]);

/* Parses an IP address of `family` into `out`, 4 or 16 bytes. */
MUST_USE bool address_parse_ip(int family, struct span text, void *out);
