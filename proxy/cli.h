/*
 * The command line: commands, their flags, output and exit status. One thread, called from main();
 * `serve` is a parameter so that this links, and is tested, without the server.
 */
#pragma once

#include <stdio.h>

#include "proxy/config.h"

/* Runs the proxy to its end; returns the exit status. `config`, and `source`, from which it was
 * loaded, stay the caller's. */
typedef int cli_serve_fn(struct config *config, const struct config_source *source);

struct cli_env {
    int argc;
    char **argv; /* including the program's name */
    char **environ_;
    FILE *out, *err; /* results; messages */
    cli_serve_fn *serve;
};

/* Returns the exit status: 0 success, 1 failure, 2 wrong usage, or what `serve` returned. */
int cli_main(const struct cli_env *env);
