/*
 * The commands of weir and their flags as data: the tables in cli.c drive help, the man page and
 * the shells' completions, so they cannot disagree. Read only; any thread.
 */
#pragma once

#include <stddef.h>

struct cli; /* a command line, taken apart: cli.c */

/* The flags that a command accepts. TAKES_CONFIG includes the flag of every option. */
enum takes { TAKES_CONFIG = 1, TAKES_JSON = 2, TAKES_READY = 4 };

struct command {
    const char *name;
    const char *usage;
    const char *summary;
    const char *details; /* paragraphs, a newline between */
    unsigned takes;
    int max_args;
    int (*run)(struct cli *cli);
    const char *words; /* its argument, one of these; FILE and COMMAND for any; or NULL */
};

/* A flag that is no option of the configuration. */
struct command_flag {
    const char *name;    /* without the dashes */
    const char *letter;  /* for one dash, or NULL */
    const char *metavar; /* NULL: it takes no value */
    unsigned takes;      /* the commands that know it; 0: all of them */
    const char *help;
};

struct command_line {
    const struct command *commands;
    size_t n_commands;
    const struct command_flag *flags;
    size_t n_flags;
};
