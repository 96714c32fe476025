/*
 * The command line: which command, its flags, what it prints, its exit status. One thread, from
 * main(); `serve` is given so that this links, and is tested, without the server.
 */
#pragma once

#include <stdio.h>

#include "proxy/config.h"

/* Runs the proxy until it ends; its exit status. `config` stays the caller's. */
typedef int cli_serve_fn(struct config *config);

struct cli_env {
    int argc;
    char **argv; /* with the program's name */
    char **environ_;
    FILE *out, *err; /* results; messages */
    cli_serve_fn *serve;
};

/* The exit status: 0 it worked, 1 it failed, 2 wrong usage, or what `serve` returns. */
int cli_main(const struct cli_env *env);
