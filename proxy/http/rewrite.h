/*
 * The head to forward: the received one without its hop-by-hop fields (RFC 9110 section 7.6.1),
 * with what an intermediary adds (7.6.3 Via; X-Forwarded-*, X-Request-Id, X-Request-Start).
 * Everything else keeps its bytes, order and case; a run of unchanged lines is one memcpy.
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
 * Parameters for rewriting a request.
 *   APPEND: from a trusted client the whole forwarding set (X-Forwarded-*, Forwarded, X-Real-IP)
 *           is kept, with client_address appended to X-Forwarded-For; weir sets Proto and Host
 *           if the client set them in none of these fields. From any other client the whole set
 *           is dropped, and weir sets For, Proto and Host.
 *   REPLACE: as if no client were trusted.
 *   OFF: the fields are forwarded unchanged, and none is added.
 */
struct http_request_rewrite {
    enum http_forwarded forwarded;
    bool trusted;                /* the client's forwarding fields are trusted */
    bool underscores;            /* names with `_` are forwarded, unless they read as others */
    struct span client_address;  /* "192.0.2.1", "2001:db8::1" without brackets; empty: none,
                                    X-Forwarded-For is forwarded unchanged */
    struct span request_id_name; /* empty: no request ids */
    struct span request_id;      /* the id to add; empty: the client's own is kept */
    bool request_start;          /* add X-Request-Start unless present */
    bool drop_expect;            /* Expect has been handled already */
    struct span upgrade;         /* the protocols to offer, from http_upgrade_offers(); or empty */
    wall_us start;               /* time of arrival, written as t=<microseconds> */
};

/* An upper bound for the bytes that http_rewrite_request() writes. */
size_t http_rewrite_request_bound(const struct http_head *head,
                                  const struct http_request_rewrite *how);

/*
 * Writes the head to forward: HTTP/1.1 whatever the client's version, origin form, one Host, and a
 * Connection field only if TE: trailers or an Upgrade is forwarded (HTTP/1.1 is persistent by
 * default). Content-Length, Transfer-Encoding and Expect are written in the usual spelling, so that
 * no parser behind weir misses them. `out` must have room for the bound. Returns the bytes written.
 */
size_t http_rewrite_request(const struct http_head *head, const struct http_request_rewrite *how,
                            char *out);

struct http_response_rewrite {
    bool close;                  /* send Connection: close to the client */
    bool say_keep_alive;         /* an HTTP/1.0 client that requested keep-alive must be told */
    bool drop_transfer_encoding; /* the body is forwarded decoded (HTTP/1.0 client) */
    bool add_chunked;            /* the body has no framing, and is forwarded in chunks */
    bool upgrade;                /* Upgrade is forwarded: the status is 101 or 426 */
    struct span request_id_name; /* echoed unless the app sends one; empty: not */
    struct span request_id;
    struct span server_timing;    /* a whole value to add, or empty */
    const struct span_pair *load; /* a field to add unless the app sends it; NULL: none */
    struct span date; /* for a final response without Date (RFC 9110 section 6.6.1); empty: none */
};

size_t http_rewrite_response_bound(const struct http_head *head,
                                   const struct http_response_rewrite *how);

/* Writes HTTP/1.1, the app's status and reason, its end-to-end fields, Via, Date. Also for 1xx. */
size_t http_rewrite_response(const struct http_head *head, const struct http_response_rewrite *how,
                             char *out);

/*
 * Writes the protocols of a request's Upgrade fields that weir may tunnel, separated by commas, to
 * `out` (head->whole.len bytes of room); returns the length. 0: no upgrade is requested, or none
 * that is allowed: HTTP/2 and TLS would carry many requests past the limit in one slot.
 */
size_t http_upgrade_offers(const struct http_head *head, char *out);

/* Whether all protocols that a 101 switches to were offered (RFC 9110 section 7.8). */
bool http_upgrade_is_sound(const struct http_head *head, struct span offered);

/* A client's request id is kept if it is 1 to 128 visible ASCII characters without `,` or `;`. */
bool http_request_id_is_sound(struct span id);
