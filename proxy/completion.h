/*
 * Shell completion scripts, written from the option table and the tables of the command line. The
 * scripts contain all data: they do not run weir, so they work with any path to it. Pure; any
 * thread.
 */
#pragma once

#include "common/strbuf.h"
#include "proxy/command.h"

typedef void completion_write_fn(const struct command_line *line, struct strbuf *out);

/* "bash", "zsh" or "fish"; NULL for any other. */
completion_write_fn *completion_for(const char *shell);

/* The first clause of a help text, short enough to be shown next to a flag. */
struct span completion_summary(const char *help);
