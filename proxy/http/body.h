/*
 * Where a message's body ends (RFC 9112 section 6), and a chunk decoder that checks every byte.
 *
 * A relay forwards the bytes of a message as they came, so the decoder's first product is not data
 * but a border: how many of the bytes at hand belong to this message. Chunk lines and trailers are
 * checked before they are counted in, so nothing malformed is ever passed on.
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
    HTTP_BODY_MORE, /* all input was taken and more is needed */
    HTTP_BODY_BAD,  /* the byte after the ones taken breaks the framing */
};

#define HTTP_CHUNK_EXT_MAX      256   /* bytes of extensions per chunk (CVE-2023-39326) */
#define HTTP_CHUNK_OVERHEAD_MAX 16384 /* extension bytes in one message, above all its data */
#define HTTP_TRAILERS_MAX       8192  /* bytes of trailer section */
#define HTTP_BODY_NAMED_MAX     6     /* Connection options that are told apart in trailers */

/* Private but for `framing`; embedded, no allocation. http_body_of_*() makes it. */
struct http_body {
    enum http_framing framing;
    bool response;    /* which trailers are refused depends on it */
    bool underscores; /* trailers may have `_` in their names */
    bool underscored; /* the present trailer's name has one */
    unsigned char state;
    unsigned char size_digits;
    unsigned char n_named; /* above HTTP_BODY_NAMED_MAX: no trailer is let through */
    uint16_t line;         /* bytes of the current chunk line or of the start of a trailer line */
    uint32_t trailers;     /* bytes of trailers so far */
    uint64_t left;         /* bytes to come: of the body (LENGTH) or of the chunk (CHUNKED) */
    uint64_t data;         /* bytes of content so far */
    uint64_t overhead;     /* extension bytes so far */
    char name[32];         /* start of a trailer's name, lower case: may it stand in a trailer? */
    uint32_t named[HTTP_BODY_NAMED_MAX]; /* hashes of the options in Connection */
};

/* From a valid head. A request without length has no body. `underscores`: names with `_` may stand
 * in its trailers; see struct http_request_rewrite. */
void http_body_of_request(struct http_body *body, const struct http_head *head, bool underscores);

/*
 * From a valid final response head and the method it answers. HEAD, 1xx, 204, 304: none, whatever
 * the fields say. 101 is not for here: after it there are no messages.
 */
void http_body_of_response(struct http_body *body, const struct http_head *head,
                           enum http_method asked);

/* Whether the whole body has been seen: at once true for none and for a length of 0. */
bool http_body_complete(const struct http_body *body);

/*
 * Takes bytes of the body from [at, at + len): writes how many to `used`. When `data` is not NULL,
 * stops at the end of the first run of content and sets `data` to that run (empty where only
 * framing was met): call again while MORE and bytes are left. When NULL, takes all it can.
 * DONE: the body ended within or at the end of `used`; what follows is not part of it.
 * MORE: with `data` NULL, used == len. BAD: `used` bytes before the offending one are sound;
 * `problem` says why (status 400 for a request; a response's caller makes it 502).
 * Trailer fields that would frame, route, authenticate or control the connection are BAD (RFC 9110
 * section 6.5.1; the table in body.c), and so are those that the head's Connection names (section
 * 7.6.1) and, in a request, those with `_` in their names: the bytes are handed on as they came,
 * and no line can be taken out. Others pass.
 */
MUST_USE enum http_body_status http_body_take(struct http_body *body, const char *at, size_t len,
                                              size_t *used, struct span *data,
                                              struct http_problem *problem);
