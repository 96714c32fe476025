/*
 * weir's local replies. Text for a person, or JSON if the client's Accept prefers it; always with
 * `Weir-Reason`, a single word for programs and logs, and `Cache-Control: no-store`. Pure: writes
 * bytes, sends nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/span.h"
#include "proxy/http/head.h"
#include "proxy/stats.h"

enum reply_kind {
    REPLY_BAD_REQUEST,        /* 400, or the parser's status */
    REPLY_HEAD_TIMEOUT,       /* 408 */
    REPLY_BODY_TIMEOUT,       /* 408 */
    REPLY_BODY_TOO_LARGE,     /* 413 */
    REPLY_LAST_HOP,           /* 200 to OPTIONS, 405 to TRACE with Max-Forwards: 0 */
    REPLY_QUEUE_FULL,         /* 503 or 429 */
    REPLY_QUEUE_BYTES,        /* 503 or 429 */
    REPLY_QUEUE_TIMEOUT,      /* 503 or 429 */
    REPLY_EVICTED,            /* 503 or 429: it made room for a newcomer */
    REPLY_DEADLINE,           /* 503 or 429: the deadline that the client declared */
    REPLY_NOT_READY,          /* 503: the app has not started */
    REPLY_DRAINING,           /* 503: weir is shutting down */
    REPLY_UPGRADES_FULL,      /* 503 or 429: there are upgrades.max tunnels */
    REPLY_CONNECT_FAILED,     /* 502 */
    REPLY_CONNECT_TIMEOUT,    /* 504 */
    REPLY_UPSTREAM_CLOSED,    /* 502: no byte of a response was received */
    REPLY_UPSTREAM_BROKEN,    /* 502: not a valid response */
    REPLY_FIRST_BYTE_TIMEOUT, /* 504 */
    REPLY_SEND_TIMEOUT,       /* 504: the app does not accept the request */
    REPLY_KINDS,
};

/* A reply that refuses because of load or state: it is counted, logged, and has a Retry-After. */
struct reply_refusal {
    enum stats_reason reason;
    bool overload; /* its status is overload.status */
    const char *log;
};

/* NULL: this kind is not a refusal. */
const struct reply_refusal *reply_refusal(enum reply_kind kind);

struct reply {
    enum reply_kind kind;
    unsigned status;      /* 0: the kind's default */
    const char *detail;   /* an additional sentence for a person, or NULL */
    unsigned retry_after; /* seconds; 0: no such field */
    bool close;           /* send Connection: close */
    bool keep_alive;      /* send Connection: keep-alive, for HTTP/1.0 */
    bool json;
    bool head_only;                          /* the request was a HEAD */
    struct span request_id_name, request_id; /* echoed unless empty */
    struct span date;                        /* RFC 9110 section 6.6.1 */
    const struct span_pair *load;            /* a field to add, or NULL */
};

#define REPLY_MAX 2048 /* most bytes of a reply */

/* Writes the reply into `out` (REPLY_MAX bytes); returns its length. */
size_t reply_write(const struct reply *r, char *out);

unsigned reply_status(const struct reply *r);
const char *reply_reason(enum reply_kind kind);     /* its Weir-Reason */
size_t reply_content_length(const struct reply *r); /* 0 if `head_only` */

/* Whether the Accept fields prefer JSON to text: one names JSON, and none names text. */
bool reply_wants_json(const struct http_head *head);
