/*
 * The loading of a configuration: what config.c and config_file.c share, and nobody else includes.
 * One thread.
 */
#pragma once

#include <stddef.h>

#include "common/check.h"
#include "common/span.h"
#include "common/strbuf.h"
#include "proxy/config.h"
#include "proxy/jsonpos.h"
#include "proxy/options.h"

#define OPTIONS_MAX  64
#define PROBLEMS_MAX 50 /* more are counted, not shown */

enum origin { ORIGIN_DEFAULT, ORIGIN_PLATFORM, ORIGIN_FILE, ORIGIN_ENV, ORIGIN_FLAG };

/* A loaded configuration, with the origins that config_write() prints. */
struct loaded {
    struct config config; /* first: config_put frees this address */
    char *path;
    enum origin origin[OPTIONS_MAX];
    size_t line[OPTIONS_MAX]; /* of ORIGIN_FILE */
};

struct loader {
    struct loaded *out;
    struct config *c; /* in out */
    const struct config_source *src;
    struct strbuf *problems;
    unsigned errors;
    struct strbuf file;  /* its text */
    struct strbuf clean; /* that without trailing commas, byte for byte at the same places */
    struct jsonpos jp;
    size_t node[OPTIONS_MAX]; /* of ORIGIN_FILE */
    bool something_given;     /* a file, a flag or a variable of ours */
};

size_t loader_index_of(const struct option *o); /* in `origin`, `line` and `node` */
void loader_note_origin(struct loader *ld, const struct option *o, enum origin from);

/* A problem about `len` bytes of the file at `at`. The note stands beside the underline. */
void loader_problem_in_file(struct loader *ld, size_t at, size_t len, struct span message,
                            const char *note);
PRINTF_LIKE(4, 5)
void loader_problem_at(struct loader *ld, size_t at, size_t len, const char *fmt, ...);

/* A problem elsewhere: "WHERE: error: ...". */
PRINTF_LIKE(3, 4)
void loader_problem(struct loader *ld, const char *where, const char *fmt, ...);

/* " wants this, got that", and a hint; for behind the name of what was given. */
void loader_write_complaint(const struct option *o, enum option_verdict verdict, struct span got,
                            struct span text, bool quoted, struct strbuf *out);

/* config_file.c: reads the file of the source into the configuration, and tells every problem. */
void config_file_load(struct loader *ld);
