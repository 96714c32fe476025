/*
 * A second reader of HTTP/1.1, written from the RFCs and weir's documented rules, independent of
 * proxy/http: it checks what weir forwards. It reads one message at a time from complete input,
 * line by line, and accepts only what has exactly one reading. Slow and simple.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/span.h"
#include "common/strbuf.h"

enum strict_status {
    STRICT_WHOLE,
    STRICT_PART, /* valid so far, incomplete */
    STRICT_BAD,  /* `why` has the reason; neither the message nor what follows may be used */
};

struct strict_field {
    struct span name, value;
};

#define STRICT_FIELDS 256

/* Use: strict_begin, read once, inspect, strict_fini. The spans point into the input. */
struct strict_message {
    const char *why;
    bool head_whole; /* everything below is valid, except the content */
    struct span method, target;
    unsigned status;
    unsigned minor;
    bool chunked, has_length, until_end;
    uint64_t length;
    struct strbuf content; /* without chunk framing, as far as received */
    struct span trailers;  /* as received */
    size_t head_len;       /* bytes of the head, once it is complete */
    size_t used;           /* WHOLE: bytes of the message */
    size_t n_fields;
    struct strict_field fields[STRICT_FIELDS];
};

void strict_begin(struct strict_message *m);
void strict_fini(struct strict_message *m);

enum strict_status strict_read_request(struct span in, struct strict_message *m);

/*
 * Reads one response, possibly an interim one. `asked` is the request's method; `ended`: the sender
 * has closed the connection in order, so a message without a length is complete.
 */
enum strict_status strict_read_response(struct span in, struct span asked, bool ended,
                                        struct strict_message *m);

/* Reads only a chunked body. */
enum strict_status strict_read_chunked(struct span in, struct strict_message *m);

/* The first field with that name, or NULL. */
const struct strict_field *strict_find(const struct strict_message *m, const char *name);

/* Whether a field with that name has the element, case-insensitive. */
bool strict_lists(const struct strict_message *m, const char *name, struct span element);

/* Whether the sender keeps the connection open after this message. */
bool strict_persists(const struct strict_message *m);
