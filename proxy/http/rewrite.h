/*
 * The head that goes on: the received one less its hop-by-hop fields (RFC 9110 section 7.6.1), with
 * what an intermediary adds (7.6.3 Via; X-Forwarded-*, X-Request-Id, X-Request-Start). Everything
 * else keeps its bytes, its order and its case; runs of untouched lines are one memcpy.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/check.h"
#include "common/clock.h"
#include "common/span.h"
#include "proxy/http/head.h"

enum http_forwarded { HTTP_FORWARDED_APPEND, HTTP_FORWARDED_REPLACE, HTTP_FORWARDED_OFF };

/*
 * What a request's rewriting needs to know beside the head.
 *   APPEND: of a trusted client the whole forwarding set (X-Forwarded-*, Forwarded, X-Real-IP) is
 *           kept, with client_address behind its X-Forwarded-For; Proto and Host are ours where it
 *           says neither, also not in another of these fields. Of any other client the whole set is
 *           dropped, and For, Proto and Host are ours.
 *   REPLACE: as if nobody were trusted.
 *   OFF: all pass untouched, none is added.
 */
struct http_request_rewrite {
    enum http_forwarded forwarded;
    bool trusted;                /* the client's forwarding fields may be believed */
    bool underscores;            /* names with `_` go on, but for those that read as others */
    struct span client_address;  /* "192.0.2.1", "2001:db8::1" without brackets; empty: it has none,
                                  * and X-Forwarded-For is as the client sent it */
    struct span request_id_name; /* empty: no request id at all */
    struct span request_id;      /* the id to add; empty: the client's own was kept */
    bool request_start;          /* add X-Request-Start unless it is there */
    bool drop_expect;            /* Expect has been answered already */
    struct span upgrade;         /* the protocols to offer, from http_upgrade_offers(); or empty */
    wall_us start;               /* t0 for it, written as t=<microseconds> */
};

/* A bound of the bytes that http_rewrite_request() writes. */
size_t http_rewrite_request_bound(const struct http_head *head,
                                  const struct http_request_rewrite *how);

/*
 * Writes the head to forward, HTTP/1.1 whatever the client spoke, origin form, one Host, no
 * Connection field (persistent is HTTP/1.1's default) but where TE: trailers or an Upgrade goes on.
 * Content-Length, Transfer-Encoding and Expect are spelt the one usual way,
 * so that no parser behind us can miss them. `out` has the bound's room. Returns the bytes written.
 */
size_t http_rewrite_request(const struct http_head *head, const struct http_request_rewrite *how,
                            char *out);

struct http_response_rewrite {
    bool close;                  /* say Connection: close to the client */
    bool say_keep_alive;         /* an HTTP/1.0 client that asked for it must be told */
    bool drop_transfer_encoding; /* the body goes on decoded (HTTP/1.0 client) */
    bool add_chunked;            /* the body has no framing, and goes on in chunks */
    bool upgrade;                /* Upgrade goes on: the answer is a 101 or a 426 */
    struct span request_id_name; /* echoed unless the app sent one; empty: no */
    struct span request_id;
    struct span server_timing; /* a whole value to add, or empty */
    struct span date; /* of a final answer that has none (RFC 9110 section 6.6.1); empty: no */
};

size_t http_rewrite_response_bound(const struct http_head *head,
                                   const struct http_response_rewrite *how);

/* Writes HTTP/1.1, the app's status and reason, its end-to-end fields, Via, Date. Also for 1xx. */
size_t http_rewrite_response(const struct http_head *head, const struct http_response_rewrite *how,
                             char *out);

/*
 * The protocols of a request's Upgrade fields that weir may tunnel, with commas between, written to
 * `out` (head->whole.len bytes of room); returns the length. 0: no upgrade is asked for, or none
 * that may be: HTTP/2 and TLS would carry many requests past the limit in one slot.
 */
size_t http_upgrade_offers(const struct http_head *head, char *out);

/* Whether a 101 switches to protocols that were all offered (RFC 9110 section 7.8). */
bool http_upgrade_is_sound(const struct http_head *head, struct span offered);

/* A client's request id is kept when it is 1 to 128 visible ASCII characters without `,` or `;`. */
bool http_request_id_is_sound(struct span id);
