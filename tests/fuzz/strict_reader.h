/*
 * A second reader of HTTP/1.1, written from RFC 9112 and section 5 of the specification, and not
 * from proxy/http: it is the judge of what weir passes on. It reads one message at a time from
 * bytes that are all there, line by line, and takes what has one reading only. Slow and simple.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/span.h"
#include "common/strbuf.h"

enum strict_status {
    STRICT_WHOLE,
    STRICT_PART, /* nothing wrong with it so far */
    STRICT_BAD,  /* `why` says what; nobody may act upon it, nor on what follows */
};

struct strict_field {
    struct span name, value;
};

#define STRICT_FIELDS 256

/* strict_begin, read once, look, strict_fini. Spans are into what was read. */
struct strict_message {
    const char *why;
    bool head_whole; /* all below but the content is known */
    struct span method, target;
    unsigned status;
    unsigned minor;
    bool chunked, has_length, until_end;
    uint64_t length;
    struct strbuf content; /* without the chunks' framing, as far as it has come */
    struct span trailers;  /* as they came */
    size_t head_len;       /* the head's bytes, once it is whole */
    size_t used;           /* WHOLE: bytes of the message */
    size_t n_fields;
    struct strict_field fields[STRICT_FIELDS];
};

void strict_begin(struct strict_message *m);
void strict_fini(struct strict_message *m);

enum strict_status strict_read_request(struct span in, struct strict_message *m);

/*
 * One response, interim ones too. `asked` is the method that it answers; `ended`: the sender has
 * ended the connection properly, so what has no length is whole.
 */
enum strict_status strict_read_response(struct span in, struct span asked, bool ended,
                                        struct strict_message *m);

/* A chunked body alone. */
enum strict_status strict_read_chunked(struct span in, struct strict_message *m);

/* The first field of that name, or NULL. */
const struct strict_field *strict_find(const struct strict_message *m, const char *name);

/* Whether any of the fields of that name has the element, in either case. */
bool strict_lists(const struct strict_message *m, const char *name, struct span element);

/* Whether the sender keeps the connection after this message. */
bool strict_persists(const struct strict_message *m);
