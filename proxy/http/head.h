/*
 * A parsed message head: views into the buffer that holds its bytes, nothing copied. Valid as long
 * as that buffer is neither moved nor overwritten. Any thread; no allocation.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/span.h"

#define HTTP_FIELDS_MAX  256 /* capacity of a head; the configured limit may be lower */
#define HTTP_OPTIONS_MAX 32  /* Connection options; each is looked up among the fields */

enum http_method {
    HTTP_OTHER, /* any other token: forwarded unchanged */
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_DELETE,
    HTTP_CONNECT,
    HTTP_OPTIONS,
    HTTP_TRACE,
    HTTP_PATCH,
};

/* RFC 9110 section 9.2.2: sending it twice has the same effect as once. Unknown methods are not. */
static inline bool http_method_is_idempotent(enum http_method m)
{
    return m == HTTP_GET || m == HTTP_HEAD || m == HTTP_PUT || m == HTTP_DELETE ||
           m == HTTP_OPTIONS || m == HTTP_TRACE;
}

/* The fields that weir itself reads, writes or removes. */
enum http_field_id {
    HTTP_FIELD_OTHER,
    HTTP_FIELD_ACCEPT,
    HTTP_FIELD_CLOSE, /* reserved, since Connection: close would refer to it */
    HTTP_FIELD_CONNECTION,
    HTTP_FIELD_CONTENT_LENGTH,
    HTTP_FIELD_DATE,
    HTTP_FIELD_DEADLINE, /* by when the client wants its response: see proxy/deadline.h */
    HTTP_FIELD_EXPECT,
    HTTP_FIELD_FORWARDED,
    HTTP_FIELD_FORWARDED_OTHER,  /* X-Real-IP, Daphne-Root-Path and any other X-Forwarded-* */
    HTTP_FIELD_FORWARDED_SCHEME, /* X-Forwarded-Protocol, -Scheme, -Ssl: same meaning as -Proto */
    HTTP_FIELD_HOST,
    HTTP_FIELD_KEEP_ALIVE,
    HTTP_FIELD_MAX_FORWARDS,
    HTTP_FIELD_PROXY_AUTHENTICATE,
    HTTP_FIELD_PROXY_AUTHORIZATION,
    HTTP_FIELD_PROXY_OTHER, /* Proxy-Connection and any other Proxy-* */
    HTTP_FIELD_QUEUE_START, /* X-Queue-Start, which is read like X-Request-Start */
    HTTP_FIELD_TE,
    HTTP_FIELD_TRACEPARENT,
    HTTP_FIELD_TRAILER,
    HTTP_FIELD_TRANSFER_ENCODING,
    HTTP_FIELD_UPGRADE,
    HTTP_FIELD_VIA,
    HTTP_FIELD_WEIR_REASON, /* set by weir only, on its local replies */
    HTTP_FIELD_X_FORWARDED_FOR,
    HTTP_FIELD_X_FORWARDED_HOST,
    HTTP_FIELD_X_FORWARDED_PROTO,
    HTTP_FIELD_X_REQUEST_ID, /* the name from the configuration; by default X-Request-Id */
    HTTP_FIELD_X_REQUEST_START,
    /* Request fields with `_` in the name, which CGI and WSGI do not distinguish from `-`. ALIAS:
     * the folded name is one of the above; never forwarded, and refused as a framing field, in a
     * response too. UNDERSCORE: any other, such as SCRIPT_NAME, which Gunicorn takes as its
     * root path; forwarded if so configured. */
    HTTP_FIELD_ALIAS,
    HTTP_FIELD_UNDERSCORE,
};

/* A set of ids, to test for several at once. */
#define HTTP_FIELD_BIT(id) (1u << (id))
_Static_assert(HTTP_FIELD_UNDERSCORE < 32, "a set of ids has 32 bits");

/* Case-insensitive, with `_` read as `-`; never X_REQUEST_ID, ALIAS or UNDERSCORE. */
enum http_field_id http_field_id_of(struct span name);

struct http_field {
    struct span name, value; /* value without surrounding white space */
    struct span line;        /* the whole line with its CRLF, as forwarded */
    enum http_field_id id;
};

/*
 * Filled by http_parse_request() and http_parse_response(). The spans of the start line are those
 * of the kind that was parsed; the other kind's are empty.
 */
struct http_head {
    struct span whole; /* from the start line to the empty line, inclusive */

    enum http_method method; /* request */
    struct span method_text, target;
    struct span authority; /* of an absolute-form target, otherwise empty */
    struct span path;      /* the target to forward: origin form, `*`, or the path and query of an
                              absolute form; `http://a?q` gives `?q`, forwarded as `/?q` */
    struct span host;      /* the value of Host, or the authority if there is one */

    unsigned status; /* response, 100 to 999 */
    struct span reason;

    unsigned minor; /* HTTP/1.minor: 0 or 1 */

    bool has_content_length;
    uint64_t content_length;
    bool chunked;         /* the only transfer coding that is accepted */
    bool has_upgrade;     /* has an Upgrade field that Connection names */
    bool expect_continue; /* Expect is 100-continue, and nothing else */
    bool close;           /* Connection: close */
    bool keep_alive;      /* Connection: keep-alive, which HTTP/1.0 requires */
    bool te_trailers;     /* TE lists trailers */
    bool accepts_events;  /* Accept lists text/event-stream */
    bool accepts_others;  /* Accept lists a type other than that and any */
    bool names_fields;    /* Connection names others than close, keep-alive, te and upgrade */

    unsigned n_options; /* in all Connection fields; at most HTTP_OPTIONS_MAX */
    uint32_t present;   /* HTTP_FIELD_BIT of the id of each field */
    unsigned n_fields;
    struct http_field fields[HTTP_FIELDS_MAX];
};

/* The first field with that id, or NULL. */
const struct http_field *http_head_find(const struct http_head *head, enum http_field_id id);

/* Removes the next non-empty element from the front of a comma-separated value. */
bool http_list_next(struct span *list, struct span *element);

/* Whether `list`, a comma-separated value, contains `token`, case-insensitive (RFC 9110 5.6.1). */
bool http_list_has(struct span list, struct span token);

/* A name of 255 bytes, the maximum in DNS, and a port. Up to two more copies are forwarded, so with
 * a longer Host, a client could make weir hold three times what it has sent. */
#define HTTP_HOST_MAX 261

/* uri-host [":" port] (RFC 9110 section 7.2): a name, IPv4 or [IPv6]; not empty, no comma, and at
 * most HTTP_HOST_MAX bytes. */
bool http_host_is_valid(struct span host);

/* Whether a TRACE or OPTIONS has Max-Forwards 0: respond, do not forward (RFC 9110 7.6.2). */
bool http_max_forwards_zero(const struct http_head *head);

/* Sets accepts_events and accepts_others by the value of an Accept field. */
void http_head_note_accept(struct http_head *head, struct span accept);

/* Whether the content is an event stream, whose client reconnects at its end. */
bool http_head_is_event_stream(const struct http_head *head);

/* Whether the connection persists after this message (RFC 9112 section 9.3). */
static inline bool http_head_persistent(const struct http_head *head)
{
    return !head->close && (head->minor >= 1 || head->keep_alive);
}

/* Whether the client accepts event streams only, as an EventSource does (HTML section 9.2). */
bool http_head_wants_events(const struct http_head *head);
