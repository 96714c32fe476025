/*
 * Borrowed bytes: a view that owns nothing and need not end in NUL. Valid as long as the memory it
 * points into. Passed by value.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct span {
    const char *at;
    size_t len;
};

/* A name and its value. */
struct span_pair {
    struct span name, value;
};

#define SPAN(literal)  ((struct span){(literal), sizeof(literal) - 1})
#define SPAN_PRINTF(s) (int)(s).len, (s).at /* for "%.*s" */

static inline struct span span_of(const char *text)
{
    return (struct span){text, strlen(text)};
}

static inline bool span_equal(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

static inline char span_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* ASCII letters compare equal in either case; no locale. */
static inline bool span_equal_nocase(struct span a, struct span b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (span_lower(a.at[i]) != span_lower(b.at[i]))
            return false;
    }
    return true;
}
