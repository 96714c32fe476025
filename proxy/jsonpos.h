/*
 * Where things stand in a JSON text: a strict scanner that says what is wrong with a text better
 * than a parser does, and yields the position of every key and value. It keeps no values. One
 * owner; the text must outlive it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/span.h"
#include "common/strbuf.h"

#define JSONPOS_MAX_DEPTH 64

/* A value, in the order of the text. Positions are offsets into the text. */
struct jsonpos_node {
    size_t key_at, key_len; /* with its quotes; both 0 for the top and for elements of a list */
    size_t at, len;
    size_t end; /* the first node that is not inside this one */
};

struct jsonpos {
    struct span text;
    struct jsonpos_node *nodes; /* [0] is the whole; the children of i begin at i + 1 */
    size_t n, room;
    size_t *commas; /* where a comma precedes the closing bracket; the scan goes on behind it */
    size_t n_commas, commas_room;
    size_t bad_at, bad_len; /* where the text is wrong */
    struct strbuf bad;      /* why, as a sentence for a person */
};

/* False: `bad` and `bad_at` say why. True, and the text is JSON but for its trailing commas.
 * Zero-initialise before; jsonpos_fini in either case. */
MUST_USE bool jsonpos_scan(struct jsonpos *jp, struct span text);
void jsonpos_fini(struct jsonpos *jp);

/* The bytes of node i's key, with its quotes, and of its value. */
struct span jsonpos_key(const struct jsonpos *jp, size_t i);
struct span jsonpos_value(const struct jsonpos *jp, size_t i);

/* Both from 1; the column counts characters, not bytes. */
struct jsonpos_place {
    size_t line, column;
};
struct jsonpos_place jsonpos_place(struct span text, size_t at);

/*
 * Two lines: that of the text with its number, and one that underlines `len` bytes at `at`,
 * followed by `note`. What lies beyond the end of the line is not underlined; a long line is cut.
 */
void jsonpos_excerpt(struct span text, size_t at, size_t len, const char *note, struct strbuf *out);
