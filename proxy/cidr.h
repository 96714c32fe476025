/*
 * Ranges of IP addresses: in CIDR notation (RFC 4632, RFC 4291 section 2.3), 10.0.0.0/8 or
 * 2001:db8::/32, or by a name. Pure; any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/check.h"
#include "common/span.h"
#include "common/strbuf.h"

enum cidr_name {
    CIDR_PRIVATE,  /* loopback, RFC 1918, RFC 6598, link-local, unique local (RFC 4193) */
    CIDR_LOOPBACK, /* 127.0.0.0/8 and ::1 */
    CIDR_NAMES,
};

struct cidr {
    sa_family_t family; /* AF_INET, AF_INET6; AF_UNSPEC: a named range */
    uint8_t bits;       /* of the prefix; of AF_UNSPEC: enum cidr_name */
    uint8_t addr[16];   /* in network order; 0 behind the prefix */
};

/* An address or an address and a prefix length; bits behind the prefix are cleared. IPv4 in the
 * form that IPv6 has for it (::ffff:10.0.0.0/104) is IPv4. */
MUST_USE bool cidr_parse(struct span text, struct cidr *out);

struct cidr cidr_named(enum cidr_name name);

/* Not for a named range. */
void cidr_write(const struct cidr *c, struct strbuf *out);

/* Whether the address lies in one of the ranges. IPv4 that came through an IPv6 socket is IPv4. Of
 * other families none does. */
bool cidr_any_contains(const struct cidr *ranges, size_t n, const struct sockaddr *sa);
