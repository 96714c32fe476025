/*
 * The forms of values that are plain text: what is valid, and how messages, schema and docs
 * describe it. No state; any thread.
 */
#pragma once

#include <stdbool.h>

#include "common/span.h"

struct option_form {
    bool (*valid)(struct span text); /* not called with an empty text */
    const char *wants;               /* for messages and docs; without the length */
    const char *example;
    const char *pattern; /* for the schema: of one character, or of all after the first */
    const char *metavar;
    const char *lead; /* what a value is meant to begin with when it is not valid, or NULL */
};

extern const struct option_form option_form_name;   /* of a class */
extern const struct option_form option_form_header; /* the name of any header */
extern const struct option_form option_form_value;  /* of a header */
extern const struct option_form option_form_prefix; /* of a path */
extern const struct option_form option_form_fair;   /* "client", or the name of a header */
extern const struct option_form option_form_file;   /* "stdout", or a path */

/* A method: a token (RFC 9110 section 9.1) in upper case. */
bool option_form_is_method(struct span text);
