/*
 * The commands of weir and their flags as data: the tables in cli.c drive help, the man page and
 * the shell completions, so they cannot disagree. Read only; any thread.
 */
#pragma once

#include <stddef.h>

struct cli; /* a parsed command line: cli.c */

/* The flags that a command accepts. TAKES_CONFIG includes the flag of every option. */
enum takes { TAKES_CONFIG = 1, TAKES_JSON = 2, TAKES_READY = 4, TAKES_WAIT = 8, TAKES_KEEP = 16 };

struct command {
    const char *name;
    const char *usage;
    const char *summary;
    const char *details; /* paragraphs, separated by newlines */
    unsigned takes;
    int max_args;
    int (*run)(struct cli *cli);
    const char *words; /* the allowed values of its argument; FILE and COMMAND for any; or NULL */
};

/* A flag that is not an option of the configuration. */
struct command_flag {
    const char *name;    /* without the dashes */
    const char *letter;  /* after a single dash, or NULL */
    const char *metavar; /* "FILE", or any other; NULL: it takes no value */
    unsigned takes;      /* the commands that accept it; 0: all of them */
    const char *help;
};

struct command_line {
    const struct command *commands;
    size_t n_commands;
    const struct command_flag *flags;
    size_t n_flags;
};
