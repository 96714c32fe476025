/*
 * The man page weir(1), written from the option table and the tables of the command line, in the
 * man macros of roff. Pure; any thread.
 */
#pragma once

#include "common/strbuf.h"
#include "proxy/command.h"

/* `date` is that of the version, as YYYY-MM-DD. */
void manpage_write(const struct command_line *line, const char *version, const char *date,
                   struct strbuf *out);

/* Text without newlines as roff: what roff would take for its own is escaped, and what stands in
 * backquotes is bold. */
void manpage_write_text(const char *text, struct strbuf *out);
