/*
 * What is written for people out of the option table: the options in `weir help serve`, the JSON
 * Schema, and docs/configuration.md. Pure; any thread.
 */
#pragma once

#include "common/strbuf.h"

#define MANUAL_COLUMNS 80

/* The flags, grouped by section, with their defaults; no line is longer than MANUAL_COLUMNS. */
void manual_write_flags(struct strbuf *out);

/* JSON Schema, draft 7, for editors. It accepts what the parser does, and a little more: see its
 * description. */
void manual_write_schema(struct strbuf *out);

/* docs/configuration.md. */
void manual_write_docs(struct strbuf *out);

/* `text` in lines of at most MANUAL_COLUMNS, each indented. */
void manual_wrap(const char *text, unsigned indent, struct strbuf *out);
