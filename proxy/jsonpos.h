/*
 * Positions in a JSON text: a strict scanner that reports errors more precisely than a parser does,
 * and records the position of every key and value. It keeps no values. One owner; the text must
 * outlive it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/span.h"
#include "common/strbuf.h"

#define JSONPOS_MAX_DEPTH 64

/* A value, in the order of the text. Positions are offsets into the text. */
struct jsonpos_node {
    size_t key_at, key_len; /* with quotes; both 0 for the top and for elements of a list */
    size_t at, len;
    size_t end; /* the first node after this one and its descendants */
};

struct jsonpos {
    struct span text;
    struct jsonpos_node *nodes; /* [0] is the root; the children of i begin at i + 1 */
    size_t n, room;
    size_t *commas; /* commas before a closing bracket, which the scan tolerates */
    size_t n_commas, commas_room;
    size_t bad_at, bad_len; /* position of the error */
    struct strbuf bad;      /* the error as a sentence for a person */
};

/* False: `bad` and `bad_at` have the error. True: the text is JSON except for trailing commas.
 * Zero-initialise before; call jsonpos_fini in either case. */
MUST_USE bool jsonpos_scan(struct jsonpos *jp, struct span text);
void jsonpos_fini(struct jsonpos *jp);

/* The bytes of node i's key, with quotes, and of its value. */
struct span jsonpos_key(const struct jsonpos *jp, size_t i);
struct span jsonpos_value(const struct jsonpos *jp, size_t i);

/* Both start at 1; the column counts characters, not bytes. */
struct jsonpos_place {
    size_t line, column;
};
struct jsonpos_place jsonpos_place(struct span text, size_t at);

/*
 * Two lines: the line of the text with its number, and one that underlines `len` bytes at `at`,
 * followed by `note`. The underline ends with the line; a long line is cut.
 */
void jsonpos_excerpt(struct span text, size_t at, size_t len, const char *note, struct strbuf *out);
