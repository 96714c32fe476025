/*
 * Shared by the table of options, its values and its hints; not included elsewhere. No state; any
 * thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/span.h"
#include "common/strbuf.h"
#include "proxy/options.h"

#define MS     1000u
#define SECOND (1000u * MS)
#define HOUR   (UINT64_C(3600) * SECOND)
#define KIB    UINT64_C(1024)
#define MIB    (1024 * KIB)
#define GIB    (1024 * MIB)

struct option_unit {
    const char *name;
    uint64_t factor;
};

/* NULL is an empty list. */
static inline struct span option_words(const char *list)
{
    return span_of(list == NULL ? "" : list);
}

static inline struct span option_trim(struct span s)
{
    while (s.len > 0 && s.at[0] == ' ')
        s = (struct span){s.at + 1, s.len - 1};
    while (s.len > 0 && s.at[s.len - 1] == ' ')
        s.len--;
    return s;
}

/* A character of a token, such as the name of a header (RFC 9110 section 5.6.2). */
static inline bool option_is_field_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* Takes the next element from a list in the form of a flag. */
struct span option_next_element(struct span *list, char separator);

/* The character that separates the elements of a list in a flag. */
char option_separator(const struct option *o);

/* In the unit of the option, or as its special word. */
void option_write_number(const struct option *o, uint64_t n, struct strbuf *out);

/* Whether this text is a string in JSON: "unlimited" is, even for numeric options. */
bool option_in_quotes(const struct option *o, struct span text);
