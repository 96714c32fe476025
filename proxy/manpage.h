/*
 * The man page weir(1), written from the option table and the tables of the command line, in the
 * man macros of roff. Pure; any thread.
 */
#pragma once

#include "common/strbuf.h"
#include "proxy/command.h"

/* `date` is the release date of the version, as YYYY-MM-DD. */
void manpage_write(const struct command_line *line, const char *version, const char *date,
                   struct strbuf *out);

/* Writes text without newlines as roff: roff's control characters are escaped, and text in
 * backquotes becomes bold. */
void manpage_write_text(const char *text, struct strbuf *out);
