/*
 * A parsed command line, and what the commands share: cli.c and the cli_*.c; not included
 * elsewhere. One thread.
 */
#pragma once

#include <stdbool.h>

#include "common/check.h"
#include "common/clock.h"
#include "common/strbuf.h"
#include "proxy/cli.h"
#include "proxy/command.h"

#define ARGS_MAX 16

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_CUT = 3 };

struct cli {
    const struct cli_env *env;
    const struct command *command;
    const char *args[ARGS_MAX]; /* arguments after the command that are not flags */
    int n_args;
    char **flags; /* option flags, for config_load */
    int n_flags;
    const char *config_path;
    bool json, ready, keep_ready, help, version;
    mono_us wait;    /* --wait; 0: not given */
    unsigned errors; /* usage errors reported */
};

/* NULL: not set, or empty. */
const char *cli_env_get(const struct cli_env *env, const char *name);

/* Prints an error: a failure; or wrong usage, which is counted. */
PRINTF_LIKE(2, 3)
void cli_complain(const struct cli_env *env, const char *fmt, ...);
PRINTF_LIKE(2, 3)
void cli_usage_error(struct cli *cli, const char *fmt, ...);

/* Prints lines of errors. */
void cli_print_problems(const struct cli_env *env, const char *text);

/* Prints and frees the text; returns the exit status. */
int cli_print_result(const struct cli *cli, struct strbuf *text);

/* The sources that `weir serve` reads, given the same flags. */
struct config_source cli_sources(const struct cli *cli, bool upstream_optional);

/* The configuration from `src`, or from those sources. NULL: the problems have been reported. */
struct config *cli_load_from(const struct cli *cli, const struct config_source *src);
struct config *cli_load(const struct cli *cli, bool upstream_optional);

/* The address of the admin port, and its token for a command that makes a change. NULL: the
 * problems have been reported. */
struct config *cli_admin_config(const struct cli *cli, bool with_token);

/* Reports errno: the admin port at that address has not responded. */
void cli_complain_of_silence(const struct cli *cli, const struct config *c);

/* Whether `fd` is a terminal that understands escape sequences; and whether colours are wanted. */
bool cli_is_terminal(const struct cli_env *env, int fd);
bool cli_wants_colour(const struct cli_env *env, int fd);

/* Whether block characters in UTF-8 can be printed: yes, unless the environment names another
 * character set. In a container, it often names none, and the terminal is elsewhere. */
bool cli_wants_unicode(const struct cli_env *env);
