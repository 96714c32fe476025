/* Runs a command of weir and keeps what it printed. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/cli.h"

#define ARGS_MAX 8

static char *no_variables[] = {NULL};
static char **cli_environ = no_variables;
static cli_serve_fn *cli_serve;

/* The output of a command, and its exit status. */
struct said {
    int status;
    char *out, *err;
};

static inline struct said run(const char *first, ...)
{
    static char name[] = "weir";
    char *argv[ARGS_MAX + 1] = {name};
    struct said said;
    size_t n_out, n_err;
    int argc = 1;
    va_list args;

    va_start(args, first);
    for (const char *arg = first; arg != NULL; arg = va_arg(args, const char *))
        argv[argc++] = strdup(arg);
    va_end(args);
    struct cli_env env = {.argc = argc, .argv = argv, .environ_ = cli_environ, .serve = cli_serve};
    env.out = open_memstream(&said.out, &n_out);
    env.err = open_memstream(&said.err, &n_err);
    said.status = cli_main(&env);
    fclose(env.out);
    fclose(env.err);
    while (argc > 1)
        free(argv[--argc]);
    return said;
}

/* Checks and frees. NULL: nothing was printed to that stream. */
static inline void assert_said(struct said said, int status, const char *out, const char *err)
{
    bool ok = said.status == status && (out == NULL) == (*said.out == '\0') &&
              (err == NULL) == (*said.err == '\0') && strstr(said.out, out ? out : "") != NULL &&
              strstr(said.err, err ? err : "") != NULL;

    if (!ok)
        fail_msg("status %d\n%s\n%s", said.status, said.out, said.err);
    free(said.out);
    free(said.err);
}
