/*
 * The head parser: strict, resumable, zero-copy. Every head that it accepts has exactly one
 * reading; ambiguous ones are BAD (RFC 9112; each rule has a row in the tests).
 *
 * Pass the whole buffer each time: the bytes seen before must still be there, at any address, with
 * more after them. The parser remembers its position, so a head that arrives byte by byte is
 * scanned once. Pure; no allocation; any thread, one parser per connection.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/check.h"
#include "proxy/http/head.h"

enum http_parse_status {
    HTTP_PARSE_DONE, /* the head is complete and valid; `head` is filled */
    HTTP_PARSE_MORE, /* valid so far, incomplete */
    HTTP_PARSE_BAD,  /* `problem` has the reason; the connection must be closed */
};

/* Why a message is refused. The string is a literal. */
struct http_problem {
    unsigned status;    /* for the client: 400, 405, 414, 417, 431, 501, 505 */
    const char *reason; /* one sentence for a person: "bare LF in the head" */
};

struct http_limits {
    uint32_t max_head;   /* bytes, from the start line to the empty line */
    uint32_t max_fields; /* <= HTTP_FIELDS_MAX */
};

/* Zero-initialised is ready for a new message. 8 bytes, to keep idle connections small. */
struct http_parser {
    uint32_t seen;      /* bytes known to contain no end of the head and nothing invalid */
    uint16_t skipped;   /* the one CRLF before a request line that RFC 9112 2.2 says to ignore */
    uint16_t in_fields; /* the start line is complete and valid */
};

/*
 * DONE: head->whole is the head, and [whole.at + whole.len, buf + len) follows it; the parser is
 * reset for the next message. `request_id_name` is the configured field name of the request id,
 * empty for none. One call never reads two heads.
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
