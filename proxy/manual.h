/*
 * Documentation written from the option table: the options in `weir help serve`, the JSON Schema,
 * and docs/configuration.md. Pure; any thread.
 */
#pragma once

#include "common/strbuf.h"
#include "proxy/command.h"
#include "proxy/options.h"

#define MANUAL_COLUMNS 80

/* The flags of `command` that are no options of the configuration, and "--". */
void manual_write_command_flags(const struct command_line *line, const struct command *command,
                                struct strbuf *out);

/* The flags of the options, grouped by section, with their defaults; no line is longer than
 * MANUAL_COLUMNS. */
void manual_write_flags(struct strbuf *out);

/* JSON Schema, draft 7, for editors. It accepts what the parser accepts, and a little more: see its
 * description. */
void manual_write_schema(struct strbuf *out);

/* docs/configuration.md. */
void manual_write_docs(struct strbuf *out);

/* Writes `text` in lines of at most MANUAL_COLUMNS, each indented. */
void manual_wrap(const char *text, unsigned indent, struct strbuf *out);

/* The placeholder for a flag's value: DURATION, finish|close. */
void manual_write_metavar(const struct option *o, struct strbuf *out);

/* The option's help, and whether a change requires a restart. */
void manual_write_purpose(const struct option *o, struct strbuf *out);

/* The values of an option, described in words; literal ones are in backquotes. */
void manual_write_values(const struct option *o, struct strbuf *out);

/* "10s", "unlimited", "10 x concurrency". */
const char *manual_default(const struct option *o);
