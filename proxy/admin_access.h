/*
 * Permission to make changes through the admin port. Reading is open to all; a change is accepted
 *
 * - with the token (`Authorization: Bearer TOKEN`), from any address;
 * - otherwise from this machine (loopback at both ends of the connection, or a Unix socket) and
 *   from the addresses in admin.allow, unless a web browser may have been tricked into sending the
 *   request: by a page of another site (Origin, Sec-Fetch-Site), or by a name that an attacker's
 *   DNS server points at this address (DNS rebinding: Host must be an IP address or localhost).
 *
 * Pure; any thread.
 */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>

#include "proxy/cidr.h"
#include "proxy/http/head.h"

struct admin_rules {
    const char *token; /* "": none */
    const struct cidr_list *allow;
};

/* The two ends of a connection; an unknown one is AF_UNSPEC, and has no rights. */
struct admin_ends {
    struct sockaddr_storage peer, own;
};

/* Why this request must not change anything: a literal, for the client and the log. NULL: it may.
 */
const char *admin_access_refusal(const struct admin_rules *rules, const struct admin_ends *ends,
                                 const struct http_head *head);

/* Whether the peer is in admin.allow, and so may send some changes as GET: the hooks of a kubelet
 * cannot send anything else. */
bool admin_access_listed(const struct admin_rules *rules, const struct admin_ends *ends);

/* "10.0.0.7", or "a Unix socket". */
void admin_access_write_peer(const struct admin_ends *ends, struct strbuf *out);
