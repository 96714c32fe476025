/*
 * Single values of options of each type: reading, copying, comparing, writing. No state; any
 * thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/check.h"
#include "common/clock.h"
#include "common/span.h"
#include "common/strbuf.h"
#include "proxy/config.h"
#include "proxy/options.h"

enum option_verdict { OPTION_READ, OPTION_MALFORMED, OPTION_OUT_OF_RANGE };

/* Reads `text` into its field in `c`; unless the result is READ, `c` is unchanged. Lists are
 * replaced. */
MUST_USE enum option_verdict option_read(const struct option *o, struct span text,
                                         struct config *c);

/* Whether the value is a list; its elements are options of their own only in OPTION_CLASSES. */
bool option_is_list(const struct option *o);

/* Reads one element of a list, and appends it. */
MUST_USE enum option_verdict option_read_element(const struct option *o, struct span text,
                                                 struct config *c);

/* Empties a list; or all lists, which frees all that `c` owns. */
void option_clear_list(const struct option *o, struct config *c);
void option_clear(struct config *c);

/* Reads a duration of at most an hour, in the notation of the options. */
MUST_USE bool option_read_duration(struct span text, mono_us *out);

#define OPTION_MASK "***" /* stands for a secret that is set */

/* Copies the value; an address with what it was resolved to. */
void option_copy(const struct option *o, const struct config *from, struct config *to);

/* Whether both have the same value; addresses are compared as they are written. */
bool option_equal(const struct option *o, const struct config *a, const struct config *b);

/* Whether the value is a string in JSON (else a number, true, false or a list). */
bool option_is_text(const struct option *o);

/* The value in `c`, as JSON, or in the form of flags and environment; a secret is masked. */
void option_write_json(const struct option *o, const struct config *c, struct strbuf *out);
void option_write_text(const struct option *o, const struct config *c, struct strbuf *out);

/* A number of microseconds or bytes with the largest unit that divides it. */
void option_write_quantity(const struct option *o, uint64_t n, struct strbuf *out);

/* The units of a duration or a size, smallest first; NULL past the last. */
const char *option_unit(const struct option *o, size_t i, uint64_t *factor);

/* Fills in the socket address of an OPTION_ADDRESS; names are looked up with IPv4 first: names such
 * as localhost often have an IPv6 address that the app does not listen on. On failure returns false
 * and sets `why`. */
MUST_USE bool option_resolve(const struct option *o, struct config *c, struct strbuf *why);
