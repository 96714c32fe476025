/*
 * Addresses to listen on or to connect to, as text and as the kernel wants them:
 *
 *     127.0.0.1:8080   [::1]:8080   app.internal:8080   :8080   unix:/run/app.sock
 *
 * Without a host, one that listens takes every address of the machine, and one that connects takes
 * 127.0.0.1. No state; any thread. Only address_resolve() may block, since it looks names up.
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

/* Zero-initialised until address_set(); `sa` and `len` are there after address_resolve(). */
struct address {
    char text[128]; /* as configured */
    struct sockaddr_storage sa;
    socklen_t len;
    uint32_t mode; /* of the file of a Unix socket that listens; 0: as the umask leaves it */
};

#define ADDRESS_UNIX          "unix:"
#define ADDRESS_UNIX_PATH_MAX (sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1) /* bytes */

enum address_verdict {
    ADDRESS_OK,
    ADDRESS_MALFORMED,
    ADDRESS_BAD_PORT,      /* not from `min_port` to `max_port` */
    ADDRESS_PATH_TOO_LONG, /* for a Unix socket */
};

/* Whether `text` is one of the forms above, its port from `min_port` to `max_port`. A Unix path is
 * absolute and fits into a sockaddr_un. */
MUST_USE enum address_verdict address_check(struct span text, unsigned min_port, unsigned max_port);

/* Keeps a text that was checked, or a word that stands for no address. `mode` stays. */
void address_set(struct address *a, struct span text);

enum address_use { ADDRESS_LISTEN, ADDRESS_CONNECT };

/*
 * Fills in `sa` and `len` of a text that was checked. Names are looked up, IPv4 first, because a
 * name such as localhost often has an IPv6 address that the app does not listen on. False: `why`
 * says what failed.
 */
MUST_USE bool address_resolve(struct address *a, enum address_use use, struct strbuf *why);

unsigned address_port(const struct address *a); /* 0 for a Unix socket */
bool address_is_any(const struct address *a);   /* 0.0.0.0 or [::] */
bool address_is_loopback(const struct address *a);

/* Whether a socket that listens on `a` takes what is meant for `b`. Port 0, one that the kernel
 * chooses, takes nothing. Both are resolved; one that is not takes nothing. */
bool address_covers(const struct address *a, const struct address *b);

/* Where to connect to reach what listens at `a`: every address includes the loopback. */
struct address address_to_reach(const struct address *a);

/* ---- bare socket addresses ---- */

/* Whether both are the same IP address and port. False for other families. */
bool address_same_end(const struct sockaddr *a, const struct sockaddr *b);

/* The bytes of the IP address, in network order, and AF_INET or AF_INET6. One that came through an
 * IPv6 socket as ::ffff:192.0.2.1 is IPv4. NULL: it is neither. */
const uint8_t *address_ip(const struct sockaddr *sa, sa_family_t *family);

/* That as text, without the port; empty: it has none. */
void address_ip_text(const struct sockaddr *sa, char out[INET6_ADDRSTRLEN]);

/* An IP address of `family` from text, for `out` of 4 or 16 bytes. */
MUST_USE bool address_parse_ip(int family, struct span text, void *out);
