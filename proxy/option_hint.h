/*
 * The part of an error message about a value that could not be read: what the option expects, and
 * a value close to it that is valid. No state; any thread.
 */
#pragma once

#include <stdbool.h>

#include "common/span.h"
#include "common/strbuf.h"
#include "proxy/option_value.h"
#include "proxy/options.h"

/* The values that an option accepts, for an error message; after OUT_OF_RANGE, the range. */
void option_write_wants(const struct option *o, enum option_verdict verdict, struct strbuf *out);

/* A hint in parentheses with a space before it, or nothing: a valid value close to `text`, in
 * quotes when `quoted`; or the form of a value. */
void option_write_hint(const struct option *o, enum option_verdict verdict, struct span text,
                       bool quoted, struct strbuf *out);

/* Writes " expects this, got that", and a hint; appended to the name of the option. A secret is not
 * shown. */
void option_write_complaint(const struct option *o, enum option_verdict verdict, struct span got,
                            struct span text, bool quoted, struct strbuf *out);

/* "yes", "0", "Disabled": writes true or false; else returns false. */
bool option_fix_bool(struct span text, struct strbuf *fix);
