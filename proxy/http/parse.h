/*
 * The head parser: strict, resumable, zero-copy. Every head it lets through has one reading; what
 * is ambiguous is BAD (RFC 9112; the rules are SPEC section 5, each with its test row).
 *
 * Feed it the whole buffer each time: the bytes seen before must still be there, at any address,
 * with more behind them. It remembers how far it has looked, so a head that comes byte by byte is
 * scanned once. Pure; no allocation; any thread, one parser per connection.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/check.h"
#include "proxy/http/head.h"

enum http_parse_status {
    HTTP_PARSE_DONE, /* the head is whole and valid; `head` is filled */
    HTTP_PARSE_MORE, /* nothing wrong so far */
    HTTP_PARSE_BAD,  /* `problem` says what; the connection is beyond repair */
};

/* Why a message is refused. Both strings are literals. */
struct http_problem {
    unsigned status;    /* for the client: 400, 405, 414, 417, 431, 501, 505 */
    const char *reason; /* one sentence for a person: "bare LF in the head" */
};

struct http_limits {
    uint32_t max_head;   /* bytes, start line to empty line */
    uint32_t max_fields; /* <= HTTP_FIELDS_MAX */
};

/* Zero-initialised is ready for a new message. 8 bytes, so that an idle connection stays small. */
struct http_parser {
    uint32_t seen;      /* bytes known to hold no end of the head and nothing forbidden */
    uint16_t skipped;   /* the one CRLF before a request line that RFC 9112 2.2 asks us to ignore */
    uint16_t in_fields; /* the start line has been seen whole, and is sound */
};

/*
 * DONE: head->whole is the head and everything in [whole.at + whole.len, buf + len) follows it;
 * the parser is reset for the next message. `request_id_name` is the field that config calls the
 * request id, empty for none. Two heads are never read in one call.
 */
MUST_USE enum http_parse_status http_parse_request(struct http_parser *p, const char *buf,
                                                   size_t len, const struct http_limits *limits,
                                                   struct span request_id_name,
                                                   struct http_head *head,
                                                   struct http_problem *problem);

/* The same for a response. problem->status is always 502. */
MUST_USE enum http_parse_status http_parse_response(struct http_parser *p, const char *buf,
                                                    size_t len, const struct http_limits *limits,
                                                    struct http_head *head,
                                                    struct http_problem *problem);
