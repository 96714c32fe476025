/*
 * Ranges of IP addresses: in CIDR notation (RFC 4632, RFC 4291 section 2.3), such as 10.0.0.0/8 or
 * 2001:db8::/32, or by name. Pure; any thread.
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
    uint8_t bits;       /* prefix length; for AF_UNSPEC: enum cidr_name */
    uint8_t addr[16];   /* in network order; 0 after the prefix */
};

/* An owned list. */
struct cidr_list {
    struct cidr *at;
    size_t n;
};

/* Parses an address, or an address and a prefix length; bits after the prefix are cleared.
 * IPv4-mapped addresses (::ffff:10.0.0.0/104) are IPv4. */
MUST_USE bool cidr_parse(struct span text, struct cidr *out);

struct cidr cidr_named(enum cidr_name name);

/* Not for a named range. */
void cidr_write(const struct cidr *c, struct strbuf *out);

/* Whether the address lies in one of the ranges. An IPv4-mapped address is IPv4. False for other
 * families. */
bool cidr_any_contains(const struct cidr *ranges, size_t n, const struct sockaddr *sa);
bool cidr_list_contains(const struct cidr_list *list, const struct sockaddr *sa);
