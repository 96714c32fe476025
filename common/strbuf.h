/*
 * An owned, growing byte buffer, always followed by a NUL that is not counted. Zero-initialised is
 * empty and owns nothing. Aborts when out of memory. One owner, no locks.
 */
#pragma once

#include <stddef.h>

#include "common/check.h"
#include "common/span.h"

struct strbuf {
    char *at; /* NULL until something is added */
    size_t len, room;
};

void strbuf_fini(struct strbuf *sb);
void strbuf_clear(struct strbuf *sb); /* keeps the memory */
void strbuf_add(struct strbuf *sb, const void *bytes, size_t len);
void strbuf_add_span(struct strbuf *sb, struct span s);
void strbuf_adds(struct strbuf *sb, const char *text);
void strbuf_addf(struct strbuf *sb, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Adds `s` as a JSON string with quotes; bytes that are not UTF-8 become U+FFFD. */
void strbuf_add_json(struct strbuf *sb, struct span s);

const char *strbuf_cstr(const struct strbuf *sb); /* "" when empty */
