/*
 * Loading a configuration: shared by config.c, config_file.c and config_change.c, not included
 * elsewhere. One thread.
 */
#pragma once

#include <stddef.h>

#include "common/check.h"
#include "common/span.h"
#include "common/strbuf.h"
#include "proxy/config.h"
#include "proxy/jsonpos.h"
#include "proxy/options.h"

#define OPTIONS_MAX  96
#define PROBLEMS_MAX 50 /* additional ones are counted, not shown */

enum origin {
    ORIGIN_DEFAULT,
    ORIGIN_PROFILE,
    ORIGIN_PLATFORM,
    ORIGIN_FILE,
    ORIGIN_ENV,
    ORIGIN_FLAG,
    ORIGIN_CHANGE, /* config_patch() */
};

/* A loaded configuration, with the origins that config_write() prints. */
struct loaded {
    struct config config; /* first: config_put frees this address */
    char *path;
    enum origin origin[OPTIONS_MAX];
    size_t line[OPTIONS_MAX]; /* for ORIGIN_FILE */
};

struct loader {
    struct loaded *out;
    struct config *c; /* in out */
    const struct config_source *src;
    struct strbuf *problems;
    unsigned errors;
    const char *name;    /* of the text in messages */
    enum origin text;    /* what a value in the text is: ORIGIN_FILE or ORIGIN_CHANGE */
    struct strbuf file;  /* the text of the file, or of the change */
    struct strbuf shown; /* the same with secrets masked, at the same offsets */
    struct strbuf clean; /* the same without trailing commas, at the same offsets */
    struct jsonpos jp;
    size_t node[OPTIONS_MAX]; /* of the values in the text; else 0 */
    bool something_given;     /* a file, a flag, or one of weir's variables */
};

/* Begins with the defaults of C, not those of the options. */
void loader_begin(struct loader *ld, const struct config_source *src, struct strbuf *problems);

/* All values have been read: checks them, and frees all but the result. NULL: there are errors. */
MUST_USE struct config *loader_end(struct loader *ld);

size_t loader_index_of(const struct option *o); /* in `origin`, `line` and `node` */
void loader_note_origin(struct loader *ld, const struct option *o, enum origin from);

/* Reports a problem with `len` bytes of the file at `at`. The note is printed next to the
 * underline. */
void loader_problem_in_file(struct loader *ld, size_t at, size_t len, struct span message,
                            const char *note);
PRINTF_LIKE(4, 5)
void loader_problem_at(struct loader *ld, size_t at, size_t len, const char *fmt, ...);

/* Reports a problem elsewhere: "WHERE: error: ...". */
PRINTF_LIKE(3, 4)
void loader_problem(struct loader *ld, const char *where, const char *fmt, ...);

/* Reports an error of a well-formed value, at the place where the value was set. */
void loader_problem_with(struct loader *ld, const struct option *o, const char *message);

/* config_file.c: reads the source's file, or the text in `file`, into the configuration, and
 * reports all problems. */
void config_file_load(struct loader *ld);
void config_file_load_text(struct loader *ld);

/* config_change.c: reports each option that requires a restart and differs from `running`, and
 * gives it the running value. */
void config_change_keep_fixed(struct loader *ld, const struct config *running);
