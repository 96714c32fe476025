/*
 * Where the body of a message ends (RFC 9112 section 6), and a chunk decoder that checks every
 * byte.
 *
 * A relay forwards the bytes of a message as received, so the decoder's main result is not data but
 * a length: how many of the given bytes belong to this message. Chunk lines and trailers are
 * checked before they are counted, so nothing malformed is forwarded.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/check.h"
#include "common/span.h"
#include "proxy/http/head.h"
#include "proxy/http/parse.h"

enum http_framing {
    HTTP_BODY_NONE,
    HTTP_BODY_LENGTH,
    HTTP_BODY_CHUNKED,
    HTTP_BODY_UNTIL_CLOSE, /* responses only */
};

enum http_body_status {
    HTTP_BODY_DONE, /* the body is complete */
    HTTP_BODY_MORE, /* all input was taken, and more is needed */
    HTTP_BODY_BAD,  /* the byte after those taken breaks the framing */
};

#define HTTP_CHUNK_EXT_MAX      256   /* bytes of extensions per chunk (CVE-2023-39326) */
#define HTTP_CHUNK_OVERHEAD_MAX 16384 /* extension bytes in one message */
#define HTTP_TRAILERS_MAX       8192  /* bytes of trailer section */
#define HTTP_BODY_NAMED_MAX     6     /* Connection options that are checked in trailers */

/* Private except for `framing`; embedded, no allocation. Initialised by http_body_of_*(). */
struct http_body {
    enum http_framing framing;
    bool response;    /* decides which trailers are refused */
    bool underscores; /* trailer names may contain `_` */
    bool underscored; /* the current trailer's name contains one */
    unsigned char state;
    unsigned char size_digits;
    unsigned char n_named; /* above HTTP_BODY_NAMED_MAX: all trailers are refused */
    uint16_t line;         /* bytes of the current chunk line, or of the start of a trailer line */
    uint32_t trailers;     /* bytes of trailers so far */
    uint64_t left;         /* bytes that remain: of the body (LENGTH) or of the chunk (CHUNKED) */
    uint64_t data;         /* bytes of content so far */
    uint64_t overhead;     /* extension bytes so far */
    char name[32]; /* start of a trailer's name in lower case, to check whether it is allowed */
    uint32_t named[HTTP_BODY_NAMED_MAX]; /* hashes of the Connection options */
};

/* Initialises from a valid request head. A request without a length has no body. `underscores`:
 * trailer names may contain `_`; see struct http_request_rewrite. */
void http_body_of_request(struct http_body *body, const struct http_head *head, bool underscores);

/*
 * Initialises from a valid final response head and the request's method. HEAD, 1xx, 204 and 304
 * have no body, whatever the fields say. Not for 101: no messages follow it.
 */
void http_body_of_response(struct http_body *body, const struct http_head *head,
                           enum http_method asked);

/* Whether the whole body has been seen; true at once if there is none or its length is 0. */
bool http_body_complete(const struct http_body *body);

/*
 * Takes bytes of the body from [at, at + len) and sets `used` to their number. If `data` is not
 * NULL, stops at the end of the first run of content and sets `data` to that run (empty if there
 * was framing only): call again while it returns MORE and bytes are left. If NULL, takes all it
 * can. DONE: the body ends at or before the end of `used`; what follows is not part of it. MORE:
 * with `data` NULL, used == len. BAD: the `used` bytes before the offending one are valid;
 * `problem` has the reason (status 400 for a request; for a response the caller makes it 502).
 * Trailer fields that would frame, route, authenticate or control the connection are BAD (RFC 9110
 * section 6.5.1; see the table in body.c), and so are those that Connection names (section 7.6.1)
 * and, in a request, those with `_` in their names: trailers are forwarded as received, so no line
 * can be removed. Others are allowed.
 */
MUST_USE enum http_body_status http_body_take(struct http_body *body, const char *at, size_t len,
                                              size_t *used, struct span *data,
                                              struct http_problem *problem);

/* The same for a chunked body, but takes nothing beyond the end of the present chunk: 0 bytes
 * between two chunks. */
MUST_USE enum http_body_status http_body_take_chunk(struct http_body *body, const char *at,
                                                    size_t len, size_t *used,
                                                    struct http_problem *problem);

/* Whether a chunked body is between two chunks, or before the first: another may be inserted. */
bool http_body_between_chunks(const struct http_body *body);
